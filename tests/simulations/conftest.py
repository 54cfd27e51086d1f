"""The list of all processes: a new generator is one more line here."""

import pytest

from simulations import Carefl4, MagicMrClean, TriangleContinuous, TriangleMixed, VacaTriangle
from simulations.scm import InvertibleModel
from simulations.triangle import CURVES

MODELS = [
    *(TriangleContinuous(f) for f in CURVES),
    *(TriangleMixed(f) for f in CURVES),
    VacaTriangle(),
    Carefl4(),
    MagicMrClean("ls"),
    MagicMrClean("nl"),
    MagicMrClean("nl").trial(),
]


@pytest.fixture(params=MODELS, ids=str)
def model(request):
    """Every process in every variant."""
    return request.param


@pytest.fixture(params=[m for m in MODELS if isinstance(m, InvertibleModel)], ids=str)
def invertible_model(request):
    """Every process whose rows determine their latents."""
    return request.param
