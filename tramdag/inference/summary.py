"""Tables for readers: coefficients with intervals, fit statistics, likelihood-ratio tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy

from tramdag.arguments import is_number, shown
from tramdag.errors import SpecError
from tramdag.fitting.report import FitReport, NodeReport
from tramdag.inference.information import Information
from tramdag.node import Conditional

__all__ = [
    "SUMMARY_COLUMNS",
    "check_level",
    "fit_statistics",
    "likelihood_ratio_test",
    "summary_table",
]

SUMMARY_COLUMNS = [
    "node",
    "parent",
    "level",
    "reference",
    "estimate",
    "std_error",
    "z",
    "p",
    "lower",
    "upper",
    "odds_ratio",
    "odds_ratio_lower",
    "odds_ratio_upper",
    "status",
]


def check_level(level: float) -> float:
    """Return a confidence level in (0, 1).

    Raises:
        SpecError: It is not.
    """
    if not is_number(level) or not 0.0 < level < 1.0:
        raise SpecError(f"level={shown(level)} must lie between 0 and 1, for example 0.95.")
    return float(level)


def summary_table(
    conditional: Conditional,
    information: Information,
    table: pd.DataFrame,
    entry: NodeReport,
    *,
    level: float,
) -> pd.DataFrame:
    r"""Wald table of a node's linear coefficients, one row per estimable contrast.

    .. math:: \hat\beta \pm z_{(1+\text{level})/2}\, \mathrm{se}, \qquad
        \mathrm{OR} = e^{\hat\beta}, \; e^{\hat\beta \pm z\,\mathrm{se}}

    Args:
        conditional: The fitted node.
        information: Its information.
        table: Covariance of the coefficients, see :func:`~tramdag.inference.covariance`.
        entry: The node's report.
        level: Confidence level.

    Returns:
        The columns of ``SUMMARY_COLUMNS``; ``status`` is ``"ok"``, ``"conditional on networks"``,
        ``"not certified"`` (a classical node trained by steps may be off its optimum), or, without
        a standard error, ``"not estimable"`` (held at 0), ``"separated"`` (the estimate is
        infinite, the one given is where the solver stopped), ``"undetermined"`` (the levels are
        separated whatever the coefficient is; it has no estimate) or ``"curvature not positive"``
        (training by steps ended where the observed information is not positive definite, which is
        no strict maximum of the likelihood; more epochs may reach one).
    """
    columns = conditional.linear.columns
    errors = dict(zip(table.index, np.sqrt(np.diag(table.to_numpy())), strict=True))
    quantile = scipy.special.ndtri(0.5 + 0.5 * level)
    rows = []
    for column, estimate in zip(columns, conditional.linear.beta.tolist(), strict=True):
        parent, parent_level = column.label
        error = errors.get(column.name, np.nan)
        z = estimate / error
        lower, upper = estimate - quantile * error, estimate + quantile * error
        status = "conditional on networks" if information.conditional_on_networks else "ok"
        if entry.solver != "exact" and not information.conditional_on_networks:
            status = "not certified"
        if column.name in errors and np.isnan(error):
            status = "curvature not positive"
        if column.name in entry.inestimable:
            status = "not estimable"
        elif column.name in entry.undetermined:
            status, estimate = "undetermined", np.nan
        elif column.name in entry.separated_names:
            status = "separated"
        rows.append(
            {
                "node": conditional.name,
                "parent": parent,
                "level": parent_level,
                "reference": 0 if column.is_dummy else pd.NA,
                "estimate": estimate,
                "std_error": error,
                "z": z,
                "p": 2.0 * scipy.special.ndtr(-abs(z)),
                "lower": lower,
                "upper": upper,
                "status": status,
            }
        )
    table = pd.DataFrame(rows, columns=SUMMARY_COLUMNS)
    with np.errstate(over="ignore"):  # a separated estimate may be anything
        table["odds_ratio"] = np.exp(table["estimate"])
        table["odds_ratio_lower"] = np.exp(table["lower"])
        table["odds_ratio_upper"] = np.exp(table["upper"])
    return table


def fit_statistics(
    report: FitReport,
    information: Mapping[str, Information],
) -> pd.DataFrame:
    """Log-likelihood, AIC and BIC per node, with solver and certificate.

    Returns:
        One row per node: node, n, log_likelihood (nats, all training rows), n_parameters (all
        estimable ones), aic, bic, solver, converged, kkt_residual, newton_decrement,
        active_bounds. A node
        with networks has no parameter count that AIC or BIC could use; they are missing.
    """
    rows = []
    for entry in report.node_reports:
        log_likelihood = entry.log_likelihood
        classical = entry.solver == "exact"
        # increments at their bound count: which ones bind is an accident of the rows
        count = len(information[entry.node].free) - len(entry.inestimable) if classical else None
        penalty = np.nan if count is None else float(count)
        rows.append(
            {
                "node": entry.node,
                "n": entry.n,
                "log_likelihood": log_likelihood,
                "n_parameters": count,
                "aic": 2.0 * penalty - 2.0 * log_likelihood,
                "bic": np.log(entry.n) * penalty - 2.0 * log_likelihood,
                "solver": entry.solver,
                "converged": entry.converged,
                "kkt_residual": entry.kkt_residual,
                "newton_decrement": entry.newton_decrement,
                "active_bounds": entry.active_bounds,
            }
        )
    return pd.DataFrame(rows).astype({"n_parameters": "Int64"})


def likelihood_ratio_test(smaller: pd.DataFrame, larger: pd.DataFrame) -> pd.DataFrame:
    r"""Likelihood-ratio tests of nested flows, node by node and jointly.

    .. math:: 2(\ell_1 - \ell_0) \sim \chi^2_{p_1 - p_0}

    under the smaller model, asymptotically, if no monotonicity bound is active in the difference.

    Args:
        smaller: :func:`fit_statistics` of the smaller flow.
        larger: The same of the larger flow, fitted to the same rows.

    Returns:
        Columns node (``"joint"`` last), statistic, df, p; nodes that do not differ are left out.

    Raises:
        SpecError: The flows have other nodes or rows, a differing node is not exact, or the
            smaller model fits better, which nested models cannot.
    """
    if list(smaller["node"]) != list(larger["node"]) or list(smaller["n"]) != list(larger["n"]):
        raise SpecError(
            "compare: both flows must have the same nodes and numbers of training rows."
        )
    rows = []
    for before, after in zip(smaller.to_dict("records"), larger.to_dict("records"), strict=True):
        same = before["n_parameters"] is not pd.NA and before["aic"] == after["aic"]
        if same:
            continue
        if before["solver"] != "exact" or after["solver"] != "exact":
            raise SpecError(
                f"compare: node {before['node']!r} was not fitted exactly in both flows; the "
                "likelihood-ratio test needs maximum likelihood estimates."
            )
        df = int(after["n_parameters"] - before["n_parameters"])
        statistic = 2.0 * (after["log_likelihood"] - before["log_likelihood"])
        if df <= 0 or statistic < -1e-6:
            raise SpecError(
                f"compare: node {before['node']!r} has {df} more parameters and a statistic of "
                f"{statistic:.3g}; give the smaller of two nested models first."
            )
        rows.append({"node": before["node"], "statistic": max(statistic, 0.0), "df": df})
    table = pd.DataFrame(rows, columns=["node", "statistic", "df"])
    joint = {"node": "joint", "statistic": table["statistic"].sum(), "df": table["df"].sum()}
    table = pd.concat([table, pd.DataFrame([joint])], ignore_index=True)
    return table.assign(
        p=scipy.stats.chi2.sf(table["statistic"].astype(float), table["df"].astype(float))
    )
