"""Chapter 01's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import json
import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiktoken
import tiktoken.load
import torch

from course_lib.data import load_text
from course_lib.exercises import check
from course_lib.losses import bits_per_byte
from course_lib.tokenizers import CharTokenizer

from .planted import assert_told

pytestmark = pytest.mark.usefixtures("one_thread")


# 01-1 -----------------------------------------------------------------------------------------------------

WRONG_1 = {
    "as they come": ([0, 4, 5, 1, 6], "Sort them first"),
    "no space": ([1, 5, 3, 0, 2], "The space is missing from your vocabulary, or stands last"),
    "backwards": ([3, 1, 4, 6, 2], "read backwards"),
    "counted from 1": ([3, 7, 5, 2, 4], "You counted from 1"),
    "bread alone": ([1, 4, 3, 0, 2], "the vocabulary of bread alone"),
    "Unicode": ([98, 114, 101, 97, 100], "An id is the position in the vocabulary"),
    "one wrong": ([2, 6, 4, 1, 5], "4 of 5 are right. The first wrong one: 5, at position 4"),
    "one missing": ([2, 6, ..., 1, 3], "The number at position 2 (counted from 0) is still missing"),
    "too few": ([2, 6, 4], "Expected 5 numbers, one after another, but got 3"),
    "letters": (list("bread"), "expected a whole number, but got the text 'b'"),
    "fractions": ([2.0, 6, 4, 1, 3], "expected a whole number, but got the number 2"),
    "an array of fractions": (np.array([2.0, 6, 4, 1, 3]), "expected a whole number, but got the number 2"),
    "an array, counted from 1": (np.array([3, 7, 5, 2, 4]), "You counted from 1"),
    "an array of one number": (np.array(2), "one for each letter of bread, but got an array with the one"),
    "a text": ("26413", "Expected a list of five whole numbers"),
}


@pytest.mark.parametrize("kind", [tuple, np.array, torch.tensor, lambda ids: list(np.array(ids))])
def test_ids_may_be_a_tuple_an_array_a_tensor_or_numpys_own_numbers(kind):
    assert check("01-1", kind([2, 6, 4, 1, 3])).passed


# 01-2 -----------------------------------------------------------------------------------------------------

WRONG_2 = {
    "no marks": ([2, 2, 44], "put the marks of the pattern before them"),
    "no marks, backwards": ([44, 2, 2], "in the wrong order"),
    "backwards": ([172, 130, 226], "stand backwards"),
    "marks of the first only": ([226, 2, 44], "Each later byte begins with the mark 10"),
    "no mark in the last": ([226, 130, 44], "In the last byte the leading bits 10 are missing"),
    "no mark in the second": ([226, 2, 172], "In the second byte the leading bits 10 are missing"),
    "the mark of two": ([194, 130, 172], "begins with 1110; yours begins with 110"),
    "filled from the left": ([0b11101000, 0b10001010, 0b10110000], "put zeros in front"),
    "filled from the left, zeros in the last": ([0b11101000, 0b10001010, 0b10101100], "put zeros in front"),
    "the code point in two bytes": ([0x20, 0xAC], "Two bytes hold code points up to U+07FF only"),
    "not a byte": ([8364, 0, 0], "A byte is a number from 0 to 255; 8364 is not one"),
    "negative": ([-30, -126, -84], "-30 is not one"),
    "hexadecimal words": (["E2", "82", "AC"], "expected a whole number, but got the text 'E2'"),
    "the last one wrong": ([226, 130, 170], "2 of 3 are right. The first wrong one: 170, at position 2"),
    "the character": ("€", "Expected a list of three whole numbers"),
}


@pytest.mark.parametrize("attempt", [(226, 130, 172), "€".encode(), bytearray("€".encode()), list("€".encode())])
def test_the_bytes_may_come_from_python_itself(attempt):
    assert check("01-2", attempt).passed


# 01-3 -----------------------------------------------------------------------------------------------------


def tables(V, C, tied):
    return V * C * (1 if tied else 2)


WRONG_3 = {
    "tied ignored": (lambda V, C, other, tied: 2 * V * C / (2 * V * C + other), "it counts once"),
    "always tied": (lambda V, C, other, tied: V * C / (V * C + other), "have a table each"),
    "tied the wrong way": (lambda V, C, o, tied: tables(V, C, not tied) / (tables(V, C, not tied) + o), "a table each"),
    "one table of two": (lambda V, C, o, tied: V * C / (tables(V, C, tied) + o), "only one of them is in your share"),
    "over the others": (lambda V, C, other, tied: tables(V, C, tied) / other, "divided by the other weights"),
    "the share of the others": (lambda V, C, o, tied: o / (tables(V, C, tied) + o), "the share of the others"),
    "percent": (lambda V, C, o, tied: 100 * tables(V, C, tied) / (tables(V, C, tied) + o), "percent"),
    "not divided": (lambda V, C, other, tied: tables(V, C, tied), "Divide by all weights"),
    "added": (lambda V, C, other, tied: (V + C) / (V + C + other), "V times C, not V plus C"),
    "whole division": (lambda V, C, o, tied: tables(V, C, tied) // (tables(V, C, tied) + o), "Do not round"),
    "rounded": (lambda V, C, o, tied: round(tables(V, C, tied) / (tables(V, C, tied) + o), 2), "Do not round"),
    "something else": (lambda V, C, other, tied: 0.5, "How many numbers are in one table"),
    "nothing returned": (lambda V, C, other, tied: print(end=""), "Does the function end with return?"),
    "called": (0.14, "without parentheses after it. It got the number 0.14"),
    "arguments forgotten": (lambda V, C: V * C, "yours takes (V, C)"),
}


def test_a_fraction_is_a_number_too():
    def exactly(V, C, other, tied):
        return Fraction(tables(V, C, tied), tables(V, C, tied) + other)

    assert check("01-3", exactly).passed
    assert_told("01-3", lambda V, C, other, tied: 100 * exactly(V, C, other, tied), "percent")


# 01-4 -----------------------------------------------------------------------------------------------------


def strict_04(unknown, start=0):
    """A strict_encode that does ``unknown(character, position, text)`` with what it does not know."""

    def strict_encode(text, characters):
        ids = []
        for position, character in enumerate(text):
            i = characters.index(character) + start if character in characters else None
            ids += unknown(character, position, text) if i is None else [i]
        return ids

    return strict_encode


def raising(message, kind=ValueError):
    def unknown(character, position, text):
        raise kind(message.format(character=character, position=position, next=position + 1, length=len(text)))

    return strict_04(unknown)


def looked_up(text, characters):
    number_of = {character: i for i, character in enumerate(characters)}
    return [number_of[character] for character in text]


def all_of(told):
    """A strict_encode that finds all unknown characters first, (position, character), and raises what is told."""

    def strict_encode(text, characters):
        found = [(position, c) for position, c in enumerate(text) if c not in characters]
        if found:
            raise ValueError(str(told(text, found)))
        return [characters.index(c) for c in text]

    return strict_encode


WRONG_4 = {
    "left out": (strict_04(lambda *what: []), "left the character out and said nothing"),
    "find": (lambda text, characters: [characters.find(c) for c in text], "-1 is no id"),
    "get": (lambda text, characters: [dict(zip(characters, range(9))).get(c) for c in text], "as a dictionary's"),
    "a bare KeyError": (looked_up, "it raised KeyError: '!'. That is the dictionary's own error"),
    "index": (lambda text, characters: [characters.index(c) for c in text], "without the character"),
    "another error": (raising("{character} at {position}", RuntimeError), "it raised RuntimeError: ! at 1"),
    "no message": (raising(""), "the message is empty, without the character"),
    "no character": (raising("unknown at position {position}"), "without the character"),
    "no position": (raising("unknown: {character!r}"), "enumerate(text) gives each character with its own"),
    "counted from 1": (raising("{character!r} at {next}"), "Count positions from 0"),
    "the length": (raising("{character!r} in a text of {length}"), "That is the length of the text"),
    "the last one": (all_of(lambda text, found: found[-1]), "The first unknown character is '!' at position 1; your"),
    "all of them, the last one first": (all_of(lambda text, found: found[::-1]), "your message names a later one"),
    "counted from 1, and the length before it": (
        raising("{character!r} at {next}, behind {position} others"),
        ("Count positions from 0", "says \"'!' at 2, behind 1 others\", 2 before 1"),
    ),
    "counted from 1, and a count": (raising("{character!r} at {next} (1 is unknown)"), "Count positions"),
    "all of them, the first position": (
        all_of(lambda text, found: f"{[c for _, c in found]} at {found[0][0]}"),
        "your message names a later one",
    ),
    "the least in Unicode": (
        all_of(lambda text, found: min(found, key=lambda one: one[1])),
        "'ü' at position 1; your message names a later",
    ),
    "the last place of it": (
        all_of(lambda text, found: f"{found[0][1]} at {text.rindex(found[0][1])}"),
        "'!' at position 1; your message",
    ),
    "a number for it": (strict_04(lambda *what: [0]), "returned a list of 6 and raised nothing"),
    "ids from 1": (strict_04(lambda *what: [], start=1), "Ids begin at 0"),
    "the message returned": (
        lambda text, characters: [characters.index(c) for c in text] if set(text) <= set(characters) else "unknown ! 1",
        "raise the error, do not return or print its message",
    ),
    "the error returned": (
        lambda text, chars: [chars.index(c) for c in text] if set(text) <= set(chars) else ValueError("! at 1"),
        "it returned the error: raise it",
    ),
    "nothing returned": (lambda text, characters: print(end=""), "should be a list; it is None"),
    "called": ([1, 2], "It got a list of 2"),
}


def test_the_first_may_be_named_before_the_others():
    assert check("01-4", all_of(lambda text, found: found)).passed
    also = all_of(lambda text, found: f"{found[0][1]!r} at {found[0][0]} is unknown; so are {found[1:]}")
    assert check("01-4", also).passed


def test_a_caught_key_error_is_right_too():
    def strict_encode(text, characters):
        number_of, ids = dict(zip(characters, range(len(characters)))), []
        try:
            for character in text:
                ids += [number_of[character]]
        except KeyError:
            raise ValueError(f"{character} ({len(ids)})") from None
        return ids

    assert check("01-4", strict_encode).passed


@pytest.mark.parametrize(
    "message",
    [
        "{c!r} at {i} in {text!r}?",
        "{c} is unknown! It stands at {i} of {n}; {V} are known.",
        "unknown at {i}: {rest}",
        "position {i} has {c!r} (U+{o:04X})",
        "of {n} characters, {c!r} at {i}",
        "the {next}th character, at position {i}: {c!r}",
    ],
)
def test_a_message_may_say_more(message):
    def strict_encode(text, characters):
        for i, c in enumerate(text):
            if c not in characters:
                rest, n, V = text[i:], len(text), len(characters)
                more = dict(rest=rest, n=n, V=V, next=i + 1, o=ord(c))
                raise ValueError(message.format(c=c, i=i, text=text, **more))
        return [characters.index(c) for c in text]

    assert check("01-4", strict_encode).passed


# 01-5 -----------------------------------------------------------------------------------------------------


def in_place(ids, most):
    while len(ids) > most:
        ids.pop()
    return ids


def one_byte_back(ids, most):
    cut = ids[:most]
    return cut[:-1] if cut and cut[-1] >= 128 else cut


WRONG_5 = {
    "cut anywhere": (lambda ids, most: ids[:most], "The last character of 'café' is in pieces"),
    "the end": (lambda ids, most: ids[-most:] if most else [], "That is the end of the text"),
    "no cut": (lambda ids, most: ids, "at most 0 were allowed"),
    "one too many": (lambda ids, most: ids[: most + 1], "at most 0 were allowed"),
    "one too few": (lambda ids, most: ids[: max(0, most - 1)], "More would fit"),
    "one byte back": (one_byte_back, "More would fit: a character that is whole may stay"),
    "letters only": (lambda ids, most: [i for i in ids if i < 128][:most], "More would fit"),
    "three back": (lambda ids, most: ids[:most] if most >= len(ids) else ids[: max(0, most - 3)], "More would fit"),
    "in place": (in_place, "changed the list that it was given"),
    "a text": (lambda ids, most: bytes(ids[:most]).decode("utf-8", "ignore"), "it is the text ''. encode() leads back"),
    "replaced": (
        lambda ids, most: list(bytes(ids[:most]).decode("utf-8", "replace").encode())[:most],
        "should have 3 entries; it has 4",
    ),
    "not as bytes": (
        lambda ids, most: [ord(c) for c in bytes(ids[:most]).decode("utf-8", "ignore")],
        "expected 195, got 233",
    ),
    "strict decoding": (lambda ids, most: list(bytes(ids[:most]).decode().encode()), "raised UnicodeDecodeError"),
    "the end forgotten": (
        lambda ids, most: ids[:most] if ids[most] < 128 or ids[most] > 191 else ids[: most - 1],
        "raised IndexError",
    ),
    "nothing returned": (lambda ids, most: print(end=""), "should be a list; it is None"),
    "called": ([102], "It got a list of 1"),
}


def test_decoding_what_fits_and_ignoring_the_rest_is_right_too():
    assert check("01-5", lambda ids, most: list(bytes(ids[:most]).decode("utf-8", "ignore").encode())).passed
    assert check("01-5", lambda ids, most: bytes(ids[:most]).decode("utf-8", "ignore").encode()).passed


def whole_05(ids, most):
    return list(bytes(ids[:most]).decode("utf-8", "ignore").encode())


@pytest.mark.parametrize("kind", [tuple, np.array, lambda ids: torch.tensor(ids, dtype=torch.long)])
def test_a_cut_may_be_a_tuple_an_array_or_a_tensor(kind):
    assert check("01-5", lambda ids, most: kind(whole_05(ids, most))).passed
    assert_told("01-5", lambda ids, most: kind(ids[:most]), "The last character of 'café' is in pieces")


# 01-6 -----------------------------------------------------------------------------------------------------


LN_2 = math.log(2)


def score_06(tokens=lambda t: t, over=lambda t, b, c: b, bit=LN_2):
    """A fair_score with one thing or another gone wrong."""

    def fair_score(nats_per_token, tokenizer, text):
        n = len(tokenizer.encode(text))
        return nats_per_token * tokens(n) / bit / over(n, len(text.encode()), len(text))

    return fair_score


WRONG_6 = {
    "nats": (score_06(bit=1), "in nats per byte"),
    "times ln 2": (score_06(bit=1 / math.log(2)), "do not multiply"),
    "per character": (score_06(over=lambda t, b, c: c), "len(text) does not"),
    "per token": (score_06(over=lambda t, b, c: t), "That is in bits per token"),
    "upside down": (lambda n, t, x: n / math.log(2) * len(x.encode()) / len(t.encode(x)), "stands on its head"),
    "the whole text": (score_06(over=lambda t, b, c: 1), "Divide by its bytes"),
    "one mean over all bytes": (score_06(tokens=lambda t: 1), "multiply by the number of tokens"),
    "one token less": (score_06(tokens=lambda t: t - 1), "the first one too"),
    "nothing done": (lambda nats, tokenizer, text: nats, "still in nats per token"),
    "by the vocabulary": (score_06(over=lambda t, b, c: 256), "10 tokens, 10 characters and 18 bytes here"),
    "log10": (score_06(bit=math.log10(2)), "should return 1.603; it returned 3.691"),
    "rounded": (lambda n, t, x: round(score_06()(n, t, x), 2), "Do not round"),
    "a tensor": (lambda n, t, x: torch.tensor(score_06()(n, t, x)), ".item() takes the number out"),
    "called": (2.5, "It got the number 2.5"),
}


def test_the_librarys_own_score_is_right():
    def fair_score(nats, tokenizer, text):
        return bits_per_byte(nats, len(tokenizer.encode(text)), len(text.encode()))

    assert check("01-6", fair_score).passed


# 01-7 -----------------------------------------------------------------------------------------------------


def moved_07(fresh=lambda table, staying: table.mean(dim=0), row=lambda table, old, c: table[old.index(c)]):
    """A moved_table with one thing or another gone wrong."""

    def moved_table(table, old, new):
        staying = [old.index(c) for c in old if c in new] or [0]
        rows = [row(table, old, c) if c in old else fresh(table, staying) for c in new]
        return torch.stack(rows)

    return moved_table


def by_id(table, old, new):
    rows = [table[i] if i < len(old) else table.mean(dim=0) for i in range(len(new))]
    return torch.stack(rows)


def zeros_below(table, old, new):
    moved = torch.zeros(len(new), table.shape[1])
    n = min(len(old), len(new))
    moved[:n] = table[:n]
    return moved


def in_the_old_one(table, old, new):
    moved = moved_07()(table, old, new)
    table[:1] = moved[:1]
    table += 1
    return moved


def itself_where_it_can(table, old, new):
    return table if old == new else moved_07()(table, old, new)


def a_view_where_it_can(table, old, new):
    return torch.from_numpy(table.numpy())[:] if old == new else moved_07()(table, old, new)


WRONG_7 = {
    "by id": (by_id, "kept their ids, not their characters"),
    "by id, zeros below": (zeros_below, "kept their ids, not their characters"),
    "zeros": (moved_07(fresh=lambda table, staying: torch.zeros(3)), "yours are 0"),
    "one mean": (moved_07(fresh=lambda table, staying: table.mean().expand(3)), "over the rows, dim=0"),
    "along the rows": (moved_07(fresh=lambda table, staying: table.mean(dim=1)), "dim=0 goes down the columns"),
    "a sum": (moved_07(fresh=lambda table, staying: table.sum(dim=0)), "divide by how many"),
    "the last row": (moved_07(fresh=lambda table, staying: table[-1]), "find() gives -1"),
    "the mean of those that stay": (moved_07(lambda table, staying: table[staying].mean(dim=0)), "rows that stay"),
    "something else": (moved_07(fresh=lambda table, staying: table[0]), "at [0, 0] expected"),
    "all that there are": (
        lambda table, old, new: moved_07()(table, old, "".join(sorted(set(old + new)))),
        "one row for each of its characters; it has (7, 3)",
    ),
    "appended": (
        lambda table, old, new: torch.cat([table, table.mean(dim=0).expand(len(set(new) - set(old)), 3)]),
        "kept their ids",
    ),
    "transposed": (lambda table, old, new: moved_07()(table, old, new).T, "it has (3, 6)"),
    "a list of rows": (lambda table, old, new: list(moved_07()(table, old, new)), "should be a tensor; it is a list"),
    "the old one changed": (in_the_old_one, "changed the table that it was given"),
    "the old one returned": (itself_where_it_can, "returned the old table itself"),
    "the old one's memory": (a_view_where_it_can, "returned the old table itself"),
    "the old one always": (lambda table, old, new: table, "it has (3, 3)"),
    "ids of the new one": (
        lambda table, old, new: torch.stack([table[i] for i in range(len(new))]),
        ("The table has 3 rows, 0 to 2", "a character's row there is old.index(character)", "raised IndexError"),
    ),
    "looked up in the new one": (
        moved_07(row=lambda table, old, c: table["abcdef".index(c)]),
        "An id in new says nothing about the old table",
    ),
    "code points": (moved_07(row=lambda table, old, c: table[ord(c)]), "yours asked for another one"),
    "never asked": (
        lambda table, old, new: torch.stack([table[old.index(c)] for c in new]),
        ("fails for a character that old does not have", "`if character in old`"),
    ),
    "called": (torch.ones(6, 3), "It got a tensor of shape (6, 3)"),
}


def test_filling_an_empty_table_is_right_too():
    def moved_table(table, old, new):
        moved = table.mean(dim=0).repeat(len(new), 1)
        for i, character in enumerate(new):
            if character in old:
                moved[i] = table[old.index(character)]
        return moved

    assert check("01-7", moved_table).passed


def test_a_mean_row_that_is_only_expanded_is_right_too():
    """Where no character stays, the rows of the new table may be one row in memory."""

    def moved_table(table, old, new):
        if set(old) & set(new):
            return moved_07()(table, old, new)
        return table.mean(dim=0).expand(len(new), -1)

    assert check("01-7", moved_table).passed


def test_the_words_of_the_chapter_hold():
    """Its vocabulary by hand, and its share of GPT-2's weights, told in verdicts, from the library."""
    assert CharTokenizer.train("banana bread").encode("bread") == [2, 6, 4, 1, 3]
    assert 50_257 * 768 + 85_842_432 == 124_439_808
    assert round(50_257 * 768 / 124_439_808, 2) == 0.31
    assert round(256 * 768 / (256 * 768 + 85_842_432), 3) == 0.002


