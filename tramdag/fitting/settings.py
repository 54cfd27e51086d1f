"""Settings of a fit, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from tramdag.arguments import check_choice, is_number, shown
from tramdag.errors import SpecError, name_list
from tramdag.node import Conditional
from tramdag.spec import is_whole_number

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "AdamSettings",
    "FitSettings",
    "QuasiNewtonSettings",
    "StepSettings",
    "check_solvable",
]

OPTIMIZERS = ("auto", "exact", "quasi-newton", "adam")

SCHEDULES = (None, "plateau", "onecycle", "cosine")
"""Adam's learning-rate schedules; None is constant."""

_HELD_OUT_FOR_A_SPLINE = 0.1


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    """What every fit by steps needs; see :meth:`tramdag.CausalFlowDAG.fit` for the meaning."""

    solver: ClassVar[str]
    epochs: int = 500
    freeze_patience: int | None = None
    min_delta: float = 1e-4
    restore_best: bool = True

    def __post_init__(self) -> None:
        self._make_whole("epochs")
        if self.freeze_patience is not None:
            self._make_whole("freeze_patience")
        if not isinstance(self.restore_best, (bool, np.bool_)):
            raise SpecError(f"fit: restore_best={shown(self.restore_best)} must be True or False.")
        # an infinite one lets nothing count as improvement
        if not is_number(self.min_delta, may_be_infinite=True) or self.min_delta < 0:
            raise SpecError(f"fit: min_delta={shown(self.min_delta)} must be a number, 0 or more.")

    def _make_whole(self, name: str) -> None:
        value = getattr(self, name)
        if not is_whole_number(value, at_least=1):
            raise SpecError(f"fit: {name}={value!r} must be a whole number of at least 1.")
        object.__setattr__(self, name, int(value))

    @property
    def ends_as_planned(self) -> bool:
        """Whether the last epoch is the end that was meant, not a limit that cut the fit short."""
        return False


@dataclass(frozen=True, kw_only=True)
class AdamSettings(StepSettings):
    """Settings of Adam."""

    solver = "adam"
    learning_rate: float = 1e-2
    batch_size: int = 512
    schedule: str | None = "plateau"
    plateau_patience: int = 15

    def __post_init__(self) -> None:
        super().__post_init__()
        self._make_whole("batch_size")
        self._make_whole("plateau_patience")
        if not is_number(self.learning_rate) or not self.learning_rate > 0:
            got = shown(self.learning_rate)
            raise SpecError(f"fit: learning_rate={got} must be a positive number, such as 0.01.")
        check_choice(self.schedule, SCHEDULES, what="fit: schedule")

    @property
    def ends_as_planned(self) -> bool:
        """A rate that has fallen to zero ends a fit."""
        return self.schedule in ("onecycle", "cosine")


@dataclass(frozen=True, kw_only=True)
class QuasiNewtonSettings(StepSettings):
    """Settings of the quasi-Newton method."""

    solver = "quasi-newton"
    ridge: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.ridge) or self.ridge < 0:
            raise SpecError(
                f"fit: ridge={shown(self.ridge)} must be a number, 0 or more: the precision of "
                "the normal prior of the networks' weights."
            )


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit; see :meth:`tramdag.CausalFlowDAG.fit`.

    Attributes:
        steps: How nodes are trained that are not solved exactly.
        validation_fraction: Share of the training rows held out where no validation rows are given;
            None is as the node needs.
    """

    steps: AdamSettings | QuasiNewtonSettings
    optimizer: str = "auto"
    validation_fraction: float | None = 0.1
    warm_start: bool = False
    verbose: int = 50
    progress: bool | None = None

    def __post_init__(self) -> None:
        for name, flag in (("warm_start", self.warm_start), ("progress", self.progress)):
            if not isinstance(flag, (bool, np.bool_)) and not (name == "progress" and flag is None):
                raise SpecError(f"fit: {name}={shown(flag)} must be True or False.")
        if not (isinstance(self.verbose, bool) or is_whole_number(self.verbose, at_least=0)):
            raise SpecError(
                f"fit: verbose={self.verbose!r} must be a whole number of at least 0: log every so "
                "many epochs, 0 never."
            )
        share = self.validation_fraction
        if share is not None and not (is_number(share) and 0.0 <= share < 1.0):
            raise SpecError(f"fit: validation_fraction={shown(share)} must lie in [0, 1).")

    @classmethod
    def of(cls, **options: Any) -> FitSettings:
        """Settings from the arguments of :meth:`tramdag.CausalFlowDAG.fit`, all optional.

        Another than the default value of a setting that only Adam has (rate, batches, schedule)
        chooses Adam for the nodes that are not solved exactly; else the quasi-Newton method trains
        them.

        Raises:
            SpecError: An unknown argument, a value that is not allowed, or settings of two methods.
        """
        own = {f.name for f in fields(cls)} - {"steps"}
        of_adam = {f.name for f in fields(AdamSettings)}
        of_newton = {f.name for f in fields(QuasiNewtonSettings)}
        allowed = own | of_adam | of_newton
        for name in options:
            if name not in allowed:
                raise SpecError(
                    f"fit: unknown argument {name!r}; allowed are {name_list(sorted(allowed))}."
                )
        kinds = (cls, AdamSettings, QuasiNewtonSettings)
        defaults = {f.name: f.default for kind in kinds for f in fields(kind)}
        defaults["schedule"] = "auto"
        given = {name for name, value in options.items() if not _is_same(value, defaults.get(name))}
        for_adam, for_newton = sorted(given & of_adam - of_newton), given & of_newton - of_adam
        optimizer = options.get("optimizer", "auto")
        check_choice(optimizer, OPTIMIZERS, what="fit: optimizer")
        check_choice(options.get("schedule", "auto"), ("auto", *SCHEDULES), what="fit: schedule")
        by_adam = optimizer == "adam" or (optimizer != "quasi-newton" and bool(for_adam))
        if by_adam and for_newton:
            why = "optimizer='adam'" if optimizer == "adam" else name_list(for_adam)
            raise SpecError(
                f"fit: {name_list(sorted(for_newton))} is for the quasi-Newton method, but {why} "
                "asks for Adam; leave one of them out."
            )
        if for_adam and not by_adam:
            raise SpecError(
                f"fit: {name_list(for_adam)} steers Adam, which optimizer='quasi-newton' does not "
                "use; leave it out, or take optimizer='adam'."
            )
        kind = AdamSettings if by_adam else QuasiNewtonSettings
        names = of_adam if by_adam else of_newton
        steps = kind(**{k: v for k, v in options.items() if k in names & given})
        plain = {k: v for k, v in options.items() if k in own}
        if not by_adam and "validation_fraction" not in given:
            plain["validation_fraction"] = None
        return cls(steps=steps, **plain)

    def held_out_share(self, conditional: Conditional) -> float:
        """Share of the training rows held out for a node where no validation rows are given.

        By default the quasi-Newton method needs none, except for a spline, whose own parameters
        have no prior.
        """
        if self.validation_fraction is not None:
            return self.validation_fraction
        return 0.0 if conditional.has_convex_head else _HELD_OUT_FOR_A_SPLINE

    def is_exact(self, conditional: Conditional) -> bool:
        """Whether the node is solved exactly."""
        return self.optimizer in ("auto", "exact") and conditional.is_classical


def _is_same(value: object, default: object) -> bool:
    """Whether an argument is left at its default; tables and the like, errors all, never are."""
    plain = value is None or isinstance(value, (str, int, float, np.generic))
    return value is default or (plain and type(value) is not bool and value == default)


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
