"""Scatter matrices of joint laws: the truth and each model's median seed, block beside block.

Drawn from stored tables only, like the figures of :mod:`replication.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from replication.questions import OBSERVATIONAL, query_label, select_rows
from replication.spread import median_seeds_of_laws
from replication.style import (
    TRUTH_FILL,
    TRUTH_LINE,
    Look,
    axis_label,
    legend_below,
    looks,
    new_blocks,
)

__all__ = ["draw_pairs"]

_TRUTH = Look("truth", TRUTH_LINE, "-", "o")

Limits = Mapping[str, tuple[float, float]]


def draw_pairs(
    draws: pd.DataFrame,
    true_draws: pd.DataFrame,
    densities: pd.DataFrame,
    true_densities: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
) -> Figure:
    """Pairs of nodes as points below the diagonal, their marginal laws on it.

    Args:
        draws: Table ``draws`` of the models.
        true_draws: Table ``draws`` of the generator, the first block.
        densities: Table ``densities`` of the models, of which the observational laws are drawn.
        true_densities: That of the generator, in grey behind each of them.
        titles: Model names to titles.
        units: Units by column.
    """
    query = query_label(OBSERVATIONAL)
    nodes = list(true_draws["node"].unique())
    truth = _joint(true_draws)[nodes]
    true_laws = select_rows(true_densities, query=query)
    limits = {node: _middle(truth[node]) for node in nodes}
    observed = select_rows(densities, query=query)
    median = median_seeds_of_laws(observed, within=["node"])
    shown = {name: look for name, look in looks(titles).items() if name in median}
    figure, blocks = new_blocks(
        1 + len(shown), len(nodes), titles=["truth", *(look.label for look in shown.values())]
    )
    _draw_block(blocks[0], truth, None, true_laws, look=_TRUTH, limits=limits, units=units)
    for block, (model, look) in zip(blocks[1:], shown.items(), strict=True):
        own = {"model": model, "seed": median[model]}
        rows = _joint(select_rows(draws, **own))
        laws = select_rows(observed, **own)
        _draw_block(block, rows[nodes], laws, true_laws, look=look, limits=limits, units=units)
    legend_below(
        figure,
        [
            Patch(color=TRUTH_FILL, label="marginal law of the truth"),
            Line2D([], [], color=TRUTH_LINE, lw=1.2, label="that of a model, in its own colour"),
        ],
    )
    return figure


def _draw_block(
    panels: list[list[Axes]],
    rows: pd.DataFrame,
    laws: pd.DataFrame | None,
    true_laws: pd.DataFrame,
    *,
    look: Look,
    limits: Limits,
    units: Mapping[str, str],
) -> None:
    nodes = [str(name) for name in rows]
    highest = {node: _highest(true_laws, laws, node) for node in nodes}
    for i, node in enumerate(nodes):
        for j, other in enumerate(nodes):
            axis = panels[i][j]
            if j > i:
                axis.set_axis_off()
                continue
            axis.set_xlim(limits[other])
            # small panels: more labels would run into each other
            axis.xaxis.set_major_locator(MaxNLocator(nbins=2))
            axis.yaxis.set_major_locator(MaxNLocator(nbins=2))
            if i == j:
                _draw_marginal(axis, true_laws, laws, node=node, look=look)
                axis.set_ylim(0, 1.08 * highest[node])
                axis.set_yticks([])
                axis.spines["left"].set_visible(False)
            else:
                axis.plot(
                    *(rows[other], rows[node], "."),
                    color=look.colour,
                    ms=1.4,
                    mew=0,
                    alpha=0.6,
                    # thousands of points as vectors would make a slow file
                    rasterized=True,
                )
                axis.set_ylim(limits[node])
            if i == len(nodes) - 1:
                axis.set_xlabel(axis_label(other, units))
            else:
                axis.tick_params(labelbottom=False)
            if j == 0 and i > 0:
                axis.set_ylabel(axis_label(node, units))
            elif j > 0:
                axis.tick_params(labelleft=False)


def _joint(draws: pd.DataFrame) -> pd.DataFrame:
    """Rows with a column per node."""
    return draws.pivot_table(index="row", columns="node", values="value")


def _draw_marginal(
    axis: Axes, true_laws: pd.DataFrame, laws: pd.DataFrame | None, *, node: str, look: Look
) -> None:
    truth = select_rows(true_laws, node=node)
    axis.stairs(truth["density"], _edges(truth), fill=True, color=TRUTH_FILL)
    if laws is not None:
        law = select_rows(laws, node=node)
        axis.stairs(law["density"], _edges(law), color=look.colour, lw=1.2)


def _edges(law: pd.DataFrame) -> list[float]:
    return [*law["left"], law["right"].iloc[-1]]


def _highest(true_laws: pd.DataFrame, laws: pd.DataFrame | None, node: str) -> float:
    tables = [true_laws] if laws is None else [true_laws, laws]
    return float(max(select_rows(table, node=node)["density"].max() for table in tables))


def _middle(values: pd.Series) -> tuple[float, float]:
    """Where the middle 99.8 percent of the truth lie, with a margin."""
    low, high = np.quantile(values, [0.001, 0.999])
    margin = 0.05 * (high - low)
    return float(low - margin), float(high + margin)
