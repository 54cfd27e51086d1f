r"""Monotone maps h between a variable and the latent scale; parameters come from outside.

The one sign convention of the library: for a continuous node :math:`u = h(x) + \text{shifts}`, for
an ordinal node :math:`P(x \le k) = \sigma(\theta_k - \text{shifts})`. Shifts are added to h and
subtracted from cutpoints, so ``exp(beta)`` multiplies the odds of :math:`X \le x` (continuous)
and of :math:`X > k` (ordinal) per unit of the parent.

A map acts on the scaled variable s, for which the training column's 5 % and 95 % quantiles lie at
-5 and 5. Its unconstrained parameters ``raw`` are an offset and numbers whose softplus are the
non-negative *increments* :math:`\gamma`; maps that are linear in (offset, increments) make the
likelihood convex (:mod:`tramdag.fitting.exact`).
"""

from __future__ import annotations

import abc
import math
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus
from typing_extensions import override
from zuko.transforms import MonotonicRQSTransform

__all__ = [
    "BOUND",
    "Affine",
    "Bernstein",
    "LinearInBasis",
    "MonotoneTransform",
    "Spline",
    "inverse_positive",
    "make_transform",
    "positive",
]

BOUND = 5.0
"""The training column's 5 % and 95 % quantiles are scaled to -BOUND and BOUND."""

_SMALLEST_INCREMENT = 1e-30

_SMALLEST_STARTING_INCREMENT = 0.05
"""Between control points without rows; at zero the likelihood would not be finite."""


def positive(raw: Tensor) -> Tensor:
    """Softplus, exact in float64: torch's default turns into the identity at 20, off by 2e-9."""
    return softplus(raw, threshold=40.0)


def inverse_positive(increments: Tensor) -> Tensor:
    """The raw value r with softplus(r) = increments; zeros become 1e-30, not minus infinity."""
    safe = increments.clamp(min=_SMALLEST_INCREMENT)
    return safe + torch.log(-torch.expm1(-safe))


@cache
def _raw_of(increment: float) -> float:
    """:func:`inverse_positive` of one number, for starts."""
    return float(inverse_positive(torch.tensor(increment)))


