"""Replicates that differ in their data: each is the separate fit of its own table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from statsmodels.miscmodels.ordinal_model import OrderedModel

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
from tramdag.spec import CI, Node

N = 240
CLASSICAL: dict[str, Node] = {
    "x": ContinuousNode(n_coefs=6),
    "t": OrdinalNode(2, {"x": "ls"}),
    "y": OrdinalNode(4, {"x": "ls", "t": "ls"}),
}
MIXED: dict[str, Node] = {
    **CLASSICAL,
    "y": OrdinalNode(4, {"x": "cs", "t": "ls"}),
    "z": ContinuousNode({"x": "cs"}, n_coefs=6),
    "w": ContinuousNode(terms=[CI("x", hidden=(8,))], n_coefs=6),
}
QUICK: dict[str, Any] = {"epochs": 12, "batch_size": 50, "verbose": 0}


def draw(seed: int, n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = (1 + seed) * rng.normal(size=n) + 5 * seed  # every data set has scalings of its own
    s = (x - 5 * seed) / (1 + seed)
    t = (rng.logistic(size=n) > -s).astype(int)
    y = (rng.logistic(size=n)[:, None] > np.array([-1.0, 0.0, 1.5]) - (s - t)[:, None]).sum(1)
    return pd.DataFrame(
        {"x": x, "t": t, "y": y, "z": s**2 + rng.normal(size=n), "w": rng.normal(size=n) - s}
    )


@pytest.fixture(scope="module")
def tables() -> list[pd.DataFrame]:
    return [draw(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def classical(tables: list[pd.DataFrame]) -> Ensemble:
    return fit_replicates(CLASSICAL, tables, seed=1)


@pytest.fixture
def double_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients in double precision, so that only the order of sums sets two programs apart."""
    monkeypatch.setattr("tramdag.fitting.training.STEP_DTYPE", torch.float64)


def assert_is_separate_fit(
    flow: CausalFlowDAG, alone: CausalFlowDAG, rows: pd.DataFrame, *, atol: float
) -> None:
    own, other = flow.coef(), alone.coef()
    pd.testing.assert_frame_equal(own.drop(columns="estimate"), other.drop(columns="estimate"))
    np.testing.assert_allclose(own["estimate"], other["estimate"], rtol=0, atol=atol)
    gap = flow.node_log_prob(rows) - alone.node_log_prob(rows)
    assert gap.abs().to_numpy().max() < atol
    columns = ["node", "solver", "epochs", "n", "converged", "total_weight"]
    pd.testing.assert_frame_equal(flow.report.nodes[columns], alone.report.nodes[columns])
    for column in ("nll", "validation_nll"):
        np.testing.assert_allclose(
            flow.report.nodes[column].astype(float),
            alone.report.nodes[column].astype(float),
            rtol=0,
            atol=atol,
        )
    assert flow.report.rows == alone.report.rows


def test_an_exact_fit_of_a_data_set_is_the_separate_one(
    classical: Ensemble, tables: list[pd.DataFrame]
) -> None:
    for flow, rows in zip(classical, tables, strict=True):
        assert_is_separate_fit(flow, CausalFlowDAG(CLASSICAL, seed=1).fit(rows), rows, atol=1e-12)


def test_an_ordinal_node_of_every_data_set_is_statsmodels_proportional_odds_model(
    classical: Ensemble, tables: list[pd.DataFrame]
) -> None:
    for flow, rows in zip(classical, tables, strict=True):
        model = OrderedModel(rows["y"], rows[["x", "t"]], distr="logit")
        beta = model.fit(method="newton", disp=False, tol=1e-12).params[["x", "t"]]
        own = flow.coef().query("node == 'y'").set_index("parent")["estimate"]
        np.testing.assert_allclose(own[["x", "t"]], beta, atol=1e-6)


@pytest.mark.usefixtures("double_steps")
@pytest.mark.parametrize(
    "given", [{}, {"validation_fraction": 0.0}, {"freeze_patience": 2, "schedule": "plateau"}]
)
def test_a_gradient_fit_of_a_data_set_is_the_separate_one(
    tables: list[pd.DataFrame], given: dict[str, Any]
) -> None:
    options = QUICK | given
    seeds = [3, 8, 3]
    ensemble = fit_replicates(MIXED, tables, seeds=seeds, **options)
    assert ensemble.seeds == (3, 8, 3)
    for flow, rows, seed in zip(ensemble, tables, seeds, strict=True):
        alone = CausalFlowDAG(MIXED, seed=seed).fit(rows, **options)
        assert_is_separate_fit(flow, alone, rows, atol=1e-6)


