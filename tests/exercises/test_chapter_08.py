"""Chapter 08's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import codecs
import itertools
import math
import random
import re
from collections import Counter
from itertools import pairwise

import pytest

from course_lib.exercises import check, find
from course_lib.exercises.chapter_08.by_hand import WORDS, cut
from course_lib.exercises.chapter_08.by_hand import tokens as first_tokens
from course_lib.exercises.chapter_08.chat import CASES as CHATS
from course_lib.exercises.chapter_08.chat import encode, filled, read, tokenizer
from course_lib.exercises.chapter_08.cutting import CASES as CUTS
from course_lib.exercises.chapter_08.cutting import cuts
from course_lib.exercises.chapter_08.merging import BCD, LEARNED, encoded, merged
from course_lib.exercises.chapter_08.merging import pieces_to_ids as encode_pieces
from course_lib.exercises.chapter_08.recovering import vocabulary
from course_lib.exercises.chapter_08.streaming import CUT, NEVER, WHOLE, sure
from course_lib.tokenizers.bpe.learning import learn_merges
from course_lib.tokenizers.bpe.merging import merged as merged_by_the_library

from .planted import assert_told

pytestmark = pytest.mark.usefixtures("one_thread")

A, B = b"a", b"b"


def solved(exercise):
    """What the solution of an exercise hands in."""
    names = {}
    exec(find(exercise).solution, names)
    return names[find(exercise).attempt]


def raises(*args):
    raise IndexError("list index out of range")


def endless(right):
    """It finds the right answer, and then goes on and on."""

    def goes_on(*args):
        right(*args)
        while True:
            pass

    return goes_on


def nothing(right):
    """It has the right answer, and keeps it."""

    def keeps_it(*args):
        right(*args)

    return keeps_it


def then(right, change):
    """The right answer, changed."""

    def changed(*args):
        return change(right(*args))

    return changed


def slow(right):
    """It would come to an end, tomorrow."""

    def waits(*args):
        for _ in range(10**11):
            pass
        return right(*args)

    return waits


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
    "the third another": (["ug", "un", "bun", "pug"], ("The first 2 are right", "occurs 3 times by then")),
    "the second another": (["ug", "pug", "un", "pun"], ("The first is right", "occurs 5 times by then")),
    "a tie in the end": (["ug", "un", "pun", "hug"], ("The first 3 are right", "comes later in the alphabet")),
    "a tie in the beginning": (["pu", "ug", "un", "pug"], "comes later in the alphabet"),
    "a pair that is gone": (["ug", "pu", "un", "pun"], "occurs 5 times by then, and another one more often"),
    "a word": (["hugs", "pug", "pun", "bun"], "No pair of neighbors makes that token there"),
    "backwards": (["gu", "nu", "nup", "gup"], "No pair of neighbors makes that token there"),
    "one too few": (["ug", "un", "pun"], "Expected are 4 tokens, one for each merge; it got 3"),
    "one missing": (["ug", "un", "pun", ...], "Token 4 is still missing"),
    "numbers": ([10, 8, 5, 5], "Token 1 should be a text"),
    "one text": ("ug un pun pug", "a list of four texts"),
    "a dict": ({"ug": 10}, "It got a dict of 1"),
}


def test_tokens_may_be_written_as_bytes_or_pairs_and_are_what_the_library_learns():
    assert check("08-1", [b"ug", ("u", "n"), "p+un", "p ug"]).passed
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
    "the counts before": (lambda w, p: Counter(pairwise(w)), "there should be"),
    "doubled": (then(solved("08-3"), lambda by: {one: 2 * n for one, n in by.items()}), "be +1, and there is +2"),
    "nothing": (lambda w, p: {}, "there is no change"),
    "joined": (then(solved("08-3"), lambda by: {b"".join(one): n for one, n in by.items()}), "could not be told apart"),
    "texts": (then(solved("08-3"), lambda by: {tuple(h.decode() for h in one): n for one, n in by.items()}),
              "should be a byte string"),
    "pieces": (lambda w, p: {(piece,): -1 for piece in w}, "a tuple of two byte strings; it is a tuple of 1"),
    "shares": (then(solved("08-3"), lambda by: {one: n / 2 for one, n in by.items()}), "should be a whole number"),
    "a list": (then(solved("08-3"), lambda by: list(by.items())), "a dict from pair to change; it is a list"),
    "the word": (lambda w, p: merged(w, p), "a dict from pair to change; it is a tuple"),
    "subtract returns nothing": (lambda w, p: after_03(w, p).subtract(pairwise(w)), "it is None"),
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


# 08-5 -----------------------------------------------------------------------------------------------------


def bits(nats, tokens, n_bytes):
    return nats * tokens / math.log(2) / n_bytes


def best_05(by=bits, score=bits, pick=min):
    """Names the run that ``by`` puts first, and gives it a score."""

    def best_run(runs):
        best = pick(runs, key=lambda name: by(*runs[name]))
        return best, score(*runs[best])

    return best_run


def sorts_out(runs):
    while len(runs) > 1:
        del runs[max(runs, key=lambda name: bits(*runs[name]))]
    ((name, three),) = runs.items()
    return name, bits(*three)


WRONG_5 = {
    "the fewest nats per token": (best_05(by=lambda n, t, b: n), "has the fewest nats per token, but"),
    "the fewest nats in all": (best_05(by=lambda n, t, b: n * t), "it was not scored on the same text"),
    "the fewest tokens": (best_05(by=lambda n, t, b: t), "what they cost counts too"),
    "the most": (best_05(pick=max), "Lowest is best"),
    "on its head": (best_05(by=lambda n, t, b: n * b / t), "should name"),
    "nats per token": (best_05(score=lambda n, t, b: n), "still its nats per token"),
    "nats per byte": (best_05(score=lambda n, t, b: n * t / b), "in nats per byte: divide by ln 2"),
    "times ln 2": (best_05(score=lambda n, t, b: n * t * math.log(2) / b), "do not multiply"),
    "bits per token": (best_05(score=lambda n, t, b: n / math.log(2)), "in bits per token"),
    "the score on its head": (best_05(score=lambda n, t, b: n / math.log(2) * b / t), "times tokens, over bytes"),
    "all bits": (best_05(score=lambda n, t, b: n * t / math.log(2)), "Divide by its bytes"),
    "all nats": (best_05(score=lambda n, t, b: n * t), "Divide by ln 2 and by its bytes"),
    "tokens forgotten": (best_05(score=lambda n, t, b: n / math.log(2) / b), "multiply by the tokens"),
    "log10": (best_05(score=lambda n, t, b: n * t / math.log10(2) / b), "math.log10 is another logarithm"),
    "rounded": (best_05(score=lambda *three: round(bits(*three), 1)), "Do not round"),
    "another": (best_05(score=lambda *three: bits(*three) + 1), "All nats of the text, in bits, over its bytes"),
    "the other way round": (lambda runs: best_05()(runs)[::-1], "it is the other way round"),
    "the name alone": (lambda runs: best_05()(runs)[0], "should be a pair, a name and its bits per byte"),
    "all scores": (lambda runs: {name: bits(*runs[name]) for name in runs}, "should be a pair"),
    "a made-up name": (lambda runs: ("pairs", 1.3), "should begin with the name of a run"),
    "a text for the number": (lambda runs: (best_05()(runs)[0], "1.31"), "should be a number; it is the text '1.31'"),
    "sorts them out": (sorts_out, "changed the dict"),
    "raises": (raises, "raised IndexError"),
    "slow": (slow(best_05()), "200,000 lines"),
    "no end": (endless(best_05()), "had not come to an end after 200,000 lines"),
    "nothing returned": (nothing(best_05()), "Does the function end with return?"),
    "called": (("byte pairs", 1.3129), "It got a tuple of 2"),
}


def test_a_list_and_log2_of_e_are_right_too():
    assert check("08-5", lambda runs: list(best_05()(runs))).passed
    assert check("08-5", best_05(score=lambda n, t, b: n * math.log2(math.e) * t / b)).passed


# 08-6 -----------------------------------------------------------------------------------------------------


def by_token(**how):
    def stream(ids, vocab):
        for i in ids:
            yield vocab[i].decode(**how)

    return stream


def whole_each_time(ids, vocab):
    decoder, text = codecs.getincrementaldecoder("utf-8")("replace"), ""
    for i in ids:
        text += decoder.decode(vocab[i])
        yield text


def all_at_the_end(ids, vocab):
    yield b"".join(vocab[i] for i in ids).decode("utf-8", "replace")


def waits_for_ever(ids, vocab):
    """It tries the bytes as a whole: one that is wrong holds up everything after it."""
    waiting = b""
    for i in ids:
        waiting += vocab[i]
        try:
            text = waiting.decode()
        except UnicodeDecodeError:
            continue
        waiting = b""
        yield text


def stuck(ids, vocab):
    """It shows what is whole and waits for the rest, whatever that is."""
    waiting = b""
    for i in ids:
        waiting += vocab[i]
        try:
            text, waiting = waiting.decode(), b""
        except UnicodeDecodeError as error:
            text, waiting = waiting[: error.start].decode(), waiting[error.start :]
        yield text


def holds_whole_ones_back(ids, vocab):
    """What many programs do: nothing is shown while the text ends with a �."""
    waiting = b""
    for i in ids:
        waiting += vocab[i]
        text = waiting.decode("utf-8", "replace")
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):
            waiting = b""
            yield text


def one_late(ids, vocab):
    last = ""
    for text in solved("08-6")(ids, vocab):
        yield last
        last = text
    yield last


def drops_the_broken(ids, vocab):
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    for i in ids:
        yield decoder.decode(vocab[i])


def strict(ids, vocab):
    decoder = codecs.getincrementaldecoder("utf-8")()
    for i in ids:
        yield decoder.decode(vocab[i])


def no_repeats(ids, vocab):
    seen = None
    for text in solved("08-6")(ids, vocab):
        if text != seen:
            yield text
        seen = text


def the_first_two(ids, vocab):
    yield from itertools.islice(solved("08-6")(ids, vocab), 2)


def asks_without_end(ids, vocab):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        yield decoder.decode(vocab[next(ids)])


def yields_without_end(ids, vocab):
    yield from solved("08-6")(ids, vocab)
    while True:
        yield ""


def ids_only(ids, vocab):
    yield from ids


def encoded_again(ids, vocab):
    for text in solved("08-6")(ids, vocab):
        yield text.encode()


def nones(ids, vocab):
    for text in solved("08-6")(ids, vocab):
        yield text or None


def uses_up(ids, vocab):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for i in ids:
        yield decoder.decode(vocab.pop(i))


def looks_into_ids(ids, vocab):
    yield b"".join(vocab[ids[i]] for i in range(len(ids))).decode()


def by_bytes(ids, vocab):
    for i in ids:
        for byte in vocab[i]:
            yield chr(byte)


WRONG_6 = {
    "each token by itself": (by_token(errors="replace"), "stands for half a character there"),
    "ignoring": (by_token(errors="ignore"), "have to be kept until the others come"),
    "each token, strictly": (by_token(), ("A token may end in the middle of a character", "raised UnicodeDecodeError")),
    "latin-1": (by_token(encoding="latin-1"), "became a character by itself"),
    "chr": (by_bytes, "became a character by itself"),
    "the whole each time": (whole_each_time, "Give out only what is new"),
    "all at the end": (all_at_the_end, "The rest comes too late"),
    "a list": (then(solved("08-6"), list), "What is returned comes only when all ids are there"),
    "a text": (then(solved("08-6"), "".join), "should give out texts with yield"),
    "one late": (one_late, "The rest comes too late"),
    "tries all at once": (waits_for_ever, "The rest comes too late"),
    "stuck at what is broken": (stuck, "Those bytes can never become a character"),
    "holds whole ones back": (holds_whole_ones_back, "The rest comes too late"),
    "drops the broken": (drops_the_broken, "there should be �"),
    "strict": (strict, ("Some bytes can never become a character", "raised UnicodeDecodeError")),
    "no repeats": (no_repeats, "however often it came before"),
    "stops too early": (the_first_two, "ends before the ids do: it asked for 2 of 3"),
    "next past the end": (asks_without_end, ("A loop, for i in ids, ends by itself", "raised RuntimeError")),
    "no end": (yields_without_end, ("had not come to an end after 200,000 lines", "of your cell")),
    "ids": (ids_only, "should give out text; it gave out the number 7"),
    "bytes": (encoded_again, "it gave out bytes, b'Hel'"),
    "None": (nones, "Where nothing is certain yet, give out nothing"),
    "uses up the vocabulary": (uses_up, "changed the dict vocab"),
    "ids as a list": (looks_into_ids, ("ids is not a list", "raised TypeError")),
    "raises": (raises, "raised IndexError"),
    "nothing returned": (nothing(solved("08-6")), "should give out texts with yield; it returned None"),
    "called": (iter(["Hel"]), "Expected is your function stream itself"),
}  # fmt: skip


def by_hand(ids, vocab):
    """Without a decoder of Python's: by what its error says."""
    waiting = b""
    for i in ids:
        waiting += vocab[i]
        while waiting:
            try:
                yield waiting.decode()
                waiting = b""
            except UnicodeDecodeError as error:
                yield waiting[: error.start].decode()
                waiting = waiting[error.start :]
                if error.reason == "unexpected end of data":
                    break
                yield "\N{REPLACEMENT CHARACTER}"
                waiting = waiting[error.end - error.start :]


