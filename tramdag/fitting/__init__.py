"""Fitting a DAG: the joint likelihood separates, so every node gets the solver that suits it.

Classical nodes (linear shifts under a convex head) are solved exactly, :mod:`.exact`; all others
are trained by Adam, :mod:`.stochastic`.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from tramdag.data import Values
from tramdag.errors import ConvergenceWarning, SeparationWarning, SpecError, name_list
from tramdag.fitting.exact import Certificate, fit_exact
from tramdag.fitting.report import FitReport, NodeHistory, NodeReport
from tramdag.fitting.schedule import AdamSettings
from tramdag.fitting.stack import shape_of
from tramdag.fitting.stochastic import (
    AdamResult,
    TrainingRows,
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


def check_solvable(
    conditionals: Mapping[str, Conditional], settings: FitSettings, *, weighted: bool = False
) -> None:
    """Refuse ``optimizer="exact"`` where a node is not classical, and weights that none can use.

    Raises:
        SpecError: Names the nodes.
    """
    by_steps = [name for name, c in conditionals.items() if not settings.is_exact(c)]
    if weighted and by_steps:
        raise SpecError(
            f"fit: weights= needs nodes that are solved exactly, but {name_list(by_steps)} "
            f"{'is' if len(by_steps) == 1 else 'are'} trained by Adam. Leave weights out, or give "
            "these nodes linear shifts and optimizer='auto'."
        )
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
    weights: Tensor | None = None,
) -> FitReport:
    """Fit every node in place, in the mapping's order.

    Args:
        conditionals: Nodes at their start (or, with ``warm_start``, as an earlier fit left them).
        train: Training rows.
        validation: Validation rows, or None to split ``validation_fraction`` off for the nodes that
            need some; exact nodes always use every training row.
        settings: Solvers and schedules.
        seed: Seed of the split and of the batches.
        weights: Case weights of the training rows, ``(n,)``, or None. Scalings ignore them: the
            bases are part of the model, and replicates that differ in weights share them.

    Returns:
        The report.
    """
    check_solvable(conditionals, settings, weighted=weights is not None)
    entries: dict[str, tuple[NodeReport, NodeHistory]] = {}
    for conditional in conditionals.values():
        if not (settings.warm_start and not settings.is_exact(conditional)):
            conditional.set_scaling(train)
    for name, conditional in conditionals.items():
        if settings.is_exact(conditional):
            entries[name] = _exact(conditional, train, validation, weights)
    pending = [c for c in conditionals.values() if not settings.is_exact(c)]
    n = len(next(iter(train.values())))
    learning, held_out = train, validation
    if validation is None:
        learning, held_out = _split(train, n, settings.validation_fraction, seed)
    hidden = None if settings.progress is None else not settings.progress
    total = len(pending) * settings.adam.epochs
    with tqdm(total=total, unit="epoch", disable=hidden if pending else True, leave=False) as bar:
        for group in _by_shape(pending):
            bar.set_description(", ".join(c.name for c in group))
            done = _adam(group, learning, held_out, settings, seed, bar)
            entries |= {c.name: entry for c, entry in zip(group, done, strict=True)}
    reports, histories = zip(*(entries[name] for name in conditionals), strict=True)
    for report in reports:
        _warn_if_doubtful(report)
        _log.info("%s: %s, NLL %.6f", report.node, report.solver, report.nll)
    return FitReport(reports, histories)


def _by_shape(conditionals: Sequence[Conditional]) -> list[list[Conditional]]:
    """Groups of nodes that can be trained as one stack, in the order of their first node."""
    groups: dict[Hashable, list[Conditional]] = {}
    for conditional in conditionals:
        groups.setdefault(shape_of(conditional), []).append(conditional)
    return list(groups.values())


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
    conditional: Conditional, train: Values, validation: Values | None, weights: Tensor | None
) -> tuple[NodeReport, NodeHistory]:
    started = time.perf_counter()
    solution = fit_exact(conditional, train, weights)
    certificate, nll = solution.certificate(), float(solution.nll[0])
    held = None if validation is None else mean_nll(conditional, conditional.encode(validation))
    report = NodeReport(
        node=conditional.name,
        solver="exact",
        epochs=certificate.steps,
        n=len(train[conditional.name]) if weights is None else int((weights > 0).sum()),
        nll=nll,
        validation_nll=held,
        converged=certificate.converged,
        seconds=time.perf_counter() - started,
        kkt_residual=certificate.kkt_residual,
        newton_decrement=certificate.newton_decrement,
        active_bounds=certificate.active_bounds,
        inestimable=tuple(conditional.linear.columns[j].name for j in certificate.inestimable),
        separated=_separated(conditional, certificate),
        total_weight=None if weights is None else float(weights.sum()),
    )
    history = NodeHistory([report.epochs], [nll], [held], [None], [report.seconds])
    return report, history


def _adam(
    group: Sequence[Conditional],
    train: Values,
    held_out: Values | None,
    settings: FitSettings,
    seed: int,
    bar: tqdm,
) -> list[tuple[NodeReport, NodeHistory]]:
    """Train nodes of one shape side by side."""
    started = time.perf_counter()
    for conditional in group:
        if conditional.has_convex_head and settings.optimizer == "auto" and not settings.warm_start:
            fit_exact(conditional, train)
            lift_increments(conditional)
    names = ", ".join(conditional.name for conditional in group)

    def on_epoch(epoch: int, values: Tensor) -> None:
        bar.update(len(values))
        if settings.verbose and epoch % settings.verbose == 0:
            _log.info("%s: epoch %d, validation NLL %.5f", names, epoch, float(values.mean()))

    learning = [conditional.encode(train) for conditional in group]
    held = None if held_out is None else [c.encode(held_out) for c in group]
    results = fit_adam(
        group,
        TrainingRows.shared(learning, held),
        settings.adam,
        seeds=[derive_seed(seed, "batches", conditional.name) for conditional in group],
        on_epoch=on_epoch,
    )
    bar.update(sum(settings.adam.epochs - len(result.train) for result in results))
    done = []
    for j, (conditional, result) in enumerate(zip(group, results, strict=True)):
        report = NodeReport(
            node=conditional.name,
            solver="adam",
            epochs=len(result.train),
            n=len(train[conditional.name]),
            nll=mean_nll(conditional, learning[j]),
            validation_nll=None if held is None else mean_nll(conditional, held[j]),
            converged=result.settled,
            seconds=time.perf_counter() - started,
        )
        done.append((report, _history(conditional, result)))
    return done


def _history(conditional: Conditional, result: AdamResult) -> NodeHistory:
    labels = [column.label for column in conditional.linear.columns]
    return NodeHistory(
        epoch=list(range(1, len(result.train) + 1)),
        train=result.train,
        validation=[*result.validation],
        learning_rate=[*result.learning_rate],
        seconds=result.seconds,
        labels=[(parent, None if level is pd.NA else level) for parent, level in labels],
        estimates=[beta.tolist() for beta in result.beta],
    )


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
