"""Average effects by one model on many fresh cohorts, the raw material of a Monte Carlo study.

The average of P(outcome <= k) under do(treatment = t) over given rows needs the outcome's law given
its parents and nothing else, as long as no other parent responds to the treatment. So only that
node is fitted as its model says; every other column becomes a root, whose law plays no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

import tramdag as td
from replication.coverage import estimated_effect
from replication.job import derive_seed
from replication.questions import effect_label
from replication.reference import cohort_rows
from replication.spec_checks import Spec, parents_of

__all__ = ["ESTIMATE_COLUMNS", "cohort_estimates", "outcome_spec"]

ESTIMATE_COLUMNS = ("cohort", "effect", "estimate", "std_error", "lower", "upper", "note")
"""Columns of a study's estimates; ``note`` says why an estimate or an interval is missing."""

_ROOTS = {"continuous": {"transform": "affine"}, "ordinal": {}}
"""How a column is modelled whose law plays no part: as cheaply as possible."""


def outcome_spec(spec: Spec, outcome: str) -> dict[str, dict[str, Any]]:
    """The specification with the outcome's node as it is, and its parents as roots."""
    parents = set(parents_of(spec[outcome]))
    reduced: dict[str, dict[str, Any]] = {}
    for name, node in spec.items():
        if name == outcome:
            reduced[name] = dict(node)
        elif name in parents:
            kept = {key: node[key] for key in ("kind", "levels") if key in node}
            reduced[name] = kept | _ROOTS[node["kind"]]
    return reduced


def cohort_estimates(
    process: Mapping[str, Any],
    *,
    spec: Spec,
    settings: Mapping[str, Any],
    effects: Sequence[Mapping[str, Any]],
    population: pd.DataFrame,
    identity: Sequence[str],
    cohorts: Sequence[int],
    rows: int,
    level: float,
    device: str = "cpu",
) -> pd.DataFrame:
    """Fit the outcome's node to each cohort and average its effects over a population.

    Cohorts of one call train side by side; a cohort's rows follow from its number alone, its
    weights and batches from (identity, number), so neither the others nor their order matter.

    Args:
        process: Name and arguments of the generator.
        spec: Plain form of the specification.
        settings: Keyword arguments of ``CausalFlowDAG.fit``.
        effects: Entries ``{"treatment", "outcome", "at_most"}``.
        population: The rows that effects are averaged over.
        identity: Experiment, variant and model.
        cohorts: Numbers of the cohorts.
        rows: Rows of a cohort.
        level: Nominal level of the intervals.
        device: torch device.

    Returns:
        The columns of :data:`ESTIMATE_COLUMNS`, a row per cohort and effect; a cohort that cannot
        be fitted has no estimate.
    """
    drawn = {cohort: cohort_rows(process, n=rows, cohort=cohort) for cohort in cohorts}
    found: list[dict[str, Any]] = []
    for effect in effects:
        nodes = td.spec_from_dict(outcome_spec(spec, effect["outcome"]))
        reasons = {cohort: _reason_against(table[list(nodes)]) for cohort, table in drawn.items()}
        fitted = [cohort for cohort in cohorts if not reasons[cohort]]
        flows: dict[int, td.CausalFlowDAG] = {}
        if fitted:
            ensemble = td.fit_replicates(
                nodes,
                [drawn[cohort] for cohort in fitted],
                seeds=[derive_seed(*identity, "cohort", cohort) for cohort in fitted],
                device=device,
                verbose=0,
                progress=False,
                **settings,
            )
            flows = dict(zip(fitted, ensemble, strict=True))
        for cohort in cohorts:
            key = {"cohort": cohort, "effect": effect_label(effect)}
            if cohort in flows:
                found.append(key | _estimate(flows[cohort], effect, population, level=level))
            else:
                found.append(key | {"note": reasons[cohort]})
    return pd.DataFrame(found, columns=list(ESTIMATE_COLUMNS))


def _estimate(
    flow: td.CausalFlowDAG, effect: Mapping[str, Any], population: pd.DataFrame, *, level: float
) -> dict[str, Any]:
    """The average effect; without an interval it is a difference of two means of a pmf."""
    outcome = effect["outcome"]
    if flow.conditionals[outcome].is_classical:
        return estimated_effect(flow, effect, population, level=level)
    control, treated = (
        flow.pmf(population, outcome, do={effect["treatment"]: arm})
        .iloc[:, : effect["at_most"] + 1]
        .sum(axis=1)
        .mean()
        for arm in (0, 1)
    )
    return {"estimate": treated - control, "note": f"no interval: networks in {outcome}"}


def _reason_against(table: pd.DataFrame) -> str:
    """Why no model can be fitted to a table, or nothing."""
    constant = [str(name) for name in table if np.ptp(table[name].to_numpy()) == 0]
    return f"no estimate: {', '.join(constant)} constant" if constant else ""
