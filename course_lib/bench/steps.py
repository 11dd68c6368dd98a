"""Training steps in tokens per second, and what share of the card's peak rate they use; beside nanoGPT's, in turn."""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from course_lib.bench.peer import load_peer, peer_steps
from course_lib.bench.reporting import summary, take_turns
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.device import select
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.peaks import Peak, mfu, peak_memory_gib, reset_peak_memory, synchronize
from course_lib.training import Trainer
from course_lib.training.scoring import is_out_of_memory

LONG = 10**6
"""More steps than a benchmark takes: it does not measure the end of a run, with its evaluation."""
LARGEST_BATCH = 256


@dataclass(frozen=True)
class StepPlan:
    """What is trained, and how long it is looked at."""

    shape: GPTConfig
    train: TrainConfig
    tokens: np.ndarray
    """Ids to draw windows from, (N,)."""
    fill: bool = False
    """Whether the batch is the largest that fits, found by doubling ``train.batch_size``; each program its own."""
    largest: int = LARGEST_BATCH
    runs: int = 3
    seconds: float = 3.0
    """About how long one turn takes."""

    def batches(self, batch_size: int, device: str) -> Batcher:
        """Windows of the ids, drawn by the recipe's seed."""
        return Batcher(
            self.tokens, batch_size, self.shape.block_size, self.train.seed, device=device,
            grad_accum=self.train.grad_accum,
        )  # fmt: skip

    def trainer(self, model: nn.Module, batch_size: int, compile: bool) -> Trainer:
        """The course's own trainer around ``model``, on such batches."""
        device = select(self.train.device, self.train.precision).device
        config = self.train.replace(
            batch_size=batch_size, compile=compile, max_steps=LONG, decay_steps=LONG, eval_every=0
        )
        return Trainer(model, self.batches(batch_size, device), config)


Steps = Callable[[int], object]
"""Takes that many optimizer steps."""
Build = Callable[[int, bool], Steps]
"""Makes steps from a batch size and whether to compile."""


def largest_fitting(fits: Callable[[int], bool], start: int, limit: int) -> int:
    """The largest of start, 2 start, 4 start, ... up to ``limit`` that fits; below start, if that does not.

    Raises:
        CourseError: where not even 1 fits.
    """
    size = start
    while not fits(size):
        if size == 1:
            raise CourseError("A batch of one window does not fit into the card's memory: take a smaller model.")
        size //= 2
    if size < start:
        return size
    while 2 * size <= limit and fits(2 * size):
        size *= 2
    return size


def tried(build: Callable[[], Steps], n: int) -> Steps | None:
    """What ``build`` returns, after ``n`` steps; None where memory ran out, whoever said so in whatever words."""
    try:
        steps = build()
        steps(n)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return steps
    except (RuntimeError, MemoryError, CourseError) as error:
        if not is_out_of_memory(error):
            raise
    return None  # out here the error is gone, and with it the frames that hold the tensors


def fits(build: Callable[[], Steps]) -> bool:
    """Whether that can take two steps (the first makes the optimizer's state); it leaves no trace."""
    enough = tried(build, 2) is not None
    free_memory()
    return enough


