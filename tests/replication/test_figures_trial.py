"""Figures of the trial and of average effects: what is drawn of which seed, and under what name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from replication.figures_effects import draw_effects
from replication.figures_monte_carlo import draw_monte_carlo
from replication.figures_trial import (
    draw_trial_benefit,
    draw_trial_effects,
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
