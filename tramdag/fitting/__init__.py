"""Fitting a DAG: the joint likelihood separates, so every node gets the solver that suits it.

Classical nodes (linear shifts under a convex head) are solved exactly, :mod:`.exact`; all others
are trained by Adam, :mod:`.stochastic`.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from tqdm import tqdm

from tramdag.data import Values
from tramdag.errors import ConvergenceWarning, SeparationWarning, SpecError, name_list
from tramdag.fitting.exact import Certificate, fit_exact
from tramdag.fitting.report import HISTORY_COLUMNS, FitReport, NodeReport
from tramdag.fitting.stochastic import (
    AdamResult,
    AdamSettings,
    fit_adam,
    lift_increments,
    mean_nll,
)
from tramdag.latent import derive_seed
from tramdag.node import Conditional

__all__ = ["OPTIMIZERS", "FitReport", "FitSettings", "NodeReport", "fit_conditionals"]

OPTIMIZERS = ("auto", "exact", "adam")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit beyond those of Adam; see :meth:`tramdag.CausalFlowDAG.fit`."""

    adam: AdamSettings
    optimizer: str = "auto"
    validation_fraction: float = 0.1
    warm_start: bool = False
    verbose: int = 50
    progress: bool | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise SpecError(
                f"fit: optimizer={self.optimizer!r} is unknown; allowed are "
                f"{name_list(OPTIMIZERS)}."
            )
        if not 0.0 <= self.validation_fraction < 1.0:
            raise SpecError(
                f"fit: validation_fraction={self.validation_fraction!r} must lie in [0, 1)."
            )

    def is_exact(self, conditional: Conditional) -> bool:
        """Whether the node is solved exactly."""
        return self.optimizer != "adam" and conditional.is_classical


def check_solvable(conditionals: Mapping[str, Conditional], settings: FitSettings) -> None:
    """Refuse ``optimizer="exact"`` where a node is not classical.

    Raises:
        SpecError: Names the nodes.
    """
    if settings.optimizer != "exact":
        return
    stochastic = [name for name, c in conditionals.items() if not c.is_classical]
    if stochastic:
        raise SpecError(
            f"fit: optimizer='exact' needs classical nodes (only LS terms, a bernstein or affine "
            f"transform or an ordinal node), but {name_list(stochastic)} "
            f"{'is' if len(stochastic) == 1 else 'are'} not. Use optimizer='auto'."
        )


def fit_conditionals(
    conditionals: Mapping[str, Conditional],
    train: Values,
    validation: Values | None,
    settings: FitSettings,
    *,
    seed: int,
) -> FitReport:
    """Fit every node in place, in the mapping's order.

    Args:
        conditionals: Nodes at their start (or, with ``warm_start``, as an earlier fit left them).
        train: Training rows.
        validation: Validation rows, or None to split ``validation_fraction`` off for the nodes that
            need some; exact nodes always use every training row.
        settings: Solvers and schedules.
        seed: Seed of the split and of the batches.

    Returns:
        The report.
    """
    check_solvable(conditionals, settings)
    n = len(next(iter(train.values())))
    stochastic_train, held_out = train, validation
    if validation is None:
        stochastic_train, held_out = _split(train, n, settings.validation_fraction, seed)
    reports, histories, trajectories = [], [], []
    pending = [name for name, c in conditionals.items() if not settings.is_exact(c)]
    total = len(pending) * settings.adam.epochs
    hidden = None if settings.progress is None else not settings.progress
    with tqdm(total=total, unit="epoch", disable=hidden if pending else True, leave=False) as bar:
        for name, conditional in conditionals.items():
            started = time.perf_counter()
            if settings.is_exact(conditional):
                conditional.set_scaling(train)
                report, history = _exact(conditional, train, validation, started)
            else:
                bar.set_description(name)
                report, history, trajectory = _adam(
                    conditional, stochastic_train, held_out, settings, seed, bar, started
                )
                bar.update(settings.adam.epochs - report.epochs)
                trajectories.append(trajectory)
            _warn_if_doubtful(report)
            _log.info("%s: %s, NLL %.6f", name, report.solver, report.nll)
            reports.append(report)
            histories.append(history)
    empty = pd.DataFrame(columns=["node", "epoch", "parent", "level", "estimate"])
    return FitReport(
        tuple(reports),
        pd.concat(histories, ignore_index=True),
        pd.concat(trajectories, ignore_index=True) if trajectories else empty,
    )


