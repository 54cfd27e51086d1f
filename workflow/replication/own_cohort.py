"""One's own cohort by three paths: ``--config cohort=obs.csv trial=rct.csv spec=spec.yaml``.

The specification is an experiment's entry without its data; what it leaves out gets the defaults of
the stroke chapter. Plain Python, as in :mod:`replication.experiments`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from replication.cohort_record import sources_of
from replication.config import ConfigError, check_keys, complete_config
from replication.experiments import is_exact

__all__ = ["with_own_cohort"]

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def with_own_cohort(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with an experiment for the cohort, if the command line names one.

    The run has this experiment alone. Its results go to the folder ``cohorts/<name>`` of the
    results, where no other run's are; the name is that of the file unless the key ``name`` gives
    another. The paths are taken out: they stand in the experiment.

    Args:
        config: The merged configuration, before its schema is checked.

    Raises:
        ConfigError: A path is missing or leads nowhere, or the specification is none.
    """
    config = dict(config)
    paths = sources_of(config)
    given = config.get("name")
    if not paths and given is None:
        return config
    # a misspelt key is no missing path
    check_keys(config)
    for key, what in (("cohort", "a CSV file with the observed rows"), ("spec", "a YAML file")):
        if key not in paths:
            raise ConfigError(
                f"{key}: the path is missing, got {', '.join(paths) or 'name'}; a cohort of one's "
                f"own needs cohort=path.csv and spec=path.yaml, here {what}."
            )
    for key, path in paths.items():
        if not isinstance(path, str) or not Path(path).is_file():
            raise ConfigError(
                f"{key}: there is no file at {path!r}; paths are relative to {Path.cwd()}."
            )
        if "{" in path or "}" in path:
            raise ConfigError(
                f"{key}: {path!r} has a brace, which Snakemake takes for a wildcard; rename the "
                "file or its folder."
            )
    name = _slug(Path(paths["cohort"]).stem) or "cohort" if given is None else str(given)
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"name: {name!r} must be lower-case words or numbers joined by single hyphens, such as "
            f"{_slug(name) or 'my-study'!r}."
        )
    if name in config.get("experiments", {}):
        # no published claim is about it, whatever its file is called
        name = f"own-{name}"
    entry = _entry(name, paths, most_models=(config.get("limits") or {}).get("models"))
    pathvars = config.get("pathvars", {})
    taken = {"cohort", "trial", "spec", "name"}
    return {key: value for key, value in config.items() if key not in taken} | {
        "only": [name],
        "pathvars": {**pathvars, "results": f"{pathvars.get('results', 'results')}/cohorts/{name}"},
        "experiments": {**config.get("experiments", {}), name: entry},
    }


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _entry(name: str, paths: Mapping[str, str], *, most_models: int | None) -> dict[str, Any]:
    try:
        entry = yaml.safe_load(Path(paths["spec"]).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"spec: {paths['spec']!r} is no YAML file in UTF-8: {error}") from None
    if not isinstance(entry, dict) or not isinstance(entry.get("models"), dict):
        raise ConfigError(
            f"spec: {paths['spec']!r} has no models; it is an experiment's entry without data, "
            "such as `models: {ls: {spec: {age: {kind: continuous}, ...}}}` and `effects: "
            "[{treatment: ..., outcome: ..., at_most: ...}]`."
        )
    if "data" in entry:
        raise ConfigError(
            f"spec: {paths['spec']!r} says data; the paths cohort= and trial= say where they are."
        )
    known = {"title": name, **entry, "data": {"file": paths["cohort"]}}
    complete_config({"run": {"complete": True}, "experiments": {name: known}})
    specs = [
        model["spec"]
        for model in entry["models"].values()
        if isinstance(model, dict) and isinstance(model.get("spec"), dict)
    ]
    data = {"file": paths["cohort"]}
    effects = [e for e in entry.get("effects", ()) if isinstance(e, dict)]
    if "trial" in paths:
        data["trial"] = paths["trial"]
    defaults: dict[str, Any] = {
        "title": f"Cohort {name}",
        "validation": bool("trial" in paths and effects),
        "interventions": [{"do": {e["treatment"]: arm}} for e in effects[:1] for arm in (0, 1)],
    }
    complete = defaults | entry | {"data": data}
    if "figures" not in entry:
        complete["figures"] = _figures(complete, specs[:most_models])
    return complete


def _figures(entry: Mapping[str, Any], specs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The chapter's figures that this entry has something to draw for."""
    exact = [is_exact(spec) for spec in specs]
    figures = ["dag", "marginals"]
    figures += ["calibration", "effects"] if entry.get("effects") else []
    figures += ["forest"] if any(exact) else []
    figures += ["history"] if not all(exact) else []
    figures += ["ladder", "odds_ratio_by_modifier"] if entry.get("ladder") else []
    figures += ["shift_curves"] if entry.get("shifts") else []
    if entry["validation"]:
        figures += ["trial_benefit", "trial_effects", "trial_outcomes", "trial_risks"]
    return sorted(figures)
