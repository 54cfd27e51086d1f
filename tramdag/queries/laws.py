r"""The law of one node per row under an intervention: pmf, cdf, density, quantile.

With mediators M (:mod:`tramdag.queries.mediation`) the law is the mixture

.. math:: P(Y \in \cdot \mid do) = \int P(Y \in \cdot \mid \mathrm{pa}(m)) \, dP(m \mid do),

where the last step is always analytic and the integral runs over the mediators: ordinal ones by
enumeration, continuous ones over scrambled Sobol points pushed through their quantile functions,
the same points for every row and every intervention. Independent scramblings give the
integration error.

References:
    Owen (1997), Scrambled net variance for integrals of smooth functions, Annals of Statistics 25.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import qmc
from torch import Tensor
from torch.nn.functional import one_hot

from tramdag import latent
from tramdag.data import Values
from tramdag.node import Conditional, ContinuousConditional, OrdinalConditional
from tramdag.queries.mediation import Particles, mediators_of, n_branches, propagate
from tramdag.queries.sampling import Interventions

__all__ = [
    "N_SCRAMBLES",
    "LawResult",
    "cdf",
    "density",
    "pmf",
    "quantile",
    "scramble_error",
    "sobol_points",
]

N_SCRAMBLES = 8
"""Independent scramblings of the Sobol points."""

_BLOCK_PARTICLES = 262_144
_BISECTIONS = 80


@dataclass(frozen=True)
class LawResult:
    """A functional of a law per row.

    Attributes:
        estimate: Shape ``(n, k)``: levels (pmf), thresholds (cdf, density) or quantile levels.
        integration_error: Largest standard error that integrating continuous mediators leaves;
            0.0 where none is on the way.
    """

    estimate: Tensor
    integration_error: float


@dataclass(frozen=True)
class Query:
    """A node's law under an intervention, for the rows of a table.

    Attributes:
        conditionals: Conditional laws in causal order.
        values: The columns that :func:`~tramdag.queries.mediation.needed_columns` names.
        node: The queried node.
        interventions: Nodes that are set; a callable receives the row's own value.
        n: Number of rows.
        scope: ``"total"`` or ``"controlled"``.
        n_points: Sobol points over all scramblings, 8 times a power of two.
        seed: Seed of the scramblings.
    """

    conditionals: Mapping[str, Conditional]
    values: Values
    node: str
    interventions: Interventions
    n: int
    scope: str = "total"
    n_points: int = 512
    seed: int = 0

    @property
    def leaf(self) -> Conditional:
        """The queried node's conditional law."""
        return self.conditionals[self.node]

    @property
    def fixed(self) -> Values:
        """Values of the nodes that are set, per row."""
        return {
            name: action if isinstance(action, Tensor) else action(self.values[name])
            for name, action in self.interventions.items()
        }

    def blocks(self) -> Iterator[tuple[Particles, slice]]:
        """Particles of the rows, block by block, and the rows that each block holds."""
        mediators = mediators_of(self.conditionals, self.node, self.interventions, scope=self.scope)
        n_continuous = sum(
            isinstance(self.conditionals[name], ContinuousConditional) for name in mediators
        )
        points = sobol_points(self.n_points, n_continuous, self.seed)
        device = self.leaf.intercept.device
        given = {**self.values, **self.fixed}
        given = {name: column.to(device) for name, column in given.items()}
        size = max(1, _BLOCK_PARTICLES // (len(points) * n_branches(self.conditionals, mediators)))
        for start in range(0, self.n, size):
            rows = slice(start, min(start + size, self.n))
            part = {name: column[rows] for name, column in given.items()}
            n = rows.stop - start
            yield propagate(self.conditionals, part, mediators, points.to(device), n), rows


@torch.no_grad()
def pmf(query: Query) -> LawResult:
    """Probabilities of an ordinal node's levels, shape ``(n, K)``."""
    leaf = query.leaf
    assert isinstance(leaf, OrdinalConditional)
    if query.node in query.fixed:
        level = query.fixed[query.node]
        return LawResult(one_hot(level, leaf.levels).to(leaf.dtype), 0.0)

    def probabilities(particles: Particles, rows: slice) -> Tensor:
        return leaf.log_pmf(particles.values, n=len(particles.owner)).exp()

    return _average(query, probabilities)


@torch.no_grad()
def cdf(query: Query, at: Tensor) -> LawResult:
    """P(node <= at), at of shape ``(n, k)``; result ``(n, k)``."""
    leaf = query.leaf
    if isinstance(leaf, OrdinalConditional):
        levels = pmf(query)
        cumulative = torch.cat(
            [torch.zeros_like(levels.estimate[:, :1]), levels.estimate.cumsum(-1)], -1
        )
        index = (at.floor() + 1).clamp(0, leaf.levels).to(torch.int64)
        return LawResult(
            cumulative.gather(-1, index.to(cumulative.device)), levels.integration_error
        )
    assert isinstance(leaf, ContinuousConditional)
    if query.node in query.fixed:
        below = query.fixed[query.node].unsqueeze(-1) <= at
        return LawResult(below.to(leaf.dtype), 0.0)

    def below_at(particles: Particles, rows: slice) -> Tensor:
        return torch.cat(
            [_component_cdf(leaf, particles, column) for column in at[rows].unbind(-1)], -1
        )

    return _average(query, below_at)


@torch.no_grad()
def density(query: Query, at: Tensor) -> LawResult:
    """Density of a continuous node at ``at`` (n, k), per unit of the column; result ``(n, k)``."""
    leaf = query.leaf

    def density_at(particles: Particles, rows: slice) -> Tensor:
        parts = []
        for column in at[rows].unbind(-1):
            own = {query.node: particles.of_rows(column.to(particles.weight.device))}
            parts.append(leaf.log_prob({**particles.values, **own}).exp())
        return torch.stack(parts, -1)

    return _average(query, density_at)


@torch.no_grad()
def quantile(query: Query, q: Tensor) -> LawResult:
    """Quantiles of levels ``q`` (k,); result ``(n, k)``. For ordinal nodes the lowest level with
    a cdf of at least q.
    """  # noqa: D205
    leaf = query.leaf
    if isinstance(leaf, OrdinalConditional):
        levels = pmf(query)
        cumulative = levels.estimate.cumsum(-1)[:, :-1].unsqueeze(-1)
        return LawResult((cumulative < q.to(cumulative)).sum(1).to(leaf.dtype), 0.0)
    assert isinstance(leaf, ContinuousConditional)
    if query.node in query.fixed:
        return LawResult(query.fixed[query.node].unsqueeze(-1).expand(-1, len(q)), 0.0)
    results, errors = [], [0.0]
    for particles, _ in query.blocks():
        columns = []
        for level in q.tolist():
            root, error = _mixture_quantile(leaf, particles, level)
            columns.append(root)
            errors.append(error)
        results.append(torch.stack(columns, -1))
    return LawResult(torch.cat(results), max(errors))


def _mixture_quantile(
    leaf: ContinuousConditional, particles: Particles, level: float
) -> tuple[Tensor, float]:
    """Bisection between the smallest and the largest quantile of the mixture's components."""
    z = torch.full_like(particles.weight, np.log(level / (1.0 - level)))
    components = leaf.generate(particles.values, z)
    row = particles.owner // particles.n_points
    low = components.new_full((particles.n,), torch.inf).scatter_reduce(0, row, components, "amin")
    high = components.new_full((particles.n,), -torch.inf).scatter_reduce(
        0, row, components, "amax"
    )
    if particles.n_points == len(particles.owner) // particles.n == 1:
        return low, 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        below = particles.average(_component_cdf(leaf, particles, middle)).mean(1).squeeze(-1)
        low, high = (
            torch.where(below < level, middle, low),
            torch.where(below < level, high, middle),
        )
    if particles.n_points == 1:
        return high, 0.0
    by_point = particles.average(_component_cdf(leaf, particles, high))
    at = {**particles.values, leaf.name: particles.of_rows(high)}
    slope = particles.average(leaf.log_prob(at).exp().unsqueeze(-1)).mean(1).squeeze(-1)
    return high, float((scramble_error(by_point).squeeze(-1) / slope).max())


def _component_cdf(leaf: ContinuousConditional, particles: Particles, at: Tensor) -> Tensor:
    """P(leaf <= at) of every particle, ``at (n,) -> (N, 1)``."""
    values = {**particles.values, leaf.name: particles.of_rows(at.to(particles.weight.device))}
    return torch.sigmoid(leaf.latent(values)).unsqueeze(-1)


def _average(query: Query, functional: Callable[[Particles, slice], Tensor]) -> LawResult:
    """Average a function of the particles, and of the rows they belong to, over the mediators."""
    means, errors = [], [0.0]
    for particles, rows in query.blocks():
        by_point = particles.average(functional(particles, rows))
        means.append(by_point.mean(1))
        if particles.n_points > 1:
            errors.append(float(scramble_error(by_point).max()))
    return LawResult(torch.cat(means), max(errors))


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
    blocks = [qmc.Sobol(dimension, rng=rng).random(per_scramble) for rng in generators]
    return torch.from_numpy(np.concatenate(blocks)).clamp(2.0**-54, 1.0 - 2.0**-53)
