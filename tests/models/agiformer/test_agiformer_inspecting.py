"""A look into AGIFORMER's thinking: measured as by a slow hand, judged right, and without a trace in the model."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from slow_agiformer import FORMS, build, linear, mlp, norm, slow_adaptive, slow_intuition, text

from course_lib.errors import CourseError
from course_lib.models import GPT, AGIFormer, AGIFormerConfig, GPTConfig
from course_lib.models.agiformer.inspecting import DORMANT, UNSTABLE, Movement, judge, movement, weights


def by_hand(model, idx, enough=0.99):
    """Patch by patch and number by number: the moves, their shares, both of the whole, and the gates of each step."""
    c, w = model.config, model.state_dict()
    whole = idx[:, : idx.shape[1] // c.patch_size * c.patch_size]
    first = slow_intuition(c, w, whole)
    adaptive = slow_adaptive(c, w, first, enough) if c.thinking == "adaptive" and model.reasoning.steps else None
    patches, gates = {}, {}
    for place in np.ndindex(*first.shape[:2]):
        z, moves, left = first[place], [], 1.0
        for number in range(1, model.reasoning.steps + 1):
            h = norm(w, "reasoning.norm", z)
            gate = linear(w, "reasoning.gate", h).sigmoid()
            gates.setdefault(number, []).extend(gate.tolist())
            new = z + gate * mlp(w, "reasoning.think_mlp", h)
            moves.append((distance(new, z), distance(new, z) / distance(z)))
            z = new
            if c.thinking == "adaptive":
                left -= linear(w, "reasoning.halt", norm(w, "reasoning.norm", z)).sigmoid().item()
                if 1 - left >= enough:
                    break
        out = z if adaptive is None else adaptive[place]
        patches[place] = moves, distance(out, first[place]), distance(first[place])
    return patches, gates


def distance(a, b=None):
    a, b = a.tolist(), [0.0] * len(a) if b is None else b.tolist()
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [13, 24])
def test_movement_is_what_the_weights_say(form, length):
    model = build(form)
    found = compare(model, text(2, length))
    assert found.total.shape == (2, length // model.config.patch_size)


def compare(model, idx, enough=0.99):
    """Hold `movement` against `by_hand`; returns the former."""
    found = movement(model, idx)
    patches, gates = by_hand(model, idx, enough)
    assert found.total.numel() == len(patches)
    assert len(found.absolute) == len(found.gates) == found.steps.max()
    for (b, n), (moves, total, length_before) in patches.items():
        assert found.steps[b, n] == len(moves)
        padded = moves + [(0.0, 0.0)] * (len(found.absolute) - len(moves))
        here = list(zip(found.absolute[:, b, n].tolist(), found.relative[:, b, n].tolist()))
        assert here == [pytest.approx(pair, rel=1e-4) for pair in padded]
        assert found.total[b, n] == pytest.approx(total, rel=1e-4)
        assert found.before[b, n] == pytest.approx(length_before, rel=1e-4)
        assert found.total_relative[b, n] == pytest.approx(total / length_before, rel=1e-4)
    for number, one in enumerate(found.gates, start=1):
        values = gates[number]
        assert one.mean == pytest.approx(sum(values) / len(values), rel=1e-4)
        assert one.shut == pytest.approx(sum(g < 0.01 for g in values) / len(values), rel=1e-4)
        assert one.open == pytest.approx(sum(g > 0.99 for g in values) / len(values), rel=1e-4)
        took = [moves[number - 1] for moves, *_ in patches.values() if len(moves) >= number]
        means = [sum(column) / len(took) for column in zip(*took)]
        assert found.of_step(number) == pytest.approx((*means, len(took) / len(patches)), rel=1e-4)
    return found


@torch.no_grad()
def undecided(idx, **changes):
    """A model that thinks adaptively: of the patches of ``idx`` half halt after one step, and the others later."""
    model = build("adaptive", **changes)
    halt, states = model.reasoning.halt, model.reasoning.step(model.intuition(idx))
    halt.weight.mul_(20)
    halt.bias.zero_().sub_(halt(model.reasoning.norm(states)).quantile(0.5))  # between two of them
    model.think(enough=0.5)
    return model


def test_patches_that_think_adaptively_take_steps_of_their_own():
    model = undecided(text(3, 64), thinking_steps=6)
    found = compare(model, text(3, 64), enough=0.5)
    assert len(found.steps.unique()) > 1, "else nothing is tested"
    later = torch.arange(1, len(found.absolute) + 1)[:, None, None] > found.steps
    assert not found.absolute[later].any()
    assert not found.relative[later].any()
    assert found.absolute[~later].all()


def test_a_patch_that_has_halted_is_not_told_of_what_would_have_come():
    """Its later states are computed, as others think on; here they are not finite."""
    idx = text(1, 32)
    model = undecided(idx, thinking_steps=2)
    expected, took = movement(model, idx), movement(model, idx).steps[0]
    assert {1, 2} == set(took.tolist())
    plain = model.reasoning.step
    model.reasoning.step = lambda z, calls=[]: (calls.append(1), plain(z) * (math.nan if len(calls) % 2 == 0 else 1))[1]
    found = movement(model, idx)
    assert torch.equal(found.absolute[:, 0, took == 1], expected.absolute[:, 0, took == 1])
    assert found.absolute[1, 0, took == 2].isnan().all()


@pytest.mark.parametrize("form", ["default", "adaptive"])
def test_what_comes_later_moves_nothing_before(form):
    model, idx = build(form), text(1, 40)
    whole, part = movement(model, idx), movement(model, idx[:, :22])
    torch.testing.assert_close(part.total, whole.total[:, :5])
    for k, row in enumerate(part.absolute):
        torch.testing.assert_close(row, whole.absolute[k, :, :5])


def test_inspecting_leaves_no_trace():
    for form in ("default", "adaptive", "recompute"):
        model = build(form, torch.float32, dropout=0.3).train()
        model.layers[0].eval()  # somebody keeps a part from dropping out
        model(text(2, 16))
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        modes = [module.training for module in model.modules()]
        random, ponder = torch.get_rng_state(), model.reasoning.ponder
        first, again = (movement(model, text(2, 19)) for _ in range(2))
        weights(model)
        assert torch.equal(first.absolute, again.absolute), "nothing is dropped out"
        assert not first.absolute.requires_grad
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert [module.training for module in model.modules()] == modes
        assert torch.equal(torch.get_rng_state(), random)
        assert model.reasoning.ponder is ponder
        assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_what_cannot_be_looked_into_is_refused():
    model = build()
    gpt = GPT(GPTConfig(block_size=8, vocab_size=256, n_layer=1, n_head=1, n_embd=8))
    with pytest.raises(CourseError, match=r"Expected is an AGIFormer, .* it is a GPT"):
        movement(gpt, text(1, 8))
    with pytest.raises(CourseError, match="Expected is an AGIFormer"):
        weights(gpt)
    for idx, words in (
        (text(8), r"\(B, T\) whole numbers, .* torch.int64 \(8,\)"),
        ([[1, 2, 3, 4]], "it is list"),
        (text(1, 8).float(), "torch.float32"),
        (text(1, 8) + 256, "from 0 to 255; it goes from"),
        (text(1, 8) - 256, "from 0 to 255"),
        (text(1, 3), "a whole patch, of 4 bytes; there are 1 x 3 bytes"),
        (text(1, 0), "1 x 0 bytes"),
        (text(0, 8), "0 x 8 bytes"),
    ):
        with pytest.raises(CourseError, match=words):
            movement(model, idx)


# ---- weights -------------------------------------------------------------------------------------------------


def test_weights_are_measured_as_numpy_does():
    model = build("adaptive")
    found = weights(model)
    assert [one.name for one in found.matrices] == [n for n, p in model.reasoning.named_parameters() if p.ndim == 2]
    for one in found.matrices:
        w = dict(model.reasoning.named_parameters())[one.name].detach().numpy()
        assert one.shape == w.shape
        assert one.std == pytest.approx(w.std())
        assert one.norm == pytest.approx(np.linalg.svd(w, compute_uv=False)[0])
    bias = model.reasoning.gate.bias.detach().numpy()
    assert found.gate_bias == pytest.approx((bias.mean(), bias.min(), bias.max()))
    with torch.no_grad():
        model.reasoning.gate.weight[0, 0] = math.inf
    assert [math.isnan(one.norm) for one in weights(model).matrices] == [False, False, True, False]


# ---- the verdict ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["default", "faithful", "adaptive"])
@pytest.mark.parametrize("width", [16, 128])
def test_a_model_is_named_as_it_was_made(form, width):
    torch.manual_seed(0)
    sizes = dict(n_embd=width, n_head=2, n_layer=1, n_hidden=8)
    model = AGIFormer(AGIFormerConfig(**sizes | FORMS[form])).eval()
    last = model.reasoning.think_mlp[2]
    fresh = {name: tensor.clone() for name, tensor in last.state_dict().items()}
    made = {0.0: "dormant", 1e-4: "dormant", 1.0: "active", 1e3: "unstable", math.inf: "unstable"}
    for scale, word in made.items():
        last.load_state_dict({name: tensor * scale for name, tensor in fresh.items()})
        verdict = judge(movement(model, text(1, 64)))
        assert verdict.word == word, scale
        if scale in (0.0, 1e3, math.inf):
            assert verdict.original == word, scale
    model.think(steps=0)
    verdict = judge(movement(model, text(1, 64)))
    assert (verdict.word, verdict.original) == ("off", "dormant")
    assert "takes no thinking steps" in verdict.reason


def test_what_is_not_finite_is_unstable_and_told_where_it_begins():
    for name, words in (("layers.0.mlp.0.weight", "before it thinks"), ("reasoning.gate.bias", "once it has thought")):
        for value in (math.nan, math.inf):
            model = build("default")
            with torch.no_grad():
                model.get_parameter(name).fill_(value)
                model.reasoning.think_mlp[2].weight.mul_(value if name.startswith("reasoning") else 1.0)
            verdict = judge(movement(model, text(1, 12)))
            assert (verdict.word, verdict.original) == ("unstable", "unstable")
            assert words in verdict.reason


def moved_by(share, length=1.0):
    """A movement of two patches whose mean is ``share`` of latents of that length."""
    shares = torch.tensor([[0.5, 1.5]], dtype=torch.float64) * share
    before = torch.full((1, 2), length, dtype=torch.float64)
    return Movement(shares[None] * length, shares[None], shares * length, shares, before, torch.ones(1, 2).long(), ())


def test_the_limits_are_where_they_are_said_to_be():
    for share, word in ((DORMANT * 0.99, "dormant"), (DORMANT, "active"), (UNSTABLE, "active"), (10.01, "unstable")):
        assert judge(moved_by(share)).word == word
    for moved, word in ((0.0099, "dormant"), (0.01, "active"), (10.0, "active"), (10.01, "unstable")):
        assert judge(moved_by(moved / 25, length=25.0)).original == word
    wide, narrow = (judge(moved_by(0.6, math.sqrt(width))) for width in (768, 128))
    assert (wide.word, wide.original) == ("active", "unstable"), "one share, and two lengths"
    assert (narrow.word, narrow.original) == ("active", "active")
    assert "0.6 of its length" in wide.reason


def test_the_farthest_come_first_and_of_equals_the_earlier():
    shares = torch.tensor([[1.0, 3.0, math.nan, 3.0, 0.0, math.inf, 2.0]])
    found = replace(moved_by(1.0), total_relative=shares)
    assert found.farthest(5) == [2, 5, 1, 3, 6]
    assert len(found.farthest(50)) == 7
    assert replace(found, total_relative=torch.ones(1, 200)).farthest(50) == list(range(50))


def test_a_latent_of_length_zero_that_stays_has_not_moved():
    model = build("default")
    with torch.no_grad():
        for part in (model.norm_f.weight, model.norm_f.bias, *model.reasoning.think_mlp[2].parameters()):
            part.zero_()
    found = movement(model, text(1, 8))
    assert not found.relative.any()
    assert judge(found).word == "dormant"
