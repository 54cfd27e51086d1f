"""The verbs that ask a fit: scores, draws, laws, counterfactuals, on all three levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from tramdag import queries
from tramdag.data import (
    Do,
    check_do,
    check_frame,
    decode_frame,
    encode_do,
    encode_frame,
    encode_latents,
    known_node,
)
from tramdag.errors import SpecError, name_list
from tramdag.flow_state import FlowBase, check_points
from tramdag.spec import OrdinalNode, is_whole_number

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
            interventions=encode_do(do, self._nodes, self._labels, int(rows)),
            latents=latents,
            seed=self._next_seed(seed),
        )
        return decode_frame(values, self._nodes, self._labels, index)

    def pmf(
        self,
        df: pd.DataFrame,
        node: str,
        do: Do | None = None,
        *,
        scope: str = "total",
        n_points: int = 512,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Probabilities of an ordinal node's levels, per row of df, under an intervention.

        Truly interventional: effects of the intervened nodes on the way to ``node`` are integrated
        out (ordinal ones by enumeration, continuous ones by scrambled Sobol points), everything
        else is taken from df. Without ``do`` this is the law given the row's parents.

        Args:
            df: Rows with the columns that are not integrated out.
            node: An ordinal node.
            do: Node names to a scalar, one value per row, or a callable of df's own column.
            scope: ``"total"``, or ``"controlled"``: mediators keep df's values, so that only do
                values of parents matter.
            n_points: Integration points, 8 times a power of two.
            seed: Seed of the points.

        Returns:
            A column per level (labels if the fit had labels), df's index; the attribute
            ``attrs["integration_error"]`` holds the largest standard error of a probability.

        Raises:
            SpecError: ``node`` or a key of ``do`` is no node, or ``node`` is continuous.
            DataError: df or a do value does not fit.
        """
        levels = self._levels_of(node, "pmf")
        query = self._query("pmf", df, node, do, scope, n_points, seed)
        return self._law_table(queries.pmf(query), df, levels)

    def cdf(
        self,
        df: pd.DataFrame,
        node: str,
        do: Do | None = None,
        *,
        at: float | Sequence[float] | None = None,
        scope: str = "total",
        n_points: int = 512,
        seed: int = 0,
    ) -> pd.DataFrame:
        """P(node <= at) per row of df under an intervention; arguments as in :meth:`pmf`.

        Args:
            df: Rows with the columns that are not integrated out.
            node: Any node; ordinal ones are compared by level code.
            do: See :meth:`pmf`.
            at: Thresholds; None takes each row's own value of the node.
            scope: See :meth:`pmf`.
            n_points: See :meth:`pmf`.
            seed: See :meth:`pmf`.

        Returns:
            A column per threshold (one named after the node if ``at`` is None).
        """
        query = self._query("cdf", df, node, do, scope, n_points, seed)
        columns, thresholds = self._thresholds(df, node, at)
        return self._law_table(queries.cdf(query, thresholds), df, columns)

    def density(
        self,
        df: pd.DataFrame,
        node: str,
        do: Do | None = None,
        *,
        at: float | Sequence[float] | None = None,
        scope: str = "total",
        n_points: int = 512,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Density of a continuous node per row of df under an intervention, per unit of the column.

        Arguments and result as in :meth:`cdf`.
        """
        query = self._query("density", df, node, do, scope, n_points, seed)
        if isinstance(self._nodes[node], OrdinalNode) or node in query.interventions:
            raise SpecError(
                f"density: node {node!r} is ordinal or set by do and has no density; use pmf, cdf."
            )
        columns, points = self._thresholds(df, node, at)
        return self._law_table(queries.density(query, points), df, columns)

    def quantile(
        self,
        df: pd.DataFrame,
        node: str,
        do: Do | None = None,
        *,
        q: float | Sequence[float] = 0.5,
        scope: str = "total",
        n_points: int = 512,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Quantiles of a node per row of df under an intervention; arguments as in :meth:`pmf`.

        Args:
            df: Rows with the columns that are not integrated out.
            node: Any node; for an ordinal one the lowest level whose cdf reaches q.
            do: See :meth:`pmf`.
            q: Quantile levels in (0, 1).
            scope: See :meth:`pmf`.
            n_points: See :meth:`pmf`.
            seed: See :meth:`pmf`.

        Returns:
            A column per quantile level, in the node's unit.
        """
        query = self._query("quantile", df, node, do, scope, n_points, seed)
        levels = np.atleast_1d(np.asarray(q, dtype=float))
        if not ((levels > 0) & (levels < 1)).all():
            raise SpecError(f"quantile: q={q!r} must lie strictly between 0 and 1.")
        return self._law_table(
            queries.quantile(query, torch.from_numpy(levels.copy())), df, levels.tolist()
        )

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
        interventions = encode_do(do, self._nodes, self._labels, len(df))
        probabilities = queries.counterfactual_pmf(self._conditionals, values, node, interventions)
        return pd.DataFrame(probabilities.cpu().numpy(), index=df.index, columns=levels)

    def _levels_of(self, node: str, verb: str) -> list[object]:
        target = self._nodes[known_node(node, self._nodes, what=verb)]
        if not isinstance(target, OrdinalNode):
            raise SpecError(f"{verb}: node {node!r} is continuous; only ordinal nodes have a pmf.")
        return list(self._labels.get(node) or range(target.levels))

    def _query(
        self,
        verb: str,
        df: pd.DataFrame,
        node: str,
        do: Do | None,
        scope: str,
        n_points: int,
        seed: int,
    ) -> queries.Query:
        self._require_fit(verb)
        known_node(node, self._nodes, what=verb)
        if scope not in queries.SCOPES:
            raise SpecError(
                f"{verb}: scope={scope!r} is unknown; allowed are {name_list(queries.SCOPES)}."
            )
        check_points(n_points, verb)
        n = check_frame(df)
        interventions = encode_do(do, self._nodes, self._labels, n)
        needed = queries.needed_columns(self._conditionals, node, interventions, scope=scope)
        return queries.Query(
            conditionals=self._conditionals,
            values=self._encode(df, columns=needed),
            node=node,
            interventions=interventions,
            n=n,
            scope=scope,
            n_points=n_points,
            seed=seed,
        )

    def _thresholds(
        self, df: pd.DataFrame, node: str, at: float | Sequence[float] | None
    ) -> tuple[list[object], torch.Tensor]:
        """Column names and thresholds ``(n, k)``."""
        if at is None:
            own = encode_frame(df, self._nodes, self._labels, columns=[node])[node]
            return [node], own.double().unsqueeze(-1)
        grid = np.atleast_1d(np.asarray(at, dtype=float))
        if grid.ndim != 1 or not np.isfinite(grid).all():
            raise SpecError(f"at={at!r} must be one finite number or a flat sequence of them.")
        return grid.tolist(), torch.from_numpy(grid.copy()).expand(len(df), -1)

    @staticmethod
    def _law_table(
        result: queries.LawResult, df: pd.DataFrame, columns: Sequence[object]
    ) -> pd.DataFrame:
        array = result.estimate.cpu().numpy().astype(np.float64)
        table = pd.DataFrame(array, index=df.index, columns=list(columns))
        table.attrs["integration_error"] = result.integration_error
        return table
