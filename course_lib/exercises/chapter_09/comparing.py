"""A patch model and a token model, compared fairly (09-5): units, passes, and equal compute."""

import math
from typing import Any

from course_lib.exercises.judge.calling import described, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import first_match, need_number

PATCH_NATS, P, PATCH_COST = 0.97, 4, 5
"""Nats per byte, bytes per pass, million operations per byte."""
TOKEN_NATS, BYTES, TOKEN_COST, MILLIONS = 3.9, 4.5, 36, 100
"""Nats per token, bytes per token, million operations per token, million tokens read."""
PATCH, TOKEN, PASS, COMPUTE = (
    "patch model, bits per byte", "token model, bits per byte", "more bytes per pass", "million bytes at equal compute",
)  # fmt: skip
LN2 = math.log(2)
NUMBERS = {
    PATCH: PATCH_NATS / LN2,
    TOKEN: TOKEN_NATS / BYTES / LN2,
    COMPUTE: TOKEN_COST * MILLIONS / PATCH_COST,
}
ROUNDED = 0.003
"""So far off, as a share, a number may be: 1.40 is as right as 1.399."""
PER_BYTE = "Its loss is per byte already, whatever the size of a patch: each byte is guessed and scored by itself."
KNOWN = {
    PATCH: [
        (PATCH_NATS, "That is still in nats: divide by ln 2, math.log(2), to get bits."),
        (PATCH_NATS * LN2, "A bit is less than a nat, so there are more of them: divide by ln 2."),
        (PATCH_NATS / P / LN2, PER_BYTE),
        (PATCH_NATS * P / LN2, f"That is per patch. {PER_BYTE}"),
        (PATCH_NATS / P, f"{PER_BYTE} And nats become bits by dividing by ln 2."),
        (PATCH_NATS / math.log10(2), "math.log10 is another logarithm: a bit is ln 2 nats, math.log(2)."),
        (PATCH_NATS / BYTES / LN2, f"{PER_BYTE} The 4.5 bytes are those of the other model's tokens."),
    ],
    TOKEN: [
        (TOKEN_NATS, "That is its loss, in nats per token: divide by the bytes of a token, and by ln 2."),
        (TOKEN_NATS / LN2, "That is in bits per token: divide by the bytes of a token."),
        (TOKEN_NATS / BYTES, "That is in nats per byte: divide by ln 2, math.log(2), to get bits."),
        (TOKEN_NATS / BYTES * LN2, "A bit is less than a nat, so there are more of them: divide by ln 2."),
        (TOKEN_NATS * BYTES / LN2, "The fraction stands on its head: a token's bits are shared out among its bytes, so "
         "divide by them."),
        (TOKEN_NATS / P / LN2, "4 bytes are the other model's patch. A token has 4.5."),
        (TOKEN_NATS / BYTES / math.log10(2), "math.log10 is another logarithm: a bit is ln 2 nats, math.log(2)."),
    ],
    COMPUTE: [
        (MILLIONS * BYTES, "Those are the bytes that the token model has read. Equal text is not equal compute: how "
         "many operations did that take, and how many bytes does the patch model read for as many?"),
        (float(MILLIONS), "As many bytes as the other has tokens: neither the same text nor the same compute."),
        (TOKEN_COST * MILLIONS / PATCH_COST / P, "Those are patches. The cost is given per byte, so the quotient is in "
         "bytes already."),
        (TOKEN_COST * MILLIONS / PATCH_COST * P, "The cost is given per byte, not per patch: the quotient is in bytes "
         "already."),
        (TOKEN_COST * MILLIONS * BYTES / PATCH_COST, "The 36 million operations are per token, not per byte: 36 "
         "million times 100 million tokens is all that the run took."),
        (TOKEN_COST * MILLIONS / BYTES / PATCH_COST, "All operations of the token model are its tokens times the cost "
         "of a token; the bytes of a token play no part."),
        (MILLIONS * PATCH_COST / TOKEN_COST, "The fraction stands on its head: what is cheaper may read more."),
        (TOKEN_COST * MILLIONS, "Those are the token model's operations: divide by what one byte costs the other."),
        (TOKEN_COST * MILLIONS / PATCH_COST * 1e6, "That is in bytes; asked for are millions of bytes."),
        (TOKEN_COST * MILLIONS / PATCH_COST - MILLIONS * BYTES, "That is by how much more it may read. Asked for is "
         "how much."),
    ],
}  # fmt: skip
WAY = {
    PATCH: "Nats per byte, over ln 2.",
    TOKEN: "Nats per token, over the bytes of a token, over ln 2.",
    COMPUTE: "Tokens times the cost of a token is what the one took; over the cost of a byte, it is what the other may "
    "read.",
}


def _judge_fair(attempt: Any) -> str:
    if not isinstance(attempt, dict) or not {PATCH, TOKEN, PASS, COMPUTE} & set(attempt):
        raise Wrong(f"Expected is {FAIR.expects}. It got {described(attempt)}.")
    for name in (PATCH, TOKEN, PASS, COMPUTE):
        value = attempt.get(name)
        if value is None or value is ...:
            raise Wrong(f'The answer for "{name}" is still missing.')
        if name == PASS:
            _same_model(value)
            continue
        got = need_number(value, f'The answer for "{name}"')
        if abs(got - NUMBERS[name]) > ROUNDED * NUMBERS[name]:
            words = first_match(got, KNOWN[name], rel=ROUNDED) or _near(got, name) or WAY[name]
            raise Wrong(f'"{name}" should be another number; it is {number(got)}. {words}')
    return (
        "So the token model is ahead, 1.25 against 1.40 bits per byte, and that verdict is not fair yet: for the same "
        "operations the patch model may read 720 million bytes, and the token model has read 450. To compare two "
        "architectures, give both the same compute, and score both in bits per byte on the same text."
    )


def _near(got: float, name: str) -> str:
    is_near = name != COMPUTE and abs(got / NUMBERS[name] - 1) < 0.05
    return "Very near: give two places after the point." if is_near else ""


def _same_model(value: Any) -> None:
    what = f'The answer for "{PASS}"'
    if not isinstance(value, str) or value not in ("patch model", "token model"):
        raise Wrong(f'{what} should be "patch model" or "token model"; it is {described(value)}.')
    if value == "patch model":
        raise Wrong(
            f'"{PASS}": a pass of the patch model\'s large part moves on by 4 bytes, and one of the token model by 4.5 '
            "on average. A patch always has its 4 bytes; a token of a good tokenizer may have more."
        )


FAIR = Exercise(
    id="09-5",
    title="A fair comparison",
    difficulty="easy",
    minutes=7,
    attempt="fair",
    expects=f'a dict with three numbers and a name, {{"{PATCH}": ..., "{TOKEN}": ..., and so on}}',
    hints=(
        "A loss in nats, over `math.log(2)`, is in bits. Per what is each of the two losses given?",
        "A token's bits are shared out among its 4.5 bytes. A patch model's loss is per byte already.",
        "The token model took 36 million operations for each of 100 million tokens. How many bytes, at 5 million "
        "operations each, does that buy?",
    ),
    judge=_judge_fair,
)
