"""The figure of coefficients by epoch, drawn from stored tables only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from replication.figures_curves import draw_line, model_handles
from replication.questions import select_rows
from replication.spread import median_seeds, seeds_around
from replication.style import TRUTH, legend_below, looks, new_figure

__all__ = ["draw_trajectories"]

_MAXIMUM: dict[str, Any] = {"color": "#7F2704", "lw": 1.8, "ls": (0, (0.4, 1.6)), "zorder": 3}
"""The exact maximum of the likelihood: round dots, neither the truth's dashes nor a course."""

_INTERVAL: dict[str, Any] = {"facecolor": "#FDE3CF", "edgecolor": "#7F2704", "lw": 0.6}
"""Its interval: paler than any line on it when printed in grey, with an edge of its own."""


def draw_trajectories(
    trajectories: pd.DataFrame,
    coefficients: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
) -> Figure:
    """Linear coefficients by epoch, a panel for each, with the maximum of the likelihood.

    Args:
        trajectories: Table ``trajectories`` of the fits.
        coefficients: Table ``coefficients`` of the fits. Models without a trajectory of a
            coefficient are solved exactly: their estimate from the rows of the median seed stands
            beside the trajectories of others, with its interval.
        true: Coefficients of the generator, None without one.
        titles: Model names to titles.
    """
    edge = ["node", "parent", "level"]
    median = median_seeds(trajectories, value="estimate", within=edge)
    keys = trajectories[edge].drop_duplicates()
    figure, axes = new_figure(1, len(keys), panel=(2.7, 2.4))
    style = looks(titles)
    for axis, (node, parent, level) in zip(axes[0], keys.to_numpy(), strict=True):
        rows = _edge(trajectories, node, parent, level)
        for model, run, strong in seeds_around(rows, median):
            draw_line(axis, run["epoch"], run["estimate"], style[model], strong=strong)
        for found in _solved(coefficients, rows, median, node, parent, level):
            axis.axhspan(found.lower, found.upper, **_INTERVAL, zorder=0)
            axis.axhline(found.estimate, **_MAXIMUM, dash_capstyle="round")
        if true is not None:
            weight = select_rows(true, parameter="shift", node=node, parent=parent)["truth"]
            for value in weight * (1.0 if pd.isna(level) else level):
                axis.axhline(value, **TRUTH)
        source = parent if pd.isna(level) else f"{parent} = {level:.0f}"
        axis.set_title(f"{source} on {node}", loc="left")
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes[0][0].set_ylabel("coefficient (log odds per unit)")
    handles = model_handles(trajectories, titles)
    if any(axis.patches for axis in axes[0]):
        handles += [
            Line2D([], [], **_MAXIMUM, dash_capstyle="round", label="maximum likelihood"),
            Patch(**_INTERVAL, label="95 % interval of maximum likelihood"),
        ]
    if true is not None:
        handles.append(Line2D([], [], **TRUTH, label="truth"))
    legend_below(figure, handles)
    return figure


def _edge(table: pd.DataFrame, node: str, parent: str, level: float) -> pd.DataFrame:
    """The rows about one coefficient."""
    rows = select_rows(table, node=node, parent=parent)
    return rows[rows["level"].isna() if pd.isna(level) else rows["level"] == level]


def _solved(
    coefficients: pd.DataFrame,
    trajectories: pd.DataFrame,
    median: Mapping[str, int],
    node: str,
    parent: str,
    level: float,
) -> Iterator[Any]:
    """Exact estimates of a coefficient, from the rows of the seed whose trajectory is strong."""
    stepped = list(trajectories["model"].unique())
    own = _edge(coefficients, node, parent, level)
    own = own[~own["model"].isin(stepped) & own["std_error"].notna()]
    # one fit of a file stands for every seed, because all of them train on its rows
    shared = own.groupby("model")["seed"].transform("nunique") == 1
    yield from own[shared | own["seed"].isin([median[m] for m in stepped])].itertuples()
