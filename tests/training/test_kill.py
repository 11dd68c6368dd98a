"""Runs that are killed (SIGKILL) twenty times at random instants end as the run that was never killed, bit for bit.

Eight and more of the kills are aimed inside a save: at one of its calls into the operating system, or while a file is
half written. The processes come from a fork server that has torch loaded, so that each starts in no time.
"""

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from course_lib import checkpoint
from course_lib.checkpoint import writing
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher, load_text
from course_lib.models import GPT
from course_lib.tokenizers import CharTokenizer
from course_lib.training import Trainer

TIMED, AIMED = 10, 12
MODELS = {
    "adamw": dict(tie_weights=True),
    "muon": dict(tie_weights=False, position="rope", norm="rmsnorm", qk_norm=True, mlp="relu2"),
}
KILLED = -signal.SIGKILL


def train_config(optimizer: str) -> TrainConfig:
    return TrainConfig(
        max_steps=30, batch_size=4, grad_accum=2, max_lr=5e-3, warmup_steps=3, optimizer=optimizer, eval_every=8,
        eval_batches=3, save_every=3, device="cpu", precision="fp32",
    )  # fmt: skip


def train_to_the_end(run: Path, optimizer: str, kill_at: int | None, torn: bool, count_to: Path | None) -> None:
    """Start the run, or go on with it. Runs in a process of its own.

    Args:
        kill_at: die at this call (counted from 1) that a save makes into the operating system.
        torn: if that call writes a file, leave half of it.
        count_to: write the names of such calls here, in order, when the run has ended.
    """
    import torch

    torch.set_num_threads(1)
    calls = watch_calls(kill_at, torn)
    text = load_text("numbers")[:20_000]
    tokenizer = CharTokenizer.train(text)
    tokens = tokenizer.encode_array(text)
    config = train_config(optimizer)
    shape = GPTConfig(16, tokenizer.vocab_size, n_layer=2, n_head=2, n_embd=32, dropout=0.1, **MODELS[optimizer])
    batches = Batcher(tokens[:18_000], config.batch_size, 16, config.seed, grad_accum=config.grad_accum)
    val_batches = Batcher(tokens[18_000:], 8, 16)
    if (run / "last").exists():
        trainer = Trainer.resume(run, batches, val_batches)
    else:  # killed before its first save was whole: nothing to go on from
        shutil.rmtree(run, ignore_errors=True)
        torch.manual_seed(config.seed)
        trainer = Trainer(GPT(shape), batches, config, None, val_batches, tokenizer, run)
    for _ in trainer:
        pass
    if count_to is not None:
        count_to.write_text(" ".join(calls))


def watch_calls(kill_at: int | None, torn: bool) -> list[str]:
    """Count what the library asks of the operating system while it writes; at call ``kill_at`` the process dies."""
    calls: list[str] = []

    def watched(name, function):
        def call(*args, **kwargs):
            calls.append(name)
            if len(calls) == kill_at:
                if torn and name in ("save_file", "write_text"):
                    function(*args, **kwargs)
                    path = Path(args[1] if name == "save_file" else args[0])
                    os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for name in "mkdir chmod fsync rename replace unlink rmdir".split():
        setattr(os, name, watched(name, getattr(os, name)))
    writing.save_file = watched("save_file", writing.save_file)
    Path.write_text = watched("write_text", Path.write_text)
    return calls


class Processes:
    """Starts `train_to_the_end` in processes of its own, and kills them."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["torch", "course_lib.training", "course_lib.models", "course_lib.data"])

    def run(
        self, run: Path, optimizer: str, kill_at=None, torn=False, count_to=None, seconds: float | None = None
    ) -> int:
        """Returns the exit code; ``seconds`` after the start the process is killed."""
        process = self.context.Process(target=train_to_the_end, args=(run, optimizer, kill_at, torn, count_to))
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
        return process.exitcode


def result(run: Path) -> dict[str, object]:
    """All that a run leaves, but for the time it took."""
    files = {}
    for which in ("last", "best"):
        folder = checkpoint.find_save(run, which)
        for name in ("model.safetensors", "optimizer.safetensors"):
            files[f"{which} {name}"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        state = checkpoint.read_state(folder)
        files[f"{which} state"] = {k: v for k, v in state.items() if k != "seconds"}
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in checkpoint.read_metrics(run)]
    return {"rows": rows, "settings": (run / "config.json").read_text(), **files}


@pytest.mark.slow
def test_twenty_kills_change_nothing(project: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"kills drawn from seed {seed}")
    draw = random.Random(seed)
    processes = Processes()
    wholes, calls, times = {}, {}, {}
    processes.run(project / "warm", "adamw")  # the fork server loads torch
    for optimizer in MODELS:
        start = time.monotonic()
        assert processes.run(project / optimizer, optimizer, count_to=project / "calls") == 0
        times[optimizer] = time.monotonic() - start
        wholes[optimizer], calls[optimizer] = result(project / optimizer), (project / "calls").read_text().split()
        assert len(wholes[optimizer]["rows"]) == 30
    assert wholes["adamw"]["last model.safetensors"] != wholes["muon"]["last model.safetensors"]

    kills = {"timed": 0, "aimed": 0}
    turn = 0
    while kills["timed"] < TIMED or kills["aimed"] < AIMED:
        optimizer = draw.choice(list(MODELS))
        run = project / f"run{turn}"
        plan = []
        for _ in range(draw.choice((1, 1, 2, 3))):  # how often this run is killed before it may end
            if kills["timed"] >= TIMED or (kills["aimed"] < AIMED and draw.random() < AIMED / (TIMED + AIMED)):
                kind = draw.choice(sorted(set(calls[optimizer])))  # each kind of call is as likely
                places = [i for i, name in enumerate(calls[optimizer], 1) if name == kind]
                how = dict(kill_at=draw.choice(places), torn=draw.random() < 0.5)
            else:
                how = dict(seconds=draw.uniform(0.1, 1) * times[optimizer])
            code = processes.run(run, optimizer, **how)
            plan.append((how, code))
            assert code in (0, KILLED), plan
            if code == KILLED:
                kills["timed" if "seconds" in how else "aimed"] += 1
            if (run / "last").exists():  # whatever happened, there is a whole save
                checkpoint.load(run)
        print(f"run {turn}, {optimizer}: {plan}")
        assert processes.run(run, optimizer) == 0
        found = result(run)
        for part, whole in wholes[optimizer].items():
            assert found[part] == whole, (seed, turn, part)
        assert [p.name for p in (run / "saves").iterdir() if p.name.startswith(".")] == []
        turn += 1
        assert turn < 200, kills
    print(f"{kills} over {turn} runs")


@pytest.mark.slow
def test_a_run_with_another_seed_would_be_noticed(project: Path) -> None:
    """The comparison above can fail: one more optimizer step shows in every part of it."""
    processes = Processes()
    assert processes.run(project / "run", "adamw") == 0
    before = result(project / "run")
    for state in (project / "run" / "saves").glob("*/state.json"):
        assert '"max_steps": 30' in state.read_text()
        state.write_text(state.read_text().replace('"max_steps": 30', '"max_steps": 31'))
    assert processes.run(project / "run", "adamw") == 0
    after = result(project / "run")
    for part in ("rows", "last model.safetensors", "last optimizer.safetensors", "last state"):
        assert before[part] != after[part]
