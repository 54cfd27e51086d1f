"""Draw the odds ratios of raising a parent by one step."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.figures_odds_ratio import draw_odds_ratio
from replication.job import read_optional, read_tables, run_script
from replication.odds_ratios import odds_ratio_table
from replication.style import save_figure
from replication.tables import with_truth


def odds_ratio(
    *,
    coefficients: Sequence[str],
    estimated: Sequence[str],
    true_coefficients: str | Sequence[str],
    true: str | Sequence[str],
    experiment: str,
    questions: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    weights, known = read_tables(coefficients), read_optional(true_coefficients)
    table = odds_ratio_table(
        weights if known is None else with_truth(weights, known),
        read_tables(estimated),
        read_optional(true),
        questions={experiment: questions},
    )
    save_figure(draw_odds_ratio(table, titles=titles, questions=questions), png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(odds_ratio, snakemake)  # noqa: F821
