from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tramdag.data import (
    check_training_frame,
    decode_frame,
    encode_do,
    encode_frame,
    encode_latents,
    known_node,
    learn_labels,
)
from tramdag.errors import DataError, SpecError
from tramdag.spec import ContinuousNode, Node, OrdinalNode

NODES: dict[str, Node] = {"x": ContinuousNode(), "grade": OrdinalNode(3)}
CODES: dict[str, tuple[Any, ...] | None] = {"grade": None}
NAMES = ("mild", "moderate", "severe")
LABELLED: dict[str, tuple[Any, ...] | None] = {"grade": NAMES}
N = 5


def frame(**columns: Any) -> pd.DataFrame:
    """Five good rows with a string index, single columns replaced."""
    good = {"x": [0.5, -1.0, 2.0, 3.5, 7.0], "grade": [0, 1, 2, 1, 0]}
    return pd.DataFrame(good | columns, index=pd.Index(list("abcde")))


def categorical(values: Any = (0, 1, 2, 1, 0), **options: Any) -> pd.Categorical:
    names = [NAMES[v] for v in values]
    settings: dict[str, Any] = {"categories": NAMES, "ordered": True}
    return pd.Categorical(names, **settings | options)


# encoding what is good

GOOD_CONTINUOUS: dict[str, Any] = {
    "int": np.array([0, 1, 2, 3, 4]),
    "uint8": np.array([0, 1, 2, 3, 4], dtype=np.uint8),
    "float32": np.array([0, 1, 2, 3, 4], dtype=np.float32),
    "bool": np.array([False, True, True, True, True]),
    "Int64": pd.array([0, 1, 2, 3, 4], dtype="Int64"),
    "Float64": pd.array([0, 1, 2, 3, 4], dtype="Float64"),
    "objects": pd.Series([0, 1.0, 2, 3, 4], dtype=object).to_numpy(),
}


@pytest.mark.parametrize("kind", GOOD_CONTINUOUS)
def test_numeric_columns_of_any_type_become_float64(kind: str) -> None:
    column = GOOD_CONTINUOUS[kind]
    values = encode_frame(frame(x=column), NODES, CODES)["x"]
    assert values.dtype == torch.float64
    assert values.tolist() == [float(v) for v in column]


GOOD_ORDINAL = {
    "int": np.array([0, 1, 2, 1, 0]),
    "whole floats": np.array([0.0, 1.0, 2.0, 1.0, 0.0]),
    "int8": np.array([0, 1, 2, 1, 0], dtype=np.int8),
    "Int64": pd.array([0, 1, 2, 1, 0], dtype="Int64"),
    "categorical codes": pd.Categorical([0, 1, 2, 1, 0], categories=[0, 1, 2], ordered=True),
}


@pytest.mark.parametrize("kind", GOOD_ORDINAL)
def test_level_columns_of_any_type_become_codes(kind: str) -> None:
    values = encode_frame(frame(grade=GOOD_ORDINAL[kind]), NODES, CODES)["grade"]
    assert values.dtype == torch.int64
    assert values.tolist() == [0, 1, 2, 1, 0]


@pytest.mark.parametrize("dtype", [bool, "boolean", object])
def test_a_boolean_column_is_a_binary_node(dtype: Any) -> None:
    column = pd.Series([True, False, True, True, False], dtype=dtype)
    values = encode_frame(pd.DataFrame({"t": column}), {"t": OrdinalNode(2)}, {"t": None})
    assert values["t"].tolist() == [1, 0, 1, 1, 0]


@pytest.mark.parametrize(
    "column",
    [
        categorical(),
        pd.Series([NAMES[v] for v in (0, 1, 2, 1, 0)], dtype=object).to_numpy(),
        pd.array([NAMES[v] for v in (0, 1, 2, 1, 0)], dtype="str"),
    ],
    ids=["categorical", "objects", "strings"],
)
def test_labelled_levels_are_read_by_label(column: Any) -> None:
    values = encode_frame(frame(grade=column), NODES, LABELLED)["grade"]
    assert values.tolist() == [0, 1, 2, 1, 0]


def test_encoding_leaves_the_table_alone_and_shares_no_memory() -> None:
    df = frame()
    before = df.copy()
    values = encode_frame(df, NODES, CODES)
    values["x"].zero_()
    pd.testing.assert_frame_equal(df, before)


