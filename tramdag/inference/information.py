r"""Observed information and score covariance of a node, and the covariance of its parameters.

For a classical node both matrices are those of the whole parameter vector, in closed form
(:mod:`tramdag.fitting.likelihood`). For a node with networks they are those of its intercept and
linear weights *conditional on the fitted networks*, by automatic differentiation; what the
networks' own estimation adds is not in them.

With H the observed information and M the sum of squared scores, the covariance of
:math:`\hat\psi` is :math:`H^{-1}` (observed) or :math:`H^{-1} M H^{-1}` (sandwich), taken over the
free parameters: increments at their bound of zero and coefficients that are not estimable are left
out, since no standard error exists for them. Where the data separate the levels, H is that of the
limiting problem, singular along the directions of :mod:`tramdag.fitting.separation`; as many
parameters as there are such directions are held, and what no direction changes has the same
covariance whichever these are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tramdag.arguments import check_choice
from tramdag.data import Values
from tramdag.errors import DataError
from tramdag.fitting.convex import in_double
from tramdag.fitting.heads import head_gradient
from tramdag.fitting.likelihood import likelihood_of
from tramdag.fitting.raw import raw_jacobian
from tramdag.fitting.report import NodeReport
from tramdag.fitting.separation import find_separation, moves
from tramdag.node import Conditional
from tramdag.transforms import positive

__all__ = [
    "KINDS",
    "Information",
    "cluster_sums",
    "covariance",
    "information_of",
    "parameter_labels",
    "psi_covariance",
    "scores_of",
]

KINDS = ("observed", "sandwich")

_AT_BOUND = 1e-20
"""Exact fits store an increment of zero as 1e-30."""


@dataclass(frozen=True)
class Information:
    """Second-order information of one node at its estimate, in the solver's own parameters.

    Attributes:
        estimate: psi = (offset, increments, weights), or (raw intercept, weights) for a node with
            networks; shape ``(q,)``.
        observed: Observed information of all rows, shape ``(q, q)``.
        scores_crossproduct: Sum over rows of score times its transpose, shape ``(q, q)``.
        free: Parameters that are not held where the inverse is taken, shape ``(q,)``, bool.
        identified: Which of :func:`parameter_labels` have a standard error, bool.
        n: Number of rows.
        conditional_on_networks: Whether fitted networks were held fixed.
    """

    estimate: np.ndarray
    observed: np.ndarray
    scores_crossproduct: np.ndarray
    free: np.ndarray
    identified: np.ndarray
    n: int
    conditional_on_networks: bool


@torch.no_grad()
def information_of(
    conditional: Conditional,
    values: Values,
    entry: NodeReport,
    *,
    weights: Tensor | None = None,
) -> Information:
    """Information of a fitted node from its training rows.

    Args:
        conditional: The fitted node.
        values: The rows that it was fitted to.
        entry: The node's report: what is not estimable or separated has no standard error.
        weights: The rows' case weights, ``(n,)``, None if they have none. The observed information
            is the weighted sum; a score counts with its weight, so that the sandwich takes rows,
            not units of weight, as independent.
    """
    double = in_double(conditional)
    shift_weights = double.linear.weight.detach().cpu()
    names = _column_names(double)
    estimable = np.array([name not in entry.inestimable for name in names], dtype=bool)
    span = np.zeros((len(double.intercept) + len(names), 0))
    if double.is_classical:
        psi, increments = _psi(double)
        likelihood = likelihood_of(double, values, weights)
        scores = likelihood.scores(psi)
        _, _, hessian = likelihood(psi, order=2)
        observed = hessian * float(likelihood.total)
        inner = np.concatenate([[True], increments > 0.0])
        if entry.separated:
            separation = find_separation(likelihood, None, held=np.flatnonzero(~estimable))
            span = span if separation is None else separation.span
    else:
        psi = torch.cat([double.intercept.detach().cpu(), shift_weights]).numpy()
        scores = scores_of(double, values, weights=weights)
        encoded = double.encode(values)

        def total_nll(parameters: Tensor) -> Tensor:
            rows = _log_prob_at(double, parameters, encoded)
            return -(rows if weights is None else weights.to(rows) * rows).sum()

        start = torch.from_numpy(psi).to(double.intercept.device)
        observed = _hessian(total_nll, start).cpu().numpy()
        inner = np.ones(len(double.intercept), dtype=bool)
    free = np.concatenate([inner, estimable])
    identified = estimable
    if double.is_classical:
        identified = np.concatenate([estimable, inner]) & ~moves(raw_jacobian(double), span)
    free[_gauge(span, free)] = False
    return Information(
        estimate=psi,
        observed=observed,
        scores_crossproduct=scores.T @ scores,
        free=free,
        identified=identified,
        n=len(scores),
        conditional_on_networks=not double.is_classical,
    )


def _gauge(span: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Free parameters that, held, leave no direction of the span; as few as that takes."""
    candidates = np.flatnonzero(free)
    if span.shape[1] == 0:
        return candidates[:0]
    _, triangle, order = scipy.linalg.qr(span[candidates].T, mode="economic", pivoting=True)
    sizes = np.abs(np.diag(triangle))
    return candidates[order[: int((sizes > 1e-9).sum())]]


