from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tramdag.fitting import likelihood as module
from tramdag.fitting.likelihood import ConvexLikelihood, likelihood_of
from tramdag.node import Conditional, make_conditional
from tramdag.spec import LS, ContinuousNode, Node, OrdinalNode
from tramdag.transforms import positive

TERMS = [LS("a"), LS("m"), LS("m", "a")]
TARGETS: dict[str, Node] = {
    "affine": ContinuousNode(terms=TERMS, transform="affine"),
    "bernstein2": ContinuousNode(terms=TERMS, n_coefs=2),
    "bernstein9": ContinuousNode(terms=TERMS, n_coefs=9),
    "marginal": ContinuousNode(n_coefs=9),
    "binary": OrdinalNode(2, terms=TERMS),
    "ordinal": OrdinalNode(5, terms=TERMS),
    "ordinal marginal": OrdinalNode(3),
}
N = 50


def problem(target: str) -> tuple[Conditional, dict[str, Tensor], ConvexLikelihood]:
    node = TARGETS[target]
    rng = np.random.default_rng(3)
    values = {
        "a": torch.from_numpy(rng.normal(20.0, 5.0, N)),
        "m": torch.from_numpy(rng.integers(0, 3, N)),
        "y": torch.from_numpy(rng.integers(0, node.levels, N))
        if isinstance(node, OrdinalNode)
        else torch.from_numpy(rng.gumbel(size=N)),
    }
    nodes = {"a": ContinuousNode(), "m": OrdinalNode(3), "y": node}
    conditional = make_conditional("y", nodes, seed=0, dtype=torch.float64)
    conditional.set_scaling(values)
    return conditional, values, likelihood_of(conditional, values)


def random_psi(likelihood: ConvexLikelihood, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    psi = rng.normal(size=len(likelihood.start()))
    psi[likelihood.bounded] = rng.exponential(size=likelihood.bounded.sum()) + 0.01
    return psi


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("seed", [0, 1])
def test_gradient_and_hessian_equal_autograd(target: str, seed: int) -> None:
    _, _, likelihood = problem(target)
    psi = torch.from_numpy(random_psi(likelihood, seed))

    def value(parameters: Tensor) -> Tensor:
        return likelihood.block(parameters, slice(None), order=0)[0]

    _, gradient, hessian = likelihood.block(psi, slice(None), order=2)
    expected = torch.autograd.functional.jacobian(value, psi)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
    expected = torch.autograd.functional.hessian(value, psi)
    torch.testing.assert_close(hessian, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("seed", [0, 1])
def test_value_equals_the_nodes_log_prob(target: str, seed: int) -> None:
    conditional, values, likelihood = problem(target)
    psi = random_psi(likelihood, seed)
    k = likelihood.n_intercept
    with torch.no_grad():
        conditional.intercept[0] = psi[0]
        conditional.intercept[1:] = torch.from_numpy(np.log(np.expm1(psi[1:k])))
        conditional.linear.weight.copy_(torch.from_numpy(psi[k:]))
        expected = conditional.log_prob(values)
    torch.testing.assert_close(
        positive(conditional.intercept[1:]).detach(), torch.from_numpy(psi[1:k])
    )
    (value,) = likelihood(psi, order=0)
    gap = value + expected.mean().item()
    # the node counts density per unit of the column, the likelihood per unit of the scaled one
    scaled = 0.0
    if isinstance(TARGETS[target], ContinuousNode):
        low, high = np.quantile(values["y"].numpy(), [0.05, 0.95])
        scaled = np.log(10.0 / (high - low))
    assert gap == pytest.approx(scaled, abs=1e-10)


def test_scores_are_the_rows_gradients(target: str) -> None:
    _, _, likelihood = problem(target)
    psi = random_psi(likelihood, 2)
    scores = likelihood.scores(psi)
    assert scores.shape == (N, len(psi))
    _, gradient, _ = likelihood(psi, order=2)
    np.testing.assert_allclose(-scores.mean(0), gradient, rtol=1e-9, atol=1e-11)
    for row in (0, N - 1):
        _, single, _ = likelihood.block(torch.from_numpy(psi), slice(row, row + 1), order=2)
        np.testing.assert_allclose(-scores[row], single.numpy(), rtol=1e-9, atol=1e-11)


def test_hessian_is_positive_semidefinite_everywhere(target: str) -> None:
    _, _, likelihood = problem(target)
    for seed in range(5):
        psi = random_psi(likelihood, seed) * 3.0
        psi[likelihood.bounded] = np.abs(psi[likelihood.bounded])
        _, _, hessian = likelihood(psi, order=2)
        eigenvalues = np.linalg.eigvalsh(hessian)
        assert eigenvalues.min() >= -1e-10 * max(1.0, eigenvalues.max())


def test_start_is_feasible_with_a_finite_value(target: str) -> None:
    _, _, likelihood = problem(target)
    start = likelihood.start()
    assert (start[likelihood.bounded] > 0).all()
    assert np.isfinite(likelihood(start, order=0)[0])


def test_block_boundaries_change_nothing(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, likelihood = problem(target)
    psi = random_psi(likelihood, 4)
    whole = likelihood(psi, order=2)
    monkeypatch.setattr(module, "_BLOCK_ROWS", 7)
    for before, after in zip(whole, likelihood(psi, order=2), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-11, atol=1e-12)
