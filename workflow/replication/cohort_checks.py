"""The files of a cohort of one's own: whether the library will take their columns.

A column that no model can be fitted to stops the run before its first job. Plain Python, as in
:mod:`replication.experiments`: the rules of :mod:`tramdag.columns` and :mod:`tramdag.data`, and how
pandas reads a file, stand here a second time, and the tests hold both against each other.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replication.config import ConfigError, did_you_mean

if TYPE_CHECKING:
    from replication.experiments import Experiment

__all__ = ["MISSING", "check_cohort"]

MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"}
    | {"<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""What pandas reads as a missing value."""

SHOWN = 8
"""Most values that a message lists."""

# float() takes more than the parser of pandas: underscores, digits of other scripts
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)

# a column of these alone is one of truth values, which are numbers
_TRUTHS = {"False": 0.0, "FALSE": 0.0, "false": 0.0, "True": 1.0, "TRUE": 1.0, "true": 1.0}

_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*", re.ASCII)

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


_Node = Mapping[str, Any]


@dataclass
class _Column:
    """The different texts of a column, with their counts and the first line of each."""

    counts: dict[str, int] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def add(self, text: str, line: int) -> None:
        self.counts[text] = self.counts.get(text, 0) + 1
        self.lines.setdefault(text, line)

    @cached_property
    def numbers(self) -> dict[str, float | None]:
        """The finite number that each text stands for, None for no number, as pandas reads them."""
        if self.counts.keys() <= _TRUTHS.keys():
            return {text: _TRUTHS[text] for text in self.counts}
        return {text: _number(text) for text in self.counts}

    @cached_property
    def values(self) -> dict[float, int]:
        """The different numbers with their counts, ascending."""
        counts: dict[float, int] = {}
        for text, number in self.numbers.items():
            if number is not None:
                counts[number] = counts.get(number, 0) + self.counts[text]
        return dict(sorted(counts.items()))


def check_cohort(experiment: Experiment) -> None:
    """Every column that the models name can be read, fitted and compared.

    Rows of a trial need no treatment and no outcome unless predictions are held against them.

    Args:
        experiment: One without a process; frozen data are checked against theirs.

    Raises:
        ConfigError: A file has no such column, or a column has values that its nodes cannot have;
            the message lists every finding with the repair.
    """
    nodes: dict[str, list[_Node]] = {}
    for model in experiment.models.values():
        for name, node in model.spec.items():
            declared = {key: node[key] for key in ("kind", "levels") if key in node}
            if declared not in nodes.setdefault(name, []):
                nodes[name].append(declared)
    data = experiment.data
    findings: dict[str, None] = {}  # in order, each once
    seen: dict[str, _Column] = {}
    if data.file is not None:
        seen = _read("cohort", data.file, nodes)
        for name, column, node in _pairs(seen, nodes):
            found = _unreadable(column, node) or _uninformative(column, node)
            findings |= _finding("cohort", data.file, name, found)
    if data.trial is not None:
        asked = {e[key] for e in experiment.effects for key in ("treatment", "outcome")}
        needed = [name for name in nodes if experiment.validation or name not in asked]
        arms = {e["treatment"] for e in experiment.effects}
        for name, column, node in _pairs(_read("trial", data.trial, needed), nodes):
            found = _unreadable(column, node)
            if not found and node["kind"] == "ordinal" and name in seen:
                found = _unseen(column, seen[name])
            if not found and name in arms:
                found = _uninformative(column, node)
            findings |= _finding("trial", data.trial, name, found)
    if findings:
        raise ConfigError("\n  ".join(findings))


def _pairs(
    columns: Mapping[str, _Column], nodes: Mapping[str, Sequence[_Node]]
) -> Iterator[tuple[str, _Column, _Node]]:
    """Each column with each of the ways in which models declare it."""
    for name, column in columns.items():
        yield from ((name, column, node) for node in nodes[name])


def _finding(key: str, path: str, name: str, found: str) -> dict[str, None]:
    return {f"{key}: {path!r}, column {name!r}: {found}": None} if found else {}


def _read(key: str, path: str, needed: Iterable[str]) -> dict[str, _Column]:
    """The needed columns of a CSV file.

    Raises:
        ConfigError: It is no CSV file in UTF-8, lacks a column or has it twice, or has no rows or
            rows of another length than its header.
    """
    where = f"{key}: {path!r}"
    try:
        # pandas drops a byte order mark too
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            _check_header(header, list(needed), where=where)
            columns = {name: _Column() for name in needed}
            places = [(header.index(name), column) for name, column in columns.items()]
            number = 0
            for row in rows:
                if not row:
                    continue  # pandas skips blank lines
                number += 1
                if len(row) != len(header):
                    raise ConfigError(
                        f"{where}: line {rows.line_num} has {len(row)} values, the header "
                        f"{len(header)}; put values that hold a comma into quotation marks."
                    )
                for place, column in places:
                    column.add(row[place], rows.line_num)
    except UnicodeDecodeError:
        raise ConfigError(
            f"{where} is no text in UTF-8; write it again in that encoding, as a CSV file."
        ) from None
    except csv.Error as error:
        raise ConfigError(f"{where} is no CSV file: {error}; write it again as one.") from None
    if not number:
        raise ConfigError(f"{where} has no rows below its header.")
    return columns


