"""Byte-pair encoding step by step: the way ends where the tokenizer itself ends, and each step does what it says."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.tokenizers import BPETokenizer, ByteTokenizer
from course_lib.tokenizers.bpe import GPT4_PATTERN
from course_lib.tokenizers.bpe.splitting import Splitter
from course_lib.widgets.boxes import TINTS
from course_lib.widgets.merges import MOST_BYTES, MOST_ROWS, MergeSteps, merge_steps

TEXT = "the lowest fox, the newest banana, 日本 und äöü; aaaa aaaaaaa <b>1234</b> lower slower\n" * 9
TOKENIZER = BPETokenizer.train(TEXT, 300)
OTHERS = {
    "GPT-4's pattern": BPETokenizer.train(TEXT, 290, pattern=GPT4_PATTERN),
    "a special token": BPETokenizer.train(TEXT, 290, special_tokens=("<|endoftext|>",)),
    "no merge": BPETokenizer([]),
    # As GPT-2 has it, an id below 256 is not its own byte.
    "bytes in another order": BPETokenizer(
        [(0, 1), (256, 2)], bytes_by_id=b"abc" + bytes(set(range(256)) - set(b"abc"))
    ),
}
WORDS = st.text(st.sampled_from("abntheäö日🦊 \n<>1,😀") | st.characters(exclude_categories=["Cs"]), max_size=25)


def ids_at_the_end(view: MergeSteps) -> list[int]:
    view.step = view.last
    return [int(i) for i in re.findall(r'title="token \d+: [^"]*, id (\d+)"', view.picture)]


@pytest.mark.parametrize("tokenizer", [TOKENIZER, *OTHERS.values()], ids=["trained", *OTHERS])
@settings(max_examples=60, deadline=None)
@given(text=WORDS)
def test_the_last_step_is_what_the_tokenizer_makes_of_the_text(tokenizer, text):
    text = text.encode()[:MOST_BYTES].decode("utf-8", "ignore")
    view = MergeSteps(tokenizer, text)
    assert ids_at_the_end(view) == tokenizer.encode(text)


@pytest.fixture(scope="module")
def gpt2() -> BPETokenizer:
    try:
        return BPETokenizer.gpt2()
    except CourseError as error:
        pytest.skip(str(error))


def test_gpt2s_own_merges_end_at_its_published_ids(gpt2):
    """From the documentation of tiktoken and of GPT-2 in transformers."""
    view = MergeSteps(gpt2, "Hello world")
    assert ids_at_the_end(view) == [15496, 995]
    assert view.alt.startswith("Pieces and their ids: Hello 15496; ␣world 995.")
    for text in ("unbelievably 日本 🦊", "naïve l'école 12345", "   \n\t aaaa", "لغة और भाषा"):
        view.text = text
        assert ids_at_the_end(view) == gpt2.encode(text)


@settings(max_examples=100, deadline=None)
@given(text=WORDS)
def test_each_step_merges_the_earliest_pair_wherever_it_stands_and_never_across_chunks(text):
    merges = TOKENIZER.merges
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    chunks = [chunk.encode() for chunk in Splitter(TOKENIZER.pattern).chunks(text)]
    steps = list(merge_steps(chunks, ranks))
    assert steps[0].pieces == [bytes([byte]) for byte in text.encode()]
    chosen = [ranks[step.pair] for step in steps[:-1]]
    assert chosen == sorted(set(chosen)), "a merge makes pairs of later merges only"
    assert steps[-1].pair is None
    for step, following in itertools.pairwise(steps):
        neighbors = [pair for chunk in step.chunks for pair in itertools.pairwise(chunk)]
        assert step.pair == next(pair for pair in merges if pair in neighbors)
        assert len(following.pieces) < len(step.pieces)
        assert [b"".join(chunk) for chunk in following.chunks] == chunks
        assert all(step.pair not in itertools.pairwise(chunk) for chunk in following.chunks)


def test_the_pair_that_comes_next_is_marked_with_its_rank_and_what_it_makes():
    tokenizer = BPETokenizer([(ord("e"), ord("r")), (ord("l"), ord("o")), (257, ord("w")), (258, 256)])
    view = MergeSteps(tokenizer, "lower")
    assert (view.step, view.last) == (0, 4)
    assert view.words == "5 pieces. Merged next, as its rank is the lowest: e + r → er, rank 0, id 256."
    joints = re.findall(r'title="([^"]*)">([^<]*)</span>', view.picture)
    assert joints == [
        ("l + o → lo, rank 1, id 257", "1"),
        *[("these two are not merged", "·")] * 2,
        ("e + r → er, rank 0, id 256", "0"),
    ]
    marked = re.findall(r"#D55E00[^>]*title=\"([^\"]*)\"", view.picture)
    assert marked == ["token 3: e, id 101", "e + r → er, rank 0, id 256", "token 4: r, id 114"]
    assert "l 108, o 111, w 119, e 101, r 114" in view.alt
    assert view.words in view.alt
    view.step = 4
    assert view.words == "One piece is left: this is the token."
    assert "#D55E00" not in view.picture
    assert str(view._begun).splitlines() == [
        "0: l o w e r    e + r → er, rank 0, id 256",
        "1: l o w er    l + o → lo, rank 1, id 257",
        "2: lo w er    lo + w → low, rank 2, id 258",
        "3: low er    low + er → lower, rank 3, id 259",
        "4: lower",
    ]


def test_of_two_pairs_that_share_a_piece_the_left_one_is_merged():
    view = MergeSteps(BPETokenizer([(97, 97)]), "aaaaa aaa")
    assert "rank 0, id 256, in 3 places" in view.words
    view.step = 1
    assert [piece.decode() for piece in view._drawn.steps[1].pieces] == ["aa", "aa", "a", " ", "aa", "a"]


def test_bytes_that_are_no_character_are_hexadecimal_and_stand_under_their_character():
    view = MergeSteps(BPETokenizer([(0xE6, 0x97)]), "日\x07")
    assert repr(view).splitlines()[:2] == [
        "0: E6 97 A5 ‖ U+0007    E6 + 97 → E6 97, rank 0, id 256",
        "1: E6 97 A5 ‖ U+0007",
    ]
    assert view.picture.index("日") < view.picture.index("E6") < view.picture.index("A5")
    assert view.picture.count("no merge reaches across") == 1, "a wall between the two chunks, and none at the end"
    tints = re.findall(r"background-color: ([^;\"]*)", view.picture)
    assert tints == [TINTS[i % 2] for i in range(4)], "no two neighbors have one color"


def test_another_text_begins_at_its_bytes_and_a_step_stays_within():
    view = MergeSteps(TOKENIZER, "lowest")
    kept = view._repr_html_()
    view.step = 3
    view.text = "the banana"
    assert view.step == 0
    assert view.words.startswith("10 pieces.")
    for asked, is_at in ((99, view.last), (-5, 0)):
        view.step = asked
        assert view.step == is_at
        assert view.words in view.alt
    view.text = ""
    assert (view.last, view.words) == (0, "Type a word: there is nothing to merge yet.")
    view.text = "\ud800"
    assert "half a character" in view.words
    assert "half a character" in view.picture
    view.text = "lowest"
    assert view.words.startswith("6 pieces.")
    assert view._repr_html_() == kept, "what a file keeps stays"
    assert " at 0x" not in repr(view)


def test_a_long_text_is_cut_between_characters_and_that_is_said():
    view = MergeSteps(TOKENIZER, "日" * 40)
    assert view._drawn.steps[0].pieces == [bytes([byte]) for byte in "日".encode() * 33]
    assert view.words.endswith("Only the beginning of the text is shown, 99 of 120 bytes.")


def test_a_file_keeps_a_row_for_each_step_and_of_many_the_first_and_the_last():
    assert MergeSteps(TOKENIZER, "lowest")._repr_html_().count("<tr ") == MergeSteps(TOKENIZER, "lowest").last + 1
    many = MergeSteps(TOKENIZER, "the lowest fox, the newest banana lower slower")
    kept = many._repr_html_()
    assert many.last > MOST_ROWS
    assert kept.count("<tr ") == MOST_ROWS + 1
    assert f"{many.last + 1 - MOST_ROWS} more steps" in kept
    assert f">{many.last}</td>" in kept
    assert many.last == int(re.findall(r">(\d+)</td>", kept)[-1])


def test_nothing_of_a_text_becomes_markup():
    view = MergeSteps(TOKENIZER, "<b onclick='alert(1)'>&\"")
    for drawn in (view.picture, view._repr_html_()):
        assert set(re.findall(r"</?(\w+)", drawn)) <= {"div", "span", "table", "tr", "td"}
        assert "onclick=" not in drawn.replace("onclick=&#x27;", "")


def test_another_kind_of_tokenizer_is_refused():
    with pytest.raises(CourseError, match=r"such as BPETokenizer\.gpt2\(\); it got a ByteTokenizer"):
        MergeSteps(ByteTokenizer(), "lower")
