from __future__ import annotations

import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tramdag import CI, CS, LS, CausalFlowDAG, ContinuousNode, OrdinalNode, SpecError
from tramdag.fitting import rows as rows_module
from tramdag.fitting.settings import SCHEDULES
from tramdag.spec import Node

N, EPOCHS, BATCH, RATE = 240, 30, 60, 1e-2


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """y depends on x through a sine, g on both; 240 rows."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-2, 2, N)
    y = 2 * np.sin(2 * x) + 0.5 * rng.logistic(size=N)
    g = (rng.logistic(size=N)[:, None] > np.array([-1.0, 1.0]) - x[:, None]).sum(1)
    return pd.DataFrame({"x": x, "y": y, "g": g})


NETWORK: dict[str, Node] = {
    "x": ContinuousNode(transform="affine"),
    "y": ContinuousNode(terms=[CS("x", hidden=(8,))], n_coefs=6),
}


def fit(df: pd.DataFrame, spec: dict[str, Node] | None = None, **options: Any) -> CausalFlowDAG:
    settings = {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": RATE} | options
    return CausalFlowDAG(spec or NETWORK, seed=3).fit(df, **settings)


def history_of(flow: CausalFlowDAG, node: str = "y") -> pd.DataFrame:
    return flow.history[flow.history["node"] == node].reset_index(drop=True)


def parameters(flow: CausalFlowDAG, node: str = "y") -> list[torch.Tensor]:
    return [value.clone() for value in flow.conditionals[node].state_dict().values()]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(p, q) for p, q in zip(left, right, strict=True))


# schedules


def test_constant_schedule_keeps_the_rate(table: pd.DataFrame) -> None:
    history = history_of(fit(table, schedule=None))
    assert len(history) == EPOCHS
    assert (history["learning_rate"] == RATE).all()


def test_cosine_schedule_falls_from_the_rate_to_zero(table: pd.DataFrame) -> None:
    rate = history_of(fit(table, schedule="cosine"))["learning_rate"].to_numpy()
    # the rate of an epoch's last step, of 4 steps per epoch (216 rows in batches of 60)
    steps = 4 * np.arange(1, EPOCHS + 1) - 1
    expected = 0.5 * RATE * (1 + np.cos(np.pi * steps / (4 * EPOCHS)))
    np.testing.assert_allclose(rate, expected, rtol=1e-12)


def test_onecycle_schedule_rises_to_the_rate_and_falls_to_zero(table: pd.DataFrame) -> None:
    rate = history_of(fit(table, schedule="onecycle"))["learning_rate"].to_numpy()
    peak = int(rate.argmax())
    assert 0 < peak < EPOCHS / 2
    assert rate.max() == pytest.approx(RATE, rel=0.02)
    assert (np.diff(rate[: peak + 1]) > 0).all()
    assert (np.diff(rate[peak:]) < 0).all()
    assert rate[0] < 0.2 * RATE
    assert rate[-1] < 0.01 * RATE


def test_plateau_schedule_halves_after_the_stated_patience(table: pd.DataFrame) -> None:
    # no gain counts, so epoch 1 is the last improvement
    flow = fit(table, schedule="plateau", plateau_patience=2, min_delta=1e9)
    rate = history_of(flow)["learning_rate"].to_numpy()
    ratios = np.unique(rate[1:] / rate[:-1])
    assert set(ratios) == {0.5, 1.0}
    runs = np.diff(np.flatnonzero(np.diff(rate)))
    # three epochs without improvement exceed a patience of two
    assert set(runs.tolist()) == {3}


def test_plateau_schedule_ends_at_a_thousandth(table: pd.DataFrame) -> None:
    flow = fit(table, schedule="plateau", plateau_patience=1, min_delta=1e9, epochs=200)
    history = history_of(flow)
    assert len(history) < 40
    assert history["learning_rate"].iloc[-1] < 2.1e-3 * RATE
    assert flow.report.node_reports[-1].converged


def test_plateau_keeps_the_rate_while_the_fit_improves(table: pd.DataFrame) -> None:
    history = history_of(fit(table, schedule="plateau", learning_rate=1e-4, min_delta=0.0))
    improving = history["validation"].diff().iloc[1:] < 0
    assert improving.all()
    assert (history["learning_rate"] == 1e-4).all()


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_learns_the_sine(schedule: str | None, table: pd.DataFrame) -> None:
    wide = {**NETWORK, "y": ContinuousNode(terms=[CS("x", hidden=(16, 16))], n_coefs=6)}
    flow = fit(table, wide, schedule=schedule, epochs=40, learning_rate=3e-2)
    linear = CausalFlowDAG({**NETWORK, "y": ContinuousNode({"x": "ls"}, n_coefs=6)}).fit(table)
    gain = flow.node_log_prob(table)["y"].mean() - linear.node_log_prob(table)["y"].mean()
    assert gain > 0.3
    assert history_of(flow)["train"].iloc[-1] < history_of(flow)["train"].iloc[0]


# freezing and best weights


def test_freezing_ends_a_node_after_the_stated_patience(table: pd.DataFrame) -> None:
    flow = fit(table, schedule=None, freeze_patience=5, min_delta=1e9)
    assert len(history_of(flow)) == 1 + 5
    assert flow.report.node_reports[-1].converged


def test_every_node_freezes_on_its_own(table: pd.DataFrame) -> None:
    spec = {**NETWORK, "g": OrdinalNode(3, terms=[CI("x", hidden=(4,))])}
    flow = fit(table, spec, schedule=None, freeze_patience=3, epochs=100)
    lengths = flow.history.groupby("node")["epoch"].max()
    assert lengths["y"] != lengths["g"]
    assert lengths["x"] < 100


def test_no_patience_trains_to_the_last_epoch(table: pd.DataFrame) -> None:
    flow = fit(table, schedule=None, min_delta=1e9)
    assert len(history_of(flow)) == EPOCHS
    assert not flow.report.node_reports[-1].converged


def test_the_best_validation_weights_are_kept(table: pd.DataFrame) -> None:
    # a rate this high makes the validation value jump about
    train, held = table.iloc[:180], table.iloc[180:]
    flow = fit(train, val_df=held, schedule=None, learning_rate=0.3)
    values = history_of(flow)["validation"]
    assert values.to_numpy().argmin() < EPOCHS - 1
    assert -flow.node_log_prob(held)["y"].mean() == pytest.approx(values.min(), rel=1e-12)
    assert flow.report.node_reports[-1].validation_nll == pytest.approx(values.min(), rel=1e-12)


def test_the_last_weights_are_kept_on_request(table: pd.DataFrame) -> None:
    train, held = table.iloc[:180], table.iloc[180:]
    flow = fit(train, val_df=held, schedule=None, learning_rate=0.3, restore_best=False)
    values = history_of(flow)["validation"]
    assert values.to_numpy().argmin() < EPOCHS - 1
    assert -flow.node_log_prob(held)["y"].mean() == pytest.approx(values.iloc[-1], rel=1e-12)


# which rows


def test_a_tenth_of_the_rows_is_held_out_by_default(table: pd.DataFrame) -> None:
    flow = fit(table)
    assert flow.report.node_reports[-1].n == N - N // 10
    assert flow.report.node_reports[0].n == N  # solved exactly, on every row


def test_a_fraction_of_zero_lets_the_training_rows_stand_in(table: pd.DataFrame) -> None:
    flow = fit(table, validation_fraction=0.0, restore_best=False)
    assert flow.report.node_reports[-1].n == N
    expected = -flow.node_log_prob(table)["y"].mean()
    assert history_of(flow)["validation"].iloc[-1] == pytest.approx(expected, rel=1e-12)


def test_validation_rows_given_leave_all_training_rows_for_training(table: pd.DataFrame) -> None:
    assert fit(table, val_df=table.iloc[:30]).report.node_reports[-1].n == N


def test_scalings_come_from_the_training_rows_alone(table: pd.DataFrame) -> None:
    held = table.assign(x=1000 * table["x"], y=1000 * table["y"])
    plain, odd = fit(table, val_df=table, epochs=1), fit(table, val_df=held, epochs=1)
    buffers = [dict(flow.conditionals["y"].named_buffers()) for flow in (plain, odd)]
    assert all(torch.equal(buffers[0][name], buffers[1][name]) for name in buffers[0])


@pytest.mark.parametrize("batch_size", [1, 7, 60, 10_000])
def test_any_batch_size_passes_over_every_row(batch_size: int, table: pd.DataFrame) -> None:
    some = table.iloc[:40]
    flow = fit(some, batch_size=batch_size, epochs=2, learning_rate=1e-12, validation_fraction=0)
    # at a vanishing rate the epoch's mean over batches is the mean over rows
    expected = -flow.node_log_prob(some)["y"].mean()
    assert history_of(flow)["train"].iloc[-1] == pytest.approx(expected, abs=1e-6)


def test_evaluation_blocks_change_nothing(
    table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(table, epochs=3)
    monkeypatch.setattr(rows_module, "_EVALUATION_NUMBERS", 100)
    parts = fit(table, epochs=3)
    np.testing.assert_allclose(
        history_of(parts)["validation"], history_of(whole)["validation"], rtol=1e-11
    )


# randomness


def test_the_same_seed_gives_the_same_bits(table: pd.DataFrame) -> None:
    first, second = (fit(table, epochs=5) for _ in range(2))
    assert same(parameters(first), parameters(second))
    columns = ["node", "epoch", "train", "validation", "learning_rate"]
    pd.testing.assert_frame_equal(first.history[columns], second.history[columns], check_exact=True)


def test_another_seed_gives_another_fit(table: pd.DataFrame) -> None:
    first, second = (CausalFlowDAG(NETWORK, seed=s).fit(table, epochs=2) for s in (1, 2))
    assert not same(parameters(first), parameters(second))
    third, fourth = (fit(table, epochs=2, seed=s) for s in (1, 2))
    assert not same(parameters(third), parameters(fourth))


def test_the_seed_of_a_fit_is_enough_to_repeat_it(table: pd.DataFrame) -> None:
    # flows without a seed of their own differ in nothing that a seeded fit uses
    first, second = (CausalFlowDAG(NETWORK).fit(table, epochs=2, seed=7) for _ in range(2))
    assert same(parameters(first), parameters(second))


def test_fitting_leaves_global_random_states_alone(table: pd.DataFrame) -> None:
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
    fit(table, epochs=2)
    CausalFlowDAG(NETWORK).fit(table, epochs=1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state()) == before[1]  # noqa: NPY002
    assert random.getstate() == before[2]


def test_global_seeds_do_not_matter(table: pd.DataFrame) -> None:
    torch.manual_seed(1)
    first = fit(table, epochs=2)
    torch.manual_seed(2)
    assert same(parameters(first), parameters(fit(table, epochs=2)))


def test_a_further_node_leaves_the_others_fit_unchanged(table: pd.DataFrame) -> None:
    larger = {"g": OrdinalNode(3, terms=[CI("x", hidden=(4,))]), **NETWORK}
    assert same(parameters(fit(table, epochs=3)), parameters(fit(table, larger, epochs=3)))


# starting again and going on


def test_fitting_again_starts_afresh(table: pd.DataFrame) -> None:
    once = fit(table, epochs=4)
    twice = fit(table.iloc[:100], epochs=9).fit(
        table, epochs=4, batch_size=BATCH, learning_rate=RATE
    )
    assert same(parameters(once), parameters(twice))


def test_warm_start_goes_on_from_the_present_weights_and_scalings(table: pd.DataFrame) -> None:
    flow = fit(table, epochs=20)
    before = flow.node_log_prob(table)["y"]
    scalings = [b.clone() for b in flow.conditionals["y"].buffers()]
    flow.fit(table.iloc[:120], epochs=1, learning_rate=1e-9, warm_start=True)
    np.testing.assert_allclose(flow.node_log_prob(table)["y"], before, atol=1e-5)
    assert same(scalings, list(flow.conditionals["y"].buffers()))


def test_warm_start_improves_on_a_short_fit(table: pd.DataFrame) -> None:
    flow = fit(table, epochs=3, validation_fraction=0)
    before = flow.nll(table)
    flow.fit(table, epochs=40, warm_start=True, batch_size=BATCH, validation_fraction=0)
    assert flow.nll(table) < before - 0.01


def test_warm_start_needs_an_earlier_fit(table: pd.DataFrame) -> None:
    with pytest.raises(RuntimeError, match="warm_start"):
        CausalFlowDAG(NETWORK).fit(table, warm_start=True)


# Adam against the exact optimum


def test_adam_on_classical_nodes_approaches_the_exact_optimum_from_above(
    table: pd.DataFrame,
) -> None:
    spec = {
        "x": ContinuousNode(n_coefs=6),
        "y": ContinuousNode({"x": "ls"}, n_coefs=6),
        "g": OrdinalNode(3, {"x": "ls", "y": "ls"}),
    }
    exact = CausalFlowDAG(spec, seed=1).fit(table).nll(table)
    options: dict[str, Any] = {"optimizer": "adam", "validation_fraction": 0.0, "batch_size": N}
    gaps = []
    for epochs in (5, 300):
        flow = CausalFlowDAG(spec, seed=1).fit(table, epochs=epochs, learning_rate=0.05, **options)
        assert {entry.solver for entry in flow.report.node_reports} == {"adam"}
        gaps.append(flow.nll(table) - exact)
    # increments at their bound of zero are approached slowly, through the softplus
    assert 0 <= gaps[1] < 1e-2
    assert gaps[1] < gaps[0]


def test_a_network_node_starts_at_the_exact_fit_without_networks(table: pd.DataFrame) -> None:
    marginal = CausalFlowDAG({"y": ContinuousNode(n_coefs=6)}, seed=1).fit(table)
    first = history_of(fit(table, epochs=1, learning_rate=1e-12, validation_fraction=0))
    # increments at zero are lifted a little so that gradients can move them
    assert first["validation"].iloc[0] == pytest.approx(marginal.nll(table), abs=0.02)


# what is left behind


def test_history_is_tidy(table: pd.DataFrame) -> None:
    flow = fit(table, epochs=4)
    history, seconds = flow.history, history_of(flow)["seconds"]
    assert list(history.columns) == [
        "node",
        "epoch",
        "train",
        "validation",
        "learning_rate",
        "seconds",
    ]
    assert history.loc[history["node"] == "y", "epoch"].tolist() == [1, 2, 3, 4]
    assert (history["node"] == "x").sum() == 1
    assert seconds.is_monotonic_increasing
    assert (seconds >= 0).all()


def test_trajectories_hold_the_coefficients_of_every_epoch(table: pd.DataFrame) -> None:
    spec = {**NETWORK, "g": OrdinalNode(3, terms=[CS("x", hidden=(4,)), LS("y")])}
    flow = fit(table, spec, epochs=6, restore_best=False)
    path = flow.report.trajectories.query("node == 'g'")
    assert path["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert path["parent"].unique().tolist() == ["y"]
    last = flow.coef().query("node == 'g'")["estimate"].item()
    assert path["estimate"].iloc[-1] == pytest.approx(last, rel=1e-12)


BAD_SETTINGS = [
    ({"epochs": 0}, ["epochs", "0"]),
    ({"epochs": 2.5}, ["epochs", "2.5"]),
    ({"batch_size": -1}, ["batch_size", "-1"]),
    ({"learning_rate": 0.0}, ["learning_rate", "0.0"]),
    ({"learning_rate": float("nan")}, ["learning_rate", "nan"]),
    ({"learning_rate": float("inf")}, ["learning_rate", "inf"]),
    ({"schedule": "linear"}, ["schedule", "'linear'", "'plateau'", "'onecycle'", "'cosine'"]),
    ({"plateau_patience": 0}, ["plateau_patience", "0"]),
    ({"freeze_patience": 0}, ["freeze_patience", "0"]),
    ({"min_delta": -1e-3}, ["min_delta", "-0.001"]),
    ({"optimizer": "newton"}, ["optimizer", "'newton'", "'exact'", "'quasi-newton'", "'adam'"]),
    ({"ridge": -1.0}, ["ridge", "-1.0"]),
    ({"ridge": 2.0, "learning_rate": 0.1}, ["ridge", "learning_rate"]),
    ({"ridge": 2.0, "optimizer": "adam"}, ["ridge", "optimizer='adam'"]),
    ({"schedule": None, "optimizer": "quasi-newton"}, ["schedule", "optimizer='quasi-newton'"]),
    ({"verbose": -1}, ["verbose", "-1"]),
    ({"verbose": 0.5}, ["verbose", "0.5"]),
    ({"validation_fraction": 1.0}, ["validation_fraction", "1.0"]),
    ({"validation_fraction": -0.1}, ["validation_fraction", "-0.1"]),
]


@pytest.mark.parametrize(("setting", "named"), BAD_SETTINGS, ids=lambda x: str(x)[:30])
def test_a_bad_setting_is_refused_before_any_weight_changes(
    setting: dict[str, Any], named: list[str], table: pd.DataFrame
) -> None:
    flow = fit(table, epochs=1)
    before = parameters(flow)
    with pytest.raises(SpecError) as error:
        flow.fit(table, **setting)
    assert [word for word in named if word not in str(error.value)] == []
    assert same(before, parameters(flow))


def test_settings_may_be_numpy_integers(table: pd.DataFrame) -> None:
    flow = fit(table, epochs=np.int64(2), batch_size=np.int64(50))
    assert len(history_of(flow)) == 2
