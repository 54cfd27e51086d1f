"""Draw training rows from a generator, one block per seed."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.job import run_script, write_csv
from replication.reference import training_rows


def simulate(*, process: Mapping[str, Any], n: int, seeds: Sequence[int], rows: str) -> None:
    """Write the training rows of several seeds, told apart by the column ``seed``."""
    write_csv(rows, training_rows(process, n=n, seeds=seeds))


if __name__ == "__main__":
    run_script(simulate, snakemake)  # noqa: F821
