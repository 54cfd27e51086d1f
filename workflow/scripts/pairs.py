"""Draw the joint laws of the truth and of each model as scatter matrices."""

from collections.abc import Mapping, Sequence

from replication.figures_pairs import draw_pairs
from replication.job import read_csv, read_tables, run_script
from replication.style import save_figure


def pairs(
    *,
    draws: Sequence[str],
    true_draws: str,
    densities: Sequence[str],
    true_densities: str,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_pairs(
        read_tables(draws),
        read_csv(true_draws),
        read_tables(densities),
        read_csv(true_densities),
        titles=titles,
        units=units,
    )
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(pairs, snakemake)  # noqa: F821
