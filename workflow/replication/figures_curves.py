"""Figures of curves: shifts, counterfactuals, and the course of training.

Drawn from stored tables only, like those of :mod:`replication.figures`; one line per seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from replication.questions import by_seed, select_rows
from replication.style import (
    TRUTH_FILL,
    TRUTH_LINE,
    Look,
    axis_label,
    legend_below,
    looks,
    new_figure,
)

__all__ = [
    "EARLY",
    "draw_counterfactuals",
    "draw_history",
    "draw_shift_curves",
    "draw_trajectories",
]

_TRUTH: dict[str, Any] = {
    "color": TRUTH_FILL,
    "ls": "-",
    "lw": 5.0,
    "solid_capstyle": "butt",
    "zorder": 1,
}
"""A wide grey line under the fits, some of which are dashed."""

EARLY = 0.05
"""Share of the epochs, at the start of training, that a history may cut off above."""


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
    style = looks(titles)
    for axis, (node, parent) in zip(axes[0], pairs, strict=True):
        curves = select_rows(estimated, node=node, parent=parent)
        truth = curves.head(0) if true is None else select_rows(true, node=node, parent=parent)
        for model, curve in by_seed(curves):
            shift = curve["shift"] - curve["shift"].mean()
            if len(truth):
                shift = shift + np.interp(curve["value"], truth["value"], truth["shift"]).mean()
            _line(axis, curve["value"], shift, style[model], alpha=0.8)
        if len(truth):
            axis.plot(truth["value"], truth["shift"], **_TRUTH)
        axis.set_xlabel(axis_label(parent, units))
        odds = f"{node} > k" if node in ordinal else f"{node} ≤ x"
        axis.set_ylabel(f"shift of {node} by {parent}\n(log odds of {odds})")
    handles = _model_handles(estimated, titles)
    if true is not None and len(true):
        handles.append(Line2D([], [], **_TRUTH, label="truth"))
    legend_below(figure, handles)
    return figure


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
    figure, axes = new_figure(1, len(names), panel=(3.4, 2.8))
    style = looks(titles)
    for axis, name, row in zip(axes[0], names, observed, strict=True):
        curves = select_rows(estimated, curve=name)
        for model, curve in by_seed(curves):
            _line(axis, curve["set_to"], curve["value"], style[model], alpha=0.8)
        node, parent = curves["node"].iloc[0], curves["intervene"].iloc[0]
        if true is not None:
            truth = select_rows(true, curve=name)
            axis.plot(truth["set_to"], truth["value"], **_TRUTH)
        axis.plot(row[parent], row[node], "*", color=TRUTH_LINE, ms=11, mec="white")
        axis.set_xlabel(f"{axis_label(parent, units)} had been")
        axis.set_ylabel(f"{axis_label(node, units)} would have been")
    handles = _model_handles(estimated, titles)
    if true is not None:
        handles.append(Line2D([], [], **_TRUTH, label="truth"))
    handles.append(
        Line2D([], [], color=TRUTH_LINE, marker="*", ms=11, mec="white", ls="", label="observed")
    )
    legend_below(figure, handles)
    return figure


def draw_history(history: pd.DataFrame, *, titles: Mapping[str, str]) -> Figure:
    """Validation and training loss by epoch of every node that was trained by steps.

    Args:
        history: Table ``history`` of the fits.
        titles: Model names to titles.
    """
    trained = history[history.groupby(["model", "seed", "node"])["epoch"].transform("size") > 1]
    nodes = list(trained["node"].unique())
    figure, axes = new_figure(1, len(nodes), panel=(2.7, 2.4))
    style = looks(titles)
    for axis, node in zip(axes[0], nodes, strict=True):
        for model, run in by_seed(select_rows(trained, node=node)):
            look = style[model]
            axis.plot(run["epoch"], run["train"], color=look.colour, lw=0.8, alpha=0.45)
            axis.plot(run["epoch"], run["validation"], color=look.colour, lw=1.3)
        # the first epochs fall steeply and would hide the rest
        runs = select_rows(trained, node=node)
        late = runs[runs["epoch"] > runs["epoch"].max() * EARLY]
        low = np.nanmin(runs[["train", "validation"]].to_numpy())
        high = np.nanmax(late[["train", "validation"]].to_numpy())
        margin = 0.05 * (high - low) + 1e-6
        axis.set_ylim(low - margin, high + margin)
        axis.set_title(node, loc="left")
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes[0][0].set_ylabel("negative log-likelihood\n(nats per row)")
    handles = [
        *(
            Line2D([], [], color=style[model].colour, label=style[model].label)
            for model in trained["model"].unique()
        ),
        Line2D([], [], color="black", lw=1.3, label="validation"),
        Line2D([], [], color="black", lw=0.8, alpha=0.45, label="training"),
    ]
    legend_below(figure, handles)
    return figure


def draw_trajectories(
    trajectories: pd.DataFrame, true: pd.DataFrame | None, *, titles: Mapping[str, str]
) -> Figure:
    """Linear coefficients by epoch, a panel for each.

    Args:
        trajectories: Table ``trajectories`` of the fits.
        true: Coefficients of the generator, None without one.
        titles: Model names to titles.
    """
    keys = trajectories[["node", "parent", "level"]].drop_duplicates()
    figure, axes = new_figure(1, len(keys), panel=(2.7, 2.4))
    style = looks(titles)
    for axis, (node, parent, level) in zip(axes[0], keys.to_numpy(), strict=True):
        rows = select_rows(trajectories, node=node, parent=parent)
        rows = rows[rows["level"].isna() if pd.isna(level) else rows["level"] == level]
        for model, run in by_seed(rows):
            _line(axis, run["epoch"], run["estimate"], style[model], alpha=0.8)
        if true is not None:
            weight = select_rows(true, parameter="shift", node=node, parent=parent)["truth"]
            for value in weight * (1.0 if pd.isna(level) else level):
                axis.axhline(value, **_TRUTH)
        source = parent if pd.isna(level) else f"{parent} = {level:.0f}"
        axis.set_title(f"{source} on {node}", loc="left")
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes[0][0].set_ylabel("coefficient (log odds per unit)")
    handles = _model_handles(trajectories, titles)
    if true is not None:
        handles.append(Line2D([], [], **_TRUTH, label="truth"))
    legend_below(figure, handles)
    return figure


def _line(axis: Axes, x: pd.Series, y: pd.Series, look: Look, *, alpha: float = 1.0) -> None:
    axis.plot(x, y, color=look.colour, ls=look.line, alpha=alpha)


def _model_handles(table: pd.DataFrame, titles: Mapping[str, str]) -> list[Line2D | Patch]:
    """A handle per model that the table has, in the look that it has among all models."""
    seeds = table.groupby("model")["seed"].nunique()
    return [
        Line2D(
            [],
            [],
            color=look.colour,
            ls=look.line,
            label=look.label + (", one line per seed" if seeds[model] > 1 else ""),
        )
        for model, look in looks(titles).items()
        if model in seeds
    ]
