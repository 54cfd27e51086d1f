"""Figures draw what the tables say, for every kind of experiment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from replication.figures import draw_densities, draw_marginals
from replication.figures_curves import draw_counterfactuals, draw_shift_curves
from replication.figures_effects import draw_effects
from replication.figures_mechanisms import draw_mechanisms
from replication.figures_training import draw_trajectories
from replication.metrics import histogram
from replication.style import looks, save_figure

TITLES = {"ls": "linear", "cs": "complex"}
UNITS = {"age": "years"}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def runs(table: pd.DataFrame) -> pd.DataFrame:
    """The same answers from two seeds of two models."""
    parts = [table.assign(model=model, seed=seed) for model in TITLES for seed in (0, 1)]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def densities() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    age, level = rng.normal(70, 8, 500), rng.integers(0, 3, 500)
    parts = [
        histogram(age, bins=20).assign(query="observational", node="age"),
        histogram(level, levels=3).assign(query="observational", node="mRS"),
        histogram(level, levels=3).assign(query="do(age=60)", node="mRS"),
    ]
    return pd.concat(parts, ignore_index=True)


def panels(figure: Figure) -> list[plt.Axes]:
    return [axis for axis in figure.axes if axis.axison]


@pytest.mark.parametrize("with_truth", [True, False])
def test_marginals_have_a_panel_per_free_node(densities: pd.DataFrame, with_truth: bool) -> None:
    figure = draw_marginals(
        runs(densities),
        densities if with_truth else None,
        titles=TITLES,
        units=UNITS,
        levels={"mRS": 3},
    )
    assert len(panels(figure)) == 3
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert ("truth" in labels) is with_truth


def test_axes_name_their_units(densities: pd.DataFrame) -> None:
    only = densities[densities["query"] == "observational"]
    figure = draw_marginals(runs(only), None, titles=TITLES, units=UNITS, levels={"mRS": 3})
    assert figure.axes[0].get_xlabel() == "age (years)"
    assert figure.axes[0].get_ylabel() == "density"
    assert figure.axes[1].get_ylabel() == "probability"


def test_densities_show_the_last_node_under_each_intervention(densities: pd.DataFrame) -> None:
    figure = draw_densities(runs(densities), densities, titles=TITLES, units=UNITS, ordinal=["mRS"])
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["do(age=60)"]
    assert figure.axes[0].get_xlabel() == "mRS"


def test_a_shift_is_drawn_at_the_level_of_the_truth() -> None:
    x = np.linspace(-1, 1, 21)
    truth = pd.DataFrame({"node": "y", "parent": "age", "value": x, "shift": 2 * x + 5})
    figure = draw_shift_curves(
        runs(truth.assign(shift=2 * x)), truth, titles=TITLES, units=UNITS, ordinal=[]
    )
    for line in figure.axes[0].lines:
        assert line.get_ydata() == pytest.approx(2 * x + 5)


def test_counterfactual_curves_mark_the_observation() -> None:
    curve = pd.DataFrame(
        {"curve": "y had age been", "node": "y", "intervene": "age", "set_to": [0.0, 1.0]}
    ).assign(value=[1.0, 3.0])
    figure = draw_counterfactuals(
        runs(curve), curve, titles=TITLES, units=UNITS, observed=[{"age": 0.5, "y": 2.0}]
    )
    star = figure.axes[0].lines[-1]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (0.5, 2.0)


def test_every_seed_of_an_effect_is_a_point() -> None:
    effects = pd.DataFrame(
        {
            "effect": "T on mRS <= 2",
            "population": "trial rows",
            "quantity": ["P0", "P1", "ATE"],
            "value": [0.5, 0.6, 0.1],
            "lower": [0.4, 0.5, np.nan],
            "upper": [0.6, 0.7, np.nan],
        }
    )
    asked = {"treatment": "T", "outcome": "mRS", "at_most": 2}
    figure = draw_effects(runs(effects), effects, titles=TITLES, effect=asked)
    lines = figure.axes[1].lines
    points = [line for line in lines if line.get_marker() in ("o", "s")]
    assert [len(line.get_xdata()) for line in points] == [2, 2]
    # the bar at the mean comes after the points of its model, or they would hide it
    first, second = (lines.index(line) for line in points)
    assert all(line.get_marker() == "|" for line in lines[first + 1 : second])
    assert lines[second - 1].get_color() == "black"


def test_a_trajectory_runs_towards_the_truth() -> None:
    steps = pd.DataFrame({"node": "y", "parent": "age", "epoch": range(1, 4)}).assign(
        level=np.nan, estimate=[0.1, 0.3, 0.4]
    )
    truth = pd.DataFrame(
        {"node": ["y"], "parameter": ["shift"], "parent": ["age"], "level": [np.nan]}
    ).assign(truth=0.5)
    nothing = pd.DataFrame(columns=["model", "seed", *steps, "std_error", "lower", "upper"])
    figure = draw_trajectories(runs(steps), nothing, truth, titles=TITLES)
    *lines, dashed = figure.axes[0].lines
    assert len(lines) == 4
    assert list(dashed.get_ydata()) == [0.5, 0.5]
    assert figure.axes[0].get_title(loc="left") == "age on y"


def test_the_maximum_of_the_likelihood_is_that_of_the_median_seed() -> None:
    steps = pd.DataFrame({"node": "y", "parent": "age", "level": np.nan, "epoch": [1, 2]})
    ends = {0: 0.9, 1: 0.5, 2: 0.4}
    trajectories = pd.concat(
        [steps.assign(model="cs", seed=s, estimate=[0.1, end]) for s, end in ends.items()]
    )
    exact = pd.DataFrame({"model": "ls", "seed": [0, 1, 2], "node": "y", "parent": "age"}).assign(
        level=np.nan, estimate=[0.8, 0.6, 0.3], std_error=0.1, lower=0.2, upper=0.7
    )
    figure = draw_trajectories(trajectories, exact, None, titles=TITLES)
    *lines, maximum = figure.axes[0].lines
    assert [line.get_ydata()[-1] for line in lines] == [0.9, 0.4, 0.5]
    assert list(maximum.get_ydata()) == [0.6, 0.6]
    (band,) = figure.axes[0].patches
    assert (band.get_y(), band.get_height()) == pytest.approx((0.2, 0.5))


def test_mechanisms_show_the_graph_the_laws_and_the_shifts() -> None:
    x = np.linspace(-1, 1, 11)
    law = pd.DataFrame({"node": "y", "given": "age = 1", "value": x, "log_odds": 2 * x})
    shift = pd.DataFrame({"node": "y", "parent": "age", "value": x, "shift": 0.5 * x})
    summary = pd.DataFrame({"node": ["y"], "parent": ["age"], "level": [""], "estimate": [0.5]})
    summary = summary.assign(odds_ratio=np.exp(0.5), status="ok")
    spec = {"age": {"kind": "continuous"}, "y": {"kind": "continuous", "parents": {"age": "ls"}}}
    figure = draw_mechanisms(
        runs(law),
        runs(shift),
        runs(summary),
        {"conditionals": law.assign(value=3 * x, log_odds=6 * x), "shifts": shift},
        spec=spec,
        titles=TITLES,
        units=UNITS,
    )
    by_label = {axis.get_xlabel(): axis for axis in figure.axes}
    assert by_label["y"].get_title(loc="left") == "h of y, age = 1"
    *fits, truth = by_label["y"].lines
    for line in fits:
        assert list(line.get_ydata()) == pytest.approx(list(2 * x))
    # the truth is drawn where the fitted laws are, and no further
    assert max(truth.get_xdata()) <= by_label["y"].get_xlim()[1] < 3
    assert by_label["age (years)"].get_ylabel() == "shift of y by age (log odds)"
    texts = {text.get_text() for axis in figure.axes for text in axis.texts}
    assert any("1.65" in text for text in texts)


def test_models_differ_by_colour_by_line_and_by_marker() -> None:
    found = list(looks({f"m{i}": str(i) for i in range(6)}).values())
    for aspect in ("colour", "line", "marker"):
        assert len({getattr(look, aspect) for look in found}) == 6


def test_a_figure_is_written_in_both_formats_and_twice_the_same(
    tmp_path: Path, densities: pd.DataFrame
) -> None:
    written = []
    for name in ("a", "b"):
        figure = draw_densities(runs(densities), None, titles=TITLES, units=UNITS, ordinal=["mRS"])
        png, pdf = (tmp_path / f"{name}.{suffix}" for suffix in ("png", "pdf"))
        save_figure(figure, png=str(png), pdf=str(pdf))
        written.append((png.read_bytes(), pdf.read_bytes()))
    assert written[0] == written[1]
