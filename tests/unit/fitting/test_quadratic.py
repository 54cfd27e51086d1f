"""Newton steps under bounds, against their optimality conditions and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from tramdag.fitting.quadratic import NewtonStep, bounded_newton_step, newton_step

Q = 8
BOUNDED = np.array([False, True, True, True, True, True, False, False])


def program(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Psi, gradient, Hessian and working bounds of a random program, many bounds to meet."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(12, Q))
    psi = np.where(BOUNDED, rng.exponential(size=Q) * (rng.random(Q) < 0.6), rng.normal(size=Q))
    working = BOUNDED & (psi == 0.0) & (rng.random(Q) < 0.5)
    return psi, 3.0 * rng.normal(size=Q), factor.T @ factor, working


@pytest.mark.parametrize("seed", range(20))
def test_step_is_the_bounded_minimum(seed: int) -> None:
    psi, gradient, hessian, working = program(seed)
    step = newton_step(
        psi, gradient, hessian, bounded=BOUNDED, held=np.zeros(Q, bool), working=working
    )
    # |L^T x - c| has the same minimum over the feasible x = psi + d
    root = np.linalg.cholesky(hessian).T
    target = np.linalg.solve(root.T, hessian @ psi - gradient)
    low = np.where(BOUNDED, 0.0, -np.inf)
    expected = lsq_linear(root, target, (low, np.full(Q, np.inf)), method="bvls", tol=1e-14).x
    np.testing.assert_allclose(psi + step.direction[0], expected, atol=1e-8)
    np.testing.assert_array_equal(step.working[0], BOUNDED & (np.abs(expected) < 1e-9))
    assert not step.damped[0]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("from_all", [False, True])
def test_step_of_a_smooth_basis_meets_many_bounds(seed: int, from_all: bool) -> None:
    """Neighbouring columns of a cumulated basis are nearly parallel, as those of a transform."""
    rng = np.random.default_rng(seed)
    t, q = rng.random(400), 16
    basis = [math.comb(q - 1, k) * t**k * (1 - t) ** (q - 1 - k) for k in range(q)]
    design = np.cumsum(basis[::-1], 0)[::-1].T
    target = np.floor(4 * t) + rng.normal(size=len(t))
    bounded = np.arange(q) > 0
    psi = np.where(bounded, 0.3, -1.0)
    hessian, gradient = design.T @ design / 400, design.T @ (design @ psi - target) / 400
    step = newton_step(
        psi,
        gradient,
        hessian,
        bounded=bounded,
        held=np.zeros(q, bool),
        working=bounded & from_all,
    )
    found, slope = psi + step.direction[0], gradient + hessian @ step.direction[0]
    expected = lsq_linear(design, target, (np.where(bounded, 0.0, -np.inf), np.inf), method="bvls")
    np.testing.assert_allclose(np.sum((design @ found - target) ** 2), 2 * expected.cost, rtol=1e-9)
    assert found[bounded].min() >= 0.0
    assert slope[step.working[0]].min() > -1e-12
    np.testing.assert_allclose(slope[~step.working[0]], 0.0, atol=1e-12)
    assert step.working.sum() > 3


def test_one_program_alone_and_among_others() -> None:
    programs = [program(seed) for seed in range(30)]
    held = np.zeros((30, Q), bool)
    held[::3, 6] = True
    psi, gradient, hessian, working = (np.stack(part) for part in zip(*programs, strict=True))
    together = bounded_newton_step(
        psi, gradient, hessian, bounded=BOUNDED, held=held, working=working
    )
    for b in range(30):
        alone = newton_step(
            psi[b], gradient[b], hessian[b], bounded=BOUNDED, held=held[b], working=working[b]
        )
        np.testing.assert_allclose(alone.direction[0], together.direction[b], atol=1e-9)
        np.testing.assert_array_equal(alone.working[0], together.working[b])
        assert alone.direction[0][held[b]].tolist() == [0.0] * held[b].sum()


def test_a_singular_hessian_is_damped_and_the_step_descends() -> None:
    psi, gradient, hessian, working = program(3)
    hessian[6], hessian[:, 6] = 0.0, 0.0
    held = np.zeros(Q, bool)
    step: NewtonStep = newton_step(
        psi, gradient, hessian, bounded=BOUNDED, held=held, working=working
    )
    assert step.damped[0]
    assert gradient @ step.direction[0] < 0.0


def test_nothing_free_moves_nothing() -> None:
    held = np.array([True])
    step = newton_step(
        np.array([0.3]),
        np.array([1.0]),
        np.array([[2.0]]),
        bounded=np.array([False]),
        held=held,
        working=np.array([False]),
    )
    assert step.direction.tolist() == [[0.0]]
