"""Verdicts on published claims: they follow from the numbers of a run alone.

A claim names a cell of a tidy table. Its value, one per seed, is compared with the target:

* ``holds``: within the tolerance, whose reason stands beside it;
* ``holds within error``: not within the tolerance, but the target lies in the 95 % interval of the
  estimate, and the target is not a number for the very same data;
* ``does not hold``: neither;
* ``not testable here``: this run has no such number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from replication.claims import Claim

__all__ = ["VERDICTS", "Finding", "judge", "scorecard"]

VERDICTS = ("holds", "holds within error", "does not hold", "not testable here")

COLUMNS = (
    "id",
    "experiment",
    "claim",
    "source",
    "target",
    "tolerance",
    "why",
    "estimate",
    "spread",
    "low",
    "high",
    "n",
    "seeds",
    "reference",
    "verdict",
    "note",
    "run",
)
"""Columns of the scorecard."""

_STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda values: float(np.mean(values)),
    "max": lambda values: float(np.max(values)),
    "rms": lambda values: float(np.sqrt(np.mean(np.square(values)))),
    "sd": lambda values: float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
    "range": lambda values: float(np.ptp(values)),
}

_BY_SEED = ("mean", "sd", "range")
"""Statistics of one number per seed; the others are about every row."""

_LEVEL = 0.95

_REPEATS = {"coverage": "replicates", "monte_carlo": "cohorts", "ladder": "seeds"}
"""The column that counts seeds or data sets, by table whose rows summarise them."""


@dataclass(frozen=True)
class Finding:
    """What a run says about a claim.

    Attributes:
        estimate: The number, NaN if the run has none.
        spread: Standard deviation over seeds, NaN for one seed.
        low: Lower end of the 95 % interval, NaN without one.
        high: Upper end of the interval.
        seeds: Number of seeds, or of data sets of a study, behind the estimate.
        reference: The other program that the claim is about, "" without one; its name ends in
            "(frozen)" where committed results stand in for it.
        verdict: One of :data:`VERDICTS`.
    """

    estimate: float
    spread: float
    low: float
    high: float
    seeds: int
    reference: str
    verdict: str


def judge(claim: Claim, tables: Mapping[str, pd.DataFrame]) -> Finding:
    """The verdict on a claim from tidy tables with a row per seed."""
    rows = _rows(claim, tables)
    seeds = int(rows["repeats"].max()) if rows["repeats"].any() else rows["seed"].nunique()
    reference = ", ".join(sorted(rows["reference"].dropna().unique()))
    # a summary over seeds, or over the nodes of a table without seeds
    by_seed = rows["value"] if rows["seed"].isna().any() else rows.groupby("seed")["value"].mean()
    values = (by_seed if claim.statistic in _BY_SEED else rows["value"]).to_numpy(dtype=np.float64)
    estimate = _STATISTICS[claim.statistic](values) if len(values) else math.nan
    if math.isnan(estimate):
        nothing = math.nan
        return Finding(nothing, nothing, nothing, nothing, seeds, reference, "not testable here")
    drawn = by_seed.to_numpy(dtype=np.float64) if rows["seed"].notna().all() else np.empty(0)
    spread = _STATISTICS["sd"](drawn)
    low, high = _row_interval(claim, rows) if claim.own_interval else _interval(claim, drawn)
    excess = estimate - claim.target
    if claim.relation == "equals":
        holds, inside = abs(excess) <= claim.tolerance, low <= claim.target <= high
    else:
        holds, inside = excess <= claim.tolerance, low <= claim.target
    excused = inside and not claim.same_data
    verdict = "holds" if holds else "holds within error" if excused else "does not hold"
    return Finding(estimate, spread, low, high, seeds, reference, verdict)


def scorecard(claims: list[Claim], tables: Mapping[str, pd.DataFrame], *, run: str) -> pd.DataFrame:
    """One row per claim: the claim, the target, what was found, and the verdict.

    Args:
        claims: The claims.
        tables: Tidy tables by name.
        run: Name of the run, which goes with every row.
    """
    rows = []
    for claim in claims:
        found = judge(claim, tables)
        rows.append(
            {
                "id": claim.id,
                "experiment": ", ".join(claim.experiments),
                "claim": claim.claim,
                "source": claim.source,
                "target": ("at most " if claim.relation == "at most" else "")
                + f"{claim.target:.6g}",
                "tolerance": claim.tolerance,
                "why": claim.reason,
                "estimate": found.estimate,
                "spread": found.spread,
                "low": found.low,
                "high": found.high,
                "n": _training_rows(claim, tables),
                "seeds": found.seeds,
                "reference": found.reference,
                "verdict": found.verdict,
                "note": claim.note,
                "run": run,
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(claim: Claim, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows that a claim is about: value, seed, reference, repeats, and low and high."""
    rows = _selected(claim, tables[claim.table], claim.where)
    if not claim.against:
        return rows
    # both models of a seed saw the same rows: what differs is the difference seed by seed
    other = _selected(claim, tables[claim.table], {**claim.where, **claim.against})
    ours, theirs = (part.groupby("seed")["value"].mean() for part in (rows, other))
    difference = (ours - theirs).dropna()
    return difference.reset_index().assign(reference=np.nan, repeats=np.nan)


