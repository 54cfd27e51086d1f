"""Figures under names of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt

from replication.config import ConfigError, complete_config
from replication.experiments import load_experiments
from replication.named_figures import NamedFigure, load_named_figures
from replication.style import new_figure, save_figure, save_small

SPEC = {"x1": {"kind": "continuous"}}
ENTRY = {"title": "t", "data": {"process": "vaca", "rows": 1000}, "models": {"m": {"spec": SPEC}}}
CONFIG = {
    "run": {"complete": False},
    "experiments": {
        "one": ENTRY | {"figures": ["marginals"]},
        "other": ENTRY | {"figures": ["marginals", "dag"]},
    },
}


def load(only: list[str] | None = None, **figure: Any) -> dict[str, NamedFigure]:
    entry = {"experiment": "one", "figure": "marginals", "caption": "c"} | figure
    config = complete_config(CONFIG | {"named_figures": {"fig1": entry}, "only": only or []})
    return load_named_figures(config, load_experiments(config))


def test_a_named_figure_is_the_file_of_an_experiment() -> None:
    assert load()["fig1"].file("png") == "<results>/figures/one/marginals.png"


def test_a_run_without_the_experiment_leaves_its_figures_out() -> None:
    assert load(only=["other"]) == {}


def test_an_experiment_that_does_not_draw_the_figure_is_named() -> None:
    with pytest.raises(ConfigError, match="'one' does not draw 'dag'; its figures are marginals"):
        load(figure="dag")


def test_an_unknown_experiment_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'oen' is no experiment.* Did you mean 'one'"):
        load(experiment="oen")


def test_the_figures_of_the_papers_have_their_numbers() -> None:
    plain = Path(__file__).parents[2] / "workflow" / "config" / "figures.yaml"
    for line in plain.read_text(encoding="utf-8").splitlines():
        if line.startswith("  fig"):
            assert line[5:7].isdigit(), line


def test_a_small_copy_keeps_shape_and_colours(tmp_path: Path) -> None:
    figure, ((axis,),) = new_figure(1, 1, panel=(6, 3))
    axis.imshow(np.eye(2), aspect="auto", cmap="gray")
    large, small = tmp_path / "large.png", tmp_path / "small.png"
    save_figure(figure, png=str(large), pdf=str(tmp_path / "large.pdf"))
    save_small(str(large), str(small), width=300)
    before, after = plt.imread(large), plt.imread(small)
    assert after.shape[1] == 300
    assert after.shape[0] / after.shape[1] == pytest.approx(before.shape[0] / before.shape[1], 0.01)
    assert after[..., :3].mean() == pytest.approx(before[..., :3].mean(), abs=0.01)
    assert small.stat().st_size < large.stat().st_size
