from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from tramdag import (
    CausalFlowDAG,
    ContinuousNode,
    DataError,
    OrdinalNode,
    SeparationWarning,
    SpecError,
    fit_replicates,
)
from tramdag.ensemble import Ensemble
from tramdag.fitting import FitSettings
from tramdag.spec import Node

N = 300
CLASSICAL: dict[str, Node] = {
    "x": ContinuousNode(n_coefs=6),
    "t": OrdinalNode(2, {"x": "ls"}),
    "y": OrdinalNode(4, {"x": "ls", "t": "ls"}),
}
MIXED: dict[str, Node] = {
    **CLASSICAL,
    "y": OrdinalNode(4, {"x": "cs", "t": "ls"}),
    "z": ContinuousNode({"x": "cs"}, n_coefs=6),
    "w": ContinuousNode({"x": "cs"}, n_coefs=6),
}
QUICK: dict[str, Any] = {"epochs": 3, "batch_size": 100}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    x = rng.normal(size=N)
    t = (rng.logistic(size=N) > -x).astype(int)
    y = (rng.logistic(size=N)[:, None] > np.array([-1.0, 0.0, 1.5]) - (x - t)[:, None]).sum(1)
    return pd.DataFrame(
        {"x": x, "t": t, "y": y, "z": x**2 + rng.normal(size=N), "w": rng.normal(size=N) - x}
    )


@pytest.fixture(scope="module")
def bootstrap(rows: pd.DataFrame) -> Ensemble:
    return fit_replicates(CLASSICAL, rows, 12, seed=4)


def coefficients(flow: CausalFlowDAG) -> np.ndarray:
    return flow.coef()["estimate"].to_numpy()


# equal to separate fits


def test_a_bootstrap_replicate_is_the_weighted_fit(bootstrap: Ensemble, rows: pd.DataFrame) -> None:
    weights = bootstrap.weights
    assert weights is not None
    for b in (0, 5, 11):
        alone = CausalFlowDAG(CLASSICAL, seed=4).fit(rows, weights=weights[b])
        np.testing.assert_allclose(coefficients(bootstrap[b]), coefficients(alone), atol=1e-9)
        np.testing.assert_allclose(bootstrap[b].log_prob(rows), alone.log_prob(rows), atol=1e-8)


def test_a_resampled_binary_node_is_statsmodels_logistic_regression(
    bootstrap: Ensemble, rows: pd.DataFrame
) -> None:
    weights = bootstrap.weights
    assert weights is not None
    for b in (1, 7):
        model = sm.GLM(
            rows["t"],
            sm.add_constant(rows[["x"]]),
            family=sm.families.Binomial(),
            freq_weights=weights[b],
        )
        beta = bootstrap[b].coef().query("node == 't'")["estimate"].item()
        assert beta == pytest.approx(model.fit(tol=1e-12).params["x"], abs=1e-7)


def test_seeds_differ_in_networks_and_not_in_exact_nodes(rows: pd.DataFrame) -> None:
    ensemble = fit_replicates(MIXED, rows, seeds=[3, 8, 3], **QUICK)
    scores = ensemble.node_log_prob(rows)
    first, second, third = (scores.loc[b] for b in range(3))
    pd.testing.assert_frame_equal(first[["x", "t"]], second[["x", "t"]])
    assert (first["y"] - second["y"]).abs().max() > 1e-4
    pd.testing.assert_series_equal(first["z"], third["z"])


@pytest.mark.parametrize("given", [{}, {"validation_fraction": 0.0}])
def test_a_seed_of_networks_is_the_separate_fit(rows: pd.DataFrame, given: dict[str, Any]) -> None:
    ensemble = fit_replicates(MIXED, rows, seeds=[3, 8], **QUICK, **given)
    for b, seed in enumerate((3, 8)):
        alone = CausalFlowDAG(MIXED, seed=seed).fit(rows, **QUICK, **given)
        gap = ensemble[b].node_log_prob(rows) - alone.node_log_prob(rows)
        # steps in single precision, sums in another order
        assert gap.abs().to_numpy().max() < 1e-3
        pd.testing.assert_frame_equal(
            ensemble[b].report.nodes[["node", "solver", "epochs", "n", "converged"]],
            alone.report.nodes[["node", "solver", "epochs", "n", "converged"]],
        )


