"""Texts by name: the one that code writes, anyone's own file, Holmes and Shakespeare."""

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.cli import main as course
from course_lib.corpora.names import given_names
from course_lib.corpora.numbers import numbers_text, spell
from course_lib.data import datasets, load_bytes, load_prepared, load_text, prepare
from course_lib.data.datasets import CORPORA, find_corpus, full_name, short_name
from course_lib.data.opening import open_tokens
from course_lib.errors import CourseError
from course_lib.sources import SOURCES

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

# Counting in words ----------------------------------------------------------------------------------------

BY_HAND = {
    0: "zero",
    1: "one",
    10: "ten",
    13: "thirteen",
    19: "nineteen",
    20: "twenty",
    21: "twenty-one",
    40: "forty",
    99: "ninety-nine",
    100: "one hundred",
    101: "one hundred and one",
    110: "one hundred and ten",
    342: "three hundred and forty-two",
    1_000: "one thousand",
    1_001: "one thousand and one",
    1_099: "one thousand and ninety-nine",
    1_100: "one thousand one hundred",
    7_815: "seven thousand eight hundred and fifteen",
    12_000: "twelve thousand",
    100_000: "one hundred thousand",
    100_007: "one hundred thousand and seven",
    999_999: "nine hundred and ninety-nine thousand nine hundred and ninety-nine",
}


@pytest.mark.parametrize(("number", "words"), BY_HAND.items())
def test_spelling_against_a_table_written_by_hand(number, words):
    assert spell(number) == words


WORTH = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
} | {f"{stem}ty": 10 * n for n, stem in enumerate("twen thir for fif six seven eigh nine".split(), 2)}


def read_number(words):
    """From words back to the number: add what stands beside each other, multiply at hundred and thousand."""
    total = group = 0
    for word in words.replace("-", " ").replace(" and ", " ").split(" "):
        if word == "thousand":
            total, group = total + group * 1000, 0
        elif word == "hundred":
            group *= 100
        else:
            group += WORTH[word]
    return total + group


def test_every_number_is_read_back():
    for number in [*range(10_000), *range(10_000, 1_000_000, 97)]:
        assert read_number(spell(number)) == number


@steady
@given(st.integers(0, 999_999))
def test_any_number_is_read_back(number):
    assert read_number(spell(number)) == number


@pytest.mark.parametrize("number", [-1, 1_000_000])
def test_numbers_outside_are_refused(number):
    with pytest.raises(ValueError, match=f"from 0 to 999,999; it got {number}"):
        spell(number)


def test_the_text_is_runs_of_consecutive_numbers():
    for line in numbers_text(500).splitlines():
        assert line.endswith(".")
        run = [read_number(words) for words in line[:-1].split(", ")]
        assert 3 <= len(run) <= 7
        assert run == list(range(run[0], run[0] + len(run)))
        assert run[-1] < 10_000


def test_the_text_is_the_same_on_every_machine():
    text = load_text("numbers")
    assert len(text) == 1_039_473
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    assert sha256 == "6d36f6c72627b9a4c81bd7ae28d5645e3034132c525bec2c8f0aac82a5ee1337"
    assert text.startswith(numbers_text(10))  # a longer text goes on where a shorter one ends
    assert numbers_text(10, seed=1) != numbers_text(10)


# One's own file -------------------------------------------------------------------------------------------


def test_a_text_and_its_bytes(project):
    content = "Grüße\r\nan alle \U0001f600\n".encode()
    (project / "a.txt").write_bytes(content)
    for path in ("a.txt", str(project / "a.txt")):
        assert load_text(f"text:{path}") == "Grüße\nan alle \U0001f600\n"
        assert load_bytes(f"bytes:{path}") == content
    assert find_corpus("text:a.txt").tokenizer == "char"
    assert find_corpus("bytes:a.txt").tokenizer == "byte"


def test_a_path_may_hold_colons_and_a_tilde(project, monkeypatch):
    monkeypatch.setenv("HOME", str(project))
    (project / "a:b.txt").write_text("x")
    assert load_text("text:a:b.txt") == load_text("text:~/a:b.txt") == "x"


@pytest.mark.parametrize("scheme", ["text", "bytes"])
def test_a_name_that_holds_from_every_folder(project, monkeypatch, scheme):
    monkeypatch.setenv("HOME", str(project / "home"))
    assert full_name(f"{scheme}:a.txt") == full_name(f"{scheme}:b/../a.txt") == f"{scheme}:{project}/a.txt"
    assert full_name(f"{scheme}:~/a.txt") == f"{scheme}:{project}/home/a.txt"
    assert full_name(f"{scheme}:letters/*.txt") == f"{scheme}:{project}/letters/*.txt"
    assert full_name(f"{scheme}:{project}/a.txt") == f"{scheme}:{project}/a.txt"
    assert full_name(f"{scheme}:-") == f"{scheme}:-"
    assert full_name("tinytales") == "tinytales"


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("text:a.txt", "a"),
        ("text:/x/My first book.md", "My_first_book"),
        ("bytes:/x/letters", "letters"),
        ("text:/x/letters/", "letters"),
        ("text:/x/letters/*.txt", "letters"),
        ("text:/x/**/*", "x"),
        ("text:-", "stdin"),
        ("text:/x/" + 100 * "y" + ".txt", 40 * "y"),
        ("text:/x/日本 été.txt", "日本_été"),
        ("text:/x/!!.txt", "text"),
        ("tinytales", "tinytales"),
    ],
)
def test_what_a_folder_is_called_after_a_text(name, short):
    assert short_name(name) == short


