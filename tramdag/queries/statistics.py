r"""Population statistics of a query's rows, with what the delta method needs of them.

With :math:`\psi_m` the parameters of node m, estimated independently of those of other nodes
because the likelihood separates, a vector Q of statistics has

.. math:: \operatorname{cov} \hat Q = \sum_m \nabla_m Q \operatorname{cov}(\hat\psi_m) \nabla_m Q^T
    \; [+ \operatorname{cov}_{rows}(q_i) / n \text{ if the rows are a sample}],

where :math:`q_i` is the influence of row i on Q.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tramdag.queries.query import Query

__all__ = ["Statistics", "on_the_way", "stack", "weighted_sums"]


@dataclass(frozen=True)
class Statistics:
    """A vector of d statistics of n rows.

    Attributes:
        names: Their names, d of them.
        estimate: Shape ``(d,)``.
        row_influence: Influence of every row, shape ``(n, d)``; their mean need not be zero.
        gradients: Node name to the gradient with respect to psi = (offset, increments, linear
            weights), for the classical nodes on the way; shape ``(d, q)`` each.
    """

    names: tuple[str, ...]
    estimate: np.ndarray
    row_influence: np.ndarray
    gradients: dict[str, np.ndarray]


def stack(parts: Sequence[Statistics]) -> Statistics:
    """Several vectors as one; a node that is not on a part's way has the gradient zero there."""
    width = {node: g.shape[1] for part in parts for node, g in part.gradients.items()}
    gradients = {
        node: np.concatenate([p.gradients.get(node, np.zeros((len(p.estimate), q))) for p in parts])
        for node, q in width.items()
    }
    return Statistics(
        tuple(name for p in parts for name in p.names),
        np.concatenate([p.estimate for p in parts]),
        np.concatenate([p.row_influence for p in parts], axis=1),
        gradients,
    )


def on_the_way(query: Query) -> tuple[str, ...]:
    """The nodes whose conditional laws a query uses, in causal order."""
    plan = query.plan
    used = {query.node, *plan.integrated, *plan.weighing}
    return tuple(name for name in query.conditionals if name in used)


def weighted_sums(
    query: Query,
    blocks: Iterable[tuple[Tensor, slice]],
    sums: Mapping[str, tuple[np.ndarray, int]],
) -> tuple[np.ndarray, Statistics]:
    r"""Sums :math:`\sum_i w_i q_{ik}` of quantities per row, and their gradients.

    Args:
        query: Whose conditional laws the quantities depend on.
        blocks: Quantities ``(rows, k)`` as functions of the parameters, block by block.
        sums: Name to row weights ``(n,)`` and the column of the quantity.

    Returns:
        The quantities, ``(n, k)``, and the sums.
    """
    nodes = on_the_way(query)
    pairs = [(query.conditionals[n].intercept, query.conditionals[n].linear.weight) for n in nodes]
    flat = [p for pair in pairs for p in pair]
    totals = {name: [torch.zeros_like(p) for p in flat] for name in sums}
    per_row = []
    with torch.enable_grad():
        for values, rows in blocks:
            per_row.append(values.detach().double().cpu())
            if not values.requires_grad:
                continue
            for name, (weights, column) in sums.items():
                target = torch.from_numpy(weights[rows]).to(values) @ values[:, column]
                parts = torch.autograd.grad(target, flat, retain_graph=True, allow_unused=True)
                for total, part in zip(totals[name], parts, strict=True):
                    if part is not None:
                        total += part
    q = torch.cat(per_row).numpy()
    gradients = {}
    for j, (node, (raw, _)) in enumerate(zip(nodes, pairs, strict=True)):
        if query.conditionals[node].is_classical:
            by_sum = [
                torch.cat([_in_increments(raw, total[2 * j]), total[2 * j + 1]])
                for total in totals.values()
            ]
            gradients[node] = torch.stack(by_sum).double().cpu().numpy()
    terms = np.stack([weights * q[:, column] for weights, column in sums.values()], axis=1)
    return q, Statistics(tuple(sums), terms.sum(0), len(q) * terms, gradients)


def _in_increments(raw: Tensor, gradient: Tensor) -> Tensor:
    """Gradient in (offset, increments) from that in the raw intercept: softplus' is a sigmoid.

    At a bound the slope vanishes; such increments have no standard error and are left out later.
    """
    slope = torch.sigmoid(raw.detach()[1:])
    inner = torch.where(slope > 1e-20, gradient[1:] / slope, 0.0)
    return torch.cat([gradient[:1], inner])
