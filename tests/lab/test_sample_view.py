"""How a sample looks, and the browser of samples."""

import html
from html.parser import HTMLParser

import pytest

from course_lib.corpora import Fault, Grade, Part
from course_lib.lab.sample import Sample
from course_lib.lab.sample_view import SampleBrowser, in_words, marked, tells
from course_lib.recipes import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = "tinytales_cpu"
SMALL = load_recipe(RECIPE).replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6, eval_every=3, eval_batches=1,
    warmup_steps=0, schedule="constant", device="cpu",
)  # fmt: skip


# Sample ---------------------------------------------------------------------------------------------------

TEXT = "Tom saw a <b>cat</b>.\nfoo & bar\nThe d"
GRADE = Grade(TEXT, (Part(0, 22, None), Part(22, 32, Fault(22, "foo", ('"A"', "The")))), ())


MANY = Grade(3 * TEXT, 3 * GRADE.sentences, ())


class Words(HTMLParser):
    """The text of a piece of HTML, and the elements with a class."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text, self.classes, self.tags = "", [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.classes.append(dict(attrs).get("class"))

    def handle_data(self, data):
        self.text += data


def test_a_sample_is_escaped_and_each_sentence_has_a_sign():
    words = Words(marked(TEXT, GRADE))
    assert words.text == "✓Tom saw a <b>cat</b>.\n✗foo & bar\nThe d"
    assert words.tags == ["span"] * 4, "what the model writes makes no elements"
    assert words.classes == ["sign good-sign", "good", "sign faulty-sign", "faulty"]
    assert html.escape("found 'foo'") in marked(TEXT, GRADE)
    assert Words(marked(TEXT, None)).text == TEXT


def test_the_share_is_said_in_words():
    assert in_words(MANY) == "3 of 6 sentences fit the stories' grammar"
    assert in_words(Grade("The", (), ())) == "no whole sentence yet"
    view = SampleBrowser()
    view.show([], 3 * TEXT, MANY, "What the model writes after 20 steps")
    assert "after 20 steps: <b>3 of 6 sentences fit the stories' grammar</b>" in view.value
    view.show([], TEXT, None, "What the model writes after 20 steps")
    assert "grammar" not in view.value


def test_of_a_few_sentences_no_share_is_told():
    """One of one is 100%, and says nothing."""
    assert in_words(GRADE) == "too few whole sentences to tell a share"
    assert (tells(GRADE), tells(None), tells(MANY)) == (False, False, True)
    view = SampleBrowser()
    view.show([Sample(30, TEXT, GRADE), Sample(100, 3 * TEXT, MANY)])
    assert [entry["short"] for entry in view.entries] == ["", "3/6"]
    assert "✓" in view.entries[0]["html"], "each sentence has its sign all the same"


def test_a_sample_of_blank_lines_does_not_push_the_page_apart():
    words = Words(marked("Tom" + 60 * "\n" + "saw.\n\n\nA", None))
    assert words.text == "Tom\n(60 line breaks)\nsaw.\n\n\nA"


def test_samples_are_kept_in_their_order_and_what_grows_comes_last():
    view = SampleBrowser()
    first, second = Sample(0, "xq", None), Sample(30, TEXT, GRADE)
    view.show([first, second])
    assert [(e["step"], e["short"]) for e in view.entries] == [(0, ""), (30, "")]
    assert view.entries[0]["about"] == "What the model writes before training"
    assert view.entries[1]["about"] == "What the model writes after 30 steps"
    view.show([first, second], "Th", None, "What the model writes after 60 steps", growing=True)
    assert [e["label"] for e in view.entries] == ["0", "30", "now"]
    assert "&lt;b&gt;" in view.entries[1]["html"]
    view.show([])
    assert view.entries == []