def with_the_rest(ids, vocab):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for i in ids:
        if text := decoder.decode(vocab[i]):
            yield text
    yield decoder.decode(b"", final=True)


def test_other_ways_to_stream_are_right_too():
    for stream in (by_hand, with_the_rest, lambda ids, vocab: solved("08-6")(ids, vocab)):
        assert check("08-6", stream).passed, stream


def test_the_solution_shows_what_the_librarys_decoder_shows():
    dice = random.Random(0)
    vocab = tokenizer().vocab
    for text in ("a 🦊 ran, 日本, café", "é" * 9):
        ids = tokenizer().encode(text)
        dice.shuffle(ids)  # bytes that no text has
        decoder = tokenizer().decoder()
        assert list(solved("08-6")(iter(ids), vocab)) == [decoder.add([i]) for i in ids]


def test_what_is_said_to_be_whole_broken_or_cut_is():
    for tokens in WHOLE:
        assert sure(tokens) == b"".join(tokens).decode()
    for tokens in NEVER:
        with pytest.raises(UnicodeDecodeError, match="invalid"):
            b"".join(tokens).decode()
    for tokens in CUT[:-1]:
        with pytest.raises(UnicodeDecodeError, match="unexpected end"):
            b"".join(tokens).decode()


# 08-7 -----------------------------------------------------------------------------------------------------


