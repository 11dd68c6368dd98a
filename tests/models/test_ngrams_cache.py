"""N-grams in all kinds of cache, and in what is generated with and without one."""

import itertools

import pytest
import torch
from varied import varied_gpt

from course_lib.models import GPT
from course_lib.sampling import generate

V, BLOCK = 23, 12
FORMS = {
    "pairs": dict(ngrams=(2,)),
    "many share a row": dict(ngrams=(2, 3, 5), ngram_rows=7, position="rope"),
    "longer than the context": dict(ngrams=(3, 32), ngram_rows=1000),
}

pytestmark = pytest.mark.usefixtures("one_thread")


def build(**changes) -> GPT:
    return varied_gpt(BLOCK, V, **changes)


def ids(B: int, T: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * max(1.0, expected.abs().max().item()))


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def model(request) -> GPT:
    return build(**request.param)


def every_cut(T: int) -> list[list[int]]:
    """All ways to cut T tokens into chunks, 2^(T - 1) of them."""
    return [
        [end - begin for begin, end in itertools.pairwise([0, *cuts, T])]
        for n in range(T)
        for cuts in itertools.combinations(range(1, T), n)
    ]


# Scores ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_in_whatever_chunks_it_is_the_whole_pass(model: GPT) -> None:
    idx = ids(2, 7)
    expected = model(idx)
    ways = every_cut(7)
    assert len(ways) == 64
    for chunks in ways:
        cache = model.new_cache(2)
        assert_near(torch.cat([model(part, cache) for part in idx.split(chunks, dim=1)], dim=1), expected)
        assert cache.length == 7


@torch.no_grad()
def test_rows_of_unequal_length_are_each_as_alone(model: GPT) -> None:
    """Whatever stands in the padding; and a row that is all padding at first."""
    idx, padding = ids(4, 8), torch.tensor([0, 1, 3, 6])
    for chunks in ([8], [1] * 8, [2, 1, 4, 1], [7, 1], [5, 3]):
        for filled in (0, 5):
            given = idx.masked_fill(torch.arange(8) < padding[:, None], filled)
            cache = model.new_padded_cache(padding)
            found = torch.cat([model(part, cache) for part in given.split(chunks, dim=1)], dim=1)
            for row, n in enumerate(padding.tolist()):
                assert_near(found[row, n:], model(idx[row : row + 1, n:])[0])


@torch.inference_mode()
def test_the_static_cache_goes_on_from_anywhere(model: GPT) -> None:
    """Also back, to write something else there; what an earlier text has left behind is not looked at."""
    idx, other = ids(3, BLOCK), ids(3, BLOCK, seed=1)
    for prompt in (1, 2, 5, BLOCK - 1):
        cache = model.new_cache(3)
        cache.tokens[:, cache.reach :] = 9  # another text's
        model(idx[:, :prompt], cache)
        static = cache.static()
        for place in range(prompt, BLOCK):
            assert_near(model(idx[:, place : place + 1], static), model(idx[:, : place + 1])[:, -1:])
        static.move_to(prompt)
        both = torch.cat([idx[:, :prompt], other[:, prompt:]], dim=1)
        for place in range(prompt, BLOCK):
            assert_near(model(both[:, place : place + 1], static), model(both[:, : place + 1])[:, -1:])


@torch.no_grad()
def test_two_caches_do_not_disturb_each_other(model: GPT) -> None:
    one, two = ids(1, 8), ids(1, 8, seed=1)
    caches = [model.new_cache(1), model.new_cache(1)]
    for t in range(8):
        last = [model(idx[:, t : t + 1], cache) for idx, cache in zip((one, two), caches, strict=True)]
    for idx, logits in zip((one, two), last, strict=True):
        assert_near(logits[:, -1], model(idx)[:, -1])


def test_a_model_without_ngrams_remembers_no_more_than_its_tokens() -> None:
    cache = build().new_cache(2)
    assert cache.reach == 0
    assert cache.tokens.shape == (2, BLOCK)


# Texts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_prompt", [1, 4, BLOCK - 1, BLOCK, BLOCK + 5])
def test_the_cache_changes_no_token(model: GPT, n_prompt: int) -> None:
    """Within block_size and past it: where the window slides, its first token has nothing before it."""
    for how in (dict(temperature=0), dict(temperature=1.0, seed=4)):
        found = generate(model, ids(2, n_prompt), 20, **how)
        assert torch.equal(found, generate(model, ids(2, n_prompt), 20, use_cache=False, **how))
        assert len(set(found[:, n_prompt:].flatten().tolist())) > 4


@torch.no_grad()
def test_each_token_is_the_likeliest_of_its_window(model: GPT) -> None:
    found = generate(model, ids(2, 5), 20, temperature=0)
    for end in range(5, 25):
        logits = model(found[:, max(0, end - BLOCK) : end])[:, -1]
        chosen = logits.gather(1, found[:, end : end + 1])[:, 0]
        assert (logits.amax(dim=-1) - chosen <= 1e-5 * max(1.0, logits.abs().max().item())).all(), end


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("prompts", [[[7], [3, 3, 9, 1, 4], [5, 0]], [list(range(BLOCK)), [2, 2]]], ids=len)
def test_each_of_unequal_prompts_goes_on_as_it_would_alone(model: GPT, use_cache: bool, prompts: list) -> None:
    for stop in (None, 5):
        found = generate(model, prompts, BLOCK + 4, temperature=0, use_cache=use_cache, stop=stop).tolist()
        for row, prompt in zip(found, prompts, strict=True):
            alone = generate(model, prompt, BLOCK + 4, temperature=0, stop=stop)[0].tolist()
            own = row[max(map(len, prompts)) - len(prompt) :]
            assert own[: len(alone)] == alone
            assert all(token == stop for token in own[len(alone) :])
