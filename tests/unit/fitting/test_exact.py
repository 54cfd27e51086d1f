from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.interpolate
import scipy.optimize
import scipy.special
import statsmodels.api as sm
from statsmodels.miscmodels.ordinal_model import OrderedModel

from tramdag import (
    LS,
    CausalFlowDAG,
    ContinuousNode,
    ConvergenceWarning,
    OrdinalNode,
    SeparationWarning,
    SpecError,
)
from tramdag.fitting import convex, gram
from tramdag.spec import Node

N = 400


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """a, b continuous, t binary, m with 3 levels; y continuous and skewed, g with 5 levels."""
    rng = np.random.default_rng(21)
    a, b = rng.normal(50.0, 9.0, N), rng.exponential(1.0, N)
    t, m = rng.integers(0, 2, N), rng.integers(0, 3, N)
    eta = 0.05 * (a - 50) - 0.6 * b + 0.8 * t + np.array([0.0, 0.3, -0.5])[m]
    y = np.exp(0.4 * eta + 0.3 * rng.logistic(size=N))
    cutpoints = np.array([-2.0, -0.7, 0.4, 1.9])
    g = (rng.logistic(size=N)[:, None] > cutpoints - eta[:, None]).sum(1)
    return pd.DataFrame({"a": a, "b": b, "t": t, "m": m, "y": y, "g": g})


def roots() -> dict[str, Node]:
    """Parents as marginal nodes that cost next to nothing."""
    return {
        "a": ContinuousNode(transform="affine"),
        "b": ContinuousNode(transform="affine"),
        "t": OrdinalNode(2),
        "m": OrdinalNode(3),
    }


ALL_PARENTS = {"a": "ls", "b": "ls", "t": "ls", "m": "ls"}
TARGETS: dict[str, Node] = {
    "affine": ContinuousNode(ALL_PARENTS, transform="affine"),
    "bernstein6": ContinuousNode(ALL_PARENTS, n_coefs=6),
    "bernstein20": ContinuousNode(ALL_PARENTS),
    "products": ContinuousNode(terms=[LS("a"), LS("m", "a"), LS("t", "m")], n_coefs=6),
    "ordinal": OrdinalNode(5, ALL_PARENTS),
    "marginal": ContinuousNode(),
}


def fit(target: Node, df: pd.DataFrame, *, seed: int = 1, **options: Any) -> CausalFlowDAG:
    name = "g" if isinstance(target, OrdinalNode) else "y"
    return CausalFlowDAG({**roots(), name: target}, seed=seed).fit(df, **options)


def beta(flow: CausalFlowDAG, node: str) -> np.ndarray:
    coef = flow.coef()
    return coef.loc[coef["node"] == node, "estimate"].to_numpy()


def design(df: pd.DataFrame) -> np.ndarray:
    dummies = [df["t"] == 1, df["m"] == 1, df["m"] == 2]
    return np.column_stack([df["a"], df["b"], *dummies]).astype(float)


# the optimum and its certificate


@pytest.mark.parametrize("target", TARGETS)
def test_every_node_carries_a_certificate_of_optimality(target: str, table: pd.DataFrame) -> None:
    report = fit(TARGETS[target], table).report
    assert report.converged
    for entry in report.node_reports:
        assert entry.solver == "exact"
        assert entry.n == N
        assert entry.kkt_residual is not None
        assert entry.kkt_residual <= 1e-8
        assert entry.newton_decrement is not None
        assert entry.newton_decrement <= 1e-10


@pytest.mark.parametrize("target", ["affine", "bernstein6", "bernstein20", "ordinal"])
def test_coefficients_do_not_depend_on_the_seed(target: str, table: pd.DataFrame) -> None:
    name = "g" if target == "ordinal" else "y"
    first, second = (fit(TARGETS[target], table, seed=seed) for seed in (1, 2))
    np.testing.assert_allclose(beta(first, name), beta(second, name), rtol=0, atol=1e-8)
    assert first.nll(table) == pytest.approx(second.nll(table), abs=1e-12)


