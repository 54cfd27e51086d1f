from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import scipy.optimize
import statsmodels.api as sm
from scipy.special import expit, logit
from statsmodels.tools.numdiff import approx_fprime

from tramdag import CS, CausalFlowDAG, ContinuousNode, OrdinalNode, SeparationWarning, SpecError
from tramdag.spec import Node


def affine(parents: dict[str, str] | None = None) -> ContinuousNode:
    return ContinuousNode(parents, transform="affine")


SPEC: dict[str, Node] = {
    "a": affine(),
    "t": OrdinalNode(2, {"a": "ls"}),
    "m": OrdinalNode(2, {"t": "ls", "a": "ls"}),
    "c": affine({"t": "ls", "m": "ls"}),
    "y": OrdinalNode(4, {"a": "ls", "t": "ls", "m": "ls", "c": "ls"}),
    "b": OrdinalNode(2, {"a": "ls", "t": "ls", "m": "ls"}),
}


def simulate(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)

    def level(cuts: list[float], shift: np.ndarray) -> np.ndarray:
        return (rng.logistic(size=n)[:, None] > np.array(cuts) - shift[:, None]).sum(1)

    a = rng.normal(size=n)
    t = level([0.0], 0.5 * a)
    m = level([0.3], 0.9 * t - 0.4 * a)
    c = rng.logistic(size=n) + 0.8 * t - 0.5 * m
    y = level([-1.0, 0.5, 1.5], 0.5 * a - 0.7 * t + 0.8 * m + 0.4 * c)
    b = level([0.2], 0.6 * a + 0.7 * t - 0.9 * m)
    return pd.DataFrame({"a": a, "t": t, "m": m, "c": c, "y": y, "b": b})


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return simulate(900, 1)


@pytest.fixture(scope="module")
def flow(rows: pd.DataFrame) -> CausalFlowDAG:
    return CausalFlowDAG(SPEC, seed=1).fit(rows)


def quantities(effect: Any) -> Any:
    return effect.summary.set_index("quantity")


def shared_latents(flow: CausalFlowDAG, row: pd.DataFrame, n: int) -> list[pd.DataFrame]:
    """Both worlds of one row, n times, its causes kept and everything after t from its latents."""
    rng = np.random.default_rng(77)
    u = pd.DataFrame(rng.logistic(size=(n, len(SPEC))), columns=list(SPEC))
    a = float(row["a"].iloc[0])
    return [flow.sample(do={"a": a, "t": value}, u=u) for value in (0, 1)]


