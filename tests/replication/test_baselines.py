"""Baseline flows against closed forms, scipy and brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import kstest, laplace, multivariate_normal, norm

import tramdag as td
from replication.baseline_training import fit_baseline
from replication.baselines import Architecture, BaselineFlow
from replication.evaluation import load_model
from replication.job import derive_seed
from replication.training import fit_seeds

# children first, so that the order of the columns is not the causal one
CHAIN: dict[str, Any] = {
    "c": {"kind": "continuous", "parents": {"b": "ls"}},
    "b": {"kind": "continuous", "parents": {"a": "ci"}},
    "a": {"kind": "continuous"},
}
KINDS = [
    Architecture("affine", (16, 16)),
    Architecture("spline", (16, 16)),
    Architecture("carefl", (16, 16), 3),
]


@pytest.fixture(params=KINDS, ids=lambda size: size.kind)
def wild(request: pytest.FixtureRequest) -> BaselineFlow:
    """A flow with random weights, far from the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        flow = BaselineFlow(CHAIN, architecture=request.param)
    for weights in flow.parameters():
        weights.data *= 2.0
    flow.standardise(torch.randn(500, 3, generator=torch.Generator().manual_seed(1)) * 2 + 1)
    return flow


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(3).normal(1, 2, (40, 3)), columns=["c", "b", "a"])


class LinearGaussian:
    """a ~ N(1, 4), b = 3 - 0.5 a + 1.5 e, c = 2 b + 0.7 e with e standard normal."""

    mean = np.array([1.0, 2.5, 5.0])
    mixing = np.array([[2.0, 0, 0], [-1, 1.5, 0], [-2, 3, 0.7]])

    def density(self) -> Any:
        return multivariate_normal(self.mean, self.mixing @ self.mixing.T)

    def draw(self, n: int) -> pd.DataFrame:
        noise = np.random.default_rng(11).normal(size=(n, 3))
        return pd.DataFrame(self.mean + noise @ self.mixing.T, columns=["a", "b", "c"])


@pytest.fixture
def exact() -> BaselineFlow:
    """The flow of LinearGaussian: latents (x - location) / scale, locations linear in a parent.

    Without hidden layers the masked network is linear; its outputs are shift and log scale of each
    column in causal order, of which zuko bends the latter: log_scale = t / (1 + |t / log 1e-3|).
    """
    flow = BaselineFlow(CHAIN, architecture=Architecture("affine", ()))
    log_scale = -np.log([2.0, 1.5, 0.7])
    free = log_scale / (1 - np.abs(log_scale / np.log(1e-3)))
    (network,) = flow.layers[0].hyper
    with torch.no_grad():
        network.weight.zero_()
        network.bias[0::2] = torch.tensor([-1 / 2.0, -3 / 1.5, 0.0], dtype=torch.float64)
        network.bias[1::2] = torch.from_numpy(free)
        network.weight[2, 0] = 0.5 / 1.5
        network.weight[4, 1] = -2 / 0.7
    return flow


def test_the_density_is_that_of_the_linear_gaussian_law(exact: BaselineFlow) -> None:
    rows = LinearGaussian().draw(50)
    expected = LinearGaussian().density().logpdf(rows[["a", "b", "c"]])
    np.testing.assert_allclose(exact.log_prob(rows), expected, atol=1e-10)
    b = norm(3 - 0.5 * rows["a"], 1.5).logpdf(rows["b"])
    np.testing.assert_allclose(exact.node_log_prob(rows)["b"], b, atol=1e-10)


def test_counterfactuals_are_those_of_the_linear_equations(exact: BaselineFlow) -> None:
    rows = LinearGaussian().draw(30)
    other = exact.sample(u=exact.abduct(rows), do={"a": np.linspace(-2, 2, 30)})
    shift = np.linspace(-2, 2, 30) - rows["a"]
    np.testing.assert_array_equal(other["a"], np.linspace(-2, 2, 30))
    np.testing.assert_allclose(other["b"], rows["b"] - 0.5 * shift, atol=1e-10)
    np.testing.assert_allclose(other["c"], rows["c"] - shift, atol=1e-10)


