"""Training, validation and test part: joined they are the text, and without a test part all is as it was."""

import hashlib
import json
import random
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from course_lib.config import DataConfig
from course_lib.corpora import tinytales
from course_lib.data import load_prepared, prepare, prepared_for, reading
from course_lib.data.opening import open_tokens
from course_lib.data.streams import Stream
from course_lib.errors import CourseError
from course_lib.recipes.build import too_short
from course_lib.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer
from course_lib.tokenizers.bpe import splitting

steady = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
TALES = tinytales.tinytales_text(40_000, seed=3)
SPLITS = ("train", "val", "test")


def written(text: str, name: str = "a.txt") -> str:
    Path(name).write_bytes(text.encode())
    return f"text:{name}"


def ids_of(folder: Path, split: str) -> list[int]:
    """Read without the library: little-endian numbers of two bytes."""
    content = (folder / f"{split}.bin").read_bytes()
    return list(struct.unpack(f"<{len(content) // 2}H", content))


# Where the parts lie ---------------------------------------------------------------------------------------


@steady
@given(st.integers(1, 3000), st.floats(0.001, 0.999), st.floats(0, 0.998))
def test_the_parts_joined_are_the_text(project: Path, length: int, val: float, test: float) -> None:
    """In order, none lost and none twice; the shares are those asked for, to within a character at each cut."""
    assume(val + test < 1)
    text = "".join(chr(0x4E00 + i) for i in range(length))
    stream = Stream(written(text))
    parts = stream.parts(val, test)
    assert list(parts) == list(SPLITS[: 3 if test else 2])
    assert "".join("".join(stream.texts(*place)) for place in parts.values()) == text
    sizes = {split: (length if end is None else end) - start for split, (start, end) in parts.items()}
    assert sum(sizes.values()) == length
    assert min(sizes.values()) >= 0
    assert abs(sizes["val"] - val * length) <= 1 + 1e-9
    assert abs(sizes.get("test", 0) - test * length) <= 1 + 1e-9


@steady
@given(st.integers(0, 10**9), st.floats(0.0001, 0.9999))
def test_without_a_test_part_the_cut_is_where_it_was(project: Path, length: int, val: float) -> None:
    stream = Stream(written("some text"))
    stream.length = length
    assert (
        stream.parts(val)
        == stream.parts(val, 0.0)
        == {"train": (0, int(length * (1 - val))), "val": (int(length * (1 - val)), None)}
    )


@steady
@given(st.integers(0, 10**9), st.integers(1, 999), st.integers(1, 999))
def test_with_one_the_cuts_are_where_whole_numbers_say(project: Path, length: int, val: int, test: int) -> None:
    """In thousandths. Float numbers miss it: 1 - 0.05 - 0.05 is less than 0.9, and so is 1 - (0.25 + 0.05) than 0.7."""
    assume(val + test < 1000)
    stream = Stream(written("some text"))
    stream.length = length
    first, second = length * (1000 - val - test) // 1000, length * (1000 - test) // 1000
    expected = {"train": (0, first), "val": (first, second), "test": (second, None)}
    assert stream.parts(val / 1000, test / 1000) == expected


def test_the_usual_split_of_a_hundred_million_bytes(project: Path) -> None:
    """90, 5 and 5 million."""
    stream = Stream(written("some text"))
    stream.length = 100_000_000
    parts = stream.parts(0.05, 0.05)
    assert parts == {"train": (0, 90_000_000), "val": (90_000_000, 95_000_000), "test": (95_000_000, None)}


