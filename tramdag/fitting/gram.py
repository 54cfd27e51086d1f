"""Weighted sums over rows of a design's outer products, for one weight vector or many."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import lapack
from torch import Tensor

__all__ = ["BLOCK_ROWS", "WeightedGram", "dependent_columns"]

BLOCK_ROWS = 8192
"""Rows per block: a block of a usual design, weighted, stays in the processor's cache."""

_PACKED_REPLICATES = 4
"""From here on the rows' outer products, computed once, are worth their memory traffic."""

_PACKED_NUMBERS = 2**24
"""Most numbers of outer products that are kept (128 MiB); beyond it blocks are made anew."""

_SMALLEST_SQUARED_SINE = 1e-12


class WeightedGram:
    r""":math:`G_b = \sum_i w_{bi} x_i x_i^T` for every replicate b, blockwise in the rows i.

    For many replicates the distinct entries of :math:`x_i x_i^T` are laid out as a matrix with
    q (q + 1) / 2 columns, so that all sums are one matrix product.

    Args:
        design: Rows x, shape ``(n, q)``.
    """

    def __init__(self, design: Tensor) -> None:
        self._design = design
        self._packed: Tensor | None = None

    def __call__(self, weights: Tensor) -> Tensor:
        """The sums for weights of shape ``(B, n)``; shape ``(B, q, q)``."""
        q = self._design.shape[1]
        if len(weights) == 1:
            return self._single(weights)
        if len(weights) < _PACKED_REPLICATES:
            return torch.cat([self._single(row) for row in weights.split(1)])
        first, second = torch.tril_indices(q, q)
        sums = self._packed_sums(weights, first, second)
        position = torch.empty(q, q, dtype=torch.int64)
        position[first, second] = position[second, first] = torch.arange(len(first))
        return sums[:, position.flatten()].unflatten(-1, (q, q))

    def _single(self, weights: Tensor) -> Tensor:
        """The sums for weights of shape ``(1, n)``."""
        design, n = self._design, len(self._design)
        if n <= BLOCK_ROWS:
            return ((design.T * weights) @ design).unsqueeze(0)
        total = design.new_zeros(design.shape[1], design.shape[1])
        for start in range(0, n, BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            total.addmm_(design[rows].T * weights[:, rows], design[rows])
        return total.unsqueeze(0)

    def _packed_sums(self, weights: Tensor, first: Tensor, second: Tensor) -> Tensor:
        design, n = self._design, len(self._design)
        if self._packed is None and n * len(first) <= _PACKED_NUMBERS:
            self._packed = design[:, first] * design[:, second]
        if self._packed is not None:
            return weights @ self._packed
        sums = weights.new_zeros(len(weights), len(first))
        for start in range(0, n, BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            block = design[rows]
            sums.addmm_(weights[:, rows], block[:, first] * block[:, second])
        return sums


def dependent_columns(gram: Tensor) -> Tensor:
    """Which columns earlier ones span, by their Gram matrices; the first counts as independent.

    Args:
        gram: Gram matrices, shape ``(B, q, q)``.

    Returns:
        Shape ``(B, q)``, bool: columns of zeros, and those whose angle to the span of the earlier
        independent ones has a squared sine below 1e-12.
    """
    if len(gram) == 1 and _clearly_independent(gram[0].numpy()):
        return torch.zeros(gram.shape[:-1], dtype=torch.bool)
    norms = gram.diagonal(dim1=-2, dim2=-1).clamp(min=0.0).sqrt()
    safe = torch.where(norms > 0, norms, 1.0)
    rest = gram / (safe.unsqueeze(-1) * safe.unsqueeze(-2))
    factor, info = torch.linalg.cholesky_ex(rest)
    # the squared diagonal of the Cholesky factor holds exactly these sines
    sines = factor.diagonal(dim1=-2, dim2=-1).square()
    if not bool(info.any()) and bool((sines >= _SMALLEST_SQUARED_SINE).all()):
        return torch.zeros_like(norms, dtype=torch.bool)
    dependent = norms == 0
    for j in range(rest.shape[-1]):
        pivot = rest[:, j, j]
        if j > 0:
            dependent[:, j] |= pivot < _SMALLEST_SQUARED_SINE
        column = rest[:, :, j]
        share = torch.where(dependent[:, j], 0.0, 1.0 / torch.where(dependent[:, j], 1.0, pivot))
        rest = rest - column.unsqueeze(-1) * (column * share.unsqueeze(-1)).unsqueeze(-2)
    return dependent


def _clearly_independent(gram: np.ndarray) -> bool:
    """The usual answer of one matrix, by its Cholesky factor as above."""
    squares = gram.diagonal()
    if not squares.min() > 0:
        return False
    lower, info = lapack.dpotrf(gram, lower=1)
    return info == 0 and bool((lower.diagonal() ** 2 >= _SMALLEST_SQUARED_SINE * squares).all())
