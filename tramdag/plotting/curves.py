"""Curves: an odds ratio over a covariate, a transformation over its variable, a shift."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tramdag.errors import DataError
from tramdag.plotting.canvas import (
    BAND,
    INK,
    LINES,
    REFERENCE,
    WIDE_BAND,
    axes_or_new,
    axis_name,
    confidence_level,
    log_ticks,
    require_columns,
)

__all__ = ["odds_ratio_band", "shift_curve", "transformation_curve"]

_SIZE = (4.2, 3.0)
_BANDS = ["lower", "upper", "simultaneous_lower", "simultaneous_upper"]


def odds_ratio_band(
    curve_table: pd.DataFrame,
    *,
    units: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw ``flow.odds_ratio_curve()``: an odds ratio over a covariate, on a log axis.

    The dark band holds the true odds ratio of each single value with its level, the light one the
    whole curve. Where a network takes part there are no bands, and the legend says so.

    Args:
        curve_table: The table; its first column is the covariate.
        units: Unit by column.
        ax: Where to draw; a new figure if None.

    Raises:
        DataError: A column is missing.
    """
    columns = ["log_odds_ratio", "std_error", "odds_ratio", *_BANDS]
    table = require_columns(
        curve_table, columns, who="odds_ratio_band", verb="flow.odds_ratio_curve()"
    )
    ax = axes_or_new(ax, size=_SIZE)
    over = str(table.columns[0])
    table = table.sort_values(over)
    x = table[over].to_numpy(float)
    level = confidence_level(table["log_odds_ratio"], np.log(table["upper"]), table["std_error"])
    share = "" if level is None else f"{100 * level:.3g} % "
    known = bool(table[_BANDS].notna().any(axis=None))
    if known:
        for kind, colour, edges in (
            ("simultaneous", WIDE_BAND, _BANDS[2:]),
            ("pointwise", BAND, _BANDS[:2]),
        ):
            low, high = (table[edge].to_numpy(float) for edge in edges)
            label = f"{share}{kind} band"
            ax.fill_between(x, low, high, color=colour, lw=0, label=label, gid=kind)
    name = "odds ratio" if known else "odds ratio (no band: by a network)"
    ax.plot(x, table["odds_ratio"], color=INK, lw=1.6, label=name, gid="curve")
    ax.axhline(1.0, color=REFERENCE, lw=0.8, ls=(0, (4, 3)))
    ax.margins(x=0)
    log_ticks(ax, "y")
    ax.set_xlabel(axis_name(over, units))
    ax.set_ylabel("odds ratio, log scale")
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], frameon=False, fontsize="small")
    return ax


