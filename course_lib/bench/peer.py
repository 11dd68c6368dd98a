"""A copy of nanoGPT (github.com/karpathy/nanoGPT), measured beside the course.

It is given by its path; nothing of it is part of this project.
"""

import contextlib
import importlib.util
import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from course_lib.data import load_bytes
from course_lib.device import Compute
from course_lib.errors import CourseError
from course_lib.programs import run_program
from course_lib.training.borrowed import Borrowed

PEER_CPU = (
    "--device=cpu --compile=False --eval_iters=20 --log_interval=1 --block_size=64 --batch_size=12 --n_layer=4 "
    "--n_head=4 --n_embd=128 --max_iters=2000 --lr_decay_iters=2000 --dropout=0.0"
)
"""nanoGPT's recipe for Tiny Shakespeare on a CPU, as its README gives it."""
PEER_ARGS = {"shakespeare_char_cpu": PEER_CPU.split(), "shakespeare_char": []}
TRAIN = ("train.py", "config/train_shakespeare_char.py")
"""Its script and its settings for Tiny Shakespeare."""
SHAPE = ("block_size", "vocab_size", "n_layer", "n_head", "n_embd", "dropout", "bias")


def load_peer(folder: Path) -> ModuleType:
    """nanoGPT's ``model.py`` as a module; CourseError where it is not there."""
    path = folder / "model.py"
    if not path.is_file():
        raise CourseError(f"{folder} should be a copy of nanoGPT, with model.py in it; it is not. Give --peer PATH.")
    spec = importlib.util.spec_from_file_location("peer_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["peer_model"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


def build_peer(module: ModuleType, **shape: Any) -> Any:
    """Its model of that shape; what it prints while it is built is left out."""
    with contextlib.redirect_stdout(io.StringIO()):
        return module.GPT(module.GPTConfig(**shape))


def peer_steps(module: ModuleType, shape: Any, batches: Any, compute: Compute, compile: bool) -> Callable[[int], None]:
    """nanoGPT's model of that shape and its optimizer in nanoGPT's loop, on the same batches in the same precision.

    Returns ``steps(n)``, which trains on the batches of steps 0 to n - 1.
    """
    model = build_peer(module, **{name: getattr(shape, name) for name in SHAPE}).to(compute.device)
    with contextlib.redirect_stdout(io.StringIO()):
        optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), compute.kind)
    scaler = compute.build_scaler()
    forward: Callable[..., tuple[Tensor, Tensor]] = torch.compile(model) if compile else model

    def steps(n: int) -> None:
        for step in range(n):
            for micro in range(batches.micro_steps):
                x, y = batches.batch(step, micro)
                with compute.autocast():
                    _, loss = forward(x, y)
                scaler.scale(loss / batches.micro_steps).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)

    return lambda n: Borrowed(compute).during(lambda: steps(n))  # with the trainer's TF32 or without


# ---- whole programs ----------------------------------------------------------------------------------


def scratch_project(folder: Path, dataset: str) -> Path:
    """Make ``folder`` a project root of its own, so that nothing of a measurement stays; returns the text as a file.

    A text that has to be downloaded is then at hand for both programs.
    """
    (folder / "_toc.yml").touch()
    (folder / "data" / "tinyshakespeare").mkdir(parents=True)
    text = folder / "data" / "tinyshakespeare" / "input.txt"
    text.write_bytes(load_bytes(dataset))
    return text


def course_path() -> dict[str, str]:
    """The environment in which a new process finds this very course, installed or not."""
    where = str(Path(__file__).resolve().parents[2])
    return {"PYTHONPATH": os.pathsep.join([where, *filter(None, [os.environ.get("PYTHONPATH")])])}


PREPARE = """import runpy, sys, types
sys.modules.setdefault("requests", types.ModuleType("requests"))
runpy.run_path("prepare.py")
"""
"""Runs its own script, which imports a package for a download that is not needed here."""


def copy_peer(peer: Path, target: Path, text: Path) -> Path:
    """A copy of the peer. Its own script prepares the data; that time does not count."""
    shutil.copytree(peer, target, ignore=shutil.ignore_patterns(".git", "assets", "out*"))
    data = target / "data" / "shakespeare_char"
    data.mkdir(parents=True, exist_ok=True)
    shutil.copy(text, data / "input.txt")
    if (data / "prepare.py").is_file():
        run_program([sys.executable, "-c", PREPARE], data)
    return target
