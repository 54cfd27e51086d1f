"""One replicate in NumPy is the batch of one in torch, which autograd checks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tramdag.fitting import gram
from tramdag.fitting.convex import ConvexLikelihood
from tramdag.fitting.likelihood import likelihood_of
from tramdag.node import make_conditional
from tramdag.spec import LS, ContinuousNode, Node, OrdinalNode

TERMS = [LS("a"), LS("m")]
TARGETS: dict[str, Node] = {
    "affine": ContinuousNode(terms=TERMS, transform="affine"),
    "bernstein": ContinuousNode(terms=TERMS, n_coefs=9),
    "marginal": ContinuousNode(n_coefs=5),
    "binary": OrdinalNode(2, terms=TERMS),
    "ordinal": OrdinalNode(5, terms=TERMS),
    "ordinal marginal": OrdinalNode(3),
    "outer levels empty": OrdinalNode(7, terms=TERMS),
    "inner level empty": OrdinalNode(6, terms=TERMS),
}
N = 60


def problem(
    target: str, *, weighted: bool = False, n: int = N
) -> tuple[ConvexLikelihood, np.ndarray]:
    """A likelihood and a feasible psi at which rows lie on both sides of zero."""
    node = TARGETS[target]
    rng = np.random.default_rng(12)
    y = rng.gumbel(size=n)
    if isinstance(node, OrdinalNode):
        y = rng.integers(0, node.levels, n)
        if target == "outer levels empty":
            y = y.clip(1, 5)
        if target == "inner level empty":
            y[y == 2] = 3
    values = {
        "a": torch.from_numpy(rng.normal(20.0, 5.0, n)),
        "m": torch.from_numpy(rng.integers(0, 3, n)),
        "y": torch.from_numpy(y),
    }
    nodes = {"a": ContinuousNode(), "m": OrdinalNode(3), "y": node}
    law = make_conditional("y", nodes, seed=0, dtype=torch.float64)
    law.set_scaling(values)
    weights: Tensor | None = None
    if weighted:
        weights = torch.from_numpy(0.7 * rng.poisson(1.0, (1, n)))
    likelihood = likelihood_of(law, values, weights)
    psi = 2.0 * rng.normal(size=likelihood.n_parameters)
    psi[likelihood.bounded] = rng.exponential(size=likelihood.bounded.sum()) + 0.01
    return likelihood, psi


@pytest.mark.parametrize("block", [7, 8192])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_value_and_derivatives_are_those_of_a_batch_of_one(
    target: str, weighted: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gram, "BLOCK_ROWS", block)
    likelihood, psi = problem(target, weighted=weighted)
    at = torch.from_numpy(psi).unsqueeze(0)
    predictors = likelihood.predict(at)
    gradient, hessian = likelihood.derivatives(at, predictors)
    single = likelihood.single()
    value, rows = single.evaluate(psi)
    found = single.derivatives(psi, rows)
    assert value == pytest.approx(likelihood.value(at, predictors).item(), rel=1e-13)
    np.testing.assert_allclose(found[0], gradient[0], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(found[1], hessian[0], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("target", ["bernstein", "ordinal"])
def test_value_of_many_rows_keeps_its_digits(target: str) -> None:
    """Logarithms of products against the sum of the rows' own logarithms."""
    likelihood, psi = problem(target, n=20_000)
    value, _ = likelihood.single().evaluate(psi)
    at = torch.from_numpy(psi).unsqueeze(0)
    assert value == pytest.approx(likelihood.value(at, likelihood.predict(at)).item(), rel=1e-13)


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "binary"])
def test_outside_the_domain_the_value_is_not_finite(target: str) -> None:
    likelihood, psi = problem(target)
    bounded = np.flatnonzero(likelihood.bounded)
    counts = getattr(likelihood, "counts", None)
    if counts is not None:  # a level without rows has no mass to lose
        bounded = bounded[counts[0, 1:-1].numpy() > 0]
    psi[bounded] = 0.0
    value, _ = likelihood.single().evaluate(psi)
    assert not np.isfinite(value)
