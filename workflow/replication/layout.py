"""How a tidy table is summarised for readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """How a tidy table is summarised over seeds.

    Attributes:
        title: Headline for readers.
        note: What the columns mean, in one or two sentences.
        keys: Columns that, with experiment and model, tell the rows of one seed apart.
        value: The column whose mean and spread over seeds are shown.
        others: Further columns with the way they are summarised (``mean``, ``max``, ``first``,
            ``all``; ``only``: shown where there is one seed; ``texts``: every text once).
        labels: Other names of columns for readers.
        by_seed: Whether there is a row per seed; a table that already sums up is shown as it is.
    """

    title: str
    note: str
    keys: tuple[str, ...]
    value: str
    others: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    by_seed: bool = True

    @property
    def columns(self) -> list[str]:
        """Columns that the tidy table has, even if a run makes none of its rows."""
        seed = ["seed"] if self.by_seed else []
        return ["experiment", "model", *seed, *self.keys, self.value, *self.others]
