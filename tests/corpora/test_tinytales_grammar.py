"""The notation and what is counted from it, against every story of tiny grammars written out one by one."""

import math
import random
import re
from collections import Counter

import pytest
from brute_force import TINY, TOLD, all_stories, sampled_story

from course_lib.corpora.tinytales.grammar import Grammar
from course_lib.corpora.tinytales.reader import Reader
from course_lib.corpora.tinytales.story import TALES, read_words

REAL = read_words()

# Tiny grammars --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", TINY.values(), ids=TINY)
def test_entropy_and_length_are_those_of_all_stories(spec):
    stories = all_stories(spec)
    assert math.isclose(sum(p for _, p in stories), 1)
    assert len({text for text, _ in stories}) == len(stories), "these grammars are meant to be unambiguous"
    entropy = -sum(p * math.log(p) for _, p in stories)
    length = sum(p * len(text) for text, p in stories)
    grammar = Grammar(*spec)
    assert grammar.entropy() == pytest.approx(entropy, rel=1e-12)
    assert grammar.mean_length() == pytest.approx(length, rel=1e-12)
    assert grammar.entropy_rate() == pytest.approx(entropy / length, rel=1e-12)
    assert grammar.longest() >= max(len(text) for text, _ in stories)


@pytest.mark.parametrize("spec", TINY.values(), ids=TINY)
def test_each_story_comes_as_often_as_it_should(spec):
    expected = dict(all_stories(spec))
    grammar, generator, n = Grammar(*spec), random.Random(0), 20_000
    counts = Counter(grammar.story(generator) for _ in range(n))
    assert set(counts) <= set(expected)
    deviation = sum((counts[text] - n * p) ** 2 / (n * p) for text, p in expected.items())  # chi-square
    freedom = len(expected) - 1
    assert abs(deviation - freedom) < 4 * math.sqrt(2 * freedom)


def test_articles_and_capitals():
    grammar = Grammar({}, {"x": ["kite", "owl", "honest Ann", "hut"]}, [(1.0, ["{x.a} {x.A}"])])
    (line,) = grammar.scenes[0].lines
    assert line.refs[0].strings == ("a kite", "an owl", "an honest Ann", "a hut")
    assert line.refs[1].strings == ("A kite", "An owl", "An honest Ann", "A hut")


WHO = {"who": [("name", "he"), ("Bo", "he"), ("Al", "he")]}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ((WHO, {}, [(1.0, ["{who.He} ran."])]), "who cannot be told from '{who.He} ran.'"),
        ((WHO, {}, [(1.0, ["A."]), (0.9, ["{who}."]), (1.0, ["{who.he}."])]), "who cannot be told"),
        ((WHO, {}, [(1.0, ["{who}.", "A."]), (1.0, ["{who.he}."])]), "who cannot be told"),
        (({"x": [("name",), ("a",), ("a",)]}, {}, [(1.0, ["{x}."])]), "x cannot be told"),
        (({}, {"x": ["a", "b", "a"]}, [(1.0, ["{x}."])]), "x cannot be told"),
        (({}, {}, [(0.5, ["A."])]), "the first scene should have probability 1"),
        (({}, {"x": ["a", ""]}, [(1.0, ["{x}."])]), "the values of slot 'x' should be text without line breaks"),
        (({}, {"x": ["a.\nb"]}, [(1.0, ["{x}."])]), "should be text without line breaks"),
        ((WHO, {}, [(1.0, ["{who} {who.him}"])]), "slot 'who' has no form 'him': known are name, he"),
    ],
)
def test_what_could_not_be_read_back_is_refused(spec, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        Grammar(*spec)


def test_told_in_the_same_line_or_in_a_scene_that_always_comes_is_enough():
    Grammar(WHO, {}, [(1.0, ["{who.He} is {who}."])])
    Grammar(WHO, {}, [(1.0, ["{who}.", "A {who}."]), (0.5, ["{who.he}."])])
    Grammar(*TOLD)


# TinyTales ------------------------------------------------------------------------------------------------


def test_the_entropy_rate_is_the_mean_surprise_of_a_large_sample():
    """Stories written from the notation alone, each choice's probability noted down: no code in common.

    The standard error of such a sample's rate is about 0.1%, of its mean entropy 0.2%.
    """
    generator = random.Random(1)
    sample = [sampled_story(REAL, generator) for _ in range(4000)]
    nats = sum(nats for _, nats in sample)
    length = sum(len(text) for text, _ in sample)
    assert nats / length == pytest.approx(TALES.entropy_rate(), rel=0.01)
    assert nats / len(sample) == pytest.approx(TALES.entropy(), rel=0.01)
    assert length / len(sample) == pytest.approx(TALES.mean_length(), rel=0.01)
    assert max(len(text) for text, _ in sample) <= TALES.longest()


def test_the_reader_needs_what_the_writer_chose():
    reader, generator = Reader(TALES), random.Random(2)
    for _ in range(200):
        text, nats = sampled_story(REAL, generator)
        assert sum(reader.surprises(text, reader.at_story())) == pytest.approx(nats, rel=1e-9)


def test_the_rate_is_what_the_reader_needs_for_the_packages_own_stories():
    reader, generator = Reader(TALES), random.Random(3)
    stories = [TALES.story(generator) for _ in range(800)]
    nats = sum(sum(reader.surprises(text, reader.at_story())) for text in stories)
    assert nats / sum(map(len, stories)) == pytest.approx(TALES.entropy_rate(), rel=0.01)