def test_only_the_named_columns_are_read() -> None:
    assert list(encode_frame(frame()[["x"]], NODES, CODES, columns=["x"])) == ["x"]


def test_columns_that_are_no_nodes_are_ignored() -> None:
    assert set(encode_frame(frame(note="text"), NODES, CODES)) == {"x", "grade"}


def test_labels_of_an_ordered_categorical_are_learnt_and_given_back() -> None:
    df = frame(grade=categorical())
    labels = learn_labels(df, NODES)
    assert labels == LABELLED
    back = decode_frame(encode_frame(df, NODES, labels), NODES, labels, df.index)
    pd.testing.assert_frame_equal(back, df.astype({"grade": back["grade"].dtype}))
    assert back["grade"].dtype.ordered  # type: ignore[union-attr]


def test_code_columns_have_no_labels_and_come_back_as_integers() -> None:
    labels = learn_labels(frame(), NODES)
    assert labels == CODES
    back = decode_frame(encode_frame(frame(), NODES, labels), NODES, labels, frame().index)
    pd.testing.assert_frame_equal(back, frame())


# refusing what is bad: (table, labels, words that the message must hold)


def _rename(df: pd.DataFrame, **columns: str) -> pd.DataFrame:
    return df.rename(columns=columns)


BAD_FRAMES: list[tuple[str, Callable[[], Any], dict[str, Any], list[str]]] = [
    ("no frame", lambda: [[1.0, 2]], CODES, ["DataFrame", "list"]),
    ("None", lambda: None, CODES, ["DataFrame", "None"]),
    ("missing column", lambda: frame()[["x"]], CODES, ["'grade'", "'x'"]),
    ("misspelt column", lambda: _rename(frame(), grade="Grade"), CODES, ["'grade'", "'Grade'"]),
    ("doubled column", lambda: pd.concat([frame(), frame()[["x"]]], axis=1), CODES, ["'x'"]),
    ("empty", lambda: frame().iloc[:0], CODES, ["no rows"]),
    ("NaN", lambda: frame(x=[0, 1, np.nan, 3, 4]), CODES, ["'x'", "NaN", "'c'"]),
    ("None in objects", lambda: frame(x=[0, 1, None, 3, 4]), CODES, ["'x'", "'c'"]),
    (
        "NA",
        lambda: frame(x=pd.array([0, 1, None, 3, 4], dtype="Float64")),
        CODES,
        ["'x'", "'c'"],
    ),
    ("inf", lambda: frame(x=[0, 1, 2, np.inf, 4]), CODES, ["'x'", "inf", "'d'"]),
    ("-inf", lambda: frame(x=[-np.inf, 1, 2, 3, 4]), CODES, ["'x'", "inf", "'a'"]),
    ("text", lambda: frame(x=["1", "2", "3", "oops", "5"]), CODES, ["'x'", "'oops'"]),
    ("dates", lambda: frame(x=pd.date_range("2026-01-01", periods=5)), CODES, ["'x'", "2026"]),
    ("durations", lambda: frame(x=pd.to_timedelta(range(5), unit="D")), CODES, ["'x'"]),
    ("complex", lambda: frame(x=np.arange(5) * 1j), CODES, ["'x'", "complex"]),
    ("categorical x", lambda: frame(x=categorical()), CODES, ["'x'", "OrdinalNode"]),
    ("NaN level", lambda: frame(grade=[0, 1, np.nan, 1, 0]), CODES, ["'grade'", "NaN", "'c'"]),
    (
        "NA level",
        lambda: frame(grade=pd.array([0, 1, None, 1, 0], dtype="Int64")),
        CODES,
        ["'grade'", "'c'"],
    ),
    ("level 3", lambda: frame(grade=[0, 1, 2, 3, 0]), CODES, ["'grade'", "3", "'d'", "0", "2"]),
    ("level -1", lambda: frame(grade=[0, -1, 2, 1, 0]), CODES, ["'grade'", "-1", "'b'"]),
    ("level 0.7", lambda: frame(grade=[0, 1, 2, 0.7, 0]), CODES, ["'grade'", "0.7", "'d'"]),
    (
        "labels unknown to the fit",
        lambda: frame(grade=["mild", "mild", "severe", "mild", "mild"]),
        CODES,
        ["'grade'", "'mild'"],
    ),
    (
        "unordered",
        lambda: frame(grade=categorical(ordered=False)),
        CODES,
        ["'grade'", "unordered", "ordered=True"],
    ),
    (
        "too many categories",
        lambda: frame(grade=categorical(categories=(*NAMES, "dead"))),
        LABELLED,
        ["'grade'", "'dead'", "3"],
    ),
    (
        "unknown label",
        lambda: frame(grade=["mild", "sever", "mild", "mild", "mild"]),
        LABELLED,
        ["'grade'", "'sever'", "'b'", "'severe'"],
    ),
    ("code for a label", lambda: frame(), LABELLED, ["'grade'", "0", "'mild'"]),
    (
        "missing label",
        lambda: frame(grade=["mild", None, "mild", "mild", "mild"]),
        LABELLED,
        ["'grade'", "'b'", "'mild'", "missing"],
    ),
    (
        "missing category",
        lambda: frame(grade=pd.Categorical([*NAMES, None, None], NAMES, ordered=True)),
        LABELLED,
        ["'grade'", "2 of 5", "missing", "'d'"],
    ),
    (
        "categories in another order",
        lambda: frame(grade=categorical(categories=NAMES[::-1])),
        LABELLED,
        ["'grade'", "['severe', 'moderate', 'mild']", "['mild', 'moderate', 'severe']"],
    ),
    (
        "codes as categories in another order",
        lambda: frame(grade=pd.Categorical([0, 1, 2, 1, 0], [2, 1, 0], ordered=True)),
        CODES,
        ["'grade'", "[2, 1, 0]", "[0, 1, 2]"],
    ),
]


