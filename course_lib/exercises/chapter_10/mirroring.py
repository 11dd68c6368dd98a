"""A sprite that is mirrored at random, and yet the same at every call (10-5)."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.exercises.judge.asking import ask
from course_lib.exercises.judge.calling import need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.tensors import need_tensor

N, EPOCHS, SEEDS = 40, 6, (0, 1, 2)
SHARE = (0.4, 0.6)
"""Of 720 fair coins, the share that is heads lies in it but for one time in ten million."""
ALIKE = (0.2, 0.8)
"""The share of 240 independent fair coins that agree with 240 others: far beyond what chance does."""


def _judge_mirror(attempt: Any) -> str:
    mine = need_function(attempt, "maybe_mirrored(image, index, epoch, seed)")
    image = torch.arange(3.0 * 4 * 4).view(3, 4, 4) / 48
    _one(mine, image, 0, 0, 0)
    _draws_from_its_own(mine, image)
    coins = np.array([[[_one(mine, image, i, e, s) for i in range(N)] for e in range(EPOCHS)] for s in SEEDS])
    _is_the_same_again(mine, image, coins)
    _is_fair(coins)
    _depends_on_all(coins)
    return (
        "Random, and yet a function of (seed, epoch, index): whoever asks again gets the same picture, in whatever "
        "order, in whichever worker. So a run can go on in the middle of an epoch as if it had never stopped, and a "
        "sprite is still seen from both sides over the epochs. The label stays: a mirrored sword is a sword. A "
        "mirrored letter b would be no b."
    )


def _one(mine: Callable[..., Any], image: Tensor, index: int, epoch: int, seed: int) -> bool:
    """Whether the picture came mirrored."""
    shown = f"maybe_mirrored(image, index={index}, epoch={epoch}, seed={seed})"
    got = need_tensor(ask(mine, image, index, epoch, seed, shown=shown), f"What {shown} returned", tuple(image.shape))
    if got.equal(image) or got.equal(image.flip(2)):
        return not got.equal(image)
    words = "It is another picture."
    if got.equal(image.flip(1)):
        words = "It stands on its head: the last dimension is the one from left to right."
    if got.equal(image.flip(0)):
        words = "Red and blue are exchanged: the first dimension is the colors."
    if got.equal(image.flip(1, 2)) or got.equal(image.flip(0, 1, 2)):
        words = "It is turned by more than a mirror does: only the last dimension, from left to right, is reversed."
    raise Wrong(f"{shown} should return the picture, or the picture mirrored from left to right. {words}")


def _state() -> tuple[Any, ...]:
    numpy = np.random.get_state()
    return random.getstate(), (numpy[1].tolist(), *numpy[2:]), torch.get_rng_state().tolist()


def _draws_from_its_own(mine: Callable[..., Any], image: Tensor) -> None:
    """Nothing, if the numbers that others draw are what they were."""
    before = _state()
    for index in range(3):
        _one(mine, image, index, 1, 2)
    moved = [name for name, a, b in zip(("random", "np.random", "torch"), before, _state()) if a != b]
    if moved:
        raise Wrong(
            f"A call moved or set the random numbers of {moved[0]} that all share: dropout and shuffling draw from "
            "them too. Make a generator of its own, such as random.Random(...) or torch.Generator()."
        )


def _is_the_same_again(mine: Callable[..., Any], image: Tensor, coins: np.ndarray) -> None:
    places = [(s, e, i) for s in range(len(SEEDS)) for e in range(EPOCHS) for i in range(N)]
    for s, e, i in random.Random(1).sample(places, 120):  # in another order
        if _one(mine, image, i, e, SEEDS[s]) != coins[s, e, i]:
            raise Wrong(
                f"For index={i}, epoch={e}, seed={SEEDS[s]} it mirrored once and once not. The three numbers alone "
                "should decide, whatever was asked for before."
            )


def _is_fair(coins: np.ndarray) -> None:
    share = coins.mean()
    if not SHARE[0] <= share <= SHARE[1]:
        never = {0.0: "It never mirrors. ", 1.0: "It always mirrors. "}.get(share, "")
        raise Wrong(f"{never}{coins.sum()} of {coins.size} pictures came mirrored; about half of them should.")


def _depends_on_all(coins: np.ndarray) -> None:
    """Nothing, if coins of other pictures, epochs and seeds are other coins."""
    pairs = {
        "In each epoch the same sprites come mirrored. The epoch should decide too, so that a sprite is seen from both "
        "sides.": (coins[:, :-1], coins[:, 1:]),
        "Within an epoch all sprites are mirrored, or none. The index should decide too.":
            (coins[:, :, :-1], coins[:, :, 1:]),
        "Each seed mirrors the same sprites. The seed should decide too.": (coins[:-1], coins[1:]),
        "What sprite i has in an epoch, sprite i + 1 had in the epoch before: the sum of index and epoch is no seed, "
        "as 3 + 1 is 2 + 2. Join them so that each triple is another one.": (coins[:, 1:, :-1], coins[:, :-1, 1:]),
        "What sprite i has with one seed, sprite i + 1 had with the seed before: a sum of the numbers is no seed, as "
        "3 + 1 is 2 + 2. Join them so that each triple is another one.": (coins[1:, :, :-1], coins[:-1, :, 1:]),
        "What one seed has in an epoch, the seed before had in the next: a sum of the numbers is no seed, as 3 + 1 is "
        "2 + 2. Join them so that each triple is another one.": (coins[1:, :-1], coins[:-1, 1:]),
        "Every other sprite is treated the same way: that is a pattern, and no chance.":
            (coins[:, :, :-2], coins[:, :, 2:]),
    }  # fmt: skip
    for words, (a, b) in pairs.items():
        if not ALIKE[0] <= (a == b).mean() <= ALIKE[1]:
            raise Wrong(words)


MIRROR = Exercise(
    id="10-5",
    title="Mirrored at random, and the same again",
    difficulty="medium",
    minutes=12,
    attempt="maybe_mirrored",
    expects="your function maybe_mirrored(image, index, epoch, seed) itself, without calling it",
    hints=(
        "`image.flip(2)` mirrors a picture (3, H, W) from left to right. What is left is a coin.",
        "The coin needs a generator of its own, seeded by all three numbers. `random.Random(...)` takes a text as its "
        "seed.",
        '`random.Random(f"{seed}, {epoch}, {index}").random() < 0.5` is that coin.',
    ),
    judge=_judge_mirror,
)
