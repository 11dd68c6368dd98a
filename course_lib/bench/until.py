"""Training until a validation loss is reached, in a process of its own: what the card's list times.

``python -m course_lib.bench.until RECIPE --loss 1.47 --out-dir RUN`` goes the way of ``course train``, evaluations
and saves included, and ends at the first evaluation of at most that loss. It prints a line for each.
"""

import argparse
import sys
import time
from collections.abc import Callable

from course_lib.errors import CourseError
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer


def main(argv: list[str]) -> int:
    """Returns the exit status: 0 also where the recipe ended above the loss that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m course_lib.bench.until", description=__doc__)
    parser.add_argument("recipe", help="a recipe by name, or a .toml file")
    parser.add_argument("--loss", type=float, required=True, help="nats per token, on the whole validation split")
    parser.add_argument("--out-dir", required=True, help="the folder for the run")
    given = parser.parse_args(argv)
    try:
        recipe = load_recipe(given.recipe)
        if recipe.train.eval_batches is not None:
            raise CourseError(f"{recipe.name} scores {recipe.train.eval_batches} batches; leave eval_batches out.")
        trainer = build_trainer(recipe, given.out_dir)
    except CourseError as error:
        print(f"course: {error}", file=sys.stderr)
        return 2
    spent = [0.0]
    trainer.evaluate = _counted(trainer.evaluate, spent)  # type: ignore[method-assign]
    for record in trainer:
        if record.val_loss is None:
            continue
        print(f"step {record.step + 1}: val loss {record.val_loss:.4f}, evaluations {spent[0]:.3f} s", flush=True)
        if record.val_loss <= given.loss:
            break
    return 0


def _counted(evaluate: Callable[[], float | None], spent: list[float]) -> Callable[[], float | None]:
    """``evaluate``, and the seconds that it took added to ``spent[0]``. It reads its loss, so it waits for the card."""

    def counted() -> float | None:
        start = time.perf_counter()
        value = evaluate()
        spent[0] += time.perf_counter() - start
        return value

    return counted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
