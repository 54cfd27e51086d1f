"""Compare the frozen data with what their generators make today."""

from collections.abc import Sequence
from pathlib import Path

from replication.job import run_script, write_json
from simulations.freeze import verify


def verify_data(*, sums: str, frozen: Sequence[str], flag: str) -> None:
    """Write a flag with one line per frozen file if every file agrees with its generator.

    Args:
        sums: The file of checksums, in the folder of the frozen data.
        frozen: The frozen files; named so that a change of one reruns the check.
        flag: JSON file that other jobs wait for.

    Raises:
        ValueError: A file is missing or differs; the message names file and row.
    """
    reports = list(verify(Path(sums).parent))
    broken = [f"{report.file}: {report.detail}" for report in reports if not report.ok]
    if broken:
        raise ValueError(
            "frozen data differ from their generators:\n  "
            + "\n  ".join(broken)
            + "\nRestore the files; `python -m simulations verify` repeats this check."
        )
    write_json(flag, {report.file: report.detail for report in reports})


if __name__ == "__main__":
    run_script(verify_data, snakemake)  # noqa: F821
