"""What is tested on what: a split without copies (02-5), and a text scored with every target once (02-7)."""

import itertools
from collections import Counter
from typing import Any

from course_lib.exercises.chapter_02.rows import LABELS, need_ids, need_pairs
from course_lib.exercises.judge.calling import call, described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong

STORIES = ["the fox", "a pony", "rain", "the fox", "rain", "a bell", "snow", "rain", "a pony"]
"""The last three, snow, rain and a pony: two of them have copies before. The fox has one, in training."""
SPLITS = ((STORIES, 3), (["a", "b", "c", "d"], 1), (["b", "a", "b"], 2), (["a", "b"], 2), (["a", "b"], 0))


def _judge_split(attempt: Any) -> str:
    split = need_function(attempt, "split(stories, n_val)")
    for stories, n_val in SPLITS:
        given = list(stories)
        shown = f"split({stories}, n_val={n_val})"
        returned = call(split, given, n_val, shown=shown)
        if given != stories:
            raise Wrong(f"{shown} changed the list that it was given. Build new lists.")
        train, val = _two_lists(returned, shown)
        _val_is_right(val, stories, n_val, shown)
        _train_is_right(train, stories, n_val, shown)
    return (
        "Copies are thrown out of training, and the test stays as it is. On real texts copies are rarely exact: those "
        "who collect them look for long passages that two documents share."
    )


def _two_lists(returned: Any, shown: str) -> tuple[list[Any], list[Any]]:
    if not isinstance(returned, (list, tuple)) or len(returned) != 2:
        hint = " Does the function end with return?" if returned is None else ""
        raise Wrong(f"{shown} should return two lists, train and val; it returned {described(returned)}.{hint}")
    for name, part in zip(("train", "val"), returned):
        if not isinstance(part, (list, tuple)):
            hint = " A set has no order, and forgets what stands twice." if isinstance(part, set) else ""
            raise Wrong(f"{shown}: {name} should be a list of texts; it is {described(part)}.{hint}")
    return list(returned[0]), list(returned[1])


def _val_is_right(val: list[Any], stories: list[str], n_val: int, shown: str) -> None:
    expected = stories[len(stories) - n_val :]
    if val == expected:
        return
    words = ""
    if not n_val:
        words = "stories[-0:] is the whole list, since -0 is 0. Count from the front: len(stories) - n_val."
    elif val == stories[:n_val]:
        words = "Those are the first stories; the last ones are asked for."
    elif len(val) == len(stories) - n_val:
        words = "Are train and val exchanged?"
    elif set(map(repr, val)) < set(map(repr, expected)) or len(val) < n_val:
        words = "Validation stays whole: the copies have to leave the training part."
    raise Wrong(f"{shown}: val should be {expected}; it is {val}. {words}".rstrip())


def _train_is_right(train: list[Any], stories: list[str], n_val: int, shown: str) -> None:
    val, before = stories[len(stories) - n_val :], stories[: len(stories) - n_val]
    both = [story for story in train if story in val]
    if both:
        raise Wrong(f"{shown}: {both[0]!r} stands in train and in val. The model would be tested on what it has read.")
    expected = [story for story in before if story not in val]
    if train == expected:
        return
    words = ""
    if not n_val and not train:
        words = "stories[:-0] is empty, since -0 is 0. Count from the front: len(stories) - n_val."
    elif Counter(map(repr, train)) == Counter(map(repr, expected)):
        words = "The stories are right; their order is not."
    elif set(map(repr, train)) == set(map(repr, expected)):
        words = "Copies within the training part do not leak: they stay here."
    raise Wrong(f"{shown}: train should be {expected}; it is {train}. {words}".rstrip())


SPLIT = Exercise(
    id="02-5",
    title="A split without copies",
    difficulty="medium",
    minutes=8,
    attempt="split",
    expects="your function split(stories, n_val) itself, without calling it",
    hints=(
        "First cut by position: all but the last `n_val` stories, and the last `n_val`.",
        "Then go through the first part, and keep a story only if it is not in the second one.",
        "`val = stories[len(stories) - n_val :]`, and a list comprehension with `if story not in held_out`; a set "
        "`held_out` makes that quick.",
    ),
    judge=_judge_split,
)

IDS = [31, 4, 18, 50, 27, 9, 44, 13, 36, 22]
TEXTS = ((IDS, 3), (IDS[:8], 3), (IDS[:3], 4), (IDS[:2], 1))
"""Nine targets fill three windows of three; seven leave a tail of one; then a text shorter than a window.
No id comes twice, and none is its neighbor's plus 1, so x + 1 is not the shift."""


