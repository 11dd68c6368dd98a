"""The judge against lists: all sentences and all stories of tiny grammars, and every small change of them."""

import gc
import random
import re

import pytest
from brute_force import TINY, all_stories, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.corpora import tinytales
from course_lib.corpora.tinytales.grammar import Grammar
from course_lib.corpora.tinytales.judge import MOST_EXPECTED, Judge
from course_lib.corpora.tinytales.reader import Reader
from course_lib.corpora.tinytales.story import TALES, read_words

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

REAL = read_words()
BOUND = REAL[0]
PETS = (
    {"who": [("name", "he"), ("Al", "he"), ("Bea", "she")], "pet": [("name",), ("ape",), ("ass",)]},
    {"mood": ["sad", "sadder"]},
    [
        (1.0, ["{who} is {mood}.", "Ah, {pet.a}!\n{who} is {mood}."]),
        (0.5, ['"{pet.A}?" {who.he} asks.']),
        (0.5, ["{who.He}s {pet}s.", "Also {who}."]),
    ],
)
"""Words cut short and drawn out, words that slots share with letters, and a sign at a line's start."""
SPECS = TINY | {"pets": PETS}

# Against lists --------------------------------------------------------------------------------------------


class Lists:
    """What a grammar can write, listed; and what follows from the lists for a faulty text."""

    def __init__(self, spec):
        stories = {text for text, _ in all_stories(spec)}
        sentences = {sentence for text in stories for sentence in re.findall(r"[^\n]+\n", text)}
        self.whole = {"story": stories, "sentence": sentences}
        self.begun = {
            kind: {text[:i] for text in texts for i in range(len(text) + 1)} for kind, texts in self.whole.items()
        }

    def fault(self, kind, text):
        """(position, found, everything that could stand there), or None."""
        if text in self.whole[kind]:
            return None
        i = next(i for i in range(len(text)) if text[: i + 1] not in self.begun[kind])
        rests = [whole[i:] for whole in self.whole[kind] if whole.startswith(text[:i])]
        start = len(re.sub(r"[^\W\d_]+\Z", "", text[:i]))
        signs = {rest[0] for rest in rests if not rest[0].isalpha()}
        if start < i and signs and not text[i].isalpha():
            return i, text[i], signs
        word = re.compile(r"[^\W\d_]+|.|\n")
        return start, word.match(text, start)[0], {word.match(text[start:i] + rest)[0] for rest in rests}


def spoiled(text, signs):
    """Every text that is one deletion, one replacement or one insertion away."""
    for i in range(len(text) + 1):
        yield from (text[:i] + sign + text[i:] for sign in signs)
        if i < len(text):
            yield text[:i] + text[i + 1 :]
            yield from (text[:i] + sign + text[i + 1 :] for sign in signs)


def check(judge, lists, text):
    """All that a grade says of ``text``, against the lists."""
    grade = judge.grade(text)
    begin = len(text) - len(text.lstrip("\n"))
    parts = {
        "sentence": [match.span() for match in re.finditer(r"[^\n]+\n", text)],
        "story": [match.span() for match in re.compile(r"\n*(?:[^\n]+\n)+\n").finditer(text, begin)],
    }
    for kind, found in {"sentence": grade.sentences, "story": grade.stories}.items():
        assert [(part.start, part.end) for part in found] == parts[kind]
        for part in found:
            fault = lists.fault(kind, text[part.start : part.end])
            assert part.is_grammatical == (fault is None)
            if fault is not None:
                position, stands, possible = fault
                assert (part.fault.position, part.fault.found) == (part.start + position, stands)
                assert set(part.fault.expected) <= possible
                assert len(part.fault.expected) == min(len(possible), MOST_EXPECTED)
    faults = [part.fault for part in (*grade.sentences, *grade.stories) if part.fault]
    assert grade.first_fault == (faults[0] if faults else None)


@pytest.mark.parametrize("name", SPECS)
def test_everything_that_the_grammar_writes_is_grammatical(name):
    lists, judge = Lists(SPECS[name]), Judge(Reader(Grammar(*SPECS[name])))
    for text in lists.whole["story"]:
        grade = judge.grade(text)
        assert grade.sentence_share == grade.story_share == 1
        assert "".join(text[part.start : part.end] for part in grade.stories) == text
        check(judge, lists, text)


