"""Write coefficient tables and calibration of the fitted models of a group of seeds."""

from collections.abc import Sequence

import torch

from replication.diagnosis import diagnose_models
from replication.job import read_csv, run_script, write_csv


def diagnose(
    *,
    models: str,
    rows: str,
    by_seed: bool,
    identity: Sequence[str],
    seeds: Sequence[int],
    threads: int,
    summary: str,
    calibration: str,
) -> None:
    """Write the tables; calibration compares predictions with the given rows."""
    torch.set_num_threads(threads)
    tables = diagnose_models(
        models, identity=identity, seeds=seeds, rows=read_csv(rows), by_seed=by_seed
    )
    write_csv(summary, tables["summary"])
    write_csv(calibration, tables["calibration"])


if __name__ == "__main__":
    run_script(diagnose, snakemake)  # noqa: F821
