"""Conditional odds ratios and those of the population."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from replication.odds_ratios import CONDITIONAL, POPULATION, odds_ratio_table

QUESTION = {"node": "x2", "parent": "x1", "threshold": -1, "step": 1.0}
QUESTIONS = {"e": [QUESTION], "other": []}


def coefficients() -> pd.DataFrame:
    shift = {"experiment": "e", "model": "ls", "node": "x2", "parameter": "shift"}
    table = pd.DataFrame({**shift, "seed": [0, 1], "parent": "x1", "estimate": [2.0, 1.9]})
    return table.assign(lower=1.8, upper=2.2, truth=2.0)


def effects() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "experiment": "e",
            "model": "ls",
            "seed": [0, 1],
            "effect": "x1 + 1 on x2 <= -1",
            "quantity": "odds ratio",
            "value": [7.3, 7.1],
            "mc_error": 0.2,
        }
    )


def test_both_ratios_stand_beside_the_truth() -> None:
    truth = effects().head(1).assign(value=7.19)
    table = odds_ratio_table(coefficients(), effects(), truth, questions=QUESTIONS)
    own = table[table["seed"] == 0].set_index("scale")
    assert own.loc[CONDITIONAL, ["value", "lower", "upper", "truth"]].tolist() == pytest.approx(
        [7.38906, 6.04965, 9.02501, 7.38906], rel=1e-5
    )
    assert own.loc[POPULATION, ["value", "mc_error", "truth"]].tolist() == [7.3, 0.2, 7.19]
    assert np.isnan(own.loc[POPULATION, "lower"])


def test_the_odds_of_an_ordinal_node_fall_by_its_weight() -> None:
    # cumulative logits: P(Y <= k | x) = expit(c_k - b x), whatever k and x
    weight, cutpoint, step = 0.8, 0.3, 2.0
    below = expit(cutpoint - weight * np.array([1.0, 1.0 + step]))
    before, after = below / (1 - below)
    shift = {"experiment": "e", "model": "ls", "seed": 0, "node": "y"}
    own = pd.DataFrame(
        {**shift, "parameter": ["shift", "cutpoint"], "parent": ["x", np.nan]}
        | {"estimate": [weight, cutpoint], "lower": [0.7, 0.2], "upper": [0.9, 0.4]}
    )
    asked = {"e": [{"node": "y", "parent": "x", "threshold": 1, "step": step}]}
    (row,) = odds_ratio_table(own, effects().head(0), None, questions=asked).to_dict("records")
    assert row["value"] == pytest.approx(after / before)
    assert (row["lower"], row["upper"]) == pytest.approx((np.exp(-1.8), np.exp(-1.4)))


def test_a_larger_step_multiplies_the_weight() -> None:
    asked = {"e": [QUESTION | {"step": 2.0}]}
    table = odds_ratio_table(coefficients(), effects().head(0), effects().head(0), questions=asked)
    assert list(table["value"]) == pytest.approx([np.exp(4.0), np.exp(3.8)])


def test_without_a_generator_the_truth_is_missing() -> None:
    own = coefficients().drop(columns="truth")
    table = odds_ratio_table(own, effects(), None, questions=QUESTIONS)
    assert list(table["value"]) == pytest.approx([np.exp(2.0), np.exp(1.9), 7.3, 7.1])
    assert table["truth"].isna().all()


def test_without_a_question_there_is_no_row() -> None:
    nothing = odds_ratio_table(coefficients(), effects(), effects(), questions={"e": []})
    assert nothing.empty
    assert "scale" in nothing
