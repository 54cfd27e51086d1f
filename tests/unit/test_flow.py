from __future__ import annotations

import inspect
import logging
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
from tramdag.fitting.stack import Stack

CONTINUOUS = ["age", "score", "cost"]
ORDINAL = ["sev", "treat", "outcome"]


@pytest.fixture(params=["linear_flow", "network_flow"])
def flow(request: pytest.FixtureRequest) -> CausalFlowDAG:
    return request.getfixturevalue(request.param)


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


@pytest.fixture(scope="module")
def labelled(cohort: pd.DataFrame) -> tuple[CausalFlowDAG, pd.DataFrame]:
    names = pd.Index(["none", "some", "severe"])
    sev = pd.Categorical.from_codes(cohort["sev"], categories=names, ordered=True)
    df = cohort.assign(sev=sev)[["age", "sev", "score"]]
    spec = {
        "age": ContinuousNode(n_coefs=6),
        "sev": OrdinalNode(3, {"age": "ls"}),
        "score": ContinuousNode({"age": "ls", "sev": "ls"}, n_coefs=6),
    }
    return CausalFlowDAG(spec, seed=1).fit(df), df


def test_an_ordered_categorical_comes_back_from_sample(
    labelled: tuple[CausalFlowDAG, pd.DataFrame],
) -> None:
    flow, df = labelled
    drawn = flow.sample(50, seed=1)
    assert drawn["sev"].dtype == df["sev"].dtype
    back = flow.sample(u=flow.abduct(df))
    pd.testing.assert_series_equal(back["sev"], df["sev"])


def test_do_speaks_the_labels(labelled: tuple[CausalFlowDAG, pd.DataFrame]) -> None:
    flow, df = labelled
    forced = flow.sample(20, do={"sev": "severe"}, seed=1)
    assert (forced["sev"] == "severe").all()
    per_row = flow.sample(u=flow.abduct(df), do={"sev": df["sev"]})
    pd.testing.assert_frame_equal(per_row, df, rtol=1e-8)
    by_rule = flow.sample(20, do={"sev": lambda sev: np.where(sev == "none", "some", sev)}, seed=1)
    assert "none" not in set(by_rule["sev"])
    with pytest.raises(DataError, match=r"'sever'.*'severe'"):
        flow.sample(20, do={"sev": "sever"})


def test_pmf_columns_are_the_labels(labelled: tuple[CausalFlowDAG, pd.DataFrame]) -> None:
    flow, df = labelled
    assert list(flow.pmf(df, "sev")) == ["none", "some", "severe"]


def test_labels_and_codes_give_the_same_fit(
    labelled: tuple[CausalFlowDAG, pd.DataFrame], cohort: pd.DataFrame
) -> None:
    flow, df = labelled
    coded = CausalFlowDAG(flow.spec, seed=1).fit(cohort)
    np.testing.assert_array_equal(
        coded.log_prob(cohort), flow.log_prob(df), err_msg="the same rows in two notations"
    )


def test_boolean_and_nullable_columns_give_the_same_fit(cohort: pd.DataFrame) -> None:
    spec = {"age": ContinuousNode(n_coefs=6), "treat": OrdinalNode(2, {"age": "ls"})}
    plain = CausalFlowDAG(spec, seed=1).fit(cohort)
    for dtype in ("bool", "boolean", "Int64", "Float64"):
        other = cohort.assign(
            treat=cohort["treat"].astype(dtype), age=cohort["age"].astype("Float64")
        )
        np.testing.assert_array_equal(
            CausalFlowDAG(spec, seed=1).fit(other).log_prob(other), plain.log_prob(cohort)
        )


# nothing changes when a fit fails

BAD_ROWS = {
    "missing column": lambda df: df.drop(columns="cost"),
    "NaN": lambda df: df.assign(score=df["score"].where(df.index != 3)),
    "infinite": lambda df: df.assign(cost=np.inf),
    "level out of range": lambda df: df.assign(sev=3),
    "fractional level": lambda df: df.assign(treat=df["treat"] + 0.5),
    "constant": lambda df: df.assign(age=60.0),
    "empty": lambda df: df.iloc[:0],
    "unordered categorical": lambda df: df.assign(sev=pd.Categorical(df["sev"])),
    "text": lambda df: df.assign(score="high"),
    "no table": lambda df: df.to_numpy(),
}