class MonotoneTransform(abc.ABC):
    """An increasing map h on the scaled variable s, with parameters given per row or shared.

    Attributes:
        n_params: Length of ``raw``.
    """

    n_params: int

    @abc.abstractmethod
    def prepare(self, s: Tensor) -> tuple[Tensor, ...]:
        """What ``call_and_ladj`` needs of s and no parameter: computed once per fit.

        Shapes:
            ``s (n,) -> tensors (n, ...)``.
        """

    @abc.abstractmethod
    def call_and_ladj(self, raw: Tensor, *prepared: Tensor) -> tuple[Tensor, Tensor]:
        """h(s) and log h'(s).

        Shapes:
            ``raw (n_params,), (1, n_params) or (n, n_params), prepared (n, ...) -> (n,), (n,)``;
            latent scale, derivative per unit of s. All but a raw of one dimension may carry
            leading replicate dimensions.
        """

    def at(self, raw: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """h(s) and log h'(s) of rows that are met once, so that nothing is prepared for them.

        Shapes:
            ``raw (n_params,), (1, n_params) or (n, n_params), s (n,) -> (n,), (n,)``.
        """
        return self.call_and_ladj(raw, *self.prepare(s))

    @abc.abstractmethod
    def inverse(self, raw: Tensor, z: Tensor) -> Tensor:
        """The s with h(s) = z.

        Shapes:
            ``raw (n_params,) or (n, n_params), z (n,) -> (n,)``.
        """

    @abc.abstractmethod
    def initial(self) -> Tensor:
        """Raw parameters of a plausible start, an almost linear h; shape ``(n_params,)``."""


class LinearInBasis(MonotoneTransform):
    r""":math:`h(s) = a + \sum_k \gamma_k C_k(s)`, C increasing, increments :math:`\gamma \ge 0`."""

    @abc.abstractmethod
    def basis(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """C(s) and C'(s), shape ``(n, n_params - 1)`` each."""

    def start(self, s: Tensor) -> Tensor:
        """Offset and positive increments near those of rows without parents; ``(n_params,)``."""
        raw = self.initial().to(s)
        return torch.cat([raw[:1], positive(raw[1:])])

    @override
    def prepare(self, s: Tensor) -> tuple[Tensor, Tensor]:
        return self.basis(s)

    @override
    def call_and_ladj(self, raw: Tensor, *prepared: Tensor) -> tuple[Tensor, Tensor]:
        C, dC = prepared
        increments = positive(raw[..., 1:])
        if raw.numel() == self.n_params:  # one set for all rows
            increments = increments.flatten()
            return raw[..., 0] + C @ increments, torch.log(dC @ increments)
        if raw.shape[-2] == 1:  # one set for each replicate
            column = increments.mT
            return raw[..., 0] + (C @ column).squeeze(-1), torch.log((dC @ column).squeeze(-1))
        return raw[..., 0] + (C * increments).sum(-1), torch.log((dC * increments).sum(-1))


class Affine(LinearInBasis):
    """h(s) = a + b s with b > 0; with it a continuous node is a linear logistic regression."""

    n_params = 2

    @override
    def basis(self, s: Tensor) -> tuple[Tensor, Tensor]:
        return s.unsqueeze(-1), torch.ones_like(s).unsqueeze(-1)

    @override
    def inverse(self, raw: Tensor, z: Tensor) -> Tensor:
        return (z - raw[..., 0]) / positive(raw[..., 1])

    @override
    def initial(self) -> Tensor:
        return torch.tensor([0.0, _raw_of(_START_SLOPE)])


_START_SLOPE = math.log(0.95 / 0.05) / BOUND
"""Slope of the start: the quantiles at -5 and 5 get the logistic law's own 5 % and 95 % points."""


class Bernstein(LinearInBasis):
    r"""Increasing Bernstein polynomial on [-5, 5] with linear continuation outside.

    .. math:: h(s) = \sum_{k=0}^{M-1} \theta_k \binom{M-1}{k} t^k (1-t)^{M-1-k},\quad t = (s+5)/10,

    with :math:`\theta_k = a + \gamma_1 + \dots + \gamma_k`. In increments,
    :math:`C_k = \sum_{j \ge k} b_{j,M-1}(t)` and :math:`C_k' = \frac{M-1}{10} b_{k-1,M-2}(t)`: both
    are sums of non-negative numbers, so neither h nor h' loses digits to cancellation.

    Args:
        n_coefs: Number of coefficients M (the degree plus one), at least 2.

    References:
        Hothorn, Moest and Buehlmann (2018), Scandinavian Journal of Statistics 45;
        Sick and Duerr (2025), CLeaR, section 3.
    """

    def __init__(self, n_coefs: int) -> None:
        self.n_params = n_coefs
        self._degree = n_coefs - 1
        self._slope = self._degree / (2 * BOUND)

    @staticmethod
    def _bernstein(t: Tensor, degree: int) -> Tensor:
        """Polynomials b_{k,degree}(t), k = 0..degree, t in [0, 1]; shape ``(n, degree + 1)``."""
        choose = [float(math.comb(degree, k)) for k in range(degree + 1)]
        binomials = torch.tensor(choose, dtype=t.dtype, device=t.device)
        return binomials * _powers(t, degree) * _powers(1.0 - t, degree).flip(-1)

    @override
    def basis(self, s: Tensor) -> tuple[Tensor, Tensor]:
        inside = s.clamp(-BOUND, BOUND)
        t = (inside + BOUND) / (2 * BOUND)
        lower = self._bernstein(t, self._degree - 1)
        # summed from k to d, de Casteljau's step b_{j,d} = (1 - t) b_{j,d-1} + t b_{j-1,d-1}
        # leaves t b_{k-1,d-1} and the sum of b_{j,d-1} from k on
        later = lower[..., 1:].flip(-1).cumsum(-1).flip(-1)
        C = torch.addcmul(pad(later, (0, 1)), t.unsqueeze(-1), lower)
        dC = self._slope * lower
        # beyond the range dC is that of the nearer end, which makes the continuation linear
        return torch.addcmul(C, (s - inside).unsqueeze(-1), dC), dC

    @override
    def start(self, s: Tensor) -> Tensor:
        """Coefficients at the log odds of s below their control points, which h passes nearby."""
        place = ((s + BOUND) * self._slope).ceil().clamp(0, self.n_params).long()
        below = torch.bincount(place, minlength=self.n_params)[: self.n_params]
        theta = torch.logit((below.cumsum(0).to(s) + 0.5) / (len(s) + 1.0))
        return torch.cat([theta[:1], theta.diff().clamp(min=_SMALLEST_STARTING_INCREMENT)])

    @override
    def at(self, raw: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        if torch.is_grad_enabled():
            return super().at(raw, s)
        rise, slope = self._rise_and_slope(positive(raw[..., 1:]), s)
        return raw[..., 0] + rise, torch.log(slope)

    def _rise_and_slope(self, increments: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        r"""h(s) - a and h'(s) by Horner's scheme, without a basis and without gradients.

        With :math:`p_k = \sum_{j \le k} c_j t^j (1-t)^{k-j}` it is
        :math:`p_k = (1-t) p_{k-1} + c_k t^k`; all terms are non-negative.

        Shapes:
            ``increments (n_params - 1,), (1, n_params - 1) or (n, n_params - 1), s (n,)``.
        """
        inside = s.clamp(-BOUND, BOUND)
        t = (inside + BOUND) / (2 * BOUND)
        rest, power = 1.0 - t, torch.ones_like(t)
        rise, slope = torch.zeros_like(t), torch.zeros_like(t)
        degree = self._degree
        theta = increments.cumsum(-1)
        columns = list(zip(theta.unbind(-1), increments.unbind(-1), strict=True))
        for k, (level, step) in enumerate(columns):
            slope.mul_(rest).addcmul_(power, step, value=math.comb(degree - 1, k))
            power.mul_(t)
            rise.mul_(rest).addcmul_(power, level, value=math.comb(degree, k + 1))
        slope.mul_(self._slope)
        return torch.addcmul(rise, s - inside, slope), slope

    @override
    def inverse(self, raw: Tensor, z: Tensor) -> Tensor:
        increments = positive(raw[..., 1:]).reshape(-1, self._degree)
        bottom = raw[..., 0].expand_as(z)
        top = bottom + increments.sum(-1)
        below, above = z < bottom, z > top
        s_below = -BOUND + (z - bottom) / (self._slope * increments[:, 0])
        s_above = BOUND + (z - top) / (self._slope * increments[:, -1])
        outside = torch.where(below, s_below, s_above)
        within = (~(below | above)).nonzero().squeeze(-1)
        own = increments if len(increments) == 1 else increments[within]
        return outside.index_put((within,), self._invert_inside(own, (z - bottom)[within]))

    def _start_of_inverse(self, increments: Tensor, rise: Tensor) -> Tensor:
        """A first guess by linear interpolation, of h itself where all rows share its increments.

        Else of the control polygon, the map through (-5 + 10 k / degree, theta_k).
        """
        if len(increments) == 1:
            points = torch.linspace(-BOUND, BOUND, _START_POINTS).to(rise)
            levels = self._rise_and_slope(increments, points)[0].expand(1, -1).contiguous()
            found = torch.searchsorted(levels[0], rise)
        else:
            levels = torch.cat([torch.zeros_like(rise).unsqueeze(-1), increments.cumsum(-1)], -1)
            found = torch.searchsorted(levels, rise.unsqueeze(-1)).squeeze(-1)
        last = levels.shape[-1] - 1
        k = found.clamp(1, last)
        if len(increments) == 1:
            low, high = levels[0, k - 1], levels[0, k]
        else:
            low = levels.gather(-1, k.unsqueeze(-1) - 1).squeeze(-1)
            high = levels.gather(-1, k.unsqueeze(-1)).squeeze(-1)
        part = ((rise - low) / (high - low).clamp(min=_SMALLEST_INCREMENT)).clamp(0.0, 1.0)
        return -BOUND + 2 * BOUND * (k - 1 + part) / last

    def _invert_inside(self, increments: Tensor, rise: Tensor) -> Tensor:
        """Solve ``sum_k gamma_k C_k(s) = rise`` on [-5, 5] by Newton, safeguarded by bisection.

        Shapes:
            ``increments (1, n_params - 1) or (n, n_params - 1), rise (n,) -> (n,)``.
        """
        rise = torch.minimum(rise, increments.sum(-1))
        s = self._start_of_inverse(increments, rise)
        low, high = torch.full_like(s, -BOUND), torch.full_like(s, BOUND)
        result = s.clone()
        active = torch.arange(len(s), device=s.device)
        eps = torch.finfo(s.dtype).eps
        for _ in range(_MAX_INVERSE_STEPS):
            reached, slope = self._rise_and_slope(increments, s)
            gap = reached - rise
            low = torch.where(gap < 0, s, low)
            high = torch.where(gap > 0, s, high)
            newton = s - gap / slope
            outside = ~((newton > low) & (newton < high))  # also catches a zero slope
            new = torch.where(outside, 0.5 * (low + high), newton)
            # a gap within the rounding of h and of s is none: its sign would mislead the bracket
            met = gap.abs() <= eps * (8 * reached + 4 * BOUND * slope)
            new = torch.where(met, s, new)
            result[active] = new
            going = ~met & ((new - s).abs() > 4 * eps * BOUND)
            if not bool(going.any()):
                break
            active, s, rise = active[going], new[going], rise[going]
            low, high = low[going], high[going]
            increments = increments if len(increments) == 1 else increments[going]
        return result

    @override
    def initial(self) -> Tensor:
        raw = torch.full((self.n_params,), _raw_of(_START_SLOPE / self._slope))
        raw[0] = -_START_SLOPE * BOUND
        return raw


def _powers(t: Tensor, degree: int) -> Tensor:
    """1, t, ..., t**degree by repeated products, a tenth of the time of pow."""
    return pad(t.unsqueeze(-1).expand(*t.shape, degree).cumprod(-1), (1, 0), value=1.0)


_START_POINTS = 1025
"""Points between which the start of an inverse is interpolated; Newton then needs three steps."""

_MAX_INVERSE_STEPS = 200
"""Newton needs about five; the rest is head room for bisection through flat stretches."""


class Spline(MonotoneTransform):
    """Rational-quadratic spline on [-5, 5], identity outside, then an affine map a + b (.).

    The affine map gives the tails their own location and slope on the latent scale.

    Args:
        n_bins: Number of bins, at least 2.

    References:
        Durkan, Bekasov, Murray and Papamakarios (2019), Neural Spline Flows, NeurIPS.
    """

    def __init__(self, n_bins: int) -> None:
        self._sizes = (n_bins, n_bins, n_bins - 1)
        self.n_params = 2 + sum(self._sizes)

    @override
    def prepare(self, s: Tensor) -> tuple[Tensor]:
        return (s,)

    def _parts(self, raw: Tensor) -> tuple[Tensor, Tensor, MonotonicRQSTransform]:
        widths, heights, derivatives = raw[..., 2:].split(self._sizes, -1)
        spline = MonotonicRQSTransform(widths, heights, derivatives, bound=BOUND)
        return raw[..., 0], positive(raw[..., 1]), spline

    @override
    def call_and_ladj(self, raw: Tensor, *prepared: Tensor) -> tuple[Tensor, Tensor]:
        (s,) = prepared
        shape = torch.broadcast_shapes(raw.shape[:-1], s.shape)
        offset, slope, spline = self._parts(raw.expand(*shape, -1))
        s = s.expand(shape)
        value, ladj = spline.call_and_ladj(s)
        return offset + slope * value, torch.log(slope) + ladj

    @override
    def inverse(self, raw: Tensor, z: Tensor) -> Tensor:
        offset, slope, spline = self._parts(raw.expand(len(z), -1))
        return spline.inv((z - offset) / slope)

    @override
    def initial(self) -> Tensor:
        raw = torch.zeros(self.n_params)
        raw[1] = _raw_of(_START_SLOPE)
        return raw


def make_transform(name: str, n_coefs: int) -> MonotoneTransform:
    """The transform of a :class:`~tramdag.spec.ContinuousNode` by its name."""
    if name == "bernstein":
        return Bernstein(n_coefs)
    if name == "spline":
        return Spline(n_coefs)
    return Affine()