@pytest.mark.parametrize(
    ("build", "labels", "named"),
    [case[1:] for case in BAD_FRAMES],
    ids=[case[0] for case in BAD_FRAMES],
)
def test_a_bad_table_is_refused_by_node_row_and_value(
    build: Callable[[], Any], labels: dict[str, Any], named: list[str]
) -> None:
    with pytest.raises(DataError) as error:
        encode_frame(build(), NODES, labels)
    assert [word for word in named if word not in str(error.value)] == []


@pytest.mark.parametrize(
    ("build", "labels"), [case[1:3] for case in BAD_FRAMES], ids=[case[0] for case in BAD_FRAMES]
)
def test_messages_show_rows_and_values_as_a_user_writes_them(
    build: Callable[[], Any], labels: dict[str, Any]
) -> None:
    table = build()
    if isinstance(table, pd.DataFrame):
        table.index = pd.Index(np.arange(10, 10 + len(table)))
    with pytest.raises(DataError) as error:
        encode_frame(table, NODES, labels)
    assert "np." not in str(error.value)


@pytest.mark.parametrize(
    ("column", "named"),
    [
        (categorical(ordered=False), ["'grade'", "unordered"]),
        (categorical(categories=(*NAMES, "dead")), ["'grade'", "4", "3"]),
    ],
    ids=["unordered", "four categories for three levels"],
)
def test_a_bad_categorical_is_refused_when_labels_are_learnt(column: Any, named: list[str]) -> None:
    with pytest.raises(DataError) as error:
        learn_labels(frame(grade=column), NODES)
    assert [word for word in named if word not in str(error.value)] == []


@pytest.mark.parametrize(
    ("df", "named"),
    [
        (frame(x=[3.25] * 5), ["'x'", "3.25", "constant"]),
        (frame(grade=[1] * 5), ["'grade'", "1", "constant"]),
        (
            pd.DataFrame({"x": [0.0] * 39 + [7.0], "grade": [0, 1] * 20}),
            ["'x'", "OrdinalNode"],
        ),
    ],
    ids=["constant", "constant level", "constant but for one row in forty"],
)
def test_a_column_without_variation_cannot_be_learnt(df: pd.DataFrame, named: list[str]) -> None:
    with pytest.raises(DataError) as error:
        check_training_frame(encode_frame(df, NODES, CODES), NODES, what="the training rows")
    assert [word for word in named if word not in str(error.value)] == []


def test_a_single_row_is_enough_to_ask_but_not_to_learn() -> None:
    values = encode_frame(frame().iloc[:1], NODES, CODES)
    assert len(values["x"]) == 1
    with pytest.raises(DataError, match="'x'"):
        check_training_frame(values, NODES, what="the training rows")


# interventions


def do_values(do: Any, labels: dict[str, Any] = CODES, n: int = N) -> dict[str, Any]:
    return {
        name: value if callable(value) else value.tolist()
        for name, value in encode_do(do, NODES, labels, n).items()
    }


