"""The lab's sliders, box, seed, reset and buttons, each by itself."""

import pytest

from course_lib.errors import CourseError
from course_lib.lab.controls import CHOICES, Choice, Controls, offered
from course_lib.optim import scheduled_lr
from course_lib.recipes import load_recipe
from course_lib.widgets.buttons import Buttons
from course_lib.widgets.sliders import ValueSlider

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = "tinytales_cpu"
SMALL = load_recipe(RECIPE).replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6, eval_every=3, eval_batches=1,
    warmup_steps=0, schedule="constant", device="cpu",
)  # fmt: skip


# Controls -------------------------------------------------------------------------------------------------


def test_a_slider_offers_the_usual_values_and_the_recipes_own():
    blocks = CHOICES["block_size"].values
    assert offered(SMALL.replace(block_size=64), "block_size", blocks) == [8, 16, 32, 64, 128, 256]
    assert offered(SMALL.replace(block_size=48), "block_size", blocks, largest=100) == [8, 16, 32, 48, 64]
    assert offered(SMALL, "max_lr", CHOICES["max_lr"].values).count(0.02) == 1
    assert offered(SMALL, "dropout", CHOICES["dropout"].values)[0] == 0


def test_a_slider_offers_nothing_that_the_recipe_could_not_have():
    """Six heads of rotary embedding: the width has to be a multiple of twelve."""
    widths = offered(SMALL.replace(n_head=6, n_embd=48), "n_embd", CHOICES["n_embd"].values)
    assert widths == [48, 96, 192, 384]


def test_moving_a_slider_changes_the_recipe_the_words_and_is_told():
    told: list[tuple[str, float]] = []
    controls = Controls(
        SMALL, lambda recipe: f"T = {recipe.all_settings()['block_size']}", moved=lambda *what: told.append(what)
    )
    assert controls.recipe.all_settings() == SMALL.all_settings()
    assert controls.readout.value == "T = 16"
    controls.sliders["block_size"].value = 32
    controls.sliders["dropout"].value = 0.1
    controls.sliders["n_layer"].value = 3
    assert controls.recipe == SMALL.replace(**controls.values)
    assert controls.recipe.all_settings() == SMALL.replace(block_size=32, dropout=0.1, n_layer=3).all_settings()
    assert controls.readout.value == "T = 32"
    assert told == [("block_size", 32), ("dropout", 0.1), ("n_layer", 3)]


def test_three_sliders_are_in_sight_and_four_under_a_fold():
    controls = Controls(SMALL, lambda recipe: "")
    assert list(controls.sliders) == ["block_size", "dropout", "max_lr", "n_layer", "n_embd", "batch_size", "max_steps"]
    *shown, under, reset = controls.sliders_widget.children
    assert [row.description for row in shown] == ["block_size", "dropout", "learning rate"]
    button, body = under.children
    assert not button.is_open
    assert [row.description for row in body.children[:-1]] == ["depth", "width", "batch size", "steps", "seed"]
    assert "equal settings and equal seeds repeat a run exactly" in body.children[-1].value
    assert reset is controls.reset


def test_dropout_goes_up_to_nine_tenths():
    assert max(offered(SMALL, "dropout", CHOICES["dropout"].values)) == 0.9


def test_reset_brings_back_everything_a_learner_can_move():
    varied = SMALL.replace(schedule="cosine", warmup_steps=2)
    controls = Controls(varied, lambda recipe: "")
    for slider in controls.sliders.values():
        slider.index = 0
    controls.seed.value = 7
    controls.constant.value = True
    assert controls.recipe.all_settings() != varied.all_settings()
    controls.reset.click()
    assert controls.recipe.all_settings() == varied.all_settings()


def test_the_seed_is_a_setting_like_the_others():
    controls = Controls(SMALL, lambda recipe: "")
    assert controls.seed.value == SMALL.train.seed
    controls.seed.value = 5
    assert controls.recipe.train.seed == 5
    controls.seed.value = -1
    assert controls.seed.value == controls.recipe.train.seed == 0
    controls.seed.value = 2**60
    assert controls.recipe.train.seed == 2**53 - 1, "beyond it the page would show another number"


