from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.special
import statsmodels.api as sm
from statsmodels.miscmodels.ordinal_model import OrderedModel

from tramdag import (
    CI,
    CS,
    LS,
    CausalFlowDAG,
    ContinuousNode,
    ConvergenceWarning,
    DataError,
    NotFittedError,
    OrdinalNode,
    SpecError,
)


@pytest.fixture(scope="module")
def logit(cohort: pd.DataFrame) -> Any:
    """The treatment node once more, by statsmodels."""
    design = sm.add_constant(cohort[["age", "score"]])
    return sm.Logit(cohort["treat"], design).fit(disp=False, method="newton", tol=1e-12)


def estimates(flow: CausalFlowDAG, node: str) -> pd.Series:
    table = flow.coef()
    return table[table["node"] == node].set_index("parent")["estimate"]


def test_coefficients_come_one_row_per_column_in_raw_units(linear_flow: CausalFlowDAG) -> None:
    table = linear_flow.coef()
    assert list(table.columns) == ["node", "parent", "level", "estimate", "odds_ratio"]
    keys = list(zip(table["node"], table["parent"], table["level"].fillna(-1), strict=True))
    assert keys == [
        ("sev", "age", -1),
        ("score", "age", -1),
        ("score", "sev", 1),
        ("score", "sev", 2),
        ("treat", "age", -1),
        ("treat", "score", -1),
        ("outcome", "age", -1),
        ("outcome", "score", -1),
        ("outcome", "treat", 1),
        ("cost", "outcome", 1),
        ("cost", "outcome", 2),
        ("cost", "outcome", 3),
    ]
    np.testing.assert_allclose(table["odds_ratio"], np.exp(table["estimate"]))


