"""Logs, whole files, derived seeds, and the bridge between rules and functions."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from replication.job import (
    derive_seed,
    log_to,
    read_csv,
    read_optional,
    read_tables,
    run_script,
    staged,
    write_csv,
    write_json,
)


def test_a_seed_depends_on_its_identity_alone() -> None:
    assert derive_seed("vaca", "ci", 0) == derive_seed("vaca", "ci", 0)
    identities = [(e, m, s) for e in ("a", "b") for m in ("ls", "ci") for s in range(100)]
    seeds = {derive_seed(*identity) for identity in identities}
    assert len(seeds) == len(identities)
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.filterwarnings("default:a warning")
def test_everything_that_a_job_says_is_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "job.log"
    with log_to(log):
        logging.getLogger("tramdag").info("a message of the library")
        warnings.warn("a warning", UserWarning, stacklevel=1)
        subprocess.run(["echo", "output of a compiled program"], check=True)
        os.write(2, b"an error of a compiled program\n")
    text = log.read_text()
    for said in ("a message of", "a warning", "output of a compiled", "an error of a compiled"):
        assert said in text


@pytest.mark.filterwarnings("default:a warning")
def test_a_warning_in_the_log_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    log, format_before = tmp_path / "job.log", warnings.formatwarning
    with log_to(log):
        warnings.warn("a warning", UserWarning, stacklevel=1)
    assert "UserWarning: a warning" in log.read_text()
    assert Path(__file__).name in log.read_text()
    assert str(Path(__file__).parent) not in log.read_text()
    assert warnings.formatwarning is format_before


def test_a_traceback_is_in_the_log_and_the_error_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    with pytest.raises(ZeroDivisionError), log_to(log):
        _ = 1 / 0
    assert "ZeroDivisionError: division by zero" in log.read_text()


def test_output_returns_to_the_terminal_after_the_job(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with log_to(tmp_path / "job.log"):
        os.write(1, b"inside\n")
    os.write(1, b"outside\n")
    assert capfd.readouterr().out == "outside\n"


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "table.csv"
    with staged(final) as temporary:
        temporary.write_text("half")
        assert not final.exists()
        assert temporary.parent == final.parent
    assert final.read_text() == "half"
    assert [path.name for path in final.parent.iterdir()] == ["table.csv"]


def test_a_failed_job_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    final = tmp_path / "table.csv"
    final.write_text("old")

    def fail() -> None:
        with staged(final) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert final.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    final = tmp_path / "models"
    for name in ("a", "b"):
        with staged(final) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [path.name for path in final.iterdir()] == ["b"]


def test_floats_come_back_bit_for_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_cauchy(2_000) * 10.0 ** np.arange(2_000).clip(0, 200)
    write_csv(tmp_path / "x.csv", pd.DataFrame({"x": values}))
    assert (read_csv(tmp_path / "x.csv")["x"].to_numpy() == values).all()


def test_an_empty_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.csv").touch()
    with pytest.raises(ValueError, match=r"x\.csv is empty"):
        read_csv(tmp_path / "x.csv")


def test_empty_tables_keep_their_header(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": []}))
    write_csv(tmp_path / "b.csv", pd.DataFrame({"x": [1]}))
    assert read_tables([tmp_path / "a.csv", tmp_path / "b.csv"])["x"].tolist() == [1]
    assert list(read_tables([tmp_path / "a.csv"]).columns) == ["x"]


def test_no_parts_make_a_table_with_the_wanted_columns() -> None:
    assert list(read_tables([], columns=["x", "y"]).columns) == ["x", "y"]


def test_an_input_that_is_not_there_is_none() -> None:
    assert read_optional([]) is None


def fake(log: Path, **changes: Any) -> Any:
    parts: dict[str, Any] = {
        "input": {"rows": "in.csv", "verified": "flag"},
        "output": {"table": str(log.with_name("out.json"))},
        "params": {"seeds": [1, 2], "code": "abc"},
    }
    return SimpleNamespace(
        **(parts | changes),
        log=[str(log)],
        rule="toy",
        threads=3,
        resources=SimpleNamespace(gpu=1),
    )


def test_a_script_gets_its_rule_by_name(tmp_path: Path) -> None:
    def toy(*, rows: str, table: str, seeds: list[int], threads: int, gpu: int) -> None:
        write_json(table, {"rows": rows, "seeds": seeds, "threads": threads, "gpu": gpu})

    run_script(toy, fake(tmp_path / "toy.log"))
    text = (tmp_path / "out.json").read_text()
    assert '"rows": "in.csv"' in text
    assert '"threads": 3' in text
    assert '"gpu": 1' in text


def test_the_end_of_a_job_does_not_search_what_it_imported(tmp_path: Path) -> None:
    before = gc.get_freeze_count()
    run_script(lambda **_: None, fake(tmp_path / "toy.log"))
    assert gc.get_freeze_count() > before
    gc.unfreeze()


def test_a_name_that_a_rule_uses_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="rule toy: the name 'rows' is used twice"):
        run_script(lambda **_: None, fake(tmp_path / "toy.log", params={"rows": 1}))
