"""Pictures show what their tables say, all of it, in grey and without overlapping text."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from scipy import stats

import tramdag as td
from tramdag import plotting
from tramdag.plotting.coefficients import ratio_text

mpl.use("Agg")

DATA = Path(__file__).parents[2] / "data" / "magic-mrclean" / "nl"
UNITS = {"Age": "years", "NIHSSa": "points"}
LS = "ls"
STROKE = {
    "Age": td.ContinuousNode(),
    "mRS_pre": td.OrdinalNode(6, {"Age": LS}),
    "NIHSSa": td.ContinuousNode({"Age": LS, "mRS_pre": LS}),
    "T": td.OrdinalNode(2, {"Age": LS, "mRS_pre": LS, "NIHSSa": LS}),
    "mRS_3m": td.OrdinalNode(7, {"Age": LS, "mRS_pre": LS, "NIHSSa": LS, "T": LS}),
}
PUBLISHED = {
    **STROKE,
    "mRS_pre": td.OrdinalNode(6, {"Age": "ci"}),
    "NIHSSa": td.ContinuousNode({"Age": "ci", "mRS_pre": LS}),
    "T": td.OrdinalNode(2, {"Age": "ci", "mRS_pre": LS, "NIHSSa": "cs"}),
    "mRS_3m": td.OrdinalNode(7, {"Age": "ci", "mRS_pre": LS, "NIHSSa": "cs", "T": LS}),
}
RANDOMISED = {**STROKE, "T": td.OrdinalNode(2, {"mRS_pre": LS, "NIHSSa": LS})}
VARYING = {
    **STROKE,
    "mRS_3m": td.OrdinalNode(
        7, terms=[td.LS("Age"), td.LS("mRS_pre"), td.LS("NIHSSa"), td.VC("T", by="Age")]
    ),
}
PRODUCT = {
    **STROKE,
    "mRS_3m": td.OrdinalNode(
        7, terms=[*STROKE["mRS_3m"].terms, td.LS("T", "Age")]
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return pd.read_csv(DATA / "obs.csv")


@pytest.fixture(scope="module")
def stroke(rows: pd.DataFrame) -> td.CausalFlowDAG:
    return td.CausalFlowDAG(STROKE).fit(rows)


@pytest.fixture(scope="module")
def varying(rows: pd.DataFrame) -> td.CausalFlowDAG:
    return td.CausalFlowDAG(VARYING).fit(rows)


@pytest.fixture(scope="module")
def product(rows: pd.DataFrame) -> td.CausalFlowDAG:
    return td.CausalFlowDAG(PRODUCT).fit(rows)


@pytest.fixture(scope="module")
def tables(
    stroke: td.CausalFlowDAG, varying: td.CausalFlowDAG, rows: pd.DataFrame
) -> dict[str, Any]:
    """What each function draws, from real fits."""
    grid = pd.DataFrame({"NIHSSa": np.linspace(4, 44, 81), "Age": 70.0, "mRS_pre": 0})
    return {
        "coefficient_forest": stroke.summary(),
        "odds_ratio_band": varying.odds_ratio_curve("mRS_3m", "T", "Age", np.linspace(45, 95, 51)),
        "transformation_curve": stroke.transformation(grid, "NIHSSa"),
        "shift_curve": stroke.shift_curve("mRS_3m", "mRS_pre", range(6)),
        "residual_qq": stroke.residuals(rows)["NIHSSa"],
        "calibration_curve": stroke.calibration(rows, "mRS_3m"),
        "causal_dag": stroke.spec,
    }


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


def by_id(ax: Axes, gid: str) -> list[Any]:
    return [artist for artist in ax.findobj(Artist) if artist.get_gid() == gid]


def points(ax: Axes, gid: str) -> np.ndarray:
    """The points of all lines of that name, a row each."""
    return np.concatenate([np.stack(line.get_data(), 1) for line in by_id(ax, gid)])


def boxes_of(texts: list[Text]) -> dict[str, Bbox]:
    """The boxes of texts on the page once everything is laid out."""
    figure = texts[0].get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    return {f"{i}:{t.get_text()}": Text.get_window_extent(t) for i, t in enumerate(texts)}


def overlaps(texts: list[Text]) -> list[tuple[str, str]]:
    boxes = boxes_of(texts)
    return [(a, b) for a, b in combinations(boxes, 2) if boxes[a].overlaps(boxes[b])]


def visible_texts(ax: Axes) -> list[Text]:
    # ticks get their texts when they are drawn
    ax.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
    return [text for text in ax.findobj(Text) if text.get_text() and text.get_visible()]


# --- every picture -------------------------------------------------------------------------------


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


# --- coefficients --------------------------------------------------------------------------------


def test_the_forest_draws_every_estimate_and_interval(tables: dict[str, Any]) -> None:
    table = tables["coefficient_forest"]
    ax = plotting.coefficient_forest(table, spec=STROKE, units=UNITS)
    np.testing.assert_array_equal(points(ax, "estimate")[:, 0], table["odds_ratio"])
    ends = points(ax, "interval")[:, 0].reshape(-1, 2)
    np.testing.assert_array_equal(ends, table[["odds_ratio_lower", "odds_ratio_upper"]])
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "odds ratio with 95 % intervals, log scale"


def row_names(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def test_the_forest_names_units_reference_levels_and_odds(tables: dict[str, Any]) -> None:
    ax = plotting.coefficient_forest(tables["coefficient_forest"], spec=STROKE, units=UNITS)
    names = row_names(ax)
    assert names[:4] == ["odds of mRS_pre > k", "Age (years)", "odds of NIHSSa ≤ x", "Age (years)"]
    assert "mRS_pre 5 vs 0" in names
    assert "odds of T = 1" in names
    assert names[-1] == "T 1 vs 0"


def test_the_row_of_a_name_is_the_row_of_its_estimate(tables: dict[str, Any]) -> None:
    table = tables["coefficient_forest"]
    ax = plotting.coefficient_forest(table.query("node == 'mRS_3m'"))
    at = dict(zip(row_names(ax), ax.get_yticks(), strict=True))
    x, y = points(ax, "estimate")[-1]
    assert y == at["T 1 vs 0"]
    assert x == table["odds_ratio"].iloc[-1]


def test_a_colon_in_a_name_makes_no_product(tables: dict[str, Any]) -> None:
    table = tables["coefficient_forest"].query("node == 'mRS_3m'")
    named = table.assign(parent=table["parent"].replace({"T": "T: lysis", "Age": "Age: y"}))
    names = row_names(plotting.coefficient_forest(named))
    assert names[1] == "Age: y"
    assert names[-1] == "T: lysis 1 vs 0"


def test_a_product_of_a_name_with_a_colon_is_told_by_the_specification() -> None:
    spec = {name: td.ContinuousNode() for name in ("age", "sex: m", "y")}
    row = {"node": "y", "reference": 0, "status": "ok"}
    ratios = {"odds_ratio": 2.0, "odds_ratio_lower": 1.0, "odds_ratio_upper": 4.0}
    rows = [("age", pd.NA), ("sex: m", 1), ("sex: m:age", "1:-")]
    table = pd.DataFrame([row | ratios | {"parent": p, "level": x} for p, x in rows])
    expected = ["age, at sex: m 0", "sex: m 1 vs 0, at age 0", "sex: m 1 vs 0 × age"]
    assert row_names(plotting.coefficient_forest(table, spec=spec))[1:] == expected
    assert row_names(plotting.coefficient_forest(table))[1:] == expected
    alone = row_names(plotting.coefficient_forest(table.iloc[2:]))
    assert alone[1:] == ["sex: m:age [1:-]"]


def test_a_stored_table_gives_the_same_forest(tables: dict[str, Any], tmp_path: Path) -> None:
    table = tables["coefficient_forest"]
    table.to_csv(tmp_path / "summary.csv", index=False)
    stored = plotting.coefficient_forest(pd.read_csv(tmp_path / "summary.csv"))
    fresh = plotting.coefficient_forest(table)
    assert row_names(stored) == row_names(fresh)
    np.testing.assert_array_equal(points(stored, "estimate"), points(fresh, "estimate"))


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "0"),
        (3.2e-7, "3.2×10⁻⁷"),
        (0.00123, "0.0012"),
        (0.0949, "0.095"),
        (0.0951, "0.10"),
        (1.0, "1.00"),
        (99.61, "99.61"),
        (99.999, "100"),
        (112.4, "112"),
        (999.9, "1000"),
        (45678.0, "45700"),
        (2.346e8, "2.35×10⁸"),
    ],
)
def test_odds_ratios_are_printed_in_plain_digits(ratio: float, text: str) -> None:
    assert ratio_text(ratio) == text


def test_a_long_logarithmic_axis_is_marked_in_plain_numbers(tables: dict[str, Any]) -> None:
    table = tables["coefficient_forest"].query("node == 'mRS_3m'").iloc[-1:]
    ax = plotting.coefficient_forest(table.assign(odds_ratio_upper=3e8, odds_ratio_lower=2e-3))
    ax.figure.canvas.draw()
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert not any("e" in name for name in names)
    assert {"1000", "10⁷"} <= set(names)
    assert any("(0.0020 to 3.00×10⁸)" in text.get_text() for text in ax.texts)


def test_an_odds_ratio_per_ten_units_is_that_of_ten_times_the_coefficient(
    tables: dict[str, Any],
) -> None:
    table = tables["coefficient_forest"].query("node == 'mRS_3m'")
    ax = plotting.coefficient_forest(table, units=UNITS, per={"Age": 10})
    assert row_names(ax)[1] == "Age (per 10 years)"
    age = table.iloc[0]
    assert points(ax, "estimate")[0, 0] == pytest.approx(np.exp(10 * age["estimate"]))
    ends = points(ax, "interval")[:2, 0]
    np.testing.assert_allclose(ends, np.exp(10 * age[["lower", "upper"]].astype(float)))
    np.testing.assert_array_equal(points(ax, "estimate")[1:, 0], table["odds_ratio"][1:])
    with pytest.raises(td.DataError, match=r"'mRS_pre'.*continuous parents are 'Age', 'NIHSSa'"):
        plotting.coefficient_forest(table, per={"mRS_pre": 2})


def test_a_main_effect_beside_its_product_says_where_it_holds(product: td.CausalFlowDAG) -> None:
    names = row_names(plotting.coefficient_forest(product.summary("mRS_3m"), units=UNITS))
    assert "T 1 vs 0, at Age 0" in names
    assert "Age (years), at T 0" in names
    assert "T 1 vs 0 × Age" in names


def test_the_level_of_the_intervals_is_read_off_the_table(stroke: td.CausalFlowDAG) -> None:
    ax = plotting.coefficient_forest(stroke.summary("T", level=0.9))
    assert "90 % intervals" in ax.get_xlabel()


@pytest.fixture(scope="module")
def separated() -> td.CausalFlowDAG:
    """Level 2 of g sees y = 1 only; the level 3 of g never occurs."""
    rng = np.random.default_rng(5)
    g = np.repeat([0, 1, 2], 60)
    y = np.where(g == 2, 1, rng.integers(0, 2, 180))
    spec = {"g": td.OrdinalNode(4), "y": td.OrdinalNode(2, {"g": LS})}
    with pytest.warns(td.SeparationWarning), pytest.warns(td.ConvergenceWarning):
        return td.CausalFlowDAG(spec).fit(pd.DataFrame({"g": g, "y": y}))


def notes(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts if isinstance(text, Annotation)]


def test_coefficients_without_an_error_are_drawn_open_and_explained(
    separated: td.CausalFlowDAG,
) -> None:
    table = separated.summary("y")
    assert list(table["status"]) == ["ok", "separated", "not estimable"]
    ax = plotting.coefficient_forest(table)
    fine, runs, held = by_id(ax, "estimate")
    assert fine.get_markerfacecolor() == "black"
    assert runs.get_markerfacecolor() == held.get_markerfacecolor() == "white"
    assert runs.get_marker() == ">"
    assert runs.get_xdata()[0] == ax.get_xlim()[1]
    assert held.get_xdata()[0] == 1.0
    assert notes(ax)[1:] == ["separated: runs to infinity, no interval", "not estimable"]
    # a separated estimate of exp(20) must not squeeze the others
    assert ax.get_xlim()[1] < 10


def test_an_undetermined_coefficient_is_named_and_not_drawn(separated: td.CausalFlowDAG) -> None:
    table = separated.summary("y")
    table.loc[1, "status"] = "undetermined"
    table.loc[1, ["estimate", "odds_ratio"]] = math.nan
    ax = plotting.coefficient_forest(table)
    assert len(by_id(ax, "estimate")) == 2
    assert notes(ax)[1] == "undetermined"
    labels = labels_of(plotting.causal_dag(separated.spec, table.iloc[1:2]), dict(separated.spec))
    assert labels["g", "y"].get_text() == "ls\nundetermined"


def test_a_one_sided_interval_ends_in_an_arrow(separated: td.CausalFlowDAG) -> None:
    table = separated.summary("y")
    lower, upper = separated.confidence_interval("y", "g=2", method="profile")
    assert math.isinf(upper)
    row = table.index[table["status"] == "separated"]
    table.loc[row, ["odds_ratio_lower", "odds_ratio_upper"]] = math.exp(lower), math.inf
    ax = plotting.coefficient_forest(table)
    (arrow,) = by_id(ax, "open end")
    assert (arrow.get_marker(), arrow.get_xdata()[0]) == (">", ax.get_xlim()[1])
    ends = points(ax, "interval")[2:, 0]
    assert ends == pytest.approx([math.exp(lower), ax.get_xlim()[1]])
    assert notes(ax)[1] == f"infinity ({math.exp(lower):.2f} to infinity), separated"


@pytest.mark.parametrize("name", ["stroke", "product", "varying", "separated"])
def test_no_text_of_a_forest_overlaps_another(name: str, request: pytest.FixtureRequest) -> None:
    flow = request.getfixturevalue(name)
    ax = plotting.coefficient_forest(flow.summary(), spec=flow.spec, units=UNITS)
    assert overlaps(visible_texts(ax)) == []


# --- curves --------------------------------------------------------------------------------------


def edges_of(ax: Axes, gid: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edge of a filled band at its values in turn."""
    (band,) = by_id(ax, gid)
    vertices = pd.DataFrame(band.get_paths()[0].vertices, columns=["x", "y"]).groupby("x")["y"]
    return vertices.min().to_numpy(), vertices.max().to_numpy()


