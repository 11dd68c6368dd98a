"""Forecasts a run's time by this machine's speed; its work and memory are counted in `course_lib.lab.counting`.

Time is counted work over measured speed: multiplications, and the moment that each layer costs however small it is.
Short trials on this machine give the speed of both.
"""

import time
from dataclasses import dataclass

import torch

from course_lib.data import Batcher
from course_lib.device import find
from course_lib.lab.counting import Count, counted
from course_lib.models import build_model
from course_lib.recipes import Recipe
from course_lib.training import Trainer

FEW_BYTES = 16e6
"""So much the system takes or leaves in any run: of a model that needs less, what it takes tells nothing."""
ALWAYS_TAKEN = 40e6
"""Bytes that the system shows for any run on a processor, however small: code that the first step loads, and memory
that the allocator keeps in pieces. Measured: 9 to 62 MB where a run needs 9, 36 to 49 where it needs 44, 46 to 49 where
it needs 93; the most with evaluations and samples."""
TOO_LITTLE = 75e6
"""Of so few bytes most may be `ALWAYS_TAKEN`, which differs from run to run: no forecast of them is scored."""


@dataclass(frozen=True)
class Speed:
    """What a machine can do, in seconds: per operation, per layer at any size, and per step at any depth."""

    per_flop: float
    per_layer: float
    per_step: float


def _count(recipe: Recipe, vocab_size: int) -> Count:
    return counted(recipe.model(vocab_size), recipe.train, on_card=find(recipe.train.device).kind != "cpu")


def weights_of(recipe: Recipe, vocab_size: int) -> int:
    """How many weights the recipe's model has."""
    return _count(recipe, vocab_size).weights


def step_flops(recipe: Recipe, vocab_size: int) -> float:
    """Floating-point operations of one training step, the optimizer's among them."""
    count = _count(recipe, vocab_size)
    return count.both * recipe.train.grad_accum + count.update


def step_seconds(recipe: Recipe, vocab_size: int, speed: Speed) -> float:
    """How long one training step takes."""
    passes = getattr(recipe.model(vocab_size), "n_layer", 1) * recipe.train.grad_accum
    return step_flops(recipe, vocab_size) * speed.per_flop + passes * speed.per_layer + speed.per_step


