"""The ground-truth generators, ``simulations``, under the library's name; imported on first use."""

from simulations import *  # noqa: F403
from simulations import __all__  # noqa: F401
