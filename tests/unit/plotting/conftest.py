"""Fits to the stroke cohort, and the tables that pictures are drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from pictures import LS, PRODUCT, STROKE, VARYING

import tramdag as td

mpl.use("Agg")

DATA = Path(__file__).parents[3] / "data" / "magic-mrclean" / "nl"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    return pd.read_csv(DATA / "obs.csv")


@pytest.fixture(scope="session")
def stroke(rows: pd.DataFrame) -> td.CausalFlowDAG:
    return td.CausalFlowDAG(STROKE).fit(rows)


@pytest.fixture(scope="session")
def varying(rows: pd.DataFrame) -> td.CausalFlowDAG:
    return td.CausalFlowDAG(VARYING).fit(rows)


@pytest.fixture(scope="session")
def product(rows: pd.DataFrame) -> td.CausalFlowDAG:
    return td.CausalFlowDAG(PRODUCT).fit(rows)


@pytest.fixture(scope="session")
def tables(
    stroke: td.CausalFlowDAG, varying: td.CausalFlowDAG, rows: pd.DataFrame
) -> dict[str, Any]:
    """What each function draws, from real fits."""
    grid = pd.DataFrame({"NIHSSa": np.linspace(4, 44, 81), "Age": 70.0, "mRS_pre": 0})
    return {
        "coefficient_forest": stroke.summary(),
        "odds_ratio_band": varying.odds_ratio_curve("mRS_3m", "T", "Age", np.linspace(45, 95, 51)),
        "transformation_curve": stroke.transformation(grid, "NIHSSa"),
        "shift_curve": stroke.shift_curve("mRS_3m", "mRS_pre", range(6)),
        "residual_qq": stroke.residuals(rows)["NIHSSa"],
        "calibration_curve": stroke.calibration(rows, "mRS_3m"),
        "causal_dag": stroke.spec,
    }


@pytest.fixture(scope="session")
def separated() -> td.CausalFlowDAG:
    """Level 2 of g sees y = 1 only; the level 3 of g never occurs."""
    rng = np.random.default_rng(5)
    g = np.repeat([0, 1, 2], 60)
    y = np.where(g == 2, 1, rng.integers(0, 2, 180))
    spec = {"g": td.OrdinalNode(4), "y": td.OrdinalNode(2, {"g": LS})}
    with pytest.warns(td.SeparationWarning), pytest.warns(td.ConvergenceWarning):
        return td.CausalFlowDAG(spec).fit(pd.DataFrame({"g": g, "y": y}))
