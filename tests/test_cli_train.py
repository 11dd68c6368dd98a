"""``course train`` tells what changes, what is fixed, what looks wrong, and how it ended."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from course_lib import checkpoint
from course_lib.cli import failing, telling
from course_lib.cli import main as course
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.models import GPT
from course_lib.optim import scheduled_lr
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.tokenizers import CharTokenizer
from course_lib.training import Trainer, scoring
from course_lib.training import trainer as trainer_module

TEXT = "a=b, c=d; the cat sat on the mat.\n" * 40
TINY = (
    "--n-layer 1 --n-head 2 --n-embd 32 --block-size 16 --batch-size 2 --eval-every 2 --eval-batches 2 --device cpu "
    "--warmup-steps 0 --min-lr 0.001 --schedule cosine"
).split()

pytestmark = pytest.mark.usefixtures("one_thread")


def train(*args: str) -> int:
    return course(["train", "tinytales_cpu", "--dataset", "text:some.txt", *TINY, *args])


def refused(capsys: pytest.CaptureFixture, *args: str) -> str:
    capsys.readouterr()
    assert course(list(args)) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


@pytest.fixture
def text_run(project: Path, capsys: pytest.CaptureFixture) -> Path:
    (project / "some.txt").write_text(TEXT)
    assert train("--max-steps", "4", "--out-dir", "runs/text") == 0
    capsys.readouterr()
    return project / "runs" / "text"


# What differs ----------------------------------------------------------------------------------------------


def test_a_resume_says_what_differs_and_where_the_rate_goes(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    args = "--max-iters 8 --grad-clip 0.5 --dropout 0.25 --batch-size 2".split()  # the last one changes nothing
    assert course(["train", "--resume", "text", *args]) == 0
    said = capsys.readouterr().out.splitlines()
    old, new = (TrainConfig(max_steps=n, max_lr=0.02, min_lr=0.001) for n in (4, 8))
    rates = [scheduled_lr(new, step) for step in range(4, 8)]
    assert said[:5] == [
        "max_steps: 4 -> 8",
        "grad_clip: 1.0 -> 0.5",
        "dropout: 0.0 -> 0.25",
        f"learning rate: {rates[0]:.3g} now, {max(rates):.3g} at its highest from here, {rates[-1]:.3g} at the end",
        f"note: the decay ends with the run. With 4 steps the learning rate was to be {scheduled_lr(old, 4):.3g} here; "
        f"with 8 it is {rates[0]:.3g}. To keep the old decay: --decay-steps 4",
    ]
    rows = checkpoint.read_metrics(text_run)
    assert [row["dropout"] for row in rows] == [0.0] * 4 + [0.25] * 4
    assert [row["lr"] for row in rows[4:]] == pytest.approx(rates)


def test_the_old_decay_is_kept_where_that_is_asked_for(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    assert course(["train", "--resume", "text", "--max-steps", "6", "--decay-steps", "4"]) == 0
    said = capsys.readouterr().out
    rate = "0.001 now, 0.001 at its highest from here, 0.001 at the end"
    assert said.startswith(f"max_steps: 4 -> 6\ndecay_steps: None -> 4\nlearning rate: {rate}\n")
    assert "note:" not in said
    assert [row["lr"] for row in checkpoint.read_metrics(text_run)[4:]] == [0.001, 0.001]


def test_a_resume_with_nothing_new_says_so_by_saying_nothing(project: Path, capsys: pytest.CaptureFixture) -> None:
    recipe = load_recipe("tinytales_cpu").replace(block_size=16, n_layer=1, n_embd=32, max_steps=6, eval_batches=1)
    trainer = build_trainer(recipe, "runs/cut")
    for _ in range(3):
        next(trainer)
    trainer.save()
    del trainer
    assert course(["train", "--resume", "cut"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("learning rate: ")
    assert "->" not in said
    assert "6 steps, from step 3" in said


@hypothesis_settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(
    st.integers(1, 60), st.integers(0, 70), st.none() | st.integers(1, 70), st.none() | st.integers(1, 70),
    st.sampled_from(["constant", "cosine", "linear", "trapezoid"]), st.sampled_from([0.0, 1e-3, 1e-2]), st.data(),
)  # fmt: skip
def test_the_course_of_the_rate_is_that_of_its_steps(steps, warmup, decay, cooldown, schedule, min_lr, data) -> None:
    config = TrainConfig(
        max_steps=steps, max_lr=1e-2, min_lr=min_lr, warmup_steps=warmup, decay_steps=decay, cooldown_steps=cooldown,
        schedule=schedule,
    )  # fmt: skip
    step = data.draw(st.integers(0, steps - 1))
    rates = [scheduled_lr(config, s) for s in range(step, steps)]
    assert telling.course_of_lr(config, step) == pytest.approx((rates[0], max(rates), rates[-1]), rel=1e-12)
    notes = " ".join(telling.warnings(config, step))
    assert ("learning rate is 0" in notes) == (max(rates) == 0)
    assert ("only climbs" in notes) == (warmup >= steps)


@hypothesis_settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(
    st.integers(1, 60), st.integers(1, 60), st.none() | st.integers(1, 60), st.integers(0, 60),
    st.sampled_from(["constant", "cosine", "linear", "trapezoid"]), st.sampled_from([0.0, 1e-3]),
)  # fmt: skip
def test_a_rate_that_another_length_moves_is_told_whatever_the_schedule(old, new, decay, step, schedule, end) -> None:
    assume(step < new)
    config = TrainConfig(max_steps=old, max_lr=1e-2, min_lr=end, decay_steps=decay, schedule=schedule)
    longer = config.replace(max_steps=new)
    said = telling.resuming(SimpleNamespace(before=config, config=longer, step=step), (None, None))
    rates = {f"{scheduled_lr(settings, step):.3g}" for settings in (config, longer)}
    assert ("note: the decay" in said) == (len(rates) == 2)
    if "note: the decay" in said:  # and what it offers does what it says
        kept = longer.replace(decay_steps=int(said.rpartition(" ")[2]))
        assert scheduled_lr(kept, step) == scheduled_lr(config, step)
        assert ("nothing is learned" in said) == (scheduled_lr(config, step) == 0)


# What is fixed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--n-layer 2", "--n_layer=2", "--block-size 8", "--tokenizer byte",
                                  "--val-fraction 0.2", "--tie-weights True", "--position=learned",
                                  "--optimizer adamw"])  # fmt: skip
def test_what_is_fixed_cannot_change_at_a_resume(text_run: Path, capsys: pytest.CaptureFixture, flag: str) -> None:
    message = refused(capsys, "train", "--resume", "text", *flag.split())
    name = re.split("[ =]", flag)[0].replace("_", "-")
    assert (
        f"The shape, the data and the optimizer of a run are fixed, so {name} cannot change when it goes on. Leave it"
        in message
    )


def test_a_text_may_have_a_new_place(text_run: Path, project: Path, capsys: pytest.CaptureFixture) -> None:
    (project / "some.txt").rename(project / "moved.txt")
    message = refused(capsys, "train", "--resume", "text", "--max-steps", "6")
    assert f"Where the text of {text_run} has a new place: course train --resume {text_run} --dataset text:" in message
    assert course(["train", "--resume", "text", "--max-steps", "6", "--dataset", "text:moved.txt"]) == 0
    assert checkpoint.read_config(text_run)[0].data.dataset == f"text:{project}/moved.txt"
    assert course(["train", "--resume", "text", "--max-steps", "8"]) == 0  # it is known from now on
    assert len(checkpoint.read_metrics(text_run)) == 8
    again = project / "again"
    (project / "some.txt").write_text(TEXT)
    assert train("--max-steps", "4", "--out-dir", str(again)) == 0
    for steps in ("6", "8"):
        assert course(["train", "--resume", str(again), "--max-steps", steps]) == 0
    weights = [checkpoint.find_save(run, "last") / "model.safetensors" for run in (text_run, again)]
    assert weights[0].read_bytes() == weights[1].read_bytes()  # the same run


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("text:other.txt", "other.txt is not the text that"),
        ("text:none.txt", "none.txt: No such file"),
        ("bytes:some.txt", "--dataset bytes:some.txt would read it in another way"),
        ("tinytales", "tinytales is not the text that"),
    ],
)
def test_another_text_is_refused(
    text_run: Path, project: Path, capsys: pytest.CaptureFixture, dataset: str, message: str
) -> None:
    (project / "other.txt").write_text(TEXT[1:] + "a")
    before = (text_run / "config.json").read_bytes()
    assert message in refused(capsys, "train", "--resume", "text", "--max-steps", "6", "--dataset", dataset)
    assert (text_run / "config.json").read_bytes() == before
    assert len(checkpoint.read_metrics(text_run)) == 4


def test_a_run_from_before_texts_had_a_sha256_keeps_its_place(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    content = json.loads((text_run / "config.json").read_text())
    content["data"]["sha256"] = None
    (text_run / "config.json").write_text(json.dumps(content))
    assert course(["train", "--resume", "text", "--max-steps", "5", "--dataset", "text:some.txt"]) == 0
    message = refused(capsys, "train", "--resume", "text", "--max-steps", "6", "--dataset", "text:other.txt")
    assert "does not keep the sha256 of its text" in message


def test_a_run_whose_data_nobody_named(project: Path, capsys: pytest.CaptureFixture) -> None:
    """Trained in Python on batches made by hand: it can be sampled from, and the command line trains it on nothing."""
    tokenizer = CharTokenizer.train(TEXT)
    model = GPT(GPTConfig(16, tokenizer.vocab_size, 1, 2, 8))
    batches = Batcher(torch.tensor(tokenizer.encode(TEXT)), 2, 16)
    config = TrainConfig(max_steps=3, batch_size=2, device="cpu", eval_every=0)
    list(Trainer(model, batches, config, tokenizer=tokenizer, run_dir="runs/mine"))
    before = {p: p.read_bytes() for p in Path("runs/mine").rglob("*") if p.is_file()}
    message = refused(capsys, "train", "--resume", "mine", "--max-steps", "6")
    assert "does not say what it is trained on" in message
    assert "Trainer.resume('" in message
    assert {p: p.read_bytes() for p in Path("runs/mine").rglob("*") if p.is_file()} == before
    for command in (["sample", "mine", "--max-new-tokens", "5"], ["export", "mine", "--to", "cpp"], ["doctor"]):
        assert course(command) == 0


@pytest.mark.parametrize("word", ["\u00b2", "3", "lats"])
def test_a_save_that_is_not_there(text_run: Path, capsys: pytest.CaptureFixture, word: str) -> None:
    for command in (["train", "--resume", "text"], ["export", "text", "--to", "pth"]):
        assert "has no save" in refused(capsys, *command, "--which", word)


# What looks wrong ------------------------------------------------------------------------------------------


def test_a_warm_up_longer_than_the_run_is_told(project: Path, capsys: pytest.CaptureFixture) -> None:
    (project / "some.txt").write_text(TEXT)
    assert train("--max-steps", "4", "--warmup-steps", "9", "--max-lr", "0.01") == 0
    said = capsys.readouterr().out
    assert "note: the warm-up takes 9 steps and the run 4: the learning rate only climbs, to 0.004 of 0.01\n" in said


@pytest.mark.parametrize(("factor", "told"), [(1.0, 0), (8.0, 0), (13.0, 1), (1e30, 1)])
def test_a_loss_far_beyond_knowing_nothing_is_told_once(
    project: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, factor: float, told: int
) -> None:
    (project / "some.txt").write_text(TEXT)
    usual = scoring.next_token_loss
    monkeypatch.setattr(trainer_module, "next_token_loss", lambda m, x, y: usual(m, x, y) * factor)
    assert train("--max-steps", "6", "--max-lr", "0.002") == 0
    assert capsys.readouterr().out.count("more than 10 times ln V: this training is diverging.") == told


def test_skipped_updates_are_told_at_the_end(
    project: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "some.txt").write_text(TEXT)
    usual = scoring.next_token_loss
    monkeypatch.setattr(trainer_module, "next_token_loss", lambda m, x, y: usual(m, x, y) * 1e9)
    assert train("--max-steps", "8", "--precision", "fp16", "--out-dir", "here") == 0
    skipped = sum(row["skipped"] for row in checkpoint.read_metrics("here"))
    assert skipped > 0
    assert f"fp16 overflowed: {skipped} of 8 updates were skipped\n" in capsys.readouterr().out


# How it ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 1])
def test_a_run_that_fails_before_its_first_save(
    project: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """In the first step its folder goes; later there are rows to look at, and one is told that it cannot go on."""
    (project / "some.txt").write_text(TEXT)
    steps = iter(range(100))

    def out_of_memory(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if next(steps) == step:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return scoring.next_token_loss(model, x, y)

    monkeypatch.setattr(trainer_module, "next_token_loss", out_of_memory)
    assert train("--max-steps", "4", "--out-dir", "here") == 2
    said = capsys.readouterr().err
    assert "course: The device is out of memory. Halve batch_size" in said
    assert (project / "here").exists() == ("here has no save, and so cannot be resumed: delete the folder." in said)
    assert (project / "here").exists() == (step == 1)
    if step:
        assert "It has no save to go on from: delete the folder" in refused(
            capsys, "train", "tinytales_cpu", "--dataset", "text:some.txt", *TINY, "--out-dir", "here"
        )


def wait_for_rows(count: int) -> None:
    log, deadline = Path("out/metrics.jsonl"), time.monotonic() + 60
    while not (log.exists() and log.read_bytes().count(b"\n") >= count):
        assert time.monotonic() < deadline, "the training did not get going"
        time.sleep(0.02)


ENDLESS = [sys.executable, "-m", "course_lib", "train", "tinytales_cpu", *TINY, "--out-dir", "out", "--eval-every", "0",
           "--max-steps", "1000000"]  # fmt: skip


def test_a_terminal_that_is_closed_saves_and_stops(project: Path) -> None:
    """A real one: the kernel sends SIGHUP, and whatever is printed from then on fails."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["OMP_NUM_THREADS"] = "1"
        os.execv(ENDLESS[0], ENDLESS)
    wait_for_rows(5)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    step = checkpoint.load("out").state["step"]
    assert [row["step"] for row in checkpoint.read_metrics("out")] == list(range(step))


