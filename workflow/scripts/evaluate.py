"""Measure how far the fitted models of a group of seeds are from their generator."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from replication.comparison import compare_models
from replication.job import read_csv, run_script, write_csv


def evaluate(
    *,
    models: str,
    estimated_interventions: str,
    estimated_shifts: str,
    estimated_effects: str,
    estimated_curves: str,
    true_interventions: str,
    true_effects: str,
    true_curves: str,
    identity: Sequence[str],
    seeds: Sequence[int],
    process: Mapping[str, Any],
    questions: Mapping[str, Any],
    counterfactuals: Mapping[str, Any],
    sizes: Mapping[str, int],
    threads: int,
    **outputs: str,
) -> None:
    """Write the distances on the three rungs: laws, interventions, counterfactuals.

    ``outputs`` are the files by name; two of them score the laws of ordinal counterfactuals.
    """
    torch.set_num_threads(threads)
    tables = compare_models(
        models,
        identity=identity,
        seeds=seeds,
        process=process,
        questions=questions,
        counterfactuals=counterfactuals,
        sizes=sizes,
        estimated={
            "interventions": read_csv(estimated_interventions),
            "shifts": read_csv(estimated_shifts),
            "effects": read_csv(estimated_effects),
            "curves": read_csv(estimated_curves),
        },
        true={
            "interventions": read_csv(true_interventions),
            "effects": read_csv(true_effects),
            "curves": read_csv(true_curves),
        },
    )
    for name, path in outputs.items():
        write_csv(path, tables[name])


if __name__ == "__main__":
    run_script(evaluate, snakemake)  # noqa: F821
