"""Columns of four parents, two continuous, one binary, one of three levels; and their dummies."""

from __future__ import annotations

import numpy as np
import torch

from tramdag.spec import ContinuousNode, Node, OrdinalNode

__all__ = ["NODES", "ONE", "TWO", "VALUES", "A", "B", "N", "T"]

NODES: dict[str, Node] = {
    "a": ContinuousNode(),
    "b": ContinuousNode(),
    "t": OrdinalNode(2),
    "m": OrdinalNode(3),
}
N = 40
_RNG = np.random.default_rng(0)
VALUES = {
    "a": torch.from_numpy(_RNG.normal(70.0, 8.0, N)),
    "b": torch.from_numpy(_RNG.normal(0.0, 0.01, N)),
    "t": torch.from_numpy(_RNG.integers(0, 2, N)),
    "m": torch.from_numpy(_RNG.integers(0, 3, N)),
}
A, B, T, M = (VALUES[name].double() for name in "abtm")
ONE, TWO = (M == 1).double(), (M == 2).double()
