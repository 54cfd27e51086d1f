r"""The convex likelihoods of a single replicate in NumPy: value, then gradient and Hessian.

A fit of a thousand rows takes some thirty of these evaluations, in which torch's dispatch would
cost more than the arithmetic. The formulas are those of :mod:`tramdag.fitting.likelihood` for one
psi. A row's predictor m enters by :math:`e = e^{-|m|}` alone: softplus is
:math:`\max(m, 0) + \log(1 + e)`, F(m) is :math:`1 / (1 + e)` or :math:`e / (1 + e)`, and its
derivative :math:`e / (1 + e)^2`. Sums of outer products pass in blocks of rows, so memory beyond
the design is a few numbers per row.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from tramdag.fitting import gram

__all__ = ["Rows", "SingleContinuous", "SingleLikelihood", "SingleOrdinal", "ordinal_derivatives"]

_FACTORS = 512
"""Factors of a product that stays below 2**512."""

Rows = tuple[np.ndarray, ...]
"""What the derivatives need of the rows at a psi, beyond the design."""


class SingleLikelihood(abc.ABC):
    """Mean negative log-likelihood of a node as a function of one psi, ``(q,)``.

    Attributes:
        n_intercept: Number of offset and increments; psi goes on with the shift's weights.
        n_parameters: Length of psi.
        weights: Case weights, ``(n,)``, or None.
        total: Sum of the weights.
    """

    n_intercept: int
    n_parameters: int
    weights: np.ndarray | None
    total: float

    @abc.abstractmethod
    def evaluate(self, psi: np.ndarray) -> tuple[float, Rows]:
        """Mean value, not finite outside the domain, and what :meth:`derivatives` needs."""

    @abc.abstractmethod
    def derivatives(self, psi: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Gradient ``(q,)`` and Hessian ``(q, q)`` of the mean value."""

    def _weighted(self, per_row: np.ndarray) -> np.ndarray:
        return per_row if self.weights is None else per_row * self.weights


