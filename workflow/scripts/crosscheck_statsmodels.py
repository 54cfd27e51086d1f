"""Fit classical nodes with statsmodels and scipy."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication import crosscheck
from replication.job import run_script


def crosscheck_statsmodels(
    *,
    observational: str,
    trial: str | Sequence[str],
    spec: Mapping[str, Mapping[str, Any]],
    effects: Sequence[Mapping[str, Any]],
    by_seed: bool,
    seeds: Sequence[int],
    output: str,
) -> None:
    """Write the coefficients, standard errors, cutpoints, log-likelihoods and effects."""
    crosscheck.crosscheck_statsmodels(
        observational=observational,
        trial=trial if isinstance(trial, str) else None,
        spec=spec,
        effects=effects,
        by_seed=by_seed,
        seeds=seeds,
        output=output,
    )


if __name__ == "__main__":
    run_script(crosscheck_statsmodels, snakemake)  # noqa: F821
