"""Weights & Biases, by a stand-in for its package: which numbers come, in which order, and what is said without it."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from course_lib import checkpoint
from course_lib.checkpoint import boards
from course_lib.config import DataConfig, GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = GPTConfig(block_size=8, vocab_size=5, n_layer=1, n_head=1, n_embd=8)
CONFIG = TrainConfig(max_steps=4, eval_every=2, wandb=True, device="cpu", batch_size=2, seed=0)


class FakeRun:
    def __init__(self, **about: Any) -> None:
        self.about, self.rows, self.finished = about, list[tuple[int, dict[str, float]]](), 0

    def log(self, numbers: dict[str, float], step: int) -> None:
        assert not self.finished
        self.rows.append((step, numbers))

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[FakeRun]:
    """The runs that the package was asked to begin."""
    begun = list[FakeRun]()

    def init(**about: Any) -> FakeRun:
        begun.append(FakeRun(**about))
        return begun[-1]

    package = ModuleType("wandb")
    package.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", package)
    return begun


def trainer(run_dir: Path | None, config: TrainConfig = CONFIG) -> Trainer:
    torch.manual_seed(0)
    batches = Batcher(list(range(5)) * 20, 2, 8)
    return Trainer(GPT(SMALL), batches, config, val_batches=batches, run_dir=run_dir, data=DataConfig())


def test_it_gets_the_rows_of_the_log_and_the_settings(tmp_path, runs):
    list(trainer(tmp_path / "run", CONFIG.replace(wandb_project="owt", wandb_run_name="gpt2")))
    (run,) = runs
    rows = checkpoint.read_metrics(tmp_path / "run")
    assert (run.about["project"], run.about["name"], run.finished) == ("owt", "gpt2", 1)
    assert run.about["dir"] == str(tmp_path / "run"), "what it keeps on this disk lies with the run"
    assert run.about["config"]["train"]["max_lr"] == CONFIG.max_lr
    assert run.about["config"]["model"]["n_layer"] == 1
    assert [step for step, _ in run.rows] == [0, 1, 2, 3]
    for (_, numbers), row in zip(run.rows, rows, strict=True):
        assert numbers == {n: v for n, v in row.items() if n != "step" and v is not None}
    assert {"train_loss", "lr", "tokens", "val_loss"} <= run.rows[1][1].keys()


def test_a_run_that_goes_on_begins_a_new_one_under_its_own_name(tmp_path, runs):
    list(trainer(tmp_path / "run"))
    list(Trainer.resume(tmp_path / "run", Batcher(list(range(5)) * 20, 2, 8), max_steps=6))
    assert [run.about["name"] for run in runs] == ["run", "run"]
    assert [step for step, _ in runs[1].rows] == [4, 5]
    list(Trainer.resume(tmp_path / "run", Batcher(list(range(5)) * 20, 2, 8), max_steps=8, wandb=False))
    assert len(runs) == 2


def test_without_a_folder_nothing_is_logged_anywhere(runs):
    list(trainer(None))
    assert runs == []


def test_a_package_that_is_not_installed_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(CourseError, match=r"pip install wandb \(or leave it false\)"):
        trainer(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    list(trainer(tmp_path / "run", CONFIG.replace(wandb=False)))
    with pytest.raises(CourseError, match="pip install wandb"):
        Trainer.resume(tmp_path / "run", Batcher(list(range(5)) * 20, 2, 8), wandb=True)


def test_a_service_that_begins_no_run_is_told_in_a_sentence(tmp_path, monkeypatch, runs):
    def fails(**about: Any) -> None:
        raise RuntimeError("api_key not configured")

    monkeypatch.setattr(sys.modules["wandb"], "init", fails)
    with pytest.raises(CourseError, match=r"began no run \(api_key not configured\).*WANDB_MODE=offline"):
        list(trainer(tmp_path / "run"))


def test_tensorboard_gets_the_rows_of_the_log_too(tmp_path, monkeypatch):
    """By a stand-in for its writer: from which step on, which numbers, and that they are kept with each save."""
    calls = list[tuple[Any, ...]]()

    class Writer:
        def __init__(self, folder: Path, purge_step: int) -> None:
            calls.append(("open", folder, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            calls.append((name, value, step))

        def flush(self) -> None:
            calls.append(("flush",))

        def close(self) -> None:
            calls.append(("close",))

    monkeypatch.setattr(boards, "tensorboard_writer", lambda: Writer)
    config = CONFIG.replace(wandb=False, tensorboard=True)
    list(trainer(tmp_path / "run", config))
    rows = checkpoint.read_metrics(tmp_path / "run")
    scalars = [call for call in calls if len(call) == 3 and call[0] != "open"]
    assert scalars == [(n, v, row["step"]) for row in rows for n, v in row.items() if n != "step" and v is not None]
    assert (calls[0], calls[-1]) == (("open", tmp_path / "run" / "tensorboard", 0), ("close",))
    assert [call for call in calls if call[0] == "flush"] == [("flush",)] * 2, "one for each save"
    list(Trainer.resume(tmp_path / "run", Batcher(list(range(5)) * 20, 2, 8), max_steps=5))
    assert [call[2] for call in calls if call[0] == "open"] == [0, 4]


@pytest.mark.parametrize("call", ["log", "finish"])
def test_a_board_that_fails_is_left_out_and_the_training_goes_on(tmp_path, monkeypatch, capsys, runs, call):
    """Told once, whether it takes no numbers any more or cannot end; the log on the disk is whole."""
    calls = []

    def fails(run: FakeRun, *args: Any, **more: Any) -> None:
        calls.append(call)
        raise BrokenPipeError("the service is gone\nat all")

    monkeypatch.setattr(FakeRun, call, fails)
    list(trainer(tmp_path / "run"))
    assert [row["step"] for row in checkpoint.read_metrics(tmp_path / "run")] == [0, 1, 2, 3]
    assert checkpoint.load(tmp_path / "run").state["step"] == 4
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert "WandB takes no more numbers (BrokenPipeError: the service is gone). The training goes on" in warning
    assert calls == [call], "it is not asked again"


def test_of_two_boards_the_other_one_still_gets_every_row(tmp_path, capsys):
    class Board:
        def __init__(self, fails: str = "") -> None:
            self.fails, self.calls = fails, list[str]()

        def _called(self, name: str) -> None:
            self.calls.append(name)
            if name == self.fails:
                raise RuntimeError

        def write(self, step: int, numbers: dict[str, float]) -> None:
            self._called("write")

        def flush(self) -> None:
            self._called("flush")

        def close(self) -> None:
            self._called("close")

    bad, good = Board("flush"), Board()
    log = checkpoint.MetricsLog(tmp_path, boards=[bad, good])
    for step in range(2):
        log.write({"step": step, "train_loss": 1.0})
        log.sync()
    log.close()
    assert bad.calls == ["write", "flush"]
    assert good.calls == ["write", "flush"] * 2 + ["close"]
    assert capsys.readouterr().err.count("warning") == 1