def test_a_coefficient_is_a_log_odds_ratio(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    def logit_below(table: pd.DataFrame) -> np.ndarray:
        return scipy.special.logit(table.iloc[:, :-1].cumsum(axis=1).to_numpy())

    now, later = (
        linear_flow.pmf(fresh_cohort.assign(age=fresh_cohort["age"] + years), "outcome")
        for years in (0.0, 10.0)
    )
    beta = estimates(linear_flow, "outcome")["age"]
    np.testing.assert_allclose(logit_below(now) - logit_below(later), 10 * beta, rtol=1e-8)


def test_cutpoints_are_those_of_the_raw_convention(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    beta = estimates(linear_flow, "treat")
    shift = fresh_cohort[["age", "score"]] @ beta
    expected = scipy.special.expit(linear_flow.cutpoints("treat")[0] - shift)
    np.testing.assert_allclose(linear_flow.pmf(fresh_cohort, "treat")[0], expected, rtol=1e-9)


def test_cutpoints_exist_only_where_they_are_the_same_for_all_rows(
    network_flow: CausalFlowDAG,
) -> None:
    assert network_flow.cutpoints("treat").shape == (1,)
    for node in ("age", "sev"):
        with pytest.raises(SpecError, match=repr(node)):
            network_flow.cutpoints(node)
    with pytest.raises(SpecError, match="'Treat'"):
        network_flow.cutpoints("Treat")


# curves


def test_shift_curve_of_a_linear_term_is_its_line(linear_flow: CausalFlowDAG) -> None:
    grid = [50.0, 60.0, 90.0]
    curve = linear_flow.shift_curve("outcome", "age", grid)
    line = estimates(linear_flow, "outcome")["age"] * np.array(grid)
    assert curve["value"].tolist() == grid
    np.testing.assert_allclose(curve["shift"], line - line.mean(), rtol=1e-10)


def test_shift_curve_of_an_ordinal_parent_holds_its_level_effects(
    linear_flow: CausalFlowDAG,
) -> None:
    curve = linear_flow.shift_curve("score", "sev", [0, 1, 2])
    effects = np.array(
        [0.0, *linear_flow.coef().query("node == 'score' and parent == 'sev'")["estimate"]]
    )
    np.testing.assert_allclose(curve["shift"], effects - effects.mean(), rtol=1e-10)


def test_shift_curve_of_a_network_is_what_moves_the_latent(
    network_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    # another road to the same curve: the outcome's first cutpoint moves by the shift
    grid = np.linspace(1.0, 20.0, 9).tolist()
    curve = network_flow.shift_curve("outcome", "score", grid)["shift"].to_numpy()
    row = fresh_cohort.iloc[[0]].loc[[fresh_cohort.index[0]] * 9].assign(score=grid)
    first = -scipy.special.logit(network_flow.pmf(row, "outcome")[0].to_numpy())
    np.testing.assert_allclose(curve, first - first.mean(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("node", "parent"),
    [("treat", "age"), ("score", "age"), ("outcome", "cost"), ("outcome", "Age")],
)
def test_a_parent_without_a_shift_of_its_own_has_no_curve(
    network_flow: CausalFlowDAG, node: str, parent: str
) -> None:
    # a joint network, an intercept network, an effect, a misspelt name
    with pytest.raises(SpecError, match=repr(parent)):
        network_flow.shift_curve(node, parent, [1.0, 2.0])


def test_transformation_plus_shift_is_the_latent(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    table = linear_flow.transformation(fresh_cohort, "cost")
    u = linear_flow.abduct(fresh_cohort)["cost"]
    rest = u - table["h"]
    for _, same in rest.groupby(fresh_cohort["outcome"]):
        assert np.ptp(same) < 1e-10
    assert list(table.columns) == ["x", "h", "log_derivative"]


def test_transformation_derivative_is_per_unit_of_the_column(
    network_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    step = 1e-4
    low, high = (
        network_flow.transformation(fresh_cohort.assign(score=fresh_cohort["score"] + d), "score")
        for d in (-step, step)
    )
    middle = network_flow.transformation(fresh_cohort, "score")
    slope = (high["h"] - low["h"]) / (2 * step)
    np.testing.assert_allclose(np.exp(middle["log_derivative"]), slope, rtol=1e-4)


def test_a_classical_transformation_and_raw_shifts_make_the_latent(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    u = linear_flow.transformation(fresh_cohort, "cost")["h"]
    for row in linear_flow.coef().query("node == 'cost'").itertuples():
        column = fresh_cohort[row.parent]
        u = u + row.estimate * (column if pd.isna(row.level) else column == row.level)
    np.testing.assert_allclose(u, linear_flow.abduct(fresh_cohort)["cost"], rtol=1e-9)


def test_an_ordinal_node_has_no_transformation(
    network_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    with pytest.raises(SpecError, match="'sev'"):
        network_flow.transformation(fresh_cohort, "sev")


# uncertainty, against statsmodels


def test_covariance_of_a_binary_node_equals_logistic_regression(
    linear_flow: CausalFlowDAG, logit: Any
) -> None:
    matrix = linear_flow.vcov("treat")
    expected = logit.cov_params().loc[["age", "score"], ["age", "score"]]
    np.testing.assert_allclose(matrix.loc[["age", "score"], ["age", "score"]], expected, rtol=1e-6)
    # theta is minus the constant
    assert matrix.loc["theta[0]", "theta[0]"] == pytest.approx(
        logit.cov_params().loc["const", "const"], rel=1e-6
    )
    assert matrix.loc["theta[0]", "age"] == pytest.approx(
        -logit.cov_params().loc["const", "age"], rel=1e-6
    )


def test_sandwich_covariance_equals_statsmodels(
    linear_flow: CausalFlowDAG, cohort: pd.DataFrame
) -> None:
    design = sm.add_constant(cohort[["age", "score"]])
    names = ["age", "score"]
    robust = sm.Logit(cohort["treat"], design).fit(disp=False, cov_type="HC0", tol=1e-12)
    matrix = linear_flow.vcov("treat", "sandwich").loc[names, names]
    np.testing.assert_allclose(matrix, robust.cov_params().loc[names, names], rtol=1e-5)
    groups = np.arange(len(cohort)) // 9
    clustered = sm.Logit(cohort["treat"], design).fit(
        disp=False,
        tol=1e-12,
        cov_type="cluster",
        cov_kwds={"groups": groups, "use_correction": False},
    )
    matrix = linear_flow.vcov("treat", "sandwich", cluster=groups).loc[names, names]
    np.testing.assert_allclose(matrix, clustered.cov_params().loc[names, names], rtol=1e-5)


def test_standard_errors_of_an_ordinal_node_equal_the_ordered_model(
    linear_flow: CausalFlowDAG, cohort: pd.DataFrame
) -> None:
    names = ["age", "score", "treat"]
    model = OrderedModel(cohort["outcome"], cohort[names], distr="logit")
    fit = model.fit(method="bfgs", disp=False, gtol=1e-8, maxiter=500)
    table = linear_flow.summary("outcome")
    # statsmodels differentiates its Hessian numerically
    np.testing.assert_allclose(table["std_error"], fit.bse[names], rtol=1e-4)


def test_summary_holds_wald_intervals_and_tests(linear_flow: CausalFlowDAG, logit: Any) -> None:
    table = linear_flow.summary("treat", level=0.9).set_index("parent")
    interval = logit.conf_int(alpha=0.1)
    for name in ("age", "score"):
        row = table.loc[name]
        got = row[["estimate", "std_error", "z", "p", "lower", "upper"]].astype(float)
        expected = [
            logit.params[name],
            logit.bse[name],
            logit.tvalues[name],
            logit.pvalues[name],
            *interval.loc[name],
        ]
        np.testing.assert_allclose(got, expected, rtol=1e-5)
        assert row["odds_ratio_upper"] == pytest.approx(np.exp(row["upper"]))
        assert row["status"] == "ok"


def test_fit_statistics_equal_logistic_regression(linear_flow: CausalFlowDAG, logit: Any) -> None:
    row = linear_flow.fit_statistics().set_index("node").loc["treat"]
    got = row[["log_likelihood", "n_parameters", "aic", "bic"]].astype(float)
    np.testing.assert_allclose(got, [logit.llf, 3, logit.aic, logit.bic], rtol=1e-8)


def test_profile_interval_inverts_the_likelihood_ratio_test(
    linear_flow: CausalFlowDAG, cohort: pd.DataFrame, logit: Any
) -> None:
    lower, upper = linear_flow.confidence_interval("treat", "score", method="profile")
    constant = sm.add_constant(cohort[["age"]])
    half = 0.5 * scipy.stats.chi2.ppf(0.95, 1)

    def excess(beta: float) -> float:
        family = sm.families.Binomial()
        model = sm.GLM(cohort["treat"], constant, family=family, offset=beta * cohort["score"])
        return logit.llf - model.fit(tol=1e-12).llf - half

    middle, spread = logit.params["score"], 4 * logit.bse["score"]
    expected = [
        scipy.optimize.brentq(excess, middle - spread, middle, xtol=1e-10),
        scipy.optimize.brentq(excess, middle, middle + spread, xtol=1e-10),
    ]
    np.testing.assert_allclose([lower, upper], expected, rtol=1e-5)


def test_units_of_a_parent_change_estimate_and_error_alike(
    linear_flow: CausalFlowDAG, cohort: pd.DataFrame
) -> None:
    spec = {"age": ContinuousNode(transform="affine"), "treat": OrdinalNode(2, {"age": "ls"})}
    years = CausalFlowDAG(spec, seed=1).fit(cohort).summary("treat")
    decades = (
        CausalFlowDAG(spec, seed=1).fit(cohort.assign(age=cohort["age"] / 10 - 7)).summary("treat")
    )
    for column in ("estimate", "std_error"):
        np.testing.assert_allclose(decades[column], 10 * years[column], rtol=1e-9)
    np.testing.assert_allclose(decades["p"], years["p"], rtol=1e-7)


def test_a_coefficient_that_is_not_estimable_has_no_error(cohort: pd.DataFrame) -> None:
    spec = {
        "age": ContinuousNode(transform="affine"),
        "copy": ContinuousNode(transform="affine"),
        "treat": OrdinalNode(2, {"age": "ls", "copy": "ls"}),
    }
    with pytest.warns(ConvergenceWarning, match="'copy'"):
        flow = CausalFlowDAG(spec, seed=1).fit(cohort.assign(copy=2 * cohort["age"]))
    table = flow.summary("treat").set_index("parent")
    assert table.loc["copy", "status"] == "not estimable"
    assert np.isnan(table["std_error"]["copy"])
    assert table["std_error"]["age"] > 0


def test_network_nodes_say_that_their_errors_are_conditional(network_flow: CausalFlowDAG) -> None:
    table = network_flow.summary("treat")
    assert set(table["status"]) == {"conditional on networks"}


def test_a_loaded_flow_wants_its_rows_back_for_rowwise_covariances(
    linear_flow: CausalFlowDAG, cohort: pd.DataFrame, tmp_path: Path
) -> None:
    linear_flow.save(tmp_path / "flow.pt")
    loaded = CausalFlowDAG.load(tmp_path / "flow.pt")
    with pytest.raises(NotFittedError, match="attach"):
        loaded.confidence_interval("treat", "age", method="profile")
    with pytest.raises(DataError, match="'age'"):
        loaded.attach(cohort.iloc[:-1])
    pd.testing.assert_frame_equal(loaded.attach(cohort).vcov("treat"), linear_flow.vcov("treat"))


def test_rows_of_the_same_likelihood_but_another_hash_are_not_attached(
    cohort: pd.DataFrame, tmp_path: Path
) -> None:
    roots = {"age": ContinuousNode(transform="affine"), "sev": OrdinalNode(3)}
    CausalFlowDAG(roots, seed=1).fit(cohort).save(tmp_path / "flow.pt")
    loaded = CausalFlowDAG.load(tmp_path / "flow.pt")
    # a column in another order leaves every node's likelihood as it was
    mixed = cohort.assign(sev=cohort["sev"].to_numpy()[::-1])
    with pytest.raises(DataError, match="hash"):
        loaded.attach(mixed)
    loaded.attach(cohort.sample(frac=1.0, random_state=1))


@pytest.mark.parametrize(
    ("ask", "named"),
    [
        (lambda f: f.vcov("Treat"), "'Treat'"),
        (lambda f: f.vcov("treat", "hessian"), "'hessian'"),
        (lambda f: f.summary(level=95), "95"),
        (lambda f: f.confidence_interval("treat", "weight"), "'weight'"),
        (lambda f: f.confidence_interval("treat", "age", method="walds"), "'walds'"),
    ],
)
def test_bad_questions_about_parameters_are_refused(
    linear_flow: CausalFlowDAG, ask: Any, named: str
) -> None:
    with pytest.raises(SpecError, match=named):
        ask(linear_flow)


def test_an_unfitted_flow_has_no_coefficients(linear_flow: CausalFlowDAG) -> None:
    fresh = CausalFlowDAG(linear_flow.spec)
    for ask in (fresh.coef, fresh.summary, lambda: fresh.cutpoints("treat")):
        with pytest.raises(NotFittedError, match="fit"):
            ask()


def test_products_of_terms_are_labelled_by_all_their_parents(cohort: pd.DataFrame) -> None:
    spec = {
        "age": ContinuousNode(transform="affine"),
        "treat": OrdinalNode(2, {"age": "ls"}),
        "cost": ContinuousNode(
            terms=[LS("age"), LS("treat"), LS("treat", "age")], transform="affine"
        ),
    }
    table = CausalFlowDAG(spec, seed=1).fit(cohort).coef().query("node == 'cost'")
    assert table["parent"].tolist() == ["age", "treat", "treat:age"]
    assert table["level"].tolist()[1:] == [1, "1:-"]


def test_only_linear_terms_have_coefficients() -> None:
    spec = {
        "a": ContinuousNode(),
        "b": ContinuousNode(),
        "y": ContinuousNode(terms=[CI("a", hidden=(2,)), CS("b", hidden=(2,))]),
    }
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(80, 3)), columns=list("aby"))
    assert CausalFlowDAG(spec, seed=1).fit(rows, epochs=1).coef().empty
