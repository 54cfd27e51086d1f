"""The figure of a Monte Carlo study, drawn from its stored tables only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from replication.questions import effect_label, event_label, select_rows
from replication.style import TRUTH, TRUTH_FILL, Look, legend_below, looks, new_figure

__all__ = ["draw_monte_carlo"]

_HEIGHT = 0.62
"""Height of the highest density, in units of the distance between two models."""

_FEWEST = 20
"""Fewest estimates whose density says more than the points themselves."""


def draw_monte_carlo(
    cohorts: pd.DataFrame,
    summary: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
) -> Figure:
    """Density of the estimates of each model over fresh cohorts, a panel per variant.

    Below each density stand the mean and the range of one standard deviation on both sides, and
    beside it bias and standard deviation as numbers with their Monte Carlo standard errors. All
    densities have the same area.

    Args:
        cohorts: A row per variant, model and cohort.
        summary: Output of ``replication.monte_carlo_summary.summarise_cohorts``.
        titles: Model names to titles, in the order of the rows.
        effect: Treatment, outcome and at_most of the effect that is drawn.
    """
    label = effect_label(effect)
    cohorts, summary = select_rows(cohorts, effect=label), select_rows(summary, effect=label)
    variants = list(dict.fromkeys(summary["variant"]))
    figure, axes = new_figure(1, len(variants), panel=(4.6, 0.62 * len(titles) + 0.7))
    style = looks(titles)
    finite = cohorts["estimate"][np.isfinite(cohorts["estimate"])]
    low, high = finite.quantile([0.001, 0.999])
    margin = 0.12 * (high - low)
    grid = np.linspace(low - margin, high + margin, 400)
    curves = {
        (variant, model): _density(select_rows(cohorts, variant=variant, model=model), grid)
        for variant in variants
        for model in titles
    }
    highest = max(curve.max() for curve in curves.values()) or 1.0
    for axis, variant in zip(axes[0], variants, strict=True):
        found = select_rows(summary, variant=variant)
        own = {str(row["model"]): row for _, row in found.iterrows()}
        for position, model in enumerate(titles):
            curve = curves[variant, model] * _HEIGHT / highest
            points = select_rows(cohorts, variant=variant, model=model)["estimate"]
            _row(axis, grid, curve, points, own[model], position, style[model])
        axis.axvline(found["truth"].iloc[0], **TRUTH)
        axis.set_title(f"variant {variant}" if len(variants) > 1 else "")
        axis.set_xlim(grid[0], grid[-1])
        axis.set_ylim(len(titles) - 0.45, -_HEIGHT - 0.25)
        axis.set_yticks(range(len(titles)), list(titles.values()))
        axis.tick_params(labelleft=axis is axes[0][0])
        axis.set_xlabel(f"average effect of {effect['treatment']} on P({event_label(effect)})")
    several = f"{summary['estimates'].max():.0f} cohorts"
    legend_below(
        figure,
        [
            Patch(color=TRUTH_FILL, label=f"density of the estimates over {several}"),
            Line2D(
                [], [], marker="o", ms=4.5, color="black", lw=2, label="mean, plus and minus sd"
            ),
            Line2D([], [], **TRUTH, label="truth"),
            Line2D([], [], ls="", label="numbers: with their Monte Carlo standard errors"),
        ],
    )
    return figure


def _density(rows: pd.DataFrame, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    values = rows["estimate"][np.isfinite(rows["estimate"])].to_numpy()
    if len(values) < _FEWEST or np.ptp(values) == 0:
        return np.zeros_like(grid)
    density: NDArray[np.float64] = gaussian_kde(values)(grid)
    return density


def _row(
    axis: Axes,
    grid: NDArray[np.float64],
    curve: NDArray[np.float64],
    points: pd.Series,
    found: pd.Series,
    position: int,
    look: Look,
) -> None:
    """One model: density above its line, mean and spread on it, numbers at its right."""
    axis.fill_between(grid, position - 0.1 - curve, position - 0.1, color=look.colour, alpha=0.35)
    axis.plot(grid, position - 0.1 - curve, color=look.colour, lw=0.8)
    if not curve.any():
        axis.plot(points, np.full(len(points), position - 0.2), "|", color=look.colour, ms=8)
    mean, sd = found["mean"], found["sd"]
    axis.plot([mean - sd, mean + sd], [position, position], color=look.colour, lw=2)
    axis.plot(mean, position, "o", color=look.colour, ms=4.5)
    axis.text(
        1.02,
        position - 0.12,
        f"bias {_number(found['bias'], found['bias_error'], sign='+')}\n"
        f"sd {_number(found['sd'], found['sd_error'])}",
        transform=axis.get_yaxis_transform(),
        va="center",
        fontsize=7.5,
    )


def _number(value: float, error: float, *, sign: str = "") -> str:
    """A number with its error, ``"+0.0005 ± 0.0018"``; no error if there were too few cohorts."""
    # z: a number that rounds to zero from below is no negative zero
    text = f"{value:{sign}z.4f}" if np.isfinite(value) else "unknown"
    return f"{text} ± {error:.4f}" if np.isfinite(error) else text