GOOD_DO = [
    ("nothing", None, CODES, {}),
    ("empty", {}, CODES, {}),
    ("scalar", {"x": 2}, CODES, {"x": [2.0] * N}),
    ("numpy scalar", {"x": np.float32(0.5)}, CODES, {"x": [0.5] * N}),
    ("torch scalar", {"x": torch.tensor(0.5)}, CODES, {"x": [0.5] * N}),
    ("level", {"grade": 2}, CODES, {"grade": [2] * N}),
    ("level as a float", {"grade": 2.0}, CODES, {"grade": [2] * N}),
    ("level as a bool", {"grade": True}, CODES, {"grade": [1] * N}),
    ("list", {"x": [1, 2, 3, 4, 5]}, CODES, {"x": [1.0, 2.0, 3.0, 4.0, 5.0]}),
    ("array of levels", {"grade": np.array([0, 1, 2, 1, 0])}, CODES, {"grade": [0, 1, 2, 1, 0]}),
    ("tensor", {"x": torch.arange(5)}, CODES, {"x": [0.0, 1.0, 2.0, 3.0, 4.0]}),
    ("series of its own index", {"x": frame()["x"]}, CODES, {"x": frame()["x"].tolist()}),
    ("label", {"grade": "severe"}, LABELLED, {"grade": [2] * N}),
    ("labels", {"grade": ["mild", "severe"] * 2 + ["mild"]}, LABELLED, {"grade": [0, 2, 0, 2, 0]}),
    ("categorical", {"grade": categorical()}, LABELLED, {"grade": [0, 1, 2, 1, 0]}),
    ("both nodes", {"x": 1, "grade": 0}, CODES, {"x": [1.0] * N, "grade": [0] * N}),
]


@pytest.mark.parametrize(
    ("do", "labels", "expected"), [case[1:] for case in GOOD_DO], ids=[case[0] for case in GOOD_DO]
)
def test_do_values_become_one_value_per_row(do: Any, labels: Any, expected: dict[str, Any]) -> None:
    assert do_values(do, labels) == expected


def test_do_on_as_many_nodes_as_rows_sets_columns_not_rows() -> None:
    # two nodes and two rows: nothing may be read across
    assert do_values({"x": 7.0, "grade": 1}, n=2) == {"x": [7.0, 7.0], "grade": [1, 1]}


@pytest.mark.parametrize("labels", [CODES, LABELLED], ids=["codes", "labels"])
def test_a_callable_do_sees_the_natural_values_in_the_columns_own_coding(labels: Any) -> None:
    seen: list[Any] = []

    def raise_by_one(values: np.ndarray) -> Any:
        seen.append(values)
        names = labels["grade"] or (0, 1, 2)
        return [names[min(names.index(v) + 1, 2)] for v in values]

    action = encode_do({"grade": raise_by_one}, NODES, labels, N)["grade"]
    assert callable(action)
    assert action(torch.tensor([0, 1, 2, 1, 0])).tolist() == [1, 2, 2, 2, 1]
    natural = [0, 1, 2, 1, 0]
    assert list(seen[0]) == ([NAMES[v] for v in natural] if labels["grade"] else natural)


BAD_DO: list[tuple[str, Any, Any, type[Exception], list[str]]] = [
    ("no mapping", ["x"], CODES, SpecError, ["['x']"]),
    ("a number", 5, CODES, SpecError, ["5"]),
    ("misspelt node", {"Grade": 1}, CODES, SpecError, ["'Grade'", "'grade'", "'x'"]),
    ("key no string", {1: 1}, CODES, SpecError, ["1", "'x'"]),
    ("NaN", {"x": np.nan}, CODES, DataError, ["'x'", "NaN"]),
    ("inf", {"x": np.inf}, CODES, DataError, ["'x'", "inf"]),
    ("None", {"x": None}, CODES, DataError, ["'x'"]),
    ("text", {"x": "high"}, CODES, DataError, ["'x'", "'high'"]),
    ("NaN in an array", {"x": [1, 2, np.nan, 4, 5]}, CODES, DataError, ["'x'", "NaN"]),
    ("wrong length", {"x": [1, 2, 3]}, CODES, DataError, ["'x'", "3", "5"]),
    ("one value in a list", {"x": [1]}, CODES, DataError, ["'x'", "1", "5"]),
    ("a column of an array", {"x": np.ones((5, 1))}, CODES, DataError, ["'x'", "(5, 1)"]),
    ("between levels", {"grade": 0.7}, CODES, DataError, ["'grade'", "0.7", "0", "2"]),
    ("above the levels", {"grade": 3}, CODES, DataError, ["'grade'", "3", "2"]),
    ("below the levels", {"grade": -1}, CODES, DataError, ["'grade'", "-1"]),
    ("NaN level", {"grade": np.nan}, CODES, DataError, ["'grade'", "NaN"]),
    ("label without labels", {"grade": "mild"}, CODES, DataError, ["'grade'", "'mild'"]),
    ("unknown label", {"grade": "dead"}, LABELLED, DataError, ["'grade'", "'dead'", "'severe'"]),
    ("code for a label", {"grade": 1}, LABELLED, DataError, ["'grade'", "1", "'moderate'"]),
]


