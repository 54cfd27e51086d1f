from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
import torch
from torch import Tensor

from tramdag import CI, CS, LS, VC, CausalFlowDAG, ContinuousNode, OrdinalNode
from tramdag.data import Values
from tramdag.fitting import adam
from tramdag.fitting.rows import Rows, TrainingRows
from tramdag.fitting.schedule import RateProgress
from tramdag.fitting.settings import AdamSettings
from tramdag.fitting.stack import Stack, flatten, restore, shape_of
from tramdag.fitting.stochastic import fit_by_steps
from tramdag.node import Conditional, make_conditional
from tramdag.spec import Node, check_spec

N = 60
PARENTS: dict[str, Node] = {"a": ContinuousNode(), "t": OrdinalNode(2), "m": OrdinalNode(3)}
CHILDREN: dict[str, Callable[[], Node]] = {
    "classical": lambda: ContinuousNode({"a": "ls", "m": "ls"}, n_coefs=6),
    "marginal": lambda: ContinuousNode(n_coefs=6),
    "complex shift": lambda: ContinuousNode(terms=[CS("a", "m", hidden=(5, 4))], n_coefs=6),
    "complex intercept": lambda: ContinuousNode(terms=[CI("a", hidden=(5,)), LS("t")], n_coefs=6),
    "two intercepts": lambda: ContinuousNode(terms=[CI("a"), CI("m")], n_coefs=6),
    "varying": lambda: ContinuousNode(terms=[VC("m", by="a", hidden=(4,)), LS("t")], n_coefs=6),
    "spline": lambda: ContinuousNode(terms=[CI("a", hidden=(4,))], transform="spline", n_coefs=4),
    "shared spline": lambda: ContinuousNode({"a": "ls"}, transform="spline", n_coefs=4),
    "affine": lambda: ContinuousNode({"a": "cs"}, transform="affine"),
    "ordinal": lambda: OrdinalNode(4, terms=[LS("a"), CS("m", hidden=(4,))]),
    "ordinal intercept": lambda: OrdinalNode(4, terms=[CI("a", "t", hidden=(4,))]),
    "binary": lambda: OrdinalNode(2, terms=[CI("a", hidden=(4,))]),
}


@pytest.fixture(scope="module")
def values() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal() -> Tensor:
        return torch.randn(N, generator=generator, dtype=torch.float64)

    def levels(k: int) -> Tensor:
        return torch.randint(k, (N,), generator=generator)

    return {"a": 3 * normal() + 70, "t": levels(2), "m": levels(3), "x": normal(), "k": levels(4)}


@pytest.fixture(params=CHILDREN)
def child(request: pytest.FixtureRequest) -> Node:
    return CHILDREN[request.param]()


def law(child: Node, values: Values, seed: int) -> tuple[Conditional, Values]:
    """A law of the child at random parameters, and its rows."""
    nodes = check_spec({**PARENTS, "y": child})
    own = values["x"] if isinstance(child, ContinuousNode) else values["k"] % child.levels
    table = {**values, "y": own}
    conditional = make_conditional("y", nodes, seed=seed, dtype=torch.float64)
    conditional.set_scaling(table)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in conditional.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter += 0.3 * noise
    return conditional, table


def stack_of(members: list[Conditional]) -> Stack:
    owner = torch.arange(len(members))
    return Stack(members, owner, torch.stack([flatten(member) for member in members]))


def test_a_stack_scores_every_member_as_the_member_does(child: Node, values: Values) -> None:
    members = [law(child, values, seed)[0] for seed in range(3)]
    table = law(child, values, 0)[1]
    rows = Rows([members[0].encode(table)], torch.zeros(3, dtype=torch.int64))
    index = torch.stack([torch.arange(N), torch.arange(N).flip(0), torch.arange(N).roll(7)])
    together = stack_of(members).module.log_prob_encoded(*rows.gather(index))
    for member, chosen, value in zip(members, index, together, strict=True):
        torch.testing.assert_close(value, member.log_prob(table)[chosen], rtol=1e-11, atol=1e-11)


