"""Figures of curves: shifts and counterfactuals.

Drawn from stored tables only, like those of :mod:`replication.figures`; one line per seed, that of
the median seed strong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from replication.questions import select_rows
from replication.spread import PALE, STRONG, median_seeds, seeds_around, spread_note
from replication.style import (
    TRUTH,
    TRUTH_LINE,
    Look,
    axis_label,
    legend_below,
    looks,
    new_figure,
)

__all__ = [
    "draw_counterfactuals",
    "draw_line",
    "draw_shift",
    "draw_shift_curves",
    "model_handles",
]


def draw_shift_curves(
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    ordinal: Sequence[str],
) -> Figure:
    """Shifts of nodes by one parent each.

    An additive constant is not identified. Every curve is drawn so that its mean over its own grid
    is that of the truth there, or zero without a truth.

    Args:
        estimated: Table ``shifts`` of the models.
        true: Table ``shifts`` of the generator, None without one.
        titles: Model names to titles.
        units: Units by column.
        ordinal: Names of the ordinal nodes.
    """
    pairs = list(estimated[["node", "parent"]].drop_duplicates().itertuples(index=False, name=None))
    figure, axes = new_figure(1, len(pairs), panel=(4.0, 3.0))
    for axis, (node, parent) in zip(axes[0], pairs, strict=True):
        draw_shift(axis, estimated, true, edge=(node, parent), titles=titles)
        axis.set_xlabel(axis_label(parent, units))
        odds = f"{node} > k" if node in ordinal else f"{node} ≤ x"
        axis.set_ylabel(f"shift of {node} by {parent}\n(log odds of {odds})")
    handles = model_handles(estimated, titles)
    if true is not None and len(true):
        handles.append(Line2D([], [], **TRUTH, label="truth"))
    legend_below(figure, handles)
    return figure


def draw_shift(
    axis: Axes,
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    edge: tuple[str, str],
    titles: Mapping[str, str],
) -> None:
    """The shift of a node by a parent, ``edge``, in one panel; see :func:`draw_shift_curves`."""
    node, parent = edge
    curves = select_rows(estimated, node=node, parent=parent)
    level = curves.groupby(["model", "seed"])["shift"].transform("mean")
    curves = curves.assign(shift=curves["shift"] - level)
    truth = curves.head(0) if true is None else select_rows(true, node=node, parent=parent)
    median = median_seeds(curves, value="shift", within=["node"])
    style = looks(titles)
    for model, curve, strong in seeds_around(curves, median):
        shift = curve["shift"]
        if len(truth):
            shift = shift + np.interp(curve["value"], truth["value"], truth["shift"]).mean()
        draw_line(axis, curve["value"], shift, style[model], strong=strong)
    if len(truth):
        axis.plot(truth["value"], truth["shift"], **TRUTH)


def draw_counterfactuals(
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    observed: Sequence[Mapping[str, float]],
) -> Figure:
    """One observation's value of a node, had another node been set to each value of a grid.

    Args:
        estimated: Table ``curves`` of the models.
        true: Table ``curves`` of the generator, None without one.
        titles: Model names to titles.
        units: Units by column.
        observed: The observation behind each curve, in the order of the table.
    """
    names = list(estimated["curve"].unique())
    median = median_seeds(estimated, value="value", within=["curve"])
    figure, axes = new_figure(1, len(names), panel=(3.4, 2.8))
    style = looks(titles)
    for axis, name, row in zip(axes[0], names, observed, strict=True):
        curves = select_rows(estimated, curve=name)
        for model, curve, strong in seeds_around(curves, median):
            draw_line(axis, curve["set_to"], curve["value"], style[model], strong=strong)
        node, parent = curves["node"].iloc[0], curves["intervene"].iloc[0]
        if true is not None:
            truth = select_rows(true, curve=name)
            axis.plot(truth["set_to"], truth["value"], **TRUTH)
        axis.plot(row[parent], row[node], "*", color=TRUTH_LINE, ms=11, mec="white", zorder=5)
        axis.set_xlabel(f"{axis_label(parent, units)} had been")
        axis.set_ylabel(f"{axis_label(node, units)} would have been")
    handles = model_handles(estimated, titles)
    if true is not None:
        handles.append(Line2D([], [], **TRUTH, label="truth"))
    handles.append(
        Line2D([], [], color=TRUTH_LINE, marker="*", ms=11, mec="white", ls="", label="observed")
    )
    legend_below(figure, handles)
    return figure


def draw_line(axis: Axes, x: pd.Series, y: pd.Series, look: Look, *, strong: bool) -> None:
    """One seed's line, strong or pale."""
    axis.plot(x, y, color=look.colour, ls=look.line, **(STRONG if strong else PALE))


def model_handles(table: pd.DataFrame, titles: Mapping[str, str]) -> list[Line2D | Patch]:
    """A handle per model that the table has, in the look that it has among all models."""
    seeds = table.groupby("model")["seed"].nunique()
    return [
        Line2D(
            [],
            [],
            color=look.colour,
            ls=look.line,
            label=look.label + spread_note(seeds[model]),
        )
        for model, look in looks(titles).items()
        if model in seeds
    ]
