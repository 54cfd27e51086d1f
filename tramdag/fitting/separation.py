r"""Does a finite maximum exist? If not, name what separates.

The likelihood of an ordinal node has no finite maximum exactly when a direction
:math:`(\Delta\theta, \Delta\beta)` moves no row's interval ends against its level:
:math:`\Delta u_i \ge 0` and :math:`\Delta l_i \le 0` for all rows, not all zero. Along it the
likelihood never falls, so some estimate runs off to infinity ((quasi-)complete separation).
A continuous node has no such direction: both tails of the logistic density pull back.

All such directions form a cone, and a parameter is as certain as the cone lets it be:

- no direction changes it: it keeps its estimate and its standard error, those of the limiting
  problem without the ends that run off;
- directions raise it and none lowers it, or the other way round: its estimate is infinite;
- some raise it and some lower it: the likelihood comes as near to its supremum as one likes
  whatever its value is, so the rows do not determine it.

A linear program maximises and minimises every parameter over the cone cut to a box.

The solver's last Newton step d rules such a direction v out nearly always, at no cost. With q and h
the slope and curvature of a row's softplus, :math:`h \le q`, the model's optimality
:math:`-g^T v \le v^T H d` reads :math:`\sum q_i v_i \le \sum h_i v_i d_i`, where v_i and d_i are
the changes of the interval ends. If every :math:`|d_i| < 1` it forces all :math:`v_i = 0`. The
gap's own term has curvature over slope :math:`1 / (1 - e^{-\gamma})`, which multiplies its change.
Otherwise single columns and empty outer levels are tried as the cone's only edges, then the linear
program decides.

References:
    Albert and Anderson (1984), Biometrika 71; Konis (2007), DPhil thesis, University of Oxford;
    Geyer (2009), Electronic Journal of Statistics 3 (the cone, the limiting problem).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from torch import Tensor

from tramdag.fitting.convex import ConvexLikelihood
from tramdag.fitting.likelihood import OrdinalLikelihood
from tramdag.fitting.quadratic import NewtonStep

__all__ = ["Separation", "find_separation", "may_separate", "moves"]

_LARGE_MOVE = 0.5
"""Newton steps that move no interval end by this much exclude separation; 1 but for rounding."""

_SMALLEST_GAIN = 1e-6
_SMALLEST_CHANGE = 1e-7
"""Gains of ends and changes of parameters below these are the linear program's own tolerance."""

_SMALLEST_SINGULAR = 1e-9
"""Directions that move no end by more than this, relative to the largest move, leave all ends."""

_CLEAR_EIGENVALUE = 1e-8
"""The same squared and stricter: what is not as clear as this is left to the linear program."""


@dataclass(frozen=True)
class Separation:
    """The directions in which the likelihood never falls.

    Attributes:
        span: Orthonormal basis of what the directions span in psi, shape ``(q, d)``.
        weights: Least and greatest change of the standardised shift columns' weights along
            directions with entries in [-1, 1], shape ``(p, 2)``.
        cutpoints: The same of the cutpoints, shape ``(K - 1, 2)``.
    """

    span: np.ndarray
    weights: np.ndarray
    cutpoints: np.ndarray

    @property
    def columns(self) -> tuple[tuple[int, int], ...]:
        """Columns that change, with the sign of their change; 0 where both signs are possible."""
        signs = self.signs
        moving = np.flatnonzero((self.weights != 0.0).any(-1))
        return tuple((int(j), int(signs[j])) for j in moving)

    @property
    def signs(self) -> np.ndarray:
        """Sign of every column's change: +1, -1, or 0 for none and for both; ``(p,)``."""
        return np.sign(self.weights).sum(-1).astype(int)

    @property
    def moving_cutpoints(self) -> tuple[int, ...]:
        """Cutpoints that change."""
        return tuple(np.flatnonzero((self.cutpoints != 0.0).any(-1)).tolist())


