"""How often each chunk stands in a text, also one that is larger than memory, by several processes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain

from course_lib.errors import CourseError
from course_lib.processes import in_turn
from course_lib.tokenizers.bpe.splitting import Splitter


def count_words(
    text: str | Iterable[str], pattern: str, special_tokens: Sequence[str] = (), processes: int = 1
) -> Counter[str]:
    """How often each chunk stands in a text, or in its pieces joined.

    Raises:
        CourseError: for an empty text, and for a pattern that leaves characters out.
    """
    blocks = Splitter(pattern, special_tokens).blocks(text)
    count = partial(_counted, pattern, tuple(special_tokens))
    words: Counter[str] = Counter()
    for found in in_turn(count, blocks, processes):
        words.update(found)
    if not words:
        raise CourseError("A BPE tokenizer learns from a text; this one is empty.")
    return words


def _counted(pattern: str, special_tokens: tuple[str, ...], block: str) -> Counter[str]:
    splitter = Splitter(pattern, special_tokens)
    plain = (part for part, is_special in splitter.parts(block) if not is_special)
    return Counter(chain.from_iterable(map(splitter.chunks, plain)))