@torch.no_grad()
def scores_of(
    conditional: Conditional, values: Values, *, weights: Tensor | None = None
) -> np.ndarray:
    """Weighted score of every row in the parameters of :class:`Information`, ``(n, q)``."""
    double = in_double(conditional)
    if double.is_classical:
        return likelihood_of(double, values, weights).scores(_psi(double)[0])
    outcome, features = double.split(double.encode(values))
    raw, shift = double.parameters_given(*features)
    raw = raw.expand(len(shift), -1)
    _, by_raw, by_shift = head_gradient(double, raw, shift, outcome, torch.ones_like(shift))
    if double.complex_intercepts:  # whose floor does not move with the intercept
        by_raw = torch.where(raw > double.raw_floor, by_raw, 0.0)
    scores = torch.cat([by_raw, by_shift.unsqueeze(-1) * features[0]], 1)
    return (scores if weights is None else scores * weights.to(scores).unsqueeze(-1)).cpu().numpy()


def _psi(conditional: Conditional) -> tuple[np.ndarray, np.ndarray]:
    """The solver's parameters of a classical node, and the increments among them."""
    increments = positive(conditional.intercept[1:]).detach().cpu()
    increments = torch.where(increments < _AT_BOUND, 0.0, increments)
    offset, weights = conditional.intercept[:1].detach(), conditional.linear.weight.detach()
    return torch.cat([offset.cpu(), increments, weights.cpu()]).numpy(), increments.numpy()


