"""Counting: pairs of letters by hand (03-1), and the weights of a GPT (03-5)."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from course_lib.exercises.judge.calling import call, described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import need_number

ROUNDED = 0.007
"""So far off a number may be: 0.66 is as right as 0.67."""
PAIRS = {"is": 2 / 3, "ip": 1 / 3, "si": 1 / 2, "mi": 1.0}
LAST = (
    "There are four i, but nothing follows the last one: only three pairs begin with i, and a row is divided by the "
    "number of its pairs."
)
BACKWARD = "That is how often the first letter stands *before* the second. Asked is what follows the first."
SHARE = "That is the pair's share of all ten pairs. Divide by the pairs that begin with the same letter."
COUNTED = "That is the count. Divide it by the number of pairs that begin with the same letter."
KNOWN = {
    "is": [(2 / 4, LAST), (2 / 10, SHARE), (2 / 11, SHARE), (2, COUNTED)],
    "ip": [(1 / 4, LAST), (1 / 2, BACKWARD), (1 / 10, SHARE), (1 / 11, SHARE), (1, COUNTED)],
    "si": [(2 / 10, SHARE), (2 / 11, SHARE), (2, COUNTED)],
    "mi": [(1 / 4, BACKWARD), (1 / 3, BACKWARD), (1 / 10, SHARE), (1 / 11, SHARE)],
}


def _judge_table(attempt: Any) -> str:
    if not isinstance(attempt, dict) or not set(PAIRS) & set(attempt):
        raise Wrong(f"Expected {TABLE.expects}, but got {described(attempt)}.")
    for pair, expected in PAIRS.items():
        if attempt.get(pair) is None or attempt[pair] is ...:
            raise Wrong(f'The probability for "{pair}" is still missing.')
        what = f"The probability that {pair[1]} comes after {pair[0]}"
        got = need_number(attempt[pair], what)
        if abs(got - expected) > ROUNDED:
            near = next((words for value, words in KNOWN[pair] if abs(got - value) < ROUNDED), "")
            if not 0 <= got <= 1:
                near = near or "A probability is between 0 and 1; 66.7% is 0.667."
            words = near or f"Mark every {pair[0]} in the text, and write down what stands right after it."
            raise Wrong(f"{what} should be another number; it is {number(got)}. {words}")
    return (
        "Each row of the table is divided by the number of its own pairs, and so it sums to 1: after i, 2/3 and 1/3. "
        "After m there is no doubt: the loss of that pair is -ln 1 = 0."
    )


TABLE = Exercise(
    id="03-1",
    title="A table by hand",
    difficulty="easy",
    minutes=4,
    attempt="probabilities",
    expects='a dict with four numbers, {"is": ..., "ip": ..., "si": ..., "mi": ...}',
    hints=(
        "Write the ten pairs of the text in a row: mi, is, ss, si, ...",
        "Which of them begin with i? How many of those end in s?",
        "Three pairs begin with i: is, is, ip. The last i begins none.",
    ),
    judge=_judge_table,
)

CONFIGS = ((32, 53, 2, 64, True), (32, 53, 2, 64, False), (16, 100, 3, 48, True), (1024, 50257, 12, 768, True))


def _parts(T: int, V: int, L: int, C: int, tied: bool) -> dict[str, int]:
    """What each part of a GPT with biases has, by name."""
    return {
        "token table": V * C,
        "position table": T * C,
        "head": 0 if tied else V * C,
        "matrices": L * 12 * C * C,
        "biases": L * (3 * C + C + 4 * C + C),
        "gains": (2 * L + 1) * C,
        "biases of the norms": (2 * L + 1) * C,
    }


Mistake = tuple[Callable[[int, int, int, int, bool], int], str]
"""What is counted too much (or, below 0, left out) for T, V, L, C and tied, and what to say of it."""
MISTAKES: tuple[Mistake, ...] = (
    (lambda T, V, L, C, tied: V * C * tied, "A tied head is the token table: count it once."),
    (
        lambda T, V, L, C, tied: -V * C * (not tied),
        "One table of V x C is missing: an untied head has one of its own, beside the token table.",
    ),
    (lambda T, V, L, C, tied: -T * C, "The table of positions is missing."),
    (lambda T, V, L, C, tied: V, "The head has no bias."),
    (
        lambda T, V, L, C, tied: -9 * L * C - (2 * L + 1) * C,
        "The biases are missing, of matrices and of norms.",
    ),
    (
        lambda T, V, L, C, tied: -9 * L * C - 2 * (2 * L + 1) * C,
        "Only tables and matrices are counted: each matrix of a block has a bias, and each norm C gains and C biases.",
    ),
    (lambda T, V, L, C, tied: -9 * L * C, "The biases of the matrices are missing: each has one number per output."),
    (lambda T, V, L, C, tied: -4 * L * C, "Attention's biases are missing: 3C for q, k and v, and C for proj."),
    (lambda T, V, L, C, tied: -5 * L * C, "The MLP's biases are missing: 4C for up, and C for down."),
    (
        lambda T, V, L, C, tied: -3 * L * C,
        "A bias has one number per output: 3C for q, k and v together, 4C for the MLP's up. One of them is too short.",
    ),
    (
        lambda T, V, L, C, tied: -2 * L * C,
        "Each block has two norms, one before each part; and q, k and v have a bias of C numbers each, 3C in all.",
    ),
    (lambda T, V, L, C, tied: -L * C, "Each of a block's four matrices has a bias: C for proj, and C for down, too."),
    (
        lambda T, V, L, C, tied: -(2 * L + 1) * C,
        "Each norm has a bias besides its gain, C numbers too: one of the two is missing.",
    ),
    (lambda T, V, L, C, tied: -(2 * L + 1) * (2 * C - 2), "A norm's gain and bias have C numbers each, not one."),
    (lambda T, V, L, C, tied: -2 * (2 * L + 1) * C, "The norms are missing: each has C gains and C biases."),
    (lambda T, V, L, C, tied: -2 * C, "The last norm is missing, the one after all blocks."),
    (lambda T, V, L, C, tied: -2 * L * C * C, "Queries, keys and values are three matrices of C x C, not one: 12 C²."),
    (lambda T, V, L, C, tied: -L * C * C, "Attention has four matrices of C x C: query, key, value and proj."),
    (lambda T, V, L, C, tied: -4 * L * C * C, "The MLP has two matrices, up and down."),
    (lambda T, V, L, C, tied: -6 * L * C * C, "The MLP is 4 C wide within: its matrices are C x 4C and 4C x C."),
    (lambda T, V, L, C, tied: -8 * L * C * C, "The MLP's matrices are missing: C x 4C and 4C x C."),
    (lambda T, V, L, C, tied: -(L - 1) * (12 * C * C + 13 * C), "Are there n_layer blocks?"),
)


def _named(far: Sequence[int]) -> str:
    """What to say of counts that are off by ``far`` in `CONFIGS`: one known mistake that fits all of them, or two."""
    off = [(tuple(mistake(*config) for config in CONFIGS), words) for mistake, words in MISTAKES]
    for here, words in off:
        if here == tuple(far):
            return words
    for (here, words), (there, more) in itertools.combinations(off, 2):
        if tuple(a + b for a, b in zip(here, there)) == tuple(far):
            return f"{words} {more}"
    return ""


def _judge_count(attempt: Any) -> str:
    signature = "count_weights(block_size, vocab_size, n_layer, n_embd, tied)"
    count_weights = need_function(attempt, signature)
    far = []
    for T, V, L, C, tied in CONFIGS:
        shown = f"count_weights(block_size={T}, vocab_size={V}, n_layer={L}, n_embd={C}, tied={tied})"
        got = need_number(call(count_weights, T, V, L, C, tied, shown=shown), f"What {shown} returned")
        far.append(got - sum(_parts(T, V, L, C, tied).values()))  # each weight counts: no rounding here
    if wrong := [i for i, off in enumerate(far) if off]:
        T, V, L, C, tied = CONFIGS[wrong[0]]
        exact = sum(_parts(T, V, L, C, tied).values())
        came = exact + far[wrong[0]]
        shown = f"count_weights(block_size={T}, vocab_size={V}, n_layer={L}, n_embd={C}, tied={tied})"
        where = f"What {shown} returned should be {exact:,}; it is {int(came) if came.is_integer() else came:,}."
        raise Wrong(f"{where} {_named(far)}".rstrip())
    return (
        "The last of them is GPT-2, the small one of 2019: 124,439,808 weights, as many as the released file holds; "
        "the paper's 117M was a miscount, as OpenAI later said."
    )


COUNT = Exercise(
    id="03-5",
    title="Count GPT-2",
    difficulty="medium",
    minutes=10,
    attempt="count_weights",
    expects="your function count_weights(block_size, vocab_size, n_layer, n_embd, tied) itself, without calling it",
    hints=(
        "Go along the way of the data: tables, then per block norm, attention, norm, MLP, then the last norm and the "
        "head.",
        "A matrix from m to n numbers has m * n weights, and a bias n. A norm has a gain and a bias, C each.",
        "Per block: 12 C² in the matrices; biases of 3C, C, 4C and C; two norms of 2C. That is 12 C² + 13 C.",
    ),
    judge=_judge_count,
)