def test_the_odds_ratio_curve_has_both_bands(tables: dict[str, Any]) -> None:
    table = tables["odds_ratio_band"]
    ax = plotting.odds_ratio_band(table.sample(frac=1, random_state=1), units=UNITS)
    np.testing.assert_array_equal(points(ax, "curve"), table[["Age", "odds_ratio"]])
    for gid, lower, upper in (
        ("pointwise", "lower", "upper"),
        ("simultaneous", "simultaneous_lower", "simultaneous_upper"),
    ):
        low, high = edges_of(ax, gid)
        np.testing.assert_array_equal(low, table[lower])
        np.testing.assert_array_equal(high, table[upper])
    greys = {
        gid: to_rgba(by_id(ax, gid)[0].get_facecolor()[0])[0]
        for gid in ("pointwise", "simultaneous")
    }
    assert greys["simultaneous"] - greys["pointwise"] > 0.2
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["odds ratio", "95 % pointwise band", "95 % simultaneous band"]
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel() == "Age (years)"
    assert any(list(line.get_ydata()) == [1.0, 1.0] for line in ax.lines)


def test_a_curve_by_a_network_says_that_it_has_no_band(tables: dict[str, Any]) -> None:
    bands = ["std_error", "lower", "upper", "simultaneous_lower", "simultaneous_upper"]
    ax = plotting.odds_ratio_band(tables["odds_ratio_band"].assign(**dict.fromkeys(bands, np.nan)))
    assert by_id(ax, "pointwise") == []
    assert "no band" in ax.get_legend().get_texts()[0].get_text()


