"""Files of claims."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from replication.claims import Claim, claims_about, load_claims
from replication.config import ConfigError

MakeClaim = Callable[..., Claim]

CONFIG = Path(__file__).parents[2] / "workflow" / "config"
CLAIMS = sorted((CONFIG / "claims").glob("*.yaml"))


def test_claims_about_other_experiments_are_left_out(claim: MakeClaim) -> None:
    run = claim(id="run", where={})
    two = claim(id="two", where={"experiment": ["vaca", "carefl"]})
    one = claim(id="one", where={"experiment": "vaca"})
    found = {
        name: [found.id for found in claims_about([run, two, one], [name])]
        for name in ("vaca", "carefl", "mine")
    }
    assert found == {"vaca": ["run", "two", "one"], "carefl": ["run", "two"], "mine": ["run"]}


def test_the_full_replication_leaves_no_claim_out() -> None:
    file = CONFIG / "experiments.yaml"
    experiments = yaml.safe_load(file.read_text(encoding="utf-8"))["experiments"]
    claims = load_claims(CLAIMS)
    assert claims_about(claims, experiments) == claims


def test_the_full_replication_judges_every_file_of_claims() -> None:
    config = yaml.safe_load((CONFIG / "config.yaml").read_text(encoding="utf-8"))
    assert sorted(Path(file).name for file in config["claims"]) == [file.name for file in CLAIMS]


def test_the_claims_of_the_project_are_valid_and_have_reasons() -> None:
    claims = load_claims(CLAIMS)
    assert len(claims) > 40
    for entry in claims:
        assert entry.reason, entry.id
        assert entry.source, entry.id


ENTRY = """\
claims:
  - id: {id}
    claim: x is one
    source: nowhere
    target: 1.0
    tolerance: 0.1
    reason: why not
    estimate: {{table: l2, where: {{experiment: toy}}, column: estimate{more}}}
"""


def entry(tmp_path: Path, name: str, text: str) -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_a_misspelt_key_of_a_claim_is_refused(tmp_path: Path) -> None:
    text = ENTRY.format(id="one", more="").replace("tolerance:", "tolerence:")
    with pytest.raises(ConfigError, match=r"'tolerence'.*Did you mean 'tolerance'"):
        load_claims([entry(tmp_path, "claims.yaml", text)])


@pytest.mark.parametrize(
    "more",
    [
        ", error: mc_error, ends: [lower, upper]",
        ", error: mc_error, statistic: max",
        ", ends: [lower, upper], transform: absolute",
        ", ends: [lower, upper], against: {model: cs}",
    ],
)
def test_the_interval_of_a_row_belongs_to_its_number_alone(tmp_path: Path, more: str) -> None:
    load_claims([entry(tmp_path, "plain.yaml", ENTRY.format(id="one", more=""))])
    with pytest.raises(ConfigError):
        load_claims([entry(tmp_path, "claims.yaml", ENTRY.format(id="one", more=more))])


def test_two_claims_with_one_id_are_refused(tmp_path: Path) -> None:
    text = ENTRY.format(id="one", more="")
    files = [entry(tmp_path, name, text) for name in ("a.yaml", "b.yaml")]
    with pytest.raises(ValueError, match=r"b\.yaml: the id 'one' is used by two claims"):
        load_claims(files)
