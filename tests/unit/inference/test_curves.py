from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from tramdag import CI, LS, VC, CausalFlowDAG, ContinuousNode, OrdinalNode, SpecError


def affine() -> ContinuousNode:
    return ContinuousNode(transform="affine")


def truth(age: np.ndarray) -> np.ndarray:
    return -0.8 + 0.5 * ((age - 70) / 10) ** 2


def trial(n: int, seed: int) -> pd.DataFrame:
    """A treatment whose log odds ratio is a parabola of age."""
    rng = np.random.default_rng(seed)
    age, t = 70 + 10 * rng.uniform(-2, 2, n), rng.integers(0, 2, n)
    shift = 0.03 * (age - 70) + truth(age) * t
    y = (rng.logistic(size=n)[:, None] > np.array([-1.0, 0.0, 1.0]) - shift[:, None]).sum(1)
    return pd.DataFrame({"age": age, "t": t, "y": y})


def spec_with(*terms: LS | VC | CI) -> dict[str, ContinuousNode | OrdinalNode]:
    return {"age": affine(), "t": OrdinalNode(2), "y": OrdinalNode(4, terms=list(terms))}


GRID = np.linspace(53.0, 87.0, 12)


@pytest.fixture(scope="module")
def curve() -> pd.DataFrame:
    flow = CausalFlowDAG(spec_with(LS("age"), VC("t", by="age")), seed=1).fit(trial(6000, 3))
    return flow.odds_ratio_curve("y", "t", "age", GRID.tolist())


def test_a_spline_coefficient_recovers_the_curve(curve: pd.DataFrame) -> None:
    error = curve["log_odds_ratio"] - truth(GRID)
    # five standard errors bound the largest of a dozen deviations
    assert (error.abs() < 5 * curve["std_error"]).all()
    assert np.abs(error).max() < 0.35
    assert np.ptp(curve["log_odds_ratio"]) > 0.8
    np.testing.assert_allclose(curve["odds_ratio"], np.exp(curve["log_odds_ratio"]))


def test_simultaneous_band_holds_the_pointwise_one(curve: pd.DataFrame) -> None:
    assert (curve["simultaneous_lower"] < curve["lower"]).all()
    assert (curve["simultaneous_upper"] > curve["upper"]).all()
    half = np.log(curve["upper"]) - curve["log_odds_ratio"]
    np.testing.assert_allclose(half, stats.norm.ppf(0.975) * curve["std_error"], rtol=1e-9)
    # four coefficients: Scheffe's quantile bounds that of any number of their combinations
    wide = np.log(curve["simultaneous_upper"]) - curve["log_odds_ratio"]
    assert (wide / curve["std_error"] < np.sqrt(stats.chi2.ppf(0.95, 4))).all()


def test_simultaneous_band_at_one_value_is_pointwise() -> None:
    flow = CausalFlowDAG(spec_with(LS("age"), VC("t", by="age")), seed=1).fit(trial(500, 4))
    row = flow.odds_ratio_curve("y", "t", "age", [70.0]).iloc[0]
    ratio = np.log(row["simultaneous_upper"] / row["odds_ratio"]) / row["std_error"]
    # the quantile of 20000 absolute normal draws has a standard error of 0.013
    assert ratio == pytest.approx(stats.norm.ppf(0.975), abs=0.07)


@pytest.mark.slow
def test_simultaneous_band_covers_the_whole_curve_as_often_as_stated() -> None:
    # a product is exact here, so that only the band is on trial
    n_sets: int = 150
    held: Any = 0
    spec = {
        "x": affine(),
        "t": OrdinalNode(2),
        "y": OrdinalNode(2, terms=[LS("x"), LS("t"), LS("t", "x")]),
    }
    grid = np.linspace(-2, 2, 9)
    for seed in range(n_sets):
        rng = np.random.default_rng(9000 + seed)
        x, t = rng.normal(size=400), rng.integers(0, 2, 400)
        y = (rng.logistic(size=400) < 0.3 * x + (0.5 - 0.6 * x) * t).astype(int)
        flow = CausalFlowDAG(spec, seed=1).fit(pd.DataFrame({"x": x, "t": t, "y": y}))
        band = flow.odds_ratio_curve("y", "t", "x", grid.tolist(), level=0.8)
        inside = np.exp(0.5 - 0.6 * grid)
        held += (
            (band["simultaneous_lower"] < inside) & (inside < band["simultaneous_upper"])
        ).all()
    assert abs(held - 0.8 * n_sets) < 3.5 * np.sqrt(0.8 * 0.2 * n_sets)


