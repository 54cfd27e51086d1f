"""The two independent ways to fit classical nodes: R, and statsmodels with scipy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from replication.bernstein_mle import fit_bernstein
from replication.classical import fit_logit, fit_ordered_model
from replication.classical_fit import ClassicalFitError, Floats
from replication.crosscheck_table import EncodedParents, Programs, coefficient_rows, intercept_rows
from replication.polr import fit_glm, fit_polr, fit_semiparametric

__all__ = ["PYTHON_PROGRAMS", "R_PROGRAMS"]


def _semiparametric_rows(
    values: Floats, encoded: EncodedParents, node: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Coefficients with an arbitrary transform; a node without parents has none to compare."""
    if not encoded.columns:
        return
    fit = fit_semiparametric(values, encoded.matrix, encoded.names)
    note = "; ".join([f"{len(fit.cutpoints) + 1} quantile groups", *fit.warnings])
    yield from coefficient_rows(encoded, -fit.coefficients, fit.std_errors, note=note)


def _bernstein_rows(
    values: Floats, encoded: EncodedParents, node: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Coefficients, theta and log-likelihood of the same model; an affine h is one of degree 1."""
    transform = node.get("transform", "bernstein")
    if transform not in ("bernstein", "affine"):
        raise ClassicalFitError(f"the transform {transform!r} is not part of the cross-check")
    n_coefs = int(node.get("n_coefs", 20)) if transform == "bernstein" else 2
    fit = fit_bernstein(values, encoded.matrix, encoded.names, n_coefs=n_coefs)
    note = f"{fit.n_active} increments at zero" if fit.n_active else ""
    yield from coefficient_rows(encoded, fit.coefficients, fit.std_errors, note=note)
    if transform == "bernstein":
        yield from intercept_rows("theta", fit.theta, fit.theta_std_errors, note=note)
    yield {"quantity": "log_likelihood", "value": fit.log_likelihood, "note": note}


R_PROGRAMS = Programs(
    ordinal=("R polr", fit_polr),
    binary=("R glm", fit_glm),
    continuous=("R polr semiparametric", _semiparametric_rows),
)
"""polr, glm, and polr on quantile groups, whose transform is arbitrary: equal up to noise only."""

PYTHON_PROGRAMS = Programs(
    ordinal=("statsmodels", fit_ordered_model),
    binary=("statsmodels", fit_logit),
    continuous=("scipy", _bernstein_rows),
)
"""OrderedModel, Logit, and the Bernstein likelihood minimised by scipy: equal up to rounding."""
