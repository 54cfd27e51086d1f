"""Studies of coverage: which rows, which truth, what counts as covered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit
from statsmodels.discrete.discrete_model import Logit
from statsmodels.tools import add_constant

import tramdag as td
from replication import coverage_summary
from replication.coverage import INTERVAL_COLUMNS, flow_intervals, replicate_intervals
from replication.coverage_summary import KEYS, add_truth, least_false_coefficients
from replication.coverage_summary import summarise_coverage as summarise
from replication.figures_coverage import draw_coverage
from replication.reference import (
    FLOOR_OFFSET,
    FRESH_OFFSET,
    LEAST_FALSE_OFFSET,
    misspecified_nodes,
    replicate_rows,
    training_rows,
    true_effect,
)
from replication.style import save_figure

MIXED = {"name": "triangle-mixed", "arguments": {"f": "linear"}}
STROKE = {"name": "magic-mrclean", "arguments": {"variant": "ls", "seed": 7}}
SPEC: dict[str, dict[str, Any]] = {
    "x1": {"kind": "continuous", "n_coefs": 6},
    "x2": {"kind": "continuous", "n_coefs": 6, "parents": {"x1": "ls"}},
    "x3": {"kind": "ordinal", "levels": 4, "parents": {"x1": "ls", "x2": "ls"}},
}
EFFECT = {"treatment": "T", "outcome": "mRS_3m", "at_most": 2}


def study(replicates: list[int]) -> pd.DataFrame:
    return replicate_intervals(
        MIXED,
        spec=SPEC,
        effects=[],
        population=None,
        replicates=replicates,
        rows=200,
        level=0.95,
    )


@pytest.fixture(scope="module")
def together() -> pd.DataFrame:
    return study([0, 1, 2])


def test_every_replicate_has_every_coefficient_and_cutpoint(together: pd.DataFrame) -> None:
    assert list(together.columns) == ["replicate", *INTERVAL_COLUMNS]
    assert together.groupby("replicate").size().to_dict() == {0: 6, 1: 6, 2: 6}
    assert together["parameter"].value_counts().to_dict() == {"shift": 9, "cutpoint": 9}


def test_grouping_replicates_into_jobs_changes_no_number(together: pd.DataFrame) -> None:
    alone = study([1])
    one = together[together["replicate"] == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, alone, check_exact=True)


def test_no_replicate_shares_rows_with_another_stream() -> None:
    first = {
        tuple(replicate_rows(MIXED, n=3, replicate=replicate).iloc[0]) for replicate in range(4)
    }
    trained = training_rows(MIXED, n=3, seeds=range(4)).drop(columns="seed")
    others = {tuple(row) for row in trained.to_numpy()}
    offsets = [FRESH_OFFSET, FLOOR_OFFSET, LEAST_FALSE_OFFSET]
    model = td.simulations.REGISTRY["triangle-mixed"]("linear")
    others |= {tuple(model.observational(3, seed_offset=o).iloc[0]) for o in offsets}
    assert len(first) == 4
    assert not first & others


def rows_of(n: int, *, interval: str = "Wald", **values: Any) -> list[dict[str, Any]]:
    key = {"node": "y", "parameter": "shift", "parent": "x", "level": np.nan}
    own = {"estimate": 0.5, "std_error": 0.1, "lower": 0.3, "upper": 0.7, "interval": interval}
    return [key | own | values for _ in range(n)]


def judged(rows: list[dict[str, Any]], truth: float) -> pd.DataFrame:
    table = pd.DataFrame(rows).assign(truth=truth, truth_source="generator")
    inside = (table["lower"] <= truth) & (truth <= table["upper"])
    return table.assign(covered=inside.astype("boolean").mask(table["interval"] == "none"))


def test_coverage_is_the_share_of_intervals_with_the_truth() -> None:
    rows = rows_of(470) + rows_of(30, estimate=1.0, lower=0.8, upper=1.2)
    (found,) = summarise(judged(rows, truth=0.45), level=0.95).to_dict("records")
    assert found["coverage"] == pytest.approx(0.94)
    assert found["deviation"] == pytest.approx(-0.01)
    # Clopper and Pearson, by the quantiles of the beta law
    assert found["lower"] == pytest.approx(stats.beta.ppf(0.025, 470, 31))
    assert found["upper"] == pytest.approx(stats.beta.ppf(0.975, 471, 30))
    assert found["bias"] == pytest.approx(0.94 * 0.5 + 0.06 * 1.0 - 0.45)
    assert found["mean_std_error"] == pytest.approx(0.1)


def test_a_replicate_without_an_interval_is_counted_and_not_dropped() -> None:
    nothing = {"estimate": np.nan, "std_error": np.nan, "lower": np.nan, "upper": np.nan}
    rows = rows_of(8) + rows_of(2, interval="none", **nothing)
    (found,) = summarise(judged(rows, truth=0.5), level=0.95).to_dict("records")
    assert (found["replicates"], found["available"]) == (10, 8)
    assert found["coverage"] == 1.0


def test_a_one_sided_interval_covers_if_the_truth_lies_in_it() -> None:
    open_above = {"estimate": np.inf, "std_error": np.nan, "upper": np.inf}
    rows = rows_of(6)
    rows += rows_of(3, interval="profile", lower=0.2, **open_above)
    rows += rows_of(1, interval="profile", lower=0.9, **open_above)
    (found,) = summarise(judged(rows, truth=0.5), level=0.95).to_dict("records")
    assert (found["available"], found["one_sided"]) == (10, 4)
    assert found["coverage"] == pytest.approx(0.9)
    # infinite estimates have no mean
    assert found["bias"] == pytest.approx(0.0)


def test_truths_are_the_generators_level_by_level(together: pd.DataFrame) -> None:
    table = add_truth(together, MIXED, spec=SPEC, effects=[], population=None)
    known = table.drop_duplicates(KEYS).set_index(["node", "parameter", "parent", "level"])["truth"]
    assert known.to_numpy() == pytest.approx([2.0, -0.2, 0.3, -2.0, 0.42, 1.02])
    assert (table["truth_source"] == "generator").all()


def test_a_table_read_back_from_a_file_gives_the_same(
    together: pd.DataFrame, tmp_path: Path
) -> None:
    together.to_csv(tmp_path / "intervals.csv", index=False)
    arguments: dict[str, Any] = {"spec": SPEC, "effects": [], "population": None}
    fresh = add_truth(together, MIXED, **arguments)
    again = add_truth(pd.read_csv(tmp_path / "intervals.csv"), MIXED, **arguments)
    pd.testing.assert_frame_equal(
        summarise(fresh, level=0.95), summarise(again, level=0.95), check_dtype=False
    )


def test_a_node_with_an_edge_that_is_not_linear_has_no_linear_truth() -> None:
    assert misspecified_nodes(STROKE) == ["T"]
    assert misspecified_nodes(MIXED) == []
    assert misspecified_nodes({"name": "triangle", "arguments": {"f": "atan"}}) == ["x3"]


def test_the_least_false_value_of_a_true_model_is_the_truth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(5)
    n = 100_000
    a, b = rng.normal(size=n), rng.integers(0, 3, size=n)
    p = expit(0.5 * a - 0.4 * (b == 1) + 0.8 * (b == 2) - 0.7)
    rows = pd.DataFrame({"a": a, "b": b})
    monkeypatch.setattr(coverage_summary, "least_false_rows", lambda process, node, n: (rows, p))
    spec = {
        "a": {"kind": "continuous"},
        "b": {"kind": "ordinal", "levels": 3},
        "y": {"kind": "ordinal", "levels": 2, "parents": {"a": "ls", "b": "ls"}},
    }
    found = least_false_coefficients({}, spec, ["y", "a"], n=n)
    assert set(found["node"]) == {"y"}
    assert found["parent"].fillna("").tolist() == ["a", "b", "b", ""]
    assert found["truth"].to_numpy() == pytest.approx([0.5, -0.4, 0.8, 0.7], abs=1e-8)


def test_a_least_false_value_is_where_maximum_likelihood_ends() -> None:
    spec = {
        "Age": {"kind": "continuous"},
        "mRS_pre": {"kind": "ordinal", "levels": 6},
        "NIHSSa": {"kind": "continuous"},
        "T": {"kind": "ordinal", "levels": 2, "parents": {"Age": "ls", "NIHSSa": "ls"}},
    }
    found = least_false_coefficients(STROKE, spec, ["T"], n=100_000)
    rows = replicate_rows(STROKE, n=100_000, replicate=0)
    fit = Logit(rows["T"], add_constant(rows[["Age", "NIHSSa"]])).fit(disp=False)
    shifts = found[found["parameter"] == "shift"].set_index("parent")["truth"]
    for parent in ("Age", "NIHSSa"):
        assert abs(shifts[parent] - fit.params[parent]) < 5 * fit.bse[parent]
    assert abs(found["truth"].iloc[-1] + fit.params["const"]) < 5 * fit.bse["const"]
    # flat for younger patients, so the least false slope is less steep than the edge
    assert -0.045 < shifts["Age"] < -0.01


def test_the_effect_of_the_trial_is_that_of_its_rows() -> None:
    model = td.simulations.MagicMrClean("ls")
    trial = model.rct(50)
    found = true_effect(STROKE, EFFECT, trial)
    assert found == pytest.approx(model.true_ate(trial), abs=1e-12)


def cohort(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    x, g = rng.normal(size=n), rng.integers(0, 3, size=n)
    y = np.digitize(0.8 * x + 0.3 * g + rng.logistic(size=n), [-1.0, 1.0])
    return pd.DataFrame({"x": x, "g": g, "y": y})


COHORT = {
    "x": {"kind": "continuous", "n_coefs": 6},
    "g": {"kind": "ordinal", "levels": 3},
    "y": {"kind": "ordinal", "levels": 3, "parents": {"x": "ls", "g": "ls"}},
}


def fitted(rows: pd.DataFrame) -> pd.DataFrame:
    flow = td.CausalFlowDAG(td.spec_from_dict(COHORT), seed=0)
    flow.fit(rows, verbose=0, progress=False)
    table = flow_intervals(flow, level=0.9)
    return table[(table["node"] == "y") & (table["parameter"] == "shift")]


def test_intervals_are_those_of_the_library() -> None:
    rows = cohort()
    flow = td.CausalFlowDAG(td.spec_from_dict(COHORT), seed=0)
    flow.fit(rows, verbose=0, progress=False)
    table = fitted(rows)
    summary = flow.summary(level=0.9)
    assert table["lower"].tolist() == summary["lower"].tolist()
    assert set(table["interval"]) == {"Wald"}


@pytest.mark.filterwarnings("ignore::tramdag.SeparationWarning")
@pytest.mark.filterwarnings("ignore::tramdag.ConvergenceWarning")
def test_an_unseen_level_has_no_interval() -> None:
    rows = cohort()
    table = fitted(rows[rows["g"] < 2].reset_index(drop=True))
    last = table.iloc[-1]
    assert (last["parent"], last["level"], last["interval"]) == ("g", 2, "none")
    assert np.isnan(last["estimate"])


@pytest.mark.filterwarnings("ignore::tramdag.SeparationWarning")
def test_a_separated_level_has_a_one_sided_interval() -> None:
    rows = cohort()
    rows.loc[rows["g"] == 2, "y"] = 2
    last = fitted(rows).iloc[-1]
    assert last["interval"] == "profile"
    assert last["estimate"] == last["upper"] == np.inf
    assert np.isfinite(last["lower"])


def test_an_effect_without_rows_to_average_over_is_refused() -> None:
    flow = td.CausalFlowDAG(td.spec_from_dict(COHORT), seed=0)
    flow.fit(cohort(), verbose=0, progress=False)
    effect = {"treatment": "g", "outcome": "y", "at_most": 1}
    with pytest.raises(ValueError, match="g on y <= 1 needs the rows"):
        flow_intervals(flow, level=0.9, effects=[effect])


def test_the_figure_shows_every_quantity(together: pd.DataFrame, tmp_path: Path) -> None:
    table = add_truth(together, MIXED, spec=SPEC, effects=[], population=None)
    figure = draw_coverage(summarise(table, level=0.95), level=0.95)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[0] == "x2 | x1"
    assert labels[-1] == "x3, cutpoint 2"
    save_figure(figure, png=str(tmp_path / "c.png"), pdf=str(tmp_path / "c.pdf"))
    assert (tmp_path / "c.png").stat().st_size > 0
