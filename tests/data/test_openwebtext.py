"""OpenWebText's way from a stream to a prepared folder, with a stand-in for the package ``datasets``."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from course_lib.cli import main as course
from course_lib.data import load_prepared, openwebtext, prepare, shards
from course_lib.data.openwebtext import prepare_openwebtext
from course_lib.data.streams import Stream
from course_lib.errors import CourseError
from course_lib.tokenizers import BPETokenizer

TEXTS = [f"Page {i}: the cat sat on the mät, {'again and ' * (i % 7)}again.\n<|endoftext|>" for i in range(47)]
TOKENIZER = BPETokenizer.train("".join(TEXTS), 300, special_tokens=["<|endoftext|>"])
END = TOKENIZER.special_tokens["<|endoftext|>"]


class Rows:
    """What ``load_dataset(..., streaming=True)`` gives; it breaks off after ``breaks_after`` rows of a reading, with an
    error, or as if there were no more of them."""

    def __init__(self, start: int = 0, breaks_after: int | None = None, is_told: bool = True) -> None:
        self.start, self.breaks_after, self.is_told = start, breaks_after, is_told

    def skip(self, n: int) -> "Rows":
        return Rows(self.start + n, self.breaks_after, self.is_told)

    def __iter__(self) -> Iterator[dict[str, str]]:
        for i, text in enumerate(TEXTS[self.start :]):
            if i == self.breaks_after and not self.is_told:
                return
            if i == self.breaks_after:
                raise ConnectionError("Couldn't reach the Hub\nat all")
            READ.append(self.start + i)
            yield {"text": text}


READ: list[int] = []


@pytest.fixture
def hub(project: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The stand-in; ``breaks_after`` may be set."""
    state = SimpleNamespace(breaks_after=None, is_told=True, asked=[])
    fake = ModuleType("datasets")

    def load_dataset(name: str, **how: object) -> Rows:
        state.asked.append((name, how))
        return Rows(0, state.breaks_after, state.is_told)

    fake.load_dataset = load_dataset
    READ.clear()
    monkeypatch.setitem(sys.modules, "datasets", fake)
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    monkeypatch.setattr(openwebtext, "SHARD", 5)
    monkeypatch.setattr(openwebtext, "TOKENS", 3000)
    monkeypatch.setattr(openwebtext, "DOCUMENTS", len(TEXTS))
    monkeypatch.setattr(BPETokenizer, "gpt2", classmethod(lambda cls: TOKENIZER))
    return state


def by_hand(val_fraction: float) -> dict[str, list[int]]:
    """Every so manieth document is for validation; each is ended by one token, and what looks like it is text."""
    ids: dict[str, list[int]] = {"train": [], "val": []}
    every = round(1 / val_fraction)
    for i, text in enumerate(TEXTS):
        ids["val" if (i + 1) % every == 0 else "train"] += [*TOKENIZER.encode(text), END]
    return ids


def ids_in(folder: Path) -> dict[str, list[int]]:
    return {split: np.fromfile(folder / f"{split}.bin", "<u2").tolist() for split in ("train", "val")}


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_ids_of_all_documents_are_there_each_ended(hub: SimpleNamespace, project: Path) -> None:
    folder = prepare_openwebtext(0.1, processes=1)
    assert ids_in(folder) == by_hand(0.1)
    prepared = load_prepared(folder)
    assert prepared.manifest["dtype"] == "uint16"
    assert prepared.manifest["counts"] == {split: len(ids) for split, ids in by_hand(0.1).items()}
    val = [text for i, text in enumerate(TEXTS) if (i + 1) % 10 == 0]
    sizes = {"train": sum(len(t.encode()) for t in TEXTS if t not in val), "val": sum(len(t.encode()) for t in val)}
    assert prepared.manifest["bytes"] == sizes
    assert hub.asked == [("Skylion007/openwebtext", {"split": "train", "streaming": True})]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # no shard is left
    before = everything(folder)
    assert prepare_openwebtext(0.1) == folder
    assert (everything(folder), len(hub.asked)) == (before, 1)


