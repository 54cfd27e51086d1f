r"""How a parent's odds ratio varies with another parent, with pointwise and simultaneous bands.

The log odds ratio of changing a parent from a to b at the value v of another is the difference of
two shifts, linear in the coefficients for LS, products of LS, and VC with a spline:
:math:`\Delta(v) = (x_b(v) - x_a(v))^T \beta`. Pointwise bands use its standard error and the normal
quantile. Simultaneous bands replace the quantile by that of :math:`\max_v |G_v|` with G normal
with the correlation of the estimates, so that the whole curve lies inside with the stated
probability.

References:
    Hothorn, Bretz and Westfall (2008), Biometrical Journal 50 (simultaneous inference).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy
import torch

from tramdag.data import Values
from tramdag.inference.information import Information, covariance
from tramdag.node import Conditional

__all__ = ["odds_ratio_curve"]

_DRAWS = 20_000


@torch.no_grad()
def odds_ratio_curve(
    conditional: Conditional,
    information: Information,
    before: Values,
    after: Values,
    *,
    n: int,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """Log odds ratio and odds ratio between two tables of parents, row by row.

    Args:
        conditional: The fitted child.
        information: Its information.
        before: Parents of n rows.
        after: The same rows with the parent changed.
        n: Number of rows.
        level: Confidence level of the bands.
        seed: Seed of the draws behind the simultaneous quantile.

    Returns:
        Columns log_odds_ratio, std_error, odds_ratio, lower, upper (pointwise, odds ratio scale),
        simultaneous_lower, simultaneous_upper. Errors and bands are missing where a network takes
        part in the change.
    """
    shifts = [
        conditional.parameters_given(*conditional.encode_parents(table, n))[1]
        for table in (before, after)
    ]
    estimate = (shifts[1] - shifts[0]).double().cpu().numpy()
    linear = conditional.linear
    designs = [linear.design(table, n).double().cpu().numpy() for table in (before, after)]
    contrast = designs[1] - designs[0]
    matrix = covariance(conditional, information)
    names = [column.name for column in linear.columns]
    kept = [j for j, name in enumerate(names) if name in matrix.index]
    kept_names = [names[j] for j in kept]
    error = np.full(n, np.nan)
    critical = np.nan
    explained = contrast @ linear.beta.double().cpu().numpy()
    lost = np.delete(contrast, kept, axis=1)
    if np.allclose(explained, estimate, atol=1e-8) and not lost.any():
        half = np.linalg.cholesky(matrix.loc[kept_names, kept_names].to_numpy())
        spread = contrast[:, kept] @ half
        error = np.sqrt((spread**2).sum(1))
        critical = _simultaneous_quantile(spread, error, level, seed)
    quantile = scipy.special.ndtri(0.5 + 0.5 * level)
    return pd.DataFrame(
        {
            "log_odds_ratio": estimate,
            "std_error": error,
            "odds_ratio": np.exp(estimate),
            "lower": np.exp(estimate - quantile * error),
            "upper": np.exp(estimate + quantile * error),
            "simultaneous_lower": np.exp(estimate - critical * error),
            "simultaneous_upper": np.exp(estimate + critical * error),
        }
    )


def _simultaneous_quantile(spread: np.ndarray, error: np.ndarray, level: float, seed: int) -> float:
    """Quantile of the largest absolute standardised deviation over the rows."""
    moving = error > 0
    if not moving.any():
        return float(scipy.special.ndtri(0.5 + 0.5 * level))
    draws = np.random.default_rng(seed).standard_normal((_DRAWS, spread.shape[1]))
    deviations = np.abs(draws @ (spread[moving] / error[moving, None]).T)
    return float(np.quantile(deviations.max(1), level))
