"""Attention against loops with an explicit softmax, RoPE against complex numbers, and the cache's places."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.models.attention import (
    CausalSelfAttention,
    KVCache,
    attention_weights,
    check_context,
    rotary_tables,
    rotate,
)
from course_lib.models.gpt import GPT

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def config(**changes):
    return GPTConfig(**(dict(block_size=9, vocab_size=5, n_layer=2, n_head=3, n_embd=12) | changes))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow_rotate(vector, position):
    """Pairs (i, i + d/2) as complex numbers, each turned by position * 10000^(-2i/d)."""
    half = len(vector) // 2
    turned = [
        complex(vector[i], vector[i + half]) * complex(math.cos(angle), math.sin(angle))
        for i in range(half)
        for angle in [position * 10_000 ** (-2 * i / len(vector))]
    ]
    return [z.real for z in turned] + [z.imag for z in turned]


def slow_attention(module, x, rope):
    """One batch row, one head, one place at a time: scores, a softmax over the past, a weighted sum."""
    B, T, C = x.shape
    H, D = module.n_head, C // module.n_head
    out = torch.zeros(B, T, C, dtype=torch.float64)
    weight, bias = module.qkv.weight.double(), module.qkv.bias
    for b in range(B):
        packed = x[b].double() @ weight.T + (0 if bias is None else bias.double())  # (T, 3C)
        for h in range(H):
            vectors = [
                [packed[t, part * C + h * D : part * C + (h + 1) * D].tolist() for t in range(T)] for part in range(3)
            ]
            if module.qk_norm:
                for part in (0, 1):
                    for t, v in enumerate(vectors[part]):
                        size = math.sqrt(sum(n * n for n in v) / D + torch.finfo(torch.float32).eps)
                        vectors[part][t] = [n / size for n in v]
            if rope:
                vectors[:2] = [[slow_rotate(v, t) for t, v in enumerate(part)] for part in vectors[:2]]
            q, k, v = vectors
            for t in range(T):
                scores = [
                    math.exp(sum(a * c for a, c in zip(q[t], k[s], strict=True)) / math.sqrt(D)) for s in range(t + 1)
                ]
                for d in range(D):
                    out[b, t, h * D + d] = sum(w * v[s][d] for s, w in enumerate(scores)) / sum(scores)
    out = out @ module.proj.weight.double().T + (0 if module.proj.bias is None else module.proj.bias.double())
    return out.float()


FORMS = [
    dict(),
    dict(bias=True),
    dict(qk_norm=True),
    dict(position="rope"),
    dict(position="rope", qk_norm=True, bias=True),
]


@pytest.fixture(params=FORMS, ids=str)
def attention(request):
    settings = config(**request.param)
    torch.manual_seed(0)
    module = CausalSelfAttention(settings, layer=1)
    for p in module.parameters():
        torch.nn.init.normal_(p, std=0.6)  # large enough for uneven attention
    tables = rotary_tables(settings.block_size, settings.n_embd // settings.n_head)
    return module, settings, tables if settings.position == "rope" else None


def part_of(tables, start, end):
    return None if tables is None else (tables[0][start:end], tables[1][start:end])


@pytest.mark.parametrize("T", [1, 2, 7])
def test_attention_against_loops(attention, T):
    module, _, tables = attention
    x = noise(2, T, 12)
    expected = slow_attention(module, x, tables is not None)
    torch.testing.assert_close(module(x, part_of(tables, 0, T), None).detach(), expected.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("chunks", [[7], [1] * 7, [3, 4], [4, 1, 2], [1, 6]])
def test_attention_with_a_cache_against_loops(attention, chunks):
    module, settings, tables = attention
    x = noise(2, 7, 12)
    expected = slow_attention(module, x, tables is not None)
    cache = KVCache(settings, batch_size=2, like=x)
    parts, start = [], 0
    for length in chunks:
        parts.append(module(x[:, start : start + length], part_of(tables, start, start + length), cache).detach())
        cache.advance(length)
        start += length
    torch.testing.assert_close(torch.cat(parts, dim=1), expected.detach(), rtol=1e-5, atol=1e-5)


def test_a_token_sees_itself_and_the_past_alone(attention):
    module, _, tables = attention
    x = noise(1, 6, 12).requires_grad_()
    y = module(x, part_of(tables, 0, 6), None)
    for t in range(6):
        (gradient,) = torch.autograd.grad(y[0, t].sum(), x, retain_graph=True)
        seen = gradient[0].abs().sum(dim=-1) > 0
        assert seen.tolist() == [s <= t for s in range(6)]


def test_dropout_is_for_training_only():
    module = CausalSelfAttention(config(dropout=0.5), layer=0)
    x = noise(2, 5, 12)
    torch.manual_seed(0)
    assert not torch.equal(module(x, None, None), module(x, None, None))
    module.eval()
    assert torch.equal(module(x, None, None), module(x, None, None))


# The weights, for looking at -------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 2, 9])
def test_the_weights_are_those_that_forward_takes(attention, T):
    """The values mixed by them, side by side and projected, are the layer's output."""
    module, _, tables = attention
    x = noise(2, T, 12)
    weights = module.weights(x, part_of(tables, 0, T))
    assert weights.shape == (2, 3, T, T)
    values = module.qkv(x)[..., 24:].unflatten(-1, (3, 4)).transpose(1, 2)  # (B, H, T, head_dim), read off the packing
    mixes = (weights @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(module.proj(mixes), module(x, part_of(tables, 0, T), None), rtol=1e-5, atol=1e-5)


def test_each_row_of_weights_sums_to_one_over_the_past_and_itself(attention):
    module, _, tables = attention
    weights = module.weights(noise(2, 9, 12), tables)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, 9))
    assert torch.equal(weights.triu(1), torch.zeros_like(weights))
    assert (weights >= 0).all()
    assert weights.std() > 0.1, "uneven enough for the tests above to mean something"