def _judge_side_by_side(attempt: Any) -> str:
    side_by_side = need_function(attempt, "side_by_side(tokens, block_size)")
    for tokens, size in TEXTS:
        given = list(tokens)
        shown = f"side_by_side({tokens}, block_size={size})"
        returned = call(side_by_side, given, size, shown=shown)
        pairs = need_pairs(returned, f"What {shown} returned", "(x, y)")
        if given != tokens:
            raise Wrong(f"{shown} changed the list of tokens that it was given.")
        windows = [
            (need_ids(x, f"{shown}: x of window {i}"), need_ids(y, f"{shown}: y of window {i}"))
            for i, (x, y) in enumerate(pairs)
        ]
        _is_shifted(windows, tokens, size, shown)
        _each_target_once(windows, tokens, size, shown)
        inputs = tokens[:-1]
        expected = [inputs[start : start + size] for start in range(0, len(inputs), size)]
        if [x for x, _ in windows] != expected:
            raise Wrong(f"{shown}: the windows should begin at 0, T, 2T, ... and be full but for the last: {expected}.")
    return (
        "Every target counts once, so the score is that of the text, and anyone gets the same. The price: the first "
        "positions of each window see little. That is why a loss over windows has a floor of its own."
    )


def _is_shifted(windows: list[tuple[list[int], list[int]]], tokens: list[int], size: int, shown: str) -> None:
    for i, (x, y) in enumerate(windows):
        what = f"{shown}: window {i}"
        if not x or not y:
            raise Wrong(f"{what} is empty: x is {x}, y is {y}. Where nothing is left, there is no window.")
        if len(x) > size:
            raise Wrong(f"{what} has {len(x)} positions; block_size is {size}.")
        if len(x) != len(y):
            words = "A tail needs its x as short as its y." if i == len(windows) - 1 else ""
            raise Wrong(f"{what}: x is {x} and y is {y}; they should be of one length. {words}".rstrip())
        if x == y:
            raise Wrong(f"{what}: x and y are both {x}. The targets are the tokens that come next.")
        if y == [id_ + 1 for id_ in x]:
            raise Wrong(f"{what}: x is {x} and y is {y}, number by number one more. {LABELS}")
        following = dict(itertools.pairwise(tokens))  # no token comes twice
        for here, after in zip(x, y):
            if following.get(here) != after:
                raise Wrong(f"{what}: under {here} in x stands {after} in y; in the text comes {following.get(here)}.")


def _each_target_once(windows: list[tuple[list[int], list[int]]], tokens: list[int], size: int, shown: str) -> None:
    begins = [tokens.index(x[0]) for x, _ in windows]
    strides = {after - before for before, after in itertools.pairwise(begins)}
    (stride,) = strides if len(strides) == 1 else (size,)  # where they have none in common, say nothing of it
    counts = Counter(target for _, y in windows for target in y)
    twice = [target for target, count in counts.items() if count > 1]
    if twice:
        words = "The next window begins T further on."
        if stride != size:
            words = f"Your windows begin {stride} apart, so they overlap; they should begin T = {size} apart."
        raise Wrong(f"{shown}: {twice[0]} is a target {counts[twice[0]]} times. {words}")
    missing = [token for token in tokens[1:] if token not in counts]
    if missing:
        words = "Each window begins where the one before it ends."
        if begins and begins[0] != 0:
            words = f"Your first window begins at position {begins[0]}; it should begin at 0."
        elif stride == size + 1:
            words = "The first target of a window is the token after the last x: windows move by T, not by T + 1."
        elif stride != size:
            words = f"Your windows begin {stride} apart, and leave a gap; they should begin T = {size} apart."
        elif missing == tokens[-len(missing) :]:
            words = "What is left at the end is a window too, a shorter one."
        raise Wrong(f"{shown}: {missing[0]} is never a target. {words}")


SIDE_BY_SIDE = Exercise(
    id="02-7",
    title="Every target once",
    difficulty="hard",
    minutes=15,
    attempt="side_by_side",
    expects="your function side_by_side(tokens, block_size) itself, without calling it",
    hints=(
        "N tokens have N − 1 targets. Window 0 takes the first T of them, window 1 the next T. Where does its x begin?",
        "The starts are `range(0, len(tokens) - 1, block_size)`: where only one token is left, nothing can follow.",
        "Cut y first: `tokens[start + 1 : start + block_size + 1]`; at the end Python makes it shorter by itself. x is "
        "as long as y: `tokens[start : start + len(y)]`.",
    ),
    judge=_judge_side_by_side,
)
