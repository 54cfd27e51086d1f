"""R's results on frozen cohorts, committed for machines without R.

The folder ``ref_<model>`` beside a cohort's ``obs.csv`` holds ``r.csv``, the rows that R gave, and
``provenance.json`` with the versions, the R calls, the specification and the hashes of the data.

``python -m replication.frozen_r freeze`` (with R) writes what is missing for every classical model
of experiments.yaml that trains on a file under ``data/``, and refuses to replace what differs;
``python -m replication.frozen_r verify`` compares only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from replication.classical_fit import ClassicalFitError
from replication.crosscheck_programs import R_PROGRAMS
from replication.crosscheck_table import COLUMNS, Spec, reference_rows, terms_of, tidy
from replication.experiments import has_main_effects_only
from replication.job import read_csv, write_csv, write_json
from replication.polr import GLM_CALL, POLR_CALL, r_versions

__all__ = ["FROZEN", "Cohort", "freeze_reference", "frozen_cohorts", "main", "read_frozen"]

_log = logging.getLogger(__name__)

FROZEN = " (frozen)"
"""Ending of a program's name where its committed results stand in for it."""

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS_FILE = ROOT / "workflow" / "config" / "experiments.yaml"

_TABLE, _PROVENANCE = "r.csv", "provenance.json"
_DIGITS = 12
"""Significant digits that are written; the last ones may differ between builds of R."""

_TOLERANCE = 1e-6
"""Relative difference of values up to which two machines gave the same result."""


@dataclass(frozen=True)
class Cohort:
    """A frozen cohort and the classical model that R fits to it.

    Attributes:
        observational: CSV of the training rows.
        trial: CSV of the population that effects are averaged over, or None.
        spec: Plain form of the specification.
        effects: Entries ``{"treatment", "outcome", "at_most"}``.
        folder: Where the results are.
    """

    observational: Path
    trial: Path | None
    spec: Spec
    effects: Sequence[Mapping[str, Any]]
    folder: Path


def frozen_cohorts(
    experiments_file: Path = EXPERIMENTS_FILE, *, root: Path = ROOT
) -> Iterator[Cohort]:
    """Every classical model of an experiment whose training file is under ``data/``."""
    content = yaml.safe_load(experiments_file.read_text(encoding="utf-8"))
    for experiment in content["experiments"].values():
        data = experiment["data"]
        if "file" not in data or Path(data["file"]).parts[0] != "data":
            continue
        file = root / data["file"]
        trial = root / data["trial"] if "trial" in data else None
        for name, model in experiment["models"].items():
            if has_main_effects_only(model["spec"]):
                folder = file.parent / f"ref_{name}"
                effects = experiment.get("effects", ())
                yield Cohort(file, trial, model["spec"], effects, folder)


def read_frozen(
    folder: Path,
    *,
    observational: Path,
    spec: Spec,
    trial: Path | None = None,
    effects: Sequence[Mapping[str, Any]] = (),
) -> pd.DataFrame:
    """R's committed rows, each program's name ending in `` (frozen)``.

    Args:
        folder: A ``ref_<model>`` folder.
        observational: The training rows of now, which must be those that R saw.
        spec: The specification of now, likewise.
        trial: The population of now, likewise.
        effects: The effects of now, likewise.

    Raises:
        ClassicalFitError: There are no committed results, or they belong to other data, another
            specification or other effects.
    """
    if not (folder / _TABLE).is_file() or not (folder / _PROVENANCE).is_file():
        raise ClassicalFitError(f"{folder} holds no committed results of R.")
    then = json.loads((folder / _PROVENANCE).read_text(encoding="utf-8"))
    now = _identity(Cohort(observational, trial, spec, effects, folder))
    for key, value in now.items():
        if then[key] != value:
            raise ClassicalFitError(
                f"the results of R in {folder} belong to another {key}: committed is "
                f"{then[key]}, asked for is {value}. Install R, or freeze them anew."
            )
    table = tidy(read_csv(folder / _TABLE))
    return table.assign(reference=table["reference"] + FROZEN)


