"""The axes that figures share."""

from __future__ import annotations

import pytest
from matplotlib import pyplot as plt

from replication.style import mark_ratios


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0.95, 1.32, ["1", "1.1", "1.2", "1.3"]),
        (5.2, 17.0, ["6", "8", "10", "12", "14", "16"]),
        (0.18, 1.7, ["0.2", "0.3", "0.5", "1"]),
        (0.4, 30.0, ["0.5", "1", "2", "3", "5", "10", "20", "30"]),
        (0.045, 22.0, ["0.1", "1", "10"]),
    ],
)
@pytest.mark.parametrize("which", ["x", "y"])
def test_ratios_are_marked_by_a_few_plain_numbers(
    which: str, low: float, high: float, marks: list[str]
) -> None:
    figure, axis = plt.subplots()
    mark_ratios(axis, which, low, high)
    figure.canvas.draw()
    own = axis.xaxis if which == "x" else axis.yaxis
    ends = axis.get_xlim() if which == "x" else axis.get_ylim()
    shown = zip(own.get_majorticklocs(), own.get_majorticklabels(), strict=True)
    assert ends == (low, high)
    assert [text.get_text() for at, text in shown if low <= at <= high] == marks
    plt.close(figure)
