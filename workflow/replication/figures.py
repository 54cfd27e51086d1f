"""The figures, drawn from stored tables only.

Every function takes tidy tables as ``replication.questions`` lays them out and returns a figure.
The truth is grey or black; each seed of a model is a line or a point of its own, so that the
spread over seeds is seen and no run is picked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from replication.questions import TRIAL_ROWS
from replication.style import (
    TRUTH_FILL,
    TRUTH_LINE,
    Look,
    axis_label,
    legend_below,
    looks,
    new_figure,
)

__all__ = [
    "draw_counterfactuals",
    "draw_densities",
    "draw_effects",
    "draw_history",
    "draw_marginals",
    "draw_shift_curves",
    "draw_trajectories",
]


def draw_marginals(
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    ordinal: Sequence[str],
    queries: Sequence[str] | None = None,
) -> Figure:
    """Marginal laws of every node, one row of panels per intervention.

    Args:
        estimated: Table ``densities`` of the models.
        true: Table ``densities`` of the generator, None without one.
        titles: Model names to titles.
        units: Units by column.
        ordinal: Names of the ordinal nodes, drawn as probabilities of their levels.
        queries: The rows; all of the table if None.
    """
    rows = list(estimated["query"].unique()) if queries is None else list(queries)
    nodes = list(estimated["node"].unique())
    figure, axes = new_figure(len(rows), len(nodes), panel=(2.4, 1.9))
    for i, query in enumerate(rows):
        for j, node in enumerate(nodes):
            _draw_law(
                axes[i][j],
                _select(estimated, query=query, node=node),
                None if true is None else _select(true, query=query, node=node),
                titles=titles,
                ordinal=node in ordinal,
            )
            axes[i][j].set_xlabel(axis_label(node, units))
            axes[i][j].set_ylabel("probability" if node in ordinal else "density")
        axes[i][0].set_title(query, loc="left")
    legend_below(figure, _law_legend(titles, with_truth=true is not None))
    return figure


def draw_densities(
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    ordinal: Sequence[str],
) -> Figure:
    """The law of the last node under each intervention; arguments as :func:`draw_marginals`."""
    node = estimated["node"].iloc[-1]
    queries = [query for query in estimated["query"].unique() if query != "observational"]
    figure, axes = new_figure(1, len(queries), panel=(2.7, 2.4))
    for axis, query in zip(axes[0], queries, strict=True):
        _draw_law(
            axis,
            _select(estimated, query=query, node=node),
            None if true is None else _select(true, query=query, node=node),
            titles=titles,
            ordinal=node in ordinal,
        )
        axis.set_title(query, loc="left")
        axis.set_xlabel(axis_label(node, units))
    axes[0][0].set_ylabel("probability" if node in ordinal else "density")
    legend_below(figure, _law_legend(titles, with_truth=true is not None))
    return figure


def draw_shift_curves(
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
) -> Figure:
    """Shifts of nodes by one parent each, every curve centred over the middle of the data.

    Args:
        estimated: Table ``shifts`` of the models.
        true: Table ``shifts`` of the generator, None without one.
        titles: Model names to titles.
        units: Units by column.
    """
    pairs = list(estimated[["node", "parent"]].drop_duplicates().itertuples(index=False, name=None))
    figure, axes = new_figure(1, len(pairs), panel=(4.0, 3.0))
    style = looks(titles)
    for axis, (node, parent) in zip(axes[0], pairs, strict=True):
        curves = _select(estimated, node=node, parent=parent)
        truth = None if true is None else _select(true, node=node, parent=parent)
        for model, curve in _by_seed(curves):
            shift = curve["shift"]
            if truth is not None and len(truth):
                # an additive constant is not identified; put both curves on the same one
                shift = shift - shift.mean()
                shift = shift + np.interp(curve["value"], truth["value"], truth["shift"]).mean()
            _line(axis, curve["value"], shift, style[model], alpha=0.8)
        if truth is not None and len(truth):
            axis.plot(truth["value"], truth["shift"], color=TRUTH_LINE, ls=(0, (2, 2)), lw=2.0)
        axis.set_xlabel(axis_label(parent, units))
        axis.set_ylabel(f"shift of {node} by {parent} (log odds)")
    handles = _model_handles(titles)
    if true is not None:
        handles.append(Line2D([], [], color=TRUTH_LINE, ls=(0, (2, 2)), lw=2.0, label="truth"))
    legend_below(figure, handles)
    return figure


def draw_counterfactuals(
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    observed: Sequence[Mapping[str, float]],
) -> Figure:
    """One observation's value of a node, had another node been set to each value of a grid.

    Args:
        estimated: Table ``curves`` of the models.
        true: Table ``curves`` of the generator, None without one.
        titles: Model names to titles.
        units: Units by column.
        observed: The observation behind each curve, in the order of the table.
    """
    names = list(estimated["curve"].unique())
    figure, axes = new_figure(1, len(names), panel=(3.4, 2.8))
    style = looks(titles)
    for axis, name, row in zip(axes[0], names, observed, strict=True):
        curves = _select(estimated, curve=name)
        for model, curve in _by_seed(curves):
            _line(axis, curve["set_to"], curve["value"], style[model], alpha=0.8)
        node, parent = curves["node"].iloc[0], curves["intervene"].iloc[0]
        if true is not None:
            truth = _select(true, curve=name)
            axis.plot(truth["set_to"], truth["value"], color=TRUTH_LINE, ls=(0, (2, 2)), lw=2.0)
        axis.plot(row[parent], row[node], "*", color=TRUTH_LINE, ms=11, mec="white")
        axis.set_xlabel(f"{axis_label(parent, units)} had been")
        axis.set_ylabel(f"{axis_label(node, units)} would have been")
    handles = _model_handles(titles)
    if true is not None:
        handles.append(Line2D([], [], color=TRUTH_LINE, ls=(0, (2, 2)), lw=2.0, label="truth"))
    handles.append(
        Line2D([], [], color=TRUTH_LINE, marker="*", ms=11, mec="white", ls="", label="observed")
    )
    legend_below(figure, handles)
    return figure


def draw_effects(
    estimated: pd.DataFrame, true: pd.DataFrame | None, *, titles: Mapping[str, str]
) -> Figure:
    """Risks in both arms and their difference: a point per seed, the truth as a line.

    Args:
        estimated: Table ``effects`` of the models.
        true: Table ``effects`` of the generator, None without one.
        titles: Model names to titles.
    """
    rows = estimated[estimated["population"] == TRIAL_ROWS]
    effect = rows["effect"].iloc[0]
    treatment, outcome = effect.split(" on ")
    figure, axes = new_figure(1, 2, panel=(4.4, 0.5 * len(titles) + 1.6))
    panels = (
        (axes[0][0], ("P0", "P1"), f"P({outcome}) under do({treatment} = 0 or 1)"),
        (axes[0][1], ("ATE",), f"difference of P({outcome}), treated minus control"),
    )
    style = looks(titles)
    for axis, quantities, label in panels:
        for position, model in enumerate(titles):
            for quantity in quantities:
                values = _select(rows, effect=effect, model=model, quantity=quantity)["value"]
                _strip(axis, values.to_numpy(), position, style[model], hollow=quantity == "P0")
        if true is not None:
            truth = _select(true, effect=effect, population=TRIAL_ROWS).set_index("quantity")
            for quantity in quantities:
                axis.axvline(truth["value"][quantity], color=TRUTH_LINE, ls=(0, (2, 2)), lw=1.2)
        axis.set_xlabel(label)
        axis.set_yticks(range(len(titles)), list(titles.values()))
        axis.set_ylim(len(titles) - 0.5, -0.5)
    axes[0][1].tick_params(labelleft=False)
    handles = [
        Line2D([], [], marker="o", ls="", color="black", mfc="white", label="control, one seed"),
        Line2D([], [], marker="o", ls="", color="black", label="treated or difference, one seed"),
        Line2D([], [], marker="|", ms=14, mew=2, ls="", color="black", label="mean over seeds"),
    ]
    if true is not None:
        handles.append(Line2D([], [], color=TRUTH_LINE, ls=(0, (2, 2)), lw=1.2, label="truth"))
        naive = _select(true, effect=effect, quantity="naive contrast")["value"]
        for value in naive:
            axes[0][1].plot(value, -0.35, "x", color=TRUTH_LINE, ms=7, mew=1.5)
            label = "confounded contrast of the cohort"
            handles.append(Line2D([], [], marker="x", color=TRUTH_LINE, ms=7, ls="", label=label))
    legend_below(figure, handles)
    return figure


def draw_history(history: pd.DataFrame, *, titles: Mapping[str, str]) -> Figure:
    """Validation and training loss by epoch of every node that was trained by steps.

    Args:
        history: Table ``history`` of the fits.
        titles: Model names to titles.
    """
    trained = history[history.groupby(["model", "seed", "node"])["epoch"].transform("size") > 1]
    nodes = list(trained["node"].unique())
    figure, axes = new_figure(1, len(nodes), panel=(2.7, 2.4))
    style = looks(titles)
    for axis, node in zip(axes[0], nodes, strict=True):
        for model, run in _by_seed(_select(trained, node=node)):
            look = style[model]
            axis.plot(run["epoch"], run["train"], color=look.colour, lw=0.8, alpha=0.45)
            axis.plot(run["epoch"], run["validation"], color=look.colour, lw=1.3)
        # the first epochs fall steeply and would hide the rest
        settled = _select(trained, node=node)
        late = settled[settled["epoch"] > settled["epoch"].max() * 0.05]
        values = late[["train", "validation"]].to_numpy()
        low, high = np.nanquantile(values, [0.0, 0.98])
        margin = 0.05 * (high - low) + 1e-6
        axis.set_ylim(low - margin, high + margin)
        axis.set_title(node, loc="left")
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes[0][0].set_ylabel("negative log-likelihood\n(nats per row)")
    handles = [
        *(
            Line2D([], [], color=style[model].colour, label=style[model].label)
            for model in trained["model"].unique()
        ),
        Line2D([], [], color="black", lw=1.3, label="validation"),
        Line2D([], [], color="black", lw=0.8, alpha=0.45, label="training"),
    ]
    legend_below(figure, handles)
    return figure


def draw_trajectories(
    trajectories: pd.DataFrame, true: pd.DataFrame | None, *, titles: Mapping[str, str]
) -> Figure:
    """Linear coefficients by epoch, a panel for each.

    Args:
        trajectories: Table ``trajectories`` of the fits.
        true: Coefficients of the generator, None without one.
        titles: Model names to titles.
    """
    keys = trajectories[["node", "parent", "level"]].drop_duplicates()
    figure, axes = new_figure(1, len(keys), panel=(2.7, 2.4))
    style = looks(titles)
    for axis, (node, parent, level) in zip(axes[0], keys.to_numpy(), strict=True):
        rows = _select(trajectories, node=node, parent=parent)
        rows = rows[rows["level"].isna() if pd.isna(level) else rows["level"] == level]
        for model, run in _by_seed(rows):
            _line(axis, run["epoch"], run["estimate"], style[model], alpha=0.8)
        if true is not None:
            weight = _select(true, parameter="shift", node=node, parent=parent)["truth"]
            for value in weight * (1.0 if pd.isna(level) else level):
                axis.axhline(value, color=TRUTH_LINE, ls=(0, (2, 2)), lw=1.2)
        source = parent if pd.isna(level) else f"{parent} = {level:.0f}"
        axis.set_title(f"{source} on {node}", loc="left")
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes[0][0].set_ylabel("coefficient (log odds per unit)")
    handles = _model_handles({model: titles[model] for model in trajectories["model"].unique()})
    if true is not None:
        handles.append(Line2D([], [], color=TRUTH_LINE, ls=(0, (2, 2)), lw=1.2, label="truth"))
    legend_below(figure, handles)
    return figure


def _select(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def _by_seed(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each seed with the name of their model."""
    for _, rows in table.groupby(["model", "seed"], sort=False):
        yield str(rows["model"].iloc[0]), rows


