"""Intervals of functions of estimated laws, by the delta method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from tramdag import inference, queries
from tramdag.flow_state import FlowBase

__all__ = ["ESTIMATE_COLUMNS", "DeltaBase", "DeltaMethod"]

ESTIMATE_COLUMNS = (
    "quantity",
    "estimate",
    "std_error",
    "lower",
    "upper",
    "frechet_lower",
    "frechet_upper",
    "note",
)


@dataclass(frozen=True)
class DeltaMethod:
    """A vector of d statistics with the covariance of its estimate.

    Attributes:
        statistics: The statistics.
        covariance: Shape ``(d, d)``; nan where ``reason`` says why there is none.
        influence: Influence of every training row on the estimate through the fitted parameters,
            shape ``(n_training, d)``; None without training rows or with a reason.
        level: Confidence level.
        reason: Why there are no intervals; empty where there are.
    """

    statistics: queries.Statistics
    covariance: np.ndarray
    influence: np.ndarray | None
    level: float
    reason: str

    def row(
        self,
        quantity: str,
        estimate: float,
        gradient: Mapping[str, float],
        *,
        scale: str = "plain",
        bounds: tuple[float, float] = (np.nan, np.nan),
        note: str = "",
        reason: str = "",
    ) -> dict[str, Any]:
        """One row of a summary: a function of the statistics with its interval.

        Args:
            quantity: Its name.
            estimate: Its value.
            gradient: Its derivatives with respect to the statistics that it depends on, by name.
            scale: ``"plain"``, ``"log"`` (interval on the log scale) or ``"probability"``
                (interval cut at 0 and 1).
            bounds: Frechet bounds.
            note: What else to say.
            reason: Why this one has no interval.
        """
        reason = self.reason or reason
        g = self._vector(gradient)
        error = float(np.sqrt(g @ self.covariance @ g)) if not reason else np.nan
        half = scipy.special.ndtri(0.5 + 0.5 * self.level) * error
        ends = (estimate - half, estimate + half)
        if scale == "log":
            ends = (estimate * np.exp(-half / estimate), estimate * np.exp(half / estimate))
        elif scale == "probability":
            ends = (max(ends[0], 0.0), min(ends[1], 1.0)) if not reason else ends
        notes = [f"no interval: {reason}" if reason else "", note]
        cells = (quantity, estimate, error, *ends, *bounds, "; ".join(n for n in notes if n))
        return dict(zip(ESTIMATE_COLUMNS, cells, strict=True))

    def influence_on(self, gradients: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
        """Influence of every training row on functions of the statistics; a column each."""
        assert self.influence is not None
        return pd.DataFrame(
            {name: self.influence @ self._vector(gradient) for name, gradient in gradients.items()}
        )

    def value(self, name: str) -> float:
        """A statistic by name."""
        return float(self.statistics.estimate[self.statistics.names.index(name)])

    def _vector(self, gradient: Mapping[str, float]) -> np.ndarray:
        return np.array([gradient.get(name, 0.0) for name in self.statistics.names])


class DeltaBase(FlowBase):
    """The delta method on a flow's parameters."""

    def _delta_method(
        self,
        statistics: queries.Statistics,
        nodes: Sequence[str],
        *,
        rows: str,
        level: float,
    ) -> DeltaMethod:
        """Covariance of statistics that depend on the laws of ``nodes``."""
        d = len(statistics.estimate)
        networks = [node for node in nodes if not self._conditionals[node].is_classical]
        separated = [node for node in nodes if self._entry(node).separated]
        reason = ""
        if networks:
            reason = f"networks in {', '.join(networks)}"
        if separated:
            reason = f"separated levels in {', '.join(separated)}"
        if reason:
            return DeltaMethod(statistics, np.full((d, d), np.nan), None, level, reason)
        covariance = np.zeros((d, d))
        influence = None if self._training is None else np.zeros((1, d))
        for node, gradient in statistics.gradients.items():
            psi = inference.psi_covariance(self._information_of(node))
            covariance += gradient @ psi @ gradient.T
            if influence is not None:
                scores = inference.scores_of(
                    self._conditionals[node], self._rows("influence"), weights=self._weights
                )
                influence = influence + scores @ psi @ gradient.T
        if rows == "sampled":
            n = len(statistics.row_influence)
            covariance += np.cov(statistics.row_influence.T) / n if n > 1 else np.nan
        return DeltaMethod(statistics, covariance, influence, level, reason)
