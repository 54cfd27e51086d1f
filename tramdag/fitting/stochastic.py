"""Gradient training of nodes of one shape, from their convex fit to the end of their schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from tramdag.fitting.adam import AdamTraining
from tramdag.fitting.quasi_newton import QuasiNewtonTraining
from tramdag.fitting.rows import TrainingRows
from tramdag.fitting.settings import AdamSettings, QuasiNewtonSettings
from tramdag.fitting.training import Fits, Training
from tramdag.node import Conditional
from tramdag.transforms import inverse_positive, positive

__all__ = ["Journal", "fit_by_steps", "lift_increments"]

_SMALLEST_START_INCREMENT = 1e-2
"""Increments of a warm start are lifted to here: at zero the softplus has no gradient."""


class Journal(Protocol):
    """Keeps the states of trainings on the way."""

    def read(self, key: str) -> Mapping[str, Tensor] | None:
        """The last state kept under a key, or None."""

    def write(self, key: str, state: Callable[[], Mapping[str, Tensor]], *, last: bool) -> None:
        """Keep a state if it is time to, and in any case if it is the last one."""


def fit_by_steps(
    laws: Sequence[Conditional],
    flat: Tensor,
    data: TrainingRows,
    settings: AdamSettings | QuasiNewtonSettings,
    *,
    seeds: Sequence[int],
    on_epoch: Callable[[int, Tensor], None] | None = None,
    journal: Journal | None = None,
) -> Fits:
    """Train members of one shape by Adam or by the quasi-Newton method.

    Args:
        laws: The distinct laws that the rows' owners refer to; they do not change.
        flat: Each member's parameters at the start, shape ``(R, P)``.
        data: Their rows.
        settings: Epochs, patience, and what the method needs.
        seeds: Seed of each member's order of batches.
        on_epoch: Called after every epoch with its number (from 1) and the validation values of
            the members that still move.
        journal: Where the state is kept, so that an interrupted training can go on.

    Returns:
        Parameters and histories of all members.
    """
    training: Training
    if isinstance(settings, AdamSettings):
        training = AdamTraining(laws, flat, data, settings, seeds)
    else:
        training = QuasiNewtonTraining(laws, flat, data, settings)
    # data sets of another length train the same nodes in a stack of their own
    names = ", ".join(dict.fromkeys(law.name for law in laws))
    key = f"{names} on {data.rows.n} rows"
    earlier = None if journal is None else journal.read(key)
    if earlier is not None:
        training.resume(earlier)
    for epoch in range(training.epoch + 1, settings.epochs + 1):
        if training.finished:
            break
        training.run_epoch()
        if on_epoch is not None:
            on_epoch(epoch, training.log[-1][2])
        if journal is not None:
            journal.write(key, training.state, last=training.finished)
    return training.fits()


def lift_increments(raw: Tensor) -> Tensor:
    """Raw intercepts ``(..., n_params)``, increments off zero, where gradients can move them."""
    increments = positive(raw[..., 1:]).clamp(min=_SMALLEST_START_INCREMENT)
    return torch.cat([raw[..., :1], inverse_positive(increments)], -1)
