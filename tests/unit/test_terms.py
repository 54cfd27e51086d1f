from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from tramdag.spec import CI, CS, LS, ContinuousNode, Node, OrdinalNode
from tramdag.terms import LinearShift, ParentNetwork

NODES: dict[str, Node] = {
    "a": ContinuousNode(),
    "b": ContinuousNode(),
    "t": OrdinalNode(2),
    "m": OrdinalNode(3),
}
N = 40
RNG = np.random.default_rng(0)
VALUES = {
    "a": torch.from_numpy(RNG.normal(70.0, 8.0, N)),
    "b": torch.from_numpy(RNG.normal(0.0, 0.01, N)),
    "t": torch.from_numpy(RNG.integers(0, 2, N)),
    "m": torch.from_numpy(RNG.integers(0, 3, N)),
}
A, B, T, M = (VALUES[name].double() for name in "abtm")
ONE, TWO = (M == 1).double(), (M == 2).double()


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


def network(term: CS | CI, n_outputs: int = 1, seed: int = 0) -> ParentNetwork:
    generator = torch.Generator().manual_seed(seed)
    made = ParentNetwork(term, NODES, n_outputs=n_outputs, generator=generator, dtype=torch.float64)
    made.set_scaling(VALUES, N)
    return made


@torch.no_grad()
def randomise(net: ParentNetwork) -> ParentNetwork:
    generator = torch.Generator().manual_seed(9)
    for parameter in net.parameters():
        parameter.normal_(generator=generator)
    return net


@pytest.mark.parametrize("n_outputs", [1, 7])
@pytest.mark.parametrize("term", [CS("a"), CI("a", "m"), CS("t", hidden=()), CI("b", hidden=(3,))])
def test_a_network_starts_at_zero_with_the_stated_shape(term: CS | CI, n_outputs: int) -> None:
    net = network(term, n_outputs)
    output = net(net.features(VALUES, N))
    assert torch.equal(output, torch.zeros(N, n_outputs, dtype=torch.float64))


def test_a_network_has_no_output_bias() -> None:
    # a constant belongs to the intercept: with the last weights at zero nothing is left
    net = randomise(network(CS("a", "m"), 3))
    last = [p for p in net.parameters() if p.shape[0] == 3]
    assert [p.ndim for p in last] == [2]


def test_a_network_sees_standardised_values_and_plain_dummies() -> None:
    features = network(CS("a", "m")).features(VALUES, N)
    torch.testing.assert_close(features[:, 0], (A - A.mean()) / A.std(correction=0))
    assert torch.equal(features[:, 1:], torch.stack([ONE, TWO], -1))


@pytest.mark.parametrize("changed", ["a", "m"])
def test_a_joint_network_depends_on_each_of_its_parents(changed: str) -> None:
    net = randomise(network(CS("a", "m")))
    other = {**VALUES, changed: VALUES[changed].roll(1)}
    before, after = (net(net.features(values, N)) for values in (VALUES, other))
    moved = VALUES[changed] != other[changed]
    assert bool((before != after).squeeze(-1)[moved].all())


def test_a_network_equals_its_formula() -> None:
    net = randomise(network(CS("a", hidden=(4, 3)), 2))
    z = net.features(VALUES, N).numpy()
    weights = [p.detach().numpy() for p in net.parameters()]
    for W, b in [(weights[0], weights[1]), (weights[2], weights[3])]:
        z = z @ W.T + b
        z = z / (1.0 + np.exp(-z))
    np.testing.assert_allclose(
        net(net.features(VALUES, N)).detach().numpy(), z @ weights[4].T, rtol=1e-12, atol=1e-12
    )


def test_initial_weights_come_from_the_generator_alone() -> None:
    torch.manual_seed(1)
    first = network(CS("a"), seed=3)
    torch.manual_seed(2)
    second, other = network(CS("a"), seed=3), network(CS("a"), seed=4)
    pairs = list(zip(first.parameters(), second.parameters(), strict=True))
    assert all(torch.equal(p, q) for p, q in pairs)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))
