r"""Gradient training of a stack of nodes: Adam with a schedule, freezing and best weights.

The joint likelihood separates over nodes and replicates, so each member of the stack has its own
rate, end and best weights, while all of them move in one program. What does not change during a
fit (bases, encoded parents) is computed once.

References:
    Kingma and Ba (2015), Adam: a method for stochastic optimization, ICLR.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tramdag.fitting.schedule import Progress, rate_factor
from tramdag.fitting.settings import AdamSettings
from tramdag.fitting.stack import Rows, Stack
from tramdag.node import Conditional
from tramdag.transforms import inverse_positive, positive

__all__ = ["AdamFits", "AdamResult", "TrainingRows", "fit_adam", "lift_increments", "mean_nll"]

_SMALLEST_START_INCREMENT = 1e-2
"""Increments of a warm start are lifted to here: at zero the softplus has no gradient."""

_GATHERED_NUMBERS = 4_000_000
"""Numbers of the rows that are gathered in one go; bounds the memory of large stacks."""

_EVALUATION_NUMBERS = 4_000_000
"""The same for evaluations."""

STEP_DTYPE = torch.float32
"""Gradients are taken in single precision, three times as fast on a processor and far more on most
accelerators; their rounding is small beside the noise of batches. Parameters, moments, bases and
validation values keep the nodes' own precision."""

_CHECK_EVERY = 8
"""Epochs between two looks at which members have settled, on an accelerator."""

_BETA = (0.9, 0.999)
_EPSILON = 1e-8


@dataclass
class AdamResult:
    """What a gradient fit of one node leaves behind; one entry per epoch.

    Attributes:
        train: Mean over the epoch's batches of the negative log-likelihood, nats per row.
        validation: Mean negative log-likelihood of the validation rows after the epoch.
        learning_rate: Rate at the epoch's end.
        seconds: Time since the start of the fit.
        beta: Linear coefficients after the epoch, raw units, shape ``(p,)`` each.
        settled: Whether the schedule or freezing ended the fit, not a constant rate's last epoch.
    """

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    beta: list[Tensor] = field(default_factory=list)
    settled: bool = False


@dataclass
class TrainingRows:
    """The rows that the members of a stack learn from and are judged on.

    Attributes:
        rows: Encoded training rows.
        index: Each member's own of them, shape ``(R, n)``.
        held: Encoded validation rows, or the training rows again.
        held_index: Each member's own of them, shape ``(R, n_held)``.
        weights: Case weights of the training rows ``(R, n)``, with mean one, or None.
        held_weights: Case weights of the validation rows ``(R, n_held)``, with mean one, or None.
    """

    rows: Rows
    index: Tensor
    held: Rows
    held_index: Tensor
    weights: Tensor | None = None
    held_weights: Tensor | None = None

    def steps_in(self, dtype: torch.dtype) -> TrainingRows:
        """A copy whose training rows have another floating type; nothing else changes."""
        return replace(self, rows=self.rows.to(dtype), held=copy.copy(self.held))

    def keep(self, members: Tensor) -> None:
        """Go on with some of the members."""
        self.rows.keep(members)
        self.held.keep(members)
        self.index, self.held_index = self.index[members], self.held_index[members]
        if self.weights is not None:
            self.weights = self.weights[members]
        if self.held_weights is not None:
            self.held_weights = self.held_weights[members]


@dataclass(frozen=True)
class AdamFits:
    """Fits of a stack's members.

    Attributes:
        flat: Their parameters, shape ``(R, P)``; with ``restore_best`` those of the best validation
            value.
        results: Their histories.
    """

    flat: Tensor
    results: list[AdamResult]


def fit_adam(
    laws: Sequence[Conditional],
    flat: Tensor,
    data: TrainingRows,
    settings: AdamSettings,
    *,
    seeds: Sequence[int],
    on_epoch: Callable[[int, Tensor], None] | None = None,
) -> AdamFits:
    """Train members of one shape by Adam.

    Args:
        laws: The distinct laws that the rows' owners refer to; they do not change.
        flat: Each member's parameters at the start, shape ``(R, P)``.
        data: Their rows.
        settings: Epochs, rates, patience.
        seeds: Seed of each member's order of batches.
        on_epoch: Called after every epoch with its number (from 1) and the validation values of
            the members that still move.

    Returns:
        Parameters and histories of all members.
    """
    training = _Training(laws, flat, data.steps_in(STEP_DTYPE), settings, seeds)
    for epoch in range(training.epoch + 1, settings.epochs + 1):
        training.run_epoch()
        if on_epoch is not None:
            on_epoch(epoch, training.log[-1][2])
        if training.finished:
            break
    return training.fits()


