"""The verbs that read a fit: coefficients, covariances, intervals, curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from tramdag import inference, queries
from tramdag.arguments import check_choice, shown
from tramdag.data import encode_do, encode_weights, known_node
from tramdag.errors import DataError, SpecError, name_list
from tramdag.fitting import hash_of_rows
from tramdag.flow_state import FlowBase
from tramdag.node import ContinuousConditional
from tramdag.spec import CI, OrdinalNode

__all__ = ["InferenceVerbs", "compare"]


def compare(smaller: InferenceVerbs, larger: InferenceVerbs) -> pd.DataFrame:
    r"""Likelihood-ratio test of two nested flows fitted exactly to the same rows.

    .. math:: 2(\ell_1 - \ell_0) \sim \chi^2_{p_1 - p_0}

    Args:
        smaller: The flow with fewer terms.
        larger: The flow that contains it.

    Returns:
        Columns node, statistic, df, p; the nodes that differ, and ``"joint"`` last.

    Raises:
        SpecError: Other nodes or rows, a differing node that is not exact, or models not nested.
    """
    for which, flow in (("first", smaller), ("second", larger)):
        if not isinstance(flow, InferenceVerbs):
            raise SpecError(f"compare: the {which} argument is {shown(flow)}; give a fitted flow.")
    rows = {smaller.report.rows, larger.report.rows}
    if smaller.spec.keys() == larger.spec.keys() and None not in rows and len(rows) > 1:
        raise SpecError(
            "compare: the flows were fitted to different rows or case weights, so their "
            "likelihoods cannot be compared. Fit both to one table, with the same rows dropped "
            "(for missing values, for example) and the same weights."
        )
    return inference.likelihood_ratio_test(smaller.fit_statistics(), larger.fit_statistics())


class InferenceVerbs(FlowBase):
    """Verbs about parameters; see :class:`~tramdag.CausalFlowDAG`."""

    def attach(self, train_df: pd.DataFrame, weights: ArrayLike | None = None) -> Self:
        """Give a loaded flow its training rows back, which no checkpoint holds; returns the flow.

        Cluster covariances, profile intervals and tests need them.

        Args:
            train_df: The rows of the fit.
            weights: Their case weights, if it had some: by position, whatever the indices are.

        Raises:
            DataError: They are not the rows of the fit: their likelihood or their hash differs from
                the report's.
        """
        self._require_fit("attach")
        rows = self._on_device(self._encode(train_df))
        case_weights = None if weights is None else encode_weights(weights, len(train_df))
        share = (
            torch.ones(len(train_df), dtype=torch.float64) if case_weights is None else case_weights
        )
        n = int((share > 0).sum())
        for entry in self.report.node_reports:
            if entry.solver != "exact":
                continue
            log_prob = queries.log_prob(self._conditionals, rows)[entry.node].cpu()
            # a row of weight zero may even be impossible under the fit
            nll = -float((log_prob * share)[share > 0].sum() / share.sum())
            if n != entry.n or abs(nll - entry.nll) > 1e-6:
                raise DataError(
                    f"attach: node {entry.node!r} was fitted to {entry.n} rows with a mean "
                    f"negative log-likelihood of {entry.nll:.6f}; these {n} rows give "
                    f"{nll:.6f}."
                )
        stored = self.report.rows
        if stored is not None and hash_of_rows(rows, case_weights) != stored:
            raise DataError(
                "attach: these are not the rows and case weights of the fit, whose hash differs, "
                "even where their likelihood does not. Give the table as it was fitted, with every "
                "digit; the order of its rows does not matter."
            )
        self._training, self._weights = rows, case_weights
        return self

    def coef(self) -> pd.DataFrame:
        """Linear shift coefficients; see :func:`tramdag.inference.coefficients`."""
        self._require_fit("coef")
        return inference.coefficients(self._conditionals)

    def odds_ratios(self, level: float = 0.95) -> pd.DataFrame:
        """Odds ratios exp(beta) of all linear coefficients with Wald intervals.

        Per unit of the parent, or against level 0: the factor on the odds of X <= x (continuous
        nodes) or of X > k (ordinal nodes).

        Returns:
            Columns node, parent, level, reference, odds_ratio, lower, upper, status.
        """
        table = self.summary(level=level)
        kept = ["node", "parent", "level", "reference"]
        ratios = table[[*kept, "odds_ratio", "odds_ratio_lower", "odds_ratio_upper", "status"]]
        return ratios.rename(columns={"odds_ratio_lower": "lower", "odds_ratio_upper": "upper"})

    def vcov(
        self, node: str, kind: str = "observed", *, cluster: ArrayLike | None = None
    ) -> pd.DataFrame:
        """Covariance of a node's parameters; see :func:`tramdag.inference.covariance`.

        Args:
            node: A node's name.
            kind: ``"observed"`` or ``"sandwich"``.
            cluster: One label per training row, by position; the sandwich then sums scores within
                clusters. It has no small-sample factor: with few clusters multiply the covariance
                by G / (G - 1), G their number, or by G / (G - 1) (n - 1) / (n - q) with n rows and
                q parameters as other programs do (standard errors by its root).

        Returns:
            A square table: coefficients in raw units, then (classical nodes) theta.
        """
        self._require_fit("vcov")
        conditional = self._conditionals[known_node(node, self._nodes, what="vcov")]
        sums = None
        if cluster is not None:
            if kind != "sandwich":
                raise SpecError("vcov: cluster= goes with kind='sandwich'.")
            rows = self._rows("vcov(cluster=)")
            scores = inference.scores_of(conditional, rows, weights=self._weights)
            sums = inference.cluster_sums(scores, cluster)
        return inference.covariance(
            conditional, self._information_of(node), kind=kind, cluster_scores=sums
        )

    def summary(
        self,
        node: str | None = None,
        *,
        level: float = 0.95,
        kind: str = "observed",
        cluster: ArrayLike | None = None,
    ) -> pd.DataFrame:
        """Wald table of the linear coefficients; see :func:`tramdag.inference.summary_table`.

        Args:
            node: One node, or None for all.
            level: Confidence level of the intervals.
            kind: ``"observed"`` or ``"sandwich"`` standard errors.
            cluster: See :meth:`vcov`.

        Returns:
            One row per coefficient; ``attrs["fit"]`` holds :meth:`fit_statistics` as dicts by node.
        """
        self._require_fit("summary")
        inference.check_level(level)
        names = self._order if node is None else [known_node(node, self._nodes, what="summary")]
        tables = []
        for name in names:
            conditional = self._conditionals[name]
            if conditional.linear.columns:
                matrix = self.vcov(name, kind, cluster=cluster)
                information = self._information_of(name)
                tables.append(
                    inference.summary_table(
                        conditional, information, matrix, self._entry(name), level=level
                    )
                )
        empty = pd.DataFrame(columns=inference.SUMMARY_COLUMNS)
        table = pd.concat(tables, ignore_index=True) if tables else empty
        statistics = self.fit_statistics().set_index("node").loc[list(names)]
        table.attrs["fit"] = statistics.to_dict("index")
        return table

    def fit_statistics(self) -> pd.DataFrame:
        """Log-likelihood, AIC, BIC, certificate; see :func:`tramdag.inference.fit_statistics`."""
        self._require_fit("fit_statistics")
        exact = [r.node for r in self.report.node_reports if r.solver == "exact"]
        information = {name: self._information_of(name) for name in exact}
        return inference.fit_statistics(self.report, information)

    def term_tests(self, node: str | None = None) -> pd.DataFrame:
        """Score tests of linear shifts against richer terms; :mod:`tramdag.inference.term_tests`.

        Args:
            node: One classical node, or None for all of them.

        Returns:
            Columns node, parent, level, alternative, statistic, df, p. On an ordinal node the
            alternative ``"ci"`` is the proportional-odds test.
        """
        self._require_fit("term_tests")
        classical = [n for n, c in self._conditionals.items() if c.is_classical]
        names = classical if node is None else [known_node(node, self._nodes, what="term_tests")]
        rows = self._rows("term_tests")
        tables = [
            inference.term_tests(
                self._conditionals[name], self._information_of(name), rows, weights=self._weights
            )
            for name in names
        ]
        filled = [table for table in tables if len(table)]
        if filled:
            return pd.concat(filled, ignore_index=True)
        return tables[0] if tables else pd.DataFrame(columns=inference.TERM_TEST_COLUMNS)

    def confidence_interval(
        self,
        node: str,
        coefficient: str,
        *,
        level: float = 0.95,
        method: str = "wald",
    ) -> tuple[float, float]:
        """Interval of one linear coefficient, raw units.

        Args:
            node: The child.
            coefficient: Its label as in :meth:`vcov`, for example ``"Age"`` or ``"T=1"``.
            level: Confidence level.
            method: ``"wald"``, or ``"profile"`` (classical nodes), which is one-sided where the
                data separate the levels.

        Raises:
            SpecError: Unknown node, coefficient or method.
        """
        self._require_fit("confidence_interval")
        inference.check_level(level)
        conditional = self._conditionals[known_node(node, self._nodes, what="confidence_interval")]
        labels = [column.name for column in conditional.linear.columns]
        if not isinstance(coefficient, str) or coefficient not in labels:
            raise SpecError(
                f"confidence_interval: node {node!r} has no coefficient {shown(coefficient)}; it "
                f"has {name_list(labels)}."
            )
        check_choice(method, ("wald", "profile"), what="confidence_interval: method")
        index = labels.index(coefficient)
        if method == "wald":
            row = self.summary(node, level=level).iloc[index]
            return float(row["lower"]), float(row["upper"])
        rows = self._rows("profile intervals")
        found = inference.profile_interval(
            conditional, rows, index, level=level, weights=self._weights
        )
        return found.lower, found.upper

    def cutpoints(self, node: str) -> np.ndarray:
        """Cutpoints of an ordinal node in raw units; see :func:`tramdag.inference.cutpoints`."""
        self._require_fit("cutpoints")
        return inference.cutpoints(
            self._conditionals[known_node(node, self._nodes, what="cutpoints")]
        )

    def shift_curve(self, node: str, parent: str, values: Sequence[float]) -> pd.DataFrame:
        """Fitted shift of one parent on a child; see :func:`tramdag.inference.shift_curve`."""
        self._require_fit("shift_curve")
        known_node(node, self._nodes, what="shift_curve")
        known_node(parent, self._nodes, what="shift_curve")
        array = _grid(values, "shift_curve")
        grid = self._on_device(self._encode(pd.DataFrame({parent: array}), columns=[parent]))
        return inference.shift_curve(self._conditionals[node], parent, grid, array)

    def odds_ratio_curve(
        self,
        node: str,
        parent: str,
        over: str,
        values: ArrayLike,
        *,
        change: tuple[Any, Any] = (0, 1),
        level: float = 0.95,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Odds ratio of changing one parent, as a function of another, with bands.

        Args:
            node: The child.
            parent: The parent that changes.
            over: The parent that the odds ratio may vary with.
            values: Values of ``over``.
            change: The parent's two values; the odds ratio is that of the second against the first.
            level: Confidence level of the pointwise and of the simultaneous band.
            seed: Seed of the draws behind the simultaneous band.

        Returns:
            Column ``over`` and those of :func:`tramdag.inference.odds_ratio_curve`. Parents other
            than these two cancel unless a term joins them with ``parent``; they are then held at
            their lowest level, continuous ones at zero.

        Raises:
            SpecError: One of the names is no parent of the node.
        """
        self._require_fit("odds_ratio_curve")
        inference.check_level(level)
        conditional = self._conditionals[known_node(node, self._nodes, what="odds_ratio_curve")]
        for name in (parent, over):
            if not isinstance(name, str) or name not in conditional.parents:
                raise SpecError(
                    f"odds_ratio_curve: {shown(name)} is no parent of {node!r}; its parents are "
                    f"{name_list(conditional.parents)}."
                )
        if parent == over:
            raise SpecError(f"odds_ratio_curve: over= must be another parent than {parent!r}.")
        if any(parent in t.parents for t in conditional.node.terms if isinstance(t, CI)):
            raise SpecError(
                f"odds_ratio_curve: {parent!r} enters {node!r} by a complex intercept, so its odds "
                "ratio differs along the outcome; use pmf or cdf."
            )
        if not isinstance(change, (tuple, list)) or len(change) != 2:
            raise SpecError(
                f"odds_ratio_curve: change={shown(change)} must be two values of {parent!r}, such "
                "as (0, 1)."
            )
        grid = _grid(values, "odds_ratio_curve")
        n = len(grid)
        base = {name: torch.zeros(n, dtype=torch.float64) for name in conditional.parents}
        for name in conditional.parents:
            if isinstance(self._nodes[name], OrdinalNode):
                base[name] = base[name].to(torch.int64)
        tables = []
        for v in change:
            fixed = encode_do({over: grid, parent: v}, self._nodes, self._labels, n)
            values_of = {k: x for k, x in fixed.items() if isinstance(x, torch.Tensor)}
            tables.append(self._on_device({**base, **values_of}))
        curve = inference.odds_ratio_curve(
            conditional, self._information_of(node), *tables, n=n, level=level, seed=seed
        )
        curve.insert(0, over, grid)
        return curve

    def transformation(self, df: pd.DataFrame, node: str) -> pd.DataFrame:
        """h(x) of a continuous node and its log derivative per unit of x, shifts left out.

        Args:
            df: Rows with the node's column and its parents.
            node: A continuous node.

        Returns:
            Columns x, h, log_derivative; df's index.
        """
        self._require_fit("transformation")
        conditional = self._conditionals[known_node(node, self._nodes, what="transformation")]
        if not isinstance(conditional, ContinuousConditional):
            raise SpecError(f"transformation: node {node!r} is ordinal; use cutpoints({node!r}).")
        values = self._encode(df, columns=[node, *conditional.parents])
        h, log_derivative = inference.transformation(conditional, values)
        columns = {"x": values[node], "h": h, "log_derivative": log_derivative}
        return pd.DataFrame({k: v.cpu().numpy() for k, v in columns.items()}, index=df.index)


def _grid(values: object, verb: str) -> np.ndarray:
    """Values of a parent at which a curve is drawn, ``(k,)``; numbers or labels."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        array = np.empty((0, 0))
    if array.ndim != 1 or not array.size:
        raise SpecError(
            f"{verb}: values={shown(values)} must be a flat sequence of the parent's values, not "
            "empty."
        )
    return array
