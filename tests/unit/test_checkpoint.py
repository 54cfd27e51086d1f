from __future__ import annotations

import json
import os
import pickle
import socket
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tramdag import CausalFlowDAG, ContinuousNode, DataError, NotFittedError, OrdinalNode
from tramdag.spec import causal_order, spec_from_dict


@pytest.fixture(scope="module")
def saved(network_flow: CausalFlowDAG, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "flow.pt"
    network_flow.save(path)
    return path


@pytest.fixture
def damaged(saved: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], object]], Path]:
    """A copy of the saved file whose content was edited."""

    def edit(change: Callable[[dict[str, Any]], object]) -> Path:
        content = torch.load(saved, weights_only=True)
        change(content)
        path = tmp_path / "damaged.pt"
        torch.save(content, path)
        return path

    return edit


# what survives


@pytest.mark.parametrize("kind", ["linear_flow", "network_flow"])
def test_a_loaded_flow_gives_the_same_answers(
    kind: str, fresh_cohort: pd.DataFrame, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    flow: CausalFlowDAG = request.getfixturevalue(kind)
    flow.save(tmp_path / "flow.pt")
    loaded = CausalFlowDAG.load(tmp_path / "flow.pt")
    np.testing.assert_array_equal(loaded.log_prob(fresh_cohort), flow.log_prob(fresh_cohort))
    pd.testing.assert_frame_equal(loaded.sample(50, seed=3), flow.sample(50, seed=3))
    pd.testing.assert_frame_equal(loaded.coef(), flow.coef())
    u = flow.abduct(fresh_cohort, seed=1)
    pd.testing.assert_frame_equal(loaded.abduct(fresh_cohort, seed=1), u)
    do = {"treat": 1}
    pd.testing.assert_frame_equal(loaded.sample(u=u, do=do), flow.sample(u=u, do=do))
    assert loaded.spec == flow.spec
    assert loaded.order == flow.order
    assert list(loaded.spec) == list(flow.spec)


def test_the_report_survives(network_flow: CausalFlowDAG, saved: Path) -> None:
    loaded = CausalFlowDAG.load(saved)
    pd.testing.assert_frame_equal(loaded.report.nodes, network_flow.report.nodes)
    pd.testing.assert_frame_equal(loaded.history, network_flow.history)


def test_a_loaded_flow_can_be_fitted_again(
    saved: Path, cohort: pd.DataFrame, network_flow: CausalFlowDAG
) -> None:
    again = CausalFlowDAG.load(saved).fit(cohort, epochs=12)
    np.testing.assert_array_equal(again.log_prob(cohort), network_flow.log_prob(cohort))


def _labelled(categories: Any) -> tuple[dict[str, Any], pd.DataFrame]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=90)
    codes = pd.qcut(x + rng.normal(size=90), 3, labels=False)
    grade = pd.Categorical.from_codes(codes, categories=categories, ordered=True)
    spec = {"x": ContinuousNode(n_coefs=5), "grade": OrdinalNode(3, {"x": "ls"})}
    return spec, pd.DataFrame({"x": x, "grade": grade})


@pytest.mark.parametrize(
    "categories",
    [["mild", "moderate", "severe"], [10, 20, 30], [0.5, 1.0, 2.5], ["ja", "näin", "не"]],
    ids=["text", "integers", "floats", "not only ASCII"],
)
def test_labels_of_levels_survive(categories: Any, tmp_path: Path) -> None:
    spec, df = _labelled(categories)
    flow = CausalFlowDAG(spec, seed=1).fit(df)
    flow.save(tmp_path / "flow.pt")
    loaded = CausalFlowDAG.load(tmp_path / "flow.pt")
    drawn = loaded.sample(20, seed=1)
    pd.testing.assert_frame_equal(drawn, flow.sample(20, seed=1))
    assert list(drawn["grade"].cat.categories) == list(categories)
    np.testing.assert_array_equal(loaded.log_prob(df), flow.log_prob(df))


