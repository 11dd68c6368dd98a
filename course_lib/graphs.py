"""CUDA graphs: the hundreds of kernels of one forward pass, given to a card in one go.

One token of one stream is so little arithmetic that a card is done with each kernel before Python has launched the
next. A graph holds the whole pass: captured once, it is launched as one. It is fixed: the same operations, in the same
shapes, on the same memory. So what changes from token to token must be numbers on the device (see
`course_lib.models.attention.StaticCache`).
"""

import functools
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib.kernels import DecodingKernel, find_kernel

Run = Callable[[Tensor, Any], Tensor]
"""``run(idx, cache)`` -> scores (B, V) of what follows idx (B, T); the cache is None, or holds what comes before."""
WORTH_IT = 64
"""Steps of one shape that must lie ahead: a capture, with the passes before it and what torch does around it, takes
as long as some dozens of steps save."""
WARM = 2
"""Passes before a capture: in the first ones libraries take memory and choose kernels, which no graph can hold."""
_AT_WORK: set[int] = set()
_CAPTURING = threading.Event()


def keep_captures_off(thread: int) -> None:
    """Until `let_captures_in`, ``thread`` draws from torch's own generators; waits while another thread captures.

    torch's generator of a card is set apart for a capture, and to draw from it meanwhile is an error. Whoever comes
    second gives way: each says what it is about to do before it looks at the other.
    """
    _AT_WORK.add(thread)
    while _CAPTURING.is_set() and threading.current_thread() is not threading.main_thread():
        time.sleep(0.001)


def let_captures_in(thread: int | None) -> None:
    _AT_WORK.discard(thread)  # type: ignore[arg-type]


class Decoder:
    """Runs a model step by step, where that is worth it as one call.

    On a card that is a graph, from the second step of one shape on. On a processor it is a compiled kernel, for one
    token after those in a cache (see `course_lib.kernels`).

    A graph holds what the model was when it was captured: weights that are changed in their place are seen, a model
    that is moved elsewhere is noticed, and runs as it is from then on.

    Args:
        model: whose class says ``is_capturable = True`` where, in evaluation mode and for one shape, its pass is
            always the same operations on the same memory. Its caches then have ``static()``.
        run: how to call it.
    """

    def __init__(self, model: nn.Module, run: Run) -> None:
        self._model, self._run = model, run
        self._shape: tuple[torch.Size, bool] | None = None
        self._graphed: _Graphed | None = None
        self._tried = self._looked = False
        self._kernel: DecodingKernel | None = None

    def __call__(self, idx: Tensor, cache: Any, ahead: int) -> Tensor:
        """Scores (B, V) after ``idx``; they hold until the next call. ``ahead`` such steps are to come, with this."""
        if cache is not None and idx.shape[1] == 1 and (kernel := self._find_kernel()) is not None:
            return kernel(idx, cache)
        shape = (idx.shape, cache is None)
        if shape != self._shape:
            self._shape, self._graphed, self._tried = shape, None, False
        elif not self._tried:
            self._tried = True
            if ahead >= WORTH_IT and is_capturable(self._model, idx.device):
                self._graphed = self._captured(idx, cache)
        if self._graphed is not None and self._graphed.is_still_of(self._model):
            return self._graphed(idx, cache)
        return self._run(idx, cache)

    def _find_kernel(self) -> DecodingKernel | None:
        """Looked for once; given up where the model is changed between two tokens so that it no longer serves."""
        if not self._looked:
            self._kernel, self._looked = find_kernel(self._model), True
        elif self._kernel is not None and not self._kernel.still_fits():
            self._kernel = None
        return self._kernel

    def _captured(self, idx: Tensor, cache: Any) -> "_Graphed | None":
        try:
            _CAPTURING.set()
            if _AT_WORK - {threading.get_ident()}:  # another thread trains
                return None
            return _Graphed(self._model, self._run, idx, cache)
        except RuntimeError as error:
            _say_once(str(error).strip().split("\n")[0])
            return None
        finally:
            _CAPTURING.clear()


class _Graphed:
    """``run`` for inputs of one shape, captured."""

    def __init__(self, model: nn.Module, run: Run, idx: Tensor, cache: Any) -> None:
        self._idx, static = idx.clone(), None if cache is None else cache.static()
        # A graph reads by address: the memory of all that it reads must live as long as it does.
        self._static = static
        self._weights = [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]

        def rewind() -> None:
            if static is not None:
                static.move_to(cache.length)

        self._replay, self._scores = capture(lambda: run(self._idx, static), rewind, idx.device)

    def is_still_of(self, model: nn.Module) -> bool:
        first = next(model.parameters())
        return first.data_ptr() == self._weights[0].data_ptr() and first.device == self._weights[0].device

    def __call__(self, idx: Tensor, cache: Any) -> Tensor:
        self._idx.copy_(idx)
        self._replay()
        if cache is not None:
            cache.advance(idx.shape[1])
        return self._scores


def is_capturable(model: nn.Module, device: torch.device) -> bool:
    """Whether a pass of ``model`` may be captured; not where hooks look on, which a graph would not call.

    By the main thread alone: another one that captured would be in the way of whatever the main thread draws.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if device.type != "cuda" or not getattr(model, "is_capturable", False) or torch.is_autocast_enabled("cuda"):
        return False
    return not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


class Watchful(TorchDispatchMode):
    """Within it, and in its thread alone, it is an error to read a value: no graph can hold that.

    CUDA would refuse it too, but torch's random generator of that card is not usable after a capture that broke off.

    Raises:
        RuntimeError: at such an operation.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given, made = ([t.device for t in tree_leaves(x) if isinstance(t, Tensor)] for x in ((args, kwargs), result))
        leaves = {device.type for device in made} == {"cpu"} and any(device.type != "cpu" for device in given)
        reads = torch.Tag.data_dependent_output in func.tags or func.name() == "aten::is_nonzero"
        if leaves or reads:
            raise RuntimeError(f"{func.name()} reads a value on the way")
        return result


def capture(
    step: Callable[[], Tensor], rewind: Callable[[], None], device: torch.device
) -> tuple[Callable[[], None], Tensor]:  # fmt: skip
    """``step`` as a graph: what launches it, and the tensor in which its result then is.

    Args:
        rewind: puts everything back to before a step; it is called before each try and after the last.

    Raises:
        RuntimeError: where it cannot be captured, from CUDA.
    """
    with torch.cuda.device(device):
        aside = _aside(torch.cuda.current_device())
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside), Watchful():
            for _ in range(WARM):
                rewind()
                step()
            rewind()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # By its thread: else whatever another thread asks of the card meanwhile, a training step, would fail.
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            result = step()
        rewind()
    return graph.replay, result


@functools.cache
def _aside(device: int) -> torch.cuda.Stream:
    """Where a card's captures are made, one after another: the libraries keep memory of their own for each stream that
    they have seen, 64 MiB on an H100, for ever. The stream that torch keeps for captures is the first card's."""
    return torch.cuda.Stream(device)


@functools.cache
def _say_once(reason: str) -> None:
    warnings.warn(
        f"The decoding step could not be captured as a CUDA graph ({reason}); it goes on kernel by kernel, which is "
        "slower and otherwise the same.",
        stacklevel=2,
    )
