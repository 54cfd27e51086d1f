"""What training by steps has in common, whatever the step: members, their courses, their ends.

A stack's members move in one program, an epoch is one pass over the training rows, and each member
has its own end and best weights. What does not change during a fit (bases, encoded parents) is
computed once.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tramdag.fitting.progress import Progress
from tramdag.fitting.rows import TrainingRows, mean_nll
from tramdag.fitting.settings import StepSettings
from tramdag.fitting.stack import Stack
from tramdag.node import Conditional

__all__ = ["STEP_DTYPE", "Course", "Fits", "Training"]

STEP_DTYPE = torch.float32
"""Gradients are taken in single precision, three times as fast on a processor and far more on most
accelerators; their rounding is small beside the noise of batches, and of a sample. Parameters,
what steps are made of, bases and validation values keep the nodes' own precision."""

_CHECK_EVERY = 8
"""Epochs between two looks at which members have settled, on an accelerator."""


@dataclass
class Course:
    """What a gradient fit of one node leaves behind; one entry per epoch.

    Attributes:
        train: Mean negative log-likelihood of the training rows, nats per row: over the epoch's
            batches (Adam), or after the epoch (quasi-Newton).
        validation: Mean negative log-likelihood of the validation rows after the epoch.
        learning_rate: Adam's rate at the epoch's end, or the length of the quasi-Newton step.
        seconds: Time since the start of the fit.
        beta: Linear coefficients after the epoch, raw units, shape ``(p,)`` each.
        settled: Whether the fit ended by itself, not at its last epoch.
    """

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    beta: list[Tensor] = field(default_factory=list)
    settled: bool = False


@dataclass(frozen=True)
class Fits:
    """Fits of a stack's members.

    Attributes:
        flat: Their parameters, shape ``(R, P)``; with ``restore_best`` those of the best validation
            value.
        courses: Their histories.
    """

    flat: Tensor
    courses: list[Course]


class Training(abc.ABC):
    """The state of a stack's training between two epochs.

    Args:
        laws: The distinct laws that the rows' owners refer to; they do not change.
        flat: Each member's parameters at the start, shape ``(R, P)``.
        data: Their rows.
        settings: Epochs, patience and what the kind of step needs.
        progress: How far the members are.
    """

    def __init__(
        self,
        laws: Sequence[Conditional],
        flat: Tensor,
        data: TrainingRows,
        settings: StepSettings,
        progress: Progress,
    ) -> None:
        self.data, self.progress = data.steps_in(STEP_DTYPE), progress
        self._limits = settings
        self.stack = Stack(laws, data.rows.owner, flat)
        self.stepper = Stack(laws, data.rows.owner, flat.to(STEP_DTYPE))
        self.epoch = 0
        self.alive = torch.arange(len(flat))
        self.final = flat.clone()
        self.settled = torch.zeros(len(flat), dtype=torch.bool)
        # per epoch: the members, then train, validation, rate and beta of each, and the seconds
        self.log: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor, float]] = []
        self.started = time.perf_counter()

    @abc.abstractmethod
    def run_epoch(self) -> None:
        """One pass over the training rows, and what follows from it."""

    @abc.abstractmethod
    def _own_state(self) -> dict[str, Tensor]:
        """What the kind of step keeps from epoch to epoch."""

    @abc.abstractmethod
    def _set_own_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`_own_state` made; the members are those still alive."""

    @abc.abstractmethod
    def _keep_own(self, index: Tensor) -> None:
        """Go on with some of the members, ``index`` on their device."""

    @property
    def finished(self) -> bool:
        """Whether no member moves any more."""
        return len(self.alive) == 0

    def state(self) -> dict[str, Tensor]:
        """Everything that an interrupted training needs to go on to the same bits."""
        members, *courses, seconds = zip(*self.log, strict=True)
        return {
            "epoch": torch.tensor(self.epoch),
            "flat": self.stack.flat,
            "alive": self.alive,
            "final": self.final,
            "settled": self.settled,
            **{f"progress {name}": tensor for name, tensor in vars(self.progress).items()},
            **{f"own {name}": tensor for name, tensor in self._own_state().items()},
            "log members": torch.cat(members),
            "log sizes": torch.tensor([len(some) for some in members]),
            **{f"log {j}": torch.cat(course) for j, course in enumerate(courses)},
            "log seconds": torch.tensor(seconds, dtype=torch.float64),
        }

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state that :meth:`state` made, of a training with the same arguments."""
        device = self.stack.flat.device
        state = {name: tensor.to(device) for name, tensor in state.items()}
        self.epoch = int(state["epoch"])
        self._keep(state["alive"].cpu())
        self.final, self.settled = state["final"], state["settled"].cpu()
        if not self.finished:
            self.stack.flat.copy_(state["flat"])
            for name in vars(self.progress):
                setattr(self.progress, name, state[f"progress {name}"])
            own = {k.removeprefix("own "): v for k, v in state.items() if k.startswith("own ")}
            self._set_own_state(own)
        sizes = state["log sizes"].tolist()
        members = state["log members"].cpu().split(sizes)
        courses = [state[f"log {j}"].split(sizes) for j in range(4)]
        seconds = state["log seconds"].tolist()
        self.log = list(zip(members, *courses, seconds, strict=True))
        self.started -= seconds[-1]

    def _judge(self) -> Tensor:
        """Mean negative log-likelihood of the held rows at the present parameters, ``(R,)``."""
        data = self.data
        return mean_nll(self.stack, data.held, data.held_index, data.held_weights)

    def _after_epoch(self, train: Tensor, value: Tensor, rate: Tensor) -> None:
        """Log the epoch, and take out the members that have come to their end.

        Args:
            train: See :class:`Course`, shape ``(R,)``.
            value: Validation values, by which :attr:`progress` has been brought up to date.
            rate: See :class:`Course`; 0 marks a member that had settled before the epoch.
        """
        limits, progress = self._limits, self.progress
        self.epoch += 1
        beta = self.stack.module.linear.beta.clone()
        seconds = time.perf_counter() - self.started
        self.log.append((self.alive, train, value, rate, beta, seconds))
        last = self.epoch == limits.epochs
        if value.is_cuda and not last and self.epoch % _CHECK_EVERY:
            return  # a look at the device's decisions would make the host wait for it
        settled = progress.settled.cpu()
        ended = torch.ones_like(settled) if last else settled
        if not bool(ended.any()):
            return
        done = self.alive[ended]
        kept = progress.best if limits.restore_best else self.stack.flat
        self.final[done.to(kept.device)] = kept[ended.to(kept.device)]
        sound = torch.isfinite(progress.best_value).cpu()
        self.settled[done] = ((settled | limits.ends_as_planned) & sound)[ended]
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
        self._keep_own(on_device)

    def fits(self) -> Fits:
        """The members' parameters and histories."""
        courses = [Course(settled=bool(settled)) for settled in self.settled]
        for alive, train, value, rate, beta, seconds in self.log:
            columns = train.tolist(), value.tolist(), rate.tolist(), beta.cpu()
            for r, *entry in zip(alive.tolist(), *columns, strict=True):
                if entry[2] == 0.0:
                    continue  # settled, and not yet taken out of the stack
                course = courses[r]
                course.train.append(entry[0])
                course.validation.append(entry[1])
                course.learning_rate.append(entry[2])
                course.beta.append(entry[3])
                course.seconds.append(seconds)
        return Fits(self.final, courses)
