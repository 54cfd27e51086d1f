"""Figures of the external validation that show what a model says of each patient.

Drawn from stored tables only. Of a model with several seeds the one with the median average effect
is strong, the others are pale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from replication.figures_trial import PALE_POINTS, median_effects
from replication.questions import effect_label, event_label, select_rows
from replication.spread import PALE, STRONG, seeds_around, titles_with_seeds
from replication.style import (
    REFERENCE,
    TRUTH_FILL,
    TRUTH_LINE,
    Look,
    legend_below,
    looks,
    model_panels,
    new_figure,
)

__all__ = ["draw_trial_benefit", "draw_trial_effects"]

_BINS = 30
"""Bins of the law of individual effects."""

_BESIDE = 0.15
"""How far estimated and true means stand to the left and right of a group's middle; those of the
other seeds twice as far."""

_OBSERVED: dict[str, Any] = {"marker": "_", "ls": "", "color": "0.2", "ms": 9, "mew": 1.6}

_BOUNDS: dict[str, Any] = {"marker": ".", "ls": "", "color": "0.65", "mew": 0}


def draw_trial_effects(
    patients: pd.DataFrame,
    ranking: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
) -> Figure:
    """Individual effects: their law, the ranking of patients by them, and the truth if known.

    Args:
        patients: Table ``patients`` of the validation.
        ranking: Its table ``ranking``.
        scores: Its table ``scores``.
        titles: Model names to titles.
        effect: Treatment, outcome and at_most of the effect that is drawn.
    """
    patients = select_rows(patients, effect=effect_label(effect))
    ranking = select_rows(ranking, effect=effect_label(effect))
    known = bool(patients["true_ite"].notna().all())
    named = titles_with_seeds(patients, titles)
    figure, axes = new_figure(len(named), 3 if known else 2, panel=(2.9, 1.75))
    median, style = median_effects(scores, effect), looks(titles)
    ites = patients[["ite", "true_ite"]] if known else patients[["ite"]]
    low, high = min(ites.to_numpy().min(), 0.0), ites.to_numpy().max()
    edges = np.linspace(low, high + 1e-9, _BINS + 1)
    highest = 0.0
    for row, (model, title) in zip(axes, named.items(), strict=True):
        own, groups = (select_rows(table, model=model) for table in (patients, ranking))
        highest = max(highest, _draw_law(row[0], own, median, edges=edges, look=style[model]))
        _draw_groups(row[1], groups, median, look=style[model])
        if known:
            strong = select_rows(own, seed=median[model])
            row[2].plot([low, high], [low, high], **REFERENCE)
            row[2].plot(
                strong["true_ite"], strong["ite"], ".", color=style[model].colour, ms=2.5, alpha=0.6
            )
            row[2].set_xlim(*_around(low, high))
            row[2].set_ylim(*_around(low, high))
            row[2].set_ylabel("estimated effect")
        row[0].set_title(title, loc="left")
    shown = ranking[ranking["seed"] == ranking["model"].map(median)]
    for row in axes:
        row[0].set_ylim(0, 1.05 * highest)
        row[1].set_ylim(*_around(shown["lower"].min(), shown["upper"].max()))
    labels = [
        "individual effect",
        "group by estimated effect (1 smallest)",
        "true individual effect",
    ]
    for axis, label in zip(axes[-1], labels, strict=False):
        axis.set_xlabel(label)
    figure.suptitle(
        f"effect of {effect_label(effect)}, risk difference given covariates", fontsize="medium"
    )
    legend_below(figure, _effect_handles(several=len(patients["seed"].unique()) > 1, known=known))
    return figure


def _around(low: float, high: float) -> tuple[float, float]:
    """Limits with room beyond both ends, so that what ends there does not look cut off."""
    room = 0.04 * (high - low)
    return low - room, high + room


def _draw_law(
    axis: Axes, own: pd.DataFrame, median: Mapping[str, int], *, edges: np.ndarray, look: Look
) -> float:
    """Histograms of each seed's effects over that of the true ones; returns the highest count."""
    highest = 0.0
    for _, seed, strong in seeds_around(own, median):
        true = seed["true_ite"].dropna()
        if strong and len(true):
            counts = np.histogram(true, edges)[0]
            axis.stairs(counts, edges, fill=True, color=TRUTH_FILL, zorder=0)
            highest = max(highest, counts.max())
        counts = np.histogram(seed["ite"], edges)[0]
        axis.stairs(counts, edges, color=look.colour, **(STRONG if strong else PALE))
        highest = max(highest, counts.max())
    axis.set_ylabel("patients")
    return float(highest)


