"""Figures of laws, drawn from stored tables only.

Every function takes tidy tables as ``replication.questions`` lays them out and returns a figure.
The truth is grey or black; each seed of a model is a line or a point of its own, the median one
strong, so that the spread over seeds is seen and no run is picked.
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

from replication.metrics import histogram
from replication.questions import OBSERVATIONAL, by_seed, query_label, select_rows
from replication.spread import PALE, STRONG, median_seeds_of_laws, seeds_around, spread_note
from replication.style import TRUTH_FILL, axis_label, legend_below, looks, new_figure

__all__ = ["draw_densities", "draw_marginals"]

_FILLED: dict[str, Any] = {"mec": "white", "mew": 0.4, "ms": 4}
"""Levels of the median seed: drawn last, with an edge that many outlines around it do not have."""

_HOLLOW: dict[str, Any] = {"mfc": "none", "ms": 3}
"""Levels of the other seeds."""


def draw_marginals(
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    levels: Mapping[str, int],
    observed: pd.DataFrame | None = None,
) -> Figure:
    """Marginal laws of every node, one row of panels per intervention.

    Args:
        estimated: Table ``densities`` of the models.
        true: Table ``densities`` of the generator, None without one.
        titles: Model names to titles.
        units: Units by column.
        levels: Numbers of levels of the ordinal nodes, drawn as probabilities of their levels.
        observed: Observed rows, which stand in for the truth where no node is set.
    """
    rows = list(estimated["query"].unique())
    nodes = list(estimated["node"].unique())
    backdrop = true if observed is None else _observed_law(observed[nodes], levels)
    median = median_seeds_of_laws(estimated, within=["query", "node"])
    figure, axes = new_figure(len(rows), len(nodes), panel=(2.4, 1.9))
    for i, query in enumerate(rows):
        for j, node in enumerate(nodes):
            _draw_law(
                axes[i][j],
                select_rows(estimated, query=query, node=node),
                None if backdrop is None else select_rows(backdrop, query=query, node=node),
                titles=titles,
                median=median,
                ordinal=node in levels,
            )
            axes[i][j].set_xlabel(axis_label(node, units))
            axes[i][j].set_ylabel("probability" if node in levels else "density")
        axes[i][0].set_title(query, loc="left")
    filled = "truth" if observed is None else "observed rows"
    handles = _law_legend(estimated, titles=titles, ordinal=list(levels))
    if backdrop is not None:
        handles.append(Patch(color=TRUTH_FILL, label=filled))
    legend_below(figure, handles)
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
    shown = select_rows(estimated, node=node)
    shown = shown[shown["query"].isin(queries)]
    median = median_seeds_of_laws(shown, within=["query"])
    figure, axes = new_figure(1, len(queries), panel=(2.7, 2.4))
    for axis, query in zip(axes[0], queries, strict=True):
        _draw_law(
            axis,
            select_rows(shown, query=query),
            None if true is None else select_rows(true, query=query, node=node),
            titles=titles,
            median=median,
            ordinal=node in ordinal,
        )
        axis.set_title(query, loc="left")
        axis.set_xlabel(axis_label(node, units))
    axes[0][0].set_ylabel("probability" if node in ordinal else "density")
    handles = _law_legend(shown, titles=titles, ordinal=[node] * (node in ordinal))
    if true is not None:
        handles.append(Patch(color=TRUTH_FILL, label="truth"))
    legend_below(figure, handles)
    return figure


def _draw_law(
    axis: Axes,
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    median: Mapping[str, int],
    ordinal: bool,
) -> None:
    """Histogram outlines of the models over the filled one of the truth; points for levels."""
    if true is not None and len(true):
        edges = [*true["left"], true["right"].iloc[-1]]
        axis.stairs(true["density"], edges, fill=True, color=TRUTH_FILL)
    if estimated.empty:
        # held fixed by the intervention: no law to draw
        axis.set_axis_off()
        return
    style = looks(titles)
    seeds = list(estimated["seed"].unique())
    for model, law, strong in seeds_around(estimated, median):
        look = style[model]
        if ordinal:
            slot = list(titles).index(model) - (len(titles) - 1) / 2
            # the seeds of a model side by side, or their points would fuse into a bar
            place = (seeds.index(law["seed"].iloc[0]) + 0.5) / len(seeds) - 0.5
            levels = (law["left"] + law["right"]) / 2
            offset = (slot + 0.7 * place) * min(0.28, 0.9 / len(titles))
            axis.plot(
                levels + offset,
                law["density"],
                look.marker,
                color=look.colour,
                **(_FILLED if strong else _HOLLOW),
            )
            axis.set_xticks(levels)
            axis.set_xlim(levels.min() - 0.6, levels.max() + 0.6)
        else:
            edges = [*law["left"], law["right"].iloc[-1]]
            strength = STRONG if strong else PALE
            axis.stairs(law["density"], edges, color=look.colour, ls=look.line, **strength)
    axis.set_ylim(bottom=0)
    if not ordinal:
        axis.set_xlim(_middle(estimated if true is None or true.empty else true))


def _middle(laws: pd.DataFrame) -> tuple[float, float]:
    """Where the middle 99 percent of the laws lie, with a margin: long tails hide the rest."""
    each = [law for _, law in by_seed(laws)] if "model" in laws else [laws]
    ends = []
    for law in each:
        mass = (law["density"] * (law["right"] - law["left"])).cumsum()
        inside = law[(mass >= 0.005) & (mass <= mass.iloc[-1] - 0.005)]
        ends.append((inside["left"].min(), inside["right"].max()))
    low, high = min(left for left, _ in ends), max(right for _, right in ends)
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _observed_law(rows: pd.DataFrame, levels: Mapping[str, int]) -> pd.DataFrame:
    """Histograms of observed rows in the layout of ``densities``, in bins by Rice's rule."""
    bins = int(np.clip(2 * len(rows) ** (1 / 3), 10, 80))
    query = query_label(OBSERVATIONAL)
    laws = [
        histogram(rows[node].to_numpy(), levels=levels.get(node), bins=bins).assign(
            node=node, query=query
        )
        for node in map(str, rows)
    ]
    return pd.concat(laws, ignore_index=True)


def _law_legend(
    estimated: pd.DataFrame, *, titles: Mapping[str, str], ordinal: Sequence[str]
) -> list[Line2D | Patch]:
    """A handle per model, with a line or a marker only where one is drawn."""
    nodes = set(estimated["node"])
    points, lines = bool(nodes & set(ordinal)), bool(nodes - set(ordinal))
    seeds = estimated.groupby("model")["seed"].nunique()
    return [
        Line2D(
            [],
            [],
            color=look.colour,
            ls=look.line if lines else "",
            marker=look.marker if points else "",
            ms=4,
            label=look.label + spread_note(seeds[model]),
        )
        for model, look in looks(titles).items()
        if model in seeds
    ]
