from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import torch

from tramdag import CausalFlowDAG, DataError, NotFittedError, SpecError
from tramdag.queries import laws, query

LEVELS = 4


def at(**values: float) -> pd.DataFrame:
    return pd.DataFrame({name: [value] for name, value in values.items()})


@torch.no_grad()
def conditional_pmf(chain: CausalFlowDAG, node: str, **parents: float) -> np.ndarray:
    """Levels' probabilities given parents, straight from the node's law."""
    ordinal = {name for name in parents if hasattr(chain.spec[name], "levels")}
    values = {
        name: torch.tensor([value], dtype=torch.int64 if name in ordinal else torch.float64)
        for name, value in parents.items()
    }
    return chain.conditionals[node].log_pmf(values, n=1).exp().numpy()[0]  # type: ignore[operator]


# the traps: do on a cause that is no parent


@pytest.mark.parametrize("x", [-1.5, 0.0, 2.0])
def test_pmf_under_do_on_a_distant_cause_equals_sampled_frequencies(
    chain: CausalFlowDAG, x: float
) -> None:
    # x is no parent of y: it acts through an ordinal and a continuous mediator
    n, w = 50_000, 0.3
    sampled = chain.sample(n, do={"x": x, "w": w}, seed=1)["y"]
    frequencies = np.bincount(sampled, minlength=LEVELS) / n
    table = chain.pmf(at(w=w), "y", do={"x": x}, n_points=4096)
    p = table.iloc[0].to_numpy()
    error = np.sqrt(p * (1 - p) / n) + table.attrs["integration_error"]
    assert (np.abs(frequencies - p) <= 5 * error).all()


def test_do_on_a_distant_cause_moves_the_pmf(chain: CausalFlowDAG) -> None:
    low, high = (chain.pmf(at(w=0.3), "y", do={"x": x}) for x in (-2.0, 2.0))
    assert (low - high).abs().to_numpy().max() > 0.2


