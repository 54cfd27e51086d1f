"""Monte Carlo studies: which rows, which estimates, what error the figures have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit
from scipy.stats import bootstrap, norm
from statsmodels.miscmodels.ordinal_model import OrderedModel

import tramdag as td
from replication import monte_carlo
from replication.figures_monte_carlo import draw_monte_carlo
from replication.job import derive_seed
from replication.monte_carlo import ESTIMATE_COLUMNS, cohort_estimates, outcome_spec
from replication.monte_carlo_summary import summarise_cohorts, with_errors
from replication.reference import (
    FLOOR_OFFSET,
    FRESH_OFFSET,
    LEAST_FALSE_OFFSET,
    cohort_rows,
    make_generator,
    replicate_rows,
    training_rows,
)
from replication.style import save_figure

STROKE = {"name": "magic-mrclean", "arguments": {"variant": "nl", "seed": 7}}
EFFECT = {"treatment": "T", "outcome": "mRS_3m", "at_most": 2}
LABEL = "T on mRS_3m <= 2"
ROWS = 700
QUICK = {"epochs": 6, "validation_fraction": 0.15}

CAUSES: dict[str, dict[str, Any]] = {
    "Age": {"kind": "continuous", "n_coefs": 6},
    "mRS_pre": {"kind": "ordinal", "levels": 6, "parents": {"Age": "ls"}},
    "NIHSSa": {"kind": "continuous", "n_coefs": 6, "parents": {"Age": "ls", "mRS_pre": "ls"}},
    "T": {"kind": "ordinal", "levels": 2, "parents": {"Age": "ls", "NIHSSa": "ls"}},
}
LINEAR = CAUSES | {
    "mRS_3m": {
        "kind": "ordinal",
        "levels": 7,
        "terms": [{"kind": "ls", "parents": [p]} for p in ("Age", "mRS_pre", "NIHSSa", "T")],
    }
}
INTERACTION = CAUSES | {
    "mRS_3m": LINEAR["mRS_3m"]
    | {"terms": [*LINEAR["mRS_3m"]["terms"], {"kind": "ls", "parents": ["T", "Age"]}]}
}
FLEXIBLE = CAUSES | {
    "T": {"kind": "ordinal", "levels": 2, "parents": {"Age": "ci", "NIHSSa": "cs"}},
    "mRS_3m": {
        "kind": "ordinal",
        "levels": 7,
        "parents": {"Age": "ci", "mRS_pre": "ls", "NIHSSa": "cs", "T": "ls"},
    },
}

pytestmark = [
    # a rare level of mRS_pre has no row in some cohorts
    pytest.mark.filterwarnings("ignore::tramdag.SeparationWarning"),
    pytest.mark.filterwarnings("ignore::tramdag.ConvergenceWarning"),
]


@pytest.fixture(scope="module")
def trial() -> pd.DataFrame:
    return make_generator(STROKE).rct(60)  # type: ignore[attr-defined]


def study(
    spec: dict[str, dict[str, Any]], cohorts: list[int], trial: pd.DataFrame, **given: Any
) -> pd.DataFrame:
    arguments: dict[str, Any] = {
        "settings": {},
        "effects": [EFFECT],
        "identity": ("e", "nl", "m"),
        "rows": ROWS,
        "level": 0.95,
    }
    return cohort_estimates(
        STROKE, spec=spec, population=trial, cohorts=cohorts, **arguments | given
    )


def test_no_cohort_shares_rows_with_another_stream() -> None:
    first = {tuple(cohort_rows(STROKE, n=3, cohort=r).iloc[0]) for r in range(4)}
    model = make_generator(STROKE)
    trained = training_rows(STROKE, n=3, seeds=range(4)).drop(columns="seed")
    others = {tuple(row) for row in trained.to_numpy()}
    others |= {tuple(replicate_rows(STROKE, n=3, replicate=r).iloc[0]) for r in range(4)}
    for offset in (FRESH_OFFSET, FLOOR_OFFSET, LEAST_FALSE_OFFSET, 777, 999):
        others.add(tuple(model.observational(3, seed_offset=offset).iloc[0]))
    assert len(first) == 4
    assert not first & others


def test_grouping_cohorts_into_jobs_changes_no_number(trial: pd.DataFrame) -> None:
    together = study(LINEAR, [0, 1, 2], trial)
    alone = study(LINEAR, [1], trial)
    assert list(together.columns) == list(ESTIMATE_COLUMNS)
    one = together[together["cohort"] == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, alone, check_exact=True)
    networks = study(FLEXIBLE, [0, 1], trial, settings=QUICK)
    apart = study(FLEXIBLE, [1], trial, settings=QUICK)
    # steps in single precision, sums in another order
    assert networks["estimate"][1] == pytest.approx(apart["estimate"][0], abs=1e-5)


@pytest.mark.parametrize(
    ("spec", "settings", "atol"),
    [(LINEAR, {}, 1e-9), (INTERACTION, {}, 1e-9), (FLEXIBLE, QUICK, 1e-5)],
    ids=["linear", "interaction", "flexible"],
)
def test_the_outcomes_node_alone_gives_the_effect_of_the_whole_model(
    spec: dict[str, Any], settings: dict[str, Any], atol: float, trial: pd.DataFrame
) -> None:
    (found,) = study(spec, [3], trial, settings=settings).to_dict("records")
    seed = derive_seed("e", "nl", "m", "cohort", 3)
    whole = td.CausalFlowDAG(td.spec_from_dict(spec), seed=seed)
    whole.fit(cohort_rows(STROKE, n=ROWS, cohort=3), verbose=0, progress=False, **settings)
    effect = whole.effect("mRS_3m", "T", data=trial, of=lambda y: y <= 2)
    expected = effect.summary.set_index("quantity").loc["ate"]
    for column in ("estimate", "std_error", "lower", "upper"):
        assert found[column] == pytest.approx(expected[column], abs=atol, nan_ok=True)
    assert np.isnan(found["lower"]) == (spec is FLEXIBLE)


def test_only_parents_of_the_outcome_stay() -> None:
    chain = {
        "a": {"kind": "continuous"},
        "b": {"kind": "ordinal", "levels": 3, "parents": {"a": "ls"}},
        "y": {"kind": "ordinal", "levels": 2, "parents": {"b": "cs"}},
    }
    reduced = outcome_spec(chain, "y")
    assert reduced == {"b": {"kind": "ordinal", "levels": 3}, "y": chain["y"]}


def classical_effect(
    rows: pd.DataFrame, trial: pd.DataFrame, *, interaction: bool
) -> tuple[float, float]:
    """ATE and its delta-method error by statsmodels' proportional-odds model."""

    def design(table: pd.DataFrame) -> pd.DataFrame:
        columns = {"Age": table["Age"] - 73, "NIHSSa": table["NIHSSa"], "T": table["T"]}
        seen = [level for level in range(1, 6) if (rows["mRS_pre"] == level).any()]
        columns |= {f"pre{level}": (table["mRS_pre"] == level) * 1.0 for level in seen}
        if interaction:
            columns["T:Age"] = table["T"] * (table["Age"] - 73)
        return pd.DataFrame(columns).astype(float)

    model = OrderedModel(rows["mRS_3m"], design(rows), distr="logit")
    fit = model.fit(method="bfgs", disp=False, maxiter=500, gtol=1e-8)
    arms = [design(trial.assign(T=arm)).to_numpy() for arm in (0, 1)]

    def ate(parameters: np.ndarray) -> float:
        p = arms[0].shape[1]
        cutpoints = model.transform_threshold_params(parameters)[1:-1]
        control, treated = (expit(cutpoints[2] - arm @ parameters[:p]).mean() for arm in arms)
        return float(treated - control)

    parameters = fit.params.to_numpy()
    slope = approx_fprime(parameters, ate, 1e-6)
    return ate(parameters), float(np.sqrt(slope @ fit.cov_params().to_numpy() @ slope))


