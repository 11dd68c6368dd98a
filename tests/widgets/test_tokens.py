"""A text colored by token: what is in the picture, that nothing of the text gets out of it, and what typing does."""

from html.parser import HTMLParser

import pytest

from course_lib.tokenizers import ByteTokenizer, CharTokenizer, Tokenizer
from course_lib.widgets.boxes import TINTS, groups, pieces
from course_lib.widgets.tokens import MOST_TOKENS, TokenPicture, TokenView

BYTES = ByteTokenizer()
MAN, JOINER, ROCKET = "\U0001f468", "\u200d", "\U0001f680"


class Pairs:
    """A tokenizer as byte-pair encoding makes one: ids of several bytes, in a vocabulary of bytes."""

    kind = "pairs for a test"

    def __init__(self):
        self.vocab = {i: bytes([i]) for i in range(256)} | {256: b"th", 257: "日".encode()[:2], 258: b"e \n"}

    def encode(self, text):
        content, ids = text.encode(), []
        while content:
            fitting = [i for i in self.vocab if content.startswith(self.vocab[i])]
            ids.append(max(fitting, key=lambda i: len(self.vocab[i])))
            content = content[len(self.vocab[ids[-1]]) :]
        return ids

    def decode(self, ids):
        return b"".join(self.vocab[i] for i in ids).decode("utf-8", "replace")


