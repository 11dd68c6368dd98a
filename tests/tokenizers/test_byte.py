"""ByteTokenizer against Python's own UTF-8."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.tokenizers import ByteTokenizer

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@steady
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_ids_are_the_bytes_of_utf8(text):
    tokenizer = ByteTokenizer()
    assert tokenizer.encode(text) == list(text.encode("utf-8"))
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("A", [0x41]),
        ("\u00a3", [0xC2, 0xA3]),  # the examples of the Unicode standard's and Wikipedia's tables
        ("\u20ac", [0xE2, 0x82, 0xAC]),
        ("\U00010348", [0xF0, 0x90, 0x8D, 0x88]),
        ("", []),
    ],
)
def test_characters_of_one_to_four_bytes(text, ids):
    assert ByteTokenizer().encode(text) == ids


@steady
@given(st.lists(st.integers(0, 255)))
def test_any_bytes_decode_and_broken_ones_become_the_replacement_character(ids):
    assert ByteTokenizer().decode(ids) == bytes(ids).decode("utf-8", errors="replace")


def test_a_cut_character_is_marked():
    assert ByteTokenizer().decode([0x41, 0xE2, 0x82]) == "A\ufffd"


def test_a_lone_surrogate_is_no_character():
    with pytest.raises(CourseError, match=r"U\+D800\), at position 1"):
        ByteTokenizer().encode("a\ud800b")


@pytest.mark.parametrize(("ids", "bad", "position"), [([256], 256, 0), ([0, -1], -1, 1), ([65, 65, 1000], 1000, 2)])
def test_an_id_outside_0_to_255_is_named(ids, bad, position):
    with pytest.raises(CourseError, match=f"Token id {bad} at position {position} .* 256"):
        ByteTokenizer().decode(ids)


def test_it_has_256_tokens_whatever_it_is_trained_on():
    assert ByteTokenizer.train("abc").vocab_size == ByteTokenizer().vocab_size == 256
    assert ByteTokenizer.train("abc") == ByteTokenizer()
