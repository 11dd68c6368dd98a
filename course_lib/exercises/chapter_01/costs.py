"""What a vocabulary costs (01-3), and what a loss is worth under any tokenizer (01-6)."""

import math
from typing import Any

from course_lib.exercises.judge.calling import call, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import first_match, near, need_number
from course_lib.tokenizers import ByteTokenizer, CharTokenizer, Tokenizer

CASES = (
    {"V": 256, "C": 128, "other": 400_000, "tied": False},
    {"V": 256, "C": 128, "other": 400_000, "tied": True},
    {"V": 50_257, "C": 768, "other": 85_842_432, "tied": True},
    {"V": 5, "C": 2, "other": 0, "tied": False},
)


def _judge_share(attempt: Any) -> str:
    share = need_function(attempt, "vocabulary_share(V, C, other, tied)")
    for case in CASES:
        shown = f"vocabulary_share({', '.join(f'{name}={value}' for name, value in case.items())})"
        got = need_number(call(share, *case.values(), shown=shown), f"What {shown} returned")
        expected = _share(**case)
        if near(got, expected):
            continue
        words = first_match(got, _known_shares(expected, **case)) or (
            "How many numbers are in one table, how many tables are there, and how many weights has the model in all?"
        )
        raise Wrong(f"{shown} should return {number(expected)}; it returned {number(got)}. {words}")
    return (
        "V x C in each table, over all weights. Of GPT-2's small model the tied table is 31 percent; a vocabulary of "
        "256 bytes would bring that to 0.2 percent. Then the texts become longer instead."
    )


def _share(V: int, C: int, other: int, tied: bool) -> float:
    tables = V * C * (1 if tied else 2)
    return tables / (tables + other)


def _known_shares(expected: float, V: int, C: int, other: int, tied: bool) -> list[tuple[float, str]]:
    one, tables = V * C, V * C * (1 if tied else 2)
    swapped = _share(V, C, other, not tied)
    return [
        (swapped, "Tied means one table for both, so it counts once." if tied else "They are not tied here: embedding "
         "and head have a table each."),
        (one / (2 * one + other), "Both tables are among all the weights; only one of them is in your share."),
        (tables / other if other else math.nan, "You divided by the other weights. All weights are those and the "
         "tables."),
        (other / (tables + other), "That is the share of the others. Asked for is that of the tables."),
        (100 * expected, "That is in percent; a plain fraction is asked for, 1 for all of them."),
        (float(tables), "That counts the weights of the tables. Divide by all weights."),
        ((V + C) / (V + C + other), "A table has V rows of C numbers: V times C, not V plus C."),
        *[(round(expected, digits), "Do not round: // and round() throw digits away.") for digits in range(5)],
    ]  # fmt: skip


SHARE = Exercise(
    id="01-3",
    title="The share of the vocabulary",
    difficulty="easy",
    minutes=5,
    attempt="vocabulary_share",
    expects="your function vocabulary_share(V, C, other, tied) itself, without calling it",
    hints=(
        "One table has V rows of C numbers.",
        "There are two tables, or one where they are tied. Divide the weights of the tables by all weights, tables "
        "included.",
        "`tables = V * C * (1 if tied else 2)`",
    ),
    judge=_judge_share,
)

TEXTS = (
    (2.0, CharTokenizer, "лиса, лиса"),
    (1.5, ByteTokenizer, "лиса и 🦊"),
    (1.0, CharTokenizer, "the fox"),
)
"""First a text whose tokens, characters and bytes tell most mistakes apart: there tokens are the characters."""


def _judge_fair_score(attempt: Any) -> str:
    fair_score = need_function(attempt, "fair_score(nats_per_token, tokenizer, text)")
    for nats, kind, text in TEXTS:
        tokenizer: Tokenizer = kind.train(text)
        shown = f"fair_score({nats}, {tokenizer}, {text!r})"
        got = need_number(call(fair_score, nats, tokenizer, text, shown=shown), f"What {shown} returned")
        tokens, n_bytes = len(tokenizer.encode(text)), len(text.encode("utf-8"))
        expected = nats * tokens / (math.log(2) * n_bytes)
        if near(got, expected, rel=1e-3):
            continue
        words = first_match(got, _known_scores(nats, tokens, n_bytes, len(text)), rel=1e-3) or (
            f"The text has {tokens} tokens, {len(text)} characters and {n_bytes} bytes here."
        )
        raise Wrong(f"{shown} should return {number(expected)}; it returned {number(got)}. {words}")
    return (
        "All nats of the text, in bits, over its bytes. With one token for each byte it is just nats / ln 2; with any "
        "other tokenizer the two counts differ, and that is what makes the score fair."
    )


def _known_scores(nats: float, tokens: int, n_bytes: int, characters: int) -> list[tuple[float, str]]:
    bits = nats / math.log(2)
    return [
        (nats, "That is still in nats per token."),
        (nats * tokens / n_bytes, "That is in nats per byte: divide by ln 2, math.log(2), to get bits."),
        (nats * math.log(2) * tokens / n_bytes, "A bit is less than a nat, ln 2 of one, so there are more bits: divide "
         "by ln 2, do not multiply."),
        (bits * n_bytes / tokens, "The fraction stands on its head: times tokens, over bytes."),
        (bits, "That is in bits per token, and here each token is a character. Times the number of tokens, over that "
         "of bytes: len(text.encode('utf-8')) counts these, len(text) does not."),
        (bits * tokens / characters, "You divided by characters. len(text) counts these; len(text.encode('utf-8')) "
         "counts bytes."),
        (bits * tokens, "That is the whole text in bits. Divide by its bytes."),
        (bits / n_bytes, "The loss is a mean: multiply by the number of tokens to get that of the whole text."),
        (bits * (tokens - 1) / n_bytes, "Here every token was scored, the first one too."),
        *[(round(bits * tokens / n_bytes, digits), "Do not round.") for digits in range(4)],
    ]  # fmt: skip


FAIR_SCORE = Exercise(
    id="01-6",
    title="A fair score",
    difficulty="medium",
    minutes=8,
    attempt="fair_score",
    expects="your function fair_score(nats_per_token, tokenizer, text) itself, without calling it",
    hints=(
        "How many nats did the whole text cost? The loss is the mean over its tokens.",
        "`len(tokenizer.encode(text))` counts tokens, `len(text.encode('utf-8'))` bytes.",
        "A nat is 1 / ln 2 bits: divide by `math.log(2)`.",
    ),
    judge=_judge_fair_score,
)
