r"""Closed-form derivatives of a node's log-likelihood in its transform's parameters and its shift.

Automatic differentiation then only has to pass the networks. With :math:`z = h + s`,
:math:`\gamma` the increments and F the logistic distribution function,

- continuous: :math:`\partial_s = 1 - 2F(z)`,
  :math:`\partial_{\gamma_k} = (1 - 2F(z)) C_k + C_k' / h'`;
- ordinal with ends l < u of the level's interval and gap d = u - l:
  :math:`\partial_u = F(-u)`, :math:`\partial_l = -F(l)`, :math:`\partial_d = 1 / (e^d - 1)`;

and :math:`\partial\gamma / \partial r = F(r) = 1 - e^{-\gamma}` for the raw value r of an
increment.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from tramdag.node import Conditional, ContinuousConditional, OrdinalConditional
from tramdag.transforms import BOUND, LinearInBasis

__all__ = ["HeadGradient", "head_gradient"]

HeadGradient = tuple[Tensor, Tensor, Tensor]
"""Log-likelihood per row, and a sum's derivatives in the raw intercept and in the shift."""


@torch.no_grad()
def head_gradient(
    law: Conditional, raw: Tensor, shift: Tensor, outcome: tuple[Tensor, ...], scale: Tensor
) -> HeadGradient:
    """Log-likelihoods, and the derivatives of their scaled sum.

    Args:
        law: The node, or a stack's module.
        raw: Intercept parameters, shape ``(..., 1, n_params)`` or ``(..., n, n_params)``.
        shift: Shape ``(..., n)``.
        outcome: The node's own part of the encoding.
        scale: Factor of each row's log-likelihood in the sum, ``(..., n)``.

    Returns:
        Log-likelihoods ``(..., n)``, then derivatives in the shapes of ``raw`` and ``shift``.
    """
    if isinstance(law, OrdinalConditional):
        return _ordinal(raw, shift, outcome[0], scale)
    assert isinstance(law, ContinuousConditional)
    if isinstance(law.transform, LinearInBasis):
        unit = torch.log(BOUND / law.half_range).unsqueeze(-1)
        log_prob, *slopes = _linear_in_basis(raw, shift, outcome, scale)
        return log_prob + unit, slopes[0], slopes[1]
    return _by_autograd(law, raw, shift, outcome, scale)


def _increments_and_rise(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Softplus and its derivative, by operations that processors have in vectors."""
    increments = raw.clamp(min=0.0) + torch.log1p(torch.exp(-raw.abs()))
    return increments, -torch.expm1(-increments)


def _linear_in_basis(
    raw: Tensor, shift: Tensor, outcome: tuple[Tensor, ...], scale: Tensor
) -> HeadGradient:
    C, dC = outcome
    increments, rise = _increments_and_rise(raw[..., 1:])
    shared = raw.shape[-2] == 1
    if shared:
        column = increments.mT
        h, slope = (C @ column).squeeze(-1), (dC @ column).squeeze(-1)
    else:
        h, slope = (C * increments).sum(-1), (dC * increments).sum(-1)
    z = raw[..., 0] + h + shift
    log_prob = logsigmoid(z) + logsigmoid(-z) + torch.log(slope)
    by_z = -torch.tanh(0.5 * z) * scale
    by_slope = scale / slope
    by_raw = torch.empty_like(raw)
    if shared:
        by_raw[..., 0] = by_z.sum(-1, keepdim=True)
        by_increments = by_z.unsqueeze(-2) @ C + by_slope.unsqueeze(-2) @ dC
    else:
        by_raw[..., 0] = by_z
        by_increments = torch.addcmul(by_z.unsqueeze(-1) * C, by_slope.unsqueeze(-1), dC)
    torch.mul(by_increments, rise, out=by_raw[..., 1:])
    return log_prob, by_raw, by_z


def _ordinal(raw: Tensor, shift: Tensor, level: Tensor, scale: Tensor) -> HeadGradient:
    increments, rise = _increments_and_rise(raw[..., 1:])
    n_params = raw.shape[-1]
    theta = torch.cat([raw[..., :1], raw[..., :1] + increments.cumsum(-1)], -1)
    theta = theta.expand(*shift.shape, n_params)
    k = level.unsqueeze(-1).expand(*shift.shape, 1)
    is_first, is_last = level == 0, level == n_params
    upper = theta.gather(-1, k.clamp(max=n_params - 1)).squeeze(-1) - shift
    lower = theta.gather(-1, (k - 1).clamp(min=0)).squeeze(-1) - shift
    zero = torch.zeros((), dtype=raw.dtype, device=raw.device)
    log_prob = torch.where(is_last, zero, logsigmoid(upper))
    log_prob = log_prob + torch.where(is_first, zero, logsigmoid(-lower))
    by_upper = torch.where(is_last, zero, torch.sigmoid(-upper) * scale)
    by_lower = torch.where(is_first, zero, -torch.sigmoid(lower) * scale)
    by_offset = by_upper + by_lower
    by_raw = [by_offset.unsqueeze(-1)]
    if n_params > 1:
        inner = torch.arange(1, n_params, device=raw.device)
        own = k == inner  # the level between its two cutpoints
        gaps = increments.expand(*shift.shape, n_params - 1)
        log_mass = torch.log(-torch.expm1(-gaps))
        log_prob = log_prob + torch.where(own, log_mass, zero).sum(-1)
        by_increments = by_upper.unsqueeze(-1) * (k >= inner)
        by_increments = by_increments + by_lower.unsqueeze(-1) * (k > inner)
        pull = scale.unsqueeze(-1) / torch.expm1(gaps)
        by_increments = by_increments + torch.where(own, pull, zero)
        by_raw.append(by_increments * rise)
    by_rows = torch.cat(by_raw, -1)
    if raw.shape[-2] == 1:
        by_rows = by_rows.sum(-2, keepdim=True)
    return log_prob, by_rows, -by_offset


def _by_autograd(
    law: ContinuousConditional,
    raw: Tensor,
    shift: Tensor,
    outcome: tuple[Tensor, ...],
    scale: Tensor,
) -> HeadGradient:
    with torch.enable_grad():
        leaves = raw.detach().requires_grad_(), shift.detach().requires_grad_()
        log_prob = law.log_prob_given(*leaves, outcome)
        by_raw, by_shift = torch.autograd.grad((log_prob * scale).sum(), leaves)
    return log_prob.detach(), by_raw, by_shift
