"""Fits of every node of a DAG, each by the solver that suits it, for one or many replicates."""

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
from tramdag.errors import ConvergenceWarning, SeparationWarning, name_list
from tramdag.fitting.exact import Certificate, Solution, solve, write
from tramdag.fitting.report import NodeHistory, NodeReport
from tramdag.fitting.rows import Rows, TrainingRows, mean_nll
from tramdag.fitting.settings import FitSettings, check_solvable
from tramdag.fitting.stack import Stack, shape_of
from tramdag.fitting.start import convex_start
from tramdag.fitting.stochastic import Journal, fit_adam
from tramdag.fitting.training import AdamResult
from tramdag.latent import derive_seed
from tramdag.node import Conditional

__all__ = ["FitRows", "NodeFits", "fit_nodes"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitRows:
    """The rows of a fit, shared by B replicates that differ in seeds and case weights.

    Attributes:
        train: Training rows, columns of shape ``(n,)``.
        validation: Validation rows, or None to split some off for nodes trained by gradients.
        seeds: Each replicate's seed of validation split and batches.
        weights: Case weights of the training rows, shape ``(B, n)``, or None.
    """

    train: Values
    validation: Values | None
    seeds: tuple[int, ...]
    weights: Tensor | None = None

    @property
    def n(self) -> int:
        """Number of training rows."""
        return len(next(iter(self.train.values())))


@dataclass(frozen=True)
class NodeFits:
    """One node's fits, an entry per replicate.

    Attributes:
        flat: Parameters in a row, see :func:`tramdag.fitting.stack.flatten`; shape ``(B, P)``.
        reports: How each went.
        histories: The course of each.
    """

    flat: Tensor
    reports: list[NodeReport]
    histories: list[NodeHistory]


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
    check_solvable(laws, settings)
    for law in laws.values():
        if settings.is_exact(law) or not settings.warm_start:
            law.set_scaling(rows.train)
    fits = {name: _exact(law, rows) for name, law in laws.items() if settings.is_exact(law)}
    pending = [law for law in laws.values() if not settings.is_exact(law)]
    split = _Split.of(rows, settings.validation_fraction)
    hidden = None if settings.progress is None else not settings.progress
    total = len(pending) * settings.adam.epochs * len(rows.seeds)
    with tqdm(total=total, unit="epoch", disable=hidden if pending else True, leave=False) as bar:
        for group in _by_shape(pending):
            bar.set_description(", ".join(law.name for law in group))
            begin = torch.stack([start[law.name] for law in group])
            done = _adam(group, begin, rows, split, settings, bar=bar, journal=journal)
            fits |= {law.name: fit for law, fit in zip(group, done, strict=True)}
    fits = {name: fits[name] for name in laws}
    for fit in fits.values():
        _warn_if_doubtful(fit.reports)
        _log.info("%s: %s, NLL %.6f", *_in_short(fit.reports))
    return fits


def _in_short(reports: Sequence[NodeReport]) -> tuple[str, str, float]:
    return reports[0].node, reports[0].solver, sum(r.nll for r in reports) / len(reports)


def _by_shape(laws: Sequence[Conditional]) -> list[list[Conditional]]:
    """Groups of nodes that can be trained as one stack, in the order of their first node."""
    groups: dict[Hashable, list[Conditional]] = {}
    for law in laws:
        groups.setdefault(shape_of(law), []).append(law)
    return list(groups.values())


def _evaluate(law: Conditional, flat: Tensor, values: Values) -> list[float]:
    """Mean negative log-likelihood of a table under each replicate's parameters."""
    owner = torch.zeros(len(flat), dtype=torch.int64, device=flat.device)
    rows = Rows([law.encode(values)], owner)
    index = torch.arange(rows.n, device=flat.device).expand(len(flat), -1)
    return mean_nll(Stack([law], owner, flat), rows, index).tolist()


def _with_mean_one(weights: Tensor) -> Tensor:
    return weights / weights.mean(1, keepdim=True)


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
        separated=_separated(law, certificate),
        total_weight=None if weights is None else float(weights[replicate].sum()),
    )


def _separated(law: Conditional, certificate: Certificate) -> tuple[str, ...]:
    columns = law.linear.columns
    shifts = [f"{columns[j].name} -> {s * math.inf:+}" for j, s in certificate.separated]
    return (*shifts, *(f"theta[{k}]" for k in certificate.separated_cutpoints))


