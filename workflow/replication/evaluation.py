"""What fitted models answer, and how far that is from the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import ge
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

import tramdag as td
from replication.baselines import BASELINE_SUFFIX, BaselineFlow
from replication.job import derive_seed
from replication.metrics import odds_ratio
from replication.questions import (
    COHORT_ROWS,
    COLUMNS,
    OBSERVATIONAL,
    TRIAL_ROWS,
    conditional_label,
    curve_label,
    effect_label,
    effect_rows,
    estimate_row,
    grid,
    joint_rows,
    odds_ratio_label,
    query_label,
    rows_of_seed,
    sample_tables,
    table,
)

__all__ = [
    "ESTIMATED_COLUMNS",
    "answer_models",
    "answers",
    "arm_risks",
    "effect_intervals",
    "load_model",
    "ordinal_levels",
]

ESTIMATED_COLUMNS = {
    **COLUMNS,
    "effects": (*COLUMNS["effects"], "std_error", "lower", "upper", "note"),
}
"""Columns of a model's answers: average effects come with their uncertainty."""

_QUANTITIES = {"mean_a": "P0", "mean_b": "P1", "ate": "ATE"}

SHIFT_POINTS = 201
"""Points of a shift curve, between the 1 and 99 percent quantiles of the parent."""


CONDITIONAL_POINTS = 101
"""Points of a conditional law, between the 0.5 and 99.5 percent quantiles of the node."""


def load_model(folder: str | Path, seed: int) -> Any:
    """The fitted model of a seed, on the CPU: a ``CausalFlowDAG`` or a ``BaselineFlow``.

    Both answer ``node_log_prob``, ``sample``, ``abduct`` and ``summary`` and know their ``spec``.
    """
    baseline = Path(folder) / f"seed-{seed}{BASELINE_SUFFIX}"
    if baseline.is_file():
        return BaselineFlow.load(baseline)
    return td.CausalFlowDAG.load(Path(folder) / f"seed-{seed}.pt", device="cpu")


def ordinal_levels(flow: td.CausalFlowDAG) -> dict[str, int]:
    """Number of levels of each ordinal node."""
    return {
        name: node.levels for name, node in flow.spec.items() if isinstance(node, td.OrdinalNode)
    }


def answer_models(
    folder: str | Path,
    *,
    identity: Sequence[str],
    seeds: Sequence[int],
    questions: Mapping[str, Any],
    samples: int,
    train: pd.DataFrame,
    by_seed: bool,
    trial: pd.DataFrame | None,
) -> dict[str, pd.DataFrame]:
    """The answers of the models of several seeds, see :func:`answers`.

    Args:
        folder: The fitted models.
        identity: Experiment and model.
        seeds: Their seeds.
        questions: See ``replication.experiments.Experiment.questions``.
        samples: Rows sampled per intervention.
        train: Training rows.
        by_seed: Whether the column ``seed`` of ``train`` tells the rows of each seed apart.
        trial: The population of the average effects, None for the training rows.

    Returns:
        Tables by name, with experiment, model and seed in the first columns; ``effects`` with
        the columns of :func:`effect_intervals`.
    """
    collected: dict[str, list[pd.DataFrame]] = {name: [] for name in COLUMNS}
    for seed in seeds:
        flow = load_model(folder, seed)
        own = rows_of_seed(train, seed, by_seed=by_seed)
        found = answers(
            flow,
            questions,
            samples=samples,
            stream=derive_seed(*identity, seed, "estimate"),
            train=own,
            trial=trial,
        )
        found["effects"] = found["effects"].merge(
            effect_intervals(flow, questions["effects"], own if trial is None else trial),
            on=["effect", "quantity"],
            how="left",
        )
        for name, answer in found.items():
            key = dict(zip(("experiment", "model"), identity, strict=True)) | {"seed": seed}
            collected[name].append(answer.assign(**key)[[*key, *ESTIMATED_COLUMNS[name]]])
    return {name: pd.concat(frames, ignore_index=True) for name, frames in collected.items()}


