"""A writer with three faults (07-6): which are left is read off what it reads and writes, not off its text."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.exercises.judge.calling import call, need_function
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.judge.tensors import need_tensor

V, BLOCK, LENGTH = 7, 4, 6

CROP = (
    "When the text is longer than block_size, the model is shown its first tokens, and never sees what it has just "
    "written. It should see the last block_size ones."
)
PLACE = (
    "The logits are taken from place 0, which says what follows the first token that the model sees. What follows the "
    "last one?"
)
HEAT = (
    "The temperature works the wrong way round: at 0.5 the draws are more even than at 1, at 2 less. It should divide "
    "the logits."
)


class Counting(nn.Module):
    """After token i comes i + 1, almost surely; at place 0 it says token 0 instead. It notes what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, idx: Tensor) -> Tensor:
        self.seen.append(idx.clone())
        logits = torch.zeros(*idx.shape, V)
        logits.scatter_(-1, ((idx + 1) % V)[..., None], 60.0)
        if idx.shape[1] > 1:
            logits[:, 0] = torch.tensor([60.0] + [0.0] * (V - 1))
        return logits


class Coin(nn.Module):
    """Token 1 has 0.9, token 0 has 0.1, whatever comes before, at every place."""

    def forward(self, idx: Tensor) -> Tensor:
        return torch.tensor([0.0, math.log(9.0)]).expand(*idx.shape, 2).clone()


def _judge_repair(attempt: Any) -> str:
    write_on = need_function(attempt, "write_on(model, idx, length, temperature, block_size, generator)")
    model, prompt = Counting(), torch.tensor([[2, 3, 4], [5, 6, 0]])
    shown = f"write_on(model, idx of shape (2, 3), length={LENGTH}, temperature=1.0, block_size={BLOCK}, generator)"
    text = _written(write_on, model, prompt, LENGTH, 1.0, BLOCK, shown)
    if len(model.seen) != LENGTH:
        raise Wrong(f"In {shown} the model was called {len(model.seen)} times; it should be once for each new token.")
    left = _faults(write_on, text, model.seen)
    if len(left) == 3:
        raise Unattempted("All three faults are still in the writer.")
    if left:
        mended = 3 - len(left)
        raise Wrong(f"{mended} of 3 faults {'is' if mended == 1 else 'are'} mended. The next one: {left[0]}")
    _is_sound(write_on, text, model.seen)
    return (
        "None of the three raised an error. Place 0: text that has lost its thread. The wrong end cropped: right up to "
        "block_size, and lost behind it. Temperature upside down: cold looks like hot, and one blames the model."
    )


def _written(
    write_on: Callable[..., Any], model: nn.Module, idx: Tensor, length: int, temperature: float, block: int,
    shown: str, seed: int = 0,
) -> Tensor:  # fmt: skip
    given, generator = idx.clone(), torch.Generator().manual_seed(seed)
    returned = call(write_on, model, given, length, temperature, block, generator, shown=shown)
    shape = (len(idx), idx.shape[1] + length)
    text = need_tensor(returned, f"What {shown} returned", shape, "(B, T + length): the prompt and the new tokens")
    if text.is_floating_point() or not text[:, : idx.shape[1]].equal(idx):
        raise Wrong(f"What {shown} returned should begin with the ids of the prompt; it does not.")
    return text


def _faults(write_on: Callable[..., Any], text: Tensor, seen: list[Tensor]) -> list[str]:
    first = text[:, :3].shape[1]
    cropped = any(not shown.equal(text[:, : first + i][:, -BLOCK:]) for i, shown in enumerate(seen))
    at_front = any(shown.equal(text[:, : first + i][:, :BLOCK]) for i, shown in enumerate(seen) if first + i > BLOCK)
    found = {
        PLACE: bool((text[:, first] == 0).all()),
        CROP: cropped and at_front,
        HEAT: _share(write_on, 0.5) < 0.9 < _share(write_on, 2.0),
    }
    return [words for words, is_there in found.items() if is_there]


def _share(write_on: Callable[..., Any], temperature: float, seed: int = 0) -> float:
    """How often the coin's likelier side comes in 2,000 texts of one token."""
    settings = f"length=1, temperature={temperature}, block_size={BLOCK}, generator"
    shown = f"write_on(model, idx of shape (2000, 1), {settings})"
    text = _written(write_on, Coin(), torch.zeros(2000, 1, dtype=torch.long), 1, temperature, BLOCK, shown, seed)
    return (text[:, 1] == 1).float().mean().item()


def _is_sound(write_on: Callable[..., Any], text: Tensor, seen: list[Tensor]) -> None:
    """The three faults are gone; no new one should have come."""
    for i, shown in enumerate(seen):
        expected = text[:, : 3 + i][:, -BLOCK:]
        if not shown.equal(expected):
            raise Wrong(
                f"The three faults are gone, but for new token {i} (counted from 0) the model should see "
                f"{expected[0].tolist()} in the first text; it saw {shown[0].tolist()}. A short text goes in whole, "
                "a long one with its last block_size tokens."
            )
    if not ((text[:, 2:-1] + 1) % V).equal(text[:, 3:]):
        raise Wrong("The three faults are gone, but the new tokens are not those that the last place's logits ask for.")
    shares = {T: _share(write_on, T) for T in (0.5, 1.0, 2.0)}
    for T, share in shares.items():
        p = 9 ** (1 / T) / (9 ** (1 / T) + 1)
        if abs(share - p) > 0.04:
            raise Wrong(
                f"The three faults are gone, but at temperature {T} a token that should come in {p:.0%} of the draws "
                f"comes in {share:.0%}. Divide the logits by the temperature, then softmax, then draw."
            )
    if _share(write_on, 1.0) != shares[1.0] or _share(write_on, 1.0, seed=1) == shares[1.0]:
        raise Wrong("The three faults are gone, but the draws should follow from the generator that is handed over.")


REPAIR = Exercise(
    id="07-6",
    title="A writer with three faults",
    difficulty="medium",
    minutes=10,
    attempt="write_on",
    expects="your function write_on(model, idx, length, temperature, block_size, generator) itself, without calling it",
    hints=(
        "`model(idx)` is (B, T, V): at each place the logits of what follows it. After which place does the new token "
        "come?",
        "A text of ten tokens and a block_size of four: which four should the model see? Try the slice on a list.",
        "What should happen to a ratio at T = 0.5? Compare with the chapter's formula. And `[:, -1]` is the last "
        "place, `[:, -block_size:]` the last tokens.",
    ),
    judge=_judge_repair,
)
