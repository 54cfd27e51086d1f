"""Entries of experiments.yaml as the rules see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from replication.config import ConfigError, complete_config
from replication.experiments import (
    Experiment,
    chunk_label,
    is_exact,
    load_experiments,
    run_name,
    seeds_of,
)

LINEAR = {
    "x1": {"kind": "continuous"},
    "x2": {"kind": "ordinal", "levels": 3, "parents": {"x1": "ls"}},
}
VC_NETWORK = {"kind": "vc", "parents": ["a"], "by": ["b"], "hidden": [8]}
NETWORK = LINEAR | {"x2": {"kind": "ordinal", "levels": 3, "parents": {"x1": "cs"}}}


def load(
    spec: dict[str, Any] = LINEAR,
    *,
    data: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    top: dict[str, Any] | None = None,
    **entry: Any,
) -> Experiment:
    experiment = {
        "title": "test",
        "data": data or {"process": "vaca", "rows": 1000},
        "models": {"m": {"spec": spec, **(model or {})}},
        **entry,
    }
    config = {"run": {"name": "test", "complete": False}, "experiments": {"e": experiment}}
    return load_experiments(complete_config(config | (top or {})))["e"]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"kind": "continuous", "parents": {"a": "ls"}}, True),
        ({"kind": "continuous", "transform": "affine"}, True),
        ({"kind": "continuous", "transform": "spline"}, False),
        ({"kind": "ordinal", "levels": 3, "parents": {"a": "ls", "b": "cs"}}, False),
        ({"kind": "ordinal", "levels": 3, "parents": {"a": "ci"}}, False),
        ({"kind": "continuous", "terms": [{"kind": "ls", "parents": ["a", "b"]}]}, True),
        ({"kind": "continuous", "terms": [{"kind": "cs", "parents": ["a"]}]}, False),
        ({"kind": "continuous", "terms": [{"kind": "vc", "parents": ["a"], "by": ["b"]}]}, True),
        ({"kind": "continuous", "terms": [VC_NETWORK]}, False),
    ],
)
def test_exact_means_shifts_without_networks_and_a_convex_head(
    node: dict[str, Any], expected: bool
) -> None:
    assert is_exact({"y": node}) is expected


def test_products_are_left_to_the_library() -> None:
    product = {"kind": "ls", "parents": ["x1", "x2"]}
    spec = LINEAR | {"x3": {"kind": "continuous", "terms": [product]}}
    assert load(LINEAR).crosschecked_models() == ["m"]
    assert load(spec).models["m"].exact
    assert load(spec).crosschecked_models() == []
    assert load(LINEAR, crosscheck=False).crosschecked_models() == []


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2), (3, 4)])
def test_a_label_gives_its_seeds_back(seeds: tuple[int, ...]) -> None:
    assert seeds_of(chunk_label(seeds)) == list(seeds)


def test_seeds_are_cut_into_jobs_and_none_is_lost() -> None:
    model = load(NETWORK, model={"seeds": 5}, top={"seeds_per_job": 2}).models["m"]
    assert model.chunks() == ["0-1", "2-3", "4"]
    assert [seed for label in model.chunks() for seed in seeds_of(label)] == list(model.seeds)


def test_an_exact_model_on_a_frozen_file_has_one_seed(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("x1,x2\n0,0\n1,1\n2,2\n", encoding="utf-8")
    data = {"file": str(file)}
    assert load(LINEAR, data=data, model={"seeds": 7}).models["m"].seeds == (0,)
    assert load(NETWORK, data=data, model={"seeds": 7}).models["m"].seeds == tuple(range(7))


def test_a_convex_model_trained_by_steps_depends_on_its_seeds() -> None:
    model = load(LINEAR, model={"fit": {"optimizer": "adam"}}).models["m"]
    assert not model.exact
    assert model.seeds == tuple(range(5))


def test_limits_lower_rows_epochs_and_seeds_and_never_raise_them() -> None:
    top = {"limits": {"rows": 200, "epochs": 4, "seeds": 2}}
    experiment = load(NETWORK, model={"fit": {"epochs": 900}}, top=top)
    assert experiment.data.rows == 200
    assert experiment.models["m"].fit["epochs"] == 4
    assert experiment.models["m"].seeds == (0, 1)
    small = load(NETWORK, model={"fit": {"epochs": 3}, "seeds": 1}, top=top)
    assert small.models["m"].fit["epochs"] == 3
    assert small.models["m"].seeds == (0,)


def test_settings_of_training_do_not_touch_an_exact_fit() -> None:
    model = load(LINEAR, model={"fit": {"epochs": 900, "learning_rate": 0.1}}).models["m"]
    assert model.fit == {}


def test_rows_and_a_file_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"either rows .* or file .*, got both"):
        load(data={"process": "vaca", "rows": 1000, "file": "x.csv"})
    with pytest.raises(ConfigError, match="got neither"):
        load(data={"process": "vaca"})


def test_rows_without_a_process_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs a process"):
        load(data={"rows": 1000})


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.file: there is nothing at 'gone\.csv'"):
        load(data={"file": "gone.csv"})


@pytest.mark.parametrize(
    "entry",
    [
        {"interventions": [{"do": {"x9": 1}}]},
        {"units": {"x9": "years"}},
        {"shifts": [{"node": "x2", "parent": "x9"}]},
        {"effects": [{"treatment": "x9", "outcome": "x2", "at_most": 1}]},
        {"odds_ratios": [{"node": "x9", "parent": "x1", "threshold": 0}]},
        {"counterfactuals": {"interventions": [{"do": {"x9": 0}}]}},
    ],
)
def test_a_question_about_an_unknown_column_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"'x9' is no node of the model 'm'; such are x1, x2"):
        load(**entry)


def test_a_figure_without_its_question_is_refused() -> None:
    with pytest.raises(ConfigError, match="'shift_curves' draws shifts, of which there are none"):
        load(figures=["shift_curves"])


def test_a_forest_without_exact_fits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'forest' draws .* of which there are none"):
        load(NETWORK, figures=["forest"])
    assert load(LINEAR, figures=["forest"]).figures == ["forest"]


def test_a_history_of_exact_fits_is_refused() -> None:
    with pytest.raises(ConfigError, match="every model is solved exactly"):
        load(figures=["history"])


STUDY = {"model": "m", "replicates": 500, "rows": 2000}


def test_a_study_of_coverage_is_cut_into_jobs_and_no_data_set_is_lost() -> None:
    study = load(coverage=STUDY | {"replicates_per_job": 200}).coverage
    assert study is not None
    assert study.level == 0.95
    assert study.chunks() == ["0-199", "200-399", "400-499"]


def test_limits_lower_a_study_of_coverage_too() -> None:
    top = {"limits": {"rows": 300, "replicates": 5}}
    study = load(coverage=STUDY, top=top).coverage
    assert study is not None
    assert (study.replicates, study.rows) == (5, 300)
    assert load(coverage=STUDY).coverage != study


def test_a_study_of_coverage_needs_an_exact_model() -> None:
    with pytest.raises(ConfigError, match=r"coverage\.model: 'm' is no model .* such are none"):
        load(NETWORK, coverage=STUDY)


def test_a_study_of_coverage_needs_a_process(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.touch()
    with pytest.raises(ConfigError, match="need a process to draw them from"):
        load(data={"file": str(file)}, coverage=STUDY)


def test_the_coverage_of_an_effect_needs_a_fixed_population() -> None:
    effect = {"treatment": "x2", "outcome": "x2", "at_most": 1}
    with pytest.raises(ConfigError, match=r"needs a fixed population, data\.trial"):
        load(coverage=STUDY, effects=[effect])


TREATED = {
    "x1": {"kind": "continuous"},
    "x2": {"kind": "ordinal", "levels": 2, "parents": {"x1": "ls"}},
    "x3": {"kind": "ordinal", "levels": 4, "parents": {"x1": "cs", "x2": "ls"}},
}
EFFECT = {"treatment": "x2", "outcome": "x3", "at_most": 1}
COHORTS = {"models": ["m"], "cohorts": 300, "rows": 1275, "cohorts_per_job": 120}


@pytest.fixture
def trial(tmp_path: Path) -> str:
    (tmp_path / "trial.csv").touch()
    return str(tmp_path / "trial.csv")


def test_a_monte_carlo_study_is_cut_into_jobs_and_no_cohort_is_lost(trial: str) -> None:
    data = {"process": "vaca", "rows": 1000, "trial": trial}
    study = load(TREATED, data=data, effects=[EFFECT], monte_carlo=COHORTS).monte_carlo
    assert study is not None
    assert study.chunks() == ["0-119", "120-239", "240-299"]
    assert study.level == 0.95
    (variant,) = study.variants.items()
    assert variant[0] == "vaca"
    assert variant[1].trial == trial


def test_limits_lower_a_monte_carlo_study_too(trial: str) -> None:
    variants = {"a": {"arguments": {"seed": 1}, "trial": trial}}
    study = load(
        TREATED,
        effects=[EFFECT],
        monte_carlo=COHORTS | {"variants": variants},
        top={"limits": {"rows": 300, "replicates": 5}},
    ).monte_carlo
    assert study is not None
    assert (study.cohorts, study.rows) == (5, 300)
    assert study.variants["a"].generator == {"name": "vaca", "arguments": {"seed": 1}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"effects": []}, "the study is about average effects"),
        ({"monte_carlo": COHORTS | {"models": ["n"]}}, r"'n' is no model .* such are m"),
        ({"data": {"process": "vaca", "rows": 1000}}, "needs a fixed population"),
    ],
)
def test_a_monte_carlo_study_without_what_it_needs_is_refused(
    change: dict[str, Any], message: str, trial: str
) -> None:
    entry: dict[str, Any] = {
        "data": {"process": "vaca", "rows": 1000, "trial": trial},
        "effects": [EFFECT],
        "monte_carlo": COHORTS,
    }
    with pytest.raises(ConfigError, match=rf"monte_carlo.*{message}"):
        load(TREATED, **entry | change)


def test_a_monte_carlo_study_needs_a_process(trial: str) -> None:
    with pytest.raises(ConfigError, match="need a process to draw them from"):
        load(TREATED, data={"file": trial}, effects=[EFFECT], monte_carlo=COHORTS)


def test_a_mediator_between_treatment_and_outcome_is_refused(trial: str) -> None:
    mediated = TREATED | {"x1": {"kind": "continuous", "parents": {"x0": "ls"}}}
    mediated["x0"] = {"kind": "ordinal", "levels": 2}
    data = {"process": "vaca", "rows": 1000, "trial": trial}
    effect = EFFECT | {"treatment": "x0"}
    with pytest.raises(ConfigError, match="'x0' also acts on 'x3' by way of 'x1'"):
        load(mediated, data=data, effects=[effect], monte_carlo=COHORTS)


@pytest.mark.parametrize("figure", ["coverage", "forecasts", "monte_carlo"])
def test_a_new_figure_without_its_study_is_refused(figure: str) -> None:
    with pytest.raises(ConfigError, match=f"'{figure}' draws .*, of which there are none"):
        load(figures=[figure])


def test_an_unknown_name_in_only_is_refused() -> None:
    with pytest.raises(ConfigError, match="'f' is no experiment; such are e"):
        load(top={"only": ["f"]})


def test_a_cohort_of_ones_own_has_no_truth(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("x1,x2\n0,0\n1,1\n2,2\n", encoding="utf-8")
    assert not load(data={"file": str(file)}).data.has_truth
    assert load().data.has_truth


@pytest.mark.parametrize(
    ("only", "name", "expected"),
    [
        ([], None, "full replication"),
        (["e1"], None, "Title 1"),
        (["e2", "e0"], None, "Title 2; Title 0"),
        (["e0", "e1", "e2", "e3"], None, "4 of 5 experiments"),
        (["e1"], "pilot", "pilot"),
        ([], "pilot", "pilot"),
    ],
)
def test_a_run_of_a_few_experiments_is_no_full_replication(
    only: list[str], name: str | None, expected: str
) -> None:
    experiments = {
        f"e{i}": {
            "title": f"Title {i}",
            "data": {"process": "vaca", "rows": 1000},
            "models": {"m": {"spec": LINEAR}},
        }
        for i in range(5)
    }
    run = {"complete": True} | ({"name": name} if name else {})
    config = complete_config({"run": run, "only": only, "experiments": experiments})
    assert run_name(config, load_experiments(config)) == expected


def test_a_limit_keeps_the_first_models_and_studies_of_them_alone() -> None:
    rows = "data/magic-mrclean/nl/obs.csv"
    config = yaml.safe_load(
        (Path(__file__).parents[2] / "workflow" / "config" / "experiments.yaml").read_text("utf-8")
    )
    config |= {"run": {"complete": False}, "only": ["stroke-nl"], "limits": {"models": 2}}
    found = load_experiments(complete_config(config))["stroke-nl"]
    assert found.data.file == rows
    assert list(found.models) == ["ls", "flexible"]
    assert found.monte_carlo is not None
    assert list(found.monte_carlo.models) == ["ls", "flexible"]
