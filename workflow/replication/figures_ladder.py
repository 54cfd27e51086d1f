"""Figures of the ladder of specifications, drawn from stored tables only."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from replication.questions import by_seed, select_rows
from replication.style import TRUTH, TRUTH_FILL, axis_label, legend_below, looks, new_figure

__all__ = ["draw_ladder", "draw_odds_ratios"]

_BAND = "#9ECAE1"


def draw_ladder(rungs: pd.DataFrame, *, titles: Mapping[str, str], base: str) -> Figure:
    """Average effect and cross-validated likelihood of each specification, a row each.

    Args:
        rungs: Table of the ladder, see ``replication.ladder.ladder_rows``.
        titles: Model names to titles.
        base: The model that likelihoods are compared with.
    """
    rows = rungs.set_index("model").loc[list(titles)]
    figure, axes = new_figure(1, 2, panel=(4.3, 0.42 * len(rows) + 1.2))
    left, right = axes[0]
    style = looks(titles)
    for height, (model, row) in enumerate(rows.iterrows()):
        look = style[str(model)]
        if np.isfinite(row["lower"]):
            left.hlines(height, row["lower"], row["upper"], color=look.colour, lw=1.2)
        elif row["seeds"] > 1:
            left.hlines(height, row["min"], row["max"], color=look.colour, lw=4.5, alpha=0.45)
        left.plot(row["ate"], height, look.marker, color=look.colour, ms=6)
        if model != base:
            ends = row["difference_lower"], row["difference_upper"]
            right.hlines(height, *ends, color=look.colour, lw=1.2)
        right.plot(row["nll_difference"], height, look.marker, color=look.colour, ms=6)
    truth = rows["truth"].iloc[0]
    if np.isfinite(truth):
        left.axvline(truth, **TRUTH)
    right.axvline(0, color="0.6", lw=0.8)
    left.set_xlabel("average effect (difference of probabilities)")
    right.set_xlabel(
        f"held-out nats per row beyond {titles[base]}\n(left of zero: predicts better)"
    )
    left.set_yticks(range(len(rows)), list(titles.values()))
    right.set_yticks(range(len(rows)), [""] * len(rows))
    for axis in (left, right):
        axis.set_ylim(len(rows) - 0.5, -0.5)
    legend_below(figure, _ladder_legend(rows, truth=bool(np.isfinite(truth))))
    return figure


def _ladder_legend(rows: pd.DataFrame, *, truth: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [Line2D([], [], color="black", lw=1.2, label="95 % interval")]
    if (rows["seeds"] > 1).any():
        thick = Line2D([], [], color="black", lw=4.5, alpha=0.45, label="range over seeds")
        handles += [
            thick,
            Line2D([], [], ls="", marker="o", color="black", label="estimate, or mean over seeds"),
        ]
    if truth:
        handles.append(Line2D([], [], **TRUTH, label="truth"))
    return handles


def draw_odds_ratios(
    curves: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    modifier: str,
    treatment: str,
) -> Figure:
    """The treatment's odds ratio as a function of the modifier, a panel per specification.

    Args:
        curves: Table of curves, see ``replication.ladder.ladder_curves``.
        titles: Model names to titles.
        units: Units by column.
        modifier: The column on the horizontal axis.
        treatment: The treatment.
    """
    shown = [model for model in titles if model in set(curves["model"])]
    columns = min(3, max(len(shown), 1))
    figure, axes = new_figure(-(-max(len(shown), 1) // columns), columns, panel=(3.3, 2.3))
    flat = [axis for row in axes for axis in row]
    for axis, model in zip(flat, shown, strict=False):
        _draw_curves(axis, select_rows(curves, model=model), colour=looks(titles)[model].colour)
        axis.set_title(fill(titles[model], 34), loc="left")
        axis.set_xlabel(axis_label(modifier, units))
    for axis in flat[len(shown) :]:
        axis.set_axis_off()
    ends = curves[["odds_ratio", "truth"]].to_numpy().ravel()
    ends = np.concatenate([ends, curves["lower"].to_numpy(), curves["upper"].to_numpy()])
    ends = ends[np.isfinite(ends)]
    for axis in flat[: len(shown)]:
        axis.set_yscale("log")
        if len(ends):
            axis.set_ylim(max(ends.min(), 0.05) / 1.1, min(ends.max(), 20) * 1.1)
        axis.set_yticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
        axis.minorticks_off()
        low, high = axis.get_ylim()
        axis.set_yticks([t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= t <= high])
    for row in axes:
        row[0].set_ylabel(f"odds ratio of {treatment}")
    handles: list[Line2D | Patch] = [
        Line2D([], [], color="black", lw=1.4, label="model, one line per seed"),
    ]
    if curves["lower"].notna().any():
        handles.append(Patch(color=_BAND, label="95 % pointwise band"))
    if curves["truth"].notna().any():
        handles.append(Line2D([], [], **TRUTH, label="truth"))
    legend_below(figure, handles)
    return figure


def _draw_curves(axis: Axes, curves: pd.DataFrame, *, colour: str) -> None:
    several = len(set(curves["seed"])) > 1
    for number, (_, curve) in enumerate(by_seed(curves)):
        # with seeds a band would hold the networks fixed: it tells less than the seeds do
        if curve["lower"].notna().all() and not several:
            axis.fill_between(
                curve["value"], curve["lower"], curve["upper"], color=_BAND, alpha=0.7, lw=0
            )
        axis.plot(
            curve["value"], curve["odds_ratio"], color=colour, lw=0.8 if several else 1.4, alpha=0.9
        )
        if number == 0 and curve["truth"].notna().any():
            axis.plot(curve["value"], curve["truth"], **TRUTH)
    axis.axhline(1, color=TRUTH_FILL, lw=0.8)
