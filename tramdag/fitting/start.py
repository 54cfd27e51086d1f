"""Where gradient fits begin: at the maximum likelihood of the node with its networks at zero."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from tramdag.data import Values
from tramdag.fitting.exact import solve, write
from tramdag.fitting.stochastic import lift_increments
from tramdag.networks import VaryingCoefficient
from tramdag.node import Conditional, ContinuousConditional
from tramdag.transforms import inverse_positive, positive

__all__ = ["convex_start"]

_SMALLEST_END = 1e-6
"""An exact fit stores an increment of zero as 1e-30, where the softplus has no gradient."""


def convex_start(law: Conditional, begin: Tensor, values: Values, weights: Tensor | None) -> Tensor:
    """Parameters at which the convex part of a node with networks is solved exactly.

    That part is the intercept, the linear shift and the constants of coefficients that a network
    varies. The last count: validation rows are few, so a fit may well end after some epochs, and a
    coefficient that began at zero would then still be near it.

    A continuous node with a complex intercept starts half-way between its best map without parents
    and the straight line of ``begin``: the former has increments near zero where the law given the
    parents has none, and from there they would hardly move, because the softplus is flat.

    Args:
        law: A conditional law with a convex head, its scalings set.
        begin: Parameters in a row, ``(B, P)``; what the networks have of it is kept.
        values: Training rows.
        weights: Case weights, ``(B, n)`` or ``(1, n)``, or None.
    """
    networks = list(law.complex_shifts.named_children())
    varying = {i: net for i, net in networks if isinstance(net, VaryingCoefficient)}
    stand_in = copy.deepcopy(law)
    stand_in.complex_shifts, stand_in.complex_intercepts = nn.ModuleList(), nn.ModuleList()
    stand_in.linear = law.linear.extended({v.treatment: v.treatment_node for v in varying.values()})
    stand_in.linear.set_scaling(values, len(values[law.name]))
    intercept, shift = write(stand_in, solve(stand_in, values, weights))
    sizes = {name: parameter.numel() for name, parameter in law.named_parameters()}
    parts = dict(zip(sizes, begin.split([*sizes.values()], 1), strict=True))
    own = law.linear.weight.numel()
    if law.complex_intercepts and isinstance(law, ContinuousConditional):
        intercept = _half_way(intercept, parts["intercept"])
    else:
        intercept = lift_increments(intercept)
    solved = {"intercept": intercept, "linear.weight": shift[:, :own]}
    # one column per treatment, in the order of their first network; a further network adds to it
    rest, seen = shift[:, own:], set()
    for i, net in varying.items():
        if net.treatment not in seen:
            size = net.constant.numel()
            solved[f"complex_shifts.{i}.constant"], rest = rest[:, :size], rest[:, size:]
            seen.add(net.treatment)
    return torch.cat(
        [
            solved[name].expand(len(begin), -1) if name in solved else part
            for name, part in parts.items()
        ],
        1,
    )


def _half_way(solved: Tensor, line: Tensor) -> Tensor:
    """The map between two, raw, ``(B, n_params)``; its ends are no steeper than the solved ones.

    Beyond the ends the map goes on straight, and far outliers would decide everything if they met a
    slope that was not made for them.
    """
    offset = 0.5 * (solved[:, :1] + line[:, :1])
    bent, straight = positive(solved[:, 1:]), positive(line[:, 1:])
    increments = 0.5 * (bent + straight)
    for end in (0, -1):
        steep = torch.minimum(bent[:, end], straight[:, end])
        increments[:, end] = steep.clamp(min=_SMALLEST_END)
    return torch.cat([offset, inverse_positive(increments)], 1)
