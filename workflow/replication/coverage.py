"""Intervals of one exact model on many fresh data sets, the raw material of a study of coverage.

What the truth is, and how often the intervals cover it, :mod:`replication.coverage_summary` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy

import tramdag as td
from replication.questions import effect_label
from replication.reference import replicate_rows
from replication.training import name_products

__all__ = ["INTERVAL_COLUMNS", "estimated_effect", "flow_intervals", "replicate_intervals"]

INTERVAL_COLUMNS = (
    "node",
    "parameter",
    "parent",
    "level",
    "estimate",
    "std_error",
    "lower",
    "upper",
    "interval",
)
"""Columns of one fit's intervals. ``parameter`` is shift, cutpoint or ATE; ``interval`` is Wald,
profile (one-sided, where the data separate the levels) or none."""


def replicate_intervals(
    process: Mapping[str, Any],
    *,
    spec: Mapping[str, Mapping[str, Any]],
    effects: Sequence[Mapping[str, Any]],
    population: pd.DataFrame | None,
    replicates: Sequence[int],
    rows: int,
    level: float,
) -> pd.DataFrame:
    """Fit a model to each fresh data set and keep its intervals.

    Args:
        process: Name and arguments of the generator.
        spec: Plain form of a specification whose nodes are all solved exactly.
        effects: Entries ``{"treatment", "outcome", "at_most"}``.
        population: The rows that effects are averaged over, needed if there are any effects.
        replicates: Numbers of the data sets; each fixes its rows, whatever the others are.
        rows: Rows of a data set.
        level: Nominal level.

    Returns:
        The columns of :data:`INTERVAL_COLUMNS` after the column replicate.
    """
    tables = []
    for replicate in replicates:
        flow = td.CausalFlowDAG(td.spec_from_dict(spec), seed=0)
        data = replicate_rows(process, n=rows, replicate=replicate)
        flow.fit(data, verbose=0, progress=False, optimizer="exact")
        found = flow_intervals(flow, level=level, effects=effects, population=population)
        found.insert(0, "replicate", replicate)
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def flow_intervals(
    flow: td.CausalFlowDAG,
    *,
    level: float,
    effects: Sequence[Mapping[str, Any]] = (),
    population: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Intervals of all coefficients and cutpoints of an exactly fitted flow, and of its effects.

    A coefficient that the data cannot tell has neither estimate nor interval; one whose levels
    they separate has a one-sided profile interval and an infinite estimate.
    """
    rows = _coefficient_rows(flow, level)
    for node in (name for name, node in flow.spec.items() if isinstance(node, td.OrdinalNode)):
        rows += _cutpoint_rows(flow, node, level)
    for effect in effects:
        rows.append(_effect_row(flow, effect, population, level))
    return pd.DataFrame(rows, columns=list(INTERVAL_COLUMNS))


def _coefficient_rows(flow: td.CausalFlowDAG, level: float) -> list[dict[str, Any]]:
    labels = [
        (name, column.name)
        for name, conditional in flow.conditionals.items()
        for column in conditional.linear.columns
    ]
    table = name_products(flow.summary(level=level)).to_dict("records")
    rows = []
    for (node, label), row in zip(labels, table, strict=True):
        kept = {name: row[name] for name in INTERVAL_COLUMNS if name in row}
        kept |= {"parameter": "shift", "interval": "Wald"}
        if row["status"] == "separated":
            lower, upper = flow.confidence_interval(node, label, level=level, method="profile")
            kept |= {"lower": lower, "upper": upper, "interval": "profile"}
            kept["estimate"] = np.inf if np.isinf(upper) else -np.inf
        elif not np.isfinite(row["std_error"]):
            kept |= {"estimate": np.nan, "interval": "none"}
        rows.append(kept)
    return rows


def _cutpoint_rows(flow: td.CausalFlowDAG, node: str, level: float) -> list[dict[str, Any]]:
    matrix = flow.vcov(node)
    errors = dict(zip(matrix.index, np.sqrt(np.diag(matrix)), strict=True))
    quantile = scipy.special.ndtri(0.5 + 0.5 * level)
    rows = []
    for k, estimate in enumerate(flow.cutpoints(node)):
        error = errors.get(f"theta[{k}]", np.nan)
        rows.append(
            {
                "node": node,
                "parameter": "cutpoint",
                "parent": None,
                "level": k,
                # without a finite maximum the number is only where the solver stopped
                "estimate": estimate if np.isfinite(error) else np.nan,
                "std_error": error,
                "lower": estimate - quantile * error,
                "upper": estimate + quantile * error,
                "interval": "Wald" if np.isfinite(error) else "none",
            }
        )
    return rows


def _effect_row(
    flow: td.CausalFlowDAG,
    effect: Mapping[str, Any],
    population: pd.DataFrame | None,
    level: float,
) -> dict[str, Any]:
    if population is None:
        raise ValueError(f"the effect {effect_label(effect)} needs the rows it is averaged over.")
    row = estimated_effect(flow, effect, population, level=level)
    known = np.isfinite(row["lower"]) and np.isfinite(row["upper"])
    return {
        "node": effect["outcome"],
        "parameter": "ATE",
        "parent": effect["treatment"],
        "level": effect["at_most"],
        "interval": "Wald" if known else "none",
        **{name: row[name] for name in ("estimate", "std_error", "lower", "upper")},
    }


def estimated_effect(
    flow: td.CausalFlowDAG,
    effect: Mapping[str, Any],
    population: pd.DataFrame,
    *,
    level: float,
) -> dict[str, Any]:
    """The average effect over these very rows, with its delta-method interval.

    Args:
        flow: A fitted flow.
        effect: ``{"treatment", "outcome", "at_most"}``.
        population: The rows.
        level: Nominal level.

    Returns:
        estimate, std_error, lower, upper and note, which says why there is no interval.
    """
    treatment, outcome, at_most = effect["treatment"], effect["outcome"], effect["at_most"]
    found = flow.effect(
        outcome, treatment, data=population, of=lambda y: y <= at_most, rows="fixed", level=level
    ).summary.set_index("quantity")
    columns = ("estimate", "std_error", "lower", "upper", "note")
    return {name: found.loc["ate", name] for name in columns}
