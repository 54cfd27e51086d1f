"""What one unit of a parent does to the odds of a node: the check of the paper's appendix C.4.

Two ratios go by that name and differ, because odds ratios are not collapsible: the conditional one,
exp(weight), or exp(-weight) of an ordinal node, which holds for every row, and that of the odds in
the whole population before and after the parent is raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from replication.questions import odds_ratio_label, select_rows

__all__ = ["CONDITIONAL", "POPULATION", "odds_ratio_table"]

CONDITIONAL, POPULATION = "every row: exp(weight)", "population: odds after / odds before"

_KEYS = ["experiment", "model", "seed"]


def odds_ratio_table(
    coefficients: pd.DataFrame,
    effects: pd.DataFrame,
    truth: pd.DataFrame | None,
    *,
    questions: Mapping[str, Sequence[Mapping[str, Any]]],
) -> pd.DataFrame:
    """Both odds ratios of every model beside those of the generator.

    Args:
        coefficients: Tidy table ``coefficients``, with the column truth where one is known.
        effects: Tidy table ``effects``.
        truth: The generators' average effects, None without one.
        questions: The odds ratios that each experiment asks for.

    Returns:
        Columns experiment, model, seed, odds_ratio, scale, value, lower, upper (95 percent Wald
        interval of exp(weight)), mc_error, truth and truth_error (Monte Carlo error of the
        generator's own draw).
    """
    parts = []
    for experiment, asked in questions.items():
        for question in asked:
            label = odds_ratio_label(question)
            conditional = _conditional(select_rows(coefficients, experiment=experiment), question)
            known = effects.head(0) if truth is None else truth
            known = select_rows(known, experiment=experiment, effect=label, quantity="odds ratio")
            population = select_rows(
                effects, experiment=experiment, effect=label, quantity="odds ratio"
            )[[*_KEYS, "value", "mc_error"]].assign(
                scale=POPULATION,
                truth=known["value"].iloc[0] if len(known) else np.nan,
                truth_error=known["mc_error"].iloc[0] if len(known) else np.nan,
            )
            parts += [part.assign(odds_ratio=label) for part in (conditional, population)]
    columns = ["value", "lower", "upper", "mc_error", "truth", "truth_error"]
    table = pd.concat([part for part in parts if len(part)]) if any(map(len, parts)) else None
    wanted = [*_KEYS, "odds_ratio", "scale", *columns]
    return pd.DataFrame(columns=wanted) if table is None else table.reindex(columns=wanted)


def _conditional(coefficients: pd.DataFrame, question: Mapping[str, Any]) -> pd.DataFrame:
    """exp(weight times step) with its interval, of models with a linear shift on that edge.

    The weight of an ordinal node is the log odds of a level above k, minus that of at most k.
    """
    own = select_rows(coefficients, node=question["node"])
    rows = select_rows(own, parameter="shift", parent=question["parent"])
    ordinal = bool((own["parameter"] == "cutpoint").any())
    step = -question["step"] if ordinal else question["step"]
    # a negative factor turns the ends of an interval round
    ends = ("lower", "upper") if step > 0 else ("upper", "lower")
    rows = rows.reindex(columns=list(dict.fromkeys([*rows, "truth"])))
    table = rows[_KEYS].assign(scale=CONDITIONAL)
    for column, source in (
        ("value", "estimate"),
        ("lower", ends[0]),
        ("upper", ends[1]),
        ("truth", "truth"),
    ):
        table[column] = np.exp(step * rows[source].astype(float))
    return table
