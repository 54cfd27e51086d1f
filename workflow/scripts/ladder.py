"""Compare the specifications of an outcome."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from replication.evaluation import load_model
from replication.job import read_csv, read_optional, read_tables, run_script, write_csv
from replication.ladder import ladder_curves, ladder_rows, ladder_tests
from replication.reference import make_generator


def ladder(
    *,
    models: Sequence[str],
    effects: Sequence[str],
    held_out: Sequence[str],
    train: str,
    true: str | Sequence[str],
    experiment: str,
    runs: Sequence[tuple[str, Sequence[int]]],
    process: Mapping[str, Any] | None,
    plan: Mapping[str, Any],
    threads: int,
    **outputs: str,
) -> None:
    """Write the rungs, the tests and the odds-ratio curves; ``outputs`` are their files.

    Args:
        models: Folders of fitted models, one per group of seeds.
        effects: Their average effects.
        held_out: Cross-validated likelihoods, one table per model.
        train: The cohort.
        true: The generator's average effects, or nothing.
        experiment: Name of the experiment.
        runs: Model and seeds of each folder.
        process: Name and arguments of the generator, or None.
        plan: See ``replication.chapter_plan.Ladder``.
        threads: Threads of torch.
        outputs: Files by name of the table.
    """
    torch.set_num_threads(threads)
    flows: dict[str, dict[int, Any]] = {}
    for folder, (model, seeds) in zip(models, runs, strict=True):
        flows.setdefault(model, {}).update({seed: load_model(folder, seed) for seed in seeds})
    rows = read_csv(train)
    generator = make_generator(process) if process else None
    tables = {
        "rungs": ladder_rows(
            flows,
            plan=plan,
            effects=read_tables(effects),
            held_out=read_tables(held_out),
            true=read_optional(true),
        ),
        "tests": ladder_tests(flows, plan=plan, train=rows),
        "curves": ladder_curves(flows, plan=plan, rows=rows, generator=generator),
    }
    for name, path in outputs.items():
        table = tables[name]
        write_csv(path, table.assign(experiment=experiment)[["experiment", *table.columns]])


if __name__ == "__main__":
    run_script(ladder, snakemake)  # noqa: F821
