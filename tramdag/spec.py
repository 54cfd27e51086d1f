"""The specification of a TRAM-DAG: nodes, the terms their parents enter by, and the DAG they form.

A specification is a mapping from column names to nodes::

    {"x1": ContinuousNode(),
     "x2": ContinuousNode(parents={"x1": "ls"}),
     "x3": OrdinalNode(levels=4, terms=[LS("x1"), CS("x2")])}

``parents`` is shorthand for ``terms``: several ``"ci"`` parents become one joint :class:`CI`, every
``"ls"`` and ``"cs"`` parent a term of its own. Everything here is immutable and knows no data.

References:
    Sick and Duerr (2025), CLeaR, section 3 (the term notation SI, CI, LS, CS).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from tramdag.errors import SpecError, did_you_mean, name_list
from tramdag.notation import (
    CI,
    CS,
    DEFAULT_HIDDEN,
    LS,
    MAX_COEFS,
    TERMS,
    VC,
    I,
    NetworkTerm,
    Term,
    is_whole_number,
    resolve_terms,
)

__all__ = [
    "CI",
    "CS",
    "LS",
    "TRANSFORMS",
    "VC",
    "ContinuousNode",
    "I",
    "Node",
    "OrdinalNode",
    "Spec",
    "Term",
    "ancestors",
    "causal_order",
    "check_spec",
    "descendants",
    "is_whole_number",
    "spec_from_dict",
    "spec_to_dict",
]

TRANSFORMS = ("bernstein", "spline", "affine")
"""Monotone maps that a continuous node can use, see :mod:`tramdag.transforms`."""

MAX_LEVELS = 1000
"""Most levels of an ordinal node: each has a parameter, and as a parent a column, of its own."""


@dataclass(frozen=True, init=False)
class Node:
    """A variable of the DAG; use :class:`ContinuousNode` or :class:`OrdinalNode`."""

    terms: tuple[Term, ...]

    @property
    def parents(self) -> tuple[str, ...]:
        """Names of the direct causes, each once, in the order of the terms."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.parents))


@dataclass(frozen=True, init=False)
class ContinuousNode(Node):
    r"""A continuous variable with :math:`u = h(x;\theta) + \text{shifts}`, u standard logistic.

    Args:
        parents: Shorthand ``{"name": "ls" | "cs" | "ci"}``.
        terms: General notation, a sequence of terms; instead of ``parents``.
        transform: ``"bernstein"`` (polynomial with linear tails), ``"spline"`` (rational
            quadratic) or ``"affine"``.
        n_coefs: Coefficients of the Bernstein polynomial (its degree plus one), or bins of the
            spline; without meaning for the affine map.

    Raises:
        SpecError: An argument is not allowed.
    """

    transform: str
    n_coefs: int

    def __init__(
        self,
        parents: Mapping[str, str] | None = None,
        *,
        terms: Sequence[Term] | None = None,
        transform: str = "bernstein",
        n_coefs: int = 20,
    ) -> None:
        if transform not in TRANSFORMS:
            raise SpecError(
                f"ContinuousNode: transform={transform!r} is unknown; allowed are "
                f"{name_list(TRANSFORMS)}.{did_you_mean(transform, TRANSFORMS)}"
            )
        if not is_whole_number(n_coefs, at_least=2) or n_coefs > MAX_COEFS:
            raise SpecError(
                f"ContinuousNode: n_coefs={n_coefs!r} must be a whole number from 2 to {MAX_COEFS}."
            )
        object.__setattr__(self, "terms", resolve_terms(parents, terms, "ContinuousNode"))
        object.__setattr__(self, "transform", transform)
        object.__setattr__(self, "n_coefs", int(n_coefs))


@dataclass(frozen=True, init=False)
class OrdinalNode(Node):
    r"""An ordered variable 0..K-1 with :math:`P(x \le k) = \sigma(\theta_k - \text{shifts})`.

    Args:
        levels: Number of levels K, at least 2; a binary variable has two.
        parents: Shorthand ``{"name": "ls" | "cs" | "ci"}``.
        terms: General notation, a sequence of terms; instead of ``parents``.

    Raises:
        SpecError: An argument is not allowed.
    """

    levels: int

    def __init__(
        self,
        levels: int,
        parents: Mapping[str, str] | None = None,
        *,
        terms: Sequence[Term] | None = None,
    ) -> None:
        if not is_whole_number(levels, at_least=2):
            raise SpecError(
                f"OrdinalNode: levels={levels!r} must be a whole number of at least 2: an ordinal "
                "node has the levels 0, 1, ..., levels - 1."
            )
        if levels > MAX_LEVELS:
            raise SpecError(
                f"OrdinalNode: levels={levels!r} are more than {MAX_LEVELS}; every level has a "
                "parameter of its own. Merge levels, or declare the variable as a ContinuousNode."
            )
        object.__setattr__(self, "terms", resolve_terms(parents, terms, "OrdinalNode"))
        object.__setattr__(self, "levels", int(levels))


Spec = Mapping[str, Node]
"""Column names to nodes."""


