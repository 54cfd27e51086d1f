from __future__ import annotations

import copy
from dataclasses import dataclass

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
import scipy.interpolate
import scipy.special
import torch
import zuko
from torch import Tensor

from tramdag.data import Values
from tramdag.node import (
    Conditional,
    ContinuousConditional,
    OrdinalConditional,
    make_conditional,
)
from tramdag.spec import CI, CS, LS, ContinuousNode, Node, OrdinalNode, Term
from tramdag.transforms import inverse_positive

TERMS: list[list[Term]] = [
    [],
    [LS("a")],
    [LS("m")],
    [LS("a", "b")],
    [LS("m", "a")],
    [LS("t", "m")],
    [CS("a", hidden=(6,))],
    [CS("m", hidden=(6,))],
    [CS("a", "m", hidden=(6, 5))],
    [CI("a", hidden=(6,))],
    [CI("t", hidden=(6,))],
    [CI("a", "m", hidden=(6, 5))],
    [CI("a", hidden=(6,)), CI("b", hidden=(5,))],
    [CI("a", hidden=(6,)), LS("b")],
    [CI("a", hidden=(6,)), CS("b", hidden=(5,)), LS("m"), LS("t", "a")],
]
CONTINUOUS = [("bernstein", 7), ("spline", 5), ("affine", 2)]
LEVELS = [2, 5]
N = 12


@dataclass(frozen=True)
class Case:
    """A node of one type with one combination of terms."""

    node: Node
    label: str


def _label(terms: list[Term]) -> str:
    return "+".join(f"{term.kind}({','.join(term.parents)})" for term in terms) or "none"


def _continuous(name: str, n_coefs: int, terms: list[Term]) -> Case:
    node = ContinuousNode(terms=terms, transform=name, n_coefs=n_coefs)
    return Case(node, f"{name}{n_coefs}-{_label(terms)}")


def _ordinal(levels: int, terms: list[Term]) -> Case:
    return Case(OrdinalNode(levels, terms=terms), f"ordinal{levels}-{_label(terms)}")


CASES = [
    *(_continuous(name, n_coefs, terms) for terms in TERMS for name, n_coefs in CONTINUOUS),
    *(_continuous("bernstein", n_coefs, terms) for terms in TERMS[-1:] for n_coefs in (2, 20)),
    *(_ordinal(levels, terms) for terms in TERMS for levels in LEVELS),
]
CONTINUOUS_CASES = [case for case in CASES if isinstance(case.node, ContinuousNode)]
ORDINAL_CASES = [case for case in CASES if isinstance(case.node, OrdinalNode)]


def nodes_with(target: Node) -> dict[str, Node]:
    return {
        "a": ContinuousNode(),
        "b": ContinuousNode(),
        "t": OrdinalNode(2),
        "m": OrdinalNode(3),
        "y": target,
    }


def rows(target: Node, n: int = N, seed: int = 1) -> Values:
    """Rows of every column; an ordinal outcome takes all of its levels, the lowest most often."""
    rng = np.random.default_rng(seed)
    if isinstance(target, OrdinalNode):
        outcome = (torch.arange(n) % (target.levels + 2) - 2).clamp(min=0)
    else:
        outcome = torch.from_numpy(10.0 + 3.0 * rng.normal(size=n))
    return {
        "a": torch.from_numpy(rng.normal(70.0, 8.0, n)),
        "b": torch.from_numpy(rng.normal(0.0, 0.5, n)),
        "t": torch.from_numpy(rng.integers(0, 2, n)),
        "m": torch.from_numpy(rng.integers(0, 3, n)),
        "y": outcome,
    }


@torch.no_grad()
def random_conditional(target: Node, *, dtype: torch.dtype = torch.float64) -> Conditional:
    """A node with random parameters and the scalings of 200 rows."""
    made = make_conditional("y", nodes_with(target), seed=0, dtype=dtype)
    made.set_scaling(rows(target, n=200, seed=2))
    generator = torch.Generator().manual_seed(3)
    for parameter in made.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.add_(0.5 * noise.to(dtype))
    return made


