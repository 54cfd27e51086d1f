"""The trial: intervals by statsmodels, true effects by the simulator's equations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

import tramdag as td
from replication.figures_patients import draw_trial_benefit, draw_trial_effects
from replication.figures_trial import (
    draw_trial_outcomes,
    draw_trial_risks,
)
from replication.published import published_rows
from replication.trial_scores import difference_of_arms, frequency, spiegelhalter_z, trial_scores
from replication.validation import (
    _check_levels,
    outcome_rows,
    patient_rows,
    ranking_rows,
    risk_rows,
)
from simulations import MagicMrClean

EFFECT = {"treatment": "T", "outcome": "mRS_3m", "at_most": 2}
DATA = Path(__file__).parents[2] / "data" / "magic-mrclean" / "nl"


@pytest.fixture(scope="module")
def trial() -> pd.DataFrame:
    return pd.read_csv(DATA / "rct.csv")


@pytest.fixture(scope="module")
def flow() -> td.CausalFlowDAG:
    parents = dict.fromkeys(("Age", "mRS_pre", "NIHSSa", "T"), "ls")
    spec = {
        "Age": td.ContinuousNode(),
        "mRS_pre": td.OrdinalNode(6),
        "NIHSSa": td.ContinuousNode(),
        "T": td.OrdinalNode(2),
        "mRS_3m": td.OrdinalNode(7, parents=parents),
    }
    return td.CausalFlowDAG(spec).fit(pd.read_csv(DATA / "obs.csv"), verbose=0, progress=False)


@pytest.fixture(scope="module")
def patients(flow: td.CausalFlowDAG, trial: pd.DataFrame) -> pd.DataFrame:
    return patient_rows(flow, EFFECT, trial, MagicMrClean("nl"))


@pytest.mark.parametrize(("hits", "n"), [(0, 12), (7, 12), (12, 12), (113, 500)])
def test_a_frequency_has_wilsons_interval(hits: int, n: int) -> None:
    happened = np.arange(n) < hits
    assert frequency(happened) == pytest.approx(
        (hits / n, *proportion_confint(hits, n, method="wilson"))
    )


def test_a_difference_of_arms_has_newcombes_interval() -> None:
    good = [1] * 30 + [0] * 20 + [1] * 12 + [0] * 28
    table = pd.DataFrame({"arm": [1] * 50 + [0] * 40, "good": good})
    expected = confint_proportions_2indep(30, 50, 12, 40, method="newcomb")
    assert difference_of_arms(table) == pytest.approx((0.3, *expected), abs=1e-9)
    assert np.isnan(difference_of_arms(table[table["arm"] == 1])).all()


def test_the_calibration_score_is_standard_normal_if_the_risks_are_right() -> None:
    rng = np.random.default_rng(8)
    risk = rng.beta(1.3, 2, size=400)
    found = [spiegelhalter_z(risk, rng.uniform(size=400) < risk) for _ in range(4000)]
    assert stats.kstest(found, "norm").pvalue > 0.001
    # risks that are too extreme are found out
    extreme = 1 / (1 + ((1 - risk) / risk) ** 2)
    assert spiegelhalter_z(extreme, rng.uniform(size=400) < risk) > 3


def test_true_effects_are_those_of_the_published_equations(patients: pd.DataFrame) -> None:
    rows = pd.read_csv(DATA / "rct.csv").iloc[:3]
    cuts = np.array([-1.85, -0.75, 0.05, 0.80, 1.55, 2.35])
    latents = np.random.default_rng(2).logistic(size=400_000)
    for number, row in rows.iterrows():
        predictor = (
            0.85 * (row["NIHSSa"] - 15) / 6 + 0.55 * (row["Age"] - 73) / 10 + 0.45 * row["mRS_pre"]
        )
        tau = -0.85 + 0.85 * (1 - 1 / (1 + np.exp(-(78 - row["Age"]) / 6)))
        # a level of at most 2: the latent exceeds no more than two cutpoints
        good = [(latents <= cuts[2] - predictor - shift).mean() for shift in (0.0, tau)]
        error = 5 * np.sqrt(0.5 / len(latents))
        assert patients["true_ite"][number] == pytest.approx(good[1] - good[0], abs=error)


def test_the_mean_true_effect_is_the_simulators(
    patients: pd.DataFrame, trial: pd.DataFrame
) -> None:
    assert patients["true_ite"].mean() == pytest.approx(MagicMrClean("nl").true_ate(trial))


def test_a_patient_has_an_effect_and_a_benefit_within_bounds(
    patients: pd.DataFrame, flow: td.CausalFlowDAG, trial: pd.DataFrame
) -> None:
    risks = [flow.pmf(trial, "mRS_3m", do={"T": t}).to_numpy()[:, :3].sum(axis=1) for t in (0, 1)]
    assert patients["ite"].to_numpy() == pytest.approx(risks[1] - risks[0])
    for name in ("benefit", "harm", "better", "worse"):
        assert (patients[f"{name}_lower"] <= patients[name] + 1e-12).all()
        assert (patients[name] <= patients[f"{name}_upper"] + 1e-12).all()
    # bounds of Frechet, written out
    upper = np.minimum(risks[1], 1 - risks[0])
    assert patients["benefit_upper"].to_numpy() == pytest.approx(upper)
    assert (patients["better"] >= patients["benefit"] - 1e-12).all()


def test_without_a_generator_there_is_no_true_effect(
    flow: td.CausalFlowDAG, trial: pd.DataFrame
) -> None:
    found = patient_rows(flow, EFFECT, trial.head(20), None)
    assert found["true_ite"].isna().all()
    scores = trial_scores(
        flow.pmf(trial.head(20), "mRS_3m").to_numpy(), trial.head(20), EFFECT, found
    )
    assert "rmse of effects" not in set(scores["metric"])


def test_predicted_and_observed_laws_sum_to_one(trial: pd.DataFrame) -> None:
    pmf = MagicMrClean("nl").true_pmf(trial)
    table = outcome_rows(pmf, trial, EFFECT)
    assert table.groupby("arm")[["predicted", "observed"]].sum().to_numpy() == pytest.approx(
        np.ones((2, 2))
    )
    # the true law: the frequencies of 14 cells stay within five binomial errors
    error = np.sqrt(table["predicted"] * (1 - table["predicted"]) / table["rows"])
    assert ((table["observed"] - table["predicted"]).abs() < 5 * error).all()
    bins = risk_rows(pmf, trial, EFFECT)
    assert bins["rows"].sum() == len(trial)
    assert bins["predicted"].is_monotonic_increasing


def test_groups_rank_patients_by_their_estimated_effect(patients: pd.DataFrame) -> None:
    table = ranking_rows(patients)
    assert table["rows"].to_list() == [125] * 4
    assert table["estimated"].is_monotonic_increasing
    top = patients.sort_values("ite", kind="stable").tail(125)
    arms = [top.loc[top["arm"] == arm, "good"].mean() for arm in (0, 1)]
    assert table["observed"].iloc[-1] == pytest.approx(arms[1] - arms[0])


def keyed(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    return table.assign(experiment="e", model="ls", seed=seed, effect="T on mRS_3m <= 2")


@pytest.fixture
def drawn(patients: pd.DataFrame, flow: td.CausalFlowDAG, trial: pd.DataFrame) -> dict[str, Any]:
    pmf = flow.pmf(trial, "mRS_3m").to_numpy()
    return {
        "outcomes": keyed(outcome_rows(pmf, trial, EFFECT)),
        "risks": keyed(risk_rows(pmf, trial, EFFECT)),
        "patients": keyed(patients),
        "ranking": keyed(ranking_rows(patients)),
        "scores": keyed(trial_scores(pmf, trial, EFFECT, patients)),
    }


@pytest.mark.parametrize("known", [True, False])
def test_the_figures_have_a_panel_per_idea(drawn: dict[str, Any], known: bool) -> None:
    titles = {"ls": "all linear"}
    patients = drawn["patients"] if known else drawn["patients"].assign(true_ite=np.nan)
    scores = drawn["scores"]
    asked: dict[str, Any] = {"titles": titles, "effect": EFFECT}
    effects = draw_trial_effects(patients, drawn["ranking"], scores, **asked)
    assert len(effects.axes) == (3 if known else 2)
    assert len(draw_trial_outcomes(drawn["outcomes"], scores, **asked).axes) == 2
    assert len(draw_trial_risks(drawn["risks"], scores, **asked).axes) == 1
    assert len(draw_trial_benefit(patients, scores, **asked).axes) == 1


def test_published_numbers_stand_beside_ours(trial: pd.DataFrame) -> None:
    key = {"effect": "T on mRS_3m <= 2", "quantity": "ATE"}
    effects = pd.DataFrame(
        {"model": ["ls", "cs", "cs"], "seed": [0, 0, 1], "value": [0.08, 0.1, 0.2]}
    ).assign(**key, population="trial rows", lower=[0.05, np.nan, np.nan], upper=0.11)
    true = pd.DataFrame({"population": ["trial rows", "published truth"], "value": [0.102, 0.104]})
    entries = [
        {"name": "a", "by": "model", "model": "ls", "quantity": "ATE", "value": 0.076},
        {"name": "b", "by": "model", "model": "cs", "quantity": "ATE", "value": 0.101},
        {"name": "c", "by": "R", "model": "ls", "quantity": "ATE", "value": 0.083},
        {"name": "d", "by": "truth", "quantity": "ATE", "value": 0.104},
        {"name": "e", "by": "cohort", "quantity": "naive contrast", "value": 0.3},
    ]
    compared = pd.DataFrame(
        {"model": "ls", "reference": ["R polr", "statsmodels"], "quantity": "ate", "value": [1, 2]}
    )
    table = published_rows(
        entries,
        effect=EFFECT,
        effects=effects,
        true=true.assign(**key),
        compared=compared,
        cohort=trial,
    ).set_index("name")
    good = trial["mRS_3m"] <= 2
    naive = good[trial["T"] == 1].mean() - good[trial["T"] == 0].mean()
    assert table["ours"].to_list() == pytest.approx([0.08, 0.15, 1, 0.104, naive])
    assert table.loc["a", ["lower", "upper", "seeds"]].to_list() == [0.05, 0.11, 1]
    assert table.loc["b", ["min", "max", "seeds"]].to_list() == [0.1, 0.2, 2]
    assert table["truth"]["a"] == 0.102
    assert table["difference"]["a"] == pytest.approx(0.004)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, 3], r"'y' holds 3 in row 2 \(1 such rows\); allowed are the whole numbers 0 to 2"),
        ([0.0, np.nan, 2.0], r"holds .*nan.* in row 1"),
        ([-1, 0, 1], r"holds .*-1.* in row 0"),
    ],
)
def test_a_level_that_is_none_stops_the_validation(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _check_levels(pd.DataFrame({"y": values}), "y", 3)


def test_a_trial_needs_both_arms() -> None:
    with pytest.raises(ValueError, match="'t' is 1 in every row"):
        _check_levels(pd.DataFrame({"t": [1, 1]}), "t", 2)
