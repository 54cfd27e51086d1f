"""Summaries over seeds and their pages."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from replication.chapter_tables import side_by_side
from replication.tables import LAYOUTS, Layout, over_seeds, to_html, to_markdown, with_truth

LAYOUT = Layout("T", "n", keys=("node",), value="nll", others={"n": "first", "ok": "all"})


def runs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "experiment": "e",
            "model": "m",
            "seed": [0, 1, 2, 0],
            "node": ["a", "a", "a", "b"],
            "nll": [1.0, 2.0, 6.0, 4.0],
            "n": 10,
            "ok": [True, True, False, True],
        }
    )


def test_spread_over_seeds_is_the_sample_standard_deviation() -> None:
    table = over_seeds(runs(), LAYOUT).set_index("node")
    assert table.loc["a", ["mean", "min", "max", "seeds", "n"]].tolist() == [3.0, 1.0, 6.0, 3, 10]
    assert table["sd"]["a"] == np.std([1.0, 2.0, 6.0], ddof=1)
    assert table["ok"].tolist() == [False, True]


def test_one_seed_has_no_spread() -> None:
    assert np.isnan(over_seeds(runs(), LAYOUT).set_index("node")["sd"]["b"])


def test_rows_with_a_missing_key_are_kept() -> None:
    table = runs().assign(node=["a", None, None, "b"])
    assert len(over_seeds(table, LAYOUT)) == 3


def test_infinite_estimates_are_counted_and_not_averaged() -> None:
    layout = LAYOUTS["coefficients"]
    row = {"experiment": "e", "model": "m", "node": "y", "parameter": "shift", "parent": "pre"}
    seeds = pd.DataFrame({"seed": [0, 1, 2], "level": 5, "estimate": [2.0, 27.85, 3.0]})
    table = seeds.assign(**row, status=["ok", "separated", "ok"], lower=1.0, upper=4.0)
    found = over_seeds(table.assign(truth=2.25, std_error=[0.5, np.nan, 0.7]), layout).iloc[0]
    assert found[["mean", "min", "max", "seeds", "separated"]].tolist() == [2.5, 2.0, 3.0, 3, 1]
    assert found["std_error"] == pytest.approx(0.6)
    assert found["status"] == "ok; separated"
    assert np.isnan(found["lower"])
    single = over_seeds(table.head(1).assign(truth=2.25, std_error=0.5), layout).iloc[0]
    assert single[["lower", "upper"]].tolist() == [1.0, 4.0]


def test_programs_stand_side_by_side_with_their_standard_errors() -> None:
    key = {"experiment": "e", "model": "ls", "seed": 0, "parent": "age", "level": np.nan}
    rows = [
        ("y", "R polr", "coefficient", 1.0, 1.5, -0.5),
        ("y", "R polr", "std_error", 0.1, 0.2, -0.1),
        ("x", "scipy", "coefficient", 3.0, 3.0, 0.0),
        ("y", "statsmodels", "coefficient", 1.0, 1.2, -0.2),
        ("x", "R polr semiparametric", "coefficient", 3.0, 7.0, -4.0),
        ("x", "scipy", "theta", 3.0, 7.0, -4.0),
    ]
    columns = ["node", "reference", "quantity", "estimate", "value", "difference"]
    table = side_by_side(pd.DataFrame(rows, columns=columns).assign(**key)).set_index("node")
    assert table.index.to_list() == ["y", "x"]
    shown = ["ours", "ours_se", "R", "R_se", "statsmodels", "largest_distance"]
    assert table.loc["y", shown].to_list() == [1.0, 0.1, 1.5, 0.2, 1.2, 0.5]
    assert table.loc["x", ["R", "scipy", "largest_distance"]].to_list() == [7.0, 3.0, 0.0]
    nothing = side_by_side(pd.DataFrame())
    assert nothing.empty
    assert set(nothing.columns) == {*table.columns, "node"}


def test_the_crosscheck_says_whose_numbers_and_which_differences() -> None:
    layout = LAYOUTS["crosscheck"]
    table = pd.DataFrame([dict.fromkeys(layout.columns, 0.5)])
    found = over_seeds(table.assign(seed=0, estimate=2.0, value=1.5), layout).iloc[0]
    assert found[["mean difference", "ours", "theirs"]].tolist() == [0.5, 2.0, 1.5]


def test_a_table_without_rows_has_a_summary_without_rows() -> None:
    for layout in LAYOUTS.values():
        assert over_seeds(pd.DataFrame(columns=layout.columns), layout).empty


def test_the_truth_of_an_ordinal_parent_counts_per_level() -> None:
    coefficients = pd.DataFrame(
        {
            "experiment": "e",
            "node": "y",
            "parameter": ["shift", "shift", "shift", "cutpoint"],
            "parent": ["age", "pre", "pre", None],
            "level": [np.nan, 1, 2, 0],
        }
    )
    truth = pd.DataFrame(
        {
            "experiment": "e",
            "node": "y",
            "parameter": ["shift", "shift", "cutpoint", "cutpoint"],
            "parent": ["age", "pre", None, None],
            "level": [np.nan, np.nan, 0, 1],
            "truth": [0.5, 0.45, -2.0, 3.0],
        }
    )
    assert with_truth(coefficients, truth)["truth"].tolist() == [0.5, 0.45, 0.9, -2.0]


def test_a_coefficient_without_a_truth_is_kept() -> None:
    coefficients = pd.DataFrame(
        {"experiment": "e", "node": "y", "parameter": "shift", "parent": ["a"], "level": [np.nan]}
    )
    truth = pd.DataFrame(columns=["experiment", "node", "parameter", "parent", "level", "truth"])
    assert with_truth(coefficients, truth)["truth"].isna().tolist() == [True]


def test_markdown_has_the_title_the_banner_and_every_row() -> None:
    page = to_markdown(over_seeds(runs(), LAYOUT), title="Fits", note="a note", banner="SMOKE")
    assert page.startswith("# Fits\n\n**SMOKE**\n\na note\n\n| experiment")
    assert page.count("\n| e ") == 2


def test_a_bar_in_a_cell_does_not_split_it() -> None:
    page = to_markdown(pd.DataFrame({"claim": ["E[x | do(y)]"]}), title="t", note="n")
    assert r"E[x \| do(y)]" in page


def test_html_is_escaped() -> None:
    page = to_html(pd.DataFrame({"query": ["mRS <= 2"]}), title="a & b", note="n")
    assert "mRS &lt;= 2" in page
    assert "<title>a &amp; b</title>" in page


def test_models_without_coefficients_leave_an_empty_table() -> None:
    columns = ["experiment", "model", "seed", "node", "parameter", "parent", "level", "estimate"]
    truth = pd.DataFrame(columns=["node", "parameter", "parent", "level", "truth", "experiment"])
    table = with_truth(pd.DataFrame(columns=columns), truth)
    assert table.empty
    assert set(table.columns) == {*columns, "truth"}


def test_a_table_without_rows_says_so() -> None:
    empty = pd.DataFrame(columns=["experiment", "model"])
    for page in (to_markdown(empty, title="L1", note="n"), to_html(empty, title="L1", note="n")):
        assert "No experiment of this run has anything to show here." in page
        assert "model" not in page
