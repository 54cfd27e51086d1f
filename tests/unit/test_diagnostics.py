from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from tramdag import CausalFlowDAG, ContinuousNode, OrdinalNode, SpecError
from tramdag.diagnostics import calibration_table, residual_table


@pytest.fixture(scope="module")
def tests_of_chain(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return linear_flow.residuals(fresh_cohort, seed=3), linear_flow.residual_tests(
        fresh_cohort, seed=3
    )


def test_adjusted_p_values_are_holms(tests_of_chain: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _, table = tests_of_chain
    np.testing.assert_allclose(
        table["p_adjusted"], multipletests(table["p"], method="holm")[1], rtol=1e-12
    )


def test_distribution_rows_are_kolmogorovs_test(
    tests_of_chain: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    residuals, table = tests_of_chain
    rows = table[table["check"] == "distribution"].set_index("node")
    for name in map(str, residuals.columns):
        # the uniform scale is another road to the same distance
        expected = stats.ks_1samp(stats.logistic.cdf(residuals[name]), stats.uniform.cdf)
        assert rows["statistic"][name] == pytest.approx(expected.statistic, rel=1e-9)
        assert rows["p"][name] == pytest.approx(expected.pvalue, rel=1e-6)


def test_every_parent_and_every_pair_is_tested_once(
    linear_flow: CausalFlowDAG, tests_of_chain: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    residuals, table = tests_of_chain
    edges = [(name, p) for name, node in linear_flow.spec.items() for p in node.parents]
    parents = table[table["check"] == "parent"]
    assert sorted(zip(parents["node"], parents["other"], strict=True)) == sorted(edges)
    assert (table["check"] == "pair").sum() == 15
    row = table[(table["check"] == "pair") & (table["other"] == "cost")].iloc[0]
    pearson = stats.pearsonr(residuals[row["node"]].rank(), residuals["cost"].rank())
    assert row["statistic"] == pytest.approx(pearson.statistic, rel=1e-9)


def confounded(n: int, seed: int, strength: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    hidden = strength * rng.normal(size=n)
    x = hidden + rng.logistic(size=n)
    m = 0.5 * x + rng.logistic(size=n)
    grade = (rng.logistic(size=n)[:, None] > np.array([-1.0, 1.0]) - (m + hidden)[:, None]).sum(1)
    return pd.DataFrame({"x": x, "m": m, "y": grade})


@pytest.mark.parametrize("strength", [0.0, 1.5])
def test_a_hidden_confounder_is_named(strength: float) -> None:
    spec = {
        "x": ContinuousNode(n_coefs=6),
        "m": ContinuousNode({"x": "ls"}, n_coefs=6),
        "y": OrdinalNode(3, {"m": "ls"}),
    }
    flow = CausalFlowDAG(spec, seed=1).fit(confounded(1500, 1, strength))
    table = flow.residual_tests(confounded(1500, 2, strength))
    pairs = table[table["check"] == "pair"].set_index(["node", "other"])["p_adjusted"]
    if strength:
        assert pairs.idxmin() == ("x", "y")
        assert pairs.min() < 1e-6
    else:
        assert table["p_adjusted"].min() > 0.01


def test_residuals_of_ordinal_nodes_are_random_but_seeded(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    one, same, other = (linear_flow.residuals(fresh_cohort, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert (one["outcome"] != other["outcome"]).all()
    np.testing.assert_array_equal(one["cost"], other["cost"])
    assert one.index.equals(fresh_cohort.index)


def test_a_wrong_distribution_is_found() -> None:
    rng = np.random.default_rng(5)
    residuals = pd.DataFrame({"x": 2 * rng.logistic(size=500)})
    table = residual_table(residuals, residuals, {"x": []})
    assert table["p_adjusted"].iloc[0] < 1e-6


def test_a_parent_that_is_constant_in_the_rows_is_no_reason_to_warn(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    treated = fresh_cohort[fresh_cohort["treat"] == 1]
    table = linear_flow.residual_tests(treated)
    row = table[(table["check"] == "parent") & (table["other"] == "treat")]
    assert row["statistic"].isna().all()
    assert table.drop(row.index)["p_adjusted"].notna().all()


def test_calibration_intervals_are_wilsons(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    table = linear_flow.calibration(fresh_cohort, "outcome", bins=7, level=0.9)
    hits = (table["observed"] * table["n"]).round()
    low, high = proportion_confint(hits, table["n"], alpha=0.1, method="wilson")
    np.testing.assert_allclose(table["lower"], low, atol=1e-12)
    np.testing.assert_allclose(table["upper"], high, atol=1e-12)
    assert table.groupby("level")["n"].sum().tolist() == [len(fresh_cohort)] * 4


def test_calibration_bins_average_the_predicted_probabilities(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    table = linear_flow.calibration(fresh_cohort, "outcome", bins=1).set_index("level")
    predicted = linear_flow.pmf(fresh_cohort, "outcome").mean()
    observed = [(fresh_cohort["outcome"] == k).mean() for k in range(4)]
    np.testing.assert_allclose(table["predicted"], predicted, rtol=1e-9)
    np.testing.assert_allclose(table["observed"], observed, rtol=1e-12)


def test_calibration_bins_are_ordered_by_prediction() -> None:
    rng = np.random.default_rng(6)
    p = rng.random(95)
    hit = (rng.random(95) < p).astype(int)
    probabilities = pd.DataFrame({"no": 1 - p, "yes": p})
    table = calibration_table(probabilities, hit, bins=10, confidence=0.95)
    yes = table[table["level"] == "yes"]
    assert yes["predicted"].is_monotonic_increasing
    assert set(yes["n"]) == {9, 10}


def test_more_bins_than_rows_are_as_many_bins_as_rows() -> None:
    probabilities = pd.DataFrame({0: [0.2, 0.6], 1: [0.8, 0.4]})
    table = calibration_table(probabilities, np.array([0, 1]), bins=10, confidence=0.95)
    assert table["n"].tolist() == [1, 1, 1, 1]


def test_calibration_wants_an_ordinal_node(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    for bad in ({"node": "cost"}, {"node": "outcome", "bins": 0}, {"node": "Outcome"}):
        with pytest.raises(SpecError, match="calibration"):
            linear_flow.calibration(fresh_cohort, **bad)
