"""Specifications in a configuration, held against what the library says of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import tramdag as td
from replication.config import ConfigError
from replication.spec_checks import ancestors, check_same_columns, check_spec

ROOT = Path(__file__).parents[2]
WHERE = "experiments.e.models.m.spec"


def graph(y: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A specification with the roots a, b and t, and the node y."""
    return {
        "a": {"kind": "continuous"},
        "b": {"kind": "continuous"},
        "t": {"kind": "ordinal", "levels": 2},
        "y": y,
        **more,
    }


def ordinal(*terms: dict[str, Any], **more: Any) -> dict[str, Any]:
    return graph({"kind": "ordinal", "levels": 3, "terms": list(terms), **more})


def continuous(**more: Any) -> dict[str, Any]:
    return graph({"kind": "continuous", **more})


LS = {"kind": "ls", "parents": ["a"]}
CS = {"kind": "cs", "parents": ["a"]}
VC = {"kind": "vc", "parents": ["t"], "by": ["a"]}
CYCLE = {"a": {"kind": "continuous", "parents": {"b": "ls"}}} | {
    "b": {"kind": "continuous", "parents": {"a": "ls"}}
}

REFUSED = [
    (continuous(parents={"aa": "ls"}), r"spec\.y\.parents: 'aa' is no node; such are a, b, t, y"),
    (ordinal(LS | {"parents": ["a", "z"]}), r"spec\.y\.terms: 'z' is no node; such are"),
    (ordinal(VC | {"by": ["age"]}), r"spec\.y\.terms: 'age' is no node"),
    (CYCLE, r"spec: the graph has a cycle, (a -> b -> a|b -> a -> b); .* remove one"),
    (continuous(parents={"y": "ls"}), r"the graph has a cycle, y -> y"),
    (graph({"kind": "ordinal"}), r"spec\.y: the key 'levels' is missing"),
    (continuous(levels=3), r"spec\.y\.levels: no key of a node that is continuous; allowed are"),
    (ordinal(transform="affine"), r"spec\.y\.transform: no key of a node that is ordinal"),
    (ordinal(n_coefs=5), r"spec\.y\.n_coefs: no key of a node that is ordinal"),
    (ordinal(levels=1001), r"spec\.y\.levels: 1001 must be a whole number from 2 to 1000"),
    (ordinal(levels=3.0), r"spec\.y\.levels: 3\.0 must be a whole number"),
    (continuous(n_coefs=1001), r"spec\.y\.n_coefs: 1001 must be a whole number from 2 to 1000"),
    (ordinal(LS, parents={"b": "ls"}), r"spec\.y: give either parents or terms, got both"),
    (ordinal(LS, CS, LS), r"spec\.y\.terms: terms\[2\] repeats terms\[0\]"),
    (ordinal(CS, CS | {"hidden": [32, 32]}), r"terms\[1\] repeats terms\[0\]"),
    (ordinal(VC, VC | {"n_coefs": 4}), r"terms\[1\] repeats terms\[0\]"),
    (ordinal(LS | {"hidden": [4]}), r"terms\[0\]\.hidden: no key of a term ls; allowed are"),
    (ordinal(CS | {"n_coefs": 4}), r"terms\[0\]\.n_coefs: no key of a term cs"),
    (ordinal(LS | {"by": ["b"]}), r"terms\[0\]\.by: no key of a term ls"),
    (ordinal(LS | {"parents": ["a", "a"]}), r"terms\[0\]: the parent 'a' is named twice"),
    (ordinal(VC | {"by": ["t"]}), r"terms\[0\]: the parent 't' is named twice"),
    (ordinal({"kind": "vc", "parents": ["t"]}), r"one parent and the key 'by'.*by: None"),
    (ordinal(VC | {"parents": ["t", "b"]}), r"one parent and the key 'by'.*\['t', 'b'\]"),
    (
        ordinal(VC | {"by": ["a", "b"]}),
        r"terms\[0\]\.by: a spline varies with one parent, got a, b",
    ),
    (ordinal(VC | {"n_coefs": 1001}), r"terms\[0\]\.n_coefs: 1001 must be"),
]

TAKEN = [
    continuous(parents={}),
    continuous(transform="spline", n_coefs=8, parents={"a": "ci", "b": "ci", "t": "cs"}),
    ordinal(LS, parents={}),
    ordinal(LS, CS, {"kind": "ci", "parents": ["a", "b"], "hidden": [4]}),
    ordinal(CS, CS | {"hidden": [8]}),
    ordinal(LS, LS | {"parents": ["a", "t"]}, VC),
    ordinal(VC | {"by": ["a", "b"], "hidden": [8]}),
    ordinal(VC, VC | {"n_coefs": 5}),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED)
def test_what_the_library_refuses_is_refused_with_its_place(
    spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(td.SpecError):
        td.spec_from_dict(spec)
    with pytest.raises(ConfigError, match=message) as error:
        check_spec(spec, where=WHERE)
    assert str(error.value).startswith(WHERE)


@pytest.mark.parametrize("spec", TAKEN)
def test_what_the_library_takes_passes(spec: dict[str, Any]) -> None:
    check_spec(spec, where=WHERE)
    td.spec_from_dict(spec)


def test_the_specifications_of_the_project_are_taken_by_both() -> None:
    file = ROOT / "workflow" / "config" / "experiments.yaml"
    for entry in yaml.safe_load(file.read_text(encoding="utf-8"))["experiments"].values():
        for model in entry["models"].values():
            check_spec(model["spec"], where=WHERE)
            td.spec_from_dict(model["spec"])


def test_a_close_name_is_offered() -> None:
    spec = {"age": {"kind": "continuous"}, "y": {"kind": "continuous", "parents": {"agee": "ls"}}}
    with pytest.raises(ConfigError, match=r"'agee' is no node.* Did you mean 'age'\?"):
        check_spec(spec, where=WHERE)


def test_ancestors_are_those_of_the_library() -> None:
    plain = ordinal(VC, LS) | {"z": {"kind": "continuous", "parents": {"y": "cs"}}}
    spec = td.spec_from_dict(plain)
    for name in plain:
        assert ancestors(plain, name) == td.spec.ancestors(spec, [name])


def test_reading_the_experiments_loads_no_numerical_package() -> None:
    code = (
        "import sys, replication.experiments\n"
        "assert not {'torch', 'numpy', 'pandas', 'tramdag'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"x": {"kind": "continuous"}},
            r"m\.n\.spec: there is no node 'y', which the model 'm' has",
        ),
        (
            {"x": {"kind": "continuous"}, "y": {"kind": "ordinal", "levels": 4}},
            r"m\.n\.spec\.y: the column is ordinal with 4 levels here and ordinal with 3 levels in",
        ),
        (
            {"x": {"kind": "continuous"}, "y": {"kind": "continuous"}},
            r"the column is continuous here and ordinal with 3 levels in the model 'm'",
        ),
        (
            {"x": {"kind": "continuous"}, "y": {"kind": "ordinal", "levels": 3}, "z": CYCLE["a"]},
            r"m\.m\.spec: there is no node 'z', which the model 'n' has",
        ),
    ],
)
def test_models_of_other_columns_do_not_stand_side_by_side(
    other: dict[str, Any], message: str
) -> None:
    first = {"x": {"kind": "continuous"}, "y": {"kind": "ordinal", "levels": 3}}
    same = {"y": first["y"] | {"parents": {"x": "ls"}}, "x": {"kind": "continuous", "n_coefs": 9}}
    check_same_columns({"m": first, "n": same}, where="m")
    with pytest.raises(ConfigError, match=message):
        check_same_columns({"m": first, "n": other}, where="m")
