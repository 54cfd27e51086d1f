"""A chain with random parameters: queries must hold for any law, not only for fitted ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from tramdag import CI, CS, LS, CausalFlowDAG, ContinuousNode, OrdinalNode
from tramdag.latent import derive_seed
from tramdag.node import ContinuousConditional


def chain_flow(**further: ContinuousNode | OrdinalNode) -> CausalFlowDAG:
    """The chain w -> x -> {m, c} -> y -> z with random parameters, all variables of order 1.

    x acts on y only through an ordinal (m) and a continuous mediator (c); w is no effect of x.
    The seed is one that makes the effect of x on y large.
    """
    nodes = {
        "w": ContinuousNode(n_coefs=6),
        "x": ContinuousNode({"w": "ls"}, n_coefs=6),
        "m": OrdinalNode(3, {"x": "ls"}),
        "c": ContinuousNode(terms=[CI("x", hidden=(4,)), LS("m"), LS("w")], n_coefs=6),
        "y": OrdinalNode(4, terms=[LS("m"), CS("c", hidden=(4,)), LS("w"), LS("m", "c")]),
        "z": ContinuousNode(terms=[LS("y"), CI("c", hidden=(4,))], transform="spline", n_coefs=5),
        **further,
    }
    rng = np.random.default_rng(0)
    rows = {
        name: rng.integers(0, node.levels, 300)
        if isinstance(node, OrdinalNode)
        else rng.normal(size=300)
        for name, node in nodes.items()
    }
    flow = CausalFlowDAG(nodes, seed=1).fit(pd.DataFrame(rows), epochs=1)
    with torch.no_grad():
        for name, conditional in flow.conditionals.items():
            generator = torch.Generator().manual_seed(derive_seed(11, name))
            for parameter in conditional.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(0.6 * noise)
            if isinstance(conditional, ContinuousConditional):
                # the random laws reach further than the rows that set the scalings
                conditional.low.fill_(-torch.inf)
                conditional.high.fill_(torch.inf)
    return flow


@pytest.fixture(scope="session")
def chain() -> CausalFlowDAG:
    """The chain of :func:`chain_flow`."""
    return chain_flow()


@pytest.fixture(scope="session")
def longer_chain() -> CausalFlowDAG:
    """The same laws, with a node before and a node after."""
    return chain_flow(new=OrdinalNode(2), late=ContinuousNode({"y": "ls"}))


@pytest.fixture(scope="session")
def rows(chain: CausalFlowDAG) -> pd.DataFrame:
    """Two thousand rows of the chain."""
    return chain.sample(2000, seed=1)
