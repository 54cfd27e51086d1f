r"""Does a finite maximum exist? If not, name what separates.

The likelihood of an ordinal node has no finite maximum exactly when a direction
:math:`(\Delta\theta, \Delta\beta)` moves no row's interval ends against its level:
:math:`\Delta u_i \ge 0` and :math:`\Delta l_i \le 0` for all rows, not all zero. Along it the
likelihood never falls, so some estimate runs off to infinity ((quasi-)complete separation).
A continuous node has no such direction: both tails of the logistic density pull back.

The solver's last Newton step d rules such a direction v out nearly always, at no cost. With q and h
the slope and curvature of a row's softplus, :math:`h \le q`, the model's optimality
:math:`-g^T v \le v^T H d` reads :math:`\sum q_i v_i \le \sum h_i v_i d_i`, where v_i and d_i are
the changes of the interval ends. If every :math:`|d_i| < 1` it forces all :math:`v_i = 0`. The
gap's own term has curvature over slope :math:`1 / (1 - e^{-\gamma})`, which multiplies its change.
Otherwise a single column or empty outer levels are tried, then a linear program decides.

References:
    Albert and Anderson (1984), Biometrika 71; Konis (2007), DPhil thesis, University of Oxford.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from tramdag.fitting.convex import ConvexLikelihood
from tramdag.fitting.likelihood import OrdinalLikelihood
from tramdag.fitting.quadratic import NewtonStep

__all__ = ["Separation", "find_separation", "may_separate"]

_LARGE_MOVE = 0.5
"""Newton steps that move no interval end by this much exclude separation; 1 but for rounding."""

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

    @property
    def columns(self) -> tuple[tuple[int, int], ...]:
        """Columns that take part, with the sign of their change."""
        return tuple((int(j), int(np.sign(self.weights[j]))) for j in np.flatnonzero(self.weights))

    @property
    def moving_cutpoints(self) -> tuple[int, ...]:
        """Cutpoints that change."""
        return tuple(int(k) for k in np.flatnonzero(self.cutpoints))


def may_separate(likelihood: ConvexLikelihood, psi: np.ndarray, step: NewtonStep) -> np.ndarray:
    """Which replicates the Newton step cannot clear of separation, ``(B,)``, bool.

    Args:
        likelihood: The node's likelihood.
        psi: Where the solver stopped, ``(B, q)``.
        step: The Newton step there.
    """
    if not isinstance(likelihood, OrdinalLikelihood):
        return np.zeros(len(psi), dtype=bool)
    k = likelihood.n_intercept
    moves = _most_moves(likelihood, step.direction)
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps = np.abs(step.direction[:, 1:k]) / -np.expm1(-psi[:, 1:k])
    gaps = np.where(likelihood.counts[:, 1:-1].numpy() > 0, gaps, 0.0)
    small = (moves < _LARGE_MOVE) & (gaps < _LARGE_MOVE).all(-1)
    return step.damped | ~small


def _most_moves(likelihood: OrdinalLikelihood, direction: np.ndarray) -> np.ndarray:
    """How far any row's finite interval ends move, at most, ``(B,)``.

    An end moves by a cutpoint's change less the shift's; a bound of both settles most cases.
    """
    k = likelihood.n_intercept
    theta = np.abs(direction[:, :k].cumsum(-1)).max(-1)
    shift = direction[:, k:] @ likelihood.shift.numpy().T
    bound: np.ndarray = theta + np.maximum(shift.max(-1), -shift.min(-1))
    if (bound < _LARGE_MOVE).all():
        return bound
    upper, lower = likelihood.predict(torch.from_numpy(direction))
    upper = torch.where(upper.isfinite(), upper.abs(), 0.0)
    moves = torch.maximum(upper, torch.where(lower.isfinite(), lower.abs(), 0.0))
    if likelihood.weights is not None:
        moves = torch.where(likelihood.weights > 0, moves, 0.0)
    return moves.amax(-1).numpy()


def find_separation(
    likelihood: ConvexLikelihood, step: NewtonStep | None, *, held: Collection[int] = ()
) -> Separation | None:
    """The separating direction of a likelihood, None if there is none.

    Under complete separation many directions separate, and most columns can take part in one. Only
    those without which no separation is left are named, or all of one direction if there is none.

    Args:
        likelihood: The node's likelihood, of one replicate.
        step: The Newton step where the solver stopped; None goes straight to the linear program.
        held: Shift columns that may not move: not estimable, or fixed.
    """
    if not isinstance(likelihood, OrdinalLikelihood):
        return None
    if step is not None and not step.damped.any():
        simple = _single_separations(likelihood, step, held)
        if simple is not None:
            return simple
    gains = _gains(likelihood)
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


def _present(likelihood: OrdinalLikelihood) -> Tensor:
    """Rows with a positive weight, ``(n,)``, bool."""
    if likelihood.weights is None:
        return torch.ones(likelihood.n, dtype=torch.bool)
    return likelihood.weights[0] > 0


def _single_separations(
    likelihood: OrdinalLikelihood, step: NewtonStep, held: Collection[int]
) -> Separation | None:
    """Columns and empty outer levels that each separate alone, if nothing else does.

    Rows that they move are explained ever better and say nothing of other directions; the Newton
    step must clear the rest.
    """
    present, last = _present(likelihood), likelihood.levels - 1
    X, level = likelihood.shift[present], likelihood.level[present]
    nothing = X.new_zeros(1, X.shape[1])
    with_upper, with_lower = (torch.cat([X[rows], nothing]) for rows in (level < last, level > 0))
    up = (with_upper.amax(0) <= 0) & (with_lower.amin(0) >= 0)
    down = (with_upper.amin(0) >= 0) & (with_lower.amax(0) <= 0)
    weights = up.to(torch.float64) - down.to(torch.float64)
    weights[(X == 0).all(0)] = 0.0
    weights[list(held)] = 0.0
    first_level, last_level = int(level[0]), int(level[-1])
    cutpoints = np.zeros(last)
    cutpoints[:first_level], cutpoints[last_level:] = -1.0, 1.0
    if not bool(weights.any()) and not cutpoints.any():
        return None
    upper, lower = (
        part[0, present] for part in likelihood.predict(torch.from_numpy(step.direction))
    )
    stays = ((X == 0) | (weights == 0)).all(-1)
    for ends, gone in ((upper, level == last_level), (lower, level == first_level)):
        # the ends of outermost levels are those cutpoints themselves, or infinite
        if bool((ends[stays & ~gone].abs() >= _LARGE_MOVE).any()):
            return None
    return Separation(weights.numpy(), cutpoints)


def _gains(likelihood: OrdinalLikelihood) -> np.ndarray:
    """What a psi direction adds to the present rows' upper ends and takes off their lower ones."""
    present = _present(likelihood)
    A_upper, A_lower = (part[present].numpy() for part in likelihood.designs())
    level = likelihood.level[present].numpy()
    gains = [A_upper[level < likelihood.levels - 1], -A_lower[level > 0]]
    # equal rows make equal constraints; a cohort of levels and rounded values has far fewer
    return np.unique(np.concatenate(gains), axis=0)


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
