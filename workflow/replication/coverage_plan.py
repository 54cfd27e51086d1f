"""A study of coverage as the rules see it; plain Python, as in :mod:`replication.experiments`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replication.chunks import chunks
from replication.config import ConfigError, check_known

__all__ = ["Coverage", "load_coverage"]


@dataclass(frozen=True)
class Coverage:
    """A study of how often the intervals of an exact model cover the truth.

    Attributes:
        model: The model that is fitted to every replicate.
        replicates: Fresh data sets, numbered 0, 1, ....
        rows: Rows of each.
        level: Nominal level of the intervals.
        replicates_per_job: How many of them one job handles.
    """

    model: str
    replicates: int
    rows: int
    level: float
    replicates_per_job: int

    def chunks(self) -> list[str]:
        """Labels of the groups of replicates that one job each handles, such as ``0-249``."""
        return chunks(range(self.replicates), self.replicates_per_job)


def load_coverage(
    name: str, entry: Mapping[str, Any], *, exact: Sequence[str], limits: Mapping[str, Any]
) -> Coverage | None:
    """The study that an experiment asks for, or None.

    Args:
        name: Name of the experiment.
        entry: Its completed entry.
        exact: Names of its models that are solved exactly.
        limits: Upper limits of the run.

    Raises:
        ConfigError: There is no process to draw from, the model is not exact, or an average effect
            has no fixed population.
    """
    study = entry.get("coverage")
    if study is None:
        return None
    where = f"experiments.{name}.coverage"
    if "process" not in entry["data"]:
        raise ConfigError(f"{where}: fresh data sets need a process to draw them from.")
    check_known(study["model"], exact, where=f"{where}.model", what="model that is solved exactly")
    if entry["effects"] and "trial" not in entry["data"]:
        raise ConfigError(
            f"{where}: the average effect needs a fixed population, data.trial; got none."
        )
    lowered = {key: min(study[key], limits[key] or study[key]) for key in ("replicates", "rows")}
    return Coverage(**study | lowered)
