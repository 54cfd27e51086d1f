"""Fit a model to a group of fresh data sets and keep the intervals."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from replication.coverage import replicate_intervals
from replication.job import read_optional, run_script, write_csv


def coverage(
    *,
    trial: str | Sequence[str],
    identity: Sequence[str],
    process: Mapping[str, Any],
    spec: Mapping[str, Mapping[str, Any]],
    effects: Sequence[Mapping[str, Any]],
    rows: int,
    level: float,
    replicates: Sequence[int],
    threads: int,
    intervals: str,
) -> None:
    """Write one row per replicate and coefficient, cutpoint or average effect."""
    torch.set_num_threads(threads)
    # a line per node of hundreds of fits says nothing; warnings still arrive
    logging.getLogger("tramdag.fitting").setLevel(logging.WARNING)
    table = replicate_intervals(
        process,
        spec=spec,
        effects=effects,
        population=read_optional(trial),
        replicates=replicates,
        rows=rows,
        level=level,
    )
    experiment, model = identity
    table.insert(0, "experiment", experiment)
    table.insert(1, "model", model)
    write_csv(intervals, table)


if __name__ == "__main__":
    run_script(coverage, snakemake)  # noqa: F821
