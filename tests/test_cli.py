"""The command line: what is printed, what is refused and how, and what Ctrl-C leaves behind."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from course_lib import __version__, checkpoint
from course_lib.cli import main as course
from course_lib.recipes import names
from course_lib.sampling import generate

TINY = (
    "--n-layer 1 --n-head 2 --n-embd 32 --block-size 16 --batch-size 2 --max-steps 4 --eval-every 2 --eval-batches 2 "
    "--device cpu"
).split()
TEXT = "a=b, c=d; the cat sat on the mat.\n" * 40


pytestmark = pytest.mark.usefixtures("one_thread")


def settings(run: str | Path) -> dict:
    """A run's settings, flat."""
    content = json.loads((Path(run) / "config.json").read_text())
    return content["data"] | content["model"] | content["train"] | {"recipe": content["recipe"]}


def refused(capsys: pytest.CaptureFixture, *args: str) -> str:
    """What a command that cannot be carried out says; it ends with status 2 and no traceback."""
    assert course(list(args)) == 2
    error = capsys.readouterr().err
    assert error.startswith("course: ") or "\ncourse: " in error
    assert "Traceback" not in error
    return error


@pytest.fixture
def byte_run(project: Path) -> Path:
    """A tiny run on bytes."""
    (project / "some.txt").write_text(TEXT)
    assert course(["train", "tinytales_cpu", "--dataset", "bytes:some.txt", "--out-dir", "runs/bytes", *TINY]) == 0
    return project / "runs" / "bytes"


@pytest.fixture
def text_run(project: Path) -> Path:
    """A tiny run on characters."""
    (project / "some.txt").write_text(TEXT)
    assert course(["train", "tinytales_cpu", "--dataset=text:some.txt", "--out-dir", "runs/text", *TINY]) == 0
    return project / "runs" / "text"


# Help ------------------------------------------------------------------------------------------------------


