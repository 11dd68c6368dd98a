"""Whole training runs as their users start them, each in a process of its own: seconds, loss, bytes."""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from course_lib import checkpoint
from course_lib.bench.peer import PEER_ARGS, TRAIN, copy_peer, course_path, load_peer, scratch_project
from course_lib.bench.reporting import report, take_turns
from course_lib.device import select
from course_lib.programs import run_program
from course_lib.recipes import load_recipe

WATCH = """
import json, sys, subprocess, time
start = time.perf_counter()
status = subprocess.run(sys.argv[1:]).returncode
seconds, peak = time.perf_counter() - start, None
if sys.platform != "win32":
    import resource
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([seconds, peak]), file=sys.stderr)
sys.exit(status)
"""
"""Runs a program in a process of its own, as peak memory is known of all children together."""


def bench_recipe(command: str, runs: int, peer: Path | None, recipe: str | None) -> dict[str, Any]:
    """A whole training run, from the start of the process to its exit, the text at hand.

    The course's runs have the seeds 1, 2, ...; nanoGPT's script has one seed. Details: ``best_val_loss`` of each run,
    and of the last one ``sizes``: weights, those that one token meets, the bytes of a save, peak memory.
    """
    name = recipe or "shakespeare_char_cpu"
    losses: dict[str, list[float]] = {"course": []}
    sizes: dict[str, dict[str, Any]] = {"course": {}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        text = scratch_project(folder, "shakespeare_char")
        rows: dict[str, Callable[[], float]] = {
            "course": lambda: _run_course(name, folder, losses["course"], sizes["course"])
        }
        if peer is not None:
            load_peer(peer)
            losses["nanoGPT"], sizes["nanoGPT"] = [], {}
            copy = copy_peer(peer, folder / "peer", text)
            rows["nanoGPT"] = lambda: _run_peer(copy, PEER_ARGS.get(name, []), losses["nanoGPT"], sizes["nanoGPT"])
        results = take_turns(rows, runs)
    config = load_recipe(name).train
    compute = select(config.device, config.precision, config.tf32)
    return report(
        "recipe", command, "seconds", results, recipe=name, precision=compute.precision, best_val_loss=losses,
        scored_on={"course": "the whole validation split", "nanoGPT": "random validation batches"}, sizes=sizes,
    )  # fmt: skip


def _watched(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> tuple[str, float, int]:
    """What it printed, its seconds and the bytes of its memory at their peak."""
    done = run_program([sys.executable, "-I", "-S", "-c", WATCH, *command], folder, environment)
    seconds, peak = json.loads(done.err.splitlines()[-1])
    return done.out, seconds, peak


def _run_course(recipe: str, folder: Path, losses: list[float], sizes: dict[str, Any]) -> float:
    run = Path(tempfile.mkdtemp(dir=folder)) / "run"
    seed = str(len(losses) + 1)
    command = [sys.executable, "-m", "course_lib", "train", recipe, "--seed", seed, "--out-dir", str(run)]
    _, seconds, peak = _watched(command, folder, course_path())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses.append(round(min(row["val_loss"] for row in rows if row["val_loss"] is not None), 4))
    model: Any = checkpoint.load(run).model
    files = checkpoint.find_save(run, "last").iterdir()
    sizes |= {"weights": model.num_parameters(), "active_weights": model.num_active_parameters()}
    sizes |= {"save_bytes": sum(file.stat().st_size for file in files), "peak_bytes": peak}
    return seconds


def _run_peer(folder: Path, args: list[str], losses: list[float], sizes: dict[str, Any]) -> float:
    out, seconds, peak = _watched([sys.executable, *TRAIN, *args], folder)
    lines = [line for line in out.splitlines() if "val loss" in line]
    losses.append(min(float(line.rsplit("val loss", 1)[1]) for line in lines))
    for save in folder.glob("out*/ckpt.pt"):
        tensors = torch.load(save, "cpu", weights_only=True)["model"].values()
        weights = sum({tensor.data_ptr(): tensor.numel() for tensor in tensors}.values())  # tied ones once
        sizes |= {"weights": weights, "active_weights": weights, "save_bytes": save.stat().st_size}
    sizes["peak_bytes"] = peak
    return seconds
