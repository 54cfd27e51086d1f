"""Judge the published claims about the experiments of this run by its numbers."""

from collections.abc import Sequence
from pathlib import Path

from replication.claims import claims_about, load_claims
from replication.job import read_csv, run_script, staged, write_csv
from replication.pages import scorecard_html, scorecard_markdown, scorecard_rst
from replication.verdicts import scorecard as judge_claims


def scorecard(
    *,
    claims: Sequence[str],
    tidy: Sequence[str],
    experiments: Sequence[str],
    run: str,
    banner: str,
    csv: str,
    markdown: str,
    rst: str,
    html: str,
) -> None:
    """Write the scorecard in four forms; the reStructuredText is the front page of the report.

    It has the claims about the experiments of the run, and counts the others.
    """
    tables = {Path(path).stem: read_csv(path) for path in tidy}
    published = load_claims(claims)
    judged = claims_about(published, experiments)
    card = judge_claims(judged, tables, run=run)
    elsewhere = len(published) - len(judged)
    write_csv(csv, card)
    for path, render in (
        (markdown, scorecard_markdown),
        (rst, scorecard_rst),
        (html, scorecard_html),
    ):
        with staged(path) as temporary:
            temporary.write_text(render(card, banner=banner, elsewhere=elsewhere), encoding="utf-8")


if __name__ == "__main__":
    run_script(scorecard, snakemake)  # noqa: F821
