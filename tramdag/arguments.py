"""Checks of arguments that are no tables: choices, numbers, sequences of numbers, paths."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from numbers import Real
from pathlib import Path

import numpy as np

from tramdag.errors import SpecError, name_list

__all__ = ["check_choice", "check_path", "flat_numbers", "is_number", "shown"]

_LONGEST = 60


def shown(value: object) -> str:
    """A value for a message, or its type where it would fill lines."""
    text = repr(value)
    short = len(text) <= _LONGEST and "\n" not in text
    return text if short else f"<{type(value).__name__}>"


def check_choice(value: object, allowed: Collection[str | None], *, what: str) -> None:
    """Refuse what is none of the allowed words.

    Raises:
        SpecError: The message starts with ``what``, such as ``"pmf: scope"``.
    """
    if not (value is None or isinstance(value, str)) or value not in allowed:
        raise SpecError(f"{what}={shown(value)} is unknown; allowed are {name_list(allowed)}.")


def is_number(value: object, *, may_be_infinite: bool = False) -> bool:
    """Whether a value is a real number, NumPy's included but no bool; finite if not said else."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    return math.isfinite(number) or (may_be_infinite and not math.isnan(number))


def flat_numbers(values: object, *, what: str) -> np.ndarray:
    """One finite number or a flat sequence of them as an array of shape ``(k,)``, k at least 1.

    Raises:
        SpecError: It is something else; the message starts with ``what``.
    """
    try:
        array = np.atleast_1d(np.asarray(values, dtype=float))
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0)
    textual = np.asarray(values, dtype=object).ravel()[:1]
    if array.ndim != 1 or not array.size or not np.isfinite(array).all() or _is_text(textual):
        raise SpecError(
            f"{what}={shown(values)} must be one finite number or a flat sequence of them, not "
            "empty."
        )
    return array.copy()


def _is_text(first: np.ndarray) -> bool:
    return any(isinstance(value, (str, bytes)) for value in first.tolist())


def check_path(path: object, *, what: str) -> Path:
    """A path.

    Raises:
        SpecError: It is neither text nor a path; the message starts with ``what``.
    """
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise SpecError(
            f"{what}={shown(path)} must be the path of a file, such as 'flow.pt' or a pathlib.Path."
        )
    return Path(path)
