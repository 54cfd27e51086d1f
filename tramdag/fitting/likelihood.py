r"""Convex negative log-likelihoods of classical nodes, with gradient, Hessian and scores.

The parameters are :math:`\psi = (a, \gamma, w)`: offset, increments :math:`\gamma \ge 0` and
weights of the standardised shift columns (:mod:`tramdag.terms`). In them a node's negative
log-likelihood is convex:

- continuous: :math:`\zeta(z) + \zeta(-z) - \log h'` with z and h' linear in :math:`\psi`; the
  Hessian is :math:`\sum 2F(z)F(-z) g g^T + g' g'^T / h'^2` with g = (1, C, X), g' = (0, C', 0);
- ordinal: :math:`\zeta(-u) + \zeta(l) - \log(1 - e^{-(u - l)})` with ends l < u linear in
  :math:`\psi`; the Hessian adds :math:`F(u)F(-u) a_u a_u^T`, :math:`F(l)F(-l) a_l a_l^T` and the
  gap's own curvature.

:math:`\zeta` is softplus, F the logistic distribution function.
"""

from __future__ import annotations

import abc
import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from tramdag.data import Values
from tramdag.node import Conditional, ContinuousConditional, OrdinalConditional
from tramdag.transforms import positive

__all__ = ["ContinuousLikelihood", "ConvexLikelihood", "OrdinalLikelihood", "likelihood_of"]

_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Local:
    """A row's log-likelihood to second order in its two linear predictors.

    The predictors are (z, h') for a continuous node and the interval's (upper, lower) end for an
    ordinal one; both are linear in psi.

    Attributes:
        designs: Coefficients of the predictors in psi, shape ``(n, q)`` each.
        gradients: First derivatives, shape ``(n,)`` each.
        curvatures: Negative second derivatives: both pure ones, then the mixed one.
    """

    designs: tuple[Tensor, Tensor]
    gradients: tuple[Tensor, Tensor]
    curvatures: tuple[Tensor, Tensor, Tensor]

    def scores(self) -> Tensor:
        """Score of every row, shape ``(n, q)``."""
        (first, second), (g1, g2) = self.designs, self.gradients
        return first * g1.unsqueeze(-1) + second * g2.unsqueeze(-1)

    def information(self) -> Tensor:
        """Observed information of all rows, shape ``(q, q)``."""
        (first, second), (k11, k22, k12) = self.designs, self.curvatures
        mixed = first.T @ (second * k12.unsqueeze(-1))
        pure = first.T @ (first * k11.unsqueeze(-1)) + second.T @ (second * k22.unsqueeze(-1))
        return pure + mixed + mixed.T

    def extended(self, extra: tuple[Tensor, Tensor]) -> Local:
        """The same rows with more parameters; ``extra`` are their coefficients."""
        pairs = zip(self.designs, extra, strict=True)
        first, second = (torch.cat(pair, -1) for pair in pairs)
        return replace(self, designs=(first, second))


class ConvexLikelihood(abc.ABC):
    """Mean negative log-likelihood of a node as a function of psi, block by block of rows."""

    n_intercept: int
    """Number of offset and increments; psi goes on with the weights."""

    shift: Tensor
    """Standardised shift columns X, (n, p), float64 on the CPU."""

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.shift)

    @property
    def bounded(self) -> np.ndarray:
        """Which entries of psi are increments, bounded below by zero."""
        mask = np.zeros(self.n_intercept + self.shift.shape[1], dtype=bool)
        mask[1 : self.n_intercept] = True
        return mask

    @abc.abstractmethod
    def start(self) -> np.ndarray:
        """A feasible psi with finite value."""

    @abc.abstractmethod
    def block(self, psi: Tensor, rows: slice, *, order: int) -> tuple[Tensor, ...]:
        """Sums over rows: value, and for ``order=2`` also gradient and Hessian."""

    @abc.abstractmethod
    def local(self, psi: np.ndarray) -> Local:
        """Derivatives of every row's log-likelihood in its two linear predictors."""

    def scores(self, psi: np.ndarray) -> np.ndarray:
        """Gradient of every row's log-likelihood, shape ``(n, len(psi))``."""
        return self.local(psi).scores().numpy()

    def __call__(self, psi: np.ndarray, *, order: int) -> tuple[np.ndarray, ...]:
        """Mean value, and for ``order=2`` also gradient and Hessian."""
        total: tuple[Tensor, ...] | None = None
        for start in range(0, self.n, _BLOCK_ROWS):
            part = self.block(torch.from_numpy(psi), slice(start, start + _BLOCK_ROWS), order=order)
            total = part if total is None else tuple(map(torch.add, total, part))
        assert total is not None
        return tuple((term / self.n).numpy() for term in total)


