"""Ask the fitted models of a group of seeds the questions of their experiment."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from replication.evaluation import answer_models
from replication.job import read_csv, read_optional, run_script, write_csv


def estimate(
    *,
    models: str,
    train: str,
    by_seed: bool,
    trial: str | Sequence[str],
    identity: Sequence[str],
    seeds: Sequence[int],
    questions: Mapping[str, Any],
    samples: int,
    threads: int,
    **outputs: str,
) -> None:
    """Write one table of answers per kind of question; ``outputs`` are their files by name."""
    torch.set_num_threads(threads)
    tables = answer_models(
        models,
        identity=identity,
        seeds=seeds,
        questions=questions,
        samples=samples,
        train=read_csv(train),
        by_seed=by_seed,
        trial=read_optional(trial),
    )
    for name, path in outputs.items():
        write_csv(path, tables[name])


if __name__ == "__main__":
    run_script(estimate, snakemake)  # noqa: F821
