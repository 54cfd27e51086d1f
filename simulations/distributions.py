"""The few laws that the processes are made of: logistic, Laplace, a Gaussian pair, ordinal cuts.

Ordinal variables follow ``x = #{k : u > t_k}`` with a standard logistic ``u`` and increasing
thresholds ``t_k``, so that ``P(x = k) = F(t_k) - F(t_{k-1})`` with ``t_{-1} = -inf`` and
``t_{K-1} = inf``. Interval probabilities are computed in the log domain without cancellation:

    log(F(b) - F(a)) = log F(b) + log F(-a) + log(1 - exp(-(b - a))).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LAPLACE_SCALE = 1 / np.sqrt(2)
"""Scale that gives a Laplace variable unit variance."""

SAMPLERS: Mapping[str, Callable[[np.random.Generator, int], FloatArray]] = MappingProxyType(
    {
        "uniform(0, 1)": lambda rng, n: rng.uniform(size=n),
        "normal(0, 1)": lambda rng, n: rng.standard_normal(n),
        "logistic(0, 1)": lambda rng, n: rng.logistic(size=n),
        "laplace(0, 1/sqrt(2))": lambda rng, n: rng.laplace(0.0, LAPLACE_SCALE, n),
    }
)
"""One vectorised draw per latent law; the keys are the names written to truth.json."""


def log_sigmoid(x: ArrayLike) -> FloatArray:
    """Return ``log(1 / (1 + exp(-x)))``, accurate in both tails."""
    return -np.logaddexp(0.0, -np.asarray(x, dtype=np.float64))


def sigmoid(x: ArrayLike) -> FloatArray:
    """Return ``1 / (1 + exp(-x))``, the standard logistic cdf, without overflow."""
    return np.exp(log_sigmoid(x))


def logistic_log_density(u: ArrayLike) -> FloatArray:
    """Return the standard logistic log density ``log F(u) + log F(-u)`` in nats."""
    return log_sigmoid(u) + log_sigmoid(-np.asarray(u, dtype=np.float64))


def laplace_log_density(e: ArrayLike) -> FloatArray:
    """Return the log density in nats of the Laplace law with scale ``1/sqrt(2)``."""
    return -np.abs(np.asarray(e, dtype=np.float64)) / LAPLACE_SCALE - np.log(2 * LAPLACE_SCALE)


def normal_log_density(x: ArrayLike, mean: float, sd: float) -> FloatArray:
    """Return the log density in nats of ``N(mean, sd^2)`` at x."""
    z = (np.asarray(x, dtype=np.float64) - mean) / sd
    return -0.5 * z**2 - np.log(sd) - 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class GaussianPair:
    """An even mixture of two Gaussians, driven by three latents.

    ``x = mean_a + sd_a * a`` where ``mix < 0.5``, else ``x = mean_b + sd_b * b``, with
    ``mix ~ U(0, 1)`` and ``a, b ~ N(0, 1)``.
    """

    mean_a: float
    sd_a: float
    mean_b: float
    sd_b: float

    @property
    def mean(self) -> float:
        """Mean of the mixture."""
        return (self.mean_a + self.mean_b) / 2

    @property
    def variance(self) -> float:
        """Variance of the mixture: mean of the variances plus variance of the means."""
        return (self.sd_a**2 + self.sd_b**2) / 2 + (self.mean_a - self.mean_b) ** 2 / 4

    def critical_points(self) -> FloatArray:
        """Return where the density is stationary, in increasing order.

        One point is the mode; three are a mode, the dip and a mode. All lie between the means,
        where the derivative changes its sign; bisection goes down to the rounding error.
        """

        def slope(x: FloatArray) -> FloatArray:
            log_a, log_b = self._component_log_densities(x)
            a = np.exp(log_a) * (self.mean_a - x) / self.sd_a**2
            return a + np.exp(log_b) * (self.mean_b - x) / self.sd_b**2

        ends = sorted((self.mean_a, self.mean_b))
        grid = np.linspace(ends[0], ends[1], 10_001)
        change = np.flatnonzero(np.diff(np.sign(slope(grid))))
        low, high = grid[change], grid[change + 1]
        for _ in range(60):
            middle = (low + high) / 2
            same = np.sign(slope(middle)) == np.sign(slope(low))
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return (low + high) / 2

    def draw(self, mix: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
        """Map the three latents to x; all arrays have shape ``(n,)``."""
        return np.where(mix < 0.5, self.mean_a + self.sd_a * a, self.mean_b + self.sd_b * b)

    def log_density(self, x: ArrayLike) -> FloatArray:
        """Return the log density of the mixture in nats."""
        log_a, log_b = self._component_log_densities(x)
        return np.logaddexp(log_a, log_b) - np.log(2.0)

    def abduct(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return one triple (mix, a, b) that :meth:`draw` maps to x.

        The map is many to one. The triple takes the component that is likelier given x, with
        mix in the middle of its half interval, and sets the latent of the other one to zero.
        """
        log_a, log_b = self._component_log_densities(x)
        from_a = log_a >= log_b
        a = np.where(from_a, (x - self.mean_a) / self.sd_a, 0.0)
        b = np.where(from_a, 0.0, (x - self.mean_b) / self.sd_b)
        return np.where(from_a, 0.25, 0.75), a, b

    def nodes(self, step: float = 0.25, reach: float = 9.0) -> tuple[FloatArray, FloatArray]:
        """Return abscissae and weights that integrate smooth functions against the mixture.

        The trapezoidal rule per component: for an analytic integrand with Gaussian decay its
        error vanishes like ``exp(-2 pi^2 / step^2)``, far below the rounding error.
        """
        z = np.arange(-reach, reach + step / 2, step)
        weights = 0.5 * step * np.exp(normal_log_density(z, 0.0, 1.0))
        x = np.concatenate([self.mean_a + self.sd_a * z, self.mean_b + self.sd_b * z])
        return x, np.concatenate([weights, weights])

    def _component_log_densities(self, x: ArrayLike) -> tuple[FloatArray, FloatArray]:
        return (
            normal_log_density(x, self.mean_a, self.sd_a),
            normal_log_density(x, self.mean_b, self.sd_b),
        )