def test_samples_and_interventions_have_the_moments_of_the_law(exact: BaselineFlow) -> None:
    n = 40_000
    sample = exact.sample(n, seed=4)[["a", "b", "c"]].to_numpy()
    truth = LinearGaussian()
    white = np.linalg.solve(truth.mixing, (sample - truth.mean).T)
    assert np.abs(white.mean(axis=1)).max() < 5 / np.sqrt(n)
    assert np.abs(white @ white.T / n - np.eye(3)).max() < 5 * np.sqrt(2 / n)
    # do(b = -1): c = -2 + 0.7 e, a is untouched
    held = exact.sample(n, do={"b": -1.0}, seed=4)
    assert (held["b"] == -1.0).all()
    assert abs(held["c"].mean() + 2) < 5 * 0.7 / np.sqrt(n)
    assert abs(held["c"].std() - 0.7) < 5 * 0.7 / np.sqrt(2 * n)
    assert abs(held["a"].mean() - 1) < 5 * 2 / np.sqrt(n)


def test_training_comes_to_the_maximum_likelihood_of_least_squares() -> None:
    rows = LinearGaussian().draw(4_000)
    flow = fit_baseline(
        rows,
        spec=CHAIN,
        architecture={"kind": "affine", "hidden": [], "layers": 1},
        settings={"epochs": 120, "learning_rate": 0.05, "validation_fraction": 0.0},
        seed=1,
    )
    found = -flow.node_log_prob(rows).mean()
    for node, parent in (("a", None), ("b", "a"), ("c", "b")):
        design = np.column_stack([np.ones(len(rows))] + ([rows[parent]] if parent else []))
        gap = rows[node] - design @ np.linalg.lstsq(design, rows[node], rcond=None)[0]
        assert found[node] == pytest.approx(
            0.5 * np.log(2 * np.pi * np.e * gap.var(ddof=0)), abs=2e-3
        )
    assert flow.report.nodes["nll"].tolist() == pytest.approx(found[["a", "b", "c"]].tolist())
    law = LinearGaussian()
    means = [flow.sample(20_000, do={"a": value}, seed=2)["c"].mean() for value in (0.0, 2.0)]
    # E[c | do(a)] = 6 - a, by a slope with a standard error of 0.05 and 20 000 paired draws
    assert means[0] - means[1] == pytest.approx(2.0, abs=5 * 0.05)
    assert law.density().logpdf(rows[["a", "b", "c"]]).mean() < -found.sum() + 1e-3


def test_the_jacobian_is_zero_where_the_graph_has_no_edge(wild: BaselineFlow) -> None:
    allowed = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]], dtype=bool)
    if wild.architecture.kind == "carefl":
        allowed[2, 0] = True
    for x in torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)):
        jacobian = torch.autograd.functional.jacobian(
            lambda row: wild.latents_and_log_density(row[None])[0][0], x
        ).numpy()
        assert (jacobian[~allowed] == 0).all()
        assert (np.diag(jacobian) > 0).all()


def test_the_density_is_the_base_times_the_jacobian(wild: BaselineFlow, rows: pd.DataFrame) -> None:
    base = laplace if wild.architecture.kind == "carefl" else norm
    expected = []
    for x in wild.encode(rows):
        jacobian = torch.autograd.functional.jacobian(
            lambda row: wild.latents_and_log_density(row[None])[0][0], x
        ).numpy()
        u = wild.latents_and_log_density(x[None])[0][0].detach().numpy()
        expected.append(np.linalg.slogdet(jacobian)[1] + base.logpdf(u).sum())
    np.testing.assert_allclose(wild.log_prob(rows), expected, atol=1e-9)


def test_latents_give_their_rows_back(wild: BaselineFlow, rows: pd.DataFrame) -> None:
    back = wild.sample(u=wild.abduct(rows))
    assert list(back.columns) == ["c", "b", "a"]
    np.testing.assert_allclose(back, rows, atol=1e-8)


def test_a_do_keeps_the_other_latents_and_touches_no_cause(
    wild: BaselineFlow, rows: pd.DataFrame
) -> None:
    u = wild.abduct(rows)
    other = wild.sample(u=u, do={"b": 0.3})
    assert (other["b"] == 0.3).all()
    np.testing.assert_allclose(other["a"], rows["a"], atol=1e-8)
    np.testing.assert_allclose(wild.abduct(other)[["a", "c"]], u[["a", "c"]], atol=1e-8)


