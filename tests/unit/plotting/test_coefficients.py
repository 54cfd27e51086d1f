"""The forest shows every row of the summary, and says what has no interval."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from pictures import STROKE, UNITS, by_id, overlaps, points, visible_texts

import tramdag as td
from tramdag import plotting
from tramdag.plotting.coefficients import ratio_text


def test_the_forest_draws_every_estimate_and_interval(tables: dict[str, Any]) -> None:
    table = tables["coefficient_forest"]
    ax = plotting.coefficient_forest(table, spec=STROKE, units=UNITS)
    np.testing.assert_array_equal(points(ax, "estimate")[:, 0], table["odds_ratio"])
    ends = points(ax, "interval")[:, 0].reshape(-1, 2)
    np.testing.assert_array_equal(ends, table[["odds_ratio_lower", "odds_ratio_upper"]])
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "odds ratio with 95 % intervals, log scale"


def row_names(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def test_the_forest_names_units_reference_levels_and_odds(tables: dict[str, Any]) -> None:
    ax = plotting.coefficient_forest(tables["coefficient_forest"], spec=STROKE, units=UNITS)
    names = row_names(ax)
    assert names[:4] == ["odds of mRS_pre > k", "Age (years)", "odds of NIHSSa ≤ x", "Age (years)"]
    assert "mRS_pre 5 vs 0" in names
    assert "odds of T = 1" in names
    assert names[-1] == "T 1 vs 0"


def test_the_row_of_a_name_is_the_row_of_its_estimate(tables: dict[str, Any]) -> None:
    table = tables["coefficient_forest"]
    ax = plotting.coefficient_forest(table.query("node == 'mRS_3m'"))
    at = dict(zip(row_names(ax), ax.get_yticks(), strict=True))
    x, y = points(ax, "estimate")[-1]
    assert y == at["T 1 vs 0"]
    assert x == table["odds_ratio"].iloc[-1]


def test_a_colon_in_a_name_makes_no_product(tables: dict[str, Any]) -> None:
    table = tables["coefficient_forest"].query("node == 'mRS_3m'")
    named = table.assign(parent=table["parent"].replace({"T": "T: lysis", "Age": "Age: y"}))
    names = row_names(plotting.coefficient_forest(named))
    assert names[1] == "Age: y"
    assert names[-1] == "T: lysis 1 vs 0"


def test_a_product_of_a_name_with_a_colon_is_told_by_the_specification() -> None:
    spec = {name: td.ContinuousNode() for name in ("age", "sex: m", "y")}
    row = {"node": "y", "reference": 0, "status": "ok"}
    ratios = {"odds_ratio": 2.0, "odds_ratio_lower": 1.0, "odds_ratio_upper": 4.0}
    rows = [("age", pd.NA), ("sex: m", 1), ("sex: m:age", "1:-")]
    table = pd.DataFrame([row | ratios | {"parent": p, "level": x} for p, x in rows])
    expected = ["age, at sex: m 0", "sex: m 1 vs 0, at age 0", "sex: m 1 vs 0 × age"]
    assert row_names(plotting.coefficient_forest(table, spec=spec))[1:] == expected
    assert row_names(plotting.coefficient_forest(table))[1:] == expected
    alone = row_names(plotting.coefficient_forest(table.iloc[2:]))
    assert alone[1:] == ["sex: m:age [1:-]"]


def test_a_stored_table_gives_the_same_forest(tables: dict[str, Any], tmp_path: Path) -> None:
    table = tables["coefficient_forest"]
    table.to_csv(tmp_path / "summary.csv", index=False)
    stored = plotting.coefficient_forest(pd.read_csv(tmp_path / "summary.csv"))
    fresh = plotting.coefficient_forest(table)
    assert row_names(stored) == row_names(fresh)
    np.testing.assert_array_equal(points(stored, "estimate"), points(fresh, "estimate"))


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "0"),
        (3.2e-7, "3.2×10⁻⁷"),
        (0.00123, "0.0012"),
        (0.0949, "0.095"),
        (0.0951, "0.10"),
        (1.0, "1.00"),
        (99.61, "99.61"),
        (99.999, "100"),
        (112.4, "112"),
        (999.9, "1000"),
        (45678.0, "45700"),
        (2.346e8, "2.35×10⁸"),
    ],
)
def test_odds_ratios_are_printed_in_plain_digits(ratio: float, text: str) -> None:
    assert ratio_text(ratio) == text


def test_an_odds_ratio_per_ten_units_is_that_of_ten_times_the_coefficient(
    tables: dict[str, Any],
) -> None:
    table = tables["coefficient_forest"].query("node == 'mRS_3m'")
    ax = plotting.coefficient_forest(table, units=UNITS, per={"Age": 10})
    assert row_names(ax)[1] == "Age (per 10 years)"
    age = table.iloc[0]
    assert points(ax, "estimate")[0, 0] == pytest.approx(np.exp(10 * age["estimate"]))
    ends = points(ax, "interval")[:2, 0]
    np.testing.assert_allclose(ends, np.exp(10 * age[["lower", "upper"]].astype(float)))
    np.testing.assert_array_equal(points(ax, "estimate")[1:, 0], table["odds_ratio"][1:])
    with pytest.raises(td.DataError, match=r"'mRS_pre'.*continuous parents are 'Age', 'NIHSSa'"):
        plotting.coefficient_forest(table, per={"mRS_pre": 2})


def test_a_main_effect_beside_its_product_says_where_it_holds(product: td.CausalFlowDAG) -> None:
    names = row_names(plotting.coefficient_forest(product.summary("mRS_3m"), units=UNITS))
    assert "T 1 vs 0, at Age 0" in names
    assert "Age (years), at T 0" in names
    assert "T 1 vs 0 × Age" in names


def test_the_level_of_the_intervals_is_read_off_the_table(stroke: td.CausalFlowDAG) -> None:
    ax = plotting.coefficient_forest(stroke.summary("T", level=0.9))
    assert "90 % intervals" in ax.get_xlabel()


def notes(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts if isinstance(text, Annotation)]


def test_coefficients_without_an_error_are_drawn_open_and_explained(
    separated: td.CausalFlowDAG,
) -> None:
    table = separated.summary("y")
    assert list(table["status"]) == ["ok", "separated", "not estimable"]
    ax = plotting.coefficient_forest(table)
    fine, runs, held = by_id(ax, "estimate")
    assert fine.get_markerfacecolor() == "black"
    assert runs.get_markerfacecolor() == held.get_markerfacecolor() == "white"
    assert runs.get_marker() == ">"
    assert runs.get_xdata()[0] == ax.get_xlim()[1]
    assert held.get_xdata()[0] == 1.0
    assert notes(ax)[1:] == ["separated: runs to infinity, no interval", "not estimable"]
    # a separated estimate of exp(20) must not squeeze the others
    assert ax.get_xlim()[1] < 10


def test_an_undetermined_coefficient_is_named_and_not_drawn(separated: td.CausalFlowDAG) -> None:
    table = separated.summary("y")
    table.loc[1, "status"] = "undetermined"
    table.loc[1, ["estimate", "odds_ratio"]] = math.nan
    ax = plotting.coefficient_forest(table)
    assert len(by_id(ax, "estimate")) == 2
    assert notes(ax)[1] == "undetermined"


def test_a_one_sided_interval_ends_in_an_arrow(separated: td.CausalFlowDAG) -> None:
    table = separated.summary("y")
    lower, upper = separated.confidence_interval("y", "g=2", method="profile")
    assert math.isinf(upper)
    row = table.index[table["status"] == "separated"]
    table.loc[row, ["odds_ratio_lower", "odds_ratio_upper"]] = math.exp(lower), math.inf
    ax = plotting.coefficient_forest(table)
    (arrow,) = by_id(ax, "open end")
    assert (arrow.get_marker(), arrow.get_xdata()[0]) == (">", ax.get_xlim()[1])
    ends = points(ax, "interval")[2:, 0]
    assert ends == pytest.approx([math.exp(lower), ax.get_xlim()[1]])
    assert notes(ax)[1] == f"infinity ({math.exp(lower):.2f} to infinity), separated"


@pytest.mark.parametrize("name", ["stroke", "product", "varying", "separated"])
def test_no_text_of_a_forest_overlaps_another(name: str, request: pytest.FixtureRequest) -> None:
    flow = request.getfixturevalue(name)
    ax = plotting.coefficient_forest(flow.summary(), spec=flow.spec, units=UNITS)
    assert overlaps(visible_texts(ax)) == []
