"""A step that does not log never waits for the card, so that the card never waits for the host.

Three ways to see it, each of which sees something that the others do not. A pretended card, which needs no card, notes
each value that is read, with its line. CUDA's own debug mode refuses to wait, in library code as in torch's. And a card
that is kept busy with something else shows any waiting at all: the host must be done before the card is.
"""

import warnings
from collections.abc import Callable

import pytest
import torch
from cards import BLOCK, MODERN, PretendCard, build, numbers, on, small_trainer, why_not

from course_lib import sampling
from course_lib.data import Batcher, prepare
from course_lib.errors import CourseError
from course_lib.sampling import CHECK_EVERY, stream
from course_lib.training import Trainer

BUSY = 1_000_000_000
"""Clock cycles for which the card does nothing else: half a second at 2 GHz. To give out a step takes far less."""
DRAWS = [dict(temperature=0), dict(temperature=0.8), dict(temperature=0.8, top_k=5, top_p=0.9)]
RUNS = {
    "adamw": dict(optimizer="adamw"),
    "muon": dict(optimizer="muon", max_lr=0.02),
    "accumulated, not clipped": dict(grad_accum=2, grad_clip=0.0),
}


def changes_of(run: str, device: str) -> dict:
    """What a run's name stands for; a skip where the card has no such arithmetic."""
    if run in RUNS:
        return RUNS[run]
    if reason := why_not(device, run):
        pytest.skip(reason)
    return dict(precision=run)


def begun(device: str, n_layer: int = 2, **changes) -> Trainer:
    """A run whose next reading of the loss is some steps ahead, and whose memory is all there."""
    form = MODERN | dict(dropout=0.1, n_layer=n_layer)
    trainer = small_trainer(device, form, max_steps=1000, log_every=10, **changes)
    for _ in range(11):
        next(trainer)
    return trainer


def mapped(trainer: Trainer, device: str) -> Trainer:
    """The same run, from a file that stays on the disk."""
    path = prepare("numbers", "char") / "train.bin"
    trainer.batches = Batcher(path, 16, BLOCK, 0, device, trainer.micro_steps, resident=False)
    return trainer


# A pretended card -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", RUNS)
def test_only_a_step_that_logs_reads_a_value(pretend_card: PretendCard, one_thread: None, run: str) -> None:
    with pretend_card:
        trainer = small_trainer("cpu", MODERN | dict(dropout=0.1), max_steps=1000, log_every=4, **RUNS[run])
        trainer.batches = Batcher(numbers()[1], 16, BLOCK, 0, "meta", trainer.micro_steps)
        for _ in range(9):
            pretend_card.reads.clear()
            record = next(trainer)
            assert bool(pretend_card.reads) == (record.step % 4 == 0), (record.step, pretend_card.reads)
            assert (record.train_loss is None) == (record.step % 4 != 0)


@pytest.mark.parametrize("how", DRAWS, ids=str)
def test_a_sampler_looks_at_its_scores_now_and_then(
    pretend_card: PretendCard, monkeypatch: pytest.MonkeyPatch, how: dict
) -> None:
    """Within block_size and past it, and always at the end; it reads nothing else."""
    monkeypatch.setattr(sampling, "_as_float64", lambda logits: logits.double())
    total = BLOCK + CHECK_EVERY + 3
    looked = []
    with pretend_card:
        model = build(**MODERN).to("meta")
        for n, _ in enumerate(stream(model, [[1, 2, 3]], total, **how), start=1):
            looked += [n] * bool(pretend_card.reads)
            pretend_card.reads.clear()
    assert looked == [*range(CHECK_EVERY, total, CHECK_EVERY), total]


# CUDA's debug mode ----------------------------------------------------------------------------------------


@on("cuda")
def test_the_debug_mode_sees_a_value_that_is_read(device: str, refusing: Callable[[bool], None]) -> None:
    loss = torch.ones((), device=device)
    refusing(True)
    with pytest.raises(RuntimeError, match="synchroniz"):
        loss.item()


