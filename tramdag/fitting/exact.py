r"""Exact maximum likelihood for classical nodes: a safeguarded Newton method with a certificate.

With parameters :math:`\psi = (a, \gamma, w)`, offset, increments :math:`\gamma \ge 0` and weights
of the standardised shift columns, the mean negative log-likelihood of a classical node is convex:

- continuous: :math:`-\log f(z) - \log h'` with :math:`z` and :math:`h'` linear in :math:`\psi`;
- ordinal: :math:`\zeta(-u) + \zeta(l) - \log(1 - e^{-(u - l)})` with ends :math:`l < u` linear in
  :math:`\psi` (:math:`\zeta` = softplus).

Every Newton step minimises the quadratic model subject to :math:`\gamma \ge 0` by an active-set
method, followed by step halving. The maximum is global, so the answer does not depend on a seed,
and the certificate (Karush-Kuhn-Tucker residual, Newton decrement) can be checked afterwards.

References:
    Nocedal and Wright (2006), Numerical Optimization, chapters 16 and 18.
"""

from __future__ import annotations

import abc
import copy
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from tramdag.data import Values
from tramdag.node import Conditional, ContinuousConditional, OrdinalConditional
from tramdag.transforms import inverse_positive

__all__ = ["KKT_TOLERANCE", "Certificate", "fit_exact"]

KKT_TOLERANCE = 1e-8
"""A fit counts as converged below this residual, in nats per row and unit of psi."""

_TARGET = 1e-13
"""Newton goes on to here, to rounding error: quadratic convergence makes it one more step."""

