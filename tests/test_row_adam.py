"""RowAdam against a plain loop over rows; who gets it; and clipping where some gradients hold rows alone."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from course_lib.config import GPTConfig, TrainConfig
from course_lib.losses import cross_entropy
from course_lib.models import GPT
from course_lib.optim import OptimizerSet, build_optimizer, set_lr, step_unless
from course_lib.row_adam import RowAdam
from course_lib.training.update import clip

R, C, STEPS = 9, 5, 30
SHAPE = dict(block_size=8, vocab_size=11, n_layer=2, n_head=2, n_embd=8, ngrams=(2, 3), ngram_rows=50)

pytestmark = pytest.mark.usefixtures("one_thread")


def random_steps(seed: int = 0) -> list[tuple[list[int], Tensor]]:
    """For each step the rows that are looked up, some more than once, and the gradient of each look-up."""
    generator = torch.Generator().manual_seed(seed)
    steps = []
    for _ in range(STEPS):
        count = int(torch.randint(1, 7, (), generator=generator))
        rows = torch.randint(0, R - 1, (count,), generator=generator)  # the last one is never touched
        steps.append((rows.tolist(), torch.randn(count, C, generator=generator, dtype=torch.float64)))
    return steps


def slow(table: Tensor, steps: list[tuple[list[int], Tensor]], lr: float, beta2: float, eps: float) -> tuple:
    """(weights, mean squares) after all steps, row by row and number by number."""
    weights, squares = table.tolist(), [0.0] * len(table)
    for number, (rows, values) in enumerate(steps, start=1):
        for row in set(rows):
            g = [sum(values[i, c].item() for i in range(len(rows)) if rows[i] == row) for c in range(C)]
            squares[row] = beta2 * squares[row] + (1 - beta2) * sum(x * x for x in g) / C
            size = math.sqrt(squares[row] / (1 - beta2**number)) + eps
            weights[row] = [w - lr * x / size for w, x in zip(weights[row], g, strict=True)]
    return torch.tensor(weights, dtype=torch.float64), torch.tensor(squares, dtype=torch.float64)[:, None]


def gradient(rows: list[int], values: Tensor, sparse: bool) -> Tensor:
    found = torch.sparse_coo_tensor(torch.tensor([rows]), values, (R, C), check_invariants=True)
    return found if sparse else found.to_dense()


def table(dtype: torch.dtype = torch.float64) -> nn.Parameter:
    return nn.Parameter(torch.randn(R, C, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(dtype))


# The update -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("settings", [dict(), dict(beta2=0.5), dict(beta2=0.0), dict(eps=0.1)], ids=str)
def test_against_a_plain_loop(sparse: bool, settings: dict) -> None:
    """Rows that a batch holds several times count once, with all their gradient."""
    whole = dict(lr=0.1, beta2=0.95, eps=1e-8) | settings
    p, steps = table(), random_steps()
    assert any(len(set(rows)) < len(rows) for rows, _ in steps)
    optimizer = RowAdam([p], **whole)
    expected, squares = slow(p.detach().clone(), steps, **whole)
    for rows, values in steps:
        p.grad = gradient(rows, values, sparse)
        optimizer.step()
    # the count of steps is a float32 number, and so is what is computed of it
    torch.testing.assert_close(p.detach(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(optimizer.state[p]["row_avg_sq"], squares, rtol=1e-12, atol=1e-12)
    assert optimizer.state[p]["step"] == STEPS


def test_sparse_and_dense_gradients_move_alike() -> None:
    one, other = table(), table()
    optimizers = [RowAdam([p], lr=0.1) for p in (one, other)]
    for rows, values in random_steps():
        one.grad, other.grad = gradient(rows, values, True), gradient(rows, values, False)
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert (one - table()).abs().max() > 0.3


@pytest.mark.parametrize("sparse", [True, False])
def test_rows_that_no_step_touches_stay_bit_for_bit(sparse: bool) -> None:
    """Weights and memory, also of rows that earlier steps have touched, and of one whose gradients cancel out."""
    p = table(torch.float32)
    p.data[1] = -0.0
    optimizer = RowAdam([p], lr=0.1)
    state = optimizer.state[p]
    p.grad = gradient([0, 1, 2, 5], torch.ones(4, C), sparse)
    optimizer.step()
    before, memory = p.detach().clone(), state["row_avg_sq"].clone()
    values = torch.ones(3, C)
    values[2] = -1  # row 2 gets 1 - 1
    p.grad = gradient([0, 2, 2], values, sparse)
    optimizer.step()
    assert torch.equal(p[1:].view(torch.int32), before[1:].view(torch.int32))
    assert torch.equal(state["row_avg_sq"][1:], memory[1:])
    assert not torch.equal(p[0], before[0])
    assert memory[:, 0].gt(0).tolist() == [True, True, True, False, False, True, False, False, False]
    for _ in range(3):
        optimizer.step()
    assert torch.equal(p[[3, 4, 6, 7, 8]], table(torch.float32)[[3, 4, 6, 7, 8]])


def test_the_first_step_of_every_row_that_begins_with_the_run_is_its_rate_long() -> None:
    """g / |g|, as Adam's first step is, whatever the gradient's size; along the gradient, not its signs."""
    p = nn.Parameter(torch.zeros(3, 4))
    p.grad = torch.tensor([[3.0, 0, 0, 0], [1e-3, 1e-3, 1e-3, 1e-3], [0, 0, 0, 0]])
    RowAdam([p], lr=0.1).step()
    expected = torch.tensor([[-0.2, 0, 0, 0], [-0.1, -0.1, -0.1, -0.1], [0, 0, 0, 0]])  # 3 / sqrt(9 / 4) = 2
    torch.testing.assert_close(p.detach(), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("bad", [1.0, math.nan, math.inf])
def test_found_inf_changes_nothing(sparse: bool, bad: float) -> None:
    """At the first step and at a later one; 0 is as if nobody had asked."""
    asked, unasked = table(), table()
    one, other = RowAdam([asked], lr=0.1), RowAdam([unasked], lr=0.1)
    (first_rows, first), *rest = random_steps()[:4]
    for rows, values in [(first_rows, first), *rest]:
        before = asked.detach().clone(), {k: v.clone() for k, v in one.state[asked].items()}
        asked.grad = gradient(rows, torch.full_like(values, bad), sparse)
        step_unless(one, torch.ones(()))
        assert torch.equal(asked, before[0])
        for name, value in one.state[asked].items():
            assert torch.equal(value, before[1].get(name, torch.zeros_like(value))), name
        for p, optimizer, skip in ((asked, one, torch.zeros(())), (unasked, other, None)):
            p.grad = gradient(rows, values, sparse)
            step_unless(optimizer, skip)
        assert torch.equal(asked, unasked)
        assert torch.equal(one.state[asked]["row_avg_sq"], other.state[unasked]["row_avg_sq"])
    assert one.state[asked]["step"] == other.state[unasked]["step"] == 4


def test_without_a_gradient_nothing_moves_and_a_closure_is_called_with_gradients_on() -> None:
    p, other = table(), table()
    optimizer = RowAdam([p, other], lr=0.1)

    def closure() -> float:
        loss = p.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step() is None
    assert torch.equal(p, other)
    assert optimizer.step(closure) == pytest.approx(other.square().sum().item())
    assert (p != other).any(dim=1).all()
    assert torch.equal(other, table())


def test_it_can_be_kept_and_put_back() -> None:
    one, other = table(), table()
    steps = random_steps()
    kept, goes_on = RowAdam([one], lr=0.1), RowAdam([other], lr=0.3, beta2=0.1)
    for number, (rows, values) in enumerate(steps):
        if number == 10:
            other.data.copy_(one.data)
            goes_on.load_state_dict(copy.deepcopy(kept.state_dict()))  # torch takes tensors over as they are
        one.grad = other.grad = gradient(rows, values, True)
        kept.step()
        goes_on.step()
    assert torch.equal(one, other)


def test_what_is_put_back_lies_where_the_weights_are() -> None:
    """The count of steps too: on a card the decision to skip a step is there, and is added to it."""
    kept = RowAdam([nn.Parameter(torch.zeros(R, C))])
    kept.param_groups[0]["params"][0].grad = torch.ones(R, C)
    kept.step()
    away = nn.Parameter(torch.zeros(R, C, device="meta"))
    optimizer = RowAdam([away])
    optimizer.load_state_dict(kept.state_dict())
    assert {name: value.device.type for name, value in optimizer.state[away].items()} == {
        "step": "meta", "row_avg_sq": "meta",
    }  # fmt: skip


# Who gets it ----------------------------------------------------------------------------------------------


def gpt(**changes) -> GPT:
    torch.manual_seed(0)
    return GPT(GPTConfig(**SHAPE | changes))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("tied", [True, False])
def test_each_weight_belongs_to_exactly_one(optimizer: str, tied: bool) -> None:
    model = gpt(tie_weights=tied)
    config = TrainConfig(optimizer=optimizer, max_lr=0.01, weight_decay=0.3, beta2=0.9, ngram_lr_scale=7.0)
    found = build_optimizer(model, config)
    assert isinstance(found, OptimizerSet)
    *others, rows = found.optimizers
    moved = [id(p) for group in found.param_groups for p in group["params"]]
    assert sorted(moved) == sorted(id(p) for p in model.parameters())
    assert isinstance(rows, RowAdam)
    tables = [table.weight for table in model.ngram_embedding.tables]
    assert [id(p) for group in rows.param_groups for p in group["params"]] == [id(p) for p in tables]
    assert not any(isinstance(member, RowAdam) for member in others)
    assert all(group["beta2"] == 0.9 and not group.get("weight_decay") for group in rows.param_groups)
    for rate in (0.01, 0.002):
        set_lr(found, rate)
        assert [group["lr"] for group in rows.param_groups] == [7 * rate]
        assert {group["lr"] for member in others for group in member.param_groups} == {rate}
    plain = build_optimizer(gpt(tie_weights=tied, ngrams=()), config)
    members = plain.optimizers if isinstance(plain, OptimizerSet) else [plain]
    assert [type(m) for m in members] == [type(m) for m in others]
    shapes = [[[tuple(p.shape) for p in g["params"]] for m in ms for g in m.param_groups] for ms in (members, others)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_no_decay_on_tables(optimizer: str) -> None:
    """A row that is not looked up stays as it is, whatever the decay; a matrix without a gradient shrinks."""
    model = gpt()
    with torch.no_grad():
        for table in model.ngram_embedding.tables:
            table.weight.fill_(1.0)
    found = build_optimizer(model, TrainConfig(optimizer=optimizer, max_lr=0.1, weight_decay=0.9))
    idx = torch.tensor([[3, 1, 4, 1, 5]])
    before = model.blocks[0].mlp.up.weight.norm().item()
    for _ in range(3):
        found.zero_grad()
        cross_entropy(model(idx[:, :-1]), idx[:, 1:]).backward()
        model.blocks[0].mlp.up.weight.grad.zero_()
        found.step()
    for table in model.ngram_embedding.tables:
        assert table.weight.grad.is_sparse
        moved = (table.weight != 1).any(dim=1).nonzero().flatten().tolist()
        assert moved == sorted(table.weight.grad.coalesce().indices()[0].tolist())
        assert 0 < len(moved) <= 4
    assert model.blocks[0].mlp.up.weight.norm().item() < 0.8 * before


# Clipping -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("longest", [1e-3, 0.5, 1e3, 0.0])
@pytest.mark.parametrize("micros", [1, 3])
def test_clipping_goes_by_the_whole_gradient(longest: float, micros: int) -> None:
    """Of sparse gradients, also of several micro-batches on top of one another, as of the same in full."""
    sparse, dense = gpt().double(), gpt().double()
    optimizers = [build_optimizer(model, TrainConfig()) for model in (sparse, dense)]
    for table in dense.ngram_embedding.tables:
        table.sparse = False
    generator = torch.Generator().manual_seed(1)
    for _ in range(micros):
        idx = torch.randint(0, 11, (4, 9), generator=generator)
        for model in (sparse, dense):
            cross_entropy(model(idx[:, :-1]), idx[:, 1:]).backward()
    expected = math.sqrt(sum(p.grad.square().sum().item() for p in dense.parameters()))
    whole = {name: p.grad.clone() for name, p in dense.named_parameters()}
    norms = [
        clip(model, optimizer, torch.amp.GradScaler("cpu", enabled=False), longest)
        for model, optimizer in zip((sparse, dense), optimizers, strict=True)
    ]
    assert sum(p.grad.is_sparse for p in sparse.parameters()) == 2
    if longest:
        assert [norm.item() for norm in norms] == pytest.approx([expected] * 2, rel=1e-12)
    else:
        assert norms == [None, None]
    share = min(1.0, longest / (expected + 1e-6)) if longest else 1.0
    for name, p in sparse.named_parameters():
        found = p.grad.to_dense() if p.grad.is_sparse else p.grad
        torch.testing.assert_close(found, dense.get_parameter(name).grad, rtol=1e-10, atol=1e-14)
        torch.testing.assert_close(found, whole[name] * share, rtol=1e-10, atol=1e-14)
