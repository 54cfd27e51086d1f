"""Joint laws of potential outcomes against plain numpy: enumeration, simulation, other software."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
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


# continuous outcomes

CONTINUOUS: dict[str, Node] = {
    "t": OrdinalNode(2),
    "g": OrdinalNode(2),
    "x": ContinuousNode({"t": "ls", "g": "ls"}, transform="affine"),
    "y": ContinuousNode({"t": "ls", "x": "ls"}, transform="affine"),
}


@pytest.fixture(scope="module")
def line_rows() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    n = 600
    t, g = rng.integers(0, 2, (2, n))
    x = rng.logistic(size=n) + 0.8 * t + 0.5 * g
    y = rng.logistic(size=n) + 0.9 * t - 0.5 * x
    return pd.DataFrame({"t": t, "g": g, "x": x, "y": y})


@pytest.fixture(scope="module")
def line_flow(line_rows: pd.DataFrame) -> CausalFlowDAG:
    return CausalFlowDAG(CONTINUOUS, seed=1).fit(line_rows)


@pytest.fixture(scope="module")
def line_worlds(line_flow: CausalFlowDAG, line_rows: pd.DataFrame) -> list[np.ndarray]:
    """y of 300 copies of every row in both worlds, from shared latents, in plain numpy."""
    zero = pd.DataFrame({"t": [0], "g": [0], "x": [0.0], "y": [0.0]})
    offset = line_flow.abduct(zero, seed=0).iloc[0]
    slope = {
        n: np.exp(line_flow.transformation(zero, n)["log_derivative"].iloc[0]) for n in ("x", "y")
    }
    beta = line_flow.coef().set_index(["node", "parent"])["estimate"]
    rng = np.random.default_rng(9)
    g = np.repeat(line_rows["g"].to_numpy(), 300)
    ux, uy = rng.logistic(size=(2, len(g)))
    worlds = []
    for t in (0, 1):
        x = (ux - offset["x"] - beta["x", "t"] * t - beta["x", "g"] * g) / slope["x"]
        worlds.append((uy - offset["y"] - beta["y", "t"] * t - beta["y", "x"] * x) / slope["y"])
    return worlds


def identity(y: np.ndarray) -> np.ndarray:
    return y


def positive(y: np.ndarray) -> np.ndarray:
    return y > 0.3


@pytest.mark.parametrize("score", [None, positive])
def test_benefit_and_harm_of_a_continuous_outcome_equal_a_simulation(
    line_flow: CausalFlowDAG,
    line_rows: pd.DataFrame,
    line_worlds: list[np.ndarray],
    score: Callable[[np.ndarray], np.ndarray] | None,
) -> None:
    effect = line_flow.effect("y", "t", data=line_rows, of=score, n_points=512)
    g0, g1 = (np.asarray((score or identity)(y), dtype=float) for y in line_worlds)
    got = effect.summary.set_index("quantity")
    error = 5 * 0.5 / np.sqrt(len(g0)) + 1e-3
    for name, event in (("benefit", g1 > g0), ("harm", g1 < g0), ("no_change", g1 == g0)):
        assert event.mean() == pytest.approx(got.loc[name, "estimate"], abs=error)
    if score is not None:
        assert "integration error" in str(got.loc["benefit", "note"])
        t = np.repeat(line_rows["t"].to_numpy(), 300)
        for name, given, event in (
            ("pn", (t == 1) & (g1 == 1), 1 - g0),
            ("ps", (t == 0) & (g0 == 0), g1),
        ):
            error = 5 * np.sqrt(0.25 / given.sum()) + 2e-3
            assert event[given].mean() == pytest.approx(got.loc[name, "estimate"], abs=error)
    bounds = got.loc[["benefit", "harm"], ["estimate", "frechet_lower", "frechet_upper"]]
    low, value, high = bounds[["frechet_lower", "estimate", "frechet_upper"]].to_numpy().T
    assert (low <= value + 1e-3).all()
    assert (value <= high + 1e-3).all()


def test_bounds_of_a_shifted_logistic_outcome_are_those_of_makarov() -> None:
    # equal laws shifted by d: P(Y_b > Y_a) >= max F(y) - F(y - d) = 2 F(d / 2) - 1, and <= 1
    rng = np.random.default_rng(3)
    t = rng.integers(0, 2, 500)
    data = pd.DataFrame({"t": t, "y": rng.logistic(size=500) + 1.5 * t})
    spec = {"t": OrdinalNode(2), "y": ContinuousNode({"t": "ls"}, transform="affine")}
    flow = CausalFlowDAG(spec, seed=1).fit(data)
    d = -flow.coef()["estimate"].iloc[0]
    got = flow.effect("y", "t", data=data.iloc[[0]]).rows.iloc[0]
    assert got["benefit"] == pytest.approx(1.0)
    assert got["harm"] == 0.0
    sharp = 2 * expit(d / 2) - 1
    assert sharp - 0.01 <= got["benefit_lower"] <= sharp + 1e-9
    assert got["benefit_upper"] == pytest.approx(1.0)
    assert got["harm_lower"] == 0.0
    assert 1 - sharp - 1e-9 <= got["harm_upper"] <= 1 - sharp + 0.01


# quantile effects and steps of continuous outcomes


def test_quantile_effects_are_those_of_simulated_populations(
    line_flow: CausalFlowDAG, line_rows: pd.DataFrame, line_worlds: list[np.ndarray]
) -> None:
    got = line_flow.effect("y", "t", data=line_rows).summary.set_index("quantity")
    for tau in (0.1, 0.5, 0.9):
        q0, q1 = (np.quantile(y, tau) for y in line_worlds)
        # sd of a quantile of 180,000 draws: sqrt(tau (1 - tau) / n) over a density of at least 0.04
        error = 5 * np.sqrt(tau * (1 - tau) / len(line_worlds[0])) / 0.04
        assert q0 == pytest.approx(got.loc[f"quantile_a({tau:g})", "estimate"], abs=error)
        assert q1 == pytest.approx(got.loc[f"quantile_b({tau:g})", "estimate"], abs=error)
        # shared latents make the difference tighter than that
        assert q1 - q0 == pytest.approx(got.loc[f"qte({tau:g})", "estimate"], abs=error)


def shift_model(seed: int) -> tuple[pd.DataFrame, CausalFlowDAG]:
    rng = np.random.default_rng(seed)
    t, g = rng.integers(0, 2, (2, 300))
    y = 4.0 + 3.0 * (rng.logistic(size=300) - 0.5 * t + 0.8 * g)
    spec = {
        "t": OrdinalNode(2),
        "g": OrdinalNode(2),
        "y": ContinuousNode({"t": "ls", "g": "ls"}, transform="affine"),
    }
    data = pd.DataFrame({"t": t, "g": g, "y": y})
    return data, CausalFlowDAG(spec, seed=1).fit(data)


def by_hand(data: pd.DataFrame, flow: CausalFlowDAG) -> tuple[np.ndarray, np.ndarray]:
    """The parameters (h at 0, slope, beta_t, beta_g) with their covariance, in closed form."""
    zero = pd.DataFrame({"t": [0], "g": [0], "y": [0.0]})
    slope = np.exp(flow.transformation(zero, "y")["log_derivative"].iloc[0])
    p = np.array([flow.abduct(zero, seed=0)["y"].iloc[0], slope, *flow.coef()["estimate"]])
    G = np.column_stack([np.ones(len(data)), data["y"], data["t"], data["g"]])
    F = expit(G @ p)
    information = G.T @ (G * (2 * F * (1 - F))[:, None])
    information[1, 1] += len(data) / slope**2
    return p, np.linalg.inv(information)


def quantile_by_hand(p: np.ndarray, share: float, t: int, tau: float) -> float:
    """Quantile of the two-component mixture over g by Newton's method."""
    y = (logit(tau) - p[0] - p[2] * t - share * p[3]) / p[1]
    for _ in range(50):
        F = np.array([expit(p[0] + p[1] * y + p[2] * t + p[3] * g) for g in (0, 1)])
        w = np.array([1 - share, share])
        y -= (w @ F - tau) / (p[1] * w @ (F * (1 - F)))
    return float(y)


