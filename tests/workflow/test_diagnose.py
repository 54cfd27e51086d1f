"""Coefficient tables and calibration of stored models, and the figures made of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tramdag as td
from replication.training import fit_seeds

ROOT = Path(__file__).parents[2]
SPEC = {
    "age": {"kind": "continuous", "n_coefs": 6},
    "drug": {"kind": "ordinal", "levels": 2, "parents": {"age": "ls"}},
    "pain": {"kind": "ordinal", "levels": 3, "parents": {"age": "ls", "drug": "ls"}},
}


def script(name: str) -> Callable[..., None]:
    path = ROOT / "workflow" / "scripts" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"script_{name}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    function: Callable[..., None] = getattr(module, name)
    return function


def cohort(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.normal(size=300)
    drug = (rng.logistic(size=300) < age).astype(int)
    pain = np.digitize(0.5 * age - drug + rng.logistic(size=300), [-1.0, 1.0])
    return pd.DataFrame({"age": age, "drug": drug, "pain": pain, "seed": seed})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds, each fitted to rows of its own, and their tables."""
    folder = tmp_path_factory.mktemp("diagnose")
    rows = pd.concat([cohort(0), cohort(1)], ignore_index=True)
    rows.to_csv(folder / "train.csv", index=False)
    fit_seeds(
        rows,
        by_seed=True,
        identity=["pain", "ls"],
        seeds=[0, 1],
        spec=SPEC,
        settings={},
        device="cpu",
        folder=folder / "models",
    )
    script("diagnose")(
        models=str(folder / "models"),
        rows=str(folder / "train.csv"),
        by_seed=True,
        identity=["pain", "ls"],
        seeds=[0, 1],
        threads=1,
        summary=str(folder / "summary.csv"),
        calibration=str(folder / "calibration.csv"),
    )
    return folder


def test_the_tables_are_those_of_the_models(folder: Path) -> None:
    summary = pd.read_csv(folder / "summary.csv")
    calibration = pd.read_csv(folder / "calibration.csv")
    assert list(summary.columns[:4]) == ["experiment", "model", "seed", "node"]
    assert list(calibration.columns[:4]) == ["experiment", "model", "seed", "node"]
    for seed in (0, 1):
        flow = td.CausalFlowDAG.load(folder / "models" / f"seed-{seed}.pt")
        stored = summary[summary["seed"] == seed]
        np.testing.assert_array_equal(stored["odds_ratio"], flow.summary()["odds_ratio"])
        np.testing.assert_array_equal(stored["std_error"], flow.summary()["std_error"])
        expected = flow.calibration(cohort(seed), "pain", bins=8)
        of_seed = calibration.query("seed == @seed and node == 'pain'")
        np.testing.assert_allclose(of_seed["predicted"], expected["predicted"], rtol=1e-12)
        np.testing.assert_array_equal(of_seed["observed"], expected["observed"])
    assert set(calibration["node"]) == {"drug", "pain"}


def test_a_model_without_linear_shifts_has_an_empty_summary(folder: Path, tmp_path: Path) -> None:
    rows = cohort(0)
    spec = {name: {k: v for k, v in node.items() if k != "parents"} for name, node in SPEC.items()}
    fit_seeds(
        rows,
        by_seed=False,
        identity=["pain", "none"],
        seeds=[0],
        spec=spec,
        settings={},
        device="cpu",
        folder=tmp_path / "models",
    )
    script("diagnose")(
        models=str(tmp_path / "models"),
        rows=str(folder / "train.csv"),
        by_seed=False,
        identity=["pain", "none"],
        seeds=[0],
        threads=1,
        summary=str(tmp_path / "summary.csv"),
        calibration=str(tmp_path / "calibration.csv"),
    )
    assert pd.read_csv(tmp_path / "summary.csv").empty
    assert len(pd.read_csv(tmp_path / "calibration.csv"))


@pytest.mark.parametrize("name", ["forest", "dag", "calibration"])
def test_every_figure_is_drawn_from_the_stored_tables(
    name: str, folder: Path, tmp_path: Path
) -> None:
    summaries, titles, specs = [str(folder / "summary.csv")], {"ls": "linear"}, {"ls": SPEC}
    arguments = {
        "forest": {"summaries": summaries, "specs": specs, "units": {"age": "years"}},
        "dag": {"summaries": summaries, "specs": specs},
        "calibration": {"tables": [str(folder / "calibration.csv")], "nodes": ["pain"]},
    }
    files = {suffix: str(tmp_path / f"{name}.{suffix}") for suffix in ("png", "pdf")}
    script(name)(titles=titles, **arguments[name], **files)
    assert all(Path(file).stat().st_size > 1000 for file in files.values())
