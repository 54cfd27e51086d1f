"""What a flow consists of, and the doors that its verbs share."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Self

import pandas as pd
import torch
from numpy.typing import ArrayLike

from tramdag import inference
from tramdag.arguments import shown
from tramdag.data import (
    Do,
    Labels,
    Values,
    check_training_frame,
    encode_do,
    encode_frame,
    encode_weights,
    known_node,
    learn_labels,
    warn_of_empty_levels,
)
from tramdag.errors import ExtrapolationWarning, NotFittedError, SpecError, name_list
from tramdag.fitting import FitReport, NodeReport
from tramdag.latent import derive_seed, fresh_seed, known_seed
from tramdag.node import Conditional, ContinuousConditional, make_conditional
from tramdag.queries.sampling import Interventions
from tramdag.spec import Node, OrdinalNode, Spec, causal_order, check_spec, is_whole_number

__all__ = ["FlowBase", "check_points"]

_DTYPES = {"float64": torch.float64, "float32": torch.float32}


def _known_dtype(dtype: torch.dtype | str) -> torch.dtype:
    found = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or found not in _DTYPES.values():
        raise SpecError(f"dtype={shown(dtype)} must be float64 or float32.")
    return found


def _level_of_caller() -> int:
    """How many frames above the calling function the first one outside the library is."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("tramdag."):
        frame, level = frame.f_back, level + 1
    return level


def _known_device(device: str | torch.device) -> torch.device:
    usable = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError, ValueError):
        raise SpecError(
            f"device={device!r} is no device; those of this machine are {name_list(usable)}."
        ) from None
    try:
        torch.empty(0, device=found)
    # a torch built without CUDA answers with an AssertionError
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise SpecError(
            f"device={device!r} cannot be used here ({reason}); the devices of this machine are "
            f"{name_list(usable)}."
        ) from None
    return found


def check_points(n_points: int, verb: str) -> None:
    """Refuse numbers of Sobol points that the scramblings cannot share.

    Raises:
        SpecError: Not a power of two of at least 8.
    """
    if not is_whole_number(n_points, at_least=8) or n_points & (n_points - 1):
        raise SpecError(f"{verb}: n_points={n_points!r} must be a power of two of at least 8.")