def test_the_transformation_marks_where_it_extrapolates(tables: dict[str, Any]) -> None:
    table = tables["transformation_curve"]
    ax = plotting.transformation_curve(
        table, node="NIHSSa", units=UNITS, training_range=(6.2, 41.0)
    )
    np.testing.assert_array_equal(points(ax, "curve"), table[["x", "h"]])
    widths = [
        (patch.get_x(), patch.get_x() + patch.get_width()) for patch in by_id(ax, "extrapolated")
    ]
    assert widths == [pytest.approx((4.0, 6.2)), pytest.approx((41.0, 44.0))]
    assert ax.get_xlabel() == "NIHSSa (points)"
    assert ax.get_ylabel() == "h(NIHSSa), log odds scale"


def test_a_second_transformation_has_another_line(tables: dict[str, Any]) -> None:
    table = tables["transformation_curve"]
    ax = plotting.transformation_curve(table, label="Age 60")
    plotting.transformation_curve(table.assign(h=table["h"] + 1), label="Age 80", ax=ax)
    first, second = by_id(ax, "curve")
    assert first.get_linestyle() != second.get_linestyle()
    assert len(ax.get_legend().get_texts()) == 2


def test_rows_that_mix_parents_are_no_transformation() -> None:
    x = np.linspace(0, 1, 20)
    table = pd.DataFrame({"x": x, "h": x + np.where(np.arange(20) % 2, 0.0, 1.0)})
    with pytest.raises(td.DataError, match=r"h falls .* the rows mix several values"):
        plotting.transformation_curve(table)
    assert plt.get_fignums() == []


