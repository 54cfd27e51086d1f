"""Draw predicted against observed frequencies of the outcomes."""

from collections.abc import Mapping, Sequence

from replication.figures_calibration import draw_calibration
from replication.job import read_tables, run_script
from replication.style import save_figure


def calibration(
    *,
    tables: Sequence[str],
    titles: Mapping[str, str],
    nodes: Sequence[str],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_calibration(read_tables(tables), titles=titles, nodes=nodes)
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(calibration, snakemake)  # noqa: F821
