"""Which files the results of one's own cohort were made from, so that no others replace them.

A folder of results holds the record :data:`RECORD` of its cohort, trial and specification. A file
is the same if either its path or its content is: a corrected file has another content, a moved one
another path. Both are recorded as SHA-256, which says nothing of machine or patients.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replication.config import ConfigError

__all__ = ["RECORD", "check_record", "sources_of", "write_record"]

RECORD = "cohort.json"
"""The record's name in the folder of results."""

Sources = Mapping[str, str]
"""The paths behind a run by key: cohort, trial and spec."""


def sources_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The paths of one's own cohort in a configuration; none for a run without one."""
    return {key: config[key] for key in ("cohort", "trial", "spec") if config.get(key) is not None}


def check_record(sources: Sources, *, results: str) -> None:
    """Refuse to replace the results of other files, or to keep those of an earlier content.

    A folder without a record is new. A trial may be added or left out.

    Args:
        sources: See :func:`sources_of`.
        results: The folder of results.

    Raises:
        ConfigError: The folder was made from another file, the record cannot be read, or a file
            has another content and an older time than the results, so that Snakemake would make
            nothing again.
    """
    record = Path(results, RECORD)
    if not sources or not record.exists():
        return
    known = _read(record)
    for key, path in sources.items():
        before, now = known.get(key), _identity(path)
        if before is None or before == now:
            continue
        if before["path"] != now["path"] and before["content"] != now["content"]:
            raise ConfigError(
                f"{key}: {results!r} holds the results of another file than {path!r}, which would "
                "be overwritten. Give the new ones a name of their own, such as --config "
                "name=my-study. If the file is the same, moved and corrected, or the old results "
                f"are of no use, delete {str(record)!r} and run again."
            )
        older = Path(path).stat().st_mtime <= record.stat().st_mtime
        # the specification acts by its content, whatever its time
        if key != "spec" and before["content"] != now["content"] and older:
            raise ConfigError(
                f"{key}: {path!r} has another content than when {results!r} was made, but an older "
                "time, by which Snakemake takes the results for up to date. Run `touch "
                f"{path}` and start again."
            )


def write_record(sources: Sources, *, results: str) -> None:
    """Write what the results are made from; nothing without a cohort of one's own.

    Args:
        sources: See :func:`sources_of`.
        results: The folder of results.
    """
    record = Path(results, RECORD)
    content = {key: _identity(path) for key, path in sources.items()}
    if not sources or (record.exists() and _read(record) == content):
        return  # its time is that of the last change
    record.parent.mkdir(parents=True, exist_ok=True)
    temporary = record.with_name(f".{os.getpid()}.{RECORD}")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, record)


def _identity(path: str) -> dict[str, str]:
    # relative, so that a project may move with its cohort
    place = os.path.relpath(os.path.realpath(path))
    return {
        "path": hashlib.sha256(place.encode()).hexdigest(),
        "content": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
    }


def _read(record: Path) -> dict[str, dict[str, str]]:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        return {
            key: {k: str(entry[k]) for k in ("path", "content")} for key, entry in content.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            f"{str(record)!r} is no record of a cohort; delete it if the results beside it may be "
            "overwritten."
        ) from None
