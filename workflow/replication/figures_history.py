"""The figure of losses by epoch, drawn from stored tables only."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from replication.questions import select_rows
from replication.spread import PALE, STRONG, median_seeds, seeds_around, titles_with_seeds
from replication.style import legend_below, looks, new_figure

__all__ = ["EARLY", "draw_history"]

EARLY = 0.05
"""Share of a run's epochs, at the start of training, that a history may cut off above."""

_SOLVED: dict[str, Any] = {"ha": "center", "va": "center", "color": "0.45", "fontsize": 8}

_TRAINING: dict[str, Any] = {"lw": 1.0, "ls": (0, (2, 1.2))}


def draw_history(history: pd.DataFrame, *, titles: Mapping[str, str]) -> Figure:
    """Losses by epoch, a row of panels per model that was trained by steps, a column per node.

    The median seed is strong, with its training loss; of the others the validation loss is drawn.
    The panels of a node share their vertical axis, but not the horizontal one: a few hundred passes
    over all rows and a few dozen epochs of mini-batches are not the same thing.

    Args:
        history: Table ``history`` of the fits, with a single row for a node solved exactly. Its
            nodes stand in the order of the graph.
        titles: Model names to titles.
    """
    trained = history[history.groupby(["model", "seed", "node"])["epoch"].transform("size") > 1]
    nodes = [node for node in history["node"].unique() if node in set(trained["node"])]
    models = titles_with_seeds(trained, titles)
    median = median_seeds(trained, value="validation", within=["node"])
    shown = trained.assign(
        train=trained["train"].where(trained["seed"] == trained["model"].map(median))
    )
    figure, axes = new_figure(len(models), len(nodes), panel=(2.75, 1.75))
    style = looks(titles)
    for row, (model, title) in zip(axes, models.items(), strict=True):
        own = select_rows(shown, model=model)
        row[0].set_title(fill(title, 34 * len(nodes)), loc="left")
        for axis, node in zip(row, nodes, strict=True):
            runs = select_rows(own, node=node)
            if runs.empty:
                axis.set_axis_off()
                axis.text(0.5, 0.5, f"{node}: solved exactly", transform=axis.transAxes, **_SOLVED)
                continue
            _draw_runs(axis, runs, median, colour=style[model].colour)
            _set_limits(axis, select_rows(shown, node=node), epochs=runs["epoch"].max())
            axis.set_ylabel(f"loss of {node}\n(nats per row)")
    for column in zip(*axes, strict=True):
        next(axis for axis in reversed(column) if axis.axison).set_xlabel("epoch")
    legend_below(figure, _handles(several=len(trained["seed"].unique()) > 1))
    return figure


def _draw_runs(axis: Axes, runs: pd.DataFrame, median: Mapping[str, int], *, colour: str) -> None:
    for _, run, strong in seeds_around(runs, median):
        axis.plot(run["epoch"], run["validation"], color=colour, **(STRONG if strong else PALE))
        if strong:
            axis.plot(run["epoch"], run["train"], color="black", **_TRAINING)


def _set_limits(axis: Axes, runs: pd.DataFrame, *, epochs: int) -> None:
    """Limits around the runs of all models, but for the steep first epochs, and the own epochs."""
    last = runs.groupby(["model", "seed"])["epoch"].transform("max")
    late = runs[runs["epoch"] > last * EARLY]
    low = np.nanmin(runs[["train", "validation"]].to_numpy())
    high = np.nanmax(late[["train", "validation"]].to_numpy())
    margin = 0.05 * (high - low) + 1e-6
    axis.set_ylim(low - margin, high + margin)
    axis.set_xlim(-0.03 * epochs, 1.03 * epochs)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def _handles(*, several: bool) -> list[Line2D]:
    each = ", median seed" if several else ""
    handles = [
        Line2D([], [], color="black", **STRONG, label=f"validation{each}"),
        Line2D([], [], color="black", **_TRAINING, label=f"training{each}"),
    ]
    if several:
        handles.insert(1, Line2D([], [], color="black", **PALE, label="validation, other seeds"))
    note = "where no rows are held out,\nvalidation is on the training rows"
    return [*handles, Line2D([], [], color="black", ls="", label=note)]
