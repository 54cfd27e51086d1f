"""The cross-check's tables: their signs, their gaps, their joins, and the jobs that write them."""

import numpy as np
import pandas as pd
import pytest

from replication.classical_fit import ClassicalFitError
from replication.crosscheck import (
    compare,
    crosscheck_r,
    crosscheck_statsmodels,
    our_rows,
    reference_rows,
)
from replication.crosscheck_programs import PYTHON_PROGRAMS

SPEC = {
    "x": {"kind": "continuous"},
    "group": {"kind": "ordinal", "levels": 3},
    "z": {"kind": "continuous", "parents": {"x": "ls", "group": "ls"}},
    "t": {"kind": "ordinal", "levels": 2, "parents": {"x": "ls"}},
    "y": {"kind": "ordinal", "levels": 4, "parents": {"x": "ls", "group": "ls", "t": "ls"}},
}
EFFECT = {"treatment": "t", "outcome": "y", "at_most": 1}


def draw(n=600, seed=0):
    """Rows whose log odds ratios are 1 (x -> z), 0.5 (x -> y), -1 (t -> y), 0.3 per group."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    group = rng.integers(0, 3, size=n)
    z = (rng.logistic(size=n) - x - 0.3 * group) / 2
    t = (rng.logistic(size=n) > -0.5 * x).astype(int)
    y = np.searchsorted([-1.0, 0.5, 1.5], 0.5 * x + 0.3 * group - t + rng.logistic(size=n))
    return pd.DataFrame({"x": x, "group": group, "z": z, "t": t, "y": y})


def pick(table, **keys):
    chosen = np.logical_and.reduce([table[name] == value for name, value in keys.items()])
    return table[chosen]


def value_of(table, **keys):
    (value,) = pick(table, **keys)["value"]
    return value


@pytest.fixture(scope="module")
def reference():
    return reference_rows(draw(), SPEC, programs=PYTHON_PROGRAMS, effects=[EFFECT])


def test_every_classical_node_has_its_rows(reference):
    counts = reference.groupby(["node", "quantity"]).size().to_dict()
    assert counts == {
        ("x", "log_likelihood"): 1,
        ("x", "theta"): 20,
        ("x", "std_error"): len(pick(reference, node="x", quantity="std_error")),
        ("group", "cutpoint"): 2,
        ("group", "std_error"): 2,
        ("group", "log_likelihood"): 1,
        ("z", "coefficient"): 3,
        ("z", "theta"): 20,
        ("z", "std_error"): len(pick(reference, node="z", quantity="std_error")),
        ("z", "log_likelihood"): 1,
        ("t", "coefficient"): 1,
        ("t", "std_error"): 2,
        ("t", "cutpoint"): 1,
        ("t", "log_likelihood"): 1,
        ("y", "coefficient"): 4,
        ("y", "std_error"): 7,
        ("y", "cutpoint"): 3,
        ("y", "log_likelihood"): 1,
        ("y", "ate"): 1,
    }


def test_a_theta_at_its_bound_has_no_standard_error(reference):
    rows = pick(reference, node="x")
    theta = pick(rows, quantity="theta").set_index("level")["value"]
    known = set(pick(rows, quantity="std_error")["level"])
    bound = set(theta.index[1:][np.diff(theta) == 0])
    assert bound
    assert known == set(theta.index) - bound


def test_signs_are_those_of_the_library(reference):
    for node, parent, truth in [("z", "x", 1.0), ("y", "x", 0.5), ("t", "x", 0.5)]:
        keys = {"node": node, "parent": parent}
        estimate = value_of(reference, quantity="coefficient", **keys)
        assert abs(estimate - truth) < 5 * value_of(reference, quantity="std_error", **keys)


def test_the_effect_is_the_mean_difference_of_predicted_probabilities(reference):
    df = draw()
    rows = pick(reference, node="y")
    cutpoint = value_of(rows, quantity="cutpoint", level=1)
    slope = value_of(rows, quantity="coefficient", parent="x")
    effect = value_of(rows, quantity="coefficient", parent="t", level=1)
    groups = {
        level: value_of(rows, quantity="coefficient", parent="group", level=level)
        for level in (1, 2)
    }
    shift = slope * df["x"] + df["group"].map(groups | {0: 0.0})
    treated, control = (1 / (1 + np.exp(-(cutpoint - shift - arm))) for arm in (effect, 0.0))
    assert value_of(rows, quantity="ate") == pytest.approx((treated - control).mean(), abs=1e-12)


def test_the_effect_is_averaged_over_the_trial():
    df = draw()
    trial = df[df["x"] > 1]
    table = reference_rows(df, SPEC, programs=PYTHON_PROGRAMS, trial=trial, effects=[EFFECT])
    without = reference_rows(df, SPEC, programs=PYTHON_PROGRAMS, effects=[EFFECT])
    assert value_of(table, quantity="ate") != value_of(without, quantity="ate")
    assert pick(table, quantity="coefficient").equals(pick(without, quantity="coefficient"))


def test_an_effect_through_a_mediator_is_left_open_with_a_reason():
    spec = {"t": SPEC["t"] | {"parents": {}}, "x": SPEC["x"] | {"parents": {"t": "ls"}}}
    spec["y"] = {"kind": "ordinal", "levels": 4, "parents": {"x": "ls", "t": "ls"}}
    table = reference_rows(draw(), spec, programs=PYTHON_PROGRAMS, effects=[EFFECT])
    (row,) = pick(table, quantity="ate").to_dict("records")
    assert np.isnan(row["value"])
    assert "x stands between t and y" in row["note"]


def test_an_ancestor_with_joint_networks_does_not_hide_the_effect():
    joint = [{"kind": "ci", "parents": ["x", "group"]}]
    spec = SPEC | {"t": {"kind": "ordinal", "levels": 2, "terms": joint}}
    table = reference_rows(draw(), spec, programs=PYTHON_PROGRAMS, effects=[EFFECT])
    assert np.isfinite(value_of(table, quantity="ate"))


def test_nodes_with_networks_are_left_out():
    spec = SPEC | {"y": {"kind": "ordinal", "levels": 4, "parents": {"x": "cs", "t": "ls"}}}
    table = reference_rows(draw(), spec, programs=PYTHON_PROGRAMS)
    assert set(table["node"]) == {"x", "group", "z", "t"}


def test_a_level_that_no_row_has_is_listed_without_a_value():
    df = draw()
    df = df[df["group"] < 2]
    spec = SPEC | {"group": {"kind": "ordinal", "levels": 3}}
    table = reference_rows(df, spec, programs=PYTHON_PROGRAMS, trial=draw(), effects=[EFFECT])
    (row,) = pick(table, node="y", quantity="coefficient", parent="group", level=2).to_dict(
        "records"
    )
    assert np.isnan(row["value"])
    assert row["note"] == "no row has group = 2"
    assert "the population has group = 2" in pick(table, quantity="ate")["note"].item()
    assert "level 2 of 'group' has no rows" in pick(table, node="group")["note"].item()


def test_a_node_whose_levels_are_separated_is_listed_with_the_reason(caplog):
    df = draw()
    df["t"] = (df["x"] > 0).astype(int)
    table = reference_rows(df, SPEC, programs=PYTHON_PROGRAMS)
    (row,) = pick(table, node="t").to_dict("records")
    assert np.isnan(row["value"])
    assert "separated by 'x'" in row["note"]
    assert "node t" in caplog.text


def test_a_product_term_is_listed_as_not_covered():
    spec = SPEC | {
        "z": {"kind": "continuous", "terms": [{"kind": "ls", "parents": ["x", "group"]}]}
    }
    table = reference_rows(draw(), spec, programs=PYTHON_PROGRAMS)
    assert "product term of x and group" in pick(table, node="z")["note"].item()


def test_a_missing_column_is_named():
    table = reference_rows(draw().drop(columns="x"), SPEC, programs=PYTHON_PROGRAMS)
    assert "there is no column 'x'" in pick(table, node="t")["note"].item()


def test_terms_and_parents_are_two_ways_to_write_one_model():
    terms = [{"kind": "ls", "parents": [name]} for name in ("x", "group", "t")]
    spec = SPEC | {"y": {"kind": "ordinal", "levels": 4, "terms": terms}}
    first = reference_rows(draw(), SPEC, programs=PYTHON_PROGRAMS)
    assert reference_rows(draw(), spec, programs=PYTHON_PROGRAMS).equals(first)


OURS = pd.DataFrame(
    [
        ("a", "coefficient", "x", None, 1.1),
        ("a", "coefficient", "g", 1, -2.0),
        ("a", "log_likelihood", "", None, -10.0),
    ],
    columns=["node", "quantity", "parent", "level", "estimate"],
)
THEIRS = pd.DataFrame(
    [
        ("a", "R", "coefficient", "x", None, 1.0, ""),
        ("a", "R", "std_error", "x", None, 0.5, ""),
        ("a", "R", "coefficient", "g", 1, -2.0, ""),
        ("a", "R", "coefficient", "g", 2, 3.0, ""),
        ("a", "S", "log_likelihood", "", None, -8.0, ""),
    ],
    columns=["node", "reference", "quantity", "parent", "level", "value", "note"],
)


def test_compare_keeps_every_reference_row_and_adds_the_differences():
    table = compare(OURS, THEIRS)
    assert len(table) == len(THEIRS)
    assert table["estimate"].fillna(99).tolist() == [1.1, 99, -2.0, 99, -10.0]
    assert table["difference"].fillna(99).to_numpy() == pytest.approx([0.1, 99, 0, 99, -2])
    assert table["relative_difference"].fillna(99).to_numpy() == pytest.approx(
        [0.1, 99, 0, 99, -0.25]
    )
    assert table["difference_in_se"].fillna(99).to_numpy() == pytest.approx([0.2, 99, 99, 99, 99])


@pytest.mark.parametrize(
    ("program", "ours", "holds"),
    [
        ("R polr", 0.5 * (1 + 9e-4), True),
        ("R polr", 0.5 * (1 - 1.1e-3), False),
        ("R polr (frozen)", 0.5 * (1 + 9e-4), True),
        ("R glm", 0.5 * (1 + 2e-5), False),
        ("statsmodels", 0.5 * (1 + 9e-6), True),
        ("statsmodels", 0.5 * (1 + 1.1e-5), False),
        ("scipy", np.nan, False),
    ],
)
def test_a_standard_error_is_held_to_the_limit_of_its_program(program, ours, holds):
    key = {"node": "a", "quantity": "std_error", "parent": "x", "level": None}
    table = compare(
        pd.DataFrame([key | {"estimate": ours}]),
        pd.DataFrame([key | {"reference": program, "value": 0.5, "note": ""}]),
    )
    assert bool(table["holds"].item()) is holds


def test_another_model_and_other_numbers_have_no_limit():
    theirs = THEIRS.assign(reference="R polr semiparametric")
    table = compare(OURS, pd.concat([theirs, THEIRS[THEIRS["quantity"] != "std_error"]]))
    assert table["limit"].isna().all()
    assert table["holds"].isna().all()


def test_compare_gives_the_same_after_a_round_trip_through_csv(tmp_path):
    for name, table in (("ours", OURS), ("theirs", THEIRS)):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    again = compare(*(pd.read_csv(tmp_path / f"{name}.csv") for name in ("ours", "theirs")))
    pd.testing.assert_frame_equal(again, compare(OURS, THEIRS))


def test_compare_joins_seed_by_seed():
    ours = pd.concat([OURS.assign(seed=0), OURS.assign(seed=1, estimate=0.0)])
    theirs = pd.concat([THEIRS.assign(seed=seed) for seed in (0, 1)])
    table = compare(ours, theirs)
    assert pick(table, seed=0)["estimate"].iloc[0] == 1.1
    assert pick(table, seed=1)["estimate"].iloc[0] == 0.0


def test_compare_refuses_two_estimates_of_one_number():
    with pytest.raises(ValueError, match="3 rows of ours repeat a key"):
        compare(pd.concat([OURS, OURS]), THEIRS)


def test_our_rows_takes_the_tables_of_a_fit():
    coefficients = pd.DataFrame(
        {
            "node": ["y", "y"],
            "parameter": ["shift", "cutpoint"],
            "parent": ["x", None],
            "level": [None, 0],
            "estimate": [0.5, -1.0],
            "std_error": [0.1, np.nan],
        }
    )
    nodes = pd.DataFrame({"node": ["y"], "n": [100], "nll": [0.75]})
    effects = pd.DataFrame([EFFECT | {"estimate": 0.2}])
    rows = our_rows(coefficients, nodes, effects).to_dict("records")
    assert [(row["quantity"], row["parent"], row["estimate"]) for row in rows] == [
        ("coefficient", "x", 0.5),
        ("cutpoint", "", -1.0),
        ("std_error", "x", 0.1),
        ("log_likelihood", "", -75.0),
        ("ate", "t", 0.2),
    ]


@pytest.fixture
def files(tmp_path):
    two_seeds = [draw(seed=seed).assign(seed=seed) for seed in (3, 4)]
    draw().to_csv(tmp_path / "obs.csv", index=False)
    pd.concat(two_seeds).to_csv(tmp_path / "seeds.csv", index=False)
    return tmp_path


def test_the_statsmodels_job_writes_what_reference_rows_returns(files, reference):
    crosscheck_statsmodels(
        observational=files / "obs.csv", spec=SPEC, output=files / "out.csv", effects=[EFFECT]
    )
    written = pd.read_csv(files / "out.csv")
    assert written["value"].to_numpy() == pytest.approx(reference["value"].to_numpy(), nan_ok=True)


def test_each_seed_is_fitted_to_its_own_rows(files):
    crosscheck_statsmodels(
        observational=files / "seeds.csv",
        spec=SPEC,
        output=files / "out.csv",
        by_seed=True,
        seeds=[3, 4],
    )
    written = pd.read_csv(files / "out.csv")
    expected = reference_rows(draw(seed=4), SPEC, programs=PYTHON_PROGRAMS)
    assert pick(written, seed=4)["value"].to_numpy() == pytest.approx(
        expected["value"].to_numpy(), nan_ok=True
    )


def test_seeds_that_share_their_rows_share_the_reference(files):
    crosscheck_statsmodels(
        observational=files / "obs.csv", spec=SPEC, output=files / "out.csv", seeds=[0, 1]
    )
    written = pd.read_csv(files / "out.csv")
    first, second = (pick(written, seed=seed)["value"].to_numpy() for seed in (0, 1))
    assert np.array_equal(first, second, equal_nan=True)


def test_rows_by_seed_need_the_seeds(files):
    with pytest.raises(ClassicalFitError, match="by_seed=True needs the seeds"):
        crosscheck_statsmodels(
            observational=files / "seeds.csv", spec=SPEC, output=files / "out.csv", by_seed=True
        )


@pytest.mark.usefixtures("no_r")
def test_without_r_and_without_committed_results_the_table_says_so(files):
    crosscheck_r(observational=files / "obs.csv", spec=SPEC, output=files / "out.csv")
    written = pd.read_csv(files / "out.csv")
    assert written["node"].tolist() == list(SPEC)
    assert written["value"].isna().all()
    assert set(written["note"]) == {"R is not available: there is no R on PATH"}


@pytest.mark.r
def test_r_and_statsmodels_agree_on_fresh_rows(files, in_r_process):
    arguments = {"observational": files / "obs.csv", "spec": SPEC, "effects": [EFFECT]}
    in_r_process(crosscheck_r, output=files / "r.csv", **arguments)
    crosscheck_statsmodels(output=files / "statsmodels.csv", **arguments)
    ours = pd.read_csv(files / "statsmodels.csv").rename(columns={"value": "estimate"})
    table = compare(ours, pd.read_csv(files / "r.csv"))
    exact = table[table["reference"].isin(["R polr", "R glm"]) & (table["quantity"] != "std_error")]
    assert len(exact) == 15
    assert exact["difference"].abs().max() < 2e-5
    smooth = pick(table, reference="R polr semiparametric", quantity="coefficient")
    # the same rows, but an arbitrary transform instead of a polynomial
    assert smooth["difference_in_se"].abs().max() < 0.5
