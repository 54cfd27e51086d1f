"""What all pictures share: the axes, the greys, the names on axes, the check of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike

from tramdag.errors import DataError, did_you_mean, name_list

__all__ = [
    "BAND",
    "INK",
    "LINES",
    "REFERENCE",
    "WIDE_BAND",
    "axes_or_new",
    "axis_name",
    "confidence_level",
    "log_ticks",
    "plain_number",
    "require_columns",
]

INK = "black"
BAND = "0.62"
"""Pointwise bands."""
WIDE_BAND = "0.86"
"""Simultaneous bands, behind the pointwise ones."""
REFERENCE = "0.45"
"""Lines that say what no effect or a perfect fit would be."""
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LINES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1)))
"""Styles of several curves in one picture."""


def axes_or_new(ax: Axes | None, *, size: tuple[float, float]) -> Axes:
    """The given Axes without its upper and right spine, or those of a new figure.

    Args:
        ax: Where to draw, or None.
        size: Width and height of a new figure in inches.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def axis_name(name: str, units: Mapping[str, str] | None) -> str:
    """``"Age (years)"``, or the bare name of a variable without a unit."""
    return f"{name} ({units[name]})" if units and name in units else name


def require_columns(
    table: pd.DataFrame, columns: Sequence[str], *, who: str, verb: str
) -> pd.DataFrame:
    """Return a table with at least one row that has these columns.

    Raises:
        DataError: It is no table, or columns or rows are missing; the message names the verb that
            makes such tables.
    """
    if not isinstance(table, pd.DataFrame):
        raise DataError(f"{who}: expected the table of {verb}, got {type(table).__name__}.")
    missing = [name for name in columns if name not in table.columns]
    if missing:
        hint = did_you_mean(missing[0], map(str, table.columns))
        raise DataError(
            f"{who}: the table has no column {name_list(missing)}; it has "
            f"{name_list(table.columns)}.{hint} {verb} makes a table with all of them."
        )
    if table.empty:
        raise DataError(f"{who}: the table has no rows; {verb} makes one with rows.")
    return table


def confidence_level(estimate: ArrayLike, upper: ArrayLike, std_error: ArrayLike) -> float | None:
    r"""The level of Wald intervals, :math:`2 \Phi((upper - estimate) / se) - 1`, or None.

    A table does not carry its level, but its numbers do; None where they disagree.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (np.asarray(upper, float) - np.asarray(estimate, float)) / np.asarray(std_error, float)
    z = z[np.isfinite(z)]
    if not z.size or np.ptp(z) > 1e-6 * z.max():
        return None
    return float(2.0 * scipy.special.ndtr(np.median(z)) - 1.0)


def log_ticks(ax: Axes, which: str) -> None:
    """A log scale with plain numbers: 1, 2, 5 in each decade, fewer over a long range."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    (ax.set_xscale if which == "x" else ax.set_yscale)("log")
    low, high = ax.get_xlim() if which == "x" else ax.get_ylim()
    decades = np.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 2 else (1.0, 3.0) if decades < 4 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value, 1)))


def plain_number(value: float, digits: int) -> str:
    """Significant digits in plain notation, by a power of ten only where that would be long.

    >>> plain_number(1234.5, 3), plain_number(0.00123, 2), plain_number(1.2e7, 2)
    ('1230', '0.0012', '1.2×10⁷')
    """
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -5 < power < 6:
        return f"{float(f'{mantissa}e{power}'):.{max(digits - 1 - power, 0)}f}" if value else "0"
    times = "" if mantissa == "1" else f"{mantissa}×"
    return f"{times}10{str(power).translate(_SUPERSCRIPTS)}"
