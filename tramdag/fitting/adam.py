r"""One stack's training by Adam, in batches.

References:
    Kingma and Ba (2015), Adam: a method for stochastic optimization, ICLR.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from tramdag.fitting.rows import TrainingRows
from tramdag.fitting.schedule import RateProgress, rate_factor
from tramdag.fitting.settings import AdamSettings
from tramdag.fitting.training import STEP_DTYPE, Training
from tramdag.node import Conditional

__all__ = ["AdamTraining"]

_GATHERED_NUMBERS = 4_000_000
"""Numbers of the rows that are gathered in one go; bounds the memory of large stacks."""

_BETA = (0.9, 0.999)
_EPSILON = 1e-8


class AdamTraining(Training):
    """Training by Adam; see :class:`~tramdag.fitting.training.Training` for the arguments.

    Args:
        laws: Distinct laws.
        flat: Starts.
        data: Rows.
        settings: Rates, schedule, patience.
        seeds: Seed of each member's order of batches.
    """

    progress: RateProgress

    def __init__(
        self,
        laws: Sequence[Conditional],
        flat: Tensor,
        data: TrainingRows,
        settings: AdamSettings,
        seeds: Sequence[int],
    ) -> None:
        super().__init__(laws, flat, data, settings, RateProgress.start(flat, settings))
        self.settings = settings
        self.first_moment, self.second_moment = torch.zeros_like(flat), torch.zeros_like(flat)
        self.orders = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.step = 0

    @override
    def _own_state(self) -> dict[str, Tensor]:
        return {
            "step": torch.tensor(self.step),
            "first moment": self.first_moment,
            "second moment": self.second_moment,
            "orders": torch.stack([order.get_state() for order in self.orders]),
        }

    @override
    def _set_own_state(self, state: Mapping[str, Tensor]) -> None:
        self.step = int(state["step"])
        self.first_moment, self.second_moment = state["first moment"], state["second moment"]
        for order, stored in zip(self.orders, state["orders"].cpu(), strict=True):
            order.set_state(stored.clone())  # it reads from the start of the storage

    @override
    def _keep_own(self, index: Tensor) -> None:
        self.first_moment = self.first_moment[index]
        self.second_moment = self.second_moment[index]

    @override
    def run_epoch(self) -> None:
        settings, n = self.settings, self.data.index.shape[1]
        n_steps = math.ceil(n / settings.batch_size)
        device = self.stack.flat.device
        draws = [torch.randperm(n, generator=self.orders[r]) for r in self.alive.tolist()]
        order = torch.stack(draws).to(device)
        total = torch.zeros(len(order), dtype=torch.float64, device=device)
        per_batch = len(order) * settings.batch_size * self.data.rows.width
        chunk_rows = max(1, _GATHERED_NUMBERS // per_batch) * settings.batch_size
        for start in range(0, n, chunk_rows):
            chosen = order[:, start : start + chunk_rows]
            parts = self.data.rows.gather(self.data.index.gather(1, chosen))
            weights = None if self.data.weights is None else self.data.weights.gather(1, chosen)
            for low in range(0, chosen.shape[1], settings.batch_size):
                rows = slice(low, low + settings.batch_size)
                batch = tuple(part[:, rows] for part in parts)
                factor = rate_factor(settings.schedule, self.step / (settings.epochs * n_steps))
                rate = self.progress.rate * factor
                total += self._step(batch, None if weights is None else weights[:, rows], rate)
        value = self._judge()
        self.progress.after_epoch(value, self.stack.flat, settings)
        self._after_epoch(total / n, value, rate)

    def _step(self, batch: tuple[Tensor, ...], weights: Tensor | None, rate: Tensor) -> Tensor:
        """One step of Adam; returns the batch's sums of negative log-likelihoods, ``(R,)``."""
        shape = batch[-1].shape[:2]
        scale = batch[-1].new_ones(shape) if weights is None else weights.to(STEP_DTYPE)
        total, gradient = self._gradient(scale, batch)
        self.step += 1
        beta_1, beta_2 = _BETA
        self.first_moment.lerp_(gradient, 1 - beta_1)
        self.second_moment.mul_(beta_2).addcmul_(gradient, gradient, value=1 - beta_2)
        bias_1, bias_2 = 1 - beta_1**self.step, 1 - beta_2**self.step
        spread = self.second_moment.sqrt().mul_(1 / math.sqrt(bias_2)).add_(_EPSILON)
        move = self.first_moment * rate.to(gradient.dtype).unsqueeze(-1)
        self.stack.flat.addcdiv_(move, spread, value=-1 / bias_1)
        return total

    def _gradient(self, scale: Tensor, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """A batch's sums of negative log-likelihoods, and the gradients of their means."""
        self.stepper.flat.copy_(self.stack.flat)
        log_prob, gradient = self.stepper.gradient(batch, scale / -scale.shape[1])
        return -(log_prob * scale).sum(1).double(), gradient.to(self.stack.flat.dtype)
