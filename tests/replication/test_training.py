"""Fits of several seeds in one job are those of one job each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import tramdag as td
from replication.evaluation import answer_models, effect_intervals, load_model
from replication.reference import training_rows
from replication.training import choose_device, coefficient_table, fit_seeds, name_products

SPEC: dict[str, dict[str, Any]] = {
    "x1": {"kind": "continuous", "n_coefs": 6},
    "x2": {"kind": "continuous", "n_coefs": 6, "parents": {"x1": "ls"}},
    "x3": {"kind": "ordinal", "levels": 4, "parents": {"x1": "ls", "x2": "cs"}},
}
PROCESS = {"name": "triangle-mixed", "arguments": {"f": "exp"}}


def fit(folder: Path, seeds: list[int]) -> dict[str, pd.DataFrame]:
    return fit_seeds(
        training_rows(PROCESS, n=300, seeds=seeds),
        by_seed=True,
        identity=("mixed-exp", "cs"),
        seeds=seeds,
        spec=SPEC,
        settings={"epochs": 3},
        device="cpu",
        folder=folder,
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pd.DataFrame]]:
    folder = tmp_path_factory.mktemp("together")
    return folder, fit(folder, [0, 1, 2])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pd.DataFrame]]:
    folder = tmp_path_factory.mktemp("alone")
    return folder, fit(folder, [1])


def test_grouping_seeds_into_jobs_changes_rounding_only(together: Any, alone: Any) -> None:
    for name in ("nodes", "history", "coefficients"):
        both = [
            tables[name].drop(columns="seconds", errors="ignore") for _, tables in (together, alone)
        ]
        one = both[0][both[0]["seed"] == 1].reset_index(drop=True)
        pd.testing.assert_frame_equal(one, both[1], rtol=1e-6, atol=1e-9)


def test_grouping_seeds_into_jobs_changes_answers_by_rounding_only(
    together: Any, alone: Any
) -> None:
    questions: dict[str, Any] = {
        "interventions": [{"x1": 0.5}],
        "shifts": [{"node": "x3", "parent": "x2"}],
        "conditionals": [{"node": "x2", "given": {"x1": 0.5}}],
        "effects": [],
        "odds_ratios": [{"node": "x2", "parent": "x1", "threshold": -0.2, "step": 1.0}],
        "curves": [],
    }

    def ask(folder: Path, seeds: list[int]) -> dict[str, pd.DataFrame]:
        return answer_models(
            folder,
            identity=("mixed-exp", "cs"),
            seeds=seeds,
            questions=questions,
            samples=500,
            train=training_rows(PROCESS, n=300, seeds=seeds),
            by_seed=True,
            trial=None,
        )

    for name, table in ask(together[0], [0, 1, 2]).items():
        one = table[table["seed"] == 1].reset_index(drop=True)
        expected = ask(alone[0], [1])[name]
        pd.testing.assert_frame_equal(one, expected, rtol=1e-6, atol=1e-9, check_dtype=False)


def test_coefficients_carry_the_status_and_the_interval_of_the_summary(together: Any) -> None:
    folder, tables = together
    flow = load_model(folder, 1)
    found = tables["coefficients"]
    found = found[found["seed"] == 1].reset_index(drop=True)
    summary = flow.summary()
    columns = ["estimate", "std_error", "lower", "upper"]
    shifts = found[found["parameter"] == "shift"]
    np.testing.assert_array_equal(shifts[columns], summary[columns])
    assert list(shifts["status"]) == list(summary["status"])
    cutpoints = found[found["parameter"] == "cutpoint"]
    assert set(cutpoints["status"]) == {"no standard error"}
    assert cutpoints["std_error"].isna().all()


def test_a_separated_level_is_marked_in_the_coefficients() -> None:
    rng = np.random.default_rng(3)
    a = rng.integers(0, 3, 300)
    rows = pd.DataFrame({"a": a, "b": np.where(a == 2, 1, rng.integers(0, 2, 300))})
    spec = {
        "a": {"kind": "ordinal", "levels": 3},
        "b": {"kind": "ordinal", "levels": 2, "parents": {"a": "ls"}},
    }
    flow = td.CausalFlowDAG(td.spec_from_dict(spec), seed=0)
    with pytest.warns(td.SeparationWarning):
        flow.fit(rows, verbose=0, progress=False)
    table = coefficient_table(flow).set_index(["node", "parameter", "level"]).sort_index()
    assert table.loc[("b", "shift")]["status"].to_dict() == {1: "ok", 2: "separated"}
    ok = table[table["status"] == "ok"]
    assert np.isfinite(ok["std_error"]).all()
    # of one binary node and no parent: the logit of the share at most that level
    share = (a <= 0).mean()
    first = table.loc[("a", "cutpoint", 0)]
    assert first["std_error"] == pytest.approx(1 / np.sqrt(300 * share * (1 - share)), rel=1e-6)
    assert first["upper"] - first["estimate"] == pytest.approx(1.959964 * first["std_error"])


def test_an_average_effect_has_the_interval_of_its_delta_method() -> None:
    rng = np.random.default_rng(8)
    drug = rng.integers(0, 2, 400)
    rows = pd.DataFrame({"drug": drug, "pain": rng.binomial(1, 0.3 + 0.3 * drug)})
    spec = {
        "drug": {"kind": "ordinal", "levels": 2},
        "pain": {"kind": "ordinal", "levels": 2, "parents": {"drug": "ls"}},
    }
    flow = td.CausalFlowDAG(td.spec_from_dict(spec), seed=0)
    flow.fit(rows, verbose=0, progress=False)
    question = {"treatment": "drug", "outcome": "pain", "at_most": 0}
    found = effect_intervals(flow, [question], rows).set_index("quantity")
    # a saturated model: two independent binomial shares
    p = rows.groupby("drug")["pain"].agg(lambda pain: (pain <= 0).mean())
    variance = p * (1 - p) / rows.groupby("drug").size()
    error = np.sqrt(variance.sum())
    assert found["std_error"].to_dict() == pytest.approx(
        {"P0": np.sqrt(variance[0]), "P1": np.sqrt(variance[1]), "ATE": error}, rel=1e-5
    )
    difference = p[1] - p[0]
    assert found.loc["ATE", ["lower", "upper"]].tolist() == pytest.approx(
        [difference - 1.959964 * error, difference + 1.959964 * error], rel=1e-5
    )


def test_every_seed_has_a_model_of_its_own(together: Any) -> None:
    folder, _ = together
    rows = training_rows(PROCESS, n=100, seeds=[9])
    values = {load_model(folder, seed).nll(rows) for seed in (0, 1, 2)}
    assert len(values) == 3


def test_shifts_and_cutpoints_stand_in_one_table(alone: Any) -> None:
    table = alone[1]["coefficients"]
    assert list(table.columns[:3]) == ["experiment", "model", "seed"]
    shifts = table[table["parameter"] == "shift"]
    assert list(zip(shifts["node"], shifts["parent"], strict=True)) == [("x2", "x1"), ("x3", "x1")]
    cutpoints = table[table["parameter"] == "cutpoint"]
    assert cutpoints["level"].tolist() == [0, 1, 2]
    assert cutpoints["estimate"].is_monotonic_increasing


def test_a_product_is_named_by_its_levels(tmp_path: Path) -> None:
    terms = [{"kind": "ls", "parents": names} for names in (["x1"], ["x2"], ["x2", "x1"])]
    spec = {
        "x1": {"kind": "continuous", "n_coefs": 4},
        "x2": {"kind": "ordinal", "levels": 2, "parents": {"x1": "ls"}},
        "x3": {"kind": "continuous", "n_coefs": 4, "terms": terms},
    }
    rows = training_rows(PROCESS, n=300, seeds=[0])
    rows["x2"] = (rows["x2"] > -0.2).astype(int)
    tables = fit_seeds(
        rows,
        by_seed=False,
        identity=("e", "m"),
        seeds=[0],
        spec=spec,
        settings={},
        device="cpu",
        folder=tmp_path,
    )
    table = tables["coefficients"]
    parents = table.loc[table["node"] == "x3", "parent"].tolist()
    assert parents == ["x1", "x2", "x2:x1[1:-]"]
    assert table["level"].dropna().tolist() == [1, 0]


def test_a_job_without_a_gpu_runs_on_the_cpu() -> None:
    assert choose_device("auto", gpu=0) == "cpu"
    assert choose_device("cuda", gpu=0) == "cpu"
    assert choose_device("cpu", gpu=1) == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_granted_gpu_that_is_not_there_is_a_clear_error() -> None:
    assert choose_device("auto", gpu=1) == "cpu"
    with pytest.raises(RuntimeError, match="torch sees no CUDA device"):
        choose_device("cuda", gpu=1)


def test_a_product_is_known_by_its_level_and_not_by_a_colon_in_a_name() -> None:
    parents, levels = ["sex: m", "sex: m", "age: y", "T:age"], [1, 2, pd.NA, "1:-"]
    named = name_products(pd.DataFrame({"parent": parents, "level": levels}))
    assert named["parent"].tolist() == ["sex: m", "sex: m", "age: y", "T:age[1:-]"]
    np.testing.assert_array_equal(named["level"].astype(float), [1, 2, np.nan, np.nan])
