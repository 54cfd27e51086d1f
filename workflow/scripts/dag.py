"""Draw the graph of every model with terms and odds ratios on its edges."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.figures_fits import draw_dag
from replication.job import read_tables, run_script
from replication.style import save_figure


def dag(
    *,
    summaries: Sequence[str],
    titles: Mapping[str, str],
    specs: Mapping[str, Any],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_dag(read_tables(summaries), titles=titles, specs=specs)
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(dag, snakemake)  # noqa: F821
