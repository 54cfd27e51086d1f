"""Figures of laws and of average effects, drawn from stored tables only.

Every function takes tidy tables as ``replication.questions`` lays them out and returns a figure.
The truth is grey or black; each seed of a model is a line or a point of its own, so that the
spread over seeds is seen and no run is picked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from replication.questions import TRIAL_ROWS, by_seed, select_rows
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
    "draw_densities",
    "draw_effects",
    "draw_marginals",
]


def draw_marginals(
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    ordinal: Sequence[str],
    queries: Sequence[str] | None = None,
) -> Figure:
    """Marginal laws of every node, one row of panels per intervention.

    Args:
        estimated: Table ``densities`` of the models.
        true: Table ``densities`` of the generator, None without one.
        titles: Model names to titles.
        units: Units by column.
        ordinal: Names of the ordinal nodes, drawn as probabilities of their levels.
        queries: The rows; all of the table if None.
    """
    rows = list(estimated["query"].unique()) if queries is None else list(queries)
    nodes = list(estimated["node"].unique())
    figure, axes = new_figure(len(rows), len(nodes), panel=(2.4, 1.9))
    for i, query in enumerate(rows):
        for j, node in enumerate(nodes):
            _draw_law(
                axes[i][j],
                select_rows(estimated, query=query, node=node),
                None if true is None else select_rows(true, query=query, node=node),
                titles=titles,
                ordinal=node in ordinal,
            )
            axes[i][j].set_xlabel(axis_label(node, units))
            axes[i][j].set_ylabel("probability" if node in ordinal else "density")
        axes[i][0].set_title(query, loc="left")
    legend_below(figure, _law_legend(titles, with_truth=true is not None))
    return figure


def draw_densities(
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    ordinal: Sequence[str],
) -> Figure:
    """The law of the last node under each intervention; arguments as :func:`draw_marginals`."""
    node = estimated["node"].iloc[-1]
    queries = [query for query in estimated["query"].unique() if query != "observational"]
    figure, axes = new_figure(1, len(queries), panel=(2.7, 2.4))
    for axis, query in zip(axes[0], queries, strict=True):
        _draw_law(
            axis,
            select_rows(estimated, query=query, node=node),
            None if true is None else select_rows(true, query=query, node=node),
            titles=titles,
            ordinal=node in ordinal,
        )
        axis.set_title(query, loc="left")
        axis.set_xlabel(axis_label(node, units))
    axes[0][0].set_ylabel("probability" if node in ordinal else "density")
    legend_below(figure, _law_legend(titles, with_truth=true is not None))
    return figure


def draw_effects(
    estimated: pd.DataFrame, true: pd.DataFrame | None, *, titles: Mapping[str, str]
) -> Figure:
    """Risks in both arms and their difference: a point per seed, the truth as a line.

    Args:
        estimated: Table ``effects`` of the models.
        true: Table ``effects`` of the generator, None without one.
        titles: Model names to titles.
    """
    rows = estimated[estimated["population"] == TRIAL_ROWS]
    effect = rows["effect"].iloc[0]
    treatment, outcome = effect.split(" on ")
    figure, axes = new_figure(1, 2, panel=(4.4, 0.5 * len(titles) + 1.6))
    panels = (
        (axes[0][0], ("P0", "P1"), f"P({outcome}) under do({treatment} = 0 or 1)"),
        (axes[0][1], ("ATE",), f"difference of P({outcome}), treated minus control"),
    )
    style = looks(titles)
    for axis, quantities, label in panels:
        for position, model in enumerate(titles):
            for quantity in quantities:
                values = select_rows(rows, effect=effect, model=model, quantity=quantity)["value"]
                _strip(axis, values.to_numpy(), position, style[model], hollow=quantity == "P0")
        if true is not None:
            truth = select_rows(true, effect=effect, population=TRIAL_ROWS).set_index("quantity")
            for quantity in quantities:
                axis.axvline(truth["value"][quantity], color=TRUTH_LINE, ls=(0, (2, 2)), lw=1.2)
        axis.set_xlabel(label)
        axis.set_yticks(range(len(titles)), list(titles.values()))
        axis.set_ylim(len(titles) - 0.5, -0.5)
    axes[0][1].tick_params(labelleft=False)
    handles = [
        Line2D([], [], marker="o", ls="", color="black", mfc="white", label="control, one seed"),
        Line2D([], [], marker="o", ls="", color="black", label="treated or difference, one seed"),
        Line2D([], [], marker="|", ms=14, mew=2, ls="", color="black", label="mean over seeds"),
    ]
    if true is not None:
        handles.append(Line2D([], [], color=TRUTH_LINE, ls=(0, (2, 2)), lw=1.2, label="truth"))
        naive = select_rows(true, effect=effect, quantity="naive contrast")["value"]
        for value in naive:
            axes[0][1].plot(value, -0.35, "x", color=TRUTH_LINE, ms=7, mew=1.5)
            label = "confounded contrast of the cohort"
            handles.append(Line2D([], [], marker="x", color=TRUTH_LINE, ms=7, ls="", label=label))
    legend_below(figure, handles)
    return figure


def _draw_law(
    axis: Axes,
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    ordinal: bool,
) -> None:
    """Histogram outlines of the models over the filled one of the truth; points for levels."""
    if true is not None and len(true):
        edges = [*true["left"], true["right"].iloc[-1]]
        axis.stairs(true["density"], edges, fill=True, color=TRUTH_FILL)
    style = looks(titles)
    for model, law in by_seed(estimated):
        look = style[model]
        if ordinal:
            offset = 0.25 * (list(titles).index(model) - (len(titles) - 1) / 2)
            levels = (law["left"] + law["right"]) / 2
            axis.plot(levels + offset, law["density"], look.marker, color=look.colour, ms=3.5)
            axis.set_xticks(levels)
        else:
            edges = [*law["left"], law["right"].iloc[-1]]
            axis.stairs(law["density"], edges, color=look.colour, ls=look.line, lw=1.0, alpha=0.8)
    if estimated.empty:
        # held fixed by the intervention: no law to draw
        axis.set_axis_off()


def _strip(axis: Axes, values: np.ndarray, position: int, look: Look, *, hollow: bool) -> None:
    """Points around a height, and a bar at their mean if there are several."""
    spread = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(1)
    if len(values) > 1:
        axis.plot(values.mean(), position, "|", color=look.colour, ms=20, mew=2)
    axis.plot(
        values,
        position + spread,
        look.marker,
        color=look.colour,
        mfc="white" if hollow else look.colour,
        ms=5,
    )


def _law_legend(titles: Mapping[str, str], *, with_truth: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D(
            [],
            [],
            color=look.colour,
            ls=look.line,
            marker=look.marker,
            ms=3.5,
            label=f"{look.label}, one per seed",
        )
        for look in looks(titles).values()
    ]
    return [*handles, Patch(color=TRUTH_FILL, label="truth")] if with_truth else handles