def _selected(claim: Claim, table: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    for column in [*where, claim.column, *(claim.ends or ()), *filter(None, [claim.error])]:
        if column not in table:
            raise ValueError(
                f"claim {claim.id!r}: the table {claim.table!r} has no column {column!r}; columns "
                f"are {', '.join(table.columns)}."
            )
    chosen = pd.Series(True, index=table.index)
    for column, wanted in where.items():
        alternatives = wanted if isinstance(wanted, list) else [wanted]
        chosen &= table[column].isin([x for x in alternatives if x is not None]) | (
            table[column].isna() & (None in alternatives)
        )
    rows = table[chosen & table[claim.column].notna()]
    numbers = pd.DataFrame({"value": rows[claim.column].astype(float)})
    if claim.ends:
        numbers["low"], numbers["high"] = (rows[end].astype(float) for end in claim.ends)
    elif claim.error:
        half = scipy.special.ndtri((1 + _LEVEL) / 2) * rows[claim.error].astype(float)
        numbers["low"], numbers["high"] = numbers["value"] - half, numbers["value"] + half
    if claim.transform != "none":
        numbers = numbers.map(math.exp if claim.transform == "exp" else abs)
    # a table about the truth has no seeds, one about the library's own numbers no reference
    repeats = rows[_REPEATS[claim.table]] if claim.table in _REPEATS else np.nan
    return rows.reindex(columns=["seed", "reference"]).assign(repeats=repeats).join(numbers)


def _row_interval(claim: Claim, rows: pd.DataFrame) -> tuple[float, float]:
    """The interval that the row itself carries."""
    if len(rows) != 1:
        raise ValueError(
            f"claim {claim.id!r}: {len(rows)} rows are chosen, and the interval of a row belongs "
            "to one; choose one row with where, or leave out error and ends."
        )
    return float(rows["low"].iloc[0]), float(rows["high"].iloc[0])


def _interval(claim: Claim, drawn: np.ndarray) -> tuple[float, float]:
    r"""Where the number of another seed, or the expected number, lies: Student's t law.

    With k seeds, :math:`\bar x \pm t_{k-1} s \sqrt{1 + 1/k}` and :math:`\bar x \pm t_{k-1} s /
    \sqrt k`.
    """
    k = len(drawn)
    if claim.statistic != "mean" or k < 2:
        return math.nan, math.nan
    factor = math.sqrt(1 / k if claim.interval == "mean" else 1 + 1 / k)
    half = float(scipy.special.stdtrit(k - 1, (1 + _LEVEL) / 2) * np.std(drawn, ddof=1) * factor)
    middle = float(np.mean(drawn))
    return middle - half, middle + half


def _training_rows(claim: Claim, tables: Mapping[str, pd.DataFrame]) -> float:
    """Training rows of the models that a claim is about, NaN for a claim about no model."""
    if claim.table == "truth":
        return math.nan
    # the data sets of a study have a size of their own
    table = tables[claim.table]
    fits = table if "n" in table else tables["fits"]
    rows = fits[fits["experiment"].isin(claim.experiments)]
    if claim.models:
        rows = rows[rows["model"].isin(claim.models)]
    return float(rows["n"].max()) if len(rows) else math.nan
