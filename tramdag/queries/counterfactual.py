r"""Counterfactual laws of ordinal nodes, exact given what the factual row reveals.

A fully observed row fixes the latent of every continuous node and the interval
:math:`(c_{y-1}, c_y]` of every ordinal one; given the row the latents stay independent. Under a
counterfactual intervention with cutpoints :math:`c'_j`,

.. math:: P(Y' = j \mid y) =
    \frac{[F(\min(c_y, c'_j)) - F(\max(c_{y-1}, c'_{j-1}))]_+}{F(c_y) - F(c_{y-1})},

while a continuous effect is :math:`h^{-1}(u - s')`, a single value. Ordinal mediators are
enumerated with these probabilities, so the result has no Monte Carlo error.

The shared latent is a cross-world assumption (rank invariance given the parents): no data,
not even a trial, can test it.

References:
    Pearl (2009), Causality, section 7.1 (abduction, action, prediction).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from tramdag.data import Values
from tramdag.node import Conditional, ContinuousConditional, OrdinalConditional
from tramdag.queries.mediation import mediators_of
from tramdag.queries.sampling import Interventions

__all__ = ["counterfactual_pmf"]

_BLOCK_PARTICLES = 262_144


@torch.no_grad()
def counterfactual_pmf(
    conditionals: Mapping[str, Conditional],
    values: Values,
    node: str,
    interventions: Interventions,
) -> Tensor:
    """Probabilities of an ordinal node's counterfactual levels, given fully observed rows.

    Args:
        conditionals: Conditional laws in causal order.
        values: All columns of the factual rows, shape ``(n,)`` each.
        node: An ordinal node.
        interventions: Nodes that are set; a callable receives the factual value.

    Returns:
        Shape ``(n, K)``; rows sum to one.
    """
    leaf = conditionals[node]
    assert isinstance(leaf, OrdinalConditional)
    device = leaf.intercept.device
    factual = {name: column.to(device) for name, column in values.items()}
    actions = {
        name: (action if isinstance(action, Tensor) else action(values[name])).to(device)
        for name, action in interventions.items()
    }
    mediators = mediators_of(conditionals, node, interventions)
    chain = [*mediators, node]
    n = len(factual[node])
    levels = [c.levels for m in chain if isinstance(c := conditionals[m], OrdinalConditional)]
    size = max(1, _BLOCK_PARTICLES // math.prod(levels))
    parts = [
        _block(conditionals, _slice(factual, start, size), _slice(actions, start, size), chain)
        for start in range(0, n, size)
    ]
    return torch.cat(parts)


def _slice(columns: Values, start: int, size: int) -> Values:
    return {name: column[start : start + size] for name, column in columns.items()}


def _block(
    conditionals: Mapping[str, Conditional], factual: Values, actions: Values, chain: list[str]
) -> Tensor:
    """Follow the chain of effects; every ordinal one multiplies the particles by its levels."""
    *_, node = chain
    n = len(factual[node])
    leaf = conditionals[node]
    assert isinstance(leaf, OrdinalConditional)
    row = torch.arange(n, device=factual[node].device)
    weight = torch.ones(n, dtype=torch.float64, device=row.device)
    world: Values = {**factual, **actions}
    for name in chain:
        if name in actions:
            continue
        conditional = conditionals[name]
        if isinstance(conditional, ContinuousConditional):
            latents = conditional.latent(factual)
            world[name] = conditional.generate(world, latents[row])
        elif isinstance(conditional, OrdinalConditional):
            lower, upper = conditional.interval(factual)
            transition = _overlap(lower[row], upper[row], conditional.cutpoints(world, n=len(row)))
            levels = conditional.levels
            weight = (weight.unsqueeze(-1) * transition).flatten()
            row = row.repeat_interleave(levels)
            world = {k: column.repeat_interleave(levels) for k, column in world.items()}
            world[name] = torch.arange(levels, device=row.device).repeat(len(row) // levels)
    result = torch.zeros(n, leaf.levels, dtype=torch.float64, device=row.device)
    return result.index_put_((row, world[node]), weight, accumulate=True)


def _overlap(lower: Tensor, upper: Tensor, cutpoints: Tensor) -> Tensor:
    """Share of the logistic mass of (lower, upper] in each counterfactual interval.

    Args:
        lower: Factual lower ends, ``(N,)``.
        upper: Factual upper ends, ``(N,)``.
        cutpoints: Counterfactual cutpoints with infinite ends, ``(N, K + 1)``.

    Returns:
        Shape ``(N, K)``; rows sum to one.
    """
    low = torch.maximum(lower.unsqueeze(-1), cutpoints[:, :-1])
    high = torch.minimum(upper.unsqueeze(-1), cutpoints[:, 1:])
    gap = (high - low).clamp(min=0.0)
    log_mass = logsigmoid(high) + logsigmoid(-low) + torch.log(-torch.expm1(-gap))
    # normalising on the log scale by the parts themselves survives intervals far in a tail
    return torch.softmax(torch.where(gap > 0, log_mass, -torch.inf), -1)
