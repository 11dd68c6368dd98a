"""A proof that no text has two derivations, by a walk through all pairs of places that a text could be at."""

from collections import deque
from collections.abc import Iterator

import pytest
from brute_force import TINY, TWO_WAYS, all_stories
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.corpora.tinytales.grammar import Grammar
from course_lib.corpora.tinytales.story import TALES

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

Place = tuple[int, int, int, int]
"""(line, item, which of the item's strings, character of it): what is written next."""


class Places:
    """All the places of a grammar's endless text. What a bound slot held before is forgotten: more is allowed."""

    def __init__(self, grammar: Grammar) -> None:
        self.strings = [[[Grammar.END]]]
        """strings[line][item]: what may be written there; line 0 is the empty line after a story."""
        self.following: list[list[int]] = []
        """following[line]: the lines that may come next."""
        numbers, n = [], 1
        for scene in grammar.scenes:
            numbers.append(list(range(n, n := n + len(scene.lines))))
            self.strings += [[self._strings_of(item) for item in line.items] for line in scene.lines]
        for i in range(-1, len(grammar.scenes)):
            here = []
            for scene, lines in zip(grammar.scenes[i + 1 :], numbers[i + 1 :]):
                here += lines
                if scene.probability == 1:
                    break
            else:
                here.append(0)
            self.following += [here] * (len(numbers[i]) if i >= 0 else 1)

    @staticmethod
    def _strings_of(item) -> list[str]:
        if isinstance(item, str):
            return [item]
        # Two values of a bound slot may look alike in one form: another form has told which it is.
        return sorted(set(item.strings)) if item.slot.is_bound else list(item.strings)

    def sign(self, place: Place) -> str:
        line, item, string, k = place
        return self.strings[line][item][string][k]

    def entries(self, line: int, item: int) -> Iterator[Place]:
        return ((line, item, string, 0) for string in range(len(self.strings[line][item])))

    def after(self, place: Place) -> Iterator[Place]:
        line, item, string, k = place
        if k + 1 < len(self.strings[line][item][string]):
            yield line, item, string, k + 1
        elif item + 1 < len(self.strings[line]):
            yield from self.entries(line, item + 1)
        else:
            for other in self.following[line]:
                yield from self.entries(other, 0)


def written_in_two_ways(grammar: Grammar) -> str | None:
    """A text that two derivations spell, or None where there is none: then every text has one derivation.

    Two derivations of one text are two walks through the places, the same sign at each step. They part
    somewhere and meet again, at the latest at the text's end. So it is enough to follow all pairs of places
    that walks from a story's start can be at after the same text, and to look whether a pair that has parted
    ever meets.
    """
    places = Places(grammar)
    told: dict[tuple[Place, Place], str] = {}
    waiting: deque[tuple[Place, Place]] = deque()

    def visit(before: str, starts: list[Place], others: list[Place]) -> None:
        by_sign: dict[str, list[Place]] = {}
        for place in others:
            by_sign.setdefault(places.sign(place), []).append(place)
        for place in starts:
            for other in by_sign.get(places.sign(place), []):
                pair = (min(place, other), max(place, other))
                if pair not in told:
                    told[pair] = before
                    waiting.append(pair)

    start = [entry for line in places.following[0] for entry in places.entries(line, 0)]
    visit("", start, start)
    while waiting:
        pair = waiting.popleft()
        text = told[pair] + places.sign(pair[0])
        first, second = (list(places.after(place)) for place in pair)
        if pair[0] != pair[1] and set(first) & set(second):
            return text
        visit(text, first, second)
    return None


# TinyTales ------------------------------------------------------------------------------------------------


def test_no_text_of_tinytales_has_two_derivations():
    assert written_in_two_ways(TALES) is None


def test_every_value_that_a_story_shows_is_told_in_full():
    """The proof is about strings: in each story some form of a bound slot has to tell its values apart."""
    certain: set[str] = set()
    for scene in TALES.scenes:
        told_by = []
        for line in scene.lines:
            told = {ref.slot.name for ref in line.refs if len(set(ref.strings)) == len(ref.strings)}
            assert {ref.slot.name for ref in line.refs} <= told | certain, line.text
            told_by.append(told)
        if scene.probability == 1:
            certain |= set.intersection(*told_by)


# The proof itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", TINY.values(), ids=TINY)
def test_tiny_grammars_without_ambiguity_pass(spec):
    assert written_in_two_ways(Grammar(*spec)) is None


B_D = [(0.5, ["B."]), (0.5, ["C.", "D."]), (0.5, ["B.\nD."])]
PLANTED = {
    "slots that share a border": ({"a": ["x", "xy"], "b": ["yz", "z"]}, [(1.0, ["{a}{b}."])], "xyz"),
    "a line in two scenes": ({}, [(1.0, ["A."]), (0.5, ["B."]), (0.5, ["C.", "B."])], "A.\nB.\n"),
    "a value that is a line's own word": ({"a": ["cat", "dog"]}, [(1.0, ["A {a}.", "A cat."])], "A cat.\n"),
    "two scenes in one line": ({}, [(1.0, ["A."]), *B_D], "A.\nB.\nD.\n"),
    "a story in a story": ({}, [(1.0, ["A.", "A.\n\nA."])], "A.\n\nA.\n"),
}


@pytest.mark.parametrize(("free", "scenes", "witness"), PLANTED.values(), ids=PLANTED)
def test_planted_ambiguities_are_found(free, scenes, witness):
    """What is said is the text up to where the two derivations meet."""
    assert written_in_two_ways(Grammar({}, free, scenes)) == witness


def test_an_ambiguity_between_a_bound_and_a_free_slot_is_found():
    assert written_in_two_ways(Grammar(*TWO_WAYS)) is not None


words = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3, unique=True)
lines = st.lists(
    st.lists(st.sampled_from(["{x}", "{y}", "a", "b", "."]), min_size=1, max_size=3).map("".join),
    min_size=1,
    max_size=3,
)


@steady
@given(words, words, lines, lines, lines)
def test_the_proof_agrees_with_writing_out_all_stories(x, y, first, second, third):
    spec = ({}, {"x": x, "y": y}, [(1.0, first), (0.5, second), (0.5, third)])
    texts = [text for text, _ in all_stories(spec)]
    assert (written_in_two_ways(Grammar(*spec)) is None) == (len(set(texts)) == len(texts))
