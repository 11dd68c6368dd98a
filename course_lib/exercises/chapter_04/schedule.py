"""Up in a line, along, and down in a line (04-4), held against a formula of its own."""

from typing import Any

from course_lib.exercises.judge.calling import call, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import near, need_number

CASES: tuple[dict[str, Any], ...] = (
    {"max_lr": 0.6, "warmup_steps": 5, "cooldown_steps": 4, "max_steps": 20},
    {"max_lr": 0.02, "warmup_steps": 0, "cooldown_steps": 10, "max_steps": 30},
    {"max_lr": 1.0, "warmup_steps": 3, "cooldown_steps": 7, "max_steps": 10},
)


def expected_lr(step: int, max_lr: float, warmup_steps: int, cooldown_steps: int, max_steps: int) -> float:
    """The lower of two lines, and of 1: up from 1 / (warmup_steps + 1), and down to 0 at max_steps."""
    up, down = (step + 1) / (warmup_steps + 1), (max_steps - step) / cooldown_steps
    return max_lr * max(0.0, min(1.0, up, down))


def _judge_trapezoid(attempt: Any) -> str:
    trapezoid = need_function(attempt, "trapezoid(step, max_lr, warmup_steps, cooldown_steps, max_steps)")
    for case in CASES:
        for step in (*range(case["max_steps"]), case["max_steps"], case["max_steps"] + 3):
            shown = f"trapezoid({step}, {', '.join(f'{name}={value}' for name, value in case.items())})"
            got = need_number(call(trapezoid, step, *case.values(), shown=shown), f"What {shown} returned")
            expected = expected_lr(step, **case)
            if not near(got, expected, abs_=1e-9):
                came = f"{shown} should return {number(expected)}; it returned {number(got)}."
                raise Wrong(f"{came} {_why(step, got, case)}")
    return (
        "Step 0 moves already, the top is reached right after the warm-up, and the way down ends above zero. Unlike "
        "the cosine, the plateau can be prolonged later: only the way down has to be repeated."
    )


def _why(step: int, got: float, case: dict[str, Any]) -> str:
    """What probably went wrong at this step."""
    top, warmup, cooldown, end = case.values()
    share = got / top
    if step < warmup:
        known = {
            0.0: "Then step 0 moves nothing: count one further, (step + 1).",
            (step + 1) / warmup: "Then the top comes one step too soon: there are warmup_steps + 1 stairs.",
            1.0: "The warm-up is missing.",
        }
        return next((words for value, words in known.items() if near(share, value)), "Look at the warm-up.")
    if step >= end:
        return "Beyond the end the rate is 0, never below." if got < 0 else "At max_steps the way down has ended, at 0."
    if step < end - cooldown:
        return "Between the warm-up and the last cooldown_steps steps the rate stays at max_lr."
    known = {
        1.0: "The last cooldown_steps steps go down in a line.",
        (end - 1 - step) / cooldown: "The zero comes one step too soon: then the last step would move nothing.",
        (end - step) / (cooldown + 1): "The way down is cut into cooldown_steps stairs, not one more.",
        (end - step) / end: "The way down is cooldown_steps long, not max_steps.",
        (end - step) / (end - warmup): "The way down is cooldown_steps long: it does not begin after the warm-up.",
    }
    return next((words for value, words in known.items() if near(share, value)), "Look at the way down.")


TRAPEZOID = Exercise(
    id="04-4",
    title="Up, along, down",
    difficulty="medium",
    minutes=10,
    attempt="trapezoid",
    expects="your function trapezoid(step, max_lr, warmup_steps, cooldown_steps, max_steps) itself, without calling it",
    hints=(
        "Draw it: three parts, and two corners. At which step does each part begin?",
        "Up is that of the chapter: `max_lr * (step + 1) / (warmup_steps + 1)`. Down begins at "
        "`max_steps - cooldown_steps`.",
        "On the way down `(max_steps - step) / cooldown_steps` goes from 1 to 0. `min` of both lines and 1 joins the "
        "parts; `max` with 0 holds it at zero beyond the end.",
    ),
    judge=_judge_trapezoid,
)
