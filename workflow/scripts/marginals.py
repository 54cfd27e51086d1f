"""Draw the marginal laws of every node."""

from collections.abc import Mapping, Sequence

from replication.figures import draw_marginals
from replication.job import read_optional, read_tables, run_script
from replication.style import save_figure


def marginals(
    *,
    estimated: Sequence[str],
    true: str | Sequence[str],
    titles: Mapping[str, str],
    units: Mapping[str, str],
    levels: Mapping[str, int],
    observed: str | Sequence[str],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_marginals(
        read_tables(estimated),
        read_optional(true),
        titles=titles,
        units=units,
        levels=levels,
        observed=read_optional(observed),
    )
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(marginals, snakemake)  # noqa: F821