@pytest.mark.parametrize("population", ["fixed", "sampled"])
def test_errors_of_quantile_effects_are_the_delta_method_of_the_mixture(population: str) -> None:
    data, flow = shift_model(4)
    p, V = by_hand(data, flow)
    share = data["g"].mean()

    def effects(q: np.ndarray) -> np.ndarray:
        return np.array(
            [
                quantile_by_hand(q, share, 1, tau) - quantile_by_hand(q, share, 0, tau)
                for tau in (0.2, 0.5)
            ]
        )

    gradient = approx_fprime(p, effects, centered=True)
    covariance = gradient @ V @ gradient.T
    if population == "sampled":
        influence = []
        for tau in (0.2, 0.5):
            parts = []
            for t in (0, 1):
                y = quantile_by_hand(p, share, t, tau)
                F = expit(p[0] + p[1] * y + p[2] * t + p[3] * data["g"].to_numpy())
                parts.append(-F / (p[1] * (F * (1 - F)).mean()))
            influence.append(parts[1] - parts[0])
        covariance += np.cov(influence) / len(data)
    effect = flow.effect("y", "t", data=data, quantiles=(0.2, 0.5), rows=population)
    got = effect.summary.set_index("quantity").loc[["qte(0.2)", "qte(0.5)"]]
    np.testing.assert_allclose(got["estimate"], effects(p), rtol=1e-8)
    np.testing.assert_allclose(got["std_error"], np.sqrt(np.diag(covariance)), rtol=1e-5)


