r"""The reference from R: ``MASS::polr`` and ``glm``, through rpy2's low-level interface.

R lives in the Python process that calls it. Such a process must not load torch, whose runtime
libraries collide with R's: this module imports nothing that does, and refuses to start R where
torch is loaded already.

polr's default ``reltol`` of 1e-8 leaves the coefficients off by 1e-5; every call here sets 1e-14.
Its standard errors come from a numerical Hessian and are good to about 3e-4 relative.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from replication.classical_fit import (
    ClassicalFit,
    ClassicalFitError,
    Floats,
    check_design,
    check_levels,
    check_overlap,
)

__all__ = [
    "GLM_CALL",
    "POLR_CALL",
    "fit_glm",
    "fit_polr",
    "fit_semiparametric",
    "r_available",
    "r_unavailable_reason",
    "r_versions",
]

_log = logging.getLogger(__name__)

POLR_CALL = (
    'MASS::polr(y ~ X, Hess = TRUE, method = "logistic", '
    "control = list(reltol = 1e-14, maxit = 10000))"
)
GLM_CALL = "glm(y ~ X, family = binomial(), control = list(epsilon = 1e-14, maxit = 100))"

# Everything that may go wrong in R comes back as text, so that no R error crosses the boundary.
_R_GUARD = """
function(body) {
  said <- character()
  result <- tryCatch(
    withCallingHandlers(body(), warning = function(w) {
      said <<- c(said, conditionMessage(w))
      invokeRestart("muffleWarning")
    }),
    error = function(e) list(error = conditionMessage(e)))
  result$said <- said
  result
}
"""

_R_POLR = """
function(guard, y, X, reltol) guard(function() {
  frame <- data.frame(y = ordered(y))
  control <- list(reltol = reltol, maxit = 10000)
  if (ncol(X) > 0) {
    frame$X <- X
    fit <- MASS::polr(y ~ X, data = frame, Hess = TRUE, method = "logistic", control = control)
  } else {
    fit <- MASS::polr(y ~ 1, data = frame, Hess = TRUE, method = "logistic", control = control)
  }
  if (fit$convergence != 0) stop("polr: optim stopped with code ", fit$convergence)
  list(coefficients = as.numeric(fit$coefficients), cutpoints = as.numeric(fit$zeta),
       std_errors = as.numeric(sqrt(diag(vcov(fit)))), log_likelihood = as.numeric(logLik(fit)))
})
"""

_R_GLM = """
function(guard, y, X) guard(function() {
  frame <- data.frame(y = y)
  control <- list(epsilon = 1e-14, maxit = 100)
  if (ncol(X) > 0) {
    frame$X <- X
    fit <- glm(y ~ X, family = binomial(), data = frame, control = control)
  } else {
    fit <- glm(y ~ 1, family = binomial(), data = frame, control = control)
  }
  list(coefficients = as.numeric(coef(fit)), std_errors = as.numeric(sqrt(diag(vcov(fit)))),
       log_likelihood = as.numeric(logLik(fit)))
})
"""

_PROBE = """
import rpy2.rinterface as ri
ri.initr()
ri.evalr('if (!requireNamespace("MASS", quietly = TRUE)) stop("R has no package MASS")')
"""


def r_available() -> bool:
    """Whether R with MASS can be started through rpy2; see :func:`r_unavailable_reason`."""
    return not r_unavailable_reason()


@cache
def r_unavailable_reason() -> str:
    """Why R cannot be used here, or an empty string if it can.

    R is started in a process of its own, so the answer is safe to ask for where torch is loaded.
    """
    if not shutil.which("R") and "R_HOME" not in os.environ:
        return "there is no R on PATH"
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return "R did not start within two minutes"
    if probe.returncode == 0:
        return ""
    lines = [line.strip() for line in probe.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"starting R ended with status {probe.returncode}"


def r_versions() -> dict[str, str]:
    """Versions of R, MASS and rpy2.

    Raises:
        ClassicalFitError: R cannot be started in this process.
    """
    r = _start_r()
    return {
        "R": r.evalr('paste(R.version$major, R.version$minor, sep = ".")')[0],
        "MASS": r.evalr('as.character(packageVersion("MASS"))')[0],
        "rpy2": importlib.metadata.version("rpy2"),
    }


def fit_polr(
    outcome: npt.ArrayLike,
    design: npt.ArrayLike,
    names: Sequence[str],
    *,
    relative_tolerance: float = 1e-14,
) -> ClassicalFit:
    r"""Proportional-odds model :math:`P(Y \le k) = \sigma(\zeta_k - x^\top b)` by ``MASS::polr``.

    Args:
        outcome: Levels 0, ..., K - 1 with K >= 3, each with at least one row; shape ``(n,)``.
        design: Columns without an intercept, shape ``(n, n_columns)``; may have none.
        names: One name per column.
        relative_tolerance: ``reltol`` of R's optim; polr's own default is 1e-8.

    Raises:
        ClassicalFitError: Two levels only, an empty level, a column that is not identified, levels
            that are separated, or an error in R, whose message is passed on.
    """
    levels = check_levels(outcome)
    if levels.max() < 2:
        raise ClassicalFitError(
            "fit_polr: the outcome has two levels, which polr refuses; use fit_glm."
        )
    matrix = check_design(design, names, n_rows=len(levels))
    check_overlap(levels, matrix, names)
    r = _start_r()
    result = _call(
        "MASS::polr",
        _function(_R_POLR),
        r.IntSexpVector(levels.tolist()),
        _r_matrix(matrix),
        r.FloatSexpVector([relative_tolerance]),
    )
    split = matrix.shape[1]
    return ClassicalFit(
        names=tuple(names),
        coefficients=result["coefficients"],
        std_errors=result["std_errors"][:split],
        cutpoints=result["cutpoints"],
        cutpoint_std_errors=result["std_errors"][split:],
        log_likelihood=float(result["log_likelihood"][0]),
        n=len(levels),
        warnings=result["said"],
        source=f"R MASS::polr {r_versions()['MASS']}",
    )


def fit_glm(outcome: npt.ArrayLike, design: npt.ArrayLike, names: Sequence[str]) -> ClassicalFit:
    r"""Logistic regression by R's ``glm``, with the cutpoint :math:`\zeta_0 = -` intercept.

    Args:
        outcome: Levels 0 and 1, shape ``(n,)``.
        design: Columns without an intercept, shape ``(n, n_columns)``; may have none.
        names: One name per column.

    Raises:
        ClassicalFitError: Not two levels, a column that is not identified, levels that are
            separated, or an error in R, whose message is passed on.
    """
    levels = check_levels(outcome)
    if levels.max() != 1:
        raise ClassicalFitError(
            f"fit_glm: the outcome has {levels.max() + 1} levels, allowed are two; use fit_polr."
        )
    matrix = check_design(design, names, n_rows=len(levels))
    check_overlap(levels, matrix, names)
    r = _start_r()
    result = _call("glm", _function(_R_GLM), r.IntSexpVector(levels.tolist()), _r_matrix(matrix))
    return ClassicalFit(
        names=tuple(names),
        coefficients=result["coefficients"][1:],
        std_errors=result["std_errors"][1:],
        cutpoints=-result["coefficients"][:1],
        cutpoint_std_errors=result["std_errors"][:1],
        log_likelihood=float(result["log_likelihood"][0]),
        n=len(levels),
        warnings=result["said"],
        source=f"R glm {r_versions()['R']}",
    )


def fit_semiparametric(
    outcome: npt.ArrayLike,
    design: npt.ArrayLike,
    names: Sequence[str],
    *,
    max_levels: int = 50,
) -> ClassicalFit:
    r"""Continuous-outcome proportional-odds model, by polr on quantile groups of the outcome.

    The model :math:`P(Y \le y) = \sigma(\zeta(y) - x^\top b)` with an arbitrary increasing
    :math:`\zeta` is that of a continuous node with linear shifts, whose coefficient is
    :math:`\beta = -b`. It is closed under grouping the outcome: b keeps its value and loses
    precision of order ``1 / max_levels ** 2``. A Bernstein fit estimates the same b under a
    smooth :math:`\zeta`, so the two agree in units of the standard error only.

    Args:
        outcome: Real values, shape ``(n,)``.
        design: Columns without an intercept, shape ``(n, n_columns)``.
        names: One name per column.
        max_levels: Groups at most; with fewer distinct values each is a level.

    Raises:
        ClassicalFitError: As :func:`fit_polr`.
    """
    return fit_polr(_quantile_groups(np.asarray(outcome, dtype=float), max_levels), design, names)


def _quantile_groups(values: Floats, max_levels: int) -> npt.NDArray[np.int64]:
    """Group numbers 0, 1, ..., none of them empty, of about equally many values each."""
    distinct = np.unique(values)
    if len(distinct) > max_levels:
        levels = np.arange(1, max_levels) / max_levels
        distinct = np.unique(np.quantile(values, levels, method="inverted_cdf"))
    upper_ends = distinct[distinct < values.max()]
    groups: npt.NDArray[np.int64] = np.searchsorted(upper_ends, values, side="left")
    return groups


@cache
def _start_r() -> Any:
    """rpy2's low-level interface with R running and MASS loaded.

    Raises:
        ClassicalFitError: torch is loaded, or R does not start.
    """
    if "torch" in sys.modules:
        raise ClassicalFitError(
            "R is not started in a process that has loaded torch, their libraries collide; "
            "call this function in a process of its own."
        )
    try:
        r = importlib.import_module("rpy2.rinterface")
        callbacks: Any = importlib.import_module("rpy2.rinterface_lib.callbacks")
        # R's console is redirected before R starts, else its banner reaches the terminal
        callbacks.consolewrite_print = _log.debug
        callbacks.consolewrite_warnerror = _log.debug
        r.initr()
        r.evalr("loadNamespace('MASS')")
    except Exception as error:  # rpy2 raises bare exceptions of many kinds, all of one meaning
        raise ClassicalFitError(
            f"R with MASS could not be started through rpy2: {error}. Install R (Debian: "
            "r-base-core and r-cran-mass) or use the frozen reference."
        ) from error
    return r


@cache
def _function(source: str) -> Any:
    return _start_r().evalr(source)


def _r_matrix(matrix: Floats) -> Any:
    r = _start_r()
    shape = r.IntSexpVector(list(matrix.shape))
    make = r.globalenv.find("matrix")
    return make(r.FloatSexpVector(matrix.ravel(order="F").tolist()), nrow=shape[:1], ncol=shape[1:])


def _call(what: str, function: Any, *arguments: Any) -> dict[str, Any]:
    """Call an R function under the guard; its list as arrays, its messages as a tuple."""
    result = function(_function(_R_GUARD), *arguments)
    fields = dict(zip(result.names, result, strict=True))
    if "error" in fields:
        raise ClassicalFitError(f"{what} failed in R: {fields['error'][0]}")
    said = tuple(str(text).strip() for text in fields.pop("said"))
    return {key: np.array(list(value), dtype=float) for key, value in fields.items()} | {
        "said": said
    }
