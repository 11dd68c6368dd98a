"""A path in a message can be pasted into a shell, whatever it is called: ways to fail, in a folder with a space."""

import json
import pickle
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from course_lib.cli import main as course
from course_lib.paths import quoted

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = "--n-layer 1 --n-head 2 --n-embd 8 --block-size 8 --batch-size 2 --max-steps 2 --eval-every 1 --device cpu"
TEXT = "the cat sat on the mat.\n" * 60
ODD = "it's my course"


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder with a space and an apostrophe, with a run whose name has a space."""
    root = tmp_path / ODD
    root.mkdir()
    (root / "_toc.yml").write_text("format: jb-book\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.delenv("COURSE_DATA", raising=False)
    (root / "my text.txt").write_text(TEXT)
    words = ["train", "tinytales_cpu", "--dataset", "text:my text.txt", "--out-dir", "runs/my run", *TINY.split()]
    assert course(words) == 0
    return root


def spoiled(where: str, content: bytes) -> Callable[[Path], None]:
    return lambda root: (next(root.glob(where))).write_bytes(content)


def gone(where: str) -> Callable[[Path], None]:
    return lambda root: next(root.glob(where)).unlink()


RUN = "runs/my run"
WAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no run": (lambda root: None, "sample 'no run'"),
    "no runs at all": (lambda root: shutil.rmtree(root / "runs"), "sample 'no run'"),
    "a save as a run": (lambda root: None, f"sample '{RUN}/saves/2'"),
    "a part of a run": (lambda root: None, f"sample '{RUN}/saves'"),
    "no such save": (lambda root: None, "sample 'my run' --which 7"),
    "damaged config": (spoiled("runs/*/config.json", b"{"), "sample 'my run'"),
    "damaged state": (spoiled("runs/*/saves/2/state.json", b"{"), "sample 'my run' --which 2"),
    "damaged weights": (spoiled("runs/*/saves/2/model.safetensors", b"x"), "eval 'my run' --which 2"),
    "missing weights": (gone("runs/*/saves/2/model.safetensors"), "export 'my run' --which 2 --to pth"),
    "damaged optimizer": (
        spoiled("runs/*/saves/2/optimizer.safetensors", b"x"), "train --resume 'my run' --max-steps 9"),
    "damaged tokenizer": (spoiled("runs/*/tokenizer.json", b"{}"), "sample 'my run'"),
    "no tokenizer": (gone("runs/*/tokenizer.json"), "export 'my run' --to cpp"),
    "no text": (gone("my text.txt"), "eval 'my run'"),
    "no text to go on": (gone("my text.txt"), "train --resume 'my run' --max-steps 9"),
    "another text": (spoiled("my text.txt", TEXT[1:].encode()), "eval 'my run'"),
    "no test part": (lambda root: None, "eval 'my run' --split test"),
    "there is a run": (lambda root: None, f"train tinytales_cpu --out-dir '{RUN}' {TINY} --dataset 'text:my text.txt'"),
    "a file as run folder": (lambda root: None, f"train tinytales_cpu --out-dir 'my text.txt/x' {TINY}"),
    "nothing to think": (lambda root: None, "inspect 'my run'"),
    "a file instead of a folder": (lambda root: None, "export 'my run' --to cpp --out 'my text.txt'"),
    "another file": (lambda root: None, "export 'my run' --to pth --out 'my text.txt'"),
    "a file for transformers": (lambda root: None, "export 'my run' --to hf --out 'my text.txt'"),
    "a modern model for transformers": (lambda root: None, "export 'my run' --to hf"),
    "an upload without leave": (lambda root: None, "upload 'my run' --repo tiny"),
    "no run to upload": (lambda root: None, "upload 'my runs' --repo tiny --dry-run"),
    "no folder of weights": (lambda root: None, "sample 'gpt2:my recipe'"),
    "no weights in it": (lambda root: (root / "my r").mkdir(), "sample 'gpt2:my r'"),
    "no download of weights": (lambda root: None, "sample gpt2"),
    "no such folder": (lambda root: None, "export 'my run' --to pth --out 'no such/x.pth'"),
    "no file": (lambda root: None, "prepare 'text:my letter.txt'"),
    "an empty file": (spoiled("my text.txt", b""), "prepare 'text:my text.txt'"),
    "no UTF-8": (spoiled("my text.txt", b"abc\xff" * 99), "prepare 'text:my text.txt'"),
    "a zip": (spoiled("my text.txt", b"PK\x03\x04" * 99), "prepare 'text:my text.txt'"),
    "UTF-16": (spoiled("my text.txt", TEXT.encode("utf-16-le")), "prepare 'text:my text.txt'"),
    "no pattern": (lambda root: None, "prepare 'text:my *.md'"),
    "one of several": (lambda root: (root / "my b.txt").write_bytes(b"a\xff"), "prepare 'text:my *.txt'"),
    "no bytes": (lambda root: None, "prepare 'bytes:my letter.txt'"),
    "a text as recipe": (lambda root: None, "train 'my text.txt'"),
    "a run as recipe": (lambda root: None, "train 'my run'"),
    "no recipe": (lambda root: None, "train 'my recipe.toml'"),
    "a wrong recipe": (lambda root: (root / "my r.toml").write_text("[a]\nb=1"), "train 'my r.toml'"),
    "no TOML": (lambda root: (root / "my r.toml").write_text("["), "train 'my r.toml'"),
    "no start": (lambda root: None, "sample 'my run' --start 'FILE:my start'"),
    "no source": (lambda root: None, "prepare holmes"),
    "finished": (lambda root: None, "train --resume 'my run'"),
    "longer": (lambda root: None, "train --resume 'my run' --max-steps 4"),
    "no ids": (lambda root: None, "prepare 'bins:my text'"),
    "half of the ids": (lambda root: (folder_of(root) / "val.bin").unlink(), "prepare 'bins:my text'"),
    "an id too large": (lambda root: (folder_of(root) / "val.bin").write_bytes(b"\7\0"), "prepare 'bins:my text'"),
    "no vocabulary": (lambda root: (folder_of(root) / "meta.pkl").write_bytes(b"x"), "prepare 'bins:my text'"),
    "ids are split": (lambda root: folder_of(root), "prepare 'bins:my text' --val-fraction 0.3"),
    "no checkpoint": (lambda root: None, "sample 'my text.pt'"),
    "no checkpoint in it": (lambda root: None, "sample --init-from 'my text.txt'"),
    "no folder of transformers": (lambda root: None, "sample --init-from 'gpt2:my text'"),
    "weights of another shape": (
        lambda root: None, "train tinytales_cpu --init-from 'my run' --dataset 'text:my text.txt' --n-layer 9"),
    "weights of another kind": (lambda root: None, "train agiformer_cpu --init-from 'my run'"),
}  # fmt: skip


def folder_of(root: Path) -> Path:
    """A folder of ids as nanoGPT's prepare.py leaves it."""
    folder = root / "my text"
    folder.mkdir()
    for name in ("train.bin", "val.bin"):
        (folder / name).write_bytes(b"\0\0" * 99)
    (folder / "meta.pkl").write_bytes(pickle.dumps({"itos": {0: "a"}}))
    return folder


