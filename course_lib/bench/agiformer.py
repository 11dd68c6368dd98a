"""AGIFORMER beside the original: seconds and memory of a training step, and bytes per second of generation.

Each number comes from a process of its own, with as many threads as are asked for, and the
programs take turns. Both compute the same (`AGIFormerConfig.faithful`), with the same dropout, AdamW and clipping, and
read and guess as many bytes. (Its own script reads one patch less; a step of 1,020 bytes takes it about two thirds of
the time of one of 1,024.)
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.bench.byte_models import build_course, build_original, course_loss, find_original, original_loss
from course_lib.bench.peer import course_path
from course_lib.bench.reporting import heading, summary
from course_lib.programs import run_program
from course_lib.sampling import stream

SHAPE = {"n_embd": 256, "n_layer": 4, "n_head": 8, "dropout": 0.1}
STEPS = {1024: (4, 1, 3), 8192: (4, 0, 1)}
"""By bytes of context: batch, steps that do not count, steps that do."""
ALONE = {4096: (1, 1, 2), 65536: (1, 0, 1)}
"""Lengths at which the course alone is measured: does the cost of a byte grow?"""
CONTEXT, NEW_BYTES = 1000, {"course": 200, "original": 16}
GOALS = {
    "seconds at 1024": 3.0, "seconds at 8192": 5.0, "memory at 1024": 1 / 0.65, "memory at 8192": 1 / 0.45,
    "memory at 1024, recomputed": 3.0, "bytes per second": 25.0,
}  # fmt: skip
"""How many times better than the original, on one thread."""
PROCESS = """import json, sys
from course_lib.bench.agiformer import measured
print(json.dumps(measured(json.loads(sys.argv[1]))))
"""
"""What a process runs that measures one thing."""
AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Linux's allocator then gives every large block back to the system at once."""
GROWTH = 1.2
"""Goal: by how much a byte at 65,536 may cost more than one at 4,096."""


Programs = dict[str, str | None]
"""Their names, and the path of that which is not the course."""


def bench_agiformer(command: str, runs: int, peer: Path | None, recipe: str | None) -> dict[str, Any]:
    """All rows, with one thread and, where there are several cores, again with all of them."""
    programs = {"course": None} | ({} if peer is None else {"original": str(find_original(peer))})
    cores = os.cpu_count() or 1
    rows = {
        f"{name}, {threads} threads" if threads > 1 else name: row
        for threads in dict.fromkeys((1, cores))
        for name, row in _rows(programs, threads, runs)
    }
    ratios = {name: ratio for name, row in rows.items() for ratio in row["ratios"].values() if name in GOALS}
    growth = _growth(rows)
    missed = [f"{n}: {r:.2f} times, goal {GOALS[n]:.2f}" for n, r in ratios.items() if r < GOALS[n]]
    missed += [f"a byte at {max(ALONE)} costs {growth:.2f} of one at {min(ALONE)}"] if growth > GROWTH else []
    details = {"model": SHAPE, "growth_of_a_bytes_cost": round(growth, 3), "missed": missed}
    return heading("agiformer", command) | {"details": details, "rows": rows}


