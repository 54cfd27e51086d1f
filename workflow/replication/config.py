"""The configuration of the workflow: checked against a closed schema, with defaults filled in.

A misspelt key, an unknown experiment or a value of the wrong type stops the run before any job,
with a message that says where it stands and what is allowed there.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

__all__ = [
    "SCHEMA_FILE",
    "ConfigError",
    "check_keys",
    "check_known",
    "complete_config",
    "did_you_mean",
    "load_schema",
]

SCHEMA_FILE = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"


class ConfigError(ValueError):
    """The configuration has a key or a value that is not allowed."""


def load_schema(path: Path = SCHEMA_FILE) -> dict[str, Any]:
    """Read a JSON schema written as YAML."""
    schema: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return schema


def complete_config(
    config: Mapping[str, Any], *, schema: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a copy of the configuration with every default filled in.

    Args:
        config: The merged configuration files.
        schema: The schema; the workflow's own if None.

    Raises:
        ConfigError: Something is not allowed; the message lists every finding with its place.
    """
    schema = load_schema() if schema is None else schema
    findings = list(_unquoted(config)) or [
        line
        for error in Draft202012Validator(schema).iter_errors(config)
        for line in _explain(error)
    ]
    if findings:
        raise ConfigError("the configuration is not valid:\n  " + "\n  ".join(findings))
    complete: dict[str, Any] = copy.deepcopy(dict(config))
    _fill_defaults(complete, schema, root=schema)
    return complete


def _unquoted(instance: Any, place: str = "") -> Iterator[str]:
    """Keys that YAML has not read as text, such as a year, or ``no`` without quotation marks."""
    parts = instance.items() if isinstance(instance, Mapping) else ()
    for key, part in enumerate(instance) if isinstance(instance, list) else parts:
        if isinstance(instance, Mapping) and not isinstance(key, str):
            kind = {bool: "a boolean", int: "an integer"}.get(type(key), "no text")
            yield (
                f"{place or 'top level'}: the key {key!r} is {kind} to YAML; put the name into "
                "quotation marks."
            )
        yield from _unquoted(part, f"{place}.{key}".lstrip("."))


def check_keys(config: Mapping[str, Any]) -> None:
    """Refuse a key that the top level of a configuration does not have.

    Raises:
        ConfigError: There is one; the message says which was meant.
    """
    known: dict[str, Any] = {key: {} for key in load_schema()["properties"]}
    complete_config(config, schema={"properties": known, "additionalProperties": False})


def _explain(error: ValidationError) -> Iterator[str]:
    place = ".".join(str(part) for part in error.absolute_path) or "top level"
    if error.validator == "additionalProperties" and error.validator_value is False:
        allowed = sorted(error.schema.get("properties", {}))
        for key in sorted(set(error.instance) - set(allowed), key=str):
            yield (
                f"{place}: unknown key {key!r}; allowed are {_listed(allowed)}."
                f"{did_you_mean(key, allowed)}"
            )
    elif error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        yield f"{place}: the key {missing[0]!r} is missing; required are " + _listed(
            error.validator_value
        )
    elif error.validator == "enum":
        yield (
            f"{place}: {error.instance!r} is not allowed; allowed are "
            f"{_listed(error.validator_value)}."
            f"{did_you_mean(error.instance, error.validator_value)}"
        )
    elif error.validator == "type":
        types = error.validator_value
        wanted = types if isinstance(types, str) else " or ".join(types)
        yield f"{place}: {error.instance!r} must be of type {wanted}."
    elif error.validator == "pattern":
        yield (
            f"{place}: the name {error.instance!r} must be lower-case words or numbers joined by "
            "single hyphens, such as 'triangle-atan'."
        )
    else:
        yield f"{place}: {error.message}"


def _fill_defaults(instance: Any, schema: Mapping[str, Any], *, root: Mapping[str, Any]) -> None:
    schema = _resolve(schema, root)
    if isinstance(instance, dict):
        for key, sub in schema.get("properties", {}).items():
            resolved = _resolve(sub, root)
            if key not in instance and "default" in resolved:
                instance[key] = copy.deepcopy(resolved["default"])
            if key in instance:
                _fill_defaults(instance[key], resolved, root=root)
        extra = schema.get("additionalProperties")
        if isinstance(extra, Mapping):
            for key in instance.keys() - schema.get("properties", {}).keys():
                _fill_defaults(instance[key], extra, root=root)
    elif isinstance(instance, list) and "items" in schema:
        for item in instance:
            _fill_defaults(item, schema["items"], root=root)


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        schema = root["$defs"][name]
    return schema


def _listed(names: Iterable[object]) -> str:
    return ", ".join(repr(name) for name in names)


def did_you_mean(name: object, allowed: Iterable[object]) -> str:
    """``" Did you mean 'age'?"`` when one allowed name is close, else an empty string."""
    close = difflib.get_close_matches(str(name), [str(key) for key in allowed], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def check_known(name: str, known: Iterable[str], *, where: str, what: str) -> None:
    """Refuse a name that is not among the known ones.

    Args:
        name: The name.
        known: Those that are allowed.
        where: Its place in the configuration, for the message.
        what: What each of the known ones is, such as ``"node"``.

    Raises:
        ConfigError: It is not among them.
    """
    known = list(known)
    if name not in known:
        raise ConfigError(
            f"{where}: {name!r} is no {what}; such are {', '.join(known) or 'none'}."
            f"{did_you_mean(name, known)}"
        )
