"""Published claims against what this run found: a verdict follows from numbers alone.

A claim names a cell of a tidy table. Its value, one per seed, is compared with the target:

* ``holds``: within the tolerance, whose reason stands beside it;
* ``holds within error``: not within the tolerance, but the target lies in the interval that the
  spread over seeds (or the standard error) leaves open;
* ``does not hold``: neither;
* ``not testable here``: this run has no such number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from replication.config import complete_config, load_schema

__all__ = ["VERDICTS", "Claim", "Finding", "claims_about", "judge", "load_claims", "scorecard"]

CLAIMS_SCHEMA = Path(__file__).parents[1] / "schemas" / "claims.schema.yaml"

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


_STUDIES = ("cohorts", "coverage", "monte_carlo")
"""Tables of studies on fresh data sets."""


@dataclass(frozen=True)
class Claim:
    """One claim; see the schema of claims.yaml for the meaning of each field."""

    id: str
    claim: str
    source: str
    target: float
    tolerance: float
    reason: str
    relation: str
    table: str
    where: Mapping[str, Any]
    column: str
    statistic: str
    transform: str
    interval: str
    note: str
    against: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str | None, str | None]:
        """Experiment and model that the claim is about."""
        return self.where.get("experiment"), self.where.get("model")

    @property
    def experiments(self) -> list[str]:
        """Names of the experiments that the claim is about; none for one about the whole run."""
        named = self.where.get("experiment")
        return [] if named is None else [named] if isinstance(named, str) else list(named)


@dataclass(frozen=True)
class Finding:
    """What a run says about a claim.

    Attributes:
        estimate: The number, NaN if the run has none.
        spread: Standard deviation over seeds, NaN for one seed.
        low: Lower end of the interval, NaN without one.
        high: Upper end of the interval.
        seeds: Number of seeds behind the estimate.
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


def load_claims(path: str | Path) -> list[Claim]:
    """Claims from a YAML file, checked against their closed schema.

    Raises:
        ConfigError: A key or a value is not allowed.
        ValueError: Two claims share an id.
    """
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    complete = complete_config(content, schema=load_schema(CLAIMS_SCHEMA))
    claims = [
        Claim(**{k: v for k, v in entry.items() if k != "estimate"}, **entry["estimate"])
        for entry in complete["claims"]
    ]
    ids = [claim.id for claim in claims]
    repeated = sorted({name for name in ids if ids.count(name) > 1})
    if repeated:
        raise ValueError(f"{path}: the id {repeated[0]!r} is used by two claims.")
    return claims


def claims_about(claims: Sequence[Claim], experiments: Collection[str]) -> list[Claim]:
    """The claims about these experiments; a claim that names several needs one of them."""
    return [
        claim
        for claim in claims
        if not claim.experiments or not set(claim.experiments).isdisjoint(experiments)
    ]


def judge(claim: Claim, tables: Mapping[str, pd.DataFrame]) -> Finding:
    """The verdict on a claim from tidy tables with a row per seed."""
    rows = _rows(claim, tables)
    values = rows["value"].to_numpy(dtype=np.float64)
    seeds = rows["seed"].nunique()
    reference = ", ".join(sorted(rows["reference"].dropna().unique()))
    estimate = _STATISTICS[claim.statistic](values) if len(values) else math.nan
    if math.isnan(estimate):
        nothing = math.nan
        return Finding(nothing, nothing, nothing, nothing, seeds, reference, "not testable here")
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    low, high = _interval(claim, values, estimate, spread)
    excess = estimate - claim.target
    if claim.relation == "equals":
        holds, open_end = abs(excess) <= claim.tolerance, low <= claim.target <= high
    else:
        holds, open_end = excess <= claim.tolerance, low <= claim.target
    verdict = "holds" if holds else "holds within error" if open_end else "does not hold"
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
    """The rows that a claim is about, with the columns value, seed and reference."""
    rows = _selected(claim, tables[claim.table], claim.where)
    if not claim.against:
        return rows
    # both models of a seed saw the same rows: what differs is the difference seed by seed
    other = _selected(claim, tables[claim.table], {**claim.where, **claim.against})
    ours, theirs = (part.groupby("seed")["value"].mean() for part in (rows, other))
    difference = (ours - theirs).dropna()
    return difference.reset_index().assign(reference=np.nan)


def _selected(claim: Claim, table: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    for column in [*where, claim.column]:
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
    values = rows[claim.column].astype(float)
    if claim.transform == "exp":
        values = values.map(math.exp)
    elif claim.transform == "absolute":
        values = values.abs()
    # a table about the truth has no seeds, one about the library's own numbers no reference
    return rows.reindex(columns=["seed", "reference"]).assign(value=values)


def _interval(
    claim: Claim, values: np.ndarray, estimate: float, spread: float
) -> tuple[float, float]:
    """Where another run's number (spread) or the expected number (mean) may lie, about 95 %."""
    if claim.statistic != "mean" or math.isnan(spread):
        return math.nan, math.nan
    width = 2 * spread / (math.sqrt(len(values)) if claim.interval == "mean" else 1.0)
    return estimate - width, estimate + width


def _training_rows(claim: Claim, tables: Mapping[str, pd.DataFrame]) -> float:
    """Training rows of the model that a claim is about, NaN for a claim about no model."""
    experiment, model = claim.identity
    # the data sets of a study have a size of their own
    fits = tables[claim.table if claim.table in _STUDIES else "fits"]
    rows = fits.loc[(fits["experiment"] == experiment) & (fits["model"] == model), "n"]
    return float(rows.max()) if len(rows) else math.nan
