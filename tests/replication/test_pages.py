"""Pages of the scorecard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from replication.claims import Claim
from replication.pages import scorecard_html, scorecard_markdown, scorecard_rst
from replication.verdicts import scorecard

MakeClaim = Callable[..., Claim]
MakeTables = Callable[..., dict[str, pd.DataFrame]]

PAGES = [scorecard_html, scorecard_markdown, scorecard_rst]


@pytest.mark.parametrize("render", PAGES)
def test_every_page_has_claims_verdicts_and_the_banner(
    claim: MakeClaim, tables: MakeTables, render: Any
) -> None:
    page = render(scorecard([claim()], tables([9.0]), run="r"), banner="SMOKE RUN: beware")
    for text in ("SMOKE RUN: beware", "does not hold", "1 claims: 0 holds"):
        assert text in page


@pytest.mark.parametrize("render", PAGES)
def test_every_row_says_which_experiment_it_is_about(
    claim: MakeClaim, tables: MakeTables, render: Any
) -> None:
    claims = [claim(id=f"row-{name}", where={"experiment": name}) for name in ("vaca", "carefl")]
    page = render(scorecard(claims, tables([9.0]), run="r"))
    for text in ("experiment", "row-vaca", "row-carefl", "vaca", "carefl"):
        assert text in page
    if render is scorecard_markdown:
        rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines()]
        assert ["row-vaca", "vaca"] in [row[1:3] for row in rows]


def test_the_front_page_of_the_report_is_a_table_of_whole_rows(
    claim: MakeClaim, tables: MakeTables
) -> None:
    page = scorecard_rst(scorecard([claim(), claim(id="b")], tables([9.0]), run="r"))
    widths = next(line for line in page.splitlines() if ":widths:" in line).split()[1:]
    assert page.count("   * - ") == 3
    assert page.count("     - ") == 3 * (len(widths) - 1)


@pytest.mark.parametrize("render", PAGES)
def test_a_page_counts_the_claims_that_are_left_out(
    claim: MakeClaim, tables: MakeTables, render: Any
) -> None:
    card = scorecard([claim()], tables([9.0]), run="r")
    assert "not part of this run" not in render(card)
    assert "1 claim concerns experiments that are not part of this run." in render(
        card, elsewhere=1
    )
    assert "90 claims concern experiments that are not part" in render(card, elsewhere=90)


@pytest.mark.parametrize("render", PAGES)
def test_a_run_without_claims_has_a_page_without_a_table(
    claim: MakeClaim, tables: MakeTables, render: Any
) -> None:
    card = scorecard([], tables([1.0]), run="r")
    page = render(card, elsewhere=91)
    assert list(card.columns) == list(scorecard([claim()], tables([1.0]), run="r").columns)
    assert "No published claim is about an experiment of this run." in page
    assert "91 claims concern" in page
    for mark in ("list-table", "<table>", "| id", "Tolerances"):
        assert mark not in page


def test_bars_and_stars_in_a_claim_do_not_break_a_page(
    claim: MakeClaim, tables: MakeTables
) -> None:
    card = scorecard([claim()], tables([9.0]), run="r")
    assert r"E[x \| do(y)]" in scorecard_markdown(card)
    assert r"E[x \| do(y)] is \*one\*" in scorecard_rst(card)
