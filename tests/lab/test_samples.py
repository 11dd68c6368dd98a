"""What a model writes on its way: whole samples, at their moments, within their share of the time."""

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterator

import pytest
import torch

from course_lib.config import GPTConfig
from course_lib.data.datasets import Corpus, find_corpus
from course_lib.errors import CourseError
from course_lib.lab import moments as moments_module
from course_lib.lab import sample as sample_module
from course_lib.lab import session as session_module
from course_lib.lab.moments import AHEAD_SECONDS, BURST_SECONDS, FREE_SECONDS, SHARE, Moments, moments
from course_lib.lab.run import Trial
from course_lib.lab.sample import SHORT_LENGTH, SHORTEST, Sample, SampleWriter
from course_lib.lab.session import Session
from course_lib.models import GPT
from course_lib.recipes import Recipe, load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.sampling import generate
from course_lib.tokenizers import ByteTokenizer, CharTokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = load_recipe("tinytales_cpu").replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=40, eval_every=20, eval_batches=1,
    warmup_steps=0, schedule="constant", device="cpu",
)  # fmt: skip
TINY = GPTConfig(block_size=4, vocab_size=2, n_layer=1, n_head=1, n_embd=4)


@pytest.fixture
def trainer(project):
    trainer = build_trainer(SMALL)
    for _ in range(3):
        next(trainer)
    return trainer


