"""The face of the library: a DAG of conditional laws, fitted once, asked on all three levels.

Its verbs stand in rooms of their own: fitting and keeping here, questions about variables in
:mod:`tramdag.flow_queries`, :mod:`tramdag.flow_laws` and :mod:`tramdag.flow_effects`, about
parameters in :mod:`tramdag.flow_inference`, about the fit's quality in
:mod:`tramdag.flow_diagnostics`.
"""

from __future__ import annotations

import copy
import os
from typing import Self

import pandas as pd
import torch
from numpy.typing import ArrayLike

from tramdag import checkpoint as files
from tramdag.fitting import (
    FitReport,
    FitRows,
    FitSettings,
    check_solvable,
    fit_nodes,
    flatten,
    hash_of_rows,
    restore,
)
from tramdag.flow_diagnostics import DiagnosticVerbs
from tramdag.flow_effects import EffectVerbs
from tramdag.flow_inference import InferenceVerbs
from tramdag.flow_laws import LawVerbs
from tramdag.flow_queries import QueryVerbs
from tramdag.latent import known_seed

__all__ = ["CausalFlowDAG"]


class CausalFlowDAG(QueryVerbs, LawVerbs, EffectVerbs, InferenceVerbs, DiagnosticVerbs):
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
        SpecError: The specification is not a DAG of nodes, or seed, dtype or device is not allowed.

    References:
        Sick and Duerr (2025), Interpretable Neural Causal Models with TRAM-DAGs, CLeaR.

    Examples:
        >>> import numpy as np
        >>> from tramdag import ContinuousNode
        >>> flow = CausalFlowDAG({"x": ContinuousNode(), "y": ContinuousNode({"x": "ls"})}, seed=1)
        >>> rows = pd.DataFrame({"x": np.linspace(-1, 1, 50), "y": np.linspace(0, 3, 50) ** 2})
        >>> flow.fit(rows).report.converged
        True
    """

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
        schedule: str | None = "auto",
        plateau_patience: int = 15,
        freeze_patience: int | None = None,
        min_delta: float = 1e-4,
        *,
        weights: ArrayLike | None = None,
        optimizer: str = "auto",
        ridge: float = 10.0,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        progress: bool | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float = 60.0,
    ) -> Self:
        """Fit every node by maximum likelihood; nothing changes unless all of it succeeds.

        Nodes with only LS terms under a bernstein or affine transform, and ordinal ones, are
        *classical*: their likelihood is convex and is solved exactly on every row of ``train_df``.
        The other arguments concern nodes with networks or a spline. They are trained by full-batch
        quasi-Newton steps (L-BFGS) to the maximum of the likelihood times a normal prior of the
        networks' weights, which needs no rate, no batches and no held-out rows. Another than the
        default value of a setting of Adam (``learning_rate``, ``batch_size``, ``schedule``,
        ``plateau_patience``) trains them by Adam instead, which needs held-out rows to stop.

        Args:
            train_df: Training rows, one column per node (others are ignored).
            val_df: Validation rows for nodes trained by steps; None splits
                ``validation_fraction`` off ``train_df`` for them.
            epochs: Most passes over the training rows; a node that is cut off by them counts as not
                converged in :attr:`report`.
            learning_rate: Adam's (highest) rate.
            batch_size: Rows per step of Adam.
            verbose: Log the validation value every so many epochs (logger ``tramdag``); 0 never.
            seed: Seed of initial weights, validation split and batch order; None takes the flow's.
            restore_best: Where there are validation rows, keep the weights of their best value, not
                the last ones.
            schedule: Of Adam's rate: None (constant), ``"plateau"`` (halved after
                ``plateau_patience`` epochs without improvement, ends at a thousandth; Adam's
                default), ``"onecycle"`` or ``"cosine"``. ``"auto"`` names none.
            plateau_patience: See ``schedule``.
            freeze_patience: End a node's fit after so many epochs without improvement of the
                validation value, or without validation rows of what is minimised; None never.
            min_delta: Smallest change of that value, in nats, that counts as improvement.
            weights: Case weights, one non-negative number per row of ``train_df``, by position (an
                index is not looked at); None weighs all by one. A row of weight zero counts as
                absent, but scalings (the range of a transform, means and scales of parents) are
                taken from all rows: the basis is part of the model.
            optimizer: ``"auto"``, ``"exact"`` (refuses nodes that are not classical),
                ``"quasi-newton"`` or ``"adam"`` (train all nodes by that method).
            ridge: Precision of the normal prior with mean zero of the networks' hidden weights and
                biases; times k^2 / 8 for the first layer of a network with k inputs, times 1 / 4
                for the last layer; for the first 80 epochs, half of them at most, a tenth of that.
                Parents are standardised, so it means the same for every network; 0 is plain maximum
                likelihood. It is for the quasi-Newton method alone.
            validation_fraction: Share of ``train_df`` split off; 0 lets the training rows stand in.
                At its default the quasi-Newton method holds out a tenth for splines, whose
                own parameters have no prior, and nothing for other nodes.
            warm_start: Go on from the present weights and scalings of the nodes trained by steps.
            progress: Show a progress bar; None shows it on a terminal only.
            checkpoint: A file that keeps the state of nodes trained by steps. A fit that was
                killed goes on from it, to the same bits on a CPU, when it is run again with the
                same arguments.
            checkpoint_every: Seconds between two writes of that file.

        Returns:
            The flow itself; see :attr:`report` and :attr:`history`.

        Raises:
            SpecError: A setting is not allowed, or ``"exact"`` does not apply.
            DataError: A table does not fit the nodes, a column is constant, or the weights are not
                one non-negative number per row, or ``checkpoint`` belongs to another fit.
        """
        settings = FitSettings.of(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            schedule=schedule,
            plateau_patience=plateau_patience,
            freeze_patience=freeze_patience,
            min_delta=min_delta,
            restore_best=restore_best,
            optimizer=optimizer,
            ridge=ridge,
            validation_fraction=validation_fraction,
            warm_start=warm_start,
            verbose=verbose,
            progress=progress,
        )
        fit_seed = self._seed if seed is None else known_seed(seed)
        if warm_start:
            self._require_fit("fit(warm_start=True)")
            fitted = copy.deepcopy(self._conditionals)
        else:
            fitted = self._make_conditionals(fit_seed)
        check_solvable(fitted, settings)
        labels, train, validation, case_weights = self._read_training(train_df, val_df, weights)
        start = {name: flatten(law).unsqueeze(0) for name, law in fitted.items()}
        own = None if case_weights is None else case_weights.unsqueeze(0).to(self._device)
        rows = FitRows(train, validation, (fit_seed,), own)
        journal = files.open_journal(
            checkpoint, checkpoint_every, self._nodes, settings, [rows], [start]
        )
        fits = fit_nodes(fitted, start, rows, settings, journal=journal)
        for name, law in fitted.items():
            restore(law, fits[name].flat[0])
        report = FitReport(
            tuple(fit.reports[0] for fit in fits.values()),
            tuple(fit.histories[0] for fit in fits.values()),
            hash_of_rows(train, case_weights),
        )
        self._conditionals, self._labels, self._report = fitted, labels, report
        self._training, self._weights, self._information = train, case_weights, {}
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted flow to a file that loads without executing code.

        The file holds the specification, labels, scalings, weights, the fit report and a few rows
        drawn from the model; no training row, only a hash of all of them together.
        """
        self._require_fit("save")
        state = files.FlowState(
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
        files.save(path, state)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> Self:
        """Read a flow that :meth:`save` wrote.

        Raises:
            DataError: The file is missing, truncated, foreign, or its weights do not reproduce the
                log densities stored beside them.
        """
        state = files.load(path)
        flow = cls(state.nodes, seed=state.seed, dtype=state.dtype)
        flow._conditionals = dict(state.conditionals)
        flow._labels, flow._report = dict(state.labels), state.report
        flow._information = dict(state.information)
        return flow.to(device)