def test_effects_of_a_row_agree_with_brute_force_over_shared_latents(
    flow: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    n = 200_000
    row = rows.iloc[[5]]
    effect = flow.effect("y", "t", data=row, n_points=4096)
    zero, one = (world["y"].to_numpy() for world in shared_latents(flow, row, n))
    got = effect.rows.iloc[0]
    assert zero.mean() == pytest.approx(got["mean_a"], abs=5 * zero.std() / np.sqrt(n))
    assert one.mean() == pytest.approx(got["mean_b"], abs=5 * one.std() / np.sqrt(n))
    for name, event in {
        "benefit": one > zero,
        "harm": one < zero,
        "no_change": one == zero,
    }.items():
        # five Monte Carlo errors of the draws, and the integration's own error
        error = 5 * event.std() / np.sqrt(n) + 3e-3
        assert event.mean() == pytest.approx(got[name], abs=error)
    assert got["ite"] == pytest.approx(effect.ate)


def test_a_score_of_ones_own_is_what_benefit_is_judged_by(
    flow: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    n = 100_000
    row = rows.iloc[[8]]
    effect = flow.effect("y", "t", data=row, of=lambda y: y <= 1, n_points=4096)
    zero, one = (world["y"].to_numpy() <= 1 for world in shared_latents(flow, row, n))
    got = effect.rows.iloc[0]
    necessary_and_sufficient = (one & ~zero).mean()
    assert necessary_and_sufficient == pytest.approx(
        got["benefit"], abs=5 * 0.5 / np.sqrt(n) + 3e-3
    )
    assert effect.ate == pytest.approx(one.mean() - zero.mean(), abs=5 / np.sqrt(n))
    assert got["benefit"] - got["harm"] == pytest.approx(effect.ate, abs=3e-3)


def test_ate_over_rows_agrees_with_sampling(flow: CausalFlowDAG, rows: pd.DataFrame) -> None:
    copies = rows.sample(200_000, replace=True, random_state=1, ignore_index=True)
    means = [
        flow.sample(do={"a": copies["a"].to_numpy(), "t": t}, n=len(copies), seed=t)["y"].mean()
        for t in (0, 1)
    ]
    # sd of y is about 1; both arms' errors and that of drawing rows
    assert flow.effect("y", "t", data=rows).ate == pytest.approx(means[1] - means[0], abs=0.02)


def logit_fit(rows: pd.DataFrame, child: str, parents: list[str]) -> Any:
    return sm.Logit(rows[child], sm.add_constant(rows[parents])).fit(disp=False, tol=1e-12)


@pytest.mark.parametrize("population", ["fixed", "sampled"])
def test_intervals_through_a_mediator_are_the_delta_method_on_logistic_regressions(
    flow: CausalFlowDAG, rows: pd.DataFrame, population: str
) -> None:
    mediator = logit_fit(rows, "m", ["t", "a"])
    outcome = logit_fit(rows, "b", ["a", "t", "m"])
    a, one = rows["a"].to_numpy(), np.ones(len(rows))

    def per_row(p: np.ndarray) -> np.ndarray:
        arms = []
        for t in (0.0, 1.0):
            pm = expit(np.column_stack([one, t * one, a]) @ p[:3])
            pb = [expit(np.column_stack([one, a, t * one, m * one]) @ p[3:]) for m in (0, 1)]
            arms.append((1 - pm) * pb[0] + pm * pb[1])
        return np.array(arms)

    p = np.concatenate([mediator.params, outcome.params])
    V = np.zeros((7, 7))
    V[:3, :3], V[3:, 3:] = mediator.cov_params(), outcome.cov_params()
    gradient = approx_fprime(p, lambda q: per_row(q).mean(1), centered=True)
    covariance = gradient @ V @ gradient.T
    if population == "sampled":
        covariance += np.cov(per_row(p)) / len(rows)
    q0, q1 = per_row(p).mean(1)
    got = quantities(flow.effect("b", "t", data=rows, rows=population))
    ate_error = np.sqrt(np.array([-1, 1]) @ covariance @ np.array([-1, 1]))
    np.testing.assert_allclose(got.loc["mean_a", "estimate"], q0, rtol=1e-6)
    np.testing.assert_allclose(
        got.loc["ate", ["estimate", "std_error"]].astype(float), [q1 - q0, ate_error], rtol=1e-5
    )
    half = 1.959963984540054 * ate_error
    assert got.loc["ate", "upper"] == pytest.approx(q1 - q0 + half, rel=1e-5)
    log_error = np.sqrt(np.array([-1 / q0, 1 / q1]) @ covariance @ np.array([-1 / q0, 1 / q1]))
    assert got.loc["ratio", "std_error"] == pytest.approx(q1 / q0 * log_error, rel=1e-5)


@pytest.mark.slow
def test_error_through_a_continuous_mediator_is_the_spread_over_fresh_samples() -> None:
    spec: dict[str, Node] = {
        "t": OrdinalNode(2),
        "c": affine({"t": "ls"}),
        "y": OrdinalNode(3, {"t": "ls", "c": "ls"}),
    }
    estimates, errors = [], []
    for seed in range(150):
        rng = np.random.default_rng(300 + seed)
        t = rng.integers(0, 2, 400)
        c = rng.logistic(size=400) + t
        y = (rng.logistic(size=400)[:, None] > [-0.5, 1.0] - (0.5 * c - 0.8 * t)[:, None]).sum(1)
        flow = CausalFlowDAG(spec, seed=1).fit(pd.DataFrame({"t": t, "c": c, "y": y}))
        one_row = pd.DataFrame({"t": [0]})
        row = quantities(flow.effect("y", "t", data=one_row, n_points=64)).loc["ate"]
        estimates.append(row["estimate"])
        errors.append(row["std_error"])
    # a standard deviation from 150 draws has a relative standard error of 5.8 %
    assert np.mean(errors) == pytest.approx(np.std(estimates, ddof=1), rel=0.2)


def test_frechet_bounds_are_the_extremes_over_couplings(
    flow: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    for of in (lambda y: y, lambda y: np.array([0, 2, 2, -1])[y]):
        some = rows.iloc[:4]
        effect = flow.effect("y", "t", data=some, of=of, n_points=4096)
        laws = [flow.pmf(some, "y", do={"t": t}, n_points=4096).to_numpy() for t in (0, 1)]
        g = of(np.arange(4))
        marginals = np.concatenate([np.kron(np.eye(4), np.ones(4)), np.kron(np.ones(4), np.eye(4))])
        for event, name in (
            (g[None, :] > g[:, None], "benefit"),
            (g[None, :] < g[:, None], "harm"),
        ):
            for i in range(len(some)):
                sums = np.concatenate([laws[0][i], laws[1][i]])
                sums[-1] = sums[:4].sum() - sums[4:7].sum()
                cost = event.ravel().astype(float)
                low, high = (
                    scipy.optimize.linprog(sign * cost, A_eq=marginals, b_eq=sums)
                    for sign in (1.0, -1.0)
                )
                ends = [cost @ low.x, cost @ high.x]
                got = effect.rows.iloc[i][[f"{name}_lower", f"{name}_upper"]].astype(float)
                # both laws are integrated over c at different numbers of points
                np.testing.assert_allclose(got, ends, atol=2e-3)
                assert ends[0] - 2e-3 <= effect.rows[name].iloc[i] <= ends[1] + 2e-3


def median_of(flow: CausalFlowDAG, arm: int) -> float:
    at_zero = pd.DataFrame({"t": [0], "x": [0.0]})
    return float(flow.sample(do={"t": arm}, u=at_zero)["x"].iloc[0])


def test_mean_of_an_affine_outcome_has_its_closed_form() -> None:
    rng = np.random.default_rng(3)
    t = rng.integers(0, 2, 500)
    data = pd.DataFrame({"t": t, "x": 4.0 + 3.0 * (rng.logistic(size=500) - 0.5 * t)})
    flow = CausalFlowDAG({"t": OrdinalNode(2), "x": affine({"t": "ls"})}, seed=1).fit(data)
    got = quantities(flow.effect("x", "t", data=data))
    # the law is symmetric, so its mean is its median
    for arm, row in ((0, "mean_a"), (1, "mean_b")):
        median = median_of(flow, arm)
        assert got.loc[row, "estimate"] == pytest.approx(median, rel=1e-9)
    slope = np.exp(flow.transformation(data.iloc[[0]], "x")["log_derivative"].iloc[0])
    beta = flow.coef()["estimate"].iloc[0]
    assert got.loc["ate", "estimate"] == pytest.approx(-beta / slope, rel=1e-9)


def test_mean_of_a_bernstein_outcome_is_its_integrated_quantile_function() -> None:
    rng = np.random.default_rng(4)
    t = rng.integers(0, 2, 600)
    data = pd.DataFrame({"t": t, "x": np.exp(0.4 * rng.normal(size=600) + 0.3 * t)})
    spec = {"t": OrdinalNode(2), "x": ContinuousNode({"t": "ls"}, n_coefs=8)}
    flow = CausalFlowDAG(spec, seed=1).fit(data)
    z = np.linspace(-40, 40, 40_001)
    density = expit(z) * expit(-z)
    one_row = data.iloc[[0]]
    for arm, name in ((0, "mean_a"), (1, "mean_b")):
        u = pd.DataFrame({"t": np.zeros(len(z)), "x": z})
        x = flow.sample(do={"t": arm}, u=u)["x"].to_numpy()
        expected = scipy.integrate.trapezoid(x * density, z)
        got = quantities(flow.effect("x", "t", data=one_row)).loc[name, "estimate"]
        assert got == pytest.approx(expected, rel=1e-4)


def test_error_of_a_continuous_mean_equals_finite_differences() -> None:
    rng = np.random.default_rng(5)
    t = rng.integers(0, 2, 300)
    x = 4.0 + 3.0 * (rng.logistic(size=300) - 0.5 * t)
    data = pd.DataFrame({"t": t, "x": x})
    flow = CausalFlowDAG({"t": OrdinalNode(2), "x": affine({"t": "ls"})}, seed=1).fit(data)
    slope = np.exp(flow.transformation(data.iloc[[0]], "x")["log_derivative"].iloc[0])
    beta = flow.coef()["estimate"].iloc[0]
    h0 = -slope * median_of(flow, 0)
    p = np.array([h0, slope, beta])
    G = np.column_stack([np.ones(300), x, t])
    F = expit(G @ p)
    information = G.T @ (G * (2 * F * (1 - F))[:, None])
    information[1, 1] += 300 / slope**2
    gradient = approx_fprime(p, lambda q: np.array([-q[2] / q[1], -q[0] / q[1]]), centered=True)
    errors = np.sqrt(np.diag(gradient @ np.linalg.inv(information) @ gradient.T))
    got = quantities(flow.effect("x", "t", data=data))["std_error"]
    np.testing.assert_allclose(got[["ate", "mean_a"]], errors, rtol=1e-5)


def test_effect_without_mediators_reproduces_the_observed_proportions() -> None:
    data = simulate(500, 9)
    spec = {"t": OrdinalNode(2), "b": OrdinalNode(2, {"t": "ls"})}
    flow = CausalFlowDAG(spec, seed=1).fit(data)
    got = quantities(flow.effect("b", "t", data=data))["estimate"]
    # a saturated model reproduces the observed proportions
    observed = data.groupby("t")["b"].mean()
    np.testing.assert_allclose(got[["mean_a", "mean_b"]], observed, rtol=1e-9)
    assert got["ratio"] == pytest.approx(observed[1] / observed[0], rel=1e-9)
    change = logit(observed[1]) - logit(observed[0])
    assert change == pytest.approx(flow.coef()["estimate"].iloc[0], rel=1e-8)


def test_a_network_on_the_way_leaves_no_interval(rows: pd.DataFrame) -> None:
    spec = {**SPEC, "m": OrdinalNode(2, terms=[CS("t", "a", hidden=(3,))])}
    del spec["y"], spec["c"]
    got = quantities(CausalFlowDAG(spec, seed=1).fit(rows, epochs=2).effect("b", "t", data=rows))
    assert got.loc["ate", ["std_error", "lower", "upper"]].isna().all()
    assert "networks in m" in got.loc["ate", "note"]
    assert np.isfinite(got.loc["ate", "estimate"])


def test_a_separated_coefficient_leaves_no_false_certainty(rows: pd.DataFrame) -> None:
    data = rows.iloc[:40].assign(b=lambda d: np.where(d["t"] == 1, 1, d["b"]))
    spec = {"a": affine(), "t": OrdinalNode(2), "b": OrdinalNode(2, {"t": "ls"})}
    with pytest.warns(SeparationWarning, match="t=1"):
        flow = CausalFlowDAG(spec, seed=1).fit(data)
    row = quantities(flow.effect("b", "t", data=data)).loc["mean_b"]
    # some twenty events in as many rows do not show that the probability is exactly one
    assert np.isnan(row["std_error"])
    assert row["note"]


def test_a_sample_of_one_row_has_no_spread(flow: CausalFlowDAG, rows: pd.DataFrame) -> None:
    got = quantities(flow.effect("b", "t", data=rows.iloc[[0]], rows="sampled"))
    assert np.isnan(got.loc["ate", "std_error"])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"outcome": "a"}, "zero by assumption"),
        ({"outcome": "Y"}, "'Y'"),
        ({"treatment": "T"}, "'T'"),
        ({"values": (0, 1, 1)}, "two values"),
        ({"values": 1}, "two values"),
        ({"rows": "random"}, "'random'"),
        ({"level": 95}, "95"),
        ({"n_points": 100}, "100"),
        ({"n_points": 4}, "4"),
        ({"of": lambda y: 1.0}, "of"),
    ],
)
def test_bad_questions_about_effects_are_refused(
    flow: CausalFlowDAG, rows: pd.DataFrame, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(SpecError, match=named):
        flow.effect(**{"outcome": "y", "treatment": "t", "data": rows.iloc[:2], **options})


def test_probability_as_score_of_a_continuous_outcome_is_its_cdf() -> None:
    rng = np.random.default_rng(6)
    t = rng.integers(0, 2, 400)
    data = pd.DataFrame({"t": t, "x": rng.logistic(size=400) - 0.7 * t})
    flow = CausalFlowDAG({"t": OrdinalNode(2), "x": affine({"t": "ls"})}, seed=1).fit(data)
    got = quantities(flow.effect("x", "t", data=data.iloc[[0]], of=lambda x: x <= 0.3))
    for arm, name in ((0, "mean_a"), (1, "mean_b")):
        expected = flow.cdf(data.iloc[[0]].assign(x=0.3), "x", do={"t": arm}).to_numpy().item()
        assert got.loc[name, "estimate"] == pytest.approx(expected, abs=2e-3)
