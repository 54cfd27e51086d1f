"""The triangle x1 -> x2 -> x3, x1 -> x3 with a bimodal root and an ordinal x3 in 0..3.

Latents in order: x1_mix ~ U(0, 1), x1_a ~ N(0, 1), x1_b ~ N(0, 1), x2 and x3 ~ standard logistic.

    x1 = 0.25 + 0.10 x1_a  if x1_mix < 0.5  else  0.73 + 0.05 x1_b
    u2 = 5 x2 + 2 x1
    x3 = #{k : u3 > theta_k + 0.2 x1 + f(x2)},  theta = (-2, 0.42, 1.02)

with f one of the ``CURVES`` of ``triangle``. The paper counts the levels from 1 and adds ordinal
shifts, ``P(x3 <= k) = F(theta_k + shift)``; in the sign convention of the flow they are subtracted.

References:
    Sick and Duerr (2025), CLeaR, PMLR 275:606-630, section 6.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from .checks import Do
from .distributions import (
    FloatArray,
    counterfactual_ordinal_pmf,
    cut,
    ordinal_log_pmf,
    ordinal_pmf,
)
from .scm import Mechanism, Values
from .triangle import ROOT, X2_ON_X1, X2_SLOPE, X3_ON_X1, Triangle, mean_and_variance

THETA = (-2.0, 0.42, 1.02)


@dataclass(frozen=True)
class TriangleMixed(Triangle):
    """The triangle with an ordinal x3 in 0..3; equations in the module's docstring.

    Args:
        f: Curve of the edge x2 -> x3, a key of ``CURVES``.
        seed: Base of the random streams.

    Raises:
        ValueError: If f is no such curve or the seed is negative.
    """

    levels = MappingProxyType({"x3": len(THETA) + 1})

    def true_pmf(self, rows: pd.DataFrame | None = None, *, do: Do | None = None) -> FloatArray:
        """Return the exact pmf of x3: given its parents, or of a whole population.

        Args:
            rows: Table with x1 and x2, for the pmf given each row's parents.
            do: Scalar intervention on x1 and x2, for the pmf of the population under it; without
                rows and without do the observational one. By quadrature.

        Returns:
            Probabilities of the levels 0 to 3, of shape ``(n, 4)`` for rows, else ``(4,)``.

        Raises:
            ValueError: If rows and do are both given, a column is missing or not finite, or do
                is misspelt, not scalar, or sets x3 itself.
        """
        if rows is not None and do is not None:
            raise ValueError(
                f"{self._name}: true_pmf got rows and do; give rows for the pmf given parents, or "
                "do for the pmf of the population under the intervention."
            )
        if rows is not None:
            parents = self._check_rows(rows, self.parents["x3"])
            return ordinal_pmf(self._thresholds(parents))
        fixed = self._check_scalar_do(do)
        self._refuse_do_on_x3(fixed)
        x1, x2, weights = self._population(fixed)
        return weights @ ordinal_pmf(self._thresholds({"x1": x1, "x2": x2}))

    def true_counterfactual_pmf(self, df: pd.DataFrame, do: Do) -> FloatArray:
        """Return the exact pmf of the counterfactual x3 of each row under ``do``.

        Args:
            df: Complete rows; x1 and x2 give up their latents exactly, x3 an interval of its own.
            do: Scalars or per-row arrays on x1 and x2.

        Returns:
            Probabilities of shape ``(n, 4)``.

        Raises:
            ValueError: If a column is missing or holds an impossible value, or do is misspelt, of
                another length, or sets x3 itself.
        """
        self._refuse_do_on_x3(do)
        values = self._check_rows(df, self.columns)
        # x3 itself has no single latent; any value serves, because it only moves x3.
        noise = {name: np.zeros(len(df)) for name in self.latents}
        noise["x1_mix"], noise["x1_a"], noise["x1_b"] = ROOT.abduct(values["x1"])
        noise["x2"] = X2_SLOPE * values["x2"] + X2_ON_X1 * values["x1"]
        other = self.simulate(noise, do)
        other_parents = {node: other[node].to_numpy() for node in self.parents["x3"]}
        return counterfactual_ordinal_pmf(
            values["x3"], self._thresholds(values), self._thresholds(other_parents)
        )

    def true_moments(self, do: Do | None = None) -> pd.DataFrame:
        """Return mean and sd of each node under a scalar ``do``, by quadrature; x3 by its levels.

        Returns:
            DataFrame with the nodes as index and the columns mean and sd.

        Raises:
            ValueError: If ``do`` is misspelt, not scalar or not finite.
        """
        fixed = self._check_scalar_do(do)
        moments = self._parent_moments(fixed)
        if "x3" in fixed:
            moments["x3"] = (fixed["x3"], 0.0)
        else:
            mean, variance = mean_and_variance(np.arange(4.0), self.true_pmf(do=fixed))
            moments["x3"] = (mean, float(np.sqrt(variance)))
        return pd.DataFrame.from_dict(moments, orient="index", columns=["mean", "sd"])

    def truth(self) -> dict[str, Any]:
        """Return constants and analytic truths as JSON-ready values."""
        truth = self._common_truth()
        truth["constants"]["x3"] = {"cutpoints": list(THETA), "x1": X3_ON_X1}
        flow = self._flow_weights()
        paper = flow | {
            "x3": {parent: None if w is None else -w for parent, w in flow["x3"].items()}
        }
        return truth | {
            "weights": {"flow_sign_convention": flow, "paper_sign_convention": paper},
            "cutpoints": {"x3": list(THETA)},
            "moments": {
                "observational": self.true_moments().to_dict("index"),
                "do(x1=-1)": self.true_moments({"x1": -1.0}).to_dict("index"),
            },
            "pmf": {
                "observational": self.true_pmf().tolist(),
                "do(x1=-1)": self.true_pmf(do={"x1": -1.0}).tolist(),
            },
        }

    def _thresholds(self, parents: Values) -> FloatArray:
        """Return ``theta_k + 0.2 x1 + f(x2)`` with shape ``(n, 3)``."""
        return np.array(THETA) + self._predictor(parents["x1"], parents["x2"])[:, None]

    def _refuse_do_on_x3(self, do: Do | None) -> None:
        if do is not None and "x3" in do:
            raise ValueError(
                f"{self._name}: do sets x3, whose pmf is asked for; set x1 or x2 instead."
            )

    def _mechanisms(self) -> Mapping[str, Mechanism]:
        return {**super()._mechanisms(), "x3": lambda v, u: cut(u["x3"], self._thresholds(v))}

    def _log_densities(self, values: Values) -> dict[str, FloatArray]:
        log_x3 = ordinal_log_pmf(values["x3"], self._thresholds(values))
        return {**super()._log_densities(values), "x3": log_x3}
