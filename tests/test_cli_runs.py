"""``course runs``, and ``latest`` as the name of a run: read from small files, whatever state they are in."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.errors import CourseError
from course_lib.models import GPT

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = GPTConfig(block_size=8, vocab_size=11, n_layer=1, n_head=2, n_embd=8)
TINY = "--n-layer 1 --n-head 2 --n-embd 16 --block-size 16 --batch-size 2 --max-steps 4 --eval-every 2 --device cpu"
TEXT = "a=b, c=d; the cat sat on the mat.\n" * 40
NOW = 1_900_000_000


def made(name: str, age: float, step: int | None = 10, best: float | None = 1.5, dataset: str = "tinytales") -> Path:
    """A run that was written to ``age`` seconds before NOW, with one save, or none."""
    about = RunConfig("tinytales_cpu", DataConfig(dataset), CONFIG, TrainConfig(max_steps=50))
    run = checkpoint.create_run(Path("runs") / name, about, None)
    if step is not None:
        checkpoint.save(run, step, GPT(CONFIG), state={"best_val_loss": best, "train": {"max_steps": 60}})
    return aged(run, age)


def aged(run: Path, age: float) -> Path:
    for path in (run, *run.rglob("*")):
        os.utime(path, (NOW - age, NOW - age))
    return run


@pytest.fixture
def clock(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, now."""
    monkeypatch.setattr("course_lib.checkpoint.listing.time.time", lambda: float(NOW))
    return project


def listed(capsys: pytest.CaptureFixture) -> list[str]:
    capsys.readouterr()
    assert course(["runs"]) == 0
    done = capsys.readouterr()
    assert done.err == ""
    return done.out.splitlines()


def test_the_table_is_what_the_runs_say_newest_first(clock: Path, capsys: pytest.CaptureFixture) -> None:
    made("b-old", 3 * 86_400)
    made("a-new", 7200, step=60, best=0.31254, dataset=f"text:{clock}/letters to me.txt")
    made("c-middle", 600, step=None)
    lines = listed(capsys)
    assert lines[0].split() == ["NAME", "RECIPE", "TEXT", "STEPS", "BEST", "AGE", "SIZE"]
    cells = [re.split(r"  +", line) for line in lines[1:]]
    assert [row[:6] for row in cells] == [
        ["c-middle", "tinytales_cpu", "tinytales", "0/50", "-", "10 min"],
        ["a-new", "tinytales_cpu", "text:letters to me.txt", "60/60", "0.3125", "2 h"],
        ["b-old", "tinytales_cpu", "tinytales", "10/60", "1.5000", "3 d"],
    ]
    assert [row[7:] for row in cells] == [["no save"], [], []]
    for row, run in zip(cells, ("c-middle", "a-new", "b-old")):
        size = sum(path.stat().st_size for path in (clock / "runs" / run).rglob("*") if path.is_file())
        assert row[6] == (f"{size / 1000:.1f} kB" if size >= 1000 else f"{size} B")


def test_without_runs_it_says_how_to_make_one(project: Path, capsys: pytest.CaptureFixture) -> None:
    (line,) = listed(capsys)
    assert re.fullmatch(r"There are no runs in .*runs yet; course train makes one\.", line)
    assert not (project / "runs").exists()