@pytest.mark.parametrize("source", ["resident", "mapped"])
@pytest.mark.parametrize("run", [*RUNS, "bf16", "fp16"])
@on("cuda")
def test_cuda_sees_no_waiting_between_two_logs(
    device: str, run: str, source: str, refusing: Callable[[bool], None], project: object
) -> None:
    trainer = begun(device, **changes_of(run, device))
    if source == "mapped":
        next(mapped(trainer, device))
    refusing(True)
    while trainer.step % 10:
        assert next(trainer).train_loss is None
    refusing(False)
    assert next(trainer).train_loss < 3


@pytest.mark.parametrize("run", [*RUNS, "bf16", "fp16"])
@on("cuda")
def test_cuda_sees_one_wait_where_a_step_logs(device: str, run: str) -> None:
    """Loss, norm and what fp16 skipped, read together."""
    trainer = begun(device, **changes_of(run, device))
    while trainer.step % 10:
        next(trainer)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            assert next(trainer).train_loss < 3
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert len([w for w in seen if "synchronizing CUDA operation" in str(w.message)]) == 1


@pytest.mark.parametrize("run", [*RUNS, "bf16"])
@on("cuda")
def test_a_loss_that_is_read_and_not_finite_moves_nothing_on_a_card(device: str, run: str) -> None:
    """The loss is read after the update was launched; the update itself has to see it."""
    trainer = begun(device, **changes_of(run, device))
    while trainer.step % 10:
        next(trainer)
    usual, before = trainer.loss, [p.detach().clone() for p in trainer.model.parameters()]
    trainer.loss = lambda model, x, y: usual(model, x, y) * float("nan")
    with pytest.raises(CourseError, match="The training loss is nan at step 20"):
        next(trainer)
    assert all(torch.equal(p, was) for p, was in zip(trainer.model.parameters(), before, strict=True))
    trainer.loss = usual
    assert next(trainer).train_loss < 3


@pytest.mark.parametrize("how", DRAWS, ids=str)
@on("cuda")
def test_cuda_sees_no_waiting_between_two_tokens(device: str, how: dict, refusing: Callable[[bool], None]) -> None:
    model = build(**MODERN).to(device)
    tokens = stream(model, [[1, 2, 3]], CHECK_EVERY, **how)
    for _ in range(2):
        next(tokens)
    refusing(True)
    for _ in range(CHECK_EVERY - 3):
        next(tokens)
    refusing(False)
    assert len(list(tokens)) == 1


# A busy card ----------------------------------------------------------------------------------------------


def done_before_the_card(work: Callable[[], object]) -> bool:
    """Whether the host gets through ``work`` while the card is still at something that was there before."""
    torch.cuda.synchronize()
    torch.cuda._sleep(BUSY)
    before = torch.cuda.Event()
    before.record()
    work()
    return not before.query()


@on("cuda")
def test_a_busy_card_shows_who_waits_for_it(device: str) -> None:
    ones = torch.ones(3, device=device)
    assert done_before_the_card(lambda: ones.sum())
    assert not done_before_the_card(lambda: ones.sum().item())


@pytest.mark.parametrize("source", ["resident", "mapped"])
@pytest.mark.parametrize("run", [*RUNS, "bf16", "fp16"])
@on("cuda")
def test_a_step_is_given_to_a_busy_card_without_waiting(device: str, run: str, source: str, project: object) -> None:
    """One step of one layer: some 400 operations. CUDA takes about 1,000 in advance, and then the host would wait."""
    trainer = begun(device, n_layer=1, **changes_of(run, device))
    if source == "mapped":
        mapped(trainer, device)
        for _ in range(2):
            next(trainer)
    assert done_before_the_card(lambda: next(trainer))


@pytest.mark.parametrize("how", DRAWS, ids=str)
@on("cuda")
def test_tokens_are_asked_of_a_busy_card_without_waiting(device: str, how: dict) -> None:
    tokens = stream(build(n_layer=1, **MODERN).to(device), [[1, 2, 3]], CHECK_EVERY, **how)
    for _ in range(2):
        next(tokens)
    assert done_before_the_card(lambda: [next(tokens) for _ in range(4)])