def transformation_curve(
    table: pd.DataFrame,
    *,
    node: str | None = None,
    units: Mapping[str, str] | None = None,
    training_range: tuple[float, float] | None = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw ``flow.transformation()``: h over x, the map to the standard logistic scale.

    Args:
        table: The table of rows that differ in the node's value only; where a parent enters by a
            complex intercept, each of its values has a curve of its own.
        node: The node's name, for the axes.
        units: Unit by column.
        training_range: Smallest and largest training value; beyond them h is extrapolated, which
            is shown in grey.
        label: Name of this curve; a second call with the same Axes draws the next line style.
        ax: Where to draw; a new figure if None.

    Raises:
        DataError: A column is missing, or h falls along x: the rows mix values of the parents.
    """
    require_columns(table, ["x", "h"], who="transformation_curve", verb="flow.transformation()")
    table = table.sort_values("x")
    x, h = table["x"].to_numpy(float), table["h"].to_numpy(float)
    falls = np.flatnonzero(np.diff(h) < -1e-9 * np.ptp(h))
    if falls.size:
        i = int(falls[0])
        raise DataError(
            f"transformation_curve: h falls from {h[i]:.4g} at x = {x[i]:.4g} to {h[i + 1]:.4g} at "
            f"x = {x[i + 1]:.4g}, but each transformation increases: the rows mix several values "
            "of the parents; give flow.transformation() rows that differ in the node only."
        )
    ax = axes_or_new(ax, size=_SIZE)
    if training_range is not None:
        _shade_beyond(ax, training_range, (x[0], x[-1]))
    _next_line(ax, x, h, label)
    name = node or "x"
    ax.set_xlabel(axis_name(name, units))
    ax.set_ylabel(f"h({name}), log odds scale")
    ax.margins(x=0)
    if label is not None or training_range is not None:
        ax.legend(frameon=False, fontsize="small")
    return ax


def shift_curve(
    table: pd.DataFrame,
    *,
    node: str | None = None,
    parent: str | None = None,
    units: Mapping[str, str] | None = None,
    truth: pd.DataFrame | None = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw ``flow.shift_curve()``: the shift of a node by one parent.

    Args:
        table: The table. Few values, such as an ordinal parent's levels, are marked one by one.
        node: The child's name, for the axes.
        parent: The parent's name, for the axes.
        units: Unit by column.
        truth: Columns value and shift of a known truth, over at least the table's values. Only
            differences of a shift are identified, so it is moved by a constant onto the table.
        label: Name of this curve; a second call with the same Axes draws the next line style.
        ax: Where to draw; a new figure if None.

    Raises:
        DataError: A column is missing, or the truth covers too few values.
    """
    need = ["value", "shift"]
    require_columns(table, need, who="shift_curve", verb="flow.shift_curve()")
    table = table.sort_values("value")
    value, shift = (table[name].to_numpy(float) for name in need)
    moved = None
    if truth is not None:
        require_columns(truth, need, who="shift_curve", verb="truth=, flow.shift_curve()")
        truth = truth.sort_values("value")
        at, true = (truth[name].to_numpy(float) for name in need)
        if at[0] > value[0] or at[-1] < value[-1]:
            raise DataError(
                f"shift_curve: truth covers {at[0]:g} to {at[-1]:g}, the table {value[0]:g} to "
                f"{value[-1]:g}; give the truth at least the table's values."
            )
        moved = true + (shift - np.interp(value, at, true)).mean()
    ax = axes_or_new(ax, size=_SIZE)
    marker = "o" if len(value) <= 12 else ""
    _next_line(ax, value, shift, label or ("fitted" if truth is not None else None), marker)
    if moved is not None:
        ax.plot(at, moved, color=REFERENCE, ls=(0, (2, 2)), lw=1.8, label="truth", gid="truth")
    ax.set_xlabel(axis_name(parent or "parent", units))
    ax.set_ylabel(f"shift of {node or 'node'}\nby {parent or 'parent'} (log odds)")
    if label is not None or truth is not None:
        ax.legend(frameon=False, fontsize="small")
    return ax


def _next_line(ax: Axes, x: np.ndarray, y: np.ndarray, label: str | None, marker: str = "") -> None:
    """A curve in the style after those that the Axes has."""
    drawn = sum(line.get_gid() == "curve" for line in ax.lines)
    style = LINES[drawn % len(LINES)]
    ax.plot(x, y, color=INK, ls=style, lw=1.5, marker=marker, ms=4, label=label, gid="curve")


def _shade_beyond(ax: Axes, trained: tuple[float, float], drawn: tuple[float, float]) -> None:
    """Grey where the curve leaves the training rows; once per Axes."""
    if any(patch.get_gid() == "extrapolated" for patch in ax.patches):
        return
    low, high = trained
    label: str | None = "beyond the training rows"
    for start, stop in ((drawn[0], low), (high, drawn[1])):
        if stop > start:
            ax.axvspan(
                start, stop, color=WIDE_BAND, lw=0, zorder=0, label=label, gid="extrapolated"
            )
            label = None
    for edge in trained:
        if drawn[0] <= edge <= drawn[1]:
            ax.axvline(edge, color=REFERENCE, lw=0.8, ls=(0, (1, 1.5)), gid="training range")
