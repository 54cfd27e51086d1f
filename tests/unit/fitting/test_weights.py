"""Case weights, and many replicates that differ in them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.special
import statsmodels.api as sm
import torch
from torch import Tensor

from tramdag import CausalFlowDAG, ContinuousNode, DataError, OrdinalNode
from tramdag.errors import ConvergenceWarning, SeparationWarning
from tramdag.fitting import exact, gram
from tramdag.fitting.exact import solve
from tramdag.fitting.likelihood import likelihood_of
from tramdag.node import Conditional, make_conditional
from tramdag.spec import Node

N = 300
PARENTS = {"a": "ls", "m": "ls"}
TARGETS: dict[str, Node] = {
    "affine": ContinuousNode(PARENTS, transform="affine"),
    "bernstein": ContinuousNode(PARENTS, n_coefs=12),
    "marginal": ContinuousNode(),
    "binary": OrdinalNode(2, PARENTS),
    "ordinal": OrdinalNode(5, PARENTS),
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """a continuous, m with 3 levels; y continuous, g with 5 levels, t binary."""
    rng = np.random.default_rng(41)
    a, m = rng.normal(10.0, 3.0, N), rng.integers(0, 3, N)
    eta = 0.3 * (a - 10) + np.array([0.0, 0.8, -0.5])[m]
    g = (rng.logistic(size=N)[:, None] > np.array([-2.0, -0.7, 0.4, 1.9]) - eta[:, None]).sum(1)
    t = (rng.logistic(size=N) < eta).astype(int)
    y = np.exp(0.3 * eta + 0.3 * rng.logistic(size=N))
    return pd.DataFrame({"a": a, "m": m, "y": y, "g": g, "t": t})


def node_of(target: str) -> str:
    return {"ordinal": "g", "binary": "t"}.get(target, "y")


def problem(target: str, table: pd.DataFrame) -> tuple[Conditional, dict[str, Tensor]]:
    name = node_of(target)
    nodes: dict[str, Node] = {"a": ContinuousNode(), "m": OrdinalNode(3), name: TARGETS[target]}
    values = {column: torch.tensor(table[column].to_numpy()) for column in nodes}
    conditional = make_conditional(name, nodes, seed=0, dtype=torch.float64)
    conditional.set_scaling(values)
    return conditional, values


def bootstrap(replicates: int, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(N, np.full(N, 1 / N), size=replicates)
    return torch.from_numpy(counts.astype(float))


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return request.param


# what a weight means


def test_integer_weights_equal_repeated_rows_under_the_same_scaling(
    target: str, table: pd.DataFrame
) -> None:
    conditional, values = problem(target, table)
    weights = bootstrap(1, 1)
    rows = torch.arange(N).repeat_interleave(weights[0].long())
    repeated = solve(conditional, {k: v[rows] for k, v in values.items()})
    weighted = solve(conditional, values, weights[0])
    np.testing.assert_allclose(weighted.psi, repeated.psi, rtol=0, atol=1e-8)
    np.testing.assert_allclose(weighted.nll, repeated.nll, rtol=0, atol=1e-12)


def test_weights_count_by_their_ratios_alone(target: str, table: pd.DataFrame) -> None:
    conditional, values = problem(target, table)
    weights = torch.from_numpy(np.random.default_rng(2).exponential(size=N))
    plain, scaled = (solve(conditional, values, factor * weights) for factor in (1.0, 1e-3))
    np.testing.assert_allclose(scaled.psi, plain.psi, rtol=0, atol=1e-9)


def test_weighted_binary_fit_equals_a_binomial_glm_with_frequency_weights(
    table: pd.DataFrame,
) -> None:
    weights = np.random.default_rng(3).exponential(size=N)
    X = sm.add_constant(np.column_stack([table["a"], table["m"] == 1, table["m"] == 2]))
    model = sm.GLM(table["t"], X, family=sm.families.Binomial(), freq_weights=weights)
    reference = model.fit(tol=1e-14, maxiter=100)
    nodes = {
        "a": ContinuousNode(transform="affine"),
        "m": OrdinalNode(3),
        "t": OrdinalNode(2, PARENTS),
    }
    flow = CausalFlowDAG(nodes, seed=1).fit(table, weights=weights)
    summary = flow.summary("t")
    np.testing.assert_allclose(summary["estimate"], reference.params.iloc[1:], rtol=1e-7)
    np.testing.assert_allclose(summary["std_error"], reference.bse.iloc[1:], rtol=1e-5)
    np.testing.assert_allclose(flow.cutpoints("t"), -reference.params.iloc[:1], rtol=1e-7)
    statistics = flow.fit_statistics().set_index("node")
    assert statistics.loc["t", "log_likelihood"] == pytest.approx(reference.llf, rel=1e-10)


def test_weighted_sandwich_equals_that_of_a_weighted_logistic_regression(
    table: pd.DataFrame,
) -> None:
    # rows weighted as R's sandwich::sandwich(glm(..., weights)) does: the score times its weight
    weights = np.random.default_rng(4).exponential(size=N)
    nodes = {
        "a": ContinuousNode(transform="affine"),
        "m": OrdinalNode(3),
        "t": OrdinalNode(2, PARENTS),
    }
    flow = CausalFlowDAG(nodes, seed=1).fit(table, weights=weights)
    X = np.column_stack([np.ones(N), table["a"], table["m"] == 1, table["m"] == 2]).astype(float)
    model = sm.GLM(table["t"], X, family=sm.families.Binomial(), freq_weights=weights)
    fitted = model.fit(tol=1e-14, maxiter=100).fittedvalues.to_numpy()
    scores = X * (weights * (table["t"] - fitted)).to_numpy()[:, None]
    bread = np.linalg.inv(X.T @ (X * (weights * fitted * (1 - fitted))[:, None]))
    expected = np.sqrt(np.diag(bread @ scores.T @ scores @ bread))[1:]
    found = flow.summary("t", kind="sandwich")["std_error"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    clusters = flow.summary("t", kind="sandwich", cluster=np.arange(N))["std_error"]
    np.testing.assert_allclose(clusters, expected, rtol=1e-6)


def test_weighted_ordinal_fit_equals_an_independent_minimiser(table: pd.DataFrame) -> None:
    weights = np.random.default_rng(5).exponential(size=N)
    a = (table["a"].to_numpy() - 10) / 3
    X = np.column_stack([a, table["m"] == 1, table["m"] == 2]).astype(float)
    g = table["g"].to_numpy()

    def nll(parameters: np.ndarray) -> float:
        theta = np.concatenate(
            [[-np.inf], np.cumsum(np.r_[parameters[0], np.exp(parameters[1:4])])]
        )
        cdf = scipy.special.expit(np.append(theta, np.inf) - (X @ parameters[4:])[:, None])
        p = np.diff(cdf, axis=1)[np.arange(N), g]
        return float(-(weights * np.log(p)).sum() / weights.sum())

    best = np.array([-2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    for _ in range(4):
        best = scipy.optimize.minimize(nll, best, method="BFGS", options={"gtol": 1e-9}).x
    conditional, values = problem("ordinal", table)
    solution = solve(conditional, values, torch.from_numpy(weights))
    assert solution.nll[0] == pytest.approx(nll(best), abs=1e-10)
    scale = conditional.linear.scale.numpy() / np.array([3.0, 1.0, 1.0])
    np.testing.assert_allclose(solution.psi[0, 4:] / scale, best[4:], rtol=0, atol=1e-5)


def test_profile_interval_of_a_weighted_fit_is_that_of_repeated_rows(table: pd.DataFrame) -> None:
    counts = np.random.default_rng(6).integers(1, 4, N)
    nodes = {"a": ContinuousNode(transform="affine"), "t": OrdinalNode(2, {"a": "ls"})}
    weighted = CausalFlowDAG(nodes, seed=1).fit(table, weights=counts)
    repeated = CausalFlowDAG(nodes, seed=1).fit(table.loc[table.index.repeat(counts)])
    np.testing.assert_allclose(
        weighted.confidence_interval("t", "a", method="profile"),
        repeated.confidence_interval("t", "a", method="profile"),
        rtol=1e-6,
    )
    columns = ["statistic", "df", "p"]
    np.testing.assert_allclose(
        weighted.term_tests("t")[columns].astype(float),
        repeated.term_tests("t")[columns].astype(float),
        rtol=1e-5,
    )


# many replicates at once


def test_replicates_equal_their_separate_fits(target: str, table: pd.DataFrame) -> None:
    conditional, values = problem(target, table)
    weights = bootstrap(9, 7)
    weights[3, ::5] = 0.0
    together = solve(conditional, values, weights)
    for b, row in enumerate(weights):
        alone = solve(conditional, values, row)
        np.testing.assert_allclose(together.psi[b], alone.psi[0], rtol=0, atol=1e-10)
        np.testing.assert_allclose(together.nll[b], alone.nll[0], rtol=0, atol=1e-12)
        assert together.certificate(b).active_bounds == alone.certificate().active_bounds


def test_every_replicate_carries_a_certificate(target: str, table: pd.DataFrame) -> None:
    conditional, values = problem(target, table)
    weights = bootstrap(50, 8)
    solution = solve(conditional, values, weights)
    assert len(solution) == 50
    assert solution.converged.all()
    assert (solution.newton_decrement < 1e-9).all()
    for b in (0, 49):
        one = likelihood_of(conditional, values, weights[b])
        psi = solution.psi[b]
        _, gradient, _ = one(psi, order=2)
        at_bound = one.bounded & (psi == 0)
        np.testing.assert_allclose(gradient[~at_bound], 0.0, atol=1e-9)
        assert (gradient[at_bound] >= -1e-9).all()


def test_small_batches_and_blocks_change_nothing(
    target: str, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    conditional, values = problem(target, table)
    weights = bootstrap(11, 9)
    whole = solve(conditional, values, weights)
    monkeypatch.setattr(exact, "_BATCH_NUMBERS", 4 * N)
    monkeypatch.setattr(gram, "BLOCK_ROWS", 37)
    monkeypatch.setattr(gram, "_PACKED_NUMBERS", 0)
    parts = solve(conditional, values, weights)
    np.testing.assert_allclose(parts.psi, whole.psi, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(parts.active, whole.active)


def test_levels_without_weight_count_as_absent_in_their_replicate(table: pd.DataFrame) -> None:
    conditional, values = problem("ordinal", table)
    weights = torch.ones(6, N, dtype=torch.float64)
    weights[1] *= values["m"] != 2
    weights[2] *= values["g"] != 2
    weights[3] *= values["g"] != 0
    weights[4] *= values["g"] != 4
    solution = solve(conditional, values, weights)
    assert solution.inestimable.tolist() == [
        [False, False, b == 1] for b in range(6)
    ]  # of the columns a, m=1, m=2
    assert [solution.certificate(b).active_bounds for b in range(6)] == [(), (), (2,), (), (), ()]
    cutpoints = {b: s.moving_cutpoints for b, s in solution.separations.items()}
    assert cutpoints == {3: (0,), 4: (3,)}
    assert all(s.columns == () for s in solution.separations.values())
    # the others are those of the model without the level
    for b, kept in ((1, values["m"] != 2), (2, values["g"] != 2)):
        alone = solve(conditional, {k: v[kept] for k, v in values.items()})
        np.testing.assert_allclose(solution.psi[b], alone.psi[0], rtol=0, atol=1e-8)


def test_separation_is_found_in_the_replicates_that_have_it(table: pd.DataFrame) -> None:
    conditional, values = problem("binary", table)
    weights = torch.ones(5, N, dtype=torch.float64)
    m, t, a = values["m"], values["t"], values["a"]
    weights[1] *= ~((m == 2) & (t == 0))
    weights[2] *= ~((m == 2) & (t == 1))
    weights[3] *= ~((m == 1) & (t == 0)) & ~((m == 2) & (t == 1))
    weights[4] *= (a > 10) == (t == 1)
    solution = solve(conditional, values, weights)
    found = {b: s.columns for b, s in solution.separations.items()}
    assert {b: found[b] for b in (1, 2, 3)} == {
        1: ((2, 1),),
        2: ((2, -1),),
        3: ((1, 1), (2, -1)),
    }
    assert set(found) == {1, 2, 3, 4}
    assert (0, 1) in found[4]


def test_stroke_bootstrap_replicates_meet_the_certificate() -> None:
    root = Path(__file__).parents[3]
    cohort = pd.read_csv(root / "data" / "magic-mrclean" / "ls" / "obs.csv")
    nodes: dict[str, Node] = {
        "Age": ContinuousNode(),
        "mRS_pre": OrdinalNode(6, {"Age": "ls"}),
        "NIHSSa": ContinuousNode({"Age": "ls", "mRS_pre": "ls"}),
    }
    flow = CausalFlowDAG(nodes, seed=1).fit(cohort)
    n = len(cohort)
    counts = np.random.default_rng(10).multinomial(n, np.full(n, 1 / n), size=20)
    values = {
        "Age": torch.tensor(cohort["Age"].to_numpy(dtype=float)),
        "mRS_pre": torch.tensor(cohort["mRS_pre"].to_numpy()),
        "NIHSSa": torch.tensor(cohort["NIHSSa"].to_numpy(dtype=float)),
    }
    for name, conditional in flow.conditionals.items():
        assert solve(conditional, values, torch.from_numpy(counts)).converged.all(), name


# weights at the door


SMALL: dict[str, Node] = {
    "a": ContinuousNode(transform="affine"),
    "g": OrdinalNode(5, {"a": "ls"}),
}


def test_weights_of_one_change_nothing(table: pd.DataFrame) -> None:
    plain = CausalFlowDAG(SMALL, seed=1).fit(table)
    weighted = CausalFlowDAG(SMALL, seed=1).fit(table, weights=np.ones(N))
    pd.testing.assert_frame_equal(weighted.summary(), plain.summary(), rtol=1e-9)
    assert weighted.report.nll == pytest.approx(plain.report.nll, rel=1e-13)


def test_report_counts_the_rows_of_positive_weight(table: pd.DataFrame) -> None:
    weights = np.where(np.arange(N) < 40, 0.0, 2.0)
    flow = CausalFlowDAG(SMALL, seed=1).fit(table, weights=weights)
    for entry in flow.report.node_reports:
        assert (entry.n, entry.total_weight) == (N - 40, 2.0 * (N - 40))
    expected = -flow.node_log_prob(table.iloc[40:]).mean().sum()
    assert flow.report.nll == pytest.approx(expected, rel=1e-12)


def test_a_loaded_flow_takes_its_weighted_rows_back(table: pd.DataFrame, tmp_path: Path) -> None:
    weights = np.random.default_rng(11).integers(0, 3, N)
    flow = CausalFlowDAG(SMALL, seed=1).fit(table, weights=weights)
    flow.save(tmp_path / "flow.pt")
    loaded = CausalFlowDAG.load(tmp_path / "flow.pt")
    pd.testing.assert_frame_equal(loaded.summary(), flow.summary())
    with pytest.raises(DataError, match="attach"):
        loaded.attach(table)
    loaded.attach(table, weights)
    pd.testing.assert_frame_equal(loaded.term_tests(), flow.term_tests())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(N - 1), r"shape \(299,\).*300 rows"),
        (np.ones((N, 1)), r"shape \(300, 1\)"),
        (np.r_[-1.0, np.ones(N - 1)], "negative.*-1 at position 0"),
        (np.r_[1.0, np.nan, np.ones(N - 2)], "nan at position 1"),
        (np.r_[np.inf, np.ones(N - 1)], "infinite"),
        (np.zeros(N), "all are zero"),
        (["many"] * N, "got list"),
    ],
)
def test_wrong_weights_are_refused(weights: np.ndarray, message: str, table: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=message):
        CausalFlowDAG(SMALL, seed=1).fit(table, weights=weights)


def test_a_column_that_is_constant_where_weights_are_positive_is_refused(
    table: pd.DataFrame,
) -> None:
    with pytest.raises(DataError, match=r"'g'.*rows of positive weight"):
        CausalFlowDAG(SMALL, seed=1).fit(table, weights=table["g"] == 2)


def test_weights_of_one_change_nothing_for_nodes_trained_by_adam(table: pd.DataFrame) -> None:
    nodes: dict[str, Node] = {"a": ContinuousNode(), "g": OrdinalNode(5, {"a": "cs"})}
    options: dict[str, Any] = {"epochs": 3, "batch_size": 50}
    plain = CausalFlowDAG(nodes, seed=1).fit(table, **options)
    weighted = CausalFlowDAG(nodes, seed=1).fit(table, weights=np.ones(N), **options)
    np.testing.assert_allclose(weighted.log_prob(table), plain.log_prob(table), rtol=1e-6)


def test_an_unweighted_parent_level_is_warned_of(table: pd.DataFrame) -> None:
    nodes: dict[str, Node] = {"m": OrdinalNode(3), "t": OrdinalNode(2, {"m": "ls"})}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        flow = CausalFlowDAG(nodes, seed=1).fit(table, weights=table["m"] != 1)
    assert {w.category for w in caught} <= {ConvergenceWarning, SeparationWarning}
    assert flow.report.node_reports[1].inestimable == ("m=1",)
    # log odds from the two levels that remain
    share = table.groupby("m")["t"].mean()
    odds = scipy.special.logit(share[2]) - scipy.special.logit(share[0])
    assert flow.coef()["estimate"].iloc[1] == pytest.approx(odds, rel=1e-8)
