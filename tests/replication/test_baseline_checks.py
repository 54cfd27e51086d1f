"""Baselines in a configuration: what stops a run before its first job."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from replication.baseline_checks import SETTINGS
from replication.config import ConfigError, complete_config
from replication.experiments import Experiment, load_experiments
from tramdag import CausalFlowDAG

GRAPH = {"x1": {"kind": "continuous"}, "x2": {"kind": "continuous", "parents": {"x1": "ls"}}}


def load(
    baseline: Any = None,
    *,
    spec: dict[str, Any] = GRAPH,
    fit: dict[str, Any] | None = None,
    alone: bool = False,
    **entry: Any,
) -> Experiment:
    models: dict[str, Any] = {} if alone else {"ls": {"spec": GRAPH}}
    models["flow"] = {"spec": spec, "baseline": baseline or {"kind": "affine"}, "fit": fit or {}}
    experiment = {
        "title": "test",
        "data": {"process": "vaca", "rows": 1000},
        "models": models,
        **entry,
    }
    config = {
        "run": {"name": "test", "complete": False},
        "limits": {"epochs": 7},
        "experiments": {"e": experiment},
    }
    return load_experiments(complete_config(config))["e"]


def test_a_baseline_is_trained_by_steps_however_linear_its_graph() -> None:
    experiment = load(fit={"epochs": 40, "learning_rate": 0.1})
    flow = experiment.models["flow"]
    assert experiment.models["ls"].exact
    assert not flow.exact
    assert flow.fit == {"epochs": 7, "learning_rate": 0.1}
    assert flow.baseline == {"kind": "affine", "hidden": [64, 64], "layers": 1}
    assert experiment.crosschecked_models() == ["ls"]


def test_a_baseline_is_not_asked_for_shifts_and_odds_ratios() -> None:
    experiment = load(
        spec={"x1": {"kind": "continuous"}, "x2": {"kind": "continuous", "parents": {"x1": "ci"}}},
        interventions=[{"do": {"x1": 1.0}}],
        shifts=[{"node": "x2", "parent": "x1"}],
        odds_ratios=[{"node": "x2", "parent": "x1", "threshold": 0.0}],
    )
    assert experiment.questions_to("ls") == experiment.questions
    asked = experiment.questions_to("flow")
    assert (asked["shifts"], asked["odds_ratios"]) == ([], [])
    assert asked["interventions"] == [{"x1": 1.0}]


def test_an_experiment_needs_a_model_that_is_no_baseline() -> None:
    with pytest.raises(ConfigError, match="every model is a baseline"):
        load(alone=True)


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ({"kind": "afine"}, "Did you mean 'affine'"),
        ({"kind": "affine", "layer": 2}, "unknown key 'layer'"),
        ({"hidden": [8]}, "the key 'kind' is missing"),
        ({"kind": "spline", "layers": 2}, "baseline.layers: 2 layers along the edges"),
    ],
)
def test_a_wrong_size_says_what_is_allowed(baseline: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(baseline)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        ({"plateau_patience": 3}, "fit.plateau_patience: no setting of a baseline's training"),
        ({"schedule": "plateau"}, "fit.schedule: 'plateau'"),
    ],
)
def test_a_setting_that_has_no_meaning_is_refused(fit: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(fit=fit)


def test_a_graph_must_have_an_edge_and_continuous_nodes() -> None:
    ordinal = GRAPH | {"x2": {"kind": "ordinal", "levels": 3, "parents": {"x1": "ls"}}}
    with pytest.raises(ConfigError, match=r"spec\.x2: a baseline is a density"):
        load(spec=ordinal)
    with pytest.raises(ConfigError, match="no node has a parent"):
        load(spec={name: {"kind": "continuous"} for name in ("x1", "x2")})


def test_the_settings_of_a_baseline_are_settings_of_the_library_too() -> None:
    # so that one entry of experiments.yaml trains both by the same recipe
    assert SETTINGS.keys() <= inspect.signature(CausalFlowDAG.fit).parameters.keys()
