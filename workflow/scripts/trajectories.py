"""Draw linear coefficients against epochs."""

from collections.abc import Mapping, Sequence

from replication.figures_training import draw_trajectories
from replication.job import read_optional, read_tables, run_script
from replication.style import save_figure


def trajectories(
    *,
    trajectories: Sequence[str],
    coefficients: Sequence[str],
    true: str | Sequence[str],
    titles: Mapping[str, str],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_trajectories(
        read_tables(trajectories),
        read_tables(coefficients),
        read_optional(true),
        titles=titles,
    )
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(trajectories, snakemake)  # noqa: F821
