"""Laws of the population given evidence, against enumeration, quadrature and rejection."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from tramdag import (
    CausalFlowDAG,
    ContinuousNode,
    DataError,
    IntegrationWarning,
    OrdinalNode,
    SpecError,
)
from tramdag.queries import particles

# a -> b -> c <- d, a -> c -> e <- b: chains, a fork and a collider, all ordinal
PARENTS: dict[str, list[str]] = {
    "a": [],
    "d": [],
    "b": ["a"],
    "c": ["a", "b", "d"],
    "e": ["b", "c"],
}
LEVELS = {"a": 3, "d": 2, "b": 2, "c": 4, "e": 3}

World = dict[str, int]


@pytest.fixture(scope="module")
def ordinal_flow() -> CausalFlowDAG:
    rng = np.random.default_rng(3)
    n = 400
    rows: dict[str, np.ndarray] = {}
    for name, parents in PARENTS.items():
        eta = sum((0.9 * rows[p] for p in parents), rng.logistic(size=n))
        cuts = np.quantile(eta, np.arange(1, LEVELS[name]) / LEVELS[name])
        rows[name] = (eta[:, None] > cuts).sum(1)
    spec = {n: OrdinalNode(LEVELS[n], dict.fromkeys(PARENTS[n], "ls")) for n in PARENTS}
    return CausalFlowDAG(spec, seed=1).fit(pd.DataFrame(rows))


@pytest.fixture(scope="module")
def joint(ordinal_flow: CausalFlowDAG) -> Callable[..., list[tuple[World, float]]]:
    """All worlds under an intervention with their probabilities, from the published tables."""
    coef = ordinal_flow.coef().set_index(["node", "parent", "level"])["estimate"]
    cuts = {name: ordinal_flow.cutpoints(name) for name in PARENTS}

    def probability(name: str, world: World) -> float:
        shift = sum(coef[name, p, world[p]] for p in PARENTS[name] if world[p] > 0)
        cdf = np.r_[0.0, expit(cuts[name] - shift), 1.0]
        return float(cdf[world[name] + 1] - cdf[world[name]])

    def worlds(
        do: World | None = None, rule: Callable[[int], int] | None = None
    ) -> list[tuple[World, float]]:
        """``rule`` maps the natural value of b to the one that its effects see."""
        do = do or {}
        result = []
        for levels in itertools.product(*(range(LEVELS[n]) for n in PARENTS)):
            world = dict(zip(PARENTS, levels, strict=True))
            if any(world[n] != v for n, v in do.items()):
                continue
            p = 1.0
            seen = dict(world)
            for name in PARENTS:
                if name not in do:
                    p *= probability(name, {**seen, name: world[name]})
                if name == "b" and rule is not None:
                    seen["b"] = rule(world["b"])
            result.append((seen, p))
        return result

    return worlds


def conditioned(worlds: list[tuple[World, float]], node: str, evidence: World) -> np.ndarray:
    law = np.zeros(LEVELS[node])
    for world, p in worlds:
        if all(world[n] == v for n, v in evidence.items()):
            law[world[node]] += p
    return law / law.sum()


QUESTIONS: list[tuple[str, World, World]] = [
    ("e", {}, {}),
    ("e", {"b": 1}, {}),
    ("c", {"b": 0}, {}),
    ("e", {"b": 1}, {"a": 2}),
    ("e", {"b": 1}, {"a": 2, "d": 0}),
    ("c", {"b": 1}, {"d": 1}),
    ("e", {"c": 2}, {"a": 1}),  # a says something about b
    ("e", {"c": 2}, {"b": 1}),
    ("e", {"a": 0}, {"d": 1}),
    ("a", {}, {"e": 2}),  # against the arrows
    ("a", {}, {"c": 3, "d": 0}),  # explaining away
    ("d", {}, {"a": 1}),
    ("d", {}, {"a": 1, "e": 0}),
    ("b", {}, {"a": 0, "c": 1, "e": 2}),
    ("a", {"d": 1}, {"b": 1}),
    ("d", {"b": 1}, {}),
    ("c", {"a": 1, "b": 0}, {"d": 0}),
]


@pytest.mark.parametrize(("node", "do", "evidence"), QUESTIONS)
def test_an_all_ordinal_population_is_enumerated_exactly(
    ordinal_flow: CausalFlowDAG, joint: Any, node: str, do: World, evidence: World
) -> None:
    table = ordinal_flow.pmf(None, node, do=do, evidence=evidence)
    expected = conditioned(joint(do), node, evidence)
    np.testing.assert_allclose(table.iloc[0], expected, rtol=1e-12, atol=1e-12)
    assert table.attrs["integration_error"] == 0.0
    assert table.attrs["effective_sample_size"] == np.inf


@given(
    node=st.sampled_from(sorted(LEVELS)),
    evidence=st.dictionaries(st.sampled_from(sorted(LEVELS)), st.integers(0, 1), max_size=3),
)
def test_any_evidence_without_do_is_bayes_rule(
    ordinal_flow: CausalFlowDAG, joint: Any, node: str, evidence: World
) -> None:
    evidence = {name: value for name, value in evidence.items() if name != node}
    table = ordinal_flow.pmf(None, node, evidence=evidence)
    expected = conditioned(joint(), node, evidence)
    np.testing.assert_allclose(table.iloc[0], expected, rtol=1e-11, atol=1e-12)


def test_a_callable_do_shifts_the_natural_value_of_the_population(
    ordinal_flow: CausalFlowDAG, joint: Any
) -> None:
    for node, evidence in (("e", {}), ("e", {"a": 2}), ("b", {"a": 2})):
        table = ordinal_flow.pmf(None, node, do={"b": lambda b: 1 - b}, evidence=evidence)
        expected = conditioned(joint(rule=lambda b: 1 - b), node, evidence)
        np.testing.assert_allclose(table.iloc[0], expected, rtol=1e-12)


def test_arrays_ask_several_questions_at_once(ordinal_flow: CausalFlowDAG) -> None:
    together = ordinal_flow.pmf(None, "e", do={"b": [0, 1, 1]}, evidence={"a": [2, 0, 1], "d": 1})
    alone = [
        ordinal_flow.pmf(None, "e", do={"b": b}, evidence={"a": a, "d": 1})
        for b, a in ((0, 2), (1, 0), (1, 1))
    ]
    pd.testing.assert_frame_equal(together, pd.concat(alone, ignore_index=True), rtol=1e-12)


def test_evidence_that_is_closed_upwards_equals_given_rows(chain: CausalFlowDAG) -> None:
    for do, evidence in (({"x": 0.7}, {"w": 0.3}), ({}, {"w": 0.3, "m": 2, "c": -0.4})):
        row = pd.DataFrame({k: [v] for k, v in evidence.items()})
        by_row = chain.pmf(row, "y", do=do)
        by_evidence = chain.pmf(None, "y", do=do, evidence=evidence)
        np.testing.assert_allclose(by_evidence, by_row, rtol=1e-12)


@pytest.mark.parametrize("do", [{}, {"x": 1.0}, {"m": 1}, {"x": -1.0, "c": 0.5}], ids=str)
def test_without_evidence_the_law_is_that_of_sampled_rows(
    chain: CausalFlowDAG, do: dict[str, Any]
) -> None:
    n = 40_000
    sampled = chain.sample(n, do=do, seed=2)
    table = chain.pmf(None, "y", do=do, evidence={}, n_points=1024)
    p = table.iloc[0].to_numpy()
    error = np.sqrt(p * (1 - p) / n) + table.attrs["integration_error"]
    assert (np.abs(np.bincount(sampled["y"], minlength=4) / n - p) <= 5 * error).all()
    if "c" not in do:
        below = chain.cdf(None, "c", do=do, at=[-1.0, 0.5], n_points=1024)
        shares = [(sampled["c"] <= t).mean() for t in (-1.0, 0.5)]
        error = 0.5 / np.sqrt(n) + below.attrs["integration_error"]
        assert np.abs(below.iloc[0] - shares).max() <= 5 * error


@pytest.mark.parametrize("do", [{}, {"c": 0.5}], ids=str)
def test_evidence_on_an_effect_of_hidden_causes_equals_rejection(
    chain: CausalFlowDAG, do: dict[str, Any]
) -> None:
    # m = 2 tells of x, and x of w, which acts on y
    sampled = chain.sample(100_000, do=do, seed=3).query("m == 2")
    table = chain.pmf(None, "y", do=do, evidence={"m": 2}, n_points=1024)
    p = table.iloc[0].to_numpy()
    error = np.sqrt(p * (1 - p) / len(sampled)) + table.attrs["integration_error"]
    assert (np.abs(np.bincount(sampled["y"], minlength=4) / len(sampled) - p) <= 5 * error).all()
    assert 32 < table.attrs["effective_sample_size"] < 1024


@pytest.mark.parametrize("node", ["w", "x", "c"])
def test_evidence_on_an_effect_of_the_node_itself_equals_rejection(
    chain: CausalFlowDAG, node: str
) -> None:
    sampled = chain.sample(100_000, seed=4).query("y == 2")[node]
    below = chain.cdf(None, node, at=[-1.0, 0.0, 1.0], evidence={"y": 2}, n_points=2048)
    shares = [(sampled <= t).mean() for t in (-1.0, 0.0, 1.0)]
    error = 0.5 / np.sqrt(len(sampled)) + below.attrs["integration_error"]
    assert np.abs(below.iloc[0] - shares).max() <= 5 * error
    q = chain.quantile(None, node, q=[0.25, 0.5, 0.75], evidence={"y": 2}, n_points=2048)
    below = chain.cdf(None, node, at=q.iloc[0].tolist(), evidence={"y": 2}, n_points=2048)
    np.testing.assert_allclose(below.iloc[0], [0.25, 0.5, 0.75], atol=2e-3)
    grid = np.linspace(-1, 1, 21)
    density = chain.density(None, node, at=grid.tolist(), evidence={"y": 2}, n_points=1024)
    between = scipy.integrate.simpson(density.iloc[0], x=grid)
    error = 2 * density.attrs["integration_error"] + 1.5 * error
    assert between == pytest.approx(shares[2] - shares[0], abs=5 * error)


@pytest.fixture(scope="module")
def affine_flow() -> CausalFlowDAG:
    """Hidden x1 -> x2 (observed) and x1, x2 -> x3, all affine with logistic latents."""
    rng = np.random.default_rng(8)
    n = 500
    x1 = rng.logistic(size=n)
    x2 = 0.8 * x1 + rng.logistic(size=n)
    x3 = 0.5 * x1 - 0.7 * x2 + rng.logistic(size=n)
    spec = {
        "x1": ContinuousNode(transform="affine"),
        "x2": ContinuousNode({"x1": "ls"}, transform="affine"),
        "x3": ContinuousNode({"x1": "ls", "x2": "ls"}, transform="affine"),
    }
    return CausalFlowDAG(spec, seed=1).fit(pd.DataFrame({"x1": x1, "x2": x2, "x3": x3}))


@pytest.mark.parametrize("evidence", [{"x2": 1.5}, {"x2": -4.0}, {}], ids=str)
def test_a_posterior_of_a_continuous_cause_equals_quadrature(
    affine_flow: CausalFlowDAG, evidence: dict[str, float]
) -> None:
    at_zero = pd.DataFrame({"x1": [0.0], "x2": [0.0], "x3": [0.0]})
    beta = affine_flow.coef().set_index(["node", "parent"])["estimate"]
    lines = {}
    for name in at_zero:
        # u = offset + slope x + the shift in raw units
        slope = np.exp(affine_flow.transformation(at_zero, name)["log_derivative"].iloc[0])
        lines[name] = (affine_flow.abduct(at_zero, seed=0)[name].iloc[0], slope)

    def density(name: str, x: Any, shift: Any) -> Any:
        offset, slope = lines[name]
        z = offset + slope * x + shift
        return slope * expit(z) * expit(-z)

    x1 = np.linspace(-40, 40, 20_001)
    weight = density("x1", x1, 0.0)
    x2 = evidence.get("x2", 0.7)
    if evidence:
        weight = weight * density("x2", x2, beta["x2", "x1"] * x1)
    do = {} if evidence else {"x2": x2}
    weight = weight / weight.sum()
    thresholds = [-2.0, 0.0, 2.0]
    offset, slope = lines["x3"]
    shift = beta["x3", "x1"] * x1 + beta["x3", "x2"] * x2
    cdf = [weight @ expit(offset + slope * t + shift) for t in thresholds]
    below = affine_flow.cdf(None, "x3", do=do, evidence=evidence, at=thresholds, n_points=4096)
    tolerance = 5 * below.attrs["integration_error"] + 1e-7
    assert tolerance < 0.02
    np.testing.assert_allclose(below.iloc[0], cdf, atol=tolerance)
    pdf = [weight @ density("x3", t, shift) for t in thresholds]
    got = affine_flow.density(None, "x3", do=do, evidence=evidence, at=thresholds, n_points=4096)
    np.testing.assert_allclose(got.iloc[0], pdf, atol=5 * got.attrs["integration_error"] + 1e-7)
    if evidence:
        # the posterior itself is a density of evidence over its total, here without a drawn point
        posterior = affine_flow.density(None, "x1", evidence=evidence, at=thresholds, n_points=4096)
        expected = np.interp(thresholds, x1, weight / (x1[1] - x1[0]))
        np.testing.assert_allclose(
            posterior.iloc[0], expected, atol=5 * posterior.attrs["integration_error"] + 1e-6
        )


def test_evidence_far_from_its_causes_warns_of_few_points(affine_flow: CausalFlowDAG) -> None:
    with pytest.warns(IntegrationWarning, match="raise n_points"):
        affine_flow.cdf(None, "x3", at=0.0, evidence={"x2": 14.0}, do={}, n_points=32)


def test_ordinal_causes_beyond_the_limit_are_drawn_with_an_error(
    ordinal_flow: CausalFlowDAG, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = ordinal_flow.pmf(None, "e")
    # the 3 * 2 * 2 * 4 = 48 worlds of the causes fit, or are drawn
    monkeypatch.setattr(particles, "_MAX_PER_ROW", 48)
    pd.testing.assert_frame_equal(ordinal_flow.pmf(None, "e"), exact)
    monkeypatch.setattr(particles, "_MAX_PER_ROW", 47)
    drawn = ordinal_flow.pmf(None, "e")
    error = drawn.attrs["integration_error"]
    assert 0.0 < error < 0.01
    assert np.abs(drawn - exact).to_numpy().max() <= 5 * error


BAD_QUESTIONS = [
    (lambda f: f.pmf(None, "y", do={"x": 1.0}, evidence={"c": 0.0}), SpecError, ["'c'", "x"]),
    (lambda f: f.pmf(None, "y", do={"x": 1.0}, evidence={"x": 0.0}), SpecError, ["'x'", "do"]),
    (lambda f: f.pmf(None, "y", evidence={"y": 1}), SpecError, ["'y'"]),
    (lambda f: f.pmf(None, "y", evidence={"Y": 1}), SpecError, ["'Y'", "'y'"]),
    (lambda f: f.pmf(None, "y", evidence=[1]), SpecError, ["evidence=[1]"]),
    (lambda f: f.pmf(None, "y", evidence={"m": 3}), DataError, ["evidence", "'m'", "2"]),
    (lambda f: f.pmf(None, "y", evidence={"x": np.nan}), DataError, ["evidence", "NaN"]),
    (lambda f: f.pmf(None, "y", evidence={"x": [1.0, 2.0], "m": [1, 1, 1]}), DataError, ["'x'"]),
    (lambda f: f.pmf(None, "y", scope="controlled"), SpecError, ["'controlled'", "rows"]),
    (lambda f: f.cdf(None, "c"), SpecError, ["at="]),
    (lambda f: f.pmf(f.sample(2, seed=1), "y", evidence={}), SpecError, ["df=None"]),
]


@pytest.mark.parametrize(("ask", "kind", "named"), BAD_QUESTIONS)
def test_an_impossible_question_about_the_population_is_refused_by_name(
    chain: CausalFlowDAG, ask: Any, kind: type[Exception], named: list[str]
) -> None:
    with pytest.raises(kind) as error:
        ask(chain)
    assert [word for word in named if word not in str(error.value)] == []
