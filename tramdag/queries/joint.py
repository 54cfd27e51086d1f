r"""Joint laws of both potential outcomes of a row, :math:`P(g(Y_b) > g(Y_a))` and its kin.

They need both worlds at once and assume that a row keeps its latents across them, given its
causes (rank invariance). No data, not even a trial, can test this cross-world assumption; the
Frechet bounds that hold without it are given beside every such quantity.

Under shared latents an ordinal node takes the levels i and j in the two worlds with the
probability of its intervals' overlap,

.. math:: P(Y_a = i, Y_b = j) =
    [F(\min(c^a_i, c^b_j)) - F(\max(c^a_{i-1}, c^b_{j-1}))]_+,

so pairs of levels are enumerated; continuous nodes share scrambled Sobol points.

References:
    Tian and Pearl (2000), Probabilities of causation, Annals of Mathematics and AI 28.
    Fan and Park (2010), Sharp bounds on the distribution of treatment effects, Econometric
    Theory 26 (continuous outcomes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tramdag import latent
from tramdag.node import ContinuousConditional, OrdinalConditional
from tramdag.queries.effects import latent_quadrature, outcome_blocks
from tramdag.queries.laws import component_cdf
from tramdag.queries.mediation import mediators_of
from tramdag.queries.particles import Particles, Plan, make_plan, sobol_points
from tramdag.queries.query import Query
from tramdag.queries.statistics import Statistics, weighted_sums

__all__ = ["JointResult", "joint_outcomes"]

_BLOCK_PARTICLES = 65_536
_BOUND_LEVELS = 32
"""Thresholds per world at which the bounds of a continuous outcome are taken."""

Score = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class JointResult:
    """Quantities of both potential outcomes under shared latents, for n rows.

    Attributes:
        per_row: P(g(Y_b) > g(Y_a)), P(g(Y_b) < g(Y_a)), E[g(Y_b)], 1 - E[g(Y_a)], ``(n, 4)``.
        bounds: Frechet bounds of the first two, lower and upper each, ``(n, 4)``; nan for a
            continuous outcome under a score that is neither itself nor 0/1.
        sums: ``benefit`` and ``harm`` averaged over the rows and, unless g is known not to be 0/1,
            over the n rows the shares of rows observed at b with ``event_b`` and with
            ``benefit_b``, of rows observed at a with ``no_event_a`` and with ``benefit_a``.
        binary: Whether g is 0 or 1 wherever it was asked.
        differentiable: Whether ``sums`` has the gradients of all nodes.
        integration_error: Largest standard error of a row's benefit or harm from integrating over
            latents.
    """

    per_row: np.ndarray
    bounds: np.ndarray
    sums: Statistics
    binary: bool
    differentiable: bool
    integration_error: float


def joint_outcomes(
    before: Query,
    after: Query,
    score: Score,
    *,
    observed: tuple[np.ndarray, np.ndarray],
    identity: bool,
) -> JointResult:
    """Benefit, harm and what the probabilities of causation need, between two interventions.

    Args:
        before: Query of given rows under the first intervention.
        after: The same under the second, on the same nodes.
        score: g on outcome values or level codes; larger is better.
        observed: Which rows were observed under the first and under the second, ``(n,)`` each.
        identity: Whether g is the outcome itself.
    """
    leaf = before.leaf
    mediators = mediators_of(before.conditionals, before.node, before.interventions)
    continuous = not isinstance(leaf, OrdinalConditional)
    plan = make_plan(before.conditionals, mediators, n_points=before.n_points, worlds=2)
    ordinal = {m for m in mediators if isinstance(before.conditionals[m], OrdinalConditional)}
    bounds: list[Tensor] = []
    errors: list[float] = [0.0]
    binary: list[bool] = []
    weights = [chosen / before.n for chosen in (np.ones(before.n), *observed)]
    sums = {"benefit": (weights[0], 0), "harm": (weights[0], 1)}
    if not isinstance(leaf, OrdinalConditional) or _is_binary(score(torch.arange(leaf.levels))):
        sums |= {"benefit_b": (weights[2], 0), "event_b": (weights[2], 2)}
        sums |= {"benefit_a": (weights[1], 0), "no_event_a": (weights[1], 3)}

    def blocks() -> Iterator[tuple[Tensor, slice]]:
        for worlds, rows in _twin_blocks(before, after, plan):
            if isinstance(leaf, OrdinalConditional):
                values, g = _ordinal_outcome(leaf, worlds, score)
                bounds.append(_ordinal_bounds(leaf, worlds, g))
                binary.append(_is_binary(g))
            else:
                assert isinstance(leaf, ContinuousConditional)
                values, zero_one = _continuous_outcome(leaf, worlds, score)
                binary.append(zero_one)
            mean = worlds[0].mean(values)
            if isinstance(leaf, ContinuousConditional):
                bounds.append(
                    _bounds_on_grid(leaf, worlds)
                    if identity
                    else _binary_bounds(mean.detach(), known=binary[-1])
                )
            with torch.no_grad():
                errors.append(float(worlds[0].error(values[:, :2]).max()))
            yield mean, rows

    per_row, statistics = weighted_sums(before, blocks(), sums)
    return JointResult(
        per_row,
        torch.cat(bounds).double().cpu().numpy(),
        statistics,
        all(binary),
        not continuous and ordinal <= plan.enumerated,
        max(errors),
    )


def _is_binary(g: Tensor) -> bool:
    return bool(((g == 0) | (g == 1)).all())


def _twin_blocks(
    before: Query, after: Query, plan: Plan
) -> Iterator[tuple[tuple[Particles, Particles], slice]]:
    """Particles of both worlds, block by block; the two share owners and weights."""
    device = before.leaf.intercept.device
    points = sobol_points(before.n_points, plan.dimension, before.seed).to(device)
    given = [{**query.values, **query.fixed} for query in (before, after)]
    step = max(1, _BLOCK_PARTICLES // (len(points) * plan.branches))
    for start in range(0, before.n, step):
        rows = slice(start, min(start + step, before.n))
        parts = [
            {name: c[rows].to(device).repeat_interleave(len(points)) for name, c in world.items()}
            for world in given
        ]
        yield _twins(before, parts, plan, points, rows.stop - start), rows


def _twins(
    query: Query, worlds: list[dict[str, Tensor]], plan: Plan, points: Tensor, n: int
) -> tuple[Particles, Particles]:
    """Let the integrated nodes respond in both worlds, from shared latents."""
    n_points = len(points)
    uniforms = points.repeat(n, 1)
    owner = torch.arange(n * n_points, device=points.device)
    weight = torch.ones(n * n_points, dtype=torch.float64, device=points.device)
    used = 0
    for name in plan.integrated:
        conditional = query.conditionals[name]
        if name in plan.enumerated:
            assert isinstance(conditional, OrdinalConditional)
            mass = _overlap_mass(*(conditional.cutpoints(w, n=len(owner)) for w in worlds))
            # of the K^2 pairs at most 2 K - 1 have mass
            index, *levels = mass.nonzero(as_tuple=True)
            weight = weight[index] * mass[index, levels[0], levels[1]]
            uniforms, owner = uniforms[index], owner[index]
            worlds = [{k: column[index] for k, column in world.items()} for world in worlds]
            for world, level in zip(worlds, levels, strict=True):
                world[name] = level
        else:
            z = latent.icdf(uniforms[:, used])
            for world in worlds:
                world[name] = conditional.generate(world, z)
            used += 1
    first, second = (Particles(world, owner, weight, n, n_points) for world in worlds)
    return first, second


def _overlap_mass(cut_a: Tensor, cut_b: Tensor) -> Tensor:
    """P(Y_a = i, Y_b = j) for a shared latent, the intervals' overlap; ``(N, K, K)``."""
    a, b = torch.sigmoid(cut_a.double()), torch.sigmoid(cut_b.double())
    low = torch.maximum(a[:, :-1].unsqueeze(2), b[:, :-1].unsqueeze(1))
    high = torch.minimum(a[:, 1:].unsqueeze(2), b[:, 1:].unsqueeze(1))
    return (high - low).clamp(min=0.0)


