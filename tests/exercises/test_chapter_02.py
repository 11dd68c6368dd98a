"""Chapter 02's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import itertools
import math
import random

import numpy as np
import pytest
import torch

from course_lib.data import Batcher, load_text
from course_lib.exercises import check

from .planted import assert_told

pytestmark = pytest.mark.usefixtures("one_thread")


# 02-1 -----------------------------------------------------------------------------------------------------

CASES = ((6, 2), (9, 8), (1000, 64))


def by(function) -> dict:
    return {case: function(*case) for case in CASES}


WRONG_1 = {
    "the number of places": (by(lambda N, T: N - T), "counted from 0, so the last one is one less"),
    "two too far": (by(lambda N, T: N - T + 1), "too far by two"),
    "one too few": (by(lambda N, T: N - T - 2), "One more fits"),
    "the last token": ({(6, 2): 3, (9, 8): 8, (1000, 64): 999}, "where the last token stands"),
    "side by side": ({(6, 2): 3, (9, 8): 0, (1000, 64): 1000 - 128}, "Windows may overlap"),
    "a guess": (by(lambda N, T: 50), "Write down the positions"),
    "the last one wrong": ({(6, 2): 3, (9, 8): 0, (1000, 64): 936}, "N = 1,000 and T = 64"),
    "one missing": ({(6, 2): 3, (9, 8): ..., (1000, 64): 935}, "N = 9 and T = 8 is still missing"),
    "one case missing": ({(6, 2): 3, (9, 8): 0}, "there is no answer for (1000, 64)"),
    "a text": ({(6, 2): "3", (9, 8): 0, (1000, 64): 935}, "should be a number; it is the text"),
    "no dict": (3, "a dict with three whole numbers"),
}


def test_the_last_places_may_come_in_order():
    assert check("02-1", [3, 0, 935]).passed
    assert check("02-1", by(lambda N, T: Batcher(range(N), 1, T).tokens.size - T - 1)).passed


# 02-2 -----------------------------------------------------------------------------------------------------


def examples_02(first=0, context_end=1, target=1, count=0, from_zero=False):
    """An examples with one thing or another gone wrong."""

    def examples(tokens, start, block_size):
        begin = 0 if from_zero else start
        places = range(block_size + count)
        return [(tokens[begin + first * t : start + t + context_end], tokens[start + t + target]) for t in places]

    return examples


def pops(tokens, start, block_size):
    pairs = examples_02()(tokens, start, block_size)
    tokens.pop()
    return pairs


WRONG_2 = {
    "an empty context first": (examples_02(context_end=0, target=0), "The first context is not empty"),
    "the answer in the question": (examples_02(context_end=2), "the answer is in the question"),
    "from the text's start": (examples_02(from_zero=True), "begins at the window's start"),
    "the last token alone": (examples_02(first=1), "not the last token alone"),
    "not shifted": (examples_02(target=0), "That is the last token of the context"),
    "shifted by two": (lambda s, a, T: [(s[a : a + t + 1], s[a + t + 2]) for t in range(T)], "one token too far"),
    "one too few": (examples_02(count=-1), "should return 3 pairs; it returned 2"),
    "past the window": (examples_02(count=1), "should return 3 pairs; it returned 4"),
    "past the text": (examples_02(count=9), "raised IndexError"),
    "a list as target": (lambda s, a, T: [(s[a : a + t + 1], [s[a + t + 1]]) for t in range(T)], "should be one id"),
    "no pairs": (lambda s, a, T: s[a : a + T], "a list of pairs (context, target); at position 0"),
    "nothing returned": (lambda s, a, T: print(end=""), "Does the function end with return?"),
    "changes the text": (pops, "changed the list"),
    "called": ([([7], 3)], "It got a list of 1"),
}


def test_examples_may_come_one_by_one_and_hold_tuples():
    def examples(tokens, start, block_size):
        for t in range(block_size):
            yield tuple(tokens[start : start + t + 1]), tokens[start + t + 1]

    assert check("02-2", examples).passed


# 02-3 -----------------------------------------------------------------------------------------------------


def starts_03(key, low=0, high=0, size=lambda batch: batch, finish=lambda row: row.tolist()):
    """A starts_of whose generator is made from ``key``, with one thing or another gone wrong."""

    def starts_of(seed, step, batch_size, places):
        return finish(np.random.default_rng(key(seed, step)).integers(low, places + high, size=size(batch_size)))

    return starts_of


def pair(seed, step):
    return [seed, step]


def global_numpy(seed, step, batch_size, places):
    np.random.seed(1000 * seed + step)
    return np.random.randint(places, size=batch_size).tolist()


def global_torch(seed, step, batch_size, places):
    torch.manual_seed(1000 * seed + step)
    return torch.randint(places, (batch_size,)).tolist()


def unseeded(seed, step, batch_size, places):
    return [random.randrange(places) for _ in range(batch_size)]


def one_after_another(seed, step, batch_size, places):
    first = int(np.random.default_rng([seed, step]).integers(places))
    return [(first + i) % places for i in range(batch_size)]


def one_for_all(seed, step, batch_size, places):
    return [int(np.random.default_rng([seed, step]).integers(places))] * batch_size


def by_random(key):
    """A starts_of with Python's own generator, made from ``key``."""

    def starts_of(seed, step, batch_size, places):
        generator = random.Random(key(seed, step))
        return [generator.randrange(places) for _ in range(batch_size)]

    return starts_of


