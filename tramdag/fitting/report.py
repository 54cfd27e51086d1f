"""What a fit leaves behind: one row per node, and the history of every epoch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from tramdag.data import Values

__all__ = [
    "ANY_VALUE",
    "HISTORY_COLUMNS",
    "TRAJECTORY_COLUMNS",
    "FitReport",
    "NodeHistory",
    "NodeReport",
    "hash_of_rows",
]

HISTORY_COLUMNS = ("node", "epoch", "train", "validation", "learning_rate", "seconds")
TRAJECTORY_COLUMNS = ("node", "epoch", "parent", "level", "estimate")

ANY_VALUE = "any value"
"""Where a coefficient goes that the rows do not determine, since they separate the levels."""


@dataclass(frozen=True)
class NodeReport:
    """How one node was fitted.

    Attributes:
        node: The node's name.
        solver: ``"exact"`` (global optimum with certificate), ``"quasi-newton"`` or ``"adam"``.
        epochs: Newton steps, or passes over the training rows.
        n: Rows that entered the likelihood; with case weights those of positive weight.
        nll: Mean negative log-likelihood on them at the final parameters, nats per row, weighted
            if they have weights.
        validation_nll: The same on the validation rows, None where there are none.
        converged: The certificate holds (exact), or the fit ended by itself, not at its last epoch.
        seconds: Wall time.
        kkt_residual: See :class:`~tramdag.fitting.exact.Certificate`; None for the others.
        newton_decrement: Likewise, nats.
        active_bounds: Increments at their bound.
        inestimable: Coefficients held at zero, as ``parent`` or ``parent=level``.
        separated: Coefficients and cutpoints without a finite estimate, since the levels are
            separated: ``T=1 -> +inf`` runs off to infinity, ``Age -> any value`` may have any value
            at the supremum of the likelihood, ``theta[5]`` is one of both.
        total_weight: Sum of the case weights, None without weights.
    """

    node: str
    solver: str
    epochs: int
    n: int
    nll: float
    validation_nll: float | None
    converged: bool
    seconds: float
    kkt_residual: float | None = None
    newton_decrement: float | None = None
    active_bounds: tuple[int, ...] = ()
    inestimable: tuple[str, ...] = ()
    separated: tuple[str, ...] = ()
    total_weight: float | None = None

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood of all rows, weighted if they have weights, nats."""
        return -self.nll * (self.n if self.total_weight is None else self.total_weight)

    @property
    def separated_names(self) -> tuple[str, ...]:
        """The labels in ``separated``, without their direction."""
        return tuple(label.split(" -> ")[0] for label in self.separated)

    @property
    def undetermined(self) -> tuple[str, ...]:
        """The coefficients in ``separated`` that may have any value."""
        ends = (label.split(" -> ") for label in self.separated)
        return tuple(name for name, *end in ends if end == [ANY_VALUE])


@dataclass(frozen=True)
class NodeHistory:
    """The course of one node's fit, an entry per epoch; for an exact fit the solution alone.

    Attributes:
        epoch: Numbers of the epochs; of an exact fit the number of Newton steps.
        train: Mean negative log-likelihood over the epoch's batches, nats per row.
        validation: Mean negative log-likelihood of the validation rows, or None.
        learning_rate: Rate at the epoch's end, or None.
        seconds: Since the node's fit began.
        labels: Parent and level of every linear coefficient whose course is known; the level None
            for a continuous parent.
        estimates: These coefficients after every epoch, raw units; a list per epoch.
    """

    epoch: list[int]
    train: list[float]
    validation: list[float | None]
    learning_rate: list[float | None]
    seconds: list[float]
    labels: list[tuple[str, object]] = field(default_factory=list)
    estimates: list[list[float]] = field(default_factory=list)

    def curve(self, node: str) -> pd.DataFrame:
        """Columns :data:`HISTORY_COLUMNS`."""
        names = HISTORY_COLUMNS[1:]
        table = pd.DataFrame({"node": node, **{name: getattr(self, name) for name in names}})
        return table.astype({"validation": float, "learning_rate": float})

    def trajectory(self, node: str) -> pd.DataFrame:
        """Columns :data:`TRAJECTORY_COLUMNS`, all coefficients of an epoch together."""
        rows = [
            (node, epoch, parent, pd.NA if level is None else level, estimate)
            for epoch, estimates in zip(self.epoch, self.estimates, strict=False)
            for (parent, level), estimate in zip(self.labels, estimates, strict=True)
        ]
        return pd.DataFrame(rows, columns=list(TRAJECTORY_COLUMNS))


