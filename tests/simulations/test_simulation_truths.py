"""Analytic moments, pmfs and curves against simulation and closed forms."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from simulations import Carefl4, TriangleContinuous, TriangleMixed, VacaTriangle
from simulations.carefl import ALPHAS, X_OBS
from simulations.triangle import CURVES

N = 100_000
WITH_MOMENTS = [
    *(TriangleContinuous(f) for f in CURVES),
    *(TriangleMixed(f) for f in CURVES),
    VacaTriangle(),
    Carefl4(),
]


def test_vaca_has_its_modes_where_the_density_is_stationary():
    process = VacaTriangle()
    mean, sd = [-2.0, 1.5], [np.sqrt(1.5), 1.0]
    low, dip, high = process.true_modes()["x1"]
    for point, sign, bounds in ((low, -1, (-3, -1)), (dip, 1, (-1, 1)), (high, -1, (1, 3))):
        found = optimize.minimize_scalar(
            lambda x, sign=sign: sign * stats.norm(mean, sd).pdf(x).mean(),
            bounds=bounds,
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert point == pytest.approx(found.x, abs=1e-6)


@pytest.mark.parametrize("do", [None, {"x1": -1.0}, {"x2": 0.5}, {"x1": 0.3, "x2": -0.2}], ids=str)
@pytest.mark.parametrize("model", WITH_MOMENTS, ids=str)
def test_moments_match_simulation(model, do):
    df = model.simulate(model.draw_latents(N, 123), do)
    moments = model.true_moments(do)
    assert list(moments.index) == list(model.columns)
    for node in model.columns:
        x = df[node].to_numpy()
        mean, sd = moments.loc[node].to_numpy(dtype=float)
        if node in (do or {}):
            assert (mean, sd) == (do[node], 0)
            continue
        # Five standard errors; that of the variance is sqrt((kurtosis - 1) / n) relative.
        assert x.mean() == pytest.approx(mean, abs=5 * sd / np.sqrt(N))
        centred = (x - mean) / sd
        relative = np.sqrt(((centred**4).mean() - 1) / N)
        assert (centred**2).mean() == pytest.approx(1, abs=5 * relative), node


def test_vaca_moments_are_the_closed_form():
    for a in (-3.0, -1.0, 0.0):
        moments = VacaTriangle().true_moments({"x2": a})
        assert moments.loc["x3", "mean"] == pytest.approx(-0.25 + 0.25 * a, rel=1e-14)
        assert moments.loc["x3", "sd"] == pytest.approx(np.sqrt(5.3125), rel=1e-14)
    assert VacaTriangle().true_moments()["sd"]["x1"] == pytest.approx(np.sqrt(4.3125), rel=1e-14)


def test_linear_triangle_moments_are_the_closed_form():
    var_x1 = 0.5 * (0.1**2 + 0.05**2) + 0.24**2
    logistic = np.pi**2 / 3
    # 0.63 x3 = u3 + 0.2 x1 - 0.3 x2 and x2 = (u2 - 2 x1) / 5, so x1 enters with 0.32.
    moments = TriangleContinuous("linear").true_moments()
    assert moments.loc["x3", "mean"] == pytest.approx(0.32 * 0.49 / 0.63, rel=1e-12)
    expected = np.sqrt(logistic + 0.32**2 * var_x1 + 0.06**2 * logistic) / 0.63
    assert moments.loc["x3", "sd"] == pytest.approx(expected, rel=1e-12)


def test_carefl_moments_are_the_closed_form():
    moments = Carefl4().true_moments()
    np.testing.assert_allclose(moments["mean"], [0, 0, 0, 0.5])
    np.testing.assert_allclose(moments["sd"] ** 2, [1, 1, 24.5, 3.25])


def test_moments_need_a_scalar_intervention():
    with pytest.raises(ValueError, match="analytic truths are about one intervention"):
        VacaTriangle().true_moments({"x2": np.array([-3.0, -1.0])})
    with pytest.raises(ValueError, match="do names 'X2'"):
        VacaTriangle().true_moments({"X2": 0})


@pytest.mark.parametrize("f", CURVES)
def test_pmf_given_the_parents_is_the_difference_of_logistic_cdfs(f):
    model = TriangleMixed(f)
    df = model.observational(200)
    location = 0.2 * df["x1"] - model.true_shift_curve(df["x2"])
    cdf = stats.logistic.cdf(np.array([-2, 0.42, 1.02]) + location.to_numpy()[:, None])
    expected = np.diff(np.pad(cdf, ((0, 0), (1, 1)), constant_values=(0, 1)))
    np.testing.assert_allclose(model.true_pmf(df[["x1", "x2"]]), expected, atol=1e-14)


@pytest.mark.parametrize("do", [None, {"x1": -1.0}, {"x2": 0.5}, {"x1": 0.3, "x2": -0.2}], ids=str)
@pytest.mark.parametrize("f", CURVES)
def test_population_pmf_is_the_average_of_the_conditional_one(f, do):
    model = TriangleMixed(f)
    conditional = model.true_pmf(model.simulate(model.draw_latents(N, 321), do))
    pmf = model.true_pmf(do=do)
    assert pmf.shape == (4,)
    assert pmf.sum() == pytest.approx(1, abs=1e-12)
    error = 5 * conditional.std(axis=0) / np.sqrt(N) + 1e-12
    assert (np.abs(conditional.mean(axis=0) - pmf) <= error).all()


def test_pmf_takes_rows_or_an_intervention_on_parents():
    model = TriangleMixed()
    with pytest.raises(ValueError, match=r"give rows .* or do"):
        model.true_pmf(model.observational(3), do={"x1": 0})
    with pytest.raises(ValueError, match="do sets x3"):
        model.true_pmf(do={"x3": 0})


def test_counterfactual_pmf_of_the_mixed_triangle_is_calibrated():
    model = TriangleMixed("linear")
    do = {"x1": 3.0}
    factual, counterfactual = model.counterfactual_pair(N, do)
    pmf = model.true_counterfactual_pmf(factual, do)
    np.testing.assert_allclose(pmf.sum(axis=1), 1, atol=1e-12)
    for level in range(4):
        residual = (counterfactual["x3"] == level) - pmf[:, level]
        for observed in range(4):
            group = residual[factual["x3"] == observed]
            error = 5 * group.std() / np.sqrt(len(group)) + 1e-12
            assert group.mean() == pytest.approx(0, abs=error)


def test_counterfactual_pmf_without_a_change_is_the_observed_level():
    model = TriangleMixed("exp")
    df = model.observational(200)
    pmf = model.true_counterfactual_pmf(df, {"x1": df["x1"]})
    np.testing.assert_allclose(pmf, np.eye(4)[df["x3"]], atol=1e-12)
    with pytest.raises(ValueError, match="do sets x3"):
        model.true_counterfactual_pmf(df, {"x3": 0})


@pytest.mark.parametrize("generator", [TriangleContinuous, TriangleMixed])
def test_shift_curve_is_minus_f(generator):
    x = np.linspace(-2, 2, 9)
    expected = {
        "linear": 0.3 * x,
        "cubic": -(2 * x**3) - x,
        "exp": -np.exp(x) / 2,
        "atan": -0.75 * np.arctan(5 * x + 0.6),
        "sin": -2 * np.sin(3 * x) - x,
    }
    for f, curve in expected.items():
        np.testing.assert_allclose(generator(f).true_shift_curve(x), curve, atol=1e-14)


def test_odds_ratio_of_the_shift_is_e_squared_given_x1():
    model = TriangleContinuous()
    latents = model.draw_latents(N, 17)
    odds = []
    for x1 in (0.25, 1.25):
        p = (model.simulate(latents, {"x1": x1})["x2"] <= -0.2).mean()
        odds.append(p / (1 - p))
    # Delta method: the variance of a log odds is 1 / (n p (1 - p)) with p between 0.2 and 0.8.
    error = 5 * np.sqrt(2 / (N * 0.16))
    assert np.log(odds[1] / odds[0]) == pytest.approx(2, abs=error)


def test_marginal_odds_ratio_is_slightly_below_e_squared():
    model = TriangleContinuous()
    exact = model.true_odds_ratio()
    assert exact < np.exp(2)
    large = model.simulated_odds_ratio(n=1_000_000, rng=1)
    # Five standard errors: 40 000 latents give a sd of 0.17 over seeds.
    assert large == pytest.approx(exact, abs=5 * 0.17 * np.sqrt(40_000 / 1_000_000))
    small = model.simulated_odds_ratio()
    assert small == pytest.approx(np.exp(2), abs=5 * 0.17)
    with pytest.raises(ValueError, match="odds need both strictly between 0 and 1"):
        model.simulated_odds_ratio(threshold=-100)


def test_carefl_curves_follow_from_the_abducted_noise():
    row = pd.DataFrame([X_OBS] * len(ALPHAS))
    alpha = np.array(ALPHAS)
    assert len(alpha) == 61
    # e3 = 0.81 - 2 - 0.5 1.5^3 = -2.8775 and e4 = -0.28 + 1.5 - 0.5 2^2 = -0.78.
    x3 = Carefl4().true_counterfactual(row, {"x2": alpha})["x3"]
    np.testing.assert_allclose(x3, 2 + 0.5 * alpha**3 - 2.8775, atol=1e-12)
    x4 = Carefl4().true_counterfactual(row, {"x1": alpha})["x4"]
    np.testing.assert_allclose(x4, -1.5 + 0.5 * alpha**2 - 0.78, atol=1e-12)
