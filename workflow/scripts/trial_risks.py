"""Draw the calibration of the risk of a good outcome in the trial."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.figures_trial import draw_trial_risks
from replication.job import read_tables, run_script
from replication.style import save_figure


def trial_risks(
    *,
    risks: Sequence[str],
    scores: Sequence[str],
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_trial_risks(read_tables(risks), read_tables(scores), titles=titles, effect=effect)
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(trial_risks, snakemake)  # noqa: F821
