"""Which device, which arithmetic, which process of how many: each with its reason, in words.

What was found (`Capabilities`) and what follows from it (`choose`) are apart, so that the choice is a
table that can be tested for cards that are not here.
"""

import contextlib
import itertools
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from course_lib.errors import CourseError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Capabilities:
    """What a device is able to do. ``compute`` is CUDA's compute capability, such as (8, 0)."""

    device: str
    name: str
    compute: tuple[int, int] | None = None
    memory_gib: float | None = None

    @property
    def kind(self) -> str:
        return self.device.split(":")[0]


@dataclass(frozen=True)
class Compute:
    """The choice: device, arithmetic of the forward pass, and why."""

    device: str
    precision: str
    scaler: bool
    tf32: bool
    reasons: tuple[str, ...]

    @property
    def kind(self) -> str:
        return self.device.split(":")[0]

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context of the forward pass: autocast, or nothing in fp32."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(device_type=self.kind, dtype=self.dtype)

    def build_scaler(self) -> torch.amp.GradScaler:
        """A GradScaler; one that passes everything through where fp16 is not in use."""
        return torch.amp.GradScaler(self.kind, enabled=self.scaler)


def processor() -> str:
    """The processor's name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def find(device: str = "auto") -> Capabilities:
    """What ``device`` is here; ``auto`` takes a CUDA card, else Apple's GPU, else the CPU.

    Raises:
        CourseError: for a device that torch does not see here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise CourseError(f"device should be auto, cpu, cuda, cuda:1 or mps; it is {device!r}.")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            raise CourseError(
                f"device {device!r} was asked for; torch {torch.__version__} sees {count} CUDA cards here. "
                "Use device=cpu, or install a CUDA build of torch and the card's driver (see: course doctor)."
            )
        properties = torch.cuda.get_device_properties(device)
        compute = (properties.major, properties.minor)
        return Capabilities(device, properties.name, compute, properties.total_memory / 2**30)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise CourseError("device 'mps' was asked for; torch sees no Apple GPU here. Use device=cpu.")
    return Capabilities(device, processor())


def choose(found: Capabilities, precision: str = "auto", tf32: bool | None = None) -> Compute:
    """Which arithmetic to use on what was found. A pure function.

    bf16 has fp32's range and needs no loss scaling; fp16 is as fast on cards without bf16 hardware, but
    small gradients vanish in it, so it goes with a GradScaler. `torch.cuda.is_bf16_supported` is not
    asked: it counts emulation, and a T4 would say yes.

    TF32 takes the factors of a product with 10 of fp32's 23 bits of mantissa. ``tf32`` None allows it where the
    card has it, unless fp32 was asked for by name.

    Raises:
        CourseError: for a precision, or TF32, that the device has no hardware for.
    """
    if precision not in PRECISIONS:
        raise CourseError(f"precision should be one of {', '.join(PRECISIONS)}; it is {precision!r}.")
    if found.kind == "cuda":
        best, why = _cuda_best(found)
    elif found.kind == "mps":
        best, why = "fp32", "on Apple's GPU fp32 is the form that every operation has"
    else:
        best, why = "fp32", "on a CPU lower precision gains little for small models, and fp32 is exact"
    has_tf32 = found.kind == "cuda" and found.compute >= (8, 0)
    if tf32 and not has_tf32:
        raise CourseError(
            f"tf32 needs a CUDA card of compute capability 8.0; {found.name} {_has(found)}. Leave tf32 unset."
        )
    if tf32 is None:
        tf32 = has_tf32 and precision != "fp32"
    if precision == "auto":
        precision, reason = best, f"{best}: {why}"
    else:
        reason = f"{precision}: asked for"
        if found.kind == "cpu" and precision != "fp32":
            reason += ", and on a CPU mostly slower than fp32"
        if precision == "bf16" and found.kind == "cuda" and found.compute < (8, 0):
            raise CourseError(f"precision bf16 needs compute capability 8.0; {found.name} {_has(found)}. Use {best}.")
    scaler = precision == "fp16"
    reasons = [f"{found.device}: {found.name}", reason]
    if scaler:
        reasons.append("GradScaler: fp16 loses small gradients unless the loss is scaled up first")
    if tf32:
        reasons.append("TF32 for what stays fp32: tensor cores, 10 bits of mantissa, fp32's range")
    elif has_tf32:
        reasons.append("fp32 with all its 23 bits of mantissa (tf32=true is faster, and multiplies with 10 of them)")
    return Compute(found.device, precision, scaler, tf32, tuple(reasons))


