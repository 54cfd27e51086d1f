"""What every process promises."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulations import REGISTRY, Carefl4, MagicMrClean, TriangleContinuous, TriangleMixed
from simulations.scm import StructuralModel

N = 400
WRONG: Any = "wrong"


def intervention(model, node, n):
    """A do value per row that no equation would produce."""
    rows = np.arange(n)
    return rows % model.levels[node] if node in model.levels else 0.5 + rows / n


def test_registry_names_every_process():
    assert list(REGISTRY) == ["triangle", "triangle-mixed", "vaca", "carefl", "magic-mrclean"]
    assert all(isinstance(generator(), StructuralModel) for generator in REGISTRY.values())


def test_columns_come_in_causal_order_with_integer_levels(model):
    df = model.observational(N)
    assert tuple(df.columns) == model.columns
    for node in model.columns:
        assert set(model.parents[node]) <= set(model.columns[: model.columns.index(node)])
        assert df[node].dtype == (np.int64 if node in model.levels else np.float64)
        if node in model.levels:
            assert df[node].between(0, model.levels[node] - 1).all()


def test_simulate_is_a_function_of_the_latents(model):
    latents = model.draw_latents(N, 3)
    assert tuple(latents.columns) == model.latents
    pd.testing.assert_frame_equal(model.simulate(latents), model.simulate(latents))
    as_mapping = {name: latents[name].to_numpy() for name in reversed(model.latents)}
    pd.testing.assert_frame_equal(model.simulate(latents), model.simulate(as_mapping))


def test_simulate_keeps_the_index_of_the_latents(model):
    latents = model.draw_latents(3, 0).set_axis(["a", "b", "c"])
    assert model.simulate(latents).index.tolist() == ["a", "b", "c"]


def test_do_sets_the_node_row_by_row(model):
    latents = model.draw_latents(N, 5)
    for node in model.columns:
        values = intervention(model, node, N)
        df = model.simulate(latents, {node: values})
        np.testing.assert_array_equal(df[node], values)
        assert df[node].dtype == (np.int64 if node in model.levels else np.float64)


def test_do_cuts_the_incoming_edges_and_leaves_non_descendants_alone(model):
    latents = model.draw_latents(N, 5)
    factual = model.simulate(latents)
    for position, node in enumerate(model.columns):
        df = model.simulate(latents, {node: 1})
        assert (df[node] == 1).all()
        descendants = {node}
        for other in model.columns[position + 1 :]:
            if descendants & set(model.parents[other]):
                descendants.add(other)
        for other in set(model.columns) - descendants:
            pd.testing.assert_series_equal(df[other], factual[other])


def test_do_on_every_parent_leaves_only_the_own_latent(model):
    for node in model.columns[1:]:
        do = dict.fromkeys(model.parents[node], 1)
        own = [name for name in model.latents if name.split("_")[0] == node or name == node]
        latents = model.draw_latents(N, 5)
        others = model.draw_latents(N, 6)
        others[own] = latents[own]
        pd.testing.assert_series_equal(
            model.simulate(latents, do)[node], model.simulate(others, do)[node]
        )


def test_counterfactual_pair_shares_the_latents(model):
    node = model.columns[-2]
    do = {node: 1}
    factual, counterfactual = model.counterfactual_pair(N, do)
    latents = model.draw_latents(N, model.seed + 2)
    pd.testing.assert_frame_equal(factual, model.simulate(latents))
    pd.testing.assert_frame_equal(counterfactual, model.simulate(latents, do))


def test_a_do_equal_to_the_natural_value_changes_nothing(model):
    latents = model.draw_latents(N, 5)
    factual = model.simulate(latents)
    for node in model.columns:
        pd.testing.assert_frame_equal(model.simulate(latents, {node: factual[node]}), factual)


def test_abducted_noise_gives_the_rows_back(invertible_model):
    df = invertible_model.observational(N, seed_offset=4).set_axis(range(10, 10 + N))
    again = invertible_model.simulate(invertible_model.abduct_noise(df))
    # Rounding of sums and products of numbers below 100.
    pd.testing.assert_frame_equal(again, df, rtol=0, atol=1e-11)


def test_true_counterfactual_equals_the_simulated_one(invertible_model):
    do = {invertible_model.columns[1]: np.linspace(-1, 1, N)}
    factual, counterfactual = invertible_model.counterfactual_pair(N, do)
    # Rounding of sums and products of numbers below 100.
    pd.testing.assert_frame_equal(
        invertible_model.true_counterfactual(factual, do), counterfactual, rtol=0, atol=1e-11
    )


BAD_DO = [
    ({"x9": 0}, "do names 'x9', which is no node"),
    ({"x1": np.zeros(3)}, r"shape \(3,\); give a scalar or one value for each of the 5 rows"),
    ({"x1": np.zeros((5, 1))}, "give a scalar or one value for each of the 5 rows"),
    ({"x1": np.nan}, "is nan in row 0; it must be a finite number"),
    ({"x1": [0, 0, np.inf, 0, 0]}, "is inf in row 2"),
    ({"x1": "high"}, "is 'high'; it must be a number"),
    ({"x1": ["1", "2", "3", "4", "5"]}, "must be a number or a vector of numbers"),
    ({"x1": [[1], [2, 3]]}, "must be a number or a vector of numbers"),
    ({"x1": None}, "is nan"),
    ({"x3": 4}, "is 4 in row 0; the levels are the whole numbers 0 to 3"),
    ({"x3": -1}, "the levels are the whole numbers 0 to 3"),
    ({"x3": [0, 1, 0.5, 2, 3]}, "is 0.5 in row 2; the levels are"),
    (["x1"], "must map node names to values"),
]


@pytest.mark.parametrize(("do", "message"), BAD_DO, ids=[str(do) for do, _ in BAD_DO])
def test_an_impossible_do_is_a_clear_error(do, message):
    model = TriangleMixed()
    with pytest.raises(ValueError, match=f"TriangleMixed: .*{message}"):
        model.simulate(model.draw_latents(5, 0), do)


@pytest.mark.parametrize("n", [0, -1, 2.5, True, "5", None])
def test_an_impossible_number_of_rows_is_a_clear_error(n):
    with pytest.raises(ValueError, match=r"n is .* a whole number of at least 1"):
        Carefl4().observational(n)


def test_an_impossible_seed_is_a_clear_error():
    with pytest.raises(ValueError, match="Carefl4: seed is -1"):
        Carefl4(seed=-1)
    with pytest.raises(ValueError, match="rng is 'wrong'"):
        Carefl4().draw_latents(3, WRONG)
    with pytest.raises(ValueError, match="seed_offset is 'wrong'"):
        Carefl4().observational(3, seed_offset=WRONG)


def test_an_unknown_variant_is_a_clear_error():
    with pytest.raises(ValueError, match="f is 'wrong'; allowed are linear, cubic, exp, atan, sin"):
        TriangleContinuous(WRONG)
    with pytest.raises(ValueError, match="variant is 'wrong'; allowed are ls, nl"):
        MagicMrClean(WRONG)
    with pytest.raises(ValueError, match="population is 'wrong'; allowed are cohort, trial"):
        MagicMrClean(population=WRONG)


def test_incomplete_latents_are_a_clear_error():
    model = Carefl4()
    latents = model.draw_latents(5, 0)
    with pytest.raises(ValueError, match="column x4 is missing"):
        model.simulate(latents.drop(columns="x4"))
    with pytest.raises(ValueError, match="latent x2 is nan in row 1"):
        model.simulate(latents.assign(x2=[0, np.nan, 0, 0, 0]))
    with pytest.raises(ValueError, match="vectors of one length"):
        model.simulate({name: np.zeros(4 + (name == "x1")) for name in model.latents})
    with pytest.raises(ValueError, match="no rows"):
        model.simulate(latents.head(0))


def test_impossible_rows_are_a_clear_error():
    model = TriangleMixed()
    df = model.observational(3)
    with pytest.raises(ValueError, match="column x2 is missing"):
        model.log_density(df.drop(columns="x2"))
    with pytest.raises(ValueError, match="column x1 is nan in row 0"):
        model.log_density(df.assign(x1=np.nan))
    with pytest.raises(ValueError, match="column x3 is 7 in row 0"):
        model.log_density(df.assign(x3=7))
    with pytest.raises(ValueError, match="give a DataFrame"):
        model.log_density(WRONG)
