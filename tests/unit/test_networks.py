from __future__ import annotations

import numpy as np
import pytest
import torch
from parent_columns import NODES, ONE, TWO, VALUES, A, N

from tramdag.networks import ParentNetwork
from tramdag.spec import CI, CS


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
