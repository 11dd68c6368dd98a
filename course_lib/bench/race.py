"""Who reaches a validation loss first, in seconds from the start of the process: the course, and nanoGPT.

Both losses are those of the whole validation split, by the same windows and in the same arithmetic: nanoGPT trains by
its own script and scores random batches; what it saved at each of its evaluations is scored afterwards, and the time
that counts is the one at which it printed that evaluation. Both compile into folders that are empty when they start.
"""

import itertools
import json
import math
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from course_lib.bench.peer import TRAIN, build_peer, copy_peer, course_path, load_peer, scratch_project
from course_lib.bench.watching import watch
from course_lib.data import prepared_for
from course_lib.device import Compute, select
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_batchers
from course_lib.training import mean_loss

EVALUATION = re.compile(r"step (\d+):.*val loss ([\d.]+|nan|inf)(?:, evaluations ([\d.]+) s)?")
STEP = re.compile(r"iter (\d+): loss")
HOW = (
    "from the start of each process, nothing compiled beforehand, to the evaluation that shows the loss; scored on the "
    "whole validation split for both, nanoGPT's saves after its run. 'without evaluations' leaves out what each spends "
    "on scoring: nanoGPT's own settings score 200 batches of both splits every 250 steps (told from the times of its "
    "lines), the course the whole validation split."
)
SURELY_BELOW = 0.02
"""nanoGPT is stopped once its own score is this far below the target: the whole split's score is then below it, too."""
PATIENCE = 3
"""It is also stopped after this many evaluations in a row without a new lowest score: it learns by heart then."""


@dataclass
class Way:
    """One program's way to the target: (step, loss, seconds from the start of the process) of each evaluation."""

    target: float
    evaluations: list[tuple[int, float, float]] = field(default_factory=list)
    spent: dict[int, float] = field(default_factory=dict)
    """Step to the seconds that evaluations had taken by then, where the program says so itself."""

    def heard(self, seconds: float, line: str) -> bool:
        """Read a line of output; True where nothing more has to be heard."""
        found = EVALUATION.match(line)
        if found is None:
            return False
        self.evaluations.append((int(found[1]), float(found[2]), seconds))
        self.spent[int(found[1])] = float(found[3] or 0.0)
        return float(found[2]) <= self.target

    def result(self, ended: str) -> dict[str, Any]:
        """When the target was reached; where it was not, when the lowest loss was."""
        if not self.evaluations:
            return {"reached": False, "seconds": None, "ended": ended, "evaluations": []}
        below = [e for e in self.evaluations if e[1] <= self.target]
        step, loss, seconds = below[0] if below else min(self.evaluations, key=lambda e: (math.isnan(e[1]), e[1]))
        return {
            "reached": bool(below),
            "seconds": round(seconds, 2),
            "without evaluations": round(seconds - self.evaluating_until(step), 2),
            "step": step,
            "val_loss": round(loss, 4),
            "ended": ended,
            "evaluations": [(s, round(v, 4), round(t, 2)) for s, v, t in self.evaluations],
        }

    def evaluating_until(self, step: int) -> float:
        """Seconds of evaluations up to the one after ``step`` steps."""
        return self.spent.get(step, 0.0)


