"""Modules that turn parents into shifts and transform parameters.

Every module splits its work in two: ``features(values, n)`` encodes the parents of n rows, once per
fit, and ``forward(features)`` holds the parameters. Scalings of the features are buffers that a fit
sets from its training rows, so coefficients can always be reported in raw units.

A module's parameters may carry a leading replicate dimension, and its features then do, too:
``forward`` is written so that a stack of R models is one program (:mod:`tramdag.fitting.stack`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise, product

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from tramdag.data import Values, tail_quantiles
from tramdag.spec import CI, CS, LS, VC, Node, OrdinalNode
from tramdag.transforms import BOUND, Bernstein

__all__ = ["LinearShift", "ParentNetwork", "ShiftColumn", "VaryingCoefficient"]

_OUTPUT_PRECISION = 0.25
"""Prior precision of a network's last layer, that of hidden weights being 1."""

_PLAIN_INPUTS = 2
"""Number of inputs for which the first layer has the hidden layers' precision."""


@dataclass(frozen=True)
class ShiftColumn:
    """What one linear coefficient belongs to.

    Attributes:
        parents: The parents whose columns are multiplied, usually one.
        levels: For each of them the level of an ordinal parent (against level 0), the number of a
            spline's basis function as ``"s0"``, else None.
    """

    parents: tuple[str, ...]
    levels: tuple[int | str | None, ...]

    @property
    def is_dummy(self) -> bool:
        """Whether the column holds only zeros and ones."""
        return all(isinstance(level, int) for level in self.levels)

    @property
    def label(self) -> tuple[str, object]:
        """Parent and level for a table: ``("T", 1)``, ``("Age", <NA>)``, ``("T:Age", "1:-")``."""
        parent = ":".join(self.parents)
        if all(level is None for level in self.levels):
            return parent, pd.NA
        if len(self.levels) == 1:
            return parent, self.levels[0]
        return parent, ":".join("-" if level is None else str(level) for level in self.levels)

    @property
    def name(self) -> str:
        """One string for messages and matrices: ``Age``, ``mRS_pre=1``, ``T:Age=1:-``."""
        parent, level = self.label
        return parent if level is pd.NA else f"{parent}={level}"


def _encode_parent(values: Values, name: str, node: Node, dtype: torch.dtype) -> Tensor:
    """Continuous parents as one raw column, ordinal ones as dummies of levels 1..K-1."""
    if isinstance(node, OrdinalNode):
        levels = torch.arange(1, node.levels, device=values[name].device)
        return (values[name].unsqueeze(-1) == levels).to(dtype)
    return values[name].unsqueeze(-1).to(dtype)


def _products(first: Tensor, second: Tensor) -> Tensor:
    """Every column of one table times every column of another, the second's index fastest."""
    return (first.unsqueeze(-1) * second.unsqueeze(-2)).flatten(1)


def _levels(node: Node) -> list[int | str | None]:
    return list(range(1, node.levels)) if isinstance(node, OrdinalNode) else [None]


def _factor_levels(term: LS | VC, nodes: Mapping[str, Node]) -> list[list[int | str | None]]:
    """Levels of the factors whose columns a term multiplies, in the term's order of parents."""
    levels = [_levels(nodes[name]) for name in term.parents]
    if isinstance(term, VC):
        (by,) = term.by
        size = 1 + len(levels[1]) if isinstance(nodes[by], OrdinalNode) else term.n_coefs
        levels[1] = [f"s{k}" for k in range(size)]
    return levels


