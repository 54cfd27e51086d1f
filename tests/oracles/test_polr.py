"""R's polr and glm against published numbers, closed forms and their own committed results."""

import os
import subprocess
import sys

import numpy as np
import pytest

from replication.classical_fit import ClassicalFitError, check_design, check_levels, check_overlap
from replication.frozen_r import freeze_reference
from replication.polr import fit_glm, fit_polr, fit_semiparametric, r_versions

# Classical R on the frozen cohorts, as published: coefficient and standard error of Age, NIHSSa
# and T, and the average effect over the trial's rows. MASS::polr(ordered(mRS_3m) ~ Age +
# factor(mRS_pre) + NIHSSa + T, Hess = TRUE), with polr's default reltol of 1e-8.
PUBLISHED = {
    "ls": ([0.0525525, 0.1629890, -0.9424168], [0.0049539, 0.0090289, 0.1407387], 0.142843),
    "nl": ([0.0684878, 0.1631675, -0.5823227], [0.0058381, 0.0092297, 0.1333129], 0.0832036),
}
PARENTS = ("Age", "mRS_pre", "NIHSSa", "T")
QUOTED = [0, 6, 7]


def fit_outcome(stroke, in_r_process, **options):
    return in_r_process(
        fit_polr,
        stroke.df["mRS_3m"].to_numpy(),
        stroke.design(*PARENTS),
        stroke.names(*PARENTS),
        **options,
    )


def average_effect(fit, stroke):
    arms = [
        fit.probability_at_most(2, stroke.design(*PARENTS, df=stroke.trial.assign(T=arm)))
        for arm in (0, 1)
    ]
    return np.mean(arms[1] - arms[0])


@pytest.mark.r
def test_polr_with_its_default_tolerance_gives_the_published_digits(stroke, in_r_process):
    coefficients, std_errors, effect = PUBLISHED[stroke.variant]
    fit = fit_outcome(stroke, in_r_process, relative_tolerance=1e-8)
    # half a unit of the last printed digit
    assert np.allclose(fit.coefficients[QUOTED], coefficients, rtol=0, atol=0.5000001e-7)
    assert np.allclose(fit.std_errors[QUOTED], std_errors, rtol=0, atol=0.5000001e-7)
    digits = 1e-6 if stroke.variant == "ls" else 1e-7
    assert average_effect(fit, stroke) == pytest.approx(effect, abs=0.5000001 * digits)


@pytest.mark.r
def test_polr_at_its_maximum_lies_within_its_default_tolerance_of_the_published(
    stroke, in_r_process
):
    coefficients, std_errors, effect = PUBLISHED[stroke.variant]
    fit = fit_outcome(stroke, in_r_process)
    assert np.allclose(fit.coefficients[QUOTED], coefficients, rtol=0, atol=2e-5)
    assert np.allclose(fit.std_errors[QUOTED], std_errors, rtol=0, atol=1e-6)
    assert average_effect(fit, stroke) == pytest.approx(effect, abs=2e-6)
    assert fit.warnings == ()
    assert fit.source.startswith("R MASS::polr 7.3")


@pytest.mark.r
def test_a_tighter_tolerance_never_lowers_the_likelihood(stroke, in_r_process):
    loose = fit_outcome(stroke, in_r_process, relative_tolerance=1e-8)
    tight = fit_outcome(stroke, in_r_process)
    assert tight.log_likelihood >= loose.log_likelihood


@pytest.mark.r
def test_the_committed_results_are_those_of_r(stroke, in_r_process):
    assert in_r_process(freeze_reference, stroke.cohort, write=False) is False


@pytest.mark.r
def test_polr_without_columns_gives_the_logits_of_the_empirical_distribution(in_r_process):
    counts = np.array([5, 20, 10, 15])
    fit = in_r_process(fit_polr, np.repeat(np.arange(4), counts), np.empty((50, 0)), [])
    below = counts.cumsum()[:-1] / 50
    # polr's convergence criterion is relative to the likelihood: about 1e-7 in a cutpoint
    assert np.allclose(fit.cutpoints, np.log(below / (1 - below)), atol=1e-6)
    assert fit.log_likelihood == pytest.approx((counts * np.log(counts / 50)).sum(), abs=1e-9)


@pytest.mark.r
def test_glm_on_a_two_by_two_table_gives_the_log_odds_ratio(in_r_process):
    # rows of the table: x = 0 with 30 zeros and 10 ones, x = 1 with 15 zeros and 25 ones
    x = np.repeat([0.0, 0.0, 1.0, 1.0], [30, 10, 15, 25])
    y = np.repeat([0, 1, 0, 1], [30, 10, 15, 25])
    fit = in_r_process(fit_glm, y, x[:, None], ["x"])
    assert fit.coefficients[0] == pytest.approx(np.log((30 * 25) / (10 * 15)), abs=1e-10)
    assert fit.std_errors[0] == pytest.approx(np.sqrt(1 / 30 + 1 / 10 + 1 / 15 + 1 / 25), rel=1e-8)
    assert fit.cutpoints[0] == pytest.approx(np.log(30 / 10), abs=1e-10)


