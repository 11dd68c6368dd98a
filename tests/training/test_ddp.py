"""Several processes under torchrun (gloo, CPU) train the run that one process would train."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from course_lib import checkpoint
from course_lib.cli import main as course

pytestmark = pytest.mark.slow

RECIPE = """
dataset = "numbers"
val_fraction = 0.002
block_size = 16
n_layer = 1
n_head = 2
n_embd = 32
batch_size = 2
grad_accum = 4
max_steps = 12
decay_steps = 12
max_lr = 1e-2
warmup_steps = 2
eval_every = 3
save_every = 6
device = "cpu"
precision = "fp32"
"""
# What each process opens for writing, makes, renames or removes below the run's folder, noted by rank.
AUDIT = """
import os, sys
if "AUDIT" in os.environ and "RANK" in os.environ:
    def note(event, args):
        if event == "open" and not (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") and "out-two" in str(args[0]):
            line = os.environ["RANK"] + " " + event + " " + str(args[0]) + "\\n"
            os.write(log, line.encode())
    log = os.open(os.environ["AUDIT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    sys.addaudithook(note)
"""


@pytest.fixture
def recipes(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, dropout in (("quiet", 0.0), ("noisy", 0.2)):
        (project / f"{name}.toml").write_text(RECIPE + f"dropout = {dropout}\n")
    more = "dropout = 0.0\nngrams = [2, 3]\nngram_rows = 100\nngram_lr_scale = 3.0\n"
    (project / "pairs.toml").write_text(RECIPE + more)
    (project / "hooks").mkdir()
    (project / "hooks" / "sitecustomize.py").write_text(AUDIT)
    monkeypatch.setenv("PYTHONPATH", str(project / "hooks"), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield project
    torch.set_num_threads(before)


def start(processes: int, *args: str) -> subprocess.Popen:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return subprocess.Popen(
        [*torchrun, "-m", "course_lib", "train", *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen, seconds: float = 120) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, out, err


def torchrun(*args: str) -> str:
    code, out, err = finish(start(2, *args))
    assert code == 0, err
    return out


def one_process(*args: str) -> None:
    assert course(["train", *args]) == 0


def curves(run: str) -> tuple[list[float], list[float], list[dict]]:
    rows = checkpoint.read_metrics(run)
    assert [row["step"] for row in rows] == list(range(12))
    exact = [{k: row[k] for k in ("step", "lr", "tokens", "dropout")} for row in rows]
    return [row["train_loss"] for row in rows], [row["val_loss"] for row in rows if row["val_loss"] is not None], exact


def assert_same_run(run: str, reference: str) -> None:
    (train, val, exact), (train_ref, val_ref, exact_ref) = curves(run), curves(reference)
    assert train == pytest.approx(train_ref, abs=1e-5)
    assert val == pytest.approx(val_ref, abs=1e-5)
    assert len(val) == 4
    assert exact == exact_ref
    one, other = checkpoint.load(run).model, checkpoint.load(reference).model
    for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-4, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_two_processes_train_the_run_of_one(recipes: Path) -> None:
    one_process("quiet.toml", "--out-dir", "out-reference")
    printed = torchrun("quiet.toml", "--out-dir", "out-two")
    assert_same_run("out-two", "out-reference")
    assert printed.count("weights; vocabulary") == 1  # the main process alone speaks
    assert printed.count("sample from it with") == 1


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_processes_move_the_rows_that_one_moves(recipes: Path, optimizer: str) -> None:
    """Each looks up others, and their gradients are added in full; alone, the one process holds those rows only."""
    one_process("pairs.toml", "--out-dir", "out-reference", "--optimizer", optimizer)
    torchrun("pairs.toml", "--out-dir", "out-two", "--optimizer", optimizer)
    assert_same_run("out-two", "out-reference")
    for table in checkpoint.load("out-two").model.ngram_embedding.tables:
        assert 20 < table.weight.any(dim=1).sum() <= 100


def test_saves_move_between_one_process_and_two(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dropout, whose masks belong to the micro-batch and not to the process."""
    one_process("noisy.toml", "--out-dir", "out-reference")
    monkeypatch.setenv("AUDIT", str(recipes / "audit"))
    torchrun("noisy.toml", "--out-dir", "out-two-one", "--max-steps", "6")
    monkeypatch.delenv("AUDIT")
    one_process("--resume", "out-two-one", "--max-steps", "12")
    assert_same_run("out-two-one", "out-reference")

    one_process("noisy.toml", "--out-dir", "out-one-two", "--max-steps", "6")
    torchrun("--resume", "out-one-two", "--max-steps", "12")
    assert_same_run("out-one-two", "out-reference")

    quiet = curves("out-reference")[0]
    one_process("quiet.toml", "--out-dir", "out-quiet")
    assert max(abs(a - b) for a, b in zip(quiet, curves("out-quiet")[0])) > 1e-3  # dropout made a difference

    notes = (recipes / "audit").read_text().splitlines()
    assert any(note.startswith("0 os.mkdir") for note in notes)
    assert any(note.startswith("0 open") and "metrics.jsonl" in note for note in notes)
    assert [note for note in notes if not note.startswith("0 ")] == []  # rank 1 wrote nothing


def test_a_world_that_does_not_divide_the_work_is_refused(recipes: Path) -> None:
    code, _, err = finish(start(2, "quiet.toml", "--out-dir", "out-three", "--grad-accum", "3"))
    assert code != 0
    assert "grad_accum = 3 micro-batches cannot be shared equally by 2 processes" in err
    assert not (recipes / "out-three").exists()
    assert err.count("a multiple of 2, such as 4") == 1  # both processes know it, and one says it
    *_, reason, frame = err.strip().splitlines()  # and it stands last, at the end of torchrun's own report
    assert reason.strip().startswith("traceback : course: grad_accum = 3")
    assert set(frame) == {"="}


def test_what_only_one_process_knows_is_said_too(recipes: Path) -> None:
    """Its own disk, its own card: the main process is well, and waits for the other."""
    hook = recipes / "hooks" / "sitecustomize.py"
    hook.write_text("""
import os
if os.environ.get("RANK") == "1":
    from course_lib import data
    from course_lib.errors import CourseError
    def failing(*args, **how):
        raise CourseError("The disk of this machine is full.")
    data.prepared_for = failing
""")
    code, _, err = finish(start(2, "quiet.toml", "--out-dir", "out-other"))
    assert code != 0
    assert err.strip().splitlines()[-2].strip() == "traceback : course: The disk of this machine is full."


def test_saves_by_time_are_the_main_processes_alone(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the other one runs a thousand times as fast, and nobody waits for anybody."""
    (recipes / "hooks" / "sitecustomize.py").write_text("""
import os, time
if os.environ.get("RANK") == "1":
    usual = time.perf_counter
    time.perf_counter = lambda: 1000 * usual()
""")
    one_process("quiet.toml", "--out-dir", "out-reference")
    torchrun("quiet.toml", "--out-dir", "out-two", "--save-minutes", "0.01")
    assert_same_run("out-two", "out-reference")


def test_ctrl_c_saves_and_stops_all_processes(recipes: Path) -> None:
    process = start(2, "noisy.toml", "--out-dir", "out-stopped", "--max-steps", "1000000", "--save-every", "1000000",
                    "--eval-every", "0")  # fmt: skip
    log = recipes / "out-stopped" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and log.read_bytes().count(b"\n") >= 5:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, out, err = finish(process)
    assert process.returncode != 0
    assert re.search(r"stopped after \d+ steps; go on with: course train --resume", out), err
    step = checkpoint.load("out-stopped").state["step"]
    assert step == checkpoint.read_metrics("out-stopped")[-1]["step"] + 1 >= 5
    one_process("--resume", "out-stopped", "--max-steps", str(step + 2))
    assert [row["step"] for row in checkpoint.read_metrics("out-stopped")] == list(range(step + 2))
