"""The text itself: sizes, seeds, sentences a child can read, articles, word lists."""

import hashlib
import random
import re
from itertools import combinations

import pytest
from brute_force import article, sampled_story
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.corpora import tinytales
from course_lib.corpora.tinytales.reader import Reader
from course_lib.corpora.tinytales.story import BOUND, FREE, SCENES, TALES
from course_lib.data import load_text
from course_lib.data.datasets import find_corpus

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

LINES = [line for scene in TALES.scenes for line in scene.lines]
STRINGS = [
    text for line in LINES for item in line.items for text in ([item] if isinstance(item, str) else item.strings)
]


@pytest.fixture(scope="module")
def text():
    return tinytales.tinytales_text()


@pytest.fixture(scope="module")
def sentences(text):
    """Every sentence of the text once, and every sentence in its longest wording."""
    longest = {"\n".join(max_telling(line)) for line in LINES}
    return {*text.splitlines(), *"\n".join(longest).splitlines()} - {""}


def max_telling(line):
    return "".join(item if isinstance(item, str) else max(item.strings, key=len) for item in line.items).splitlines()


# Size and seed --------------------------------------------------------------------------------------------


def test_the_text_is_the_same_on_every_machine(text):
    """It moves only with the grammar, on purpose; the floors and the records then have to be made again."""
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    assert sha256 == "ae4354e625351432578c2979abd5666e9c0888a153b1e719d2d1619681ce09fd"


def test_a_megabyte_of_whole_stories(text):
    assert 1_000_000 <= len(text) < 1_001_000
    assert text.isascii()
    assert text.endswith("\n\n")
    assert "\n\n\n" not in text
    assert text[0].isupper()
    assert 0.8 < text.count("\n\n") * TALES.mean_length() / len(text) < 1.25


@pytest.mark.parametrize("length", [1, 1000, 54_321])
def test_any_length_is_reached_by_one_story(length):
    text = tinytales.tinytales_text(length)
    assert length <= len(text) < length + TALES.longest()
    assert text.endswith("\n\n")
    assert len(text[:-2].rpartition("\n\n")[0]) < length


def test_a_seed_decides_the_text(text):
    assert tinytales.tinytales_text(5000) == tinytales.tinytales_text(5000, seed=0)
    assert text.startswith(tinytales.tinytales_text(5000))  # a longer text goes on where a shorter one ends
    assert tinytales.tinytales_text(5000, seed=1) != tinytales.tinytales_text(5000, seed=2)
    assert tinytales.tinytales_text(0) == ""


def test_the_corpus_of_that_name(text):
    corpus = find_corpus("tinytales")
    assert load_text("tinytales") == text
    assert corpus.tokenizer == "char"
    assert corpus.grade is tinytales.grade
    assert corpus.lines is tinytales.lines
    start = TALES.story(random.Random(0))
    assert corpus.grade(corpus.start + start).story_share == 1  # what a model is given ends a story


# Sentences ------------------------------------------------------------------------------------------------


def test_every_sentence_is_short_and_ends_as_it_should(sentences):
    for sentence in sentences:
        assert len(sentence) <= 60, sentence
        assert re.fullmatch(r'"?[A-Z][^.!?]*((, "|[.!?]" )[A-Z][^.!?]*)?[.!?]"?', sentence), sentence
        assert sentence.count('"') in (0, 2), sentence
        assert not re.search(r"[{}]|  |[ ,;:]$|^ | [.,!?]", sentence), sentence


def test_every_line_has_its_slots_filled():
    for line in LINES:
        assert not any("{" in item or "}" in item for item in line.items if isinstance(item, str)), line.text


def test_a_and_an_go_by_sound(text):
    """Every article that a slot can write, and every article of the text."""
    written = {string for line in LINES for ref in line.refs if ref.form in ("a", "A") for string in ref.strings}
    assert written
    for string in written:
        before, _, word = string.partition(" ")
        assert before.lower() == article(word), string
    for before, word in set(re.findall(r"\b([Aa]n?) (\w+)", "\n".join([text, *STRINGS]))):
        assert before.lower() == article(word), f"{before} {word}"


def test_the_rule_for_articles_itself():
    for word in "owl hour honest heir uncle umbrella egg".split():
        assert article(word) == "an"
    for word in "unicorn one once useful European home hill yak".split():
        assert article(word.lower()) == "a"


# Words ----------------------------------------------------------------------------------------------------


def test_at_least_300_words(text):
    found = set(re.findall(r"[a-z']+", text.lower()))
    assert len(found) >= 300
    assert found <= TALES.words()
    assert len(TALES.words() - found) < 5  # a megabyte shows them all, or nearly


def test_no_value_comes_twice():
    for name, values in FREE.items():
        assert len(set(values.split())) == len(values.split()), name
    for name, (_, *rows) in BOUND.items():
        assert len({row[0] for row in rows}) == len(rows), name
    for _, lines in SCENES:
        assert len(set(lines)) == len(lines)


def test_no_line_draws_twice_from_like_lists():
    """Never "sad and sad": not from one list, nor from two that share a word."""
    for line in LINES:
        for one, other in combinations(line.refs, 2):
            if one.slot is not other.slot:
                assert not set(one.strings) & set(other.strings), line.text
            else:
                assert one.slot.is_bound, line.text


def test_every_slot_is_used():
    used = {ref.slot.name for line in LINES for ref in line.refs}
    assert used == {*BOUND, *FREE}


def test_stories_vary(text):
    stories = text.split("\n\n")
    assert len(set(stories)) == len(stories)


@settings(steady, max_examples=40)
@given(st.integers(0, 10**9))
def test_any_story_of_any_seed_is_read_with_the_probability_it_was_written_with(seed):
    reader = Reader(TALES)
    spec = (BOUND, {name: words.split() for name, words in FREE.items()}, SCENES)
    story, nats = sampled_story(spec, random.Random(seed))
    assert sum(reader.surprises(story, reader.at_story())) == pytest.approx(nats, rel=1e-9)
    assert min(reader.surprises(TALES.story(random.Random(seed)), reader.at_story())) > -1e-9
