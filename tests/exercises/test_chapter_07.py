"""Chapter 07's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.exercises import check, find
from course_lib.exercises.chapter_07.beam import ENDING, GARDEN, TWINS, Table, Wild, brute_force, slow_beam
from course_lib.sampling import generate, token_probabilities

from .planted import assert_told

pytestmark = pytest.mark.usefixtures("one_thread")


def solved(exercise):
    """What the solution of an exercise hands in."""
    names = {}
    exec(find(exercise).solution, names)
    return names[find(exercise).attempt]


# 07-1 -----------------------------------------------------------------------------------------------------


def by(function) -> dict:
    return {T: function(T) for T in (0.5, 2, 1000)}


def ratio(T):
    return 1 / (1 + 9 ** (-1 / T))


WRONG_1 = {
    "multiplied": (by(lambda T: ratio(1 / T)), "T divides them"),
    "as at T = 1": (by(lambda T: 0.9), "Divided and renormalized"),
    "not renormalized": (by(lambda T: 0.9 ** (1 / T)), "not yet renormalized"),
    "the probability divided": (by(lambda T: 0.9 / T), "That divides the probability"),
    "a second softmax": (by(lambda T: 1 / (1 + math.exp(-0.8 / T))), "a second softmax"),
    "greedy": (by(lambda T: 1.0), "the other keeps a little"),
    "percent": ([99, 75, 50], "should be a share between 0 and 1"),
    "the other one": (by(lambda T: 1 - ratio(T)), "the other one's"),
    "a guess": (by(lambda T: 0.3), "9 to the power of 1/T"),
    "the last one wrong": ([0.99, 0.75, 0.9], "at T = 1,000 should be another number"),
    "one missing": ({0.5: 0.99, 2: ..., 1000: 0.5}, "at T = 2 is still missing"),
    "one temperature missing": ({0.5: 0.99, 2: 0.75}, "there is no answer for 1000"),
    "a text": ({0.5: "0.99", 2: 0.75, 1000: 0.5}, "should be a number; it is the text"),
    "no dict": (0.99, "a dict with three numbers"),
}


def test_two_places_are_enough():
    assert check("07-1", [0.99, 0.75, 0.5]).passed
    logits = torch.tensor([0.9, 0.1]).log()
    assert check("07-1", by(lambda T: token_probabilities(logits, T)[0].item())).passed


# 07-2 -----------------------------------------------------------------------------------------------------


def exps_over_sum(exps):
    return [e / sum(exps) for e in exps]


def in_place(scores):
    top = max(scores)
    for i, score in enumerate(scores):
        scores[i] = math.exp(score - top)
    return exps_over_sum(scores)


WRONG_2 = {
    "the chapter's": (lambda s: exps_over_sum([math.exp(x) for x in s]), "raised OverflowError"),
    "capped": (lambda s: exps_over_sum([math.exp(min(x, 700)) for x in s]), "lose their differences"),
    "the mean taken": (lambda s: exps_over_sum([math.exp(x - sum(s) / len(s)) for x in s]), "[5, -inf, 3]"),
    "not divided": (lambda s: [math.exp(x - max(s)) for x in s], "not divided by the sum yet"),
    "no powers": (lambda s: [x - max(s) for x in s], "e to the power of each is still to come"),
    "shares of the scores": (lambda s: [x / sum(map(abs, s)) for x in s], "e to the power of each comes first"),
    "the smallest taken": (lambda s: exps_over_sum([math.exp(x - min(s)) for x in s]), "safe_softmax([5, -inf, 3])"),
    "changes the list": (in_place, "changed the list"),
    "one too few": (lambda s: exps_over_sum([math.exp(x - max(s)) for x in s])[1:], "one for each token"),
    "one number": (lambda s: 1.0, "a list of 3 probabilities; it is the number 1"),
    "nothing returned": (lambda s: print(end=""), "Does the function end with return?"),
    "called": ([0.5, 0.5], "It got a list of 2"),
}


def test_a_tensor_or_an_array_is_right_too():
    assert check("07-2", lambda s: torch.tensor(s).softmax(0)).passed
    assert check("07-2", lambda s: np.exp(np.array(s) - np.logaddexp.reduce(s))).passed


# 07-3 -----------------------------------------------------------------------------------------------------


def kept_03(choose, finish=lambda row: [p / sum(row) for p in row]):
    """An exactly_k that keeps the places that ``choose`` says."""

    def exactly_k(probabilities, k):
        places = choose(probabilities, k)
        return finish([p if i in places else 0.0 for i, p in enumerate(probabilities)])

    return exactly_k


def likely(probabilities, k):
    return sorted(range(len(probabilities)), key=lambda i: -probabilities[i])[:k]


def with_equals(ps, k):
    smallest = sorted(ps, reverse=True)[:k][-1]
    return [i for i, p in enumerate(ps) if p >= smallest]


def of_equals_last(ps, k):
    return sorted(range(len(ps)), key=lambda i: (-ps[i], -i))[:k]


def strict(ps, k):
    smallest = sorted(ps, reverse=True)[k]
    return [i for i, p in enumerate(ps) if p > smallest]


def sorts_it(probabilities, k):
    probabilities.sort(reverse=True)
    return kept_03(likely)(probabilities, k)


WRONG_3 = {
    "the chapter's": (kept_03(with_equals), "All equals of the k-th have stayed"),
    "of equals the last": (kept_03(of_equals_last), "it should be the first ones"),
    "not renormalized": (kept_03(likely, lambda row: row), "divide by their sum"),
    "one too many": (kept_03(lambda ps, k: likely(ps, k + 1)), "One too many has stayed"),
    "one too few": (kept_03(lambda ps, k: likely(ps, max(k - 1, 1))), "One more should stay"),
    "the unlikeliest": (kept_03(lambda ps, k: likely([-p for p in ps], k)), "Those are the unlikeliest"),
    "the first in the list": (kept_03(lambda ps, k: range(k)), "the first k in the list"),
    "sorted": (kept_03(likely, lambda r: sorted([p / sum(r) for p in r], reverse=True)), "at its own place"),
    "nothing to cut": (kept_03(lambda ps, k: sorted(range(len(ps)), key=lambda i: -ps[i])[: [*range(len(ps))][k]]),
                       "raised IndexError"),
    "strictly above the next": (kept_03(strict), "raised ZeroDivisionError"),
    "only what stays": (kept_03(likely, lambda row: [p / sum(row) for p in row if p]), "it has 2"),
    "changes the list": (sorts_it, "changed the list"),
    "nothing returned": (kept_03(likely, lambda row: None), "Does the function end with return?"),
    "called": ([0.5, 0.5, 0], "It got a list of 3"),
}  # fmt: skip


def test_torchs_own_topk_serves_where_there_are_no_ties():
    def exactly_k(probabilities, k):
        places = torch.tensor(probabilities).sort(descending=True, stable=True).indices[:k]
        return kept_03(lambda ps, k: places.tolist())(probabilities, k)

    assert check("07-3", exactly_k).passed


# 07-4 -----------------------------------------------------------------------------------------------------


def nucleus_04(cut, back=True, divide=True, descending=True):
    """A nucleus that cuts where ``cut`` says, of the sorted row and its running sum."""

    def nucleus(probabilities, p):
        ordered, places = probabilities.sort(descending=descending)
        ordered = ordered.masked_fill(cut(ordered, ordered.cumsum(0), p), 0.0)
        kept = torch.zeros_like(ordered).scatter_(0, places, ordered) if back else ordered
        return kept / kept.sum() if divide else kept

    return nucleus


def before(ordered, sums, p):
    return sums - ordered >= p


def mask_on_the_unsorted(probabilities, p):
    ordered = probabilities.sort(descending=True).values
    kept = probabilities.masked_fill(ordered.cumsum(0) - ordered >= p, 0.0)
    return kept / kept.sum()


def changes_it(probabilities, p):
    kept = nucleus_04(before)(probabilities, p)
    return probabilities.copy_(kept)


def one_more(ordered, sums, p):
    return sums - ordered > p


def by_threshold_alone(probabilities, p):
    ordered = probabilities.sort(descending=True).values
    smallest = ordered[ordered.cumsum(0) - ordered < p].min()
    kept = probabilities.masked_fill(probabilities < smallest, 0.0)
    return kept / kept.sum()


WRONG_4 = {
    "left in sorted order": (nucleus_04(before, back=False), "each token has lost its place"),
    "the mask on the unsorted row": (mask_on_the_unsorted, "it cuts by place, not by probability"),
    "the crossing one missing": (nucleus_04(lambda o, s, p: s > p), "The token that crosses p is missing"),
    "nothing left": (lambda ps, p: nucleus_04(lambda o, s, q: s >= q)(ps, min(p, 0.1)), "nothing was left"),
    "one too many": (nucleus_04(one_more), "as soon as p is reached, it is enough"),
    "a threshold": (by_threshold_alone, "All equals of the last one have stayed: a threshold cannot tell them apart."),
    "not renormalized": (nucleus_04(before, divide=False), "divide by their sum"),
    "ascending": (nucleus_04(before, descending=False), "sort in descending order"),
    "a threshold on each": (lambda ps, p: ps.masked_fill(ps < 1 - p, 0) / ps[ps >= 1 - p].sum(), "expected"),
    "changes the tensor": (changes_it, "changed the tensor"),
    "a list": (lambda ps, p: nucleus_04(before)(ps, p).tolist(), "should be a tensor; it is a list"),
    "only what stays": (lambda ps, p: (r := nucleus_04(before)(ps, p))[r > 0], "should have the shape (5,)"),
    "nothing returned": (lambda ps, p: print(end=""), "Does the function end with return?"),
    "called": (torch.ones(3) / 3, "It got a tensor of shape (3,)"),
}


def test_the_librarys_own_and_a_threshold_that_minds_equals_are_right():
    def by_threshold(probabilities, p):
        ordered = probabilities.sort(descending=True).values
        smallest = ordered[ordered.cumsum(0) - ordered < p].min()
        kept = probabilities.masked_fill(probabilities < smallest, 0.0)
        places = nucleus_04(before)(probabilities, p) > 0
        return (kept * places) / (kept * places).sum()

    assert check("07-4", lambda ps, p: token_probabilities(ps.log(), top_p=p)).passed
    assert check("07-4", by_threshold).passed


def fewest(tenths, n):
    """The places that stay, in whole numbers."""
    kept, together = set(), 0
    for i in sorted(range(len(tenths)), key=lambda i: -tenths[i]):
        if together < n:
            kept.add(i)
            together += tenths[i]
    return kept


def the_chapters_own():
    """`top_p` as the chapter's cell builds it."""
    chapter = json.loads((Path(__file__).parents[2] / "chapters" / "07_sampling.ipynb").read_text(encoding="utf-8"))
    (source,) = ("".join(cell["source"]) for cell in chapter["cells"] if cell.get("id") == "cut-code")
    names = {}
    exec(source, names)
    return names["top_p"]