def test_weights_reach_the_networks(rows: pd.DataFrame) -> None:
    weights = np.ones((2, N))
    weights[1, : N // 2] = 0.0
    ensemble = fit_replicates(MIXED, rows, weights=weights, seed=1, epochs=20, batch_size=50)
    alone = CausalFlowDAG(MIXED, seed=1).fit(rows, weights=weights[1], epochs=20, batch_size=50)
    gap = ensemble[1].node_log_prob(rows) - alone.node_log_prob(rows)
    assert gap.abs().to_numpy().max() < 1e-2
    seen, unseen = rows.iloc[N // 2 :], rows.iloc[: N // 2]
    better = (
        ensemble[1].node_log_prob(seen)["z"].mean() - ensemble[0].node_log_prob(seen)["z"].mean()
    )
    worse = (
        ensemble[1].node_log_prob(unseen)["z"].mean()
        - ensemble[0].node_log_prob(unseen)["z"].mean()
    )
    assert better > worse


# how replicates are made


def test_multinomial_weights_are_counts_of_resampled_rows(bootstrap: Ensemble) -> None:
    weights = bootstrap.weights
    assert weights is not None
    assert weights.shape == (12, N)
    assert (weights == weights.round()).all()
    assert (weights.sum(1) == N).all()
    assert len(np.unique(weights, axis=0)) == 12


def test_exponential_weights_vary_around_one(rows: pd.DataFrame) -> None:
    weights = fit_replicates(CLASSICAL, rows, 4, weights="exponential", seed=1).weights
    assert weights is not None
    assert (weights > 0).all()
    # mean of 1200 exponential variables, sd 1
    assert abs(weights.mean() - 1) < 5 / np.sqrt(weights.size)


def test_folds_leave_every_row_out_once(rows: pd.DataFrame) -> None:
    weights = fit_replicates(CLASSICAL, rows, folds=5, seed=1).weights
    assert weights is not None
    assert set(np.unique(weights)) == {0.0, 1.0}
    assert ((weights == 0).sum(0) == 1).all()
    assert ((weights == 0).sum(1) == N // 5).all()


def test_the_seed_repeats_the_ensemble(rows: pd.DataFrame) -> None:
    first, second = (fit_replicates(CLASSICAL, rows, 3, seed=9).coef() for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "say how the replicates differ"),
        ({"folds": 3, "seeds": [1]}, "not both"),
        ({"replicates": 0}, "at least 1"),
        ({"replicates": 2.5}, "whole number"),
        ({"folds": 1}, "folds=1"),
        ({"folds": N + 1}, "folds=301"),
        ({"seeds": []}, "0 seeds"),
        ({"seeds": [1], "replicates": 2}, "1 seeds"),
        ({"weights": "jackknife", "replicates": 2}, "jackknife"),
        ({"weights": "multinomial"}, "number of replicates"),
        ({"weights": np.ones((2, N)), "replicates": 3}, "2 replicates"),
        ({"replicates": 2, "epoch": 3}, "unknown argument 'epoch'"),
    ],
)
def test_what_makes_no_replicates_is_refused(
    rows: pd.DataFrame, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        fit_replicates(CLASSICAL, rows, **given)


@pytest.mark.parametrize("weights", [np.ones((2, 3)), -np.ones((1, N)), np.zeros((1, N))])
def test_bad_weights_are_refused(rows: pd.DataFrame, weights: np.ndarray) -> None:
    with pytest.raises(DataError, match="weights"):
        fit_replicates(CLASSICAL, rows, weights=weights)


def test_the_defaults_of_a_fit_and_of_its_settings_agree() -> None:
    parameters = inspect.signature(CausalFlowDAG.fit).parameters
    own = {"self", "train_df", "val_df", "seed", "weights", "checkpoint", "checkpoint_every"}
    options = {k: p.default for k, p in parameters.items() if k not in own}
    assert FitSettings.of(**options) == FitSettings.of()


# queries


def test_a_query_answers_for_every_replicate(bootstrap: Ensemble, rows: pd.DataFrame) -> None:
    some = rows.iloc[:7]
    table = bootstrap.pmf(some, "y", do={"t": 1})
    assert table.index.names[0] == "replicate"
    assert table.shape == (12 * 7, 4)
    for b in (0, 3):
        expected = bootstrap[b].pmf(some, "y", do={"t": 1})
        pd.testing.assert_frame_equal(table.loc[b], expected, check_names=False)


def test_numbers_and_arrays_become_tables(bootstrap: Ensemble, rows: pd.DataFrame) -> None:
    assert bootstrap.nll(rows).shape == (12, 1)
    assert bootstrap.log_prob(rows).loc[2, "value"].tolist() == bootstrap[2].log_prob(rows).tolist()


def test_every_query_of_a_flow_is_a_query_of_an_ensemble() -> None:
    not_queries = {"attach", "confidence_interval", "fit", "load", "save", "to", "vcov"}
    verbs = {
        name
        for name, member in inspect.getmembers(CausalFlowDAG, inspect.isfunction)
        if not name.startswith("_")
    }
    missing = {verb for verb in verbs - not_queries if not hasattr(Ensemble, verb)}
    assert not missing


def test_the_spread_is_that_of_the_replicates(bootstrap: Ensemble) -> None:
    table = bootstrap.coef()
    spread = bootstrap.spread(table, by=["node", "parent", "level"]).droplevel("level")
    assert len(spread) == 3  # continuous parents have no level
    values = table.query("node == 'y' and parent == 'x'")["estimate"]
    row = spread.loc[("y", "x"), "estimate"]
    assert row["mean"] == pytest.approx(values.mean())
    assert row["sd"] == pytest.approx(values.std())
    assert row["lower"] == pytest.approx(np.quantile(values, 0.025))


def test_the_spread_of_an_indexed_table_keeps_its_rows(
    bootstrap: Ensemble, rows: pd.DataFrame
) -> None:
    some = rows.iloc[:5]
    spread = bootstrap.spread(bootstrap.pmf(some, "y"))
    assert spread.index.tolist() == some.index.tolist()
    sd = np.std([flow.pmf(some, "y")[2] for flow in bootstrap], axis=0, ddof=1)
    np.testing.assert_allclose(spread[(2, "sd")], sd, rtol=1e-10)


def test_effects_of_all_replicates_come_as_one_table(
    bootstrap: Ensemble, rows: pd.DataFrame
) -> None:
    table = bootstrap.effect("y", "t", data=rows)
    expected = bootstrap[4].effect("y", "t", data=rows)
    assert table.loc[(4, "ate"), "estimate"] == pytest.approx(expected.ate)


@pytest.mark.slow
def test_the_bootstrap_error_is_the_delta_methods(rows: pd.DataFrame) -> None:
    ensemble = fit_replicates(CLASSICAL, rows, 400, seed=2)
    table = ensemble.coef().query("node == 'y'")
    sd = table.groupby("parent")["estimate"].std()
    summary = CausalFlowDAG(CLASSICAL).fit(rows).summary("y").set_index("parent")
    # a standard deviation of 400 values is known to 3.5 %, the information of 300 rows to about 6 %
    for parent in ("x", "t"):
        assert sd[parent] == pytest.approx(summary.loc[parent, "std_error"], rel=0.25)


def test_a_list_of_flows_reads_like_a_list(bootstrap: Ensemble) -> None:
    assert len(bootstrap) == 12
    assert len(list(bootstrap)) == 12
    np.testing.assert_array_equal(coefficients(bootstrap[-1]), coefficients(bootstrap[11]))
    with pytest.raises(IndexError):
        bootstrap[12]


def test_the_report_of_every_fit_is_kept(bootstrap: Ensemble) -> None:
    table = bootstrap.nodes
    assert len(table) == 12 * 3
    assert table["converged"].all()
    assert (table["kkt_residual"] <= 1e-8).all()


def test_a_level_without_rows_is_named_once_for_all_replicates(rows: pd.DataFrame) -> None:
    with pytest.warns(SeparationWarning) as caught:
        fit_replicates(CLASSICAL, rows.assign(y=rows["y"].replace(2, 3)), 3, seed=4)
    named = [w for w in caught if "no training row has level 2" in str(w.message)]
    assert [warning.filename for warning in named] == [__file__]


def test_replicates_know_their_rows_and_weights(rows: pd.DataFrame) -> None:
    ensemble = fit_replicates(CLASSICAL, rows, 2, seed=4)
    first, second = ensemble
    assert ensemble.weights is not None
    again = CausalFlowDAG(CLASSICAL, seed=1).fit(rows, weights=ensemble.weights[0])
    assert again.report.rows == first.report.rows
    assert second.report.rows != first.report.rows
