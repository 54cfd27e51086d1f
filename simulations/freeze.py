"""Freeze the draws and truths of every process as files, and verify such files.

Values are compared to 1e-9 absolute, because the last digit of a logarithm or exponential may
differ between processors. Where a process is marked ``byte_stable`` its tables are compared byte
by byte as well. A file that exists and differs is never overwritten.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from .carefl import Carefl4
from .magic_mrclean import MagicMrClean
from .scm import StructuralModel
from .triangle import TriangleContinuous
from .triangle_mixed import TriangleMixed
from .vaca import VacaTriangle

TOLERANCE = 1e-9
SUMS = "SHA256SUMS"

FROZEN: Mapping[str, StructuralModel] = MappingProxyType(
    {
        "carefl": Carefl4(),
        "magic-mrclean/ls": MagicMrClean("ls"),
        "magic-mrclean/nl": MagicMrClean("nl"),
        **{f"triangle/{f}": TriangleContinuous(f) for f in ("linear", "atan", "sin")},
        **{f"triangle-mixed/{f}": TriangleMixed(f) for f in ("linear", "exp")},
        "vaca": VacaTriangle(),
    }
)
"""Folder under data/ to the process that fills it."""


@dataclass(frozen=True)
class FileReport:
    """What was found or done for one file.

    Attributes:
        file: Path relative to the data folder.
        detail: One line for the reader; for a mismatch the row and column.
        ok: False if the file is missing or differs.
    """

    file: str
    detail: str
    ok: bool = True


@dataclass(frozen=True)
class _Frozen:
    """One file as its generator makes it."""

    content: pd.DataFrame | dict[str, Any]
    byte_stable: bool

    def to_bytes(self) -> bytes:
        if isinstance(self.content, pd.DataFrame):
            return self.content.to_csv(index=False, lineterminator="\n").encode()
        text = json.dumps(self.content, indent=2, allow_nan=False)
        # A list of plain values reads better on one line.
        text = re.sub(r"\[[^][{}]*]", _join_lines, text)
        return (text + "\n").encode()

    def find_problem(self, path: Path) -> str | None:
        """Return how the file at path differs from this one, or None."""
        try:
            if isinstance(self.content, pd.DataFrame):
                problem = _compare_tables(path, self.content)
            else:
                problem = next(_compare_json("", json.loads(path.read_bytes()), self.content), None)
            if problem is None and self.byte_stable and path.read_bytes() != self.to_bytes():
                problem = "the values agree but the bytes differ (number format or line ends)"
        except FileNotFoundError:
            return "the file is missing"
        except (OSError, ValueError) as error:
            return f"the file cannot be read: {' '.join(str(error).split())}"
        return problem


def _join_lines(found: re.Match[str]) -> str:
    items = " ".join(found[0][1:-1].split())
    return f"[{items}]"


def freeze(data: Path, models: Mapping[str, StructuralModel] = FROZEN) -> list[FileReport]:
    """Write what is missing below ``data``; leave alone what agrees.

    Every file is checked before the first is written, and each is written under a temporary name
    and moved.

    Args:
        data: Folder of the frozen files; made if it does not exist.
        models: Folder below ``data`` to the process that fills it.

    Raises:
        FileExistsError: If a file exists and differs; nothing is written then.
    """
    files = _regenerate(models)
    existing = {name: item for name, item in files.items() if (data / name).exists()}
    problems = [
        f"{name}: {problem}"
        for name, item in existing.items()
        if (problem := item.find_problem(data / name))
    ]
    recorded = _read_sums(data)
    sums = {
        name: _sha256((data / name).read_bytes() if name in existing else item.to_bytes())
        for name, item in files.items()
        if not problems
    }
    problems += [
        f"{SUMS}: the line of {name} belongs to other bytes"
        for name, digest in sums.items()
        if recorded.get(name, digest) != digest
    ]
    if problems:
        raise FileExistsError(
            f"{data}: refusing to overwrite files that exist and differ. "
            + "; ".join(problems)
            + ". Restore them, or move them away and freeze again."
        )

    reports = []
    for name, item in files.items():
        if name not in existing:
            _write(data / name, item.to_bytes())
        reports.append(FileReport(name, "unchanged" if name in existing else "written"))
    if recorded | sums != recorded:
        lines = [f"{digest}  {name}\n" for name, digest in sorted((recorded | sums).items())]
        _write(data / SUMS, "".join(lines).encode())
        return [*reports, FileReport(SUMS, "written")]
    return [*reports, FileReport(SUMS, "unchanged")]


def verify(data: Path, models: Mapping[str, StructuralModel] = FROZEN) -> Iterator[FileReport]:
    """Regenerate every frozen file and yield a report of each, the checksums last."""
    files = _regenerate(models)
    for name, item in files.items():
        problem = item.find_problem(data / name)
        agreement = "identical bytes" if item.byte_stable else f"agrees to {TOLERANCE:g}"
        yield FileReport(name, problem or agreement, ok=problem is None)
    yield _verify_sums(data, files)


def _verify_sums(data: Path, files: Mapping[str, _Frozen]) -> FileReport:
    recorded = _read_sums(data)
    for name, item in files.items():
        if name not in recorded:
            return FileReport(SUMS, f"the line of {name} is missing", ok=False)
        if item.byte_stable and recorded[name] != _sha256(item.to_bytes()):
            return FileReport(SUMS, f"the line of {name} belongs to other bytes", ok=False)
    return FileReport(SUMS, f"lists {len(files)} files")


def _regenerate(models: Mapping[str, StructuralModel]) -> dict[str, _Frozen]:
    """Return every file by its path relative to the data folder."""
    files = {}
    for folder, model in models.items():
        tables = model.frozen_tables()
        for stem, table in tables.items():
            files[f"{folder}/{stem}.csv"] = _Frozen(table, model.byte_stable)
        truth = _describe(folder, model, tables) | model.truth()
        files[f"{folder}/truth.json"] = _Frozen(truth, byte_stable=False)
    return files


def _describe(
    folder: str, model: StructuralModel, tables: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    """Return the part of truth.json that every process shares."""
    parameters = asdict(model)  # type: ignore[call-overload]
    return {
        "process": folder.split("/")[0],
        "generator": type(model).__name__,
        "parameters": parameters,
        "files": {
            f"{stem}.csv": {
                "rows": len(table),
                "rng_seed": model.seed + model.frozen_streams[stem],
            }
            for stem, table in tables.items()
        },
        "nodes": {
            node: {
                "kind": "ordinal" if node in model.levels else "continuous",
                "levels": model.levels.get(node),
                "parents": list(model.parents[node]),
            }
            for node in model.columns
        },
        "latents": dict(model.latent_laws),
    }


def _compare_tables(path: Path, expected: pd.DataFrame) -> str | None:
    # Text first: pandas would otherwise guess dates, booleans and missing values.
    frozen = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
    if not isinstance(frozen.index, pd.RangeIndex):
        return "the rows have more fields than the header"
    missing = [name for name in expected.columns if name not in frozen.columns]
    extra = [name for name in frozen.columns if name not in expected.columns]
    if missing or extra:
        return "; ".join(
            f"column {', '.join(names)} is {what}"
            for names, what in ((missing, "missing"), (extra, "not generated"))
            if names
        )
    if list(frozen.columns) != list(expected.columns):
        return f"the columns are in the order {', '.join(frozen.columns)}"
    if len(frozen) != len(expected):
        return f"{len(frozen)} rows, regenerated {len(expected)}"
    values = frozen.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    regenerated = expected.to_numpy(dtype=np.float64)
    differs = ~(np.abs(values - regenerated) <= TOLERANCE)
    if not differs.any():
        return None
    row, column = (int(i) for i in np.argwhere(differs)[0])
    others = f" (and {differs.sum() - 1} more values)" if differs.sum() > 1 else ""
    return (
        f"row {row} (line {row + 2}), column {expected.columns[column]}: "
        f"frozen {frozen.iloc[row, column]!r}, regenerated {regenerated[row, column]:.17g}{others}"
    )


def _compare_json(key: str, frozen: Any, expected: Any) -> Iterator[str]:
    """Yield the differences of two JSON values, each with the path of its key."""
    if isinstance(expected, dict) and isinstance(frozen, dict):
        for name in sorted(expected.keys() - frozen.keys()):
            yield f"key {key}/{name} is missing"
        for name in sorted(frozen.keys() - expected.keys()):
            yield f"key {key}/{name} is not generated"
        for name in sorted(expected.keys() & frozen.keys()):
            yield from _compare_json(f"{key}/{name}", frozen[name], expected[name])
    elif isinstance(expected, list) and isinstance(frozen, list) and len(expected) == len(frozen):
        for i, (left, right) in enumerate(zip(frozen, expected, strict=True)):
            yield from _compare_json(f"{key}/{i}", left, right)
    elif _is_number(expected) and _is_number(frozen):
        if not abs(frozen - expected) <= TOLERANCE:
            yield f"key {key}: frozen {frozen}, regenerated {expected}"
    elif frozen != expected:
        yield f"key {key}: frozen {frozen!r}, regenerated {expected!r}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read_sums(data: Path) -> dict[str, str]:
    """Return file to digest from the checksum file; empty if there is none."""
    path = data / SUMS
    if not path.exists():
        return {}
    pairs = (
        line.split("  ", 1)
        for line in path.read_text(errors="replace").splitlines()
        if "  " in line
    )
    return {name: digest for digest, name in pairs}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write under a temporary name in the same folder and move into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
