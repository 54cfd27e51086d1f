"""How close default fits come to the truth, and what they cost: tasks of ``ours.py``.

20 000 rows of a process with known law; the divergence is judged on 50 000 fresh rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from measure import timed
from scipy.interpolate import BSpline

import tramdag as td
from simulations import REGISTRY

__all__ = ["atan_20", "atan_30", "carefl_law", "spline_floor", "vaca_law"]

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
    x2 = _places(process.observational(ROWS))
    result["curve_rmse"] = _error_of_curve(
        process, x2, flow.shift_curve("x3", "x2", x2)["shift"].to_numpy()
    )
    return result


def _places(df: pd.DataFrame) -> np.ndarray:
    """Where the curve is judged: between the 1 % and 99 % quantiles of x2."""
    return df["x2"].quantile(np.linspace(0.01, 0.99, 200)).to_numpy()


def _error_of_curve(process: Any, x2: np.ndarray, curve: np.ndarray) -> float:
    """Root mean square error; a constant belongs to the intercept and does not count."""
    return float((curve - process.true_shift_curve(x2)).std())


def atan_20(seed: int, *, quick: bool) -> dict[str, Any]:
    """With 20 Bernstein coefficients."""
    return _atan(seed, 20, quick=quick)


def atan_30(seed: int, *, quick: bool) -> dict[str, Any]:
    """With 30."""
    return _atan(seed, 30, quick=quick)


def spline_floor(seed: int, *, quick: bool) -> dict[str, Any]:
    """The curve by convex fits of cubic splines, the number of knots chosen by the truth.

    No estimator knows that number; the data seed is 42 plus the round's.
    """
    process = REGISTRY["triangle"](f="atan", seed=42 + seed)
    df = process.observational(200 if quick else ROWS)
    places, errors = _places(df), {}
    for n_knots in (3, 4) if quick else (3, 4, 5, 6, 7, 8, 10, 12):
        knots = df["x2"].quantile(np.linspace(0, 1, n_knots)).to_numpy()
        padded = np.concatenate([knots[:1].repeat(3), knots, knots[-1:].repeat(3)])
        columns = BSpline.design_matrix(df["x2"].to_numpy(), padded, 3).toarray()[:, 1:]
        names = [f"b{j}" for j in range(columns.shape[1])]
        table = df[["x1", "x3"]].assign(**dict(zip(names, columns.T, strict=True)))
        spec = {name: td.ContinuousNode(transform="affine") for name in ("x1", *names)}
        spec["x3"] = td.ContinuousNode(parents=dict.fromkeys(("x1", *names), "ls"))
        coef = td.CausalFlowDAG(spec, seed=0).fit(table).coef().query("node == 'x3'")
        weights = coef.set_index("parent").loc[names, "estimate"].to_numpy()
        curve = BSpline.design_matrix(places, padded, 3).toarray()[:, 1:] @ weights
        errors[columns.shape[1]] = _error_of_curve(process, places, curve)
    best = min(errors, key=errors.__getitem__)
    return {"curve_rmse": errors[best], "columns": best}
