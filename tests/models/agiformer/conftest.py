"""The tests of AGIFORMER: on one thread, as its models here are small; and with short chunks."""

import pytest

from course_lib.models.agiformer import linear_attention


@pytest.fixture(autouse=True)
def _small_work(one_thread, monkeypatch):
    monkeypatch.setattr(linear_attention, "CHUNK", 5)  # so that a short text has several, and ends within one