def test_the_chapter_the_solution_and_the_library_cut_tenths_as_whole_numbers_do():
    """One rule: decimals that meet p have reached it, although their sum in floats may fall short."""
    top_p, nucleus = the_chapters_own(), solved("07-4")
    for tenths in itertools.product(range(11), repeat=4):
        if sum(tenths) != 10:
            continue
        probabilities = [t / 10 for t in tenths]
        row = torch.tensor(probabilities)
        for n in range(1, 10):
            ways = top_p(probabilities, n / 10), nucleus(row, n / 10).tolist()
            ways += (token_probabilities(row.log(), top_p=n / 10).tolist(),)
            for kept in ways:
                assert {i for i, p in enumerate(kept) if p} == fewest(tenths, n), (tenths, n)


# 07-5 -----------------------------------------------------------------------------------------------------


def forbidden_05(ending, places=lambda length, n: range(length - n + 1), found=lambda tokens, i, n: tokens[i + n - 1]):
    def forbidden(tokens, n):
        last = ending(tokens, n)
        return {found(tokens, i, n) for i in places(len(tokens), n) if tokens[i : i + n - 1] == last}

    return forbidden


def right_ending(tokens, n):
    return tokens[len(tokens) - n + 1 :] if len(tokens) >= n - 1 else None


