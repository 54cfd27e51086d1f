"""The chapter of a cohort as the rules see it: its ladder of specifications, its published numbers.

Plain Python, as in :mod:`replication.experiments`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replication.config import ConfigError, check_known
from replication.spec_checks import Spec, parents_of

__all__ = ["Ladder", "check_chapter", "load_ladder"]


@dataclass(frozen=True)
class Ladder:
    """A comparison of specifications of one outcome.

    Attributes:
        base: The model that the others are compared with.
        modifier: The column that the treatment's odds ratio may vary with.
        treatment: The treatment.
        outcome: The outcome, whose node the specifications are about.
        at_most: Highest level of the outcome that counts as good.
        folds: Folds of the cross-validation.
        seeds: Seeds of the networks in every fold, 0, 1, ....
    """

    base: str
    modifier: str
    treatment: str
    outcome: str
    at_most: int
    folds: int
    seeds: tuple[int, ...]

    @property
    def plan(self) -> dict[str, Any]:
        """What is compared, ready for a rule's params."""
        return {
            key: getattr(self, key)
            for key in ("base", "modifier", "treatment", "outcome", "at_most")
        }


def load_ladder(
    name: str, entry: Mapping[str, Any], *, exact: Sequence[str], limits: Mapping[str, Any]
) -> Ladder | None:
    """The ladder that an experiment asks for, or None.

    Args:
        name: Name of the experiment.
        entry: Its completed entry.
        exact: Names of its models that are solved exactly.
        limits: Upper limits of the run.

    Raises:
        ConfigError: There is no file to fold, no such effect, an unknown name, or a base that is
            not solved exactly.
    """
    plan = entry.get("ladder")
    if plan is None:
        return None
    where = f"experiments.{name}.ladder"
    if "file" not in entry["data"]:
        raise ConfigError(f"{where}: cross-validation needs data.file, whose rows it folds.")
    check_known(plan["base"], exact, where=f"{where}.base", what="model that is solved exactly")
    asked = {key: plan[key] for key in ("treatment", "outcome") if key in plan}
    fitting = [effect for effect in entry["effects"] if asked.items() <= effect.items()]
    if not fitting:
        raise ConfigError(
            f"{where}: there is no effect"
            + "".join(f" with {key}: {value}" for key, value in asked.items())
            + " in effects, whose average the specifications are compared by; add one."
        )
    effect = fitting[0]
    seeds = min(plan["seeds"], limits["seeds"] or plan["seeds"])
    ladder = Ladder(
        base=plan["base"],
        modifier=plan["modifier"],
        treatment=effect["treatment"],
        outcome=effect["outcome"],
        at_most=effect["at_most"],
        folds=plan["folds"],
        seeds=tuple(range(seeds)),
    )
    for model, content in entry["models"].items():
        _check_names(ladder, content["spec"], where=where, model=model)
    return ladder


def _check_names(ladder: Ladder, spec: Spec, *, where: str, model: str) -> None:
    ordinal = [name for name, node in spec.items() if node["kind"] == "ordinal"]
    what = f"ordinal node of the model {model!r}"
    check_known(ladder.outcome, ordinal, where=f"{where}.outcome", what=what)
    parents = parents_of(spec[ladder.outcome])
    what = f"parent of {ladder.outcome!r} in the model {model!r}"
    check_known(ladder.treatment, parents, where=f"{where}.treatment", what=what)
    check_known(ladder.modifier, parents, where=f"{where}.modifier", what=what)
    if spec[ladder.modifier]["kind"] != "continuous":
        raise ConfigError(
            f"{where}.modifier: {ladder.modifier!r} is ordinal in the model {model!r}; a curve of "
            "odds ratios needs a continuous modifier."
        )


def check_chapter(name: str, entry: Mapping[str, Any], *, models: Sequence[str]) -> None:
    """What validation and published numbers need is there.

    Args:
        name: Name of the experiment.
        entry: Its completed entry.
        models: Names of its models.

    Raises:
        ConfigError: There is no trial or no effect, or a published number names no model.
    """
    where = f"experiments.{name}"
    if entry["validation"] and "trial" not in entry["data"]:
        raise ConfigError(
            f"{where}.validation: there is no trial; give data.trial or leave it out."
        )
    for key in ("validation", "published"):
        if entry[key] and not entry["effects"]:
            raise ConfigError(f"{where}.{key}: there are no effects; add one or leave it out.")
    for number, published in enumerate(entry["published"]):
        place = f"{where}.published[{number}]"
        by, model = published["by"], published.get("model")
        if (by in {"model", "R"}) != (model is not None) or (model and model not in models):
            raise ConfigError(
                f"{place}.model: got {model!r} for a number by {by!r}; numbers by 'model' and 'R' "
                f"name one of {', '.join(models)}, the others none."
            )
        if by == "truth" and "process" not in entry["data"]:
            raise ConfigError(f"{place}.by: there is no process that knows the truth.")
        if (by == "cohort" and published["quantity"] != "naive contrast") or (
            by in {"model", "R"} and published["quantity"] == "naive contrast"
        ):
            raise ConfigError(
                f"{place}.quantity: {published['quantity']!r} is no number by {by!r}; 'cohort' "
                "gives the naive contrast, models and R give P0, P1 and ATE."
            )
        if by == "cohort" and "file" not in entry["data"]:
            raise ConfigError(f"{place}.by: the contrast of a cohort needs data.file.")
