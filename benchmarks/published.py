"""The same tasks by the published package, whichever release this environment holds."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import torch
from measure import LINEAR_SHIFTS, PLATEAU, TARGET_NLL, VACA, main, query_times, timed
from measure import stroke as stroke_rows
from measure import vaca as vaca_rows

import tramdag as td

torch.set_num_threads(1)
FIRST = version("tramdag").startswith("0.")


def specification(graph: dict, term: str) -> dict[str, Any]:
    """Nodes of a graph whose edges all have one kind of term, in this release's notation."""
    nodes: dict[str, Any] = {}
    for name, (levels, parents) in graph.items():
        if FIRST:
            terms = {"parents": dict.fromkeys(parents, term)}
        elif term == "ci":
            terms = {"terms": [td.CI(*parents)] if parents else None}
        else:
            terms = {"terms": [td.LS(parent) for parent in parents] or None}
        node = td.ContinuousNode if levels is None else td.OrdinalNode
        nodes[name] = node(**terms) if levels is None else node(levels=levels, **terms)
    return nodes


def fit_vaca(seed: int, epochs: int) -> tuple[td.CausalFlowDAG, list[float]]:
    """0.2.0: its plateau recipe. 1.0.0rc1 has none: its default Adam. Also seconds per epoch."""
    train, validation = vaca_rows()
    torch.manual_seed(seed)
    flow = td.CausalFlowDAG(specification(VACA, "ci"))
    if FIRST:
        flow.fit(train, validation, epochs=epochs, seed=seed, **PLATEAU)
        return flow, flow.history["time"]
    seconds: list[float] = []
    start = time.perf_counter()
    flow.fit(
        train,
        epochs=epochs,
        validation_data=validation,
        seed=seed,
        callbacks=lambda *_: seconds.append(time.perf_counter() - start),
    )
    return flow, seconds


def vaca(seed: int, *, quick: bool) -> dict[str, Any]:
    """A whole fit, then a fit of as many epochs as reach the target."""
    fit_vaca(seed, 2)
    epochs = 3 if quick else 4000 if FIRST else 200
    times, (flow, seconds) = timed(lambda: fit_vaca(seed, epochs))
    values = [sum(epoch.values()) for epoch in flow.history["val"]]
    result = {
        "fit": times,
        "nll": sum(flow.nll(vaca_rows()[1]).values()),
        "curve": list(zip(seconds, values, strict=True)),
    }
    reached = [k for k, nll in enumerate(values, 1) if nll <= TARGET_NLL]
    if reached:
        result["to_target"], _ = timed(lambda: fit_vaca(seed, reached[0]))
        result["to_target"]["epochs"] = reached[0]
    return result


def stroke(seed: int, *, quick: bool) -> dict[str, Any]:
    """The all-linear stroke graph (0.2.0: plateau recipe; 1.0.0rc1: fit_classical), queries."""
    df = stroke_rows()
    torch.manual_seed(seed)
    flow = td.CausalFlowDAG(specification(LINEAR_SHIFTS, "ls"))
    if FIRST:
        epochs = 3 if quick else 4000
        times, _ = timed(lambda: flow.fit(df, epochs=epochs, seed=seed, **PLATEAU))
    else:
        times, _ = timed(lambda: flow.fit_classical(df, max_iter=3 if quick else 5000))
    queries = query_times(flow, 1000 if quick else 100_000, repeats=1 if quick else 3)
    return {"fit": times, "nll": sum(flow.nll(df).values()), **queries}


if __name__ == "__main__":
    main({f.__name__: f for f in (vaca, stroke)})
