"""The rows of the card's list that are measured by Python code, each in a process of its own.

A card's error can spoil every later call of the process that meets it, and memory that one measurement leaves in pieces
is missing in the next. ``python -m course_lib.bench.rows NAME JOB`` is such a process; it prints what it finds.
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from course_lib.bench.byte_models import measure_bytes
from course_lib.bench.parts import measure_parts
from course_lib.bench.peer import course_path
from course_lib.bench.steps import StepPlan, measure_steps
from course_lib.bench.watching import watch
from course_lib.bench.writing import measure_writing
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import prepared_for
from course_lib.errors import CourseError
from course_lib.peaks import Peak
from course_lib.recipes import Recipe, load_recipe

GPT2 = {"block_size": 1024, "vocab_size": 50304, "n_layer": 12, "n_head": 12, "n_embd": 768}
"""GPT-2's smallest, 124 million weights; its 50,257 tokens filled up to a multiple of 64, as nanoGPT has it."""
TOY = {"block_size": 16, "vocab_size": 64, "n_layer": 1, "n_head": 2, "n_embd": 16}
AGIFORMER = {"n_layer": 6, "n_head": 8, "n_embd": 512, "dropout": 0.1}
"""The original's own sizes; its script trains on four windows of 1,024 bytes."""
TOY_PEER = (
    "--device=cpu --compile=False --eval_iters=2 --eval_interval=10 --log_interval=5 --max_iters=40 --batch_size=4 "
    "--block_size=16 --n_layer=1 --n_head=2 --n_embd=16 --dropout=0.0 --learning_rate=3e-2 --warmup_iters=2"
)


@dataclass(frozen=True)
class Sizes:
    """How large everything is: in earnest, or as toys that take seconds on a CPU."""

    recipe: Recipe
    target: float
    peer_args: tuple[str, ...]
    gpt2: dict[str, int]
    gpt2_train: TrainConfig
    largest_batch: int
    writer: dict[str, int]
    new_tokens: int
    streams: int
    agiformer: dict[str, Any]
    lengths: tuple[int, int]
    """Windows that it is trained on, in bytes; four in a step."""
    turn_seconds: float
    pace: float
    """A row's estimate is for an H100; it is multiplied by this."""

    def small_plan(self) -> StepPlan:
        """The recipe's own model, text and batch."""
        prepared = prepared_for(self.recipe.data)
        tokens = np.fromfile(prepared.path("train"), dtype=prepared.manifest["dtype"])
        shape = self.recipe.model(prepared.tokenizer.vocab_size)
        return StepPlan(shape, self.recipe.train, tokens, seconds=self.turn_seconds)

    def gpt2_plan(self) -> StepPlan:
        """GPT-2's form on ids that mean nothing, in the batch that fills the card."""
        tokens = np.random.default_rng(0).integers(0, self.gpt2["vocab_size"], 2**20, dtype=np.int64)
        shape = GPTConfig(**self.gpt2)
        return StepPlan(shape, self.gpt2_train, tokens, True, self.largest_batch, seconds=self.turn_seconds)


def in_earnest() -> Sizes:
    """The recipe of Tiny Shakespeare, GPT-2's smallest shape, nanoGPT's own settings."""
    recipe = load_recipe("shakespeare_char")
    train = TrainConfig(batch_size=8, max_lr=6e-4, warmup_steps=100, log_every=10, compile=True)
    writer = {"block_size": 256, "vocab_size": 65, "n_layer": 6, "n_head": 6, "n_embd": 384}
    return Sizes(recipe, 1.47, (), GPT2, train, 256, writer, 255, 64, AGIFORMER, (1024, 8192), 3.0, 1.0)


