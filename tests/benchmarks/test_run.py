"""The benchmarks run, on tiny sizes; what they measure is nobody's test."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_quick_benchmark_writes_a_number_for_every_task(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "run.py", "--quick", "--to", tmp_path]
    subprocess.run(command, check=True, timeout=600, capture_output=True)
    table = pd.read_csv(tmp_path / "speed.csv")
    tasks = {"vaca", "vaca_by_adam", "stroke", "bootstrap", "seeds", "seeds_by_adam", "million"}
    tasks |= {"ten_million", "vaca_law", "carefl_law", "atan_20", "atan_30", "spline_floor"}
    assert set(table["task"]) == tasks
    assert (table.loc[table["unit"] == "cpu_s", "median"] > 0).all()
    assert (tmp_path / "nll_against_time.png").stat().st_size > 0
    assert "one thread" in (tmp_path / "speed.md").read_text()
