"""A model that is its own generator, so that every distance from the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tramdag as td
from replication.claims import Claim
from simulations import MagicMrClean, TriangleMixed, VacaTriangle
from simulations.scm import StructuralModel


class PerfectFlow:
    """Answers like a fitted flow, by the generator's own equations."""

    def __init__(self, generator: StructuralModel) -> None:
        self.generator = generator
        self.spec = {
            node: td.OrdinalNode(generator.levels[node])
            if node in generator.levels
            else td.ContinuousNode()
            for node in generator.columns
        }

    def node_log_prob(self, df: pd.DataFrame) -> pd.DataFrame:
        return self.generator.log_density_by_node(df)

    def sample(
        self,
        n: int | None = None,
        *,
        do: Mapping[str, Any] | None = None,
        u: pd.DataFrame | None = None,
        seed: int | None = None,
    ) -> pd.DataFrame:
        latents = self.generator.draw_latents(n or 1, seed or 0) if u is None else u
        actions = dict(do or {})
        if any(callable(action) for action in actions.values()):
            natural = self.generator.simulate(latents)
            actions = {k: f(natural[k]) if callable(f) else f for k, f in actions.items()}
        return self.generator.simulate(latents, actions)

    def abduct(self, df: pd.DataFrame, *, seed: int | None = None) -> pd.DataFrame:
        if hasattr(self.generator, "abduct_noise"):
            return self.generator.abduct_noise(df)
        # an ordinal node confines its latent only; these rows are scored by their law instead
        return self.generator.draw_latents(len(df), seed or 0)

    def pmf(
        self, df: pd.DataFrame, node: str, do: Mapping[str, Any], n_points: int = 512
    ) -> pd.DataFrame:
        return pd.DataFrame(self.generator.true_pmf(df.assign(**do)))  # type: ignore[attr-defined]

    def counterfactual_pmf(
        self, df: pd.DataFrame, node: str, do: Mapping[str, Any]
    ) -> pd.DataFrame:
        return pd.DataFrame(
            self.generator.true_counterfactual_pmf(df, do)  # type: ignore[attr-defined]
        )

    def shift_curve(self, node: str, parent: str, values: list[float]) -> pd.DataFrame:
        shift = self.generator.true_shift_curve(values)  # type: ignore[attr-defined]
        # a shift is known up to a constant, which must not count as an error
        return pd.DataFrame({"value": values, "shift": np.asarray(shift) + 3.0})


@pytest.fixture(scope="session")
def vaca() -> PerfectFlow:
    return PerfectFlow(VacaTriangle())


@pytest.fixture(scope="session")
def mixed() -> PerfectFlow:
    return PerfectFlow(TriangleMixed("exp"))


@pytest.fixture(scope="session")
def stroke() -> PerfectFlow:
    return PerfectFlow(MagicMrClean("nl"))


@pytest.fixture(scope="session")
def claim() -> Callable[..., Claim]:
    """Makes a claim that differs from a plain one by the given fields."""

    def make(**changes: Any) -> Claim:
        fields: dict[str, Any] = {
            "id": "toy",
            "claim": "E[x | do(y)] is *one*",
            "source": "nowhere",
            "target": 1.0,
            "tolerance": 0.1,
            "reason": "why not",
            "relation": "equals",
            "table": "l2",
            "where": {"experiment": "toy", "model": "ls"},
            "column": "estimate",
            "statistic": "mean",
            "transform": "none",
            "interval": "spread",
            "note": "",
        }
        return Claim(**(fields | changes))

    return make


@pytest.fixture(scope="session")
def tables() -> Callable[..., dict[str, pd.DataFrame]]:
    """Makes the tidy tables of a run whose one model has these values, one per seed."""

    def make(values: list[float], **columns: Any) -> dict[str, pd.DataFrame]:
        table = pd.DataFrame({"estimate": values, "seed": range(len(values)), **columns})
        fits = pd.DataFrame({"experiment": ["toy"], "model": ["ls"], "n": [500]})
        return {"l2": table.assign(experiment="toy", model="ls"), "fits": fits}

    return make
