"""The lab that learns names: what it shows is what the model says, and a run is the plain engine's run."""

import base64
import math
import threading
import time

import pytest

from course_lib.corpora.names import given_names
from course_lib.errors import CourseError
from course_lib.models.micro import MicroGPT
from course_lib.widgets import names as module
from course_lib.widgets.names import BEGUN, NameLab

NAMES = given_names()[::20]


@pytest.fixture
def lab() -> NameLab:
    made = NameLab(NAMES)
    made.sliders["steps"].value = 50
    yield made
    made.stop()
    assert made.wait(20)


def until(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_bars_are_the_models_guesses_and_the_lines_the_lists(lab):
    model = MicroGPT(NAMES, seed=42, engine="vector")
    for start in ("e", "", "m"):
        lab.letter.value = start
        data = lab.view.data
        guesses = model.probabilities(start)
        assert [bar["p"] for bar in data["bars"]] == pytest.approx(list(guesses.values()), abs=1e-4)
        assert [bar["sign"] for bar in data["bars"]] == [letter or "end" for letter in guesses]
        fitting = [name for name in NAMES if name.startswith(start)]
        for bar in data["bars"]:
            letter = "" if bar["sign"] == "end" else bar["sign"]
            expected = sum(name[len(start) : len(start) + 1] == letter for name in fitting) / len(fitting)
            assert bar["truth"] == pytest.approx(expected, abs=1e-4)
    assert data["nothing"] == pytest.approx(math.log(len(guesses)), abs=1e-4)
    assert data["status"] == "Untrained: press Start."


def test_a_run_in_the_background_is_the_run_in_a_cell_and_the_engines_own(lab):
    lab.start()
    assert lab.wait(60)
    expected = MicroGPT(NAMES, seed=42, engine="vector").train(50)
    assert lab.losses == expected
    assert lab.state == "idle"
    status = lab.view.data["status"]
    assert status == f"Step 50 of 50. Loss of the last 25 names: {sum(expected[-25:]) / 25:.2f}. Finished."
    assert lab.train() == expected
    lab.sliders["seed"].value, lab.sliders["lr"].value = 3, 0.03
    assert lab.train() == MicroGPT(NAMES, seed=3, engine="vector").train(50, max_lr=0.03)
    curve = lab.view.data["curve"]
    assert curve[-1] == [50, pytest.approx(sum(lab.losses[-25:]) / 25, abs=1e-3)]
    assert curve[0] == [1, pytest.approx(lab.losses[0], abs=1e-3)]


def test_step_pause_and_stop(lab):
    lab.step()
    until(lambda: lab.state == "paused")
    assert len(lab.losses) == 1
    assert lab.sliders["lr"].disabled
    assert not lab.letter.disabled
    lab.letter.value = "a"
    assert "'a'" in lab.view.data["title"]
    lab.step()
    until(lambda: len(lab.losses) == 2 and lab.state == "paused")
    with pytest.raises(CourseError, match="is going on"):
        lab.train()
    lab.start()  # a run that goes on stays
    assert len(lab.losses) == 2
    lab.stop()
    assert lab.wait(20)
    assert lab.view.data["status"].endswith(" Stopped.")
    assert not lab.sliders["lr"].disabled
    lab.pause()  # without a run nothing happens
    assert lab.state == "idle"
    lab.step()
    until(lambda: lab.state == "paused")
    lab.pause()
    assert lab.wait(60)
    assert len(lab.losses) == 50


def test_it_reaches_the_end_from_any_order_of_presses(lab):
    """Pressed at random from another thread, it neither hangs nor loses a step."""
    lab.start()
    presses = [lab.pause, lab.step, lab.pause, lab.pause, lab.step, lab.step]
    other = threading.Thread(target=lambda: [press() or time.sleep(0.005) for press in presses])
    other.start()
    other.join()
    until(lambda: lab.state != "running" or len(lab.losses) == 50)
    if lab.state == "paused":
        lab.pause()
    assert lab.wait(60)
    assert lab.losses == MicroGPT(NAMES, seed=42, engine="vector").train(50)


def test_where_no_thread_is_heard_start_waits():
    lab = NameLab(NAMES, live=False)
    lab.sliders["steps"].value = 50
    lab.start()
    assert len(lab.losses) == 50
    assert lab._thread is None


def test_another_seed_is_another_untrained_model_until_something_was_learned(lab):
    before = lab.view.data["bars"]
    lab.sliders["seed"].value = 7
    assert lab.view.data["bars"] != before
    lab.train()
    learned = lab.view.data["bars"]
    lab.sliders["seed"].value = 8
    assert lab.view.data["bars"] == learned


def test_an_error_in_the_thread_is_told(lab, monkeypatch):
    def fails(*args):
        raise ValueError("no more")

    monkeypatch.setattr(MicroGPT, "train_step", fails)
    lab.start()
    assert lab.wait(20)
    assert lab.view.data["status"] == "Ended by an error. no more"
    with pytest.raises(ValueError, match="no more"):
        lab.train()


def test_the_wildest_rate_is_drawn_too(lab):
    lab.sliders["lr"].value = 1.0
    lab.train()
    data = lab.view.data
    assert all(0 <= bar["p"] <= 1 for bar in data["bars"])
    assert all(math.isfinite(loss) for _, loss in data["curve"])


def test_a_long_curve_is_thinned_and_keeps_its_end(lab):
    lab.losses = [float(i) for i in range(5000)]
    curve = lab._curve()
    assert len(curve) <= module.MOST_POINTS + 1
    assert curve[-1][0] == 5000


def test_the_picture_without_a_kernel_shows_before_and_after():
    model = MicroGPT(NAMES, engine="vector")
    model.train(60)
    lab = NameLab(NAMES, trained=model)
    bundle, about = lab._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == repr(lab)
    alt = about["image/png"]["alt"]
    assert "now: What follows 'e'" in alt
    assert "after training: What follows 'e'" in alt
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == lab.widget.model_id


def test_what_it_cannot_take_is_told():
    with pytest.raises(CourseError, match="at least one document"):
        NameLab([])
    with pytest.raises(CourseError, match="'!' has '!'"):
        NameLab(NAMES, start="!")
    assert NameLab(NAMES, start="ma").letter.value == "ma"
    assert {name: slider.value for name, slider in NameLab(NAMES).sliders.items()} == BEGUN