def toys() -> Sizes:
    """Every row of the list in its smallest form, on a text that needs no download."""
    small = dict(block_size=16, n_layer=1, n_head=2, n_embd=16, batch_size=4, dropout=0.0, max_steps=40, device="cpu")
    more = dict(dataset="tinytales", eval_every=10, cooldown_steps=10, warmup_steps=2, compile=False)
    recipe = load_recipe("shakespeare_char").replace(**small, **more)
    train = TrainConfig(batch_size=1, log_every=10, device="cpu")
    bytes_toy, lengths = AGIFORMER | {"n_layer": 1, "n_head": 2, "n_embd": 16}, (8, 12)
    return Sizes(recipe, 3.0, tuple(TOY_PEER.split()), TOY, train, 4, TOY, 8, 3, bytes_toy, lengths, 0.02, 0.02)


@dataclass(frozen=True)
class Job:
    """What a row has to know besides its name."""

    tiny: bool
    compile: bool
    peak: Peak
    peer: str | None = None
    original: str | None = None
    """A checkout of the original AGIFORMER."""
    gpt2_batch: int = 8
    """The batch that was found to fill the card."""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        settings = json.loads(text)
        return cls(**settings | {"peak": Peak(**settings["peak"])})

    @property
    def sizes(self) -> Sizes:
        return toys() if self.tiny else in_earnest()

    @property
    def peer_path(self) -> Path | None:
        return None if self.peer is None else Path(self.peer)


def _writing(job: Job, streams: int) -> Iterator[dict[str, Any]]:
    sizes = job.sizes
    return measure_writing(sizes.writer, streams, sizes.new_tokens, job.peer_path, sizes.recipe.train.device)


def _steps(job: Job, plan: StepPlan) -> Iterator[dict[str, Any]]:
    return measure_steps(plan, job.peak, job.peer_path, job.compile)


def _bytes(job: Job, which: int) -> Iterator[dict[str, Any]]:
    sizes = job.sizes
    original = None if job.original is None else Path(job.original)
    device, length = sizes.recipe.train.device, sizes.lengths[which]
    return measure_bytes(sizes.agiformer, 4, length, original, device, job.compile, sizes.turn_seconds)


def _parts(job: Job, plan: StepPlan, batch_size: int) -> Iterator[dict[str, Any]]:
    yield measure_parts(plan, batch_size, job.compile)


MEASURES: dict[str, Callable[[Job], Iterator[dict[str, Any]]]] = {
    "step gpt2": lambda job: _steps(job, job.sizes.gpt2_plan()),
    "step shakespeare": lambda job: _steps(job, job.sizes.small_plan()),
    "generation, 1 stream": lambda job: _writing(job, 1),
    "generation, many streams": lambda job: _writing(job, job.sizes.streams),
    "step agiformer": lambda job: _bytes(job, 0),
    "step agiformer, long": lambda job: _bytes(job, 1),
    "parts shakespeare": lambda job: _parts(job, job.sizes.small_plan(), job.sizes.recipe.train.batch_size),
    "parts gpt2": lambda job: _parts(job, job.sizes.gpt2_plan(), job.gpt2_batch),
}
"""Name to results as they come: first in part, then whole."""
MARK = "RESULT "


def in_a_process(name: str, job: Job, tell: Callable[[dict[str, Any]], None], limit: float) -> None:
    """Measure the row in a new process for ``limit`` seconds at most; ``tell`` gets each result as it comes.

    Raises:
        CourseError: where it failed, with its last lines; where the time was not enough.
    """

    def heard(seconds: float, line: str) -> bool:
        if line.startswith(MARK):
            tell(json.loads(line[len(MARK) :]))
        return False

    command = [sys.executable, "-m", "course_lib.bench.rows", name, job.to_json()]
    if watch(command, Path.cwd(), course_path(), heard, limit) == "timed out":
        raise CourseError(f"it was stopped after {limit:.0f} s, as the minutes were over")


def main(argv: list[str]) -> int:
    """``NAME JOB``, as `in_a_process` gives them."""
    name, job = argv
    for result in MEASURES[name](Job.from_json(job)):
        print(MARK + json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
