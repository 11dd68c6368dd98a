"""What torch has once for the whole process is lent to a step, and comes back: generators, and TF32's switches."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from interrupts import BASE, HELD_OUT, TOKENS, SignalAtLine, T, V
from torch import Tensor, nn

from course_lib import checkpoint, recipes
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.device import Compute, generators
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.recipes.build import build_trainer, resume_trainer
from course_lib.training import Trainer, borrowed, next_token_loss
from course_lib.training.borrowed import Borrowed

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = GPTConfig(T, V, n_layer=1, n_head=2, n_embd=8, dropout=0.2)
CPU = Compute("cpu", "fp32", False, False, ())


class DrawnBatches:
    """Batches that come from torch's own generator, as many a DataLoader's do."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def batch(self, step: int, micro: int = 0) -> tuple[Tensor, Tensor]:
        tokens = torch.randint(V, (4, T + 1))
        self.seen.append(tokens.flatten().tolist())
        return tokens[:, :-1], tokens[:, 1:]


def noisy_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """A loss that draws, while scoring too, as a diffusion model's does."""
    return next_token_loss(model, x, y) + 0.01 * torch.randn(())


def make(run: Path | None = None, **changes: Any) -> Trainer:
    given = dict(loss=noisy_loss, val_batches=Batcher(HELD_OUT, 3, T), run_dir=run)
    given |= {name: changes.pop(name) for name in ("loss", "batches") if name in changes}
    config = TrainConfig(**BASE | changes)
    given.setdefault("batches", Batcher(TOKENS, config.batch_size, T, config.seed, grad_accum=config.grad_accum))
    return Trainer(GPT(SHAPE), config=config, **given)


# Draws ------------------------------------------------------------------------------------------------------


def draws(*between: Callable[[], Any]) -> list[float]:
    """What a cell draws from torch's own generator, each number after one of the calls."""
    torch.manual_seed(5)
    found = []
    for call in between:
        call()
        found.append(torch.rand(()).item())
    return found


def nothing() -> None:
    pass


