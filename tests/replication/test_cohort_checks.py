"""Files of a cohort of one's own, held against what pandas and the library make of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tramdag as td
from replication.cohort_checks import MISSING, check_cohort
from replication.config import ConfigError, complete_config
from replication.experiments import Data, Experiment, Model, load_experiments
from tramdag.data import check_training_frame, encode_frame

X = {"kind": "continuous"}
LEVELS_3 = {"kind": "ordinal", "levels": 3}
LEVELS_2 = {"kind": "ordinal", "levels": 2}

COLUMNS: list[tuple[dict[str, Any], list[str], str]] = [
    (X, ["1", "2.5", "-3e-1", " 4", "+.5", "6."], ""),
    (X, ["1", "2", "", "4"], "1 of 4 values are missing, the first in line 4. Drop"),
    (X, ["1", "NA", "n/a", "4"], "2 of 4 values are missing, the first in line 3"),
    (X, ["1,5", "2,5", "3,0"], "'1,5' in line 2 is no finite number.*with a point"),
    (X, ["1", "2", "> 42"], "'> 42' in line 4 is no finite number.*Write numbers alone"),
    (X, ["1", "2", "inf"], "'inf' in line 4 is no finite number"),
    (X, ["1", "2", "1e999"], "'1e999' in line 4 is no finite number"),
    (X, ["1", "2", "1_000"], "'1_000' in line 4"),
    (X, ["7", "7.0", "7"], "it is 7 in all 3 rows"),
    (X, ["0"] * 39 + ["1"], "at least nine rows in ten are 0;.*as ordinal"),
    (X, ["0"] * 36 + ["1", "2", "3", "4"], ""),
    (LEVELS_3, ["0", "1", "2", "1.0", "2e0"], ""),
    (LEVELS_3, ["0", "1", "1", "0"], ""),
    (LEVELS_3, ["1", "2", "3", "2"], "it holds 1, 2, 3, with 3 first in line 4;.*Subtract 1"),
    (LEVELS_3, ["0", "1", "2", "3"], "the whole numbers 0 to 2. Say levels: 4"),
    (LEVELS_3, ["0", "1", "1.5"], "it holds 0, 1, 1.5,.*lowest level as 0"),
    (LEVELS_3, ["-1", "0", "1"], "it holds -1, 0, 1,.*lowest level as 0"),
    (LEVELS_3, ["none", "mild", "severe"], "it holds 'none', 'mild', 'severe', the first in line"),
    (LEVELS_3, ["0", "1", "", "2"], "1 of 4 values are missing, the first in line 4"),
    (LEVELS_3, ["1", "1", "1"], "it is 1 in all 3 rows"),
    (LEVELS_2, ["0", "1", "1"], ""),
    (LEVELS_2, ["TRUE", "False", "true"], ""),
    (X, ["TRUE", "False", "true"], ""),
    (LEVELS_2, ["TRUE", "0", "1"], "it holds 'TRUE', the first in line 2"),
    (LEVELS_2, ["1", "2", "1"], "the levels must be 0 and 1. Subtract 1"),
    (LEVELS_2, ["no", "yes", "no"], "it holds 'no', 'yes',.*0 and 1. Recode"),
    (LEVELS_2, ["-1", "1", "1"], "the levels must be 0 and 1. Recode"),
]


def write(path: Path, columns: dict[str, list[str]], *, encoding: str = "utf-8") -> str:
    """A CSV file in which every value is in quotation marks."""
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    text = "\n".join(",".join(f'"{value}"' for value in row) for row in rows)
    path.write_text(text + "\n", encoding=encoding)
    return str(path)


def cohort(file: str, spec: dict[str, Any], **entry: Any) -> Experiment:
    """An experiment with one model; ``trial`` is a path too."""
    data = Data(None, {}, None, file, entry.pop("trial", None), None)
    model = Model("m", "m", spec, {}, (0,), 1)
    return Experiment("e", "e", "", data, {"m": model}, **entry)


def check(file: str, spec: dict[str, Any], **entry: Any) -> None:
    check_cohort(cohort(file, spec, **entry))


def library_takes(file: str, spec: dict[str, Any]) -> bool:
    """Whether the library would fit the file's rows as pandas reads them."""
    nodes = td.spec_from_dict(spec)
    rows = pd.read_csv(file)
    try:
        check_training_frame(encode_frame(rows, nodes, {}), nodes, what="the file")
    except td.DataError:
        return False
    return True


