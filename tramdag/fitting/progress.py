"""How far the members of a stack are, and when they stop.

Everything that can differ between members (best value, epochs without improvement) is a tensor of
shape ``(R,)``, so following many fits costs what following one does and needs no look from the
host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from tramdag.fitting.settings import StepSettings

__all__ = ["Progress"]


@dataclass
class Progress:
    """Tensors of shape ``(R,)`` on the members' device.

    Attributes:
        reference: Validation value that counts as the last improvement, nats per row.
        stale: Epochs since then.
        best_value: Lowest validation value so far.
        best: Parameters at it, shape ``(R, P)``.
        settled: Members that have come to their end and do not move any more.
    """

    reference: Tensor
    stale: Tensor
    best_value: Tensor
    best: Tensor
    settled: Tensor

    @classmethod
    def start(cls, flat: Tensor, settings: StepSettings) -> Self:
        """Before the first epoch, at the parameters ``flat (R, P)``."""
        return cls(**cls._beginning(flat))

    @staticmethod
    def _beginning(flat: Tensor) -> dict[str, Tensor]:
        infinite = flat.new_full((len(flat),), torch.inf, dtype=torch.float64)
        return {
            "reference": infinite,
            "stale": torch.zeros_like(infinite, dtype=torch.int64),
            "best_value": infinite,
            "best": flat.clone(),
            "settled": torch.zeros_like(infinite, dtype=torch.bool),
        }

    def note(self, value: Tensor, flat: Tensor, settings: StepSettings) -> Tensor:
        """Take note of validation values ``(R,)``, and who has run out of patience.

        Gains below ``min_delta`` keep the weights but do not count as improvement.

        Returns:
            Which members have improved, ``(R,)``, bool.
        """
        going = ~self.settled
        better = going & (value < self.best_value)
        self.best_value = torch.where(better, value, self.best_value)
        self.best = torch.where(better.unsqueeze(-1), flat, self.best)
        improved = going & (value < self.reference - settings.min_delta)
        self.reference = torch.where(improved, value, self.reference)
        self.stale = torch.where(improved, 0, self.stale + 1)
        if settings.freeze_patience is not None:
            self.settled = self.settled | (self.stale >= settings.freeze_patience)
        return improved

    def forget(self) -> None:
        """Start to compare anew: values before and after now mean different things."""
        self.reference = torch.full_like(self.reference, torch.inf)
        self.best_value = torch.full_like(self.best_value, torch.inf)
        self.stale = torch.zeros_like(self.stale)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the members."""
        for name, tensor in vars(self).items():
            setattr(self, name, tensor[index])
