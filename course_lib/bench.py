"""Speed, measured: on this machine, several times, beside a peer where one is given by its path.

Each benchmark returns one JSON form, the one kept under ``data/reference/``: command, machine,
versions, date, every run, medians, and ratios of medians taken in turn in the same call. The peer is a
copy of nanoGPT (github.com/karpathy/nanoGPT); nothing of it is part of this project.
"""

import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from course_lib import checkpoint
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig, nearest
from course_lib.data import load_bytes
from course_lib.device import find, processor, select
from course_lib.errors import CourseError
from course_lib.interop import compile_cpp, export_cpp
from course_lib.models import GPT
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.sampling import generate
from course_lib.tokenizers import CharTokenizer
from course_lib.training.borrowed import Borrowed

PEER_CPU = (
    "--device=cpu --compile=False --eval_iters=20 --log_interval=1 --block_size=64 --batch_size=12 --n_layer=4 "
    "--n_head=4 --n_embd=128 --max_iters=2000 --lr_decay_iters=2000 --dropout=0.0"
)
"""nanoGPT's recipe for Tiny Shakespeare on a CPU, as its README gives it."""
PEER_ARGS = {"shakespeare_char_cpu": PEER_CPU.split(), "shakespeare_char": []}
SIZE = {"block_size": 256, "vocab_size": 65, "n_layer": 6, "n_head": 6, "n_embd": 384}
"""The model that generates: nanoGPT's for Tiny Shakespeare."""

Runs = dict[str, list[float]]
Measure = Callable[[int, str | None], tuple[str, Runs, dict[str, Any]]]


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    found = find("auto")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": found.name if found.kind != "cpu" else "cpu",
    }


def report(name: str, command: str, unit: str, runs: Runs, **details: Any) -> dict[str, Any]:
    """The JSON form. ``ratios`` holds other / course for each other row: above 1, the course is faster.

    Of rows in tokens per second it is course / other, so that it reads the same way.
    """
    medians = {row: statistics.median(values) for row, values in runs.items()}
    faster = unit != "seconds"
    ratios = {
        f"course vs {row}": medians["course"] / median if faster else median / medians["course"]
        for row, median in medians.items()
        if row != "course"
    }
    return {
        "benchmark": name,
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in ("course-lib", "torch", "numpy")}},
        "unit": unit,
        "details": details,
        "runs": {row: [round(value, 4) for value in values] for row, values in runs.items()},
        "medians": {row: round(value, 4) for row, value in medians.items()},
        "ratios": {row: round(value, 3) for row, value in ratios.items()},
    }


def to_json(result: dict[str, Any]) -> str:
    return json.dumps(result, indent=2) + "\n"


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


def take_turns(rows: dict[str, Callable[[], float]], runs: int) -> Runs:
    """Measure each row once, then each again, ...: what disturbs the machine disturbs all alike."""
    results: Runs = {row: [] for row in rows}
    for _ in range(runs):
        for row, measure in rows.items():
            results[row].append(measure())
    return results


def _timed(action: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        start = time.perf_counter()
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return measure


# ---- the benchmarks ----------------------------------------------------------------------------------


def bench_generate(command: str, runs: int, peer: Path | None, recipe: str | None) -> dict[str, Any]:
    """255 tokens after a prompt of one: 6 layers x 384, context 256; with the cache and without."""
    device = find("auto").device
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SIZE)).to(device).eval()
    prompt = torch.zeros((1, 1), dtype=torch.long, device=device)
    settings = {"max_new_tokens": 255, "temperature": 0.8}
    rows: dict[str, Callable[[], object]] = {
        "course": lambda: generate(model, prompt, **settings, seed=1),
        "course without cache": lambda: generate(model, prompt, **settings, seed=1, use_cache=False),
    }
    if peer is not None:
        module = load_peer(peer)
        other = module.GPT(module.GPTConfig(**SIZE, dropout=0.0, bias=False)).to(device).eval()
        rows["nanoGPT"] = lambda: other.generate(prompt, **settings)
    for action in rows.values():  # a first time that does not count
        action()
    results = take_turns({row: _timed(action) for row, action in rows.items()}, runs)
    return report("generate", command, "seconds", results, model=SIZE, device=device, **settings)


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
        folder = Path(scratch)
        tokenizer = CharTokenizer("".join(chr(48 + i) for i in range(SIZE["vocab_size"])))
        checkpoint.create_run(folder / "run", RunConfig("bench", DataConfig(), model.config, TrainConfig()), tokenizer)
        checkpoint.save(folder / "run", 1, model)
        program = compile_cpp(export_cpp(folder / "run", folder / "cpp"))
        words = "--prompt 0 --max-new-tokens 255 --temperature 0 --ids --time".split()

        def write_in_cpp() -> float:
            done = subprocess.run([program, folder / "cpp", *words], capture_output=True, text=True)
            new.append([int(word) for word in done.stdout.split()])
            return float(done.stderr.split()[-2])

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
        rows["nanoGPT"] = _peer_steps(load_peer(peer), trainer, n_steps)
    for action in rows.values():
        action()
    seconds = take_turns({row: _timed(action) for row, action in rows.items()}, runs)
    results = {row: [per_run / value for value in values] for row, values in seconds.items()}
    details = {"recipe": chosen.name, "precision": trainer.compute.precision, "compile": trainer.config.compile}
    return report("step", command, "tokens per second", results, **details, steps=n_steps)


