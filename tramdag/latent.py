r"""The standard logistic law of every latent, and draws from it that depend on names, not on order.

.. math:: F(z) = \sigma(z) = 1 / (1 + e^{-z}), \qquad \log f(z) = \log F(z) + \log F(-z).

Everything is written so that both tails keep full precision.
"""

from __future__ import annotations

import hashlib
from numbers import Integral

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from tramdag.errors import SpecError

__all__ = ["derive_seed", "fresh_seed", "icdf", "keyed_uniforms", "log_prob", "truncated_icdf"]

_MASS_MARGIN = 2.0**-30
"""Relative mass at either end of an interval that a truncated draw leaves out.

A counterfactual recomputes the interval from parents that match to about 1e-12; the margin keeps
an abducted latent inside it, at the price of 1e-9 of the mass.
"""


def log_prob(z: Tensor) -> Tensor:
    """Log density of the standard logistic law, in nats; any shape."""
    return logsigmoid(z) + logsigmoid(-z)


def icdf(p: Tensor) -> Tensor:
    """Quantile function log(p) - log(1 - p), for p in (0, 1)."""
    return torch.log(p) - torch.log1p(-p)


def truncated_icdf(v: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    r"""Quantile function of the standard logistic law conditioned on (lower, upper].

    Solves :math:`F(z) = (1-v) F(l) + v F(u)` through the log odds of its two sides, so that
    intervals far out in either tail lose no digits.

    Args:
        v: Quantile levels in (0, 1), shape ``(*batch,)``.
        lower: Lower ends, may be -inf, shape ``(*batch,)``.
        upper: Upper ends, may be +inf, larger than ``lower``, shape ``(*batch,)``.

    Returns:
        z with lower < z <= upper, shape ``(*batch,)``.
    """
    margin = max(_MASS_MARGIN, torch.finfo(v.dtype).eps)
    v = v.clamp(margin, 1.0 - margin)
    log_v, log_w = torch.log(v), torch.log1p(-v)
    log_p = torch.logaddexp(log_w + logsigmoid(lower), log_v + logsigmoid(upper))
    log_q = torch.logaddexp(log_w + logsigmoid(-lower), log_v + logsigmoid(-upper))
    z = log_p - log_q
    above = torch.nextafter(lower, torch.full_like(lower, torch.inf))
    return torch.minimum(torch.maximum(z, above), upper)


def known_seed(seed: object) -> int:
    """The seed as Python's integer.

    Raises:
        SpecError: It is no whole number.
    """
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise SpecError(f"seed={seed!r} must be a whole number, such as 42.")
    return int(seed)


def derive_seed(seed: int, *keys: object) -> int:
    """A 63-bit seed that depends on ``seed`` and the keys alone, not on the order of calls.

    Raises:
        SpecError: The seed is no whole number.
    """
    text = "\x1f".join([str(known_seed(seed)), *map(str, keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def fresh_seed() -> int:
    """A seed from the operating system's entropy, for callers that give none."""
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)


def keyed_uniforms(n: int, seed: int, *keys: object) -> Tensor:
    """N uniforms in the open interval (0, 1), float64, from a counter-based generator.

    The stream belongs to (seed, keys), so draws of one node do not change when nodes are added or
    reordered, and the first k of n draws are those of a call for k.
    """
    generator = np.random.Generator(np.random.Philox(derive_seed(seed, *keys)))
    # half a unit in the last place keeps 0 out: its quantile would be infinite
    return torch.from_numpy(generator.random(n) + 2.0**-54).clamp_(max=1.0 - 2.0**-53)
