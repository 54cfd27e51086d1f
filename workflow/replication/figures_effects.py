"""The figure of average effects, drawn from stored tables only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from replication.questions import AVERAGED_ROWS, effect_label, event_label, select_rows
from replication.style import TRUTH, TRUTH_LINE, Look, legend_below, looks, new_figure

__all__ = ["draw_effects"]


def draw_effects(
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
) -> Figure:
    """Risks in both arms and their difference: a point per seed, the truth as a line.

    Estimates with an interval have a thin line through it.

    Args:
        estimated: Table ``effects`` of the models.
        true: Table ``effects`` of the generator, None without one.
        titles: Model names to titles.
        effect: Treatment, outcome and at_most of the effect that is drawn.
    """
    rows = estimated[estimated["population"].isin(AVERAGED_ROWS)]
    event, label = event_label(effect), effect_label(effect)
    figure, axes = new_figure(1, 2, panel=(4.4, 0.5 * len(titles) + 1.6))
    panels = (
        (axes[0][0], ("P0", "P1"), f"P({event}) under do({effect['treatment']} = 0 or 1)"),
        (axes[0][1], ("ATE",), f"difference of P({event})\n(treated minus control)"),
    )
    style = looks(titles)
    for axis, quantities, name in panels:
        for position, model in enumerate(titles):
            for quantity in quantities:
                found = select_rows(rows, effect=label, model=model, quantity=quantity)
                _strip(axis, found, position, style[model], hollow=quantity == "P0")
        if true is not None:
            truth = true[true["population"].isin(AVERAGED_ROWS)]
            truth = select_rows(truth, effect=label).set_index("quantity")
            for value in truth["value"].reindex(quantities).dropna():
                axis.axvline(value, **TRUTH)
        axis.set_xlabel(name)
        axis.set_yticks(range(len(titles)), list(titles.values()))
        axis.set_ylim(len(titles) - 0.5, -0.5)
    axes[0][1].tick_params(labelleft=False)
    shown = select_rows(rows, effect=label)
    several = bool(shown.duplicated(["model", "quantity"]).any())
    each = ", one seed" if several else ""
    handles = [
        Line2D([], [], marker="o", ls="", color="black", mfc="white", label=f"control{each}"),
        Line2D([], [], marker="o", ls="", color="black", label=f"treated or difference{each}"),
    ]
    if several:
        bar = Line2D([], [], marker="|", ms=11, mew=2, ls="", color="black")
        bar.set_label("mean over seeds")
        handles.append(bar)
    if shown["lower"].notna().any():
        handles.append(Line2D([], [], color="black", lw=1.0, label="95 % interval"))
    if true is not None:
        handles.append(Line2D([], [], **TRUTH, label="truth"))
        naive = select_rows(true, effect=label, quantity="naive contrast")["value"]
        handles += [_mark_naive(axes[0][1], value) for value in naive]
    legend_below(figure, handles)
    return figure


def _strip(axis: Axes, found: pd.DataFrame, position: int, look: Look, *, hollow: bool) -> None:
    """Points around a height, intervals through them, a bar at the mean if there are several."""
    values = found["value"].to_numpy()
    spread = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(1)
    # the intervals of both arms may overlap: those of the control arm a little higher
    middle = position - 0.12 * hollow
    heights = middle + spread
    axis.hlines(heights, found["lower"], found["upper"], color=look.colour, lw=1.0)
    axis.plot(
        values,
        heights,
        look.marker,
        color=look.colour,
        mfc="white" if hollow else look.colour,
        ms=5,
    )
    if len(values) > 1:
        # black and on top: in the colour of many points it would be lost among them
        axis.plot(values.mean(), middle, "|", color="white", ms=21, mew=3)
        axis.plot(values.mean(), middle, "|", color="black", ms=20, mew=1.6)


def _mark_naive(axis: Axes, value: float) -> Line2D:
    """A cross at the confounded contrast, or an arrow at the edge that says how far off it is."""
    low, high = axis.get_xlim()
    inside = low <= value <= high
    marker, place = ("x", value) if inside else (">", high) if value > high else ("<", low)
    axis.plot(place, -0.3, marker, color=TRUTH_LINE, ms=6, mew=1.5, clip_on=False)
    axis.set_xlim(low, high)
    if not inside:
        axis.annotate(
            f"{value:.3f}",
            (place, -0.3),
            xytext=(-7 if value > high else 7, 0),
            textcoords="offset points",
            ha="right" if value > high else "left",
            va="center",
            fontsize=8,
        )
    label = "confounded contrast of the observational population"
    return Line2D([], [], marker=marker, color=TRUTH_LINE, ms=6, mew=1.5, ls="", label=label)