def by_label(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.label)


# the formulas once more, in numpy


def encoded_parent(values: Values, name: str) -> np.ndarray:
    column = values[name].numpy()
    levels = {"t": 2, "m": 3}.get(name)
    if levels is None:
        return column[:, None].astype(float)
    return (column[:, None] == np.arange(1, levels)).astype(float)


def network_output(state: dict[str, np.ndarray], prefix: str, columns: np.ndarray) -> np.ndarray:
    z = (columns - state[f"{prefix}.mean"]) / state[f"{prefix}.scale"]
    layer = 0
    while f"{prefix}.layers.{layer}.bias" in state:
        z = z @ state[f"{prefix}.layers.{layer}.weight"].T + state[f"{prefix}.layers.{layer}.bias"]
        z = z * scipy.special.expit(z)
        layer += 1
    return z @ state[f"{prefix}.layers.{layer}.weight"].T


def raw_and_shift(conditional: Conditional, values: Values) -> tuple[np.ndarray, np.ndarray]:
    """Unconstrained intercept parameters (n, n_params) and shifts (n,)."""
    state = {k: v.detach().double().numpy() for k, v in conditional.state_dict().items()}
    n = len(values["y"])
    raw = np.tile(state["intercept"], (n, 1))
    shift, blocks = np.zeros(n), []
    n_shifts = n_intercepts = 0
    for term in conditional.node.terms:
        columns = [encoded_parent(values, name) for name in term.parents]
        if isinstance(term, LS):
            block = columns[0]
            for other in columns[1:]:
                block = (block[:, :, None] * other[:, None, :]).reshape(n, -1)
            blocks.append(block)
        elif isinstance(term, CS):
            prefix = f"complex_shifts.{n_shifts}"
            shift += network_output(state, prefix, np.concatenate(columns, 1))[:, 0]
            n_shifts += 1
        else:
            prefix = f"complex_intercepts.{n_intercepts}"
            raw += network_output(state, prefix, np.concatenate(columns, 1))
            n_intercepts += 1
    if blocks:
        standardised = (np.concatenate(blocks, 1) - state["linear.mean"]) / state["linear.scale"]
        shift += standardised @ state["linear.weight"]
    return raw, shift


def reference_h(node: ContinuousNode, raw: np.ndarray, s: float) -> tuple[float, float]:
    """h(s) and h'(s) of one row, from SciPy's polynomial, zuko's spline or the straight line."""
    if node.transform == "affine":
        slope = np.logaddexp(0.0, raw[1])
        return raw[0] + slope * s, slope
    if node.transform == "spline":
        k = node.n_coefs
        slope = np.logaddexp(0.0, raw[1])
        parts = torch.from_numpy(raw[2:]).split([k, k, k - 1])
        spline = zuko.transforms.MonotonicRQSTransform(*parts, bound=5.0)
        value, ladj = spline.call_and_ladj(torch.tensor(s, dtype=torch.float64))
        return raw[0] + slope * value.item(), slope * np.exp(ladj.item())
    theta = raw[0] + np.concatenate([[0.0], np.logaddexp(0.0, raw[1:]).cumsum()])
    polynomial = scipy.interpolate.BPoly(theta[:, None], [-5.0, 5.0])
    inside = np.clip(s, -5.0, 5.0)
    slope = float(polynomial.derivative()(inside))
    return float(polynomial(inside)) + slope * (s - inside), slope


