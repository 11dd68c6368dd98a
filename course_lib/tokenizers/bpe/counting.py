"""How often each chunk stands in a text, also one that is larger than memory, by several processes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial

from course_lib.errors import CourseError
from course_lib.processes import in_turn
from course_lib.tokenizers.bpe.splitting import Splitter

SHARE = 1 << 20
"""About how many characters a process gets at a time: the more, the fewer words are handed back twice."""
MOST_STRETCHES = 1 << 17
"""So many distinct stretches are counted before they are split into chunks."""


def count_words(
    text: str | Iterable[str], pattern: str, special_tokens: Sequence[str] = (), processes: int = 1
) -> Counter[str]:
    """How often each chunk stands in a text, or in its pieces joined.

    Raises:
        CourseError: for an empty text, and for a pattern that leaves characters out.
    """
    splitter = Splitter(pattern, special_tokens)
    if processes == 1:
        words = _counted(splitter, splitter.blocks(text))
    else:
        words = Counter()
        for found in in_turn(partial(_counted, splitter), splitter.blocks(text, SHARE), processes):
            words.update(found)
    if not words:
        raise CourseError("A BPE tokenizer learns from a text; this one is empty.")
    return words


def words_in_utf8(words: Counter[str]) -> dict[bytes, int]:
    """The words as bytes, in their order; CourseError for half a character."""
    try:
        return {word.encode(): count for word, count in words.items()}
    except UnicodeEncodeError as error:
        raise CourseError(
            f"The text has half a character, a lone surrogate, in {error.object[:50]!r}; it has no UTF-8 form. Take "
            "it out."
        ) from error


def _counted(splitter: Splitter, blocks: str | Iterable[str]) -> Counter[str]:
    """The chunks of blocks, or of one.

    Stretches from space to space are counted first, and only what differs of them is split: that halves the time.
    """
    words: Counter[str] = Counter()
    stretches: Counter[str] = Counter()
    for block in [blocks] if isinstance(blocks, str) else blocks:
        for part, is_special in splitter.parts(block):
            if not is_special:
                stretches.update(splitter.stretches(part))
        if len(stretches) > MOST_STRETCHES:
            _split(splitter, stretches, words)
    _split(splitter, stretches, words)
    return words


def _split(splitter: Splitter, stretches: Counter[str], words: Counter[str]) -> None:
    """Count the chunks of the stretches into ``words``; ``stretches`` is then empty."""
    known = words.get
    for stretch, count in stretches.items():
        for chunk in splitter.chunks(stretch):
            words[chunk] = known(chunk, 0) + count
    stretches.clear()
