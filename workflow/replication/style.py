"""One look for all figures: readable in grey, in colours that colour-blind people tell apart.

Models differ by colour and by line style and marker at once (palette of Okabe and Ito, 2008); the
truth is a grey area where it is a law and a dashed black line where it is a number or a curve.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib

# jobs have no display, and a window system must not be asked for one
matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from PIL import Image

from replication.job import staged

__all__ = [
    "REFERENCE",
    "TRUTH",
    "TRUTH_FILL",
    "TRUTH_LINE",
    "Look",
    "axis_label",
    "legend_below",
    "looks",
    "mark_ratios",
    "model_panels",
    "new_blocks",
    "new_figure",
    "save_figure",
    "save_small",
]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LINES = ("-", (0, (5, 1.5)), (0, (1.2, 1)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)), (0, (3, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P")

TRUTH_FILL = "#C8C8C8"
TRUTH_LINE = "#000000"

TRUTH: dict[str, Any] = {"color": TRUTH_LINE, "ls": (0, (3, 2)), "lw": 1.3, "zorder": 4}
"""How a line of the truth is drawn: over those of the models, which show in its gaps."""

REFERENCE: dict[str, Any] = {"color": "0.6", "ls": "-", "lw": 0.9, "zorder": 1}
"""How the line is drawn on which a perfect answer would lie."""

_TITLE_WIDTH = 34
"""Letters of a title that fit over the panel of a model."""

_DECADES = 5.0, 100.0
"""Ratios of the ends of an axis from which 1, 2, 3, 5 mark it, and from which powers of ten do."""

_SETTINGS: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    # long enough for two dashes of every line style
    "legend.handlelength": 3.2,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.4,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    # names of columns and models are drawn as they are, whatever signs they hold
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Look:
    """How one model is drawn."""

    label: str
    colour: str
    line: str | tuple[int, tuple[float, ...]]
    marker: str


def looks(titles: Mapping[str, str]) -> dict[str, Look]:
    """A look for each model, by its position.

    Args:
        titles: Model names to their titles.
    """
    return {
        name: Look(
            title,
            _COLOURS[i % len(_COLOURS)],
            _LINES[i % len(_LINES)],
            _MARKERS[i % len(_MARKERS)],
        )
        for i, (name, title) in enumerate(titles.items())
    }


def new_figure(
    rows: int, columns: int, *, panel: tuple[float, float] = (2.6, 2.1)
) -> tuple[Figure, list[list[Axes]]]:
    """A grid of panels, each ``panel`` inches wide and high."""
    # for the whole process: titles and legends take their settings when they are added later
    plt.rcParams.update(_SETTINGS)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(panel[0] * columns, panel[1] * rows + 0.5),
        squeeze=False,
        layout="constrained",
    )
    return figure, axes.tolist()


def model_panels(titles: Mapping[str, str], *, ylabel: str) -> tuple[Figure, dict[str, Axes]]:
    """A panel per model with its title, at most three side by side.

    Args:
        titles: Model names to titles.
        ylabel: Name of the vertical axis, which stands at the first panel of each row.
    """
    columns = min(3, len(titles))
    figure, axes = new_figure(-(-len(titles) // columns), columns, panel=(2.9, 2.4))
    flat = [axis for row in axes for axis in row]
    for axis in flat[len(titles) :]:
        axis.set_axis_off()
    for axis, title in zip(flat, titles.values(), strict=False):
        axis.set_title(fill(title, _TITLE_WIDTH), loc="left")
    for row in axes:
        row[0].set_ylabel(ylabel)
    return figure, dict(zip(titles, flat, strict=False))


def new_blocks(
    count: int, size: int, *, titles: Sequence[str], panel: float = 0.95
) -> tuple[Figure, list[list[list[Axes]]]]:
    """Square blocks of ``size`` by ``size`` panels beside each other, each with a title."""
    plt.rcParams.update(_SETTINGS)
    side = panel * size
    figure = plt.figure(figsize=(side * count, side + 0.9), layout="constrained")
    blocks = []
    for part, title in zip(figure.subfigures(1, count, squeeze=False)[0], titles, strict=True):
        part.suptitle(title, fontsize=9)
        blocks.append(part.subplots(size, size, squeeze=False).tolist())
    return figure, blocks


def axis_label(node: str, units: Mapping[str, str]) -> str:
    """``"Age (years)"``, or the bare name of a dimensionless variable."""
    return f"{node} ({units[node]})" if node in units else node


def mark_ratios(axis: Axes, which: str, low: float, high: float) -> None:
    """A logarithmic axis from low to high with plain numbers on it.

    Args:
        axis: The panel.
        which: ``"x"`` or ``"y"``.
        low: Lower end.
        high: Upper end.
    """
    axis.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    own = axis.xaxis if which == "x" else axis.yaxis
    some, many = _DECADES
    if high < some * low:
        own.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    else:
        own.set_major_locator(LogLocator(subs=(1, 2, 3, 5) if high < many * low else (1,)))
    own.set_minor_locator(NullLocator())
    own.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def legend_below(figure: Figure, handles: Iterable[Line2D | Patch]) -> None:
    """One legend for all panels, under them, in as many columns (at most 4) as fit the figure.

    The figure grows where it must: in height by what the legend has beyond one line, in width if
    a single column is wider than the figure.
    """
    entries = list(handles)
    margin = 0.1 * figure.dpi
    for columns in range(min(len(entries), 4), 0, -1):
        legend = figure.legend(handles=entries, loc="outside lower center", ncols=columns)
        box = legend.get_window_extent()
        if box.width + 2 * margin <= figure.bbox.width or columns == 1:
            break
        legend.remove()
    width = (box.width + 2 * margin) / figure.dpi
    figure.set_figwidth(max(figure.get_figwidth(), width))
    # new_figure leaves room for one line
    figure.set_figheight(figure.get_figheight() + max(0.0, box.height / figure.dpi - 0.35))


def save_figure(figure: Figure, *, png: str, pdf: str) -> None:
    """Write a figure in both formats, with no date in them, and close it."""
    for path, metadata in ((png, {"Software": None}), (pdf, {"CreationDate": None})):
        with staged(path) as temporary:
            figure.savefig(temporary, format=Path(path).suffix[1:], metadata=metadata)
    plt.close(figure)


def save_small(png: str, target: str, *, width: int) -> None:
    """Write a copy of a picture of at most ``width`` pixels in 128 colours."""
    with Image.open(png) as picture:
        scale = min(1.0, width / picture.width)
        size = (round(picture.width * scale), round(picture.height * scale))
        small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    with staged(target) as temporary:
        small.quantize(128).save(temporary, format="PNG", optimize=True)