def freeze_reference(cohort: Cohort, *, write: bool = True) -> bool:
    """Let R fit a cohort and keep its results, unless they exist.

    Args:
        cohort: What to fit.
        write: Write missing files; otherwise they only count as a difference.

    Returns:
        Whether files were written.

    Raises:
        ClassicalFitError: Files exist and differ from what R gives now, or are missing and
            ``write`` is false; nothing is changed.
    """
    exists = (cohort.folder / _TABLE).is_file()
    if not exists and not write:
        raise ClassicalFitError(f"{cohort.folder / _TABLE} is missing.")
    trial = None if cohort.trial is None else read_csv(cohort.trial)
    rows = reference_rows(
        read_csv(cohort.observational),
        cohort.spec,
        programs=R_PROGRAMS,
        trial=trial,
        effects=cohort.effects,
    )
    if exists:
        committed = read_frozen(
            cohort.folder,
            observational=cohort.observational,
            spec=cohort.spec,
            trial=cohort.trial,
            effects=cohort.effects,
        )
        _check_equal(rows, committed, cohort.folder / _TABLE)
        return False
    write_csv(cohort.folder / _TABLE, rows.assign(value=rows["value"].map(_rounded)))
    write_json(cohort.folder / _PROVENANCE, _identity(cohort) | _software())
    return True


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _identity(cohort: Cohort) -> dict[str, Any]:
    """What the results depend on, in a form that JSON gives back unchanged."""
    files = [cohort.observational] if cohort.trial is None else [cohort.observational, cohort.trial]
    return {
        "data": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "specification": {
            node: {
                "levels": entry.get("levels"),
                "terms": [f"{kind}({', '.join(p)})" for kind, p in terms_of(cohort.spec, node)],
            }
            for node, entry in cohort.spec.items()
        },
        "effects": [
            {key: effect[key] for key in ("treatment", "outcome", "at_most")}
            for effect in cohort.effects
        ],
    }


def _software() -> dict[str, Any]:
    return {"versions": r_versions(), "calls": {"R polr": POLR_CALL, "R glm": GLM_CALL}}


def _check_equal(rows: pd.DataFrame, committed: pd.DataFrame, path: Path) -> None:
    committed = committed.assign(reference=committed["reference"].str.removesuffix(FROZEN))
    if not _of_cutpoints(committed).any():
        # frozen when the table kept the standard errors of coefficients only
        rows = rows[~_of_cutpoints(rows)].reset_index(drop=True)
    keys = [name for name in COLUMNS if name not in ("value", "note")]
    if not rows[keys].equals(committed[keys]):
        raise ClassicalFitError(
            f"{path} has other rows than R gives now; remove it to freeze anew."
        )
    # a standard error from a numerical Hessian carries fewer digits than the estimate
    tolerance = np.where(rows["quantity"] == "std_error", 1e-3, _TOLERANCE)
    now, then = rows["value"].to_numpy(dtype=float), committed["value"].to_numpy(dtype=float)
    equal = np.isclose(now, then, rtol=tolerance, atol=1e-3 * tolerance, equal_nan=True)
    if not equal.all():
        row = int(np.flatnonzero(~equal)[0])
        raise ClassicalFitError(
            f"{path} differs from R in line {row + 2}: committed is {then[row]:.10g}, R gives "
            f"{now[row]:.10g}; remove the file to freeze anew."
        )


def _of_cutpoints(table: pd.DataFrame) -> pd.Series:
    """Which rows are standard errors of cutpoints."""
    return (table["quantity"] == "std_error") & (table["parent"] == "")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; exit status 1 where files differ."""
    parser = argparse.ArgumentParser(prog="python -m replication.frozen_r", description=__doc__)
    parser.add_argument("command", choices=("freeze", "verify"))
    command = parser.parse_args(arguments).command
    status = 0
    for cohort in frozen_cohorts():
        try:
            written = freeze_reference(cohort, write=command == "freeze")
        except ClassicalFitError as error:
            _log.error("%s", error)
            status = 1
        else:
            _log.info("%s: %s", cohort.folder, "written" if written else "unchanged")
    return status


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("rpy2").setLevel(logging.WARNING)
    sys.exit(main())
