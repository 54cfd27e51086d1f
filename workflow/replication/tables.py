"""Tables over all experiments: tidy with a row per seed for programs, summarised for readers."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import pandas as pd

from replication.chapter_tables import CHAPTER_LAYOUTS
from replication.layout import Layout
from replication.questions import COLUMNS

__all__ = [
    "COHORT_COLUMNS",
    "LAYOUTS",
    "TRUTH_COLUMNS",
    "Layout",
    "markdown_table",
    "over_seeds",
    "to_html",
    "to_markdown",
    "with_truth",
]


TRUTH_COLUMNS = ("experiment", *COLUMNS["effects"])
"""Columns of the tidy table of the generators' average effects."""

COHORT_COLUMNS = (
    *("experiment", "variant", "model", "seed", "effect", "estimate", "std_error"),
    *("lower", "upper", "note", "truth", "error", "covered", "n"),
)
"""Columns of the tidy table of Monte Carlo studies, a row per cohort; seed numbers the cohorts."""

LAYOUTS: dict[str, Layout] = {
    "fits": Layout(
        title="Fits",
        note="Mean negative log-likelihood on the rows that a node was trained on, nats per row; "
        "kkt_residual certifies the optimum of exact solutions, whose epochs are Newton steps.",
        keys=("node", "solver"),
        value="nll",
        others={
            "validation_nll": "mean",
            "n": "first",
            "epochs": "mean",
            "seconds": "mean",
            "converged": "all",
            "kkt_residual": "max",
        },
    ),
    "coefficients": Layout(
        title="Linear coefficients and cutpoints",
        note="Log odds per raw unit of the parent, ordinal parents against level 0; signs of the "
        "flow. The truth is shown where the generator's edge is linear. separated counts the seeds "
        "in whose rows the levels are separated: their estimate is infinite and left out of mean, "
        "sd, min and max. std_error is the mean over seeds; lower and upper are the 95 % Wald "
        "interval of a single seed. status says which of them are missing or conditional, and why.",
        keys=("node", "parameter", "parent", "level"),
        value="estimate",
        others={
            "truth": "first",
            "std_error": "mean",
            "lower": "only",
            "upper": "only",
            "status": "texts",
        },
    ),
    "effects": Layout(
        title="Average effects",
        note="Risks under both arms, their difference, and odds ratios, by population. std_error "
        "(mean over seeds) and the 95 % interval from lower to upper (of a single seed) are by the "
        "delta method, for these very rows; note says why there are none.",
        keys=("effect", "population", "quantity"),
        value="value",
        others={"std_error": "mean", "lower": "only", "upper": "only", "note": "texts"},
    ),
    "odds_ratios": Layout(
        title="Odds ratios of raising a parent by one step",
        note="The conditional ratio exp(weight), of an ordinal node exp(-weight), holds for every "
        "row; the ratio of the odds in the whole population differs from it, because odds ratios "
        "are not collapsible. lower and upper are the 95 % Wald interval (mean over seeds); "
        "mc_error is that of the model's samples, truth_error that of the generator's.",
        keys=("odds_ratio", "scale"),
        value="value",
        others={
            "lower": "mean",
            "upper": "mean",
            "mc_error": "mean",
            "truth": "first",
            "truth_error": "first",
        },
    ),
    "l1": Layout(
        title="L1: distance of the observational law",
        note="kl: Kullback-Leibler divergence of the model from the truth, nats; wasserstein: in "
        "units of the node, floor is that of two samples of the truth; nll: nats per row; mode "
        "over dip: density at the lower mode of the truth over that at the dip between its modes, "
        "above 1 only for a law with a dip there, floor is the truth's. A node whose law has "
        "atoms, such as an age clipped to a range, has no density and no kl, and neither has the "
        "joint law with it.",
        keys=("metric", "node"),
        value="value",
        others={"mc_error": "mean", "floor": "first"},
    ),
    "l2": Layout(
        title="L1 and L2: errors of observational and interventional summaries",
        note="Estimate minus truth, in the unit of the statistic; mc_error is the Monte Carlo "
        "error of that difference. Rows with the query observational belong to level 1.",
        keys=("query", "node", "statistic"),
        value="error",
        others={"estimate": "mean", "truth": "first", "mc_error": "mean"},
    ),
    "l3": Layout(
        title="L3: errors of individual counterfactuals",
        note="Absolute errors in units of the node; log score in nats (0 is best), Brier score "
        "between 0 (best) and 2, with the score of the true probabilities as truth. reconstruction "
        "error: the largest distance between held-out rows and what abduction and sampling without "
        "intervention give back.",
        keys=("query", "node", "metric"),
        value="value",
        others={"truth": "first", "mc_error": "mean", "rows": "first"},
    ),
    "forecasts": Layout(
        title="L3: forecasts of ordinal counterfactuals",
        note="Scores against the generator's counterfactual level, over the rows that the "
        "intervention changes: log score in nats (0 is best), Brier and ranked probability score "
        "(0 is best), accuracy of the most probable level, calibration error of P(level <= k). The "
        "true counterfactual pmf scores best on average; the marginal pmf knows nothing of a row. "
        "total variation: distance from the true law, 0 to 1, where the generator knows it.",
        keys=("query", "node", "forecast", "metric"),
        value="value",
        others={"mc_error": "mean", "rows": "first"},
    ),
    "crosscheck": Layout(
        title="Cross-check with R and statsmodels",
        note="The same nodes fitted by other programs on the same rows. mean, sd, min and max are "
        "those of the difference, ours minus theirs, over seeds; ours, theirs and the rest are of "
        "the first seed. 'frozen' marks results that were committed because R is not installed "
        "here. A standard error has the parent and level of its coefficient, cutpoint or theta, "
        "and a limit of its relative difference.",
        keys=("node", "reference", "quantity", "parent", "level"),
        value="difference",
        others={
            "estimate": "first",
            "value": "first",
            "relative_difference": "first",
            "limit": "first",
            "holds": "first",
            "note": "first",
        },
        labels={
            **{part: f"{part} difference" for part in ("mean", "sd", "min", "max")},
            "estimate": "ours",
            "value": "theirs",
        },
    ),
    "coverage": Layout(
        title="Coverage of nominal intervals",
        note="Share of the replicates with an interval (available) in which it covers the truth, "
        "with a 95 % binomial interval (lower, upper). one_sided intervals are by profile "
        "likelihood, where the data separate levels. Where an edge of the generator is not "
        "linear, the truth is the least false coefficient. bias, sd and mean_std_error are over "
        "Wald intervals.",
        keys=("node", "parameter", "parent", "level"),
        value="coverage",
        others=dict.fromkeys(
            (
                "lower",
                "upper",
                "deviation",
                "truth",
                "truth_source",
                "n",
                "replicates",
                "available",
                "one_sided",
                "bias",
                "bias_error",
                "sd",
                "mean_std_error",
            ),
            "first",
        ),
        by_seed=False,
    ),
    "monte_carlo": Layout(
        title="Average effects over fresh cohorts",
        note="Every model is fitted to the same cohorts of n rows; each *_error is the Monte Carlo "
        "error of the number before it. coverage is that of 95 % delta-method intervals. farther "
        "is the share of cohorts in which the first model of the study is nearer to the truth, "
        "rmse_difference the rmse minus that of the first model, both paired by cohort. note "
        "counts the cohorts without an estimate or an interval.",
        keys=("variant", "effect"),
        value="bias",
        others=dict.fromkeys(
            (
                "bias_error",
                "sd",
                "sd_error",
                "rmse",
                "rmse_error",
                "coverage",
                "coverage_error",
                "mean_std_error",
                "truth",
                "mean",
                "farther",
                "farther_error",
                "rmse_difference",
                "rmse_difference_error",
                "n",
                "cohorts",
                "estimates",
                "intervals",
                "note",
            ),
            "first",
        ),
        by_seed=False,
    ),
    **CHAPTER_LAYOUTS,
}
"""The tables that the pipeline makes, by name."""


