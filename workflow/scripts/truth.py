"""Ask a generator the questions of its experiment."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.job import read_optional, run_script, write_csv
from replication.reference import answer_truth, true_coefficients


def truth(
    *,
    experiment: str,
    trial: str | Sequence[str],
    process: Mapping[str, Any],
    questions: Mapping[str, Any],
    samples: int,
    fresh: int,
    coefficients: str,
    **outputs: str,
) -> None:
    """Write one table of answers per kind of question; ``outputs`` are their files by name."""
    tables = answer_truth(
        process,
        questions,
        samples=samples,
        fresh=fresh,
        trial=read_optional(trial),
    )
    for name, path in outputs.items():
        write_csv(path, tables[name].assign(experiment=experiment))
    write_csv(coefficients, true_coefficients(process).assign(experiment=experiment))


if __name__ == "__main__":
    run_script(truth, snakemake)  # noqa: F821