def _peer_steps(module: ModuleType, trainer: Any, n_steps: int) -> Callable[[], object]:
    """nanoGPT's model and optimizer in nanoGPT's loop, on the same batches and in the same precision."""
    shape, compute, batches = trainer.model.config, trainer.compute, trainer.batches
    names = ("block_size", "vocab_size", "n_layer", "n_head", "n_embd", "dropout", "bias")
    model = module.GPT(module.GPTConfig(**{name: getattr(shape, name) for name in names})).to(compute.device)
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), compute.kind)
    scaler = compute.build_scaler()
    forward: Callable[..., tuple[Tensor, Tensor]] = torch.compile(model) if trainer.config.compile else model

    def steps() -> None:
        for step in range(n_steps):
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

    return lambda: Borrowed(compute).during(steps)  # with the trainer's TF32 or without


def bench_recipe(command: str, runs: int, peer: Path | None, recipe: str | None) -> dict[str, Any]:
    """A whole training run, from the start of the process to its exit, the text at hand."""
    name = recipe or "shakespeare_char_cpu"
    losses: dict[str, list[float]] = {"course": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "_toc.yml").touch()  # a project root of its own, with the text in it
        (folder / "data" / "tinyshakespeare").mkdir(parents=True)
        text = folder / "data" / "tinyshakespeare" / "input.txt"
        text.write_bytes(load_bytes("shakespeare_char"))
        rows = {"course": lambda: _run_course(name, folder, losses["course"])}
        if peer is not None:
            load_peer(peer)
            losses["nanoGPT"] = []
            copy = _copy_peer(peer, folder / "peer", text)
            rows["nanoGPT"] = lambda: _run_peer(copy, PEER_ARGS.get(name, []), losses["nanoGPT"])
        results = take_turns(rows, runs)
    config = load_recipe(name).train
    compute = select(config.device, config.precision, config.tf32)
    return report(
        "recipe", command, "seconds", results, recipe=name, precision=compute.precision, best_val_loss=losses,
        scored_on={"course": "the whole validation split", "nanoGPT": "random validation batches"},
    )  # fmt: skip


def _run_course(recipe: str, folder: Path, losses: list[float]) -> float:
    run = Path(tempfile.mkdtemp(dir=folder)) / "run"
    command = [sys.executable, "-m", "course_lib", "train", recipe, "--out-dir", str(run)]
    where = str(Path(__file__).resolve().parents[1])  # also where the course is not installed
    path = os.pathsep.join([where, *filter(None, [os.environ.get("PYTHONPATH")])])
    seconds = _run(command, folder, {"PYTHONPATH": path})[0]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses.append(round(min(row["val_loss"] for row in rows if row["val_loss"] is not None), 4))
    return seconds


def _copy_peer(peer: Path, target: Path, text: Path) -> Path:
    """A copy of the peer with its data prepared by its own script: that time does not count."""
    shutil.copytree(peer, target, ignore=shutil.ignore_patterns(".git", "assets", "out*"))
    data = target / "data" / "shakespeare_char"
    shutil.copy(text, data / "input.txt")
    _run([sys.executable, "prepare.py"], data, {})
    return target


def _run_peer(folder: Path, args: list[str], losses: list[float]) -> float:
    command = [sys.executable, "train.py", "config/train_shakespeare_char.py", *args]
    seconds, output = _run(command, folder, {})
    lines = [line for line in output.splitlines() if "val loss" in line]
    losses.append(min(float(line.rsplit("val loss", 1)[1]) for line in lines))
    return seconds


def _run(command: list[str], folder: Path, more: dict[str, str]) -> tuple[float, str]:
    """Seconds from start to exit, and what was printed; a failure raises CourseError with its last lines."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=os.environ | more, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise CourseError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return seconds, done.stdout


BENCHMARKS = {"generate": bench_generate, "cpp": bench_cpp, "step": bench_step, "recipe": bench_recipe}


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
