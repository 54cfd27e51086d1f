"""What a fit says about its parameters and how sure it is."""

from tramdag.inference.curves import odds_ratio_curve
from tramdag.inference.information import (
    Information,
    cluster_sums,
    covariance,
    information_of,
    psi_covariance,
    scores_of,
)
from tramdag.inference.parameters import coefficients, cutpoints, shift_curve, transformation
from tramdag.inference.profile import profile_interval
from tramdag.inference.summary import (
    SUMMARY_COLUMNS,
    check_level,
    fit_statistics,
    likelihood_ratio_test,
    summary_table,
)
from tramdag.inference.term_tests import TERM_TEST_COLUMNS, term_tests

__all__ = [
    "SUMMARY_COLUMNS",
    "TERM_TEST_COLUMNS",
    "Information",
    "check_level",
    "cluster_sums",
    "coefficients",
    "covariance",
    "cutpoints",
    "fit_statistics",
    "information_of",
    "likelihood_ratio_test",
    "odds_ratio_curve",
    "profile_interval",
    "psi_covariance",
    "scores_of",
    "shift_curve",
    "summary_table",
    "term_tests",
    "transformation",
]
