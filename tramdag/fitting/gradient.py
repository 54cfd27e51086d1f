"""Gradient fits of many members side by side: nodes of one shape, data sets, replicates.

A data set has its own scalings, so a node is a distinct law in each of them; replicates of one data
set share its laws. Everything that has one shape and equally many rows is one stack.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from tramdag.data import Values
from tramdag.fitting.report import NodeHistory, NodeReport
from tramdag.fitting.rows import Rows, TrainingRows, mean_nll
from tramdag.fitting.settings import FitSettings
from tramdag.fitting.stack import Stack, shape_of
from tramdag.fitting.start import convex_start
from tramdag.fitting.stochastic import Journal, fit_by_steps
from tramdag.fitting.training import Course
from tramdag.latent import derive_seed
from tramdag.node import Conditional

__all__ = ["FitRows", "NodeFits", "Part", "train_parts"]

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


@dataclass(frozen=True)
class Part:
    """One node of one data set, fitted by gradients for each replicate of that data set.

    Attributes:
        law: The node's law, its scalings set from these rows.
        begin: Parameters at the start, shape ``(B, P)``.
        rows: The data set with its B replicates.
    """

    law: Conditional
    begin: Tensor
    rows: FitRows

    @property
    def kind(self) -> Hashable:
        """What parts must share to stand in one stack."""
        given = self.rows.validation
        n_given = None if given is None else len(given[self.law.name])
        return shape_of(self.law), self.rows.n, n_given, self.rows.weights is None


def train_parts(
    parts: Sequence[Part], settings: FitSettings, *, journal: Journal | None
) -> list[NodeFits]:
    """Train all parts by steps, those of one kind side by side.

    Args:
        parts: Nodes by data set.
        settings: Schedules.
        journal: Keeps fits on the way.

    Returns:
        The fits of each part, in their order.
    """
    if not parts:  # even a hidden bar starts a thread
        return []
    groups: dict[Hashable, list[int]] = {}
    for position, part in enumerate(parts):
        groups.setdefault(part.kind, []).append(position)
    hidden = None if settings.progress is None else not settings.progress
    total = sum(len(part.begin) for part in parts) * settings.steps.epochs
    done: dict[int, NodeFits] = {}
    with tqdm(total=total, unit="epoch", disable=hidden, leave=False) as bar:
        for positions in groups.values():
            group = [parts[position] for position in positions]
            bar.set_description(_names(group))
            fits = _train(group, settings, bar=bar, journal=journal)
            done |= dict(zip(positions, fits, strict=True))
    return [done[position] for position in range(len(parts))]


def _names(group: Sequence[Part]) -> str:
    return ", ".join(dict.fromkeys(part.law.name for part in group))


def _with_mean_one(weights: Tensor) -> Tensor:
    return weights / weights.mean(1, keepdim=True)


@dataclass(frozen=True)
class _Split:
    """Which training rows each replicate learns from, and which it is judged on.

    Attributes:
        learn: Shape ``(B, n_learn)``.
        held: Shape ``(B, n_held)``: rows of the validation table if there is one, else training
            rows.
        is_proper: Whether the held rows are others than the ones learnt from.
    """

    learn: Tensor
    held: Tensor
    is_proper: bool

    @classmethod
    def of(cls, rows: FitRows, fraction: float) -> _Split:
        """A seeded split per replicate; a fraction of 0 lets the training rows stand in."""
        n, n_replicates = rows.n, len(rows.seeds)
        device = next(iter(rows.train.values())).device
        everything = torch.arange(n, device=device).expand(n_replicates, -1)
        if rows.validation is not None:
            n_given = len(next(iter(rows.validation.values())))
            given = torch.arange(n_given, device=device).expand(n_replicates, -1)
            return cls(everything, given, True)
        n_held = round(fraction * n)
        if n_held in (0, n):
            return cls(everything, everything, False)
        orders = []
        for seed in rows.seeds:
            generator = torch.Generator().manual_seed(derive_seed(seed, "validation split"))
            orders.append(torch.randperm(n, generator=generator))
        order = torch.stack(orders).to(device)
        return cls(order[:, n_held:], order[:, :n_held], True)

    def learning_weights(self, rows: FitRows) -> Tensor | None:
        """Case weights on all training rows that leave out the held ones, ``(B, n)``."""
        if rows.weights is None and self.learn.shape[1] == rows.n:
            return None
        weights = torch.zeros(len(self.learn), rows.n, dtype=torch.float64)
        kept = self.learn.cpu()
        own = torch.ones_like(weights) if rows.weights is None else rows.weights.cpu()
        return weights.scatter_(1, kept, own.gather(1, kept))


def _start(part: Part, split: _Split, settings: FitSettings) -> Tensor:
    if not part.law.has_convex_head or settings.optimizer == "adam" or settings.warm_start:
        return part.begin
    weights = split.learning_weights(part.rows)
    return convex_start(part.law, part.begin, part.rows.train, weights)


def _training_rows(group: Sequence[Part], splits: Sequence[_Split], owner: Tensor) -> TrainingRows:
    """The encoded rows of all members; what no part has is None for all."""
    learning = Rows([part.law.encode(part.rows.train) for part in group], owner)
    held = learning
    if group[0].rows.validation is not None:
        held = Rows([part.law.encode(part.rows.validation or {}) for part in group], owner)
    learn, judge = (
        torch.cat([getattr(split, name) for split in splits]) for name in ("learn", "held")
    )
    data = TrainingRows(learning, learn, held, judge, is_judged_apart=splits[0].is_proper)
    case_weights = [part.rows.weights for part in group if part.rows.weights is not None]
    if case_weights:
        weights = [w.gather(1, s.learn) for w, s in zip(case_weights, splits, strict=True)]
        data.weights = _with_mean_one(torch.cat(weights))
        if held is learning:
            weights = [w.gather(1, s.held) for w, s in zip(case_weights, splits, strict=True)]
            data.held_weights = _with_mean_one(torch.cat(weights))
    return data


def _train(
    group: Sequence[Part], settings: FitSettings, *, bar: tqdm, journal: Journal | None
) -> list[NodeFits]:
    """Train parts of one kind in one stack."""
    started = time.perf_counter()
    share = settings.held_out_share(group[0].law)
    by_rows = {id(part.rows): _Split.of(part.rows, share) for part in group}
    splits = [by_rows[id(part.rows)] for part in group]
    pairs = zip(group, splits, strict=True)
    begin = torch.cat([_start(part, split, settings) for part, split in pairs])
    sizes = torch.tensor([len(part.begin) for part in group], device=begin.device)
    owner = torch.arange(len(group), device=begin.device).repeat_interleave(sizes)
    data = _training_rows(group, splits, owner)
    laws = [part.law for part in group]

    def on_epoch(epoch: int, values: Tensor) -> None:
        bar.update(len(values))
        if settings.verbose and epoch % settings.verbose == 0:
            value = float(values.mean())
            _log.info("%s: epoch %d, validation NLL %.5f", _names(group), epoch, value)

    fits = fit_by_steps(
        laws,
        begin,
        data,
        settings.steps,
        seeds=[derive_seed(s, "batches", part.law.name) for part in group for s in part.rows.seeds],
        on_epoch=on_epoch,
        journal=journal,
    )
    bar.update(sum(settings.steps.epochs - len(course.train) for course in fits.courses))
    stack = Stack(laws, owner, fits.flat)
    nll = mean_nll(stack, data.rows, data.index, data.weights)
    judged = mean_nll(stack, data.held, data.held_index, data.held_weights)
    n_replicates = len(begin) / len({law.name for law in laws})
    seconds = (time.perf_counter() - started) / n_replicates
    done, first = [], 0
    for part, split in zip(group, splits, strict=True):
        own = slice(first, first + len(part.begin))
        first = own.stop
        courses = fits.courses[own]
        held = judged[own].tolist() if split.is_proper else [None] * len(courses)
        reports = [
            _report(
                part,
                split,
                replicate,
                course,
                solver=settings.steps.solver,
                nll=value,
                held=other,
                seconds=seconds,
            )
            for replicate, (course, value, other) in enumerate(
                zip(courses, nll[own].tolist(), held, strict=True)
            )
        ]
        histories = [_history(part.law, course) for course in courses]
        done.append(NodeFits(fits.flat[own], reports, histories))
    return done


def _report(
    part: Part,
    split: _Split,
    replicate: int,
    course: Course,
    *,
    solver: str,
    nll: float,
    held: float | None,
    seconds: float,
) -> NodeReport:
    counted, total = split.learn.shape[1], None
    if part.rows.weights is not None:
        weights = part.rows.weights[replicate, split.learn[replicate]]
        counted, total = int((weights > 0).sum()), float(weights.sum())
    return NodeReport(
        node=part.law.name,
        solver=solver,
        epochs=len(course.train),
        n=counted,
        nll=nll,
        validation_nll=held,
        converged=course.settled,
        seconds=seconds,
        total_weight=total,
    )


def _history(law: Conditional, course: Course) -> NodeHistory:
    labels = [column.label for column in law.linear.columns]
    return NodeHistory(
        epoch=list(range(1, len(course.train) + 1)),
        train=course.train,
        validation=[*course.validation],
        learning_rate=[*course.learning_rate],
        seconds=course.seconds,
        labels=[(parent, None if level is pd.NA else level) for parent, level in labels],
        estimates=[beta.tolist() for beta in course.beta],
    )
