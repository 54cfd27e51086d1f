"""The README's code runs as it stands, with fewer epochs."""

import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


@pytest.fixture
def project_copy(tmp_path, monkeypatch):
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("project_copy")
def test_the_code_of_the_readme_runs_block_after_block():
    namespace: dict = {}
    assert len(BLOCKS) == 2
    for block in BLOCKS:
        exec(compile(block.replace("epochs=4000", "epochs=2"), "README.md", "exec"), namespace)
    assert isinstance(namespace["cf"], pd.DataFrame)
    assert (namespace["cf"]["T"] == 1).all()
    assert namespace["flow"].report.converged


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"\]\(((?!https?:)[^)#]+)\)", (ROOT / "README.md").read_text())))
)
def test_a_link_of_the_readme_leads_to_a_file(path):
    assert (ROOT / path).exists()
