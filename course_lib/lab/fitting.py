"""Whether a run can be begun: enough text, and enough memory; and which setting to move where there is too little."""

from collections.abc import Callable, Iterator, Mapping

from course_lib.device import find
from course_lib.lab.controls import offered
from course_lib.lab.forecast import about_bytes, in_bytes
from course_lib.lab.memory import available
from course_lib.lab.telling import in_one_line
from course_lib.recipes import Recipe
from course_lib.recipes.build import too_short
from course_lib.widgets.sliders import CHOICES

SMALLER = ("batch_size", "block_size", "n_embd", "n_layer")
"""Settings that take memory; what costs the least in learning comes first."""


def need_text(recipe: Recipe, counts: Mapping[str, int]) -> None:
    """Refuse a text that is too short for the recipe.

    Args:
        counts: split to its number of tokens.

    Raises:
        CourseError: where a split holds no window.
    """
    block_size = recipe.all_settings()["block_size"]
    shortest = min(counts, key=lambda split: counts[split])
    if counts[shortest] <= block_size:
        raise in_one_line(too_short(shortest, recipe.data.dataset, dict(counts), block_size))


def too_large(recipe: Recipe, memory: Callable[[Recipe], float]) -> str | None:
    """Why a run cannot be begun, and what to move; None where it fits, or nobody knows what is free.

    Args:
        memory: bytes that a run needs.
    """
    free = available(find(recipe.train.device).device)
    if free is None or (needs := memory(recipe)) <= free:
        return None
    moves = list(_moves(recipe, memory, free))
    help = f"Move {' or '.join(moves)}." if moves else "No single slider makes it small enough: move several down."
    return f"This run needs {about_bytes(needs)} of memory, and {in_bytes(free)} are free. {help}"


def _moves(recipe: Recipe, memory: Callable[[Recipe], float], available: float) -> Iterator[str]:
    """For each setting that helps by itself, the largest value of its slider that does."""
    settings = recipe.all_settings()
    for name in SMALLER:
        smaller = [v for v in offered(recipe, name, CHOICES[name].values) if v < settings[name]]
        for value in reversed(smaller):
            if memory(recipe.replace(**{name: value})) <= available:
                yield f"{CHOICES[name].label} to {value:g}"
                break
