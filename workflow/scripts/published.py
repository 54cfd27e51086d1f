"""Set our numbers beside the published ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.job import read_csv, read_optional, read_tables, run_script, write_csv
from replication.published import published_rows


def published(
    *,
    effects: Sequence[str],
    compared: Sequence[str],
    train: str | Sequence[str],
    true: str | Sequence[str],
    experiment: str,
    effect: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    table: str,
) -> None:
    """Write one row per published number.

    Args:
        effects: Average effects of the models, one table per group of seeds.
        compared: Cross-checks with other programs.
        train: The cohort, or nothing.
        true: The generator's average effects, or nothing.
        experiment: Name of the experiment.
        effect: The effect that the numbers are about.
        entries: The published numbers.
        table: CSV file to write.
    """
    rows = published_rows(
        entries,
        effect=effect,
        effects=read_tables(effects),
        true=read_optional(true),
        compared=read_tables(compared),
        cohort=read_csv(train) if isinstance(train, str) else None,
    )
    write_csv(table, rows.assign(experiment=experiment)[["experiment", *rows.columns]])


if __name__ == "__main__":
    run_script(published, snakemake)  # noqa: F821
