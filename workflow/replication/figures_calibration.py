"""The figure of calibration, drawn from stored tables by :mod:`tramdag.plotting`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from replication.questions import select_rows
from replication.spread import median_seeds_of_bins, titles_with_seeds
from replication.style import legend_below, new_figure
from tramdag import plotting

__all__ = ["draw_calibration"]

_OTHERS: dict[str, Any] = {
    "color": "0.6",
    "marker": "o",
    "ms": 2.4,
    "mew": 0,
    "ls": "",
    "zorder": 1,
}
"""How the points of seeds other than the median one are drawn."""


def draw_calibration(
    calibration: pd.DataFrame, *, titles: Mapping[str, str], nodes: Sequence[str]
) -> Figure:
    """Predicted against observed frequencies, a row per model and node, a panel per level.

    The median seed is strong, with its intervals, the others are pale points. The panels of a
    level have the same axes.

    Args:
        calibration: Table ``calibration`` of the models.
        titles: Model names to titles.
        nodes: Ordinal nodes.
    """
    table = calibration[calibration["node"].isin(nodes)].rename(columns={"n": "rows"})
    median = median_seeds_of_bins(table, within=["node", "level"])
    table = table.rename(columns={"rows": "n"})
    table = table.assign(strong=table["seed"] == table["model"].map(median))
    levels = {node: list(select_rows(table, node=node)["level"].unique()) for node in nodes}
    shown = titles_with_seeds(table, titles)
    columns = max(map(len, levels.values()))
    figure, axes = new_figure(len(shown) * len(nodes), columns, panel=(1.55, 1.75))
    places = [(node, model) for node in nodes for model in shown]
    for row, (node, model) in zip(axes, places, strict=True):
        for axis, level in zip(row, levels[node], strict=False):
            own = select_rows(table, node=node, level=level)
            _draw_level(axis, select_rows(own, model=model), top=_top(own))
            axis.set_xlabel(f"P({node} = {level})")
        for axis in row[len(levels[node]) :]:
            axis.set_axis_off()
        row[0].set_title(shown[model], loc="left")
        row[0].set_ylabel("observed frequency")
    legend_below(figure, _handles(several=not table["strong"].all()))
    return figure


def _draw_level(axis: Axes, own: pd.DataFrame, *, top: float) -> None:
    plotting.calibration_curve(own[own["strong"]], legend=False, ax=axis)
    others = own[~own["strong"]]
    if len(others):
        axis.plot(others["predicted"], others["observed"], **_OTHERS, gid="others")
    axis.set_xlim(0, top)
    axis.set_ylim(0, top)
    axis.set_ylabel("")


def _top(own: pd.DataFrame) -> float:
    """The end of the axes: all that is drawn of a level, by whatever model."""
    upper = own["upper"].where(own["strong"], own["observed"])
    return min(1.05 * float(np.fmax(own["predicted"], upper).max()), 1.0)


def _handles(*, several: bool) -> list[Line2D]:
    each = "median seed, 95 % interval" if several else "95 % interval"
    handles = [
        Line2D([], [], color="black", marker="o", ms=4.5, lw=0.9, label=each),
        Line2D([], [], color="0.5", lw=0.8, ls=(0, (4, 3)), label="perfect calibration"),
    ]
    if several:
        handles.insert(1, Line2D([], [], **_OTHERS, label="other seeds"))
    return handles
