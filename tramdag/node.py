r"""One node's conditional law given its parents: the only place where likelihoods are written.

Continuous: :math:`\log p(x) = \log f(h(x) + s) + \log h'(x)` with s the sum of shifts and f the
standard logistic density. Ordinal with cutpoints :math:`c_k = \theta_k - s`:
:math:`P(x = k) = F(c_k) - F(c_{k-1})`, computed as

.. math:: -\log p = \zeta(-c_k) + \zeta(c_{k-1}) - \log(1 - e^{-(c_k - c_{k-1})}),

three convex terms without cancellation (:math:`\zeta` = softplus).
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pad
from typing_extensions import override

from tramdag import latent
from tramdag.data import Values, tail_quantiles
from tramdag.errors import DataError
from tramdag.networks import ParentNetwork, VaryingCoefficient
from tramdag.spec import CI, CS, LS, VC, ContinuousNode, Node, OrdinalNode
from tramdag.terms import LinearShift
from tramdag.transforms import BOUND, LinearInBasis, inverse_positive, make_transform, positive

__all__ = ["Conditional", "ContinuousConditional", "OrdinalConditional", "make_conditional"]

_SMALLEST_RAW = -14.5
"""Floor of the raw increments that a complex intercept makes."""


class Conditional(nn.Module, abc.ABC):
    """The law of one node given its parents.

    A table enters through :meth:`encode`, which does everything that needs no parameter; the
    result is a tuple of tensors with the rows first, so a batch is an index into each of them.
    Parameters and buffers may carry a leading replicate dimension, which encoded tensors and
    :meth:`log_prob_encoded` then have, too (:mod:`tramdag.fitting.stack`).

    Args:
        name: The node's name.
        nodes: The whole specification.
        n_params: Number of unconstrained intercept parameters.
        seed: Seed of the networks' initial weights.
        dtype: Floating type of parameters and computations.

    Attributes:
        intercept: Unconstrained parameters of the transform or cutpoints, shape ``(n_params,)``.
        linear: The linear shift.
        complex_shifts: Networks whose outputs are added to the shift.
        complex_intercepts: Networks whose outputs are added to ``intercept``.
    """

    raw_floor: Tensor

    def __init__(
        self,
        name: str,
        nodes: Mapping[str, Node],
        *,
        n_params: int,
        seed: int,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.name = name
        self.node = nodes[name]
        self.parents = self.node.parents
        terms = self.node.terms
        generator = torch.Generator()
        if any(not isinstance(term, LS) for term in terms):
            generator.manual_seed(latent.derive_seed(seed, "init", name))

        def network(term: CS | CI, n_outputs: int) -> ParentNetwork:
            return ParentNetwork(term, nodes, n_outputs=n_outputs, generator=generator, dtype=dtype)

        self.intercept = nn.Parameter(torch.zeros(n_params, dtype=dtype))
        linear = [t for t in terms if isinstance(t, LS) or (isinstance(t, VC) and t.hidden is None)]
        # increments of at least 5e-7: with less slope h could not be inverted to eight digits
        floor = torch.full((n_params,), _SMALLEST_RAW, dtype=dtype)
        floor[0] = -torch.inf
        self.register_buffer("raw_floor", floor)
        self.linear = LinearShift(linear, nodes, dtype=dtype)
        varying = [
            VaryingCoefficient(t, nodes, generator=generator, dtype=dtype)
            for t in terms
            if isinstance(t, VC) and t.hidden is not None
        ]
        self.complex_shifts = nn.ModuleList(
            [*(network(t, 1) for t in terms if isinstance(t, CS)), *varying]
        )
        self.complex_intercepts = nn.ModuleList(
            network(t, n_params) for t in terms if isinstance(t, CI)
        )

    @property
    def has_convex_head(self) -> bool:
        """Whether the likelihood is convex in the intercept's offset and increments."""
        return True

    @property
    def is_classical(self) -> bool:
        """Whether the likelihood is convex in all parameters, so that the exact solver applies."""
        return self.has_convex_head and not self.complex_shifts and not self.complex_intercepts

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of parameters and computations."""
        return self.intercept.dtype

    def prior_precisions(self) -> Tensor:
        """Relative precision of each parameter's normal prior, zero outside networks; ``(P,)``.

        In the order of :func:`tramdag.fitting.stack.flatten`.
        """
        networks = (module for module in self.modules() if isinstance(module, ParentNetwork))
        of_networks = {
            id(p): precision for net in networks for p, precision in net.prior_precisions()
        }
        return torch.cat(
            [torch.full((p.numel(),), of_networks.get(id(p), 0.0)) for p in self.parameters()]
        ).to(self.intercept)

    @torch.no_grad()
    def set_scaling(self, values: Values) -> None:
        """Take the scalings of outcome and parents from training rows."""
        for module in (self.linear, *self.complex_shifts, *self.complex_intercepts):
            module.set_scaling(values, len(values[self.name]))

    def encode_parents(self, values: Values, n: int) -> tuple[Tensor, ...]:
        """Features of the linear shift, then of every network, for n rows; rows first."""
        modules = (self.linear, *self.complex_shifts, *self.complex_intercepts)
        return tuple(module.features(values, n) for module in modules)

    @abc.abstractmethod
    def encode_outcome(self, values: Values) -> tuple[Tensor, ...]:
        """Parameter-free work on the node's own column; rows first."""

    def encode(self, values: Values) -> tuple[Tensor, ...]:
        """Everything of a table that :meth:`log_prob_encoded` needs."""
        n = len(values[self.name])
        return (*self.encode_outcome(values), *self.encode_parents(values, n))

    def parameters_given(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Intercept parameters ``(1, n_params)`` or ``(n, n_params)``, and the shift ``(n,)``."""
        linear, *rest = features
        shift = self.linear(linear)
        n_shifts = len(self.complex_shifts)
        for net, columns in zip(self.complex_shifts, rest[:n_shifts], strict=True):
            shift = shift + net(columns).squeeze(-1)
        raw = self.intercept.unsqueeze(-2)
        for net, columns in zip(self.complex_intercepts, rest[n_shifts:], strict=True):
            raw = raw + net(columns)
        if self.complex_intercepts:
            raw = raw.clamp(min=self.raw_floor.unsqueeze(-2))
        return raw, shift

    @property
    @abc.abstractmethod
    def n_outcome_parts(self) -> int:
        """How many tensors of an encoding belong to the node's own column; they come first."""

    def split(self, encoded: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The parts of an encoding that belong to the outcome, and those of the parents."""
        return encoded[: self.n_outcome_parts], encoded[self.n_outcome_parts :]

    @abc.abstractmethod
    def log_prob_given(self, raw: Tensor, shift: Tensor, outcome: tuple[Tensor, ...]) -> Tensor:
        """Log density or mass per row, nats, from :meth:`parameters_given`'s results; ``(n,)``."""

    def log_prob_encoded(self, *encoded: Tensor) -> Tensor:
        """Log density or mass per row in nats, from :meth:`encode`'s tensors; ``(n,)``."""
        outcome, features = self.split(encoded)
        return self.log_prob_given(*self.parameters_given(*features), outcome)

    def log_prob(self, values: Values) -> Tensor:
        """Log density (per unit of the column) or mass of every row, nats; ``(n,)``."""
        return self.log_prob_encoded(*self.encode(values))

    @abc.abstractmethod
    def abduct(self, values: Values, uniforms: Tensor) -> Tensor:
        """Latents of observed rows, ``(n,)``; ``uniforms`` place ordinal ones in their interval."""

    @abc.abstractmethod
    def generate(self, parents: Values, latents: Tensor) -> Tensor:
        """The node's values given its parents and latents, shape ``(n,)``."""


class ContinuousConditional(Conditional):
    """A continuous node; see :class:`Conditional` for the arguments shared with ordinal nodes.

    Attributes:
        low: Lower end of the column's training range, rounded outwards to whole standard
            deviations from the mean, so that it is nobody's own value; raw units.
        high: The upper end, likewise.
    """

    center: Tensor
    half_range: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self, name: str, nodes: Mapping[str, Node], *, seed: int, dtype: torch.dtype
    ) -> None:
        node = nodes[name]
        assert isinstance(node, ContinuousNode)
        transform = make_transform(node.transform, node.n_coefs)
        super().__init__(name, nodes, n_params=transform.n_params, seed=seed, dtype=dtype)
        self.transform = transform
        with torch.no_grad():
            self.intercept.copy_(transform.initial())
        self.register_buffer("center", torch.zeros((), dtype=dtype))
        self.register_buffer("half_range", torch.ones((), dtype=dtype))
        self.register_buffer("low", torch.full((), -torch.inf, dtype=dtype))
        self.register_buffer("high", torch.full((), torch.inf, dtype=dtype))

    @property
    @override
    def has_convex_head(self) -> bool:
        return isinstance(self.transform, LinearInBasis)

    @override
    @torch.no_grad()
    def set_scaling(self, values: Values) -> None:
        super().set_scaling(values)
        low, high = tail_quantiles(values[self.name])
        self.center.fill_(0.5 * (low + high))
        self.half_range.fill_(0.5 * (high - low))
        column = values[self.name]
        mean, sd = column.mean(), column.std(correction=0)
        self.low.fill_(mean + sd * ((column.min() - mean) / sd).floor())
        self.high.fill_(mean + sd * ((column.max() - mean) / sd).ceil())

    def scale(self, x: Tensor) -> Tensor:
        """S = 5 (x - center) / half_range: the training 5 % and 95 % quantiles go to -5 and 5."""
        return ((x - self.center) * (BOUND / self.half_range)).to(self.dtype)

    def unscale(self, s: Tensor) -> Tensor:
        """The x of a scaled value."""
        return self.center + s * (self.half_range / BOUND)

    @override
    def encode_outcome(self, values: Values) -> tuple[Tensor, ...]:
        return self.transform.prepare(self.scale(values[self.name]))

    @property
    @override
    def n_outcome_parts(self) -> int:
        return 2 if self.has_convex_head else 1

    def _h(self, raw: Tensor, outcome: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """h(x) and its log derivative per unit of x."""
        h, log_slope = self.transform.call_and_ladj(raw, *outcome)
        return h, log_slope + torch.log(BOUND / self.half_range).unsqueeze(-1)

    @override
    def log_prob_given(self, raw: Tensor, shift: Tensor, outcome: tuple[Tensor, ...]) -> Tensor:
        h, log_slope = self._h(raw, outcome)
        return latent.log_prob(h + shift) + log_slope

    def _h_and_shift(self, values: Values) -> tuple[Tensor, Tensor, Tensor]:
        column = values[self.name]
        raw, shift = self.parameters_given(*self.encode_parents(values, len(column)))
        h, log_slope = self.transform.at(raw, self.scale(column))
        return h, log_slope + torch.log(BOUND / self.half_range), shift

    @override
    def log_prob(self, values: Values) -> Tensor:
        h, log_slope, shift = self._h_and_shift(values)
        return latent.log_prob(h + shift) + log_slope

    def transformation(self, values: Values) -> tuple[Tensor, Tensor]:
        """h(x) and its log derivative per unit of x, shape ``(n,)`` each; shifts left out."""
        h, log_slope, _ = self._h_and_shift(values)
        return h, log_slope

    def latent(self, values: Values) -> Tensor:
        """U = h(x) + shifts, shape ``(n,)``."""
        h, _, shift = self._h_and_shift(values)
        return h + shift

    @override
    def abduct(self, values: Values, uniforms: Tensor) -> Tensor:
        return self.latent(values)

    @override
    def generate(self, parents: Values, latents: Tensor) -> Tensor:
        features = self.encode_parents(parents, len(latents))
        return self.generate_given(*self.parameters_given(*features), latents)

    def generate_given(self, raw: Tensor, shift: Tensor, latents: Tensor) -> Tensor:
        """The node's values from :meth:`parameters_given`'s results and latents, ``(n,)``."""
        z = latents.to(self.dtype) - shift
        with torch.no_grad():
            s = self.transform.inverse(raw, z)
        if torch.is_grad_enabled():
            # one Newton step from the solution: no change in value, the implicit derivative in s
            h, log_slope = self.transform.call_and_ladj(raw, *self.transform.prepare(s))
            s = s - (h - z) / log_slope.exp().detach()
        return self.unscale(s)


class OrdinalConditional(Conditional):
    """An ordinal node; see :class:`Conditional` for the arguments shared with continuous nodes."""

    def __init__(
        self, name: str, nodes: Mapping[str, Node], *, seed: int, dtype: torch.dtype
    ) -> None:
        node = nodes[name]
        assert isinstance(node, OrdinalNode)
        super().__init__(name, nodes, n_params=node.levels - 1, seed=seed, dtype=dtype)
        self.levels = node.levels
        with torch.no_grad():
            self.intercept.copy_(_even_levels(node.levels, dtype))

    def theta(self) -> Tensor:
        """Cutpoints at shift zero and without complex intercepts, shape ``(K - 1,)``."""
        return torch.cat([self.intercept[:1], positive(self.intercept[1:])]).cumsum(0)

    @override
    def encode_outcome(self, values: Values) -> tuple[Tensor, ...]:
        return (values[self.name],)

    @property
    @override
    def n_outcome_parts(self) -> int:
        return 1

    def _cutpoints_and_gaps(self, raw: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """c_{-1}, ..., c_{K-1} with infinite ends, (n, K + 1), and the K gaps between them, (n, K).

        The gaps come from the parameters, not from subtraction, so narrow levels keep their digits.
        """
        increments = positive(raw[..., 1:])
        theta = torch.cat([raw[..., :1], raw[..., :1] + increments.cumsum(-1)], -1)
        cutpoints = theta - shift.unsqueeze(-1)
        with_low = pad(cutpoints, (1, 0), value=-torch.inf)
        gaps = increments.expand(*shift.shape, -1)
        return pad(with_low, (0, 1), value=torch.inf), pad(gaps, (1, 1), value=torch.inf)

    def _given(self, parents: Values, n: int) -> tuple[Tensor, Tensor]:
        return self._cutpoints_and_gaps(*self.parameters_given(*self.encode_parents(parents, n)))

    @override
    def log_prob_given(self, raw: Tensor, shift: Tensor, outcome: tuple[Tensor, ...]) -> Tensor:
        (level,) = outcome
        cutpoints, gaps = self._cutpoints_and_gaps(raw, shift)
        k = level.unsqueeze(-1).expand(*cutpoints.shape[:-1], 1)
        return _log_interval(
            cutpoints.gather(-1, k), cutpoints.gather(-1, k + 1), gaps.gather(-1, k)
        ).squeeze(-1)

    def log_pmf(self, parents: Values, *, n: int) -> Tensor:
        """Log probabilities of all levels for n rows of parents, in nats; shape ``(n, K)``."""
        cutpoints, gaps = self._given(parents, n)
        return _log_interval(cutpoints[:, :-1], cutpoints[:, 1:], gaps)

    def cutpoints(self, parents: Values, *, n: int) -> Tensor:
        """Cutpoints given the parents of n rows, with infinite ends; shape ``(n, K + 1)``."""
        return self._given(parents, n)[0]

    def interval(self, values: Values) -> tuple[Tensor, Tensor]:
        """Ends of the latent interval (l, u] of each observed level, shape ``(n,)`` each.

        Raises:
            DataError: A row has a level to which the model gives no probability.
        """
        level = values[self.name].unsqueeze(-1)
        cutpoints = self.cutpoints(values, n=len(level))
        lower = cutpoints.gather(-1, level).squeeze(-1)
        upper = cutpoints.gather(-1, level + 1).squeeze(-1)
        empty = upper <= lower
        if bool(empty.any()):
            raise DataError(
                f"node {self.name!r}: a row has level {int(level[empty][0])}, to which the model "
                "gives no probability since no training row had it; it has no latent. Leave such "
                "rows out, or fit with a neighbouring level merged into it."
            )
        return lower, upper

    @override
    def abduct(self, values: Values, uniforms: Tensor) -> Tensor:
        lower, upper = self.interval(values)
        return latent.truncated_icdf(uniforms.to(lower), lower, upper)

    @override
    def generate(self, parents: Values, latents: Tensor) -> Tensor:
        inner = self.cutpoints(parents, n=len(latents))[:, 1:-1]
        return (latents.to(self.dtype).unsqueeze(-1) > inner).sum(-1)


def _raw_of(theta: Tensor) -> Tensor:
    """Unconstrained parameters of increasing cutpoints."""
    return torch.cat([theta[:1], inverse_positive(theta.diff())])


@cache
def _even_levels(levels: int, dtype: torch.dtype) -> Tensor:
    """The parameters at which all levels are equally probable at shift zero."""
    start = torch.arange(1, levels, dtype=torch.float64) / levels
    return _raw_of(latent.icdf(start).to(dtype))


def _log_interval(lower: Tensor, upper: Tensor, gap: Tensor) -> Tensor:
    """log(F(upper) - F(lower)) with gap = upper - lower known to full precision."""
    return logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(-gap))


def make_conditional(
    name: str, nodes: Mapping[str, Node], *, seed: int, dtype: torch.dtype
) -> ContinuousConditional | OrdinalConditional:
    """The conditional law of a node of the specification, at its starting parameters."""
    if isinstance(nodes[name], OrdinalNode):
        return OrdinalConditional(name, nodes, seed=seed, dtype=dtype)
    return ContinuousConditional(name, nodes, seed=seed, dtype=dtype)
