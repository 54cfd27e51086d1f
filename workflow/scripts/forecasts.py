"""Draw predicted probabilities of ordinal counterfactuals against what came true."""

from collections.abc import Mapping, Sequence

from replication.figures_forecasts import draw_forecasts
from replication.job import read_tables, run_script
from replication.style import save_figure


def forecasts(
    *,
    calibration: Sequence[str],
    titles: Mapping[str, str],
    at_most: Mapping[str, int],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_forecasts(read_tables(calibration), titles=titles, at_most=at_most)
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(forecasts, snakemake)  # noqa: F821