def test_nohup_is_left_its_will(project: Path) -> None:
    process = subprocess.Popen(
        ENDLESS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    wait_for_rows(3)
    process.send_signal(signal.SIGHUP)
    wait_for_rows(checkpoint.read_metrics("out")[-1]["step"] + 20)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM


def test_a_reader_of_the_output_that_goes_away_costs_no_steps(project: Path) -> None:
    """``course train ... | head``: what nobody hears is no reason to lose what was trained."""
    command = [word if word != "0" else "1" for word in ENDLESS]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 1
        assert "Traceback" not in process.stderr.read()
    assert checkpoint.load("out").state["step"] == len(checkpoint.read_metrics("out"))


# Under torchrun --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", ["0", "1"])
def test_torchrun_is_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, rank: str
) -> None:
    """In the form that torch's own reader takes; the main process at once, the others after it."""
    waited: list[float] = []
    monkeypatch.setattr(failing.time, "sleep", waited.append)
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    monkeypatch.setenv("RANK", rank)
    assert course(["trian"]) == 2
    read = ProcessFailure(local_rank=0, pid=1, exitcode=2, error_file=str(tmp_path / "error.json"))
    assert read.message["extraInfo"]["py_callstack"] == "course: There is no command 'trian': did you mean 'train'?"
    assert abs(read.timestamp - time.time()) < 60
    assert waited == ([] if rank == "0" else [failing.PATIENCE])
    assert capsys.readouterr().err == ""  # once
