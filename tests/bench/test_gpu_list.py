"""The card's list: its order and budget, what is kept of a run that is cut off, and the whole of it as toys."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from course_lib.bench import gpu
from course_lib.bench.__main__ import main
from course_lib.bench.gpu import Row, Tell, rows_of, run_gpu, run_rows
from course_lib.bench.rows import MEASURES, Job, in_a_process
from course_lib.bench.table import goals_of, is_meant_for, table
from course_lib.cli import main as course
from course_lib.errors import CourseError
from course_lib.peaks import Peak
from course_lib.training.setup import compiler_problem

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    *("time to loss", "step gpt2", "step shakespeare", "generation, 1 stream", "generation, many streams"),
    *("step agiformer", "step agiformer, long", "parts shakespeare", "parts gpt2"),
]


PEAK = Peak(1e12, "fp32", "a test")


class Clock:
    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def row(self, name: str, seconds: float, takes: float, error: BaseException | None = None) -> Row:
        def measure(tell: Tell) -> None:
            tell({"part": name})
            self.left -= takes
            if error is not None:
                raise error
            tell({"whole": name})

        return Row(name, seconds, measure)


def kept(rows: list[Row], clock: Clock) -> tuple[bool, dict[str, Any], list[str]]:
    """(whether it went to its end, the results, what was in the file after each write)."""
    done: dict[str, Any] = {}
    written: list[str] = []
    whole = run_rows(rows, lambda: clock.left, done, lambda: written.append(json.dumps(done)))
    return whole, done, written


def test_a_row_that_does_not_fit_is_left_out_and_a_shorter_one_after_it_is_not():
    clock = Clock(100)
    whole, done, _ = kept([clock.row("a", 50, 70), clock.row("b", 60, 60), clock.row("c", 30, 30)], clock)
    assert whole
    assert done["a"]["whole"] == "a"
    assert done["b"] == {"left_out": "it would take about 60 s; 30 s were left"}
    assert done["c"]["whole"] == "c"


def test_every_result_is_written_before_the_next_is_begun():
    clock = Clock(100)
    _, done, written = kept([clock.row("a", 1, 1), clock.row("b", 1, 1)], clock)
    states = [json.loads(text) for text in written]
    assert [list(state) for state in states] == [["a"], ["a"], ["a"], ["a", "b"], ["a", "b"], ["a", "b"]]
    assert "part" in states[0]["a"]
    assert states[-1] == done


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: no kernel"), CourseError("x"), torch.OutOfMemoryError("y")]
)
def test_a_row_that_fails_keeps_its_part_and_the_others_go_on(error: Exception):
    clock = Clock(100)
    whole, done, _ = kept([clock.row("a", 1, 1, error), clock.row("b", 1, 1)], clock)
    assert whole
    assert done["a"]["part"] == "a"
    assert done["a"]["failed"] == f"{type(error).__name__}: {error}"
    assert done["b"]["whole"] == "b"


def test_ctrl_c_keeps_what_is_there_and_says_what_is_not():
    clock = Clock(100)
    whole, done, written = kept([clock.row("a", 1, 1, KeyboardInterrupt()), clock.row("b", 1, 1)], clock)
    assert not whole
    assert done["a"]["part"] == "a"
    assert "Ctrl-C" in done["a"]["failed"]
    assert done["b"] == {"left_out": "stopped by Ctrl-C"}
    assert json.loads(written[-1]) == done


def test_the_list_in_earnest_is_in_order_of_value_and_fits_into_ten_minutes():
    job = Job(tiny=False, compile=True, peak=PEAK)
    rows = rows_of(job, lambda: 600.0, {})
    assert [row.name for row in rows] == NAMES == ["time to loss", *MEASURES]
    assert sum(row.seconds for row in rows) <= 600
    sizes = job.sizes
    assert (sizes.target, sizes.streams, sizes.recipe.name) == (1.47, 64, "shakespeare_char")
    assert (sizes.gpt2["n_layer"], sizes.gpt2["n_embd"], sizes.gpt2["block_size"]) == (12, 768, 1024)
    assert Job.from_json(job.to_json()) == job


def test_a_row_in_a_process_of_its_own_tells_its_results_its_failure_and_its_end(project: Path):
    told: list[dict[str, Any]] = []
    job = Job(tiny=True, compile=False, peak=PEAK)
    in_a_process("generation, 1 stream", job, told.append, 60)
    assert [result["runs"].keys() for result in told] == [{"course"}]
    with pytest.raises(CourseError, match="KeyError: 'no such row'"):
        in_a_process("no such row", job, told.append, 60)
    with pytest.raises(CourseError, match="the minutes were over"):
        in_a_process("generation, 1 stream", job, told.append, 0.1)


# Goals and the table -----------------------------------------------------------------------------------------

DONE = {
    "time to loss": {"share of nanoGPT's time": 0.2},
    "step gpt2": {"ratios": {"course vs nanoGPT": 1.24}, "mfu": {"course": 0.51, "nanoGPT": 0.4}},
    "generation, many streams": {"ratios": {"course vs nanoGPT": 25.0, "course vs nanoGPT, fp32": 19.0}},
}


def test_goals_stand_beside_what_was_reached():
    assert [goal["met"] for goal in goals_of(DONE, True)] == [True, False, None, True, False]
    assert [goal["reached"] for goal in goals_of(DONE, True)] == [0.2, 1.24, None, 0.51, 19.0]  # the faster of two ways
    assert [goal["met"] for goal in goals_of(DONE, False)] == [None] * 5
    assert [goal["met"] for goal in goals_of({"time to loss": {"failed": "x"}}, True)] == [None] * 5


def test_goals_are_for_whole_cards_of_two_kinds():
    assert is_meant_for("NVIDIA H100 80GB HBM3")
    assert is_meant_for("NVIDIA H200")
    assert not any(map(is_meant_for, ["NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA A100-SXM4-40GB", "cpu", "H1000"]))


def test_the_table_says_what_was_left_out_and_what_failed():
    side = {"reached": True, "seconds": 30.0, "without evaluations": 28.0, "val_loss": 1.469}
    late = side | {"reached": False, "seconds": 90.0, "val_loss": 1.4712}
    rows = {
        "time to loss": {"target": 1.47, "course": side, "nanoGPT": late, "share of nanoGPT's time": 0.333},
        "step gpt2": {"failed": "RuntimeError: first\nlast line"},
        "parts gpt2": {"left_out": "it would take about 40 s; 3 s were left"},
    }
    result = {
        "machine": {"device": "NVIDIA H200"}, "versions": {"torch": "2.11.0"}, "minutes": 7.5, "torch.compile": "works",
        "peak": {"tflops": 989.0, "source": "a table"}, "rows": rows, "goals are for this card": True,
        "goals": goals_of(rows, True),
    }  # fmt: skip
    text = table(result)
    for words in ("seconds to 1.47", "90.0*", "its lowest was 1.4712", "failed: last line", "3 s were left", "0.333"):
        assert words in text
    assert "wanted at most 0.2: not met" in text


# The words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("front", [lambda words: course(["bench", *words]), main])
def test_what_is_wrong_is_said_in_a_sentence(front, tmp_path: Path, capsys: pytest.CaptureFixture):
    out = ["--out", str(tmp_path / "r.json")]
    if not torch.cuda.is_available():
        assert front(["gpu", *out]) == 2
        assert "Add --tiny" in capsys.readouterr().err
    assert front(["gpu", "--tiny", "--peer", str(tmp_path), *out]) == 2
    assert "copy of nanoGPT" in capsys.readouterr().err
    assert front(["gpu", "--tiny", "--agiformer", str(tmp_path), *out]) == 2
    assert "checkout of the original AGIFORMER" in capsys.readouterr().err
    assert front(["gpu", "--tiny", "--minutes", "0", *out]) == 2
    assert "minutes should be above 0" in capsys.readouterr().err
    assert front(["gpu", "--tiny", "--out", str(tmp_path / "no folder" / "r.json")]) == 2
    assert "Name another file" in capsys.readouterr().err


def test_a_compiler_that_fails_is_told_and_no_error(monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object, **settings: object) -> object:
        raise RuntimeError("Failed to find C compiler\nmore")

    monkeypatch.setattr(torch, "compile", fail)
    assert compiler_problem("cpu") == "Failed to find C compiler"


# A machine that has torch and little else ---------------------------------------------------------------------

BARE = """
import importlib.metadata, sys

