"""Figures of the external validation, drawn from stored tables only.

Of a model with several seeds the one with the median average effect is drawn, so that no run is
picked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from replication.questions import effect_label, event_label, select_rows
from replication.spread import median_seeds
from replication.style import TRUTH_FILL, TRUTH_LINE, legend_below, looks, new_figure

__all__ = [
    "draw_trial_benefit",
    "draw_trial_effects",
    "draw_trial_outcomes",
    "draw_trial_risks",
]

_DASHED = (0, (2, 2))

TITLE_WIDTH = 34
"""Letters of a title that fit over a panel."""


def _median_seeds(scores: pd.DataFrame, effect: Mapping[str, Any]) -> dict[str, int]:
    """The seed of each model whose average effect is the (lower) median of its seeds."""
    rows = select_rows(scores, metric="estimated effect", effect=effect_label(effect))
    return median_seeds(rows, value="value", within=["effect"])


def draw_trial_outcomes(
    outcomes: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
) -> Figure:
    """Predicted against observed law of the outcome, a row per model, a panel per arm."""
    outcomes = select_rows(outcomes, effect=effect_label(effect))
    figure, axes = new_figure(len(titles), 2, panel=(3.6, 1.5))
    seeds, style = _median_seeds(scores, effect), looks(titles)
    for row, model in zip(axes, titles, strict=True):
        for arm, axis in enumerate(row):
            own = select_rows(outcomes, model=model, seed=seeds[model], arm=arm)
            axis.bar(own["level"], own["observed"], color=TRUTH_FILL, width=0.8)
            axis.vlines(own["level"], own["lower"], own["upper"], color="0.45", lw=1.0)
            look = style[model]
            axis.plot(own["level"], own["predicted"], look.marker, color=look.colour, ms=4.5)
            axis.set_xticks(own["level"])
            axis.set_ylim(bottom=0, top=1.1 * float(outcomes["upper"].max()))
            axis.set_title(f"{titles[model]}, {effect['treatment']} = {arm}", loc="left")
        row[0].set_ylabel("probability")
    for axis in axes[-1]:
        axis.set_xlabel(effect["outcome"])
    legend_below(
        figure,
        [
            Patch(color=TRUTH_FILL, label="observed in the trial"),
            Line2D([], [], color="0.45", lw=1.0, label="95 % interval of the frequency"),
            Line2D([], [], ls="", marker="o", color="black", ms=4.5, label="predicted"),
        ],
    )
    return figure


def draw_trial_risks(
    risks: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
) -> Figure:
    """Predicted against observed share of good outcomes in bins, a panel per model."""
    risks = select_rows(risks, effect=effect_label(effect))
    figure, axes = _panels(titles)
    seeds, style = _median_seeds(scores, effect), looks(titles)
    for axis, model in zip(axes, titles, strict=False):
        own = select_rows(risks, model=model, seed=seeds[model])
        look = style[model]
        axis.plot([0, 1], [0, 1], color="0.6", lw=0.9, ls=_DASHED)
        axis.vlines(own["predicted"], own["lower"], own["upper"], color=look.colour, lw=1.0)
        axis.plot(own["predicted"], own["observed"], look.marker, color=look.colour, ms=4.5)
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.set_title(fill(titles[model], TITLE_WIDTH), loc="left")
    figure.supxlabel(f"predicted P({event_label(effect)})", fontsize="medium")
    figure.supylabel("observed share (95 % interval)", fontsize="medium")
    return figure


def draw_trial_effects(
    patients: pd.DataFrame,
    ranking: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
) -> Figure:
    """Individual effects: their law, the ranking of patients by them, and the truth if known."""
    patients = select_rows(patients, effect=effect_label(effect))
    ranking = select_rows(ranking, effect=effect_label(effect))
    known = bool(patients["true_ite"].notna().all())
    figure, axes = new_figure(len(titles), 3 if known else 2, panel=(2.9, 1.75))
    seeds, style = _median_seeds(scores, effect), looks(titles)
    drawn = patients[patients["seed"] == patients["model"].map(seeds)]
    low = min(drawn["ite"].min(), drawn["true_ite"].min() if known else 0.0, 0.0)
    high = max(drawn["ite"].max(), drawn["true_ite"].max() if known else 0.0)
    edges = np.linspace(low, high + 1e-9, 31).tolist()
    ranked = ranking[ranking["seed"] == ranking["model"].map(seeds)]
    ends = ranked["lower"].min(), ranked["upper"].max()
    for row, model in zip(axes, titles, strict=True):
        own = select_rows(patients, model=model, seed=seeds[model])
        groups = select_rows(ranking, model=model, seed=seeds[model])
        look = style[model]
        if known:
            row[0].hist(own["true_ite"], edges, color=TRUTH_FILL)
        row[0].hist(own["ite"], edges, histtype="step", color=look.colour, lw=1.3)
        row[0].set_title(titles[model], loc="left")
        row[0].set_ylabel("patients")
        place = groups["group"] + 1
        row[1].vlines(place, groups["lower"], groups["upper"], color="0.35", lw=1.0)
        row[1].plot(place, groups["observed"], "_", color="0.2", ms=9, mew=1.6)
        row[1].plot(place - 0.15, groups["estimated"], look.marker, color=look.colour, ms=4.5)
        if known:
            row[1].plot(place + 0.15, groups["true"], "x", color=TRUTH_LINE, ms=5)
            row[2].plot([low, high], [low, high], color="0.6", lw=0.9, ls=_DASHED)
            row[2].plot(own["true_ite"], own["ite"], ".", color=look.colour, ms=2.5, alpha=0.6)
            row[2].set_xlim(low, high)
            row[2].set_ylim(low, high)
            row[2].set_ylabel("estimated")
        row[1].axhline(0, color="0.8", lw=0.8)
        row[1].set_xticks(place)
        row[1].set_ylim(*ends)
        row[1].set_ylabel("effect")
    labels = [
        "individual effect",
        "group by estimated effect (1 smallest)",
        "true individual effect",
    ]
    for axis, label in zip(axes[-1], labels, strict=False):
        axis.set_xlabel(label)
    handles: list[Line2D | Patch] = [
        Line2D([], [], marker="o", ls="-", color="black", ms=4.5, label="estimated"),
        Line2D(
            [], [], marker="_", ls="", ms=9, mew=1.6, color="0.2", label="observed, 95 % interval"
        ),
    ]
    if known:
        handles += [
            Patch(color=TRUTH_FILL, label="true individual effects"),
            Line2D(
                [], [], marker="x", ls="", color=TRUTH_LINE, ms=5, label="true mean of the group"
            ),
        ]
    figure.suptitle(
        f"effect of {effect_label(effect)}, risk difference given covariates", fontsize="medium"
    )
    legend_below(figure, handles)
    return figure


def draw_trial_benefit(
    patients: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
) -> Figure:
    """Probability that treatment turns each patient's outcome good, with its bounds."""
    patients = select_rows(patients, effect=effect_label(effect))
    figure, axes = _panels(titles)
    seeds, style = _median_seeds(scores, effect), looks(titles)
    for axis, model in zip(axes, titles, strict=False):
        own = select_rows(patients, model=model, seed=seeds[model]).sort_values("benefit")
        rank = np.arange(1, len(own) + 1)
        for bound in ("benefit_lower", "benefit_upper"):
            axis.plot(rank, own[bound], ".", color="0.65", ms=2, mew=0)
        axis.plot(rank, own["benefit"], color=style[model].colour, lw=1.4)
        axis.set_title(fill(titles[model], TITLE_WIDTH), loc="left")
        axis.set_ylim(0, 1)
    for axis in axes[: len(titles)]:
        axis.set_xlabel("patients by P(benefit)")
    axes[0].set_ylabel(f"P({event_label(effect)} only if treated)")
    legend_below(
        figure,
        [
            Line2D([], [], color="black", lw=1.4, label="P(benefit), latents shared across worlds"),
            Line2D([], [], ls="", marker=".", color="0.65", label="Frechet bounds without that"),
        ],
    )
    return figure


def _panels(titles: Iterable[str]) -> tuple[Figure, list]:
    """A panel per model, at most three side by side."""
    count = len(list(titles))
    columns = min(3, count)
    figure, axes = new_figure(-(-count // columns), columns, panel=(2.9, 2.4))
    flat = [axis for row in axes for axis in row]
    for axis in flat[count:]:
        axis.set_axis_off()
    return figure, flat
