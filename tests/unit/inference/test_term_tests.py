from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit

from tramdag import CS, LS, CausalFlowDAG, ContinuousNode, OrdinalNode, SeparationWarning, SpecError


def affine() -> ContinuousNode:
    return ContinuousNode(transform="affine")


def fitted(rows: pd.DataFrame, levels: int) -> CausalFlowDAG:
    return CausalFlowDAG({"x": affine(), "y": OrdinalNode(levels, {"x": "ls"})}, seed=1).fit(rows)


def p_values(flow: CausalFlowDAG) -> dict[str, float]:
    table = flow.term_tests("y")
    return dict(zip(table["alternative"], table["p"], strict=True))


def graded(n: int, seed: int, *, spread: float = 0.0, bend: float = 0.0) -> pd.DataFrame:
    """Four levels; ``spread`` breaks proportional odds, ``bend`` linearity."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    effects = 0.7 + spread * np.array([-1.0, 0.0, 1.0])
    shift = x[:, None] * effects + bend * x[:, None] ** 2
    below = expit(np.array([-1.2, 0.0, 1.2]) - shift)
    return pd.DataFrame({"x": x, "y": (rng.random(n)[:, None] > below).sum(1)})


def test_the_tests_hold_their_size_under_the_null() -> None:
    n_sets = 200
    found = pd.DataFrame([p_values(fitted(graded(250, 1000 + s), 4)) for s in range(n_sets)])
    for alternative in ("ci", "smooth"):
        rejected = int((found[alternative] < 0.05).sum())
        # three binomial standard errors about 5 %
        assert abs(rejected - 0.05 * n_sets) < 3 * np.sqrt(0.05 * 0.95 * n_sets)
        assert stats.kstest(found[alternative], "uniform").pvalue > 1e-3


def test_the_tests_of_a_continuous_node_hold_their_size() -> None:
    n_sets, rejected = 120, {"ci": 0, "smooth": 0}
    spec = {"x": affine(), "y": ContinuousNode({"x": "ls"}, transform="affine")}
    for s in range(n_sets):
        rng = np.random.default_rng(5000 + s)
        x = rng.normal(size=250)
        rows = pd.DataFrame({"x": x, "y": 2 * (rng.logistic(size=250) - x)})
        for name, p in p_values(CausalFlowDAG(spec, seed=1).fit(rows)).items():
            rejected[name] += p < 0.05
    for count in rejected.values():
        # the observed information of 250 rows makes the test a little liberal
        assert count < 0.05 * n_sets + 4 * np.sqrt(0.05 * 0.95 * n_sets)


@pytest.mark.parametrize(("broken", "named"), [({"spread": 0.5}, "ci"), ({"bend": 0.5}, "smooth")])
def test_a_clear_violation_is_found(broken: dict[str, float], named: str) -> None:
    assert p_values(fitted(graded(800, 7, **broken), 4))[named] < 1e-4


def test_a_level_that_breaks_proportional_odds_is_named() -> None:
    rng = np.random.default_rng(2)
    group = rng.integers(0, 3, 1500)
    shift = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, -0.5]])[group]
    below = expit(np.array([-0.5, 1.0]) - shift)
    y = (rng.random(1500)[:, None] > below).sum(1)
    spec = {"g": OrdinalNode(3), "y": OrdinalNode(3, {"g": "ls"})}
    table = CausalFlowDAG(spec, seed=1).fit(pd.DataFrame({"g": group, "y": y})).term_tests("y")
    assert table["alternative"].tolist() == ["ci", "ci"]
    assert table["df"].tolist() == [1, 1]
    p = table.set_index("level")["p"]
    assert p[2] < 1e-6
    assert p[2] < p[1]


def test_smooth_alternative_of_a_binary_node_is_the_score_test_of_glm() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=300) + 2.0
    rows = pd.DataFrame({"x": x, "y": (rng.logistic(size=300) < 0.5 * x**2 - 2).astype(int)})
    table = fitted(rows, 2).term_tests("y")
    fit = sm.GLM(rows["y"], sm.add_constant(x), family=sm.families.Binomial()).fit(tol=1e-12)
    # powers of the standardised x span the same space
    expected = fit.score_test(exog_extra=np.column_stack([(x - 2) ** k for k in (2, 3, 4)]))
    assert table["alternative"].tolist() == ["smooth"]
    assert table["df"].tolist() == [3]
    assert table["statistic"].iloc[0] == pytest.approx(expected[0], rel=1e-6)
    assert table["p"].iloc[0] == pytest.approx(expected[1], rel=1e-6)


def test_score_statistic_approaches_the_likelihood_ratio_of_the_extended_model() -> None:
    # a local alternative: the two statistics differ by a vanishing share
    rows = graded(30_000, 3, spread=0.04)
    x, y = rows["x"].to_numpy(), rows["y"].to_numpy()

    def log_likelihood(theta: np.ndarray, effects: np.ndarray) -> float:
        below = expit(theta - x[:, None] * effects)
        edges = np.column_stack([np.zeros(len(x)), below, np.ones(len(x))])
        mass = np.diff(edges)[np.arange(len(x)), y]
        return float(np.log(np.maximum(mass, 1e-12)).sum())

    flow = fitted(rows, 4)
    theta, beta = flow.cutpoints("y"), flow.coef()["estimate"].iloc[-1]
    start = np.concatenate([theta, np.full(3, beta)])

    def nll(p: np.ndarray) -> float:
        return -log_likelihood(p[:3], p[3:]) / len(x)

    extended = scipy.optimize.minimize(nll, start)
    ratio = 2 * (-extended.fun * len(x) - log_likelihood(theta, start[3:]))
    table = flow.term_tests("y").set_index("alternative")
    assert table["df"]["ci"] == 2
    assert table["statistic"]["ci"] == pytest.approx(ratio, rel=0.03)
    assert ratio > 10.0


def test_an_inner_level_without_rows_leaves_no_test_of_proportional_odds() -> None:
    rows = graded(400, 11)
    gap = rows.assign(y=rows["y"].replace({2: 3}))
    merged = rows.assign(y=rows["y"].replace({3: 2}))
    with pytest.warns(SeparationWarning, match="no training row has level 2"):
        flow = fitted(gap, 4)
    table = flow.term_tests("y").set_index("alternative")
    expected = fitted(merged, 3).term_tests("y").set_index("alternative").drop("ci")
    assert list(table.index) == ["smooth"]
    np.testing.assert_allclose(
        table[["statistic", "df"]].astype(float), expected[["statistic", "df"]], rtol=1e-6
    )


def test_a_node_with_a_network_has_no_score_tests() -> None:
    rows = graded(100, 12)
    spec = {"x": affine(), "y": OrdinalNode(4, terms=[CS("x", hidden=(2,))])}
    flow = CausalFlowDAG(spec, seed=1).fit(rows, epochs=1)
    with pytest.raises(SpecError, match="'y'"):
        flow.term_tests("y")
    assert flow.term_tests().empty


def test_a_flow_of_networks_alone_has_no_score_tests() -> None:
    spec = {"x": ContinuousNode(transform="spline", n_coefs=4)}
    flow = CausalFlowDAG(spec, seed=1).fit(graded(100, 12)[["x"]], epochs=1)
    assert flow.term_tests().empty


def test_products_are_left_out() -> None:
    rng = np.random.default_rng(6)
    rows = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    rows["y"] = (rng.logistic(size=200) < rows["a"] * rows["b"]).astype(int)
    node = OrdinalNode(2, terms=[LS("a"), LS("b"), LS("a", "b")])
    flow = CausalFlowDAG({"a": affine(), "b": affine(), "y": node}, seed=1).fit(rows)
    assert flow.term_tests("y")["parent"].tolist() == ["a", "b"]
