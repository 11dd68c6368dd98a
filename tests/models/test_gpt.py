"""GPT in all its forms: shapes, causality, published counts, the cache, and nanoGPT's own model beside it."""

import importlib.util
import itertools
import math
import os
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.losses import cross_entropy
from course_lib.models import GPT, build_model, linear
from course_lib.models.gpt import MLP
from course_lib.models.norm import LayerNorm, RMSNorm

SHAPE = dict(block_size=16, vocab_size=23, n_layer=2, n_head=2, n_embd=24)
MODERN = dict(position="rope", norm="rmsnorm", qk_norm=True, mlp="relu2", tie_weights=False)
FORMS = {
    "gpt2": dict(),
    "gpt2 with biases": dict(bias=True),
    "rope": dict(position="rope"),
    "rmsnorm": dict(norm="rmsnorm"),
    "qk_norm": dict(qk_norm=True),
    "relu2": dict(mlp="relu2"),
    "swiglu": dict(mlp="swiglu", bias=True),
    "untied": dict(tie_weights=False),
    "modern": MODERN,
}


def build(scale=10.0, seed=0, **changes):
    """A model in evaluation mode whose weights are large enough for every token to matter."""
    torch.manual_seed(seed)
    model = GPT(GPTConfig(**(SHAPE | changes))).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(scale) if p.ndim == 2 else p.add_(torch.randn_like(p) * 0.2)
    return model


def ids(B, T, V=23, seed=0):
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def model(request):
    return build(**request.param)


# What it computes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("B", "T"), [(1, 1), (3, 5), (2, 16)])
def test_ids_in_scores_out(model, B, T):
    logits = model(ids(B, T))
    assert logits.shape == (B, T, 23)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_a_token_changes_no_earlier_score(model):
    idx = ids(2, 12)
    logits = model(idx)
    for t in (0, 5, 11):
        other = idx.clone()
        other[0, t] = (other[0, t] + 1) % 23
        changed = model(other)
        torch.testing.assert_close(changed[0, :t], logits[0, :t], rtol=0, atol=1e-5)
        assert (changed[0, t:] - logits[0, t:]).abs().amax(dim=-1).gt(1e-3).all()
        torch.testing.assert_close(changed[1], logits[1], rtol=0, atol=1e-5)  # nor another row


def test_the_order_of_the_past_matters(model):
    idx = torch.tensor([[1, 2, 3, 4, 5, 6]])
    swapped = torch.tensor([[2, 1, 3, 4, 5, 6]])
    assert (model(idx)[0, -1] - model(swapped)[0, -1]).abs().max() > 1e-3


def test_more_tokens_than_block_size_are_refused(model):
    with pytest.raises(CourseError, match="at most block_size = 16 tokens; it got 17"):
        model(ids(1, 17))


def test_every_weight_is_reached_by_the_gradient(model):
    idx = ids(4, 16)
    model.train()
    cross_entropy(model(idx[:, :-1]), idx[:, 1:]).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
        assert p.grad.abs().max() > 0, name


def test_dropout_is_for_training_only():
    model = build(dropout=0.5)
    idx = ids(2, 8)
    assert torch.equal(model(idx), model(idx))
    model.train()
    assert not torch.equal(model(idx), model(idx))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_it_works_in_other_types(model, dtype):
    idx = ids(2, 8)
    exact = model(idx).softmax(dim=-1)
    other = model.to(dtype)(idx)
    assert other.dtype == dtype
    tolerance = 0.3 if dtype == torch.bfloat16 else 1e-4
    assert (other.float().softmax(dim=-1) - exact).abs().max() < tolerance


def test_build_model_builds_what_the_settings_say():
    config = GPTConfig(**SHAPE, **MODERN)
    torch.manual_seed(3)
    one = build_model(config)
    torch.manual_seed(3)
    two = GPT(config)
    assert isinstance(one, GPT)
    assert one.config == config
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)


# Its parts ------------------------------------------------------------------------------------------------


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bias", [True, False])
def test_layernorm_is_torchs_and_the_formula(bias):
    ours, theirs = LayerNorm(12, bias), nn.LayerNorm(12, bias=bias)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        nn.init.normal_(p)
        q.data.copy_(p.data)
    x = noise(2, 3, 12) * 5 + 2
    torch.testing.assert_close(ours(x), theirs(x))
    centered = x - x.mean(dim=-1, keepdim=True)
    expected = centered / (centered.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt() * ours.weight
    torch.testing.assert_close(ours(x), expected + (ours.bias if bias else 0))


def test_rmsnorm_is_torchs_and_the_formula():
    ours, theirs = RMSNorm(12), nn.RMSNorm(12, eps=1e-5)
    nn.init.normal_(ours.weight)
    theirs.weight.data.copy_(ours.weight.data)
    x = noise(2, 3, 12) * 5 + 2
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x), x / (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt() * ours.weight)


