"""The merges of a vocabulary that lists nothing but its tokens (08-4)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from course_lib.exercises.chapter_08.merging import LEARNED, Pair, encoded
from course_lib.exercises.chapter_08.pieces import ask, need_pair
from course_lib.exercises.judge.calling import described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong

Vocab = dict[bytes, int]


def vocabulary(merges: list[Pair]) -> Vocab:
    """The tokens with their ids, in alphabetical order: which came first, only the ids say."""
    single = sorted({bytes([byte]) for pair in merges for byte in b"".join(pair)})
    tokens = [*single, *(b"".join(pair) for pair in merges)]
    return {token: tokens.index(token) for token in sorted(tokens)}


def _judge_recover(attempt: Any) -> str:
    recover_merges = need_function(attempt, "recover_merges(vocab)")
    for _, merges in LEARNED:
        vocab = vocabulary(merges)
        shown = f"recover_merges({vocab})"
        got = _need_pairs(ask(recover_merges, vocab, shown=shown), vocab, shown)
        if got != merges:
            raise Wrong(f"{shown}: {_why(vocab, got, merges)}")
    return (
        "A token was made of what its bytes became with the merges before it. tiktoken's files list only tokens, each "
        "with its rank, and this is how their merges were found again (Karpathy, minbpe). So in a vocabulary the order "
        "counts: the same tokens in another order may come of other merges."
    )


def _need_pairs(value: Any, vocab: Vocab, shown: str) -> list[Pair]:
    what = f"What {shown} returned"
    if not isinstance(value, (list, tuple)):
        hint = " Does the function end with return?" if value is None else ""
        raise Wrong(f"{what} should be a list of pairs; it is {described(value)}.{hint}")
    pairs = []
    for i, pair in enumerate(value):
        if isinstance(pair, (list, tuple)) and len(pair) == 1:
            raise Wrong(f"{what} holds {pair!r} at place {i}, a single piece: only longer tokens were made by a merge.")
        if isinstance(pair, (list, tuple)) and len(pair) > 2:
            _in_order([one for one in value[: i + 1] if isinstance(one, (list, tuple))], vocab, shown)
            raise Wrong(
                f"{what} holds {pair!r} at place {i}: with all merges that were learned before it, exactly two pieces "
                "are left of a token."
            )
        pairs.append(need_pair(tuple(pair) if isinstance(pair, list) else pair, f"Place {i} of what {shown} returned"))
    return pairs


def _in_order(parts: Sequence[Sequence[Any]], vocab: Vocab, shown: str) -> None:
    """Whether the tokens that are made of ``parts`` come in the order of their ids; where they do not, `Wrong`."""
    tokens = [b"".join(pieces) for pieces in parts if all(isinstance(piece, bytes) for piece in pieces)]
    for before, after in pairwise([token for token in tokens if token in vocab]):
        if vocab[before] > vocab[after]:
            raise Wrong(
                f"{shown}: {before!r} has the id {vocab[before]} and {after!r} has {vocab[after]}, and you take "
                f"{before!r} first. The ids say in which order the tokens were learned."
            )


def _why(vocab: Vocab, got: list[Pair], merges: list[Pair]) -> str:
    """The first thing that is wrong with some pairs."""
    if not got:
        first = vocab[b"".join(merges[0])]
        return (
            f"you found no merge. Only the bytes that occur have ids here, 0 to {first - 1}, so the first merge has "
            f"the id {first} and not 256: tell merges by the length of their tokens."
        )
    for pair in got:
        if b"".join(pair) not in vocab:
            return f"you joined {pair}, but {b''.join(pair)!r} is no token."
    for i, (mine, right) in enumerate(zip(got, merges)):
        token = b"".join(right)
        if mine == right:
            continue
        if b"".join(mine) != token:
            return (
                f"merge {i} (counted from 0) made {token!r}, id {vocab[token]}; yours makes {b''.join(mine)!r}, id "
                f"{vocab[b''.join(mine)]}. The ids say in which order the tokens were learned."
            )
        halves = [half for half in mine if half not in vocab or vocab[half] >= vocab[token]]
        if halves:
            return f"{token!r} was made of {right}; in yours there is {halves[0]!r}, which was no token yet."
        return (
            f"{token!r} was made of {right}; yours is {mine}. Both halves are tokens, but with the merges before it, "
            f"the bytes of {token!r} become {list(encoded(token, merges[:i]))}."
        )
    if len(got) < len(merges):
        return f"the merge that made {b''.join(merges[len(got)])!r} is missing."
    return f"{len(merges)} tokens are longer than a byte, and so there were {len(merges)} merges; yours are {len(got)}."


RECOVER = Exercise(
    id="08-4",
    title="Merges from a vocabulary",
    difficulty="medium",
    minutes=15,
    attempt="recover_merges",
    expects="your function recover_merges(vocab) itself, without calling it",
    hints=(
        "Go through the tokens in the order of their ids: `sorted(vocab, key=vocab.get)`. No merge made a "
        "single byte.",
        "When a token was learned, its bytes were already cut into two pieces, by the merges before it. These you know "
        "by then.",
        "So encode each token with the merges that you have found so far: begin with its bytes, and apply one merge "
        "after another. What is left are two pieces, the pair.",
        "`for pair in merges: pieces = apply_merge(pieces, pair)`: the chapter has "
        "`apply_merge`. Begin with `pieces = tuple(bytes([byte]) for byte in token)`.",
    ),
    judge=_judge_recover,
)
