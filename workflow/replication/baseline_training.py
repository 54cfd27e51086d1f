"""Train a baseline flow: Adam on the negative log-likelihood, best validation weights kept.

The recipe is that of the networks beside it, so that neither side has more training than the
other: the same rows, a held-out tenth of them, batches, one cycle of the learning rate and number
of epochs (see ``network_fit`` in experiments.yaml). Networks of two hidden layers of 64 are zuko's
default. Training is in float32, which takes a third less time here; the trained flow answers in
float64, so that counterfactuals come back to the last digits.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from replication.baseline_checks import SETTINGS
from replication.baselines import BaselineFlow, make_baseline
from tramdag.fitting.report import FitReport, NodeHistory, NodeReport

__all__ = ["fit_baseline", "fit_baselines"]


@dataclass
class _Course:
    """Losses of every epoch, each list an entry per epoch; losses are ``(d,)`` by node."""

    train: list[Tensor] = field(default_factory=list)
    validation: list[Tensor] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def fit_baselines(
    rows: pd.DataFrame | Sequence[pd.DataFrame],
    *,
    seeds: Sequence[int],
    spec: Mapping[str, Mapping[str, Any]],
    architecture: Mapping[str, Any],
    settings: Mapping[str, Any],
    device: str = "cpu",
) -> list[BaselineFlow]:
    """One baseline after another, see :func:`fit_baseline`.

    Args:
        rows: Training rows of all seeds, or a table for each.
        seeds: Seed of each fit.
        spec: As there.
        architecture: As there.
        settings: As there.
        device: As there.
    """
    each = [rows] * len(seeds) if isinstance(rows, pd.DataFrame) else rows
    return [
        fit_baseline(
            own, spec=spec, architecture=architecture, settings=settings, seed=seed, device=device
        )
        for own, seed in zip(each, seeds, strict=True)
    ]


def fit_baseline(
    rows: pd.DataFrame,
    *,
    spec: Mapping[str, Mapping[str, Any]],
    architecture: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
    device: str = "cpu",
) -> BaselineFlow:
    """A trained baseline; weights, split and batches follow from the seed alone.

    Args:
        rows: Training rows with a column per node.
        spec: Plain form of a specification, of which the edges count.
        architecture: Kind, hidden and layers, see ``replication.baselines.Architecture``.
        settings: Any of ``replication.baseline_checks.SETTINGS``, whose values are the defaults.
        seed: Seed of everything random.
        device: torch device of the training; the model comes back on the CPU.
    """
    chosen = {**SETTINGS, **settings}
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        # zuko's layers draw their weights from the global generator
        torch.manual_seed(seed)
        model = make_baseline(spec, architecture)
    x = model.encode(rows)
    order = torch.randperm(len(x), generator=generator)
    held_out = round(chosen["validation_fraction"] * len(x))
    validation, train = x[order[:held_out]], x[order[held_out:]]
    model.standardise(train)
    model.to(device).float()
    course = _train(
        model,
        train.to(device).float(),
        validation.to(device).float(),
        chosen=chosen,
        generator=generator,
    )
    model.to("cpu").double().eval()
    model.report = _report(model, train, validation, course)
    return model


def _train(
    model: BaselineFlow,
    train: Tensor,
    validation: Tensor,
    *,
    chosen: Mapping[str, Any],
    generator: torch.Generator,
) -> _Course:
    """Train in place and leave the weights of the best validation epoch."""
    epochs, size, rate = chosen["epochs"], chosen["batch_size"], chosen["learning_rate"]
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    steps = epochs * -(-len(train) // size)
    schedule = None
    if chosen["schedule"] == "onecycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    # without validation rows the training rows stand in
    judged = validation if len(validation) else train
    best, best_weights = float("inf"), copy.deepcopy(model.state_dict())
    course, start = _Course(), time.perf_counter()
    for _ in range(epochs):
        total = torch.zeros(train.shape[1], dtype=train.dtype, device=train.device)
        for batch in torch.randperm(len(train), generator=generator).split(size):
            loss = -model.latents_and_log_density(train[batch])[1].mean(0)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
            total += loss.detach() * (len(batch) / len(train))
        found = _nll(model, judged)
        if found.sum() < best:
            best, best_weights = float(found.sum()), copy.deepcopy(model.state_dict())
        course.train.append(total.cpu())
        course.validation.append(found.cpu())
        course.learning_rate.append(float(optimizer.param_groups[0]["lr"]))
        course.seconds.append(time.perf_counter() - start)
    model.load_state_dict(best_weights)
    return course


@torch.no_grad()
def _nll(model: BaselineFlow, rows: Tensor) -> Tensor:
    """Mean negative log-likelihood by node, nats per row, ``(d,)``."""
    return -model.latents_and_log_density(rows)[1].mean(0)


def _report(model: BaselineFlow, train: Tensor, validation: Tensor, course: _Course) -> FitReport:
    """The course and the end of the fit by node, in the library's own form."""
    at_end = _nll(model, train)
    validated = _nll(model, validation).tolist() if len(validation) else [None] * len(at_end)
    epochs = list(range(1, len(course.train) + 1))
    reports = tuple(
        NodeReport(
            node=name,
            solver="adam",
            epochs=len(epochs),
            n=len(train),
            nll=float(at_end[i]),
            validation_nll=validated[i],
            converged=True,
            seconds=course.seconds[-1],
        )
        for i, name in enumerate(model.order)
    )
    histories = tuple(
        NodeHistory(
            epoch=epochs,
            train=[float(loss[i]) for loss in course.train],
            validation=[float(loss[i]) for loss in course.validation],
            learning_rate=list(course.learning_rate),
            seconds=course.seconds,
        )
        for i in range(len(model.order))
    )
    return FitReport(node_reports=reports, histories=histories)