@dataclass
class PeerWay(Way):
    """nanoGPT's way: its lines, and its saves, each moved aside before the next one takes its place."""

    out: Path = Path()
    saves: dict[int, Path] = field(default_factory=dict)
    steps: list[tuple[int, float]] = field(default_factory=list)
    own_scores: list[tuple[int, float, float]] = field(default_factory=list)
    _saving: int | None = None

    def heard(self, seconds: float, line: str) -> bool:
        self.keep()  # the line after "saving checkpoint" comes when the save is whole
        if found := STEP.match(line):
            self.steps.append((int(found[1]), seconds))
        elif found := EVALUATION.match(line):
            self.own_scores.append((int(found[1]), float(found[2]), seconds))
        elif line.startswith("saving checkpoint"):
            self._saving = self.own_scores[-1][0]
        return self._saving is None and self._has_enough()

    def _has_enough(self) -> bool:
        losses = [loss for _, loss, _ in self.own_scores]
        if not losses:
            return False
        return min(losses) <= self.target - SURELY_BELOW or len(losses) - 1 - losses.index(min(losses)) >= PATIENCE

    def keep(self) -> None:
        """Move a save that is whole out of the way."""
        if self._saving is None:
            return
        path = self.out / "ckpt.pt"
        if path.is_file():
            self.saves[self._saving] = path.rename(self.out / f"{self._saving}.pt")
        self._saving = None

    def score(self, score_of: Callable[[Path], tuple[int, float]]) -> None:
        """Score the saves in their order, up to the first that reaches the target.

        Args:
            score_of: a save's file -> (the step that it is of, its loss).
        """
        when = {step: seconds for step, _, seconds in self.own_scores}
        for _, path in sorted(self.saves.items()):
            step, loss = score_of(path)
            self.evaluations.append((step, loss, when[step]))
            if self.evaluations[-1][1] <= self.target:
                break

    def evaluating_until(self, step: int) -> float:
        """An estimate from outside: a few more steps lie between the last line of a step and that of an evaluation.
        They take as long as other steps; the rest is the evaluation."""
        total = 0.0
        for at, _, seconds in self.own_scores:
            before = [s for s in self.steps if s[0] < at]
            if not 0 < at <= step or not before:
                continue
            gaps = [
                (b[1] - a[1]) / (b[0] - a[0])
                for a, b in itertools.pairwise(before)
                if not any(a[0] < score[0] <= b[0] for score in self.own_scores)
            ]
            n, last = before[-1]
            pace = sorted(gaps)[len(gaps) // 2] if gaps else 0.0
            total += max(0.0, seconds - last - (at - n - 1) * pace)
        return total


def race(
    recipe: Recipe, target: float, peer: Path | None, peer_args: list[str], limit: Callable[[], float]
) -> Iterator[dict[str, Any]]:
    """Results as they come: first the course alone, then both.

    Args:
        limit: the seconds that are left, asked for before each program.

    Raises:
        CourseError: for a text that cannot be had, or a program that fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        text = scratch_project(folder, recipe.data.dataset)
        result: dict[str, Any] = {"unit": "seconds from the start of the process", "target": target}
        result["how"] = HOW
        result["course"] = run_course(recipe, target, folder, limit())
        if peer is None:
            yield result | {"nanoGPT": {"left_out": "no copy of nanoGPT was given (--peer PATH)"}}
            return
        yield result
        load_peer(peer)
        copy = copy_peer(peer, folder / "peer", text)
        result["nanoGPT"] = run_peer(copy, recipe, target, peer_args, limit())
        ours, theirs = result["course"], result["nanoGPT"]
        if ours["reached"] and theirs["seconds"]:
            # Where nanoGPT's lowest loss is above the target, it would have needed longer: the share is "at most" this.
            result["share of nanoGPT's time"] = round(ours["seconds"] / theirs["seconds"], 3)
        yield result


def _empty_caches(folder: Path, name: str) -> dict[str, str]:
    """A program would find the compiled kernels of an earlier run: each begins without any."""
    caches = folder / "caches" / name
    return {"TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"), "TRITON_CACHE_DIR": str(caches / "triton")}


def run_course(recipe: Recipe, target: float, folder: Path, limit: float) -> dict[str, Any]:
    """Train until the target in a process of its own; see `course_lib.bench.until`."""
    path = folder / f"{recipe.name}.toml"
    settings = (f"{name} = {json.dumps(value)}\n" for name, value in recipe.settings.items())
    path.write_text("".join(settings), encoding="utf-8")
    words = [str(path), "--loss", str(target), "--out-dir", str(folder / "run")]
    way = Way(target)
    command = [sys.executable, "-m", "course_lib.bench.until", *words]
    ended = watch(command, folder, course_path() | _empty_caches(folder, "course"), way.heard, limit)
    return way.result(ended)


def run_peer(copy: Path, recipe: Recipe, target: float, args: list[str], limit: float) -> dict[str, Any]:
    """nanoGPT's own script with its own settings; what it saved is scored when it has ended."""
    out = copy / "out-race"
    way = PeerWay(target, out=out)
    command = [sys.executable, *TRAIN, f"--out_dir={out.name}", *args]
    ended = watch(command, copy, _empty_caches(copy.parent, "peer"), way.heard, limit)
    way.keep()
    way.score(lambda path: peer_loss(copy, path, recipe))
    own = [(step, loss, round(seconds, 2)) for step, loss, seconds in way.own_scores]
    return way.result(ended) | {"its own scores, on random batches": own}


def peer_loss(copy: Path, save: Path, recipe: Recipe) -> tuple[int, float]:
    """The step of one of nanoGPT's saves, and its loss as the course scores its own: every target of the split once."""
    compute: Compute = select(recipe.train.device, recipe.train.precision)
    kept = torch.load(save, map_location=compute.device, weights_only=True)
    model = build_peer(load_peer(copy), **kept["model_args"])
    model.load_state_dict({name.removeprefix("_orig_mod."): value for name, value in kept["model"].items()})
    prepared = prepared_for(recipe.data)
    _, val_batches = build_batchers(prepared, recipe.train, kept["model_args"]["block_size"])
    value = mean_loss(
        model.to(compute.device), val_batches.windows(), lambda m, x, y: m(x, targets=y)[1], compute=compute
    )
    assert value is not None
    return int(kept["iter_num"]), value