def reference_log_prob(conditional: Conditional, values: Values) -> np.ndarray:
    raw, shift = raw_and_shift(conditional, values)
    node = conditional.node
    y = values["y"].numpy()
    if isinstance(node, OrdinalNode):
        gaps = np.logaddexp(0.0, raw[:, 1:]).cumsum(1)
        theta = raw[:, :1] + np.concatenate([np.zeros((len(y), 1)), gaps], 1)
        F = scipy.special.expit(theta - shift[:, None])
        pmf = np.diff(F, axis=1, prepend=0.0, append=1.0)
        return np.log(pmf[np.arange(len(y)), y])
    assert isinstance(node, ContinuousNode)
    low, high = np.quantile(rows(node, n=200, seed=2)["y"].numpy(), [0.05, 0.95])
    per_unit = 10.0 / (high - low)
    s = -5.0 + per_unit * (y - low)
    h, slope = np.transpose([reference_h(node, raw[i], s[i]) for i in range(len(y))])
    u = h + shift
    return -np.logaddexp(0.0, u) - np.logaddexp(0.0, -u) + np.log(slope) + np.log(per_unit)


@by_label(CASES)
def test_log_prob_equals_the_formula_in_numpy(case: Case) -> None:
    conditional, values = random_conditional(case.node), rows(case.node)
    with torch.no_grad():
        got = conditional.log_prob(values).numpy()
    # numpy subtracts probabilities, which costs digits where levels are rare
    np.testing.assert_allclose(got, reference_log_prob(conditional, values), rtol=1e-9, atol=1e-9)


@by_label(CASES[::3])
def test_log_prob_in_float32_has_float32_accuracy(case: Case) -> None:
    double = random_conditional(case.node)
    single = copy.deepcopy(double).float()
    values = rows(case.node)
    with torch.no_grad():
        got = single.log_prob(values)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), double.log_prob(values), rtol=1e-4, atol=1e-3)


@by_label(CONTINUOUS_CASES)
@torch.no_grad()
def test_density_integrates_to_one(case: Case) -> None:
    conditional, row = random_conditional(case.node), rows(case.node, n=1)
    # panels between quantiles of the law; all but 1e-17 of the mass lies inside
    u = torch.linspace(-40, 40, 401, dtype=torch.float64)
    edges = conditional.generate(_repeat(row, len(u)), u).numpy()
    edges = np.unique(np.concatenate([edges, np.linspace(0.0, 20.0, 1001)]))
    nodes, weights = np.polynomial.legendre.leggauss(6)
    half = 0.5 * np.diff(edges)[:, None]
    x = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes).ravel()
    at = _repeat(row, len(x)) | {"y": torch.from_numpy(x)}
    density = conditional.log_prob(at).exp().numpy()
    # a spline's knots are kinks of the density, inside a panel an error of about 1e-6
    assert density @ (half * weights).ravel() == pytest.approx(1.0, abs=1e-5)


def _repeat(row: Values, n: int) -> Values:
    return {name: column.expand(n) for name, column in row.items()}


