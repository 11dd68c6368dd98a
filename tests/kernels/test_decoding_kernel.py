"""The compiled decoding step: held to torch's own pass, which shares no line with it."""

import copy
import ctypes
import gc
import itertools
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from varied import varied_gpt

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.kernels import DecodingKernel, decoding, find_compiler, find_kernel
from course_lib.models import GPT
from course_lib.models.attention import attention_weights
from course_lib.models.linear import Linear
from course_lib.models.norm import RMSNorm
from course_lib.optim import mark_tables
from course_lib.recipes import load_recipe
from course_lib.sampling import generate, stream

V, BLOCK = 23, 12
CHOICES = {
    "mlp": ("gelu", "gelu_tanh", "relu2", "swiglu"),
    "norm": ("layernorm", "rmsnorm"),
    "position": ("learned", "rope"),
    "qk_norm": (False, True),
    "bias": (False, True),
    "tie_weights": (False, True),
}
FORMS = [dict(zip(CHOICES, chosen)) for chosen in itertools.product(*CHOICES.values())]
SHAPES = {
    "one of everything": dict(n_layer=1, n_head=1, n_embd=1, vocab_size=1, block_size=3),
    "heads of two": dict(n_head=12, position="rope"),
    "nothing is a multiple of 16": dict(n_layer=3, n_head=3, n_embd=57, vocab_size=101),
    "a head of 38": dict(n_head=1, n_embd=38, position="rope", mlp="swiglu"),
    "wide": dict(n_layer=1, n_head=2, n_embd=160, vocab_size=257),
    "n-grams": dict(ngrams=(2, 3), position="rope"),
    "n-grams that share rows": dict(ngrams=(2, 5), ngram_rows=7),
}

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler was found (c++, g++, clang++ or CXX)"),
]


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small models are worth it, and somebody's own switch does not count."""
    monkeypatch.setattr(decoding, "WORTH_IT", 0)
    monkeypatch.delenv(decoding.SWITCH, raising=False)


def kernel_of(model: GPT) -> DecodingKernel:
    kernel = find_kernel(model)
    assert kernel is not None
    return kernel


def ids(B: int, T: int, vocab_size: int = V) -> torch.Tensor:
    return torch.randint(vocab_size, (B, T), generator=torch.Generator().manual_seed(B * T))


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * max(1.0, expected.abs().max().item()))


# What it computes -----------------------------------------------------------------------------------------


@torch.no_grad()
def hold(model: GPT, B: int, prefill: int) -> None:
    """Every place up to the last legal one, after a prompt that torch has read: scores, and what is in the cache."""
    T, kernel = model.config.block_size, kernel_of(model)
    idx, cache, reference = ids(B, T, model.config.vocab_size), model.new_cache(B), model.new_cache(B)
    if prefill:
        model(idx[:, :prefill], cache)
        model(idx[:, :prefill], reference)
    for t in range(prefill, T):
        new = idx[:, t : t + 1]
        assert_near(kernel(new, cache), model(new, reference)[:, -1])
    assert cache.length == T
    assert_near(cache.keys, reference.keys)
    assert_near(cache.values, reference.values)
    with pytest.raises(CourseError, match="The cache is full: it holds"):
        kernel(idx[:, :1], cache)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: " ".join(f"{k}={v}" for k, v in form.items()))
def test_it_is_the_models_own_pass(form: dict) -> None:
    model = varied_gpt(BLOCK, V, **form)
    for B, prefill in ((1, 5), (3, 5), (7, 0)):
        hold(model, B, prefill)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_in_every_shape(shape: dict) -> None:
    model = varied_gpt(**(dict(block_size=BLOCK, vocab_size=V) | shape))
    for B, prefill in ((1, 0), (2, 1), (4, 1), (5, 2), (16, 0), (17, 1), (33, 0)):
        hold(model, B, prefill)


