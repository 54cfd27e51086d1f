"""Results of one's own cohort belong to its files: others are refused, corrections are not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from replication.cohort_record import RECORD, check_record, sources_of, write_record
from replication.config import ConfigError

Write = Callable[..., dict[str, str]]

MADE = 1_700_000_000.0
"""Time of the results, in seconds since 1970."""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files, an hour before or after the results are made, and give their paths by key."""
    monkeypatch.chdir(tmp_path)

    def files(*, later: bool = False, **contents: tuple[str, str]) -> dict[str, str]:
        for path, content in contents.values():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(content, encoding="utf-8")
            time = MADE + (3600 if later else -3600)
            os.utime(path, (time, time))
        return {key: path for key, (path, _) in contents.items()}

    return files


@pytest.fixture
def made(write: Write) -> dict[str, str]:
    """A cohort, its specification, and the record of their results."""
    sources = write(cohort=("a/obs.csv", "x\n1\n"), spec=("a/spec.yaml", "models:"))
    write_record(sources, results="results")
    os.utime(Path("results") / RECORD, (MADE, MADE))
    return sources


def test_a_run_without_a_cohort_of_ones_own_leaves_no_record(tmp_path: Path) -> None:
    assert sources_of({"only": ["vaca"], "cohort": None}) == {}
    write_record({}, results=str(tmp_path))
    check_record({}, results=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_same_files_may_run_again(made: dict[str, str]) -> None:
    check_record(made, results="results")
    check_record(made, results="elsewhere")


@pytest.mark.parametrize("key", ["cohort", "spec"])
def test_another_file_is_refused(made: dict[str, str], write: Write, key: str) -> None:
    other = write(**{key: ("b/" + Path(made[key]).name, "another")})
    with pytest.raises(ConfigError, match=f"^{key}: 'results' holds the results of another file"):
        check_record(made | other, results="results")


@pytest.mark.parametrize("key", ["cohort", "spec"])
def test_a_corrected_file_may_run(made: dict[str, str], write: Write, key: str) -> None:
    write(later=True, **{key: (made[key], "corrected")})
    check_record(made, results="results")


def test_a_moved_file_may_run(made: dict[str, str], write: Write) -> None:
    check_record(made | write(cohort=("c/cohort.csv", "x\n1\n")), results="results")


def test_another_content_of_older_time_is_refused(made: dict[str, str], write: Write) -> None:
    write(cohort=(made["cohort"], "older"))
    with pytest.raises(ConfigError, match=r"but an older time.* `touch a/obs\.csv`"):
        check_record(made, results="results")
    write(cohort=(made["cohort"], "x\n1\n"), spec=(made["spec"], "older"))
    check_record(made, results="results")


def test_a_trial_may_be_added_left_out_and_corrected(made: dict[str, str], write: Write) -> None:
    with_trial = made | write(trial=("a/rct.csv", "x\n2\n"))
    check_record(with_trial, results="results")
    write_record(with_trial, results="results")
    check_record(made, results="results")
    with pytest.raises(ConfigError, match=r"^trial: "):
        check_record(made | write(trial=("b/rct.csv", "x\n3\n")), results="results")


def test_the_record_follows_the_content_and_keeps_its_time(
    made: dict[str, str], write: Write
) -> None:
    record = Path("results") / RECORD
    write_record(made, results="results")
    assert record.stat().st_mtime == MADE
    write(later=True, cohort=(made["cohort"], "corrected"))
    write_record(made, results="results")
    assert record.stat().st_mtime > MADE
    with pytest.raises(ConfigError, match="holds the results of another file"):
        check_record(made | write(cohort=("b/obs.csv", "x\n1\n")), results="results")


def test_a_record_names_no_place(made: dict[str, str]) -> None:
    text = (Path("results") / RECORD).read_text(encoding="utf-8")
    assert not [word for word in ("obs", "spec.yaml", str(Path.cwd())) if word in text]
    assert {len(value) for entry in json.loads(text).values() for value in entry.values()} == {64}


def test_a_project_may_move_with_its_cohort(
    made: dict[str, str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path_factory.mktemp("moved") / "project"
    Path.cwd().rename(moved)
    monkeypatch.chdir(moved)
    Path(made["cohort"]).write_text("corrected", encoding="utf-8")
    check_record(made, results="results")


@pytest.mark.parametrize("text", ["", "[]", '{"cohort": 1}', '{"cohort": {"path": "a"}}'])
def test_a_broken_record_is_named(made: dict[str, str], text: str) -> None:
    (Path("results") / RECORD).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"'results/cohort\.json' is no record"):
        check_record(made, results="results")
