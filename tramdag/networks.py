"""Networks of parents: complex shifts, complex intercepts and varying coefficients.

They split their work as :mod:`tramdag.terms` does: ``features`` encodes the parents once per fit,
``forward`` holds the parameters, which may carry a leading replicate dimension.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu
from typing_extensions import override

from tramdag.data import Values
from tramdag.spec import CI, CS, VC, Node, OrdinalNode
from tramdag.terms import encode_parent, levels_of, moments

__all__ = ["Layer", "ParentNetwork", "VaryingCoefficient"]

_OUTPUT_PRECISION = 0.25
"""Prior precision of a network's last layer, that of hidden weights being 1."""

_INPUT_PRECISION = 0.125
"""Prior precision of a network's first layer with one input; see :class:`ParentNetwork`."""


class Layer(nn.Linear):
    """A layer of a :class:`ParentNetwork`, which sets its weights from a generator of its own.

    The parameters may carry a replicate dimension, and then the input does, too.
    """

    @override
    def reset_parameters(self) -> None:
        """Leave the weights as they are; torch would draw them from its global generator."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        """The affine map."""
        if self.weight.ndim == 2:
            return linear(input, self.weight, self.bias)
        if self.bias is None:
            return input @ self.weight.mT
        return torch.baddbmm(self.bias.unsqueeze(-2), input, self.weight.mT)


class ParentNetwork(nn.Module):
    """A fully connected SiLU network of encoded parents, without output bias, zero at the start.

    A constant belongs to the node's intercept. The last layer starts at zero, so a fit begins
    from the intercept alone. Beyond the range of the training rows, rounded outwards to whole
    standard deviations, a parent counts as at its end: a network's own extrapolation means nothing.

    Args:
        term: A CS or CI term.
        nodes: Nodes by name, at least the parents.
        n_outputs: 1 for a shift, the number of transform parameters for an intercept.
        generator: Source of the initial hidden weights.
        dtype: Floating type of the parameters.

    Shapes:
        ``features (n, n_features) -> (n, n_outputs)``; latent scale (shift) or the unconstrained
        parameter space of the transform (intercept).
    """

    mean: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        term: CS | CI,
        nodes: Mapping[str, Node],
        *,
        n_outputs: int,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.parents = term.parents
        self._nodes = {name: nodes[name] for name in term.parents}
        n_features = sum(len(levels_of(node)) for node in self._nodes.values())
        self.register_buffer("mean", torch.zeros(n_features, dtype=dtype))
        self.register_buffer("scale", torch.ones(n_features, dtype=dtype))
        self.register_buffer("low", torch.full((n_features,), -torch.inf, dtype=dtype))
        self.register_buffer("high", torch.full((n_features,), torch.inf, dtype=dtype))
        widths = [n_features, *term.hidden, n_outputs]
        self.layers: Sequence[nn.Linear] = nn.ModuleList(  # type: ignore[assignment]
            Layer(a, b, bias=i < len(term.hidden), dtype=dtype)
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        for layer in self.layers:
            bound = 1.0 / math.sqrt(layer.in_features)
            # SiLU halves the signal's scale near zero; the gain keeps it alive through two layers
            layer.weight.uniform_(
                -math.sqrt(3.0) * bound, math.sqrt(3.0) * bound, generator=generator
            )
            if layer.bias is not None:
                layer.bias.uniform_(-bound, bound, generator=generator)
        self.layers[-1].weight.zero_()

    def prior_precisions(self) -> Iterator[tuple[nn.Parameter, float]]:
        """Each parameter with the precision of its normal prior, in units of a fit's ``ridge``.

        That of the first layer grows with the square of the number of its inputs, so that a network
        of many parents, which has ever more functions to choose from, prefers smooth ones. The last
        layer's weights are on the scale of what the network makes, log odds, and may be larger than
        the hidden ones.
        """
        for layer in self.layers:
            precision = 1.0
            if layer is self.layers[0]:
                precision *= _INPUT_PRECISION * layer.in_features**2
            if layer is self.layers[-1]:
                precision *= _OUTPUT_PRECISION
            yield from ((parameter, precision) for parameter in layer.parameters())

    def _encode(self, values: Values) -> Tensor:
        dtype = self.mean.dtype
        return torch.cat(
            [encode_parent(values, name, node, dtype) for name, node in self._nodes.items()], -1
        )

    def set_scaling(self, values: Values, n: int) -> None:
        """Standardise the continuous parents by the given rows; dummies stay 0 and 1."""
        encoded = self._encode(values)
        mean, scale = moments(encoded)
        dummy = torch.tensor(
            [level is not None for node in self._nodes.values() for level in levels_of(node)],
            device=mean.device,
        )
        self.mean.copy_(torch.where(dummy, 0.0, mean))
        self.scale.copy_(torch.where(dummy, 1.0, scale))
        standardised = (encoded - self.mean) / self.scale
        # whole numbers: the ends cover the training rows and are nobody's own value
        self.low.copy_(standardised.amin(0).floor())
        self.high.copy_(standardised.amax(0).ceil())

    def features(self, values: Values, n: int) -> Tensor:
        """Standardised parents, held at the ends of their training range; ``(n, n_features)``."""
        standardised = (self._encode(values) - self.mean) / self.scale
        return torch.minimum(torch.maximum(standardised, self.low), self.high)

    def forward(self, features: Tensor) -> Tensor:
        """The network's outputs, shape ``(n, n_outputs)``."""
        hidden = features
        for layer in self.layers[:-1]:
            hidden = silu(layer(hidden))
        output: Tensor = self.layers[-1](hidden)
        return output


