r"""Coordinates of a stack's parameters in which their empirical information is near the identity.

A row's gradient in the matrix W of a layer is the outer product :math:`g a^T` of the slopes in
the layer's outputs and of its inputs. Taking the two as independent, layer by layer, the
information is :math:`\Gamma \otimes A` with :math:`\Gamma = E[g g^T]` and :math:`A = E[a a^T]`.
With Cholesky factors, :math:`\Gamma = L_\Gamma L_\Gamma^T` and :math:`A = L_A L_A^T`, it is the
identity for

.. math:: V = L_\Gamma^T W L_A.

The prior's precision is damping: it is added to the information by its square root in each factor.

A quasi-Newton method that works on V begins where it would else have to learn to go: Bernstein
coefficients and the layers of a network differ in curvature by many orders of magnitude.

References:
    Martens and Grosse (2015), Optimizing neural networks with Kronecker-factored approximate
    curvature, ICML; the damping is that of section 6.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tramdag.fitting.stack import Stack

__all__ = ["Whitening"]

_DAMPING = 3e-3
"""Added to the information, whose scale is that of a log-likelihood per row, and to the prior's
precision."""

_SMALLEST_MOMENT = 1e-12
"""Slopes may be nil: those of hidden layers are, before the last layer has moved."""


@dataclass
class _Block:
    """One layer: positions of its matrix, and per member the factors and their inverses."""

    places: Tensor
    factors: tuple[Tensor, Tensor]
    inverses: tuple[Tensor, Tensor]


class Whitening:
    """Maps between parameters ``(R, P)`` and coordinates; the identity until :meth:`measure`."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []

    def measure(
        self, stack: Stack, rows: Iterable[tuple[tuple[Tensor, ...], Tensor]], prior: Tensor
    ) -> None:
        """Take the information from rows at the stack's present parameters.

        Args:
            stack: The members.
            rows: Encoded rows of every member, and their factors in a mean over rows.
            prior: Precision of every parameter in what is minimised, the same within a layer;
                shape ``(R, P)``.
        """
        places: list[Tensor] = []
        sums: list[list[Tensor]] = []
        for encoded, share in rows:
            share = share.unsqueeze(-1)
            for j, layer in enumerate(stack.layer_slopes(encoded)):
                parts = [(v.mT @ (share * v)).double() for v in (layer.slopes, layer.inputs)]
                if j == len(sums):
                    places.append(layer.places)
                    sums.append(parts)
                else:
                    sums[j] = [a + b for a, b in zip(sums[j], parts, strict=True)]
        self._blocks = []
        for where, (outputs, inputs) in zip(places, sums, strict=True):
            damping = _DAMPING + prior[:, where[0, 0]].double()
            factors = _damped(outputs, inputs, damping)
            self._blocks.append(_block(where.to(stack.flat.device), *factors))

    def coordinates(self, flat: Tensor) -> Tensor:
        """Coordinates of parameters."""
        return self._map(flat, lambda W, block: block.factors[0].mT @ W @ block.factors[1])

    def parameters(self, coordinates: Tensor) -> Tensor:
        """Parameters at coordinates."""
        return self._map(coordinates, lambda V, block: block.inverses[0].mT @ V @ block.inverses[1])

    def pull_back(self, gradient: Tensor) -> Tensor:
        """A gradient in the coordinates, from the one in the parameters."""
        return self._map(gradient, lambda G, block: block.inverses[0] @ G @ block.inverses[1].mT)

    def _map(self, flat: Tensor, change: Callable[[Tensor, _Block], Tensor]) -> Tensor:
        mapped = flat.double()
        if mapped is flat:
            mapped = flat.clone()
        for block in self._blocks:
            places = block.places.flatten()
            matrix = mapped.index_select(1, places).view(-1, *block.places.shape)
            mapped.index_copy_(1, places, change(matrix, block).flatten(1))
        return mapped.to(flat.dtype)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the members."""
        for block in self._blocks:
            block.factors = (block.factors[0][index], block.factors[1][index])
            block.inverses = (block.inverses[0][index], block.inverses[1][index])

    def state(self) -> dict[str, Tensor]:
        """What :meth:`resume` needs."""
        return {
            f"{j} {name}": tensor
            for j, block in enumerate(self._blocks)
            for name, tensor in zip(
                ("places", "outputs", "inputs"), (block.places, *block.factors), strict=True
            )
        }

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state of the same members."""
        n_blocks = len(state) // 3
        self._blocks = [
            _block(*(state[f"{j} {name}"] for name in ("places", "outputs", "inputs")))
            for j in range(n_blocks)
        ]


def _damped(outputs: Tensor, inputs: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
    """Cholesky factors of the two second moments, damped so that their product is by ``damping``.

    Moments that are not finite belong to a member that cannot move, and count as the identity.
    Slopes of Bernstein and ordinal laws are bounded, so the damping is beyond the rounding of
    single precision and the factors exist.
    """
    size = [
        m.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=_SMALLEST_MOMENT) for m in (outputs, inputs)
    ]
    ratio = (size[0] / size[1]).sqrt()
    both = []
    for moments, part in ((outputs, ratio), (inputs, 1.0 / ratio)):
        identity = torch.eye(moments.shape[-1]).to(moments)
        damped = moments + (part * damping.sqrt())[:, None, None] * identity
        sound = torch.isfinite(damped).all(-1).all(-1)[:, None, None]
        # its check for errors would make the host wait for an accelerator
        both.append(torch.linalg.cholesky_ex(torch.where(sound, damped, identity)).L)
    return both[0], both[1]


def _block(places: Tensor, outputs: Tensor, inputs: Tensor) -> _Block:
    inverses = [
        torch.linalg.solve_triangular(factor, torch.eye(factor.shape[-1]).to(factor), upper=False)
        for factor in (outputs, inputs)
    ]
    return _Block(places, (outputs, inputs), (inverses[0], inverses[1]))
