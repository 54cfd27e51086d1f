r"""Autoregressive flows that the paper compares TRAM-DAGs with, built on zuko.

Every one maps a row x to latents u by triangular layers of monotone maps, each of which has its
parameters from a masked network of other columns:

======== ================== ============================= ======= ================================
kind     map of a column    its parameters depend on      base    published as
======== ================== ============================= ======= ================================
affine   a x + b            its parents in the DAG        normal  causal normalizing flow, default
spline   rational-quadratic its parents in the DAG        normal  the same with neural splines
carefl   a x + b            all columns before it         Laplace causal autoregressive flow
======== ================== ============================= ======= ================================

The spline has 8 bins on [-5, 5] and is the identity outside, as by zuko's defaults. Columns are
standardised by their training means and standard deviations first. The causal order is that of the
graph, ties in the order of the specification. ``carefl`` knows this order and nothing else of the
graph; its base is the law that Khemakhem et al. simulate noise from. Several affine layers in one
order make an affine map again, whose parameters are richer functions: ``layers`` counts them. The
other kinds have one layer, since two layers along the edges of a graph let a column depend on its
grandparents too.

An intervention holds its column at the value and skips the column's own map; the columns after it
follow one by one in causal order, each solved for the value that gives its latent, so that no
iteration is involved. For several layers this is what CAREFL describes: the latent of the
intervened column is changed to the one that gives the value, all other latents are kept. A
counterfactual is abduction, action and prediction: ``sample(u=abduct(df), do=...)``.

References:
    Papamakarios, Pavlakou and Murray (2017), Masked autoregressive flow. NeurIPS.
    Durkan, Bekasov, Murray and Papamakarios (2019), Neural spline flows. NeurIPS.
    Khemakhem, Monti, Leech and Hyvarinen (2021), Causal autoregressive flows. AISTATS.
    Javaloy, Sanchez-Martin and Valera (2023), Causal normalizing flows. NeurIPS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.transforms import MonotonicRQSTransform

import tramdag as td
from tramdag.inference import SUMMARY_COLUMNS
from tramdag.spec import causal_order

__all__ = ["BASELINE_SUFFIX", "Architecture", "BaselineFlow", "make_baseline"]

BASELINE_SUFFIX = ".baseline.pt"
"""End of the names of files with baselines; those of the library end otherwise."""

SPLINE_BINS = 8

_FORMAT = "baseline flow 1"
_BASES = {"affine": "normal", "spline": "normal", "carefl": "laplace"}


@dataclass(frozen=True)
class Architecture:
    """The size of a baseline.

    Attributes:
        kind: ``affine``, ``spline`` or ``carefl``.
        hidden: Widths of the hidden layers of each masked network (ReLU).
        layers: Layers of the flow.
    """

    kind: str
    hidden: tuple[int, ...] = (64, 64)
    layers: int = 1


class BaselineFlow(nn.Module):
    """A flow over continuous columns, with the verbs of ``CausalFlowDAG`` that jobs ask.

    Args:
        spec: Plain form of a specification of continuous nodes; only its edges count, not their
            kinds.
        architecture: See :class:`Architecture`.

    Attributes:
        spec: The nodes by name.
        architecture: As given.
        order: Names of the columns, causes first.
        report: The report of the fit, None for a model that was loaded.

    Raises:
        ValueError: A node is ordinal, or there is no edge.
    """

    mean: Tensor
    sd: Tensor

    def __init__(
        self, spec: Mapping[str, Mapping[str, Any]], *, architecture: Architecture
    ) -> None:
        super().__init__()
        self.spec: Final = td.spec_from_dict(spec)
        self.architecture: Final = architecture
        self._plain = {name: dict(node) for name, node in spec.items()}
        self.report: Any = None
        ordinal = [n for n, node in self.spec.items() if isinstance(node, td.OrdinalNode)]
        if ordinal:
            raise ValueError(
                f"baseline: {ordinal[0]!r} is ordinal, a flow has a density; leave the model out."
            )
        self.order: Final = causal_order(self.spec)
        adjacency = self._adjacency()
        if not adjacency.tril(-1).any():
            raise ValueError(
                "baseline: no column has a parent, so there is no flow to condition; add an edge."
            )
        univariate: dict[str, Any] = {}
        if architecture.kind == "spline":
            shapes = [(SPLINE_BINS,), (SPLINE_BINS,), (SPLINE_BINS - 1,)]
            univariate = {"univariate": MonotonicRQSTransform, "shapes": shapes}
        self.layers = nn.ModuleList(
            MaskedAutoregressiveTransform(
                len(self.order),
                adjacency=adjacency,
                hidden_features=architecture.hidden,
                **univariate,
            )
            for _ in range(architecture.layers)
        )
        self.register_buffer("mean", torch.zeros(len(self.order)))
        self.register_buffer("sd", torch.ones(len(self.order)))
        self.double()

    def _adjacency(self) -> Tensor:
        """Which columns (second index) a column's parameters may depend on, and itself."""
        count = len(self.order)
        if self.architecture.kind == "carefl":
            return torch.ones(count, count).tril().bool()
        adjacency = torch.eye(count).bool()
        for i, name in enumerate(self.order):
            for parent in self.spec[name].parents:
                adjacency[i, self.order.index(parent)] = True
        return adjacency

    def latents_and_log_density(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latents and the log density of each column given those before it, both ``(n, d)``.

        Args:
            x: Rows in causal order and raw units, ``(n, d)``.
        """
        u = (x - self.mean) / self.sd
        log_density = -self.sd.log().expand_as(u)
        for layer in self.layers:
            u, slope = _maps(layer, u).call_and_ladj(u)
            log_density = log_density + slope
        return u, log_density + self._base().log_prob(u)

    def _base(self) -> torch.distributions.Distribution:
        if _BASES[self.architecture.kind] == "laplace":
            return torch.distributions.Laplace(0.0, 1.0, validate_args=False)
        return torch.distributions.Normal(0.0, 1.0, validate_args=False)

    @torch.no_grad()
    def node_log_prob(self, df: pd.DataFrame) -> pd.DataFrame:
        """Log density of each node given its causes, in nats; a column per node."""
        return self._frame(self.latents_and_log_density(self.encode(df))[1], index=df.index)

    def log_prob(self, df: pd.DataFrame) -> np.ndarray:
        """Joint log density of each row, in nats."""
        joint: np.ndarray = self.node_log_prob(df).sum(axis=1).to_numpy()
        return joint

    @torch.no_grad()
    def abduct(self, df: pd.DataFrame, *, seed: int | None = None) -> pd.DataFrame:
        """Latents of the rows, a column per node; they are unique, so the seed has no effect."""
        del seed
        return self._frame(self.latents_and_log_density(self.encode(df))[0], index=df.index)

    @torch.no_grad()
    def sample(
        self,
        n: int | None = None,
        *,
        do: Mapping[str, Any] | None = None,
        u: pd.DataFrame | None = None,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Draw rows, or push given latents through the flow.

        Args:
            n: Rows to draw; leave it out with ``u``.
            do: Value or array of values by intervened column.
            u: Latents by column, as :meth:`abduct` gives them.
            seed: Seed of the draw.

        Raises:
            ValueError: Both or neither of n and u are given, or do names no column.
        """
        if (n is None) == (u is None):
            raise ValueError("baseline: give either n, rows to draw, or u, their latents.")
        unknown = [name for name in do or {} if name not in self.spec]
        if unknown:
            raise ValueError(
                f"baseline: do names {unknown[0]!r}; columns are {', '.join(self.spec)}."
            )
        latents = self._draw(int(n or 0), seed) if u is None else self.encode(u)
        held = {
            self.order.index(name): torch.as_tensor(np.asarray(value, dtype=np.float64))
            for name, value in (do or {}).items()
        }
        return self._frame(self._solve(latents, held), index=None if u is None else u.index)

    def _draw(self, n: int, seed: int | None) -> Tensor:
        generator = torch.Generator()
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        # through the quantile function, so that both laws need one kind of draw; rand gives
        # multiples of 2^-53 below 1, and 0 must not become minus infinity
        uniform = torch.rand(n, len(self.order), generator=generator, dtype=torch.float64)
        return self._base().icdf(uniform.clamp(min=2.0**-54))

    def _solve(self, latents: Tensor, held: Mapping[int, Tensor]) -> Tensor:
        """Rows in raw units with these latents, some columns held at values."""
        y = torch.zeros_like(latents)
        for i in range(len(self.order)):
            if i in held:
                y[:, i] = (held[i] - self.mean[i]) / self.sd[i]
                continue
            # column i of every layer depends on the columns before it, which are final by now
            maps, inputs = [], y
            for layer in self.layers:
                maps.append(_maps(layer, inputs))
                inputs = maps[-1](inputs)
            values = latents
            for layer_map in reversed(maps):
                values = layer_map.inv(values)
            y[:, i] = values[:, i]
        x = y * self.sd + self.mean
        for i, value in held.items():
            x[:, i] = value  # the very value, without the rounding of standardisation
        return x

    def summary(self) -> pd.DataFrame:
        """No coefficient has a meaning of its own: the table of ``CausalFlowDAG``, no rows."""
        return pd.DataFrame(columns=SUMMARY_COLUMNS)

    @property
    def history(self) -> pd.DataFrame:
        """Losses by node and epoch, as in ``CausalFlowDAG.history``."""
        history: pd.DataFrame = self.report.history
        return history

    def standardise(self, x: Tensor) -> None:
        """Take means and standard deviations from training rows in causal order, ``(n, d)``."""
        self.mean.copy_(x.mean(0))
        self.sd.copy_(x.std(0))

    def encode(self, df: pd.DataFrame) -> Tensor:
        """The columns of the nodes in causal order, ``(n, d)``."""
        missing = [name for name in self.order if name not in df]
        if missing:
            raise ValueError(
                f"baseline: the rows have no column {missing[0]!r}; columns are "
                f"{', '.join(map(str, df))}."
            )
        return torch.from_numpy(df[list(self.order)].to_numpy(dtype=np.float64, copy=True))

    def _frame(self, values: Tensor, *, index: pd.Index | None) -> pd.DataFrame:
        frame = pd.DataFrame(values.numpy(), columns=list(self.order), index=index)
        return frame[list(self.spec)]

    def save(self, path: str | Path) -> None:
        """Write weights and architecture; :meth:`load` reads them without executing anything."""
        header = {
            "format": _FORMAT,
            "spec": self._plain,
            "architecture": asdict(self.architecture),
        }
        torch.save({"header": json.dumps(header), "weights": self.state_dict()}, path)

    @classmethod
    def load(cls, path: str | Path) -> BaselineFlow:
        """Read what :meth:`save` wrote, on the CPU.

        Raises:
            ValueError: The file holds something else.
        """
        content = torch.load(path, map_location="cpu", weights_only=True)
        header = json.loads(content["header"]) if "header" in content else {}
        if header.get("format") != _FORMAT:
            raise ValueError(f"{path}: not a file of this version; fit the model again.")
        model = make_baseline(header["spec"], header["architecture"])
        model.load_state_dict(content["weights"])
        return model.eval()


def _maps(layer: nn.Module, inputs: Tensor) -> Any:
    """The elementwise maps of a layer, with their parameters at these inputs."""
    assert isinstance(layer, MaskedAutoregressiveTransform)
    return layer.meta(None, inputs).base


def make_baseline(
    spec: Mapping[str, Mapping[str, Any]], architecture: Mapping[str, Any]
) -> BaselineFlow:
    """An untrained baseline from plain values, with weights from torch's global generator."""
    hidden: Sequence[int] = architecture["hidden"]
    size = Architecture(architecture["kind"], tuple(hidden), architecture["layers"])
    return BaselineFlow(spec, architecture=size)
