from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from tramdag import CausalFlowDAG, ContinuousNode, OrdinalNode, SeparationWarning
from tramdag.errors import ConvergenceWarning
from tramdag.fitting import NodeReport


def affine() -> ContinuousNode:
    return ContinuousNode(transform="affine")


def fitted(rows: pd.DataFrame, *, levels: int = 2, **ordinal: int) -> CausalFlowDAG:
    """The node y on linear shifts of all other columns; ``ordinal`` gives levels of parents."""
    parents = [name for name in rows.columns if name != "y"]
    spec: dict[str, ContinuousNode | OrdinalNode] = {
        name: OrdinalNode(ordinal[name]) if name in ordinal else affine() for name in parents
    }
    spec["y"] = OrdinalNode(levels, dict.fromkeys(parents, "ls"))
    return CausalFlowDAG(spec, seed=1).fit(rows)


def entry(flow: CausalFlowDAG) -> NodeReport:
    return next(e for e in flow.report.node_reports if e.node == "y")


@pytest.fixture(scope="module")
def base() -> pd.DataFrame:
    rng = np.random.default_rng(31)
    n = 300
    a, t = rng.normal(size=n), rng.integers(0, 2, n)
    return pd.DataFrame({"a": a, "t": t, "y": (rng.logistic(size=n) < a).astype(int)})


def test_complete_separation_names_the_variable(base: pd.DataFrame) -> None:
    rows = pd.DataFrame({"a": base["a"], "y": (base["a"] > 0.1).astype(int)})
    with pytest.warns(SeparationWarning, match="'a -> \\+inf'"):
        flow = fitted(rows)
    assert entry(flow).separated_names[0] == "a"
    assert flow.summary("y")["status"].tolist() == ["separated"]
    assert flow.summary("y")["std_error"].isna().all()


def test_quasi_separation_names_the_level_and_its_direction(base: pd.DataFrame) -> None:
    for value, sign in ((1, "+"), (0, "-")):
        rows = base.assign(y=np.where(base["t"] == 1, value, base["y"]))
        with pytest.warns(SeparationWarning):
            flow = fitted(rows, t=2)
        assert entry(flow).separated == (f"t=1 -> {sign}inf",)


def test_what_is_not_separated_keeps_its_estimate_and_error(base: pd.DataFrame) -> None:
    rows = base.assign(y=np.where(base["t"] == 1, 1, base["y"]))
    with pytest.warns(SeparationWarning):
        table = fitted(rows, t=2).summary("y").set_index("parent")
    rest = rows[rows["t"] == 0]
    fit = sm.Logit(rest["y"], sm.add_constant(rest[["a"]])).fit(disp=False, tol=1e-12)
    assert table.loc["a", "status"] == "ok"
    assert table.loc["a", "estimate"] == pytest.approx(fit.params["a"], rel=1e-5)
    assert table.loc["a", "std_error"] == pytest.approx(fit.bse["a"], rel=1e-5)


def test_a_level_that_no_row_has_is_not_called_separated(base: pd.DataFrame) -> None:
    rows = base.assign(y=np.where(base["t"] == 1, 1, base["y"]), s=2 * (base.index % 2))
    with pytest.warns((SeparationWarning, ConvergenceWarning)):
        flow = fitted(rows, t=2, s=3)
    assert entry(flow).inestimable == ("s=1",)
    assert entry(flow).separated == ("t=1 -> +inf",)


def test_collinear_parents_are_not_called_separated(base: pd.DataFrame) -> None:
    rows = base.assign(y=np.where(base["t"] == 1, 1, base["y"]), b=2 * base["a"])
    with pytest.warns((SeparationWarning, ConvergenceWarning)):
        flow = fitted(rows, t=2)
    assert entry(flow).separated == ("t=1 -> +inf",)
    table = flow.summary("y").set_index("parent")
    assert table.loc["a", "status"] == "ok"
    assert table.loc["b", "status"] == "not estimable"


