"""The lab's parts, each by itself: sliders, buttons, chart, sample, tray."""

import html
import itertools
import math
import re
from html.parser import HTMLParser

import comm
import pytest
import torch

from course_lib.config import GPTConfig
from course_lib.corpora import Fault, Grade, Part
from course_lib.errors import CourseError
from course_lib.lab import sample
from course_lib.lab.chart import MOST_POINTS, Curve, LossChart, thinned
from course_lib.lab.controls import CHOICES, Choice, Controls, offered
from course_lib.lab.sample import REST_SECONDS, SampleWriter
from course_lib.lab.sample_view import SampleView, in_words, marked
from course_lib.lab.tray import Tray, TrayRow
from course_lib.models import GPT
from course_lib.plots import RUN_COLORS
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.sampling import generate
from course_lib.tokenizers import ByteTokenizer, CharTokenizer
from course_lib.training import StepRecord
from course_lib.widgets.buttons import Buttons
from course_lib.widgets.style import DASHES, MARKERS, run_style

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
    *rows, fold = controls.sliders_widget.children
    assert [row.children[0].description for row in rows] == ["block_size", "dropout", "learning rate"]
    assert fold.selected_index is None
    folded = fold.children[0].children
    assert [row.children[0].description for row in folded] == ["depth", "width", "batch size", "steps"]


def test_what_one_kind_of_model_has_gets_a_slider_for_that_kind():
    controls = Controls(load_recipe("agiformer_cpu"), lambda recipe: "")
    assert controls.sliders["thinking_steps"].value == 3
    controls.sliders["thinking_steps"].value = 0
    assert controls.recipe.model(256).thinking_steps == 0


def test_controls_can_be_built_for_other_settings():
    choices = {**CHOICES, "weight_decay": Choice("decay", "how strongly weights are drawn to zero", (0.0, 0.1, 1.0))}
    controls = Controls(SMALL, lambda recipe: "", names=("weight_decay", "max_lr"), folded=(), choices=choices)
    assert controls.values == {"weight_decay": 0.0, "max_lr": 0.02}
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


# Chart ----------------------------------------------------------------------------------------------------


def rows(*losses: float, val: float | None = None) -> list[StepRecord]:
    last = len(losses) - 1
    return [StepRecord(i, x, val if i == last else None, 0.1, i, 1.0, None, 0.0) for i, x in enumerate(losses)]


def test_a_curve_is_thinned_only_when_it_is_long():
    points = [(i, float(i)) for i in range(5000)]
    assert thinned(points[:MOST_POINTS]) == points[:MOST_POINTS]
    few = thinned(points)
    assert len(few) == MOST_POINTS
    assert (few[0], few[-1]) == (points[0], points[-1])
    assert {b[0] - a[0] for a, b in itertools.pairwise(few)} <= {12, 13}


def test_the_chart_holds_the_curve_the_lines_and_the_words(project):
    records = list(build_trainer(SMALL))
    chart = LossChart(max_steps=6, vocab_size=53, lines={"the floor": 0.3})
    assert chart.data["curve"] is None
    empty = chart.data
    chart.show(Curve(records), 6, {"the floor": 0.3}, state="finished", status="step 6 of 6")
    curve = chart.data["curve"]
    assert [x for x, _ in curve["train"]] == [0, 1, 2, 3, 4, 5]
    assert [y for _, y in curve["train"]] == pytest.approx([r.train_loss for r in records], rel=1e-4)
    assert curve["val"] == [[r.step + 1, pytest.approx(r.val_loss, rel=1e-4)] for r in records if r.val_loss]
    assert [x for x, _ in curve["val"]] == [3, 6]
    assert chart.data["lines"] == [
        {"label": "knowing nothing: ln 53 = 3.97", "value": math.log(53)},
        {"label": "the floor: 0.30", "value": 0.3},
    ]
    assert (chart.data["state"], chart.data["status"]) == ("finished", "step 6 of 6")
    assert "in 6 steps" in chart.data["alt"]
    for end in ("x_max", "y_max"):  # the axes do not move while a good run goes on
        assert chart.data[end] == empty[end]
    assert not re.search("0x[0-9a-f]+", repr(chart))


def test_lines_move_by_themselves_and_the_axis_holds_them():
    chart = LossChart(max_steps=6, vocab_size=24, lines={"floor": 0.3})
    chart.show(None, 6, {"floor": 5.0})
    assert chart.data["lines"][1]["value"] == 5.0
    assert chart.data["y_max"] > 5


