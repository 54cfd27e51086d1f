"""Draw the linear coefficients of exactly solved models with their intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.figures_fits import draw_forest
from replication.job import read_tables, run_script
from replication.style import save_figure


def forest(
    *,
    summaries: Sequence[str],
    titles: Mapping[str, str],
    specs: Mapping[str, Any],
    units: Mapping[str, str],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_forest(read_tables(summaries), titles=titles, specs=specs, units=units)
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(forest, snakemake)  # noqa: F821
