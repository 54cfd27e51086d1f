"""Which code stands behind a stage, and what changes its fingerprint."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from replication.provenance import PACKAGES, SCRIPTS, UNUSED, code_hash, stage_modules
from replication.training import fit_seeds

ROOT = Path(__file__).parents[2]
STAGES = sorted(path.stem for path in SCRIPTS.glob("*.py"))

_IMPORTED = """
import importlib.util, os, sys
import matplotlib.pyplot, scipy.optimize, scipy.stats, statsmodels.api, torch, zuko  # once for all

folder, packages = sys.argv[1], sys.argv[2].split(",")
for stage in sys.argv[3:]:
    child = os.fork()
    if child == 0:
        spec = importlib.util.spec_from_file_location(stage, f"{folder}/{stage}.py")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        names = [name for name in sys.modules if name.split(".")[0] in packages]
        print(stage, *names, flush=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_fingerprint_covers_every_module_that_a_stage_imports() -> None:
    command = [sys.executable, "-W", "ignore", "-c", _IMPORTED]
    command += [str(SCRIPTS), ",".join(PACKAGES), *STAGES]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    imported = {line.split()[0]: set(line.split()[1:]) for line in found.stdout.splitlines()}
    assert sorted(imported) == STAGES
    for stage, modules in imported.items():
        assert modules - UNUSED.get(stage, frozenset()) <= stage_modules(stage), stage


def test_a_fit_calls_no_module_that_its_fingerprint_leaves_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=200)
    rows = pd.DataFrame({"x": x, "y": (x > 0) + (x > 1) * 1, "z": x + rng.normal(size=200)})
    rows["y"] = (rows["y"] + rng.integers(0, 2, size=200)).clip(0, 2)
    spec = {
        "x": {"kind": "continuous", "transform": "spline"},
        "y": {"kind": "ordinal", "levels": 3, "parents": {"x": "ls"}},
        "z": {"kind": "continuous", "parents": {"x": "ci", "y": "cs"}},
    }
    called: set[str] = set()
    sys.setprofile(lambda frame, *_: called.add(frame.f_code.co_filename))
    try:
        fit_seeds(
            rows,
            by_seed=False,
            identity=("experiment", "model"),
            seeds=[0],
            spec=spec,
            settings={"epochs": 1},
            device="cpu",
            folder=tmp_path,
        )
    finally:
        sys.setprofile(None)
    files = {Path(file) for file in called}
    assert ROOT / "tramdag" / "checkpoint.py" in files
    for module in UNUSED["fit"]:
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        assert path.is_file(), module
        assert path not in files, module


@pytest.mark.parametrize("stage", ["verify_data", "truth", "crosscheck_r", "marginals"])
def test_stages_that_only_read_tables_do_not_depend_on_the_library(stage: str) -> None:
    assert not {name for name in stage_modules(stage) if name.startswith("tramdag")}


def fingerprint(copy: Path, stage: str) -> str:
    """The fingerprint in a copy of the project, by a fresh interpreter."""
    command = f"from replication.provenance import code_hash; print(code_hash({stage!r}))"
    environment = os.environ | {"PYTHONPATH": f"{copy}{os.pathsep}{copy / 'workflow'}"}
    found = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=copy,
    )
    return found.stdout.strip()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("tramdag", "simulations", "workflow"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return tmp_path


def test_a_comment_and_a_docstring_change_no_fingerprint(copy: Path) -> None:
    before = fingerprint(copy, "fit")
    module = copy / "tramdag" / "spec.py"
    source = module.read_text(encoding="utf-8")
    changed = source.replace('"""The specification', '"""Another text. The specification', 1)
    module.write_text("# a comment\n" + changed + "\n\n\n# another\n", encoding="utf-8")
    assert changed != source
    assert fingerprint(copy, "fit") == before == code_hash("fit")


def test_a_change_of_code_changes_the_fingerprints_that_it_touches(copy: Path) -> None:
    fit, data = fingerprint(copy, "fit"), fingerprint(copy, "verify_data")
    with (copy / "tramdag" / "spec.py").open("a", encoding="utf-8") as module:
        module.write("\nANSWER = 42\n")
    assert fingerprint(copy, "fit") != fit
    assert fingerprint(copy, "verify_data") == data


def test_a_stage_without_a_script_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        code_hash("nothing")