def test_a_do_is_the_change_of_the_latent_that_gives_the_value(
    wild: BaselineFlow, rows: pd.DataFrame
) -> None:
    for _, row in rows.head(5).iterrows():
        u = wild.abduct(row.to_frame().T)

        def gap(latent: float, u: pd.DataFrame = u) -> float:
            return float(wild.sample(u=u.assign(b=latent))["b"].item() - 0.3)

        latent = brentq(gap, -1e6, 1e6, xtol=1e-13)
        expected = wild.sample(u=u.assign(b=latent))
        found = wild.sample(u=u, do={"b": 0.3})
        np.testing.assert_allclose(found["c"], expected["c"], rtol=1e-6)


@pytest.mark.parametrize(("kind", "law"), [("affine", norm), ("carefl", laplace)])
def test_latents_are_drawn_from_the_base(kind: str, law: Any) -> None:
    flow = BaselineFlow(CHAIN, architecture=Architecture(kind, (4,)))
    drawn = flow.abduct(flow.sample(5_000, seed=8))
    for name in CHAIN:
        assert kstest(drawn[name], law.cdf).pvalue > 1e-4


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, dict[str, pd.DataFrame]]:
    train = LinearGaussian().draw(600)
    state = torch.get_rng_state()
    tables = fit_seeds(
        train,
        by_seed=False,
        identity=("e", "m"),
        seeds=[0, 1],
        spec=CHAIN,
        settings={"epochs": 3},
        device="cpu",
        folder=tmp_path,
        baseline={"kind": "spline", "hidden": [8], "layers": 1},
    )
    assert torch.equal(state, torch.get_rng_state())
    return tmp_path, tables


def test_a_fit_leaves_the_tables_of_any_model(trained: Any) -> None:
    _, tables = trained
    nodes = tables["nodes"]
    assert set(nodes["solver"]) == {"adam"}
    assert nodes.groupby("seed")["node"].apply(list).tolist() == [["a", "b", "c"]] * 2
    assert (nodes["n"] == 540).all()
    assert len(tables["history"]) == 2 * 3 * 3
    assert tables["history"]["validation"].notna().all()
    for name in ("trajectories", "coefficients", "parameters"):
        assert tables[name].empty
        assert list(tables[name].columns[:3]) == ["experiment", "model", "seed"]
    # the weights of the best epoch, not of the last one
    best = tables["history"].groupby(["seed", "epoch"])["validation"].sum().groupby("seed").min()
    kept = nodes.groupby("seed")["validation_nll"].sum()
    pd.testing.assert_series_equal(kept, best, check_names=False)


def test_a_loaded_model_answers_the_same_and_a_seed_repeats_itself(trained: Any) -> None:
    folder, _ = trained
    rows = LinearGaussian().draw(50)
    again = fit_baseline(
        LinearGaussian().draw(600),
        spec=CHAIN,
        architecture={"kind": "spline", "hidden": [8], "layers": 1},
        settings={"epochs": 3},
        seed=derive_seed("e", "m", 0),
    )
    first, second = load_model(folder, 0), load_model(folder, 1)
    pd.testing.assert_frame_equal(
        first.node_log_prob(rows), again.node_log_prob(rows), check_exact=True
    )
    pd.testing.assert_frame_equal(
        first.sample(20, seed=3), again.sample(20, seed=3), check_exact=True
    )
    assert not np.allclose(first.log_prob(rows), second.log_prob(rows))
    assert first.summary().empty


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": {}}, tmp_path / "seed-0.baseline.pt")
    with pytest.raises(ValueError, match="not a file of this version"):
        load_model(tmp_path, 0)


def test_wrong_questions_are_refused_with_what_is_allowed(wild: BaselineFlow) -> None:
    with pytest.raises(ValueError, match="either n"):
        wild.sample()
    with pytest.raises(ValueError, match="do names 'z'; columns are c, b, a"):
        wild.sample(3, do={"z": 1.0})
    with pytest.raises(ValueError, match="no column 'a'"):
        wild.log_prob(pd.DataFrame({"b": [1.0], "c": [1.0]}))
    with pytest.raises(ValueError, match="'a' is ordinal"):
        BaselineFlow(CHAIN | {"a": {"kind": "ordinal", "levels": 2}}, architecture=KINDS[0])
    assert isinstance(wild.spec["a"], td.ContinuousNode)
