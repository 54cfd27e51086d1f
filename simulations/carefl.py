"""Four nodes with Laplace noise and polynomial effects, the counterfactual benchmark of CAREFL.

Latents in order: x1, x2, x3, x4, each Laplace(0, 1/sqrt(2)), which has unit variance.

    x1 = e1                            x2 = e2
    x3 = x1 + 0.5 x2^3 + e3            x4 = -x2 + 0.5 x1^2 + e4

References:
    Khemakhem et al. (2021), Causal autoregressive flows.
    Sick and Duerr (2025), CLeaR, PMLR 275:606-630, section 5.3, appendix C.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import factorial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from .checks import Do
from .distributions import LAPLACE_SCALE, FloatArray, laplace_log_density
from .scm import InvertibleModel, Mechanism, Values

X3_ON_X2_CUBED, X4_ON_X1_SQUARED = 0.5, 0.5
X_OBS: Mapping[str, float] = MappingProxyType({"x1": 2.0, "x2": 1.5, "x3": 0.81, "x4": -0.28})
"""The observation whose counterfactual curves the paper draws; its e3 is about 4 sd out."""
ALPHAS: tuple[float, ...] = tuple(np.round(np.arange(61) * 0.1 - 3.0, 4).tolist())
"""Abscissae of the counterfactual curves."""


@dataclass(frozen=True)
class Carefl4(InvertibleModel):
    """The four-node process; equations in the module's docstring.

    Args:
        seed: Base of the random streams.

    Raises:
        ValueError: If the seed is negative.
    """

    columns = ("x1", "x2", "x3", "x4")
    parents = MappingProxyType({"x1": (), "x2": (), "x3": ("x1", "x2"), "x4": ("x1", "x2")})
    latent_laws = MappingProxyType(dict.fromkeys(columns, "laplace(0, 1/sqrt(2))"))
    n_frozen = 5000

    seed: int = 42

    def true_moments(self, do: Do | None = None) -> pd.DataFrame:
        """Return mean and sd of each node under a scalar ``do``, in closed form.

        x1 and x2 are independent, so only their power moments enter; for Laplace noise of unit
        variance these are E[e^k] = k! / 2^(k/2) for even k and 0 for odd k.

        Returns:
            DataFrame with the nodes as index and the columns mean and sd.

        Raises:
            ValueError: If ``do`` is misspelt, not scalar or not finite.
        """
        fixed = self._check_scalar_do(do)

        def power(node: str, k: int) -> float:
            if node in fixed:
                return fixed[node] ** k
            return 0.0 if k % 2 else factorial(k) / 2 ** (k // 2)

        def power_variance(node: str, k: int) -> float:
            return 0.0 if node in fixed else power(node, 2 * k) - power(node, k) ** 2

        mean = {
            "x1": power("x1", 1),
            "x2": power("x2", 1),
            "x3": power("x1", 1) + X3_ON_X2_CUBED * power("x2", 3),
            "x4": -power("x2", 1) + X4_ON_X1_SQUARED * power("x1", 2),
        }
        variance = {
            "x1": power_variance("x1", 1),
            "x2": power_variance("x2", 1),
            "x3": power_variance("x1", 1) + X3_ON_X2_CUBED**2 * power_variance("x2", 3) + 1,
            "x4": power_variance("x2", 1) + X4_ON_X1_SQUARED**2 * power_variance("x1", 2) + 1,
        }
        for node, value in fixed.items():
            mean[node], variance[node] = value, 0.0
        return pd.DataFrame({"mean": mean, "sd": np.sqrt(pd.Series(variance))})

    def truth(self) -> dict[str, Any]:
        """Return constants and analytic truths as JSON-ready values."""
        x_obs = pd.DataFrame([X_OBS] * len(ALPHAS))
        alphas = np.array(ALPHAS)
        return {
            "constants": {
                "x3": {"x1": 1.0, "x2^3": X3_ON_X2_CUBED},
                "x4": {"x2": -1.0, "x1^2": X4_ON_X1_SQUARED},
                "noise_scale": float(LAPLACE_SCALE),
            },
            "moments": {"observational": self.true_moments().to_dict("index")},
            "counterfactual_curves": {
                "x_obs": dict(X_OBS),
                "alpha": list(ALPHAS),
                "x3_had_x2_been_alpha": self.true_counterfactual(x_obs, {"x2": alphas})[
                    "x3"
                ].tolist(),
                "x4_had_x1_been_alpha": self.true_counterfactual(x_obs, {"x1": alphas})[
                    "x4"
                ].tolist(),
            },
        }

    def _mechanisms(self) -> Mapping[str, Mechanism]:
        return {
            "x1": lambda v, u: u["x1"],
            "x2": lambda v, u: u["x2"],
            "x3": lambda v, u: v["x1"] + X3_ON_X2_CUBED * v["x2"] ** 3 + u["x3"],
            "x4": lambda v, u: -v["x2"] + X4_ON_X1_SQUARED * v["x1"] ** 2 + u["x4"],
        }

    def _log_densities(self, values: Values) -> dict[str, FloatArray]:
        return {node: laplace_log_density(e) for node, e in self._abduct(values).items()}

    def _abduct(self, values: Values) -> dict[str, FloatArray]:
        x1, x2, x3, x4 = (values[node] for node in self.columns)
        return {
            "x1": x1,
            "x2": x2,
            "x3": x3 - x1 - X3_ON_X2_CUBED * x2**3,
            "x4": x4 + x2 - X4_ON_X1_SQUARED * x1**2,
        }