@pytest.mark.parametrize("target", ["bernstein20", "ordinal"])
def test_coefficients_do_not_depend_on_the_order_of_the_rows(
    target: str, table: pd.DataFrame
) -> None:
    name = "g" if target == "ordinal" else "y"
    straight, shuffled = (
        fit(TARGETS[target], table),
        fit(TARGETS[target], table.sample(frac=1.0, random_state=3)),
    )
    np.testing.assert_allclose(beta(straight, name), beta(shuffled, name), rtol=0, atol=1e-8)


@pytest.mark.parametrize("target", ["bernstein20", "ordinal"])
@pytest.mark.parametrize(("factor", "offset"), [(1e-6, 0.0), (1000.0, -3e5), (-0.1, 40.0)])
def test_a_change_of_unit_rescales_the_coefficient(
    target: str, factor: float, offset: float, table: pd.DataFrame
) -> None:
    name = "g" if target == "ordinal" else "y"
    plain = beta(fit(TARGETS[target], table), name)
    rescaled = beta(fit(TARGETS[target], table.assign(a=factor * table["a"] + offset)), name)
    np.testing.assert_allclose(rescaled, plain / [factor, 1, 1, 1, 1], rtol=1e-7)


def test_a_change_of_the_outcomes_unit_changes_no_coefficient(table: pd.DataFrame) -> None:
    plain = beta(fit(TARGETS["bernstein6"], table), "y")
    cents = beta(fit(TARGETS["bernstein6"], table.assign(y=100 * table["y"] + 7)), "y")
    np.testing.assert_allclose(cents, plain, rtol=1e-7)


def test_mirroring_the_levels_turns_the_coefficients_round(table: pd.DataFrame) -> None:
    plain = beta(fit(TARGETS["ordinal"], table), "g")
    mirrored = beta(fit(TARGETS["ordinal"], table.assign(g=4 - table["g"])), "g")
    np.testing.assert_allclose(mirrored, -plain, rtol=0, atol=1e-8)


def test_classical_nodes_use_every_training_row(table: pd.DataFrame) -> None:
    whole = fit(TARGETS["ordinal"], table)
    with_validation = fit(
        TARGETS["ordinal"], table, val_df=table.iloc[:50], validation_fraction=0.5
    )
    np.testing.assert_array_equal(beta(whole, "g"), beta(with_validation, "g"))
    entry = with_validation.report.node_reports[-1]
    expected = -with_validation.node_log_prob(table.iloc[:50])["g"].mean()
    assert entry.validation_nll == pytest.approx(expected, rel=1e-12)


def test_reported_likelihood_is_that_of_the_rows(table: pd.DataFrame) -> None:
    flow = fit(TARGETS["bernstein20"], table)
    expected = -flow.node_log_prob(table).mean()
    for entry in flow.report.node_reports:
        assert entry.nll == pytest.approx(expected[entry.node], rel=1e-12)
    assert flow.report.nll == pytest.approx(flow.nll(table), rel=1e-12)


# independent optimisers


def test_ordinal_node_equals_the_ordered_model_of_statsmodels(table: pd.DataFrame) -> None:
    X = pd.DataFrame(design(table), columns=list("abtuv"))
    model = OrderedModel(table["g"], X, distr="logit")
    reference = model.fit(method="bfgs", disp=False, gtol=1e-9, maxiter=2000)
    flow = fit(TARGETS["ordinal"], table)
    np.testing.assert_allclose(beta(flow, "g"), reference.params[:5], rtol=0, atol=1e-5)
    thresholds = model.transform_threshold_params(reference.params)[1:-1]
    np.testing.assert_allclose(flow.cutpoints("g"), thresholds, rtol=0, atol=1e-4)
    assert flow.node_log_prob(table)["g"].sum() == pytest.approx(reference.llf, abs=1e-6)


def test_binary_node_equals_logistic_regression(table: pd.DataFrame) -> None:
    nodes = {**roots(), "t": OrdinalNode(2, {"a": "ls", "b": "ls", "m": "ls"})}
    flow = CausalFlowDAG(nodes, seed=1).fit(table)
    X = sm.add_constant(design(table)[:, [0, 1, 3, 4]])
    reference = sm.Logit(table["t"], X).fit(disp=False, tol=1e-14)
    np.testing.assert_allclose(beta(flow, "t"), reference.params.iloc[1:], rtol=0, atol=1e-8)
    np.testing.assert_allclose(flow.cutpoints("t"), -reference.params.iloc[:1], rtol=1e-8)