CHANGES = {
    "plain": dict(),
    "accumulated": dict(grad_accum=2),
    "bf16": dict(precision="bf16"),
    "drawn batches": dict(batches=DrawnBatches()),
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_cell_draws_around_steps_what_it_would_draw_without_them(changes: dict, project: Path) -> None:
    trainer = make(project / "run", **changes)  # with dropout; steps 1 and 3 are scored, 2 and 3 are saved
    given = {"batches": trainer.batches, "val_batches": trainer.val_batches, "loss": noisy_loss}
    calls = [
        *[lambda: next(trainer)] * 4, trainer.evaluate, trainer.save, lambda: list(trainer),
        lambda: Trainer.resume(project / "run", max_steps=6, **given),
        lambda: list(Trainer.resume(project / "run", max_steps=6, **given)),
        lambda: checkpoint.load(project / "run"),
    ]  # fmt: skip
    assert draws(*calls) == draws(*[nothing] * len(calls))


def test_a_recipe_is_built_and_gone_on_with_from_seeds_of_its_own(project: Path) -> None:
    small = dict(max_steps=2, eval_batches=1, n_layer=1, n_embd=16, n_head=2, block_size=16, batch_size=2, device="cpu")
    recipe = recipes.load_recipe("numbers_cpu").replace(**small)
    built: list[Trainer] = []
    calls = [
        lambda: built.append(build_trainer(recipe, project / "run")), lambda: list(built[0]),
        lambda: built.append(resume_trainer(project / "run", max_steps=3)), lambda: built.append(build_trainer(recipe)),
    ]  # fmt: skip
    assert draws(*calls) == draws(*[nothing] * len(calls))
    torch.manual_seed(recipe.train.seed)
    plain = GPT(built[0].model.config)  # the weights are those of the seed, as ever
    assert all(map(torch.equal, plain.state_dict().values(), built[2].model.state_dict().values()))


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, CourseError, KeyboardInterrupt])
def test_a_step_that_fails_gives_back_too(kind: type[BaseException]) -> None:
    def fails(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        torch.rand(3)
        raise kind("of the loss")

    def tried(action: Callable[[], Any]) -> None:
        with pytest.raises(kind):
            action()

    trainer = make(loss=fails)
    calls = [
        lambda: tried(lambda: next(trainer)),
        lambda: tried(trainer.evaluate),
        lambda: tried(lambda: next(trainer)),
    ]
    assert draws(*calls) == draws(*[nothing] * 3)


def test_a_stop_in_the_middle_of_a_step_gives_back_too() -> None:
    def stops(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        trainer.stop()
        return noisy_loss(model, x, y)

    trainer = make(loss=stops, grad_accum=2)
    assert draws(lambda: list(trainer), nothing) == draws(nothing, nothing)
    assert trainer.step == 0


def test_what_a_step_draws_follows_from_seed_and_step_alone(project: Path) -> None:
    """Whoever seeds and draws in between; what batches and losses draw, and evaluations too."""
    runs: list[list[tuple]] = []
    for seed in (0, 1):
        torch.manual_seed(3)
        batches = DrawnBatches()
        trainer = make(batches=batches)
        found = []
        for record in trainer:
            torch.manual_seed(seed)
            torch.rand(7 * seed)
            found.append((record.train_loss, record.val_loss))
        assert trainer.evaluate() == found[-1][1]
        runs.append([found, batches.seen])
    assert runs[0] == runs[1]
    assert len({loss for loss, _ in runs[0][0]}) == 4


def test_the_seeding_is_that_of_torch_for_the_devices_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    card, other = torch.Generator(), torch.Generator()
    monkeypatch.setattr(torch.cuda, "init", nothing)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "default_generators", (other, card))
    assert generators("cpu") == [torch.default_generator]
    assert generators("cuda") == generators("cuda:1") == [torch.default_generator, card]
    assert generators("cuda:0") == [torch.default_generator, other]
    state = other.get_state()
    for seed in (0, 1, 2**64 - 1):
        torch.manual_seed(seed)
        wanted = torch.rand(3)
        Borrowed(Compute("cuda", "bf16", False, True, ())).seed(seed)
        assert torch.rand(3).equal(wanted)
        assert torch.rand(3, generator=card).equal(wanted)
    assert other.get_state().equal(state)


def test_no_step_asks_torch_to_seed_every_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """It formats a stack trace for devices that have not been started: 100 times as long as the seeding takes."""
    trainer = make()
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("torch.manual_seed was called"))
    assert len(list(trainer)) == 4


# TF32's switches --------------------------------------------------------------------------------------------

NEWER = {
    "matmul": torch.backends.cuda.matmul, "cpu": torch.backends.mkldnn.matmul, "conv": torch.backends.cudnn.conv,
    "rnn": torch.backends.cudnn.rnn,
}  # fmt: skip


def switches() -> dict[str, str]:
    """How everything stands; an older name that torch refuses to read, as newer ones were used, is ``mixed``."""
    found = {name: place.fp32_precision for name, place in NEWER.items()}
    older_ones = {"older": torch.get_float32_matmul_precision, "cudnn": lambda: torch.backends.cudnn.allow_tf32}
    for name, read in older_ones.items():
        try:
            found[name] = str(read())
        except RuntimeError:
            found[name] = "mixed"
    return found


def older(precision: str, cudnn: bool) -> Callable[[], None]:
    def switch() -> None:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = cudnn

    return switch


def newer(**values: str) -> Callable[[], None]:
    def switch() -> None:
        for name, value in values.items():
            NEWER[name].fp32_precision = value

    return switch


BEFORE = {
    "as torch starts": nothing,
    "high": older("high", True),
    "medium": older("medium", True),
    "highest, without cudnn": older("highest", False),
    "newer, tf32": newer(matmul="tf32", conv="tf32", rnn="tf32"),
    "newer, ieee": newer(matmul="ieee", cpu="ieee", conv="ieee", rnn="ieee"),
    "newer, mixed": newer(matmul="tf32", conv="ieee", rnn="tf32"),
}


