"""Published claims: statements with a target, a tolerance and its reason, read from YAML files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from replication.config import complete_config, load_schema

__all__ = ["Claim", "claims_about", "load_claims"]

CLAIMS_SCHEMA = Path(__file__).parents[1] / "schemas" / "claims.schema.yaml"


@dataclass(frozen=True)
class Claim:
    """One claim; see the schema of the files of claims for the meaning of each field."""

    id: str
    claim: str
    source: str
    target: float
    tolerance: float
    reason: str
    relation: str
    table: str
    where: Mapping[str, Any]
    column: str
    statistic: str
    transform: str
    interval: str
    note: str
    same_data: bool = False
    against: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    ends: Sequence[str] | None = None

    @property
    def experiments(self) -> list[str]:
        """Names of the experiments that the claim is about; none for one about the whole run."""
        return self._named("experiment")

    @property
    def models(self) -> list[str]:
        """Names of the models that the claim is about; none for one about every model."""
        return self._named("model")

    @property
    def own_interval(self) -> bool:
        """Whether the row of the table carries an interval of its own."""
        return self.error is not None or self.ends is not None

    def _named(self, column: str) -> list[str]:
        named = self.where.get(column)
        return [] if named is None else [named] if isinstance(named, str) else list(named)


def load_claims(paths: Iterable[str | Path]) -> list[Claim]:
    """Claims from YAML files, in their order, each file checked against their closed schema.

    Raises:
        ConfigError: A key or a value is not allowed.
        ValueError: Two claims share an id.
    """
    schema = load_schema(CLAIMS_SCHEMA)
    claims: dict[str, Claim] = {}
    for path in paths:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        for entry in complete_config(content, schema=schema)["claims"]:
            if entry["id"] in claims:
                raise ValueError(f"{path}: the id {entry['id']!r} is used by two claims.")
            own = {key: value for key, value in entry.items() if key != "estimate"}
            claims[entry["id"]] = Claim(**own, **entry["estimate"])
    return list(claims.values())


def claims_about(claims: Sequence[Claim], experiments: Collection[str]) -> list[Claim]:
    """The claims about these experiments; a claim that names several needs one of them."""
    return [
        claim
        for claim in claims
        if not claim.experiments or not set(claim.experiments).isdisjoint(experiments)
    ]
