"""Collect the tables of all experiments, tidy for programs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from replication.chapter_tables import side_by_side
from replication.job import read_tables, run_script, write_csv
from replication.odds_ratios import odds_ratio_table
from replication.tables import COHORT_COLUMNS, LAYOUTS, TRUTH_COLUMNS, with_truth


def tables(
    *,
    truth: Sequence[str],
    true_coefficients: Sequence[str],
    odds_ratios: Mapping[str, Sequence[Mapping[str, Any]]],
    tidy: Sequence[str],
    **inputs: Sequence[str],
) -> None:
    """Write every table as tidy CSV.

    Args:
        truth: Tables of the generators' average effects.
        true_coefficients: Tables of the generators' linear weights.
        odds_ratios: The odds ratios that each experiment asks for.
        tidy: CSV files to write, named as the tables.
        inputs: Parts of each table by its name.
    """
    collected = {
        name: read_tables(
            parts, columns=COHORT_COLUMNS if name == "cohorts" else LAYOUTS[name].columns
        )
        for name, parts in inputs.items()
    }
    collected["programs"] = side_by_side(collected["crosscheck"])
    collected["truth"] = read_tables(truth, columns=TRUTH_COLUMNS)
    if true_coefficients:
        collected["coefficients"] = with_truth(
            collected["coefficients"], read_tables(true_coefficients)
        )
    collected["odds_ratios"] = odds_ratio_table(
        collected["coefficients"], collected["effects"], collected["truth"], questions=odds_ratios
    )
    for path in tidy:
        write_csv(path, collected[Path(path).stem])


if __name__ == "__main__":
    run_script(tables, snakemake)  # noqa: F821
