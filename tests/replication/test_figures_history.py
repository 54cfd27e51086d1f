"""The figure of losses: which runs are drawn, how strong, and where."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from replication.figures_history import EARLY, draw_history

TITLES = {"ls": "all linear", "cs": "complex shift", "ci": "complex intercept"}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def run(model: str, seed: int, node: str, *, epochs: int = 100) -> pd.DataFrame:
    """A loss that falls steeply; the levels of the seeds 0, 1, 2 are 2, 0, 1."""
    epoch = np.arange(1, epochs + 1)
    loss = [2.0, 0.0, 1.0][seed] + 50 * np.exp(-epoch)
    table = pd.DataFrame({"epoch": epoch, "train": loss - 0.5, "validation": loss})
    if epochs == 1:
        table["validation"] = np.nan
    return table.assign(model=model, seed=seed, node=node)


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    """Of a before b before c, nothing trains in ls, c in cs, all of them in ci."""
    lengths = {"ls": (1, 1, 1), "cs": (1, 1, 100), "ci": (100, 50, 100)}
    parts = [
        run(model, seed, node, epochs=epochs)
        for model in TITLES
        for seed in range(3)
        for node, epochs in zip("abc", lengths[model], strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def grid(figure: Figure) -> list[list[Axes]]:
    axes = figure.axes
    return [axes[i : i + 3] for i in range(0, len(axes), 3)]


def test_a_row_is_a_model_and_a_column_a_node_in_the_order_of_the_graph(
    history: pd.DataFrame,
) -> None:
    rows = grid(draw_history(history, titles=TITLES))
    assert [row[0].get_title(loc="left") for row in rows] == [
        "complex shift, 3 seeds",
        "complex intercept, 3 seeds",
    ]
    assert [[axis.axison for axis in row] for row in rows] == [[False, False, True], [True] * 3]
    assert [axis.get_ylabel() for axis in rows[1]] == [
        f"loss of {node}\n(nats per row)" for node in "abc"
    ]
    assert [text.get_text() for axis in rows[0] for text in axis.texts] == [
        "a: solved exactly",
        "b: solved exactly",
    ]


def test_a_node_that_no_model_trains_has_no_column(history: pd.DataFrame) -> None:
    figure = draw_history(history[history["model"] != "ci"], titles=TITLES)
    assert [axis.get_ylabel() for axis in figure.axes] == ["loss of c\n(nats per row)"]


def test_the_median_seed_is_strong_and_the_only_one_with_its_training(
    history: pd.DataFrame,
) -> None:
    axis = grid(draw_history(history, titles=TITLES))[1][0]
    *pale, strong, training = axis.lines
    own = history[(history["model"] == "ci") & (history["node"] == "a")].set_index("seed")
    for line, seed, column in (
        (pale[0], 0, "validation"),
        (pale[1], 1, "validation"),
        (strong, 2, "validation"),
        (training, 2, "train"),
    ):
        assert list(line.get_ydata()) == list(own.loc[seed, column])
    assert all(line.get_alpha() < 0.5 and line.get_linewidth() < 1 for line in pale)
    assert (strong.get_alpha(), training.get_linestyle()) == (1.0, "--")


def test_the_panels_of_a_node_share_the_losses_without_the_steep_beginning(
    history: pd.DataFrame,
) -> None:
    rows = grid(draw_history(history, titles=TITLES))
    assert rows[0][2].get_ylim() == rows[1][2].get_ylim()
    late = history[(history["node"] == "c") & (history["epoch"] > 100 * EARLY)]
    top = late["validation"].max()
    assert top < rows[0][2].get_ylim()[1] < 1.2 * top


def test_the_epochs_of_a_panel_are_those_of_its_model(history: pd.DataFrame) -> None:
    short = history[(history["model"] != "ci") | (history["epoch"] <= 10)]
    long, few = (row[2] for row in grid(draw_history(short, titles=TITLES)))
    assert (long.get_xlim()[1], few.get_xlim()[1]) == pytest.approx((103, 10.3))


def test_one_seed_is_no_median(history: pd.DataFrame) -> None:
    figure = draw_history(history[history["seed"] == 0], titles=TITLES)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "validation",
        "training",
        "where no rows are held out,\nvalidation is on the training rows",
    ]
    assert grid(figure)[1][0].get_title(loc="left") == "complex intercept"
