"""Pictures of fit: residuals against their law, predicted against observed frequencies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from tramdag.errors import DataError, SpecError, name_list
from tramdag.plotting.canvas import BAND, INK, REFERENCE, axes_or_new, require_columns

__all__ = ["calibration_curve", "residual_envelope", "residual_qq"]

_KINDS = ("pointwise", "simultaneous")
_LOOKS = tuple((marker, face) for face in (INK, "white") for marker in "os^Dv")


def residual_envelope(n: int, *, kind: str, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    r"""Where the sorted residuals of n rows lie if they are standard logistic.

    With :math:`U_{(i)} = F(u_{(i)})` the order statistics of uniform variables, exact for every n:

    .. math:: \text{pointwise: } U_{(i)} \sim \text{Beta}(i, n + 1 - i); \qquad
        \text{simultaneous: } i/n - d \le U_{(i)} \le (i - 1)/n + d \text{ for all } i,

    with d the quantile of Kolmogorov's distance.

    Args:
        n: Number of residuals.
        kind: ``"pointwise"`` holds each order statistic, ``"simultaneous"`` all of them at once,
            with probability ``level``.
        level: That probability.

    Returns:
        Lower and upper bound of each order statistic, latent scale, shape ``(n,)``; the
        simultaneous one is infinite in the tails.

    Raises:
        SpecError: The kind is unknown or the level not in (0, 1).

    References:
        Kolmogorov (1933), Giornale dell'Istituto Italiano degli Attuari 4; Massey (1951), Journal
        of the American Statistical Association 46.
    """
    if kind not in _KINDS:
        raise SpecError(
            f"residual_envelope: kind={kind!r} is unknown; allowed: {name_list(_KINDS)}."
        )
    if not 0.0 < level < 1.0:
        raise SpecError(f"level={level!r} must lie between 0 and 1, for example 0.95.")
    i = np.arange(1, n + 1)
    if kind == "pointwise":
        tail = 0.5 - 0.5 * level
        lower, upper = (scipy.stats.beta.ppf(p, i, n + 1 - i) for p in (tail, 1.0 - tail))
    else:
        d = scipy.stats.kstwo.ppf(level, n)
        lower, upper = np.maximum(i / n - d, 0.0), np.minimum((i - 1) / n + d, 1.0)
    return np.asarray(scipy.stats.logistic.ppf(lower)), np.asarray(scipy.stats.logistic.ppf(upper))


def residual_qq(
    residuals: ArrayLike, *, node: str | None = None, level: float = 0.95, ax: Axes | None = None
) -> Axes:
    """Draw one column of ``flow.residuals()``: a QQ plot against the standard logistic law.

    The grey envelope holds each point with probability ``level``, the dashed one all points at
    once, see :func:`residual_envelope`. Both suppose rows that were not fitted to; on training
    rows the points stay inside more often than that.

    Args:
        residuals: Residuals of one node, shape ``(n,)``.
        node: Its name, for the axis.
        level: Probability of the envelopes.
        ax: Where to draw; a new figure if None.

    Raises:
        DataError: Not one column of at least two finite numbers.
        SpecError: The level is not in (0, 1).
    """
    values = np.sort(np.asarray(residuals, dtype=float), axis=0)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise DataError(
            f"residual_qq: expected one column of at least two finite residuals, got shape "
            f"{values.shape} with {int((~np.isfinite(values)).sum())} values that are not finite; "
            "give flow.residuals(df)[node]."
        )
    n = len(values)
    bounds = {kind: residual_envelope(n, kind=kind, level=level) for kind in _KINDS}
    ax = axes_or_new(ax, size=(3.6, 3.4))
    expected = scipy.stats.logistic.ppf((np.arange(1, n + 1) - 0.5) / n)
    seen = np.concatenate([values, expected, *bounds["pointwise"]])
    margin = 0.04 * np.ptp(seen)
    low, high = seen.min() - margin, seen.max() + margin
    share = f"{100 * level:.3g} %"
    ax.fill_between(
        expected,
        *bounds["pointwise"],
        color=BAND,
        lw=0,
        label=f"{share} pointwise envelope",
        gid="pointwise",
    )
    name: str | None = f"{share} simultaneous envelope"
    for bound in bounds["simultaneous"]:
        edge = np.where(np.isfinite(bound), bound, np.nan)
        ax.plot(expected, edge, color=INK, ls=(0, (4, 2)), lw=0.8, label=name, gid="simultaneous")
        name = None
    ax.plot([low, high], [low, high], color=REFERENCE, lw=0.8, gid="identity")
    size = 3.0 if n <= 300 else 1.8
    ax.plot(expected, values, "o", color=INK, ms=size, mew=0, label="residuals", gid="residuals")
    ax.set_xlim(expected[0] - margin, expected[-1] + margin)
    ax.set_ylim(low, high)
    ax.set_xlabel("standard logistic quantile")
    ax.set_ylabel("sorted residual" + (f" of {node}" if node else ""))
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], frameon=False, fontsize="small", loc="upper left")
    return ax


def calibration_curve(
    calibration_table: pd.DataFrame,
    *,
    node: str | None = None,
    levels: Sequence[object] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw ``flow.calibration()``: predicted against observed frequency with Wilson's intervals.

    Many levels are easier to read in an Axes each, see ``levels``.

    Args:
        calibration_table: The table.
        node: The node's name, for the axes.
        levels: The levels to draw, all if None.
        legend: Name the levels.
        ax: Where to draw; a new figure if None.

    Raises:
        DataError: A column is missing, or the table has no such level.
    """
    columns = ["level", "n", "predicted", "observed", "lower", "upper"]
    table = require_columns(
        calibration_table, columns, who="calibration_curve", verb="flow.calibration()"
    )
    present = table["level"].unique().tolist()
    chosen = present if levels is None else list(levels)
    unknown = [level for level in chosen if level not in present]
    if unknown or not chosen:
        raise DataError(
            f"calibration_curve: levels={chosen!r} must be some of the table's levels, "
            f"{name_list(present)}."
        )
    ax = axes_or_new(ax, size=(3.6, 3.4))
    drawn = table[table["level"].isin(chosen)]
    top = min(1.05 * float(drawn[["predicted", "upper"]].to_numpy(float).max()), 1.0)
    ax.plot([0, 1], [0, 1], color=REFERENCE, lw=0.8, ls=(0, (4, 3)), gid="identity")
    for level in chosen:
        rows = drawn[drawn["level"] == level]
        predicted, observed = rows["predicted"].to_numpy(float), rows["observed"].to_numpy(float)
        marker, face = _LOOKS[present.index(level) % len(_LOOKS)]
        ax.vlines(predicted, rows["lower"], rows["upper"], color=INK, lw=0.9, gid="interval")
        label = f"{node or 'level'} = {level}"
        ax.plot(
            predicted,
            observed,
            marker,
            color=INK,
            mfc=face,
            ms=4.5,
            label=label,
            gid="observed",
            clip_on=False,
            zorder=3,
        )
    ax.set_xlim(0, top)
    ax.set_ylim(0, top)
    ax.set_aspect("equal")
    of = f" of {node}" if node else ""
    ax.set_xlabel(f"predicted probability{of}")
    ax.set_ylabel(f"observed frequency ({_wilson_level(drawn)}interval)")
    if legend:
        ax.legend(frameon=False, fontsize="small", handletextpad=0.2)
    return ax


def _wilson_level(table: pd.DataFrame) -> str:
    r"""``"95 % "`` from the numbers: Wilson's upper end solves :math:`(U-p)^2 = z^2 U(1-U)/n`."""
    p, n = table["observed"].to_numpy(float), table["n"].to_numpy(float)
    upper = table["upper"].to_numpy(float)
    inside = (upper < 1.0) & (upper > 0.0)
    z = (upper - p)[inside] / np.sqrt((upper * (1 - upper) / n)[inside])
    if not z.size or np.ptp(z) > 1e-6 * z.max():
        return ""
    return f"{100 * (2 * scipy.special.ndtr(z[0]) - 1):.3g} % "
