"""The library's estimates and standard errors on the frozen cohorts, by the programs' limits."""

import pandas as pd
import pytest

import tramdag as td
from replication.crosscheck import compare, crosscheck_r, crosscheck_statsmodels, our_rows
from replication.training import coefficient_table, parameter_table

NODES = {"Age", "mRS_pre", "NIHSSa", "T", "mRS_3m"}


@pytest.fixture
def ours(stroke):
    flow = td.CausalFlowDAG(td.spec_from_dict(stroke.cohort.spec), seed=0)
    flow.fit(stroke.df, verbose=0, progress=False)
    return our_rows(parameter_table(flow), flow.report.nodes)


def std_errors(table, *programs):
    return table[table["reference"].isin(programs) & (table["quantity"] == "std_error")]


def test_every_standard_error_is_that_of_statsmodels_or_scipy(stroke, ours, tmp_path):
    cohort = stroke.cohort
    crosscheck_statsmodels(
        observational=cohort.observational, spec=cohort.spec, output=tmp_path / "their.csv"
    )
    table = compare(ours, pd.read_csv(tmp_path / "their.csv"))
    errors = std_errors(table, "statsmodels", "scipy")
    assert set(errors["node"]) == NODES
    assert (errors["limit"] == 1e-5).all()
    assert errors["holds"].all()
    # and none of ours is left without a partner
    assert len(errors) == (ours["quantity"] == "std_error").sum()
    # Bernstein coefficients too: the thetas agree to rounding, not only up to a constant
    theta = table[table["quantity"] == "theta"]
    assert len(theta) == 40
    assert theta["difference"].abs().max() < 1e-9


@pytest.mark.r
def test_every_standard_error_of_an_ordinal_node_is_that_of_r(stroke, ours, tmp_path, in_r_process):
    cohort = stroke.cohort
    in_r_process(
        crosscheck_r,
        observational=cohort.observational,
        spec=cohort.spec,
        output=tmp_path / "r.csv",
    )
    errors = std_errors(compare(ours, pd.read_csv(tmp_path / "r.csv")), "R polr", "R glm")
    counts = errors.groupby("node").size().to_dict()
    # coefficients and cutpoints
    assert counts == {"mRS_pre": 1 + 5, "T": 7 + 1, "mRS_3m": 8 + 6}
    assert errors["holds"].all()


def test_every_standard_error_of_a_coefficient_is_that_of_r_as_committed(
    stroke, ours, tmp_path, monkeypatch
):
    monkeypatch.setattr("replication.crosscheck.r_unavailable_reason", lambda: "not installed")
    cohort = stroke.cohort
    crosscheck_r(
        observational=cohort.observational,
        spec=cohort.spec,
        trial=cohort.trial,
        effects=cohort.effects,
        frozen=cohort.folder,
        output=tmp_path / "r.csv",
    )
    table = compare(ours, pd.read_csv(tmp_path / "r.csv"))
    errors = std_errors(table, "R polr (frozen)", "R glm (frozen)")
    assert errors.groupby("node").size().to_dict() == {"mRS_pre": 1, "T": 7, "mRS_3m": 8}
    assert errors["holds"].all()


def test_parameters_are_those_of_exact_solutions_only(stroke):
    spec = {
        "Age": {"kind": "continuous", "n_coefs": 6},
        "mRS_3m": {"kind": "ordinal", "levels": 7, "parents": {"Age": "cs"}},
    }
    flow = td.CausalFlowDAG(td.spec_from_dict(spec), seed=0)
    flow.fit(stroke.df.head(300), epochs=1, verbose=0, progress=False)
    assert set(parameter_table(flow)["node"]) == {"Age"}
    assert set(coefficient_table(flow)["node"]) == {"mRS_3m"}
