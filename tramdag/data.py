"""The edge between DataFrames and tensors: columns, level codes, do values, latents.

Inside the library a table is a dict from node name to a float64 tensor of shape ``(n,)``
(continuous) or an int64 tensor of level codes 0..K-1 (ordinal). All checks of user data are here,
those of a single column in :mod:`tramdag.columns`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tramdag.arguments import shown
from tramdag.columns import Labels, check_categories, encode_column, numbers
from tramdag.errors import DataError, SeparationWarning, SpecError, did_you_mean, name_list
from tramdag.spec import ContinuousNode, Node, OrdinalNode

__all__ = [
    "Do",
    "Labels",
    "Values",
    "check_do",
    "check_frame",
    "check_training_frame",
    "decode_frame",
    "empty_levels",
    "encode_do",
    "encode_evidence",
    "encode_frame",
    "encode_latents",
    "encode_weights",
    "known_node",
    "learn_labels",
    "warn_of_empty_levels",
]

Values = dict[str, Tensor]
"""Node name to its column: float64 values or int64 level codes, shape ``(n,)``."""

Do = Mapping[str, Any]
"""Node name to its new value: a scalar, one value per row, or a callable of the natural values."""

_TAIL = 0.05
"""Quantile levels 0.05 and 0.95 of the training column anchor the transform's range."""


def known_node(name: object, nodes: Mapping[str, Node], *, what: str) -> str:
    """Return ``name`` if it is a node.

    Raises:
        SpecError: It is not; the message starts with ``what``.
    """
    if not isinstance(name, str) or name not in nodes:
        raise SpecError(
            f"{what}: {name!r} is not a node of the DAG; nodes are {name_list(nodes)}."
            f"{did_you_mean(name, nodes)}"
        )
    return name


def learn_labels(df: pd.DataFrame, nodes: Mapping[str, Node]) -> dict[str, tuple[Any, ...] | None]:
    """Labels of the ordered Categorical columns of a training table, None for coded columns.

    Raises:
        DataError: A Categorical is unordered or has another number of categories than the node.
    """
    labels: dict[str, tuple[Any, ...] | None] = {}
    for name, node in nodes.items():
        if not isinstance(node, OrdinalNode):
            continue
        column = _column(df, name)
        if isinstance(column.dtype, pd.CategoricalDtype):
            check_categories(column.dtype, name, node)
            found = tuple(column.dtype.categories.tolist())
            odd = [label for label in found if not isinstance(label, (str, int, float))]
            if odd:
                raise DataError(
                    f"node {name!r}: the label {odd[0]!r} of column {name!r} is of the type "
                    f"{type(odd[0]).__name__}; labels must be text or numbers. Use "
                    "df[column].cat.rename_categories(str)."
                )
            labels[name] = found
        else:
            labels[name] = None
    return labels


def encode_frame(
    df: pd.DataFrame,
    nodes: Mapping[str, Node],
    labels: Labels,
    *,
    columns: Iterable[str] | None = None,
) -> Values:
    """Tensors of the named columns (default: all nodes), checked value by value.

    Raises:
        DataError: Not a DataFrame, no rows, a missing or doubled column, a missing or infinite
            value, a level out of range or fractional; the message names node, row and value.
    """
    check_frame(df)
    names = list(nodes if columns is None else columns)
    missing = [name for name in names if name not in df.columns]
    if missing:
        raise DataError(
            f"the table lacks the column{'s' if len(missing) > 1 else ''} {name_list(missing)}; "
            f"it has {name_list(df.columns)}."
        )
    if len(df) == 0:
        raise DataError("the table has no rows; at least one is needed.")
    return {name: encode_column(_column(df, name), nodes[name], name, labels) for name in names}


def check_frame(df: pd.DataFrame) -> int:
    """The number of rows of a table.

    Raises:
        DataError: It is no DataFrame.
    """
    if not isinstance(df, pd.DataFrame):
        raise DataError(f"expected a pandas DataFrame, got {type(df).__name__}.")
    return len(df)


def check_training_frame(
    values: Values, nodes: Mapping[str, Node], *, what: str, weights: Tensor | None = None
) -> None:
    """Refuse columns from which nothing can be learnt.

    Args:
        values: The training table.
        nodes: The nodes by name.
        what: What the table is, for the message.
        weights: Case weights; rows of weight zero do not count as variation.

    Raises:
        DataError: A column is constant, or a continuous one has equal 5 % and 95 % quantiles.
    """
    for name, node in nodes.items():
        column = values[name]
        seen = column if weights is None else column[weights > 0]
        if bool((seen == seen[0]).all()):
            rows = "rows" if weights is None else "rows of positive weight"
            raise DataError(
                f"node {name!r}: column {name!r} of {what} is constant ({seen[0].item():g} in "
                f"all {len(seen)} {rows}); a node needs at least two different values. Drop the "
                "node, or give rows in which it varies."
            )
        if isinstance(node, ContinuousNode):
            low, high = tail_quantiles(column)
            if not low < high:
                raise DataError(
                    f"node {name!r}: the 5 % and 95 % quantiles of column {name!r} in {what} are "
                    f"both {low:g}; a continuous node needs spread. Declare it as an OrdinalNode."
                )


