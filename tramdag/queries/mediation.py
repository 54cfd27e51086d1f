"""Which nodes a law must integrate out, and which of them are weighed: questions about the graph.

Asked for given rows, only the effects of the intervened nodes that are causes of the queried one,
the *mediators*, follow their conditional laws; everything else keeps the row's values. Asked for
the population, every cause that evidence does not shield follows its law, and evidence that says
something about them weighs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from tramdag.node import Conditional
from tramdag.queries.sampling import Interventions
from tramdag.spec import descendants

__all__ = ["SCOPES", "mediators_of", "needed_columns", "requisite"]

SCOPES = ("total", "controlled")
"""``total``: mediators respond to the intervention. ``controlled``: they keep the row's values."""


def mediators_of(
    conditionals: Mapping[str, Conditional],
    node: str,
    intervened: Mapping[str, object],
    *,
    scope: str = "total",
) -> list[str]:
    """Effects of the intervention that are causes of ``node`` and not set themselves, in order."""
    if scope == "controlled":
        return []
    nodes = {name: conditional.node for name, conditional in conditionals.items()}
    changed = descendants(nodes, intervened)
    # the edges into a set node are cut
    causes = _upstream(_parents_under(conditionals, intervened), {node}) - {node}
    return [n for n in conditionals if n in changed and n in causes and n not in intervened]


def needed_columns(
    conditionals: Mapping[str, Conditional],
    node: str,
    interventions: Interventions,
    *,
    scope: str = "total",
) -> list[str]:
    """Columns that a law of ``node`` takes from the rows.

    These are the parents of the node and of its mediators that are neither mediators nor set, and
    the natural values that a callable intervention asks for.
    """
    mediators = mediators_of(conditionals, node, interventions, scope=scope)
    used = {p for name in (node, *mediators) for p in conditionals[name].parents}
    taken = used - set(mediators) - set(interventions)
    taken |= {name for name, action in interventions.items() if callable(action)}
    return [name for name in conditionals if name in taken]


def requisite(
    conditionals: Mapping[str, Conditional],
    node: str,
    interventions: Interventions,
    evidence: Set[str],
) -> tuple[list[str], list[str]]:
    r"""Nodes that a law of the population integrates out, and evidence that weighs them.

    In the graph whose edges into set nodes are cut, the law of ``node`` given the evidence is
    proportional to the product of conditional laws of the causes of node and evidence. Of these
    factors only those count whose families are linked to ``node`` through unobserved nodes
    (d-separation on the moral graph); the others cancel.

    Args:
        conditionals: Conditional laws in causal order.
        node: The queried node.
        interventions: Nodes that are set; one set by a callable keeps its natural law.
        evidence: Nodes with known values, no effects of the interventions.

    Returns:
        Nodes integrated out and weighing evidence, each in causal order. ``node`` itself is among
        the former only if a callable changes it or its own effects weigh it; otherwise its law
        given the others is analytic.

    References:
        Lauritzen et al. (1990), Independence properties of directed Markov fields, Networks 20.
    """
    constants = {name for name, action in interventions.items() if not callable(action)}
    if node in constants:
        return [], []
    parents = _parents_under(conditionals, constants)
    closure = _upstream(parents, {node, *evidence})
    observed = constants | evidence
    families = [{name, *parents[name]} for name in conditionals if name in closure - constants]
    linked, reached = {node}, set[str]()
    while reached != linked:
        reached = set(linked)
        linked |= {n for f in families if f & reached for n in f} - observed
    factors = [name for name in conditionals if name in closure and linked & {name, *parents[name]}]
    weighing = [name for name in factors if name in evidence]
    analytic = node not in interventions and not any(node in parents[name] for name in factors)
    integrated = [n for n in conditionals if n in linked and not (analytic and n == node)]
    return integrated, weighing


def _parents_under(
    conditionals: Mapping[str, Conditional], cut: Mapping[str, object] | Set[str]
) -> dict[str, tuple[str, ...]]:
    """Parents of every node in the graph whose edges into the ``cut`` nodes are gone."""
    return {n: () if n in cut else tuple(c.parents) for n, c in conditionals.items()}


def _upstream(parents: Mapping[str, tuple[str, ...]], names: Set[str]) -> set[str]:
    """The named nodes and all their causes."""
    found: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(parents[name])
    return found