def seconds_for(recipe: Recipe, vocab_size: int, val_tokens: int, speed: Speed) -> float:
    """How long the whole run takes: all steps, and the evaluations between them."""
    train, block_size = recipe.train, recipe.model(vocab_size).block_size
    evaluations = 1 + ((train.max_steps - 1) // train.eval_every if train.eval_every else 0)
    scored = val_tokens
    if train.eval_batches is not None:
        scored = min(val_tokens, train.eval_batches * train.batch_size * block_size)
    in_batches = scored / (train.batch_size * block_size)
    forward = _count(recipe, vocab_size).forward * in_batches
    return train.max_steps * step_seconds(recipe, vocab_size, speed) + evaluations * forward * speed.per_flop


def memory_for(recipe: Recipe, vocab_size: int) -> float:
    """Bytes that training adds to what Python and torch take, as `counted` has them."""
    return _count(recipe, vocab_size).memory


# ---- the trials --------------------------------------------------------------------------------------


def measured_speed(recipe: Recipe, vocab_size: int) -> Speed:
    """Short trials with models of the recipe's form: two tiny ones, and one that is busy multiplying.

    Random numbers are as they were afterwards, and nothing is kept.
    """
    width, batch_size = (512, 32) if find(recipe.train.device).kind == "cuda" else (128, 8)
    trial = recipe.replace(n_head=2, dropout=0.0, grad_accum=1, block_size=8, batch_size=1, n_embd=32, compile=False)
    trial = trial.replace(max_lr=1e-9, min_lr=0.0, log_every=1)  # a rate that explodes is the run's to show, not theirs
    thin, deep = trial.replace(n_layer=1), trial.replace(n_layer=4)
    busy = trial.replace(n_layer=1, n_embd=width, block_size=64, batch_size=batch_size)
    one, four, much = (_trial(r, vocab_size) for r in (thin, deep, busy))
    per_layer = max(four - one, 0.1 * one) / 3
    flops = step_flops(busy, vocab_size) - step_flops(thin, vocab_size)
    return Speed(max(much - one, 0.1 * one) / flops, per_layer, max(one - per_layer, 0.0))


def _trial(recipe: Recipe, vocab_size: int, times: int = 5) -> float:
    """Seconds of one training step: the shortest of a few, as others may want the processor too."""
    config, block_size = recipe.train.replace(max_steps=times), recipe.model(vocab_size).block_size
    device = find(config.device)
    with torch.random.fork_rng(devices=[device.device] if device.kind == "cuda" else []):
        batches = Batcher([0] * (block_size + 1), config.batch_size, block_size, config.seed, device=device.device)
        trainer = Trainer(build_model(recipe.model(vocab_size)), batches, config)
        seconds = []
        for _ in range(times):
            start = time.perf_counter()
            next(trainer)  # reads the loss, and so waits for the device
            seconds.append(time.perf_counter() - start)
    return min(seconds)


@dataclass(frozen=True)
class Forecast:
    """What a run takes, as it is known before its first step."""

    seconds: float
    memory: float
    """Bytes, beyond what Python and torch take."""
    weights: int
    tokens: int
    """Targets in all its steps."""


class Forecaster:
    """Forecasts for one kind of run, right from the start, and better after each run that was measured.

    Args:
        recipe: whose form the trials take.
        val_tokens: how many tokens the validation split has.
    """

    def __init__(self, recipe: Recipe, vocab_size: int, val_tokens: int) -> None:
        self._vocab_size, self._val_tokens = vocab_size, val_tokens
        self._speed = measured_speed(recipe, vocab_size)
        self._correction = self._memory_correction = 1.0

    def seconds(self, recipe: Recipe) -> float:
        """How long a run takes."""
        return self._correction * seconds_for(recipe, self._vocab_size, self._val_tokens, self._speed)

    def for_steps(self, recipe: Recipe, steps: int) -> float:
        """How long so many steps of a run take, without evaluations."""
        return self._correction * steps * step_seconds(recipe, self._vocab_size, self._speed)

    def memory(self, recipe: Recipe) -> float:
        """Bytes that a run needs beyond what Python and torch take."""
        return self._memory_correction * memory_for(recipe, self._vocab_size) + _always_taken(recipe)

    def forecast(self, recipe: Recipe) -> Forecast:
        """All that is known of a run before its first step."""
        train, block_size = recipe.train, recipe.model(self._vocab_size).block_size
        tokens = train.max_steps * train.batch_size * train.grad_accum * block_size
        return Forecast(self.seconds(recipe), self.memory(recipe), weights_of(recipe, self._vocab_size), tokens)

    def learn(self, recipe: Recipe, steps: int, seconds: float, memory: float | None = None) -> None:
        """Take to heart that ``steps`` of a run took ``seconds``; a handful of steps teaches nothing.

        Of ``memory`` (bytes) it learns only upward: what the system keeps of one run, the next one gets unseen. And
        only of a run that needs more than `FEW_BYTES`, or a large model would be refused for what a tiny one took.
        """
        if steps < 10:
            return
        self._correction *= seconds / self.seconds(recipe.replace(max_steps=steps))
        own = memory_for(recipe, self._vocab_size)
        if memory is not None and own >= FEW_BYTES:
            self._memory_correction = max(self._memory_correction, (memory - _always_taken(recipe)) / own)


def _always_taken(recipe: Recipe) -> float:
    """`ALWAYS_TAKEN`, or nothing on a card, where torch counts its own memory alone."""
    return ALWAYS_TAKEN if find(recipe.train.device).kind == "cpu" else 0.0


# ---- in words ----------------------------------------------------------------------------------------


def in_seconds(seconds: float) -> str:
    """Two digits of a time: "4.4 s", "40 s", "3 minutes"."""
    if seconds < 9.5:
        return f"{seconds:.2g} s"
    if seconds <= 90:
        return f"{seconds:.0f} s"
    for size, unit in ((60, "minutes"), (3600, "hours"), (86400, "days")):
        if seconds < 90 * size or unit == "days":
            digits = ".0f" if seconds > 9.5 * size else ".2g"
            return f"{seconds / size:{digits}} {unit}"
    raise AssertionError("days take all that is left")


def about_seconds(seconds: float) -> str:
    """As rough as a forecast is: "about 40 s", "about 3 minutes"."""
    if seconds < 1.5:
        return "about a second"
    if seconds < 10:
        return f"about {seconds:.0f} s"
    return f"about {in_seconds(5 * round(seconds / 5) if seconds < 90 else seconds)}"


def in_bytes(count: float) -> str:
    """To two digits, in MB or GB."""
    megabytes = count / 1e6
    if megabytes < 1:
        return "less than 1 MB"
    rounded = float(f"{megabytes:.2g}")
    return f"{rounded:.0f} MB" if rounded < 1000 else f"{rounded / 1000:.1f} GB"


def about_bytes(count: float) -> str:
    """The same as an estimate."""
    words = in_bytes(count)
    return words if words.startswith("less") else f"about {words}"
