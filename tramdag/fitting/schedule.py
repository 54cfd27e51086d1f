"""Learning rates of training by Adam: those that follow the steps, and the plateau's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from typing_extensions import override

from tramdag.fitting.progress import Progress
from tramdag.fitting.settings import AdamSettings, StepSettings

__all__ = ["RateProgress", "rate_factor"]

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
class RateProgress(Progress):
    """Progress of members whose learning rates may differ; tensors of shape ``(R,)``.

    Attributes:
        rate: Learning rate before the schedule's factor; zero for members that have settled.
        stale_rate: Epochs since the last improvement or since the plateau's last halving.
    """

    rate: Tensor
    stale_rate: Tensor

    @classmethod
    @override
    def start(cls, flat: Tensor, settings: StepSettings) -> Self:
        assert isinstance(settings, AdamSettings)
        common = cls._beginning(flat)
        rate = torch.full_like(common["reference"], settings.learning_rate)
        return cls(**common, rate=rate, stale_rate=torch.zeros_like(common["stale"]))

    def after_epoch(self, value: Tensor, flat: Tensor, settings: AdamSettings) -> None:
        """Take note of validation values ``(R,)`` and decide rates and ends."""
        improved = self.note(value, flat, settings)
        if settings.schedule == "plateau":
            self.stale_rate = torch.where(improved, 0, self.stale_rate + 1)
            halve = self.stale_rate > settings.plateau_patience
            self.rate = torch.where(halve, _PLATEAU_FACTOR * self.rate, self.rate)
            self.stale_rate = torch.where(halve, 0, self.stale_rate)
            self.settled = self.settled | (self.rate <= _PLATEAU_END * settings.learning_rate)
        self.rate = torch.where(self.settled, 0.0, self.rate)
