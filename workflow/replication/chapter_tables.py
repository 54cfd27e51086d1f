"""Tables of a cohort's chapter: published numbers, ladder, trial, other programs side by side."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from replication.layout import Layout

__all__ = ["CHAPTER_LAYOUTS", "side_by_side"]

PROGRAMS = ("R", "statsmodels", "scipy")

CHAPTER_LAYOUTS: Mapping[str, Layout] = {
    "published": Layout(
        title="Published numbers and ours",
        note="ours: by the model, by R, by the generator (truth), or the plain contrast of the "
        "training file's arms (cohort); mean, sd and range over seeds, or the 95 % interval of a "
        "single fit (delta method) or contrast (Newcombe). difference: ours minus published. "
        "truth: the generator's, for the very rows that models average over.",
        keys=("name", "by", "quantity", "published"),
        value="ours",
        others=dict.fromkeys(
            ("sd", "min", "max", "seeds", "lower", "upper", "difference", "truth"), "first"
        ),
        by_seed=False,
    ),
    "ladder": Layout(
        title="Ladder of specifications",
        note="ate: average effect in the trial's rows (else the cohort's), mean over seeds with sd "
        "and range, or with the 95 % interval of an exact model. nll: cross-validated negative "
        "log-likelihood of the outcome given its causes, nats per row, the same folds for all; "
        "nll_sd over seeds; nll_difference to the first rung with its 95 % interval (bootstrap of "
        "paired rows), below zero is better. parameters: of the outcome's node.",
        keys=("solver", "parameters", "seeds"),
        value="ate",
        others=dict.fromkeys(
            (
                *("sd", "min", "max", "lower", "upper", "truth"),
                *("nll", "nll_sd", "nll_difference", "difference_lower", "difference_upper"),
                "folds",
            ),
            "first",
        ),
        by_seed=False,
    ),
    "modification": Layout(
        title="Tests of the ladder: does the treatment's odds ratio vary?",
        note="Likelihood-ratio tests of the first rung against richer ones that contain it, and "
        "score tests of its terms: the effect bends (three more powers of the parent), or differs "
        "along the outcome (the test of proportional odds).",
        keys=("against", "test", "parent", "level"),
        value="statistic",
        others=dict.fromkeys(("df", "p", "note"), "first"),
        by_seed=False,
    ),
    "validation": Layout(
        title="External validation in the trial",
        note="Predictions of models that never saw the trial against its outcomes. log score of "
        "the outcome in nats (0 is best); mean risk minus frequency and calibration z (standard "
        "normal if right) of P(outcome <= at_most); the observed effect is the difference of the "
        "arms with Newcombe's 95 % interval; correlation and root mean square error against the "
        "generator's individual effects, where there is one. lower and upper are 95 % intervals "
        "of a single seed, for benefit and harm the mean Frechet bounds.",
        keys=("effect", "metric"),
        value="value",
        others={"lower": "only", "upper": "only", "rows": "first"},
    ),
    "programs": Layout(
        title="R, statsmodels, scipy and ours side by side",
        note="Per node: estimate and standard error (_se) by each program on the same rows, and "
        "the largest distance of an estimate from ours. 'R' is polr or glm, for a continuous node "
        "polr on groups of its values, which is an approximation and left out of the distance. "
        "The coefficients of its polynomial (theta) stand in the table of the cross-check.",
        keys=("node", "quantity", "parent", "level"),
        value="ours",
        others=dict.fromkeys(
            (
                "ours_se",
                *(f"{program}{part}" for program in PROGRAMS for part in ("", "_se")),
                "largest_distance",
            ),
            "first",
        ),
        by_seed=False,
    ),
}
"""Layouts by name of the table."""


def side_by_side(crosscheck: pd.DataFrame) -> pd.DataFrame:
    """One row per number of a node, a column per program.

    Args:
        crosscheck: The tidy cross-check; its first seed counts.

    Returns:
        The columns of the layout ``programs``.
    """
    layout = CHAPTER_LAYOUTS["programs"]
    if crosscheck.empty:
        return pd.DataFrame(columns=layout.columns)
    rows = crosscheck[
        crosscheck["seed"] == crosscheck.groupby("experiment")["seed"].transform("min")
    ]
    program = rows["reference"].str.split().str[0]
    rows = rows.assign(
        program=program.where(program.isin(PROGRAMS), "R"),
        approximate=rows["reference"].str.contains("semiparametric"),
    )
    places = ["experiment", "model", "node", "parent", "level"]
    errors = rows[rows["quantity"] == "std_error"]
    values = rows[~rows["quantity"].isin(["std_error", "theta"])]
    joined = values.merge(
        errors[[*places, "reference", "estimate", "value"]].rename(
            columns={"estimate": "ours_se", "value": "their_se"}
        ),
        on=[*places, "reference"],
        how="left",
    )
    # cutpoint or log-likelihood: a standard error belongs to a number with a place of its own
    placed = joined["parent"].notna() | joined["level"].notna()
    joined.loc[~placed, ["ours_se", "their_se"]] = float("nan")
    table = []
    keys = ["experiment", "model", "node", "quantity", "parent", "level"]
    for key, group in joined.groupby(keys, sort=False, dropna=False):
        row = dict(zip(keys, key, strict=True)) | {
            "ours": group["estimate"].iloc[0],
            "ours_se": group["ours_se"].iloc[0],
            "largest_distance": group.loc[~group["approximate"], "difference"].abs().max(),
        }
        for own in group.to_dict("records"):
            row[own["program"]], row[f"{own['program']}_se"] = own["value"], own["their_se"]
        table.append(row)
    found = pd.DataFrame(table)
    # the programs take the nodes in their own order: bring the rows of a node together
    place = found.groupby(["experiment", "model", "node"], sort=False).ngroup()
    return found.iloc[place.argsort(kind="stable")].reindex(columns=layout.columns)