DAMAGES = {
    "no config.json": lambda run: (run / "config.json").unlink(),
    "damaged config.json": lambda run: (run / "config.json").write_bytes(b'{"recipe": "\xff'),
    "no save": lambda run: (run / "last").unlink(),
    "damaged save": lambda run: (run / "saves" / "10" / "state.json").write_text("[1"),
}
MORE_DAMAGES = [
    lambda run: (run / "config.json").write_text("{}"),
    lambda run: (run / "config.json").write_text("[]"),
    lambda run: shutil.rmtree(run / "saves"),
    lambda run: (run / "last").write_bytes(b"\xff\xfe"),
    lambda run: (run / "last").write_text("../../x\n"),
    lambda run: (run / "last").write_text("a\0b\n"),
    lambda run: (run / "saves" / "10" / "state.json").write_text('{"step": "ten"}'),
    lambda run: (run / "saves" / "10" / "state.json").write_text('{"step": 10, "best_val_loss": "x", "train": 3}'),
    lambda run: ((run / "last").unlink(), (run / "last").mkdir()),
    lambda run: ((run / "config.json").unlink(), (run / "config.json").mkdir()),
    lambda run: (run / "saves" / "loop").symlink_to(run),
    lambda run: (run / "saves" / "nowhere").symlink_to(run / "gone"),
]


@pytest.mark.parametrize(("word", "damage"), [*DAMAGES.items(), *((None, damage) for damage in MORE_DAMAGES)])
def test_a_broken_run_is_a_row_with_a_word_and_the_others_stand(clock, capsys, word, damage) -> None:
    made("whole", 60)
    before = listed(capsys)
    damage(made("broken", 30))
    lines = listed(capsys)
    (row,) = [line for line in lines if line.startswith("broken ")]
    assert word is None or row.endswith(f"  {word}")
    (whole,) = [line for line in lines if line.startswith("whole ")]
    assert whole.split() == before[1].split()


def test_what_is_no_run_is_not_listed(clock: Path, capsys: pytest.CaptureFixture) -> None:
    made("whole", 60)
    (clock / "runs" / "notes").mkdir()
    (clock / "runs" / "notes" / "a.txt").write_text("x")
    (clock / "runs" / "README").write_text("x")
    assert [line.split()[0] for line in listed(capsys)] == ["NAME", "whole"]


def test_a_name_cannot_command_the_terminal_nor_break_the_table(clock: Path, capsys: pytest.CaptureFixture) -> None:
    made("a\x1b[31m\nb", 60)
    assert [line.split()[0] for line in listed(capsys)] == ["NAME", r"a\x1b[31m\nb"]


# latest ----------------------------------------------------------------------------------------------------


def test_latest_is_the_run_written_to_last_and_stands_first(clock: Path, capsys: pytest.CaptureFixture) -> None:
    made("one", 60)
    two = made("two", 120)
    assert checkpoint.find_run("latest").name == "one"
    os.utime(two / "last", (NOW, NOW))  # it went on
    assert checkpoint.find_run("latest").name == "two"
    assert [line.split()[0] for line in listed(capsys)] == ["NAME", "two", "one"]
    made("latest", 999)  # a run that is called so is meant by its name
    assert checkpoint.find_run("latest").name == "latest"


def test_latest_without_runs(project: Path) -> None:
    with pytest.raises(CourseError, match=r"latest is no run directory.*There are no runs in"):
        checkpoint.find_run("latest")


@pytest.fixture
def two_runs(project: Path) -> Path:
    Path("some.txt").write_text(TEXT)
    for name in ("older", "newer"):
        words = ["train", "tinytales_cpu", "--dataset", "text:some.txt", "--out-dir", f"runs/{name}", *TINY.split()]
        assert course([*words, "--keep", "2"]) == 0
    aged(project / "runs" / "older", 0)
    for path in (project / "runs" / "older").rglob("*"):
        os.utime(path, (1, 1))
    return project


@pytest.mark.parametrize("command", ["sample", "eval", "export --to pth", "export --to cpp"])
def test_every_command_takes_latest_and_a_step(two_runs: Path, capsys: pytest.CaptureFixture, command: str) -> None:
    """The same words as for the run by its name; which one it is stands on stderr, not in what is written."""
    name, *more = command.split()
    said = []
    for run in ("newer", "latest"):
        capsys.readouterr()
        assert course([name, run, *more, "--which", "2"]) == 0
        done = capsys.readouterr()
        said.append(done.out.replace(f"{two_runs}/runs/newer", "newer").replace("runs/newer", "newer"))
        assert ("latest: newer\n" in done.err) == (run == "latest")
    assert said[0] == said[1]


