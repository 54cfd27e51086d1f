"""Point estimates in the form that a reader wants: coefficients, cutpoints, curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tramdag.data import Values
from tramdag.errors import SpecError, name_list
from tramdag.networks import ParentNetwork
from tramdag.node import Conditional, ContinuousConditional, OrdinalConditional
from tramdag.spec import CS

__all__ = ["coefficients", "cutpoints", "shift_curve", "transformation"]


def coefficients(conditionals: Mapping[str, Conditional]) -> pd.DataFrame:
    """Linear shift coefficients of all nodes.

    Returns:
        Columns node, parent, level (missing for continuous parents), estimate (log odds ratio per
        raw unit, or against level 0) and odds_ratio; one row per coefficient.
    """
    rows = [
        (name, *column.label, estimate)
        for name, conditional in conditionals.items()
        for column, estimate in zip(
            conditional.linear.columns, conditional.linear.beta.tolist(), strict=True
        )
    ]
    table = pd.DataFrame(rows, columns=["node", "parent", "level", "estimate"])
    table["estimate"] = table["estimate"].astype(float)
    with np.errstate(over="ignore"):  # an odds ratio per tiny unit may exceed any float
        return table.assign(odds_ratio=np.exp(table["estimate"]))


@torch.no_grad()
def cutpoints(conditional: Conditional) -> np.ndarray:
    r"""Cutpoints of :math:`P(x \le k) = \sigma(\theta_k - \sum_j \beta_j x_j)`, raw units.

    Returns:
        Shape ``(K - 1,)``; for a node with complex shifts up to the networks' common constant.

    Raises:
        SpecError: The node is continuous, or its cutpoints depend on parents.
    """
    if not isinstance(conditional, OrdinalConditional):
        raise SpecError(
            f"node {conditional.name!r} is continuous; only ordinal ones have cutpoints."
        )
    if conditional.complex_intercepts:
        raise SpecError(
            f"node {conditional.name!r} has a complex intercept: its cutpoints differ from row to "
            "row. Use pmf(df, node=...)."
        )
    # the module subtracts beta (x - mean); the constant belongs to theta in the raw convention
    return (conditional.theta() - conditional.linear.offset).cpu().numpy()


@torch.no_grad()
def shift_curve(
    conditional: Conditional, parent: str, grid: Values, values: np.ndarray
) -> pd.DataFrame:
    """The fitted shift as a function of one parent, from its LS term or its own CS term.

    Args:
        conditional: The child.
        parent: The parent.
        grid: The parent's encoded values, the only entry.
        values: The same values as the caller gave them.

    Returns:
        Columns value and shift (latent scale, centred to mean zero over the grid: only differences
        of a shift are identified).

    Raises:
        SpecError: The parent enters by no shift of its own.
    """
    networks = cast("list[ParentNetwork]", list(conditional.complex_shifts))
    parts = [
        net(net.features(grid, len(values))).squeeze(-1)
        for net in networks
        if net.parents == (parent,)
    ]
    linear = conditional.linear.main_effect(parent, grid)
    if linear is not None:
        parts.append(linear)
    if not parts:
        alone = [t.parents for t in conditional.node.terms if isinstance(t, CS)]
        raise SpecError(
            f"node {conditional.name!r}: {parent!r} enters by no shift of its own; its parents are "
            f"{name_list(conditional.parents)}, its complex shifts {alone}."
        )
    shift = torch.stack(parts).sum(0)
    return pd.DataFrame({"value": values, "shift": (shift - shift.mean()).cpu().numpy()})


@torch.no_grad()
def transformation(conditional: ContinuousConditional, values: Values) -> tuple[Tensor, Tensor]:
    r"""h(x) and its log derivative per unit of x, shape ``(n,)`` each.

    Shifts are left out, linear ones as :math:`\beta_j x_j` in raw units: for a classical node
    :math:`h(x) + \sum_j \beta_j x_j` is the latent u.
    """
    device = conditional.intercept.device
    h, log_derivative = conditional.transformation({k: v.to(device) for k, v in values.items()})
    # the module centres the columns of the linear shift; in raw units the constant belongs to h
    return h + conditional.linear.offset, log_derivative
