"""Every picture: the axes it draws into, its greys, the tables it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import tramdag as td
from tramdag import plotting

FUNCTIONS = [
    "calibration_curve",
    "causal_dag",
    "coefficient_forest",
    "odds_ratio_band",
    "residual_qq",
    "shift_curve",
    "transformation_curve",
]
VERBS = {
    "calibration_curve": "flow.calibration()",
    "coefficient_forest": "flow.summary()",
    "odds_ratio_band": "flow.odds_ratio_curve()",
    "shift_curve": "flow.shift_curve()",
    "transformation_curve": "flow.transformation()",
}


def draw(name: str, *arguments: object, **keywords: object) -> Axes:
    function: Callable[..., Axes] = getattr(plotting, name)
    return function(*arguments, **keywords)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_draws_into_the_given_axes_and_returns_it(name: str, tables: dict[str, Any]) -> None:
    _, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
    assert draw(name, tables[name], ax=right) is right
    assert not left.has_data()
    assert right.has_data() or right.texts


@pytest.mark.parametrize("name", FUNCTIONS)
def test_without_axes_it_makes_a_figure(name: str, tables: dict[str, Any]) -> None:
    ax = draw(name, tables[name])
    assert plt.get_fignums() == [ax.get_figure(root=True).number]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_drawn_in_greys(name: str, tables: dict[str, Any]) -> None:
    figure = draw(name, tables[name]).get_figure(root=True)
    assert figure is not None
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)  # type: ignore[attr-defined]
    assert np.ptp(image, axis=2).max() == 0
    assert image.min() < 80


@pytest.mark.parametrize("name", VERBS)
def test_a_missing_column_is_named_with_the_verb_that_makes_it(
    name: str, tables: dict[str, Any]
) -> None:
    table = tables[name]
    column = table.columns[-1] if name != "transformation_curve" else "h"
    with pytest.raises(td.DataError) as caught:
        draw(name, table.drop(columns=column))
    assert repr(column) in str(caught.value)
    assert VERBS[name] in str(caught.value)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", VERBS)
def test_a_table_without_rows_or_no_table_is_refused(name: str, tables: dict[str, Any]) -> None:
    with pytest.raises(td.DataError, match="no rows"):
        draw(name, tables[name].iloc[:0])
    with pytest.raises(td.DataError, match=r"flow\.\w+\(\), got list"):
        draw(name, [1, 2])


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_library_does_not_load_matplotlib() -> None:
    found = python("import sys, tramdag; sys.exit('matplotlib' in sys.modules)")
    assert found.returncode == 0, found.stderr


def test_without_matplotlib_the_message_says_how_to_install_it() -> None:
    found = python("import sys; sys.modules['matplotlib'] = None; import tramdag.plotting")
    assert found.returncode == 1
    assert "ImportError: tramdag.plotting draws with matplotlib" in found.stderr
    assert "pip install 'tramdag-replication[plot]'" in found.stderr
