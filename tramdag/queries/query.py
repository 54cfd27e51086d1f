"""A question about one node: under which intervention, given which rows or which evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from tramdag.data import Values
from tramdag.node import Conditional
from tramdag.queries.mediation import mediators_of, requisite
from tramdag.queries.particles import Particles, Plan, make_plan, propagate, sobol_points
from tramdag.queries.sampling import Interventions

__all__ = ["Query"]

_BLOCK_PARTICLES = 262_144


@dataclass(frozen=True)
class Query:
    """A node's law under an intervention, for the rows of a table or for the population.

    Attributes:
        conditionals: Conditional laws in causal order.
        values: The columns that :func:`~tramdag.queries.mediation.needed_columns` names; for the
            population the values of the evidence.
        node: The queried node.
        interventions: Nodes that are set; a callable receives the natural value, which is the
            row's own or, for the population, integrated out.
        n: Number of rows.
        scope: ``"total"`` or ``"controlled"``.
        n_points: Sobol points over all scramblings, 8 times a power of two.
        seed: Seed of the scramblings.
        population: Whether everything that ``values`` does not hold is integrated out.
    """

    conditionals: Mapping[str, Conditional]
    values: Values
    node: str
    interventions: Interventions
    n: int
    scope: str = "total"
    n_points: int = 512
    seed: int = 0
    population: bool = False

    @property
    def leaf(self) -> Conditional:
        """The queried node's conditional law."""
        return self.conditionals[self.node]

    @property
    def fixed(self) -> Values:
        """Values of the nodes that are set, per row, as far as they are known beforehand."""
        return {
            name: action if isinstance(action, Tensor) else action(self.values[name])
            for name, action in self.interventions.items()
            if isinstance(action, Tensor) or not self.population
        }

    @property
    def plan(self) -> Plan:
        """What is integrated out on the way to the node."""
        weighing: list[str] = []
        actions = {}
        if self.population:
            evidence = set(self.values)
            integrated, weighing = requisite(
                self.conditionals, self.node, self.interventions, evidence
            )
            actions = {n: a for n, a in self.interventions.items() if not isinstance(a, Tensor)}
        else:
            integrated = mediators_of(
                self.conditionals, self.node, self.interventions, scope=self.scope
            )
        return make_plan(
            self.conditionals,
            integrated,
            n_points=self.n_points,
            weighing=weighing,
            actions=actions,
        )

    @property
    def carries_node(self) -> bool:
        """Whether the particles hold the node's own values, since its effects weigh them."""
        return self.node in self.plan.integrated

    def blocks(
        self, *, plan: Plan | None = None, given: Values | None = None, size: int | None = None
    ) -> Iterator[tuple[Particles, slice]]:
        """Particles of the rows, block by block, and the rows that each block holds.

        Args:
            plan: Another plan than the query's own.
            given: Further given columns.
            size: Particles per block; a block holds at least one row.
        """
        plan = plan or self.plan
        device = self.leaf.intercept.device
        points = sobol_points(self.n_points, plan.dimension, self.seed).to(device)
        columns = {**self.values, **self.fixed, **(given or {})}
        columns = {name: column.to(device) for name, column in columns.items()}
        per_row = len(points) * plan.branches
        step = max(1, (size or _BLOCK_PARTICLES) // per_row)
        for start in range(0, self.n, step):
            rows = slice(start, min(start + step, self.n))
            part = {name: column[rows] for name, column in columns.items()}
            yield propagate(self.conditionals, part, plan, points, rows.stop - start), rows
