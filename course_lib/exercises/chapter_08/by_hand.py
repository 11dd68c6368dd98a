"""With pencil and paper: the first tokens that a few words teach (08-1)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from course_lib.exercises.chapter_08.merging import Word, counted, merged
from course_lib.exercises.judge.calling import described
from course_lib.exercises.judge.exercise import Exercise, Wrong

WORDS = {"hug": 2, "pug": 5, "pun": 5, "bun": 3, "hugs": 3}
HOW_MANY = 4
Rule = Callable[[Mapping[tuple[bytes, bytes], int]], tuple[bytes, bytes]]


def cut(words: Mapping[str, int] = WORDS) -> dict[Word, int]:
    return {tuple(letter.encode() for letter in word): times for word, times in words.items()}


def last_of_the_most(counts: Mapping[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max(counts, key=lambda pair: (counts[pair], pair))


def tokens(words: Mapping[Word, int], rule: Rule = last_of_the_most, n: int = HOW_MANY) -> list[str]:
    """The first tokens that ``words`` teach, each pair chosen by ``rule``."""
    learned = []
    for _ in range(n):
        pair = rule(counted(words))
        learned.append(b"".join(pair).decode())
        words = {merged(word, pair): times for word, times in words.items()}
    return learned


def _judge_by_hand(attempt: Any) -> str:
    got, expected = _texts(attempt), tokens(cut())
    if got != expected:
        for wrong, words in _known_slips():
            if got == wrong:
                raise Wrong(words)
        place = next(i for i, (here, there) in enumerate(zip(got, expected)) if here != there)
        raise Wrong(f"{_so_far(place)}Token {place + 1} is not {got[place]!r}. {_hint(got, place)}")
    return (
        "u+g 10 times (so does p+u, but u comes after p), then u+n 8 times, and then three pairs 5 times each: p+un "
        "comes last in the alphabet, and p+ug after it. Every count after the first is a new one: once ug is a token, "
        "p+u is no longer in pug."
    )


def _so_far(right: int) -> str:
    return "" if right == 0 else "The first is right. " if right == 1 else f"The first {right} are right. "


def _texts(attempt: Any) -> list[str]:
    if not isinstance(attempt, (list, tuple)):
        raise Wrong(f"Expected is {BY_HAND.expects}. It got {described(attempt)}.")
    if len(attempt) != HOW_MANY:
        raise Wrong(f"Four tokens are expected, one for each merge; it got {len(attempt)}.")
    return [_text(value, i + 1) for i, value in enumerate(attempt)]


def _text(value: Any, place: int) -> str:
    """A token as a text, however it was written: "ug", b"ug", "u+g", ("u", "g"), (b"u", b"g")."""
    if value is None or value is ...:
        raise Wrong(f"Token {place} is still missing.")
    halves = value if isinstance(value, (list, tuple)) and value else [value]
    if not all(isinstance(half, (str, bytes)) for half in halves):
        raise Wrong(f'Token {place} should be a text, such as "gs"; it is {described(value)}.')
    joined = "".join(half if isinstance(half, str) else half.decode("utf-8", "replace") for half in halves)
    token = joined.replace("+", "").replace(" ", "")
    if not token.isalpha():
        raise Wrong(f'Token {place} should be its letters and nothing else, such as "gs"; it is {joined!r}.')
    return token


def _known_slips() -> Iterable[tuple[list[str], str]]:
    words, counts = cut(), counted(cut())
    at_once = sorted(counts, key=lambda pair: (counts[pair], pair), reverse=True)[:HOW_MANY]
    yield (
        tokens(words, lambda found: min(found, key=lambda pair: (-found[pair], pair))),
        "The counts are right, and the ties the wrong way round: of equally frequent pairs take the one that comes "
        "last in the alphabet.",
    )
    yield (
        tokens(words, lambda found: max(found, key=found.__getitem__)),
        "Of equally frequent pairs you took the one that came first in the list. Take the one that comes last in the "
        "alphabet.",
    )
    yield (
        tokens(dict.fromkeys(words, 1)),
        "You counted each word once. pug occurs 5 times, so each of its pairs counts 5 times.",
    )
    yield (
        [b"".join(pair).decode() for pair in at_once],
        "Those are the most frequent pairs of letters, all from one count. Count anew after each merge: where ug is "
        "one token, there is no u and no g.",
    )


def _hint(got: list[str], place: int) -> str:
    """The counts at that place."""
    words = cut()
    for _ in range(place):
        pair = last_of_the_most(counted(words))
        words = {merged(word, pair): times for word, times in words.items()}
    counts = {b"+".join(pair).decode(): times for pair, times in counted(words).items()}
    of_yours = {pair.replace("+", ""): times for pair, times in counts.items()}.get(got[place])
    if of_yours is None:
        return "No pair of neighbors makes that token there: write down the words as they are cut by then."
    if of_yours == max(counts.values()):
        return "Its pair is as frequent as another one, which comes later in the alphabet."
    return f"Its pair occurs {of_yours} times by then, and another one more often."


BY_HAND = Exercise(
    id="08-1",
    title="Four merges by hand",
    difficulty="easy",
    minutes=6,
    attempt="first_tokens",
    expects="a list of four texts, the tokens that the first four merges make",
    hints=(
        "Write the words down, letter by letter, each with its number. How often does `u+g` occur, over all words? Add "
        "up the numbers of the words it is in.",
        "`u+g` and `p+u` both occur 10 times; `u` comes after `p`, so `ug` is first. Now write the words down again, "
        "with `ug` as one piece, and count anew.",
        "`p+u` is left in *pun* only, and `u+n` occurs 8 times. After that three pairs occur 5 times each.",
    ),
    judge=_judge_by_hand,
)
