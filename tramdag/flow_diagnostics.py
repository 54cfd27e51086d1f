"""The verbs that check a fit against rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tramdag import diagnostics, queries
from tramdag.data import check_frame, known_node
from tramdag.errors import SpecError
from tramdag.flow_state import FlowBase
from tramdag.inference import check_level
from tramdag.spec import OrdinalNode, is_whole_number

__all__ = ["DiagnosticVerbs"]


class DiagnosticVerbs(FlowBase):
    """Verbs about fit; see :class:`~tramdag.CausalFlowDAG`."""

    def residuals(self, df: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
        """Latents of rows, standard logistic and independent if model and DAG are right.

        Args:
            df: Rows with every node's column, best rows that were not fitted to.
            seed: Seed of the randomised residuals of ordinal nodes.

        Returns:
            A column per node, df's index.
        """
        self._require_fit("residuals")
        latents = queries.abduct(self._conditionals, self._on_device(self._encode(df)), seed=seed)
        arrays = {name: latents[name].cpu().numpy().astype(np.float64) for name in self._nodes}
        return pd.DataFrame(arrays, index=df.index)

    def residual_tests(self, df: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
        """Tests of the residuals; see :func:`tramdag.diagnostics.residual_table`."""
        self._require_fit("residual_tests")
        values = self._encode(df)
        columns = pd.DataFrame({name: values[name].numpy() for name in self._nodes}, index=df.index)
        parents = {name: self._nodes[name].parents for name in self._order}
        return diagnostics.residual_table(self.residuals(df, seed=seed), columns, parents)

    def calibration(
        self, df: pd.DataFrame, node: str, *, bins: int = 10, level: float = 0.95
    ) -> pd.DataFrame:
        """Predicted against observed frequencies; :func:`tramdag.diagnostics.calibration_table`.

        Args:
            df: Rows with the node's column and its parents.
            node: An ordinal node.
            bins: Bins of equal size per level.
            level: Confidence level of the observed frequencies' intervals.
        """
        self._require_fit("calibration")
        check_level(level)
        target = self._nodes[known_node(node, self._nodes, what="calibration")]
        if not isinstance(target, OrdinalNode):
            raise SpecError(f"calibration: node {node!r} is continuous; use residual_tests(df).")
        if not is_whole_number(bins, at_least=1):
            raise SpecError(f"calibration: bins={bins!r} must be a whole number of at least 1.")
        needed = queries.needed_columns(self._conditionals, node, {})
        query = queries.Query(
            self._conditionals, self._encode(df, columns=needed), node, {}, n=check_frame(df)
        )
        names = list(self._labels.get(node) or range(target.levels))
        probabilities = pd.DataFrame(queries.pmf(query).estimate.cpu().numpy(), columns=names)
        observed = self._encode(df, columns=[node])[node].numpy()
        return diagnostics.calibration_table(probabilities, observed, bins=bins, confidence=level)
