from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.special

from tramdag import (
    CausalFlowDAG,
    ContinuousNode,
    ConvergenceWarning,
    DataError,
    OrdinalNode,
    SeparationWarning,
    SpecError,
)

F = scipy.special.expit


def test_counterfactual_pmf_equals_repeated_abduction(
    chain: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    # independent road: draw the latents of one row again and again and push them through
    n = 20_000
    for i in (0, 1, 2):
        row = rows.iloc[[i]]
        many = row.loc[row.index.repeat(n)].reset_index(drop=True)
        drawn = chain.sample(u=chain.abduct(many, seed=i), do={"x": row["x"].iloc[0] + 1.5})["y"]
        frequencies = np.bincount(drawn, minlength=4) / n
        p = chain.counterfactual_pmf(row, "y", {"x": lambda x: x + 1.5}).iloc[0].to_numpy()
        assert (np.abs(frequencies - p) <= 5 * np.sqrt(p * (1 - p) / n) + 1e-12).all()


def test_counterfactual_pmf_of_a_direct_cause_follows_the_interval_formula(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    theta = linear_flow.cutpoints("outcome")
    beta = linear_flow.coef().query("node == 'outcome'").set_index("parent")["estimate"]
    shift = fresh_cohort[["age", "score"]] @ beta[["age", "score"]]
    ends = np.concatenate([[-np.inf], theta, [np.inf]])
    factual = ends - (shift + beta["treat"] * fresh_cohort["treat"]).to_numpy()[:, None]
    other = ends - (shift + beta["treat"]).to_numpy()[:, None]
    y = fresh_cohort["outcome"].to_numpy()
    rows = np.arange(len(y))
    low, high = factual[rows, y][:, None], factual[rows, y + 1][:, None]
    overlap = F(np.minimum(high, other[:, 1:])) - F(np.maximum(low, other[:, :-1]))
    expected = np.maximum(overlap, 0.0) / (F(high) - F(low))
    table = linear_flow.counterfactual_pmf(fresh_cohort, "outcome", {"treat": 1})
    np.testing.assert_allclose(table, expected, atol=1e-9)


def test_counterfactual_pmf_of_the_factual_world_is_the_fact(
    chain: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    for do in (None, {}, {"x": rows["x"]}, {"z": 0.0}):
        table = chain.counterfactual_pmf(rows, "y", do)
        certain = table.to_numpy()[np.arange(len(rows)), rows["y"]]
        # abduction and prediction may round an interval's end by 1e-12
        np.testing.assert_allclose(certain, 1.0, atol=1e-9)


def test_counterfactual_pmf_rows_sum_to_one(chain: CausalFlowDAG, rows: pd.DataFrame) -> None:
    table = chain.counterfactual_pmf(rows, "y", {"x": 2.0})
    np.testing.assert_allclose(table.sum(axis=1), 1.0, atol=1e-12)
    assert list(table.columns) == [0, 1, 2, 3]
    assert table.index.equals(rows.index)


def test_counterfactual_pmf_has_no_random_part(chain: CausalFlowDAG, rows: pd.DataFrame) -> None:
    first, second = (chain.counterfactual_pmf(rows, "y", {"x": 0.0}) for _ in range(2))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.slow
def test_averaged_over_the_population_it_is_the_interventional_pmf(chain: CausalFlowDAG) -> None:
    # law of total probability over the factual rows, all of which come from the model
    n = 1500
    drawn = chain.sample(n, seed=8)
    counterfactual = chain.counterfactual_pmf(drawn, "y", {"x": 1.0}).to_numpy()
    interventional = chain.pmf(drawn, "y", do={"x": 1.0}, n_points=64).to_numpy()
    gap = counterfactual.mean(0) - interventional.mean(0)
    error = (counterfactual - interventional).std(0) / np.sqrt(n) + 2e-3
    assert (np.abs(gap) <= 5 * error).all()


def test_counterfactual_pmf_is_finite_far_in_the_tails(chain: CausalFlowDAG) -> None:
    far = pd.DataFrame(
        {
            "w": [50.0, -50.0, 50.0],
            "x": [-50.0, 50.0, 50.0],
            "m": [2, 0, 0],
            "c": [50.0, -50.0, -50.0],
            "y": [0, 3, 1],
            "z": [0.0, 0.0, 0.0],
        }
    )
    table = chain.counterfactual_pmf(far, "y", {"m": 1})
    np.testing.assert_allclose(table.sum(axis=1), 1.0, atol=1e-9)


def test_bad_counterfactual_questions_are_refused(chain: CausalFlowDAG, rows: pd.DataFrame) -> None:
    with pytest.raises(SpecError, match="'c'"):
        chain.counterfactual_pmf(rows, "c", {"x": 0.0})
    with pytest.raises(SpecError, match="'X'"):
        chain.counterfactual_pmf(rows, "y", {"X": 0.0})
    with pytest.raises(DataError, match="'z'"):
        chain.counterfactual_pmf(rows.drop(columns="z"), "y", {"x": 0.0})


@pytest.mark.parametrize("empty", ["m", "y"])
def test_a_row_with_a_level_of_no_probability_has_no_counterfactual(empty: str) -> None:
    rng = np.random.default_rng(5)
    n = 400
    df = pd.DataFrame({"x": rng.normal(size=n), "m": rng.integers(0, 3, n)})
    df["y"] = rng.integers(0, 3, n)
    nodes = {
        "x": ContinuousNode(transform="affine"),
        "m": OrdinalNode(3, {"x": "ls"}),
        "y": OrdinalNode(3, {"x": "ls", "m": "ls"}),
    }
    # without rows in m = 1 its coefficient on y is not estimable either
    with pytest.warns((SeparationWarning, ConvergenceWarning)):
        flow = CausalFlowDAG(nodes, seed=1).fit(df[df[empty] != 1])
    impossible = df[df[empty] == 1].head(3)
    with pytest.raises(DataError, match=f"'{empty}': a row has level 1"):
        flow.counterfactual_pmf(impossible, "y", {"x": 0.5})
    with pytest.raises(DataError, match=f"'{empty}': a row has level 1"):
        flow.abduct(impossible)
    possible = flow.counterfactual_pmf(df[df[empty] != 1], "y", {"x": 0.5})
    np.testing.assert_allclose(possible.sum(axis=1), 1.0, atol=1e-9)
