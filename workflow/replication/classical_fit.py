r"""What a classical program returns for one node, and the checks before it is asked.

All references share one model, the proportional-odds model with logistic link,

.. math:: P(Y \le k \mid x) = \sigma(\zeta_k - x^\top b), \qquad k = 0, \dots, K - 2,

which for two levels is logistic regression with :math:`\zeta_0 = -\text{intercept}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.special import expit

__all__ = [
    "ClassicalFit",
    "ClassicalFitError",
    "Floats",
    "check_design",
    "check_levels",
    "check_overlap",
]

Floats = npt.NDArray[np.float64]


class ClassicalFitError(ValueError):
    """A classical program cannot fit this node; the message says why and what would help."""


@dataclass(frozen=True, eq=False)
class ClassicalFit:
    r"""Maximum-likelihood estimate of a proportional-odds or logistic model.

    Attributes:
        names: Names of the design's columns.
        coefficients: b, log odds ratios of Y > k per unit of a column; shape ``(n_columns,)``.
        std_errors: Standard errors of the coefficients from the observed information.
        cutpoints: :math:`\zeta`, increasing; shape ``(n_levels - 1,)``.
        cutpoint_std_errors: Standard errors of the cutpoints.
        log_likelihood: Sum over rows, in nats.
        n: Number of rows.
        warnings: What the program had to say.
        source: The program with its version.
    """

    names: tuple[str, ...]
    coefficients: Floats
    std_errors: Floats
    cutpoints: Floats
    cutpoint_std_errors: Floats
    log_likelihood: float
    n: int
    warnings: tuple[str, ...]
    source: str

    def probability_at_most(self, level: int, design: npt.ArrayLike) -> Floats:
        r""":math:`P(Y \le \text{level} \mid x) = \sigma(\zeta_{level} - x^\top b)` for each row.

        Args:
            level: 0 to n_levels - 2.
            design: Columns in the order of ``names``, shape ``(n, n_columns)``.
        """
        shift = np.asarray(design, dtype=float) @ self.coefficients
        probability: Floats = expit(self.cutpoints[level] - shift)
        return probability


def check_levels(outcome: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Levels of an outcome as whole numbers, after checking that each of 0, ..., max occurs.

    An empty level has no maximum-likelihood cutpoints of its own: polr returns two that agree to
    2.5e-5, without a warning.

    Raises:
        ClassicalFitError: Not one-dimensional, not whole numbers from 0 on, one level only, or a
            level without rows.
    """
    values = np.asarray(outcome)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "biuf":
        raise ClassicalFitError(
            f"outcome: expected a non-empty vector of levels 0, 1, ..., got shape {values.shape} "
            f"of {values.dtype}."
        )
    broken = ~np.isfinite(values) | (values < 0) | (values != np.floor(values))
    if broken.any():
        row = int(np.flatnonzero(broken)[0])
        raise ClassicalFitError(
            f"outcome: row {row} holds {values[row]!r}; levels are the whole numbers 0, 1, ...."
        )
    levels: npt.NDArray[np.int64] = values.astype(np.int64)
    counts = np.bincount(levels)
    if len(counts) < 2:
        raise ClassicalFitError("outcome: every row has level 0; a model needs two levels.")
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        raise ClassicalFitError(
            f"outcome: level {empty[0]} has no rows, so the cutpoints around it are not "
            f"identified; got counts {counts.tolist()}. Merge it with a neighbour."
        )
    return levels


def check_design(design: npt.ArrayLike, names: Sequence[str], *, n_rows: int) -> Floats:
    """The design as a float matrix, after checking that its columns are identified.

    Raises:
        ClassicalFitError: A wrong shape, a value that is not finite, or a column that the others
            and the cutpoints determine; the message names the column.
    """
    matrix: Floats = np.asarray(design, dtype=float)
    if matrix.shape != (n_rows, len(names)):
        raise ClassicalFitError(
            f"design: expected {n_rows} rows and {len(names)} columns ({', '.join(names)}), "
            f"got shape {matrix.shape}."
        )
    broken = np.argwhere(~np.isfinite(matrix))
    if broken.size:
        row, column = broken[0]
        raise ClassicalFitError(
            f"design: column {names[column]!r} holds {matrix[row, column]} in row {row}; "
            "drop or impute such rows before the fit."
        )
    centred = matrix - matrix.mean(axis=0)
    scale = np.linalg.norm(centred, axis=0)
    for j, name in enumerate(names):
        if scale[j] <= 1e-10 * np.sqrt(n_rows) * (1 + np.abs(matrix[:, j]).max()):
            raise ClassicalFitError(
                f"design: column {name!r} is constant, its effect cannot be told from the "
                "cutpoints; leave it out."
            )
        if np.linalg.matrix_rank(centred[:, : j + 1] / scale[: j + 1], tol=1e-9) <= j:
            raise ClassicalFitError(
                f"design: column {name!r} is a linear combination of the columns before it; "
                "leave it out."
            )
    return matrix


def check_overlap(levels: npt.NDArray[np.int64], design: Floats, names: Sequence[str]) -> None:
    r"""Check that a finite estimate exists, by a linear program for a direction of recession.

    The likelihood has no maximum where moving along some :math:`(\Delta\zeta, \Delta b)` never
    lowers an upper argument :math:`\zeta_y - x^\top b` and never raises a lower one
    :math:`\zeta_{y-1} - x^\top b`, without leaving all as they are: (quasi-)separation. There polr
    returns a finite coefficient with a small standard error, and no warning.

    Raises:
        ClassicalFitError: Such a direction exists; the message names the columns it moves.

    References:
        Albert and Anderson (1984), Biometrika 71.
    """
    scaled = (design - design.mean(axis=0)) / design.std(axis=0)
    top = levels.max()
    upper = _cutpoint_minus_shift(levels, scaled, levels < top, top)
    lower = _cutpoint_minus_shift(levels - 1, scaled, levels > 0, top)
    # never positive in a direction of recession; the program makes their sum as small as it can
    changes = np.vstack([-upper, lower])
    result: Any = linprog(
        changes.sum(axis=0), A_ub=changes, b_ub=np.zeros(len(changes)), bounds=(-1.0, 1.0)
    )
    if result.status != 0:
        raise ClassicalFitError(f"the check for separation failed: {result.message}")
    if result.fun < -1e-6:
        moved = [name for name, x in zip(names, result.x[top:], strict=True) if abs(x) > 1e-6]
        raise ClassicalFitError(
            f"the levels of the outcome are separated by {', '.join(map(repr, moved))}: the "
            "likelihood grows without end and no finite estimate exists. Merge levels or leave "
            "the column out."
        )


def _cutpoint_minus_shift(
    cutpoint: npt.NDArray[np.int64], design: Floats, rows: npt.NDArray[np.bool_], n_cutpoints: int
) -> Floats:
    """Matrix that maps (cutpoints, coefficients) to the arguments of the selected rows."""
    return np.hstack([np.eye(n_cutpoints)[cutpoint[rows]], -design[rows]])
