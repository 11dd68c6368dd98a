"""nanoGPT's ckpt.pt: its weights become ours, and compute what its own formula says; what carries code is not run."""

import os
import re
import sys

import pytest
import torch
from torch.nn import functional as F

from course_lib.errors import CourseError
from course_lib.interop import load_nanogpt
from course_lib.interop.nanogpt import is_padded, without_padding

pytestmark = pytest.mark.usefixtures("one_thread")
ARGS = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 16, "bias": True, "vocab_size": 11, "dropout": 0.1}


def weights_for(args: dict, seed: int = 0) -> dict[str, torch.Tensor]:
    """Under the names and in the shapes of nanoGPT's model.py."""
    generator = torch.Generator().manual_seed(seed)
    C, V = args["n_embd"], args["vocab_size"]
    matrices = {"transformer.wte": (V, C), "transformer.wpe": (args["block_size"], C)}
    vectors = {"transformer.ln_f": C}
    for i in range(args["n_layer"]):
        at = f"transformer.h.{i}."
        matrices |= {at + "attn.c_attn": (3 * C, C), at + "attn.c_proj": (C, C)}
        matrices |= {at + "mlp.c_fc": (4 * C, C), at + "mlp.c_proj": (C, 4 * C)}
        vectors |= {at + "ln_1": C, at + "ln_2": C}
    found = {f"{name}.weight": torch.randn(shape, generator=generator) * 0.3 for name, shape in matrices.items()}
    found |= {f"{name}.weight": torch.randn(n, generator=generator) for name, n in vectors.items()}
    if args["bias"]:
        rows = {name: shape[0] for name, shape in matrices.items() if ".h." in name} | vectors
        found |= {f"{name}.bias": torch.randn(n, generator=generator) for name, n in rows.items()}
    found["lm_head.weight"] = found["transformer.wte.weight"]
    return found


