"""Judges a text by a grammar: which sentences and which whole stories it could have written."""

from collections.abc import Iterable, Iterator
from itertools import takewhile

from course_lib.corpora.grade import Fault, Grade, Part
from course_lib.corpora.tinytales.grammar import Ref
from course_lib.corpora.tinytales.reader import Beliefs, Reader, State

MOST_EXPECTED = 4
"""A fault names at most so many words that could have stood in its place."""


class Judge:
    """Grades texts with a reader's knowledge of what may come next.

    Args:
        reader: of the grammar to judge by.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._starts = {"sentence": reader.at_sentence(), "story": reader.at_story()}

    def grade(self, text: str) -> Grade:
        """Every whole sentence (a line) and every whole story (up to an empty line) of ``text``.

        A sentence is grammatical where some story could hold it; a story, where its sentences fit
        together as well, from the first to the last. A part that the end of the text cuts off does not count.
        Line breaks at the very start are left out: they end what came before. Further empty lines between
        two stories are a fault of the second.
        """
        sentences: list[Part] = []
        stories: list[Part] = []
        story = place = len(text) - len(text.lstrip("\n"))
        for line in text[place:].split("\n")[:-1]:
            end = place + len(line) + 1
            if line:
                sentences.append(self._part(text, place, end, "sentence"))
            elif sentences[-1].start >= story:
                stories.append(self._part(text, story, end, "story"))
                story = end
            place = end
        return Grade(text, tuple(sentences), tuple(stories))

    def _part(self, text: str, start: int, end: int, kind: str) -> Part:
        """The part and the first place where it cannot go on."""
        beliefs = self._starts[kind]
        for i in range(start, end):
            following = self.reader.step(beliefs, text[i])
            if not following:
                return Part(start, end, self._describe(text, i, beliefs))
            beliefs = following
        return Part(start, end, None)

    def _describe(self, text: str, i: int, beliefs: Beliefs) -> Fault:
        """The fault at character ``i``: the word there, from its start, or the sign after a word that may be whole."""
        start = end = i
        while start > 0 and text[start - 1].isalpha():
            start -= 1
        while end < len(text) and text[end].isalpha():
            end += 1
        begun = text[start:i]
        if begun and end == i:
            signs = _first(rest for rest in self._rests(beliefs) if not rest[0].isalpha())
            if signs:
                return Fault(i, text[i], signs)
        words = _first(begun + rest if rest[0].isalpha() else begun or rest for rest in self._rests(beliefs))
        return Fault(start, text[start:end] or text[i], words)

    def _rests(self, beliefs: Beliefs) -> Iterator[str]:
        """How a text may go on: to the end of the word at hand, or by one sign; the likeliest states first."""
        for state in sorted(beliefs, key=beliefs.__getitem__, reverse=True):
            yield from self._rests_from(state)

    def _rests_from(self, state: State, so_far: str = "") -> Iterator[str]:
        line, place, k, free, masks = state
        item = self.reader.items[line][place]
        if isinstance(item, Ref):
            mask = masks[self.reader.grammar.place[item.slot.name]] if item.slot.is_bound else free
            rests = [
                (text[k:], self.reader.narrowed(item, 1 << value, masks)[1])
                for value, text in enumerate(item.strings)
                if mask >> value & 1
            ]
        else:
            rests = [(item[k:], masks)]
        for text, told in rests:
            word = so_far + "".join(takewhile(str.isalpha, text))
            if len(word) == len(so_far) + len(text):  # the next item may go on with the word
                yield from self._rests_from(self.reader.entered(line, place + 1, told), word)
            else:
                yield word or text[0]


def _first(words: Iterable[str]) -> tuple[str, ...]:
    """The first few different ones."""
    found: dict[str, None] = {}
    for word in words:
        found[word] = None
        if len(found) == MOST_EXPECTED:
            break
    return tuple(found)
