"""Fit the outcome's node of a model to a group of fresh cohorts and average its effects."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from replication.job import read_csv, run_script, write_csv
from replication.monte_carlo import cohort_estimates
from replication.training import choose_device


def monte_carlo(
    *,
    trial: str,
    identity: Sequence[str],
    process: Mapping[str, Any],
    spec: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
    effects: Sequence[Mapping[str, Any]],
    cohorts: Sequence[int],
    rows: int,
    level: float,
    device: str,
    threads: int,
    gpu: int,
    estimates: str,
) -> None:
    """Write one row per cohort and effect."""
    torch.set_num_threads(threads)
    logging.getLogger("tramdag.fitting").setLevel(logging.WARNING)
    table = cohort_estimates(
        process,
        spec=spec,
        settings=settings,
        effects=effects,
        population=read_csv(trial),
        identity=identity,
        cohorts=cohorts,
        rows=rows,
        level=level,
        device=choose_device(device, gpu=gpu),
    )
    for position, name in enumerate(("experiment", "variant", "model")):
        table.insert(position, name, identity[position])
    write_csv(estimates, table)


if __name__ == "__main__":
    run_script(monte_carlo, snakemake)  # noqa: F821
