"""What a judge says of a text: which of its sentences and stories follow the rules of a grammar."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """The first place where a text leaves the grammar."""

    position: int
    """Counted in characters from the start of the graded text."""
    found: str
    """The word or sign that stands there; empty where the text just ends."""
    expected: tuple[str, ...]
    """A few examples of what could have stood there, each a word or a sign."""

    def __str__(self) -> str:
        found = repr(self.found) if self.found else "the end of the text"
        return f"at character {self.position}: found {found}, expected {' or '.join(map(repr, self.expected))}"


@dataclass(frozen=True)
class Part:
    """A sentence or a story: ``text[start:end]`` of the graded text, and its first fault, if it has one."""

    start: int
    end: int
    fault: Fault | None

    @property
    def is_grammatical(self) -> bool:
        return self.fault is None


def _share(parts: tuple[Part, ...]) -> float | None:
    return sum(part.is_grammatical for part in parts) / len(parts) if parts else None


@dataclass(frozen=True)
class Grade:
    """The judgment on a text. A part that is cut off at the text's end does not count."""

    text: str
    sentences: tuple[Part, ...]
    stories: tuple[Part, ...]

    @property
    def sentence_share(self) -> float | None:
        """The share of whole sentences that are grammatical; None where there is no whole sentence."""
        return _share(self.sentences)

    @property
    def story_share(self) -> float | None:
        """The share of whole stories that are grammatical from end to end; None where there is none."""
        return _share(self.stories)

    @property
    def first_fault(self) -> Fault | None:
        """The first fault among the sentences and, where these have none, among the stories."""
        parts = (*self.sentences, *self.stories)
        return next((part.fault for part in parts if part.fault is not None), None)
