"""The race: its paths are those of torch's optimizers, its words say what they did; no kernel is needed to see it."""

import base64
import functools
import json
import math
from pathlib import Path

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.widgets import surfaces
from course_lib.widgets.race import Race
from course_lib.widgets.race_view import FLOOR, seen
from course_lib.widgets.surfaces import NEAR, SURFACES, Setting

pytestmark = pytest.mark.usefixtures("one_thread")


raced = functools.cache(surfaces.race)


@pytest.fixture(autouse=True)
def each_race_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same setting gives the same paths, and many tests begin with the same setting."""
    monkeypatch.setattr("course_lib.widgets.race_view.race", raced)


@pytest.fixture
def shown() -> Race:
    return Race()


def paths_by_hand(setting: Setting, gradient) -> dict[str, list[tuple[float, float]]]:
    """The four rules written out, number by number, in Python's floats."""
    b1, b2, lr, adam_lr, decay = setting.beta1, setting.beta2, setting.lr, setting.adam_lr, setting.weight_decay
    ways = {}
    for name in ("SGD", "momentum", "Adam", "AdamW"):
        w, speed, m, v = list(setting.start), [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]
        way = [tuple(w)]
        for t in range(1, setting.steps + 1):
            for i, g in enumerate(gradient(*w)):
                speed[i] = b1 * speed[i] + g
                m[i], v[i] = b1 * m[i] + (1 - b1) * g, b2 * v[i] + (1 - b2) * g * g
                step = adam_lr * m[i] / (1 - b1**t) / (math.sqrt(v[i] / (1 - b2**t)) + 1e-8)
                kept = 1 - adam_lr * decay if name == "AdamW" else 1.0
                w[i] = w[i] * kept - {"SGD": lr * g, "momentum": lr * speed[i]}.get(name, step)
            way.append(tuple(w))
        ways[name] = way
    return ways


def ravine_gradient(narrow, turn):
    c, s = math.cos(turn), math.sin(turn)

    def gradient(x, y):
        along, across = c * x + s * y, narrow * (c * y - s * x)
        return c * along - s * across, s * along + c * across

    return gradient


@pytest.mark.parametrize("turn", [0.0, 30.0])
def test_the_paths_are_those_of_the_rules_by_hand(turn):
    setting = Setting(narrow=7.0, turn=turn, lr=0.05, adam_lr=0.2, beta1=0.8, beta2=0.95, weight_decay=0.3, steps=40)
    expected = paths_by_hand(setting, ravine_gradient(7.0, math.radians(turn)))
    for name, path in surfaces.race(setting).items():
        assert path.points == [pytest.approx(point, abs=1e-9) for point in expected[name]], name
        assert not path.diverged


@pytest.mark.parametrize("name", SURFACES)
def test_each_bottom_is_one_and_lies_in_the_picture(name):
    setting, surface = Setting(name), SURFACES[name]
    x0, x1, y0, y1 = surface.window
    for point in surface.bottoms:
        assert x0 < point[0] < x1
        assert y0 < point[1] < y1
        weight = torch.tensor(point, dtype=torch.float64, requires_grad=True)
        setting.form(*weight).backward()
        assert weight.grad.norm() < 1e-4
        here = setting.form(*weight).item()
        for dx, dy in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
            assert setting.form(*torch.tensor([point[0] + dx, point[1] + dy])).item() > here
    *_, heights = surfaces.height(setting)
    assert heights.min() < 0.01 * heights.max()
    assert surfaces.lowest(setting) <= (heights.min() + surfaces.lowest(setting)) + 1e-12
    assert x0 <= surface.start[0] <= x1


def test_two_bottoms_are_equally_low_at_a_saddle_and_one_is_lower_between_two_valleys():
    assert surfaces.lowest_places(Setting("saddle")) == [(0.0, 1.0), (0.0, -1.0)]
    assert surfaces.lowest_places(Setting("two valleys")) == [SURFACES["two valleys"].bottoms[0]]
    assert SURFACES["two valleys"].bottoms[0][0] < 0


def test_an_arrival_is_for_good():
    path = surfaces.Path([(3.0, 0.0), (0.0, 0.0), (2.0, 0.0), (0.1, 0.0), (0.0, 0.0)], [0.0] * 5, diverged=False)
    assert path.arrival([(0.0, 0.0)], near=0.5) == 3, "the visit in step 1 does not count"
    assert path.arrival([(5.0, 5.0)], near=0.5) is None
    assert path.arrival([(5.0, 5.0), (0.0, 0.0)], near=9.0) == 0
    assert surfaces.Path(path.points, path.losses, diverged=True).arrival([(0.0, 0.0)], 0.5) is None