def _draw_groups(axis: Axes, own: pd.DataFrame, median: Mapping[str, int], *, look: Look) -> None:
    """Estimated means of each seed; observed and true ones of the groups of the median seed."""
    for _, groups, strong in seeds_around(own, median):
        place = groups["group"] + 1
        points = {"ls": "", "ms": 4.5} if strong else PALE_POINTS
        aside = place - (_BESIDE if strong else 2 * _BESIDE)
        axis.plot(aside, groups["estimated"], marker=look.marker, color=look.colour, **points)
        if strong:
            axis.vlines(place, groups["lower"], groups["upper"], color="0.35", lw=1.0)
            axis.plot(place, groups["observed"], **_OBSERVED)
            axis.plot(place + _BESIDE, groups["true"], "x", color=TRUTH_LINE, ms=5)
            axis.set_xticks(place)
            axis.set_xlim(0.5, len(place) + 0.5)
    axis.axhline(0, color="0.8", lw=0.8)
    axis.set_ylabel("effect")


def _effect_handles(*, several: bool, known: bool) -> list[Line2D | Patch]:
    black: dict[str, Any] = {"color": "black", "marker": "o"}
    name = "estimated, median seed" if several else "estimated"
    handles: list[Line2D | Patch] = [Line2D([], [], **black, ms=4.5, lw=1.6, label=name)]
    if several:
        pale = {**PALE_POINTS, "ls": "-", "lw": 0.8}
        handles.append(Line2D([], [], **black, **pale, label="estimated, other seeds"))
    handles.append(Line2D([], [], **_OBSERVED, label="observed, 95 % interval"))
    if known:
        cross: dict[str, Any] = {"marker": "x", "ls": "", "color": TRUTH_LINE, "ms": 5}
        handles += [
            Patch(color=TRUTH_FILL, label="true individual effects"),
            Line2D([], [], **cross, label="true mean of the group"),
        ]
    return handles


def draw_trial_benefit(
    patients: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
) -> Figure:
    """Probability that treatment turns each patient's outcome good, with its bounds.

    Args:
        patients: Table ``patients`` of the validation.
        scores: Its table ``scores``.
        titles: Model names to titles.
        effect: Treatment, outcome and at_most of the effect whose event is drawn.
    """
    patients = select_rows(patients, effect=effect_label(effect))
    figure, panels = model_panels(
        titles_with_seeds(patients, titles), ylabel=f"P({event_label(effect)} only if treated)"
    )
    median, style = median_effects(scores, effect), looks(titles)
    for model, axis in panels.items():
        for _, own, strong in seeds_around(select_rows(patients, model=model), median):
            ranked = own.sort_values("benefit")
            rank = np.arange(1, len(ranked) + 1)
            look = STRONG if strong else PALE
            axis.plot(rank, ranked["benefit"], color=style[model].colour, **look)
            if strong:
                for bound in ("benefit_lower", "benefit_upper"):
                    axis.plot(rank, ranked[bound], ms=2, zorder=1, **_BOUNDS)
        axis.set_ylim(0, 1)
        axis.set_xlabel("patients by P(benefit)")
    several = len(patients["seed"].unique()) > 1
    of = " of the median seed" if several else ""
    handles = [
        Line2D([], [], color="black", **STRONG, label=f"P(benefit){of}, latents shared"),
        Line2D([], [], **_BOUNDS, label=f"Frechet bounds{of}, whatever the latents"),
    ]
    if several:
        handles.insert(1, Line2D([], [], color="black", **PALE, label="P(benefit), other seeds"))
    legend_below(figure, handles)
    return figure
