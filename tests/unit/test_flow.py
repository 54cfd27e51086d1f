from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import tramdag as td
from tramdag import (
    CausalFlowDAG,
    ContinuousNode,
    DataError,
    NotFittedError,
    OrdinalNode,
    SpecError,
)

CONTINUOUS = ["age", "score", "cost"]
ORDINAL = ["sev", "treat", "outcome"]


# the published interface


def test_the_published_example_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cohort = td.simulations.REGISTRY["magic-mrclean"](variant="ls", seed=7).observational(400)
    train_df, val_df = cohort.iloc[:340], cohort.iloc[340:]
    df = val_df

    spec = {
        "Age": ContinuousNode(),
        "mRS_pre": OrdinalNode(levels=6, parents={"Age": "ci"}),
        "NIHSSa": ContinuousNode(parents={"Age": "ci", "mRS_pre": "ls"}),
        "T": OrdinalNode(levels=2, parents={"Age": "ci", "mRS_pre": "ls", "NIHSSa": "cs"}),
        "mRS_3m": OrdinalNode(
            levels=7, parents={"Age": "ci", "mRS_pre": "ls", "NIHSSa": "cs", "T": "ls"}
        ),
    }
    flow = CausalFlowDAG(spec)
    flow.fit(
        train_df,
        val_df,
        epochs=5,
        learning_rate=1e-2,
        schedule="plateau",
        plateau_patience=30,
        freeze_patience=120,
    )
    assert flow.log_prob(df).shape == (60,)
    assert flow.nll(df) == pytest.approx(-flow.log_prob(df).mean())
    assert list(flow.sample(1000)) == list(spec)
    assert (flow.sample(1000, do={"T": 1})["T"] == 1).all()
    assert flow.pmf(df, node="mRS_3m", do={"T": 1}).shape == (60, 7)
    u = flow.abduct(df)
    cf = flow.sample(do={"T": 1}, u=u)
    assert (cf["T"] == 1).all()
    flow.save("flow.pt")
    flow = CausalFlowDAG.load("flow.pt")
    assert "magic-mrclean" in td.simulations.REGISTRY


def test_fit_keeps_the_published_keywords_in_their_order() -> None:
    published = [
        "train_df",
        "val_df",
        "epochs",
        "learning_rate",
        "batch_size",
        "verbose",
        "seed",
        "restore_best",
        "schedule",
        "plateau_patience",
        "freeze_patience",
        "min_delta",
    ]
    parameters = inspect.signature(CausalFlowDAG.fit).parameters
    assert list(parameters)[1 : 1 + len(published)] == published
    assert all(
        parameters[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for name in published
    )
    defaults = {name: parameters[name].default for name in parameters}
    assert defaults["epochs"] == 500
    assert defaults["learning_rate"] == 1e-2
    assert defaults["batch_size"] == 512
    assert defaults["verbose"] == 50
    assert defaults["plateau_patience"] == 15
    assert defaults["min_delta"] == 1e-4
    assert defaults["validation_fraction"] == 0.1
    assert defaults["optimizer"] == "auto"
    assert parameters["optimizer"].kind is inspect.Parameter.KEYWORD_ONLY


def test_every_public_name_exists() -> None:
    assert [name for name in td.__all__ if not hasattr(td, name)] == []


def test_simulations_resolve_under_both_names() -> None:
    import simulations
    from tramdag.simulations import REGISTRY, Carefl4

    assert REGISTRY is simulations.REGISTRY is td.simulations.REGISTRY
    assert Carefl4 is simulations.Carefl4


def test_the_library_says_what_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="simulation"):
        td.simulation  # noqa: B018


def test_what_a_flow_is_can_be_read_off(linear_flow: CausalFlowDAG) -> None:
    assert linear_flow.order == ("age", "sev", "score", "treat", "outcome", "cost")
    assert "fitted" in repr(linear_flow)
    assert "not fitted" in repr(CausalFlowDAG(linear_flow.spec))
    linear_flow.spec.clear()
    assert len(linear_flow.spec) == 6


@pytest.mark.parametrize("dtype", ["float16", torch.float16, torch.int64, None, "double"])
def test_other_floating_types_are_refused(dtype: Any) -> None:
    with pytest.raises(SpecError, match="float64"):
        CausalFlowDAG({"x": ContinuousNode()}, dtype=dtype)


@pytest.mark.parametrize("seed", ["x", "7", 1.5, 2.0, True, [1]])
def test_a_seed_that_is_no_whole_number_is_refused_before_anything_changes(
    seed: Any, linear_flow: CausalFlowDAG, cohort: pd.DataFrame
) -> None:
    before = linear_flow.report
    asked = [
        lambda: CausalFlowDAG({"x": ContinuousNode()}, seed=seed),
        lambda: linear_flow.fit(cohort, seed=seed),
        lambda: linear_flow.sample(5, seed=seed),
        lambda: linear_flow.abduct(cohort, seed=seed),
        lambda: linear_flow.pmf(cohort.head(2), "outcome", {"age": 60.0}, seed=seed),
    ]
    for ask in asked:
        with pytest.raises(SpecError, match="must be a whole number") as error:
            ask()
        assert f"seed={seed!r}" in str(error.value)
    assert linear_flow.report is before


