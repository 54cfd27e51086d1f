"""Baselines in a configuration: whether they can be made and trained, found out without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replication.config import ConfigError, did_you_mean
from replication.spec_checks import parents_of

__all__ = ["SETTINGS", "check_baseline"]

SETTINGS: Mapping[str, Any] = {
    "epochs": 60,
    "learning_rate": 1e-2,
    "batch_size": 512,
    "schedule": "onecycle",
    "validation_fraction": 0.1,
}
"""The settings of a baseline's training, with what a model that sets none trains by."""

_SCHEDULES = ("onecycle", None)


def check_baseline(model: Mapping[str, Any], *, where: str) -> None:
    """Check what no schema can express of a model that is a baseline; others pass.

    Args:
        model: The completed entry of the model.
        where: Its place in the configuration, for messages.

    Raises:
        ConfigError: A node is ordinal, the graph has no edge, several layers would break the
            graph, or a setting of the fit has no meaning for a baseline.
    """
    baseline = model.get("baseline")
    if baseline is None:
        return
    for name, node in model["spec"].items():
        if node["kind"] != "continuous":
            raise ConfigError(
                f"{where}.spec.{name}: a baseline is a density of continuous nodes, got "
                f"{node['kind']}; leave the baseline out of this experiment."
            )
    if not any(parents_of(node) for node in model["spec"].values()):
        raise ConfigError(
            f"{where}.spec: no node has a parent, so a baseline has nothing to condition on."
        )
    if baseline["layers"] > 1 and baseline["kind"] != "carefl":
        raise ConfigError(
            f"{where}.baseline.layers: {baseline['layers']} layers along the edges of the graph "
            f"let a node depend on its grandparents; {baseline['kind']!r} has 1, 'carefl' any "
            "number."
        )
    for key in model["fit"]:
        if key not in SETTINGS:
            raise ConfigError(
                f"{where}.fit.{key}: no setting of a baseline's training; allowed are "
                f"{', '.join(SETTINGS)}.{did_you_mean(key, SETTINGS)}"
            )
    schedule = model["fit"].get("schedule")
    if schedule not in _SCHEDULES:
        raise ConfigError(
            f"{where}.fit.schedule: {schedule!r} is none of a baseline's; allowed are onecycle "
            "and null."
        )