def first_only(tokens, n):
    last = right_ending(tokens, n)
    for i in range(len(tokens) - n + 1):
        if tokens[i : i + n - 1] == last:
            return {tokens[i + n - 1]}
    return set()


def empty_dict(tokens, n):
    return forbidden_05(right_ending)(tokens, n) or {}


WRONG_5 = {
    "minus zero": (forbidden_05(lambda t, n: t[-(n - 1) :]), "tokens[-0:] is the whole list"),
    "the last n": (forbidden_05(lambda t, n: t[-n:]), "The last n - 1 = 2 tokens are [1, 2]"),
    "every token": (lambda t, n: set(t), "stands nowhere in it yet"),
    "the first place only": (first_only, "Look at every place"),
    "one place too few": (forbidden_05(right_ending, lambda m, n: range(m - n)), "The last n - 1 = 1 tokens are [4]"),
    "no overlap": (forbidden_05(right_ending, lambda m, n: range(m - 2 * n + 2)), "Runs may overlap with the end"),
    "whole runs": (forbidden_05(right_ending, found=lambda t, i, n: tuple(t[i : i + n])), "it holds whole runs"),
    "one too far": (forbidden_05(right_ending, found=lambda t, i, n: t[i + n]), "{3}; it returned {1}"),
    "an empty dict": (empty_dict, "An empty set is set()"),
    "one id": (lambda t, n: 3, "should be a set of ids; it is the number 3"),
    "changes the list": (lambda t, n: {t.pop()} if t else set(), "changed the list"),
    "nothing returned": (lambda t, n: print(end=""), "Does the function end with return?"),
    "called": ({3}, "It got a set of 1"),
}


