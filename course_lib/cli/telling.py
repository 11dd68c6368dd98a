"""What ``course train`` says in a terminal: before a run, while it goes on, and after it."""

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from course_lib.cli.speed import Speedometer
from course_lib.config import TrainConfig
from course_lib.paths import quoted
from course_lib.progress import progress_bar

ABSURD = 10
"""The terminal is told of a loss of this many times ln V. Knowing nothing costs ln V; a loss of ten times that means a
chance of V**-10 for each right token, and no training that is going to succeed passes through that."""


def opening(trainer: Any) -> str:
    """The device, the model, the data and the run, and what looks like a mistake in its settings."""
    c, model, data = trainer.config, trainer.model, trainer.batches
    return "\n".join([
        *trainer.compute.reasons,
        f"{model.num_parameters():,} weights; vocabulary {model.config.vocab_size}; ln V = "
        f"{math.log(model.config.vocab_size):.3f} nats is the loss of knowing nothing",
        f"{len(data.tokens):,} training tokens; {data.tokens_per_step:,} per step; {c.max_steps} steps"
        + (f", from step {trainer.step}" if trainer.step else ""),
        f"run: {quoted(trainer.run_dir)}",
        *warnings(c, trainer.step),
    ])  # fmt: skip


def warnings(config: TrainConfig, step: int) -> list[str]:
    """What looks like a mistake in the learning rate's course from ``step`` on."""
    _, highest, _ = course_of_lr(config, step)
    if highest == 0:
        return ["note: the learning rate is 0 from here on: nothing is learned. Give --min-lr or more --decay-steps."]
    if config.warmup_steps >= config.max_steps:
        return [
            f"note: the warm-up takes {config.warmup_steps} steps and the run {config.max_steps}: the learning rate "
            f"only climbs, to {highest:.3g} of {config.max_lr:.3g}"
        ]
    return []


def course_of_lr(config: TrainConfig, step: int) -> tuple[float, float, float]:
    """The learning rate now, at its highest from here, and at the end of the run."""
    from course_lib.optim import scheduled_lr

    last = max(step, config.max_steps - 1)
    # It climbs in the warm-up, and never after it: the highest is at one of the ends, or where the warm-up ends.
    turns = (t for t in (config.warmup_steps - 1, config.warmup_steps) if step <= t <= last)
    return (
        scheduled_lr(config, step),
        max(scheduled_lr(config, t) for t in (step, *turns, last)),
        scheduled_lr(config, last),
    )


def resuming(trainer: Any, dropout: tuple[float | None, float | None]) -> str:
    """What differs from the settings of the save that a run goes on from, and the learning rate from here.

    Args:
        dropout: the rate before and now; it is no setting of the trainer's.
    """
    from course_lib.optim import scheduled_lr

    old, new, step = trainer.before, trainer.config, trainer.step
    pairs = {name: (getattr(old, name), getattr(new, name)) for name in TrainConfig.names()} | {"dropout": dropout}
    lines = [f"{name}: {before} -> {now}" for name, (before, now) in pairs.items() if before != now]
    now, highest, end = course_of_lr(new, step)
    lines.append(f"learning rate: {now:.3g} now, {highest:.3g} at its highest from here, {end:.3g} at the end")
    before = scheduled_lr(old, step)
    follows = old.decay_steps is None and new.decay_steps is None
    longer = scheduled_lr(old.replace(max_steps=new.max_steps), step)
    if follows and f"{before:.3g}" != f"{longer:.3g}":
        lines.append(
            f"note: the decay ends with the run. With {old.max_steps} steps the learning rate was to be {before:.3g} "
            f"here; with {new.max_steps} it is {now:.3g}. To keep the old decay"
            f"{'' if before else ' (at a rate of 0 nothing is learned)'}: --decay-steps {old.max_steps}"
        )
    return "\n".join(lines)


def finished(trainer: Any) -> str:
    """The words in place of a training with no steps to take."""
    step, wanted = trainer.step, trainer.config.max_steps
    taken = f"its {step} steps" if step == wanted else f"{step} steps, more than the {wanted} that are asked for"
    return (
        f"{quoted(trainer.run_dir)} is finished: it has taken {taken}. To make it longer: course train --resume "
        f"{quoted(trainer.run_dir)} --max-steps {2 * step}"
    )


