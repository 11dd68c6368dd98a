"""The lab's sweep, recorded: what stands there before a learner runs it, and from more seeds than one."""

import math
from typing import Any

from course_lib.measurements.names import Measured
from course_lib.measurements.runs import rows_of
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.recipes.sweeping import FACTORS, Point, shortened, values_of, with_value


def measure_sweep(recipe: Recipe, n_seeds: int) -> Measured:
    """Each setting of `FACTORS` at each of its values, from the seeds 1 on, at a tenth of the recipe's length.

    Details: ``max_steps``, how long a run is; ``knowing_nothing``, ln V; ``sweeps``, for each setting a list of points
    as `Point.to_dict` has them. A loss that ceases to be finite ends a run; it stands as None.
    """
    short, seeds = shortened(recipe), list(range(1, n_seeds + 1))
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings, "seeds": seeds}
    details |= {"max_steps": short.train.max_steps, "sweeps": {}}
    tried = {setting: values_of(recipe, setting) for setting in FACTORS}
    seconds = []
    with progress_bar(total=n_seeds * sum(map(len, tried.values())), unit="run") as bar:
        for setting, values in tried.items():
            details["sweeps"][setting] = []
            for value in values:
                bar.set_description(f"{setting} {value:g}")
                chosen, runs = with_value(short, setting, value), []
                for seed in seeds:
                    trainer = build_trainer(chosen.replace(seed=seed))
                    rows = rows_of(trainer)
                    runs.append((rows[-1]["val_loss"] if len(rows) == trainer.config.max_steps else None, len(rows)))
                    seconds.append(trainer.seconds)
                    bar.update()
                details["sweeps"][setting].append(Point.of(setting, value, chosen, runs).to_dict())
    details["knowing_nothing"] = round(math.log(trainer.tokenizer.vocab_size), 4)
    return seconds, details
