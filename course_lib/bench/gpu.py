"""The list for a machine with a card, in order of value: ``python -m course_lib.bench gpu --peer PATH --out FILE``.

Each row is written to FILE as soon as it is known, so that a run that is cut off loses nothing. A row that would not
fit into the minutes that are left is left out, and a row that fails does not stop the others: both are said. Nothing
is needed but torch, numpy, safetensors, tqdm and filelock, and the course need not be installed.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib.bench.parts import measure_parts
from course_lib.bench.race import race
from course_lib.bench.reporting import heading, to_json
from course_lib.bench.steps import StepPlan, measure_steps
from course_lib.bench.table import goals_of, is_meant_for, table
from course_lib.bench.writing import measure_writing
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import load_prepared, prepare
from course_lib.device import find
from course_lib.errors import CourseError
from course_lib.paths import replace_file
from course_lib.peaks import Peak, known_peak, measured_peak
from course_lib.recipes import Recipe, load_recipe

GPT2 = {"block_size": 1024, "vocab_size": 50304, "n_layer": 12, "n_head": 12, "n_embd": 768}
"""GPT-2's smallest, 124 million weights; its 50,257 tokens filled up to a multiple of 64, as nanoGPT has it."""
LONGEST_RACE = 240.0
"""Seconds that one program has to come to its loss: the other rows want their time too."""
TOY = {"block_size": 16, "vocab_size": 64, "n_layer": 1, "n_head": 2, "n_embd": 16}
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
    turn_seconds: float
    pace: float
    """What a row's estimate, which is for an H100, is multiplied by."""


def in_earnest() -> Sizes:
    """The recipe of Tiny Shakespeare, GPT-2's smallest shape, nanoGPT's own settings."""
    recipe = load_recipe("shakespeare_char")
    train = TrainConfig(batch_size=8, max_lr=6e-4, warmup_steps=100, log_every=10, compile=True)
    writer = {"block_size": 256, "vocab_size": 65, "n_layer": 6, "n_head": 6, "n_embd": 384}
    return Sizes(recipe, 1.47, (), GPT2, train, 256, writer, 255, 64, 3.0, 1.0)


def toys() -> Sizes:
    """Every row of the list in its smallest form, on a text that needs no download."""
    small = dict(block_size=16, n_layer=1, n_head=2, n_embd=16, batch_size=4, dropout=0.0, max_steps=40, device="cpu")
    more = dict(dataset="tinytales", eval_every=10, cooldown_steps=10, warmup_steps=2, compile=False)
    recipe = load_recipe("shakespeare_char").replace(**small, **more)
    train = TrainConfig(batch_size=1, log_every=10, device="cpu")
    return Sizes(recipe, 3.0, tuple(TOY_PEER.split()), TOY, train, 4, TOY, 8, 3, 0.02, 0.02)


@dataclass(frozen=True)
class Row:
    """One row of the list. ``measure`` yields its result, first in part and then whole."""

    name: str
    seconds: float
    """How long it takes, about, on an H100: what is left out is decided by this."""
    measure: Callable[[], Iterator[dict[str, Any]]]


def rows_of(
    sizes: Sizes, peer: Path | None, peak: Peak, compile: bool, left: Callable[[], float], done: dict[str, Any]
) -> list[Row]:
    """The list. ``left`` says how many seconds there are; ``done`` is where rows find those before them."""
    recipe = sizes.recipe.replace(compile=compile)
    args = [*sizes.peer_args, *([] if compile or sizes.peer_args else ["--compile=False"])]

    def small_plan() -> StepPlan:
        data = recipe.data
        prepared = load_prepared(prepare(data.dataset, data.tokenizer, data.val_fraction))
        tokens = np.fromfile(prepared.path("train"), dtype=prepared.manifest["dtype"])
        shape = recipe.model(prepared.tokenizer.vocab_size)
        return StepPlan(shape, recipe.train, tokens, seconds=sizes.turn_seconds)

    def gpt2_plan() -> StepPlan:
        tokens = np.random.default_rng(0).integers(0, sizes.gpt2["vocab_size"], 2**20, dtype=np.int64)
        shape = GPTConfig(**sizes.gpt2)
        return StepPlan(shape, sizes.gpt2_train, tokens, True, sizes.largest_batch, seconds=sizes.turn_seconds)

    def gpt2_batch() -> int:
        """The batch that was found to fit, or the smallest where that row is not there."""
        return done.get("step gpt2", {}).get("details", {}).get("course", {}).get("batch_size", 8)

    def parts(plan: Callable[[], StepPlan], batch_size: Callable[[], int]) -> Iterator[dict[str, Any]]:
        yield measure_parts(plan(), batch_size(), compile)

    def writing(streams: int) -> Iterator[dict[str, Any]]:
        return measure_writing(sizes.writer, streams, sizes.new_tokens, peer, recipe.train.device)

    return [
        Row("time to loss", 140, lambda: race(recipe, sizes.target, peer, args, lambda: min(left(), LONGEST_RACE))),
        Row("step gpt2", 110, lambda: measure_steps(gpt2_plan(), peak, peer, compile)),
        Row("step shakespeare", 60, lambda: measure_steps(small_plan(), peak, peer, compile)),
        Row("generation, 1 stream", 15, lambda: writing(1)),
        Row("generation, many streams", 15, lambda: writing(sizes.streams)),
        Row("parts shakespeare", 30, lambda: parts(small_plan, lambda: recipe.train.batch_size)),
        Row("parts gpt2", 40, lambda: parts(gpt2_plan, gpt2_batch)),
    ]


