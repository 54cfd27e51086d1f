"""What fitted models answer, and how far that is from the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import tramdag as td
from replication.job import derive_seed
from replication.metrics import odds_ratio
from replication.questions import (
    COLUMNS,
    OBSERVATIONAL,
    TRIAL_ROWS,
    curve_label,
    effect_label,
    effect_rows,
    estimate_row,
    grid,
    odds_ratio_label,
    query_label,
    sample_tables,
    table,
)

__all__ = ["answer_models", "answers", "arm_risks", "load_model", "ordinal_levels"]

SHIFT_POINTS = 201
"""Points of a shift curve, between the 1 and 99 percent quantiles of the parent."""


def load_model(folder: str | Path, seed: int) -> td.CausalFlowDAG:
    """The fitted model of a seed, on the CPU."""
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
    trial: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """The answers of the models of several seeds, see :func:`answers`.

    Returns:
        Tables by name, with experiment, model and seed in the first columns.
    """
    collected: dict[str, list[pd.DataFrame]] = {name: [] for name in COLUMNS}
    for seed in seeds:
        found = answers(
            load_model(folder, seed),
            questions,
            samples=samples,
            stream=derive_seed(*identity, seed, "estimate"),
            train=train,
            trial=trial,
        )
        for name, answer in found.items():
            key = dict(zip(("experiment", "model"), identity, strict=True)) | {"seed": seed}
            collected[name].append(answer.assign(**key)[[*key, *COLUMNS[name]]])
    return {name: pd.concat(frames, ignore_index=True) for name, frames in collected.items()}


def answers(
    flow: td.CausalFlowDAG,
    questions: Mapping[str, Any],
    *,
    samples: int,
    stream: int,
    train: pd.DataFrame,
    trial: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """One model's answers to the questions of an experiment.

    Args:
        flow: The fitted model.
        questions: See ``replication.experiments.Experiment.questions``.
        samples: Rows sampled per intervention.
        stream: Seed of the samples.
        train: Training rows, for the range of shift curves.
        trial: The population of the average effects.

    Returns:
        Tables by name with the columns of ``replication.questions.COLUMNS``.
    """
    summaries, densities = [], []
    for do in [OBSERVATIONAL, *questions["interventions"]]:
        sample = flow.sample(samples, do=do or None, seed=stream)
        summary, density = sample_tables(sample, do=do, levels=ordinal_levels(flow))
        summaries.append(summary)
        densities.append(density)
    effects = [
        effect_rows(
            arm_risks(flow, effect, trial), effect=effect_label(effect), population=TRIAL_ROWS
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
        "effects": table("effects", effects),
        "curves": table("curves", [_curve(flow, c, stream) for c in questions["curves"]]),
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
