"""Text while a model writes it, and never half a character (08-6)."""

import codecs
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.exercises.judge.calling import call, described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.patience import patience

Tokens = Sequence[bytes]
BROKEN = "\N{REPLACEMENT CHARACTER}"

WHOLE: tuple[Tokens, ...] = (
    (b"Hel", b"lo", b"!"),
    (b"caf", b"\xc3", b"\xa9", b"!"),
    (b"caf\xc3", b"\xa9 au lait"),
    (b"a \xf0", b"\x9f\xa6", b"\x8a", b" ran"),
    (b"\xe6\x97", b"\xa5\xe6", b"\x9c", b"\xac."),
    (b"a\xc3", b"\xa9b\xc3", b"\xa9c"),
    (b"an ", b"an ", b"\xc3", b"\xa9", b"\xc3", b"\xa9"),
    (b"a", b"\xef\xbf\xbd", b"b"),
)
NEVER: tuple[Tokens, ...] = (
    (b"a", b"\xff", b"b", b"c"),
    (b"a", b"\x80", b"\x80", b"b"),
    (b"\xc3", b"a", b"b"),
    (b"\xe6\x97", b"ok", b"!"),
    (b"\xf0\x9f", b"\xc3", b"\xa9", b"t"),
)
"""Tokens that stand for bytes which can never become a character."""
CUT: tuple[Tokens, ...] = ((b"caf", b"\xc3"), (b"a", b"\xf0\x9f", b"\xa6"), ())
"""The last character is still half when the tokens end."""


@dataclass
class Played:
    """What came of a stream: its text when each id was asked for, and in the end."""

    text: str = ""
    before: list[str] = field(default_factory=list)
    """The text that had been given out when id i was asked for; the last entry: when there was none left."""


def sure(tokens: Tokens) -> str:
    """The text that is certain after ``tokens``."""
    return codecs.getincrementaldecoder("utf-8")(errors="replace").decode(b"".join(tokens))


def _judge_stream(attempt: Any) -> str:
    stream = need_function(attempt, "stream(ids, vocab)")
    for tokens in (*WHOLE, *NEVER, *CUT):
        played = _play(stream, tokens)
        for i in range(len(played.before)):
            _is_certain(played, tokens, i)
        if len(played.before) <= len(tokens):
            raise Wrong(
                f"{_with(tokens)} your stream ends before the ids do: it asked for {len(played.before)} of "
                f"{len(tokens)}. Go through all of them: for i in ids."
            )
        if played.text.rstrip(BROKEN) != played.before[-1].rstrip(BROKEN):
            raise Wrong(
                f"{_with(tokens)} all of the text should have come with the last id; afterwards yours still gives out "
                f"{played.text[len(played.before[-1]) :]!r}."
            )
    return (
        "Whatever is certain is shown at once, and half a character waits for its other half. Python's incremental "
        "decoder does just that; every program that shows a model's text as it comes needs it, or an emoji begins "
        "as a row of �."
    )


def _with(tokens: Tokens) -> str:
    return f"With the tokens {list(tokens)}"


def _play(stream: Callable[..., Any], tokens: Tokens) -> Played:
    """Let the stream run, and note how much it had given out whenever it asked for an id."""
    names = list(dict.fromkeys(tokens))
    vocab = {7 + 3 * i: name for i, name in enumerate(names)}
    given, played = dict(vocab), Played()
    shown = f"stream(ids, vocab), for the tokens {list(tokens)},"

    def ids() -> Iterator[int]:
        for token in tokens:
            played.before.append(played.text)
            yield 7 + 3 * names.index(token)
        played.before.append(played.text)

    @functools.wraps(stream)
    def run() -> None:
        for piece in _need_iterator(stream(ids(), given), shown):
            played.text += _need_text(piece, shown)

    try:
        with patience(stream, shown):
            call(run, shown=shown)
    except Wrong as told:
        if words := _reason(told.__cause__):
            raise Wrong(f"{words}\n{told}") from told
        raise
    if given != vocab:
        raise Wrong(f"{shown} changed the dict vocab that it was given.")
    return played


