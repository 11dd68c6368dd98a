"""Several labs in one notebook: a cell that is run again, a lab that stops another's run, a forecast beside a run."""

import time
import weakref
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from course_lib.errors import CourseError
from course_lib.lab import Lab, Sweep, at_work, forecast, neighbors
from course_lib.lab import session as session_module
from course_lib.lab.neighbors import Place, this_cell, variables
from course_lib.recipes import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = load_recipe("tinytales_cpu").replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6, eval_every=3, eval_batches=1, device="cpu"
)
ENDLESS = SMALL.replace(max_steps=100_000, eval_every=0)
PATIENCE = 60


@pytest.fixture(autouse=True)
def no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "measured_speed", lambda recipe, vocab_size: forecast.Speed(1e-11, 1e-3, 2e-3))
    monkeypatch.setattr(session_module, "LENGTH", 12)
    monkeypatch.setattr(at_work, "_workers", weakref.WeakSet())  # labs of other tests may still be there


class Notebook:
    """Runs cells, as the labs see it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._runs = 0
        self.message: dict | None = None
        monkeypatch.setattr(neighbors, "_request", lambda: self.message)

    def run(self, code: str, make: Callable[[], Lab], cell: str | None = "a") -> Lab:
        self._runs += 1
        metadata = {} if cell is None else {"cellId": cell}
        self.message = {"content": {"code": code}, "header": {"msg_id": str(self._runs)}, "metadata": metadata}
        try:
            return make()
        finally:
            self.message = None


@pytest.fixture
def notebook(monkeypatch):
    return Notebook(monkeypatch)


def wait_until(condition, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE} s for: {what}"
        time.sleep(0.005)


def begin(lab: Lab) -> None:
    lab.start()
    wait_until(lambda: lab.runs and lab.runs[-1].records, "a step")


def words(lab: Lab) -> tuple[str, str]:
    return lab.panel.view.chart.data["state"], lab.panel.view.chart.data["status"]


CODE = "lab = Lab('tinytales_cpu')\nlab"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((CODE, "a"), (CODE, "a")), ((CODE, "a"), ("lab = Lab(other)  # edited", "a")), ((CODE, None), (CODE, None)),
        ((CODE, "a"), (CODE, "b")), (("Lab(recipe)", "a"), ("Lab(recipe)", "a")),
    ],
)  # fmt: skip
def test_a_lab_that_is_made_again_leaves_no_ghost(project, notebook, first, second):
    """By its cell's name, by the cell's text where the front end names none, or by its variable."""
    old = notebook.run(first[0], lambda: Lab(ENDLESS), first[1])
    begin(old)
    new = notebook.run(second[0], lambda: Lab(SMALL), second[1])
    assert not old.is_training
    assert not old.thread.is_alive(), "no thread goes on unseen"
    assert new.runs == old.runs, "its runs are not lost"
    assert [row["label"] for row in new.panel.tray.rows] == ["run 1"]
    assert "newer lab" in words(old)[1]
    new.start()
    assert new.wait(PATIENCE)
    assert [run.number for run in new.runs] == [1, 2]
    with pytest.raises(CourseError, match="newer lab has taken this one's place"):
        old.start()
    assert words(old)[0] == "not started"


@pytest.mark.parametrize(
    ("first", "second"), [((CODE, "a"), ("other = Lab('tinytales_cpu')", "b")), (("Lab(x)", None), ("Lab(y)", None))]
)
def test_another_lab_leaves_a_run_alone(project, notebook, first, second):
    old = notebook.run(first[0], lambda: Lab(ENDLESS), first[1])
    begin(old)
    new = notebook.run(second[0], lambda: Lab(SMALL), second[1])
    assert old.is_training
    assert new.runs == []
    old.stop()
    assert old.wait(PATIENCE)


def test_two_labs_of_one_cell_are_two(project, notebook):
    code = "one, two = Lab(x), Lab(y)"
    one, two = notebook.run(code, lambda: (Lab(SMALL), Lab(ENDLESS)))
    begin(two)
    again, other = notebook.run(code, lambda: (Lab(SMALL), Lab(ENDLESS)))
    assert (one.is_replaced, two.is_replaced, again.is_replaced, other.is_replaced) == (True, True, False, False)
    assert (again.runs, other.runs) == ([], two.runs)


def test_a_cell_that_fails_when_it_is_run_again_has_stopped_its_run_and_lost_nothing(project, notebook):
    old = notebook.run(CODE, lambda: Lab(ENDLESS))
    begin(old)
    with pytest.raises(CourseError):
        notebook.run(CODE, lambda: Lab(SMALL.replace(block_size=10**6)))
    assert not old.thread.is_alive()
    new = notebook.run(CODE, lambda: Lab(SMALL))
    assert new.runs == old.runs != []


def test_runs_on_another_text_stay_behind(project, notebook):
    (project / "own.txt").write_text("one two three four " * 40)
    old = notebook.run(CODE, lambda: Lab(ENDLESS.replace(dataset="text:own.txt")))
    begin(old)
    new = notebook.run(CODE, lambda: Lab(SMALL))
    assert not old.thread.is_alive()
    assert (new.runs, len(old.runs)) == ([], 1)


def test_outside_of_a_notebook_no_lab_takes_anothers_place(project):
    first = Lab(ENDLESS)
    begin(first)
    Lab(SMALL)
    assert first.is_training
    first.stop()
    assert first.wait(PATIENCE)


def test_a_lab_whose_run_another_one_stops_says_so(project):
    first, second = Lab(ENDLESS), Lab(SMALL)
    begin(first)
    second.start()
    assert second.wait(PATIENCE)
    state, status = words(first)
    assert state == "stopped"
    assert at_work.BY_LAB in status
    begin(first)
    first.stop()
    assert first.wait(PATIENCE)
    assert at_work.BY_LAB not in words(first)[1], "what is told of one run is not told of the next"


def test_a_forecast_is_made_while_nothing_trains_and_the_run_goes_on(project, monkeypatch):
    first = Lab(ENDLESS)
    begin(first)
    steps: list[int] = []

    def measured(recipe, vocab_size):
        steps.append(len(first.runs[-1].records))
        time.sleep(0.2)
        steps.append(len(first.runs[-1].records))
        return forecast.Speed(1e-11, 1e-3, 2e-3)

    monkeypatch.setattr(forecast, "measured_speed", measured)
    Lab(SMALL)
    assert steps[0] == steps[1], "or the new lab's forecast is that of a busy machine"
    wait_until(lambda: len(first.runs[-1].records) > steps[1], "the run going on")
    first.stop()
    assert first.wait(PATIENCE)


def test_a_sweep_that_is_made_again_leaves_no_ghost(project, notebook):
    old = notebook.run("sweep = Sweep(recipe)", lambda: Sweep(ENDLESS, share=1.0))
    old.start()
    wait_until(lambda: old.is_training, "a sweep")
    thread = old.thread
    new = notebook.run("sweep = Sweep(recipe)", lambda: Sweep(SMALL))
    assert not old.is_training
    assert not thread.is_alive()
    lab = notebook.run("sweep = Lab(recipe)", lambda: Lab(SMALL))
    assert not lab.is_replaced
    assert not new.is_training


def test_the_variables_of_a_cell():
    assert variables("lab = Lab('x')\nlab") == ["lab"]
    assert variables("from course_lib.lab import Lab\nLab(recipe)") == [None]
    assert variables("a = lab.Lab(x)\nshow(Lab(y))\nb = Lab(z)") == ["a", None, "b"]
    assert variables("lab = NameLab()") == []
    assert variables("%matplotlib inline\nlab = Lab(x)") == []


def test_a_place_is_read_from_what_the_front_end_sends(monkeypatch):
    import IPython

    message: dict = {"content": {"code": "lab = Lab(x)"}, "header": {"msg_id": "7"}, "metadata": {"cellId": "c"}}
    shell = SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda channel: message))
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    assert this_cell(Lab) == Place("Lab of c", "7", 0, "lab")
    monkeypatch.setattr(at_work, "workers", lambda kind: [SimpleNamespace(place=Place("Lab of c", "7", 0, "lab"))])
    assert this_cell(Lab).number == 1
    message["metadata"] = {}
    assert this_cell(Lab).cell == "Lab of lab = Lab(x)"
    message["content"] = {"comm_id": "a button"}
    assert this_cell(Lab) is None
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    assert this_cell(Lab) is None


def test_a_refusal_in_a_cell_is_one_line(project):
    """IPython asks an error how it wants to be shown."""
    lab = Lab(ENDLESS)
    begin(lab)
    with pytest.raises(CourseError) as caught:
        lab.train()
    (line,) = caught.value._render_traceback_()
    assert line.startswith("CourseError: A run of this lab is going on. Press Stop")
    assert "\n" not in line
    lab.stop()
    assert lab.wait(PATIENCE)
