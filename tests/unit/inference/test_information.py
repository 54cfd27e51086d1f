from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import statsmodels.api as sm
import torch
from scipy.special import expit
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.tools.numdiff import approx_fprime, approx_hess

from tramdag import (
    CI,
    CS,
    LS,
    VC,
    CausalFlowDAG,
    ContinuousNode,
    DataError,
    OrdinalNode,
    SpecError,
    inference,
)


def affine() -> ContinuousNode:
    return ContinuousNode(transform="affine")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(21)
    n = 700
    x, stage = rng.exponential(size=n), rng.integers(0, 3, n)
    eta = 0.8 * x - 0.9 * (stage == 1) + 0.6 * (stage == 2)
    noise = rng.logistic(size=n)
    return pd.DataFrame(
        {
            "x": x,
            "stage": stage,
            "event": (noise > 0.6 - eta).astype(int),
            "grade": (noise[:, None] > np.array([-1.0, 0.5, 2.0]) - eta[:, None]).sum(1),
            "time": (rng.logistic(size=n) - eta) * 1.7 + 3.0,
        }
    )


@pytest.fixture(scope="module")
def flow(rows: pd.DataFrame) -> CausalFlowDAG:
    causes = {"x": "ls", "stage": "ls"}
    spec = {
        "x": affine(),
        "stage": OrdinalNode(3),
        "event": OrdinalNode(2, causes),
        "grade": OrdinalNode(4, causes),
        "time": ContinuousNode(causes, transform="affine"),
    }
    return CausalFlowDAG(spec, seed=1).fit(rows)


NAMES = ["x", "stage=1", "stage=2"]
THETAS = ["theta[0]", "theta[1]", "theta[2]"]


@pytest.fixture(scope="module")
def design(rows: pd.DataFrame) -> pd.DataFrame:
    dummies = {f"stage={k}": (rows["stage"] == k).astype(float) for k in (1, 2)}
    return pd.DataFrame({"x": rows["x"], **dummies})


def logit(rows: pd.DataFrame, design: pd.DataFrame, **options: Any) -> pd.DataFrame:
    model = sm.Logit(rows["event"], sm.add_constant(design))
    fit = model.fit(disp=False, method="newton", tol=1e-12, **options)
    return fit.cov_params().loc[NAMES, NAMES]


def test_covariance_with_dummies_equals_logistic_regression(
    flow: CausalFlowDAG, rows: pd.DataFrame, design: pd.DataFrame
) -> None:
    got = flow.vcov("event").loc[NAMES, NAMES]
    np.testing.assert_allclose(got, logit(rows, design), rtol=1e-5)


def test_sandwich_covariance_equals_hc0(
    flow: CausalFlowDAG, rows: pd.DataFrame, design: pd.DataFrame
) -> None:
    got = flow.vcov("event", "sandwich").loc[NAMES, NAMES]
    np.testing.assert_allclose(got, logit(rows, design, cov_type="HC0"), rtol=1e-5)


