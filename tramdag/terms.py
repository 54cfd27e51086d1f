"""Encoded parents, and the module that turns them into a linear shift.

Every module splits its work in two: ``features(values, n)`` encodes the parents of n rows, once per
fit, and ``forward(features)`` holds the parameters. Scalings of the features are buffers that a fit
sets from its training rows, so coefficients can always be reported in raw units.

A module's parameters may carry a leading replicate dimension, and its features then do, too:
``forward`` is written so that a stack of R models is one program (:mod:`tramdag.fitting.stack`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product

import pandas as pd
import torch
from torch import Tensor, nn

from tramdag.data import Values, tail_quantiles
from tramdag.spec import LS, VC, Node, OrdinalNode
from tramdag.transforms import BOUND, Bernstein

__all__ = ["LinearShift", "ShiftColumn", "encode_parent", "levels_of", "moments"]


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


def encode_parent(values: Values, name: str, node: Node, dtype: torch.dtype) -> Tensor:
    """Continuous parents as one raw column, ordinal ones as dummies of levels 1..K-1."""
    if isinstance(node, OrdinalNode):
        levels = torch.arange(1, node.levels, device=values[name].device)
        return (values[name].unsqueeze(-1) == levels).to(dtype)
    return values[name].unsqueeze(-1).to(dtype)


def _products(first: Tensor, second: Tensor) -> Tensor:
    """Every column of one table times every column of another, the second's index fastest."""
    return (first.unsqueeze(-1) * second.unsqueeze(-2)).flatten(1)


def levels_of(node: Node) -> list[int | str | None]:
    """The level that each encoded column of a parent stands for, None for a continuous one."""
    return list(range(1, node.levels)) if isinstance(node, OrdinalNode) else [None]


def _factor_levels(term: LS | VC, nodes: Mapping[str, Node]) -> list[list[int | str | None]]:
    """Levels of the factors whose columns a term multiplies, in the term's order of parents."""
    levels = [levels_of(nodes[name]) for name in term.parents]
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
        return encode_parent(values, name, self._nodes[name], self.weight.dtype)

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
        mean, scale = moments(self.design(values, n))
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


def moments(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column; a constant column gets the scale 1."""
    mean = columns.mean(0)
    scale = (columns - mean).square().mean(0).sqrt()
    return mean, torch.where(scale > 0, scale, 1.0)
