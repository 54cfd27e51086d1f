"""Which seed stands for a model in a figure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from replication.metrics import histogram
from replication.spread import (
    median_seeds,
    median_seeds_of_bins,
    median_seeds_of_laws,
    seeds_around,
    titles_with_seeds,
)


def answers(values: dict[int, list[float]], *, panel: str = "a") -> pd.DataFrame:
    parts = [
        pd.DataFrame({"model": "m", "seed": seed, "panel": panel, "value": row})
        for seed, row in values.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_with_one_answer_per_seed_it_is_the_median() -> None:
    table = answers({0: [5.0], 1: [0.1], 2: [0.3], 3: [-9.0], 4: [0.2]})
    assert median_seeds(table, value="value", within=["panel"]) == {"m": 4}


def test_an_even_number_of_seeds_has_the_lower_median() -> None:
    table = answers({0: [4.0], 1: [1.0], 2: [3.0], 3: [2.0]})
    assert median_seeds(table, value="value", within=["panel"]) == {"m": 3}


def test_a_panel_counts_in_units_of_its_own_spread() -> None:
    small = {0: [0.0], 1: [0.01], 2: [0.011]}
    large = {0: [0.0], 1: [0.0], 2: [1000.0]}
    table = pd.concat([answers(small), answers(large, panel="b")], ignore_index=True)
    # seed 0 is far off in the first panel, seed 2 in the second
    assert median_seeds(table, value="value", within=["panel"]) == {"m": 1}


def test_runs_of_different_length_are_compared_as_far_as_they_go() -> None:
    table = answers({0: [0.0, 0.0, 50.0], 1: [0.1, 0.1], 2: [9.0, 9.0]})
    assert median_seeds(table, value="value", within=["panel"]) == {"m": 1}


def test_a_missing_level_is_a_panel_too() -> None:
    table = answers({0: [0.0], 1: [1.0], 2: [3.0]}).assign(panel=np.nan)
    assert median_seeds(table, value="value", within=["panel"]) == {"m": 1}


def test_the_median_seed_comes_after_the_others() -> None:
    table = answers({0: [0.0], 1: [1.0], 2: [3.0]})
    found = [(rows["seed"].iloc[0], strong) for _, rows, strong in seeds_around(table, {"m": 1})]
    assert found == [(0, False), (2, False), (1, True)]


def test_laws_are_compared_at_the_same_places_whatever_their_bins() -> None:
    # histograms of shifted samples agree bin by bin, and lie elsewhere
    sample = np.random.default_rng(1).normal(size=2000)
    laws = [
        histogram(sample + shift, levels=None, bins=20).assign(model="m", seed=seed, node="x")
        for seed, shift in enumerate([5.0, 1.0, 0.0])
    ]
    assert median_seeds_of_laws(pd.concat(laws, ignore_index=True), within=["node"]) == {"m": 1}


def test_bins_are_compared_by_number_and_weighted_by_their_rows() -> None:
    # seed 2 has no bin 7; that of seed 1 is far off and holds one row beside a hundred
    gaps = {0: {1: 0.3, 7: 0.0}, 1: {1: 0.0, 7: 0.9}, 2: {1: -0.3}}
    rows = [
        {"model": "m", "seed": seed, "panel": "a", "bin": number, "predicted": 0.1}
        | {"observed": 0.1 + gap, "rows": 100 if number == 1 else 1}
        for seed, own in gaps.items()
        for number, gap in own.items()
    ]
    bins = pd.DataFrame(rows)
    assert median_seeds_of_bins(bins, within=["panel"]) == {"m": 1}
    assert median_seeds_of_bins(bins.assign(rows=1), within=["panel"]) == {"m": 0}


def test_titles_say_how_many_seeds_there_are() -> None:
    table = pd.concat([answers({0: [1.0], 1: [2.0]}), answers({0: [1.0]}).assign(model="o")])
    titles = {"o": "one", "m": "many", "none": "not there"}
    assert titles_with_seeds(table, titles) == {"o": "one", "m": "many, 2 seeds"}