def split_07(text, special):
    return [part for part in re.split("(" + "|".join(map(re.escape, special)) + ")", text) if part]


def chat_07(clean=lambda text, special: text, fill=None, one=None):
    """Fills the slots first, as one should not; ``clean`` mends a text before, ``fill`` puts the texts in."""

    def encode_chat(template, texts, special, encode):
        texts = [clean(text, special) for text in texts]
        if fill:
            template = fill(template, texts)
        else:
            first, *others = template.split("{}")
            template = first + "".join(map("".join, zip(texts, others)))
        ids = []
        for part in split_07(template, special):
            ids += [special[part]] if part in special else (one or encode)(part)
        return ids

    return encode_chat


def without_specials(text, special):
    for name in special:
        text = text.replace(name, "")
    return text


def with_blanks(text, special):
    return text.replace("<|", "< |")


def safe_07(fill=None, joined=True, names=True, pattern=re.escape):
    """Cuts the template first; one thing or another goes wrong then."""

    def encode_chat(template, texts, special, encode):
        waiting, ids = list(texts), []
        for part in re.split("(" + "|".join(map(pattern, special)) + ")", template):
            if part in special:
                ids += [special[part]] if names else encode(part)
                continue
            if fill:
                ids += encode(fill(part, waiting))
                continue
            first, *others = part.split("{}")
            pieces = [first, *itertools.chain.from_iterable((waiting.pop(0), rest) for rest in others)]
            ids += encode("".join(pieces)) if joined else [i for piece in pieces for i in encode(piece)]
        return ids

    return encode_chat


