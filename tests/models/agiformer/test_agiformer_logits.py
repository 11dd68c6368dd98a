"""What AGIFORMER computes, against slow references, torch's GRU and the original program.

COURSE_PEER_AGIFORMER names a folder with the original (github.com/inkbytefo/agi-former at commit f82263e).
"""

import importlib
import os
import sys
from pathlib import Path

import pytest
import torch
from slow_agiformer import FORMS, build, masked_window_attention, naive_linear_attention, slow_logits, text

from course_lib.losses import cross_entropy
from course_lib.models import AGIFormer, AGIFormerConfig
from course_lib.models.agiformer import parts
from course_lib.models.agiformer.inspecting import movement
from course_lib.models.agiformer.linear_attention import features, linear_attention
from course_lib.models.agiformer.window_attention import window_attention

LENGTHS = [1, 3, 4, 24, 41]


@pytest.mark.parametrize("T", LENGTHS)
@pytest.mark.parametrize("form", FORMS)
def test_the_logits_are_those_of_the_slow_form(form, T):
    model, idx = build(form), text(2, T)
    with torch.no_grad():
        torch.testing.assert_close(model(idx), slow_logits(model, idx), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", ["faithful", "default"])
def test_the_logits_of_the_sizes_in_use_are_those_of_the_slow_form(form, monkeypatch):
    """A real chunk and window, in float32."""
    monkeypatch.setattr("course_lib.models.agiformer.linear_attention.CHUNK", 64)
    model, idx = build(form, torch.float32, window_size=128), text(1, 4 * 300 + 3)
    with torch.no_grad():
        torch.testing.assert_close(model(idx).double(), slow_logits(model, idx), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("N", [1, 2, 4, 5, 6, 9, 10, 11, 31])
@pytest.mark.parametrize("before", [0, 1, 7])
def test_linear_attention_in_chunks_is_the_naive_sum(N, before):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, before + N, 4, dtype=torch.float64).unbind()
    q, k = features(q), features(k)
    # As a model hands them over: heads and places swapped, not contiguous
    q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v))
    sums = linear_attention(q[:, :, :before], k[:, :, :before], v[:, :, :before])[1] if before else None
    out, _ = linear_attention(q[:, :, before:], k[:, :, before:], v[:, :, before:], sums)
    torch.testing.assert_close(out, naive_linear_attention(q, k, v)[:, :, before:])


@pytest.mark.parametrize("window", [1, 2, 7])
@pytest.mark.parametrize("N", [1, 2, 6, 7, 8, 13, 14, 15, 30])
def test_window_attention_in_blocks_is_the_masked_form(N, window):
    torch.manual_seed(0)
    for before in {0, min(1, window - 1), window - 1}:
        q, k, v = torch.randn(3, 2, 3, before + N, 4, dtype=torch.float64).unbind()
        q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q[:, :, before:], k, v))
        expected = masked_window_attention(q, k, v, window)
        torch.testing.assert_close(window_attention(q, k, v, window), expected)


def test_gradients_are_those_of_the_slow_forms():
    torch.manual_seed(0)
    for ours, slow in (
        (lambda q, k, v: linear_attention(features(q), features(k), v)[0],
         lambda q, k, v: naive_linear_attention(features(q), features(k), v)),
        (lambda q, k, v: window_attention(q, k, v, 4), lambda q, k, v: masked_window_attention(q, k, v, 4)),
    ):  # fmt: skip
        given = torch.randn(3, 2, 2, 17, 4, dtype=torch.float64, requires_grad=True)
        toward = torch.randn(2, 2, 17, 4, dtype=torch.float64)
        (mine,) = torch.autograd.grad((ours(*given) * toward).sum(), given)
        (theirs,) = torch.autograd.grad((slow(*given) * toward).sum(), given)
        torch.testing.assert_close(mine, theirs)


def test_the_byte_decoder_is_torchs_gru():
    model = build("default")
    head, P = model.head, model.config.patch_size
    latents, idx = torch.randn(2, 3, 24, dtype=torch.float64), text(2, 3 * P - 1)
    begins = torch.full((2, 3, 1), head.start)
    inputs = torch.cat((begins, torch.nn.functional.pad(idx, (0, 1)).view(2, 3, P)[:, :, :-1]), dim=2)
    context = head.proj_latent(latents)[:, :, None].expand(-1, -1, P, -1)
    states, _ = head.rnn(torch.cat((head.byte_emb(inputs), context), dim=-1).flatten(0, 1))
    torch.testing.assert_close(head(latents, idx), states.reshape(2, 3 * P, -1)[:, 1:])


def test_every_weight_gets_a_gradient_and_recomputing_changes_none():
    idx = text(2, 41)
    gradients = {}
    for recompute in (False, True):
        model = build(recompute=recompute, dropout=0.5).train()
        torch.manual_seed(3)
        cross_entropy(model(idx[:, :-1]), idx[:, 1:]).backward()
        gradients[recompute] = {name: p.grad for name, p in model.named_parameters()}
    assert all(gradient.abs().sum() > 0 for gradient in gradients[True].values())
    torch.testing.assert_close(gradients[True], gradients[False])


