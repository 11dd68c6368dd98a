"""Prepared folders: what is in them, when they are made again, and what is refused."""

import errno
import hashlib
import json
import math
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import tracemalloc

import numpy as np
import pytest

from course_lib.corpora import tinytales
from course_lib.data import datasets, load_prepared, prepare, prepared, reading
from course_lib.data.encoding import token_dtype, write_tokens
from course_lib.data.opening import open_tokens
from course_lib.errors import CourseError
from course_lib.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, load_tokenizer
from course_lib.tokenizers.bpe import splitting

TEXT = "Ö the quick brown fox jumps over the lazy dog. " * 20
TALES = tinytales.tinytales_text(40_000, seed=3)


@pytest.fixture
def text(project):
    (project / "a.txt").write_text(TEXT, encoding="utf-8")
    return project / "a.txt"


def leftovers(project):
    """What stands in data/prepared beside whole folders."""
    folder = project / "data" / "prepared"
    return [path.name for path in folder.iterdir() if path.name.startswith(".") or not path.is_dir()]


def unpacked(path, letter):
    """The ids in a file, read without numpy: little-endian, of the width of struct's ``letter``."""
    content = path.read_bytes()
    return list(struct.unpack(f"<{len(content) // struct.calcsize(letter)}{letter}", content))


# What is in it --------------------------------------------------------------------------------------------


def test_a_folder_holds_the_ids_the_tokenizer_and_a_manifest(text, project):
    folder = prepare("text:a.txt")
    stoi = {c: i for i, c in enumerate(sorted(set(TEXT)))}
    n_train = int(len(TEXT) * 0.9)
    assert unpacked(folder / "train.bin", "H") == [stoi[c] for c in TEXT[:n_train]]
    assert unpacked(folder / "val.bin", "H") == [stoi[c] for c in TEXT[n_train:]]
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    assert tokenizer == CharTokenizer.train(TEXT)
    sha256 = hashlib.sha256(TEXT.encode()).hexdigest()
    assert json.loads((folder / "manifest.json").read_text()) == {
        "format": "course_lib tokens",
        "version": 1,
        "corpus": "text:a.txt",
        "sha256": sha256,
        "tokenizer": tokenizer.fingerprint(),
        "vocab_size": len(stoi),
        "dtype": "uint16",
        "val_fraction": 0.1,
        "counts": {"train": n_train, "val": len(TEXT) - n_train},
        "bytes": {"train": len(TEXT[:n_train].encode()), "val": len(TEXT[n_train:].encode())},
    }
    assert folder == project / "data" / "prepared" / f"text-a-{sha256[:8]}-{tokenizer.fingerprint()}-val0.1"
    assert {path.name for path in folder.iterdir()} == {"train.bin", "val.bin", "tokenizer.json", "manifest.json"}
    assert leftovers(project) == []


def test_opened_it_gives_back_the_text(text):
    opened = load_prepared(prepare("text:a.txt"))
    ids = [open_tokens(opened.path(split)) for split in ("train", "val")]
    assert all(isinstance(row, np.memmap) for row in ids)
    assert "".join(opened.tokenizer.decode(row) for row in ids) == TEXT
    n = {split: opened.manifest["counts"][split] for split in ("train", "val")}
    total = sum(opened.bytes_per_token(split) * n[split] for split in n)
    assert math.isclose(total, len(TEXT.encode()))
    assert opened.bytes_per_token("train") > 1  # one letter of two bytes is in it


@pytest.mark.parametrize(("val_fraction", "n_val"), [(0.1, 100), (0.25, 250), (0.5, 500), (0.999, 999), (0.0001, 1)])
def test_the_split_is_at_the_end(project, val_fraction, n_val):
    (project / "a.txt").write_text("".join(chr(0x4E00 + i) for i in range(1000)), encoding="utf-8")
    folder = prepare("text:a.txt", val_fraction=val_fraction)
    assert unpacked(folder / "val.bin", "H") == list(range(1000 - n_val, 1000))


@pytest.mark.parametrize("val_fraction", [0, 1, 1.5, -0.1])
def test_a_split_that_is_no_share_is_refused(text, val_fraction):
    with pytest.raises(CourseError, match="val_fraction should be above 0 and below 1"):
        prepare("text:a.txt", val_fraction=val_fraction)


