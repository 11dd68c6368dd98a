"""How often each chunk stands in a text, also one that is larger than memory, by several processes."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context

from course_lib.errors import CourseError
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
    if processes == 1:
        for found in map(count, blocks):
            words.update(found)
    else:
        # Not forked: a copy of a process in which torch has threads may hang.
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            for found in _in_turn(pool, count, blocks, 2 * processes):
                words.update(found)
    if not words:
        raise CourseError("A BPE tokenizer learns from a text; this one is empty.")
    return words


def _counted(pattern: str, special_tokens: tuple[str, ...], block: str) -> Counter[str]:
    splitter = Splitter(pattern, special_tokens)
    plain = (part for part, is_special in splitter.parts(block) if not is_special)
    return Counter(chain.from_iterable(map(splitter.chunks, plain)))


def _in_turn(
    pool: Executor, work: Callable[[str], Counter[str]], blocks: Iterable[str], most: int
) -> Iterator[Counter[str]]:
    """The results in order. Only so many blocks wait at a time: `Executor.map` would read the whole text first."""
    blocks = iter(blocks)
    waiting = deque(pool.submit(work, block) for block in islice(blocks, most))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(work, block) for block in islice(blocks, 1))
