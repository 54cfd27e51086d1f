"""Figures of the fits draw the stored tables: the median seed, or the mean where that is meant."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from replication.figures_fits import draw_dag, draw_forest

OUTCOME = ("Age", "mRS_pre", "NIHSSa", "T")


def shifts(*parents: str) -> dict[str, str]:
    return dict.fromkeys(parents, "ls")


CLASSICAL: dict[str, dict[str, Any]] = {
    "Age": {"kind": "continuous"},
    "mRS_pre": {"kind": "ordinal", "levels": 6, "parents": shifts(*OUTCOME[:1])},
    "NIHSSa": {"kind": "continuous", "parents": shifts(*OUTCOME[:2])},
    "T": {"kind": "ordinal", "levels": 2, "parents": shifts(*OUTCOME[:3])},
    "mRS_3m": {"kind": "ordinal", "levels": 7, "parents": shifts(*OUTCOME)},
}
PRODUCT = [
    *({"kind": "ls", "parents": [p]} for p in OUTCOME),
    {"kind": "ls", "parents": ["T", "Age"]},
]
SPECS = {
    "ls": CLASSICAL,
    "by-age": {**CLASSICAL, "mRS_3m": {"kind": "ordinal", "levels": 7, "terms": PRODUCT}},
}
TITLES = {"ls": "all linear", "by-age": "treatment by age"}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def summary(specs: dict[str, dict[str, Any]] = SPECS) -> pd.DataFrame:
    """Three seeds per model with coefficients that differ by 0.2 from seed to seed."""
    rng = np.random.default_rng(4)
    rows = []
    for model, spec in specs.items():
        for node, entry in spec.items():
            for parent in entry.get("parents", dict.fromkeys(OUTCOME if "terms" in entry else ())):
                levels = range(1, 6) if parent == "mRS_pre" else (1,) if parent == "T" else (None,)
                for level in levels:
                    estimate = rng.normal()
                    rows += [
                        {
                            "model": model,
                            "seed": seed,
                            "node": node,
                            "parent": parent,
                            "level": level,
                            "reference": None if level is None else 0,
                            "estimate": estimate + 0.2 * seed,
                            "std_error": 0.1,
                        }
                        for seed in range(3)
                    ]
    table = pd.DataFrame(rows).assign(status="ok")
    table["lower"], table["upper"] = (table["estimate"] + s * 0.196 for s in (-1, 1))
    return table.assign(
        odds_ratio=np.exp(table["estimate"]),
        odds_ratio_lower=np.exp(table["lower"]),
        odds_ratio_upper=np.exp(table["upper"]),
    )


def named(axis: Axes, gid: str) -> list[Any]:
    return [artist for artist in axis.findobj() if artist.get_gid() == gid]


def test_a_forest_shows_the_median_seed_and_no_node_twice() -> None:
    table = summary()
    figure = draw_forest(table, titles=TITLES, specs=SPECS, units={"Age": "years"})
    middle = table[table["seed"] == 1]
    for axis, model in zip(figure.axes, SPECS, strict=True):
        rows = middle[middle["model"] == model]
        if model == "by-age":
            rows = rows[rows["node"] == "mRS_3m"]
        drawn = [line.get_xdata()[0] for line in named(axis, "estimate")]
        assert drawn == list(rows["odds_ratio"])
        assert axis.get_title(loc="left") == f"{TITLES[model]}, median of 3 seeds"
    assert "Age (years)" in [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_a_coefficient_without_an_estimate_chooses_no_seed() -> None:
    table = summary()
    separated = (table["seed"] == 2) & (table["parent"] == "Age")
    table.loc[separated, "estimate"] = np.inf
    figure = draw_forest(table, titles=TITLES, specs={"ls": CLASSICAL}, units={})
    rows = table[(table["model"] == "ls") & (table["seed"] == 1)]
    drawn = [line.get_xdata()[0] for line in named(figure.axes[0], "estimate")]
    assert drawn == list(rows["odds_ratio"])
    only = table[table["seed"] == 2].assign(estimate=np.inf)
    (axis,) = draw_forest(only, titles=TITLES, specs={"ls": CLASSICAL}, units={}).axes
    assert axis.get_title(loc="left") == TITLES["ls"]


def test_a_graph_shows_the_mean_over_seeds() -> None:
    table = summary()
    figure = draw_dag(table, titles=TITLES, specs=SPECS)
    rows = table.query("model == 'ls' and node == 'mRS_pre' and parent == 'Age'")
    mean = np.exp(rows["estimate"].mean())
    labels = [text.get_text() for text in named(figure.axes[0], "label")]
    assert labels[0] == f"ls\n{mean:.2f}"
    assert len(labels) == 10
    assert "ls, ls × Age" in [text.get_text() for text in named(figure.axes[1], "label")]


def texts_of(figure: Figure) -> dict[str, Any]:
    """Boxes of all texts on the page."""
    figure.draw_without_rendering()
    found = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    hidden = {
        t for a in figure.axes if not a.axison for t in (*a.get_xticklabels(), *a.get_yticklabels())
    }
    return {
        f"{i}: {t.get_text()}": Text.get_window_extent(t)
        for i, t in enumerate(found)
        if t not in hidden
    }


@pytest.mark.parametrize("models", [("ls",), ("by-age", "ls")])
def test_no_text_of_the_graphs_overlaps_another(models: tuple[str, ...]) -> None:
    figure = draw_dag(summary(), titles=TITLES, specs={model: SPECS[model] for model in models})
    boxes = texts_of(figure)
    assert [(a, b) for a, b in combinations(boxes, 2) if boxes[a].overlaps(boxes[b])] == []


def test_no_text_of_a_forest_overlaps_another() -> None:
    boxes = texts_of(draw_forest(summary(), titles=TITLES, specs=SPECS, units={}))
    assert [(a, b) for a, b in combinations(boxes, 2) if boxes[a].overlaps(boxes[b])] == []


def test_a_graph_of_networks_needs_no_estimates() -> None:
    spec = {"a": {"kind": "continuous"}, "b": {"kind": "continuous", "parents": {"a": "ci"}}}
    empty = summary().iloc[:0]
    figure = draw_dag(empty, titles={"ci": "flexible"}, specs={"ci": spec})
    assert [text.get_text() for text in named(figure.axes[0], "label")] == ["ci"]
