"""Legends lie inside the page that is saved, in every figure and however narrow it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from replication.figures import draw_densities, draw_marginals
from replication.figures_calibration import draw_calibration
from replication.figures_coverage import draw_coverage
from replication.figures_curves import draw_counterfactuals, draw_shift_curves
from replication.figures_effects import draw_effects
from replication.figures_fits import draw_dag, draw_forest
from replication.figures_forecasts import draw_forecasts
from replication.figures_history import draw_history
from replication.figures_monte_carlo import draw_monte_carlo
from replication.figures_pairs import draw_pairs
from replication.figures_training import draw_trajectories
from replication.metrics import histogram
from replication.questions import joint_rows
from replication.style import TRUTH, axis_label, new_figure

TITLES = {"ls": "all linear shifts", "steps": "all linear shifts, trained by small steps"}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def runs(table: pd.DataFrame) -> pd.DataFrame:
    parts = [table.assign(model=model, seed=seed) for model in TITLES for seed in (0, 1)]
    return pd.concat(parts, ignore_index=True)


def nodes(panels: int) -> list[str]:
    return ["y", "z"][:panels]


def laws(panels: int, query: str) -> pd.DataFrame:
    values = np.random.default_rng(1).normal(size=300)
    each = [histogram(values, bins=10).assign(query=query, node=node) for node in nodes(panels)]
    return pd.concat(each, ignore_index=True)


def marginals(panels: int) -> Figure:
    table = laws(panels, "observational")
    return draw_marginals(runs(table), table, titles=TITLES, units={}, levels={})


def densities(panels: int) -> Figure:
    table = pd.concat([laws(1, f"do(x={i})") for i in range(panels)], ignore_index=True)
    return draw_densities(runs(table), table, titles=TITLES, units={}, ordinal=[])


def pairs(panels: int) -> Figure:
    names = [*nodes(panels), "w"]
    values = np.random.default_rng(2).normal(size=(60, len(names)))
    samples = joint_rows(pd.DataFrame(values, columns=names), 50)
    parts = [
        histogram(values[:, i], bins=10).assign(query="observational", node=name)
        for i, name in enumerate(names)
    ]
    table = pd.concat(parts, ignore_index=True)
    return draw_pairs(
        *(runs(samples), samples, runs(table), table),
        titles=TITLES,
        units={},
    )


def shift_curves(panels: int) -> Figure:
    parts = [
        pd.DataFrame({"node": node, "parent": "x", "value": [0.0, 1.0], "shift": [0.0, 2.0]})
        for node in nodes(panels)
    ]
    table = pd.concat(parts, ignore_index=True)
    return draw_shift_curves(runs(table), table, titles=TITLES, units={}, ordinal=[])


def counterfactuals(panels: int) -> Figure:
    parts = [
        pd.DataFrame({"curve": node, "node": node, "intervene": "x", "set_to": [0.0, 1.0]})
        for node in nodes(panels)
    ]
    table = pd.concat(parts, ignore_index=True).assign(value=1.0)
    rows = [{"x": 0.5, "y": 1.0, "z": 1.0}] * panels
    return draw_counterfactuals(runs(table), table, titles=TITLES, units={}, observed=rows)


def history(panels: int) -> Figure:
    parts = [pd.DataFrame({"node": node, "epoch": range(1, 30)}) for node in nodes(panels)]
    table = pd.concat(parts, ignore_index=True).assign(train=1.0, validation=1.1)
    return draw_history(runs(table), titles=TITLES)


def trajectories(panels: int) -> Figure:
    parts = [pd.DataFrame({"node": node, "epoch": range(1, 4)}) for node in nodes(panels)]
    table = pd.concat(parts, ignore_index=True).assign(parent="x", level=np.nan, estimate=0.3)
    truth = pd.DataFrame({"node": nodes(panels), "parameter": "shift", "parent": "x"})
    exact = pd.DataFrame({"model": "exact", "seed": 0, "node": nodes(panels), "parent": "x"})
    exact = exact.assign(level=np.nan, estimate=0.3, std_error=0.1, lower=0.1, upper=0.5)
    return draw_trajectories(
        runs(table), exact, truth.assign(level=np.nan, truth=0.5), titles=TITLES
    )


def effects(panels: int) -> Figure:
    rows = {"effect": "T on y <= 2", "population": "trial rows", "quantity": ["P0", "P1", "ATE"]}
    table = pd.DataFrame({**rows, "value": [0.5, 0.6, 0.1]}).assign(lower=0.05, upper=0.7)
    naive = table.head(1).assign(quantity="naive contrast", population="law", value=3.0)
    asked = {"treatment": "T", "outcome": "y", "at_most": 2}
    return draw_effects(runs(table), pd.concat([table, naive]), titles=TITLES, effect=asked)


def forecasts(panels: int) -> Figure:
    table = pd.DataFrame(
        {
            "node": "y",
            "at_most": 1,
            "forecast": ["counterfactual pmf"] * 2 + ["true counterfactual pmf"] * 2,
            "bin": [0, 1] * 2,
            "rows": 50,
            "predicted": [0.2, 0.7] * 2,
            "observed": [0.3, 0.6] * 2,
            "mc_error": 0.05,
        }
    )
    table = pd.concat([table.assign(query=f"do(x={i})") for i in range(panels)])
    return draw_forecasts(runs(table), titles=TITLES, at_most={"y": 1})


def coverage(panels: int) -> Figure:
    summary = pd.DataFrame({"node": nodes(panels), "parameter": "shift", "parent": "x"}).assign(
        level=np.nan,
        coverage=0.94,
        lower=0.92,
        upper=0.96,
        truth_source="least false",
        available=400,
        replicates=500,
    )
    return draw_coverage(summary, level=0.95)


SPEC = {"x": {"kind": "continuous"}, "y": {"kind": "ordinal", "levels": 2, "parents": {"x": "ls"}}}


def summary() -> pd.DataFrame:
    row = {"node": "y", "parent": "x", "level": None, "reference": None, "estimate": 0.5}
    interval = {"std_error": 0.1, "lower": 0.3, "upper": 0.7, "status": "separated"}
    ratios = {"odds_ratio": 1.6, "odds_ratio_lower": 1.3, "odds_ratio_upper": 2.0}
    return runs(pd.DataFrame([{**row, **interval, **ratios}]))


def forest(panels: int) -> Figure:
    specs = dict.fromkeys([*TITLES][:panels], SPEC)
    return draw_forest(summary(), titles=TITLES, specs=specs, units={})


def dag(panels: int) -> Figure:
    return draw_dag(summary(), titles=TITLES, specs=dict.fromkeys([*TITLES][:panels], SPEC))


def calibration(panels: int) -> Figure:
    table = pd.DataFrame({"node": "y", "level": range(panels), "bin": 0, "n": 50, "predicted": 0.4})
    table = runs(table.assign(observed=0.45, lower=0.3, upper=0.6))
    return draw_calibration(table, titles=TITLES, nodes=["y"])


def monte_carlo(panels: int) -> Figure:
    values = np.random.default_rng(1).normal(size=30)
    names = [f"v{i}" for i in range(panels)]
    table = pd.concat([runs(pd.DataFrame({"estimate": values})).assign(variant=v) for v in names])
    found = pd.DataFrame([{"variant": v, "model": m} for v in names for m in TITLES])
    found = found.assign(
        truth=0.1,
        mean=0.0,
        bias=-0.1,
        bias_error=0.02,
        sd=1.0,
        sd_error=0.1,
        estimates=30,
        effect="x on y <= 2",
    )
    asked = {"treatment": "x", "outcome": "y", "at_most": 2}
    table = table.assign(effect="x on y <= 2")
    return draw_monte_carlo(table, found, titles=TITLES, effect=asked)


DRAWN: tuple[Callable[[int], Figure], ...] = (
    calibration,
    counterfactuals,
    coverage,
    dag,
    densities,
    effects,
    forecasts,
    forest,
    history,
    marginals,
    monte_carlo,
    pairs,
    shift_curves,
    trajectories,
)


@pytest.mark.parametrize("panels", [1, 2])
@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_the_legend_lies_inside_the_page_and_off_the_panels(
    draw: Callable[[int], Figure], panels: int
) -> None:
    figure = draw(panels)
    figure.draw_without_rendering()
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        # the frame is invisible, what may not be covered is the text in it
        top = max(text.get_window_extent().y1 for text in legend.get_texts())
        panels_shown = [axis for axis in figure.axes if axis.axison]
        assert all(top <= axis.get_tightbbox().y0 for axis in panels_shown)


@pytest.mark.parametrize("draw", [counterfactuals, effects, history, shift_curves, trajectories])
def test_a_legend_names_only_what_is_drawn_in_the_look_in_which_it_is(
    draw: Callable[[int], Figure],
) -> None:
    figure = draw(1)
    drawn = {line.get_color() for axis in figure.axes for line in axis.lines}
    assert {line.get_color() for line in figure.legends[0].get_lines()} <= drawn | {"black", "grey"}


@pytest.mark.parametrize(
    "draw", [counterfactuals, effects, monte_carlo, shift_curves, trajectories]
)
def test_the_truth_is_a_dashed_black_line_and_no_model_is(draw: Callable[[int], Figure]) -> None:
    figure = draw(1)
    named = {line.get_label(): line for line in figure.legends[0].get_lines()}
    look = named.pop("truth")
    assert (look.get_color(), look.get_linestyle()) == (TRUTH["color"], "--")
    drawn = [line for axis in figure.axes for line in axis.lines if looks_like(line, look)]
    assert drawn
    others = [line for axis in figure.axes for line in axis.lines if line not in drawn]
    assert min(line.get_zorder() for line in drawn) > max(
        line.get_zorder() for line in others if line.get_marker() != "*"
    )
    assert not any(looks_like(line, look) for line in named.values())


def looks_like(line: Line2D, other: Line2D) -> bool:
    return (line.get_color(), line.get_linestyle()) == (other.get_color(), other.get_linestyle())


def test_trajectories_of_the_second_model_alone_have_its_look() -> None:
    steps = pd.DataFrame({"node": "y", "parent": "x", "epoch": range(1, 4), "level": np.nan})
    table = steps.assign(estimate=0.3, model="steps", seed=0)
    nothing = pd.DataFrame(columns=["model", "seed", *steps, "std_error"])
    figure = draw_trajectories(table, nothing, None, titles=TITLES)
    (line,), (handle,) = figure.axes[0].lines, figure.legends[0].get_lines()
    assert (handle.get_color(), handle.get_linestyle()) == (line.get_color(), line.get_linestyle())
    assert handle.get_label() == TITLES["steps"]


@pytest.mark.parametrize("name", ["cost [$] of $x$", "a $^$ {b}", "100 % \\ $"])
def test_names_are_drawn_as_they_are(name: str) -> None:
    figure, ((axis,),) = new_figure(1, 1, panel=(3.0, 2.0))
    label = axis.set_xlabel(axis_label(name, {}))
    plain = axis.set_title("cost of x")
    figure.draw_without_rendering()
    assert label.get_text() == name
    assert label.get_parse_math() is plain.get_parse_math() is False
