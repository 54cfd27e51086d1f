"""Run every program on the same work in alternation; write a table, a description and a picture.

Use: ``python benchmarks/run.py [--quick] [--again] [--to FOLDER]``; see README.md beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from measure import processor

mpl.use("Agg")

from matplotlib import pyplot as plt

HERE = Path(__file__).parent
ROOT = HERE.parent
ENVIRONMENTS = HERE / ".environments"
RELEASES = ("0.2.0", "1.0.0rc1")
TORCH = "torch==2.13.0"
PLAN = {
    "ours": {
        "vaca": 3,
        "vaca_by_adam": 3,
        "stroke": 3,
        "bootstrap": 3,
        "vaca_law": 3,
        "carefl_law": 3,
        "atan_20": 3,
        "atan_30": 3,
        "spline_floor": 3,
        "ten_million": 1,
        "million": 1,
        "seeds": 1,
        "seeds_by_adam": 1,
    },
    "0.2.0": {"vaca": 3, "stroke": 1},
    "1.0.0rc1": {"vaca": 1, "stroke": 1},
    "statsmodels": {"statsmodels": 3},
    "polr": {"polr": 3},
}
"""Rounds of each task of each program; the round's number is the seed."""

WORKERS = {"ours": "ours.py", "statsmodels": "statsmodels_polr.py", "polr": "statsmodels_polr.py"}


def interpreter(program: str) -> str:
    """The Python that runs a program; a release's own environment is made where it is missing."""
    if program not in RELEASES:
        return sys.executable
    folder = ENVIRONMENTS / f"tramdag-{program}"
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet", f"tramdag=={program}", TORCH]
        subprocess.run(install, check=True)
        stamp.touch()
    return str(python)


def run(program: str, task: str, seed: int, *, size: str) -> dict[str, Any]:
    """One worker's result, from a process with one thread."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment |= dict.fromkeys(threads, "1")
    if program not in RELEASES:
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "workflow")])
    worker = HERE / WORKERS.get(program, "published.py")
    command = [interpreter(program), str(worker), task, str(seed), size]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program}, {task}, seed {seed}:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def collect(folder: Path, *, quick: bool, again: bool) -> dict[tuple[str, str, int], dict]:
    """Results of the whole plan, program after program within a task; kept as they come."""
    plan = {"ours": dict.fromkeys(PLAN["ours"], 1)} if quick else PLAN
    todo = [
        (program, task, seed)
        for seed in range(3)
        for task in dict.fromkeys(task for tasks in plan.values() for task in tasks)
        for program, tasks in plan.items()
        if seed < tasks.get(task, 0)
    ]
    results = {}
    for program, task, seed in todo:
        path = folder / f"{program}-{task}-{seed}.json"
        if again or not path.exists():
            print(f"{program}: {task}, seed {seed}", flush=True)
            found = run(program, task, seed, size="quick" if quick else "full")
            path.write_text(json.dumps(found))
        results[program, task, seed] = json.loads(path.read_text())
    return results


def tabulate(results: dict[tuple[str, str, int], dict]) -> pd.DataFrame:
    """Median, smallest and largest value per program and quantity, and the ratio to ours."""
    rows = []
    for (program, task, _), found in results.items():
        work = "stroke" if task in ("statsmodels", "polr") else task
        for quantity, value in found.items():
            if isinstance(value, dict):
                rows += [(work, quantity, unit, program, v) for unit, v in value.items()]
            elif quantity != "curve":
                rows.append((work, quantity, "value", program, value))
    columns = ["task", "quantity", "unit", "program", "number"]
    long = pd.DataFrame(rows, columns=columns).dropna()
    table = long.groupby(columns[:-1], sort=False).number.agg(["median", "min", "max", "count"])
    ours = table.xs("ours", level="program")["median"]
    base = pd.Series([ours.get(key[:3]) for key in table.index], index=table.index, dtype=float)
    is_time = table.index.get_level_values("unit").isin(["cpu_s", "wall_s"])
    table["ratio to ours"] = (table["median"] / base).where(is_time)
    return table.reset_index()


def machine() -> str:
    """Processor, cores, system and versions; no name of the host."""
    return (
        f"{processor()}, {platform.system()}, Python "
        f"{platform.python_version()}, {TORCH}, one thread; other work may share the machine, so "
        "trust ratios of cpu_s before wall_s."
    )


def draw(results: dict[tuple[str, str, int], dict], path: Path) -> None:
    """Validation NLL of vaca against time, a line per seed."""
    figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    colours = dict(zip(("ours", *RELEASES), ("#0072B2", "#D55E00", "#009E73"), strict=True))
    styles = dict(zip(colours, ("-", "--", ":"), strict=True))
    named = set()
    for (program, task, _), found in results.items():
        if task != "vaca":
            continue
        seconds, values = zip(*found["curve"], strict=True)
        # the clock runs in wall time; the share of the processor turns it into process time
        share = found["fit"]["cpu_s"] / found["fit"]["wall_s"]
        label = None if program in named else program if program == "ours" else f"tramdag {program}"
        best = pd.Series(values).cummin()
        line = {"color": colours[program], "linestyle": styles[program], "linewidth": 1.3}
        axes.plot([share * t for t in seconds], best, label=label, **line)
        named.add(program)
    axes.axhline(4.9732, color="grey", linewidth=0.8)
    axes.set(xscale="log", ylim=(4.94, 5.2), xlabel="process time (seconds, one thread)")
    axes.set_ylabel("best validation NLL so far (nats per row)")
    axes.set_title("vaca, complex intercepts, 4500 rows; the grey line is the target", fontsize=9)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="this library only, tiny sizes")
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument("--to", type=Path, default=ROOT / "results" / "benchmarks-of-speed")
    given = parser.parse_args(arguments)
    raw = given.to / ("raw-quick" if given.quick else "raw")
    raw.mkdir(parents=True, exist_ok=True)
    results = collect(raw, quick=given.quick, again=given.again)
    table = tabulate(results)
    table.to_csv(given.to / "speed.csv", index=False)
    text = table.to_markdown(index=False, floatfmt=".4g")
    (given.to / "speed.md").write_text(f"{machine()}\n\n{text}\n")
    draw(results, given.to / "nll_against_time.png")
    print(text)


if __name__ == "__main__":
    main()