@pytest.mark.parametrize(("empty", "instead", "cutpoint"), [(0, 1, 0), (3, 2, 2)])
def test_an_empty_outer_level_sends_its_cutpoint_alone_to_infinity(
    base: pd.DataFrame, empty: int, instead: int, cutpoint: int
) -> None:
    rng = np.random.default_rng(8)
    noise = rng.logistic(size=len(base))[:, None]
    grade = (noise > np.array([-1.0, 0.0, 1.0]) - base[["a"]].to_numpy()).sum(1)
    rows = base.assign(y=np.where(grade == empty, instead, grade))
    with pytest.warns(SeparationWarning) as caught:
        flow = fitted(rows, levels=4, t=2)
    assert any(f"theta[{cutpoint}]" in str(warning.message) for warning in caught)
    assert entry(flow).separated == (f"theta[{cutpoint}]",)
    # the other parameters are those of the model without that level
    fewer = rows.assign(y=rows["y"] - (empty == 0))
    expected = fitted(fewer, levels=3, t=2).summary("y")
    columns = ["estimate", "std_error"]
    np.testing.assert_allclose(flow.summary("y")[columns], expected[columns], rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_large_but_finite_coefficients_raise_no_alarm() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(1500, 4))
        y = rng.logistic(size=1500) < X @ np.array([15.0, 8.0, -6.0, 0.0])
        rows = pd.DataFrame(X, columns=list("abcd")).assign(y=y.astype(int))
        assert entry(fitted(rows)).separated == ()


@pytest.mark.filterwarnings("error")
def test_two_overlapping_rows_suffice_for_a_maximum(base: pd.DataFrame) -> None:
    rows = pd.DataFrame({"a": base["a"], "y": (base["a"] > 0).astype(int)})
    order = rows["a"].abs().sort_values().index
    near = rows["a"] > 0
    # exchange the labels of the row next above and the row next below zero
    above, below = (next(i for i in order if near[i] == side) for side in (True, False))
    rows.loc[[above, below], "y"] = [0, 1]
    flow = fitted(rows)
    fit = sm.Logit(rows["y"], sm.add_constant(rows[["a"]])).fit(disp=False, maxiter=200, tol=1e-12)
    assert flow.coef()["estimate"].iloc[0] == pytest.approx(fit.params["a"], rel=1e-5)
    assert entry(flow).separated == ()
    # one of them alone still leaves a threshold between the levels
    rows.loc[below, "y"] = 0
    with pytest.warns(SeparationWarning, match="'a"):
        fitted(rows)


def test_a_continuous_node_is_never_separated() -> None:
    x = np.linspace(-1, 1, 60)
    noise = 1e-3 * np.random.default_rng(1).logistic(size=60)
    spec = {"x": affine(), "y": ContinuousNode({"x": "ls"}, transform="affine")}
    flow = CausalFlowDAG(spec, seed=1).fit(pd.DataFrame({"x": x, "y": 5 * x + noise}))
    assert entry(flow).separated == ()
    assert flow.report.converged


@pytest.mark.parametrize("optimizer", ["exact", "adam"])
@pytest.mark.parametrize("empty", [0, 2])
def test_an_outer_level_without_training_rows_is_named_whatever_the_solver(
    base: pd.DataFrame, empty: int, optimizer: str
) -> None:
    rows = base[["a"]].assign(y=base["y"] + (empty == 0))
    flow = CausalFlowDAG({"a": affine(), "y": OrdinalNode(3, {"a": "ls"})}, seed=1)
    with pytest.warns(SeparationWarning) as caught:
        flow.fit(rows, optimizer=optimizer, epochs=1)
    named = f"node 'y': no training row has level {empty}."
    assert any(str(warning.message).startswith(named) for warning in caught)


@pytest.mark.parametrize("labelled", [False, True])
def test_a_level_without_training_rows_is_named_with_what_follows(
    base: pd.DataFrame, labelled: bool
) -> None:
    names = np.array(["none", "mild", "severe"])
    codes = 2 * base["y"]
    column = pd.Categorical(names[codes], names, ordered=True) if labelled else codes
    expected = "'mild'" if labelled else "1"
    with pytest.warns(SeparationWarning) as caught:
        flow = fitted(base.assign(y=column), levels=3)
    messages = [str(warning.message) for warning in caught]
    assert any(f"'y': no training row has level {expected}." in m for m in messages)
    assert any("Merge" in m for m in messages)
    assert [warning.filename for warning in caught] == [__file__] * len(caught)
    assert (flow.pmf(base.assign(y=column), "y").iloc[:, 1] < 1e-12).all()
