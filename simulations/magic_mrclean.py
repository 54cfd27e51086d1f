"""A synthetic stroke cohort: age, disability and severity confound treatment and outcome.

Columns: Age (years), mRS_pre (0..5), NIHSSa (6..42), T (0/1), mRS_3m (0..6); a good outcome is
mRS_3m <= 2. The DAG has all forward edges. Latents: one standard logistic u per column, in that
order; nl = 1 in variant "nl", else 0.

    Age     = clip(loc + 7.6 u, 20, 103), loc = 73 (in the trial 64); a = (Age - 73) / 10,
              r = max(a, 0)
    mRS_pre = #{k : u > c_k - eta},  eta = 0.55 a + nl 0.18 r^2,  c = (0.20, 1.15, 2.05, 3.20, 5.20)
    NIHSSa  = clip(6 + 36 sigmoid((l - 1.75) / 1.5), 6, 42),
              l = 0.45 a + 0.25 mRS_pre + nl 0.20 r^2 + 0.85 u;  s = (NIHSSa - 15) / 6
    T       = 1[u > -logit],  logit = 1.9 - 0.45 max(a + 0.5, 0) - 0.30 max(s - 1, 0)
              - nl 1.3 sigmoid((Age - 82) / 4);  in the trial logit = 0
    mRS_3m  = #{k : u > c_k - zeta},  zeta = 0.85 s + 0.55 a + 0.45 mRS_pre + tau T,
              c = (-1.85, -0.75, 0.05, 0.80, 1.55, 2.35),
              tau = -0.85 in "ls",  -0.85 + 0.85 (1 - sigmoid((78 - Age) / 6)) in "nl"

The equations run on unrounded values. Rounding (Age to 1 decimal, NIHSSa to 2) happens once, in
``frozen_tables``.

The clip of Age is active: 0.1 % of the cohort have Age = 20 and 1.9 % Age = 103, so that the law
of Age has atoms there. The clip of NIHSSa is not, since a sigmoid never reaches its bounds.

References:
    Duerr, Herzog, Buehler, Wegener and Sick (2026), arXiv:2606.12623, describe the case study that
    the cohort imitates; its authors withdrew the preprint from arXiv on 15 June 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .checks import Do, check_choice, check_do
from .distributions import (
    FloatArray,
    counterfactual_ordinal_pmf,
    cut,
    log_sigmoid,
    logistic_log_density,
    ordinal_log_pmf,
    ordinal_pmf,
    sigmoid,
)
from .scm import OBSERVATIONAL, Mechanism, StructuralModel, Values

COLUMNS = ("Age", "mRS_pre", "NIHSSa", "T", "mRS_3m")
AGE_LOCATION: Mapping[str, float] = MappingProxyType({"cohort": 73.0, "trial": 64.0})
AGE_SCALE, AGE_MIN, AGE_MAX, AGE_CENTRE = 7.6, 20.0, 103.0, 73.0
NIHSS_MIN, NIHSS_RANGE, NIHSS_CENTRE, NIHSS_UNIT = 6.0, 36.0, 15.0, 6.0
NIHSS_LOCATION, NIHSS_WIDTH, NIHSS_NOISE = 1.75, 1.5, 0.85
CUTPOINTS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "mRS_pre": (0.20, 1.15, 2.05, 3.20, 5.20),
        "mRS_3m": (-1.85, -0.75, 0.05, 0.80, 1.55, 2.35),
    }
)
TAU_LS = -0.85
GOOD_OUTCOME = 2
"""Highest mRS_3m that counts as a good outcome."""

TRIAL, EFFECT = 1001, 9001
"""Offsets of the random streams of the trial and of the true average effect."""
N_EFFECT = 500_000
DECIMALS: Mapping[str, int] = MappingProxyType({"Age": 1, "NIHSSa": 2})


@dataclass(frozen=True)
class ArmRisks:
    """Probability of a good outcome without and with treatment.

    Attributes:
        control: P(mRS_3m <= 2) under do(T = 0).
        treated: P(mRS_3m <= 2) under do(T = 1).
    """

    control: float
    treated: float

    @property
    def difference(self) -> float:
        """The average treatment effect, treated minus control."""
        return self.treated - self.control


@dataclass(frozen=True)
class MagicMrClean(StructuralModel):
    """The synthetic stroke cohort and its trial; equations in the module's docstring.

    Args:
        variant: "ls" (constant effect of T on the latent scale) or "nl" (effect fades with age,
            non-linear confounding).
        seed: Base of the random streams.
        population: "cohort" (treatment by indication) or "trial" (younger, randomised); every
            method speaks of this population unless it says otherwise.

    Raises:
        ValueError: If variant or population is none of these, or the seed is negative.
    """

    columns = COLUMNS
    parents = MappingProxyType({node: COLUMNS[:i] for i, node in enumerate(COLUMNS)})
    levels = MappingProxyType({"mRS_pre": 6, "T": 2, "mRS_3m": 7})
    latent_laws = MappingProxyType(dict.fromkeys(COLUMNS, "logistic(0, 1)"))
    atoms = MappingProxyType({"Age": (AGE_MIN, AGE_MAX)})
    n_frozen = 1275
    n_frozen_trial = 500
    frozen_streams = MappingProxyType({"obs": OBSERVATIONAL, "rct": TRIAL})
    byte_stable = True

    variant: Literal["ls", "nl"] = "nl"
    seed: int = 7
    population: Literal["cohort", "trial"] = field(default="cohort", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self._name, "variant", self.variant, ("ls", "nl"))
        check_choice(self._name, "population", self.population, tuple(AGE_LOCATION))

    def trial(self) -> MagicMrClean:
        """Return the same process in the population of the randomised trial."""
        return replace(self, population="trial")

    def rct(self, n: int, seed_offset: int = 0) -> pd.DataFrame:
        """Draw n rows of the randomised trial."""
        return self.trial()._draw(n, TRIAL, seed_offset)

    def true_tau(self, age: ArrayLike) -> FloatArray:
        """Return the effect of T on the latent scale (log odds of a worse mRS_3m) at an age.

        Args:
            age: Age in years, any shape; the result has the same shape.
        """
        age = np.asarray(age, dtype=np.float64)
        if self.variant == "ls":
            return np.full(age.shape, TAU_LS)
        return TAU_LS * sigmoid((78 - age) / 6)

    def true_pmf(self, rows: pd.DataFrame) -> FloatArray:
        """Return the exact pmf of mRS_3m given its parents.

        T has no other child, so ``true_pmf(rows.assign(T=1))`` is the pmf under do(T = 1) too.

        Args:
            rows: Table with Age, mRS_pre, NIHSSa and T.

        Returns:
            Probabilities of the levels 0 to 6, shape ``(n, 7)``.

        Raises:
            ValueError: If a column is missing, not finite, or holds an impossible level.
        """
        return ordinal_pmf(self._outcome_thresholds(self._check_rows(rows, self.columns[:-1])))

    def true_counterfactual_pmf(self, df: pd.DataFrame, do: Do) -> FloatArray:
        """Return the exact pmf of the counterfactual mRS_3m of each complete row under do(T).

        The observed outcome confines its latent to an interval; the pmf is the share of it that
        leads to each level in the other world. Other interventions act through mRS_pre and T,
        whose latents a row confines only to intervals too: use :meth:`counterfactual_pair`.

        Args:
            df: Complete rows.
            do: T and its value, a scalar or one per row.

        Returns:
            Probabilities of the levels 0 to 6, shape ``(n, 7)``.

        Raises:
            ValueError: If do sets anything but T, or a column is missing or impossible.
        """
        values = self._check_rows(df, self.columns)
        fixed = check_do(self._name, do, len(df), self.columns, self.levels)
        if set(fixed) != {"T"}:
            raise ValueError(
                f"{self._name}: do sets {', '.join(fixed) or 'nothing'}; the counterfactual pmf "
                "is for T alone. For other nodes compare the tables of counterfactual_pair."
            )
        return counterfactual_ordinal_pmf(
            values["mRS_3m"],
            self._outcome_thresholds(values),
            self._outcome_thresholds(values | fixed),
        )

    def true_arm_risks(self, covariates: pd.DataFrame | None = None) -> ArmRisks:
        """Return the probability of a good outcome in both arms.

        Args:
            covariates: Table with Age, mRS_pre and NIHSSa, whose rows make the population; the
                result is exact then. None stands for the trial's population, by Monte Carlo with
                500 000 latents (seed + 9001) shared by the arms: the standard error of the
                difference is about 0.0006.

        Raises:
            ValueError: If a covariate is missing, not finite, or holds an impossible level.
        """
        if covariates is None:
            trial = self.trial()
            latents = trial.draw_latents(N_EFFECT, self.seed + EFFECT)
            arms = (trial.simulate(latents, {"T": t})["mRS_3m"] <= GOOD_OUTCOME for t in (0, 1))
            return ArmRisks(*(float(good.mean()) for good in arms))
        self._check_rows(covariates, self.columns[:3])
        pmfs = (self.true_pmf(covariates.assign(T=t)) for t in (0, 1))
        return ArmRisks(*(float(pmf[:, : GOOD_OUTCOME + 1].sum(1).mean()) for pmf in pmfs))

    def true_ate(self, covariates: pd.DataFrame | None = None) -> float:
        """Return the average effect of T on P(mRS_3m <= 2); see :meth:`true_arm_risks`."""
        return self.true_arm_risks(covariates).difference

    def naive_contrast(self) -> float:
        """Return the confounded difference in good outcomes between treated and untreated.

        From 500 000 observational rows (seed_offset 777).
        """
        df = self.observational(N_EFFECT, seed_offset=777)
        good = df["mRS_3m"] <= GOOD_OUTCOME
        return float(good[df["T"] == 1].mean() - good[df["T"] == 0].mean())

    def frozen_tables(self) -> dict[str, pd.DataFrame]:
        """Return cohort and trial, rounded as they are frozen."""
        tables = {"obs": self.observational(self.n_frozen), "rct": self.rct(self.n_frozen_trial)}
        return {stem: df.round(dict(DECIMALS)) for stem, df in tables.items()}

    def truth(self) -> dict[str, Any]:
        """Return constants and truths as JSON-ready values; the effects by Monte Carlo."""
        risks = self.true_arm_risks()
        ages = (50.0, 60.0, 70.0, 80.0, 90.0)
        return {
            "constants": {
                "Age": {
                    "location": dict(AGE_LOCATION),
                    "scale": AGE_SCALE,
                    "clip": [AGE_MIN, AGE_MAX],
                },
                "cutpoints": {node: list(cuts) for node, cuts in CUTPOINTS.items()},
                "coefficients": {node: self._coefficients(node) for node in self.columns[1:]},
                "NIHSSa_noise": NIHSS_NOISE,
                "good_outcome": f"mRS_3m <= {GOOD_OUTCOME}",
            },
            **self._linear_truth(),
            "tau": {"age": list(ages), "value": self.true_tau(ages).tolist()},
            "average_effect": {
                "population": "trial",
                "control": risks.control,
                "treated": risks.treated,
                "ate": risks.difference,
                "n": N_EFFECT,
                "rng_seed": self.seed + EFFECT,
            },
            "naive_contrast": {
                "population": "cohort",
                "value": self.naive_contrast(),
                "n": N_EFFECT,
                "seed_offset": 777,
            },
        }

    def _coefficients(self, node: str) -> dict[str, float]:
        """Return the coefficients of a node's predictor by the name of its term."""
        nl = self.variant == "nl"
        return {
            "mRS_pre": {"a": 0.55, "r^2": 0.18 if nl else 0.0},
            "NIHSSa": {"a": 0.45, "mRS_pre": 0.25, "r^2": 0.20 if nl else 0.0},
            "T": {
                "constant": 1.9,
                "max(a + 0.5, 0)": -0.45,
                "max(s - 1, 0)": -0.30,
                "sigmoid((Age - 82) / 4)": -1.3 if nl else 0.0,
            },
            "mRS_3m": {"s": 0.85, "a": 0.55, "mRS_pre": 0.45},
        }[node]

    def _linear_truth(self) -> dict[str, Any]:
        """Weights and cutpoints per raw unit; None where a shift is not linear."""
        ls = self.variant == "ls"
        pre, severity, outcome = map(self._coefficients, ("mRS_pre", "NIHSSa", "mRS_3m"))
        flow = {
            "mRS_pre": {"Age": pre["a"] / 10 if ls else None},
            "NIHSSa": {
                "Age": -severity["a"] / 10 / NIHSS_NOISE if ls else None,
                "mRS_pre": -severity["mRS_pre"] / NIHSS_NOISE,
            },
            "T": {"Age": None, "mRS_pre": 0.0, "NIHSSa": None},
            "mRS_3m": {
                "Age": outcome["a"] / 10,
                "mRS_pre": outcome["mRS_pre"],
                "NIHSSa": outcome["s"] / NIHSS_UNIT,
                "T": TAU_LS if ls else None,
            },
        }
        paper = flow | {
            node: {parent: None if w is None else 0.0 - w for parent, w in flow[node].items()}
            for node in self.levels
        }
        # Centring Age and NIHSSa moves the cutpoints by the shift at the centres.
        age = AGE_CENTRE * outcome["a"] / 10
        nihss = NIHSS_CENTRE * outcome["s"] / NIHSS_UNIT
        pre_cuts = [c + AGE_CENTRE * pre["a"] / 10 for c in CUTPOINTS["mRS_pre"]] if ls else None
        return {
            "weights": {"flow_sign_convention": flow, "paper_sign_convention": paper},
            "cutpoints": {
                "mRS_pre": pre_cuts,
                "mRS_3m": [c + age + nihss for c in CUTPOINTS["mRS_3m"]],
            },
        }

    def _pre_thresholds(self, v: Values) -> FloatArray:
        c, (a, r_squared) = self._coefficients("mRS_pre"), _age_terms(v)
        eta = c["a"] * a + c["r^2"] * r_squared
        return np.array(CUTPOINTS["mRS_pre"]) - eta[:, None]

    def _severity_location(self, v: Values) -> FloatArray:
        c, (a, r_squared) = self._coefficients("NIHSSa"), _age_terms(v)
        return c["a"] * a + c["mRS_pre"] * v["mRS_pre"] + c["r^2"] * r_squared

    def _treatment_logit(self, v: Values) -> FloatArray:
        if self.population == "trial":
            return np.zeros(len(v["Age"]))
        c, (a, _) = self._coefficients("T"), _age_terms(v)
        return (
            c["constant"]
            + c["max(a + 0.5, 0)"] * np.maximum(a + 0.5, 0)
            + c["max(s - 1, 0)"] * np.maximum(_severity(v) - 1, 0)
            + c["sigmoid((Age - 82) / 4)"] * sigmoid((v["Age"] - 82) / 4)
        )

    def _outcome_thresholds(self, v: Values) -> FloatArray:
        c, (a, _) = self._coefficients("mRS_3m"), _age_terms(v)
        zeta = c["s"] * _severity(v) + c["a"] * a + c["mRS_pre"] * v["mRS_pre"]
        zeta = zeta + self.true_tau(v["Age"]) * v["T"]
        return np.array(CUTPOINTS["mRS_3m"]) - zeta[:, None]

    def _mechanisms(self) -> Mapping[str, Mechanism]:
        location = AGE_LOCATION[self.population]

        def severity(v: Values, u: Values) -> FloatArray:
            latent = self._severity_location(v) + NIHSS_NOISE * u["NIHSSa"]
            score = NIHSS_MIN + NIHSS_RANGE * sigmoid((latent - NIHSS_LOCATION) / NIHSS_WIDTH)
            return np.clip(score, NIHSS_MIN, NIHSS_MIN + NIHSS_RANGE)

        return {
            "Age": lambda v, u: np.clip(location + AGE_SCALE * u["Age"], AGE_MIN, AGE_MAX),
            "mRS_pre": lambda v, u: cut(u["mRS_pre"], self._pre_thresholds(v)),
            "NIHSSa": severity,
            "T": lambda v, u: (u["T"] > -self._treatment_logit(v)).astype(np.int64),
            "mRS_3m": lambda v, u: cut(u["mRS_3m"], self._outcome_thresholds(v)),
        }

    def _log_densities(self, values: Values) -> dict[str, FloatArray]:
        logit = self._treatment_logit(values)
        return {
            "Age": self._log_age(values["Age"]),
            "mRS_pre": ordinal_log_pmf(values["mRS_pre"], self._pre_thresholds(values)),
            "NIHSSa": self._log_severity(values),
            "T": log_sigmoid(np.where(values["T"] == 1, logit, -logit)),
            "mRS_3m": ordinal_log_pmf(values["mRS_3m"], self._outcome_thresholds(values)),
        }

    def _log_age(self, age: FloatArray) -> FloatArray:
        """Log density between the bounds, log probability on them, -inf beyond."""
        u = (age - AGE_LOCATION[self.population]) / AGE_SCALE
        inside = logistic_log_density(u) - np.log(AGE_SCALE)
        return np.select(
            [age == AGE_MIN, age == AGE_MAX, (age > AGE_MIN) & (age < AGE_MAX)],
            [log_sigmoid(u), log_sigmoid(-u), inside],
            default=-np.inf,
        )

    def _log_severity(self, values: Values) -> FloatArray:
        """Change of variables from u to NIHSSa through ``logit((NIHSSa - 6) / 36)``."""
        share = (values["NIHSSa"] - NIHSS_MIN) / NIHSS_RANGE
        inside = (share > 0) & (share < 1)
        share = np.where(inside, share, 0.5)
        logit = np.log(share) - np.log1p(-share)
        latent = NIHSS_LOCATION + NIHSS_WIDTH * logit
        u = (latent - self._severity_location(values)) / NIHSS_NOISE
        log_slope = np.log(NIHSS_WIDTH / NIHSS_NOISE / NIHSS_RANGE) - np.log(share * (1 - share))
        return np.where(inside, logistic_log_density(u) + log_slope, -np.inf)


def _age_terms(v: Values) -> tuple[FloatArray, FloatArray]:
    """Return a and r^2."""
    a = (v["Age"] - AGE_CENTRE) / 10
    return a, np.maximum(a, 0) ** 2


def _severity(v: Values) -> FloatArray:
    """Return s."""
    return (v["NIHSSa"] - NIHSS_CENTRE) / NIHSS_UNIT