def test_several_processes_make_the_same_files(
    hub: SimpleNamespace, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = everything(prepare_openwebtext(0.1, processes=1, data=project / "one"))
    assert everything(prepare_openwebtext(0.1, processes=2, data=project / "two")) == one


@pytest.mark.parametrize("after", [0, 1, 5, 12, 46])
def test_a_stream_that_breaks_off_is_gone_on_with(hub: SimpleNamespace, project: Path, after: int) -> None:
    """To the same files, and no document of a whole shard is asked for again."""
    whole = everything(prepare_openwebtext(0.1, 1, project / "whole"))
    hub.breaks_after, tries, said = after, 0, []
    while True:
        READ.clear()
        try:
            folder = prepare_openwebtext(0.1, 1, project / "cut")
            break
        except CourseError as error:
            said.append(str(error))
            tries += 1
            kept = len(list((project / "cut").rglob("shard-*.json"))) * 5
            assert kept == after // 5 * 5 * tries
            if after < 5:
                hub.breaks_after = None
    assert everything(folder) == whole
    assert tries >= 1
    for words in ("Hub (ConnectionError: Couldn't reach the Hub)", "the same command goes on after it"):
        assert all(words in message for message in said)
    assert READ[0] == kept if READ else kept == 45


@pytest.mark.parametrize("after", [0, 3, 5, 12, 46])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_stream_that_ends_early_is_not_taken_for_the_whole(
    hub: SimpleNamespace, project: Path, after: int, processes: int
) -> None:
    """Without an error: the number of documents tells. What came stays, and the same files come of it in the end."""
    whole = everything(prepare_openwebtext(0.1, 1, project / "whole"))
    hub.breaks_after, hub.is_told = after, False
    with pytest.raises(CourseError, match=rf"ended early: {after // 5 * 5} of 47 doc.*same command goes on after"):
        prepare_openwebtext(0.1, processes, project / "cut")
    assert not list((project / "cut").rglob("manifest.json"))
    assert len(list((project / "cut").rglob("shard-*.json"))) == after // 5
    hub.breaks_after = None
    READ.clear()
    assert everything(prepare_openwebtext(0.1, processes, project / "cut")) == whole
    assert READ[0] == after // 5 * 5


def test_a_join_that_is_cut_off_anywhere_is_gone_on_with(
    hub: SimpleNamespace, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = everything(prepare_openwebtext(0.1, 1, project / "whole"))
    real, folder = shards.sync, None
    for k in range(1, 200):
        calls = []

        def failing(path: Path, calls: list = calls, k: int = k) -> None:
            calls.append(path)
            if len(calls) == k:
                raise OSError(28, "No space left on device")
            real(path)

        with monkeypatch.context() as patch:
            patch.setattr(shards, "sync", failing)
            try:
                folder = prepare_openwebtext(0.1, 1, project / "cut")
            except CourseError as error:
                said = str(error)
            else:
                break
        assert "No space left on device. What was kept is whole" in said
        assert "go on with: course prepare openwebtext" in said
    assert k > 3
    assert everything(folder) == whole


def test_what_it_takes_is_said_first_and_a_small_disk_is_refused(
    hub: SimpleNamespace, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openwebtext, "TOKENS", 9_040_017_095)
    monkeypatch.setattr(openwebtext, "DOCUMENTS", 8_013_769)
    monkeypatch.setattr(openwebtext.shutil, "disk_usage", lambda path: SimpleNamespace(free=17_000_000_000))
    assert course(["prepare", "openwebtext"]) == 2
    said, refusal = capsys.readouterr().err.splitlines()
    assert said.startswith("openwebtext: 8,013,769 documents, streamed (the text itself is not kept); 18.1 GB of ids")
    assert "17.0 GB are free" in said
    assert refusal.startswith("course: openwebtext needs 18.1 GB in")
    assert not hub.asked


@pytest.mark.parametrize("way", ["no package", "offline", "no network"])
def test_without_package_or_network_there_is_one_message(
    hub: SimpleNamespace, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "no package":
        monkeypatch.setitem(sys.modules, "datasets", None)
    elif way == "offline":
        monkeypatch.setenv("COURSE_OFFLINE", "1")
    else:
        monkeypatch.setattr(sys.modules["datasets"], "load_dataset", lambda *a, **b: 1 / 0)
    assert course(["prepare", "openwebtext", "--processes", "1"]) == 2
    _, *lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "openwebtext cannot be streamed" in lines[0]
    assert "pip install datasets" in lines[0]
    assert "text:FOLDER" in lines[0]


def test_the_command_says_what_it_made_and_a_run_finds_it(
    hub: SimpleNamespace, project: Path, capsys: pytest.CaptureFixture
) -> None:
    small = "--n-layer 1 --n-head 2 --n-embd 8 --block-size 8 --batch-size 2 --max-steps 2 --eval-every 0 --device cpu"
    train = ["train", "tinytales_cpu", "--dataset", "openwebtext", *small.split()]
    assert course(train) == 2  # it does not begin to stream 38 GB of text unasked
    assert "openwebtext is not prepared here" in capsys.readouterr().err
    assert not hub.asked
    assert course(["prepare", "openwebtext", "--val-fraction", "0.1", "--processes", "1"]) == 0
    folder, counts = capsys.readouterr().out.splitlines()
    train_count, val_count = (len(by_hand(0.1)[split]) for split in ("train", "val"))
    assert counts.endswith(f"{train_count:,} training and {val_count:,} validation tokens")
    assert course([*train, "--val-fraction", "0.1", "--out-dir", "runs/owt"]) == 0
    about = json.loads((project / "runs" / "owt" / "config.json").read_text())
    assert about["data"]["sha256"] == json.loads((Path(folder) / "manifest.json").read_text())["sha256"]
    assert course(["train", "--resume", "owt", "--max-steps", "3"]) == 0
    assert course(["eval", "owt"]) == 0
    assert prepare("openwebtext", val_fraction=0.1) == Path(folder)
    with pytest.raises(CourseError, match=r"not prepared here in this way.*course prepare openwebtext"):
        prepare("openwebtext", val_fraction=0.2)


def test_a_text_that_has_changed_has_another_sha256(hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_openwebtext(0.1, 1)
    before = Stream("openwebtext").sha256
    parts = [hashlib.sha256(b"".join(len(t.encode()).to_bytes(8, "little") + t.encode() for t in TEXTS[i : i + 5]))
             for i in range(0, len(TEXTS), 5)]  # fmt: skip
    assert before == hashlib.sha256("".join(part.hexdigest() for part in parts).encode()).hexdigest()


@pytest.mark.parametrize("more", [["--tokenizer", "char"], ["--test-fraction", "0.1"]])
def test_other_ways_to_prepare_it_are_refused(hub: SimpleNamespace, capsys: pytest.CaptureFixture, more) -> None:
    assert course(["prepare", "openwebtext", *more]) == 2
    assert "leave --tokenizer and --test-fraction out" in capsys.readouterr().err


@pytest.mark.parametrize("fraction", [0.0005, 0.1, 0.25, 0.3, 0.999])
def test_validation_has_its_share_wherever_one_stops(fraction: float) -> None:
    count = 0
    for n in range(10_000):
        count += shards.is_val(n, fraction)
        assert abs(count - (n + 1) * fraction) < 1 + 1e-6


def test_two_at_once_are_refused(hub: SimpleNamespace, project: Path) -> None:
    hub.breaks_after = 7
    with pytest.raises(CourseError):
        prepare_openwebtext(0.1, 1)
    (parts,) = (project / "data" / "prepared").glob(".*.shards")
    from course_lib.locks import system_lock

    with system_lock(parts / "lock").acquire(), pytest.raises(CourseError, match="Another process prepares openweb"):
        prepare_openwebtext(0.1, 1)
