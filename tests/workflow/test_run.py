"""Runs from end to end, in a copy of the project."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from simulations import MagicMrClean

Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.slow

OWN_FILES = {"cohort": "third.csv", "trial": "rct.csv", "spec": "spec.yaml"}

SMOKE = ("--configfile", "workflow/config/smoke.yaml")


def test_a_smoke_run_makes_everything_once(snakemake: Run, project: Path) -> None:
    """One small experiment of each kind; the whole smoke run is a command of its own."""
    kinds = ["carefl", "mixed-linear", "stroke-nl", "triangle-atan", "vaca"]
    (project / "overlay.yaml").write_text(yaml.safe_dump({"only": kinds}), encoding="utf-8")
    command = ("--cores", "2", *SMOKE, "overlay.yaml")

    first = snakemake(*command, "--", "all")
    assert first.returncode == 0, first.stderr[-4000:]
    results = project / "results" / "smoke"
    for name in ("scorecard.csv", "scorecard.md", "report.html", "config.json"):
        assert (results / name).is_file()
    for kind in kinds:
        figures = sorted(path.suffix for path in (results / "figures" / kind).iterdir())
        assert figures.count(".png") == figures.count(".pdf") > 0
    assert not list(results.rglob(".*.csv")), "a job left a temporary file"

    card = pd.read_csv(results / "scorecard.csv").set_index("id")
    assert "SMOKE RUN" in (results / "scorecard.md").read_text(encoding="utf-8")
    assert set(card["run"]) == {"smoke run"}
    # exact fits on frozen data do not depend on the scale of the run
    assert card["verdict"]["stroke-nl-treatment"] == "holds"
    assert card["verdict"]["stroke-nl-certificate"] == "holds"
    assert set(card["experiment"]) <= set(kinds)
    assert "not part of this run" in (results / "scorecard.rst").read_text(encoding="utf-8")
    report = (results / "report.html").read_text(encoding="utf-8")
    assert "claims:" in report
    assert "SMOKE RUN" in report

    again = snakemake(*command, "--", "all")
    assert "Nothing to be done" in again.stderr, again.stderr[-2000:]

    module = project / "tramdag" / "spec.py"
    module.write_text(
        "# a comment\n" + module.read_text(encoding="utf-8") + "\n# another\n", encoding="utf-8"
    )
    commented = snakemake(*command, "--dry-run", "--", "all")
    assert "Nothing to be done" in commented.stdout + commented.stderr

    with module.open("a", encoding="utf-8") as source:
        source.write("\nANSWER = 42\n")
    changed = snakemake(*command, "--dry-run", "--", "all")
    assert "rule fit" in changed.stdout
    assert "rule verify_data" not in changed.stdout
    assert "rule simulate" not in changed.stdout


def test_a_cohort_of_ones_own_runs_without_a_truth(snakemake: Run, project: Path) -> None:
    rng = np.random.default_rng(3)
    age = rng.normal(60, 10, 300)
    drug = (rng.logistic(size=300) > (age - 60) / 10).astype(int)
    score = 0.05 * age - 0.8 * drug + rng.logistic(size=300)
    pain = np.digitize(score, np.quantile(score, [0.4, 0.7, 0.9]))
    (project / "cohorts").mkdir()
    cohort = pd.DataFrame({"age": age, "drug": drug, "pain": pain})
    cohort.to_csv(project / "cohorts" / "pain.csv", index=False)
    parents = {"age": "ls", "drug": "ls"}
    entry = {
        "title": "Pain after surgery",
        "data": {"file": "cohorts/pain.csv"},
        "units": {"age": "years"},
        "models": {
            "ls": {
                "spec": {
                    "age": {"kind": "continuous", "n_coefs": 6},
                    "drug": {"kind": "ordinal", "levels": 2, "parents": {"age": "ls"}},
                    "pain": {"kind": "ordinal", "levels": 4, "parents": parents},
                }
            }
        },
        "interventions": [{"do": {"drug": 1}}],
        "effects": [{"treatment": "drug", "outcome": "pain", "at_most": 1}],
        "figures": ["effects", "marginals"],
    }
    config = {
        "only": ["pain"],
        "pathvars": {"results": "cohorts/results"},
        "experiments": {"pain": entry},
        "evaluation": {"model_samples": 500},
    }
    settings = project / "cohorts" / "pain.yaml"
    settings.write_text(yaml.safe_dump(config), encoding="utf-8")

    done = snakemake("--cores", "2", "--configfile", "cohorts/pain.yaml", "--", "all")
    assert done.returncode == 0, done.stderr[-4000:]
    assert not (project / "results").exists()
    results = project / "cohorts" / "results"
    assert (results / "figures" / "pain" / "effects.png").is_file()
    assert not (results / "truth").exists()
    assert not (results / "evaluate").exists()
    effects = pd.read_csv(results / "tables" / "effects.csv").set_index("quantity")
    assert effects["value"]["ATE"] > 0
    assert set(effects["population"]) == {"cohort rows"}
    assert (effects["lower"] < effects["value"]).all()
    assert (effects["value"] < effects["upper"]).all()
    assert effects["mc_error"].isna().all()
    card = pd.read_csv(results / "scorecard.csv")
    assert card.empty
    report = (results / "report.html").read_text(encoding="utf-8")
    assert "TRAM-DAGs: Pain after surgery" in report
    assert "No published claim is about an experiment of this run" in report
    for text in ("full replication", "arXiv", "list-table"):
        assert text not in report
    record = json.loads((results / "fit" / "pain" / "ls" / "0" / "record.json").read_text())
    assert record["device"] == "cpu"
    assert record["seeds"] == [0]


def test_three_paths_are_a_chapter_without_a_truth(snakemake: Run, project: Path) -> None:
    generator = MagicMrClean(variant="nl", seed=11)
    folder = project / "cohorts"
    folder.mkdir()
    decimals = {"Age": 1, "NIHSSa": 2}
    generator.observational(600).round(decimals).to_csv(folder / "third.csv", index=False)
    generator.rct(200).round(decimals).to_csv(folder / "rct.csv", index=False)
    entries = (project / "workflow/config/experiments.yaml").read_text(encoding="utf-8")
    stroke = yaml.safe_load(entries)["experiments"]["stroke-nl"]
    models = {name: stroke["models"][name] for name in ("ls", "interaction", "cs-joint")}
    spec = {"models": models, **{key: stroke[key] for key in ("effects", "ladder", "units")}}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    small = {
        "limits": {"epochs": 3, "seeds": 2},
        "seeds_per_job": 2,
        "evaluation": {"model_samples": 500},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")
    paths = [f"{key}=cohorts/{name}" for key, name in OWN_FILES.items()]
    command = ("--cores", "2", "--configfile", "cohorts/small.yaml", "--config", *paths)
    done = snakemake(*command, "--", "all")
    assert done.returncode == 0, done.stderr[-4000:]
    results = project / "results" / "cohorts" / "third"
    assert {path.name for path in (project / "results").iterdir()} == {"cohorts"}
    for name in (
        "ladder",
        "odds_ratio_by_modifier",
        "trial_benefit",
        "trial_effects",
        "trial_outcomes",
    ):
        assert (results / "figures" / "third" / f"{name}.png").is_file()
    ladder = pd.read_csv(results / "tables" / "ladder.csv")
    assert set(ladder["model"]) == set(models)
    assert ladder["truth"].isna().all()
    validation = pd.read_csv(results / "tables" / "validation.csv")
    assert "observed effect" in set(validation["metric"])
    assert "rmse of effects" not in set(validation["metric"])
    assert pd.read_csv(results / "tables" / "published.csv").empty
    assert "Cohort third" in (results / "report.html").read_text(encoding="utf-8")
    again = snakemake(*command, "--", "all")
    assert "Nothing to be done" in again.stderr, again.stderr[-2000:]


def test_changed_data_stop_the_run_and_say_where(snakemake: Run, project: Path) -> None:
    file = project / "data" / "vaca" / "obs.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    lines[7] = "1.0,2.0,3.0"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = snakemake("--cores", "1", *SMOKE, "--", "results/smoke/data/verified.json")
    assert done.returncode == 1
    log = (project / "results" / "smoke" / "logs" / "verify_data.log").read_text(encoding="utf-8")
    assert "vaca/obs.csv" in log
    assert "frozen data differ from their generators" in log
    assert not (project / "results" / "smoke" / "data" / "verified.json").exists()