def encode_weights(weights: ArrayLike, n: int) -> Tensor:
    """Case weights as a float64 tensor of shape ``(n,)``.

    Raises:
        DataError: Not one number for each of the n rows, negative, missing or infinite, or all
            zero.
    """
    try:
        array = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"weights: got {type(weights).__name__}; one non-negative number for each of the {n} "
            "rows is needed."
        ) from None
    if array.shape != (n,):
        raise DataError(
            f"weights has the shape {array.shape}; one number for each of the {n} rows is needed."
        )
    bad = ~np.isfinite(array) | (array < 0)
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(
            f"weights: {int(bad.sum())} of {n} are negative, missing or infinite, the first is "
            f"{array[first]:g} at position {first}. Give 0 to leave a row out."
        )
    if not array.any():
        raise DataError("weights: all are zero; at least one row must count.")
    return torch.from_numpy(array.copy())


def empty_levels(
    values: Values, nodes: Mapping[str, Node], labels: Labels, *, weights: Tensor | None = None
) -> dict[str, list[object]]:
    """Levels that no training row (of positive weight) has, by ordinal node; full nodes left out.

    Args:
        values: The training table.
        nodes: The nodes by name.
        labels: Labels of ordinal levels.
        weights: Case weights.
    """
    found = {}
    for name, node in nodes.items():
        if not isinstance(node, OrdinalNode):
            continue
        seen = values[name] if weights is None else values[name][weights > 0]
        counts = torch.bincount(seen, minlength=node.levels)
        names = labels.get(name) or range(node.levels)
        empty = [label for label, count in zip(names, counts.tolist(), strict=True) if not count]
        if empty:
            found[name] = empty
    return found


def warn_of_empty_levels(
    values: Values, nodes: Mapping[str, Node], labels: Labels, *, weights: Tensor | None = None
) -> None:
    """Name the levels that no training row (of positive weight) has: their probability is zero."""
    for name, empty in empty_levels(values, nodes, labels, weights=weights).items():
        warnings.warn(
            f"node {name!r}: no training row has {'levels' if len(empty) > 1 else 'level'} "
            f"{name_list(empty)}. The estimated probability there is zero whatever the "
            "parents, and rows that show it have no meaningful log density or counterfactual. "
            "Merge each with a neighbouring level, or declare fewer levels.",
            SeparationWarning,
            stacklevel=4,
        )


def tail_quantiles(column: Tensor) -> tuple[float, float]:
    """The 5 % and 95 % quantiles (linear interpolation) that anchor a transform's range."""
    array = column.cpu().numpy()
    at = [_TAIL * (len(array) - 1), (1.0 - _TAIL) * (len(array) - 1)]
    # np.quantile gives the same and takes five times as long on a usual column
    around = np.partition(array, sorted({i for a in at for i in (math.floor(a), math.ceil(a))}))
    ends = [(around[math.floor(a)], around[math.ceil(a)], a - math.floor(a)) for a in at]
    low, high = (float(below + share * (above - below)) for below, above, share in ends)
    return low, high


def decode_frame(
    values: Values, nodes: Mapping[str, Node], labels: Labels, index: pd.Index | None = None
) -> pd.DataFrame:
    """DataFrame of the values, ordinal columns as int64 codes or as the Categorical of the fit."""
    columns: dict[str, Any] = {}
    for name in nodes:
        array = values[name].cpu().numpy()
        names = labels.get(name)
        columns[name] = (
            array
            if names is None
            else pd.Categorical.from_codes(array, categories=pd.Index(names), ordered=True)
        )
    return pd.DataFrame(columns, index=index)


def check_do(do: Do) -> None:
    """Refuse a ``do`` that is no mapping.

    Raises:
        SpecError: It is not.
    """
    if not isinstance(do, Mapping):
        raise SpecError(f'do={shown(do)} must map node names to values, such as {{"T": 1}}.')


