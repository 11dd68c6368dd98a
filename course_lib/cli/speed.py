"""Tokens per second in the lines of ``course train``, ``--profile``'s trace, garbage collection held off."""

import contextlib
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WARM_UP = 5
"""Steps before a trace begins: the first ones compile kernels and reserve memory."""


class Speedometer:
    """Tokens per second, MFU and peak memory since the last time that somebody asked.

    Steps with an evaluation or a save in them do not count, nor does the first, in which kernels are made.

    Args:
        is_asked: whether it was asked for; on a card it always speaks.
    """

    def __init__(self, trainer: Any, is_asked: bool) -> None:
        self.speaks = is_asked or trainer.compute.kind == "cuda"
        self._device, self._model = trainer.compute.device, trainer.model
        self._peak = None
        if trainer.compute.kind == "cuda":
            import torch

            from course_lib import peaks

            # nanoGPT takes every card for an A100. One that is not in the table multiplies for a second.
            name = torch.cuda.get_device_name(trainer.compute.device)
            self._peak = peaks.known_peak(name) or peaks.measured_peak(trainer.compute.device)
        self._last: Any = None
        self._tokens, self._seconds = 0, 0.0

    def count(self, record: Any) -> None:
        """Take note of a step."""
        last, self._last = self._last, record
        if last is None or record.val_loss is not None:
            return
        self._tokens += record.tokens - last.tokens
        self._seconds += record.seconds - last.seconds

    def read(self) -> str:
        """Such as ``412,345 tokens/s  MFU 41.3%  9.8 GiB``; empty where it does not speak or knows nothing yet."""
        if not self.speaks or not self._seconds:
            return ""
        from course_lib.peaks import speed_line

        flops = self._model.flops_per_token() if hasattr(self._model, "flops_per_token") else None
        words = speed_line(self._tokens, self._seconds, self._device, flops, self._peak)
        self._tokens, self._seconds = 0, 0.0
        return words


@contextlib.contextmanager
def traced(trainer: Any, steps: int | None, say: Callable[[str], object]) -> Iterator[Callable[[], object]]:
    """Within it, what is yielded is called after each step; ``steps`` of them are written as a trace.

    The trace is ``trace.json`` in the run's folder: what ran on the processor and on the card, and when.
    """
    if not steps or not trainer.world.is_main:
        yield lambda: None
        return
    from torch.profiler import ProfilerActivity, profile, schedule

    path = Path(trainer.run_dir) / "trace.json"
    wait = min(WARM_UP, max(0, trainer.config.max_steps - trainer.step - steps - 1))

    def keep(profiler: Any) -> None:
        profiler.export_chrome_trace(str(path))
        say(f"trace of {steps} steps: {path}; https://ui.perfetto.dev opens it")

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if trainer.compute.kind == "cuda" else [])]
    plan = schedule(wait=wait, warmup=1, active=steps, repeat=1)
    with profile(activities=activities, schedule=plan, on_trace_ready=keep) as profiler:
        yield profiler.step


@contextlib.contextmanager
def collecting_seldom(trainer: Any) -> Iterator[Callable[[], object]]:
    """Hold Python's garbage collector off, on a card, between two calls of what is yielded.

    The collector looks through all objects at moments of its own choice, and a card that waits for Python stands idle
    meanwhile (nanochat holds it off, too). A step leaves hardly anything that only the collector would find.
    """
    if trainer.compute.kind != "cuda" or not gc.isenabled():
        yield lambda: None
        return
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield gc.collect
    finally:
        gc.enable()
        gc.unfreeze()
