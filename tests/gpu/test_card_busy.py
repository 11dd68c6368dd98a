"""A file on the disk keeps the card busy: no gap between two kernels in which it waits for its next batch.

What torch's profiler saw of the card is a list of kernels, each with a beginning and an end. A step that is large
enough for the card to be the slower of the two (`SHAPE`: ten million million operations, in a few hundred kernels)
leaves no gap: the next kernel is always there already.
"""

import json
from pathlib import Path

import pytest
import torch
from cards import numbers, on, settings
from torch.profiler import ProfilerActivity, profile

from course_lib.config import GPTConfig
from course_lib.data import Batcher, prepare
from course_lib.models import GPT
from course_lib.training import Trainer

SHAPE = dict(n_layer=4, n_head=8, n_embd=1024)
BLOCK, BATCH = 512, 64
SHARE = 0.05
"""Of a step: the longest gap that is allowed."""
WARM, SEEN = 13, 6  # step 10 logs, and so waits; steps 13 to 18 lie between two logs

Span = tuple[float, float]


def spans_of(trace: Path) -> list[Span]:
    """Beginning and end, in microseconds, of all that the card did, in order."""
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    kinds = ("kernel", "gpu_memcpy", "gpu_memset")
    return sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e.get("cat") in kinds)


def longest_gap(spans: list[Span]) -> float:
    """The longest time in which nothing ran, between the first beginning and the last end. Kernels may overlap."""
    gap, reached = 0.0, spans[0][0]
    for start, end in spans:
        gap, reached = max(gap, start - reached), max(reached, end)
    return gap


@pytest.mark.parametrize(
    ("spans", "gap"),
    [
        ([(0, 1), (1, 2)], 0),
        ([(0, 10), (2, 3), (11, 12)], 1),
        ([(5, 6), (9, 10), (10.5, 11)], 3),
        ([(0, 4), (1, 8), (2, 3), (8, 9)], 0),
    ],
)
def test_gaps_are_what_is_between(spans: list[Span], gap: float) -> None:
    assert longest_gap(spans) == gap


def test_a_trace_is_read_as_torch_writes_it(tmp_path: Path) -> None:
    """Here without a card: it holds the CPU's operations, and nothing that a card did."""
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
        torch.ones(8, 8) @ torch.ones(8, 8)
    seen.export_chrome_trace(str(tmp_path / "trace.json"))
    text = (tmp_path / "trace.json").read_text(encoding="utf-8")
    assert "aten::mm" in text
    assert spans_of(tmp_path / "trace.json") == []
    (tmp_path / "trace.json").write_text(text.replace('"cpu_op"', '"kernel"'), encoding="utf-8")
    spans = spans_of(tmp_path / "trace.json")
    assert len(spans) >= 3
    assert all(start <= end for start, end in spans)


@on("cuda")
def test_batches_from_a_file_keep_the_card_busy(device: str, project: Path) -> None:
    path = prepare("numbers", "char") / "train.bin"
    config = settings(device, max_steps=1000, batch_size=BATCH, precision="auto", log_every=10)
    batches = Batcher(path, BATCH, BLOCK, 0, device, resident=False)
    torch.manual_seed(0)
    trainer = Trainer(GPT(GPTConfig(BLOCK, numbers()[0].vocab_size, **SHAPE)), batches, config)
    for _ in range(WARM):
        next(trainer)
    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as seen:
        for _ in range(SEEN):
            assert next(trainer).train_loss is None
        torch.cuda.synchronize()
    seen.export_chrome_trace(str(project / "trace.json"))
    spans = spans_of(project / "trace.json")
    spans = spans[len(spans) // SEEN :]  # in the first step the profiler itself is still getting under way
    step = (spans[-1][1] - spans[0][0]) / (SEEN - 1)
    gap = longest_gap(spans)
    assert gap <= SHARE * step, f"the card did nothing for {gap:.0f} of {step:.0f} microseconds"
