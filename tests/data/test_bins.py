"""nanoGPT's folders of ids: the very ids, their own tokenizer, and a meta.pkl that cannot run anything."""

import contextlib
import os
import pickle
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from course_lib.data import Batcher, bins, load_prepared, load_text, prepare
from course_lib.data.bins import read_plain_pickle
from course_lib.data.datasets import find_corpus, full_name
from course_lib.errors import CourseError
from course_lib.tokenizers import CharTokenizer

TEXT = "Ö, the quick brown fox jumps over the lazy dog.\n" * 20


def as_nanogpt(folder: Path, text: str = TEXT) -> Path:
    """What data/shakespeare_char/prepare.py does with a text."""
    folder.mkdir(parents=True, exist_ok=True)
    chars = sorted(set(text))
    stoi = {c: i for i, c in enumerate(chars)}
    n = len(text)
    for part, piece in {"train": text[: int(n * 0.9)], "val": text[int(n * 0.9) :]}.items():
        np.array([stoi[c] for c in piece], dtype=np.uint16).tofile(folder / f"{part}.bin")
    meta = {"vocab_size": len(chars), "itos": dict(enumerate(chars)), "stoi": stoi}
    (folder / "meta.pkl").write_bytes(pickle.dumps(meta))
    return folder


def test_the_ids_are_those_of_the_files_and_the_tokenizer_is_that_of_the_meta(project):
    folder = as_nanogpt(project / "mine")
    (project / "a.txt").write_text(TEXT, encoding="utf-8")
    found, by_text = load_prepared(prepare("bins:mine")), load_prepared(prepare("text:a.txt"))
    assert found.tokenizer == by_text.tokenizer == CharTokenizer.train(TEXT)
    for split in ("train", "val"):
        contents = {folder / f"{split}.bin", found.path(split), by_text.path(split)}
        assert len({path.read_bytes() for path in contents}) == 1
        assert Batcher(found.path(split), 2, 8).tokens.tolist() == Batcher(by_text.path(split), 2, 8).tokens.tolist()
    for what in ("counts", "bytes", "dtype", "vocab_size"):
        assert found.manifest[what] == by_text.manifest[what]
    assert load_text("bins:mine") == TEXT
    assert found.splits == ("train", "val")
    assert full_name("bins:mine") == f"bins:{project}/mine"
    assert "mine" in find_corpus("bins:mine").about


@pytest.mark.parametrize("large", [0, 1 << 30])
def test_files_that_are_written_anew_in_their_place_change_nothing_that_was_prepared(
    project, monkeypatch, capsys, large
):
    """As nanoGPT's prepare.py does, with numpy's tofile; however large they are."""
    monkeypatch.setattr(bins, "LARGE", large)
    mine = as_nanogpt(project / "mine")
    folder = prepare("bins:mine")
    assert capsys.readouterr().err.count(" is copied, ") == (0 if large else 2)
    before = load_prepared(folder).path("train").read_bytes()
    number = (mine / "train.bin").stat().st_ino
    as_nanogpt(mine, TEXT[::-1])
    assert (mine / "train.bin").stat().st_ino == number, "it is the same file, with other ids"
    assert (mine / "train.bin").read_bytes() != before
    assert load_prepared(folder).path("train").read_bytes() == before
    assert load_text("bins:mine") == TEXT[::-1]
    assert load_prepared(prepare("bins:mine")).path("train").read_bytes() != before


def test_it_is_looked_at_once_and_again_when_it_has_changed(project, monkeypatch):
    folder = as_nanogpt(project / "mine")
    first = prepare("bins:mine")
    monkeypatch.setattr(bins.hashlib, "file_digest", lambda *args: pytest.fail("read again"))
    assert prepare(f"bins:{folder}") == first
    monkeypatch.undo()
    monkeypatch.chdir(project)
    shutil.rmtree(folder)
    as_nanogpt(folder, TEXT.replace("fox", "ox"))
    second = prepare("bins:mine")
    assert second != first
    assert load_prepared(second).path("train").read_bytes() == (folder / "train.bin").read_bytes()


