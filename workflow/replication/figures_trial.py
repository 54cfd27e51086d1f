"""Figures of the external validation that hold predictions against outcomes.

Drawn from stored tables only. Of a model with several seeds the one with the median average effect
is strong, the others are pale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from replication.questions import effect_label, event_label, select_rows
from replication.spread import median_seeds, seeds_around, titles_with_seeds
from replication.style import (
    REFERENCE,
    TRUTH_FILL,
    Look,
    legend_below,
    looks,
    model_panels,
    new_figure,
)

__all__ = ["PALE_POINTS", "draw_trial_outcomes", "draw_trial_risks", "median_effects"]

PALE_POINTS: dict[str, Any] = {"ls": "", "ms": 2.8, "mew": 0, "alpha": 0.4}
"""How points of the seeds other than the median one are drawn."""

_STRONG_POINTS: dict[str, Any] = {"ls": "", "ms": 4.5}

_BESIDE = 0.16
"""How far the median seed's predictions stand to the right of a bar's middle; the others twice."""


def median_effects(scores: pd.DataFrame, effect: Mapping[str, Any]) -> dict[str, int]:
    """The seed of each model whose average effect is the (lower) median of its seeds.

    Args:
        scores: Table ``scores`` of the validation.
        effect: Treatment, outcome and at_most.
    """
    rows = select_rows(scores, metric="estimated effect", effect=effect_label(effect))
    return median_seeds(rows, value="value", within=["effect"])


def draw_trial_outcomes(
    outcomes: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
) -> Figure:
    """Predicted against observed law of the outcome, a row per model, a panel per arm.

    Args:
        outcomes: Table ``outcomes`` of the validation.
        scores: Its table ``scores``.
        titles: Model names to titles.
        effect: Treatment, outcome and at_most of the effect whose arms are drawn.
    """
    outcomes = select_rows(outcomes, effect=effect_label(effect))
    named = titles_with_seeds(outcomes, titles)
    figure, axes = new_figure(len(named), 2, panel=(3.6, 1.5))
    median, style = median_effects(scores, effect), looks(titles)
    top = 1.1 * outcomes[["upper", "predicted"]].to_numpy().max()
    for row, (model, title) in zip(axes, named.items(), strict=True):
        for arm, axis in enumerate(row):
            own = select_rows(outcomes, model=model, arm=arm)
            _draw_arm(axis, own, median, look=style[model])
            axis.set_ylim(bottom=0, top=top)
            text = f"{effect['treatment']} = {arm}"
            axis.text(0.98, 0.96, text, transform=axis.transAxes, ha="right", va="top")
        row[0].set_title(title, loc="left")
        row[0].set_ylabel("probability")
    for axis in axes[-1]:
        axis.set_xlabel(effect["outcome"])
    legend_below(
        figure,
        [
            Patch(color=TRUTH_FILL, label="observed in the trial"),
            Line2D([], [], color="0.45", lw=1.0, label="95 % interval of the frequency"),
            *_points(outcomes, "predicted"),
        ],
    )
    return figure


def _draw_arm(axis: Axes, own: pd.DataFrame, median: Mapping[str, int], *, look: Look) -> None:
    """The frequencies, which are those of every seed, and beside them what each seed predicts."""
    for _, law, strong in seeds_around(own, median):
        if strong:
            axis.bar(law["level"], law["observed"], color=TRUTH_FILL, width=0.8, zorder=0)
            axis.vlines(law["level"], law["lower"], law["upper"], color="0.45", lw=1.0)
            axis.set_xticks(law["level"])
        points = _STRONG_POINTS if strong else PALE_POINTS
        place = law["level"] + (_BESIDE if strong else 2 * _BESIDE)
        axis.plot(place, law["predicted"], marker=look.marker, color=look.colour, **points)


def draw_trial_risks(
    risks: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
) -> Figure:
    """Predicted against observed share of good outcomes in bins, a panel per model.

    Args:
        risks: Table ``risks`` of the validation.
        scores: Its table ``scores``.
        titles: Model names to titles.
        effect: Treatment, outcome and at_most of the effect whose event is drawn.
    """
    risks = select_rows(risks, effect=effect_label(effect))
    named = titles_with_seeds(risks, titles)
    figure, panels = model_panels(named, ylabel="observed share")
    median, style = median_effects(scores, effect), looks(titles)
    for model, axis in panels.items():
        look = style[model]
        axis.plot([0, 1], [0, 1], **REFERENCE)
        for _, bins, strong in seeds_around(select_rows(risks, model=model), median):
            points = _STRONG_POINTS if strong else PALE_POINTS
            if strong:
                ends = bins["lower"], bins["upper"]
                axis.vlines(bins["predicted"], *ends, color=look.colour, lw=1.0)
            shape: dict[str, Any] = {"marker": look.marker, "color": look.colour, "clip_on": False}
            axis.plot(bins["predicted"], bins["observed"], **shape, **points)
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.set_xlabel(f"predicted P({event_label(effect)})")
    legend_below(
        figure,
        [
            *_points(risks, "bin", interval=True),
            Line2D([], [], **REFERENCE, label="perfect calibration"),
        ],
    )
    return figure


def _points(table: pd.DataFrame, name: str, *, interval: bool = False) -> list[Line2D]:
    """Handles of the points of the median seed and of the others, or of the only one."""
    several = len(table["seed"].unique()) > 1
    black: dict[str, Any] = {"color": "black", "marker": "o"}
    label = name + (", median seed" if several else "")
    ends = {"ls": "-", "lw": 1.0, "label": f"{label}, 95 % interval"} if interval else {}
    handles = [Line2D([], [], **(black | _STRONG_POINTS | {"label": label} | ends))]
    if several:
        handles.append(Line2D([], [], **black, **PALE_POINTS, label=f"{name}, other seeds"))
    return handles