def test_the_truth_of_a_shift_is_moved_by_a_constant() -> None:
    value = np.linspace(-1, 1, 41)
    table = pd.DataFrame({"value": value, "shift": 2 * value})
    wide = np.linspace(-2, 2, 81)
    truth = pd.DataFrame({"value": wide, "shift": 2 * wide + 7})
    ax = plotting.shift_curve(table, node="y", parent="Age", units=UNITS, truth=truth)
    np.testing.assert_array_equal(points(ax, "curve"), table)
    np.testing.assert_allclose(points(ax, "truth"), np.stack([wide, 2 * wide], 1), atol=1e-12)
    assert ax.get_xlabel() == "Age (years)"
    with pytest.raises(td.DataError, match=r"truth covers -0\.5 to 0\.5, the table -1 to 1"):
        plotting.shift_curve(table, truth=truth.query("value.abs() <= 0.5"))


def test_levels_of_an_ordinal_parent_are_marked(tables: dict[str, Any]) -> None:
    (line,) = by_id(plotting.shift_curve(tables["shift_curve"]), "curve")
    assert line.get_marker() == "o"
    assert list(line.get_xdata()) == [0, 1, 2, 3, 4, 5]


# --- checks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 17, 400])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_pointwise_envelope_is_exact(n: int, level: float) -> None:
    lower, upper = (stats.logistic.cdf(e) for e in plotting.residual_envelope(
        n, kind="pointwise", level=level
    ))  # fmt: skip
    i = np.arange(1, n + 1)
    # the i-th smallest is below u if at least i of n are: no beta law involved
    above = stats.binom.sf(i - 1, n, upper)
    below = stats.binom.sf(i - 1, n, lower)
    np.testing.assert_allclose(above - below, level, atol=1e-9)
    np.testing.assert_allclose(below, (1 - level) / 2, atol=1e-9)


