"""statsmodels and scipy against R's committed results, published numbers and closed forms."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import comb, expit

from replication.bernstein_mle import fit_bernstein
from replication.classical import fit_logit, fit_ordered_model
from replication.classical_fit import ClassicalFitError
from replication.frozen_r import read_frozen


def committed(stroke, node, quantity):
    cohort = stroke.cohort
    table = read_frozen(
        cohort.folder,
        observational=cohort.observational,
        spec=cohort.spec,
        trial=cohort.trial,
        effects=cohort.effects,
    )
    chosen = table[(table["node"] == node) & (table["quantity"] == quantity)]
    return chosen["value"].to_numpy(dtype=float)


ORDINAL = {
    "mRS_pre": ("Age",),
    "T": ("Age", "mRS_pre", "NIHSSa"),
    "mRS_3m": ("Age", "mRS_pre", "NIHSSa", "T"),
}


@pytest.mark.parametrize("node", ORDINAL)
def test_statsmodels_equals_r_on_the_frozen_cohorts(stroke, node):
    parents = ORDINAL[node]
    program = fit_logit if node == "T" else fit_ordered_model
    fit = program(stroke.df[node], stroke.design(*parents), stroke.names(*parents))
    # both stop within 1e-7 of the maximum; 2e-5 is what a cross-check promises
    assert np.allclose(fit.coefficients, committed(stroke, node, "coefficient"), rtol=0, atol=2e-5)
    assert np.allclose(fit.cutpoints, committed(stroke, node, "cutpoint"), rtol=0, atol=2e-5)
    assert fit.log_likelihood == pytest.approx(
        committed(stroke, node, "log_likelihood")[0], abs=1e-6
    )
    # both Hessians are numerical, but for that of the binary node
    tolerance = 1e-6 if node == "T" else 1e-3
    assert np.allclose(fit.std_errors, committed(stroke, node, "std_error"), rtol=tolerance)


def test_statsmodels_gives_the_published_outcome_model(stroke):
    published = {
        "ls": ([0.0525525, 0.1629890, -0.9424168], [0.0049539, 0.0090289, 0.1407387]),
        "nl": ([0.0684878, 0.1631675, -0.5823227], [0.0058381, 0.0092297, 0.1333129]),
    }
    coefficients, std_errors = published[stroke.variant]
    parents = ORDINAL["mRS_3m"]
    fit = fit_ordered_model(stroke.df["mRS_3m"], stroke.design(*parents), stroke.names(*parents))
    # the published run stopped at polr's default tolerance, 1.4e-5 short of the maximum
    assert np.allclose(fit.coefficients[[0, 6, 7]], coefficients, rtol=0, atol=2e-5)
    assert np.allclose(fit.std_errors[[0, 6, 7]], std_errors, rtol=1e-3)


def test_logit_on_a_two_by_two_table_gives_the_log_odds_ratio():
    x = np.repeat([0.0, 0.0, 1.0, 1.0], [30, 10, 15, 25])
    y = np.repeat([0, 1, 0, 1], [30, 10, 15, 25])
    fit = fit_logit(y, x[:, None], ["x"])
    assert fit.coefficients[0] == pytest.approx(np.log((30 * 25) / (10 * 15)), abs=1e-10)
    assert fit.std_errors[0] == pytest.approx(np.sqrt(1 / 30 + 1 / 10 + 1 / 15 + 1 / 25), rel=1e-8)
    assert fit.probability_at_most(0, [[0.0], [1.0]]) == pytest.approx([30 / 40, 15 / 40])


def test_the_units_of_a_column_scale_its_coefficient_and_nothing_else():
    rng = np.random.default_rng(0)
    years = rng.uniform(40, 90, size=(400, 1))
    levels = np.searchsorted([3.0, 4.0, 5.0], 0.06 * years[:, 0] + rng.logistic(size=400))
    by_year = fit_ordered_model(levels, years, ["age"])
    by_day = fit_ordered_model(levels, 365.25 * years, ["age"])
    assert by_day.coefficients * 365.25 == pytest.approx(by_year.coefficients, rel=1e-6)
    assert by_day.std_errors * 365.25 == pytest.approx(by_year.std_errors, rel=1e-3)
    assert by_day.cutpoints == pytest.approx(by_year.cutpoints, abs=1e-6)
    assert by_day.cutpoint_std_errors == pytest.approx(by_year.cutpoint_std_errors, rel=1e-3)


def test_cutpoints_without_columns_are_logits_with_binomial_standard_errors():
    counts = np.array([5, 20, 10, 15])
    fit = fit_ordered_model(np.repeat(np.arange(4), counts), np.empty((50, 0)), [])
    below = counts.cumsum()[:-1] / 50
    assert fit.cutpoints == pytest.approx(np.log(below / (1 - below)))
    assert fit.cutpoint_std_errors == pytest.approx(1 / np.sqrt(50 * below * (1 - below)))


@pytest.mark.parametrize("program", [fit_logit, fit_ordered_model])
def test_separated_levels_have_no_estimate(program):
    levels = np.arange(60) % (2 if program is fit_logit else 3)
    with pytest.raises(ClassicalFitError, match="separated by 'x'"):
        program(levels, levels[:, None] * 2.0, ["x"])


def test_logit_refuses_three_levels():
    with pytest.raises(ClassicalFitError, match=r"3 levels.*use fit_ordered_model"):
        fit_logit([0, 1, 2, 0], [[1.0], [2.0], [3.0], [2.5]], ["x"])


def bernstein_log_likelihood(x, design, theta, beta):
    """The log-likelihood from the binomial form of the polynomials, its slope from differences."""
    low, high = np.quantile(x, [0.05, 0.95])
    t = (x - low) / (high - low)
    degree = len(theta) - 1
    inside = np.clip(t, 0, 1)

    def polynomial(coefficients, order):
        k = np.arange(order + 1)
        terms = comb(order, k) * inside[:, None] ** k * (1 - inside[:, None]) ** (order - k)
        return terms @ coefficients

    slope = degree * polynomial(np.diff(theta), degree - 1)
    u = polynomial(theta, degree) + (t - inside) * slope + design @ beta
    density = expit(u) * expit(-u) * slope / (high - low)
    return np.log(density).sum()


@pytest.fixture
def severity(stroke):
    parents = ("Age", "mRS_pre")
    return stroke.df["NIHSSa"].to_numpy(), stroke.design(*parents), stroke.names(*parents)


def test_the_bernstein_fit_satisfies_its_optimality_conditions(severity):
    fit = fit_bernstein(*severity)
    assert fit.optimality_residual < 1e-12
    assert fit.n_active > 0
    assert (np.diff(fit.theta) >= 0).all()


def test_the_bernstein_likelihood_agrees_with_the_binomial_formula(severity):
    x, design, names = severity
    fit = fit_bernstein(x, design, names)
    again = bernstein_log_likelihood(x, design, fit.theta, fit.coefficients)
    assert fit.log_likelihood == pytest.approx(again, abs=1e-7)


def test_no_feasible_step_raises_the_bernstein_likelihood(severity):
    x, design, names = severity
    fit = fit_bernstein(x, design, names)
    rng = np.random.default_rng(1)
    scale = design.std(axis=0)
    for _ in range(200):
        size = 10.0 ** rng.uniform(-4, -1)
        increments = np.maximum(np.diff(fit.theta) + size * rng.normal(size=19), 0)
        first = fit.theta[0] + size * rng.normal()
        theta = np.concatenate([[first], first + increments.cumsum()])
        beta = fit.coefficients + size * rng.normal(size=len(names)) / scale
        # 1e-7 nats: rounding of a sum of 1275 terms
        assert bernstein_log_likelihood(x, design, theta, beta) < fit.log_likelihood + 1e-7


def test_the_affine_transform_is_the_logistic_law():
    x = stats.logistic(loc=3.0, scale=2.0).rvs(500, random_state=np.random.default_rng(2))
    fit = fit_bernstein(x, np.empty((500, 0)), [], n_coefs=2)
    location, scale = stats.logistic.fit(x)
    best = stats.logistic(location, scale).logpdf(x).sum()
    # scipy's own fit is a simplex search, good to about 1e-8 nats
    assert fit.log_likelihood == pytest.approx(best, abs=1e-6)


def test_the_bernstein_coefficients_agree_with_semiparametric_r_within_noise(stroke, severity):
    fit = fit_bernstein(*severity)
    coefficients = committed(stroke, "NIHSSa", "coefficient")
    std_errors = committed(stroke, "NIHSSa", "std_error")
    # the same rows, a smooth against an arbitrary transform: far less than one standard error
    assert (np.abs(fit.coefficients - coefficients) < 0.25 * std_errors).all()
    # mRS_pre = 5 has 7 rows in ls, where information and likelihood curvature differ most
    assert np.allclose(fit.std_errors, std_errors, rtol=0.05)


def test_the_bernstein_fit_recovers_a_known_shift():
    rng = np.random.default_rng(8)
    design = rng.normal(size=(5000, 2))
    # u = 5 x + 2 a - b, so P(X <= x) = expit(5 x + 2 a - b)
    x = (rng.logistic(size=5000) - design @ [2.0, -1.0]) / 5
    fit = fit_bernstein(x, design, ["a", "b"])
    assert (np.abs(fit.coefficients - [2.0, -1.0]) < 4 * fit.std_errors).all()


def test_a_parent_s_units_leave_the_bernstein_likelihood_alone(severity):
    x, design, names = severity
    scale = 10.0 ** np.arange(-3, 3)
    fit, scaled = fit_bernstein(x, design, names), fit_bernstein(x, design * scale, names)
    assert scaled.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-9)
    assert scaled.coefficients * scale == pytest.approx(fit.coefficients, rel=1e-9)
    assert scaled.theta == pytest.approx(fit.theta, abs=1e-8)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (np.full(100, 2.0), "quantiles are both 2"),
        (np.array([1.0, np.nan, 2.0]), "expected a non-empty vector of finite values"),
        (np.empty(0), "expected a non-empty vector of finite values"),
    ],
)
def test_an_outcome_without_a_transform_is_refused(outcome, message):
    with pytest.raises(ClassicalFitError, match=message):
        fit_bernstein(outcome, np.empty((len(outcome), 0)), [])