NONLINEAR = {
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu2": lambda x: torch.where(x > 0, x * x, torch.zeros_like(x)),
}


@pytest.mark.parametrize("kind", NONLINEAR)
@pytest.mark.parametrize("bias", [True, False])
def test_mlp_against_its_formula(kind, bias):
    mlp = MLP(GPTConfig(**SHAPE, mlp=kind, bias=bias))
    assert mlp.up.weight.shape == (96, 24)
    x = noise(2, 3, 24)
    hidden = NONLINEAR[kind](x @ mlp.up.weight.T + (mlp.up.bias if bias else 0))
    torch.testing.assert_close(mlp(x), hidden @ mlp.down.weight.T + (mlp.down.bias if bias else 0))


def test_swiglu_against_its_formula():
    """(x W) * silu(x V), then down: Shazeer 2020, equation 6."""
    mlp = MLP(GPTConfig(**SHAPE, mlp="swiglu"))
    assert mlp.down.weight.shape == (24, 64)  # 8/3 of 24
    W, V = mlp.up.weight[:64], mlp.up.weight[64:]
    x = noise(2, 3, 24)
    gate = x @ V.T
    torch.testing.assert_close(mlp(x), ((x @ W.T) * gate / (1 + torch.exp(-gate))) @ mlp.down.weight.T)


def test_swiglu_has_as_many_weights_as_the_others():
    for n_embd in (24, 48, 384, 768):
        counts = [
            sum(p.numel() for p in MLP(GPTConfig(**(SHAPE | dict(n_embd=n_embd)), mlp=kind)).parameters())
            for kind in ("gelu", "swiglu")
        ]
        assert counts[0] == counts[1] == 8 * n_embd**2
    odd = sum(p.numel() for p in MLP(GPTConfig(**(SHAPE | dict(n_embd=128)), mlp="swiglu")).parameters())
    assert odd / (8 * 128**2) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_head_is_the_embedding_itself(tied):
    model = GPT(GPTConfig(**SHAPE, tie_weights=tied))
    same = model.head.weight.data_ptr() == model.token_embedding.weight.data_ptr()
    assert same == tied
    model.token_embedding.weight.data[3, 4] = 7.0
    assert (model.head.weight[3, 4].item() == 7.0) == tied
    assert ("head.weight" in dict(model.named_parameters())) == (not tied)


# The first guess ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [MODERN, dict(tie_weights=False), dict(bias=True, tie_weights=False)], ids=str)
def test_zero_init_starts_at_exactly_ln_v(form):
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SHAPE, **(form | dict(zero_init=True))))
    idx = ids(4, 16)
    logits = model(idx)
    assert torch.equal(logits, torch.zeros(4, 16, 23))
    assert cross_entropy(logits, idx).item() == pytest.approx(math.log(23), abs=1e-6)


def test_zero_init_makes_each_block_pass_on_what_it_gets():
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SHAPE, zero_init=True))  # with a tied head, which cannot be zero
    x = noise(2, 5, 24)
    for block in model.blocks:
        assert torch.equal(block(x, None, None), x)
    assert model.head.weight.std() > 0.01


def test_without_it_the_first_loss_is_near_ln_v():
    torch.manual_seed(0)
    model = GPT(GPTConfig(**(SHAPE | dict(vocab_size=65, n_embd=128, n_head=4))))
    loss = cross_entropy(model(ids(8, 16, V=65)), ids(8, 16, V=65, seed=1))
    assert loss.item() == pytest.approx(math.log(65), abs=0.1)


def test_initial_weights_have_the_spread_of_gpt2():
    torch.manual_seed(0)
    config = GPTConfig(block_size=256, vocab_size=1000, n_layer=8, n_head=4, n_embd=128, bias=True, tie_weights=False)
    model = GPT(config)
    for name, p in model.named_parameters():
        if p.ndim == 1:
            assert torch.equal(p, torch.zeros_like(p) if name.endswith("bias") else torch.ones_like(p)), name
            continue
        into_stream = name.endswith(("attn.proj.weight", "mlp.down.weight"))
        expected = 0.02 / math.sqrt(2 * 8) if into_stream else 0.02
        assert p.std().item() == pytest.approx(expected, rel=0.03), name
        assert abs(p.mean().item()) < 5 * expected / math.sqrt(p.numel()), name


# Counts ---------------------------------------------------------------------------------------------------

