r"""Newton steps under lower bounds of zero: convex quadratic programs, one or many at once.

Every program minimises :math:`g^T d + d^T H d / 2` subject to :math:`\psi_k + d_k \ge 0` for the
bounded entries. With the bounds that held before as equalities it is one linear system, and most
programs end there: its solution is feasible and no multiplier is negative. The others begin with
all bounds that it violates among the equalities and go on by the primal active-set method: towards
the solution of the system as far as the bounds allow, where the bound that is met joins the
equalities; and the one of most negative multiplier leaves them.

References:
    Nocedal and Wright (2006), Numerical Optimization, section 16.5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import lapack

__all__ = ["NewtonStep", "bounded_newton_step", "newton_step", "times"]

_LARGEST_DAMPING = 1e3
"""Relative to the diagonal; only a matrix that is not finite needs more."""

_ROUNDING = 1e-15
"""Relative size of what counts as zero in a multiplier."""

_MAX_SYSTEMS = 10
"""Linear systems per entry of psi that the active set may take; one or two are usual."""


@dataclass(frozen=True)
class NewtonStep:
    """Solutions of the quadratic programs.

    Attributes:
        direction: d, shape ``(B, q)``.
        working: Entries whose bound holds with equality, shape ``(B, q)``, bool.
        damped: Programs whose Hessian was numerically singular in the free entries, ``(B,)``.
    """

    direction: np.ndarray
    working: np.ndarray
    damped: np.ndarray

    def __getitem__(self, chosen: slice) -> NewtonStep:
        return NewtonStep(self.direction[chosen], self.working[chosen], self.damped[chosen])


def bounded_newton_step(
    psi: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
    *,
    bounded: np.ndarray,
    held: np.ndarray,
    working: np.ndarray,
) -> NewtonStep:
    """Minimise the quadratic models over ``psi + d >= 0`` in the bounded entries.

    Args:
        psi: Feasible points, shape ``(B, q)``.
        gradient: Gradients there, shape ``(B, q)``.
        hessian: Positive semidefinite Hessians, shape ``(B, q, q)``.
        bounded: Entries with a lower bound of zero, shape ``(q,)``, bool.
        held: Entries that must not move, none of them bounded, shape ``(B, q)``, bool.
        working: Bounds expected to hold with equality, shape ``(B, q)``, bool.
    """
    fixed = working | held
    any_working = bool(working.any())
    direction = np.zeros_like(psi)
    right = -gradient
    if any_working:
        direction[working] = -psi[working]
        right -= times(hessian, direction)
    factor, damped = _factor(hessian, fixed)
    right[fixed] = 0.0
    direction += torch.cholesky_solve(torch.from_numpy(right[..., None]), factor)[..., 0].numpy()
    lowest = np.where(bounded, -psi, -np.inf)
    wrong = direction < lowest
    if any_working:
        slope = gradient + times(hessian, direction)
        tolerance = -_ROUNDING * np.maximum(np.abs(gradient).max(-1, keepdims=True), 1.0)
        wrong |= working & (slope < tolerance)
    step = NewtonStep(np.maximum(direction, lowest), working, damped)
    if wrong.any():
        rows = np.flatnonzero(wrong.any(-1))
        step = replace(step, working=working.copy())
        for b in rows:
            one = newton_step(
                psi[b], gradient[b], hessian[b], bounded=bounded, held=held[b], working=working[b]
            )
            step.direction[b], step.working[b] = one.direction[0], one.working[0]
            step.damped[b] = one.damped[0]
    return step


def newton_step(
    psi: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
    *,
    bounded: np.ndarray,
    held: np.ndarray,
    working: np.ndarray,
) -> NewtonStep:
    """:func:`bounded_newton_step` of one program, whose arguments lack the leading dimension."""
    direction, damped = _step_at_bounds(psi, gradient, hessian, held=held, working=working)
    beyond = bounded & (direction < -psi)
    if beyond.any() or _leaving(gradient, hessian, direction, working) is not None:
        return _bounded_minimum(
            psi, gradient, hessian, bounded=bounded, held=held, working=working | beyond
        )
    return NewtonStep(direction[None], working[None], np.array([damped]))


def _bounded_minimum(
    psi: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
    *,
    bounded: np.ndarray,
    held: np.ndarray,
    working: np.ndarray,
) -> NewtonStep:
    """The primal active-set method from the given working set, whose entries go to their bounds."""
    direction, working = np.where(working, -psi, 0.0), working.copy()
    for _ in range(_MAX_SYSTEMS * len(psi)):
        target, damped = _step_at_bounds(psi, gradient, hessian, held=held, working=working)
        beyond = np.flatnonzero(bounded & (target < -psi))
        if len(beyond):
            share = (psi + direction)[beyond] / (direction - target)[beyond]
            first = share.argmin()
            direction += share[first] * (target - direction)
            working[beyond[first]] = True
            continue
        direction = target
        leaving = _leaving(gradient, hessian, direction, working)
        if leaving is None:
            break
        working[leaving] = False
    direction = np.where(bounded, np.maximum(direction, -psi), direction)
    return NewtonStep(direction[None], working[None], np.array([damped]))


def _step_at_bounds(
    psi: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
    *,
    held: np.ndarray,
    working: np.ndarray,
) -> tuple[np.ndarray, bool]:
    """The step that takes the working entries to their bound; and whether it needed damping."""
    fixed = working | held
    if not fixed.any():
        return _solution(hessian, -gradient)
    direction, free = np.where(working, -psi, 0.0), np.flatnonzero(~fixed)
    right = -gradient - hessian @ direction
    direction[free], damped = _solution(hessian[free[:, None], free], right[free])
    return direction, damped


def _leaving(
    gradient: np.ndarray, hessian: np.ndarray, direction: np.ndarray, working: np.ndarray
) -> int | None:
    """The working entry of most negative multiplier, None if that is negative by rounding only."""
    if not working.any():
        return None
    slope = np.where(working, gradient + hessian @ direction, 0.0)
    lowest = int(slope.argmin())
    if not slope[lowest] < 0.0:
        return None
    size = max(np.abs(gradient).max(), 1.0) + np.abs(hessian[lowest]) @ np.abs(direction)
    return lowest if slope[lowest] < -_ROUNDING * size else None


def _solution(matrix: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, bool]:
    """Solve a positive definite system; and whether its matrix needed damping."""
    if not len(right):
        return right, False
    lower, damped = _factor_one(matrix)
    solution, _ = lapack.dpotrs(lower, right, lower=1)
    return solution, damped


def _factor_one(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """Lower Cholesky factor of one matrix, and whether it needed damping."""
    lower, info = lapack.dpotrf(matrix, lower=1)
    if info == 0:
        return lower, False
    factor, _ = _factor(matrix[None], np.zeros((1, len(matrix)), dtype=bool))
    return factor[0].numpy(), True


def times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Products of matrices ``(B, q, q)`` with vectors ``(B, q)``."""
    return (matrices @ vectors[..., None])[..., 0]


def _factor(matrices: np.ndarray, fixed: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """Cholesky factors with identity rows for fixed entries, and which needed damping."""
    if fixed.any():
        free = ~fixed
        matrices = matrices * (free[:, :, None] & free[:, None, :])
        np.einsum("bii->bi", matrices)[fixed] = 1.0
    # torch says per matrix whether a factorisation failed, NumPy only that one did
    factor, info = torch.linalg.cholesky_ex(torch.from_numpy(matrices))
    damped = info.numpy() > 0
    if damped.any():
        diagonal = np.einsum("bii->bi", matrices)
        lift = np.where(diagonal > 0, diagonal, 1.0)[:, None, :] * np.eye(diagonal.shape[-1])
        bad, damping = np.flatnonzero(damped), 1e-14
        while len(bad) and damping < _LARGEST_DAMPING:
            lifted = torch.from_numpy(matrices[bad] + damping * lift[bad])
            factor[bad], info = torch.linalg.cholesky_ex(lifted)
            bad = bad[info.numpy() > 0]
            damping *= 10
        factor[bad] = torch.eye(diagonal.shape[-1], dtype=torch.float64)
    return factor, damped
