"""BPETokenizer against a slow implementation that counts everything anew, and against tiktoken."""

import io
import random
import sys
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path

import pytest
import regex
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_bpe import slow_encode, slow_merges

from course_lib.corpora import tinytales
from course_lib.data.reading import text_blocks
from course_lib.errors import CourseError, CourseWarning
from course_lib.tokenizers import BPETokenizer, load_tokenizer, tokenizer_from_dict
from course_lib.tokenizers.bpe import GPT2_PATTERN, GPT4_PATTERN, learning
from course_lib.tokenizers.bpe.counting import count_words

steady = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
END = "<|endoftext|>"
TALES = tinytales.tinytales_text(30_000, seed=3)
SCRIPTS = (
    "The quick brown fox can't jump over 13,377 lazy dogs.\n\n  Indented\ttext; tabs and CRs\r\n",
    "Zażółć gęślą jaźń. Grüße aus Köln, ça va? Ægir blæser.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "中文没有空格的句子可以很长很长，标点也不同。日本語のテキストもあります。",
    "שלום עולם، مرحبا بالعالم नमस्ते दुनिया สวัสดีชาวโลก",
    "👩‍👩‍👧‍👦 family, flags 🇩🇪🇯🇵, accents e\u0301 and zero\u200bwidth, \u00a0no-break \u2003em space",
    "x = [i**2 for i in range(10)]  # ²³¼ ⅷ ٣\n\tif x:\n\t\treturn 'we'll'\n\n\n\n",
)


def random_text(chance: random.Random) -> str:
    """Few letters, so that pairs repeat, overlap and tie; some runs of one letter; spaces."""
    letters = "".join(chance.sample("ab cdäß中", chance.randint(1, 4)))
    parts = [chance.choice(letters) * chance.choice((1, 1, 1, 2, 3, 7)) for _ in range(chance.randint(1, 60))]
    return "".join(parts)


# Training ------------------------------------------------------------------------------------------------------


def test_the_merges_are_those_of_the_slow_way_on_400_random_texts():
    chance = random.Random(0)
    for _ in range(400):
        text, pattern = random_text(chance), chance.choice((GPT2_PATTERN, GPT4_PATTERN))
        wanted = slow_merges(regex.findall(pattern, text), 30)
        with warnings.catch_warnings(action="ignore"):
            assert BPETokenizer.train(text, 286, pattern=pattern).merges == wanted, repr(text)


@pytest.mark.parametrize("text", [TALES, *SCRIPTS], ids=["tinytales", *(text[:8] for text in SCRIPTS)])
def test_the_merges_of_texts_are_those_of_the_slow_way(text):
    n_merges = 60
    wanted = slow_merges(regex.findall(GPT2_PATTERN, text), n_merges)
    with warnings.catch_warnings(action="ignore"):
        assert BPETokenizer.train(text, 256 + n_merges).merges == wanted


def test_of_equal_counts_the_greatest_pair_comes_first():
    """By bytes: é is 0xC3 0xA9, above all letters; and a shorter token before nothing is the lesser one."""
    assert BPETokenizer.train("ab cd é", 258).merges == [(b"\xc3", b"\xa9"), (b"c", b"d")]
    merges = BPETokenizer.train("aab aab ab ab", 260).merges
    assert merges == slow_merges(["aab", " aab", " ab", " ab"], 4)


def test_a_pair_of_equal_tokens_is_merged_from_the_left():
    tokenizer = BPETokenizer.train("aaa aaa aaa", 257)
    assert tokenizer.merges == [(b"a", b"a")]
    assert tokenizer.encode("aaa aaaa") == [256, 97, 32, 256, 256]


def test_a_text_in_pieces_and_by_two_processes_teaches_the_same(monkeypatch):
    whole = BPETokenizer.train(TALES, 400)
    monkeypatch.setattr("course_lib.tokenizers.bpe.splitting.BLOCK", 1000)
    assert BPETokenizer.train((TALES[i : i + 77] for i in range(0, len(TALES), 77)), 400) == whole
    assert BPETokenizer.train(iter([TALES]), 400, processes=2) == whole


