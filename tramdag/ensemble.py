"""Many fits of one DAG: bootstrap samples, folds or seeds, as one program, with a flow's verbs."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tramdag.arguments import shown
from tramdag.checkpoint import open_journal
from tramdag.data import encode_frame
from tramdag.data_sets import encode_data_sets
from tramdag.errors import DataError, SpecError, name_list
from tramdag.fitting import (
    FitReport,
    FitRows,
    FitSettings,
    NodeFits,
    fit_data_sets,
    flatten,
    hash_of_rows,
    restore,
)
from tramdag.flow import CausalFlowDAG
from tramdag.inference import check_level
from tramdag.latent import fresh_seed, known_seed
from tramdag.node import Conditional, make_conditional
from tramdag.replicates import plan_replicates, seeds_of_data_sets
from tramdag.spec import Spec, is_whole_number

__all__ = ["Ensemble", "fit_replicates"]


def fit_replicates(
    spec: Spec,
    data: pd.DataFrame | Sequence[pd.DataFrame],
    replicates: int | None = None,
    *,
    weights: ArrayLike | str | None = None,
    folds: int | None = None,
    seeds: Sequence[int] | None = None,
    val_df: pd.DataFrame | None = None,
    seed: int | None = None,
    dtype: torch.dtype | str = torch.float64,
    device: str | torch.device = "cpu",
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    **options: Any,
) -> Ensemble:
    r"""Fit one DAG many times, as one tensor program.

    The replicates differ in their case weights (bootstrap, folds) or in their seeds. Scalings and
    bases come from all rows and are shared, as part of the specification, so replicate b is the fit
    of ``CausalFlowDAG(spec, seed=...).fit(data, weights=weights[b])``.

    Or they differ in their data: a sequence of tables gives one replicate each, with scalings and
    bases of its own, the fit of ``CausalFlowDAG(spec, seed=seeds[b]).fit(data[b])``. Tables of
    equal length train side by side, those of another length after them.

    Args:
        spec: As for :class:`~tramdag.CausalFlowDAG`.
        data: Rows that all replicates share, or a sequence of tables, one for each replicate. All
            of them stay in memory with their bases: per row some 500 bytes for each continuous
            node trained by gradients, 100 for each other one.
        replicates: Number of replicates B; needed with a named kind of weights, else derived.
        weights: Case weights of shape ``(B, n)``, a row's by its position in ``data``, or the
            name of a bootstrap: ``"multinomial"`` (resampled rows; the default where only
            ``replicates`` is given) or ``"exponential"`` (the Bayesian bootstrap).
        folds: B folds by a seeded shuffle; replicate b has weight zero on fold b.
        seeds: One seed of initial weights, validation split and batches per replicate.
        val_df: Validation rows for nodes trained by gradients, the same for all replicates.
        seed: Seed of the weights or folds and, without ``seeds``, of every fit; None takes one
            from the operating system.
        dtype: As for :class:`~tramdag.CausalFlowDAG`.
        device: Likewise.
        checkpoint: As for :meth:`~tramdag.CausalFlowDAG.fit`.
        checkpoint_every: Likewise.
        options: Arguments of :meth:`~tramdag.CausalFlowDAG.fit`, such as ``epochs``.

    Returns:
        The ensemble.

    Raises:
        SpecError: More or less than one way to make replicates is given, or a bad option.
        DataError: A table or the weights do not fit.

    References:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap; Rubin (1981), The Bayesian
        bootstrap, Annals of Statistics 9.
    """
    settings = FitSettings.of(**options)
    base = CausalFlowDAG(spec, seed=seed, dtype=dtype, device=device)
    if seeds is not None and (
        isinstance(seeds, str) or not isinstance(seeds, Sequence | np.ndarray)
    ):
        raise SpecError(f"fit_replicates: seeds={shown(seeds)} must be a list of whole numbers.")
    nodes = base.spec
    base_seed = fresh_seed() if seed is None else known_seed(seed)
    plans: list[tuple[tuple[int, ...], Tensor | None]]
    if isinstance(data, Sequence):
        ways = {"replicates": replicates, "weights": weights, "folds": folds}
        fit_seeds = seeds_of_data_sets(len(data), ways, seeds, seed=base_seed)
        labels, tables = encode_data_sets(data, nodes, device)
        plans = [((own,), None) for own in fit_seeds]
    else:
        labels, table, _, _ = base._read_training(data, None)
        tables = [table]
        fit_seeds, case_weights = plan_replicates(
            len(data), replicates, weights=weights, folds=folds, seeds=seeds, seed=base_seed
        )
        plans = [(fit_seeds, None if case_weights is None else case_weights.to(device))]
    validation = None
    if val_df is not None:
        validation = {k: v.to(device) for k, v in encode_frame(val_df, nodes, labels).items()}
    rows = [FitRows(t, validation, *plan) for t, plan in zip(tables, plans, strict=True)]
    laws = [dict(base._make_conditionals(base._seed)) for _ in rows]
    start = [
        {
            name: torch.stack([_initial(base, name, s) for s in own.seeds]).to(device)
            for name, law in base.conditionals.items()
            if not settings.is_exact(law)
        }
        for own in rows
    ]
    journal = open_journal(checkpoint, checkpoint_every, nodes, settings, rows, start)
    fits = fit_data_sets(laws, start, rows, settings, journal=journal)
    base._labels = labels
    return Ensemble(base, laws, fits, rows)


def _initial(base: CausalFlowDAG, name: str, seed: int) -> Tensor:
    return flatten(make_conditional(name, base.spec, seed=seed, dtype=base._dtype))


class Ensemble:
    """Fits of one DAG; ``ensemble[b]`` is a flow, and every query gives a table per replicate.

    A query's result is a DataFrame whose first index level, ``replicate``, numbers the fits;
    numbers and arrays become a Series or a table with one row per replicate. :meth:`spread`
    condenses such a table.
    """

    def __init__(
        self,
        base: CausalFlowDAG,
        laws: Sequence[Mapping[str, Conditional]],
        fits: Mapping[str, NodeFits],
        rows: Sequence[FitRows],
    ) -> None:
        self._base, self._laws, self._fits, self._rows = base, laws, fits, rows
        self._seeds = tuple(seed for own in rows for seed in own.seeds)

    def __len__(self) -> int:
        return len(self._seeds)

    def __repr__(self) -> str:
        return f"Ensemble of {len(self)} fits of {self._base!r}"

    def __iter__(self) -> Iterator[CausalFlowDAG]:
        return (self[b] for b in range(len(self)))

    def __getitem__(self, replicate: int) -> CausalFlowDAG:
        """One fit as a flow of its own."""
        if not is_whole_number(replicate, at_least=-len(self)) or replicate >= len(self):
            raise IndexError(
                f"replicate {shown(replicate)}: the {len(self)} fits are numbered 0 to "
                f"{len(self) - 1}, or from the end -1 to {-len(self)}."
            )
        b = range(len(self))[replicate]
        data_set = b if len(self._rows) > 1 else 0
        rows = self._rows[data_set]
        laws: dict[str, Conditional] = {}
        for name, law in self._laws[data_set].items():
            laws[name] = copy.deepcopy(law)
            restore(laws[name], self._fits[name].flat[b])
        weights = None if rows.weights is None else rows.weights[b]
        report = FitReport(
            tuple(fit.reports[b] for fit in self._fits.values()),
            tuple(fit.histories[b] for fit in self._fits.values()),
            hash_of_rows(rows.train, weights),
        )
        return self._base._with_fit(laws, report, rows.train, weights, seed=self._seeds[b])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each fit."""
        return self._seeds

    @property
    def weights(self) -> np.ndarray | None:
        """Case weights, shape ``(B, n)``, or None where the fits differ in seeds or data alone."""
        weights = self._rows[0].weights
        return None if weights is None else weights.cpu().numpy()

    @property
    def nodes(self) -> pd.DataFrame:
        """Fit reports, one row per replicate and node; columns as in ``flow.report.nodes``."""
        rows = [
            {"replicate": b, **vars(fit.reports[b])}
            for b in range(len(self))
            for fit in self._fits.values()
        ]
        return pd.DataFrame(rows)

    def each(self, query: Callable[[CausalFlowDAG], Any]) -> pd.DataFrame:
        """The results of any query of a flow, one after another with the level ``replicate``.

        Args:
            query: A function of a flow that returns a DataFrame, an array or a number.
        """
        if not callable(query):
            raise SpecError(
                f"each: query={shown(query)} must be a function of a flow, such as "
                "lambda flow: flow.coef()."
            )
        results = [query(flow) for flow in self]
        tables = [_table(result) for result in results]
        return pd.concat(tables, keys=range(len(self)), names=["replicate"])

    def effect(self, *args: Any, **kwargs: Any) -> pd.DataFrame:
        """The table ``summary`` of :meth:`~tramdag.CausalFlowDAG.effect`, for every replicate."""
        return self.each(lambda flow: flow.effect(*args, **kwargs).summary.set_index("quantity"))

    def spread(
        self, table: pd.DataFrame, *, by: Sequence[str] | None = None, level: float = 0.95
    ) -> pd.DataFrame:
        """Mean, standard deviation and central quantiles over replicates of a query's table.

        Under a bootstrap the standard deviation is a standard error and the quantiles are a
        percentile interval; over seeds they show what a fit's chance adds, which is no sampling
        error.

        Args:
            table: What a query of the ensemble returned.
            by: Columns that tell its rows apart, such as ``["node", "parent", "level"]``; None
                takes the index without the level ``replicate``.
            level: Share of replicates between ``lower`` and ``upper``.

        Returns:
            For every numeric column the columns mean, sd, lower and upper.

        Raises:
            SpecError: ``by`` names no column, or ``level`` is not between 0 and 1.
            DataError: ``table`` is no table of an ensemble.
        """
        _check_spread(table, by)
        check_level(level)
        names = list(table.index.names[1:]) if by is None else list(by)
        keys = list(range(1, table.index.nlevels)) if by is None else names
        numbers = [n for n in table.select_dtypes("number").columns if n not in names]
        grouped = (
            table[numbers].groupby(level=keys, sort=False, dropna=False)
            if by is None
            else table.groupby(keys, sort=False, dropna=False)
        )
        by_row = grouped[numbers]
        parts = {
            "mean": by_row.mean(),
            "sd": by_row.std(),
            "lower": by_row.quantile(0.5 - 0.5 * level),
            "upper": by_row.quantile(0.5 + 0.5 * level),
        }
        return pd.concat(parts, axis=1).swaplevel(axis=1)[numbers]


