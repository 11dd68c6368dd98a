"""metrics.jsonl: a row per step that survives kills, and that a resumed run continues without a seam."""

import gc
import json
import math
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from course_lib.checkpoint import MetricsLog, boards_for, need_boards, read_metrics
from course_lib.config import TrainConfig
from course_lib.errors import CourseError


def write(folder: Path, first: int, last: int, **more: object) -> None:
    """Rows first to last - 1, as a run would write them."""
    log = MetricsLog(folder, first)
    for step in range(first, last):
        log.write({"step": step, "train_loss": 1 / (step + 1), "val_loss": None, **more})
    log.sync()
    log.close()


def steps(folder: Path) -> list[int]:
    return [row["step"] for row in read_metrics(folder)]


def test_rows_are_one_json_object_per_line(tmp_path: Path) -> None:
    write(tmp_path, 0, 3)
    lines = (tmp_path / "metrics.jsonl").read_text().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == [
        {"step": 0, "train_loss": 1.0, "val_loss": None},
        {"step": 1, "train_loss": 0.5, "val_loss": None},
        {"step": 2, "train_loss": 1 / 3, "val_loss": None},  # every digit: a resumed curve is compared exactly
    ]
    assert read_metrics(tmp_path) == [json.loads(line) for line in lines]


def test_rows_are_strict_json_whatever_the_numbers(tmp_path: Path) -> None:
    write(tmp_path, 0, 1, grad_norm=math.inf, other=math.nan)
    text = (tmp_path / "metrics.jsonl").read_text()
    assert "Infinity" not in text
    assert "NaN" not in text
    assert read_metrics(tmp_path)[0]["grad_norm"] is None


def test_a_row_can_be_read_before_the_log_is_closed(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write({"step": 0})
    assert steps(tmp_path) == [0]
    log.close()


def test_rows_after_the_save_are_dropped_on_resume(tmp_path: Path) -> None:
    write(tmp_path, 0, 8, attempt=1)
    write(tmp_path, 5, 7, attempt=2)
    assert steps(tmp_path) == [0, 1, 2, 3, 4, 5, 6]
    assert [row["attempt"] for row in read_metrics(tmp_path)] == [1] * 5 + [2] * 2


@pytest.mark.parametrize("tail", [b'{"step": 3, "train_lo', b"{", b"\x00\x00\x00", b"\xff", b'{"step"', b"12"])
def test_a_cut_off_last_line_is_left_out_and_mended(tmp_path: Path, tail: bytes) -> None:
    write(tmp_path, 0, 3)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + tail)
    assert steps(tmp_path) == [0, 1, 2]
    write(tmp_path, 3, 5)  # does not append to the torn line
    assert steps(tmp_path) == [0, 1, 2, 3, 4]
    assert len(path.read_bytes().splitlines()) == 5


@pytest.mark.parametrize("line", ["oops", '{"loss": 1}', '{"step": 2', "", "[2]"])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, line: str) -> None:
    write(tmp_path, 0, 4)
    path = tmp_path / "metrics.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = line
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(CourseError, match=r"metrics\.jsonl, line 3, is no JSON row .*Delete that line"):
        read_metrics(tmp_path)
    del lines[2]
    path.write_text("\n".join(lines) + "\n")
    assert steps(tmp_path) == [0, 1, 3]


