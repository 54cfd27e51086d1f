"""The synthetic stroke cohort: equations, trial, true effects."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from simulations import MagicMrClean

PUBLISHED = {
    "ls": {"control": 0.557332, "treated": 0.689458, "ate": 0.132126, "naive": 0.254999},
    "nl": {"control": 0.552976, "treated": 0.657352, "ate": 0.104376, "naive": 0.303178},
}


@pytest.fixture(params=["ls", "nl"])
def stroke(request):
    return MagicMrClean(request.param)


def test_true_effects_are_the_published_ones(stroke):
    risks = stroke.true_arm_risks()
    published = PUBLISHED[stroke.variant]
    # Published with six decimals.
    assert risks.control == pytest.approx(published["control"], abs=5e-7)
    assert risks.treated == pytest.approx(published["treated"], abs=5e-7)
    assert risks.difference == pytest.approx(published["ate"], abs=5e-7)
    assert stroke.true_ate() == risks.difference


def test_naive_contrast_is_the_published_one(stroke):
    naive = stroke.naive_contrast()
    assert naive == pytest.approx(PUBLISHED[stroke.variant]["naive"], abs=5e-7)


def test_effect_is_the_same_from_either_population_object(stroke):
    assert stroke.trial().true_ate() == stroke.true_ate()


def test_average_effect_over_covariates_agrees_with_monte_carlo(stroke):
    n = 100_000
    exact = stroke.true_ate(stroke.rct(n, seed_offset=5))
    # The Monte Carlo truth has a standard error of 0.0006, the covariates add less.
    assert exact == pytest.approx(PUBLISHED[stroke.variant]["ate"], abs=5 * 0.0008)


def test_outcome_pmf_is_the_difference_of_logistic_cdfs(stroke):
    df = stroke.observational(300)
    a, s = (df["Age"] - 73) / 10, (df["NIHSSa"] - 15) / 6
    tau = -0.85
    if stroke.variant == "nl":
        tau = -0.85 + 0.85 * (1 - expit((78 - df["Age"]) / 6))
    zeta = 0.85 * s + 0.55 * a + 0.45 * df["mRS_pre"] + tau * df["T"]
    cuts = np.array([-1.85, -0.75, 0.05, 0.80, 1.55, 2.35])
    cdf = stats.logistic.cdf(cuts - zeta.to_numpy()[:, None])
    expected = np.diff(np.pad(cdf, ((0, 0), (1, 1)), constant_values=(0, 1)))
    np.testing.assert_allclose(stroke.true_pmf(df), expected, atol=1e-13)


def test_outcome_pmf_matches_the_drawn_outcomes(stroke):
    df = stroke.observational(100_000, seed_offset=3)
    pmf = stroke.true_pmf(df)
    for level in range(7):
        residual = (df["mRS_3m"] == level) - pmf[:, level]
        assert residual.mean() == pytest.approx(0, abs=5 * residual.std() / np.sqrt(len(df)))


def test_tau_fades_with_age_in_nl_only():
    assert MagicMrClean("ls").true_tau([40, 90]).tolist() == [-0.85, -0.85]
    nl = MagicMrClean("nl")
    assert nl.true_tau(78) == pytest.approx(-0.85 / 2)
    ages = np.linspace(30, 103, 50)
    np.testing.assert_allclose(
        nl.true_tau(ages), -0.85 + 0.85 * (1 - expit((78 - ages) / 6)), atol=1e-14
    )


def test_trial_randomises_treatment_in_a_younger_population(stroke):
    n = 100_000
    rct = stroke.rct(n)
    assert rct["T"].mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(n))
    assert rct["Age"].median() == pytest.approx(64, abs=5 * 2 * 7.6 / np.sqrt(n))
    for covariate in ("Age", "mRS_pre", "NIHSSa"):
        correlation = np.corrcoef(rct["T"], rct[covariate])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(n)


def test_age_is_clipped_and_severity_never_reaches_its_bounds(stroke):
    df = stroke.observational(200_000)
    assert (df["Age"].min(), df["Age"].max()) == (20, 103)
    assert df["NIHSSa"].between(6, 42, inclusive="neither").all()


def test_draws_are_unrounded_and_frozen_tables_rounded(stroke):
    tables = stroke.frozen_tables()
    assert {name: len(df) for name, df in tables.items()} == {"obs": 1275, "rct": 500}
    raw = stroke.observational(1275)
    obs = tables["obs"]
    assert not raw["Age"].equals(obs["Age"])
    pd.testing.assert_series_equal(obs["Age"], raw["Age"].round(1))
    pd.testing.assert_series_equal(obs["NIHSSa"], raw["NIHSSa"].round(2))
    pd.testing.assert_series_equal(obs["mRS_3m"], raw["mRS_3m"])


def test_counterfactual_outcome_pmf_is_calibrated(stroke):
    n = 50_000
    factual, counterfactual = stroke.counterfactual_pair(n, {"T": 1})
    pmf = stroke.true_counterfactual_pmf(factual, {"T": 1})
    np.testing.assert_allclose(pmf.sum(axis=1), 1, atol=1e-12)
    treated = factual["T"].to_numpy() == 1
    np.testing.assert_allclose(pmf[treated], np.eye(7)[factual["mRS_3m"][treated]], atol=1e-12)
    for level in range(7):
        residual = (counterfactual["mRS_3m"] == level)[~treated] - pmf[~treated, level]
        error = 5 * residual.std() / np.sqrt(len(residual))
        assert residual.mean() == pytest.approx(0, abs=error)


def test_counterfactual_outcome_pmf_is_for_treatment_alone(stroke):
    df = stroke.observational(5)
    with pytest.raises(ValueError, match="do sets Age; the counterfactual pmf is for T alone"):
        stroke.true_counterfactual_pmf(df, {"Age": 60})
    with pytest.raises(ValueError, match="do sets nothing"):
        stroke.true_counterfactual_pmf(df, {})


def test_impossible_covariates_are_a_clear_error(stroke):
    df = stroke.observational(5)
    with pytest.raises(ValueError, match="column mRS_pre is missing"):
        stroke.true_ate(df[["Age", "NIHSSa"]])
    with pytest.raises(ValueError, match="column T is 2 in row 0"):
        stroke.true_pmf(df.assign(T=2))
