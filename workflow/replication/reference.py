"""The truth: what the generators answer, in closed form where there is one.

Each generator is a program of its own that knows nothing of the library under test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from replication.metrics import Estimate, odds_ratio
from replication.questions import (
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
    sample_tables,
    table,
)
from simulations import REGISTRY
from simulations.scm import StructuralModel

__all__ = [
    "COHORT_OFFSET",
    "FLOOR_OFFSET",
    "FRESH_OFFSET",
    "TRIAL_LAW",
    "answer_truth",
    "cohort_rows",
    "least_false_rows",
    "make_generator",
    "misspecified_nodes",
    "replicate_rows",
    "training_rows",
    "trial_population",
    "true_coefficients",
    "true_effect",
    "true_shift",
]

TRAIN_STRIDE = 10_000
"""Distance of the training streams of two seeds; no other stream is a multiple of it."""

FRESH_OFFSET, FLOOR_OFFSET, TRUTH_OFFSET = 5_000, 7_000, 6_000
"""Streams of fresh evaluation rows, of a second such sample, and of simulated truths."""

COVERAGE_OFFSET, LEAST_FALSE_OFFSET = 4_000, 8_000
"""Streams of the fresh data sets of a study of coverage, by steps of the training stride, and of
the large sample that stands for infinitely many rows."""

COHORT_OFFSET = 3_500
"""Streams of the cohorts of a Monte Carlo study, by steps of the training stride."""

TRIAL_LAW, PUBLISHED_TRUTH = "trial law", "published truth"
"""Populations of an average effect beside the trial's rows: the law they come from, and that law
by the published Monte Carlo draw."""

ODDS_ROWS, ODDS_SEED = 40_000, 99
"""Latents of the paper's odds-ratio check (appendix C.4)."""


def make_generator(process: Mapping[str, Any]) -> StructuralModel:
    """Generator from its name in the registry and its arguments.

    Raises:
        ValueError: The registry has no such name, or the generator refuses an argument.
    """
    name = process["name"]
    if name not in REGISTRY:
        raise ValueError(f"there is no process {name!r}; allowed are {', '.join(REGISTRY)}.")
    try:
        generator: StructuralModel = REGISTRY[name](**process["arguments"])
    except TypeError as error:
        raise ValueError(f"process {name!r} with {process['arguments']!r}: {error}") from None
    return generator


def training_rows(process: Mapping[str, Any], *, n: int, seeds: Sequence[int]) -> pd.DataFrame:
    """Training rows of several seeds, told apart by the column ``seed``."""
    generator = make_generator(process)
    return pd.concat(
        [
            generator.observational(n, seed_offset=TRAIN_STRIDE * seed).assign(seed=seed)
            for seed in seeds
        ],
        ignore_index=True,
    )


def replicate_rows(process: Mapping[str, Any], *, n: int, replicate: int) -> pd.DataFrame:
    """Rows of one fresh data set of a study of coverage; no model trains or is judged on them."""
    offset = TRAIN_STRIDE * replicate + COVERAGE_OFFSET
    return make_generator(process).observational(n, seed_offset=offset)


def cohort_rows(process: Mapping[str, Any], *, n: int, cohort: int) -> pd.DataFrame:
    """Rows of one cohort of a Monte Carlo study, the same ones for every model."""
    offset = TRAIN_STRIDE * cohort + COHORT_OFFSET
    return make_generator(process).observational(n, seed_offset=offset)