class SingleContinuous(SingleLikelihood):
    """A continuous node.

    Args:
        design: (1, C, X), ``(n, q)``.
        slopes: C', ``(n, n_intercept - 1)``.
        weights: Case weights, ``(n,)``, or None.
        total: Their sum.
    """

    def __init__(
        self, design: np.ndarray, slopes: np.ndarray, *, weights: np.ndarray | None, total: float
    ) -> None:
        self._design, self._slopes, self.weights, self.total = design, slopes, weights, total
        self.n_intercept, self.n_parameters = slopes.shape[1] + 1, design.shape[1]
        self._absent = None if weights is None else weights == 0
        self._gram, self._slope_gram = _Gram(design), _Gram(slopes)

    @override
    def evaluate(self, psi: np.ndarray) -> tuple[float, Rows]:
        z, slope = self._design @ psi, self._slopes @ psi[1 : self.n_intercept]
        if self._absent is not None:
            slope[self._absent] = 1.0  # where no row is h may be flat, which costs nothing
        size = np.abs(z)
        e = np.exp(-size)
        with np.errstate(divide="ignore", invalid="ignore"):
            per_row = size - np.log(slope)
        if self.weights is None:
            value = float(per_row.sum()) + 2.0 * _sum_of_log1p(e)
        else:
            value = float(self.weights @ (per_row + 2.0 * np.log1p(e)))
        return value / self.total, (z, e, slope)

    @override
    def derivatives(self, psi: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        z, e, slope = rows
        inner = slice(1, self.n_intercept)
        share, pull = 1.0 / (1.0 + e), self._weighted(1.0 / slope)
        gradient = self._weighted(np.copysign((1.0 - e) * share, z)) @ self._design
        gradient[inner] -= pull @ self._slopes
        hessian = self._gram(self._weighted(2.0 * e * share * share))
        hessian[inner, inner] += self._slope_gram(pull / slope)
        return gradient / self.total, hessian / self.total


class SingleOrdinal(SingleLikelihood):
    """An ordinal node, its rows sorted by level.

    Args:
        design: (1, X), ``(n, 1 + p)``.
        slices: Each level's rows.
        counts: Sum of each level's weights.
        weights: Case weights, ``(n,)``, or None.
        total: Their sum.
    """

    def __init__(
        self,
        design: np.ndarray,
        slices: Sequence[slice],
        counts: np.ndarray,
        *,
        weights: np.ndarray | None,
        total: float,
    ) -> None:
        self._design, self._slices, self._counts = design, slices, counts
        self.weights, self.total = weights, total
        self.n_intercept = len(slices) - 1
        self.n_parameters = self.n_intercept + design.shape[1] - 1
        # upper ends exist below the last level, lower ends above the first
        self._with_upper, self._with_lower = slices[-1].start, slices[0].stop
        sizes = [rows.stop - rows.start for rows in slices]
        self._sizes = np.array([sizes[:-1], sizes[1:]])
        self._shift_gram = _Gram(design[:, 1:])

    @override
    def evaluate(self, psi: np.ndarray) -> tuple[float, Rows]:
        k, b = self.n_intercept, self._with_upper
        theta, shift = psi[:k].cumsum(), self._design[:, 1:] @ psi[k:]
        # softplus(-u) of all upper ends u, then softplus(l) of all lower ends l
        ends = np.empty(b + len(shift) - self._with_lower)
        np.subtract(shift[:b], np.repeat(theta, self._sizes[0]), out=ends[:b])
        np.subtract(np.repeat(theta, self._sizes[1]), shift[self._with_lower :], out=ends[b:])
        e = np.exp(-np.abs(ends))
        per_end = np.maximum(ends, 0.0)
        if self.weights is None:
            value = float(per_end.sum()) + _sum_of_log1p(e)
        else:
            per_end += np.log1p(e)
            value = float(self.weights[:b] @ per_end[:b])
            value += float(self.weights[self._with_lower :] @ per_end[b:])
        counts = self._counts[1:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            log_mass = np.log(-np.expm1(-psi[1:k]))
        value -= float((counts * np.where(counts > 0, log_mass, 0.0)).sum())
        return value / self.total, (ends, e)

    @override
    def derivatives(self, psi: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        ends, e = rows
        b, n = self._with_upper, len(self._design)
        share = 1.0 / (1.0 + e)
        bend = e * share * share
        pull = np.where(ends > 0, share, e * share)
        per_row = np.zeros((4, n))
        per_row[0, :b], per_row[1, self._with_lower :] = pull[:b], pull[b:]
        per_row[2, :b], per_row[3, self._with_lower :] = bend[:b], bend[b:]
        if self.weights is not None:
            per_row *= self.weights
        sums = np.stack([per_row[:, s] @ self._design[s] for s in self._slices])
        gram_of_shift = self._shift_gram(per_row[2] + per_row[3])
        gradient, hessian = ordinal_derivatives(
            psi[None], sums[:, :, None], gram_of_shift[None], self._counts[None]
        )
        return gradient[0] / self.total, hessian[0] / self.total


def ordinal_derivatives(
    psi: np.ndarray, sums: np.ndarray, gram_of_shift: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients and Hessians of ordinal likelihoods from the sums over the rows of each level.

    Args:
        psi: Parameters, ``(B, q)``.
        sums: Over each level's rows, of the columns (1, X) times the slope and the curvature at
            the ends; ``(K, 4, B, 1 + p)`` in the order upper and lower slope, upper and lower
            curvature, zero where there is no such end.
        gram_of_shift: Sums of the outer products of X times both curvatures, ``(B, p, p)``.
        counts: Sums of the weights of each level, ``(B, K)``.

    Returns:
        Of the sum over rows, ``(B, q)`` and ``(B, q, q)``.
    """
    n_replicates, q = psi.shape
    k = len(sums) - 1
    # theta_k is the upper end of level k and the lower end of level k + 1
    pull = sums[1:, 1] - sums[:-1, 0]
    bend = sums[:-1, 2] + sums[1:, 3]
    gradient = np.empty((n_replicates, q))
    gradient[:, :k] = _sums_from(pull[..., 0]).T
    gradient[:, k:] = -pull[..., 1:].sum(0)
    hessian = np.empty((n_replicates, q, q))
    later = np.maximum.outer(np.arange(k), np.arange(k))
    hessian[:, :k, :k] = _sums_from(bend[..., 0]).T[:, later]
    hessian[:, :k, k:] = -_sums_from(bend[..., 1:]).transpose(1, 0, 2)
    hessian[:, k:, :k] = hessian[:, :k, k:].transpose(0, 2, 1)
    hessian[:, k:, k:] = gram_of_shift
    if k > 1:
        inner = counts[:, 1:-1]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            odds = np.where(inner > 0, 1 / np.expm1(psi[:, 1:k]), 0.0)
        gradient[:, 1:k] -= inner * odds
        np.einsum("bii->bi", hessian)[:, 1:k] += inner * odds * (1 + odds)
    return gradient, hessian


def _sums_from(parts: np.ndarray) -> np.ndarray:
    """Sums over the first axis from each index to the end: from theta to offset and increments."""
    return parts[::-1].cumsum(0)[::-1]


class _Gram:
    """Weighted sums of a design's outer products over the rows, blockwise, in one buffer.

    Columns are contiguous, and a buffer of one's own spares the page faults that fresh memory of
    this size may cost.
    """

    def __init__(self, design: np.ndarray) -> None:
        self._columns = design.T
        q, n = self._columns.shape
        self._buffer = np.empty((q, min(n, gram.BLOCK_ROWS)))

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """The sum for weights of shape ``(n,)``; shape ``(q, q)``."""
        (q, size), roots = self._buffer.shape, np.sqrt(weights)
        total = np.zeros((q, q))
        for start in range(0, len(roots), size):
            rows = slice(start, start + size)
            part = self._buffer[:, : len(roots[rows])]
            np.multiply(self._columns[:, rows], roots[rows], out=part)
            total += part @ part.T  # NumPy knows this for symmetric and takes half the work
        return total


def _sum_of_log1p(e: np.ndarray) -> float:
    """Sum of log(1 + e) for e in [0, 1]: logarithms of products, of factors of at most 2."""
    products = np.multiply.reduceat(1.0 + e, np.arange(0, len(e), _FACTORS))
    return float(np.log(products).sum())
