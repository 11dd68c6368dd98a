"""The tokenizer file: what is written is read, and what is damaged is refused."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, load_tokenizer, tokenizer_from_dict

steady = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
TOKENIZERS = [
    ByteTokenizer(),
    CharTokenizer("abc"),
    CharTokenizer.train('\x00\n"\\é\u2028\U0001f600\ud800'),
    CharTokenizer("abc", unknown=""),
    CharTokenizer("abc", unknown="b"),
    BPETokenizer.train("cab cab", 259, ["<|x|>"]),
]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=repr)
def test_round_trip(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    again = load_tokenizer(path)
    assert type(again) is type(tokenizer)
    assert again == tokenizer
    assert again.fingerprint() == tokenizer.fingerprint()
    assert hash(again) == hash(tokenizer)
    text = "cab"
    if all(c in getattr(tokenizer, "characters", text) for c in text):
        assert again.encode(text) == tokenizer.encode(text)


def test_what_an_unknown_character_becomes_is_kept(tmp_path):
    for unknown, text in (("", "abc"), ("b", "abbbc")):
        CharTokenizer("abc", unknown).save(tmp_path / "t.json")
        again = load_tokenizer(str(tmp_path / "t.json"))
        assert again.decode(again.encode("ab?!c")) == text


@steady
@given(st.sets(st.characters(), min_size=1))
def test_any_vocabulary_survives_the_file(tmp_path, characters):
    """Lone surrogates too, which UTF-8 itself cannot hold."""
    tokenizer = CharTokenizer.train("".join(characters))
    tokenizer.save(tmp_path / "t.json")
    assert load_tokenizer(tmp_path / "t.json").characters == "".join(sorted(characters))


def test_the_file_is_plain_json(tmp_path):
    CharTokenizer("ab\u00e9").save(tmp_path / "t.json")
    raw = (tmp_path / "t.json").read_bytes()
    assert raw.isascii()
    assert json.loads(raw) == {"format": "course_lib tokenizer", "version": 1, "kind": "char", "characters": "abé"}


def test_the_fingerprint_is_the_sha256_of_the_sorted_json():
    # printf '{"characters":"abc","format":"course_lib tokenizer","kind":"char","version":1}' | sha256sum
    # Folders of prepared data are found by these values: they do not change.
    assert CharTokenizer("abc").fingerprint() == "23fe1226b963586b"
    assert ByteTokenizer().fingerprint() == "581589bb0bf592b6"


def test_equal_vocabularies_have_equal_fingerprints_and_others_do_not():
    assert CharTokenizer.train("cabba").fingerprint() == CharTokenizer("abc").fingerprint()
    assert CharTokenizer.train("cabba") == CharTokenizer("abc")
    assert len({tokenizer.fingerprint() for tokenizer in TOKENIZERS}) == len(TOKENIZERS)
    assert CharTokenizer("abc") != CharTokenizer("abd")
    assert CharTokenizer("abc") != ByteTokenizer()
    assert ByteTokenizer() != "byte"


# Damage ---------------------------------------------------------------------------------------------------


def state(**changes):
    whole = {"format": "course_lib tokenizer", "version": 1, "kind": "char", "characters": "abc"}
    return {key: value for key, value in (whole | changes).items() if value != "gone"}


def test_the_planted_files_start_from_a_whole_one():
    assert tokenizer_from_dict(state()) == CharTokenizer("abc")


@pytest.mark.parametrize(
    ("damaged", "complaint"),
    [
        (state(format="gone"), "not a tokenizer file"),
        (state(format="sentencepiece"), "not a tokenizer file"),
        ([1, 2], "not a tokenizer file"),
        (None, "not a tokenizer file"),
        ("abc", "not a tokenizer file"),
        (state(version=2), "version 2; this course_lib reads version 1. Update"),
        (state(version="gone"), "version None"),
        (state(version="1"), "version '1'"),
        (state(kind="wordpiece"), "kind 'wordpiece' is unknown; known are bpe, byte, char"),
        (state(kind="gone"), "kind None is unknown"),
        (state(kind=["char"]), "is unknown"),
        (state(characters="gone"), "'characters' as one text"),
        (state(characters=["a", "b"]), "'characters' as one text"),
        (state(characters=""), "at least one character"),
        (state(characters="cba"), "in Unicode order"),
        (state(characters="aab"), "distinct"),
        (state(unknown=5), "'characters' as one text"),
        (state(unknown="z"), "should be one of the vocabulary"),
    ],
)
def test_a_damaged_state_is_refused(damaged, complaint, tmp_path):
    with pytest.raises(CourseError, match=complaint):
        tokenizer_from_dict(damaged)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(damaged))
    with pytest.raises(CourseError, match=complaint):
        load_tokenizer(path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": "course_lib', b"\xff\xfe", b"hello"])
def test_a_file_that_is_no_json_is_refused_by_name(content, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(CourseError, match=r"tokenizer\.json is not a tokenizer file"):
        load_tokenizer(path)


def test_cut_off_at_any_byte_it_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    CharTokenizer("abcé").save(path)
    whole = path.read_bytes()
    for length in range(len(whole.rstrip())):
        path.write_bytes(whole[:length])
        with pytest.raises(CourseError):
            load_tokenizer(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CourseError, match=r"no tokenizer file at .*nowhere\.json"):
        load_tokenizer(tmp_path / "nowhere.json")
    with pytest.raises(CourseError, match=r"Cannot read the tokenizer file .*: Is a directory"):
        load_tokenizer(tmp_path)