def least_false_rows(
    process: Mapping[str, Any], node: str, *, n: int
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """A large sample, and the true probability that a binary node is 1 given its parents."""
    generator = make_generator(process)
    rows = generator.observational(n, seed_offset=LEAST_FALSE_OFFSET)
    probability = np.exp(generator.log_density_by_node(rows.assign(**{node: 1}))[node])
    return rows, probability.to_numpy()


def answer_truth(
    process: Mapping[str, Any],
    questions: Mapping[str, Any],
    *,
    samples: int,
    fresh: int,
    trial: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """The generator's answers to the questions of an experiment.

    Args:
        process: Name and arguments of the generator.
        questions: See ``replication.experiments.Experiment.questions``.
        samples: Rows simulated per intervention where no closed form exists.
        fresh: Rows that stand for the law of the trial; models average over the same ones.
        trial: The population of the average effects, if the experiment has one.

    Returns:
        Tables by name with the columns of ``replication.questions.COLUMNS``.
    """
    generator = make_generator(process)
    summaries, densities, drawn = [], [], []
    for do in [OBSERVATIONAL, *questions["interventions"]]:
        sample = (
            generator.interventional(samples, do, seed_offset=TRUTH_OFFSET)
            if do
            else generator.observational(samples, seed_offset=TRUTH_OFFSET)
        )
        summary, density = sample_tables(sample, do=do, levels=generator.levels)
        summaries.append(_with_exact_moments(summary, generator, do))
        densities.append(density)
        if not do:
            drawn.append(joint_rows(sample, questions.get("draws", 0)))
    effects = [
        frame
        for effect in questions["effects"]
        for frame in _effects(generator, effect, fresh=fresh, trial=trial)
    ]
    effects += [_odds_ratio(generator, question) for question in questions["odds_ratios"]]
    return {
        "interventions": table("interventions", summaries),
        "densities": table("densities", densities),
        "shifts": table("shifts", [_shift(generator, s) for s in questions["shifts"]]),
        "conditionals": table(
            "conditionals",
            [_conditional(generator, c, samples=samples) for c in questions["conditionals"]],
        ),
        "effects": table("effects", effects),
        "curves": table("curves", [_curve(generator, c) for c in questions["curves"]]),
        "draws": table("draws", drawn),
    }


def true_coefficients(process: Mapping[str, Any]) -> pd.DataFrame:
    """Linear weights and cutpoints in the flow's sign convention and in raw units.

    Returns:
        DataFrame with the columns node, parameter (``shift`` or ``cutpoint``), parent, level and
        truth; an edge that is not linear is left out.
    """
    truth = make_generator(process).truth()
    weights = truth.get("weights", {}).get("flow_sign_convention", {})
    rows: list[tuple[str, str, str | None, float, float]] = [
        (node, "shift", parent, np.nan, weight)
        for node, edges in weights.items()
        for parent, weight in edges.items()
        if weight is not None
    ]
    rows += [
        (node, "cutpoint", None, level, cutpoint)
        for node, cutpoints in truth.get("cutpoints", {}).items()
        for level, cutpoint in enumerate(cutpoints or ())
    ]
    return pd.DataFrame(rows, columns=["node", "parameter", "parent", "level", "truth"])


def misspecified_nodes(process: Mapping[str, Any]) -> list[str]:
    """Nodes with an edge that is not linear, so that no linear model of them is true."""
    weights = make_generator(process).truth().get("weights", {}).get("flow_sign_convention", {})
    return [node for node, edges in weights.items() if None in edges.values()]


def true_effect(
    process: Mapping[str, Any], effect: Mapping[str, Any], population: pd.DataFrame
) -> float:
    """The true average effect in exactly these rows, given their other parents."""
    control, treated = _risks(make_generator(process), effect, population)
    return float((treated - control).mean())


def true_shift(
    generator: StructuralModel, shift: Mapping[str, str], values: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """The true shift of a node by a parent at the values, up to a constant, or None if unknown."""
    truth = generator.truth()
    curve = truth.get("shift_curve", {})
    if (curve.get("node"), curve.get("parent")) == (shift["node"], shift["parent"]):
        shifts: NDArray[np.float64] = generator.true_shift_curve(values)  # type: ignore[attr-defined]
        return shifts
    weights = truth.get("weights", {}).get("flow_sign_convention", {})
    weight = weights.get(shift["node"], {}).get(shift["parent"])
    return None if weight is None else weight * values


def trial_population(generator: StructuralModel, n: int) -> pd.DataFrame:
    """Fresh rows of the population that an average effect refers to: a trial if there is one."""
    draw = getattr(generator, "rct", generator.observational)
    rows: pd.DataFrame = draw(n, seed_offset=TRUTH_OFFSET)
    return rows


def _with_exact_moments(
    summary: pd.DataFrame, generator: StructuralModel, do: Mapping[str, float]
) -> pd.DataFrame:
    """Replace simulated means and sds by the analytic ones, whose error is zero."""
    if not hasattr(generator, "true_moments"):
        return summary
    moments = generator.true_moments(do)
    summary = summary.copy()
    for statistic in ("mean", "sd"):
        exact = summary["statistic"] == statistic
        summary.loc[exact, "value"] = summary.loc[exact, "node"].map(moments[statistic])
        summary.loc[exact, "mc_error"] = 0.0
    return summary


def _shift(generator: StructuralModel, shift: Mapping[str, str]) -> pd.DataFrame:
    parent = generator.observational(20_000, seed_offset=TRUTH_OFFSET)[shift["parent"]]
    low, high = np.quantile(parent, [0.01, 0.99])
    values = np.linspace(low, high, 201)
    shifts = true_shift(generator, shift, values)
    if shifts is None:
        return pd.DataFrame(columns=list(COLUMNS["shifts"]))
    return pd.DataFrame({**shift, "value": values, "shift": shifts})[list(COLUMNS["shifts"])]


def _conditional(
    generator: StructuralModel, conditional: Mapping[str, Any], *, samples: int
) -> pd.DataFrame:
    """Quantiles of a node with its parents held, against the log odds of falling below them."""
    node, given = conditional["node"], conditional["given"]
    rows = (
        generator.interventional(samples, given, seed_offset=TRUTH_OFFSET)
        if given
        else generator.observational(samples, seed_offset=TRUTH_OFFSET)
    )
    log_odds = np.linspace(-5, 5, 101)
    values = np.quantile(rows[node], expit(log_odds))
    label = conditional_label(conditional)
    return pd.DataFrame({"node": node, "given": label, "value": values, "log_odds": log_odds})


def _effects(
    generator: StructuralModel,
    effect: Mapping[str, Any],
    *,
    fresh: int,
    trial: pd.DataFrame | None,
) -> list[pd.DataFrame]:
    label = effect_label(effect)
    populations = {TRIAL_LAW: trial_population(generator, fresh)}
    if trial is not None:
        populations[TRIAL_ROWS] = trial
    frames = [
        effect_rows(_risks(generator, effect, rows), effect=label, population=population)
        for population, rows in populations.items()
    ]
    if hasattr(generator, "true_arm_risks"):
        risks = generator.true_arm_risks()
        published = {"P0": risks.control, "P1": risks.treated, "ATE": risks.difference}
        published["naive contrast"] = generator.naive_contrast()  # type: ignore[attr-defined]
        frames += [
            estimate_row(
                Estimate(value, np.nan),
                effect=label,
                population=PUBLISHED_TRUTH,
                quantity=quantity,
            )
            for quantity, value in published.items()
        ]
    return frames


def _risks(
    generator: StructuralModel, effect: Mapping[str, Any], rows: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P(outcome <= at_most) of each row in both arms, exact given the other parents."""
    control, treated = (
        generator.true_pmf(rows.assign(**{effect["treatment"]: arm}))[  # type: ignore[attr-defined]
            :, : effect["at_most"] + 1
        ].sum(axis=1)
        for arm in (0, 1)
    )
    return control, treated


def _odds_ratio(generator: StructuralModel, question: Mapping[str, Any]) -> pd.DataFrame:
    latents = generator.draw_latents(ODDS_ROWS, ODDS_SEED)
    parent, node = question["parent"], question["node"]
    factual = generator.simulate(latents)
    raised = generator.simulate(latents, {parent: factual[parent] + question["step"]})
    before, after = ((rows[node] <= question["threshold"]).to_numpy() for rows in (factual, raised))
    return estimate_row(
        odds_ratio(before, after),
        effect=odds_ratio_label(question),
        population=query_label(OBSERVATIONAL),
        quantity="odds ratio",
    )


def _curve(generator: StructuralModel, curve: Mapping[str, Any]) -> pd.DataFrame:
    alphas = grid(curve)
    rows = pd.DataFrame([curve["observation"]] * len(alphas))
    other = generator.true_counterfactual(  # type: ignore[attr-defined]
        rows, {curve["intervene"]: alphas}
    )
    return pd.DataFrame(
        {
            "curve": curve_label(curve),
            "node": curve["node"],
            "intervene": curve["intervene"],
            "set_to": alphas,
            "value": other[curve["node"]].to_numpy(),
        }
    )