# Prepared --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_the_files_joined_are_the_text_whatever_the_blocks(project: Path, monkeypatch, kind: str) -> None:
    """Blocks of a file end anywhere: inside a character, between CR and LF, at the two cuts."""
    chance = random.Random(1)
    made = {
        "char": CharTokenizer.train(TALES + "Öé中🎈<|>"),
        "byte": ByteTokenizer(),
        "bpe": BPETokenizer.train(TALES, 400),
    }
    tokenizer = made[kind]
    for _ in range(25):
        words = [*TALES[:300].split(), "Öé中🎈" * 3, "  ", "\r\n", "\n \n", "中" * 30]
        content = "".join(chance.choice(words) + chance.choice(["", " "]) for _ in range(chance.randint(1, 60)))
        text = content.replace("\r\n", "\n")
        monkeypatch.setattr(reading, "BLOCK", chance.choice([4, 5, 7, 16, 100]))
        monkeypatch.setattr(splitting, "BLOCK", chance.choice([1, 9, 40]))
        val, test = chance.choice([(100, 100), (50, 500), (600, 10), (1, 990)])
        folder = prepare(written(content), tokenizer, val / 1000, test_fraction=test / 1000)
        cuts = [0, len(text) * (1000 - val - test) // 1000, len(text) * (1000 - test) // 1000, len(text)]
        manifest = load_prepared(folder).manifest
        for split, start, end in zip(SPLITS, cuts, cuts[1:]):
            assert ids_of(folder, split) == tokenizer.encode(text[start:end])
            assert manifest["bytes"][split] == len(text[start:end].encode())
            assert manifest["counts"][split] == len(tokenizer.encode(text[start:end]))


def test_a_folder_with_a_test_part(project: Path) -> None:
    name = written(TALES)
    sha256 = hashlib.sha256(TALES.encode()).hexdigest()
    folder = prepare(name, "byte", 0.05, test_fraction=0.05)
    assert folder.name == f"text-a-{sha256[:8]}-{ByteTokenizer().fingerprint()}-val0.05-test0.05"
    assert {path.name for path in folder.iterdir()} == {
        *(f"{s}.bin" for s in SPLITS),
        "tokenizer.json",
        "manifest.json",
    }
    n = len(TALES)
    first, second = n * 90 // 100, n * 95 // 100
    sizes = {"train": first, "val": second - first, "test": n - second}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["val_fraction"], manifest["test_fraction"]) == (0.05, 0.05)
    assert manifest["counts"] == manifest["bytes"] == sizes
    opened = load_prepared(folder)
    assert opened.splits == SPLITS
    assert opened.bytes_per_token("test") == 1
    assert len(open_tokens(opened.path("test"))) == sizes["test"]
    assert prepared_for(DataConfig(name, "byte", val_fraction=0.05, test_fraction=0.05)).folder == folder


def test_without_a_test_part_a_folder_says_nothing_of_one(project: Path) -> None:
    """Folders from before there were any serve as they are."""
    name = written(TALES)
    folder = prepare(name, "byte")
    assert folder.name.endswith("-val0.1")
    assert "test" not in (folder / "manifest.json").read_text()
    assert not (folder / "test.bin").exists()
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}
    assert prepare(name, "byte", test_fraction=0) == prepared_for(DataConfig(name, "byte")).folder == folder
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()} == before
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"test_fraction": 0.0}))
    assert load_prepared(folder).splits == ("train", "val")  # a zero that is written down is no part either


def test_another_test_part_is_another_folder(project: Path) -> None:
    name = written(TALES)
    folders = {prepare(name, "byte", val, test_fraction=test) for val in (0.1, 0.2) for test in (0, 0.1, 0.2)}
    assert len(folders) == 6
    # Two shares of one name (it has six digits): what is there is another split, and is made again.
    first = prepare(name, "byte", test_fraction=0.3)
    assert prepare(name, "byte", test_fraction=0.3 + 1e-7) == first
    assert load_prepared(first).manifest["test_fraction"] == 0.3 + 1e-7


@pytest.mark.filterwarnings("ignore:The text has only")
def test_byte_pairs_are_learned_from_the_training_part_alone(project: Path, monkeypatch) -> None:
    """What stands in the other parts may be anything: the pairs stay the same."""
    n = 9_100
    text = TALES[:n] + "xyzzy " * 166 + "plugh " * 166
    folder = prepare(written(text), "bpe", 0.09, test_fraction=0.09, bpe_vocab_size=300)
    tokenizer = load_prepared(folder).tokenizer
    cut = len(text) * 82 // 100
    assert cut <= n
    assert tokenizer == BPETokenizer.train(text[:cut], 300)
    assert not {b"xy", b"zz", b"pl", b"ug"} & set(tokenizer.vocab.values())
    monkeypatch.setattr(BPETokenizer, "train", None)
    assert prepare(written(text), "bpe", 0.09, test_fraction=0.09, bpe_vocab_size=300) == folder  # learned once
    for shares in ({"val_fraction": 0.09}, {"val_fraction": 0.09, "test_fraction": 0.05}):
        with pytest.raises(TypeError):
            prepare(written(text), "bpe", bpe_vocab_size=300, **shares)


