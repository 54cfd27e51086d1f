"""Draw fitted shifts against the true ones."""

from collections.abc import Mapping, Sequence

from replication.figures_curves import draw_shift_curves
from replication.job import read_optional, read_tables, run_script
from replication.style import save_figure


def shift_curves(
    *,
    estimated: Sequence[str],
    true: str | Sequence[str],
    titles: Mapping[str, str],
    units: Mapping[str, str],
    ordinal: Sequence[str],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_shift_curves(
        read_tables(estimated),
        read_optional(true),
        titles=titles,
        units=units,
        ordinal=ordinal,
    )
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(shift_curves, snakemake)  # noqa: F821
