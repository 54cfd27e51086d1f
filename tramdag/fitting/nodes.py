"""Fits of every node of a DAG, each by the solver that suits it, for one or many replicates."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from tramdag.data import Values
from tramdag.errors import ConvergenceWarning, SeparationWarning, name_list
from tramdag.fitting.exact import Solution, solve, write
from tramdag.fitting.gradient import FitRows, NodeFits, Part, train_parts
from tramdag.fitting.raw import raw_jacobian
from tramdag.fitting.report import ANY_VALUE, NodeHistory, NodeReport
from tramdag.fitting.rows import Rows, mean_nll
from tramdag.fitting.separation import Separation, moves
from tramdag.fitting.settings import FitSettings, check_solvable
from tramdag.fitting.stack import Stack
from tramdag.fitting.stochastic import Journal
from tramdag.node import Conditional

__all__ = ["fit_data_sets", "fit_nodes"]

_log = logging.getLogger(__name__)


def fit_nodes(
    laws: Mapping[str, Conditional],
    start: Mapping[str, Tensor],
    rows: FitRows,
    settings: FitSettings,
    *,
    journal: Journal | None = None,
) -> dict[str, NodeFits]:
    """Fit every node for every replicate.

    Scalings, and with them the bases of the transforms, come from all training rows whatever their
    weights, so replicates share them.

    Args:
        laws: Conditional laws in causal order. Their scalings are set here (unless a gradient fit
            goes on from an earlier one), their parameters stay.
        start: Parameters at which gradient fits begin, ``(B, P)`` each.
        rows: Data, seeds and weights.
        settings: Solvers and schedules.
        journal: Keeps gradient fits on the way, so that an interrupted one can go on.

    Returns:
        Each node's fits, in the order of ``laws``.

    Raises:
        SpecError: ``optimizer="exact"`` for nodes that are not classical.
    """
    (fits,) = _fit([laws], [start], [rows], settings, journal=journal)
    _say(fits)
    return fits


def fit_data_sets(
    laws: Sequence[Mapping[str, Conditional]],
    start: Sequence[Mapping[str, Tensor]],
    rows: Sequence[FitRows],
    settings: FitSettings,
    *,
    journal: Journal | None = None,
) -> dict[str, NodeFits]:
    """Fit every node on every data set, each with scalings of its own.

    Gradient fits on data sets of equal length are one stack; exact nodes are solved one by one.

    Args:
        laws: For each data set its own conditional laws in causal order, see :func:`fit_nodes`.
        start: For each data set where gradient fits begin.
        rows: The data sets.
        settings: Solvers and schedules.
        journal: See :func:`fit_nodes`.

    Returns:
        Each node's fits, the replicates of the first data set first.

    Raises:
        SpecError: ``optimizer="exact"`` for nodes that are not classical.
    """
    by_set = _fit(laws, start, rows, settings, journal=journal)
    fits = {
        name: NodeFits(
            torch.cat([own[name].flat for own in by_set]),
            [report for own in by_set for report in own[name].reports],
            [history for own in by_set for history in own[name].histories],
        )
        for name in laws[0]
    }
    _say(fits)
    return fits


def _fit(
    laws: Sequence[Mapping[str, Conditional]],
    start: Sequence[Mapping[str, Tensor]],
    rows: Sequence[FitRows],
    settings: FitSettings,
    *,
    journal: Journal | None,
) -> list[dict[str, NodeFits]]:
    check_solvable(laws[0], settings)
    fits: list[dict[str, NodeFits]] = []
    parts, places = [], []
    for position, (own, begin, table) in enumerate(zip(laws, start, rows, strict=True)):
        fits.append({})
        for name, law in own.items():
            exact = settings.is_exact(law)
            if exact or not settings.warm_start:
                law.set_scaling(table.train)
            if exact:
                fits[position][name] = _exact(law, table)
            else:
                parts.append(Part(law, begin[name], table))
                places.append((position, name))
    trained = train_parts(parts, settings, journal=journal)
    for (position, name), fit in zip(places, trained, strict=True):
        fits[position][name] = fit
    return [{name: own[name] for name in laws[0]} for own in fits]


def _say(fits: Mapping[str, NodeFits]) -> None:
    for fit in fits.values():
        _warn_if_doubtful(fit.reports)
        _log.info("%s: %s, NLL %.6f", *_in_short(fit.reports))


def _in_short(reports: Sequence[NodeReport]) -> tuple[str, str, float]:
    return reports[0].node, reports[0].solver, sum(r.nll for r in reports) / len(reports)


def _evaluate(law: Conditional, flat: Tensor, values: Values) -> list[float]:
    """Mean negative log-likelihood of a table under each replicate's parameters."""
    owner = torch.zeros(len(flat), dtype=torch.int64, device=flat.device)
    rows = Rows([law.encode(values)], owner)
    index = torch.arange(rows.n, device=flat.device).expand(len(flat), -1)
    return mean_nll(Stack([law], owner, flat), rows, index).tolist()


