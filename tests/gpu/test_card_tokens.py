"""A card writes what the CPU writes: greedy tokens, with the cache and without it."""

import pytest
from cards import BLOCK, EVERYWHERE, GPT2, MODERN, assert_same_tokens, exact, lively, numbers

from course_lib.sampling import generate


@pytest.mark.parametrize("form", [GPT2, MODERN], ids=["gpt2", "modern"])
@pytest.mark.parametrize("device", EVERYWHERE, indirect=True)
def test_greedy_tokens_are_the_cpus_with_and_without_the_cache(device: str, form: dict) -> None:
    """Within block_size, and as far again past it, where the window slides."""
    prompts = numbers()[1][: 3 * 5].reshape(3, 5).tolist()
    model = lively(form)
    reference = generate(model, prompts, 2 * BLOCK, temperature=0, use_cache=False).tolist()
    assert len({token for row in reference for token in row}) > 5  # it does not say one thing for ever
    exact()
    model.to(device)
    written = [generate(model, prompts, 2 * BLOCK, temperature=0, use_cache=c).tolist() for c in (False, True)]
    for rows in written:
        for row, expected in zip(rows, reference, strict=True):
            assert_same_tokens(model, row, expected, prompt=5)


@pytest.mark.parametrize("device", EVERYWHERE, indirect=True)
def test_a_seed_draws_the_same_tokens_twice(device: str) -> None:
    """Of one device: CUDA's generator, Apple's and the CPU's are three."""
    model = lively(MODERN).to(device)
    how = dict(temperature=0.8, top_k=10, top_p=0.95)
    one, again, other = (generate(model, [[1, 2]], 40, seed=seed, **how).tolist() for seed in (3, 3, 4))
    assert one == again != other
