"""Files to text: several at once, standard input, marks and line ends, and what is no text."""

import bz2
import gzip
import io
import lzma
import random
import sys
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.data import load_bytes, load_text, reading
from course_lib.data.reading import find_files, read_text, to_text
from course_lib.errors import CourseError

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
LATIN = "It was the best of times, it was the worst of times.\n" * 4


def refusal(content, name="a.txt"):
    with pytest.raises(CourseError) as caught:
        to_text(content, name)
    return str(caught.value)


# Marks and line ends --------------------------------------------------------------------------------------


@steady
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_text_is_read_as_python_reads_it(text):
    """Python's own universal newlines and utf-8-sig."""
    content = text.encode()
    if not reading._unmarked(content) and not any(content.startswith(start) for start, _, _ in reading._KINDS):
        assert to_text(content, "a") == io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()


def test_a_byte_order_mark_is_no_part_of_a_text(project):
    (project / "a.txt").write_bytes(b"\xef\xbb\xbfab")
    assert load_text("text:a.txt") == "ab"
    assert load_bytes("bytes:a.txt") == b"\xef\xbb\xbfab"


def test_line_ends_of_all_systems(project):
    (project / "a.txt").write_bytes(b"unix\nwindows\r\nold mac\rboth\r\n\r\r\n")
    assert load_text("text:a.txt") == "unix\nwindows\nold mac\nboth\n\n\n"


# What is no text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "byte", "position", "line"),
    [
        (b"\xfe", "fe", 0, 1),
        (b"one\ntwo\ncaf\xe9 three\n", "e9", 11, 3),
        (b"ab\n\xe2\x82", "e2", 3, 2),  # a character cut off at the end
        (b"\xef\xbb\xbfab\n\xff", "ff", 6, 2),  # places are those of the file, its mark counted
    ],
)
def test_invalid_utf8_is_named_with_its_place(project, content, byte, position, line):
    (project / "a.txt").write_bytes(content)
    assert content[position] == int(byte, 16)
    with pytest.raises(CourseError) as caught:
        load_text("text:a.txt")
    message = str(caught.value)
    assert f"text:a.txt is not valid UTF-8: byte 0x{byte} at position {position} (line {line})." in message
    assert load_bytes("bytes:a.txt") == content


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [LATIN, LATIN.replace("best", "größten"), "Ж" + LATIN, "x\n"])
def test_utf16_and_utf32_are_named_with_and_without_a_mark(encoding, text):
    message = refusal(text.encode(encoding))
    assert encoding.split("-le")[0].split("-be")[0].upper() in message
    assert "iconv -f UTF-" in message
    if encoding[-3:] in ("-le", "-be"):
        assert encoding.upper().replace("-LE", "LE").replace("-BE", "BE") in message


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_utf16_in_another_script_is_at_least_refused(name):
    assert "is not valid UTF-8" in refusal(("日本語のテキスト。" * 9).encode(name))


@steady
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_a_few_nul_characters_make_no_utf16(text):
    content = (text.replace("\0", "") * 3 + "\0\0").encode()
    if content.count(0) < 0.3 * len(content) and not any(content.startswith(k) for k, _, _ in reading._KINDS):
        assert "\0" in to_text(content, "a")


def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (gzip.compress(LATIN.encode()), "a gzip archive"),
        (bz2.compress(LATIN.encode()), "a bzip2 archive"),
        (lzma.compress(LATIN.encode()), "an xz archive"),
        (zipped(LATIN), "a zip archive"),
        (b"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n", "a PDF"),
        (rb"{\rtf1\ansi It was the best of times.}", "RTF"),
    ],
    ids=["gzip", "bzip2", "xz", "zip", "PDF", "RTF"],  # the bytes hold the time
)
def test_what_is_brought_instead_of_a_text_is_named(content, what):
    message = refusal(content, "my file")
    assert message.startswith(f"my file is {what}")
    assert "not a text in UTF-8. " in message


@pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "shift_jis", "big5", "euc_kr", "koi8_r"])
def test_a_text_in_another_encoding_gets_its_remedy(encoding):
    text = {"cp1252": "Un café", "cp1251": "Привет", "koi8_r": "Привет", "euc_kr": "안녕하세요"}.get(encoding, "日本")
    assert "iconv -f ENCODING -t UTF-8 FILE > NEW" in refusal(text.encode(encoding))


def test_what_has_control_characters_is_no_text():
    message = refusal(bytes(range(256)) * 4)
    assert "It is no text" in message
    assert "bytes:PATH" in message


# Several files --------------------------------------------------------------------------------------------


@pytest.fixture
def letters(project):
    folder = project / "letters"
    for name, content in {
        "b.txt": b"second\r\n\r\n",
        "a.txt": b"\xef\xbb\xbffirst",
        "deep/er/c.txt": b"\nfourth\n",
        "c.md": b"third\n",
        "empty.txt": b"",
        ".hidden/x.txt": b"\xff",
        ".DS_Store": b"\x00\xff",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("letters", "first\n\nsecond\n\nthird\n\nfourth\n"),
        ("letters/", "first\n\nsecond\n\nthird\n\nfourth\n"),
        ("letters/*.txt", "first\n\nsecond\n"),
        ("letters/[ab].*", "first\n\nsecond\n"),
        ("letters/**/*.txt", "first\n\nsecond\n\nfourth\n"),
        ("letters/c.*", "third\n"),  # one file alone is as it is
        ("letters/deep/er/*", "\nfourth\n"),
    ],
)
def test_folders_and_patterns(letters, path, expected):
    assert load_text(f"text:{path}") == expected


