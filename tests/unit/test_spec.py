from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tramdag.errors import SpecError
from tramdag.spec import (
    CI,
    CS,
    LS,
    TRANSFORMS,
    ContinuousNode,
    I,
    Node,
    OrdinalNode,
    Term,
    ancestors,
    causal_order,
    check_spec,
    descendants,
    spec_from_dict,
    spec_to_dict,
)

DIAMOND = {
    "d": ContinuousNode({"b": "ls", "c": "cs"}),
    "b": ContinuousNode({"a": "ls"}),
    "c": OrdinalNode(3, {"a": "ci"}),
    "a": ContinuousNode(),
    "e": ContinuousNode(),
}


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Node]:
    """Random DAGs whose nodes are named in causal order and then shuffled."""
    names = [f"x{i}" for i in range(draw(st.integers(1, 6)))]
    nodes: dict[str, Node] = {}
    for i, name in enumerate(names):
        terms: list[Term] = []
        for _ in range(draw(st.integers(0, 3)) if i else 0):
            chosen = draw(st.lists(st.sampled_from(names[:i]), min_size=1, unique=True))
            hidden = draw(st.lists(st.integers(1, 64), max_size=3))
            term = draw(
                st.sampled_from([LS(*chosen), CS(*chosen, hidden=hidden), CI(*chosen), CS(*chosen)])
            )
            if term not in terms:
                terms.append(term)
        if draw(st.booleans()):
            nodes[name] = OrdinalNode(draw(st.integers(2, 9)), terms=terms)
        else:
            transform = draw(st.sampled_from(TRANSFORMS))
            nodes[name] = ContinuousNode(
                terms=terms, transform=transform, n_coefs=draw(st.integers(2, 40))
            )
    shuffled = draw(st.permutations(names))
    return {name: nodes[name] for name in shuffled}


@given(specs())
def test_plain_form_survives_json_and_gives_the_spec_back(spec: dict[str, Node]) -> None:
    back = spec_from_dict(json.loads(json.dumps(spec_to_dict(spec))))
    assert back == spec
    assert list(back) == list(spec)


@given(specs())
def test_causal_order_puts_parents_first_and_names_every_node_once(spec: dict[str, Node]) -> None:
    order = causal_order(spec)
    assert sorted(order) == sorted(spec)
    for name, node in spec.items():
        assert all(order.index(parent) < order.index(name) for parent in node.parents)


@given(specs())
def test_ancestors_and_descendants_are_each_others_converse(spec: dict[str, Node]) -> None:
    for cause in spec:
        for effect in spec:
            assert (cause in ancestors(spec, [effect])) == (effect in descendants(spec, [cause]))


def test_causal_order_breaks_ties_by_the_order_of_the_spec() -> None:
    assert causal_order(DIAMOND) == ("a", "e", "b", "c", "d")
    assert causal_order({name: ContinuousNode() for name in "zyx"}) == ("z", "y", "x")


def test_ancestors_are_all_causes_direct_or_not() -> None:
    assert ancestors(DIAMOND, ["d"]) == {"a", "b", "c"}
    assert ancestors(DIAMOND, ["a", "e"]) == frozenset()


def test_descendants_are_all_effects_direct_or_not() -> None:
    assert descendants(DIAMOND, ["a"]) == {"b", "c", "d"}
    assert descendants(DIAMOND, ["d"]) == frozenset()


def test_several_ci_parents_in_the_dict_become_one_joint_term() -> None:
    node = ContinuousNode({"a": "ci", "b": "ls", "c": "ci", "d": "cs", "e": "cs"})
    assert set(node.terms) == {CI("a", "c"), LS("b"), CS("d"), CS("e")}


def test_dict_and_terms_are_two_notations_of_one_node() -> None:
    assert ContinuousNode({"a": "ls", "b": "cs"}) == ContinuousNode(terms=[LS("a"), CS("b")])


def test_i_is_an_alias_of_ci() -> None:
    assert I is CI


def test_parents_of_a_node_are_named_once_in_term_order() -> None:
    node = ContinuousNode(terms=[CI("b", "a"), LS("a"), LS("c", "b")])
    assert node.parents == ("b", "a", "c")


