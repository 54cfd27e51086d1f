"""What every job needs: its output in a log, its threads bounded, its files written whole.

Snakemake's ``script:`` directive neither redirects output to the log file nor bounds the threads
of a numerical library, and a job that was killed half-way must not leave half a file under the
final name.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import inspect
import json
import logging
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = [
    "derive_seed",
    "log_to",
    "read_csv",
    "read_optional",
    "read_tables",
    "run_script",
    "staged",
    "write_csv",
    "write_json",
]


def derive_seed(*identity: object) -> int:
    """A 31-bit seed that depends on the identity alone, such as (experiment, model, seed).

    Neighbouring seeds of different models thereby share no stream, and neither the order of jobs
    nor their grouping changes any number.
    """
    text = "/".join(str(part) for part in identity)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


@contextlib.contextmanager
def log_to(path: str | os.PathLike[str] | None) -> Iterator[None]:
    """Send standard output, standard error, logging, warnings and a traceback to a job's log.

    The redirection works on file descriptors, so that output of R and of compiled libraries
    arrives too. With ``None`` nothing is redirected.
    """
    if path is None:
        yield
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", buffering=1) as log, _redirected(log.fileno()):
        handler = logging.StreamHandler(log)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root = logging.getLogger()
        root.addHandler(handler)
        level = root.level
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)
        format_before = warnings.formatwarning
        warnings.formatwarning = _format_warning
        try:
            yield
        except BaseException:
            traceback.print_exc(file=log)
            raise
        finally:
            warnings.formatwarning = format_before
            logging.captureWarnings(False)
            root.setLevel(level)
            root.removeHandler(handler)


def _format_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """One line without the folder, so that logs of the same run on two machines are the same."""
    return f"{Path(filename).name}:{lineno}: {category.__name__}: {message}"


@contextlib.contextmanager
def _redirected(target: int) -> Iterator[None]:
    saved = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    try:
        for descriptor in saved:
            os.dup2(target, descriptor)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, copy in saved.items():
            os.dup2(copy, descriptor)
            os.close(copy)


@contextlib.contextmanager
def staged(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside ``path`` that takes its place once the block has succeeded.

    Works for a file and for a folder. A process that outlives its scheduler can so never mix its
    output with that of its successor.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{os.getpid()}.{final.name}")
    try:
        yield temporary
        if temporary.is_dir() and final.is_dir():
            shutil.rmtree(final)
        os.replace(temporary, final)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def write_csv(path: str | os.PathLike[str], frame: pd.DataFrame) -> None:
    """Write a table without its index; every float reads back bit for bit."""
    with staged(path) as temporary:
        frame.to_csv(temporary, index=False)


def read_csv(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table that :func:`write_csv` or a generator wrote, every float bit for bit."""
    try:
        frame: pd.DataFrame = pd.read_csv(path)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty: expected a header line and rows.") from None
    return frame


def read_tables(
    paths: Sequence[str | os.PathLike[str]], *, columns: Sequence[str] = ()
) -> pd.DataFrame:
    """Read tables with the same columns and put them under each other.

    Args:
        paths: The tables; those without rows add nothing.
        columns: The columns of a table that has no parts at all.
    """
    frames = [read_csv(path) for path in paths]
    filled = [frame for frame in frames if len(frame)]
    none = [pd.DataFrame(columns=list(columns))]
    return pd.concat(filled or frames[:1] or none, ignore_index=True)


def read_optional(path: str | Sequence[str]) -> pd.DataFrame | None:
    """Read a table, or return None for an input that the experiment does not have."""
    return read_csv(path) if isinstance(path, str) else None


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a mapping as indented JSON."""
    with staged(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def run_script(function: Callable[..., None], snakemake: Any) -> None:
    """Call a script's function with its rule's named inputs, outputs and params, in its log.

    The keyword arguments are named as in the rule. ``threads`` and ``gpu`` (the number of GPUs
    granted) are passed to functions that have such an argument. The input ``verified`` and the
    param ``code`` only tell Snakemake when a job must run, and are left out.

    Raises:
        TypeError: An input, an output and a param share a name.
    """
    arguments: dict[str, Any] = {}
    for group in (snakemake.input, snakemake.output, snakemake.params):
        for name, value in group.items():
            if name in arguments:
                raise TypeError(f"rule {snakemake.rule}: the name {name!r} is used twice.")
            arguments[name] = list(value) if isinstance(value, list) else value
    for name in ("verified", "code"):
        arguments.pop(name, None)
    accepted = inspect.signature(function).parameters
    offered = {"threads": snakemake.threads, "gpu": getattr(snakemake.resources, "gpu", 0)}
    arguments |= {name: value for name, value in offered.items() if name in accepted}
    # A million objects of torch and pandas stay until the end: without this, the interpreter
    # searches them for cycles as it shuts down, which takes half a second of every job.
    gc.freeze()
    with log_to(snakemake.log[0]):
        function(**arguments)