def test_help_lists_the_commands_and_loads_no_torch() -> None:
    program = (
        "import sys; from course_lib.cli import main; "
        "codes = [main(['--help']), main([]), main(['--version'])]; "
        "sys.exit(codes != [0, 0, 0] or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("prepare", "train", "sample", "eval", "inspect", "export", "upload", "bench", "record", "doctor"):
        assert re.search(rf"^  {command} +[A-Z]", done.stdout, flags=re.MULTILINE), command
    assert done.stdout.endswith(f"\n{__version__}\n")


def test_the_module_is_the_command(project: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "course_lib", "trian"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "course: There is no command 'trian': did you mean 'train'?\n"


def test_train_without_a_recipe_lists_them(capsys: pytest.CaptureFixture) -> None:
    for args in ([], ["--help"]):
        with pytest.raises(SystemExit) as end:
            course(["train", *args])
        assert end.value.code == 0
        printed = capsys.readouterr().out
        assert all(name in printed for name in names())
        assert "--resume RUN" in printed


def test_the_help_of_a_recipe_shows_its_settings(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        course(["train", "tinytales_cpu", "--help"])
    assert end.value.code == 0
    printed = " ".join(re.sub(r"[\u2500-\u257f]", " ", capsys.readouterr().out).split())  # without the frame
    assert "--block-size" in printed
    assert "how many tokens the model sees at once. (default: 64)" in printed
    assert printed.index("examples: course train tinytales_cpu --max-steps") < printed.index("text options")


def test_the_help_of_a_run_shows_its_own_settings(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    """Also those that it got on the way, while another process trains it."""
    assert course(["train", "--resume", "text", "--max-steps", "6", "--grad-clip", "0.25", "--dropout", "0.125"]) == 0
    capsys.readouterr()
    with checkpoint.locked(text_run), pytest.raises(SystemExit) as end:
        course(["train", "--resume", "text", "--help"])
    assert end.value.code == 0
    printed = " ".join(re.sub(r"[\u2500-\u257f]", " ", capsys.readouterr().out).split())
    assert "clipping off. (default: 0.25)" in printed
    assert "optimizer steps to take (nanoGPT: max_iters). (default: 6)" in printed
    assert "zero while training. (default: 0.125)" in printed
    assert "--n-layer" not in printed


@pytest.mark.parametrize("command", ["prepare", "sample", "eval", "inspect", "export", "record", "doctor"])
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        course([command, "--help"])
    assert end.value.code == 0
    assert f"course {command}" in capsys.readouterr().out


# Prepare and train -----------------------------------------------------------------------------------------


def test_prepare_says_what_it_made(project: Path, capsys: pytest.CaptureFixture) -> None:
    assert course(["prepare", "tinytales"]) == 0
    folder, counts = capsys.readouterr().out.splitlines()
    assert {p.name for p in Path(folder).iterdir()} == {"train.bin", "val.bin", "tokenizer.json", "manifest.json"}
    assert Path(folder).parent == project / "data" / "prepared"
    assert counts == "CharTokenizer(vocab_size=53); 900,369 training and 100,042 validation tokens"
    assert (Path(folder) / "train.bin").stat().st_size == 2 * 900_369
    (project / "some.txt").write_text(TEXT)
    assert course(["prepare", "text:some.txt", "--tokenizer", "byte", "--val-fraction=0.25"]) == 0
    assert "ByteTokenizer(vocab_size=256); 1,020 training and 340 validation tokens" in capsys.readouterr().out
    assert course(["prepare", "text:some.txt", "--tokenizer=byte", "--val-fraction=0.25", "--test-fraction=0.05"]) == 0
    folder, counts = capsys.readouterr().out.splitlines()
    assert counts == "ByteTokenizer(vocab_size=256); 952 training, 340 validation and 68 test tokens"
    assert (Path(folder) / "test.bin").stat().st_size == 2 * 68


def test_train_says_what_it_does(project: Path, capsys: pytest.CaptureFixture) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert course(["train", "tinytales_cpu", "--out-dir", "here", *TINY]) == 0
    assert signal.getsignal(signal.SIGINT) is before
    printed = capsys.readouterr().out
    assert re.search(r"vocabulary 53; ln V = 3\.970", printed)
    assert "900,369 training tokens; 32 per step; 4 steps" in printed
    rows = checkpoint.read_metrics("here")
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    for row in (rows[1], rows[3]):
        assert f"step      {row['step'] + 1}  train {row['train_loss']:.4f}  val {row['val_loss']:.4f}" in printed
        bits = row["val_loss"] / math.log(2)  # a character is a byte here
        assert f"  val {row['val_loss']:.4f}  {bits:.3f} bits per byte  lr " in printed
    best = min(rows[1]["val_loss"], rows[3]["val_loss"])
    assert f"best: {best:.4f} nats per token ({best / math.log(2):.3f} bits per byte) on part of" in printed
    assert "sample from it with: course sample here" in printed
    assert settings("here")["recipe"] == "tinytales_cpu"


def test_without_out_dir_a_run_gets_a_folder_of_its_own(project: Path) -> None:
    for _ in range(2):
        assert course(["train", "tinytales_cpu", *TINY, "--max-steps", "1"]) == 0
    runs = sorted(p.name for p in (project / "runs").iterdir())
    assert len(runs) == 2
    assert all(re.fullmatch(r"tinytales_cpu-\d{8}-\d{6}(-\d+)?", name) for name in runs)


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        ("--block-size 24", "block_size", 24),
        ("--block_size 24", "block_size", 24),
        ("--block_size=24", "block_size", 24),
        ("--learning_rate=2e-3", "max_lr", 0.002),
        ("--learning-rate 1", "max_lr", 1.0),
        ("--max_lr=0.5", "max_lr", 0.5),
        ("--max-iters 2", "max_steps", 2),
        ("--gradient_accumulation_steps=2", "grad_accum", 2),
        ("--compile=False", "compile", False),
        ("--tie_weights True", "tie_weights", True),
        ("--eval-batches None", "eval_batches", None),
        ("--seed 5", "seed", 5),
    ],
)
def test_settings_in_every_spelling(project: Path, args: str, name: str, value: object) -> None:
    (project / "some.txt").write_text(TEXT)
    tiny = [*TINY, "--dataset", "text:some.txt", "--val-fraction", "0.2"]
    if "max-iters" in args:  # one setting under two names is refused
        place = tiny.index("--max-steps")
        del tiny[place : place + 2]
    assert course(["train", "tinytales_cpu", *tiny, "--out-dir", "here", *args.split()]) == 0
    assert settings("here")[name] == value
    assert type(settings("here")[name]) is type(value)


def test_a_recipe_from_a_file(project: Path) -> None:
    (project / "mine.toml").write_text("block_size = 16\nn_layer = 1\nn_embd = 16\nmax_steps = 2\nbatch_size = 2\n")
    assert course(["train", "mine.toml", "--out-dir", "here", "--max-steps", "1", "--eval-batches", "1"]) == 0
    assert settings("here")["recipe"] == "mine"
    assert settings("here")["max_steps"] == 1


def test_a_folder_with_a_run_is_refused(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    before = {p: p.read_bytes() for p in text_run.rglob("*") if p.is_file()}
    message = refused(capsys, "train", "tinytales_cpu", "--out-dir", "runs/text", "--dataset", "text:some.txt", *TINY)
    assert "runs/text already holds a run. Go on with it (course train --resume runs/text)" in message
    assert {p: p.read_bytes() for p in text_run.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("train tinytales_cpu --blok-size 3", "has no setting --blok-size: did you mean --block-size?"),
        ("train tinytales_cpu --blok_size=3", "did you mean --block-size?"),
        ("train tinytales_cpu --vocab-size 3", "has no setting --vocab-size"),
        ("train tinytales", "There is no recipe 'tinytales': did you mean 'tinytales_cpu'?"),
        ("train mine.toml", "There is no recipe file mine.toml"),
        ("train --max-steps 3", "or text:PATH first, and the settings after it; it got '--max-steps'"),
        ("train tinytales_cpu --dropout 2", "dropout should be at least 0 and below 1; it is 2.0"),
        ("train tinytales_cpu --n-head 3", "n_embd should be a multiple of n_head"),
        ("train tinytales_cpu --dataset shakespear_char", "did you mean 'shakespeare_char'?"),
        ("train tinytales_cpu --device cuda:99", "sees"),
        ("train --resume none", "none is no run directory"),
        ("train --resume none --blok-size 3", "has no setting --blok-size"),
        ("prepare tinytails", "did you mean 'tinytales'?"),
        ("prepare tinytales --tokenizer word", "'word'"),
        ("prepare text:none.txt", "Cannot read none.txt: No such file"),
        ("sample none --temprature 1", "did you mean --temperature?"),
        ("sampel none", "There is no command 'sampel': did you mean 'sample'?"),
        ("bench none --rnus 3", "did you mean --runs?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_is_near(
    project: Path, capsys: pytest.CaptureFixture, args: str, message: str
) -> None:
    assert message in refused(capsys, *args.split())
    assert not (project / "runs").exists()


def test_a_value_of_the_wrong_kind_is_refused(project: Path, capsys: pytest.CaptureFixture) -> None:
    said = refused(capsys, "train", "tinytales_cpu", "--max-steps", "many")
    assert said == "course: --max-steps should be a whole number; it is 'many'.\n"
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "some.txt is empty"),
        (b"caf\xe9 " * 100, r"not valid UTF-8: byte 0xe9 at position 3 (line 1). A text in another encoding can be"),
        (b"abcdefgh" * 2, "The train split of text:some.txt is too short: it has 14 tokens, and with block_size 16"),
        (b"abcdefgh" * 20, "The val split of text:some.txt is too short: it has 16 tokens, and with block_size 16"),
    ],
    ids=["empty", "not UTF-8", "too short to train", "too short to validate"],
)  # fmt: skip
def test_a_text_that_does_not_serve(project: Path, capsys: pytest.CaptureFixture, content: bytes, message: str) -> None:
    (project / "some.txt").write_bytes(content)
    assert message in refused(capsys, "train", "tinytales_cpu", "--dataset", "text:some.txt", *TINY)
    assert not (project / "runs").exists()


# Resume ----------------------------------------------------------------------------------------------------


def test_resume_goes_on_with_what_is_given_anew(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    assert course(["train", "--resume", "runs/text", "--max_steps", "6", "--learning-rate=1e-3"]) == 0
    assert "6 steps, from step 4" in capsys.readouterr().out
    rows = checkpoint.read_metrics(text_run)
    assert [row["step"] for row in rows] == list(range(6))
    assert max(row["lr"] for row in rows[4:]) <= 1e-3 < rows[3]["lr"]
    assert checkpoint.load(text_run).state["step"] == 6


def test_resume_by_name_and_from_a_chosen_save(text_run: Path) -> None:
    best = checkpoint.load(text_run, "best").state["step"]
    assert course(["train", "--resume=text", "--which", "best", "--max-steps", str(best + 1)]) == 0
    assert [row["step"] for row in checkpoint.read_metrics(text_run)] == list(range(best + 1))


def test_resume_of_a_run_that_is_done_says_so(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    before = checkpoint.read_metrics(text_run)
    capsys.readouterr()
    assert course(["train", "--resume", "text"]) == 0
    said = capsys.readouterr()
    longer = f"To make it longer: course train --resume {text_run} --max-steps 8"
    assert said.out == f"{text_run} is finished: it has taken its 4 steps. {longer}\n"
    assert "step/s" not in said.err  # no bar of an empty training
    assert checkpoint.read_metrics(text_run) == before


def test_resume_with_a_text_that_has_new_characters(
    text_run: Path, project: Path, capsys: pytest.CaptureFixture
) -> None:
    (project / "some.txt").write_text(TEXT[:100] + "\u20ac" + TEXT)
    message = refused(capsys, "train", "--resume", "text", "--max-steps", "6")
    assert "is not the text that" in message


# Sample ----------------------------------------------------------------------------------------------------


def sampled(capsys: pytest.CaptureFixture, *args: str) -> str:
    capsys.readouterr()
    assert course(["sample", *args]) == 0
    return capsys.readouterr().out


def test_sample_goes_on_from_any_text(byte_run: Path, project: Path, capsys: pytest.CaptureFixture) -> None:
    few = ["--max-new-tokens", "5"]
    for start in ("a=b", "--start=x", "caf\u00e9 \u20ac"):
        assert sampled(capsys, "bytes", f"--start={start}", *few).startswith(start)
    assert sampled(capsys, "bytes", "--start", "a=b", *few).startswith("a=b")
    (project / "start.txt").write_text("from a file = ")
    assert sampled(capsys, "bytes", "--start", "FILE:start.txt", *few).startswith("from a file = ")
    assert sampled(capsys, str(byte_run), "--start=", *few)  # nothing: it starts by itself


def test_sample_is_what_the_library_generates(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    loaded = checkpoint.load(text_run, "best")
    prompt = torch.tensor([loaded.tokenizer.encode("the c")])

    def expected(seed: int | None = None, **how) -> str:
        ids = generate(loaded.model, prompt, 30, seed=seed, **how)  # past block_size 16, too
        return loaded.tokenizer.decode(ids[0].tolist())

    start = ["text", "--start", "the c", "--max-new-tokens", "30"]
    greedy = sampled(capsys, *start, "--temperature", "0")
    assert greedy == expected(temperature=0) + "\n"
    assert sampled(capsys, *start, "--top-k=1") == greedy
    assert sampled(capsys, *start, "--top-p", "1e-9") == greedy
    drawn = sampled(capsys, *start, "--temperature", "1", "--top-k", "5", "--top-p", "0.9", "--seed", "3")
    assert drawn == expected(3, temperature=1.0, top_k=5, top_p=0.9) + "\n"
    assert drawn != greedy
    two = sampled(capsys, *start, "--temperature=1", "--num-samples", "2", "--seed", "3")
    texts = [expected(seed, temperature=1.0) for seed in (3, 4)]
    assert two == f"--- sample 1 of 2 ---\n{texts[0]}\n--- sample 2 of 2 ---\n{texts[1]}\n"
    assert texts[0] != texts[1]


def test_a_sample_ends_with_the_token_that_is_to_end_it(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    how = ["text", "--start", "the c", "--max-new-tokens", "30", "--temperature=1", "--seed", "3"]
    whole = sampled(capsys, *how)[:-1]
    end = whole[8]
    first = whole.index(end, len("the c"))  # nothing that the start holds counts
    assert sampled(capsys, *how, f"--stop={end}") == whole[: first + 1] + "\n"
    for stop, many in (("th", "2"), ("", "none")):
        assert f"{stop!r} is {many}" in refused(capsys, "sample", "text", f"--stop={stop}")
    message = refused(capsys, "sample", "text", r"--stop=\n")
    assert message.startswith(r"course: --stop holds '\\', which this model does not know")
    assert message.rstrip().endswith(r"A new line is typed in bash as --stop $'\n'.")


def test_sample_takes_the_save_that_is_asked_for(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    assert "no save 3; it has" in refused(capsys, "sample", "text", "--which", "3")
    last = sampled(capsys, "text", "--which", "last", "--temperature", "0", "--max-new-tokens", "20")
    assert last == sampled(capsys, "text", "--which", "4", "--temperature", "0", "--max-new-tokens", "20")


def test_a_start_that_the_run_cannot_read(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    message = refused(capsys, "sample", "text", "--start", "the \u00e9")
    assert "The start holds '\u00e9', which this model does not know" in message
    assert "Cannot read none.txt: No such file" in refused(capsys, "sample", "text", "--start", "FILE:none.txt")


def test_without_a_start_any_vocabulary_will_do(project: Path, capsys: pytest.CaptureFixture) -> None:
    (project / "line.txt").write_text("all of it in one line, " * 40)
    assert course(["train", "tinytales_cpu", "--dataset", "text:line.txt", "--out-dir", "runs/line", *TINY]) == 0
    assert len(sampled(capsys, "line", "--max-new-tokens", "5")) == 1 + 5 + 1
    assert len(sampled(capsys, "line", "--max-new-tokens", "5", "--start=")) == 5 + 1


@pytest.mark.parametrize(
    ("args", "message"),
    [("--temperature=-1", "temperature should be 0"), ("--top-k 0", "top_k should be"), ("--top-p 0", "top_p should")],
)
def test_sampling_settings_out_of_range(text_run: Path, capsys: pytest.CaptureFixture, args: str, message: str) -> None:
    assert message in refused(capsys, "sample", "text", *args.split())


def test_sample_of_a_folder_that_is_no_run(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    message = refused(capsys, "sample", "runs")
    assert "runs is no run directory: it should hold a config.json. Runs here: text." in message


def test_a_reader_that_goes_away_is_no_error(byte_run: Path) -> None:
    command = [sys.executable, "-m", "course_lib", "sample", str(byte_run), "--max-new-tokens", "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.read(5)
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == ""


# Doctor ----------------------------------------------------------------------------------------------------


def test_doctor_says_what_is_here(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    capsys.readouterr()
    assert course(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert f"course_lib {__version__}, Python {sys.version.split()[0]}" in printed
    assert f"torch {torch.__version__.split('+')[0]}" in printed
    assert re.search(r"^processor: .+ \d+ cores, \d+\.\d GiB of memory$", printed, flags=re.MULTILINE)
    assert re.search(r"^device: (cpu|cuda|mps)", printed, flags=re.MULTILINE)
    assert f"project root: {text_run.parents[1]} (" in printed
    assert "COURSE_OFFLINE: 1" in printed
    assert re.search(r"^source tinyshakespeare: ", printed, flags=re.MULTILINE)
    assert re.search(r"^C\+\+ compiler: (/|none found; course export RUN --to cpp)", printed, flags=re.MULTILINE)
    assert "runs: text\n" in printed


# Ctrl-C ----------------------------------------------------------------------------------------------------


def endless(*command: str) -> subprocess.Popen:
    args = ["tinytales_cpu", *TINY, "--out-dir", "out", "--max-steps", "1000000", "--eval-every", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *command, "train", *args, "--dropout", "0.1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def wait_for_rows(process: subprocess.Popen, count: int) -> None:
    log = Path("out/metrics.jsonl")
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and log.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"the training did not get going: {process.communicate()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "SIGTERM", "SIGHUP"])
def test_a_signal_saves_and_stops(project: Path, number: int, capsys: pytest.CaptureFixture) -> None:
    process = endless("-m", "course_lib")
    wait_for_rows(process, 5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err  # as shells have it: `course train ... && next` goes no further
    assert "Stopping: the state is being saved." in out + err
    assert ("Press Ctrl-C again" in out + err) == (number == signal.SIGINT)
    step = checkpoint.load("out").state["step"]
    assert f"stopped after {step} steps; go on with: course train --resume out" in out
    assert [row["step"] for row in checkpoint.read_metrics("out")] == list(range(step))
    assert course(["train", "--resume", "out", "--max-steps", str(step + 3)]) == 0
    assert [row["step"] for row in checkpoint.read_metrics("out")] == list(range(step + 3))


def test_a_second_ctrl_c_stops_at_once(project: Path) -> None:
    """On a disk so slow that the save never ends."""
    program = """
import sys, time
from course_lib import checkpoint
from course_lib.cli import main
def slow(*args):
    print("saving", flush=True)
    time.sleep(600)
checkpoint.save = slow
sys.exit(main(sys.argv[1:]))
"""
    process = endless("-c", program)
    wait_for_rows(process, 3)
    process.send_signal(signal.SIGINT)
    for line in process.stdout:
        if line == "saving\n":
            break
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("course: stopped at once.\n")
    assert "Traceback" not in err


# Real text -------------------------------------------------------------------------------------------------


def test_the_first_steps_on_shakespeare(project: Path, capsys: pytest.CaptureFixture) -> None:
    mirror = os.environ.get("COURSE_DATA")
    if not mirror or not (Path(mirror) / "tinyshakespeare" / "input.txt").is_file():
        pytest.skip("real text: set COURSE_DATA to a folder that holds tinyshakespeare/input.txt")
    assert course(["prepare", "shakespeare_char"]) == 0
    assert "vocab_size=65); 1,003,854 training and 111,540 validation tokens" in capsys.readouterr().out
    few = ["--max-steps", "20", "--eval-batches", "2", "--out-dir", "out"]
    assert course(["train", "shakespeare_char_cpu", *few, "--device", "cpu"]) == 0
    losses = [row["train_loss"] for row in checkpoint.read_metrics("out")]
    assert losses[0] == pytest.approx(4.174, abs=0.01)  # ln 65
    assert losses[-1] < 3.3
    text = sampled(capsys, "out", "--start", "ROMEO:", "--max-new-tokens", "50")
    assert text.startswith("ROMEO:")
    assert len(text) == 6 + 50 + 1