def test_variance_of_a_product_curve_is_that_of_logistic_regression() -> None:
    rng = np.random.default_rng(8)
    x, t = rng.normal(size=500), rng.integers(0, 2, 500)
    y = (rng.logistic(size=500) < 0.3 * x + (0.5 - 0.6 * x) * t).astype(int)
    node = OrdinalNode(2, terms=[LS("x"), LS("t"), LS("t", "x")])
    spec = {"x": affine(), "t": OrdinalNode(2), "y": node}
    flow = CausalFlowDAG(spec, seed=1).fit(pd.DataFrame({"x": x, "t": t, "y": y}))
    fit = sm.Logit(y, np.column_stack([np.ones(500), x, t, t * x])).fit(disp=False, tol=1e-12)
    grid = np.array([-1.5, 0.0, 0.7])
    V = fit.cov_params()
    variance = V[2, 2] + 2 * grid * V[2, 3] + grid**2 * V[3, 3]
    curve = flow.odds_ratio_curve("y", "t", "x", grid.tolist())
    np.testing.assert_allclose(curve["log_odds_ratio"], fit.params[2] + fit.params[3] * grid)
    np.testing.assert_allclose(curve["std_error"], np.sqrt(variance), rtol=1e-6)
    # the change of a continuous parent, over the treatment
    other = flow.odds_ratio_curve("y", "x", "t", [0, 1], change=(-1.0, 2.0))
    slopes = 3 * (fit.params[1] + np.array([0.0, fit.params[3]]))
    np.testing.assert_allclose(other["log_odds_ratio"], slopes, rtol=1e-6)


def test_an_odds_ratio_of_a_complex_intercept_is_not_claimed_to_be_one() -> None:
    # its effect differs by cutpoint, so that no single odds ratio exists
    spec = spec_with(LS("age"), CI("t", hidden=(4,)))
    flow = CausalFlowDAG(spec, seed=1).fit(trial(400, 5), epochs=20)
    with pytest.raises(SpecError, match="'t'"):
        flow.odds_ratio_curve("y", "t", "age", [60.0, 80.0])


def test_labelled_levels_are_asked_for_by_label() -> None:
    rows = trial(500, 6)
    coded = CausalFlowDAG(
        {**spec_with(LS("age"), VC("t", by="age"), LS("s")), "s": OrdinalNode(2)}, seed=1
    )
    site = np.random.default_rng(1).integers(0, 2, len(rows))
    expected = coded.fit(rows.assign(s=site)).odds_ratio_curve("y", "t", "age", GRID.tolist())
    labelled = rows.assign(
        s=pd.Categorical(np.where(site == 1, "south", "north"), ["north", "south"], ordered=True),
        t=pd.Categorical(np.where(rows["t"] == 1, "drug", "control"), ordered=True),
    )
    flow = CausalFlowDAG(coded.spec, seed=1).fit(labelled)
    labels: Any = ("control", "drug")
    got = flow.odds_ratio_curve("y", "t", "age", GRID.tolist(), change=labels)
    pd.testing.assert_frame_equal(got, expected)


@pytest.mark.parametrize(("parent", "over"), [("y", "age"), ("t", "Age"), ("t", "y")])
def test_a_curve_needs_two_parents(parent: str, over: str) -> None:
    flow = CausalFlowDAG(spec_with(LS("age"), LS("t")), seed=1).fit(trial(200, 7))
    with pytest.raises(SpecError, match="no parent"):
        flow.odds_ratio_curve("y", parent, over, [1.0])