class VaryingCoefficient(nn.Module):
    r"""Shift :math:`\sum_k \beta_k(by)\, x_k`, the coefficients a network, k over the columns of x.

    Args:
        term: A VC term with ``hidden``.
        nodes: Nodes by name, at least the parents.
        generator: Source of the initial hidden weights.
        dtype: Floating type of the parameters.

    Attributes:
        treatment: Name of x.
        treatment_node: Its node.
        constant: The part of the coefficients that does not vary, for standardised columns.

    Shapes:
        ``features (n, n_features + k) -> (n, 1)``; latent scale.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        term: VC,
        nodes: Mapping[str, Node],
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        assert term.hidden is not None
        self.parents = term.parents
        self.treatment, self.treatment_node = term.parents[0], nodes[term.parents[0]]
        self._n_columns = len(levels_of(self.treatment_node))
        inner = CS(*term.by, hidden=term.hidden)
        self.coefficient = ParentNetwork(
            inner, nodes, n_outputs=self._n_columns, generator=generator, dtype=dtype
        )
        # the network starts at zero, a fit at the constant coefficient of greatest likelihood
        self.constant = nn.Parameter(torch.zeros(self._n_columns, dtype=dtype))
        self.register_buffer("mean", torch.zeros(self._n_columns, dtype=dtype))
        self.register_buffer("scale", torch.ones(self._n_columns, dtype=dtype))

    def _columns(self, values: Values) -> Tensor:
        return encode_parent(values, self.treatment, self.treatment_node, self.mean.dtype)

    def set_scaling(self, values: Values, n: int) -> None:
        """Standardise the parents by the given rows; dummies stay 0 and 1."""
        self.coefficient.set_scaling(values, n)
        if not isinstance(self.treatment_node, OrdinalNode):
            columns = self._columns(values)
            mean, scale = moments(columns)
            self.mean.copy_(mean)
            self.scale.copy_(scale)

    def features(self, values: Values, n: int) -> Tensor:
        """Features of the network, then the columns of x."""
        standardised = (self._columns(values) - self.mean) / self.scale
        return torch.cat([self.coefficient.features(values, n), standardised], -1)

    def forward(self, features: Tensor) -> Tensor:
        """The shift, shape ``(n, 1)``."""
        inner, columns = features[..., : -self._n_columns], features[..., -self._n_columns :]
        beta = self.constant.unsqueeze(-2) + self.coefficient(inner)
        return (beta * columns).sum(-1, keepdim=True)
