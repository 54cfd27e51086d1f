r"""Profile-likelihood intervals: all values that a likelihood-ratio test does not reject.

.. math:: \{ b : 2 (\ell(\hat\psi) - \max_{\psi: \beta_j = b} \ell(\psi)) \le \chi^2_{1} \}

with the quantile of the chi-squared law at the interval's level on the right.

Each evaluation is a constrained convex fit. Unlike Wald's, the interval follows the likelihood's
shape, does not depend on the scale, and stays meaningful under separation, where it is one-sided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy
from torch import Tensor

from tramdag.data import Values
from tramdag.errors import SpecError
from tramdag.fitting.exact import minimise
from tramdag.fitting.likelihood import likelihood_of
from tramdag.node import Conditional

__all__ = ["ProfileInterval", "profile_interval"]

_MAX_DOUBLINGS = 60
_FIRST_STEP = 0.25
"""First step from the estimate, in weights of a standardised column; doubled until outside."""


@dataclass(frozen=True)
class ProfileInterval:
    """A profile-likelihood interval of one coefficient, raw units.

    Attributes:
        estimate: Maximum likelihood estimate, infinite under separation; nan if the rows are
            explained equally well whatever the coefficient is.
        lower: Lower end, -inf if the likelihood does not fall on that side.
        upper: Upper end, +inf likewise.
        level: Confidence level.
    """

    estimate: float
    lower: float
    upper: float
    level: float


def profile_interval(
    conditional: Conditional,
    values: Values,
    column: int,
    *,
    level: float,
    weights: Tensor | None = None,
) -> ProfileInterval:
    """Profile interval of one linear coefficient of a classical node.

    Args:
        conditional: The fitted node.
        values: Its training rows.
        column: Index into ``conditional.linear.columns``.
        level: Confidence level.
        weights: The rows' case weights, ``(n,)``, None if they have none.

    Raises:
        SpecError: The node has networks, or the coefficient is not estimable.
    """
    if not conditional.is_classical:
        raise SpecError(
            f"node {conditional.name!r} has networks; profile intervals need a classical node."
        )
    likelihood = likelihood_of(conditional, values, weights)
    solution = minimise(likelihood)
    certificate, separation = solution.certificate(), solution.separations.get(0)
    label = conditional.linear.columns[column].name
    held = certificate.inestimable
    if column in held:
        raise SpecError(f"node {conditional.name!r}: {label} is not estimable from these rows.")
    index = likelihood.n_intercept + column
    best, estimate = float(solution.nll[0]), float(solution.psi[0, index])
    threshold = float(scipy.stats.chi2.ppf(level, 1)) / (2.0 * float(likelihood.total))

    def excess(weight: float) -> float:
        constrained = minimise(
            likelihood, fixed={index: weight}, start=solution.psi, separation=False
        )
        return float(constrained.nll[0]) - best - threshold

    direction = 0
    if separation is not None:
        direction = int(separation.signs[column])
        if direction == 0 and bool(separation.weights[column].any()):
            # a direction without this coefficient leads to the supremum from any value of it
            return ProfileInterval(np.nan, -np.inf, np.inf, level)
    lower = -np.inf if direction < 0 else _cross(excess, estimate, -_FIRST_STEP)
    upper = np.inf if direction > 0 else _cross(excess, estimate, _FIRST_STEP)
    scale = float(conditional.linear.scale[column])
    raw = direction * np.inf if direction else estimate / scale
    return ProfileInterval(raw, lower / scale, upper / scale, level)


def _cross(excess: Callable[[float], float], start: float, step: float) -> float:
    """Where the profile crosses the threshold on one side; infinite if it never does."""
    inside = start
    for _ in range(_MAX_DOUBLINGS):
        outside = inside + step
        if excess(outside) > 0:
            return float(scipy.optimize.brentq(excess, inside, outside, xtol=1e-10, rtol=1e-12))
        inside, step = outside, 2.0 * step
    return float(np.sign(step) * np.inf)