ALLOWED = set(sys.stdlib_module_names) | {
    "course_lib", "torch", "torchgen", "functorch", "triton", "numpy", "safetensors", "tqdm", "filelock",
    "typing_extensions", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec",  # what torch itself needs
    "model", "peer_model", "configurator",  # nanoGPT's own
}

class Bare:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in ALLOWED or top.startswith("_")
        return self.finder.find_spec(name, path, target) if known else None

    def __getattr__(self, name):
        return getattr(self.finder, name)

def distribution(name, found=importlib.metadata.distribution):
    if name == "course-lib":
        raise importlib.metadata.PackageNotFoundError(name)
    return found(name)

sys.meta_path[:] = [Bare(finder) for finder in sys.meta_path]
importlib.metadata.distribution = distribution
"""
"""A sitecustomize: Python, and every Python that it starts, then sees a plain checkout, torch and what torch needs."""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(BARE)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "bare"), str(ROOT)])}


def test_a_bare_machine_is_bare_and_the_list_loads_on_it(bare: dict[str, str], tmp_path: Path):
    for name in ("tyro", "matplotlib", "tiktoken", "ipywidgets", "IPython", "pytest", "hypothesis"):
        done = subprocess.run([sys.executable, "-c", f"import {name}"], env=bare, capture_output=True, text=True)
        assert "ModuleNotFoundError" in done.stderr
    code = "from course_lib.bench.reporting import versions; print(versions()['course-lib'])"
    done = subprocess.run([sys.executable, "-c", code], env=bare, cwd=tmp_path, capture_output=True, text=True)
    from course_lib import __version__

    assert done.stdout.strip() == __version__, done.stderr
    words = [sys.executable, "-m", "course_lib.bench", "--help"]
    done = subprocess.run(words, env=bare, cwd=tmp_path, capture_output=True, text=True)
    assert "--minutes" in done.stdout, done.stderr


@pytest.mark.slow
def test_the_whole_list_as_toys_on_a_bare_machine(project: Path, bare: dict[str, str], any_peer: Path):
    """All rows, beside nanoGPT where COURSE_PEER_NANOGPT names it, else beside a stand-in for it."""
    words = ["-m", "course_lib.bench", "gpu", "--tiny", "--peer", str(any_peer), "--out", "list.json"]
    done = subprocess.run([sys.executable, *words], env=bare, cwd=project, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    result = json.loads((project / "list.json").read_text())
    assert list(result["rows"]) == NAMES
    assert [name for name, row in result["rows"].items() if "failed" in row or "left_out" in row] == []
    ours, theirs = (result["rows"]["time to loss"][who] for who in ("course", "nanoGPT"))
    assert ours["reached"]
    assert theirs["evaluations"]
    for name in NAMES[1:5]:
        assert {"course", "nanoGPT"} <= result["rows"][name]["medians"].keys()
    assert "measured" in result["peak"]["source"]
    assert not result["goals are for this card"]
    assert done.stdout.splitlines()[0] == "time to loss ..."
    for words in ("MFU", "share of a step", "tokens per second", "goals (for an H100 or H200), and this is none"):
        assert words in done.stdout
    assert not (project / "runs").exists()


@pytest.mark.slow
def test_the_list_without_a_peer(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpu, "SECONDS", {name: gpu.SECONDS[name] for name in ("time to loss", "step gpt2")})
    result = run_gpu(project / "list.json", None, tiny=True)
    assert result["rows"]["time to loss"]["nanoGPT"] == {"left_out": "no copy of nanoGPT was given (--peer PATH)"}
    assert [name for name, row in result["rows"].items() if "failed" in row] == []
    assert result["goals"][0]["reached"] is None


@pytest.mark.slow
def test_a_list_goes_on_with_the_rows_that_are_missing(project: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    file = project / "list.json"
    monkeypatch.setattr(gpu, "SECONDS", {"generation, 1 stream": 20, "generation, many streams": 1e9})
    first = run_gpu(file, None, tiny=True)
    assert gpu.is_measured(first["rows"]["generation, 1 stream"])
    assert "left_out" in first["rows"]["generation, many streams"]
    monkeypatch.setattr(gpu, "SECONDS", dict.fromkeys(first["rows"], 20))
    capsys.readouterr()
    second = run_gpu(file, None, tiny=True, go_on=True)
    assert capsys.readouterr().out.splitlines()[0] == "generation, many streams ..."
    assert second["rows"]["generation, 1 stream"] == first["rows"]["generation, 1 stream"]
    assert gpu.is_measured(second["rows"]["generation, many streams"])
    assert second["minutes"] >= first["minutes"]
    file.write_text(json.dumps(second | {"versions": {"torch": "0.1"}}))
    with pytest.raises(CourseError, match="another machine or with other versions"):
        run_gpu(file, None, tiny=True, go_on=True)
    assert json.loads(file.read_text())["versions"] == {"torch": "0.1"}
    file.write_text("[]")
    with pytest.raises(CourseError, match="Leave --go-on out"):
        run_gpu(file, None, tiny=True, go_on=True)


@pytest.mark.slow
@pytest.mark.parametrize("what", [signal.SIGINT, signal.SIGTERM])
def test_a_list_that_is_stopped_leaves_its_results_and_no_process(project: Path, what: signal.Signals):
    words = [sys.executable, "-u", "-m", "course_lib.bench", "gpu", "--tiny", "--out", "list.json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as list_:
        assert list_.stdout is not None
        seen = []
        for line in list_.stdout:
            seen.append(line)
            if line.startswith("step gpt2 ..."):
                children = running(list_.pid)
                while not children:  # it is being started
                    children = running(list_.pid)
                list_.send_signal(what)
    assert list_.returncode == 130
    assert "stopped by Ctrl-C" in "".join(seen)
    rows = json.loads((project / "list.json").read_text())["rows"]
    assert rows["time to loss"]["course"]["reached"]
    assert list(rows) == NAMES
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def running(parent: int) -> list[int]:
    """The processes that ``parent`` has started and not seen end."""
    files = list(Path(f"/proc/{parent}/task").glob("*/children"))
    if not files:
        pytest.skip("/proc tells a process's children on Linux only")
    return [int(pid) for file in files for pid in file.read_text().split()]
