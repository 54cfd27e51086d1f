"""One tidy table of what classical programs say about the classical nodes of a specification.

Every number is a row: a coefficient, a cutpoint, a theta (the Bernstein coefficients of a
continuous node), the standard error of one of these, a log-likelihood or an average effect. Signs
follow the library: for an ordinal node shifts are subtracted from the cutpoints, as in polr; for a
continuous node they are added to h, so polr's coefficients change sign.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from replication.classical_fit import ClassicalFit, ClassicalFitError, Floats
from replication.experiments import is_classical_node

__all__ = [
    "COLUMNS",
    "KEYS",
    "Programs",
    "Spec",
    "coefficient_rows",
    "encode_parents",
    "intercept_rows",
    "reference_rows",
    "terms_of",
    "tidy",
]

_log = logging.getLogger(__name__)

Spec = Mapping[str, Mapping[str, Any]]
"""Plain form of a specification, as in experiments.yaml."""

KEYS = ("node", "quantity", "parent", "level")
COLUMNS = ("node", "reference", "quantity", "parent", "level", "value", "note")

_Row = dict[str, Any]
_OrdinalFitter = Callable[[npt.ArrayLike, npt.ArrayLike, Sequence[str]], ClassicalFit]
_ContinuousRows = Callable[[Floats, "EncodedParents", Mapping[str, Any]], Iterator[_Row]]


@dataclass(frozen=True)
class Programs:
    """The programs behind one reference table, each with its name in the table.

    Attributes:
        ordinal: For three levels and more.
        binary: For two levels.
        continuous: Rows of a continuous node from its values, encoded parents and specification.
    """

    ordinal: tuple[str, _OrdinalFitter]
    binary: tuple[str, _OrdinalFitter]
    continuous: tuple[str, _ContinuousRows]


@dataclass(frozen=True, eq=False)
class EncodedParents:
    """Design matrix of linear shifts: continuous parents raw, ordinal ones by level against 0.

    Attributes:
        columns: (parent, level) of each column; level is None for a continuous parent.
        matrix: Shape ``(n, n_columns)``.
        unseen: (parent, level) pairs without a row, which no program can estimate.
    """

    columns: tuple[tuple[str, int | None], ...]
    matrix: Floats
    unseen: tuple[tuple[str, int], ...]

    @property
    def names(self) -> list[str]:
        """Names of the columns for messages, such as ``Age`` and ``mRS_pre=2``."""
        return [parent if level is None else f"{parent}={level}" for parent, level in self.columns]


def encode_parents(df: pd.DataFrame, spec: Spec, node: str) -> EncodedParents:
    """Encode the parents of a node with linear shifts.

    Raises:
        ClassicalFitError: A product term, a missing column, or an ordinal value out of range.
    """
    columns: list[tuple[str, int | None]] = []
    unseen: list[tuple[str, int]] = []
    vectors: list[Floats] = []
    for parent in _linear_parents(spec, node):
        values = _column(df, parent)
        if spec[parent].get("kind") != "ordinal":
            columns.append((parent, None))
            vectors.append(values)
            continue
        levels = int(spec[parent]["levels"])
        _check_range(parent, values, levels)
        for level in range(1, levels):
            dummy = (values == level).astype(float)
            if dummy.any():
                columns.append((parent, level))
                vectors.append(dummy)
            else:
                unseen.append((parent, level))
    matrix = np.column_stack(vectors) if vectors else np.empty((len(df), 0))
    return EncodedParents(tuple(columns), matrix, tuple(unseen))


def reference_rows(
    observational: pd.DataFrame,
    spec: Spec,
    *,
    programs: Programs,
    trial: pd.DataFrame | None = None,
    effects: Sequence[Mapping[str, Any]] = (),
) -> pd.DataFrame:
    """Fit every classical node of a specification by other programs.

    A node that a program cannot fit, such as one whose levels are separated, gets a row without a
    value and with the reason as its note. Nodes with networks are left out.

    Args:
        observational: The training rows.
        spec: The specification; parents must be nodes of it.
        programs: Who fits.
        trial: The population that effects are averaged over; default ``observational``.
        effects: Entries ``{"treatment", "outcome", "at_most"}``: the mean over the population of
            P(outcome <= at_most) under treatment 1 minus that under 0.

    Returns:
        Columns node, reference, quantity (coefficient, cutpoint, theta, std_error, log_likelihood,
        ate), parent ("" where none), level (of an ordinal parent, of a cutpoint or theta, or
        at_most), value and note. A std_error has the parent and level of its parameter.
    """
    rows: list[_Row] = []
    for node in filter(lambda name: is_classical_node(spec[name]), spec):
        program, _ = _choose(programs, spec, node)
        try:
            found = list(_node_rows(observational, spec, node, programs, trial, effects))
        except ClassicalFitError as error:
            _log.warning("%s, node %s: %s", program, node, error)
            found = [{"quantity": "log_likelihood", "value": np.nan, "note": str(error)}]
        rows += [{"node": node, "reference": program, **row} for row in found]
    return tidy(pd.DataFrame(rows, columns=list(COLUMNS)))


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Key columns in their one form: text without missing values, levels as nullable integers."""
    texts = {
        name: table[name].astype(object).where(table[name].notna(), "")
        for name in ("parent", "note")
        if name in table
    }
    return table.assign(level=pd.to_numeric(table["level"]).astype("Int64"), **texts)


