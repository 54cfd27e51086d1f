"""What Snakemake plans, without running a job."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

SMOKE = ("--configfile", "workflow/config/smoke.yaml")


@pytest.mark.parametrize("profile", ["default", "gpu", "slurm"])
def test_every_profile_can_plan_everything(snakemake: Run, profile: str) -> None:
    planned = snakemake(
        "--cores", "2", "--workflow-profile", f"profiles/{profile}", "--dry-run", "--", "all"
    )
    assert planned.returncode == 0, planned.stderr
    assert "This was a dry-run" in planned.stdout + planned.stderr


def test_the_smoke_run_has_the_rules_of_the_full_one(snakemake: Run) -> None:
    full = snakemake("--cores", "2", "--dry-run", "--", "all")
    smoke = snakemake("--cores", "2", *SMOKE, "--dry-run", "--", "all")
    assert smoke.returncode == full.returncode == 0, smoke.stderr
    assert planned_rules(smoke.stdout) == planned_rules(full.stdout)


def test_plain_snakemake_finds_the_default_profile(snakemake: Run) -> None:
    planned = snakemake("--cores", "2", "--dry-run", "--quiet")
    assert "profiles/default" in planned.stderr


def test_the_rules_are_clean(snakemake: Run) -> None:
    linted = snakemake("--lint")
    assert linted.returncode == 0, linted.stderr


def test_a_misspelt_setting_stops_before_any_job(snakemake: Run, project: Path) -> None:
    overlay(project, {"limits": {"epoch": 3}})
    planned = snakemake("--cores", "1", "--configfile", "overlay.yaml", "--dry-run", "--", "all")
    assert planned.returncode == 1
    said = planned.stdout + planned.stderr
    assert (
        "limits: unknown key 'epoch'; allowed are 'epochs', 'models', 'replicates', 'rows', 'seeds'"
        in said
    )
    assert "Traceback" not in said


def test_a_misspelt_setting_on_the_command_line_stops_too(snakemake: Run) -> None:
    planned = snakemake("--cores", "1", "--config", "divice=cpu", "--dry-run", "--", "all")
    assert planned.returncode == 1
    said = planned.stdout + planned.stderr
    assert "unknown key 'divice'" in said
    assert "Did you mean 'device'?" in said


def test_a_misspelt_cohort_stops_too(snakemake: Run, project: Path) -> None:
    for paths in (["cohrot=x.csv"], ["cohrot=x.csv", "spec=spec.yaml"]):
        planned = snakemake("--cores", "1", "--dry-run", "--config", *paths, "--", "all")
        assert planned.returncode == 1
        assert "Did you mean 'cohort'?" in planned.stdout + planned.stderr


def test_an_unknown_parent_stops_before_any_job(snakemake: Run, project: Path) -> None:
    node = {"kind": "continuous", "parents": {"xx1": "ls"}}
    models = {"ci": {"spec": {"x2": node}}}
    overlay(project, {"only": ["vaca"], "experiments": {"vaca": {"models": models}}})
    planned = snakemake("--cores", "1", "--configfile", "overlay.yaml", "--dry-run", "--", "all")
    assert planned.returncode == 1
    said = planned.stdout + planned.stderr
    assert "experiments.vaca.models.ci.spec.x2.parents: 'xx1' is no node" in said
    assert "Traceback" not in said


def test_one_experiment_can_be_run_alone(snakemake: Run, project: Path) -> None:
    overlay(project, {"only": ["vaca"]})
    planned = snakemake("--cores", "1", "--configfile", "overlay.yaml", "--dry-run", "--", "all")
    assert planned.returncode == 0, planned.stderr
    assert "experiment=vaca" in planned.stdout
    assert "experiment=carefl" not in planned.stdout


def test_seeds_per_job_changes_the_jobs_only(snakemake: Run, project: Path) -> None:
    overlay(project, {"only": ["vaca"], "seeds_per_job": 1})
    planned = snakemake("--cores", "1", "--configfile", "overlay.yaml", "--dry-run", "--", "all")
    for seed in (0, 1, 2):
        assert f"results/fit/vaca/ci/{seed}/history.csv" in planned.stdout


def test_a_verification_that_has_to_run_again_hides_nothing_that_is_missing(
    snakemake: Run, project: Path
) -> None:
    overlay(project, {"only": ["stroke-ls"]})
    options = ("--cores", "1", "--configfile", "overlay.yaml")
    done = snakemake(*options, "--", "results/data/verified.json")
    assert done.returncode == 0, done.stderr
    with (project / "workflow" / "scripts" / "verify_data.py").open("a") as script:
        script.write("\n\nCHANGED = True\n")
    planned = snakemake(*options, "--dry-run", "--", "all")
    assert {"verify_data", "fit", "scorecard"} <= planned_rules(planned.stdout)


def own_cohort(project: Path) -> list[str]:
    """Paths of a cohort of one's own, as they stand on the command line."""
    entry = yaml.safe_load((project / "workflow/config/experiments.yaml").read_text())
    stroke = entry["experiments"]["stroke-nl"]
    models = {name: stroke["models"][name] for name in ("ls", "interaction")}
    spec = {"models": models, **{key: stroke[key] for key in ("effects", "ladder", "units")}}
    (project / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    return ["cohort=data/magic-mrclean/nl/obs.csv", "spec=spec.yaml"]


def test_a_cohort_of_ones_own_is_planned_by_its_paths(snakemake: Run, project: Path) -> None:
    alone = own_cohort(project)
    trial = "trial=data/magic-mrclean/nl/rct.csv"
    for paths, with_trial in ((alone, False), ([*alone, trial], True)):
        planned = snakemake("--cores", "1", "--dry-run", "--config", *paths, "--", "all")
        assert planned.returncode == 0, planned.stderr
        rules = planned_rules(planned.stdout)
        assert {"ladder", "cross_validate", "effects"} <= rules
        assert ("validate" in rules) is with_trial
        assert not {"truth", "evaluate", "verify_data"} & rules
        assert "results/cohorts/obs/scorecard.md" in planned.stdout
        assert "experiment=stroke-nl" not in planned.stdout


def test_a_cohort_has_a_folder_of_its_own_wherever_results_go(
    snakemake: Run, project: Path
) -> None:
    config = ("--config", *own_cohort(project))
    planned = snakemake("--cores", "1", "--dry-run", *SMOKE, *config, "--", "all")
    assert planned.returncode == 0, planned.stderr
    assert "results/smoke/cohorts/obs/scorecard.md" in planned.stdout
    assert "results/smoke/scorecard.md" not in planned.stdout
    assert "results/smoke/cohorts/obs/logs/scorecard.log" in planned.stdout


def test_a_trial_without_outcomes_calibrates_nothing(snakemake: Run, project: Path) -> None:
    paths = [*own_cohort(project), "trial=trial.csv"]
    (project / "trial.csv").write_text("Age,mRS_pre,NIHSSa\n70,0,9.5\n", encoding="utf-8")
    target = "results/cohorts/obs/diagnose/obs/ls/0/calibration.csv"
    options = ("--cores", "1", "--dry-run", "--config", *paths, "--", target)
    refused = snakemake(*options)
    assert "trial: 'trial.csv' has no column 'T'" in refused.stdout + refused.stderr
    spec = project / "spec.yaml"
    spec.write_text(spec.read_text() + "validation: false\n", encoding="utf-8")
    planned = snakemake(*options)
    assert planned.returncode == 0, planned.stderr
    (job,) = [part for part in planned.stdout.split("rule ") if part.startswith("diagnose:")]
    assert "data/magic-mrclean/nl/obs.csv" in job
    assert "trial.csv" not in job


def test_the_results_of_one_cohort_are_not_replaced_by_those_of_another(
    snakemake: Run, project: Path
) -> None:
    _, spec = own_cohort(project)
    frozen = project / "data" / "magic-mrclean"
    for folder, variant in (("a", "nl"), ("b", "ls")):
        (project / folder).mkdir()
        (project / folder / "obs.csv").write_bytes((frozen / variant / "obs.csv").read_bytes())

    def run(cohort: str, *options: str) -> subprocess.CompletedProcess[str]:
        config = ("--config", f"cohort={cohort}", spec)
        return snakemake("--cores", "1", *options, *config, "--", "touched")

    rule = 'rule touched:\n    output: touch("<results>/done")\n'
    with (project / "Snakefile").open("a", encoding="utf-8") as source:
        source.write(f"\n\n{rule}\n\nlocalrules: touched\n")
    planned = run("a/obs.csv", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    results = project / "results" / "cohorts" / "obs"
    assert not results.exists()
    done = run("a/obs.csv")
    assert done.returncode == 0, done.stderr
    record = results / "cohort.json"
    assert str(project) not in record.read_text(encoding="utf-8")
    refused = run("b/obs.csv")
    assert refused.returncode == 1
    assert "cohort: 'results/cohorts/obs' holds the results of another" in refused.stderr
    (project / "a" / "obs.csv").write_bytes((frozen / "ls" / "obs.csv").read_bytes())
    before = record.read_text(encoding="utf-8")
    corrected = run("a/obs.csv", "--forceall")
    assert corrected.returncode == 0, corrected.stderr
    assert record.read_text(encoding="utf-8") != before


def test_names_and_titles_may_hold_any_sign(snakemake: Run, project: Path) -> None:
    own_cohort(project)
    spec = (project / "spec.yaml").read_text(encoding="utf-8")
    spec = f"title: '100 % {{of}} $x$'\n{spec}"
    (project / "spec.yaml").write_text(spec, encoding="utf-8")
    file = project / "my study (v2)" / "obs & more.csv"
    file.parent.mkdir()
    file.write_bytes((project / "data/magic-mrclean/nl/obs.csv").read_bytes())
    paths = (f"cohort={file.relative_to(project)}", "spec=spec.yaml")
    planned = snakemake("--cores", "1", "--dry-run", "--config", *paths, "--", "all")
    assert planned.returncode == 0, planned.stderr
    assert "results/cohorts/obs-more/scorecard.md" in planned.stdout


def test_a_cohort_without_a_specification_stops_before_any_job(snakemake: Run) -> None:
    paths = "cohort=data/magic-mrclean/nl/obs.csv"
    planned = snakemake("--cores", "1", "--dry-run", "--config", paths, "--", "all")
    assert planned.returncode == 1
    assert "spec: the path is missing" in planned.stdout + planned.stderr


def test_every_rule_has_a_script_a_log_and_a_stage_of_its_name() -> None:
    rules = {}
    for chapter in (ROOT / "workflow" / "rules").glob("*.smk"):
        for block in chapter.read_text(encoding="utf-8").split("\nrule ")[1:]:
            name, _, body = block.partition(":")
            rules[name] = body
    scripts = {path.stem for path in (ROOT / "workflow" / "scripts").glob("*.py")}
    assert rules.keys() == scripts
    for name, body in rules.items():
        assert f'"../scripts/{name}.py"' in body
        assert f'code_hash("{name}")' in body
        assert f'"<logs>/{name}' in body


def test_every_figure_and_table_has_a_caption_that_is_there() -> None:
    captions = {path.name for path in (ROOT / "workflow" / "report").glob("*.rst")}
    used = {"workflow.rst"}
    for chapter in (ROOT / "workflow" / "rules").glob("*.smk"):
        for part in chapter.read_text(encoding="utf-8").split('caption="../report/')[1:]:
            used.add(part.partition('"')[0])
    assert used == captions


def test_frozen_data_are_no_output_of_a_rule() -> None:
    for chapter in (ROOT / "workflow" / "rules").glob("*.smk"):
        for block in chapter.read_text(encoding="utf-8").split("    output:")[1:]:
            assert '"data/' not in block.partition("    params:")[0]


def planned_rules(output: str) -> set[str]:
    lines = output.partition("Job stats:")[2].partition("total")[0].splitlines()[3:]
    return {line.split()[0] for line in lines if line.strip()}


def overlay(project: Path, content: dict[str, object]) -> None:
    (project / "overlay.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