def unquoted(message: str, root: Path) -> list[str]:
    """Where a name with a space stands outside of quotes, as a shell or Python reads them."""
    left = message
    for path in sorted({*root.rglob("*"), root, *root.parents}, key=lambda path: -len(str(path))):
        for form in (str(path), str(path.relative_to(root)) if path.is_relative_to(root) else str(path)):
            for whole in (shlex.quote(form), repr(form)):
                if " " in form:
                    left = left.replace(whole, "<path>")
    left = re.sub(r"'(?:[^'\n]|'\"'\"')*'|\"[^\"\n]*\"", "<quoted>", left)
    return re.findall(r".{0,40}(?:s my course|my (?:run|text|letter|start|recipe|r)\b|no such).{0,20}", left)


@pytest.mark.parametrize("way", WAYS)
def test_every_path_in_a_message_can_be_pasted(odd: Path, capsys: pytest.CaptureFixture, way: str) -> None:
    prepare, command = WAYS[way]
    prepare(odd)
    capsys.readouterr()
    status = course(shlex.split(command))
    done = capsys.readouterr()
    assert status == (0 if way in ("finished", "longer") else 2), done
    message = done.out + done.err if status == 0 else done.err
    assert unquoted(message, odd) == [], message


@pytest.mark.parametrize("way", ["there is a run", "a save as a run", "no text", "finished"])
def test_a_command_in_a_message_is_one_that_a_shell_takes(odd: Path, capsys: pytest.CaptureFixture, way: str) -> None:
    prepare, command = WAYS[way]
    prepare(odd)
    capsys.readouterr()
    course(shlex.split(command))
    done = capsys.readouterr()
    word = r"((?:'(?:[^']|'\"'\"')*'|[^\s'),])+)"
    said = re.findall(rf"(?:course (?:train --resume|eval)|the save:) {word}", done.out + done.err)
    assert said
    for words in said:
        (word,) = shlex.split(words)
        assert (odd / word / "config.json").is_file()


def test_a_plain_path_stays_as_it_is(tmp_path: Path) -> None:
    assert quoted(tmp_path / "runs" / "a-b_c.1") == f"{tmp_path}/runs/a-b_c.1"
    assert json.loads(json.dumps(quoted("a b"))) == "'a b'"
