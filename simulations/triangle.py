"""The triangle x1 -> x2 -> x3, x1 -> x3 with a bimodal root and a continuous x3.

Latents in order: x1_mix ~ U(0, 1), x1_a ~ N(0, 1), x1_b ~ N(0, 1), x2 and x3 ~ standard logistic.

    x1 = 0.25 + 0.10 x1_a  if x1_mix < 0.5  else  0.73 + 0.05 x1_b
    u2 = 5 x2 + 2 x1
    u3 = 0.63 x3 - 0.2 x1 - f(x2)

with f one of linear, cubic, exp, atan, sin (see ``CURVES``). ``Triangle`` holds what this process
shares with the one of ``triangle_mixed``, where x3 is ordinal.

References:
    Sick and Duerr (2025), CLeaR, PMLR 275:606-630, section 6.1, appendix C.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .checks import Do, check_choice
from .distributions import (
    FloatArray,
    GaussianPair,
    logistic_log_density,
    logistic_nodes,
    sigmoid,
)
from .scm import InvertibleModel, Mechanism, StructuralModel, Values

CURVES: Mapping[str, tuple[str, Callable[[FloatArray], FloatArray]]] = MappingProxyType(
    {
        "linear": ("-0.3 x", lambda x: -0.3 * x),
        "cubic": ("2 x^3 + x", lambda x: 2 * x**3 + x),
        "exp": ("0.5 exp(x)", lambda x: 0.5 * np.exp(x)),
        "atan": ("0.75 atan(5 (x + 0.12))", lambda x: 0.75 * np.arctan(5 * (x + 0.12))),
        "sin": ("2 sin(3 x) + x", lambda x: 2 * np.sin(3 * x) + x),
    }
)
"""The possible f, each as formula and function."""

ROOT = GaussianPair(mean_a=0.25, sd_a=0.10, mean_b=0.73, sd_b=0.05)
X2_SLOPE, X2_ON_X1 = 5.0, 2.0
X3_SLOPE, X3_ON_X1 = 0.63, -0.2
LOGISTIC_VARIANCE = np.pi**2 / 3


@dataclass(frozen=True)
class Triangle(StructuralModel):
    """What both triangles share: the root, x2 and the predictor of x3; subclasses add x3."""

    columns = ("x1", "x2", "x3")
    parents = MappingProxyType({"x1": (), "x2": ("x1",), "x3": ("x1", "x2")})
    latent_laws = MappingProxyType(
        {
            "x1_mix": "uniform(0, 1)",
            "x1_a": "normal(0, 1)",
            "x1_b": "normal(0, 1)",
            "x2": "logistic(0, 1)",
            "x3": "logistic(0, 1)",
        }
    )
    n_frozen = 5000

    f: str = "linear"
    seed: int = 42

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self._name, "f", self.f, tuple(CURVES))

    def true_shift_curve(self, x: ArrayLike) -> FloatArray:
        """Return ``-f(x)``, the shift of x3 by x2 in the sign convention of the flow.

        A complex shift is identified up to an additive constant, so compare centred curves.
        """
        return -self._curve(np.asarray(x, dtype=np.float64))

    def true_odds_ratio(self, threshold: float = -1.0, step: float = 1.0) -> float:
        """Return the factor by which ``do(x1 := x1 + step)`` multiplies odds(x2 <= threshold).

        Given x1 the factor is ``exp(2 step)``. Here both odds are those of the population, by
        quadrature over x1; odds ratios do not collapse, so this factor is closer to one
        (7.217 instead of 7.389 for the default event).
        """
        x1, weights = ROOT.nodes()
        u2 = X2_SLOPE * threshold + X2_ON_X1 * x1
        before = float(weights @ sigmoid(u2))
        after = float(weights @ sigmoid(u2 + X2_ON_X1 * step))
        return _odds_ratio(before, after)

    def simulated_odds_ratio(
        self,
        threshold: float = -1.0,
        step: float = 1.0,
        *,
        n: int = 40_000,
        rng: int | np.random.Generator = 99,
    ) -> float:
        """Return the Monte Carlo estimate of :meth:`true_odds_ratio`, both worlds on n latents.

        Raises:
            ValueError: If all rows of a world lie on one side of the threshold.
        """
        latents = self.draw_latents(n, rng)
        factual = self.simulate(latents)
        shifted = self.simulate(latents, {"x1": factual["x1"] + step})
        before, after = (float((df["x2"] <= threshold).mean()) for df in (factual, shifted))
        if not (0 < before < 1 and 0 < after < 1):
            raise ValueError(
                f"{self._name}: P(x2 <= {threshold}) is {before} before and {after} after the "
                "shift; odds need both strictly between 0 and 1. Move threshold or raise n."
            )
        return _odds_ratio(before, after)

    def _curve(self, x: FloatArray) -> FloatArray:
        return CURVES[self.f][1](x)

    def _predictor(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return ``0.2 x1 + f(x2)``, the negative shift of x3."""
        return -X3_ON_X1 * x1 + self._curve(x2)

    def _mechanisms(self) -> Mapping[str, Mechanism]:
        return {
            "x1": lambda v, u: ROOT.draw(u["x1_mix"], u["x1_a"], u["x1_b"]),
            "x2": lambda v, u: (u["x2"] - X2_ON_X1 * v["x1"]) / X2_SLOPE,
        }

    def _log_densities(self, values: Values) -> dict[str, FloatArray]:
        u2 = X2_SLOPE * values["x2"] + X2_ON_X1 * values["x1"]
        return {
            "x1": ROOT.log_density(values["x1"]),
            "x2": logistic_log_density(u2) + np.log(X2_SLOPE),
        }

    def _population(self, fixed: Mapping[str, float]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return x1, x2 and weights that integrate against their law under an intervention."""
        x1, w1 = (np.array([fixed["x1"]]), np.ones(1)) if "x1" in fixed else ROOT.nodes()
        if "x2" in fixed:
            return x1, np.full_like(x1, fixed["x2"]), w1
        u2, w2 = logistic_nodes()
        x2 = (u2 - X2_ON_X1 * x1[:, None]) / X2_SLOPE
        return np.repeat(x1, len(u2)), x2.ravel(), np.outer(w1, w2).ravel()

    def _parent_moments(self, fixed: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """Return mean and sd of x1 and x2 under an intervention, in closed form."""
        mean, variance = (fixed["x1"], 0.0) if "x1" in fixed else (ROOT.mean, ROOT.variance)
        moments = {"x1": (mean, float(np.sqrt(variance)))}
        mean = -X2_ON_X1 * mean / X2_SLOPE
        variance = (LOGISTIC_VARIANCE + X2_ON_X1**2 * variance) / X2_SLOPE**2
        moments["x2"] = (fixed["x2"], 0.0) if "x2" in fixed else (mean, float(np.sqrt(variance)))
        return moments

    def _common_truth(self) -> dict[str, Any]:
        return {
            "constants": {
                "x1": {"means": [0.25, 0.73], "sds": [0.10, 0.05], "weights": [0.5, 0.5]},
                "x2": {"slope": X2_SLOPE, "x1": X2_ON_X1},
                "f": CURVES[self.f][0],
            },
            "shift_curve": {
                "node": "x3",
                "parent": "x2",
                "flow_sign_convention": "-f(x2) + constant",
            },
            "odds_ratio_check": {
                "event": "x2 <= -1",
                "do": "x1 := x1 + 1",
                "conditional": float(np.exp(X2_ON_X1)),
                "marginal": self.true_odds_ratio(),
                "simulated": self.simulated_odds_ratio(),
                "n": 40_000,
                "rng_seed": 99,
            },
        }

    def _flow_weights(self) -> dict[str, dict[str, float | None]]:
        """Weights of linear shifts in the flow's signs; None where the shift is not linear."""
        x3_on_x2 = -self._curve(np.ones(1)).item() if self.f == "linear" else None
        return {"x2": {"x1": X2_ON_X1}, "x3": {"x1": X3_ON_X1, "x2": x3_on_x2}}


@dataclass(frozen=True)
class TriangleContinuous(Triangle, InvertibleModel):
    """The triangle with a continuous x3; equations in the module's docstring.

    Args:
        f: Curve of the edge x2 -> x3, a key of ``CURVES``.
        seed: Base of the random streams.

    Raises:
        ValueError: If f is no such curve or the seed is negative.

    Examples:
        >>> TriangleContinuous("linear").observational(1000).columns.tolist()
        ['x1', 'x2', 'x3']
    """

    def true_moments(self, do: Do | None = None) -> pd.DataFrame:
        """Return mean and sd of each node under a scalar ``do``, by quadrature.

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
            x1, x2, weights = self._population(fixed)
            mean, variance = mean_and_variance(self._predictor(x1, x2), weights)
            sd = float(np.sqrt(variance + LOGISTIC_VARIANCE)) / X3_SLOPE
            moments["x3"] = (mean / X3_SLOPE, sd)
        return pd.DataFrame.from_dict(moments, orient="index", columns=["mean", "sd"])

    def truth(self) -> dict[str, Any]:
        """Return constants and analytic truths as JSON-ready values."""
        truth = self._common_truth()
        truth["constants"]["x3"] = {"slope": X3_SLOPE, "x1": X3_ON_X1}
        weights = self._flow_weights()
        return truth | {
            "weights": {"flow_sign_convention": weights, "paper_sign_convention": weights},
            "moments": {
                "observational": self.true_moments().to_dict("index"),
                "do(x1=-1)": self.true_moments({"x1": -1.0}).to_dict("index"),
            },
        }

    def _mechanisms(self) -> Mapping[str, Mechanism]:
        return {
            **super()._mechanisms(),
            "x3": lambda v, u: (u["x3"] + self._predictor(v["x1"], v["x2"])) / X3_SLOPE,
        }

    def _log_densities(self, values: Values) -> dict[str, FloatArray]:
        u3 = X3_SLOPE * values["x3"] - self._predictor(values["x1"], values["x2"])
        log_x3 = logistic_log_density(u3) + np.log(X3_SLOPE)
        return {**super()._log_densities(values), "x3": log_x3}

    def _abduct(self, values: Values) -> dict[str, FloatArray]:
        mix, a, b = ROOT.abduct(values["x1"])
        return {
            "x1_mix": mix,
            "x1_a": a,
            "x1_b": b,
            "x2": X2_SLOPE * values["x2"] + X2_ON_X1 * values["x1"],
            "x3": X3_SLOPE * values["x3"] - self._predictor(values["x1"], values["x2"]),
        }


def mean_and_variance(x: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Return mean and variance of the law that puts the weights on the points x."""
    mean = float(weights @ x)
    return mean, float(weights @ (x - mean) ** 2)


def _odds_ratio(before: float, after: float) -> float:
    return after / (1 - after) / (before / (1 - before))