def test_several_runs_are_named_and_no_two_look_alike():
    chart = LossChart(max_steps=3, vocab_size=24)
    finished = [Curve(rows(3.0, 2.0, 1.0 + i, val=1.0), f"run {i + 1}", run_style(i)) for i in range(6)]
    chart.show(Curve(rows(3.0), "run 7", run_style(6)), 3, {}, finished)
    assert len(chart.finished) == 6
    looks = [(c["dash"], c["marker"]) for c in [*chart.finished, chart.data["curve"]]]
    assert len(set(looks[:6])) == 6, "not by color alone"
    legend = [entry["text"] for entry in chart.data["legend"]]
    assert legend == [*(f"run {i + 1}" for i in range(7)), "(line: training, marks: validation)"]
    for i in range(7):
        assert f"run {i + 1}: training loss goes from 3.0" in chart.data["alt"]


def test_the_axis_of_steps_holds_the_longest_run():
    chart = LossChart(max_steps=4, vocab_size=24)
    long = Curve(rows(*[2.0] * 9), "run 1")
    chart.show(Curve(rows(3.0), "run 2"), 4, {}, [long])
    assert chart.data["x_max"] == 9
    chart.show(Curve(rows(3.0), "run 2"), 20, {}, [long])
    assert chart.data["x_max"] == 20
    chart.show(None, 20, {}, [long])
    assert chart.data["x_max"] == 9, "with no run to come, the finished ones fill the chart"


def test_curves_that_do_not_grow_are_sent_once(monkeypatch):
    monkeypatch.setattr(comm, "create_comm", comm.DummyComm)  # whatever kernel another test has loaded
    sent: list[set[str]] = []
    chart = LossChart(max_steps=4, vocab_size=24)
    monkeypatch.setattr(chart, "send_state", lambda key=None: sent.append({key} if isinstance(key, str) else set(key)))
    finished = [Curve(rows(3.0, 2.0), "run 1")]
    chart.show(Curve(rows(3.0), "run 2"), 4, {}, finished)
    chart.show(Curve(rows(3.0, 2.9), "run 2"), 4, {}, list(finished))
    assert sent == [{"data", "finished"}, {"data"}], "one message each time"


def test_a_rate_that_was_moved_is_noted_in_the_chart_and_in_words():
    chart = LossChart(max_steps=4, vocab_size=24)
    chart.show(Curve(rows(3.0, 2.0, 1.0), notes=[(2, "lr 0.005")]), 4)
    assert chart.data["curve"]["notes"] == [[2, "lr 0.005"]]
    assert "At step 2: lr 0.005." in chart.data["alt"]


def test_an_exploded_run_has_finite_numbers_and_an_axis_for_the_others():
    chart = LossChart(max_steps=4, vocab_size=24)
    chart.show(Curve(rows(3.0, 1e30, math.inf)), 4)
    assert [y for _, y in chart.data["curve"]["train"]] == [3.0, 1e30]
    assert chart.data["y_max"] < 10


def test_styles_differ_by_more_than_color_and_come_again_changed():
    styles = [run_style(i) for i in range(12)]
    assert [style["color"] for style in styles] == RUN_COLORS * 2
    assert len({tuple(style.values()) for style in styles}) == 12
    assert len(set(DASHES)) == len(set(MARKERS)) == len(RUN_COLORS)


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
    view = SampleView()
    view.show(TEXT, GRADE, "What the model writes after 20 steps")
    assert "after 20 steps: <b>1 of 2 sentences grammatical</b>" in view.widget.value
    view.show(TEXT, None, "What the model writes after 20 steps")
    assert "grammatical" not in view.widget.value


@pytest.fixture
def trainer(project):
    trainer = build_trainer(SMALL)
    for _ in range(3):
        next(trainer)
    return trainer


def test_a_sample_is_what_generate_writes_from_the_state_it_began_with(trainer):
    prompt = torch.tensor([trainer.tokenizer.encode("\n")])
    expected = trainer.tokenizer.decode(generate(trainer.model, prompt, 20, seed=0)[0, 1:].tolist())
    writer = SampleWriter(trainer.model, trainer.tokenizer, "\n", length=20)
    assert writer.write(3)
    for step in range(3, 6):  # the model learns while it writes, a token or two between two steps
        assert writer.write(step)
        assert writer.write(step)
        next(trainer)
    while not writer.is_whole:
        assert writer.write(6)
    assert writer.text == expected
    assert writer.step == 3
    later = trainer.tokenizer.decode(generate(trainer.model, prompt, 20, seed=0)[0, 1:].tolist())
    assert later != expected, "or this test shows nothing"
    writer.finish(6)
    assert (writer.text, writer.step) == (later, 6)


