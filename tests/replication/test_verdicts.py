"""Verdicts follow from numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from replication.claims import Claim
from replication.verdicts import judge, scorecard

MakeClaim = Callable[..., Claim]
MakeTables = Callable[..., dict[str, pd.DataFrame]]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([1.04, 1.14], "holds"),
        ([1.10, 1.50], "holds within error"),
        ([1.299, 1.301], "does not hold"),
        ([1.5], "does not hold"),
        ([], "not testable here"),
        ([np.nan], "not testable here"),
    ],
)
def test_a_verdict_follows_from_tolerance_and_spread(
    claim: MakeClaim, tables: MakeTables, values: list[float], verdict: str
) -> None:
    assert judge(claim(), tables(values)).verdict == verdict


def test_a_claim_about_two_models_is_about_their_difference_seed_by_seed(claim: MakeClaim) -> None:
    ours = pd.DataFrame({"seed": [0, 0, 1, 1, 2], "estimate": [1.0, 3.0, 2.0, 2.0, 9.0]})
    theirs = pd.DataFrame({"seed": [1, 0], "estimate": [2.5, 4.0]})
    table = pd.concat([ours.assign(model="ls"), theirs.assign(model="cnf")], ignore_index=True)
    found = judge(
        claim(against={"model": "cnf"}, relation="at most", target=0.0, tolerance=0.0),
        {"l2": table.assign(experiment="toy")},
    )
    # seed 0: 2 - 4, seed 1: 2 - 2.5; seed 2 has no counterpart
    assert found.estimate == pytest.approx(-1.25)
    assert found.spread == pytest.approx(1.5 / np.sqrt(2))
    assert (found.seeds, found.verdict) == (2, "holds")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.2, 0.3], "holds"),
        ([1.09], "holds"),
        ([0.9, 1.6], "holds within error"),
        ([1.49, 1.51], "does not hold"),
    ],
)
def test_an_upper_bound_is_only_missed_above(
    claim: MakeClaim, tables: MakeTables, values: list[float], verdict: str
) -> None:
    assert judge(claim(relation="at most"), tables(values)).verdict == verdict


def test_the_interval_of_an_expected_value_is_that_of_the_t_test(
    claim: MakeClaim, tables: MakeTables
) -> None:
    values = [0.8, 1.1, 1.8, 1.2, 1.6]
    found = judge(claim(interval="mean"), tables(values))
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_interval_of_another_seed_covers_it_as_often_as_it_says(
    claim: MakeClaim, tables: MakeTables
) -> None:
    rng = np.random.default_rng(3)
    asked = claim()
    covered = []
    for _ in range(1000):
        *values, another = rng.normal(size=6)
        found = judge(asked, tables(values))
        covered.append(found.low <= another <= found.high)
    # two standard deviations on both sides would cover 0.86 of them
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 1000))


def test_an_interval_excuses_no_difference_on_the_very_same_data(
    claim: MakeClaim, tables: MakeTables
) -> None:
    found = judge(claim(same_data=True), tables([1.1, 1.5]))
    assert found.low < 1.0 < found.high
    assert found.verdict == "does not hold"


def test_a_row_may_carry_its_own_interval(claim: MakeClaim, tables: MakeTables) -> None:
    table = tables([1.2], lower=[0.9], upper=[1.4], error=[0.05])
    ends = judge(claim(ends=["lower", "upper"]), table)
    assert (ends.low, ends.high, ends.verdict) == (0.9, 1.4, "holds within error")
    error = judge(claim(error="error"), table)
    assert (error.low, error.high) == pytest.approx(stats.norm.interval(0.95, 1.2, 0.05))
    assert error.verdict == "does not hold"
    odds = judge(claim(ends=["lower", "upper"], transform="exp"), table)
    assert (odds.low, odds.estimate, odds.high) == pytest.approx(tuple(np.exp([0.9, 1.2, 1.4])))


def test_the_interval_of_a_row_is_not_that_of_several(claim: MakeClaim, tables: MakeTables) -> None:
    with pytest.raises(ValueError, match="2 rows are chosen"):
        judge(claim(error="error"), tables([1.2, 1.3], error=[0.1, 0.1]))


def test_rows_of_one_seed_are_averaged_before_seeds_are_compared(
    claim: MakeClaim, tables: MakeTables
) -> None:
    found = judge(claim(), tables([0.0, 2.0, 1.0, 2.0], seed=[0, 0, 1, 1]))
    assert found.estimate == pytest.approx(1.25)
    assert found.spread == pytest.approx(0.5 / np.sqrt(2))
    assert found.seeds == 2


def test_rows_without_seeds_have_no_spread_over_seeds(claim: MakeClaim, tables: MakeTables) -> None:
    found = judge(claim(statistic="max"), tables([1.0, 3.0], seed=[np.nan, np.nan]))
    assert (found.estimate, found.seeds) == (3.0, 0)
    assert np.isnan(found.spread)


def test_a_study_counts_its_data_sets(claim: MakeClaim) -> None:
    study = pd.DataFrame(
        {"experiment": ["toy"], "model": ["ls"], "coverage": [0.95], "replicates": [500], "n": 2000}
    )
    asked = claim(table="coverage", column="coverage", target=0.95)
    assert judge(asked, {"coverage": study}).seeds == 500
    assert scorecard([asked], {"coverage": study}, run="r")["n"].tolist() == [2000.0]


def test_a_worst_case_has_no_interval(claim: MakeClaim, tables: MakeTables) -> None:
    found = judge(claim(statistic="max"), tables([0.9, 1.3]))
    assert found.estimate == 1.3
    assert np.isnan(found.low)
    assert found.verdict == "does not hold"


def test_dependence_on_the_seed_is_the_range(claim: MakeClaim, tables: MakeTables) -> None:
    assert judge(claim(statistic="range"), tables([0.3, 1.2, 0.7])).estimate == pytest.approx(0.9)


def test_the_root_mean_square_holds_bias_and_spread_together(
    claim: MakeClaim, tables: MakeTables
) -> None:
    found = judge(claim(statistic="rms"), tables([0.3, -1.2, 0.7]))
    assert found.estimate == pytest.approx(
        np.hypot(np.mean([0.3, -1.2, 0.7]), np.std([0.3, -1.2, 0.7]))
    )


def test_numbers_can_be_transformed_first(claim: MakeClaim, tables: MakeTables) -> None:
    assert judge(claim(transform="exp"), tables([0.0])).estimate == 1.0
    assert judge(claim(transform="absolute"), tables([-1.0])).estimate == 1.0


def test_rows_are_chosen_by_value_by_list_and_by_absence(
    claim: MakeClaim, tables: MakeTables
) -> None:
    table = tables([1.0, 2.0, 4.0], level=[0.0, 1.0, np.nan])
    where = {"experiment": "toy"}
    assert judge(claim(where=where | {"level": 1}), table).estimate == 2.0
    assert judge(claim(where=where | {"level": [0, 1]}), table).estimate == 1.5
    assert judge(claim(where=where | {"level": None}), table).estimate == 4.0


def test_a_frozen_reference_is_named(claim: MakeClaim, tables: MakeTables) -> None:
    found = judge(claim(), tables([1.0], reference=["R polr (frozen)"]))
    assert found.reference == "R polr (frozen)"


def test_an_unknown_column_is_a_clear_error(claim: MakeClaim, tables: MakeTables) -> None:
    with pytest.raises(ValueError, match="the table 'l2' has no column 'nodes'; columns are"):
        judge(claim(where={"nodes": "x"}), tables([1.0]))


def test_a_scorecard_shows_failures_as_failures(claim: MakeClaim, tables: MakeTables) -> None:
    card = scorecard([claim(), claim(id="b", target=5.0)], tables([1.0]), run="test run")
    assert card["verdict"].tolist() == ["holds", "does not hold"]
    assert card["n"].tolist() == [500.0, 500.0]
    assert set(card["run"]) == {"test run"}
