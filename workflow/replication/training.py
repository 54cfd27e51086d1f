"""Fit a model with several seeds, side by side, each as if it were alone."""

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
from replication.baseline_training import fit_baselines
from replication.baselines import BASELINE_SUFFIX
from replication.job import derive_seed
from replication.questions import rows_of_seed
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

_COEFFICIENTS = [
    *("node", "parameter", "parent", "level", "estimate"),
    *("std_error", "lower", "upper", "status"),
]

_QUANTILE = 1.959963984540054
"""Of the standard normal law at 0.975."""


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
    baseline: Mapping[str, Any] | None = None,
) -> dict[str, pd.DataFrame]:
    """Fit one model per seed and save it, ``seed-<seed>.pt`` or ``seed-<seed>.baseline.pt``.

    The seeds of a transformation model are one tensor program. Weights, splits and batches of a
    seed follow from (experiment, model, seed) alone, so the other seeds of the job change its
    numbers by rounding, which a long training may amplify.

    Args:
        train: Training rows.
        by_seed: Whether the column ``seed`` of ``train`` tells the rows of each seed apart; else
            all rows serve every seed.
        identity: Experiment and model.
        seeds: The seeds to fit.
        spec: Plain form of the specification.
        settings: Keyword arguments of ``CausalFlowDAG.fit``, or settings of a baseline's training.
        device: torch device.
        folder: Where the models go.
        baseline: Kind and size of a baseline, None for a transformation model.

    Returns:
        The tables ``nodes`` (fit report), ``history`` and ``trajectories`` (by epoch),
        ``coefficients``, and ``parameters`` (those of exact solutions, with standard errors) over
        all seeds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    nodes, history, trajectories, coefficients, parameters = [], [], [], [], []
    rows = [rows_of_seed(train, seed, by_seed=True) for seed in seeds] if by_seed else train
    streams = [derive_seed(*identity, seed) for seed in seeds]
    fits: Any
    if baseline is None:
        fits = td.fit_replicates(
            td.spec_from_dict(spec), rows, seeds=streams, device=device, verbose=0, **settings
        )
    else:
        fits = fit_baselines(
            rows,
            seeds=streams,
            spec=spec,
            architecture=baseline,
            settings=settings,
            device=device,
        )
    suffix = ".pt" if baseline is None else BASELINE_SUFFIX
    for seed, flow in zip(seeds, fits, strict=True):
        key = dict(zip(("experiment", "model"), identity, strict=True)) | {"seed": seed}
        flow.save(folder / f"seed-{seed}{suffix}")
        _log.info("seed %d on %s:\n%s", seed, device, flow.report)
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
    """Linear coefficients and cutpoints of a fitted flow, with 95 percent Wald intervals.

    Returns:
        DataFrame with the columns node, parameter (``shift`` or ``cutpoint``), parent, level,
        estimate, std_error, lower, upper and status. The level of a shift is that of an ordinal
        parent, the level of a cutpoint k is that of P(node <= k). The status of a shift is that of
        ``CausalFlowDAG.summary``; cutpoints have a standard error where the node is solved exactly.
        The estimate of what is ``separated`` is a number on the way to infinity.
    """
    tables = [name_products(flow.summary()).assign(parameter="shift")]
    for name, node in flow.spec.items():
        if isinstance(node, td.OrdinalNode) and not flow.conditionals[name].complex_intercepts:
            tables.append(_cutpoints(flow, name))
    filled = [table[_COEFFICIENTS] for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0][_COEFFICIENTS]


def parameter_table(flow: td.CausalFlowDAG) -> pd.DataFrame:
    """Every parameter of the nodes that were solved exactly, with its standard error.

    Returns:
        Columns node, parameter, parent, level, estimate and std_error, as in
        :func:`coefficient_table`. A continuous node has rows ``theta`` for the coefficients of its
        Bernstein polynomial, by their number as level, in raw units of the parents like the
        cutpoints.
    """
    columns = [*_COEFFICIENTS[:5], "std_error"]
    table = coefficient_table(flow)[columns]
    tables = []
    for node in (entry.node for entry in flow.report.node_reports if entry.solver == "exact"):
        own = [table[table["node"] == node]]
        if not isinstance(flow.spec[node], td.OrdinalNode):
            theta = _theta(flow.conditionals[node])
            own.append(theta.assign(std_error=_theta_errors(flow, node)[: len(theta)]))
        tables += [part[columns] for part in own if len(part)]
    return pd.concat(tables, ignore_index=True) if tables else table.head(0)


def _cutpoints(flow: td.CausalFlowDAG, node: str) -> pd.DataFrame:
    """Cutpoints of an ordinal node in the columns of :func:`coefficient_table`."""
    theta = flow.cutpoints(node)
    entry = next(entry for entry in flow.report.node_reports if entry.node == node)
    exact = entry.solver == "exact"
    errors = _theta_errors(flow, node)[: len(theta)] if exact else np.full(len(theta), np.nan)
    certain = np.where(np.isfinite(errors), "ok", "no standard error")
    separated = [f"theta[{k}]" in entry.separated_names for k in range(len(theta))]
    table = pd.DataFrame(
        {
            "node": node,
            "parameter": "cutpoint",
            "parent": None,
            "level": range(len(theta)),
            "estimate": theta,
            "std_error": errors,
            "status": np.where(separated, "separated", certain),
        }
    )
    width = _QUANTILE * table["std_error"]
    return table.assign(lower=table["estimate"] - width, upper=table["estimate"] + width)


def _theta_errors(flow: td.CausalFlowDAG, node: str) -> np.ndarray:
    """Standard errors of the intercept's coefficients by number; missing where none exists."""
    matrix = flow.vcov(node)
    errors = pd.Series(np.sqrt(np.diag(matrix)), index=matrix.index)
    count = flow.conditionals[node].intercept.shape[0]
    return errors.reindex([f"theta[{k}]" for k in range(count)]).to_numpy()


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
    """Make every level a number: that of a product, ``1:-``, joins its name ``T:Age``.

    A product is known by its level: the name of a column may have a colon too.
    """
    product = coefficients["level"].astype("string").str.contains(":", regex=False, na=False)
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
