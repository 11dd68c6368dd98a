"""The lab's parts, each by itself: what writes samples, and the tray."""

import pytest
import torch

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.lab import sample
from course_lib.lab.sample import REST_SECONDS, SampleWriter
from course_lib.lab.tray import Tray, TrayRow
from course_lib.models import GPT
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.sampling import generate
from course_lib.tokenizers import ByteTokenizer, CharTokenizer
from course_lib.widgets.style import run_style

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = "tinytales_cpu"
SMALL = load_recipe(RECIPE).replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6, eval_every=3, eval_batches=1,
    warmup_steps=0, schedule="constant", device="cpu",
)  # fmt: skip


# Sample ---------------------------------------------------------------------------------------------------


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
