"""Saving and loading a fitted flow: a JSON header and plain tensors, no code.

The file is torch's zip format, read with ``weights_only=True``, so loading never executes anything
from it. It stores a few *model-drawn* rows (never training rows) with their log density; loading
recomputes it and refuses a file whose weights do not give the same values.
"""

from __future__ import annotations

import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tramdag.errors import DataError

__all__ = ["read_checkpoint", "write_checkpoint"]

_FORMAT = "tramdag checkpoint"
_VERSION = 1


def write_checkpoint(
    path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write header and tensors to a temporary name in the same folder and move them into place.

    Args:
        path: The file to make or replace; its folder must exist.
        header: JSON-ready description.
        tensors: Names to tensors.
    """
    target = Path(path)
    content = {
        "format": _FORMAT,
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


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a file written by :func:`write_checkpoint`.

    Raises:
        DataError: The file is missing, truncated, or not a checkpoint of this library and version.
    """
    target = Path(path)
    if not target.is_file():
        raise DataError(f"checkpoint {str(path)!r} does not exist.")
    try:
        content = torch.load(target, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise DataError(_unreadable(path, error)) from None
    except (pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise DataError(_unreadable(path, error)) from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise DataError(
            f"{str(path)!r} is not a tramdag checkpoint; such files are written by flow.save(path)."
        )
    if content.get("version") != _VERSION:
        raise DataError(
            f"checkpoint {str(path)!r} has the format version {content.get('version')!r}; this "
            f"release reads version {_VERSION}."
        )
    return json.loads(content["header"]), content["tensors"]


def _unreadable(path: str | os.PathLike[str], error: Exception) -> str:
    return (
        f"{str(path)!r} cannot be read as a checkpoint ({type(error).__name__}): it is truncated, "
        "or was not written by flow.save(path). Nothing in it was executed."
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
