r"""Newton steps under lower bounds of zero: convex quadratic programs, many at once.

Every program minimises :math:`g^T d + d^T H d / 2` subject to :math:`\psi_k + d_k \ge 0` for the
bounded entries. First all of them are solved together by one batched Cholesky factorisation, with
the bounds that held before as equalities (identity rows). Most steps end there: the solution is
feasible and no multiplier is negative. For the others the program in :math:`x = \psi + d` is a
least-squares problem, :math:`\min \|L^T x - c\|` with :math:`H = L L^T` and
:math:`c = L^{-1}(H \psi - g)`. With the unbounded entries first, :math:`L^T` is triangular, so the
bounded ones solve a non-negative least-squares problem of their own.

References:
    Nocedal and Wright (2006), Numerical Optimization, section 16.5; Lawson and Hanson (1995),
    Solving Least Squares Problems, chapter 23.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy
import torch

__all__ = ["NewtonStep", "bounded_newton_step", "newton_step", "times"]

_LARGEST_DAMPING = 1e3
"""Relative to the diagonal; only a matrix that is not finite needs more."""

_MAX_PIVOTS = 30
"""Exchanges of the non-negative least squares per entry; a few are usual."""


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
        tolerance = -1e-15 * np.maximum(np.abs(gradient).max(-1, keepdims=True), 1.0)
        wrong |= working & (slope < tolerance)
    step = NewtonStep(np.maximum(direction, lowest), working, damped)
    if wrong.any():
        rows = np.flatnonzero(wrong.any(-1))
        step = replace(step, working=working.copy())
        for b in rows:
            found = _bounded_minimum(psi[b], gradient[b], hessian[b], bounded=bounded, held=held[b])
            if found is not None:
                step.direction[b], step.working[b], step.damped[b] = found
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
    fixed = working | held
    if fixed.any():
        direction, free = np.where(working, -psi, 0.0), np.flatnonzero(~fixed)
        right = -gradient - hessian @ direction
        solution, damped = _solution(hessian[free[:, None], free], right[free])
        direction[free] = solution
    else:
        direction, damped = _solution(hessian, -gradient)
    lowest = np.where(bounded, -psi, -np.inf)
    wrong = (direction < lowest).any()
    if not wrong and working.any():
        slope = (gradient + hessian @ direction)[working]
        wrong = slope.min() < -1e-15 * max(np.abs(gradient).max(), 1.0)
    if wrong:
        found = _bounded_minimum(psi, gradient, hessian, bounded=bounded, held=held)
        if found is not None:
            direction, working, damped = found
    direction = np.maximum(direction, lowest)
    return NewtonStep(direction[None], working[None], np.array([damped]))


def _bounded_minimum(
    psi: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
    *,
    bounded: np.ndarray,
    held: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, bool] | None:
    """One program by non-negative least squares, None if that could not be finished.

    Returns:
        Direction, entries at their bound, and whether the Hessian was damped.
    """
    start = np.where(held, 0.0, psi)
    order = np.concatenate([np.flatnonzero(~(bounded | held)), np.flatnonzero(bounded)])
    u = len(order) - int(bounded.sum())
    lower, damped = _factor_one(hessian[order[:, None], order])
    solve = scipy.linalg.lapack.dtrtrs
    target, _ = solve(lower, (hessian @ start - gradient)[order], lower=1)
    try:
        least, _ = scipy.optimize.nnls(
            lower[u:, u:].T, target[u:], maxiter=_MAX_PIVOTS * (len(order) - u)
        )
    except (RuntimeError, ValueError):  # too many exchanges, or numbers beyond the largest
        return None
    position = np.zeros_like(psi)
    position[order[u:]] = least
    if u:
        rest = target[:u] - lower[u:, :u].T @ least
        position[order[:u]], _ = solve(lower[:u, :u], rest, lower=1, trans=1)
    at_bound = bounded & (position == 0.0)
    return np.where(at_bound, -psi, position - start), at_bound, damped


def _solution(matrix: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, bool]:
    """Solve a positive definite system; and whether its matrix needed damping."""
    if not len(right):
        return right, False
    lower, damped = _factor_one(matrix)
    solution, _ = scipy.linalg.lapack.dpotrs(lower, right, lower=1)
    return solution, damped


def _factor_one(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """Lower Cholesky factor of one matrix, and whether it needed damping."""
    lower, info = scipy.linalg.lapack.dpotrf(matrix, lower=1)
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
