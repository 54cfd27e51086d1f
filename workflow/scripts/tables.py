"""Collect the tables of all experiments, tidy for programs."""

from collections.abc import Sequence
from pathlib import Path

from replication.job import read_tables, run_script, write_csv
from replication.tables import LAYOUTS, TRUTH_COLUMNS, with_truth


def tables(
    *,
    truth: Sequence[str],
    true_coefficients: Sequence[str],
    tidy: Sequence[str],
    **inputs: Sequence[str],
) -> None:
    """Write every table as tidy CSV.

    Args:
        truth: Tables of the generators' average effects.
        true_coefficients: Tables of the generators' linear weights.
        tidy: CSV files to write, named as the tables.
        inputs: Parts of each table by its name.
    """
    collected = {
        name: read_tables(parts, columns=LAYOUTS[name].columns) for name, parts in inputs.items()
    }
    collected["truth"] = read_tables(truth, columns=TRUTH_COLUMNS)
    if true_coefficients:
        collected["coefficients"] = with_truth(
            collected["coefficients"], read_tables(true_coefficients)
        )
    for path in tidy:
        write_csv(path, collected[Path(path).stem])


if __name__ == "__main__":
    run_script(tables, snakemake)  # noqa: F821
