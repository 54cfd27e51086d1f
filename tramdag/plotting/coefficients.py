"""The forest: every linear coefficient as an odds ratio with its interval."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tramdag.errors import DataError, name_list
from tramdag.plotting.canvas import (
    INK,
    REFERENCE,
    axes_or_new,
    axis_name,
    confidence_level,
    log_ticks,
    plain_number,
    require_columns,
)
from tramdag.spec import OrdinalNode, Spec

__all__ = ["coefficient_forest", "ratio_text"]

_COLUMNS = [
    "node",
    "parent",
    "level",
    "reference",
    "odds_ratio",
    "odds_ratio_lower",
    "odds_ratio_upper",
    "status",
]


def coefficient_forest(
    summary_table: pd.DataFrame,
    *,
    spec: Spec | None = None,
    units: Mapping[str, str] | None = None,
    per: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw ``flow.summary()``: odds ratios with intervals on a log axis, grouped by node.

    A coefficient without a standard error is drawn too: as an open circle at its estimate (one
    that is not estimable is held at an odds ratio of 1), as an open triangle at the edge if it is
    separated and so runs off to 0 or infinity; one that is undetermined has no mark. An interval
    with one infinite end, such as a profile interval put into the table, ends in an arrow.
    Estimates whose status is not ``"ok"`` are grey, with the status beside them.

    Args:
        summary_table: The table, all nodes or some rows of it.
        spec: The flow's specification; says beside a node's name which odds are meant.
        units: Unit by column, for continuous parents.
        per: By continuous parent the number of units that its odds ratio refers to, such as
            ``{"Age": 10}``; 1 if not given.
        ax: Where to draw; a new figure if None.

    Raises:
        DataError: A column is missing, or ``per`` names no continuous parent of the table.
    """
    table = require_columns(
        summary_table, _COLUMNS, who="coefficient_forest", verb="flow.summary()"
    )
    table = _rescaled(table, per or {})
    groups = [(str(node), rows) for node, rows in table.groupby("node", sort=False)]
    n_lines = len(table) + len(groups)
    ax = axes_or_new(ax, size=(6.3, 0.22 * n_lines + 0.8))
    low, high = _limits(table)
    ax.set_xlim(low, high)
    log_ticks(ax, "x")
    ax.axvline(1.0, color=REFERENCE, lw=0.8, ls=(0, (4, 3)), zorder=0)

    ticks: list[tuple[float, str, bool]] = []
    y = 0.0
    for node, rows in groups:
        ticks.append((y, _heading(node, spec), True))
        names = [str(name) for name in rows["parent"]]
        known = frozenset(spec) if spec is not None else _single(rows)
        for row in rows.to_dict("records"):
            y += 1.0
            name = _row_name(row, units, per or {}, known) + _held(str(row["parent"]), names, known)
            ticks.append((y, name, False))
            _draw_row(ax, row, y, low, high)
        y += 1.3
    ax.set_ylim(y - 0.6, -0.7)
    ax.set_yticks([at for at, _, _ in ticks], [text for _, text, _ in ticks])
    ax.tick_params(axis="y", length=0)
    _align_left(ax, [heading for _, _, heading in ticks])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(f"odds ratio{_level_text(summary_table)}, log scale")
    return ax


def ratio_text(value: float) -> str:
    """An odds ratio for a label: two decimals, or two or three digits where these say nothing."""
    if 0.095 <= value < 99.995:
        return f"{value:.2f}"
    return plain_number(value, 2 if value < 1 else 3)


