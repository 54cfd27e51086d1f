from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tramdag import CI, CS, CausalFlowDAG, ContinuousNode, DataError, SpecError, fit_replicates
from tramdag.fitting.stack import Stack
from tramdag.spec import Node

N = 120
SPEC: dict[str, Node] = {
    "x": ContinuousNode(n_coefs=5),
    "y": ContinuousNode(terms=[CS("x", hidden=(6,))], n_coefs=5),
    "z": ContinuousNode(terms=[CS("x", hidden=(6,))], n_coefs=5),
    "w": ContinuousNode(terms=[CI("x", hidden=(4,))], n_coefs=5),
}
SETTINGS: dict[str, Any] = {
    "epochs": 12,
    "batch_size": 40,
    "schedule": "plateau",
    "plateau_patience": 1,
    "freeze_patience": 4,
    "learning_rate": 0.1,
}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=N)
    noise = rng.logistic(size=(3, N))
    return pd.DataFrame({"x": x, "y": x**2 + noise[0], "z": noise[1] - x, "w": x * noise[2]})


def fit(rows: pd.DataFrame, **options: Any) -> CausalFlowDAG:
    return CausalFlowDAG(SPEC, seed=3).fit(rows, **{**SETTINGS, **options})


def bits(flow: CausalFlowDAG) -> list[torch.Tensor]:
    return [v for law in flow.conditionals.values() for v in law.state_dict().values()]


def interrupt_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let the fit die in the middle of an epoch, after so many gradient steps."""
    original, done = Stack.gradient, [0]

    def gradient(self: Stack, *arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        done[0] += 1
        if done[0] > steps:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(Stack, "gradient", gradient)


@pytest.mark.parametrize("steps", [0, 1, 7, 20, 38])
def test_an_interrupted_fit_goes_on_to_the_same_bits(
    rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    whole = fit(rows)
    path = tmp_path / "fit.journal"
    with monkeypatch.context() as patch:
        interrupt_after(patch, steps)
        with pytest.raises(KeyboardInterrupt):
            fit(rows, checkpoint=path, checkpoint_every=0)
    resumed = fit(rows, checkpoint=path, checkpoint_every=0)
    for left, right in zip(bits(whole), bits(resumed), strict=True):
        assert torch.equal(left, right)
    columns = ["node", "epoch", "train", "validation", "learning_rate"]
    pd.testing.assert_frame_equal(
        resumed.history[columns], whole.history[columns], check_exact=True
    )
    pd.testing.assert_frame_equal(
        resumed.report.nodes.drop(columns="seconds"), whole.report.nodes.drop(columns="seconds")
    )


def test_epochs_before_the_interruption_are_not_trained_again(
    rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fit.journal"
    fit(rows, checkpoint=path)
    interrupt_after(monkeypatch, 0)
    fit(rows, checkpoint=path)  # complete: not one step is left


def test_an_ensemble_goes_on_too(
    rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ensemble.journal"
    whole = fit_replicates(SPEC, rows, seeds=[1, 2, 3], **SETTINGS)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 20)
        with pytest.raises(KeyboardInterrupt):
            fit_replicates(
                SPEC, rows, seeds=[1, 2, 3], checkpoint=path, checkpoint_every=0, **SETTINGS
            )
    resumed = fit_replicates(SPEC, rows, seeds=[1, 2, 3], checkpoint=path, **SETTINGS)
    pd.testing.assert_frame_equal(
        resumed.node_log_prob(rows), whole.node_log_prob(rows), check_exact=True
    )


@pytest.mark.parametrize(
    "other",
    [
        {"learning_rate": 0.05},
        {"seed": 4},
        {"val_df": True},
        {"weights": np.linspace(0.5, 1.5, N)},
    ],
)
def test_the_journal_of_another_fit_is_refused(
    rows: pd.DataFrame, tmp_path: Path, other: dict[str, Any]
) -> None:
    path = tmp_path / "fit.journal"
    fit(rows, checkpoint=path, epochs=1)
    before = path.read_bytes()
    if "val_df" in other:
        other = {"val_df": rows.iloc[:20]}
    with pytest.raises(DataError, match="another fit"):
        fit(rows, checkpoint=path, epochs=1, **other)
    with pytest.raises(DataError, match="another fit"):
        fit(rows.assign(y=rows["y"] + 1e-12), checkpoint=path, epochs=1)
    assert path.read_bytes() == before


def test_how_a_fit_reports_does_not_make_it_another_one(rows: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "fit.journal"
    first = fit(rows, checkpoint=path, epochs=1)
    second = fit(rows, checkpoint=path, epochs=1, verbose=0, progress=False)
    assert all(map(torch.equal, bits(first), bits(second)))


def test_files_that_are_no_journal_are_refused(rows: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "flow.pt"
    fit(rows, epochs=1).save(path)
    with pytest.raises(DataError, match="not a tramdag fit journal"):
        fit(rows, checkpoint=path)
    with pytest.raises(DataError, match="folder"):
        fit(rows, checkpoint=tmp_path / "missing" / "fit.journal")
    with pytest.raises(SpecError, match="checkpoint_every"):
        fit(rows, checkpoint=tmp_path / "new", checkpoint_every=-1)


def test_the_journal_holds_no_training_row(rows: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "fit.journal"
    fit(rows, checkpoint=path, epochs=2)
    content = torch.load(path, weights_only=True)
    numbers = torch.cat([t.double().flatten() for t in content["tensors"].values()])
    for column in ("x", "y", "z", "w"):
        assert not torch.isin(
            torch.tensor(rows[column].tolist(), dtype=torch.float64), numbers
        ).any()


SCRIPT = """
import sys
import numpy as np, pandas as pd, torch
from tramdag import CI, CausalFlowDAG, ContinuousNode
torch.set_num_threads(1)
rng = np.random.default_rng(0)
x = rng.normal(size=400)
rows = pd.DataFrame({"x": x, "y": x**2 + rng.logistic(size=400)})
spec = {"x": ContinuousNode(), "y": ContinuousNode(terms=[CI("x")])}
settings = dict(epochs=400, batch_size=64, schedule=None)
flow = CausalFlowDAG(spec, seed=1).fit(rows, checkpoint=sys.argv[1], checkpoint_every=0, **settings)
flow.save(sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_process_that_was_killed_loses_nothing(tmp_path: Path) -> None:
    def start(name: str, journal: str) -> subprocess.Popen[bytes]:
        arguments = [str(tmp_path / journal), str(tmp_path / name)]
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SCRIPT, *arguments], env=os.environ
        )

    assert start("whole.pt", "whole.journal").wait() == 0
    journal = tmp_path / "killed.journal"
    process = start("killed.pt", journal.name)
    # killed by another process at a moment of its own: the first journal is the only sign
    deadline = time.monotonic() + 120
    while not journal.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed.pt").exists()
    assert start("killed.pt", journal.name).wait() == 0
    whole, resumed = (CausalFlowDAG.load(tmp_path / f"{n}.pt") for n in ("whole", "killed"))
    assert all(map(torch.equal, bits(whole), bits(resumed)))
