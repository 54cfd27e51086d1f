"""The linear triangle with a bimodal root that normalizing flows are often tested on.

Latents in order: x1_mix ~ U(0, 1), x1_a, x1_b, x2, x3 ~ N(0, 1).

    x1 = -2 + sqrt(1.5) x1_a  if x1_mix < 0.5  else  1.5 + x1_b
    x2 = -x1 + e2
    x3 = x1 + 0.25 x2 + e3

References:
    Sanchez-Martin et al. (2022), VACA.
    Sick and Duerr (2025), CLeaR, PMLR 275:606-630, sections 5.1 and 5.2, appendix C.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .checks import Do
from .distributions import FloatArray, GaussianPair, normal_log_density
from .scm import InvertibleModel, Mechanism, Values

ROOT = GaussianPair(mean_a=-2.0, sd_a=float(np.sqrt(1.5)), mean_b=1.5, sd_b=1.0)
X2_ON_X1 = -1.0
X3_ON_X1, X3_ON_X2 = 1.0, 0.25
QUERIES = (-3.0, -1.0, 0.0)
"""Values a of the paper's queries p(x3 | do(x2 = a))."""


@dataclass(frozen=True)
class VacaTriangle(InvertibleModel):
    """The linear triangle; equations in the module's docstring.

    Args:
        seed: Base of the random streams.

    Raises:
        ValueError: If the seed is negative.
    """

    columns = ("x1", "x2", "x3")
    parents = MappingProxyType({"x1": (), "x2": ("x1",), "x3": ("x1", "x2")})
    latent_laws = MappingProxyType(
        {
            "x1_mix": "uniform(0, 1)",
            "x1_a": "normal(0, 1)",
            "x1_b": "normal(0, 1)",
            "x2": "normal(0, 1)",
            "x3": "normal(0, 1)",
        }
    )
    n_frozen = 5000
    byte_stable = True

    seed: int = 42

    def true_moments(self, do: Do | None = None) -> pd.DataFrame:
        """Return mean and sd of each node under a scalar ``do``, in closed form.

        Every node is a linear combination of x1, e2 and e3; its mean and variance follow from
        the three coefficients. For do(x2 = a): E[x3] = -0.25 + 0.25 a and
        Var[x3] = Var[x1] + 1 with Var[x1] = 4.3125.

        Returns:
            DataFrame with the nodes as index and the columns mean and sd.

        Raises:
            ValueError: If ``do`` is misspelt, not scalar or not finite.
        """
        fixed = self._check_scalar_do(do)

        def combination(node: str, coefficients: FloatArray) -> FloatArray:
            """Constant, then coefficients of x1, e2, e3; a constant alone if node is fixed."""
            return np.array([fixed[node], 0, 0, 0]) if node in fixed else coefficients

        x1 = combination("x1", np.array([0.0, 1, 0, 0]))
        x2 = combination("x2", X2_ON_X1 * x1 + np.array([0.0, 0, 1, 0]))
        x3 = combination("x3", X3_ON_X1 * x1 + X3_ON_X2 * x2 + np.array([0.0, 0, 0, 1]))
        nodes = np.array([x1, x2, x3])
        mean = nodes @ np.array([1.0, ROOT.mean, 0, 0])
        sd = np.sqrt(nodes**2 @ np.array([0.0, ROOT.variance, 1, 1]))
        return pd.DataFrame({"mean": mean, "sd": sd}, index=list(self.columns))

    def true_modes(self) -> dict[str, tuple[float, float, float]]:
        """Return mode, dip and mode of each bimodal root."""
        low, dip, high = ROOT.critical_points()
        return {"x1": (float(low), float(dip), float(high))}

    def true_interventional_density(self, x3: ArrayLike, x2: float) -> FloatArray:
        """Return the density p(x3 | do(x2)), an even mixture of two Gaussians, at points x3."""
        shift = X3_ON_X2 * float(x2)
        law = GaussianPair(
            mean_a=ROOT.mean_a + shift,
            sd_a=float(np.hypot(ROOT.sd_a, 1)),
            mean_b=ROOT.mean_b + shift,
            sd_b=float(np.hypot(ROOT.sd_b, 1)),
        )
        return np.exp(law.log_density(x3))

    def truth(self) -> dict[str, Any]:
        """Return constants and analytic truths as JSON-ready values."""
        return {
            "constants": {
                "x1": {"means": [-2.0, 1.5], "variances": [1.5, 1.0], "weights": [0.5, 0.5]},
                "x2": {"x1": X2_ON_X1, "noise_sd": 1.0},
                "x3": {"x1": X3_ON_X1, "x2": X3_ON_X2, "noise_sd": 1.0},
            },
            "moments": {
                "observational": self.true_moments().to_dict("index"),
                **{f"do(x2={a:g})": self.true_moments({"x2": a}).to_dict("index") for a in QUERIES},
            },
        }

    def _mechanisms(self) -> Mapping[str, Mechanism]:
        return {
            "x1": lambda v, u: ROOT.draw(u["x1_mix"], u["x1_a"], u["x1_b"]),
            "x2": lambda v, u: X2_ON_X1 * v["x1"] + u["x2"],
            "x3": lambda v, u: X3_ON_X1 * v["x1"] + X3_ON_X2 * v["x2"] + u["x3"],
        }

    def _log_densities(self, values: Values) -> dict[str, FloatArray]:
        noise = self._abduct(values)
        return {
            "x1": ROOT.log_density(values["x1"]),
            "x2": normal_log_density(noise["x2"], 0.0, 1.0),
            "x3": normal_log_density(noise["x3"], 0.0, 1.0),
        }

    def _abduct(self, values: Values) -> dict[str, FloatArray]:
        x1, x2, x3 = (values[node] for node in self.columns)
        mix, a, b = ROOT.abduct(x1)
        return {
            "x1_mix": mix,
            "x1_a": a,
            "x1_b": b,
            "x2": x2 - X2_ON_X1 * x1,
            "x3": x3 - X3_ON_X1 * x1 - X3_ON_X2 * x2,
        }