def test_writing_does_not_change_the_training(project):
    trainer, losses = build_trainer(SMALL.replace(dropout=0.2)), []
    writer = SampleWriter(trainer.model, trainer.tokenizer, length=5)
    for record in trainer:
        losses.append(record.train_loss)
        writer.write(record.step + 1)
        writer.write(record.step + 1)
        assert trainer.model.training
    assert losses == [record.train_loss for record in build_trainer(SMALL.replace(dropout=0.2))]


def test_a_finished_sample_rests_and_then_the_next_one_begins(trainer):
    now = [0.0]
    writer = SampleWriter(trainer.model, trainer.tokenizer, length=2, clock=lambda: now[0])
    assert [writer.write(3) for _ in range(4)] == [True, True, True, False]
    now[0] = 2 * REST_SECONDS
    assert not writer.write(3), "the same model would write the same"
    writer.write(4)
    assert (writer.step, writer.text) == (4, "")


def test_a_sample_that_grows_too_old_is_given_up(trainer):
    writer = SampleWriter(trainer.model, trainer.tokenizer, length=100, oldest=10)
    writer.begin(0)
    writer.write(9)
    assert (writer.step, len(writer.text)) == (0, 1)
    writer.write(10)
    assert (writer.step, len(writer.text)) == (10, 0)
    writer.begin(500)
    writer.write(999)
    assert writer.step == 500, "late in a run it takes more steps to learn as much"
    writer.write(1000)
    assert writer.step == 1000


def test_a_last_sample_can_be_stopped_after_any_token(trainer):
    writer = SampleWriter(trainer.model, trainer.tokenizer, length=100)
    writer.finish(3, stopped=lambda: len(writer.text) == 7)
    assert len(writer.text) == 7


def test_a_start_in_words_belongs_to_the_text(trainer):
    writer = SampleWriter(trainer.model, trainer.tokenizer, "nine", length=3)
    writer.finish(3)
    assert writer.text.startswith("nine")
    assert len(writer.text) == 7
    with pytest.raises(CourseError, match="The start holds 'Q'"):
        SampleWriter(trainer.model, trainer.tokenizer, "Q")


@pytest.mark.parametrize("start", ["\n\n", ""])
def test_a_vocabulary_without_a_new_line_begins_with_its_first_token(start):
    model = GPT(GPTConfig(block_size=4, vocab_size=2, n_layer=1, n_head=1, n_embd=4))
    writer = SampleWriter(model, CharTokenizer("ab"), start, length=3)
    writer.finish(3)
    assert len(writer.text) == 3


def test_a_sample_of_bytes_grows_by_whole_characters(monkeypatch):
    row = [*"é日".encode(), 0xFF, *"\U0001f600".encode(), 0xE4, 0xB8]
    tokens = (torch.tensor([[i]]) for i in row)
    monkeypatch.setattr(sample, "stream", lambda *args, **kwargs: tokens)
    model = GPT(GPTConfig(block_size=4, vocab_size=256, n_layer=1, n_head=1, n_embd=4))
    writer = SampleWriter(model, ByteTokenizer(), length=len(row))
    seen = []
    while writer.write(0) and not writer.is_whole:
        seen.append(writer.text)
    assert seen == ["", "", "é", "é", "é", "é日", *["é日\ufffd"] * 4, *["é日\ufffd\U0001f600"] * 2]
    assert writer.text == "é日\ufffd\U0001f600\ufffd"  # what is cut off at the end is told


# Tray -----------------------------------------------------------------------------------------------------


def test_the_tray_tells_of_what_is_done_on_the_page_and_not_of_what_it_is_given():
    heard: list[object] = []
    tray = Tray(lambda: heard.append("checked"), heard.append)
    tray.put([TrayRow(4, "run 4", "as the recipe says", "6 steps", run_style(0))], [4])
    assert heard == []
    assert tray.rows[0]["label"] == "run 4"
    tray.set_state({"checked": []})  # as the page sends it
    tray._handle_custom_msg({"remove": 4}, [])
    assert heard == ["checked", 4]
