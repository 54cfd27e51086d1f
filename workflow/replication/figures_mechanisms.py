"""The figure of a whole model: its graph, the conditional laws, and the shifts of their parents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from replication.figures_curves import draw_line, draw_shift, model_handles
from replication.questions import select_rows
from replication.spread import median_seeds, seeds_around
from replication.style import TRUTH, axis_label, legend_below, looks, new_figure
from tramdag import plotting, spec_from_dict

__all__ = ["draw_mechanisms"]


def draw_mechanisms(
    conditionals: pd.DataFrame,
    shifts: pd.DataFrame,
    summary: pd.DataFrame,
    true: Mapping[str, pd.DataFrame],
    *,
    spec: Mapping[str, Mapping[str, Any]],
    titles: Mapping[str, str],
    units: Mapping[str, str],
) -> Figure:
    """The graph, then each node's law on the scale of its latent, then the shifts.

    Args:
        conditionals: Table ``conditionals`` of the models.
        shifts: Table ``shifts`` of the models.
        summary: Table ``summary`` of the models.
        true: The generator's tables ``conditionals`` and ``shifts``; none without one.
        spec: The specification of the first model, whose graph is drawn, in its plain form.
        titles: Model names to titles.
        units: Units by column.
    """
    laws = list(conditionals[["node", "given"]].drop_duplicates().itertuples(index=False))
    edges = list(shifts[["node", "parent"]].drop_duplicates().itertuples(index=False, name=None))
    columns = max(len(laws), len(edges) + 2)
    figure, axes = new_figure(2, columns, panel=(2.9, 2.5))
    for axis in (*axes[0], *axes[1][len(laws) :]):
        axis.remove()
    grid = axes[1][0].get_gridspec()
    graph = figure.add_subplot(grid[0, : columns - len(edges)])  # type: ignore[index]
    style = looks(titles)
    for position, (node, parent) in enumerate(edges, columns - len(edges)):
        axis = figure.add_subplot(grid[0, position])  # type: ignore[index]
        truth = true.get("shifts")
        draw_shift(axis, shifts, truth, edge=(node, parent), titles=titles)
        axis.set_xlabel(axis_label(parent, units))
        axis.set_ylabel(f"shift of {node} by {parent} (log odds)")
    median = median_seeds(conditionals, value="log_odds", within=["node"])
    for axis, (node, given) in zip(axes[1], laws, strict=False):
        for model, law, strong in seeds_around(select_rows(conditionals, node=node), median):
            draw_line(axis, law["value"], law["log_odds"], style[model], strong=strong)
        if "conditionals" in true:
            _draw_truth(axis, select_rows(true["conditionals"], node=node))
        axis.set_title(f"h of {node}, {given}", loc="left")
        axis.set_xlabel(axis_label(node, units))
    axes[1][0].set_ylabel("log odds of a value of at most x")
    handles = model_handles(conditionals, titles)
    if true:
        handles.append(Line2D([], [], **TRUTH, label="truth"))
    legend_below(figure, handles)
    # labels on edges are placed by their size on the page, so the graph comes last
    first = summary[summary["model"] == next(iter(titles))]
    estimates = first[first["seed"] == median[next(iter(titles))]]
    plotting.causal_dag(spec_from_dict(spec), estimates, legend=False, ax=graph)
    return figure


def _draw_truth(axis: Axes, law: pd.DataFrame) -> None:
    """The part of the true law that the fitted ones, drawn before, reach."""
    low, high = axis.get_xlim()
    inside = law[law["value"].between(low, high)]
    axis.plot(inside["value"], inside["log_odds"], **TRUTH)
    axis.set_xlim(low, high)
