"""Probabilities of causation against plain numpy: enumeration, simulation, other software."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit
from statsmodels.tools.numdiff import approx_fprime

from tramdag import CausalFlowDAG, ContinuousNode, OrdinalNode
from tramdag.spec import Node

SPEC: dict[str, Node] = {
    "a": ContinuousNode(transform="affine"),
    "t": OrdinalNode(2, {"a": "ls"}),
    "m": OrdinalNode(2, {"t": "ls", "a": "ls"}),
    "b": OrdinalNode(2, {"a": "ls", "t": "ls", "m": "ls"}),
}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = 700
    a = rng.normal(size=n)
    t = (rng.logistic(size=n) < 0.5 * a).astype(int)
    m = (rng.logistic(size=n) < 1.2 * t - 0.4 * a - 0.3).astype(int)
    b = (rng.logistic(size=n) < 0.6 * a + 0.7 * t - 0.9 * m).astype(int)
    return pd.DataFrame({"a": a, "t": t, "m": m, "b": b})


@pytest.fixture(scope="module")
def flow(rows: pd.DataFrame) -> CausalFlowDAG:
    return CausalFlowDAG(SPEC, seed=1).fit(rows)


@pytest.fixture(scope="module")
def logits(rows: pd.DataFrame) -> tuple[Any, Any]:
    """Logistic regressions of m and b, the same model in other software."""
    return tuple(
        sm.Logit(rows[child], sm.add_constant(rows[parents])).fit(disp=False, tol=1e-12)
        for child, parents in (("m", ["t", "a"]), ("b", ["a", "t", "m"]))
    )


def pns_by_hand(p: np.ndarray, a: np.ndarray) -> dict[str, np.ndarray]:
    """Per row P(b_1 = 1, b_0 = 0), P(b_1 = 0, b_0 = 1), P(b_1 = 1), P(b_0 = 0) by enumeration.

    A latent u makes a variable 1 where u > -eta, so the worlds' events are nested.
    """
    eta_m = [p[0] + p[1] * t + p[2] * a for t in (0, 1)]
    total = {name: np.zeros(len(a)) for name in ("benefit", "harm", "one", "zero")}
    for m0 in (0, 1):
        for m1 in (0, 1):
            low = np.maximum(
                *(np.where(m, expit(-e), 0.0) for m, e in zip((m0, m1), eta_m, strict=True))
            )
            high = np.minimum(
                *(np.where(m, 1.0, expit(-e)) for m, e in zip((m0, m1), eta_m, strict=True))
            )
            mass = np.clip(high - low, 0.0, None)
            eta = [p[3] + p[4] * a + p[5] * t + p[6] * m for t, m in ((0, m0), (1, m1))]
            p0, p1 = expit(eta[0]), expit(eta[1])
            total["benefit"] += mass * np.clip(p1 - p0, 0.0, None)
            total["harm"] += mass * np.clip(p0 - p1, 0.0, None)
            total["one"] += mass * p1
            total["zero"] += mass * (1.0 - p0)
    return total


def causation_by_hand(p: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    total = pns_by_hand(p, rows["a"].to_numpy())
    at_one, at_zero = (rows["t"].to_numpy() == t for t in (1, 0))
    return np.array(
        [
            total["benefit"].mean(),
            total["harm"].mean(),
            total["benefit"][at_one].sum() / total["one"][at_one].sum(),
            total["benefit"][at_zero].sum() / total["zero"][at_zero].sum(),
        ]
    )


NAMES = ["pns", "harm", "pn", "ps"]


def test_probabilities_of_causation_and_their_errors_are_those_of_logistic_regressions(
    flow: CausalFlowDAG, rows: pd.DataFrame, logits: tuple[Any, Any]
) -> None:
    p = np.concatenate([fit.params for fit in logits])
    V = np.zeros((7, 7))
    V[:3, :3], V[3:, 3:] = (fit.cov_params() for fit in logits)
    gradient = approx_fprime(p, lambda q: causation_by_hand(q, rows), centered=True)
    errors = np.sqrt(np.diag(gradient @ V @ gradient.T))
    got = flow.effect("b", "t", data=rows).summary.set_index("quantity").loc[NAMES]
    np.testing.assert_allclose(got["estimate"], causation_by_hand(p, rows), rtol=1e-6)
    np.testing.assert_allclose(got["std_error"], errors, rtol=1e-5)
    half = 1.959963984540054 * errors
    np.testing.assert_allclose(got["upper"] - got["estimate"], half, rtol=1e-5)


def test_influence_values_make_the_robust_and_the_clustered_variance(
    flow: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    effect = flow.effect("b", "t", data=rows)
    assert effect.influence is not None
    cluster = np.arange(len(rows)) // 5
    for options, groups in (
        ({"cov_type": "HC0"}, np.arange(len(rows))),
        (
            {"cov_type": "cluster", "cov_kwds": {"groups": cluster, "use_correction": False}},
            cluster,
        ),
    ):
        fits = [
            sm.Logit(rows[child], sm.add_constant(rows[parents])).fit(
                disp=False, tol=1e-12, **options
            )
            for child, parents in (("m", ["t", "a"]), ("b", ["a", "t", "m"]))
        ]
        p = np.concatenate([fit.params for fit in fits])
        V = [np.asarray(fit.cov_params()) for fit in fits]
        gradient = approx_fprime(p, lambda q: causation_by_hand(q, rows), centered=True)
        sums = effect.influence[NAMES].groupby(groups).sum()
        # what rows share across the two nodes is in the influence, not in two separate sandwiches
        own = [
            gradient[:, :3] @ V[0] @ gradient[:, :3].T,
            gradient[:, 3:] @ V[1] @ gradient[:, 3:].T,
        ]
        scores = [
            _influence_by_hand(fit, rows, child, parents) @ part.T
            for fit, child, parents, part in (
                (fits[0], "m", ["t", "a"], gradient[:, :3]),
                (fits[1], "b", ["a", "t", "m"], gradient[:, 3:]),
            )
        ]
        cross = [pd.DataFrame(s).groupby(groups).sum().to_numpy() for s in scores]
        expected = own[0] + own[1] + cross[0].T @ cross[1] + cross[1].T @ cross[0]
        got = sums.to_numpy().T @ sums.to_numpy()
        np.testing.assert_allclose(np.diag(got), np.diag(expected), rtol=1e-5)


def test_a_weighted_row_has_the_influence_of_its_copies(rows: pd.DataFrame) -> None:
    weights = np.arange(len(rows)) % 3
    copies = rows.loc[rows.index.repeat(weights)]
    weighted = CausalFlowDAG(SPEC, seed=1).fit(rows, weights=weights).effect("b", "t", data=rows)
    repeated = CausalFlowDAG(SPEC, seed=1).fit(copies.reset_index(drop=True))
    expected = repeated.effect("b", "t", data=rows).influence
    assert weighted.influence is not None
    assert expected is not None
    by_row = expected.groupby(copies.index).sum()
    by_row = by_row.reindex(rows.index, fill_value=0.0)
    np.testing.assert_allclose(weighted.influence, by_row, atol=1e-8)


def _influence_by_hand(fit: Any, rows: pd.DataFrame, child: str, parents: list[str]) -> np.ndarray:
    X = sm.add_constant(rows[parents]).to_numpy()
    mu = expit(X @ fit.params.to_numpy())
    information = X.T @ (X * (mu * (1 - mu))[:, None])
    return (X * (rows[child] - mu).to_numpy()[:, None]) @ np.linalg.inv(information)


def test_pn_and_ps_equal_a_simulation_with_shared_latents(
    flow: CausalFlowDAG, rows: pd.DataFrame, logits: tuple[Any, Any]
) -> None:
    rng = np.random.default_rng(5)
    copies = 400
    a, t = (np.repeat(rows[name].to_numpy(), copies) for name in ("a", "t"))
    um, ub = rng.logistic(size=(2, len(a)))
    pm, pb = (fit.params.to_numpy() for fit in logits)

    def world(t: np.ndarray | int) -> np.ndarray:
        m = um > -(pm[0] + pm[1] * t + pm[2] * a)
        return ub > -(pb[0] + pb[1] * a + pb[2] * t + pb[3] * m)

    y, y0, y1 = world(t), world(0), world(1)
    got = flow.effect("b", "t", data=rows).summary.set_index("quantity")
    for name, given, event in (
        ("pn", (t == 1) & y, ~y0),
        ("ps", (t == 0) & ~y, y1),
        ("pns", np.ones_like(y), y1 & ~y0),
        ("no_change", np.ones_like(y), y1 == y0),
    ):
        error = np.sqrt(0.25 / given.sum())
        assert event[given].mean() == pytest.approx(got.loc[name, "estimate"], abs=5 * error)


def test_frechet_bounds_of_pn_hold_the_shared_latent_value_and_are_those_of_tian_and_pearl(
    flow: CausalFlowDAG, rows: pd.DataFrame, logits: tuple[Any, Any]
) -> None:
    effect = flow.effect("b", "t", data=rows)
    p = np.concatenate([fit.params for fit in logits])
    total = pns_by_hand(p, rows["a"].to_numpy())
    one, zero = total["one"], total["zero"]
    lower, upper = np.clip(one + zero - 1.0, 0.0, None), np.minimum(one, zero)
    np.testing.assert_allclose(effect.rows["pn_lower"], lower / one, atol=1e-6)
    np.testing.assert_allclose(effect.rows["ps_upper"], upper / zero, atol=1e-6)
    got = effect.summary.set_index("quantity").loc[["pns", "pn", "ps"]].astype({"note": str})
    treated = (rows["t"] == 1).to_numpy()
    expected = lower[treated].sum() / one[treated].sum(), upper[treated].sum() / one[treated].sum()
    np.testing.assert_allclose(
        got.loc["pn", ["frechet_lower", "frechet_upper"]].astype(float), expected, atol=1e-6
    )
    assert (got["frechet_lower"] <= got["estimate"] + 1e-12).all()
    assert (got["estimate"] <= got["frechet_upper"] + 1e-12).all()


def test_rows_without_the_treatment_have_no_pn(flow: CausalFlowDAG, rows: pd.DataFrame) -> None:
    known = flow.effect("b", "t", data=rows).summary.set_index("quantity")
    got = flow.effect("b", "t", data=rows[["a"]]).summary.set_index("quantity")
    assert got.loc[["pn", "ps"], "estimate"].isna().all()
    assert "'t'" in str(got.loc["pn", "note"])
    # everything else does not need it
    for name in ("ate", "pns"):
        assert got.loc[name, "std_error"] == pytest.approx(known.loc[name, "std_error"], rel=1e-12)
