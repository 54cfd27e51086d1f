"""Curves show what their tables say, their bands and where they extrapolate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba
from pictures import UNITS, by_id, edges_of, points

import tramdag as td
from tramdag import plotting


def test_the_odds_ratio_curve_has_both_bands(tables: dict[str, Any]) -> None:
    table = tables["odds_ratio_band"]
    ax = plotting.odds_ratio_band(table.sample(frac=1, random_state=1), units=UNITS)
    np.testing.assert_array_equal(points(ax, "curve"), table[["Age", "odds_ratio"]])
    for gid, lower, upper in (
        ("pointwise", "lower", "upper"),
        ("simultaneous", "simultaneous_lower", "simultaneous_upper"),
    ):
        low, high = edges_of(ax, gid)
        np.testing.assert_array_equal(low, table[lower])
        np.testing.assert_array_equal(high, table[upper])
    greys = {
        gid: to_rgba(by_id(ax, gid)[0].get_facecolor()[0])[0]
        for gid in ("pointwise", "simultaneous")
    }
    assert greys["simultaneous"] - greys["pointwise"] > 0.2
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["odds ratio", "95 % pointwise band", "95 % simultaneous band"]
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel() == "Age (years)"
    assert any(list(line.get_ydata()) == [1.0, 1.0] for line in ax.lines)


def test_a_curve_by_a_network_says_that_it_has_no_band(tables: dict[str, Any]) -> None:
    bands = ["std_error", "lower", "upper", "simultaneous_lower", "simultaneous_upper"]
    ax = plotting.odds_ratio_band(tables["odds_ratio_band"].assign(**dict.fromkeys(bands, np.nan)))
    assert by_id(ax, "pointwise") == []
    assert "no band" in ax.get_legend().get_texts()[0].get_text()


def test_the_transformation_marks_where_it_extrapolates(tables: dict[str, Any]) -> None:
    table = tables["transformation_curve"]
    ax = plotting.transformation_curve(
        table, node="NIHSSa", units=UNITS, training_range=(6.2, 41.0)
    )
    np.testing.assert_array_equal(points(ax, "curve"), table[["x", "h"]])
    widths = [
        (patch.get_x(), patch.get_x() + patch.get_width()) for patch in by_id(ax, "extrapolated")
    ]
    assert widths == [pytest.approx((4.0, 6.2)), pytest.approx((41.0, 44.0))]
    assert ax.get_xlabel() == "NIHSSa (points)"
    assert ax.get_ylabel() == "h(NIHSSa), log odds scale"


def test_a_second_transformation_has_another_line(tables: dict[str, Any]) -> None:
    table = tables["transformation_curve"]
    ax = plotting.transformation_curve(table, label="Age 60")
    plotting.transformation_curve(table.assign(h=table["h"] + 1), label="Age 80", ax=ax)
    first, second = by_id(ax, "curve")
    assert first.get_linestyle() != second.get_linestyle()
    assert len(ax.get_legend().get_texts()) == 2


def test_rows_that_mix_parents_are_no_transformation() -> None:
    x = np.linspace(0, 1, 20)
    table = pd.DataFrame({"x": x, "h": x + np.where(np.arange(20) % 2, 0.0, 1.0)})
    with pytest.raises(td.DataError, match=r"h falls .* the rows mix several values"):
        plotting.transformation_curve(table)
    assert plt.get_fignums() == []


def test_the_truth_of_a_shift_is_moved_by_a_constant() -> None:
    value = np.linspace(-1, 1, 41)
    table = pd.DataFrame({"value": value, "shift": 2 * value})
    wide = np.linspace(-2, 2, 81)
    truth = pd.DataFrame({"value": wide, "shift": 2 * wide + 7})
    ax = plotting.shift_curve(table, node="y", parent="Age", units=UNITS, truth=truth)
    np.testing.assert_array_equal(points(ax, "curve"), table)
    np.testing.assert_allclose(points(ax, "truth"), np.stack([wide, 2 * wide], 1), atol=1e-12)
    assert ax.get_xlabel() == "Age (years)"
    with pytest.raises(td.DataError, match=r"truth covers -0\.5 to 0\.5, the table -1 to 1"):
        plotting.shift_curve(table, truth=truth.query("value.abs() <= 0.5"))


def test_levels_of_an_ordinal_parent_are_marked(tables: dict[str, Any]) -> None:
    (line,) = by_id(plotting.shift_curve(tables["shift_curve"]), "curve")
    assert line.get_marker() == "o"
    assert list(line.get_xdata()) == [0, 1, 2, 3, 4, 5]