@torch.no_grad()
def test_either_goes_on_where_the_other_was() -> None:
    model = varied_gpt(BLOCK, V, position="rope", ngrams=(2, 4))
    idx, cache, kernel = ids(2, BLOCK), model.new_cache(2), kernel_of(model)
    expected = model(idx)
    for t, step in enumerate([kernel, model, model, kernel, kernel, model] * 2):
        scores = step(idx[:, t : t + 1], cache)
        assert_near(scores if step is kernel else scores[:, -1], expected[:, t])


@torch.no_grad()
def test_padding_is_nothing() -> None:
    for form in (dict(position="rope"), dict(), dict(ngrams=(2, 3))):
        model = varied_gpt(BLOCK, V, **form)
        padding, idx = [0, 2, 5], ids(3, BLOCK)
        cache, kernel = model.new_padded_cache(torch.tensor(padding)), kernel_of(model)
        model(idx[:, :6], cache)
        for t in range(6, BLOCK):
            scores = kernel(idx[:, t : t + 1], cache)
            for row, empty in enumerate(padding):
                assert_near(scores[row], model(idx[row : row + 1, empty : t + 1])[0, -1])


@torch.no_grad()
def test_a_padded_cache_may_begin_with_it() -> None:
    model = varied_gpt(BLOCK, V, position="rope")
    cache, kernel, idx = model.new_padded_cache(torch.tensor([2, 0])), kernel_of(model), ids(2, 6)
    found = torch.stack([kernel(idx[:, t : t + 1], cache) for t in range(6)], dim=1)
    assert found.isfinite().all()  # what padding says of itself is looked at by nobody
    assert_near(found[0, 2:], model(idx[:1, 2:])[0])
    assert_near(found[1], model(idx[1:])[0])


@torch.no_grad()
def test_the_number_of_threads_changes_no_bit() -> None:
    model = varied_gpt(64, 97, n_layer=2, n_head=4, n_embd=192)
    idx, found = ids(9, 64, 97), []
    for threads in (1, 2, 3, 8):
        torch.set_num_threads(threads)
        kernel, cache = kernel_of(model), model.new_cache(9)
        found.append(torch.stack([kernel(idx[:, t : t + 1], cache) for t in range(64)]))
    assert all(torch.equal(found[0], other) for other in found[1:])


@torch.no_grad()
def test_large_and_broken_numbers() -> None:
    model = varied_gpt(BLOCK, V, mlp="relu2")
    kernel, idx = kernel_of(model), ids(2, 1)
    model.blocks[0].mlp.up.weight[3, 4] = torch.nan
    assert kernel(idx, model.new_cache(2)).isnan().all()
    model.blocks[0].mlp.up.weight.normal_(std=1e30)
    assert not kernel(idx, model.new_cache(2)).isfinite().any()
    for mlp in CHOICES["mlp"]:  # saturated: no overflow on the way to a finite number
        model = varied_gpt(BLOCK, V, mlp=mlp)
        model.blocks[0].mlp.up.weight.mul_(1e3)
        hold(model, 2, 1)


@torch.no_grad()
def test_tables_of_rope_are_the_models_own() -> None:
    """Somebody stretches positions, or takes another base: what stands in the model counts."""
    model = varied_gpt(BLOCK, V, position="rope")
    model.rotary_cos.mul_(0.9)
    model.rotary_sin.add_(0.1)
    hold(model, 2, 3)


@torch.no_grad()
def test_queries_near_zero_are_normalized_alike() -> None:
    """There the little that keeps a norm from dividing by zero shows."""
    model = varied_gpt(BLOCK, V, qk_norm=True)
    for block in model.blocks:
        block.attn.qkv.weight.mul_(3e-4)
    hold(model, 2, 3)


# Where it is used -----------------------------------------------------------------------------------------


def used(model: nn.Module, monkeypatch: pytest.MonkeyPatch, **how) -> int:
    """How often the kernel is called while 8 tokens are written."""
    calls = []
    call = DecodingKernel.__call__
    with monkeypatch.context() as patch:
        patch.setattr(DecodingKernel, "__call__", lambda *args: calls.append(1) or call(*args))
        generate(model, [[1, 2]], 8, temperature=0, **how)
    return len(calls)