def _rescaled(table: pd.DataFrame, per: Mapping[str, float]) -> pd.DataFrame:
    """Odds ratios of ``per`` units: the power of those of one."""
    continuous = table["level"].isna()
    unknown = [name for name in per if name not in set(table.loc[continuous, "parent"])]
    if unknown:
        raise DataError(
            f"coefficient_forest: per= names {name_list(unknown)}; the table's continuous parents "
            f"are {name_list(table.loc[continuous, 'parent'].unique())}."
        )
    power = table["parent"].map(per).where(continuous).astype(float).fillna(1.0)
    ratios = ["odds_ratio", "odds_ratio_lower", "odds_ratio_upper"]
    return table.assign(**{name: table[name].astype(float) ** power for name in ratios})


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Odds ratios at the edges: all intervals, 1, and estimates that are not separated."""
    shown = table.loc[table["status"] != "separated", ["odds_ratio"]].to_numpy(float).ravel()
    ends = table[["odds_ratio_lower", "odds_ratio_upper"]].to_numpy(float).ravel()
    values = np.concatenate([shown, ends, [1.0]])
    logs = np.log(values[np.isfinite(values) & (values > 0)])
    low, high = min(logs.min(), -0.25), max(logs.max(), 0.25)
    margin = 0.07 * (high - low)
    return float(np.exp(low - margin)), float(np.exp(high + margin))


def _draw_row(ax: Axes, row: Mapping[Any, Any], y: float, low: float, high: float) -> None:
    ratio, lower, upper = (
        float(row[name]) for name in ("odds_ratio", "odds_ratio_lower", "odds_ratio_upper")
    )
    status = str(row["status"])
    has_interval = not (np.isnan(lower) or np.isnan(upper))
    colour = INK if status == "ok" else REFERENCE
    if has_interval:
        ends = (max(lower, low), min(upper, high))
        ax.plot(ends, (y, y), "-", color=colour, lw=1.3, solid_capstyle="butt", gid="interval")
        for end, edge, marker in ((lower, low, "<"), (upper, high, ">")):
            if end in (0.0, np.inf):
                ax.plot(edge, y, marker, color=colour, ms=6, clip_on=False, gid="open end")
    if np.isnan(ratio):
        pass  # the rows say nothing of it
    elif status == "separated" or not low < ratio < high:
        edge, marker = (high, ">") if ratio > 1 else (low, "<")
        if not has_interval:
            ax.plot(edge, y, marker, color=colour, mfc="white", ms=6, clip_on=False, gid="estimate")
    else:
        face = colour if has_interval else "white"
        ax.plot(ratio, y, "o", color=colour, mfc=face, ms=4.5, gid="estimate")
    ax.annotate(
        _note(ratio, lower, upper, status),
        xy=(1.0, y),
        xycoords=ax.get_yaxis_transform(),
        xytext=(9, 0),
        textcoords="offset points",
        va="center",
        fontsize="small",
        annotation_clip=False,
    )


def _note(ratio: float, lower: float, upper: float, status: str) -> str:
    """``"1.07 (1.06 to 1.08)"``, and the status if it is not ``"ok"``."""
    if np.isnan(lower) or np.isnan(upper):
        if status == "separated":
            return f"separated: runs to {'infinity' if ratio > 1 else '0'}, no interval"
        return f"{'no interval' if status == 'ok' else status}"
    ends = " to ".join("infinity" if np.isinf(end) else ratio_text(end) for end in (lower, upper))
    separated = status == "separated"
    estimate = ("infinity" if ratio > 1 else "0") if separated else ratio_text(ratio)
    return f"{estimate} ({ends})" + ("" if status == "ok" else f", {status}")


def _align_left(ax: Axes, bold: Sequence[bool]) -> None:
    """Names of rows flush left, those of nodes bold."""
    labels = ax.get_yticklabels()
    for label, heading in zip(labels, bold, strict=True):
        label.set_fontweight("bold" if heading else "normal")
        label.set_horizontalalignment("left")
    dpi = ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    width = max(label.get_window_extent().width for label in labels) / dpi * 72
    ax.tick_params(axis="y", pad=width + 6)


def _heading(node: str, spec: Spec | None) -> str:
    if spec is None or node not in spec:
        return node
    described = spec[node]
    if not isinstance(described, OrdinalNode):
        return f"odds of {node} ≤ x"
    return f"odds of {node} = 1" if described.levels == 2 else f"odds of {node} > k"


def _single(rows: pd.DataFrame) -> frozenset[str]:
    """Parents that are no products, as far as a table without its specification tells."""
    found = zip(rows["parent"].astype(str), rows["level"], strict=True)
    return frozenset(
        name
        for name, level in found
        if ":" not in name or not (pd.isna(level) or ":" in str(level))
    )


def _factors(product: str, known: Collection[str]) -> list[str]:
    """The parents of a product ``T:Age``; a known name may have a colon itself."""
    if product in known:
        return [product]
    parts = product.split(":")
    for k in range(1, len(parts)):
        first, rest = ":".join(parts[:k]), _factors(":".join(parts[k:]), known)
        if {first, *rest} <= set(known):
            return [first, *rest]
    return parts


def _held(parent: str, parents: Sequence[str], known: Collection[str]) -> str:
    """``", at Age 0"`` for a parent whose product with Age is another row of the same node."""
    products = [_factors(name, known) for name in parents]
    others = dict.fromkeys(
        other for names in products if parent in names for other in names if other != parent
    )
    return f", at {' 0, '.join(others)} 0" if others else ""


def _row_name(
    row: Mapping[Any, Any],
    units: Mapping[str, str] | None,
    per: Mapping[str, float],
    known: Collection[str],
) -> str:
    """``"Age (per 10 years)"``, ``"T 1 vs 0"``, ``"T 1 vs 0 × Age"``."""
    parent, level, reference = str(row["parent"]), row["level"], row["reference"]
    if pd.isna(level):
        if parent in per:
            return f"{parent} (per {per[parent]:g} {(units or {}).get(parent, '')}".rstrip() + ")"
        return axis_name(parent, units)
    against = "0" if pd.isna(reference) else f"{float(reference):g}"
    levels = str(level).split(":")
    names = _factors(parent, known) if len(levels) > 1 else [parent]
    if len(names) != len(levels):
        return f"{parent} [{level}]"  # which of its colons are products, nobody said
    parts = []
    for name, text in zip(names, levels, strict=True):
        if text == "-":
            parts.append(name)
        elif text.startswith("s"):
            parts.append(f"{name} basis {text[1:]}")
        else:
            parts.append(f"{name} {float(text):g} vs {against}")
    return " × ".join(parts)


def _level_text(table: pd.DataFrame) -> str:
    """``" with 95 % intervals"`` if the table's numbers say so."""
    if not {"estimate", "upper", "std_error"} <= set(table.columns):
        return " with intervals"
    level = confidence_level(
        *(table[c].to_numpy(float) for c in ("estimate", "upper", "std_error"))
    )
    return " with intervals" if level is None else f" with {100 * level:.3g} % intervals"
