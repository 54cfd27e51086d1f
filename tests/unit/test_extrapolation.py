from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tramdag import CausalFlowDAG, ContinuousNode, ExtrapolationWarning, OrdinalNode

Ask = Callable[[CausalFlowDAG, pd.DataFrame, object], object]

VERBS: dict[str, Ask] = {
    "sample": lambda f, df, v: f.sample(len(df), do={"age": v}, seed=1),
    "counterfactual sample": lambda f, df, v: f.sample(u=f.abduct(df, seed=1), do={"age": v}),
    "pmf": lambda f, df, v: f.pmf(df, "outcome", {"age": v}),
    "cdf": lambda f, df, v: f.cdf(df, "cost", {"age": v}, at=3.0),
    "density": lambda f, df, v: f.density(df, "cost", {"age": v}, at=3.0),
    "quantile": lambda f, df, v: f.quantile(df, "cost", {"age": v}),
    "population": lambda f, df, v: f.pmf(None, "outcome", {"age": v}),
    "counterfactual_pmf": lambda f, df, v: f.counterfactual_pmf(df, "outcome", {"age": v}),
    "effect": lambda f, df, v: f.effect("outcome", "age", (70.0, v), data=df),
}


@pytest.fixture(scope="module")
def few(cohort: pd.DataFrame) -> pd.DataFrame:
    return cohort.head(4)


@pytest.mark.parametrize("verb", VERBS)
def test_a_do_value_far_outside_the_training_rows_is_warned_of_once(
    verb: str, linear_flow: CausalFlowDAG, few: pd.DataFrame
) -> None:
    with pytest.warns(ExtrapolationWarning) as caught:
        VERBS[verb](linear_flow, few, 200.0)
    (warning,) = caught
    assert warning.filename == __file__
    for word in ("'age'", "200", "training range"):
        assert word in str(warning.message)


@pytest.mark.parametrize("verb", VERBS)
def test_a_do_value_that_a_training_row_had_is_not(
    verb: str, linear_flow: CausalFlowDAG, cohort: pd.DataFrame, few: pd.DataFrame
) -> None:
    for value in (cohort["age"].min(), cohort["age"].max()):
        VERBS[verb](linear_flow, few, float(value))  # warnings are errors here


def test_a_column_of_do_values_names_the_furthest(
    linear_flow: CausalFlowDAG, few: pd.DataFrame
) -> None:
    with pytest.warns(ExtrapolationWarning, match="set to -300"):
        linear_flow.pmf(few, "outcome", {"age": [70.0, 200.0, -300.0, 71.0]})


def test_levels_rows_and_callables_are_not_warned_of(
    linear_flow: CausalFlowDAG, few: pd.DataFrame
) -> None:
    linear_flow.sample(5, do={"sev": 2}, seed=1)
    linear_flow.sample(5, do={"age": lambda age: age + 500.0}, seed=1)
    linear_flow.pmf(few.assign(age=300.0), "outcome", {"treat": 1})


def test_the_stated_range_covers_the_rows_within_one_standard_deviation_and_is_no_rows_value(
    linear_flow: CausalFlowDAG, cohort: pd.DataFrame, tmp_path: Path
) -> None:
    linear_flow.save(tmp_path / "flow.pt")
    for flow in (linear_flow, CausalFlowDAG.load(tmp_path / "flow.pt")):
        for name in ("age", "score", "cost"):
            law, column = flow.conditionals[name], cohort[name].to_numpy()
            low, high, sd = float(law.low), float(law.high), column.std()  # type: ignore[arg-type]
            assert column.min() - sd < low < column.min()
            assert column.max() < high < column.max() + sd
            for end in (low, high):
                deviations = (end - column.mean()) / sd
                assert deviations == pytest.approx(round(deviations), abs=1e-9)


def test_an_end_of_the_range_that_is_exact_is_inside_it() -> None:
    # minus one and one lie one standard deviation from their mean, up to rounding
    x = np.tile([-0.1, 0.1], 50) + 0.3
    df = pd.DataFrame({"x": x, "y": np.arange(100) % 3 == 0}).astype({"y": int})
    flow = CausalFlowDAG(
        {"x": ContinuousNode(transform="affine"), "y": OrdinalNode(2, {"x": "ls"})}
    )
    flow.fit(df)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow.pmf(df, "y", {"x": x})
    with pytest.warns(ExtrapolationWarning, match="'x'"):
        flow.pmf(df, "y", {"x": 0.41})
