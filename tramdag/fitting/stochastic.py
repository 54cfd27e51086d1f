"""Gradient training of one node: Adam with a learning-rate schedule, freezing, best weights.

The joint likelihood separates over nodes, so each node has its own optimiser, schedule and end.
What does not change during a fit (bases, encoded parents) is computed once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tramdag import latent
from tramdag.data import Values
from tramdag.errors import SpecError, name_list
from tramdag.node import Conditional
from tramdag.spec import is_whole_number
from tramdag.transforms import inverse_positive, positive

__all__ = ["SCHEDULES", "AdamResult", "AdamSettings", "fit_adam", "lift_increments", "mean_nll"]

SCHEDULES = (None, "plateau", "onecycle", "cosine")
"""Learning-rate schedules; None is constant."""

_PLATEAU_FACTOR = 0.5
_PLATEAU_END = 1e-3
"""A plateau schedule ends when its rate has fallen to this fraction of the first."""

_WARM_UP = 0.3
_ONECYCLE_START = 1 / 25
_SMALLEST_START_INCREMENT = 1e-2
"""Increments of a warm start are lifted to here: at zero the softplus has no gradient."""

_EVALUATION_ROWS = 65_536


@dataclass(frozen=True)
class AdamSettings:
    """Settings of a gradient fit; see :meth:`tramdag.CausalFlowDAG.fit` for their meaning."""

    epochs: int = 500
    learning_rate: float = 1e-2
    batch_size: int = 512
    schedule: str | None = None
    plateau_patience: int = 15
    freeze_patience: int | None = None
    min_delta: float = 1e-4
    restore_best: bool = True

    def __post_init__(self) -> None:
        whole = {"epochs": self.epochs, "batch_size": self.batch_size}
        whole["plateau_patience"] = self.plateau_patience
        if self.freeze_patience is not None:
            whole["freeze_patience"] = self.freeze_patience
        for name, value in whole.items():
            if not is_whole_number(value, at_least=1):
                raise SpecError(f"fit: {name}={value!r} must be a whole number of at least 1.")
            object.__setattr__(self, name, int(value))
        if not self.learning_rate > 0 or not math.isfinite(self.learning_rate):
            raise SpecError(f"fit: learning_rate={self.learning_rate!r} must be positive.")
        if not self.min_delta >= 0:
            raise SpecError(f"fit: min_delta={self.min_delta!r} must not be negative.")
        if self.schedule not in SCHEDULES:
            raise SpecError(
                f"fit: schedule={self.schedule!r} is unknown; allowed are {name_list(SCHEDULES)}."
            )


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


def fit_adam(
    conditional: Conditional,
    train: Values,
    validation: Values | None,
    settings: AdamSettings,
    *,
    seed: int,
    on_epoch: Callable[[int, float], None] = lambda epoch, nll: None,
) -> AdamResult:
    """Train one node by Adam from its present parameters.

    Args:
        conditional: The node; its parameters change in place.
        train: Training rows.
        validation: Rows that steer schedule, freezing and best weights; None lets the training
            rows stand in.
        settings: Epochs, rates, patience.
        seed: Seed of the batches' order.
        on_epoch: Called after every epoch with its number (from 1) and validation value.

    Returns:
        The history; with ``restore_best`` the node holds the weights of the best validation value.
    """
    encoded = conditional.encode(train)
    held_out = encoded if validation is None else conditional.encode(validation)
    n = len(encoded[0])
    generator = torch.Generator().manual_seed(latent.derive_seed(seed, "batches", conditional.name))
    parameters = [p for p in conditional.parameters() if p.numel()]
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate, fused=True)
    rate = _Rate(settings, steps_per_epoch=math.ceil(n / settings.batch_size))
    result, best = AdamResult(), _Best(settings.min_delta)
    started = time.perf_counter()
    for epoch in range(1, settings.epochs + 1):
        total = torch.zeros((), dtype=conditional.dtype, device=encoded[0].device)
        for batch in _batches(n, settings.batch_size, generator):
            for group in optimizer.param_groups:
                group["lr"] = rate.step()
            rows = batch.to(encoded[0].device)
            loss = -conditional.log_prob_encoded(*(part[rows] for part in encoded)).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch)
        value = mean_nll(conditional, held_out)
        best.update(conditional, value)
        result.train.append(total.item() / n)
        result.validation.append(value)
        result.learning_rate.append(rate.current)
        result.seconds.append(time.perf_counter() - started)
        result.beta.append(conditional.linear.beta.cpu())
        on_epoch(epoch, value)
        rate.after_epoch(improved=best.stale == 0)
        frozen = settings.freeze_patience is not None and best.stale >= settings.freeze_patience
        if frozen or rate.exhausted:
            result.settled = True
            break
    else:
        result.settled = settings.schedule in ("onecycle", "cosine")
    if settings.restore_best:
        best.restore(conditional)
    return result


@torch.no_grad()
def mean_nll(conditional: Conditional, encoded: tuple[Tensor, ...]) -> float:
    """Mean negative log-likelihood of encoded rows, in nats per row."""
    n = len(encoded[0])
    total = 0.0
    for start in range(0, n, _EVALUATION_ROWS):
        rows = slice(start, start + _EVALUATION_ROWS)
        total -= conditional.log_prob_encoded(*(part[rows] for part in encoded)).sum().item()
    return total / n


@torch.no_grad()
def lift_increments(conditional: Conditional) -> None:
    """Move the increments of a convex head off zero, so that a gradient method can change them."""
    increments = positive(conditional.intercept[1:]).clamp(min=_SMALLEST_START_INCREMENT)
    conditional.intercept[1:] = inverse_positive(increments)


def _batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    yield from torch.randperm(n, generator=generator).split(size)


class _Best:
    """The best validation value so far, its weights, and the epochs since it moved."""

    def __init__(self, min_delta: float) -> None:
        self._min_delta = min_delta
        self._reference = math.inf
        self._value = math.inf
        self._state: dict[str, Tensor] = {}
        self.stale = 0

    def update(self, conditional: Conditional, value: float) -> None:
        """Take note of an epoch's value; gains below min_delta do not reset ``stale``."""
        if value < self._value:
            self._value = value
            self._state = {k: v.detach().clone() for k, v in conditional.state_dict().items()}
        if value < self._reference - self._min_delta:
            self._reference = value
            self.stale = 0
        else:
            self.stale += 1

    def restore(self, conditional: Conditional) -> None:
        """Put the best weights back; none exist if every value was NaN."""
        if self._state:
            conditional.load_state_dict(self._state)


