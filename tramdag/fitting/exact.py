r"""Exact maximum likelihood for classical nodes: a safeguarded Newton method with a certificate.

The negative log-likelihood is convex in offset, increments and weights
(:mod:`tramdag.fitting.likelihood`), with the increments bounded below by zero.
Newton's method under these bounds (:mod:`tramdag.fitting.newton`) finds a global maximum, so the
answer does not depend on a seed, and the certificate (Karush-Kuhn-Tucker residual, Newton
decrement) can be checked afterwards. Replicates of a fit, which share the rows and differ in the
rows' weights, take their steps together (:mod:`tramdag.fitting.lockstep`).
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
from tramdag.fitting.lockstep import minima
from tramdag.fitting.newton import KKT_TOLERANCE, Minima, minimum
from tramdag.fitting.separation import Separation, find_separation, may_separate
from tramdag.node import Conditional
from tramdag.transforms import inverse_positive

__all__ = ["KKT_TOLERANCE", "Certificate", "Solution", "minimise", "solve", "write"]

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
            (+1 or -1, 0 for both); see :mod:`tramdag.fitting.separation`.
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
        if part.n_replicates == 1:
            found = minimum(part.single(), psi[0], bounded=part.bounded, held=held[0])
        else:
            found = minima(part, psi, held=held)
        separations = _separations(part, found, held) if separation else {}
        parts.append(
            Solution(
                psi=found.psi,
                nll=found.value - part.constant,
                steps=found.steps,
                kkt_residual=found.kkt_residual,
                newton_decrement=found.decrement * part.total.numpy(),
                active=part.bounded & (found.psi == 0.0),
                inestimable=inestimable,
                separations=separations,
            )
        )
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


def _separations(
    likelihood: ConvexLikelihood, found: Minima, held: np.ndarray
) -> dict[int, Separation]:
    separations: dict[int, Separation] = {}
    for b in np.flatnonzero(may_separate(likelihood, found.psi, found.last)):
        one = slice(b, b + 1)
        immovable = np.flatnonzero(held[b, likelihood.n_intercept :]).tolist()
        direction = find_separation(likelihood.replicates(one), found.last[one], held=immovable)
        if direction is not None:
            separations[int(b)] = direction
    return separations
