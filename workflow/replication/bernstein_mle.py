r"""The reference for a continuous node: the Bernstein likelihood, minimised by scipy.

No classical program fits a linear transformation model with a Bernstein transform, so this module
states the likelihood a second time, from its formula and on scipy's own B-splines, and leaves the
minimisation to scipy. With t = (x - q05) / (q95 - q05), the training 5 % and 95 % quantiles,

.. math::

    u = h(x) + z^\top\beta, \quad h = \sum_{k=0}^{M-1} \theta_k b_{k,M-1}(t), \quad
    -\log f = \operatorname{softplus}(u) + \operatorname{softplus}(-u) - \log h'(x),

h continued linearly outside [0, 1] and :math:`\theta` increasing. In the offset
:math:`\theta_0`, the increments :math:`\gamma_k = \theta_k - \theta_{k-1} \ge 0` and
:math:`\beta` this is a convex problem with bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy
from scipy.interpolate import BSpline
from scipy.optimize import Bounds, minimize, root
from scipy.special import expit

from replication.classical_fit import ClassicalFitError, Floats, check_design

__all__ = ["BernsteinFit", "fit_bernstein"]

_LARGEST_RESIDUAL = 1e-7
"""Residual of the optimality conditions, per row, up to which a fit counts as converged."""


@dataclass(frozen=True, eq=False)
class BernsteinFit:
    r"""Maximum-likelihood estimate of a linear transformation model.

    Attributes:
        names: Names of the design's columns.
        coefficients: :math:`\beta`, log odds ratios of X <= x per unit of a column.
        std_errors: From the observed information with the increments at their bound held there.
        theta: Increasing coefficients of the Bernstein polynomial, latent scale.
        theta_std_errors: Likewise; NaN for a theta whose increment is held at its bound.
        log_likelihood: Sum over rows, in nats, of the density per unit of x.
        n: Number of rows.
        n_active: Increments that are zero, that is, monotonicity constraints that bind.
        optimality_residual: Largest component of p - max(p - gradient / n, bound) over the
            parameters p, on standardised columns; zero at the maximum and nowhere else.
        source: The program with its version.
    """

    names: tuple[str, ...]
    coefficients: Floats
    std_errors: Floats
    theta: Floats
    theta_std_errors: Floats
    log_likelihood: float
    n: int
    n_active: int
    optimality_residual: float
    source: str


@dataclass(frozen=True, eq=False)
class _Problem:
    """Mean negative log-likelihood in p with u = G p and h' = D p, bounded below by ``lower``."""

    G: Floats
    D: Floats
    lower: Floats

    def value(self, p: Floats) -> float:
        slope = self.D @ p
        if slope.min() <= 0:
            return np.inf
        u = self.G @ p
        return float(np.mean(np.logaddexp(0, u) + np.logaddexp(0, -u) - np.log(slope)))

    def gradient(self, p: Floats) -> Floats:
        u, slope = self.G @ p, self.D @ p
        gradient: Floats = (self.G.T @ (2 * expit(u) - 1) - self.D.T @ (1 / slope)) / len(u)
        return gradient

    def hessian(self, p: Floats) -> Floats:
        u, slope = self.G @ p, self.D @ p
        weights = 2 * expit(u) * expit(-u)
        hessian: Floats = (self.G.T * weights) @ self.G + (self.D.T / slope**2) @ self.D
        return hessian / len(u)

    def residual(self, p: Floats) -> float:
        """How far p is from optimal: largest move of a projected gradient step."""
        return float(np.abs(p - np.maximum(p - self.gradient(p), self.lower)).max())