GPT2 = {  # layers, heads, width, and the weights that Hugging Face's checkpoints hold
    "gpt2": (12, 12, 768, 124_439_808),
    "gpt2-medium": (24, 16, 1024, 354_823_168),
    "gpt2-large": (36, 20, 1280, 774_030_080),
    "gpt2-xl": (48, 25, 1600, 1_557_611_200),
}


def on_meta(**settings):
    with torch.device("meta"):
        return GPT(GPTConfig(**settings))


@pytest.mark.parametrize(("n_layer", "n_head", "n_embd", "count"), GPT2.values(), ids=GPT2)
def test_gpt2s_published_counts(n_layer, n_head, n_embd, count):
    model = on_meta(vocab_size=50257, block_size=1024, n_layer=n_layer, n_head=n_head, n_embd=n_embd, bias=True)
    assert model.num_parameters() == count
    assert model.num_parameters(embeddings=False) == count - (50257 + 1024) * n_embd


def test_nanogpts_printed_counts():
    """nanoGPT prints 10.65M and 0.80M; it leaves the position table out."""
    gpu = on_meta(vocab_size=65, block_size=256, n_layer=6, n_head=6, n_embd=384)
    assert gpu.num_parameters() - 256 * 384 == 10_646_784
    cpu = on_meta(vocab_size=65, block_size=64, n_layer=4, n_head=4, n_embd=128)
    assert round((cpu.num_parameters() - 64 * 128) / 1e6, 2) == 0.80


@pytest.mark.parametrize(
    ("form", "count"),
    [
        # V C + T C, then per block 4 C^2 + 8 C^2 and two gains, and the last gain; C = 24, V = 23, T = 16
        (dict(), 23 * 24 + 16 * 24 + 2 * (12 * 576 + 2 * 24) + 24),
        # biases: 3C + C + 4C + C per block, and one for each norm
        (dict(bias=True), 23 * 24 + 16 * 24 + 2 * (12 * 576 + 9 * 24 + 4 * 24) + 2 * 24),
        (MODERN, 2 * 23 * 24 + 2 * (12 * 576 + 2 * 24) + 24),
    ],
    ids=["gpt2", "biases", "modern"],
)
def test_counts_by_hand(form, count):
    assert GPT(GPTConfig(**SHAPE, **form)).num_parameters() == count


def test_flops_of_gpt2_are_those_of_nanogpts_notebook():
    """transformer_sizing.ipynb counts 874,944,921,600 for a block of 1,024 tokens, forward and backward."""
    model = on_meta(vocab_size=50257, block_size=1024, n_layer=12, n_head=12, n_embd=768)
    assert model.flops_per_token() * 1024 == 874_944_921_600


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_flops_are_those_that_torch_counts(form):
    model = GPT(GPTConfig(**SHAPE, **form))
    idx = ids(3, 16)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(idx).sum().backward()
    assert counter.get_total_flops() == model.flops_per_token() * 3 * 16


# The cache ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [[16], [1] * 16, [5] + [1] * 11, [4, 7, 5], [1, 15]], ids=str)
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
def test_prefill_and_decode_are_the_whole_forward_pass(model, chunks, grad):
    idx = ids(3, 16)
    with torch.set_grad_enabled(grad):
        expected = model(idx)
        cache = model.new_cache(3)
        ends = list(itertools.accumulate(chunks))
        parts = [model(idx[:, end - length : end], cache) for length, end in zip(chunks, ends, strict=True)]
    assert cache.length == 16
    scale = expected.abs().max().item()
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, rtol=0, atol=1e-5 * max(1.0, scale))


def test_a_full_cache_refuses_more_and_stays_as_it_was(model):
    idx = ids(1, 16)
    cache = model.new_cache(1)
    model(idx[:, :15], cache)
    with pytest.raises(CourseError, match="at most block_size = 16 tokens; it got 17"):
        model(idx[:, :2], cache)
    assert cache.length == 15
    torch.testing.assert_close(model(idx[:, 15:], cache)[:, -1], model(idx)[:, -1], rtol=1e-5, atol=1e-4)
    with pytest.raises(CourseError, match="it got 17"):
        model(idx[:, :1], cache)


def test_two_caches_do_not_disturb_each_other(model):
    one, two = ids(1, 8), ids(1, 8, seed=1)
    caches = [model.new_cache(1), model.new_cache(1)]
    for t in range(8):
        last = [model(idx[:, t : t + 1], cache) for idx, cache in zip((one, two), caches, strict=True)]
    for idx, logits in zip((one, two), last, strict=True):
        torch.testing.assert_close(logits[:, -1], model(idx)[:, -1], rtol=1e-5, atol=1e-4)


# Cropping -------------------------------------------------------------------------------------------------


