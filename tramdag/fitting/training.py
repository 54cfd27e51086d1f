r"""One stack's training by Adam, epoch by epoch.

Each member has its own rate, end and best weights, while all of them move in one program. What
does not change during a fit (bases, encoded parents) is computed once.

References:
    Kingma and Ba (2015), Adam: a method for stochastic optimization, ICLR.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tramdag.fitting.rows import TrainingRows, mean_nll
from tramdag.fitting.schedule import Progress, rate_factor
from tramdag.fitting.settings import AdamSettings
from tramdag.fitting.stack import Stack
from tramdag.node import Conditional

__all__ = ["AdamFits", "AdamResult", "Training"]

_GATHERED_NUMBERS = 4_000_000
"""Numbers of the rows that are gathered in one go; bounds the memory of large stacks."""

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


class Training:
    """The state of a stack's training between two epochs."""

    def __init__(
        self,
        laws: Sequence[Conditional],
        flat: Tensor,
        data: TrainingRows,
        settings: AdamSettings,
        seeds: Sequence[int],
    ) -> None:
        self.settings, self.data = settings, data.steps_in(STEP_DTYPE)
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

    def state(self) -> dict[str, Tensor]:
        """Everything that an interrupted training needs to go on to the same bits."""
        members, *courses, seconds = zip(*self.log, strict=True)
        return {
            "counts": torch.tensor([self.epoch, self.step]),
            "flat": self.stack.flat,
            "first moment": self.first_moment,
            "second moment": self.second_moment,
            "orders": torch.stack([order.get_state() for order in self.orders]),
            "alive": self.alive,
            "final": self.final,
            "settled": self.settled,
            **{f"progress {name}": tensor for name, tensor in vars(self.progress).items()},
            "log members": torch.cat(members),
            "log sizes": torch.tensor([len(some) for some in members]),
            **{f"log {j}": torch.cat(course) for j, course in enumerate(courses)},
            "log seconds": torch.tensor(seconds, dtype=torch.float64),
        }

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state that :meth:`state` made, of a training with the same arguments."""
        device = self.stack.flat.device
        state = {name: tensor.to(device) for name, tensor in state.items()}
        self.epoch, self.step = state["counts"].tolist()
        self._keep(state["alive"].cpu())
        self.final, self.settled = state["final"], state["settled"].cpu()
        if not self.finished:
            self.stack.flat.copy_(state["flat"])
            self.first_moment, self.second_moment = state["first moment"], state["second moment"]
            for name in vars(self.progress):
                setattr(self.progress, name, state[f"progress {name}"])
        for order, stored in zip(self.orders, state["orders"].cpu(), strict=True):
            order.set_state(stored.clone())  # it reads from the start of the storage
        sizes = state["log sizes"].tolist()
        members = state["log members"].cpu().split(sizes)
        courses = [state[f"log {j}"].split(sizes) for j in range(4)]
        seconds = state["log seconds"].tolist()
        self.log = list(zip(members, *courses, seconds, strict=True))
        self.started -= seconds[-1]

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
        shape = batch[-1].shape[:2]
        scale = batch[-1].new_ones(shape) if weights is None else weights.to(STEP_DTYPE)
        log_prob, gradient = self.stepper.gradient(batch, scale / -shape[1])
        gradient = gradient.to(self.stack.flat.dtype)
        self.step += 1
        beta_1, beta_2 = _BETA
        self.first_moment.lerp_(gradient, 1 - beta_1)
        self.second_moment.mul_(beta_2).addcmul_(gradient, gradient, value=1 - beta_2)
        bias_1, bias_2 = 1 - beta_1**self.step, 1 - beta_2**self.step
        spread = self.second_moment.sqrt().mul_(1 / math.sqrt(bias_2)).add_(_EPSILON)
        move = self.first_moment * rate.to(gradient.dtype).unsqueeze(-1)
        self.stack.flat.addcdiv_(move, spread, value=-1 / bias_1)
        return -(log_prob * scale).sum(1).double()

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