class _Rate:
    """The learning rate: per step for cosine and onecycle, per epoch for plateau."""

    def __init__(self, settings: AdamSettings, *, steps_per_epoch: int) -> None:
        self._settings = settings
        self._total = settings.epochs * steps_per_epoch
        self._step = 0
        self._stale = 0
        self.current = settings.learning_rate

    @property
    def exhausted(self) -> bool:
        """Whether a plateau schedule has reached its end."""
        return self.current <= self._settings.learning_rate * _PLATEAU_END

    def step(self) -> float:
        """The rate of the next step."""
        progress = self._step / self._total
        self._step += 1
        if self._settings.schedule == "cosine":
            self.current = self._settings.learning_rate * _half_cosine(progress)
        elif self._settings.schedule == "onecycle":
            self.current = self._settings.learning_rate * _one_cycle(progress)
        return self.current

    def after_epoch(self, *, improved: bool) -> None:
        """Let a plateau schedule count epochs without improvement."""
        if self._settings.schedule != "plateau":
            return
        self._stale = 0 if improved else self._stale + 1
        if self._stale > self._settings.plateau_patience:
            self.current *= _PLATEAU_FACTOR
            self._stale = 0


def _half_cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _one_cycle(progress: float) -> float:
    """Cosine rise over the first 30 % of the steps, cosine fall to zero over the rest."""
    if progress < _WARM_UP:
        rise = 1.0 - _half_cosine(progress / _WARM_UP)
        return _ONECYCLE_START + (1.0 - _ONECYCLE_START) * rise
    return _half_cosine((progress - _WARM_UP) / (1.0 - _WARM_UP))