def test_the_bytes_of_several_files_have_nothing_between_them(letters):
    assert load_bytes("bytes:letters/*.txt") == b"\xef\xbb\xbffirstsecond\r\n\r\n"


def test_a_name_that_looks_like_a_pattern_is_a_name_first(project):
    (project / "a[1].txt").write_text("one")
    (project / "a1.txt").write_text("other")
    assert load_text("text:a[1].txt") == "one"
    assert [path.name for path in find_files("a[0-9].txt")] == ["a1.txt"]


def test_a_file_among_others_that_is_no_text_is_named(letters):
    (letters / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(20))
    with pytest.raises(
        CourseError, match=r"letters/photo\.jpg is a JPEG picture.*leave it out.*'text:FOLDER/\*\*/\*\.txt'"
    ):
        load_text("text:letters")


@pytest.mark.parametrize("scheme", ["text", "bytes"])
def test_what_cannot_be_read(project, letters, scheme):
    with pytest.raises(CourseError, match=rf"Cannot read nowhere\.txt: No such file.*taken from {project}"):
        load_bytes(f"{scheme}:nowhere.txt")
    with pytest.raises(CourseError, match=r"'letters/\*\.html' fits no file"):
        load_bytes(f"{scheme}:letters/*.html")
    (project / "bare").mkdir()
    with pytest.raises(CourseError, match="bare is a folder without files"):
        load_bytes(f"{scheme}:bare")
    with pytest.raises(CourseError, match=r"empty\.txt is empty; there is nothing to learn from"):
        load_bytes(f"{scheme}:letters/empty.txt")


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf", b""])
def test_a_text_of_nothing_but_a_mark_is_empty(project, content):
    (project / "a.txt").write_bytes(content)
    with pytest.raises(CourseError, match=r"text:a\.txt is empty"):
        load_text("text:a.txt")


def test_texts_of_line_breaks_alone(project):
    for name in "ab":
        (project / f"{name}.txt").write_text("\n\n")
    assert load_text("text:a.txt") == "\n\n"
    with pytest.raises(CourseError, match="is empty"):
        load_text("text:*.txt")


# Standard input -------------------------------------------------------------------------------------------


@pytest.fixture
def piped(monkeypatch):
    def pipe(content):
        reading._standard_input.cache_clear()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    yield pipe
    reading._standard_input.cache_clear()


def test_standard_input_is_a_text_as_often_as_it_is_asked_for(piped):
    piped("\ufeffGrüße\r\n".encode())
    assert load_text("text:-") == load_text("text:-") == read_text("-") == "Grüße\n"
    piped(b"\x1f\x8b")
    with pytest.raises(CourseError, match="standard input is a gzip archive"):
        load_text("text:-")


def test_where_there_is_no_standard_input(monkeypatch):
    reading._standard_input.cache_clear()
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CourseError, match="no standard input here"):
        load_text("text:-")


# A block at a time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_in_blocks_a_text_is_the_same_and_a_fault_is_at_the_same_place(size, monkeypatch, tmp_path):
    chance = random.Random(size)
    parts = [b"a", "é".encode(), "中".encode(), "😀".encode(), b"\n", b"\r\n", b"\r", b"\n\n", b"\xff", b"\xe4\xb8"]
    monkeypatch.setattr(reading, "SAMPLE", 64)
    for mark in (b"", b"\xef\xbb\xbf"):
        for _ in range(60):
            body = chance.choices(parts, [9, 3, 3, 3, 3, 3, 3, 3, 0.2, 0.2], k=chance.randint(1, 30))
            content = mark + b"".join(body)
            reader = reading.TextReader("it")
            first = max(size, 4)  # the kind of a file shows in its first block
            rest = content[first:]
            blocks = [content[:first], *(rest[i : i + size] for i in range(0, len(rest), size))]
            try:
                wanted = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
            except UnicodeDecodeError as error:
                start = error.start + len(content) - len(error.object)
                line = content[:start].count(b"\n") + 1
                with pytest.raises(CourseError, match=rf"at position {start} \(line {line}\)"):
                    [reader.add(block) for block in blocks] + [reader.add(b"", is_last=True)]
            else:
                read = [reader.add(block) for block in blocks] + [reader.add(b"", is_last=True)]
                assert "".join(read) == wanted, content


@pytest.mark.parametrize("block", [1, 2, 7])
def test_several_files_in_blocks_are_joined_as_one_would_by_hand(block, monkeypatch, tmp_path):
    chance = random.Random(block)
    monkeypatch.setattr(reading, "BLOCK", block)
    for i in range(30):
        folder = tmp_path / str(i)
        folder.mkdir()
        texts = ["".join(chance.choices("ab\n", k=chance.randint(0, 9))) for _ in range(4)]
        for number, text in enumerate(texts):
            (folder / f"{number}.txt").write_text(text, encoding="utf-8")
        kept = [text.strip("\n") for text in texts if text.strip("\n")]
        if kept:
            assert read_text(str(folder)) == "\n\n".join(kept) + "\n"
        else:
            with pytest.raises(CourseError, match="is empty"):
                read_text(str(folder))
