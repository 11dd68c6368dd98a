"""A card's memory: flat while a run goes on, and free again when it was not enough."""

import pytest
import torch
from cards import BLOCK, CARDS, EVERYWHERE, MODERN, build, held_bytes, reserved_bytes, small_trainer
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.sampling import stream
from course_lib.training import next_token_loss

MIB = 2**20


@pytest.mark.parametrize("run", [dict(optimizer="adamw"), dict(optimizer="muon", log_every=10)], ids=str)
@pytest.mark.parametrize("device", EVERYWHERE, indirect=True)
def test_memory_stays_flat_over_500_steps(device: str, run: dict) -> None:
    """To the byte: after the first steps, whatever a step takes it gives back."""
    steps, every = (60, 20) if device == "cpu" else (500, 50)
    trainer = small_trainer(device, MODERN | dict(dropout=0.1), max_steps=steps, **run)
    held, reserved = [], []
    for record in trainer:
        if (record.step + 1) % every == 0:
            held.append(held_bytes(device))
            reserved.append(reserved_bytes(device))
    assert len(held) >= 3
    assert len(set(held)) == 1, held
    assert len(set(reserved)) == 1, reserved


@pytest.mark.parametrize("block_size", [2048, BLOCK], ids=["with the cache", "past block_size"])
@pytest.mark.parametrize("device", EVERYWHERE, indirect=True)
def test_memory_stays_flat_over_2000_tokens(device: str, block_size: int) -> None:
    """But for the tokens themselves, 8 bytes each, which are joined to a longer row each time: old row, new row.

    CUDA gives memory in pieces of 512 bytes and takes it from the driver in blocks of 2 MiB: one more block is allowed
    to the keys and values that are read, which grow with the text.
    """
    total = 200 if device == "cpu" else 2000
    model = build(block_size=block_size, **MODERN).to(device)
    held, reserved = {}, {}
    for n, _ in enumerate(stream(model, [[1, 2, 3]], total, temperature=0.8, top_k=5, seed=0), start=1):
        if n in (total // 4, total // 2, total - 1):
            held[n], reserved[n] = held_bytes(device), reserved_bytes(device)
    first, last = min(held), max(held)
    assert held[last] - held[first] <= 2 * 8 * (last - first) + 1024, held
    assert reserved[last] - reserved[first] <= 2 * MIB, reserved


def exhausting(mib: int):
    """A loss that takes ``mib`` MiB where the step is at work, and then finds that there is no more."""

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        taken = torch.zeros(mib * MIB // 4, device=x.device)
        loss = next_token_loss(model, x, y) + taken.sum()
        raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {loss.item():.2f} GiB.")

    return loss


@pytest.mark.parametrize("device", EVERYWHERE, indirect=True)
def test_what_a_failed_step_held_is_free_while_its_error_is_still_there(device: str) -> None:
    """A notebook keeps the last error, with the frames it went through: they must not keep the step's tensors."""
    trainer = small_trainer(device)
    next(trainer)
    before = held_bytes(device)
    trainer.loss = exhausting(64)
    with pytest.raises(CourseError, match="Halve batch_size from 16 to 8") as kept:
        next(trainer)
    assert held_bytes(device) - before < 1 * MIB
    assert isinstance(kept.value.__cause__, torch.OutOfMemoryError)
    trainer.loss = next_token_loss
    assert [next(trainer).step for _ in range(2)] == [1, 2]  # it takes the step again, and goes on


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.51 GiB, other allocations: 400.00 MiB, max ...)."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
    ids=lambda error: str(error)[:30],
)
def test_every_allocators_error_gets_the_remedy(one_thread: None, error: RuntimeError) -> None:
    """In the words of CUDA's allocator, Apple's, CUDA's driver, cuBLAS, and the CPU's."""

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        raise error

    with pytest.raises(CourseError, match=r"out of memory\. Halve batch_size from 16 to 8 and double grad_accum"):
        next(small_trainer("cpu", loss=loss))


@pytest.mark.parametrize("device", CARDS, indirect=True)
def test_a_card_that_is_full_says_what_to_halve_and_goes_on(device: str) -> None:
    """The real thing: torch is given little more than it has, and a batch needs more."""
    card = getattr(torch, device)
    small = small_trainer(device, max_steps=4)
    next(small)
    total = card.get_device_properties(0).total_memory if device == "cuda" else card.recommended_max_memory()
    has = card.memory_reserved() if device == "cuda" else card.driver_allocated_memory()
    card.set_per_process_memory_fraction((has + 300 * MIB) / total)
    try:
        large = small_trainer(device, batch_size=8192)
        with pytest.raises(CourseError, match=r"out of memory\. Halve batch_size from 8192 to 4096") as kept:
            next(large)
        assert "double grad_accum from 1 to 2" in str(kept.value)
        assert [record.step for record in small] == [1, 2, 3]  # with the error and the large run still there
    finally:
        card.set_per_process_memory_fraction(1.0)
