"""One's own text on the command line, from the file to a sample; and samples on every kind of output."""

import contextlib
import io
import os
import random
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_cli import TEXT, TINY, refused, settings

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.cli import sample as sampling_command
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.data import datasets, reading
from course_lib.data.datasets import find_corpus
from course_lib.lab.run import Trial
from course_lib.models import GPT
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.recipes.remarks import remarks
from course_lib.sampling import generate
from course_lib.tokenizers import ByteTokenizer, CharTokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

TINY_STEPS = [*TINY, "--warmup-steps", "0"]


def train(*args: str) -> int:
    return course(["train", *args, *TINY_STEPS])


# Training on it -------------------------------------------------------------------------------------------


def test_a_text_alone_takes_the_default_recipe_and_gives_the_run_its_name(project: Path) -> None:
    (project / "My first book.txt").write_text(TEXT)
    assert train("text:My first book.txt") == 0
    (run,) = (project / "runs").iterdir()
    assert run.name.startswith("My_first_book-2")
    kept = settings(run)
    assert kept["recipe"] == "shakespeare_char_cpu"
    assert kept["dataset"] == f"text:{project}/My first book.txt"
    assert kept["position"] == load_recipe("shakespeare_char_cpu").all_settings()["position"]


@pytest.mark.parametrize("first", [["tinytales_cpu", "--dataset", "text:some.txt"], ["bytes:some.txt"]])
def test_a_run_on_ones_own_text_is_named_after_it(project: Path, first: list[str]) -> None:
    (project / "some.txt").write_text(TEXT)
    assert train(*first) == 0
    assert [path.name.rsplit("-", 2)[0] for path in (project / "runs").iterdir()] == ["some"]


def test_the_home_folder_is_found_behind_an_equals_sign(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell takes ``~`` for the home folder there."""
    monkeypatch.setenv("HOME", str(project / "home"))
    (project / "home").mkdir()
    (project / "home" / "some.txt").write_text(TEXT)
    assert train("tinytales_cpu", "--dataset=text:~/some.txt", "--out-dir=~/kept") == 0
    assert settings(project / "home" / "kept")["dataset"] == f"text:{project}/home/some.txt"
    few = ["--max-new-tokens=3"]
    assert course(["sample", "~/kept", "--start=FILE:~/some.txt", *few]) == 0
    assert course(["export", "~/kept", "--to=pth", "--out=~/kept.pth"]) == 0
    assert (project / "home" / "kept.pth").is_file()
    assert course(["train", "--resume=~/kept", "--max-steps", "5"]) == 0
    assert not (project / "~").exists()


def test_a_run_finds_its_text_from_another_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "texts").mkdir()
    (project / "texts" / "some.txt").write_text(TEXT)
    assert train("text:texts/some.txt", "--out-dir", "run") == 0
    monkeypatch.chdir(project / "texts")
    assert course(["train", "--resume", str(project / "run"), "--max-steps", "5"]) == 0


def test_a_folder_of_texts(project: Path, capsys: pytest.CaptureFixture) -> None:
    (project / "letters").mkdir()
    for i in range(3):
        (project / "letters" / f"{i}.txt").write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert train("text:letters", "--out-dir", "run") == 0
    tokenizer = checkpoint.load(project / "run").tokenizer
    assert "\r" not in tokenizer.characters
    assert f"{int(0.9 * (3 * len(TEXT) + 2)):,} training tokens" in capsys.readouterr().out  # a blank line between


def test_how_often_a_text_is_read_by_each_command(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TinyTales takes a second to make: once is enough. A file is read in passes, as it may be larger than memory: for
    its sha256, its letters and each part of it; then for its sha256 alone, to see that it is the same."""
    (project / "some.txt").write_text(TEXT)
    reads: list[str] = []
    for module, name in ((datasets, "text_blocks"), (datasets, "byte_blocks"), (datasets.tinytales, "tinytales_text")):
        monkeypatch.setattr(module, name, counted(getattr(module, name), reads))
    for dataset, passes in {"text:some.txt": 4, "bytes:some.txt": 3, "tinytales": 1}.items():
        assert train("tinytales_cpu", "--dataset", dataset, "--out-dir", f"runs/{dataset[:5]}") == 0
        assert len(reads) == passes, dataset
        assert course(["train", "--resume", dataset[:5], "--max-steps", "6"]) == 0
        assert len(reads) == passes + 1, dataset
        reads.clear()


def counted(function: Callable[..., object], calls: list[str]) -> Callable[..., object]:
    def counting(*args: object) -> object:
        calls.append(function.__name__)
        return function(*args)

    return counting


def test_a_text_from_a_pipe(project: Path) -> None:
    def piped(*args: str, text: str = TEXT) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "course_lib", *args]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False)

    done = piped("train", "text:-", "--out-dir", "run", *TINY_STEPS)
    assert done.returncode == 0, done.stderr
    assert "0%|" not in done.stderr  # no progress bar where nobody sees it move
    assert settings(project / "run")["dataset"] == "text:-"
    done = piped("sample", "run", "--start", "FILE:-", "--max-new-tokens=2", text="the cat\r\n")
    assert done.stdout.startswith("the cat\n")


