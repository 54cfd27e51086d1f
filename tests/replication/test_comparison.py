"""A perfect model has no distance from the truth, and a known error is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from replication.comparison import (
    compare_answers,
    compare_counterfactuals,
    compare_curves,
    compare_laws,
    compare_reconstruction,
)
from replication.evaluation import answers, arm_risks
from replication.questions import COLUMNS
from replication.reference import answer_truth

QUESTIONS: dict[str, Any] = {
    "interventions": [{"x1": 0.5}],
    "shifts": [{"node": "x3", "parent": "x2"}],
    "conditionals": [],
    "effects": [],
    "odds_ratios": [{"node": "x2", "parent": "x1", "threshold": -1.0, "step": 1.0}],
    "curves": [],
}


@pytest.fixture(scope="module")
def asked(mixed: Any) -> dict[str, pd.DataFrame]:
    rows = mixed.generator.observational(500)
    return answers(mixed, QUESTIONS, samples=20_000, stream=5, train=rows, trial=rows)


@pytest.fixture(scope="module")
def known() -> dict[str, pd.DataFrame]:
    process = {"name": "triangle-mixed", "arguments": {"f": "exp"}}
    return answer_truth(process, QUESTIONS, samples=20_000, fresh=100)


def test_models_and_truth_answer_in_the_same_tables(
    asked: dict[str, pd.DataFrame], known: dict[str, pd.DataFrame]
) -> None:
    assert asked.keys() == known.keys() == COLUMNS.keys()
    for name, columns in COLUMNS.items():
        assert list(asked[name].columns) == list(known[name].columns) == list(columns)


def test_a_perfect_model_has_no_divergence(vaca: Any) -> None:
    table = compare_laws(vaca, vaca.generator, n=2_000, stream=1)
    divergence = table[table["metric"] == "kl"]
    assert set(divergence["node"]) == {"x1", "x2", "x3", "joint"}
    assert (divergence["value"] == 0).all()


def test_a_perfect_model_has_the_modes_of_the_truth_and_a_normal_law_none(
    vaca: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def modes() -> pd.Series:
        table = compare_laws(vaca, vaca.generator, n=500, stream=1)
        return table[table["metric"] == "mode over dip"].iloc[0]

    found = modes()
    assert found["node"] == "x1"
    # the mixture at its stationary points, by scipy
    density = norm([-2.0, 1.5], [np.sqrt(1.5), 1.0]).pdf
    low, dip, high = (density(x).mean() for x in vaca.generator.true_modes()["x1"])
    assert found["value"] == found["floor"] == pytest.approx(min(low, high) / dip, rel=1e-12)
    normal = lambda df: pd.DataFrame(norm(-0.25, 2.0).logpdf(df), columns=df.columns)  # noqa: E731
    monkeypatch.setattr(vaca, "node_log_prob", normal)
    assert modes()["value"] < 1


def test_a_perfect_sample_is_as_far_away_as_the_floor(vaca: Any) -> None:
    table = compare_laws(vaca, vaca.generator, n=20_000, stream=1)
    distance = table[table["metric"] == "wasserstein"]
    assert (distance["value"] < 4 * distance["floor"]).all()


def test_a_clipped_node_has_no_divergence_and_spoils_no_other(stroke: Any) -> None:
    table = compare_laws(stroke, stroke.generator, n=500, stream=1)
    assert set(table.loc[table["metric"] == "kl", "node"]) == {"mRS_pre", "NIHSSa", "T", "mRS_3m"}


def test_a_perfect_model_errs_within_its_monte_carlo_error(
    mixed: Any, asked: dict[str, pd.DataFrame], known: dict[str, pd.DataFrame]
) -> None:
    table = compare_answers(asked, known, generator=mixed.generator, shifts=[])
    z = table["error"] / table["mc_error"].clip(lower=1e-12)
    assert len(table) > 20
    # 40 numbers, five errors
    assert (z.abs() < 5).all()


def test_a_constant_is_no_error_of_a_shift_curve(
    mixed: Any, asked: dict[str, pd.DataFrame], known: dict[str, pd.DataFrame]
) -> None:
    table = compare_answers(asked, known, generator=mixed.generator, shifts=QUESTIONS["shifts"])
    row = table[table["query"] == "shift of x3 by x2"].iloc[0]
    assert row["error"] == pytest.approx(0, abs=1e-12)


def test_the_error_of_a_shift_curve_is_its_root_mean_square(
    mixed: Any, asked: dict[str, pd.DataFrame], known: dict[str, pd.DataFrame]
) -> None:
    shifts = asked["shifts"].copy()
    wave = np.sin(np.linspace(0, 2 * np.pi, len(shifts), endpoint=False))
    shifts["shift"] += 0.3 * wave
    table = compare_answers(
        asked | {"shifts": shifts}, known, generator=mixed.generator, shifts=QUESTIONS["shifts"]
    )
    found = table.loc[table["statistic"] == "rmse", "error"].item()
    assert found == pytest.approx(0.3 / np.sqrt(2), rel=1e-9)


def test_a_perfect_model_has_no_error_in_any_counterfactual(vaca: Any) -> None:
    table = compare_counterfactuals(
        vaca, vaca.generator, interventions=[{"x2": -1.0}], seed_offset=999, n=100, stream=1
    )
    assert table["node"].tolist() == ["x3"]
    assert table["value"].item() == pytest.approx(0, abs=1e-12)


def test_a_perfect_model_returns_held_out_rows(vaca: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"n": 50, "seed_offset": 999, "stream": 1}
    table = compare_reconstruction(vaca, vaca.generator, **asked)
    assert set(table["metric"]) == {"reconstruction error"}
    assert table["node"].to_list() == ["x1", "x2", "x3"]
    assert table["value"].to_numpy() == pytest.approx(0, abs=1e-12)
    sample = vaca.sample

    def spoilt(**options: Any) -> pd.DataFrame:
        rows = sample(**options)
        rows.loc[17, "x2"] -= 0.25
        return rows

    monkeypatch.setattr(vaca, "sample", spoilt)
    found = compare_reconstruction(vaca, vaca.generator, **asked).set_index("node")["value"]
    assert found["x2"] == pytest.approx(0.25)


def test_only_effects_of_the_intervention_are_compared(vaca: Any) -> None:
    table = compare_counterfactuals(
        vaca,
        vaca.generator,
        interventions=[{"x1": 0.0}, {"x3": 0.0}],
        seed_offset=9,
        n=20,
        stream=1,
    )
    assert table[["query", "node"]].to_numpy().tolist() == [["do(x1=0)", "x2"], ["do(x1=0)", "x3"]]


def test_a_perfect_counterfactual_law_scores_like_the_truth(stroke: Any) -> None:
    table = compare_counterfactuals(
        stroke, stroke.generator, interventions=[{"T": 1.0}], seed_offset=999, n=200, stream=1
    ).set_index("metric")
    assert table["value"]["total variation"] == 0.0
    for metric in ("log score", "Brier score"):
        assert table["value"][metric] == table["truth"][metric]


def test_a_wrong_counterfactual_law_is_found(stroke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def uniform(df: pd.DataFrame, node: str, do: Any) -> pd.DataFrame:
        return pd.DataFrame(np.full((len(df), 7), 1 / 7))

    monkeypatch.setattr(stroke, "counterfactual_pmf", uniform)
    table = compare_counterfactuals(
        stroke, stroke.generator, interventions=[{"T": 1.0}], seed_offset=999, n=200, stream=1
    ).set_index("metric")
    assert table["value"]["log score"] == pytest.approx(np.log(1 / 7))
    assert table["value"]["Brier score"] == pytest.approx(6 / 7)
    assert table["value"]["Brier score"] > table["truth"]["Brier score"]


def test_the_error_of_a_curve_is_its_root_mean_square() -> None:
    curve = pd.DataFrame({"curve": "c", "node": "y", "set_to": [0.0, 1.0], "value": [3.0, 4.0]})
    table = compare_curves(curve.assign(value=[0.0, 0.0]), curve)
    assert table["value"].item() == pytest.approx(np.sqrt(12.5))


def test_risks_of_both_arms_are_those_of_the_generator(stroke: Any) -> None:
    trial = stroke.generator.rct(100)
    effect = {"treatment": "T", "outcome": "mRS_3m", "at_most": 2}
    control, treated = arm_risks(stroke, effect, trial)
    exact = stroke.generator.true_arm_risks(trial)
    assert control.mean() == pytest.approx(exact.control)
    assert treated.mean() == pytest.approx(exact.treated)
