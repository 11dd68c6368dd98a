"""Two predictions with paper and pencil: where a learning rate explodes (04-1), and two steps of Adam (04-2)."""

from collections.abc import Callable
from typing import Any

from course_lib.exercises.judge.calling import described, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import first_match, need_number

CLOSE = 0.01
"""How far off, as a share, an answer may be that was rounded."""
NEARLY = 0.06
"""So far off it was rounded to fewer digits than three."""
FEW_DIGITS = "Close, but give three digits."
STEPS_SEEN = {"A": (0.1, 1.0, 0.7), "B": (0.02, 5.0, -2.5), "C": (0.5, -4.0, -3.9)}
"""A weight's name: its learning rate, and where it stood before and after one step."""


def _named_numbers(attempt: Any, names: tuple[str, ...], expects: str) -> dict[str, float]:
    """The numbers of a dict with these names; `Wrong` says what is missing or no number."""
    if not isinstance(attempt, dict):
        raise Wrong(f"Expected is {expects}. It got {described(attempt)}.")
    for name in names:
        if name not in attempt:
            raise Wrong(f"Expected is {expects}; there is no entry {name!r}.")
        if attempt[name] is None or attempt[name] is ...:
            raise Wrong(f"The entry {name!r} is still missing.")
    return {name: need_number(attempt[name], f"The entry {name!r}") for name in names}


def _close(a: float, b: float, share: float = CLOSE) -> bool:
    return abs(a - b) <= share * abs(b)


def _judge_edges(attempt: Any) -> str:
    for name, got in _named_numbers(attempt, tuple(STEPS_SEEN), EDGES.expects).items():
        lr, before, after = STEPS_SEEN[name]
        factor = after / before
        curvature = (1 - factor) / lr
        expected = 2 / curvature
        if _close(got, expected):
            continue
        known = [
            (curvature, "That is the curvature a. The edge is the rate at which 1 - lr * a becomes -1."),
            (1 / curvature, "That is 1/a: there one step lands exactly at the bottom. The edge is further out."),
            (2 * lr / abs(before - after), "The step is lr times the slope, and the slope is a * w: divide by w too."),
            (lr / factor, "The factor does not grow with lr: 1 - factor does."),
            (2 * lr, "Twice the rate is the edge only where one step already lands at the bottom."),
            (curvature / 2, "That is a/2: the fraction stands on its head."),
        ]
        words = first_match(got, known, rel=CLOSE)
        if words is None and _close(got, expected, NEARLY):
            words = FEW_DIGITS
        words = words or (
            f"One step multiplied {name} by {number(factor)}, and that is 1 - lr * a. What is a, and when is it -1?"
        )
        raise Wrong(f"For weight {name} you say {number(got)}. {words}")
    return (
        "The factor of one step gives the curvature, and the edge is 2/a. C seems to stand still, yet its edge is only "
        "80 times away; B swings already, and a third more makes it explode."
    )


EDGES = Exercise(
    id="04-1",
    title="Where is the edge?",
    difficulty="easy",
    minutes=5,
    attempt="edges",
    expects='a dict with three numbers, {"A": ..., "B": ..., "C": ...}',
    hints=(
        "By what did the step multiply the weight? A goes from 1 to 0.7.",
        "That factor is 1 − lr·a. For A it is 0.7 with lr = 0.1, so lr·a is 0.3.",
        "At the edge the factor is −1: lr·a = 2. If lr·a is 0.3 at lr = 0.1, at which lr is it 2?",
    ),
    judge=_judge_edges,
)

LR, BETA1, BETA2 = 0.1, 0.8, 0.99
GRADIENTS = (4.0, 0.0)


def _moves(correct: Callable[[int], int] = lambda t: t, root: bool = True, fresh: bool = False) -> list[float]:
    """Adam's moves for `GRADIENTS`; ``correct`` says which t the bias correction takes, 0 for none."""
    m = v = 0.0
    found = []
    for t, g in enumerate(GRADIENTS, 1):
        if fresh:
            m = v = 0.0
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
        at = correct(t)
        m_hat, v_hat = (m / (1 - BETA1**at), v / (1 - BETA2**at)) if at else (m, v)
        found.append(-LR * m_hat / (v_hat**0.5 if root else v_hat) if v else 0.0)
    return found


def _judge_moves(attempt: Any) -> str:
    got = _named_numbers(attempt, ("first", "second"), MOVES.expects)
    right, bare, flat = _moves(), _moves(correct=lambda t: 0), _moves(root=False)
    for i, (name, value) in enumerate(got.items()):
        if _close(value, right[i]):
            continue
        known = [
            (-right[i], "The length is right. A positive gradient moves the weight down: the sign is wrong."),
            (bare[i], "That is without the bias correction: divide m by 1 - beta1**t, and v by 1 - beta2**t."),
            (flat[i], "v averages squares: its root is missing."),
            (right[i] / LR, "lr is left out."),
            (_moves(correct=lambda t: 1)[i], "In step 2 the correction takes t = 2."),
            (sum(right), "That is where the weight has come to in both steps. Asked for is the move of each."),
            (-LR * GRADIENTS[0], "That is SGD's step, lr times the gradient. Adam divides by the root of v."),
        ]
        words = first_match(value, known, rel=CLOSE)
        if words is None and _close(value, right[i], NEARLY):
            words = FEW_DIGITS
        if words is None and i == 1 and value == 0:
            words = "The gradient is 0, but m still remembers the first one: Adam moves on."
        words = words or "Write down m, v, and both after the correction; then lr times one over the root of the other."
        raise Wrong(f"The {name} move should be another one than {number(value)}. {words}")
    return (
        "The first move is lr, whatever the gradient. In the second the gradient is zero, and the weight still goes "
        "more than half as far: Adam's memory is what moves it."
    )


MOVES = Exercise(
    id="04-2",
    title="Two steps of Adam on paper",
    difficulty="easy",
    minutes=8,
    attempt="moves",
    expects='a dict with two numbers, {"first": ..., "second": ...}',
    hints=(
        "Step 1: m = 0.2 · 4 and v = 0.01 · 16. The corrections divide by 1 − 0.8 and by 1 − 0.99.",
        "Step 2: the new gradient is 0, so m = 0.8 · 0.8 and v = 0.99 · 0.16. Now t is 2.",
        "The second correction divides m by 1 − 0.8² = 0.36 and v by 1 − 0.99² = 0.0199. The move is −lr · m / √v.",
    ),
    judge=_judge_moves,
)
