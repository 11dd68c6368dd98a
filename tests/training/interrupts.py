"""Runs that are interrupted by a real SIGINT, in this process: at any line of a step, or whenever somebody sends one.

`test_interrupts` uses it in a script and in a kernel. The loop is the one that a learner writes; after an
interruption it is simply run again.
"""

import hashlib
import linecache
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from course_lib import checkpoint
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.models import GPT
from course_lib.training import Trainer

V, T = 11, 8
TOKENS = torch.randint(0, V, (600,), generator=torch.Generator().manual_seed(1))
HELD_OUT = torch.randint(0, V, (94,), generator=torch.Generator().manual_seed(2))
BASE = dict(
    max_steps=4, batch_size=4, max_lr=5e-3, warmup_steps=2, eval_every=2, eval_batches=2, save_every=3, device="cpu",
    precision="fp32",
)  # fmt: skip
MUON = dict(optimizer="muon", max_lr=0.02, weight_decay=0.1)
FORMS = {
    "adamw": BASE | dict(grad_accum=2),
    "muon": BASE | MUON,
    "adamw, fp16 with a scaler": BASE | dict(precision="fp16"),
    "muon, fp16 with a scaler": BASE | MUON | dict(precision="fp16"),
    "adamw, bf16": BASE | dict(precision="bf16"),
    "one's own": BASE | dict(max_lr=0.05),
}
OWN = {"one's own": lambda model: torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)}
WATCHED = (
    "course_lib/training", "course_lib/checkpoint", "course_lib/optim.py", "course_lib/paths.py",
    "course_lib/models/mode.py",
)  # fmt: skip
BELOW = (
    "course_lib/device.py", "torch/optim", "torch/amp", "torch/autograd/grad_mode.py", "torch/nn/utils/clip_grad.py",
)  # fmt: skip
"""The lines of a step are those of the first; those of PyTorch are many more, and some of them are tried."""


def make(form: str, run: Path, **changes: Any) -> Trainer:
    config = TrainConfig(**FORMS[form] | changes)
    torch.manual_seed(7)
    shape = GPTConfig(T, V, n_layer=1, n_head=2, n_embd=8, dropout=0.1, tie_weights=False, norm="rmsnorm")
    batches = Batcher(TOKENS, config.batch_size, T, config.seed, grad_accum=config.grad_accum)
    return Trainer(GPT(shape), batches, config, None, Batcher(HELD_OUT, 3, T), None, run, optimizer=OWN.get(form))


def result(run: Path, steps: list[int]) -> dict[str, Any]:
    """All that a run leaves but the time it took, and the steps whose records the loop was handed."""
    left: dict[str, Any] = {"steps": steps}
    for which in ("last", "best"):
        folder = checkpoint.find_save(run, which)
        for name in ("model.safetensors", "optimizer.safetensors"):
            left[f"{which} {name}"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        left[f"{which} state"] = {k: v for k, v in checkpoint.read_state(folder).items() if k != "seconds"}
    left["rows"] = [{k: v for k, v in row.items() if k != "seconds"} for row in checkpoint.read_metrics(run)]
    left["torch"] = [torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_float32_matmul_precision()]
    left["generator"] = hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest()
    left["saves"] = sorted(path.name for path in (run / "saves").iterdir())
    return left


def train(trainer: Trainer, prepare: Callable[[], object] = lambda: None) -> tuple[list[int], int]:
    """A learner's loop, run again after each interruption. Returns the steps that came, and how often it was cut."""
    steps: list[int] = []
    cut = 0
    while True:
        try:
            prepare()
            for record in trainer:
                steps.append(record.step)
            return steps, cut
        except KeyboardInterrupt:
            cut += 1


class SignalAtLine:
    """A trace function that sends this process a SIGINT before the ``at``-th watched line; with None it only counts."""

    def __init__(self, files: tuple[str, ...], at: int | None) -> None:
        self.files, self.at = files, at
        self.lines: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        name = frame.f_code.co_filename.replace(os.sep, "/")
        return self.line if any(part in name for part in self.files) else None

    def line(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            name, number = frame.f_code.co_filename, frame.f_lineno
            self.lines.append(f"{Path(name).name}:{number}: {linecache.getline(name, number).strip()}")
            if self.at == len(self.lines):
                os.kill(os.getpid(), signal.SIGINT)
        return self.line


def traced(form: str, run: Path, files: tuple[str, ...], at: int | None) -> tuple[dict[str, Any], list[str], int]:
    """A run that gets a SIGINT at one line: what it leaves, the lines it went through, and how often it was cut off."""
    trainer = make(form, run)
    signal_at = SignalAtLine(files, at)
    before = sys.gettrace()
    try:
        steps, cut = train(trainer, lambda: sys.settrace(signal_at if not signal_at.lines else before))
    finally:
        sys.settrace(before)
    return result(run, steps), signal_at.lines, cut


HANDED_OVER = "return self.owed.record"
"""The last line of a step. Python itself answers no signal there, but a trace function can send one: the record that
is on its way to the loop is then lost to the loop (it is in the log)."""

LONG = dict(max_steps=80, eval_every=4, save_every=5)
"""For interruptions at random: a run that takes a second or so."""


def whole_and_interrupted(form: str, folder: Path, number: int) -> str:
    """A run that others interrupt, beside one that they cannot. Returns what differs; nothing, as it should be.

    It says "ready" whenever its loop begins, so that a signal never comes to any other place.
    """
    whole = folder / f"whole {form}"
    if not whole.exists():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        train(make(form, whole, **LONG))
        signal.signal(signal.SIGINT, before)
    trainer = make(form, folder / f"run {number}", **LONG)
    steps, _ = train(trainer, lambda: print("ready", flush=True))
    found, wanted = result(folder / f"run {number}", steps), result(whole, list(range(80)))
    return ", ".join(part for part in wanted if found[part] != wanted[part])


ENDED = 99
"""The exit status of a script that was interrupted when its loop was through."""


def script(form: str, folder: Path, number: int) -> None:
    """`whole_and_interrupted` as a program: it prints what differs, or ends with `ENDED`.

    Python would end itself by the signal; but what runs at its exit (torch's compiler imports a module there) may make
    it forget which error ended it, and its status then is 1, as after any other error.
    """
    try:
        print("differs:", whole_and_interrupted(form, folder, number))
    except KeyboardInterrupt:
        os._exit(ENDED)


def places(lines: list[str]) -> list[int]:
    """Where to send a signal, counted from 1: each line the first time and the last time it comes."""
    first = {line: at for at, line in reversed(list(enumerate(lines, 1)))}
    last = {line: at for at, line in enumerate(lines, 1)}
    return sorted({*first.values(), *last.values()})


def at_every_line(form: str, folder: Path, files: tuple[str, ...], first: int = 0, every: int = 1) -> dict[str, Any]:
    """Try `places`, each ``every``-th from ``first`` on. Returns how many were tried, and what went wrong."""
    whole, lines, _ = traced(form, folder / "whole", files, None)
    tried, wrong = 0, []
    for at in places(lines)[first::every]:
        found, seen, cut = traced(form, folder / f"run{at}", files, at)
        if at > len(seen):  # a first run goes through a few more lines
            continue
        tried += 1
        where = seen[at - 1]
        parts = [part for part in whole if found[part] != whole[part]]
        if cut != 1:
            parts.append(f"it was cut off {cut} times")
        if parts and not (where.endswith(HANDED_OVER) and parts == ["steps"]):
            wrong.append(f"{where}: {', '.join(parts)}")
    return {"lines": len(set(lines)), "tried": tried, "wrong": wrong}
