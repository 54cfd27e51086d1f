"""The compact inverse Hessian against the recursion that defines it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tramdag.fitting import lbfgs
from tramdag.fitting.lbfgs import InverseHessian

R, P = 3, 6


def by_recursion(pairs: list[tuple[np.ndarray, np.ndarray]], scale: float) -> np.ndarray:
    """Nocedal and Wright (2006), equation 7.16."""
    H = scale * np.eye(P)
    for s, y in pairs:
        rho = 1 / (s @ y)
        V = np.eye(P) - rho * np.outer(y, s)
        H = V.T @ H @ V + rho * np.outer(s, s)
    return H


@pytest.mark.parametrize("n_updates", [0, 1, 5, lbfgs._MEMORY, lbfgs._MEMORY + 7])
def test_the_compact_form_is_the_recursion(n_updates: int) -> None:
    rng = np.random.default_rng(1)
    roots = rng.normal(size=(R, P, P))
    hessians = roots @ roots.transpose(0, 2, 1) + np.eye(P)
    H = InverseHessian(torch.zeros(R, P, dtype=torch.float64))
    pairs: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(R)]
    for k in range(n_updates):
        steps = rng.normal(size=(R, P))
        changes = np.einsum("rij,rj->ri", hessians, steps)
        usable = np.array([True, k % 3 != 0, k != 2])  # members skip pairs on their own
        H.update(*(torch.from_numpy(a) for a in (steps, changes, usable)))
        for r in range(R):
            pairs[r].append((steps[r], changes[r]) if usable[r] else (np.zeros(P), np.zeros(P)))
    vectors = rng.normal(size=(R, P))
    products = (H @ torch.from_numpy(vectors)).numpy()
    for r in range(R):
        real = [(s, y) for s, y in pairs[r] if s.any()]
        remembered = [(s, y) for s, y in pairs[r][-lbfgs._MEMORY :] if s.any()]
        scale = real[-1][0] @ real[-1][1] / (real[-1][1] @ real[-1][1]) if real else 1.0
        expected = by_recursion(remembered, scale) @ vectors[r]
        np.testing.assert_allclose(products[r], expected, rtol=1e-9, atol=1e-12)


def test_pairs_without_curvature_are_left_out() -> None:
    H = InverseHessian(torch.zeros(1, P, dtype=torch.float64))
    step = torch.ones(1, P, dtype=torch.float64)
    H.update(step, -step, torch.tensor([True]))
    vector = torch.arange(P, dtype=torch.float64).unsqueeze(0)
    assert torch.equal(H @ vector, vector)


def test_some_problems_start_anew_and_some_are_dropped() -> None:
    rng = torch.Generator().manual_seed(2)
    H = InverseHessian(torch.zeros(R, P, dtype=torch.float64))
    for _ in range(4):
        step = torch.randn(R, P, generator=rng, dtype=torch.float64)
        H.update(step, 2 * step, torch.ones(R, dtype=torch.bool))
    vectors = torch.randn(R, P, generator=rng, dtype=torch.float64)
    before = H @ vectors
    H.forget(torch.tensor([False, True, False]))
    after = H @ vectors
    assert torch.equal(after[1], vectors[1])
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]], rtol=1e-12, atol=1e-12)
    H.keep(torch.tensor([2]))
    torch.testing.assert_close(H @ vectors[2:], before[2:], rtol=1e-12, atol=1e-12)


def test_a_stored_state_goes_on_alike() -> None:
    rng = torch.Generator().manual_seed(3)
    first = InverseHessian(torch.zeros(R, P, dtype=torch.float64))
    every = torch.ones(R, dtype=torch.bool)
    for _ in range(3):
        step = torch.randn(R, P, generator=rng, dtype=torch.float64)
        first.update(step, 3 * step, every)
    second = InverseHessian(torch.zeros(R, P, dtype=torch.float64))
    second.resume({name: tensor.clone() for name, tensor in first.state().items()})
    step = torch.randn(R, P, generator=rng, dtype=torch.float64)
    for matrix in (first, second):
        matrix.update(step, 4 * step, every)
    assert torch.equal(first @ step, second @ step)
