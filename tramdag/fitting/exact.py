r"""Exact maximum likelihood for classical nodes: a safeguarded Newton method with a certificate.

The negative log-likelihood is convex in offset, increments and weights
(:mod:`tramdag.fitting.likelihood`), with the increments bounded below by zero.
Every Newton step minimises the quadratic model subject to :math:`\gamma \ge 0`
(:mod:`tramdag.fitting.quadratic`), followed by step halving. The maximum is global, so the answer
does not depend on a seed, and the certificate (Karush-Kuhn-Tucker residual, Newton decrement) can
be checked afterwards.

Replicates of a fit, which share the rows and differ in the rows' weights, take their Newton steps
together; each leaves the batch as soon as it has converged.

References:
    Nocedal and Wright (2006), Numerical Optimization, chapters 16 and 18.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tramdag.data import Values
from tramdag.fitting.convex import ConvexLikelihood
from tramdag.fitting.gram import dependent_columns
from tramdag.fitting.likelihood import likelihood_of
from tramdag.fitting.quadratic import NewtonStep, bounded_newton_step, times
from tramdag.fitting.separation import Separation, find_separation, may_separate
from tramdag.node import Conditional
from tramdag.transforms import inverse_positive

__all__ = ["KKT_TOLERANCE", "Certificate", "Solution", "fit_exact", "minimise", "solve", "write"]

KKT_TOLERANCE = 1e-8
"""A fit counts as converged below this residual, in nats per row and unit of psi."""

_TARGET = 1e-13
"""Newton goes on to here, to rounding error: quadratic convergence makes it one more step."""

_MAX_STEPS = 100
_MAX_HALVINGS = 60
_SUFFICIENT_DECREASE = 1e-4

_BATCH_NUMBERS = 2**22
"""Replicates times rows that are solved together: 32 MiB for each quantity of a row."""


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


@dataclass(frozen=True)
class Solution:
    """Minima of one node's likelihood for B replicates; every array has the replicates first.

    Attributes:
        psi: Offset, increments and weights of the standardised shift columns, ``(B, q)``.
        nll: Mean negative log-likelihood in the units of the column, nats per row, ``(B,)``.
        steps: Newton steps taken, ``(B,)``.
        kkt_residual: See :class:`Certificate`, ``(B,)``.
        newton_decrement: Likewise, ``(B,)``.
        active: Entries of psi at their bound of zero, ``(B, q)``, bool.
        inestimable: Shift columns held at zero, ``(B, p)``, bool.
        separations: The separating direction of every replicate that has one.
    """

    psi: np.ndarray
    nll: np.ndarray
    steps: np.ndarray
    kkt_residual: np.ndarray
    newton_decrement: np.ndarray
    active: np.ndarray
    inestimable: np.ndarray
    separations: Mapping[int, Separation]

    def __len__(self) -> int:
        return len(self.psi)

    @property
    def converged(self) -> np.ndarray:
        """Whether the optimality conditions hold to :data:`KKT_TOLERANCE`, ``(B,)``, bool."""
        return self.kkt_residual <= KKT_TOLERANCE

    def certificate(self, replicate: int = 0) -> Certificate:
        """The certificate of one replicate."""
        separation = self.separations.get(replicate)
        return Certificate(
            steps=int(self.steps[replicate]),
            kkt_residual=float(self.kkt_residual[replicate]),
            newton_decrement=float(self.newton_decrement[replicate]),
            active_bounds=_indices(self.active[replicate]),
            inestimable=_indices(self.inestimable[replicate]),
            separated=() if separation is None else separation.columns,
            separated_cutpoints=() if separation is None else separation.moving_cutpoints,
        )


def _indices(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


@torch.no_grad()
def fit_exact(conditional: Conditional, values: Values, weights: Tensor | None = None) -> Solution:
    """Set intercept and linear shift of a node to their maximum likelihood estimate.

    Args:
        conditional: A node with a convex head; its scalings must be set. Networks are left alone
            and taken as zero, which gives such a node the start of a gradient method.
        values: Training rows.
        weights: Case weights, ``(n,)``, or None.

    Returns:
        The solution, of one replicate.
    """
    solution = solve(conditional, values, weights)
    intercept, shift = write(conditional, solution)
    conditional.intercept.copy_(intercept[0])
    conditional.linear.weight.copy_(shift[0])
    return solution


@torch.no_grad()
def solve(conditional: Conditional, values: Values, weights: Tensor | None = None) -> Solution:
    """Maximum likelihood estimates of a node, one for every row of weights; changes nothing.

    Args:
        conditional: A node with a convex head; its scalings must be set and hold for all
            replicates. Networks are taken as zero.
        values: Rows that all replicates share.
        weights: Non-negative case weights, ``(B, n)`` or ``(n,)``, no row of them all zero; None
            is one replicate with all weights one.

    Returns:
        The solutions, each with its certificate. Several replicates start from the estimate with
        all weights one, which saves steps; the problem is convex, so their results do not depend
        on it.
    """
    likelihood = likelihood_of(conditional, values, weights)
    start = None
    if likelihood.n_replicates > 1:
        start = minimise(likelihood.unweighted(), separation=False).psi
    return minimise(likelihood, start=start)


def write(conditional: Conditional, solution: Solution) -> tuple[Tensor, Tensor]:
    """The node's own parameters at a solution, in its dtype and on its device.

    Returns:
        Raw intercepts ``(B, n_params)`` and weights of the linear shift ``(B, p)``.
    """
    psi, k = torch.from_numpy(solution.psi), len(conditional.intercept)
    raw = torch.cat([psi[:, :1], inverse_positive(psi[:, 1:k])], -1)
    return raw.to(conditional.intercept), psi[:, k:].to(conditional.intercept)


@torch.no_grad()
def minimise(
    likelihood: ConvexLikelihood,
    *,
    fixed: Mapping[int, float] | None = None,
    start: np.ndarray | None = None,
    separation: bool = True,
) -> Solution:
    """Minimise a convex negative log-likelihood by Newton's method under the increments' bounds.

    Args:
        likelihood: The node's likelihood, of one or many replicates.
        fixed: Entries of psi that are held at a value (profile likelihood).
        start: Where all replicates begin, ``(1, q)``, feasible with a finite value; None takes the
            likelihood's own start.
        separation: Whether to look for separating directions where a maximum may be missing.

    Returns:
        The minima with their certificates.
    """
    size = max(1, _BATCH_NUMBERS // likelihood.n)
    parts = []
    for first in range(0, likelihood.n_replicates, size):
        part = likelihood.replicates(slice(first, first + size))
        psi = np.empty((part.n_replicates, part.n_parameters))
        psi[:] = part.start().numpy() if start is None else start
        inestimable = dependent_columns(part.shift_gram())[:, 1:].numpy()
        held = np.zeros(psi.shape, dtype=bool)
        held[:, part.n_intercept :] = inestimable
        psi[held] = 0.0
        for index, at in (fixed or {}).items():
            psi[:, index], held[:, index] = at, True
        solver = _Newton(part, psi, held)
        solver.run()
        parts.append(solver.solution(inestimable, separation=separation))
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: list[Solution]) -> Solution:
    first = np.cumsum([0, *map(len, parts)])
    return Solution(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in vars(parts[0])
            if name != "separations"
        },
        separations={
            int(offset) + b: found
            for offset, part in zip(first, parts, strict=False)
            for b, found in part.separations.items()
        },
    )


class _Newton:
    """Newton's method for replicates in lockstep; what has converged leaves the batch.

    What has the size of psi is handled by NumPy, whose calls cost less on small arrays.
    """

    def __init__(self, likelihood: ConvexLikelihood, psi: np.ndarray, held: np.ndarray) -> None:
        self._whole, self._held = likelihood, held
        self._bounded = likelihood.bounded
        n_replicates = len(psi)
        self._psi = psi.copy()
        self._value, self._residual, self._decrement = np.full((3, n_replicates), np.inf)
        self._steps = np.zeros(n_replicates, dtype=int)
        self._last = NewtonStep(
            np.zeros_like(psi), np.zeros_like(held), np.zeros(n_replicates, dtype=bool)
        )

    def run(self) -> None:
        """Step until every replicate is at rounding error, or makes no progress."""
        part, bounded = self._whole, self._bounded
        live = np.arange(len(self._psi))
        psi, held = self._psi.copy(), self._held
        working = np.zeros_like(held)
        predictors, value = _evaluate(part, psi)
        for count in range(_MAX_STEPS + 1):
            gradient, hessian = part.derivatives(torch.from_numpy(psi), predictors)
            residual = _kkt_residual(psi, gradient, bounded, held)
            step = bounded_newton_step(
                psi, gradient, hessian, bounded=bounded, held=held, working=working
            )
            direction, working = step.direction, step.working
            slope = (gradient * direction).sum(-1)
            promised = -slope - 0.5 * (direction * times(hessian, direction)).sum(-1)
            improved = residual < self._residual[live]
            self._keep(live, improved, psi, value, residual, promised, step)
            # at rounding level neither the value nor the residual improves any more
            going = (residual > _TARGET) & ((residual > KKT_TOLERANCE) | improved)
            if count == _MAX_STEPS or not going.any():
                break
            if not going.all():
                live, part = live[going], part.replicates(torch.from_numpy(going))
                psi, held, working, value, slope, direction = (
                    part_[going] for part_ in (psi, held, working, value, slope, direction)
                )
            psi, predictors, value, moved = _search(part, psi, value, slope, direction, bounded)
            self._steps[live[moved]] += 1
            if not moved.all():
                if not moved.any():
                    break
                kept = torch.from_numpy(moved)
                live, part = live[moved], part.replicates(kept)
                psi, held, working, value = (x[moved] for x in (psi, held, working, value))
                predictors = (predictors[0][kept], predictors[1][kept])

    def _keep(
        self,
        live: np.ndarray,
        improved: np.ndarray,
        psi: np.ndarray,
        value: np.ndarray,
        residual: np.ndarray,
        promised: np.ndarray,
        step: NewtonStep,
    ) -> None:
        if not improved.any():
            return
        best = live[improved]
        self._psi[best], self._value[best] = psi[improved], value[improved]
        self._residual[best] = residual[improved]
        self._decrement[best] = np.maximum(promised[improved], 0.0)
        self._last.direction[best] = step.direction[improved]
        self._last.working[best] = step.working[improved]
        self._last.damped[best] = step.damped[improved]

    def solution(self, inestimable: np.ndarray, *, separation: bool) -> Solution:
        """What was found."""
        likelihood, psi = self._whole, self._psi
        separations: dict[int, Separation] = {}
        if separation:
            immovable = self._held[:, likelihood.n_intercept :]
            for b in np.flatnonzero(may_separate(likelihood, psi, self._last)):
                one = slice(b, b + 1)
                columns = np.flatnonzero(immovable[b]).tolist()
                found = find_separation(likelihood.replicates(one), self._last[one], held=columns)
                if found is not None:
                    separations[int(b)] = found
        return Solution(
            psi=psi,
            nll=self._value - likelihood.constant,
            steps=self._steps,
            kkt_residual=self._residual,
            newton_decrement=self._decrement * likelihood.total.numpy(),
            active=self._bounded & (psi == 0.0),
            inestimable=inestimable,
            separations=separations,
        )


def _evaluate(
    likelihood: ConvexLikelihood, psi: np.ndarray
) -> tuple[tuple[Tensor, Tensor], np.ndarray]:
    at = torch.from_numpy(psi)
    predictors = likelihood.predict(at)
    return predictors, likelihood.value(at, predictors).numpy()


def _kkt_residual(
    psi: np.ndarray, gradient: np.ndarray, bounded: np.ndarray, held: np.ndarray
) -> np.ndarray:
    projected = np.where(bounded, psi - np.maximum(psi - gradient, 0.0), gradient)
    return np.abs(np.where(held, 0.0, projected)).max(-1)


def _search(
    likelihood: ConvexLikelihood,
    psi: np.ndarray,
    value: np.ndarray,
    slope: np.ndarray,
    direction: np.ndarray,
    bounded: np.ndarray,
) -> tuple[np.ndarray, tuple[Tensor, Tensor], np.ndarray, np.ndarray]:
    """Armijo step halving; near the optimum, where differences drown in rounding, the full step.

    Returns:
        New psi, its predictors and value, and which replicates moved.
    """
    noise = 64 * np.finfo(float).eps * np.maximum(np.abs(value), 1.0)

    def attempt(
        part: ConvexLikelihood, rows: np.ndarray | slice, length: float
    ) -> tuple[np.ndarray, tuple[Tensor, Tensor], np.ndarray, np.ndarray]:
        trial = psi[rows] + length * direction[rows]
        trial[:, bounded] = np.maximum(trial[:, bounded], 0.0)
        predictors, new = _evaluate(part, trial)
        limit = value[rows] + _SUFFICIENT_DECREASE * length * slope[rows] + noise[rows]
        return trial, predictors, new, np.isfinite(new) & (new <= limit)

    found, predictors, values, moved = attempt(likelihood, slice(None), 1.0)
    length = 1.0
    for _ in range(_MAX_HALVINGS):
        if moved.all():
            break
        length *= 0.5
        rows = np.flatnonzero(~moved)
        part = likelihood.replicates(torch.from_numpy(rows))
        trial, parts, new, accepted = attempt(part, rows, length)
        chosen = rows[accepted]
        found[chosen], values[chosen], moved[chosen] = trial[accepted], new[accepted], True
        kept = torch.from_numpy(accepted)
        for whole, some in zip(predictors, parts, strict=True):
            whole[torch.from_numpy(chosen)] = some[kept]
    return found, predictors, values, moved