def _exact(law: Conditional, rows: FitRows) -> NodeFits:
    started = time.perf_counter()
    solution = solve(law, rows.train, rows.weights)
    flat = torch.cat(write(law, solution), 1)
    held: list[float | None] = [None] * len(solution)
    if rows.validation is not None:
        held = [*_evaluate(law, flat, rows.validation)]
    seconds = (time.perf_counter() - started) / len(solution)
    reports = [
        _exact_report(law, solution, replicate=b, rows=rows, held=value, seconds=seconds)
        for b, value in enumerate(held)
    ]
    if rows.weights is None:  # the seeds of replicates change nothing here
        flat = flat.expand(len(rows.seeds), -1)
        reports = reports * len(rows.seeds)
    histories = [
        NodeHistory([r.epochs], [r.nll], [r.validation_nll], [None], [r.seconds]) for r in reports
    ]
    return NodeFits(flat, reports, histories)


def _exact_report(
    law: Conditional,
    solution: Solution,
    *,
    replicate: int,
    rows: FitRows,
    held: float | None,
    seconds: float,
) -> NodeReport:
    certificate = solution.certificate(replicate)
    weights = rows.weights
    return NodeReport(
        node=law.name,
        solver="exact",
        epochs=certificate.steps,
        n=rows.n if weights is None else int((weights[replicate] > 0).sum()),
        nll=float(solution.nll[replicate]),
        validation_nll=held,
        converged=certificate.converged,
        seconds=seconds,
        kkt_residual=certificate.kkt_residual,
        newton_decrement=certificate.newton_decrement,
        active_bounds=certificate.active_bounds,
        inestimable=tuple(law.linear.columns[j].name for j in certificate.inestimable),
        separated=_separated(law, solution.separations.get(replicate)),
        total_weight=None if weights is None else float(weights[replicate].sum()),
    )


def _separated(law: Conditional, separation: Separation | None) -> tuple[str, ...]:
    """What is infinite, then what the rows do not determine, then raw cutpoints that are either."""
    if separation is None:
        return ()
    names = [column.name for column in law.linear.columns]
    infinite = [f"{names[j]} -> {s * math.inf:+}" for j, s in separation.columns if s]
    open_ = [f"{names[j]} -> {ANY_VALUE}" for j, s in separation.columns if not s]
    moving = moves(raw_jacobian(law)[len(names) :], separation.span)
    return (*infinite, *open_, *(f"theta[{k}]" for k in np.flatnonzero(moving)))


def _warn_if_doubtful(reports: Sequence[NodeReport]) -> None:
    """One warning of each kind for a node, whatever the number of replicates."""
    node = reports[0].node
    doubts = [
        (
            [r.inestimable for r in reports if r.inestimable],
            ConvergenceWarning,
            "the coefficients of {} are not estimable from these rows (a level without rows, or a "
            "parent that others determine) and are held at 0.",
        ),
        (
            [r.separated for r in reports if r.separated],
            SeparationWarning,
            "the levels are separated along {}; the likelihood has no finite maximum there, and "
            "the estimates are only where the solver stopped. Merge sparse levels, drop the term, "
            "or read the one-sided interval.",
        ),
    ]
    for found, category, text in doubts:
        if found:
            names = sorted({name for labels in found for name in labels}, key=str)
            message = text.format(name_list(names))
            warnings.warn(
                f"node {node!r}: {_share(len(found), len(reports))}{message}",
                category,
                stacklevel=5,
            )
    failed = [r for r in reports if r.solver == "exact" and not r.converged]
    if failed:
        worst = max(failed, key=lambda r: r.kkt_residual or 0.0)
        warnings.warn(
            f"node {node!r}: {_share(len(failed), len(reports))}the exact solver stopped at a KKT "
            f"residual of {worst.kkt_residual:.1e} after {worst.epochs} steps; look for separation "
            "or a parent on an extreme scale.",
            ConvergenceWarning,
            stacklevel=5,
        )


def _share(some: int, total: int) -> str:
    return "" if total == 1 else f"in {some} of {total} replicates "