@pytest.mark.parametrize("name", ["text:", "bytes:", "txt:a.txt", "shakespeare_chr", ""])
def test_an_unknown_dataset_is_told_what_there_is(name):
    with pytest.raises(CourseError, match=f"There is no dataset '{name}': .*Your own file is text:PATH or bytes:PATH"):
        load_text(name)


def test_the_nearest_dataset_is_named():
    with pytest.raises(CourseError, match="did you mean 'shakespeare_char'"):
        find_corpus("shakespear_char")


@pytest.mark.parametrize("name", CORPORA)
def test_every_corpus_says_what_it_is(name):
    assert CORPORA[name].about
    assert CORPORA[name].tokenizer in ("char", "byte", "gpt2")


# Names ----------------------------------------------------------------------------------------------------


def test_the_bundled_names_are_all_there_and_not_in_alphabetical_order(project, monkeypatch):
    """In order, the last tenth, which is kept for validation, would begin with other letters than the rest."""
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    names = load_text("names").split("\n")
    assert names.pop() == ""
    assert sorted(names) == given_names()
    first_letters = {name[0] for name in names[-len(names) // 10 :]}
    assert len(first_letters) > 20
    assert load_text("names") == load_text("names")


def test_the_full_names_come_from_their_source(project, tmp_path_factory, monkeypatch):
    mirror = tmp_path_factory.mktemp("mirror") / "names_full"
    mirror.mkdir()
    monkeypatch.setenv("COURSE_DATA", str(mirror.parent))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    with pytest.raises(CourseError, match=r"names_full is not at .*COURSE_OFFLINE=1 forbids"):
        load_text("names_full")
    content = b"emma\nolivia\n"
    (mirror / "names.txt").write_bytes(content)
    source = replace(SOURCES["names_full"], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(SOURCES, "names_full", source)
    assert load_text("names_full").split() == ["emma", "olivia"]


# Holmes ---------------------------------------------------------------------------------------------------

GUTENBERG = (
    "\ufeffThe Project Gutenberg eBook of The Adventures of Sherlock Holmes\r\n\r\nlegal words\r\n"
    "*** START OF THE PROJECT GUTENBERG EBOOK THE ADVENTURES OF SHERLOCK HOLMES ***\r\n\r\n\r\n"
    "To Sherlock Holmes she is\r\nalways _the_ woman. * * * Café.\r\n\r\n"
    "*** END OF THE PROJECT GUTENBERG EBOOK THE ADVENTURES OF SHERLOCK HOLMES ***\r\nmore legal words\r\n"
)


@pytest.fixture
def holmes(project, tmp_path_factory, monkeypatch):
    """A file such as Project Gutenberg's, in a teacher's mirror."""
    folder = tmp_path_factory.mktemp("mirror")
    monkeypatch.setenv("COURSE_DATA", str(folder))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    (folder / "holmes").mkdir()
    return folder / "holmes" / "pg1661.txt"


@pytest.mark.parametrize("gap", [" ", ""])
def test_holmes_is_the_stories_alone(holmes, gap):
    """Older editions write ``***START OF THIS``."""
    holmes.write_bytes(GUTENBERG.replace("*** START", f"***{gap}START").replace("*** END", f"***{gap}END").encode())
    assert load_text("holmes") == "To Sherlock Holmes she is\nalways _the_ woman. * * * Café.\n"


def test_a_holmes_without_its_marks_is_refused(holmes):
    holmes.write_text("It was a dark night.")
    with pytest.raises(CourseError, match="with its START and END lines; they are not there"):
        load_text("holmes")


def test_holmes_that_is_nowhere(holmes):
    with pytest.raises(CourseError, match=r"holmes is not at .*holmes/pg1661\.txt.*COURSE_OFFLINE=1"):
        load_text("holmes")


# Wikipedia ------------------------------------------------------------------------------------------------


def test_wikitext_is_both_of_its_files(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COURSE_DATA", raising=False)
    folder = project / "data" / "wikitext-2"
    folder.mkdir(parents=True)
    parts = {"valid.txt": b" = A = \n", "test.txt": " = \u00c9 = \n".encode()}
    sources = [replace(s, sha256=hashlib.sha256(parts[s.file]).hexdigest()) for s in datasets.WIKITEXT]
    monkeypatch.setattr(datasets, "WIKITEXT", sources)
    for name, content in parts.items():
        with pytest.raises(CourseError, match=rf"wikitext-2 is not at .*wikitext-2/{name}.*COURSE_OFFLINE=1"):
            load_bytes("wikitext")
        (folder / name).write_bytes(content)
    assert load_text("wikitext") == " = A = \n = \u00c9 = \n"


def test_wikitext_has_the_bytes_that_its_page_says(project: Path) -> None:
    mirror = os.environ.get("COURSE_DATA")
    if mirror is None or not (Path(mirror).expanduser() / "wikitext-2" / "valid.txt").is_file():
        pytest.skip("COURSE_DATA names no folder with wikitext-2/valid.txt")
    assert len(load_bytes("wikitext")) == 1_121_681 + 1_256_449


# enwik8 ---------------------------------------------------------------------------------------------------

XML = b"<text>\r\n\xc3\x84 \xff\x00</text>\n" * 10_000 + b"\xc3"  # line ends of two kinds, no UTF-8, half a character


@pytest.fixture
def enwik8(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in, as a zip that somebody has put there."""
    folder = project / "data" / "enwik8"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "enwik8.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("enwik8", XML)
    source = replace(SOURCES["enwik8"], sha1=hashlib.sha1(XML).hexdigest())
    monkeypatch.setitem(SOURCES, "enwik8", source)
    monkeypatch.delenv("COURSE_DATA", raising=False)
    return folder


def test_enwik8_is_read_byte_by_byte_and_block_by_block(enwik8: Path) -> None:
    corpus = find_corpus("enwik8")
    blocks = list(corpus.blocks())
    assert len(blocks) > 2
    assert b"".join(blocks) == load_bytes("enwik8") == XML
    assert (enwik8 / "enwik8").read_bytes() == XML
    with pytest.raises(CourseError, match="enwik8 is not valid UTF-8"):
        load_text("enwik8")


def test_enwik8_is_split_at_its_bytes(enwik8: Path) -> None:
    """As everybody's is: 90, 5 and 5 percent of the bytes, of which some are no characters."""
    folder = prepare("enwik8", val_fraction=0.05, test_fraction=0.05)
    n = len(XML)
    first, second = n * 90 // 100, n * 95 // 100
    parts = {"train": XML[:first], "val": XML[first:second], "test": XML[second:]}
    for split, part in parts.items():
        assert bytes(open_tokens(folder / f"{split}.bin").astype("uint8")) == part
    assert load_prepared(folder).manifest["sha256"] == hashlib.sha256(XML).hexdigest()
    with pytest.raises(CourseError, match="enwik8 is raw bytes; only the byte tokenizer reads them"):
        prepare("enwik8", "bpe")


def test_a_run_on_enwik8_is_scored_where_its_bytes_are_now(enwik8: Path, capsys: pytest.CaptureFixture) -> None:
    small = "--n-layer 1 --n-head 1 --n-embd 8 --block-size 64 --batch-size 2 --max-steps 1 --device cpu".split()
    words = ["--dataset=enwik8", "--tokenizer=auto", "--test-fraction=0.05", "--out-dir=runs/run", "--eval-batches=2"]
    assert course(["train", "tinytales_cpu", *words, *small]) == 0
    capsys.readouterr()
    assert course(["eval", "run", "--split", "test"]) == 0
    here = capsys.readouterr().out
    assert here.endswith("all of the test split of enwik8\n")
    os.rename(enwik8 / "enwik8", "moved.xml")
    (enwik8 / "enwik8.zip").unlink()
    assert course(["eval", "run", "--split", "test"]) == 2
    assert "enwik8 is not at " in capsys.readouterr().err
    assert course(["eval", "run", "--split", "test", "--dataset", "bytes:moved.xml"]) == 0
    assert capsys.readouterr().out.partition(" nats")[0] == here.partition(" nats")[0]
    assert course(["eval", "run", "--dataset", "text:moved.xml"]) == 2
    assert "--dataset text:moved.xml would read it in another way" in capsys.readouterr().err


def test_enwik8_that_is_nowhere_says_where_its_zip_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COURSE_DATA", raising=False)
    with pytest.raises(CourseError, match=r"download https://mattmahoney\.net/dc/enwik8\.zip on a machine") as caught:
        prepare("enwik8")
    assert f"and put it at {project}/data/enwik8/enwik8.zip, or" in str(caught.value)


# Shakespeare ----------------------------------------------------------------------------------------------


@pytest.fixture
def shakespeare(project):
    mirror = os.environ.get("COURSE_DATA")
    if mirror is None or not (Path(mirror).expanduser() / "tinyshakespeare" / "input.txt").is_file():
        pytest.skip("COURSE_DATA names no folder with tinyshakespeare/input.txt")
    return load_text("shakespeare_char")


def test_tiny_shakespeare_has_its_published_counts(shakespeare, project):
    """nanoGPT's data/shakespeare_char/prepare.py lists them."""
    assert len(shakespeare) == 1_115_394
    assert "".join(sorted(set(shakespeare))) == ("\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    prepared = load_prepared(prepare("shakespeare_char"))
    assert prepared.tokenizer.vocab_size == 65
    assert prepared.manifest["counts"] == {"train": 1_003_854, "val": 111_540}
