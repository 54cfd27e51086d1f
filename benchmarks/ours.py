"""The tasks as a user of this library would run them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from measure import LINEAR_SHIFTS, PLATEAU, TARGET_NLL, VACA, main, peak_gib, query_times, timed
from measure import stroke as stroke_rows
from measure import vaca as vaca_rows
from quality import atan_20, atan_30, carefl_law, spline_floor, vaca_law

import tramdag as td
from simulations import REGISTRY

torch.set_num_threads(1)


def specification(graph: dict, term: str) -> dict[str, Any]:
    """Nodes of a graph whose edges all have one kind of term."""
    return {
        name: td.ContinuousNode(parents=dict.fromkeys(parents, term))
        if levels is None
        else td.OrdinalNode(levels=levels, parents=dict.fromkeys(parents, term))
        for name, (levels, parents) in graph.items()
    }


def fit_vaca(seed: int, **options: Any) -> td.CausalFlowDAG:
    """Vaca, all complex intercepts."""
    flow = td.CausalFlowDAG(specification(VACA, "ci"), seed=seed)
    return flow.fit(*vaca_rows(), **options)


def _vaca(seed: int, **options: Any) -> dict[str, Any]:
    """A whole fit, then one of the fewest epochs, from those that it took on, to the target."""
    fit_vaca(seed, **{**options, "epochs": 2})
    times, flow = timed(lambda: fit_vaca(seed, **options))
    history = flow.history
    nodes = [history[history.node == name].reset_index() for name in VACA]
    curve = []
    for epoch in range(1, max(len(node) for node in nodes) + 1):
        # the best weights are kept, and a node that has ended stays; nodes train one after another
        ran = [node.iloc[:epoch] for node in nodes]
        nll = sum(node.validation.min() for node in ran)
        curve.append((sum(node.seconds.iloc[-1] for node in ran), nll))
    reached = [k for k, (_, nll) in enumerate(curve, 1) if nll <= TARGET_NLL]
    result = {"fit": times, "nll": flow.nll(vaca_rows()[1]), "curve": curve}
    # a short fit goes another way: its prior grows after half of its epochs
    for epochs in range(reached[0], 3 * reached[0]) if reached else ():
        least = {**options, "epochs": epochs}
        times, short = timed(partial(fit_vaca, seed, **least))
        if short.nll(vaca_rows()[1]) <= TARGET_NLL + 1e-6:
            return result | {"to_target": times | {"epochs": epochs}}
    return result


def vaca(seed: int, *, quick: bool) -> dict[str, Any]:
    """The default fit."""
    return _vaca(seed, **({"epochs": 3} if quick else {}))


def vaca_by_adam(seed: int, *, quick: bool) -> dict[str, Any]:
    """The published recipe, which the published releases are given too."""
    return _vaca(seed, epochs=3 if quick else 4000, **PLATEAU)


def stroke(seed: int, *, quick: bool) -> dict[str, Any]:
    """The classical fit, its outcome node, and queries."""
    df, spec = stroke_rows(), specification(LINEAR_SHIFTS, "ls")

    def fit() -> td.CausalFlowDAG:
        return td.CausalFlowDAG(spec, seed=seed).fit(df)

    first, _ = timed(fit)
    times, flow = timed(fit, repeats=2 if quick else 31)
    seconds = flow.report.nodes.set_index("node").seconds["mRS_3m"]
    queries = query_times(flow, 1000 if quick else 100_000, repeats=1 if quick else 5)
    return {
        "first_fit": first,
        "fit": times,
        "nll": flow.nll(df),
        "outcome": {"cpu_s": None, "wall_s": float(seconds)},
        **queries,
    }


def bootstrap(seed: int, *, quick: bool) -> dict[str, Any]:
    """Refits of the stroke graph under case weights."""
    spec, df = specification(LINEAR_SHIFTS, "ls"), stroke_rows()
    times, _ = timed(lambda: td.fit_replicates(spec, df, 5 if quick else 200, seed=seed))
    return {"fit": times, "peak_gib": peak_gib()}


def _seeds(seed: int, *, quick: bool, **options: Any) -> dict[str, Any]:
    """Twenty seeds of vaca as one program, beside one seed."""
    (train, validation), spec = vaca_rows(), specification(VACA, "ci")
    options |= {"val_df": validation} | ({"epochs": 1} if quick else {})
    many = range(seed, seed + (2 if quick else 20))
    one, _ = timed(lambda: td.fit_replicates(spec, train, seeds=[seed], **options))
    times, _ = timed(lambda: td.fit_replicates(spec, train, seeds=list(many), **options))
    return {"one": one, "fit": times}


def seeds(seed: int, *, quick: bool) -> dict[str, Any]:
    """Of the default fit."""
    return _seeds(seed, quick=quick)


def seeds_by_adam(seed: int, *, quick: bool) -> dict[str, Any]:
    """Of the published recipe."""
    return _seeds(seed, quick=quick, epochs=4000, **PLATEAU)


def million(seed: int, *, quick: bool) -> dict[str, Any]:
    """The linear triangle with a million rows."""
    table = REGISTRY["triangle"](f="linear", seed=seed)
    df = pd.DataFrame(table.observational(2000 if quick else 1_000_000))
    spec = specification(VACA, "ls")
    times, flow = timed(lambda: td.CausalFlowDAG(spec, seed=seed).fit(df))
    assert flow.report.converged
    return {"fit": times, "peak_gib": peak_gib()}


def ten_million(seed: int, *, quick: bool) -> dict[str, Any]:
    """Ten million draws from the stroke flow."""
    flow = td.CausalFlowDAG(specification(LINEAR_SHIFTS, "ls"), seed=seed).fit(stroke_rows())
    rows = 2000 if quick else 10_000_000
    times, table = timed(lambda: flow.sample(rows, seed=seed))
    assert len(table) == rows
    assert np.isfinite(table["Age"]).all()
    return {"sample": times, "peak_gib": peak_gib()}


TASKS = (
    vaca,
    vaca_by_adam,
    stroke,
    bootstrap,
    seeds,
    seeds_by_adam,
    million,
    ten_million,
    vaca_law,
    carefl_law,
    atan_20,
    atan_30,
    spline_floor,
)

if __name__ == "__main__":
    main({task.__name__: task for task in TASKS})