def test_terms_of_different_kinds_are_different() -> None:
    assert len({LS("a"), CS("a"), CI("a"), LS("a", "b"), LS("a")}) == 4


def test_nodes_and_terms_cannot_be_changed() -> None:
    for frozen, field in [(LS("a"), "parents"), (ContinuousNode(), "n_coefs")]:
        with pytest.raises(AttributeError):
            setattr(frozen, field, 3)


def test_a_visual_analogue_scale_is_an_ordinal_node() -> None:
    assert OrdinalNode(101).levels == 101


def test_levels_may_be_a_numpy_integer() -> None:
    assert OrdinalNode(np.int64(3)).levels == 3  # type: ignore[arg-type]


CYCLES = [
    ({"a": ["a"]}, {"a -> a"}),
    ({"a": ["b"], "b": ["a"]}, {"a -> b -> a", "b -> a -> b"}),
    (
        {"a": ["c"], "b": ["a"], "c": ["b"], "d": ["c"]},
        {"a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"},
    ),
]


@pytest.mark.parametrize(("parents", "spellings"), CYCLES)
def test_a_cycle_is_refused_and_spelt_out_from_cause_to_effect(
    parents: dict[str, list[str]], spellings: set[str]
) -> None:
    spec = {name: ContinuousNode(dict.fromkeys(causes, "ls")) for name, causes in parents.items()}
    with pytest.raises(SpecError) as error:
        check_spec(spec)
    assert any(spelling in str(error.value) for spelling in spellings)


BAD_SPECS: list[tuple[str, Callable[[], object], list[str]]] = [
    ("no mapping", lambda: check_spec([ContinuousNode()]), []),  # type: ignore[arg-type]
    ("empty", lambda: check_spec({}), []),
    ("name no string", lambda: check_spec({3: ContinuousNode()}), ["3"]),  # type: ignore[dict-item]
    ("empty name", lambda: check_spec({"": ContinuousNode()}), ["''"]),
    ("no node", lambda: check_spec({"a": "ls"}), ["'a'", "'ls'"]),  # type: ignore[dict-item]
    (
        "unknown parent",
        lambda: check_spec({"Age": ContinuousNode(), "y": ContinuousNode({"Aeg": "ls"})}),
        ["'y'", "'Aeg'", "'Age'"],
    ),
    (
        "unknown term",
        lambda: ContinuousNode({"a": "lss"}),
        ["ContinuousNode", "parents={'a': 'lss'}", "'lss'", "'ls'", "'cs'", "'ci'"],
    ),
    (
        "unhashable term",
        lambda: ContinuousNode({"a": ["ls"]}),  # type: ignore[dict-item]
        ["'a'", "['ls']"],
    ),
    ("parents no mapping", lambda: ContinuousNode(["a"]), ["['a']"]),  # type: ignore[arg-type]
    ("both notations", lambda: ContinuousNode({"a": "ls"}, terms=[LS("a")]), ["parents", "terms"]),
    ("term not in a list", lambda: ContinuousNode(terms=LS("a")), ["'a'"]),  # type: ignore[arg-type]
    ("no term", lambda: ContinuousNode(terms=["a"]), ["'a'"]),  # type: ignore[list-item]
    ("abstract term", lambda: ContinuousNode(terms=[Term("a")]), ["'a'"]),
    ("same term twice", lambda: ContinuousNode(terms=[LS("a"), LS("a")]), ["'a'"]),
    ("term of nothing", lambda: LS(), ["LS"]),
    ("term of a number", lambda: CS(3), ["CS", "3"]),  # type: ignore[arg-type]
    ("parent twice in a term", lambda: CI("a", "a"), ["CI", "'a'"]),
    ("hidden width", lambda: CS("a", hidden=(8, 0)), ["'a'", "(8, 0)"]),
    ("levels 1", lambda: OrdinalNode(levels=1), ["levels=1"]),
    ("levels -3", lambda: OrdinalNode(levels=-3), ["levels=-3"]),
    ("levels 2.5", lambda: OrdinalNode(levels=2.5), ["levels=2.5"]),  # type: ignore[arg-type]
    ("levels True", lambda: OrdinalNode(levels=True), ["levels=True"]),
    ("levels beyond memory", lambda: OrdinalNode(levels=10**9), ["OrdinalNode", "1000", "Merge"]),
    ("n_coefs beyond memory", lambda: ContinuousNode(n_coefs=10**9), ["ContinuousNode", "1000"]),
    ("n_coefs 1", lambda: ContinuousNode(n_coefs=1), ["n_coefs=1"]),
    (
        "unknown transform",
        lambda: ContinuousNode(transform="bernstien"),
        ["'bernstien'", "'bernstein'", "'spline'", "'affine'"],
    ),
]