def answers(
    flow: td.CausalFlowDAG,
    questions: Mapping[str, Any],
    *,
    samples: int,
    stream: int,
    train: pd.DataFrame,
    trial: pd.DataFrame | None,
) -> dict[str, pd.DataFrame]:
    """One model's answers to the questions of an experiment.

    Args:
        flow: The fitted model.
        questions: See ``replication.experiments.Experiment.questions``.
        samples: Rows sampled per intervention.
        stream: Seed of the samples.
        train: Training rows, for the range of shift curves.
        trial: The population of the average effects, None for the training rows.

    Returns:
        Tables by name with the columns of ``replication.questions.COLUMNS``.
    """
    summaries, densities, drawn = [], [], []
    for do in [OBSERVATIONAL, *questions["interventions"]]:
        sample = flow.sample(samples, do=do or None, seed=stream)
        summary, density = sample_tables(sample, do=do, levels=ordinal_levels(flow))
        summaries.append(summary)
        densities.append(density)
        if not do:
            drawn.append(joint_rows(sample, questions.get("draws", 0)))
    effects = [
        effect_rows(
            arm_risks(flow, effect, train if trial is None else trial),
            effect=effect_label(effect),
            population=COHORT_ROWS if trial is None else TRIAL_ROWS,
        )
        for effect in questions["effects"]
    ]
    effects += [
        _odds_ratio(flow, question, samples=samples, stream=stream)
        for question in questions["odds_ratios"]
    ]
    return {
        "interventions": table("interventions", summaries),
        "densities": table("densities", densities),
        "shifts": table("shifts", [_shift(flow, s, train) for s in questions["shifts"]]),
        "conditionals": table(
            "conditionals", [_conditional(flow, c, train) for c in questions["conditionals"]]
        ),
        "effects": table("effects", effects),
        "curves": table("curves", [_curve(flow, c, stream) for c in questions["curves"]]),
        "draws": table("draws", drawn),
    }


def arm_risks(
    flow: td.CausalFlowDAG, effect: Mapping[str, Any], rows: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """P(outcome <= at_most) of each row under do(treatment = 0) and do(treatment = 1)."""
    control, treated = (
        flow.pmf(rows, node=effect["outcome"], do={effect["treatment"]: arm})
        .to_numpy()[:, : effect["at_most"] + 1]
        .sum(axis=1)
        for arm in (0, 1)
    )
    return control, treated


def effect_intervals(
    flow: td.CausalFlowDAG, effects: Sequence[Mapping[str, Any]], rows: pd.DataFrame
) -> pd.DataFrame:
    """Standard errors and 95 percent intervals of the average effects in these very rows.

    By the delta method, see ``CausalFlowDAG.effect``. They hold what the fit does not know, and
    nothing of the rows being a sample.

    Returns:
        Columns effect, quantity (P0, P1, ATE), std_error, lower, upper, and a note, which says why
        an interval is missing.
    """
    columns = ["effect", "quantity", "std_error", "lower", "upper", "note"]
    tables = []
    for effect in effects:
        found = flow.effect(
            effect["outcome"],
            effect["treatment"],
            (0, 1),
            data=rows,
            of=partial(ge, effect["at_most"]),
        ).summary
        found = found[found["quantity"].isin(_QUANTITIES)].assign(effect=effect_label(effect))
        tables.append(found.assign(quantity=found["quantity"].map(_QUANTITIES))[columns])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _odds_ratio(
    flow: td.CausalFlowDAG, question: Mapping[str, Any], *, samples: int, stream: int
) -> pd.DataFrame:
    parent, node = question["parent"], question["node"]
    factual = flow.sample(samples, seed=stream)
    raised = flow.sample(samples, do={parent: lambda x: x + question["step"]}, seed=stream)
    before, after = ((rows[node] <= question["threshold"]).to_numpy() for rows in (factual, raised))
    return estimate_row(
        odds_ratio(before, after),
        effect=odds_ratio_label(question),
        population=query_label(OBSERVATIONAL),
        quantity="odds ratio",
    )


def _shift(flow: td.CausalFlowDAG, shift: Mapping[str, str], train: pd.DataFrame) -> pd.DataFrame:
    parent = train[shift["parent"]].to_numpy()
    # equally many rows lie between two neighbours, so a plain mean over the grid weights by data
    values = np.unique(np.quantile(parent, np.linspace(0.01, 0.99, SHIFT_POINTS)))
    curve = flow.shift_curve(shift["node"], shift["parent"], values.tolist())
    return curve.assign(**shift)[list(COLUMNS["shifts"])]


def _conditional(
    flow: td.CausalFlowDAG, conditional: Mapping[str, Any], train: pd.DataFrame
) -> pd.DataFrame:
    node, given = conditional["node"], conditional["given"]
    values = np.quantile(train[node], np.linspace(0.005, 0.995, CONDITIONAL_POINTS))
    cdf = flow.cdf(None, node, do=given or None, at=values.tolist()).to_numpy()[0]
    label = conditional_label(conditional)
    return pd.DataFrame({"node": node, "given": label, "value": values, "log_odds": logit(cdf)})


def _curve(flow: td.CausalFlowDAG, curve: Mapping[str, Any], stream: int) -> pd.DataFrame:
    alphas = grid(curve)
    rows = pd.DataFrame([curve["observation"]] * len(alphas))
    latents = flow.abduct(rows, seed=stream)
    other = flow.sample(do={curve["intervene"]: alphas}, u=latents)
    return pd.DataFrame(
        {
            "curve": curve_label(curve),
            "node": curve["node"],
            "intervene": curve["intervene"],
            "set_to": alphas,
            "value": other[curve["node"]].to_numpy(),
        }
    )
