"""The figure of odds ratios of raising a parent, drawn from stored tables only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from replication.odds_ratios import CONDITIONAL, POPULATION
from replication.questions import odds_ratio_label, select_rows
from replication.spread import median_seeds, seeds_around, titles_with_seeds
from replication.style import (
    TRUTH,
    TRUTH_FILL,
    Look,
    legend_below,
    looks,
    mark_ratios,
    new_figure,
)

__all__ = ["draw_odds_ratio"]

_SCALES = {
    CONDITIONAL: "of the odds of every row",
    POPULATION: "of the odds in the population",
}
"""The two ratios and what each is a ratio of."""

_NORMAL = 1.96
"""Half width of a 95 percent interval in standard errors."""

_INTERVALS = "left: 95 % interval; right: 1.96 Monte Carlo errors"

_PALE: dict[str, Any] = {"alpha": 0.4}


def draw_odds_ratio(
    table: pd.DataFrame, *, titles: Mapping[str, str], questions: Sequence[Mapping[str, Any]]
) -> Figure:
    """Estimates of every seed with their intervals, a row of panels per question, one per scale.

    Args:
        table: Output of ``replication.odds_ratios.odds_ratio_table`` for one experiment.
        titles: Model names to titles.
        questions: Node, parent, step and threshold of each odds ratio.
    """
    table = _with_ends(table)
    named = titles_with_seeds(table, titles)
    median = median_seeds(table, value="value", within=["odds_ratio", "scale"])
    most = int(table.groupby("model")["seed"].nunique().sum())
    figure, axes = new_figure(len(questions), 2, panel=(4.2, 0.16 * most + 0.3 * len(named) + 0.8))
    for row, question in zip(axes, questions, strict=True):
        asked = select_rows(table, odds_ratio=odds_ratio_label(question))
        for axis, (scale, of) in zip(row, _SCALES.items(), strict=True):
            _draw_scale(axis, select_rows(asked, scale=scale), named, median, looks(titles))
            axis.set_title(f"ratio {of}", loc="left")
            axis.set_xlabel(_name(question))
        _set_limits(row, asked)
        row[1].tick_params(labelleft=False)
    legend_below(figure, _handles(table))
    return figure


def _with_ends(table: pd.DataFrame) -> pd.DataFrame:
    """Ends of an interval where there is none: of the error of the model's own draws."""
    half = _NORMAL * table["mc_error"].astype(float)
    return table.assign(
        lower=table["lower"].astype(float).fillna(table["value"] - half),
        upper=table["upper"].astype(float).fillna(table["value"] + half),
    )


def _name(question: Mapping[str, Any]) -> str:
    return (
        f"odds ratio of {question['node']} <= {question['threshold']:g}, "
        f"{question['parent']} + {question['step']:g}"
    )


def _draw_scale(
    axis: Axes,
    found: pd.DataFrame,
    named: Mapping[str, str],
    median: Mapping[str, int],
    style: Mapping[str, Look],
) -> None:
    """The seeds of each model under each other, that of the median in the middle."""
    for height, model in enumerate(named):
        own = select_rows(found, model=model)
        seeds = seeds_around(own, median)
        for place, (_, row, strong) in zip(_places(len(own)), seeds, strict=True):
            _draw_seed(axis, row, height + place, look=style[model], strong=strong)
    known = found.dropna(subset="truth").head(1)
    for truth, error in known[["truth", "truth_error"]].to_numpy(float):
        if np.isfinite(error):
            half = _NORMAL * error
            axis.axvspan(truth - half, truth + half, color=TRUTH_FILL, alpha=0.6, lw=0, zorder=0)
        axis.axvline(truth, **TRUTH)
    axis.set_yticks(range(len(named)), list(named.values()))
    axis.set_ylim(len(named) - 0.5, -0.5)


def _draw_seed(axis: Axes, row: pd.DataFrame, height: float, *, look: Look, strong: bool) -> None:
    line: dict[str, Any] = {"lw": 1.4} if strong else {"lw": 0.9, **_PALE}
    point: dict[str, Any] = {"ms": 5} if strong else {"ms": 4, "mfc": "white", **_PALE}
    axis.hlines(height, row["lower"], row["upper"], color=look.colour, **line)
    axis.plot(row["value"], [height], marker=look.marker, ls="", color=look.colour, **point)


def _places(count: int) -> list[float]:
    """Heights around the middle, in which the last seed, the median one, stands."""
    step = min(0.16, 0.8 / max(count, 1))
    around = [step * (number - count // 2) for number in range(count)]
    return sorted(around, key=lambda place: place == 0)


def _set_limits(row: Sequence[Axes], asked: pd.DataFrame) -> None:
    """One logarithmic axis for both scales, around all that is drawn."""
    half = _NORMAL * asked["truth_error"].astype(float).fillna(0)
    drawn = [asked["lower"], asked["upper"], asked["truth"] - half, asked["truth"] + half]
    values = np.concatenate([part.to_numpy(float) for part in drawn])
    values = values[np.isfinite(values) & (values > 0)]
    low, high = values.min() / 1.03, values.max() * 1.03
    for axis in row:
        mark_ratios(axis, "x", low, high)


def _handles(table: pd.DataFrame) -> list[Line2D | Patch]:
    several = len(table["seed"].unique()) > 1
    point: dict[str, Any] = {"color": "black", "marker": "o"}
    name = "median seed" if several else "model"
    handles: list[Line2D | Patch] = [Line2D([], [], **point, ms=5, lw=1.4, label=name)]
    if several:
        pale = {**point, **_PALE, "mfc": "white"}
        handles.append(Line2D([], [], **pale, ms=4, lw=0.9, label="other seeds"))
    handles.append(Line2D([], [], color="black", lw=1.4, label=_INTERVALS))
    if table["truth"].notna().any():
        handles.append(Line2D([], [], **TRUTH, label="truth"))
    if table["truth_error"].notna().any():
        label = "1.96 Monte Carlo errors of the truth"
        handles.append(Patch(color=TRUTH_FILL, alpha=0.6, label=label))
    return handles