@pytest.mark.parametrize(("node", "texts", "message"), COLUMNS)
def test_a_column_is_refused_if_and_only_if_the_library_refuses_it(
    tmp_path: Path, node: dict[str, Any], texts: list[str], message: str
) -> None:
    file = write(tmp_path / "rows.csv", {"y": texts})
    assert library_takes(file, {"y": node}) is not bool(message)
    if not message:
        check(file, {"y": node})
        return
    with pytest.raises(ConfigError, match=f"cohort: .*rows.csv', column 'y': .*{message}"):
        check(file, {"y": node})


_TEXTS = st.sampled_from(
    ["0", "1", "2", "3", "-1", "0.5", "1.0", "x", "inf", "1_0", "２", " 1", "TRUE", "False"]
)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.one_of(_TEXTS, st.sampled_from(sorted(MISSING))), min_size=1, max_size=6),
    st.sampled_from([X, LEVELS_2, LEVELS_3]),
)
def test_any_column_is_refused_if_and_only_if_the_library_refuses_it(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], node: dict[str, Any]
) -> None:
    file = write(tmp_path_factory.mktemp("rows") / "rows.csv", {"y": texts})
    if library_takes(file, {"y": node}):
        check(file, {"y": node})
    else:
        with pytest.raises(ConfigError, match="column 'y'"):
            check(file, {"y": node})


@pytest.mark.parametrize("rows", [5, 21, 40, 41])
def test_spread_is_that_of_numpys_quantiles(tmp_path: Path, rows: int) -> None:
    rng = np.random.default_rng(rows)
    refused = 0
    for number in range(40):
        values = np.where(rng.random(rows) < 0.93, 0.0, rng.integers(1, 4, rows))
        if len(set(values)) == 1:
            continue
        file = write(tmp_path / f"{number}.csv", {"y": [f"{v:g}" for v in values]})
        low, high = np.quantile(values, [0.05, 0.95])
        if low < high:
            check(file, {"y": X})
        else:
            refused += 1
            with pytest.raises(ConfigError, match="nine rows in ten"):
                check(file, {"y": X})
    assert rows == 5 or 0 < refused < 40


def test_pandas_reads_as_missing_what_is_said_here(tmp_path: Path) -> None:
    texts = sorted(MISSING | {"none", "NAN", "Na", "-", ".", "missing", "?", "N.A."})
    file = write(tmp_path / "rows.csv", {"y": texts})
    read = pd.read_csv(file, skip_blank_lines=False)["y"]
    assert {text for text, gone in zip(texts, read.isna(), strict=True) if gone} == MISSING


def test_every_finding_is_listed(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.csv", {"x": ["1", "", "3"], "y": ["1", "2", "3"]})
    with pytest.raises(ConfigError, match=r"(?s)column 'x': 1 of 3.*column 'y': it holds"):
        check(file, {"x": X, "y": LEVELS_3 | {"parents": {"x": "ls"}}})


def test_what_no_model_names_may_be_anything(tmp_path: Path) -> None:
    columns = {"": ["0", "1"], "x": ["1", "2"], "note": ["a, b", ""]}
    check(write(tmp_path / "rows.csv", columns), {"x": X})


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.csv", {"x": ["1", "2"]}, encoding="utf-8-sig")
    with Path(file).open("a", encoding="utf-8") as more:
        more.write("\n3\n\n")
    assert library_takes(file, {"x": X})
    check(file, {"x": X})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x;y\n1,5;0\n2,5;1\n", r"separated by semicolons.*sep=';', decimal=','"),
        ("x\ty\n1\t0\n2\t1\n", r"separated by tabs"),
        ("x, y\n1, 0\n2, 1\n", r"no column 'y'.*Did you mean ' y'"),
        ("x,x,y\n1,2,0\n2,3,1\n", "2 columns named 'x'"),
        ("x,y\n1,0\n2,1,7\n", "line 3 has 3 values, the header 2"),
        ("x,y\n1,0\n2\n", "line 3 has 1 values, the header 2"),
        ("x,y\n", "has no rows"),
        ("", "the file has no header"),
        ('x,y\n1,0\n"' + "2" * 200_000 + '",1\n', "is no CSV file: field larger"),
    ],
)
def test_a_file_that_is_no_table_of_commas_is_named(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"cohort: .*{message}"):
        check(str(file), {"x": X, "y": LEVELS_2})


