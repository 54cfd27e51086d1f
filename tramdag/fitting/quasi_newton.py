r"""One stack's training by full-batch quasi-Newton steps (L-BFGS in whitened coordinates).

Each member minimises :math:`-\ell(\psi) / n + \rho / (2n) \sum_j p_j \psi_j^2`: the mean negative
log-likelihood of its rows and a normal prior of its networks' weights
(:meth:`~tramdag.node.Conditional.prior_precisions`, :math:`\rho` is ``ridge``). The prior's share
falls with n as in Bayes' rule; it makes the minimum worth reaching, where plain maximum likelihood
of a network fits noise, so no rows need be held out to stop in time.

Every epoch evaluates each member once, at the end of its present step. Where the value has
fallen enough that is the next point, else the step is shortened; so members that are at different
stages still move in one program, without a look from the host.

The steps are taken in coordinates in which the empirical information was near the identity when it
was last measured (:mod:`tramdag.fitting.whitening`); there the memory of the curvature begins anew.

References:
    Nocedal and Wright (2006), Numerical Optimization, chapters 3.1 and 7.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from tramdag.fitting.lbfgs import InverseHessian
from tramdag.fitting.progress import Progress
from tramdag.fitting.rows import RowBlocks, TrainingRows
from tramdag.fitting.settings import QuasiNewtonSettings
from tramdag.fitting.training import Training
from tramdag.fitting.whitening import Whitening
from tramdag.node import Conditional

__all__ = ["QuasiNewtonTraining"]

_SUFFICIENT_DECREASE = 1e-4
_ROUNDING = 1e-8
"""Relative rounding of a mean of single-precision log-likelihoods."""

_SHORTEST_STEP = 1e-6
"""A step that had to be shortened beyond this ends the member, after a try along the gradient."""

_LOOK_BACK = 20
_LEAST_GAIN = 5e-5
_LEAST_GAIN_OF_ALL_ROWS = 0.25
"""A member has converged that gained less than so many nats per row over the last ``_LOOK_BACK``
epochs; with many rows, less than so many nats in all of them, which no test would notice."""

_FIRST_MEASUREMENT, _AGAIN = 10, 4
"""The information is measured after so many epochs, and each time after so many times as many. At
the start it says nothing of hidden layers, as the last layer is zero."""

_EASY_EPOCHS, _EASE = 80, 0.1
"""For so many epochs, half of them at most, the prior has only this share of its precision: a
network of zeros, near which a fit begins, may be a minimum of its own under the whole prior."""


class QuasiNewtonTraining(Training):
    """Training by L-BFGS; see :class:`~tramdag.fitting.training.Training` for the arguments.

    Args:
        laws: Distinct laws.
        flat: Starts.
        data: Rows.
        settings: Prior and patience.
    """

    def __init__(
        self,
        laws: Sequence[Conditional],
        flat: Tensor,
        data: TrainingRows,
        settings: QuasiNewtonSettings,
    ) -> None:
        super().__init__(laws, flat, data, settings, Progress.start(flat, settings))
        self.settings = settings
        # rows of weight zero count as absent here, too
        weights = data.weights
        n_rows = flat.new_tensor(data.index.shape[1]) if weights is None else (weights > 0).sum(1)
        self.n_rows = n_rows.to(flat).expand(len(flat))
        self._precision = laws[0].prior_precisions() * settings.ridge
        self._easy_epochs = min(_EASY_EPOCHS, settings.epochs // 2) if settings.ridge > 0 else 0
        self._blocks = RowBlocks(self.data)
        self.whitening = Whitening()
        infinite = flat.new_full((len(flat),), torch.inf)
        # at the last accepted point: its coordinates, what is minimised, its gradient, the
        # likelihood's part of it
        self.point, self.gradient = flat.clone(), torch.zeros_like(flat)
        self.value, self.nll = infinite, infinite
        self.value_before = infinite  # some epochs ago
        # on the way to the next: direction, its slope, and how far to go
        self.direction, self.slope = torch.zeros_like(flat), torch.zeros_like(infinite)
        self.length = torch.ones_like(infinite)
        self.inverse_hessian = InverseHessian(flat)

    _TENSORS = (
        "n_rows",
        "point",
        "value",
        "nll",
        "gradient",
        "value_before",
        "direction",
        "slope",
        "length",
    )
    _PARTS = ("whitening", "inverse_hessian")

    @override
    def _own_state(self) -> dict[str, Tensor]:
        state = {name: getattr(self, name) for name in self._TENSORS}
        for part in self._PARTS:
            state |= {f"{part} {k}": v for k, v in getattr(self, part).state().items()}
        return state

    @override
    def _set_own_state(self, state: Mapping[str, Tensor]) -> None:
        for name in self._TENSORS:
            setattr(self, name, state[name])
        for part in self._PARTS:
            begin = f"{part} "
            own = {k.removeprefix(begin): v for k, v in state.items() if k.startswith(begin)}
            getattr(self, part).resume(own)

    @override
    def _keep_own(self, index: Tensor) -> None:
        for name in self._TENSORS:
            setattr(self, name, getattr(self, name)[index])
        for part in self._PARTS:
            getattr(self, part).keep(index)
        self._blocks.forget()

    @property
    def _prior(self) -> Tensor:
        """Precision of every member's prior by the number of its rows, ``(R, P)``."""
        share = _EASE if self.epoch < self._easy_epochs else 1.0
        return self._precision * (share / self.n_rows).unsqueeze(-1)

    @property
    def _is_time_to_measure(self) -> bool:
        epoch = _FIRST_MEASUREMENT
        while epoch < self.epoch:
            epoch *= _AGAIN
        return epoch == self.epoch

    def _prepare(self) -> None:
        """Begin anew where what is minimised, or the coordinates, are others from now on."""
        prior_grows = 0 < self.epoch == self._easy_epochs
        if prior_grows:
            self.value_before = torch.full_like(self.value, torch.inf)
            if not self.data.is_judged_apart:  # validation values mean what they meant
                self.progress.forget()
        if prior_grows or self._is_time_to_measure:
            self.stepper.flat.copy_(self.stack.flat)
            self.whitening.measure(self.stepper, self._blocks, self._prior)
        elif self.epoch > 0:
            return
        self.point = self.whitening.coordinates(self.stack.flat)
        self.nll, self.value, self.gradient = self._evaluate(self.stack.flat)
        # from where the likelihood is not a number there is no way to go
        self.progress.settled = self.progress.settled | ~torch.isfinite(self.value)
        everyone = torch.ones_like(self.progress.settled)
        self.inverse_hessian.forget(everyone)
        self._turn(self.length, better=everyone, anew=everyone)

    @override
    def run_epoch(self) -> None:
        self._prepare()
        settled = self.progress.settled
        tried = torch.where(settled, 0.0, self.length)
        step = tried.unsqueeze(-1) * self.direction
        point = self.point + step
        flat = self.whitening.parameters(point)
        nll, value, gradient = self._evaluate(flat)
        limit = self.value + _SUFFICIENT_DECREASE * tried * self.slope
        limit = limit + _ROUNDING * self.value.abs().clamp(min=1.0)
        better = (value <= limit) & ~settled & torch.isfinite(value)
        self.inverse_hessian.update(step, gradient - self.gradient, better)
        taken = better.unsqueeze(-1)
        self.point = torch.where(taken, point, self.point)
        self.stack.flat.copy_(torch.where(taken, flat, self.stack.flat))
        self.gradient = torch.where(taken, gradient, self.gradient)
        # the parabola through both values and the slope has its minimum here
        rise = value - self.value - tried * self.slope
        shorter = (-0.5 * tried * self.slope / rise).nan_to_num(0.1).clamp(0.1, 0.5) * tried
        self.value = torch.where(better, value, self.value)
        self.nll = torch.where(better, nll, self.nll)
        self._turn(shorter, better=better, anew=torch.zeros_like(better))
        apart = self.data.is_judged_apart
        held = self._judge() if apart else self.nll
        # without validation rows the last point is the best one
        ended = self.progress.settled
        self.progress.note(held if apart else self.value, self.stack.flat, self.settings)
        if self.epoch < self._easy_epochs:  # too early to be out of patience
            self.progress.settled = ended
        if (self.epoch + 1 - self._easy_epochs) % _LOOK_BACK == 0:
            gained = self.value_before - self.value
            least = (_LEAST_GAIN_OF_ALL_ROWS / self.n_rows).clamp(max=_LEAST_GAIN)
            if self.epoch >= self._easy_epochs:
                self.progress.settled = self.progress.settled | (gained < least)
            self.value_before = self.value
        self._after_epoch(self.nll, held, tried)

    def _turn(self, shorter: Tensor, *, better: Tensor, anew: Tensor) -> None:
        """Where to go from points that are new, and how far from those that are not.

        Args:
            shorter: Length of the next step where the last one was too long.
            better: Members whose point is new.
            anew: Those of them that know nothing of the curvature.
        """
        stuck = ~better & (shorter < _SHORTEST_STEP)
        along_gradient = (self.direction + self.gradient).abs().amax(-1) == 0.0
        self.progress.settled = self.progress.settled | (stuck & along_gradient)
        self.inverse_hessian.forget(stuck)
        direction = -(self.inverse_hessian @ self.gradient)
        slope = (direction * self.gradient).sum(-1)
        # rounding may spoil a direction; the gradient's own never rises
        downhill = slope < 0
        direction = torch.where(downhill.unsqueeze(-1), direction, -self.gradient)
        slope = torch.where(downhill, slope, -self.gradient.square().sum(-1))
        new = better | stuck
        self.direction = torch.where(new.unsqueeze(-1), direction, self.direction)
        self.slope = torch.where(new, slope, self.slope)
        # without curvature a step of unit length at most
        unit = 1.0 / self.gradient.norm(dim=-1).clamp(min=1.0)
        length = torch.where(better, torch.ones_like(unit), shorter)
        self.length = torch.where(anew | stuck, unit, length)

    def _evaluate(self, flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """At parameters ``(R, P)``.

        Returns:
            Mean negative log-likelihood ``(R,)``, what is minimised ``(R,)``, and its gradient in
            the coordinates ``(R, P)``.
        """
        self.stepper.flat.copy_(flat)
        nll, gradient = torch.zeros_like(flat[:, 0]), torch.zeros_like(flat)
        for rows, share in self._blocks:
            log_prob, part = self.stepper.gradient(rows, -share)
            nll -= (log_prob * share).sum(1, dtype=nll.dtype)
            gradient += part
        pull = self._prior * flat
        gradient = self.whitening.pull_back(gradient + pull)
        return nll, nll + 0.5 * (pull * flat).sum(-1), gradient
