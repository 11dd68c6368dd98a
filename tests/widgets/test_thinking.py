"""The slider of thinking steps: each number is what the model computes with it, and the model stays as it was."""

import math

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.losses import cross_entropy
from course_lib.models import AGIFormer, AGIFormerConfig
from course_lib.models.agiformer.inspecting import movement
from course_lib.widgets.thinking import ThinkingSteps
from course_lib.widgets.thoughts import ThoughtMap

pytestmark = pytest.mark.usefixtures("one_thread")
TEXT = "The <b>fox</b> saw a bee & slept."


def model_of(**changes) -> AGIFormer:
    torch.manual_seed(0)
    return AGIFormer(AGIFormerConfig(**dict(n_embd=16, n_head=2, n_layer=1, n_hidden=8, dropout=0.5) | changes))


def test_each_number_of_steps_is_what_a_model_with_it_computes():
    """Against models of the same weights that were built with that number."""
    view = ThinkingSteps(model_of(), TEXT, choices=(0, 1, 4))
    idx = torch.tensor([list(TEXT.encode())])
    assert list(view.looks) == [0, 1, 3, 4], "the model's own number is always there"
    for steps, look in view.looks.items():
        other = model_of(thinking_steps=steps).eval()
        nats = cross_entropy(other(idx[:, :-1]), idx[:, 1:]).item()
        assert look.bits_per_byte == pytest.approx(nats / math.log(2))
        assert look.moved == (pytest.approx(movement(other, idx).total_relative.mean().item()) if steps else 0)
        assert look.picture == ThoughtMap(other, TEXT)._repr_html_()
        assert 0 < look.seconds < math.inf


def test_the_slider_shows_its_number_and_a_page_without_a_kernel_all_of_them():
    view = ThinkingSteps(model_of(), TEXT)
    assert view.steps == 3
    view.steps = 1
    slider, shown = view.widget.children
    assert slider.value == 1
    assert view.looks[1].words in shown.value
    assert view.looks[1].picture in shown.value
    assert view.looks[0].words.startswith("0 steps: ")
    assert "nothing moves" in view.looks[0].words
    bundle = view._repr_mimebundle_()
    assert all(look.words in bundle["text/html"] for look in view.looks.values())
    assert view.looks[3].picture in bundle["text/html"]
    assert not any(character.isdigit() for character in bundle["text/plain"])
    assert "<b>" not in bundle["text/html"]


def test_the_model_is_left_as_it_was():
    model = model_of().train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    ThinkingSteps(model, TEXT)
    assert model.training
    assert model.reasoning.steps == 3
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_what_cannot_be_looked_at_is_said():
    with pytest.raises(CourseError, match="ThoughtMap"):
        ThinkingSteps(model_of(thinking="adaptive"), TEXT)
    with pytest.raises(CourseError):
        ThinkingSteps(torch.nn.Linear(2, 2), TEXT)
    with pytest.raises(CourseError):
        ThinkingSteps(model_of(), "abc")