def _split(train: Values, n: int, fraction: float, seed: int) -> tuple[Values, Values | None]:
    """A seeded validation split; a fraction of 0 lets the training rows stand in."""
    n_held = round(fraction * n)
    if n_held == 0 or n_held == n:
        return train, None
    generator = torch.Generator().manual_seed(derive_seed(seed, "validation split"))
    order = torch.randperm(n, generator=generator)
    held, rest = order[:n_held], order[n_held:]
    return (
        {k: v[rest.to(v.device)] for k, v in train.items()},
        {k: v[held.to(v.device)] for k, v in train.items()},
    )


def _exact(
    conditional: Conditional, train: Values, validation: Values | None, started: float
) -> tuple[NodeReport, pd.DataFrame]:
    solution = fit_exact(conditional, train)
    certificate, nll = solution.certificate(), float(solution.nll[0])
    held = None if validation is None else mean_nll(conditional, conditional.encode(validation))
    report = NodeReport(
        node=conditional.name,
        solver="exact",
        epochs=certificate.steps,
        n=len(train[conditional.name]),
        nll=nll,
        validation_nll=held,
        converged=certificate.converged,
        seconds=time.perf_counter() - started,
        kkt_residual=certificate.kkt_residual,
        newton_decrement=certificate.newton_decrement,
        active_bounds=certificate.active_bounds,
        inestimable=tuple(conditional.linear.columns[j].name for j in certificate.inestimable),
        separated=_separated(conditional, certificate),
    )
    row = (report.node, report.epochs, nll, held, None, report.seconds)
    history = pd.DataFrame([row], columns=list(HISTORY_COLUMNS))
    return report, history.astype({"validation": float, "learning_rate": float})


def _adam(
    conditional: Conditional,
    train: Values,
    held_out: Values | None,
    settings: FitSettings,
    seed: int,
    bar: tqdm,
    started: float,
) -> tuple[NodeReport, pd.DataFrame, pd.DataFrame]:
    if not settings.warm_start:
        conditional.set_scaling(train)
        if conditional.has_convex_head and settings.optimizer == "auto":
            fit_exact(conditional, train)
            lift_increments(conditional)

    def on_epoch(epoch: int, nll: float) -> None:
        bar.update()
        if settings.verbose and epoch % settings.verbose == 0:
            _log.info("%s: epoch %d, validation NLL %.5f", conditional.name, epoch, nll)

    result = fit_adam(conditional, train, held_out, settings.adam, seed=seed, on_epoch=on_epoch)
    held = None if held_out is None else mean_nll(conditional, conditional.encode(held_out))
    report = NodeReport(
        node=conditional.name,
        solver="adam",
        epochs=len(result.train),
        n=len(train[conditional.name]),
        nll=mean_nll(conditional, conditional.encode(train)),
        validation_nll=held,
        converged=result.settled,
        seconds=time.perf_counter() - started,
    )
    return report, _history(conditional.name, result), _trajectory(conditional, result)


def _history(name: str, result: AdamResult) -> pd.DataFrame:
    epochs = range(1, len(result.train) + 1)
    columns = (name, epochs, result.train, result.validation, result.learning_rate, result.seconds)
    return pd.DataFrame(dict(zip(HISTORY_COLUMNS, columns, strict=True)))


def _trajectory(conditional: Conditional, result: AdamResult) -> pd.DataFrame:
    rows = [
        (conditional.name, epoch, *column.label, estimate)
        for epoch, beta in enumerate(result.beta, start=1)
        for column, estimate in zip(conditional.linear.columns, beta.tolist(), strict=True)
    ]
    return pd.DataFrame(rows, columns=["node", "epoch", "parent", "level", "estimate"])


def _separated(conditional: Conditional, certificate: Certificate) -> tuple[str, ...]:
    columns = conditional.linear.columns
    shifts = [f"{columns[j].name} -> {s * math.inf:+}" for j, s in certificate.separated]
    return (*shifts, *(f"theta[{k}]" for k in certificate.separated_cutpoints))


def _warn_if_doubtful(report: NodeReport) -> None:
    if report.inestimable:
        warnings.warn(
            f"node {report.node!r}: the coefficients of {name_list(report.inestimable)} are not "
            "estimable from these rows (a level without rows, or a parent that others determine) "
            "and are held at 0.",
            ConvergenceWarning,
            stacklevel=4,
        )
    if report.separated:
        warnings.warn(
            f"node {report.node!r}: the levels are separated along {name_list(report.separated)}; "
            "the likelihood has no finite maximum there, and the estimates are only where the "
            "solver stopped. Merge sparse levels, drop the term, or read the one-sided interval.",
            SeparationWarning,
            stacklevel=4,
        )
    if report.solver == "exact" and not report.converged:
        warnings.warn(
            f"node {report.node!r}: the exact solver stopped at a KKT residual of "
            f"{report.kkt_residual:.1e} after {report.epochs} steps; look for separation or a "
            "parent on an extreme scale.",
            ConvergenceWarning,
            stacklevel=4,
        )
