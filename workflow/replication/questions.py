"""What is asked of fitted models and of generators alike, and how the answers are laid out.

Both sides write tidy tables with the same columns, so that a comparison is a join.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from replication.metrics import Estimate, histogram, summarise

__all__ = [
    "AVERAGED_ROWS",
    "COHORT_ROWS",
    "COLUMNS",
    "OBSERVATIONAL",
    "TRIAL_ROWS",
    "by_seed",
    "conditional_label",
    "curve_label",
    "effect_label",
    "effect_rows",
    "estimate_row",
    "event_label",
    "grid",
    "joint_rows",
    "odds_ratio_label",
    "query_label",
    "rows_of_seed",
    "sample_tables",
    "select_rows",
    "table",
]

COLUMNS: dict[str, tuple[str, ...]] = {
    "interventions": ("query", "node", "statistic", "value", "mc_error"),
    "densities": ("query", "node", "left", "right", "density"),
    "shifts": ("node", "parent", "value", "shift"),
    "effects": ("effect", "population", "quantity", "value", "mc_error"),
    "conditionals": ("node", "given", "value", "log_odds"),
    "curves": ("curve", "node", "intervene", "set_to", "value"),
    "draws": ("row", "node", "value"),
}
"""Columns of each table of answers; estimates carry experiment, model and seed before them."""

OBSERVATIONAL: dict[str, float] = {}
"""The intervention that sets nothing."""

TRIAL_ROWS = "trial rows"
"""Population of an average effect: the rows of the trial's file."""

COHORT_ROWS = "cohort rows"
"""Population of an average effect of an experiment without a trial: the training rows."""

AVERAGED_ROWS = (TRIAL_ROWS, COHORT_ROWS)
"""The populations of which every model gives an average effect."""


def table(name: str, frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Answers put together; an empty table keeps its header."""
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame(columns=list(COLUMNS[name]))
    return pd.concat(filled, ignore_index=True)


def query_label(do: Mapping[str, float]) -> str:
    """``"observational"`` for no intervention, else ``"do(x1=-1)"``."""
    if not do:
        return "observational"
    return "do(" + ", ".join(f"{node}={value:g}" for node, value in do.items()) + ")"


def effect_label(effect: Mapping[str, Any]) -> str:
    """``"T on mRS_3m <= 2"``, from which no part can be read back: names may hold `` on ``."""
    return f"{effect['treatment']} on {event_label(effect)}"


def event_label(effect: Mapping[str, Any]) -> str:
    """The event whose probability is averaged, ``"mRS_3m <= 2"``."""
    return f"{effect['outcome']} <= {effect['at_most']}"


def odds_ratio_label(question: Mapping[str, Any]) -> str:
    """``"x1 + 1 on x2 <= -1"``."""
    return (
        f"{question['parent']} + {question['step']:g} on "
        f"{question['node']} <= {question['threshold']:g}"
    )


def curve_label(curve: Mapping[str, Any]) -> str:
    """``"x3 had x2 been"``."""
    return f"{curve['node']} had {curve['intervene']} been"


def conditional_label(conditional: Mapping[str, Any]) -> str:
    """``"x1 = 0.5, x2 = -0.1"``, or ``"no parents"``."""
    given = conditional["given"]
    return ", ".join(f"{name} = {value:g}" for name, value in given.items()) or "no parents"


def grid(curve: Mapping[str, Any]) -> NDArray[np.float64]:
    """Values from start to stop, both included, rounded to four decimals."""
    count = round((curve["stop"] - curve["start"]) / curve["step"]) + 1
    return np.linspace(curve["start"], curve["stop"], count).round(4)


def select_rows(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows with these values in these columns."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def rows_of_seed(rows: pd.DataFrame, seed: int, *, by_seed: bool) -> pd.DataFrame:
    """The rows that a seed trains on: its own by the column ``seed``, or all of them.

    Args:
        rows: Training rows of one or several seeds.
        seed: The seed.
        by_seed: Whether the column ``seed`` of ``rows`` tells the rows of each seed apart.
    """
    if not by_seed:
        return rows
    return rows[rows["seed"] == seed].drop(columns="seed").reset_index(drop=True)


def by_seed(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each seed of each model, with the name of the model."""
    for _, rows in table.groupby(["model", "seed"], sort=False):
        yield str(rows["model"].iloc[0]), rows


def sample_tables(
    sample: pd.DataFrame, *, do: Mapping[str, float], levels: Mapping[str, int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Summaries and histograms of every node that an intervention leaves free.

    Args:
        sample: Rows under the intervention.
        do: The intervention.
        levels: Number of levels of each ordinal node.

    Returns:
        The rows of the tables ``interventions`` and ``densities``.
    """
    summaries, densities = [], []
    for node in sample.columns.drop(list(do)):
        values = sample[node].to_numpy(dtype=np.float64)
        key = {"query": query_label(do), "node": node}
        summaries.append(summarise(values, levels=levels.get(node)).assign(**key))
        densities.append(histogram(values, levels=levels.get(node)).assign(**key))
    return (
        table("interventions", summaries)[list(COLUMNS["interventions"])],
        table("densities", densities)[list(COLUMNS["densities"])],
    )


def joint_rows(sample: pd.DataFrame, n: int) -> pd.DataFrame:
    """The first n rows of a sample in the columns of the table ``draws``, which keep its rows."""
    rows = sample.head(n).reset_index(drop=True).rename_axis("row").reset_index()
    return rows.melt(id_vars="row", var_name="node")


def effect_rows(
    risks: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    effect: str,
    population: str,
) -> pd.DataFrame:
    """Rows P0, P1 and ATE of the table ``effects`` from the risks of each unit in both arms.

    There is a Monte Carlo error only where the units are draws that stand for a law, not where
    the average over these very units is meant.
    """
    control, treated = risks
    means = {"P0": control, "P1": treated, "ATE": treated - control}
    drawn = population not in AVERAGED_ROWS
    rows = [
        (
            effect,
            population,
            quantity,
            values.mean(),
            values.std(ddof=1) / np.sqrt(len(values)) if drawn else np.nan,
        )
        for quantity, values in means.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS["effects"]))


def estimate_row(
    estimate: Estimate, *, effect: str, population: str, quantity: str
) -> pd.DataFrame:
    """One row of the table ``effects``."""
    row = (effect, population, quantity, estimate.value, estimate.error)
    return pd.DataFrame([row], columns=list(COLUMNS["effects"]))