def test_error_of_a_step_of_a_continuous_outcome_is_the_delta_method() -> None:
    data, flow = shift_model(5)
    p, V = by_hand(data, flow)
    g = data["g"].to_numpy()

    def shares(q: np.ndarray) -> np.ndarray:
        p0, p1 = (expit(q[0] + q[1] * 3.0 + q[2] * t + q[3] * g).mean() for t in (0, 1))
        return np.array([p0, p1, p1 - p0])

    gradient = approx_fprime(p, shares, centered=True)
    errors = np.sqrt(np.diag(gradient @ V @ gradient.T))
    effect = flow.effect("y", "t", data=data, of=lambda y: y <= 3.0)
    got = effect.summary.set_index("quantity").loc[["mean_a", "mean_b", "ate"]]
    # the midpoint rule is off by half a cell of 1/1024
    np.testing.assert_allclose(got["estimate"], shares(p), atol=1e-3)
    np.testing.assert_allclose(got["std_error"], errors, rtol=0.01)


@pytest.mark.slow
def test_intervals_of_quantile_effects_cover_at_their_level() -> None:
    # a linear chain t -> x -> y with t -> y: the truth is that of the chain, by quadrature
    v = (np.arange(4000) + 0.5) / 4000
    ux = logit(v)

    def truth(tau: float) -> float:
        roots = []
        for t in (0, 1):
            x = ux + 0.8 * t
            low, high = -60.0, 60.0
            for _ in range(80):
                y = 0.5 * (low + high)
                below = expit(y - 0.9 * t + 0.5 * x).mean()
                low, high = (y, high) if below < tau else (low, y)
            roots.append(high)
        return roots[1] - roots[0]

    spec: dict[str, Node] = {
        "t": OrdinalNode(2),
        "x": ContinuousNode({"t": "ls"}, transform="affine"),
        "y": ContinuousNode({"t": "ls", "x": "ls"}, transform="affine"),
    }
    taus = (0.1, 0.5, 0.9)
    replicates, n = 300, 300
    covered = np.zeros(3)
    for seed in range(replicates):
        rng = np.random.default_rng(7000 + seed)
        t = rng.integers(0, 2, n)
        x = rng.logistic(size=n) + 0.8 * t
        y = rng.logistic(size=n) + 0.9 * t - 0.5 * x
        data = pd.DataFrame({"t": t, "x": x, "y": y})
        flow = CausalFlowDAG(spec, seed=1).fit(data)
        effect = flow.effect("y", "t", data=data.iloc[[0]], quantiles=taus, n_points=256)
        got = effect.summary.set_index("quantity")
        for j, tau in enumerate(taus):
            row = got.loc[f"qte({tau:g})"]
            covered[j] += row["lower"] <= truth(tau) <= row["upper"]
    coverage = covered / replicates
    # three standard errors of a share of 0.95
    assert (np.abs(coverage - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / replicates)).all(), coverage


def test_joint_quantities_have_no_interval_while_the_sign_of_the_effect_is_open() -> None:
    rng = np.random.default_rng(5)
    t = np.arange(200) % 2
    y = (rng.uniform(size=200) < 0.5).astype(int)
    data = pd.DataFrame({"t": t, "y": y})
    spec = {"t": OrdinalNode(2), "y": OrdinalNode(2, {"t": "ls"})}
    effect = CausalFlowDAG(spec, seed=1).fit(data).effect("y", "t", data=data)
    table = effect.summary.set_index("quantity")
    assert table.loc["ate", "lower"] < 0 < table.loc["ate", "upper"]
    for quantity in ("benefit", "harm", "no_change", "pns"):
        assert np.isnan(table.loc[quantity, "std_error"])
        assert "sign of the effect is not settled" in table.loc[quantity, "note"]
