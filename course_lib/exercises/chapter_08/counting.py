"""How often each pair occurs in a text (08-1), and which pair comes next (08-3)."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

from course_lib.exercises.chapter_08.pieces import Pair, ask, need_pair
from course_lib.exercises.judge.calling import described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong

Words = dict[tuple[bytes, ...], int]

WORDS: tuple[Words, ...] = (
    {(b"h", b"u", b"g"): 5, (b"p", b"u", b"g"): 3, (b"h", b"u", b"g", b"s"): 2},
    {(b"n", b"a", b"n", b"a"): 4, (b"a", b"n"): 3},
    {(b"a", b"a", b"a"): 3, (b"b", b"a", b"a"): 1},
    {(b"th", b"e"): 4, (b"e",): 7, (b"t", b"h", b"e"): 1},
    {},
)


def _counted(words: Words, choose: Callable[[list[Pair]], Iterable[Pair]] = list) -> Counter[Pair]:
    """How often each pair occurs; of the pairs of a word only those count that ``choose`` returns."""
    counts: Counter[Pair] = Counter()
    for pieces, count in words.items():
        for pair in choose(list(pairwise(pieces))):
            counts[pair] += count
    return counts


def _judge_pair_counts(attempt: Any) -> str:
    pair_counts = need_function(attempt, "pair_counts(words)")
    for words in WORDS:
        shown = f"pair_counts({words})"
        got = _need_counts(ask(pair_counts, words, shown=shown), shown)
        expected = _counted(words)
        if got == expected:
            continue
        for wrong, said in _known_slips(words):
            if got == wrong:
                raise Wrong(f"{shown}: {_difference(got, expected)} {said}")
        strangers = [pair for pair in got if pair not in expected]
        raise Wrong(f"{shown}: {_stranger(strangers[0], words) if strangers else _difference(got, expected)}")
    return (
        "Each word counts as often as it occurs in the text, so a text of a million words needs only its few thousand "
        "different ones to be looked at. Whichever pair is merged, no piece will ever reach over the end of a word."
    )


def _need_counts(value: Any, shown: str) -> dict[Pair, int]:
    """Of what the call ``shown`` returned, the counts that are not 0."""
    what = f"What {shown} returned"
    if not isinstance(value, Mapping):
        hint = " Does the function end with return?" if value is None else ""
        raise Wrong(f"{what} should be a Counter, or a dict from pair to count; it is {described(value)}.{hint}")
    counts = {}
    for key, count in value.items():
        if isinstance(key, bytes):
            raise Wrong(
                f"{what} should have pairs as keys, tuples of two pieces; one key is {key!r}. Joined, (b'a', b'bc') "
                "and (b'ab', b'c') could not be told apart."
            )
        pair = need_pair(key, f"A key of what {shown} returned")
        if isinstance(count, bool) or not isinstance(count, int):
            raise Wrong(f"{what}: the count of {pair} should be a whole number; it is {described(count)}.")
        counts[pair] = count
    return {pair: count for pair, count in counts.items() if count}


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _difference(got: Mapping[Pair, int], expected: Mapping[Pair, int]) -> str:
    """The first pair, in the order of the text, whose count is another."""
    for pair in [*expected, *got]:
        if got.get(pair, 0) != expected.get(pair, 0):
            times = _times(expected.get(pair, 0))
            return f"the pair {pair} occurs {times}; you counted {number(got.get(pair, 0))}."
    return ""


def _known_slips(words: Words) -> list[tuple[Counter[Pair], str]]:
    """Known mistakes: what they count, and what to say."""
    last_seen = {pair: count for pieces, count in words.items() for pair in pairwise(pieces)}
    return [
        (_counted(dict.fromkeys(words, 1)), "Each word counts as often as it occurs in the text: add its count, not "
         "1."),
        (_counted(words, _apart), "Overlapping pairs count too: in aaa there are two."),
        (_counted(words, set), "A pair may occur in one word more than once, and every place counts."),
        (_counted(words, lambda pairs: pairs[::2]), "You went on by two pieces; after (first, second) comes (second, "
         "third)."),
        (_counted(words, lambda pairs: pairs[:-1]), "The last pair of each word is missing: of n pieces there are "
         "n - 1 pairs."),
        (Counter(last_seen), "A pair that came before was counted anew: add to its count, with +=."),
        (_counted(words, lambda pairs: [(min(pair), max(pair)) for pair in pairs]), "The order of the two matters: "
         "(b'a', b'b') and (b'b', b'a') are two pairs."),
    ]  # fmt: skip


def _apart(pairs: list[Pair]) -> list[Pair]:
    """As a merge would find them: two places of one pair never overlap."""
    kept: dict[int, Pair] = {}
    for i, pair in enumerate(pairs):
        if kept.get(i - 1) != pair:
            kept[i] = pair
    return list(kept.values())


def _stranger(pair: Pair, words: Words) -> str:
    """Of a pair that occurs in no word, where it may come from."""
    ends, starts = {word[-1] for word in words}, {word[0] for word in words}
    if pair[0] in ends and pair[1] in starts:
        return (
            f"you counted the pair {pair}, which occurs in no word. It reaches from the end of one word into the next: "
            "count each word by itself."
        )
    return f"you counted the pair {pair}, which occurs in no word: a pair is two pieces, one right after the other."


PAIR_COUNTS = Exercise(
    id="08-1",
    title="Counting pairs",
    difficulty="easy",
    minutes=6,
    attempt="pair_counts",
    expects="your function pair_counts(words) itself, without calling it",
    hints=(
        "Two loops, one in the other: over `words.items()`, and over the pairs of one word.",
        "`itertools.pairwise(pieces)` gives each piece with the one after it; so does `zip(pieces, pieces[1:])`.",
        "A `Counter` begins every count at 0, so `counts[pair] += count` is enough.",
    ),
    judge=_judge_pair_counts,
)

COUNTS: tuple[dict[Pair, int], ...] = (
    {(b"h", b"u"): 5, (b"u", b"g"): 8, (b"p", b"u"): 3},
    {(b"b", b"a"): 4, (b"a", b"b"): 4, (b"z", b"z"): 1},
    {(b"a", b"b"): 4, (b"b", b"a"): 4},
    {(b"x", b"a"): 2, (b"x", b"c"): 2, (b"x", b"b"): 2},
    {(b"a", b"zzz"): 3, (b"b", b"a"): 3},
    {(b"ab", b"a"): 6, (b"a", b"bc"): 6, (b"a", b"b"): 6},
    {(b"ab", b"c"): 9, (b"a", b"bc"): 9},
    {(b"\xc3", b"\xa9"): 2, (b"e", b"e"): 2, (b" ", b"t"): 1},
    {(b"q", b"u"): 1},
)


def _best(counts: Mapping[Pair, int]) -> Pair:
    return max(counts, key=lambda pair: (counts[pair], pair))


def _judge_best_pair(attempt: Any) -> str:
    best_pair = need_function(attempt, "best_pair(counts)")
    for plain in COUNTS:
        counts = Counter(plain)
        shown = f"best_pair({plain})"
        returned = ask(best_pair, counts, shown=shown)
        if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], tuple):
            raise Wrong(f"{shown} should return the pair alone; it returned {returned}, the pair and its count.")
        got, expected = need_pair(returned, f"What {shown} returned"), _best(counts)
        if got != expected:
            raise Wrong(f"{shown} should return {expected}; it returned {got}. {_why_another(got, expected, counts)}")
    return (
        "max with the key (count, pair) does both at once: tuples are compared by their first entries, and by the next "
        "where these are equal. With a rule for ties, the same text teaches everybody the same merges, whatever order "
        "the pairs were counted in."
    )


def _why_another(got: Pair, expected: Pair, counts: Mapping[Pair, int]) -> str:
    if got not in counts:
        return "That pair is not among those counted."
    if counts[got] < max(counts.values()):
        return f"It occurs {_times(counts[got])}, and the most frequent one {_times(max(counts.values()))}."
    equals = [pair for pair in counts if counts[pair] == counts[got]]
    words = f"Both occur {_times(counts[got])}, and the greater one is wanted: "
    if got[0] == expected[0]:
        return f"{words}the first pieces are equal, and {expected[1]!r} is greater than {got[1]!r}."
    if got == min(equals) and got != equals[0]:
        return f"{words}yours is the smallest of the equals, and {expected[0]!r} is greater than {got[0]!r}."
    if b"".join(got) >= b"".join(expected):
        return f"{words}compare the first pieces, not the two joined. {expected[0]!r} is greater than {got[0]!r}."
    if sum(map(len, got)) > sum(map(len, expected)):
        return f"{words}yours is longer, which does not count; {expected[0]!r} is greater than {got[0]!r}."
    first = " (Where keys are equal, max keeps the one that comes first in the dict.)" if got == equals[0] else ""
    return f"{words}{expected[0]!r} is greater than {got[0]!r}.{first}"


BEST_PAIR = Exercise(
    id="08-3",
    title="The next merge",
    difficulty="easy",
    minutes=5,
    attempt="best_pair",
    expects="your function best_pair(counts) itself, without calling it",
    hints=(
        "`max(counts, key=...)` goes through the pairs. What should the key of a pair be, so that the count decides, "
        "and the pair itself where counts are equal?",
        "Python compares tuples entry by entry: `(8, pair_a) > (8, pair_b)` asks which pair is greater.",
        "`key=lambda pair: (counts[pair], pair)`",
    ),
    judge=_judge_best_pair,
)
