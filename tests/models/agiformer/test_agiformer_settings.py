"""AGIFORMER's settings: presets, what is refused, thinking that changes at run time, first weights."""

import copy
import math

import pytest
import torch
from slow_agiformer import build, slow_adaptive, slow_logits, slow_thinking, text

from course_lib.config import AGIFormerConfig
from course_lib.errors import CourseError
from course_lib.losses import cross_entropy
from course_lib.models import AGIFormer
from course_lib.training.scoring import next_token_loss


def test_the_presets_have_the_sizes_that_are_told():
    with torch.device("meta"):
        for preset, millions in (("small", 6.2), ("medium", 31.2), ("large", 89.1)):
            model = AGIFormer(getattr(AGIFormerConfig, preset)())
            assert round(model.num_parameters() / 1e6, 1) == millions
    assert AGIFormerConfig.medium() == AGIFormerConfig()
    assert AGIFormerConfig.small(dropout=0.0).dropout == 0
    assert AGIFormerConfig.faithful(n_layer=2).position == "patch"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"vocab_size": 65}, "reads bytes, so vocab_size should be 256; it is 65. Set tokenizer to byte"),
        ({"n_embd": 20, "n_head": 3}, "20 is no multiple of 3"),
        ({"n_embd": 15, "n_head": 3}, "n_embd / n_head should be even; it is 5"),
        ({"n_embd": 15, "n_head": 3, "position": "patch"}, "n_embd should be even; it is 15"),
        ({"patch_size": 0}, "patch_size should be at least 1"),
        ({"thinking_steps": -1}, "thinking_steps should be at least 0"),
        ({"dropout": 1.0}, "dropout should be"),
    ],
)
def test_settings_that_make_no_model_are_refused(settings, words):
    with pytest.raises(CourseError, match=words.replace("(", r"\(")):
        AGIFormerConfig(**settings)


@torch.no_grad()
def test_steps_of_thinking_change_at_run_time():
    model, idx = build("default"), text(2, 21)
    for steps in (0, 1, 5):
        model.think(steps=steps)
        asked = build("default", thinking_steps=steps)
        torch.testing.assert_close(model(idx), asked(idx))
        torch.testing.assert_close(model(idx), slow_logits(asked, idx), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_adaptive_thinking_halts_each_patch_by_itself():
    model = build("adaptive", thinking_steps=4)
    z = torch.randn(2, 6, 24, dtype=torch.float64)
    weights = dict(model.state_dict())
    for enough in (0.0, 0.5, 0.99, 1.0):
        model.think(enough=enough)
        expected = slow_adaptive(model.config, weights, z, enough)
        for training in (True, False):
            torch.testing.assert_close(model.reasoning.train(training)(z), expected)
    model.think(enough=0.0)
    torch.testing.assert_close(model.reasoning(z), slow_thinking(model.config, weights, z)[1])


@pytest.mark.parametrize(
    ("form", "change", "words"),
    [
        ("default", {"enough": 0.5}, "no halting gate"),
        ("adaptive", {"enough": 1.5}, "from 0 to 1"),
        ("adaptive", {"steps": -1}, "steps should be"),
    ],
)
def test_thinking_that_cannot_be_is_refused(form, change, words):
    with pytest.raises(CourseError, match=words):
        build(form).think(**change)


def test_the_ponder_cost_is_part_of_the_training_loss_alone():
    idx = text(2, 33)
    x, y = idx[:, :-1], idx[:, 1:]
    model = build("adaptive", ponder_cost=0.5)
    assert next_token_loss(model, x, y) == cross_entropy(model(x), y)
    assert model.auxiliary_loss() is None
    model.train()
    plain = cross_entropy(model(x), y)
    cost = model.auxiliary_loss()
    assert 0.5 * 1 <= cost <= 0.5 * (model.config.thinking_steps + 1)
    torch.testing.assert_close(next_token_loss(model, x, y), plain + cost)
    assert not model.reasoning.ponder.requires_grad
    cost.backward()
    copy.deepcopy(model)  # a graph could not be copied
    assert model.reasoning.halt.bias.grad.abs() > 0
    assert build("default").train().auxiliary_loss() is None


def test_a_ponder_cost_makes_it_halt_sooner():
    idx = text(4, 33)
    model = build("adaptive", torch.float32, ponder_cost=10.0).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    costs = []
    for _ in range(15):
        loss = next_token_loss(model, idx[:, :-1], idx[:, 1:])
        costs.append(model.reasoning.ponder.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert costs[-1] < costs[0]


def test_first_weights_are_torchs_but_for_three_places():
    models = {}
    for init in ("torch", "scaled"):
        torch.manual_seed(0)
        models[init] = dict(AGIFormer(AGIFormerConfig(n_embd=32, n_head=4, n_layer=2, init=init)).named_parameters())
    factors = {"head.rnn.weight_ih_l0": math.sqrt(3), "head.head.weight": 8}
    factors |= {f"layers.{i}.{name}.weight": 0.5 for i in range(2) for name in ("out_proj", "mlp.2")}
    for name, p in models["torch"].items():
        torch.testing.assert_close(models["scaled"][name], p * factors.get(name, 1), msg=name)
    assert models["scaled"]["head.rnn.weight_ih_l0"].std().item() == pytest.approx(1 / math.sqrt(256), rel=0.02)


def test_scaled_first_weights_learn_faster():
    """The same steps on the same bytes: a text in which a byte follows from the one before."""
    torch.manual_seed(0)
    idx = (torch.arange(60) * 7 + torch.arange(8)[:, None]) % 31 + 64
    losses = {}
    for init in ("torch", "scaled"):
        torch.manual_seed(1)
        model = AGIFormer(AGIFormerConfig(n_embd=16, n_head=2, n_layer=1, n_hidden=32, dropout=0.0, init=init))
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for _ in range(30):
            loss = next_token_loss(model, idx[:, :-1], idx[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses[init] = loss.item()
    assert losses["scaled"] < losses["torch"] - 0.1


def test_the_first_patch_comes_from_a_latent_of_its_own():
    model = build("default").train()
    model(text(1, 3)).square().sum().backward()
    assert model.start.grad.abs().sum() > 0
    assert model.head.byte_emb.weight.grad[256].abs().sum() > 0
    assert build("faithful").start is None


def test_flops_follow_from_the_weights_that_multiply():
    """At P = 1 and without attention's own products, 6 per weight of every matrix but the tables."""
    model = build("default", patch_size=1, window_size=1)
    c = model.config
    tables = ("encoder.", "head.byte_emb", "head.rnn.weight_hh", "reasoning.halt")
    matrices = {n: p.numel() for n, p in model.named_parameters() if p.ndim > 1 and not n.startswith(tables)}
    matrices["head.rnn.weight_ih_l0"] //= 2  # the byte's half is a table
    total = sum(n * (c.thinking_steps if "reasoning" in name else 1) for name, n in matrices.items())
    attention = c.n_layer * (2 * c.n_embd * c.window_size + 2 * c.n_embd * c.n_embd // c.n_head)
    assert model.flops_per_token() == pytest.approx(6 * (total + attention))
