"""The figure of forecasts: which bins of which seed are drawn, and as what."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from replication.figures_forecasts import FEWEST, draw_forecasts

TITLES = {"ls": "all linear", "cs": "complex shift"}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def seed_bins(seed: int, model: str, gap: float) -> pd.DataFrame:
    """Three bins, the second of which is too small; only the first seed has the last one."""
    table = pd.DataFrame(
        {"bin": [1, 4, 8], "rows": [200, FEWEST - 1, FEWEST], "predicted": [0.1, 0.4, 0.8]}
    )
    table = table.assign(observed=table["predicted"] + gap, mc_error=0.02, node="y", at_most=1)
    table = table.assign(model=model, seed=seed, forecast="counterfactual pmf", query="do(x=0)")
    return table if seed == 0 else table.head(2)


@pytest.fixture
def calibration() -> pd.DataFrame:
    parts = [seed_bins(0, "ls", 0.05)]
    parts += [seed_bins(seed, "cs", gap) for seed, gap in enumerate((0.2, -0.1, 0.0))]
    truth = seed_bins(0, "ls", 0.01).assign(forecast="true counterfactual pmf")
    table = pd.concat([*parts, truth], ignore_index=True)
    other = table.assign(query="do(x=1)")
    unasked = table.assign(at_most=0, observed=0.99)
    return pd.concat([table, other, unasked], ignore_index=True)


def points(axis: Axes) -> list[PathCollection]:
    return [own for own in axis.collections if isinstance(own, PathCollection)]


def drawn(calibration: pd.DataFrame) -> Figure:
    return draw_forecasts(calibration, titles=TITLES, at_most={"y": 1})


def test_a_row_is_a_model_and_a_column_an_intervention(calibration: pd.DataFrame) -> None:
    figure = drawn(calibration)
    assert len(figure.axes) == 4
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["all linear", "", "complex shift, 3 seeds", ""]
    assert [axis.texts[0].get_text() for axis in figure.axes] == ["do(x=0)", "do(x=1)"] * 2
    assert all(axis.get_aspect() == 1 for axis in figure.axes)


def test_the_median_seed_is_filled_and_bins_of_few_rows_are_left_out(
    calibration: pd.DataFrame,
) -> None:
    seeds = points(drawn(calibration).axes[2])
    found = [np.asarray(own.get_offsets()).tolist() for own in seeds]
    # gaps of 0.2, -0.1 and 0: the last one is in the middle, and comes after the others
    assert found[0] == [pytest.approx([0.1, 0.3]), pytest.approx([0.8, 1.0])]
    assert found[1] == [pytest.approx([0.1, 0.0])]
    assert found[2] == [pytest.approx([0.1, 0.1])]
    assert [len(own.get_facecolor()) > 0 for own in seeds] == [False, False, True]
    assert [own.get_alpha() for own in seeds] == [0.4, 0.4, 1.0]


def test_bars_are_two_standard_errors_of_the_truth_and_of_the_median_seed(
    calibration: pd.DataFrame,
) -> None:
    bars = [
        own for own in drawn(calibration).axes[0].collections if isinstance(own, LineCollection)
    ]
    truth, model = ([segment[:, 1].tolist() for segment in own.get_segments()] for own in bars)
    assert truth == [pytest.approx([0.07, 0.15]), pytest.approx([0.77, 0.85])]
    assert model == [pytest.approx([0.11, 0.19]), pytest.approx([0.81, 0.89])]


def test_the_legend_says_what_is_left_out_and_names_no_seeds_of_one(
    calibration: pd.DataFrame,
) -> None:
    every = [text.get_text() for text in drawn(calibration).legends[0].get_texts()]
    assert "bin of another seed" in every
    assert f"bins of fewer than {FEWEST} rows are left out" in every
    one = drawn(calibration[calibration["seed"] == 0])
    assert not any("seed" in text.get_text() for text in one.legends[0].get_texts())