def logistic_nodes(step: float = 0.125, reach: float = 64.0) -> tuple[FloatArray, FloatArray]:
    """Return abscissae and weights that integrate smooth functions against the logistic law.

    The trapezoidal rule; the poles of the density at ``±i pi`` leave an error of order
    ``exp(-2 pi^2 / step)``. The reach leaves room for integrands as steep as ``exp(u / 2)``.
    """
    u = np.arange(-reach, reach + step / 2, step)
    return u, step * np.exp(logistic_log_density(u))


def interval_log_probability(lower: ArrayLike, upper: ArrayLike) -> FloatArray:
    """Return ``log(F(upper) - F(lower))`` for the standard logistic F; -inf if empty."""
    lower = np.asarray(lower, dtype=np.float64)
    upper = np.asarray(upper, dtype=np.float64)
    width = np.maximum(upper - lower, 0.0)
    with np.errstate(divide="ignore"):  # an empty interval has log probability -inf
        return log_sigmoid(upper) + log_sigmoid(-lower) + np.log(-np.expm1(-width))


def cut(u: FloatArray, thresholds: FloatArray) -> IntArray:
    """Return the levels ``#{k : u > t_k}``; u ``(n,)``, thresholds ``(n, K - 1)``."""
    return (u[:, None] > thresholds).sum(axis=1, dtype=np.int64)


def ordinal_pmf(thresholds: FloatArray) -> FloatArray:
    """Return ``P(x = k)`` with shape ``(n, K)`` for thresholds ``(n, K - 1)``."""
    lower, upper = _bounds(thresholds)
    return np.exp(interval_log_probability(lower, upper))


def ordinal_log_pmf(level: IntArray, thresholds: FloatArray) -> FloatArray:
    """Return ``log P(x = level)`` with shape ``(n,)`` for thresholds ``(n, K - 1)``."""
    lower, upper = (_pick(bound, level) for bound in _bounds(thresholds))
    return interval_log_probability(lower, upper)


def counterfactual_ordinal_pmf(
    level: IntArray, factual: FloatArray, counterfactual: FloatArray
) -> FloatArray:
    """Return the law of the counterfactual level, given the factual one.

    The factual level tells that u lies in ``(t_{y-1}, t_y]``; the counterfactual level is j
    if the same u lies in ``(t'_{j-1}, t'_j]``. The pmf is the probability of the overlap
    divided by that of the factual interval.

    Args:
        level: Observed levels y, ``(n,)``.
        factual: Thresholds t of the factual world, ``(n, K - 1)``.
        counterfactual: Thresholds t' of the counterfactual world, ``(n, K - 1)``.

    Returns:
        Probabilities of shape ``(n, K)``; rows sum to one.
    """
    lower, upper = (_pick(bound, level)[:, None] for bound in _bounds(factual))
    other_lower, other_upper = _bounds(counterfactual)
    overlap = interval_log_probability(
        np.maximum(lower, other_lower), np.minimum(upper, other_upper)
    )
    return np.exp(overlap - interval_log_probability(lower, upper))


def _bounds(thresholds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper ends of the K intervals, each ``(n, K)``."""
    end = np.full((len(thresholds), 1), np.inf)
    return np.hstack([-end, thresholds]), np.hstack([thresholds, end])


def _pick(bound: FloatArray, level: IntArray) -> FloatArray:
    return np.take_along_axis(bound, level[:, None], axis=1)[:, 0]
