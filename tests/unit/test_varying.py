from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from tramdag import (
    LS,
    VC,
    CausalFlowDAG,
    ContinuousNode,
    ConvergenceWarning,
    OrdinalNode,
    SpecError,
)
from tramdag.spec import Node, spec_from_dict, spec_to_dict


def affine() -> ContinuousNode:
    return ContinuousNode(transform="affine")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(13)
    n = 800
    age, stage, t = rng.normal(size=n), rng.integers(0, 3, n), rng.integers(0, 2, n)
    shift = 0.4 * age + (1.0 - 1.5 * np.abs(age)) * t
    return pd.DataFrame(
        {"age": age, "stage": stage, "t": t, "y": (rng.logistic(size=n) < shift).astype(int)}
    )


def spec_of(*terms: LS | VC, levels: int = 2) -> dict[str, Node]:
    return {
        "age": affine(),
        "stage": OrdinalNode(3),
        "t": OrdinalNode(2),
        "y": OrdinalNode(levels, terms=list(terms)),
    }


VARIANTS = [
    VC("t", by="age"),
    VC("t", by="age", n_coefs=6),
    VC("t", by="stage"),
    VC("stage", by="age"),
    VC("age", by="stage", hidden=(3,)),
    VC("t", by=("age", "stage"), hidden=(4, 4)),
]


@pytest.mark.parametrize("term", VARIANTS, ids=str)
def test_a_varying_coefficient_survives_its_plain_form(term: VC) -> None:
    spec = spec_of(LS("age"), LS("stage"), term)
    assert spec_from_dict(json.loads(json.dumps(spec_to_dict(spec)))) == spec


@pytest.mark.parametrize("term", VARIANTS, ids=str)
def test_a_varying_coefficient_survives_saving(
    term: VC, rows: pd.DataFrame, tmp_path: Path
) -> None:
    flow = CausalFlowDAG(spec_of(term), seed=1).fit(rows, epochs=2)
    flow.save(tmp_path / "flow.pt")
    loaded = CausalFlowDAG.load(tmp_path / "flow.pt")
    np.testing.assert_array_equal(loaded.log_prob(rows), flow.log_prob(rows))


def test_a_spline_is_fitted_exactly(rows: pd.DataFrame) -> None:
    flow = CausalFlowDAG(spec_of(LS("age"), VC("t", by="age")), seed=1).fit(rows)
    entry = flow.report.nodes.set_index("node").loc["y"]
    assert entry["solver"] == "exact"
    assert entry["kkt_residual"] < 1e-10


def test_a_spline_of_four_coefficients_is_a_cubic_with_straight_tails(rows: pd.DataFrame) -> None:
    low, high = np.quantile(rows["age"], [0.05, 0.95])
    spec = spec_of(LS("age"), VC("t", by="age"))
    flow = CausalFlowDAG(spec, seed=1).fit(rows)
    a, t = rows["age"].to_numpy(), rows["t"].to_numpy()
    # outside the quantiles the cubic goes on along its tangents
    s = np.clip(a, low, high)
    tangents = [k * s ** (k - 1) * (a - s) if k else 0 * s for k in range(4)]
    basis = np.column_stack([s**k + tangent for k, tangent in enumerate(tangents)])
    design = np.column_stack([np.ones(len(a)), a, basis * t[:, None]])
    fit = sm.Logit(rows["y"], design).fit(disp=False, tol=1e-12)
    statistics = flow.fit_statistics().set_index("node").loc["y"]
    assert statistics["log_likelihood"] == pytest.approx(fit.llf, abs=1e-8)
    assert statistics["n_parameters"] == 6
    np.testing.assert_allclose(flow.pmf(rows, "y")[1], fit.predict(design), rtol=1e-6)


