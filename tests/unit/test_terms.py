from __future__ import annotations

import pandas as pd
import pytest
import torch
from parent_columns import NODES, ONE, TWO, VALUES, A, B, N, T

from tramdag.spec import LS
from tramdag.terms import LinearShift


def linear_shift(*terms: LS, scaled: bool = True) -> LinearShift:
    shift = LinearShift(terms, NODES, dtype=torch.float64)
    with torch.no_grad():
        shift.weight.copy_(torch.linspace(-1.0, 2.0, len(shift.weight)))
        if scaled:
            shift.set_scaling(VALUES, N)
    return shift


DESIGNS = [
    ((), []),
    ((LS("a"),), [A]),
    ((LS("t"),), [T]),
    ((LS("m"),), [ONE, TWO]),
    ((LS("a"), LS("m"), LS("b")), [A, ONE, TWO, B]),
    ((LS("a", "b"),), [A * B]),
    ((LS("m", "a"),), [ONE * A, TWO * A]),
    ((LS("t", "m"),), [T * ONE, T * TWO]),
    ((LS("t", "m", "a"),), [T * ONE * A, T * TWO * A]),
]


@pytest.mark.parametrize(("terms", "columns"), DESIGNS, ids=lambda x: str(x)[:40])
def test_design_holds_raw_values_dummies_and_products(
    terms: tuple[LS, ...], columns: list[torch.Tensor]
) -> None:
    design = linear_shift(*terms).design(VALUES, N)
    assert design.shape == (N, len(columns))
    for j, column in enumerate(columns):
        assert torch.equal(design[:, j], column)


@pytest.mark.parametrize(("terms", "columns"), DESIGNS[1:], ids=lambda x: str(x)[:40])
def test_shift_is_beta_times_raw_columns_plus_the_offset(
    terms: tuple[LS, ...], columns: list[torch.Tensor]
) -> None:
    shift = linear_shift(*terms)
    expected = torch.stack(columns, -1) @ shift.beta + shift.offset
    got = shift(shift.features(VALUES, N))
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_shift_without_terms_is_zero() -> None:
    shift = linear_shift()
    assert torch.equal(shift(shift.features(VALUES, N)), torch.zeros(N, dtype=torch.float64))


def test_continuous_columns_are_standardised_and_dummies_are_not() -> None:
    shift = linear_shift(LS("a"), LS("m"), LS("t", "m"), LS("t", "a"))
    features = shift.features(VALUES, N)
    raw = shift.design(VALUES, N)
    standardised, dummies = [0, 5], [1, 2, 3, 4]
    torch.testing.assert_close(
        features[:, standardised].mean(0), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(
        features[:, standardised].std(0, correction=0), torch.ones(2, dtype=torch.float64)
    )
    assert torch.equal(features[:, dummies], raw[:, dummies])


def test_a_constant_column_is_left_on_its_scale() -> None:
    values = {**VALUES, "a": torch.full((N,), 3.0, dtype=torch.float64)}
    shift = linear_shift(LS("a"), scaled=False)
    shift.set_scaling(values, N)
    assert torch.equal(shift.features(values, N), torch.zeros(N, 1, dtype=torch.float64))


LABELS = [
    (LS("a"), [("a", pd.NA)], ["a"]),
    (LS("t"), [("t", 1)], ["t=1"]),
    (LS("m"), [("m", 1), ("m", 2)], ["m=1", "m=2"]),
    (LS("a", "b"), [("a:b", pd.NA)], ["a:b"]),
    (LS("t", "a"), [("t:a", "1:-")], ["t:a=1:-"]),
    (LS("t", "m"), [("t:m", "1:1"), ("t:m", "1:2")], ["t:m=1:1", "t:m=1:2"]),
]


@pytest.mark.parametrize(("term", "labels", "names"), LABELS, ids=lambda x: str(x)[:40])
def test_columns_say_what_they_belong_to(
    term: LS, labels: list[tuple[str, object]], names: list[str]
) -> None:
    columns = linear_shift(term).columns
    for column, (parent, level) in zip(columns, labels, strict=True):
        assert column.label[0] == parent
        assert column.label[1] is level if level is pd.NA else column.label[1] == level
    assert [column.name for column in columns] == names


def test_main_effect_is_the_parents_own_term_in_raw_units() -> None:
    shift = linear_shift(LS("m"), LS("m", "a"))
    effect = shift.main_effect("m", VALUES)
    assert effect is not None
    torch.testing.assert_close(effect, shift.beta[0] * ONE + shift.beta[1] * TWO)
    assert shift.main_effect("a", VALUES) is None
