"""AdamW, Muon and the schedules against torch's, against a paper's formula, and against slow versions."""

import itertools
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib import optim
from course_lib.config import GPTConfig, TrainConfig
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.optim import (
    Muon,
    OptimizerSet,
    build_adamw,
    build_optimizer,
    decay_groups,
    lr_at,
    orthogonalize,
    set_lr,
)

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
SHAPE = dict(block_size=8, vocab_size=11, n_layer=2, n_head=2, n_embd=8)


def random_matrix(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# The learning rate ----------------------------------------------------------------------------------------


def nanogpt_lr(it, learning_rate, min_lr, warmup_iters, lr_decay_iters):
    """The published formula: up in a line, down along half a cosine."""
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    if it > lr_decay_iters:
        return min_lr
    ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    return min_lr + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (learning_rate - min_lr)


@steady
@given(st.integers(0, 200), st.integers(1, 500), st.floats(1e-6, 1.0), st.floats(0, 1), st.data())
def test_cosine_is_nanogpts_formula(warmup, length, max_lr, share, data):
    decay = warmup + length
    step = data.draw(st.integers(0, 2 * decay))
    ours = lr_at(step, max_lr=max_lr, min_lr=share * max_lr, warmup_steps=warmup, decay_steps=decay)
    assert ours == pytest.approx(nanogpt_lr(step, max_lr, share * max_lr, warmup, decay), rel=1e-12)


def test_nanogpts_recipe_by_hand():
    """warm-up 100, 5,000 steps, 1e-3 to 1e-4."""
    settings = dict(max_lr=1e-3, min_lr=1e-4, warmup_steps=100, decay_steps=5000)
    by_hand = {0: 1e-3 / 101, 99: 1e-3 * 100 / 101, 100: 1e-3, 2550: 5.5e-4, 5000: 1e-4, 9999: 1e-4}
    for step, lr in by_hand.items():
        assert lr_at(step, **settings) == pytest.approx(lr, rel=1e-12)


KINDS = ["constant", "cosine", "linear", "trapezoid"]


def course(kind, steps=120, **changes):
    settings = dict(max_lr=0.5, min_lr=0.1, warmup_steps=20, decay_steps=100, kind=kind) | changes
    return [lr_at(step, **settings) for step in range(steps)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_climbs_in_a_line_to_the_top(kind):
    lrs = course(kind)
    assert lrs[:20] == pytest.approx([0.5 * (i + 1) / 21 for i in range(20)])
    assert lrs[20] == pytest.approx(0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_warm_up_the_first_step_has_the_highest_rate(kind):
    assert lr_at(0, max_lr=0.5, decay_steps=10, kind=kind) == 0.5


@pytest.mark.parametrize("kind", KINDS[1:])
def test_every_kind_but_constant_ends_at_min_lr_and_stays(kind):
    assert course(kind)[100:] == [0.1] * 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_course_never_climbs_after_the_warm_up_and_has_no_jump(kind):
    lrs = course(kind)
    steps = [b - a for a, b in itertools.pairwise(lrs)]
    assert all(change <= 1e-12 for change in steps[20:])
    assert max(abs(change) for change in steps) <= 0.4 / 40 + 0.5 / 21
    assert all(0 < lr <= 0.5 for lr in lrs)


def test_constant_linear_and_trapezoid_by_hand():
    assert course("constant")[20:] == [0.5] * 100
    assert course("linear")[20:100] == pytest.approx([0.5 - 0.4 * i / 80 for i in range(80)])
    assert course("trapezoid")[20:51] == [0.5] * 31  # half of decay_steps stays
    assert course("trapezoid")[50:100] == pytest.approx([0.5 - 0.4 * i / 50 for i in range(50)])
    assert course("trapezoid", cooldown_steps=10)[20:91] == [0.5] * 71
    assert course("trapezoid", cooldown_steps=10)[90:100] == pytest.approx([0.5 - 0.4 * i / 10 for i in range(10)])
    # A cooldown longer than what the warm-up leaves begins where the warm-up ends.
    assert course("trapezoid", cooldown_steps=95) == course("linear")


def test_an_unknown_kind_is_refused():
    with pytest.raises(CourseError, match="kind should be constant, cosine, linear or trapezoid; it is 'cosin'"):
        lr_at(0, max_lr=1.0, decay_steps=10, kind="cosin")


# AdamW ----------------------------------------------------------------------------------------------------


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(random_matrix(3, 4, seed=1))
        self.vector = nn.Parameter(random_matrix(4, seed=2))

    def gradients(self, step):
        for i, p in enumerate(self.parameters()):
            p.grad = random_matrix(*p.shape, seed=100 * step + i) * (1 + step % 3)


def slow_adamw(p, gradients, lr, decay, beta1, beta2, eps):
    """Loshchilov and Hutter 2019, algorithm 2, one number after another, in Python's floats."""
    numbers = p.flatten().tolist()
    for i in range(len(numbers)):
        m = v = 0.0
        for t, gradient in enumerate((g.flatten()[i].item() for g in gradients), 1):
            m = beta1 * m + (1 - beta1) * gradient
            v = beta2 * v + (1 - beta2) * gradient**2
            m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
            numbers[i] -= lr * decay * numbers[i] + lr * m_hat / (math.sqrt(v_hat) + eps)
    return torch.tensor(numbers).view_as(p)


def test_adamw_over_fifty_steps():
    """Fused as built here, plain as torch writes it, and the paper's algorithm."""
    fused, plain, start = Small(), Small(), Small()
    settings = dict(lr=0.01, betas=(0.9, 0.95), eps=1e-8)
    ours = build_adamw(fused, weight_decay=0.1, **settings)
    groups = [dict(params=[plain.matrix], weight_decay=0.1), dict(params=[plain.vector], weight_decay=0.0)]
    theirs = torch.optim.AdamW(groups, foreach=False, fused=False, **settings)
    gradients = {"matrix": [], "vector": []}
    for step in range(50):
        for model, optimizer in ((fused, ours), (plain, theirs)):
            model.gradients(step)
            optimizer.step()
        gradients["matrix"].append(fused.matrix.grad)
        gradients["vector"].append(fused.vector.grad)
    for name, decay in (("matrix", 0.1), ("vector", 0.0)):
        moved = getattr(fused, name).detach()
        torch.testing.assert_close(moved, getattr(plain, name).detach(), rtol=0, atol=1e-6)
        slow = slow_adamw(getattr(start, name).detach(), gradients[name], 0.01, decay, 0.9, 0.95, 1e-8)
        torch.testing.assert_close(moved, slow, rtol=0, atol=1e-5)
        assert (moved - getattr(start, name)).abs().mean() > 0.05  # it did move


def test_the_one_kernel_form_is_taken_where_it_exists():
    assert build_adamw(Small()).defaults["fused"] is True
    assert build_adamw(Small(), fused=False).defaults["fused"] is False
    assert build_adamw(Small().to("meta")).defaults["fused"] is False


def test_matrices_decay_and_vectors_do_not():
    model = GPT(GPTConfig(**SHAPE, bias=True))
    decaying, still = decay_groups(model.named_parameters(), 0.1)
    assert (decaying["weight_decay"], still["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim >= 2 for p in decaying["params"])
    assert all(p.ndim == 1 for p in still["params"])
    # per block qkv, proj, up, down and two embeddings; per block four biases, two norms of two, and the last norm
    assert (len(decaying["params"]), len(still["params"])) == (2 * 4 + 2, 2 * (4 + 4) + 2)


def test_what_is_frozen_is_in_no_group_and_no_group_is_empty():
    model = Small()
    model.vector.requires_grad_(False)
    groups = decay_groups(model.named_parameters(), 0.1)
    assert [[p is model.matrix for p in group["params"]] for group in groups] == [[True]]


# Muon -----------------------------------------------------------------------------------------------------


def slow_orthogonalize(matrix):
    """Jordan et al. 2024: the quintic, applied to one matrix's singular values, in fp64."""
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / (s.norm() + 1e-7)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return (u @ torch.diag(s) @ v).float()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (4, 4), (16, 16), (8, 32), (32, 8), (64, 64), (100, 20)])
@pytest.mark.parametrize("seed", [0, 1])
def test_singular_values_come_near_one_and_directions_stay(shape, seed):
    matrix = random_matrix(*shape, seed=seed)
    result = orthogonalize(matrix)
    assert result.shape == matrix.shape
    torch.testing.assert_close(result, slow_orthogonalize(matrix), rtol=0, atol=2e-5)
    values = torch.linalg.svdvals(result)
    start = torch.linalg.svdvals(matrix / matrix.norm())
    assert (values < 1.3).all()
    # A square random matrix has singular values near zero; five steps multiply those by at most 3.4445^5.
    assert (values[start > 0.01] > 0.5).all()


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_the_scale_of_the_gradient_does_not_matter(scale):
    matrix = random_matrix(8, 12)
    torch.testing.assert_close(orthogonalize(scale * matrix), orthogonalize(matrix), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e5])
def test_products_in_16_bits_lose_neither_small_nor_large_gradients(monkeypatch, dtype, scale):
    """As on CUDA cards; float16 itself ends at 65,504, and below 6e-5 it loses digits."""
    expected = orthogonalize(random_matrix(32, 48))
    monkeypatch.setattr(optim, "_product_dtype", lambda matrices: dtype)
    found = orthogonalize(scale * random_matrix(32, 48))
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.999
    assert found.norm() / expected.norm() == pytest.approx(1, abs=0.02)


def test_a_zero_gradient_stays_zero():
    assert torch.equal(orthogonalize(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_matrices_go_through_together_as_they_do_alone():
    stack = random_matrix(3, 10, 6)
    alone = torch.stack([orthogonalize(matrix) for matrix in stack])
    # A sum of another order is off by 6e-8, and each of the five rounds makes that up to 3.4445 times as large.
    torch.testing.assert_close(orthogonalize(stack), alone, rtol=0, atol=6e-8 * 3.4445**5)


def test_the_type_stays():
    assert orthogonalize(random_matrix(4, 4).to(torch.bfloat16)).dtype == torch.bfloat16
    assert orthogonalize(random_matrix(4, 4).double()).dtype == torch.float64


class SlowMuon:
    """The rule for one matrix at a time: momentum, Nesterov, orthogonalize, decay, move."""

    def __init__(self, matrix, lr, momentum, weight_decay):
        self.matrix, self.lr, self.momentum, self.weight_decay = matrix, lr, momentum, weight_decay
        self.buffer = torch.zeros_like(matrix)

    def step(self, gradient):
        self.buffer = self.momentum * self.buffer + (1 - self.momentum) * gradient
        direction = (1 - self.momentum) * gradient + self.momentum * self.buffer
        rows, columns = self.matrix.shape
        self.matrix = self.matrix * (1 - self.lr * self.weight_decay)
        self.matrix = self.matrix - self.lr * max(1, rows / columns) ** 0.5 * slow_orthogonalize(direction)


@pytest.mark.parametrize("shapes", [[(6, 6)], [(4, 9), (9, 4)], [(5, 3), (5, 3), (8, 2)]])
def test_muon_against_one_matrix_at_a_time(shapes):
    parameters = [nn.Parameter(random_matrix(*shape, seed=i)) for i, shape in enumerate(shapes)]
    slow = [SlowMuon(p.detach().clone(), lr=0.05, momentum=0.9, weight_decay=0.1) for p in parameters]
    muon = Muon(parameters, lr=0.05, momentum=0.9, weight_decay=0.1)
    for step in range(8):
        for i, (p, reference) in enumerate(zip(parameters, slow, strict=True)):
            p.grad = random_matrix(*p.shape, seed=1000 + 10 * step + i)
            reference.step(p.grad)
        muon.step()
    for p, reference in zip(parameters, slow, strict=True):
        torch.testing.assert_close(p.detach(), reference.matrix, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(16, 16), (32, 8), (8, 32)])
def test_muon_against_torchs(shape):
    """torch's works in bfloat16, so its steps are rougher: the directions and lengths agree."""
    ours, theirs = (nn.Parameter(random_matrix(*shape)) for _ in range(2))
    settings = dict(lr=0.02, momentum=0.95, weight_decay=0.1)
    optimizers = [Muon([ours], **settings), torch.optim.Muon([theirs], nesterov=True, **settings)]
    for step in range(10):
        before = ours.detach().clone(), theirs.detach().clone()
        for p, optimizer in zip((ours, theirs), optimizers, strict=True):
            p.grad = random_matrix(*shape, seed=step + 1)
            optimizer.step()
        moved = [p.detach() - b for p, b in zip((ours, theirs), before, strict=True)]
        assert torch.cosine_similarity(moved[0].flatten(), moved[1].flatten(), dim=0) > 0.99
        assert moved[0].norm() / moved[1].norm() == pytest.approx(1, abs=0.03)
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=0, atol=0.02)


def test_three_stacked_matrices_are_three_matrices():
    parts = [nn.Parameter(random_matrix(4, 6, seed=i)) for i in range(3)]
    stacked = nn.Parameter(torch.cat([p.detach() for p in parts]))
    settings = dict(lr=0.1, momentum=0.9, weight_decay=0.2)
    alone, together = Muon(parts, **settings), Muon([dict(params=[stacked], splits=3)], **settings)
    for step in range(4):
        for i, p in enumerate(parts):
            p.grad = random_matrix(4, 6, seed=50 + 3 * step + i)
        stacked.grad = torch.cat([p.grad for p in parts])
        alone.step()
        together.step()
    torch.testing.assert_close(stacked.detach(), torch.cat([p.detach() for p in parts]), rtol=0, atol=1e-6)
    whole = nn.Parameter(stacked.detach().clone())
    whole.grad = stacked.grad
    as_one = Muon([whole], **settings)
    as_one.step()
    assert not torch.allclose(whole, stacked, atol=1e-3)


def test_a_matrix_without_a_gradient_stays_where_it_is():
    moved, idle = nn.Parameter(random_matrix(3, 3)), nn.Parameter(random_matrix(3, 3))
    muon = Muon([moved, idle], weight_decay=0.5)
    moved.grad = random_matrix(3, 3, seed=1)
    muon.step()
    assert torch.equal(idle.detach(), random_matrix(3, 3))
    assert idle not in muon.state
    assert not torch.equal(moved.detach(), random_matrix(3, 3))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_muon_takes_matrices_only(shape):
    with pytest.raises(CourseError, match="expects matrices"):
        Muon([nn.Parameter(torch.zeros(shape))])


def test_a_closure_is_called_with_gradients_on():
    p = nn.Parameter(random_matrix(2, 2))
    muon = Muon([p])

    def closure():
        muon.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss.item()

    assert muon.step(closure) == pytest.approx(random_matrix(2, 2).square().sum().item())
    assert not torch.equal(p.detach(), random_matrix(2, 2))


def test_muon_can_be_kept_and_put_back():
    def run(steps, restore_at=None):
        p = nn.Parameter(random_matrix(4, 4))
        muon = Muon([p])
        for step in range(steps):
            if step == restore_at:
                state = muon.state_dict()
                muon = Muon([p], lr=9.0)
                muon.load_state_dict(state)
            p.grad = random_matrix(4, 4, seed=step + 1)
            muon.step()
        return p.detach()

    assert torch.equal(run(6), run(6, restore_at=3))


# Put together ---------------------------------------------------------------------------------------------


def names_in(model, groups):
    names = {p: name for name, p in model.named_parameters()}
    return [sorted(names[p] for p in group["params"]) for group in groups]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "form", [dict(bias=True), dict(position="rope", norm="rmsnorm", mlp="swiglu")], ids=["gpt2", "modern"]
)
def test_every_weight_is_in_exactly_one_group(optimizer, tied, form):
    model = GPT(GPTConfig(**SHAPE, tie_weights=tied, **form))
    built = build_optimizer(model, TrainConfig(optimizer=optimizer))
    listed = [p for group in built.param_groups for p in group["params"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(model.parameters())


def test_who_is_moved_by_muon():
    model = GPT(GPTConfig(**SHAPE, bias=True, tie_weights=False))
    config = TrainConfig(optimizer="muon", max_lr=0.02, head_lr_scale=0.3, embedding_lr_scale=2.0, weight_decay=0.1)
    muon, adamw = build_optimizer(model, config).optimizers
    assert isinstance(muon, Muon)
    assert isinstance(adamw, torch.optim.AdamW)
    matrices, qkv = names_in(model, muon.param_groups)
    assert matrices == sorted(
        f"blocks.{i}.{part}.weight" for i in range(2) for part in ("attn.proj", "mlp.up", "mlp.down")
    )
    assert qkv == [f"blocks.{i}.attn.qkv.weight" for i in range(2)]
    assert [g["splits"] for g in muon.param_groups] == [1, 3]
    assert [g["weight_decay"] for g in muon.param_groups] == [0.1, 0.1]
    embedding, head, vectors = names_in(model, adamw.param_groups)
    assert embedding == ["position_embedding.weight", "token_embedding.weight"]
    assert head == ["head.weight"]
    assert all("norm" in name or "bias" in name for name in vectors)
    assert [g["lr_scale"] for g in adamw.param_groups] == [2.0, 0.3, 1.0]
    assert [g["weight_decay"] for g in adamw.param_groups] == [0.0] * 3


def test_a_tied_head_goes_with_the_embedding():
    model = GPT(GPTConfig(**SHAPE, position="rope"))
    _, adamw = build_optimizer(model, TrainConfig(optimizer="muon")).optimizers
    assert names_in(model, adamw.param_groups)[0] == ["token_embedding.weight"]
    assert len(adamw.param_groups) == 2  # embedding and vectors


def test_settings_reach_the_optimizers():
    model = GPT(GPTConfig(**SHAPE))
    config = TrainConfig(max_lr=0.3, beta1=0.8, beta2=0.7, weight_decay=0.6, momentum=0.5)
    adamw = build_optimizer(model, config)
    assert isinstance(adamw, torch.optim.AdamW)
    assert [(g["lr"], g["betas"], g["weight_decay"]) for g in adamw.param_groups] == [
        (0.3, (0.8, 0.7), 0.6),
        (0.3, (0.8, 0.7), 0.0),
    ]
    muon, adamw = build_optimizer(model, config.replace(optimizer="muon")).optimizers
    assert {(g["lr"], g["momentum"], g["weight_decay"]) for g in muon.param_groups} == {(0.3, 0.5, 0.6)}
    assert {(g["betas"], g["weight_decay"]) for g in adamw.param_groups} == {((0.8, 0.7), 0.0)}


def test_a_model_without_matrices_cannot_have_muon():
    with pytest.raises(CourseError, match="this model has none; use optimizer='adamw'"):
        build_optimizer(nn.Embedding(3, 4), TrainConfig(optimizer="muon"))


def test_frozen_weights_are_left_out():
    model = GPT(GPTConfig(**SHAPE))
    model.token_embedding.weight.requires_grad_(False)
    for optimizer in ("adamw", "muon"):
        built = build_optimizer(model, TrainConfig(optimizer=optimizer))
        listed = {p for group in built.param_groups for p in group["params"]}
        assert listed == {p for p in model.parameters() if p.requires_grad}


def test_a_set_steps_all_and_clears_all():
    one, two = (nn.Parameter(torch.ones(2)) for _ in range(2))
    both = OptimizerSet([torch.optim.SGD([one], lr=0.1), torch.optim.SGD([two], lr=0.2)])
    assert [group["lr"] for group in both.param_groups] == [0.1, 0.2]
    (one.sum() + 3 * two.sum()).backward()
    both.step()
    torch.testing.assert_close(one.detach(), torch.full((2,), 0.9))
    torch.testing.assert_close(two.detach(), torch.full((2,), 0.4))
    both.zero_grad(set_to_none=False)
    assert one.grad.tolist() == two.grad.tolist() == [0, 0]
    both.zero_grad()
    assert one.grad is None
    assert two.grad is None


def test_set_lr_keeps_each_groups_share():
    model = GPT(GPTConfig(**SHAPE, tie_weights=False))
    built = build_optimizer(model, TrainConfig(optimizer="muon", head_lr_scale=0.3, embedding_lr_scale=2.0))
    for lr in (0.1, 0.05):
        set_lr(built, lr)
        assert [g["lr"] for g in built.param_groups] == pytest.approx([lr, lr, 2 * lr, 0.3 * lr, lr])
    plain = build_optimizer(model, TrainConfig())
    set_lr(plain, 0.07)
    assert [g["lr"] for g in plain.param_groups] == [0.07, 0.07]
