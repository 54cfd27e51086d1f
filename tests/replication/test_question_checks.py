"""Questions without an answer stop a run before its first job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from replication.config import ConfigError, complete_config
from replication.experiments import Experiment, load_experiments

SPEC = {
    "x": {"kind": "continuous"},
    "late": {"kind": "ordinal", "levels": 2, "parents": {"y": "ls"}},
    "t": {"kind": "ordinal", "levels": 2, "parents": {"x": "ls"}},
    "y": {"kind": "ordinal", "levels": 7, "parents": {"x": "ci", "t": "ls"}},
}
EFFECT = {"treatment": "t", "outcome": "y", "at_most": 2}
ROW = {"x": 0.5, "late": 0, "t": 1, "y": 6}
CURVE = {"observation": ROW, "intervene": "x", "node": "y", "start": -1, "stop": 1, "step": 0.1}


def load(spec: dict[str, Any] = SPEC, **entry: Any) -> Experiment:
    models = {"first": {"spec": SPEC}, "m": {"spec": spec}}
    data = {"process": "magic-mrclean", "rows": 100}
    experiment = {"title": "test", "data": data, "models": models} | entry
    config = {"run": {"name": "test", "complete": False}, "experiments": {"e": experiment}}
    return load_experiments(complete_config(config))["e"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"interventions": [{"do": {"t": 1}}, {"do": {"t": 5}}]},
            r"e\.interventions\[1\]\.do\.t: 5",
        ),
        ({"interventions": [{"do": {"y": 1.5}}]}, r"1\.5 is no value of 'y'.*levels 0 to 6"),
        ({"interventions": [{"do": {"x": float("nan")}}]}, r"nan is no value of 'x'.*finite"),
        ({"interventions": [{"do": {"tt": 0}}]}, r"interventions\[0\]\.do: 'tt' is no node"),
        (
            {"counterfactuals": {"interventions": [{"do": {"t": -1}}]}},
            r"counterfactuals\.interventions\[0\]\.do\.t: -1 is no value of 't'.*levels 0 to 1",
        ),
        ({"effects": [EFFECT | {"at_most": 6}]}, r"effects\[0\]\.at_most: 6 .*allowed are 0 to 5"),
        ({"effects": [EFFECT | {"treatment": "x"}]}, r"'x' is not ordinal with .* are late, t"),
        ({"effects": [EFFECT | {"treatment": "y"}]}, r"'y' is not ordinal with two levels"),
        ({"effects": [EFFECT | {"outcome": "x"}]}, r"'x' is not ordinal .* such are late, t, y"),
        (
            {"effects": [EFFECT | {"treatment": "late"}]},
            r"effects\[0\]\.treatment: 'late' is no ancestor of 'y'.*; ancestors are x, t",
        ),
        ({"conditionals": [{"node": "y"}]}, r"'y' is ordinal .* cutpoints"),
        ({"conditionals": [{"node": "x", "given": {"y": 1}}]}, r"values of y; 'x' needs"),
        ({"shifts": [{"node": "y", "parent": "x"}]}, r"'x' enters 'y' by no shift .* do are t"),
        (
            {"odds_ratios": [{"node": "y", "parent": "t", "threshold": 1}]},
            r"odds_ratios\[0\]\.parent: 't' is ordinal .* continuous parents are x",
        ),
        *(
            ({"counterfactuals": {"curves": [CURVE | change]}}, rf"curves\[0\]\.{message}")
            for change, message in (
                ({"intervene": "xx"}, r"intervene: 'xx' is no node .* Did you mean 'x'"),
                ({"node": "z"}, r"node: 'z' is no node of the model 'first'; such are x, late"),
                ({"observation": ROW | {"z": 1}}, r"observation: 'z' is no node"),
                ({"observation": {"x": 1}}, r"observation: there is no value of 'late'"),
                ({"observation": ROW | {"t": 2}}, r"observation\.t: 2 is no value of 't'"),
                ({"stop": -2}, r"stop: -2 is below start, -1"),
                ({"intervene": "t"}, r"start: -1 is no value of 't'"),
                ({"intervene": "y", "start": 0}, r"step: 0\.1 leaves the levels of 'y'"),
            )
        ),
    ],
)
def test_a_question_without_an_answer_is_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load(**entry)
    assert str(error.value).startswith("experiments.e.")
    assert "the model 'first'" in str(error.value) or "stop" in message or "step" in message


def test_questions_with_an_answer_pass() -> None:
    curves = [CURVE, CURVE | {"intervene": "y", "start": 0, "stop": 6, "step": 2}]
    experiment = load(
        interventions=[{"do": {"t": 1, "x": -3.5}}, {"do": {"y": 6.0}}],
        effects=[EFFECT, EFFECT | {"at_most": 5}, EFFECT | {"at_most": 0}],
        shifts=[{"node": "y", "parent": "t"}],
        odds_ratios=[{"node": "y", "parent": "x", "threshold": 1}],
        counterfactuals={"interventions": [{"do": {"t": 0}}], "curves": curves},
    )
    assert len(experiment.questions["curves"]) == 2


def test_every_model_must_have_the_answer() -> None:
    apart = SPEC | {"y": {"kind": "ordinal", "levels": 7, "parents": {"x": "ls"}}}
    with pytest.raises(ConfigError, match=r"'t' is no ancestor of 'y' in the model 'm'"):
        load(apart, effects=[EFFECT])


def test_a_specification_is_checked_under_its_name() -> None:
    cycle = SPEC | {"x": {"kind": "continuous", "parents": {"late": "ls"}}}
    with pytest.raises(ConfigError, match=r"^experiments\.e\.models\.m\.spec: .* cycle"):
        load(cycle)


def test_a_study_of_coverage_names_the_models_it_can_have() -> None:
    exact = SPEC | {"y": {"kind": "ordinal", "levels": 7, "parents": {"x": "ls", "t": "ls"}}}
    study = {"model": "l", "replicates": 10, "rows": 100}
    with pytest.raises(ConfigError, match=r"e\.coverage\.model: 'l' is no model .* such are m"):
        load(exact, coverage=study)


def test_forecasts_of_a_cohort_without_a_process_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.touch()
    asked = {"interventions": [{"do": {"t": 0}}]}
    with pytest.raises(ConfigError, match=r"'forecasts' compares with .* leave the figure out"):
        load(data={"file": str(file)}, counterfactuals=asked, figures=["forecasts"])