def by_formula(w: dict[str, torch.Tensor], args: dict, idx: torch.Tensor) -> torch.Tensor:
    """Logits (B, T, V) as model.py has them, written once more with softmax and a mask, in float64."""
    w = {name: tensor.double() for name, tensor in w.items()}
    T, C, H = idx.shape[1], args["n_embd"], args["n_head"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return x * w[f"{name}.weight"] + w.get(f"{name}.bias", 0)

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)

    x = w["transformer.wte.weight"][idx] + w["transformer.wpe.weight"][:T]
    future = torch.ones(T, T).triu(1).bool()
    for i in range(args["n_layer"]):
        at = f"transformer.h.{i}."
        q, k, v = linear(norm(x, at + "ln_1"), at + "attn.c_attn").split(C, dim=-1)
        q, k, v = (t.unflatten(-1, (H, C // H)).transpose(1, 2) for t in (q, k, v))
        shares = (q @ k.mT / (C // H) ** 0.5).masked_fill(future, -torch.inf).softmax(-1)
        x = x + linear((shares @ v).transpose(1, 2).flatten(2), at + "attn.c_proj")
        h = linear(norm(x, at + "ln_2"), at + "mlp.c_fc")
        x = x + linear(h * 0.5 * (1 + torch.erf(h / 2**0.5)), at + "mlp.c_proj")
    return norm(x, "transformer.ln_f") @ w["lm_head.weight"].T


def checkpoint(args: dict, weights: dict[str, torch.Tensor], **more: object) -> dict:
    config = {"dataset": "shakespeare_char", "learning_rate": 1e-3}
    parts = {"model": weights, "optimizer": {}, "model_args": args, "iter_num": 20, "config": config}
    return parts | {"best_val_loss": torch.tensor(1.5)} | more


@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
@pytest.mark.parametrize("changes", [{}, {"bias": False}, {"n_head": 1, "n_layer": 1}, {"block_size": 5, "n_layer": 3}])
def test_its_logits_are_those_of_nanogpts_formula(tmp_path, prefix, changes):
    args = ARGS | changes
    weights = weights_for(args)
    torch.save(checkpoint(args, {prefix + name: t for name, t in weights.items()}), tmp_path / "ckpt.pt")
    state = torch.get_rng_state()
    found = load_nanogpt(tmp_path / "ckpt.pt")
    assert torch.equal(torch.get_rng_state(), state)
    assert (found.step, found.best_val_loss, found.settings["dataset"]) == (20, 1.5, "shakespeare_char")
    assert not found.model.training
    assert {name: getattr(found.model.config, name) for name in args} == args
    idx = torch.randint(11, (3, args["block_size"]), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(found.model(idx).double(), by_formula(weights, args, idx), rtol=1e-4, atol=1e-4)
    assert load_nanogpt(tmp_path).model.config == found.model.config, "the folder will do"


def test_what_older_files_lack_or_have_besides(tmp_path):
    weights = weights_for(ARGS)
    args = {name: value for name, value in ARGS.items() if name not in ("bias", "dropout")}
    masks = {f"transformer.h.{i}.attn.bias": torch.ones(1, 1, 16, 16).tril() for i in range(2)}
    file = checkpoint(args, {n: t.bfloat16() for n, t in weights.items() if n != "lm_head.weight"} | masks)
    torch.save({name: file[name] for name in ("model", "model_args")}, tmp_path / "ckpt.pt")
    found = load_nanogpt(str(tmp_path / "ckpt.pt"))
    assert (found.step, found.best_val_loss, found.settings) == (0, None, {})
    assert (found.model.config.bias, found.model.config.dropout, found.model.config.tie_weights) == (True, 0.0, True)
    assert {p.dtype for p in found.model.parameters()} == {torch.float32}


def test_a_head_of_its_own_stays_its_own(tmp_path):
    weights = weights_for(ARGS) | {"lm_head.weight": torch.randn(11, 32)}
    torch.save(checkpoint(ARGS, weights), tmp_path / "ckpt.pt")
    idx = torch.arange(11)[None]
    with torch.no_grad():
        logits = load_nanogpt(tmp_path).model(idx)
    torch.testing.assert_close(logits.double(), by_formula(weights, ARGS, idx), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "it is no dict with model and model_args"),
        ({"model": {}}, "it is no dict with model and model_args"),
        (checkpoint(ARGS, {"a": 1}), "not everything in its model is a tensor"),
        (checkpoint({}, weights_for(ARGS)), "'block_size' is missing"),
        (checkpoint(ARGS, {"a": torch.zeros(1)}), "'transformer.wte.weight' is missing"),
        (checkpoint(ARGS | {"vocab_size": 10**12}, weights_for(ARGS)), "say vocab_size 1000000000000, and its weights"),
        (checkpoint(ARGS | {"n_layer": 10**9}, weights_for(ARGS)), "say n_layer 1000000000, and its weights 2"),
        (checkpoint(ARGS | {"n_head": 5}, weights_for(ARGS)), "32 is no multiple of 5"),
        (checkpoint(ARGS | {"n_head": "4"}, weights_for(ARGS)), "n_head should be a whole number"),
        (checkpoint(ARGS | {"bias": False}, weights_for(ARGS)), "bias"),
        (checkpoint(ARGS, weights_for(ARGS) | {"extra": torch.zeros(1)}), "extra"),
    ],
)
def test_another_file_is_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "ckpt.pt")
    with pytest.raises(CourseError) as refused:
        load_nanogpt(tmp_path / "ckpt.pt")
    assert words in str(refused.value)


@pytest.mark.parametrize("name", [name for name in weights_for(ARGS) if name != "lm_head.weight"])
def test_a_file_that_lacks_any_weight_is_refused(tmp_path, name):
    weights = weights_for(ARGS)
    del weights[name]
    torch.save(checkpoint(ARGS, weights), tmp_path / "ckpt.pt")
    with pytest.raises(CourseError, match=r"should be a ckpt\.pt of nanoGPT"):
        load_nanogpt(tmp_path / "ckpt.pt")


class Planted:
    def __reduce__(self):
        return os.mkdir, (os.path.join(sys.path[0], "planted"),)


def test_a_file_that_runs_something_is_not_run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    for place, content in {
        "in the config": checkpoint(ARGS, weights_for(ARGS), config={"dataset": Planted()}),
        "in the weights": checkpoint(ARGS, {"transformer.wte.weight": Planted()}),
        "alone": Planted(),
    }.items():
        torch.save(content, tmp_path / "ckpt.pt")
        asked = rf"it asks for {os.mkdir.__module__}\.mkdir, which is a part of a program\."
        remedy = r"Nothing that it may hold was run\. .*save its tensors, numbers and texts alone"
        with pytest.raises(CourseError, match=f"{asked} {remedy}"):
            load_nanogpt(tmp_path / "ckpt.pt")
        assert not (tmp_path / "planted").exists(), place
    for name, content in (("text", b"not weights"), ("hello", b"hello"), ("empty", b""), ("missing", None)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(CourseError, match=r"it cannot be read: [^0-9].*\. Nothing .* name another"):
            load_nanogpt(tmp_path / name)


def test_rows_that_only_pad_gpt2s_vocabulary_can_be_left_out(tmp_path):
    args = ARGS | {"vocab_size": 50_304, "n_embd": 8, "n_layer": 1}
    torch.save(checkpoint(args, weights_for(args)), tmp_path / "ckpt.pt")
    model = load_nanogpt(tmp_path).model
    smaller = without_padding(model, 50_257)
    idx = torch.randint(50_257, (2, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert smaller(idx).shape == (2, 16, 50_257)
        torch.testing.assert_close(smaller(idx), model(idx)[..., :50_257])
        losses = [F.cross_entropy(m(idx).flatten(0, 1), idx.flatten()) for m in (smaller, model)]
    assert losses[0] < losses[1], "the share of no token goes to the others"
    assert without_padding(model, 50_304) is model
    for vocab_size in (50_305, 50_300, 65):
        with pytest.raises(CourseError, match=f"a vocabulary of 50304, its tokenizer one of {vocab_size}"):
            without_padding(model, vocab_size)


@pytest.mark.parametrize(
    ("rows", "vocab_size", "padded"),
    [(50_304, 50_257, True), (50_257, 50_257, True), (50_258, 50_257, False), (65, 64, False), (17, 2, False)]
    + [(128, 65, False), (256, 130, False), (64, 65, False), (50_432, 50_257, False)],
)
def test_what_counts_as_padding(rows, vocab_size, padded):
    """nanoGPT pads GPT-2's vocabulary alone: another one of another size belongs to another text."""
    assert is_padded(rows, vocab_size) is padded


WPE, WTE = "transformer.wpe.weight", "transformer.wte.weight"
NO_WEIGHTS = {
    "a single number": (WPE, lambda t: torch.tensor(1.0), "should be a vector or a matrix; it is a single number"),
    "stretched": (WPE, lambda t: torch.zeros(1).expand(10**9, 32), "32,000,000,000 numbers by its shape .* has 1$"),
    "sparse": (WTE, lambda t: t.to_sparse(), "should be a dense tensor; it is sparse_coo"),
    "sparse rows": (WTE, lambda t: t.to_sparse_csr(), "should be a dense tensor; it is sparse_csr"),
    "without numbers": (WTE, lambda t: t.to("meta"), "should come with its numbers; it is on the device meta"),
    "complex": (WTE, lambda t: t.to(torch.complex64), "float32, bfloat16, float16, float64; it has complex64"),
    "whole": (WTE, lambda t: t.to(torch.int64), "it has int64"),
    "truth values": (WTE, lambda t: t.bool(), "it has bool"),
    "eight bits": (WTE, lambda t: t.to(torch.float8_e4m3fn), "it has float8_e4m3fn"),
}


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_tensors_that_are_no_weights_are_refused_before_they_take_memory(tmp_path, kind):
    name, change, words = NO_WEIGHTS[kind]
    weights = weights_for(ARGS)
    args = ARGS | ({"block_size": 10**9} if kind == "stretched" else {})
    torch.save(checkpoint(args, weights | {name: change(weights[name])}), tmp_path / "ckpt.pt")
    with pytest.raises(CourseError) as refused:
        load_nanogpt(tmp_path)
    assert re.search(words, str(refused.value).rstrip(".")), refused.value
    assert name in str(refused.value)