def test_without_a_meta_they_are_gpt2s(project):
    pytest.importorskip("tiktoken")
    try:
        from course_lib.tokenizers import BPETokenizer

        tokenizer = BPETokenizer.gpt2()
    except CourseError as error:
        pytest.skip(f"GPT-2's vocabulary is not at hand: {error}")
    (project / "mine").mkdir()
    ids = {"train": tokenizer.encode("The quick brown fox. " * 9) + [50256], "val": tokenizer.encode("Ölaf sleeps.")}
    for part, row in ids.items():
        np.array(row, dtype=np.uint16).tofile(project / "mine" / f"{part}.bin")
    found = load_prepared(prepare("bins:mine", "gpt2"))
    assert found.tokenizer == tokenizer
    assert found.manifest["bytes"] == {p: len(tokenizer.decode(row).encode()) for p, row in ids.items()}
    with pytest.raises(CourseError, match="of a gpt2 tokenizer with 50257 tokens; what is asked for is tokenizer char"):
        prepare("bins:mine", "char")


def test_what_does_not_belong_together_is_refused(project):
    folder = as_nanogpt(project / "mine")
    with pytest.raises(CourseError, match="is split already"):
        prepare("bins:mine", val_fraction=0.2)
    with pytest.raises(CourseError, match="is split already"):
        prepare("bins:mine", test_fraction=0.1)
    with pytest.raises(CourseError, match="what is asked for is tokenizer byte"):
        prepare("bins:mine", "byte")
    with pytest.raises(CourseError, match="what is asked for is one of 2 tokens"):
        prepare("bins:mine", CharTokenizer("ab"))
    assert prepare("bins:mine", CharTokenizer.train(TEXT)) == prepare("bins:mine", "char")
    np.array([0, 99], dtype=np.uint16).tofile(folder / "val.bin")
    with pytest.raises(CourseError, match=r"val.bin holds the id 99, and its vocabulary has 31"):
        prepare("bins:mine")
    (folder / "val.bin").write_bytes(b"\0\0\0")
    with pytest.raises(CourseError, match="a byte is left over"):
        prepare("bins:mine")
    (folder / "val.bin").unlink()
    with pytest.raises(CourseError, match=r"should hold train\.bin and val\.bin"):
        prepare("bins:mine")
    with pytest.raises(CourseError, match=r"should hold train\.bin and val\.bin"):
        prepare("bins:nowhere")


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ([1], "should hold itos"),
        ({"itos": {}}, "should hold itos"),
        ({"itos": {0: "ab"}}, "one character for each id"),
        ({"itos": {0: 1}}, "one character for each id"),
        ({"itos": {1: "a"}}, "should be those from 0 to 0"),
        ({"itos": {"0": "a"}}, "should be those from 0 to 0"),
        ({"itos": {0: "a"}, "vocab_size": 2}, "should be those from 0 to 0"),
        ({"itos": {0.0: "a", 1.0: "b"}}, "should be those from 0 to 1"),
        ({"itos": {False: "a", True: "b"}}, "should be those from 0 to 1"),
        ({"itos": {0: "a"}, "vocab_size": True}, "should be those from 0 to 0"),
        ({"itos": dict(enumerate(map(chr, range(1 << 17))))}, "at most 65,536 characters.*it has 131,072"),
        ({"itos": "ab", "stoi": {}}, "should hold itos"),
        ({"itos": ["a", "b"], "stoi": {"a": 1, "b": 0}}, "stoi should say of each character"),
        ({"itos": ["a", "b"], "stoi": {"a": False, "b": True}}, "stoi should say of each character"),
        ({"itos": ["a", "b"], "stoi": {"a": 0, "b": [1]}}, "stoi should say of each character"),
        ({"itos": ["a", "b"], "stoi": [0, 1]}, "stoi should say of each character"),
        ({"itos": {0: "b", 1: "a"}}, "in Unicode order"),
        ({"itos": ["a", "a"]}, "in Unicode order"),
    ],
)
def test_a_meta_that_is_no_vocabulary_is_refused(project, meta, words):
    folder = as_nanogpt(project / "mine")
    (folder / "meta.pkl").write_bytes(pickle.dumps(meta))
    with pytest.raises(CourseError, match=words):
        prepare("bins:mine")