class Teller:
    """Says how a run goes. Where nobody can hear it any more (a closed terminal, a pipe) the run is saved and stops."""

    def __init__(self, trainer: Any, tells_speed: bool = False) -> None:
        self.trainer, self.bar = trainer, tqdm(disable=True)
        self.speed = Speedometer(trainer, tells_speed)
        self.is_heard, self._speaks = True, trainer.world.is_main
        self._absurd: float | None = ABSURD * math.log(trainer.model.config.vocab_size)

    def say(self, text: str) -> None:
        """A line above the bar."""
        if self._speaks:
            self.bar.write(text)

    @contextlib.contextmanager
    def _stopping_unheard(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.is_heard = False
            self.trainer.stop()

    def begin(self) -> None:
        """Say what comes before the first step."""
        with self._stopping_unheard():
            if self._speaks:
                print(opening(self.trainer), flush=True)
        with self._stopping_unheard():  # the bar shows itself as soon as it is made
            silent = {} if self._speaks else {"disable": True}
            steps = {"total": self.trainer.config.max_steps, "initial": self.trainer.step}
            self.bar = progress_bar(**steps, unit="step", smoothing=0.1, **silent)

    def tell(self, record: Any) -> None:
        """Move the bar; write a line for an evaluation."""
        with self._stopping_unheard():
            self.bar.update()
            self.speed.count(record)
            if record.train_loss is not None:
                self.bar.set_postfix_str(f"loss {record.train_loss:.3f}", refresh=False)
            if record.val_loss is not None:
                self.say("  ".join(filter(None, [line(self.trainer, record), self.speed.read()])))
            self._tell_of_an_absurd_loss(record)

    def _tell_of_an_absurd_loss(self, record: Any) -> None:
        loss = max(x for x in (record.train_loss, record.val_loss, 0.0) if x is not None)
        if self._absurd is not None and loss > self._absurd:
            self._absurd = None  # once
            self.say(
                f"note: the loss is {loss:.3g} at step {record.step + 1}, more than {ABSURD} times ln V: this training "
                f"is diverging. Stop it (Ctrl-C) and try a lower max_lr (it is {self.trainer.config.max_lr:g})."
            )

    def close(self, *last_words: str) -> None:
        """Take the bar away, and say the rest."""
        try:
            self.bar.close()
            if self._speaks:
                print(*last_words, sep="", end="\n" * bool(last_words), flush=True)
        except OSError:
            self.is_heard = False
        if not self.is_heard:
            mute()


def mute() -> None:
    """Throw away what is still to be printed: Python would fail on it when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())


def line(trainer: Any, record: Any) -> str:
    """The line for one evaluation."""
    train_loss = f"{record.train_loss:.4f}" if record.train_loss is not None else "  -   "
    return (
        f"step {record.step + 1:>6}  train {train_loss}  val {record.val_loss:.4f}  "
        f"{_bits(trainer, record.val_loss):.3f} bits per byte  lr {record.lr:.2e}  "
        f"{record.seconds:7.1f} s" + ("  best" if record.best else "")
    )


def evaluation(trainer: Any) -> str:
    """What the model scores as it is: on the validation split, and on as many batches of the training split where
    eval_batches says how many."""
    from course_lib.training.borrowed import Borrowed
    from course_lib.training.scoring import mean_loss

    val_loss, batches = trainer.evaluate(), trainer.config.eval_batches
    words = [f"step {trainer.step}"]
    if batches is not None:
        how = {"compute": trainer.compute, "world": trainer.world}
        windows = trainer.batches.windows(batches)
        train = Borrowed(trainer.compute).during(lambda: mean_loss(trainer.model, windows, **how))
        words.append(f"train {train:.4f}")
    words += [f"val {val_loss:.4f} nats per token", f"{_bits(trainer, val_loss):.4f} bits per byte"]
    part = "the whole split" if batches is None else f"{batches} batches"
    return "  ".join([*words, f"perplexity {math.exp(min(val_loss, 700)):.4g}", f"on {part}"])


def _bits(trainer: Any, val_loss: float) -> float:
    from course_lib.losses import bits_per_byte
    from course_lib.recipes.build import val_bytes_per_token

    return bits_per_byte(val_loss, 1, val_bytes_per_token(trainer))


def closing(trainer: Any) -> str:
    """The best loss and the speed, and what can be done next."""
    lines = []
    if math.isfinite(trainer.best_val_loss):
        part = "the whole validation split" if trainer.config.eval_batches is None else "part of the validation split"
        speed = trainer.tokens / trainer.seconds if trainer.seconds else 0
        bpb = _bits(trainer, trainer.best_val_loss)
        lines.append(f"best: {trainer.best_val_loss:.4f} nats per token ({bpb:.3f} bits per byte) on {part}")
        nothing = math.log(trainer.model.config.vocab_size)
        if trainer.best_val_loss > nothing:
            lines.append(f"note: that is worse than knowing nothing ({nothing:.4f}); a lower --max-lr may help")
        lines.append(f"speed: {speed:,.0f} tokens per second, evaluations included")
    if trainer.overflows.total:
        lines.append(f"fp16 overflowed: {trainer.overflows.total} of {trainer.step} updates were skipped")
    if trainer.step < trainer.config.max_steps:
        lines.append(f"stopped after {trainer.step} steps; go on with: course train --resume {quoted(trainer.run_dir)}")
    lines.append(f"sample from it with: course sample {quoted(trainer.run_dir)}")
    return "\n".join(lines)