def test_a_seed_may_be_a_numpy_integer(linear_flow: CausalFlowDAG) -> None:
    pd.testing.assert_frame_equal(
        linear_flow.sample(5, seed=np.int64(3)),  # type: ignore[arg-type]
        linear_flow.sample(5, seed=3),
    )


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", 3.5, None])
def test_a_device_that_is_not_here_is_refused(device: Any, linear_flow: CausalFlowDAG) -> None:
    with pytest.raises(SpecError, match=r"device=.*'cpu'") as error:
        CausalFlowDAG({"x": ContinuousNode()}, device=device)
    assert f"device={device!r}" in str(error.value)
    with pytest.raises(SpecError, match="device="):
        linear_flow.to(device)
    assert linear_flow.sample(3, seed=1).shape == (3, 6)


def test_a_bad_spec_is_refused_at_construction() -> None:
    with pytest.raises(SpecError, match="'z'"):
        CausalFlowDAG({"x": ContinuousNode({"z": "ls"})})


ASKING = {
    "log_prob": lambda f, df: f.log_prob(df),
    "nll": lambda f, df: f.nll(df),
    "sample": lambda f, df: f.sample(3),
    "abduct": lambda f, df: f.abduct(df),
    "pmf": lambda f, df: f.pmf(df, "sev"),
    "coef": lambda f, df: f.coef(),
    "report": lambda f, df: f.report,
    "history": lambda f, df: f.history,
}


@pytest.mark.parametrize("verb", ASKING)
def test_a_question_before_the_fit_is_refused(
    verb: str, linear_flow: CausalFlowDAG, cohort: pd.DataFrame
) -> None:
    with pytest.raises(NotFittedError, match="fit"):
        ASKING[verb](CausalFlowDAG(linear_flow.spec), cohort)


# levels one to three


def test_log_prob_is_the_sum_over_nodes(flow: CausalFlowDAG, fresh_cohort: pd.DataFrame) -> None:
    by_node = flow.node_log_prob(fresh_cohort)
    assert list(by_node) == list(flow.spec)
    np.testing.assert_allclose(flow.log_prob(fresh_cohort), by_node.sum(axis=1), rtol=1e-14)


