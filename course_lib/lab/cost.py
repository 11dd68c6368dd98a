"""The lab's own benchmark, `course bench lab`: what it costs, how often its chart moves, how soon it stops."""

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
STOPPED_AT = (64, 256)
"""The block sizes at which it is measured how soon a run stops."""
STOPS = 5
"""How often."""
PATIENCE = 3600.0
"""Seconds that a benchmark may take in all."""

Measured = tuple[str, dict[str, list[float]], dict[str, Any]]
"""(unit, row to values, further details)"""


def measure_lab(runs: int, recipe: str | None = None, steps: int = STEPS) -> Measured:
    """Tokens per second of both, measured in a Jupyter kernel, which really sends the lab's messages.

    Details: ``chart updates per second``, of each run; ``seconds to stop``, by block_size, from `Lab.stop` until the
    buttons are as before Start, see `stops`.

    Raises:
        CourseError: where there is no kernel to start, or the measurement fails in it.
    """
    chosen = recipe or RECIPE
    code = (
        "from course_lib.notebook import setup\nsetup()\nimport json\nfrom course_lib.lab import cost\n"
        f"print(json.dumps([cost.take_turns({runs!r}, {chosen!r}, {steps!r}), cost.stops({chosen!r})]))"
    )
    rows, to_stop = json.loads(_printed_in_a_kernel(code).splitlines()[-1])
    updates = rows.pop("chart updates per second")
    turns = [round(lab / plain, 3) for lab, plain in zip(rows["course"], rows["plain loop"], strict=True)]
    details = {
        "recipe": chosen,
        "steps": steps,
        "where": "a Jupyter kernel without a browser",
        "chart updates per second": updates,
        "seconds to stop": to_stop,
        # On a machine whose speed changes from turn to turn, this says more than the ratio of the medians.
        "course vs plain loop, turn by turn": turns,
        "median of the turns": statistics.median(turns),
    }
    return "tokens per second", rows, details


def _printed_in_a_kernel(code: str) -> str:
    """What ``code`` prints in a Jupyter kernel of its own; CourseError where it fails there, or there is none."""
    from jupyter_client.kernelspec import NoSuchKernel
    from jupyter_client.manager import start_new_kernel

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
    return "".join(printed)


def take_turns(runs: int, recipe: str, steps: int) -> dict[str, list[float]]:
    """Tokens per second of the lab and of a plain loop, in turn, after one turn that does not count.

    Both train the same model for as many steps; starting up, all but a moment of evaluation, and the sample
    after the end are left out. Who comes first in a turn changes from turn to turn. Also how often the lab's chart was
    told of new steps, by the second.
    """
    from course_lib.lab.lab import Lab

    chosen = load_recipe(recipe).replace(max_steps=steps, eval_batches=1)
    lab = Lab(chosen)
    rows: dict[str, list[float]] = {"course": [], "plain loop": [], "chart updates per second": []}
    for turn in range(runs + 1):
        told: list[float] = []
        measures = {"plain loop": lambda: plain_speed(chosen), "course": lambda told=told: lab_speed(lab, told)}
        for row in sorted(measures, reverse=turn % 2 == 0):
            speed = measures[row]()
            if turn:
                rows[row].append(speed)
        if turn and len(told) > 1:
            rows["chart updates per second"].append(round((len(told) - 1) / (told[-1] - told[0]), 2))
    return rows


def stops(recipe: str) -> dict[str, list[float]]:
    """For each block_size of `STOPPED_AT`, the seconds that `STOPS` runs took to be over once they were told to stop.

    Each is told after some ten steps, at another moment of a step. The sample that it then still writes is counted.
    """
    from course_lib.lab.lab import Lab

    found: dict[str, list[float]] = {}
    for block_size in STOPPED_AT:
        lab = Lab(load_recipe(recipe).replace(block_size=block_size))
        for i in range(STOPS):
            lab.start()
            assert lab.thread is not None
            while lab.thread.is_alive() and not (lab.session and len(lab.session.driver.records) >= 10):
                time.sleep(0.01)
            time.sleep(0.03 * i)
            start = time.perf_counter()
            lab.stop()
            lab.wait()
            found.setdefault(str(block_size), []).append(round(time.perf_counter() - start, 3))
            lab.remove(lab.runs[-1].number)
    return found


def plain_speed(recipe: Any) -> float:
    """Tokens per second of ``for record in trainer``."""
    trainer = build_trainer(recipe)
    start = time.perf_counter()
    for _ in trainer:
        pass
    return trainer.tokens / (time.perf_counter() - start)


def lab_speed(lab: Any, told: list[float]) -> float:
    """Tokens per second of a run begun by Start, with all that the lab does beside it.

    Args:
        told: gets the time of each update of the chart while the run trains.
    """
    chart = lab.panel.view.chart

    def hear(change: Any) -> None:
        if lab.session is not None and lab.session.state == "running":
            told.append(time.perf_counter())

    chart.observe(hear, "data")
    lab.start()
    lab.wait()
    chart.unobserve(hear, "data")
    run = lab.runs[-1]
    if run.error is not None:
        raise run.error
    speed = run.trainer.tokens / run.seconds
    lab.remove(run.number)
    return speed
