r"""Exact maximum likelihood for classical nodes: a safeguarded Newton method with a certificate.

The negative log-likelihood is convex in offset, increments and weights
(:mod:`tramdag.fitting.likelihood`), with the increments bounded below by zero.
Every Newton step minimises the quadratic model subject to :math:`\gamma \ge 0` by an active-set
method, followed by step halving. The maximum is global, so the answer does not depend on a seed,
and the certificate (Karush-Kuhn-Tucker residual, Newton decrement) can be checked afterwards.

References:
    Nocedal and Wright (2006), Numerical Optimization, chapters 16 and 18.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import torch

from tramdag.data import Values
from tramdag.fitting.likelihood import ConvexLikelihood, likelihood_of
from tramdag.fitting.separation import Separation, find_separation
from tramdag.node import Conditional
from tramdag.transforms import inverse_positive

__all__ = ["KKT_TOLERANCE", "Certificate", "fit_exact", "minimise"]

KKT_TOLERANCE = 1e-8
"""A fit counts as converged below this residual, in nats per row and unit of psi."""

_TARGET = 1e-13
"""Newton goes on to here, to rounding error: quadratic convergence makes it one more step."""

_MAX_STEPS = 100
_MAX_HALVINGS = 60


@dataclass(frozen=True)
class Certificate:
    """Evidence that a convex fit is at its global optimum.

    Attributes:
        steps: Newton steps taken.
        kkt_residual: Largest violation of the optimality conditions, per row: |gradient| of free
            parameters, and how far a projected gradient step would move a bounded one.
        newton_decrement: Decrease of the total negative log-likelihood, in nats, that the quadratic
            model still promises; bounds the gap to the optimum up to higher order.
        active_bounds: Increments k (1-based) at their bound of zero, where h is locally flat or a
            level is empty; no standard error exists for them.
        separated: Shift columns whose estimate runs off to infinity, with the sign of the direction
            (+1 or -1); see :mod:`tramdag.fitting.separation`.
        separated_cutpoints: Cutpoints that do.
        inestimable: Shift columns that are linear combinations of earlier ones, or zero in every
            row; their coefficients are held at zero.
    """

    steps: int
    kkt_residual: float
    newton_decrement: float
    active_bounds: tuple[int, ...]
    inestimable: tuple[int, ...]
    separated: tuple[tuple[int, int], ...] = ()
    separated_cutpoints: tuple[int, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether the optimality conditions hold to :data:`KKT_TOLERANCE`."""
        return self.kkt_residual <= KKT_TOLERANCE


@torch.no_grad()
def fit_exact(conditional: Conditional, values: Values) -> Certificate:
    """Set intercept and linear shift of a node to their maximum likelihood estimate.

    Args:
        conditional: A node with a convex head; its scalings must be set. Networks are left alone
            and taken as zero, which gives such a node the start of a gradient method.
        values: Training rows.

    Returns:
        The certificate of the solution.
    """
    double = copy.deepcopy(conditional).double()
    likelihood = likelihood_of(double, values)
    psi, certificate = minimise(likelihood)
    n_intercept = likelihood.n_intercept
    separation = find_separation(likelihood, psi, held=certificate.inestimable)
    certificate = _with_separation(certificate, separation)
    solution = torch.from_numpy(psi)
    conditional.intercept[0] = solution[0]
    conditional.intercept[1:] = inverse_positive(solution[1:n_intercept])
    conditional.linear.weight.copy_(solution[n_intercept:])
    return certificate


def _with_separation(certificate: Certificate, separation: Separation | None) -> Certificate:
    if separation is None:
        return certificate
    columns = np.flatnonzero(separation.weights)
    return replace(
        certificate,
        separated=tuple((int(j), int(np.sign(separation.weights[j]))) for j in columns),
        separated_cutpoints=tuple(int(k) for k in np.flatnonzero(separation.cutpoints)),
    )