def _ordinal_outcome(
    leaf: OrdinalConditional, worlds: tuple[Particles, Particles], score: Score
) -> tuple[Tensor, Tensor]:
    """The four quantities of every particle, ``(N, 4)``, and g of the levels."""
    g = score(torch.arange(leaf.levels, device=leaf.intercept.device)).double()
    size = len(worlds[0].owner)
    cut_a, cut_b = (leaf.cutpoints(world.values, n=size).double() for world in worlds)
    joint = _overlap_mass(cut_a, cut_b)
    better = (g.unsqueeze(0) > g.unsqueeze(1)).double()  # [i, j]: j beats i
    benefit, harm = ((joint * which).sum((1, 2)) for which in (better, better.T))
    mean_a, mean_b = (torch.sigmoid(cut).diff(dim=-1) @ g for cut in (cut_a, cut_b))
    return torch.stack([benefit, harm, mean_b, 1.0 - mean_a], -1), g


@torch.no_grad()
def _continuous_outcome(
    leaf: ContinuousConditional, worlds: tuple[Particles, Particles], score: Score
) -> tuple[Tensor, bool]:
    """Likewise for a continuous outcome by quadrature over its shared latent; is g 0 or 1?"""
    total = worlds[0].weight.new_zeros(4, len(worlds[0].owner))
    binary = True
    points = latent_quadrature(worlds[0], smooth=False)
    for outcomes, weight in outcome_blocks(leaf, worlds, *points):
        g_a, g_b = (o.by_point(score(o.values).double()) for o in outcomes)
        quantities = (g_b > g_a).double(), (g_b < g_a).double(), g_b, 1.0 - g_a
        total += torch.stack([weight @ quantity for quantity in quantities])
        binary = binary and _is_binary(g_a) and _is_binary(g_b)
    return total.T, binary


