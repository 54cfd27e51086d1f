"""The default training of nodes with networks, held against SciPy's own L-BFGS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import torch

from tramdag import CI, CS, LS, VC, CausalFlowDAG, ContinuousNode, OrdinalNode, fit_replicates
from tramdag.fitting import rows
from tramdag.fitting.stack import Stack, flatten, restore
from tramdag.fitting.whitening import Whitening
from tramdag.node import Conditional
from tramdag.spec import Node

N = 240

NODES: dict[str, Node] = {
    "y": ContinuousNode(terms=[CS("x", hidden=(6,))], n_coefs=6),
    "z": ContinuousNode(terms=[CI("x", hidden=(6,)), LS("g")], n_coefs=6),
    "g": OrdinalNode(3, terms=[CI("x", hidden=(4,))]),
    "v": OrdinalNode(3, terms=[LS("x"), VC("g", by="x", hidden=(4,))]),
    "s": ContinuousNode(terms=[CI("x", hidden=(4,))], transform="spline", n_coefs=4),
}
SPEC: dict[str, Node] = {"x": ContinuousNode(transform="affine"), **NODES}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    x = rng.uniform(-2, 2, N)
    u = rng.logistic(size=(5, N))
    g = (u[2][:, None] > np.array([-1.0, 1.0]) - x[:, None]).sum(1)
    v = (u[3][:, None] > np.array([-1.0, 1.0]) - g[:, None] * np.sin(x)[:, None]).sum(1)
    columns = {"y": 2 * np.sin(2 * x) + u[0] / 2, "z": x + g + np.exp(x / 2) * u[1], "g": g, "v": v}
    return pd.DataFrame({"x": x, **columns, "s": x**2 + u[4]})


@pytest.fixture(scope="module")
def fitted(table: pd.DataFrame) -> CausalFlowDAG:
    return CausalFlowDAG(SPEC, seed=3).fit(table, epochs=1000, validation_fraction=0.0)


def objective(
    law: Conditional, values: Mapping[str, torch.Tensor], ridge: float
) -> tuple[Any, np.ndarray]:
    """Total penalised negative log-likelihood by autograd in double precision, and its start."""
    start, n = flatten(law).numpy(), len(values[law.name])
    hidden = [net.layers for net in law.modules() if hasattr(net, "layers")]
    precision = {id(p): 1.0 for layers in hidden for p in layers.parameters()}
    first = {
        id(p): layers[0].in_features ** 2 / 8 for layers in hidden for p in layers[0].parameters()
    }
    precision |= first | {id(layers[-1].weight): 0.25 for layers in hidden}

    def value_and_gradient(row: np.ndarray) -> tuple[float, np.ndarray]:
        restore(law, torch.from_numpy(row))
        prior = sum(precision.get(id(p), 0.0) * p.square().sum() for p in law.parameters())
        total = -law.log_prob(values).mean() + 0.5 * ridge / n * prior
        total.backward()
        gradient = torch.cat([p.grad.flatten() for p in law.parameters()])
        law.zero_grad()
        return total.item(), gradient.numpy()

    return value_and_gradient, start


@pytest.mark.parametrize("node", NODES)
def test_the_end_is_a_minimum_that_scipy_cannot_leave(
    node: str, table: pd.DataFrame, fitted: CausalFlowDAG
) -> None:
    values = {name: torch.tensor(table[name].to_numpy()) for name in table}
    f, end = objective(fitted.conditionals[node], values, ridge=10.0)
    reached, _ = f(end)
    better = scipy.optimize.minimize(f, end, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    f(end)  # the law as it was
    assert fitted.report.nodes.set_index("node").loc[node, "converged"]
    # what the fit leaves behind is less than a tenth of a nat in all rows together
    assert 0 <= reached - better.fun < 0.1 / N


def test_the_ridge_is_the_precision_of_the_weights(table: pd.DataFrame) -> None:
    sizes, nll = [], []
    for ridge in (0.1, 10.0, 100.0):
        flow = CausalFlowDAG({k: SPEC[k] for k in "xy"}, seed=3).fit(table, ridge=ridge)
        layers = flow.conditionals["y"].complex_shifts[0].layers
        sizes.append(sum(p.square().sum().item() for p in layers.parameters()))
        nll.append(flow.report.nodes.set_index("node").loc["y", "nll"])
    assert sizes == sorted(sizes, reverse=True)
    assert nll == sorted(nll)


def test_every_row_is_learnt_from_unless_some_are_held_out(table: pd.DataFrame) -> None:
    spec = {k: SPEC[k] for k in "xy"}
    by_default = CausalFlowDAG(spec, seed=3).fit(table, epochs=5).report.node_reports[-1]
    assert (by_default.solver, by_default.n, by_default.validation_nll) == ("quasi-newton", N, None)
    held_out = CausalFlowDAG(spec, seed=3).fit(table, epochs=5, validation_fraction=0.25)
    report = held_out.report.node_reports[-1]
    assert report.n == N - N // 4
    assert report.validation_nll is not None


@pytest.mark.parametrize(
    "setting", [{"learning_rate": 0.02}, {"batch_size": 64}, {"schedule": None}]
)
def test_a_setting_of_adam_asks_for_adam(setting: dict[str, Any], table: pd.DataFrame) -> None:
    flow = CausalFlowDAG({k: SPEC[k] for k in "xy"}, seed=3).fit(table, epochs=2, **setting)
    report = flow.report.node_reports[-1]
    assert (report.solver, report.n) == ("adam", N - N // 10)


def test_validation_rows_choose_the_best_epoch(table: pd.DataFrame) -> None:
    train, held = table.iloc[:80], table.iloc[80:]
    options: dict[str, Any] = {"epochs": 200, "ridge": 0.0}
    flow = CausalFlowDAG({k: SPEC[k] for k in "xy"}, seed=3).fit(train, held, **options)
    course = flow.history.query("node == 'y'")["validation"]
    reached = -flow.node_log_prob(held)["y"].mean()
    assert reached == pytest.approx(course.min(), rel=1e-12)
    assert course.iloc[-1] > course.min()  # without a prior it ends by fitting noise
    eased = CausalFlowDAG({k: SPEC[k] for k in "xy"}, seed=3).fit(train, held, ridge=1.0)
    course = eased.history.query("node == 'y'")["validation"]
    assert -eased.node_log_prob(held)["y"].mean() == pytest.approx(course.min(), rel=1e-12)
    patient = {"freeze_patience": 5, "min_delta": 0.0}
    short = CausalFlowDAG({k: SPEC[k] for k in "xy"}, seed=3).fit(train, held, **options, **patient)
    assert short.report.node_reports[-1].epochs < flow.report.node_reports[-1].epochs


def test_the_value_never_rises(fitted: CausalFlowDAG, table: pd.DataFrame) -> None:
    flow = CausalFlowDAG({k: SPEC[k] for k in "xy"}, seed=3).fit(table, ridge=0.0)
    train = flow.history.query("node == 'y'")["train"]
    assert train.diff().max() <= 1e-6
    assert train.iloc[-1] < train.iloc[0] - 0.3


def test_blocks_of_rows_change_nothing(
    table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def course() -> np.ndarray:
        flow = CausalFlowDAG({k: SPEC[k] for k in "xzg"}, seed=3)
        return flow.fit(table, epochs=10).history["train"].to_numpy()

    whole = course()
    monkeypatch.setattr(rows, "_BLOCK_NUMBERS", 500)
    monkeypatch.setattr(rows, "_KEPT_NUMBERS", 0)
    np.testing.assert_allclose(course(), whole, atol=2e-6)


def test_members_of_a_stack_are_fits_of_their_own(table: pd.DataFrame) -> None:
    spec = {k: SPEC[k] for k in "xy"}
    weights = np.random.default_rng(0).exponential(size=(3, N))
    ensemble = fit_replicates(spec, table, weights=weights, seed=5, epochs=10)
    for b, own in enumerate(weights):
        alone = CausalFlowDAG(spec, seed=5).fit(table, weights=own, epochs=10)
        gap = ensemble[b].node_log_prob(table)["y"] - alone.node_log_prob(table)["y"]
        # single-precision gradients in another order of summation
        assert gap.abs().max() < 1e-3


def test_rows_of_weight_zero_count_as_absent_beside_the_prior(table: pd.DataFrame) -> None:
    weights = (np.arange(N) < 120).astype(float)
    flow = CausalFlowDAG({k: SPEC[k] for k in "xy"}, seed=3).fit(table, weights=weights)
    counted = {name: torch.tensor(table[name].to_numpy()[:120]) for name in "xy"}
    f, end = objective(flow.conditionals["y"], counted, ridge=10.0)
    better = scipy.optimize.minimize(f, end, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    assert 0 <= f(end)[0] - better.fun < 0.1 / 120


def test_many_parents_without_an_effect_do_little_harm() -> None:
    rng = np.random.default_rng(5)
    names = [f"x{j}" for j in range(8)]
    rows = pd.DataFrame(rng.normal(size=(3000, 8)), columns=names).assign(y=rng.logistic(size=3000))
    train, fresh = rows.iloc[:1500], rows.iloc[1500:]
    parents: dict[str, Node] = {name: ContinuousNode(transform="affine") for name in names}
    spec = {**parents, "y": ContinuousNode(terms=[CI(*names)])}
    flow = CausalFlowDAG(spec, seed=1).fit(train)
    alone = CausalFlowDAG({"y": ContinuousNode()}, seed=1).fit(train)
    assert flow.node_log_prob(fresh)["y"].mean() > alone.log_prob(fresh).mean() - 0.02


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_strong_wave_is_found_where_the_prior_alone_would_rather_have_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=2000)
    rows = pd.DataFrame({"x": x, "y": 3 * np.sin(4 * x) + rng.logistic(size=2000)})
    flow = CausalFlowDAG({"x": SPEC["x"], "y": ContinuousNode({"x": "cs"})}, seed=seed).fit(rows)
    # the entropy of a logistic law is 2
    assert flow.node_log_prob(rows)["y"].mean() == pytest.approx(-2.0, abs=0.06)


def test_a_fit_that_cannot_begin_ends_and_does_not_count_as_converged(table: pd.DataFrame) -> None:
    odd = table.assign(y=table["y"].where(table.index > 0, 1e200))
    report = CausalFlowDAG({k: SPEC[k] for k in "xy"}, seed=3).fit(odd).report.node_reports[-1]
    assert not report.converged
    assert report.epochs <= 1


@pytest.mark.parametrize("node", [*"yzgv"])
def test_single_precision_ends_where_double_precision_does(node: str, table: pd.DataFrame) -> None:
    spec = {"x": SPEC["x"], "g": OrdinalNode(3), node: SPEC[node]}
    single, double = (
        CausalFlowDAG(spec, seed=3, dtype=dtype).fit(table)
        for dtype in (torch.float32, torch.float64)
    )
    gap = single.node_log_prob(table)[node] - double.node_log_prob(table)[node]
    assert single.report.node_reports[-1].converged
    assert abs(gap.mean()) < 0.01


def test_a_spline_fits_in_single_precision(table: pd.DataFrame) -> None:
    spec = {"x": SPEC["x"], "s": SPEC["s"]}
    flow = CausalFlowDAG(spec, seed=3, dtype=torch.float32).fit(table)
    constant = CausalFlowDAG({"s": ContinuousNode()}, seed=3).fit(table)
    assert flow.node_log_prob(table)["s"].mean() > constant.node_log_prob(table)["s"].mean() + 0.1


@pytest.mark.parametrize("seed", [0, 1])
def test_whitened_steps_come_further(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.uniform(-2, 2, size=(2, 4000))
    y = 2 * np.sin(2 * x) + np.exp(0.7 * w) * rng.normal(size=4000)
    rows = pd.DataFrame({"x": x, "w": w, "y": y})
    values = {name: torch.tensor(rows[name].to_numpy()) for name in rows}
    spec = {"x": SPEC["x"], "w": SPEC["x"], "y": ContinuousNode({"x": "ci", "w": "ci"})}

    def reached() -> float:
        flow = CausalFlowDAG(spec, seed=seed).fit(rows, epochs=160)
        f, end = objective(flow.conditionals["y"], values, ridge=10.0)
        return f(end)[0]

    whitened = reached()
    monkeypatch.setattr(Whitening, "measure", lambda *_: None)
    # in all 4000 rows together eight nats
    assert whitened < reached() - 0.002


def test_members_that_end_at_different_epochs_are_fits_of_their_own(table: pd.DataFrame) -> None:
    spec = {k: SPEC[k] for k in "xy"}
    weights = np.ones((4, N))
    weights[1:, :120] = np.random.default_rng(1).exponential(10.0, size=(3, 120))
    ensemble = fit_replicates(spec, table, weights=weights, seed=5)
    epochs = []
    for b, own in enumerate(weights):
        alone = CausalFlowDAG(spec, seed=5).fit(table, weights=own)
        gap = ensemble[b].node_log_prob(table)["y"] - alone.node_log_prob(table)["y"]
        epochs.append(ensemble[b].report.node_reports[-1].epochs)
        assert abs((gap * own).sum() / own.sum()) < 2e-3
    assert len(set(epochs)) > 1


def test_a_fit_cut_short_ends_under_the_whole_prior(table: pd.DataFrame) -> None:
    def size(epochs: int) -> float:
        flow = CausalFlowDAG({k: SPEC[k] for k in "xy"}, seed=3).fit(table, epochs=epochs)
        layers = flow.conditionals["y"].complex_shifts[0].layers
        return sum(p.square().sum().item() for p in layers.parameters())

    ends = [size(epochs) for epochs in (60, 79, 81, 300)]
    assert max(ends) < 1.2 * min(ends)


def test_far_outliers_leave_the_rest_of_the_law_alone() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 1000))
    clean, rows = (
        pd.DataFrame({"x": own, "y": np.sin(2 * own) + rng.logistic(size=1000)}) for own in x
    )
    rows.loc[:4, "y"] = 1e9
    spec = {"x": SPEC["x"], "y": ContinuousNode(terms=[CI("x")])}
    law = CausalFlowDAG(spec, seed=1).fit(rows)
    alone = CausalFlowDAG({"y": ContinuousNode()}, seed=1).fit(rows)
    # 5 in 1000 rows there cost a good deal of density here, but less with the parent than without
    assert law.node_log_prob(clean)["y"].mean() > alone.node_log_prob(clean)["y"].mean()


@pytest.mark.parametrize("evaluations", [70, 230, 400])
def test_a_killed_fit_goes_on_to_the_same_bits(
    evaluations: int, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"epochs": 100}

    def fit(**more: Any) -> CausalFlowDAG:
        return CausalFlowDAG(SPEC, seed=3).fit(table, **options, **more)

    whole = fit()
    original, left = Stack.gradient, [evaluations]

    def gradient(self: Stack, *arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return original(self, *arguments)

    path = tmp_path / "fit.journal"
    with monkeypatch.context() as patch:
        patch.setattr(Stack, "gradient", gradient)
        with pytest.raises(KeyboardInterrupt):
            fit(checkpoint=path, checkpoint_every=0)
    resumed = fit(checkpoint=path, checkpoint_every=0)
    for left_law, right_law in zip(
        whole.conditionals.values(), resumed.conditionals.values(), strict=True
    ):
        assert torch.equal(flatten(left_law), flatten(right_law))
    columns = ["node", "epoch", "train", "validation", "learning_rate"]
    pd.testing.assert_frame_equal(
        resumed.history[columns], whole.history[columns], check_exact=True
    )
