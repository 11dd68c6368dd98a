"""Memory that a run can have, and the most that it took: what the system says, or a card."""

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

Device = str | torch.device


def available(device: Device) -> float | None:
    """Bytes that a run on ``device`` can have now; None where nobody tells."""
    kind = torch.device(device).type
    if kind == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if kind == "mps":
        return float(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return min((found for found in (_of_the_system(), _of_the_container()) if found is not None), default=None)


def _of_the_system() -> float | None:
    """What the system can still give without paging: Linux tells itself, elsewhere psutil, which Jupyter brings."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return 1024 * _lines(Path("/proc/meminfo"))["MemAvailable"]
    with contextlib.suppress(ImportError):
        import psutil

        return float(psutil.virtual_memory().available)
    return None


CONTAINER = Path("/sys/fs/cgroup")
PLACES = (("memory.max", "memory.current", "inactive_file"),
          ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"))  # fmt: skip
"""Where Linux keeps a container's limit, what it uses, and the part of that which it would give back (v2, v1)."""


def _of_the_container() -> float | None:
    """What a container's limit leaves; None where there is no limit."""
    for limit, used, gives_back in PLACES:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number, and no limit
            left = float((CONTAINER / limit).read_text()) - float((CONTAINER / used).read_text())
            rows = (CONTAINER / limit).with_name("memory.stat").read_text().splitlines()
            return left + float(dict(row.split() for row in rows).get(gives_back, 0))
    return None


def _lines(path: Path) -> dict[str, float]:
    """Of a file of the kernel: name to the first number, in the file's own unit."""
    rows = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return {name: float(rest.split()[0]) for name, rest in rows if rest.split() and rest.split()[0].isdecimal()}


@contextlib.contextmanager
def measured_peak(device: Device) -> Iterator[Callable[[], float | None]]:
    """Within it, what it gives tells the most bytes that were taken since, beyond those in use before; None if unknown.

    On a card torch counts. On Linux the system does, for the whole process: also what else it does meanwhile, and with
    memory that was taken before and is free again coming first. Elsewhere nobody does.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield lambda: float(torch.cuda.max_memory_allocated(device) - before)
        return
    base = _begin_to_measure()
    yield lambda: None if base is None else _status("VmHWM") - base


STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _begin_to_measure() -> float | None:
    """Give back to the system what is free, let its highest mark begin anew, and return what is in use."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # glibc keeps what was freed, and would hand it out unseen
    try:
        RESET.write_text("5")  # proc(5): the peak of resident memory is set to what is resident now
        return _status("VmRSS")
    except (OSError, KeyError):
        return None


def _status(name: str) -> float:
    return 1024 * _lines(STATUS)[name]