def run_rows(rows: list[Row], left: Callable[[], float], done: dict[str, Any], keep: Callable[[], None]) -> bool:
    """Go down the list; ``keep`` is called after every result, also one that is there in part.

    Returns:
        False where Ctrl-C ended it; what was not begun says so.
    """
    stopped = False
    for row in rows:
        if stopped:
            done[row.name] = {"left_out": "stopped by Ctrl-C"}
        elif left() < row.seconds:
            done[row.name] = {"left_out": f"it would take about {row.seconds:.0f} s; {max(left(), 0):.0f} s were left"}
        else:
            stopped = not _run_row(row, done, keep)
        keep()
    return not stopped


def _run_row(row: Row, done: dict[str, Any], keep: Callable[[], None]) -> bool:
    """False where Ctrl-C came. Whatever else a row raises is its result: a card's time is too dear for a traceback."""
    print(f"{row.name} ...", flush=True)
    start = time.perf_counter()
    result: dict[str, Any] = {}
    try:
        for partial in row.measure():
            result = done[row.name] = partial | {"took": round(time.perf_counter() - start, 1)}
            keep()
    except KeyboardInterrupt:
        done[row.name] = result | {"failed": "stopped by Ctrl-C"}
        return False
    except Exception as error:
        done[row.name] = result | {"failed": f"{type(error).__name__}: {error}"[-1500:]}
    return True


def can_compile(device: str) -> str | None:
    """None where torch.compile works on ``device``; else what it said. It needs Triton and a C compiler."""
    try:
        torch.compile(lambda x: (x * 2).sin() + 1)(torch.ones(64, device=device))
    except Exception as error:  # of many kinds, by what is missing
        return f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]
    return None


def run_gpu(out: Path, peer: Path | None, minutes: float = 8.0, tiny: bool = False) -> dict[str, Any]:
    """Measure the whole list and write it to ``out``; returns what was written.

    Args:
        minutes: the budget, from now on.
        tiny: toys on the CPU: whether the list runs, not how fast.

    Raises:
        CourseError: without a CUDA card (and not tiny), for a budget that is not above 0, a peer that is not there or
            a file that cannot be written.
        KeyboardInterrupt: where Ctrl-C came; what was measured until then is written and printed.
    """
    start = time.perf_counter()
    found = find("cpu" if tiny else "auto")
    if found.kind != "cuda" and not tiny:
        raise CourseError(
            f"The list is for a CUDA card; torch {torch.__version__} sees none here. Add --tiny to try it on the CPU."
        )
    if not minutes > 0:
        raise CourseError(f"minutes should be above 0; it is {minutes}.")
    if peer is not None and not (peer / "train.py").is_file():
        raise CourseError(f"{peer} should be a copy of nanoGPT, with train.py in it; it is not. Give --peer PATH.")
    sizes = toys() if tiny else in_earnest()
    words = f"--peer PATH{' --tiny' if tiny else ''} --minutes {minutes:g}" if peer else f"--minutes {minutes:g}"
    result = heading("gpu", f"python -m course_lib.bench gpu {words}")
    result["goals are for this card"] = not tiny and is_meant_for(found.name)
    done: dict[str, Any] = {}
    result["rows"] = done

    def keep() -> None:
        result["minutes"] = round((time.perf_counter() - start) / 60, 2)
        result["goals"] = goals_of(done, result["goals are for this card"])
        try:
            replace_file(out, to_json(json.loads(json.dumps(result))))
        except OSError as error:
            raise CourseError(f"Cannot write {out}: {error.strerror}. Name another file: --out FILE") from error

    def left() -> float:
        return minutes * 60 - (time.perf_counter() - start)

    keep()  # a file that cannot be written is known at once
    problem = "not tried: --tiny" if tiny else can_compile(found.device)
    result["torch.compile"] = problem or "works"
    peak = (None if tiny else known_peak(found.name)) or measured_peak(found.device, 64 if tiny else 8192)
    result["peak"] = {"tflops": round(peak.flops / 1e12, 4), "dtype": peak.dtype, "source": peak.source}
    rows = rows_of(sizes, peer, peak, problem is None, left, done)
    rows = [Row(row.name, row.seconds * sizes.pace, row.measure) for row in rows]
    whole = run_rows(rows, left, done, keep)
    print(table(result))
    if not whole:
        raise KeyboardInterrupt
    return result
