"""How one merge changes the counts of pairs (08-3)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from course_lib.exercises.chapter_08.merging import Pair, Word, merged
from course_lib.exercises.chapter_08.pieces import ask, need_pair
from course_lib.exercises.judge.calling import described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import plain

CASES: tuple[tuple[Word, Pair], ...] = (
    ((b"h", b"u", b"g", b"g", b"y"), (b"u", b"g")),
    ((b"x", b"a", b"b"), (b"a", b"b")),
    ((b"a", b"b"), (b"a", b"b")),
    ((b"a", b"b", b"x", b"a", b"b"), (b"a", b"b")),
    ((b"a", b"b", b"a", b"b"), (b"a", b"b")),
    ((b"a", b"a", b"a"), (b"a", b"a")),
    ((b"b", b"a", b"a", b"a", b"a"), (b"a", b"a")),
    ((b"th", b"e", b"th", b"e", b"r"), (b"th", b"e")),
    ((b"t", b"h", b"e"), (b"th", b"e")),
    ((b"t", b"he", b"xth", b"e", b"th", b"er", b"th", b"e"), (b"th", b"e")),  # three that only look like the pair
    ((b"a",), (b"a", b"b")),
)


def change(word: Word, pair: Pair) -> dict[Pair, int]:
    return _between(word, merged(word, pair))


def _between(before: Sequence[bytes], after: Sequence[bytes]) -> dict[Pair, int]:
    """After minus before."""
    by = Counter(pairwise(after))
    by.subtract(pairwise(before))
    return _without_zeros(by)


def _without_zeros(counts: Mapping[Pair, int]) -> dict[Pair, int]:
    return {pair: by for pair, by in counts.items() if by}


def _judge_changes(attempt: Any) -> str:
    changes = need_function(attempt, "changes(word, pair)")
    for word, pair in CASES:
        shown = f"changes({word}, {pair})"
        got, expected = _need_counts(ask(changes, word, pair, shown=shown), shown), change(word, pair)
        if got == expected:
            continue
        words = next((words for wrong, words in _known_slips(word, pair) if got == wrong), "")
        first = next(one for one in [*expected, *got] if got.get(one, 0) != expected.get(one, 0))
        raise Wrong(
            f"{shown}: the count of the pair {first} should change by {expected.get(first, 0)}; yours says "
            f"{got.get(first, 0)}. The word becomes {merged(word, pair)}. {words}".rstrip()
        )
    return (
        "A merge takes away its own pair and those of the old neighbors, and brings those of the new piece. That is "
        "all. So a fast trainer, such as the library's, looks only at the places where the pair occurs, and leaves all "
        "other counts as they are."
    )


def _need_counts(value: Any, shown: str) -> dict[Pair, int]:
    """Of what the call ``shown`` returned, the counts that are not 0."""
    what = f"What {shown} returned"
    if not isinstance(value, Mapping):
        hint = (
            " Does the function end with return? (A Counter's own subtract returns nothing.)" if value is None else ""
        )
        raise Wrong(f"{what} should be a Counter, or a dict from pair to change; it is {described(value)}.{hint}")
    counts = {key: plain(by) for key, by in value.items()}
    for key, by in counts.items():
        if isinstance(key, bytes):
            raise Wrong(
                f"{what} should have pairs as keys, tuples of two pieces; one key is {key!r}. Joined, (b'a', b'bc') "
                "and (b'ab', b'c') could not be told apart."
            )
        pair = need_pair(key, f"A key of what {shown} returned")
        if isinstance(by, bool) or not isinstance(by, int):
            raise Wrong(f"{what}: the change for {pair} should be a whole number; it is {described(by)}.")
    return _without_zeros(counts)


def _known_slips(word: Word, pair: Pair) -> list[tuple[dict[Pair, int], str]]:
    """Known mistakes: what they return, and what to say."""
    right, after = change(word, pair), Counter(pairwise(merged(word, pair)))
    new = b"".join(pair)
    return [
        (dict(after - Counter(pairwise(word))), "What becomes rarer is missing. The minus sign between two Counters "
         "leaves out all that is not above 0; their method subtract keeps it."),
        ({one: -by for one, by in right.items()}, "The signs are the wrong way round: what there is more of gets a +."),
        (_without_zeros(after), "Those are the counts after the merge; asked for is by how much they change."),
        ({one: by for one, by in right.items() if one == pair}, "The pair has neighbors, and their pairs change too."),
        ({one: by for one, by in right.items() if new in one or one == pair}, "The new pairs are there, and the merged "
         "one; but the old neighbors' pairs are gone as well."),
        ({one: by for one, by in right.items() if by < 0}, "What the new piece brings is missing: its pairs with its "
         "neighbors."),
        (_first_place(word, pair), "Only the first place was merged; the pair occurs again later."),
        (_place_by_place(word, pair), "Where two places touch, a new piece stands beside a new piece: look at the word "
         "after the merge, not at each place by itself."),
        (_every_place(word, pair), "The pair overlaps with itself here, and from left to right only the first of the "
         "two is merged."),
        (_between(word, merged(word, pair, _of_the_same_bytes)), "Pieces that have the same bytes together are not yet "
         "the pair: compare the first with the first and the second with the second."),
        (_between(word, merged(word, pair, _begins_alike)), "The second piece only begins as the pair's second does: "
         "compare the whole piece."),
        (_between(word, _replaced(word, pair)), "The first piece only ends as the pair's first does, or the second "
         "only begins as its second: compare whole pieces, not the bytes of a joined word."),
    ]  # fmt: skip


def _of_the_same_bytes(two: Word, pair: Pair) -> bool:
    """Wrong where t and he are taken for th and e."""
    return b"".join(two) == b"".join(pair)


def _begins_alike(two: Word, pair: Pair) -> bool:
    """Wrong where th and er are taken for th and e."""
    return len(two) == 2 and two[0] == pair[0] and two[1][:1] == pair[1][:1]


def _replaced(word: Word, pair: Pair) -> list[bytes]:
    """Wrong where the pair is found in larger pieces."""
    return b"\0".join(word).replace(b"\0".join(pair), b"".join(pair)).split(b"\0")


def _place_by_place(word: Word, pair: Pair) -> dict[Pair, int]:
    """Wrong where places touch: each place for itself, among the old neighbors."""
    by: Counter[Pair] = Counter()
    new, i = b"".join(pair), 0
    while i < len(word) - 1:
        if word[i : i + 2] != pair:
            i += 1
            continue
        by[pair] -= 1
        if i > 0:
            by[word[i - 1], pair[0]] -= 1
            by[word[i - 1], new] += 1
        if i + 2 < len(word):
            by[pair[1], word[i + 2]] -= 1
            by[new, word[i + 2]] += 1
        i += 2
    return _without_zeros(by)


def _every_place(word: Word, pair: Pair) -> dict[Pair, int]:
    """Wrong where the pair overlaps with itself: every place becomes a piece, and pieces share letters."""
    overlapping: list[bytes] = []
    i = 0
    while i < len(word):
        if word[i : i + 2] == pair:
            overlapping.append(b"".join(pair))
            i += 1 if word[i + 1 : i + 3] == pair else 2
        else:
            overlapping.append(word[i])
            i += 1
    return _between(word, overlapping)


def _first_place(word: Word, pair: Pair) -> dict[Pair, int]:
    """Wrong where the pair occurs again."""
    place = next((i for i, two in enumerate(pairwise(word)) if two == pair), len(word))
    return _between(
        word, [*word[:place], *[b"".join(word[place : place + 2])][: len(word) - place], *word[place + 2 :]]
    )


CHANGES = Exercise(
    id="08-3",
    title="What a merge changes",
    difficulty="medium",
    minutes=10,
    attempt="changes",
    expects="your function changes(word, pair) itself, without calling it",
    hints=(
        "Try it on paper first: h u g s becomes h ug s. Which pairs were there before, and which are there after?",
        "Merge the word, then count the pairs of both: `Counter(pairwise(...))`. The change is after minus before.",
        "`after.subtract(before)` changes `after` in place and keeps what is below 0, which `after - before` does not.",
    ),
    judge=_judge_changes,
)
