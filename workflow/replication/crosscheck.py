"""Hold fitted classical nodes against R, statsmodels and scipy.

``crosscheck_r`` and ``crosscheck_statsmodels`` are jobs of the pipeline: CSV in, CSV out. The
former runs R in its own process and must therefore not share it with torch. ``compare`` joins
their tables with the estimates of the library.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from replication.classical_fit import ClassicalFitError
from replication.crosscheck_programs import PYTHON_PROGRAMS, R_PROGRAMS
from replication.crosscheck_table import COLUMNS, KEYS, Spec, reference_rows, tidy
from replication.experiments import is_classical_node
from replication.frozen_r import FROZEN, read_frozen
from replication.job import read_csv, write_csv
from replication.polr import r_unavailable_reason
from replication.questions import rows_of_seed

__all__ = [
    "STD_ERROR_LIMITS",
    "compare",
    "crosscheck_r",
    "crosscheck_statsmodels",
    "our_rows",
    "reference_rows",
]

_log = logging.getLogger(__name__)

STD_ERROR_LIMITS: Mapping[str, float] = {
    "R polr": 1e-3,
    "R glm": 1e-5,
    "statsmodels": 1e-5,
    "scipy": 1e-5,
}
"""Relative difference up to which a standard error equals that of a program. polr's comes from a
coarse numerical Hessian. polr on quantile groups fits another model, so it has no limit."""

_PARAMETERS = {"shift": "coefficient", "cutpoint": "cutpoint", "theta": "theta"}

_Path = str | Path
_Effects = Sequence[Mapping[str, Any]]


def crosscheck_r(
    *,
    observational: _Path,
    spec: Spec,
    output: _Path,
    trial: _Path | None = None,
    effects: _Effects = (),
    by_seed: bool = False,
    seeds: Sequence[int] = (),
    frozen: _Path | None = None,
) -> None:
    """Write what R says about the classical nodes of a specification.

    Where R is absent the committed results in ``frozen`` stand in, with programs named
    ``R polr (frozen)``; without them, or where they belong to other data or another
    specification, each node has one row without a value whose note says why.

    Args:
        observational: CSV with the training rows.
        spec: Plain form of the specification; nodes with networks are left out.
        output: CSV to write, see :func:`reference_rows`; with ``seeds`` its first column is seed.
        trial: CSV with the population that effects are averaged over; default the training rows.
        effects: Entries ``{"treatment", "outcome", "at_most"}``.
        by_seed: The training rows are those with the seed in the column ``seed``; otherwise all
            rows serve every seed.
        seeds: The seeds to write rows for; none writes a table without the column.
        frozen: Folder with committed results for these very data, such as
            ``data/magic-mrclean/ls/ref_ls``.
    """
    reason = r_unavailable_reason()
    if not reason:
        fit = _fitting(R_PROGRAMS, spec, trial, effects)
    else:
        _log.warning("R is not available: %s", reason)
        population = None if trial is None else Path(trial)
        fit = _constant(_stand_in(reason, frozen, Path(observational), spec, population, effects))
    write_csv(output, _per_seed(read_csv(observational), fit, by_seed=by_seed, seeds=seeds))


def crosscheck_statsmodels(
    *,
    observational: _Path,
    spec: Spec,
    output: _Path,
    trial: _Path | None = None,
    effects: _Effects = (),
    by_seed: bool = False,
    seeds: Sequence[int] = (),
) -> None:
    """Write what statsmodels (ordinal) and scipy (continuous) say about the classical nodes.

    Args:
        observational: CSV with the training rows.
        spec: Plain form of the specification; nodes with networks are left out.
        output: CSV to write, see :func:`reference_rows`; with ``seeds`` its first column is seed.
        trial: CSV with the population that effects are averaged over; default the training rows.
        effects: Entries ``{"treatment", "outcome", "at_most"}``.
        by_seed: The training rows are those with the seed in the column ``seed``; otherwise all
            rows serve every seed.
        seeds: The seeds to write rows for; none writes a table without the column.
    """
    fit = _fitting(PYTHON_PROGRAMS, spec, trial, effects)
    write_csv(output, _per_seed(read_csv(observational), fit, by_seed=by_seed, seeds=seeds))


def our_rows(
    parameters: pd.DataFrame, nodes: pd.DataFrame, effects: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The library's estimates in the layout that :func:`compare` takes.

    Args:
        parameters: Columns node, parameter (``shift``, ``cutpoint`` or ``theta``), parent, level,
            estimate and std_error.
        nodes: The fit report: columns node, n and nll (mean negative log-likelihood).
        effects: Columns treatment, outcome, at_most and estimate, one row per average effect.

    Returns:
        Columns node, quantity, parent, level and estimate, after a column seed if every table
        has one.
    """
    quantity = parameters["parameter"].map(_PARAMETERS)
    errors = parameters[parameters["std_error"].notna()]
    likelihoods = nodes.assign(
        quantity="log_likelihood", parent="", level=None, estimate=-nodes["n"] * nodes["nll"]
    )
    tables = [
        parameters.assign(quantity=quantity),
        errors.assign(quantity="std_error", estimate=errors["std_error"]),
        likelihoods,
    ]
    if effects is not None:
        named = effects.rename(
            columns={"outcome": "node", "treatment": "parent", "at_most": "level"}
        )
        tables.append(named.assign(quantity="ate"))
    seed = ["seed"] if all("seed" in table for table in tables) else []
    columns = [*seed, *KEYS, "estimate"]
    return pd.concat([tidy(table)[columns] for table in tables], ignore_index=True)