@pytest.mark.parametrize(
    ("content", "args", "expected"),
    [
        ("abcdefgh" * 20, [], "The val split of text:{path} is too short: it has 16 tokens.*--val-fraction 0.11"),
        ("abcdefgh" * 20, ["--val-fraction", "0.9"], "The train split of .* it has 15 tokens.*--val-fraction 0.11"),
        ("abcdefgh" * 12, [], r"Use --val-fraction 0\.18, or a --block-size of at most 9\."),
        ("abcdefgh" * 3, [], r"Use a longer text\."),
        ("hello\n", [], r"Use a longer text\."),
    ],
)
def test_a_split_that_is_too_short_is_named_with_what_helps(
    project: Path, capsys: pytest.CaptureFixture, content: str, args: list[str], expected: str
) -> None:
    (project / "some.txt").write_text(content)
    message = refused(capsys, "train", "text:some.txt", *TINY_STEPS, *args)
    assert re.search(expected.replace("{path}", ".*some.txt"), message), message
    assert not (project / "runs").exists()
    if suggested := re.search(r"--val-fraction (0\.\d+)", message):
        assert train("text:some.txt", "--val-fraction", suggested[1]) == 0  # what it says does help


@pytest.mark.parametrize("dataset", ["text:line.txt", "text:some.txt", "tinytales"])
def test_a_run_of_the_lab_starts_where_the_command_line_starts(
    project: Path, capsys: pytest.CaptureFixture, dataset: str
) -> None:
    (project / "some.txt").write_text(TEXT)
    (project / "line.txt").write_text("all of it in one line, " * 40)  # it has no new line to start from
    small = {"n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 16, "batch_size": 2, "eval_batches": 1}
    recipe = load_recipe("tinytales_cpu").replace(dataset=dataset, max_steps=2, **small)
    trainer = build_trainer(recipe, project / "runs" / "lab")
    list(trainer)
    capsys.readouterr()
    assert course(["sample", "lab", "--which=last", "--max-new-tokens=30", "--temperature=1", "--seed=5"]) == 0
    printed = capsys.readouterr().out
    start = find_corpus(dataset).start
    assert printed == start + Trial(recipe, trainer).sample(30, temperature=1, seed=5) + "\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["some.txt"], "it is a file or folder here. Your own text is text:some.txt"),
        (["run"], "it is a run. To go on with it: course train --resume run"),
        (["some"], "your own text is text:PATH"),
        (["--seed", "1", "text:some.txt"], "or text:PATH first, and the settings after it; it got '--seed'"),
        (["text:some.txt", "other.txt"], "a word too many: 'other.txt'. Several files are a folder, text:FOLDER, or"),
        (["text:some.txt", "--seed", "1", "other.txt"], "a word too many: 'other.txt'"),
        (["text:some.txt", "--seed=1", "other.txt"], "a word too many: 'other.txt'"),
        (["--resume", "run", "text:some.txt"], "The new place of a run's text is --dataset text:PATH"),
        (["text:some.txt", "--max-lr", "1", "--learning-rate", "1"], "are one setting under two names"),
        (["text:some.txt", "--blok-size", "9"], "course train text:some.txt has no setting --blok-size"),
    ],
)
def test_a_beginners_mistakes_get_the_hint_that_helps(
    project: Path, capsys: pytest.CaptureFixture, args: list[str], message: str
) -> None:
    (project / "some.txt").write_text(TEXT)
    writing(project / "runs" / "run", CharTokenizer.train(TEXT), len(set(TEXT)))
    before = sorted((project / "runs").iterdir())
    assert message in refused(capsys, "train", *args)
    assert sorted((project / "runs").iterdir()) == before