@pytest.mark.usefixtures("double_steps")
def test_data_sets_may_differ_in_length(tables: list[pd.DataFrame]) -> None:
    some = [tables[0], draw(4, 150), tables[1]]
    ensemble = fit_replicates(MIXED, some, seed=2, **QUICK)
    for flow, rows in zip(ensemble, some, strict=True):
        alone = CausalFlowDAG(MIXED, seed=2).fit(rows, **QUICK)
        assert_is_separate_fit(flow, alone, rows, atol=1e-6)


@pytest.mark.usefixtures("double_steps")
def test_validation_rows_serve_every_data_set(tables: list[pd.DataFrame]) -> None:
    held = draw(1, 90)
    ensemble = fit_replicates(MIXED, tables, val_df=held, seed=2, **QUICK)
    alone = CausalFlowDAG(MIXED, seed=2).fit(tables[2], held, **QUICK)
    assert_is_separate_fit(ensemble[2], alone, tables[2], atol=1e-6)


def test_standard_errors_are_those_of_the_replicates_own_rows(
    classical: Ensemble, tables: list[pd.DataFrame]
) -> None:
    for b, rows in enumerate(tables):
        alone = CausalFlowDAG(CLASSICAL).fit(rows).summary()
        np.testing.assert_allclose(classical[b].summary()["std_error"], alone["std_error"])


def test_every_replicate_answers_in_its_own_scaling(
    classical: Ensemble, tables: list[pd.DataFrame]
) -> None:
    pmf = classical.pmf(tables[2].iloc[:5], "y", do={"t": 1})
    assert pmf.shape == (15, 4)
    assert classical.weights is None
    assert (classical.coef().query("node == 'y' and parent == 'x'")["estimate"] > 0).all()


def test_an_interrupted_fit_of_several_lengths_goes_on_to_the_same_bits(
    tables: list[pd.DataFrame], tmp_path: Any
) -> None:
    some = [tables[0], draw(4, 150)]
    path = tmp_path / "journal.pt"
    whole = fit_replicates(MIXED, some, seed=2, **QUICK)
    fit_replicates(MIXED, some, seed=2, checkpoint=path, checkpoint_every=0.0, **QUICK)
    again = fit_replicates(MIXED, some, seed=2, checkpoint=path, **QUICK)
    pd.testing.assert_frame_equal(again.node_log_prob(some[1]), whole.node_log_prob(some[1]))
    with pytest.raises(DataError, match="another fit"):
        fit_replicates(MIXED, some[:1], seed=2, checkpoint=path, **QUICK)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"replicates": 3}, "replicates=3 with a sequence of 3 data sets"),
        ({"weights": "multinomial"}, "weights='multinomial' with a sequence"),
        ({"folds": 2}, "folds=2 with a sequence"),
        ({"seeds": [1, 2]}, "2 seeds for 3 data sets"),
    ],
)
def test_data_sets_are_the_only_way_to_make_their_replicates(
    tables: list[pd.DataFrame], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        fit_replicates(CLASSICAL, tables, **given)


def test_no_data_set_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="the list of data sets is empty"):
        fit_replicates(CLASSICAL, [])


def test_a_data_set_that_does_not_fit_is_named_by_its_number(tables: list[pd.DataFrame]) -> None:
    with pytest.raises(DataError, match="data set 1 of 2: the table lacks the column 'y'"):
        fit_replicates(CLASSICAL, [tables[0], tables[1].drop(columns="y")])
    with pytest.raises(DataError, match=r"data set 0 of 1: node 't': .* is constant"):
        fit_replicates(CLASSICAL, [tables[0].assign(t=1)])


def test_data_sets_that_code_a_column_differently_are_refused(tables: list[pd.DataFrame]) -> None:
    named = tables[1].assign(
        t=pd.Categorical(tables[1]["t"].map({0: "no", 1: "yes"}), ["no", "yes"], ordered=True)
    )
    with pytest.raises(DataError, match=r"data set 1 of 2: the levels of column 't' are 'no'"):
        fit_replicates(CLASSICAL, [tables[0], named])


def test_a_level_without_rows_is_named_once_for_all_data_sets(tables: list[pd.DataFrame]) -> None:
    some = [*tables, *(table.assign(y=table["y"].replace(2, 3)) for table in tables[:2])]
    with pytest.warns(SeparationWarning) as caught:
        fit_replicates(CLASSICAL, some, seed=4)
    text = "in 2 of 5 data sets no training row has level 2"
    named = [w for w in caught if text in str(w.message)]
    assert [warning.filename for warning in named] == [__file__]