@pytest.mark.parametrize("n", [5, 60])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_simultaneous_envelope_holds_all_points_as_often_as_it_says(
    n: int, level: float
) -> None:
    lower, upper = plotting.residual_envelope(n, kind="simultaneous", level=level)
    draws = np.sort(np.random.default_rng(8).logistic(size=(20_000, n)), axis=1)
    inside = ((draws >= lower) & (draws <= upper)).all(1).mean()
    assert inside == pytest.approx(level, abs=5 * np.sqrt(level * (1 - level) / 20_000))
    pointwise = plotting.residual_envelope(n, kind="pointwise", level=level)
    together = ((draws >= pointwise[0]) & (draws <= pointwise[1])).all(1).mean()
    assert together < level - 0.1, "a pointwise envelope must not pass for a simultaneous one"


def test_the_qq_plot_draws_the_sorted_residuals_and_both_envelopes(
    tables: dict[str, Any],
) -> None:
    residuals = tables["residual_qq"].iloc[:200]
    ax = plotting.residual_qq(residuals, node="NIHSSa", level=0.9)
    expected = stats.logistic.ppf((np.arange(200) + 0.5) / 200)
    drawn = points(ax, "residuals")
    np.testing.assert_allclose(drawn[:, 0], expected)
    np.testing.assert_array_equal(drawn[:, 1], np.sort(residuals))
    np.testing.assert_array_equal(
        edges_of(ax, "pointwise"), plotting.residual_envelope(200, kind="pointwise", level=0.9)
    )
    simultaneous = plotting.residual_envelope(200, kind="simultaneous", level=0.9)
    for line, bound in zip(by_id(ax, "simultaneous"), simultaneous, strict=True):
        known = np.isfinite(bound)
        np.testing.assert_array_equal(line.get_ydata()[known], bound[known])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["residuals", "90 % simultaneous envelope", "90 % pointwise envelope"]
    low, high = ax.get_ylim()
    assert low < drawn[:, 1].min() < drawn[:, 1].max() < high


