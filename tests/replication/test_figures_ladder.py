"""Figures of the ladder: limits, seeds and labels, from made-up tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from replication.figures_ladder import draw_ladder, draw_odds_ratio_by_modifier

TITLES = {
    "ls": "linear shifts of everything that was recorded before the treatment",
    "net": "one network",
    "ci": "complex intercept",
}
AGES = np.linspace(40, 90, 11)


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


def curves(ls: float = 0.8, nets: tuple[float, ...] = (1.1, 2.0, 1.2), width: float = 1.25):
    """A model with a band and one with a flat curve per seed; the third has none."""
    seeds = [("ls", 0, ls, True), *(("net", i, net, False) for i, net in enumerate(nets))]
    parts = [
        pd.DataFrame(
            {
                "model": model,
                "seed": seed,
                "value": AGES,
                "odds_ratio": ratio,
                "lower": ratio / width if band else np.nan,
                "upper": ratio * width if band else np.nan,
                "truth": np.linspace(0.7, 0.9, len(AGES)),
            }
        )
        for model, seed, ratio, band in seeds
    ]
    return pd.concat(parts, ignore_index=True)


def draw(table: pd.DataFrame) -> Figure:
    return draw_odds_ratio_by_modifier(
        table,
        titles=TITLES,
        units={"age": "years"},
        modifier="age",
        treatment="drip",
        outcome="score",
    )


def panels(figure: Figure) -> list[Axes]:
    return [axis for axis in figure.axes if axis.axison]


def test_the_axis_of_odds_ratios_spans_what_is_drawn() -> None:
    shown = panels(draw(curves()))
    assert {axis.get_ylim() for axis in shown} == {shown[0].get_ylim()}
    low, high = shown[0].get_ylim()
    assert (low, high) == pytest.approx((0.8 / 1.25 / 1.1, 2.0 * 1.1))
    marked = [at for at in shown[0].get_yticks() if low <= at <= high]
    assert 1.0 in marked
    assert len(marked) >= 3


def test_no_effect_is_on_the_axis_and_a_wide_band_is_cut_off() -> None:
    (axis,) = panels(draw(curves(ls=30.0, nets=(), width=1e4)))
    low, high = axis.get_ylim()
    assert (low, high) == pytest.approx((0.05 / 1.1, 20 * 1.1))


def test_the_median_seed_is_strong_and_the_others_are_pale() -> None:
    _, axis = panels(draw(curves()))
    lines = {
        float(line.get_ydata()[0]): line.get_alpha()
        for line in axis.lines
        if line.get_alpha() is not None
    }
    assert lines == {1.1: 0.35, 2.0: 0.35, 1.2: 1.0}
    texts = [text.get_text() for text in axis.figure.legends[0].get_texts()]
    assert texts == [
        "model, median seed",
        "other seeds",
        "95 % pointwise band",
        "truth",
        "no effect",
    ]


def test_panels_say_whose_odds_ratio_it_is() -> None:
    first, second = panels(draw(curves()))
    assert first.get_ylabel() == "odds ratio of score > k,\ndrip = 1 against 0"
    assert second.get_title(loc="left") == "one network, 3 seeds"
    assert second.get_xlabel() == "age (years)"


def test_a_ladder_without_a_single_odds_ratio_says_so() -> None:
    (axis,) = draw(curves().head(0)).axes
    assert "no specification has one odds ratio of drip" in axis.texts[0].get_text()


def test_long_titles_leave_no_label_of_the_ladder_cut_off() -> None:
    rungs = pd.DataFrame(
        {
            "model": list(TITLES),
            "seeds": [1, 3, 3],
            "ate": 0.1,
            "min": 0.05,
            "max": 0.15,
            "lower": [0.02, np.nan, np.nan],
            "upper": [0.12, np.nan, np.nan],
            "truth": 0.1,
            "nll_difference": [0.0, 0.01, 0.02],
            "difference_lower": [0.0, 0.0, 0.01],
            "difference_upper": [0.0, 0.02, 0.03],
        }
    )
    figure = draw_ladder(rungs, titles=TITLES, base="ls")
    figure.canvas.draw()
    left, right = figure.axes
    labels = [left.xaxis.label, right.xaxis.label, *left.get_yticklabels()]
    assert all(
        figure.bbox.containsx(end) for t in labels for end in t.get_window_extent().intervalx
    )
    assert left.xaxis.label.get_window_extent().x1 < right.xaxis.label.get_window_extent().x0
