"""Counting: pairs of letters by hand (03-1), and the weights of a GPT (03-5)."""

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
        raise Wrong(f"Expected is {TABLE.expects}. It got {described(attempt)}.")
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
        "place table": T * C,
        "head": 0 if tied else V * C,
        "matrices": L * 12 * C * C,
        "biases": L * (3 * C + C + 4 * C + C),
        "gains": (2 * L + 1) * C,
        "biases of the norms": (2 * L + 1) * C,
    }


def _mistakes(T: int, V: int, L: int, C: int, tied: bool) -> list[tuple[int, str]]:
    parts = _parts(T, V, L, C, tied)
    total = sum(parts.values())
    return [
        (total + V * C, "A tied head is the token table: count it once."),
        (total - V * C, "One table of V x C is missing: an untied head has one of its own, beside the token table."),
        (total - T * C, "The table of places is missing."),
        (total - parts["biases"] - parts["biases of the norms"], "The biases are missing, of matrices and of norms."),
        (total - parts["biases"], "The biases of the matrices are missing: each has one number per output."),
        (total - parts["biases of the norms"], "Each norm has a bias besides its gain, C numbers too."),
        (total - 2 * (2 * L + 1) * C, "The norms are missing: each has C gains and C biases."),
        (total - 2 * C, "The last norm is missing, the one after all blocks."),
        (total - L * 2 * C, "Each block has two norms, one before each part."),
        (total - L * 4 * C * C, "The MLP has two matrices, up and down."),
        (total - L * 6 * C * C, "The MLP is 4 C wide within: its matrices are C x 4C and 4C x C."),
        (total - L * C * C, "Attention has four matrices of C x C: query, key, value and proj."),
        (total + V, "The head has no bias."),
        (parts["token table"] + T * C + (total - parts["token table"] - T * C) // L, "Are there n_layer blocks?"),
    ]


def _judge_count(attempt: Any) -> str:
    signature = "count_weights(block_size, vocab_size, n_layer, n_embd, tied)"
    count_weights = need_function(attempt, signature)
    for T, V, L, C, tied in CONFIGS:
        shown = f"count_weights(block_size={T}, vocab_size={V}, n_layer={L}, n_embd={C}, tied={tied})"
        got = call(count_weights, T, V, L, C, tied, shown=shown)
        exact = sum(_parts(T, V, L, C, tied).values())
        if need_number(got, f"What {shown} returned") != exact:  # each weight counts: no rounding here
            known = [(value, words) for value, words in _mistakes(T, V, L, C, tied) if value != exact]
            words = next((words for value, words in known if got == value), "")
            where = f"What {shown} returned should be {number(exact)}; it is {number(float(got))}."
            raise Wrong(f"{where} {words}".rstrip())
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