def _rows(programs: Programs, threads: int, runs: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for length, (batch, warm, steps) in STEPS.items():
        plan = {"length": length, "batch": batch, "warm": warm, "steps": steps, "threads": threads, "what": "train"}
        found = _turns(programs, plan, runs)
        yield f"seconds at {length}", summary("seconds", {n: [r["seconds"] for r in rs] for n, rs in found.items()})
    if threads == 1:
        yield from _memory_rows(programs)
    found = _turns(programs, {"what": "generate", "threads": threads}, runs)
    yield "bytes per second", summary("bytes per second", {n: [r["rate"] for r in rs] for n, rs in found.items()})
    for length, (batch, warm, steps) in ALONE.items() if threads == 1 else ():
        plan = {"what": "train", "length": length, "batch": batch, "warm": warm, "steps": steps, "threads": threads}
        found = _turns({"course": None}, plan, runs)["course"]
        yield (
            f"alone at {length}",
            summary(
                "seconds", {"course": [r["seconds"] for r in found]}, memory_mib=[round(r["memory"]) for r in found]
            ),
        )


def _memory_rows(programs: Programs) -> Iterator[tuple[str, dict[str, Any]]]:
    """Peaks of two steps (the first makes the optimizer's state), beyond what the process had before the model.

    In these processes alone, memory that is given back goes to the system at once: otherwise one would see what the
    allocator keeps for later, which is half as much again or more. ``ratios`` read as those of seconds do.
    """
    for length, (batch, _, _) in STEPS.items():
        plan = {"length": length, "batch": batch, "warm": 1, "steps": 1, "threads": 1, "what": "train"}
        found = _turns(programs, plan, 1, AT_ONCE)
        yield f"memory at {length}", _memory(found)
        if length == min(STEPS):
            again = _turns({"course": None}, plan | {"recompute": True}, 1, AT_ONCE)
            yield f"memory at {length}, recomputed", _memory(found | again)


def _turns(
    programs: Programs, plan: dict[str, Any], runs: int, more: Mapping[str, str] = MappingProxyType({})
) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for _ in range(runs):
        for name, peer in programs.items():
            words = [sys.executable, "-c", PROCESS, json.dumps(plan | {"peer": peer})]
            threads = {"OMP_NUM_THREADS": str(plan["threads"]), "COURSE_THREADS": str(plan["threads"])}
            found[name].append(json.loads(run_program(words, environment=course_path() | threads | more).out))
    return found


def _memory(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    return summary("seconds", {n: [r["memory"] for r in rs] for n, rs in found.items()}) | {"unit": "MiB"}


def _growth(rows: dict[str, dict[str, Any]]) -> float:
    each = {length: rows[f"alone at {length}"]["medians"]["course"] / (length * ALONE[length][0]) for length in ALONE}
    return each[max(ALONE)] / each[min(ALONE)]


# ---- one process -------------------------------------------------------------------------------------------


def measured(plan: dict[str, Any]) -> dict[str, float]:
    """What one process finds out, as the plan says: seconds and memory of a step, or the rate of generation."""
    torch.set_num_threads(plan["threads"])
    torch.manual_seed(0)
    _warm_up()
    before = _peak_mib()
    peer, recompute = plan["peer"], plan.get("recompute", False)
    model = build_original(Path(peer), SHAPE) if peer else build_course(SHAPE, recompute=recompute)
    if plan["what"] == "generate":
        write = _original_writes if peer else _course_writes
        return {"rate": write(model.eval(), torch.randint(256, (1, CONTEXT)))}
    seconds = _train(model, original_loss if peer else course_loss, plan)
    return {"seconds": seconds, "memory": _peak_mib() - before}


def _warm_up() -> None:
    """A step of a model of 16 weights: what torch loads at its first use is not what a model takes."""
    model = nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 4)).sum().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _train(model: nn.Module, loss: Callable[[nn.Module, Tensor], Tensor], plan: dict[str, Any]) -> float:
    """Seconds of the quickest step: what disturbs a step only makes it longer."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01)
    times = []
    for _ in range(plan["warm"] + plan["steps"]):
        idx = torch.randint(256, (plan["batch"], plan["length"] + 4))
        start = time.perf_counter()
        optimizer.zero_grad()
        loss(model, idx).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        times.append(time.perf_counter() - start)
    return min(times[plan["warm"] :])


def _course_writes(model: nn.Module, prompt: Tensor) -> float:
    new = NEW_BYTES["course"]
    tokens = stream(model, prompt, new + 1, temperature=0)
    next(tokens)  # after the prompt
    start = time.perf_counter()
    for _ in tokens:
        pass
    return new / (time.perf_counter() - start)


@torch.no_grad()
def _original_writes(model: Any, prompt: Tensor) -> float:
    """As its ``generate.py`` does, a patch at a time, each time from all of the last 1,024 bytes."""
    new = NEW_BYTES["original"]
    model(prompt)
    start = time.perf_counter()
    for _ in range(new // 4):
        prompt = torch.cat((prompt, model(prompt[:, -1024:], temperature=0.0)[:, -1]), dim=1)
    return new / (time.perf_counter() - start)
