"""What fitted models say about themselves: coefficients with intervals, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import tramdag as td
from replication.evaluation import load_model
from replication.questions import rows_of_seed

__all__ = ["CALIBRATION_BINS", "diagnose_models"]

CALIBRATION_BINS = 8
"""Bins of equal size per level of an ordinal node."""


def diagnose_models(
    folder: str | Path,
    *,
    identity: Sequence[str],
    seeds: Sequence[int],
    rows: pd.DataFrame,
    by_seed: bool,
) -> dict[str, pd.DataFrame]:
    """Coefficient tables and calibration of the models of several seeds.

    Args:
        folder: The fitted models.
        identity: Experiment and model.
        seeds: Their seeds.
        rows: Rows that the predictions are compared with.
        by_seed: Whether the column ``seed`` of ``rows`` tells the rows of each seed apart.

    Returns:
        Tables ``summary`` (see ``CausalFlowDAG.summary``) and ``calibration`` (of every ordinal
        node, see ``CausalFlowDAG.calibration``), with experiment, model and seed in the first
        columns.
    """
    summaries, calibrations = [], []
    for seed in seeds:
        flow = load_model(folder, seed)
        key = dict(zip(("experiment", "model"), identity, strict=True)) | {"seed": seed}
        observed = rows_of_seed(rows, seed, by_seed=by_seed)
        summaries.append(flow.summary().assign(**key))
        for name, node in flow.spec.items():
            if isinstance(node, td.OrdinalNode):
                table = flow.calibration(observed, name, bins=CALIBRATION_BINS)
                calibrations.append(table.assign(**key, node=name))
    return {
        "summary": _keys_first(summaries, []),
        "calibration": _keys_first(calibrations, ["node"]),
    }


def _keys_first(tables: Sequence[pd.DataFrame], more: Sequence[str]) -> pd.DataFrame:
    """The tables under each other, what tells their rows apart in the first columns."""
    keys = ["experiment", "model", "seed", *more]
    filled = [table for table in tables if len(table)]
    table = pd.concat(filled or tables[:1] or [pd.DataFrame(columns=keys)], ignore_index=True)
    return table[[*keys, *table.columns.drop(keys)]]
