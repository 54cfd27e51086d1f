"""The figure of odds ratios: estimates, intervals and truth stand where the table has them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from replication.figures_odds_ratio import draw_odds_ratio
from replication.odds_ratios import CONDITIONAL, POPULATION

TITLES = {"ls": "all linear", "cs": "complex shift", "flow": "a baseline"}
QUESTION = {"node": "score <= x", "parent": "time on drip", "threshold": -1, "step": 0.5}
LABEL = "time on drip + 0.5 on score <= x <= -1"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def table() -> pd.DataFrame:
    """Three seeds of a model with both ratios, one of a model that has no weight."""
    seeds = pd.DataFrame({"model": "ls", "seed": [0, 1, 2], "value": [8.0, 6.0, 7.0]})
    exact = seeds.assign(scale=CONDITIONAL, truth=7.4)
    exact = exact.assign(lower=exact["value"] - 1, upper=exact["value"] + 1.5)
    drawn = pd.concat([seeds, pd.DataFrame({"model": ["cs"], "seed": [0], "value": [5.0]})])
    drawn = drawn.assign(scale=POPULATION, mc_error=0.25, truth=7.2, truth_error=0.5)
    return pd.concat([exact, drawn], ignore_index=True).assign(odds_ratio=LABEL)


def draw(table: pd.DataFrame) -> Figure:
    return draw_odds_ratio(table, titles=TITLES, questions=[QUESTION])


def points(axis: Axes) -> dict[float, tuple[float, bool]]:
    """Height and whether it is filled of each estimate."""
    found = [line for line in axis.lines if line.get_marker() in ("o", "s")]
    return {
        float(line.get_xdata()[0]): (line.get_ydata()[0], line.get_markerfacecolor() != "white")
        for line in found
    }


def intervals(axis: Axes) -> dict[float, list[float]]:
    bars = [own for own in axis.collections if isinstance(own, LineCollection)]
    segments = [bar.get_segments()[0] for bar in bars]
    return {float(part[0, 1]): part[:, 0].tolist() for part in segments}


def test_every_seed_is_a_point_and_the_median_is_filled(table: pd.DataFrame) -> None:
    left, right = draw(table).axes
    assert {value: filled for value, (_, filled) in points(left).items()} == {
        8.0: False,
        6.0: False,
        7.0: True,
    }
    assert points(left)[7.0][0] == 0
    assert points(right)[5.0] == (1, True)
    # a seed stands at the same height in both panels
    assert all(points(right)[value] == place for value, place in points(left).items())


def test_intervals_are_walds_or_of_the_models_own_draws(table: pd.DataFrame) -> None:
    left, right = draw(table).axes
    for axis, below, above in ((left, 1.0, 1.5), (right, 1.96 * 0.25, 1.96 * 0.25)):
        bars = intervals(axis)
        for value, (height, _) in points(axis).items():
            assert bars[height] == pytest.approx([value - below, value + above])


def test_the_truth_is_a_line_with_a_band_where_it_was_drawn(table: pd.DataFrame) -> None:
    left, right = draw(table).axes
    for axis, truth in ((left, 7.4), (right, 7.2)):
        assert list(axis.lines[-1].get_xdata()) == [truth, truth]
    assert not left.patches
    (band,) = right.patches
    ends = (band.get_x(), band.get_x() + band.get_width())
    assert ends == pytest.approx((7.2 - 0.98, 7.2 + 0.98))


def test_both_panels_have_one_logarithmic_axis_with_a_name(table: pd.DataFrame) -> None:
    left, right = draw(table).axes
    assert left.get_xscale() == right.get_xscale() == "log"
    assert left.get_xlim() == right.get_xlim()
    low, high = left.get_xlim()
    assert low < 5 - 0.49 < 9.5 < high
    assert left.get_xlabel() == "odds ratio of score <= x <= -1, time on drip + 0.5"
    assert [text.get_text() for text in left.get_yticklabels()] == [
        "all linear, 3 seeds",
        "complex shift",
    ]


def test_without_a_generator_there_is_no_truth(table: pd.DataFrame) -> None:
    figure = draw(table.assign(truth=np.nan, truth_error=np.nan))
    assert not any("truth" in text.get_text() for text in figure.legends[0].get_texts())
    assert not figure.axes[1].patches