def compare(ours: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Set the library's estimates beside the references.

    Args:
        ours: Columns node, quantity, parent, level and estimate (others are dropped), and seed if
            ``reference`` has it; see :func:`our_rows`.
        reference: Output of :func:`reference_rows`, or several such tables put together.

    Returns:
        ``reference`` row by row with the added columns estimate (missing where the library has
        none), difference = estimate - value, relative_difference = difference / abs(value),
        difference_in_se, the difference of a parameter in standard errors of that reference, and
        for standard errors the limit of abs(relative_difference) and whether it holds.

    Raises:
        ValueError: Two rows of ``ours`` have the same key.
    """
    keys = [*(["seed"] if "seed" in reference else []), *KEYS]
    left, right = tidy(ours)[[*keys, "estimate"]], tidy(reference)
    twice = left[left.duplicated(keys)]
    if len(twice):
        raise ValueError(
            f"compare: {len(twice)} rows of ours repeat a key, the first is "
            f"{twice[keys].iloc[0].to_dict()}; give one fit at a time, or a column seed."
        )
    joined = right.merge(left, on=keys, how="left")
    difference = joined["estimate"] - joined["value"]
    scale = joined["value"].abs()
    relative = difference / scale.where(scale > 0)
    limit = _limits(joined)
    return joined.assign(
        difference=difference,
        relative_difference=relative,
        difference_in_se=difference / _std_errors(joined, keys),
        limit=limit,
        # a number that one side lacks was not compared, which is no success
        holds=(relative.abs() <= limit).astype("boolean").where(limit.notna()),
    )


def _std_errors(table: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """Standard error of each parameter by the same reference; missing for other rows."""
    on = [*(key for key in keys if key != "quantity"), "reference"]
    errors = table.loc[table["quantity"] == "std_error", [*on, "value"]]
    matched = table[on].merge(errors, on=on, how="left")["value"].set_axis(table.index)
    return matched.where(table["quantity"].isin(_PARAMETERS.values()))


def _limits(table: pd.DataFrame) -> pd.Series:
    """The limit of each standard error; missing for other rows and for programs without one."""
    program = table["reference"].str.removesuffix(FROZEN)
    return program.map(STD_ERROR_LIMITS).where(table["quantity"] == "std_error")


def _fitting(
    programs: Any, spec: Spec, trial: _Path | None, effects: _Effects
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    population = None if trial is None else read_csv(trial)

    def fit(rows: pd.DataFrame) -> pd.DataFrame:
        return reference_rows(rows, spec, programs=programs, trial=population, effects=effects)

    return fit


def _constant(table: pd.DataFrame) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda _: table


def _stand_in(
    reason: str,
    frozen: _Path | None,
    observational: Path,
    spec: Spec,
    trial: Path | None,
    effects: _Effects,
) -> pd.DataFrame:
    """The committed results, or one row per classical node that says why there is no number."""
    note = f"R is not available: {reason}"
    if frozen is not None:
        try:
            return read_frozen(
                Path(frozen), observational=observational, spec=spec, trial=trial, effects=effects
            )
        except ClassicalFitError as error:
            _log.warning("%s", error)
            note = f"{note}; {error}"
    key = {"reference": "R", "quantity": "log_likelihood", "parent": "", "level": None}
    rows = [
        {"node": node, **key, "value": np.nan, "note": note}
        for node in spec
        if is_classical_node(spec[node])
    ]
    return tidy(pd.DataFrame(rows, columns=list(COLUMNS)))


def _per_seed(
    observational: pd.DataFrame,
    fit: Callable[[pd.DataFrame], pd.DataFrame],
    *,
    by_seed: bool,
    seeds: Sequence[int],
) -> pd.DataFrame:
    """One reference table per seed under each other; the same one if all share their rows."""
    if by_seed and not seeds:
        raise ClassicalFitError("by_seed=True needs the seeds whose rows are to be fitted.")
    if not seeds:
        return fit(observational)
    shared = None if by_seed else fit(observational)
    tables = []
    for seed in seeds:
        own = rows_of_seed(observational, seed, by_seed=by_seed)
        table = fit(own) if shared is None else shared
        tables.append(table.assign(seed=seed)[["seed", *table.columns]])
    return pd.concat(tables, ignore_index=True)