# Pickles --------------------------------------------------------------------------------------------------

PLAIN = [
    *(None, True, 1, 2**80, -1.5, "ö\U0001f600", b"bytes"),
    *((1, "a"), [1, [2]], {"a": {1: (2, None)}}, {1, 2}, frozenset("a")),
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_come_back(tmp_path, value, protocol):
    """But for sets, and bytes before protocol 3: older protocols ask for a function to make them."""
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol))
    asks = (isinstance(value, set | frozenset) and protocol < 4) or (isinstance(value, bytes) and protocol < 3)
    if asks:
        with pytest.raises(CourseError, match="it asks for"):
            read_plain_pickle(tmp_path / "a.pkl")
    else:
        assert read_plain_pickle(tmp_path / "a.pkl") == value


class Planted:
    def __init__(self, call: object) -> None:
        self.call = call

    def __reduce__(self) -> object:
        return self.call


def calls(marker: str) -> list[object]:
    return [(os.mkdir, (marker,)), (eval, (f"__import__('os').mkdir({marker!r})",)), (Path(marker).mkdir, ())]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("place", ["alone", "in itos", "as a key's neighbor"])
def test_a_meta_that_runs_something_is_not_run(project, protocol, number, place):
    folder = as_nanogpt(project / "mine")
    planted = Planted(calls(str(project / "planted"))[number])
    beside = {"itos": {0: "a"}, "x": [planted]}
    content = {"alone": planted, "in itos": {"itos": {0: planted}}, "as a key's neighbor": beside}
    (folder / "meta.pkl").write_bytes(pickle.dumps(content[place], protocol))
    with pytest.raises(CourseError, match="Nothing that it may hold was run"):
        prepare("bins:mine")
    assert not (project / "planted").exists()
    pickle.loads((folder / "meta.pkl").read_bytes())
    assert (project / "planted").exists(), "the trap works"


def test_nothing_is_imported_for_a_pickle(tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for content in (b"ctrap\nname\n.", b"\x80\x04\x8c\x04trap\x8c\x04name\x93.", b"(itrap\nname\n."):
        (tmp_path / "a.pkl").write_bytes(content)
        with pytest.raises(CourseError, match=r"it asks for trap\.name"):
            read_plain_pickle(tmp_path / "a.pkl")
    assert "trap" not in sys.modules


def test_damaged_pickles_are_refused_in_a_sentence(tmp_path):
    """Cut off anywhere, and with any bytes changed: a value, or a CourseError, and nothing else."""
    whole = pickle.dumps({"vocab_size": 3, "itos": dict(enumerate("abc")), "stoi": {"a": 0, "b": 1, "c": 2}})
    generator = random.Random(0)
    damaged = [whole[:n] for n in range(len(whole))]
    for _ in range(2000):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 3)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        damaged.append(bytes(content))
    for content in damaged:
        (tmp_path / "a.pkl").write_bytes(content)
        with contextlib.suppress(CourseError):
            read_plain_pickle(tmp_path / "a.pkl")
    (tmp_path / "a.pkl").write_bytes(b"")
    with pytest.raises(CourseError, match=r"cannot be read as such \(EOFError\)"):
        read_plain_pickle(tmp_path / "a.pkl")
    few_bytes_that_ask_for_much = b"\x80\x04K\x01r\xff\xff\xff\xff."  # "remember this under the number 2**32 - 1"
    (tmp_path / "a.pkl").write_bytes(few_bytes_that_ask_for_much)
    assert read_plain_pickle(tmp_path / "a.pkl") == 1
    with pytest.raises(CourseError, match="should be a pickle"):
        read_plain_pickle(tmp_path / "missing.pkl")