def race(surface="ravine", **changes) -> dict[str, str]:
    """What became of each, for a surface with its own start and rates but for some changes."""
    shape = SURFACES[surface]
    start = surfaces.turned(shape.start, changes.get("turn", 0.0))
    setting = dict(start=start, lr=shape.lrs[0], adam_lr=shape.lrs[1], steps=shape.steps) | changes
    return {racer["name"]: racer["words"] for racer in seen(Setting(surface, **setting))["racers"]}


def test_the_chapters_first_experiment_a_narrow_ravine():
    assert race()["Adam"] == "at the lowest place after 50 steps"
    narrow = race(narrow=100.0)
    assert "diverged" in narrow["SGD"]
    assert narrow["Adam"] == race()["Adam"]
    careful = race(narrow=100.0, lr=0.01)
    assert "still under way after 100 steps" in careful["SGD"]
    paths = [surfaces.race(Setting(narrow=narrow))["Adam"].points for narrow in (20.0, 100.0)]
    assert paths[0] == [pytest.approx(point, abs=1e-6) for point in paths[1]], "not changed by a hair"


def test_the_chapters_second_experiment_a_turned_ravine_and_a_start_that_turns_with_it(shown):
    straight = race()
    shown.sliders["turn"].value = 45.0
    turned = {racer["name"]: racer["words"] for racer in shown.map.data["racers"]}
    assert turned == race(turn=45.0)
    for name in ("SGD", "momentum"):
        assert turned[name] == straight[name], "they do not care how the axes lie"
    assert straight["momentum"] == "at the lowest place after 59 steps"
    assert straight["Adam"] == "at the lowest place after 50 steps"
    assert turned["Adam"] == "at the lowest place after 70 steps"
    shown.sliders["turn"].value = 0.0
    assert shown.map.start == pytest.approx([-3.5, 1.5])
    shown.map.start = [4.0, 2.5]
    shown.sliders["turn"].value = 15.0
    x, y = shown.map.start
    assert (-4 <= x <= 4, y) == (True, 2.5), "in the picture"
    assert math.degrees(math.atan2(y, x)) == pytest.approx(15 + math.degrees(math.atan2(2.5, 4.0)))


def test_the_chapters_third_experiment_two_valleys():
    rolling, lame = race("two valleys"), race("two valleys", beta1=0.5)
    assert "at the lowest place" in rolling["momentum"]
    for name in ("SGD", "Adam", "AdamW"):
        assert "another valley's bottom" in rolling[name]
    assert not [words for words in lame.values() if "at the lowest place" in words]


def test_the_chapters_fourth_experiment_decay_pulls_toward_zero_not_toward_the_solution():
    straight = race()
    assert straight["AdamW"] == straight["Adam"], "no decay at first"
    assert race(weight_decay=1.0)["AdamW"] == "at the lowest place after 14 steps", "which lies at zero"
    assert race("Rosenbrock's valley")["AdamW"] == "at the lowest place after 323 steps"
    for decay in (0.01, 0.1, 1.0):
        bent = race("Rosenbrock's valley", weight_decay=decay)
        assert "still under way after 400 steps" in bent["AdamW"]
        assert bent["Adam"] == "at the lowest place after 323 steps"


def test_the_chapters_fifth_experiment_a_ridge_holds_sgd_and_not_adam():
    on_it, beside = race("saddle"), race("saddle", start=(-1.5, 0.082))
    for name, steps in {"SGD": (73, 35), "Adam": (55, 56)}.items():
        assert [words[name] for words in (on_it, beside)] == [f"at the lowest place after {n} steps" for n in steps]
    x0, x1, _, _ = SURFACES["saddle"].window
    assert SURFACES["saddle"].start[1] + 0.02 * (x1 - x0) == pytest.approx(0.082), "one arrow key"


def test_the_sliders_change_the_race(shown):
    before = shown.map.data
    shown.sliders["lr"].value = 0.056
    paths = {racer["name"]: racer["points"] for racer in shown.map.data["racers"]}
    old = {racer["name"]: racer["points"] for racer in before["racers"]}
    assert [name for name in paths if paths[name] != old[name]] == ["SGD"]
    assert paths["Adam"] == paths["AdamW"]
    shown.sliders["weight_decay"].value = 0.1
    data = {racer["name"]: racer for racer in shown.map.data["racers"]}
    assert data["Adam"]["points"] != data["AdamW"]["points"]
    shown.sliders["steps"].value = 25
    assert shown.map.data["steps"] == 25
    assert {len(racer["points"]) for racer in shown.map.data["racers"]} == {26}


