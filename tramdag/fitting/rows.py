"""Encoded rows that a stack's members learn from and are judged on, and how well they do."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tramdag.fitting.stack import Stack

__all__ = ["RowBlocks", "Rows", "TrainingRows", "mean_nll"]

_EVALUATION_NUMBERS = 4_000_000
"""Numbers of the rows that are evaluated in one go; bounds the memory of large stacks."""

_BLOCK_NUMBERS = 2**19
"""Numbers of the rows of one block on a processor: they stay in its cache."""

_BLOCK_NUMBERS_ON_DEVICE = 2**26

_KEPT_NUMBERS = 2**27
"""Numbers of gathered rows, 512 MiB, that are kept from pass to pass."""


class Rows:
    """Encoded rows of the members of a stack, from which batches are gathered in few operations.

    Args:
        encoded: Encodings by :meth:`~tramdag.node.Conditional.encode`, one per distinct law, all
            of the same shapes.
        owner: For each member the encoding that is its own, shape ``(R,)``.
    """

    def __init__(self, encoded: Sequence[tuple[Tensor, ...]], owner: Tensor) -> None:
        first = encoded[0]
        self.n = len(first[0])
        self.owner = owner
        self._is_float = [part.is_floating_point() for part in first]
        self._is_vector = [part.ndim == 1 for part in first]
        self._widths = [part[0].numel() for part in first if part.is_floating_point()]
        packed = [
            torch.cat([part.view(self.n, -1) for part in parts if part.is_floating_point()], 1)
            for parts in encoded
        ]
        self._floats = torch.cat(packed)
        self._others = [
            torch.cat([parts[j] for parts in encoded])
            for j, is_float in enumerate(self._is_float)
            if not is_float
        ]

    @property
    def width(self) -> int:
        """Numbers per row."""
        return self._floats.shape[1] + len(self._others)

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the encodings."""
        return self._floats.dtype

    def to(self, dtype: torch.dtype) -> Rows:
        """The same rows in another floating type."""
        other = copy.copy(self)
        other._floats = self._floats.to(dtype)
        return other

    def keep(self, index: Tensor) -> None:
        """Go on with the rows of some of the members."""
        self.owner = self.owner[index]

    def gather(self, index: Tensor) -> tuple[Tensor, ...]:
        """Rows of every member, ``index (R, k) -> tensors (R, k, ...)``, parts as encoded."""
        flat = (index + (self.owner * self.n).unsqueeze(-1)).flatten()
        floats = self._floats.index_select(0, flat).view(*index.shape, -1)
        pieces, others = iter(floats.split(self._widths, -1)), iter(self._others)
        parts = []
        for is_float, is_vector in zip(self._is_float, self._is_vector, strict=True):
            if is_float:
                piece = next(pieces)
                parts.append(piece.squeeze(-1) if is_vector else piece)
            else:
                parts.append(next(others).index_select(0, flat).view(index.shape))
        return tuple(parts)


@dataclass
class TrainingRows:
    """The rows that the members of a stack learn from and are judged on.

    Attributes:
        rows: Encoded training rows.
        index: Each member's own of them, shape ``(R, n)``.
        held: Encoded validation rows, or the training rows again.
        held_index: Each member's own of them, shape ``(R, n_held)``.
        weights: Case weights of the training rows ``(R, n)``, with mean one, or None.
        held_weights: Case weights of the validation rows ``(R, n_held)``, with mean one, or None.
        is_judged_apart: Whether the held rows are others than those learnt from.
    """

    rows: Rows
    index: Tensor
    held: Rows
    held_index: Tensor
    weights: Tensor | None = None
    held_weights: Tensor | None = None
    is_judged_apart: bool = True

    def steps_in(self, dtype: torch.dtype) -> TrainingRows:
        """A copy whose training rows have another floating type; nothing else changes."""
        return replace(self, rows=self.rows.to(dtype), held=copy.copy(self.held))

    def keep(self, members: Tensor) -> None:
        """Go on with some of the members."""
        self.rows.keep(members)
        self.held.keep(members)
        self.index, self.held_index = self.index[members], self.held_index[members]
        if self.weights is not None:
            self.weights = self.weights[members]
        if self.held_weights is not None:
            self.held_weights = self.held_weights[members]


class RowBlocks:
    """All training rows of every member, block by block, for pass after pass.

    Iterating gives the encoded rows of a block, tensors ``(R, m, ...)``, and their factors
    ``(R, m)`` in a mean over all rows: 1/n, times the weight where rows have weights of mean one.

    Args:
        data: The rows.
    """

    def __init__(self, data: TrainingRows) -> None:
        self._data = data
        self._kept: list[tuple[tuple[Tensor, ...], Tensor]] | None = None

    def __iter__(self) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        if self._data.index.numel() * self._data.rows.width > _KEPT_NUMBERS:
            return self._gather()
        if self._kept is None:
            self._kept = [*self._gather()]
        return iter(self._kept)

    def forget(self) -> None:
        """Gather anew: the members are others than before."""
        self._kept = None

    def _gather(self) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        data = self._data
        n_members, n = data.index.shape
        numbers = _BLOCK_NUMBERS_ON_DEVICE if data.index.is_cuda else _BLOCK_NUMBERS
        size = max(1, numbers // (n_members * data.rows.width))
        for low in range(0, n, size):
            some = data.index[:, low : low + size]
            weights = (
                torch.ones_like(some) if data.weights is None else data.weights[:, low : low + size]
            )
            yield data.rows.gather(some), weights.to(data.rows.dtype) / n


@torch.no_grad()
def mean_nll(stack: Stack, rows: Rows, index: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean negative log-likelihood of each member's rows, in nats per row.

    Args:
        stack: The members.
        rows: Encoded rows.
        index: Each member's own of them, shape ``(R, n)``.
        weights: Case weights with mean one, shape ``(R, n)``, or None.

    Returns:
        Shape ``(R,)``, float64.
    """
    n = index.shape[1]
    total = torch.zeros(len(stack), dtype=torch.float64, device=index.device)
    size = max(1, _EVALUATION_NUMBERS // (len(stack) * rows.width))
    for start in range(0, n, size):
        block = slice(start, start + size)
        nll = -stack.module.log_prob_encoded(*rows.gather(index[:, block]))
        total += (nll if weights is None else nll * weights[:, block]).sum(1)
    return total / n
