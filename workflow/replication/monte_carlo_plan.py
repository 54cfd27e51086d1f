"""A Monte Carlo study as the rules see it; plain Python, as in :mod:`replication.experiments`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication.chunks import chunks
from replication.config import ConfigError, check_known
from replication.spec_checks import Spec, ancestors, parents_of

__all__ = ["MonteCarlo", "Variant", "load_monte_carlo"]


@dataclass(frozen=True)
class Variant:
    """One process of a study and the population of its effects.

    Attributes:
        generator: Name and arguments of the process.
        trial: CSV file with the rows that effects are averaged over.
    """

    generator: Mapping[str, Any]
    trial: str


@dataclass(frozen=True)
class MonteCarlo:
    """A study of how average effects are estimated over fresh cohorts.

    Attributes:
        models: The models that are fitted to every cohort; the first is the one that the others
            are compared with.
        cohorts: Fresh cohorts, numbered 0, 1, ....
        rows: Rows of each.
        cohorts_per_job: How many of them one job handles.
        level: Nominal level of the intervals.
        variants: Processes by name.
    """

    models: tuple[str, ...]
    cohorts: int
    rows: int
    cohorts_per_job: int
    level: float
    variants: Mapping[str, Variant]

    def chunks(self) -> list[str]:
        """Labels of the groups of cohorts that one job each handles, such as ``0-99``."""
        return chunks(range(self.cohorts), self.cohorts_per_job)


def load_monte_carlo(
    name: str, entry: Mapping[str, Any], *, limits: Mapping[str, Any]
) -> MonteCarlo | None:
    """The study that an experiment asks for, or None.

    Args:
        name: Name of the experiment.
        entry: Its completed entry.
        limits: Upper limits of the run.

    Raises:
        ConfigError: There is no process or no effect, a model is unknown, a population is missing,
            or an effect needs more than the outcome's own model.
    """
    study = entry.get("monte_carlo")
    if study is None:
        return None
    where = f"experiments.{name}.monte_carlo"
    process = entry["data"].get("process")
    if process is None:
        raise ConfigError(f"{where}: fresh cohorts need a process to draw them from.")
    if not entry["effects"]:
        raise ConfigError(f"{where}: the study is about average effects; add some to `effects`.")
    for model in study["models"]:
        check_known(model, entry["models"], where=f"{where}.models", what="model of the experiment")
        for effect in entry["effects"]:
            _check_no_mediator(entry["models"][model]["spec"], effect, where=f"{where}.models")
    own = {"arguments": entry["data"]["arguments"], "trial": entry["data"].get("trial")}
    variants = {
        key: _variant(process, variant, where=f"{where}.variants.{key}")
        for key, variant in (study["variants"] or {process: own}).items()
    }
    lowered = {
        "cohorts": min(study["cohorts"], limits["replicates"] or study["cohorts"]),
        "rows": min(study["rows"], limits["rows"] or study["rows"]),
    }
    models: Sequence[str] = study["models"]
    return MonteCarlo(**study | lowered | {"models": tuple(models), "variants": variants})


def _variant(process: str, entry: Mapping[str, Any], *, where: str) -> Variant:
    trial = entry["trial"]
    if trial is None or not Path(trial).exists():
        raise ConfigError(
            f"{where}.trial: the average effect needs a fixed population, a CSV file; there is "
            f"{'none' if trial is None else f'nothing at {trial!r}'}."
        )
    return Variant({"name": process, "arguments": dict(entry["arguments"])}, trial)


def _check_no_mediator(spec: Spec, effect: Mapping[str, Any], *, where: str) -> None:
    """Only the outcome's node is fitted, so no other parent may respond to the treatment."""
    outcome, treatment = effect["outcome"], effect["treatment"]
    if outcome not in spec:
        return  # the questions have their own check
    responding = [p for p in parents_of(spec[outcome]) if treatment in ancestors(spec, p)]
    if responding:
        raise ConfigError(
            f"{where}: {treatment!r} also acts on {outcome!r} by way of {responding[0]!r}, whose "
            "node this study does not fit; leave the study out."
        )
