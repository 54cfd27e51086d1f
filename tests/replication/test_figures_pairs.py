"""A scatter matrix shows the very rows of the truth and of each model's median seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from replication.figures_pairs import draw_pairs
from replication.metrics import histogram
from replication.questions import joint_rows

TITLES = {"ci": "TRAM-DAG", "cnf": "normalizing flow"}
SHIFTS = {"ci": (0.0, 3.0, 1.0), "cnf": (2.0, 0.0, 9.0)}
"""How far right the law of each seed lies: the median is seed 2 of the one, 0 of the other."""


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def rows(shift: float) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(1).normal(shift, 1, (80, 2)), columns=["x", "y"])


def law(drawn: pd.DataFrame) -> pd.DataFrame:
    edges = np.linspace(-4, 12, 33)
    parts = []
    for node in drawn:
        density, _ = np.histogram(drawn[node], edges, density=True)
        table = pd.DataFrame({"left": edges[:-1], "right": edges[1:], "density": density})
        parts.append(table.assign(query="observational", node=node))
    return pd.concat(parts, ignore_index=True)


def test_pairs_show_the_rows_of_the_truth_and_of_the_median_seeds() -> None:
    samples, laws = [], []
    for model, shifts in SHIFTS.items():
        for seed, shift in enumerate(shifts):
            drawn, key = rows(shift), {"model": model, "seed": seed}
            samples.append(joint_rows(drawn, 50).assign(**key))
            # what the median is taken of: heights of the same bins
            height = histogram(rows(0.0)["x"].to_numpy(), bins=8)
            own = [height.assign(node=node, query="observational", **key) for node in drawn]
            laws += [table.assign(density=table["density"] + shift) for table in own]
    figure = draw_pairs(
        pd.concat(samples, ignore_index=True),
        joint_rows(rows(0.5), 50),
        pd.concat(laws, ignore_index=True),
        law(rows(0.5)),
        titles=TITLES,
        units={"x": "mm"},
    )
    drawn_lines = [axis.lines[0] for axis in figure.axes if axis.lines]
    assert len(drawn_lines) == 3
    for line, shift in zip(drawn_lines, (0.5, 1.0, 2.0), strict=True):
        np.testing.assert_allclose(line.get_xdata(), rows(shift)["x"].head(50))
        np.testing.assert_allclose(line.get_ydata(), rows(shift)["y"].head(50))
    # all blocks on the axes of the truth
    assert len({line.axes.get_xlim() for line in drawn_lines}) == 1
    assert drawn_lines[0].axes.get_xlabel() == "x (mm)"
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles == ["truth", *TITLES.values()]
