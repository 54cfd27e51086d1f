"""Observational, interventional and counterfactual queries on a fitted DAG.

All functions take the nodes' conditional laws as a mapping in causal order and tables as
dicts of tensors; they know neither DataFrames nor the flow.
"""

from tramdag.queries.counterfactual import counterfactual_pmf
from tramdag.queries.effects import arm_means, arm_quantiles
from tramdag.queries.joint import JointResult, joint_outcomes
from tramdag.queries.laws import LawResult, cdf, density, pmf, quantile
from tramdag.queries.mediation import SCOPES, needed_columns
from tramdag.queries.query import Query
from tramdag.queries.sampling import Interventions, abduct, log_prob, sample
from tramdag.queries.statistics import Statistics, on_the_way, stack

__all__ = [
    "SCOPES",
    "Interventions",
    "JointResult",
    "LawResult",
    "Query",
    "Statistics",
    "abduct",
    "arm_means",
    "arm_quantiles",
    "cdf",
    "counterfactual_pmf",
    "density",
    "joint_outcomes",
    "log_prob",
    "needed_columns",
    "on_the_way",
    "pmf",
    "quantile",
    "sample",
    "stack",
]
