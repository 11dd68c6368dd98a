"""Chapter 08's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import itertools
import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from course_lib.exercises import check
from course_lib.exercises.chapter_08.by_hand import WORDS, cut
from course_lib.exercises.chapter_08.by_hand import tokens as first_tokens
from course_lib.exercises.chapter_08.cutting import CASES as CUTS
from course_lib.exercises.chapter_08.cutting import cuts
from course_lib.exercises.chapter_08.merging import BCD, LEARNED, encoded, merged
from course_lib.exercises.chapter_08.merging import pieces_to_ids as encode_pieces
from course_lib.exercises.chapter_08.recovering import vocabulary
from course_lib.tokenizers.bpe.learning import learn_merges
from course_lib.tokenizers.bpe.merging import merged as merged_by_the_library

from .planted import assert_told, nothing, raises, slow, solved, then
from .test_chapter_08_texts import WRONG_5, WRONG_6, WRONG_7

pytestmark = pytest.mark.usefixtures("one_thread")

A, B = b"a", b"b"


def learned(words, most):
    """Merges as pairs of byte strings, as the library learns them."""
    contents = [bytes([byte]) for byte in range(256)]
    merges = []
    for first, second in learn_merges(words, most):
        merges.append((contents[first], contents[second]))
        contents.append(contents[first] + contents[second])
    return merges


# 08-1 -----------------------------------------------------------------------------------------------------

WRONG_1 = {
    "ties the other way": (["pu", "hu", "hug", "pug"], "the ties the wrong way round"),
    "the first of equals": (["ug", "un", "hug", "pug"], "the one that came first in the list"),
    "each word once": (["ug", "un", "hug", "pun"], "You counted each word once"),
    "counted only once": (["ug", "pu", "un", "hu"], "all from one count"),
    "the third another": (
        ["ug", "un", "bun", "pug"],
        ("The first 2 are right. Token 3 is not 'bun'.", "occurs 3 times by then"),
    ),
    "the second another": (["ug", "pug", "un", "pun"], ("The first is right", "occurs 5 times by then")),
    "a tie in the end": (["ug", "un", "pun", "hug"], ("The first 3 are right", "comes later in the alphabet")),
    "a tie in the beginning": (["pu", "ug", "un", "pug"], "comes later in the alphabet"),
    "a pair that is gone": (["ug", "pu", "un", "pun"], "occurs 5 times by then, and another one more often"),
    "a word": (["hugs", "pug", "pun", "bun"], "No pair of neighbors makes that token there"),
    "backwards": (["gu", "nu", "nup", "gup"], "No pair of neighbors makes that token there"),
    "one too few": (["ug", "un", "pun"], "Four tokens are expected, one for each merge; it got 3"),
    "one missing": (["ug", "un", "pun", ...], "Token 4 is still missing"),
    "numbers": ([10, 8, 5, 5], "Token 1 should be a text"),
    "pairs of numbers": ([(117, 103), "un", "pun", "pug"], "Token 1 should be a text"),
    "with hyphens": (["ug", "u-n", "pun", "pug"], "Token 2 should be its letters and nothing else"),
    "one text": ("ug un pun pug", "a list of four texts"),
    "a dict": ({"ug": 10}, "It got a dict of 1"),
}


def test_tokens_may_be_written_as_bytes_or_pairs_and_are_what_the_library_learns():
    assert check("08-1", [b"ug", ("u", "n"), "p+un", "p ug"]).passed
    assert check("08-1", [(b"u", b"g"), [b"u", b"n"], ("p", b"un"), b"p+ug"]).passed
    words = {word.encode(): times for word, times in WORDS.items()}
    assert [(first + second).decode() for first, second in learned(words, 4)] == first_tokens(cut()) == solved("08-1")


# 08-2 -----------------------------------------------------------------------------------------------------


def cuts_02(places, safe=lambda left, right, whole: left + right == whole):
    """The places among ``places(length)`` where ``safe`` says so, of three lists of ids."""

    def safe_cuts(text, encode):
        return [i for i in places(len(text)) if safe(encode(text[:i]), encode(text[i:]), encode(text))]

    return safe_cuts


def every(length):
    return range(length + 1)


def lengths(left, right, whole):
    return len(left) + len(right) == len(whole)


def never_moves(text, encode):
    places, i = [], 0
    while i <= len(text):
        if encode(text[:i]) + encode(text[i:]) == encode(text):
            places.append(i)
    return places


WRONG_2 = {
    "as many ids": (cuts_02(every, lengths), ("'ab' is [258] and 'c' is [99]", "As many ids, but other ones")),
    "in any order": (cuts_02(every, lambda a, b, whole: sorted(a + b) == sorted(whole)), "in another order"),
    "the same sum": (cuts_02(every, lambda a, b, whole: sum(a + b) == sum(whole)), "in another order"),
    "the same set": (cuts_02(every, lambda a, b, whole: set(a + b) == set(whole)), "in another order"),
    "every place": (cuts_02(every, lambda *ids: True), "but the whole is [97, 257]"),
    "without the ends": (cuts_02(lambda n: range(1, n)), "The cut at 0 is missing: one part is empty"),
    "without the last": (cuts_02(range), "The cut at 4 is missing"),
    "without the first": (cuts_02(lambda n: range(1, n + 1)), "The cut at 0 is missing"),
    "the left ids are there": (cuts_02(every, lambda a, b, whole: set(a) <= set(whole)), "Cut at"),
    "begins as the whole": (cuts_02(every, lambda a, b, whole: whole[: len(a)] == a), "but the whole is"),
    "ends as the whole": (cuts_02(every, lambda a, b, whole: not b or whole[-len(b) :] == b), "but the whole is"),
    "spaces": (lambda t, e: [i for i in every(len(t)) if i in (0, len(t)) or t[i] == " "], "The cut at 1 is missing"),
    "backwards": (then(cuts_02(every), lambda found: found[::-1]), "from left to right"),
    "twice": (then(cuts_02(every), lambda found: sorted(found * 2)), "name each once"),
    "an array backwards": (then(cuts_02(every), lambda found: np.array(found)[::-1]), "from left to right"),
    "an array of yes and no": (
        lambda t, e: np.array([e(t[:i]) + e(t[i:]) == e(t) for i in every(len(t))]),
        "it holds True",
    ),
    "a table": (then(cuts_02(every), lambda found: np.array(found)[:, None]), "it holds a list of 1"),
    "too far": (then(cuts_02(every), lambda found: [*found, 99]), "The places of this text go from 0 to 4"),
    "the parts": (lambda t, e: [(t[:i], t[i:]) for i in cuts_02(every)(t, e)], "should hold places, whole numbers"),
    "yes or no": (lambda t, e: [e(t[:i]) + e(t[i:]) == e(t) for i in every(len(t))], "it holds True"),
    "how many": (then(cuts_02(every), len), "should be a list of places"),
    "raises": (raises, "raised IndexError: list index out of range"),
    "no end": (never_moves, ("had not come to an end after 200,000 lines", "of your cell")),
    "slow": (slow(cuts_02(every)), "200,000 lines"),
    "nothing returned": (nothing(cuts_02(every)), "Does the function end with return?"),
    "called": ([0, 1, 4], "It got a list of 3"),
}


def test_sets_and_generators_in_a_list_are_right_and_every_safe_cut_lies_between_two_tokens():
    assert check("08-2", lambda text, encode: set(solved("08-2")(text, encode))).passed
    for text, encoder in CUTS:
        safe = cuts(text, encoder)
        assert {0, len(text)} <= set(safe)
        assert len(safe) <= len(encoder(text)) + 1
    for kind in (np.array, lambda found: [np.int64(i) for i in found], lambda found: {np.int32(i) for i in found}):
        assert check("08-2", then(solved("08-2"), kind)).passed
    encoder = encode_pieces(BCD)
    ends = [0, *itertools.accumulate(len(piece) for piece in encoded(b"abeabcdxbc", BCD))]
    assert cuts("abeabcdxbc", encoder) == ends


# 08-3 -----------------------------------------------------------------------------------------------------


def after_03(word, pair):
    return Counter(pairwise(merged(word, pair)))


def change_03(choose=lambda pair, new, one, by: True, sign=1):
    """The right changes, of which those stay that ``choose`` wants."""

    def changes(word, pair):
        new = b"".join(pair)
        by = solved("08-3")(word, pair)
        return {one: sign * n for one, n in by.items() if choose(pair, new, one, n)}

    return changes


def place_by_place(word, pair):
    by, new = Counter(), b"".join(pair)
    for i in range(len(word) - 1):
        if word[i : i + 2] == pair:
            by[pair] -= 1
            if i:
                by[word[i - 1], pair[0]] -= 1
                by[word[i - 1], new] += 1
            if i + 2 < len(word):
                by[pair[1], word[i + 2]] -= 1
                by[new, word[i + 2]] += 1
    return by


def every_pair_of_places(word, pair):
    pieces, i = [], 0
    while i < len(word):
        found = word[i : i + 2] == pair
        pieces.append(b"".join(pair) if found else word[i])
        i += 2 if found and word[i + 1 : i + 3] != pair else 1
    by = Counter(pairwise(pieces))
    by.subtract(pairwise(word))
    return by


def first_place_only(word, pair):
    i = next((i for i, two in enumerate(pairwise(word)) if two == pair), len(word))
    by = Counter(pairwise([*word[:i], b"".join(word[i : i + 2]), *word[i + 2 :]]) if i < len(word) else pairwise(word))
    by.subtract(pairwise(word))
    return by


def never_past_a_pair(word, pair):
    i = 0
    while i < len(word):
        if word[i : i + 2] != pair:
            i += 1
    return Counter()


def where_03(same):
    """Right, but that it merges two pieces wherever ``same`` takes them for the pair."""

    def changes(word, pair):
        pieces, i = [], 0
        while i < len(word):
            size = 2 if i + 1 < len(word) and same(*word[i : i + 2], *pair) else 1
            pieces.append(b"".join(word[i : i + size]))
            i += size
        by = Counter(pairwise(pieces))
        by.subtract(pairwise(word))
        return by

    return changes


def replaced_in_one(word, pair):
    by = Counter(pairwise(b"\0".join(word).replace(b"\0".join(pair), b"".join(pair)).split(b"\0")))
    by.subtract(pairwise(word))
    return by


WRONG_3 = {
    "the minus sign": (lambda w, p: after_03(w, p) - Counter(pairwise(w)), "their method subtract keeps it"),
    "signs": (change_03(sign=-1), "The signs are the wrong way round"),
    "the counts after": (after_03, "Those are the counts after the merge"),
    "its own pair only": (change_03(lambda pair, new, one, by: one == pair), "The pair has neighbors"),
    "old neighbors left": (change_03(lambda pair, new, one, by: new in one or one == pair), "are gone as well"),
    "nothing new": (change_03(lambda pair, new, one, by: by < 0), "What the new piece brings is missing"),
    "place by place": (place_by_place, "a new piece stands beside a new piece"),
    "overlapping": (every_pair_of_places, "only the first of the two is merged"),
    "the first place only": (first_place_only, ("Only the first place was merged", "The word becomes")),
    "joined bytes": (where_03(lambda a, b, first, second: a + b == first + second), "the same bytes together"),
    "the second's first byte": (where_03(lambda a, b, first, second: a == first and b[0] == second[0]),
                                "only begins as the pair's second"),
    "replaced in the joined word": (replaced_in_one, "compare whole pieces, not the bytes of a joined word"),
    "the first only": (where_03(lambda a, b, first, second: a == first), "should change by"),
    "the second only": (where_03(lambda a, b, first, second: b == second), "should change by"),
    "the first's end": (where_03(lambda a, b, first, second: a.endswith(first) and b == second), "should change by"),
    "shares, numpy's": (then(solved("08-3"), lambda by: {one: np.float64(n) for one, n in by.items()}),
                        "should be a whole number"),
    "the counts before": (lambda w, p: Counter(pairwise(w)), "should change by"),
    "doubled": (then(solved("08-3"), lambda by: {one: 2 * n for one, n in by.items()}), "by 1; yours says 2"),
    "nothing": (lambda w, p: {}, "should change by 1; yours says 0"),
    "joined": (then(solved("08-3"), lambda by: {b"".join(one): n for one, n in by.items()}), "could not be told apart"),
    "texts": (then(solved("08-3"), lambda by: {tuple(h.decode() for h in one): n for one, n in by.items()}),
              "should be a byte string"),
    "pieces": (lambda w, p: {(piece,): -1 for piece in w}, "a tuple of two byte strings; it is a tuple of 1"),
    "shares": (then(solved("08-3"), lambda by: {one: n / 2 for one, n in by.items()}), "should be a whole number"),
    "a list": (then(solved("08-3"), lambda by: list(by.items())), "a dict from pair to change; it is a list"),
    "the word": (lambda w, p: merged(w, p), "a dict from pair to change; it is a tuple"),
    "subtract returns nothing": (lambda w, p: after_03(w, p).subtract(pairwise(w)), "subtract returns nothing"),
    "a tuple changed": (lambda w, p: w.pop(), "raised AttributeError"),
    "raises": (raises, "raised IndexError"),
    "no end": (never_past_a_pair, ("had not come to an end", "of your cell")),
    "nothing returned": (nothing(solved("08-3")), "Does the function end with return?"),
    "called": (Counter(), "It got a Counter of 0"),
}  # fmt: skip


def test_zeros_and_a_counter_are_right_too_and_changes_add_up_to_a_new_count():
    def changes(word, pair):
        by = after_03(word, pair)
        by.subtract(pairwise(word))
        return by

    assert check("08-3", changes).passed
    for number in (np.int64, np.int8, np.array):
        assert check("08-3", then(changes, lambda by, number=number: {one: number(n) for one, n in by.items()})).passed
    dice = random.Random(0)
    for _ in range(300):
        word = tuple(bytes([letter]) for letter in dice.choices(b"abc", k=dice.randint(1, 9)))
        pair = tuple(bytes([letter]) for letter in dice.choices(b"abc", k=2))
        counts = Counter(pairwise(word))
        counts.update(solved("08-3")(word, pair))
        assert {one: n for one, n in counts.items() if n} == after_03(word, pair)


# 08-4 -----------------------------------------------------------------------------------------------------


def split_04(pick, order=lambda vocab: sorted(vocab, key=vocab.get), least=2):
    """Each token split in two that are tokens, as ``pick`` says."""

    def recover_merges(vocab):
        merges = []
        for token in order(vocab):
            if len(token) < least:
                continue
            splits = [(token[:i], token[i:]) for i in range(1, len(token))]
            splits = [pair for pair in splits if pair[0] in vocab and pair[1] in vocab]
            merges.append(pick(splits, vocab) if splits else (token,))
        return merges

    return recover_merges


def encoding(order=lambda vocab: sorted(vocab, key=vocab.get), least=2, known=lambda merges: merges):
    def recover_merges(vocab):
        merges = []
        for token in order(vocab):
            if len(token) >= least:
                merges.append(tuple(encoded(token, known(merges))))
        return merges

    return recover_merges


def from_256(vocab):
    """The chapter's own vocabularies begin with all 256 bytes."""
    merges = []
    for token in sorted((t for t in vocab if vocab[t] >= 256), key=vocab.get):
        merges.append(encoded(token, merges))
    return merges


