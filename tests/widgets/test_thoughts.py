"""A text by how far thinking moved its patches: what is in the picture, and that nothing of the text gets out of it."""

import html
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.drawings.thoughts import DARKEST, LIGHTEST
from course_lib.errors import CourseError
from course_lib.models import GPT, AGIFormer, AGIFormerConfig, GPTConfig
from course_lib.models.agiformer.inspecting import movement
from course_lib.widgets.thoughts import ALARM_TINT, MOST_PATCHES, ThoughtMap

BOX = re.compile(
    r"<span style=\"([^\"<>]*)\" title=\"patch (\d+), bytes ([0-9A-F ]+): ([^\"<>]*)\">"
    r"<span style=\"[^\"<>]*\">([^<>]*)</span><span style=\"[^\"<>]*\">([^<>]*)</span></span>"
)


def model_of(**changes) -> AGIFormer:
    torch.manual_seed(0)
    return AGIFormer(AGIFormerConfig(**dict(n_embd=16, n_head=2, n_layer=1, n_hidden=8) | changes)).eval()


MODEL = model_of(patch_size=3)

pytestmark = pytest.mark.usefixtures("one_thread")


HOSTILE = st.text(st.sampled_from("<>&\"'a日é🦊\u0301\u202e\x00\n"), min_size=3, max_size=40)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(min_size=3, max_size=40) | HOSTILE)
def test_every_byte_stands_in_its_patch_and_nothing_gets_out(content):
    drawn = ThoughtMap(MODEL, content)._repr_html_()
    found = BOX.findall(drawn)
    raw = content if isinstance(content, bytes) else content.encode()
    assert [bytes.fromhex(box[2]) for box in found] == [raw[i : i + 3] for i in range(0, len(raw), 3)]
    assert [int(box[1]) for box in found] == list(range(len(found)))
    assert set(re.findall(r"<(\w+)", drawn)) <= {"div", "span"}, "nothing of the text became a tag"
    assert not re.search(r"[\x00-\x1f\u202e]", drawn)
    shares = movement(MODEL, torch.tensor([list(raw)])).total_relative[0].tolist()
    assert [box[5] for box in found[: len(shares)]] == [f"{share:.3g}" for share in shares]
    for box in found[len(shares) :]:
        assert box[5] == "–"
        assert "dashed" in box[0]
        assert box[3] == "not whole, so not thought about yet"


def test_the_picture_tells_what_was_measured():
    picture = ThoughtMap(MODEL, "The fox ran. <b>")
    found = movement(MODEL, torch.tensor([list(b"The fox ran. <b>")]))
    boxes = BOX.findall(picture._repr_html_())
    assert [html.unescape(box[4]) for box in boxes] == ["The", "␣fo", "x␣r", "an.", "␣<b", ">"]
    for n, box in enumerate(boxes[:-1]):
        steps = ", ".join(f"{one:.3g}" for one in found.absolute[:, 0, n].tolist())
        total, share = found.total[0, n].item(), found.total_relative[0, n].item()
        assert box[3] == f"moved by {total:.3g}, {share:.3g} of its length, in 3 steps ({steps})"
    shades = [float(re.search(r"rgba\(0, 114, 178, ([\d.]+)\)", box[0])[1]) for box in boxes[:-1]]
    order = found.total_relative[0].argsort().tolist()
    assert shades[order[0]] == LIGHTEST
    assert shades[order[-1]] == DARKEST
    assert [shades[i] for i in order] == sorted(shades)
    assert repr(picture) == "How far an AGIFORMER's thinking moves each patch: The | ␣fo | x␣r | an. | ␣<b | >"


def test_one_step_of_adaptive_thinking_is_one_step():
    model = model_of(thinking="adaptive")
    model.think(enough=0.0)
    assert re.search(r"of its length, in 1 step$", BOX.findall(ThoughtMap(model, "four")._repr_html_())[0][3])


def test_a_long_text_is_shown_by_its_beginning():
    picture = ThoughtMap(MODEL, "abc" * (MOST_PATCHES + 1))
    assert len(BOX.findall(picture._repr_html_())) == MOST_PATCHES
    assert repr(picture).endswith(" The first 1,200 of 1,203 bytes are shown.")
    assert "The first 1,200 of 1,203 bytes are shown." in picture._repr_html_()


def test_what_is_not_finite_is_marked():
    model = model_of()
    with torch.no_grad():
        model.reasoning.gate.weight.fill_(torch.nan)
    drawn = ThoughtMap(model, "four more")._repr_html_()
    assert drawn.count(ALARM_TINT) == 2
    assert "Orange: no finite number." in drawn


def test_what_cannot_be_shown_is_told():
    for text, words in (("ab", "a whole patch"), (b"", "a whole patch"), ("half \ud800", "lone surrogate")):
        picture = ThoughtMap(MODEL, text)
        assert words in repr(picture)
        assert html.escape(repr(picture)) in picture._repr_html_()
    assert repr(ThoughtMap(model_of(thinking_steps=0), "four")).startswith("This model does not think")
    with pytest.raises(CourseError, match="Expected is an AGIFormer"):
        ThoughtMap(GPT(GPTConfig(block_size=8, vocab_size=256, n_layer=1, n_head=1, n_embd=8)), "four")
