"""From an attempt to a verdict: whatever the attempt does, no traceback of ours, and nothing else changed."""

import contextlib
import dis
import inspect
import random
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

from course_lib.exercises.judge.calling import described, first_line
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Verdict, Wrong

NOTHING_YET = "Not attempted yet."
BLANKS = (None, ...)


def judged(exercise: Exercise, attempt: Any) -> Verdict:
    """What there is to say of ``attempt``; never an error of the attempt's."""
    if is_blank(attempt):
        return Verdict(None, NOTHING_YET)
    try:
        with as_it_was(attempt):
            why = exercise.judge(attempt)
    except Unattempted as what:
        return Verdict(None, f"{NOTHING_YET} {what}".strip())
    except Wrong as what:
        return Verdict(False, f"Not yet. {what}")
    except Exception as error:  # the judge stumbled over something that it did not foresee
        came = f"{described(attempt)}; looking at it raised {type(error).__name__}: {first_line(error)}"
        return Verdict(False, f"Not yet. Expected was {exercise.expects}. It got {came}")
    return Verdict(True, f"Right. {why}")


def is_blank(attempt: Any) -> bool:
    """Whether nothing has been filled in: None, ``...``, a container of these, a function without a body."""
    if any(attempt is blank for blank in BLANKS):
        return True
    if isinstance(attempt, (list, tuple, dict)) and attempt:
        values = attempt.values() if isinstance(attempt, dict) else attempt
        return all(is_blank(value) for value in values)
    code = getattr(inspect.unwrap(attempt), "__code__", None) if callable(attempt) else None
    return isinstance(code, CodeType) and _does_nothing(code)


def _does_nothing(code: CodeType) -> bool:
    """Whether a function's body is ``...``, ``pass``, a docstring, or ``return None``."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("RESUME", "NOP", "CACHE")]
    loads = [step for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    names = {step.opname for step in steps}
    return names <= {"LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"} and all(
        any(step.argval is blank for blank in BLANKS) for step in loads
    )


@contextlib.contextmanager
def as_it_was(attempt: Any) -> Iterator[None]:
    """Put back afterwards whatever an attempt, or a judge, may change; begin at the same random numbers each time.

    Put back are the states of the random generators, the number of threads, whether gradients are recorded,
    and the mode (training or evaluation) of the models in ``attempt``.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        random.seed(0)
        if numpy := sys.modules.get("numpy"):
            stack.callback(numpy.random.set_state, numpy.random.get_state())
            numpy.random.seed(0)
        if torch := sys.modules.get("torch"):  # a chapter without torch does not wait for it
            _keep_torch(torch, stack)
            for model in _models(torch, attempt):
                for module in model.modules():
                    stack.callback(setattr, module, "training", module.training)
        yield


def _keep_torch(torch: Any, stack: contextlib.ExitStack) -> None:
    stack.callback(torch.default_generator.set_state, torch.default_generator.get_state())
    if torch.cuda.is_initialized():
        stack.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
    stack.callback(torch.set_num_threads, torch.get_num_threads())
    stack.callback(torch.set_default_dtype, torch.get_default_dtype())
    stack.callback(torch.set_grad_enabled, torch.is_grad_enabled())
    torch.set_grad_enabled(True)
    torch.default_generator.manual_seed(0)  # not torch.manual_seed, which would reach for the graphics cards too


def _models(torch: Any, attempt: Any) -> list[Any]:
    """The models that are handed in, alone or in a list, tuple or dict."""
    parts = attempt.values() if isinstance(attempt, dict) else attempt
    parts = parts if isinstance(attempt, (list, tuple, dict)) else [attempt]
    return [part for part in parts if isinstance(part, torch.nn.Module)]