@torch.no_grad()
def _ordinal_bounds(
    leaf: OrdinalConditional, worlds: tuple[Particles, Particles], g: Tensor
) -> Tensor:
    size = len(worlds[0].owner)
    laws = [w.mean(leaf.log_pmf(w.values, n=size).exp()).double() for w in worlds]
    thresholds = g.unique()
    at_most = [torch.stack([law[:, g <= s].sum(1) for s in thresholds], -1) for law in laws]
    below = [torch.stack([law[:, g < s].sum(1) for s in thresholds], -1) for law in laws]
    return torch.cat(
        [_frechet(at_most[0], at_most[1], below[0]), _frechet(at_most[1], at_most[0], below[1])], -1
    )


@torch.no_grad()
def _bounds_on_grid(leaf: ContinuousConditional, worlds: tuple[Particles, Particles]) -> Tensor:
    """Bounds of a continuous outcome from its cdf at a grid: at most too wide."""
    grid = torch.arange(_BOUND_LEVELS, dtype=torch.float64, device=worlds[0].weight.device)
    levels = ((grid + 0.5) / _BOUND_LEVELS).unsqueeze(-1)
    thresholds = torch.cat(
        [
            world.mean(outcome.by_point(outcome.values).T)
            for outcomes, _ in outcome_blocks(leaf, worlds, levels, grid)
            for world, outcome in zip(worlds, outcomes, strict=True)
        ],
        -1,
    )
    at_most = [w.mean(component_cdf(leaf, w, thresholds)).double() for w in worlds]
    return torch.cat(
        [
            _frechet(at_most[0], at_most[1], at_most[0]),
            _frechet(at_most[1], at_most[0], at_most[1]),
        ],
        -1,
    )


def _binary_bounds(mean: Tensor, *, known: bool) -> Tensor:
    """Bounds for a 0/1 score, max(0, p_b - p_a) and min(p_b, 1 - p_a), and for harm likewise."""
    if not known:
        return torch.full_like(mean, torch.nan)
    p_b, q_a = mean[:, 2], mean[:, 3]
    p_a, q_b = 1.0 - q_a, 1.0 - p_b
    ends = [
        (p_b - p_a).clamp(min=0.0),
        torch.minimum(p_b, q_a),
        (p_a - p_b).clamp(min=0.0),
        torch.minimum(p_a, q_b),
    ]
    return torch.stack(ends, -1)


def _frechet(at_most_a: Tensor, at_most_b: Tensor, below_a: Tensor) -> Tensor:
    r"""Sharp bounds of P(g_b > g_a) over all couplings of two laws; ``(n, thresholds) -> (n, 2)``.

    .. math:: \max_s [F_a(s) - F_b(s)]_+ \le P(g_b > g_a) \le 1 - \max_s [F_b(s) - F_a(s-)]_+,

    since :math:`\{g_a \le s < g_b\}` implies the event, :math:`\{g_b \le s \le g_a\}` excludes it.
    """
    lower = (at_most_a - at_most_b).amax(1).clamp(0.0, 1.0)
    upper = (1.0 - (at_most_b - below_a).amax(1)).clamp(0.0, 1.0)
    return torch.stack([lower, upper], -1)
