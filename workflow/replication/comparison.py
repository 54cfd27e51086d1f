"""Distances of a fitted model from its generator on the three rungs.

L1 compares laws, L2 summaries under interventions and average effects, L3 individual
counterfactuals. Rows for L1 and L3 are fresh: no model was trained on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import tramdag as td
from replication.evaluation import arm_risks, load_model
from replication.forecasts import score_forecasts
from replication.job import derive_seed
from replication.metrics import (
    Estimate,
    brier_score,
    kl_divergence,
    log_score,
    mean_estimate,
    root_mean_square,
    wasserstein,
)
from replication.questions import (
    OBSERVATIONAL,
    TRIAL_ROWS,
    effect_label,
    effect_rows,
    query_label,
)
from replication.reference import (
    FLOOR_OFFSET,
    FRESH_OFFSET,
    TRIAL_LAW,
    make_generator,
    trial_population,
    true_shift,
)
from replication.worlds import affected_nodes, counterfactual_rows, true_pmf
from simulations.scm import StructuralModel

__all__ = [
    "compare_answers",
    "compare_counterfactuals",
    "compare_curves",
    "compare_laws",
    "compare_models",
    "compare_reconstruction",
]

L1_COLUMNS = ("metric", "node", "value", "mc_error", "floor")
L2_COLUMNS = ("query", "node", "statistic", "estimate", "truth", "error", "mc_error")
L3_COLUMNS = ("query", "node", "metric", "value", "mc_error", "truth", "rows")


def compare_models(
    folder: str | Path,
    *,
    identity: Sequence[str],
    seeds: Sequence[int],
    process: Mapping[str, Any],
    questions: Mapping[str, Any],
    counterfactuals: Mapping[str, Any],
    sizes: Mapping[str, int],
    estimated: Mapping[str, pd.DataFrame],
    true: Mapping[str, pd.DataFrame],
) -> dict[str, pd.DataFrame]:
    """The tables ``l1``, ``l2``, ``l3``, ``forecasts`` and ``calibration`` of several seeds.

    Args:
        folder: Folder of the fitted models.
        identity: Experiment and model.
        seeds: Seeds of the models.
        process: Name and arguments of the generator.
        questions: See ``replication.experiments.Experiment.questions``.
        counterfactuals: Interventions and stream of the individual counterfactuals.
        sizes: Numbers of rows, see the schema's ``evaluation``.
        estimated: The models' answers: interventions, shifts, effects and curves.
        true: The generator's answers: interventions, effects and curves.
    """
    generator = make_generator(process)
    population = trial_population(generator, sizes["fresh_rows"])
    collected: dict[str, list[pd.DataFrame]] = {}
    asked = {
        "interventions": [entry["do"] for entry in counterfactuals["interventions"]],
        "seed_offset": counterfactuals["seed_offset"],
    }
    for seed in seeds:
        flow = load_model(folder, seed)
        stream = derive_seed(*identity, seed, "evaluate")
        own = {name: frame[frame["seed"] == seed] for name, frame in estimated.items()}
        law_effects = [
            effect_rows(
                arm_risks(flow, effect, population),
                effect=effect_label(effect),
                population=TRIAL_LAW,
            )
            for effect in questions["effects"]
        ]
        own["effects"] = pd.concat([own["effects"], *law_effects], ignore_index=True)
        found = {
            "l1": compare_laws(flow, generator, n=sizes["fresh_rows"], stream=stream),
            "l2": compare_answers(own, true, generator=generator, shifts=questions["shifts"]),
            "l3": pd.concat(
                [
                    compare_counterfactuals(
                        flow,
                        generator,
                        n=sizes["counterfactual_rows"],
                        stream=stream,
                        **asked,
                    ),
                    compare_reconstruction(
                        flow,
                        generator,
                        n=sizes["counterfactual_rows"],
                        seed_offset=asked["seed_offset"],
                        stream=stream,
                    ),
                    compare_curves(own["curves"], true["curves"]),
                ],
                ignore_index=True,
            ),
        }
        found["forecasts"], found["calibration"] = score_forecasts(
            flow, generator, n=sizes["forecast_rows"], stream=stream, **asked
        )
        for name, frame in found.items():
            key = dict(zip(("experiment", "model"), identity, strict=True)) | {"seed": seed}
            collected.setdefault(name, []).append(frame.assign(**key)[[*key, *frame.columns]])
    return {name: pd.concat(frames, ignore_index=True) for name, frames in collected.items()}


def compare_laws(
    flow: td.CausalFlowDAG, generator: StructuralModel, *, n: int, stream: int
) -> pd.DataFrame:
    """L1: Kullback-Leibler divergence in nats, negative log-likelihood, Wasserstein per margin.

    A node whose law has atoms (a clipped variable) has no finite divergence from any density; it
    and the joint law are left out then. ``floor`` is the Wasserstein distance of two samples from
    the generator itself, the value of a perfect model at this sample size. Where the generator
    knows the modes of a root, ``mode over dip`` is the density at the lower one over that at the
    dip between them: at most 1 without a dip there, whatever the law; ``floor`` is the truth's.
    """
    fresh = generator.observational(n, seed_offset=FRESH_OFFSET)
    log_truth = generator.log_density_by_node(fresh)
    log_model = flow.node_log_prob(fresh)
    rows: list[tuple[str, str, float, float, float]] = []

    def add(metric: str, node: str, estimate: Estimate, floor: float = np.nan) -> None:
        rows.append((metric, node, estimate.value, estimate.error, floor))

    smooth = [node for node in generator.columns if node not in generator.atoms]
    for node in smooth:
        add("kl", node, kl_divergence(log_truth[node].to_numpy(), log_model[node].to_numpy()))
    if len(smooth) == len(generator.columns):
        joint = log_truth.sum(axis=1).to_numpy(), log_model.sum(axis=1).to_numpy()
        add("kl", "joint", kl_divergence(*joint))
    add("nll", "joint", mean_estimate(-log_model.sum(axis=1).to_numpy()))
    for node, points in _true_modes(generator).items():
        rows_there = fresh.head(len(points)).assign(**{node: points})
        found = _mode_over_dip(flow.node_log_prob(rows_there)[node])
        perfect = _mode_over_dip(generator.log_density_by_node(rows_there)[node])
        add("mode over dip", node, Estimate(found, np.nan), perfect)

    sample = flow.sample(n, seed=stream)
    other = generator.observational(n, seed_offset=FLOOR_OFFSET)
    for node in generator.columns:
        truth = fresh[node].to_numpy(dtype=np.float64)
        distance = wasserstein(truth, sample[node].to_numpy(dtype=np.float64))
        floor = wasserstein(truth, other[node].to_numpy(dtype=np.float64))
        add("wasserstein", node, Estimate(distance, np.nan), floor)
    return pd.DataFrame(rows, columns=list(L1_COLUMNS))


def _true_modes(generator: StructuralModel) -> dict[str, tuple[float, float, float]]:
    """Mode, dip and mode of each bimodal root that the generator knows."""
    known: dict[str, tuple[float, float, float]] = getattr(generator, "true_modes", dict)()
    return known


def _mode_over_dip(log_density: pd.Series) -> float:
    low, dip, high = log_density
    return float(np.exp(min(low, high) - dip))


def compare_answers(
    estimated: Mapping[str, pd.DataFrame],
    true: Mapping[str, pd.DataFrame],
    *,
    generator: StructuralModel,
    shifts: Sequence[Mapping[str, str]],
) -> pd.DataFrame:
    """L2: errors of summaries, average effects and shift curves of one seed.

    ``mc_error`` is the Monte Carlo error of the difference. A shift curve counts by the root mean
    square of its centred difference, over a grid with equally many training rows between points.
    """
    summaries = _joined(
        estimated["interventions"], true["interventions"], on=["query", "node", "statistic"]
    )
    effects = _joined(
        estimated["effects"], true["effects"], on=["effect", "population", "quantity"]
    ).rename(columns={"effect": "query", "population": "node", "quantity": "statistic"})
    # both sides average over the very same rows, exactly
    effects.loc[effects["node"].isin([TRIAL_ROWS, TRIAL_LAW]), "mc_error"] = 0.0
    tables = [summaries, effects]
    for shift in shifts:
        curves = estimated["shifts"]
        curve = curves[(curves["node"] == shift["node"]) & (curves["parent"] == shift["parent"])]
        truth = true_shift(generator, shift, curve["value"].to_numpy())
        if truth is not None:
            gap = curve["shift"].to_numpy() - truth
            error = root_mean_square(gap - gap.mean())
            label = f"shift of {shift['node']} by {shift['parent']}"
            row = (label, shift["node"], "rmse", error, 0.0, error, 0.0)
            tables.append(pd.DataFrame([row], columns=list(L2_COLUMNS)))
    filled = [frame for frame in tables if len(frame)]
    return pd.concat([frame[list(L2_COLUMNS)] for frame in filled], ignore_index=True)


def compare_counterfactuals(
    flow: td.CausalFlowDAG,
    generator: StructuralModel,
    *,
    interventions: Sequence[Mapping[str, float]],
    seed_offset: int,
    n: int,
    stream: int,
) -> pd.DataFrame:
    """L3: individual counterfactuals of fresh rows against those of the generator.

    Continuous nodes: the absolute error. Ordinal nodes: the log and the Brier score of the model's
    counterfactual probabilities at the level that came true, with the score of the true
    probabilities in ``truth`` and the total variation between both where the generator knows them.
    """
    rows: list[tuple[str, str, str, float, float, float, int]] = []
    for do in interventions:
        factual, actual = counterfactual_rows(generator, do, n=n, seed_offset=seed_offset)
        predicted = flow.sample(do=dict(do), u=flow.abduct(factual, seed=stream))
        for node in affected_nodes(generator, do):
            came_true = actual[node].to_numpy()
            scored = (
                _score_law(
                    flow.counterfactual_pmf(factual, node, do=dict(do)).to_numpy(),
                    true_pmf(generator, factual, do, node),
                    came_true,
                )
                if node in generator.levels
                else [("absolute error", np.abs(predicted[node].to_numpy() - came_true), 0.0)]
            )
            for metric, values, truth in scored:
                mean = mean_estimate(values)
                rows.append((query_label(do), node, metric, mean.value, mean.error, truth, n))
    return pd.DataFrame(rows, columns=list(L3_COLUMNS))


def compare_reconstruction(
    flow: td.CausalFlowDAG,
    generator: StructuralModel,
    *,
    n: int,
    seed_offset: int,
    stream: int,
) -> pd.DataFrame:
    """L3: whether abducted latents give held-out rows back, as any counterfactual rests on that.

    The largest absolute error of each continuous node, the largest distance in levels of each
    ordinal one, over fresh rows that no model was trained on.
    """
    rows = generator.observational(n, seed_offset=seed_offset)
    again = flow.sample(u=flow.abduct(rows, seed=stream))
    largest = (again[list(generator.columns)] - rows).abs().max()
    table = [
        (query_label(OBSERVATIONAL), node, "reconstruction error", largest[node], np.nan, 0.0, n)
        for node in generator.columns
    ]
    return pd.DataFrame(table, columns=list(L3_COLUMNS))


def compare_curves(estimated: pd.DataFrame, true: pd.DataFrame) -> pd.DataFrame:
    """L3: root mean square error of each counterfactual curve over its grid."""
    pairs = estimated.merge(true, on=["curve", "node", "set_to"], suffixes=("", "_truth"))
    rows = [
        (
            curve,
            pair["node"].iloc[0],
            "curve rmse",
            root_mean_square((pair["value"] - pair["value_truth"]).to_numpy()),
            np.nan,
            0.0,
            len(pair),
        )
        for curve, pair in pairs.groupby("curve", sort=False)
    ]
    return pd.DataFrame(rows, columns=list(L3_COLUMNS))


def _joined(estimated: pd.DataFrame, true: pd.DataFrame, *, on: list[str]) -> pd.DataFrame:
    pairs = estimated.merge(true, on=on, suffixes=("", "_truth"))
    error = np.hypot(pairs["mc_error"], pairs["mc_error_truth"])
    return pairs.assign(
        estimate=pairs["value"],
        truth=pairs["value_truth"],
        error=pairs["value"] - pairs["value_truth"],
        mc_error=error,
    )


def _score_law(
    pmf: np.ndarray, reference: np.ndarray | None, came_true: np.ndarray
) -> list[tuple[str, np.ndarray, float]]:
    """Scores of the predicted probabilities per row, each with the mean score of the true ones."""
    scored = [
        (
            name,
            score(pmf, came_true),
            np.nan if reference is None else float(score(reference, came_true).mean()),
        )
        for name, score in (("log score", log_score), ("Brier score", brier_score))
    ]
    if reference is not None:
        scored.append(("total variation", np.abs(pmf - reference).sum(axis=1) / 2, 0.0))
    return scored
