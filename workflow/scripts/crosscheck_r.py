"""Fit classical nodes with R, or take the committed results where there is no R."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication import crosscheck
from replication.job import run_script


def crosscheck_r(
    *,
    observational: str,
    trial: str | Sequence[str],
    spec: Mapping[str, Mapping[str, Any]],
    effects: Sequence[Mapping[str, Any]],
    by_seed: bool,
    seeds: Sequence[int],
    frozen: str | None,
    installed: bool,
    output: str,
) -> None:
    """Write R's coefficients, standard errors, cutpoints, log-likelihoods and effects.

    Args:
        observational: CSV file of the training rows.
        trial: CSV file of the population of the effects, or nothing.
        spec: Plain form of the specification.
        effects: Average effects to compute.
        by_seed: Whether the training rows of each seed stand in one file.
        seeds: Seeds to fit.
        frozen: Folder of committed results, or None.
        installed: Whether R was found when the jobs were planned; a change reruns the job.
        output: CSV file to write.
    """
    crosscheck.crosscheck_r(
        observational=observational,
        trial=trial if isinstance(trial, str) else None,
        spec=spec,
        effects=effects,
        by_seed=by_seed,
        seeds=seeds,
        frozen=frozen,
        output=output,
    )


if __name__ == "__main__":
    run_script(crosscheck_r, snakemake)  # noqa: F821
