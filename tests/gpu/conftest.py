"""The device of each test, what surrounds it there, and the order: the quickest first."""

import dataclasses
import gc
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from cards import PretendCard

from course_lib import sampling
from course_lib.device import choose, find

HERE = Path(__file__).parent
ORDER = (
    "test_card_refusals", "test_card_fp32", "test_card_tokens", "test_card_graphs", "test_card_waiting",
    "test_card_memory", "test_card_saves", "test_card_forms", "test_card_processes", "test_card_busy",
    "test_card_chapters",
)  # fmt: skip
"""A fault that ends all others, such as a driver that is too old, should show within seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: ORDER.index(item.path.stem) if item.path.parent == HERE else -1)


@pytest.fixture
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Iterator[str]:
    """The device that the test asks for, as it was before once the test is over; a skip where it is not there."""
    name: str = request.param
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA card here")
    if name == "mps" and not torch.backends.mps.is_available():
        pytest.skip("torch sees no Apple GPU here")
    before = torch.get_float32_matmul_precision()
    yield name
    torch.set_float32_matmul_precision(before)
    gc.collect()
    if name != "cpu":
        getattr(torch, name).empty_cache()


@pytest.fixture
def refusing(device: str) -> Iterator[Callable[[bool], None]]:
    """Switches on and off that waiting for the card is an error; in the end off, for the tests after it."""

    def switch(wanted: bool) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
            torch.cuda.set_sync_debug_mode("error" if wanted else "default")

    yield switch
    switch(False)


@pytest.fixture
def pretend_card(monkeypatch: pytest.MonkeyPatch) -> PretendCard:
    """A card without values, which a trainer finds and takes."""
    compute = dataclasses.replace(choose(find("cpu"), "fp32"), device="meta")
    monkeypatch.setattr("course_lib.training.setup.select", lambda *asked: compute)
    # There is no generator for it; the sampler's module alone gets another one.
    parts = vars(torch) | {"Generator": lambda device: torch.Generator()}
    monkeypatch.setattr(sampling, "torch", types.SimpleNamespace(**parts))
    return PretendCard()
