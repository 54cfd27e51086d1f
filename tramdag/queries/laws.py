r"""The law of one node under an intervention: pmf, cdf, density, quantile.

With M the nodes that are integrated out (:mod:`tramdag.queries.mediation`) the law is the mixture

.. math:: P(Y \in \cdot \mid do, e) = \int P(Y \in \cdot \mid \mathrm{pa}(m)) \, dP(m \mid do, e),

where the last step is analytic and the integral is a sum over weighted particles
(:mod:`tramdag.queries.particles`). Only where effects of Y itself are evidence do the particles
hold Y's values too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tramdag.data import Values
from tramdag.node import Conditional, ContinuousConditional, OrdinalConditional
from tramdag.queries.particles import Particles, make_plan
from tramdag.queries.query import Query

__all__ = ["LawResult", "cdf", "density", "pmf", "quantile"]

_THRESHOLDS = 32
"""Thresholds per pass over a block of rows, which bounds the memory of tables with many columns."""

_BLOCK_VALUES = 262_144
"""Values of the node, one per particle and threshold, at which its law is evaluated in one go."""

_BISECTIONS = 80


@dataclass(frozen=True)
class LawResult:
    """A functional of a law per row.

    Attributes:
        estimate: Shape ``(n, k)``: levels (pmf), thresholds (cdf, density) or quantile levels.
        error: Standard error that integrating continuous nodes leaves, same shape; zero where
            none is integrated.
        effective_sample_size: Smallest one over the rows; infinite where no points are weighed.
    """

    estimate: Tensor
    error: Tensor
    effective_sample_size: float = float("inf")

    @property
    def integration_error(self) -> float:
        """The largest error of the table."""
        return float(self.error.max())


def _certain(estimate: Tensor) -> LawResult:
    return LawResult(estimate, torch.zeros_like(estimate))


@torch.no_grad()
def pmf(query: Query) -> LawResult:
    """Probabilities of an ordinal node's levels, shape ``(n, K)``."""
    leaf = query.leaf
    assert isinstance(leaf, OrdinalConditional)
    if query.node in query.fixed:
        return _certain(one_hot(query.fixed[query.node], leaf.levels).to(leaf.dtype))
    carried = query.carries_node

    def probabilities(particles: Particles, rows: slice) -> Tensor:
        if carried:
            return one_hot(particles.values[query.node], leaf.levels).to(leaf.dtype)
        return leaf.log_pmf(particles.values, n=len(particles.owner)).exp()

    return _average(query, probabilities)


@torch.no_grad()
def cdf(query: Query, at: Tensor) -> LawResult:
    """P(node <= at), at of shape ``(n, k)``; result ``(n, k)``."""
    leaf = query.leaf
    if isinstance(leaf, OrdinalConditional) and query.node not in query.fixed:
        levels = torch.arange(leaf.levels, device=leaf.intercept.device)

        def up_to(particles: Particles, rows: slice) -> Tensor:
            below = particles.of_rows((levels <= at[rows].to(levels.device).unsqueeze(-1)).double())
            if query.node in particles.values:
                own = particles.values[query.node].reshape(-1, 1, 1).expand(-1, below.shape[1], 1)
                return below.gather(-1, own).squeeze(-1).to(leaf.dtype)
            p = leaf.log_pmf(particles.values, n=len(particles.owner)).exp()
            return (below.to(p) @ p.unsqueeze(-1)).squeeze(-1)

        return _average(query, up_to)
    if query.node in query.fixed:
        return _certain((query.fixed[query.node].unsqueeze(-1) <= at).to(leaf.dtype))
    assert isinstance(leaf, ContinuousConditional)
    return _average_at(query, at, lambda particles, part: component_cdf(leaf, particles, part))


@torch.no_grad()
def density(query: Query, at: Tensor) -> LawResult:
    """Density of a continuous node at ``at`` (n, k), per unit of the column; result ``(n, k)``."""
    leaf = query.leaf
    if query.carries_node:
        return _density_of_evidence(query, at)
    return _average_at(query, at, lambda particles, part: component_density(leaf, particles, part))


def _density_of_evidence(query: Query, at: Tensor) -> LawResult:
    """p(y, e) / p(e): the likelihood of the evidence with and without the node's value."""
    plan = query.plan
    rest = [name for name in plan.integrated if name != query.node]
    weighing = [name for name in query.conditionals if name in {query.node, *plan.weighing}]
    joint_plan = make_plan(
        query.conditionals,
        rest,
        n_points=query.n_points,
        weighing=weighing,
        actions=plan.actions,
    )
    log_mass, relative, size = _log_evidence(query.blocks())
    estimates, errors = [], []
    for column in at.unbind(-1):
        blocks = query.blocks(plan=joint_plan, given={query.node: column})
        log_joint, relative_joint, _ = _log_evidence(blocks)
        estimates.append(torch.exp(log_joint - log_mass))
        errors.append(estimates[-1] * torch.hypot(relative, relative_joint))
    return LawResult(torch.stack(estimates, -1), torch.stack(errors, -1), size)


def _log_evidence(
    blocks: Iterator[tuple[Particles, slice]],
) -> tuple[Tensor, Tensor, float]:
    """Log likelihood of the evidence per row, its relative error, the effective sample size."""
    logs, errors, sizes = [], [], []
    for particles, _ in blocks:
        assert particles.log_scale is not None
        mass = particles.mass()
        logs.append(particles.log_scale + mass.mean(1).squeeze(-1).log())
        plain = replace(particles, log_scale=None)
        one = torch.ones_like(particles.weight).unsqueeze(-1)
        errors.append((plain.error(one) / mass.mean(1)).squeeze(-1))
        sizes.append(float(particles.effective_size().min()))
    return torch.cat(logs), torch.cat(errors), min(sizes)


