r"""Weighted particles that carry the nodes which a law integrates out.

Ordinal nodes are enumerated, continuous ones follow their latents at scrambled Sobol points of
the unit cube, the same points for every row and every intervention. Evidence is not drawn: it
keeps its value e and multiplies the weight of a particle by its likelihood there, so that

.. math:: E[q \mid e] = \frac{\sum_i w_i \, q_i}{\sum_i w_i}, \qquad
    w_i = \prod_{v \in e} p_v(e_v \mid \mathrm{pa}_v(i)),

self-normalised likelihood weighting. Independent scramblings give the integration error.

References:
    Owen (1997), Scrambled net variance for integrals of smooth functions, Annals of Statistics 25.
    Fung and Chang (1990), Weighing and integrating evidence for stochastic simulation in Bayesian
    networks, UAI 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy
import torch
from torch import Tensor

from tramdag import latent
from tramdag.data import Values
from tramdag.errors import DataError, name_list
from tramdag.node import Conditional, OrdinalConditional

__all__ = [
    "N_SCRAMBLES",
    "Particles",
    "Plan",
    "make_plan",
    "propagate",
    "scramble_error",
    "sobol_points",
]

N_SCRAMBLES = 8
"""Independent scramblings of the Sobol points."""

_MAX_PER_ROW = 2**20
"""Particles per row beyond which further ordinal nodes are drawn instead of enumerated."""


@dataclass(frozen=True)
class Plan:
    """What happens to the nodes between the given values and the queried node.

    Attributes:
        integrated: Nodes that follow their conditional laws, in causal order.
        enumerated: Those of them whose levels are enumerated.
        branches: Most combinations of the enumerated nodes' levels.
        weighing: Evidence whose likelihood weighs the particles, in causal order.
        actions: Integrated nodes whose natural value a callable replaces.
    """

    integrated: tuple[str, ...]
    enumerated: frozenset[str]
    branches: int
    weighing: tuple[str, ...] = ()
    actions: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """Coordinates of a Sobol point: one per node that is not enumerated."""
        return len(self.integrated) - len(self.enumerated)


def make_plan(
    conditionals: Mapping[str, Conditional],
    integrated: Sequence[str],
    *,
    n_points: int,
    worlds: int = 1,
    weighing: Sequence[str] = (),
    actions: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
) -> Plan:
    """Enumerate ordinal nodes, in causal order, as long as the particles of a row stay bounded.

    In two worlds that share a latent, K levels each make at most 2 K - 1 pairs.
    """
    width = {
        name: worlds * (conditional.levels - 1) + 1
        for name in integrated
        if isinstance(conditional := conditionals[name], OrdinalConditional)
    }
    branches = int(np.prod(list(width.values()), dtype=int))
    points = 1 if len(width) == len(integrated) else n_points
    enumerated = set(width)
    if points * branches > _MAX_PER_ROW:
        branches, enumerated = 1, set()
        for name, levels in width.items():
            if n_points * branches * levels > _MAX_PER_ROW:
                break
            branches *= levels
            enumerated.add(name)
    return Plan(
        tuple(integrated), frozenset(enumerated), branches, tuple(weighing), dict(actions or {})
    )


@dataclass(frozen=True)
class Particles:
    """Weighted copies of rows, each with one value of every integrated node.

    Attributes:
        values: Columns of the rows' given values and of the integrated nodes, shape ``(N,)`` each.
        owner: Index of the particle's (row, point) pair, row by row, shape ``(N,)``.
        weight: Probability of the particle's enumerated levels, times the likelihood of the
            evidence over exp(``log_scale``), shape ``(N,)``.
        n: Number of rows.
        n_points: Number of points per row.
        log_scale: Largest log likelihood of the evidence over a row's particles, shape ``(n,)``;
            None where nothing is weighed, so that the weights of a point sum to one.
    """

    values: Values
    owner: Tensor
    weight: Tensor
    n: int
    n_points: int
    log_scale: Tensor | None = None

    def average(self, values: Tensor) -> Tensor:
        """Weighted sums over the particles of each (row, point).

        Shapes:
            ``values (N, k) -> (n, n_points, k)``.
        """
        total = values.new_zeros(self.n * self.n_points, values.shape[-1])
        total = total.index_add(0, self.owner, self.weight.to(values.dtype).unsqueeze(-1) * values)
        return total.unflatten(0, (self.n, self.n_points))

    def mass(self) -> Tensor:
        """Weight of every point, shape ``(n, n_points, 1)``."""
        return self.average(torch.ones_like(self.weight).unsqueeze(-1))

    def mean(self, values: Tensor) -> Tensor:
        """Expectation per row; ``(N, k) -> (n, k)``."""
        total = self.average(values).mean(1)
        return total if self.log_scale is None else total / self.mass().mean(1)

    def error(self, values: Tensor) -> Tensor:
        """Standard error of :meth:`mean` from the spread of the scramblings; ``(n, k)``."""
        by_point = self.average(values)
        if self.n_points == 1:
            return torch.zeros_like(by_point[:, 0])
        if self.log_scale is not None:
            # the ratio of two means, linearised
            mass = self.mass()
            total = mass.mean(1, keepdim=True)
            by_point = (by_point - by_point.mean(1, keepdim=True) / total * mass) / total
        return scramble_error(by_point)

    def effective_size(self) -> Tensor:
        """Kish's (sum W)^2 / sum W^2 over a row's points; infinite where none is weighed; (n,)."""
        if self.log_scale is None or self.n_points == 1:
            return self.weight.new_full((self.n,), torch.inf)
        mass = self.mass().squeeze(-1)
        return mass.sum(1) ** 2 / (mass**2).sum(1)

    def of_rows(self, per_row: Tensor) -> Tensor:
        """Copy one value per row to the row's particles; ``(n,) -> (N,)``."""
        return per_row[self.owner // self.n_points]


def propagate(
    conditionals: Mapping[str, Conditional], rows: Values, plan: Plan, points: Tensor, n: int
) -> Particles:
    """Let the integrated nodes follow their conditional laws, and weigh them by the evidence.

    Args:
        conditionals: Conditional laws in causal order.
        rows: Given columns of n rows, interventions and evidence included.
        plan: What is integrated, enumerated and weighed.
        points: Latents as uniforms of the nodes that are not enumerated, shape
            ``(n_points, plan.dimension)``.
        n: Number of rows.

    Raises:
        DataError: The evidence has probability zero at every particle of a row.
    """
    n_points = len(points)
    values = {name: column.repeat_interleave(n_points) for name, column in rows.items()}
    uniforms = points.repeat(n, 1)
    owner = torch.arange(n * n_points, device=points.device)
    weight = torch.ones(n * n_points, dtype=torch.float64, device=points.device)
    log_likelihood = torch.zeros_like(weight)
    used = 0
    for name in (name for name in conditionals if name in {*plan.integrated, *plan.weighing}):
        conditional = conditionals[name]
        if name in plan.weighing:
            log_likelihood = log_likelihood + conditional.log_prob(values)
        elif name in plan.enumerated:
            assert isinstance(conditional, OrdinalConditional)
            levels = conditional.levels
            probabilities = conditional.log_pmf(values, n=len(owner)).exp()
            weight = (weight.unsqueeze(-1) * probabilities).flatten()
            values = {k: column.repeat_interleave(levels) for k, column in values.items()}
            uniforms, owner, log_likelihood = (
                t.repeat_interleave(levels, 0) for t in (uniforms, owner, log_likelihood)
            )
            values[name] = torch.arange(levels, device=points.device).repeat(len(owner) // levels)
        else:
            values[name] = conditional.generate(values, latent.icdf(uniforms[:, used]))
            used += 1
        if name in plan.actions:
            values[name] = plan.actions[name](values[name])
    if not plan.weighing:
        return Particles(values, owner, weight, n, n_points)
    row = owner // n_points
    reachable = torch.where(weight > 0, log_likelihood, -torch.inf).detach()
    peak = torch.full((n,), -torch.inf, dtype=torch.float64, device=row.device)
    peak = peak.scatter_reduce(0, row, reachable, "amax")
    if bool((peak == -torch.inf).any()):
        raise DataError(
            f"evidence: the values of {name_list(plan.weighing)} have probability zero under the "
            "model, together with the other given values; nothing can be conditioned on them."
        )
    weight = weight * torch.exp(log_likelihood - peak[row])
    return Particles(values, owner, weight, n, n_points, peak)


def scramble_error(by_point: Tensor) -> Tensor:
    """Standard error of the mean over points, from the spread of scramblings; ``(n, k)``."""
    by_scramble = by_point.unflatten(1, (N_SCRAMBLES, -1)).mean(2)
    return by_scramble.std(1) / N_SCRAMBLES**0.5


def sobol_points(n_points: int, dimension: int, seed: int) -> Tensor:
    """Scrambled Sobol points in the open unit cube, the scramblings one after another."""
    if dimension == 0:
        return torch.zeros(1, 0, dtype=torch.float64)
    per_scramble = n_points // N_SCRAMBLES
    generators = [
        np.random.default_rng(latent.derive_seed(seed, "sobol", k)) for k in range(N_SCRAMBLES)
    ]
    blocks = [scipy.stats.qmc.Sobol(dimension, rng=rng).random(per_scramble) for rng in generators]
    return torch.from_numpy(np.concatenate(blocks)).clamp(2.0**-54, 1.0 - 2.0**-53)
