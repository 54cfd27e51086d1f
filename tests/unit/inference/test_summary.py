from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from tramdag import CausalFlowDAG, ContinuousNode, OrdinalNode, compare


def test_likelihood_ratio_of_a_binary_node_is_logistic_regressions() -> None:
    rng = np.random.default_rng(3)
    a, t = rng.normal(size=300), rng.integers(0, 3, 300)
    rows = pd.DataFrame({"a": a, "t": t, "y": (rng.logistic(size=300) < a).astype(int)})
    causes = {"a": ContinuousNode(transform="affine"), "t": OrdinalNode(3)}
    flows = [
        CausalFlowDAG({**causes, "y": OrdinalNode(2, parents)}, seed=1).fit(rows)
        for parents in ({"a": "ls"}, {"a": "ls", "t": "ls"})
    ]
    design = np.column_stack([np.ones(300), a, t == 1, t == 2]).astype(float)
    small, large = (
        sm.Logit(rows["y"], design[:, :k]).fit(disp=False, tol=1e-12).llf for k in (2, 4)
    )
    table = compare(*flows).set_index("node")
    assert table.index.tolist() == ["y", "joint"]
    assert table.loc["y", "statistic"] == pytest.approx(2 * (large - small), abs=1e-8)
    assert table.loc["y", "df"] == 2
    assert table.loc["joint", "p"] == pytest.approx(stats.chi2.sf(2 * (large - small), 2))


@pytest.mark.parametrize("seed", [0, 5, 8, 17])
def test_one_more_shift_is_one_degree_of_freedom_whatever_bounds_are_active(seed: int) -> None:
    # a transform with many coefficients rests on its monotonicity bounds at different places
    rng = np.random.default_rng(seed)
    x, side = rng.normal(size=100), rng.random(100) < 0.5
    modes = np.where(side, rng.normal(size=100), 6 + rng.normal(size=100))
    rows = pd.DataFrame({"x": x, "y": 0.8 * x + modes})
    flows = [
        CausalFlowDAG({"x": ContinuousNode(transform="affine"), "y": node}, seed=1).fit(rows)
        for node in (ContinuousNode(), ContinuousNode({"x": "ls"}))
    ]
    assert compare(*flows).set_index("node").loc["y", "df"] == 1