class ContinuousLikelihood(ConvexLikelihood):
    """A continuous node with a transform that is linear in its increments."""

    def __init__(self, conditional: ContinuousConditional, values: Values) -> None:
        encoded = conditional.encode(values)[:3]
        self.C, self.dC, self.shift = (part.cpu() for part in encoded)
        self._initial = conditional.transform.initial()
        self.n_intercept = len(self._initial)

    @override
    def start(self) -> np.ndarray:
        psi = np.zeros(self.n_intercept + self.shift.shape[1])
        psi[0] = self._initial[0]
        psi[1 : self.n_intercept] = torch.nn.functional.softplus(self._initial[1:])
        return psi

    @override
    def block(self, psi: Tensor, rows: slice, *, order: int) -> tuple[Tensor, ...]:
        z, slope = self._z_and_slope(psi, rows)
        value = positive(z) + positive(-z) - torch.log(slope)
        if order == 0:
            return (value.sum(),)
        G, F = self._design(rows), torch.sigmoid(z)
        ratio = self.dC[rows] / slope.unsqueeze(-1)
        gradient = G.T @ (2 * F - 1)
        gradient[1 : self.n_intercept] -= ratio.sum(0)
        hessian = G.T @ (G * (2 * F * torch.sigmoid(-z)).unsqueeze(-1))
        hessian[1 : self.n_intercept, 1 : self.n_intercept] += ratio.T @ ratio
        return value.sum(), gradient, hessian

    @override
    def local(self, psi: np.ndarray) -> Local:
        z, slope = self._z_and_slope(torch.from_numpy(psi), slice(None))
        F = torch.sigmoid(z)
        n_weights = self.shift.shape[1]
        slope_design = torch.cat(
            [z.new_zeros(len(z), 1), self.dC, z.new_zeros(len(z), n_weights)], -1
        )
        return Local(
            designs=(self._design(slice(None)), slope_design),
            gradients=(1 - 2 * F, 1 / slope),
            curvatures=(2 * F * (1 - F), 1 / slope**2, torch.zeros_like(z)),
        )

    def _z_and_slope(self, psi: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        increments, weights = psi[1 : self.n_intercept], psi[self.n_intercept :]
        z = psi[0] + self.C[rows] @ increments + self.shift[rows] @ weights
        return z, self.dC[rows] @ increments

    def _design(self, rows: slice) -> Tensor:
        C = self.C[rows]
        return torch.cat([C.new_ones(len(C), 1), C, self.shift[rows]], -1)


class OrdinalLikelihood(ConvexLikelihood):
    """An ordinal node: the proportional-odds model, logistic regression for two levels."""

    def __init__(self, conditional: OrdinalConditional, values: Values) -> None:
        level, shift = conditional.encode(values)[:2]
        self.level, self.shift = level.cpu(), shift.cpu()
        self.levels = conditional.levels
        self.n_intercept = self.levels - 1
        # row k: the coefficients of theta_k in (a, gamma)
        self._cumulative = torch.ones(self.levels - 1, self.levels - 1, dtype=torch.float64).tril()

    @override
    def start(self) -> np.ndarray:
        counts = torch.bincount(self.level, minlength=self.levels) + 0.5
        below = counts.cumsum(0)[:-1] / counts.sum()
        theta = torch.log(below / (1 - below)).to(torch.float64)
        weights = torch.zeros(self.shift.shape[1], dtype=torch.float64)
        return torch.cat([theta[:1], theta.diff(), weights]).numpy()

    @override
    def block(self, psi: Tensor, rows: slice, *, order: int) -> tuple[Tensor, ...]:
        level = self.level[rows]
        upper, lower = self.ends(psi, rows)
        # only inner levels have both ends; increment k is the gap of level k
        counts = torch.bincount(level, minlength=self.levels)[1:-1].to(psi.dtype)
        gaps = psi[1 : self.n_intercept]
        mass = -torch.expm1(-gaps)
        seen = counts > 0
        log_mass = torch.where(seen, torch.log(mass), 0.0)
        value = positive(-upper).sum() + positive(lower).sum() - (counts * log_mass).sum()
        if order == 0:
            return (value,)
        A_upper, A_lower = self.designs(rows)
        q_upper, p_lower = torch.sigmoid(-upper), torch.sigmoid(lower)
        gradient = A_lower.T @ p_lower - A_upper.T @ q_upper
        hessian = A_upper.T @ (A_upper * (q_upper * torch.sigmoid(upper)).unsqueeze(-1))
        hessian += A_lower.T @ (A_lower * (p_lower * torch.sigmoid(-lower)).unsqueeze(-1))
        inner = slice(1, self.n_intercept)
        gradient[inner] -= torch.where(seen, counts * torch.exp(-gaps) / mass, 0.0)
        curvature = torch.where(seen, counts * torch.exp(-gaps) / mass**2, 0.0)
        hessian[inner, inner] += torch.diag(curvature)
        return value, gradient, hessian

    @override
    def local(self, psi: np.ndarray) -> Local:
        upper, lower = self.ends(torch.from_numpy(psi), slice(None))
        inner = upper.isfinite() & lower.isfinite()
        gap = torch.where(inner, upper - lower, torch.inf)
        pull = 1 / torch.expm1(gap)
        bend = pull * (1 + pull)  # e^-d / (1 - e^-d)^2
        q_upper, p_lower = torch.sigmoid(-upper), torch.sigmoid(lower)
        return Local(
            designs=self.designs(slice(None)),
            gradients=(q_upper + pull, -p_lower - pull),
            curvatures=(q_upper * (1 - q_upper) + bend, p_lower * (1 - p_lower) + bend, -bend),
        )

    def at_level(self, level: int) -> OrdinalLikelihood:
        """The same rows as if each had shown ``level``."""
        other = copy.copy(self)
        other.level = torch.full_like(self.level, level)
        return other

    def ends(self, psi: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """Upper and lower end of every row's latent interval, infinite at the outer levels."""
        level = self.level[rows]
        theta = self._cumulative @ psi[: self.n_intercept]
        shift = self.shift[rows] @ psi[self.n_intercept :]
        infinity = theta.new_full((1,), torch.inf)
        return torch.cat([theta, infinity])[level] - shift, torch.cat([-infinity, theta])[
            level
        ] - shift

    def designs(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Coefficients of upper and lower end in psi; rows of zeros where an end is infinite."""
        level, X = self.level[rows], self.shift[rows]
        none = self._cumulative.new_zeros(1, self.n_intercept)
        upper = torch.cat([self._cumulative, none])[level]
        lower = torch.cat([none, self._cumulative])[level]
        X_upper = X * (level < self.levels - 1).unsqueeze(-1)
        X_lower = X * (level > 0).unsqueeze(-1)
        return torch.cat([upper, -X_upper], -1), torch.cat([lower, -X_lower], -1)


def likelihood_of(conditional: Conditional, values: Values) -> ConvexLikelihood:
    """The likelihood of a float64 node with a convex head, its networks taken as zero."""
    if isinstance(conditional, ContinuousConditional):
        return ContinuousLikelihood(conditional, values)
    assert isinstance(conditional, OrdinalConditional)
    return OrdinalLikelihood(conditional, values)
