"""Residuals with exact envelopes, and calibration with its intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pictures import by_id, edges_of, points
from scipy import stats

import tramdag as td
from tramdag import plotting


@pytest.mark.parametrize("n", [2, 17, 400])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_pointwise_envelope_is_exact(n: int, level: float) -> None:
    lower, upper = (stats.logistic.cdf(e) for e in plotting.residual_envelope(
        n, kind="pointwise", level=level
    ))  # fmt: skip
    i = np.arange(1, n + 1)
    # the i-th smallest is below u if at least i of n are: no beta law involved
    above = stats.binom.sf(i - 1, n, upper)
    below = stats.binom.sf(i - 1, n, lower)
    np.testing.assert_allclose(above - below, level, atol=1e-9)
    np.testing.assert_allclose(below, (1 - level) / 2, atol=1e-9)


@pytest.mark.parametrize("n", [5, 60])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_simultaneous_envelope_holds_all_points_as_often_as_it_says(
    n: int, level: float
) -> None:
    lower, upper = plotting.residual_envelope(n, kind="simultaneous", level=level)
    draws = np.sort(np.random.default_rng(8).logistic(size=(20_000, n)), axis=1)
    inside = ((draws >= lower) & (draws <= upper)).all(1).mean()
    assert inside == pytest.approx(level, abs=5 * np.sqrt(level * (1 - level) / 20_000))
    pointwise = plotting.residual_envelope(n, kind="pointwise", level=level)
    together = ((draws >= pointwise[0]) & (draws <= pointwise[1])).all(1).mean()
    assert together < level - 0.1, "a pointwise envelope must not pass for a simultaneous one"


def test_the_qq_plot_draws_the_sorted_residuals_and_both_envelopes(
    tables: dict[str, Any],
) -> None:
    residuals = tables["residual_qq"].iloc[:200]
    ax = plotting.residual_qq(residuals, node="NIHSSa", level=0.9)
    expected = stats.logistic.ppf((np.arange(200) + 0.5) / 200)
    drawn = points(ax, "residuals")
    np.testing.assert_allclose(drawn[:, 0], expected)
    np.testing.assert_array_equal(drawn[:, 1], np.sort(residuals))
    np.testing.assert_array_equal(
        edges_of(ax, "pointwise"), plotting.residual_envelope(200, kind="pointwise", level=0.9)
    )
    simultaneous = plotting.residual_envelope(200, kind="simultaneous", level=0.9)
    for line, bound in zip(by_id(ax, "simultaneous"), simultaneous, strict=True):
        known = np.isfinite(bound)
        np.testing.assert_array_equal(line.get_ydata()[known], bound[known])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["residuals", "90 % simultaneous envelope", "90 % pointwise envelope"]
    low, high = ax.get_ylim()
    assert low < drawn[:, 1].min() < drawn[:, 1].max() < high


@pytest.mark.parametrize("bad", [[1.0], [0.1, np.nan], [[0.1, 0.2], [0.3, 0.4]]])
def test_residuals_that_are_no_column_are_refused(bad: list[Any]) -> None:
    with pytest.raises(td.DataError, match=r"residuals\(df\)\[node\]"):
        plotting.residual_qq(bad)


def test_an_envelope_of_unknown_kind_is_refused() -> None:
    with pytest.raises(td.SpecError, match="'pointwise', 'simultaneous'"):
        plotting.residual_envelope(5, kind="both")
    with pytest.raises(td.SpecError, match="between 0 and 1"):
        plotting.residual_envelope(5, kind="pointwise", level=95)


def test_calibration_draws_every_bin_with_its_interval(tables: dict[str, Any]) -> None:
    table = tables["calibration_curve"]
    ax = plotting.calibration_curve(table, node="mRS_3m")
    np.testing.assert_array_equal(points(ax, "observed"), table[["predicted", "observed"]])
    segments = np.concatenate([lines.get_segments() for lines in by_id(ax, "interval")])
    np.testing.assert_array_equal(segments[:, 0, 1], table["lower"])
    np.testing.assert_array_equal(segments[:, 1, 1], table["upper"])
    np.testing.assert_array_equal(segments[:, :, 0], table[["predicted", "predicted"]])
    assert ax.get_ylabel() == "observed frequency (95 % interval)"
    assert ax.get_xlim() == ax.get_ylim()
    looks = {(line.get_marker(), line.get_markerfacecolor()) for line in by_id(ax, "observed")}
    assert len(looks) == 7


def test_calibration_of_one_level(tables: dict[str, Any]) -> None:
    table = tables["calibration_curve"]
    ax = plotting.calibration_curve(table, levels=[3])
    np.testing.assert_array_equal(
        points(ax, "observed"), table.query("level == 3")[["predicted", "observed"]]
    )
    with pytest.raises(td.DataError, match=r"levels=\[9\] must be some of .* 0, 1, 2"):
        plotting.calibration_curve(table, levels=[9])