def test_a_recipe_of_ones_own_names_its_runs_and_its_mistakes(project: Path, capsys: pytest.CaptureFixture) -> None:
    (project / "some.txt").write_text(TEXT)
    (project / "mine.toml").write_text('dataset = "text:some.txt"\n')
    assert train("mine.toml") == 0
    assert [run.name[:5] for run in (project / "runs").iterdir()] == ["mine-"]
    (project / "mine.toml").write_text("max_step = 3\n")
    message = refused(capsys, "train", "mine.toml")
    assert "mine.toml: There is no setting 'max_step': did you mean 'max_steps'?" in message


def test_a_run_that_ends_worse_than_knowing_nothing_says_so(project: Path, capsys: pytest.CaptureFixture) -> None:
    (project / "some.txt").write_text(TEXT)
    assert train("text:some.txt", "--max-lr", "50", "--optimizer", "adamw", "--grad-clip", "0") == 0
    assert "note: that is worse than knowing nothing (2.8332)" in capsys.readouterr().out  # ln 17


# What is said of a text -----------------------------------------------------------------------------------


def said(project: Path, text: str, **changes: object) -> str:
    (project / "some.txt").write_text(text)
    recipe = load_recipe("tinytales_cpu").replace(
        dataset="text:some.txt", n_layer=1, n_head=1, n_embd=8, device="cpu", **{"block_size": 16, **changes}
    )
    return "\n".join(remarks(build_trainer(recipe)))


def words(n: int) -> list[str]:
    draw = random.Random(0)
    return ["".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(7)) for _ in range(n)]


LONG = "\n".join(words(20_000))


def test_of_a_long_text_nothing_is_said(project: Path) -> None:
    assert said(project, LONG, max_steps=100) == ""


def test_of_a_sorted_text_it_is_said(project: Path) -> None:
    for text in ("\n".join(sorted(words(20_000))), "\n".join(sorted(word.title() + " etc." for word in words(5000)))):
        assert "lines of this text are sorted" in said(project, text, max_steps=10)


@pytest.mark.parametrize("text", ["\n" * 200_000, "same\n" * 40_000, "x" * 160_000, "\n".join(["a", "b"] * 40_000)])
def test_lines_that_are_alike_are_not_sorted(project: Path, text: str) -> None:
    assert "sorted" not in said(project, text, max_steps=1)


def test_of_a_short_validation_part_it_is_said(project: Path) -> None:
    n = 10 * (20 * 16 + 1)
    assert said(project, LONG[:n], max_steps=1) == ""
    assert "validation has 320 tokens only, 19 windows of 16" in said(project, LONG[: n - 10], max_steps=1)


@pytest.mark.parametrize(("dropout", "most"), [(0.0, 20), (0.1, 100)])
def test_of_a_text_that_is_read_often_it_is_said(project: Path, dropout: float, most: int) -> None:
    n, per_step = 9_000, 16 * 16
    steps = most * n // per_step
    shape = {"dropout": dropout, "batch_size": 16}
    assert said(project, LONG[:10_000], max_steps=steps, **shape) == ""
    more = said(project, LONG[:10_000], max_steps=steps + 100, **shape)
    assert f"read about {(steps + 100) * per_step / n:,.0f} times" in more


# Samples on every kind of output --------------------------------------------------------------------------


