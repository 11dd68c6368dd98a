"""The benchmarks of one thing each, on any machine: generate, cpp, step, recipe, bpe, micro, agiformer."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from course_lib import checkpoint
from course_lib.bench.agiformer import bench_agiformer
from course_lib.bench.alone import Writing
from course_lib.bench.micro import bench_micro
from course_lib.bench.peer import load_peer, peer_steps
from course_lib.bench.reporting import Measure, report, summary, take_turns, timed
from course_lib.bench.tokenizing import bench_bpe
from course_lib.bench.whole_runs import bench_recipe
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.device import find
from course_lib.errors import CourseError, nearest
from course_lib.interop import compile_cpp, export_cpp
from course_lib.kernels import find_compiler
from course_lib.models import GPT
from course_lib.programs import run_program
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.sampling import generate
from course_lib.tokenizers import CharTokenizer

SIZE = {"block_size": 256, "vocab_size": 65, "n_layer": 6, "n_head": 6, "n_embd": 384}
"""The model that generates: nanoGPT's for Tiny Shakespeare."""
DRAWN: dict[str, Any] = {"max_new_tokens": 255, "temperature": 0.8}
STREAMS = 16


def bench_generate(command: str, runs: int, peer: Path | None, recipe: str | None) -> dict[str, Any]:
    """255 tokens after a prompt of one: 6 layers x 384, context 256; one stream and several.

    One stream: the sampler with its cache and without, and where a compiler is at hand the C++ program, timed by its
    own clock. Several streams: the sampler; in ``details`` under ``streams``, from at most two runs. Each time in a
    process of its own, as its users start it; the model is there, and a few tokens are written that do not count.
    """
    device = find("auto").device
    if peer is not None:
        load_peer(peer)
    alone = _writers(1, device, peer)
    alone["course without cache"] = Writing(SIZE, DRAWN, device=device, use_cache=False).seconds
    with tempfile.TemporaryDirectory() as scratch:
        if device == "cpu" and find_compiler() is not None:
            torch.manual_seed(0)
            words = ["--temperature", str(DRAWN["temperature"])]
            alone["C++"] = _writing_in_cpp(GPT(GPTConfig(**SIZE)).eval(), Path(scratch), words)
        results = take_turns(alone, runs)
    streams = {"number": STREAMS, **summary("seconds", take_turns(_writers(STREAMS, device, peer), min(runs, 2)))}
    return report("generate", command, "seconds", results, model=SIZE, device=device, **DRAWN, streams=streams)


def _writers(streams: int, device: str, peer: Path | None) -> dict[str, Callable[[], float]]:
    """What writes ``streams`` texts side by side, and says how long it took."""
    rows = {"course": Writing(SIZE, DRAWN, streams, device).seconds}
    if peer is not None:
        rows["nanoGPT"] = Writing(SIZE, DRAWN, streams, device, peer=str(peer.resolve())).seconds
    return rows


def _writing_in_cpp(
    model: GPT, folder: Path, words: list[str], new: list[list[int]] | None = None
) -> Callable[[], float]:
    """The exported C++ program: each call writes 255 tokens, adds them to ``new``, and returns the seconds."""
    tokenizer = CharTokenizer("".join(chr(48 + i) for i in range(SIZE["vocab_size"])))
    checkpoint.create_run(folder / "run", RunConfig("bench", DataConfig(), model.config, TrainConfig()), tokenizer)
    checkpoint.save(folder / "run", 1, model)
    program = compile_cpp(export_cpp(folder / "run", folder / "cpp"))
    command = [program, folder / "cpp", "--prompt", "0", "--max-new-tokens", "255", "--ids", "--time", *words]

    def write() -> float:
        done = run_program(command)
        if new is not None:
            new.append([int(word) for word in done.out.split()])
        return float(done.err.split()[-2])

    return write


def bench_cpp(command: str, runs: int, peer: Path | None, recipe: str | None) -> dict[str, Any]:
    """255 greedy tokens after a prompt of one, 6 layers x 384, context 256: the Python sampler and the C++ program.

    Both are timed from the prompt's first token to the last new one, the model loaded: the sampler inside this
    process, after a first time that does not count; the program by its own clock, in a new process each time.
    """
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SIZE)).eval()
    prompt = torch.zeros((1, 1), dtype=torch.long)
    new: list[list[int]] = []
    with tempfile.TemporaryDirectory() as scratch:
        write_in_cpp = _writing_in_cpp(model, Path(scratch), ["--temperature", "0"], new)

        def write_in_python() -> float:
            start = time.perf_counter()
            new.append(generate(model, prompt, 255, temperature=0)[0, 1:].tolist())
            return time.perf_counter() - start

        write_in_python()
        results = take_turns({"course": write_in_python, "C++": write_in_cpp}, runs)
    same = all(tokens == new[0] for tokens in new)
    return report("cpp", command, "seconds", results, model=SIZE, device="cpu", max_new_tokens=255, same_tokens=same)


def bench_step(command: str, runs: int, peer: Path | None, recipe: str | None) -> dict[str, Any]:
    """Training speed of a recipe in tokens per second; the peer trains its model of that size."""
    chosen = load_recipe(recipe or "shakespeare_char_cpu")
    n_steps = 20 if find(chosen.train.device).kind == "cpu" else 100
    chosen = chosen.replace(max_steps=10**6, decay_steps=10**6, eval_every=0, log_every=10)
    trainer = build_trainer(chosen)
    per_run = n_steps * trainer.batches.tokens_per_step
    rows = {"course": lambda: [next(trainer) for _ in range(n_steps)]}
    if peer is not None:
        steps = peer_steps(
            load_peer(peer), trainer.model.config, trainer.batches, trainer.compute, trainer.config.compile
        )
        rows["nanoGPT"] = lambda: steps(n_steps)
    for action in rows.values():
        action()
    seconds = take_turns({row: timed(action) for row, action in rows.items()}, runs)
    results = {row: [per_run / value for value in values] for row, values in seconds.items()}
    details = {"recipe": chosen.name, "precision": trainer.compute.precision, "compile": trainer.config.compile}
    return report("step", command, "tokens per second", results, **details, steps=n_steps)


BENCHMARKS = {
    "generate": bench_generate,
    "cpp": bench_cpp,
    "step": bench_step,
    "recipe": bench_recipe,
    "bpe": bench_bpe,
    "micro": bench_micro,
    "agiformer": bench_agiformer,
}


def run(
    name: str,
    command: str,
    runs: int,
    peer: Path | None = None,
    recipe: str | None = None,
    more: dict[str, Measure] | None = None,
) -> dict[str, Any]:
    """The benchmark ``name``; CourseError for an unknown one or fewer than one run.

    Args:
        more: measurements from elsewhere, by name: ``measure(runs, recipe)`` -> (unit, rows, details).
    """
    more = more or {}
    if name not in BENCHMARKS and name not in more:
        raise CourseError(f"There is no benchmark {name!r}: {nearest(name, [*BENCHMARKS, *more])}")
    if runs < 1:
        raise CourseError(f"runs should be at least 1; it is {runs}.")
    if name in BENCHMARKS:
        return BENCHMARKS[name](command, runs, peer, recipe)
    unit, rows, details = more[name](runs, recipe)
    return report(name, command, unit, rows, **details)