@pytest.mark.parametrize("form", [*FORMS, dict(n_head=1), dict(n_head=12), dict(norm="rmsnorm", mlp="swiglu")], ids=str)
def test_the_weights_of_a_whole_model_are_those_of_its_layers(form):
    torch.manual_seed(0)
    settings = config(**form)
    model = GPT(settings)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    idx = torch.randint(5, (2, 7))
    with torch.no_grad():
        before = model(idx)
        found = attention_weights(model, idx)
        assert torch.equal(model(idx), before), "looking changes nothing, and leaves nothing behind"
        assert found.shape == (2, 2, settings.n_head, 7, 7)
        x = model.token_embedding(idx)
        rotary = None
        if model.position_embedding is not None:
            x = x + model.position_embedding.weight[:7]
        else:
            rotary = (model.rotary_cos[:7], model.rotary_sin[:7])
        for layer, block in enumerate(model.blocks):
            assert torch.equal(found[layer], block.attn.weights(block.norm1(x), rotary))
            x = block(x, rotary, None)
    assert not any(block.attn._forward_pre_hooks for block in model.blocks)


def test_looking_leaves_nothing_behind_where_the_text_is_too_long():
    model = GPT(config())
    with pytest.raises(CourseError, match="at most block_size = 9"):
        attention_weights(model, torch.zeros(1, 10, dtype=torch.int64))
    assert not any(block.attn._forward_pre_hooks for block in model.blocks)


# RoPE -----------------------------------------------------------------------------------------------------


def test_rotation_is_multiplication_of_complex_numbers():
    T, D = 20, 8
    x = noise(2, 3, T, D)
    angles = torch.arange(T)[:, None] * 10_000.0 ** (-torch.arange(D // 2) * 2 / D)  # (T, D / 2)
    z = torch.complex(x[..., : D // 2], x[..., D // 2 :]) * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(rotate(x, *rotary_tables(T, D)), torch.cat((z.real, z.imag), dim=-1))


def test_a_turn_one_can_check_by_hand():
    """Two numbers are one pair, turned by one radian per place."""
    cos, sin = rotary_tables(4, 2)
    turned = rotate(torch.tensor([1.0, 0.0]).expand(1, 1, 4, 2), cos, sin)[0, 0]
    torch.testing.assert_close(turned, torch.tensor([[math.cos(t), math.sin(t)] for t in range(4)]))


@steady
@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 600), st.sampled_from([2, 8, 32]))
def test_the_product_depends_on_the_distance_alone(m, n, shift, D):
    q, k = noise(1, 1, 1, D, seed=1), noise(1, 1, 1, D, seed=2)
    cos, sin = rotary_tables(1001, D)

    def product(i, j):
        return (rotate(q, cos[i : i + 1], sin[i : i + 1]) * rotate(k, cos[j : j + 1], sin[j : j + 1])).sum().item()

    assert product(m, n) == pytest.approx(product(m + shift, n + shift), abs=2e-4)


def test_turning_keeps_the_length_and_position_0_keeps_all():
    x = noise(1, 2, 50, 16)
    turned = rotate(x, *rotary_tables(50, 16))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])


def test_the_tables_are_exact_far_out():
    """Angles are computed in fp64: at place 100,000 an fp32 angle would be off in the third digit."""
    cos, _ = rotary_tables(100_001, 4)
    assert cos[100_000, 0].item() == pytest.approx(math.cos(100_000), abs=1e-6)
    assert cos[100_000, 1].item() == pytest.approx(math.cos(1000), abs=1e-6)


# The cache ------------------------------------------------------------------------------------------------


def test_a_cache_reserves_its_memory_once_and_hands_out_what_is_in_use():
    settings = config()
    cache = KVCache(settings, batch_size=2, like=torch.zeros(1, dtype=torch.float64))
    assert cache.keys.shape == cache.values.shape == (2, 2, 3, 9, 4)
    assert cache.keys.dtype == torch.float64
    assert (cache.block_size, cache.length) == (9, 0)
    place = cache.keys.data_ptr()
    first, second = noise(2, 3, 5, 4).double(), noise(2, 3, 2, 4, seed=1).double()
    for layer in (0, 1):
        keys, values = cache.append(layer, first, -first)
        assert torch.equal(keys, first)
        assert torch.equal(values, -first)
    assert cache.length == 0  # it moves on once per pass, not per layer
    cache.advance(5)
    keys, values = cache.append(1, second, -second)
    assert torch.equal(keys, torch.cat((first, second), dim=2))
    assert torch.equal(values, -keys)
    assert keys.data_ptr() - place == cache.keys[0].numel() * 8  # a view of the memory that was reserved


@pytest.mark.parametrize(("tokens", "seen"), [(1, 0), (8, 0), (3, 5), (0, 8)])
def test_as_many_tokens_as_the_model_sees_are_fine(tokens, seen):
    assert check_context(tokens, seen, block_size=8) is None


@pytest.mark.parametrize(("tokens", "seen"), [(9, 0), (1, 8), (4, 5)])
def test_more_tokens_than_the_model_sees_are_refused(tokens, seen):
    with pytest.raises(
        CourseError, match=rf"at most block_size = 8 tokens; it got {tokens + seen}\. Give it the last 8"
    ):
        check_context(tokens, seen, block_size=8)