def moves(functionals: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Which linear functionals of psi, ``(m, q)``, change in a span ``(q, d)``; ``(m,)``, bool."""
    norms = np.linalg.norm(functionals, axis=1)
    return np.abs(functionals @ span).max(-1, initial=0.0) > _SMALLEST_CHANGE * norms


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
    """The directions in which a likelihood never falls, None if there are none.

    Args:
        likelihood: The node's likelihood, of one replicate.
        step: The Newton step where the solver stopped; None goes straight to the linear program.
        held: Shift columns that may not move: not estimable, or fixed.
    """
    if not isinstance(likelihood, OrdinalLikelihood):
        return None
    k = likelihood.n_intercept
    free = np.ones(likelihood.n_parameters, dtype=bool)
    free[[k + j for j in held]] = False
    gains = _gains(likelihood)
    # cutpoints in (offset, increments), then the columns themselves
    functionals = np.eye(likelihood.n_parameters)
    functionals[:k, :k] = np.tril(np.ones((k, k)))
    if step is not None and not step.damped.any():
        edges = _single_edges(likelihood, free)
        if _span_cone(edges, gains, step.direction[0], free=free, bounded=likelihood.bounded):
            changes = functionals @ edges
            extremes = np.stack([changes.min(-1).clip(max=0.0), changes.max(-1).clip(min=0.0)], -1)
            return Separation(np.linalg.qr(edges)[0], extremes[k:], extremes[:k])
    # equal rows make equal constraints; a cohort of levels and rounded values has far fewer
    cone = _Cone(np.unique(gains, axis=0), free=free, bounded=likelihood.bounded)
    span = cone.span()
    if span.shape[1] == 0:
        return None
    moving = moves(functionals, span)
    extremes = np.zeros((len(functionals), 2))
    extremes[moving] = [cone.extremes(functional) for functional in functionals[moving]]
    return Separation(span, extremes[k:], extremes[:k])


def _present(likelihood: OrdinalLikelihood) -> Tensor:
    """Rows with a positive weight, ``(n,)``, bool."""
    if likelihood.weights is None:
        return torch.ones(likelihood.n, dtype=torch.bool)
    return likelihood.weights[0] > 0


def _gains(likelihood: OrdinalLikelihood) -> np.ndarray:
    """What a psi direction adds to the present rows' upper ends and takes off their lower ones."""
    present = _present(likelihood)
    A_upper, A_lower = (part[present].numpy() for part in likelihood.designs())
    level = likelihood.level[present].numpy()
    return np.concatenate([A_upper[level < likelihood.levels - 1], -A_lower[level > 0]])


def _single_edges(likelihood: OrdinalLikelihood, free: np.ndarray) -> np.ndarray:
    """Columns that separate alone, and cutpoints of empty outer levels; directions ``(q, m)``."""
    present, k = _present(likelihood), likelihood.n_intercept
    X, level = likelihood.shift[present], likelihood.level[present]
    nothing = X.new_zeros(1, X.shape[1])
    with_upper, with_lower = (torch.cat([X[rows], nothing]) for rows in (level < k, level > 0))
    up = (with_upper.amax(0) <= 0) & (with_lower.amin(0) >= 0)
    down = (with_upper.amin(0) >= 0) & (with_lower.amax(0) <= 0)
    signs = up.to(torch.float64) - down.to(torch.float64)
    signs[(X == 0).all(0)] = 0.0
    signs[torch.from_numpy(~free[k:])] = 0.0
    edges = [np.concatenate([np.zeros(k), column]) for column in np.diag(signs) if column.any()]
    first_level, last_level = int(level[0]), int(level[-1])
    for top in range(first_level):
        edges.append(np.zeros(len(free)))  # the cutpoints up to this one fall
        edges[-1][0] = -1.0
        edges[-1][top + 1 : min(top + 2, k)] = 1.0
    for bottom in range(last_level, k):
        edges.append(np.zeros(len(free)))  # the cutpoints from this one on rise
        edges[-1][bottom] = 1.0
    return np.array(edges).reshape(-1, len(free)).T


def _span_cone(
    edges: np.ndarray, gains: np.ndarray, step: np.ndarray, *, free: np.ndarray, bounded: np.ndarray
) -> bool:
    """Whether every direction without a negative gain is a sum of the edges.

    Ends that an edge moves are explained ever better along it and say nothing of other directions.
    The Newton step must clear the rest, which then hold still: they must leave no other direction
    than sums of edges, and each edge must gain somewhere where no other one does.
    """
    m = edges.shape[1]
    if m == 0:
        return False
    moved = np.concatenate([gains, np.eye(len(free))[bounded]]) @ edges > 0
    rest = gains[~moved[: len(gains)].any(-1)]
    if np.abs(rest @ step).max(initial=0.0) >= _LARGE_MOVE:
        return False
    if not moved[moved.sum(-1) == 1].any(0).all():
        return False
    eigenvalues = np.linalg.eigvalsh(rest[:, free].T @ rest[:, free])
    clear = eigenvalues > _CLEAR_EIGENVALUE * eigenvalues[-1]
    return int(clear.sum()) == int(free.sum()) - m


class _Cone:
    """Directions v in psi with ``gains @ v >= 0`` and no falling increment.

    Args:
        gains: Shape ``(m, q)``.
        free: Entries of psi that may move, ``(q,)``, bool.
        bounded: Increments, ``(q,)``, bool.
    """

    def __init__(self, gains: np.ndarray, *, free: np.ndarray, bounded: np.ndarray) -> None:
        self._gains, self._free = gains, free
        self._ends = np.concatenate([gains, np.eye(len(free))[bounded]])
        sides = np.stack([np.where(bounded, 0.0, -1.0), np.ones(len(free))], -1)
        sides[~free] = 0.0
        self._bounds = [(low, high) for low, high in sides.tolist()]

    def span(self) -> np.ndarray:
        """Orthonormal basis of what the directions span, ``(q, d)``.

        Directions are added until no end that holds still can move any more; the span is what
        leaves the remaining ends where they are.
        """
        still = np.ones(len(self._ends), dtype=bool)
        while still.any():
            direction = self._highest(self._ends[still].sum(0))
            moved = still & (self._ends @ direction > _SMALLEST_GAIN)
            if not moved.any():
                break
            still &= ~moved
        span = np.zeros((len(self._free), 0))
        if not still.all():
            remaining = self._ends[still][:, self._free]
            remaining = np.vstack([remaining, np.zeros(remaining.shape[1])])
            _, sizes, vectors = np.linalg.svd(np.linalg.qr(remaining, mode="r"))
            rank = int((sizes > _SMALLEST_SINGULAR * sizes[0]).sum())
            span = np.zeros((len(self._free), len(vectors) - rank))
            span[self._free] = vectors[rank:].T
        return span

    def extremes(self, functional: np.ndarray) -> tuple[float, float]:
        """Least and greatest value over the directions with entries in [-1, 1]."""
        low, high = (float(functional @ self._highest(s * functional)) for s in (-1.0, 1.0))
        return (low if low < -_SMALLEST_CHANGE else 0.0, high if high > _SMALLEST_CHANGE else 0.0)

    def _highest(self, objective: np.ndarray) -> np.ndarray:
        result = scipy.optimize.linprog(
            -objective,
            A_ub=-self._gains,
            b_ub=np.zeros(len(self._gains)),
            bounds=self._bounds,
            method="highs",
        )
        return np.zeros(len(objective)) if result.x is None else result.x
