"""Fitting a DAG: the joint likelihood separates, so every node gets the solver that suits it.

Classical nodes (linear shifts under a convex head) are solved exactly, :mod:`.exact`; all others
are trained by steps, :mod:`.stochastic`, nodes of one shape together, :mod:`.stack`: by full-batch
quasi-Newton steps, :mod:`.quasi_newton`, or by Adam, :mod:`.adam`. Every solver
takes many replicates at once: data sets that differ in case weights, fits that differ in seeds.
"""

from tramdag.fitting.gradient import FitRows, NodeFits
from tramdag.fitting.nodes import fit_data_sets, fit_nodes
from tramdag.fitting.report import FitReport, NodeHistory, NodeReport, hash_of_rows
from tramdag.fitting.settings import AdamSettings, FitSettings, check_solvable
from tramdag.fitting.stack import flatten, restore

__all__ = [
    "AdamSettings",
    "FitReport",
    "FitRows",
    "FitSettings",
    "NodeFits",
    "NodeHistory",
    "NodeReport",
    "check_solvable",
    "fit_data_sets",
    "fit_nodes",
    "flatten",
    "hash_of_rows",
    "restore",
]
