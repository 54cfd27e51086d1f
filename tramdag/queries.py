"""Observational, interventional and counterfactual queries on a fitted DAG.

All functions take the nodes' conditional laws as a mapping in causal order and tables as
dicts of tensors; they know neither DataFrames nor the flow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import qmc
from torch import Tensor
from torch.nn.functional import one_hot

from tramdag import latent
from tramdag.data import Values
from tramdag.node import Conditional, OrdinalConditional
from tramdag.spec import Spec, descendants

__all__ = [
    "Interventions",
    "PmfResult",
    "abduct",
    "interventional_pmf",
    "log_prob",
    "mediators_of",
    "needed_columns",
    "sample",
]

Interventions = Mapping[str, Tensor | Callable[[Tensor], Tensor]]
"""Node name to do value per row, or to a function of the natural values."""

_BLOCK_ROWS = 65_536
_BLOCK_PARTICLES = 1_048_576
_SCRAMBLES = 8
"""Independent scramblings of the Sobol points; their spread is the reported integration error."""


@torch.no_grad()
def log_prob(conditionals: Mapping[str, Conditional], values: Values) -> Values:
    """Log density or mass of every node given its parents, nats, shape ``(n,)`` each."""
    return {
        name: _by_blocks(conditional.log_prob, _family(values, conditional))
        for name, conditional in conditionals.items()
    }


@torch.no_grad()
def sample(
    conditionals: Mapping[str, Conditional],
    n: int,
    *,
    interventions: Interventions,
    latents: Values | None,
    seed: int,
) -> Values:
    """Draw rows in causal order, from given latents or from keyed fresh ones.

    Args:
        conditionals: Conditional laws in causal order.
        n: Number of rows.
        interventions: Nodes whose values are set; the edges into them are cut. A callable receives
            the values the node would have taken.
        latents: Latents of a factual table (counterfactuals), or None.
        seed: Seed of fresh latents; unused where latents are given.

    Returns:
        All columns, shape ``(n,)`` each.
    """
    values: Values = {}
    for name, conditional in conditionals.items():
        action = interventions.get(name)
        if isinstance(action, Tensor):
            values[name] = action.to(conditional.intercept.device)
            continue
        u = (
            latent.icdf(latent.keyed_uniforms(n, seed, "latent", name))
            if latents is None or name not in latents
            else latents[name]
        ).to(conditional.intercept.device)
        natural = _generate(conditional, values, u)
        values[name] = natural if action is None else action(natural)
    return values


@torch.no_grad()
def abduct(conditionals: Mapping[str, Conditional], values: Values, *, seed: int) -> Values:
    """Latents of observed rows: exact for continuous nodes, one truncated draw for ordinal ones."""
    n = len(next(iter(values.values())))
    latents: Values = {}
    for name, conditional in conditionals.items():
        family = _family(values, conditional)
        family["uniform"] = latent.keyed_uniforms(n, seed, "abduct", name).to(
            conditional.intercept.device
        )

        def of(rows: Values, conditional: Conditional = conditional) -> Tensor:
            return conditional.abduct(rows, rows["uniform"])

        latents[name] = _by_blocks(of, family)
    return latents


@dataclass(frozen=True)
class PmfResult:
    """Probabilities of a node's levels per row.

    Attributes:
        probabilities: Shape ``(n, K)``.
        integration_error: Largest standard error of a probability that integrating continuous
            mediators numerically leaves; 0.0 where none is on the way.
    """

    probabilities: Tensor
    integration_error: float


@torch.no_grad()
def interventional_pmf(
    conditionals: Mapping[str, Conditional],
    values: Values,
    node: str,
    *,
    interventions: Interventions,
    n: int,
    n_points: int = 512,
    seed: int,
) -> PmfResult:
    r"""P(node = k | do, the row's values of everything that the intervention does not change).

    Nodes that are effects of the intervention and causes of ``node`` are integrated out: ordinal
    ones by enumeration, continuous ones over their latents by scrambled Sobol points, the same for
    every row. All other ancestors keep the row's values.

    Args:
        conditionals: Conditional laws in causal order.
        values: The :func:`needed_columns`.
        node: An ordinal node.
        interventions: Nodes that are set; a callable receives the row's own value.
        n: Number of rows.
        n_points: Sobol points over all scramblings, a power of two times 8.
        seed: Seed of the scramblings.

    Returns:
        The probabilities and their integration error.
    """
    mediators = mediators_of(conditionals, node, interventions)
    n_continuous = sum(not isinstance(conditionals[name], OrdinalConditional) for name in mediators)
    points = (
        _sobol_points(n_points, n_continuous, seed)
        if n_continuous
        else torch.zeros(1, 0, dtype=torch.float64)
    )
    leaf = conditionals[node]
    assert isinstance(leaf, OrdinalConditional)
    device = leaf.intercept.device
    fixed = {k: v if isinstance(v, Tensor) else v(values[k]) for k, v in interventions.items()}
    given = {name: column.to(device) for name, column in {**values, **fixed}.items()}
    if node in fixed:
        return PmfResult(one_hot(given[node], leaf.levels).to(leaf.dtype), 0.0)
    branches = np.prod(
        [c.levels for m in mediators if isinstance(c := conditionals[m], OrdinalConditional)],
        dtype=int,
    )
    block = max(1, _BLOCK_PARTICLES // (len(points) * int(branches)))
    probabilities, errors = [], []
    for start in range(0, n, block):
        rows = {name: column[start : start + block] for name, column in given.items()}
        size = min(block, n - start)
        by_point = _propagate(conditionals, rows, leaf, mediators, points.to(device), size)
        mean = by_point.mean(1)
        probabilities.append(mean)
        if n_continuous:
            by_scramble = by_point.unflatten(1, (_SCRAMBLES, -1)).mean(2)
            errors.append(float(by_scramble.std(1).max()) / _SCRAMBLES**0.5)
    return PmfResult(torch.cat(probabilities), max(errors, default=0.0))


def mediators_of(
    conditionals: Mapping[str, Conditional], node: str, intervened: Mapping[str, object]
) -> list[str]:
    """Effects of the intervention that are causes of ``node`` and not set themselves, in order."""
    nodes = {name: conditional.node for name, conditional in conditionals.items()}
    changed = descendants(nodes, intervened) & _ancestors_within(nodes, node, intervened)
    return [name for name in conditionals if name in changed and name not in intervened]


def needed_columns(
    conditionals: Mapping[str, Conditional], node: str, interventions: Interventions
) -> list[str]:
    """Columns that a pmf takes from the rows: parents not integrated out, natural values of do."""
    mediators = mediators_of(conditionals, node, interventions)
    used = {p for name in (node, *mediators) for p in conditionals[name].parents}
    taken = used - set(mediators) - set(interventions)
    taken |= {name for name, action in interventions.items() if callable(action)}
    return [name for name in conditionals if name in taken]


def _ancestors_within(nodes: Spec, node: str, intervened: Mapping[str, object]) -> frozenset[str]:
    """Ancestors of ``node`` in the graph whose edges into intervened nodes are cut."""
    found: set[str] = set()
    stack = [node]
    while stack:
        for parent in nodes[stack.pop()].parents:
            if parent not in found:
                found.add(parent)
                if parent not in intervened:
                    stack.append(parent)
    return frozenset(found)


def _propagate(
    conditionals: Mapping[str, Conditional],
    rows: Values,
    leaf: OrdinalConditional,
    mediators: list[str],
    points: Tensor,
    n: int,
) -> Tensor:
    """Probabilities of the levels per row and Sobol point, shape ``(n, points, K)``."""
    n_points = len(points)
    particles = {k: v.repeat_interleave(n_points) for k, v in rows.items()}
    uniforms = points.repeat(n, 1)
    owner = torch.arange(n * n_points, device=points.device)
    log_weight = torch.zeros(n * n_points, dtype=torch.float64, device=points.device)
    used = 0
    for name in mediators:
        conditional = conditionals[name]
        if isinstance(conditional, OrdinalConditional):
            levels = conditional.levels
            log_pmf = conditional.log_pmf(particles, n=len(owner))
            log_weight = (log_weight.unsqueeze(-1) + log_pmf).flatten()
            particles = {k: v.repeat_interleave(levels) for k, v in particles.items()}
            uniforms, owner = (t.repeat_interleave(levels, 0) for t in (uniforms, owner))
            particles[name] = torch.arange(levels, device=points.device).repeat(
                len(owner) // levels
            )
        else:
            particles[name] = conditional.generate(particles, latent.icdf(uniforms[:, used]))
            used += 1
    weighted = (log_weight.unsqueeze(-1) + leaf.log_pmf(particles, n=len(owner))).exp()
    total = weighted.new_zeros(n * n_points, leaf.levels).index_add_(0, owner, weighted)
    return total.unflatten(0, (n, n_points))


def _sobol_points(n_points: int, dimension: int, seed: int) -> Tensor:
    """Scrambled Sobol points in the open unit cube, the scramblings one after another."""
    per_scramble = n_points // _SCRAMBLES
    generators = [
        np.random.default_rng(latent.derive_seed(seed, "sobol", k)) for k in range(_SCRAMBLES)
    ]
    blocks = [qmc.Sobol(dimension, rng=rng).random(per_scramble) for rng in generators]
    return torch.from_numpy(np.concatenate(blocks)).clamp(2.0**-54, 1.0 - 2.0**-53)


def _family(values: Values, conditional: Conditional) -> Values:
    """The node's own column and its parents', on the node's device."""
    device = conditional.intercept.device
    return {name: values[name].to(device) for name in (conditional.name, *conditional.parents)}


def _generate(conditional: Conditional, values: Values, u: Tensor) -> Tensor:
    rows = {name: values[name] for name in conditional.parents} | {"latent": u}
    return _by_blocks(lambda part: conditional.generate(part, part["latent"]), rows)


def _by_blocks(function: Callable[[Values], Tensor], values: Values) -> Tensor:
    """Apply a row-wise function block by block, which bounds memory."""
    n = len(next(iter(values.values())))
    parts = [
        function({k: v[start : start + _BLOCK_ROWS] for k, v in values.items()})
        for start in range(0, n, _BLOCK_ROWS)
    ]
    return torch.cat(parts) if len(parts) != 1 else parts[0]
