"""Draw the graph of a model with its conditional laws and shifts."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.figures_mechanisms import draw_mechanisms
from replication.job import read_csv, read_tables, run_script
from replication.style import save_figure


def mechanisms(
    *,
    conditionals: Sequence[str],
    shifts: Sequence[str],
    summaries: Sequence[str],
    true_conditionals: str | Sequence[str],
    true_shifts: str | Sequence[str],
    spec: Mapping[str, Any],
    titles: Mapping[str, str],
    units: Mapping[str, str],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    truth = {"conditionals": true_conditionals, "shifts": true_shifts}
    figure = draw_mechanisms(
        read_tables(conditionals),
        read_tables(shifts),
        read_tables(summaries),
        {name: read_csv(path) for name, path in truth.items() if isinstance(path, str)},
        spec=spec,
        titles=titles,
        units=units,
    )
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(mechanisms, snakemake)  # noqa: F821
