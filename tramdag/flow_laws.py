"""The verbs that ask for the law of a node: pmf, cdf, density, quantile."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from tramdag import queries
from tramdag.arguments import check_choice, flat_numbers, shown
from tramdag.data import Do, check_frame, encode_evidence, known_node
from tramdag.errors import IntegrationWarning, SpecError, name_list
from tramdag.flow_state import FlowBase, check_points
from tramdag.spec import OrdinalNode, descendants

__all__ = ["LawVerbs"]

Evidence = Mapping[str, Any]

_FEW_EFFECTIVE_POINTS = 32


class LawVerbs(FlowBase):
    """Laws of nodes; see :class:`~tramdag.CausalFlowDAG`."""

    def pmf(
        self,
        df: pd.DataFrame | None,
        node: str,
        do: Do | None = None,
        *,
        evidence: Evidence | None = None,
        scope: str = "total",
        n_points: int = 512,
        seed: int = 0,
    ) -> pd.DataFrame:
        r"""Probabilities of an ordinal node's levels under an intervention.

        Truly interventional. Per row of df: effects of the intervened nodes on the way to ``node``
        are integrated out (ordinal ones by enumeration, continuous ones by scrambled Sobol points),
        everything else is taken from df. Without ``do`` this is the law given the row's parents.

        With ``df=None`` the question is about the population, :math:`P(node \mid do, evidence)`:
        every cause that is not given is integrated out under the model, its law updated by the
        evidence (Bayes' rule, by self-normalised likelihood weighting; exact where all of these
        causes are ordinal). The answer has one row, or one per value where ``do`` or ``evidence``
        hold arrays.

        Args:
            df: Rows with the columns that are not integrated out, or None for the population.
            node: An ordinal node.
            do: Node names to a scalar, one value per row, or a callable of the natural value (df's
                own column; for the population the value that the model gives).
            evidence: For the population: node names to observed values, of nodes that the
                intervention does not change. None and ``{}`` ask for the marginal law.
            scope: ``"total"``, or ``"controlled"``: mediators keep df's values, so that only do
                values of parents matter.
            n_points: Integration points, 8 times a power of two.
            seed: Seed of the points.

        Returns:
            A column per level (labels if the fit had labels), df's index; the attribute
            ``attrs["integration_error"]`` holds the largest standard error of a probability and,
            for the population, ``attrs["effective_sample_size"]`` the smallest number of points
            that the evidence leaves (infinite where no point is weighed).

        Raises:
            SpecError: ``node`` or a key of ``do`` or ``evidence`` is no node, ``node`` is
                continuous, or ``evidence`` names an effect of an intervened node.
            DataError: df or a value does not fit, or the evidence is impossible.
        """
        levels = self._levels_of(node, "pmf")
        query = self._query("pmf", df, node, do, evidence, scope, n_points, seed)
        return _law_table(queries.pmf(query), query, df, levels)

    def cdf(
        self,
        df: pd.DataFrame | None,
        node: str,
        do: Do | None = None,
        *,
        at: float | Sequence[float] | None = None,
        evidence: Evidence | None = None,
        scope: str = "total",
        n_points: int = 512,
        seed: int = 0,
    ) -> pd.DataFrame:
        """P(node <= at) under an intervention; arguments as in :meth:`pmf`.

        Args:
            df: See :meth:`pmf`.
            node: Any node; ordinal ones are compared by level code.
            do: See :meth:`pmf`.
            at: Thresholds; None takes each row's own value of the node.
            evidence: See :meth:`pmf`.
            scope: See :meth:`pmf`.
            n_points: See :meth:`pmf`.
            seed: See :meth:`pmf`.

        Returns:
            A column per threshold (one named after the node if ``at`` is None).
        """
        query = self._query("cdf", df, node, do, evidence, scope, n_points, seed)
        columns, thresholds = self._thresholds(df, query, at)
        return _law_table(queries.cdf(query, thresholds), query, df, columns)

    def density(
        self,
        df: pd.DataFrame | None,
        node: str,
        do: Do | None = None,
        *,
        at: float | Sequence[float] | None = None,
        evidence: Evidence | None = None,
        scope: str = "total",
        n_points: int = 512,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Density of a continuous node under an intervention, per unit of the column.

        Arguments and result as in :meth:`cdf`.
        """
        query = self._query("density", df, node, do, evidence, scope, n_points, seed)
        if isinstance(self._nodes[node], OrdinalNode) or node in query.interventions:
            raise SpecError(
                f"density: node {node!r} is ordinal or set by do and has no density; use pmf, cdf."
            )
        columns, points = self._thresholds(df, query, at)
        return _law_table(queries.density(query, points), query, df, columns)

    def quantile(
        self,
        df: pd.DataFrame | None,
        node: str,
        do: Do | None = None,
        *,
        q: float | Sequence[float] = 0.5,
        evidence: Evidence | None = None,
        scope: str = "total",
        n_points: int = 512,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Quantiles of a node under an intervention; arguments as in :meth:`pmf`.

        Args:
            df: See :meth:`pmf`.
            node: Any node; for an ordinal one the lowest level whose cdf reaches q.
            do: See :meth:`pmf`.
            q: Quantile levels in (0, 1).
            evidence: See :meth:`pmf`.
            scope: See :meth:`pmf`.
            n_points: See :meth:`pmf`.
            seed: See :meth:`pmf`.

        Returns:
            A column per quantile level, in the node's unit.
        """
        query = self._query("quantile", df, node, do, evidence, scope, n_points, seed)
        levels = flat_numbers(q, what="quantile: q")
        if not ((levels > 0) & (levels < 1)).all():
            raise SpecError(f"quantile: q={shown(q)} must lie strictly between 0 and 1.")
        result = queries.quantile(query, torch.from_numpy(levels))
        return _law_table(result, query, df, levels.tolist())

    def _query(
        self,
        verb: str,
        df: pd.DataFrame | None,
        node: str,
        do: Do | None,
        evidence: Evidence | None,
        scope: str,
        n_points: int,
        seed: int,
    ) -> queries.Query:
        self._require_fit(verb)
        known_node(node, self._nodes, what=verb)
        check_choice(scope, queries.SCOPES, what=f"{verb}: scope")
        check_points(n_points, verb)
        if df is None:
            if scope != "total":
                raise SpecError(
                    f"{verb}: scope={scope!r} keeps the rows' mediators, but df is None; give rows."
                )
            n = _n_rows(do, evidence)
            interventions = self._interventions(do, n)
            values = encode_evidence(evidence, self._nodes, self._labels, n)
            self._check_evidence(verb, node, interventions, values)
        else:
            if evidence is not None:
                raise SpecError(
                    f"{verb}: rows df and evidence= exclude each other, since what df holds is "
                    "given already; ask for the population with df=None."
                )
            n = check_frame(df)
            interventions = self._interventions(do, n)
            needed = queries.needed_columns(self._conditionals, node, interventions, scope=scope)
            values = self._encode(df, columns=needed)
        return queries.Query(
            conditionals=self._conditionals,
            values=values,
            node=node,
            interventions=interventions,
            n=n,
            scope=scope,
            n_points=n_points,
            seed=seed,
            population=df is None,
        )

    def _check_evidence(
        self, verb: str, node: str, do: Mapping[str, object], evidence: Mapping[str, object]
    ) -> None:
        """Refuse evidence that asks another question than what holds under the intervention."""
        if node in evidence:
            raise SpecError(f"{verb}: evidence holds the asked node {node!r} itself; leave it out.")
        both = [name for name in evidence if name in do]
        if both:
            raise SpecError(
                f"{verb}: {name_list(both)} stands in do and in evidence; conditioning on the "
                "value that a set node would have had is a counterfactual question, see "
                "sample(u=abduct(df)) and counterfactual_pmf."
            )
        effects = [name for name in evidence if name in descendants(self._nodes, do)]
        if effects:
            raise SpecError(
                f"{verb}: evidence on {name_list(effects)} conditions on a consequence of "
                f"do({', '.join(do)}), which compares different individuals under different "
                "interventions; allowed is evidence on nodes that the intervention does not "
                "change. For what an observed individual would have done use "
                "counterfactual_pmf(df)."
            )

    def _thresholds(
        self, df: pd.DataFrame | None, query: queries.Query, at: float | Sequence[float] | None
    ) -> tuple[list[object], torch.Tensor]:
        """Column names and thresholds ``(n, k)``."""
        if at is None:
            if df is None:
                raise SpecError("at=None takes each row's own value, but df is None; give at=.")
            own = self._encode(df, columns=[query.node])[query.node]
            return [query.node], own.double().unsqueeze(-1)
        grid = flat_numbers(at, what="at")
        return grid.tolist(), torch.from_numpy(grid).expand(query.n, -1)


def _n_rows(do: Do | None, evidence: Evidence | None) -> int:
    """Rows that a question about the population asks for: the longest array's, else one."""
    given = [m for m in (do, evidence) if isinstance(m, Mapping)]
    columns = [c for m in given for c in m.values() if hasattr(c, "__len__")]
    lists = [c for c in columns if not isinstance(c, str) and getattr(c, "ndim", 1) != 0]
    return max([1, *map(len, lists)])


def _law_table(
    result: queries.LawResult,
    query: queries.Query,
    df: pd.DataFrame | None,
    columns: Sequence[object],
) -> pd.DataFrame:
    array = result.estimate.cpu().numpy().astype(np.float64)
    index = None if df is None else df.index
    table = pd.DataFrame(array, index=index, columns=list(columns))
    table.attrs["integration_error"] = result.integration_error
    if query.population:
        size = result.effective_sample_size
        table.attrs["effective_sample_size"] = size
        if size < _FEW_EFFECTIVE_POINTS:
            warnings.warn(
                f"only {size:.1f} of {query.n_points} integration points agree with the evidence "
                f"on {name_list(query.values)}, so the answer and its reported error are not to "
                f"be trusted; raise n_points, for example to {64 * query.n_points}.",
                IntegrationWarning,
                stacklevel=3,
            )
    return table