def test_another_surface_brings_its_own_start_and_rates_and_narrowness_is_the_ravines(shown):
    shown.sliders["lr"].value = 1.0
    shown.surface.value = "saddle"
    surface = SURFACES["saddle"]
    rates = dict(lr=0.1, momentum_lr=0.1, adam_lr=0.1, adamw_lr=0.1)
    assert shown.setting == Setting("saddle", surface.start, **rates)
    assert shown.map.data["start"] == list(surface.start)
    assert shown.sliders["narrow"].disabled
    assert shown.sliders["turn"].disabled
    shown.surface.value = "ravine"
    assert not shown.sliders["narrow"].disabled


def test_reset_brings_back_what_the_race_began_with():
    asked = Race("saddle", lr=0.05, weight_decay=0.3)
    begun, seen_first = asked.setting, asked.map.data
    assert (begun.lr, begun.weight_decay) == (0.05, 0.3)
    for name, value in (("lr", 1.0), ("beta1", 0.5), ("weight_decay", 0.0), ("steps", 25)):
        asked.sliders[name].value = value
    asked.map.start = [1.0, 1.0]
    asked.reset.click()
    assert (asked.setting, asked.map.data) == (begun, seen_first)
    asked.surface.value = "ravine"
    own = Setting(momentum_lr=0.03, adamw_lr=0.3)
    assert asked.setting == own, "another surface: its own rates, and none of what was asked for the saddle"
    turned = Race(turn=45.0)
    assert turned.map.start == pytest.approx(surfaces.turned((-3.5, 1.5), 45.0))
    assert Race("saddle", turn=45.0).map.start == list(SURFACES["saddle"].start)


def test_at_the_lowest_place_nothing_moves_and_the_words_say_so(shown):
    shown.map.start = [0.0, 0.0]
    assert shown.map.data["first"] == "The start is the lowest place."
    assert {racer["words"] for racer in shown.map.data["racers"]} == {"at the lowest place from the start"}
    low, high = shown.picture().axes[1].get_ylim()
    assert (low, high) == (FLOOR, 1.0)
    assert "after 1 step," in " ".join(race(start=(-3.9, 0.0), steps=1).values())


def test_a_start_that_the_page_sends_is_where_the_paths_begin(shown):
    shown.map.start = [2.0, -1.0]
    assert {tuple(racer["points"][0]) for racer in shown.map.data["racers"]} == {(2.0, -1.0)}


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("lr", [0.0001, 2.0])
def test_whatever_the_rates_only_finite_numbers_are_sent(surface, lr):
    data = seen(Setting(surface, SURFACES[surface].start, narrow=200.0, lr=lr, adam_lr=lr, steps=200))
    json.dumps(data, allow_nan=False)
    for racer in data["racers"]:
        assert len(racer["points"]) == len(racer["heights"]) > 0
        assert min(racer["heights"]) >= FLOOR
        assert ("diverged" in racer["words"]) == (len(racer["points"]) < 201)


def test_the_words_name_the_first_and_a_tie():
    data = seen(Setting(weight_decay=0.1))
    times = {}
    for racer in data["racers"]:
        near = [math.hypot(*point) <= NEAR * 8.0 for point in racer["points"]]
        if near[-1]:
            times[racer["name"]] = len(near) - near[::-1].index(False) if False in near else 0
    first = min(times, key=times.get)
    assert data["first"] == f"First at the lowest place: {first}, after {times[first]} steps."
    assert data["first"] in data["alt"]
    tie = seen(Setting(start=(4.0, 0.0), narrow=1.0, lr=0.3, beta1=0.0, adam_lr=0.3))
    assert "SGD and momentum, after" in tie["first"]
    assert "None of the four" in seen(Setting(steps=5))["first"]


def test_without_a_kernel_there_is_a_picture_and_words(shown):
    bundle, about = shown._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == repr(shown) == repr(Race("saddle"))
    assert " at 0x" not in repr(shown) + repr(shown.map)
    assert about["image/png"]["alt"] == shown.map.data["alt"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == shown.widget.model_id


def test_the_picture_shows_each_path_with_a_dash_of_its_own(shown):
    left, right = shown.picture().axes
    curves = right.get_lines()
    assert [line.get_label() for line in curves] == ["SGD", "momentum", "Adam", "AdamW"]
    assert len({str(line._dash_pattern) for line in curves}) == 4, "told apart without color"
    assert left.get_xlim() == (-4.0, 4.0)


def test_what_there_is_not_is_told():
    with pytest.raises(CourseError, match="surface should be one of ravine"):
        Race("cliff")
    with pytest.raises(CourseError, match="no slider 'speed'; there are narrow"):
        Race(speed=3)
    assert Race(narrow=33.0).setting.narrow == 33.0


def test_the_page_part_reads_only_what_it_is_sent(shown):
    code = Path(__file__).resolve().parents[2].joinpath("course_lib/widgets/race.js").read_text(encoding="utf-8")
    for name in shown.map.data:
        assert f"data.{name}" in code, name
    for name in shown.map.data["racers"][0]:
        assert f"racer.{name}" in code, name
