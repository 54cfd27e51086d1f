"""How good the probabilities of ordinal counterfactuals are, beside what else could be said.

For each intervention and each ordinal node that it moves, five forecasts of the counterfactual
level are scored against the level that the generator gives:

* ``counterfactual pmf``: the model's law of the level given all that was seen of the row;
* ``one draw``: the level from one random draw of the row's latents, as a law of one point;
* ``interventional pmf``: the model's law given only what the intervention does not change;
* ``marginal pmf``: that law averaged over the rows, the same forecast for every one;
* ``true counterfactual pmf``: the generator's law, where it knows it; no forecast scores better on
  average, because the level itself stays random.

Rows that the intervention leaves as they are have no counterfactual of their own, and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import tramdag as td
from replication.metrics import (
    FloatArray,
    brier_score,
    calibration_bins,
    expected_calibration_error,
    log_score,
    mean_estimate,
    ranked_probability_score,
)
from replication.questions import query_label
from replication.worlds import affected_nodes, counterfactual_rows, true_pmf
from simulations.scm import StructuralModel

__all__ = ["CALIBRATION_COLUMNS", "FORECAST_COLUMNS", "score_forecasts"]

INTEGRATION_POINTS = 64
"""Points over continuous mediators; they err by less than 0.001, the scores by ten times that."""

FORECAST_COLUMNS = ("query", "node", "forecast", "metric", "value", "mc_error", "rows")
CALIBRATION_COLUMNS = (
    "query",
    "node",
    "forecast",
    "at_most",
    "bin",
    "predicted",
    "observed",
    "mc_error",
    "rows",
)


def score_forecasts(
    flow: td.CausalFlowDAG,
    generator: StructuralModel,
    *,
    interventions: Sequence[Mapping[str, float]],
    seed_offset: int,
    n: int,
    stream: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the forecasts of every ordinal node under every intervention.

    Args:
        flow: The fitted model.
        generator: Knows the counterfactual level of each row.
        interventions: Values by node.
        seed_offset: Stream of the fresh rows.
        n: Fresh rows, of which those count that the intervention changes.
        stream: Seed of the one draw.

    Returns:
        Scores with ``FORECAST_COLUMNS``: log score (nats, 0 is best), Brier and ranked probability
        score (0 is best), accuracy (share of rows whose most probable level came true),
        calibration error (of P(level <= k), mean over k) and, where the generator knows its law,
        total variation from that (0 is best), and the bins behind the latter with
        ``CALIBRATION_COLUMNS``.
    """
    scores, bins = [], []
    for do in interventions:
        factual, actual = counterfactual_rows(generator, do, n=n, seed_offset=seed_offset)
        changed = np.any([factual[node] != value for node, value in do.items()], axis=0)
        if not changed.any():
            continue
        factual, actual = (frame[changed].reset_index(drop=True) for frame in (factual, actual))
        for node in affected_nodes(generator, do):
            if node not in generator.levels:
                continue
            levels = actual[node].to_numpy()
            truth = true_pmf(generator, factual, do, node)
            for forecast, pmf in _forecasts(flow, generator, factual, do, node, stream=stream):
                key = {"query": query_label(do), "node": node, "forecast": forecast}
                calibration = _calibration(pmf, levels)
                table = _scores(pmf, levels, calibration)
                if truth is not None:
                    distance = mean_estimate(np.abs(pmf - truth).sum(axis=1) / 2)
                    row = ("total variation", distance.value, distance.error, len(levels))
                    table.loc[len(table)] = row
                scores.append(table.assign(**key))
                bins.append(calibration.assign(**key))
    return _together(scores, FORECAST_COLUMNS), _together(bins, CALIBRATION_COLUMNS)


def _forecasts(
    flow: td.CausalFlowDAG,
    generator: StructuralModel,
    rows: pd.DataFrame,
    do: Mapping[str, float],
    node: str,
    *,
    stream: int,
) -> Iterator[tuple[str, FloatArray]]:
    yield "counterfactual pmf", flow.counterfactual_pmf(rows, node, do=dict(do)).to_numpy()
    drawn = flow.sample(do=dict(do), u=flow.abduct(rows, seed=stream))[node].to_numpy()
    yield "one draw", np.eye(generator.levels[node])[drawn.astype(int)]
    pmf = flow.pmf(rows, node, do=dict(do), n_points=INTEGRATION_POINTS)
    interventional = pmf.to_numpy()
    yield "interventional pmf", interventional
    yield "marginal pmf", np.broadcast_to(interventional.mean(axis=0), interventional.shape)
    truth = true_pmf(generator, rows, do, node)
    if truth is not None:
        yield "true counterfactual pmf", truth


def _scores(pmf: FloatArray, levels: NDArray[np.int_], calibration: pd.DataFrame) -> pd.DataFrame:
    found = {
        "log score": log_score(pmf, levels),
        "Brier score": brier_score(pmf, levels),
        "ranked probability score": ranked_probability_score(pmf, levels),
        "accuracy": (pmf.argmax(axis=1) == levels).astype(float),
    }
    rows = [
        (metric, estimate.value, estimate.error)
        for metric, values in found.items()
        for estimate in (mean_estimate(values),)
    ]
    errors = [expected_calibration_error(part) for _, part in calibration.groupby("at_most")]
    rows.append(("calibration error", float(np.mean(errors)), np.nan))
    table = pd.DataFrame(rows, columns=["metric", "value", "mc_error"])
    return table.assign(rows=len(levels))


def _calibration(pmf: FloatArray, levels: NDArray[np.int_]) -> pd.DataFrame:
    """Bins of P(level <= k) for each k below the highest level."""
    below = pmf.cumsum(axis=1).clip(0, 1)
    return pd.concat(
        [
            calibration_bins(below[:, k], levels <= k).assign(at_most=k)
            for k in range(pmf.shape[1] - 1)
        ],
        ignore_index=True,
    )


def _together(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    if not frames:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(frames, ignore_index=True)[list(columns)]