GRAPH = {
    "x": X,
    "s": LEVELS_3,
    "t": LEVELS_2,
    "y": LEVELS_3 | {"parents": {"x": "ls", "s": "ls", "t": "ls"}},
}
EFFECTS = [{"treatment": "t", "outcome": "y", "at_most": 0}]
COHORT = {"x": ["1", "2", "3"], "s": ["0", "1", "1"], "t": ["0", "1", "1"], "y": ["0", "1", "2"]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": ["0", "0", "3"]}, "column 'y': it holds 0, 3.*levels: 4"),
        ({"y": ["0", "", "1"]}, "column 'y': 1 of 3 values are missing"),
        ({"t": ["1", "1", "1"]}, "column 't': it is 1 in all 3 rows"),
        ({"y": ["0", "1", "1"], "s": ["0", "2", "2"]}, "column 's': it holds 2, first in line 3"),
        ({"x": ["1", "b", "1"]}, "column 'x': 'b' in line 3 is no finite number"),
    ],
)
def test_a_trial_is_checked_too(
    tmp_path: Path, changed: dict[str, list[str]], message: str
) -> None:
    observed = write(tmp_path / "obs.csv", COHORT)
    trial = write(tmp_path / "rct.csv", COHORT | changed)
    with pytest.raises(ConfigError, match=f"trial: .*rct.csv', {message}"):
        check(observed, GRAPH, trial=trial, effects=EFFECTS, validation=True)


def test_a_trial_may_lack_levels_and_have_a_constant_covariate(tmp_path: Path) -> None:
    observed = write(tmp_path / "obs.csv", COHORT)
    trial = write(tmp_path / "rct.csv", COHORT | {"x": ["2", "2", "2"], "y": ["0", "0", "0"]})
    check(observed, GRAPH, trial=trial, effects=EFFECTS, validation=True)


def test_a_trial_that_is_only_averaged_over_needs_covariates_alone(tmp_path: Path) -> None:
    observed = write(tmp_path / "obs.csv", COHORT)
    trial = write(tmp_path / "rct.csv", {"x": ["1", "2"], "s": ["0", "1"], "y": ["", ""]})
    check(observed, GRAPH, trial=trial, effects=EFFECTS)


@pytest.mark.parametrize("data", [{}, {"process": "vaca"}])
def test_a_run_checks_the_files_of_which_no_process_knows_the_truth(
    tmp_path: Path, data: dict[str, str]
) -> None:
    file = write(tmp_path / "rows.csv", {"x": ["a"]})
    entry = {"title": "e", "data": data | {"file": file}, "models": {"m": {"spec": {"x": X}}}}
    config = complete_config({"run": {"complete": True}, "experiments": {"e": entry}})
    if data:
        assert load_experiments(config).keys() == {"e"}
    else:
        with pytest.raises(ConfigError, match="'a' in line 2"):
            load_experiments(config)


def test_models_that_declare_a_column_differently_are_each_checked(tmp_path: Path) -> None:
    experiment = cohort(write(tmp_path / "rows.csv", {"x": ["0", "1", "2"]}), {"x": X})
    other = Model("n", "n", {"x": LEVELS_2}, {}, (0,), 1)
    with pytest.raises(ConfigError, match="levels must be 0 and 1"):
        check_cohort(replace(experiment, models={**experiment.models, "n": other}))
