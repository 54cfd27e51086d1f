r"""How often nominal intervals cover the truth over many fresh data sets.

The truth of a coefficient or cutpoint is the generator's. Where an edge of the generator is not
linear no linear model of that node is true; the truth of its coefficients is then the least false
value, to which maximum likelihood tends with more and more rows. It solves
:math:`E[(p(x) - \sigma(x^\top\beta))\,x] = 0` with the generator's probability p; a logistic
regression of p itself by statsmodels, on many draws of x, gives it without the outcome's noise.

An interval covers if the truth lies in it, ends included; a one-sided interval does so with its
infinite end. A coefficient without an interval (no row has the level, say) counts as not available:
coverage is the share among the available ones, and their number stands beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy
from statsmodels.discrete.discrete_model import Logit
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from replication.crosscheck_table import Spec, encode_parents
from replication.experiments import has_main_effects_only
from replication.reference import (
    least_false_rows,
    misspecified_nodes,
    true_coefficients,
    true_effect,
)
from replication.tables import with_truth

__all__ = [
    "KEYS",
    "LEAST_FALSE_ROWS",
    "add_truth",
    "least_false_coefficients",
    "summarise_coverage",
]

KEYS = ["node", "parameter", "parent", "level"]

LEAST_FALSE_ROWS = 200_000
"""Draws behind a least false value."""


def add_truth(
    intervals: pd.DataFrame,
    process: Mapping[str, Any],
    *,
    spec: Spec,
    effects: Sequence[Mapping[str, Any]],
    population: pd.DataFrame | None,
    large: int = LEAST_FALSE_ROWS,
) -> pd.DataFrame:
    """Intervals with the columns truth, truth_source and covered.

    Args:
        intervals: Output of ``replication.coverage.replicate_intervals``.
        process: Name and arguments of the generator.
        spec: Plain form of the specification.
        effects: Entries ``{"treatment", "outcome", "at_most"}``.
        population: The rows that effects are averaged over.
        large: Rows of the sample behind the least false values.
    """
    distinct = intervals[KEYS].drop_duplicates().astype({"level": float})
    parameters = distinct[distinct["parameter"] != "ATE"].assign(experiment="")
    known = with_truth(parameters, true_coefficients(process).assign(experiment=""))
    misspecified = misspecified_nodes(process)
    known = known[~known["node"].isin(misspecified) & known["truth"].notna()]
    parts = [known[[*KEYS, "truth"]].assign(truth_source="generator")]
    if misspecified:
        values = least_false_coefficients(process, spec, misspecified, n=large)
        parts.append(values.assign(truth_source="least false"))
    if effects:
        averages = [
            {
                "node": effect["outcome"],
                "parameter": "ATE",
                "parent": effect["treatment"],
                "level": float(effect["at_most"]),
                "truth": true_effect(process, effect, population),
                "truth_source": "generator",
            }
            for effect in effects
            if population is not None
        ]
        parts.append(pd.DataFrame(averages))
    truth = pd.concat([part for part in parts if len(part)], ignore_index=True)
    # a key that is missing (no parent, no level) must meet its like
    typed = intervals.astype({"level": float})
    table = typed.merge(truth, on=KEYS, how="left")
    inside = (table["lower"] <= table["truth"]) & (table["truth"] <= table["upper"])
    unknown = table["truth"].isna() | (table["interval"] == "none")
    return table.assign(covered=inside.astype("boolean").mask(unknown))


def least_false_coefficients(
    process: Mapping[str, Any], spec: Spec, nodes: Sequence[str], *, n: int
) -> pd.DataFrame:
    """Coefficients and cutpoint to which maximum likelihood tends in misspecified binary nodes.

    Nodes of other kinds, or with product terms, are left out: they have no truth here.

    Returns:
        The columns node, parameter, parent, level and truth.
    """
    binary = [node for node in nodes if spec[node].get("levels") == 2]
    if not binary or not has_main_effects_only(spec):
        return pd.DataFrame(columns=[*KEYS, "truth"])
    found: list[tuple[str, str, str | None, float, float]] = []
    for node in binary:
        rows, probability = least_false_rows(process, node, n=n)
        encoded = encode_parents(rows, spec, node)
        design = np.column_stack([np.ones(len(rows)), encoded.matrix])
        with warnings.catch_warnings():
            # the outcome is a probability, which a true model predicts without separating anything
            warnings.simplefilter("ignore", PerfectSeparationWarning)
            fit = Logit(probability, design).fit(method="newton", tol=1e-10, disp=False)
        constant, *weights = fit.params
        found += [
            (node, "shift", parent, np.nan if level is None else float(level), weight)
            for (parent, level), weight in zip(encoded.columns, weights, strict=True)
        ]
        found.append((node, "cutpoint", None, 0.0, -constant))
    return pd.DataFrame(found, columns=[*KEYS, "truth"])


def summarise_coverage(table: pd.DataFrame, *, level: float) -> pd.DataFrame:
    """One row per coefficient, cutpoint and effect.

    Args:
        table: Output of :func:`add_truth`.
        level: Nominal level.

    Returns:
        The columns of ``KEYS`` and truth, truth_source; replicates, available (with an interval),
        one_sided (among these); coverage, its deviation from the level, and lower and upper, the
        95 % Clopper-Pearson interval of the coverage; bias (mean of estimate minus truth) with
        bias_error (its standard error), sd (of the estimates) and mean_std_error, these over the
        Wald intervals.
    """
    rows = []
    for key, group in table.groupby(KEYS, sort=False, dropna=False):
        available = group[group["interval"] != "none"]
        wald = group[group["interval"] == "Wald"]
        judged = available["covered"].dropna()
        hits, n = int(judged.sum()), len(judged)
        coverage = hits / n if n else np.nan
        exact = scipy.stats.binomtest(hits, n).proportion_ci(method="exact") if n else None
        truth = group["truth"].iloc[0]
        sd = wald["estimate"].std()
        rows.append(
            {
                **dict(zip(KEYS, key, strict=True)),
                "truth": truth,
                "truth_source": group["truth_source"].iloc[0],
                "replicates": len(group),
                "available": len(available),
                "one_sided": int((available["interval"] == "profile").sum()),
                "coverage": coverage,
                "deviation": coverage - level,
                "lower": exact.low if exact else np.nan,
                "upper": exact.high if exact else np.nan,
                "bias": wald["estimate"].mean() - truth,
                "bias_error": sd / np.sqrt(len(wald)) if len(wald) else np.nan,
                "sd": sd,
                "mean_std_error": wald["std_error"].mean(),
            }
        )
    return pd.DataFrame(rows)
