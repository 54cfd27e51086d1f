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
from tramdag.errors import DataError, SeparationWarning, SpecError, name_list
from tramdag.latent import known_seed
from tramdag.spec import Node

__all__ = ["encode_data_sets", "seeds_of_data_sets"]


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


def seeds_of_data_sets(
    n: int, ways: Mapping[str, object], seeds: Sequence[int] | None, *, seed: int
) -> tuple[int, ...]:
    """One seed for each of n data sets.

    Args:
        n: Number of data sets.
        ways: Other ways to make replicates, None where not asked for.
        seeds: The seeds, or None.
        seed: That of all data sets where ``seeds`` is None.

    Raises:
        SpecError: Another way is asked for, or there are more or fewer seeds.
    """
    for name, value in ways.items():
        if value is not None:
            raise SpecError(
                f"fit_replicates: {name}={value!r} with a sequence of {n} data sets; each of them "
                f"is a replicate already. Leave {name} out, or give one table."
            )
    if seeds is not None and len(seeds) != n:
        raise SpecError(
            f"fit_replicates: seeds= holds {len(seeds)} seeds for {n} data sets; give one for "
            "each, or seed= for all."
        )
    return (seed,) * n if seeds is None else tuple(known_seed(s) for s in seeds)


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
