"""Forecasts of ordinal counterfactuals: the truth wins, a random draw and ignorance lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from replication.figures_forecasts import draw_forecasts
from replication.forecasts import CALIBRATION_COLUMNS, FORECAST_COLUMNS, score_forecasts
from replication.style import save_figure

ROWS = 2000


def forecasts(flow: Any, n: int = ROWS, **changes: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    arguments: dict[str, Any] = {"interventions": [{"T": 1.0}], "seed_offset": 999, "stream": 1}
    return score_forecasts(flow, flow.generator, n=n, **(arguments | changes))


@pytest.fixture(scope="module")
def scored(stroke: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    return forecasts(stroke)


def test_only_rows_that_the_intervention_changes_count(stroke: Any, scored: Any) -> None:
    scores, calibration = scored
    assert list(scores.columns) == list(FORECAST_COLUMNS)
    assert list(calibration.columns) == list(CALIBRATION_COLUMNS)
    factual, _ = stroke.generator.counterfactual_pair(ROWS, {"T": 1}, seed_offset=999)
    assert set(scores["rows"]) == {(factual["T"] == 0).sum()}


def test_a_perfect_law_scores_like_the_truth_and_is_calibrated(scored: Any) -> None:
    scores, calibration = scored
    table = scores.pivot_table(index="metric", columns="forecast", values="value")
    assert table["counterfactual pmf"].to_numpy() == pytest.approx(
        table["true counterfactual pmf"].to_numpy()
    )
    bins = calibration[calibration["forecast"] == "counterfactual pmf"]
    distance = (bins["observed"] - bins["predicted"]).abs()
    # five errors of a frequency, plus one row for bins whose law is all but certain
    assert (distance < 5 * bins["mc_error"] + 1 / bins["rows"]).all()


def test_the_distance_from_the_true_law_is_the_total_variation(stroke: Any, scored: Any) -> None:
    table = scored[0][scored[0]["metric"] == "total variation"].set_index("forecast")["value"]
    assert table["counterfactual pmf"] == pytest.approx(0, abs=1e-12)
    factual, _ = stroke.generator.counterfactual_pair(ROWS, {"T": 1}, seed_offset=999)
    factual = factual[factual["T"] == 0]
    truth = stroke.generator.true_counterfactual_pmf(factual, {"T": 1})
    plain = stroke.generator.true_pmf(factual.assign(T=1))
    # half of the sum of absolute differences, which is one minus what the laws share
    expected = 1 - np.minimum(truth, plain).sum(axis=1)
    assert table["interventional pmf"] == pytest.approx(expected.mean())


def test_less_knowledge_scores_worse(scored: Any) -> None:
    table = scored[0].pivot_table(index="metric", columns="forecast", values="value")
    order = ["counterfactual pmf", "interventional pmf", "marginal pmf"]
    assert table.loc["log score", order].is_monotonic_decreasing
    for metric in ("Brier score", "ranked probability score"):
        assert table.loc[metric, order].is_monotonic_increasing
    assert table["one draw"]["log score"] < table["counterfactual pmf"]["log score"]


def test_one_draw_of_a_perfect_model_has_twice_the_brier_score_of_its_law(
    stroke: Any, scored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # two independent draws from p disagree with probability 1 - sum p^2, which is the expected
    # Brier score of p; a draw as forecast scores 2 for a miss
    generator = stroke.generator

    def drawn(n: Any = None, *, do: Any, u: pd.DataFrame, seed: Any = None) -> pd.DataFrame:
        pmf = generator.true_counterfactual_pmf(u, do)
        uniform = np.random.default_rng(4).uniform(size=(len(u), 1))
        return u.assign(mRS_3m=(uniform > pmf.cumsum(axis=1)).sum(axis=1))

    monkeypatch.setattr(stroke, "abduct", lambda df, seed: df)
    monkeypatch.setattr(stroke, "sample", drawn)
    scores = forecasts(stroke, n=20_000)[0]
    brier = scores[scores["metric"] == "Brier score"].set_index("forecast")
    draw, law = brier.loc["one draw"], brier.loc["counterfactual pmf"]
    error = np.hypot(draw["mc_error"], 2 * law["mc_error"])
    assert abs(draw["value"] - 2 * law["value"]) < 5 * error


def test_a_marginal_forecast_is_the_same_for_every_row(scored: Any) -> None:
    calibration = scored[1]
    marginal = calibration[calibration["forecast"] == "marginal pmf"]
    assert marginal.groupby("at_most").size().tolist() == [1] * 6


def test_a_continuous_process_has_no_forecasts(vaca: Any) -> None:
    scores, calibration = forecasts(vaca, n=20, interventions=[{"x2": 0.0}])
    assert scores.empty
    assert calibration.empty
    assert list(scores.columns) == list(FORECAST_COLUMNS)


def test_an_intervention_that_changes_no_row_has_no_forecasts(stroke: Any) -> None:
    factual, _ = stroke.generator.counterfactual_pair(1, {"T": 1}, seed_offset=999)
    scores, _ = forecasts(stroke, n=1, interventions=[{"T": float(factual["T"].iloc[0])}])
    assert scores.empty


def test_the_figure_has_a_panel_per_intervention(stroke: Any, tmp_path: Path) -> None:
    _, bins = forecasts(stroke, n=300, interventions=[{"T": 0.0}, {"T": 1.0}])
    figure = draw_forecasts(
        bins.assign(model="ls", seed=0), titles={"ls": "linear"}, at_most={"mRS_3m": 2}
    )
    panels = [axis for axis in figure.axes if axis.axison]
    labels = [f"predicted P(mRS_3m <= 2),\nhad it been do(T={arm})" for arm in (0, 1)]
    assert [axis.get_xlabel() for axis in panels] == labels
    save_figure(figure, png=str(tmp_path / "f.png"), pdf=str(tmp_path / "f.pdf"))
    assert (tmp_path / "f.pdf").stat().st_size > 0
