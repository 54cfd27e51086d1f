"""The closed schema: what is misspelt is refused, what is left out has its default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from replication.config import ConfigError, check_known, complete_config, load_schema

CONFIG = Path(__file__).parents[2] / "workflow" / "config"


def read(*names: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name in names:
        content = yaml.safe_load((CONFIG / f"{name}.yaml").read_text(encoding="utf-8"))
        update_config(merged, content)  # as Snakemake puts one file on top of another
    return merged


def minimal(**changes: Any) -> dict[str, Any]:
    experiment = {
        "title": "one node",
        "data": {"process": "vaca", "rows": 100},
        "models": {"ls": {"spec": {"x1": {"kind": "continuous"}}}},
    }
    return {
        "run": {"name": "test", "complete": False},
        "experiments": {"small": experiment},
    } | changes


@pytest.mark.parametrize("overlay", [(), ("smoke",)])
def test_the_configurations_of_the_project_are_valid(overlay: tuple[str, ...]) -> None:
    complete_config(read("config", "experiments", *overlay))


def test_a_misspelt_key_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"top level: unknown key 'sede'.*'seeds'") as caught:
        complete_config(minimal(sede=3))
    assert "Did you mean 'seeds'?" in str(caught.value)


def test_a_misspelt_key_deep_inside_is_refused_with_its_place() -> None:
    config = minimal()
    config["experiments"]["small"]["models"]["ls"]["fit"] = {"epoch": 3}
    with pytest.raises(ConfigError, match=r"experiments\.small\.models\.ls\.fit: unknown key"):
        complete_config(config)


def test_an_unknown_term_is_refused_with_what_is_allowed() -> None:
    config = minimal()
    spec = config["experiments"]["small"]["models"]["ls"]["spec"]
    spec["x2"] = {"kind": "continuous", "parents": {"x1": "linear"}}
    with pytest.raises(ConfigError, match="'linear' is not allowed; allowed are 'ls', 'cs', 'ci'"):
        complete_config(config)


def test_a_value_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="seeds_per_job: 'two' must be of type integer"):
        complete_config(minimal(seeds_per_job="two"))


def test_a_missing_key_is_named() -> None:
    config = minimal()
    del config["run"]["complete"]
    with pytest.raises(ConfigError, match="run: the key 'complete' is missing"):
        complete_config(config)


def test_a_name_that_no_path_should_have_is_refused() -> None:
    config = minimal()
    config["experiments"]["My Study"] = config["experiments"]["small"]
    with pytest.raises(ConfigError, match="lower-case words"):
        complete_config(config)


def test_every_finding_is_listed_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        complete_config(minimal(sede=3, divice="cpu"))
    assert "'sede'" in str(caught.value)
    assert "'divice'" in str(caught.value)


def test_defaults_are_filled_in_at_every_depth() -> None:
    complete = complete_config(minimal())
    assert complete["seeds"] == {"exact": 5, "network": 5}
    assert complete["limits"] == {
        "models": None,
        "rows": None,
        "epochs": None,
        "seeds": None,
        "replicates": None,
    }
    assert complete["experiments"]["small"]["counterfactuals"]["seed_offset"] == 999
    assert complete["experiments"]["small"]["models"]["ls"]["fit"] == {}


def test_the_given_configuration_is_left_alone() -> None:
    config = minimal()
    complete_config(config)
    assert "seeds" not in config


def test_two_experiments_share_no_defaults() -> None:
    config = minimal()
    config["experiments"]["other"] = dict(config["experiments"]["small"])
    complete = complete_config(config)
    first, second = complete["experiments"].values()
    first["interventions"].append({"do": {"x1": 0}})
    assert second["interventions"] == []


@pytest.mark.parametrize("name", ["config", "claims"])
def test_every_field_of_a_schema_has_a_description_and_leaves_a_unit(name: str) -> None:
    schema = load_schema(CONFIG.parent / "schemas" / f"{name}.schema.yaml")
    for place, field in fields(schema):
        assert "description" in field, place
        if field.get("type") not in ("object", "array"):
            assert "unit" in field, place


def test_every_object_of_the_schema_is_closed() -> None:
    for place, field in fields(load_schema()):
        if field.get("type") == "object":
            assert field.get("additionalProperties") not in (None, True), place


def fields(schema: dict[str, Any], place: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, field in schema.get("properties", {}).items():
        if "$ref" not in field:
            found += [(f"{place}.{name}", field), *fields(field, f"{place}.{name}")]
            found += fields(field.get("items", {}), f"{place}.{name}[]")
    for name, field in schema.get("$defs", {}).items():
        found += [(f"$defs.{name}", field), *fields(field, f"$defs.{name}")]
    return found


def test_a_name_that_is_not_known_is_named_with_those_that_are() -> None:
    check_known("ls", ["ls", "interaction"], where="a.b", what="model")
    wrong = r"^a\.b: 'lss' is no model; such are ls, interaction\. Did you mean 'ls'\?$"
    with pytest.raises(ConfigError, match=wrong):
        check_known("lss", ["ls", "interaction"], where="a.b", what="model")
    with pytest.raises(ConfigError, match="such are none"):
        check_known("lss", [], where="a.b", what="model")
