"""With pencil and paper: which bytes a byte's guess is made from, and through which part (09-1)."""

from typing import Any

from course_lib.exercises.judge.calling import described, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import by_case, need_number, plain

P = 4
CASES = (0, 5, 8, 11)
Pair = tuple[float, float]


def seen(t: int) -> tuple[int, int]:
    """How many bytes reach the guess of byte ``t`` through the latent, and how many through the decoder."""
    return t // P * P, t % P


def _judge_sees(attempt: Any) -> str:
    answers = by_case(attempt, CASES, SEES.expects)
    pairs = {t: _need_pair(value, t) for t, value in answers.items()}
    for t, got in pairs.items():
        if got != seen(t):
            raise Wrong(
                f"For byte {t}, {number(got[0])} through the latent and {number(got[1])} through the decoder is not "
                f"right. {_why(pairs, t)}"
            )
    return (
        "Both numbers together are t: every byte before it has its way, and none twice. The latent reaches back to the "
        "beginning, the decoder only to the beginning of the patch. At t = 8 the decoder has not read a byte: the "
        "first byte of each patch is guessed from the latent alone."
    )


def _need_pair(value: Any, t: int) -> Pair:
    if value is None or value is ...:
        raise Wrong(f"The answer for byte {t} is still missing.")
    two = plain(value)
    if not isinstance(two, list) or len(two) != 2:
        raise Wrong(
            f"The answer for byte {t} should be a pair, (bytes through the latent, bytes through the decoder); it is "
            f"{described(value)}."
        )
    for place, one in zip(("latent", "decoder"), two):
        if one is None or one is ...:
            raise Wrong(f"The answer for byte {t}, through the {place}, is still missing.")
    latent, decoder = (need_number(one, f"The answer for byte {t}, a number of bytes,") for one in two)
    return latent, decoder


def _why(pairs: dict[int, Pair], t: int) -> str:
    """The slip that explains every answer so far that is wrong, and this one."""
    for slip, words in SLIPS:
        if pairs[t] == slip(t) and all(pairs[s] in (slip(s), seen(s)) for s in pairs):
            return words
    return next((words for slip, words in SLIPS if pairs[t] == slip(t)), "") or _counted(pairs[t], t)


def _counted(got: Pair, t: int) -> str:
    if sum(got) > t:
        return f"Only {t} bytes stand before byte {t}; you have {number(sum(got))} of them."
    if sum(got) < t:
        return f"{t} bytes stand before byte {t}, and all of them are known; you have {number(sum(got))}."
    return "All of them are there, but shared out wrongly: whole patches go through the latent, its own patch does not."


SLIPS = (
    (lambda t: (t // P, t % P), "You counted patches. Asked for are bytes, and a patch has four."),
    (lambda t: (t % P, t // P * P), "The two are the wrong way round: whole patches go through the latent."),
    (lambda t: (t // P * P, t % P + 1), "That is one too many: byte t is the answer, and its guess is made without it. "
     "The decoder begins each patch with a start symbol, which is no byte of the text."),
    (lambda t: ((t + 1) // P * P, (t + 1) % P), "That is the guess of the byte after it. Bytes are counted from 0, so "
     "t of them stand before byte t."),
    (lambda t: (min(P, t // P * P), t % P), "The latent is more than the last patch: attention has mixed all patches "
     "before into it."),
    (lambda t: (t // P * P + P, 0), "That is the latent of its own patch, which holds the answer. The latent comes "
     "from the last patch that was whole before."),
    (lambda t: (t // P * P + P, t % P), "That is the latent of its own patch, which holds the answer. The latent comes "
     "from the last patch that was whole before."),
    (lambda t: (max(0, t // P * P - P), t % P), "One patch more is whole by then: the one just before its own."),
    (lambda t: (t, 0), "A patch that is not whole yet has no latent: its bytes go through the decoder."),
    (lambda t: (0, t), "The decoder begins anew in each patch. What was before comes through the latent."),
    (lambda t: (t, t % P), "The bytes of its own patch are counted twice: a patch that is not whole has no latent."),
    (lambda t: (t // P * P, t), "The decoder reads only the bytes of its own patch, not those before."),
    (lambda t: (t // P * P, 0), "The bytes of its own patch are known too, as far as they stand before it."),
    (lambda t: (t // P * P, P - 1 - t % P), "Those are the bytes of its patch that come after it. Known are those "
     "before."),
    (lambda t: (t // P * P, P - t % P), "Those are the bytes of its patch that are still to come. Known are those "
     "before."),
)  # fmt: skip

SEES = Exercise(
    id="09-1",
    title="Which bytes does it see?",
    difficulty="easy",
    minutes=6,
    attempt="sees",
    expects="a dict with four pairs of numbers, {0: (..., ...), 5: (..., ...), 8: (..., ...), 11: (..., ...)}",
    hints=(
        "Write down the bytes 0 to 11 and draw a line after every fourth. In which patch is byte 5, and which are "
        "whole by then?",
        "Byte 5 is the second byte of patch 1. Patch 0 is whole: four bytes, through the latent. In its own patch one "
        "byte stands before it, byte 4.",
        "For any t: `t // 4` patches are whole, and `t % 4` bytes of its own patch stand before it.",
    ),
    judge=_judge_sees,
)
