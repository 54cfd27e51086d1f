"""Log densities against closed forms of scipy, quadrature, and the generators' own draws."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from scipy.special import expit

from simulations import Carefl4, MagicMrClean, TriangleContinuous, TriangleMixed, VacaTriangle

ABSCISSAE, WEIGHTS = np.polynomial.legendre.leggauss(40)


def conditional(model, node, row, values):
    """The density of node at the values, given its parents in row."""
    df = pd.DataFrame({name: np.full(len(values), row[name]) for name in model.columns})
    df[node] = values
    return np.exp(model.log_density_by_node(df)[node].to_numpy())


def panels(model, node, row):
    """Break points: dense where the density is narrow, and where a Laplace law has its cusp."""
    if node == "NIHSSa":
        return 6 + 36 * expit(np.array([-np.inf, *np.linspace(-20, 20, 81), np.inf]))
    if node == "Age":
        return np.linspace(20, 103, 30)
    silent = {name: np.zeros(1) for name in model.latents}
    centre = model.simulate(silent, {parent: row[parent] for parent in model.parents[node]})[node]
    grid = np.linspace(-8, 8, 65)
    return np.concatenate([[-60, -25, 25, 60], grid, centre.item() + grid])


def mass(model, node, row, upper=np.inf):
    """P(node <= upper given its parents): quadrature between the atoms, plus the atoms."""
    points = panels(model, node, row)
    points = np.unique(np.clip(points, points.min(), max(points.min(), upper)))
    points = np.append(points, upper) if points.max() < upper < np.inf else points
    half = np.diff(points)[:, None] / 2
    values = (points[:-1, None] + half * (1 + ABSCISSAE)).ravel()
    area = conditional(model, node, row, values) @ (half * WEIGHTS).ravel()
    atoms = np.array([atom for atom in model.atoms.get(node, ()) if atom <= upper])
    return area + conditional(model, node, row, atoms).sum() if len(atoms) else area


@pytest.mark.parametrize(
    "model",
    [TriangleContinuous("sin"), TriangleMixed("cubic"), VacaTriangle(), Carefl4()],
    ids=str,
)
def test_log_density_is_the_sum_over_nodes(model):
    df = model.observational(100).set_axis(range(7, 107))
    by_node = model.log_density_by_node(df)
    assert list(by_node.columns) == list(model.columns)
    assert by_node.index.equals(df.index)
    np.testing.assert_allclose(model.log_density(df), by_node.sum(axis=1), rtol=1e-14)


def test_continuous_nodes_integrate_to_one_given_their_parents(model):
    row = model.observational(1, seed_offset=8).iloc[0]
    for node in set(model.columns) - set(model.levels):
        # Tails beyond 60 and the quadrature error are both below 1e-8.
        assert mass(model, node, row) == pytest.approx(1, abs=1e-8), node


def test_ordinal_nodes_sum_to_one_given_their_parents(model):
    row = model.observational(1, seed_offset=8).iloc[0]
    for node, levels in model.levels.items():
        assert conditional(model, node, row, np.arange(levels)).sum() == pytest.approx(1, abs=1e-12)


def test_the_density_of_each_node_is_the_law_of_its_draws(model):
    n = 20_000
    row = model.observational(1, seed_offset=8).iloc[0]
    for node in model.columns:
        draws = model.interventional(n, {parent: row[parent] for parent in model.parents[node]})
        for quantile in (0.2, 0.6):
            point = draws[node].quantile(quantile, interpolation="lower")
            if node in model.levels:
                expected = conditional(model, node, row, np.arange(point + 1)).sum()
            else:
                expected = mass(model, node, row, upper=point)
            # The point is an order statistic of the same draws, so P(node <= point) has the
            # error of a sample proportion: five standard errors.
            error = 5 * np.sqrt(expected * (1 - expected) / n) + 1 / n
            assert (draws[node] <= point).mean() == pytest.approx(expected, abs=error), node


def bimodal(x, mean_a, sd_a, mean_b, sd_b):
    return np.log(0.5 * stats.norm.pdf(x, mean_a, sd_a) + 0.5 * stats.norm.pdf(x, mean_b, sd_b))


def test_triangle_density_is_mixture_times_logistic_with_slopes():
    df = TriangleContinuous("atan").observational(200)
    x1, x2, x3 = (df[node].to_numpy() for node in df)
    expected = (
        bimodal(x1, 0.25, 0.10, 0.73, 0.05)
        + stats.logistic.logpdf(5 * x2 + 2 * x1)
        + np.log(5)
        + stats.logistic.logpdf(0.63 * x3 - 0.2 * x1 - 0.75 * np.arctan(5 * (x2 + 0.12)))
        + np.log(0.63)
    )
    np.testing.assert_allclose(
        TriangleContinuous("atan").log_density(df), expected, rtol=0, atol=1e-10
    )


def test_mixed_triangle_density_has_the_interval_probability_of_x3():
    df = TriangleMixed("exp").observational(200)
    x1, x2, x3 = (df[node].to_numpy() for node in df)
    cuts = np.array([-np.inf, -2, 0.42, 1.02, np.inf])
    location = 0.2 * x1 + 0.5 * np.exp(x2)
    expected = (
        bimodal(x1, 0.25, 0.10, 0.73, 0.05)
        + stats.logistic.logpdf(x2, loc=-0.4 * x1, scale=0.2)
        + np.log(
            stats.logistic.cdf(cuts[x3 + 1] + location) - stats.logistic.cdf(cuts[x3] + location)
        )
    )
    np.testing.assert_allclose(TriangleMixed("exp").log_density(df), expected, rtol=0, atol=1e-10)


def test_vaca_density_is_an_even_mixture_of_two_normal_vectors():
    df = VacaTriangle().observational(200)
    # x = B (x1, e2, e3): the joint law of each component is multivariate normal.
    B = np.array([[1.0, 0, 0], [-1, 1, 0], [0.75, 0.25, 1]])
    expected = np.logaddexp.reduce(
        [
            np.log(0.5)
            + stats.multivariate_normal.logpdf(
                df, B @ [mean, 0, 0], B @ np.diag([variance, 1, 1]) @ B.T
            )
            for mean, variance in ((-2, 1.5), (1.5, 1))
        ]
    )
    np.testing.assert_allclose(VacaTriangle().log_density(df), expected, rtol=0, atol=1e-10)


def test_carefl_density_is_laplace_in_the_noise():
    df = Carefl4().observational(200)
    x1, x2, x3, x4 = (df[node].to_numpy() for node in df)
    noise = [x1, x2, x3 - x1 - 0.5 * x2**3, x4 + x2 - 0.5 * x1**2]
    expected = np.sum(stats.laplace.logpdf(noise, scale=1 / np.sqrt(2)), axis=0)
    np.testing.assert_allclose(Carefl4().log_density(df), expected, rtol=0, atol=1e-10)


def test_vaca_interventional_density_matches_its_moments():
    x3 = np.linspace(-25, 25, 20_001)
    for a in (-3.0, -1.0, 0.0):
        density = VacaTriangle().true_interventional_density(x3, a)
        assert integrate.trapezoid(density, x3) == pytest.approx(1, abs=1e-9)
        mean = integrate.trapezoid(x3 * density, x3)
        assert mean == pytest.approx(-0.25 + 0.25 * a, abs=1e-9)
        variance = integrate.trapezoid((x3 - mean) ** 2 * density, x3)
        assert variance == pytest.approx(5.3125, abs=1e-8)


@pytest.mark.parametrize(
    ("model", "location"), [(MagicMrClean("ls"), 73), (MagicMrClean("ls").trial(), 64)]
)
def test_age_has_atoms_where_it_is_clipped(model, location):
    df = model.observational(4).assign(Age=[20.0, 103.0, 70.0, 19.0])
    law = stats.logistic(loc=location, scale=7.6)
    expected = [law.logcdf(20), law.logsf(103), law.logpdf(70), -np.inf]
    np.testing.assert_allclose(model.log_density_by_node(df)["Age"], expected, rtol=1e-12)


def test_severity_has_no_density_outside_its_range():
    model = MagicMrClean("nl")
    df = model.observational(4).assign(NIHSSa=[5.0, 6.0, 42.0, 43.0])
    np.testing.assert_array_equal(model.log_density_by_node(df)["NIHSSa"], -np.inf)