@pytest.mark.parametrize("bad", [[1.0], [0.1, np.nan], [[0.1, 0.2], [0.3, 0.4]]])
def test_residuals_that_are_no_column_are_refused(bad: list[Any]) -> None:
    with pytest.raises(td.DataError, match=r"residuals\(df\)\[node\]"):
        plotting.residual_qq(bad)


def test_an_envelope_of_unknown_kind_is_refused() -> None:
    with pytest.raises(td.SpecError, match="'pointwise', 'simultaneous'"):
        plotting.residual_envelope(5, kind="both")
    with pytest.raises(td.SpecError, match="between 0 and 1"):
        plotting.residual_envelope(5, kind="pointwise", level=95)


def test_calibration_draws_every_bin_with_its_interval(tables: dict[str, Any]) -> None:
    table = tables["calibration_curve"]
    ax = plotting.calibration_curve(table, node="mRS_3m")
    np.testing.assert_array_equal(points(ax, "observed"), table[["predicted", "observed"]])
    segments = np.concatenate([lines.get_segments() for lines in by_id(ax, "interval")])
    np.testing.assert_array_equal(segments[:, 0, 1], table["lower"])
    np.testing.assert_array_equal(segments[:, 1, 1], table["upper"])
    np.testing.assert_array_equal(segments[:, :, 0], table[["predicted", "predicted"]])
    assert ax.get_ylabel() == "observed frequency (95 % interval)"
    assert ax.get_xlim() == ax.get_ylim()
    looks = {(line.get_marker(), line.get_markerfacecolor()) for line in by_id(ax, "observed")}
    assert len(looks) == 7


def test_calibration_of_one_level(tables: dict[str, Any]) -> None:
    table = tables["calibration_curve"]
    ax = plotting.calibration_curve(table, levels=[3])
    np.testing.assert_array_equal(
        points(ax, "observed"), table.query("level == 3")[["predicted", "observed"]]
    )
    with pytest.raises(td.DataError, match=r"levels=\[9\] must be some of .* 0, 1, 2"):
        plotting.calibration_curve(table, levels=[9])


# --- graph ---------------------------------------------------------------------------------------


def dag_texts(ax: Axes) -> tuple[dict[str, Text], dict[tuple[str, str], Text], list[Annotation]]:
    """Nodes by name, labels by edge, arrows in the order of the labels."""
    nodes = {text.get_text(): text for text in by_id(ax, "node")}
    arrows = by_id(ax, "edge")
    at = {text.get_position(): name for name, text in nodes.items()}
    edges = {(at[arrow.xyann], at[arrow.xy]): arrow for arrow in arrows}
    assert len(edges) == len(arrows)
    return nodes, edges, arrows


def test_long_names_are_cut_into_lines_and_their_nodes_stay_apart() -> None:
    names = ["age at onset [y]", "mRS <= 2 before onset?", "systolic_blood_pressure", "T"]
    nodes = [td.ContinuousNode(parents=dict.fromkeys(names[:i], "ls")) for i in range(len(names))]
    ax = plotting.causal_dag(dict(zip(names, nodes, strict=True)))
    texts = by_id(ax, "node")
    assert [text.get_text() for text in texts] == [
        "age at onset\n[y]",
        "mRS <= 2\nbefore onset?",
        "systolic_\nblood_pressure",
        "T",
    ]
    boxes = [text.get_bbox_patch().get_window_extent() for text in texts]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def labels_of(ax: Axes, spec: dict[str, Any]) -> dict[tuple[str, str], Text]:
    """Labels by edge; they are drawn child by child, parent by parent."""
    edges = [(parent, name) for name, node in spec.items() for parent in node.parents]
    return dict(zip(edges, by_id(ax, "label"), strict=True))