class FlowBase:
    """Specification, conditional laws and the state of the last fit."""

    def __init__(
        self,
        spec: Spec,
        *,
        seed: int | None = None,
        dtype: torch.dtype | str = torch.float64,
        device: str | torch.device = "cpu",
    ) -> None:
        checked = check_spec(spec)
        self._order = causal_order(checked)
        self._nodes = {name: checked[name] for name in checked}
        self._dtype = _known_dtype(dtype)
        self._device = _known_device(device)
        self._seed = fresh_seed() if seed is None else known_seed(seed)
        self._calls = 0
        self._labels: Labels = {}
        self._report: FitReport | None = None
        self._training: Values | None = None
        self._weights: torch.Tensor | None = None
        self._information: dict[str, inference.Information] = {}

    @cached_property
    def _conditionals(self) -> dict[str, Conditional]:
        """The conditional laws, at their starting parameters until a fit replaces them."""
        return self._make_conditionals(self._seed)

    def _make_conditionals(self, seed: int) -> dict[str, Conditional]:
        made: dict[str, Conditional] = {
            name: make_conditional(name, self._nodes, seed=seed, dtype=self._dtype)
            for name in self._order
        }
        if self._device.type != "cpu":
            made = {name: conditional.to(self._device) for name, conditional in made.items()}
        return made

    def _with_fit(
        self,
        conditionals: dict[str, Conditional],
        report: FitReport,
        training: Values,
        weights: torch.Tensor | None,
        *,
        seed: int,
    ) -> Self:
        """A flow of the same specification and labels that holds another fit."""
        other = copy.copy(self)
        other._seed, other._calls, other._information = seed, 0, {}
        other._conditionals, other._report = conditionals, report
        other._training, other._weights = training, weights
        return other

    def __repr__(self) -> str:
        state = "fitted" if self._report is not None else "not fitted"
        return f"CausalFlowDAG({', '.join(self._order)}; {state})"

    @property
    def spec(self) -> dict[str, Node]:
        """The nodes by name."""
        return dict(self._nodes)

    @property
    def order(self) -> tuple[str, ...]:
        """Node names, every parent before its children."""
        return self._order

    @property
    def conditionals(self) -> Mapping[str, Conditional]:
        """The nodes' conditional laws (torch modules), in causal order."""
        return self._conditionals

    @property
    def report(self) -> FitReport:
        """Report of the last fit: solver, likelihood and certificate per node."""
        self._require_fit("report")
        assert self._report is not None
        return self._report

    @property
    def history(self) -> pd.DataFrame:
        """The last fit epoch by epoch; columns see :class:`~tramdag.fitting.FitReport`."""
        return self.report.history

    def to(self, device: str | torch.device) -> Self:
        """Move the parameters to a device, in place; returns the flow.

        Raises:
            SpecError: There is no such device here.
        """
        self._device = _known_device(device)
        for conditional in self._conditionals.values():
            conditional.to(self._device)
        return self

    def _require_fit(self, verb: str) -> None:
        if self._report is None:
            raise NotFittedError(f"{verb} needs a fitted flow; call fit(train_df) first.")

    def _levels_of(self, node: str, verb: str) -> list[object]:
        target = self._nodes[known_node(node, self._nodes, what=verb)]
        if not isinstance(target, OrdinalNode):
            raise SpecError(f"{verb}: node {node!r} is continuous; only ordinal nodes have a pmf.")
        return list(self._labels.get(node) or range(target.levels))

    def _rows(self, verb: str) -> Values:
        if self._training is None:
            raise NotFittedError(
                f"{verb} needs the training rows, which a checkpoint does not hold; call "
                "attach(train_df) first."
            )
        return self._on_device(self._training)

    def _entry(self, node: str) -> NodeReport:
        return next(entry for entry in self.report.node_reports if entry.node == node)

    def _information_of(self, node: str) -> inference.Information:
        if node not in self._information:
            self._information[node] = inference.information_of(
                self._conditionals[node],
                self._rows("standard errors"),
                self._entry(node),
                weights=self._weights,
            )
        return self._information[node]

    def _read_training(
        self, train_df: pd.DataFrame, val_df: pd.DataFrame | None, weights: ArrayLike | None = None
    ) -> tuple[Labels, Values, Values | None, torch.Tensor | None]:
        """Labels, training rows, validation rows and case weights of a fit, all checked."""
        labels = learn_labels(train_df, self._nodes)
        train = self._on_device(encode_frame(train_df, self._nodes, labels))
        own = None if weights is None else encode_weights(weights, len(train_df))
        check_training_frame(train, self._nodes, what="the training rows", weights=own)
        warn_of_empty_levels(train, self._nodes, labels, weights=own)
        if val_df is None:
            return labels, train, None, own
        return labels, train, self._on_device(encode_frame(val_df, self._nodes, labels)), own

    def _encode(self, df: pd.DataFrame, columns: Iterable[str] | None = None) -> Values:
        return encode_frame(df, self._nodes, self._labels, columns=columns)

    def _interventions(self, do: Do | None, n: int) -> Interventions:
        """Encoded do values; warns of those at which the model was never seen.

        Values that callables return are not looked at: they move with the rows.
        """
        encoded = encode_do(do, self._nodes, self._labels, n)
        for name, value in encoded.items():
            law = self._conditionals[name]
            if not isinstance(law, ContinuousConditional) or not isinstance(value, torch.Tensor):
                continue
            low, high = float(law.low), float(law.high)
            slack = 1e-6 * (high - low)  # an end that is exact but for rounding is still inside
            excess = torch.maximum(low - value, value - high)
            if float(excess.max()) > slack:
                sd_rule = "rounded outwards to whole standard deviations"
                warnings.warn(
                    f"do: node {name!r} is set to {value[excess.argmax()].item():g}, outside its "
                    f"training range of {low:.4g} to {high:.4g} ({sd_rule}). No row tells how its "
                    "effects behave there; the answer extrapolates the fitted terms.",
                    ExtrapolationWarning,
                    stacklevel=_level_of_caller(),
                )
        return encoded

    def _on_device(self, values: Values) -> Values:
        return {name: column.to(self._device) for name, column in values.items()}

    def _next_seed(self, seed: int | None) -> int:
        if seed is not None:
            return known_seed(seed)
        self._calls += 1
        return derive_seed(self._seed, "call", self._calls)