def one_after_another(template, texts):
    for text in texts:
        template = template.replace("{}", text, 1)
    return template


def replaced(part, waiting):
    while "{}" in part and waiting:
        part = part.replace("{}", waiting.pop(0), 1)
    return part


def backwards(template, texts, special, encode):
    return solved("08-7")(template, texts[::-1], special, encode)


def pops_them(template, texts, special, encode):
    ids = solved("08-7")(template, texts, special, encode)
    texts.clear()
    return ids


def nested(template, texts, special, encode):
    return [[i] for i in solved("08-7")(template, texts, special, encode)]


def with_all_allowed(template, texts, special, encode):
    return tokenizer().encode(template.format(*texts), allowed_special="all")


WRONG_7 = {
    "filled first": (chat_07(), "A user has typed a special token, <|end|>"),
    "format, and all allowed": (with_all_allowed, "A user has typed a special token, <|end|>"),
    "filled one after another": (chat_07(fill=one_after_another), "A user has typed a special token"),
    "specials taken out": (chat_07(clean=without_specials), "has changed. What a user types stays as it is"),
    "made harmless": (chat_07(clean=with_blanks), "has changed. What a user types stays as it is"),
    "cut first, slots of users filled": (safe_07(fill=replaced), "A {} in a text is no slot"),
    "pieces by themselves": (safe_07(joined=False), "should be encoded as one text"),
    "specials as plain text": (safe_07(names=False), "yours made plain text of it"),
    "not escaped": (safe_07(pattern=str), "yours made plain text of it"),
    "slots left": (safe_07(fill=lambda part, waiting: part), "A slot of the template is still empty"),
    "everything plain": (lambda t, texts, s, e: e(t.format(*texts)), "<|user|> of the template should be one id"),
    "without specials": (lambda t, texts, s, e: e("".join(texts)), "in yours it is lost"),
    "texts backwards": (backwards, "From"),
    "nested": (nested, "ids += encode(text) joins them"),
    "the text": (lambda t, texts, s, e: t.format(*texts), "should be a list of ids; it is the text"),
    "texts as ids": (lambda t, texts, s, e: list(t), "it holds the text '<'"),
    "ids that there are not": (lambda t, texts, s, e: [999], "holds 999; the ids go from 0 to"),
    "uses up the texts": (pops_them, "changed the list"),
    "raises": (raises, "raised IndexError"),
    "no end": (endless(solved("08-7")), "had not come to an end after 200,000 lines"),
    "nothing returned": (nothing(solved("08-7")), "Does the function end with return?"),
    "called": ([1, 2], "It got a list of 2"),
}


