"""Whether a run fits in the memory that is free, and which setting to move where it does not."""

from collections.abc import Callable, Iterator

from course_lib.lab.controls import offered
from course_lib.lab.forecast import in_bytes
from course_lib.recipes import Recipe
from course_lib.widgets.sliders import CHOICES

SMALLER = ("batch_size", "block_size", "n_embd", "n_layer")
"""Settings that take memory; what costs the least in learning comes first."""


def too_large(recipe: Recipe, memory: Callable[[Recipe], float], available: float | None) -> str | None:
    """Why a run cannot be begun, and what to move; None where it fits, or nobody knows what is free.

    Args:
        memory: bytes that a run needs.
        available: bytes that are free.
    """
    if available is None or (needs := memory(recipe)) <= available:
        return None
    moves = list(_moves(recipe, memory, available))
    help = f"Move {' or '.join(moves)}." if moves else "No single slider makes it small enough: move several down."
    return f"This run needs about {in_bytes(needs)} of memory, and {in_bytes(available)} are free. {help}"


def _moves(recipe: Recipe, memory: Callable[[Recipe], float], available: float) -> Iterator[str]:
    """For each setting that helps by itself, the largest value of its slider that does."""
    settings = recipe.all_settings()
    for name in SMALLER:
        smaller = [v for v in offered(recipe, name, CHOICES[name].values) if v < settings[name]]
        for value in reversed(smaller):
            if memory(recipe.replace(**{name: value})) <= available:
                yield f"{CHOICES[name].label} to {value:g}"
                break
