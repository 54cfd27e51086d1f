r"""How far average effects lie from the truth over fresh cohorts, with the error of every figure.

With errors :math:`e_r` of R cohorts, their standard deviation s and fourth central moment m:

- bias: their mean, error :math:`s / \sqrt R`;
- sd: s, error :math:`\sqrt{(m / s^4 - (R - 3) / (R - 1)) / R}\; s / 2`, which is
  :math:`s / \sqrt{2 (R - 1)}` under a normal law;
- rmse: :math:`\sqrt{\overline{e^2}}`, error :math:`sd(e^2) / (2\, rmse \sqrt R)`;
- coverage: share of intervals that hold the truth, error that of a binomial share.

All models see the same cohorts, so the comparison with the first model is paired: the difference of
the two rmse has the error of the mean of :math:`e^2 / (2\, rmse) - e_0^2 / (2\, rmse_0)`.

References:
    Morris, White and Crowther (2019), Using simulation studies to evaluate statistical methods,
    Statistics in Medicine 38.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["KEYS", "summarise_cohorts", "with_errors"]

KEYS = ["variant", "effect"]
"""What tells the estimands of a study apart."""


def with_errors(estimates: pd.DataFrame, truths: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """Estimates with the columns truth, error and covered; the last one only with an interval.

    Args:
        estimates: Columns variant, effect and those of ``replication.monte_carlo``.
        truths: The truth by variant and effect.
    """
    pairs = zip(estimates["variant"], estimates["effect"], strict=True)
    truth = np.array([truths[pair] for pair in pairs])
    finite = np.isfinite(estimates["estimate"])
    error = (estimates["estimate"] - truth).where(finite)
    inside = (estimates["lower"] <= truth) & (truth <= estimates["upper"])
    known = finite & np.isfinite(estimates["lower"]) & np.isfinite(estimates["upper"])
    covered = inside.astype(float).where(known)
    return estimates.assign(truth=truth, error=error, covered=covered)


def summarise_cohorts(table: pd.DataFrame, *, models: Sequence[str]) -> pd.DataFrame:
    """One row per variant, effect and model.

    Args:
        table: Output of :func:`with_errors`, with the columns model and cohort.
        models: The models in the order of the study, the first to compare with.

    Returns:
        The columns model, variant, effect; truth, mean, bias, sd and rmse with their Monte Carlo
        errors; coverage with its error, mean_std_error and the number of intervals; farther (share
        of cohorts in which the first model is nearer to the truth) and rmse_difference (to the
        first model) with their errors; cohorts, estimates (the finite ones among them) and note.
    """
    rows = []
    for key, group in table.groupby(KEYS, sort=False):
        errors = {
            model: group[group["model"] == model].set_index("cohort")["error"] for model in models
        }
        for model in models:
            own = group[group["model"] == model]
            rows.append(
                {
                    "model": model,
                    **dict(zip(KEYS, key, strict=True)),
                    "truth": own["truth"].iloc[0],
                    "mean": own["error"].mean() + own["truth"].iloc[0],
                    **_moments(own["error"].dropna().to_numpy()),
                    **_coverage(own),
                    **_against(errors[model], errors[models[0]], is_first=model == models[0]),
                    "cohorts": len(own),
                    "estimates": int(own["error"].notna().sum()),
                    "note": _note(own),
                }
            )
    return pd.DataFrame(rows)


def _moments(errors: NDArray[np.float64]) -> dict[str, float]:
    n = len(errors)
    names = ("bias", "bias_error", "sd", "sd_error", "rmse", "rmse_error")
    if n < 4:
        return dict.fromkeys(names, np.nan)
    bias, sd = errors.mean(), errors.std(ddof=1)
    kurtosis = np.mean((errors - bias) ** 4) / sd**4
    rmse = np.sqrt(np.mean(errors**2))
    values = (
        bias,
        sd / np.sqrt(n),
        sd,
        0.5 * sd * np.sqrt((kurtosis - (n - 3) / (n - 1)) / n),
        rmse,
        (errors**2).std(ddof=1) / (2 * rmse * np.sqrt(n)),
    )
    return dict(zip(names, values, strict=True))


def _coverage(own: pd.DataFrame) -> dict[str, float]:
    covered = own["covered"].dropna()
    n = len(covered)
    share = covered.mean() if n else np.nan
    return {
        "coverage": share,
        "coverage_error": np.sqrt(share * (1 - share) / n) if n else np.nan,
        "mean_std_error": own["std_error"].mean(),
        "intervals": n,
    }


def _against(own: pd.Series, first: pd.Series, *, is_first: bool) -> dict[str, float]:
    """The paired comparison with the first model, over the cohorts that both have."""
    names = ("farther", "farther_error", "rmse_difference", "rmse_difference_error")
    both = own.notna() & first.notna()
    n = int(both.sum())
    if is_first or n < 4:
        return dict.fromkeys(names, np.nan)
    squares = [errors[both].to_numpy() ** 2 for errors in (own, first)]
    farther = float(np.mean(squares[0] > squares[1]))
    roots = [float(np.sqrt(square.mean())) for square in squares]
    influence = squares[0] / (2 * roots[0]) - squares[1] / (2 * roots[1])
    values = (
        farther,
        np.sqrt(farther * (1 - farther) / n),
        roots[0] - roots[1],
        influence.std(ddof=1) / np.sqrt(n),
    )
    return dict(zip(names, values, strict=True))


def _note(own: pd.DataFrame) -> str:
    """What is missing in some or all of the cohorts, and why."""
    n, missing = len(own), int(own["error"].isna().sum())
    said = [f"no estimate in {missing} of {n} cohorts"] if missing else []
    reasons = own["note"][own["covered"].isna() & own["note"].notna()].value_counts(sort=False)
    for reason, count in reasons.items():
        said.append(str(reason) if count == n else f"in {count} of {n} cohorts {reason}")
    return "; ".join(said)
