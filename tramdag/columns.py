"""One column of a table as a tensor: numbers or level codes, checked value by value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tramdag.errors import DataError, name_list
from tramdag.spec import Node, OrdinalNode

__all__ = ["Labels", "check_categories", "encode_column", "numbers"]

Labels = Mapping[str, tuple[Any, ...] | None]
"""Ordinal node name to the labels of its levels; None where the column holds the codes."""


def encode_column(column: pd.Series, node: Node, name: str, labels: Labels) -> Tensor:
    """A node's column: float64 values, or int64 level codes of an ordinal node.

    Raises:
        DataError: A value is missing, infinite, no number or no level, or a Categorical does not
            fit; the message names node, row and value.
    """
    where = f"node {name!r}: column {name!r}"
    if not isinstance(node, OrdinalNode):
        if isinstance(column.dtype, pd.CategoricalDtype):
            raise DataError(
                f"{where} is categorical but the node is continuous; convert the column to numbers "
                "or declare the node as an OrdinalNode."
            )
        return numbers(column, where)
    names = labels.get(name)
    if isinstance(column.dtype, pd.CategoricalDtype):
        check_categories(column.dtype, name, node)
        names = names if names is not None else tuple(range(node.levels))
        _check_order(column.dtype, names, where)
    if names is None:
        return _codes(numbers(column, where), node, where, column.index)
    return _label_codes(column, names, where)


def check_categories(dtype: pd.CategoricalDtype, name: str, node: OrdinalNode) -> None:
    """Refuse a Categorical whose levels cannot be the node's.

    Raises:
        DataError: It is unordered, or has another number of categories.
    """
    if not dtype.ordered:
        raise DataError(
            f"node {name!r}: column {name!r} is an unordered Categorical; an ordinal node needs an "
            "order. Use pd.Categorical(values, categories=[lowest, ..., highest], ordered=True)."
        )
    if len(dtype.categories) != node.levels:
        raise DataError(
            f"node {name!r}: column {name!r} has {len(dtype.categories)} categories "
            f"{dtype.categories.tolist()!r}, the node has levels={node.levels}."
        )


def _check_order(dtype: pd.CategoricalDtype, names: tuple[Any, ...], where: str) -> None:
    """Refuse an order of the levels that contradicts the fit's."""
    position = {label: k for k, label in enumerate(names)}
    order = [position[label] for label in dtype.categories if label in position]
    if order != sorted(order):
        raise DataError(
            f"{where} is a Categorical with the order {dtype.categories.tolist()!r}, the fit has "
            f"{list(names)!r}. Use df[column].cat.reorder_categories({list(names)!r}, "
            "ordered=True) if the labels mean the same."
        )


def numbers(column: pd.Series, where: str) -> Tensor:
    """Float64 tensor of a column, refusing what is not a finite number."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub":
        array = column.to_numpy().astype(np.float64)
    elif pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c":
        array = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        array = _numbers_of_objects(column, where)
    bad = ~np.isfinite(array)
    if bad.any():
        first = int(np.argmax(bad))
        what = "missing (NaN)" if np.isnan(array[first]) else "infinite"
        raise DataError(
            f"{where}: {int(bad.sum())} of {len(array)} values are missing or infinite, the first "
            f"is {what} at row {_plain(column.index[first])!r}. Every value must be a finite "
            "number: drop these rows or impute them first."
        )
    return torch.from_numpy(np.array(array, dtype=np.float64))


def _numbers_of_objects(column: pd.Series, where: str) -> np.ndarray:
    """Numbers in a column of another type, such as object; text is never parsed."""
    missing = column.isna().to_numpy()
    others = [(r, v) for r, v in column[~missing].items() if not isinstance(v, Real)]
    if others:
        # among text, what is not even the spelling of a number tells most
        row, value = next(((r, v) for r, v in others if not _spells_number(v)), others[0])
        raise DataError(
            f"{where} has the type {column.dtype} with the value {_plain(value)!r} at row "
            f"{_plain(row)!r}; numbers are needed (an ordered Categorical for labelled levels)."
        )
    try:
        return np.where(missing, np.nan, column.where(~column.isna(), 0.0)).astype(np.float64)
    except OverflowError:
        raise DataError(
            f"{where} holds a whole number beyond the largest float, 1.8e308."
        ) from None


def _spells_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _codes(
    values: Tensor, node: OrdinalNode, where: str, index: Sequence[Any] | pd.Index
) -> Tensor:
    array = values.numpy()
    bad = (array != np.rint(array)) | (array < 0) | (array > node.levels - 1)
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(
            f"{where}: the value {values[first].item():g} at row {_plain(index[first])!r} is not "
            f"a level; allowed are the whole numbers 0, ..., {node.levels - 1}."
        )
    return values.to(torch.int64)


def _plain(value: object) -> object:
    """A NumPy scalar as Python's own, so that a message shows 3 and not np.int64(3)."""
    return value.item() if isinstance(value, np.generic) else value


def _label_codes(column: pd.Series, names: tuple[Any, ...], where: str) -> Tensor:
    missing = column.isna().to_numpy()
    if missing.any():
        first = int(np.argmax(missing))
        raise DataError(
            f"{where}: {int(missing.sum())} of {len(column)} values are missing, the first at row "
            f"{_plain(column.index[first])!r}. Every value must be one of {name_list(names)}: drop "
            "these rows or impute them first."
        )
    codes = pd.Index(names).get_indexer(pd.Index(column.astype(object)))
    if (codes < 0).any():
        first = int(np.argmax(codes < 0))
        raise DataError(
            f"{where}: the value {_plain(column.iloc[first])!r} at row "
            f"{_plain(column.index[first])!r} is not a level; allowed are {name_list(names)}."
        )
    return torch.from_numpy(codes.astype(np.int64))