class Clock:
    """Stands still, but for what it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ticking(monkeypatch: pytest.MonkeyPatch, clock: Clock, seconds: float) -> None:
    """Each token takes so long."""
    real = sample_module.stream

    def slow(*args, **kwargs) -> Iterator[torch.Tensor]:
        for token in real(*args, **kwargs):
            clock.now += seconds
            yield token

    monkeypatch.setattr(sample_module, "stream", slow)


# One sample -----------------------------------------------------------------------------------------------


def test_a_sample_is_what_generate_writes(trainer):
    prompt = torch.tensor([trainer.tokenizer.encode("\n")])
    expected = trainer.tokenizer.decode(generate(trainer.model, prompt, 20, seed=0)[0, 1:].tolist())
    writer = SampleWriter(trainer.model, trainer.tokenizer)
    assert writer.write(3, 20) == Sample(3, expected, None)
    for _ in range(3):
        next(trainer)
    later = trainer.tokenizer.decode(generate(trainer.model, prompt, 20, seed=0)[0, 1:].tolist())
    assert writer.write(6, 20) == Sample(6, later, None)
    assert later != expected, "or this test shows nothing"


def test_a_sample_is_judged(trainer):
    grade = find_corpus("tinytales").grade
    sample = SampleWriter(trainer.model, trainer.tokenizer, grade=grade).write(3, 60)
    assert sample.grade == grade(sample.text)


def test_writing_does_not_change_the_training(project):
    recipe = SMALL.replace(dropout=0.2, max_steps=6)
    trainer, losses = build_trainer(recipe), []
    writer = SampleWriter(trainer.model, trainer.tokenizer)
    for record in trainer:
        losses.append(record.train_loss)
        writer.write(record.step + 1, 5)
        assert all(module.training for module in trainer.model.modules())
    assert losses == [record.train_loss for record in build_trainer(recipe)]


@pytest.mark.parametrize(("per_token", "tokens"), [(0.001, 40), (0.004, 25), (0.008, SHORTEST + 1)])
def test_a_slow_model_writes_less(trainer, monkeypatch, per_token, tokens):
    clock = Clock()
    ticking(monkeypatch, clock, per_token)
    sample = SampleWriter(trainer.model, trainer.tokenizer, clock=clock).write(3, 40, seconds=0.0995)
    assert len(sample.text) == tokens


def test_a_model_too_slow_for_any_sample_writes_none_and_is_remembered(trainer, monkeypatch):
    clock = Clock()
    ticking(monkeypatch, clock, 0.1)
    writer = SampleWriter(trainer.model, trainer.tokenizer, clock=clock)
    assert writer.fits(0.25), "nobody knows yet"
    assert writer.write(0, 40, seconds=0.25) is None
    assert clock.now == pytest.approx(0.3), "three tokens tell"
    assert not writer.fits(0.25)
    assert writer.fits(0.65), "from then on it is believed to be twice as fast"


def test_a_model_that_was_slow_for_a_while_is_tried_again(trainer, monkeypatch):
    """Where nothing was warm, or the machine was busy: a second a token, then a millisecond."""
    clock = Clock()
    ticking(monkeypatch, clock, 1.0)
    writer = SampleWriter(trainer.model, trainer.tokenizer, clock=clock)
    assert writer.write(0, 40, seconds=0.25) is None
    monkeypatch.undo()
    ticking(monkeypatch, clock, 0.001)
    asked = [writer.fits(0.25) for _ in range(8)]
    assert asked == [False] * 6 + [True] * 2
    assert len(writer.write(3000, 40, seconds=0.25).text) == 40


def test_a_stop_is_heard_after_any_token(trainer):
    writer = SampleWriter(trainer.model, trainer.tokenizer)
    assert writer.write(3, 100, stopped=lambda: len(writer.text) == 7) is None
    assert len(writer.text) == 7


def test_a_start_in_words_belongs_to_the_text(trainer):
    sample = SampleWriter(trainer.model, trainer.tokenizer, "nine").write(3, 3)
    assert sample.text.startswith("nine")
    assert len(sample.text) == 7
    with pytest.raises(CourseError, match="The start holds 'Q'"):
        SampleWriter(trainer.model, trainer.tokenizer, "Q")


@pytest.mark.parametrize("start", ["\n\n", ""])
def test_a_vocabulary_without_a_new_line_begins_with_its_first_token(start):
    assert len(SampleWriter(GPT(TINY), CharTokenizer("ab"), start).write(3, 3).text) == 3


def test_a_sample_of_bytes_grows_by_whole_characters(monkeypatch):
    row = [*"é日".encode(), 0xFF, *"\U0001f600".encode(), 0xE4, 0xB8]

    def stream(*args, **kwargs) -> Iterator[torch.Tensor]:
        yield from (torch.tensor([[i]]) for i in row)

    monkeypatch.setattr(sample_module, "stream", stream)
    seen: list[str] = []
    writer = SampleWriter(GPT(TINY.replace(vocab_size=256)), ByteTokenizer())
    sample = writer.write(0, len(row), stopped=lambda: seen.append(writer.text))
    assert seen == ["", "é", "é", "é", "é日", *["é日\ufffd"] * 4, *["é日\ufffd\U0001f600"] * 3]
    assert sample.text == "é日\ufffd\U0001f600\ufffd"  # what is cut off at the end is told


# Moments --------------------------------------------------------------------------------------------------


def test_the_moments_grow_as_the_learning_slows():
    assert moments(1) == [0]
    assert moments(300) == [0, 10, 30, 100]
    assert moments(1001) == [0, 10, 30, 100, 300, 1000]
    assert moments(100_000)[-2:] == [10_000, 30_000]


def test_a_moment_comes_once_and_of_several_the_last_counts():
    plan = Moments(1000)
    assert [step for step in range(200) if plan.is_due(step)] == [0, 10, 30, 100]
    late = Moments(1000)
    assert late.is_due(50)
    assert not late.is_due(50)
    assert [step for step in range(50, 400) if late.is_due(step)] == [100, 300]


def simulate(max_steps: int, per_step: float, per_token: float, forecast: float | None, stop: int) -> tuple[float, int]:
    """A run of which the forecast may be wrong: seconds for its samples, and how many there are."""
    plan, spent, known, count = Moments(max_steps, forecast), 0.0, 0.0, 0
    for step in range(stop):
        if not plan.is_due(step):
            continue
        seconds = plan.allowance(step, step * per_step)
        assert 0 <= seconds <= BURST_SECONDS
        if seconds < SHORTEST * known:
            known /= 2
            continue
        known = per_token
        tokens = SHORT_LENGTH if SHORT_LENGTH * per_token <= seconds else max(SHORTEST, math.ceil(seconds / per_token))
        if seconds < SHORTEST * per_token:
            tokens = SHORTEST // 4
        plan.spend(tokens * per_token)
        spent, count = spent + tokens * per_token, count + (tokens >= SHORTEST)
        ahead = AHEAD_SECONDS + SHORTEST // 4 * per_token
        assert spent <= SHARE * step * per_step + ahead, "at no time far ahead of the share"
    return spent, count


@pytest.mark.parametrize("seed", range(100))
def test_samples_keep_to_their_share_whatever_the_machine_and_the_model(seed):
    """Steps of 1 ms to 10 s, tokens of 0.1 ms to 0.1 s: of a run that takes its steps, all samples have their share."""
    draw = random.Random(seed)
    per_step, per_token = 10 ** draw.uniform(-3, 1), 10 ** draw.uniform(-4, -1)
    max_steps = int(10 ** draw.uniform(0, 4.5))
    trained = max_steps * per_step
    spent, _ = simulate(max_steps, per_step, per_token, trained, max_steps)
    tries = 1 + len(moments(max_steps)) / 2  # to find that a model is too slow takes three tokens, every other time
    over = tries * SHORTEST // 4 * per_token + len(moments(max_steps)) * per_token  # and a token too many each time
    assert spent <= max(SHARE * trained, FREE_SECONDS) + over


@pytest.mark.parametrize("wrong", [0.2, 5.0, None])
def test_a_wrong_forecast_is_found_out(wrong):
    trained = 600 * 0.05
    spent, count = simulate(600, 0.05, 0.001, wrong and wrong * trained, 600)
    assert spent <= SHARE * trained + AHEAD_SECONDS * (wrong == 5.0)
    assert count == len(moments(600))


def test_the_recipe_of_the_course_has_all_its_samples_whole():
    """As measured: 50 ms a step, 1 ms a token."""
    plan = Moments(1050, 52.0)
    allowed = []
    for step in range(1050):
        if plan.is_due(step):
            allowed.append(plan.allowance(step, step * 0.05))
            plan.spend(SHORT_LENGTH * 0.001)
    assert len(allowed) == 6
    assert min(allowed) >= SHORT_LENGTH * 0.001


# Those of a run -------------------------------------------------------------------------------------------


def run(recipe: Recipe, watch: Callable[[Session], None] = lambda session: None, corpus: Corpus | None = None):
    told = lambda: watch(session)  # noqa: E731
    session = Session(recipe, corpus or find_corpus("tinytales"), told, 1)
    session.go(lambda trial: None)
    return session.run


@pytest.fixture
def any_time(monkeypatch) -> None:
    """However slow the machine is, there is time for samples."""
    for name in ("FREE_SECONDS", "AHEAD_SECONDS", "BURST_SECONDS"):
        monkeypatch.setattr(moments_module, name, 1e9)
    monkeypatch.setattr(session_module, "STOP_SECONDS", 1e9)


def test_a_run_keeps_its_samples_with_step_and_grade(project, any_time):
    trial = run(SMALL)
    assert [sample.step for sample in trial.samples] == [0, 10, 30, 40]
    assert [len(sample.text) for sample in trial.samples] == [SHORT_LENGTH] * 3 + [240]
    # Each is the text of the model as it was then: a plain loop, stopped there, writes it.
    plain = build_trainer(SMALL)
    prompt = torch.tensor([plain.tokenizer.encode(find_corpus("tinytales").start)])
    for sample in trial.samples:
        for _ in range(sample.step - plain.step):
            next(plain)
        ids = generate(plain.model, prompt, len(sample.text), seed=0)[0, prompt.shape[1] :]
        assert sample.text == plain.tokenizer.decode(ids.tolist())
        assert sample.grade == find_corpus("tinytales").grade(sample.text)
    assert [record.train_loss for record in trial.records] == [r.train_loss for r in build_trainer(SMALL)]


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_after_a_stop_there_is_one_by_the_model_as_it_is(project, any_time, steps):
    def stop(session: Session) -> None:
        if len(session._records) >= steps:
            session.driver.stop()

    trial = run(SMALL.replace(max_steps=10_000, eval_every=0), stop)
    assert trial.samples[-1].step == trial.trainer.step >= steps
    assert len(trial.samples[-1].text) == SHORT_LENGTH
    assert [a.step < b.step for a, b in itertools.pairwise(trial.samples)] == [True] * (len(trial.samples) - 1)


@pytest.mark.parametrize(("per_token", "tokens"), [(0.001, [SHORT_LENGTH]), (0.01, [15]), (0.05, [])])
def test_the_sample_after_a_stop_is_soon_over(project, monkeypatch, per_token, tokens):
    """By a clock that each token moves: a slow model writes less, or nothing."""
    clock = Clock()
    ticking(monkeypatch, clock, per_token)
    monkeypatch.setattr(session_module, "SampleWriter", functools.partial(SampleWriter, clock=clock))
    session = Session(SMALL, find_corpus("tinytales"), lambda: None, 1)
    session.driver.stop()
    session.go(lambda trial: None)
    assert [len(sample.text) for sample in session.run.samples] == tokens
    assert clock.now <= session_module.STOP_SECONDS + per_token


def test_a_model_that_has_diverged_is_told_of_by_the_trainer(project):
    """Its sample cannot be written; that is not what ended the run."""
    wild = SMALL.replace(optimizer="adamw", zero_init=False, max_lr=1e30, log_every=1000, eval_every=0)
    with pytest.raises(CourseError, match="diverged"):
        run(wild.replace(max_steps=30))


def test_of_two_samples_by_one_model_the_longer_is_kept(project):
    session = Session(SMALL, find_corpus("tinytales"), lambda: None, 1)
    session.run = Trial(SMALL, build_trainer(SMALL))
    for sample in (Sample(0, "abc"), Sample(0, "ab"), Sample(10, "a"), Sample(10, "abcd")):
        session._keep(sample)
    assert session.run.samples == [Sample(0, "abc"), Sample(10, "abcd")]
