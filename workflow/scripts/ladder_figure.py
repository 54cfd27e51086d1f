"""Draw average effect and held-out likelihood of each specification."""

from collections.abc import Mapping

from replication.figures_ladder import draw_ladder
from replication.job import read_csv, run_script
from replication.style import save_figure


def ladder_figure(
    *,
    rungs: str,
    base: str,
    titles: Mapping[str, str],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_ladder(read_csv(rungs), titles=titles, base=base)
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(ladder_figure, snakemake)  # noqa: F821