def test_marginal_ordinal_node_reproduces_the_frequencies(table: pd.DataFrame) -> None:
    flow = CausalFlowDAG({"g": OrdinalNode(5)}, seed=1).fit(table)
    shares = table["g"].value_counts(normalize=True).sort_index()
    np.testing.assert_allclose(flow.pmf(table.iloc[:1], "g").iloc[0], shares, rtol=1e-9)


def test_affine_node_equals_a_regression_with_logistic_errors(table: pd.DataFrame) -> None:
    # u = (y - X b) / s  <=>  y = X b + s u, maximised by scipy in (b, log s)
    X = sm.add_constant(design(table))
    y = table["y"].to_numpy()

    def nll(parameters: np.ndarray) -> float:
        u = (y - X @ parameters[:-1]) / np.exp(parameters[-1])
        return float((np.logaddexp(0, u) + np.logaddexp(0, -u)).mean() + parameters[-1])

    start = np.append(np.linalg.lstsq(X, y, rcond=None)[0], np.log(y.std() / 2))
    best = start
    for _ in range(4):
        best = scipy.optimize.minimize(nll, best, method="BFGS", options={"gtol": 1e-9}).x
    flow = fit(TARGETS["affine"], table)
    assert -flow.node_log_prob(table)["y"].mean() == pytest.approx(nll(best), abs=1e-9)
    np.testing.assert_allclose(
        beta(flow, "y"), -best[1:-1] / np.exp(best[-1]), rtol=1e-4, atol=1e-5
    )


class BernsteinReference:
    """The likelihood of a Bernstein node in (a, increments, beta), built on scipy's polynomials."""

    def __init__(self, df: pd.DataFrame, n_coefs: int) -> None:
        y = df["y"].to_numpy()
        low, high = np.quantile(y, [0.05, 0.95])
        self.per_unit = 10 / (high - low)
        s = (y - low) * self.per_unit - 5
        inside = np.clip(s, -5, 5)
        rows, slopes = [], []
        for k in range(1, n_coefs):
            polynomial = scipy.interpolate.BPoly(
                (np.arange(n_coefs) >= k)[:, None].astype(float), [-5, 5]
            )
            slope = polynomial.derivative()(inside)
            rows.append(polynomial(inside) + slope * (s - inside))
            slopes.append(slope)
        # a coefficient's size must not decide whether the minimiser calls it converged
        self.scale = design(df).std(0)
        X = (design(df) - design(df).mean(0)) / self.scale
        self.G = np.column_stack([np.ones(len(y)), *rows, X])
        self.D = np.column_stack(slopes)
        self.n_coefs = n_coefs

    def value_and_gradient(self, psi: np.ndarray) -> tuple[float, np.ndarray]:
        z, slope = self.G @ psi, self.D @ psi[1 : self.n_coefs]
        value = np.logaddexp(0, z) + np.logaddexp(0, -z) - np.log(slope * self.per_unit)
        gradient = self.G.T @ (2 * scipy.special.expit(z) - 1)
        gradient[1 : self.n_coefs] -= (self.D / slope[:, None]).sum(0)
        return float(value.mean()), gradient / len(z)

    def start(self) -> np.ndarray:
        psi = np.zeros(self.G.shape[1])
        psi[0], psi[1 : self.n_coefs] = -3, 6 / (self.n_coefs - 1)
        return psi


