"""A run of the recipe of byte pairs, from the command line to its text, which Python and C++ write alike."""

import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.data import load_text
from course_lib.sampling import generate

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = "shakespeare_bpe_cpu"
SMALL = (
    "--dataset tinytales --bpe-vocab-size 512 --n-layer 1 --n-head 2 --n-embd 32 --block-size 32 --batch-size 8 "
    "--max-steps 60 --cooldown-steps 50 --eval-every 0"
).split()


def train(capsys: pytest.CaptureFixture, *words: str) -> tuple[Path, float]:
    """The run's folder, and its bits per byte as the command line prints them."""
    assert course(["train", RECIPE, "--out-dir", "kept", *words]) == 0
    printed = capsys.readouterr().out
    nats, bits = re.search(r"best: ([\d.]+) nats per token \(([\d.]+) bits per byte\) on the whole", printed).groups()
    tokenizer = checkpoint.load("kept").tokenizer
    text = load_text(checkpoint.load("kept").config.data.dataset)
    held_out = text[int(len(text) * 0.9) :]
    n_tokens = len(tokenizer.encode(held_out))
    assert float(bits) == pytest.approx(float(nats) * n_tokens / (math.log(2) * len(held_out.encode())), abs=1e-3)
    assert float(nats) < math.log(tokenizer.vocab_size) - 1, "or it has learned nothing"
    return Path("kept"), float(bits)


def assert_the_same_text(folder: Path, start: str, length: int, run: Callable, capsys: pytest.CaptureFixture) -> str:
    """Greedy text of `course sample` and of the program in the exported folder; in Python with and without a cache."""
    assert course(["export", str(folder), "--to", "cpp", "--out", "exported"]) == 0
    capsys.readouterr()
    words = ["--max-new-tokens", str(length), "--temperature", "0"]
    assert course(["sample", str(folder), "--start", start, *words]) == 0
    text = capsys.readouterr().out
    found = checkpoint.load(folder)
    prompt = found.tokenizer.encode(start)
    expected = generate(found.model, torch.tensor([prompt]), length, temperature=0)[0].tolist()
    assert text == found.tokenizer.decode(expected) + "\n"
    assert run(Path("exported"), "--prompt", start, *words).stdout == text
    ids = run(Path("exported"), "--prompt", start, "--ids", *words).stdout.split()
    assert [int(word) for word in ids] == expected[len(prompt) :]
    return text


def test_a_small_run_is_sampled_in_python_and_in_cpp(project, run, capsys):
    folder, bits = train(capsys, *SMALL)
    assert bits < 3, "bytes alone, without their neighbors, are at more than 4"
    for start in ("\n\n", "One day", "Lily's"):
        text = assert_the_same_text(folder, start, 120, run, capsys)
        assert text.startswith(start)
        assert len(text) > 120 + len(start) + 1, "tokens are longer than letters"


@pytest.mark.slow
def test_the_recipe_as_it_is_on_tiny_shakespeare(project, run, capsys):
    mirror = os.environ.get("COURSE_DATA")
    if not mirror or not (Path(mirror) / "tinyshakespeare" / "input.txt").is_file():
        pytest.skip("real text: set COURSE_DATA to a folder that holds tinyshakespeare/input.txt")
    folder, bits = train(capsys)
    assert 2.3 < bits < 2.5, "characters end at 2.67 to 2.73"
    losses = np.array([row["train_loss"] for row in checkpoint.read_metrics(folder)])
    assert losses[0] == pytest.approx(math.log(2048), abs=0.01)
    for start in ("\n", "ROMEO:", "To be, or not to be"):
        assert_the_same_text(folder, start, 400, run, capsys)