@dataclass(frozen=True)
class _Split:
    """Which training rows each replicate learns from, and which it is judged on.

    Attributes:
        learn: Shape ``(B, n_learn)``.
        held: Shape ``(B, n_held)``: rows of the validation table if there is one, else training
            rows.
    """

    learn: Tensor
    held: Tensor

    @classmethod
    def of(cls, rows: FitRows, fraction: float) -> _Split:
        """A seeded split per replicate; a fraction of 0 lets the training rows stand in."""
        n, n_replicates = rows.n, len(rows.seeds)
        device = next(iter(rows.train.values())).device
        everything = torch.arange(n, device=device).expand(n_replicates, -1)
        if rows.validation is not None:
            n_given = len(next(iter(rows.validation.values())))
            return cls(everything, torch.arange(n_given, device=device).expand(n_replicates, -1))
        n_held = round(fraction * n)
        if n_held in (0, n):
            return cls(everything, everything)
        orders = []
        for seed in rows.seeds:
            generator = torch.Generator().manual_seed(derive_seed(seed, "validation split"))
            orders.append(torch.randperm(n, generator=generator))
        order = torch.stack(orders).to(device)
        return cls(order[:, n_held:], order[:, :n_held])

    def learning_weights(self, rows: FitRows) -> Tensor | None:
        """Case weights on all training rows that leave out the held ones, ``(B, n)``."""
        if rows.weights is None and self.learn.shape[1] == rows.n:
            return None
        weights = torch.zeros(len(self.learn), rows.n, dtype=torch.float64)
        kept = self.learn.cpu()
        own = torch.ones_like(weights) if rows.weights is None else rows.weights.cpu()
        return weights.scatter_(1, kept, own.gather(1, kept))


def _adam(
    group: Sequence[Conditional],
    begin: Tensor,
    rows: FitRows,
    split: _Split,
    settings: FitSettings,
    *,
    bar: tqdm,
    journal: Journal | None,
) -> list[NodeFits]:
    """Train nodes of one shape for all replicates side by side; ``begin (G, B, P)``."""
    started = time.perf_counter()
    n_nodes, n_replicates, _ = begin.shape
    if group[0].has_convex_head and settings.optimizer == "auto" and not settings.warm_start:
        weights = split.learning_weights(rows)
        starts = [
            convex_start(law, own, rows.train, weights)
            for law, own in zip(group, begin, strict=True)
        ]
        begin = torch.stack(starts)
    owner = torch.arange(n_nodes, device=begin.device).repeat_interleave(n_replicates)
    learning = Rows([law.encode(rows.train) for law in group], owner)
    held = learning
    if rows.validation is not None:
        held = Rows([law.encode(rows.validation) for law in group], owner)
    data = TrainingRows(
        learning, split.learn.repeat(n_nodes, 1), held, split.held.repeat(n_nodes, 1)
    )
    own = None if rows.weights is None else rows.weights.gather(1, split.learn)
    counted = [split.learn.shape[1]] * n_replicates
    if own is not None:
        counted = (own > 0).sum(1).tolist()
        data.weights = _with_mean_one(own).repeat(n_nodes, 1)
    if rows.weights is not None and rows.validation is None:
        data.held_weights = _with_mean_one(rows.weights.gather(1, split.held)).repeat(n_nodes, 1)
    names = ", ".join(law.name for law in group)

    def on_epoch(epoch: int, values: Tensor) -> None:
        bar.update(len(values))
        if settings.verbose and epoch % settings.verbose == 0:
            _log.info("%s: epoch %d, validation NLL %.5f", names, epoch, float(values.mean()))

    seeds = [derive_seed(seed, "batches", law.name) for law in group for seed in rows.seeds]
    fits = fit_adam(
        group,
        begin.flatten(0, 1),
        data,
        settings.adam,
        seeds=seeds,
        on_epoch=on_epoch,
        journal=journal,
    )
    bar.update(sum(settings.adam.epochs - len(result.train) for result in fits.results))
    stack = Stack(group, owner, fits.flat)
    nll = mean_nll(stack, data.rows, data.index, data.weights).tolist()
    judged = mean_nll(stack, data.held, data.held_index, data.held_weights).tolist()
    seconds = (time.perf_counter() - started) / n_replicates
    has_held = data.held is not data.rows or split.held is not split.learn
    done = []
    for j, law in enumerate(group):
        members = slice(j * n_replicates, (j + 1) * n_replicates)
        results = fits.results[members]
        reports = [
            NodeReport(
                node=law.name,
                solver="adam",
                epochs=len(result.train),
                n=counted[b],
                nll=nll[j * n_replicates + b],
                validation_nll=judged[j * n_replicates + b] if has_held else None,
                converged=result.settled,
                seconds=seconds,
                total_weight=None if own is None else float(own[b].sum()),
            )
            for b, result in enumerate(results)
        ]
        histories = [_history(law, result) for result in results]
        done.append(NodeFits(fits.flat[members], reports, histories))
    return done


def _history(law: Conditional, result: AdamResult) -> NodeHistory:
    labels = [column.label for column in law.linear.columns]
    return NodeHistory(
        epoch=list(range(1, len(result.train) + 1)),
        train=result.train,
        validation=[*result.validation],
        learning_rate=[*result.learning_rate],
        seconds=result.seconds,
        labels=[(parent, None if level is pd.NA else level) for parent, level in labels],
        estimates=[beta.tolist() for beta in result.beta],
    )


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
                stacklevel=4,
            )
    failed = [r for r in reports if r.solver == "exact" and not r.converged]
    if failed:
        worst = max(failed, key=lambda r: r.kkt_residual or 0.0)
        warnings.warn(
            f"node {node!r}: {_share(len(failed), len(reports))}the exact solver stopped at a KKT "
            f"residual of {worst.kkt_residual:.1e} after {worst.epochs} steps; look for separation "
            "or a parent on an extreme scale.",
            ConvergenceWarning,
            stacklevel=4,
        )


def _share(some: int, total: int) -> str:
    return "" if total == 1 else f"in {some} of {total} replicates "