@pytest.mark.parametrize(
    "categories",
    [
        pd.IntervalIndex.from_breaks([0.0, 1.0, 2.0, 3.0]),
        pd.to_datetime(["2024-01-01", "2025-01-01", "2026-01-01"]),
    ],
    ids=["intervals", "dates"],
)
def test_labels_that_a_file_cannot_hold_are_refused_by_name(
    categories: Any, tmp_path: Path
) -> None:
    spec, df = _labelled(categories)
    with pytest.raises(DataError, match="'grade'"):
        CausalFlowDAG(spec, seed=1).fit(df).save(tmp_path / "flow.pt")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_floating_type_survives(dtype: str, tmp_path: Path) -> None:
    spec, df = _labelled(["a", "b", "c"])
    CausalFlowDAG(spec, seed=1, dtype=dtype).fit(df).save(tmp_path / "flow.pt")
    loaded = CausalFlowDAG.load(tmp_path / "flow.pt")
    assert loaded.conditionals["x"].dtype == getattr(torch, dtype)


def test_node_names_may_hold_the_separators_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ["a", "a:b", "check:a", "a.b", "node:a", "Größe [cm]", "check log_prob", "log_prob"]
    df = pd.DataFrame(rng.normal(size=(60, len(names))), columns=names)
    spec = {name: ContinuousNode(transform="affine") for name in names}
    flow = CausalFlowDAG(spec, seed=1).fit(df)
    flow.save(tmp_path / "flow.pt")
    loaded = CausalFlowDAG.load(tmp_path / "flow.pt")
    np.testing.assert_array_equal(loaded.log_prob(df), flow.log_prob(df))


def test_paths_may_be_strings_and_files_are_replaced(
    linear_flow: CausalFlowDAG, network_flow: CausalFlowDAG, tmp_path: Path
) -> None:
    path = str(tmp_path / "flow.pt")
    linear_flow.save(path)
    network_flow.save(path)
    assert CausalFlowDAG.load(path).spec == network_flow.spec
    assert os.listdir(tmp_path) == ["flow.pt"]


def test_permissions_follow_the_umask(linear_flow: CausalFlowDAG, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        linear_flow.save(tmp_path / "flow.pt")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "flow.pt").stat().st_mode) == 0o640


def test_the_file_holds_no_training_row_and_no_name_of_the_machine(
    saved: Path, cohort: pd.DataFrame
) -> None:
    content = saved.read_bytes()
    for column in ("age", "score", "cost"):
        hits = [value for value in cohort[column].to_numpy() if value.tobytes() in content]
        assert hits == []
    assert socket.gethostname().encode() not in content


# nothing is executed


