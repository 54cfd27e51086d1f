r"""Means and quantiles of an outcome under an intervention, over the rows of a table.

Both are marginal quantities, which need each world's law alone. Their standard errors follow by
the delta method (:mod:`tramdag.queries.statistics`); the gradient of a quantile of the population
law :math:`\bar F = n^{-1} \sum_i F_i` is that of an implicit function,

.. math:: \nabla Q(\tau) = - \nabla \bar F(Q) / \bar f(Q).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tramdag import latent
from tramdag.node import ContinuousConditional, OrdinalConditional
from tramdag.queries.laws import component_cdf, component_density
from tramdag.queries.particles import Particles
from tramdag.queries.query import Query
from tramdag.queries.statistics import Statistics, weighted_sums

__all__ = ["arm_means", "arm_quantiles", "latent_quadrature", "outcome_blocks"]

_SMOOTH_POINTS = 256
_STEP_POINTS = 1024
"""Points for the mean of a continuous outcome given its parents."""

_CELLS = 16
_GOLDEN = 0.6180339887498949

_QUADRATURE_PARTICLES = 8_192
"""Particles per block where each needs a quadrature of its own."""

_QUADRATURE_VALUES = 131_072
"""Values of the outcome, one per particle and point, that are inverted together."""

_NEWTON_STEPS = 60


@dataclass(frozen=True)
class Outcomes:
    """Values of the outcome of N particles at c points, the points one after another.

    Attributes:
        values: Shape ``(c * N,)``.
        raw: The transform's parameters, ``(1, k)`` or ``(c * N, k)``.
        shift: Shape ``(c * N,)``.
        n_points: c.
    """

    values: Tensor
    raw: Tensor
    shift: Tensor
    n_points: int

    def by_point(self, values: Tensor) -> Tensor:
        """One number per value as a table, ``(c * N,) -> (c, N)``."""
        return values.unflatten(0, (self.n_points, -1))


def arm_means(
    query: Query, name: str, score: Callable[[Tensor], Tensor], *, smooth: bool = True
) -> tuple[np.ndarray, Statistics]:
    """E[g(Y) | do, row] for every row, and its mean with gradient.

    Args:
        query: Outcome, intervention and rows.
        name: Name of the statistic.
        score: g on a tensor of outcome values or level codes, elementwise.
        smooth: Whether g is smooth and differentiable by autograd; else it may jump.

    Returns:
        Shape ``(n,)``, and one statistic.
    """
    leaf = query.leaf

    def blocks() -> Iterator[tuple[Tensor, slice]]:
        if isinstance(leaf, OrdinalConditional):
            g = score(torch.arange(leaf.levels, device=leaf.intercept.device))
            for particles, rows in query.blocks():
                p = leaf.log_pmf(particles.values, n=len(particles.owner)).exp()
                yield particles.mean((p @ g.to(p)).unsqueeze(-1)), rows
            return
        assert isinstance(leaf, ContinuousConditional)
        for particles, rows in query.blocks(size=_QUADRATURE_PARTICLES):
            mean = _conditional_mean(leaf, particles, score, smooth=smooth)
            yield particles.mean(mean.unsqueeze(-1)), rows

    uniform = np.full(query.n, 1.0 / query.n)
    per_row, statistics = weighted_sums(query, blocks(), {name: (uniform, 0)})
    return per_row[:, 0], statistics


def arm_quantiles(query: Query, levels: Mapping[str, float]) -> Statistics:
    """Quantiles of a continuous outcome's law over all rows together, with gradients.

    Args:
        query: Outcome, intervention and rows.
        levels: Names of the statistics to quantile levels in (0, 1).

    Returns:
        One statistic per level, in the outcome's unit.
    """
    leaf = query.leaf
    assert isinstance(leaf, ContinuousConditional)
    q = np.array(list(levels.values()))
    roots = _population_quantiles(query, leaf, q)

    def blocks(component: Callable[..., Tensor]) -> Iterator[tuple[Tensor, slice]]:
        for particles, rows in query.blocks():
            values = component(leaf, particles, roots.expand(particles.n, -1))
            yield particles.mean(values), rows

    with torch.no_grad():
        slope = torch.cat([f for f, _ in blocks(component_density)]).mean(0).double().cpu().numpy()
    uniform = np.full(query.n, 1.0 / query.n)
    _, below = weighted_sums(
        query, blocks(component_cdf), {name: (uniform, j) for j, name in enumerate(levels)}
    )
    return Statistics(
        tuple(levels),
        roots.double().cpu().numpy(),
        -below.row_influence / slope,
        {node: -gradient / slope[:, None] for node, gradient in below.gradients.items()},
    )


@torch.no_grad()
def _population_quantiles(query: Query, leaf: ContinuousConditional, q: np.ndarray) -> Tensor:
    """Roots of mean F_i(x) = q by Newton's method inside a shrinking bracket; ``(k,)``."""
    device = leaf.intercept.device
    z = torch.from_numpy(np.log(q) - np.log1p(-q)).to(device)
    low = torch.full_like(z, torch.inf)
    high = torch.full_like(z, -torch.inf)
    for particles, _ in query.blocks():
        for j, level in enumerate(z):
            component = leaf.generate(particles.values, level.expand(len(particles.owner)))
            low[j] = torch.minimum(low[j], component.min())
            high[j] = torch.maximum(high[j], component.max())
    target = torch.from_numpy(q).to(device)
    x = 0.5 * (low + high)
    for _ in range(_NEWTON_STEPS):
        below, slope = torch.zeros_like(x), torch.zeros_like(x)
        for particles, _ in query.blocks():
            at = x.expand(particles.n, -1)
            below += particles.mean(component_cdf(leaf, particles, at)).sum(0)
            slope += particles.mean(component_density(leaf, particles, at)).sum(0)
        gap = below / query.n - target
        low, high = torch.where(gap < 0, x, low), torch.where(gap < 0, high, x)
        newton = x - gap / (slope / query.n)
        inside = (newton >= low) & (newton <= high)
        step = torch.where(inside, newton, 0.5 * (low + high)) - x
        x = x + step
        if bool((step.abs() <= 1e-12 * (leaf.half_range + x.abs())).all()):
            break
    return x


