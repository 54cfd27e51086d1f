"""Draw individual effects in the trial, and how they rank its patients."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.figures_patients import draw_trial_effects
from replication.job import read_tables, run_script
from replication.style import save_figure


def trial_effects(
    *,
    patients: Sequence[str],
    ranking: Sequence[str],
    scores: Sequence[str],
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_trial_effects(
        read_tables(patients),
        read_tables(ranking),
        read_tables(scores),
        titles=titles,
        effect=effect,
    )
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(trial_effects, snakemake)  # noqa: F821
