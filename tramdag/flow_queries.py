"""The verbs that move rows through a fit: scores, draws, latents, counterfactuals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tramdag import queries
from tramdag.data import Do, check_do, decode_frame, encode_latents
from tramdag.errors import SpecError
from tramdag.flow_state import FlowBase
from tramdag.spec import is_whole_number

__all__ = ["QueryVerbs"]


class QueryVerbs(FlowBase):
    """Verbs about variables; see :class:`~tramdag.CausalFlowDAG`."""

    def log_prob(self, df: pd.DataFrame) -> np.ndarray:
        """Joint log density of every row in nats (mass for ordinal nodes); shape ``(n,)``."""
        return self.node_log_prob(df).sum(axis=1).to_numpy()

    def node_log_prob(self, df: pd.DataFrame) -> pd.DataFrame:
        """Log density of each node given its parents, in nats; a column per node."""
        self._require_fit("log_prob")
        values = queries.log_prob(self._conditionals, self._encode(df))
        arrays = {name: values[name].cpu().numpy().astype(np.float64) for name in self._nodes}
        return pd.DataFrame(arrays, index=df.index)

    def nll(self, df: pd.DataFrame) -> float:
        """Mean negative joint log density, in nats per row."""
        return float(-self.log_prob(df).mean())

    def sample(
        self,
        n: int | None = None,
        *,
        do: Do | None = None,
        u: pd.DataFrame | None = None,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Draw rows, or push given latents through the model.

        Without ``do`` and ``u``: observational rows. With ``do``: interventional rows; the edges
        into the named nodes are cut. With ``u = abduct(df)``: the counterfactuals of df's rows
        (without ``do``: the rows themselves, ordinal columns level for level).

        Draws given evidence are not offered: ``pmf``, ``cdf``, ``density`` and ``quantile`` answer
        with ``df=None, evidence={...}`` without sampling noise, and ``sample(u=abduct(df))`` what
        observed rows would have done. Given values of ordinal nodes alone, rows of a large sample
        that show them are draws, too.

        Args:
            n: Number of rows; not needed with ``u``.
            do: Node names to a scalar, one value per row, or a callable of the natural values.
            u: Latents, one column per node; those of intervened nodes are not needed.
            seed: Seed of fresh latents; None takes the next of the flow's stream. The same seed
                gives the same latents whatever ``do`` is, so arms share their noise.

        Returns:
            A DataFrame with a column per node, in the specification's order.

        Raises:
            SpecError: ``do`` names no node, or neither n nor u is given.
            DataError: A do value is impossible, or u has a wrong shape.
        """
        self._require_fit("sample")
        if n is None and u is None:
            raise SpecError("sample: give the number of rows n, or latents u from abduct(df).")
        if n is not None and not is_whole_number(n, at_least=1):
            raise SpecError(f"sample: n={n!r} must be a whole number of at least 1.")
        latents, index, rows = None, None, n
        if u is not None:
            # a callable acts on the value that the row's own latent gives
            check_do(do or {})
            given = [name for name, value in (do or {}).items() if not callable(value)]
            latents = encode_latents(u, self._nodes, n=n, given=given)
            index, rows = u.index, len(u)
        assert rows is not None
        values = queries.sample(
            self._conditionals,
            int(rows),
            interventions=self._interventions(do, int(rows)),
            latents=latents,
            seed=self._next_seed(seed),
        )
        return decode_frame(values, self._nodes, self._labels, index)

    def abduct(self, df: pd.DataFrame, *, seed: int | None = None) -> pd.DataFrame:
        """Latents of observed rows, a column per node, standard logistic.

        Continuous: u = h(x) + shifts, exactly. Ordinal: the row only fixes the interval
        (c_{k-1}, c_k] of the latent, from which one truncated draw is taken.

        Args:
            df: Rows with every node's column.
            seed: Seed of the draws for ordinal nodes; None takes the next of the flow's stream.
        """
        self._require_fit("abduct")
        latents = queries.abduct(self._conditionals, self._encode(df), seed=self._next_seed(seed))
        arrays = {name: latents[name].cpu().numpy().astype(np.float64) for name in self._nodes}
        return pd.DataFrame(arrays, index=df.index)

    def counterfactual_pmf(self, df: pd.DataFrame, node: str, do: Do | None = None) -> pd.DataFrame:
        r"""Law of an ordinal node in the world where ``do`` had held, for fully observed rows.

        .. math:: P(Y' = j \mid y) =
            [F(\min(c_y, c'_j)) - F(\max(c_{y-1}, c'_{j-1}))]_+ / [F(c_y) - F(c_{y-1})]

        exact, chains of ordinal effects by enumeration; see :mod:`tramdag.queries.counterfactual`.
        It assumes that a row keeps its latents across worlds, which no data can test.

        Args:
            df: Rows with every node's column.
            node: An ordinal node.
            do: Node names to a scalar, one value per row, or a callable of the factual values.

        Returns:
            A column per level, df's index; rows sum to one.

        Raises:
            SpecError: ``node`` or a key of ``do`` is no node, or ``node`` is continuous.
            DataError: df or a do value does not fit.
        """
        self._require_fit("counterfactual_pmf")
        levels = self._levels_of(node, "counterfactual_pmf")
        values = self._encode(df)
        interventions = self._interventions(do, len(df))
        probabilities = queries.counterfactual_pmf(self._conditionals, values, node, interventions)
        return pd.DataFrame(probabilities.cpu().numpy(), index=df.index, columns=levels)