@pytest.mark.parametrize(
    ("build", "named"), [case[1:] for case in BAD_SPECS], ids=[case[0] for case in BAD_SPECS]
)
def test_a_bad_specification_is_refused_by_name(
    build: Callable[[], object], named: list[str]
) -> None:
    with pytest.raises(SpecError) as error:
        build()
    assert [word for word in named if word not in str(error.value)] == []


BAD_PLAIN: list[tuple[str, Any, list[str]]] = [
    ("one level", {"x": {"kind": "ordinal", "levels": 1}}, ["node 'x'", "levels=1"]),
    (
        "unknown term in parents",
        {"x": {"kind": "continuous"}, "y": {"kind": "continuous", "parents": {"x": "lss"}}},
        ["node 'y'", "'x'", "'lss'"],
    ),
    ("no mapping", ["x"], ["x"]),
    ("no node", {"x": "continuous"}, ["'x'", "'continuous'"]),
    ("no kind", {"x": {"levels": 2}}, ["'x'", "'continuous'", "'ordinal'"]),
    ("unknown kind", {"x": {"kind": "nominal"}}, ["'x'", "'nominal'", "'ordinal'"]),
    ("misspelt key", {"x": {"kind": "ordinal", "level": 3}}, ["'x'", "level"]),
    ("levels missing", {"x": {"kind": "ordinal"}}, ["'x'", "levels"]),
    ("bad value", {"x": {"kind": "ordinal", "levels": 1}}, ["'x'", "1"]),
    ("term no mapping", {"x": {"kind": "continuous", "terms": ["ls"]}}, ["'x'", "'ls'"]),
    (
        "unknown term kind",
        {"x": {"kind": "continuous", "terms": [{"kind": "xs", "parents": ["x"]}]}},
        ["'x'", "'xs'", "'ls'"],
    ),
    (
        "hidden of a linear term",
        {"x": {"kind": "continuous", "terms": [{"kind": "ls", "parents": ["x"], "hidden": [3]}]}},
        ["'x'", "hidden"],
    ),
    (
        "unknown parent",
        {"x": {"kind": "continuous", "terms": [{"kind": "ls", "parents": ["z"]}]}},
        ["'x'", "'z'"],
    ),
]


@pytest.mark.parametrize(
    ("plain", "named"), [case[1:] for case in BAD_PLAIN], ids=[case[0] for case in BAD_PLAIN]
)
def test_a_bad_plain_form_is_refused_by_name(
    plain: Mapping[str, Mapping[str, Any]], named: list[str]
) -> None:
    with pytest.raises(SpecError) as error:
        spec_from_dict(plain)
    assert [word for word in named if word not in str(error.value)] == []


def test_plain_form_accepts_the_parents_shorthand() -> None:
    spec = spec_from_dict(
        {"a": {"kind": "continuous"}, "b": {"kind": "ordinal", "levels": 2, "parents": {"a": "ci"}}}
    )
    assert spec["b"] == OrdinalNode(2, {"a": "ci"})


def test_plain_form_keeps_the_names_of_a_long_parent_string_apart() -> None:
    # "Age" must not be read as the three parents "A", "g", "e"
    plain = {"kind": "continuous", "terms": [{"kind": "ls", "parents": "Age"}]}
    with pytest.raises(SpecError, match="'Age'"):
        spec_from_dict({"y": plain})
