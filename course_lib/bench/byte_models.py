"""AGIFORMER and its original as two programs that compute the same: how each is made, and its loss.

The original is a checkout of github.com/inkbytefo/agi-former at commit f82263e, given by its path; nothing of it is
part of this project.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.bench.reporting import summary
from course_lib.bench.steps import Steps, speeds
from course_lib.config import AGIFormerConfig
from course_lib.device import select
from course_lib.errors import CourseError
from course_lib.losses import cross_entropy
from course_lib.models import AGIFormer
from course_lib.peaks import peak_memory_gib, reset_peak_memory

MODEL = "src/models/agiformer.py"
"""Where the original has its model."""
PATCH = 4
Loss = Callable[[nn.Module, Tensor], Tensor]


def find_original(folder: Path) -> Path:
    """``folder``, where it is a checkout of the original; else CourseError."""
    if not (folder / MODEL).is_file():
        raise CourseError(f"{folder} should be a checkout of the original AGIFORMER, with {MODEL}; it is not.")
    return folder


def build_course(shape: dict[str, Any], **more: Any) -> nn.Module:
    """The course's model, computing what the original does; ``shape`` has its sizes, ``more`` other settings."""
    return AGIFormer(AGIFormerConfig.faithful(**shape, **more))


def build_original(folder: Path, shape: dict[str, Any]) -> nn.Module:
    """The model of that checkout, of the same sizes."""
    sys.path.insert(0, str(folder))
    kind = importlib.import_module(MODEL.removesuffix(".py").replace("/", ".")).AGIFORMER
    return kind(
        d_model=shape["n_embd"], n_layers=shape["n_layer"], num_heads=shape["n_head"], dropout=shape["dropout"]
    )


def course_loss(model: nn.Module, idx: Tensor) -> Tensor:
    """Of a window (B, T + P): T bytes are read, and each byte after one of them is guessed."""
    return cross_entropy(model(idx[:, :-PATCH]), idx[:, 1 : 1 - PATCH])


def original_loss(model: nn.Module, idx: Tensor) -> Tensor:
    """Of a window (B, T + P): T bytes are read, and as many guessed, from the second patch on."""
    return cross_entropy(model(idx[:, :-PATCH], target_bytes=idx[:, PATCH:]).flatten(1, 2), idx[:, PATCH:])


# ---- on a card ---------------------------------------------------------------------------------------------


def measure_bytes(
    shape: dict[str, Any], batch_size: int, length: int, peer: Path | None, device: str, compile: bool,
    seconds: float, runs: int = 3,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Bytes per second of training, results as they come: the course's, then those of all in turn.

    Both train in the same arithmetic, with the same dropout, AdamW and clipping. The course compiles its model where
    there is a compiler; it is measured without, too. The original's script trains in plain fp32: a row of its own.
    """
    compute = select(device)
    per_step = batch_size * length
    about: dict[str, Any] = {"model": shape, "batch_size": batch_size, "length": length, "precision": compute.precision}
    rows: dict[str, tuple[Steps, int]] = {}

    def add(row: str, model: nn.Module, loss: Loss, compiled: bool = False, plain: bool = False) -> None:
        steps = _steps(model.to(compute.device).train(), loss, batch_size, length, compute, compiled, plain)
        reset_peak_memory(compute.device)
        steps(3)
        memory = peak_memory_gib(compute.device)
        about.setdefault("peak_memory_gib", {})[row] = None if memory is None else round(memory, 2)
        rows[row] = steps, per_step

    torch.manual_seed(0)
    add("course", build_course(shape), course_loss, compile)
    yield summary("bytes per second", speeds(rows, compute.device, 1, seconds), **about)
    if compile:
        add("course, not compiled", build_course(shape), course_loss)
    if peer is not None:
        add("original", build_original(find_original(peer), shape), original_loss)
        if compute.precision != "fp32":
            add("original, fp32", build_original(peer, shape), original_loss, plain=True)
    yield summary("bytes per second", speeds(rows, compute.device, runs, seconds), **about)


def _steps(
    model: nn.Module, loss: Loss, batch_size: int, length: int, compute: Any, compiled: bool, plain: bool
) -> Steps:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01, fused=compute.device != "cpu")
    called = torch.compile(model) if compiled else model
    idx = torch.randint(256, (batch_size, length + PATCH), device=compute.device)

    def steps(n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad()
            if plain:
                value = loss(called, idx)
            else:
                with compute.autocast():
                    value = loss(called, idx)
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()

    return steps