@torch.enable_grad()
def _hessian(f: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """Second derivatives; ``torch.func.hessian`` takes a second to load, once in a process."""
    point = point.requires_grad_()
    (gradient,) = torch.autograd.grad(f(point), point, create_graph=True)
    rows = [torch.autograd.grad(slope, point, retain_graph=True)[0] for slope in gradient]
    return torch.stack(rows)


def _log_prob_at(
    conditional: Conditional, parameters: Tensor, encoded: tuple[Tensor, ...]
) -> Tensor:
    """Log density per row as a function of intercept and linear weights, networks held fixed."""
    n_intercept = len(conditional.intercept)
    replaced = {
        "intercept": parameters[:n_intercept],
        "linear.weight": parameters[n_intercept:],
    }
    wrapper = _LogProb(conditional)
    return torch.func.functional_call(
        wrapper, {f"conditional.{k}": v for k, v in replaced.items()}, encoded
    )


class _LogProb(torch.nn.Module):
    """``log_prob_encoded`` as a module's forward, which functional_call needs."""

    def __init__(self, conditional: Conditional) -> None:
        super().__init__()
        self.conditional = conditional

    def forward(self, *encoded: Tensor) -> Tensor:
        return self.conditional.log_prob_encoded(*encoded)


def covariance(
    conditional: Conditional,
    information: Information,
    *,
    kind: str = "observed",
    cluster_scores: np.ndarray | None = None,
) -> pd.DataFrame:
    """Covariance of a node's parameters in raw units.

    Args:
        conditional: The fitted node.
        information: Its information.
        kind: ``"observed"`` (inverse information) or ``"sandwich"`` (robust to a wrong model).
        cluster_scores: Scores summed within clusters, shape ``(n_clusters, q)``, for the sandwich;
            None takes every row as its own cluster. No small-sample factor is applied, see
            :meth:`tramdag.CausalFlowDAG.vcov`.

    Returns:
        A square table labelled by :func:`parameter_labels`: coefficients, then for a classical node
        the intercept parameters theta; parameters without a standard error are left out.

    Raises:
        SpecError: An unknown kind.
    """
    check_choice(kind, KINDS, what="kind")
    free = np.flatnonzero(information.free)
    inverse = _inverse(information.observed[np.ix_(free, free)])
    if kind == "sandwich":
        meat = information.scores_crossproduct
        if cluster_scores is not None:
            meat = cluster_scores.T @ cluster_scores
        inverse = inverse @ meat[np.ix_(free, free)] @ inverse
    jacobian = raw_jacobian(conditional)[np.ix_(information.identified, free)]
    labels = np.array(parameter_labels(conditional), dtype=object)[information.identified]
    return pd.DataFrame(jacobian @ inverse @ jacobian.T, index=labels, columns=labels)


def psi_covariance(information: Information) -> np.ndarray:
    """Inverse observed information in psi, zero for parameters without standard error, (q, q)."""
    free = np.flatnonzero(information.free)
    full = np.zeros_like(information.observed)
    full[np.ix_(free, free)] = _inverse(information.observed[np.ix_(free, free)])
    return full


def parameter_labels(conditional: Conditional) -> list[str]:
    """Coefficients as ``Age`` or ``mRS_pre=1``, then ``theta[k]`` (classical nodes only)."""
    labels = _column_names(conditional)
    if conditional.is_classical:
        labels += [f"theta[{k}]" for k in range(len(conditional.intercept))]
    return labels


def cluster_sums(scores: np.ndarray, cluster: ArrayLike) -> np.ndarray:
    """Scores summed within clusters, shape ``(n_clusters, q)``.

    Raises:
        DataError: One cluster label per row is needed.
    """
    try:
        labels = np.asarray(cluster)
    except ValueError:  # rows of different lengths
        labels = np.empty((0, 0))
    if labels.shape != (len(scores),):
        raise DataError(
            f"cluster has the shape {labels.shape}; one label for each of the {len(scores)} "
            "training rows is needed."
        )
    if pd.isna(labels).any():
        raise DataError(
            f"cluster: {int(pd.isna(labels).sum())} labels are missing; every row needs one."
        )
    codes, _ = pd.factorize(labels)
    sums = np.zeros((codes.max() + 1, scores.shape[1]))
    np.add.at(sums, codes, scores)
    return sums


def _column_names(conditional: Conditional) -> list[str]:
    return [column.name for column in conditional.linear.columns]


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a positive definite matrix, scaled to a unit diagonal first; NaN for others."""
    if len(matrix) == 0:
        return matrix
    # a fit by gradient steps may end beside its optimum, where curvature can be negative
    unknown = np.full_like(matrix, np.nan)
    diagonal = np.diag(matrix)
    if not (diagonal > 0).all():
        return unknown
    scale = 1.0 / np.sqrt(diagonal)
    with np.errstate(over="ignore"):
        scaled = matrix * scale * scale[:, None]
    try:
        # no entry of a positive definite matrix of unit diagonal exceeds one
        factor = scipy.linalg.cho_factor(np.clip(scaled, -2.0, 2.0))
    except scipy.linalg.LinAlgError:
        return unknown
    inverse = scipy.linalg.cho_solve(factor, np.eye(len(matrix)))
    return inverse * np.outer(scale, scale)