def writing(folder: Path, tokenizer: object, vocab_size: int) -> Path:
    """A run with large random weights: what it writes is any of its tokens."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(block_size=8, vocab_size=vocab_size, n_layer=1, n_head=1, n_embd=16))
    with torch.no_grad():
        model.token_embedding.weight.normal_(std=0.4)
    checkpoint.create_run(folder, RunConfig("test", DataConfig(), model.config, TrainConfig()), tokenizer)
    checkpoint.save(folder, 1, model)
    return folder


@pytest.fixture
def any_bytes(project: Path) -> Path:
    return writing(project / "bytes", ByteTokenizer(), 256)


def test_a_sample_of_bytes_is_the_text_of_its_bytes(any_bytes: Path, capsys: pytest.CaptureFixture) -> None:
    """Tiny models of bytes write whole characters, cut ones and bytes that belong to none."""
    model = checkpoint.load(any_bytes).model
    for seed in range(20):
        capsys.readouterr()
        assert course(["sample", "bytes", "--start=é", "--max-new-tokens=60", f"--seed={seed}", "--temperature=1"]) == 0
        ids = generate(model, torch.tensor([list("é".encode())]), 60, seed=seed)[0].tolist()
        assert capsys.readouterr().out == bytes(ids).decode("utf-8", errors="replace") + "\n"


def test_characters_come_whole_in_whatever_order_bytes_come(capsys: pytest.CaptureFixture) -> None:
    for row in ([0xFF, 0xF0, 0x9F, 0x98, 0x80], [0xE4, 0xB8, *"中文".encode()]):
        sampling_command.show_tokens(ByteTokenizer(), row)
        assert capsys.readouterr().out == bytes(row).decode("utf-8", errors="replace") + "\n"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_an_output_that_is_not_utf8_gets_escapes(any_bytes: Path, encoding: str) -> None:
    command = [sys.executable, "-m", "course_lib", "sample", "bytes", "--start=é 日", "--max-new-tokens=40"]
    env = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    start = {"cp1252": b"\xe9 \\u65e5", "ascii": b"\\xe9 \\u65e5", "utf-8": "é 日".encode()}[encoding]
    assert done.stdout.startswith(start)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


CONTROL = "".join(map(chr, [*range(32), 127, *range(128, 160)]))


def test_a_terminal_gets_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, pipe = Terminal(), io.StringIO()
    for output in (screen, pipe):
        monkeypatch.setattr(sys, "stdout", output)
        sampling_command.show("\x1b[2J é\t日" + CONTROL)
    assert pipe.getvalue() == "\x1b[2J é\t日" + CONTROL
    assert screen.getvalue().startswith(r"\x1b[2J é" + "\t日" + r"\x00\x01")
    assert set(screen.getvalue()) & set(CONTROL) == {"\n", "\t"}
    assert r"\x7f\x80" in screen.getvalue()


def test_a_real_terminal_shows_the_start_with_escapes(project: Path) -> None:
    pty = pytest.importorskip("pty", reason="pseudo-terminals are there on Linux and macOS")
    writing(project / "run", CharTokenizer("\n\x1b[]abcd"), 8)
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "course_lib", "sample", "run", "--start=a\x1b[b", "--max-new-tokens=30"]
    with subprocess.Popen(command, stdout=child, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        os.close(child)
        shown = b""
        with contextlib.suppress(OSError):  # Linux says so at the end
            while piece := os.read(parent, 4096):
                shown += piece
        assert process.wait(60) == 0
    os.close(parent)
    assert shown.startswith(rb"a\x1b[b")
    assert b"\x1b" not in shown


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--max-new-tokens=-5"], "--max-new-tokens should be at least 0; it is -5"),
        (["--max-new-tokens", "-5"], "--max-new-tokens should be at least 0; it is -5"),
        (["--num-samples", "0"], "--num-samples should be at least 1; it is 0"),
        (["--which", "²"], "²"),
        (["--start", "FILE:photo.jpg"], "FILE:photo.jpg is a JPEG picture"),
        (["--start", "FILE:"], "FILE: should name a file with a text"),
        (["--start", "FILE:bytes"], "FILE:bytes should name a file"),
        (["--start", "caf\udce9"], "The start is not valid UTF-8 at character 3"),
    ],
)
def test_what_no_sample_can_be_made_of(
    any_bytes: Path, capsys: pytest.CaptureFixture, args: list[str], message: str
) -> None:
    Path("photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a text")
    assert message in refused(capsys, "sample", "bytes", *args)


def test_what_is_refused_writes_nothing(any_bytes: Path, capsys: pytest.CaptureFixture) -> None:
    for args in (["--temperature", "-1"], ["--top-p", "2"], ["--top-k", "0"], ["--seed", "-1"]):
        assert course(["sample", "bytes", *args]) == 2
        assert capsys.readouterr().out == ""


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_start_may_be_in_either_unicode_form(project: Path, capsys: pytest.CaptureFixture, form: str) -> None:
    """An ordinary keyboard gives NFC, and macOS's file names are NFD: they look the same."""
    tokenizer = CharTokenizer.train(unicodedata.normalize(form, "café\n"))
    writing(project / "run", tokenizer, tokenizer.vocab_size)
    ends = []
    for start in (unicodedata.normalize(f, "café") for f in ("NFC", "NFD")):
        assert course(["sample", "run", "--start", start, "--max-new-tokens=9"]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith(start)
        ends.append(printed.removeprefix(start))
    assert ends[0] == ends[1]
    assert "which this model does not know" in refused(capsys, "sample", "run", "--start", "x日")


def test_an_empty_file_is_no_start(any_bytes: Path, project: Path, capsys: pytest.CaptureFixture) -> None:
    (project / "none.txt").touch()
    assert course(["sample", "bytes", "--start=FILE:none.txt", "--max-new-tokens=1"]) == 0


@pytest.fixture(autouse=True)
def no_standard_input_kept() -> None:
    reading._standard_input.cache_clear()
