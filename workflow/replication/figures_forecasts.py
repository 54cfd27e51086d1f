"""The figure of forecast ordinal counterfactuals, drawn from stored tables only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from replication.questions import select_rows
from replication.spread import median_seeds_of_bins, seeds_around, titles_with_seeds
from replication.style import REFERENCE, Look, legend_below, looks, new_figure

__all__ = ["FEWEST", "draw_forecasts"]

FEWEST = 10
"""Fewest rows of a bin that is drawn: the frequency in a smaller one says next to nothing."""

_MODEL, _TRUE = "counterfactual pmf", "true counterfactual pmf"

_TRUTH: dict[str, Any] = {"color": "#999999", "lw": 4, "alpha": 0.5, "zorder": 0}

_SMALLEST_AREA, _WHOLE_AREA = 5.0, 150.0
"""Area of a bin's point without rows, and what all rows add, square points."""


def draw_forecasts(
    calibration: pd.DataFrame, *, titles: Mapping[str, str], at_most: Mapping[str, int]
) -> Figure:
    """Predicted probability of a counterfactual event against how often it came true.

    A row of panels per model, a column per intervention and node. The median seed is filled, the
    others are pale outlines; bins of fewer than :data:`FEWEST` rows are left out.

    Args:
        calibration: Table ``calibration`` of the models, see ``replication.forecasts``.
        titles: Model names to titles.
        at_most: The event of a node is a level of at most this; without an entry, the middle one.
    """
    levels = {
        str(node): at_most.get(str(node), int(rows["at_most"].max()) // 2)
        for node, rows in calibration.groupby("node")
    }
    events = calibration[calibration["at_most"] == calibration["node"].map(levels)]
    columns = list(events[["query", "node"]].drop_duplicates().itertuples(index=False, name=None))
    forecasts = select_rows(events, forecast=_MODEL)
    median = median_seeds_of_bins(forecasts, within=["query", "node"])
    shown = titles_with_seeds(forecasts, titles)
    figure, axes = new_figure(len(shown), len(columns), panel=(2.4, 2.0))
    events = events[events["rows"] >= FEWEST]
    truth = select_rows(events, forecast=_TRUE).drop_duplicates(["query", "node", "bin"])
    style = looks(titles)
    for row, (model, title) in zip(axes, shown.items(), strict=True):
        own = select_rows(events, forecast=_MODEL, model=model)
        for axis, (query, node) in zip(row, columns, strict=True):
            _draw_truth(axis, select_rows(truth, query=query, node=node))
            bins = select_rows(own, query=query, node=node)
            _draw_bins(axis, bins, median, look=style[model])
            axis.text(0.04, 0.96, query, transform=axis.transAxes, va="top", fontsize=8)
        row[0].set_title(title, loc="left")
        row[0].set_ylabel("observed frequency")
    for axis, (query, node) in zip(axes[-1], columns, strict=True):
        axis.set_xlabel(f"predicted P({node} <= {levels[node]}),\nhad it been {query}")
    several = len(forecasts["seed"].unique()) > 1
    legend_below(figure, _handles(truth=bool(len(truth)), several=several))
    return figure


def _draw_bins(axis: Axes, bins: pd.DataFrame, median: Mapping[str, int], *, look: Look) -> None:
    """Points, because a line would lead the eye to the bins between the crowded first and last."""
    axis.plot([0, 1], [0, 1], **REFERENCE)
    for _, curve, strong in seeds_around(bins, median):
        if strong:
            _draw_errors(axis, curve, color=look.colour, lw=0.8)
        axis.scatter(
            curve["predicted"],
            curve["observed"],
            s=_SMALLEST_AREA + _WHOLE_AREA * curve["rows"] / curve["rows"].sum(),
            marker=look.marker,
            facecolors=look.colour if strong else "none",
            edgecolors=look.colour,
            linewidths=0.8,
            alpha=1.0 if strong else 0.4,
            # the largest points stand at the ends of the axes
            clip_on=False,
        )
    axis.set_xlim(-0.06, 1.06)
    axis.set_ylim(-0.06, 1.06)
    axis.set_xticks([0, 0.5, 1])
    axis.set_yticks([0, 0.5, 1])
    axis.set_aspect("equal")


def _draw_truth(axis: Axes, truth: pd.DataFrame) -> None:
    """The true law's own bins, with two standard errors of a frequency."""
    _draw_errors(axis, truth, **_TRUTH)


def _draw_errors(axis: Axes, bins: pd.DataFrame, **look: Any) -> None:
    half = 2 * bins["mc_error"]
    axis.vlines(bins["predicted"], bins["observed"] - half, bins["observed"] + half, **look)


def _handles(*, truth: bool, several: bool) -> list[Line2D]:
    point: dict[str, Any] = {"color": "black", "ls": "", "marker": "o", "ms": 5}
    strong = "bin of the median seed" if several else "bin"
    handles = [
        Line2D([], [], **point, label=strong),
        Line2D([], [], color="black", lw=0.8, label="two standard errors"),
        Line2D([], [], **REFERENCE, label="perfect calibration"),
        Line2D([], [], ls="", label=f"bins of fewer than {FEWEST} rows are left out"),
    ]
    if several:
        handles.insert(
            1, Line2D([], [], **point, mfc="none", alpha=0.4, label="bin of another seed")
        )
    if truth:
        handles.insert(-1, Line2D([], [], **_TRUTH, label="true law, two standard errors"))
    return handles
