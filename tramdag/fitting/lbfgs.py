r"""The limited-memory inverse Hessian of many problems at once, in its compact form.

With the last m pairs of steps S and changes of the gradient Y, columns in order of time, the
approximation is :math:`H = \gamma I + [S, \gamma Y]\, M\, [S, \gamma Y]^T`: a few products of
matrices for all problems, where the usual two-loop recursion takes 4m small operations.

References:
    Byrd, Nocedal and Schnabel (1994), Representations of quasi-Newton matrices and their use in
    limited memory methods, Mathematical Programming 63, equation 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["InverseHessian"]

_MEMORY = 30
"""Pairs that are remembered."""

_SMALLEST_COSINE = 1e-8
"""Pairs with less curvature along the step would make the matrix nearly indefinite."""

_STORED = ("steps", "changes", "crossed", "squared", "scale")


class InverseHessian:
    """Approximations H of the inverse Hessians of R functions of P variables.

    A pair of zeros counts as none, so problems may skip pairs and still share one program.

    Args:
        like: Any tensor of shape ``(R, P)``: gives the sizes, dtype and device.
    """

    def __init__(self, like: Tensor) -> None:
        n, p = like.shape
        self._steps = like.new_zeros(n, _MEMORY, p)
        self._changes = like.new_zeros(n, _MEMORY, p)
        # products of all pairs, in the order of storage: s_i y_j and y_i y_j
        self._crossed = like.new_zeros(n, _MEMORY, _MEMORY)
        self._squared = like.new_zeros(n, _MEMORY, _MEMORY)
        self._scale = like.new_ones(n)
        self._next = 0

    def update(self, step: Tensor, change: Tensor, usable: Tensor) -> None:
        """Remember a pair in place of the oldest one.

        Args:
            step: Moves of the points, ``(R, P)``.
            change: Changes of the gradients, ``(R, P)``.
            usable: Problems whose pair counts, ``(R,)``, bool; so does only one of positive
                curvature.
        """
        curvature = (step * change).sum(-1)
        norms = step.norm(dim=-1), change.norm(dim=-1)
        usable = usable & (curvature > _SMALLEST_COSINE * norms[0] * norms[1])
        counted, k = usable.unsqueeze(-1), self._next
        S, Y = self._steps, self._changes
        S[:, k], Y[:, k] = torch.where(counted, step, 0.0), torch.where(counted, change, 0.0)
        self._crossed[:, :, k] = (S @ Y[:, k].unsqueeze(-1)).squeeze(-1)
        self._crossed[:, k] = (Y @ S[:, k].unsqueeze(-1)).squeeze(-1)
        squared = (Y @ Y[:, k].unsqueeze(-1)).squeeze(-1)
        self._squared[:, :, k] = self._squared[:, k] = squared
        self._scale = torch.where(usable, curvature / norms[1].square(), self._scale)
        self._next = (self._next + 1) % _MEMORY

    def forget(self, which: Tensor) -> None:
        """Start anew for some problems, ``(R,)``, bool."""
        if not which.is_cuda and not which.any():
            return  # a look that would make the host wait for an accelerator
        kept = (~which)[:, None, None]
        for stored in (self._steps, self._changes, self._crossed, self._squared):
            stored *= kept
        self._scale = torch.where(which, 1.0, self._scale)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """H times a vector for each problem, ``(R, P) -> (R, P)``."""
        S, Y = self._steps, self._changes
        crossed, squared = self._by_age(self._crossed, 1, 2), self._by_age(self._squared, 1, 2)
        column = vectors.unsqueeze(-1)
        along, changed = self._by_age(S @ column, 1), self._by_age(Y @ column, 1)
        curvature = crossed.diagonal(dim1=-2, dim2=-1)
        # a pair of zeros gets a one on the diagonal and drops out of every product
        upper = crossed.triu() + torch.diag_embed((curvature == 0).to(crossed))
        scale = self._scale[:, None, None]
        a = torch.linalg.solve_triangular(upper, along, upper=True)
        inner = curvature.unsqueeze(-1) * a + scale * (squared @ a - changed)
        b = torch.linalg.solve_triangular(upper.mT, inner, upper=False)
        a, b = (torch.roll(part, self._next, 1) for part in (a, b))  # back in the order of storage
        return (scale * column + S.mT @ b - scale * (Y.mT @ a)).squeeze(-1)

    def _by_age(self, stored: Tensor, *dims: int) -> Tensor:
        """The pairs' dimensions with the oldest pair first."""
        return torch.roll(stored, [-self._next] * len(dims), dims)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the problems."""
        for name in _STORED:
            setattr(self, f"_{name}", getattr(self, f"_{name}")[index])

    def state(self) -> dict[str, Tensor]:
        """What :meth:`resume` needs."""
        stored = {name: getattr(self, f"_{name}") for name in _STORED}
        return {**stored, "next": torch.tensor(self._next)}

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state of the same problems."""
        for name in _STORED:
            setattr(self, f"_{name}", state[name])
        self._next = int(state["next"])