def test_bernstein_node_equals_an_independent_bounded_minimiser(table: pd.DataFrame) -> None:
    reference = BernsteinReference(table, n_coefs=6)
    psi = reference.start()
    bounds = [(None, None)] + [(0, None)] * 5 + [(None, None)] * 5
    for _ in range(3):
        psi = scipy.optimize.minimize(
            reference.value_and_gradient,
            psi,
            jac=True,
            method="SLSQP",
            bounds=bounds,
            options={"ftol": 1e-15, "maxiter": 1000},
        ).x
    value, _ = reference.value_and_gradient(psi)
    flow = fit(TARGETS["bernstein6"], table)
    assert -flow.node_log_prob(table)["y"].mean() == pytest.approx(value, abs=1e-9)
    np.testing.assert_allclose(beta(flow, "y"), psi[6:] / reference.scale, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("n_coefs", [6, 20])
def test_bernstein_node_meets_the_optimality_conditions_of_an_independent_gradient(
    n_coefs: int, table: pd.DataFrame
) -> None:
    reference = BernsteinReference(table, n_coefs)
    flow = fit(ContinuousNode(ALL_PARENTS, n_coefs=n_coefs), table)
    conditional = flow.conditionals["y"]
    raw = conditional.intercept.detach().numpy()
    increments = np.logaddexp(0.0, raw[1:])
    weights = beta(flow, "y") * reference.scale
    # the reference centres dummies too, which only moves the offset
    raw_shift = flow.abduct(table)["y"] - flow.transformation(table, "y")["h"]
    shift = raw_shift + float(conditional.linear.offset)
    offset = raw[0] + (shift - reference.G[:, n_coefs:] @ weights).mean()
    _, gradient = reference.value_and_gradient(np.concatenate([[offset], increments, weights]))
    active = np.zeros(len(gradient), dtype=bool)
    active[1:n_coefs] = increments < 1e-12
    np.testing.assert_allclose(gradient[~active], 0.0, atol=2e-8)
    assert (gradient[active] >= -1e-8).all()
    entry = flow.report.node_reports[-1]
    assert entry.active_bounds == tuple(np.flatnonzero(active))


def test_no_feasible_neighbour_is_better(table: pd.DataFrame) -> None:
    reference = BernsteinReference(table, n_coefs=20)
    best = -fit(TARGETS["bernstein20"], table).node_log_prob(table)["y"].mean()
    rng = np.random.default_rng(0)
    for _ in range(200):
        psi = reference.start()
        psi[1:20] *= rng.exponential(size=19)
        psi[20:] = 0.5 * rng.normal(size=5)
        assert reference.value_and_gradient(psi)[0] > best


# awkward data


def test_an_empty_middle_level_gets_no_probability(table: pd.DataFrame) -> None:
    holes = table.assign(g=table["g"].replace(2, 3))
    with pytest.warns(SeparationWarning, match="'g': no training row has level 2"):
        flow = fit(TARGETS["ordinal"], holes)
    assert flow.report.converged
    assert flow.pmf(holes, "g")[2].max() < 1e-20
    assert flow.report.node_reports[-1].active_bounds == (2,)
    # the other coefficients are those of the model without the level
    X = pd.DataFrame(design(holes), columns=list("abtuv"))
    model = OrderedModel(pd.Series(pd.factorize(holes["g"], sort=True)[0]), X, distr="logit")
    reference = model.fit(method="bfgs", disp=False, gtol=1e-6, maxiter=2000)
    np.testing.assert_allclose(beta(flow, "g"), reference.params[:5], rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", [0, 4])
def test_an_empty_outer_level_is_reported_and_gets_next_to_no_probability(
    level: int, table: pd.DataFrame
) -> None:
    cut = table.assign(g=table["g"].clip(1, 4) if level == 0 else table["g"].clip(0, 3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        flow = fit(TARGETS["ordinal"], cut)
    assert [w for w in caught if issubclass(w.category, (SeparationWarning, ConvergenceWarning))]
    assert flow.pmf(cut, "g")[level].max() < 1e-6
    assert np.isfinite(flow.nll(cut))


def test_a_parent_level_never_seen_is_warned_of_and_held_at_zero(table: pd.DataFrame) -> None:
    unseen = table.assign(m=table["m"].replace(2, 1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        flow = fit(TARGETS["ordinal"], unseen)
    messages = [str(w.message) for w in caught if w.category is ConvergenceWarning]
    assert any("'g'" in message and "'m=2'" in message for message in messages)
    assert beta(flow, "g")[-1] == 0.0
    assert flow.report.node_reports[-1].inestimable == ("m=2",)
    # the others are those of a fit without that level
    nodes = {**roots(), "m": OrdinalNode(2), "g": TARGETS["ordinal"]}
    smaller = CausalFlowDAG(nodes, seed=1).fit(unseen)
    np.testing.assert_allclose(beta(flow, "g")[:-1], beta(smaller, "g"), rtol=0, atol=1e-8)


@pytest.mark.parametrize("factor", [1.0, -2.5, 1e6])
def test_a_duplicated_parent_is_warned_of_and_held_at_zero(
    factor: float, table: pd.DataFrame
) -> None:
    doubled = table.assign(copy=factor * table["a"] + 3.0)
    nodes = {
        "a": ContinuousNode(transform="affine"),
        "copy": ContinuousNode(transform="affine"),
        "g": OrdinalNode(5, {"a": "ls", "copy": "ls"}),
    }
    with pytest.warns(ConvergenceWarning, match=r"'g'.*'copy'"):
        flow = CausalFlowDAG(nodes, seed=1).fit(doubled)
    alone = CausalFlowDAG({"a": nodes["a"], "g": OrdinalNode(5, {"a": "ls"})}, seed=1).fit(table)
    np.testing.assert_allclose(beta(flow, "g"), [*beta(alone, "g"), 0.0], rtol=0, atol=1e-8)
    assert flow.report.converged


def test_perfect_separation_ends_with_a_warning_that_names_the_parent() -> None:
    x = np.linspace(-1, 1, 60)
    df = pd.DataFrame({"x": x, "t": (x > 0.1).astype(int)})
    nodes = {"x": ContinuousNode(transform="affine"), "t": OrdinalNode(2, {"x": "ls"})}
    with pytest.warns(SeparationWarning, match=r"'t'.*x"):
        flow = CausalFlowDAG(nodes, seed=1).fit(df)
    assert np.isfinite(flow.log_prob(df)).all()
    assert -flow.node_log_prob(df)["t"].mean() < 1e-6
    assert (flow.pmf(df, "t").idxmax(axis=1) == df["t"]).all()


def test_quasi_separation_by_one_level_of_a_parent_names_it(table: pd.DataFrame) -> None:
    # nobody with m = 2 has the highest grade
    quasi = table.assign(g=np.where(table["m"] == 2, 0, table["g"]))
    with pytest.warns(SeparationWarning, match=r"'g'.*m=2"):
        flow = fit(TARGETS["ordinal"], quasi)
    others = quasi[quasi["m"] != 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the level has no rows any more
        reference = fit(TARGETS["ordinal"], others)
    # the separated level tells nothing about the rest
    np.testing.assert_allclose(beta(flow, "g")[:4], beta(reference, "g")[:4], atol=1e-3)


def test_data_without_separation_raise_no_warning(table: pd.DataFrame) -> None:
    # strong effects are no separation; warnings are errors here
    strong = table.assign(a=8 * (table["a"] - 50))
    assert not fit(TARGETS["ordinal"], strong).report.node_reports[-1].separated


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_extreme_units_do_not_stop_the_solver(scale: float, table: pd.DataFrame) -> None:
    flow = fit(TARGETS["bernstein20"], table.assign(a=scale * table["a"], y=scale * table["y"]))
    assert flow.report.converged
    plain = beta(fit(TARGETS["bernstein20"], table), "y")
    np.testing.assert_allclose(beta(flow, "y") * [scale, 1, 1, 1, 1], plain, rtol=1e-6)


def test_heavy_tails_and_outliers_do_not_stop_the_solver(table: pd.DataFrame) -> None:
    y = table["y"].to_numpy(copy=True)
    y[:3] = [1e6, -1e6, 1e4]
    flow = fit(TARGETS["bernstein20"], table.assign(y=y))
    assert flow.report.converged
    assert np.isfinite(flow.log_prob(table)).all()


def test_ties_and_heaps_do_not_stop_the_solver(table: pd.DataFrame) -> None:
    flow = fit(TARGETS["bernstein20"], table.assign(y=table["y"].round(0)))
    assert flow.report.converged


def test_fewer_rows_than_parameters_still_end(table: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        flow = CausalFlowDAG({"y": ContinuousNode()}, seed=1).fit(table.iloc[:8])
    assert np.isfinite(flow.nll(table.iloc[:8]))


def test_rows_in_a_gap_between_two_modes_survive_the_round_trip() -> None:
    rng = np.random.default_rng(5)
    y = np.concatenate([rng.normal(-4, 0.1, 300), rng.normal(4, 0.1, 300)])
    flow = CausalFlowDAG({"y": ContinuousNode()}, seed=1).fit(pd.DataFrame({"y": y}))
    assert flow.report.node_reports[0].active_bounds
    gap = pd.DataFrame({"y": np.linspace(-3.9, 3.9, 101)})
    back = flow.sample(u=flow.abduct(gap))
    pd.testing.assert_frame_equal(back, gap, rtol=1e-8, atol=1e-8)


# refusing what it cannot solve


def test_exact_refuses_networks_and_splines_by_name(table: pd.DataFrame) -> None:
    nodes = {
        "a": ContinuousNode(),
        "b": ContinuousNode({"a": "cs"}),
        "y": ContinuousNode(transform="spline"),
        "t": OrdinalNode(2, {"a": "ls"}),
    }
    with pytest.raises(SpecError) as error:
        CausalFlowDAG(nodes).fit(table, optimizer="exact")
    assert "'b'" in str(error.value)
    assert "'y'" in str(error.value)
    assert "'t'" not in str(error.value)


def test_exact_solves_a_classical_flow(table: pd.DataFrame) -> None:
    forced, auto = (fit(TARGETS["ordinal"], table, optimizer=o) for o in ("exact", "auto"))
    np.testing.assert_array_equal(beta(forced, "g"), beta(auto, "g"))


def test_float32_flows_are_solved_in_double_precision(table: pd.DataFrame) -> None:
    nodes = {**roots(), "g": TARGETS["ordinal"]}
    single = CausalFlowDAG(nodes, seed=1, dtype="float32").fit(table)
    double = fit(TARGETS["ordinal"], table)
    np.testing.assert_allclose(beta(single, "g"), beta(double, "g"), rtol=2e-5, atol=1e-6)


@pytest.mark.slow
def test_two_hundred_thousand_rows_are_solved() -> None:
    n = 200_000
    rng = np.random.default_rng(6)
    a = rng.normal(size=n)
    y = 2 * a + rng.logistic(size=n)
    g = (rng.logistic(size=n)[:, None] > np.array([-1.0, 1.0]) - 0.7 * a[:, None]).sum(1)
    nodes = {
        "a": ContinuousNode(),
        "y": ContinuousNode({"a": "ls"}),
        "g": OrdinalNode(3, {"a": "ls"}),
    }
    flow = CausalFlowDAG(nodes, seed=1).fit(pd.DataFrame({"a": a, "y": y, "g": g}))
    assert flow.report.converged
    # true values -2 (y - 2a = u) and 0.7; standard errors about 0.005
    np.testing.assert_allclose(beta(flow, "y"), -2.0, atol=0.03)
    np.testing.assert_allclose(beta(flow, "g"), 0.7, atol=0.03)


@pytest.mark.slow
def test_blocks_of_many_rows_equal_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 200_000
    rng = np.random.default_rng(7)
    a = rng.normal(size=n)
    y = np.exp(0.5 * a + 0.5 * rng.logistic(size=n))
    g = (rng.logistic(size=n)[:, None] > np.array([-1.0, 1.0]) - 0.7 * a[:, None]).sum(1)
    df = pd.DataFrame({"a": a, "y": y, "g": g})
    nodes = {
        "a": ContinuousNode(transform="affine"),
        "y": ContinuousNode({"a": "ls"}),
        "g": OrdinalNode(3, {"a": "ls"}),
    }
    assert n > gram.BLOCK_ROWS
    blocks = CausalFlowDAG(nodes, seed=1).fit(df)
    monkeypatch.setattr(gram, "BLOCK_ROWS", n)
    monkeypatch.setattr(convex, "_ENCODED_ROWS", n)
    whole = CausalFlowDAG(nodes, seed=1).fit(df)
    for node in ("y", "g"):
        np.testing.assert_allclose(beta(blocks, node), beta(whole, node), rtol=0, atol=1e-10)
    np.testing.assert_allclose(blocks.report.nll, whole.report.nll, rtol=0, atol=1e-12)
