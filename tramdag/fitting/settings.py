"""Settings of a fit, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from tramdag.arguments import check_choice, is_number, shown
from tramdag.errors import SpecError, name_list
from tramdag.node import Conditional
from tramdag.spec import is_whole_number

__all__ = ["OPTIMIZERS", "SCHEDULES", "AdamSettings", "FitSettings", "check_solvable"]

OPTIMIZERS = ("auto", "exact", "adam")

SCHEDULES = (None, "plateau", "onecycle", "cosine")
"""Learning-rate schedules; None is constant."""


@dataclass(frozen=True)
class AdamSettings:
    """Settings of a gradient fit; see :meth:`tramdag.CausalFlowDAG.fit` for their meaning."""

    epochs: int = 500
    learning_rate: float = 1e-2
    batch_size: int = 512
    schedule: str | None = "plateau"
    plateau_patience: int = 15
    freeze_patience: int | None = None
    min_delta: float = 1e-4
    restore_best: bool = True

    def __post_init__(self) -> None:
        whole = {"epochs": self.epochs, "batch_size": self.batch_size}
        whole["plateau_patience"] = self.plateau_patience
        if self.freeze_patience is not None:
            whole["freeze_patience"] = self.freeze_patience
        for name, value in whole.items():
            if not is_whole_number(value, at_least=1):
                raise SpecError(f"fit: {name}={value!r} must be a whole number of at least 1.")
            object.__setattr__(self, name, int(value))
        if not is_number(self.learning_rate) or not self.learning_rate > 0:
            got = shown(self.learning_rate)
            raise SpecError(f"fit: learning_rate={got} must be a positive number, such as 0.01.")
        # an infinite one lets nothing count as improvement
        if not is_number(self.min_delta, may_be_infinite=True) or self.min_delta < 0:
            raise SpecError(f"fit: min_delta={shown(self.min_delta)} must be a number, 0 or more.")
        check_choice(self.schedule, SCHEDULES, what="fit: schedule")


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit beyond those of Adam; see :meth:`tramdag.CausalFlowDAG.fit`."""

    adam: AdamSettings
    optimizer: str = "auto"
    validation_fraction: float = 0.1
    warm_start: bool = False
    verbose: int = 50
    progress: bool | None = None

    def __post_init__(self) -> None:
        check_choice(self.optimizer, OPTIMIZERS, what="fit: optimizer")
        for name, flag in (("warm_start", self.warm_start), ("progress", self.progress)):
            if not isinstance(flag, (bool, np.bool_)) and not (name == "progress" and flag is None):
                raise SpecError(f"fit: {name}={shown(flag)} must be True or False.")
        if not (isinstance(self.verbose, bool) or is_whole_number(self.verbose, at_least=0)):
            raise SpecError(
                f"fit: verbose={self.verbose!r} must be a whole number of at least 0: log every so "
                "many epochs, 0 never."
            )
        share = self.validation_fraction
        if not is_number(share) or not 0.0 <= share < 1.0:
            raise SpecError(f"fit: validation_fraction={shown(share)} must lie in [0, 1).")

    @classmethod
    def of(cls, **options: Any) -> FitSettings:
        """Settings from the arguments of :meth:`tramdag.CausalFlowDAG.fit`, all optional.

        Raises:
            SpecError: An unknown argument, or a value that is not allowed.
        """
        own = {f.name for f in fields(cls)} - {"adam"}
        steps = {f.name for f in fields(AdamSettings)}
        for name in options:
            if name not in own | steps:
                raise SpecError(
                    f"fit: unknown argument {name!r}; allowed are {name_list(sorted(own | steps))}."
                )
        adam = AdamSettings(**{k: v for k, v in options.items() if k in steps})
        return cls(adam=adam, **{k: v for k, v in options.items() if k in own})

    def is_exact(self, conditional: Conditional) -> bool:
        """Whether the node is solved exactly."""
        return self.optimizer != "adam" and conditional.is_classical


def check_solvable(conditionals: Mapping[str, Conditional], settings: FitSettings) -> None:
    """Refuse ``optimizer="exact"`` where a node is not classical.

    Raises:
        SpecError: Names the nodes.
    """
    if settings.optimizer != "exact":
        return
    stochastic = [name for name, c in conditionals.items() if not c.is_classical]
    if stochastic:
        raise SpecError(
            f"fit: optimizer='exact' needs classical nodes (only LS terms, a bernstein or affine "
            f"transform or an ordinal node), but {name_list(stochastic)} "
            f"{'is' if len(stochastic) == 1 else 'are'} not. Use optimizer='auto'."
        )