def test_the_sampler_decodes_with_it(monkeypatch) -> None:
    model = varied_gpt(BLOCK, V)
    assert used(model, monkeypatch) == 7  # the prompt is read by torch
    assert used(model, monkeypatch, use_cache=False) == 0
    monkeypatch.setattr(decoding, "WORTH_IT", 10**6)
    assert used(model, monkeypatch) == 0


@pytest.mark.parametrize("form", [{}, dict(position="rope", mlp="swiglu", ngrams=(2, 3))], ids=["gpt2", "newer"])
@pytest.mark.parametrize("prompts", [[[3]], [[1, 2, 3], [4, 5, 6]], [[1], [2, 3, 4, 5], [6, 7]]], ids=len)
def test_the_same_is_written(form: dict, prompts: list, monkeypatch) -> None:
    model = varied_gpt(BLOCK, V, **form)
    for how in (dict(temperature=0), dict(seed=3), dict(seed=4, top_k=5, stop=2), dict(seed=5, use_cache=False)):
        monkeypatch.delenv(decoding.SWITCH, raising=False)
        with_it = generate(model, prompts, 2 * BLOCK, **how)  # past the context too
        monkeypatch.setenv(decoding.SWITCH, "off")
        assert torch.equal(with_it, generate(model, prompts, 2 * BLOCK, **how)), how


def test_torchs_own_generator_is_left_alone() -> None:
    """Also where a new model is made to compare with, of a size that was not seen yet."""
    model = varied_gpt(BLOCK + 5, V, n_layer=3)
    torch.manual_seed(7)
    kernel_of(model)
    generate(model, [[1, 2]], 5, seed=3)
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3))


def test_scores_that_are_not_finite_are_refused() -> None:
    model = varied_gpt(BLOCK, V)
    with torch.no_grad():
        model.blocks[1].norm2.weight[0] = torch.inf
    with pytest.raises(CourseError, match=r"scores \(logits\) should be finite"):
        generate(model, [[1]], 3)


def test_weights_that_change_in_their_place_are_seen() -> None:
    def write(switch: str) -> list[int]:
        os.environ[decoding.SWITCH] = switch
        model = varied_gpt(BLOCK, V)
        tokens = stream(model, [[1]], 10, temperature=0)
        begun = [int(next(tokens)) for _ in range(4)]
        with torch.no_grad():
            model.head.weight.copy_(model.head.weight.flip(0))
        return begun + [int(token) for token in tokens]

    assert write("on") == write("off")