def free_memory() -> None:
    """Give back what is no longer used, so that one measurement does not lie in the way of the next."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def speeds(rows: dict[str, tuple[Steps, int]], device: str, runs: int, seconds: float) -> dict[str, list[float]]:
    """Tokens per second of each row in turn. A row is (steps, tokens per step), and has been warmed up.

    A short trial decides how many steps a turn takes. One step before each turn's clock starts makes the allocator's
    blocks anew, as the memory of the row before was given back.
    """

    def turn(steps: Steps, n: int) -> float:
        free_memory()
        steps(1)
        synchronize(device)
        start = time.perf_counter()
        steps(n)
        synchronize(device)
        return time.perf_counter() - start

    counts = {row: max(3, min(1000, round(5 * seconds / turn(steps, 5)))) for row, (steps, _) in rows.items()}
    measures = {
        row: lambda steps=steps, tokens=tokens, n=counts[row]: n * tokens / turn(steps, n)
        for row, (steps, tokens) in rows.items()
    }
    return take_turns(measures, runs)


def measure_steps(plan: StepPlan, peak: Peak, peer: Path | None, compile: bool) -> Iterator[dict[str, Any]]:
    """Results as they come: the course's, then both in turn.

    Raises:
        CourseError: for a shape that does not fit, or a peer that is not there.
    """
    compute = select(plan.train.device, plan.train.precision)
    rows: dict[str, tuple[Steps, int]] = {}
    about: dict[str, Any] = {"precision": compute.precision, "compile": compile, "peak": peak.source}
    flops: dict[str, float] = {}

    def result(turns: int) -> dict[str, Any]:
        runs = speeds(rows, compute.device, turns, plan.seconds)
        found = summary("tokens per second", runs, **about)
        found["mfu"] = {row: round(mfu(rate, flops[row], peak), 4) for row, rate in found["medians"].items()}
        return found

    if compute.kind == "cuda":
        torch._dynamo.reset()  # a second model of one class would be compiled for any shape, and be slower
    before = _allocated(compute.device)
    torch.manual_seed(plan.train.seed)
    model = GPT(plan.shape).to(compute.device)
    flops["course"] = model.flops_per_token()
    build: Build = partial(_course_steps, plan, model)
    rows["course"] = _warmed_up(plan, about, "course", compute.device, build, compile, before)
    yield result(plan.runs if peer is None else 1)
    if peer is None:
        return
    free_memory()
    before = _allocated(compute.device)
    flops["nanoGPT"] = _gpt2_flops(plan.shape)
    build = partial(_peer_steps, plan, load_peer(peer))
    rows["nanoGPT"] = _warmed_up(plan, about, "nanoGPT", compute.device, build, compile, before)
    yield result(plan.runs)


def _allocated(device: str) -> int:
    """Bytes of tensors on a card: what was there before is not what is measured."""
    return torch.cuda.memory_allocated(device) if device.startswith("cuda") else 0


def _course_steps(plan: StepPlan, model: nn.Module, batch_size: int, compile: bool) -> Steps:
    trainer = plan.trainer(model, batch_size, compile)
    return lambda n: [next(trainer) for _ in range(n)]


def _peer_steps(plan: StepPlan, module: ModuleType, batch_size: int, compile: bool) -> Steps:
    compute = select(plan.train.device, plan.train.precision)
    return peer_steps(module, plan.shape, plan.batches(batch_size, compute.device), compute, compile)


def _gpt2_flops(shape: GPTConfig) -> float:
    """Counted as the course's own: what nanoGPT trains is GPT-2's form, whatever the form of ours."""
    with torch.device("meta"):
        kept = ("block_size", "vocab_size", "n_layer", "n_head", "n_embd", "bias")
        return GPT(GPTConfig(**{name: getattr(shape, name) for name in kept})).flops_per_token()


def _warmed_up(
    plan: StepPlan, about: dict[str, Any], row: str, device: str, build: Build, compile: bool,
    before: int,
) -> tuple[Steps, int]:  # fmt: skip
    """A row (steps, tokens per step) with the batch that fits, warmed up; ``about`` gets what that took."""
    batch_size = plan.train.batch_size
    if plan.fill:
        # Uncompiled, as each size would be compiled anew; compiled, the same batch needs no more memory.
        batch_size = largest_fitting(lambda b: fits(lambda: build(b, False)), batch_size, plan.largest)
    reset_peak_memory(device)
    start = time.perf_counter()
    while (steps := tried(partial(build, batch_size, compile), 3)) is None:
        free_memory()
        if not plan.fill or batch_size == 1:
            raise CourseError(f"{row}: a batch of {batch_size} windows does not fit into the card's memory.")
        batch_size //= 2
        torch._dynamo.reset()
    memory = peak_memory_gib(device)
    about[row] = {
        "batch_size": batch_size,
        "seconds until warm": round(time.perf_counter() - start, 2),
        "peak_memory_gib": None if memory is None else round(memory - before / 2**30, 2),
    }
    return steps, batch_size * plan.train.grad_accum * plan.shape.block_size
