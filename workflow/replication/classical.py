r"""The reference from statsmodels: ``OrderedModel`` and ``Logit`` in float64.

OrderedModel has numerical derivatives only. On standardised columns its BFGS nevertheless reaches
the maximum to about 1e-8 in the coefficients. The standard errors come from its numerical Hessian
of the log-likelihood and are good to about 1e-6 relative. Logit has both derivatives in closed
form.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import statsmodels
from scipy.special import logit
from statsmodels.discrete.discrete_model import Logit
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from replication.classical_fit import (
    ClassicalFit,
    ClassicalFitError,
    Floats,
    check_design,
    check_levels,
    check_overlap,
)

__all__ = ["fit_logit", "fit_ordered_model"]

_LARGEST_SCORE = 1e-6
"""Mean score per row, on standardised columns, up to which a fit counts as converged."""


def fit_ordered_model(
    outcome: npt.ArrayLike, design: npt.ArrayLike, names: Sequence[str]
) -> ClassicalFit:
    r"""Proportional-odds model :math:`P(Y \le k) = \sigma(\zeta_k - x^\top b)`.

    Without columns the estimate is the closed form :math:`\zeta_k = \text{logit}\, \hat F(k)`,
    because OrderedModel needs a column.

    Args:
        outcome: Levels 0, ..., K - 1, each with at least one row; shape ``(n,)``.
        design: Columns without an intercept, shape ``(n, n_columns)``; may have none.
        names: One name per column.

    Raises:
        ClassicalFitError: An empty level, a column that is not identified, levels that are
            separated, or no convergence.
    """
    levels = check_levels(outcome)
    matrix = check_design(design, names, n_rows=len(levels))
    if not names:
        return _fit_cutpoints(levels)
    check_overlap(levels, matrix, names)
    center, scale = matrix.mean(axis=0), matrix.std(axis=0)
    model = OrderedModel(levels, (matrix - center) / scale, distr="logit")
    with warnings.catch_warnings():
        # BFGS announces that it stops for lack of digits; the score below is the real criterion
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = model.fit(method="bfgs", gtol=1e-9, maxiter=2000, disp=False)
    parameters = np.asarray(result.params)
    _check_score(model.score(parameters) / len(levels), "OrderedModel")
    covariance = np.asarray(result.cov_params())
    raw, jacobian = _to_raw_scale(parameters, center, scale)
    errors = np.sqrt(np.diag(jacobian @ covariance @ jacobian.T))
    split = len(names)
    return ClassicalFit(
        names=tuple(names),
        coefficients=raw[:split],
        std_errors=errors[:split],
        cutpoints=raw[split:],
        cutpoint_std_errors=errors[split:],
        log_likelihood=float(result.llf),
        n=len(levels),
        warnings=(),
        source=f"statsmodels OrderedModel {statsmodels.__version__}",
    )


def fit_logit(outcome: npt.ArrayLike, design: npt.ArrayLike, names: Sequence[str]) -> ClassicalFit:
    r"""Logistic regression by Newton's method, with the cutpoint :math:`\zeta_0 = -` intercept.

    Args:
        outcome: Levels 0 and 1, shape ``(n,)``.
        design: Columns without an intercept, shape ``(n, n_columns)``; may have none.
        names: One name per column.

    Raises:
        ClassicalFitError: Not two levels, a column that is not identified, levels that are
            separated, or no convergence.
    """
    levels = check_levels(outcome)
    if levels.max() != 1:
        raise ClassicalFitError(
            f"fit_logit: the outcome has {levels.max() + 1} levels, allowed are two; use "
            "fit_ordered_model."
        )
    matrix = check_design(design, names, n_rows=len(levels))
    check_overlap(levels, matrix, names)
    model = Logit(levels, np.column_stack([np.ones(len(levels)), matrix]))
    result = model.fit(method="newton", tol=1e-12, maxiter=100, disp=False)
    parameters, errors = np.asarray(result.params), np.asarray(result.bse)
    largest = np.maximum(1.0, np.abs(np.insert(matrix, 0, 1.0, axis=1)).max(axis=0))
    _check_score(model.score(parameters) / largest / len(levels), "Logit")
    return ClassicalFit(
        names=tuple(names),
        coefficients=parameters[1:],
        std_errors=errors[1:],
        cutpoints=-parameters[:1],
        cutpoint_std_errors=errors[:1],
        log_likelihood=float(result.llf),
        n=len(levels),
        warnings=(),
        source=f"statsmodels Logit {statsmodels.__version__}",
    )


def _check_score(score: Floats, model: str) -> None:
    largest = float(np.abs(score).max())
    if not largest <= _LARGEST_SCORE:
        raise ClassicalFitError(
            f"statsmodels {model} stopped at a mean score of {largest:.2e}, allowed is "
            f"{_LARGEST_SCORE:.0e}; rescale columns with extreme values."
        )


def _fit_cutpoints(levels: npt.NDArray[np.int64]) -> ClassicalFit:
    """The model without columns: logits of the empirical distribution function."""
    counts = np.bincount(levels)
    n = len(levels)
    below: Floats = counts.cumsum()[:-1] / n
    return ClassicalFit(
        names=(),
        coefficients=np.empty(0),
        std_errors=np.empty(0),
        cutpoints=logit(below),
        cutpoint_std_errors=1.0 / np.sqrt(n * below * (1.0 - below)),
        log_likelihood=float((counts * np.log(counts / n)).sum()),
        n=n,
        warnings=(),
        source="closed form",
    )


def _to_raw_scale(parameters: Floats, center: Floats, scale: Floats) -> tuple[Floats, Floats]:
    r"""(b, cutpoints) on the raw scale and their Jacobian with respect to OrderedModel's.

    OrderedModel's parameters are the coefficients b' of the standardised columns, the first
    cutpoint and the logarithms of the cutpoints' increments. Then :math:`b = b' / s` and
    :math:`\zeta_k = \zeta_k' + m^\top b` with means m and standard deviations s.
    """
    split, size = len(scale), len(parameters)
    increments = np.exp(parameters[split + 1 :])
    jacobian = np.zeros((size, size))
    jacobian[:split, :split] = np.diag(1.0 / scale)
    jacobian[split:, :split] = center / scale
    jacobian[split:, split:] = np.tril(np.ones((size - split, size - split)))
    jacobian[split:, split + 1 :] *= increments
    coefficients = parameters[:split] / scale
    cutpoints = parameters[split] + np.concatenate([[0.0], increments.cumsum()])
    return np.concatenate([coefficients, cutpoints + center @ coefficients]), jacobian