@pytest.mark.r
def test_semiparametric_polr_recovers_a_logistic_shift_under_any_increasing_map(in_r_process):
    rng = np.random.default_rng(3)
    design = rng.normal(size=(2000, 2))
    latent = design @ [1.0, -0.5] + rng.logistic(size=2000)
    fit = in_r_process(fit_semiparametric, np.exp(latent), design, ["a", "b"])
    assert (np.abs(fit.coefficients - [1.0, -0.5]) < 4 * fit.std_errors).all()
    # the groups are quantiles, so a monotone map of the outcome changes nothing
    linear = in_r_process(fit_semiparametric, latent, design, ["a", "b"])
    assert np.array_equal(fit.coefficients, linear.coefficients)
    assert len(fit.cutpoints) == 49


@pytest.mark.r
def test_semiparametric_polr_takes_few_distinct_values_as_levels(in_r_process):
    rng = np.random.default_rng(4)
    design = rng.normal(size=(300, 1))
    levels = np.searchsorted([-1.0, 1.0], design[:, 0] + rng.logistic(size=300))
    grouped = in_r_process(fit_semiparametric, levels * 2.5, design, ["x"])
    plain = in_r_process(fit_polr, levels, design, ["x"])
    assert np.array_equal(grouped.coefficients, plain.coefficients)


@pytest.mark.r
def test_an_error_in_r_carries_its_message(in_r_process):
    # x separates {0, 1} from {2, 3}, where polr starts, though the model itself has a maximum
    rng = np.random.default_rng(5)
    levels = np.repeat(np.arange(4), 50)
    x = np.array([-0.5, -1.5, 1.5, 0.5])[levels] + rng.uniform(-0.4, 0.4, size=200)
    with pytest.raises(ClassicalFitError, match="attempt to find suitable starting values failed"):
        in_r_process(fit_polr, levels, x[:, None], ["x"])


@pytest.mark.r
def test_versions_name_r_mass_and_rpy2(in_r_process):
    versions = in_r_process(r_versions)
    assert set(versions) == {"R", "MASS", "rpy2"}
    assert all(text[0].isdigit() for text in versions.values())


def test_two_levels_are_sent_to_glm():
    with pytest.raises(ClassicalFitError, match=r"two levels.*use fit_glm"):
        fit_polr([0, 1, 1, 0], [[1.0], [2.0], [3.0], [2.5]], ["x"])


def test_three_levels_are_sent_to_polr():
    with pytest.raises(ClassicalFitError, match=r"3 levels.*use fit_polr"):
        fit_glm([0, 1, 2, 0], [[1.0], [2.0], [3.0], [2.5]], ["x"])


def test_an_empty_middle_level_is_named():
    with pytest.raises(ClassicalFitError, match=r"level 1 has no rows.*\[2, 0, 1, 1\]"):
        fit_polr([0, 0, 2, 3], [[1.0], [2.0], [3.0], [2.5]], ["x"])


@pytest.mark.parametrize("separating", [lambda y: y > 3, lambda y: y + 0.1 * np.sin(y)])
def test_separation_names_the_column_before_r_is_asked(separating):
    # for y > 3 polr reports a coefficient of 33 with a standard error of 0.002, and no warning
    rng = np.random.default_rng(6)
    levels = np.arange(200) % 7
    design = np.column_stack([rng.normal(size=200), separating(levels)]).astype(float)
    with pytest.raises(ClassicalFitError, match=r"separated by .*'bad'"):
        fit_polr(levels, design, ["good", "bad"])


def test_overlapping_levels_pass_the_separation_check():
    rng = np.random.default_rng(7)
    design = rng.normal(size=(100, 2))
    levels = np.searchsorted([-1.0, 1.0], design @ [1.0, 1.0] + rng.logistic(size=100))
    check_overlap(levels, design, ["a", "b"])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1.0, 2.0, np.nan, 4.0, 5.0], "'x' holds nan in row 2"),
        ([1.0, 2.0, np.inf, 4.0, 5.0], "'x' holds inf in row 2"),
        ([3.0, 3.0, 3.0, 3.0, 3.0], "'x' is constant"),
        ([2.0, 4.0, 6.0, 8.0, 12.0], "'x' is a linear combination"),
    ],
)
def test_a_column_that_cannot_be_estimated_is_named(column, message):
    first = np.array([1.0, 2.0, 3.0, 4.0, 6.0])
    with pytest.raises(ClassicalFitError, match=message):
        check_design(np.column_stack([first, column]), ["first", "x"], n_rows=5)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        ([0.0, 1.5, 2.0], "row 1 holds"),
        ([0.0, np.nan, 2.0], "row 1 holds"),
        ([0, -1, 2], "row 1 holds"),
        ([0, 0, 0], "needs two levels"),
        (["a", "b"], "expected a non-empty vector"),
        ([], "expected a non-empty vector"),
    ],
)
def test_levels_that_are_none_are_refused(outcome, message):
    with pytest.raises(ClassicalFitError, match=message):
        check_levels(outcome)


def test_r_is_not_started_beside_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", object())
    with pytest.raises(ClassicalFitError, match="has loaded torch"):
        r_versions()


def test_the_module_loads_no_torch():
    code = "import sys, replication.crosscheck; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_r_on_the_path_the_reason_says_so(tmp_path):
    code = "from replication.polr import r_available, r_unavailable_reason as reason\n"
    code += "assert not r_available()\nprint(reason())"
    environment = {k: v for k, v in os.environ.items() if k != "R_HOME"} | {"PATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "there is no R on PATH"