def test_the_rows_themselves_come_back_from_their_latents(
    flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    back = flow.sample(u=flow.abduct(fresh_cohort))
    pd.testing.assert_frame_equal(back[ORDINAL], fresh_cohort[ORDINAL], check_dtype=False)
    np.testing.assert_allclose(back[CONTINUOUS], fresh_cohort[CONTINUOUS], rtol=1e-8)


@pytest.mark.parametrize("sd", [10.0, 50.0])
def test_rows_far_in_the_tails_come_back_too(
    sd: float, flow: CausalFlowDAG, cohort: pd.DataFrame, fresh_cohort: pd.DataFrame
) -> None:
    far = fresh_cohort.copy()
    rng = np.random.default_rng(1)
    for name in CONTINUOUS:
        sides = rng.choice([-1.0, 0.0, 1.0], len(far))
        far[name] = cohort[name].mean() + sd * sides * cohort[name].std()
    for name, levels in zip(ORDINAL, (3, 2, 4), strict=True):
        far[name] = rng.integers(0, levels, len(far))
    u = flow.abduct(far, seed=1)
    assert np.isfinite(u.to_numpy()).all()
    back = flow.sample(u=u)
    pd.testing.assert_frame_equal(back[ORDINAL], far[ORDINAL])
    np.testing.assert_allclose(back[CONTINUOUS], far[CONTINUOUS], rtol=1e-8, atol=1e-8)


@pytest.mark.slow
def test_fresh_rows_of_a_heavy_tailed_process_come_back_from_complex_intercepts() -> None:
    def laplace(n: int, seed: int) -> pd.DataFrame:
        noise = np.random.default_rng(seed).laplace(0.0, 1 / np.sqrt(2), (4, n))
        x3 = noise[0] + 0.5 * noise[1] ** 3 + noise[2]
        x4 = -noise[1] + 0.5 * noise[0] ** 2 + noise[3]
        return pd.DataFrame({"x1": noise[0], "x2": noise[1], "x3": x3, "x4": x4})

    both = {"x1": "ci", "x2": "ci"}
    spec = {"x1": ContinuousNode(), "x2": ContinuousNode()}
    spec |= {"x3": ContinuousNode(both), "x4": ContinuousNode(both)}
    flow = CausalFlowDAG(spec, seed=1).fit(laplace(2000, 1), epochs=40)
    fresh = laplace(50_000, 2)
    assert fresh["x3"].abs().max() > 30 * fresh["x1"].std()
    back = flow.sample(u=flow.abduct(fresh))
    pd.testing.assert_frame_equal(back, fresh, rtol=1e-8, atol=1e-8)


def test_rows_come_back_in_float32_with_float32_accuracy(
    linear_flow: CausalFlowDAG, cohort: pd.DataFrame
) -> None:
    single = CausalFlowDAG(linear_flow.spec, seed=1, dtype="float32").fit(cohort)
    back = single.sample(u=single.abduct(cohort, seed=1))
    np.testing.assert_allclose(back[CONTINUOUS], cohort[CONTINUOUS], rtol=1e-4, atol=1e-4)
    # a parent that is off by a rounding error may move a cutpoint across a latent beside it
    assert (back[ORDINAL].to_numpy() != cohort[ORDINAL].to_numpy()).mean() < 1e-3
    np.testing.assert_allclose(
        single.log_prob(cohort), linear_flow.log_prob(cohort), rtol=1e-4, atol=1e-3
    )


def test_a_fitted_flow_samples_what_it_was_fitted_to(
    linear_flow: CausalFlowDAG, cohort: pd.DataFrame
) -> None:
    drawn = linear_flow.sample(20_000, seed=1)
    for name in [*CONTINUOUS, *ORDINAL]:
        error = cohort[name].std() * np.sqrt(1 / len(cohort) + 1 / 20_000)
        assert abs(drawn[name].mean() - cohort[name].mean()) < 5 * error, name


def test_answers_keep_the_index_and_the_order_of_the_spec(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    named = fresh_cohort.set_axis([f"patient {i}" for i in range(len(fresh_cohort))])
    shuffled = named[named.columns[::-1]].assign(comment="ignored")
    for table in (
        linear_flow.node_log_prob(shuffled),
        linear_flow.abduct(shuffled),
        linear_flow.pmf(shuffled, "outcome"),
        linear_flow.sample(u=linear_flow.abduct(shuffled), do={"treat": 1}),
    ):
        assert table.index.equals(named.index)
    assert list(linear_flow.abduct(shuffled)) == list(linear_flow.spec)
    np.testing.assert_allclose(linear_flow.log_prob(shuffled), linear_flow.log_prob(fresh_cohort))


def test_a_seeded_flow_repeats_its_stream_of_draws(
    linear_flow: CausalFlowDAG, cohort: pd.DataFrame
) -> None:
    first, second = (CausalFlowDAG(linear_flow.spec, seed=9).fit(cohort) for _ in range(2))
    for _ in range(2):
        pd.testing.assert_frame_equal(first.sample(5), second.sample(5))
    assert not first.sample(5).equals(first.sample(5))


@pytest.mark.parametrize("n", [0, -1, 2.5, True, "3"])
def test_a_sample_size_must_be_a_whole_positive_number(n: Any, linear_flow: CausalFlowDAG) -> None:
    with pytest.raises(SpecError, match="n="):
        linear_flow.sample(n)


def test_a_sample_needs_a_size_or_latents(linear_flow: CausalFlowDAG) -> None:
    with pytest.raises(SpecError, match="n"):
        linear_flow.sample()


def test_an_impossible_do_is_refused_by_every_verb(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    u = linear_flow.abduct(fresh_cohort)
    verbs = [
        lambda do: linear_flow.sample(5, do=do),
        lambda do: linear_flow.sample(u=u, do=do),
        lambda do: linear_flow.pmf(fresh_cohort, "outcome", do=do),
        lambda do: linear_flow.counterfactual_pmf(fresh_cohort, "outcome", do=do),
    ]
    bad: list[tuple[Any, type[Exception], str]] = [
        ({"Treat": 1}, SpecError, "'Treat'"),
        ({"treat": 0.7}, DataError, "0.7"),
        ({"treat": 2}, DataError, "'treat'"),
        ({"score": np.nan}, DataError, "'score'"),
        ({"score": [1.0, 2.0]}, DataError, "'score'"),
        (5, SpecError, "5"),
        (["treat"], SpecError, "treat"),
    ]
    for do, kind, named in bad:
        for verb in verbs:
            with pytest.raises(kind, match=named):
                verb(do)


def test_latents_of_the_wrong_shape_are_refused(
    linear_flow: CausalFlowDAG, fresh_cohort: pd.DataFrame
) -> None:
    u = linear_flow.abduct(fresh_cohort)
    wrong: list[Any] = [
        u.to_numpy(),
        u.drop(columns="score"),
        u.T,
        u.iloc[:0],
        u.assign(age=np.nan),
    ]
    for latents in wrong:
        with pytest.raises(DataError):
            linear_flow.sample(u=latents)
    with pytest.raises(DataError, match="7"):
        linear_flow.sample(7, u=u)


# labels