def test_a_stacks_gradient_is_each_members_own(child: Node, values: Values) -> None:
    members = [law(child, values, seed)[0] for seed in range(2)]
    table = law(child, values, 0)[1]
    rows = Rows([members[0].encode(table)], torch.zeros(2, dtype=torch.int64))
    stack = stack_of(members)
    everything = torch.arange(N).expand(2, -1)
    scale = torch.rand(2, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    log_probs, gradients = stack.gradient(rows.gather(everything), scale)
    for member, own_scale, log_prob, row in zip(members, scale, log_probs, gradients, strict=True):
        parameters = [p for p in member.parameters() if p.numel()]
        value = member.log_prob(table)
        own = torch.autograd.grad((value * own_scale).sum(), parameters)
        expected = torch.cat([part.flatten() for part in own])
        torch.testing.assert_close(log_prob, value.detach(), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(row, expected, rtol=1e-9, atol=1e-10)


def test_writing_into_the_matrix_moves_the_module_and_restore_brings_it_back(
    child: Node, values: Values
) -> None:
    first, second = (law(child, values, seed)[0] for seed in (0, 1))
    table = law(child, values, 0)[1]
    stack = stack_of([first, second])
    stack.flat[0] = stack.flat[1]
    rows = Rows([first.encode(table)], torch.zeros(2, dtype=torch.int64))
    both = stack.module.log_prob_encoded(*rows.gather(torch.arange(N).expand(2, -1)))
    assert torch.equal(both[0], both[1])
    restore(first, stack.flat[1])
    assert torch.equal(first.log_prob(table), second.log_prob(table))


def test_only_laws_of_one_shape_stand_in_one_stack(values: Values) -> None:
    shapes = {shape_of(law(make(), values, 0)[0]) for make in CHILDREN.values()}
    assert len(shapes) == len(CHILDREN)
    assert shape_of(law(CHILDREN["varying"](), values, 1)[0]) in shapes


def test_members_with_their_own_rows_gather_their_own(values: Values) -> None:
    member, table = law(CHILDREN["ordinal"](), values, 0)
    other = {**table, "a": table["a"] + 1.0, "y": (table["y"] + 1) % 4}
    rows = Rows([member.encode(table), member.encode(other)], torch.tensor([1, 0, 1]))
    index = torch.tensor([[3, 1], [0, 5], [2, 2]])
    gathered = rows.gather(index)
    for r, source in enumerate([other, table, other]):
        for part, expected in zip(gathered, member.encode(source), strict=True):
            assert torch.equal(part[r], expected[index[r]])


# training


def table_of(values: Values) -> pd.DataFrame:
    return pd.DataFrame({name: column.numpy() for name, column in values.items()})


SETTINGS = AdamSettings(epochs=12, batch_size=16, schedule="plateau", plateau_patience=1)


def rows_of(member: Conditional, table: Values, size: int = 1) -> TrainingRows:
    """All rows of a table for learning and judging, for each of so many members."""
    rows = Rows([member.encode(table)], torch.zeros(size, dtype=torch.int64))
    everything = torch.arange(rows.n).expand(size, -1)
    return TrainingRows(rows, everything, rows, everything)


def start_of(members: list[Conditional]) -> torch.Tensor:
    return torch.stack([flatten(member) for member in members])


def trained(members: list[Conditional], table: Values, seeds: list[int]) -> list[list[float]]:
    data = rows_of(members[0], table, len(members))
    fits = fit_by_steps(members[:1], start_of(members), data, SETTINGS, seeds=seeds)
    return [course.validation for course in fits.courses]


def test_training_in_a_stack_is_training_alone(child: Node, values: Values) -> None:
    together = [law(child, values, seed)[0] for seed in range(3)]
    alone = [law(child, values, seed)[0] for seed in range(3)]
    table = law(child, values, 0)[1]
    histories = trained(together, table, [5, 6, 7])
    for j, member in enumerate(alone):
        (expected,) = trained([member], table, [5 + j])
        # single precision steps in another order of summation
        torch.testing.assert_close(
            torch.tensor(histories[j]), torch.tensor(expected), rtol=1e-3, atol=1e-3
        )


def test_members_end_on_their_own(values: Values) -> None:
    child = CHILDREN["complex shift"]()
    members = [law(child, values, seed)[0] for seed in range(4)]
    table = law(child, values, 0)[1]
    settings = AdamSettings(
        epochs=60, batch_size=60, learning_rate=0.3, schedule=None, freeze_patience=2
    )
    fits = fit_by_steps(
        members[:1],
        start_of(members),
        rows_of(members[0], table, 4),
        settings,
        seeds=[1, 2, 3, 4],
    )
    lengths = [len(course.validation) for course in fits.courses]
    assert len(set(lengths)) > 1
    for member, row, course in zip(members, fits.flat, fits.courses, strict=True):
        restore(member, row)
        assert course.settled == (len(course.validation) < 60)
        best = min(course.validation)
        reached = -member.log_prob(table).mean().item()
        assert reached == pytest.approx(best, rel=1e-12)


def test_gathering_in_small_pieces_changes_nothing(
    values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = CHILDREN["ordinal intercept"]()
    table = law(child, values, 0)[1]
    whole = trained([law(child, values, 0)[0]], table, [1])
    monkeypatch.setattr(adam, "_GATHERED_NUMBERS", 1)
    assert trained([law(child, values, 0)[0]], table, [1]) == whole


def test_case_weights_of_zero_leave_rows_out(values: Values) -> None:
    child = CHILDREN["complex intercept"]()
    member, table = law(child, values, 0)
    some = {name: column[:40] for name, column in table.items()}
    settings = AdamSettings(epochs=5, batch_size=100, schedule=None, restore_best=False)
    weights = torch.zeros(1, N, dtype=torch.float64)
    weights[:, :40] = N / 40
    data = rows_of(member, table)
    data.weights = data.held_weights = weights
    start = start_of([member])
    weighted = fit_by_steps([member], start, data, settings, seeds=[1])
    plain = fit_by_steps([member], start, rows_of(member, some), settings, seeds=[1])
    # full batches: the order of the rows does not matter
    assert weighted.courses[0].validation == pytest.approx(plain.courses[0].validation, rel=1e-4)


def test_nodes_of_one_shape_are_trained_as_one_and_fitted_as_separate_flows() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(200, generator=generator, dtype=torch.float64).numpy()
    noise = torch.randn(2, 200, generator=generator, dtype=torch.float64).numpy()
    df = pd.DataFrame({"x": x, "y": x**2 + noise[0], "z": -x + noise[1]})
    both = {
        "x": ContinuousNode(),
        "y": ContinuousNode({"x": "cs"}),
        "z": ContinuousNode({"x": "cs"}),
    }
    settings = {"epochs": 4, "batch_size": 50}
    joint = CausalFlowDAG(both, seed=2).fit(df, **settings)
    for name in ("y", "z"):
        alone = CausalFlowDAG({"x": both["x"], name: both[name]}, seed=2).fit(df, **settings)
        gap = joint.node_log_prob(df)[name] - alone.node_log_prob(df)[name]
        assert gap.abs().max() < 1e-3
        assert joint.report.nodes.set_index("node").loc[name, "epochs"] == 4


# stopping rules


def test_progress_follows_each_member_by_the_rules_of_a_single_fit() -> None:
    settings = AdamSettings(
        schedule="plateau", plateau_patience=1, min_delta=0.1, learning_rate=1.0
    )
    flat = torch.zeros(2, 3)
    progress = RateProgress.start(flat, settings)
    improving, stuck = [4.0, 3.0, 2.0, 1.0], [4.0, 3.95, 3.92, 3.91]
    for epoch, (good, bad) in enumerate(zip(improving, stuck, strict=True)):
        progress.after_epoch(torch.tensor([good, bad]).double(), flat + epoch, settings)
    assert progress.rate.tolist() == [1.0, 0.5]  # three stale epochs, patience of one: halved once
    assert progress.stale.tolist() == [0, 3]
    assert progress.best[:, 0].tolist() == [3.0, 3.0]  # small gains keep the weights all the same
    assert progress.settled.tolist() == [False, False]


def test_settled_members_move_no_more() -> None:
    settings = AdamSettings(freeze_patience=1, min_delta=0.0)
    flat = torch.zeros(1, 2)
    progress = RateProgress.start(flat, settings)
    for value in (1.0, 2.0, 0.5):
        progress.after_epoch(torch.tensor([value]).double(), flat + value, settings)
    assert progress.settled.tolist() == [True]
    assert progress.rate.tolist() == [0.0]
    assert progress.best_value.tolist() == [1.0]
