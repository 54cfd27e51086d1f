"""What the tests of pictures share: specifications, and how to find what was drawn."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

import tramdag as td

UNITS = {"Age": "years", "NIHSSa": "points"}
LS = "ls"
STROKE = {
    "Age": td.ContinuousNode(),
    "mRS_pre": td.OrdinalNode(6, {"Age": LS}),
    "NIHSSa": td.ContinuousNode({"Age": LS, "mRS_pre": LS}),
    "T": td.OrdinalNode(2, {"Age": LS, "mRS_pre": LS, "NIHSSa": LS}),
    "mRS_3m": td.OrdinalNode(7, {"Age": LS, "mRS_pre": LS, "NIHSSa": LS, "T": LS}),
}
PUBLISHED = {
    **STROKE,
    "mRS_pre": td.OrdinalNode(6, {"Age": "ci"}),
    "NIHSSa": td.ContinuousNode({"Age": "ci", "mRS_pre": LS}),
    "T": td.OrdinalNode(2, {"Age": "ci", "mRS_pre": LS, "NIHSSa": "cs"}),
    "mRS_3m": td.OrdinalNode(7, {"Age": "ci", "mRS_pre": LS, "NIHSSa": "cs", "T": LS}),
}
RANDOMISED = {**STROKE, "T": td.OrdinalNode(2, {"mRS_pre": LS, "NIHSSa": LS})}
VARYING = {
    **STROKE,
    "mRS_3m": td.OrdinalNode(
        7, terms=[td.LS("Age"), td.LS("mRS_pre"), td.LS("NIHSSa"), td.VC("T", by="Age")]
    ),
}
PRODUCT = {
    **STROKE,
    "mRS_3m": td.OrdinalNode(
        7, terms=[*STROKE["mRS_3m"].terms, td.LS("T", "Age")]
    ),
}  # fmt: skip


def by_id(ax: Axes, gid: str) -> list[Any]:
    return [artist for artist in ax.findobj(Artist) if artist.get_gid() == gid]


def points(ax: Axes, gid: str) -> np.ndarray:
    """The points of all lines of that name, a row each."""
    return np.concatenate([np.stack(line.get_data(), 1) for line in by_id(ax, gid)])


def boxes_of(texts: list[Text]) -> dict[str, Bbox]:
    """The boxes of texts on the page once everything is laid out."""
    figure = texts[0].get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    return {f"{i}:{t.get_text()}": Text.get_window_extent(t) for i, t in enumerate(texts)}


def overlaps(texts: list[Text]) -> list[tuple[str, str]]:
    boxes = boxes_of(texts)
    return [(a, b) for a, b in combinations(boxes, 2) if boxes[a].overlaps(boxes[b])]


def visible_texts(ax: Axes) -> list[Text]:
    # ticks get their texts when they are drawn
    ax.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
    return [text for text in ax.findobj(Text) if text.get_text() and text.get_visible()]


def edges_of(ax: Axes, gid: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edge of a filled band at its values in turn."""
    (band,) = by_id(ax, gid)
    vertices = pd.DataFrame(band.get_paths()[0].vertices, columns=["x", "y"]).groupby("x")["y"]
    return vertices.min().to_numpy(), vertices.max().to_numpy()
