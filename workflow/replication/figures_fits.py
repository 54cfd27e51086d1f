"""Figures of the fits themselves: coefficients, and graphs with their estimates.

Drawn from stored tables by :mod:`tramdag.plotting`, like all figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from replication.questions import select_rows
from replication.spread import median_seeds, titles_with_seeds
from replication.style import legend_below, new_figure
from tramdag import plotting, spec_from_dict

__all__ = ["draw_dag", "draw_forest"]

_KINDS = {
    "ls": "linear shift",
    "cs": "complex shift",
    "ci": "complex intercept",
    "vc": "varying coefficient",
}


def draw_forest(
    summary: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    specs: Mapping[str, Mapping[str, Mapping[str, Any]]],
    units: Mapping[str, str],
) -> Figure:
    """Odds ratios with intervals, a panel per model; of several seeds that of the median one.

    Args:
        summary: Table ``summary`` of the models.
        titles: Model names to titles.
        specs: The specifications of the models to draw, in their plain form. A node that an
            earlier model has in the same way is not drawn again.
        units: Units by column.
    """
    panels: list[tuple[str, pd.DataFrame]] = []
    shown: list[tuple[str, Mapping[str, Any]]] = []
    median = _median_coefficients(summary)
    named = titles_with_seeds(summary, titles, text="median of {} seeds")
    for model, spec in specs.items():
        rows = select_rows(median, model=model)
        rows = rows[rows["node"].isin([n for n in spec if (n, spec[n]) not in shown])]
        shown.extend(spec.items())
        if len(rows):
            panels.append((model, rows))
    lines = [len(rows) + 1.3 * rows["node"].nunique() + 2.5 for _, rows in panels]
    figure, axes = new_figure(len(panels), 1, panel=(6.6, 0.2 * sum(lines) / max(len(panels), 1)))
    axes[0][0].get_gridspec().set_height_ratios(lines)  # type: ignore[union-attr]
    for (model, rows), (axis,) in zip(panels, axes, strict=True):
        plotting.coefficient_forest(rows, spec=spec_from_dict(specs[model]), units=units, ax=axis)
        axis.set_title(named[model], loc="left")
    return figure


def draw_dag(
    summary: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    specs: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> Figure:
    """The graph of each model with terms and odds ratios on its edges, mean over seeds.

    Args:
        summary: Table ``summary`` of the models.
        titles: Model names to titles.
        specs: The models' specifications in their plain form.
    """
    figure, axes = new_figure(len(specs), 1, panel=(8.0, 3.2))
    parsed = {model: spec_from_dict(plain) for model, plain in specs.items()}
    nodes = [node for spec in parsed.values() for node in spec.values()]
    kinds = {term.kind for node in nodes for term in node.terms}
    handles = [
        Line2D([], [], ls="", marker="o", mfc="white", mec="black", ms=7, label="continuous"),
        Line2D([], [], ls="", marker="s", mfc="0.9", mec="black", ms=7, label="ordinal"),
        *(Line2D([], [], ls="", label=f"{k}: {t}") for k, t in _KINDS.items() if k in kinds),
    ]
    # labels are placed by their size on the page, so everything else comes first
    legend_below(figure, handles)
    for model, (axis,) in zip(specs, axes, strict=True):
        axis.set_title(titles[model], loc="left")
        axis.set_axis_off()
    for (model, spec), (axis,) in zip(parsed.items(), axes, strict=True):
        estimates = _mean_over_seeds(select_rows(summary, model=model))
        plotting.causal_dag(spec, estimates if len(estimates) else None, legend=False, ax=axis)
    return figure


def _median_coefficients(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of each model's median seed, found by the coefficients that all its seeds have."""
    edge = ["node", "parent", "level"]
    known = summary.assign(known=np.isfinite(summary["estimate"].astype(float)))
    known = known[known.groupby(["model", *edge], dropna=False)["known"].transform("all")]
    median = median_seeds(known, value="estimate", within=edge)
    first = summary.groupby("model")["seed"].transform("min")
    return summary[summary["seed"] == summary["model"].map(median).fillna(first)]


def _mean_over_seeds(summary: pd.DataFrame) -> pd.DataFrame:
    """One row per coefficient: the odds ratio of its mean."""
    keys = ["node", "parent", "level"]
    grouped = summary.groupby(keys, dropna=False, sort=False)
    table = grouped.agg(estimate=("estimate", "mean"), status=("status", "first")).reset_index()
    return table.assign(odds_ratio=np.exp(table["estimate"]))