WRONG_3 = {
    "no seed at all": (unseeded, "they depend on what was drawn before"),
    "numpy's own generator": (global_numpy, "the global generator has moved on"),
    "torch's own generator": (global_torch, "the global generator has moved on"),
    "the step is left out": (starts_03(lambda seed, step: seed), "the model would read one batch for ever"),
    "the seed is left out": (starts_03(lambda seed, step: step), "Use seed as well"),
    "added": (starts_03(lambda seed, step: seed + step), "hand both over, [seed, step]"),
    "multiplied": (starts_03(lambda seed, step: (seed + 1) * (step + 1)), "hand both over, [seed, step]"),
    "a thousand seeds": (by_random(lambda s, t: 1000 * s + t), "Seed 1, step 0 and seed 0, step 1000"),
    "a million steps": (starts_03(lambda s, t: 10**6 * s + t), "hand both over, [seed, step]"),
    "sixteen bits": (starts_03(lambda s, t: s << 16 | t), "Seed 1, step 0 and seed 0, step 65536"),
    "the step first": (starts_03(lambda s, t: 1000 * t + s), "Seed 0, step 1 and seed 1000, step 0"),
    "one too far": (starts_03(pair, finish=lambda r: [*r.tolist()[:-1], 1000]), "they are counted from 0"),
    "never the last": (starts_03(pair, high=-1), "The last one is legal, too"),
    "never the first": (starts_03(pair, low=1), "the start 0 never came"),
    "one too few": (starts_03(pair, size=lambda batch: batch - 1), "should return 8 starts"),
    "one start for all": (one_for_all, "draw batch_size numbers, not one"),
    "one after another": (one_after_another, "at equal distances"),
    "one number": (starts_03(pair, finish=lambda row: int(row[0])), "should be a list of whole numbers"),
    "fractions": (starts_03(pair, finish=lambda row: (row / 2).tolist()), "list of whole numbers; at position 0"),
    "nothing returned": (starts_03(pair, finish=lambda row: None), "Does the function end with return?"),
    "called": ([1, 2, 3], "It got a list of 3"),
}


def test_the_librarys_own_draw_is_right_and_so_is_a_tensor():
    def by_philox(seed, step, batch_size, places):
        return np.random.Philox(key=[seed, step]).random_raw(batch_size).astype(object) % places

    def by_torch(seed, step, batch_size, places):
        return torch.randint(places, (batch_size,), generator=torch.Generator().manual_seed(1_000_003 * seed + step))

    assert check("02-3", lambda *args: [int(start) for start in by_philox(*args)]).passed
    assert check("02-3", by_torch).passed
    assert check("02-3", by_random(lambda seed, step: f"{seed} {step}")).passed
    assert check("02-3", lambda s, t, b, n: Batcher(range(n + 1), b, 1, seed=s).offsets(t)).passed


# 02-4 -----------------------------------------------------------------------------------------------------


