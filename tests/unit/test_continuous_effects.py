"""Joint and quantile effects on continuous outcomes against simulations and closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from statsmodels.tools.numdiff import approx_fprime

from tramdag import CausalFlowDAG, ContinuousNode, OrdinalNode
from tramdag.spec import Node

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


@pytest.mark.parametrize("score", [None, positive])
def test_points_evaluated_together_give_what_one_after_another_gives(
    line_flow: CausalFlowDAG,
    line_rows: pd.DataFrame,
    score: Callable[[np.ndarray], np.ndarray] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask() -> tuple[np.ndarray, np.ndarray]:
        rows = line_rows.iloc[:2]
        effect = line_flow.effect("y", "t", data=rows, of=score, n_points=8)
        return effect.summary[["estimate", "std_error"]].to_numpy(float), effect.rows.to_numpy()

    together = ask()
    monkeypatch.setattr("tramdag.queries.effects._QUADRATURE_VALUES", 1)
    for one, other in zip(together, ask(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


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
