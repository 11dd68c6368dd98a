"""A step is whole or has not happened: Ctrl-C and JupyterLab's stop button, at every line and at random instants.

The signals are real ones (SIGINT), the loop is a learner's own: ``for record in trainer``, run again after each. What
comes out is held against the run that was never stopped: weights, optimizer, log, saves, and the records.
"""

import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from interrupts import BELOW, ENDED, FORMS, WATCHED, at_every_line, make, result, train
from jupyter_client.manager import start_new_kernel
from torch import Tensor, nn

from course_lib.device import World
from course_lib.optim import OptimizerSet
from course_lib.training import next_token_loss, stopping_on_signals
from course_lib.training.signals import holding_signals

HERE = Path(__file__).parent
RANDOM = int(os.environ.get("COURSE_INTERRUPTIONS", "60"))
"""How many random interruptions a script has to stand, and a kernel too. A campaign sets it higher."""
PATIENCE = 120
"""Seconds after which a script that was interrupted is taken to hang."""
LOST = 3
"""How many presses in a row may get lost in a kernel's own code; then it answers nothing, and a new one is asked."""

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(os.name == "nt", reason="Windows has no way to send a SIGINT to one process"),
]


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


# The three smallest cases: each of them once ended with wrong weights, or lost a row ------------------------


def once(function: Callable, before: bool = False) -> Callable:
    """``function``, with an interruption right after its first call, or right before it."""
    calls: list[int] = []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) == 1 and before:
            interrupt()
        value = function(*args, **kwargs)
        if len(calls) == 1 and not before:
            interrupt()
        return value

    return wrapped


def in_the_scaler(trainer) -> None:
    trainer.scaler.update = once(trainer.scaler.update, before=True)


def between_two_optimizers(trainer) -> None:
    assert isinstance(trainer.optimizer, OptimizerSet)
    trainer.optimizer.optimizers[0].step = once(trainer.optimizer.optimizers[0].step)


def in_an_evaluation(trainer) -> None:
    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return usual(model, x, y) if model.training else interrupted(model, x, y)

    usual, interrupted = next_token_loss, once(next_token_loss)
    trainer.loss = loss


def after_the_weights_moved(trainer) -> None:
    trainer.optimizer.step = once(trainer.optimizer.step)


PLACES = [(place, "muon, fp16 with a scaler") for place in (in_the_scaler, between_two_optimizers, in_an_evaluation)]


@pytest.mark.parametrize(("place", "form"), [*PLACES, (after_the_weights_moved, "one's own")])
def test_an_interruption_at_a_bad_place_changes_nothing(place: Callable, form: str, project: Path) -> None:
    wanted = result(project / "whole", train(make(form, project / "whole"))[0])
    trainer = make(form, project / "cut")
    place(trainer)
    steps, cut = train(trainer)
    assert cut == 1
    assert result(project / "cut", steps) == wanted
    assert len(wanted["rows"]) == len(steps) == FORMS[form]["max_steps"]


def test_a_save_after_an_interrupted_evaluation_has_its_row(project: Path) -> None:
    """Whoever saves by hand before the loop goes on loses nothing either."""
    form = "adamw"
    wanted = result(project / "whole", train(make(form, project / "whole"))[0])
    trainer = make(form, project / "cut")
    in_an_evaluation(trainer)
    with pytest.raises(KeyboardInterrupt):
        list(trainer)
    trainer.save()
    assert (project / "cut" / "metrics.jsonl").read_text().count("\n") == 2
    assert trainer.step == 2
    train(trainer)
    found = result(project / "cut", wanted["steps"])
    assert {part: found[part] for part in found if part != "saves"} == {
        part: wanted[part] for part in found if part != "saves"
    }


