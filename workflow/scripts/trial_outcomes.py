"""Draw predicted against observed outcomes of the trial."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.figures_trial import draw_trial_outcomes
from replication.job import read_tables, run_script
from replication.style import save_figure


def trial_outcomes(
    *,
    outcomes: Sequence[str],
    scores: Sequence[str],
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_trial_outcomes(
        read_tables(outcomes), read_tables(scores), titles=titles, effect=effect
    )
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(trial_outcomes, snakemake)  # noqa: F821
