r"""Effects of one node on another, averaged over the rows of a table and per row.

Marginal quantities, :math:`E[g(Y) \mid do(T = t), \text{row}]` and their differences, need each
world's law alone; ordinal mediators are enumerated, continuous ones integrated. Their standard
errors follow by the delta method: with :math:`\psi_m` the parameters of the nodes on the way,
estimated independently of each other because the likelihood separates,

.. math:: \operatorname{var} \hat Q = \sum_m \nabla_m Q^T \operatorname{cov}(\hat\psi_m) \nabla_m Q
    \; [+ \operatorname{var}_{rows}(q_i) / n \text{ if the rows are a sample}].

Joint quantities, such as :math:`P(g(Y_1) > g(Y_0))`, need the law of both potential outcomes at
once. They assume that a row keeps its latents across worlds, which no data can test; the Frechet
bounds that hold without the assumption are given beside them.

References:
    Tian and Pearl (2000), Probabilities of causation, Annals of Mathematics and AI 28.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tramdag import latent
from tramdag.data import Values
from tramdag.node import ContinuousConditional, OrdinalConditional
from tramdag.queries.mediation import mediators_of
from tramdag.queries.particles import scramble_error, sobol_points
from tramdag.queries.query import Query

__all__ = ["ArmMeans", "JointResult", "arm_means", "joint_outcomes"]

_BLOCK_PARTICLES = 65_536
_SMOOTH_POINTS = 256
_STEP_POINTS = 1024
"""Points for the mean of a continuous outcome given its parents."""


@dataclass(frozen=True)
class ArmMeans:
    """Mean of g(Y) under one intervention, per row, and its gradient.

    Attributes:
        per_row: E[g(Y) | do, row], shape ``(n,)``.
        on_the_way: The outcome and the mediators, in causal order.
        gradients: Node name to the gradient of the mean over rows with respect to psi = (offset,
            increments, linear weights), for the classical nodes on the way; shape ``(q,)`` each.
    """

    per_row: np.ndarray
    on_the_way: tuple[str, ...]
    gradients: dict[str, np.ndarray]


def arm_means(query: Query, score: Callable[[Tensor], Tensor], *, smooth: bool = True) -> ArmMeans:
    """E[g(Y) | do, row] for every row, and the gradient of its mean.

    Args:
        query: Outcome, intervention and rows.
        score: g on a tensor of outcome values or level codes, elementwise.
        smooth: Whether g is smooth in a continuous outcome; steps need more points.
    """
    chain = [
        *mediators_of(query.conditionals, query.node, query.interventions, scope=query.scope),
        query.node,
    ]
    parameters = {
        name: (query.conditionals[name].intercept, query.conditionals[name].linear.weight)
        for name in chain
    }
    flat = [p for pair in parameters.values() for p in pair]
    gradients = [torch.zeros_like(p) for p in flat]
    per_row = []
    with torch.enable_grad():
        for particles, _ in query.blocks():
            leaf = query.leaf
            if isinstance(leaf, OrdinalConditional):
                levels = torch.arange(leaf.levels, device=leaf.intercept.device)
                probabilities = leaf.log_pmf(particles.values, n=len(particles.owner)).exp()
                value = probabilities @ score(levels).to(probabilities.dtype)
            else:
                assert isinstance(leaf, ContinuousConditional)
                size = len(particles.owner)
                value = _conditional_mean(leaf, particles.values, size, score, smooth=smooth)
            rows = particles.average(value.unsqueeze(-1)).mean(1).squeeze(-1)
            per_row.append(rows.detach().cpu())
            if rows.requires_grad:
                parts = torch.autograd.grad(rows.sum() / query.n, flat, allow_unused=True)
                for total, part in zip(gradients, parts, strict=True):
                    if part is not None:
                        total += part
    by_node = {}
    for name, raw, weight in zip(parameters, gradients[::2], gradients[1::2], strict=True):
        if query.conditionals[name].is_classical:
            by_node[name] = torch.cat([_in_increments(parameters[name][0], raw), weight])
    return ArmMeans(
        torch.cat(per_row).numpy(),
        tuple(chain),
        {name: g.cpu().numpy() for name, g in by_node.items()},
    )


def _in_increments(raw: Tensor, gradient: Tensor) -> Tensor:
    """Gradient in (offset, increments) from that in the raw intercept: softplus' is a sigmoid.

    At a bound the slope vanishes; such increments have no standard error and are left out later.
    """
    slope = torch.sigmoid(raw.detach()[1:])
    inner = torch.where(slope > 1e-20, gradient[1:] / slope, 0.0)
    return torch.cat([gradient[:1], inner])


def _conditional_mean(
    leaf: ContinuousConditional,
    parents: Values,
    n: int,
    score: Callable[[Tensor], Tensor],
    *,
    smooth: bool,
) -> Tensor:
    """E[g(Y) | parents] by quadrature over the latent's uniform, ``(n,)``.

    Gauss-Legendre points for a smooth g, bent into the tails by p = (1 - cos(pi t)) / 2; for a g
    that may jump the midpoint rule, whose error for a step is at most half a cell.
    """
    if smooth:
        nodes, weights = np.polynomial.legendre.leggauss(_SMOOTH_POINTS)
        t = 0.5 * (nodes + 1.0)
        levels = 0.5 * (1.0 - np.cos(np.pi * t))
        weights = 0.25 * np.pi * np.sin(np.pi * t) * weights
    else:
        levels = (np.arange(_STEP_POINTS) + 0.5) / _STEP_POINTS
        weights = np.full(_STEP_POINTS, 1.0 / _STEP_POINTS)
    total = torch.zeros(n, dtype=leaf.dtype, device=leaf.intercept.device)
    for level, weight in zip(levels, weights, strict=True):
        z = torch.full_like(total, float(np.log(level) - np.log1p(-level)))
        total = total + weight * score(leaf.generate(parents, z)).to(total.dtype)
    return total


@dataclass(frozen=True)
class JointResult:
    """Per row, quantities of both potential outcomes under shared latents; shape ``(n,)`` each.

    Attributes:
        benefit: P(g(Y_b) > g(Y_a)).
        harm: P(g(Y_b) < g(Y_a)).
        benefit_lower: Frechet bounds of ``benefit``, free of the cross-world assumption.
        benefit_upper: See ``benefit_lower``.
        harm_lower: Likewise for ``harm``.
        harm_upper: See ``harm_lower``.
        integration_error: Largest standard error from integrating over mediators' latents.
    """

    benefit: np.ndarray
    harm: np.ndarray
    benefit_lower: np.ndarray
    benefit_upper: np.ndarray
    harm_lower: np.ndarray
    harm_upper: np.ndarray
    integration_error: float


@torch.no_grad()
def joint_outcomes(before: Query, after: Query, score: Callable[[Tensor], Tensor]) -> JointResult:
    """Benefit and harm of an ordinal outcome between two interventions on the same nodes.

    Mediators share their latents between the worlds, at scrambled Sobol points; the outcome's own
    shared latent is integrated exactly, as the overlap of the two worlds' intervals.

    Args:
        before: Query under the first intervention.
        after: Query under the second.
        score: g on level codes; larger is better.
    """
    leaf = before.leaf
    assert isinstance(leaf, OrdinalConditional)
    mediators = mediators_of(
        before.conditionals, before.node, before.interventions, scope=before.scope
    )
    points = sobol_points(before.n_points, len(mediators), before.seed)
    levels = score(torch.arange(leaf.levels)).double()
    better = (levels.unsqueeze(0) > levels.unsqueeze(1)).double()  # [i, j]: j beats i
    size = max(1, _BLOCK_PARTICLES // len(points))
    chunks, errors = [], [0.0]
    for start in range(0, before.n, size):
        n = min(size, before.n - start)
        worlds = [_shared_world(query, mediators, points, start, n) for query in (before, after)]
        cut_a, cut_b = (leaf.cutpoints(world, n=n * len(points)).double().cpu() for world in worlds)
        joint = _overlap_mass(cut_a, cut_b)
        by_point = torch.stack([(joint * better).sum((1, 2)), (joint * better.T).sum((1, 2))], -1)
        by_point = by_point.unflatten(0, (n, len(points)))
        mean = by_point.mean(1)
        if len(points) > 1:
            errors.append(float(scramble_error(by_point).max()))
        laws = [
            torch.sigmoid(cut).diff(dim=-1).unflatten(0, (n, len(points))).mean(1)
            for cut in (cut_a, cut_b)
        ]
        bounds = [_frechet(laws[0], laws[1], levels), _frechet(laws[1], laws[0], levels)]
        chunks.append(torch.cat([mean, *(torch.stack(b, -1) for b in bounds)], -1))
    benefit, harm, low_b, high_b, low_h, high_h = torch.cat(chunks).numpy().T
    return JointResult(benefit, harm, low_b, high_b, low_h, high_h, max(errors))


def _shared_world(query: Query, mediators: list[str], points: Tensor, start: int, n: int) -> Values:
    """Values of one world for n rows times all points, mediators following shared latents."""
    rows = slice(start, start + n)
    given = {**query.values, **query.fixed}
    values = {k: column[rows].repeat_interleave(len(points)) for k, column in given.items()}
    for j, name in enumerate(mediators):
        z = latent.icdf(points[:, j]).repeat(n)
        values[name] = query.conditionals[name].generate(values, z)
    return values


def _overlap_mass(cut_a: Tensor, cut_b: Tensor) -> Tensor:
    """P(Y_a = i, Y_b = j) for a shared latent, the intervals' overlap; ``(N, K, K)``."""
    a, b = torch.sigmoid(cut_a), torch.sigmoid(cut_b)
    low = torch.maximum(a[:, :-1].unsqueeze(2), b[:, :-1].unsqueeze(1))
    high = torch.minimum(a[:, 1:].unsqueeze(2), b[:, 1:].unsqueeze(1))
    return (high - low).clamp(min=0.0)


def _frechet(law_a: Tensor, law_b: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    r"""Sharp bounds of P(g_b > g_a) over all couplings of two laws, shape ``(n,)`` each.

    .. math:: \max_s [F_a(s) - F_b(s)]_+ \le P(g_b > g_a) \le 1 - \max_s [F_b(s) - F_a(s-)]_+,

    since :math:`\{g_a \le s < g_b\}` implies the event, :math:`\{g_b \le s \le g_a\}` excludes it.
    """
    lower = law_a.new_zeros(len(law_a))
    excluded = law_a.new_zeros(len(law_a))
    for s in scores.unique():
        at_most_a, at_most_b = (law[:, scores <= s].sum(1) for law in (law_a, law_b))
        below_a = law_a[:, scores < s].sum(1)
        lower = torch.maximum(lower, at_most_a - at_most_b)
        excluded = torch.maximum(excluded, at_most_b - below_a)
    return lower.clamp(0.0, 1.0), (1.0 - excluded).clamp(0.0, 1.0)
