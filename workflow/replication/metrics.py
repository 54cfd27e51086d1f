"""Distances between a fitted model and the truth, each with its Monte Carlo error.

The three rungs need three kinds of measure: divergences between laws (L1), differences between
summaries of laws (L2), and scores of one prediction per row (L3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = [
    "QUANTILES",
    "Estimate",
    "brier_score",
    "calibration_bins",
    "expected_calibration_error",
    "histogram",
    "kl_divergence",
    "log_score",
    "mean_estimate",
    "odds_ratio",
    "ranked_probability_score",
    "root_mean_square",
    "summarise",
    "wasserstein",
]

FloatArray: TypeAlias = NDArray[np.float64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Probabilities of the quantiles in every summary of a continuous variable."""


UNIFORM_SHARE = 0.01
"""Share of the uniform law in a probability before its logarithm is taken."""


@dataclass(frozen=True)
class Estimate:
    """A number with its Monte Carlo standard error, both in the number's own unit."""

    value: float
    error: float


def mean_estimate(values: FloatArray) -> Estimate:
    r"""Mean with standard error :math:`s / \sqrt n`; values of shape ``(n,)``.

    The error of a single value, or of values that are not all finite, is unknown (NaN).
    """
    values = np.asarray(values, dtype=np.float64)
    known = values.size > 1 and bool(np.isfinite(values).all())
    spread = float(values.std(ddof=1)) if known else float("nan")
    return Estimate(float(values.mean()), spread / float(np.sqrt(values.size)))


def kl_divergence(log_truth: FloatArray, log_model: FloatArray) -> Estimate:
    r"""Kullback-Leibler divergence KL(truth, model) in nats from rows drawn from the truth.

    :math:`\frac1n \sum_i \log p(x_i) - \log q(x_i)`, with the standard error of that mean. The
    estimate is unbiased and may fall below zero by a few errors when the model is close.

    Args:
        log_truth: Log densities of the truth at the rows, shape ``(n,)``.
        log_model: Log densities of the model at the same rows, shape ``(n,)``.

    Raises:
        ValueError: The shapes differ, or the truth gives a row density zero.
    """
    if log_truth.shape != log_model.shape:
        raise ValueError(
            f"kl_divergence: log_truth has shape {log_truth.shape} and log_model "
            f"{log_model.shape}; both must hold one value per row."
        )
    if not np.isfinite(log_truth).all():
        raise ValueError(
            "kl_divergence: the truth gives a row the density zero or infinity; the rows must be "
            "drawn from the truth."
        )
    return mean_estimate(log_truth - log_model)


