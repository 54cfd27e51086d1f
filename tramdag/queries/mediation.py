"""What an intervention changes on its way to a node, and the weighted particles that carry it.

The effects of the intervened nodes that are causes of the queried one, the *mediators*, follow
their conditional laws; everything else keeps the row's values. Ordinal mediators are enumerated,
continuous ones follow their latents at given points of the unit cube.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tramdag import latent
from tramdag.data import Values
from tramdag.node import Conditional, OrdinalConditional
from tramdag.queries.sampling import Interventions
from tramdag.spec import descendants

__all__ = ["SCOPES", "Particles", "mediators_of", "n_branches", "needed_columns", "propagate"]

SCOPES = ("total", "controlled")
"""``total``: mediators respond to the intervention. ``controlled``: they keep the row's values."""


@dataclass(frozen=True)
class Particles:
    """Weighted copies of rows, each with one value of every mediator.

    Attributes:
        values: Columns of the rows' given values and of the mediators, shape ``(N,)`` each.
        owner: Index of the particle's (row, point) pair, row by row, shape ``(N,)``.
        weight: Probability of the particle's ordinal mediators, shape ``(N,)``.
        n: Number of rows.
        n_points: Number of points per row.
    """

    values: Values
    owner: Tensor
    weight: Tensor
    n: int
    n_points: int

    def average(self, values: Tensor) -> Tensor:
        """Weighted sums over the particles of each (row, point).

        Shapes:
            ``values (N, k) -> (n, n_points, k)``.
        """
        total = values.new_zeros(self.n * self.n_points, values.shape[-1])
        total.index_add_(0, self.owner, self.weight.to(values.dtype).unsqueeze(-1) * values)
        return total.unflatten(0, (self.n, self.n_points))

    def of_rows(self, per_row: Tensor) -> Tensor:
        """Copy one value per row to the row's particles; ``(n,) -> (N,)``."""
        return per_row[self.owner // self.n_points]


def mediators_of(
    conditionals: Mapping[str, Conditional],
    node: str,
    intervened: Mapping[str, object],
    *,
    scope: str = "total",
) -> list[str]:
    """Effects of the intervention that are causes of ``node`` and not set themselves, in order."""
    if scope == "controlled":
        return []
    nodes = {name: conditional.node for name, conditional in conditionals.items()}
    changed = descendants(nodes, intervened)
    causes: set[str] = set()
    stack = [node]
    while stack:
        for parent in nodes[stack.pop()].parents:
            if parent not in causes:
                causes.add(parent)
                if parent not in intervened:  # the edges into a set node are cut
                    stack.append(parent)
    return [n for n in conditionals if n in changed and n in causes and n not in intervened]


def needed_columns(
    conditionals: Mapping[str, Conditional],
    node: str,
    interventions: Interventions,
    *,
    scope: str = "total",
) -> list[str]:
    """Columns that a law of ``node`` takes from the rows.

    These are the parents of the node and of its mediators that are neither mediators nor set, and
    the natural values that a callable intervention asks for.
    """
    mediators = mediators_of(conditionals, node, interventions, scope=scope)
    used = {p for name in (node, *mediators) for p in conditionals[name].parents}
    taken = used - set(mediators) - set(interventions)
    taken |= {name for name, action in interventions.items() if callable(action)}
    return [name for name in conditionals if name in taken]


def n_branches(conditionals: Mapping[str, Conditional], mediators: list[str]) -> int:
    """Number of combinations of the ordinal mediators' levels."""
    levels = [
        conditional.levels
        for name in mediators
        if isinstance(conditional := conditionals[name], OrdinalConditional)
    ]
    return int(np.prod(levels, dtype=int))


def propagate(
    conditionals: Mapping[str, Conditional],
    rows: Values,
    mediators: list[str],
    points: Tensor,
    n: int,
) -> Particles:
    """Let the mediators follow their conditional laws.

    Args:
        conditionals: Conditional laws in causal order.
        rows: Given columns of n rows, interventions included.
        mediators: In causal order.
        points: Latents of the continuous mediators as uniforms, shape ``(n_points, n_continuous)``.
        n: Number of rows.
    """
    n_points = len(points)
    values = {name: column.repeat_interleave(n_points) for name, column in rows.items()}
    uniforms = points.repeat(n, 1)
    owner = torch.arange(n * n_points, device=points.device)
    weight = torch.ones(n * n_points, dtype=torch.float64, device=points.device)
    used = 0
    for name in mediators:
        conditional = conditionals[name]
        if isinstance(conditional, OrdinalConditional):
            levels = conditional.levels
            probabilities = conditional.log_pmf(values, n=len(owner)).exp()
            weight = (weight.unsqueeze(-1) * probabilities).flatten()
            values = {k: column.repeat_interleave(levels) for k, column in values.items()}
            uniforms, owner = (t.repeat_interleave(levels, 0) for t in (uniforms, owner))
            values[name] = torch.arange(levels, device=points.device).repeat(len(owner) // levels)
        else:
            values[name] = conditional.generate(values, latent.icdf(uniforms[:, used]))
            used += 1
    return Particles(values, owner, weight, n, n_points)
