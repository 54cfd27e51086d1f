"""Hold the models of a group of seeds against the outcomes of the trial."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from replication.job import read_csv, run_script, write_csv
from replication.reference import make_generator
from replication.validation import validate_models


def validate(
    *,
    models: str,
    trial: str,
    identity: Sequence[str],
    seeds: Sequence[int],
    effects: Sequence[Mapping[str, Any]],
    process: Mapping[str, Any] | None,
    threads: int,
    **outputs: str,
) -> None:
    """Write predictions beside what the trial observed; ``outputs`` are files by table."""
    torch.set_num_threads(threads)
    tables = validate_models(
        models,
        identity=identity,
        seeds=seeds,
        trial=read_csv(trial),
        effects=effects,
        generator=make_generator(process) if process else None,
    )
    for name, path in outputs.items():
        write_csv(path, tables[name])


if __name__ == "__main__":
    run_script(validate, snakemake)  # noqa: F821