def takes_tokens_out(vocab):
    merges = []
    while vocab:
        token = min(vocab, key=vocab.get)
        del vocab[token]
        if len(token) > 1:
            merges.append(encoded(token, merges))
    return merges


def waits_for_ids(vocab):
    merges, next_id = [], 0
    while len(merges) < len(vocab):
        merges += [encoded(token, merges) for token, i in vocab.items() if i == next_id and len(token) > 1]
        next_id += 1
    return merges


def oldest(splits, vocab):
    return min(splits, key=lambda pair: max(vocab[pair[0]], vocab[pair[1]]))


WRONG_4 = {
    "the first split": (split_04(lambda splits, vocab: splits[0]), ("b'that' was made of", "which was no token yet")),
    "the last split": (split_04(lambda splits, vocab: splits[-1]), "was made of"),
    "the oldest halves": (split_04(oldest), ("Both halves are tokens", "become [b'bb', b'b']")),
    "the longest half": (split_04(lambda splits, vocab: max(splits, key=lambda p: max(map(len, p)))), "was made of"),
    "the lowest sum": (split_04(lambda s, vocab: min(s, key=lambda p: vocab[p[0]] + vocab[p[1]])), "was made of"),
    "alphabetical": (encoding(order=list), "The ids say in which order the tokens were learned"),
    "alphabetical, split": (split_04(oldest, order=list), "The ids say in which order the tokens were learned"),
    "by length": (encoding(order=lambda vocab: sorted(vocab, key=len)), "The ids say in which order"),
    "single bytes too": (encoding(least=1), "only longer tokens were made by a merge"),
    "no merges known": (encoding(known=lambda merges: []), "exactly two pieces are left"),
    "only the last three known": (encoding(known=lambda merges: merges[-3:]), "exactly two pieces are left"),
    "from 256 on": (from_256, ("you found no merge", "ids here, 0 to 8", "the first merge has the id 9 and not 256")),
    "the last one missing": (then(solved("08-4"), lambda merges: merges[:-1]), "is missing"),
    "one twice": (then(solved("08-4"), lambda merges: [*merges, merges[-1]]), "so there were 11 merges; yours are 12"),
    "turned round": (then(solved("08-4"), lambda merges: [pair[::-1] for pair in merges]), "is no token"),
    "the tokens": (lambda vocab: [token for token in vocab if len(token) > 1], "not yet merged"),
    "ids": (then(solved("08-4"), lambda merges: [(1, 2) for _ in merges]), "should be a byte string, such as b'a'"),
    "a dict": (then(solved("08-4"), dict), "should be a list of pairs; it is a dict"),
    "takes them out": (takes_tokens_out, "changed the dict"),
    "raises": (raises, "raised IndexError"),
    "no end": (waits_for_ids, ("had not come to an end", "of your cell")),
    "slow": (slow(solved("08-4")), "200,000 lines"),
    "nothing returned": (nothing(solved("08-4")), "Does the function end with return?"),
    "called": ([(A, B)], "It got a list of 1"),
}