# At every line ----------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def pythons_own_handler() -> Iterator[None]:
    """As in a program that has not said anything else about Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_at_some_lines_of_a_step_changes_nothing(tmp_path: Path) -> None:
    found = at_every_line("muon, fp16 with a scaler", tmp_path, ("course_lib/training/trainer.py",), first=1, every=6)
    assert found["wrong"] == []
    assert found["tried"] >= 25, found


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(FORMS)), ids=list(FORMS))
def test_an_interruption_at_every_line_of_a_step_changes_nothing(number: int, tmp_path: Path) -> None:
    """Each form tries every third line of ours, so that all of them together try every line."""
    form = list(FORMS)[number]
    ours = at_every_line(form, tmp_path / "ours", WATCHED, first=number % 3, every=3)
    assert ours["wrong"] == []
    assert ours["tried"] > 100
    torchs = at_every_line(form, tmp_path / "torchs", BELOW, first=number, every=10)
    assert torchs["wrong"] == []
    assert torchs["tried"] > 20


# At random, from outside ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_random_interruptions_of_a_script_change_nothing(tmp_path: Path) -> None:
    """At most one signal is on its way at a time: a second one could end the program, as it should."""
    draw, cut, number = random.Random(0), 0, 0
    while cut < RANDOM:
        form = list(FORMS)[number % len(FORMS)]
        code = f"import torch; torch.set_num_threads(1); from interrupts import *; " \
               f"script({form!r}, Path({str(tmp_path)!r}), {number})"  # fmt: skip
        with subprocess.Popen([sys.executable, "-c", code], cwd=HERE, stdout=subprocess.PIPE, text=True) as child:
            hangs = threading.Timer(PATIENCE, child.kill)  # its output then ends here, and its exit status tells
            hangs.start()
            for line in child.stdout:
                if line == "ready\n":
                    cut += 1
                    time.sleep(draw.expovariate(20))
                    child.send_signal(signal.SIGINT)
                else:
                    assert line == "differs: \n", (form, number, cut, line)
            hangs.cancel()
        # A signal that comes when the loop is through ends the program.
        assert child.returncode in (0, ENDED, -signal.SIGINT), (form, number, cut)
        number += 1
    print(f"{cut} interruptions of {number} runs")


class Kernel:
    """A real IPython kernel, as JupyterLab starts it. Its stop button is `interrupt`."""

    def __init__(self) -> None:
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(HERE))

    def run(self, cell: str, interrupt_after: float | None = None) -> tuple[str, str]:
        """Run a cell, and press the stop button so many seconds later: the error's name, and what was printed.

        A press that comes as the cell has just ended hits the kernel's own code, and its answer may get lost.
        """
        asked = self.client.execute(cell)
        if interrupt_after is not None:
            time.sleep(interrupt_after)
            self.manager.interrupt_kernel()
        printed = error = ""
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=120 if interrupt_after is None else 20)
            except queue.Empty:
                return "lost", printed
            content = message["content"]
            if message["parent_header"].get("msg_id") != asked:
                continue
            if message["msg_type"] == "stream":
                printed += content["text"]
            elif message["msg_type"] == "error":
                error, printed = content["ename"], printed + content["evalue"]
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return error, printed

    def ask(self, cell: str) -> str:
        """What a cell prints that must not fail."""
        error, printed = self.run(cell)
        assert not error, (error, printed)
        return printed.strip()


    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernels() -> Iterator[Callable[[], Kernel]]:
    """Makes a kernel that knows this folder's functions; the ones before it end."""
    made: list[Kernel] = []

    def make_one() -> Kernel:
        for kernel in made:
            kernel.close()
        made[:] = [Kernel()]
        made[0].ask("import torch; torch.set_num_threads(1); from interrupts import *; wholes = {}")
        return made[0]

    yield make_one
    for kernel in made:
        kernel.close()


@pytest.mark.slow
def test_interruptions_at_lines_of_a_step_in_a_kernel_change_nothing(
    kernels: Callable[[], Kernel], tmp_path: Path
) -> None:
    kernel = kernels()
    call = f"at_every_line('muon, fp16 with a scaler', Path({str(tmp_path)!r}), WATCHED, every=6)"
    assert kernel.ask(f"found = {call}; print(found['wrong'], found['tried'] > 60)") == "[] True"


LOOP = """for record in trainer:
    steps.append(record.step)
print("through")"""