def test_what_is_forbidden_is_what_would_come_twice():
    right = solved("07-5")
    generator = torch.Generator().manual_seed(0)
    for n, length in itertools.product((1, 2, 3, 4), (0, 1, 2, 5, 12)):
        tokens = torch.randint(3, (length,), generator=generator).tolist()
        runs = [tuple(tokens[i : i + n]) for i in range(length - n + 1)]
        expected = {i for i in range(3) if (*tokens, i)[length + 1 - n :] in runs and length + 1 >= n}
        assert right(tokens, n) == expected, (tokens, n)
    assert check("07-5", lambda tokens, n: list(right(tokens, n))).passed


# 07-6 -----------------------------------------------------------------------------------------------------


def writer_06(last=True, place=-1, divide=True, pick=None, joined=None, own=False, returned=lambda idx, n: idx):
    """The writer of the exercise, with the faults that are wanted."""

    def write_on(model, idx, length, temperature, block_size, generator):
        for _ in range(length):
            logits = model(idx[:, -block_size:] if last else idx[:, :block_size])[:, place]
            scores = logits / temperature if divide else logits * temperature
            probabilities = scores.softmax(dim=-1)
            if pick:
                token = pick(probabilities)
            else:
                token = torch.multinomial(probabilities, 1, generator=None if own else generator)
            idx = joined(idx, token) if joined else torch.cat((idx, token), dim=1)
        return returned(idx, length)

    return write_on


WRONG_6 = {
    "the crop is left": (writer_06(last=False), ("2 of 3", "never sees what it has just written")),
    "the place is left": (writer_06(place=0), ("2 of 3", "taken from place 0")),
    "the temperature is left": (writer_06(divide=False), ("2 of 3", "the wrong way round")),
    "crop and place": (writer_06(last=False, place=0), ("1 of 3 faults is", "taken from place 0")),
    "crop and temperature": (writer_06(last=False, divide=False), ("1 of 3", "never sees")),
    "place and temperature": (writer_06(place=0, divide=False), ("1 of 3", "taken from place 0")),
    "greedy": (writer_06(pick=lambda p: p.argmax(-1, keepdim=True)), ("are gone, but at temperature",)),
    "another generator": (writer_06(own=True), ("should follow from the generator",)),
    "the context forgotten": (writer_06(joined=lambda idx, token: token), ("should have the shape (2, 9)",)),
    "put in front": (writer_06(joined=lambda idx, token: torch.cat((token, idx), 1)), ("the ids of the prompt",)),
    "only the new ones": (writer_06(returned=lambda idx, n: idx[:, -n:]), ("the prompt and the new tokens",)),
    "a list": (writer_06(returned=lambda idx, n: idx.tolist()), ("should be a tensor; it is a list of 2",)),
    "nothing returned": (writer_06(returned=lambda idx, n: None), ("Does the function end with return?",)),
    "called": (torch.ones(2, 3), ("It got a tensor of shape (2, 3)",)),
}


def test_the_writer_as_it_is_given_counts_as_not_attempted():
    verdict = check("07-6", writer_06(last=False, place=0, divide=False))
    assert verdict.passed is None
    assert "All three faults" in repr(verdict)


def test_the_solution_writes_what_the_library_writes():
    from course_lib.models import GPT, GPTConfig

    torch.manual_seed(0)
    model = GPT(GPTConfig(block_size=8, vocab_size=11, n_layer=1, n_head=2, n_embd=16)).eval()
    prompt = torch.tensor([[1, 2, 3]])
    mine = solved("07-6")(model, prompt, 20, 0.7, 8, torch.Generator().manual_seed(5))
    assert mine.equal(generate(model, prompt, 20, temperature=0.7, use_cache=False, seed=5))


# 07-7 -----------------------------------------------------------------------------------------------------


def beam_07(
    cut=lambda candidates, width: sorted(candidates, key=lambda c: -c[0])[:width], score=lambda old, p: old + p,
    is_end=lambda ids, start, end: len(ids) > len(start) and ids[-1] == end, finished="stays",
    best=lambda beams: beams[0][1], per_beam=0, prune=True,
):  # fmt: skip
    """A beam_search with one thing or another gone wrong."""

    def beam_search(log_probs, start, width, steps, end):
        beams = [(0.0, start)]
        for _ in range(steps):
            candidates = []
            for total, ids in beams:
                if is_end(ids, start, end):
                    candidates += [(total, ids)] if finished == "stays" else []
                    continue
                mine = [(score(total, p), [*ids, token]) for token, p in enumerate(log_probs(ids))]
                candidates += cut(mine, per_beam) if per_beam else mine
            beams = cut(candidates or beams, width if prune else len(candidates) or 1)
        return best(beams)

    return beam_search


