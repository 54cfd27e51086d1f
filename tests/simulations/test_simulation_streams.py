"""The random streams: which seed, which order, one call per latent."""

import numpy as np
import pandas as pd

from simulations import Carefl4, MagicMrClean, TriangleContinuous, VacaTriangle


def test_latents_are_drawn_one_vector_after_the_other():
    rng = np.random.default_rng(11)
    expected = {
        "x1_mix": rng.uniform(size=50),
        "x1_a": rng.normal(size=50),
        "x1_b": rng.normal(size=50),
        "x2": rng.logistic(size=50),
        "x3": rng.logistic(size=50),
    }
    pd.testing.assert_frame_equal(TriangleContinuous().draw_latents(50, 11), pd.DataFrame(expected))
    rng = np.random.default_rng(11)
    expected = {f"x{i}": rng.laplace(0, 1 / np.sqrt(2), 50) for i in (1, 2, 3, 4)}
    pd.testing.assert_frame_equal(Carefl4().draw_latents(50, 11), pd.DataFrame(expected))


def test_a_generator_serves_as_well_as_its_seed():
    model = VacaTriangle()
    rng = np.random.default_rng(5)
    first = model.draw_latents(20, rng)
    pd.testing.assert_frame_equal(first, model.draw_latents(20, 5))
    assert not model.draw_latents(20, rng).equals(first)


def test_each_kind_of_draw_has_its_own_stream(model):
    n, node = 30, model.columns[0]
    do = {node: 1.0}

    def run(k, do=None):
        return model.simulate(model.draw_latents(n, model.seed + k), do)

    pd.testing.assert_frame_equal(model.observational(n), run(1))
    pd.testing.assert_frame_equal(model.observational(n, seed_offset=777), run(778))
    pd.testing.assert_frame_equal(model.counterfactual_pair(n, do, seed_offset=3)[0], run(5))
    pd.testing.assert_frame_equal(model.interventional(n, do), run(501, do))
    pd.testing.assert_frame_equal(model.interventional(n, do, seed_offset=2), run(503, do))


def test_the_trial_has_its_own_stream():
    model = MagicMrClean("nl")
    trial = model.trial()
    expected = trial.simulate(trial.draw_latents(30, model.seed + 1001))
    pd.testing.assert_frame_equal(model.rct(30), expected)
    assert not model.rct(30, seed_offset=1).equals(expected)


def test_only_the_first_latent_is_prefix_stable(model):
    short, long = model.draw_latents(10, 3), model.draw_latents(20, 3)
    first, *others = model.latents
    pd.testing.assert_series_equal(short[first], long[first].head(10))
    for name in others:
        assert not np.isin(short[name], long[name].head(10)).any()
