"""The verb ``effect``: what setting one node does to another, with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from tramdag import inference, queries
from tramdag.data import check_frame, encode_do, known_node
from tramdag.errors import SpecError
from tramdag.flow_state import FlowBase, check_points
from tramdag.spec import OrdinalNode, descendants

__all__ = ["Effect", "EffectVerbs"]

Score = Callable[[Any], Any]


@dataclass(frozen=True)
class Effect:
    r"""Effect of setting a node to b against a, on g(outcome).

    Attributes:
        summary: Columns quantity, estimate, std_error, lower, upper, note. Rows:
            ``mean_a`` and ``mean_b`` (:math:`E[g(Y) | do]` averaged over the rows), ``ate`` (their
            difference), ``ratio`` (b over a, for positive means) and, for ordinal outcomes, the
            averages of ``benefit``, ``harm``, ``no_change`` with their Frechet bounds as lower
            and upper; with a 0/1 score ``benefit`` is the probability of necessity and
            sufficiency.
        rows: Per row of the data ``mean_a``, ``mean_b``, ``ite`` and, for ordinal outcomes, the
            joint quantities with their bounds.
        level: Confidence level of the intervals.
    """

    summary: pd.DataFrame
    rows: pd.DataFrame = field(repr=False)
    level: float

    @property
    def ate(self) -> float:
        """The average effect."""
        return float(self.summary["estimate"][self.summary["quantity"] == "ate"].iloc[0])

    def __str__(self) -> str:
        return self.summary.to_string(index=False)


class EffectVerbs(FlowBase):
    """Effects; see :class:`~tramdag.CausalFlowDAG`."""

    def effect(
        self,
        outcome: str,
        treatment: str,
        values: tuple[Any, Any] = (0, 1),
        *,
        data: pd.DataFrame,
        of: Score | None = None,
        rows: str = "fixed",
        level: float = 0.95,
        n_points: int = 512,
        seed: int = 0,
    ) -> Effect:
        r"""Average and individual effects of ``do(treatment = b)`` against ``do(treatment = a)``.

        Each row keeps what the treatment does not change; its effects on the way to the outcome
        respond. Intervals are by the delta method and exist where every node on the way is
        classical. Benefit and harm compare both potential outcomes of a row under the assumption
        that it keeps its latents across worlds; the Frechet bounds beside them do not need it.

        Args:
            outcome: The node whose change is asked for.
            treatment: The node that is set.
            values: The two values (a, b).
            data: Rows of the population, with the columns that the treatment does not change.
            of: g, vectorised over outcome values or level codes, larger being better, such as
                ``lambda y: y <= 2``; None takes the outcome itself. For a continuous outcome a
                function of one's own leaves no interval, since its derivative is not known.
            rows: ``"fixed"`` (effects in exactly these rows) or ``"sampled"`` (they are a sample of
                the population that is meant, which widens the intervals).
            level: Confidence level.
            n_points: Integration points, 8 times a power of two.
            seed: Seed of the points.

        Raises:
            SpecError: Unknown node, outcome not an effect of the treatment, or a bad option.
            DataError: data or a value does not fit.
        """
        self._require_fit("effect")
        inference.check_level(level)
        known_node(outcome, self._nodes, what="effect")
        known_node(treatment, self._nodes, what="effect")
        if outcome not in descendants(self._nodes, [treatment]):
            raise SpecError(
                f"effect: {outcome!r} is not an effect of {treatment!r} in this DAG, so every "
                "effect is zero by assumption."
            )
        if rows not in ("fixed", "sampled"):
            raise SpecError(f"effect: rows={rows!r} is unknown; allowed are 'fixed', 'sampled'.")
        check_points(n_points, "effect")
        if not isinstance(values, (tuple, list)) or len(values) != 2:
            raise SpecError(f"effect: values={values!r} must be the two values (a, b).")
        score = _tensor_score(of)
        arms = [
            self._effect_query(data, outcome, treatment, value, n_points, seed) for value in values
        ]
        means = [queries.arm_means(arm, score, smooth=of is None) for arm in arms]
        continuous = not isinstance(self._nodes[outcome], OrdinalNode)
        reason = "of= has no derivative here" if continuous and of is not None else ""
        table = self._marginal_summary(means, rows, level, reason)
        per_row = pd.DataFrame(
            {"mean_a": means[0].per_row, "mean_b": means[1].per_row}, index=data.index
        )
        per_row["ite"] = per_row["mean_b"] - per_row["mean_a"]
        if not continuous:
            joint = queries.joint_outcomes(arms[0], arms[1], score)
            columns = {k: v for k, v in vars(joint).items() if k != "integration_error"}
            per_row = per_row.assign(**columns)
            per_row["no_change"] = 1.0 - per_row["benefit"] - per_row["harm"]
            table = pd.concat(
                [table, _joint_summary(per_row, joint.integration_error)], ignore_index=True
            )
        return Effect(table, per_row, level)

    def _effect_query(
        self,
        data: pd.DataFrame,
        outcome: str,
        treatment: str,
        value: Any,
        n_points: int,
        seed: int,
    ) -> queries.Query:
        n = check_frame(data)
        interventions = encode_do({treatment: value}, self._nodes, self._labels, n)
        needed = queries.needed_columns(self._conditionals, outcome, interventions)
        return queries.Query(
            conditionals=self._conditionals,
            values=self._on_device(self._encode(data, columns=needed)),
            node=outcome,
            interventions=interventions,
            n=n,
            n_points=n_points,
            seed=seed,
        )

    def _marginal_summary(
        self, means: list[queries.ArmMeans], rows: str, level: float, reason: str
    ) -> pd.DataFrame:
        """Arm means, their difference and ratio, with delta-method errors."""
        per_row = np.stack([arm.per_row for arm in means])
        estimates = per_row.mean(1)
        nodes = list(means[0].gradients)
        on_the_way = means[0].on_the_way
        networks = [node for node in on_the_way if node not in nodes]
        separated = [node for node in on_the_way if self._entry(node).separated]
        covariance = np.zeros((2, 2))
        for node in nodes:
            gradient = np.stack([arm.gradients[node] for arm in means])
            psi = inference.psi_covariance(self._information_of(node))
            covariance += gradient @ psi @ gradient.T
        if rows == "sampled":
            n = per_row.shape[1]
            covariance += np.cov(per_row) / n if n > 1 else np.nan
        if networks:
            reason = f"networks in {', '.join(networks)}"
        if separated:
            reason = f"separated levels in {', '.join(separated)}"
        if reason:
            covariance[:] = np.nan
        contrasts = {"mean_a": [1.0, 0.0], "mean_b": [0.0, 1.0], "ate": [-1.0, 1.0]}
        note = f"no interval: {reason}" if reason else ""
        quantile = stats.norm.ppf(0.5 + 0.5 * level)
        table = []
        for quantity, weights in contrasts.items():
            estimate = float(np.dot(weights, estimates))
            error = float(np.sqrt(np.dot(weights, covariance @ weights)))
            table.append((quantity, estimate, error, quantile * error, note))
        frame = pd.DataFrame(table, columns=["quantity", "estimate", "std_error", "half", "note"])
        frame["lower"] = frame["estimate"] - frame["half"]
        frame["upper"] = frame["estimate"] + frame["half"]
        frame = pd.concat([frame, _ratio(estimates, covariance, quantile, note)], ignore_index=True)
        return frame[["quantity", "estimate", "std_error", "lower", "upper", "note"]]


def _ratio(
    estimates: np.ndarray, covariance: np.ndarray, quantile: float, note: str
) -> pd.DataFrame:
    """B over a with an interval on the log scale; no row where a mean is not positive."""
    if not (estimates > 0).all():
        return pd.DataFrame()
    gradient = np.array([-1.0, 1.0]) / estimates
    log_error = float(np.sqrt(gradient @ covariance @ gradient))
    ratio = float(estimates[1] / estimates[0])
    row = {
        "quantity": "ratio",
        "estimate": ratio,
        "std_error": ratio * log_error,
        "lower": ratio * np.exp(-quantile * log_error),
        "upper": ratio * np.exp(quantile * log_error),
        "note": note,
    }
    return pd.DataFrame([row])


def _joint_summary(per_row: pd.DataFrame, integration_error: float) -> pd.DataFrame:
    note = "lower and upper are Frechet bounds, free of the cross-world assumption"
    if integration_error:
        note += f"; integration error up to {integration_error:.1e} per row"
    means = per_row.mean()
    table = [
        (name, means[name], np.nan, means[f"{name}_lower"], means[f"{name}_upper"], note)
        for name in ("benefit", "harm")
    ]
    table.append(("no_change", means["no_change"], np.nan, np.nan, np.nan, ""))
    return pd.DataFrame(
        table, columns=["quantity", "estimate", "std_error", "lower", "upper", "note"]
    )


def _tensor_score(of: Score | None) -> Callable[[Tensor], Tensor]:
    """G on tensors; a user's function sees NumPy arrays and carries no gradient."""
    if of is None:
        return lambda outcome: outcome

    def score(outcome: Tensor) -> Tensor:
        result = np.asarray(of(outcome.detach().cpu().numpy()), dtype=float)
        if result.shape != tuple(outcome.shape):
            raise SpecError(
                f"effect: of= returned the shape {result.shape} for {len(outcome)} outcome values; "
                "it must return one number for each."
            )
        return torch.as_tensor(result, device=outcome.device)

    return score