class Boxes(HTMLParser):
    """The picture taken apart: tags, attributes and the words between them."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.titles: list[str] = []
        self.tints: list[str] = []
        self.words: list[str] = []
        self.feed(markup)
        self.close()
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        assert set(found) <= {"style", "title"}
        if tag != "br":
            self.open.append(tag)
        if "title" in found:
            self.titles.append(found["title"])
            self.tints.append(found["style"].split("background-color: ")[1])
            assert "border: 1px solid" in found["style"], "a boundary that is not color alone"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def boxes(tokenizer: Tokenizer, text: str) -> Boxes:
    return Boxes(TokenPicture(tokenizer, text)._repr_html_())


@pytest.mark.parametrize("text", ["The fox.\n", "", " ", "<b>&amp;\"'", "\t\x07\x7f"])
def test_each_character_is_a_box_with_its_id(text):
    tokenizer = CharTokenizer.train(text + "abc")
    found = boxes(tokenizer, text)
    assert [title.rsplit("id ")[1] for title in found.titles] == [str(i) for i in tokenizer.encode(text)]
    assert [title.split(":")[0] for title in found.titles] == [f"token {i}" for i in range(len(text))]
    assert found.tints == [TINTS[i % 2] for i in range(len(text))], "no two neighbors have one color"
    assert set(found.tags) <= {"div", "span", "br"}, "nothing of the text became a tag"


def test_what_is_typed_is_shown_and_never_run():
    text = "<img src=x onerror=alert(1)><script>alert(1)</script>\" onmouseover='alert(1)"
    for tokenizer in (CharTokenizer.train(text), BYTES):
        found = boxes(tokenizer, text)
        assert set(found.tags) == {"div", "span"}
        shown = [found.words[i] for i in range(0, 2 * len(text), 2)]
        assert "".join(shown).replace("␣", " ") == text


def test_an_unknown_character_is_told_in_the_courses_own_words():
    picture = TokenPicture(CharTokenizer.train("<abc>"), "ab<é>")
    assert "The character 'é' (U+00E9, LATIN SMALL LETTER E WITH ACUTE) at position 3" in repr(picture)
    assert repr(picture) == "".join(Boxes(picture._repr_html_()).words)
    assert "with_unknown" in repr(picture)
    assert "&#x27;&lt;&#x27; (U+003C" in TokenPicture(CharTokenizer.train("ab"), "a<b>")._repr_html_()
    known = boxes(CharTokenizer.train("abc ").with_unknown(" "), "ab😀")
    assert known.words[-1] == "3 tokens, 3 characters, 6 bytes; decoded again it is another text."


def test_bytes_that_make_a_character_stand_together_under_it():
    assert [[p.id for p in group] for group in groups(pieces(BYTES, BYTES.encode("aé日🦊")))] == [
        [97], [195, 169], [230, 151, 165], [240, 159, 166, 138],
    ]  # fmt: skip
    found = boxes(BYTES, "é")
    assert found.words == ["é", "C3", "195", "A9", "169", "2 tokens, 1 character, 2 bytes."]
    assert found.titles == ["token 0: C3, id 195", "token 1: A9, id 169"]
    found = boxes(BYTES, "aé日b")
    assert [title.split(":")[0] for title in found.titles] == [f"token {i}" for i in range(7)]
    assert found.tints == [TINTS[i % 2] for i in range(7)], "they go on in turn from one group to the next"


def test_what_leaves_no_ink_has_a_sign():
    assert repr(TokenPicture(BYTES, " \n\t")) == "␣ 32 | ↵ 10 | ⇥ 9\n3 tokens, 3 characters, 3 bytes."
    astronaut = MAN + JOINER + ROCKET
    assert [found.words[i] for found in [boxes(CharTokenizer.train(astronaut), astronaut)] for i in (0, 2, 4)] == [
        MAN, "U+200D", ROCKET,
    ]  # fmt: skip
    assert boxes(CharTokenizer.train("e\u0301"), "e\u0301").words[2] == "◌\u0301"
    assert boxes(CharTokenizer.train("a\ud800"), "a\ud800").words[2] == "U+D800", "half a character can be shown too"
    assert "br" in boxes(BYTES, "a\nb").tags
    assert "br" not in boxes(BYTES, "ab").tags


def test_a_text_with_the_sign_for_what_is_no_text_is_shown_as_it_is():
    assert [len(group) for group in groups(pieces(BYTES, BYTES.encode("a\ufffdb")))] == [1, 3, 1]


def test_a_token_may_be_several_bytes_and_parts_of_characters():
    found = groups(pieces(Pairs(), Pairs().encode("the \n日")))
    assert [[piece.id for piece in group] for group in found] == [[256], [258], [257, 165]]
    found = boxes(Pairs(), "the \n日")
    assert found.words[:8] == ["th", "256", "e␣↵", "258", "日", "E6 97", "257", "A5"]
    assert "br" in found.tags


def test_tokens_that_are_no_text_are_shown_all_the_same():
    for ids in ([169], [195], [195, 195], [255], [195, 97]):
        assert [piece.id for group in groups(pieces(BYTES, ids)) for piece in group] == ids


def test_a_long_text_is_counted_whole_and_shown_in_part():
    picture = TokenPicture(BYTES, "ab" * MOST_TOKENS)
    found = Boxes(picture._repr_html_())
    assert len(found.titles) == MOST_TOKENS
    assert found.words[-1] == (
        f"800 tokens, 800 characters, 800 bytes. The first {MOST_TOKENS} tokens are shown; 400 more are counted."
    )
    assert "| ...\n800 tokens" in repr(picture)


def test_typing_draws_anew_and_what_a_file_keeps_stays():
    view = TokenView(CharTokenizer.train("fox <b>"), "fox")
    kept = view._repr_html_()
    assert view.picture == kept
    assert repr(view).startswith("f 4 | o 5 | x 6\n3 tokens")
    assert " at 0x" not in repr(view)
    view.text = "box"
    assert "token 0: b, id" in view.picture
    view.text = "é"
    assert "is not among the" in view.picture
    assert "is not among the" in view.words
    view.text = ""
    assert "0 tokens, 0 characters, 0 bytes." in view.picture
    assert view.words == "0 tokens, 0 characters, 0 bytes."
    assert view._repr_html_() == kept
    assert view.label == "CharTokenizer, 7 ids: type here"
