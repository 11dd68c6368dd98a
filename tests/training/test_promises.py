"""What a run folder says is so: nothing is recorded that did not happen, and no folder is made for nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from course_lib import checkpoint
from course_lib.config import DataConfig, GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.recipes.build import resume_trainer
from course_lib.tokenizers import CharTokenizer
from course_lib.training import Trainer, next_token_loss, setup
from course_lib.training import trainer as module

V, T = 11, 8
SHAPE = GPTConfig(block_size=T, vocab_size=V, n_layer=1, n_head=2, n_embd=8)
TOKENS = torch.randint(0, V, (600,), generator=torch.Generator().manual_seed(1))
BASE = TrainConfig(max_steps=10, batch_size=4, max_lr=3e-3, eval_every=0, device="cpu", precision="fp32")
TOKENIZER = CharTokenizer("abcdefghijk")

pytestmark = pytest.mark.usefixtures("one_thread")


def make(config: TrainConfig = BASE, **more) -> Trainer:
    torch.manual_seed(7)
    return Trainer(GPT(SHAPE), Batcher(TOKENS, config.batch_size, T, config.seed), config, **more)


# What it is trained on -------------------------------------------------------------------------------------


def test_nothing_is_said_of_the_data_where_nothing_is_known(project: Path) -> None:
    run = project / "run"
    list(make(run_dir=run, tokenizer=TOKENIZER))
    assert json.loads((run / "config.json").read_text())["data"] is None
    assert checkpoint.load(run).config.data is None
    with pytest.raises(CourseError, match=r"does not say what it is trained on.*Trainer\.resume\('.*run', batches"):
        resume_trainer(run)
    again = Trainer.resume(run, Batcher(TOKENS, 4, T, BASE.seed), max_steps=12)
    assert [record.step for record in again] == [10, 11]


def test_what_older_trainers_wrote_where_nothing_was_known_is_not_believed(project: Path) -> None:
    """TinyTales, without a sha256: the defaults, of which nobody had said anything."""
    run = project / "run"
    list(make(run_dir=run))
    content = json.loads((run / "config.json").read_text())
    content["data"] = {"dataset": "tinytales", "tokenizer": "auto", "val_fraction": 0.1, "sha256": None}
    (run / "config.json").write_text(json.dumps(content))
    with pytest.raises(CourseError, match="does not say what it is trained on"):
        resume_trainer(run)


def test_what_is_said_of_the_data_is_kept(project: Path) -> None:
    data = DataConfig(dataset="text:mine.txt")
    list(make(run_dir=project / "run", data=data))
    assert checkpoint.read_config(project / "run")[0].data == data


def test_a_loss_of_ones_own_is_not_taken_for_the_usual_one(project: Path) -> None:
    run = project / "run"
    data = DataConfig(dataset="numbers")
    list(make(run_dir=run, data=data, loss=lambda m, x, y: F.cross_entropy(m(x).mT, y, label_smoothing=0.1)))
    with pytest.raises(CourseError, match=r"trained with a loss of its own.*Trainer\.resume\('.*run', batches.*loss"):
        resume_trainer(run)
    list(make(run_dir=project / "usual", data=data, loss=next_token_loss))
    assert checkpoint.load(project / "usual").state["own_loss"] is False


# Saves by time ---------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the trainer's clock is 20 s after the one before: a step takes that long."""
    now = iter(range(0, 10**6, 20))
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(now), sleep=time.sleep))


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps at which saves are made."""
    steps, usual = [], checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda run, step, *rest: (steps.append(step), usual(run, step, *rest))[1])
    return steps


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (dict(), [10]),
        (dict(save_minutes=1), [3, 6, 9, 10]),
        (dict(save_minutes=0.1), list(range(1, 11))),
        (dict(save_minutes=100), [10]),
        (dict(save_minutes=1, save_every=4), [3, 4, 7, 8, 10]),  # from the last save on, whatever it was made for
    ],
    ids=str,
)
def test_a_save_comes_by_the_clock(project: Path, clock, saved: list[int], settings: dict, expected: list[int]) -> None:
    list(make(BASE.replace(**settings), run_dir=project / "run"))
    assert saved == expected


def test_the_clock_goes_on_at_a_resume(project: Path, clock, saved: list[int]) -> None:
    trainer = make(BASE.replace(save_minutes=1), run_dir=project / "run")
    for _ in range(4):  # 20 s past the save at 3
        next(trainer)
    del trainer
    list(Trainer.resume(project / "run", Batcher(TOKENS, 4, T, BASE.seed)))
    assert saved == [3, 6, 9, 10]


def test_a_process_that_does_not_save_asks_no_clock(project: Path, clock, saved: list[int]) -> None:
    """Of several processes one has the run's folder; the others have none, as here."""
    assert len(list(make(BASE.replace(save_minutes=0.1)))) == 10
    assert saved == []


