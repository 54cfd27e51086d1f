"""Models that were fitted to a cohort, held against the outcomes of a randomised trial.

The trial is data that no model has seen, from another population, and its arms are comparable: it
tests predictions of the outcome, of the average effect and of the ranking of patients by it. What
is true of a single patient, no trial shows; where a generator knows it, it stands beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

import tramdag as td
from replication.evaluation import load_model
from replication.metrics import FloatArray
from replication.questions import effect_label
from replication.trial_scores import difference_of_arms, frequency, trial_scores
from simulations.scm import StructuralModel

__all__ = ["TABLES", "outcome_rows", "patient_rows", "ranking_rows", "risk_rows", "validate_models"]

BINS = 8
"""Bins of equal size of a predicted risk."""

GROUPS = 4
"""Groups of equal size by estimated individual effect."""

TABLES = ("outcomes", "risks", "patients", "ranking", "scores")


def validate_models(
    folder: str | Path,
    *,
    identity: Sequence[str],
    seeds: Sequence[int],
    trial: pd.DataFrame,
    effects: Sequence[Mapping[str, Any]],
    generator: StructuralModel | None,
) -> dict[str, pd.DataFrame]:
    """The tables :data:`TABLES` of the models of several seeds.

    Args:
        folder: The fitted models.
        identity: Experiment and model.
        seeds: Their seeds.
        trial: Rows of the trial with the outcome.
        effects: Treatment, outcome and at_most of each effect.
        generator: Knows individual risks, None without one.

    Raises:
        ValueError: The trial lacks an outcome.
    """
    missing = [e["outcome"] for e in effects if e["outcome"] not in trial]
    if missing:
        raise ValueError(
            f"the trial has no column {missing[0]!r}; its columns are "
            f"{', '.join(map(str, trial))}. Give the "
            "observed outcomes, or leave validation out."
        )
    collected: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for seed in seeds:
        flow = load_model(folder, seed)
        for effect in effects:
            for name, levels in (
                (effect["treatment"], 2),
                (effect["outcome"], flow.spec[effect["outcome"]].levels),
            ):
                _check_levels(trial, name, levels)
        for effect in effects:
            patients = patient_rows(flow, effect, trial, generator)
            pmf = flow.pmf(trial, node=effect["outcome"]).to_numpy()
            found = {
                "outcomes": outcome_rows(pmf, trial, effect),
                "risks": risk_rows(pmf, trial, effect),
                "patients": patients,
                "ranking": ranking_rows(patients),
                "scores": trial_scores(pmf, trial, effect, patients),
            }
            key = dict(zip(("experiment", "model"), identity, strict=True)) | {"seed": seed}
            key["effect"] = effect_label(effect)
            for name, table in found.items():
                collected[name].append(table.assign(**key)[[*key, *table.columns]])
    return {name: pd.concat(parts, ignore_index=True) for name, parts in collected.items()}


def _check_levels(trial: pd.DataFrame, name: str, levels: int) -> None:
    """Every row of the trial has a level of the column, and a treatment has both of its arms."""
    values = trial[name]
    strange = values[~values.isin(range(levels))]
    if len(strange):
        raise ValueError(
            f"the trial's column {name!r} holds {strange.tolist()[0]!r} in row {strange.index[0]} "
            f"({len(strange)} such rows); allowed are the whole numbers 0 to {levels - 1}, without "
            "missing values. Recode the column, or drop the rows."
        )
    if levels == 2 and values.nunique() < 2:
        raise ValueError(
            f"the trial's column {name!r} is {values.iloc[0]} in every row; a comparison needs "
            "rows of both arms. Leave validation out, or give the whole trial."
        )


def outcome_rows(pmf: FloatArray, trial: pd.DataFrame, effect: Mapping[str, Any]) -> pd.DataFrame:
    """Predicted and observed frequency of each level of the outcome in each arm.

    Args:
        pmf: Probabilities of each row's outcome given its arm and covariates, shape ``(n, K)``.
        trial: The rows.
        effect: Treatment and outcome.

    Returns:
        Columns arm, level, rows, predicted (mean probability over the arm's rows), observed, and
        lower and upper, the 95 percent Wilson interval of the frequency.
    """
    rows = []
    levels = trial[effect["outcome"]].to_numpy()
    for arm in (0, 1):
        own = (trial[effect["treatment"]] == arm).to_numpy()
        for level in range(pmf.shape[1]):
            happened = levels[own] == level
            rows.append((arm, level, int(own.sum()), pmf[own, level].mean(), *frequency(happened)))
    columns = ["arm", "level", "rows", "predicted", "observed", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns)


def risk_rows(pmf: FloatArray, trial: pd.DataFrame, effect: Mapping[str, Any]) -> pd.DataFrame:
    """Predicted P(outcome <= at_most) against its frequency, in bins of equal size.

    Returns:
        Columns bin, rows, predicted, observed, lower and upper (95 percent Wilson interval).
    """
    risk = pmf[:, : effect["at_most"] + 1].sum(axis=1)
    good = (trial[effect["outcome"]] <= effect["at_most"]).to_numpy()
    rows = [
        (number, len(members), risk[members].mean(), *frequency(good[members]))
        for number, members in enumerate(_equal_groups(risk, BINS))
    ]
    return pd.DataFrame(rows, columns=["bin", "rows", "predicted", "observed", "lower", "upper"])


def patient_rows(
    flow: td.CausalFlowDAG,
    effect: Mapping[str, Any],
    trial: pd.DataFrame,
    generator: StructuralModel | None,
) -> pd.DataFrame:
    """What the model says of each patient of the trial.

    Returns:
        Columns patient (number of the row), arm, good (whether the observed outcome was at most
        at_most), control and treated (P(outcome <= at_most) given the covariates), ite (their
        difference), benefit and harm (probability that treatment turns the outcome good, or bad,
        for this patient; latents shared across worlds) with Frechet bounds free of that
        assumption, better and worse (the same of any change of level) with bounds, and true_ite,
        missing where no generator knows it.
    """
    at_most = effect["at_most"]
    names = (effect["outcome"], effect["treatment"])
    good = flow.effect(*names, (0, 1), data=trial, of=lambda level: level <= at_most).rows
    any_level = flow.effect(*names, (0, 1), data=trial, of=lambda level: -level).rows
    joint = ["benefit", "benefit_lower", "benefit_upper", "harm", "harm_lower", "harm_upper"]
    table = pd.DataFrame(
        {
            "patient": np.arange(len(trial)),
            "arm": trial[effect["treatment"]].to_numpy(),
            "good": (trial[effect["outcome"]] <= at_most).astype(int).to_numpy(),
            "control": good["mean_a"].to_numpy(),
            "treated": good["mean_b"].to_numpy(),
            "ite": good["ite"].to_numpy(),
        }
    )
    for name in joint:
        table[name] = good[name].to_numpy()
    for name in joint:
        renamed = name.replace("benefit", "better").replace("harm", "worse")
        table[renamed] = any_level[name].to_numpy()
    return table.assign(true_ite=_true_effects(generator, effect, trial))


def ranking_rows(patients: pd.DataFrame) -> pd.DataFrame:
    """Observed differences of the arms in groups of patients by their estimated effect.

    Args:
        patients: See :func:`patient_rows`.

    Returns:
        Columns group (0: smallest estimated effect), rows, estimated (mean ite), true (mean
        true_ite), observed (share of good outcomes, treated minus control), lower and upper (95
        percent score interval of Newcombe; missing with an arm that has no row).
    """
    rows = []
    for number, members in enumerate(_equal_groups(patients["ite"].to_numpy(), GROUPS)):
        own = patients.iloc[members]
        means = own["ite"].mean(), own["true_ite"].mean()
        rows.append((number, len(own), *means, *difference_of_arms(own)))
    columns = ["group", "rows", "estimated", "true", "observed", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns)


def _true_effects(
    generator: StructuralModel | None, effect: Mapping[str, Any], trial: pd.DataFrame
) -> FloatArray:
    if (
        generator is None
        or effect["outcome"] != generator.columns[-1]
        or not hasattr(generator, "true_pmf")
    ):
        return np.full(len(trial), np.nan)
    control, treated = (
        generator.true_pmf(trial.assign(**{effect["treatment"]: arm}))[
            :, : effect["at_most"] + 1
        ].sum(axis=1)
        for arm in (0, 1)
    )
    return np.asarray(treated - control)


def _equal_groups(values: FloatArray, count: int) -> list[NDArray[np.int_]]:
    """Row numbers of groups of equal size by rank; fewer groups where there are few rows."""
    order = np.argsort(stats.rankdata(values, method="ordinal"))
    return np.array_split(order, max(1, min(count, len(values) // 2)))