@steady
@given(st.text(st.sampled_from("aB1²,.'sé中🎈 \t\n\r\x1c\x1f\x85\u00a0\u2028\u3000")), st.integers(1, 9), st.booleans())
def test_words_are_counted_as_the_pattern_finds_them(text, size, split_often):
    """Whatever stands between white space of all kinds, and wherever a block ends."""
    for pattern in (GPT2_PATTERN, GPT4_PATTERN):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("course_lib.tokenizers.bpe.splitting.BLOCK", size)
            patch.setattr("course_lib.tokenizers.bpe.counting.MOST_STRETCHES", 2 if split_often else 1000)
            assert text == "" or count_words(text, pattern) == Counter(regex.findall(pattern, text)), pattern


def test_special_tokens_in_the_text_end_chunks_and_teach_nothing():
    tokenizer = BPETokenizer.train(f"ab{END}ab{END}{END}", 258, [END])
    assert tokenizer.merges == [(b"a", b"b")]
    assert tokenizer.special_tokens == {END: 257}
    assert tokenizer.vocab[257] == END.encode()


@pytest.mark.parametrize(
    ("size", "special", "least"),
    [(255, [], r"256 \(256 bytes\)"), (256, [END], r"257 \(256 bytes and 1 special token\)")],
)
def test_a_vocabulary_smaller_than_the_bytes_is_refused(size, special, least):
    with pytest.raises(CourseError, match=f"vocab_size should be at least {least}; it is {size}"):
        BPETokenizer.train("abc", size, special)


@pytest.mark.parametrize("text", ["", iter([]), ["", ""], END])
def test_an_empty_text_is_refused(text):
    with pytest.raises(CourseError, match="this one is empty"):
        BPETokenizer.train(text, 300, [END])


def test_a_text_with_too_few_pairs_stops_early_and_says_so():
    with pytest.warns(CourseWarning, match="only 3 pairs to merge, so the vocabulary has 259 tokens and not 300"):
        tokenizer = BPETokenizer.train("abc abc", 300)
    assert tokenizer.vocab_size == 259
    with pytest.warns(CourseWarning, match="only 1 pair to merge"):
        BPETokenizer.train("ab", 300)


@pytest.mark.parametrize("size", [300.0, "300", None, True])
def test_a_size_that_is_no_whole_number_is_refused(size):
    with pytest.raises(CourseError, match=r"vocab_size should be a whole number \(256 bytes\); it is"):
        BPETokenizer.train("abc", size)


@pytest.mark.parametrize("text", [None, 5, b"abc", Path("a.txt"), [b"abc"], ["abc", 5], io.BytesIO(b"abc\n")])
def test_what_is_no_text_is_refused(text):
    with pytest.raises(CourseError, match=r"open\(path, encoding='utf-8'\)"):
        BPETokenizer.train(text, 300)


def test_a_file_that_is_not_utf8_is_refused_or_what_is_no_character_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"ab ab ab\n" * 3000 + b"\xff ab")
    with path.open(encoding="utf-8") as lines, pytest.raises(CourseError, match=r"not valid UTF-8: .*, byte 0xff"):
        BPETokenizer.train(lines, 257)
    with pytest.raises(CourseError, match=r"byte 0xff at position 27000 \(line 3001\)"):
        BPETokenizer.train(text_blocks(str(path)), 257)
    with path.open(encoding="utf-8", errors="replace") as lines:
        assert BPETokenizer.train(lines, 257).merges == [(b"a", b"b")]


@pytest.mark.parametrize("special", ["<|x|>", ["a", ""], ["a", "a"], [5]])
def test_special_tokens_that_cannot_be_are_refused(special):
    with pytest.raises(CourseError, match=r"pecial"):
        BPETokenizer.train("abc", 300, special)


def test_work_is_bounded_by_the_distinct_words(monkeypatch):
    """A text ten times as long, of the same words, visits the same places."""
    visits: list[int] = []
    merge = learning.Words.merge

    def counting(self, first, second, new, places):
        visits.append(len(places))
        return merge(self, first, second, new, places)

    monkeypatch.setattr(learning.Words, "merge", counting)
    BPETokenizer.train(TALES, 400)
    once = sum(visits)
    visits.clear()
    BPETokenizer.train(TALES * 10, 400)
    assert sum(visits) <= 1.05 * once  # one new word may stand where two copies meet