def test_a_loop_over_the_template_and_an_array_are_right_too():
    def encode_chat(template, texts, special, encode):
        ids, plain, waiting = [], "", iter(texts)
        while template:
            name = next((name for name in special if template.startswith(name)), "")
            if name:
                ids += [*encode(plain), special[name]]
                plain = ""
            elif template.startswith("{}"):
                plain += next(waiting)
            else:
                plain += template[0]
            template = template[len(name) or (2 if template.startswith("{}") else 1) :]
        return ids + encode(plain)

    assert check("08-7", encode_chat).passed
    assert check("08-7", lambda *args: tuple(encode_chat(*args))).passed


def test_whatever_users_type_a_chat_has_the_templates_special_tokens_only():
    dice = random.Random(0)
    special = tokenizer().special_tokens
    scraps = ["<|", "|>", "end", "user", "<|end|>", "<|user|>", "{}", "{", "}", " ", "why", "<|en", "d|>"]
    for _ in range(300):
        texts = ["".join(dice.choices(scraps, k=dice.randint(0, 8))) for _ in range(2)]
        template = "<|user|>Question: {}<|end|>|>{}<|end|>"
        ids = solved("08-7")(template, texts, special, encode)
        assert ids == filled(template, texts, encode)
        plain = [("Question: " + texts[0], False), ("|>" + texts[1], False)]
        assert read(ids) == [("<|user|>", True), plain[0], ("<|end|>", True), plain[1], ("<|end|>", True)]


def test_where_nothing_is_to_be_feared_the_chat_is_what_the_library_makes_of_it():
    for template, texts in CHATS[:4]:
        chat = tokenizer().encode(template.format(*texts), allowed_special="all")
        assert filled(template, texts, encode) == chat
    assert len(encode("Question: why")) < len(encode("Question: ")) + len(encode("why")), "one text or two: it shows"


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
