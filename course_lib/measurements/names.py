"""microGPT on names, at two lengths of training: what chapter 00 shows beside its own short run."""

import time
from typing import Any

from course_lib.data import load_text
from course_lib.models.micro import MicroGPT
from course_lib.progress import progress_bar

Measured = tuple[list[float], dict[str, Any]]
"""The seconds of each run, and the details by name; a list has one entry for each seed."""
LADDERS = {"short": (1, 50, 100, 200, 300, 500), "long": (1, 500, 1000, 2000, 3000, 5000)}
"""Two lengths of microGPT's training, and the steps after which it is scored; the last one is the length."""
INVENTED = 200
"""So many names are written by each model, to see how many of them are new."""


def measure_names(n_seeds: int) -> Measured:
    """microGPT on the bundled names, for each length of `LADDERS`, scored on every fortieth name, which it never sees.

    Details, one entry for each seed: ``ladder`` and ``long_ladder``, the loss on the held-out names after each of
    ``after_steps``; ``val_loss`` and ``long_val_loss``, the last of them; ``new_share`` and
    ``long_new_share``, the share of the different names invented at temperature 0.5 that are not in the whole list.
    """
    names = load_text("names").split()
    held_out = names[::40]
    training = [name for i, name in enumerate(names) if i % 40]
    details: dict[str, Any] = {"held_out": len(held_out), "training": len(training), "seeds": []}
    details["after_steps"] = {"ladder": LADDERS["short"], "long_ladder": LADDERS["long"]}
    seconds = []
    with progress_bar(total=n_seeds * sum(steps[-1] for steps in LADDERS.values()), unit="step") as bar:
        for seed in range(1, n_seeds + 1):
            start = time.perf_counter()
            details["seeds"].append(seed)
            for prefix, steps in (("", LADDERS["short"]), ("long_", LADDERS["long"])):
                model = MicroGPT(training, seed=seed, engine="vector")
                ladder = []
                for step in steps:
                    bar.update(len(model.train(steps[-1], stop_after=step)))
                    ladder.append(round(model.score(held_out), 4))
                invented = set(model.generate(INVENTED))
                share = len(invented - set(names)) / len(invented)
                found = {"ladder": ladder, "val_loss": ladder[-1], "new_share": round(share, 4)}
                for what, value in found.items():
                    details.setdefault(prefix + what, []).append(value)
            seconds.append(time.perf_counter() - start)
    return seconds, details
