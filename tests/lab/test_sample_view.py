"""How a sample looks, and the browser of samples."""

import html
from html.parser import HTMLParser

import pytest

from course_lib.corpora import Fault, Grade, Part
from course_lib.lab.sample import Sample
from course_lib.lab.sample_view import SampleBrowser, in_words, marked
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
    assert in_words(GRADE) == "1 of 2 sentences grammatical"
    assert in_words(Grade("The", (), ())) == "no whole sentence yet"
    view = SampleBrowser()
    view.show([], TEXT, GRADE, "What the model writes after 20 steps")
    assert "after 20 steps: <b>1 of 2 sentences grammatical</b>" in view.value
    view.show([], TEXT, None, "What the model writes after 20 steps")
    assert "grammatical" not in view.value


def test_samples_are_kept_in_their_order_and_what_grows_comes_last():
    view = SampleBrowser()
    first, second = Sample(0, "xq", None), Sample(30, TEXT, GRADE)
    view.show([first, second])
    assert [(e["step"], e["short"]) for e in view.entries] == [(0, ""), (30, "1/2")]
    assert view.entries[0]["about"] == "What the model writes before training"
    assert view.entries[1]["about"] == "What the model writes after 30 steps"
    view.show([first, second], "Th", None, "What the model writes after 60 steps", growing=True)
    assert [e["label"] for e in view.entries] == ["0", "30", "now"]
    assert "&lt;b&gt;" in view.entries[1]["html"]
    view.show([])
    assert view.entries == []
