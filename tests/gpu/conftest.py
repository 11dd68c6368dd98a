"""The device of each test, what surrounds it there, and the order: the quickest first."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
ORDER = (
    "test_card_refusals", "test_card_fp32", "test_card_tokens", "test_card_waiting", "test_card_memory",
    "test_card_saves", "test_card_forms", "test_card_processes", "test_card_busy", "test_card_chapters",
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
