"""Checks at the doors of the simulators: who was asked, what came, what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .distributions import FloatArray

Do = Mapping[str, ArrayLike]
"""An intervention: node name to a scalar or to one value per row."""


def check_count(owner: str, name: str, value: Any, *, at_least: int) -> int:
    """Return value as int if it is a whole number of at least ``at_least``.

    Raises:
        ValueError: Otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < at_least:
        raise ValueError(
            f"{owner}: {name} is {value!r}; it must be a whole number of at least {at_least}."
        )
    return int(value)


def check_choice(owner: str, name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raise ValueError unless value is one of the allowed words."""
    if value not in allowed:
        raise ValueError(f"{owner}: {name} is {value!r}; allowed are {', '.join(allowed)}.")


def check_do(
    owner: str, do: Do | None, n: int, columns: Sequence[str], levels: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """Return the intervention as full columns of length n, ordinal ones as int64.

    Args:
        owner: Name used in messages.
        do: Node name to a scalar or to an array of shape ``(n,)``; None for no intervention.
        n: Number of rows.
        columns: The nodes.
        levels: Number of levels of each ordinal node.

    Raises:
        ValueError: For an unknown node, a wrong length, a value that is missing, infinite or
            no number, or a level that the node does not have.
    """
    if do is None:
        return {}
    if not isinstance(do, Mapping):
        raise ValueError(
            f"{owner}: do is {do!r}; it must map node names to values, as in {{{columns[0]!r}: 0}}."
        )
    fixed = {}
    for node, given in do.items():
        if node not in columns:
            raise ValueError(
                f"{owner}: do names {node!r}, which is no node; the nodes are {', '.join(columns)}."
            )
        values = _numbers(owner, f"do value of {node}", given)
        if values.shape not in {(), (n,)}:
            raise ValueError(
                f"{owner}: the do value of {node} has shape {values.shape}; give a scalar or one "
                f"value for each of the {n} rows."
            )
        column = np.array(np.broadcast_to(values, (n,)))
        fixed[node] = check_column(owner, f"do value of {node}", column, levels.get(node))
    return fixed


def check_column(owner: str, what: str, values: FloatArray, levels: int | None) -> np.ndarray:
    """Return values if finite and, for an ordinal node, as int64 levels ``0 .. levels - 1``.

    Raises:
        ValueError: Naming the first row that is missing, infinite or no level.
    """
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(
            f"{owner}: the {what} is {values[row]} in row {row}; it must be a finite number. "
            "Drop or impute such rows first."
        )
    if levels is None:
        return values
    possible = (values == np.round(values)) & (values >= 0) & (values < levels)
    if not possible.all():
        row = int(np.flatnonzero(~possible)[0])
        raise ValueError(
            f"{owner}: the {what} is {values[row]:g} in row {row}; the levels are the whole "
            f"numbers 0 to {levels - 1}."
        )
    return values.astype(np.int64)


def check_table(
    owner: str, table: pd.DataFrame | Mapping[str, ArrayLike], columns: Sequence[str]
) -> dict[str, FloatArray]:
    """Return the named columns of a table as float arrays of one common length.

    Raises:
        ValueError: If a column is missing, no vector of numbers, or of another length; or if
            the table has no rows.
    """
    if not isinstance(table, pd.DataFrame | Mapping):
        raise ValueError(
            f"{owner}: got a {type(table).__name__}; give a DataFrame or a mapping with the "
            f"columns {', '.join(columns)}."
        )
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(
            f"{owner}: column {', '.join(missing)} is missing; needed are {', '.join(columns)}, "
            f"got {', '.join(map(str, table)) or 'none'}."
        )
    arrays = {name: _numbers(owner, f"column {name}", table[name]) for name in columns}
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) != 1 or len(shapes[columns[0]]) != 1:
        raise ValueError(f"{owner}: the columns must be vectors of one length, got {shapes}.")
    if shapes[columns[0]] == (0,):
        raise ValueError(f"{owner}: the table has no rows; give at least one.")
    return arrays


def _numbers(owner: str, what: str, values: ArrayLike) -> FloatArray:
    """Return values as floats; text is refused even where it spells a number."""
    try:
        raw = np.asarray(values)
        textual = raw.dtype.kind == "O" and any(isinstance(value, str) for value in raw.flat)
        if raw.dtype.kind in "biufO" and not textual:
            return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        pass  # ragged or no numbers: reported below like any other wrong type
    shown = repr(values) if np.isscalar(values) else f"a {type(values).__name__}"
    raise ValueError(f"{owner}: the {what} is {shown}; it must be a number or a vector of numbers.")
