"""Draw how the average effects of all models lie around the truth."""

from collections.abc import Mapping
from typing import Any

from replication.figures_monte_carlo import draw_monte_carlo
from replication.job import read_csv, run_script
from replication.style import save_figure


def monte_carlo_figure(
    *,
    cohorts: str,
    summary: str,
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
    png: str,
    pdf: str,
) -> None:
    """Write the figure of an effect in both formats."""
    figure = draw_monte_carlo(read_csv(cohorts), read_csv(summary), titles=titles, effect=effect)
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(monte_carlo_figure, snakemake)  # noqa: F821
