"""Draw the course of training."""

from collections.abc import Mapping, Sequence

from replication.figures_history import draw_history
from replication.job import read_tables, run_script
from replication.style import save_figure


def history(*, history: Sequence[str], titles: Mapping[str, str], png: str, pdf: str) -> None:
    """Write the figure in both formats."""
    save_figure(draw_history(read_tables(history), titles=titles), png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(history, snakemake)  # noqa: F821
