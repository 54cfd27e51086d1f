"""The protocol that every process follows: latents, equations, interventions, densities.

A process is a set of structural equations in causal order, each a function of its parents and of
its own latents. The three rungs differ only in which equations run on which latents:
an observation runs all equations, an intervention replaces the equations of the nodes in ``do`` by
values, a counterfactual pair runs both on the same latents.

Random streams. Every draw uses ``numpy.random.default_rng(k)`` and makes one vectorised call of
size n per latent, in the order of ``latents``; k is ``seed + seed_offset`` plus

====================  ====
observational            1
counterfactual pair      2
interventional         501
====================  ====

A longer draw therefore does not begin with the shorter one: only the first latent is prefix-stable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .checks import Do, check_column, check_count, check_do, check_table
from .distributions import SAMPLERS, FloatArray

Values = Mapping[str, np.ndarray]
Mechanism = Callable[[Values, Values], np.ndarray]
"""Maps (values of the earlier nodes, latents) to the values of a node, all of shape ``(n,)``."""

OBSERVATIONAL, COUNTERFACTUAL, INTERVENTIONAL = 1, 2, 501


class StructuralModel(ABC):
    """A structural causal model with known equations; subclasses state them.

    Attributes:
        columns: Nodes in causal order.
        parents: Parents of each node.
        levels: Number of levels of each ordinal node; the others are continuous.
        latent_laws: Law of each latent, in the order of the draws.
        atoms: Points of positive probability of continuous nodes.
        n_frozen: Rows of the frozen observational table.
        frozen_streams: Offset of the random stream of each frozen table.
        byte_stable: Whether the frozen tables are the same bytes on every processor.
        seed: Base of the random streams.
    """

    columns: ClassVar[tuple[str, ...]]
    parents: ClassVar[Mapping[str, tuple[str, ...]]]
    levels: ClassVar[Mapping[str, int]] = {}
    latent_laws: ClassVar[Mapping[str, str]]
    atoms: ClassVar[Mapping[str, tuple[float, ...]]] = {}
    n_frozen: ClassVar[int]
    frozen_streams: ClassVar[Mapping[str, int]] = {"obs": OBSERVATIONAL}
    byte_stable: ClassVar[bool] = False
    seed: int

    def __post_init__(self) -> None:
        """Check the seed; subclasses add checks of their own fields."""
        check_count(self._name, "seed", self.seed, at_least=0)

    @property
    def latents(self) -> tuple[str, ...]:
        """Names of the latents in the order of the draws."""
        return tuple(self.latent_laws)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def draw_latents(self, n: int, rng: int | np.random.Generator) -> pd.DataFrame:
        """Draw n rows of latents, one vectorised call per latent.

        Args:
            n: Number of rows, at least 1.
            rng: A generator, or the seed of a new one.

        Returns:
            DataFrame with one float column per latent.

        Raises:
            ValueError: If n or the seed is no such number.
        """
        n = check_count(self._name, "n", n, at_least=1)
        if not isinstance(rng, np.random.Generator):
            rng = np.random.default_rng(check_count(self._name, "rng", rng, at_least=0))
        return pd.DataFrame({name: SAMPLERS[law](rng, n) for name, law in self.latent_laws.items()})

    def simulate(
        self, latents: pd.DataFrame | Mapping[str, ArrayLike], do: Do | None = None
    ) -> pd.DataFrame:
        """Run the equations on given latents.

        Args:
            latents: One column per latent, as :meth:`draw_latents` makes them.
            do: Nodes whose equation is replaced by a scalar or by one value per row.

        Returns:
            DataFrame in causal order with the index of ``latents``; ordinal columns are int64.

        Raises:
            ValueError: If a latent is missing, not finite or of another length, or if ``do``
                names no node, has the wrong length, a missing value or an impossible level.
        """
        noise = {
            name: check_column(self._name, f"latent {name}", values, None)
            for name, values in check_table(self._name, latents, self.latents).items()
        }
        fixed = check_do(self._name, do, len(noise[self.latents[0]]), self.columns, self.levels)
        mechanisms = self._mechanisms()
        values: dict[str, np.ndarray] = {}
        for node in self.columns:
            values[node] = fixed[node] if node in fixed else mechanisms[node](values, noise)
        index = latents.index if isinstance(latents, pd.DataFrame) else None
        return pd.DataFrame(values, index=index)

    def observational(self, n: int, seed_offset: int = 0) -> pd.DataFrame:
        """Draw n rows of the undisturbed process."""
        return self._draw(n, OBSERVATIONAL, seed_offset)

    def interventional(self, n: int, do: Do, seed_offset: int = 0) -> pd.DataFrame:
        """Draw n rows under ``do``; see :meth:`simulate` for its values and errors."""
        return self._draw(n, INTERVENTIONAL, seed_offset, do)

    def counterfactual_pair(
        self, n: int, do: Do, seed_offset: int = 0
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Draw n rows twice on the same latents: as they are, and under ``do``.

        Returns:
            The factual and the counterfactual table, row by row the same unit.
        """
        latents = self._stream(n, COUNTERFACTUAL, seed_offset)
        return self.simulate(latents), self.simulate(latents, do)

    def log_density(self, df: pd.DataFrame) -> FloatArray:
        """Return the exact observational log density of each row in nats, shape ``(n,)``.

        The density is with respect to Lebesgue measure for continuous nodes and counting measure
        for ordinal ones; a node with ``atoms`` has counting measure at these points in addition.
        It is -inf outside the support.

        Raises:
            ValueError: If a column is missing, not finite, or holds an impossible level.
        """
        return self.log_density_by_node(df).to_numpy().sum(axis=1)

    def log_density_by_node(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return the log density of each node given its parents, in nats, one column per node.

        The rows add up to :meth:`log_density`, which see for measures and errors.
        """
        return pd.DataFrame(self._log_densities(self._check_rows(df, self.columns)), index=df.index)

    def frozen_tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables to be frozen, by file stem."""
        return {"obs": self.observational(self.n_frozen)}

    @abstractmethod
    def truth(self) -> dict[str, Any]:
        """Return constants and analytic truths of this process as JSON-ready values."""

    @abstractmethod
    def _mechanisms(self) -> Mapping[str, Mechanism]:
        """Return the structural equation of each node."""

    @abstractmethod
    def _log_densities(self, values: Values) -> Mapping[str, FloatArray]:
        """Return the conditional log densities by node for checked columns."""

    def _stream(self, n: int, stream: int, seed_offset: int) -> pd.DataFrame:
        offset = check_count(self._name, "seed_offset", seed_offset, at_least=0)
        return self.draw_latents(n, self.seed + stream + offset)

    def _draw(self, n: int, stream: int, seed_offset: int, do: Do | None = None) -> pd.DataFrame:
        return self.simulate(self._stream(n, stream, seed_offset), do)

    def _check_rows(self, df: pd.DataFrame, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
        if not isinstance(df, pd.DataFrame):
            raise ValueError(
                f"{self._name}: got a {type(df).__name__}; give a DataFrame with the columns "
                f"{', '.join(columns)}."
            )
        return {
            node: check_column(self._name, f"column {node}", values, self.levels.get(node))
            for node, values in check_table(self._name, df, columns).items()
        }

    def _check_scalar_do(self, do: Do | None) -> dict[str, float]:
        """Return a do of scalars as plain numbers, for truths about one whole population."""
        for node, value in do.items() if isinstance(do, Mapping) else ():
            if np.ndim(value) != 0:
                raise ValueError(
                    f"{self._name}: the do value of {node} has shape {np.shape(value)}; analytic "
                    "truths are about one intervention, so give a scalar."
                )
        fixed = check_do(self._name, do, 1, self.columns, self.levels)
        return {node: values[0].item() for node, values in fixed.items()}


class InvertibleModel(StructuralModel):
    """A process whose rows determine their counterfactuals."""

    def abduct_noise(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return latents that :meth:`simulate` maps to the rows of df.

        Where several latents make one root node (a Gaussian pair), one of the triples that do is
        returned; the choice has no influence on any counterfactual.

        Raises:
            ValueError: If a column is missing or not finite.
        """
        noise = self._abduct(self._check_rows(df, self.columns))
        return pd.DataFrame({name: noise[name] for name in self.latents}, index=df.index)

    def true_counterfactual(self, df: pd.DataFrame, do: Do) -> pd.DataFrame:
        """Return the rows of df as they would have been under ``do``.

        Abduction, action, prediction; see :meth:`simulate` for the values and errors of ``do``.
        """
        return self.simulate(self.abduct_noise(df), do)

    @abstractmethod
    def _abduct(self, values: Values) -> Mapping[str, FloatArray]:
        """Return the latents of checked columns."""
