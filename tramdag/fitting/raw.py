"""From the solver's parameters psi to those in the units of the columns."""

from __future__ import annotations

import numpy as np

from tramdag.node import Conditional, OrdinalConditional

__all__ = ["raw_jacobian"]


def raw_jacobian(conditional: Conditional) -> np.ndarray:
    r"""Derivative of the raw parameters in psi = (offset, increments, standardised weights).

    .. math:: \beta_j = w_j / s_j, \qquad
        \theta_k = a + \sum_{i \le k} \gamma_i \pm \sum_j m_j w_j / s_j

    with the columns' means m and scales s: the shift centres them, and in raw units the constant
    belongs to theta (plus for an ordinal node, minus for a continuous one).

    Returns:
        Coefficients first, then for a classical node theta; shape ``(p + k, q)`` or ``(p, q)``.
    """
    p, k = len(conditional.linear.columns), len(conditional.intercept)
    scale = conditional.linear.scale.double().cpu().numpy()
    mean = conditional.linear.mean.double().cpu().numpy()
    beta = np.zeros((p, k + p))
    beta[:, k:] = np.diag(1.0 / scale)
    if not conditional.is_classical:
        return beta
    theta = np.zeros((k, k + p))
    theta[:, :k] = np.tril(np.ones((k, k)))
    sign = 1.0 if isinstance(conditional, OrdinalConditional) else -1.0
    theta[:, k:] = sign * mean / scale
    return np.concatenate([beta, theta])
