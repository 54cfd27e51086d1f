"""What a fit leaves behind: one row per node, and the history of every epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

__all__ = ["HISTORY_COLUMNS", "FitReport", "NodeReport"]

HISTORY_COLUMNS = ("node", "epoch", "train", "validation", "learning_rate", "seconds")


@dataclass(frozen=True)
class NodeReport:
    """How one node was fitted.

    Attributes:
        node: The node's name.
        solver: ``"exact"`` (global optimum with certificate) or ``"adam"``.
        epochs: Newton steps, or passes over the training rows.
        n: Rows that entered the likelihood.
        nll: Mean negative log-likelihood on them at the final parameters, nats per row.
        validation_nll: The same on the validation rows, None where there are none.
        converged: The certificate holds (exact), or the schedule ended by itself (adam).
        seconds: Wall time.
        kkt_residual: See :class:`~tramdag.fitting.exact.Certificate`; None for adam.
        newton_decrement: Likewise, nats.
        active_bounds: Increments at their bound.
        inestimable: Coefficients held at zero, as ``parent`` or ``parent=level``.
        separated: Coefficients and cutpoints whose estimate runs off to infinity, as
            ``T=1 -> +inf`` or ``theta[5]``.
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

    @property
    def separated_names(self) -> tuple[str, ...]:
        """The labels in ``separated``, without their direction."""
        return tuple(label.split(" -> ")[0] for label in self.separated)


@dataclass(frozen=True)
class FitReport:
    """Report of a whole fit.

    Attributes:
        node_reports: One per node, in causal order.
        history: Columns node, epoch, train and validation (mean negative log-likelihood in nats per
            row), learning_rate, seconds (since the node's fit began); one row per node and epoch,
            for exact nodes the solution alone.
        trajectories: Columns node, epoch, parent, level, estimate: the linear coefficients of
            gradient-trained nodes after every epoch, raw units.
    """

    node_reports: tuple[NodeReport, ...]
    history: pd.DataFrame = field(repr=False)
    trajectories: pd.DataFrame = field(repr=False)

    @property
    def nodes(self) -> pd.DataFrame:
        """The node reports as a DataFrame, one row per node."""
        return pd.DataFrame([vars(report) for report in self.node_reports])

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
            "history": self.history.to_dict("list"),
            "trajectories": self.trajectories.astype(object)
            .where(self.trajectories.notna(), None)
            .to_dict("list"),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> FitReport:
        """Report from its plain form."""
        tuples = ("active_bounds", "inestimable", "separated")
        entries: list[dict[str, Any]] = [
            {k: tuple(v) if k in tuples else v for k, v in entry.items()}
            for entry in plain["nodes"]
        ]
        reports = tuple(NodeReport(**entry) for entry in entries)
        trajectories = pd.DataFrame(plain["trajectories"])
        # JSON knows no <NA>: the level of a continuous parent comes back as None
        trajectories["level"] = [pd.NA if v is None else v for v in trajectories["level"]]
        return cls(reports, pd.DataFrame(plain["history"]), trajectories)