def test_ids_are_two_bytes_wide_up_to_65536_and_four_above(project):
    assert [token_dtype(n).itemsize for n in (1, 256, 65_536, 65_537, 100_000)] == [2, 2, 2, 4, 4]
    points = [*range(1, 0xD800), *range(0xE000, 0x10FFFF)]  # every one but the surrogates, and BOM at the start
    points.remove(ord("\r"))  # a line end, and read as one
    for n, letter, dtype in ((65_536, "H", "uint16"), (65_537, "I", "uint32")):
        (project / "a.txt").write_text("".join(map(chr, points[:n])), encoding="utf-8", newline="")
        opened = load_prepared(prepare("text:a.txt"))
        assert opened.manifest["dtype"] == dtype
        ids = [i for split in ("train", "val") for i in unpacked(opened.path(split), letter)]
        assert ids == list(range(n))
        assert open_tokens(opened.path("val"))[-1] == n - 1


def test_raw_bytes(project):
    content = bytes(range(256)) * 4
    (project / "a.bin").write_bytes(content)
    folder = prepare("bytes:a.bin")
    assert bytes(unpacked(folder / "train.bin", "H") + unpacked(folder / "val.bin", "H")) == content
    assert load_prepared(folder).bytes_per_token("val") == 1
    for tokenizer in ("char", CharTokenizer("ab")):
        with pytest.raises(CourseError, match="only the byte tokenizer reads them"):
            prepare("bytes:a.bin", tokenizer)


def test_the_tokenizer_can_be_chosen(text):
    by_bytes = load_prepared(prepare("text:a.txt", "byte"))
    assert by_bytes.tokenizer == ByteTokenizer()
    assert sum(by_bytes.manifest["counts"].values()) == len(TEXT.encode())
    assert prepare("text:a.txt", "auto") == prepare("text:a.txt", "char") != by_bytes.folder
    with pytest.raises(CourseError, match="should be 'auto', 'char', 'byte', 'bpe', 'gpt2' or a Tokenizer; it is 'x'"):
        prepare("text:a.txt", "x")


@pytest.mark.filterwarnings("ignore:The text has only")
def test_byte_pairs_are_learned_once_from_the_training_part_alone(text, monkeypatch):
    folder = prepare("text:a.txt", "bpe", bpe_vocab_size=300)
    prepared = load_prepared(folder)
    cut = int(len(TEXT) * 0.9)
    assert prepared.tokenizer == BPETokenizer.train(TEXT[:cut], 300)
    val = np.fromfile(prepared.path("val"), dtype=prepared.manifest["dtype"])
    assert prepared.tokenizer.decode(val) == TEXT[cut:]
    assert prepared.manifest["bpe_vocab_size"] == 300
    assert prepared.bytes_per_token("val") == len(TEXT[cut:].encode()) / len(val)
    assert prepare("text:a.txt", prepared.tokenizer) == folder  # as a resumed run asks for it
    monkeypatch.setattr(BPETokenizer, "train", None)
    assert prepare("text:a.txt", "bpe", bpe_vocab_size=300) == folder
    with pytest.raises(TypeError):  # another size, another split, another text have to be learned
        prepare("text:a.txt", "bpe", bpe_vocab_size=301)
    with pytest.raises(TypeError):
        prepare("text:a.txt", "bpe", 0.2, bpe_vocab_size=300)


def test_raw_bytes_take_no_tokenizer_of_texts(text):
    for kind in ("char", "bpe", "gpt2"):
        with pytest.raises(CourseError, match="only the byte tokenizer reads them"):
            prepare("bytes:a.txt", kind)


def test_a_tokenizer_of_another_text(text):
    narrow = CharTokenizer.train(TEXT.replace("Ö", ""))
    with pytest.raises(CourseError, match=r"'Ö'.*at position 0 "):
        prepare("text:a.txt", narrow)
    skipping = load_prepared(prepare("text:a.txt", narrow.with_unknown("")))
    replacing = load_prepared(prepare("text:a.txt", narrow.with_unknown("x")))
    assert skipping.folder != replacing.folder
    assert sum(skipping.manifest["counts"].values()) == len(TEXT) - 20
    assert sum(replacing.manifest["counts"].values()) == len(TEXT)
    with pytest.raises(CourseError, match="'Ö'"):  # what was prepared with a policy does not serve without one
        prepare("text:a.txt", narrow)


