"""R's committed results: when they stand in for R, and how they are frozen."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from replication.classical_fit import ClassicalFitError
from replication.crosscheck import crosscheck_r
from replication.frozen_r import freeze_reference, read_frozen


def stroke_job(stroke, **changes):
    cohort = stroke.cohort
    arguments = {
        "observational": cohort.observational,
        "spec": cohort.spec,
        "trial": cohort.trial,
        "effects": cohort.effects,
        "frozen": cohort.folder,
    }
    crosscheck_r(**(arguments | changes))


@pytest.mark.usefixtures("no_r")
def test_without_r_the_committed_results_are_marked_frozen(stroke, tmp_path):
    stroke_job(stroke, output=tmp_path / "out.csv")
    written = pd.read_csv(tmp_path / "out.csv")
    assert set(written["reference"]) == {
        "R polr (frozen)",
        "R glm (frozen)",
        "R polr semiparametric (frozen)",
    }
    assert np.isfinite(written["value"]).all()


@pytest.mark.usefixtures("no_r")
def test_defaults_that_r_never_sees_do_not_matter_to_the_committed_results(stroke, tmp_path):
    spec = {
        name: node | ({"n_coefs": 30} if node["kind"] == "continuous" else {})
        for name, node in stroke.cohort.spec.items()
    }
    stroke_job(stroke, output=tmp_path / "out.csv", spec=spec)
    assert pd.read_csv(tmp_path / "out.csv")["reference"].str.endswith("(frozen)").all()


@pytest.mark.usefixtures("no_r")
@pytest.mark.parametrize("changed", ["data", "specification", "effects"])
def test_committed_results_of_something_else_do_not_stand_in(stroke, tmp_path, changed):
    other = tmp_path / "obs.csv"
    stroke.df.iloc[1:].to_csv(other, index=False)
    node = {"kind": "ordinal", "levels": 2, "parents": {"Age": "ls"}}
    changes = {
        "data": {"observational": other},
        "specification": {"spec": stroke.cohort.spec | {"T": node}},
        "effects": {"effects": ()},
    }[changed]
    stroke_job(stroke, output=tmp_path / "out.csv", **changes)
    written = pd.read_csv(tmp_path / "out.csv")
    assert written["value"].isna().all()
    assert written["note"].str.contains(f"belong to another {changed}").all()


def test_a_folder_without_committed_results_is_named(tmp_path, stroke):
    with pytest.raises(ClassicalFitError, match="holds no committed results"):
        read_frozen(tmp_path, observational=stroke.cohort.observational, spec=stroke.cohort.spec)


@pytest.mark.parametrize("stroke", ["ls"], indirect=True)
@pytest.mark.r
def test_freezing_refuses_to_replace_what_differs(stroke, tmp_path, in_r_process):
    cohort = dataclasses.replace(stroke.cohort, folder=tmp_path / "ref_ls")
    assert in_r_process(freeze_reference, cohort) is True
    assert in_r_process(freeze_reference, cohort) is False
    table = tmp_path / "ref_ls" / "r.csv"
    changed = pd.read_csv(table)
    row = changed.index[changed["quantity"] == "cutpoint"][1]
    changed.loc[row, "value"] += 1e-4
    changed.to_csv(table, index=False)
    before = table.read_bytes()
    with pytest.raises(ClassicalFitError, match=f"differs from R in line {row + 2}"):
        in_r_process(freeze_reference, cohort)
    assert table.read_bytes() == before


@pytest.mark.parametrize("stroke", ["ls"], indirect=True)
def test_verifying_reports_a_missing_table(stroke, tmp_path):
    cohort = dataclasses.replace(stroke.cohort, folder=tmp_path / "ref_ls")
    with pytest.raises(ClassicalFitError, match=r"r\.csv is missing"):
        freeze_reference(cohort, write=False)
    assert not (tmp_path / "ref_ls").exists()