CHANGES = {
    "another type": lambda model: model.to(torch.float64),
    "a weight elsewhere": lambda model: setattr(model.head.weight, "data", model.head.weight.data.clone()),
    "a bias elsewhere": lambda model: setattr(model.norm.bias, "data", model.norm.bias.data.clone()),
    "another weight": lambda model: setattr(model.head, "weight", nn.Parameter(model.head.weight.detach().clone())),
    "shared memory": lambda model: model.share_memory(),
    "turned": lambda model: setattr(model.blocks[0].attn.proj.weight, "data", model.blocks[0].attn.proj.weight.data.T),
    "loaded in its place": lambda model: model.load_state_dict(
        {name: tensor.clone() for name, tensor in model.state_dict().items()}, assign=True
    ),
    "another part": lambda model: setattr(model.blocks[1], "mlp", copy.deepcopy(model.blocks[1].mlp)),
    "a table elsewhere": lambda model: setattr(model, "rotary_sin", model.rotary_sin.clone()),
    "a hook": lambda model: model.blocks[0].register_forward_hook(lambda module, args, out: out),
    "a forward of its own": lambda model: setattr(model.head, "forward", type(model.head).forward.__get__(model.head)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_model_that_is_changed_between_two_tokens_goes_on_without(change, monkeypatch) -> None:
    model = varied_gpt(BLOCK, V, bias=True, position="rope")
    expected = generate(model, [[1, 2]], 8, temperature=0)[0, 2:].tolist()
    kernel = kernel_of(model)
    assert kernel.still_fits()
    tokens = stream(model, [[1, 2]], 8, temperature=0)
    found = [int(next(tokens)) for _ in range(3)]
    change(model)
    assert not kernel.still_fits()
    if model.head.weight.dtype == torch.float32 and change is not CHANGES["turned"]:
        assert found + [int(token) for token in tokens] == expected


def test_the_sizes_at_which_it_is_worth_it(monkeypatch) -> None:
    monkeypatch.undo()
    monkeypatch.delenv(decoding.SWITCH, raising=False)
    large, small = (load_recipe(name).all_settings() for name in ("shakespeare_char", "tinytales_cpu"))
    for settings, expected in ((large, True), (small, False)):
        shape = {name: settings[name] for name in ("n_layer", "n_head", "n_embd", "block_size")}
        assert (find_kernel(GPT(GPTConfig(vocab_size=65, **shape))) is not None) == expected


def test_memory_that_is_out_is_told(monkeypatch) -> None:
    model = varied_gpt(BLOCK, V)
    kernel = kernel_of(model)
    step = kernel._library.decoder_step
    many = ctypes.c_int64(2**55)  # streams: no machine has so much
    kernel._library = SimpleNamespace(decoder_step=lambda decoder, x, B, *rest: step(decoder, x, many, *rest))
    with pytest.raises(CourseError, match="ask for fewer streams at once"):
        kernel(ids(3, 1), model.new_cache(3))


class Other(GPT):
    """A model that may compute anything."""


class Added(nn.Linear):
    """A layer as adapters put it in."""


class Sharp(torch.Tensor):
    """Numbers that are kept in another way."""


def swapped(model: GPT) -> None:
    first, second = model.blocks
    model.blocks[0], model.blocks[1] = second, first


def narrower(model: GPT) -> None:
    model.blocks[1].mlp.up = Linear(24, 48, bias=False)
    model.blocks[1].mlp.down = Linear(48, 24, bias=False)


REFUSED = {
    "one block less": lambda model: setattr(model, "blocks", model.blocks[:1]),
    "blocks in another order": swapped,
    "a narrower MLP": narrower,
    "another norm": lambda model: setattr(model, "norm", RMSNorm(24)),
    "torch's norm": lambda model: setattr(model.blocks[0], "norm1", nn.LayerNorm(24, eps=10, bias=False)),
    "no norm": lambda model: setattr(model.blocks[0], "norm1", nn.Identity()),
    "another bend": lambda model: setattr(model.blocks[0].mlp, "kind", "relu2"),
    "QK-norm in one block": lambda model: setattr(model.blocks[0].attn, "qk_norm", True),
    "one bias": lambda model: setattr(model.head, "bias", nn.Parameter(torch.zeros(V))),
    "a tensor of another kind": lambda model: model.head.register_parameter(
        "weight", nn.Parameter(torch.Tensor._make_subclass(Sharp, model.head.weight.data))
    ),
    "a subclass": lambda model: Other(model.config),
    "a part from elsewhere": lambda model: setattr(model.blocks[1].mlp, "up", Added(24, 96, bias=False)),
    "a hook": lambda model: model.blocks[0].register_forward_hook(lambda module, args, out: out),
    "a hook before": lambda model: model.head.register_forward_pre_hook(lambda module, args: None),
    "float64": lambda model: model.double(),
    "bfloat16": lambda model: model.bfloat16(),
    "half of it": lambda model: model.blocks[0].half(),
    "without memory": lambda model: model.to("meta"),
    "turned": lambda model: setattr(model.head.weight, "data", model.head.weight.data.T.contiguous().T),
    "off": lambda model: os.environ.update({decoding.SWITCH: "off"}),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_what_it_leaves_to_torch(change, monkeypatch) -> None:
    monkeypatch.setenv(decoding.SWITCH, "on")
    model = varied_gpt(BLOCK, V)
    kernel_of(model)
    changed = change(model)
    assert find_kernel(changed if isinstance(changed, Other) else model) is None


def test_hooks_on_all_modules_end_it() -> None:
    model = varied_gpt(BLOCK, V)
    kernel = kernel_of(model)
    hook = nn.modules.module.register_module_forward_hook(lambda module, args, out: None)
    try:
        assert not kernel.still_fits()
        assert find_kernel(model) is None
    finally:
        hook.remove()
    assert kernel.still_fits()


def test_what_training_leaves_behind_is_no_change() -> None:
    model = varied_gpt(BLOCK, V, ngrams=(2,), dropout=0.2)
    model.train()
    mark_tables(model, sparse=True)
    model.dropout.p = 0.5  # the lab's slider
    kernel_of(model)


@torch.no_grad()
def test_what_cpp_would_read_past_is_refused() -> None:
    model = varied_gpt(BLOCK, V)
    kernel, other = kernel_of(model), varied_gpt(BLOCK, V, n_layer=1)
    own, of_another = model.new_cache(2), other.new_cache(2)
    for idx, cache in ((ids(3, 1), own), (ids(2, 3), own), (ids(2, 1), of_another)):
        with pytest.raises(CourseError, match="expects one token for each stream of a cache of this model"):
            kernel(idx, cache)
    halves = model.new_cache(2)
    halves.keys = halves.keys.half()
    with pytest.raises(CourseError, match="expects a cache of 32-bit floats"):
        kernel(ids(2, 1), halves)


@torch.no_grad()
def test_padding_in_any_form_is_padding() -> None:
    model, idx = varied_gpt(BLOCK, V), ids(3, 6)
    kernel, found = kernel_of(model), []
    every_second = torch.tensor([0, 9, 2, 9, 5, 9])[::2]
    for padding in (torch.tensor([0, 2, 5]), torch.tensor([0, 2, 5], dtype=torch.int32), every_second):
        cache = model.new_padded_cache(padding)
        found.append(torch.stack([kernel(idx[:, t : t + 1], cache) for t in range(6)]))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_not_under_autocast(monkeypatch) -> None:
    model = varied_gpt(BLOCK, V)
    kernel = kernel_of(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert not kernel.still_fits()
        assert find_kernel(model) is None
        assert used(model, monkeypatch) == 0


def test_a_look_at_attention_does_not_end_it(monkeypatch) -> None:
    """Its hooks are gone when it is done."""
    model = varied_gpt(BLOCK, V)
    attention_weights(model, ids(1, 4))
    assert used(model, monkeypatch) == 7


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted where Linux shows them")
def test_its_threads_end_with_it() -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    model = varied_gpt(64, 97, n_layer=2, n_head=4, n_embd=192)
    generate(model, [[1]], 2)  # torch's own threads are there
    before = threads()
    torch.set_num_threads(4)
    tokens = stream(model, [[1]], 20)
    next(tokens), next(tokens)
    assert threads() == before + 3
    del tokens
    gc.collect()
    assert threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_goes_on_without_it() -> None:
    model = varied_gpt(64, 97, n_layer=2, n_head=4, n_embd=192)
    torch.set_num_threads(2)
    expected = generate(model, [[1]], 20, temperature=0)[0, 1:].tolist()
    kernel = kernel_of(model)
    torch.set_num_threads(1)  # torch's own threads do not survive a fork
    tokens = stream(model, [[1]], 20, temperature=0)
    begun = [int(next(tokens)) for _ in range(5)]
    child = os.fork()
    if child == 0:
        same = not kernel.still_fits() and begun + [int(token) for token in tokens] == expected
        del tokens
        gc.collect()
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert begun + [int(token) for token in tokens] == expected
