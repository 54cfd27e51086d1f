"""The files of the library: fitted flows and fits on their way, a JSON header and plain tensors.

The file is torch's zip format, read with ``weights_only=True``, so loading never executes anything
from it. It stores a few *model-drawn* rows (never training rows) with their log density; loading
recomputes it and refuses a file whose weights do not give the same values.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tramdag import queries
from tramdag.arguments import check_path, is_number, shown
from tramdag.data import Labels, Values
from tramdag.errors import DataError, SpecError
from tramdag.fitting import FitReport, FitRows, FitSettings
from tramdag.inference import Information
from tramdag.node import Conditional, make_conditional
from tramdag.spec import Node, causal_order, spec_from_dict, spec_to_dict

__all__ = ["FitJournal", "FlowState", "load", "open_journal", "save"]

_FORMAT = "tramdag checkpoint"
_JOURNAL = "tramdag fit journal"
_VERSION = 3
_STATES_VERSION = 1
"""Of what a journal keeps of a training: goes up with every change of its steps."""
_ARRAYS = ("estimate", "observed", "scores_crossproduct", "free", "identified")
_CHECK_ROWS = 256
_DTYPES = {"float64": torch.float64, "float32": torch.float32}
_UNREADABLE = (pickle.UnpicklingError, zipfile.BadZipFile)
_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}
"""How far recomputed log densities may lie from the stored ones, nats: processors differ."""


@dataclass(frozen=True)
class FlowState:
    """Everything that a fitted flow consists of.

    Attributes:
        conditionals: The nodes' conditional laws, in causal order.
        nodes: The specification, in the user's order.
        labels: Labels of ordinal levels.
        report: Report of the fit.
        information: Second-order information per node: sums over rows, never rows.
        seed: The flow's seed.
        dtype: Floating type.
    """

    conditionals: Mapping[str, Conditional]
    nodes: Mapping[str, Node]
    labels: Labels
    report: FitReport
    information: Mapping[str, Information]
    seed: int
    dtype: torch.dtype


def save(path: str | os.PathLike[str], state: FlowState) -> None:
    """Write a flow's state under a temporary name in the same folder and move it into place.

    Args:
        path: The file to make or replace; its folder must exist.
        state: The fitted flow.

    Raises:
        DataError: The folder is missing, or the path is a folder itself.
    """
    target = check_path(path, what="save: path")
    _check_target(target, verb="save")
    rows = queries.sample(state.conditionals, _CHECK_ROWS, interventions={}, latents=None, seed=0)
    tensors = {"check log_prob": _joint_log_prob(state.conditionals, rows)}
    # tensors are numbered by node: a node's name may hold any character
    for index, (name, conditional) in enumerate(state.conditionals.items()):
        tensors[f"check:{index}"] = rows[name]
        tensors |= {f"node:{index}:{k}": v for k, v in conditional.state_dict().items()}
        entry = state.information.get(name)
        for field in _ARRAYS if entry is not None else ():
            tensors[f"information:{index}:{field}"] = torch.from_numpy(
                np.array(getattr(entry, field))
            )
    header = {
        "spec": spec_to_dict(state.nodes),
        "labels": {k: None if v is None else list(v) for k, v in state.labels.items()},
        "dtype": str(state.dtype).removeprefix("torch."),
        "seed": state.seed,
        "report": state.report.to_plain(),
        "information": {
            name: {"n": entry.n, "conditional_on_networks": entry.conditional_on_networks}
            for name, entry in state.information.items()
        },
    }
    _write(target, header, tensors, kind=_FORMAT)


def load(path: str | os.PathLike[str]) -> FlowState:
    """Read what :func:`save` wrote, on the CPU.

    Raises:
        DataError: The file is missing, truncated, foreign, damaged, of another version, or its
            weights do not reproduce the log densities stored beside them.
    """
    header, tensors = _read(path, kind=_FORMAT, writer="flow.save(path)")
    try:
        state = _rebuild(header, tensors)
        rows = {name: tensors[f"check:{i}"] for i, name in enumerate(state.conditionals)}
        stored = tensors["check log_prob"]
        gap = (_joint_log_prob(state.conditionals, rows) - stored).abs().max().item()
    except (SpecError, RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"checkpoint {str(path)!r} is damaged: {type(error).__name__}: {error}"
        ) from None
    if not gap <= _TOLERANCE[state.dtype]:
        raise DataError(
            f"checkpoint {str(path)!r}: the weights give log densities that differ by {gap:.2g} "
            "from those stored at saving; the file is damaged or of another release."
        )
    return state


class FitJournal:
    """Keeps a fit's training states in one file, so that a killed fit can go on.

    The file stays after the fit: the same fit, run again, ends at once with the same result. It
    holds parameters and histories, no training row.

    Args:
        path: The file; its folder must exist.
        every: Seconds between two writes.
        fingerprint: What identifies the fit: specification, settings, seeds and data.

    Raises:
        DataError: The file exists and belongs to another fit, or is no journal.
    """

    def __init__(self, path: str | os.PathLike[str], *, every: float, fingerprint: str) -> None:
        self._path, self._every, self._fingerprint = Path(path), every, fingerprint
        self._states: dict[str, dict[str, Tensor]] = {}
        self._written = time.monotonic()
        _check_target(self._path, verb="fit(checkpoint=)")
        if self._path.exists():
            header, tensors = _read(path, kind=_JOURNAL, writer="fit(checkpoint=path)")
            if header.get("fingerprint") != fingerprint:
                raise DataError(
                    f"checkpoint {str(path)!r} belongs to another fit: its data, specification, "
                    "settings or seed differ, or another release wrote it. Give another path, or "
                    "remove the file."
                )
            for index, key in enumerate(header["keys"]):
                prefix = f"{index}:"
                self._states[key] = {
                    name.removeprefix(prefix): tensor
                    for name, tensor in tensors.items()
                    if name.startswith(prefix)
                }

    def read(self, key: str) -> Mapping[str, Tensor] | None:
        """The last state kept under a key, or None."""
        return self._states.get(key)

    def write(self, key: str, state: Callable[[], Mapping[str, Tensor]], *, last: bool) -> None:
        """Keep a state if so many seconds have passed since the last one, or if it is the last."""
        if not last and time.monotonic() - self._written < self._every:
            return
        self._states[key] = {name: tensor.detach().cpu() for name, tensor in state().items()}
        header = {"fingerprint": self._fingerprint, "keys": list(self._states)}
        tensors = {
            f"{index}:{name}": tensor
            for index, states in enumerate(self._states.values())
            for name, tensor in states.items()
        }
        _write(self._path, header, tensors, kind=_JOURNAL)
        self._written = time.monotonic()


def open_journal(
    path: str | os.PathLike[str] | None,
    every: float,
    nodes: Mapping[str, Node],
    settings: FitSettings,
    rows: Sequence[FitRows],
    start: Sequence[Mapping[str, Tensor]],
) -> FitJournal | None:
    """The journal of a fit of one or several data sets, None where no path is given.

    Raises:
        SpecError: ``every`` is no number of seconds.
        DataError: The file belongs to another fit, is no journal, or its folder is missing.
    """
    if path is None:
        return None
    check_path(path, what="fit: checkpoint")
    if not is_number(every, may_be_infinite=True) or every < 0:
        got = shown(every)
        raise SpecError(f"fit: checkpoint_every={got} must be a number of seconds, 0 or more.")
    digest = hashlib.sha256()
    what_matters = replace(settings, verbose=0, progress=None)
    seeds = [seed for own in rows for seed in own.seeds]
    digest.update(
        json.dumps([_STATES_VERSION, spec_to_dict(nodes), repr(what_matters), seeds]).encode()
    )
    tables = [
        table
        for own, begin in zip(rows, start, strict=True)
        for table in (
            own.train,
            own.validation or {},
            {} if own.weights is None else {"weights": own.weights},
            begin,
        )
    ]
    for table in tables:
        digest.update(b"table")
        for name, column in table.items():
            digest.update(repr((name, column.dtype, tuple(column.shape))).encode())
            digest.update(column.detach().cpu().contiguous().numpy().tobytes())
    return FitJournal(path, every=every, fingerprint=digest.hexdigest())


def _rebuild(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> FlowState:
    nodes = spec_from_dict(header["spec"])
    dtype = _DTYPES[header["dtype"]]
    conditionals: dict[str, Conditional] = {}
    information: dict[str, Information] = {}
    for index, name in enumerate(causal_order(nodes)):
        conditional = make_conditional(name, nodes, seed=header["seed"], dtype=dtype)
        prefix = f"node:{index}:"
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        conditional.load_state_dict(state)
        conditionals[name] = conditional
        if name in header["information"]:
            prefix = f"information:{index}:"
            arrays: dict[str, Any] = {f: tensors[prefix + f].numpy() for f in _ARRAYS}
            information[name] = Information(**arrays, **header["information"][name])
    labels = {k: None if v is None else tuple(v) for k, v in header["labels"].items()}
    report = FitReport.from_plain(header["report"])
    return FlowState(conditionals, nodes, labels, report, information, header["seed"], dtype)


def _joint_log_prob(conditionals: Mapping[str, Conditional], rows: Values) -> Tensor:
    return torch.stack(list(queries.log_prob(conditionals, rows).values())).sum(0).cpu()


def _check_target(target: Path, *, verb: str) -> None:
    if not target.parent.is_dir():
        raise DataError(
            f"{verb}: the folder {str(target.parent)!r} of {str(target)!r} does not exist; make it "
            "first."
        )
    if target.is_dir():
        raise DataError(f"{verb}: {str(target)!r} is a folder; give the name of a file.")


def _write(
    target: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor], *, kind: str
) -> None:
    content = {
        "format": kind,
        "version": _VERSION,
        "header": json.dumps(header),
        "tensors": {name: tensor.detach().cpu() for name, tensor in tensors.items()},
    }
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            torch.save(content, stream)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _read(
    path: str | os.PathLike[str], *, kind: str, writer: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    target = check_path(path, what="load: path")
    if target.is_dir():
        raise DataError(f"{str(path)!r} is a folder; give the checkpoint's file.")
    if not target.is_file():
        raise DataError(f"checkpoint {str(path)!r} does not exist.")
    try:
        if not zipfile.is_zipfile(target):
            raise zipfile.BadZipFile
        content = torch.load(target, map_location="cpu", weights_only=True)
    except (*_UNREADABLE, RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        raise DataError(
            f"{str(path)!r} cannot be read as a checkpoint ({type(error).__name__}): it is "
            f"truncated, or was not written by {writer}. Nothing in it was executed."
        ) from None
    if not isinstance(content, dict) or content.get("format") != kind:
        raise DataError(f"{str(path)!r} is not a {kind}; such files are written by {writer}.")
    if content.get("version") != _VERSION:
        raise DataError(
            f"checkpoint {str(path)!r} has the format version {content.get('version')!r}; this "
            f"release reads version {_VERSION}."
        )
    header, tensors = content.get("header"), content.get("tensors")
    try:
        header = json.loads(str(header))
    except (TypeError, ValueError):
        header = None
    if not isinstance(header, dict) or not isinstance(tensors, dict):
        raise DataError(f"checkpoint {str(path)!r} is damaged: its header cannot be read.")
    return header, tensors


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
