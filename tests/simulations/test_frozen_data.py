"""The frozen files against published fingerprints; freeze refuses, verify detects."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from simulations import MagicMrClean, TriangleContinuous, TriangleMixed, VacaTriangle
from simulations.__main__ import main
from simulations.freeze import FROZEN, freeze, verify

DATA = Path(__file__).parents[2] / "data"

X1, X2 = 0.7791040841000059, -0.4544966366066047
TRIANGLE_SUMS = (2446.856824402, -1013.169242581)
FINGERPRINTS = {
    "carefl/obs.csv": (
        (0.25686780877528, -0.39329036523678385, -1.8557464619371735, -0.7048787290192189),
        (-24.475364129, 40.250919241, -86.799268114, 2518.609158930),
    ),
    "magic-mrclean/ls/obs.csv": ((67.5, 0, 7.97, 1, 0), (92279.4, 1125, 21664.33, 1050, 3335)),
    "magic-mrclean/ls/rct.csv": ((51.8, 0, 6.8, 1, 0), (31627.1, 299, 7453.25, 247, 1004)),
    "magic-mrclean/nl/obs.csv": ((67.5, 0, 7.97, 1, 0), (92279.4, 1259, 22654.27, 946, 3746)),
    "magic-mrclean/nl/rct.csv": ((51.8, 0, 6.8, 1, 0), (31627.1, 318, 7570.38, 247, 1054)),
    "triangle/linear/obs.csv": ((X1, X2, -1.442710057678213), (*TRIANGLE_SUMS, 1510.844948593)),
    "triangle/atan/obs.csv": ((X1, X2, -2.88760434960254), (*TRIANGLE_SUMS, -151.857891545)),
    "triangle/sin/obs.csv": ((X1, X2, -5.487191593841957), (*TRIANGLE_SUMS, -5747.556593131)),
    "triangle-mixed/linear/obs.csv": ((X1, X2, 1), (*TRIANGLE_SUMS, 7362)),
    "triangle-mixed/exp/obs.csv": ((X1, X2, 1), (*TRIANGLE_SUMS, 6363)),
    "vaca/obs.csv": (
        (2.4820816820001173, -3.6486994840367295, 0.5722506986262661),
        (-1276.962244186, 1320.470284353, -980.394066301),
    ),
}
SHA256 = {
    "vaca/obs.csv": "137ebcff3ce26a1cb260d92deb78a0fa5ec6a9ad168ff0712c192af1daeed658",
    "magic-mrclean/ls/obs.csv": "0790b172812ae9241bde89ae321363fb3c1ec1c1f7345ecc6d13fdd67dce1f9d",
    "magic-mrclean/ls/rct.csv": "a20ffacb9b8c81d4ad4befa9dd9bcac198b4153bac8aa896bf7c59d1020fad4f",
    "magic-mrclean/nl/obs.csv": "7c568dac1a0aaa59ffbda3cb672e026ea751a4f5d7afb796de91ffcaf0e1b379",
    "magic-mrclean/nl/rct.csv": "53b3f90d5afea33100d50e7e2afecbc3a1405b83673060a81af29fc3abb06777",
}


FEW = {"vaca": VacaTriangle(), "triangle-mixed/exp": TriangleMixed("exp")}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """A freshly frozen folder with all processes."""
    data = tmp_path_factory.mktemp("all") / "data"
    freeze(data)
    return data


@pytest.fixture(scope="module")
def frozen_few(tmp_path_factory):
    data = tmp_path_factory.mktemp("few") / "data"
    freeze(data, FEW)
    return data


@pytest.fixture
def few(frozen_few, tmp_path):
    """A frozen folder with two processes, to damage."""
    return shutil.copytree(frozen_few, tmp_path / "data")


def problems(data):
    return {report.file: report.detail for report in verify(data, FEW) if not report.ok}


@pytest.mark.parametrize("file", FINGERPRINTS)
@pytest.mark.parametrize("source", ["committed", "regenerated"])
def test_table_has_the_published_first_row_and_sums(file, source, frozen):
    df = pd.read_csv((DATA if source == "committed" else frozen) / file)
    first, sums = FINGERPRINTS[file]
    assert df.iloc[0].tolist() == pytest.approx(first, rel=0, abs=1e-9)
    # Published with nine decimals.
    assert df.sum().tolist() == pytest.approx(sums, rel=0, abs=1e-8)


@pytest.mark.parametrize("file", SHA256)
@pytest.mark.parametrize("source", ["committed", "regenerated"])
def test_table_has_the_published_bytes(file, source, frozen):
    content = ((DATA if source == "committed" else frozen) / file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256[file]


def test_committed_data_agree_with_their_generators():
    assert [report for report in verify(DATA) if not report.ok] == []


def test_checksum_file_covers_every_frozen_file(frozen):
    lines = (frozen / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    present = {
        path.relative_to(frozen).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in frozen.rglob("*.*")
    }
    assert listed == present
    assert set(FINGERPRINTS) < set(listed)
    assert {f"{folder}/truth.json" for folder in FROZEN} < set(listed)


def test_freeze_again_changes_nothing(few):
    before = {path: path.stat().st_mtime_ns for path in few.rglob("*")}
    assert {report.detail for report in freeze(few, FEW)} == {"unchanged"}
    assert {path: path.stat().st_mtime_ns for path in few.rglob("*")} == before


def test_freeze_writes_only_what_is_missing(few):
    (few / "vaca/obs.csv").unlink()
    written = [report.file for report in freeze(few, FEW) if report.detail == "written"]
    assert written == ["vaca/obs.csv"]
    assert problems(few) == {}


def test_freeze_extends_the_checksums_for_a_new_process(few):
    freeze(few, FEW | {"triangle/sin": TriangleContinuous("sin")})
    assert "triangle/sin/obs.csv" in (few / "SHA256SUMS").read_text()
    assert problems(few) == {}


def test_freeze_refuses_to_overwrite_and_writes_nothing(few):
    (few / "vaca/obs.csv").write_text("x1,x2,x3\n1,2,3\n")
    (few / "triangle-mixed/exp/obs.csv").unlink()
    with pytest.raises(FileExistsError, match=r"refusing to overwrite.*vaca/obs\.csv: 1 rows"):
        freeze(few, FEW)
    assert (few / "vaca/obs.csv").read_text() == "x1,x2,x3\n1,2,3\n"
    assert not (few / "triangle-mixed/exp/obs.csv").exists()


def test_freeze_refuses_checksums_of_other_bytes(few):
    sums = (few / "SHA256SUMS").read_text()
    (few / "SHA256SUMS").write_text(sums.replace("  vaca/obs.csv", "0  vaca/obs.csv"))
    with pytest.raises(FileExistsError, match=r"SHA256SUMS: the line of vaca/obs\.csv"):
        freeze(few, FEW)
    assert problems(few) == {"SHA256SUMS": "the line of vaca/obs.csv belongs to other bytes"}


def test_freeze_leaves_no_temporary_files(frozen):
    assert not [path for path in frozen.rglob("*") if path.name.startswith(".")]


def edit(path, change):
    df = pd.read_csv(path)
    change(df).to_csv(path, index=False)


def test_verify_names_row_and_column_of_a_changed_value(few):
    def change(df):
        df.loc[[17, 40], "x2"] += 2e-9
        return df

    edit(few / "triangle-mixed/exp/obs.csv", change)
    ((file, detail),) = problems(few).items()
    assert file == "triangle-mixed/exp/obs.csv"
    assert detail.startswith("row 17 (line 19), column x2: frozen ")
    assert detail.endswith("(and 1 more values)")


def test_verify_allows_the_last_digits_to_differ(few):
    edit(few / "triangle-mixed/exp/obs.csv", lambda df: df.assign(x2=df["x2"] + 5e-10))
    assert problems(few) == {}


def test_verify_wants_the_same_bytes_where_they_are_promised(few):
    edit(few / "vaca/obs.csv", lambda df: df.round(12))
    assert "bytes differ" in problems(few)["vaca/obs.csv"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda df: df.drop(columns="x3"), "column x3 is missing"),
        (lambda df: df.assign(x4=0), "column x4 is not generated"),
        (lambda df: df.rename(columns={"x1": "y"}), "column x1 is missing; column y is not"),
        (lambda df: df[["x2", "x1", "x3"]], "the columns are in the order x2, x1, x3"),
        (lambda df: df.head(-1), "4999 rows, regenerated 5000"),
        (lambda df: df.assign(x1=df["x1"].where(df.index != 3)), "row 3 (line 5), column x1"),
        (lambda df: df.assign(x3=df["x3"].astype(str) + "?"), "row 0 (line 2), column x3"),
    ],
)
def test_verify_describes_a_damaged_table(few, change, message):
    edit(few / "triangle-mixed/exp/obs.csv", change)
    assert message in problems(few)["triangle-mixed/exp/obs.csv"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the file is missing"),
        (b"", "cannot be read"),
        (b"x1,x2,x3\n1,2,3\n1,2,3,4\n", "cannot be read"),
        (b"x1,x2,x3\n1,2,3,4\n", "more fields than the header"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_verify_describes_an_unreadable_table(few, content, message):
    path = few / "triangle-mixed/exp/obs.csv"
    path.unlink() if content is None else path.write_bytes(content)
    assert message in problems(few)["triangle-mixed/exp/obs.csv"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["cutpoints"]["x3"].__setitem__(1, 0.43), "/cutpoints/x3/1: frozen 0.43"),
        (lambda t: t["cutpoints"]["x3"].pop(), "/cutpoints/x3: frozen [-2.0, 0.42]"),
        (lambda t: t.pop("weights"), "key /weights is missing"),
        (lambda t: t.update(note="x"), "key /note is not generated"),
        (lambda t: t["parameters"].update(f="sin"), "/parameters/f: frozen 'sin'"),
        (lambda t: t["moments"].update(observational=float("nan")), "/moments/observational"),
    ],
)
def test_verify_describes_a_changed_truth(few, change, message):
    path = few / "triangle-mixed/exp/truth.json"
    truth = json.loads(path.read_text())
    change(truth)
    path.write_text(json.dumps(truth))
    assert message in problems(few)["triangle-mixed/exp/truth.json"]


def test_verify_reports_a_truth_that_is_no_json(few):
    (few / "vaca/truth.json").write_text("{")
    assert "cannot be read" in problems(few)["vaca/truth.json"]


def test_command_line_verifies_and_fails_with_the_file_row_and_column(frozen, tmp_path, capsys):
    data = shutil.copytree(frozen, tmp_path / "data")
    edit(data / "carefl/obs.csv", lambda df: df.assign(x4=df["x4"] + (df.index == 2)))
    assert main(["verify", "--data", str(data)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FINGERPRINTS) + len(FROZEN) + 1
    (failure,) = [line for line in lines if not line.startswith("ok")]
    assert failure.startswith(f"FAIL {data}/carefl/obs.csv: row 2 (line 4), column x4")
    assert main(["freeze", "--data", str(data)]) == 1
    assert "carefl/obs.csv" in capsys.readouterr().err


def test_truth_records_weights_in_both_sign_conventions(frozen):
    def weights(folder):
        return json.loads((frozen / folder / "truth.json").read_text())["weights"]

    linear = {"x2": {"x1": 2.0}, "x3": {"x1": -0.2, "x2": 0.3}}
    negated = {"x2": {"x1": 2.0}, "x3": {"x1": 0.2, "x2": -0.3}}
    assert weights("triangle/linear") == {
        "flow_sign_convention": linear,
        "paper_sign_convention": linear,
    }
    assert weights("triangle-mixed/linear") == {
        "flow_sign_convention": linear,
        "paper_sign_convention": negated,
    }
    assert weights("triangle/atan")["flow_sign_convention"]["x3"] == {"x1": -0.2, "x2": None}
    outcome = weights("magic-mrclean/ls")["flow_sign_convention"]["mRS_3m"]
    assert outcome == pytest.approx(
        {"Age": 0.055, "mRS_pre": 0.45, "NIHSSa": 0.85 / 6, "T": -0.85}, rel=1e-12
    )


def test_stroke_cutpoints_in_raw_units_give_the_same_pmf(frozen):
    model = MagicMrClean("ls")
    truth = json.loads((frozen / "magic-mrclean/ls/truth.json").read_text())
    df = model.observational(50)
    weights = truth["weights"]["flow_sign_convention"]["mRS_3m"]
    shift = sum(weight * df[parent] for parent, weight in weights.items())
    cdf = expit(np.array(truth["cutpoints"]["mRS_3m"]) - shift.to_numpy()[:, None])
    np.testing.assert_allclose(np.cumsum(model.true_pmf(df), axis=1)[:, :-1], cdf, atol=1e-12)
