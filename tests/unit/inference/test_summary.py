from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from tramdag import CausalFlowDAG, ContinuousNode, OrdinalNode, SpecError, compare


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


@pytest.fixture(scope="module")
def two_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of one size that differ in a single value."""
    rng = np.random.default_rng(4)
    a = rng.normal(size=200)
    rows = pd.DataFrame({"a": a, "y": (rng.logistic(size=200) < a).astype(int)})
    other = rows.copy()
    other.loc[17, "a"] += 1e-6
    return rows, other


def smaller_and_larger() -> tuple[CausalFlowDAG, CausalFlowDAG]:
    cause = {"a": ContinuousNode(transform="affine")}
    smaller = CausalFlowDAG({**cause, "y": OrdinalNode(2)}, seed=1)
    return smaller, CausalFlowDAG({**cause, "y": OrdinalNode(2, {"a": "ls"})}, seed=1)


def test_fits_of_different_rows_are_not_compared(
    two_tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    rows, other = two_tables
    smaller, larger = smaller_and_larger()
    smaller.fit(rows)
    with pytest.raises(SpecError, match="different rows"):
        compare(smaller, larger.fit(other))
    # a file remembers which rows they were
    smaller.save(tmp_path / "smaller.pt")
    loaded = CausalFlowDAG.load(tmp_path / "smaller.pt")
    with pytest.raises(SpecError, match="different rows"):
        compare(loaded, larger)
    larger.fit(rows)
    pd.testing.assert_frame_equal(compare(loaded, larger), compare(smaller, larger))


def test_fits_of_the_same_rows_in_another_order_are_compared(
    two_tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    rows, _ = two_tables
    smaller, larger = smaller_and_larger()
    shuffled = rows.sample(frac=1.0, random_state=1).assign(further=1.0)[["further", "y", "a"]]
    expected = compare(smaller.fit(rows), larger.fit(rows))
    found = compare(smaller, larger.fit(shuffled))
    np.testing.assert_allclose(found.iloc[:, 1:], expected.iloc[:, 1:], rtol=1e-6)


def test_fits_with_different_weights_are_not_compared(
    two_tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    rows, _ = two_tables
    smaller, larger = smaller_and_larger()
    smaller.fit(rows)
    compare(smaller, larger.fit(rows, weights=np.ones(200)))
    with pytest.raises(SpecError, match="weights"):
        compare(smaller, larger.fit(rows, weights=np.linspace(0.5, 1.5, 200)))
