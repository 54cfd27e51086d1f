"""The terms by which parents enter a node: the vocabulary of a specification.

Several names in one term are one joint network; ``LS("T", "Age")`` is a product; ``VC("T",
by="Age")`` is an odds ratio that varies with a covariate.

References:
    Sick and Duerr (2025), CLeaR, section 3 (the term notation SI, CI, LS, CS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar

from tramdag.errors import SpecError, did_you_mean, name_list

__all__ = [
    "CI",
    "CS",
    "DEFAULT_HIDDEN",
    "LS",
    "MAX_COEFS",
    "TERMS",
    "VC",
    "I",
    "NetworkTerm",
    "Term",
    "is_whole_number",
    "resolve_terms",
]

DEFAULT_HIDDEN = (32, 32)
"""Widths of the hidden layers of a network term."""

MAX_COEFS = 1000
"""Most coefficients of a continuous node's transform."""


def is_whole_number(value: object, *, at_least: int) -> bool:
    """Whether a value is an integer, NumPy's included but no bool, of at least ``at_least``."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= at_least


@dataclass(frozen=True, init=False)
class Term:
    """One way in which parents enter a node: :class:`LS`, :class:`CS`, :class:`CI`, :class:`VC`.

    Attributes:
        parents: Names of the parents that enter this term together, in order.
    """

    parents: tuple[str, ...]
    kind: ClassVar[str] = ""

    def __init__(self, *parents: str) -> None:
        if not parents or not all(isinstance(p, str) and p for p in parents):
            raise SpecError(
                f"{type(self).__name__}: expected one or more parent names, got {parents!r}. "
                f'Write for example {type(self).__name__}("Age").'
            )
        if len(set(parents)) < len(parents):
            raise SpecError(f"{type(self).__name__}: a parent is named twice in {parents!r}.")
        object.__setattr__(self, "parents", tuple(parents))


class LS(Term):
    r"""Linear shift :math:`\sum_j \beta_j x_j`; several names make the product of their columns.

    ``exp(beta)`` is an odds ratio per unit of the parent. Ordinal parents enter by level against
    level 0.
    """

    kind = "ls"


def _check_hidden(hidden: Sequence[int], who: str) -> tuple[int, ...]:
    if (
        isinstance(hidden, str)
        or not isinstance(hidden, Sequence)
        or not all(is_whole_number(width, at_least=1) for width in hidden)
    ):
        raise SpecError(
            f"{who}: hidden={hidden!r} must be a sequence of positive layer widths, such as "
            "(32, 32)."
        )
    return tuple(int(width) for width in hidden)


@dataclass(frozen=True, init=False)
class NetworkTerm(Term):
    """A term that is a network of its parents, with the widths of its hidden layers."""

    hidden: tuple[int, ...] = DEFAULT_HIDDEN

    def __init__(self, *parents: str, hidden: Sequence[int] = DEFAULT_HIDDEN) -> None:
        super().__init__(*parents)
        object.__setattr__(
            self, "hidden", _check_hidden(hidden, f"{type(self).__name__}{parents!r}")
        )


class CS(NetworkTerm):
    """Complex shift: a network of the parents (jointly, if several) added on the latent scale."""

    kind = "cs"


class CI(NetworkTerm):
    """Complex intercept: a network of the parents (jointly) makes the transform's parameters.

    Separate CI terms add in the unconstrained parameter space.
    """

    kind = "ci"


@dataclass(frozen=True, init=False)
class VC(Term):
    r"""Varying coefficient :math:`\beta(by)\, x`: a linear shift whose coefficient varies.

    With ``exp(beta(by))`` an odds ratio that varies with a covariate. A smooth spline of one
    parent by default, which keeps the likelihood convex; with ``hidden`` a network of one or more.
    The parents in ``by`` get no effect of their own from this term: add ``LS`` or ``CS`` for them.

    Args:
        parent: The parent x whose coefficient varies.
        by: The parent, or with ``hidden`` the parents, that it varies with.
        n_coefs: Coefficients of the spline, a polynomial of degree ``n_coefs - 1`` between the 5 %
            and 95 % quantiles of ``by`` with linear continuation; levels of an ordinal parent each
            get their own. Without meaning for a network.
        hidden: Widths of a network's hidden layers, None for the spline.
    """

    n_coefs: int
    hidden: tuple[int, ...] | None
    kind = "vc"

    def __init__(
        self,
        parent: str,
        *,
        by: str | Sequence[str],
        n_coefs: int = 4,
        hidden: Sequence[int] | None = None,
    ) -> None:
        if not isinstance(by, (str, list, tuple)):
            raise SpecError(
                f"VC({parent!r}): by={by!r} must be a parent's name or a list of names."
            )
        super().__init__(parent, *((by,) if isinstance(by, str) else by))
        if len(self.parents) < 2 or (len(self.parents) > 2 and hidden is None):
            raise SpecError(
                f"VC({parent!r}, by={by!r}): a spline varies with exactly one other parent; give "
                "hidden=(32, 32) for a network of several."
            )
        if not is_whole_number(n_coefs, at_least=2) or n_coefs > MAX_COEFS:
            raise SpecError(
                f"VC({parent!r}): n_coefs={n_coefs!r} must be a whole number from 2 to {MAX_COEFS}."
            )
        object.__setattr__(self, "n_coefs", int(n_coefs))
        object.__setattr__(self, "hidden", None if hidden is None else _check_hidden(hidden, "VC"))

    @property
    def by(self) -> tuple[str, ...]:
        """The parents that the coefficient varies with."""
        return self.parents[1:]


I = CI  # noqa: E741, the notation of the paper
_SHORTHAND: dict[str, type[Term]] = {"ls": LS, "cs": CS, "ci": CI}
TERMS: dict[str, type[Term]] = {**_SHORTHAND, "vc": VC}


def _terms_from_parents(parents: Mapping[str, str], who: str) -> tuple[Term, ...]:
    if not isinstance(parents, Mapping):
        raise SpecError(
            f'{who}: parents={parents!r} must map parent names to terms, such as {{"Age": "ls"}}; '
            "use terms=[...] for the general notation."
        )
    for name, kind in parents.items():
        if not isinstance(kind, str) or kind not in _SHORTHAND:
            raise SpecError(
                f"{who}: in parents={dict(parents)!r} the parent {name!r} has the unknown term "
                f"{kind!r}; allowed are {name_list(_SHORTHAND)}.{did_you_mean(kind, _SHORTHAND)}"
            )
    single: list[Term] = [_SHORTHAND[k](p) for p, k in parents.items() if k != "ci"]
    joint = [p for p, k in parents.items() if k == "ci"]
    return tuple(([CI(*joint)] if joint else []) + single)


def resolve_terms(
    parents: Mapping[str, str] | None, terms: Sequence[Term] | None, who: str
) -> tuple[Term, ...]:
    """The terms of a node, from either notation; ``who`` is named in errors.

    Raises:
        SpecError: Both notations are used, or one of them wrongly.
    """
    if parents and terms:
        raise SpecError(
            f"{who}: got parents={parents!r} and terms={terms!r}; give one of them, parents= is "
            "the shorthand of terms=."
        )
    if parents:
        return _terms_from_parents(parents, who)
    if isinstance(terms, Term):
        raise SpecError(
            f"{who}: terms= must be a sequence, got the single term {terms!r}; write [term]."
        )
    resolved = tuple(terms or ())
    for term in resolved:
        if not isinstance(term, (LS, CS, CI, VC)):
            raise SpecError(f"{who}: terms= may hold LS, CS, CI and VC terms, got {term!r}.")
    if len(set(resolved)) < len(resolved):
        raise SpecError(f"{who}: a term is given twice in {list(resolved)!r}.")
    return resolved
