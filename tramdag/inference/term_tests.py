r"""Score tests of a classical node's linear shifts: do they suffice?

Each test adds parameters :math:`\delta` to the fitted model and asks whether the likelihood rises
there, without refitting. With score U and observed information I, split into the fitted
parameters :math:`\psi` and :math:`\delta`,

.. math:: S = U_\delta^T (I_{\delta\delta} - I_{\delta\psi} I_{\psi\psi}^{-1} I_{\psi\delta})^{-1}
    U_\delta \sim \chi^2_{\dim \delta}

under the fitted model; I is the expected information for ordinal nodes, the observed one for
continuous nodes. Two alternatives per parent column:

- ``"ci"``: the effect differs along the outcome. For an ordinal node each cutpoint gets its own
  coefficient, K - 2 degrees of freedom: this *is* the score test of proportional odds. For a
  continuous node the parent multiplies three increments of a cubic Bernstein polynomial in x.
- ``"smooth"``: the effect bends with the parent (continuous parents), three degrees of freedom:
  the second to fourth power of the standardised parent.

References:
    Rao (1948), Proceedings of the Cambridge Philosophical Society 44; Brant (1990), Biometrics 46.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import scipy
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tramdag.data import Values
from tramdag.errors import SpecError
from tramdag.fitting.convex import ConvexLikelihood, in_double
from tramdag.fitting.likelihood import OrdinalLikelihood, likelihood_of
from tramdag.inference.information import Information
from tramdag.node import Conditional, ContinuousConditional
from tramdag.transforms import Bernstein

__all__ = ["TERM_TEST_COLUMNS", "term_tests"]

TERM_TEST_COLUMNS = ["node", "parent", "level", "alternative", "statistic", "df", "p"]

_POWERS = (2, 3, 4)
_CUBIC = 4
"""Coefficients of the polynomial that lets a parent's effect vary along a continuous outcome."""


@torch.no_grad()
def term_tests(
    conditional: Conditional,
    information: Information,
    values: Values,
    *,
    weights: Tensor | None = None,
) -> pd.DataFrame:
    """Score tests of every linear main effect of a classical node.

    Args:
        conditional: The fitted node.
        information: Its information.
        values: Its training rows.
        weights: Their case weights, ``(n,)``, None if they have none.

    Returns:
        Columns node, parent, level, alternative (``"ci"`` or ``"smooth"``), statistic, df, p;
        products of parents are not tested. A binary node has no ``"ci"`` alternative, nor has one
        with a level that no row shows: merge that level first.

    Raises:
        SpecError: The node has networks.
    """
    if not conditional.is_classical:
        raise SpecError(
            f"node {conditional.name!r} has networks or a spline; score tests need a classical "
            "node."
        )
    double = in_double(conditional)
    likelihood = likelihood_of(double, values, weights)
    rows = []
    for j, column in enumerate(conditional.linear.columns):
        if len(column.parents) > 1 or not information.identified[j]:
            continue
        x = likelihood.shift[:, j]
        alternatives: dict[str, _Extension] = {}
        if isinstance(likelihood, OrdinalLikelihood):
            cutpoints = information.identified[len(conditional.linear.columns) :]
            if likelihood.levels > 2 and bool(cutpoints.all()):
                alternatives["ci"] = partial(_own_cutpoint_effects, x=x)
        elif isinstance(double, ContinuousConditional):
            s = double.scale(values[double.name]).cpu()
            alternatives["ci"] = partial(_effect_along_outcome, s=s, x=x)
        if not column.is_dummy:
            alternatives["smooth"] = partial(_powers, x=x)
        for name, extension in alternatives.items():
            statistic, df = _score_test(likelihood, information, extension)
            rows.append((conditional.name, *column.label, name, statistic, df))
    table = pd.DataFrame(rows, columns=TERM_TEST_COLUMNS[:-1])
    p = scipy.stats.chi2.sf(table["statistic"].to_numpy(float), table["df"].to_numpy(float))
    return table.assign(p=p)


_Extension = Callable[[ConvexLikelihood], tuple[Tensor, Tensor]]
"""Coefficients of the added parameters in the two linear predictors, shape ``(n, d)`` each."""


def _own_cutpoint_effects(likelihood: ConvexLikelihood, *, x: Tensor) -> tuple[Tensor, Tensor]:
    """A coefficient of x for each cutpoint but the first, which keeps the common one."""
    assert isinstance(likelihood, OrdinalLikelihood)
    indicators = one_hot(likelihood.level, likelihood.levels) * x.unsqueeze(-1)
    return -indicators[:, 1:-1], -indicators[:, 2:]


def _effect_along_outcome(
    likelihood: ConvexLikelihood, *, s: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """X times the increments of a cubic Bernstein polynomial of the outcome, and their slopes."""
    C, dC = Bernstein(_CUBIC).basis(s)
    return C * x.unsqueeze(-1), dC * x.unsqueeze(-1)


def _powers(likelihood: ConvexLikelihood, *, x: Tensor) -> tuple[Tensor, Tensor]:
    """Powers of x, in both ends of the interval (ordinal) or in z alone (continuous)."""
    powers = torch.stack([x**k for k in _POWERS], -1)
    if isinstance(likelihood, OrdinalLikelihood):
        return -powers, -powers
    return powers, torch.zeros_like(powers)


def _score_test(
    likelihood: ConvexLikelihood, information: Information, extension: _Extension
) -> tuple[float, int]:
    """Statistic and degrees of freedom."""
    psi, free = information.estimate, information.free
    extended = likelihood.local(psi).extended(extension(likelihood))
    if isinstance(likelihood, OrdinalLikelihood):
        matrix = _expected_information(likelihood, psi, extension)
    else:
        matrix = extended.information()
    full = matrix.numpy()
    q = len(free)
    kept = np.concatenate([np.flatnonzero(free), np.arange(q, len(full))])
    score = extended.scores().sum(0).numpy()[q:]
    fitted = len(kept) - len(score)
    full = full[np.ix_(kept, kept)]
    cross = full[:fitted, fitted:]
    projected = scipy.linalg.solve(full[:fitted, :fitted], cross, assume_a="pos")
    efficient = full[fitted:, fitted:] - cross.T @ projected
    # directions that the rows cannot tell apart, such as an empty level, carry no information
    eigenvalues, vectors = np.linalg.eigh(efficient)
    seen = eigenvalues > 1e-10 * max(float(eigenvalues.max()), np.finfo(float).tiny)
    along = vectors[:, seen].T @ score
    return float((along**2 / eigenvalues[seen]).sum()), int(seen.sum())


def _expected_information(
    likelihood: OrdinalLikelihood, psi: np.ndarray, extension: _Extension
) -> Tensor:
    """Sum over rows and levels of probability times score times its transpose.

    With few rows at a parent's level the observed information depends on where they happened to
    fall; its expectation does not, which keeps the test's size.
    """
    total: Tensor | None = None
    for level in range(likelihood.levels):
        if 0 < level < likelihood.levels - 1 and psi[level] <= 0.0:
            continue  # a level without rows has no mass and no score
        at_level = likelihood.at_level(level)
        upper, lower = (e[0] for e in at_level.predict(torch.from_numpy(psi).unsqueeze(0)))
        probability = torch.sigmoid(upper) - torch.sigmoid(lower)
        if likelihood.weights is not None:
            probability = probability * likelihood.weights[0]
        scores = at_level.local(psi).extended(extension(at_level)).scores()
        part = scores.T @ (scores * probability.unsqueeze(-1))
        total = part if total is None else total + part
    assert total is not None
    return total
