from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.interpolate
import scipy.special
import scipy.stats
import torch
import zuko
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tramdag.transforms import (
    BOUND,
    Affine,
    Bernstein,
    LinearInBasis,
    MonotoneTransform,
    inverse_positive,
    make_transform,
    positive,
)

CASES = [
    ("bernstein", 2),
    ("bernstein", 3),
    ("bernstein", 8),
    ("bernstein", 20),
    ("bernstein", 40),
    ("spline", 2),
    ("spline", 8),
    ("affine", 20),
]
GRID = torch.cat(
    [
        torch.linspace(-BOUND, BOUND, 401, dtype=torch.float64),
        torch.tensor([-500.0, -50.0, -5.0001, 5.0001, 7.3, 50.0, 500.0], dtype=torch.float64),
    ]
)


def random_raw(
    transform: MonotoneTransform,
    n: int | None,
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Tensor:
    """Raw parameters, shared (``n=None``) or one set per row."""
    generator = torch.Generator().manual_seed(seed)
    shape = (transform.n_params,) if n is None else (n, transform.n_params)
    return 1.5 * torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def transform(request: pytest.FixtureRequest) -> MonotoneTransform:
    return make_transform(*request.param)


@pytest.fixture(params=[False, True], ids=["shared", "per_row"])
def per_row(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def raw(transform: MonotoneTransform, per_row: bool) -> Tensor:
    return random_raw(transform, len(GRID) if per_row else None)


def call(transform: MonotoneTransform, raw: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    return transform.call_and_ladj(raw, *transform.prepare(s))


def test_map_is_strictly_increasing_on_and_beyond_the_range(
    transform: MonotoneTransform, raw: Tensor
) -> None:
    left, _ = call(transform, raw, GRID)
    right, _ = call(transform, raw, GRID + 1e-3)
    assert bool((right > left).all())


@torch.no_grad()
def test_rows_met_once_get_the_same_values_as_prepared_rows(
    transform: MonotoneTransform, raw: Tensor
) -> None:
    value, ladj = transform.at(raw, GRID)
    expected_value, expected_ladj = call(transform, raw, GRID)
    torch.testing.assert_close(value, expected_value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ladj, expected_ladj, rtol=1e-12, atol=1e-12)


def test_inverse_undoes_the_map_on_and_beyond_the_range(
    transform: MonotoneTransform, raw: Tensor
) -> None:
    z, _ = call(transform, raw, GRID)
    # rounding of z, about 1e-14, is divided by the slope, which is at least 1e-3 here
    torch.testing.assert_close(transform.inverse(raw, z), GRID, rtol=1e-10, atol=1e-10)


def test_map_undoes_the_inverse_far_out_on_the_latent_scale(
    transform: MonotoneTransform, raw: Tensor
) -> None:
    z = torch.linspace(-60.0, 60.0, len(GRID), dtype=torch.float64)
    value, _ = call(transform, raw, transform.inverse(raw, z))
    torch.testing.assert_close(value, z, rtol=1e-10, atol=1e-10)


def test_inverse_in_float32_has_float32_accuracy(
    transform: MonotoneTransform, per_row: bool
) -> None:
    s = GRID.to(torch.float32)
    raw = random_raw(transform, len(s) if per_row else None, dtype=torch.float32)
    z, ladj = call(transform, raw, s)
    assert z.dtype == torch.float32
    back = transform.inverse(raw, z)
    assert back.dtype == torch.float32
    # a rounding error of z is divided by the slope
    unit = torch.finfo(torch.float32).eps
    assert bool(((back - s).abs() <= 64 * unit * (BOUND + s.abs() + z.abs() / ladj.exp())).all())


def test_log_derivative_equals_autograd(transform: MonotoneTransform, raw: Tensor) -> None:
    s = GRID.clone().requires_grad_()
    value, ladj = call(transform, raw, s)
    (slope,) = torch.autograd.grad(value.sum(), s)
    torch.testing.assert_close(ladj.exp(), slope, rtol=1e-9, atol=1e-12)


def test_start_is_increasing_with_the_logistic_quantiles_at_the_ends(
    transform: MonotoneTransform,
) -> None:
    ends = torch.tensor([-BOUND, BOUND], dtype=torch.float64)
    value, ladj = call(transform, transform.initial().double(), ends)
    expected = torch.tensor([math.log(0.05 / 0.95), math.log(0.95 / 0.05)], dtype=torch.float64)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
    assert bool(torch.isfinite(ladj).all())
    assert transform.initial().shape == (transform.n_params,)


def test_start_of_a_fit_is_the_empirical_log_odds_at_the_control_points() -> None:
    s = np.random.default_rng(0).gumbel(scale=2.0, size=400)
    start = Bernstein(6).start(torch.from_numpy(s)).numpy()
    below = scipy.stats.ecdf(s).cdf.evaluate(np.linspace(-BOUND, BOUND, 6))
    expected = scipy.special.logit((400 * below + 0.5) / 401)
    np.testing.assert_allclose(start.cumsum(), expected, rtol=1e-12)


def test_start_of_a_fit_rises_where_no_row_lies() -> None:
    s = torch.tensor([-20.0, -4.0, 4.0, 4.5, 30.0], dtype=torch.float64)
    start = Bernstein(9).start(s)
    assert bool(start.isfinite().all())
    assert bool((start[1:] > 0).all())


@pytest.mark.parametrize("n_coefs", [4, 7, 20, 30])
def test_bernstein_equals_zukos_on_the_range(n_coefs: int) -> None:
    # zuko doubles the first and the last increment and moves theta_0 by -log(2) P / 2
    theta = random_raw(Bernstein(n_coefs), None, seed=3)[: n_coefs - 2]
    reference = zuko.transforms.BernsteinTransform(theta, bound=BOUND)
    offset = theta[:1] - math.log(2.0) * len(theta) / 2
    raw = torch.cat([offset, theta[1:2], theta[1:], theta[-1:]])
    s = torch.linspace(-BOUND, BOUND, 1001, dtype=torch.float64)
    value, ladj = call(Bernstein(n_coefs), raw, s)
    expected, expected_ladj = reference.call_and_ladj(s)
    torch.testing.assert_close(value, expected, rtol=0.0, atol=1e-10)
    # zuko continues linearly from 1e-5 inside the ends, where the slope is of second order
    torch.testing.assert_close(ladj, expected_ladj, rtol=0.0, atol=1e-6)
    inner = slice(5, -5)
    torch.testing.assert_close(ladj[inner], expected_ladj[inner], rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("n_coefs", [2, 3, 8, 20, 40])
def test_bernstein_equals_scipys_polynomial_with_linear_tails(n_coefs: int) -> None:
    raw = random_raw(Bernstein(n_coefs), None, seed=4)
    increments = np.logaddexp(0.0, raw[1:].numpy())
    theta = np.concatenate([raw[:1].numpy(), raw[0].item() + increments.cumsum()])
    polynomial = scipy.interpolate.BPoly(theta[:, None], [-BOUND, BOUND])
    slope = polynomial.derivative()
    s = GRID.numpy()
    inside = np.clip(s, -BOUND, BOUND)
    value, ladj = call(Bernstein(n_coefs), raw, GRID)
    expected = polynomial(inside) + slope(inside) * (s - inside)
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ladj.exp().numpy(), slope(inside), rtol=1e-11, atol=1e-12)


def test_bernstein_of_two_coefficients_is_the_straight_line_through_them() -> None:
    raw = torch.tensor([-1.0, 0.5], dtype=torch.float64)
    rise = math.log1p(math.exp(0.5))
    value, ladj = call(Bernstein(2), raw, GRID)
    expected = -1.0 + rise * (GRID + BOUND) / (2 * BOUND)
    torch.testing.assert_close(value, expected, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(ladj, torch.full_like(GRID, math.log(rise / 10.0)))


@pytest.mark.parametrize("shared", [True, False])
def test_inverse_needs_few_steps_wherever_the_values_lie(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a row that bisects down to the last bit keeps a whole block waiting for some fifty steps
    generator = torch.Generator().manual_seed(0)
    bernstein, n = Bernstein(20), 4000
    noise = torch.randn(1 if shared else n, 20, dtype=torch.float64, generator=generator)
    raw = bernstein.initial().double() + 0.5 * noise
    z = torch.logit(torch.rand(n, dtype=torch.float64, generator=generator))
    evaluate, steps = Bernstein._rise_and_slope, [0]

    def counted(self: Bernstein, increments: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        steps[0] += 1
        return evaluate(self, increments, s)

    monkeypatch.setattr(Bernstein, "_rise_and_slope", counted)
    s = bernstein.inverse(raw.squeeze(0), z)
    assert steps[0] <= 10
    torch.testing.assert_close(call(bernstein, raw.squeeze(0), s)[0], z, rtol=0, atol=1e-13)


def test_inverse_survives_increments_at_zero() -> None:
    increments = torch.tensor([1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.7, 1.0], dtype=torch.float64)
    raw = torch.cat([torch.tensor([-2.0], dtype=torch.float64), inverse_positive(increments)])
    bernstein = Bernstein(9)
    z = torch.linspace(-8.0, 8.0, 4001, dtype=torch.float64)
    s = bernstein.inverse(raw, z)
    assert bool((s.diff() > 0).all())
    value, _ = call(bernstein, raw, s)
    torch.testing.assert_close(value, z, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("transform", [Bernstein(2), Bernstein(20), Bernstein(40), Affine()])
def test_linear_basis_is_increasing_and_its_derivative_not_negative(
    transform: LinearInBasis,
) -> None:
    s = torch.linspace(-20.0, 20.0, 2001, dtype=torch.float64)
    C, dC = transform.basis(s)
    assert C.shape == dC.shape == (2001, transform.n_params - 1)
    # sums of up to 40 numbers round by a few units in the last place
    assert bool((C.diff(dim=0) >= -1e-13).all())
    assert bool((dC >= 0).all())


@given(st.floats(min_value=1e-25, max_value=1e8))
def test_positive_undoes_inverse_positive(increment: float) -> None:
    raw = inverse_positive(torch.tensor([increment], dtype=torch.float64))
    # a raw value of -57 with 16 digits has an exponential with 14
    assert positive(raw).item() == pytest.approx(increment, rel=1e-13)


def test_inverse_positive_of_zero_is_finite() -> None:
    raw = inverse_positive(torch.zeros(1, dtype=torch.float64))
    assert bool(torch.isfinite(raw).all())
    assert positive(raw).item() <= 1e-29
