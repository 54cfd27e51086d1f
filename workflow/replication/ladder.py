"""The ladder of specifications: one outcome modelled in ever richer ways, side by side.

Three questions to each rung: which average effect it gives, how well it predicts rows that it has
not seen, and whether the treatment's odds ratio varies with a modifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy

import tramdag as td
from replication.questions import AVERAGED_ROWS, effect_label, select_rows
from simulations.scm import StructuralModel
from tramdag.inference import likelihood_ratio_test
from tramdag.spec import Node

__all__ = [
    "CURVE_COLUMNS",
    "LADDER_COLUMNS",
    "TEST_COLUMNS",
    "ladder_curves",
    "ladder_rows",
    "ladder_tests",
    "paired_difference",
    "true_odds_ratios",
]

LADDER_COLUMNS = (
    *("model", "solver", "parameters", "seeds", "ate", "sd", "min", "max", "lower", "upper"),
    *("truth", "nll", "nll_sd", "nll_difference", "difference_lower", "difference_upper", "folds"),
)
TEST_COLUMNS = ("model", "against", "test", "parent", "level", "statistic", "df", "p", "note")
CURVE_COLUMNS = (
    *("model", "seed", "value", "odds_ratio", "lower", "upper"),
    *("simultaneous_lower", "simultaneous_upper", "truth"),
)

CURVE_POINTS = 101
"""Points of an odds-ratio curve, between the 1 and 99 percent quantiles of the modifier."""

RESAMPLES = 9999
"""Bootstrap samples of a paired difference."""

Flows = Mapping[str, Mapping[int, td.CausalFlowDAG]]
"""Fitted flows by model and seed."""


def ladder_rows(
    flows: Flows,
    *,
    plan: Mapping[str, Any],
    effects: pd.DataFrame,
    held_out: pd.DataFrame,
    true: pd.DataFrame | None,
) -> pd.DataFrame:
    """One row per specification.

    Args:
        flows: The fitted models.
        plan: Base, treatment, outcome and at_most, see ``replication.chapter_plan.Ladder``.
        effects: Table ``effects`` of the models.
        held_out: Cross-validated likelihoods of all models, see ``replication.folds``.
        true: Table ``effects`` of the generator, None without one.

    Returns:
        ``LADDER_COLUMNS``: parameters of the outcome's node (estimable coefficients, or weights of
        the networks); average effect as mean, sd and range over seeds, with the interval of an
        exact model; cross-validated negative log-likelihood in nats per row, its sd over seeds,
        and its difference to the base with the 95 percent interval of paired rows.
    """
    rows = select_rows(effects, effect=effect_label(plan), quantity="ATE")
    rows = rows[rows["population"].isin(AVERAGED_ROWS)]
    truth = _true_effect(true, effect_label(plan))
    base = _by_row(held_out, plan["base"])
    table = []
    for model, fitted in flows.items():
        own = select_rows(rows, model=model)
        values = own["value"].to_numpy()
        first = next(iter(fitted.values()))
        folds = select_rows(held_out, model=model)
        difference, lower, upper = paired_difference(_by_row(held_out, model), base)
        exact = len(own) == 1
        table.append(
            {
                "model": model,
                "solver": _solver(first, plan["outcome"]),
                "parameters": _parameters(first, plan["outcome"]),
                "seeds": len(own),
                "ate": values.mean(),
                "sd": values.std(ddof=1) if len(own) > 1 else np.nan,
                "min": values.min(),
                "max": values.max(),
                "lower": own["lower"].iloc[0] if exact else np.nan,
                "upper": own["upper"].iloc[0] if exact else np.nan,
                "truth": truth,
                "nll": folds["nll"].mean(),
                "nll_sd": folds.groupby("seed")["nll"].mean().std(),
                "nll_difference": difference,
                "difference_lower": lower,
                "difference_upper": upper,
                "folds": folds["fold"].nunique(),
            }
        )
    return pd.DataFrame(table, columns=list(LADDER_COLUMNS))


def paired_difference(own: pd.Series, base: pd.Series) -> tuple[float, float, float]:
    r"""Mean difference of two models' losses on the same rows, with its 95 percent interval.

    :math:`\bar d` of :math:`d_i = \ell_i - \ell_i^0`, and the BCa bootstrap over rows (Efron 1987):
    a few rows that one model thinks nearly impossible make the differences too skew for a normal
    law. The interval holds the sampling of the rows; that training sets of the folds overlap is
    left out.
    """
    gap = (own - base).to_numpy()
    mean = float(gap.mean())
    if (gap == gap[0]).all():
        return mean, mean, mean
    found = scipy.stats.bootstrap(
        (gap,), np.mean, n_resamples=RESAMPLES, batch=1000, rng=np.random.default_rng(0)
    ).confidence_interval
    return mean, float(found.low), float(found.high)


def ladder_tests(flows: Flows, *, plan: Mapping[str, Any], train: pd.DataFrame) -> pd.DataFrame:
    """Tests of the base against richer models.

    Likelihood-ratio tests against every other model that is solved exactly and contains the base;
    score tests of the base's terms (its effects bend, or differ along the outcome), which need no
    richer fit.

    Args:
        flows: The fitted models.
        plan: See :func:`ladder_rows`.
        train: The rows of the fit.

    Returns:
        ``TEST_COLUMNS``; a model without a test has a note that says why.
    """
    node = plan["outcome"]
    base = next(iter(flows[plan["base"]].values()))
    rows: list[dict[str, Any]] = []
    for model, fitted in flows.items():
        if model == plan["base"]:
            continue
        row: dict[str, Any] = {"model": model, "against": plan["base"], "test": "likelihood ratio"}
        other = next(iter(fitted.values()))
        if _solver(other, node) != "exact":
            row["note"] = "none: weights of a network are no maximum likelihood estimate"
        elif not _contains(other.spec[node], base.spec[node]):
            row["note"] = "none: the base is not nested in this model"
        else:
            try:
                # of this node alone: the others may be networks in one of the two
                found = likelihood_ratio_test(_statistics(base, node), _statistics(other, node))
            except td.SpecError:
                row["note"] = "none: the base is not nested in this model"
            else:
                result = found.iloc[0]
                row |= {key: result[key] for key in ("statistic", "df", "p")}
        rows.append(row)
    scores = base.attach(train).term_tests(node)
    for score in scores.to_dict("records"):
        words = "differs along the outcome" if score["alternative"] == "ci" else "bends"
        rows.append(
            {
                "model": plan["base"],
                "test": f"score: the effect {words}",
                **{key: score[key] for key in ("parent", "level", "statistic", "df", "p")},
            }
        )
    return pd.DataFrame(rows, columns=list(TEST_COLUMNS))


def _contains(other: Node, base: Node) -> bool:
    """Whether every linear shift of the base stands in the other node, alone or in a vc term.

    A coefficient that varies with a covariate has the constant one among its special cases.
    """
    varying = {(term.parents[0],) for term in other.terms if term.kind == "vc"}
    shifts = {term.parents for term in other.terms if term.kind == "ls"} | varying
    needed = {term.parents for term in base.terms}
    richer = {(term.kind, term.parents) for term in other.terms}
    same = {(term.kind, term.parents) for term in base.terms}
    return needed <= shifts and richer != same


def ladder_curves(
    flows: Flows,
    *,
    plan: Mapping[str, Any],
    rows: pd.DataFrame,
    generator: StructuralModel | None,
) -> pd.DataFrame:
    """The treatment's odds ratio as a function of the modifier, by model and seed.

    Args:
        flows: The fitted models.
        plan: See :func:`ladder_rows`.
        rows: The cohort, which gives the range of the modifier.
        generator: Knows the true curve, None without one.

    Returns:
        ``CURVE_COLUMNS``: the odds ratio of a worse outcome with 95 percent pointwise and
        simultaneous bands where a network takes no part. A model whose odds ratio differs along the
        outcome has no curve.
    """
    low, high = np.quantile(rows[plan["modifier"]], [0.01, 0.99])
    values = np.linspace(low, high, CURVE_POINTS)
    truth = None if generator is None else true_odds_ratios(generator, plan, rows, values)
    tables = []
    for model, fitted in flows.items():
        for seed, flow in fitted.items():
            try:
                curve = flow.odds_ratio_curve(
                    plan["outcome"], plan["treatment"], plan["modifier"], values
                )
            except td.SpecError:
                # the treatment enters by a complex intercept: no single odds ratio
                break
            curve = curve.rename(columns={plan["modifier"]: "value"})
            curve = curve.assign(model=model, seed=seed, truth=np.nan if truth is None else truth)
            tables.append(curve[list(CURVE_COLUMNS)])
    empty = pd.DataFrame(columns=list(CURVE_COLUMNS))
    return pd.concat(tables, ignore_index=True) if tables else empty


def true_odds_ratios(
    generator: StructuralModel,
    plan: Mapping[str, Any],
    rows: pd.DataFrame,
    values: np.ndarray,
) -> np.ndarray | None:
    """The generator's odds ratio of an outcome above ``at_most``, or None if it has no pmf.

    Args:
        generator: The generator.
        plan: See :func:`ladder_rows`.
        rows: The cohort, whose medians the other parents are held at; they cancel where the
            outcome has proportional odds.
        values: Values of the modifier, shape ``(n,)``.
    """
    if plan["outcome"] != generator.columns[-1] or not hasattr(generator, "true_pmf"):
        return None
    others = rows[list(generator.columns)].median().round().to_dict()
    table = pd.DataFrame([others] * len(values)).assign(**{plan["modifier"]: values})
    for name in generator.levels:
        table[name] = table[name].astype(int)
    odds = []
    for arm in (0, 1):
        pmf = generator.true_pmf(table.assign(**{plan["treatment"]: arm}))
        above = pmf[:, plan["at_most"] + 1 :].sum(axis=1)
        odds.append(above / (1 - above))
    return np.asarray(odds[1] / odds[0])


def _true_effect(true: pd.DataFrame | None, effect: str) -> float:
    if true is None:
        return float("nan")
    rows = select_rows(true, effect=effect, quantity="ATE")
    rows = rows[rows["population"].isin(AVERAGED_ROWS)]
    return float(rows["value"].iloc[0]) if len(rows) else float("nan")


def _by_row(held_out: pd.DataFrame, model: str) -> pd.Series:
    """Loss of each row, the mean over seeds."""
    return select_rows(held_out, model=model).groupby("row")["nll"].mean()


def _statistics(flow: td.CausalFlowDAG, node: str) -> pd.DataFrame:
    table = flow.fit_statistics()
    return table[table["node"] == node].reset_index(drop=True)


def _solver(flow: td.CausalFlowDAG, node: str) -> str:
    return str(_statistics(flow, node)["solver"].iloc[0])


def _parameters(flow: td.CausalFlowDAG, node: str) -> int:
    counted = _statistics(flow, node)["n_parameters"].iloc[0]
    if pd.isna(counted):
        return sum(weights.numel() for weights in flow.conditionals[node].parameters())
    return int(counted)
