"""TRAM-DAGs: interpretable causal transformation models on a known DAG.

>>> import tramdag as td
>>> spec = {"Age": td.ContinuousNode(), "T": td.OrdinalNode(levels=2, parents={"Age": "ls"})}
>>> td.CausalFlowDAG(spec)
CausalFlowDAG(Age, T; not fitted)
"""

import importlib
from types import ModuleType

from tramdag.ensemble import Ensemble, fit_replicates
from tramdag.errors import (
    ConvergenceWarning,
    DataError,
    ExtrapolationWarning,
    IntegrationWarning,
    NotFittedError,
    SeparationWarning,
    SpecError,
)
from tramdag.flow import CausalFlowDAG
from tramdag.flow_inference import compare
from tramdag.spec import (
    CI,
    CS,
    LS,
    VC,
    ContinuousNode,
    I,
    OrdinalNode,
    spec_from_dict,
    spec_to_dict,
)

__all__ = [
    "CI",
    "CS",
    "LS",
    "VC",
    "CausalFlowDAG",
    "ContinuousNode",
    "ConvergenceWarning",
    "DataError",
    "Ensemble",
    "ExtrapolationWarning",
    "I",
    "IntegrationWarning",
    "NotFittedError",
    "OrdinalNode",
    "SeparationWarning",
    "SpecError",
    "compare",
    "fit_replicates",
    "simulations",
    "spec_from_dict",
    "spec_to_dict",
]


def __getattr__(name: str) -> ModuleType:
    """Resolve ``tramdag.simulations`` on first use: the two packages don't import each other."""
    if name == "simulations":
        return importlib.import_module("tramdag.simulations")
    raise AttributeError(f"module 'tramdag' has no attribute {name!r}")