def test_a_slider_of_a_peak_is_called_so_and_a_constant_rate_is_constant():
    varied = SMALL.replace(schedule="trapezoid", warmup_steps=2)
    controls = Controls(varied, lambda recipe: "")
    assert controls.sliders["max_lr"].description == "peak learning rate"
    controls.constant.value = True
    assert controls.sliders["max_lr"].description == "learning rate"
    train = controls.recipe.train
    assert {scheduled_lr(train, step) for step in range(train.max_steps)} == {train.max_lr}
    controls.constant.value = False
    assert controls.recipe.all_settings() == varied.all_settings()
    assert controls.sliders["max_lr"].description == "peak learning rate"
    assert Controls(SMALL, lambda recipe: "").constant is None, "there it is constant already"


def test_while_a_run_hears_the_slider_it_is_called_what_it_is_to_that_run():
    """The box is for the next run: the slider goes on to move the peak of the one that has a schedule."""
    varied = SMALL.replace(schedule="trapezoid", warmup_steps=2)
    constant = varied.replace(schedule="constant", warmup_steps=0)
    for going, name in ((varied, "peak learning rate"), (constant, "learning rate")):
        controls = Controls(varied, lambda recipe: "")
        controls.heard_by = going
        controls.refresh()
        for is_constant in (True, False):
            controls.constant.value = is_constant
            assert controls.sliders["max_lr"].description == name
        controls.heard_by = None
        controls.refresh()
        assert controls.sliders["max_lr"].description == "peak learning rate"


def test_a_slider_says_its_value_and_takes_none_that_it_does_not_offer():
    slider, told = ValueSlider([("0, greedy", 0.0), ("0.5", 0.5)], 0.5, "temperature"), []
    slider.observe(lambda change: told.append(change["new"]), names="value")
    slider.set_state({"index": 0})  # as the page sends it
    assert (slider.value, slider.words[slider.index], told) == (0.0, "0, greedy", [0.0])
    slider.value = 0.5
    assert (slider.index, told) == (1, [0.0, 0.5])
    slider.set_state({"index": 9})
    assert slider.value == 0.5
    for value in (0.3, None):
        with pytest.raises(CourseError, match="offers 0, greedy"):
            slider.value = value


def test_what_one_kind_of_model_has_gets_a_slider_for_that_kind():
    controls = Controls(load_recipe("agiformer_cpu"), lambda recipe: "")
    assert controls.sliders["thinking_steps"].value == 3
    controls.sliders["thinking_steps"].value = 0
    assert controls.recipe.model(256).thinking_steps == 0


def test_controls_can_be_built_for_other_settings():
    choices = {**CHOICES, "weight_decay": Choice("decay", "how strongly weights are drawn to zero", (0.0, 0.1, 1.0))}
    controls = Controls(SMALL, lambda recipe: "", names=("weight_decay", "max_lr"), folded=(), choices=choices)
    assert controls.values == {"weight_decay": 0.0, "max_lr": 0.02, "seed": SMALL.train.seed}
    controls.sliders["weight_decay"].value = 1.0
    assert controls.recipe.train.weight_decay == 1.0


# Buttons --------------------------------------------------------------------------------------------------

PRESSABLE = {
    "idle": {"start", "step"}, "preparing": {"stop"}, "running": {"pause", "stop"}, "paused": {"pause", "step", "stop"},
    "in a cell": set(),
}  # fmt: skip


def test_each_button_does_its_own_thing_and_can_be_pressed_when_it_makes_sense():
    pressed: list[str] = []
    names = ("start", "pause", "step", "stop")
    buttons = Buttons({name: lambda name=name: pressed.append(name) for name in names})
    for name in names:
        buttons.buttons[name].click()
    assert pressed == list(names)
    for state, expected in PRESSABLE.items():
        buttons.show(state)
        assert {name for name, button in buttons.buttons.items() if not button.disabled} == expected, state
        assert buttons.buttons["pause"].description == ("Resume" if state == "paused" else "Pause")
