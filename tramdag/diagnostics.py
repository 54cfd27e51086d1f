r"""Does the fitted model agree with rows, and do the rows agree with the DAG?

If model and DAG are right, the latents of all nodes are standard logistic, independent of the
node's parents, and independent of each other. Residuals are these latents: exact for continuous
nodes, for ordinal ones a draw from the interval that the level leaves (a randomised quantile
residual). A dependence between two nodes' residuals names a missing edge or a hidden confounder.

References:
    Dunn and Smyth (1996), Journal of Computational and Graphical Statistics 5 (randomised
    quantile residuals); Rosenblatt (1952), Annals of Mathematical Statistics 23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import scipy

__all__ = ["calibration_table", "residual_table"]


def residual_table(
    residuals: pd.DataFrame, columns: pd.DataFrame, parents: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Tests of residuals: distribution, dependence on each parent, dependence between nodes.

    Args:
        residuals: A latent per node and row.
        columns: The nodes' values, level codes for ordinal ones, on the same rows.
        parents: Parents of every node.

    Returns:
        Columns check, node, other, statistic, p, p_adjusted. ``distribution``: Kolmogorov's
        distance to the standard logistic law; on training rows its p is too large, since the
        parameters were estimated from them. ``parent`` and ``pair``: Spearman's rank correlation
        with a parent, and with the residual of another node. ``p_adjusted`` is Holm's over the
        whole table.
    """
    rows: list[tuple[str, str, str | None, float, float]] = []
    for node, names in parents.items():
        u = residuals[node]
        distance = scipy.stats.kstest(u.to_numpy(), "logistic")
        rows.append(("distribution", node, None, float(distance.statistic), float(distance.pvalue)))
        for parent in names:
            rows.append(("parent", node, parent, *_rank_correlation(u, columns[parent])))
    for one, two in combinations(parents, 2):
        rows.append(("pair", one, two, *_rank_correlation(residuals[one], residuals[two])))
    table = pd.DataFrame(rows, columns=["check", "node", "other", "statistic", "p"])
    return table.assign(p_adjusted=_holm(table["p"].to_numpy()))


def calibration_table(
    probabilities: pd.DataFrame, levels: np.ndarray, *, bins: int, confidence: float
) -> pd.DataFrame:
    """Predicted against observed frequencies of each level, in bins of equal size.

    Args:
        probabilities: Predicted probabilities, a column per level.
        levels: Observed level codes, shape ``(n,)``.
        bins: Bins per level, by the predicted probability's quantiles.
        confidence: Level of Wilson's intervals for the observed frequency.

    Returns:
        Columns level, bin, n, predicted (mean), observed, lower, upper.
    """
    rows = []
    for code, name in enumerate(probabilities.columns):
        predicted = probabilities[name].to_numpy()
        hit = levels == code
        order = np.argsort(predicted, kind="stable")
        for index, members in enumerate(np.array_split(order, min(bins, len(order)))):
            interval = scipy.stats.binomtest(int(hit[members].sum()), len(members)).proportion_ci(
                confidence, method="wilson"
            )
            rows.append(
                {
                    "level": name,
                    "bin": index,
                    "n": len(members),
                    "predicted": predicted[members].mean(),
                    "observed": hit[members].mean(),
                    "lower": interval.low,
                    "upper": interval.high,
                }
            )
    return pd.DataFrame(rows)


def _rank_correlation(first: pd.Series, second: pd.Series) -> tuple[float, float]:
    if first.nunique() < 2 or second.nunique() < 2:
        return np.nan, np.nan  # a constant depends on nothing
    result = scipy.stats.spearmanr(first.to_numpy(), second.to_numpy())
    return float(result.statistic), float(result.pvalue)


def _holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment of p values; missing ones stay missing and do not count."""
    adjusted = np.full_like(p, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known])]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
