"""The labs and sweeps of one notebook: which cell made which, which takes another's place, and who is asked to wait."""

import ast
import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from course_lib.config import DataConfig
from course_lib.lab import at_work
from course_lib.lab.run import Trial

REPLACED = "A newer lab has taken this one's place"
IS_REPLACED = (
    "A newer lab has taken this one's place, as its cell was run again or its variable bound anew. Use that one."
)
QUIET_SECONDS = 3.0
"""How long others are waited for: a step or an evaluation at hand may take its time."""
END_SECONDS = 30.0
"""How long a run is waited for that was told to stop; it takes a fraction of a second, unless the machine is ill."""


@dataclass(frozen=True)
class Place:
    """Where a lab was made: in which cell of a notebook, in which run of it, and for which variable."""

    cell: str
    run: str = field(compare=False)
    """Each time that the cell is run it has another one."""
    number: int = 0
    """Which of the labs that the cell makes, counted from 0."""
    variable: str | None = None

    def is_taken_by(self, later: "Place") -> bool:
        """Whether a lab that is made at ``later`` takes the place of one that was made here."""
        again = (self.cell, self.number) == (later.cell, later.number) and self.run != later.run
        return again or (self.variable is not None and self.variable == later.variable)


def this_cell(kind: type) -> Place | None:
    """The place of a lab or a sweep that is made now; None outside of a notebook's cell.

    A front end that names its cells (JupyterLab, VS Code) is believed; elsewhere a cell is known by its text.
    """
    message = _request()
    if message is None:
        return None
    code, run = message["content"]["code"], str(message["header"]["msg_id"])
    cell = f"{kind.__name__} of {message.get('metadata', {}).get('cellId') or code}"
    places = [worker.place for worker in at_work.workers(kind)]
    number = sum(place is not None and (place.cell, place.run) == (cell, run) for place in places)
    names = variables(code, kind.__name__)
    return Place(cell, run, number, names[number] if number < len(names) else None)


def _request() -> Any:
    """What the front end sent to have the cell run that runs now; None where there is none."""
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    message = kernel.get_parent("shell") if kernel is not None and hasattr(kernel, "get_parent") else None
    return message if message and "code" in message.get("content", {}) else None


def variables(code: str, kind: str = "Lab") -> list[str | None]:
    """The variables that a cell binds to ``Lab(...)``, in order; None for a lab that is bound to none."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # such as a cell with a line for IPython alone
        return []
    nodes = list(ast.walk(tree))
    calls = [node for node in nodes if isinstance(node, ast.Call) and _name(node.func) == kind]
    bound = {
        id(node.value): node.targets[0].id
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return [bound.get(id(call)) for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset))]


def _name(function: ast.expr) -> object:
    return getattr(function, "id", getattr(function, "attr", None))


def stopped_for(new: Any) -> list[Any]:
    """Those whose place is taken by ``new``, a lab or a sweep; what they trained is over."""
    place, others = new.place, at_work.workers(type(new))
    replaced = [old for old in others if place and old is not new and old.place and old.place.is_taken_by(place)]
    for thread in at_work.stop_all(REPLACED, replaced):
        thread.join(END_SECONDS)
    return replaced


def taken_over(replaced: Iterable[Any], data: DataConfig) -> list[Trial]:
    """The runs of labs that give their place to another; those on other data are left out, as losses differ there."""
    runs = list[Trial]()
    for old in replaced:
        runs += [run for run in old.runs if run.recipe.data == data]
        old.is_replaced, old.place = True, None
        old.redraw()
    return runs


@contextlib.contextmanager
def waiting(labs: Iterable[Any]) -> Iterator[None]:
    """Within it no run of ``labs`` takes a step, so that something can be timed; afterwards all go on as before.

    A sweep among them, which has no session, goes on.
    """
    drivers = [lab.session.driver for lab in labs if getattr(lab, "session", None) is not None and lab.is_training]
    try:
        for driver in drivers:
            driver.hold()
        end = time.monotonic() + QUIET_SECONDS
        while any(driver.is_at_work for driver in drivers) and time.monotonic() < end:
            time.sleep(0.005)
        yield
    finally:
        for driver in drivers:
            driver.release()
