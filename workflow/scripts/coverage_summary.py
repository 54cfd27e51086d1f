"""Hold the intervals of all replicates against the truth."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.coverage_summary import add_truth, summarise_coverage
from replication.job import read_optional, read_tables, run_script, write_csv


def coverage_summary(
    *,
    intervals: Sequence[str],
    trial: str | Sequence[str],
    identity: Sequence[str],
    process: Mapping[str, Any],
    spec: Mapping[str, Mapping[str, Any]],
    effects: Sequence[Mapping[str, Any]],
    rows: int,
    level: float,
    replicates: str,
    summary: str,
) -> None:
    """Write the intervals with the truth, and their coverage by coefficient or effect."""
    table = add_truth(
        read_tables(intervals),
        process,
        spec=spec,
        effects=effects,
        population=read_optional(trial),
    )
    write_csv(replicates, table)
    found = summarise_coverage(table, level=level)
    experiment, model = identity
    found.insert(0, "experiment", experiment)
    found.insert(1, "model", model)
    write_csv(summary, found.assign(n=rows))


if __name__ == "__main__":
    run_script(coverage_summary, snakemake)  # noqa: F821