@by_label(ORDINAL_CASES)
@torch.no_grad()
def test_pmf_sums_to_one_and_agrees_with_log_prob(case: Case) -> None:
    conditional, values = random_conditional(case.node), rows(case.node)
    assert isinstance(conditional, OrdinalConditional)
    log_pmf = conditional.log_pmf(values, n=N)
    torch.testing.assert_close(
        log_pmf.exp().sum(-1), torch.ones(N, dtype=torch.float64), rtol=0, atol=1e-12
    )
    chosen = log_pmf.gather(1, values["y"].unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(conditional.log_prob(values), chosen, rtol=1e-13, atol=1e-13)


@by_label(CASES)
def test_every_parameter_gets_a_gradient(case: Case) -> None:
    conditional = random_conditional(case.node)
    conditional.log_prob(rows(case.node, n=60)).sum().backward()
    silent = [
        name
        for name, parameter in conditional.named_parameters()
        if parameter.numel() and (parameter.grad is None or not bool(parameter.grad.any()))
    ]
    assert silent == []


@by_label(CASES)
def test_a_fresh_node_can_learn_every_parameter_after_one_step(case: Case) -> None:
    # the last layers start at zero, so hidden layers come alive with the first step
    conditional = make_conditional("y", nodes_with(case.node), seed=0, dtype=torch.float64)
    values = rows(case.node, n=60)
    conditional.set_scaling(values)
    optimizer = torch.optim.SGD(conditional.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        (-conditional.log_prob(values).mean()).backward()
        optimizer.step()
    used = [p for p in conditional.parameters() if p.numel()]
    assert all(p.grad is not None and bool(p.grad.any()) for p in used)


def _far_rows(target: Node) -> Values:
    """Rows up to 50 standard deviations outside; parents of complex intercepts up to 3.

    A random network, continued along a straight line for 50 standard deviations, makes increments
    of e^-50 and less: such a law has no density in double precision.
    """
    values = rows(target)
    bent = {name for term in target.terms if isinstance(term, CI) for name in term.parents}
    sides = torch.tensor([-1.0, 1.0, 0.0, 0.5] * 3, dtype=torch.float64)
    values["a"] = 70.0 + (3.0 if "a" in bent else 50.0) * 8.0 * sides
    values["b"] = (3.0 if "b" in bent else 50.0) * 0.5 * sides.roll(1)
    if isinstance(target, ContinuousNode):
        values["y"] = 10.0 + 50.0 * 3.0 * sides.roll(2)
    return values


@by_label(CASES)
@torch.no_grad()
def test_generate_undoes_abduct_far_in_the_tails_too(case: Case) -> None:
    conditional, values = random_conditional(case.node), _far_rows(case.node)
    for uniform in (2.0**-54, 0.5, 1.0 - 2.0**-53):
        u = conditional.abduct(values, torch.full((N,), uniform, dtype=torch.float64))
        back = conditional.generate(values, u)
        if isinstance(case.node, OrdinalNode):
            assert torch.equal(back, values["y"])
        else:
            torch.testing.assert_close(back, values["y"], rtol=1e-8, atol=1e-8)


@by_label(CASES[::3])
@torch.no_grad()
def test_generate_undoes_abduct_in_float32(case: Case) -> None:
    conditional = copy.deepcopy(random_conditional(case.node)).float()
    values = rows(case.node)
    u = conditional.abduct(values, torch.full((N,), 0.3, dtype=torch.float64))
    assert u.dtype == torch.float32
    back = conditional.generate(values, u)
    if isinstance(case.node, OrdinalNode):
        assert torch.equal(back, values["y"])
    else:
        torch.testing.assert_close(back.double(), values["y"], rtol=1e-3, atol=1e-3)


@by_label(CASES)
@torch.no_grad()
def test_generate_increases_with_the_latent(case: Case) -> None:
    conditional, values = random_conditional(case.node), rows(case.node, n=1)
    u = torch.linspace(-30, 30, 301, dtype=torch.float64)
    drawn = conditional.generate(_repeat(values, 301), u)
    assert bool((drawn.diff() >= 0).all())
    if isinstance(case.node, OrdinalNode):
        assert drawn[0] == 0
        assert drawn[-1] == case.node.levels - 1
    else:
        assert bool((drawn.diff() > 0).all())


@by_label(CASES[::3])
def test_classical_means_linear_shifts_under_a_convex_head(case: Case) -> None:
    convex = isinstance(case.node, OrdinalNode) or case.node.transform != "spline"  # type: ignore[attr-defined]
    expected = convex and all(isinstance(term, LS) for term in case.node.terms)
    assert random_conditional(case.node).is_classical == expected


@pytest.mark.parametrize("shift", [0.0, 30.0, -30.0, 600.0, -600.0, 5000.0])
@pytest.mark.parametrize("gap", [1e-9, 1.0])
@torch.no_grad()
def test_ordinal_log_probabilities_are_exact_at_extreme_shifts(shift: float, gap: float) -> None:
    node = OrdinalNode(3, {"a": "ls"})
    conditional = make_conditional("y", nodes_with(node), seed=0, dtype=torch.float64)
    assert isinstance(conditional, OrdinalConditional)
    conditional.intercept[0] = 0.25
    conditional.intercept[1] = inverse_positive(torch.tensor(gap, dtype=torch.float64))
    conditional.linear.weight.fill_(1.0)
    got = conditional.log_pmf({"a": torch.tensor([shift], dtype=torch.float64)}, n=1)[0].tolist()
    with mpmath.workdps(3000):
        first = mpmath.mpf("0.25") - mpmath.mpf(shift)
        second = first + mpmath.mpf(gap)
        F = [1 / (1 + mpmath.exp(-c)) for c in (first, second)]
        upper = 1 / (1 + mpmath.exp(second))
        middle = mpmath.exp(first) * mpmath.expm1(mpmath.mpf(gap))
        middle /= (1 + mpmath.exp(first)) * (1 + mpmath.exp(second))
        expected = [float(mpmath.log(p)) for p in (F[0], middle, upper)]
    # the gap itself is stored through a softplus, to 1e-13 relative
    assert got == pytest.approx(expected, rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("shift", [-200.0, 200.0])
def test_an_ordinal_node_is_never_frozen_by_saturation(shift: float, dtype: torch.dtype) -> None:
    node = OrdinalNode(4, {"a": "ls"})
    conditional = make_conditional("y", nodes_with(node), seed=0, dtype=dtype)
    with torch.no_grad():
        conditional.linear.weight.fill_(1.0)
    values = {"a": torch.full((4,), shift, dtype=torch.float64), "y": torch.arange(4)}
    conditional.log_prob(values).sum().backward()
    gradient = conditional.linear.weight.grad
    assert gradient is not None
    assert bool(torch.isfinite(gradient).all())
    assert bool((gradient != 0).all())


@torch.no_grad()
def test_ordinal_shifts_are_subtracted_and_continuous_ones_added() -> None:
    ordinal = make_conditional(
        "y", nodes_with(OrdinalNode(3, {"b": "ls"})), seed=0, dtype=torch.float64
    )
    continuous = make_conditional(
        "y",
        nodes_with(ContinuousNode({"b": "ls"}, transform="affine")),
        seed=0,
        dtype=torch.float64,
    )
    b = torch.tensor([0.0, 1.0], dtype=torch.float64)
    for conditional in (ordinal, continuous):
        conditional.linear.weight.fill_(0.7)
    assert isinstance(ordinal, OrdinalConditional)
    log_pmf = ordinal.log_pmf({"b": b}, n=2).exp()
    odds_above = (1 - log_pmf[:, 0]) / log_pmf[:, 0]
    assert (odds_above[1] / odds_above[0]).item() == pytest.approx(np.exp(0.7), rel=1e-12)
    u = continuous.abduct({"b": b, "y": torch.zeros(2, dtype=torch.float64)}, torch.zeros(2))
    assert (u[1] - u[0]).item() == pytest.approx(0.7, rel=1e-12)


@torch.no_grad()
def test_five_and_ninety_five_percent_quantiles_are_scaled_to_the_range() -> None:
    node = ContinuousNode()
    conditional = make_conditional("y", nodes_with(node), seed=0, dtype=torch.float64)
    assert isinstance(conditional, ContinuousConditional)
    column = torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=500))
    conditional.set_scaling({"y": column})
    ends = torch.from_numpy(np.quantile(column.numpy(), [0.05, 0.95]))
    torch.testing.assert_close(conditional.scale(ends), torch.tensor([-5.0, 5.0]).double())
    torch.testing.assert_close(conditional.unscale(conditional.scale(column)), column)


def test_initial_networks_depend_on_seed_and_name_alone() -> None:
    spec: dict[str, Node] = {"a": ContinuousNode(), "y": ContinuousNode({"a": "ci"})}
    larger = {"z": OrdinalNode(2), **spec, "w": ContinuousNode({"y": "ci"})}

    def first_weights(nodes: dict[str, Node], seed: int, name: str = "y") -> Tensor:
        made = make_conditional(name, nodes, seed=seed, dtype=torch.float64)
        return next(made.complex_intercepts[0].parameters())

    assert torch.equal(first_weights(spec, 1), first_weights(larger, 1))
    assert not torch.equal(first_weights(spec, 1), first_weights(spec, 2))
    assert not torch.equal(first_weights(larger, 1), first_weights(larger, 1, "w"))