def _cuda_best(found: Capabilities) -> tuple[str, str]:
    """The best arithmetic of a CUDA card: bf16 from compute capability 8.0, fp16 from 7.0 (a V100, a T4), else fp32."""
    assert found.compute is not None
    if found.compute >= (8, 0):
        return "bf16", f"compute capability {_dotted(found)} has bf16 tensor cores, and bf16 needs no scaler"
    if found.compute >= (7, 0):
        return "fp16", f"compute capability {_dotted(found)} has fp16 tensor cores and no bf16"
    return "fp32", f"compute capability {_dotted(found)} has no tensor cores"


def _dotted(found: Capabilities) -> str:
    return ".".join(map(str, found.compute or ()))


def _has(found: Capabilities) -> str:
    return f"has {_dotted(found)}" if found.compute else "is none"


def select(device: str = "auto", precision: str = "auto", tf32: bool | None = None) -> Compute:
    """`choose` from what `find` finds. Nothing in the process changes: see `course_lib.training.borrowed`."""
    return choose(find(device), precision, tf32)


def device_of(model: nn.Module) -> torch.device:
    """Where the weights of ``model`` are (its buffers, where it has no weights); the CPU where it has neither."""
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def reading_is_free(device: torch.device | str) -> bool:
    """Whether a value can be read without waiting: a CPU has it when the operation returns, a card has only begun."""
    return torch.device(device).type == "cpu"


def read(values: list[Tensor]) -> list[float]:
    """Single numbers as Python has them, for one wait in all: each ``item()`` would make the host wait by itself."""
    return torch.stack([value.detach().to(values[0].device) for value in values]).tolist() if values else []


def seed_for(*numbers: int) -> int:
    """A 64-bit seed that is a function of (seed, step, micro-batch), well mixed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def generators(device: str) -> list[torch.Generator]:
    """torch's own generators that work on ``device`` may draw from: the CPU's, and the one of that card.

    `torch.manual_seed` seeds these and those of all other cards. It also notes where it was called from, for
    devices that have not been started yet, and that takes a hundred times as long as the seeding.
    """
    kind, _, index = device.partition(":")
    found = [torch.default_generator]
    if kind == "cuda":
        torch.cuda.init()  # before it there are none; once is enough
        found.append(torch.cuda.default_generators[int(index) if index else torch.cuda.current_device()])
    elif kind == "mps":
        found.append(torch.mps._get_default_mps_generator())  # there is no public name for it
    return found


@dataclass(frozen=True)
class World:
    """Which process this is, of how many. Alone: rank 0 of 1."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    backend: str | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that logs and saves."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process has come here."""
        if self.size > 1:
            dist.barrier()

    def sum(self, values: list[float]) -> list[float]:
        """Each value summed over all processes."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self._meeting_place)
        dist.all_reduce(total)
        return total.tolist()

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes of one number, in float64, on the device: the host does not wait for it.

        Alone, ``value`` itself.
        """
        if self.size == 1:
            return value
        total = value.detach().to(self._meeting_place).double()
        dist.all_reduce(total)
        return total / self.size

    @property
    def _meeting_place(self) -> str:
        return f"cuda:{self.local_rank}" if self.backend == "nccl" else "cpu"


def current_world() -> World:
    """The world this process has joined, or a world of one."""
    if not (dist.is_available() and dist.is_initialized()):
        return World()
    return World(dist.get_rank(), int(os.environ.get("LOCAL_RANK", 0)), dist.get_world_size(), dist.get_backend())


@contextlib.contextmanager
def joined_world(device: str = "auto", backend: str = "auto"):
    """Join the processes that ``torchrun`` started (it sets RANK, LOCAL_RANK and WORLD_SIZE); leave at the end.

    NCCL between CUDA cards, gloo between CPUs. Yields the `World`; without torchrun a world of one.

    Raises:
        CourseError: for a ``backend`` by name that does not serve the devices.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    on_cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    serves = "nccl" if on_cuda else "gloo"
    if backend not in ("auto", serves):
        where = "CUDA cards" if on_cuda else "CPUs"
        raise CourseError(f"Between {where} the backend is {serves}; {backend} is asked for. Leave it out.")
    local_rank = int(os.environ["LOCAL_RANK"])
    if on_cuda:
        find(f"cuda:{local_rank}")  # a clear error where there are fewer cards than processes
        torch.cuda.set_device(local_rank)
    if on_cuda:
        dist.init_process_group("nccl", device_id=torch.device("cuda", local_rank))  # it then connects at once
    else:
        dist.init_process_group("gloo")
    try:
        yield current_world()
    finally:
        dist.destroy_process_group()