# Before there is a folder ----------------------------------------------------------------------------------


def no_compiler(*args, **kwargs):
    raise RuntimeError("No working C++ compiler found in CXX\nand more lines")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(tensorboard=True), "pip install tensorboard"),
        (dict(compile=True), r"torch\.compile, which does not work here \(No working C\+\+ compiler found in CXX\)"),
        (dict(device="cuda:99"), "sees"),
        (dict(optimizer="muon"), None),
    ],
    ids=str,
)
def test_what_can_be_known_is_known_before_there_is_a_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch, settings: dict, message: str | None
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr(torch, "compile", no_compiler)
    if message is None:  # nothing is wrong with it
        make(BASE.replace(**settings), run_dir=project / "run")
    else:
        with pytest.raises(CourseError, match=message):
            make(BASE.replace(**settings), run_dir=project / "run")
    assert (project / "run").exists() == (message is None)


@pytest.mark.slow
def test_a_compiler_that_is_not_there(project: Path) -> None:
    """In a process of its own: one that has compiled before does not look for its compiler again."""
    code = """
from torch._inductor import config
from course_lib.errors import CourseError
from course_lib.training.setup import need_compiler
config.cpp.cxx = ("no-such-compiler",)
try:
    need_compiler("cpu")
except CourseError as error:
    print(error)
"""
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(project / "cache")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.startswith("compile=true needs torch.compile, which does not work here"), done.stderr


def test_a_compiler_is_tried_before_there_is_a_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_missing(device: object) -> None:
        raise CourseError("compile=true needs torch.compile")

    monkeypatch.setattr(setup, "need_compiler", is_missing)
    with pytest.raises(CourseError, match="compile=true"):
        make(BASE.replace(compile=True), run_dir=project / "run")
    assert not (project / "run").exists()


def test_a_run_that_fails_in_its_first_step_can_be_taken_away(project: Path) -> None:
    """Only what the run has made itself, and only where nothing has happened."""
    (project / "run").mkdir()
    (project / "run" / "notes.txt").write_text("mine")
    for folder, left in (("new", []), ("run", ["notes.txt"])):
        trainer = make(run_dir=project / folder, tokenizer=TOKENIZER, loss=lambda m, x, y: m(x).sum() * float("nan"))
        with pytest.raises(CourseError, match=f"Nothing was saved, so .*{folder} cannot be resumed"):
            next(trainer)
        trainer.abandon()
        assert [p.name for p in (project / folder).glob("*")] == left
    trainer = make(run_dir=project / "new")  # and the name is free again
    next(trainer)
    trainer.abandon()
    assert len(checkpoint.read_metrics(project / "new")) == 1  # a row is something that has happened
    with pytest.raises(CourseError, match=r"already holds a run\. It has no save to go on from: delete the folder"):
        make(run_dir=project / "new")
    run = project / "whole"
    list(make(run_dir=run))
    trainer = Trainer.resume(run, Batcher(TOKENS, 4, T, BASE.seed), max_steps=12)
    trainer.abandon()
    assert checkpoint.load(run).state["step"] == 10