def share_04(first):
    """A share_of that begins at the window that ``first`` says: (grad_accum, rank, world_size, micro) -> number."""

    def share_of(starts, batch_size, rank, world_size, micro):
        begin = first(len(starts) // batch_size, rank, world_size, micro) * batch_size
        return starts[begin : begin + batch_size]

    return share_of


WRONG_4 = {
    "rank is left out": (share_04(lambda g, r, w, m: m), "How many windows do the ranks before this one take"),
    "micro is left out": (share_04(lambda g, r, w, m: r * (g // w)), "Does micro move the slice?"),
    "ranks too near": (share_04(lambda g, r, w, m: r + m), "by rank 0 in micro-step 1 already"),
    "ranks too far": (
        share_04(lambda g, r, w, m: r * g + m),
        ("it returned 0", "behind the end of the list", "grad_accum // world_size = 2: so many come before rank 1"),
    ),
    "world_size for micro": (share_04(lambda g, r, w, m: r * w + m), ("it returned 0", "behind the end of the list")),
    "the whole step": (lambda s, b, r, w, m: list(s), ("it returned 12", "That is the whole step")),
    "the whole share": (
        lambda s, b, r, w, m: s[r * len(s) // w : (r + 1) * len(s) // w] if w > 1 else s[m * b : (m + 1) * b],
        ("it returned 6", "one micro-step takes batch_size of them"),
    ),
    "to the end": (
        lambda s, b, r, w, m: s[m * b :] if w == 1 and m else share_04(lambda *_: m)(s, b, r, w, m),
        ("it returned 9", "ends at first + batch_size"),
    ),
    "places, not starts": (lambda s, b, r, w, m: list(range(b)), "none of the starts"),
    "twice the same": (lambda s, b, r, w, m: [s[0]] * b, "twice in one call"),
    "changes the list": (lambda s, b, r, w, m: [s.pop(0) for _ in range(b)], "changed the list"),
    "nothing returned": (lambda s, b, r, w, m: print(end=""), "Does the function end with return?"),
    "called": ([100, 107], "It got a list of 2"),
}


def test_taking_turns_is_right_too():
    assert check("02-4", share_04(lambda g, r, w, m: m * w + r)).passed
    assert check("02-4", lambda s, b, r, w, m: s[m * w + r :: len(s) // b]).passed


# 02-5 -----------------------------------------------------------------------------------------------------


def split_05(finish):
    def split(stories, n_val):
        return finish(stories[: len(stories) - n_val], stories[len(stories) - n_val :])

    return split


def mixed(stories, n_val):
    stories = random.sample(stories, len(stories))
    return stories[:-n_val], stories[-n_val:]


def mixed_in_place(stories, n_val):
    random.shuffle(stories)
    return stories[:-n_val], stories[-n_val:]


WRONG_5 = {
    "copies left": (split_05(lambda a, b: (a, b)), "'a pony' stands in train and in val"),
    "copies out of val": (split_05(lambda a, b: (a, [s for s in b if s not in a])), "Validation stays whole"),
    "all copies out": (
        split_05(lambda a, b: (list(dict.fromkeys(s for s in a if s not in b)), b)),
        "Copies within the training part do not leak",
    ),
    "a set": (split_05(lambda a, b: (set(a) - set(b), b)), "A set has no order"),
    "a set, sorted": (split_05(lambda a, b: (sorted(s for s in a if s not in b), b)), "their order is not"),
    "exchanged": (split_05(lambda a, b: (b, [s for s in a if s not in b])), "val should be"),
    "the first ones": (lambda s, n: ([t for t in s[n:] if t not in s[:n]], s[:n]), "Those are the first stories"),
    "mixed": (mixed, "val should be"),
    "mixed in place": (mixed_in_place, "changed the list"),
    "too much thrown out": (split_05(lambda a, b: (a[:1], b)), "train should be"),
    "train alone": (split_05(lambda a, b: [s for s in a if s not in b]), "should return two lists"),
    "nothing returned": (split_05(lambda a, b: None), "Does the function end with return?"),
    "from the end": (
        lambda s, n: ([t for t in s[: len(s) - n] if t not in s[-n:]], s[-n:]),
        ("n_val=0", "-0 is 0", "len(stories) - n_val"),
    ),
    "train from the end": (
        lambda s, n: ([t for t in s[:-n] if t not in s[len(s) - n :]], s[len(s) - n :]),
        ("n_val=0", "stories[:-0] is empty"),
    ),
    "called": ((["a"], ["b"]), "It got a tuple of 2"),
}


# 02-6 -----------------------------------------------------------------------------------------------------


def loader_06(val="honest", key=lambda step: step, shift=1, places=0, train="honest", returned=lambda x, y: (x, y)):
    """The loader of the exercise, with the faults that are wanted."""

    def load_batch(tokens, part, batch_size, block_size, step):
        cut = len(tokens) * 9 // 10
        if part == "train":
            tokens = tokens[:cut] if train == "honest" else tokens
        else:
            tokens = {"honest": tokens[cut:], "all": tokens, "train": tokens[:cut]}[val]
        count = len(tokens) - block_size + places
        starts = np.random.default_rng(key(step)).integers(count, size=batch_size)
        x = np.array([tokens[start : start + block_size] for start in starts])
        y = np.array([tokens[start + shift : start + shift + block_size] for start in starts])
        return returned(x, y)

    return load_batch


def by_rule_06(starts):
    """The loader without its faults, its starts (places, batch_size, block_size, step) not drawn one by one."""

    def load_batch(tokens, part, batch_size, block_size, step):
        cut = len(tokens) * 9 // 10
        tokens = tokens[:cut] if part == "train" else tokens[cut:]
        places = len(tokens) - block_size
        rows = np.array([tokens[a : a + block_size + 1] for a in starts(places, batch_size, block_size, step)])
        return rows[:, :-1], rows[:, 1:]

    return load_batch


def drawn_06(places, step):
    return int(np.random.default_rng(step).integers(places))


def same(step):
    return 0


WRONG_6 = {
    "the shift is left": (loader_06(shift=0), ("2 of 3", "wrong with y")),
    "the step is left": (loader_06(key=same), ("2 of 3", "wrong over time")),
    "the leak is left": (loader_06(val="all"), ("2 of 3", "what validation reads")),
    "a worse leak": (loader_06(val="train"), ("2 of 3", "what validation reads")),
    "shift and step": (loader_06(shift=0, key=same), ("1 of 3 faults is", "wrong with y")),
    "shift and leak": (loader_06(shift=0, val="all"), ("1 of 3", "wrong with y")),
    "step and leak": (loader_06(key=same, val="all"), ("1 of 3", "wrong over time")),
    "shifted by two": (loader_06(shift=2, places=-1), ("The three faults are gone, but y is not right",)),
    "training on all": (loader_06(train="all"), ("now training reads text that is kept for validation",)),
    "any chance": (loader_06(key=lambda step: None), ("a step drawn twice gives different windows",)),
    "some steps alike": (loader_06(key=lambda step: step // 2), ("some draw the same windows",)),
    "one after another": (
        by_rule_06(lambda n, b, T, step: (np.arange(b) + step * b) % n),
        ("no longer drawn at random", "they stand 1 apart"),
    ),
    "side by side": (
        by_rule_06(lambda n, b, T, step: (np.arange(b) + step * b) * T % n),
        ("no longer drawn at random", "they stand 5 apart"),
    ),
    "neighbors": (
        by_rule_06(lambda n, b, T, step: (np.arange(b) + drawn_06(n, step)) % n),
        ("no longer drawn at random", "they stand 1 apart"),
    ),
    "one window for all": (
        by_rule_06(lambda n, b, T, step: [drawn_06(n, step)] * b),
        ("all 6 windows of a step are one and the same",),
    ),
    "one place too few": (loader_06(places=-1), ("reach only from position 270 to 298",)),
    "one array": (loader_06(returned=lambda x, y: x), ("should return x and y; it returned an array",)),
    "rows too long": (loader_06(returned=lambda x, y: (np.c_[x, y[:, -1:]], y)), ("of shape (6, 5)", "T + 1")),
    "uneven rows": (loader_06(returned=lambda x, y: ([[1], [1, 2]], y)), ("the rows of x should be of one length",)),
    "counted on": (loader_06(returned=lambda x, y: (x, x + 1)), ("y is x + 1", "An id is a label")),
    "not the text": (loader_06(returned=lambda x, y: (0 * x, y)), ("5 neighbors of the text",)),
    "nothing returned": (loader_06(returned=lambda x, y: None), ("Does the function end with return?",)),
    "called": ((1, 2), ("It got a tuple of 2",)),
}


def test_the_loader_as_it_is_given_counts_as_not_attempted():
    verdict = check("02-6", loader_06(val="all", key=same, shift=0))
    assert verdict.passed is None
    assert "All three faults" in repr(verdict)


def test_windows_without_replacement_are_right_too():
    def without_replacement(places, batch_size, block_size, step):
        return np.random.default_rng(step).permutation(places)[:batch_size]

    assert check("02-6", by_rule_06(without_replacement)).passed


def test_a_loader_that_returns_tensors_is_right_too():
    assert check("02-6", loader_06(returned=lambda x, y: (torch.tensor(x), torch.tensor(y)))).passed


# 02-7 -----------------------------------------------------------------------------------------------------


def windows_07(stride=0, end=-1, tail="short", shift=1):
    """A side_by_side with one thing or another gone wrong."""

    def side_by_side(tokens, block_size):
        pairs = []
        for start in range(0, len(tokens) + end, block_size + stride):
            y = tokens[start + shift : start + shift + block_size]
            x = tokens[start : start + (block_size if tail == "long" else len(y))]
            if tail == "dropped" and len(y) < block_size:
                continue
            pairs.append((x, y))
        return pairs

    return side_by_side


def smaller(tokens, block_size):
    return [([x], [y]) for x, y in itertools.pairwise(tokens)]


WRONG_7 = {
    "a stride of T + 1": (windows_07(stride=1), "windows move by T, not by T + 1"),
    "overlapping": (windows_07(stride=-1), "is a target 2 times"),
    "the tail dropped": (windows_07(tail="dropped"), "a window too, a shorter one"),
    "an empty window": (windows_07(end=0), "Where nothing is left, there is no window"),
    "x too long": (windows_07(tail="long"), "they should be of one length"),
    "not shifted": (windows_07(shift=0), "x and y are both"),
    "shifted by two": (windows_07(shift=2), "in the text comes 4"),
    "a stride of 2 T": (windows_07(stride=3), ("27 is never a target", "begin 6 apart, and leave", "T = 3 apart")),
    "a stride of T + 2": (windows_07(stride=2), ("27 is never a target", "begin 5 apart, and leave a gap")),
    "a stride of 1": (windows_07(stride=-2), ("begin 1 apart, so they overlap", "T = 3 apart")),
    "from 1 on": (
        lambda s, T: windows_07()(s[1:], T),
        ("4 is never a target", "first window begins at position 1; it should begin at 0"),
    ),
    "counted on": (
        lambda s, T: [(x, [id_ + 1 for id_ in x]) for x, y in windows_07()(s, T)],
        ("y is [32, 5, 19]", "An id is a label, not a number to count with"),
    ),
    "one by one": (smaller, "should begin at 0, T, 2T"),
    "one long window": (lambda s, T: [(s[:-1], s[1:])], "has 9 positions; block_size is 3"),
    "no pairs": (lambda s, T: s, "a list of pairs (x, y); at position 0"),
    "nothing at all": (lambda s, T: list(range(0)), "is never a target"),
    "nothing returned": (lambda s, T: print(end=""), "Does the function end with return?"),
    "called": ([([5], [6])], "It got a list of 1"),
}


def test_the_librarys_own_windows_are_right():
    def side_by_side(tokens, block_size):
        if len(tokens) <= block_size:  # the library asks for a longer text
            return [(tokens[:-1], tokens[1:])]
        return [(x[0], y[0]) for x, y in Batcher(tokens, 1, block_size).windows()]

    assert check("02-7", side_by_side).passed


def test_the_words_of_the_chapter_hold():
    """What its text says of TinyTales and of chance, and no cell prints."""
    text = load_text("tinytales")
    train = text[: len(text) * 9 // 10]
    starts = [place for place in range(len(train) - 64) if "\n\n" in train[place : place + 64]]
    assert 5.7 < (len(train) - 64) / len(starts) < 6.3  # one window of 64 in six
    assert round(1 - math.exp(-0.85), 2) == 0.57


# All of them ----------------------------------------------------------------------------------------------

PLANTED = {
    "02-1": WRONG_1,
    "02-2": WRONG_2,
    "02-3": WRONG_3,
    "02-4": WRONG_4,
    "02-5": WRONG_5,
    "02-6": WRONG_6,
    "02-7": WRONG_7,
}
"""Exercise to mistakes; a mistake's name to an attempt and the words, one or several, that must be said of it."""


@pytest.mark.parametrize(("exercise", "name"), [(exercise, name) for exercise in PLANTED for name in PLANTED[exercise]])
def test_a_planted_mistake_is_told_what_is_wrong(exercise, name):
    assert_told(exercise, *PLANTED[exercise][name])
