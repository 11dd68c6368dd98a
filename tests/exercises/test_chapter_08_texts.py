"""Chapter 08's checks, its second half: runs compared, a stream of text, a chat; planted wrong answers for each."""

import codecs
import itertools
import math
import random
import re

import numpy as np
import pytest

from course_lib.exercises import check
from course_lib.exercises.chapter_08.chat import CASES as CHATS
from course_lib.exercises.chapter_08.chat import PLACEHOLDERS, encode, filled, read, tokenizer
from course_lib.exercises.chapter_08.streaming import CUT, NEVER, WHOLE, sure

from .planted import endless, nothing, raises, slow, solved, then

pytestmark = pytest.mark.usefixtures("one_thread")


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


def placed_07(placeholder):
    """Each special token of the template waits behind a placeholder while the slots are filled."""

    def encode_chat(template, texts, special, encode):
        names = {placeholder(place, id_): name for place, (name, id_) in enumerate(special.items())}
        for mark, name in names.items():
            template = template.replace(name, mark)
        first, *others = template.split("{}")
        whole = first + "".join(map("".join, zip(texts, others)))
        ids = []
        for part in split_07(whole, names):
            ids += [special[names[part]]] if part in names else encode(part)
        return ids

    return encode_chat


def slots_placed_07(mark):
    """The slots that users type wait behind a placeholder."""

    def encode_chat(template, texts, special, encode):
        waiting, ids = [text.replace("{}", mark) for text in texts], []
        for part in split_07(template, special):
            ids += [special[part]] if part in special else encode(replaced(part, waiting).replace(mark, "{}"))
        return ids

    return encode_chat


def without_controls(template, texts, special, encode):
    texts = ["".join(letter for letter in text if letter.isprintable()) for text in texts]
    return solved("08-7")(template, texts, special, encode)


WRONG_7 = {
    "filled first": (chat_07(), "A user has typed a special token, <|end|>"),
    "format, and all allowed": (with_all_allowed, "A user has typed a special token, <|end|>"),
    "filled one after another": (chat_07(fill=one_after_another), "A user has typed a special token"),
    "specials taken out": (chat_07(clean=without_specials), "has changed. What a user types stays as it is"),
    "made harmless": (chat_07(clean=with_blanks), "has changed. What a user types stays as it is"),
    "cut first, slots of users filled": (safe_07(fill=replaced), "A {} in a text is no slot"),
    "NUL, place, NUL": (placed_07(lambda place, id_: f"\0{place}\0"), "no placeholder is safe"),
    "NUL, number from 1, NUL": (placed_07(lambda place, id_: f"\0{place + 1}\0"), "no placeholder is safe"),
    "NUL, id, NUL": (placed_07(lambda place, id_: f"\0{id_}\0"), "no placeholder is safe"),
    "private characters": (placed_07(lambda place, id_: chr(0xE000 + place)), "no placeholder is safe"),
    "control characters": (placed_07(lambda place, id_: chr(1 + place)), "no placeholder is safe"),
    "users' slots behind NUL": (slots_placed_07("\0"), "no placeholder is safe"),
    "users' slots behind a private one": (slots_placed_07("\ue000"), "no placeholder is safe"),
    "control characters left out": (without_controls, "has changed. What a user types stays as it is"),
    "format for each part": (
        safe_07(fill=lambda part, waiting: part.format(*(waiting.pop(0) for _ in range(part.count("{}"))))),
        ("raised KeyError", "format reads every brace; only {} is a slot"),
    ),
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
    for kind in (tuple, np.array, lambda ids: [np.int64(i) for i in ids]):
        assert check("08-7", then(encode_chat, kind)).passed


def test_the_placeholders_hold_the_number_of_each_special_token():
    for id_ in tokenizer().special_tokens.values():
        assert f"\0{id_}\0" in PLACEHOLDERS[0]


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
