"""Observational, interventional and counterfactual queries on a fitted DAG.

All functions take the nodes' conditional laws as a mapping in causal order and tables as
dicts of tensors; they know neither DataFrames nor the flow.
"""

from tramdag.queries.counterfactual import counterfactual_pmf
from tramdag.queries.effects import ArmMeans, JointResult, arm_means, joint_outcomes
from tramdag.queries.laws import LawResult, cdf, density, pmf, quantile
from tramdag.queries.mediation import SCOPES, needed_columns
from tramdag.queries.query import Query
from tramdag.queries.sampling import Interventions, abduct, log_prob, sample

__all__ = [
    "SCOPES",
    "ArmMeans",
    "Interventions",
    "JointResult",
    "LawResult",
    "Query",
    "abduct",
    "arm_means",
    "cdf",
    "counterfactual_pmf",
    "density",
    "joint_outcomes",
    "log_prob",
    "needed_columns",
    "pmf",
    "quantile",
    "sample",
]
