"""Ground truth for the replication: processes with known equations, in plain numpy.

The package knows nothing of the library that is tested against it, so that both are independent
statements of the same mathematics. ``REGISTRY`` maps the name of each process to its generator:

    >>> REGISTRY["vaca"](seed=42).observational(1000).columns.tolist()
    ['x1', 'x2', 'x3']

``python -m simulations freeze`` writes the frozen data, ``python -m simulations verify`` checks
them against the generators.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .carefl import Carefl4
from .magic_mrclean import MagicMrClean
from .triangle import TriangleContinuous
from .triangle_mixed import TriangleMixed
from .vaca import VacaTriangle

REGISTRY: Mapping[str, type[Any]] = MappingProxyType(
    {
        "triangle": TriangleContinuous,
        "triangle-mixed": TriangleMixed,
        "vaca": VacaTriangle,
        "carefl": Carefl4,
        "magic-mrclean": MagicMrClean,
    }
)
"""Name of the process to its generator class."""

__all__ = [
    "REGISTRY",
    "Carefl4",
    "MagicMrClean",
    "TriangleContinuous",
    "TriangleMixed",
    "VacaTriangle",
]