def minimise(
    likelihood: ConvexLikelihood, *, fixed: Mapping[int, float] | None = None
) -> tuple[np.ndarray, Certificate]:
    """Minimise a convex negative log-likelihood by Newton's method under the increments' bounds.

    Args:
        likelihood: The node's likelihood.
        fixed: Entries of psi that are held at a value (profile likelihood).

    Returns:
        psi and its certificate.
    """
    psi = likelihood.start()
    bounded = likelihood.bounded
    dependent = _dependent_columns(likelihood.shift.numpy())
    held = np.zeros(len(psi), dtype=bool)
    held[likelihood.n_intercept + np.array(dependent, dtype=int)] = True
    for index, at in (fixed or {}).items():
        psi[index], held[index] = at, True
    best: tuple[float, float, np.ndarray] | None = None
    for step in range(_MAX_STEPS + 1):
        value, gradient, hessian = likelihood(psi, order=2)
        residual = _kkt_residual(psi, gradient, bounded, held)
        direction = _newton_direction(psi, gradient, hessian, bounded, held)
        promised = -float(gradient @ direction + 0.5 * direction @ hessian @ direction)
        improved = best is None or residual < best[0]
        if improved:
            best = (residual, max(promised, 0.0) * likelihood.n, psi)
        # at rounding level neither the value nor the residual improves any more
        exhausted = residual <= _TARGET or (residual <= KKT_TOLERANCE and not improved)
        if exhausted or step == _MAX_STEPS:
            break
        length = _step_length(likelihood, psi, float(value), gradient, direction)
        if length == 0.0:
            break
        psi = psi + length * direction
        psi[bounded] = np.maximum(psi[bounded], 0.0)
    assert best is not None
    residual, decrement, psi = best
    active = tuple(int(k) for k in np.flatnonzero(bounded & (psi == 0.0)))
    return psi, Certificate(step, residual, decrement, active, dependent)


def _kkt_residual(
    psi: np.ndarray, gradient: np.ndarray, bounded: np.ndarray, held: np.ndarray
) -> float:
    projected = np.where(bounded, psi - np.maximum(psi - gradient, 0.0), gradient)
    return float(np.abs(projected[~held]).max(initial=0.0))


def _step_length(
    likelihood: ConvexLikelihood,
    psi: np.ndarray,
    value: float,
    gradient: np.ndarray,
    direction: np.ndarray,
) -> float:
    """Armijo step halving; near the optimum, where differences drown in rounding, the full step."""
    slope = float(gradient @ direction)
    noise = 64 * np.finfo(float).eps * max(abs(value), 1.0)
    length = 1.0
    for _ in range(_MAX_HALVINGS):
        with np.errstate(invalid="ignore"):
            (new,) = likelihood(psi + length * direction, order=0)
        if np.isfinite(new) and new <= value + 1e-4 * length * slope + noise:
            return length
        length *= 0.5
    return 0.0


def _newton_direction(
    psi: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
    bounded: np.ndarray,
    held: np.ndarray,
) -> np.ndarray:
    """Minimise the quadratic model over ``psi + d >= 0`` (bounded entries) by a primal active set.

    Each round solves for the free parameters; the first bound met joins the working set, and once
    none is met, the most negative multiplier leaves it.
    """
    direction = np.zeros_like(psi)
    working = held | (bounded & (psi <= 0.0))
    tolerance = 1e-15 * max(1.0, float(np.abs(gradient).max()))
    for _ in range(20 * len(psi)):
        free = np.flatnonzero(~working)
        slope = gradient + hessian @ direction
        move = np.zeros_like(psi)
        move[free] = _solve_positive(hessian[np.ix_(free, free)], -slope[free])
        position = psi + direction
        hits = bounded & ~working & (position + move < 0.0)
        if hits.any():
            ratios = np.where(hits, position / np.where(hits, -move, 1.0), np.inf)
            first = int(np.argmin(ratios))
            direction += ratios[first] * move
            direction[first] = -psi[first]
            working[first] = True
            continue
        direction += move
        multipliers = np.where(working & ~held, gradient + hessian @ direction, np.inf)
        worst = int(np.argmin(multipliers))
        if multipliers[worst] >= -tolerance:
            break
        working[worst] = False
    return direction


def _solve_positive(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve with a symmetric positive definite matrix, damping a numerically singular one."""
    if len(right) == 0:
        return right
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    scaled = matrix * np.outer(scale, scale)
    damping = 0.0
    while True:
        try:
            factor = scipy.linalg.cho_factor(
                scaled + damping * np.eye(len(right)), check_finite=False
            )
        except scipy.linalg.LinAlgError:
            damping = max(10 * damping, 1e-14)
            continue
        return scale * scipy.linalg.cho_solve(factor, scale * right, check_finite=False)


def _dependent_columns(columns: np.ndarray) -> tuple[int, ...]:
    """Columns that the constant and earlier columns already span, in the columns' own order."""
    design = np.column_stack([np.ones(len(columns)), columns])
    norms = np.linalg.norm(design, axis=0)
    unit = design / np.where(norms > 0, norms, 1.0)
    gram = unit.T @ unit
    kept, dependent = [0], []
    for j in range(1, design.shape[1]):
        spanned = gram[j, kept] @ scipy.linalg.solve(
            gram[np.ix_(kept, kept)], gram[kept, j], assume_a="pos"
        )
        # squared sine of the angle between the column and the span of the kept ones
        if norms[j] == 0.0 or 1.0 - spanned < 1e-12:
            dependent.append(j - 1)
        else:
            kept.append(j)
    return tuple(dependent)