def test_resume_takes_latest_and_a_step(two_runs: Path, capsys: pytest.CaptureFixture) -> None:
    older = {path: path.read_bytes() for path in (two_runs / "runs" / "older").rglob("*") if path.is_file()}
    assert course(["train", "--resume", "latest", "--which", "2", "--max-steps", "6"]) == 0
    assert "from step 2" in capsys.readouterr().out
    assert checkpoint.read_state(checkpoint.find_save(two_runs / "runs" / "newer"))["step"] == 6
    assert {path: path.read_bytes() for path in (two_runs / "runs" / "older").rglob("*") if path.is_file()} == older


def test_every_command_that_asks_for_a_run_says_latest_and_which(capsys: pytest.CaptureFixture, project: Path) -> None:
    from course_lib.cli import _commands

    asking = []
    made("mine", 60)
    for name, command in _commands().items():
        args = ["--resume", "mine", "--help"] if name == "train" else ["--help"]
        capsys.readouterr()
        with pytest.raises(SystemExit):
            command(args)
        printed = " ".join(re.sub("[\u2500-\u257f]", " ", capsys.readouterr().out).split())
        if re.search(r"\bRUN\b", printed) or "--resume" in printed:
            asking.append(name)
            assert "or latest" in printed, name
            assert "--which" in printed, name
    assert {"train", "sample", "eval", "inspect", "export"} <= set(asking)


# --keep ----------------------------------------------------------------------------------------------------


def saves(run: Path | str) -> list[str]:
    return sorted((p.name for p in (Path(run) / "saves").iterdir()), key=float)


def trained(*more: str) -> Path:
    Path("some.txt").write_text(TEXT)
    words = ["train", "tinytales_cpu", "--dataset", "text:some.txt", "--out-dir", "runs/run", *TINY.split()]
    assert course([*words, "--max-steps", "8", "--eval-every", "0", "--save-every", "2", *more]) == 0
    return Path("runs/run")


@pytest.mark.parametrize(("keep", "expected"), [(1, ["8"]), (2, ["6", "8"]), (3, ["4", "6", "8"]), (9, list("2468"))])
def test_so_many_of_the_newest_saves_stay(project: Path, keep: int, expected: list[str]) -> None:
    run = trained("--keep", str(keep))
    assert saves(run) == expected
    assert json.loads((run / "config.json").read_text())["train"]["keep"] == keep
    for step in expected:
        assert checkpoint.load(run, step).state["step"] == int(step)


def test_each_kept_save_goes_on_to_the_same_end(project: Path) -> None:
    run = trained("--keep", "4")
    end = (run / "saves" / "8" / "model.safetensors").read_bytes()
    for step in (6, 4, 2):
        copy = Path(shutil.copytree(run, run.with_name(f"copy{step}")))
        assert course(["train", "--resume", copy.name, "--which", str(step)]) == 0
        assert saves(copy) == list("2468"), step  # later ones were made anew
        assert (copy / "saves" / "8" / "model.safetensors").read_bytes() == end


def test_a_run_may_keep_more_or_fewer_from_now_on(project: Path) -> None:
    run = trained("--keep", "3")
    assert course(["train", "--resume", "run", "--max-steps", "10", "--keep", "4"]) == 0
    assert saves(run) == ["4", "6", "8", "10"]
    assert course(["train", "--resume", "run", "--max-steps", "12", "--keep", "1"]) == 0
    assert [s for s in saves(run) if s != (run / "best").read_text().strip()] in ([], ["12"])


def test_keep_is_a_whole_number_from_1_on(project: Path, capsys: pytest.CaptureFixture) -> None:
    for value in ("0", "-1", "2.5", "all"):
        assert course(["train", "tinytales_cpu", "--keep", value]) == 2
        assert "keep should be" in capsys.readouterr().err
