r"""Observed information and score covariance of a node, and the covariance of its parameters.

For a classical node both matrices are those of the whole parameter vector, in closed form
(:mod:`tramdag.fitting.likelihood`). For a node with networks they are those of its intercept and
linear weights *conditional on the fitted networks*, by automatic differentiation; what the
networks' own estimation adds is not in them.

With H the observed information and M the sum of squared scores, the covariance of
:math:`\hat\psi` is :math:`H^{-1}` (observed) or :math:`H^{-1} M H^{-1}` (sandwich), taken over the
free parameters: increments at their bound of zero and coefficients that are not estimable are left
out, since no standard error exists for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.linalg
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tramdag.data import Values
from tramdag.errors import DataError, SpecError, name_list
from tramdag.fitting.convex import in_double
from tramdag.fitting.likelihood import likelihood_of
from tramdag.fitting.report import NodeReport
from tramdag.node import Conditional, OrdinalConditional
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
        free: Parameters that have a standard error, shape ``(q,)``, bool.
        n: Number of rows.
        conditional_on_networks: Whether fitted networks were held fixed.
    """

    estimate: np.ndarray
    observed: np.ndarray
    scores_crossproduct: np.ndarray
    free: np.ndarray
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
    without = {*entry.inestimable, *entry.separated_names}
    estimable = np.array([label not in without for label in _column_names(double)], dtype=bool)
    if double.is_classical:
        psi, increments = _psi(double)
        likelihood = likelihood_of(double, values, weights)
        scores = likelihood.scores(psi)
        _, _, hessian = likelihood(psi, order=2)
        observed = hessian * float(likelihood.total)
        inner = np.concatenate([[True], increments > 0.0])
        inner &= np.array([f"theta[{k}]" not in without for k in range(len(inner))])
    else:
        psi = torch.cat([double.intercept.detach().cpu(), shift_weights]).numpy()
        scores = scores_of(double, values, weights=weights)
        encoded = double.encode(values)

        def total_nll(parameters: Tensor) -> Tensor:
            rows = _log_prob_at(double, parameters, encoded)
            return -(rows if weights is None else weights.to(rows) * rows).sum()

        start = torch.from_numpy(psi).to(double.intercept.device)
        with torch.enable_grad():
            observed = torch.func.hessian(total_nll)(start).detach().cpu().numpy()
        inner = np.ones(len(double.intercept), dtype=bool)
    free = np.concatenate([inner, estimable])
    return Information(psi, observed, scores.T @ scores, free, len(scores), not double.is_classical)


@torch.no_grad()
def scores_of(
    conditional: Conditional, values: Values, *, weights: Tensor | None = None
) -> np.ndarray:
    """Weighted score of every row in the parameters of :class:`Information`, ``(n, q)``."""
    double = in_double(conditional)
    if double.is_classical:
        return likelihood_of(double, values, weights).scores(_psi(double)[0])
    encoded = double.encode(values)
    parameters = torch.cat([double.intercept, double.linear.weight]).detach()

    def rows(parameters: Tensor) -> Tensor:
        return _log_prob_at(double, parameters, encoded)

    with torch.enable_grad():
        scores = torch.func.jacfwd(rows)(parameters).detach()
    return (scores if weights is None else scores * weights.to(scores).unsqueeze(-1)).cpu().numpy()


def _psi(conditional: Conditional) -> tuple[np.ndarray, np.ndarray]:
    """The solver's parameters of a classical node, and the increments among them."""
    increments = positive(conditional.intercept[1:]).detach().cpu()
    increments = torch.where(increments < _AT_BOUND, 0.0, increments)
    offset, weights = conditional.intercept[:1].detach(), conditional.linear.weight.detach()
    return torch.cat([offset.cpu(), increments, weights.cpu()]).numpy(), increments.numpy()


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
            None takes every row as its own cluster.

    Returns:
        A square table labelled by :func:`parameter_labels`: coefficients, then for a classical node
        the intercept parameters theta; parameters without a standard error are left out.

    Raises:
        SpecError: An unknown kind.
    """
    if kind not in KINDS:
        raise SpecError(f"kind={kind!r} is unknown; allowed are {name_list(KINDS)}.")
    free = np.flatnonzero(information.free)
    inverse = _inverse(information.observed[np.ix_(free, free)])
    if kind == "sandwich":
        meat = information.scores_crossproduct
        if cluster_scores is not None:
            meat = cluster_scores.T @ cluster_scores
        inverse = inverse @ meat[np.ix_(free, free)] @ inverse
    labels, jacobian = _to_raw(conditional, information)
    raw = jacobian[:, free] @ inverse @ jacobian[:, free].T
    kept = [j for j, label in enumerate(labels) if _has_error(conditional, information, j)]
    names = [labels[j] for j in kept]
    return pd.DataFrame(raw[np.ix_(kept, kept)], index=names, columns=names)


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
    labels = np.asarray(cluster)
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


def _to_raw(conditional: Conditional, information: Information) -> tuple[list[str], np.ndarray]:
    """Labels of the raw parameters and their Jacobian with respect to psi."""
    q, p = len(information.estimate), len(conditional.linear.columns)
    n_intercept = q - p
    scale = conditional.linear.scale.double().cpu().numpy()
    mean = conditional.linear.mean.double().cpu().numpy()
    beta = np.zeros((p, q))
    beta[:, n_intercept:] = np.diag(1.0 / scale)
    if not conditional.is_classical:
        return _column_names(conditional), beta
    theta = np.zeros((n_intercept, q))
    theta[:, :n_intercept] = np.tril(np.ones((n_intercept, n_intercept)))
    # the module centres the columns; in raw units the constant belongs to theta
    sign = 1.0 if isinstance(conditional, OrdinalConditional) else -1.0
    theta[:, n_intercept:] = sign * mean / scale
    return parameter_labels(conditional), np.concatenate([beta, theta])


def _has_error(conditional: Conditional, information: Information, index: int) -> bool:
    """Whether raw parameter ``index`` (coefficients first) is free."""
    p = len(conditional.linear.columns)
    n_intercept = len(information.estimate) - p
    position = n_intercept + index if index < p else index - p
    return bool(information.free[position])


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric positive definite matrix, scaled to a unit diagonal first."""
    if len(matrix) == 0:
        return matrix
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    scaled = matrix * np.outer(scale, scale)
    try:
        inverse = scipy.linalg.cho_solve(scipy.linalg.cho_factor(scaled), np.eye(len(matrix)))
    except scipy.linalg.LinAlgError:
        # a fit by gradient steps may end beside its optimum, where curvature can be negative
        return np.full_like(matrix, np.nan)
    return inverse * np.outer(scale, scale)
