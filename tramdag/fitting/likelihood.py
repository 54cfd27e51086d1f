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

import copy
import math
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from tramdag.data import Values
from tramdag.fitting.convex import ConvexLikelihood, Local, encoded_blocks, in_double
from tramdag.fitting.gram import WeightedGram
from tramdag.fitting.single import SingleContinuous, SingleOrdinal, ordinal_derivatives
from tramdag.node import Conditional, ContinuousConditional, OrdinalConditional
from tramdag.transforms import BOUND, LinearInBasis, positive

__all__ = [
    "ContinuousLikelihood",
    "OrdinalLikelihood",
    "likelihood_of",
]


class ContinuousLikelihood(ConvexLikelihood):
    """A continuous node with a transform that is linear in its increments.

    Args:
        conditional: The node, float64, its scalings set.
        values: Its rows.
        weights: Case weights, ``(B, n)``, or None.
    """

    def __init__(
        self, conditional: ContinuousConditional, values: Values, weights: Tensor | None = None
    ) -> None:
        self._conditional, self._column = conditional, values[conditional.name]
        self.n_intercept = k = conditional.transform.n_params
        n, q = len(self._column), k + len(conditional.linear.columns)
        # one design (1, C, X), written block by block: temporaries of all rows would be larger;
        # columns are contiguous, so that weights multiply them in long runs
        self._design = torch.empty(q, n, dtype=torch.float64).T
        self._slopes = torch.empty(k - 1, n, dtype=torch.float64).T
        self._design[:, 0] = 1.0
        for rows, (C, dC, X, *_) in encoded_blocks(conditional, values):
            self._design[rows, 1:k], self._slopes[rows], self._design[rows, k:] = C, dC, X
        self.shift = self._design[:, k:]
        self._gram, self._slope_gram = WeightedGram(self._design), WeightedGram(self._slopes)
        self._shift_gram = WeightedGram(self.shift)
        self.constant = math.log(BOUND / float(conditional.half_range))
        self._set_weights(weights)

    @override
    def start(self) -> Tensor:
        transform = self._conditional.transform
        assert isinstance(transform, LinearInBasis)
        psi = torch.zeros(self.n_replicates, self.n_parameters, dtype=torch.float64)
        psi[:, : self.n_intercept] = transform.start(self._conditional.scale(self._column))
        return psi

    @override
    def predict(self, psi: Tensor) -> tuple[Tensor, Tensor]:
        z = psi @ self._design.T
        slope = psi[:, 1 : self.n_intercept] @ self._slopes.T
        if self.weights is not None:
            # where no row is h may be flat, which costs nothing; without this 0 * inf is not 0
            slope = torch.where(self.weights > 0, slope, 1.0)
        return z, slope

    @override
    def value(self, psi: Tensor, predictors: tuple[Tensor, Tensor]) -> Tensor:
        z, slope = predictors
        return self._weighted(2 * positive(z) - z - torch.log(slope)).sum(-1) / self.total

    @override
    def derivatives(
        self, psi: Tensor, predictors: tuple[Tensor, Tensor]
    ) -> tuple[np.ndarray, np.ndarray]:
        z, slope = predictors
        inner = slice(1, self.n_intercept)
        F, pull = torch.sigmoid(z), self._weighted(1 / slope)
        gradient = (self._weighted(2 * F - 1) @ self._design).numpy()
        gradient[:, inner] -= (pull @ self._slopes).numpy()
        hessian = self._gram(self._weighted(2 * F * torch.sigmoid(-z))).numpy()
        hessian[:, inner, inner] += self._slope_gram(pull / slope).numpy()
        total = self.total.numpy()
        return gradient / total[:, None], hessian / total[:, None, None]

    @override
    def single(self) -> SingleContinuous:
        weights, total = self._single_weights()
        return SingleContinuous(
            self._design.numpy(), self._slopes.numpy(), weights=weights, total=total
        )

    @override
    def local(self, psi: np.ndarray) -> Local:
        z, slope = (part[0] for part in self.predict(torch.from_numpy(psi).unsqueeze(0)))
        F = torch.sigmoid(z)
        slope_design = torch.zeros_like(self._design)
        slope_design[:, 1 : self.n_intercept] = self._slopes
        return Local(
            designs=(self._design, slope_design),
            gradients=(1 - 2 * F, 1 / slope),
            curvatures=(2 * F * torch.sigmoid(-z), 1 / slope**2, torch.zeros_like(z)),
        ).weighted(self.weights)