def _reason(error: BaseException | None) -> str:
    """Why the errors come that this task leads to; empty for others."""
    if isinstance(error, UnicodeDecodeError) and error.reason == "unexpected end of data":
        return "A token may end in the middle of a character: keep its bytes, and decode them with those that follow."
    if isinstance(error, UnicodeDecodeError):
        return "Some bytes can never become a character, and decoding them is an error unless you say errors='replace'."
    if isinstance(error, RuntimeError) and "StopIteration" in str(error):
        return "After the last id there is no next one. A loop, for i in ids, ends by itself."
    if isinstance(error, TypeError) and "generator" in str(error):
        return "ids is not a list: it has no length and no places, and gives one id after another, as in for i in ids."
    return ""


def _need_iterator(value: Any, shown: str) -> Iterator[Any]:
    if hasattr(value, "__next__"):
        return value
    if value is None:
        raise Wrong(f"{shown} should give out texts with yield; it returned None.")
    if isinstance(value, (str, list, tuple)):
        raise Wrong(
            f"{shown} should give out texts with yield, one after another; it returned {described(value)}. What is "
            "returned comes only when all ids are there."
        )
    raise Wrong(f"{shown} should give out texts with yield; it returned {described(value)}.")


def _need_text(piece: Any, shown: str) -> str:
    if isinstance(piece, (bytes, bytearray)):
        raise Wrong(f"{shown} should give out text; it gave out bytes, {bytes(piece)!r}.")
    if not isinstance(piece, str):
        words = " Where nothing is certain yet, give out nothing, or the empty text." if piece is None else ""
        raise Wrong(f"{shown} should give out text; it gave out {described(piece)}.{words}")
    return piece


def _collapsed(text: str) -> str:
    """Several � in a row as one: how many there should be for some bytes is not asked."""
    return re.sub(f"{BROKEN}+", BROKEN, text)


def _is_certain(played: Played, tokens: Tokens, i: int) -> None:
    """Nothing, if what had been given out after ``i`` tokens is what is certain then; a � may come a little later."""
    text = played.before[i]
    certain = _collapsed(sure(tokens[:i]))
    allowed = {certain, certain.rstrip(BROKEN)}
    if i == len(tokens) and sure(tokens) != b"".join(tokens).decode("utf-8", "replace"):
        text = played.text
        allowed.add(_collapsed(certain + BROKEN))  # half a character, and no other half will come
    if _collapsed(text) not in allowed:
        when = f"after {tokens[i - 1]!r}" if i else "before the first id"
        raise Wrong(
            f"{_with(tokens)}, {when}, the text so far should be {certain!r}; yours is {text!r}. "
            f"{_why(text, played.text, tokens[:i])}".rstrip()
        )


def _why(text: str, final: str, seen: Tokens) -> str:
    certain = sure(seen)
    if text == "".join(sure(seen[: n + 1]) for n in range(len(seen))):
        return "Each time the whole text so far came again. Give out only what is new."
    if text == b"".join(seen).decode("latin-1"):
        return "Each byte became a character by itself. Bytes become text with .decode('utf-8')."
    if _collapsed(text).count(BROKEN) > _collapsed(certain).count(BROKEN):
        return "� stands for half a character there, which can still become a whole one: it waits for its other bytes."
    if text.replace(BROKEN, "") == certain.replace(BROKEN, ""):
        return f"In place of bytes that can never become a character there should be {BROKEN}."
    if _collapsed(final).startswith(_collapsed(certain)):
        return "The rest comes too late: give out all that is certain before you ask for the next id."
    if BROKEN in certain:
        return "Those bytes can never become a character, however many come after them: go on, and show what follows."
    if all(sure([token]) == token.decode("utf-8", "replace") for token in seen):
        return "Something is lost: the text of every token has to come, however often it came before."
    return "Something is lost: the first bytes of a character have to be kept until the others come."


STREAM = Exercise(
    id="08-6",
    title="No half characters",
    difficulty="hard",
    minutes=18,
    attempt="stream",
    expects="your function stream(ids, vocab) itself, without calling it",
    hints=(
        "Keep the bytes that are not shown yet. For each id add `vocab[i]` to them, and see how much of them is whole.",
        'Python has one that does the keeping: `decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")`. '
        "Its `decoder.decode(some_bytes)` returns the text that is certain now.",
        "Make it once, before the loop; in the loop `yield` what it returns for the bytes of each id.",
    ),
    judge=_judge_stream,
)
