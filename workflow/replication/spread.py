"""The spread over seeds in a figure: the seed in the middle is drawn strong, the others pale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from replication.questions import by_seed

__all__ = [
    "PALE",
    "STRONG",
    "median_seeds",
    "median_seeds_of_bins",
    "median_seeds_of_laws",
    "seeds_around",
    "spread_note",
    "titles_with_seeds",
]

_GRID = 200
"""Places at which the laws of seeds are compared."""

STRONG: dict[str, Any] = {"lw": 1.6, "alpha": 1.0}
"""How the line of the median seed is drawn."""

PALE: dict[str, Any] = {"lw": 0.8, "alpha": 0.35}
"""How the lines of the other seeds are drawn."""


def median_seeds(table: pd.DataFrame, *, value: str, within: Sequence[str]) -> dict[str, int]:
    r"""The median seed of each model: the one whose answers lie closest to those of all its seeds.

    It is the medoid :math:`\arg\min_s \sum_t d(s, t)`, where d is the mean absolute difference of
    all answers, those of each panel in units of their standard deviation. With one answer per seed
    it is the (lower) median.

    Args:
        table: Answers with the columns model and seed. In every panel, row i of one seed answers
            the same as row i of another.
        value: The column that is compared.
        within: Columns that tell the panels apart.
    """
    found = {}
    for model, rows in table.groupby("model", sort=False):
        distance: Any = 0.0
        for _, panel in rows.groupby(list(within), sort=False, dropna=False):
            runs = [own[value].to_numpy() for _, own in panel.groupby("seed")]
            # a training that stopped early is compared as far as it went
            answers = np.stack([run[: min(map(len, runs))] for run in runs])
            gaps = np.abs(answers[:, None] - answers).mean(-1)
            distance = distance + gaps / (answers.std() or 1.0)
        order = np.lexsort((rows.groupby("seed")[value].mean(), distance.sum(1).round(12)))
        found[str(model)] = int(sorted(rows["seed"].unique())[order[0]])
    return found


def median_seeds_of_laws(laws: pd.DataFrame, *, within: Sequence[str]) -> dict[str, int]:
    """The median seed of each model by its laws, see :func:`median_seeds`.

    Bins of a histogram follow from its sample, so those of two seeds differ. Compared are the
    distribution functions, on a grid that the seeds of a panel share.

    Args:
        laws: Table ``densities``: model, seed, left, right, density.
        within: Columns that tell the panels apart.
    """
    tables = []
    for key, panel in laws.groupby(list(within), sort=False, dropna=False):
        grid = np.linspace(panel["left"].min(), panel["right"].max(), _GRID)
        for (model, seed), law in panel.groupby(["model", "seed"], sort=False):
            mass = (law["density"] * (law["right"] - law["left"])).cumsum()
            # the few rows outside of the bins belong to both tails alike
            outside = (1 - mass.iloc[-1]) / 2
            edges = np.append(law["left"], law["right"].iloc[-1])
            reached = np.interp(grid, edges, np.append(0, mass) + outside, left=0.0, right=1.0)
            own = dict(zip(within, key, strict=True))
            tables.append(pd.DataFrame({"model": model, "seed": seed, **own, "reached": reached}))
    return median_seeds(pd.concat(tables, ignore_index=True), value="reached", within=within)


def median_seeds_of_bins(bins: pd.DataFrame, *, within: Sequence[str]) -> dict[str, int]:
    """The median seed of each model by its calibration, see :func:`median_seeds`.

    Compared are the gaps between frequency and prediction, each weighted by its share of the rows,
    so that a bin that a seed leaves empty has no gap and one of few rows has little weight.

    Args:
        bins: Columns model, seed, bin, rows, predicted, observed.
        within: Columns that tell the panels apart.
    """
    place = [*within, "bin"]
    rows = bins["rows"] / bins.groupby(["model", "seed", *within])["rows"].transform("sum")
    gaps = bins.assign(gap=rows * (bins["observed"] - bins["predicted"]))
    every = bins[["model", "seed"]].drop_duplicates().merge(bins[place].drop_duplicates(), "cross")
    gaps = every.merge(gaps, "left", [*every]).fillna({"gap": 0.0})
    return median_seeds(gaps, value="gap", within=within)


def seeds_around(
    table: pd.DataFrame, median: Mapping[str, int]
) -> Iterator[tuple[str, pd.DataFrame, bool]]:
    """Rows of each seed of each model, whether it is the median one, that one after the others."""
    parts = [(model, rows, rows["seed"].iloc[0] == median[model]) for model, rows in by_seed(table)]
    order = list(dict.fromkeys(model for model, _, _ in parts))
    yield from sorted(parts, key=lambda part: (order.index(part[0]), part[2]))


def titles_with_seeds(
    table: pd.DataFrame, titles: Mapping[str, str], *, text: str = "{} seeds"
) -> dict[str, str]:
    """Titles of the models that a table has, with their number of seeds if there are several."""
    seeds = table.groupby("model")["seed"].nunique()
    return {
        model: title + (", " + text.format(seeds[model]) if seeds[model] > 1 else "")
        for model, title in titles.items()
        if model in seeds
    }


def spread_note(seeds: int) -> str:
    """What a legend says after the title of a model: how its seeds are drawn."""
    return f", median of {seeds} seeds strong" if seeds > 1 else ""