def encode_do(
    do: Do | None, nodes: Mapping[str, Node], labels: Labels, n: int
) -> dict[str, Tensor | Callable[[Tensor], Tensor]]:
    """Checked do values, each a tensor of shape ``(n,)`` or a function of the natural values.

    A callable receives the values that the node would have taken (a NumPy array in the column's
    own coding) and returns one value per row; its result is checked the same way.

    Raises:
        SpecError: A name in ``do`` is not a node, or ``do`` is not a mapping.
        DataError: A value is missing, infinite, no level of its node, or of the wrong length.
    """
    if do is None:
        return {}
    check_do(do)
    encoded: dict[str, Tensor | Callable[[Tensor], Tensor]] = {}
    for key, value in do.items():
        name = known_node(key, nodes, what="do")
        if callable(value):
            encoded[name] = _checked_callable(value, name, nodes[name], labels)
        else:
            encoded[name] = _encode_given(value, name, nodes[name], labels, n, what="do")
    return encoded


def encode_evidence(
    evidence: Mapping[str, Any] | None, nodes: Mapping[str, Node], labels: Labels, n: int
) -> Values:
    """Checked values of evidence, each a tensor of shape ``(n,)``; None is no evidence.

    Raises:
        SpecError: A name in ``evidence`` is not a node, or it is not a mapping.
        DataError: A value is missing, infinite, no level of its node, or of the wrong length.
    """
    if evidence is None:
        return {}
    if not isinstance(evidence, Mapping):
        raise SpecError(
            f'evidence={shown(evidence)} must map node names to values, such as {{"Age": 70}}.'
        )
    encoded = {}
    for key, value in evidence.items():
        name = known_node(key, nodes, what="evidence")
        encoded[name] = _encode_given(value, name, nodes[name], labels, n, what="evidence")
    return encoded


def encode_latents(
    u: pd.DataFrame, nodes: Mapping[str, Node], *, n: int | None, given: Iterable[str] = ()
) -> Values:
    """Latents as tensors; columns of intervened nodes (``given``) are not needed.

    Raises:
        DataError: Not a DataFrame, a wrong number of rows, a missing column or a value that is not
            a finite number.
    """
    needed = [name for name in nodes if name not in set(given)]
    if not isinstance(u, pd.DataFrame):
        shape = getattr(u, "shape", None)
        raise DataError(
            f"u must be a DataFrame of latents as abduct(df) returns it, with the columns "
            f"{name_list(nodes)}; got {type(u).__name__}{f' of shape {shape}' if shape else ''}."
        )
    missing = [name for name in needed if name not in u.columns]
    unknown = [name for name in u.columns if name not in nodes]
    if missing or unknown:
        raise DataError(
            f"u has the shape {u.shape} with the columns {name_list(u.columns)}; one latent column "
            f"per node is needed, {name_list(nodes)}, as abduct(df) returns it."
        )
    if n is not None and n != len(u):
        raise DataError(f"u has {len(u)} rows but n={n}; leave n out or give n={len(u)}.")
    if len(u) == 0:
        raise DataError("u has no rows; at least one is needed.")
    return {name: numbers(_column(u, name), f"u: column {name!r}") for name in needed}


def _column(df: pd.DataFrame, name: str) -> pd.Series:
    check_frame(df)
    if name not in df.columns:
        raise DataError(f"the table lacks the column {name!r}; it has {name_list(df.columns)}.")
    column = df[name]
    if isinstance(column, pd.DataFrame):
        raise DataError(f"the table has {column.shape[1]} columns named {name!r}; one is needed.")
    return column


def _encode_given(
    value: Any, name: str, node: Node, labels: Labels, n: int, *, what: str
) -> Tensor:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    try:
        column = value if isinstance(value, (pd.Series, pd.Categorical)) else np.asarray(value)
    except ValueError:  # rows of different lengths
        column = np.empty((0, 0))
    if np.ndim(column) == 0:
        series = pd.Series([column.item()] * 1)
    elif np.ndim(column) == 1 and len(column) == n:
        series = pd.Series(column).reset_index(drop=True)
    else:
        got = f"the shape {np.shape(column)}" if np.size(column) else "no values, or uneven ones"
        wanted = "a scalar" if n == 1 else f"a scalar or one value for each of the {n} rows"
        raise DataError(f"{what}: the value for node {name!r} has {got}; {wanted} is needed.")
    try:
        encoded = encode_column(series, node, name, labels)
    except DataError as error:
        raise DataError(f"{what}: {error}") from None
    return encoded.expand(n) if len(encoded) == 1 else encoded


def _checked_callable(
    function: Callable[[Any], Any], name: str, node: Node, labels: Labels
) -> Callable[[Tensor], Tensor]:
    def apply(natural: Tensor) -> Tensor:
        own_coding = decode_frame({name: natural}, {name: node}, labels)[name].to_numpy()
        n = len(natural)
        try:
            value = function(own_coding)
        except TypeError as error:
            raise SpecError(
                f"do: the callable for node {name!r} failed ({error}); it receives the node's "
                f"natural values as one array of {n} and returns one value for each."
            ) from error
        result = _encode_given(value, name, node, labels, n, what="do")
        return result.to(natural.device)

    return apply