def _check_header(header: list[str], needed: list[str], *, where: str) -> None:
    missing = [name for name in needed if name not in header]
    if missing:
        raise ConfigError(
            f"{where} has no column {missing[0]!r}; the models need {', '.join(needed)}, the file "
            f"has {', '.join(header) or 'no header'}."
            f"{_separator(header) or did_you_mean(missing[0], header)}"
        )
    twice = [name for name in needed if header.count(name) > 1]
    if twice:
        raise ConfigError(
            f"{where} has {header.count(twice[0])} columns named {twice[0]!r}; rename or drop all "
            "but one."
        )


def _separator(header: list[str]) -> str:
    """How to repair a file whose values are separated by something else than commas."""
    for sign, name in _SEPARATORS.items():
        if len(header) == 1 and sign in header[0]:
            return (
                f" It is separated by {name}; write it with commas between values and points in "
                f"decimals, for example by pandas.read_csv(path, sep={sign!r}, decimal=',')"
                ".to_csv(path, index=False)."
            )
    return ""


def _unreadable(column: _Column, node: _Node) -> str:
    """What keeps the library from taking the values, and the repair; nothing if it takes them."""
    missing = [text for text in column.counts if text in MISSING]
    if missing:
        count = sum(column.counts[text] for text in missing)
        return (
            f"{count} of {sum(column.counts.values())} values are missing, the first in line "
            f"{min(column.lines[text] for text in missing)}. Drop these rows or impute them first."
        )
    strange = [text for text, number in column.numbers.items() if number is None]
    if strange and node["kind"] == "ordinal":
        return (
            f"it holds {_listed(map(repr, strange))}, the first in line "
            f"{column.lines[strange[0]]}; the levels must be {_levels(node)}. Recode the column, "
            "the lowest level as 0."
        )
    if strange:
        comma = bool(_DECIMAL_COMMA.fullmatch(strange[0]))
        repair = "Write decimals with a point" if comma else "Write numbers alone"
        return (
            f"{strange[0]!r} in line {column.lines[strange[0]]} is no finite number, and it has "
            f"{len(strange)} such values. {repair}, or declare the node as ordinal with levels "
            "0, 1, ...."
        )
    if node["kind"] == "continuous":
        return ""
    return _strange_levels(column, node)


def _strange_levels(column: _Column, node: _Node) -> str:
    values = list(column.values)
    strange = [value for value in values if value % 1 or not 0 <= value < node["levels"]]
    if not strange:
        return ""
    if any(value % 1 or value < 0 for value in values):
        repair = "Recode the column, the lowest level as 0"
    elif values[0] == 1 and values[-1] == node["levels"]:
        repair = "Subtract 1 from every value"
    else:
        repair = f"Say levels: {int(values[-1]) + 1} in the specification, or merge levels"
    return (
        f"it holds {_listed(f'{value:g}' for value in values)}, with {strange[0]:g} first in line "
        f"{_first_line(column, strange[0])}; the levels must be {_levels(node)}. {repair}."
    )


def _uninformative(column: _Column, node: _Node) -> str:
    """Why nothing can be learnt from the values, and the repair; nothing if something can."""
    values = list(column.values)
    if len(values) == 1:
        return (
            f"it is {values[0]:g} in all {sum(column.counts.values())} rows; at least two values "
            "are needed. Leave it out of the specification, or give rows in which it varies."
        )
    if node["kind"] == "continuous":
        low, high = _quantile(column.values, 0.05), _quantile(column.values, 0.95)
        if low == high:
            return (
                f"at least nine rows in ten are {low:g}; a continuous node needs spread between "
                "its 5 % and 95 % quantiles. Declare it as ordinal with levels 0, 1, ...."
            )
    return ""


def _unseen(column: _Column, cohort: _Column) -> str:
    """Levels of the trial of which the cohort says nothing, and the repair."""
    unseen = [value for value in column.values if value not in cohort.values]
    if not unseen:
        return ""
    return (
        f"it holds {_listed(f'{value:g}' for value in unseen)}, first in line "
        f"{_first_line(column, unseen[0])}, which no row of the cohort has, so no model can "
        "predict it. Merge levels in both files, or drop these rows."
    )


def _first_line(column: _Column, value: float) -> int:
    return min(column.lines[text] for text, number in column.numbers.items() if number == value)


def _quantile(counts: Mapping[float, int], level: float) -> float:
    """Quantile by linear interpolation between ordered rows, as NumPy's default is.

    Args:
        counts: How often each value occurs, ascending.
        level: From 0 to 1.
    """
    values, ends = list(counts), list(accumulate(counts.values()))
    at = level * (ends[-1] - 1)
    below, above = (
        next(value for value, end in zip(values, ends, strict=True) if row < end)
        for row in (math.floor(at), math.ceil(at))
    )
    return below + (at - math.floor(at)) * (above - below)


def _number(text: str) -> float | None:
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def _levels(node: _Node) -> str:
    return "0 and 1" if node["levels"] == 2 else f"the whole numbers 0 to {node['levels'] - 1}"


def _listed(values: Iterable[str]) -> str:
    first = list(values)
    return ", ".join(first[:SHOWN]) + (", ..." if len(first) > SHOWN else "")