@pytest.mark.slow
def test_random_presses_of_the_stop_button_change_nothing(kernels: Callable[[], Kernel], tmp_path: Path) -> None:
    """The cell with the loop is interrupted and run again, until it ends by itself; the next cell compares."""
    draw, cut, number, silent = random.Random(0), 0, 0, 0
    kernel = kernels()
    while cut < RANDOM:
        form = list(FORMS)[number % len(FORMS)]
        kernel.ask(f"""
folder, form, steps = Path({str(tmp_path)!r}), {form!r}, []
run, whole = folder / "run {number}", folder / "{form} {silent}"
if form not in wholes:
    wholes[form] = result(whole, train(make(form, whole, **LONG))[0])
trainer = make(form, run, **LONG)""")
        number += 1
        presses = _presses(kernel, draw)
        if presses is None:  # the kernel is stuck in its own code
            silent += 1
            assert silent <= LOST, (form, number, cut)
            kernel = kernels()
            continue
        cut += presses
        compare = "found = result(run, steps); print([part for part in found if found[part] != wholes[form][part]])"
        assert kernel.ask(compare) == "[]", (form, number, cut)
    print(f"{cut} presses in {number} runs, {silent} kernels that fell silent")


def _presses(kernel: Kernel, draw: random.Random) -> int | None:
    """Run `LOOP` again and again until it ends: how often it was interrupted, or None where the kernel fell silent."""
    cut = lost = 0
    while lost < LOST:
        error, printed = kernel.run(LOOP, draw.expovariate(20))
        if "through" in printed:
            return cut
        # Without an error: the press came so early that the kernel gave the cell up before it began.
        assert error in ("KeyboardInterrupt", "lost", ""), (error, printed)
        cut += error == "KeyboardInterrupt"
        lost = lost + 1 if error == "lost" else 0
    return None


# Holding a signal --------------------------------------------------------------------------------------------


def test_a_signal_is_answered_when_the_whole_is_done() -> None:
    done: list[str] = []

    def whole() -> None:
        with holding_signals():
            interrupt()
            interrupt()
            done.append("first")
            with holding_signals():
                done.append("second")
            done.append("third")

    with pytest.raises(KeyboardInterrupt):
        whole()
    assert done == ["first", "second", "third"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with holding_signals():
        pass  # nothing came, nothing is raised


def test_a_second_signal_ends_what_may_hang() -> None:
    done: list[str] = []

    def hangs() -> None:
        with holding_signals(at_most=1):
            interrupt()
            done.append("held")
            interrupt()
            done.append("never")

    with pytest.raises(KeyboardInterrupt):
        hangs()
    assert done == ["held"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_request_to_stop_is_heard_at_once_and_the_second_one_waits() -> None:
    """As under `course train`: the first Ctrl-C of a long pass is answered, whatever is held."""
    heard: list[str] = []
    trainer = SimpleNamespace(world=World(), stop=lambda: heard.append("stop"))

    def passes() -> None:
        with stopping_on_signals(trainer, heard.append), holding_signals():
            interrupt()
            assert heard[0] == "stop"
            assert heard[1].startswith("Stopping")
            interrupt()
            heard.append("whole")

    with pytest.raises(KeyboardInterrupt):
        passes()
    assert heard[-1] == "whole"


def test_a_terminal_that_is_gone_does_not_keep_a_run_from_stopping() -> None:
    def gone(text: str) -> None:
        raise BrokenPipeError

    heard: list[str] = []
    with stopping_on_signals(SimpleNamespace(world=World(), stop=lambda: heard.append("stop")), gone):
        interrupt()
    assert heard == ["stop"]


def test_a_termination_is_held_as_well_and_an_error_does_not_swallow_it() -> None:
    heard: list[int] = []

    def fails() -> None:
        with holding_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == []
            raise ValueError("of its own")

    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with pytest.raises(ValueError, match="of its own"):
            fails()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_signals_that_python_does_not_handle_stay_as_they_are() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with holding_signals():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_trains_without_touching_signals(project: Path) -> None:
    done: list[list[int]] = []
    thread = threading.Thread(target=lambda: done.append(train(make("adamw", project / "run"))[0]))
    thread.start()
    thread.join()
    assert done == [[0, 1, 2, 3]]
