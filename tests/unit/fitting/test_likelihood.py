from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from tramdag.fitting import convex, gram
from tramdag.fitting.convex import ConvexLikelihood
from tramdag.fitting.likelihood import likelihood_of
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


def problem(
    target: str, weights: Tensor | None = None
) -> tuple[Conditional, dict[str, Tensor], ConvexLikelihood]:
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
    return conditional, values, likelihood_of(conditional, values, weights)


def random_psi(likelihood: ConvexLikelihood, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    psi = rng.normal(size=likelihood.n_parameters)
    psi[likelihood.bounded] = rng.exponential(size=likelihood.bounded.sum()) + 0.01
    return psi


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return request.param


def random_weights(replicates: int, seed: int) -> Tensor:
    """Weights with zeros among them, as a bootstrap draws."""
    counts = np.random.default_rng(seed).poisson(1.0, (replicates, N))
    return torch.from_numpy(counts * 0.7)


def value_of(likelihood: ConvexLikelihood, psi: Tensor) -> Tensor:
    """Mean value of every replicate as a function that autograd can follow."""
    return likelihood.value(psi, likelihood.predict(psi))


@pytest.mark.parametrize("replicates", [None, 1, 3, 6])
def test_gradient_and_hessian_equal_autograd(target: str, replicates: int | None) -> None:
    _, _, likelihood = problem(
        target, None if replicates is None else random_weights(replicates, 5)
    )
    psi = torch.stack(
        [torch.from_numpy(random_psi(likelihood, seed)) for seed in range(replicates or 1)]
    )
    gradient, hessian = likelihood.derivatives(psi, likelihood.predict(psi))
    for b in range(len(psi)):
        one = likelihood.replicates(slice(b, b + 1))

        def value(parameters: Tensor, one: ConvexLikelihood = one) -> Tensor:
            return value_of(one, parameters.unsqueeze(0))[0]

        expected = torch.autograd.functional.jacobian(value, psi[b])
        np.testing.assert_allclose(gradient[b], expected, rtol=1e-9, atol=1e-11)
        expected = torch.autograd.functional.hessian(value, psi[b])
        np.testing.assert_allclose(hessian[b], expected, rtol=1e-8, atol=1e-11)


def test_integer_weights_count_rows_as_often(target: str) -> None:
    counts = torch.from_numpy(np.random.default_rng(6).integers(0, 4, (1, N)))
    conditional, values, weighted = problem(target, counts)
    rows = torch.arange(N).repeat_interleave(counts[0])
    repeated = likelihood_of(conditional, {k: v[rows] for k, v in values.items()})
    psi = random_psi(weighted, 7)
    for ours, theirs in zip(weighted(psi, order=2), repeated(psi, order=2), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)
    per_row = np.zeros_like(weighted.scores(psi))
    np.add.at(per_row, rows.numpy(), repeated.scores(psi))
    np.testing.assert_allclose(weighted.scores(psi), per_row, rtol=1e-10, atol=1e-11)


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
    conditional, values, likelihood = problem(target)
    psi = random_psi(likelihood, 2)
    scores = likelihood.scores(psi)
    assert scores.shape == (N, len(psi))
    _, gradient, _ = likelihood(psi, order=2)
    np.testing.assert_allclose(-scores.mean(0), gradient, rtol=1e-9, atol=1e-11)
    for row in (0, N - 1):
        alone = likelihood_of(conditional, {k: v[row : row + 1] for k, v in values.items()})
        _, single, _ = alone(psi, order=2)
        np.testing.assert_allclose(-scores[row], single, rtol=1e-9, atol=1e-11)


def test_hessian_is_positive_semidefinite_everywhere(target: str) -> None:
    _, _, likelihood = problem(target)
    for seed in range(5):
        psi = random_psi(likelihood, seed) * 3.0
        psi[likelihood.bounded] = np.abs(psi[likelihood.bounded])
        _, _, hessian = likelihood(psi, order=2)
        eigenvalues = np.linalg.eigvalsh(hessian)
        assert eigenvalues.min() >= -1e-10 * max(1.0, eigenvalues.max())


def test_start_is_feasible_with_a_finite_value(target: str) -> None:
    weights = random_weights(2, 8)
    weights[1, ::2] = 0.0
    _, _, likelihood = problem(target, weights)
    start = likelihood.start()
    assert (start[:, torch.from_numpy(likelihood.bounded)] > 0).all()
    assert value_of(likelihood, start).isfinite().all()


@pytest.mark.parametrize("replicates", [1, 6])
def test_block_boundaries_change_nothing(
    target: str, replicates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = random_weights(replicates, 9)
    _, _, likelihood = problem(target, weights)
    psi = torch.from_numpy(random_psi(likelihood, 4)).expand(replicates, -1)
    whole = likelihood.derivatives(psi, likelihood.predict(psi))
    monkeypatch.setattr(gram, "BLOCK_ROWS", 7)
    monkeypatch.setattr(gram, "_PACKED_NUMBERS", 0)
    monkeypatch.setattr(convex, "_ENCODED_ROWS", 11)
    _, _, blockwise = problem(target, weights)
    parts = blockwise.derivatives(psi, blockwise.predict(psi))
    for before, after in zip(whole, parts, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-11, atol=1e-12)


# columns that others determine


def test_dependent_columns_are_those_that_lower_no_rank() -> None:
    rng = np.random.default_rng(10)
    free = rng.normal(size=(60, 3))
    design = np.column_stack(
        [np.ones(60), free[:, 0], 3.0 - 2.0 * free[:, 0], free[:, 1], np.zeros(60),
         free[:, 0] + free[:, 1], free[:, 2]]
    )  # fmt: skip
    plain = design[:, [0, 1, 3, 6]]
    found = gram.dependent_columns(
        torch.from_numpy(np.stack([design.T @ design, np.diag([1.0] * 7)]))
    )
    assert found.tolist() == [[False, False, True, False, True, True, False], [False] * 7]
    # the same by NumPy's rank, which is a singular-value decomposition
    ranks = [np.linalg.matrix_rank(design[:, : j + 1]) for j in range(7)]
    assert found[0].tolist() == [False, *(b == a for a, b in pairwise(ranks))]
    assert not gram.dependent_columns(torch.from_numpy(plain.T @ plain)[None]).any()