def test_controlled_scope_holds_the_mediators_at_the_rows_values(
    chain: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    natural = chain.pmf(rows, "y")
    controlled = chain.pmf(rows, "y", do={"x": 3.0}, scope="controlled")
    pd.testing.assert_frame_equal(controlled, natural)


# exactness


def test_pmf_without_do_is_the_conditional_law(chain: CausalFlowDAG, rows: pd.DataFrame) -> None:
    table = chain.pmf(rows.iloc[:20], "y")
    for i in range(20):
        m, c, w = rows[["m", "c", "w"]].iloc[i]
        expected = conditional_pmf(chain, "y", m=m, c=c, w=w)
        np.testing.assert_allclose(table.iloc[i], expected, rtol=1e-12)
    assert table.attrs["integration_error"] == 0.0


def test_pmf_through_ordinal_mediators_alone_is_exact(chain: CausalFlowDAG) -> None:
    # with c held, the only path from x to y is m: a finite sum
    table = chain.pmf(at(w=0.1), "y", do={"x": 0.7, "c": -0.4})
    levels = conditional_pmf(chain, "m", x=0.7)
    expected = sum(
        levels[k] * conditional_pmf(chain, "y", m=k, c=-0.4, w=0.1) for k in range(len(levels))
    )
    np.testing.assert_allclose(table.iloc[0], expected, rtol=1e-12)
    assert table.attrs["integration_error"] == 0.0


@torch.no_grad()
def test_pmf_through_a_continuous_mediator_equals_quadrature(chain: CausalFlowDAG) -> None:
    # u = logit(v), v uniform: Gauss-Legendre in v, m held
    nodes, weights = np.polynomial.legendre.leggauss(300)
    v = 0.5 * (nodes + 1)
    u = pd.DataFrame(dict.fromkeys(["w", "x", "m", "y", "z"], np.zeros(300)))
    do = {"w": 0.1, "x": 0.7, "m": 1}
    c = chain.sample(u=u.assign(c=np.log(v / (1 - v))), do=do)["c"]
    by_point = [conditional_pmf(chain, "y", m=1, c=value, w=0.1) for value in c]
    expected = 0.5 * weights @ np.array(by_point)
    table = chain.pmf(at(w=0.1), "y", do={"x": 0.7, "m": 1}, n_points=4096)
    error = table.attrs["integration_error"]
    assert 0.0 < error < 1e-3
    assert np.abs(table.iloc[0] - expected).max() <= 5 * error + 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_the_reported_integration_error_is_honest(chain: CausalFlowDAG, seed: int) -> None:
    coarse = chain.pmf(at(w=0.3), "y", do={"x": 1.0}, n_points=64, seed=seed)
    fine = chain.pmf(at(w=0.3), "y", do={"x": 1.0}, n_points=2**13, seed=100)
    errors = [table.attrs["integration_error"] for table in (coarse, fine)]
    # eight scramblings: beyond 5 sd lies 2e-3 of a t distribution with 7 degrees of freedom
    assert (coarse - fine).abs().to_numpy().max() <= 5 * sum(errors)
    assert errors[1] < 0.2 * errors[0]


def test_pmf_probabilities_sum_to_one(chain: CausalFlowDAG, rows: pd.DataFrame) -> None:
    total = chain.pmf(rows.iloc[:50], "y", do={"x": 3.0}).sum(axis=1)
    np.testing.assert_allclose(total, 1.0, atol=1e-12)


def test_pmf_of_an_intervened_node_is_certain(chain: CausalFlowDAG, rows: pd.DataFrame) -> None:
    table = chain.pmf(rows.iloc[:1], "y", do={"y": 2})
    assert table.to_numpy().tolist() == [[0.0, 0.0, 1.0, 0.0]]


def test_do_on_an_effect_leaves_the_pmf_alone(chain: CausalFlowDAG, rows: pd.DataFrame) -> None:
    natural, table = chain.pmf(rows, "y"), chain.pmf(rows, "y", do={"z": 5.0})
    pd.testing.assert_frame_equal(table, natural, check_exact=True)


def test_a_second_intervention_shields_the_first(chain: CausalFlowDAG) -> None:
    low, high = (chain.pmf(at(w=0.0), "y", do={"x": x, "m": 2, "c": 0.5}) for x in (-3.0, 3.0))
    pd.testing.assert_frame_equal(low, high, check_exact=True)


def test_pmf_of_a_row_does_not_depend_on_the_other_rows(chain: CausalFlowDAG) -> None:
    rows = pd.DataFrame({"w": np.linspace(-1, 1, 7)}, index=list("abcdefg"))
    together = chain.pmf(rows, "y", do={"x": 0.2})
    alone = pd.concat([chain.pmf(rows.iloc[[i]], "y", do={"x": 0.2}) for i in range(7)])
    pd.testing.assert_frame_equal(together, alone, rtol=1e-12)


def test_a_do_per_row_equals_row_by_row_scalars(chain: CausalFlowDAG) -> None:
    rows, x = pd.DataFrame({"w": [0.0, 0.5, 1.0]}), [-1.0, 0.0, 1.0]
    together = chain.pmf(rows, "y", do={"x": x})
    alone = [chain.pmf(rows.iloc[[i]], "y", do={"x": x[i]}) for i in range(3)]
    pd.testing.assert_frame_equal(together, pd.concat(alone), rtol=1e-12)


def test_a_callable_do_reads_the_rows_own_column(chain: CausalFlowDAG, rows: pd.DataFrame) -> None:
    some = rows.iloc[:5]
    by_rule = chain.pmf(some, "y", do={"x": lambda x: x + 1.0})
    by_value = chain.pmf(some, "y", do={"x": some["x"] + 1.0})
    pd.testing.assert_frame_equal(by_rule, by_value, check_exact=True)


def test_columns_that_are_integrated_out_need_not_exist(chain: CausalFlowDAG) -> None:
    assert chain.pmf(at(w=0.0), "y", do={"x": 1.0}).shape == (1, LEVELS)
    with pytest.raises(DataError, match="'w'"):
        chain.pmf(at(c=0.0), "y", do={"x": 1.0})


def test_block_boundaries_change_nothing(
    chain: CausalFlowDAG, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pd.DataFrame({"w": np.linspace(-1, 1, 9)})

    def everything() -> list[pd.DataFrame]:
        do = {"x": 0.4}
        return [
            chain.pmf(rows, "y", do=do),
            chain.cdf(rows, "c", do=do, at=[-1.0, 0.5]),
            chain.density(rows, "c", do=do, at=0.2),
            chain.quantile(rows, "c", do=do, q=[0.1, 0.9]),
        ]

    whole = everything()
    monkeypatch.setattr(query, "_BLOCK_PARTICLES", 3000)
    for before, after in zip(whole, everything(), strict=True):
        pd.testing.assert_frame_equal(before, after, rtol=1e-11, atol=1e-11)
        assert after.attrs["integration_error"] == pytest.approx(
            before.attrs["integration_error"], rel=1e-9, abs=1e-15
        )


# other functionals of the same law

DOS: list[dict[str, Any]] = [{}, {"x": 0.8}, {"x": 0.8, "m": 1}]


@pytest.mark.parametrize("do", DOS, ids=str)
def test_cdf_of_a_continuous_node_equals_sampled_shares(
    chain: CausalFlowDAG, do: dict[str, Any]
) -> None:
    n, row = 20_000, at(w=0.3, x=-0.2, m=2)
    thresholds = [-2.0, 0.0, 1.0]
    table = chain.cdf(row, "c", do=do, at=thresholds, n_points=2048)
    held = {"w": 0.3} | ({"x": -0.2, "m": 2} if not do else {}) | do
    sampled = chain.sample(n, do=held, seed=1)["c"].to_numpy()
    p = table.iloc[0].to_numpy()
    error = np.sqrt(p * (1 - p) / n) + table.attrs["integration_error"]
    shares = [(sampled <= t).mean() for t in thresholds]
    assert (np.abs(shares - p) <= 5 * error).all()


@pytest.mark.parametrize("do", DOS, ids=str)
def test_density_integrates_to_the_cdf(chain: CausalFlowDAG, do: dict[str, Any]) -> None:
    row = at(w=0.3, x=-0.2, m=2)
    grid = np.linspace(-1.0, 1.0, 201).tolist()
    density = chain.density(row, "c", do=do, at=grid).iloc[0].to_numpy()
    ends = chain.cdf(row, "c", do=do, at=[-1.0, 1.0]).iloc[0].to_numpy()
    assert scipy.integrate.simpson(density, x=grid) == pytest.approx(ends[1] - ends[0], abs=1e-6)


@pytest.mark.parametrize("do", DOS, ids=str)
def test_quantile_inverts_the_cdf(chain: CausalFlowDAG, do: dict[str, Any]) -> None:
    row, q = at(w=0.3, x=-0.2, m=2), [0.001, 0.25, 0.5, 0.999]
    x = chain.quantile(row, "c", do=do, q=q).iloc[0].tolist()
    np.testing.assert_allclose(chain.cdf(row, "c", do=do, at=x).iloc[0], q, rtol=1e-9)


def test_cdf_of_an_ordinal_node_sums_its_pmf(chain: CausalFlowDAG, rows: pd.DataFrame) -> None:
    some = rows.iloc[:20]
    pmf = chain.pmf(some, "y", do={"x": 0.1})
    cdf = chain.cdf(some, "y", do={"x": 0.1}, at=[-1, 0, 1.5, 3, 9])
    expected = np.c_[np.zeros(20), pmf[0], pmf[0] + pmf[1], np.ones((20, 2))]
    np.testing.assert_allclose(cdf, expected, atol=1e-12)


def test_quantile_of_an_ordinal_node_is_the_lowest_level_that_reaches_it(
    chain: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    q = [0.05, 0.5, 0.95]
    cumulative = chain.pmf(rows, "y").cumsum(axis=1).to_numpy()
    expected = [(cumulative[:, :-1] < level).sum(axis=1) for level in q]
    np.testing.assert_array_equal(chain.quantile(rows, "y", q=q), np.transpose(expected))


def test_thresholds_may_be_a_column_of_another_table(chain: CausalFlowDAG) -> None:
    column = pd.DataFrame({"t": [-1.0, 0.0, 1.0]})["t"]
    by_column = chain.cdf(at(w=0.0, x=0.0, m=0), "c", at=column)  # type: ignore[arg-type]
    by_list = chain.cdf(at(w=0.0, x=0.0, m=0), "c", at=[-1.0, 0.0, 1.0])
    pd.testing.assert_frame_equal(by_column, by_list, check_exact=True)


BAD_QUESTIONS = [
    (lambda f, r: f.pmf(r, "Y"), SpecError, ["'Y'", "'y'"]),
    (lambda f, r: f.pmf(r, "c"), SpecError, ["'c'"]),
    (lambda f, r: f.pmf(r, "y", do={"X": 1.0}), SpecError, ["'X'", "'x'"]),
    (lambda f, r: f.pmf(r, "y", do={"m": 0.7}), DataError, ["'m'", "0.7", "2"]),
    (lambda f, r: f.pmf(r, "y", do={"x": [1.0, 2.0]}), DataError, ["'x'", "2"]),
    (lambda f, r: f.pmf(r, "y", do={"x": np.nan}), DataError, ["'x'", "NaN"]),
    (lambda f, r: f.pmf(r, "y", scope="totl"), SpecError, ["'totl'", "'total'", "'controlled'"]),
    (lambda f, r: f.pmf(r, "y", n_points=100), SpecError, ["100"]),
    (lambda f, r: f.pmf(r, "y", n_points=64.0), SpecError, ["64.0"]),
    (lambda f, r: f.pmf([0.0], "y"), DataError, ["DataFrame", "list"]),
    (lambda f, r: f.pmf(r.iloc[:0], "y"), DataError, ["no rows"]),
    (lambda f, r: f.pmf(r[["w", "m"]], "y"), DataError, ["'c'"]),
    (lambda f, r: f.density(r, "y"), SpecError, ["'y'"]),
    (lambda f, r: f.quantile(r, "c", q=1.0), SpecError, ["1.0"]),
    (lambda f, r: f.quantile(r, "c", q=np.nan), SpecError, ["nan"]),
    (lambda f, r: f.cdf(r, "c", at=np.inf), SpecError, ["inf"]),
]


@pytest.mark.parametrize(("ask", "kind", "named"), BAD_QUESTIONS)
def test_an_impossible_question_is_refused_by_name(
    chain: CausalFlowDAG, rows: pd.DataFrame, ask: Any, kind: type[Exception], named: list[str]
) -> None:
    with pytest.raises(kind) as error:
        ask(chain, rows.iloc[:3])
    assert [word for word in named if word not in str(error.value)] == []


def test_an_unfitted_flow_answers_no_question(chain: CausalFlowDAG, rows: pd.DataFrame) -> None:
    with pytest.raises(NotFittedError, match="fit"):
        CausalFlowDAG(chain.spec).pmf(rows, "y")


def test_frequencies_under_do_equal_the_pmf_of_a_fitted_flow(
    network_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    n, row = 20_000, fresh_cohort.iloc[[0]]
    table = network_flow.pmf(row, node="outcome", do={"age": 82.0}, n_points=2048)
    p = table.iloc[0].to_numpy()
    sampled = network_flow.sample(n, do={"age": 82.0}, seed=3)["outcome"]
    error = np.sqrt(p * (1 - p) / n) + table.attrs["integration_error"]
    assert (np.abs(np.bincount(sampled, minlength=4) / n - p) <= 5 * error).all()


@pytest.mark.parametrize("do", [{}, {"x": 1.0}], ids=["parents given", "mediators integrated"])
@pytest.mark.parametrize("verb", ["cdf", "density"])
def test_many_thresholds_give_what_each_gives_alone(
    chain: CausalFlowDAG,
    rows: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    do: dict[str, Any],
) -> None:
    grid = np.linspace(-3.0, 3.0, 7).tolist()
    some = rows.head(5)
    alone = [getattr(chain, verb)(some, "z", do=do, at=value) for value in grid]
    # blocks smaller than the number of particles, and of thresholds that do not divide the grid
    for block, width in ((laws._BLOCK_VALUES, 3), (64, 3), (1_000, 32)):
        monkeypatch.setattr(laws, "_BLOCK_VALUES", block)
        monkeypatch.setattr(laws, "_THRESHOLDS", width)
        table = getattr(chain, verb)(some, "z", do=do, at=grid)
        np.testing.assert_allclose(table, pd.concat(alone, axis=1), rtol=1e-12)
        assert table.attrs["integration_error"] == pytest.approx(
            max(each.attrs["integration_error"] for each in alone), rel=1e-6
        )


def test_a_fine_grid_of_thresholds_takes_few_evaluations(
    chain: CausalFlowDAG, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    law = chain.conditionals["w"]
    log_prob, calls = law.log_prob, []
    monkeypatch.setattr(law, "log_prob", lambda values: calls.append(1) or log_prob(values))
    grid = np.linspace(-2.0, 2.0, 2001)
    table = chain.density(rows.head(2), "w", at=grid)
    assert len(calls) <= 100
    share = scipy.integrate.trapezoid(table.iloc[0], grid)
    ends = chain.cdf(rows.head(1), "w", at=[-2.0, 2.0]).iloc[0]
    # half of the points show the size of the trapezoid rule's error
    coarse = scipy.integrate.trapezoid(table.iloc[0, ::2], grid[::2])
    assert share == pytest.approx(ends.iloc[1] - ends.iloc[0], abs=abs(share - coarse) + 1e-9)