@pytest.mark.parametrize(("spec", "interaction"), [(LINEAR, False), (INTERACTION, True)])
def test_the_estimates_are_those_of_statsmodels(
    spec: dict[str, Any], interaction: bool, trial: pd.DataFrame
) -> None:
    # levels that a cohort lacks have no coefficient, so the population has none of them either
    common = trial[trial["mRS_pre"] < 4]
    for found in study(spec, [0, 5], common).to_dict("records"):
        rows = cohort_rows(STROKE, n=ROWS, cohort=found["cohort"])
        estimate, std_error = classical_effect(rows, common, interaction=interaction)
        assert found["estimate"] == pytest.approx(estimate, abs=2e-6)
        # statsmodels' Hessian is numerical
        assert found["std_error"] == pytest.approx(std_error, rel=1e-3)


def test_a_cohort_that_cannot_be_fitted_is_counted(
    monkeypatch: pytest.MonkeyPatch, trial: pd.DataFrame
) -> None:
    def drawn(process: Any, *, n: int, cohort: int) -> pd.DataFrame:
        rows = cohort_rows(process, n=n, cohort=cohort)
        return rows.assign(T=1) if cohort == 1 else rows

    monkeypatch.setattr(monte_carlo, "cohort_rows", drawn)
    table = study(LINEAR, [0, 1, 2], trial).assign(variant="nl", model="m")
    assert table["estimate"].isna().tolist() == [False, True, False]
    (row,) = summarise_cohorts(with_errors(table, {("nl", LABEL): 0.1}), models=["m"]).to_dict(
        "records"
    )
    assert (row["cohorts"], row["estimates"]) == (3, 2)
    assert row["note"].startswith("no estimate in 1 of 3 cohorts")
    assert "T constant" in row["note"]


