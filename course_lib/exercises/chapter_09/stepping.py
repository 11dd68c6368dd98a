"""One patch more, from a state of fixed size (09-6): linear attention in sums, window attention over the last W."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.chapter_09.stepping_slips import known_slips, together
from course_lib.exercises.judge.calling import call, described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.measuring import held
from course_lib.exercises.judge.patience import patience
from course_lib.exercises.judge.tensors import alike, need_tensor, same_tensor

CASES = ((6, 4, 3), (9, 9, 2), (5, 4, 1), (7, 4, 16))
"""Patches, numbers of each, window."""
EPS = 0.3
"""Large, so that its place matters."""
GROWTH = 24
"""Patches after which a state of fixed size has its size."""
Step = Callable[..., Any]
Text = tuple[Tensor, Tensor, Tensor]


def _judge_step(attempt: Any) -> str:
    step = need_function(attempt, "step(state, q, k, v, W, eps)")
    for N, E, W in CASES:
        text = _text(N, E)
        got = torch.stack([out for out, _ in _continued(step, text, W)])
        expected = together(*text, W, EPS)
        what = f"After one call for each of {N} patches (E = {E}, W = {W}), the outputs"
        if not got.isfinite().all():
            place = int((~got.isfinite().all(dim=1)).nonzero()[0])
            raise Wrong(
                f"{what}: that of patch {place} is not finite. Is there a 0 / 0, or a softmax over no keys? A patch "
                "sees itself: its key and its value come into the state first."
            )
        same_tensor(got, expected, what, [slip for slip in known_slips(*text, W, EPS) if not alike(slip[0], expected)])
    _does_not_grow(step)
    _goes_two_ways(step)
    _two_at_once(step)
    return (
        "The same outputs as all at once, from a state that is as large after a million patches as after W. That is "
        "how the model writes: a GPT's cache grows with the text, this one does not. Two sums remember everything a "
        "little, and W keys remember the last of it exactly."
    )


def _text(N: int, E: int) -> Text:
    return tuple(torch.randn(N, E) for _ in range(3))  # type: ignore[return-value]


def _next(step: Step, state: Any, text: Text, i: int, W: int) -> tuple[Tensor, Any]:
    """The output and the state that one call returned; `Wrong` where it raises, or gives something else."""
    E = text[0].shape[1]
    given = [part[i].clone() for part in text]
    shown = f"step(state, q, k, v, W={W}, eps={EPS}) for patch {i}"
    try:
        returned = call(step, state, *given, W, EPS, shown=shown)
    except Wrong as told:
        if i == 0 and isinstance(told.__cause__, (TypeError, AttributeError)):
            raise Wrong(f"Before the first patch state is None: begin with zeros and no keys.\n{told}") from told
        raise
    if any(not mine.equal(part[i]) for mine, part in zip(given, text)):
        raise Wrong(f"{shown} changed q, k or v. Leave them as they are.")
    what = f"What {shown} returned"
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        hint = " Does the function end with return?" if returned is None else ""
        raise Wrong(f"{what} should be a pair, (output, new state); it is {described(returned)}.{hint}")
    out, state = returned
    if isinstance(state, Tensor) and state.shape == (E,) and not (isinstance(out, Tensor) and out.shape == (E,)):
        raise Wrong(f"{what} should be the output first and then the new state; it is the other way round.")
    need_tensor(out, f"The output that {shown} returned", (E,), "(E,)")
    if not out.is_floating_point():
        raise Wrong(f"The output that {shown} returned should hold floating-point numbers.")
    return out.detach().clone(), state


def _continued(step: Step, text: Text, W: int) -> Iterator[tuple[Tensor, Any]]:
    """Output and state after each patch of a text."""
    state = None
    for i in range(len(text[0])):
        with patience(step, f"step(state, q, k, v, W={W}, eps={EPS}) for patch {i}"):
            out, state = _next(step, state, text, i, W)
        yield out, state


def _does_not_grow(step: Step) -> None:
    W, E = 3, 4
    sizes = [held(state) for _, state in _continued(step, _text(2 * GROWTH, E), W)]
    early, late = max(sizes[:GROWTH]), max(sizes[GROWTH:])
    if late > early:
        fewest = E * E + E + 2 * W * E
        raise Wrong(
            f"The outputs are right. But with E = {E} and W = {W} the state holds {number(early)} numbers after "
            f"{GROWTH} patches and {number(late)} after {2 * GROWTH}: it grows. {number(fewest)} are enough. Keep the "
            "two sums for linear attention, and of keys and values only the last W, [-W:]."
        )


def _goes_two_ways(step: Step) -> None:
    """Nothing, if one state can be continued with one patch, with another, and again with the first."""
    W, E, n = 3, 4, 6
    text = _text(n + 2, E)
    *_, (_, state) = _continued(step, tuple(part[:n] for part in text), W)  # type: ignore[arg-type]
    first, other, again = (_next(step, state, text, i, W)[0] for i in (n, n + 1, n))
    wanted = [together(*(part[[*range(n), i]] for part in text), W, EPS)[-1] for i in (n, n + 1)]
    if alike(first, wanted[0]) and alike(other, wanted[1]) and alike(again, wanted[0]):
        return
    raise Wrong(
        f"One state after {n} patches was continued with one patch, then with another, and the second output is not "
        "that of a text which goes on so: the first call changed the state that it was given. += on a tensor, append "
        "and keys[i] = k all change the old one: make new tensors, total + ..., torch.cat(...). So does what is kept "
        "outside the state."
    )


def _two_at_once(step: Step) -> None:
    """Nothing, if two texts can be read in turns."""
    W, E, n = 3, 4, 7
    texts = (_text(n, E), _text(n, E))
    reading = zip(*(_continued(step, text, W) for text in texts))
    for i, outs in enumerate(reading):
        for (out, _), text in zip(outs, texts):
            if not alike(out, together(*text, W, EPS)[i]):
                raise Wrong(
                    f"Two texts were read in turns, a patch of the one and a patch of the other, and from patch {i} on "
                    "they are mixed up. All that is remembered should be in the state, and nothing outside it: no "
                    "global name, no attribute of the function, no default value that changes."
                )


STEP = Exercise(
    id="09-6",
    title="Continue a state",
    difficulty="hard",
    minutes=20,
    attempt="step",
    expects="your function step(state, q, k, v, W, eps) itself, without calling it",
    hints=(
        "The state can be a tuple of four: the two sums of 09-3, and the last keys and values, each (up to W, E). "
        "Before the first patch they are `torch.zeros(E, E)`, `torch.zeros(E)` and twice `torch.zeros(0, E)`.",
        "First bring this patch in, then read off. `torch.cat((keys, k[None]))[-W:]` puts a key at the end and keeps "
        "the last W. With the features, `F.elu(k) + 1`, only the sums are made: the window takes k as it is.",
        "The window's part: `(keys @ q / math.sqrt(E)).softmax(dim=0) @ values`. No mask is needed: what is kept is "
        "what may be seen. Write `total = total + ...`: with `total += ...` the old state changes too.",
    ),
    judge=_judge_step,
)
