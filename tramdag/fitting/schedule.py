"""Learning rates and stopping rules of gradient training.

Everything that can differ between the members of a stack (rate, best value, epochs without
improvement) is a tensor of shape ``(R,)``, so following many fits costs what following one does
and needs no look from the host.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tramdag.fitting.settings import AdamSettings

__all__ = ["Progress", "rate_factor"]

_PLATEAU_FACTOR = 0.5
_PLATEAU_END = 1e-3
"""A plateau schedule ends when its rate has fallen to this fraction of the first."""

_WARM_UP = 0.3
_ONECYCLE_START = 1 / 25


def rate_factor(schedule: str | None, progress: float) -> float:
    """Share of the (highest) learning rate at a step, for schedules that follow the steps.

    Args:
        schedule: One of :data:`~tramdag.fitting.settings.SCHEDULES`; constant and plateau give 1.
        progress: Share of all steps that lies before this one, in [0, 1).
    """
    if schedule == "cosine":
        return _half_cosine(progress)
    if schedule == "onecycle":
        return _one_cycle(progress)
    return 1.0


def _half_cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _one_cycle(progress: float) -> float:
    """Cosine rise over the first 30 % of the steps, cosine fall to zero over the rest."""
    if progress < _WARM_UP:
        rise = 1.0 - _half_cosine(progress / _WARM_UP)
        return _ONECYCLE_START + (1.0 - _ONECYCLE_START) * rise
    return _half_cosine((progress - _WARM_UP) / (1.0 - _WARM_UP))


@dataclass
class Progress:
    """How far the members of a stack are; tensors of shape ``(R,)`` on their device.

    Attributes:
        rate: Learning rate before the schedule's factor.
        reference: Validation value that counts as the last improvement, nats per row.
        stale: Epochs since then.
        stale_rate: Epochs since then or since the plateau's last halving.
        best_value: Lowest validation value so far.
        best: Parameters at it, shape ``(R, P)``.
        settled: Members whose schedule or patience has ended; their rate is zero.
    """

    rate: Tensor
    reference: Tensor
    stale: Tensor
    stale_rate: Tensor
    best_value: Tensor
    best: Tensor
    settled: Tensor

    @classmethod
    def start(cls, flat: Tensor, settings: AdamSettings) -> Progress:
        """Before the first epoch, at the parameters ``flat (R, P)``."""
        infinite = flat.new_full((len(flat),), torch.inf, dtype=torch.float64)
        none = torch.zeros_like(infinite, dtype=torch.int64)
        return cls(
            rate=torch.full_like(infinite, settings.learning_rate),
            reference=infinite,
            stale=none,
            stale_rate=none,
            best_value=infinite,
            best=flat.clone(),
            settled=torch.zeros_like(infinite, dtype=torch.bool),
        )

    def after_epoch(self, value: Tensor, flat: Tensor, settings: AdamSettings) -> None:
        """Take note of validation values ``(R,)`` and decide rates and ends.

        Gains below ``min_delta`` keep the weights but do not count as improvement.
        """
        going = ~self.settled
        better = going & (value < self.best_value)
        self.best_value = torch.where(better, value, self.best_value)
        self.best = torch.where(better.unsqueeze(-1), flat, self.best)
        improved = going & (value < self.reference - settings.min_delta)
        self.reference = torch.where(improved, value, self.reference)
        self.stale = torch.where(improved, 0, self.stale + 1)
        if settings.schedule == "plateau":
            self.stale_rate = torch.where(improved, 0, self.stale_rate + 1)
            halve = self.stale_rate > settings.plateau_patience
            self.rate = torch.where(halve, _PLATEAU_FACTOR * self.rate, self.rate)
            self.stale_rate = torch.where(halve, 0, self.stale_rate)
            self.settled = self.settled | (self.rate <= _PLATEAU_END * settings.learning_rate)
        if settings.freeze_patience is not None:
            self.settled = self.settled | (self.stale >= settings.freeze_patience)
        self.rate = torch.where(self.settled, 0.0, self.rate)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the members."""
        for name, tensor in vars(self).items():
            setattr(self, name, tensor[index])
