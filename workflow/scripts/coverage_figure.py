"""Draw the coverage of every coefficient and average effect."""

from replication.figures_coverage import draw_coverage
from replication.job import read_csv, run_script
from replication.style import save_figure


def coverage_figure(*, summary: str, level: float, png: str, pdf: str) -> None:
    """Write the figure in both formats."""
    save_figure(draw_coverage(read_csv(summary), level=level), png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(coverage_figure, snakemake)  # noqa: F821
