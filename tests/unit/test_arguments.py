"""What a public verb is not asked to understand is refused by name, never by torch or numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tramdag as td
from tramdag.arguments import flat_numbers, is_number, shown


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    a, t = rng.normal(size=60), rng.integers(0, 2, 60)
    y = 0.3 * a + 0.5 * t + rng.logistic(size=60)
    k = (rng.logistic(size=60)[:, None] > np.array([-0.5, 1.0]) - 0.5 * y[:, None]).sum(1)
    return pd.DataFrame({"a": a, "t": t, "y": y, "k": k})


SPEC: dict[str, td.ContinuousNode | td.OrdinalNode] = {
    "a": td.ContinuousNode(transform="affine"),
    "t": td.OrdinalNode(2, {"a": "ls"}),
    "y": td.ContinuousNode({"a": "ls", "t": "ls"}, transform="affine"),
    "k": td.OrdinalNode(3, {"y": "ls", "t": "ls"}),
}


@pytest.fixture(scope="module")
def flow(data: pd.DataFrame) -> td.CausalFlowDAG:
    return td.CausalFlowDAG(SPEC, seed=1).fit(data)


@pytest.fixture(scope="module")
def ensemble(data: pd.DataFrame) -> td.Ensemble:
    return td.fit_replicates(SPEC, data, 2, seed=1)


Call = Callable[[td.CausalFlowDAG, pd.DataFrame], Any]

FLOW_CALLS: dict[str, tuple[Call, str]] = {
    "empty evidence": (lambda f, d: f.pmf(None, "k", evidence={"a": []}), "'a' has no values"),
    "series as evidence": (lambda f, d: f.pmf(None, "k", evidence=d["a"]), "must map node names"),
    "table as evidence": (lambda f, d: f.cdf(None, "y", at=0, evidence=d), "must map node names"),
    "empty do": (lambda f, d: f.pmf(None, "k", {"a": []}), "'a' has no values"),
    "uneven do": (lambda f, d: f.pmf(None, "k", {"a": [[1], [2, 3]]}), "uneven"),
    "list as do": (lambda f, d: f.sample(3, do=["t"]), "must map node names"),
    "callable of nothing": (lambda f, d: f.sample(3, do={"a": lambda: 1}), "the callable for"),
    "huge number": (lambda f, d: f.sample(3, do={"a": 10**400}), "largest float"),
    "text as threshold": (lambda f, d: f.cdf(d, "y", at="abc"), "at='abc' must be"),
    "number as text": (lambda f, d: f.cdf(d, "y", at="3"), "at='3' must be"),
    "no threshold": (lambda f, d: f.density(d, "y", at=[]), "not empty"),
    "text as level": (lambda f, d: f.quantile(d, "y", q="abc"), "quantile: q='abc' must be"),
    "array as scope": (lambda f, d: f.pmf(d, "k", scope=np.ones(2)), "pmf: scope"),
    "text as quantiles": (
        lambda f, d: f.effect("y", "t", data=d, quantiles="abc"),
        "effect: quantiles='abc' must be",
    ),
    "doubled quantiles": (
        lambda f, d: f.effect("y", "t", data=d, quantiles=[0.5, 0.5]),
        "repeat a level",
    ),
    "of and quantiles": (
        lambda f, d: f.effect("y", "t", data=d, of=lambda y: y > 0, quantiles=[0.5]),
        "of= and quantiles= exclude each other",
    ),
    "quantiles of levels": (
        lambda f, d: f.effect("k", "t", data=d, quantiles=[0.5]),
        "'k' is ordinal",
    ),
    "score that is no function": (lambda f, d: f.effect("k", "t", data=d, of=2), "of=2 must be"),
    "text as confidence": (lambda f, d: f.summary(level="x"), "level='x' must lie"),
    "array as kind": (lambda f, d: f.vcov("k", np.ones(2)), "kind="),
    "array as coefficient": (lambda f, d: f.confidence_interval("k", np.ones(2)), "no coeffic"),
    "uneven clusters": (
        lambda f, d: f.vcov("k", "sandwich", cluster=[[1], [2, 3]]),
        "one label for each",
    ),
    "number as curve": (lambda f, d: f.shift_curve("k", "y", 3), "must be a flat sequence"),
    "one value of change": (
        lambda f, d: f.odds_ratio_curve("k", "t", "y", [0.0], change=1),
        "change=1 must be two values",
    ),
    "number as file": (lambda f, d: f.save(3), "save: path=3 must be the path"),
    "number as file to load": (lambda f, d: f.load(3), "load: path=3 must be the path"),
    "number as checkpoint": (lambda f, d: f.fit(d, checkpoint=3), "checkpoint=3 must be the path"),
    "text as seconds": (
        lambda f, d: f.fit(d, checkpoint="x", checkpoint_every="x"),
        "checkpoint_every='x' must be a number",
    ),
    "text as rate": (lambda f, d: f.fit(d, learning_rate="x"), "learning_rate='x' must be"),
    "none as least change": (lambda f, d: f.fit(d, min_delta=None), "min_delta=None must be"),
    "text as share": (lambda f, d: f.fit(d, validation_fraction="x"), "validation_fraction='x'"),
    "table as flag": (lambda f, d: f.fit(d, warm_start=d), "warm_start=<DataFrame> must be"),
    "no rows": (lambda f, d: f.fit(d.iloc[:0]), "no rows"),
    "flow compared with a word": (lambda f, d: td.compare(f, "x"), "second argument"),
}


@pytest.mark.parametrize("name", FLOW_CALLS)
def test_a_flow_refuses_by_name(name: str, flow: td.CausalFlowDAG, data: pd.DataFrame) -> None:
    call, message = FLOW_CALLS[name]
    with pytest.raises((td.SpecError, td.DataError), match=message):
        call(flow, data)


REPLICATE_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no replicate": ({"weights": np.ones((0, 60))}, r"have the shape \(0, 60\)"),
    "scalar weights": ({"weights": 3.0}, r"have the shape \(\)"),
    "weights of one fit": ({"weights": np.ones(60)}, "One fit with one set of weights"),
    "uneven weights": ({"weights": [[1.0], [1.0, 2.0]]}, "is needed"),
    "number as seeds": ({"seeds": 3}, "seeds=3 must be a list"),
    "more replicates than folds": ({"folds": 3, "replicates": 5}, "leave replicates out"),
    "one fold": ({"folds": 1}, "from 2 to the 60 rows"),
    "number as checkpoint": ({"replicates": 2, "checkpoint": 3}, "checkpoint=3 must be"),
}


@pytest.mark.parametrize("name", REPLICATE_OPTIONS)
def test_fit_replicates_refuses_by_name(name: str, data: pd.DataFrame) -> None:
    options, message = REPLICATE_OPTIONS[name]
    with pytest.raises((td.SpecError, td.DataError), match=message):
        td.fit_replicates(SPEC, data, seed=1, **options)


SPREAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "percent": ({"level": 95}, "level=95 must lie between 0 and 1"),
    "unknown column": ({"by": ["nope"]}, "by= names 'nope'; the table's columns are 'node'"),
    "one word": ({"by": "node"}, "must be a list of columns"),
    "no column": ({"by": []}, "must be a list of columns"),
    "no table": ({"table": 3}, "table is a int"),
}


@pytest.mark.parametrize("name", SPREAD_OPTIONS)
def test_spread_refuses_by_name(name: str, ensemble: td.Ensemble) -> None:
    options, message = SPREAD_OPTIONS[name]
    with pytest.raises((td.SpecError, td.DataError), match=message):
        ensemble.spread(**{"table": ensemble.summary(), **options})


def test_a_table_without_replicates_has_no_spread(
    ensemble: td.Ensemble, data: pd.DataFrame
) -> None:
    with pytest.raises(td.DataError, match="one level"):
        ensemble.spread(data)


def test_a_query_of_each_fit_must_be_a_function(ensemble: td.Ensemble) -> None:
    with pytest.raises(td.SpecError, match="must be a function of a flow"):
        ensemble.each("coef")  # type: ignore[arg-type]


@pytest.mark.parametrize("which", [2, -3, "x", None, 0.0])
def test_an_ensemble_has_no_fit_beyond_its_last(which: Any, ensemble: td.Ensemble) -> None:
    with pytest.raises(IndexError, match="numbered 0 to 1"):
        ensemble[which]


def test_close_quantile_levels_keep_rows_of_their_own(
    flow: td.CausalFlowDAG, data: pd.DataFrame
) -> None:
    levels = [0.5, 0.5000001]
    table = flow.effect("y", "t", data=data, quantiles=levels).summary.set_index("quantity")
    names = ["quantile_a(0.5)", "quantile_a(0.5000001)"]
    separate = flow.effect("y", "t", data=data, quantiles=levels[1:]).summary
    alone = separate.set_index("quantity").loc[names[1], "estimate"]
    assert table.loc[names[0], "estimate"] < table.loc[names[1], "estimate"]
    assert table.loc[names[1], "estimate"] == pytest.approx(alone, rel=1e-10)
    assert table.index.is_unique


def test_numbers_are_told_from_what_merely_looks_like_them() -> None:
    assert [is_number(v) for v in (1, np.float32(2), True, "1", np.nan, np.inf, 10**400)] == [
        *(True, True),
        *(False,) * 5,
    ]
    assert is_number(np.inf, may_be_infinite=True)
    assert flat_numbers(2, what="x").tolist() == [2.0]
    assert shown(np.zeros(1000)) == "<ndarray>"
