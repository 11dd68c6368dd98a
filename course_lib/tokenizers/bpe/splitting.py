"""A text in chunks: merges never reach from one chunk into the next.

A pattern finds the chunks (roughly words with the space before them), so that *dog*, *dog!* and *dog.* share a token.
A long text is taken in blocks, each cut where the pattern ends a chunk whatever comes next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.errors import CourseError

if TYPE_CHECKING:
    import regex

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's: letters, digits and signs apart, each with one space before it (openai/gpt-2, src/encoder.py)."""
GPT4_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
"""GPT-4's (cl100k_base in openai/tiktoken): numbers in threes, and signs keep the line breaks after them."""

KINDS = {"white": r"[^\S\x1c-\x1f]", "other": r"[\S\x1c-\x1f]"}
"""White space as package ``regex`` has it, and all else, in the words of Python's own ``re``."""

CUTS = {
    # No alternative of it takes white space after anything else.
    GPT2_PATTERN: r"(?r)(?<=\S)\s",
    # Signs take the line breaks that follow them, so a line break is a place to cut after letters and digits alone.
    GPT4_PATTERN: r"(?r)(?<=\S)[^\S\r\n]|(?<=[\p{L}\p{N}])[\r\n]",
}
"""Where a text may be cut, for the patterns of which it is known: before this character, and only there."""

STRETCHES = {
    GPT2_PATTERN: re.compile(r"{white}*{other}+|{white}+".format(**KINDS)),
    GPT4_PATTERN: re.compile(r"{white}*{other}+(?:[\r\n]{white}*{other}*)*|{white}+".format(**KINDS)),
}
"""What stands between two such places, found fast, but not between all of them."""

OPENED = "open(path, encoding='utf-8')"

BLOCK = 1 << 16
"""About how many characters a block has. Much larger ones leave holes in memory that nothing fits into."""


def compiled(pattern: str) -> regex.Pattern[str]:
    """The pattern, ready for use; CourseError where it does not compile."""
    try:
        import regex
    except ImportError as error:
        raise CourseError("Splitting a text by letters and digits of all scripts needs: pip install regex") from error
    if not isinstance(pattern, str):
        raise CourseError(f"The split pattern should be a text; it is {pattern!r}.")
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise CourseError(f"The split pattern {pattern!r} does not compile: {error}.") from error


class Splitter:
    """Splits texts into chunks by a pattern, with special tokens as chunks of their own.

    Args:
        pattern: a regular expression (package ``regex``) that finds every character of any text, in chunks.
        special_tokens: texts that are never split.
    """

    def __init__(self, pattern: str, special_tokens: Sequence[str] = ()) -> None:
        self.pattern = pattern
        self._chunk = compiled(pattern)
        self._cut = compiled(CUTS[pattern]) if pattern in CUTS else None
        self.special_tokens = tuple(special_tokens)
        self._special = special_pattern(special_tokens)

    def chunks(self, text: str) -> list[str]:
        """The chunks of a text in which special tokens are text like any other.

        Raises:
            CourseError: where the pattern leaves a character out.
        """
        if self._chunk.groups:
            found = [match.group() for match in self._chunk.finditer(text)]
        else:
            found = self._chunk.findall(text)
        if sum(map(len, found)) != len(text):
            raise self._lost(text)
        return found

    def parts(self, text: str) -> Iterator[tuple[str, bool]]:
        """The stretches of ``text`` and its special tokens in turn, each with whether it is special."""
        if self._special is None:
            yield text, False
            return
        start = 0
        for match in self._special.finditer(text):
            if match.start() > start:
                yield text[start : match.start()], False
            yield match.group(), True
            start = match.end()
        if start < len(text):
            yield text[start:], False

    def stretches(self, text: str) -> list[str]:
        """``text`` in pieces whose chunks together are its chunks."""
        return STRETCHES[self.pattern].findall(text) if self.pattern in STRETCHES else [text]

    def blocks(self, pieces: str | Iterable[str], size: int | None = None) -> Iterator[str]:
        """``pieces`` joined and cut anew, into blocks whose chunks together are those of the whole text.

        A text that offers no place to cut comes as one block; so does all of it, where the pattern is one's own and
        nothing is known about it.
        """
        rest, size = "", size or BLOCK
        for piece in _pieces(pieces, size):
            known, rest = len(rest), rest + piece
            if len(rest) < size:
                continue
            if cut := self._last_cut(rest, known):
                yield rest[:cut]
                rest = rest[cut:]
        if rest:
            yield rest

    def _last_cut(self, text: str, known: int) -> int:
        """The last place to cut; 0 for none. Before ``known`` there is none, as was found out before."""
        if self._cut is None:
            return 0
        longest = max(map(len, self.special_tokens), default=1)
        end = len(text) - longest + 1  # the text may break off inside a special token
        start = max(known - 2 * longest, 0)
        while match := self._cut.search(text, start, end):
            cut = match.start()
            inside = self._special_around(text, cut, longest)
            if inside is None:
                return cut
            end = inside
        return 0

    def _special_around(self, text: str, cut: int, longest: int) -> int | None:
        """Where the special token starts that a cut would break; None where it breaks none."""
        if self._special is None:
            return None
        begin = max(cut - longest, 0)
        around = self._special.finditer(text, begin, min(cut + longest, len(text)))
        return next((match.start() for match in around if match.start() < cut < match.end()), None)

    def _lost(self, text: str) -> CourseError:
        """What to say of the first character that is in no chunk."""
        end = 0
        for match in self._chunk.finditer(text):
            if match.start() > end:
                break
            end = match.end()
        return CourseError(
            f"The split pattern {self.pattern!r} leaves out the character {text[end]!r} at position {end}; every "
            r"character has to be in a chunk. An alternative |\s|\S at its end takes what the others leave."
        )


def special_pattern(special_tokens: Iterable[str]) -> regex.Pattern[str] | None:
    """What finds special tokens, of two that begin alike the longer one; None where there are none."""
    longest_first = sorted(special_tokens, key=len, reverse=True)
    if not longest_first:
        return None
    import regex

    return regex.compile("|".join(map(regex.escape, longest_first)))


def _pieces(text: str | Iterable[str], size: int) -> Iterator[str]:
    """A text, or pieces of one, in pieces of at most ``size`` characters."""
    if isinstance(text, bytes | Path) or not isinstance(text, Iterable):
        raise CourseError(f"A text is expected, or its pieces, such as {OPENED}; this is {type(text).__name__}.")
    try:
        for piece in [text] if isinstance(text, str) else text:
            if not isinstance(piece, str):
                raise CourseError(f"The pieces of a text should be texts, such as {OPENED}; one is {piece!r:.50}.")
            if len(piece) <= size:
                yield piece
            else:
                yield from (piece[start : start + size] for start in range(0, len(piece), size))
    except UnicodeDecodeError as error:  # of the file that the pieces come from
        raise CourseError(
            f"The text is not valid UTF-8: {error.reason}, byte 0x{error.object[error.start]:02x}. To take U+FFFD for "
            "such bytes, open the file with errors='replace'; course_lib.data.load_text('text:PATH') says where it is."
        ) from error
