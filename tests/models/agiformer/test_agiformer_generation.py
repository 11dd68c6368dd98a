"""Causality by perturbation, and decoding with state against computing everything again."""

import pytest
import torch
from slow_agiformer import FORMS, build, text

from course_lib.models import evaluating
from course_lib.sampling import context_of, generate, stream

T = 29


def forward(model, idx):
    return model(idx)


def one_by_one(model, idx):
    cache = model.new_cache(len(idx))
    return torch.cat([model(idx[:, t : t + 1], cache) for t in range(idx.shape[1])], dim=1)


def in_parts(model, idx):
    """Prefills of changing lengths, with single bytes between."""
    cache, out, start = model.new_cache(len(idx)), [], 0
    for length in (3, 1, 1, 7, 1, 2, 1, 1, 1, 1, 9, 4, idx.shape[1]):
        out.append(model(idx[:, start : start + length], cache))
        start = min(idx.shape[1], start + length)
        assert cache.length == start
        if start == idx.shape[1]:
            break
    return torch.cat(out, dim=1)


WAYS = {"training": forward, "prefill in parts": in_parts, "decode": one_by_one}


@torch.no_grad()
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMS)
def test_no_prediction_knows_what_comes_after_it(form, way):
    """In row t all bytes from t on are others. The scores at places before t are of bytes up to t."""
    model = build(form)
    model.train(way == "training")
    base = text(1, T)
    rows = torch.where(torch.arange(T) >= torch.arange(T)[:, None], text(T, T, seed=5), base)
    logits = WAYS[way](model, torch.cat((base, rows)))
    for t in range(T):
        torch.testing.assert_close(logits[1 + t, :t], logits[0, :t], rtol=1e-9, atol=1e-9)
        assert (logits[1 + t, t] - logits[0, t]).abs().max() > 1e-6 or rows[t, t] == base[0, t]


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
def test_state_gives_what_computing_everything_gives(form):
    model, idx = build(form), text(3, 3 * T)
    whole = model(idx)
    for way in (in_parts, one_by_one):
        torch.testing.assert_close(way(model, idx), whole, rtol=1e-7, atol=1e-7)


@torch.no_grad()
def test_rows_of_a_batch_do_not_meet():
    model, idx = build("default"), text(3, T)
    for way in WAYS.values():
        together = way(model, idx)
        for row in range(3):
            torch.testing.assert_close(way(model, idx[row : row + 1])[0], together[row], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", ["faithful", "default", "adaptive", "patches of 3, a window of 5"])
def test_greedy_text_is_the_same_with_state_and_without(form):
    model = build(form)
    for length in (1, 3, 4, 6, 9):
        prompt = text(2, length, seed=length)
        with_state = generate(model, prompt, 14, temperature=0)
        assert torch.equal(with_state, generate(model, prompt, 14, temperature=0, use_cache=False)), length


def test_it_sees_without_limit():
    """The first patch matters after more bytes than a training window has, and nothing is cropped."""
    model = build("default", block_size=16)
    assert context_of(model) > 2**40
    idx = text(1, 200)
    other = idx.clone()
    other[:, :4] = (other[:, :4] + 7) % 256
    with torch.no_grad():
        last, changed = model(idx)[:, -1], model(other)[:, -1]
        assert (last - changed).abs().max() > 1e-9
    assert torch.equal(
        generate(model, idx, 12, temperature=0), generate(model, idx, 12, temperature=0, use_cache=False)
    )


def test_what_generation_keeps_does_not_grow():
    model = build("default", torch.float32)
    cache, sizes = model.new_cache(1), set()

    def size():
        tensors = [cache.pending, cache.latent, cache.hidden, cache.gates]
        for layer in cache.layers:
            tensors += [layer.sums, layer._keys, layer._values]
        return sum(tensor.untyped_storage().nbytes() for tensor in tensors)

    with torch.inference_mode():
        for t, byte in enumerate(text(1, 400)[0]):
            model(byte.view(1, 1), cache)
            if t >= 48 and t % 4 == 3:
                sizes.add(size())
    assert len(sizes) == 1


def test_training_between_two_bytes_leaves_its_modes_alone():
    model = build("default", dropout=0.5).train()
    model.head.eval()
    tokens = stream(model, text(1, 5), 8, temperature=0)
    first = [int(next(tokens)) for _ in range(3)]
    assert model.training
    assert not model.head.training
    with evaluating(model):
        assert first == generate(model, text(1, 5), 3, temperature=0)[0, 5:].tolist()
