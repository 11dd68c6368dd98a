"""Chapter 08's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import codecs
import itertools
import math
import random
import re
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from course_lib.exercises import check, find
from course_lib.exercises.chapter_08.chat import CASES as CHATS
from course_lib.exercises.chapter_08.chat import encode, filled, read, tokenizer
from course_lib.exercises.chapter_08.merging import LEARNED
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


# 08-1 -----------------------------------------------------------------------------------------------------


def counts_01(pairs=pairwise, weight=lambda count: count, key=lambda pair: pair):
    def pair_counts(words):
        counts = Counter()
        for pieces, count in words.items():
            for pair in pairs(pieces):
                counts[key(pair)] += weight(count)
        return counts

    return pair_counts


def of_all_words_in_a_row(words):
    pieces = [piece for word, count in words.items() for piece in word * count]
    return Counter(pairwise(pieces))


def set_anew(words):
    counts = {}
    for pieces, count in words.items():
        for pair in pairwise(pieces):
            counts[pair] = count
    return counts


def by_places(pieces):
    """Each piece belongs to one place of a pair only."""
    taken = defaultdict(lambda: -2)
    for i, pair in enumerate(pairwise(pieces)):
        if taken[pair] < i - 1:
            taken[pair] = i
            yield pair


def empties_it(words):
    counts = Counter()
    while words:
        pieces, count = words.popitem()
        for pair in pairwise(pieces):
            counts[pair] += count
    return counts


WRONG_1 = {
    "not weighted": (counts_01(weight=lambda count: 1), "add its count, not 1"),
    "across words": (of_all_words_in_a_row, "from the end of one word into the next"),
    "once in each word": (counts_01(lambda pieces: set(pairwise(pieces))), "every place counts"),
    "without overlap": (counts_01(by_places), "in aaa there are two"),
    "two steps at once": (counts_01(lambda pieces: list(pairwise(pieces))[::2]), "after (first, second) comes"),
    "the last lost": (counts_01(lambda pieces: list(pairwise(pieces))[:-1]), "of n pieces there are n - 1 pairs"),
    "set anew": (set_anew, "with +="),
    "sorted pairs": (counts_01(key=lambda pair: tuple(sorted(pair))), "are two pairs"),
    "pairs of all pieces": (counts_01(lambda p: itertools.combinations(p, 2)), "one right after the other"),
    "joined": (counts_01(key=b"".join), "could not be told apart"),
    "texts": (counts_01(key=lambda pair: tuple(p.decode() for p in pair)), "should be a byte string"),
    "pieces counted": (counts_01(lambda pieces: [(p,) for p in pieces]), "a tuple of two byte strings"),
    "squared": (counts_01(weight=lambda count: count**2), "occurs 7 times; you counted 29"),
    "shares": (counts_01(weight=lambda count: count / 2), "should be a whole number"),
    "a list": (then(solved("08-1"), lambda counts: list(counts.items())), "a dict from pair to count; it is a list"),
    "empties the dict": (empties_it, "changed the dict"),
    "raises": (raises, "raised IndexError: list index out of range"),
    "no end": (endless(solved("08-1")), ("had not come to an end after 200,000 lines", "of your cell: ")),
    "nothing returned": (nothing(solved("08-1")), "Does the function end with return?"),
    "called": (Counter({(A, B): 1}), "without parentheses after it"),
}


def test_a_dict_and_counts_of_zero_are_right_too():
    right = solved("08-1")
    assert check("08-1", lambda words: dict(right(words))).passed
    assert check("08-1", lambda words: dict.fromkeys(itertools.product([A, B], repeat=2), 0) | right(words)).passed
    assert check("08-1", lambda words: right(words)).passed


# 08-2 -----------------------------------------------------------------------------------------------------


def merge_02(step=2, to=lambda n: n, more=lambda found: True):
    """Goes through the pieces; ``to`` says up to which place, ``more`` whether to merge again."""

    def merge(pieces, pair):
        done, i, found = [], 0, 0
        while i < to(len(pieces)):
            if tuple(pieces[i : i + 2]) == pair and more(found):
                done.append(pair[0] + pair[1])
                i, found = i + step, found + 1
            else:
                done.append(pieces[i])
                i += 1
        return done

    return merge


def from_the_right(pieces, pair):
    done = list(pieces)
    for i in range(len(done) - 2, -1, -1):
        if tuple(done[i : i + 2]) == pair:
            done[i : i + 2] = [b"".join(pair)]
    return done


def in_place(pieces, pair):
    i = 0
    while i < len(pieces) - 1:
        if tuple(pieces[i : i + 2]) == pair:
            pieces[i : i + 2] = [b"".join(pair)]
        i += 1
    return pieces


def as_they_spell(pieces, pair):
    done, i = [], 0
    while i < len(pieces):
        if b"".join(pieces[i : i + 2]) == b"".join(pair) and i + 1 < len(pieces):
            done.append(b"".join(pair))
            i += 2
        else:
            done.append(pieces[i])
            i += 1
    return done


def looks_one_too_far(pieces, pair):
    done, i = [], 0
    while i < len(pieces):
        if (pieces[i], pieces[i + 1]) == pair:
            done.append(pair[0] + pair[1])
            i += 2
        else:
            done.append(pieces[i])
            i += 1
    return done


def never_goes_on(pieces, pair):
    done, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            i += 2
            continue
        done = pieces[:i]
    return done


def the_same_where_nothing_is_merged(pieces, pair):
    return solved("08-2")(pieces, pair) if pair in pairwise(pieces) else pieces


WRONG_2 = {
    "with overlap": (merge_02(step=1), "go on behind both of its pieces"),
    "from the right": (from_the_right, "Go from left to right"),
    "the first place only": (merge_02(more=lambda found: not found), "Only the first place was merged"),
    "the last piece lost": (merge_02(to=lambda n: n - 1), "The last piece is lost"),
    "skips what follows": (merge_02(step=3), "Some bytes are lost"),
    "as they spell": (as_they_spell, "not what they spell"),
    "nothing merged": (lambda pieces, pair: list(pieces), "Nothing was merged"),
    "everything joined": (lambda pieces, pair: [b"".join(pieces)], "More than that has been joined"),
    "dropped": (lambda pieces, pair: [p for p in pieces if p not in pair], "Some bytes are lost"),
    "one too far": (looks_one_too_far, ("Was it pieces[i + 1]? The last piece has no neighbor", "raised IndexError")),
    "in place": (in_place, "changed the list"),
    "the very list": (the_same_where_nothing_is_merged, "Return a new list, also where nothing is merged"),
    "one byte string": (lambda pieces, pair: b"".join(pieces), "it is one byte string, b'thethe'"),
    "a pair in it": (lambda pieces, pair: [pair, *pieces], "become one piece with first + second"),
    "texts": (lambda pieces, pair: [p.decode() for p in pieces], "A byte string has a b in front"),
    "numbers": (lambda pieces, pair: list(b"".join(pieces)), "bytes([number]) is a piece again"),
    "a generator": (lambda pieces, pair: (p for p in pieces), "an object of the kind generator"),
    "raises": (raises, "raised IndexError"),
    "no end": (never_goes_on, ("had not come to an end after 200,000 lines", "of your cell")),
    "nothing returned": (nothing(solved("08-2")), "Does the function end with return?"),
    "called": ([b"aa", b"a"], "It got a list of 2"),
}


def test_a_tuple_and_a_recursion_are_right_too():
    def merge(pieces, pair):
        if len(pieces) < 2:
            return list(pieces)
        size = 2 if tuple(pieces[:2]) == pair else 1
        return [b"".join(pieces[:size]), *merge(pieces[size:], pair)]

    assert check("08-2", merge).passed
    assert check("08-2", lambda pieces, pair: tuple(merge(pieces, pair))).passed


# 08-3 -----------------------------------------------------------------------------------------------------


def best_by(key, pick=max):
    return lambda counts: pick(counts, key=lambda pair: key(counts[pair], pair))


def most(counts):
    return [pair for pair in counts if counts[pair] == max(counts.values())]


def pops_it(counts):
    best = solved("08-3")(counts)
    del counts[best]
    return best


WRONG_3 = {
    "the first of equals": (best_by(lambda n, pair: n), "keeps the one that comes first"),
    "most_common": (lambda counts: counts.most_common(1)[0][0], "the greater one is wanted"),
    "the last of equals": (lambda counts: most(counts)[-1], "the greater one is wanted"),
    "the smallest": (lambda counts: min(most(counts)), "the greater one is wanted"),
    "by what they spell": (best_by(lambda n, pair: (n, b"".join(pair))), "not the two joined"),
    "the longest": (best_by(lambda n, pair: (n, len(b"".join(pair)), pair)), "yours is longer, which does not count"),
    "by the second first": (best_by(lambda n, pair: (n, pair[::-1])), "the greater one is wanted"),
    "the second the other way": (lambda c: min((p for p in most(c) if p[0] == max(most(c))[0]), key=lambda p: p[1]),
                                 "the first pieces are equal, and b'c' is greater than b'a'"),
    "the greatest, however often": (max, "It occurs once, and the most frequent one 4 times"),
    "the rarest": (best_by(lambda n, pair: (n, pair), min), "It occurs 3 times, and the most frequent one 8 times"),
    "with its count": (lambda counts: counts.most_common(1)[0], "the pair and its count"),
    "joined": (lambda counts: b"".join(solved("08-3")(counts)), "The pair itself is wanted, not yet merged"),
    "all that are equal": (lambda counts: sorted(most(counts)), "should be a pair, a tuple of two byte strings"),
    "the count": (lambda counts: max(counts.values()), "should be a pair"),
    "made up": (lambda counts: (b"u", b"u"), "That pair is not among those counted"),
    "takes it out": (pops_it, "changed the Counter"),
    "raises": (raises, "raised IndexError"),
    "no end": (endless(solved("08-3")), "had not come to an end after 200,000 lines"),
    "nothing returned": (nothing(solved("08-3")), "Does the function end with return?"),
    "called": ((b"u", b"g"), "It got a tuple of 2"),
}  # fmt: skip


def test_sorting_is_right_too_and_the_rule_is_the_librarys():
    assert check("08-3", lambda counts: sorted((n, pair) for pair, n in counts.items())[-1][1]).passed
    best_pair, pair_counts, merge = solved("08-3"), solved("08-1"), solved("08-2")
    for words, merges in LEARNED:
        left = {tuple(bytes([byte]) for byte in word.encode()): count for word, count in words.items()}
        learned = []
        for _ in merges:
            learned.append(best_pair(pair_counts(left)))
            left = {tuple(merge(list(pieces), learned[-1])): count for pieces, count in left.items()}
        contents = [bytes([byte]) for byte in range(256)]
        for first, second in learn_merges({word.encode(): n for word, n in words.items()}, len(merges)):
            contents.append(contents[first] + contents[second])
        assert learned == merges
        assert [first + second for first, second in learned] == contents[256:]


# 08-4 -----------------------------------------------------------------------------------------------------


def encode_04(choose=min, every=True, again=True, start=lambda word: [bytes([byte]) for byte in word]):
    """Encodes a word; ``choose`` takes one of the places where a merge could be, each (rank, place)."""

    def encode_word(word, merges):
        pieces = start(word)
        while True:
            places = [(merges.index(pair), i) for i, pair in enumerate(pairwise(pieces)) if pair in merges]
            if not places:
                return pieces
            rank, place = choose(places)
            if every:
                pieces = solved("08-2")(pieces, merges[rank])
            else:
                pieces[place : place + 2] = [b"".join(merges[rank])]
            if not again:
                return pieces

    return encode_word


def longest_match(word, merges):
    vocabulary, pieces = {b"".join(pair) for pair in merges}, []
    while word:
        size = max((n for n in range(1, len(word) + 1) if word[:n] in vocabulary), default=1)
        pieces.append(word[:size])
        word = word[size:]
    return pieces


def once_through(found, merge):
    def encode_word(word, merges):
        pieces = [bytes([byte]) for byte in word]
        for pair in merges:
            if pair in pairwise(pieces):
                pieces = merge(pieces, pair)
            elif not found:
                break
        return pieces

    return encode_word


def one_place(pieces, pair):
    i = list(pairwise(pieces)).index(pair)
    return [*pieces[:i], b"".join(pair), *pieces[i + 2 :]]


def stops_at_one_merge_fewer(word, merges):
    return encode_04()(word, merges[:-1])


def takes_the_merges(word, merges):
    pieces = [bytes([byte]) for byte in word]
    while merges:
        pieces = solved("08-2")(pieces, merges.pop(0))
    return pieces


def never_ends(word, merges):
    pieces = [bytes([byte]) for byte in word]
    while True:
        for pair in merges:
            pieces = solved("08-2")(pieces, pair)


WRONG_4 = {
    "by position": (encode_04(choose=lambda places: min(places, key=lambda p: p[1]), every=False),
                    "You merge whatever comes first in the word"),
    "longest match": (longest_match, "You take the longest piece that fits"),
    "the last learned first": (encode_04(choose=lambda places: max(places, key=lambda p: (p[0], -p[1]))),
                               "You merge the pair that was learned last"),
    "once": (encode_04(again=False), "You stop after one merge"),
    "stops at the first that is missing": (once_through(False, solved("08-2")), "You stop too early"),
    "one place of each": (once_through(True, one_place), "every place is merged"),
    "the last merge forgotten": (stops_at_one_merge_fewer, "You stop too early"),
    "nothing merged": (lambda word, merges: [bytes([byte]) for byte in word], "Nothing was merged"),
    "the whole word": (lambda word, merges: [word] if word else [], "was learned first"),
    "characters": (encode_04(start=lambda word: [c.encode() for c in word.decode()]), "None of its pairs was ever"),
    "numbers": (encode_04(start=list), "A loop over a byte string gives numbers"),
    "texts": (then(solved("08-4"), lambda pieces: [p.decode("latin-1") for p in pieces]), "A byte string has a b"),
    "the last byte lost": (lambda word, merges: solved("08-4")(word[:-1], merges), "should be the word again"),
    "one byte string": (then(solved("08-4"), b"|".join), "one for each piece; it is one byte string"),
    "ids": (lambda word, merges: list(range(len(word))), "it is the number 0"),
    "uses up the merges": (takes_the_merges, "changed the list"),
    "raises": (raises, "raised IndexError"),
    "slow": (slow(solved("08-4")), "200,000 lines"),
    "no end": (never_ends, ("had not come to an end after 200,000 lines", "of your cell")),
    "nothing returned": (nothing(solved("08-4")), "Does the function end with return?"),
    "called": ([b"we", b"st"], "It got a list of 2"),
}  # fmt: skip


def learned(words, most):
    """Merges as pairs of byte strings."""
    contents = [bytes([byte]) for byte in range(256)]
    merges = []
    for first, second in learn_merges(words, most):
        merges.append((contents[first], contents[second]))
        contents.append(contents[first] + contents[second])
    return merges


def test_the_planted_merges_are_those_that_their_words_teach():
    for words, merges in LEARNED:
        assert learned({word.encode(): count for word, count in words.items()}, len(merges)) == merges


def test_the_solution_and_once_through_encode_as_the_library_does():
    dice = random.Random(0)
    right, through = solved("08-4"), once_through(True, solved("08-2"))
    assert check("08-4", through).passed
    for _ in range(300):
        words = {bytes(dice.choices(b"abc", k=dice.randint(2, 8))): dice.randint(1, 9) for _ in range(8)}
        merges = learned(words, dice.randint(1, 20))
        id_of = {bytes([byte]): byte for byte in range(256)}
        ids = {}
        for new, (first, second) in enumerate(merges, 256):
            ids[id_of[first], id_of[second]] = id_of[first + second] = new
        word = bytes(dice.choices(b"abc", k=dice.randint(0, 12)))
        assert [id_of[piece] for piece in right(word, merges)] == merged_by_the_library(list(word), ids)
        assert through(word, merges) == right(word, merges)


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