@pytest.mark.parametrize(
    ("role", "kind"),
    [("train", kind) for kind in BAD_ROWS]
    + [("validation", kind) for kind in BAD_ROWS if kind != "constant"],
)
def test_a_failed_fit_changes_nothing(
    kind: str, role: str, flow: CausalFlowDAG, cohort: pd.DataFrame
) -> None:
    bad = BAD_ROWS[kind](cohort)
    train, validation = (bad, None) if role == "train" else (cohort, bad)
    before = {
        name: value.clone()
        for node, conditional in flow.conditionals.items()
        for name, value in ((f"{node}.{k}", v) for k, v in conditional.state_dict().items())
    }
    report = flow.report
    with pytest.raises(DataError):
        flow.fit(train, validation, epochs=1)
    after = {
        f"{node}.{k}": v
        for node, conditional in flow.conditionals.items()
        for k, v in conditional.state_dict().items()
    }
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert flow.report is report


def test_a_fit_that_is_interrupted_changes_nothing(
    cohort: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"age": ContinuousNode(n_coefs=5), "score": ContinuousNode({"age": "cs"}, n_coefs=5)}
    flow = CausalFlowDAG(spec, seed=1).fit(cohort, epochs=1)
    before = flow.log_prob(cohort)

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stack, "gradient", interrupted)
    for warm_start in (False, True):
        with pytest.raises(KeyboardInterrupt):
            flow.fit(cohort.iloc[:300], epochs=1, warm_start=warm_start)
        np.testing.assert_array_equal(flow.log_prob(cohort), before)


def test_fitting_does_not_touch_the_table(cohort: pd.DataFrame, linear_flow: CausalFlowDAG) -> None:
    before = cohort.copy()
    CausalFlowDAG(linear_flow.spec, seed=1).fit(cohort)
    pd.testing.assert_frame_equal(cohort, before)


# being quiet


@pytest.mark.parametrize("progress", [None, False])
def test_a_fit_off_a_terminal_is_quiet(
    progress: bool | None, cohort: pd.DataFrame, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = {"age": ContinuousNode(), "score": ContinuousNode({"age": "cs"})}
    CausalFlowDAG(spec, seed=1).fit(cohort, epochs=2, progress=progress)
    assert capfd.readouterr() == ("", "")


def test_a_progress_bar_is_shown_on_request(
    cohort: pd.DataFrame, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = {"age": ContinuousNode(), "score": ContinuousNode({"age": "cs"})}
    CausalFlowDAG(spec, seed=1).fit(cohort, epochs=2, progress=True)
    captured = capfd.readouterr()
    assert "score" in captured.err
    assert captured.out == ""


def test_verbose_fits_log_the_validation_value(
    cohort: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    spec = {"age": ContinuousNode(), "score": ContinuousNode({"age": "cs"})}
    with caplog.at_level(logging.INFO, logger="tramdag"):
        CausalFlowDAG(spec, seed=1).fit(cohort, epochs=4, verbose=2)
    epochs = [record.getMessage() for record in caplog.records if "epoch" in record.getMessage()]
    assert [("epoch 2" in m, "epoch 4" in m) for m in epochs] == [(True, False), (False, True)]


# the graphics card


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graphics_card_gives_the_answers_of_the_processor(
    network_flow: CausalFlowDAG, cohort: pd.DataFrame, tmp_path: Path
) -> None:
    flow = CausalFlowDAG(network_flow.spec, seed=5, device="cuda").fit(cohort, epochs=3)
    flow.save(tmp_path / "flow.pt")
    host = CausalFlowDAG.load(tmp_path / "flow.pt")
    some = cohort.iloc[:50]
    for ask in (
        lambda f: f.node_log_prob(some),
        lambda f: f.sample(50, seed=1),
        lambda f: f.sample(50, do={"treat": 1, "score": lambda s: s + 1}, seed=1),
        lambda f: f.abduct(some, seed=1),
        lambda f: f.sample(u=f.abduct(some, seed=1), do={"treat": 1}),
        lambda f: f.pmf(some, "outcome", do={"age": 80.0}, n_points=64),
        lambda f: f.cdf(some, "cost", do={"age": 80.0}, at=[1.0, 3.0], n_points=64),
        lambda f: f.density(some, "cost", do={"age": 80.0}, at=2.0, n_points=64),
        lambda f: f.quantile(some, "cost", do={"age": 80.0}, q=0.3, n_points=64),
        lambda f: f.counterfactual_pmf(some, "outcome", do={"treat": 1}),
        lambda f: f.coef(),
        lambda f: f.shift_curve("outcome", "score", [1.0, 5.0, 9.0]),
        lambda f: f.transformation(some, "cost"),
    ):
        pd.testing.assert_frame_equal(ask(flow), ask(host), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(flow.cutpoints("treat"), host.cutpoints("treat"), rtol=1e-9)
    assert flow.to("cpu").nll(some) == pytest.approx(host.nll(some), rel=1e-9)
