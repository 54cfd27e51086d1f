"""The DAG with what stands on its edges.

Columns of nodes are the graph's topological generations. An edge is straight unless another node
is in its way; each takes, one after another, the bend and the place of its label that disturb
least what is already drawn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from tramdag.errors import DataError, name_list
from tramdag.plotting.canvas import INK, axes_or_new, require_columns
from tramdag.plotting.coefficients import ratio_text
from tramdag.spec import LS, VC, OrdinalNode, Spec, Term, causal_order, check_spec

__all__ = ["causal_dag"]

_KINDS = {
    "ls": "linear shift",
    "cs": "complex shift",
    "ci": "complex intercept",
    "vc": "varying coefficient",
}
_BENDS = (0.0, 0.28, -0.28, 0.4, -0.4, 0.52, -0.52, 0.64, -0.64)
"""Bends that an edge may take, of matplotlib's connection style arc3."""
_PLACES = tuple(product((0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74), (0, 1, -1)))
"""Places of a label: how far along the curve, and on it (0) or beside it."""
_T = np.linspace(0.0, 1.0, 49)[:, None]
_NAME = 14
"""Characters of a node's name that stand in one line."""
_GAP = 2.0
"""Points (1/72 inch) that labels keep from each other and from nodes."""


def causal_dag(
    spec: Spec,
    estimates: pd.DataFrame | None = None,
    *,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw a specification: nodes, edges, the terms that the edges stand for, and odds ratios.

    Continuous nodes are ellipses, ordinal ones boxes. An edge is labelled by its terms (``ls``,
    ``cs``, ``ci``, ``vc``; ``ls × Age`` is a product with Age). Where its only term is a linear
    shift, the odds ratio of ``estimates`` follows; the lowest to the highest if an ordinal parent
    has several levels. A product has no single odds ratio, so none is shown.

    Args:
        spec: Node names to nodes.
        estimates: The table of ``flow.summary()`` or ``flow.odds_ratios()``.
        legend: Explain shapes and terms under the graph.
        ax: Where to draw; a new figure if None. Give it its final size first: labels are placed
            by their size on the page.

    Raises:
        SpecError: The specification is not a DAG.
        DataError: A column is missing, or the table has no coefficient of a linear shift.
    """
    spec = check_spec(spec)
    if estimates is not None:
        require_columns(
            estimates,
            ["node", "parent", "odds_ratio", "status"],
            who="causal_dag",
            verb="flow.summary() or flow.odds_ratios()",
        )
    places = _places(spec)
    spread = np.ptp(np.array(list(places.values())), axis=0)
    inches = 1.6 if spread[0] > 2 else 2.2
    height = inches * max(spread[1], 0.3 * spread[0]) + 1.8
    ax = axes_or_new(ax, size=(inches * spread[0] + 1.6, height))
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set_xlim(-0.45, spread[0] + 0.45)
    half = max(0.5 * spread[1] + 0.4, 0.2 * spread[0] + 0.25)
    ax.set_ylim(-half, half)
    labels = {
        (parent, name): _edge_label(spec, name, parent, estimates)
        for name, node in spec.items()
        for parent in node.parents
    }
    if legend:
        _explain(ax, spec, with_numbers=estimates is not None)
    nodes = {name: _draw_node(ax, spec, name, at) for name, at in places.items()}
    # the layout engine moves the axes now and not after the labels have been placed
    ax.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
    _draw_edges(ax, places, nodes, labels)
    return ax


def _places(spec: Spec) -> dict[str, tuple[float, float]]:
    """A column per topological generation, the nodes of each spread around its middle."""
    generation: dict[str, int] = {}
    for name in causal_order(spec):
        generation[name] = 1 + max((generation[p] for p in spec[name].parents), default=-1)
    places = {}
    for column in range(max(generation.values()) + 1):
        members = [name for name in spec if generation[name] == column]
        for j, name in enumerate(members):
            places[name] = (float(column), 0.5 * (len(members) - 1) - j)
    return places


def _draw_node(ax: Axes, spec: Spec, name: str, at: tuple[float, float]) -> Text:
    ordinal = isinstance(spec[name], OrdinalNode)
    box = {
        "boxstyle": "square,pad=0.45" if ordinal else "ellipse,pad=0.3",
        "facecolor": "0.9" if ordinal else "white",
        "edgecolor": INK,
        "linewidth": 1.0,
    }
    return ax.text(*at, _wrapped(name), ha="center", va="center", bbox=box, zorder=2, gid="node")


def _wrapped(name: str) -> str:
    """A name in lines that fit between two columns of nodes, cut at spaces and underscores."""
    lines = [""]
    for word in re.findall(r"[^\s_]*[\s_]*", name):
        if lines[-1] and len((lines[-1] + word).rstrip()) > _NAME:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def _edge_label(spec: Spec, name: str, parent: str, estimates: pd.DataFrame | None) -> str:
    terms = [term for term in spec[name].terms if parent in term.parents]
    text = ", ".join(_term_text(term, parent) for term in terms)
    if estimates is None or len(terms) > 1 or not isinstance(terms[0], LS):
        return text
    if terms[0].parents != (parent,):
        return text
    rows = estimates[(estimates["node"] == name) & (estimates["parent"] == parent)]
    if rows.empty:
        raise DataError(
            f"causal_dag: estimates= has no row for the linear shift of {name!r} by {parent!r}; "
            f"its nodes are {name_list(estimates['node'].unique())}."
        )
    known = rows[~rows["status"].isin(["separated", "undetermined", "not estimable"])]
    if known.empty:
        return f"{text}\n{rows['status'].iloc[0]}"
    ratios = known["odds_ratio"]
    ends = dict.fromkeys(ratio_text(end) for end in (ratios.min(), ratios.max()))
    return f"{text}\n{' to '.join(ends)}"


def _term_text(term: Term, parent: str) -> str:
    """What a parent does in a term: ``ls``, ``ls × Age``, ``vc by Age``, ``in vc of T``."""
    others = [name for name in term.parents if name != parent]
    if not others:
        return term.kind
    if isinstance(term, VC):
        if parent == term.parents[0]:
            return f"vc by {', '.join(others)}"
        return f"in vc of {term.parents[0]}"
    if isinstance(term, LS):
        return " × ".join([term.kind, *others])
    return f"{term.kind} with {', '.join(others)}"


@dataclass(frozen=True)
class _Edge:
    """A drawn edge, in pixels.

    Attributes:
        bend: Of matplotlib's connection style arc3.
        curve: Points of the part between the nodes, shape ``(k, 2)``.
        box: Its label's left, lower, right and upper end.
    """

    bend: float
    curve: np.ndarray
    box: np.ndarray


def _draw_edges(
    ax: Axes,
    places: Mapping[str, tuple[float, float]],
    nodes: Mapping[str, Text],
    labels: Mapping[tuple[str, str], str],
) -> None:
    gap = _GAP * ax.get_figure(root=True).dpi / 72.0  # type: ignore[union-attr]
    centres = {name: ax.transData.transform(at) for name, at in places.items()}
    boxes = {name: _box_of(text, gap) for name, text in nodes.items()}
    page = np.array(ax.get_window_extent().extents)
    texts = {edge: _draw_label(ax, label) for edge, label in labels.items()}
    # short edges have the fewest ways to go; a second round knows where the others went
    order = sorted(labels, key=lambda edge: places[edge[1]][0] - places[edge[0]][0])
    chosen: dict[tuple[str, str], _Edge] = {}
    for ends in [*order, *order]:
        extent = texts[ends].get_window_extent()
        size = np.array([extent.width, extent.height])
        others = [edge for key, edge in chosen.items() if key != ends]
        chosen[ends] = _best_edge(centres, boxes, ends, others, size=size, gap=gap, page=page)
    for (parent, child), edge in chosen.items():
        middle = (edge.box[:2] + edge.box[2:]) / 2
        x, y = ax.transData.inverted().transform(middle)
        texts[parent, child].set_position((x, y))
        ax.annotate(
            "",
            xy=places[child],
            xytext=places[parent],
            arrowprops={
                "arrowstyle": "-|>,head_width=0.18,head_length=0.36",
                "connectionstyle": f"arc3,rad={edge.bend}",
                "patchA": nodes[parent].get_bbox_patch(),
                "patchB": nodes[child].get_bbox_patch(),
                "shrinkA": 0,
                "shrinkB": 1,
                "color": INK,
                "linewidth": 0.9,
            },
            zorder=3,
            gid="edge",
        )


def _draw_label(ax: Axes, label: str) -> Text:
    text = ax.text(0, 0, label, ha="center", va="center", fontsize="small", zorder=4, gid="label")
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
    return text


def _box_of(text: Text, gap: float) -> np.ndarray:
    patch = text.get_bbox_patch()
    assert patch is not None
    return np.array(patch.get_window_extent().padded(gap).extents)


def _best_edge(
    centres: Mapping[str, np.ndarray],
    boxes: Mapping[str, np.ndarray],
    ends: tuple[str, str],
    drawn: Sequence[_Edge],
    *,
    size: np.ndarray,
    gap: float,
    page: np.ndarray,
) -> _Edge:
    """The edge with the bend and the place of its label that cost least beside those drawn."""
    best: tuple[float, _Edge] | None = None
    start, stop = (centres[name] for name in ends)
    others = np.array([box for name, box in boxes.items() if name not in ends]).reshape(-1, 4)
    labels = np.array([edge.box for edge in drawn]).reshape(-1, 4)
    taken = np.concatenate([labels, list(boxes.values())])
    margin = 2 * gap * np.array([-1, -1, 1, 1])
    preference = np.array([abs(t - 0.5) + 0.4 * abs(side) for t, side in _PLACES])
    for bend in _BENDS:
        dx, dy = stop - start
        control = (start + stop) / 2 + bend * np.array([dy, -dx])
        curve = (1 - _T) ** 2 * start + 2 * _T * (1 - _T) * control + _T**2 * stop
        free = curve[~_within(curve, np.array([boxes[name] for name in ends])).any(1)]
        if len(free) < 3:
            free = curve
        cost = 1.5 * abs(bend) + 1000 * _within(free, others).any(0).sum()
        cost += 60 * _within(free, labels + margin).any(0).sum()
        cost += 200 * (1.0 - _within(free, page[None]).all())
        for edge in drawn:
            cost += 8 * _crossings(free, edge.curve) + 20 * _near(free, edge.curve, 2 * gap)
        places = _label_boxes(free, size, gap)
        covered = _within(free, places).mean(0)
        costs = cost + preference + np.where(covered > 0.45, 20 * covered, 0.0)
        costs += 200 * _overlap(places, taken).sum(1)
        costs += 200 * ((places[:, :2] < page[:2]) | (places[:, 2:] > page[2:])).any(1)
        for edge in drawn:
            costs += 60 * _within(edge.curve, places + margin).any(0)
        k = int(costs.argmin())
        if best is None or costs[k] < best[0]:
            best = (float(costs[k]), _Edge(bend, free, places[k]))
    assert best is not None
    return best[1]


def _label_boxes(curve: np.ndarray, size: np.ndarray, gap: float) -> np.ndarray:
    """Boxes of a label at all of ``_PLACES``, with a gap around; shape ``(places, 4)``."""
    along, side = np.array(_PLACES).T
    index = np.clip(np.rint(along * (len(curve) - 1)).astype(int), 1, len(curve) - 2)
    ahead = curve[index + 1] - curve[index - 1]
    normal = np.stack([-ahead[:, 1], ahead[:, 0]], 1) / np.hypot(*ahead.T)[:, None]
    distance = side * (np.abs(normal) @ size / 2 + gap)
    centre = curve[index] + distance[:, None] * normal
    half = size / 2 + gap / 2
    return np.concatenate([centre - half, centre + half], 1)


def _within(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Which points lie in which boxes, shape ``(points, boxes)``."""
    at = points[:, None]
    return np.asarray(((at > boxes[:, :2]) & (at < boxes[:, 2:])).all(2))


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which boxes overlap which, shape ``(first, second)``."""
    one = first[:, None]
    return np.asarray(((one[..., :2] < second[:, 2:]) & (one[..., 2:] > second[:, :2])).all(2))


def _near(first: np.ndarray, second: np.ndarray, distance: float) -> float:
    """The share of one curve that runs along another."""
    gaps = np.hypot(*(first[:, None] - second[None]).transpose(2, 0, 1))
    return float((gaps.min(1) < distance).mean())


def _crossings(first: np.ndarray, second: np.ndarray) -> int:
    """How often two polylines cross."""

    def side(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
        d, e = b - a, p[None, :] - a[:, None]
        return np.sign(d[:, None, 0] * e[..., 1] - d[:, None, 1] * e[..., 0])

    across = side(first[:-1], first[1:], second)
    along = side(second[:-1], second[1:], first).T
    return int(((across[:, :-1] * across[:, 1:] < 0) & (along[:-1, :] * along[1:, :] < 0)).sum())


def _explain(ax: Axes, spec: Spec, *, with_numbers: bool) -> None:
    present = {term.kind for node in spec.values() for term in node.terms}
    lines = [", ".join(f"{kind}: {name}" for kind, name in _KINDS.items() if kind in present)]
    if with_numbers:
        lines.append("numbers: odds ratios per unit, or of a level against level 0")
    kinds = {isinstance(node, OrdinalNode) for node in spec.values()}
    looks = {False: ("continuous", "o", "white"), True: ("ordinal", "s", "0.9")}
    handles = [
        Line2D([], [], ls="", marker=marker, mfc=face, mec=INK, ms=7, label=label)
        for kind, (label, marker, face) in looks.items()
        if kind in kinds
    ]
    key = ax.legend(
        handles=handles,
        title="\n".join(filter(None, lines)),
        title_fontsize="small",
        fontsize="small",
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=2,
        frameon=False,
    )
    key.get_title().set_multialignment("center")
