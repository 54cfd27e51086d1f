from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit

from tramdag import (
    CS,
    LS,
    CausalFlowDAG,
    ContinuousNode,
    ConvergenceWarning,
    OrdinalNode,
    SeparationWarning,
    SpecError,
)

Nll = Callable[[np.ndarray, pd.DataFrame, float], float]


def affine() -> ContinuousNode:
    return ContinuousNode(transform="affine")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 120
    a, t = rng.normal(size=n), rng.integers(0, 2, n)
    noise = rng.logistic(size=n)
    y = (noise[:, None] > np.array([-0.5, 1.0]) - (0.7 * a + 0.9 * t)[:, None]).sum(1)
    time = 2.0 * (rng.logistic(size=n) - 0.8 * t)
    return pd.DataFrame({"a": a, "t": t, "y": y, "time": time})


@pytest.fixture(scope="module")
def flow(rows: pd.DataFrame) -> CausalFlowDAG:
    causes = {"a": "ls", "t": "ls"}
    spec = {
        "a": affine(),
        "t": OrdinalNode(2),
        "y": OrdinalNode(3, causes),
        "time": ContinuousNode(causes, transform="affine"),
    }
    return CausalFlowDAG(spec, seed=1).fit(rows)


def ordinal_nll(p: np.ndarray, rows: pd.DataFrame, beta: float) -> float:
    """Three levels; p = (theta_0, log of the step, coefficient of a), t's coefficient given."""
    shift = p[2] * rows["a"].to_numpy() + beta * rows["t"].to_numpy()
    cut = np.column_stack([p[0] - shift, p[0] + np.exp(p[1]) - shift])
    below = np.column_stack([np.zeros(len(shift)), expit(cut), np.ones(len(shift))])
    return -float(np.log(np.diff(below)[np.arange(len(shift)), rows["y"]]).sum())


def continuous_nll(p: np.ndarray, rows: pd.DataFrame, beta: float) -> float:
    """Logistic location-scale model; p = (constant, log slope, coefficient of a)."""
    time, a, t = rows[["time", "a", "t"]].to_numpy().T
    z = p[0] + np.exp(p[1]) * time + p[2] * a + beta * t
    return float((np.logaddexp(0, z) + np.logaddexp(0, -z)).sum() - len(rows) * p[1])


@pytest.mark.parametrize(
    ("node", "nll", "level"), [("y", ordinal_nll, 0.8), ("time", continuous_nll, 0.99)]
)
def test_profile_interval_equals_a_brute_force_profile(
    flow: CausalFlowDAG, rows: pd.DataFrame, node: str, nll: Nll, level: float
) -> None:
    def profile(beta: float) -> float:
        start = np.array([0.0, 0.0, 0.0])
        return scipy.optimize.minimize(nll, start, args=(rows, beta)).fun

    best = scipy.optimize.minimize_scalar(profile, bracket=(-0.5, 0.5), options={"xtol": 1e-5})
    half = 0.5 * stats.chi2.ppf(level, 1)

    def excess(beta: float) -> float:
        return profile(beta) - best.fun - half

    expected = [scipy.optimize.brentq(excess, best.x + s, best.x, xtol=1e-6) for s in (-4.0, 4.0)]
    got = flow.confidence_interval(node, "t=1", method="profile", level=level)
    # the brute force is good to about 1e-6
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.fixture(scope="module")
def separated_rows(rows: pd.DataFrame) -> pd.DataFrame:
    treated = rows["t"] == 1
    return rows.assign(y=np.where(treated, 1, (rows["a"] + rows["time"] / 3 > 0).astype(int)))


def test_under_separation_the_interval_is_one_sided(separated_rows: pd.DataFrame) -> None:
    data = separated_rows
    spec = {"a": affine(), "t": OrdinalNode(2), "y": OrdinalNode(2, {"a": "ls", "t": "ls"})}
    with pytest.warns(SeparationWarning, match="t=1"):
        flow = CausalFlowDAG(spec, seed=1).fit(data)
    lower, upper = flow.confidence_interval("y", "t=1", method="profile")
    design = sm.add_constant(data[["a"]])
    # in the limit the treated rows say nothing, so the best likelihood is the others'
    others = data["t"] == 0
    best = sm.Logit(data["y"][others], design[others]).fit(disp=False, tol=1e-12).llf
    half = 0.5 * stats.chi2.ppf(0.95, 1)

    sign = 1.0 - 2.0 * data["y"].to_numpy()

    def excess(beta: float) -> float:
        def nll(p: np.ndarray) -> float:
            return float(np.logaddexp(0, sign * (design @ p + beta * data["t"])).sum())

        return scipy.optimize.minimize(nll, np.zeros(2)).fun + best - half

    assert upper == np.inf
    assert lower == pytest.approx(scipy.optimize.brentq(excess, -2.0, 15.0), rel=1e-5)


def test_other_coefficients_keep_two_sides_under_separation(separated_rows: pd.DataFrame) -> None:
    data = separated_rows
    causes = {"a": "ls", "t": "ls"}
    spec = {"a": affine(), "t": OrdinalNode(2), "y": OrdinalNode(2, causes)}
    with pytest.warns(SeparationWarning, match="t=1"):
        flow = CausalFlowDAG(spec, seed=1).fit(data)
    untreated = data[data["t"] == 0]
    alone = CausalFlowDAG({"a": affine(), "y": OrdinalNode(2, {"a": "ls"})}, seed=1).fit(untreated)
    expected = alone.confidence_interval("y", "a", method="profile")
    got = flow.confidence_interval("y", "a", method="profile")
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_bystander_of_complete_separation_has_no_bounds() -> None:
    # whatever the coefficient of t is fixed at, that of a can still separate every row
    rng = np.random.default_rng(0)
    a, t = rng.normal(size=30), rng.integers(0, 2, 30)
    data = pd.DataFrame({"a": a, "t": t, "y": (a > 0.03).astype(int)})
    spec = {"a": affine(), "t": OrdinalNode(2), "y": OrdinalNode(2, {"a": "ls", "t": "ls"})}
    with pytest.warns(SeparationWarning, match="'a"):
        flow = CausalFlowDAG(spec, seed=1).fit(data)
    assert flow.confidence_interval("y", "t=1", method="profile") == (-np.inf, np.inf)


def test_a_coefficient_that_is_not_estimable_has_no_profile(rows: pd.DataFrame) -> None:
    spec = {"a": affine(), "b": affine(), "t": OrdinalNode(2, {"a": "ls", "b": "ls"})}
    with pytest.warns(ConvergenceWarning, match="'b'"):
        flow = CausalFlowDAG(spec, seed=1).fit(rows.assign(b=3 * rows["a"]))
    with pytest.raises(SpecError, match="not estimable"):
        flow.confidence_interval("t", "b", method="profile")


def test_a_network_node_has_no_profile(rows: pd.DataFrame) -> None:
    node = OrdinalNode(3, terms=[CS("a", hidden=(2,)), LS("t")])
    spec = {"a": affine(), "t": OrdinalNode(2), "y": node}
    flow = CausalFlowDAG(spec, seed=1).fit(rows, epochs=1)
    with pytest.raises(SpecError, match="classical"):
        flow.confidence_interval("y", "t=1", method="profile")