def test_a_character_that_only_the_test_part_has_can_be_read(project: Path) -> None:
    opened = load_prepared(prepare(written("ab" * 100 + "Ö" * 20), "char", test_fraction=0.05))
    assert opened.tokenizer.vocab_size == 3


def test_the_files_are_the_same_whatever_the_number_of_processes(project: Path, monkeypatch) -> None:
    name = written(TALES)
    monkeypatch.setattr(splitting, "BLOCK", 3000)
    alone, shared = (
        prepare(name, "bpe", data=f"by {n}", bpe_vocab_size=400, processes=n, test_fraction=0.2) for n in (1, 2)
    )
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (alone, shared)]
    assert files[0] == files[1]
    assert "test.bin" in files[0]


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_memory_does_not_grow_with_the_text(project: Path, kind: str) -> None:
    prepare("numbers", "byte")  # what the first call imports
    peaks = []
    for times in (10, 100):
        name = written(TALES[:30_000] * times, f"{times}.txt")
        tracemalloc.start()
        prepare(name, kind, bpe_vocab_size=300, test_fraction=0.4)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 900_000  # the text is 3 MB, its ids are 1 to 6


@pytest.mark.parametrize("split", SPLITS)
def test_a_damaged_part_is_refused_and_prepared_again(project: Path, split: str) -> None:
    name = written(TALES)
    folder = prepare(name, "byte", test_fraction=0.1)
    whole = (folder / f"{split}.bin").read_bytes()
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(whole[:-2])):
        damage(folder / f"{split}.bin")
        with pytest.raises(CourseError, match=r"Prepare the data again|does not fit its manifest"):
            load_prepared(folder)
        assert prepare(name, "byte", test_fraction=0.1) == folder
        assert (folder / f"{split}.bin").read_bytes() == whole


@pytest.mark.parametrize(("val", "test"), [(0.1, -0.1), (0.1, 1), (0.5, 0.5), (0.9, 0.2)])
def test_shares_that_are_none_are_refused(project: Path, val: float, test: float) -> None:
    with pytest.raises(CourseError, match="test_fraction should"):
        prepare(written(TALES), "byte", val, test_fraction=test)
    assert not (project / "data").exists()


# Too short -------------------------------------------------------------------------------------------------


@steady
@given(st.integers(2, 3000), st.integers(1, 40), st.integers(1, 98), st.integers(0, 98))
def test_what_is_advised_for_a_part_that_is_too_short_helps(length: int, block_size: int, val: int, test: int) -> None:
    """A share for validation, or for testing, with which all parts are long enough; or none is named."""
    assume(val + test < 100)
    stream = object.__new__(Stream)
    stream.length = length

    def counts(val: float, test: float) -> dict[str, int]:
        parts = stream.parts(val, test)
        return {split: (length if end is None else end) - start for split, (start, end) in parts.items()}

    given = counts(val / 100, test / 100)
    for split, count in given.items():
        if count > block_size:
            continue
        message = str(too_short(split, "a text", given, block_size))
        assert f"The {split} split of a text is too short: it has {count} tokens" in message
        words = message.split("Use ")[1].split()
        if words[0] == "--test-fraction":
            assert split == "test"
            better = counts(val / 100, float(words[1].strip(".,")))
            assert min(better["test"], better["train"]) > block_size
        elif words[0] == "--val-fraction":
            better = counts(float(words[1].strip(".,")), test / 100)
            assert min(better["val"], better["train"]) > block_size
        else:
            assert words[0] in ("a", "--block-size")
