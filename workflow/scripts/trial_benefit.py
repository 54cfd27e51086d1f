"""Draw each patient's probability of benefit with its bounds."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.figures_patients import draw_trial_benefit
from replication.job import read_tables, run_script
from replication.style import save_figure


def trial_benefit(
    *,
    patients: Sequence[str],
    scores: Sequence[str],
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_trial_benefit(
        read_tables(patients), read_tables(scores), titles=titles, effect=effect
    )
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(trial_benefit, snakemake)  # noqa: F821
