"""CharTokenizer against Python's own dictionaries, and what it says about characters it does not know."""

import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.tokenizers import CharTokenizer

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def slow_vocabulary(text):
    """stoi as the first character-level programs build it."""
    return {character: i for i, character in enumerate(sorted(set(text)))}


def test_a_text_one_can_check_by_hand():
    tokenizer = CharTokenizer.train("hello world")
    assert tokenizer.characters == " dehlorw"
    assert tokenizer.vocab_size == 8
    assert tokenizer.encode("hello") == [3, 2, 4, 4, 5]
    assert tokenizer.decode([7, 5, 6, 4, 1]) == "world"


@steady
@given(texts)
def test_encode_is_the_dictionarys_and_decode_its_reverse(text):
    tokenizer = CharTokenizer.train(text)
    stoi = slow_vocabulary(text)
    ids = tokenizer.encode(text)
    assert ids == [stoi[c] for c in text]
    assert all(type(i) is int for i in ids)
    assert tokenizer.decode(ids) == text
    assert tokenizer.vocab_size == len(stoi)


@steady
@given(texts)
def test_ids_follow_unicode_order(text):
    tokenizer = CharTokenizer.train(text)
    assert [ord(tokenizer.decode([i])) for i in range(tokenizer.vocab_size)] == sorted({ord(c) for c in text})


@steady
@given(texts, st.text(st.characters(exclude_categories=["Cs"])))
def test_any_other_text_is_encoded_or_its_first_unknown_character_named(known, text):
    tokenizer = CharTokenizer.train(known)
    strangers = [i for i, c in enumerate(text) if c not in known]
    if not strangers:
        assert tokenizer.decode(tokenizer.encode(text)) == text
        return
    position = strangers[0]
    with pytest.raises(CourseError) as caught:
        tokenizer.encode(text)
    assert f"The character {text[position]!r} (U+{ord(text[position]):04X}, " in str(caught.value)
    assert f"at position {position} is not among the {len(set(known))} " in str(caught.value)


def test_the_unknown_characters_name_and_the_remedy():
    with pytest.raises(CourseError) as caught:
        CharTokenizer.train("abc").encode("ab\u00e9c\u2603")
    message = str(caught.value)
    assert message.startswith("The character 'é' (U+00E9, LATIN SMALL LETTER E WITH ACUTE) at position 2 ")
    assert "with_unknown('')" in message
    with pytest.raises(CourseError, match=r"U\+0007, no name\) at position 0"):
        CharTokenizer.train("abc").encode("\a")


@pytest.mark.parametrize("stranger", ["`", "{", "\x00", "é", "\uffff", "\U0010ffff"])
def test_strangers_between_below_and_far_above_the_vocabulary(stranger):
    """The table ends at the largest known character; what lies beyond it is unknown too."""
    tokenizer = CharTokenizer.train("a_z")
    with pytest.raises(CourseError, match="at position 1 "):
        tokenizer.encode(f"a{stranger}z")


@steady
@given(texts, st.text(st.characters(exclude_categories=["Cs"])))
def test_policies_for_unknown_characters(known, text):
    tokenizer = CharTokenizer.train(known)
    skipping = tokenizer.with_unknown("")
    assert skipping.decode(skipping.encode(text)) == "".join(c for c in text if c in known)
    stand_in = known[0]
    replacing = tokenizer.with_unknown(stand_in)
    assert replacing.decode(replacing.encode(text)) == "".join(c if c in known else stand_in for c in text)
    assert tokenizer.unknown is None  # with_unknown makes another one


@pytest.mark.parametrize("stand_in", ["?", "ab", "\u2603"])
def test_a_stand_in_is_one_of_the_vocabulary(stand_in):
    with pytest.raises(CourseError, match="should be one of the vocabulary"):
        CharTokenizer.train("abc").with_unknown(stand_in)


def test_empty_texts():
    tokenizer = CharTokenizer.train("ab")
    assert tokenizer.encode("") == []
    assert tokenizer.encode_array("").shape == (0,)
    assert tokenizer.decode([]) == ""
    with pytest.raises(CourseError, match="at least one character; the text is empty"):
        CharTokenizer.train("")


@pytest.mark.parametrize("characters", ["ba", "aa", "abca"])
def test_a_vocabulary_is_distinct_and_in_order(characters):
    with pytest.raises(CourseError, match="distinct and in Unicode order"):
        CharTokenizer(characters)


@pytest.mark.parametrize(("ids", "bad", "position"), [([0, 1, 3], 3, 2), ([-1, 0], -1, 0), ([0, 10**12], 10**12, 1)])
def test_an_id_outside_the_vocabulary_is_named_with_its_place(ids, bad, position):
    with pytest.raises(CourseError, match=f"Token id {bad} at position {position} is not in the vocabulary of 3"):
        CharTokenizer("abc").decode(ids)


@pytest.mark.parametrize("ids", [[0.0, 1.0], [[0, 1]], ["a"], [True], np.zeros((2, 2), dtype=np.int64), [2**80]])
def test_decode_wants_a_flat_list_of_whole_numbers(ids):
    with pytest.raises(CourseError, match="flat list of whole numbers"):
        CharTokenizer("abc").decode(ids)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_decode_takes_arrays_and_iterators(dtype):
    tokenizer = CharTokenizer("abc")
    assert tokenizer.decode(np.array([2, 0], dtype=dtype)) == "ca"
    assert tokenizer.decode(i for i in (2, 0)) == "ca"


def test_encode_array_is_encode():
    tokenizer = CharTokenizer.train("süß")
    array = tokenizer.encode_array("sßßü")
    assert array.dtype.kind == "i"
    assert array.tolist() == tokenizer.encode("sßßü") == [0, 1, 1, 2]


NAMES = ["café", "Größe", "Ångström", "한국어", "naïve", "Việt Nam"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("form", "other"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_letter_in_the_other_unicode_form_is_told_of_its_form(name, form, other):
    """They look the same, and are other characters: Unicode Standard Annex 15."""
    tokenizer = CharTokenizer.train(unicodedata.normalize(form, name))
    with pytest.raises(CourseError, match=rf"in the Unicode form {form}.*normalize\('{form}', text\)"):
        tokenizer.encode(unicodedata.normalize(other, name))


def test_a_character_that_no_form_knows_is_not_blamed_on_its_form():
    tokenizer = CharTokenizer.train("cafe")
    for text in ("é", "e\u0301", "x", "日"):
        with pytest.raises(CourseError, match="Leave it out of the text"):
            tokenizer.encode(text)