class _Training:
    """The state of a stack's training between two epochs."""

    def __init__(
        self,
        laws: Sequence[Conditional],
        flat: Tensor,
        data: TrainingRows,
        settings: AdamSettings,
        seeds: Sequence[int],
    ) -> None:
        self.settings, self.data = settings, data
        self.stack = Stack(laws, data.rows.owner, flat)
        self.stepper = Stack(laws, data.rows.owner, flat.to(STEP_DTYPE))
        self.first_moment, self.second_moment = torch.zeros_like(flat), torch.zeros_like(flat)
        self.progress = Progress.start(flat, settings)
        self.orders = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.epoch = self.step = 0
        self.alive = torch.arange(len(flat))
        self.final = flat.clone()
        self.settled = torch.zeros(len(flat), dtype=torch.bool)
        # per epoch: the members, then train, validation, rate and beta of each, and the seconds
        self.log: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor, float]] = []
        self.started = time.perf_counter()

    @property
    def finished(self) -> bool:
        """Whether no member moves any more."""
        return len(self.alive) == 0

    def run_epoch(self) -> None:
        """One pass over the training rows, and what follows from it."""
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
        self.epoch += 1
        self._after_epoch(total / n, rate)

    def _step(self, batch: tuple[Tensor, ...], weights: Tensor | None, rate: Tensor) -> Tensor:
        """One step of Adam; returns the batch's sums of negative log-likelihoods, ``(R,)``."""
        self.stepper.flat.copy_(self.stack.flat)
        nll = -self.stepper.module.log_prob_encoded(*batch)
        loss = nll if weights is None else nll * weights
        gradient = self.stepper.gradient(loss.mean(1).sum()).to(self.stack.flat.dtype)
        self.step += 1
        beta_1, beta_2 = _BETA
        self.first_moment.lerp_(gradient, 1 - beta_1)
        self.second_moment.mul_(beta_2).addcmul_(gradient, gradient, value=1 - beta_2)
        bias_1, bias_2 = 1 - beta_1**self.step, 1 - beta_2**self.step
        spread = self.second_moment.sqrt().mul_(1 / math.sqrt(bias_2)).add_(_EPSILON)
        move = self.first_moment * rate.to(gradient.dtype).unsqueeze(-1)
        self.stack.flat.addcdiv_(move, spread, value=-1 / bias_1)
        return loss.detach().sum(1).double()

    def _after_epoch(self, train: Tensor, rate: Tensor) -> None:
        settings, progress = self.settings, self.progress
        data = self.data
        value = mean_nll(self.stack, data.held, data.held_index, data.held_weights)
        progress.after_epoch(value, self.stack.flat, settings)
        beta = self.stack.module.linear.beta.clone()
        seconds = time.perf_counter() - self.started
        self.log.append((self.alive, train, value, rate, beta, seconds))
        last = self.epoch == settings.epochs
        if value.is_cuda and not last and self.epoch % _CHECK_EVERY:
            return  # a look at the device's decisions would make the host wait for it
        settled = progress.settled.cpu()
        ended = torch.ones_like(settled) if last else settled
        if not bool(ended.any()):
            return
        done = self.alive[ended]
        kept = progress.best if settings.restore_best else self.stack.flat
        self.final[done.to(kept.device)] = kept[ended.to(kept.device)]
        self.settled[done] = settled[ended] | (settings.schedule in ("onecycle", "cosine"))
        self._keep((~ended).nonzero().squeeze(-1))

    def _keep(self, index: Tensor) -> None:
        self.alive = self.alive[index]
        if len(index) == 0:
            return
        on_device = index.to(self.stack.flat.device)
        self.stack.keep(on_device)
        self.stepper.keep(on_device)
        self.progress.keep(on_device)
        self.data.keep(on_device)
        self.first_moment = self.first_moment[on_device]
        self.second_moment = self.second_moment[on_device]

    def fits(self) -> AdamFits:
        """The members' parameters and histories."""
        results = [AdamResult(settled=bool(settled)) for settled in self.settled]
        for alive, train, value, rate, beta, seconds in self.log:
            columns = train.tolist(), value.tolist(), rate.tolist(), beta.cpu()
            for r, *entry in zip(alive.tolist(), *columns, strict=True):
                if entry[2] == 0.0:
                    continue  # settled, and not yet taken out of the stack
                result = results[r]
                result.train.append(entry[0])
                result.validation.append(entry[1])
                result.learning_rate.append(entry[2])
                result.beta.append(entry[3])
                result.seconds.append(seconds)
        return AdamFits(self.final, results)


@torch.no_grad()
def mean_nll(stack: Stack, rows: Rows, index: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean negative log-likelihood of each member's rows, in nats per row.

    Args:
        stack: The members.
        rows: Encoded rows.
        index: Each member's own of them, shape ``(R, n)``.
        weights: Case weights with mean one, shape ``(R, n)``, or None.

    Returns:
        Shape ``(R,)``, float64.
    """
    n = index.shape[1]
    total = torch.zeros(len(stack), dtype=torch.float64, device=index.device)
    size = max(1, _EVALUATION_NUMBERS // (len(stack) * rows.width))
    for start in range(0, n, size):
        block = slice(start, start + size)
        nll = -stack.module.log_prob_encoded(*rows.gather(index[:, block]))
        total += (nll if weights is None else nll * weights[:, block]).sum(1)
    return total / n


def lift_increments(raw: Tensor) -> Tensor:
    """Raw intercepts ``(..., n_params)``, increments off zero, where gradients can move them."""
    increments = positive(raw[..., 1:]).clamp(min=_SMALLEST_START_INCREMENT)
    return torch.cat([raw[..., :1], inverse_positive(increments)], -1)