def fit_bernstein(
    outcome: npt.ArrayLike, design: npt.ArrayLike, names: Sequence[str], *, n_coefs: int = 20
) -> BernsteinFit:
    r"""Fit :math:`P(X \le x \mid z) = \sigma(h(x) + z^\top \beta)` with a Bernstein h.

    SLSQP finds which increments are zero; a root of the gradient in the others then gives all
    digits.

    Args:
        outcome: Real values, shape ``(n,)``.
        design: Columns without an intercept, shape ``(n, n_columns)``; may have none.
        names: One name per column.
        n_coefs: Coefficients of the polynomial (its degree plus one); 2 gives the affine h.

    Raises:
        ClassicalFitError: Values that are not finite, equal 5 % and 95 % quantiles, a column that
            is not identified, or no convergence.
    """
    x: Floats = np.asarray(outcome, dtype=float)
    if x.ndim != 1 or x.size == 0 or not np.isfinite(x).all():
        raise ClassicalFitError(
            f"outcome: expected a non-empty vector of finite values, got shape {x.shape}."
        )
    matrix = check_design(design, names, n_rows=len(x))
    low, high = np.quantile(x, [0.05, 0.95])
    if not high > low:
        raise ClassicalFitError(
            f"outcome: its 5 % and 95 % quantiles are both {low}, so no transform can be anchored."
        )
    center, scale = matrix.mean(axis=0), matrix.std(axis=0)
    C, dC = _cumulative_basis((x - low) / (high - low), n_coefs)
    problem = _Problem(
        G=np.hstack([C, (matrix - center) / scale]),
        D=np.hstack([dC / (high - low), np.zeros_like(matrix)]),
        lower=np.concatenate([[-np.inf], np.zeros(n_coefs - 1), np.full(len(names), -np.inf)]),
    )
    p = _minimise(problem, n_coefs)
    residual = problem.residual(p)
    if not residual <= _LARGEST_RESIDUAL:
        raise ClassicalFitError(
            f"scipy stopped at an optimality residual of {residual:.2e}, allowed is "
            f"{_LARGEST_RESIDUAL:.0e}."
        )
    free = p > problem.lower
    information = len(x) * problem.hessian(p)[np.ix_(free, free)]
    covariance = np.zeros((len(p), len(p)))
    covariance[np.ix_(free, free)] = np.linalg.inv(information)
    jacobian = _to_raw_scale(n_coefs, center, scale)
    errors = np.sqrt(np.diag(jacobian @ covariance @ jacobian.T))
    coefficients = p[n_coefs:] / scale
    return BernsteinFit(
        names=tuple(names),
        coefficients=coefficients,
        std_errors=errors[n_coefs:],
        theta=p[:n_coefs].cumsum() - center @ coefficients,
        theta_std_errors=np.where(free[:n_coefs], errors[:n_coefs], np.nan),
        log_likelihood=-len(x) * problem.value(p),
        n=len(x),
        n_active=int((~free).sum()),
        optimality_residual=residual,
        source=f"scipy SLSQP {scipy.__version__}",
    )


def _to_raw_scale(n_coefs: int, center: Floats, scale: Floats) -> Floats:
    """Jacobian of (theta, beta) per raw unit with respect to p, on standardised columns."""
    jacobian = np.zeros((n_coefs + len(scale), n_coefs + len(scale)))
    jacobian[:n_coefs, :n_coefs] = np.tril(np.ones((n_coefs, n_coefs)))
    jacobian[:n_coefs, n_coefs:] = -center / scale
    jacobian[n_coefs:, n_coefs:] = np.diag(1.0 / scale)
    return jacobian


def _cumulative_basis(t: Floats, n_coefs: int) -> tuple[Floats, Floats]:
    """Basis of (theta_0, increments) and its derivative in t, both of shape ``(n, n_coefs)``.

    A B-spline with no inner knots is the Bernstein basis.
    """
    inside = np.clip(t, 0.0, 1.0)
    knots = np.concatenate([np.zeros(n_coefs), np.ones(n_coefs)])
    bernstein = BSpline(knots, np.eye(n_coefs), n_coefs - 1)
    slope = bernstein.derivative()(inside)
    value = bernstein(inside) + (t - inside)[:, None] * slope
    cumulate = np.tril(np.ones((n_coefs, n_coefs)))
    return value @ cumulate, slope @ cumulate


def _minimise(problem: _Problem, n_coefs: int) -> Floats:
    start = np.zeros(problem.G.shape[1])
    # the straight line that gives the 5 % and 95 % quantiles the logits -3 and 3
    start[0], start[1:n_coefs] = -3.0, 6.0 / (n_coefs - 1)
    found = minimize(
        problem.value,
        start,
        jac=problem.gradient,
        method="SLSQP",
        bounds=Bounds(problem.lower, np.inf, keep_feasible=True),
        options={"ftol": 1e-15, "maxiter": 3000},
    )
    bound = found.x - problem.lower < 1e-8
    best: Floats = np.where(bound, problem.lower, found.x)
    polished = _polish(problem, best, free=~bound)
    return min([best, polished], key=problem.residual)


def _polish(problem: _Problem, p: Floats, *, free: npt.NDArray[np.bool_]) -> Floats:
    """Solve for a zero gradient in the free parameters; the others stay at their bound."""

    def embed(values: Floats) -> Floats:
        full = p.copy()
        full[free] = values
        return full

    def gradient(values: Floats) -> Floats:
        return problem.gradient(embed(values))[free]

    def hessian(values: Floats) -> Floats:
        return problem.hessian(embed(values))[np.ix_(free, free)]

    solved = root(gradient, p[free], jac=hessian, tol=1e-14)
    polished = embed(solved.x)
    return polished if (polished >= problem.lower).all() else p
