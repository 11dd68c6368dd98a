"""The lab's own benchmark, `course bench lab`: training driven by it against a plain loop over the trainer."""

import json
import statistics
import subprocess
import time
from typing import Any

from course_lib.errors import CourseError
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer

RECIPE = "tinytales_cpu"
STEPS = 100
PATIENCE = 3600.0
"""Seconds that a benchmark may take in all."""

Measured = tuple[str, dict[str, list[float]], dict[str, Any]]
"""(unit, row to values, further details)"""


def measure_lab(runs: int, recipe: str | None = None, steps: int = STEPS) -> Measured:
    """Tokens per second of both, measured in a Jupyter kernel, which really sends the lab's messages.

    Raises:
        CourseError: where there is no kernel to start, or the measurement fails in it.
    """
    from jupyter_client.kernelspec import NoSuchKernel
    from jupyter_client.manager import start_new_kernel

    code = (
        "from course_lib.notebook import setup\nsetup()\nimport json\nfrom course_lib.lab.cost import take_turns\n"
        f"print(json.dumps(take_turns({runs!r}, {recipe or RECIPE!r}, {steps!r})))"
    )
    try:
        manager, client = start_new_kernel(kernel_name="python3", stderr=subprocess.DEVNULL)
    except NoSuchKernel as error:
        raise CourseError("The lab is measured in a Jupyter kernel; there is none: pip install ipykernel") from error
    printed: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])

    try:
        reply = client.execute_interactive(code, output_hook=hear, timeout=PATIENCE)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    if reply["content"]["status"] != "ok":
        raise CourseError(f"Measuring the lab failed: {reply['content'].get('evalue')}")
    rows = json.loads("".join(printed).splitlines()[-1])
    turns = [round(lab / plain, 3) for lab, plain in zip(rows["course"], rows["plain loop"], strict=True)]
    details = {
        "recipe": recipe or RECIPE,
        "steps": steps,
        "where": "a Jupyter kernel without a browser",
        # On a machine whose speed changes from turn to turn, this says more than the ratio of the medians.
        "course vs plain loop, turn by turn": turns,
        "median of the turns": statistics.median(turns),
    }
    return "tokens per second", rows, details


def take_turns(runs: int, recipe: str, steps: int) -> dict[str, list[float]]:
    """Tokens per second of the lab and of a plain loop, in turn, after one turn that does not count.

    Both train the same model for as many steps; starting up, all but a moment of evaluation, and the sample
    after the end are left out. Who comes first in a turn changes from turn to turn.
    """
    from course_lib.lab.lab import Lab

    chosen = load_recipe(recipe).replace(max_steps=steps, eval_batches=1)
    lab = Lab(chosen)
    rows: dict[str, list[float]] = {"course": [], "plain loop": []}
    for turn in range(runs + 1):
        measures = {"plain loop": lambda: plain_speed(chosen), "course": lambda: lab_speed(lab)}
        for row in sorted(measures, reverse=turn % 2 == 0):
            speed = measures[row]()
            if turn:
                rows[row].append(speed)
    return rows


def plain_speed(recipe: Any) -> float:
    """Tokens per second of ``for record in trainer``."""
    trainer = build_trainer(recipe)
    start = time.perf_counter()
    for _ in trainer:
        pass
    return trainer.tokens / (time.perf_counter() - start)


def lab_speed(lab: Any) -> float:
    """Tokens per second of a run begun by Start, with all that the lab does beside it."""
    lab.start()
    lab.wait()
    run = lab.runs[-1]
    if run.error is not None:
        raise run.error
    speed = run.trainer.tokens / run.seconds
    lab.remove(run.number)
    return speed
