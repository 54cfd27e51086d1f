"""The frozen stroke cohorts, their classical models, and a process that may start R."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from replication import crosscheck
from replication.frozen_r import Cohort, frozen_cohorts
from replication.polr import r_unavailable_reason

COHORTS = {cohort.observational.parent.name: cohort for cohort in frozen_cohorts()}


class Stroke(NamedTuple):
    """A cohort with the parents of each outcome as columns, ordinal ones by level."""

    variant: str
    cohort: Cohort
    df: pd.DataFrame
    trial: pd.DataFrame

    def design(self, *parents: str, df: pd.DataFrame | None = None) -> np.ndarray:
        df = self.df if df is None else df
        columns = [
            vector
            for parent in parents
            for vector in (
                [df[parent] == level for level in range(1, 6)]
                if parent == "mRS_pre"
                else [df[parent]]
            )
        ]
        return np.column_stack(columns).astype(float)

    @staticmethod
    def names(*parents: str) -> list[str]:
        return [
            name
            for parent in parents
            for name in (
                [f"mRS_pre={level}" for level in range(1, 6)] if parent == "mRS_pre" else [parent]
            )
        ]


@pytest.fixture(params=["ls", "nl"])
def stroke(request):
    cohort = COHORTS[request.param]
    frames = pd.read_csv(cohort.observational), pd.read_csv(cohort.trial)
    return Stroke(request.param, cohort, *frames)


@pytest.fixture(scope="session")
def in_r_process():
    """Call a function in a process of its own: R must not meet the torch of other tests."""
    reason = r_unavailable_reason()
    if reason:
        pytest.skip(f"needs R with MASS: {reason}")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda function, *args, **kwargs: pool.submit(function, *args, **kwargs).result()


@pytest.fixture
def no_r(monkeypatch):
    monkeypatch.setattr(crosscheck, "r_unavailable_reason", lambda: "there is no R on PATH")
