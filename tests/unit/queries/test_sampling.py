from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.special
import torch

from tramdag import CausalFlowDAG, ContinuousNode, OrdinalNode
from tramdag.queries import sampling

ORDINAL = ["m", "y"]
CONTINUOUS = ["w", "x", "c", "z"]
ALL = ["w", "x", "m", "c", "y", "z"]


def test_do_cuts_the_incoming_edges(chain: CausalFlowDAG) -> None:
    natural, forced = chain.sample(400, seed=1), chain.sample(400, do={"c": 1.5}, seed=1)
    assert (forced["c"] == 1.5).all()
    # causes of c keep their draws, its effects move
    pd.testing.assert_frame_equal(natural[["w", "x", "m"]], forced[["w", "x", "m"]])
    assert not natural["z"].equals(forced["z"])


def test_under_do_the_effects_no_longer_depend_on_the_cut_causes(
    chain: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    u = chain.abduct(rows, seed=0)
    do = {"m": 1, "c": 0.25}
    before, after = (chain.sample(u=latents, do=do) for latents in (u, u.assign(x=u["x"] + 1.0)))
    assert not before["x"].equals(after["x"])
    pd.testing.assert_frame_equal(before[["y", "z"]], after[["y", "z"]])


def test_do_on_as_many_nodes_as_rows_sets_columns_not_rows(chain: CausalFlowDAG) -> None:
    drawn = chain.sample(2, do={"x": -1.0, "c": 2.0})
    assert drawn["x"].tolist() == [-1.0, -1.0]
    assert drawn["c"].tolist() == [2.0, 2.0]


def test_do_takes_one_value_per_row(chain: CausalFlowDAG) -> None:
    values = np.linspace(-1, 1, 5)
    assert chain.sample(5, do={"x": values})["x"].tolist() == values.tolist()


def test_a_callable_do_acts_on_the_natural_values(chain: CausalFlowDAG) -> None:
    natural = chain.sample(300, seed=1)
    shifted = chain.sample(300, do={"x": lambda x: x + 0.5}, seed=1)
    np.testing.assert_allclose(shifted["x"], natural["x"] + 0.5)
    by_value = chain.sample(300, do={"x": natural["x"] + 0.5}, seed=1)
    pd.testing.assert_frame_equal(by_value, shifted)


def test_a_longer_sample_begins_with_the_shorter_one(chain: CausalFlowDAG) -> None:
    long, short = chain.sample(500, seed=4), chain.sample(13, seed=4)
    # the latents are the same bits; a matrix product of another size may round otherwise
    pd.testing.assert_frame_equal(long.iloc[:13], short, rtol=1e-13, atol=0)
    levels = list(short.select_dtypes("integer"))
    pd.testing.assert_frame_equal(long[levels].iloc[:13], short[levels], check_exact=True)


def test_a_further_node_leaves_the_others_draws_unchanged(
    chain: CausalFlowDAG, longer_chain: CausalFlowDAG
) -> None:
    assert set(longer_chain.order) == {*ALL, "new", "late"}
    drawn = longer_chain.sample(100, seed=4)[ALL]
    pd.testing.assert_frame_equal(drawn, chain.sample(100, seed=4), check_exact=True)


def test_arms_of_one_seed_share_their_latents(chain: CausalFlowDAG) -> None:
    low, high = (chain.sample(200, do={"x": x}, seed=4) for x in (-2.0, 2.0))
    assert low["w"].equals(high["w"])
    u_low, u_high = (chain.abduct(arm, seed=1) for arm in (low, high))
    np.testing.assert_allclose(u_low["c"], u_high["c"], atol=1e-9)


def test_other_seeds_give_other_draws(chain: CausalFlowDAG) -> None:
    assert not chain.sample(5, seed=1).equals(chain.sample(5, seed=2))
    assert not chain.sample(5).equals(chain.sample(5))


def test_draws_follow_the_laws_they_come_from(chain: CausalFlowDAG) -> None:
    n = 20_000
    u = chain.abduct(chain.sample(n, seed=1), seed=2)
    for name in ALL:
        # the probability integral transform of a right draw is uniform, whatever the law
        p = np.sort(scipy.special.expit(u[name]))
        distance = np.abs(p - (np.arange(n) + 0.5) / n).max()
        # Kolmogorov-Smirnov: exceeded with probability 4e-7
        assert distance < 2.8 / np.sqrt(n), name


def test_abducted_latents_reproduce_the_rows(chain: CausalFlowDAG, rows: pd.DataFrame) -> None:
    back = chain.sample(u=chain.abduct(rows, seed=3), seed=9)
    pd.testing.assert_frame_equal(back[ORDINAL], rows[ORDINAL])
    np.testing.assert_allclose(back[CONTINUOUS], rows[CONTINUOUS], rtol=1e-8, atol=1e-9)


def test_a_callable_do_on_abducted_latents_acts_on_the_factual_values(
    chain: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    u = chain.abduct(rows, seed=3)
    cf = chain.sample(u=u, do={"x": lambda x: x + 1.0}, seed=9)
    np.testing.assert_allclose(cf["x"], rows["x"] + 1.0, rtol=1e-9, atol=1e-9)
    by_value = chain.sample(u=u, do={"x": rows["x"] + 1.0})
    pd.testing.assert_frame_equal(cf, by_value, rtol=1e-9, atol=1e-9)


def test_counterfactual_of_the_factual_value_is_the_fact(
    chain: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    cf = chain.sample(u=chain.abduct(rows, seed=3), do={"x": rows["x"], "m": rows["m"]})
    pd.testing.assert_frame_equal(cf, rows, rtol=1e-8, atol=1e-9)


def test_only_ordinal_latents_depend_on_the_abduction_seed(
    chain: CausalFlowDAG, rows: pd.DataFrame
) -> None:
    first, second = chain.abduct(rows, seed=1), chain.abduct(rows, seed=2)
    assert {name for name in ALL if not first[name].equals(second[name])} == set(ORDINAL)


@pytest.mark.parametrize("node", ALL)
def test_log_prob_has_a_zero_jacobian_where_the_graph_has_no_edge(
    chain: CausalFlowDAG, rows: pd.DataFrame, node: str
) -> None:
    values = {name: torch.from_numpy(rows[name].to_numpy(copy=True)) for name in ALL}
    for name in CONTINUOUS:
        values[name].requires_grad_()
    total = chain.conditionals[node].log_prob(values).sum()
    inputs = [values[name] for name in CONTINUOUS]
    gradients = torch.autograd.grad(total, inputs, allow_unused=True)
    family = {node, *chain.spec[node].parents}
    for name, gradient in zip(CONTINUOUS, gradients, strict=True):
        touched = gradient is not None and bool((gradient != 0).any())
        assert touched == (name in family), name


@pytest.mark.parametrize("changed", ALL)
def test_log_prob_of_a_node_ignores_the_values_of_non_parents(
    chain: CausalFlowDAG, rows: pd.DataFrame, changed: str
) -> None:
    other = rows.assign(**{changed: np.roll(rows[changed], 1)})
    before, after = chain.node_log_prob(rows), chain.node_log_prob(other)
    moved = {name for name in ALL if not before[name].equals(after[name])}
    assert moved == {changed} | {n for n, node in chain.spec.items() if changed in node.parents}


def test_block_boundaries_change_nothing(
    chain: CausalFlowDAG, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything() -> list[pd.DataFrame]:
        some = rows.iloc[:40]
        return [chain.sample(40, seed=4), chain.abduct(some, seed=4), chain.node_log_prob(some)]

    whole = everything()
    monkeypatch.setattr(sampling, "_BLOCK_ROWS", 7)
    for before, after in zip(whole, everything(), strict=True):
        # matrix products of other sizes round differently in the last place
        pd.testing.assert_frame_equal(before, after, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["latent", "uniform", "at 0"])
def test_a_node_may_have_any_name(name: str) -> None:
    # columns that a query carries beside the rows must not collide with the user's
    rng = np.random.default_rng(0)
    df = pd.DataFrame({name: rng.normal(size=60), "t": np.arange(60) % 2, "y": rng.normal(size=60)})
    nodes = {
        name: ContinuousNode(transform="affine"),
        "t": OrdinalNode(2, {name: "ls"}),
        "y": ContinuousNode({name: "ls", "t": "ls"}, transform="affine"),
    }
    flow = CausalFlowDAG(nodes, seed=1).fit(df)
    u = flow.abduct(df)
    pd.testing.assert_frame_equal(flow.sample(u=u), df, rtol=1e-8, atol=1e-9)
    p = flow.cdf(df, "y", at=df["y"].iloc[0]).iloc[0, 0]
    assert p == pytest.approx(scipy.special.expit(u["y"].iloc[0]), rel=1e-9)