class Bomb:
    """Unpickling this creates the file it names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_is_refused_and_not_executed(protocol: int, tmp_path: Path) -> None:
    crater = tmp_path / "crater"
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb(crater), protocol=protocol))
    with pytest.raises(DataError, match=r"bomb\.pt"):
        CausalFlowDAG.load(tmp_path / "bomb.pt")
    assert not crater.exists()


def test_code_inside_a_torch_file_is_refused_and_not_executed(
    tmp_path: Path, damaged: Callable[..., Path]
) -> None:
    crater = tmp_path / "crater"
    path = damaged(lambda content: content.update(extra=Bomb(crater)))
    with pytest.raises(DataError, match=r"damaged\.pt"):
        CausalFlowDAG.load(path)
    assert not crater.exists()
    # the bomb is live: an unsafe reader would have run it
    torch.load(path, weights_only=False)
    assert crater.exists()


# files that are no checkpoint


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", "hello")


def _tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "file.py")


FOREIGN: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "table": lambda path: path.write_text("Age,T\n67.5,1\n"),
    "json": lambda path: path.write_text('{"format": "tramdag checkpoint"}'),
    "zeros": lambda path: path.write_bytes(bytes(1000)),
    "noise": lambda path: path.write_bytes(np.random.default_rng(0).bytes(1000)),
    "numbers": lambda path: np.save(path.open("wb"), np.arange(3)),
    "zip": _zip,
    "tar": _tar,
    "weights": lambda path: torch.save({"weight": torch.zeros(3)}, path),
    "list": lambda path: torch.save([1, 2], path),
    "tensor": lambda path: torch.save(torch.zeros(3), path),
    "directory": lambda path: path.mkdir(),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_a_clear_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "foreign.pt"
    FOREIGN[kind](path)
    with pytest.raises(DataError, match=r"foreign\.pt"):
        CausalFlowDAG.load(path)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.pt"):
        CausalFlowDAG.load(tmp_path / "nothing.pt")


def test_random_bytes_are_always_a_clear_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "noise.pt"
    for _ in range(200):
        path.write_bytes(rng.bytes(int(rng.integers(1, 200))))
        with pytest.raises(DataError, match=r"noise\.pt"):
            CausalFlowDAG.load(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_file_is_a_clear_error(share: float, saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    (tmp_path / "short.pt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"short\.pt"):
        CausalFlowDAG.load(tmp_path / "short.pt")


# files that were tampered with


def _edit_header(**changes: Any) -> Callable[[dict[str, Any]], object]:
    def change(content: dict[str, Any]) -> None:
        header = json.loads(content["header"])
        header.update(changes)
        content["header"] = json.dumps(header)

    return change


def _drop_from_header(key: str) -> Callable[[dict[str, Any]], object]:
    def change(content: dict[str, Any]) -> None:
        header = json.loads(content["header"])
        del header[key]
        content["header"] = json.dumps(header)

    return change


def _tensor_ending(content: dict[str, Any], ending: str) -> str:
    """The first tensor with this ending; node names stand for the numbers that the file uses."""
    order = causal_order(spec_from_dict(json.loads(content["header"])["spec"]))
    for number, node in enumerate(order):
        ending = ending.replace(f"{node}:", f"{number}:")
        ending = f"check:{number}" if ending == f"check:{node}" else ending
    return next(name for name in content["tensors"] if name.endswith(ending))


def _scale(ending: str, factor: float) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["tensors"][_tensor_ending(content, ending)].mul_(factor)


def _drop(ending: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["tensors"].pop(_tensor_ending(content, ending))


def _reshape(ending: str) -> Callable[[dict[str, Any]], object]:
    def change(content: dict[str, Any]) -> None:
        content["tensors"][_tensor_ending(content, ending)] = torch.zeros(2, dtype=torch.float64)

    return change


TAMPERED: dict[str, Callable[[dict[str, Any]], object]] = {
    "intercept changed": _scale("age:intercept", 1.001),
    "network changed": _scale("layers.0.weight", 1.01),
    "scaling changed": _scale("score:center", 1.001),
    "NaN weights": _scale("age:intercept", float("nan")),
    "check rows changed": _scale("check:age", 1.001),
    "weights missing": _drop("age:intercept"),
    "check rows missing": _drop("check:age"),
    "weights of another shape": _reshape("age:intercept"),
    "other version": lambda content: content.update(version=99),
    "no header": lambda content: content.pop("header"),
    "no tensors": lambda content: content.pop("tensors"),
    "header no JSON": lambda content: content.update(header="{"),
    "header no object": lambda content: content.update(header="[]"),
    "no spec": _drop_from_header("spec"),
    "no report": _drop_from_header("report"),
    "spec of another flow": _edit_header(spec={"x": {"kind": "continuous"}}),
    "spec damaged": _edit_header(spec={"x": {"kind": "nominal"}}),
    "unknown dtype": _edit_header(dtype="int8"),
    "dtype no type": _edit_header(dtype="load"),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_a_tampered_file_is_refused(kind: str, damaged: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"damaged\.pt"):
        CausalFlowDAG.load(damaged(TAMPERED[kind]))


def test_an_undamaged_copy_is_accepted(damaged: Callable[..., Path]) -> None:
    CausalFlowDAG.load(damaged(lambda content: None))


# saving is all or nothing


def test_a_failed_write_leaves_the_folder_as_it_was(
    linear_flow: CausalFlowDAG,
    network_flow: CausalFlowDAG,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "flow.pt"
    linear_flow.save(path)
    before = path.read_bytes()

    def full_disk(content: object, stream: Any) -> None:
        stream.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        network_flow.save(path)
    assert os.listdir(tmp_path) == ["flow.pt"]
    assert path.read_bytes() == before


def test_an_interrupted_write_leaves_the_folder_as_it_was(
    linear_flow: CausalFlowDAG, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(content: object, stream: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        linear_flow.save(tmp_path / "flow.pt")
    assert os.listdir(tmp_path) == []


def test_saving_into_a_missing_folder_names_it(linear_flow: CausalFlowDAG, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the folder '.*nowhere' of '.*flow.pt' does not exist"):
        linear_flow.save(tmp_path / "nowhere" / "flow.pt")


def test_a_folder_is_neither_saved_to_nor_loaded(
    linear_flow: CausalFlowDAG, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="is a folder"):
        linear_flow.save(tmp_path)
    with pytest.raises(DataError, match="is a folder"):
        CausalFlowDAG.load(tmp_path)
    assert os.listdir(tmp_path) == []


def test_an_unfitted_flow_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="fit"):
        CausalFlowDAG({"x": ContinuousNode()}).save(tmp_path / "flow.pt")
    assert os.listdir(tmp_path) == []