@pytest.mark.parametrize("name", SPECS)
def test_every_small_change_of_a_sentence(name):
    lists, judge = Lists(SPECS[name]), Judge(Reader(Grammar(*SPECS[name])))
    sentences = sorted(lists.whole["sentence"])
    signs = sorted({"\n", " ", "é", "3", *random.Random(0).sample(sorted(set("".join(sentences))), 5)})
    for sentence in random.Random(0).sample(sentences, min(12, len(sentences))):
        for text in spoiled(sentence, signs):
            check(judge, lists, text)


@pytest.mark.parametrize("name", SPECS)
def test_every_small_change_of_a_story(name):
    lists, judge = Lists(SPECS[name]), Judge(Reader(Grammar(*SPECS[name])))
    stories = sorted(lists.whole["story"])
    for story in random.Random(1).sample(stories, 6):
        for text in spoiled(story, "\nas.é"):
            check(judge, lists, text)


@settings(steady, max_examples=60)
@given(st.sampled_from(sorted(SPECS)), st.data())
def test_sentences_in_any_order(name, data):
    """Story faults: bindings that do not fit, sentences that are missing, or too many, or empty lines."""
    lists = Lists(SPECS[name])
    pieces = st.sampled_from([*sorted(lists.whole["sentence"]), "\n", "\n", "x"])
    check(Judge(Reader(Grammar(*SPECS[name]))), lists, "".join(data.draw(st.lists(pieces, max_size=12))))


# Texts of every kind --------------------------------------------------------------------------------------


@pytest.fixture
def pets():
    return Judge(Reader(Grammar(*PETS)))


def test_what_a_fault_says(pets):
    (part,) = pets.grade("Al is sade.\n").sentences
    assert str(part.fault) == "at character 6: found 'sade', expected 'sad' or 'sadder'"
    (part,) = pets.grade("Al is sa.\n").sentences
    assert str(part.fault) == "at character 6: found 'sa', expected 'sad' or 'sadder'"
    (part,) = pets.grade("Al is sad!\n").sentences
    assert str(part.fault) == "at character 9: found '!', expected '.'"
    (part,) = pets.grade("Al is sad.\nShe apes.\n\n").stories
    assert part.fault.found == "She"
    assert set(part.fault.expected) == {'"', "Hes", "Also", "\n"}


def test_the_likeliest_words_are_named_first():
    scenes = [(1.0, ["A."]), (0.3, ["B."]), (0.9, ["C."]), (0.5, ["D."]), (0.5, ["E."]), (0.5, ["F."])]
    fault = Judge(Reader(Grammar({}, {}, scenes))).grade("A.\nX.\n\n").stories[0].fault
    assert fault.expected == ("C", "B", "D", "E")  # 0.63, 0.3, 0.035, 0.0175; then F and the end, 0.00875 each


def test_texts_without_anything_whole(pets):
    for text in ("", "\n", "\n\n\n\n", "Al is sad.", "\n\nAl is"):
        grade = pets.grade(text)
        assert grade.sentences == grade.stories == ()
        assert grade.sentence_share is grade.story_share is grade.first_fault is None


def test_what_the_end_cuts_off_is_not_counted(pets):
    grade = pets.grade("Al is sad.\n\nBea is sad.\nShes ap")
    assert (len(grade.sentences), len(grade.stories)) == (2, 1)
    assert grade.sentence_share == grade.story_share == 1
    grade = pets.grade("Al is sad.\n\nBea is sad.\nNonsense")
    assert grade.first_fault is None
    grade = pets.grade("Al is sad.\n\nBea is sad.\nNonsense\n")
    assert grade.sentence_share == pytest.approx(2 / 3)
    assert grade.first_fault.position == 24


def test_line_breaks_at_the_start_end_what_came_before(pets):
    for breaks in range(4):
        grade = pets.grade("\n" * breaks + "Al is sad.\n\n")
        assert grade.stories[0].start == breaks
        assert grade.story_share == 1


def test_a_further_empty_line_is_a_fault_of_the_next_story(pets):
    grade = pets.grade("Al is sad.\n\n\nAl is sad.\n\nAl is sad.\n\n")
    assert [part.is_grammatical for part in grade.stories] == [True, False, True]
    assert grade.sentence_share == 1
    assert (grade.first_fault.position, grade.first_fault.found) == (12, "\n")
    assert set(grade.first_fault.expected) == {"Al", "Bea", "Ah"}


def test_a_text_that_begins_in_the_middle_of_a_story(pets):
    grade = pets.grade("Shes apes.\n\nBea is sadder.\n\n")
    assert grade.sentence_share == 1
    assert [part.is_grammatical for part in grade.stories] == [False, True]
    assert grade.first_fault.position == 0


