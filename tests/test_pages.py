"""The pages compute what the library computes, bit for bit, and are what they say they are."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from course_lib import pages
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.sampling import generate

TRAIN_GPT = pages.FOLDER / "train_gpt.py"
LONGEST = 130
"""Lines: what can be read in one go."""
SETTINGS = dict(
    dataset="tinytales", batch_size=16, block_size=64, n_layer=2, n_head=4, n_embd=64, max_lr=0.01, warmup_steps=50,
    eval_every=100, eval_batches=20, device="cpu", precision="fp32", seed=1337,
)  # fmt: skip
"""What differs from the library's defaults, written down a second time: the page cannot move without this."""


def run_page(steps: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's names stand for at its end."""
    monkeypatch.setattr(sys, "argv", [str(TRAIN_GPT), str(steps)])
    with torch.random.fork_rng(devices=[]):
        return runpy.run_path(str(TRAIN_GPT), run_name="__main__")


@pytest.mark.usefixtures("project", "one_thread")
@pytest.mark.parametrize("steps", [1, 60, 130])  # within the warm-up, after it, and with a second evaluation
def test_the_page_trains_as_the_trainer_does_bit_for_bit(steps, monkeypatch, capsys):
    page = run_page(steps, monkeypatch)
    trainer = build_trainer(Recipe("page", {**SETTINGS, "max_steps": steps}))
    records = list(trainer)
    assert page["losses"] == [record.train_loss for record in records]
    assert page["val_losses"] == {r.step: r.val_loss for r in records if r.val_loss is not None}
    assert len(page["val_losses"]) == (2 if steps > 100 else 1)
    assert [page["learning_rate"](step, steps) for step in range(steps)] == [record.lr for record in records]
    mine, theirs = list(page["model"].parameters()), list(trainer.model.parameters())
    assert len(mine) == len(theirs)
    assert all(a.equal(b) for a, b in zip(mine, theirs))
    prompt = torch.tensor([trainer.tokenizer.encode("\n\n")])
    written = generate(trainer.model, prompt, 300, seed=1337, use_cache=False)
    assert page["idx"].equal(written), "and it writes the same"
    assert capsys.readouterr().out.endswith(trainer.tokenizer.decode(written[0, 2:].tolist()) + "\n")


@pytest.mark.parametrize("how", [[str(TRAIN_GPT)], ["-m", "course_lib.pages.train_gpt"]], ids=["file", "module"])
def test_the_page_runs_as_a_program(how, project: Path):
    done = subprocess.run([sys.executable, *how, "2"], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    predicted, trained, written = done.stdout.split("\n", 2)
    assert predicted == "Before the first step expect a loss near ln 53 = 3.97"
    assert re.fullmatch(r"step   1: training loss 3\.\d{3}, validation loss 3\.\d{3}", trained)
    assert len(written) == 300 + len("\n")


@pytest.mark.parametrize("path", sorted(pages.FOLDER.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_page_is_one_page_and_has_only_its_text_from_the_library(path: Path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST
    assert max(map(len, source.splitlines())) <= 120
    froms = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    taken = {(node.module, name.name) for node in froms for name in node.names if node.module.startswith("course_lib")}
    assert taken == {("course_lib.data", "load_text")}
    assert "import course_lib" not in source
