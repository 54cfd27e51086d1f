"""Scoring, drawing and abducting rows: the three moves that every level of the ladder needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tramdag import latent
from tramdag.data import Values
from tramdag.node import Conditional

__all__ = ["Interventions", "abduct", "log_prob", "sample"]

Interventions = Mapping[str, Tensor | Callable[[Tensor], Tensor]]
"""Node name to do value per row, or to a function of the natural values."""

_BLOCK_ROWS = 65_536


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
        parents = {parent: values[parent] for parent in conditional.parents}
        natural = _by_blocks(conditional.generate, parents, u)
        values[name] = natural if action is None else action(natural)
    return values


@torch.no_grad()
def abduct(conditionals: Mapping[str, Conditional], values: Values, *, seed: int) -> Values:
    """Latents of observed rows: exact for continuous nodes, one truncated draw for ordinal ones."""
    n = len(next(iter(values.values())))
    latents: Values = {}
    for name, conditional in conditionals.items():
        uniforms = latent.keyed_uniforms(n, seed, "abduct", name).to(conditional.intercept.device)
        latents[name] = _by_blocks(conditional.abduct, _family(values, conditional), uniforms)
    return latents


def _family(values: Values, conditional: Conditional) -> Values:
    """The node's own column and its parents', on the node's device."""
    device = conditional.intercept.device
    return {name: values[name].to(device) for name in (conditional.name, *conditional.parents)}


def _by_blocks(function: Callable[..., Tensor], values: Values, *columns: Tensor) -> Tensor:
    """Apply a row-wise function of a table and further columns block by block: bounded memory."""
    n = len(columns[0]) if columns else len(next(iter(values.values())))
    parts = []
    for start in range(0, n, _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        parts.append(function({k: v[rows] for k, v in values.items()}, *(c[rows] for c in columns)))
    return torch.cat(parts) if len(parts) != 1 else parts[0]
