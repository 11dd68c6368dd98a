"""AGIFORMER's benchmark: what is measured, what is missed, what is refused. Nothing here asserts a speed."""

import json
from pathlib import Path

import pytest
import torch

from course_lib.bench import agiformer, byte_models
from course_lib.cli import main as course
from course_lib.errors import CourseError

STAND_IN = """
import torch
class AGIFORMER(torch.nn.Module):
    def __init__(self, d_model, n_layers, num_heads, dropout):
        super().__init__()
        self.table = torch.nn.Embedding(256, 256)
    def forward(self, x, target_bytes=None, temperature=0.0):
        logits = self.table(x).unflatten(1, (-1, 4))
        return logits if target_bytes is not None else logits.argmax(-1)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """In place of the original: a model that is called as it is. The processes are calls in this one."""
    (tmp_path / "src" / "models").mkdir(parents=True)
    (tmp_path / byte_models.MODEL).write_text(STAND_IN)
    monkeypatch.setattr(agiformer, "SHAPE", {"n_embd": 16, "n_layer": 1, "n_head": 2, "dropout": 0.1})
    monkeypatch.setattr(agiformer, "STEPS", {1024: (1, 0, 1), 8192: (1, 0, 1)})
    monkeypatch.setattr(agiformer, "ALONE", {40: (1, 0, 1), 80: (1, 0, 1)})
    monkeypatch.setattr(agiformer, "CONTEXT", 8)
    monkeypatch.setattr(agiformer, "NEW_BYTES", {"course": 6, "original": 8})
    monkeypatch.syspath_prepend(str(tmp_path))
    plans = []

    def here(words, environment):
        plan = json.loads(words[-1])
        plans.append((plan, environment))
        if plan["what"] == "train" and plan["length"] == 8192:
            return type("Ran", (), {"out": json.dumps({"seconds": 2.0, "memory": 10.0 if plan["peer"] else 20.0})})
        return type("Ran", (), {"out": json.dumps(agiformer.measured(plan | {"threads": torch.get_num_threads()}))})

    monkeypatch.setattr(agiformer, "run_program", here)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    return tmp_path, plans


def test_rows_in_turn_beside_the_original(stand_in, one_thread):
    peer, plans = stand_in
    result = agiformer.bench_agiformer("c", 2, peer, None)
    rows = result["rows"]
    assert set(agiformer.GOALS) < set(rows)
    for name in agiformer.GOALS:
        turns = 1 if name.startswith("memory") else 2
        assert {row: len(runs) for row, runs in rows[name]["runs"].items()} == {"course": turns, "original": turns}
    assert {plan["length"] for plan, environment in plans if "MALLOC_MMAP_THRESHOLD_" in environment} == {1024, 8192}
    assert rows["memory at 8192"]["ratios"] == {"course vs original": 0.5}
    assert any(words.startswith("memory at 8192: 0.50 times, goal 2.22") for words in result["details"]["missed"])
    assert {"seconds at 1024, 2 threads", "bytes per second, 2 threads", "alone at 40"} < set(rows)
    peers = [plan["peer"] for plan, _ in plans[:4]]
    assert peers == [None, str(peer), None, str(peer)]  # in turn
    assert all(environment["OMP_NUM_THREADS"] == str(plan["threads"]) for plan, environment in plans)
    assert json.dumps(result)


def test_without_the_original_the_course_alone_is_measured(stand_in, one_thread, capsys, tmp_path):
    out = tmp_path / "found.json"
    course(["bench", "agiformer", "--runs", "1", "--out", str(out)])
    result = json.loads(out.read_text())
    assert result["command"] == "course bench agiformer --runs 1"
    assert all(list(row["runs"]) == ["course"] for row in result["rows"].values())


def test_what_is_not_the_original_is_told(tmp_path):
    with pytest.raises(CourseError, match=r"should be a checkout of the original AGIFORMER, with src/models"):
        agiformer.bench_agiformer("c", 1, Path(tmp_path), None)


def test_on_a_card_each_way_of_training_is_a_row(stand_in, one_thread):
    peer, _ = stand_in
    first, whole = byte_models.measure_bytes(agiformer.SHAPE, 2, 8, peer, "cpu", False, 0.01, runs=2)
    assert {row: len(runs) for row, runs in first["runs"].items()} == {"course": 1}
    assert {row: len(runs) for row, runs in whole["runs"].items()} == {"course": 2, "original": 2}
    assert whole["unit"] == "bytes per second"
    assert whole["details"]["peak_memory_gib"].keys() == {"course", "original"}
