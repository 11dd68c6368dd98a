"""The batch that fills a card, a step's speed and its parts; on a CPU, with memory that only pretends to run out."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.bench import writing
from course_lib.bench.parts import measure_parts
from course_lib.bench.steps import StepPlan, fits, largest_fitting, measure_steps, speeds
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.device import Compute
from course_lib.errors import CourseError
from course_lib.kernels import find_compiler
from course_lib.models import GPT
from course_lib.peaks import Peak
from course_lib.training import Trainer
from course_lib.training.scoring import is_out_of_memory

PEAK = Peak(1e12, "fp32", "a test")


@pytest.mark.parametrize("start", [1, 4, 8])
@pytest.mark.parametrize("limit", [8, 100, 256])
def test_the_largest_batch_that_fits_is_found(start: int, limit: int):
    for room in range(1, 300):
        tried: list[int] = []
        found = largest_fitting(lambda size, room=room, tried=tried: tried.append(size) or size <= room, start, limit)
        sizes = [start * 2**k for k in range(10) if start * 2**k <= limit] + [start // 2**k for k in range(1, 4)]
        assert found == max(size for size in sizes if 1 <= size <= room)
        assert len(tried) == len(set(tried))  # no size is tried twice: each costs time on a card


def test_a_card_without_room_for_one_window_says_so():
    with pytest.raises(CourseError, match="smaller model"):
        largest_fitting(lambda size: False, 8, 64)


class Greedy(nn.Module):
    """A model whose forward pass runs out of memory from a batch of ``room`` + 1 on, as torch says it on a card."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.inner = room, nn.Embedding(8, 8)
        self.seen: list[weakref.ref] = []

    def forward(self, idx: torch.Tensor) -> torch.Tensor:
        logits = self.inner(idx)
        self.seen.append(weakref.ref(logits))
        if idx.shape[0] > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return logits


@pytest.mark.parametrize("room", [1, 2, 5, 8])
def test_memory_that_runs_out_in_the_trainer_is_seen_and_given_back(room: int):
    """The trainer says it in a CourseError of its own."""
    model = Greedy(room)

    def build(batch_size: int) -> object:
        batches = Batcher(list(range(8)) * 4, batch_size, 4)
        trainer = Trainer(model, batches, TrainConfig(batch_size=batch_size, device="cpu"))
        return lambda n: [next(trainer) for _ in range(n)]

    assert largest_fitting(lambda size: fits(lambda: build(size)), 2, 8) == max(s for s in (1, 2, 4, 8) if s <= room)
    gc.collect()
    assert [ref for ref in model.seen if ref() is not None] == []


def test_another_error_is_no_lack_of_memory():
    def build() -> object:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        fits(build)
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_out_of_memory(None)


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED",
        "DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_memory_runs_out_in_many_words(words: str):
    outer = CourseError("another sentence")
    outer.__cause__ = RuntimeError(words)
    assert is_out_of_memory(outer)


def plan(**changes: object) -> StepPlan:
    shape = GPTConfig(block_size=8, vocab_size=16, n_layer=2, n_head=2, n_embd=16, **changes)
    train = TrainConfig(batch_size=2, grad_accum=2, device="cpu", optimizer="muon")
    tokens = np.random.default_rng(0).integers(0, 16, 500)
    return StepPlan(shape, train, tokens, runs=2, seconds=0.01)


def test_a_speed_counts_the_tokens_of_every_micro_batch():
    """A fake that takes no time but counts: tokens per second times seconds is steps times tokens per step."""
    taken: list[int] = []
    rates = speeds({"course": (taken.append, 100), "other": (taken.append, 50)}, "cpu", 3, 1e-9)
    assert [len(values) for values in rates.values()] == [3, 3]
    assert taken[:4] == [1, 5, 1, 5]  # trials, each after one step that does not count
    assert taken[4:] == [1, 3] * 6


def test_steps_beside_a_peer_and_their_shares_of_the_peak(stand_in):
    first, both = measure_steps(replace(plan(), fill=True, largest=4), PEAK, stand_in, compile=False)
    assert first["runs"].keys() == {"course"}
    assert both["runs"].keys() == both["mfu"].keys() == {"course", "nanoGPT"}
    assert both["details"]["course"]["batch_size"] == both["details"]["nanoGPT"]["batch_size"] == 4
    with torch.device("meta"):
        flops = GPT(plan().shape).flops_per_token()
    for row, rate in both["medians"].items():  # GPT-2's form: the same count for both
        assert both["mfu"][row] == pytest.approx(rate * flops / PEAK.flops, abs=5e-5)


@pytest.mark.parametrize("form", [{}, {"position": "rope", "norm": "rmsnorm", "tie_weights": False, "mlp": "relu2"}])
def test_the_parts_of_a_step_leave_its_rest(form: dict):
    result = measure_parts(plan(**form), 2, compile=False)
    assert result["parts"].keys() == {"attention", "MLP", "output layer and loss", "optimizer", "data"}
    assert all(seconds > 0 for seconds in result["parts"].values())
    assert sum(result["shares"].values()) == pytest.approx(1, abs=0.003)
    assert "each part alone" in result["how"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler's own imports
def test_steps_and_parts_compiled(stand_in):
    """What a card does. The compiler makes no difference to what is measured, only to how fast it is."""
    if find_compiler() is None:
        pytest.skip("no C++ compiler was found (c++, g++, clang++ or CXX)")
    *_, both = measure_steps(plan(), PEAK, stand_in, compile=True)
    assert both["medians"].keys() == {"course", "nanoGPT"}
    assert both["details"]["compile"]
    result = measure_parts(plan(), 2, compile=True)
    assert all(seconds > 0 for seconds in result["parts"].values())


def test_a_peer_writes_under_autocast_and_in_fp32_where_the_course_would_use_16_bits(
    stand_in, monkeypatch: pytest.MonkeyPatch
):
    """A card with bf16, played by a CPU. Every row writes as many tokens."""
    monkeypatch.setattr(writing, "select", lambda device: Compute("cpu", "bf16", False, False, ()))
    shape = dict(block_size=16, vocab_size=8, n_layer=1, n_head=2, n_embd=16)
    first, both = writing.measure_writing(shape, 3, 5, stand_in, runs=2)
    assert first["runs"].keys() == {"course"}
    assert both["runs"].keys() == {"course", "nanoGPT", "nanoGPT, fp32"}
    assert both["details"]["streams"] == 3
