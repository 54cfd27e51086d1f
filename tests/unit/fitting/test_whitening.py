"""Coordinates of a stack, held against autograd's gradients of the plain likelihood."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from tramdag import CI, CS, LS, VC, CausalFlowDAG, ContinuousNode, OrdinalNode
from tramdag.fitting.stack import Stack, flatten, restore
from tramdag.fitting.whitening import _DAMPING, Whitening
from tramdag.node import Conditional
from tramdag.spec import Node

N, PRIOR = 60, 0.02

NODES: dict[str, Node] = {
    "y": ContinuousNode(terms=[CI("x", hidden=(4, 3)), LS("g")], n_coefs=5),
    "z": ContinuousNode(terms=[CS("x", hidden=(3,))], n_coefs=4),
    "g": OrdinalNode(3, terms=[CI("x", hidden=(3,)), VC("w", by="x", hidden=(3,))]),
    "s": ContinuousNode(terms=[CI("x", hidden=(3,))], transform="spline", n_coefs=3),
}


Fitted = tuple[CausalFlowDAG, dict[str, Tensor]]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    rng = np.random.default_rng(8)
    x, w = rng.normal(size=(2, N))
    noise = rng.logistic(size=(4, N))
    columns = {"x": x, "w": w, "y": x + noise[0], "z": np.sin(x) + noise[1], "s": x**2 + noise[3]}
    table = pd.DataFrame(columns).assign(g=np.digitize(x + noise[2], [-1.0, 1.0]))
    sources = {name: ContinuousNode(transform="affine") for name in ("x", "w")}
    flow = CausalFlowDAG({**sources, **NODES}, seed=1).fit(table, epochs=30)
    return flow, {name: torch.tensor(table[name].to_numpy()) for name in table}


@pytest.fixture(params=NODES)
def law(request: pytest.FixtureRequest, fitted: Fitted) -> Conditional:
    return fitted[0].conditionals[request.param]


def stack_of(law: Conditional) -> Stack:
    flat = torch.stack([flatten(law), 0.5 * flatten(law)])
    return Stack([law], torch.zeros(2, dtype=torch.int64), flat)


def measured(law: Conditional, values: dict[str, Tensor], shares: Tensor) -> Whitening:
    encoded = tuple(part.expand(2, *part.shape) for part in law.encode(values))
    whitening = Whitening()
    halves = [slice(0, N // 3), slice(N // 3, None)]
    blocks = [(tuple(part[:, half] for part in encoded), shares[:, half]) for half in halves]
    stack = stack_of(law)
    whitening.measure(stack, blocks, torch.full_like(stack.flat, PRIOR))
    return whitening


def gradients_of_rows(law: Conditional, values: dict[str, Tensor], flat: Tensor) -> Tensor:
    """Every row's gradient of its log-likelihood by autograd, ``(N, P)``."""
    kept = flatten(law)
    restore(law, flat)
    parameters = [p for p in law.parameters() if p.numel()]
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters, retain_graph=True)])
        for value in law.log_prob(values)
    ]
    restore(law, kept)
    return torch.stack(rows)


def shares_of_rows() -> Tensor:
    weights = torch.from_numpy(np.random.default_rng(2).exponential(size=(2, N)))
    return weights / weights.sum(1, keepdim=True)


def test_inputs_and_slopes_of_layers_make_up_the_gradient_of_every_row(
    law: Conditional, fitted: Fitted
) -> None:
    stack = stack_of(law)
    encoded = tuple(part.expand(2, *part.shape) for part in law.encode(fitted[1]))
    layers = stack.layer_slopes(encoded)
    n_matrices = sum(name.endswith("weight") for name, _ in law.named_parameters()) - 1
    assert len(layers) == 1 + n_matrices  # the intercept, and no linear shift
    for member in range(2):
        expected = gradients_of_rows(law, fitted[1], stack.flat[member])
        for layer in layers:
            outer = layer.slopes[member].unsqueeze(-1) * layer.inputs[member].unsqueeze(-2)
            torch.testing.assert_close(outer, expected[:, layer.places])


def test_coordinates_and_parameters_are_each_others_inverse(
    law: Conditional, fitted: Fitted
) -> None:
    whitening, flat = measured(law, fitted[1], shares_of_rows()), stack_of(law).flat
    torch.testing.assert_close(Whitening().coordinates(flat), flat, atol=0, rtol=0)
    there = whitening.coordinates(flat)
    assert (there - flat).abs().amax(1).min() > 0.1
    torch.testing.assert_close(whitening.parameters(there), flat)


def test_a_gradient_is_pulled_back_by_the_chain_rule(law: Conditional, fitted: Fitted) -> None:
    whitening, flat = measured(law, fitted[1], shares_of_rows()), stack_of(law).flat
    gradient, step = (
        torch.randn(flat.shape, dtype=flat.dtype, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 4)
    )
    along = (gradient * whitening.parameters(step)).sum(-1)  # the map is linear
    torch.testing.assert_close((whitening.pull_back(gradient) * step).sum(-1), along)


def test_the_information_of_the_intercept_becomes_the_identity_but_for_the_damping(
    law: Conditional, fitted: Fitted
) -> None:
    shares = shares_of_rows()
    whitening, flat = measured(law, fitted[1], shares), stack_of(law).flat
    n_own = law.intercept.numel()
    for member in range(2):
        rows = gradients_of_rows(law, fitted[1], flat[member])
        white = torch.stack([whitening.pull_back(row.expand(2, -1))[member] for row in rows])
        plain, white = (
            part.T @ (shares[member].unsqueeze(-1) * part)
            for part in (rows[:, :n_own], white[:, :n_own])
        )
        size = plain.diagonal().mean()
        # the damping is shared between the slopes and the input, which is 1
        damped = plain + (size * (_DAMPING + PRIOR)).sqrt() * torch.eye(n_own)
        damped = damped * (1 + ((_DAMPING + PRIOR) / size).sqrt())
        root = torch.linalg.inv(torch.linalg.cholesky(damped))
        torch.testing.assert_close(white, root @ plain @ root.T)


def test_a_member_that_cannot_begin_leaves_the_others_alone(
    law: Conditional, fitted: Fitted
) -> None:
    shares = shares_of_rows()
    sound = measured(law, fitted[1], shares)
    stack = stack_of(law)
    stack.flat[1] = torch.nan
    encoded = tuple(part.expand(2, *part.shape) for part in law.encode(fitted[1]))
    whitening = Whitening()
    whitening.measure(stack, [(encoded, shares)], torch.full_like(stack.flat, PRIOR))
    step = torch.ones_like(stack.flat)
    torch.testing.assert_close(whitening.parameters(step)[0], sound.parameters(step)[0])
    assert torch.isfinite(whitening.parameters(step)).all()


def test_members_that_go_on_keep_their_own_coordinates(law: Conditional, fitted: Fitted) -> None:
    whitening, flat = measured(law, fitted[1], shares_of_rows()), stack_of(law).flat
    both = whitening.coordinates(flat)
    whitening.keep(torch.tensor([1]))
    torch.testing.assert_close(whitening.coordinates(flat[1:]), both[1:], atol=0, rtol=0)
    torch.testing.assert_close(whitening.parameters(both[1:]), flat[1:])
    assert (both[0] - both[1]).abs().max() > 0.1


def test_single_precision_stays_single(law: Conditional, fitted: Fitted) -> None:
    whitening, flat = measured(law, fitted[1], shares_of_rows()), stack_of(law).flat
    single = whitening.coordinates(flat.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), whitening.coordinates(flat), atol=1e-4, rtol=1e-4)
