"""The front page of the report, rendered as Snakemake renders it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from docutils.core import publish_parts
from jinja2 import Environment

from replication.pages import scorecard_rst

PAGE = Path(__file__).parents[2] / "workflow" / "report" / "workflow.rst"

CLAIM = {
    **{"id": "a-claim", "experiment": "vaca", "claim": "the text of a claim", "target": "1"},
    **{"estimate": 1.0, "low": 0.5, "high": 1.5, "n": 10, "seeds": 2, "verdict": "holds"},
}
EXPERIMENTS = {
    "vaca": {"title": "VACA", "source": "Sick and Duerr (2025), section 5"},
    "own": {"title": "*My* `cohort_1` | 100 %", "source": ""},
}


def page(folder: Path, card: pd.DataFrame, **config: Any) -> str:
    """The page as HTML; a warning of docutils is an error."""
    (folder / "scorecard.rst").write_text(scorecard_rst(card, elsewhere=3), encoding="utf-8")
    settings = {"pathvars": {"results": str(folder)}, "experiments": EXPERIMENTS} | config
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(PAGE.read_text(encoding="utf-8"))
    text = template.render(snakemake=SimpleNamespace(config=settings))
    parts = publish_parts(text, writer="html", settings_overrides={"halt_level": 2})
    return str(parts["html_body"])


@pytest.mark.parametrize("only", [[], ["vaca"], ["vaca", "own"]])
def test_the_front_page_holds_the_scorecard(tmp_path: Path, only: list[str]) -> None:
    html = page(tmp_path, pd.DataFrame([CLAIM]), only=only, run={"name": "a run"})
    assert "the text of a claim" in html
    assert "3 claims concern" in html
    assert html.count("<table") == 1
    assert ("the replication" in html) is not only
    assert html.count("<li>") == len(only)


def test_the_front_page_of_a_cohort_of_ones_own_says_that_no_claim_is_about_it(
    tmp_path: Path,
) -> None:
    card = pd.DataFrame(columns=list(CLAIM))
    html = page(tmp_path, card, only=["own"], run={"name": "*My* `cohort_1` | 100 %"})
    assert "<li>*My* `cohort_1` | 100 %</li>" in html
    assert "<p>Figures, tables and the scorecard" in html
    assert "<p>No published claim is about" in html
