"""The loop: zero_grad, forward, loss, backward, step, over and over.

`Trainer` is one iterator of `StepRecord`. ``for record in trainer: ...`` is the whole interface: pausing
is not asking for the next one. Precision, accumulation, clipping, several processes and compilation are
set up around the five lines, in `Trainer.__init__`, not woven into them.

A step is whole or has not happened. Ctrl-C and JupyterLab's stop button may raise KeyboardInterrupt between any
two lines; they are held back while the weights move and the step is counted, and what is owed after that (an
evaluation, a row, a save, the record itself) is remembered: the loop can simply be run again.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from course_lib import checkpoint
from course_lib.config import DataConfig, RunConfig, TrainConfig
from course_lib.device import current_world, seed_for
from course_lib.errors import CourseError
from course_lib.optim import scheduled_lr, set_lr
from course_lib.tokenizers import Tokenizer
from course_lib.training.borrowed import Borrowed
from course_lib.training.keeping import Keeper, kept_by
from course_lib.training.optimizer import OwnOptimizer, optimizer_for
from course_lib.training.overflow import Overflows
from course_lib.training.record import Batches, Loss, Owed, StepRecord
from course_lib.training.resuming import Save, split, take_up
from course_lib.training.scoring import diverged, explain_memory, next_token_loss, validation_loss
from course_lib.training.setup import adopt, compute_for, wrap
from course_lib.training.signals import holding_signals
from course_lib.training.state import dropout_of, move, state_of
from course_lib.training.update import clip, take_step


class _Stopped(Exception):
    """A stop was asked for in the middle of a step."""


class Trainer:
    """Trains ``model`` on ``batches``; iterate over it.

    All randomness of a step (which windows, which activations dropout drops) is a function of the seed
    and the step. So a resumed run is the run that was never stopped, bit for bit, and nothing that
    happens between two steps can change it. torch's own generator is left as it was before the step.

    Args:
        model: any nn.Module; it is moved to the device that ``config`` asks for.
        batches: `Batches`; with ``micro_steps`` as `Batcher` has it, or ``config.grad_accum`` micro-batches.
        config: how to train; batch_size, grad_accum and seed come from ``batches``, where they are not given here.
        loss: ``loss(model, x, y)`` -> scalar; by default `next_token_loss`.
        val_batches: scored every ``config.eval_every`` steps: its ``windows(max_batches)`` where it has that,
            else ``batch(0)`` to ``batch(eval_batches - 1)``.
        tokenizer: kept with the run, so that its saves can be sampled from.
        run_dir: where to keep saves and metrics; None keeps nothing.
        recipe, data: for the run's ``config.json``: what the run is called and what it is trained on. Without
            ``data`` it says that nobody knows, and only `resume` can go on with it, not the command line.
        optimizer: one's own, or a function from a model to it, in place of the one that ``config`` asks for. The
            schedule sets its groups' rates, see `optimizer_for`; ``max_lr`` is its own, where nobody chose one.

    Raises:
        CourseError: for a device, precision, compiler or TensorBoard that is not there, a run_dir that holds a run;
            while iterating, for a loss that is not finite (in fp16: at 30 steps in a row, see
            `StepRecord.skipped`), memory that runs out, a folder that cannot be written.
    """

    def __init__(
        self, model: nn.Module, batches: Batches, config: TrainConfig, loss: Loss | None = None,
        val_batches: Any = None, tokenizer: Tokenizer | None = None, run_dir: str | Path | None = None,
        recipe: str = "custom", data: DataConfig | None = None, optimizer: OwnOptimizer | None = None,
    ) -> None:  # fmt: skip
        self.world = current_world()
        config = adopt(config, model, batches, val_batches, self.world)
        self.batches, self.val_batches, self.tokenizer = batches, val_batches, tokenizer
        self.compute = compute_for(config, self.world)
        self._borrowed = Borrowed(self.compute)
        self.model = model.to(self.compute.device)
        self.optimizer, config = optimizer_for(self.model, config, optimizer)
        self.config, self.has_own_optimizer = config, optimizer is not None
        self.forward_model, self.loss = wrap(self.model, loss or next_token_loss, config.compile, self.world)
        self.scaler = self.compute.build_scaler()
        self.overflows = Overflows(self.scaler, self.compute.device)
        self.micro_steps: int = getattr(batches, "micro_steps", config.grad_accum)
        self.step, self.has_begun, self.has_own_loss = 0, False, loss not in (None, next_token_loss)
        self.tokens, self.seconds, self.best_val_loss = 0, 0.0, math.inf
        self.min_lr = config.min_lr  # as it was asked for: max_lr may be moved below it and back
        self.before: TrainConfig | None = None  # of a resumed run: its settings as the save has them
        self.owed: Owed | None = None
        self._stop = threading.Event()
        self._keeper: Keeper | None = None
        self.run_dir = Path(run_dir) if run_dir is not None else None
        if self.run_dir is not None and self.world.is_main:
            about = RunConfig(recipe, data, checkpoint.settings_of(model), config)
            self._keeper = Keeper.new(self.run_dir, about, tokenizer)

    @classmethod
    def resume(
        cls, run_dir: str | Path | Save, batches: Batches, val_batches: Any = None, loss: Loss | None = None,
        which: str | int = "last", model: nn.Module | None = None, optimizer: OwnOptimizer | str | None = None,
        **changes: Any,
    ) -> Self:  # fmt: skip
        """Go on with a run from a save, with the settings it had then.

        Args:
            model: takes the weights, where the run's is none that the library can build.
            optimizer: one's own, as the run was trained with it; its groups get the settings that they had.
            changes: settings of TrainConfig that differ from now on; the next save keeps them.

        Raises:
            CourseError: where the folder is no run, the save is damaged or of another model, another process trains it,
                or the run's model or optimizer is its program's own and not given.
        """
        read, world = run_dir if isinstance(run_dir, Save) else None, current_world()
        run_dir = read.run_dir if read else checkpoint.find_run(run_dir)
        with checkpoint.locked(run_dir) if world.is_main else contextlib.nullcontext():
            world.barrier()  # from here on nobody writes what is read now
            own, changes = split(optimizer, changes)
            save = read or Save.read(run_dir, which)
            config = TrainConfig.from_dict(save.state["train"]).replace(**changes)
            self = cls(save.weighed(model, own), batches, config, loss, val_batches, save.tokenizer, optimizer=own)
            take_up(self, save, changes)
            if world.is_main:
                self._keeper = Keeper.resume(run_dir, save.folder, self.step, self.seconds, config)
        return self

    # ---- steering ------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask for a stop, from any thread: the step at hand is given up, the state saved, the iteration ends."""
        self._stop.set()

    def change(self, max_lr: float | None = None, dropout: float | None = None) -> None:
        """Move a setting while the run goes on; it holds from the next step, and is logged and saved."""
        move(self, max_lr, dropout)

    # ---- the loop ------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[StepRecord]:
        return self

    def __next__(self) -> StepRecord:
        self._borrowed.during(self._go_on)
        # Python answers signals at calls and jumps: from here to the variable of a for loop there is none.
        self.owed.told = True
        return self.owed.record

    def _go_on(self) -> None:
        """To the next record that is to be told, which is left in ``owed``; StopIteration after the last one."""
        try:
            self._settle()  # what an interruption, or a stop before, has left to do
            if self.owed is None or self.owed.told:
                if self.step >= self.config.max_steps or self._stop_agreed():
                    raise _Stopped
                self._train_step()
                self._settle()
                self.overflows.check(self.step - 1, kept_by(self._keeper))
        except _Stopped:
            self._finish()
            raise StopIteration from None
        except RuntimeError as error:
            raise explain_memory(error, self.config) from error

    def _train_step(self) -> None:
        """One optimizer step. What is owed after it is left in ``owed``."""
        start, self.has_begun = time.perf_counter(), True
        lr = scheduled_lr(self.config, self.step)
        set_lr(self.optimizer, lr)
        if not self.model.training:  # it walks over all modules, the outermost first
            with holding_signals():
                self.model.train()
        total = torch.zeros((), device=self.compute.device)
        targets = 0
        self.optimizer.zero_grad(set_to_none=True)
        for micro in range(self.micro_steps):
            x, y = self._next_batch(self.step, micro)
            with holding_signals(at_most=1), self._gradients_shared(micro == self.micro_steps - 1):
                with self.compute.autocast():
                    loss = self.loss(self.forward_model, x, y)
                self.scaler.scale(loss / self.micro_steps).backward()
            total += loss.detach()
            targets += y.numel()
        mean = self.world.mean(total / self.micro_steps) if self._is_read(self.step) else None
        with holding_signals():  # all of this, or nothing
            norm = clip(self.model, self.optimizer, self.scaler, self.config.grad_clip)
            take_step(self.optimizer, self.scaler, mean, self._need_finite)
            self._count(*self.overflows.read(mean, norm), lr, targets, start)

    def _count(
        self, train_loss: float | None, grad_norm: float | None, skipped: bool | None, lr: float, targets: int,
        start: float,
    ) -> None:  # fmt: skip
        """The step is done: its record, and what is owed after it. A loss that is not finite ends the run before."""
        if train_loss is not None and not math.isfinite(train_loss):
            self._need_finite(train_loss)
            train_loss = grad_norm = None
        self.tokens += targets * self.world.size
        self.seconds += time.perf_counter() - start
        record = StepRecord(
            self.step, train_loss, None, lr, self.tokens, round(self.seconds, 4), grad_norm, dropout_of(self.model),
            skipped=skipped,
        )  # fmt: skip
        self.step += 1
        evaluation = self.val_batches is not None and self._is_due(self.config.eval_every)
        by_time = self._keeper is not None and self._keeper.is_save_due(self.seconds, self.config.save_minutes)
        self.owed = Owed(record, evaluation, save=self._is_due(self.config.save_every) or by_time)

    def _settle(self) -> None:
        """Do what is owed: the evaluation, the row, the save. Where it is cut off it can be called again."""
        if (owed := self.owed) is None:
            return
        if owed.evaluation and not self._stop_at_once():
            start = time.perf_counter()
            val_loss = self.evaluate()
            with holding_signals():
                self.seconds += time.perf_counter() - start
                if val_loss is not None:
                    self._note(owed, val_loss)
        with self._signals_held_while_keeping():
            if owed.save:
                self.save(owed.record.best)
                owed.save = False
            self._write_row()
            if owed.told and not owed.evaluation:
                self.owed = None

    def _note(self, owed: Owed, val_loss: float) -> None:
        """Add the evaluation to the record of its step, and remember the lowest so far."""
        best = val_loss < self.best_val_loss
        self.best_val_loss = min(val_loss, self.best_val_loss)
        owed.record = replace(owed.record, val_loss=val_loss, best=best, seconds=round(self.seconds, 4))
        owed.evaluation, owed.row, owed.save = False, True, owed.save or best or self.config.always_save

    def _next_batch(self, step: int, micro: int) -> tuple[Tensor, Tensor]:
        if self._stop_at_once():
            raise _Stopped
        self._borrowed.seed(seed_for(self.config.seed, step, self.world.rank * self.micro_steps + micro))
        x, y = self.batches.batch(step, micro)
        device = self.compute.device
        return x.to(device, non_blocking=True), y.to(device, non_blocking=True)

    def _gradients_shared(self, is_last: bool) -> contextlib.AbstractContextManager[object]:
        """Processes average their gradients once per step, in the last micro-batch's backward pass."""
        alone = self.world.size == 1
        return contextlib.nullcontext() if alone or is_last else self.forward_model.no_sync()

    def _is_read(self, step: int) -> bool:
        """Whether this step's loss is read: for that a card is waited for."""
        return step % self.config.log_every == 0 or step + 1 == self.config.max_steps

    def _need_finite(self, loss: float) -> None:
        """A loss that is read and not finite ends the run; fp16 goes on: its scaler has skipped the update."""
        if not math.isfinite(loss) and not self.scaler.is_enabled():
            raise self._diverged(f"The training loss is {loss} at step {self.step}")

    def _is_due(self, every: int | None) -> bool:
        """Whether something that comes every ``every`` steps comes now; all of it after the last."""
        return self.step == self.config.max_steps or bool(every and self.step % every == 0)

    def evaluate(self) -> float | None:
        """The mean loss per target on ``val_batches``; None without them, or where a stop came between."""
        parts = self._borrowed.seed, self._stop_at_once, self._diverged
        return self._borrowed.during(lambda: validation_loss(self, *parts))

    # ---- keeping -------------------------------------------------------------------------------------

    def _signals_held_while_keeping(self) -> contextlib.AbstractContextManager[object]:
        """A disk can be slow without end: whoever has asked for a stop already is not made to wait for it."""
        return holding_signals(at_most=0 if self._stop.is_set() else 1)

    def _write_row(self) -> None:
        """The row of the step that was taken last, where that is still to be written."""
        if self.owed is not None and self.owed.row:
            if self._keeper is not None:
                self._keeper.write(self.owed.record)
            self.owed.row = False

    def save(self, best: bool = False) -> None:
        """Keep the state after the steps completed so far as the run's ``last`` (and ``best``) save."""
        if self._keeper is None:
            return
        with self._signals_held_while_keeping():
            self._write_row()
            if not torch.stack([torch.isfinite(p).all() for p in self.model.parameters()]).all():  # one wait, not many
                raise self._diverged(f"A weight is no longer finite after {self.step} steps")
            self._keeper.save(self.step, self.model, self.optimizer, state_of(self), best)

    def _finish(self) -> None:
        if self._keeper is not None:
            with self._signals_held_while_keeping():
                if self._keeper.saved_step != self.step:
                    self.save()
                self._keeper.close()
        self.world.barrier()

    def abandon(self) -> None:
        """Let go of a run that an error has ended. A folder in which nothing has happened yet is removed again."""
        if self._keeper is not None:
            self._keeper.abandon()

    def _stop_at_once(self) -> bool:
        """Whether to stop here and now; several processes can only stop together, between two steps."""
        return self.world.size == 1 and self._stop.is_set()

    def _stop_agreed(self) -> bool:
        """Whether to stop; processes ask one another, so that none is left waiting for the rest."""
        if self.world.size == 1:
            return self._stop.is_set()
        return self.step % self.config.log_every == 0 and self.world.sum([float(self._stop.is_set())])[0] > 0

    def _diverged(self, what: str) -> CourseError:
        return diverged(what, self.config, kept_by(self._keeper))
