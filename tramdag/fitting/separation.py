r"""Does a finite maximum exist? A linear program decides, and names what separates.

The likelihood of an ordinal node has no finite maximum exactly when a direction
:math:`(\Delta\theta, \Delta\beta)` moves no row's interval ends against its level:
:math:`\Delta u_i \ge 0` and :math:`\Delta l_i \le 0` for all rows, not all zero. Along it the
likelihood never falls, so some estimate runs off to infinity ((quasi-)complete separation).
A continuous node has no such direction: both tails of the logistic density pull back.

References:
    Albert and Anderson (1984), Biometrika 71; Konis (2007), DPhil thesis, University of Oxford.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import torch

from tramdag.fitting.likelihood import ConvexLikelihood, OrdinalLikelihood

__all__ = ["Separation", "find_separation"]

_SUSPICIOUS_END = 12.0
"""At a separated fit the ends that may grow have grown to beyond this before Newton stops."""

_SMALLEST_GAIN = 1e-7
"""Entries below this are the linear program's own tolerance."""


@dataclass(frozen=True)
class Separation:
    """A direction in which the likelihood never falls.

    Attributes:
        weights: Change of the standardised shift columns' weights, shape ``(p,)``, in [-1, 1]; zero
            where a column takes no part.
        cutpoints: Change of the cutpoints, shape ``(K - 1,)``.
    """

    weights: np.ndarray
    cutpoints: np.ndarray


def find_separation(
    likelihood: ConvexLikelihood,
    psi: np.ndarray,
    *,
    held: Collection[int] = (),
) -> Separation | None:
    """The separating direction at a fit that may have run off to infinity, else None.

    Under complete separation many directions separate, and most columns can take part in one. Only
    those without which no separation is left are named, or all of one direction if there is none.

    Args:
        likelihood: The node's likelihood.
        psi: Its parameters where the solver stopped. If every finite interval end is small there,
            the maximum is finite and no program is solved.
        held: Shift columns that may not move: not estimable, or fixed.
    """
    if not isinstance(likelihood, OrdinalLikelihood):
        return None
    upper, lower = likelihood.ends(torch.from_numpy(psi), slice(None))
    ends = torch.cat([upper[upper.isfinite()], lower[lower.isfinite()]])
    if not bool((ends.abs() > _SUSPICIOUS_END).any()):
        return None
    A_upper, A_lower = (part.numpy() for part in likelihood.designs(slice(None)))
    A_upper = A_upper[upper.isfinite().numpy()]
    A_lower = A_lower[lower.isfinite().numpy()]
    # equal rows make equal constraints; a cohort of levels and rounded values has far fewer
    gains = np.unique(np.concatenate([A_upper, -A_lower]), axis=0)
    direction = _direction(likelihood, gains, held)
    if direction is None:
        return None
    n_intercept = likelihood.n_intercept
    moving = np.flatnonzero(direction[n_intercept:])
    needed = [j for j in moving if _direction(likelihood, gains, {*held, int(j)}) is None]
    if needed:
        others = {int(j) for j in moving} - {int(j) for j in needed}
        direction = _direction(likelihood, gains, {*held, *others})
        assert direction is not None
    return Separation(direction[n_intercept:], np.cumsum(direction[:n_intercept]))


def _direction(
    likelihood: OrdinalLikelihood, gains: np.ndarray, held: Collection[int]
) -> np.ndarray | None:
    """A psi direction in [-1, 1] with no negative gain and some positive one, if there is one."""
    bounds = [(0.0 if increment else -1.0, 1.0) for increment in likelihood.bounded]
    for j in held:
        bounds[likelihood.n_intercept + j] = (0.0, 0.0)
    result = scipy.optimize.linprog(
        -gains.sum(0), A_ub=-gains, b_ub=np.zeros(len(gains)), bounds=bounds, method="highs"
    )
    if result.x is None or float(gains.sum(0) @ result.x) <= _SMALLEST_GAIN:
        return None
    return np.where(np.abs(result.x) > _SMALLEST_GAIN, result.x, 0.0)
