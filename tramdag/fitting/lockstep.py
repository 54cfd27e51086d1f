"""Newton's method for many replicates in lockstep; what has converged leaves the batch.

What has the size of psi is handled by NumPy, whose calls cost less on small arrays.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tramdag.fitting.convex import ConvexLikelihood
from tramdag.fitting.newton import (
    MAX_HALVINGS,
    MAX_STEPS,
    Minima,
    arrived,
    decrease_limit,
    kkt_residual,
)
from tramdag.fitting.quadratic import NewtonStep, bounded_newton_step, times

__all__ = ["minima"]


def minima(likelihood: ConvexLikelihood, psi: np.ndarray, *, held: np.ndarray) -> Minima:
    """Minimise a convex likelihood for each of its replicates, each to the end of its own steps.

    Args:
        likelihood: The likelihood of B replicates.
        psi: Feasible starts with finite values, ``(B, q)``.
        held: Entries that must not move, none of them bounded, ``(B, q)``, bool.
    """
    part, bounded = likelihood, likelihood.bounded
    found = Minima.at_start(psi)
    live = np.arange(len(psi))
    working = np.zeros_like(held)
    predictors, value = _evaluate(part, psi)
    for count in range(MAX_STEPS + 1):
        gradient, hessian = part.derivatives(torch.from_numpy(psi), predictors)
        residual = kkt_residual(psi, gradient, bounded, held)
        step = bounded_newton_step(
            psi, gradient, hessian, bounded=bounded, held=held, working=working
        )
        direction, working = step.direction, step.working
        slope = (gradient * direction).sum(-1)
        promised = -slope - 0.5 * (direction * times(hessian, direction)).sum(-1)
        improved = residual < found.kkt_residual[live]
        if improved.any():
            best = live[improved]
            found.psi[best], found.value[best] = psi[improved], value[improved]
            found.kkt_residual[best] = residual[improved]
            found.decrement[best] = np.maximum(promised[improved], 0.0)
            _copy(step, improved, found.last, best)
        going = ~arrived(psi, direction, residual=residual, improved=improved)
        if count == MAX_STEPS or not going.any():
            break
        if not going.all():
            live, part = live[going], part.replicates(torch.from_numpy(going))
            psi, held, working, value, slope, direction = (
                part_[going] for part_ in (psi, held, working, value, slope, direction)
            )
        psi, predictors, value, moved = _search(part, psi, value, slope, direction)
        found.steps[live[moved]] += 1
        if not moved.all():
            if not moved.any():
                break
            kept = torch.from_numpy(moved)
            live, part = live[moved], part.replicates(kept)
            psi, held, working, value = (x[moved] for x in (psi, held, working, value))
            predictors = (predictors[0][kept], predictors[1][kept])
    return found


def _copy(source: NewtonStep, chosen: np.ndarray, target: NewtonStep, to: np.ndarray) -> None:
    target.direction[to] = source.direction[chosen]
    target.working[to] = source.working[chosen]
    target.damped[to] = source.damped[chosen]


def _evaluate(
    likelihood: ConvexLikelihood, psi: np.ndarray
) -> tuple[tuple[Tensor, Tensor], np.ndarray]:
    at = torch.from_numpy(psi)
    predictors = likelihood.predict(at)
    return predictors, likelihood.value(at, predictors).numpy()


def _search(
    likelihood: ConvexLikelihood,
    psi: np.ndarray,
    value: np.ndarray,
    slope: np.ndarray,
    direction: np.ndarray,
) -> tuple[np.ndarray, tuple[Tensor, Tensor], np.ndarray, np.ndarray]:
    """Step halving for those whose full step decreases the value too little.

    Returns:
        New psi, its predictors and value, and which replicates moved.
    """
    bounded = likelihood.bounded

    def attempt(
        part: ConvexLikelihood, rows: np.ndarray | slice, length: float
    ) -> tuple[np.ndarray, tuple[Tensor, Tensor], np.ndarray, np.ndarray]:
        trial = psi[rows] + length * direction[rows]
        trial[:, bounded] = np.maximum(trial[:, bounded], 0.0)
        predictors, new = _evaluate(part, trial)
        limit = decrease_limit(value[rows], slope[rows], length)
        return trial, predictors, new, np.isfinite(new) & (new <= limit)

    found, predictors, values, moved = attempt(likelihood, slice(None), 1.0)
    length = 1.0
    for _ in range(MAX_HALVINGS):
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
