from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tramdag import CI, LS, CausalFlowDAG, ContinuousNode, OrdinalNode
from tramdag.fitting import FitReport


@pytest.fixture(scope="module")
def mixed() -> CausalFlowDAG:
    """Exact and gradient nodes whose coefficients have every kind of label."""
    rng = np.random.default_rng(0)
    df = pd.DataFrame(rng.normal(size=(120, 2)), columns=["a", "y"]).assign(m=np.arange(120) % 3)
    spec = {
        "a": ContinuousNode(n_coefs=5),
        "m": OrdinalNode(3, {"a": "ls"}),
        "y": ContinuousNode(
            terms=[CI("a", hidden=(4,)), LS("a"), LS("m"), LS("m", "a")], n_coefs=5
        ),
    }
    return CausalFlowDAG(spec, seed=1).fit(df, epochs=3)


def test_the_table_has_a_row_per_node_in_causal_order(mixed: CausalFlowDAG) -> None:
    table = mixed.report.nodes
    assert table["node"].tolist() == ["a", "m", "y"]
    assert table["solver"].tolist() == ["exact", "exact", "quasi-newton"]
    assert table["kkt_residual"].isna().tolist() == [False, False, True]
    assert (table["seconds"] >= 0).all()


def test_the_joint_likelihood_is_the_sum_over_nodes(mixed: CausalFlowDAG) -> None:
    assert mixed.report.nll == pytest.approx(mixed.report.nodes["nll"].sum(), rel=1e-14)


def test_a_fit_converged_when_all_of_its_nodes_did(mixed: CausalFlowDAG) -> None:
    # three epochs are no end of a plateau schedule
    assert [entry.converged for entry in mixed.report.node_reports] == [True, True, False]
    assert not mixed.report.converged


def test_printing_shows_every_node_with_its_solver(mixed: CausalFlowDAG) -> None:
    lines = str(mixed.report).splitlines()
    assert len(lines) == 4
    assert all(word in lines[-1] for word in ("y", "quasi-newton", "False"))


@pytest.mark.parametrize("part", ["nodes", "history", "trajectories"])
def test_the_plain_form_survives_json_and_gives_the_report_back(
    mixed: CausalFlowDAG, part: str
) -> None:
    report = mixed.report
    back = FitReport.from_plain(json.loads(json.dumps(report.to_plain())))
    pd.testing.assert_frame_equal(getattr(back, part), getattr(report, part), check_exact=True)


def test_levels_of_trajectories_tell_continuous_parents_from_dummies(mixed: CausalFlowDAG) -> None:
    path = mixed.report.trajectories.query("epoch == 3")
    labels = list(zip(path["parent"], path["level"].astype(object), strict=True))
    assert [parent for parent, _ in labels] == ["a", "m", "m", "m:a", "m:a"]
    assert labels[0][1] is pd.NA or np.isnan(labels[0][1])
    assert [level for _, level in labels[1:]] == [1, 2, "1:-", "2:-"]


def test_only_linear_coefficients_of_gradient_nodes_have_trajectories(mixed: CausalFlowDAG) -> None:
    assert set(mixed.report.trajectories["node"]) == {"y"}


def test_a_flow_without_gradient_nodes_has_an_empty_trajectory_table(
    linear_flow: CausalFlowDAG,
) -> None:
    table = linear_flow.report.trajectories
    assert table.empty
    assert list(table.columns) == ["node", "epoch", "parent", "level", "estimate"]
    plain = json.loads(json.dumps(linear_flow.report.to_plain()))
    assert list(FitReport.from_plain(plain).trajectories.columns) == list(table.columns)
