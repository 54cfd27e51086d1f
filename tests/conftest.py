"""Fixtures that several test folders share.

The library is imported inside the fixtures: some tests of other folders embed R in a process that
must not load torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import tramdag as td

# torch's first call is slow, and a failing example should be the same everywhere
settings.register_profile(
    "project", deadline=None, derandomize=True, database=None, max_examples=50
)
settings.load_profile("project")


def simulate_cohort(n: int, seed: int) -> pd.DataFrame:
    """A small clinical chain age -> sev -> score -> treat -> outcome -> cost, numpy only."""
    rng = np.random.default_rng(seed)

    def logistic() -> np.ndarray:
        return rng.logistic(size=n)

    def level(cutpoints: list[float], eta: np.ndarray) -> np.ndarray:
        return (logistic()[:, None] > np.asarray(cutpoints) - eta[:, None]).sum(1)

    age = 70 + 8 * rng.standard_normal(n)
    a = (age - 70) / 8
    sev = level([0.0, 1.5], 0.8 * a)
    score = np.exp(1.5 + 0.25 * a + 0.3 * sev + 0.25 * logistic())
    treat = level([0.2], -0.3 * a + 0.08 * (score - 6))
    outcome = level([-1.0, 0.5, 1.7], 0.15 * score + 0.4 * a - (0.9 - 0.4 * a) * treat)
    cost = 2.0 + 0.7 * outcome + 0.5 * logistic()
    columns = {"age": age, "sev": sev, "score": score, "treat": treat}
    return pd.DataFrame({**columns, "outcome": outcome, "cost": cost})


@pytest.fixture(scope="session")
def cohort() -> pd.DataFrame:
    """900 rows of the chain."""
    return simulate_cohort(900, seed=11)


@pytest.fixture(scope="session")
def fresh_cohort() -> pd.DataFrame:
    """200 rows of the chain that no fixture was fitted to."""
    return simulate_cohort(200, seed=12)


@pytest.fixture(scope="session")
def linear_flow(cohort: pd.DataFrame) -> td.CausalFlowDAG:
    """Every node classical, solved exactly."""
    import tramdag as td

    spec = {
        "age": td.ContinuousNode(n_coefs=8),
        "sev": td.OrdinalNode(3, {"age": "ls"}),
        "score": td.ContinuousNode({"age": "ls", "sev": "ls"}, n_coefs=8),
        "treat": td.OrdinalNode(2, {"age": "ls", "score": "ls"}),
        "outcome": td.OrdinalNode(4, {"age": "ls", "score": "ls", "treat": "ls"}),
        "cost": td.ContinuousNode({"outcome": "ls"}, transform="affine"),
    }
    return td.CausalFlowDAG(spec, seed=5).fit(cohort)


@pytest.fixture(scope="session")
def network_flow(cohort: pd.DataFrame) -> td.CausalFlowDAG:
    """Every kind of term, trained for a few epochs only."""
    import tramdag as td

    small = (8, 8)
    spec = {
        "age": td.ContinuousNode(n_coefs=8),
        "sev": td.OrdinalNode(3, terms=[td.CI("age", hidden=small)]),
        "score": td.ContinuousNode(terms=[td.CI("age", hidden=small), td.LS("sev")], n_coefs=8),
        "treat": td.OrdinalNode(2, terms=[td.CS("age", "sev", hidden=small), td.LS("score")]),
        "outcome": td.OrdinalNode(
            4,
            terms=[
                td.CI("age", hidden=small),
                td.CI("sev", hidden=small),
                td.CS("score", hidden=small),
                td.LS("treat"),
                td.LS("treat", "age"),
            ],
        ),
        "cost": td.ContinuousNode({"outcome": "ls"}, transform="spline", n_coefs=5),
    }
    return td.CausalFlowDAG(spec, seed=5).fit(cohort, epochs=12)


@pytest.fixture(params=["linear_flow", "network_flow"])
def flow(request: pytest.FixtureRequest) -> td.CausalFlowDAG:
    """Either kind of fit, for what must hold for both."""
    found: td.CausalFlowDAG = request.getfixturevalue(request.param)
    return found
