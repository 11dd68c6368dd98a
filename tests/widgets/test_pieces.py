"""One text under several tokenizers: each row is what its tokenizer makes of it, counted whole and drawn in part."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.drawings.signs import sign
from course_lib.errors import CourseError
from course_lib.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer
from course_lib.widgets.boxes import TINTS, Piece, pieces
from course_lib.widgets.pieces import MOST_CHARACTERS, MOST_PIECES, FourTokenizers, PiecesPicture

TEXT = "the lowest fox, the newest banana, 日本 <b>lower</b> slower\n" * 9
TOKENIZERS = {
    "characters": CharTokenizer.train(TEXT),
    "bytes": ByteTokenizer(),
    "byte pairs": BPETokenizer.train(TEXT, 285),
}
PIECE = re.compile(
    r"background-color: ([^\"]*)\" title=\"token (\d+): ([^\"]*), id (\d+), bytes ([0-9A-F ]*)\">([^<]*)<"
)


def rows(drawn: str) -> list[list[tuple[str, ...]]]:
    return [PIECE.findall(row) for row in drawn.split("data-row")[1:]]


@settings(max_examples=80, deadline=None)
@given(text=st.text(st.sampled_from("thelow bna,日本<>\n") | st.sampled_from("é🦊\u0301\u200d\ufe0fع"), max_size=30))
def test_each_row_is_what_its_tokenizer_makes_of_the_text(text):
    drawn = rows(FourTokenizers(TOKENIZERS, text).picture)
    for found, tokenizer in zip(drawn, TOKENIZERS.values(), strict=True):
        try:
            ids = tokenizer.encode(text)
        except CourseError:
            ids = []
        assert [int(piece[3]) for piece in found] == ids
        assert [int(piece[1]) for piece in found] == list(range(len(ids)))
        if ids:
            assert b"".join(bytes.fromhex(piece[4]) for piece in found) == text.encode()
        assert [piece[0] for piece in found] == [TINTS[i % 2] for i in range(len(ids))], "neighbors differ in color"
        assert all("\ufffd" not in piece[5] for piece in found), "no broken glyph"


def test_the_counts_are_told():
    view = FourTokenizers(TOKENIZERS, "the lowest 日")
    n = len(TOKENIZERS["byte pairs"].encode("the lowest 日"))
    assert view.words == (
        f"characters: 12 tokens, 1.00 characters per token. bytes: 14 tokens, 0.86 characters per token. "
        f"byte pairs: {n} tokens, {12 / n:.2f} characters per token."
    )
    for words in view.words.split(". "):
        assert words.split(": ")[1].rstrip(".") in view.picture
    assert re.findall(r"width: ([\d.]+)%", view.picture) == [f"{100 * k / 14:.1f}" for k in (12, 14, n)]
    assert FourTokenizers(TOKENIZERS).words == "characters: 0 tokens. bytes: 0 tokens. byte pairs: 0 tokens."
    assert "bytes: 1 token, 1.00 characters" in FourTokenizers(TOKENIZERS, "t").words


def test_an_unknown_character_is_told_in_its_row_and_the_others_go_on():
    view = FourTokenizers(TOKENIZERS, "the fox")
    view.text = "the é"
    characters, *others = view.words.split(" bytes: ")
    assert "'é' (U+00E9, LATIN SMALL LETTER E WITH ACUTE) at position 4" in characters
    assert "with_unknown" not in view.words, "advice for those who write a program"
    assert others[0].startswith("6 tokens")
    assert "U+00E9" in view.picture
    assert [len(found) for found in rows(view.picture)][:2] == [0, 6]
    view.text = "\ud800"
    assert view.words.count("half a character") == 2, "half a character has no bytes"


def test_bytes_inside_a_character_stand_under_it():
    (found,) = rows(FourTokenizers({"bytes": ByteTokenizer()}, "é").picture)
    assert [(piece[2], piece[4], piece[5]) for piece in found] == [("C3", "C3", "C3"), ("A9", "A9", "A9")]
    assert "border-bottom: 2px dotted" in FourTokenizers({"bytes": ByteTokenizer()}, "é").picture
    assert repr(PiecesPicture({"bytes": ByteTokenizer()}, "é ")).endswith("\n    C3|A9|␣")


def test_a_long_text_is_read_counted_and_drawn_in_part():
    view = FourTokenizers(TOKENIZERS, "the " * 200)
    assert [len(found) for found in rows(view.picture)][:2] == [MOST_PIECES, MOST_PIECES]
    assert f"and {800 - MOST_PIECES} more tokens" in view.picture
    view.text = "the " * MOST_CHARACTERS
    assert f"bytes: {MOST_CHARACTERS:,} tokens" in view.words
    assert view.words.endswith(f"The first {MOST_CHARACTERS:,} of {4 * MOST_CHARACTERS:,} characters are read.")
    assert "characters are read" in view.picture


def test_a_large_vocabulary_is_asked_for_once():
    class Counted(BPETokenizer):
        kind = "counted for a test"
        asked = 0

        @property
        def vocab(self):
            type(self).asked += 1
            return super().vocab

    tokenizer = Counted([(97, 97)])
    assert pieces(tokenizer, [256, 98] * 50)[:2] == [Piece(256, b"aa"), Piece(98, b"b")]
    assert Counted.asked == 1


def test_nothing_of_a_text_or_a_name_becomes_markup():
    view = FourTokenizers({'<i>"': ByteTokenizer()}, "<b onclick='alert(1)'>&\"")
    assert set(re.findall(r"</?(\w+)", view.picture)) <= {"div", "span", "b"}
    assert view.picture.count("<b>") == 1, "the name's own"
    assert "&lt;i&gt;&quot;" in view.picture


def test_what_a_file_keeps_is_the_text_that_it_began_with():
    view = FourTokenizers(TOKENIZERS, "the fox")
    kept = view._repr_html_()
    assert kept == view.picture
    view.text = "lower"
    assert view._repr_html_() == kept != view.picture
    assert repr(view).startswith("characters: 7 tokens, 1.00 characters per token\n    t|h|e|␣|f|o|x\nbytes")
    assert " at 0x" not in repr(view)


@pytest.mark.parametrize("tokenizers", [{}, {str(i): ByteTokenizer() for i in range(5)}], ids=["none", "five"])
def test_one_to_four_tokenizers_fit(tokenizers):
    with pytest.raises(CourseError, match=f"it got {len(tokenizers)}"):
        FourTokenizers(tokenizers)


def test_what_leaves_no_ink_has_a_sign_also_at_the_beginning_of_a_longer_token():
    assert sign("\u0301s".encode()) == "◌\u0301s"
    assert sign("\ufe0f".encode()) == "U+FE0F"
    assert sign(b"") == ""
