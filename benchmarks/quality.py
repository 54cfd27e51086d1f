"""How close default fits come to the truth, and what they cost: tasks of ``ours.py``.

20 000 rows of a process with known law; the divergence is judged on 50 000 fresh rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from measure import timed

import tramdag as td
from simulations import REGISTRY

__all__ = ["atan_20", "atan_30", "carefl_law", "vaca_law"]

ROWS, FRESH_ROWS, FRESH = 20_000, 50_000, 12_345
ARMS = (-1.5, 0.0, 1.5)


def _fit(
    process: Any, spec: dict[str, Any], seed: int, *, quick: bool
) -> tuple[dict[str, Any], td.CausalFlowDAG]:
    """Times, divergence of the joint law and of each node's part, and the fit."""
    df = process.observational(200 if quick else ROWS)
    options: dict[str, Any] = {"epochs": 3} if quick else {}
    times, flow = timed(lambda: td.CausalFlowDAG(spec, seed=seed).fit(df, **options))
    fresh = process.observational(FRESH_ROWS, seed_offset=FRESH)
    gap = process.log_density(fresh) - flow.log_prob(fresh)
    return {
        "fit": times,
        "kl": float(gap.mean()),
        "kl_error": float(gap.std() / np.sqrt(len(gap))),
    }, flow


def vaca_law(seed: int, *, quick: bool) -> dict[str, Any]:
    """All complex intercepts on vaca."""
    spec = {
        "x1": td.ContinuousNode(),
        "x2": td.ContinuousNode(parents={"x1": "ci"}),
        "x3": td.ContinuousNode(parents={"x1": "ci", "x2": "ci"}),
    }
    return _fit(REGISTRY["vaca"](seed=42), spec, seed, quick=quick)[0]


def carefl_law(seed: int, *, quick: bool) -> dict[str, Any]:
    """All complex intercepts on carefl, and its counterfactuals of 300 fresh rows."""
    process = REGISTRY["carefl"](seed=42)
    both = {"x1": "ci", "x2": "ci"}
    spec = {name: td.ContinuousNode() for name in both}
    spec |= {name: td.ContinuousNode(parents=both) for name in ("x3", "x4")}
    result, flow = _fit(process, spec, seed, quick=quick)
    for parent, node in (("x2", "x3"), ("x1", "x4")):
        for arm in ARMS:
            factual, truth = process.counterfactual_pair(300, do={parent: arm}, seed_offset=999)
            answer = flow.sample(do={parent: arm}, u=flow.abduct(factual))
            error = (answer[node] - truth[node]).abs().mean()
            result[f"mae_{node}_at_{arm:g}"] = float(error)
    return result


def _atan(seed: int, n_coefs: int, *, quick: bool) -> dict[str, Any]:
    """A complex shift that should become the bend of an arctangent."""
    process = REGISTRY["triangle"](f="atan", seed=42)
    parents: list[dict[str, str]] = [{}, {"x1": "ls"}, {"x1": "ls", "x2": "cs"}]
    spec = {
        f"x{k}": td.ContinuousNode(parents=own, n_coefs=n_coefs) for k, own in enumerate(parents, 1)
    }
    result, flow = _fit(process, spec, seed, quick=quick)
    x2 = process.observational(ROWS)["x2"].quantile(np.linspace(0.01, 0.99, 200)).to_numpy()
    curve = flow.shift_curve("x3", "x2", x2)["shift"].to_numpy()
    gap = curve - process.true_shift_curve(x2)
    result["curve_rmse"] = float((gap - gap.mean()).std())
    return result


def atan_20(seed: int, *, quick: bool) -> dict[str, Any]:
    """With 20 Bernstein coefficients."""
    return _atan(seed, 20, quick=quick)


def atan_30(seed: int, *, quick: bool) -> dict[str, Any]:
    """With 30."""
    return _atan(seed, 30, quick=quick)
