"""Distances against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from replication.metrics import (
    UNIFORM_SHARE,
    brier_score,
    calibration_bins,
    expected_calibration_error,
    histogram,
    kl_divergence,
    log_score,
    mean_estimate,
    odds_ratio,
    ranked_probability_score,
    root_mean_square,
    summarise,
    wasserstein,
)


def test_the_divergence_of_two_gaussians_is_the_closed_form() -> None:
    x = np.random.default_rng(1).normal(0.5, 1.2, 200_000)
    p, q = stats.norm(0.5, 1.2), stats.norm(0.0, 2.0)
    found = kl_divergence(p.logpdf(x), q.logpdf(x))
    exact = np.log(2.0 / 1.2) + (1.2**2 + 0.5**2) / (2 * 2.0**2) - 0.5
    assert abs(found.value - exact) < 5 * found.error
    assert found.error < 0.002


def test_a_law_has_no_divergence_from_itself() -> None:
    log_density = stats.norm.logpdf(np.linspace(-2, 2, 50))
    assert kl_divergence(log_density, log_density).value == 0.0


def test_rows_that_the_truth_cannot_make_are_refused() -> None:
    with pytest.raises(ValueError, match="must be drawn from the truth"):
        kl_divergence(np.array([0.0, -np.inf]), np.zeros(2))


def test_densities_of_different_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        kl_divergence(np.zeros(3), np.zeros(2))


def test_a_model_that_excludes_a_row_is_infinitely_far() -> None:
    assert kl_divergence(np.zeros(2), np.array([0.0, -np.inf])).value == np.inf


def test_the_error_of_a_mean_is_that_of_statistics() -> None:
    x = np.random.default_rng(2).exponential(size=500)
    found = mean_estimate(x)
    assert found.value == pytest.approx(x.mean())
    assert found.error == pytest.approx(stats.sem(x))


def test_summaries_of_an_exponential_are_the_closed_forms() -> None:
    x = np.random.default_rng(3).exponential(size=100_000)
    table = summarise(x).set_index("statistic")
    exact = {"mean": 1.0, "sd": 1.0}
    exact |= {f"q{100 * q:02.0f}": -np.log1p(-q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
    for name, value in exact.items():
        assert abs(table["value"][name] - value) < 5 * table["mc_error"][name], name


def test_monte_carlo_errors_are_the_spread_of_repeated_samples() -> None:
    rng = np.random.default_rng(4)
    tables = [summarise(rng.gumbel(size=1_000)).set_index("statistic") for _ in range(400)]
    for name in tables[0].index:
        spread = np.std([table["value"][name] for table in tables])
        claimed = np.mean([table["mc_error"][name] for table in tables])
        # 400 repetitions know a standard deviation to 3.5 %, five of those
        assert claimed == pytest.approx(spread, rel=0.18), name


def test_probabilities_of_an_ordinal_sample_are_shares() -> None:
    x = np.array([0, 0, 1, 3])
    table = summarise(x, levels=4).set_index("statistic")
    assert table.loc[["P(0)", "P(1)", "P(2)", "P(3)"], "value"].tolist() == [0.5, 0.25, 0, 0.25]
    assert table["mc_error"]["P(0)"] == 0.25
    assert table["value"]["mean"] == 1.0


def test_a_fixed_variable_has_no_spread() -> None:
    table = summarise(np.full(100, 3.0)).set_index("statistic")
    assert table["value"]["sd"] == 0.0
    assert table["mc_error"].tolist() == [0.0] * 7


def test_a_histogram_integrates_to_the_rows_it_shows() -> None:
    table = histogram(np.random.default_rng(5).normal(size=20_000))
    area = (table["density"] * (table["right"] - table["left"])).sum()
    assert area == pytest.approx(0.998, abs=1e-4)


def test_a_histogram_is_the_density() -> None:
    table = histogram(np.random.default_rng(6).normal(size=200_000), bins=20)
    left, right = table["left"].to_numpy(), table["right"].to_numpy()
    p = stats.norm.cdf(right) - stats.norm.cdf(left)
    error = np.sqrt(p * (1 - p) / 200_000) / (right - left)
    assert (np.abs(table["density"] - p / (right - left)) < 5 * error).all()


def test_levels_are_bins_of_width_one() -> None:
    table = histogram(np.array([0, 1, 1, 2]), levels=4)
    assert table["density"].tolist() == [0.25, 0.5, 0.25, 0.0]
    assert table["left"].tolist() == [-0.5, 0.5, 1.5, 2.5]


def test_a_variable_held_at_one_value_still_has_a_histogram() -> None:
    table = histogram(np.full(10, 2.0), bins=4)
    assert (table["density"] * (table["right"] - table["left"])).sum() == 1.0


def test_the_brier_score_is_the_squared_distance_to_the_outcome() -> None:
    pmf = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    assert brier_score(pmf, np.array([2, 1])) == pytest.approx([0.04 + 0.09 + 0.25, 2.0])


def test_a_certain_and_right_prediction_scores_best() -> None:
    pmf = np.array([[1.0, 0.0]])
    assert brier_score(pmf, np.array([0]))[0] == 0.0
    assert log_score(pmf, np.array([0]))[0] == pytest.approx(np.log(1 - UNIFORM_SHARE / 2))


def test_an_impossible_level_has_a_finite_log_score() -> None:
    pmf = np.array([[1.0, 0.0]])
    assert log_score(pmf, np.array([1]))[0] == pytest.approx(np.log(UNIFORM_SHARE / 2))


def test_true_probabilities_have_the_best_expected_scores() -> None:
    rng = np.random.default_rng(7)
    truth = np.array([0.5, 0.3, 0.2])
    levels = rng.choice(3, size=50_000, p=truth)
    other = np.array([0.6, 0.3, 0.1])
    right, wrong = (np.tile(p, (levels.size, 1)) for p in (truth, other))
    assert log_score(right, levels).mean() > log_score(wrong, levels).mean()
    assert brier_score(right, levels).mean() < brier_score(wrong, levels).mean()


def test_the_ranked_probability_score_weighs_how_far_a_miss_is() -> None:
    pmf = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    found = ranked_probability_score(pmf, np.array([2, 1, 2]))
    assert found == pytest.approx([0.2**2 + 0.5**2, 1.0, 2.0])


def test_the_ranked_probability_score_of_two_levels_is_half_the_brier_score() -> None:
    p = np.random.default_rng(1).uniform(size=50)
    pmf, levels = np.column_stack([1 - p, p]), (p > 0.3).astype(int)
    half = brier_score(pmf, levels) / 2
    assert ranked_probability_score(pmf, levels) == pytest.approx(half)


def test_bins_hold_frequencies_and_every_row_once() -> None:
    predicted = np.array([0.0, 0.04, 0.06, 0.55, 1.0])
    table = calibration_bins(predicted, np.array([False, True, False, True, True]), bins=10)
    assert table["bin"].tolist() == [0, 5, 9]
    assert table["rows"].tolist() == [3, 1, 1]
    assert table["predicted"].to_numpy() == pytest.approx([0.1 / 3, 0.55, 1.0])
    assert table["observed"].to_numpy() == pytest.approx([1 / 3, 1.0, 1.0])
    error = expected_calibration_error(table)
    assert error == pytest.approx((3 * (1 / 3 - 0.1 / 3) + 0.45) / 5)


def test_events_of_the_predicted_probability_are_calibrated() -> None:
    rng = np.random.default_rng(10)
    p = rng.uniform(size=20_000)
    table = calibration_bins(p, rng.uniform(size=p.size) < p)
    distance = (table["observed"] - table["predicted"]).abs()
    # five errors of a frequency; the spread of p within a bin makes it a little smaller
    assert (distance < 5 * table["mc_error"]).all()
    wrong = calibration_bins(p**2, rng.uniform(size=p.size) < p)
    assert expected_calibration_error(wrong) > 10 * expected_calibration_error(table)


def test_the_odds_ratio_of_a_logistic_shift_is_its_exponential() -> None:
    u = np.random.default_rng(8).logistic(size=200_000)
    found = odds_ratio(u <= -1.0, u + 0.7 <= -1.0)
    assert abs(found.value - np.exp(-0.7)) < 5 * found.error


def test_the_error_of_an_odds_ratio_is_the_spread_of_repeated_samples() -> None:
    rng = np.random.default_rng(9)
    found = []
    for _ in range(400):
        u = rng.logistic(size=1_000)
        found.append(odds_ratio(u <= 0, u <= 0.8))
    spread = np.std([estimate.value for estimate in found])
    assert np.mean([estimate.error for estimate in found]) == pytest.approx(spread, rel=0.18)


def test_an_event_that_never_happens_has_no_odds() -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        odds_ratio(np.array([False, False]), np.array([True, False]))


def test_the_root_mean_square_of_a_sine_is_its_effective_value() -> None:
    angle = np.linspace(0, 2 * np.pi, 1_000, endpoint=False)
    assert root_mean_square(3 * np.sin(angle)) == pytest.approx(3 / np.sqrt(2))


@pytest.mark.parametrize("sizes", [(200, 200), (150, 37), (1, 5)])
def test_the_distance_of_two_samples_is_that_of_scipy(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    one, other = (rng.normal(k, 1 + k, n).round(1) for k, n in enumerate(sizes))
    expected = stats.wasserstein_distance(one, other)
    assert wasserstein(one, other) == pytest.approx(expected, rel=1e-12)


def test_a_shifted_sample_is_as_far_away_as_the_shift() -> None:
    x = np.random.default_rng(4).normal(size=100)
    assert wasserstein(x, x + 0.25) == pytest.approx(0.25)
    assert wasserstein(x, x[::-1]) == 0
