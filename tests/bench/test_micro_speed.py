"""microGPT's benchmark: what is timed, what is compared, what is refused. Nothing here asserts a speed."""

import json
import os
import random
from pathlib import Path

import pytest

from course_lib.bench import micro
from course_lib.cli import main as course
from course_lib.data import load_text
from course_lib.errors import CourseError
from course_lib.models.micro import MicroGPT

STAND_IN = """
import random
from pathlib import Path
from course_lib.models.micro import MicroGPT
class Loss:
    def __init__(self, data): self.data = data
random.seed(1)
print("num docs")
model = MicroGPT(Path("input.txt").read_text().split(), engine="scalar")
for step in range({steps}):
    loss = Loss(model.train_step(500) {more})
    print(f"step {{step + 1}} / 500 | loss {{loss.data:.4f}}")
"""
"""A program that prints as the original does, and computes with the course's engine, or wrongly."""


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(micro, "STEPS", 2)


def stand_in(folder: Path, steps: int = 500, more: str = "") -> Path:
    (folder / "microgpt.py").write_text(STAND_IN.format(steps=steps, more=more))
    return folder


def test_three_rows_in_turn_and_how_far_apart_their_losses_are(tmp_path, project):
    before = random.getstate()
    result = micro.bench_micro("c", 2, stand_in(tmp_path), None)
    assert random.getstate() == before
    assert {row: len(runs) for row, runs in result["runs"].items()} == dict.fromkeys(
        ["course", "course scalar", "microGPT"], 2
    )
    assert result["details"]["scalar_loss_differs_by"] == 0
    assert 0 <= result["details"]["vector_loss_differs_by"] < 1e-12
    assert {"course vs microGPT", "course vs course scalar", "course scalar vs microGPT"} == result["ratios"].keys()
    wrong = micro.bench_micro("c", 1, stand_in(tmp_path, more="+ 0.25") / "microgpt.py", None)
    assert wrong["details"]["scalar_loss_differs_by"] == pytest.approx(0.25)


def test_without_a_peer_the_two_engines_are_measured(project, capsys):
    assert course(["bench", "micro", "--runs", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["command"] == "course bench micro --runs 1"
    assert list(result["runs"]) == ["course", "course scalar"]
    assert list(result["ratios"]) == ["course vs course scalar"]


def test_the_step_that_is_not_timed_is_the_first(tmp_path):
    docs = ["anna", "boris", "chloe"]
    seconds, losses = micro.run_engine("vector", docs, 2)
    assert losses == MicroGPT(docs, engine="vector").train(500, stop_after=3)
    assert seconds > 0
    theirs, same = micro.run_original(stand_in(tmp_path) / "microgpt.py", docs, 2)
    assert len(same) == 3
    assert theirs > 0


def test_what_is_not_the_program_is_told(tmp_path):
    with pytest.raises(CourseError, match=r"should be microgpt\.py, or a folder with it; there is none"):
        micro.bench_micro("c", 1, tmp_path, None)
    with pytest.raises(CourseError, match=r"made 1 steps of the 3 that were wanted. Is it microgpt\.py"):
        micro.bench_micro("c", 1, stand_in(tmp_path, steps=1), None)
    (tmp_path / "microgpt.py").write_text("1 / 0")
    with pytest.raises(CourseError, match=r"failed: ZeroDivisionError: division by zero. Is it microgpt\.py"):
        micro.bench_micro("c", 1, tmp_path, None)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the original's
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_original_itself():
    program = os.environ.get("COURSE_PEER_MICROGPT")
    if not program or not Path(program).is_file():
        pytest.skip("COURSE_PEER_MICROGPT names no file with the original microgpt.py")
    docs = load_text("names").split()
    assert micro.run_original(Path(program), docs, 2)[1] == micro.run_engine("scalar", docs, 2)[1]