def test_a_story_of_another_binding(pets):
    for text, found in {
        "Al is sad.\nAlso Bea.\n\n": "Bea",
        "Bea is sad.\nHes apes.\n\n": "Hes",
        'Ah, an ape!\nAl is sad.\n"An ass?" he asks.\n\n': "ass",
        "Ah, an ape!\nAl is sad.\nHes asss.\n\n": "asss",
        "Al is sad.\nAlso Al.\nAlso Al.\n\n": "Also",
        "Also Al.\n\n": "Also",
    }.items():
        grade = pets.grade(text)
        assert grade.sentence_share == 1, text
        assert grade.stories[0].fault.found == found
        assert grade.stories[0].fault.position == text.rindex(found)


# TinyTales ------------------------------------------------------------------------------------------------


def test_the_grammars_own_text_is_flawless():
    text = tinytales.tinytales_text(200_000, seed=7)
    grade = tinytales.grade(text)
    assert grade.sentence_share == grade.story_share == 1
    assert grade.first_fault is None
    assert len(grade.stories) == text.count("\n\n")
    assert len(grade.sentences) == text.count("\n") - text.count("\n\n")


def two_tellings(slot, seed):
    """The lines of one story told twice, all choices alike but the value of a bound slot."""
    generator = random.Random(seed)
    (heads, *rows) = BOUND[slot]
    one, other = generator.sample(rows, 2)
    tellings = []
    for row in (one, other):
        replay = random.Random(seed)
        spec = (BOUND | {slot: [heads, row]}, *REAL[1:])
        tellings.append(write(spec, lambda weights, r=replay: r.choices(range(len(weights)), weights)[0]).splitlines())
    return tellings


@pytest.mark.parametrize("slot", BOUND)
def test_another_name_halfway_is_a_fault_of_the_story_alone(slot):
    n_told_twice = 0
    for seed in range(40):
        one, other = two_tellings(slot, seed)
        differing = [i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
        if len(differing) < 2:
            continue
        n_told_twice += 1
        k = differing[1]
        grade = tinytales.grade("\n".join(one[:k] + other[k:]) + "\n\n")
        assert grade.sentence_share == 1
        fault = grade.stories[0].fault
        start = len("\n".join(one[:k])) + 1
        assert start <= fault.position < start + len(other[k])
        assert fault.expected
    assert n_told_twice >= 5 or slot == "home"


@settings(steady, max_examples=60)
@given(st.text(), st.integers(0, 10**6), st.data())
def test_any_sign_anywhere_is_judged(noise, seed, data):
    """Accents, emoji, other scripts: no text makes the judge fail, and parts lie where they say."""
    story = TALES.story(random.Random(seed))
    place = data.draw(st.integers(0, len(story)))
    text = story[:place] + noise + story[place:]
    grade = tinytales.grade(text)
    for part in (*grade.sentences, *grade.stories):
        assert text[part.end - 1] == "\n"
        if part.fault is not None:
            assert part.start <= part.fault.position < part.end
            assert text.startswith(part.fault.found, part.fault.position)
            assert 1 <= len(part.fault.expected) <= MOST_EXPECTED
            assert part.fault.found not in part.fault.expected


@pytest.mark.parametrize("sign", ["é", "\U0001f600", "\t", "\r", "_", "7", "\u2028", "\u0301"])
def test_unknown_signs_are_found_where_they_stand(sign):
    story = TALES.story(random.Random(0))
    text = story.replace(" ", sign, 1)
    fault = tinytales.grade(text).first_fault
    assert sign in fault.found
    assert text.startswith(fault.found, fault.position)


HUGE = 1_000_000


@pytest.mark.parametrize(
    ("piece", "sentences", "stories"),
    [("x", 0, 0), ("\n", 0, 0), ("x\n", 1, 0), ("The end.\n", 1, 0), ("Anna was\n\n", 1, 1), ("é \n\n\n", 1, 1)],
)
def test_long_texts_take_seconds_not_hours(piece, sentences, stories):
    n = HUGE // len(piece) // (40 if sentences else 1)
    grade = tinytales.grade(piece * n)
    assert len(grade.sentences) == sentences * n
    assert abs(len(grade.stories) - stories * n) <= 1


def test_nothing_is_kept_of_what_was_judged():
    """There is one judge for all; an afternoon of samples would pile up in it."""
    tinytales.grade("Warm up.\n\n")
    gc.collect()
    before = len(gc.get_objects())
    for i in range(200):
        tinytales.grade(f"Sentence number {i}.\n\n")
    gc.collect()
    assert len(gc.get_objects()) - before < 100