def _choose(programs: Programs, spec: Spec, node: str) -> tuple[str, Any]:
    if spec[node].get("kind") != "ordinal":
        return programs.continuous
    return programs.binary if spec[node]["levels"] == 2 else programs.ordinal


def _node_rows(
    observational: pd.DataFrame,
    spec: Spec,
    node: str,
    programs: Programs,
    trial: pd.DataFrame | None,
    effects: Sequence[Mapping[str, Any]],
) -> Iterator[_Row]:
    encoded = encode_parents(observational, spec, node)
    values = _column(observational, node)
    _, program = _choose(programs, spec, node)
    if spec[node].get("kind") != "ordinal":
        yield from program(values, encoded, spec[node])
    else:
        _check_levels_seen(node, values, int(spec[node]["levels"]))
        fit = program(values, encoded.matrix, encoded.names)
        yield from _ordinal_rows(fit, encoded)
        population = observational if trial is None else trial
        for effect in effects:
            if effect["outcome"] == node:
                yield _effect_row(fit, encoded, population, spec, effect)
    for parent, level in encoded.unseen:
        yield {
            "quantity": "coefficient",
            "parent": parent,
            "level": level,
            "value": np.nan,
            "note": f"no row has {parent} = {level}",
        }


def _ordinal_rows(fit: ClassicalFit, encoded: EncodedParents) -> Iterator[_Row]:
    note = "; ".join(fit.warnings)
    yield from coefficient_rows(encoded, fit.coefficients, fit.std_errors, note=note)
    yield from intercept_rows("cutpoint", fit.cutpoints, fit.cutpoint_std_errors, note=note)
    yield {"quantity": "log_likelihood", "value": fit.log_likelihood, "note": note}


def coefficient_rows(
    encoded: EncodedParents, coefficients: Floats, std_errors: Floats, *, note: str = ""
) -> Iterator[_Row]:
    """Two rows per column of the design, its coefficient and its standard error."""
    for (parent, level), value, error in zip(
        encoded.columns, coefficients, std_errors, strict=True
    ):
        key = {"parent": parent, "level": level, "note": note}
        yield {"quantity": "coefficient", "value": value, **key}
        yield {"quantity": "std_error", "value": error, **key}


