from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import torch

from tramdag import LS, VC, CausalFlowDAG, ContinuousNode, OrdinalNode
from tramdag.data import encode_frame
from tramdag.fitting.stack import flatten
from tramdag.fitting.start import convex_start
from tramdag.node import make_conditional
from tramdag.spec import Node

SMALL = (8,)
STILL = {"epochs": 1, "learning_rate": 1e-12, "validation_fraction": 0.0}
"""Settings under which a fit stays where it begins."""


def simulate(seed: int, n: int = 800) -> pd.DataFrame:
    """A binary outcome whose log odds ratio of t is 0.8 on average and falls with age."""
    rng = np.random.default_rng(seed)
    age, dose = rng.normal(size=n), rng.normal(3.0, 2.0, size=n)
    t = (rng.logistic(size=n) < 0.3 * age).astype(int)
    eta = 0.7 * age + (0.8 - 0.5 * age) * t + 0.4 * dose - 1.2
    y = (rng.logistic(size=n) < eta).astype(int)
    return pd.DataFrame({"age": age, "dose": dose, "t": t, "y": y})


def spec_of(*terms: LS | VC) -> dict[str, Node]:
    return {
        "age": ContinuousNode(transform="affine"),
        "dose": ContinuousNode(transform="affine"),
        "t": OrdinalNode(2),
        "y": OrdinalNode(2, terms=list(terms)),
    }


def log_odds(flow: CausalFlowDAG, df: pd.DataFrame) -> np.ndarray:
    p = flow.pmf(df, "y")[1].to_numpy()
    return np.log(p / (1.0 - p))


TERMS = {
    "binary treatment": [LS("age"), LS("dose"), VC("t", by="age", hidden=SMALL)],
    "continuous treatment": [LS("age"), LS("t"), VC("dose", by="age", hidden=SMALL)],
    "two treatments": [
        LS("age"),
        VC("dose", by="age", hidden=SMALL),
        VC("t", by="age", hidden=SMALL),
        VC("t", by="dose", hidden=SMALL),
    ],
    "treatment with a term of its own": [
        LS("age"),
        LS("t"),
        LS("dose"),
        VC("t", by="age", hidden=SMALL),
    ],
}


@pytest.mark.parametrize("name", TERMS)
def test_a_network_coefficient_begins_at_the_constant_of_greatest_likelihood(name: str) -> None:
    df = simulate(1)
    flow = CausalFlowDAG(spec_of(*TERMS[name]), seed=1).fit(df, **STILL)
    X = sm.add_constant(df[["age", "dose", "t"]])
    reference = sm.Logit(df["y"], X).fit(disp=0)
    expected = np.asarray(X) @ reference.params.to_numpy()
    np.testing.assert_allclose(log_odds(flow, df), expected, atol=1e-6)


def test_the_start_of_replicates_is_that_of_each_alone() -> None:
    df = simulate(2)
    nodes = spec_of(*TERMS["two treatments"])
    law = make_conditional("y", nodes, seed=1, dtype=torch.float64)
    values = encode_frame(df, nodes, {})
    law.set_scaling(values)
    weights = torch.from_numpy(np.random.default_rng(0).exponential(size=(3, len(df))))
    begin = flatten(law).expand(3, -1)
    together = convex_start(law, begin, values, weights)
    for b in range(3):
        alone = convex_start(law, begin[b : b + 1], values, weights[b : b + 1])
        torch.testing.assert_close(together[b : b + 1], alone, rtol=1e-8, atol=1e-8)
    assert not torch.allclose(together[0], together[1])


def test_what_the_networks_begin_with_is_kept() -> None:
    df = simulate(2)
    nodes = spec_of(*TERMS["binary treatment"])
    law = make_conditional("y", nodes, seed=1, dtype=torch.float64)
    values = encode_frame(df, nodes, {})
    law.set_scaling(values)
    before = flatten(law).unsqueeze(0)
    after = convex_start(law, before, values, None)
    changed = (before != after).squeeze(0)
    sizes = [p.numel() for p in law.parameters()]
    names = [name for name, _ in law.named_parameters()]
    moved = {n for n, part in zip(names, changed.split(sizes), strict=True) if part.any()}
    assert moved == {"intercept", "linear.weight", "complex_shifts.0.constant"}


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_level_of_a_network_coefficient_is_that_of_a_classical_fit(seed: int) -> None:
    df = simulate(seed)
    flow = CausalFlowDAG(spec_of(*TERMS["binary treatment"]), seed=seed).fit(df)
    level = (log_odds(flow, df.assign(t=1)) - log_odds(flow, df.assign(t=0))).mean()
    X = sm.add_constant(df[["age", "dose", "t"]].assign(interaction=df["age"] * df["t"]))
    reference = sm.Logit(df["y"], X).fit(disp=0)
    expected = reference.params["t"] + reference.params["interaction"] * df["age"].mean()
    # a tenth of the rows only ends the fit: the two estimates differ by a third of an error
    assert level == pytest.approx(expected, abs=5 * reference.bse["t"] / 3)