def arrow_points(arrow: Annotation) -> np.ndarray:
    """Points along a drawn arrow, in pixels, between the nodes."""
    patch = arrow.arrow_patch
    assert patch is not None
    (path, *_), _ = patch._get_path_in_displaycoord()
    polygons = path.to_polygons(closed_only=False)
    # the first polygon is the line, the next one the arrow head
    line = polygons[0]
    t = np.linspace(0, len(line) - 1, 400)
    return np.stack([np.interp(t, np.arange(len(line)), line[:, k]) for k in (0, 1)], 1)


SPECS = {"published": PUBLISHED, "stroke": STROKE, "nine edges": RANDOMISED, "varying": VARYING}


def estimates_of(spec: dict[str, Any]) -> pd.DataFrame:
    """A made-up table with numbers as long as real ones."""
    rows = [
        {"node": name, "parent": parent, "odds_ratio": 0.123 * level, "status": "ok"}
        for name, node in spec.items()
        for parent in node.parents
        for level in ((1, 50) if parent == "mRS_pre" else (1,))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(("with_estimates", "width"), [(True, None), (True, 7.0), (False, 7.0)])
def test_no_label_of_the_stroke_graph_overlaps_anything(
    name: str, with_estimates: bool, width: float | None
) -> None:
    spec = SPECS[name]
    ax = (
        None if width is None else plt.figure(figsize=(width, 3.6), layout="constrained").subplots()
    )
    table = estimates_of(spec) if with_estimates else None
    ax = plotting.causal_dag(spec, table, ax=ax)
    nodes, edges, arrows = dag_texts(ax)
    labels = labels_of(ax, spec)
    assert set(edges) == {(p, child) for child, node in spec.items() for p in node.parents}
    assert len(arrows) == len(labels) == (9 if name == "nine edges" else 10)

    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    boxes = {edge: label.get_window_extent() for edge, label in labels.items()}
    frames = {n: text.get_bbox_patch().get_window_extent() for n, text in nodes.items()}  # type: ignore[union-attr]
    everything = [*boxes.items(), *frames.items()]
    crowded = [
        (a, b) for (a, one), (b, other) in combinations(everything, 2) if one.overlaps(other)
    ]
    assert crowded == []
    page = figure.bbox
    for box in boxes.values():
        assert page.x0 < box.x0 < box.x1 < page.x1
        assert page.y0 < box.y0 < box.y1 < page.y1
    legend = ax.get_legend().get_window_extent()
    assert not any(box.overlaps(legend) for box in boxes.values())


THROUGH = {
    **{name: td.ContinuousNode() for name in ("above", "a", "below")},
    "e1": td.ContinuousNode({"above": LS}),
    "b": td.ContinuousNode({"above": LS, "below": LS}),
    "e2": td.ContinuousNode({"below": LS}),
    "c": td.ContinuousNode({"e1": LS, "e2": LS, "a": LS}),
}
"""A straight arrow from a to c would run through b and along no other arrow."""


@pytest.mark.parametrize("name", [*SPECS, "through"])
def test_every_arrow_keeps_clear_of_other_nodes_and_close_to_its_label(name: str) -> None:
    spec = {**SPECS, "through": THROUGH}[name]
    ax = plotting.causal_dag(spec, estimates_of(spec))
    ax.get_figure(root=True).canvas.draw()  # type: ignore[union-attr]
    nodes, edges, _ = dag_texts(ax)
    labels = labels_of(ax, spec)
    for ends, arrow in edges.items():
        path = arrow_points(arrow)
        for node, text in nodes.items():
            if node not in ends:
                frame = text.get_bbox_patch().get_window_extent()  # type: ignore[union-attr]
                assert frame.count_contains(path) == 0, (ends, node)
        assert labels[ends].get_window_extent().padded(6).count_contains(path) > 0, ends


def test_shapes_tell_continuous_from_ordinal_nodes() -> None:
    nodes, _, _ = dag_texts(plotting.causal_dag(PUBLISHED))
    shapes = {name: type(t.get_bbox_patch().get_boxstyle()).__name__ for name, t in nodes.items()}  # type: ignore[union-attr]
    ordinal = {name: isinstance(node, td.OrdinalNode) for name, node in PUBLISHED.items()}
    assert shapes == {name: "Square" if ordinal[name] else "Ellipse" for name in PUBLISHED}


def test_edges_are_labelled_by_their_terms() -> None:
    labels = labels_of(plotting.causal_dag(PUBLISHED), PUBLISHED)
    assert {edge: text.get_text() for edge, text in labels.items() if edge[1] == "mRS_3m"} == {
        ("Age", "mRS_3m"): "ci",
        ("mRS_pre", "mRS_3m"): "ls",
        ("NIHSSa", "mRS_3m"): "cs",
        ("T", "mRS_3m"): "ls",
    }


def test_joint_terms_are_labelled_by_both_parents() -> None:
    spec = {
        "a": td.ContinuousNode(),
        "b": td.ContinuousNode(),
        "t": td.OrdinalNode(2),
        "y": td.ContinuousNode(
            terms=[td.CS("a", "b"), td.LS("t"), td.LS("t", "a"), td.VC("t", by="b")]
        ),
    }
    labels = labels_of(plotting.causal_dag(spec), spec)
    assert labels["t", "y"].get_text() == "ls, ls × a, vc by b"
    assert labels["a", "y"].get_text() == "cs with b, ls × t"
    assert labels["b", "y"].get_text() == "cs with a, in vc of t"


def test_edges_carry_the_odds_ratios(stroke: td.CausalFlowDAG) -> None:
    table = stroke.summary("mRS_3m")
    spec = {name: STROKE[name] for name in STROKE}
    ratios = stroke.odds_ratios()
    labels = labels_of(plotting.causal_dag(spec, ratios), spec)
    age, levels = table["odds_ratio"].iloc[0], table["odds_ratio"].iloc[1:6]
    assert labels["Age", "mRS_3m"].get_text() == f"ls\n{age:.2f}"
    assert labels["mRS_pre", "mRS_3m"].get_text() == f"ls\n{levels.min():.2f} to {levels.max():.2f}"


def test_a_product_has_no_single_odds_ratio(product: td.CausalFlowDAG) -> None:
    labels = labels_of(plotting.causal_dag(PRODUCT, product.summary()), PRODUCT)
    assert labels["T", "mRS_3m"].get_text() == "ls, ls × Age"
    assert labels["Age", "mRS_3m"].get_text() == "ls, ls × T"


def test_an_edge_without_an_estimate_says_why(separated: td.CausalFlowDAG) -> None:
    table = separated.summary()
    labels = labels_of(plotting.causal_dag(separated.spec, table), dict(separated.spec))
    known = table["odds_ratio"].iloc[0]
    assert labels["g", "y"].get_text() == f"ls\n{known:.2f}"
    labels = labels_of(plotting.causal_dag(separated.spec, table.iloc[1:2]), dict(separated.spec))
    assert labels["g", "y"].get_text() == "ls\nseparated"
    with pytest.raises(td.DataError, match="no row for the linear shift of 'NIHSSa' by 'Age'"):
        plotting.causal_dag(STROKE, table.assign(node="mRS_pre", parent="Age"))


def test_columns_are_the_topological_generations() -> None:
    networkx = pytest.importorskip("networkx")
    spec = {
        "x4": td.ContinuousNode({"x1": LS, "x2": LS}),
        "x1": td.ContinuousNode(),
        "x2": td.ContinuousNode(),
        "x5": td.ContinuousNode({"x4": LS, "x1": LS}),
        "x6": td.ContinuousNode({"x2": LS}),
    }
    nodes, _, _ = dag_texts(plotting.causal_dag(spec))
    graph = networkx.DiGraph([(p, name) for name, node in spec.items() for p in node.parents])
    expected = {
        name: column
        for column, names in enumerate(networkx.topological_generations(graph))
        for name in names
    }
    assert {name: text.get_position()[0] for name, text in nodes.items()} == expected


def test_a_graph_without_edges_is_drawn() -> None:
    nodes, edges, _ = dag_texts(plotting.causal_dag({"a": td.ContinuousNode()}))
    assert list(nodes) == ["a"]
    assert not edges