@pytest.mark.parametrize("word", ["a", "ab", "中文字"])
def test_one_huge_word_is_learned_and_encoded_in_few_visits(word, monkeypatch):
    visits: list[int] = []
    merge = learning.Words.merge

    def counting(self, first, second, new, places):
        visits.append(len(places))
        return merge(self, first, second, new, places)

    monkeypatch.setattr(learning.Words, "merge", counting)
    text = word * 20_000
    with warnings.catch_warnings(action="ignore"):
        tokenizer = BPETokenizer.train(text, 300)
    assert sum(visits) < 3 * len(text.encode())
    ids = list(tokenizer.encode_in_python(text))
    assert ids == tokenizer.encode(text)
    assert tokenizer.decode(ids) == text


# Encoding and decoding -----------------------------------------------------------------------------------------


def test_ids_are_those_of_the_merges_applied_one_after_another():
    chance = random.Random(1)
    for _ in range(100):
        with warnings.catch_warnings(action="ignore"):
            tokenizer = BPETokenizer.train(random_text(chance), 290)
        text = random_text(chance)
        wanted = slow_encode(regex.findall(GPT2_PATTERN, text), tokenizer.merges)
        ids = tokenizer.encode(text)
        assert [tokenizer.vocab[i] for i in ids] == wanted
        assert list(tokenizer.encode_in_python(text)) == ids


@pytest.fixture(scope="module")
def trained() -> BPETokenizer:
    return BPETokenizer.train(TALES + "".join(SCRIPTS), 700, [END, "<|two words|>"])


@steady
@given(ANY_TEXT)
def test_any_text_comes_back_and_python_agrees_with_tiktoken(trained, text):
    ids = trained.encode(text)
    assert trained.decode(ids) == text
    assert list(trained.encode_in_python(text)) == ids


@steady
@given(st.lists(st.integers(0, 699)))
def test_any_ids_decode_as_their_bytes_do(trained, ids):
    content = b"".join(trained.vocab[i] for i in ids)
    assert trained.decode(ids) == content.decode("utf-8", errors="replace")
    decoder = trained.decoder()
    assert "".join(decoder.add([i]) for i in ids) + decoder.finish() == trained.decode(ids)


@pytest.mark.parametrize("pattern", [GPT2_PATTERN, GPT4_PATTERN])
@pytest.mark.parametrize("allowed", [(), "all"])
def test_an_iterable_gives_the_ids_of_the_whole_text(pattern, allowed, monkeypatch):
    special = [END, "<|two words|>", "<|end"]
    tokenizer = BPETokenizer.train(TALES, 400, special, pattern)
    chance = random.Random(2)
    for _ in range(150):
        words = [*SCRIPTS, *special, " ", "\n", "\r\n", "  \n ", "!", "a", "1234", "'s", "中" * 9]
        text = "".join(chance.choice(words) for _ in range(chance.randint(0, 12)))
        monkeypatch.setattr("course_lib.tokenizers.bpe.tokenizer.AHEAD", chance.randint(1, 40))
        cuts = sorted(chance.randint(0, len(text)) for _ in range(5))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]
        assert list(tokenizer.encode_iterable(pieces, allowed)) == tokenizer.encode(text, allowed), repr(pieces)


@pytest.mark.parametrize("lines", [[TALES] * 170, TALES.splitlines(keepends=True) * 170], ids=["long", "short"])
def test_a_large_text_is_encoded_in_constant_memory(trained, lines):
    """5 MB, of which 30 kB are held once."""
    list(trained.encode_iterable(lines[:300]))
    tracemalloc.start()
    count = sum(1 for _ in trained.encode_iterable(lines))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count > 1_000_000
    assert peak < 1 << 20  # of what Python and numpy ask for


def test_special_tokens_come_from_plain_text_only_where_they_are_allowed(trained):
    text = f"one{END}two<|two words|>"
    plain = trained.encode(text)
    assert not set(plain) & set(trained.special_tokens.values())
    one = trained.encode(text, [END])
    assert one.count(trained.special_tokens[END]) == 1
    assert trained.special_tokens["<|two words|>"] not in one
    every = trained.encode(text, "all")
    assert every == trained.to_tiktoken().encode(text, allowed_special="all")
    assert trained.decode(one) == trained.decode(every) == trained.decode(plain) == text
    with pytest.raises(CourseError, match=r"'<\|x\|>' is no special token of this tokenizer; it has '<\|endoftext"):
        trained.encode(text, ["<|x|>"])


