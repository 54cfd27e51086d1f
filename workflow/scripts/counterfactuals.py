"""Draw what one observation would have been."""

from collections.abc import Mapping, Sequence

from replication.figures_curves import draw_counterfactuals
from replication.job import read_optional, read_tables, run_script
from replication.style import save_figure


def counterfactuals(
    *,
    estimated: Sequence[str],
    true: str | Sequence[str],
    titles: Mapping[str, str],
    units: Mapping[str, str],
    observed: Sequence[Mapping[str, float]],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_counterfactuals(
        read_tables(estimated),
        read_optional(true),
        titles=titles,
        units=units,
        observed=observed,
    )
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(counterfactuals, snakemake)  # noqa: F821