def test_a_cropped_copy_computes_the_same(model):
    smaller = model.cropped(7).eval()
    idx = ids(2, 7)
    assert torch.equal(smaller(idx), model(idx))
    assert smaller.config == model.config.replace(block_size=7)
    with pytest.raises(CourseError, match="block_size = 7"):
        smaller(ids(1, 8))
    assert model(ids(1, 16)).shape == (1, 16, 23)  # the first one is as it was
    tied = smaller.head.weight is smaller.token_embedding.weight
    assert tied == model.config.tie_weights
    next(smaller.parameters()).data.zero_()
    assert next(model.parameters()).abs().sum() > 0  # nothing is shared with it


@pytest.mark.parametrize("block_size", [0, -1, 17])
def test_a_model_cannot_be_cropped_to_more_than_it_has(model, block_size):
    with pytest.raises(CourseError, match=f"from 1 to the model's 16; it is {block_size}"):
        model.cropped(block_size)


def test_a_cropped_copy_keeps_the_type():
    assert build().double().cropped(4)(ids(1, 4)).dtype == torch.float64


# The two kernels of Linear --------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch):
    """How often oneDNN's kernel is taken."""
    if linear._ONEDNN is None:
        pytest.skip("this build of torch has no oneDNN")
    made = []
    kernel = linear._ONEDNN
    monkeypatch.setattr(linear, "_ONEDNN", lambda *args: made.append(args) or kernel(*args))
    return made


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("B", "rows", "columns"), [(1, 8, 8), (3, 65, 384), (1, 1536, 384), (2, 7, 1), (64, 128, 128)])
def test_onednns_kernel_gives_what_torchs_gives(calls, bias, B, rows, columns):
    torch.manual_seed(0)
    layer = linear.Linear(columns, rows, bias=bias)
    x = noise(B, 1, columns)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias), rtol=1e-5, atol=1e-5)
    assert len(calls) == 1


def test_it_is_for_decoding_one_token_in_fp32_alone(calls, monkeypatch):
    layer = linear.Linear(8, 8)
    layer(noise(2, 1, 8))  # gradients are wanted
    with torch.no_grad():
        layer(noise(2, 3, 8))  # several tokens
        layer(noise(2, 8))  # no sequence
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(noise(2, 1, 8)).dtype == torch.bfloat16
        layer.double()(noise(2, 1, 8).double())
        with monkeypatch.context() as compiling:  # Inductor would hold the weights fast that they have just now
            compiling.setattr(torch.compiler, "is_compiling", lambda: True)
            layer.float()(noise(2, 1, 8))
    assert calls == []
    with torch.inference_mode():
        layer.float()(noise(2, 1, 8))
    assert len(calls) == 1


def test_without_onednn_the_default_serves(monkeypatch):
    monkeypatch.setattr(linear, "_ONEDNN", None)
    layer = linear.Linear(8, 8)
    with torch.no_grad():
        assert torch.equal(layer(noise(2, 1, 8)), F.linear(noise(2, 1, 8), layer.weight, layer.bias))


# nanoGPT itself, where a copy of it is at hand ------------------------------------------------------------

NANOGPT_NAMES = {
    "token_embedding": "transformer.wte",
    "position_embedding": "transformer.wpe",
    "norm": "transformer.ln_f",
    "head": "lm_head",
    "blocks": "transformer.h",
    "norm1": "ln_1",
    "norm2": "ln_2",
    "qkv": "c_attn",
    "up": "c_fc",
    "attn.proj": "attn.c_proj",
    "mlp.down": "mlp.c_proj",
}


@pytest.fixture
def nanogpt():
    folder = os.environ.get("COURSE_PEER_NANOGPT")
    if folder is None or not (Path(folder) / "model.py").is_file():
        pytest.skip("COURSE_PEER_NANOGPT names no folder with nanoGPT's model.py")
    spec = importlib.util.spec_from_file_location("nanogpt_model", Path(folder) / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up there
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[spec.name]


@pytest.mark.parametrize("bias", [True, False])
def test_nanogpts_own_model_gives_the_same_logits(nanogpt, bias):
    model = build(bias=bias)
    theirs = nanogpt.GPT(nanogpt.GPTConfig(**SHAPE, dropout=0.0, bias=bias)).eval()
    weights = {}
    for name, tensor in model.state_dict().items():
        place = f".{name}."
        for ours, other in sorted(NANOGPT_NAMES.items(), key=lambda pair: -len(pair[0])):
            place = place.replace(f".{ours}.", f".{other}.")
        weights[place.strip(".")] = tensor
    theirs.load_state_dict(weights)
    idx = ids(2, 16)
    logits, loss = theirs(idx, idx)
    torch.testing.assert_close(model(idx), logits, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(cross_entropy(model(idx), idx), loss)
    assert theirs.get_num_params() == model.num_parameters() - 16 * 24
