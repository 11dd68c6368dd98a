"""The scores after the last token alone, held to the whole pass."""

import pytest
import torch
from torch import nn
from varied import varied_gpt

from course_lib import sampling
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.models.attention import CausalSelfAttention, KVCache
from course_lib.models.gpt import Block
from course_lib.models.partial import LADDER, PartialGPT
from course_lib.sampling import generate

V, BLOCK = 23, 12
FORMS = {
    "gpt2": {},
    "newer": dict(position="rope", norm="rmsnorm", qk_norm=True, mlp="swiglu"),
    "one layer": dict(n_layer=1),
    "n-grams": dict(ngrams=(2, 3)),
    "biases": dict(bias=True, tie_weights=True),
}

pytestmark = pytest.mark.usefixtures("one_thread")


def last_scores(model: nn.Module, idx: torch.Tensor, cache: KVCache | None = None) -> torch.Tensor:
    """As the sampler asks for them."""
    return sampling._last_logits(model, idx, cache)


def ids(B: int, T: int) -> torch.Tensor:
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(T))


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * max(1.0, expected.abs().max().item()))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@torch.no_grad()
def test_it_is_the_whole_passs_last_row(form: dict) -> None:
    model = varied_gpt(BLOCK, V, **form)
    for B, T in ((1, 1), (1, 2), (3, 7), (2, BLOCK)):
        assert_near(last_scores(model, ids(B, T)), model(ids(B, T))[:, -1])


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@torch.no_grad()
def test_with_a_cache_in_every_chunk(form: dict) -> None:
    """What a chunk leaves in the cache serves the next one, whoever reads that."""
    model, idx = varied_gpt(BLOCK, V, **form), ids(2, BLOCK)
    expected = model(idx)
    for first in range(1, BLOCK):
        for second in range(first, BLOCK):
            cache = model.new_cache(2)
            assert_near(last_scores(model, idx[:, :first], cache), expected[:, first - 1])
            if second > first:
                assert_near(last_scores(model, idx[:, first:second], cache), expected[:, second - 1])
            assert cache.length == second
            assert_near(model(idx[:, second:], cache), expected[:, second:])


@torch.no_grad()
def test_padding_is_nothing() -> None:
    for form in (dict(position="rope"), dict(), dict(ngrams=(2, 3))):
        model, idx, padding = varied_gpt(BLOCK, V, **form), ids(3, BLOCK), [0, 2, 5]
        for first in (6, 8):
            cache = model.new_padded_cache(torch.tensor(padding))
            for end, new in ((first, idx[:, :first]), (BLOCK, idx[:, first:])):
                scores = last_scores(model, new, cache)
                for row, empty in enumerate(padding):
                    assert_near(scores[row], model(idx[row : row + 1, empty:end])[0, -1])


class Louder(GPT):
    """A model of somebody's own."""

    def forward(self, idx, cache=None):
        return 2 * super().forward(idx, cache)


@torch.no_grad()
def test_a_model_that_computes_something_else_is_asked() -> None:
    plain = varied_gpt(BLOCK, V)
    louder = Louder(plain.config).eval()
    louder.load_state_dict(plain.state_dict())
    assert_near(last_scores(louder, ids(2, 5)), 2 * last_scores(plain, ids(2, 5)))
    for rung in LADDER:
        partial = PartialGPT(plain.config, rung).eval()
        assert torch.equal(last_scores(partial, ids(2, 5)), partial(ids(2, 5))[:, -1])


class Twice(Block):
    def forward(self, x, rotary, cache):
        return super().forward(super().forward(x, rotary, None), rotary, None)


class Turned(CausalSelfAttention):
    def forward(self, x, rotary, cache):
        return -super().forward(x, rotary, cache)


class Passing(nn.Module):
    def forward(self, x, rotary, cache):
        return x


@pytest.mark.parametrize("part", ["a block", "its attention", "anything", "a split of its own"])
@torch.no_grad()
def test_a_last_block_of_somebodys_own_is_asked(part: str) -> None:
    model, plain = varied_gpt(BLOCK, V), varied_gpt(BLOCK, V)
    last = model.blocks[-1]
    if part == "a block":
        last.__class__ = Twice
    elif part == "its attention":
        last.attn.__class__ = Turned
    elif part == "anything":
        model.blocks[-1] = Passing()
    else:
        last.attn.split = lambda x, rotary: [2 * piece for piece in type(last.attn).split(last.attn, x, rotary)]
    assert_near(last_scores(model, ids(2, 5)), model(ids(2, 5))[:, -1])
    assert not torch.allclose(last_scores(model, ids(2, 5)), last_scores(plain, ids(2, 5)))


@torch.no_grad()
def test_who_looks_on_sees_all_of_it() -> None:
    model, seen = varied_gpt(BLOCK, V), []
    model.blocks[1].register_forward_hook(lambda module, args, out: seen.append(out.shape[1]))
    generate(model, [[1, 2, 3, 4]], 3, use_cache=False)
    assert seen == [4, 5, 6]
    changed = varied_gpt(BLOCK, V)
    changed.blocks[1].forward = lambda x, rotary, cache: x
    assert not torch.allclose(last_scores(changed, ids(1, 4)), last_scores(varied_gpt(BLOCK, V), ids(1, 4)))


def test_a_prompt_that_is_too_long_is_refused() -> None:
    model = varied_gpt(BLOCK, V)
    with pytest.raises(CourseError, match="sees at most block_size = 12 tokens; it got 13"):
        last_scores(model, ids(1, BLOCK + 1))
    cache = model.new_cache(1)
    last_scores(model, ids(1, 7), cache)
    with pytest.raises(CourseError, match="it got 13"):
        last_scores(model, ids(1, 6), cache)