def _table(result: Any) -> pd.DataFrame:
    if isinstance(result, pd.DataFrame):
        return result
    return pd.DataFrame({"value": np.atleast_1d(np.asarray(result))})


def _check_spread(table: pd.DataFrame, by: Sequence[str] | None) -> None:
    if not isinstance(table, pd.DataFrame):
        raise DataError(
            f"spread: table is a {type(table).__name__}; give the DataFrame that a query of the "
            "ensemble returned."
        )
    if by is None:
        if table.index.nlevels < 2:
            raise DataError(
                "spread: the table's index has one level, so nothing tells the rows of a replicate "
                "apart; give the table as the ensemble returned it, or by= columns."
            )
        return
    if isinstance(by, str) or not isinstance(by, Sequence) or not len(by):
        raise SpecError(
            f"spread: by={shown(by)} must be a list of columns, such as ['node', 'parent']."
        )
    unknown = [name for name in by if not isinstance(name, str) or name not in table.columns]
    if unknown:
        raise SpecError(
            f"spread: by= names {name_list(unknown)}; the table's columns are "
            f"{name_list(table.columns)}."
        )


def _in_each_replicate(verb: str) -> Callable[..., pd.DataFrame]:
    method = getattr(CausalFlowDAG, verb)

    @functools.wraps(method)
    def query(self: Ensemble, *args: Any, **kwargs: Any) -> pd.DataFrame:
        return self.each(lambda flow: getattr(flow, verb)(*args, **kwargs))

    query.__doc__ = (
        f":meth:`tramdag.CausalFlowDAG.{verb}` in every replicate; the index gains the level "
        "``replicate``."
    )
    return query


_QUERIES = (
    "abduct",
    "calibration",
    "cdf",
    "coef",
    "counterfactual_pmf",
    "cutpoints",
    "density",
    "fit_statistics",
    "log_prob",
    "nll",
    "node_log_prob",
    "odds_ratio_curve",
    "odds_ratios",
    "pmf",
    "quantile",
    "residual_tests",
    "residuals",
    "sample",
    "shift_curve",
    "summary",
    "term_tests",
    "transformation",
)
"""The verbs of a flow that answer with a table, an array or a number."""

for _verb in _QUERIES:
    setattr(Ensemble, _verb, _in_each_replicate(_verb))