_MAX_STEPS = 100
_MAX_HALVINGS = 60
_BLOCK_ROWS = 65_536


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
        inestimable: Shift columns that are linear combinations of earlier ones, or zero in every
            row; their coefficients are held at zero.
    """

    steps: int
    kkt_residual: float
    newton_decrement: float
    active_bounds: tuple[int, ...]
    inestimable: tuple[int, ...]

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
    problem: _Problem
    if isinstance(double, ContinuousConditional):
        problem = _ContinuousProblem(double, values)
    elif isinstance(double, OrdinalConditional):
        problem = _OrdinalProblem(double, values)
    psi, certificate = _minimise(problem)
    n_intercept = problem.n_intercept
    solution = torch.from_numpy(psi)
    conditional.intercept[0] = solution[0]
    conditional.intercept[1:] = inverse_positive(solution[1:n_intercept])
    conditional.linear.weight.copy_(solution[n_intercept:])
    return certificate


class _Problem(abc.ABC):
    """Mean negative log-likelihood of a node as a function of psi, block by block of rows."""

    n_intercept: int
    shift: Tensor
    """Standardised shift columns X, (n, p), float64 on the CPU."""

    @abc.abstractmethod
    def start(self) -> np.ndarray:
        """A feasible psi with finite value."""

    @abc.abstractmethod
    def block(self, psi: Tensor, rows: slice, *, order: int) -> tuple[Tensor, ...]:
        """Sums over rows: value, and for ``order=2`` also gradient and Hessian."""

    def __call__(self, psi: np.ndarray, *, order: int) -> tuple[np.ndarray, ...]:
        """Mean value, and for ``order=2`` also gradient and Hessian."""
        n = len(self.shift)
        total: tuple[Tensor, ...] | None = None
        for start in range(0, n, _BLOCK_ROWS):
            part = self.block(torch.from_numpy(psi), slice(start, start + _BLOCK_ROWS), order=order)
            total = part if total is None else tuple(map(torch.add, total, part))
        assert total is not None
        return tuple((term / n).numpy() for term in total)


class _ContinuousProblem(_Problem):
    def __init__(self, conditional: ContinuousConditional, values: Values) -> None:
        encoded = conditional.encode(values)[:3]
        self.C, self.dC, self.shift = (part.cpu() for part in encoded)
        self._initial = conditional.transform.initial()
        self.n_intercept = len(self._initial)

    def start(self) -> np.ndarray:
        psi = np.zeros(self.n_intercept + self.shift.shape[1])
        psi[0] = self._initial[0]
        psi[1 : self.n_intercept] = torch.nn.functional.softplus(self._initial[1:])
        return psi

    def block(self, psi: Tensor, rows: slice, *, order: int) -> tuple[Tensor, ...]:
        C, dC, X = self.C[rows], self.dC[rows], self.shift[rows]
        increments, weights = psi[1 : self.n_intercept], psi[self.n_intercept :]
        z = psi[0] + C @ increments + X @ weights
        slope = dC @ increments
        value = _softplus(z) + _softplus(-z) - torch.log(slope)
        if order == 0:
            return (value.sum(),)
        G = torch.cat([torch.ones_like(z).unsqueeze(-1), C, X], -1)
        F = torch.sigmoid(z)
        ratio = dC / slope.unsqueeze(-1)
        gradient = G.T @ (2 * F - 1)
        gradient[1 : self.n_intercept] -= ratio.sum(0)
        hessian = G.T @ (G * (2 * F * torch.sigmoid(-z)).unsqueeze(-1))
        hessian[1 : self.n_intercept, 1 : self.n_intercept] += ratio.T @ ratio
        return value.sum(), gradient, hessian


class _OrdinalProblem(_Problem):
    def __init__(self, conditional: OrdinalConditional, values: Values) -> None:
        level, shift = conditional.encode(values)[:2]
        self.level, self.shift = level.cpu(), shift.cpu()
        self.levels = conditional.levels
        self.n_intercept = self.levels - 1
        # row k: the coefficients of theta_k in (a, gamma)
        self._cumulative = torch.ones(self.levels - 1, self.levels - 1, dtype=torch.float64).tril()

    def start(self) -> np.ndarray:
        counts = torch.bincount(self.level, minlength=self.levels) + 0.5
        below = counts.cumsum(0)[:-1] / counts.sum()
        theta = torch.log(below / (1 - below)).to(torch.float64)
        weights = torch.zeros(self.shift.shape[1], dtype=torch.float64)
        return torch.cat([theta[:1], theta.diff(), weights]).numpy()

    def block(self, psi: Tensor, rows: slice, *, order: int) -> tuple[Tensor, ...]:
        level, X = self.level[rows], self.shift[rows]
        theta = self._cumulative @ psi[: self.n_intercept]
        shift = X @ psi[self.n_intercept :]
        has_upper, has_lower = level < self.levels - 1, level > 0
        upper = theta[level[has_upper]] - shift[has_upper]
        lower = theta[level[has_lower] - 1] - shift[has_lower]
        # only inner levels have both ends; increment k is the gap of level k
        counts = torch.bincount(level, minlength=self.levels)[1:-1].to(torch.float64)
        gaps = psi[1 : self.n_intercept]
        seen = counts > 0
        log_mass = torch.where(seen, torch.log(-torch.expm1(-gaps)), 0.0)
        value = _softplus(-upper).sum() + _softplus(lower).sum() - (counts * log_mass).sum()
        if order == 0:
            return (value,)
        A_upper = torch.cat([self._cumulative[level[has_upper]], -X[has_upper]], -1)
        A_lower = torch.cat([self._cumulative[level[has_lower] - 1], -X[has_lower]], -1)
        p_upper, p_lower = torch.sigmoid(-upper), torch.sigmoid(lower)
        gradient = A_lower.T @ p_lower - A_upper.T @ p_upper
        hessian = A_upper.T @ (A_upper * (p_upper * torch.sigmoid(upper)).unsqueeze(-1))
        hessian += A_lower.T @ (A_lower * (p_lower * torch.sigmoid(-lower)).unsqueeze(-1))
        mass = -torch.expm1(-gaps)
        inner = slice(1, self.n_intercept)
        gradient[inner] -= torch.where(seen, counts * torch.exp(-gaps) / mass, 0.0)
        curvature = torch.where(seen, counts * torch.exp(-gaps) / mass**2, 0.0)
        hessian[inner, inner] += torch.diag(curvature)
        return value, gradient, hessian


_softplus = partial(torch.nn.functional.softplus, threshold=40.0)


def _minimise(problem: _Problem) -> tuple[np.ndarray, Certificate]:
    """Newton's method on psi with increments bounded below by zero."""
    psi = problem.start()
    n_rows = len(problem.shift)
    bounded = np.zeros(len(psi), dtype=bool)
    bounded[1 : problem.n_intercept] = True
    dependent = _dependent_columns(problem.shift.numpy())
    held = np.zeros(len(psi), dtype=bool)
    held[problem.n_intercept + np.array(dependent, dtype=int)] = True
    best: tuple[float, float, np.ndarray] | None = None
    for step in range(_MAX_STEPS + 1):
        value, gradient, hessian = problem(psi, order=2)
        residual = _kkt_residual(psi, gradient, bounded, held)
        direction = _newton_direction(psi, gradient, hessian, bounded, held)
        promised = -float(gradient @ direction + 0.5 * direction @ hessian @ direction)
        improved = best is None or residual < best[0]
        if improved:
            best = (residual, max(promised, 0.0) * n_rows, psi)
        # at rounding level neither the value nor the residual improves any more
        exhausted = residual <= _TARGET or (residual <= KKT_TOLERANCE and not improved)
        if exhausted or step == _MAX_STEPS:
            break
        length = _step_length(problem, psi, float(value), gradient, direction)
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
    problem: _Problem, psi: np.ndarray, value: float, gradient: np.ndarray, direction: np.ndarray
) -> float:
    """Armijo step halving; near the optimum, where differences drown in rounding, the full step."""
    slope = float(gradient @ direction)
    noise = 64 * np.finfo(float).eps * max(abs(value), 1.0)
    length = 1.0
    for _ in range(_MAX_HALVINGS):
        with np.errstate(invalid="ignore"):
            (new,) = problem(psi + length * direction, order=0)
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