def _line(axis: Axes, x: pd.Series, y: pd.Series, look: Look, *, alpha: float = 1.0) -> None:
    axis.plot(x, y, color=look.colour, ls=look.line, alpha=alpha)


def _draw_law(
    axis: Axes,
    estimated: pd.DataFrame,
    true: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
    ordinal: bool,
) -> None:
    """Histogram outlines of the models over the filled one of the truth; points for levels."""
    if true is not None and len(true):
        edges = [*true["left"], true["right"].iloc[-1]]
        axis.stairs(true["density"], edges, fill=True, color=TRUTH_FILL)
    style = looks(titles)
    for model, law in _by_seed(estimated):
        look = style[model]
        if ordinal:
            offset = 0.25 * (list(titles).index(model) - (len(titles) - 1) / 2)
            levels = (law["left"] + law["right"]) / 2
            axis.plot(levels + offset, law["density"], look.marker, color=look.colour, ms=3.5)
            axis.set_xticks(levels)
        else:
            edges = [*law["left"], law["right"].iloc[-1]]
            axis.stairs(law["density"], edges, color=look.colour, ls=look.line, lw=1.0, alpha=0.8)
    if estimated.empty:
        # held fixed by the intervention: no law to draw
        axis.set_axis_off()


def _strip(axis: Axes, values: np.ndarray, position: int, look: Look, *, hollow: bool) -> None:
    """Points around a height, and a bar at their mean if there are several."""
    spread = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(1)
    if len(values) > 1:
        axis.plot(values.mean(), position, "|", color=look.colour, ms=20, mew=2)
    axis.plot(
        values,
        position + spread,
        look.marker,
        color=look.colour,
        mfc="white" if hollow else look.colour,
        ms=5,
    )


def _model_handles(titles: Mapping[str, str]) -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=look.colour, ls=look.line, label=f"{look.label}, one line per seed")
        for look in looks(titles).values()
    ]


def _law_legend(titles: Mapping[str, str], *, with_truth: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D(
            [],
            [],
            color=look.colour,
            ls=look.line,
            marker=look.marker,
            ms=3.5,
            label=f"{look.label}, one per seed",
        )
        for look in looks(titles).values()
    ]
    return [*handles, Patch(color=TRUTH_FILL, label="truth")] if with_truth else handles
