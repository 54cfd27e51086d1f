"""How replicates of a fit differ: in their case weights, in their seeds, or in their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tramdag.arguments import shown
from tramdag.data import encode_weights
from tramdag.errors import DataError, SpecError
from tramdag.latent import derive_seed, known_seed
from tramdag.spec import is_whole_number

__all__ = ["plan_replicates", "seeds_of_data_sets"]


def plan_replicates(
    n: int,
    replicates: int | None,
    *,
    weights: ArrayLike | str | None,
    folds: int | None,
    seeds: Sequence[int] | None,
    seed: int,
) -> tuple[tuple[int, ...], Tensor | None]:
    """Seed and case weights of every replicate of one table.

    Args:
        n: Rows of the table.
        replicates: Number B of replicates, None where it follows from the others.
        weights: "multinomial" (the default), "exponential", or weights of shape (B, n).
        folds: Number of folds; replicate k leaves out fold k.
        seeds: One per replicate, which then all see every row.
        seed: That of all replicates where ``seeds`` is None, and of the draw of weights and folds.

    Returns:
        The B seeds, and the case weights of shape (B, n), None where every row counts once.

    Raises:
        SpecError: None or several of the ways are asked for, or they contradict each other.
        DataError: The weights do not fit the rows.
    """
    given = [
        name
        for name, value in (("weights", weights), ("folds", folds), ("seeds", seeds))
        if value is not None
    ]
    if len(given) > 1:
        raise SpecError(f"fit_replicates: give one of {' and '.join(given)}, not both.")
    if not given and replicates is None:
        raise SpecError(
            "fit_replicates: say how the replicates differ: replicates=B (a bootstrap), weights=, "
            "folds= or seeds=."
        )
    if replicates is not None and not is_whole_number(replicates, at_least=1):
        raise SpecError(
            f"fit_replicates: replicates={replicates!r} must be a whole number of at least 1."
        )
    if seeds is not None:
        if len(seeds) == 0 or replicates not in (None, len(seeds)):
            raise SpecError(
                f"fit_replicates: seeds= holds {len(seeds)} seeds, replicates={replicates!r}; "
                "leave replicates out."
            )
        return tuple(known_seed(s) for s in seeds), None
    rng = np.random.default_rng(derive_seed(seed, "replicates"))
    if folds is not None:
        if not is_whole_number(folds, at_least=2) or folds > n:
            raise SpecError(
                f"fit_replicates: folds={shown(folds)} must be a whole number from 2 to the {n} "
                "rows."
            )
        if replicates not in (None, folds):
            raise SpecError(
                f"fit_replicates: folds={folds} make {folds} replicates, replicates={replicates!r} "
                "contradicts them; leave replicates out."
            )
        fold = rng.permutation(np.arange(n) % folds)
        array = (fold != np.arange(folds)[:, None]).astype(float)
        return (seed,) * folds, torch.from_numpy(array)
    if isinstance(weights, str) or weights is None:
        kind = "multinomial" if weights is None else weights
        if kind not in ("multinomial", "exponential") or replicates is None:
            raise SpecError(
                f"fit_replicates: weights={weights!r} with replicates={replicates!r}; allowed are "
                "'multinomial' or 'exponential' with a number of replicates, or an array."
            )
        array = (
            rng.multinomial(n, np.full(n, 1.0 / n), size=replicates).astype(float)
            if kind == "multinomial"
            else rng.exponential(size=(replicates, n))
        )
        return (seed,) * replicates, torch.from_numpy(array)
    table = _weight_table(weights, n)
    rows = len(table)
    if replicates not in (None, rows):
        raise SpecError(
            f"fit_replicates: weights hold {rows} replicates, replicates={replicates!r}; leave "
            "replicates out."
        )
    return (seed,) * rows, torch.stack([encode_weights(own, n) for own in table])


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


def _weight_table(weights: ArrayLike, n: int) -> np.ndarray:
    """Case weights of shape ``(B, n)``, values still unchecked."""
    try:
        table = np.asarray(weights)
    except ValueError:  # rows of different lengths
        table = np.empty(0, dtype=object)
    if table.ndim != 2 or len(table) == 0 or table.shape[1] != n:
        raise DataError(
            f"fit_replicates: weights {_shape(weights, table)}; a table with a row of {n} weights, "
            "one for each row of the data, per replicate is needed, shape (replicates, "
            f"{n}). One fit with one set of weights is CausalFlowDAG(spec).fit(data, weights=...)."
        )
    return table


def _shape(weights: ArrayLike, table: np.ndarray) -> str:
    return f"have the shape {table.shape}" if table.dtype != object else f"are {shown(weights)}"