def over_seeds(table: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """One row per group of seeds with mean, sd, min and max of the value and their number.

    The sd is missing for a single seed; a table without rows has a summary without rows. Values
    whose status is ``separated`` are infinite and are counted instead.
    """
    if not layout.by_seed:
        return table[layout.columns]
    if table.empty:
        return pd.DataFrame(columns=["experiment", "model", *layout.keys, "mean", "seeds"])
    keys = [key for key in ("experiment", "model", *layout.keys) if key in table]
    counted = "status" in table
    if counted:
        finite = table[layout.value].where(table["status"] != "separated")
        table = table.assign(**{layout.value: finite})
    grouped = table.groupby(keys, sort=False, dropna=False)
    parts = {
        "mean": grouped[layout.value].mean(),
        "sd": grouped[layout.value].std(),
        "min": grouped[layout.value].min(),
        "max": grouped[layout.value].max(),
        "seeds": grouped["seed"].nunique(),
    }
    if counted:
        parts["separated"] = grouped["status"].agg(
            lambda status: int((status == "separated").sum())
        )
    for column, how in layout.others.items():
        if column in table:
            parts[column] = grouped[column].agg(_AGGREGATES.get(how, how))
    return pd.DataFrame(parts).reset_index().rename(columns=layout.labels)


def _only(values: pd.Series) -> Any:
    return values.iloc[0] if len(values) == 1 else float("nan")


def _texts(values: pd.Series) -> str:
    return "; ".join(dict.fromkeys(str(value) for value in values.dropna() if value != ""))


_AGGREGATES: Mapping[str, Any] = {"only": _only, "texts": _texts}


def with_truth(coefficients: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Coefficients and cutpoints with the column truth, missing where there is none.

    A linear effect of an ordinal parent is known per level: level k has k times the weight.

    Args:
        coefficients: Tidy coefficients with experiment, node, parameter, parent and level.
        truth: The generators' ``true_coefficients`` with the column experiment.
    """
    shifts = truth[truth["parameter"] == "shift"].drop(columns="level")
    cutpoints = truth[truth["parameter"] == "cutpoint"].drop(columns="parent")
    parts = []
    for parameter, known, key in (
        ("shift", shifts, "parent"),
        ("cutpoint", cutpoints.astype({"level": float}), "level"),
    ):
        own = coefficients[coefficients["parameter"] == parameter].astype({"level": float})
        parts.append(own.merge(known, on=["experiment", "node", "parameter", key], how="left"))
    filled = [part for part in parts if len(part)]
    table = pd.concat(filled or parts, ignore_index=True)
    steps = table["level"].where(table["parameter"] == "shift").fillna(1.0)
    return table.assign(truth=table["truth"] * steps)


_NOTHING = "No experiment of this run has anything to show here."


def to_markdown(table: pd.DataFrame, *, title: str, note: str, banner: str = "") -> str:
    """A headline, a note and the table in Markdown; numbers with four significant digits."""
    head = [f"# {title}", *([f"**{banner}**"] if banner else []), note]
    rows = _NOTHING if table.empty else markdown_table(formatted(table))
    return "\n\n".join([*head, rows]) + "\n"


def to_html(table: pd.DataFrame, *, title: str, note: str, banner: str = "") -> str:
    """A page of its own with the same content, for the report."""
    rows = f"<p>{_NOTHING}</p>"
    if not table.empty:
        rows = formatted(table).to_html(index=False, border=0, escape=True)
    warning = f"<p><strong>{html.escape(banner)}</strong></p>" if banner else ""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{html.escape(title)}</title><style>{_CSS}</style></head><body>"
        f"<h1>{html.escape(title)}</h1>{warning}<p>{html.escape(note)}</p>{rows}</body></html>\n"
    )


def markdown_table(table: pd.DataFrame) -> str:
    """A table of text in Markdown; a bar inside a cell is escaped."""
    cells = table.map(lambda cell: str(cell).replace("|", "\\|"))
    text: str = cells.to_markdown(index=False, disable_numparse=True)
    return text


def formatted(table: pd.DataFrame, *, digits: int = 4) -> pd.DataFrame:
    """Every cell as text: floats with significant digits, missing values empty."""
    return table.map(lambda cell: _text(cell, digits))


def _text(cell: Any, digits: int) -> str:
    if pd.isna(cell):
        return ""
    if isinstance(cell, float):
        return f"{cell:.{digits}g}"
    return str(cell)


_CSS = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222; }
table { border-collapse: collapse; }
th, td { padding: 3px 10px; text-align: left; vertical-align: top; white-space: nowrap; }
td { border-top: 1px solid #ddd; font-variant-numeric: tabular-nums; }
td.wide { white-space: normal; min-width: 18em; }
tr:hover td { background: #f4f4f4; }
"""
