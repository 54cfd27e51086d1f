"""What can go wrong, by statistical meaning. Every message says who, what was got, what is allowed.

The errors subclass the builtin that a caller would expect, so ``except ValueError`` keeps working.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConvergenceWarning",
    "DataError",
    "ExtrapolationWarning",
    "IntegrationWarning",
    "NotFittedError",
    "SeparationWarning",
    "SpecError",
]


class SpecError(ValueError):
    """The DAG, a node or a query about it is not well formed."""


class DataError(ValueError):
    """A table, a value or a file does not fit the model."""


class NotFittedError(RuntimeError):
    """A query needs parameters that only ``fit`` provides."""


class ConvergenceWarning(UserWarning):
    """A fit stopped before its certificate held, or a parameter is not estimable."""


class ExtrapolationWarning(UserWarning):
    """A node is set to a value outside the range of its training rows."""


class IntegrationWarning(UserWarning):
    """An integral rests on so few effective points that its reported error is not to be trusted."""


class SeparationWarning(UserWarning):
    """The maximum of the likelihood lies at infinity for at least one parameter.

    So it does for the parameters of a level that no training row has.
    """


def name_list(names: Iterable[object]) -> str:
    """Names for a message: ``'a', 'b', 'c'``; ``none`` when there are none."""
    return ", ".join(repr(name) for name in names) or "none"


def did_you_mean(name: object, allowed: Iterable[str]) -> str:
    """``" Did you mean 'Age'?"`` when one allowed name is close, else an empty string."""
    close = difflib.get_close_matches(str(name), [str(a) for a in allowed], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
