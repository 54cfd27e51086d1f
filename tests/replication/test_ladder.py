"""The ladder: folds by hand, tests by statsmodels, the true curve by the simulator."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.miscmodels.ordinal_model import OrderedModel

import tramdag as td
from replication.figures_ladder import draw_ladder, draw_odds_ratio_by_modifier
from replication.folds import cross_validate, fold_numbers, single_node_spec
from replication.ladder import (
    CURVE_POINTS,
    _contains,
    ladder_curves,
    ladder_rows,
    ladder_tests,
    paired_difference,
    true_odds_ratios,
)
from simulations import MagicMrClean

PLAN = {
    "base": "ls",
    "modifier": "Age",
    "treatment": "T",
    "outcome": "mRS_3m",
    "at_most": 2,
}
CAUSES = {
    "Age": {"kind": "continuous"},
    "mRS_pre": {"kind": "ordinal", "levels": 5},
    "NIHSSa": {"kind": "continuous"},
    "T": {"kind": "ordinal", "levels": 2},
}
MAIN = [{"kind": "ls", "parents": [name]} for name in CAUSES]
SPECS: dict[str, dict[str, Any]] = {
    "ls": {**CAUSES, "mRS_3m": {"kind": "ordinal", "levels": 7, "terms": MAIN}},
    "interaction": {
        **CAUSES,
        "mRS_3m": {
            "kind": "ordinal",
            "levels": 7,
            "terms": [*MAIN, {"kind": "ls", "parents": ["T", "Age"]}],
        },
    },
    "ci": {
        **CAUSES,
        "mRS_3m": {
            "kind": "ordinal",
            "levels": 7,
            "terms": [*MAIN[:3], {"kind": "ci", "parents": ["Age", "T"], "hidden": [4]}],
        },
    },
}
SETTINGS = {"ls": {}, "interaction": {}, "ci": {"epochs": 2, "validation_fraction": 0.2}}


@pytest.fixture(scope="module")
def cohort() -> pd.DataFrame:
    file = Path(__file__).parents[2] / "data" / "magic-mrclean" / "nl" / "obs.csv"
    rows = pd.read_csv(file)
    # the few rows of level 5 would separate the outcome in a fold
    return rows.assign(mRS_pre=rows["mRS_pre"].clip(upper=4))


@pytest.fixture(scope="module")
def flows(cohort: pd.DataFrame) -> dict[str, dict[int, td.CausalFlowDAG]]:
    return {
        model: {
            0: td.CausalFlowDAG(td.spec_from_dict(spec), seed=1).fit(
                cohort, seed=1, verbose=0, progress=False, **SETTINGS[model]
            )
        }
        for model, spec in SPECS.items()
    }


def design(rows: pd.DataFrame, *, product: bool) -> pd.DataFrame:
    """Parents as other programs take them, scaled so that their optimiser converges."""
    table = pd.DataFrame({"Age": rows["Age"] / 10, "NIHSSa": rows["NIHSSa"] / 10, "T": rows["T"]})
    for level in range(1, 5):
        table[f"pre{level}"] = (rows["mRS_pre"] == level).astype(float)
    if product:
        table["T:Age"] = table["T"] * table["Age"]
    return table


def ordered_fit(rows: pd.DataFrame, *, product: bool = False) -> tuple[Any, Any]:
    outcome = pd.Series(pd.Categorical(rows["mRS_3m"], categories=range(7), ordered=True))
    exog = design(rows, product=product).reset_index(drop=True)
    model = OrderedModel(outcome, exog, distr="logit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model, model.fit(method="bfgs", maxiter=500, gtol=1e-8, disp=False)


def test_folds_are_equal_in_size_and_the_same_for_every_model() -> None:
    fold = fold_numbers(103, 10, experiment="a")
    assert sorted(np.bincount(fold)) == [10] * 7 + [11] * 3
    assert (fold == fold_numbers(103, 10, experiment="a")).all()
    assert (fold != fold_numbers(103, 10, experiment="b")).any()
    with pytest.raises(ValueError, match="give from 2 to 5 folds"):
        fold_numbers(5, 6, experiment="a")


def test_the_outcome_is_folded_alone_with_its_parents_as_roots() -> None:
    spec = {"x": {"kind": "continuous"}, "z": {"kind": "continuous"}}
    spec["y"] = {"kind": "continuous", "parents": {"x": "ls"}}  # type: ignore[dict-item]
    spec["x"] = {"kind": "continuous", "parents": {"z": "ls"}}  # type: ignore[dict-item]
    assert single_node_spec(spec, "y") == {"x": {"kind": "continuous"}, "y": spec["y"]}


def test_cross_validated_likelihood_is_that_of_a_loop_by_statsmodels(cohort: pd.DataFrame) -> None:
    found = cross_validate(
        cohort,
        identity=["e", "ls"],
        spec=SPECS["ls"],
        node="mRS_3m",
        folds=3,
        seeds=[0],
        settings={},
    )
    expected = np.empty(len(cohort))
    for number in range(3):
        held_out = (found["fold"] == number).to_numpy()
        model, fit = ordered_fit(cohort[~held_out])
        pmf = model.predict(fit.params, exog=design(cohort[held_out], product=False))
        chosen = np.asarray(pmf)[np.arange(held_out.sum()), cohort.loc[held_out, "mRS_3m"]]
        expected[held_out] = -np.log(chosen)
    assert found["nll"].to_numpy() == pytest.approx(expected, abs=1e-4)


def test_seeds_of_a_network_share_the_folds(cohort: pd.DataFrame) -> None:
    found = cross_validate(
        cohort.head(300),
        identity=["e", "ci"],
        spec=SPECS["ci"],
        node="mRS_3m",
        folds=2,
        seeds=[0, 1],
        settings=SETTINGS["ci"],
    )
    first, second = (found[found["seed"] == seed].reset_index() for seed in (0, 1))
    assert (first["fold"] == second["fold"]).all()
    assert (first["nll"] != second["nll"]).any()


def test_the_likelihood_ratio_is_that_of_statsmodels(
    cohort: pd.DataFrame, flows: dict[str, dict[int, td.CausalFlowDAG]]
) -> None:
    table = ladder_tests(flows, plan=PLAN, train=cohort)
    ratio = table[table["test"] == "likelihood ratio"].set_index("model")
    small, large = (ordered_fit(cohort, product=product)[1].llf for product in (False, True))
    expected = 2 * (large - small)
    assert ratio["statistic"]["interaction"] == pytest.approx(expected, abs=1e-4)
    assert ratio["p"]["interaction"] == pytest.approx(stats.chi2.sf(expected, 1), abs=1e-5)
    assert ratio["df"]["interaction"] == 1
    assert np.isnan(ratio["statistic"]["ci"])
    assert "network" in ratio["note"]["ci"]
    scores = table[table["test"].str.startswith("score")]
    assert set(scores["parent"]) == set(CAUSES)


def test_a_paired_difference_has_the_interval_of_the_paired_t_test_where_the_law_is_normal() -> (
    None
):
    rng = np.random.default_rng(5)
    own, base = (pd.Series(rng.normal(size=4000)) for _ in range(2))
    expected = stats.ttest_rel(own, base).confidence_interval(0.95)
    assert paired_difference(own, base) == pytest.approx(
        ((own - base).mean(), expected.low, expected.high), abs=2e-3
    )


def test_the_interval_of_a_skewed_difference_leans_to_the_long_tail() -> None:
    # losses of a few rows are huge: the mean of an exponential has a skew gamma interval
    gap = np.random.default_rng(2).exponential(size=60)
    mean, lower, upper = paired_difference(pd.Series(gap), pd.Series(np.zeros(60)))
    shape = stats.gamma(60)
    expected = (mean * 60 / shape.ppf(0.975), mean * 60 / shape.ppf(0.025))
    assert upper - mean > 1.15 * (mean - lower)
    assert (lower, upper) == pytest.approx(expected, rel=0.1)


def test_a_model_beside_itself_differs_by_nothing() -> None:
    loss = pd.Series([1.0, 2.0, 4.0])
    assert paired_difference(loss, loss) == (0.0, 0.0, 0.0)


def test_the_true_curve_is_that_of_the_simulator(cohort: pd.DataFrame) -> None:
    ages = np.array([45.0, 70.0, 78.0, 95.0])
    for variant in ("ls", "nl"):
        generator = MagicMrClean(variant)
        found = true_odds_ratios(generator, PLAN, cohort, ages)
        assert found == pytest.approx(np.exp(generator.true_tau(ages)))


def test_a_curve_exists_where_the_treatment_is_a_shift(
    cohort: pd.DataFrame, flows: dict[str, dict[int, td.CausalFlowDAG]]
) -> None:
    curves = ladder_curves(flows, plan=PLAN, rows=cohort, generator=None)
    assert curves["model"].value_counts().to_dict() == {
        "ls": CURVE_POINTS,
        "interaction": CURVE_POINTS,
    }
    interaction = curves[curves["model"] == "interaction"]
    _, fit = ordered_fit(cohort, product=True)
    log_odds = fit.params["T"] + fit.params["T:Age"] * interaction["value"] / 10
    # statsmodels puts x'b on the same side of the cutpoints
    assert np.log(interaction["odds_ratio"]).to_numpy() == pytest.approx(
        log_odds.to_numpy(), abs=2e-3
    )
    assert curves["truth"].isna().all()


def test_rungs_have_an_interval_or_a_spread(
    flows: dict[str, dict[int, td.CausalFlowDAG]], cohort: pd.DataFrame
) -> None:
    effects = pd.DataFrame(
        {
            "model": ["ls", "interaction", "ci", "ci"],
            "seed": [0, 0, 0, 1],
            "effect": "T on mRS_3m <= 2",
            "population": "trial rows",
            "quantity": "ATE",
            "value": [0.08, 0.11, 0.1, 0.2],
            "lower": [0.04, 0.06, np.nan, np.nan],
            "upper": [0.12, 0.16, np.nan, np.nan],
        }
    )
    held_out = pd.DataFrame(
        {"model": model, "seed": 0, "row": [0, 1, 2], "fold": [0, 1, 0], "nll": nll}
        for model, nll in (("ls", 0), ("interaction", 0), ("ci", 0))
    ).explode(["row", "fold"])
    held_out["nll"] = [1.0, 2.0, 3.0, 0.5, 1.0, 3.0, 1.0, 2.0, 4.0]
    both = {**flows, "ci": {0: flows["ci"][0], 1: flows["ci"][0]}}
    rungs = ladder_rows(both, plan=PLAN, effects=effects, held_out=held_out, true=None)
    rungs = rungs.set_index("model")
    assert rungs["parameters"]["ls"] == 6 + 3 + 4
    assert rungs["parameters"]["interaction"] == 6 + 4 + 4
    assert rungs["nll_difference"].to_list() == pytest.approx([0.0, -0.5, 1 / 3])
    assert rungs.loc["ci", ["ate", "min", "max", "seeds"]].to_list() == pytest.approx(
        [0.15, 0.1, 0.2, 2]
    )
    assert rungs.loc["ls", ["lower", "upper"]].to_list() == [0.04, 0.12]
    titles = {"ls": "linear", "interaction": "product", "ci": "network"}
    figure = draw_ladder(rungs.reset_index(), titles=titles, base="ls")
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == list(titles.values())
    curves = ladder_curves(flows, plan=PLAN, rows=cohort, generator=MagicMrClean("nl"))
    drawn = draw_odds_ratio_by_modifier(
        curves,
        titles=titles,
        units={"Age": "years"},
        modifier="Age",
        treatment="T",
        outcome="mRS_3m",
    )
    shown = [axis for axis in drawn.axes if axis.axison]
    assert [axis.get_xlabel() for axis in shown] == ["Age (years)"] * 2


@pytest.mark.parametrize(
    ("terms", "nested"),
    [
        ([td.LS("Age"), td.LS("T"), td.LS("T", "Age")], True),
        ([td.LS("Age"), td.VC("T", by="Age")], True),
        ([td.VC("T", by="Age")], False),
        ([td.LS("Age"), td.LS("T")], False),
    ],
)
def test_a_richer_model_contains_every_shift_of_the_base(terms: list[Any], nested: bool) -> None:
    base = td.OrdinalNode(7, terms=[td.LS("Age"), td.LS("T")])
    assert _contains(td.OrdinalNode(7, terms=terms), base) is nested
