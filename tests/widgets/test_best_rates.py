"""The race of optimizers, each at its best learning rate: found by rules written out, held to torch's own classes."""

import itertools
import math
from dataclasses import replace

import pytest

from course_lib.widgets import surfaces
from course_lib.widgets.best_rates import best_rates, walk
from course_lib.widgets.race import RATES, Race
from course_lib.widgets.surfaces import NEAR, SURFACES, Setting

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", SURFACES)
def test_many_rates_side_by_side_walk_as_torch_s_optimizers_do_one_by_one(name):
    shape = SURFACES[name]
    few = (0.001, 0.03, 1.8)
    setting = Setting(name, shape.start, weight_decay=0.1, turn=15.0, steps=25)
    side_by_side = {who: walk(setting, who, few) for who in surfaces.NAMES}
    for i, lr in enumerate(few):
        alone = surfaces.race(replace(setting, lr=lr, adam_lr=lr))
        for who, path in alone.items():
            other = side_by_side[who][i]
            assert other.diverged == path.diverged, (who, lr)
            assert other.points == [pytest.approx(point, rel=1e-6, abs=1e-9) for point in path.points]


@pytest.mark.parametrize("name", ["ravine", "saddle"])
def test_the_best_rate_is_no_worse_than_any_other(name):
    shape = SURFACES[name]
    setting = Setting(name, shape.start, steps=40)
    few = RATES[::5]
    found, places = best_rates(setting, few), surfaces.lowest_places(setting)

    def rank(who, lr):
        path = surfaces.race(replace(setting, lr=lr, adam_lr=lr))[who]
        arrival = path.arrival(places, NEAR * shape.width)
        return (math.inf if arrival is None else arrival, math.inf if path.diverged else path.losses[-1])

    for who in surfaces.NAMES:
        assert found[who] in few
        assert rank(who, found[who]) == min(rank(who, lr) for lr in few)


def test_each_optimizer_has_its_own_rate_with_fine_steps():
    shown = Race()
    assert all(1.2 < b / a < 1.5 for a, b in itertools.pairwise(RATES)), "eight in each power of ten"
    before = {racer["name"]: racer["words"] for racer in shown.map.data["racers"]}
    for slider, who in zip(("lr", "momentum_lr", "adam_lr", "adamw_lr"), surfaces.NAMES, strict=True):
        shown.sliders[slider].value = 0.0001
        now = {racer["name"]: racer["words"] for racer in shown.map.data["racers"]}
        assert [name for name in now if now[name] != before[name]] == [who]
        before = now


def test_a_button_puts_each_at_its_best():
    shown = Race()
    shown.best.click()
    found = {name: shown.sliders[name].value for name in ("lr", "momentum_lr", "adam_lr", "adamw_lr")}
    assert found == dict(zip(found, best_rates(Setting(), RATES).values(), strict=True))
    words = {racer["name"]: racer["words"] for racer in shown.map.data["racers"]}
    assert words["SGD"] == "at the lowest place after 40 steps", "where it was under way still at 0.03"
    assert not shown.best.disabled
    shown.reset.click()
    assert shown.sliders["lr"].value == SURFACES["ravine"].lrs[0]
