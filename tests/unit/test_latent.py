from __future__ import annotations

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
import scipy.stats
import torch

from tramdag.latent import (
    derive_seed,
    fresh_seed,
    icdf,
    keyed_uniforms,
    log_prob,
    truncated_icdf,
)

INFINITY = float("inf")


def exact_truncated_quantile(v: float, lower: float, upper: float) -> float:
    """log(p / q) with p = (1-v) F(l) + v F(u) and q = 1 - p, in 1000 digits."""
    with mpmath.workdps(1000):
        low, high = (1 / (1 + mpmath.exp(-mpmath.mpf(end))) for end in (lower, upper))
        p = (1 - mpmath.mpf(v)) * low + mpmath.mpf(v) * high
        return float(mpmath.log(p / (1 - p)))


def quantile(v: float, lower: float, upper: float, dtype: torch.dtype = torch.float64) -> float:
    return truncated_icdf(*(torch.tensor([x], dtype=dtype) for x in (v, lower, upper))).item()


def test_log_prob_is_the_logistic_density_in_both_tails() -> None:
    z = np.concatenate([np.linspace(-30, 30, 121), [-800.0, 800.0]])
    expected = scipy.stats.logistic.logpdf(z)
    np.testing.assert_allclose(log_prob(torch.from_numpy(z)).numpy(), expected, rtol=1e-14)


def test_icdf_is_the_logistic_quantile_function() -> None:
    p = np.concatenate([np.geomspace(1e-300, 0.5, 50), np.linspace(0.5, 1 - 1e-10, 50)])
    expected = scipy.stats.logistic.ppf(p)
    np.testing.assert_allclose(icdf(torch.from_numpy(p)).numpy(), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("lower", "upper"), [(-1.0, 2.0), (-3.0, -2.5), (0.0, 0.1), (-INFINITY, 0.3), (1.0, INFINITY)]
)
def test_truncated_quantiles_equal_scipys_in_the_centre(lower: float, upper: float) -> None:
    v = np.linspace(0.01, 0.99, 99)
    F = scipy.stats.logistic.cdf
    expected = scipy.stats.logistic.ppf((1 - v) * F(lower) + v * F(upper))
    ends = (torch.full((99,), end, dtype=torch.float64) for end in (lower, upper))
    got = truncated_icdf(torch.from_numpy(v), *ends)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("v", [1e-6, 0.2, 0.5, 0.999])
@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        (40.0, 41.0),
        (-41.0, -40.0),
        (300.0, INFINITY),
        (-INFINITY, -300.0),
        (500.0, 500.5),
        (-40.0, 40.0),
        (700.0, 705.0),
    ],
)
def test_truncated_quantiles_keep_their_digits_in_the_tails(
    v: float, lower: float, upper: float
) -> None:
    expected = exact_truncated_quantile(v, lower, upper)
    assert quantile(v, lower, upper) == pytest.approx(expected, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("v", [2.0**-54, 0.5, 1.0 - 2.0**-53])
@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        (-INFINITY, -50.0),
        (-INFINITY, 0.0),
        (0.0, INFINITY),
        (50.0, INFINITY),
        (3.0, 3.00001),
        (900.0, 901.0),
    ],
)
def test_truncated_quantiles_are_finite_and_inside_the_interval(
    v: float, lower: float, upper: float, dtype: torch.dtype
) -> None:
    z = quantile(v, lower, upper, dtype)
    assert np.isfinite(z)
    assert lower < z <= torch.tensor(upper, dtype=dtype).item()


def test_truncated_quantiles_of_the_whole_line_are_plain_quantiles() -> None:
    v = np.linspace(0.001, 0.999, 99)
    ends = (torch.full((99,), end, dtype=torch.float64) for end in (-INFINITY, INFINITY))
    got = truncated_icdf(torch.from_numpy(v), *ends)
    np.testing.assert_allclose(got.numpy(), scipy.stats.logistic.ppf(v), rtol=1e-12, atol=1e-14)


def test_derived_seeds_are_stable_across_releases() -> None:
    # frozen: another value would silently change every draw with a given seed
    assert derive_seed(7, "latent", "x1") == 6410609025034804814


def test_keyed_uniforms_are_stable_across_releases() -> None:
    expected = [0.8123282265222436, 0.9573124281213221, 0.6715866938155912]
    assert keyed_uniforms(3, 7, "latent", "x1").tolist() == expected


@pytest.mark.parametrize("keys", [("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c")])
def test_derived_seeds_tell_the_split_of_keys_apart(keys: tuple[str, ...]) -> None:
    others = [k for k in [("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c")] if k != keys]
    assert derive_seed(1, *keys) not in {derive_seed(1, *other) for other in others}
    assert 0 <= derive_seed(1, *keys) < 2**63


def test_keyed_uniforms_are_prefix_stable() -> None:
    assert torch.equal(keyed_uniforms(1000, 3, "x")[:17], keyed_uniforms(17, 3, "x"))


def test_keyed_uniforms_of_two_names_are_unrelated() -> None:
    x, y = keyed_uniforms(20_000, 3, "x").numpy(), keyed_uniforms(20_000, 3, "y").numpy()
    assert abs(np.corrcoef(x, y)[0, 1]) < 5 / np.sqrt(20_000)


def test_keyed_uniforms_are_uniform_and_never_at_the_ends() -> None:
    u = keyed_uniforms(50_000, 4, "x").numpy()
    assert u.dtype == np.float64
    assert u.min() > 0
    assert u.max() < 1
    # a level of 1e-6 under a fixed seed: false alarms only for a broken generator
    assert scipy.stats.kstest(u, "uniform").pvalue > 1e-6


def test_keyed_uniforms_leave_global_generators_alone() -> None:
    torch_state, numpy_state = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    keyed_uniforms(10, 1, "x")
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert str(np.random.get_state()) == numpy_state  # noqa: NPY002


def test_fresh_seeds_differ() -> None:
    assert len({fresh_seed() for _ in range(8)}) == 8
