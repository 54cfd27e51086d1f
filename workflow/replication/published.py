"""Published numbers beside ours: the number, our mean, spread over seeds or interval, the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from replication.questions import AVERAGED_ROWS, effect_label, select_rows
from replication.reference import PUBLISHED_TRUTH
from replication.trial_scores import difference_of_arms

__all__ = ["PUBLISHED_COLUMNS", "published_rows"]

PUBLISHED_COLUMNS = (
    *("name", "by", "model", "quantity", "published", "ours", "sd", "min", "max", "seeds"),
    *("lower", "upper", "difference", "truth"),
)


def published_rows(
    entries: Sequence[Mapping[str, Any]],
    *,
    effect: Mapping[str, Any],
    effects: pd.DataFrame,
    true: pd.DataFrame | None,
    compared: pd.DataFrame,
    cohort: pd.DataFrame | None,
) -> pd.DataFrame:
    """One row per published number.

    Args:
        entries: name, by, model, quantity and value of each, see the schema's ``published``.
        effect: Treatment, outcome and at_most that the numbers are about.
        effects: Table ``effects`` of the models.
        true: Table ``effects`` of the generator, None without one.
        compared: Tables of the cross-check with the column model; may have no rows.
        cohort: The training rows, None without a file.

    Returns:
        ``PUBLISHED_COLUMNS``: ours is the mean over seeds with sd and range, and for a single
        seed with the 95 percent interval (models solved exactly: delta method; the contrast of the
        cohort: Newcombe); difference is ours minus the published number; truth is the generator's
        value of the quantity for the rows that models average over.
    """
    label = effect_label(effect)
    rows = []
    for entry in entries:
        quantity = entry["quantity"]
        found = _OURS[entry["by"]](
            entry, effect=effect, effects=effects, true=true, compared=compared, cohort=cohort
        )
        values = found["value"].to_numpy(dtype=float)
        several = len(values) > 1
        mean = values.mean() if len(values) else np.nan
        single = found.iloc[0] if len(values) == 1 else pd.Series(dtype=float)
        rows.append(
            {
                "name": entry["name"],
                "by": entry["by"],
                "model": entry.get("model"),
                "quantity": quantity,
                "published": entry["value"],
                "ours": mean,
                "sd": values.std(ddof=1) if several else np.nan,
                "min": values.min() if several else np.nan,
                "max": values.max() if several else np.nan,
                "seeds": len(values) if entry["by"] == "model" else 0,
                "lower": single.get("lower", np.nan),
                "upper": single.get("upper", np.nan),
                "difference": mean - entry["value"],
                "truth": _truth(true, label, quantity),
            }
        )
    return pd.DataFrame(rows, columns=list(PUBLISHED_COLUMNS))


def _model(
    entry: Mapping[str, Any], *, effect: Mapping[str, Any], effects: pd.DataFrame, **_: Any
) -> pd.DataFrame:
    rows = select_rows(effects, effect=effect_label(effect), model=entry["model"])
    rows = select_rows(rows, quantity=entry["quantity"])
    return rows[rows["population"].isin(AVERAGED_ROWS)]


def _r(entry: Mapping[str, Any], *, compared: pd.DataFrame, **_: Any) -> pd.DataFrame:
    if compared.empty:
        return pd.DataFrame({"value": []})
    of_r = compared["reference"].isin(["R polr", "R polr (frozen)"])
    quantity = {"ATE": "ate"}.get(entry["quantity"], entry["quantity"])
    return select_rows(compared[of_r], model=entry["model"], quantity=quantity)[["value"]]


def _generator(
    entry: Mapping[str, Any],
    *,
    effect: Mapping[str, Any],
    true: pd.DataFrame | None,
    **_: Any,
) -> pd.DataFrame:
    if true is None:
        return pd.DataFrame({"value": []})
    rows = select_rows(true, effect=effect_label(effect), quantity=entry["quantity"])
    return select_rows(rows, population=PUBLISHED_TRUTH)[["value"]]


def _contrast(
    entry: Mapping[str, Any],
    *,
    effect: Mapping[str, Any],
    cohort: pd.DataFrame | None,
    **_: Any,
) -> pd.DataFrame:
    if cohort is None:
        return pd.DataFrame({"value": []})
    good = (cohort[effect["outcome"]] <= effect["at_most"]).astype(int)
    arms = pd.DataFrame({"arm": cohort[effect["treatment"]], "good": good})
    value, lower, upper = difference_of_arms(arms)
    return pd.DataFrame({"value": [value], "lower": [lower], "upper": [upper]})


_OURS: Mapping[str, Callable[..., pd.DataFrame]] = {
    "model": _model,
    "R": _r,
    "truth": _generator,
    "cohort": _contrast,
}


def _truth(true: pd.DataFrame | None, label: str, quantity: str) -> float:
    """The generator's value for the rows that are averaged over; of its law where it has none."""
    if true is None:
        return float("nan")
    rows = select_rows(true, effect=label, quantity=quantity)
    averaged = rows[rows["population"].isin(AVERAGED_ROWS)]
    law = rows[rows["population"] == PUBLISHED_TRUTH]
    chosen = averaged if len(averaged) else law
    return float(chosen["value"].iloc[0]) if len(chosen) else float("nan")