@pytest.mark.parametrize("most", [1, 24 * 4 * 7, 24 * 4 * 10])
def test_a_long_text_is_computed_in_parts_and_nothing_differs(most, monkeypatch):
    """Parts of a row, of seven rows, the last one short, and of as many rows as there are."""
    idx, found = text(2, 21), []
    for numbers in (parts.MOST_NUMBERS, most):
        monkeypatch.setattr(parts, "MOST_NUMBERS", numbers)
        model = build()
        logits = model(idx[:, :-1])
        cross_entropy(logits, idx[:, 1:]).backward()
        found.append([logits, *(p.grad for p in model.parameters())])
    torch.testing.assert_close(found[0], found[1])


def test_what_training_keeps_grows_with_the_text_and_no_faster():
    def kept(T):
        model, found = build("default", torch.float32), {}

        def keep(tensor):
            found[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model(text(1, T)).sum()
        assert loss.isfinite()
        return sum(tensor.untyped_storage().nbytes() for tensor in found.values())

    short, middle, long = kept(512), kept(1024), kept(2048)
    assert long - middle <= 1.05 * 2 * (middle - short)


@pytest.mark.parametrize("form", ["faithful", "default", "adaptive"])
def test_bf16_stays_near_and_sums_in_fp32(form, monkeypatch):
    from course_lib.models.agiformer import linear_attention as module

    model, idx = build(form, torch.float32), text(2, 50)
    kinds, real = set(), module.linear_attention

    def spy(q, k, v, sums=None):
        kinds.update((q.dtype, k.dtype, v.dtype))
        out = real(q, k, v, sums)
        kinds.update(x.dtype for x in out)
        return out

    monkeypatch.setattr(module, "linear_attention", spy)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(idx)
        cross_entropy(logits[:, :-1], idx[:, 1:]).backward()
    assert kinds == {torch.float32}
    assert logits.dtype == torch.bfloat16
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    plain = model(idx)
    assert (logits.float() - plain).abs().mean() < 0.1 * plain.abs().mean()


# The original ------------------------------------------------------------------------------------------------


@pytest.fixture
def original():
    """The original's model class."""
    folder = os.environ.get("COURSE_PEER_AGIFORMER")
    if folder is None or not (Path(folder) / "src/models/agiformer.py").is_file():
        pytest.skip("COURSE_PEER_AGIFORMER names no folder with the original AGIFORMER's src/models/agiformer.py")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("src.models.agiformer").AGIFORMER
    finally:
        sys.path.remove(folder)
        for name in [name for name in sys.modules if name == "src" or name.startswith("src.")]:
            del sys.modules[name]


@pytest.mark.parametrize("T", [8, 64, 516, 1600])
def test_the_originals_own_model_gives_the_same_logits_and_gradients(original, T):
    torch.manual_seed(2)
    theirs = original(d_model=64, n_layers=3, num_heads=4, dropout=0.0)
    ours = AGIFormer(AGIFormerConfig.faithful(n_embd=64, n_layer=3, n_head=4, dropout=0.0))
    ours.load_state_dict(theirs.state_dict())  # strictly: every name, no other
    idx = text(2, T)
    expected = theirs(idx[:, :-4], target_bytes=idx[:, 4:]).flatten(1, 2)  # of bytes 4 to T - 1
    found = ours(idx)[:, 3:-1]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    for logits in (expected, found):
        cross_entropy(logits, idx[:, 4:]).backward()
    for (name, mine), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=1e-4, msg=name)


def test_the_original_has_as_many_weights(original):
    for preset, sizes in (("small", (256, 4)), ("medium", (512, 6)), ("large", (768, 8))):
        with torch.device("meta"):
            theirs = original(d_model=sizes[0], n_layers=sizes[1])
            shape = getattr(AGIFormerConfig, preset)(position="patch", own_start=False)
            assert AGIFormer(shape).num_parameters() == sum(p.numel() for p in theirs.parameters())


def test_the_originals_thinking_moves_as_far(original):
    """Measured where its own tool does: between what goes into its thinking and what comes out."""
    torch.manual_seed(2)
    theirs = original(d_model=64, n_layers=2, num_heads=4, dropout=0.0).eval()
    ours = AGIFormer(AGIFormerConfig.faithful(n_embd=64, n_layer=2, n_head=4)).eval()
    ours.load_state_dict(theirs.state_dict())
    seen = []
    theirs.reasoning.register_forward_hook(lambda part, given, out: seen.append((given[0], out)))
    idx = text(2, 64)
    with torch.no_grad():
        theirs(idx, target_bytes=idx)
    (before, after), found = seen[0], movement(ours, idx)
    torch.testing.assert_close(found.total, (after - before).norm(dim=-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.before, before.norm(dim=-1), rtol=1e-4, atol=1e-5)
