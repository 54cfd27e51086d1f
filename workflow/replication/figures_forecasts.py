"""The figure of forecast ordinal counterfactuals, drawn from stored tables only."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from replication.questions import by_seed, select_rows
from replication.style import TRUTH_LINE, legend_below, looks, new_figure

__all__ = ["draw_forecasts"]

_DASHED = (0, (2, 2))
_TRUE = "true counterfactual pmf"

_SMALLEST_AREA, _WHOLE_AREA = 4.0, 150.0
"""Area of a bin's point without rows, and what all rows add, square points."""


def draw_forecasts(
    calibration: pd.DataFrame, *, titles: Mapping[str, str], at_most: Mapping[str, int]
) -> Figure:
    """Predicted probability of a counterfactual event against how often it came true.

    Args:
        calibration: Table ``calibration`` of the models, see ``replication.forecasts``.
        titles: Model names to titles.
        at_most: The event of a node is a level of at most this; without an entry, the middle one.
    """
    pairs = calibration[["query", "node"]].drop_duplicates().itertuples(index=False, name=None)
    panels = list(pairs)
    figure, axes = new_figure(1, len(panels), panel=(3.1, 2.9))
    style = looks(titles)
    for axis, (query, node) in zip(axes[0], panels, strict=True):
        rows = select_rows(calibration, query=query, node=node)
        level = at_most.get(node, int(rows["at_most"].max()) // 2)
        rows = select_rows(rows, at_most=level)
        axis.plot([0, 1], [0, 1], color=TRUTH_LINE, ls=_DASHED, lw=1.0)
        truth = select_rows(rows, forecast=_TRUE).drop_duplicates(["bin", "rows", "observed"])
        if len(truth):
            _draw_truth(axis, truth)
        for model, curve in by_seed(select_rows(rows, forecast="counterfactual pmf")):
            look = style[model]
            # most forecasts are close to 0 or 1: a line would draw its eye to bins of a few rows
            axis.scatter(
                curve["predicted"],
                curve["observed"],
                s=_SMALLEST_AREA + _WHOLE_AREA * curve["rows"] / curve["rows"].sum(),
                marker=look.marker,
                facecolors="none",
                edgecolors=look.colour,
                linewidths=1.0,
            )
        axis.set_title(f"had it been {query}")
        axis.set_xlabel(f"predicted P({node} <= {level})")
        axis.set_ylabel("observed frequency")
        axis.set_xlim(-0.06, 1.06)
        axis.set_ylim(-0.06, 1.06)
    handles = _handles(titles, truth=_TRUE in set(calibration["forecast"]))
    legend_below(figure, handles)
    return figure


def _draw_truth(axis: Axes, truth: pd.DataFrame) -> None:
    """The true law's own bins, with two standard errors of a frequency."""
    axis.errorbar(
        truth["predicted"],
        truth["observed"],
        yerr=2 * truth["mc_error"],
        fmt="none",
        ecolor="#999999",
        elinewidth=4,
        alpha=0.5,
    )


def _handles(titles: Mapping[str, str], *, truth: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color=k.colour, ls="", marker=k.marker, mfc="none", ms=6, label=k.label)
        for k in looks(titles).values()
    ]
    perfect = Line2D([], [], color=TRUTH_LINE, ls=_DASHED, lw=1.0, label="perfect calibration")
    handles.append(perfect)
    if truth:
        label = "true law, two standard errors"
        handles.append(Line2D([], [], color="#999999", lw=4, alpha=0.5, label=label))
    return handles