def never(ids, start, end):
    return False


def appends(log_probs, start, width, steps, end):
    start.append(0)
    return beam_07()(log_probs, start, width, steps, end)


def one_round_less(log_probs, start, width, steps, end):
    return beam_07()(log_probs, start, width, steps - 1, end)


def lowest(candidates, width):
    return sorted(candidates, key=lambda c: c[0])[:width]


WRONG_7 = {
    "greedy": (lambda f, s, w, n, e: beam_07()(f, s, 1, n, e), "With two beginnings both should be kept"),
    "the best of each beginning": (beam_07(per_beam=1), "With two beginnings both should be kept"),
    "only the last token counts": (beam_07(score=lambda old, p: p), "that only the last token counts"),
    "multiplied": (beam_07(score=lambda old, p: p if old == 0 else old * p), "should return"),
    "no end": (beam_07(is_end=never), "goes on after the id end"),
    "the finished forgotten": (beam_07(finished="lost"), "should return"),
    "the lowest sums": (beam_07(cut=lowest), "Those are unlikely tokens"),
    "not pruned": (beam_07(prune=False, best=lambda b: max(b)[1]), "should return"),
    "asked too often": (lambda f, *others: [f([0]) for _ in range(9)] and beam_07()(f, *others), "was asked 18 times"),
    "one round less": (one_round_less, "one in each round"),
    "with its sum": (beam_07(best=lambda beams: beams[0]), "the ids alone, without their sum"),
    "without the start": (beam_07(best=lambda beams: beams[0][1][2:]), "the whole list, start and what comes after it"),
    "the worst of the beams": (beam_07(best=lambda beams: beams[-1][1]), "should return"),
    "changes start": (appends, "changed the list start"),
    "nothing returned": (beam_07(best=lambda beams: None), "Does the function end with return?"),
    "called": ([0, 1], "It got a list of 2"),
}  # fmt: skip


def test_the_slow_beam_is_greedy_at_one_and_brute_force_when_wide():
    for seed in range(20):
        model = Wild(seed)
        assert slow_beam(model, [0], 64, 3, 3) == brute_force(model, [0], 3, 3)
        ids = [0]
        while len(ids) < 6 and (ids[-1] != 3 or len(ids) == 1):
            row = model.row(ids)
            ids.append(row.index(max(row)))
        assert slow_beam(model, [0], 1, 5, 3) == ids


def test_the_planted_tables_are_what_they_are_said_to_be():
    garden, twins = (GARDEN, 2, [0, 1, 2], [0, 2, 2]), (TWINS, 3, None, [0, 1, 1, 1])
    for rows, steps, greedy, best in (garden, twins, (ENDING, 3, None, [0, 3])):
        model = Table(rows)
        assert all(sum(row) == pytest.approx(1) for row in rows.values())
        assert slow_beam(model, [0], 2, steps, 3) == brute_force(model, [0], steps, 3) == best
        if greedy:
            assert slow_beam(model, [0], 1, steps, 3) == greedy


def test_a_heap_and_tuples_are_right_too():
    import heapq

    def beam_search(log_probs, start, width, steps, end):
        beams = [(0.0, tuple(start), False)]
        for _ in range(steps):
            found = [beam for beam in beams if beam[2]]
            for total, ids, done in beams:
                if not done:
                    found += [(total + p, (*ids, i), i == end) for i, p in enumerate(log_probs(list(ids)))]
            beams = heapq.nlargest(width, found)
        return list(beams[0][1])

    assert check("07-7", beam_search).passed


# All of them ----------------------------------------------------------------------------------------------

PLANTED = {
    "07-1": WRONG_1,
    "07-2": WRONG_2,
    "07-3": WRONG_3,
    "07-4": WRONG_4,
    "07-5": WRONG_5,
    "07-6": WRONG_6,
    "07-7": WRONG_7,
}
"""Exercise to mistakes; a mistake's name to an attempt and the words, one or several, that must be said of it."""


@pytest.mark.parametrize(("exercise", "name"), [(exercise, name) for exercise in PLANTED for name in PLANTED[exercise]])
def test_a_planted_mistake_is_told_what_is_wrong(exercise, name):
    assert_told(exercise, *PLANTED[exercise][name])
