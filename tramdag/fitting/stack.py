"""Conditional laws of one shape as one tensor program: nodes and replicates side by side.

The likelihood separates over nodes and over replicates, so the gradient of a sum of R losses is R
gradients. A stack is one module whose parameters have a leading dimension R, all of them views of
one matrix, which makes an optimiser's step a handful of operations whatever R is.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from tramdag.fitting.heads import head_gradient
from tramdag.networks import Layer
from tramdag.node import Conditional, ContinuousConditional

__all__ = ["LayerSlopes", "Stack", "flatten", "restore", "shape_of"]


def shape_of(law: Conditional) -> Hashable:
    """What two conditional laws must share to stand in one stack."""
    transform = type(law.transform) if isinstance(law, ContinuousConditional) else None
    modules = tuple(type(module) for module in law.modules())
    tensors = tuple((k, v.shape, v.dtype, v.device) for k, v in law.state_dict().items())
    return transform, modules, tensors


def flatten(law: Conditional) -> Tensor:
    """A law's parameters in a row, a copy, shape ``(P,)``."""
    return torch.cat([p.detach().flatten() for p in law.parameters()])


@torch.no_grad()
def restore(law: Conditional, row: Tensor) -> None:
    """Set a law's parameters from a row as :func:`flatten` makes it."""
    sizes = [p.numel() for p in law.parameters()]
    for parameter, part in zip(law.parameters(), row.split(sizes), strict=True):
        parameter.copy_(part.view(parameter.shape))


class LayerSlopes(NamedTuple):
    """One layer's part of the rows' gradients.

    Attributes:
        places: Positions of the layer's matrix in the parameters' row, ``(outputs, inputs)``.
        inputs: Shape ``(R, n, inputs)``; a layer with a bias sees 1 as its last input.
        slopes: Derivatives of each row's log-likelihood in the outputs, ``(R, n, outputs)``.
    """

    places: Tensor
    inputs: Tensor
    slopes: Tensor


class Stack:
    """R members that share the shape of a conditional law, each with parameters of its own.

    Args:
        laws: Distinct laws of one shape; their buffers (scalings) are used, not their parameters.
        owner: For each member the law that is its own, shape ``(R,)``.
        flat: The parameters of each member in a row, shape ``(R, P)``.

    Attributes:
        module: A law whose parameters and buffers have the leading dimension R, in the dtype of
            ``flat``.
        flat: A copy of the given parameters; the module's parameters are views of it, so writing
            into it moves the module.
    """

    def __init__(self, laws: Sequence[Conditional], owner: Tensor, flat: Tensor) -> None:
        self.module = copy.deepcopy(laws[0]).to(flat.dtype)
        self._shapes = [p.shape for p in laws[0].parameters()]
        self._sizes = [p.numel() for p in laws[0].parameters()]
        self.flat = flat.clone()
        buffers = [dict(law.named_buffers()) for law in laws]
        self._buffers = {
            name: torch.stack([own[name] for own in buffers]).to(buffer.dtype)[owner]
            for name, buffer in self.module.named_buffers()
        }
        self._connect()

    def _connect(self) -> None:
        views = iter(self.flat.split(self._sizes, 1))
        shapes = iter(self._shapes)
        for module in self.module.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    view = next(views).view(len(self.flat), *next(shapes))
                    module._parameters[name] = nn.Parameter(view)
        for path, stacked in self._buffers.items():
            parent, _, name = path.rpartition(".")
            self.module.get_submodule(parent)._buffers[name] = stacked

    def __len__(self) -> int:
        return len(self.flat)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the members, in the order of ``index (R',)``."""
        self.flat = self.flat[index]
        self._buffers = {k: v[index] for k, v in self._buffers.items()}
        self._connect()

    def layer_slopes(self, encoded: tuple[Tensor, ...]) -> list[LayerSlopes]:
        """What every layer sees of rows, and the log-likelihoods' slopes in what it makes of them.

        The intercept counts as a layer, whose input is 1. A row's gradient in a layer's matrix is
        the outer product of the two (but for an intercept at the floor of complex ones, which does
        not move the likelihood).

        Args:
            encoded: Rows of every member, encoded, tensors ``(R, n, ...)``.
        """
        seen: list[tuple[Layer, Tensor, Tensor]] = []
        layers = [module for module in self.module.modules() if isinstance(module, Layer)]
        handles = [
            layer.register_forward_hook(lambda *call: seen.append((call[0], call[1][0], call[2])))
            for layer in layers
        ]
        outcome, features = self.module.split(encoded)
        try:
            raw, shift = self.module.parameters_given(*features)
        finally:
            for handle in handles:
                handle.remove()
        raw = raw.expand(*shift.shape, -1)
        _, *slopes = head_gradient(self.module, raw, shift, outcome, torch.ones_like(shift))
        own = self._places_of(self.module.intercept)
        found = [LayerSlopes(own, torch.ones_like(raw[..., :1]), slopes[0])]
        if not seen:
            return found
        outputs = [output for _, _, output in seen]
        parts = torch.autograd.grad(_Total.apply(raw, shift, *slopes), outputs)
        for (layer, inputs, _), slope in zip(seen, parts, strict=True):
            places, inputs = self._places_of(layer.weight), inputs.detach()
            if layer.bias is not None:
                places = torch.cat([places, self._places_of(layer.bias)], 1)
                inputs = pad(inputs, (0, 1), value=1.0)
            found.append(LayerSlopes(places, inputs, slope))
        return found

    def _places_of(self, parameter: Tensor) -> Tensor:
        """Positions of a parameter in :attr:`flat` as a matrix, a vector as one column."""
        first = 0
        for other in self.module.parameters():
            size = other[0].numel()
            if other is parameter:
                return torch.arange(first, first + size).view(other.shape[1], -1)
            first += size
        raise AssertionError("a parameter of another module")

    def gradient(self, encoded: tuple[Tensor, ...], scale: Tensor) -> tuple[Tensor, Tensor]:
        """Log-likelihoods of rows, and the gradient of their scaled sum.

        Args:
            encoded: Rows of every member, encoded, tensors ``(R, n, ...)``.
            scale: Factor of each row in the sum, ``(R, n)``.

        Returns:
            Log-likelihoods ``(R, n)``, and the gradient with respect to :attr:`flat`, ``(R, P)``.
        """
        outcome, features = self.module.split(encoded)
        made = self.module.parameters_given(*features)
        log_prob, *slopes = head_gradient(self.module, *made, outcome, scale)
        parameters = [p for p in self.module.parameters() if p.numel()]
        parts = torch.autograd.grad(_Total.apply(*made, *slopes), parameters)
        return log_prob, torch.cat([part.flatten(1) for part in parts], 1)


class _Total(torch.autograd.Function):
    """Stands for the scaled sum of log-likelihoods, whose derivatives are known already.

    Handing them to :func:`torch.autograd.grad` would import a third of a second of symbolic algebra
    to compare their shapes.
    """

    @staticmethod
    def forward(ctx: Any, raw: Tensor, shift: Tensor, by_raw: Tensor, by_shift: Tensor) -> Tensor:
        ctx.save_for_backward(by_raw, by_shift)
        return raw.new_zeros(())

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        return (*ctx.saved_tensors, None, None)
