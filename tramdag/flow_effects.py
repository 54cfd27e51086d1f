"""The verb ``effect``: what setting one node does to another, with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tramdag import inference, queries
from tramdag.arguments import check_choice, flat_numbers, shown
from tramdag.data import check_frame, known_node
from tramdag.errors import DataError, SpecError
from tramdag.flow_delta import ESTIMATE_COLUMNS, DeltaBase, DeltaMethod
from tramdag.flow_state import check_points
from tramdag.spec import OrdinalNode, descendants

__all__ = ["Effect", "EffectVerbs"]

Score = Callable[[Any], Any]

_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Effect:
    r"""Effect of setting a node to b against a, on g(outcome).

    Attributes:
        summary: Columns quantity, estimate, std_error, lower, upper (the interval),
            frechet_lower, frechet_upper (bounds free of the cross-world assumption), note. Rows:
            ``mean_a`` and ``mean_b`` (:math:`E[g(Y) | do]` averaged over the rows), ``ate`` (their
            difference), ``ratio`` (b over a, for positive means); for a continuous outcome
            ``quantile_a(tau)``, ``quantile_b(tau)``, ``qte(tau)``; the averages of ``benefit``,
            ``harm``, ``no_change``; for a 0/1 score ``pns``, ``pn`` and ``ps``.
        rows: Per row of the data ``mean_a``, ``mean_b``, ``ite`` and the joint quantities with
            their bounds.
        level: Confidence level of the intervals.
        influence: Influence of every training row on the quantities that have an interval, through
            the fitted parameters, a column each. The squares' sum is the robust variance; sums
            within clusters come first where rows are clustered. None without an interval or
            without training rows.
    """

    summary: pd.DataFrame
    rows: pd.DataFrame = field(repr=False)
    level: float
    influence: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def ate(self) -> float:
        """The average effect."""
        return float(self.summary["estimate"][self.summary["quantity"] == "ate"].iloc[0])

    def __str__(self) -> str:
        return self.summary.to_string(index=False)


class EffectVerbs(DeltaBase):
    """Effects; see :class:`~tramdag.CausalFlowDAG`."""

    def effect(
        self,
        outcome: str,
        treatment: str,
        values: tuple[Any, Any] = (0, 1),
        data: pd.DataFrame | None = None,
        *,
        of: Score | None = None,
        quantiles: Sequence[float] | None = None,
        rows: str = "fixed",
        level: float = 0.95,
        n_points: int = 512,
        seed: int = 0,
    ) -> Effect:
        r"""Average and individual effects of ``do(treatment = b)`` against ``do(treatment = a)``.

        Each row keeps what the treatment does not change; its effects on the way to the outcome
        respond. Intervals are by the delta method and exist where every node on the way is
        classical.

        A quantile effect is the difference of the quantiles of the two laws of all rows together,
        :math:`Q_b(\tau) - Q_a(\tau)` with :math:`n^{-1} \sum_i F_i(Q(\tau)) = \tau`. It is neither
        the mean of the rows' own quantile effects nor a quantile of individual effects.

        Benefit :math:`P(g(Y_b) > g(Y_a))`, harm and no change compare both potential outcomes of a
        row. They rest on the cross-world assumption that a row keeps its latents whatever the
        treatment is, which no data, not even a trial, can test; the Frechet bounds beside them do
        not need it. With a 0/1 score g they give the probabilities of causation, averaged over
        the rows given their covariates (selected by their observed treatment for PN and PS):

        .. math:: PNS = P(g_b = 1, g_a = 0), \quad
            PN = P(g_a = 0 \mid T = b, g = 1)
               = \frac{\sum_{T_i = b} PNS_i}{\sum_{T_i = b} P_i(g_b = 1)}, \quad
            PS = P(g_b = 1 \mid T = a, g = 0)
               = \frac{\sum_{T_i = a} PNS_i}{\sum_{T_i = a} P_i(g_a = 0)}.

        Args:
            outcome: The node whose change is asked for.
            treatment: The node that is set.
            values: The two values (a, b); each a scalar, one value per row, or a callable of the
                row's own value.
            data: Rows of the population, with the columns that the treatment does not change, and
                for PN and PS the treatment.
            of: g, vectorised over outcome values or level codes, larger being better, such as
                ``lambda y: y <= 2``; None takes the outcome itself.
            quantiles: Levels in (0, 1) of the quantile effects of a continuous outcome, each once;
                rows are named after them in full, ``qte(0.25)``. None takes 0.1, 0.5 and 0.9, and
                none where ``of`` is given.
            rows: ``"fixed"`` (effects in exactly these rows) or ``"sampled"`` (they are a sample of
                the population that is meant, which widens the intervals).
            level: Confidence level.
            n_points: Integration points, 8 times a power of two.
            seed: Seed of the points.

        Raises:
            SpecError: Unknown node, outcome not an effect of the treatment, or a bad option.
            DataError: data or a value does not fit.

        References:
            Tian and Pearl (2000), Probabilities of causation, Annals of Mathematics and AI 28.
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
        check_choice(rows, ("fixed", "sampled"), what="effect: rows")
        check_points(n_points, "effect")
        if not isinstance(values, (tuple, list)) or len(values) != 2:
            raise SpecError(f"effect: values={values!r} must be the two values (a, b).")
        if data is None:
            raise DataError("effect: data= is missing; give the rows whose effects are meant.")
        if of is not None and not callable(of):
            raise SpecError(
                f"effect: of={shown(of)} must be a function of the outcome's values, such as "
                "lambda y: y <= 2."
            )
        taus = self._quantile_levels(outcome, of, quantiles)
        score = _tensor_score(of)
        arms = [
            self._effect_query(data, outcome, treatment, value, n_points, seed) for value in values
        ]
        observed = self._observed_at(data, treatment, arms)
        means = {
            name: queries.arm_means(arm, name, score, smooth=of is None)
            for name, arm in zip(("mean_a", "mean_b"), arms, strict=True)
        }
        joint = queries.joint_outcomes(
            arms[0], arms[1], score, observed=observed, identity=of is None
        )
        statistics = [statistic for _, statistic in means.values()]
        if taus:
            statistics += [
                queries.arm_quantiles(arm, {f"quantile_{side}({tau!r})": tau for tau in taus})
                for side, arm in zip("ab", arms, strict=True)
            ]
        statistics.append(joint.sums)
        delta = self._delta_method(
            queries.stack(statistics), queries.on_the_way(arms[0]), rows=rows, level=level
        )
        per_row = _row_table(means["mean_a"][0], means["mean_b"][0], joint, data.index)
        table = _Table(delta)
        table.add_means()
        table.add_quantiles(taus)
        table.add_joint(joint)
        if joint.binary:
            table.add_causation(joint, observed, treatment)
        return Effect(table.summary(), per_row, level, table.influence())

    def _quantile_levels(
        self, outcome: str, of: Score | None, quantiles: Sequence[float] | None
    ) -> tuple[float, ...]:
        """Checked levels of the quantile effects."""
        allowed = not isinstance(self._nodes[outcome], OrdinalNode) and of is None
        if quantiles is None:
            return _QUANTILES if allowed else ()
        if isinstance(quantiles, (list, tuple, np.ndarray)) and len(quantiles) == 0:
            return ()
        levels = flat_numbers(quantiles, what="effect: quantiles")
        if not ((levels > 0) & (levels < 1)).all():
            got = shown(quantiles)
            raise SpecError(f"effect: quantiles={got} must lie strictly between 0 and 1.")
        if len(set(levels.tolist())) < len(levels):
            raise SpecError(f"effect: quantiles={shown(quantiles)} repeat a level; give each once.")
        if isinstance(self._nodes[outcome], OrdinalNode):
            raise SpecError(
                f"effect: quantiles= need a continuous outcome and {outcome!r} is ordinal; leave "
                "quantiles out, or compare the levels' probabilities with of=."
            )
        if of is not None:
            raise SpecError(
                f"effect: of= and quantiles= exclude each other, since quantile effects are those "
                f"of {outcome!r} itself; ask in two calls."
            )
        return tuple(levels.tolist())

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
        interventions = self._interventions({treatment: value}, n)
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

    def _observed_at(
        self, data: pd.DataFrame, treatment: str, arms: Sequence[queries.Query]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows whose treatment is known to have been a, and b."""
        if treatment not in data.columns:
            nowhere = np.zeros(len(data), dtype=bool)
            return nowhere, nowhere
        own = self._encode(data, columns=[treatment])[treatment]
        first, second = ((own == arm.fixed[treatment].cpu()).numpy() for arm in arms)
        return first, second


_NONE = 1e-12
"""Benefit or harm below this is none: every row's effect has the same sign."""


class _Table:
    """Rows of a summary, with the gradients that their influence needs."""

    def __init__(self, delta: DeltaMethod) -> None:
        self._delta = delta
        self._rows: list[dict[str, Any]] = []
        self._gradients: dict[str, dict[str, float]] = {}

    def _add(self, quantity: str, estimate: float, gradient: dict[str, float], **more: Any) -> None:
        self._rows.append(self._delta.row(quantity, estimate, gradient, **more))
        self._gradients[quantity] = gradient

    def add_means(self) -> None:
        a, b = self._delta.value("mean_a"), self._delta.value("mean_b")
        self._add("mean_a", a, {"mean_a": 1.0})
        self._add("mean_b", b, {"mean_b": 1.0})
        self._add("ate", b - a, {"mean_a": -1.0, "mean_b": 1.0})
        if a > 0 and b > 0:
            gradient = {"mean_a": -b / a**2, "mean_b": 1.0 / a}
            self._add("ratio", b / a, gradient, scale="log")

    def add_quantiles(self, taus: Sequence[float]) -> None:
        for tau in taus:
            names = [f"quantile_{side}({tau!r})" for side in "ab"]
            a, b = (self._delta.value(name) for name in names)
            self._add(names[0], a, {names[0]: 1.0})
            self._add(names[1], b, {names[1]: 1.0})
            self._add(f"qte({tau!r})", b - a, {names[0]: -1.0, names[1]: 1.0})

    def _joint_options(self, joint: queries.JointResult) -> dict[str, Any]:
        """What the rows of joint quantities share: their scale, notes and missing intervals."""
        note = "assumes that latents are shared across worlds"
        if joint.integration_error:
            note += f"; integration error up to {joint.integration_error:.1e} per row"
        reason = "" if joint.differentiable else "the joint law has no derivative here"
        benefit, harm = self._delta.value("benefit"), self._delta.value("harm")
        gain = self._delta.row("gain", benefit - harm, {"benefit": 1.0, "harm": -1.0})
        if min(benefit, harm) <= _NONE and gain["lower"] <= 0.0 <= gain["upper"]:
            # max(gain, 0) and max(-gain, 0) have a kink at zero, where the delta method fails
            reason = "the sign of the effect is not settled"
        return {"scale": "probability", "note": note, "reason": reason}

    def add_joint(self, joint: queries.JointResult) -> None:
        options = self._joint_options(joint)
        benefit, harm = self._delta.value("benefit"), self._delta.value("harm")
        bounds = joint.bounds.mean(0)
        self._add("benefit", benefit, {"benefit": 1.0}, bounds=tuple(bounds[:2]), **options)
        self._add("harm", harm, {"harm": 1.0}, bounds=tuple(bounds[2:]), **options)
        gradient = {"benefit": -1.0, "harm": -1.0}
        self._add("no_change", 1.0 - benefit - harm, gradient, **options)

    def add_causation(
        self, joint: queries.JointResult, observed: tuple[np.ndarray, np.ndarray], treatment: str
    ) -> None:
        options = self._joint_options(joint)
        bounds = joint.bounds[:, :2]
        pns = self._delta.value("benefit")
        self._add("pns", pns, {"benefit": 1.0}, bounds=tuple(bounds.mean(0)), **options)
        for name, side, rows, event in (
            ("pn", "b", observed[1], "event_b"),
            ("ps", "a", observed[0], "no_event_a"),
        ):
            both, factual = self._delta.value(f"benefit_{side}"), self._delta.value(event)
            if not factual > 0:
                reason = f"no row of data is known to have {treatment!r} at the value {side}"
                self._add(name, np.nan, {}, **{**options, "reason": reason})
                continue
            ends = bounds[rows].sum(0) / len(rows) / factual
            gradient = {f"benefit_{side}": 1.0 / factual, event: -both / factual**2}
            self._add(name, both / factual, gradient, bounds=tuple(ends), **options)

    def summary(self) -> pd.DataFrame:
        return pd.DataFrame(self._rows, columns=list(ESTIMATE_COLUMNS))

    def influence(self) -> pd.DataFrame | None:
        """Columns for the quantities that have an interval."""
        kept = [row["quantity"] for row in self._rows if np.isfinite(row["std_error"])]
        if self._delta.influence is None or not kept:
            return None
        return self._delta.influence_on({name: self._gradients[name] for name in kept})


def _row_table(
    mean_a: np.ndarray, mean_b: np.ndarray, joint: queries.JointResult, index: pd.Index
) -> pd.DataFrame:
    """Individual effects and joint quantities, a row each."""
    benefit, harm, event_b, no_event_a = joint.per_row.T
    table = pd.DataFrame({"mean_a": mean_a, "mean_b": mean_b, "ite": mean_b - mean_a}, index=index)
    table["benefit"], table["harm"] = benefit, harm
    for j, name in enumerate(("benefit_lower", "benefit_upper", "harm_lower", "harm_upper")):
        table[name] = joint.bounds[:, j]
    table["no_change"] = 1.0 - benefit - harm
    if joint.binary:
        lower, upper = joint.bounds[:, 0], joint.bounds[:, 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            for name, factual in (("pn", event_b), ("ps", no_event_a)):
                table[name] = benefit / factual
                table[f"{name}_lower"], table[f"{name}_upper"] = lower / factual, upper / factual
    return table


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