def summarise(values: FloatArray, *, levels: int | None = None) -> pd.DataFrame:
    r"""Mean, sd and quantiles of a sample, or the probabilities of an ordinal one.

    Standard errors: of the mean :math:`s/\sqrt n`; of the sd
    :math:`\sqrt{(m_4 - s^4) / (4 s^2 n)}`; of a quantile half the distance of the order
    statistics one binomial standard deviation below and above it; of a probability
    :math:`\sqrt{p (1 - p) / n}`.

    Args:
        values: Sample of shape ``(n,)``.
        levels: Number of levels of an ordinal variable 0, 1, ...; None for a continuous one.

    Returns:
        DataFrame with the columns statistic, value and mc_error. Statistics are ``mean``, ``sd``
        and ``q05`` ... ``q95``, or ``mean``, ``sd`` and ``P(0)`` ... ``P(levels - 1)``.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    n = x.size
    mean, sd = x.mean(), x.std()
    fourth = ((x - mean) ** 4).mean()
    sd_error = np.sqrt(max(fourth - sd**4, 0.0) / (4 * sd**2 * n)) if sd > 0 else 0.0
    rows: list[tuple[str, float, float]] = [
        ("mean", mean, sd / np.sqrt(n)),
        ("sd", sd, sd_error),
    ]
    if levels is None:
        for q in QUANTILES:
            step = np.sqrt(n * q * (1 - q))
            low, high = (int(np.clip(round(n * q + s), 0, n - 1)) for s in (-step, step))
            rows.append((f"q{100 * q:02.0f}", np.quantile(x, q), (x[high] - x[low]) / 2))
    else:
        for level in range(levels):
            p = (x == level).mean()
            rows.append((f"P({level})", p, np.sqrt(p * (1 - p) / n)))
    return pd.DataFrame(rows, columns=["statistic", "value", "mc_error"])


def histogram(values: FloatArray, *, levels: int | None = None, bins: int = 80) -> pd.DataFrame:
    """Density of a sample in equal bins between its 0.1 and 99.9 percent quantiles.

    The few rows outside count in the normalisation. For an ordinal variable each level is a bin
    of width one around it, so that the density is the probability.

    Returns:
        DataFrame with the columns left, right and density (per unit of the variable).
    """
    x = np.asarray(values, dtype=np.float64)
    if levels is not None:
        edges = np.arange(levels + 1) - 0.5
    else:
        low, high = np.quantile(x, [0.001, 0.999])
        if low == high:
            # a variable that an intervention holds at one value
            low, high = low - 0.5, high + 0.5
        edges = np.linspace(low, high, bins + 1)
    counts, _ = np.histogram(x, edges)
    density = counts / (x.size * np.diff(edges))
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:], "density": density})


def log_score(pmf: FloatArray, levels: NDArray[np.int_]) -> FloatArray:
    """Log probability of the level that came true, in nats; close to 0 is best.

    The law is mixed with one percent of the uniform one first: counterfactual laws have levels of
    probability zero, and one such row must not decide about the mean.

    Args:
        pmf: Probabilities of shape ``(n, K)``.
        levels: Levels of shape ``(n,)``.

    Returns:
        Scores of shape ``(n,)``.
    """
    chosen = pmf[np.arange(len(levels)), levels]
    return np.log((1 - UNIFORM_SHARE) * chosen + UNIFORM_SHARE / pmf.shape[1])


def brier_score(pmf: FloatArray, levels: NDArray[np.int_]) -> FloatArray:
    r"""Brier score :math:`\sum_k (p_k - 1[y = k])^2` between 0 (best) and 2; shapes as above."""
    hit = np.zeros_like(pmf)
    hit[np.arange(len(levels)), levels] = 1.0
    return ((pmf - hit) ** 2).sum(axis=1)


def ranked_probability_score(pmf: FloatArray, levels: NDArray[np.int_]) -> FloatArray:
    r"""Ranked probability score :math:`\sum_{k < K - 1} (P_k - 1[y \le k])^2`, 0 is best.

    P is the cumulative law, so that a near miss costs less than a far one; shapes as above.

    References:
        Epstein (1969), Journal of Applied Meteorology 8.
    """
    below = pmf.cumsum(axis=1)[:, :-1]
    came_true = levels[:, None] <= np.arange(pmf.shape[1] - 1)
    return ((below - came_true) ** 2).sum(axis=1)


def calibration_bins(
    predicted: FloatArray, happened: NDArray[np.bool_], *, bins: int = 10
) -> pd.DataFrame:
    r"""Predicted probabilities against frequencies in bins of equal width.

    Args:
        predicted: Probabilities of an event, shape ``(n,)``.
        happened: Whether it happened, shape ``(n,)``.
        bins: Number of bins between 0 and 1.

    Returns:
        DataFrame with a row per bin that holds a row: bin, predicted (mean probability), observed
        (frequency), mc_error (:math:`\sqrt{\bar p (1 - \bar p) / n}` of the mean probability: the
        spread of the frequency if the prediction is right) and rows.
    """
    number = np.minimum((predicted * bins).astype(int), bins - 1)
    table = pd.DataFrame(
        {"bin": number, "predicted": predicted, "observed": happened.astype(float)}
    )
    grouped = table.groupby("bin")
    means = grouped.mean().assign(rows=grouped.size())
    # a mean of equal numbers may leave [0, 1] by one rounding
    p = means["predicted"].clip(0, 1)
    error = np.sqrt(p * (1 - p) / means["rows"])
    columns = ["bin", "predicted", "observed", "mc_error", "rows"]
    return means.assign(mc_error=error).reset_index()[columns]


def expected_calibration_error(bins: pd.DataFrame) -> float:
    """Mean distance of predicted and observed frequency over rows; :func:`calibration_bins`."""
    distance = (bins["predicted"] - bins["observed"]).abs()
    return float((distance * bins["rows"]).sum() / bins["rows"].sum())


def odds_ratio(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Estimate:
    r"""Factor between the odds of an event in two worlds that share their latents, row by row.

    The standard error follows from the delta method on
    :math:`\log OR = \mathrm{logit}(p_1) - \mathrm{logit}(p_0)`, with the covariance of the pairs.

    Raises:
        ValueError: The event happens never or always in one of the worlds.
    """
    p0, p1 = float(before.mean()), float(after.mean())
    if not (0 < p0 < 1 and 0 < p1 < 1):
        raise ValueError(
            f"odds_ratio: the event has probability {p0} before and {p1} after; odds need both "
            "strictly between 0 and 1. Move the threshold or draw more rows."
        )
    influence = (after - p1) / (p1 * (1 - p1)) - (before - p0) / (p0 * (1 - p0))
    ratio = p1 / (1 - p1) / (p0 / (1 - p0))
    return Estimate(ratio, ratio * float(influence.std()) / float(np.sqrt(before.size)))


def root_mean_square(values: FloatArray) -> float:
    """Root of the mean of squares, in the unit of the values."""
    return float(np.sqrt(np.mean(np.square(values))))


def wasserstein(one: FloatArray, other: FloatArray) -> float:
    r"""Wasserstein distance :math:`\int |F - G|` of two samples, in the unit of the values.

    As scipy.stats has it, which takes longer to load than a job takes for all its distances.
    """
    every = np.sort(np.concatenate([one, other]))
    below = [np.searchsorted(np.sort(part), every[:-1], side="right") for part in (one, other)]
    return float((np.abs(below[0] / one.size - below[1] / other.size) * np.diff(every)).sum())