def test_levels_of_an_ordinal_parent_each_get_their_coefficient(rows: pd.DataFrame) -> None:
    flow = CausalFlowDAG(spec_of(LS("stage"), VC("t", by="stage")), seed=1).fit(rows)
    curve = flow.odds_ratio_curve("y", "t", "stage", [0, 1, 2])
    for k, row in curve.iterrows():
        part = rows[rows["stage"] == k]
        fit = sm.Logit(part["y"], sm.add_constant(part[["t"]])).fit(disp=False, tol=1e-12)
        assert row["log_odds_ratio"] == pytest.approx(fit.params["t"], rel=1e-5)
        assert row["std_error"] == pytest.approx(fit.bse["t"], rel=1e-5)


def test_a_constant_effect_beside_the_spline_is_reported_as_not_estimable(
    rows: pd.DataFrame,
) -> None:
    with pytest.warns(ConvergenceWarning, match="not estimable"):
        flow = CausalFlowDAG(spec_of(LS("age"), LS("t"), VC("t", by="age")), seed=1).fit(rows)
    without = CausalFlowDAG(spec_of(LS("age"), VC("t", by="age")), seed=1).fit(rows)
    assert flow.nll(rows) == pytest.approx(without.nll(rows), abs=1e-9)


def test_a_network_coefficient_learns_that_the_effect_varies(rows: pd.DataFrame) -> None:
    spec = spec_of(LS("age"), VC("t", by="age", hidden=(8,)))
    flow = CausalFlowDAG(spec, seed=1).fit(rows, epochs=80, batch_size=64)
    linear = CausalFlowDAG(spec_of(LS("age"), LS("t")), seed=1).fit(rows)
    assert flow.nll(rows) < linear.nll(rows) - 0.02
    curve = flow.odds_ratio_curve("y", "t", "age", [-1.5, 0.0, 1.5])
    assert curve["log_odds_ratio"][1] > curve["log_odds_ratio"][[0, 2]].mean() + 0.5
    assert curve[["std_error", "lower", "simultaneous_upper"]].isna().all(axis=None)


def test_untreated_rows_do_not_feel_the_term(rows: pd.DataFrame) -> None:
    term = VC("t", by=("age", "stage"), hidden=(4,))
    flow = CausalFlowDAG(spec_of(term), seed=1).fit(rows, epochs=5)
    untreated = flow.pmf(rows.assign(t=0), "y")[1]
    assert np.ptp(untreated) < 1e-12
    assert np.ptp(flow.pmf(rows.assign(t=1), "y")[1]) > 1e-3


@pytest.mark.parametrize(
    "make",
    [
        lambda: VC("t", by=()),
        lambda: VC("t", by="t"),
        lambda: VC("t", by=("age", "stage")),
        lambda: VC("t", by="age", n_coefs=1),
        lambda: VC("t", by="age", n_coefs=10**9),
        lambda: VC("t", by="age", n_coefs=2.5),  # type: ignore[arg-type]
        lambda: VC("t", by="age", hidden=(0,)),
        lambda: VC("t", by="age", hidden="32"),  # type: ignore[arg-type]
        lambda: VC("", by="age"),
        lambda: VC("t", by=5),  # type: ignore[arg-type]
        lambda: VC("t", by=None),  # type: ignore[arg-type]
        lambda: CausalFlowDAG({"t": OrdinalNode(2), "y": OrdinalNode(2, terms=[VC("t", by="x")])}),
        lambda: spec_from_dict(
            {"y": {"kind": "ordinal", "levels": 2, "terms": [{"kind": "vc", "parents": ["t"]}]}}
        ),
    ],
)
def test_bad_varying_coefficients_are_refused(make: Any) -> None:
    with pytest.raises(SpecError):
        make()


def test_a_network_without_hidden_layers_is_still_a_network(rows: pd.DataFrame) -> None:
    term = VC("t", by=("age", "stage"), hidden=())
    flow = CausalFlowDAG(spec_of(term), seed=1).fit(rows, epochs=1)
    assert flow.report.nodes.set_index("node")["solver"]["y"] == "quasi-newton"