def test_the_lowest_rank_first_is_right_too():
    def recover_merges(vocab):
        merges = []
        for token in sorted(vocab, key=vocab.get):
            pieces = [bytes([byte]) for byte in token]
            while known := [pair for pair in pairwise(pieces) if pair in merges]:
                pieces = list(merged(pieces, min(known, key=merges.index)))
            merges += [pieces] if len(pieces) > 1 else []
            merges = [tuple(pair) for pair in merges]
        return merges

    assert check("08-4", recover_merges).passed
    assert check("08-4", then(solved("08-4"), lambda merges: tuple(list(pair) for pair in merges))).passed


def test_merges_come_back_whatever_the_words_are():
    dice = random.Random(0)
    for words, merges in LEARNED:
        assert learned({word.encode(): times for word, times in words.items()}, len(merges)) == merges
    for _ in range(200):
        words = {bytes(dice.choices(b"abc", k=dice.randint(2, 8))): dice.randint(1, 9) for _ in range(8)}
        merges = learned(words, dice.randint(1, 20))
        assert len({first + second for first, second in merges}) == len(merges)
        assert solved("08-4")(vocabulary(merges)) == merges


def test_words_are_encoded_as_the_library_does():
    dice = random.Random(0)
    for _, merges in LEARNED:
        tokenizer = encode_pieces(merges)
        ids = {}
        for new, (first, second) in enumerate(merges, 256):
            ids[tokenizer_id(first, merges), tokenizer_id(second, merges)] = new
        letters = b"".join(first + second for first, second in merges).decode()
        for _ in range(50):
            word = "".join(dice.choices(letters, k=dice.randint(0, 12)))
            assert tokenizer(word) == merged_by_the_library(list(word.encode()), ids)


def tokenizer_id(piece, merges):
    return piece[0] if len(piece) == 1 else 256 + [first + second for first, second in merges].index(piece)


# All of them ----------------------------------------------------------------------------------------------

PLANTED = {
    "08-1": WRONG_1,
    "08-2": WRONG_2,
    "08-3": WRONG_3,
    "08-4": WRONG_4,
    "08-5": WRONG_5,
    "08-6": WRONG_6,
    "08-7": WRONG_7,
}
"""Exercise to mistakes; a mistake's name to an attempt and the words, one or several, that must be said of it."""


@pytest.mark.parametrize(("exercise", "name"), [(exercise, name) for exercise in PLANTED for name in PLANTED[exercise]])
def test_a_planted_mistake_is_told_what_is_wrong(exercise, name):
    said = assert_told(exercise, *PLANTED[exercise][name])
    assert "looking at it raised" not in said
