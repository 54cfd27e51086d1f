"""Verdicts follow from numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from replication.claims import Claim, judge, load_claims, scorecard
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