def test_an_own_data_folder(text, tmp_path):
    assert prepare("text:a.txt", data=tmp_path / "elsewhere").parent == tmp_path / "elsewhere" / "prepared"
    assert not (tmp_path / "data").exists()


# Block by block -------------------------------------------------------------------------------------------


def tokenizers():
    learned = BPETokenizer.train(TALES, 400, ["<|end|>"])
    return {"char": CharTokenizer.train(TALES + "Öé中🎈<|>"), "byte": ByteTokenizer(), "bpe": learned}


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_blocks_of_any_size_give_the_ids_of_the_parts_as_wholes(project, monkeypatch, kind):
    """Blocks of a file end anywhere: inside a character, between CR and LF, at the place where validation begins."""
    chance = random.Random(0)
    tokenizer = tokenizers()[kind]
    for _ in range(40):
        words = [*TALES[:300].split(), "Öé中🎈" * 3, "  ", "\r\n", "\n \n", "<|end|>", "中" * 30]
        content = "".join(chance.choice(words) + chance.choice(["", " "]) for _ in range(chance.randint(1, 60)))
        text = content.replace("\r\n", "\n")
        (project / "a.txt").write_bytes(content.encode())
        monkeypatch.setattr(reading, "BLOCK", chance.choice([4, 5, 7, 16, 100]))
        monkeypatch.setattr(splitting, "BLOCK", chance.choice([1, 9, 40]))
        val_fraction = chance.choice([0.1, 0.5, 0.9])
        folder = prepare("text:a.txt", tokenizer, val_fraction)
        cut = int(len(text) * (1 - val_fraction))
        for split, part in {"train": text[:cut], "val": text[cut:]}.items():
            assert unpacked(folder / f"{split}.bin", "H") == tokenizer.encode(part)
            assert load_prepared(folder).manifest["bytes"][split] == len(part.encode())
        assert load_prepared(folder).manifest["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_files_are_the_same_whatever_the_number_of_processes(project, monkeypatch):
    (project / "a.txt").write_text(TALES, encoding="utf-8")
    monkeypatch.setattr(splitting, "BLOCK", 3000)
    alone, shared = (prepare("text:a.txt", "bpe", data=f"by {n}", bpe_vocab_size=400, processes=n) for n in (1, 2))
    assert alone.name == shared.name
    assert files_of(alone) == files_of(shared)


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_memory_does_not_grow_with_the_text(project, kind):
    """Ten times the text, of the same words, takes no more than a third of what it is longer."""
    prepare("numbers", "byte")  # what the first call imports
    peaks = []
    for times in (10, 100):
        (project / f"{times}.txt").write_text(TALES[:30_000] * times, encoding="utf-8")
        tracemalloc.start()
        prepare(f"text:{times}.txt", kind, bpe_vocab_size=300)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 900_000  # the text is 3 MB, its ids are 1 to 6


@pytest.mark.parametrize("where", [0, 70_000, 140_000, 199_999])
def test_the_position_of_an_unknown_character_is_that_in_the_text(project, where):
    text = "ab" * 100_000
    (project / "a.txt").write_text(text[:where] + "Ö" + text[where + 1 :], encoding="utf-8")
    with pytest.raises(CourseError, match=rf"'Ö'.* at position {where} "):
        prepare("text:a.txt", CharTokenizer("ab"))
    assert list((project / "data" / "prepared").iterdir()) == []


def test_a_text_that_changes_while_it_is_read_is_refused(text, project, monkeypatch):
    """Between the reading that tells its sha256 and the one that is written down."""

    def changing(*args):
        text.write_text(TEXT.replace("fox", "cat"), encoding="utf-8")
        return write_tokens(*args)

    monkeypatch.setattr(prepared, "write_tokens", changing)
    with pytest.raises(CourseError, match=r"text:a\.txt has changed while it was read"):
        prepare("text:a.txt")
    assert list((project / "data" / "prepared").iterdir()) == []


def test_an_interruption_between_blocks_leaves_nothing_behind(project, monkeypatch):
    (project / "a.txt").write_text(TALES, encoding="utf-8")
    encode, calls = CharTokenizer.encode_array, []

    def interrupt_the_second(self, block, start=0):
        calls.append(start)
        if len(calls) == 2:
            written = list((project / "data" / "prepared").glob(".*/new/train.bin"))
            assert len(written) == 1
            raise KeyboardInterrupt
        return encode(self, block, start)

    monkeypatch.setattr(reading, "BLOCK", 10_000)
    monkeypatch.setattr(CharTokenizer, "encode_array", interrupt_the_second)
    with pytest.raises(KeyboardInterrupt):
        prepare("text:a.txt")
    assert list((project / "data" / "prepared").iterdir()) == []


# When it is made again ------------------------------------------------------------------------------------


def identity(folder):
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_a_second_call_finds_the_folder_and_writes_nothing(text):
    folder = prepare("text:a.txt")
    before = identity(folder)
    assert prepare("text:a.txt") == folder
    assert identity(folder) == before


def test_another_split_is_another_folder(text, project):
    first, second = prepare("text:a.txt"), prepare("text:a.txt", val_fraction=0.25)
    assert (first.name[-7:], second.name[-8:]) == ("-val0.1", "-val0.25")
    assert load_prepared(second).manifest["counts"]["val"] == len(TEXT) // 4
    assert load_prepared(first).manifest["val_fraction"] == 0.1  # it is still there
    assert leftovers(project) == []


def test_files_of_one_name_do_not_collide(text, project):
    first = prepare("text:a.txt")
    (project / "b").mkdir()
    (project / "b" / "a.txt").write_text(TEXT[::-1], encoding="utf-8")
    assert prepare("text:b/a.txt") != first
    assert load_prepared(first).manifest["corpus"] == "text:a.txt"


def test_a_corpus_whose_text_has_changed_is_prepared_again(project, monkeypatch):
    """Same name, same characters, and so the same folder; another order."""
    content = TEXT.encode()
    monkeypatch.setitem(datasets.CORPORA, "numbers", datasets.Corpus(lambda: content, "char", "a stand-in"))
    folder = prepare("numbers")
    content = TEXT[::-1].encode()
    assert prepare("numbers") == folder
    opened = load_prepared(folder)
    assert opened.manifest["sha256"] == hashlib.sha256(content).hexdigest()
    assert opened.tokenizer.decode(open_tokens(opened.path("train"))) == TEXT[::-1][: int(len(TEXT) * 0.9)]


def change_manifest(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest = {key: value for key, value in (manifest | changes).items() if value != "gone"}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def cut(path, by):
    path.write_bytes(path.read_bytes()[:-by])


def extend(path, by):
    path.write_bytes(path.read_bytes() + bytes(by))


DAMAGE = {
    "cut off by an id": (lambda f: cut(f / "train.bin", 2), "does not fit its manifest.*cut off or replaced"),
    "cut off by a byte": (lambda f: cut(f / "val.bin", 1), "does not fit its manifest"),
    "empty": (lambda f: (f / "val.bin").write_bytes(b""), "it has 0"),
    "a byte too many": (lambda f: extend(f / "train.bin", 1), "does not fit its manifest"),
    "an id too many": (lambda f: extend(f / "train.bin", 2), "does not fit its manifest"),
    "another width": (lambda f: change_manifest(f, dtype="uint32"), "ids of uint32 take"),
    "an unknown width": (lambda f: change_manifest(f, dtype="float32"), "not a manifest"),
    "other counts": (lambda f: change_manifest(f, counts={"train": 1, "val": 1}), "does not fit its manifest"),
    "counts that are no numbers": (lambda f: change_manifest(f, counts={"train": "1", "val": 1}), "not a manifest"),
    "no counts": (lambda f: change_manifest(f, counts="gone"), "not a manifest"),
    "no sha256": (lambda f: change_manifest(f, sha256="gone"), "not a manifest"),
    "another format": (lambda f: change_manifest(f, format="other"), "not a manifest"),
    "no ids at all": (lambda f: change_manifest(f, vocab_size=0), "not a manifest"),
    "no JSON": (lambda f: (f / "manifest.json").write_text("{"), "not a manifest"),
    "a JSON list": (lambda f: (f / "manifest.json").write_text("[]"), "not a manifest"),
    "no UTF-8": (lambda f: (f / "manifest.json").write_bytes(b"\xff"), "not a manifest"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "no prepared folder.*course prepare"),
    "no ids": (lambda f: (f / "train.bin").unlink(), r"train\.bin is missing. Prepare the data again"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer file"),
    "a damaged tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "not a tokenizer file"),
    "another tokenizer": (lambda f: CharTokenizer("ab").save(f / "tokenizer.json"), "with another tokenizer than"),
    "no folder": (shutil.rmtree, "no prepared folder"),
    "a file in its place": (lambda f: (shutil.rmtree(f), f.touch()), "no prepared folder"),
}


@pytest.mark.parametrize(("damage", "complaint"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder_is_refused(text, damage, complaint):
    folder = prepare("text:a.txt")
    damage(folder)
    with pytest.raises(CourseError, match=complaint):
        load_prepared(folder)


@pytest.mark.parametrize(("damage", "complaint"), list(DAMAGE.values())[:-1], ids=list(DAMAGE)[:-1])
def test_a_damaged_folder_is_prepared_again(text, project, damage, complaint):
    folder = prepare("text:a.txt")
    damage(folder)
    assert prepare("text:a.txt") == folder
    opened = load_prepared(folder)
    assert opened.tokenizer.decode(open_tokens(opened.path("val"))) == TEXT[int(len(TEXT) * 0.9) :]
    assert leftovers(project) == []


def test_a_file_that_the_manifest_does_not_know(text):
    folder = prepare("text:a.txt")
    shutil.copy(folder / "val.bin", folder / "test.bin")
    shutil.copy(folder / "val.bin", folder / "val.npy")
    for name in ("test.bin", "val.npy"):
        with pytest.raises(CourseError, match=rf"knows train\.bin, val\.bin; not {name}"):
            open_tokens(folder / name)
    shutil.copy(folder / "val.bin", text.with_name("val.bin"))
    with pytest.raises(CourseError, match=r"no prepared folder: it has no manifest\.json"):
        open_tokens(text.with_name("val.bin"))


# Disks that refuse ----------------------------------------------------------------------------------------


def failing(number):
    def fail(*args, **kwargs):
        raise OSError(number, {errno.ENOSPC: "No space left on device", errno.EACCES: "Permission denied"}[number])

    return fail


def test_a_folder_without_write_permission(text, project, monkeypatch):
    monkeypatch.setattr(tempfile, "mkdtemp", failing(errno.EACCES))
    with pytest.raises(CourseError, match=r"Cannot write to .*prepared: Permission denied\. Check its permissions"):
        prepare("text:a.txt")
    assert leftovers(project) == []


def test_a_file_where_the_folder_should_be(text, project):
    (project / "data").mkdir()
    (project / "data" / "prepared").touch()
    with pytest.raises(CourseError, match=r"Cannot write to .*prepared: "):
        prepare("text:a.txt")


@pytest.mark.parametrize("point", ["the tokenizer's file", "the last move"])
def test_a_full_disk(text, project, monkeypatch, point):
    where = {"the tokenizer's file": (CharTokenizer, "save"), "the last move": (prepared.os, "replace")}
    with monkeypatch.context() as patch:
        patch.setattr(*where[point], failing(errno.ENOSPC))
        with pytest.raises(CourseError, match=r"Cannot write .*: No space left on device\. Free some disk space"):
            prepare("text:a.txt")
        assert list((project / "data" / "prepared").iterdir()) == []
    load_prepared(prepare("text:a.txt"))


def test_a_full_disk_leaves_what_was_there(text, project, monkeypatch):
    folder = prepare("text:a.txt")
    change_manifest(folder, sha256="of another text")
    before = identity(folder)
    monkeypatch.setattr(CharTokenizer, "save", failing(errno.ENOSPC))
    with pytest.raises(CourseError, match="No space left"):
        prepare("text:a.txt")
    assert identity(folder) == before
    assert leftovers(project) == []


def test_a_file_that_the_system_cuts_short(project):
    """A real limit, in a process of its own: numpy then raises an OSError that has no words of its own."""
    pytest.importorskip("resource")
    code = """
import pathlib, resource, signal
from course_lib.data import prepare
from course_lib.errors import CourseError
pathlib.Path("a.txt").write_text("ab" * 50_000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
try:
    prepare("text:a.txt")
except CourseError as error:
    print(error)
    print(list(pathlib.Path("data/prepared").iterdir()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    message, rest = done.stdout.splitlines()
    assert message.startswith("Cannot write ")
    assert "None" not in message
    assert "Free some disk space" in message
    assert rest == "[]"


def test_an_interruption_leaves_nothing_behind(text, project, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(CharTokenizer, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare("text:a.txt")
    assert list((project / "data" / "prepared").iterdir()) == []