def outcome_blocks(
    leaf: ContinuousConditional, worlds: Sequence[Particles], levels: Tensor, weights: Tensor
) -> Iterator[tuple[list[Outcomes], Tensor]]:
    """The outcome at levels of its latent's uniform, shared by the worlds, many at a time.

    Args:
        leaf: The outcome.
        worlds: Its parents; the same number of particles in every world.
        levels: In (0, 1), ``(c, 1)`` or ``(c, N)``; see :func:`latent_quadrature`.
        weights: Weights of the points, ``(c,)``.

    Returns:
        Per block the outcomes of every world, and the points' weights.
    """
    n = len(worlds[0].owner)
    given = [leaf.parameters_given(*leaf.encode_parents(w.values, n)) for w in worlds]
    step = max(1, _QUADRATURE_VALUES // n)
    for part, weight in zip(levels.split(step), weights.split(step), strict=True):
        c = len(part)
        z = latent.icdf(part.to(leaf.dtype)).expand(c, n).flatten()
        outcomes = []
        for raw, shift in given:
            wide = raw if len(raw) == 1 else raw.repeat(c, 1)
            values = leaf.generate_given(wide, shift.repeat(c), z)
            outcomes.append(Outcomes(values, wide, shift.repeat(c), c))
        yield outcomes, weight


def latent_quadrature(particles: Particles, *, smooth: bool) -> tuple[Tensor, Tensor]:
    """Levels in (0, 1) and weights for an integral over the outcome's latent.

    Where rows have one point each: Gauss-Legendre points for a smooth integrand, bent into the
    tails by p = (1 - cos(pi t)) / 2; for one that may jump the midpoint rule, whose error for a
    step is at most half a cell. Among many points per row a few cells do, moved within the cell
    from point to point by multiples of the golden ratio (Weyl's sequence).

    Returns:
        Levels ``(c, 1)``, or ``(c, N)`` where they move, and weights ``(c,)``.
    """
    device = particles.weight.device
    if particles.n_points == 1 and smooth:
        nodes, weights = np.polynomial.legendre.leggauss(_SMOOTH_POINTS)
        nodes = 0.5 * np.pi * (nodes + 1.0)
        levels = torch.from_numpy(0.5 * (1.0 - np.cos(nodes))).unsqueeze(-1)
        return levels.to(device), torch.from_numpy(0.25 * np.pi * np.sin(nodes) * weights).to(
            device
        )
    cells = _STEP_POINTS if particles.n_points == 1 else _CELLS
    shift = torch.full((1,), 0.5, dtype=torch.float64, device=device)
    if particles.n_points > 1:
        point = particles.owner % particles.n_points
        shift = ((point + 0.5) * _GOLDEN).remainder(1.0)
    first = torch.arange(cells, dtype=torch.float64, device=device)
    return (first.unsqueeze(-1) + shift) / cells, torch.full_like(first, 1.0 / cells)


def _conditional_mean(
    leaf: ContinuousConditional,
    particles: Particles,
    score: Callable[[Tensor], Tensor],
    *,
    smooth: bool,
) -> Tensor:
    r"""E[g(Y) | parents] by quadrature over the latent's uniform, shape ``(N,)``.

    A g without a derivative is held fixed at the points and the law moves instead,
    :math:`\nabla E[g] = E[g(Y) \nabla \log p(Y)]`.
    """
    total = torch.zeros_like(particles.weight, dtype=leaf.dtype)
    points = latent_quadrature(particles, smooth=smooth)
    for (outcome,), weight in outcome_blocks(leaf, [particles], *points):
        y = outcome.values if smooth else outcome.values.detach()
        terms = score(y).to(total.dtype)
        if not smooth:
            encoded = leaf.encode_outcome({leaf.name: y})
            log_p = leaf.log_prob_given(outcome.raw, outcome.shift, encoded)
            terms = terms * torch.exp(log_p - log_p.detach())
        total = total + weight.to(total.dtype) @ outcome.by_point(terms)
    return total
