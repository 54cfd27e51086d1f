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
