"""Frequencies, differences of arms, and scores of predictions in a trial, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from replication.metrics import FloatArray, log_score, root_mean_square

__all__ = [
    "SCORE_COLUMNS",
    "difference_of_arms",
    "frequency",
    "spiegelhalter_z",
    "trial_scores",
]

SCORE_COLUMNS = ("metric", "value", "lower", "upper", "rows")


def frequency(happened: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Share of rows with an event and its 95 percent Wilson interval."""
    if not len(happened):
        return float("nan"), float("nan"), float("nan")
    test = stats.binomtest(int(happened.sum()), len(happened))
    interval = test.proportion_ci(0.95, method="wilson")
    return float(happened.mean()), float(interval.low), float(interval.high)


def difference_of_arms(patients: pd.DataFrame) -> tuple[float, float, float]:
    r"""Share of good outcomes, treated minus control, with Newcombe's 95 percent interval.

    With Wilson limits l, u of both shares p:
    :math:`\hat d - \sqrt{(p_1 - l_1)^2 + (u_0 - p_0)^2}` to
    :math:`\hat d + \sqrt{(u_1 - p_1)^2 + (p_0 - l_0)^2}`.

    Args:
        patients: Columns arm (0 or 1) and good (0 or 1).

    References:
        Newcombe (1998), Interval estimation for the difference between independent proportions,
        Statistics in Medicine 17, method 10.
    """
    p0, l0, u0 = frequency((patients.loc[patients["arm"] == 0, "good"] == 1).to_numpy())
    p1, l1, u1 = frequency((patients.loc[patients["arm"] == 1, "good"] == 1).to_numpy())
    difference = p1 - p0
    lower = difference - np.hypot(p1 - l1, u0 - p0)
    upper = difference + np.hypot(u1 - p1, p0 - l0)
    return float(difference), float(lower), float(upper)


def spiegelhalter_z(risk: FloatArray, happened: NDArray[np.bool_]) -> float:
    r"""Standard normal if the predicted probabilities are right.

    .. math:: z = \frac{\sum_i (y_i - p_i)(1 - 2 p_i)}{\sqrt{\sum_i (1 - 2 p_i)^2 p_i (1 - p_i)}}

    Args:
        risk: Predicted probabilities, shape ``(n,)``.
        happened: Whether the event happened, shape ``(n,)``.

    References:
        Spiegelhalter (1986), Probabilistic prediction in patient management and clinical trials,
        Statistics in Medicine 5.
    """
    tilt = 1 - 2 * risk
    variance = (tilt**2 * risk * (1 - risk)).sum()
    return float(((happened - risk) * tilt).sum() / np.sqrt(variance))


def trial_scores(
    pmf: FloatArray, trial: pd.DataFrame, effect: Mapping[str, Any], patients: pd.DataFrame
) -> pd.DataFrame:
    """One number for each idea of how well a model does in a trial.

    Args:
        pmf: Probabilities of each row's outcome given its arm and covariates, shape ``(n, K)``.
        trial: The rows.
        effect: Treatment, outcome and at_most.
        patients: See ``replication.validation.patient_rows``.

    Returns:
        Columns ``SCORE_COLUMNS``. Metrics: ``log score`` of the outcome (nats, 0 is best, 95
        percent interval of the mean); ``mean risk minus frequency`` (interval of the sampling of
        outcomes) and ``calibration z`` of P(outcome <= at_most), see :func:`spiegelhalter_z`;
        ``observed effect`` (difference of the arms) and ``estimated effect``; ``sd of effects``
        over patients; means of ``benefit`` and ``harm`` with their Frechet bounds as lower and
        upper; where a generator knows them ``correlation with true effects`` (missing if either
        does not vary), ``rmse of effects`` and ``sd of true effects``.
    """
    outcome = trial[effect["outcome"]].to_numpy()
    good = outcome <= effect["at_most"]
    risk = pmf[:, : effect["at_most"] + 1].sum(axis=1).clip(0, 1)
    logs = log_score(pmf, outcome)
    half = 1.96 * logs.std(ddof=1) / np.sqrt(len(logs))
    bias = float(risk.mean() - good.mean())
    width = 1.96 * float(np.sqrt((risk * (1 - risk)).sum())) / len(risk)
    none = float("nan")
    rows = [
        ("log score", logs.mean(), logs.mean() - half, logs.mean() + half),
        ("mean risk minus frequency", bias, bias - width, bias + width),
        ("calibration z", spiegelhalter_z(risk, good), none, none),
        ("observed effect", *difference_of_arms(patients)),
        ("estimated effect", patients["ite"].mean(), none, none),
        ("sd of effects", patients["ite"].std(), none, none),
    ]
    for name in ("benefit", "harm"):
        bounds = patients[f"{name}_lower"].mean(), patients[f"{name}_upper"].mean()
        rows.append((name, patients[name].mean(), *bounds))
    true = patients["true_ite"]
    if true.notna().all():
        gap = (patients["ite"] - true).to_numpy()
        rows.append(("correlation with true effects", _correlation(patients), none, none))
        rows.append(("rmse of effects", root_mean_square(gap), none, none))
        rows.append(("sd of true effects", true.std(), none, none))
    table = pd.DataFrame(rows, columns=list(SCORE_COLUMNS[:-1]))
    return table.assign(rows=len(trial))


def _correlation(patients: pd.DataFrame) -> float:
    if min(patients["ite"].std(), patients["true_ite"].std()) < 1e-12:
        return float("nan")
    return float(patients["ite"].corr(patients["true_ite"]))
