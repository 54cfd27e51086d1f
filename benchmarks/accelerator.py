"""Many replicates of the flexible stroke model as one program, on a processor and a graphics card.

Use: ``python benchmarks/accelerator.py [--replicates 1000] [--to FOLDER] [--quick]``. Every row of
the table is a bootstrap of the 1275 frozen patients (variant nl) under the published flexible
specification: as one program, or as a loop over single fits. Without a CUDA device only the
processor's rows are made.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from measure import processor

import tramdag as td

ROOT = Path(__file__).parents[1]
PUBLISHED_RECIPE: dict[str, Any] = {
    "epochs": 4000,
    "learning_rate": 1e-2,
    "schedule": "plateau",
    "plateau_patience": 30,
    "freeze_patience": 120,
}
RECIPES: dict[str, dict[str, Any]] = {"default": {}, "plateau": PUBLISHED_RECIPE}


def specification() -> dict[str, Any]:
    """The published flexible model."""
    return {
        "Age": td.ContinuousNode(),
        "mRS_pre": td.OrdinalNode(levels=6, parents={"Age": "ci"}),
        "NIHSSa": td.ContinuousNode(parents={"Age": "ci", "mRS_pre": "ls"}),
        "T": td.OrdinalNode(levels=2, parents={"Age": "ci", "mRS_pre": "ls", "NIHSSa": "cs"}),
        "mRS_3m": td.OrdinalNode(
            levels=7, parents={"Age": "ci", "mRS_pre": "ls", "NIHSSa": "cs", "T": "ls"}
        ),
    }


def one_program(rows: pd.DataFrame, weights: np.ndarray, **options: Any) -> td.Ensemble:
    """All replicates side by side."""
    return td.fit_replicates(
        specification(), rows, weights=weights, seed=1, progress=False, **options
    )


def loop(
    rows: pd.DataFrame, weights: np.ndarray, *, device: str, dtype: torch.dtype, **options: Any
) -> None:
    """One replicate after another."""
    for own in weights:
        flow = td.CausalFlowDAG(specification(), seed=1, device=device, dtype=dtype)
        flow.fit(rows, weights=own, verbose=0, progress=False, **options)


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of some work, the device's part of it included, and what it returned."""
    start = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def plan(replicates: int) -> list[tuple[str, str, str, str, int]]:
    """Device, dtype, recipe, way and number of replicates of every row."""
    rows = [("cpu", "float64", recipe, "loop", 2) for recipe in RECIPES]
    rows.append(("cpu", "float64", "default", "one program", 20))
    if torch.cuda.is_available():
        for recipe in RECIPES:
            rows.append(("cuda", "float64", recipe, "loop", 2))
            rows.append(("cuda", "float64", recipe, "one program", replicates))
        rows.append(("cuda", "float32", "default", "one program", replicates))
    return rows


def measure(replicates: int, *, quick: bool) -> pd.DataFrame:
    """The table of times."""
    torch.set_num_threads(1)
    cohort = pd.read_csv(ROOT / "data" / "magic-mrclean" / "nl" / "obs.csv")
    rng = np.random.default_rng(0)
    n = len(cohort)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=replicates).astype(float)
    table = []
    for device, dtype, recipe, way, size in plan(replicates):
        options = {**RECIPES[recipe], "device": device, "dtype": getattr(torch, dtype)}
        if quick:
            options["epochs"] = 3
        run = loop if way == "loop" else one_program
        run(cohort, weights[:2], **{**options, "epochs": 2})  # libraries load, kernels compile
        time_taken, ensemble = seconds(lambda: run(cohort, weights[:size], **options))  # noqa: B023
        row = {
            "device": device,
            "dtype": dtype,
            "recipe": recipe,
            "way": way,
            "replicates": size,
            "seconds": time_taken,
            "fits per second": size / time_taken,
        }
        if ensemble is not None:
            beta = ensemble.coef().query("node == 'mRS_3m' and parent == 'T'")["estimate"]
            row |= {"T, mean": beta.mean(), "T, sd": beta.std()}
        if device == "cuda":
            row["peak GiB"] = torch.cuda.max_memory_allocated() / 2**30
            torch.cuda.reset_peak_memory_stats()
        table.append(row)
        print(pd.Series(row).to_frame().T.to_string(index=False), flush=True)
    frame = pd.DataFrame(table)
    core = frame.query("device == 'cpu' and way == 'loop'").set_index("recipe")["fits per second"]
    frame["times one core"] = frame["fits per second"] / frame["recipe"].map(core)
    return frame


def machine() -> str:
    """Devices and versions; no name of the host."""
    card = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no CUDA device"
    return f"{card}; one core of {processor()}; torch {torch.__version__}"


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="three epochs, to see that it runs")
    parser.add_argument("--to", type=Path, default=ROOT / "results" / "benchmarks-of-speed")
    given = parser.parse_args(arguments)
    given.to.mkdir(parents=True, exist_ok=True)
    table = measure(given.replicates, quick=given.quick)
    table.to_csv(given.to / "accelerator.csv", index=False)
    text = table.to_markdown(index=False, floatfmt=".4g")
    (given.to / "accelerator.md").write_text(f"{machine()}\n\n{text}\n")
    print(f"{machine()}\n\n{text}")


if __name__ == "__main__":
    main()
