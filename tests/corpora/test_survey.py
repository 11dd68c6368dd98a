"""What is said of a written text: counted by hand on small ones, and against a slower search on a larger one."""

import random

import pytest

from course_lib.corpora import Fault, Grade, Part, tinytales
from course_lib.corpora import writing as module
from course_lib.corpora.writing import longest_copy, survey
from course_lib.errors import CourseError

SOURCE = "the fox naps.\nthe cat hops.\n\nthe owl sings.\n\n"


def grade(text: str) -> Grade:
    """A judge for tests: a line is a sentence, a paragraph is a story; whatever has an x is wrong."""
    sentences, stories, story, place = [], [], 0, 0
    for line in text.split("\n")[:-1]:
        end = place + len(line) + 1
        fault = Fault(place, "x", ("y",)) if "x" in line else None
        if line:
            sentences.append(Part(place, end, fault))
        else:
            wrong = "x" in text[story:end]
            stories.append(Part(story, end, Fault(story, "x", ("y",)) if wrong else None))
            story = end
        place = end
    return Grade(text, tuple(sentences), tuple(stories))


def test_the_longest_copy_is_the_longest_and_the_first():
    assert longest_copy("a cat hopss", SOURCE) == " cat hops"
    assert longest_copy("zzz", SOURCE) == ""
    assert longest_copy("", SOURCE) == ""
    assert longest_copy("naps owl", SOURCE) == "naps"  # and " owl" is as long
    assert longest_copy(SOURCE, SOURCE) == SOURCE


def test_the_longest_copy_is_what_a_search_through_all_runs_finds():
    dice = random.Random(0)
    for _ in range(200):
        text, source = ("".join(dice.choices("ab ", k=k)) for k in (14, 40))
        runs = [text[i:j] for i in range(len(text)) for j in range(i, len(text) + 1) if text[i:j] in source]
        assert longest_copy(text, source) == max(runs, key=len)


def test_what_a_survey_counts():
    texts = ["the cat hops.\nthe hen hops.\n\nthe ox naps.\n", "the hen hops.\n\nthe owl sings.\n\ncut o"]
    found = survey(texts, SOURCE, grade)
    assert (found["sentences"], found["stories"]) == (5, 3)
    assert found["grammatical"] == 0.8  # all but the ox's
    assert found["grammatical_stories"] == 1.0
    assert found["new"] == 0.6  # the hen's, twice, and the ox's
    assert found["new_stories"] == 0.6667  # the owl's stands in the source
    assert found["grammatical_and_new"] == 0.4
    assert found["distinct"] is None, "too few to say"
    assert found["longest_copy"] == len("the cat hops.\n")


def test_variety_is_that_of_the_first_sentences_only(monkeypatch):
    monkeypatch.setattr(module, "VARIETY_OF", 4)
    assert survey(["a\nb\na\nc\nd\ne\n"], SOURCE, grade)["distinct"] == 0.75


def test_texts_without_a_story_or_without_a_sentence():
    assert survey(["a\n"], SOURCE, grade)["new_stories"] is None
    with pytest.raises(CourseError, match="None of the 2 texts has a whole sentence"):
        survey(["abc", ""], SOURCE, grade)


def test_the_training_text_is_all_old_and_the_grammars_own_new_text_is_all_grammatical():
    text = tinytales.tinytales_text(3000, seed=0)
    itself = survey([text], text, tinytales.grade)
    assert (itself["new"], itself["new_stories"], itself["longest_copy"]) == (0, 0, len(text))
    fresh = survey([tinytales.tinytales_text(3000, seed=1)], text, tinytales.grade)
    assert fresh["grammatical"] == fresh["grammatical_stories"] == fresh["new_stories"] == 1
    assert fresh["new"] > 0.5