def intercept_rows(
    quantity: str, values: Floats, std_errors: Floats, *, note: str = ""
) -> Iterator[_Row]:
    """Two rows per cutpoint of an ordinal node or theta of a continuous one, as for coefficients.

    A theta without a standard error, where monotonicity binds, has one row.
    """
    for level, (value, error) in enumerate(zip(values, std_errors, strict=True)):
        yield {"quantity": quantity, "level": level, "value": value, "note": note}
        if np.isfinite(error):
            yield {"quantity": "std_error", "level": level, "value": error, "note": note}


def _effect_row(
    fit: ClassicalFit,
    encoded: EncodedParents,
    population: pd.DataFrame,
    spec: Spec,
    effect: Mapping[str, Any],
) -> _Row:
    treatment, outcome, at_most = effect["treatment"], effect["outcome"], int(effect["at_most"])
    row: _Row = {"quantity": "ate", "parent": treatment, "level": at_most, "value": np.nan}
    try:
        mediators = [p for p in _linear_parents(spec, outcome) if treatment in _causes(spec, p)]
        if mediators:
            raise ClassicalFitError(
                f"{', '.join(mediators)} stands between {treatment} and {outcome}: the effect is "
                "not that of one regression"
            )
        arms = [
            fit.probability_at_most(
                at_most, _design_of(population.assign(**{treatment: arm}), spec, outcome, encoded)
            )
            for arm in (0, 1)
        ]
    except ClassicalFitError as error:
        return row | {"note": str(error)}
    return row | {"value": float(np.mean(arms[1] - arms[0]))}


def _design_of(df: pd.DataFrame, spec: Spec, node: str, fitted: EncodedParents) -> Floats:
    """Columns of the fitted design for other rows, whose levels must all have been seen."""
    encoded = encode_parents(df, spec, node)
    strange = [pair for pair in fitted.unseen if pair in encoded.columns]
    if strange:
        parent, level = strange[0]
        raise ClassicalFitError(f"the population has {parent} = {level}, the training rows do not")
    position = {pair: j for j, pair in enumerate(encoded.columns)}
    design = np.zeros((len(df), len(fitted.columns)))
    for j, pair in enumerate(fitted.columns):
        if pair in position:
            design[:, j] = encoded.matrix[:, position[pair]]
    return design


def terms_of(spec: Spec, node: str) -> list[tuple[str, list[str]]]:
    """Kind and parents of each term of a node, from either notation."""
    entry = spec[node]
    short = [(kind, [parent]) for parent, kind in entry.get("parents", {}).items()]
    return short + [(term["kind"], list(term["parents"])) for term in entry.get("terms", ())]


def _linear_parents(spec: Spec, node: str) -> list[str]:
    groups = [parents for _, parents in terms_of(spec, node)]
    for group in groups:
        if len(group) > 1:
            raise ClassicalFitError(
                f"the product term of {' and '.join(group)} is not part of the cross-check"
            )
    return [group[0] for group in groups]


def _causes(spec: Spec, node: str) -> set[str]:
    """All ancestors of a node, whatever their terms."""
    found: set[str] = set()
    stack = [node]
    while stack:
        for _, parents in terms_of(spec, stack.pop()):
            stack += [parent for parent in parents if parent not in found]
            found.update(parents)
    return found


def _column(df: pd.DataFrame, name: str) -> Floats:
    if name not in df:
        raise ClassicalFitError(
            f"there is no column {name!r}; columns are {', '.join(map(str, df.columns))}"
        )
    values: Floats = df[name].to_numpy(dtype=float, na_value=np.nan)
    return values


def _check_range(name: str, values: Floats, levels: int) -> None:
    if not np.isin(values, np.arange(levels)).all():
        raise ClassicalFitError(
            f"column {name!r} has values other than its levels 0 to {levels - 1}"
        )


def _check_levels_seen(name: str, values: Floats, levels: int) -> None:
    _check_range(name, values, levels)
    missing = sorted(set(range(levels)) - set(values.astype(int).tolist()))
    if missing:
        raise ClassicalFitError(
            f"level {missing[0]} of {name!r} has no rows, its cutpoints are not identified"
        )
