"""One's own cohort by three paths becomes an experiment, or a message that says what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from replication.config import ConfigError, complete_config
from replication.experiments import Experiment, load_experiments
from replication.own_cohort import with_own_cohort

SPEC: dict[str, Any] = {
    "age": {"kind": "continuous"},
    "drug": {"kind": "ordinal", "levels": 2, "parents": {"age": "ls"}},
    "pain": {"kind": "ordinal", "levels": 3, "parents": {"age": "ls", "drug": "ls"}},
}
ENTRY: dict[str, Any] = {
    "models": {"ls": {"spec": SPEC}},
    "effects": [{"treatment": "drug", "outcome": "pain", "at_most": 1}],
    "ladder": {"base": "ls", "modifier": "age"},
}
ROWS = "age,drug,pain\n" + "".join(f"{60 + i},{i % 2},{i % 3}\n" for i in range(12))
RUN = {"run": {"complete": True}, "experiments": {}}


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    files = {"cohort": "My Cohort.csv", "trial": "rct.csv", "spec": "spec.yaml"}
    for key in ("cohort", "trial"):
        (tmp_path / files[key]).write_text(ROWS, encoding="utf-8")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(ENTRY), encoding="utf-8")
    return {key: str(tmp_path / name) for key, name in files.items()}


def load(config: dict[str, Any]) -> Experiment:
    complete = complete_config(with_own_cohort(RUN | config))
    (experiment,) = load_experiments(complete).values()
    return experiment


def rewrite(paths: dict[str, str], **changes: Any) -> None:
    Path(paths["spec"]).write_text(yaml.safe_dump(ENTRY | changes), encoding="utf-8")


def test_a_configuration_without_paths_is_left_alone() -> None:
    assert with_own_cohort(RUN) == RUN


def test_three_paths_are_a_whole_chapter(paths: dict[str, str]) -> None:
    experiment = load(paths)
    assert experiment.name == "my-cohort"
    assert not experiment.data.has_truth
    assert experiment.validation
    assert experiment.ladder is not None
    assert [entry["do"] for entry in experiment.interventions] == [{"drug": 0}, {"drug": 1}]
    chapter = {
        "calibration",
        "effects",
        "forest",
        "ladder",
        "odds_ratio_by_modifier",
        "trial_effects",
    }
    assert chapter < set(experiment.figures)
    assert "forecasts" not in experiment.figures


def test_results_go_where_git_does_not_look(paths: dict[str, str]) -> None:
    own = with_own_cohort(RUN | paths)
    assert own["pathvars"]["results"] == "results/cohorts/my-cohort"
    assert not {"cohort", "trial", "spec"} & own.keys()
    elsewhere = with_own_cohort(RUN | paths | {"pathvars": {"results": "mine"}})
    assert elsewhere["pathvars"]["results"] == "mine/cohorts/my-cohort"


def test_a_name_of_ones_own_is_that_of_results_and_tables(paths: dict[str, str]) -> None:
    own = with_own_cohort(RUN | paths | {"name": "second-try"})
    assert own["pathvars"]["results"] == "results/cohorts/second-try"
    assert "name" not in own
    assert load(paths | {"name": 2024}).name == "2024"
    for name, better in (("Second Try", "second-try"), ("../x", "x"), ("", "my-study")):
        with pytest.raises(ConfigError, match=f"^name: '{name}' must be .* such as '{better}'"):
            with_own_cohort(RUN | paths | {"name": name})
    with pytest.raises(ConfigError, match="cohort: the path is missing, got name"):
        with_own_cohort(RUN | {"name": "second-try"})


def test_figures_are_those_of_the_models_that_a_limit_leaves(paths: dict[str, str]) -> None:
    network = {**SPEC, "pain": {**SPEC["pain"], "parents": {"age": "cs", "drug": "ls"}}}
    rewrite(paths, models={"ls": {"spec": SPEC}, "net": {"spec": network}})
    assert "history" in load(paths).figures
    assert "history" not in load(paths | {"limits": {"models": 1}}).figures


def test_an_observational_file_alone_works(paths: dict[str, str]) -> None:
    del paths["trial"]
    experiment = load(paths)
    assert not experiment.validation
    assert not [figure for figure in experiment.figures if figure.startswith("trial")]


def test_a_population_without_outcomes_can_be_averaged_over(paths: dict[str, str]) -> None:
    Path(paths["trial"]).write_text("age\n60\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="has no column 'drug'"):
        load(paths)
    rewrite(paths, validation=False)
    assert load(paths).data.trial == paths["trial"]


@pytest.mark.parametrize("key", ["cohort", "spec"])
def test_a_missing_path_is_named(paths: dict[str, str], key: str) -> None:
    del paths[key]
    with pytest.raises(ConfigError, match=f"^{key}: the path is missing"):
        with_own_cohort(RUN | paths)


@pytest.mark.parametrize(
    ("misspelt", "meant"), [("cohrot", "cohort"), ("trail", "trial"), ("specs", "spec")]
)
def test_a_misspelt_key_is_named_whatever_else_is_missing(
    paths: dict[str, str], misspelt: str, meant: str
) -> None:
    paths[misspelt] = paths.pop(meant)
    message = f"unknown key '{misspelt}'.*Did you mean '{meant}'"
    with pytest.raises(ConfigError, match=message):
        load(paths)
    with pytest.raises(ConfigError, match=message):
        load({misspelt: paths[misspelt]})


@pytest.mark.parametrize("key", ["cohort", "trial", "spec"])
def test_a_path_to_nowhere_is_named(paths: dict[str, str], key: str) -> None:
    paths[key] += "x"
    with pytest.raises(ConfigError, match=f"^{key}: there is no file at"):
        with_own_cohort(RUN | paths)


def test_a_missing_column_is_named(paths: dict[str, str]) -> None:
    Path(paths["cohort"]).write_text("age,drugs,pain\n60,0,1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no column 'drug'.*Did you mean 'drugs'"):
        load(paths)


def test_a_brace_in_a_path_is_named(paths: dict[str, str]) -> None:
    file = Path(paths["cohort"])
    braced = file.rename(file.with_name("obs {v1}.csv"))
    with pytest.raises(ConfigError, match=r"cohort: .*obs \{v1\}\.csv' has a brace"):
        load(paths | {"cohort": str(braced)})


def test_a_specification_has_models_and_no_data(paths: dict[str, str]) -> None:
    rewrite(paths, data={"file": "x.csv"})
    with pytest.raises(ConfigError, match="says data"):
        with_own_cohort(RUN | paths)
    rewrite(paths, models=None)
    with pytest.raises(ConfigError, match="has no models"):
        with_own_cohort(RUN | paths)


def test_a_misspelt_key_of_the_specification_is_named(paths: dict[str, str]) -> None:
    rewrite(paths, lader={})
    with pytest.raises(ConfigError, match=r"unknown key 'lader'.*Did you mean 'ladder'"):
        load(paths)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ladder": {"base": "lss", "modifier": "age"}}, "'lss' is no model that is solved"),
        ({"ladder": {"base": "ls", "modifier": "drugs"}}, "'drugs' is no parent of 'pain'"),
        ({"ladder": {"base": "ls", "modifier": "drug"}}, "is ordinal"),
        ({"ladder": {"base": "ls", "modifier": "age", "outcome": "x"}}, "no effect with outcome"),
        ({"effects": []}, "there is no effect in effects"),
        (
            {"published": [{"name": "a", "by": "model", "quantity": "ATE", "value": 1}]},
            "published\\[0\\].model",
        ),
        (
            {"published": [{"name": "a", "by": "truth", "quantity": "ATE", "value": 1}]},
            "no process",
        ),
        (
            {"published": [{"name": "a", "by": "cohort", "quantity": "ATE", "value": 1}]},
            "is no number by 'cohort'",
        ),
    ],
)
def test_a_chapter_that_cannot_be_written_says_why(
    paths: dict[str, str], changes: dict[str, Any], message: str
) -> None:
    rewrite(paths, **changes)
    with pytest.raises(ConfigError, match=message):
        load(paths)


@pytest.mark.parametrize(
    "pain",
    [
        {"kind": "ordinal", "levels": 4, "parents": ["age", "drug"]},
        {"kind": "ordinal", "levels": 4, "parents": None},
        {"kind": "ordinal", "levels": 4, "terms": None},
        ["age"],
    ],
)
def test_a_malformed_node_is_named(paths: dict[str, str], pain: Any) -> None:
    spec = {**ENTRY["models"]["ls"]["spec"], "pain": pain}
    rewrite(paths, models={"ls": {"spec": spec}})
    with pytest.raises(ConfigError, match=r"models\.ls\.spec\.pain"):
        with_own_cohort(RUN | paths)


@pytest.mark.parametrize(("key", "kind"), [(2020, "an integer"), (False, "a boolean")])
def test_a_name_that_yaml_takes_for_something_else_is_to_be_quoted(
    paths: dict[str, str], key: object, kind: str
) -> None:
    spec = {"models": {"ls": {"spec": {key: {"kind": "continuous"}}}}}
    Path(paths["spec"]).write_text(yaml.safe_dump(spec), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"models\.ls\.spec: the key {key} is {kind} .* quot"):
        load(paths)


def test_effects_that_are_nothing_are_named(paths: dict[str, str]) -> None:
    rewrite(paths, effects=None)
    with pytest.raises(ConfigError, match="effects: None must be of type array"):
        with_own_cohort(RUN | paths)


def test_a_file_that_is_no_text_is_named(paths: dict[str, str]) -> None:
    Path(paths["cohort"]).write_bytes("âge,drug,pain\n60,0,1\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"cohort: .* is no text in UTF-8"):
        load(paths)
    Path(paths["spec"]).write_text("models: {ls: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"spec: .* is no YAML"):
        with_own_cohort(RUN | paths)


def test_a_cohort_named_like_an_experiment_is_none_of_its_claims(paths: dict[str, str]) -> None:
    file = Path(paths["cohort"])
    twin = file.with_name("Vaca.csv")
    twin.write_bytes(file.read_bytes())
    own = with_own_cohort(RUN | paths | {"cohort": str(twin), "experiments": {"vaca": {}}})
    assert own["only"] == ["own-vaca"]
    assert own["pathvars"]["results"] == "results/cohorts/own-vaca"
