"""Several training tables of one DAG, checked and encoded at one door."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from tramdag.data import (
    Labels,
    Values,
    check_training_frame,
    empty_levels,
    encode_frame,
    learn_labels,
)
from tramdag.errors import DataError, SeparationWarning, name_list
from tramdag.spec import Node

__all__ = ["encode_data_sets"]


def encode_data_sets(
    data: Sequence[pd.DataFrame], nodes: Mapping[str, Node], device: torch.device | str
) -> tuple[Labels, list[Values]]:
    """Tensors of every data set, and the labels of ordinal levels that they share.

    Raises:
        DataError: There is none, one of them does not fit the nodes, or their labels differ; the
            message numbers it from 0.
    """
    if len(data) == 0:
        raise DataError("fit_replicates: the list of data sets is empty; give at least one.")
    found = []
    for position, table in enumerate(data):
        try:
            labels = learn_labels(table, nodes)
            values = encode_frame(table, nodes, labels)
            check_training_frame(values, nodes, what="the training rows")
        except DataError as error:
            raise DataError(f"data set {position} of {len(data)}: {error}") from None
        found.append((labels, {name: column.to(device) for name, column in values.items()}))
    shared, _ = found[0]
    for position, (labels, _) in enumerate(found):
        for name, own in labels.items():
            if own != shared[name]:
                raise DataError(
                    f"data set {position} of {len(data)}: the levels of column {name!r} are "
                    f"{_in_words(own)}, those of data set 0 {_in_words(shared[name])}; all data "
                    "sets must code a column alike."
                )
    tables = [values for _, values in found]
    _warn_of_empty_levels(tables, nodes, shared)
    return shared, tables


def _in_words(labels: tuple[object, ...] | None) -> str:
    return "whole numbers" if labels is None else name_list(labels)


def _warn_of_empty_levels(
    tables: Sequence[Values], nodes: Mapping[str, Node], labels: Labels
) -> None:
    """One warning per node, whatever the number of data sets."""
    empty = [empty_levels(values, nodes, labels) for values in tables]
    for name in nodes:
        missing = [own[name] for own in empty if name in own]
        if missing:
            levels = sorted({level for own in missing for level in own}, key=str)
            warnings.warn(
                f"node {name!r}: in {len(missing)} of {len(tables)} data sets no training row has "
                f"{'one of the levels' if len(levels) > 1 else 'level'} {name_list(levels)}. The "
                "estimated probability there is zero whatever the parents.",
                SeparationWarning,
                stacklevel=4,
            )
