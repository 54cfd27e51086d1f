"""Cross-validate the likelihood of a model's outcome on the cohort."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from replication.folds import cross_validate as held_out_likelihood
from replication.job import read_csv, run_script, write_csv
from replication.training import choose_device


def cross_validate(
    *,
    train: str,
    identity: Sequence[str],
    spec: Mapping[str, Mapping[str, Any]],
    node: str,
    folds: int,
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    device: str,
    threads: int,
    gpu: int,
    held_out: str,
) -> None:
    """Write the negative log-likelihood of every row under the fit without its fold."""
    torch.set_num_threads(threads)
    table = held_out_likelihood(
        read_csv(train),
        identity=identity,
        spec=spec,
        node=node,
        folds=folds,
        seeds=seeds,
        settings=settings,
        device=choose_device(device, gpu=gpu),
    )
    write_csv(held_out, table)


if __name__ == "__main__":
    run_script(cross_validate, snakemake)  # noqa: F821
