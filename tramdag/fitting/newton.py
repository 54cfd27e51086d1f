r"""Newton's method under lower bounds of zero, for one problem.

Every step minimises the quadratic model subject to the bounds (:mod:`tramdag.fitting.quadratic`),
followed by step halving. :mod:`tramdag.fitting.lockstep` is the same for many problems at once; the
rules that both follow are here.

References:
    Nocedal and Wright (2006), Numerical Optimization, chapters 3 and 18.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tramdag.fitting.quadratic import NewtonStep, newton_step
from tramdag.fitting.single import Rows, SingleLikelihood

__all__ = [
    "KKT_TOLERANCE",
    "MAX_HALVINGS",
    "MAX_STEPS",
    "Minima",
    "arrived",
    "decrease_limit",
    "kkt_residual",
    "minimum",
]

KKT_TOLERANCE = 1e-8
"""A fit counts as converged below this residual, in nats per row and unit of psi."""

MAX_STEPS = 100
MAX_HALVINGS = 60

_TARGET = 1e-13
"""Newton goes on to here, to rounding error: quadratic convergence makes it one more step."""

_SMALLEST_MOVE = 1e-11
"""Relative; a fit within the tolerance whose next step is smaller would gain no digit that counts.

Convergence is quadratic, so that step is the distance to the optimum."""

_SUFFICIENT_DECREASE = 1e-4
_ROUNDING = 64 * np.finfo(float).eps

Real = TypeVar("Real", float, np.ndarray)


@dataclass
class Minima:
    """Where Newton's method ended for B problems.

    Attributes:
        psi: The points of smallest residual, ``(B, q)``.
        value: Mean value there, ``(B,)``.
        kkt_residual: Residual there, ``(B,)``.
        decrement: Decrease of the mean value that the quadratic model still promises, ``(B,)``.
        steps: Steps taken, ``(B,)``.
        last: The Newton steps from there.
    """

    psi: np.ndarray
    value: np.ndarray
    kkt_residual: np.ndarray
    decrement: np.ndarray
    steps: np.ndarray
    last: NewtonStep

    @classmethod
    def at_start(cls, psi: np.ndarray) -> Minima:
        """Nothing is known yet of points ``(B, q)``."""
        value, residual, decrement = np.full((3, len(psi)), np.inf)
        still = NewtonStep(
            np.zeros_like(psi), np.zeros(psi.shape, dtype=bool), np.zeros(len(psi), dtype=bool)
        )
        steps = np.zeros(len(psi), dtype=int)
        return cls(psi.copy(), value, residual, decrement, steps, still)


def kkt_residual(
    psi: np.ndarray, gradient: np.ndarray, bounded: np.ndarray, held: np.ndarray
) -> np.ndarray:
    """Largest violation of the optimality conditions, over the last axis."""
    projected = np.where(bounded, np.minimum(psi, gradient), gradient)
    return np.abs(np.where(held, 0.0, projected)).max(-1)


def arrived(
    psi: np.ndarray, direction: np.ndarray, *, residual: np.ndarray, improved: np.ndarray
) -> np.ndarray:
    """Whether another step is of no use, over the last axis."""
    within = residual <= KKT_TOLERANCE
    if not within.any():
        return within
    small = np.abs(direction) <= _SMALLEST_MOVE * np.maximum(np.abs(psi), 1.0)
    # at rounding level neither the value nor the residual improves any more
    return within & ((residual <= _TARGET) | ~improved | small.all(-1))


def decrease_limit(value: Real, slope: Real, length: float) -> Real:
    """Armijo's limit of an acceptable value, with room for rounding near the optimum."""
    noise = _ROUNDING * np.maximum(np.abs(value), 1.0)
    return value + _SUFFICIENT_DECREASE * length * slope + noise


def minimum(
    likelihood: SingleLikelihood, psi: np.ndarray, *, bounded: np.ndarray, held: np.ndarray
) -> Minima:
    """Minimise a convex likelihood over ``psi >= 0`` in the bounded entries.

    Args:
        likelihood: The likelihood of one replicate.
        psi: A feasible start with a finite value, ``(q,)``.
        bounded: Entries with a lower bound of zero, ``(q,)``, bool.
        held: Entries that must not move, none of them bounded, ``(q,)``, bool.

    Returns:
        One minimum; every array has a leading dimension of one.
    """
    found = Minima.at_start(psi[None])
    working = np.zeros_like(held)
    value, rows = likelihood.evaluate(psi)
    for count in range(MAX_STEPS + 1):
        gradient, hessian = likelihood.derivatives(psi, rows)
        residual = kkt_residual(psi, gradient, bounded, held)
        step = newton_step(psi, gradient, hessian, bounded=bounded, held=held, working=working)
        direction, working = step.direction[0], step.working[0]
        slope = gradient @ direction
        promised = -slope - 0.5 * (direction @ hessian @ direction)
        improved = residual < found.kkt_residual[0]
        if improved:
            found.psi[0], found.value[0], found.kkt_residual[0] = psi, value, residual
            found.decrement[0], found.last = max(promised, 0.0), step
        if count == MAX_STEPS or arrived(psi, direction, residual=residual, improved=improved):
            break
        moved = _search(likelihood, psi, direction, value=value, slope=slope, bounded=bounded)
        if moved is None:
            break
        psi, value, rows = moved
        found.steps[0] += 1
    return found


def _search(
    likelihood: SingleLikelihood,
    psi: np.ndarray,
    direction: np.ndarray,
    *,
    value: float,
    slope: float,
    bounded: np.ndarray,
) -> tuple[np.ndarray, float, Rows] | None:
    """Step halving; None if no step decreases the value."""
    length = 1.0
    for _ in range(MAX_HALVINGS + 1):
        trial = psi + length * direction
        trial[bounded] = np.maximum(trial[bounded], 0.0)
        new, rows = likelihood.evaluate(trial)
        if np.isfinite(new) and new <= decrease_limit(value, slope, length):
            return trial, new, rows
        length *= 0.5
    return None
