"""The figure of calibration: the median seed with intervals, the others without."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from replication.figures_calibration import draw_calibration

TITLES = {"ls": "all linear", "cs": "complex shift"}

GAPS = {"ls": [0.0], "cs": [0.2, -0.1, 0.02]}
"""Observed minus predicted, by seed; the last of three is in the middle."""


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    parts = []
    for model, gaps in GAPS.items():
        for seed, gap in enumerate(gaps):
            for level in range(3):
                p = np.sort(rng.uniform(0.1, 0.5, 5))
                key = {"model": model, "seed": seed, "node": "mRS", "level": level, "n": 50}
                bins = {"bin": range(5), "predicted": p, "observed": p + gap}
                parts.append(pd.DataFrame({**key, **bins}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(lower=table["observed"] - 0.1, upper=table["observed"] + 0.15)


def named(axis: Axes, gid: str) -> list[Line2D]:
    return [line for line in axis.lines if line.get_gid() == gid]


def test_there_is_a_panel_per_level_and_model(table: pd.DataFrame) -> None:
    axes = draw_calibration(table, titles=TITLES, nodes=["mRS"]).axes
    assert [axis.get_xlabel() for axis in axes] == [f"P(mRS = {level})" for level in range(3)] * 2
    assert [axis.get_ylabel() for axis in axes] == ["observed frequency", "", ""] * 2
    assert axes[0].get_title(loc="left") == "all linear"
    assert axes[3].get_title(loc="left") == "complex shift, 3 seeds"


def test_the_median_seed_has_intervals_and_the_others_are_points(table: pd.DataFrame) -> None:
    axes = draw_calibration(table, titles=TITLES, nodes=["mRS"]).axes
    for level, axis in enumerate(axes[3:]):
        rows = table[(table["model"] == "cs") & (table["level"] == level)]
        median, others = rows[rows["seed"] == 2], rows[rows["seed"] != 2]
        (observed,), (pale,) = named(axis, "observed"), named(axis, "others")
        np.testing.assert_array_equal(observed.get_xydata(), median[["predicted", "observed"]])
        np.testing.assert_array_equal(pale.get_xydata(), others[["predicted", "observed"]])
        (bars,) = (own for own in axis.collections if isinstance(own, LineCollection))
        ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
        assert ends == median[["lower", "upper"]].to_numpy().tolist()
    assert not named(axes[0], "others")


def test_the_panels_of_a_level_have_the_same_axes(table: pd.DataFrame) -> None:
    axes = draw_calibration(table, titles=TITLES, nodes=["mRS"]).axes
    for first, second in zip(axes[:3], axes[3:], strict=True):
        assert first.get_xlim() == second.get_xlim() == first.get_ylim() == second.get_ylim()
        for line in (*first.lines[1:], *second.lines[1:]):
            assert max(line.get_ydata()) <= second.get_ylim()[1]


def test_the_legend_names_seeds_only_where_there_are_some(table: pd.DataFrame) -> None:
    def labels(own: pd.DataFrame) -> list[str]:
        (legend,) = draw_calibration(own, titles=TITLES, nodes=["mRS"]).legends
        return [text.get_text() for text in legend.get_texts()]

    assert labels(table)[:2] == ["median seed, 95 % interval", "other seeds"]
    assert labels(table[table["seed"] == 0]) == ["95 % interval", "perfect calibration"]