def check_spec(spec: Spec) -> dict[str, Node]:
    """Return the specification as a dict after checking that it is a DAG over its own names.

    Raises:
        SpecError: Not a mapping, empty, a bad name, a value that is no node, an unknown parent, or
            a cycle; the message names the node.
    """
    if not isinstance(spec, Mapping) or not spec:
        raise SpecError(
            f"a specification maps column names to nodes, got {spec!r}; "
            'for example {"x1": ContinuousNode()}.'
        )
    for name, node in spec.items():
        if not isinstance(name, str) or not name:
            raise SpecError(f"node name {name!r} must be a non-empty string, the column's name.")
        if not isinstance(node, (ContinuousNode, OrdinalNode)):
            raise SpecError(
                f"node {name!r}: expected a ContinuousNode or an OrdinalNode, got {node!r}."
            )
    for name, node in spec.items():
        for parent in node.parents:
            if parent not in spec:
                raise SpecError(
                    f"node {name!r}: parent {parent!r} is not a node of the DAG; nodes are "
                    f"{name_list(spec)}.{did_you_mean(parent, spec)}"
                )
    causal_order(spec)
    return dict(spec)


def causal_order(spec: Spec) -> tuple[str, ...]:
    """Names with every parent before its children; ties in the specification's own order.

    Raises:
        SpecError: The graph has a cycle; the message spells it out.
    """
    sorter = TopologicalSorter({name: node.parents for name, node in spec.items()})
    position = {name: i for i, name in enumerate(spec)}
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise SpecError(
            f"the graph has a cycle, {cycle}: causes must form a DAG, remove one of these edges."
        ) from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=position.__getitem__)
        order.extend(ready)
        sorter.done(*ready)
    return tuple(order)


def ancestors(spec: Spec, names: Iterable[str]) -> frozenset[str]:
    """All causes of the named nodes, direct or not."""
    found: set[str] = set()
    stack = [parent for name in names for parent in spec[name].parents]
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(spec[name].parents)
    return frozenset(found)


def descendants(spec: Spec, names: Iterable[str]) -> frozenset[str]:
    """All effects of the named nodes, direct or not."""
    causes = set(names)
    return frozenset(name for name in spec if causes & ancestors(spec, [name]))


def spec_to_dict(spec: Spec) -> dict[str, dict[str, Any]]:
    """Plain, JSON-ready form of a specification; the inverse of :func:`spec_from_dict`."""
    return {name: _node_to_dict(node) for name, node in spec.items()}


def spec_from_dict(plain: Mapping[str, Mapping[str, Any]]) -> dict[str, Node]:
    """Specification from its plain form, as read from JSON or YAML.

    Each node is ``{"kind": "continuous" | "ordinal", ...}`` with the keyword arguments of
    :class:`ContinuousNode` or :class:`OrdinalNode`; a term is
    ``{"kind": "ls" | "cs" | "ci", "parents": [...]}`` with an optional ``hidden``, or
    ``{"kind": "vc", "parents": [...], "by": [...]}``.

    Raises:
        SpecError: A key or value is not allowed; the message names the node.
    """
    if not isinstance(plain, Mapping):
        raise SpecError(f"expected a mapping from node names to nodes, got {plain!r}.")
    spec: dict[str, Node] = {}
    for name, entry in plain.items():
        try:
            spec[name] = _node_from_dict(entry)
        except (SpecError, TypeError) as error:
            raise SpecError(f"node {name!r}: {error}") from None
    return check_spec(spec)


_NODES: dict[str, type[ContinuousNode] | type[OrdinalNode]] = {
    "continuous": ContinuousNode,
    "ordinal": OrdinalNode,
}


def _term_to_dict(term: Term) -> dict[str, Any]:
    plain: dict[str, Any] = {"kind": term.kind, "parents": list(term.parents)}
    if isinstance(term, NetworkTerm) and term.hidden != DEFAULT_HIDDEN:
        plain["hidden"] = list(term.hidden)
    if isinstance(term, VC):
        plain |= {"parents": [term.parents[0]], "by": list(term.by), "n_coefs": term.n_coefs}
        if term.hidden is not None:
            plain["hidden"] = list(term.hidden)
    return plain


def _term_from_dict(plain: Mapping[str, Any]) -> Term:
    if not isinstance(plain, Mapping):
        raise SpecError(
            f'a term is a mapping such as {{"kind": "ls", "parents": ["Age"]}}, got {plain!r}.'
        )
    options = dict(plain)
    kind, parents = options.pop("kind", None), options.pop("parents", ())
    if not isinstance(kind, str) or kind not in TERMS:
        raise SpecError(f"unknown term kind {kind!r}; allowed are {name_list(TERMS)}.")
    if isinstance(parents, str) or not isinstance(parents, Sequence):
        raise SpecError(f"parents={parents!r} of a term must be a list of names, such as ['Age'].")
    return TERMS[kind](*parents, **options)


def _node_to_dict(node: Node) -> dict[str, Any]:
    plain: dict[str, Any]
    if isinstance(node, OrdinalNode):
        plain = {"kind": "ordinal", "levels": node.levels}
    elif isinstance(node, ContinuousNode):
        plain = {"kind": "continuous", "transform": node.transform, "n_coefs": node.n_coefs}
    if node.terms:
        plain["terms"] = [_term_to_dict(term) for term in node.terms]
    return plain


def _node_from_dict(plain: Mapping[str, Any]) -> Node:
    if not isinstance(plain, Mapping):
        raise SpecError(f'expected a mapping such as {{"kind": "continuous"}}, got {plain!r}.')
    options = dict(plain)
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in _NODES:
        raise SpecError(f"unknown kind {kind!r}; allowed are {name_list(_NODES)}.")
    if "terms" in options:
        if isinstance(options["terms"], str) or not isinstance(options["terms"], Sequence):
            raise SpecError(f"terms={options['terms']!r} must be a list of terms.")
        options["terms"] = [_term_from_dict(term) for term in options["terms"]]
    return _NODES[kind](**options)
