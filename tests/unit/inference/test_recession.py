"""What separation leaves of every parameter: an estimate, infinity, or nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import statsmodels.api as sm
from scipy import stats

from tramdag import LS, CausalFlowDAG, ContinuousNode, OrdinalNode, SeparationWarning
from tramdag.fitting import NodeReport


def affine() -> ContinuousNode:
    return ContinuousNode(transform="affine")


def entry(flow: CausalFlowDAG) -> NodeReport:
    return next(e for e in flow.report.node_reports if e.node == "y")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(17)
    n = 400
    a, b = rng.normal(size=(2, n))
    g = rng.integers(0, 3, n)
    y = (rng.logistic(size=n) < a + 0.5 * b + 0.7 * (g == 2)).astype(int)
    return pd.DataFrame({"a": a, "b": b, "g": g, "y": y})


@pytest.fixture(scope="module")
def threshold() -> CausalFlowDAG:
    """Y = 1 exactly where x > 0, whatever t is."""
    rng = np.random.default_rng(3)
    x, t = rng.normal(size=500), rng.integers(0, 2, 500)
    data = pd.DataFrame({"x": x, "t": t, "y": (x > 0).astype(int)})
    spec = {"x": affine(), "t": OrdinalNode(2), "y": OrdinalNode(2, {"x": "ls", "t": "ls"})}
    with pytest.warns(SeparationWarning, match="any value"):
        return CausalFlowDAG(spec, seed=1).fit(data)


def test_a_bystander_of_complete_separation_is_undetermined(threshold: CausalFlowDAG) -> None:
    table = threshold.summary("y").set_index("parent")
    assert table["status"].to_dict() == {"x": "separated", "t": "undetermined"}
    assert table["std_error"].isna().all()
    assert np.isnan(table.loc["t", "estimate"])
    assert entry(threshold).separated == ("x -> +inf", "t=1 -> any value", "theta[0]")
    assert threshold.vcov("y").empty


def test_profile_intervals_say_the_same_of_complete_separation(threshold: CausalFlowDAG) -> None:
    assert threshold.confidence_interval("y", "t=1", method="profile") == (-np.inf, np.inf)
    lower, upper = threshold.confidence_interval("y", "x", method="profile")
    assert lower > 0
    assert upper == np.inf


@pytest.fixture(scope="module")
def reference(rows: pd.DataFrame) -> tuple[pd.DataFrame, CausalFlowDAG]:
    """All rows at the reference level of g have y = 0: its cutpoint and both dummies run off."""
    data = rows.assign(y=np.where(rows["g"] == 0, 0, rows["y"]))
    causes = {"a": "ls", "b": "ls", "g": "ls"}
    spec = {"a": affine(), "b": affine(), "g": OrdinalNode(3), "y": OrdinalNode(2, causes)}
    with pytest.warns(SeparationWarning):
        return data, CausalFlowDAG(spec, seed=1).fit(data)


def test_a_separated_reference_level_takes_all_contrasts_along(
    reference: tuple[pd.DataFrame, CausalFlowDAG],
) -> None:
    _, flow = reference
    assert entry(flow).separated == ("g=1 -> +inf", "g=2 -> +inf", "theta[0]")
    assert flow.summary("y")["status"].tolist() == ["ok", "ok", "separated", "separated"]


def test_what_stays_identified_has_the_limiting_problems_errors(
    reference: tuple[pd.DataFrame, CausalFlowDAG],
) -> None:
    data, flow = reference
    rest = data[data["g"] > 0]
    design = sm.add_constant(rest[["a", "b"]].assign(second=(rest["g"] == 2).astype(float)))
    fit = sm.Logit(rest["y"], design).fit(disp=False, tol=1e-13)
    covariance = fit.cov_params().loc[["a", "b"], ["a", "b"]]
    np.testing.assert_allclose(flow.vcov("y"), covariance, rtol=1e-6)
    robust = sm.Logit(rest["y"], design).fit(disp=False, tol=1e-13, cov_type="HC0")
    sandwich = robust.cov_params().loc[["a", "b"], ["a", "b"]]
    np.testing.assert_allclose(flow.vcov("y", "sandwich"), sandwich, rtol=1e-6)
    estimates = flow.summary("y").set_index("parent").loc[["a", "b"], "estimate"]
    np.testing.assert_allclose(estimates, fit.params[["a", "b"]], rtol=1e-6)


def test_what_stays_identified_has_the_limiting_problems_profile(
    reference: tuple[pd.DataFrame, CausalFlowDAG],
) -> None:
    data, flow = reference
    rest = data[data["g"] > 0]
    others = sm.add_constant(rest[["b"]].assign(second=(rest["g"] == 2).astype(float)))
    full = sm.Logit(rest["y"], others.assign(a=rest["a"])).fit(disp=False, tol=1e-13)

    def excess(beta: float) -> float:
        offset = beta * rest["a"]
        held = sm.GLM(rest["y"], others, sm.families.Binomial(), offset=offset).fit(tol=1e-13)
        return full.llf - held.llf - 0.5 * stats.chi2.ppf(0.95, 1)

    centre = full.params["a"]
    expected = [scipy.optimize.brentq(excess, centre, centre + s, xtol=1e-9) for s in (-2.0, 2.0)]
    got = flow.confidence_interval("y", "a", method="profile")
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_product_that_only_separated_rows_have_is_undetermined(rows: pd.DataFrame) -> None:
    t = (rows["g"] == 2).astype(int)
    data = rows[["a", "b"]].assign(t=t, y=np.where(t == 1, 1, rows["y"]))
    terms = [LS("a"), LS("t"), LS("t", "b")]
    spec = {"a": affine(), "b": affine(), "t": OrdinalNode(2), "y": OrdinalNode(2, terms=terms)}
    with pytest.warns(SeparationWarning):
        flow = CausalFlowDAG(spec, seed=1).fit(data)
    table = flow.summary("y")
    assert table["status"].tolist() == ["ok", "separated", "undetermined"]
    rest = data[t == 0]
    fit = sm.Logit(rest["y"], sm.add_constant(rest[["a"]])).fit(disp=False, tol=1e-13)
    assert table["std_error"].iloc[0] == pytest.approx(fit.bse["a"], rel=1e-6)


def signs_by_enumeration(X: np.ndarray, y: np.ndarray, levels: int) -> list[set[int]]:
    """Signs of every column over all directions of small whole numbers that never hurt a row.

    With entries of X in {-1, 0, 1} the cone's edges are minors of such matrices, hence small.
    """
    grid = itertools.product(range(-4, 5), repeat=levels - 1 + X.shape[1])
    theta, beta = np.split(np.array(list(grid), dtype=float), [levels - 1], axis=1)
    shift = beta @ X.T
    outer = np.full((len(theta), 1), np.inf)
    upper = np.hstack([theta, outer])[:, y] - shift
    lower = np.hstack([-outer, theta])[:, y] - shift
    harmless = (upper >= 0).all(1) & (lower <= 0).all(1) & (np.diff(theta) >= 0).all(1)
    return [set(np.sign(column[harmless]).astype(int).tolist()) - {0} for column in beta.T]


@pytest.mark.filterwarnings("ignore::tramdag.SeparationWarning")
@pytest.mark.parametrize(("levels", "n"), [(2, 9), (3, 6)])
def test_the_fate_of_every_coefficient_equals_an_enumeration_of_directions(
    levels: int, n: int
) -> None:
    rng = np.random.default_rng(levels)
    fates: set[tuple[int, ...]] = set()
    for _ in range(60):
        X = rng.integers(-1, 2, (n, 2))
        X[:2], y = [[-1, 1], [1, -1]], rng.integers(0, levels, n)
        y[:2] = 0, levels - 1
        if np.linalg.matrix_rank(np.column_stack([np.ones(n), X])) < 3:
            continue
        data = pd.DataFrame(X, columns=["a", "b"]).assign(y=y)
        causes = {"a": "ls", "b": "ls"}
        spec = {"a": affine(), "b": affine(), "y": OrdinalNode(levels, causes)}
        flow = CausalFlowDAG(spec, seed=1).fit(data)
        separated = dict(label.split(" -> ") for label in entry(flow).separated if "->" in label)
        meaning = {"+inf": {1}, "-inf": {-1}, "any value": {1, -1}}
        got = [meaning[separated[name]] if name in separated else set() for name in ("a", "b")]
        assert got == signs_by_enumeration(X, y, levels)
        fates |= {tuple(sorted(signs)) for signs in got}
    assert fates == {(), (1,), (-1,), (-1, 1)}
