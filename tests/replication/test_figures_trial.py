"""Figures of the trial and of average effects: what is drawn of which seed, and under what name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch

from replication.figures_effects import draw_effects
from replication.figures_monte_carlo import draw_monte_carlo
from replication.figures_patients import draw_trial_benefit, draw_trial_effects
from replication.figures_trial import (
    draw_trial_outcomes,
    draw_trial_risks,
)
from replication.questions import effect_label

TITLES = {"ls": "all linear", "cs": "complex shift"}

EFFECT: dict[str, Any] = {"treatment": "time on drip", "outcome": "score <= x", "at_most": 1}
"""Names of columns that hold what stands between the parts of a label."""

ASKED: dict[str, Any] = {"titles": TITLES, "effect": EFFECT}

SHIFTS = {"ls": [0.0], "cs": [0.04, -0.01, 0.0]}
"""What the answers of each seed are off by; the last of three is in the middle."""


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def by_runs(make: Callable[[float], pd.DataFrame]) -> pd.DataFrame:
    """The rows of every seed, and those of another effect, which is not drawn."""
    parts = [
        make(shift).assign(model=model, seed=seed, effect=effect)
        for effect in (effect_label(EFFECT), "another on y <= 1")
        for model, shifts in SHIFTS.items()
        for seed, shift in enumerate(shifts)
    ]
    return pd.concat(parts, ignore_index=True)


def scores() -> pd.DataFrame:
    return by_runs(lambda s: pd.DataFrame({"metric": ["estimated effect"], "value": [0.1 + s]}))


def outcomes() -> pd.DataFrame:
    cells = {"arm": [0, 0, 0, 1, 1, 1], "level": [0, 1, 2] * 2, "rows": 40}
    observed = np.array([0.5, 0.3, 0.2, 0.6, 0.3, 0.1])
    table = pd.DataFrame({**cells, "observed": observed})
    table = table.assign(lower=observed - 0.1, upper=observed + 0.1)
    return by_runs(lambda s: table.assign(predicted=observed + s * np.array([1, 0, -1] * 2)))


def risks() -> pd.DataFrame:
    table = pd.DataFrame({"bin": [0, 1], "rows": 40, "observed": [0.3, 0.7]})
    table = table.assign(lower=table["observed"] - 0.1, upper=table["observed"] + 0.1)
    return by_runs(lambda s: table.assign(predicted=np.array([0.25, 0.75]) + s))


def patients(*, known: bool = True) -> pd.DataFrame:
    ite = np.linspace(0.0, 0.3, 31)
    table = pd.DataFrame({"patient": range(31), "true_ite": ite[::-1] if known else np.nan})

    def make(shift: float) -> pd.DataFrame:
        own = ite + shift
        bounds = {"benefit_lower": own, "benefit_upper": own + 0.3}
        return table.assign(ite=own, benefit=own + 0.05, **bounds)

    return by_runs(make)


def ranking(*, known: bool = True) -> pd.DataFrame:
    table = pd.DataFrame({"group": [0, 1], "rows": 20, "observed": [0.1, 0.2]})
    table = table.assign(lower=table["observed"] - 0.2, upper=table["observed"] + 0.2)
    table = table.assign(true=[0.08, 0.18] if known else np.nan)
    return by_runs(lambda s: table.assign(estimated=np.array([0.05, 0.25]) + s))


def effects() -> pd.DataFrame:
    rows = {"population": "trial rows", "quantity": ["P0", "P1", "ATE"], "lower": np.nan}
    values = np.array([0.5, 0.6, 0.1])
    return by_runs(lambda s: pd.DataFrame({**rows, "value": values + s}).assign(upper=np.nan))


def monte_carlo() -> Figure:
    cohorts = by_runs(lambda s: pd.DataFrame({"estimate": 0.1 + s + np.linspace(-1, 1, 30) / 20}))
    row = {"truth": 0.1, "mean": 0.1, "bias": 0.0, "bias_error": 0.01, "sd": 0.03}
    found = pd.DataFrame([{**row, "sd_error": 0.004, "estimates": 30, "model": m} for m in TITLES])
    found = found.assign(effect=effect_label(EFFECT), variant="nl")
    return draw_monte_carlo(cohorts.assign(variant="nl"), found, **ASKED)


DRAWN: dict[str, tuple[Callable[[], Figure], str]] = {
    "effects": (
        lambda: draw_effects(effects(), None, **ASKED),
        "P(score <= x <= 1) under do(time on drip = 0 or 1)",
    ),
    "monte_carlo": (monte_carlo, "average effect of time on drip on P(score <= x <= 1)"),
    "trial_outcomes": (lambda: draw_trial_outcomes(outcomes(), scores(), **ASKED), "score <= x"),
    "trial_risks": (
        lambda: draw_trial_risks(risks(), scores(), **ASKED),
        "predicted P(score <= x <= 1)",
    ),
    "trial_effects": (
        lambda: draw_trial_effects(patients(), ranking(), scores(), **ASKED),
        "effect of time on drip on score <= x <= 1, risk difference given covariates",
    ),
    "trial_benefit": (
        lambda: draw_trial_benefit(patients(), scores(), **ASKED),
        "P(score <= x <= 1 only if treated)",
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_names_of_columns_may_hold_the_words_of_a_label(name: str) -> None:
    draw, text = DRAWN[name]
    figure = draw()
    texts = [figure.get_suptitle(), figure.get_supxlabel()]
    texts += [label for axis in figure.axes for label in (axis.get_xlabel(), axis.get_ylabel())]
    assert text in texts


def seed_rows(table: pd.DataFrame, seed: int, **where: Any) -> pd.DataFrame:
    """The rows of a seed of the model with several."""
    keys = {"model": "cs", "seed": seed, "effect": effect_label(EFFECT), **where}
    return table[np.all([table[key] == value for key, value in keys.items()], axis=0)]


def strength(line: Line2D) -> tuple[float, float]:
    return (line.get_alpha() or 1.0, line.get_markersize())


def test_predicted_outcomes_of_every_seed_stand_beside_the_observed_ones() -> None:
    table = outcomes()
    axes = draw_trial_outcomes(table, scores(), **ASKED).axes
    assert [axis.get_title(loc="left") for axis in axes[::2]] == [
        "all linear",
        "complex shift, 3 seeds",
    ]
    assert [axis.texts[0].get_text() for axis in axes[2:]] == [
        "time on drip = 0",
        "time on drip = 1",
    ]
    for arm, axis in enumerate(axes[2:]):
        *pale, strong = axis.lines
        for line, seed in zip([*pale, strong], (0, 1, 2), strict=True):
            rows = seed_rows(table, seed, arm=arm)
            assert list(line.get_ydata()) == list(rows["predicted"])
        assert all(strength(line) < strength(strong) for line in pale)
        # the other seeds do not hide behind the median one
        assert min(pale[0].get_xdata() - strong.get_xdata()) > 0.1
        observed = seed_rows(table, 2, arm=arm)["observed"]
        assert [bar.get_height() for bar in axis.patches] == list(observed)


def test_risks_of_every_seed_are_points_and_those_of_the_median_have_intervals() -> None:
    table = risks()
    axis = draw_trial_risks(table, scores(), **ASKED).axes[1]
    _, *pale, strong = axis.lines
    for line, seed in zip([*pale, strong], (0, 1, 2), strict=True):
        expected = seed_rows(table, seed)[["predicted", "observed"]]
        np.testing.assert_array_equal(line.get_xydata(), expected)
    assert all(strength(line) < strength(strong) for line in pale)
    (bars,) = axis.collections
    ends = [segment.tolist() for segment in bars.get_segments()]
    rows = seed_rows(table, 2)
    assert ends == [
        [[p, low], [p, high]] for p, low, high in rows[["predicted", "lower", "upper"]].to_numpy()
    ]


def test_the_laws_of_effects_share_one_axis_of_counts() -> None:
    table = patients()
    axes = draw_trial_effects(table, ranking(), scores(), **ASKED).axes
    laws = [axes[0], axes[3]]
    assert laws[0].get_ylim() == laws[1].get_ylim()
    steps = [patch for axis in laws for patch in axis.patches if isinstance(patch, StepPatch)]
    counts = [patch.get_data()[0] for patch in steps]
    assert [int(each.sum()) for each in counts] == [31] * 6
    assert max(each.max() for each in counts) <= laws[0].get_ylim()[1]
    # one model: the truth and its law; the other: two pale ones, then the truth and the median
    assert [patch.get_alpha() for patch in steps if not patch.get_fill()] == [1, 0.35, 0.35, 1]
    edges = steps[0].get_data().edges
    (median,) = (p for p in axes[3].patches if not p.get_fill() and p.get_alpha() == 1)
    expected = np.histogram(seed_rows(table, 2)["ite"], edges)[0]
    np.testing.assert_array_equal(median.get_data()[0], expected)


def test_groups_show_the_estimates_of_every_seed_and_the_outcomes_of_the_median() -> None:
    table = ranking()
    axis = draw_trial_effects(patients(), table, scores(), **ASKED).axes[4]
    first, second, strong, observed, true, _ = axis.lines
    for line, seed in ((first, 0), (second, 1), (strong, 2)):
        assert list(line.get_ydata()) == list(seed_rows(table, seed)["estimated"])
    assert strength(first) < strength(strong)
    assert list(observed.get_ydata()) == [0.1, 0.2]
    assert list(true.get_ydata()) == [0.08, 0.18]


def test_the_benefit_of_every_seed_is_a_line_and_that_of_the_median_has_bounds() -> None:
    table = patients()
    axis = draw_trial_benefit(table, scores(), **ASKED).axes[1]
    first, second, strong, lower, upper = axis.lines
    for line, seed in ((first, 0), (second, 1), (strong, 2)):
        assert list(line.get_ydata()) == sorted(seed_rows(table, seed)["benefit"])
    assert [line.get_alpha() for line in (first, second, strong)] == [0.35, 0.35, 1.0]
    for line, name in ((lower, "benefit_lower"), (upper, "benefit_upper")):
        assert list(line.get_ydata()) == list(seed_rows(table, 2)[name])


@pytest.mark.parametrize("name", [name for name in DRAWN if name.startswith("trial")])
def test_a_legend_says_what_is_pale(name: str) -> None:
    labels = [text.get_text() for text in DRAWN[name][0]().legends[0].get_texts()]
    assert any(label.endswith("other seeds") for label in labels)


def test_a_legend_mentions_no_seeds_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHIFTS, "cs", [0.0])
    for name, (draw, _) in DRAWN.items():
        labels = [text.get_text() for text in draw().legends[0].get_texts()]
        assert not any("seed" in label for label in labels), name


def test_without_a_generator_nothing_is_called_true() -> None:
    figure = draw_trial_effects(patients(known=False), ranking(known=False), scores(), **ASKED)
    assert len(figure.axes) == 4
    assert not any("true" in text.get_text() for text in figure.legends[0].get_texts())


def test_nothing_of_the_groups_or_patients_ends_at_the_edge_of_its_panel() -> None:
    figure = draw_trial_effects(patients(), ranking(), scores(), **ASKED)
    own = ranking()[ranking()["effect"] == effect_label(EFFECT)]
    own = own[own["seed"] == own["model"].map({"ls": 0, "cs": 2})]
    for groups, each in (figure.axes[1:3], figure.axes[4:6]):
        low, high = groups.get_ylim()
        assert low < own["lower"].min()
        assert high > own["upper"].max()
        points = each.lines[-1].get_ydata()
        assert each.get_ylim()[0] < min(points)
        assert each.get_ylim()[1] > max(points)


def test_points_at_the_end_of_an_axis_are_drawn_whole() -> None:
    for axis in draw_trial_risks(risks(), scores(), **ASKED).axes:
        assert not any(line.get_clip_on() for line in axis.lines[1:])
