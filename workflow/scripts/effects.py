"""Draw risks in both arms and the average effect."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.figures_effects import draw_effects
from replication.job import read_optional, read_tables, run_script
from replication.style import save_figure


def effects(
    *,
    estimated: Sequence[str],
    true: str | Sequence[str],
    titles: Mapping[str, str],
    effect: Mapping[str, Any],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_effects(read_tables(estimated), read_optional(true), titles=titles, effect=effect)
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(effects, snakemake)  # noqa: F821