class OrdinalLikelihood(ConvexLikelihood):
    """An ordinal node: the proportional-odds model, logistic regression for two levels.

    The rows are held sorted by level, so that sums within a level are sums over a slice.

    Args:
        conditional: The node, float64, its scalings set.
        values: Its rows.
        weights: Case weights, ``(B, n)``, or None.
    """

    def __init__(
        self, conditional: OrdinalConditional, values: Values, weights: Tensor | None = None
    ) -> None:
        level = values[conditional.name].cpu()
        n, p = len(level), len(conditional.linear.columns)
        self.levels = conditional.levels
        self.n_intercept = self.levels - 1
        # NumPy counts numbers of 16 bits instead of comparing them
        order = np.argsort(level.numpy().astype(np.int16), kind="stable")
        self.order = torch.from_numpy(order)
        self.level = level[self.order]
        place = torch.empty_like(self.order)
        place[self.order] = torch.arange(n)
        self._design = torch.empty(1 + p, n, dtype=torch.float64).T
        self._design[:, 0] = 1.0
        for rows, (_, X, *_) in encoded_blocks(conditional, values):
            self._design[place[rows], 1:] = X
        self.shift = self._design[:, 1:]
        self._shift_gram = WeightedGram(self.shift)
        ends = torch.bincount(self.level, minlength=self.levels).cumsum(0).tolist()
        self._slices = [slice(a, b) for a, b in pairwise([0, *ends])]
        self._set_weights(weights)

    @override
    def _set_weights(self, weights: Tensor | None) -> None:
        super()._set_weights(weights)
        if self.weights is None:
            counts = [float(rows.stop - rows.start) for rows in self._slices]
            self.counts = torch.tensor([counts], dtype=torch.float64)
        else:
            parts = [self.weights[:, rows].sum(-1) for rows in self._slices]
            self.counts = torch.stack(parts, -1)

    @override
    def replicates(self, chosen: Tensor | slice) -> Self:
        part = super().replicates(chosen)
        if part is not self:
            part.counts = self.counts[chosen]
        return part

    @override
    def start(self) -> Tensor:
        counts = self.counts.numpy() + 0.5
        below = counts.cumsum(-1)[:, :-1]
        theta = np.log(below / (counts.sum(-1, keepdims=True) - below))
        psi = np.zeros((len(theta), self.n_parameters))
        psi[:, 0], psi[:, 1 : self.n_intercept] = theta[:, 0], np.diff(theta)
        return torch.from_numpy(psi)

    @override
    def predict(self, psi: Tensor) -> tuple[Tensor, Tensor]:
        """Upper and lower end of every row's latent interval, infinite at the outer levels."""
        theta = psi[:, : self.n_intercept].cumsum(-1)
        shift = psi[:, self.n_intercept :] @ self.shift.T
        infinity = theta.new_full((len(theta), 1), torch.inf)
        upper = torch.cat([theta, infinity], -1).index_select(-1, self.level) - shift
        return upper, torch.cat([-infinity, theta], -1).index_select(-1, self.level) - shift

    @override
    def value(self, psi: Tensor, predictors: tuple[Tensor, Tensor]) -> Tensor:
        upper, lower = predictors
        rows = self._weighted(positive(-upper) + positive(lower)).sum(-1)
        # only inner levels have both ends; increment k is the gap of level k
        counts = self.counts[:, 1:-1]
        log_mass = torch.log(-torch.expm1(-psi[:, 1 : self.n_intercept]))
        return (rows - (counts * torch.where(counts > 0, log_mass, 0.0)).sum(-1)) / self.total

    @override
    def derivatives(
        self, psi: Tensor, predictors: tuple[Tensor, Tensor]
    ) -> tuple[np.ndarray, np.ndarray]:
        upper, lower = predictors
        rows = upper.new_empty(4, *upper.shape)
        torch.sigmoid(-upper, out=rows[0])
        torch.sigmoid(lower, out=rows[1])
        torch.mul(rows[:2], 1 - rows[:2], out=rows[2:])
        if self.weights is not None:
            rows *= self.weights
        sums = np.stack([(rows[..., s] @ self._design[s]).numpy() for s in self._slices])
        gram = self._shift_gram(rows[2] + rows[3]).numpy()
        gradient, hessian = ordinal_derivatives(psi.numpy(), sums, gram, self.counts.numpy())
        total = self.total.numpy()
        return gradient / total[:, None], hessian / total[:, None, None]

    @override
    def single(self) -> SingleOrdinal:
        weights, total = self._single_weights()
        counts = self.counts[0].numpy()
        return SingleOrdinal(
            self._design.numpy(), self._slices, counts, weights=weights, total=total
        )

    @override
    def local(self, psi: np.ndarray) -> Local:
        upper, lower = (part[0] for part in self.predict(torch.from_numpy(psi).unsqueeze(0)))
        inner = upper.isfinite() & lower.isfinite()
        gap = torch.where(inner, upper - lower, torch.inf)
        pull = 1 / torch.expm1(gap)
        bend = pull * (1 + pull)  # e^-d / (1 - e^-d)^2
        q_upper, p_lower = torch.sigmoid(-upper), torch.sigmoid(lower)
        return Local(
            designs=self.designs(),
            gradients=(q_upper + pull, -p_lower - pull),
            curvatures=(q_upper * (1 - q_upper) + bend, p_lower * (1 - p_lower) + bend, -bend),
        ).weighted(self.weights)

    def at_level(self, level: int) -> OrdinalLikelihood:
        """The same rows, unweighted, as if each had shown ``level``: for :meth:`local` alone."""
        other = copy.copy(self)
        other.level = torch.full_like(self.level, level)
        other.weights = None
        return other

    def designs(self) -> tuple[Tensor, Tensor]:
        """Coefficients of upper and lower end in psi; rows of zeros where an end is infinite."""
        level, X = self.level, self.shift
        k = self.n_intercept
        # row k: the coefficients of theta_k in (a, gamma)
        cumulative, none = X.new_ones(k, k).tril(), X.new_zeros(1, k)
        upper = torch.cat([cumulative, none])[level]
        lower = torch.cat([none, cumulative])[level]
        X_upper = X * (level < self.levels - 1).unsqueeze(-1)
        X_lower = X * (level > 0).unsqueeze(-1)
        return torch.cat([upper, -X_upper], -1), torch.cat([lower, -X_lower], -1)


def likelihood_of(
    conditional: Conditional, values: Values, weights: Tensor | None = None
) -> ConvexLikelihood:
    """The likelihood of a node with a convex head, in float64, its networks taken as zero.

    Args:
        conditional: The node; its scalings must be set.
        values: Its rows.
        weights: Case weights, ``(n,)`` or one row per replicate, ``(B, n)``; None weighs by one.
    """
    conditional = in_double(conditional)
    if weights is not None:
        weights = torch.atleast_2d(weights).cpu()
    if isinstance(conditional, ContinuousConditional):
        return ContinuousLikelihood(conditional, values, weights)
    assert isinstance(conditional, OrdinalConditional)
    return OrdinalLikelihood(conditional, values, weights)
