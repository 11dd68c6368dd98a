"""Decoding by CUDA graphs: the tokens that the card writes kernel by kernel, and the CPU too.

tests/test_graphs.py has the same on a tape, where no card is.
"""

import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cards import BLOCK, GPT2, MODERN, assert_same_tokens, exact, lively, numbers, on, small_trainer
from torch import Tensor

from course_lib import graphs
from course_lib.models import GPT
from course_lib.sampling import CHECK_EVERY, generate, stream

LONG = 128


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Whatever can be captured is, and each capture is noted; that one fails is an error."""
    found: list[torch.device] = []

    def noted(step: Callable[[], Tensor], rewind: Callable[[], None], device: torch.device) -> Any:
        result = noted.capture(step, rewind, device)
        found.append(device)
        return result

    noted.capture = graphs.capture
    monkeypatch.setattr(graphs, "capture", noted)
    monkeypatch.setattr(graphs, "WORTH_IT", 5)
    graphs._say_once.cache_clear()
    return found


def plainly(model: GPT, *words: Any, **how: Any) -> list[list[int]]:
    """What it writes kernel by kernel."""
    model.is_capturable = False
    try:
        return generate(model, *words, **how).tolist()
    finally:
        model.is_capturable = True


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("form", [GPT2, MODERN], ids=["gpt2", "modern"])
@on("cuda")
def test_greedy_tokens_are_those_without_a_graph_and_the_cpus(
    device: str, form: dict, rows: int, captured: list[torch.device]
) -> None:
    """Within block_size and as far again past it."""
    prompts = numbers()[1][: rows * 5].reshape(rows, 5).tolist()
    model = lively(form, LONG)
    reference = generate(model, prompts, 2 * LONG, temperature=0).tolist()
    assert captured == []
    exact()
    model.to(device)
    plain = plainly(model, prompts, 2 * LONG, temperature=0)
    assert captured == []
    written = generate(model, prompts, 2 * LONG, temperature=0).tolist()
    assert len(captured) == 2  # one for a single token, one for a full window
    for row, other, expected in zip(written, plain, reference, strict=True):
        assert_same_tokens(model, row, other, prompt=5)
        assert_same_tokens(model, row, expected, prompt=5)


@on("cuda")
def test_bf16_weights_are_captured_as_well(device: str, captured: list[torch.device]) -> None:
    model = lively(MODERN, LONG).to(device, torch.bfloat16)
    rows = generate(model, [[1, 2, 3]], 2 * LONG, temperature=0).tolist()
    assert len(captured) == 2
    assert len(set(rows[0])) > 5


@on("cuda")
def test_a_seed_draws_the_same_tokens_twice(device: str, captured: list[torch.device]) -> None:
    model = lively(MODERN, LONG).to(device)
    how = dict(temperature=0.8, top_k=10, top_p=0.95)
    one, again, other = (generate(model, [[1, 2]], 100, seed=seed, **how).tolist() for seed in (3, 3, 4))
    assert one == again != other
    assert len(captured) == 3


@on("cuda")
def test_a_captured_step_waits_for_nothing(
    device: str, captured: list[torch.device], refusing: Callable[[bool], None]
) -> None:
    tokens = stream(lively(MODERN, LONG).to(device), [[1, 2, 3]], 3 * CHECK_EVERY, temperature=0.8, top_k=5)
    for _ in range(CHECK_EVERY):
        next(tokens)
    assert len(captured) == 1
    refusing(True)
    for _ in range(CHECK_EVERY - 1):
        next(tokens)
    refusing(False)


@on("cuda")
def test_another_thread_may_train_meanwhile(device: str, captured: list[torch.device]) -> None:
    """As the lab does, with dropout, which draws from torch's own generator: a capture would be in its way."""
    trainer = small_trainer(device, MODERN | dict(dropout=0.1), max_steps=100_000)
    stop, failed, steps = threading.Event(), [], []

    def train() -> None:
        try:
            for record in trainer:
                steps.append(record.step)
                if stop.is_set():
                    return
        except Exception as error:
            failed.append(error)

    model = lively(GPT2, LONG).to(device)
    expected = plainly(model, [[1, 2, 3]], 100, temperature=0)[0]
    thread = threading.Thread(target=train)
    thread.start()
    try:
        rows = [generate(model, [[1, 2, 3]], 100, temperature=0).tolist()[0] for _ in range(5)]
    finally:
        stop.set()
        thread.join()
    assert failed == []
    assert steps
    captured.clear()
    rows += generate(model, [[1, 2, 3]], 100, temperature=0).tolist()
    assert len(captured) == 1
    for row in rows:
        assert_same_tokens(model, row, expected, prompt=3)


class Peeking(GPT):
    """A model that looks at a value on the way, which no graph can hold."""

    def hidden(self, idx: Tensor, cache: Any = None) -> Tensor:
        hidden = super().hidden(idx, cache)
        return hidden if hidden.sum().item() < 1e30 else hidden * 0


@on("cuda")
def test_what_cannot_be_captured_runs_as_it_is(device: str, captured: list[torch.device]) -> None:
    """And afterward the card works as before."""
    model = lively(GPT2, LONG)
    expected = generate(model, [[1, 2, 3]], 100, temperature=0).tolist()[0]
    exact()
    model.__class__ = Peeking
    model.to(device)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rows = [generate(model, [[1, 2, 3]], 100, temperature=0).tolist()[0] for _ in range(2)]
    assert captured == []
    assert len([w for w in said if "could not be captured as a CUDA graph" in str(w.message)]) == 1
    trainer = small_trainer(device, MODERN | dict(dropout=0.1), max_steps=3)
    assert all(record.train_loss < 10 for record in trainer)
    model.__class__ = GPT
    for row in rows:
        assert_same_tokens(model, row, expected, prompt=3)


@on("cuda")
def test_memory_stays_where_it_was_over_many_captures(device: str, captured: list[torch.device]) -> None:
    model = lively(MODERN, BLOCK).to(device)
    held, reserved = [], []
    for _ in range(6):
        generate(model, [[1, 2, 3]], 100, temperature=0)
        torch.cuda.synchronize()
        held.append(torch.cuda.memory_allocated())
        reserved.append(torch.cuda.memory_reserved())
    assert len(captured) == 12
    assert len(set(held[1:])) == 1, held
    assert reserved[-1] == reserved[-2], reserved
