"""Decoding ids as they come, against decoding all of them at once."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.tokenizers import ByteTokenizer, CharTokenizer

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
BYTE, CHAR = ByteTokenizer(), CharTokenizer("\n aé日\U0001f600")
# Bytes that begin, continue and cannot be a part of characters: rows of whole ones, cut ones and broken ones.
some_bytes = st.lists(st.sampled_from([0x41, 0x0A, 0x80, 0x98, 0xBF, 0xC3, 0xE4, 0xB8, 0xED, 0xA0, 0xF0, 0x9F, 0xFF]))
texts_in_bytes = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(lambda text: list(text.encode()))


def in_pieces(tokenizer, pieces):
    decoder = tokenizer.decoder()
    return "".join([*map(decoder.add, pieces), decoder.finish()])


@steady
@given(st.lists(st.one_of(some_bytes, texts_in_bytes)))
def test_bytes_in_any_pieces_are_the_text_of_the_whole(pieces):
    whole = [i for piece in pieces for i in piece]
    expected = bytes(whole).decode("utf-8", errors="replace")
    assert in_pieces(BYTE, pieces) == expected == BYTE.decode(whole)
    assert in_pieces(BYTE, [[i] for i in whole]) == expected


@steady
@given(st.lists(st.lists(st.integers(0, 5))))
def test_characters_in_any_pieces_are_the_text_of_the_whole(pieces):
    assert in_pieces(CHAR, pieces) == CHAR.decode([i for piece in pieces for i in piece])


def test_rows_of_twelve_bytes():
    draw = random.Random(0)
    for _ in range(2000):
        row = [draw.randrange(256) for _ in range(12)]
        assert in_pieces(BYTE, [[i] for i in row]) == bytes(row).decode("utf-8", errors="replace")


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([0xFF, 0xF0, 0x9F, 0x98, 0x80], "\ufffd\U0001f600"),
        ([0xE4, 0xB8, *"中文".encode()], "\ufffd中文"),
        ([0xF0, 0x9F, 0x98], "\ufffd"),  # cut off at the end: one sign for all of it
        ([], ""),
    ],
)
def test_rows_one_can_check_by_hand(ids, text):
    assert in_pieces(BYTE, [[i] for i in ids]) == text


def test_a_character_comes_with_its_last_byte():
    decoder = BYTE.decoder()
    assert [decoder.add([i]) for i in "é日".encode()] == ["", "é", "", "", "日"]
    assert decoder.finish() == ""


def test_after_the_end_a_new_text_begins():
    decoder = BYTE.decoder()
    assert decoder.add([0xE4]) + decoder.finish() + decoder.add([0xB8]) + decoder.finish() == "\ufffd\ufffd"


def test_an_id_outside_the_vocabulary_is_named():
    for tokenizer in (BYTE, CHAR):
        with pytest.raises(CourseError, match="Token id 256"):
            tokenizer.decoder().add([256])