def test_a_second_row_of_the_last_step_takes_the_place_of_the_first(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    for step in range(3):
        log.write({"step": step, "val_loss": None})
    log.write({"step": 2, "val_loss": 1.5})
    assert read_metrics(tmp_path)[-1] == {"step": 2, "val_loss": 1.5}
    log.write({"step": 2, "val_loss": math.inf})
    log.write({"step": 3, "val_loss": None})
    log.sync()
    log.close()
    assert read_metrics(tmp_path) == [{"step": step, "val_loss": None} for step in range(4)]


def test_a_second_row_takes_its_place_in_a_log_that_is_continued(tmp_path: Path) -> None:
    write(tmp_path, 0, 6)
    log = MetricsLog(tmp_path, 4)
    log.write({"step": 3, "val_loss": 1.5})
    log.write({"step": 4, "val_loss": None})
    log.close()
    assert [row["val_loss"] for row in read_metrics(tmp_path)] == [None, None, None, 1.5, None]


class Killed(BaseException):
    """Stands for SIGKILL."""


def dying_at(number: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Die at that call into the operating system, counted from 1, and at each that follows; returns the calls."""
    calls: list[str] = []

    def watched(name: str, function: Callable) -> Callable:
        def call(*args, **kwargs):
            calls.append(name)
            if len(calls) >= number:
                raise Killed
            return function(*args, **kwargs)

        return call

    for name in ("open", "fsync", "replace", "rename", "unlink", "truncate"):
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    for name in ("open", "write_text", "write_bytes"):
        monkeypatch.setattr(Path, name, watched(name, getattr(Path, name)))
    return calls


def test_a_kill_while_a_row_is_replaced_leaves_the_one_or_the_other(tmp_path: Path) -> None:
    found, number, died = [], 0, True
    while died:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder, 0, 2)
        log = MetricsLog(folder, 2)
        log.write({"step": 2, "val_loss": None})
        with pytest.MonkeyPatch.context() as patch:
            dying_at(number, patch)
            try:
                log.write({"step": 2, "val_loss": 1.5})
                died = False
            except Killed:
                pass
        assert steps(folder) == [0, 1, 2]
        found.append(read_metrics(folder)[-1]["val_loss"])
        write(folder, 3, 4)  # the next process goes on
        assert steps(folder) == [0, 1, 2, 3]
    assert found[0] is None
    assert found[-1] == 1.5
    assert found == sorted(found, key=lambda value: value is not None)  # never back
    assert number > 4


def test_a_row_that_a_full_disk_cut_short_is_written_whole_when_it_is_written_again(tmp_path: Path) -> None:
    """The operating system itself refuses, in the middle of the row: the file may not grow any further."""
    log = MetricsLog(tmp_path)
    log.write({"step": 0, "val_loss": None})
    size = (tmp_path / "metrics.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
    try:
        for _ in range(2):
            with pytest.raises(CourseError, match=r"Cannot write .*metrics\.jsonl: File too large.*disk space"):
                log.write({"step": 1, "val_loss": None})
            assert steps(tmp_path) == [0]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for step in (1, 2):
        log.write({"step": step, "val_loss": None})
    log.sync()
    log.close()
    assert read_metrics(tmp_path) == [{"step": step, "val_loss": None} for step in range(3)]


def test_a_run_without_metrics_has_no_rows(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []


def test_a_full_disk_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MetricsLog(tmp_path)
    log.write({"step": 0})
    fsync = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CourseError, match=r"Cannot write .*metrics\.jsonl: No space left.*disk space.*start the run"):
        log.sync()
    monkeypatch.setattr(os, "fsync", fsync)
    log.close()


def test_a_folder_that_is_not_there_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"Cannot write .*metrics\.jsonl: No such file"):
        MetricsLog(tmp_path / "none")


def test_a_dropped_log_closes_its_file(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write({"step": 0})
    file = log._file
    del log
    gc.collect()
    assert file.closed


def test_tensorboard_that_is_not_installed_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as if it were not there
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(CourseError, match=r"pip install tensorboard.*leave it false"):
        need_boards(TrainConfig(tensorboard=True))


@pytest.mark.filterwarnings("ignore")  # tensorboard's own imports
def test_tensorboard_gets_the_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is an extra: pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = MetricsLog(tmp_path, boards=boards_for(TrainConfig(tensorboard=True), tmp_path, 0))
    for step in range(3):
        log.write({"step": step, "train_loss": 2.0 - step, "val_loss": None})
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train_loss")] == [(0, 2.0), (1, 1.0), (2, 0.0)]
    assert events.Tags()["scalars"] == ["train_loss"]
