"""Figures of the ladder of specifications, drawn from stored tables only."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from replication.questions import select_rows
from replication.spread import PALE, STRONG, median_seeds, seeds_around, titles_with_seeds
from replication.style import (
    TRUTH,
    axis_label,
    legend_below,
    looks,
    mark_ratios,
    model_panels,
    new_figure,
)

__all__ = ["draw_ladder", "draw_odds_ratio_by_modifier"]

_BESIDE, _BELOW = 40, 46
"""Letters of a line beside and below a panel of the ladder."""

_BAND: dict[str, Any] = {"alpha": 0.2, "lw": 0}

# dotted: thin and grey it would be one of the pale seeds
_NO_EFFECT: dict[str, Any] = {"color": "0.3", "ls": ":", "lw": 1.0, "zorder": 1}

_LOWEST = 0.05
"""Least odds ratio on an axis, and the inverse of the greatest."""


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
    beyond = fill(f"held-out nats per row beyond {titles[base]}", _BELOW)
    right.set_xlabel(f"{beyond}\n(left of zero: predicts better)")
    left.set_yticks(range(len(rows)), [fill(title, _BESIDE) for title in titles.values()])
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


def draw_odds_ratio_by_modifier(
    curves: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    modifier: str,
    treatment: str,
    outcome: str,
) -> Figure:
    """The treatment's odds ratio as a function of the modifier, a panel per specification.

    The median seed is strong, the others are pale. All panels have the same axes.

    Args:
        curves: Table of curves, see ``replication.ladder.ladder_curves``.
        titles: Model names to titles.
        units: Units by column.
        modifier: The column on the horizontal axis.
        treatment: The treatment.
        outcome: The outcome, a higher level of which is meant by the odds.
    """
    named = titles_with_seeds(curves, titles)
    if not named:
        return _nothing_to_draw(treatment)
    odds, arms = f"odds ratio of {outcome} > k,", f"{treatment} = 1 against 0"
    figure, panels = model_panels(named, ylabel=f"{fill(odds, 28)}\n{fill(arms, 28)}")
    median = median_seeds(
        curves.assign(log=np.log(curves["odds_ratio"])), value="log", within=["model"]
    )
    low, high = _limits(curves)
    for model, axis in panels.items():
        own = select_rows(curves, model=model)
        _draw_curves(axis, own, median, colour=looks(titles)[model].colour)
        axis.set_xlabel(axis_label(modifier, units))
        axis.set_xlim(curves["value"].min(), curves["value"].max())
        mark_ratios(axis, "y", low, high)
    legend_below(figure, _curve_legend(curves))
    return figure


def _nothing_to_draw(treatment: str) -> Figure:
    figure, ((axis,),) = new_figure(1, 1, panel=(4.0, 1.0))
    axis.set_axis_off()
    axis.text(
        0.5,
        0.5,
        f"no specification has one odds ratio of {treatment} for all levels of the outcome",
        ha="center",
        va="center",
        wrap=True,
        transform=axis.transAxes,
    )
    return figure


def _limits(curves: pd.DataFrame) -> tuple[float, float]:
    """Around all curves and no effect; a wide band is cut off rather than flatten the curves."""
    ends = curves[["odds_ratio", "lower", "upper", "truth"]].to_numpy(float)
    low, high = min(np.nanmin(ends), 1.0), max(np.nanmax(ends), 1.0)
    return max(low, _LOWEST) / 1.1, min(high, 1 / _LOWEST) * 1.1


def _draw_curves(
    axis: Axes, curves: pd.DataFrame, median: Mapping[str, int], *, colour: str
) -> None:
    several = len(set(curves["seed"])) > 1
    axis.axhline(1, **_NO_EFFECT)
    for _, curve, strong in seeds_around(curves, median):
        # with seeds a band would hold the networks fixed: it tells less than the seeds do
        if curve["lower"].notna().all() and not several:
            ends = curve["lower"], curve["upper"]
            axis.fill_between(curve["value"], *ends, color=colour, **_BAND)
        axis.plot(curve["value"], curve["odds_ratio"], color=colour, **(STRONG if strong else PALE))
        if strong and curve["truth"].notna().any():
            axis.plot(curve["value"], curve["truth"], **TRUTH)


def _curve_legend(curves: pd.DataFrame) -> list[Line2D | Patch]:
    seeds = curves.groupby("model")["seed"].nunique()
    several = (seeds > 1).any()
    name = "model, median seed" if several else "model"
    handles: list[Line2D | Patch] = [Line2D([], [], color="black", **STRONG, label=name)]
    if several:
        handles.append(Line2D([], [], color="black", **PALE, label="other seeds"))
    single = curves["model"].map(seeds) == 1
    if (single & curves["lower"].notna()).any():
        handles.append(Patch(color="black", **_BAND, label="95 % pointwise band"))
    if curves["truth"].notna().any():
        handles.append(Line2D([], [], **TRUTH, label="truth"))
    handles.append(Line2D([], [], **_NO_EFFECT, label="no effect"))
    return handles