@pytest.fixture
def fresh_switches() -> Iterator[None]:
    start = switches()
    yield
    older(start["older"], start["cudnn"] == "True")()
    newer(**{name: start[name] for name in NEWER})()
    assert switches() == start


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize(("kind", "tf32"), [("cpu", False), ("cuda", False), ("cuda", True)])
def test_the_switches_are_as_chosen_within_and_as_they_were_after(
    before: str, kind: str, tf32: bool, fresh_switches: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(borrowed, "generators", lambda device: [])  # there is no card
    BEFORE[before]()
    outside, within = switches(), []
    Borrowed(Compute(kind, "fp32", False, tf32, ())).during(lambda: within.append(switches()))
    assert switches() == outside
    wanted = {"matmul": "tf32" if tf32 else "ieee", "cpu": "tf32" if tf32 else "ieee"}
    wanted["older"] = "high" if tf32 else "highest"
    if kind == "cuda":
        wanted |= {"conv": wanted["matmul"], "rnn": wanted["matmul"], "cudnn": str(tf32)}
    assert {name: within[0][name] for name in wanted} == wanted


def test_a_trainer_computes_as_chosen_and_changes_nothing_for_others(fresh_switches: None) -> None:
    seen: list[str] = []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return next_token_loss(model, x, y)

    torch.set_float32_matmul_precision("medium")
    outside = switches()
    trainer = make(loss=loss)
    assert switches() == outside
    trainer.evaluate()
    for _ in trainer:
        assert switches() == outside
    assert set(seen) == {"highest"}


# Threads and interruptions ----------------------------------------------------------------------------------


def test_one_trainer_within_a_step_of_another_gives_back_to_that_step() -> None:
    def outer() -> list[float]:
        torch.manual_seed(1)
        found = [torch.rand(()).item()]
        Borrowed(CPU).during(lambda: torch.manual_seed(2))
        return [*found, torch.rand(()).item()]

    torch.manual_seed(1)
    wanted = torch.rand(2).tolist()
    assert draws(lambda: Borrowed(CPU).during(outer)) == draws(nothing)
    assert Borrowed(CPU).during(outer) == wanted


@pytest.mark.parametrize("first_out", [0, 1])
def test_of_two_trainers_at_once_neither_leaves_what_is_the_others(first_out: int, fresh_switches: None) -> None:
    """Two threads, their steps overlapping: who goes in second leaves second, or first."""
    torch.set_float32_matmul_precision("medium")
    outside = switches()
    inside, leave = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    def step(number: int) -> None:
        lent = Borrowed(CPU)

        def work() -> None:
            lent.seed(number)
            torch.rand(3)
            inside[number].set()
            assert leave[number].wait(10)

        lent.during(work)

    def both() -> None:
        threads = [threading.Thread(target=step, args=(number,)) for number in (0, 1)]
        for number in (0, 1):
            threads[number].start()
            assert inside[number].wait(10)
        for number in (first_out, 1 - first_out):
            leave[number].set()
            threads[number].join()

    assert draws(both, nothing) == draws(nothing, nothing)
    assert switches() == outside
    assert borrowed._AT_WORK == {}


def test_an_interruption_while_lending_or_giving_back_changes_nothing(fresh_switches: None) -> None:
    """A real one at every line, one after another. `test_interrupts` has the steps around it."""
    torch.set_float32_matmul_precision("medium")
    outside, lent = switches(), Borrowed(CPU)

    def work() -> None:
        lent.seed(1)
        torch.rand(3)

    def interrupted(at: int | None) -> int:
        trace = SignalAtLine(("course_lib/training/borrowed.py",), at)
        before = sys.gettrace()
        try:
            sys.settrace(trace)
            lent.during(work)
        finally:
            sys.settrace(before)
        return len(trace.lines)

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        lines = interrupted(None)
        assert lines > 40
        for at in range(1, lines + 1):
            state = torch.get_rng_state()
            with pytest.raises(KeyboardInterrupt):
                interrupted(at)
            assert torch.get_rng_state().equal(state), at
            assert switches() == outside, at
            assert borrowed._AT_WORK == {}, at
    finally:
        signal.signal(signal.SIGINT, handler)
