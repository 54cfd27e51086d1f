"""The figure of a study of coverage, drawn from its stored summary only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from replication.style import TRUTH_FILL, TRUTH_LINE, legend_below, looks, new_figure

__all__ = ["BAND", "draw_coverage", "quantity_label"]

BAND = 0.03
"""Distance from the nominal level that a study allows."""


def draw_coverage(summary: pd.DataFrame, *, level: float) -> Figure:
    """Coverage of every quantity with its binomial interval, beside the nominal level.

    Hollow points have a least false value for truth; a number beside a point says in how many
    replicates there was an interval, where that is not all.

    Args:
        summary: Output of ``replication.coverage_summary.summarise_coverage``.
        level: Nominal level.
    """
    known = summary[summary["coverage"].notna()]
    figure, axes = new_figure(1, 1, panel=(5.2, 0.19 * len(known) + 0.7))
    panel = axes[0][0]
    panel.axvspan(level - BAND, level + BAND, color=TRUTH_FILL, alpha=0.5, lw=0)
    panel.axvline(level, color=TRUTH_LINE, lw=0.8)
    look = looks({"": "coverage"})[""]
    for position, (_, row) in enumerate(known.iterrows()):
        least_false = row["truth_source"] != "generator"
        panel.plot([row["lower"], row["upper"]], [position, position], color=look.colour, lw=1)
        panel.plot(
            row["coverage"],
            position,
            marker="o",
            ms=4.5,
            color=look.colour,
            mfc="white" if least_false else look.colour,
        )
        if row["available"] < row["replicates"]:
            panel.annotate(
                f"{row['available']:.0f} of {row['replicates']:.0f}",
                (row["upper"], position),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
            )
    panel.set_yticks(np.arange(len(known)), [quantity_label(row) for _, row in known.iterrows()])
    panel.set_ylim(len(known) - 0.4, -0.6)
    panel.set_xlim(min(0.88, known["lower"].min() - 0.01), 1.005)
    panel.set_xlabel(f"share of {known['replicates'].max():.0f} intervals that cover the truth")
    point: dict[str, Any] = {"color": look.colour, "marker": "o", "ms": 4.5}
    handles: list[Line2D | Patch] = [
        Line2D([], [], **point, lw=1, label="coverage (95 % binomial interval)"),
        Patch(color=TRUTH_FILL, alpha=0.5, label=f"{level:g} ± {BAND:g}"),
    ]
    if (known["truth_source"] != "generator").any():
        label = "coverage of the least false value"
        handles.insert(1, Line2D([], [], **point, lw=1, mfc="white", label=label))
    legend_below(figure, handles)
    return figure


def quantity_label(row: Any) -> str:
    """``"x3 | x1"``, ``"mRS_3m | mRS_pre = 2"``, ``"x3, cutpoint 0"`` or ``"ATE of T on ..."``."""
    node, parent, level = row["node"], row["parent"], row["level"]
    if row["parameter"] == "ATE":
        return f"ATE of {parent} on {node} <= {level:.0f}"
    if row["parameter"] == "cutpoint":
        return f"{node}, cutpoint {level:.0f}"
    return f"{node} | {parent}" + ("" if pd.isna(level) else f" = {level:.0f}")
