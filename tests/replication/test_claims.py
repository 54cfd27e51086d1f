"""Verdicts follow from numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from replication.claims import Claim, claims_about, judge, load_claims, scorecard
from replication.config import ConfigError
from replication.pages import scorecard_html, scorecard_markdown, scorecard_rst

CLAIMS = Path(__file__).parents[2] / "workflow" / "config" / "claims.yaml"


def claim(**changes: Any) -> Claim:
    fields: dict[str, Any] = {
        "id": "toy",
        "claim": "E[x | do(y)] is *one*",
        "source": "nowhere",
        "target": 1.0,
        "tolerance": 0.1,
        "reason": "why not",
        "relation": "equals",
        "table": "l2",
        "where": {"experiment": "toy", "model": "ls"},
        "column": "estimate",
        "statistic": "mean",
        "transform": "none",
        "interval": "spread",
        "note": "",
    }
    return Claim(**(fields | changes))


def tables(values: list[float], **columns: Any) -> dict[str, pd.DataFrame]:
    table = pd.DataFrame({"estimate": values, "seed": range(len(values)), **columns})
    fits = pd.DataFrame({"experiment": ["toy"], "model": ["ls"], "n": [500]})
    return {"l2": table.assign(experiment="toy", model="ls"), "fits": fits}


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([1.04, 1.14], "holds"),
        ([1.10, 1.50], "holds within error"),
        ([1.28, 1.32], "does not hold"),
        ([1.5], "does not hold"),
        ([], "not testable here"),
        ([np.nan], "not testable here"),
    ],
)
def test_a_verdict_follows_from_tolerance_and_spread(values: list[float], verdict: str) -> None:
    assert judge(claim(), tables(values)).verdict == verdict


def test_a_claim_about_two_models_is_about_their_difference_seed_by_seed() -> None:
    ours = pd.DataFrame({"seed": [0, 0, 1, 1, 2], "estimate": [1.0, 3.0, 2.0, 2.0, 9.0]})
    theirs = pd.DataFrame({"seed": [1, 0], "estimate": [2.5, 4.0]})
    table = pd.concat([ours.assign(model="ls"), theirs.assign(model="cnf")], ignore_index=True)
    found = judge(
        claim(against={"model": "cnf"}, relation="at most", target=0.0, tolerance=0.0),
        {"l2": table.assign(experiment="toy")},
    )
    # seed 0: 2 - 4, seed 1: 2 - 2.5; seed 2 has no counterpart
    assert found.estimate == pytest.approx(-1.25)
    assert found.spread == pytest.approx(1.5 / np.sqrt(2))
    assert (found.seeds, found.verdict) == (2, "holds")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.2, 0.3], "holds"),
        ([1.09], "holds"),
        ([0.9, 1.6], "holds within error"),
        ([1.49, 1.51], "does not hold"),
    ],
)
def test_an_upper_bound_is_only_missed_above(values: list[float], verdict: str) -> None:
    assert judge(claim(relation="at most"), tables(values)).verdict == verdict


def test_the_interval_of_an_expected_value_shrinks_with_the_seeds() -> None:
    values = list(np.linspace(0.8, 1.8, 25))
    wide = judge(claim(), tables(values))
    narrow = judge(claim(interval="mean"), tables(values))
    assert wide.verdict == "holds within error"
    assert narrow.verdict == "does not hold"
    assert (wide.high - wide.low) == pytest.approx(5 * (narrow.high - narrow.low))


def test_a_worst_case_has_no_interval() -> None:
    found = judge(claim(statistic="max"), tables([0.9, 1.3]))
    assert found.estimate == 1.3
    assert np.isnan(found.low)
    assert found.verdict == "does not hold"


def test_dependence_on_the_seed_is_the_range() -> None:
    assert judge(claim(statistic="range"), tables([0.3, 1.2, 0.7])).estimate == pytest.approx(0.9)


def test_the_root_mean_square_holds_bias_and_spread_together() -> None:
    found = judge(claim(statistic="rms"), tables([0.3, -1.2, 0.7]))
    assert found.estimate == pytest.approx(
        np.hypot(np.mean([0.3, -1.2, 0.7]), np.std([0.3, -1.2, 0.7]))
    )


def test_numbers_can_be_transformed_first() -> None:
    assert judge(claim(transform="exp"), tables([0.0])).estimate == 1.0
    assert judge(claim(transform="absolute"), tables([-1.0])).estimate == 1.0


def test_rows_are_chosen_by_value_by_list_and_by_absence() -> None:
    table = tables([1.0, 2.0, 4.0], level=[0.0, 1.0, np.nan])
    where = {"experiment": "toy"}
    assert judge(claim(where=where | {"level": 1}), table).estimate == 2.0
    assert judge(claim(where=where | {"level": [0, 1]}), table).estimate == 1.5
    assert judge(claim(where=where | {"level": None}), table).estimate == 4.0


def test_a_frozen_reference_is_named() -> None:
    found = judge(claim(), tables([1.0], reference=["R polr (frozen)"]))
    assert found.reference == "R polr (frozen)"


def test_an_unknown_column_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match="the table 'l2' has no column 'nodes'; columns are"):
        judge(claim(where={"nodes": "x"}), tables([1.0]))


def test_a_scorecard_shows_failures_as_failures() -> None:
    card = scorecard([claim(), claim(id="b", target=5.0)], tables([1.0]), run="test run")
    assert card["verdict"].tolist() == ["holds", "does not hold"]
    assert card["n"].tolist() == [500.0, 500.0]
    assert set(card["run"]) == {"test run"}


@pytest.mark.parametrize("render", [scorecard_html, scorecard_markdown, scorecard_rst])
def test_every_page_has_claims_verdicts_and_the_banner(render: Any) -> None:
    page = render(scorecard([claim()], tables([9.0]), run="r"), banner="SMOKE RUN: beware")
    for text in ("SMOKE RUN: beware", "does not hold", "1 claims: 0 holds"):
        assert text in page


PAGES = [scorecard_html, scorecard_markdown, scorecard_rst]


@pytest.mark.parametrize("render", PAGES)
def test_every_row_says_which_experiment_it_is_about(render: Any) -> None:
    claims = [claim(id=f"row-{name}", where={"experiment": name}) for name in ("vaca", "carefl")]
    page = render(scorecard(claims, tables([9.0]), run="r"))
    for text in ("experiment", "row-vaca", "row-carefl", "vaca", "carefl"):
        assert text in page
    if render is scorecard_markdown:
        rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines()]
        assert ["row-vaca", "vaca"] in [row[1:3] for row in rows]


def test_the_front_page_of_the_report_is_a_table_of_whole_rows() -> None:
    page = scorecard_rst(scorecard([claim(), claim(id="b")], tables([9.0]), run="r"))
    widths = next(line for line in page.splitlines() if ":widths:" in line).split()[1:]
    assert page.count("   * - ") == 3
    assert page.count("     - ") == 3 * (len(widths) - 1)


def test_claims_about_other_experiments_are_left_out() -> None:
    run = claim(id="run", where={})
    two = claim(id="two", where={"experiment": ["vaca", "carefl"]})
    one = claim(id="one", where={"experiment": "vaca"})
    found = {
        name: [found.id for found in claims_about([run, two, one], [name])]
        for name in ("vaca", "carefl", "mine")
    }
    assert found == {"vaca": ["run", "two", "one"], "carefl": ["run", "two"], "mine": ["run"]}


def test_the_full_replication_leaves_no_claim_out() -> None:
    file = CLAIMS.with_name("experiments.yaml")
    experiments = yaml.safe_load(file.read_text(encoding="utf-8"))["experiments"]
    claims = load_claims(CLAIMS)
    assert claims_about(claims, experiments) == claims


@pytest.mark.parametrize("render", PAGES)
def test_a_page_counts_the_claims_that_are_left_out(render: Any) -> None:
    card = scorecard([claim()], tables([9.0]), run="r")
    assert "not part of this run" not in render(card)
    assert "1 claim concerns experiments that are not part of this run." in render(
        card, elsewhere=1
    )
    assert "90 claims concern experiments that are not part" in render(card, elsewhere=90)


@pytest.mark.parametrize("render", PAGES)
def test_a_run_without_claims_has_a_page_without_a_table(render: Any) -> None:
    card = scorecard([], tables([1.0]), run="r")
    page = render(card, elsewhere=91)
    assert list(card.columns) == list(scorecard([claim()], tables([1.0]), run="r").columns)
    assert "No published claim is about an experiment of this run." in page
    assert "91 claims concern" in page
    for mark in ("list-table", "<table>", "| id", "Tolerances"):
        assert mark not in page


def test_bars_and_stars_in_a_claim_do_not_break_a_page() -> None:
    card = scorecard([claim()], tables([9.0]), run="r")
    assert r"E[x \| do(y)]" in scorecard_markdown(card)
    assert r"E[x \| do(y)] is \*one\*" in scorecard_rst(card)


def test_the_claims_of_the_project_are_valid_and_have_reasons() -> None:
    claims = load_claims(CLAIMS)
    assert len(claims) > 40
    for entry in claims:
        assert entry.reason, entry.id
        assert entry.source, entry.id


def test_a_misspelt_key_of_a_claim_is_refused(tmp_path: Path) -> None:
    text = CLAIMS.read_text(encoding="utf-8").replace("    tolerance:", "    tolerence:", 1)
    (tmp_path / "claims.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"'tolerence'.*Did you mean 'tolerance'"):
        load_claims(tmp_path / "claims.yaml")


def test_two_claims_with_one_id_are_refused(tmp_path: Path) -> None:
    text = CLAIMS.read_text(encoding="utf-8").replace("id: vaca-mean-0", "id: vaca-mean-minus-1")
    (tmp_path / "claims.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="'vaca-mean-minus-1' is used by two claims"):
        load_claims(tmp_path / "claims.yaml")
