"""A checkpoint that nanoGPT's own script trained: sampled, scored to the loss of its own model, and trained on.

COURSE_PEER_NANOGPT names a folder with the original (github.com/karpathy/nanoGPT). Its train.py runs for seconds in
a copy of that folder, on a text of this test; where COURSE_DATA has Tiny Shakespeare, on that.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.corpora.tinytales import tinytales_text
from course_lib.interop import load_nanogpt
from course_lib.recipes.evaluating import evaluate
from course_lib.sampling import generate

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = {
    "device": "cpu", "compile": False, "dtype": "float32", "max_iters": 20, "lr_decay_iters": 20, "warmup_iters": 2,
    "n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 32, "batch_size": 4, "eval_interval": 10, "eval_iters": 5,
    "dropout": 0.0,
}  # fmt: skip


def trained(folder: Path) -> None:
    """The original in ``folder``, after its prepare.py and its train.py."""
    original = os.environ["COURSE_PEER_NANOGPT"]
    for name in ("train.py", "model.py", "sample.py", "configurator.py"):
        shutil.copy(Path(original) / name, folder)
    shutil.copytree(Path(original) / "config", folder / "config")
    home = folder / "data" / "shakespeare_char"
    home.mkdir(parents=True)
    shutil.copy(Path(original) / "data" / "shakespeare_char" / "prepare.py", home)
    text = Path(os.environ.get("COURSE_DATA", "")) / "tinyshakespeare" / "input.txt"
    if text.is_file():
        shutil.copy(text, home)
    else:
        (home / "input.txt").write_text(tinytales_text(100_000))
    settings = [f"--{name}={value}" for name, value in TINY.items()]
    words = [[str(home / "prepare.py")], ["train.py", "config/train_shakespeare_char.py", *settings]]
    for word in words:
        done = subprocess.run([sys.executable, *word], cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def peer(made_once: Callable, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the original has been trained."""
    original = os.environ.get("COURSE_PEER_NANOGPT")
    if original is None or not (Path(original) / "train.py").is_file():
        pytest.skip("COURSE_PEER_NANOGPT names no folder with nanoGPT's train.py")
    return made_once("nanogpt", trained)


@pytest.fixture
def theirs(peer: Path):
    """Its own model with the weights of its checkpoint, loaded as its sample.py does it."""
    sys.path.insert(0, str(peer))
    try:
        from model import GPT, GPTConfig

        file = torch.load(peer / "out-shakespeare-char" / "ckpt.pt", map_location="cpu", weights_only=True)
        model = GPT(GPTConfig(**file["model_args"]))
        model.load_state_dict({name.removeprefix("_orig_mod."): t for name, t in file["model"].items()})
        yield model.eval()
    finally:
        sys.path.remove(str(peer))
        sys.modules.pop("model", None)


def val_ids(peer: Path) -> np.ndarray:
    return np.fromfile(peer / "data" / "shakespeare_char" / "val.bin", dtype=np.uint16).astype(np.int64)


def test_what_is_known_of_its_run(peer):
    found = load_nanogpt(peer / "out-shakespeare-char")
    assert found.step == 20
    assert 3 < found.best_val_loss < 5
    config = found.settings
    assert {name: config[name] for name in TINY} == TINY


@torch.no_grad()
def test_its_own_model_computes_the_same_logits(peer, theirs):
    ours = load_nanogpt(peer / "out-shakespeare-char").model
    idx = torch.from_numpy(val_ids(peer)[: 8 * 32]).view(8, 32)
    torch.testing.assert_close(ours(idx), theirs(idx, targets=idx)[0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_it_is_scored_to_the_loss_of_its_own_model(peer, theirs):
    """On all of val.bin, in windows of its block_size side by side."""
    ids = torch.from_numpy(val_ids(peer))
    n = (len(ids) - 1) // 32
    x, y = ids[: 32 * n].view(n, 32), ids[1 : 32 * n + 1].view(n, 32)
    rest = ids[32 * n :]
    losses = [(theirs(a, b)[1].item(), b.numel()) for a, b in zip(x.split(64), y.split(64), strict=True)]
    if len(rest) > 1:
        losses.append((theirs(rest[None, :-1], rest[None, 1:])[1].item(), len(rest) - 1))
    expected = sum(loss * count for loss, count in losses) / (len(ids) - 1)
    assert evaluate(peer / "out-shakespeare-char").loss == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_it_writes_what_its_own_model_finds_likeliest(peer, theirs):
    ours = load_nanogpt(peer / "out-shakespeare-char").model
    idx = torch.from_numpy(val_ids(peer)[:5])[None]
    expected = idx
    for _ in range(40):  # past its block_size of 32
        expected = torch.cat((expected, theirs(expected[:, -32:])[0][:, -1].argmax(-1, keepdim=True)), dim=1)
    assert torch.equal(generate(ours, idx, 40, temperature=0), expected)


def test_it_is_sampled_with_its_own_words(peer, project, capsys, monkeypatch):
    monkeypatch.chdir(peer)
    words = "--init_from=resume --out_dir=out-shakespeare-char --num_samples=2 --max_new_tokens=30 --device=cpu"
    assert course(["sample", *words.split(), "--top_k=200", "--dtype=float32", "--compile=False"]) == 0
    assert capsys.readouterr().out.count("--- sample") == 2


def test_it_is_trained_on(peer, project, capsys):
    """The same loss at first, on the same validation ids; then lower."""
    start, data = peer / "out-shakespeare-char", f"bins:{peer}/data/shakespeare_char"
    words = ["train", "nanogpt_shakespeare_char_cpu", f"--init_from={start}", f"--dataset={data}", "--dtype=float32"]
    words += ["--max_iters=60", "--warmup_iters=0", "--eval_interval=30", "--out_dir=runs/on", "--learning_rate=1e-2"]
    assert course([*words, "--eval_iters=20", "--eval_only=True"]) == 0
    said = re.search(r"val (\d\.\d+) nats", capsys.readouterr().out)
    assert float(said[1]) == pytest.approx(evaluate(start).loss, abs=0.1)
    assert course(words) == 0
    rows = [row for row in checkpoint.read_metrics("runs/on") if row["val_loss"] is not None]
    assert rows[-1]["val_loss"] < evaluate(start).loss - 0.3
    ids = torch.from_numpy(val_ids(peer))[None, :33]
    model = checkpoint.load("runs/on").model
    with torch.no_grad():
        assert F.cross_entropy(model(ids[:, :-1])[0], ids[0, 1:]).isfinite()
