"""Fits of a flow: labelled columns, failures and interruptions, progress, devices."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tramdag import (
    CausalFlowDAG,
    ContinuousNode,
    DataError,
    OrdinalNode,
)
from tramdag.fitting.stack import Stack


@pytest.fixture(scope="module")
def labelled(cohort: pd.DataFrame) -> tuple[CausalFlowDAG, pd.DataFrame]:
    names = pd.Index(["none", "some", "severe"])
    sev = pd.Categorical.from_codes(cohort["sev"], categories=names, ordered=True)
    df = cohort.assign(sev=sev)[["age", "sev", "score"]]
    spec = {
        "age": ContinuousNode(n_coefs=6),
        "sev": OrdinalNode(3, {"age": "ls"}),
        "score": ContinuousNode({"age": "ls", "sev": "ls"}, n_coefs=6),
    }
    return CausalFlowDAG(spec, seed=1).fit(df), df


def test_an_ordered_categorical_comes_back_from_sample(
    labelled: tuple[CausalFlowDAG, pd.DataFrame],
) -> None:
    flow, df = labelled
    drawn = flow.sample(50, seed=1)
    assert drawn["sev"].dtype == df["sev"].dtype
    back = flow.sample(u=flow.abduct(df))
    pd.testing.assert_series_equal(back["sev"], df["sev"])


def test_do_speaks_the_labels(labelled: tuple[CausalFlowDAG, pd.DataFrame]) -> None:
    flow, df = labelled
    forced = flow.sample(20, do={"sev": "severe"}, seed=1)
    assert (forced["sev"] == "severe").all()
    per_row = flow.sample(u=flow.abduct(df), do={"sev": df["sev"]})
    pd.testing.assert_frame_equal(per_row, df, rtol=1e-8)
    by_rule = flow.sample(20, do={"sev": lambda sev: np.where(sev == "none", "some", sev)}, seed=1)
    assert "none" not in set(by_rule["sev"])
    with pytest.raises(DataError, match=r"'sever'.*'severe'"):
        flow.sample(20, do={"sev": "sever"})


def test_pmf_columns_are_the_labels(labelled: tuple[CausalFlowDAG, pd.DataFrame]) -> None:
    flow, df = labelled
    assert list(flow.pmf(df, "sev")) == ["none", "some", "severe"]


def test_labels_and_codes_give_the_same_fit(
    labelled: tuple[CausalFlowDAG, pd.DataFrame], cohort: pd.DataFrame
) -> None:
    flow, df = labelled
    coded = CausalFlowDAG(flow.spec, seed=1).fit(cohort)
    np.testing.assert_array_equal(
        coded.log_prob(cohort), flow.log_prob(df), err_msg="the same rows in two notations"
    )


def test_boolean_and_nullable_columns_give_the_same_fit(cohort: pd.DataFrame) -> None:
    spec = {"age": ContinuousNode(n_coefs=6), "treat": OrdinalNode(2, {"age": "ls"})}
    plain = CausalFlowDAG(spec, seed=1).fit(cohort)
    for dtype in ("bool", "boolean", "Int64", "Float64"):
        other = cohort.assign(
            treat=cohort["treat"].astype(dtype), age=cohort["age"].astype("Float64")
        )
        np.testing.assert_array_equal(
            CausalFlowDAG(spec, seed=1).fit(other).log_prob(other), plain.log_prob(cohort)
        )


# nothing changes when a fit fails

BAD_ROWS = {
    "missing column": lambda df: df.drop(columns="cost"),
    "NaN": lambda df: df.assign(score=df["score"].where(df.index != 3)),
    "infinite": lambda df: df.assign(cost=np.inf),
    "level out of range": lambda df: df.assign(sev=3),
    "fractional level": lambda df: df.assign(treat=df["treat"] + 0.5),
    "constant": lambda df: df.assign(age=60.0),
    "empty": lambda df: df.iloc[:0],
    "unordered categorical": lambda df: df.assign(sev=pd.Categorical(df["sev"])),
    "text": lambda df: df.assign(score="high"),
    "no table": lambda df: df.to_numpy(),
}


@pytest.mark.parametrize(
    ("role", "kind"),
    [("train", kind) for kind in BAD_ROWS]
    + [("validation", kind) for kind in BAD_ROWS if kind != "constant"],
)
def test_a_failed_fit_changes_nothing(
    kind: str, role: str, flow: CausalFlowDAG, cohort: pd.DataFrame
) -> None:
    bad = BAD_ROWS[kind](cohort)
    train, validation = (bad, None) if role == "train" else (cohort, bad)
    before = {
        name: value.clone()
        for node, conditional in flow.conditionals.items()
        for name, value in ((f"{node}.{k}", v) for k, v in conditional.state_dict().items())
    }
    report = flow.report
    with pytest.raises(DataError):
        flow.fit(train, validation, epochs=1)
    after = {
        f"{node}.{k}": v
        for node, conditional in flow.conditionals.items()
        for k, v in conditional.state_dict().items()
    }
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert flow.report is report


def test_a_fit_that_is_interrupted_changes_nothing(
    cohort: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"age": ContinuousNode(n_coefs=5), "score": ContinuousNode({"age": "cs"}, n_coefs=5)}
    flow = CausalFlowDAG(spec, seed=1).fit(cohort, epochs=1)
    before = flow.log_prob(cohort)

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stack, "gradient", interrupted)
    for warm_start in (False, True):
        with pytest.raises(KeyboardInterrupt):
            flow.fit(cohort.iloc[:300], epochs=1, warm_start=warm_start)
        np.testing.assert_array_equal(flow.log_prob(cohort), before)


def test_fitting_does_not_touch_the_table(cohort: pd.DataFrame, linear_flow: CausalFlowDAG) -> None:
    before = cohort.copy()
    CausalFlowDAG(linear_flow.spec, seed=1).fit(cohort)
    pd.testing.assert_frame_equal(cohort, before)


# being quiet


def test_the_first_fit_loads_no_further_library() -> None:
    """SciPy's optimisers, or SymPy by way of torch, take longer to load than many fits to run."""
    code = """
import sys, numpy as np, pandas as pd, tramdag as td
df = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 2)).round(), columns=["y", "z"])
loaded = {name for name in sys.modules if name.startswith(("scipy", "sympy"))}
spec = {"y": td.ContinuousNode(), "z": td.ContinuousNode({"y": "ci"})}
td.CausalFlowDAG(spec, seed=0).fit(df, epochs=2)
sys.exit(str({name for name in sys.modules if name.startswith(("scipy", "sympy"))} - loaded or ""))
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stderr.strip() == ""


@pytest.mark.parametrize("progress", [None, False])
def test_a_fit_off_a_terminal_is_quiet(
    progress: bool | None, cohort: pd.DataFrame, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = {"age": ContinuousNode(), "score": ContinuousNode({"age": "cs"})}
    CausalFlowDAG(spec, seed=1).fit(cohort, epochs=2, progress=progress)
    assert capfd.readouterr() == ("", "")


def test_a_progress_bar_is_shown_on_request(
    cohort: pd.DataFrame, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = {"age": ContinuousNode(), "score": ContinuousNode({"age": "cs"})}
    CausalFlowDAG(spec, seed=1).fit(cohort, epochs=2, progress=True)
    captured = capfd.readouterr()
    assert "score" in captured.err
    assert captured.out == ""


def test_verbose_fits_log_the_validation_value(
    cohort: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    spec = {"age": ContinuousNode(), "score": ContinuousNode({"age": "cs"})}
    with caplog.at_level(logging.INFO, logger="tramdag"):
        CausalFlowDAG(spec, seed=1).fit(cohort, epochs=4, verbose=2)
    epochs = [record.getMessage() for record in caplog.records if "epoch" in record.getMessage()]
    assert [("epoch 2" in m, "epoch 4" in m) for m in epochs] == [(True, False), (False, True)]


# the graphics card


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graphics_card_gives_the_answers_of_the_processor(
    network_flow: CausalFlowDAG, cohort: pd.DataFrame, tmp_path: Path
) -> None:
    flow = CausalFlowDAG(network_flow.spec, seed=5, device="cuda").fit(cohort, epochs=3)
    flow.save(tmp_path / "flow.pt")
    host = CausalFlowDAG.load(tmp_path / "flow.pt")
    some = cohort.iloc[:50]
    for ask in (
        lambda f: f.node_log_prob(some),
        lambda f: f.sample(50, seed=1),
        lambda f: f.sample(50, do={"treat": 1, "score": lambda s: s + 1}, seed=1),
        lambda f: f.abduct(some, seed=1),
        lambda f: f.sample(u=f.abduct(some, seed=1), do={"treat": 1}),
        lambda f: f.pmf(some, "outcome", do={"age": 80.0}, n_points=64),
        lambda f: f.cdf(some, "cost", do={"age": 80.0}, at=[1.0, 3.0], n_points=64),
        lambda f: f.density(some, "cost", do={"age": 80.0}, at=2.0, n_points=64),
        lambda f: f.quantile(some, "cost", do={"age": 80.0}, q=0.3, n_points=64),
        lambda f: f.counterfactual_pmf(some, "outcome", do={"treat": 1}),
        lambda f: f.coef(),
        lambda f: f.shift_curve("outcome", "score", [1.0, 5.0, 9.0]),
        lambda f: f.transformation(some, "cost"),
    ):
        pd.testing.assert_frame_equal(ask(flow), ask(host), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(flow.cutpoints("treat"), host.cutpoints("treat"), rtol=1e-9)
    assert flow.to("cpu").nll(some) == pytest.approx(host.nll(some), rel=1e-9)
