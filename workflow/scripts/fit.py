"""Fit the models of a group of seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from replication.job import read_csv, run_script, staged, write_csv, write_json
from replication.training import choose_device, environment, fit_seeds


def fit(
    *,
    train: str,
    by_seed: bool,
    identity: Sequence[str],
    seeds: Sequence[int],
    spec: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
    baseline: Mapping[str, Any] | None = None,
    device: str,
    threads: int,
    gpu: int,
    models: str,
    nodes: str,
    history: str,
    trajectories: str,
    coefficients: str,
    parameters: str,
    record: str,
) -> None:
    """Write the fitted models with their reports, histories and coefficients."""
    torch.set_num_threads(threads)
    chosen = choose_device(device, gpu=gpu)
    with staged(models) as folder:
        tables = fit_seeds(
            read_csv(train),
            by_seed=by_seed,
            identity=identity,
            seeds=seeds,
            spec=spec,
            settings=settings,
            baseline=baseline,
            device=chosen,
            folder=folder,
        )
    write_csv(nodes, tables["nodes"])
    write_csv(history, tables["history"])
    write_csv(trajectories, tables["trajectories"])
    write_csv(coefficients, tables["coefficients"])
    write_csv(parameters, tables["parameters"])
    write_json(record, {"identity": list(identity), "seeds": list(seeds), **environment(chosen)})


if __name__ == "__main__":
    run_script(fit, snakemake)  # noqa: F821