@torch.no_grad()
def quantile(query: Query, q: Tensor) -> LawResult:
    """Quantiles of levels ``q`` (k,); result ``(n, k)``.

    The integration error of a continuous node's quantile is that of its cdf over its density; an
    ordinal node's quantile, the lowest level with a cdf of at least q, has none.
    """
    leaf = query.leaf
    if query.node in query.fixed:
        own = query.fixed[query.node].unsqueeze(-1)
        return _certain(own.expand(-1, len(q)).to(leaf.dtype))
    if isinstance(leaf, OrdinalConditional):
        levels = pmf(query)
        cumulative = levels.estimate.cumsum(-1)[:, :-1].unsqueeze(-1)
        lowest = (cumulative < q.to(cumulative)).sum(1).to(leaf.dtype)
        return LawResult(lowest, torch.zeros_like(lowest), levels.effective_sample_size)
    assert isinstance(leaf, ContinuousConditional)
    carried = query.carries_node
    results = []
    for particles, _ in query.blocks():
        columns = [_mixture_quantile(leaf, particles, level, carried) for level in q.tolist()]
        results.append(torch.stack(columns, -1))
    roots = torch.cat(results)
    below = cdf(query, roots)
    if query.plan.dimension == 0:
        return LawResult(roots, torch.zeros_like(roots), below.effective_sample_size)
    if query.node in query.interventions:
        # the node's own density is unknown behind a callable
        slope = torch.full_like(roots, torch.nan)
    else:
        slope = density(query, roots).estimate
    return LawResult(roots, below.error / slope, below.effective_sample_size)


def _mixture_quantile(
    leaf: ContinuousConditional, particles: Particles, level: float, carried: bool
) -> Tensor:
    """Bisection between the smallest and the largest quantile of the mixture's components."""
    if carried:
        components = particles.values[leaf.name]
    else:
        z = torch.full_like(particles.weight, np.log(level / (1.0 - level)))
        components = leaf.generate(particles.values, z)
    row = particles.owner // particles.n_points
    low = components.new_full((particles.n,), torch.inf).scatter_reduce(0, row, components, "amin")
    high = components.new_full((particles.n,), -torch.inf).scatter_reduce(
        0, row, components, "amax"
    )
    if len(particles.owner) == particles.n:
        return low
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        below = particles.mean(component_cdf(leaf, particles, middle)).squeeze(-1)
        low, high = (
            torch.where(below < level, middle, low),
            torch.where(below < level, high, middle),
        )
    return high


def component_cdf(leaf: ContinuousConditional, particles: Particles, at: Tensor) -> Tensor:
    """P(leaf <= at) given each particle, ``at (n,)`` or ``(n, k) -> (N, 1)`` or ``(N, k)``."""
    if leaf.name in particles.values:
        at = particles.of_rows(at.to(particles.weight.device).reshape(particles.n, -1))
        return (particles.values[leaf.name].unsqueeze(-1) <= at).to(leaf.dtype)
    return _at_thresholds(leaf, particles, at, lambda values: torch.sigmoid(leaf.latent(values)))


def component_density(leaf: Conditional, particles: Particles, at: Tensor) -> Tensor:
    """Density of the leaf at ``at`` given each particle, shapes as in :func:`component_cdf`."""
    return _at_thresholds(leaf, particles, at, lambda values: leaf.log_prob(values).exp())


def _at_thresholds(
    leaf: Conditional, particles: Particles, at: Tensor, law: Callable[[Values], Tensor]
) -> Tensor:
    """A function of the leaf's value and its parents, a block of thresholds at a time."""
    n = len(particles.owner)
    thresholds = at.to(particles.weight.device).reshape(particles.n, -1)
    parts = []
    for part in thresholds.split(max(1, _BLOCK_VALUES // n), -1):
        k = part.shape[-1]
        values = {p: particles.values[p].repeat_interleave(k) for p in leaf.parents}
        values[leaf.name] = particles.of_rows(part).flatten()
        parts.append(law(values).unflatten(0, (n, k)))
    return torch.cat(parts, -1)


def _average(query: Query, functional: Callable[[Particles, slice], Tensor]) -> LawResult:
    """Expectation of a function of the particles, and of the rows they belong to."""
    means, errors, sizes = [], [], []
    for particles, rows in query.blocks():
        values = functional(particles, rows)
        means.append(particles.mean(values))
        errors.append(particles.error(values))
        sizes.append(float(particles.effective_size().min()))
    return LawResult(torch.cat(means), torch.cat(errors), min(sizes))


def _average_at(
    query: Query, at: Tensor, functional: Callable[[Particles, Tensor], Tensor]
) -> LawResult:
    """Expectation of a function of the particles and of their rows' thresholds ``at (n, k)``."""
    means, errors, sizes = [], [], []
    for particles, rows in query.blocks():
        passes = []
        for part in at[rows].split(_THRESHOLDS, -1):
            values = functional(particles, part)
            passes.append((particles.mean(values), particles.error(values)))
        mean, error = (torch.cat(columns, -1) for columns in zip(*passes, strict=True))
        means.append(mean)
        errors.append(error)
        sizes.append(float(particles.effective_size().min()))
    return LawResult(torch.cat(means), torch.cat(errors), min(sizes))
