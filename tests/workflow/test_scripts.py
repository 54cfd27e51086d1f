"""The functions behind the rules, one after another on small data."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
IDENTITY = ["mixed-exp", "cs"]
PROCESS = {"name": "triangle-mixed", "arguments": {"f": "exp"}}
SPEC = {
    "x1": {"kind": "continuous", "n_coefs": 6},
    "x2": {"kind": "continuous", "n_coefs": 6, "parents": {"x1": "ls"}},
    "x3": {"kind": "ordinal", "levels": 4, "parents": {"x1": "ls", "x2": "cs"}},
}
QUESTIONS: dict[str, Any] = {
    "interventions": [{"x1": 0.5}],
    "shifts": [{"node": "x3", "parent": "x2"}],
    "conditionals": [{"node": "x2", "given": {"x1": 0.5}}],
    "effects": [],
    "odds_ratios": [],
    "curves": [],
    "draws": 25,
}
ANSWERS = ("interventions", "densities", "shifts", "conditionals", "effects", "curves", "draws")


def script(name: str) -> Callable[..., None]:
    """The function of a rule's script, without running the script."""
    path = ROOT / "workflow" / "scripts" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"script_{name}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    function: Callable[..., None] = getattr(module, name)
    return function


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, a fit of two seeds, the answers of models and generator, and the distances."""
    folder = tmp_path_factory.mktemp("results")
    rows = str(folder / "train.csv")
    script("simulate")(process=PROCESS, n=200, seeds=[0, 1], rows=rows)
    script("fit")(
        train=rows,
        by_seed=True,
        identity=IDENTITY,
        seeds=[0, 1],
        spec=SPEC,
        settings={"epochs": 2},
        device="auto",
        threads=1,
        gpu=0,
        models=str(folder / "models"),
        **{name: str(folder / f"{name}.csv") for name in FIT_TABLES},
        record=str(folder / "record.json"),
    )
    script("estimate")(
        models=str(folder / "models"),
        train=rows,
        by_seed=True,
        trial=[],
        identity=IDENTITY,
        seeds=[0, 1],
        questions=QUESTIONS,
        samples=300,
        threads=1,
        **{name: str(folder / f"estimated_{name}.csv") for name in ANSWERS},
    )
    script("truth")(
        experiment="mixed-exp",
        trial=[],
        process=PROCESS,
        questions=QUESTIONS,
        samples=500,
        fresh=300,
        coefficients=str(folder / "true_coefficients.csv"),
        **{name: str(folder / f"true_{name}.csv") for name in ANSWERS},
    )
    script("evaluate")(
        models=str(folder / "models"),
        **{
            f"{side}_{name}": str(folder / f"{side}_{name}.csv")
            for side, names in (
                ("estimated", ("interventions", "shifts", "effects", "curves")),
                ("true", ("interventions", "effects", "curves")),
            )
            for name in names
        },
        identity=IDENTITY,
        seeds=[0, 1],
        process=PROCESS,
        questions=QUESTIONS,
        counterfactuals={"interventions": [{"do": {"x1": 0.5}}], "seed_offset": 9},
        sizes={"fresh_rows": 300, "counterfactual_rows": 20, "forecast_rows": 30},
        threads=1,
        **{level: str(folder / f"{level}.csv") for level in EVALUATED},
    )
    return folder


EVALUATED = ("l1", "l2", "l3", "forecasts", "calibration")
FIT_TABLES = ("nodes", "history", "trajectories", "coefficients", "parameters")


def test_training_rows_carry_their_seed(results: Path) -> None:
    assert pd.read_csv(results / "train.csv")["seed"].value_counts().to_dict() == {0: 200, 1: 200}


@pytest.mark.parametrize(
    "name", [*FIT_TABLES, "estimated_interventions", "estimated_draws", *EVALUATED]
)
def test_every_table_is_tidy_with_a_row_per_seed(results: Path, name: str) -> None:
    table = pd.read_csv(results / f"{name}.csv")
    assert list(table.columns[:3]) == ["experiment", "model", "seed"]
    assert set(table["seed"]) == {0, 1}
    assert set(table["experiment"]) == {"mixed-exp"}


def test_every_seed_has_a_model_and_the_job_says_what_it_ran_on(results: Path) -> None:
    names = sorted(path.name for path in (results / "models").iterdir())
    assert names == ["seed-0.pt", "seed-1.pt"]
    record = json.loads((results / "record.json").read_text(encoding="utf-8"))
    assert record["device"] == "cpu"
    assert record["identity"] == IDENTITY
    assert "torch" in record


def test_the_three_levels_measure_what_they_say(results: Path) -> None:
    l1, l2, l3 = (pd.read_csv(results / f"l{level}.csv") for level in (1, 2, 3))
    assert set(l1["metric"]) == {"kl", "nll", "wasserstein"}
    assert {"mean", "sd", "q50", "P(2)", "rmse"} <= set(l2["statistic"])
    scores = {"log score", "Brier score", "total variation"}
    assert set(l3["metric"]) == {"absolute error", "reconstruction error", *scores}
    assert l3.loc[l3["metric"] == "reconstruction error", "value"].max() < 1e-8
    assert l1["value"].notna().all()
    assert l3["value"].notna().all()
    forecasts = pd.read_csv(results / "forecasts.csv")
    assert set(forecasts["forecast"]) >= {"counterfactual pmf", "one draw"}
    assert forecasts["value"].notna().all()


def test_tables_and_scorecard_follow_from_the_parts(results: Path, tmp_path: Path) -> None:
    levels = ("l1", "l2", "l3", "forecasts")
    names = (
        "fits",
        "coefficients",
        "effects",
        "odds_ratios",
        *levels,
        "crosscheck",
        "coverage",
        "monte_carlo",
    )
    parts = {
        "fits": [str(results / "nodes.csv")],
        "coefficients": [str(results / "coefficients.csv")],
        "effects": [str(results / "estimated_effects.csv")],
        "crosscheck": [],
        "coverage": [],
        "monte_carlo": [],
        "cohorts": [],
        **{level: [str(results / f"{level}.csv")] for level in levels},
    }
    tidy = [str(tmp_path / f"{name}.csv") for name in (*names, "cohorts", "truth")]
    script("tables")(
        truth=[str(results / "true_effects.csv")],
        true_coefficients=[str(results / "true_coefficients.csv")],
        odds_ratios={"mixed-exp": QUESTIONS["odds_ratios"]},
        tidy=tidy,
        **parts,
    )
    by_kind = {
        kind: [str(tmp_path / f"{name}.{kind}") for name in names] for kind in ("csv", "md", "html")
    }
    script("table_pages")(
        banner="SMOKE RUN", tidy=by_kind["csv"], markdown=by_kind["md"], pages=by_kind["html"]
    )
    coefficients = pd.read_csv(tmp_path / "coefficients.csv")
    weight = coefficients[(coefficients["node"] == "x2") & (coefficients["parent"] == "x1")]
    assert set(weight["truth"]) == {2.0}
    assert "SMOKE RUN" in (tmp_path / "l1.md").read_text(encoding="utf-8")

    script("scorecard")(
        claims=[
            str(ROOT / "workflow" / "config" / "claims" / f"{chapter}.yaml")
            for chapter in ("vaca", "carefl")
        ],
        tidy=tidy,
        experiments=["mixed-exp", "vaca"],
        run="a test",
        banner="SMOKE RUN",
        csv=str(tmp_path / "card.csv"),
        markdown=str(tmp_path / "card.md"),
        rst=str(tmp_path / "card.rst"),
        html=str(tmp_path / "card.html"),
    )
    card = pd.read_csv(tmp_path / "card.csv")
    assert set(card["experiment"]) == {"vaca"}
    assert set(card["verdict"]) == {"not testable here"}
    assert set(card["run"]) == {"a test"}
    assert "not part of this run" in (tmp_path / "card.rst").read_text(encoding="utf-8")


def test_frozen_data_are_verified_against_their_generators(tmp_path: Path) -> None:
    script("verify_data")(
        sums=str(ROOT / "data" / "SHA256SUMS"), frozen=[], flag=str(tmp_path / "flag.json")
    )
    verified = json.loads((tmp_path / "flag.json").read_text(encoding="utf-8"))
    assert "vaca/obs.csv" in verified


def test_without_r_the_committed_results_are_compared_and_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication.crosscheck.r_unavailable_reason", lambda: "not installed")
    cohort = ROOT / "data" / "magic-mrclean" / "ls"
    effect = {"treatment": "T", "outcome": "mRS_3m", "at_most": 2}
    script("crosscheck_r")(
        observational=str(cohort / "obs.csv"),
        trial=str(cohort / "rct.csv"),
        spec=STROKE,
        effects=[effect],
        by_seed=False,
        seeds=[0],
        frozen=str(cohort / "ref_ls"),
        installed=False,
        output=str(tmp_path / "r.csv"),
    )
    table = pd.read_csv(tmp_path / "r.csv")
    assert table["reference"].str.endswith("(frozen)").all()

    age = table.query("node == 'mRS_3m' and quantity == 'coefficient' and parent == 'Age'")
    assert age["value"].item() == pytest.approx(0.0525525, abs=1e-7)
    shifts = table[table["quantity"] == "coefficient"].rename(columns={"value": "estimate"})
    shifts.assign(parameter="shift", std_error=np.nan).to_csv(
        tmp_path / "parameters.csv", index=False
    )
    nodes = pd.DataFrame({"node": ["mRS_3m"], "n": [1275], "nll": [1.0], "seed": [0]})
    nodes.to_csv(tmp_path / "nodes.csv", index=False)
    average = {"effect": "T on mRS_3m <= 2", "population": "trial rows", "quantity": "ATE"}
    pd.DataFrame([average | {"value": 0.142843, "seed": 0}]).to_csv(
        tmp_path / "effects.csv", index=False
    )
    script("crosscheck")(
        references=[str(tmp_path / "r.csv")],
        parameters=str(tmp_path / "parameters.csv"),
        nodes=str(tmp_path / "nodes.csv"),
        effects=str(tmp_path / "effects.csv"),
        identity=["stroke-ls", "ls"],
        questions=[effect],
        compared=str(tmp_path / "compared.csv"),
    )
    compared = pd.read_csv(tmp_path / "compared.csv").set_index("quantity")
    assert compared["difference"]["ate"] == pytest.approx(0, abs=1e-6)
    assert (compared["difference"]["coefficient"].dropna() == 0).all()


STROKE = {
    "Age": {"kind": "continuous"},
    "mRS_pre": {"kind": "ordinal", "levels": 6, "parents": {"Age": "ls"}},
    "NIHSSa": {"kind": "continuous", "parents": {"Age": "ls", "mRS_pre": "ls"}},
    "T": {
        "kind": "ordinal",
        "levels": 2,
        "parents": {"Age": "ls", "mRS_pre": "ls", "NIHSSa": "ls"},
    },
    "mRS_3m": {
        "kind": "ordinal",
        "levels": 7,
        "parents": {"Age": "ls", "mRS_pre": "ls", "NIHSSa": "ls", "T": "ls"},
    },
}