def test_clusters_may_be_labelled_by_text_and_lie_in_any_order(
    flow: CausalFlowDAG, rows: pd.DataFrame, design: pd.DataFrame
) -> None:
    groups = np.random.default_rng(4).integers(0, 40, len(rows))
    expected = logit(
        rows, design, cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    names = np.array([f"clinic {g}" for g in groups])
    got = flow.vcov("event", "sandwich", cluster=names).loc[NAMES, NAMES]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_the_small_sample_factor_of_clusters_is_the_readers(
    flow: CausalFlowDAG, rows: pd.DataFrame, design: pd.DataFrame
) -> None:
    groups = np.random.default_rng(4).integers(0, 12, len(rows))
    expected = logit(rows, design, cov_type="cluster", cov_kwds={"groups": groups})
    got = flow.vcov("event", "sandwich", cluster=groups).loc[NAMES, NAMES]
    G, n, q = 12, len(rows), 4
    np.testing.assert_allclose(got * (G / (G - 1) * (n - 1) / (n - q)), expected, rtol=1e-5)


def test_a_missing_cluster_label_is_refused(flow: CausalFlowDAG, rows: pd.DataFrame) -> None:
    groups = np.arange(len(rows)) // 10.0
    groups[3] = np.nan
    with pytest.raises(DataError, match="cluster"):
        flow.vcov("event", "sandwich", cluster=groups)


def test_a_cluster_label_per_row_is_needed(flow: CausalFlowDAG) -> None:
    with pytest.raises(DataError, match="one label for each"):
        flow.vcov("event", "sandwich", cluster=[1, 2, 3])


def test_clusters_without_the_sandwich_are_refused(flow: CausalFlowDAG, rows: pd.DataFrame) -> None:
    with pytest.raises(SpecError, match="sandwich"):
        flow.vcov("event", cluster=np.zeros(len(rows)))


@pytest.fixture(scope="module")
def ordered(rows: pd.DataFrame, design: pd.DataFrame) -> pd.DataFrame:
    """Covariance of (theta, beta): statsmodels' estimate, and the derivative of the exact score."""
    model = OrderedModel(rows["grade"], design, distr="logit")
    fit = model.fit(method="bfgs", disp=False, gtol=1e-8, maxiter=500)
    theta = model.transform_threshold_params(fit.params)[1:-1]
    y, X, n = rows["grade"].to_numpy(), design.to_numpy(), len(rows)

    def score(p: np.ndarray) -> np.ndarray:
        cut = np.concatenate([[-np.inf], p[:3], [np.inf]])
        upper, lower = (expit(cut[y + k] - X @ p[3:]) for k in (1, 0))
        mass = upper - lower
        up, low = upper * (1 - upper) / mass, lower * (1 - lower) / mass
        by_cut = np.zeros((n, 5))
        by_cut[np.arange(n), y + 1] += up
        by_cut[np.arange(n), y] -= low
        return np.concatenate([by_cut[:, 1:-1].sum(0), -X.T @ (up - low)])

    start = np.concatenate([theta, fit.params.iloc[:3]])
    best = scipy.optimize.root(score, start, tol=1e-12).x
    np.testing.assert_allclose(best, start, atol=1e-3)
    names = [*THETAS, *NAMES]
    covariance = np.linalg.inv(-approx_fprime(best, score, centered=True))
    return pd.DataFrame(covariance, index=names, columns=names)


def test_covariance_of_an_ordinal_node_equals_the_ordered_models(
    flow: CausalFlowDAG, ordered: pd.DataFrame
) -> None:
    names = ordered.index
    np.testing.assert_allclose(flow.vcov("grade").loc[names, names], ordered, rtol=1e-5)
    errors = np.sqrt(np.diag(ordered.loc[NAMES, NAMES]))
    np.testing.assert_allclose(flow.summary("grade")["std_error"], errors, rtol=1e-5)


def test_information_of_logistic_regression_on_a_continuous_node_has_its_closed_form(
    flow: CausalFlowDAG, rows: pd.DataFrame, design: pd.DataFrame
) -> None:
    y = rows["time"].to_numpy()
    G = np.column_stack([np.ones(len(y)), y, design])

    def nll(p: np.ndarray) -> float:
        z = G @ p
        return float(np.sum(np.logaddexp(0, z) + np.logaddexp(0, -z)) - len(y) * np.log(p[1]))

    def gradient(p: np.ndarray) -> np.ndarray:
        g = G.T @ (2 * expit(G @ p) - 1)
        g[1] -= len(y) / p[1]
        return g

    def information(p: np.ndarray) -> np.ndarray:
        F = expit(G @ p)
        H = G.T @ (G * (2 * F * (1 - F))[:, None])
        H[1, 1] += len(y) / p[1] ** 2
        return H

    start = np.array([0.0, 0.5, 0.0, 0.0, 0.0])
    best = scipy.optimize.minimize(
        nll, start, jac=gradient, hess=information, method="trust-exact", options={"gtol": 1e-9}
    ).x
    table = flow.summary("time")
    np.testing.assert_allclose(table["estimate"], best[2:], rtol=1e-7)
    expected = np.linalg.inv(information(best))[2:, 2:]
    np.testing.assert_allclose(flow.vcov("time").loc[NAMES, NAMES], expected, rtol=1e-6)


def test_errors_of_a_network_node_hold_the_network_fixed(rows: pd.DataFrame) -> None:
    spec = {
        "x": affine(),
        "stage": OrdinalNode(3),
        "event": OrdinalNode(2, terms=[CS("x", hidden=(4,)), LS("stage")]),
    }
    flow = CausalFlowDAG(spec, seed=1).fit(rows, epochs=8)
    # with the network as a known offset this is a logistic regression on the dummies
    p = flow.pmf(rows, "event")[1].to_numpy()
    X = np.column_stack([np.ones(len(rows)), rows["stage"] == 1, rows["stage"] == 2])
    expected = np.linalg.inv(X.T @ (X * (p * (1 - p))[:, None]))[1:, 1:]
    np.testing.assert_allclose(flow.vcov("event"), expected, rtol=1e-6)
    assert set(flow.summary("event")["status"]) == {"conditional on networks"}
    assert list(flow.vcov("event").index) == ["stage=1", "stage=2"]


NETWORK_NODES: dict[str, ContinuousNode | OrdinalNode] = {
    "time": ContinuousNode(terms=[CI("x", hidden=(4,)), LS("stage")], n_coefs=5),
    "grade": OrdinalNode(4, terms=[CI("x", hidden=(4,)), LS("stage"), CS("x", hidden=(3,))]),
    "event": OrdinalNode(2, terms=[VC("stage", by="x", hidden=(4,)), LS("x")]),
    "spline": ContinuousNode(terms=[LS("stage")], transform="spline", n_coefs=4),
}


@pytest.mark.parametrize("node", NETWORK_NODES)
def test_scores_and_information_beside_networks_are_derivatives_of_the_likelihood(
    node: str, rows: pd.DataFrame
) -> None:
    few = rows.assign(spline=rows["time"]).head(80)
    spec = {"x": affine(), "stage": OrdinalNode(3), node: NETWORK_NODES[node]}
    flow = CausalFlowDAG(spec, seed=1).fit(few, epochs=20)
    law = flow._conditionals[node]
    parts = [law.intercept, law.linear.weight]
    start = torch.cat([part.detach() for part in parts]).numpy()

    def log_probs(psi: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            pieces = torch.from_numpy(psi).split([len(part) for part in parts])
            for part, piece in zip(parts, pieces, strict=True):
                part.copy_(piece)
        return flow.node_log_prob(few)[node].to_numpy()

    scores = approx_fprime(start, log_probs, centered=True)
    observed = -approx_hess(start, lambda psi: log_probs(psi).sum())
    log_probs(start)
    known = flow._information_of(node)
    np.testing.assert_allclose(known.scores_crossproduct, scores.T @ scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(known.observed, observed, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("curvature", [-1.0, 0.0, 1e-300])
def test_a_matrix_that_is_not_positive_definite_has_no_inverse(
    flow: CausalFlowDAG, curvature: float
) -> None:
    # a fit by gradient steps may end where the likelihood bends the other way
    known = flow._information_of("event")
    observed = known.observed.copy()
    observed[0, 0] = curvature
    covariance = inference.psi_covariance(replace(known, observed=observed))
    free = np.flatnonzero(known.free)
    assert np.isnan(covariance[np.ix_(free, free)]).all()


def test_where_the_likelihood_bends_the_other_way_the_status_says_so(rows: pd.DataFrame) -> None:
    spec = {
        "x": affine(),
        "stage": OrdinalNode(3),
        "time": ContinuousNode(terms=[CS("x", hidden=(4,)), LS("stage")]),
    }
    flow = CausalFlowDAG(spec, seed=1).fit(rows, epochs=3)
    # the same parameters a little to either side: a second difference of the log-likelihood
    intercept = flow._conditionals["time"].intercept
    known = flow._information_of("time").observed[: len(intercept), : len(intercept)]
    direction = torch.from_numpy(np.linalg.eigh(known)[1][:, 0])
    start = intercept.detach().clone()
    sums = []
    for step in (-0.05, 0.0, 0.05):
        with torch.no_grad():
            intercept.copy_(start + step * direction)
        sums.append(flow.node_log_prob(rows)["time"].sum())
    with torch.no_grad():
        intercept.copy_(start)
    assert sums[0] - 2 * sums[1] + sums[2] > 0
    table = flow.summary("time")
    assert set(table["status"]) == {"curvature not positive"}
    assert table[["std_error", "z", "p", "lower", "upper"]].isna().all(axis=None)
    assert table["estimate"].notna().all()
    assert set(flow.summary("time", kind="sandwich")["status"]) == {"curvature not positive"}