def test_the_subwords_of_the_chapter_are_gpt2s():
    """What the chapter stores, from the published vocabulary, where a teacher's folder has it (no download)."""
    folder = Path(os.environ.get("COURSE_DATA", "")) / "gpt2-bpe"
    if not (folder / "vocab.bpe").is_file():
        pytest.skip("COURSE_DATA names no folder with gpt2-bpe/vocab.bpe and encoder.json")
    chapter = json.loads((Path(__file__).resolve().parents[2] / "chapters" / "01_tokenizer.ipynb").read_text("utf-8"))
    (cell,) = (cell for cell in chapter["cells"] if cell["id"] == "pieces")
    stored: dict[str, Any] = {}
    exec("".join(cell["source"][:2]), stored)
    names = dict(vocab_bpe_file=str(folder / "vocab.bpe"), encoder_json_file=str(folder / "encoder.json"))
    ranks = tiktoken.load.data_gym_to_mergeable_bpe_ranks(**names)
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    end = {"<|endoftext|>": 50256}
    gpt2 = tiktoken.Encoding("gpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens=end)
    assert gpt2.encode(load_text("tinytales").split("\n")[0]) == stored["gpt2_ids"]
    assert [gpt2.decode([i]) for i in stored["gpt2_ids"]] == stored["gpt2_pieces"]
    assert gpt2.n_vocab == 50_257


# All of them ----------------------------------------------------------------------------------------------

PLANTED = {
    "01-1": WRONG_1,
    "01-2": WRONG_2,
    "01-3": WRONG_3,
    "01-4": WRONG_4,
    "01-5": WRONG_5,
    "01-6": WRONG_6,
    "01-7": WRONG_7,
}
"""Exercise to mistakes; a mistake's name to an attempt and the words that must be said of it."""


@pytest.mark.parametrize(("exercise", "name"), [(exercise, name) for exercise in PLANTED for name in PLANTED[exercise]])
def test_a_planted_mistake_is_told_what_is_wrong(exercise, name):
    assert_told(exercise, *PLANTED[exercise][name])
