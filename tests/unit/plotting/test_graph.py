"""The graph: no text overlaps, every edge says its term and its estimate."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from pictures import LS, PRODUCT, PUBLISHED, RANDOMISED, STROKE, VARYING, by_id

import tramdag as td
from tramdag import plotting


def dag_texts(ax: Axes) -> tuple[dict[str, Text], dict[tuple[str, str], Text], list[Annotation]]:
    """Nodes by name, labels by edge, arrows in the order of the labels."""
    nodes = {text.get_text(): text for text in by_id(ax, "node")}
    arrows = by_id(ax, "edge")
    at = {text.get_position(): name for name, text in nodes.items()}
    edges = {(at[arrow.xyann], at[arrow.xy]): arrow for arrow in arrows}
    assert len(edges) == len(arrows)
    return nodes, edges, arrows


def test_long_names_are_cut_into_lines_and_their_nodes_stay_apart() -> None:
    names = ["age at onset [y]", "mRS <= 2 before onset?", "systolic_blood_pressure", "T"]
    nodes = [td.ContinuousNode(parents=dict.fromkeys(names[:i], "ls")) for i in range(len(names))]
    ax = plotting.causal_dag(dict(zip(names, nodes, strict=True)))
    texts = by_id(ax, "node")
    assert [text.get_text() for text in texts] == [
        "age at onset\n[y]",
        "mRS <= 2\nbefore onset?",
        "systolic_\nblood_pressure",
        "T",
    ]
    boxes = [text.get_bbox_patch().get_window_extent() for text in texts]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def labels_of(ax: Axes, spec: dict[str, Any]) -> dict[tuple[str, str], Text]:
    """Labels by edge; they are drawn child by child, parent by parent."""
    edges = [(parent, name) for name, node in spec.items() for parent in node.parents]
    return dict(zip(edges, by_id(ax, "label"), strict=True))


def arrow_points(arrow: Annotation) -> np.ndarray:
    """Points along a drawn arrow, in pixels, between the nodes."""
    patch = arrow.arrow_patch
    assert patch is not None
    (path, *_), _ = patch._get_path_in_displaycoord()
    polygons = path.to_polygons(closed_only=False)
    # the first polygon is the line, the next one the arrow head
    line = polygons[0]
    t = np.linspace(0, len(line) - 1, 400)
    return np.stack([np.interp(t, np.arange(len(line)), line[:, k]) for k in (0, 1)], 1)


SPECS = {"published": PUBLISHED, "stroke": STROKE, "nine edges": RANDOMISED, "varying": VARYING}


def estimates_of(spec: dict[str, Any]) -> pd.DataFrame:
    """A made-up table with numbers as long as real ones."""
    rows = [
        {"node": name, "parent": parent, "odds_ratio": 0.123 * level, "status": "ok"}
        for name, node in spec.items()
        for parent in node.parents
        for level in ((1, 50) if parent == "mRS_pre" else (1,))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(("with_estimates", "width"), [(True, None), (True, 7.0), (False, 7.0)])
def test_no_label_of_the_stroke_graph_overlaps_anything(
    name: str, with_estimates: bool, width: float | None
) -> None:
    spec = SPECS[name]
    ax = (
        None if width is None else plt.figure(figsize=(width, 3.6), layout="constrained").subplots()
    )
    table = estimates_of(spec) if with_estimates else None
    ax = plotting.causal_dag(spec, table, ax=ax)
    nodes, edges, arrows = dag_texts(ax)
    labels = labels_of(ax, spec)
    assert set(edges) == {(p, child) for child, node in spec.items() for p in node.parents}
    assert len(arrows) == len(labels) == (9 if name == "nine edges" else 10)

    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    boxes = {edge: label.get_window_extent() for edge, label in labels.items()}
    frames = {n: text.get_bbox_patch().get_window_extent() for n, text in nodes.items()}  # type: ignore[union-attr]
    everything = [*boxes.items(), *frames.items()]
    crowded = [
        (a, b) for (a, one), (b, other) in combinations(everything, 2) if one.overlaps(other)
    ]
    assert crowded == []
    page = figure.bbox
    for box in boxes.values():
        assert page.x0 < box.x0 < box.x1 < page.x1
        assert page.y0 < box.y0 < box.y1 < page.y1
    legend = ax.get_legend().get_window_extent()
    assert not any(box.overlaps(legend) for box in boxes.values())


THROUGH = {
    **{name: td.ContinuousNode() for name in ("above", "a", "below")},
    "e1": td.ContinuousNode({"above": LS}),
    "b": td.ContinuousNode({"above": LS, "below": LS}),
    "e2": td.ContinuousNode({"below": LS}),
    "c": td.ContinuousNode({"e1": LS, "e2": LS, "a": LS}),
}
"""A straight arrow from a to c would run through b and along no other arrow."""


@pytest.mark.parametrize("name", [*SPECS, "through"])
def test_every_arrow_keeps_clear_of_other_nodes_and_close_to_its_label(name: str) -> None:
    spec = {**SPECS, "through": THROUGH}[name]
    ax = plotting.causal_dag(spec, estimates_of(spec))
    ax.get_figure(root=True).canvas.draw()  # type: ignore[union-attr]
    nodes, edges, _ = dag_texts(ax)
    labels = labels_of(ax, spec)
    for ends, arrow in edges.items():
        path = arrow_points(arrow)
        for node, text in nodes.items():
            if node not in ends:
                frame = text.get_bbox_patch().get_window_extent()  # type: ignore[union-attr]
                assert frame.count_contains(path) == 0, (ends, node)
        assert labels[ends].get_window_extent().padded(6).count_contains(path) > 0, ends


def test_shapes_tell_continuous_from_ordinal_nodes() -> None:
    nodes, _, _ = dag_texts(plotting.causal_dag(PUBLISHED))
    shapes = {name: type(t.get_bbox_patch().get_boxstyle()).__name__ for name, t in nodes.items()}  # type: ignore[union-attr]
    ordinal = {name: isinstance(node, td.OrdinalNode) for name, node in PUBLISHED.items()}
    assert shapes == {name: "Square" if ordinal[name] else "Ellipse" for name in PUBLISHED}


def test_edges_are_labelled_by_their_terms() -> None:
    labels = labels_of(plotting.causal_dag(PUBLISHED), PUBLISHED)
    assert {edge: text.get_text() for edge, text in labels.items() if edge[1] == "mRS_3m"} == {
        ("Age", "mRS_3m"): "ci",
        ("mRS_pre", "mRS_3m"): "ls",
        ("NIHSSa", "mRS_3m"): "cs",
        ("T", "mRS_3m"): "ls",
    }


def test_joint_terms_are_labelled_by_both_parents() -> None:
    spec = {
        "a": td.ContinuousNode(),
        "b": td.ContinuousNode(),
        "t": td.OrdinalNode(2),
        "y": td.ContinuousNode(
            terms=[td.CS("a", "b"), td.LS("t"), td.LS("t", "a"), td.VC("t", by="b")]
        ),
    }
    labels = labels_of(plotting.causal_dag(spec), spec)
    assert labels["t", "y"].get_text() == "ls, ls × a, vc by b"
    assert labels["a", "y"].get_text() == "cs with b, ls × t"
    assert labels["b", "y"].get_text() == "cs with a, in vc of t"


def test_edges_carry_the_odds_ratios(stroke: td.CausalFlowDAG) -> None:
    table = stroke.summary("mRS_3m")
    spec = {name: STROKE[name] for name in STROKE}
    ratios = stroke.odds_ratios()
    labels = labels_of(plotting.causal_dag(spec, ratios), spec)
    age, levels = table["odds_ratio"].iloc[0], table["odds_ratio"].iloc[1:6]
    assert labels["Age", "mRS_3m"].get_text() == f"ls\n{age:.2f}"
    assert labels["mRS_pre", "mRS_3m"].get_text() == f"ls\n{levels.min():.2f} to {levels.max():.2f}"


def test_a_product_has_no_single_odds_ratio(product: td.CausalFlowDAG) -> None:
    labels = labels_of(plotting.causal_dag(PRODUCT, product.summary()), PRODUCT)
    assert labels["T", "mRS_3m"].get_text() == "ls, ls × Age"
    assert labels["Age", "mRS_3m"].get_text() == "ls, ls × T"


def test_an_edge_without_an_estimate_says_why(separated: td.CausalFlowDAG) -> None:
    table = separated.summary()
    labels = labels_of(plotting.causal_dag(separated.spec, table), dict(separated.spec))
    known = table["odds_ratio"].iloc[0]
    assert labels["g", "y"].get_text() == f"ls\n{known:.2f}"
    for status in ("separated", "undetermined"):
        row = table.iloc[1:2].assign(status=status)
        labels = labels_of(plotting.causal_dag(separated.spec, row), dict(separated.spec))
        assert labels["g", "y"].get_text() == f"ls\n{status}"
    with pytest.raises(td.DataError, match="no row for the linear shift of 'NIHSSa' by 'Age'"):
        plotting.causal_dag(STROKE, table.assign(node="mRS_pre", parent="Age"))


def test_columns_are_the_topological_generations() -> None:
    networkx = pytest.importorskip("networkx")
    spec = {
        "x4": td.ContinuousNode({"x1": LS, "x2": LS}),
        "x1": td.ContinuousNode(),
        "x2": td.ContinuousNode(),
        "x5": td.ContinuousNode({"x4": LS, "x1": LS}),
        "x6": td.ContinuousNode({"x2": LS}),
    }
    nodes, _, _ = dag_texts(plotting.causal_dag(spec))
    graph = networkx.DiGraph([(p, name) for name, node in spec.items() for p in node.parents])
    expected = {
        name: column
        for column, names in enumerate(networkx.topological_generations(graph))
        for name in names
    }
    assert {name: text.get_position()[0] for name, text in nodes.items()} == expected


def test_a_graph_without_edges_is_drawn() -> None:
    nodes, edges, _ = dag_texts(plotting.causal_dag({"a": td.ContinuousNode()}))
    assert list(nodes) == ["a"]
    assert not edges
