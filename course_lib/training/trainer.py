"""The loop: zero_grad, forward, loss, backward, step, over and over.

`Trainer` is one iterator of `StepRecord`. ``for record in trainer: ...`` is the whole interface: pausing
is not asking for the next one. Precision, accumulation, clipping, several processes and compilation are
set up around the five lines, in `Trainer.__init__`, not woven into them.
"""

import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from course_lib import checkpoint
from course_lib.config import DataConfig, RunConfig, TrainConfig
from course_lib.device import current_world, select
from course_lib.errors import CourseError
from course_lib.models import build_model
from course_lib.optim import build_optimizer, scheduled_lr, set_lr
from course_lib.tokenizers import Tokenizer
from course_lib.training.record import Batches, Loss, StepRecord, seed_for
from course_lib.training.scoring import diverged, explain_memory, mean_loss, next_token_loss, val_windows
from course_lib.training.setup import adopt, wrap

STATE = ("tokens", "seconds", "best_val_loss", "train", "min_lr", "dropout", "scaler", "evaluation_owed")
"""What a save's ``state.json`` needs for a run to go on from it."""


class _Stopped(Exception):
    """A stop was asked for in the middle of a step."""


class Trainer:
    """Trains ``model`` on ``batches``; iterate over it.

    All randomness of a step (which windows, which activations dropout drops) is a function of the seed
    and the step. So a resumed run is the run that was never stopped, bit for bit, and nothing that
    happens between two steps can change it. torch's own generator is reseeded at every micro-batch.

    Args:
        model: any nn.Module; it is moved to the device that ``config`` asks for.
        batches: `Batches`; with ``micro_steps`` as `Batcher` has it, or ``config.grad_accum`` micro-batches.
        config: how to train; batch_size, grad_accum and seed are taken from ``batches`` where it has them.
        loss: ``loss(model, x, y)`` -> scalar; by default `next_token_loss`.
        val_batches: scored every ``config.eval_every`` steps: its ``windows(max_batches)`` where it has that,
            else ``batch(0)`` to ``batch(eval_batches - 1)``.
        tokenizer: kept with the run, so that its saves can be sampled from.
        run_dir: where to keep saves and metrics; None keeps nothing.
        recipe, data: for the run's ``config.json``: what the run is called and what it is trained on.

    Raises:
        CourseError: for a device or precision that is not there, a run_dir that holds a run; while
            iterating, for a loss that is not finite, memory that runs out, a folder that cannot be written.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        config: TrainConfig,
        loss: Loss | None = None,
        val_batches: Any = None,
        tokenizer: Tokenizer | None = None,
        run_dir: str | Path | None = None,
        recipe: str = "custom",
        data: DataConfig | None = None,
    ) -> None:
        self.world = current_world()
        config = adopt(config, batches, self.world)
        self.config, self.batches, self.val_batches = config, batches, val_batches
        self.loss, self.tokenizer = loss or next_token_loss, tokenizer
        on_card = self.world.backend == "nccl"
        self.compute = select(f"cuda:{self.world.local_rank}" if on_card else config.device, config.precision)
        self.model = model.to(self.compute.device)
        self.forward_model = wrap(self.model, config.compile, self.world)
        self.optimizer = build_optimizer(self.model, config)
        self.scaler = self.compute.build_scaler()
        self.micro_steps: int = getattr(batches, "micro_steps", config.grad_accum)
        self.step = 0
        self.tokens, self.seconds = 0, 0.0
        self.best_val_loss = math.inf
        self._min_lr = config.min_lr
        self._saved_step: int | None = None
        self._evaluation_owed = False
        self._stop = threading.Event()
        self._log: checkpoint.MetricsLog | None = None
        self.run_dir = Path(run_dir) if run_dir is not None else None
        if self.run_dir is not None and self.world.is_main:
            about = RunConfig(recipe, data or DataConfig(), checkpoint.settings_of(model), config)
            checkpoint.create_run(self.run_dir, about, tokenizer)

    @classmethod
    def resume(
        cls,
        run_dir: str | Path,
        batches: Batches,
        val_batches: Any = None,
        loss: Loss | None = None,
        which: str | int = "last",
        **changes: Any,
    ) -> Self:
        """Go on with a run from a save, with the settings it had then.

        ``changes`` are settings of TrainConfig that differ from now on; the next save keeps them.

        Raises:
            CourseError: where the folder is no run, or the save is damaged or of another model.
        """
        run_dir = checkpoint.find_run(run_dir)
        about, tokenizer = checkpoint.read_config(run_dir)
        folder = checkpoint.find_save(run_dir, which)
        state = checkpoint.read_state(folder, needed=STATE)
        model = build_model(about.model)
        checkpoint.load_weights(model, folder)
        config = TrainConfig.from_dict(state["train"]).replace(**changes)
        self = cls(model, batches, config, loss, val_batches, tokenizer)
        self.run_dir, self._min_lr = run_dir, changes.get("min_lr", state["min_lr"])
        checkpoint.load_optimizer(self.optimizer, self.model, folder)
        if self.compute.scaler and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        self.best_val_loss = math.inf if state["best_val_loss"] is None else state["best_val_loss"]
        self._saved_step, self._evaluation_owed = self.step, state["evaluation_owed"]
        if state["dropout"] is not None:
            self.change(dropout=state["dropout"])
        return self

    # ---- steering ------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask for a stop, from any thread: the step at hand is given up, the state saved, the iteration ends."""
        self._stop.set()

    def change(self, max_lr: float | None = None, dropout: float | None = None) -> None:
        """Move a setting while the run goes on; it holds from the next step, and is logged and saved."""
        if max_lr is not None:
            self.config = self.config.replace(max_lr=max_lr, min_lr=min(self._min_lr, max_lr))
        if dropout is not None:
            if not 0 <= dropout < 1:
                raise CourseError(f"dropout should be at least 0 and below 1; it is {dropout}.")
            for module in self._dropouts():
                module.p = dropout

    def _dropouts(self) -> list[nn.Dropout]:
        return [module for module in self.model.modules() if isinstance(module, nn.Dropout)]

    # ---- the loop ------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[StepRecord]:
        return self

    def __next__(self) -> StepRecord:
        if self._evaluation_owed and not self._stop.is_set():
            self._make_up_evaluation()
        if self.step >= self.config.max_steps or self._stop_agreed():
            self._finish()
            raise StopIteration
        start = time.perf_counter()
        try:
            record = self._train_step(start)
        except _Stopped:
            self._finish()
            raise StopIteration from None
        except RuntimeError as error:
            raise explain_memory(error, self.config) from error
        if self.run_dir is not None and self.world.is_main:
            self._write(record)
        return record

    def _train_step(self, start: float) -> StepRecord:
        """One optimizer step, with the evaluation that is due after it."""
        step = self.step
        lr = scheduled_lr(self.config, step)
        set_lr(self.optimizer, lr)
        self.model.train()
        total = torch.zeros((), device=self.compute.device)
        targets = 0
        self.optimizer.zero_grad(set_to_none=True)
        for micro in range(self.micro_steps):
            x, y = self._next_batch(step, micro)
            with self._gradients_shared(micro == self.micro_steps - 1):
                with self.compute.autocast():
                    loss = self.loss(self.forward_model, x, y)
                self.scaler.scale(loss / self.micro_steps).backward()
            total += loss.detach()
            targets += y.numel()
        norm = self._clip()
        train_loss = self._read_loss(total / self.micro_steps, step)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self.tokens += targets * self.world.size
        due = self.val_batches is not None and self._is_due(self.config.eval_every)
        val_loss = self.evaluate() if due else None
        self._evaluation_owed = due and val_loss is None
        best = self._is_best(val_loss)
        self.seconds += time.perf_counter() - start
        norm = None if norm is None or train_loss is None else float(norm)
        dropout = next((module.p for module in self._dropouts()), None)
        return StepRecord(step, train_loss, val_loss, lr, self.tokens, round(self.seconds, 4), norm, dropout, best)

    def _next_batch(self, step: int, micro: int) -> tuple[Tensor, Tensor]:
        if self._stop_at_once():
            raise _Stopped
        torch.manual_seed(seed_for(self.config.seed, step, self.world.rank * self.micro_steps + micro))
        x, y = self.batches.batch(step, micro)
        device = self.compute.device
        return x.to(device, non_blocking=True), y.to(device, non_blocking=True)

    def _gradients_shared(self, is_last: bool) -> contextlib.AbstractContextManager[object]:
        """Processes average their gradients once per step, in the last micro-batch's backward pass."""
        alone = self.world.size == 1
        return contextlib.nullcontext() if alone or is_last else self.forward_model.no_sync()

    def _clip(self) -> Tensor | None:
        """Shorten the gradient to at most grad_clip; returns its norm before that."""
        if not self.config.grad_clip:
            return None
        self.scaler.unscale_(self.optimizer)
        return nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)

    def _read_loss(self, loss: Tensor, step: int) -> float | None:
        """The mean loss over all processes, where this step reads it; not finite, it ends the run."""
        if step % self.config.log_every and step + 1 != self.config.max_steps:
            return None
        value = self.world.sum([loss.item()])[0] / self.world.size
        if not math.isfinite(value):
            raise self._diverged(f"The training loss is {value} at step {step}")
        return value

    def _is_due(self, every: int | None) -> bool:
        """Whether something that comes every ``every`` steps comes now; all of it comes after the last."""
        return self.step == self.config.max_steps or bool(every and self.step % every == 0)

    def evaluate(self) -> float | None:
        """The mean loss per target on ``val_batches``; None without them, or where a stop came between."""
        if self.val_batches is None:
            return None
        windows = val_windows(self.val_batches, self.config.eval_batches)
        value = mean_loss(self.model, windows, self.loss, self.compute, self.world, self._stop_at_once)
        if value is not None and not math.isfinite(value):
            raise self._diverged(f"The validation loss is {value} after {self.step} steps")
        return value

    def _is_best(self, val_loss: float | None) -> bool:
        """Whether it is the lowest so far, and remember it if so."""
        if val_loss is None or val_loss >= self.best_val_loss:
            return False
        self.best_val_loss = val_loss
        return True

    def _make_up_evaluation(self) -> None:
        """The evaluation that a stop cut short belongs to the run, and is made when it goes on."""
        val_loss = self.evaluate()
        self._evaluation_owed = val_loss is None
        if val_loss is not None and self.run_dir is not None and self.world.is_main:
            best = self._is_best(val_loss)
            checkpoint.amend_last_row(self.run_dir, self.step - 1, val_loss=val_loss, best=best)
            self.save(best)

    # ---- keeping -------------------------------------------------------------------------------------

    def _write(self, record: StepRecord) -> None:
        if self._log is None:
            self._log = checkpoint.MetricsLog(self.run_dir, record.step, self.config.tensorboard)
        self._log.write(dataclasses.asdict(record))
        if record.val_loss is not None or self._is_due(self.config.save_every):
            self.save(best=record.best)

    def save(self, best: bool = False) -> None:
        """Keep the state after the steps completed so far as the run's ``last`` (and ``best``) save."""
        if self.run_dir is None or not self.world.is_main:
            return
        if not all(torch.isfinite(p).all() for p in self.model.parameters()):
            raise self._diverged(f"A weight is no longer finite after {self.step} steps")
        if self._log is not None:
            self._log.sync()
        state = {
            "tokens": self.tokens,
            "seconds": self.seconds,
            "best_val_loss": self.best_val_loss if math.isfinite(self.best_val_loss) else None,
            "train": self.config.to_dict(),
            "min_lr": self._min_lr,
            "evaluation_owed": self._evaluation_owed,
            "dropout": next((module.p for module in self._dropouts()), None),
            "scaler": self.scaler.state_dict(),
        }
        checkpoint.save(self.run_dir, self.step, self.model, self.optimizer, state, best)
        self._saved_step = self.step

    def _finish(self) -> None:
        if self._saved_step != self.step:
            self.save()
        if self._log is not None:
            self._log.close()
            self._log = None
        self.world.barrier()

    def _stop_at_once(self) -> bool:
        """Whether to stop here and now; several processes can only stop together, between two steps."""
        return self.world.size == 1 and self._stop.is_set()

    def _stop_agreed(self) -> bool:
        """Whether to stop; processes ask one another, so that none is left waiting for the rest."""
        if self.world.size == 1:
            return self._stop.is_set()
        return self.step % self.config.log_every == 0 and self.world.sum([float(self._stop.is_set())])[0] > 0

    def _diverged(self, what: str) -> CourseError:
        last_good = None if self._saved_step is None else f"{self.run_dir}/saves/{self._saved_step}"
        return diverged(what, self.config, last_good)
