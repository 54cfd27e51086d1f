"""What the convex likelihoods of classical nodes share: a row's derivatives, sums over rows."""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from tramdag.data import Values
from tramdag.fitting.gram import WeightedGram
from tramdag.fitting.single import SingleLikelihood
from tramdag.node import Conditional

__all__ = ["ConvexLikelihood", "Local", "encoded_blocks", "in_double"]

_ENCODED_ROWS = 65_536
"""Rows encoded at a time, which bounds the memory of the encoding's temporaries."""


@dataclass(frozen=True)
class Local:
    """Every row's log-likelihood to second order in its two linear predictors.

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

    def weighted(self, weights: Tensor | None) -> Local:
        """The rows' log-likelihoods times their weights, ``(1, n)``; None changes nothing."""
        if weights is None:
            return self
        (w,) = weights
        g1, g2 = self.gradients
        k11, k22, k12 = self.curvatures
        return replace(self, gradients=(g1 * w, g2 * w), curvatures=(k11 * w, k22 * w, k12 * w))

    def extended(self, extra: tuple[Tensor, Tensor]) -> Local:
        """The same rows with more parameters; ``extra`` are their coefficients."""
        pairs = zip(self.designs, extra, strict=True)
        first, second = (torch.cat(pair, -1) for pair in pairs)
        return replace(self, designs=(first, second))


class ConvexLikelihood(abc.ABC):
    """Mean negative log-likelihood of a node as a function of psi, for B replicates at once.

    Replicates differ in psi, and may differ in the rows' weights; they share rows and designs.
    With weights the sums over rows are weighted and divided by the replicate's sum of weights.
    A row of weight zero counts as absent.

    Attributes:
        n_intercept: Number of offset and increments; psi goes on with the shift's weights.
        shift: Standardised shift columns X, ``(n, p)``, float64 on the CPU, rows in ``order``.
        order: Positions in the table of the rows as they are held, None if they are the same.
        weights: Case weights of the rows as they are held, ``(B, n)``; None weighs all by one.
        total: Sum of the weights, ``(B,)``; ``(1,)`` without weights.
        constant: What a row's log density per unit of the column has beyond this likelihood, nats.
    """

    n_intercept: int
    shift: Tensor
    order: Tensor | None = None
    weights: Tensor | None = None
    total: Tensor
    constant: float = 0.0

    def _set_weights(self, weights: Tensor | None) -> None:
        self.weights, self.total = None, torch.tensor([self.n], dtype=torch.float64)
        if weights is not None:
            rows = weights if self.order is None else weights[:, self.order]
            self.weights = rows.to(torch.float64).contiguous()
            self.total = self.weights.sum(-1)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.shift)

    @property
    def n_replicates(self) -> int:
        """Number of weight vectors, 1 without weights."""
        return 1 if self.weights is None else len(self.weights)

    @property
    def n_parameters(self) -> int:
        """Length of psi."""
        return self.n_intercept + self.shift.shape[1]

    @property
    def bounded(self) -> np.ndarray:
        """Which entries of psi are increments, bounded below by zero."""
        mask = np.zeros(self.n_parameters, dtype=bool)
        mask[1 : self.n_intercept] = True
        return mask

    def replicates(self, chosen: Tensor | slice) -> Self:
        """The likelihood of some of the replicates."""
        if self.weights is None:
            return self
        part = copy.copy(self)
        part.weights, part.total = self.weights[chosen], self.total[chosen]
        return part

    def unweighted(self) -> Self:
        """The same rows with all weights one."""
        part = copy.copy(self)
        part._set_weights(None)
        return part

    @abc.abstractmethod
    def start(self) -> Tensor:
        """A feasible psi with finite value for every replicate, ``(B, q)``."""

    @abc.abstractmethod
    def predict(self, psi: Tensor) -> tuple[Tensor, Tensor]:
        """The rows' two linear predictors (see :class:`Local`), ``(B, n)`` each."""

    @abc.abstractmethod
    def value(self, psi: Tensor, predictors: tuple[Tensor, Tensor]) -> Tensor:
        """Mean value, ``(B,)``."""

    @abc.abstractmethod
    def derivatives(
        self, psi: Tensor, predictors: tuple[Tensor, Tensor]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gradient ``(B, q)`` and Hessian ``(B, q, q)`` of the mean value.

        Sums over rows are torch's; what has the size of psi is NumPy's, whose calls cost less.
        """

    @abc.abstractmethod
    def single(self) -> SingleLikelihood:
        """The same function for NumPy, of a single replicate."""

    def _single_weights(self) -> tuple[np.ndarray | None, float]:
        assert self.n_replicates == 1
        weights = None if self.weights is None else self.weights[0].numpy()
        return weights, float(self.total[0])

    @abc.abstractmethod
    def local(self, psi: np.ndarray) -> Local:
        """Derivatives of every row's weighted log-likelihood, for a single replicate."""

    def scores(self, psi: np.ndarray) -> np.ndarray:
        """Gradient of every row's weighted log-likelihood, ``(n, q)``, in the table's order."""
        scores = self.local(psi).scores()
        if self.order is not None:
            scores = torch.empty_like(scores).index_copy_(0, self.order, scores)
        return scores.numpy()

    def __call__(self, psi: np.ndarray, *, order: int) -> tuple[Any, ...]:
        """Mean value at one psi of a single replicate, with ``order=2`` gradient and Hessian."""
        single, at = self.single(), np.asarray(psi)
        value, rows = single.evaluate(at)
        return (value, *single.derivatives(at, rows)) if order == 2 else (value,)

    def shift_gram(self) -> Tensor:
        """Weighted Gram matrix of a constant and the shift columns, ``(B, 1 + p, 1 + p)``."""
        p = self.shift.shape[1]
        gram = np.empty((self.n_replicates, 1 + p, 1 + p))
        gram[:, 0, 0] = self.total.numpy()
        if self.weights is None:
            X = self.shift.numpy()
            gram[:, 0, 1:], gram[:, 1:, 1:] = X.sum(0), X.T @ X
        else:
            gram[:, 0, 1:] = (self.weights @ self.shift).numpy()
            gram[:, 1:, 1:] = self._shift_gram(self.weights).numpy()
        gram[:, 1:, 0] = gram[:, 0, 1:]
        return torch.from_numpy(gram)

    _shift_gram: WeightedGram

    def _weighted(self, per_row: Tensor) -> Tensor:
        return per_row if self.weights is None else per_row * self.weights


def encoded_blocks(
    conditional: Conditional, values: Values
) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
    """The node's encoding block by block of rows, on the CPU."""
    names = (conditional.name, *conditional.parents)
    n = len(values[conditional.name])
    for start in range(0, n, _ENCODED_ROWS):
        rows = slice(start, start + _ENCODED_ROWS)
        encoded = conditional.encode({name: values[name][rows] for name in names})
        yield rows, tuple(part.cpu() for part in encoded)


def in_double(conditional: Conditional) -> Conditional:
    """The node in float64: itself, or a copy."""
    if conditional.dtype == torch.float64:
        return conditional
    return copy.deepcopy(conditional).double()