# the summary


def estimates(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    shared = rng.normal(size=n)
    tables = []
    for model, bias, own in (("ls", -0.03, 0.0), ("interaction", 0.0, 0.02)):
        values = 0.1 + bias + 0.02 * shared + own * rng.standard_t(5, size=n)
        tables.append(
            pd.DataFrame(
                {
                    "cohort": range(n),
                    "estimate": values,
                    "lower": values - 0.04,
                    "upper": values + 0.04,
                    "std_error": 0.02,
                }
            ).assign(model=model, variant="nl", effect=LABEL, note="")
        )
    return with_errors(pd.concat(tables, ignore_index=True), {("nl", LABEL): 0.1})


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    return summarise_cohorts(estimates(), models=["ls", "interaction"]).set_index("model")


@pytest.mark.parametrize(
    ("column", "statistic"),
    [
        ("bias", lambda e, axis: e.mean(axis=axis)),
        ("sd", lambda e, axis: e.std(axis=axis, ddof=1)),
        ("rmse", lambda e, axis: np.sqrt((e**2).mean(axis=axis))),
    ],
)
def test_monte_carlo_errors_are_those_of_the_bootstrap(
    column: str, statistic: Any, summary: pd.DataFrame
) -> None:
    table = estimates()
    for model in ("ls", "interaction"):
        errors = table.loc[table["model"] == model, "error"].to_numpy()
        drawn = bootstrap((errors,), statistic, n_resamples=4000, method="basic", rng=1)
        assert summary.loc[model, column] == pytest.approx(statistic(errors, -1), abs=1e-12)
        # 4000 resamples know a standard deviation to 1.1 %, the tails of 400 values to a few more
        assert summary.loc[model, f"{column}_error"] == pytest.approx(drawn.standard_error, rel=0.1)


def test_the_error_of_the_sd_is_the_normal_one_under_a_normal_law() -> None:
    errors = norm.ppf((np.arange(2000) + 0.5) / 2000)
    table = estimates(2000).query("model == 'ls'").assign(error=errors)
    (row,) = summarise_cohorts(table, models=["ls"]).to_dict("records")
    assert row["sd_error"] == pytest.approx(row["sd"] / np.sqrt(2 * 1999), rel=0.01)


def test_the_comparison_with_the_first_model_is_paired(summary: pd.DataFrame) -> None:
    table = estimates()
    first, other = (
        table.loc[table["model"] == model, "error"].to_numpy() for model in ("ls", "interaction")
    )
    row = summary.loc["interaction"]
    assert row["farther"] == np.mean(np.abs(other) > np.abs(first))
    assert row["rmse_difference"] == pytest.approx(row["rmse"] - summary.loc["ls", "rmse"])

    def difference(a: Any, b: Any, axis: int) -> Any:
        return np.sqrt((a**2).mean(axis=axis)) - np.sqrt((b**2).mean(axis=axis))

    drawn = bootstrap(
        (other, first), difference, paired=True, n_resamples=4000, method="basic", rng=2
    )
    assert row["rmse_difference_error"] == pytest.approx(drawn.standard_error, rel=0.1)
    assert np.isnan(summary.loc["ls", "farther"])


def test_coverage_counts_the_cohorts_that_have_an_interval() -> None:
    table = estimates(100).query("model == 'ls'").reset_index(drop=True)
    table.loc[:9, ["lower", "upper", "std_error"]] = np.nan
    table.loc[:9, "note"] = "no interval: levels are separated"
    table = with_errors(table, {("nl", LABEL): 0.1})
    (row,) = summarise_cohorts(table, models=["ls"]).to_dict("records")
    hits = (table["lower"][10:] <= 0.1) & (table["upper"][10:] >= 0.1)
    assert row["intervals"] == 90
    assert row["coverage"] == pytest.approx(hits.mean())
    assert row["coverage_error"] == pytest.approx(np.sqrt(hits.mean() * (1 - hits.mean()) / 90))
    assert row["note"] == "in 10 of 100 cohorts no interval: levels are separated"


def test_a_model_without_intervals_says_so() -> None:
    nothing = {"lower": np.nan, "upper": np.nan, "note": "no interval: networks in mRS_3m"}
    table = with_errors(estimates(50).assign(**nothing), {("nl", LABEL): 0.1})
    (row, _) = summarise_cohorts(table, models=["ls", "interaction"]).to_dict("records")
    assert np.isnan(row["coverage"])
    assert row["note"] == "no interval: networks in mRS_3m"


def test_numbers_have_errors_where_there_are_and_no_negative_zero() -> None:
    table = estimates()
    found = summarise_cohorts(table, models=["ls", "interaction"])
    found["bias"], found["bias_error"] = [-1e-6, 1e-6], 0.0018
    found.loc[1, ["sd", "sd_error"]] = np.nan
    titles = {"ls": "all linear", "interaction": "treatment by age"}
    figure = draw_monte_carlo(table, found, titles=titles, effect=EFFECT)
    (first, second) = (text.get_text().split("\n") for text in figure.axes[0].texts)
    assert first[0] == second[0] == "bias +0.0000 ± 0.0018"
    assert second[1] == "sd unknown"


def test_the_numbers_stand_beside_the_panel_and_above_no_tick() -> None:
    table = pd.concat([estimates().assign(variant=name) for name in ("ls", "nl")])
    titles = {"ls": "all linear", "interaction": "treatment by age"}
    found = summarise_cohorts(table, models=list(titles))
    figure = draw_monte_carlo(table, found, titles=titles, effect=EFFECT)
    figure.draw_without_rendering()
    left, right = figure.axes
    for axis in (left, right):
        for text in axis.texts:
            assert text.get_window_extent().x0 > axis.get_window_extent().x1
    assert max(t.get_window_extent().x1 for t in left.texts) < right.get_window_extent().x0


def test_the_figure_has_a_row_per_model_and_a_panel_per_variant(tmp_path: Path) -> None:
    table = pd.concat([estimates().assign(variant=name) for name in ("ls", "nl")])
    titles = {"ls": "all linear", "interaction": "treatment by age"}
    found = summarise_cohorts(table, models=list(titles))
    figure = draw_monte_carlo(table, found, titles=titles, effect=EFFECT)
    assert [axis.get_title() for axis in figure.axes] == ["variant ls", "variant nl"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(titles.values())
    said = [text.get_text() for text in figure.axes[1].texts]
    first = found.iloc[0]
    assert said[0] == (
        f"bias {first['bias']:+.4f} ± {first['bias_error']:.4f}\n"
        f"sd {first['sd']:.4f} ± {first['sd_error']:.4f}"
    )
    save_figure(figure, png=str(tmp_path / "m.png"), pdf=str(tmp_path / "m.pdf"))
