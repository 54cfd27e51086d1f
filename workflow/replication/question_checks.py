"""What a configuration asks of its models: whether every one of them has an answer.

Plain Python, as in :mod:`replication.experiments`, so that a question without an answer stops the
run before its first job.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from replication.config import ConfigError, check_known
from replication.spec_checks import Spec, ancestors, parents_of, terms_of

if TYPE_CHECKING:
    from replication.experiments import Experiment

__all__ = ["check_figures", "check_questions"]


_NOT_ASKED_OF_BASELINES = frozenset({"shifts", "conditionals", "odds_ratios"})


def check_questions(experiment: Experiment) -> None:
    """Every question names nodes of every model, and sets them to values that they can have.

    Raises:
        ConfigError: Some question has no answer; the message names experiment, key and model.
    """
    for name, model in experiment.models.items():
        _check_columns(experiment, name, model.spec)
        for place, number, entry in _entries(experiment):
            if model.baseline is not None and place in _NOT_ASKED_OF_BASELINES:
                continue
            where = f"experiments.{experiment.name}.{place}[{number}]"
            _CHECKS[place](entry, model.spec, where, f"the model {name!r}")


def _entries(experiment: Experiment) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    asked = {
        "interventions": experiment.interventions,
        "shifts": experiment.shifts,
        "conditionals": experiment.conditionals,
        "effects": experiment.effects,
        "odds_ratios": experiment.odds_ratios,
        "counterfactuals.interventions": experiment.counterfactuals.get("interventions", ()),
        "counterfactuals.curves": experiment.counterfactuals.get("curves", ()),
    }
    for place, entries in asked.items():
        for number, entry in enumerate(entries):
            yield place, number, entry


def _check_columns(experiment: Experiment, model: str, spec: Spec) -> None:
    for place, name in _named_columns(experiment):
        where = f"experiments.{experiment.name}.{place}"
        check_known(name, spec, where=where, what=f"node of the model {model!r}")


def _named_columns(experiment: Experiment) -> Iterator[tuple[str, str]]:
    for key in experiment.units:
        yield "units", key
    for place, number, entry in _entries(experiment):
        where = f"{place}[{number}]"
        for key in ("node", "parent", "treatment", "outcome", "intervene"):
            if key in entry:
                yield f"{where}.{key}", entry[key]
        for key in ("do", "given", "observation"):
            yield from ((f"{where}.{key}", name) for name in entry.get(key, ()))


def _check_do(entry: Mapping[str, Any], spec: Spec, where: str, model: str) -> None:
    for name, value in entry["do"].items():
        _check_value(value, spec, name, where=f"{where}.do.{name}", model=model)


def _check_value(value: float, spec: Spec, name: str, *, where: str, model: str) -> None:
    if spec[name]["kind"] == "continuous":
        allowed = math.isfinite(value)
        values = "finite numbers"
    else:
        levels = spec[name]["levels"]
        allowed = value in range(levels)
        values = f"the levels 0 to {levels - 1}"
    if not allowed:
        raise ConfigError(
            f"{where}: {value!r} is no value of {name!r} in {model}; allowed are {values}."
        )


def _check_shift(entry: Mapping[str, Any], spec: Spec, where: str, model: str) -> None:
    node, parent = entry["node"], entry["parent"]
    alone = [p[0] for kind, p in terms_of(spec[node]) if kind in {"ls", "cs"} and len(p) == 1]
    if parent not in alone:
        raise ConfigError(
            f"{where}.parent: {parent!r} enters {node!r} by no shift of its own (ls or cs) in "
            f"{model}; parents that do are {', '.join(alone) or 'none'}."
        )


def _check_conditional(entry: Mapping[str, Any], spec: Spec, where: str, model: str) -> None:
    node, given = entry["node"], entry["given"]
    if spec[node]["kind"] != "continuous":
        raise ConfigError(
            f"{where}.node: {node!r} is ordinal in {model}; the log odds of its levels are its "
            "cutpoints, which stand in the table of coefficients."
        )
    parents = parents_of(spec[node])
    if set(given) != set(parents):
        raise ConfigError(
            f"{where}.given: got values of {', '.join(given) or 'nothing'}; {node!r} needs one of "
            f"each of its parents in {model}: {', '.join(parents) or 'it has none'}."
        )
    for name, value in given.items():
        _check_value(value, spec, name, where=f"{where}.given.{name}", model=model)


def _check_effect(entry: Mapping[str, Any], spec: Spec, where: str, model: str) -> None:
    treatment, outcome = entry["treatment"], entry["outcome"]
    if spec[treatment].get("levels") != 2:
        binary = [name for name, node in spec.items() if node.get("levels") == 2]
        raise ConfigError(
            f"{where}.treatment: {treatment!r} is not ordinal with two levels in {model}; such "
            f"are {', '.join(binary) or 'none'}."
        )
    if spec[outcome]["kind"] != "ordinal":
        ordinal = [name for name, node in spec.items() if node["kind"] == "ordinal"]
        raise ConfigError(
            f"{where}.outcome: {outcome!r} is not ordinal in {model}; such are "
            f"{', '.join(ordinal)}."
        )
    causes = ancestors(spec, outcome)
    if treatment not in causes:
        raise ConfigError(
            f"{where}.treatment: {treatment!r} is no ancestor of {outcome!r} in {model}; "
            f"ancestors are {', '.join(name for name in spec if name in causes) or 'none'}."
        )
    levels = spec[outcome]["levels"]
    if entry["at_most"] not in range(levels - 1):
        raise ConfigError(
            f"{where}.at_most: {entry['at_most']!r} must be a level of {outcome!r} below its "
            f"highest in {model}; allowed are 0 to {levels - 2}."
        )


def _check_odds_ratio(entry: Mapping[str, Any], spec: Spec, where: str, model: str) -> None:
    parent = entry["parent"]
    if spec[parent]["kind"] != "continuous":
        continuous = [
            name for name in parents_of(spec[entry["node"]]) if "levels" not in spec[name]
        ]
        raise ConfigError(
            f"{where}.parent: {parent!r} is ordinal in {model} and its highest level cannot be "
            f"raised; continuous parents are {', '.join(continuous) or 'none'}."
        )


def _check_curve(entry: Mapping[str, Any], spec: Spec, where: str, model: str) -> None:
    observed = entry["observation"]
    missing = [name for name in spec if name not in observed]
    if missing:
        raise ConfigError(
            f"{where}.observation: there is no value of {missing[0]!r}; {model} needs one of "
            f"{', '.join(spec)}."
        )
    for name, value in observed.items():
        _check_value(value, spec, name, where=f"{where}.observation.{name}", model=model)
    if entry["stop"] < entry["start"]:
        raise ConfigError(
            f"{where}.stop: {entry['stop']!r} is below start, {entry['start']!r}; the grid goes up."
        )
    for key in ("start", "stop"):
        _check_value(entry[key], spec, entry["intervene"], where=f"{where}.{key}", model=model)
    if spec[entry["intervene"]]["kind"] == "ordinal" and entry["step"] % 1:
        raise ConfigError(
            f"{where}.step: {entry['step']!r} leaves the levels of {entry['intervene']!r}; "
            "allowed are whole numbers."
        )


_CHECKS = {
    "interventions": _check_do,
    "shifts": _check_shift,
    "conditionals": _check_conditional,
    "effects": _check_effect,
    "odds_ratios": _check_odds_ratio,
    "counterfactuals.interventions": _check_do,
    "counterfactuals.curves": _check_curve,
}


_FIGURE_NEEDS = {
    "calibration": "effects",
    "counterfactuals": "counterfactuals.curves",
    "coverage": "coverage",
    "densities": "interventions",
    "effects": "effects",
    "forecasts": "counterfactuals.interventions",
    "ladder": "ladder",
    "mechanisms": "conditionals",
    "monte_carlo": "monte_carlo",
    "odds_ratio": "odds_ratios",
    "odds_ratio_by_modifier": "ladder",
    "shift_curves": "shifts",
    "trial_benefit": "validation",
    "trial_effects": "validation",
    "trial_outcomes": "validation",
    "trial_risks": "validation",
}


def check_figures(experiment: Experiment) -> None:
    """Every figure has something to draw.

    Raises:
        ConfigError: A figure has nothing to draw; the message names it.
    """
    by_steps = {"history", "trajectories"} & set(experiment.figures)
    if by_steps and all(model.exact for model in experiment.models.values()):
        raise ConfigError(
            f"experiments.{experiment.name}.figures: {min(by_steps)!r} draws training by steps, "
            "but every model is solved exactly; leave the figure out."
        )
    if "forest" in experiment.figures and not any(m.exact for m in experiment.models.values()):
        raise ConfigError(
            f"experiments.{experiment.name}.figures: 'forest' draws the coefficients of models "
            "that are solved exactly, of which there are none; leave the figure out."
        )
    if "forecasts" in experiment.figures and not experiment.data.has_truth:
        raise ConfigError(
            f"experiments.{experiment.name}.figures: 'forecasts' compares with the levels that a "
            "process gives, of which there is none; leave the figure out."
        )
    if "pairs" in experiment.figures and not experiment.data.has_truth:
        raise ConfigError(
            f"experiments.{experiment.name}.figures: 'pairs' shows fresh rows of a process beside "
            "those of the models, and there is none; leave the figure out."
        )
    for figure in experiment.figures:
        need = _FIGURE_NEEDS.get(figure)
        if need is None:
            continue
        place, _, key = need.partition(".")
        found = getattr(experiment, place)
        found = found.get(key) if key else found
        if not found:
            raise ConfigError(
                f"experiments.{experiment.name}.figures: {figure!r} draws {need}, of which there "
                "are none; add some or leave the figure out."
            )