class LinearShift(nn.Module):
    r"""Linear shift :math:`\sum_j \beta_j x_j`, added to h (subtracted from cutpoints).

    With a standard logistic latent, :math:`\beta_j` is a log odds ratio per unit of column j, the
    other columns held fixed. Inside, columns are standardised and the weight is
    :math:`\beta_j` times the column's scale, which keeps gradient methods well conditioned; the
    constant :math:`-\sum_j \beta_j m_j` that centring adds is :attr:`offset`.

    Args:
        terms: The node's LS terms, and its VC terms with a spline, products with its basis.
        nodes: Nodes by name, at least the parents.
        dtype: Floating type of the parameters.

    Attributes:
        columns: What each coefficient belongs to, length p.
        weight: Coefficients of the standardised columns, shape ``(p,)``.

    Shapes:
        ``features (n, p) -> shift (n,)``; latent scale, dimensionless.

    References:
        Sick and Duerr (2025), CLeaR, section 3.
    """

    mean: Tensor
    scale: Tensor
    ranges: Tensor

    def __init__(
        self, terms: Sequence[LS | VC], nodes: Mapping[str, Node], *, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self._terms = tuple(terms)
        self._nodes = {name: nodes[name] for term in terms for name in term.parents}
        self.columns = tuple(
            ShiftColumn(term.parents, levels)
            for term in self._terms
            for levels in product(*_factor_levels(term, nodes))
        )
        p = len(self.columns)
        self.weight = nn.Parameter(torch.zeros(p, dtype=dtype))
        self.register_buffer("mean", torch.zeros(p, dtype=dtype))
        self.register_buffer("scale", torch.ones(p, dtype=dtype))
        # per term the 5 % and 95 % quantiles of the parent that a spline's coefficient varies with
        self.register_buffer("ranges", torch.tensor([[-1.0, 1.0]] * len(terms), dtype=dtype))

    def extended(self, parents: Mapping[str, Node]) -> LinearShift:
        """A new linear shift, weights zero, that also holds a plain term of each given parent."""
        terms = [*self._terms, *(LS(name) for name in parents)]
        made = LinearShift(terms, {**self._nodes, **parents}, dtype=self.weight.dtype)
        return made.to(self.weight.device)

    def design(self, values: Values, n: int) -> Tensor:
        """Raw design matrix, shape ``(n, p)``, in the units of the parents."""
        if not self._terms:
            return self.weight.new_zeros((n, 0))
        blocks = []
        for index, term in enumerate(self._terms):
            factors = [
                self._spline(values, name, term, self.ranges[index])
                if isinstance(term, VC) and name in term.by
                else self._encode(values, name)
                for name in term.parents
            ]
            blocks.append(reduce(_products, factors))
        return torch.cat(blocks, -1)

    def _encode(self, values: Values, name: str) -> Tensor:
        return _encode_parent(values, name, self._nodes[name], self.weight.dtype)

    def _spline(self, values: Values, name: str, term: VC, ends: Tensor) -> Tensor:
        """A constant and the spline's basis; for an ordinal parent its dummies; ``(n, k)``."""
        if isinstance(self._nodes[name], OrdinalNode):
            basis = self._encode(values, name)
        else:
            low, high = ends
            s = BOUND * (2.0 * values[name] - low - high) / (high - low)
            basis, _ = Bernstein(term.n_coefs).basis(s.to(self.weight.dtype))
        return torch.cat([torch.ones_like(basis[:, :1]), basis], -1)

    def set_scaling(self, values: Values, n: int) -> None:
        """Centre and scale the columns that are not dummies by the given rows."""
        for index, term in enumerate(self._terms):
            if isinstance(term, VC):
                self.ranges[index] = torch.tensor(tail_quantiles(values[term.by[0]]))
        if not self.columns:
            return
        mean, scale = _moments(self.design(values, n))
        dummy = torch.tensor(
            [c.is_dummy for c in self.columns], dtype=torch.bool, device=mean.device
        )
        self.mean.copy_(torch.where(dummy, 0.0, mean))
        self.scale.copy_(torch.where(dummy, 1.0, scale))

    def features(self, values: Values, n: int) -> Tensor:
        """Standardised design matrix, shape ``(n, p)``."""
        return (self.design(values, n) - self.mean) / self.scale

    def main_effect(self, parent: str, values: Values) -> Tensor | None:
        """The part of the shift that a parent's own term makes, raw units, ``(n,)``."""
        own = [j for j, column in enumerate(self.columns) if column.parents == (parent,)]
        if not own:
            return None
        return self._encode(values, parent) @ self.beta[own]

    def forward(self, features: Tensor) -> Tensor:
        """The shift of standardised columns."""
        if self.weight.ndim == 1:
            return features @ self.weight
        return (features @ self.weight.unsqueeze(-1)).squeeze(-1)

    @property
    def beta(self) -> Tensor:
        """Coefficients in raw units, log odds ratios per unit; shape ``(p,)``."""
        return (self.weight / self.scale).detach()

    @property
    def offset(self) -> Tensor:
        r"""The constant by which ``forward`` differs from :math:`\sum_j \beta_j x_j`."""
        return -(self.beta * self.mean).sum()


class _Layer(nn.Linear):
    """A layer whose weights come from its network's generator, not from torch's global one."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are; :class:`ParentNetwork` sets them."""


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
        n_features = sum(len(_levels(node)) for node in self._nodes.values())
        self.register_buffer("mean", torch.zeros(n_features, dtype=dtype))
        self.register_buffer("scale", torch.ones(n_features, dtype=dtype))
        self.register_buffer("low", torch.full((n_features,), -torch.inf, dtype=dtype))
        self.register_buffer("high", torch.full((n_features,), torch.inf, dtype=dtype))
        widths = [n_features, *term.hidden, n_outputs]
        self.layers: Sequence[nn.Linear] = nn.ModuleList(  # type: ignore[assignment]
            _Layer(a, b, bias=i < len(term.hidden), dtype=dtype)
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
                precision *= (layer.in_features / _PLAIN_INPUTS) ** 2
            if layer is self.layers[-1]:
                precision *= _OUTPUT_PRECISION
            yield from ((parameter, precision) for parameter in layer.parameters())

    def _encode(self, values: Values) -> Tensor:
        dtype = self.mean.dtype
        return torch.cat(
            [_encode_parent(values, name, node, dtype) for name, node in self._nodes.items()], -1
        )

    def set_scaling(self, values: Values, n: int) -> None:
        """Standardise the continuous parents by the given rows; dummies stay 0 and 1."""
        encoded = self._encode(values)
        mean, scale = _moments(encoded)
        dummy = torch.tensor(
            [level is not None for node in self._nodes.values() for level in _levels(node)],
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
            hidden = silu(_affine(layer, hidden))
        return _affine(self.layers[-1], hidden)


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
        self._n_columns = len(_levels(self.treatment_node))
        inner = CS(*term.by, hidden=term.hidden)
        self.coefficient = ParentNetwork(
            inner, nodes, n_outputs=self._n_columns, generator=generator, dtype=dtype
        )
        # the network starts at zero, a fit at the constant coefficient of greatest likelihood
        self.constant = nn.Parameter(torch.zeros(self._n_columns, dtype=dtype))
        self.register_buffer("mean", torch.zeros(self._n_columns, dtype=dtype))
        self.register_buffer("scale", torch.ones(self._n_columns, dtype=dtype))

    def _columns(self, values: Values) -> Tensor:
        return _encode_parent(values, self.treatment, self.treatment_node, self.mean.dtype)

    def set_scaling(self, values: Values, n: int) -> None:
        """Standardise the parents by the given rows; dummies stay 0 and 1."""
        self.coefficient.set_scaling(values, n)
        if not isinstance(self.treatment_node, OrdinalNode):
            columns = self._columns(values)
            mean, scale = _moments(columns)
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


def _affine(layer: nn.Linear, x: Tensor) -> Tensor:
    """The layer's map; its parameters may carry a replicate dimension, and then x does, too."""
    if layer.weight.ndim == 2:
        return linear(x, layer.weight, layer.bias)
    if layer.bias is None:
        return x @ layer.weight.mT
    return torch.baddbmm(layer.bias.unsqueeze(-2), x, layer.weight.mT)


def _moments(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column; a constant column gets the scale 1."""
    mean = columns.mean(0)
    scale = (columns - mean).square().mean(0).sqrt()
    return mean, torch.where(scale > 0, scale, 1.0)