@pytest.mark.parametrize(
    ("do", "labels", "kind", "named"), [case[1:] for case in BAD_DO], ids=[c[0] for c in BAD_DO]
)
def test_an_impossible_do_is_refused_by_node_and_value(
    do: Any, labels: Any, kind: type[Exception], named: list[str]
) -> None:
    with pytest.raises(kind) as error:
        encode_do(do, NODES, labels, N)
    assert [word for word in named if word not in str(error.value)] == []


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda grade: grade + 0.5, ["'grade'", "0.5"]),
        (lambda grade: grade[:2], ["'grade'", "2", "5"]),
        (lambda grade: grade * np.nan, ["'grade'", "NaN"]),
    ],
    ids=["fraction", "wrong length", "NaN"],
)
def test_what_a_callable_do_returns_is_checked_too(
    function: Callable[[np.ndarray], Any], named: list[str]
) -> None:
    action = encode_do({"grade": function}, NODES, CODES, N)["grade"]
    assert callable(action)
    with pytest.raises(DataError) as error:
        action(torch.tensor([0, 1, 2, 1, 0]))
    assert [word for word in named if word not in str(error.value)] == []


# latents


def latents(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"x": np.linspace(-2, 2, N), "grade": np.linspace(-1, 1, N)} | columns)


def test_latents_become_float64_tensors() -> None:
    values = encode_latents(latents(), NODES, n=None)
    assert {name: (v.dtype, len(v)) for name, v in values.items()} == {
        "x": (torch.float64, N),
        "grade": (torch.float64, N),
    }


def test_latents_of_intervened_nodes_are_not_needed() -> None:
    assert list(encode_latents(latents()[["x"]], NODES, n=N, given=["grade"])) == ["x"]


BAD_LATENTS: list[tuple[str, Callable[[], Any], int | None, list[str]]] = [
    ("array", lambda: latents().to_numpy(), None, ["ndarray", "(5, 2)", "'x'", "'grade'"]),
    ("missing node", lambda: latents()[["x"]], None, ["(5, 1)", "'x'", "'grade'"]),
    ("foreign column", lambda: latents(z=0.0), None, ["(5, 3)", "'z'"]),
    ("transposed", lambda: latents().T, None, ["(2, 5)", "'grade'"]),
    ("wrong n", lambda: latents(), 4, ["5", "4"]),
    ("no rows", lambda: latents().iloc[:0], None, ["no rows"]),
    ("NaN", lambda: latents(x=[0, np.nan, 0, 0, 0]), None, ["'x'", "NaN", "1"]),
    ("inf", lambda: latents(grade=[0, 0, 0, 0, np.inf]), None, ["'grade'", "inf", "4"]),
    ("text", lambda: latents(x=list("abcde")), None, ["'x'", "'a'"]),
]


@pytest.mark.parametrize(
    ("build", "n", "named"), [case[1:] for case in BAD_LATENTS], ids=[c[0] for c in BAD_LATENTS]
)
def test_latents_of_a_wrong_shape_or_value_are_refused(
    build: Callable[[], Any], n: int | None, named: list[str]
) -> None:
    with pytest.raises(DataError) as error:
        encode_latents(build(), NODES, n=n)
    assert [word for word in named if word not in str(error.value)] == []


def test_an_unknown_node_is_refused_with_the_closest_name() -> None:
    with pytest.raises(SpecError, match=r"pmf: 'grad'.*'x', 'grade'.*Did you mean 'grade'"):
        known_node("grad", NODES, what="pmf")
