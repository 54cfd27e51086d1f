"""Cross-validated likelihood of one node, over the same folds for every specification.

The likelihood of a DAG model separates into its nodes, so only the node in question is fitted in
every fold; its parents stand beside it as roots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import tramdag as td
from replication.job import derive_seed

__all__ = ["FOLD_COLUMNS", "cross_validate", "fold_numbers", "single_node_spec"]

FOLD_COLUMNS = ("experiment", "model", "seed", "row", "fold", "nll")


def fold_numbers(n: int, folds: int, *, experiment: str) -> NDArray[np.int_]:
    """The fold of each row: a shuffle that depends on the experiment alone.

    Args:
        n: Rows.
        folds: Number of folds, whose sizes differ by at most one.
        experiment: Name of the experiment, the identity of the shuffle.

    Returns:
        Numbers from 0 to ``folds - 1``, shape ``(n,)``.
    """
    if not 2 <= folds <= n:
        raise ValueError(f"fold_numbers: {folds} folds of {n} rows; give from 2 to {n} folds.")
    rng = np.random.default_rng(derive_seed(experiment, "folds"))
    return rng.permutation(np.arange(n) % folds)


def single_node_spec(
    spec: Mapping[str, Mapping[str, Any]], node: str
) -> dict[str, Mapping[str, Any]]:
    """The node with its own terms, and its parents without any.

    Args:
        spec: Plain form of a specification.
        node: Name of the node.
    """
    parents = td.spec_from_dict(spec)[node].parents
    return {
        name: content
        if name == node
        else {key: content[key] for key in content if key not in {"parents", "terms"}}
        for name, content in spec.items()
        if name == node or name in parents
    }


def cross_validate(
    rows: pd.DataFrame,
    *,
    identity: Sequence[str],
    spec: Mapping[str, Mapping[str, Any]],
    node: str,
    folds: int,
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    device: str = "cpu",
) -> pd.DataFrame:
    r"""Negative log-likelihood of each row under the fit that gave its fold no weight.

    .. math:: \ell_i = -\log p_{\hat\psi(-k(i))}(x_i \mid pa_i)

    Args:
        rows: The cohort.
        identity: Experiment and model.
        spec: Plain form of the model's specification.
        node: The node whose likelihood counts.
        folds: Number of folds, see :func:`fold_numbers`.
        seeds: Seeds of initial weights, inner validation rows and batches; each fits every fold.
        settings: Keyword arguments of ``CausalFlowDAG.fit``.
        device: torch device.

    Returns:
        Columns ``FOLD_COLUMNS``, nll in nats, a row per seed and row of the cohort.

    References:
        Stone (1974), Cross-validatory choice, Journal of the Royal Statistical Society B 36.
    """
    experiment, model = identity
    fold = fold_numbers(len(rows), folds, experiment=experiment)
    weights = (fold != np.arange(folds)[:, None]).astype(float)
    own = td.spec_from_dict(single_node_spec(spec, node))
    tables = []
    for seed in seeds:
        stream = derive_seed(experiment, model, seed, "folds")
        fits = td.fit_replicates(
            own,
            rows[list(own)],
            weights=weights,
            seed=stream,
            device=device,
            verbose=0,
            progress=False,
            **settings,
        )
        nll = np.empty(len(rows))
        for number, flow in enumerate(fits):
            held_out = fold == number
            nll[held_out] = -flow.node_log_prob(rows.loc[held_out, list(own)])[node].to_numpy()
        key: dict[str, Any] = {"experiment": experiment, "model": model, "seed": seed}
        table = pd.DataFrame({"row": np.arange(len(rows)), "fold": fold, "nll": nll})
        tables.append(table.assign(**key)[list(FOLD_COLUMNS)])
    return pd.concat(tables, ignore_index=True)
