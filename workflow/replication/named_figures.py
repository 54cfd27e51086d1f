"""Figures under names of their own, such as that of the figure of a paper which they regenerate.

Plain Python without numerical packages, as in :mod:`replication.experiments`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replication.config import ConfigError, check_known

if TYPE_CHECKING:
    from replication.experiments import Experiment

__all__ = ["NamedFigure", "load_named_figures"]


@dataclass(frozen=True)
class NamedFigure:
    """A figure of an experiment under a name of its own.

    Attributes:
        name: Name of its files.
        experiment: Name of the experiment.
        figure: Which of the experiment's figures it is.
        caption: What it shows, beside which figure of a paper.
        gallery: Whether a small copy belongs to the gallery of the documentation.
    """

    name: str
    experiment: str
    figure: str
    caption: str
    gallery: bool

    def file(self, suffix: str) -> str:
        """The experiment's file, with Snakemake's path variable."""
        return f"<results>/figures/{self.experiment}/{self.figure}.{suffix}"


def load_named_figures(
    config: Mapping[str, Any], experiments: Mapping[str, Experiment]
) -> dict[str, NamedFigure]:
    """The named figures of the experiments of a run.

    Args:
        config: A completed configuration.
        experiments: The experiments of the run.

    Raises:
        ConfigError: A figure is one of no experiment, or its experiment does not draw it.
    """
    found = {}
    for name, entry in config["named_figures"].items():
        where = f"named_figures.{name}"
        known = config["experiments"]
        check_known(entry["experiment"], known, where=f"{where}.experiment", what="experiment")
        if entry["experiment"] not in experiments:
            continue
        drawn = experiments[entry["experiment"]].figures
        if entry["figure"] not in drawn:
            raise ConfigError(
                f"{where}.figure: experiment {entry['experiment']!r} does not draw "
                f"{entry['figure']!r}; its figures are {', '.join(drawn) or 'none'}. Add it there."
            )
        found[name] = NamedFigure(name=name, **entry)
    return found
