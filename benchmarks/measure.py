"""What every worker shares: the work itself, a stopwatch, and how results travel back.

It imports nothing but NumPy and pandas, because it runs in every program's own environment.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DATA = Path(__file__).parents[1] / "data"
TARGET_NLL = 4.9732
"""Validation value of vaca that counts as reached: the reference fit's plus 0.01 nats."""

LINEAR_SHIFTS = {
    "Age": (None, ()),
    "mRS_pre": (6, ("Age",)),
    "NIHSSa": (None, ("Age", "mRS_pre")),
    "T": (2, ("Age", "mRS_pre", "NIHSSa")),
    "mRS_3m": (7, ("Age", "mRS_pre", "NIHSSa", "T")),
}
"""The stroke graph: levels (None for a continuous node) and parents, all of them linear."""

VACA = {"x1": (None, ()), "x2": (None, ("x1",)), "x3": (None, ("x1", "x2"))}
PLATEAU = {
    "learning_rate": 1e-2,
    "schedule": "plateau",
    "plateau_patience": 30,
    "freeze_patience": 120,
    "verbose": 0,
}


def vaca() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first 4500 frozen rows to train on, the last 500 to validate."""
    rows = pd.read_csv(DATA / "vaca" / "obs.csv")
    return rows.iloc[:4500], rows.iloc[4500:]


def stroke() -> pd.DataFrame:
    """The 1275 frozen patients, variant nl."""
    return pd.read_csv(DATA / "magic-mrclean" / "nl" / "obs.csv")


def timed(work: Callable[[], Any], *, repeats: int = 1) -> tuple[dict[str, float], Any]:
    """Median process and wall seconds of some work, and what it returned last."""
    cpu, wall = [], []
    for _ in range(repeats):
        start = time.process_time(), time.perf_counter()
        result = work()
        cpu.append(time.process_time() - start[0])
        wall.append(time.perf_counter() - start[1])
    return {"cpu_s": float(np.median(cpu)), "wall_s": float(np.median(wall))}, result


def query_times(flow: Any, rows: int, *, repeats: int) -> dict[str, dict[str, float]]:
    """Times of the four queries whose calls are the same in every release."""
    found, table = {}, flow.sample(rows, seed=1)
    found["sample"], _ = timed(lambda: flow.sample(rows, seed=1), repeats=repeats)
    found["log_prob"], _ = timed(lambda: flow.log_prob(table), repeats=repeats)
    found["abduct"], latents = timed(lambda: flow.abduct(table), repeats=repeats)
    do = {"T": 1}
    found["counterfactual"], _ = timed(lambda: flow.sample(do=do, u=latents), repeats=repeats)
    return found


def peak_gib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def processor() -> str:
    """Model and number of cores; no name of the host."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.machine()
    return f"{model}, {os.cpu_count()} cores"


def main(tasks: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """Run ``worker.py task seed full|quick`` and print the result as the last line."""
    task, seed, size = sys.argv[1:4]
    print(json.dumps(tasks[task](int(seed), quick=size == "quick")))