@dataclass(frozen=True)
class FitReport:
    """Report of a whole fit.

    Attributes:
        node_reports: One per node, in causal order.
        histories: Likewise, the course of each node's fit.
        rows: :func:`hash_of_rows` of the training rows; None in files of earlier releases.
    """

    node_reports: tuple[NodeReport, ...]
    histories: tuple[NodeHistory, ...] = field(repr=False)
    rows: str | None = field(default=None, repr=False)

    @property
    def nodes(self) -> pd.DataFrame:
        """The node reports as a DataFrame, one row per node."""
        return pd.DataFrame([vars(report) for report in self.node_reports])

    @cached_property
    def history(self) -> pd.DataFrame:
        """Columns node, epoch, train, validation, learning_rate, seconds; see NodeHistory."""
        return pd.concat([h.curve(name) for name, h in self._by_node()], ignore_index=True)

    @cached_property
    def trajectories(self) -> pd.DataFrame:
        """Columns node, epoch, parent, level, estimate, of gradient-trained nodes."""
        tables = [h.trajectory(name) for name, h in self._by_node() if h.estimates and h.labels]
        if tables:
            return pd.concat(tables, ignore_index=True)
        return pd.DataFrame(columns=list(TRAJECTORY_COLUMNS))

    def _by_node(self) -> list[tuple[str, NodeHistory]]:
        names = [report.node for report in self.node_reports]
        return list(zip(names, self.histories, strict=True))

    @property
    def converged(self) -> bool:
        """Whether every node converged."""
        return all(report.converged for report in self.node_reports)

    @property
    def nll(self) -> float:
        """Joint mean negative log-likelihood of the rows each node was trained on, nats per row."""
        return sum(report.nll for report in self.node_reports)

    def __str__(self) -> str:
        shown = ["node", "solver", "epochs", "n", "nll", "validation_nll", "converged", "seconds"]
        return self.nodes[[*shown, "kkt_residual"]].to_string(index=False)

    def to_plain(self) -> dict[str, Any]:
        """JSON-ready form, the inverse of :meth:`from_plain`."""
        return {
            "nodes": [vars(report) for report in self.node_reports],
            "histories": [vars(history) for history in self.histories],
            "rows": self.rows,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> FitReport:
        """Report from its plain form."""
        tuples = ("active_bounds", "inestimable", "separated")
        entries: list[dict[str, Any]] = [
            {k: tuple(v) if k in tuples else v for k, v in entry.items()}
            for entry in plain["nodes"]
        ]
        histories = [
            NodeHistory(**{**entry, "labels": [tuple(label) for label in entry["labels"]]})
            for entry in plain["histories"]
        ]
        reports = tuple(NodeReport(**entry) for entry in entries)
        return cls(reports, tuple(histories), plain.get("rows"))


def hash_of_rows(values: Values, weights: Tensor | None = None) -> str:
    """SHA-256 of a training table, in hexadecimal; the order of rows and columns does not matter.

    It tells whether two fits had the same rows. It holds no value of a row: to learn something
    from it one must guess the whole table, every digit of every row.

    Args:
        values: Encoded columns.
        weights: Case weights, shape ``(n,)``; None is all ones.
    """
    names = sorted(values)
    columns = [values[name].cpu().numpy() for name in names]
    n_keys = len(columns) + (weights is not None)  # equal weights sort nothing
    columns.append(np.ones(len(columns[0])) if weights is None else weights.cpu().numpy())
    # adding zero makes -0.0 and 0.0 the same bytes, as they are the same value
    table = np.stack(columns, -1).astype("<f8") + 0.0
    digest = hashlib.sha256("\x1f".join(names).encode())
    digest.update(table[np.lexsort(columns[:n_keys])].tobytes())
    return digest.hexdigest()
