"""Pairs of worlds from a generator: rows as they are, and as they would have been."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from replication.metrics import FloatArray
from simulations.scm import StructuralModel

__all__ = ["affected_nodes", "counterfactual_rows", "true_pmf"]


def counterfactual_rows(
    generator: StructuralModel, do: Mapping[str, float], *, n: int, seed_offset: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fresh rows and what they would have been, from abducted noise or from shared latents."""
    if hasattr(generator, "true_counterfactual"):
        factual = generator.observational(n, seed_offset=seed_offset)
        return factual, generator.true_counterfactual(factual, do)
    return generator.counterfactual_pair(n, do, seed_offset=seed_offset)


def affected_nodes(generator: StructuralModel, do: Mapping[str, float]) -> list[str]:
    """Effects of the intervened nodes, which alone differ between the worlds."""
    changed = set(do)
    for node in generator.columns:
        if changed & set(generator.parents[node]):
            changed.add(node)
    return [node for node in generator.columns if node in changed and node not in do]


def true_pmf(
    generator: StructuralModel, rows: pd.DataFrame, do: Mapping[str, float], node: str
) -> FloatArray | None:
    """The true counterfactual pmf of the last node, where the generator knows it."""
    if node != generator.columns[-1] or not hasattr(generator, "true_counterfactual_pmf"):
        return None
    pmf: FloatArray = generator.true_counterfactual_pmf(rows, do)
    return pmf
