"""The face of the library: a DAG of conditional laws, fitted once, asked on all three levels."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from tramdag import checkpoint, inference, queries
from tramdag.checkpoint import FlowState
from tramdag.data import (
    Do,
    Values,
    check_training_frame,
    decode_frame,
    encode_do,
    encode_frame,
    encode_latents,
    known_node,
    learn_labels,
)
from tramdag.errors import DataError, NotFittedError, SpecError, name_list
from tramdag.fitting import (
    FitReport,
    FitSettings,
    NodeReport,
    check_solvable,
    fit_conditionals,
)
from tramdag.fitting.stochastic import AdamSettings
from tramdag.latent import derive_seed, fresh_seed
from tramdag.node import Conditional, ContinuousConditional, make_conditional
from tramdag.spec import OrdinalNode, Spec, causal_order, check_spec

__all__ = ["CausalFlowDAG"]

_DTYPES = {"float64": torch.float64, "float32": torch.float32}


def _known_dtype(dtype: torch.dtype | str) -> torch.dtype:
    found: torch.dtype | None = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found is None or found not in _DTYPES.values():
        raise SpecError(f"dtype={dtype!r} must be float64 or float32.")
    return found


class CausalFlowDAG:
    r"""A TRAM-DAG: each variable of a known DAG is a transformation model of its parents.

    Continuous: :math:`u = h(x; \theta) + \text{shifts}` with u standard logistic. Ordinal:
    :math:`P(x \le k) = \sigma(\theta_k - \text{shifts})`. One fit on observational rows answers
    observational (L1), interventional (L2) and counterfactual (L3) queries, given that the DAG is
    right and no confounder is hidden.

    Args:
        spec: Node names to :class:`~tramdag.ContinuousNode` and :class:`~tramdag.OrdinalNode`.
        seed: Source of initial network weights and of every draw that gets no seed of its own;
            None takes one from the operating system. Global random state is never touched.
        dtype: ``torch.float64`` or ``torch.float32``, also as a string.
        device: Where parameters live, for example ``"cpu"`` or ``"cuda"``.

    Raises:
        SpecError: The specification is not a DAG of nodes, or dtype is not allowed.

    References:
        Sick and Duerr (2025), Interpretable Neural Causal Models with TRAM-DAGs, CLeaR.

    Examples:
        >>> flow = CausalFlowDAG({"x": ContinuousNode(), "y": ContinuousNode({"x": "ls"})}, seed=1)
        >>> rows = pd.DataFrame({"x": np.linspace(-1, 1, 50), "y": np.linspace(0, 3, 50) ** 2})
        >>> flow.fit(rows).report.converged
        True
    """

    def __init__(
        self,
        spec: Spec,
        *,
        seed: int | None = None,
        dtype: torch.dtype | str = torch.float64,
        device: str | torch.device = "cpu",
    ) -> None:
        checked = check_spec(spec)
        self._order = causal_order(checked)
        self._nodes = {name: checked[name] for name in checked}
        self._dtype = _known_dtype(dtype)
        self._device = torch.device(device)
        self._seed = fresh_seed() if seed is None else int(seed)
        self._calls = 0
        self._labels: dict[str, tuple[Any, ...] | None] = {}
        self._report: FitReport | None = None
        self._training: Values | None = None
        self._information: dict[str, inference.Information] = {}
        self._conditionals = self._make_conditionals()

    def _make_conditionals(self) -> dict[str, Conditional]:
        made = {
            name: make_conditional(name, self._nodes, seed=self._seed, dtype=self._dtype)
            for name in self._order
        }
        return {name: conditional.to(self._device) for name, conditional in made.items()}

    def __repr__(self) -> str:
        state = "fitted" if self._report is not None else "not fitted"
        return f"CausalFlowDAG({', '.join(self._order)}; {state})"

    # what the flow is

    @property
    def spec(self) -> dict[str, Any]:
        """The nodes by name."""
        return dict(self._nodes)

    @property
    def order(self) -> tuple[str, ...]:
        """Node names, every parent before its children."""
        return self._order

    @property
    def conditionals(self) -> Mapping[str, Conditional]:
        """The nodes' conditional laws (torch modules), in causal order."""
        return self._conditionals

    @property
    def report(self) -> FitReport:
        """Report of the last fit: solver, likelihood and certificate per node."""
        self._require_fit("report")
        assert self._report is not None
        return self._report

    @property
    def history(self) -> pd.DataFrame:
        """The last fit epoch by epoch; columns see :class:`~tramdag.fitting.FitReport`."""
        return self.report.history

    def to(self, device: str | torch.device) -> CausalFlowDAG:
        """Move the parameters to a device, in place; returns the flow."""
        self._device = torch.device(device)
        for conditional in self._conditionals.values():
            conditional.to(self._device)
        return self

    # fitting

    def fit(
        self,
        train_df: pd.DataFrame,
        val_df: pd.DataFrame | None = None,
        epochs: int = 500,
        learning_rate: float = 1e-2,
        batch_size: int = 512,
        verbose: int = 50,
        seed: int | None = None,
        restore_best: bool = True,
        schedule: str | None = "plateau",
        plateau_patience: int = 15,
        freeze_patience: int | None = None,
        min_delta: float = 1e-4,
        *,
        optimizer: str = "auto",
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        progress: bool | None = None,
    ) -> CausalFlowDAG:
        """Fit every node by maximum likelihood; nothing changes unless all of it succeeds.

        Nodes with only LS terms under a bernstein or affine transform, and ordinal ones, are
        *classical*: their likelihood is convex and is solved exactly on every row of ``train_df``.
        The other arguments concern nodes with networks or a spline, which train by Adam.

        Args:
            train_df: Training rows, one column per node (others are ignored).
            val_df: Validation rows for nodes trained by Adam; None splits
                ``validation_fraction`` off ``train_df`` for them.
            epochs: Most passes over the training rows.
            learning_rate: Adam's (highest) rate.
            batch_size: Rows per step.
            verbose: Log the validation value every so many epochs (logger ``tramdag``); 0 never.
            seed: Seed of validation split and batch order; None takes the flow's.
            restore_best: Keep the weights of the best validation value, not the last ones.
            schedule: None (constant), ``"plateau"`` (halved after ``plateau_patience`` epochs
                without improvement, ends at a thousandth), ``"onecycle"`` or ``"cosine"``.
            plateau_patience: See ``schedule``.
            freeze_patience: End a node's fit after so many epochs without improvement; None never.
            min_delta: Smallest change of the validation value, in nats, that counts as improvement.
            optimizer: ``"auto"``, ``"exact"`` (refuses nodes that are not classical) or ``"adam"``
                (trains all nodes by Adam).
            validation_fraction: Share of ``train_df`` split off; 0 lets the training rows stand in.
            warm_start: Go on from the present weights and scalings of Adam's nodes.
            progress: Show a progress bar; None shows it on a terminal only.

        Returns:
            The flow itself; see :attr:`report` and :attr:`history`.

        Raises:
            SpecError: A setting is not allowed, or ``"exact"`` does not apply.
            DataError: A table does not fit the nodes, or a column is constant.
        """
        settings = FitSettings(
            adam=AdamSettings(
                epochs=epochs,
                learning_rate=learning_rate,
                batch_size=batch_size,
                schedule=schedule,
                plateau_patience=plateau_patience,
                freeze_patience=freeze_patience,
                min_delta=min_delta,
                restore_best=restore_best,
            ),
            optimizer=optimizer,
            validation_fraction=validation_fraction,
            warm_start=warm_start,
            verbose=verbose,
            progress=progress,
        )
        check_solvable(self._conditionals, settings)
        labels = learn_labels(train_df, self._nodes)
        train = self._on_device(encode_frame(train_df, self._nodes, labels))
        check_training_frame(train, self._nodes, what="the training rows")
        validation = (
            None if val_df is None else self._on_device(encode_frame(val_df, self._nodes, labels))
        )
        if warm_start:
            self._require_fit("fit(warm_start=True)")
            fitted = copy.deepcopy(self._conditionals)
        else:
            fitted = self._make_conditionals()
        fit_seed = self._seed if seed is None else seed
        report = fit_conditionals(fitted, train, validation, settings, seed=fit_seed)
        self._conditionals, self._labels, self._report = fitted, labels, report
        self._training, self._information = train, {}
        return self

    def attach(self, train_df: pd.DataFrame) -> CausalFlowDAG:
        """Give a loaded flow its training rows back, which no checkpoint holds; returns the flow.

        Cluster covariances, profile intervals and tests need them.

        Raises:
            DataError: They are not the rows of the fit: their likelihood differs from the report's.
        """
        self._require_fit("attach")
        rows = self._on_device(self._encode(train_df))
        for entry in self.report.node_reports:
            if entry.solver != "exact":
                continue
            nll = -queries.log_prob(self._conditionals, rows)[entry.node].mean().item()
            if len(train_df) != entry.n or abs(nll - entry.nll) > 1e-6:
                raise DataError(
                    f"attach: node {entry.node!r} was fitted to {entry.n} rows with a mean "
                    f"negative log-likelihood of {entry.nll:.6f}; these {len(train_df)} rows give "
                    f"{nll:.6f}."
                )
        self._training = rows
        return self

    # L1: observational

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

    # L1 and L2: drawing, with or without an intervention

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
        if n is not None and (isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1):
            raise SpecError(f"sample: n={n!r} must be a whole number of at least 1.")
        latents, index, rows = None, None, n
        if u is not None:
            latents = encode_latents(u, self._nodes, n=n, given=do or ())
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
            n_points: Integration points, 8 times a power of two.
            seed: Seed of the points.

        Returns:
            A column per level (labels if the fit had labels), df's index; the attribute
            ``attrs["integration_error"]`` holds the largest standard error of a probability.

        Raises:
            SpecError: ``node`` or a key of ``do`` is no node, or ``node`` is continuous.
            DataError: df or a do value does not fit.
        """
        self._require_fit("pmf")
        known_node(node, self._nodes, what="pmf")
        target = self._nodes[node]
        if not isinstance(target, OrdinalNode):
            raise SpecError(f"pmf: node {node!r} is continuous; only ordinal nodes have a pmf.")
        if n_points < 8 or n_points & (n_points - 1):
            raise SpecError(f"pmf: n_points={n_points!r} must be a power of two of at least 8.")
        interventions = encode_do(do, self._nodes, self._labels, len(df))
        needed = queries.needed_columns(self._conditionals, node, interventions)
        result = queries.interventional_pmf(
            self._conditionals,
            self._encode(df, columns=needed),
            node,
            interventions=interventions,
            n=len(df),
            n_points=n_points,
            seed=seed,
        )
        names = self._labels.get(node) or range(target.levels)
        array = result.probabilities.cpu().numpy().astype(np.float64)
        table = pd.DataFrame(array, index=df.index, columns=list(names))
        table.attrs["integration_error"] = result.integration_error
        return table

    # L3: abduction

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

    # interpretation

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
            cluster: One label per training row; the sandwich then sums scores within clusters.

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
            sums = inference.cluster_sums(inference.scores_of(conditional, rows), cluster)
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
        if coefficient not in labels:
            raise SpecError(
                f"confidence_interval: node {node!r} has no coefficient {coefficient!r}; it has "
                f"{name_list(labels)}."
            )
        index = labels.index(coefficient)
        if method == "wald":
            row = self.summary(node, level=level).iloc[index]
            return float(row["lower"]), float(row["upper"])
        if method != "profile":
            raise SpecError(f"method={method!r} is unknown; allowed are 'wald', 'profile'.")
        rows = self._rows("profile intervals")
        found = inference.profile_interval(conditional, rows, index, level=level)
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
        grid = self._encode(pd.DataFrame({parent: np.asarray(values)}), columns=[parent])
        return inference.shift_curve(self._conditionals[node], parent, grid, np.asarray(values))

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

    # keeping

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted flow to a file that loads without executing code.

        The file holds the specification, labels, scalings, weights, the fit report and a few rows
        drawn from the model; no training row.
        """
        self._require_fit("save")
        state = FlowState(
            conditionals=self._conditionals,
            nodes=self._nodes,
            labels=self._labels,
            report=self.report,
            information={
                name: self._information_of(name)
                for name, conditional in self._conditionals.items()
                if conditional.is_classical or conditional.linear.columns
            },
            seed=self._seed,
            dtype=self._dtype,
        )
        checkpoint.save(path, state)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, device: str | torch.device = "cpu"
    ) -> CausalFlowDAG:
        """Read a flow that :meth:`save` wrote.

        Raises:
            DataError: The file is missing, truncated, foreign, or its weights do not reproduce the
                log densities stored beside them.
        """
        state = checkpoint.load(path)
        flow = cls(state.nodes, seed=state.seed, dtype=state.dtype)
        flow._conditionals = dict(state.conditionals)
        flow._labels, flow._report = dict(state.labels), state.report
        flow._information = dict(state.information)
        return flow.to(device)

    # shared by the verbs

    def _require_fit(self, verb: str) -> None:
        if self._report is None:
            raise NotFittedError(f"{verb} needs a fitted flow; call fit(train_df) first.")

    def _rows(self, verb: str) -> Values:
        if self._training is None:
            raise NotFittedError(
                f"{verb} needs the training rows, which a checkpoint does not hold; call "
                "attach(train_df) first."
            )
        return self._training

    def _entry(self, node: str) -> NodeReport:
        return next(entry for entry in self.report.node_reports if entry.node == node)

    def _information_of(self, node: str) -> inference.Information:
        if node not in self._information:
            self._information[node] = inference.information_of(
                self._conditionals[node], self._rows("standard errors"), self._entry(node)
            )
        return self._information[node]

    def _encode(self, df: pd.DataFrame, columns: Any = None) -> Values:
        return encode_frame(df, self._nodes, self._labels, columns=columns)

    def _on_device(self, values: Values) -> Values:
        return {name: column.to(self._device) for name, column in values.items()}

    def _next_seed(self, seed: int | None) -> int:
        if seed is not None:
            return int(seed)
        self._calls += 1
        return derive_seed(self._seed, "call", self._calls)
