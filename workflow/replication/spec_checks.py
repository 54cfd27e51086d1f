"""Specifications in a configuration: whether the library will take them, found out without it.

``import tramdag`` loads torch, which takes seconds, and Snakemake reads the configuration again
in every job. The rules of :mod:`tramdag.spec` that the schema cannot express stand here a second
time, in plain Python; the tests hold both against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from replication.config import ConfigError, check_known

__all__ = ["ancestors", "check_same_columns", "check_spec", "parents_of", "terms_of"]

MOST = 1000
"""Most levels of an ordinal node and most coefficients of a transform or spline."""

_NODE_KEYS = {"ordinal": {"levels"}, "continuous": {"transform", "n_coefs"}}
_TERM_KEYS = {"ls": set(), "cs": {"hidden"}, "ci": {"hidden"}, "vc": {"by", "n_coefs", "hidden"}}

Spec = Mapping[str, Mapping[str, Any]]


def terms_of(node: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """Kind and parents of each term of a node, from either notation."""
    short = [(kind, (parent,)) for parent, kind in node.get("parents", {}).items()]
    terms = node.get("terms", ())
    return short + [(t["kind"], (*t["parents"], *t.get("by", ()))) for t in terms]


def parents_of(node: Mapping[str, Any]) -> list[str]:
    """Names of the direct causes of a node, each once."""
    return list(dict.fromkeys(name for _, parents in terms_of(node) for name in parents))


def ancestors(spec: Spec, name: str) -> set[str]:
    """All causes of a node, direct or not."""
    found: set[str] = set()
    stack = parents_of(spec[name])
    while stack:
        parent = stack.pop()
        if parent not in found:
            found.add(parent)
            stack += parents_of(spec[parent])
    return found


def check_spec(spec: Spec, *, where: str) -> None:
    """Check that a specification, valid by the schema, is one of a DAG that the library takes.

    Args:
        spec: Plain form of the specification.
        where: Its place in the configuration, for messages.

    Raises:
        ConfigError: A node or a term has too much or too little, a parent is no node, or the
            graph has a cycle.
    """
    for name, node in spec.items():
        _check_node(node, where=f"{where}.{name}")
        for number, term in enumerate(node.get("terms", ())):
            _check_term(term, where=f"{where}.{name}.terms[{number}]")
        _check_distinct(node, where=f"{where}.{name}.terms")
        key = "terms" if node.get("terms") else "parents"
        for parent in parents_of(node):
            check_known(parent, spec, where=f"{where}.{name}.{key}", what="node")
    try:
        TopologicalSorter({name: parents_of(node) for name, node in spec.items()}).prepare()
    except CycleError as error:
        raise ConfigError(
            f"{where}: the graph has a cycle, {' -> '.join(error.args[1])}; causes must form a "
            "DAG, remove one of these edges."
        ) from None


def check_same_columns(specs: Mapping[str, Spec], *, where: str) -> None:
    """Check that the models of an experiment are about the same columns.

    They stand side by side in its tables and figures, so each has every column as a node of the
    same kind; edges, terms and transforms are its own.

    Args:
        specs: Specifications by the name of their model.
        where: The models' place in the configuration, for messages.

    Raises:
        ConfigError: A model lacks a column of another, or has it of another kind or number of
            levels.
    """
    columns: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for model, spec in specs.items():
        for name, node in spec.items():
            first, known = columns.setdefault(name, (model, node))
            if any(node.get(key) != known.get(key) for key in ("kind", "levels")):
                raise ConfigError(
                    f"{where}.{model}.spec.{name}: the column is {_kind(node)} here and "
                    f"{_kind(known)} in the model {first!r}; give it once in the same way."
                )
    for model, spec in specs.items():
        missing = [name for name in columns if name not in spec]
        if missing:
            raise ConfigError(
                f"{where}.{model}.spec: there is no node {missing[0]!r}, which the model "
                f"{columns[missing[0]][0]!r} has; give every model all columns, one that plays no "
                "part without parents and children."
            )


def _kind(node: Mapping[str, Any]) -> str:
    return f"ordinal with {node['levels']} levels" if "levels" in node else str(node["kind"])


def _check_node(node: Mapping[str, Any], *, where: str) -> None:
    kind = node["kind"]
    allowed = {"kind", "parents", "terms"} | _NODE_KEYS[kind]
    for key in node:
        if key not in allowed:
            raise ConfigError(
                f"{where}.{key}: no key of a node that is {kind}; allowed are "
                f"{', '.join(sorted(allowed))}."
            )
    if kind == "ordinal" and "levels" not in node:
        raise ConfigError(
            f"{where}: the key 'levels' is missing; an ordinal node says how many levels it has."
        )
    for key in ("levels", "n_coefs"):
        if key in node:
            _check_count(node[key], where=f"{where}.{key}")
    if node.get("parents") and node.get("terms"):
        raise ConfigError(f"{where}: give either parents or terms, got both.")


def _check_term(term: Mapping[str, Any], *, where: str) -> None:
    kind = term["kind"]
    allowed = {"kind", "parents"} | _TERM_KEYS[kind]
    for key in term:
        if key not in allowed:
            raise ConfigError(
                f"{where}.{key}: no key of a term {kind}; allowed are {', '.join(sorted(allowed))}."
            )
    parents = [*term["parents"], *term.get("by", ())]
    repeated = sorted({name for name in parents if parents.count(name) > 1})
    if repeated:
        raise ConfigError(f"{where}: the parent {repeated[0]!r} is named twice.")
    if "n_coefs" in term:
        _check_count(term["n_coefs"], where=f"{where}.n_coefs")
    if kind != "vc":
        return
    if len(term["parents"]) != 1 or "by" not in term:
        raise ConfigError(
            f"{where}: a varying coefficient has one parent and the key 'by', such as "
            f"{{kind: vc, parents: [T], by: [Age]}}; got parents: {term['parents']} and "
            f"by: {term.get('by')}."
        )
    if len(term["by"]) > 1 and "hidden" not in term:
        raise ConfigError(
            f"{where}.by: a spline varies with one parent, got {', '.join(term['by'])}; give "
            "hidden: [32, 32] for a network of several."
        )


def _check_count(value: Any, *, where: str) -> None:
    # to a JSON schema 3.0 is an integer, to the library it is none
    if not isinstance(value, int) or value > MOST:
        raise ConfigError(f"{where}: {value!r} must be a whole number from 2 to {MOST}.")


def _check_distinct(node: Mapping[str, Any], *, where: str) -> None:
    terms = [_identity(term) for term in node.get("terms", ())]
    for number, term in enumerate(terms):
        if term in terms[:number]:
            raise ConfigError(
                f"{where}: terms[{number}] repeats terms[{terms.index(term)}]; leave one out."
            )


def _identity(term: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a term the same as another, with the defaults of the library."""
    hidden = term.get("hidden", [32, 32] if term["kind"] in {"cs", "ci"} else None)
    return term["kind"], term["parents"], term.get("by"), term.get("n_coefs", 4), hidden