def test_of_two_special_tokens_that_begin_alike_the_longer_one_counts():
    tokenizer = BPETokenizer.train("abc", 259, ["<|a", "<|a|>"])
    assert tokenizer.encode("<|a|><|a", "all") == [258, 257]


def test_half_a_character_is_refused(trained):
    with pytest.raises(CourseError, match=r"U\+D800\), at position 1"):
        trained.encode("a\ud800b")
    for allowed in ((), "all"):  # in a later block, and behind a special token
        with pytest.raises(CourseError, match=r"U\+D800\), at position 30014"):
            list(trained.encode_iterable(["ab " * 10_000, END, "b\ud800"], allowed))
    with pytest.raises(CourseError, match=r"a lone surrogate, in '\\ud800'"):
        BPETokenizer.train("a b\ud800", 300)


def test_one_special_token_that_is_allowed_stands_in_a_list(trained):
    with pytest.raises(CourseError, match="should be 'all' or a list of texts; it is '<"):
        trained.encode("a", END)


def test_a_run_that_tiktoken_gives_up_on_is_encoded_all_the_same(trained):
    text = " " * 2_000_000 + "x"
    with pytest.raises(ValueError, match="Max stack size"):
        trained.to_tiktoken().encode_to_numpy(text)
    assert trained.decode(trained.encode(text)) == text


def test_without_tiktoken_the_ids_are_the_same(trained, monkeypatch):
    wanted = trained.encode(TALES)
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    alone = tokenizer_from_dict(trained.to_dict())
    assert alone.encode(TALES) == wanted


# Patterns ------------------------------------------------------------------------------------------------------


def test_a_pattern_that_does_not_compile_or_loses_characters_is_refused():
    with pytest.raises(CourseError, match="does not compile"):
        BPETokenizer.train("abc", 300, pattern="(")
    with pytest.raises(CourseError, match="pattern should be a text; it is None"):
        BPETokenizer.train("abc", 300, pattern=None)
    with pytest.raises(CourseError, match=r"leaves out the character '!' at position 2"):
        BPETokenizer.train("ab!", 300, pattern=r"\w+")
    with warnings.catch_warnings(action="ignore"):
        tokenizer = BPETokenizer.train("abab", 300, pattern=r"\w+")
    with pytest.raises(CourseError, match=r"leaves out the character ' ' at position 3"):
        tokenizer.encode("aba ab")


def test_a_pattern_of_ones_own_with_groups_splits_as_it_says():
    tokenizer = BPETokenizer.train("abab;abab", 258, pattern=r"(ab)+|\s|\S")
    assert tokenizer.merges == [(b"a", b"b"), (b"ab", b"ab")]
    assert list(tokenizer.encode_iterable(["ab", "ab;", "ab"])) == tokenizer.encode("abab;ab")


# Files ---------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_read(trained, tmp_path):
    trained.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json")
    assert again == trained
    assert again.fingerprint() == trained.fingerprint()
    assert (again.merges, again.vocab, again.special_tokens) == (trained.merges, trained.vocab, trained.special_tokens)


def test_the_list_for_people_has_a_line_for_each_merge(trained, tmp_path):
    trained.save_merges(tmp_path / "merges.txt")
    lines = (tmp_path / "merges.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(trained.merges)
    for line, (first, second) in zip(lines, trained.merges):
        assert line.endswith(f"{first!r} + {second!r}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"merges": ["97 98", "97 98"]}, "joins|twice"),
        ({"merges": ["97 300"]}, "joins 97 and 300; ids below 256"),
        ({"merges": ["97"]}, "should hold merges"),
        ({"merges": None}, "should hold merges"),
        ({"pattern": 3}, "should hold merges"),
        ({"pattern": "("}, "does not compile"),
        ({"special_tokens": "abc"}, "should hold merges"),
        ({"bytes_by_id": "00"}, "256 bytes, each once"),
    ],
)
def test_a_damaged_file_is_refused(change, words):
    state = BPETokenizer.train("abc", 257).to_dict() | change
    with pytest.raises(CourseError, match=words):
        tokenizer_from_dict(state)
