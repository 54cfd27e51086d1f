"""Fit a model with several seeds, each as if it were alone."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import tramdag as td
from replication.job import derive_seed
from tramdag.node import Conditional
from tramdag.transforms import positive

__all__ = [
    "choose_device",
    "coefficient_table",
    "environment",
    "fit_seeds",
    "name_products",
    "parameter_table",
]

_log = logging.getLogger(__name__)


def choose_device(wanted: str, *, gpu: int) -> str:
    """The torch device of a job.

    Args:
        wanted: ``auto``, ``cuda`` or ``cpu``.
        gpu: Number of GPUs that the scheduler granted.

    Raises:
        RuntimeError: A GPU is demanded, and torch sees none.
    """
    if wanted == "cuda" and gpu and not torch.cuda.is_available():
        raise RuntimeError(
            "device: cuda, but torch sees no CUDA device here; set device to auto or cpu, or ask "
            "the scheduler for a GPU."
        )
    return "cuda" if gpu and wanted != "cpu" and torch.cuda.is_available() else "cpu"


def fit_seeds(
    train: pd.DataFrame,
    *,
    by_seed: bool,
    identity: Sequence[str],
    seeds: Sequence[int],
    spec: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
    device: str,
    folder: Path,
) -> dict[str, pd.DataFrame]:
    """Fit one model per seed and save it as ``seed-<seed>.pt``.

    Weights, splits and batches of a seed follow from (experiment, model, seed) alone, so neither
    the other seeds of the job nor their order changes a number.

    Args:
        train: Training rows.
        by_seed: Whether the column ``seed`` of ``train`` tells the rows of each seed apart; else
            all rows serve every seed.
        identity: Experiment and model.
        seeds: The seeds to fit.
        spec: Plain form of the specification.
        settings: Keyword arguments of ``CausalFlowDAG.fit``.
        device: torch device.
        folder: Where the models go.

    Returns:
        The tables ``nodes`` (fit report), ``history`` and ``trajectories`` (by epoch),
        ``coefficients``, and ``parameters`` (those of exact solutions, with standard errors) over
        all seeds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    nodes, history, trajectories, coefficients, parameters = [], [], [], [], []
    for seed in seeds:
        rows = train.loc[train["seed"] == seed].reset_index(drop=True) if by_seed else train
        key = dict(zip(("experiment", "model"), identity, strict=True)) | {"seed": seed}
        stream = derive_seed(*identity, seed)
        flow = td.CausalFlowDAG(td.spec_from_dict(spec), seed=stream, device=device)
        flow.fit(rows, seed=stream, verbose=0, progress=False, **settings)
        flow.save(folder / f"seed-{seed}.pt")
        _log.info("seed %d, %d rows on %s:\n%s", seed, len(rows), device, flow.report)
        nodes.append(_keyed(flow.report.nodes, key))
        history.append(_keyed(flow.history, key))
        trajectories.append(_keyed(name_products(flow.report.trajectories), key))
        coefficients.append(_keyed(coefficient_table(flow), key))
        parameters.append(_keyed(parameter_table(flow), key))
    return {
        "nodes": pd.concat(nodes, ignore_index=True),
        "history": pd.concat(history, ignore_index=True),
        "trajectories": pd.concat(trajectories, ignore_index=True),
        "coefficients": pd.concat(coefficients, ignore_index=True),
        "parameters": pd.concat(parameters, ignore_index=True),
    }


def coefficient_table(flow: td.CausalFlowDAG) -> pd.DataFrame:
    """Linear coefficients and cutpoints of a fitted flow.

    Returns:
        DataFrame with the columns node, parameter (``shift`` or ``cutpoint``), parent, level and
        estimate. The level of a shift is that of an ordinal parent, the level of a cutpoint k is
        that of P(node <= k).
    """
    shifts = name_products(flow.coef()).drop(columns="odds_ratio").assign(parameter="shift")
    tables = [shifts]
    for name, node in flow.spec.items():
        if isinstance(node, td.OrdinalNode) and not flow.conditionals[name].complex_intercepts:
            theta = flow.cutpoints(name)
            tables.append(
                pd.DataFrame(
                    {
                        "node": name,
                        "parameter": "cutpoint",
                        "parent": None,
                        "level": range(len(theta)),
                        "estimate": theta,
                    }
                )
            )
    filled = [table for table in tables if len(table)]
    columns = ["node", "parameter", "parent", "level", "estimate"]
    return (pd.concat(filled, ignore_index=True) if filled else shifts)[columns]


def parameter_table(flow: td.CausalFlowDAG) -> pd.DataFrame:
    """Every parameter of the nodes that were solved exactly, with its standard error.

    Returns:
        The columns of :func:`coefficient_table` and std_error, missing where none exists. A
        continuous node has rows ``theta`` for the coefficients of its Bernstein polynomial, by
        their number as level, in raw units of the parents like the cutpoints.
    """
    table = coefficient_table(flow)
    tables = []
    for node in (entry.node for entry in flow.report.node_reports if entry.solver == "exact"):
        conditional, matrix = flow.conditionals[node], flow.vcov(node)
        errors = pd.Series(np.sqrt(np.diag(matrix)), index=matrix.index)
        own = table[table["node"] == node]
        if not isinstance(flow.spec[node], td.OrdinalNode):
            own = pd.concat([frame for frame in (own, _theta(conditional)) if len(frame)])
        labels = [column.name for column in conditional.linear.columns]
        labels += [f"theta[{k}]" for k in range(len(own) - len(labels))]
        tables.append(own.assign(std_error=errors.reindex(labels).to_numpy()))
    none = table.head(0).assign(std_error=np.nan)
    return pd.concat(tables, ignore_index=True) if tables else none


def _theta(conditional: Conditional) -> pd.DataFrame:
    """The increasing coefficients of h, with the constant of the centred parents in them."""
    intercept = conditional.intercept.detach().double()
    theta = torch.cat([intercept[:1], positive(intercept[1:])]).cumsum(0)
    values = (theta + conditional.linear.offset.detach().double()).cpu().numpy()
    key = {"node": conditional.name, "parameter": "theta", "parent": None}
    return pd.DataFrame({**key, "level": range(len(values)), "estimate": values})


def environment(device: str) -> dict[str, Any]:
    """What a fit ran on: device, threads and versions."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "zuko", "numpy", "pandas")},
    }


def name_products(coefficients: pd.DataFrame) -> pd.DataFrame:
    """Make every level a number: that of a product, ``1:-``, joins its name ``T:Age``."""
    product = coefficients["parent"].str.contains(":", regex=False)
    named = coefficients["parent"] + "[" + coefficients["level"].astype(str) + "]"
    return coefficients.assign(
        parent=coefficients["parent"].where(~product, named),
        level=pd.to_numeric(coefficients["level"].where(~product)),
    )


def _keyed(table: pd.DataFrame, key: Mapping[str, Any]) -> pd.DataFrame:
    """The table with the identity of its fit in the first columns."""
    table = table.copy()
    for position, (name, value) in enumerate(key.items()):
        table.insert(position, name, value)
    return table
