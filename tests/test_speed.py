"""What is told of a training's speed, the trace of its steps, and the garbage collector on a card."""

import dataclasses
import gc
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_cli import TINY, refused

from course_lib import peaks
from course_lib.cli import main as course
from course_lib.cli.speed import Speedometer, collecting_seldom
from course_lib.device import Compute
from course_lib.training import StepRecord

pytestmark = pytest.mark.usefixtures("one_thread")


def on(device: str) -> SimpleNamespace:
    model = SimpleNamespace(flops_per_token=lambda: 2e6)
    return SimpleNamespace(compute=Compute(device, "fp32", False, False, ()), model=model)


def rows(*seconds: float, evaluated: tuple[int, ...] = ()) -> list[StepRecord]:
    return [
        StepRecord(i, 1.0, 2.0 if i in evaluated else None, 0.1, 100 * (i + 1), s, None, None)
        for i, s in enumerate(seconds)
    ]


def test_evaluations_and_the_first_step_do_not_count() -> None:
    meter = Speedometer(on("cpu"), is_asked=True)
    assert meter.read() == ""
    for record in rows(30.0, 30.5, 31.0, 40.0, 40.5, evaluated=(3,)):  # the first step compiles, the fourth scores
        meter.count(record)
    assert meter.read().startswith("200 tokens/s")  # 300 tokens in 1.5 s
    assert meter.read() == ""  # since then nothing


def test_it_speaks_where_it_was_asked_or_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**30)
    for device, is_asked, speaks in (("cpu", False, False), ("cpu", True, True), ("cuda", False, True)):
        meter = Speedometer(on(device), is_asked)
        for record in rows(1.0, 2.0):
            meter.count(record)
        assert bool(meter.read()) == speaks
    # 989 TFLOPS x 0.001 s / 2e6 operations per token
    meter.count(dataclasses.replace(rows(1.0)[0], seconds=2.001, tokens=200 + 494_500))
    assert meter.read() == "494,500,000 tokens/s  MFU 100.0%  3.0 GiB"


def test_a_card_that_no_table_knows_is_compared_with_what_it_reaches_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Z1000")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**30)
    monkeypatch.setattr(peaks, "measured_peak", lambda device: peaks.Peak(4e9, "bf16", f"measured on {device}"))
    meter = Speedometer(on("cuda"), is_asked=False)
    for record in rows(1.0, 1.1):
        meter.count(record)
    assert meter.read() == "1,000 tokens/s  MFU 50.0%  3.0 GiB"  # 1,000 x 2e6 of 4e9


def test_a_run_tells_it_and_writes_a_trace(project: Path, capsys: pytest.CaptureFixture) -> None:
    args = ["train", "tinytales_cpu", *TINY, "--out-dir", "run"]
    assert course([*args, "--speed", "--profile", "2", "--max-steps", "6", "--warmup-steps", "0"]) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("step")]
    assert len(lines) == 3
    assert all(" tokens/s" in line for line in lines[1:])
    assert "trace of 2 steps: run/trace.json; https://ui.perfetto.dev opens it" in printed
    trace = json.loads((project / "run" / "trace.json").read_text())
    steps = {event["name"] for event in trace["traceEvents"] if event.get("name", "").startswith("ProfilerStep#")}
    assert len(steps) == 2
    assert course(["train", "--resume", "run", "--max-steps", "7", "--speed", "true"]) == 0
    assert " tokens/s" not in capsys.readouterr().out.split("best:")[0].split("step  ")[-1]  # one step tells nothing
    assert course([*args[:-1], "plain"]) == 0
    assert "tokens/s" not in capsys.readouterr().out
    assert "--profile should be at least 1" in refused(capsys, *args[:-1], "other", "--profile", "0")
    assert not (project / "other").exists()


def test_on_a_card_the_collector_rests() -> None:
    assert gc.isenabled()
    with collecting_seldom(on("cuda")) as collect:
        assert not gc.isenabled()
        assert collect is gc.collect
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    with pytest.raises(KeyboardInterrupt), collecting_seldom(on("cuda")):
        raise KeyboardInterrupt
    assert gc.isenabled()
    with collecting_seldom(on("cpu")):
        assert gc.isenabled()
