"""The lab on pictures: the same lab, whose model draws; its strip of drawings, its menu, and its line of Python."""

import base64
import io
import re
import time

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset

from course_lib.config import GPTConfig, TrainConfig
from course_lib.corpora.sprites import KINDS, draw_sprites
from course_lib.data import LoaderBatches, PixelRows, PixelTokenizer, SpriteDataset
from course_lib.data.pixels import nearest
from course_lib.errors import CourseError
from course_lib.lab import Lab, PixelLab, forecast
from course_lib.lab.drawing_view import DRAWN, DrawingStrip, from_text, png_of, to_text
from course_lib.lab.pixels import N_HELD_OUT, N_SPRITES, PixelTrial, SpriteWriter
from course_lib.lab.sample import Sample
from course_lib.measurements.drawings import GPT_SIZES, train_drawer
from course_lib.models import GPT
from course_lib.recipes import Recipe
from course_lib.recipes.drawing import DRAWER, build_drawer
from course_lib.sampling import generate
from course_lib.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = {"n_layer": 1, "n_head": 2, "n_embd": 16, "batch_size": 2, "max_steps": 12, "warmup_steps": 2, "eval_every": 0}
PATIENCE = 60


@pytest.fixture(autouse=True)
def no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "measured_speed", lambda recipe, vocab_size: forecast.Speed(1e-11, 1e-3, 2e-3))


def wait_until(condition, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE} s for: {what}"
        time.sleep(0.005)


def images(strip_value: str) -> list[np.ndarray]:
    """The PNGs of a strip, as a page would load them: (H, W, 4) each."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', strip_value)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))) for png in found]


def labels(strip_value: str) -> list[str]:
    return re.findall(r"<li[^>]*><b>([^<]+)</b>", strip_value)


# The run -------------------------------------------------------------------------------------------------


def test_a_run_in_the_background_is_the_plain_loop_and_its_drawings_stand_beside_one_another():
    lab = PixelLab("heart", live=True, **TINY)
    lab.start()
    assert lab.wait(PATIENCE)
    run = lab.runs[0]
    assert lab.session.error is None

    rows = lab._rows
    chosen = [i for i, label in enumerate(rows.tokenizer.labels(rows.ids)) if KINDS[label] == "heart"]
    assert len(chosen) == N_SPRITES
    trainer = build_drawer(lab.recipe, Subset(rows, chosen), held_out_of(lab, "heart"))
    assert [record.train_loss for record in trainer] == [record.train_loss for record in run.records]
    assert [sample.step for sample in run.samples] == [0, 10, 12]
    prompt = torch.full((DRAWN, 1), rows.tokenizer.class_id("heart"))
    drawn = generate(trainer.model, prompt, 256, temperature=0.8, seed=0)
    assert from_text(run.samples[-1].text).equal(drawn)

    shown = lab.panel.view.sample.value
    assert labels(shown) == ["step 0", "step 10", "step 12"]
    assert "Drawings of a heart" in shown
    assert [row["label"] for row in lab.panel.tray.rows] == ["run 1, heart"]
    assert "that a triangle marks under the curve" in shown
    assert lab.panel.view.chart.data["unit"] == "pixel"
    assert lab.panel.view.chart.finished[0]["kind"] == "heart"
    lab.controls.menus["dataset"].value = "sprites:ghost"
    lab.start()
    assert lab.wait(PATIENCE)
    assert [row["about"].split(",")[0] for row in lab.panel.tray.rows] == ["as the recipe says", "class ghost"]
    assert "Of the 70 tokens 10 name a class" in lab.controls.readout.value
    assert "ln 60 = 4.09" in lab.controls.readout.value


def held_out_of(lab: PixelLab, kind: str) -> Subset:
    rows = lab._held_out
    chosen = [i for i, label in enumerate(rows.tokenizer.labels(rows.ids)) if KINDS[label] == kind]
    assert len(chosen) == N_HELD_OUT
    return Subset(rows, chosen)


def test_a_stop_leaves_a_drawing_of_what_was_learned_until_then():
    lab = PixelLab("coin", live=True, **TINY | {"max_steps": 100_000})
    lab.start()
    wait_until(lambda: lab.session.run is not None and len(lab.session.run.records) > 3, "a few steps")
    lab.pause()
    wait_until(lambda: lab.session.state == "paused", "a pause")
    count = len(lab.session.run.records)
    lab.step()
    wait_until(lambda: len(lab.session.run.records) == count + 1, "one step")
    lab.stop()
    assert lab.wait(PATIENCE)
    run = lab.runs[0]
    assert not run.is_complete
    assert (run.samples[0].step, run.samples[-1].step) == (0, len(run.records))
    assert from_text(run.samples[-1].text).shape == (DRAWN, 257)


def test_a_cell_trains_with_what_the_menu_and_the_sliders_say(shown):
    lab = PixelLab("ghost", live=True, **TINY)
    lab.controls.menus["dataset"].value = "sprites:key"
    lab.controls.sliders["batch_size"].value = 4
    assert lab.command() == (
        "PixelLab('key', n_layer=1, n_head=2, n_embd=16, max_steps=12, batch_size=4, warmup_steps=2, "
        "eval_every=0).train()"
    )
    assert lab.command().replace("'", "&#x27;") in lab.controls.readout.value
    assert "4 sprites × 256 = 1,024 pixels" in lab.controls.readout.value
    run = lab.train(max_steps=3)
    again = eval(lab.command().replace(".train()", ""), {"PixelLab": PixelLab})
    assert again.recipe.all_settings() == lab.recipe.all_settings()
    assert (run.kind, len(run.records)) == ("key", 3)
    assert run.sample(2).shape == (2, 3, 16, 16)
    assert "pixels per second" in run.status()
    assert labels(shown[0].sample.value) == ["step 0", "step 3"]
    lab.controls.back()
    assert lab.controls.menus["dataset"].value == "sprites:ghost"


def test_where_widgets_hear_nothing_the_cell_paints_the_same_columns(monkeypatch):
    painted = []

    class Place:
        def update(self, thing):
            painted.append(getattr(thing, "data", ""))

    monkeypatch.setattr("course_lib.lab.view.display", lambda thing, display_id: Place())
    lab = PixelLab("crown", live=False, **TINY)
    assert isinstance(lab.widget, ipywidgets.VBox)
    lab.train()
    assert labels(painted[-1]) == ["step 0", "step 10", "step 12"]


def test_dropout_moves_while_it_trains_and_the_run_says_so():
    lab = PixelLab("slime", live=True, **TINY | {"max_steps": 100_000})
    lab.start()
    wait_until(lambda: lab.session.run is not None and lab.session.run.records, "a step")
    lab.controls.sliders["dropout"].value = 0.5
    wait_until(lambda: lab.session.driver.changes, "the change")
    lab.stop()
    assert lab.wait(PATIENCE)
    assert lab.runs[0].changes[0].name == "dropout"
    assert "not the whole story" in lab.runs[0].command()


def test_a_kind_or_a_setting_that_there_is_not_is_named():
    with pytest.raises(CourseError, match="no kind of sprite 'gost': did you mean 'ghost'"):
        PixelLab("gost")
    with pytest.raises(CourseError, match="no setting 'max_step'"):
        PixelLab("ghost", max_step=3)
    with pytest.raises(CourseError, match="texts alone"):
        PixelLab("ghost", live=True, **TINY).sweep()


def test_it_is_the_lab_and_no_second_one():
    """Its buttons, its thread and its chart are those of `Lab`: nothing of them is written again."""
    own = {name for name in vars(PixelLab) if not name.startswith("__")}
    assert own.isdisjoint({"start", "pause", "step", "stop", "wait", "train", "redraw", "is_training", "remove"})
    assert issubclass(PixelLab, Lab)


def test_the_recorded_measurement_trains_the_same_model_as_before(monkeypatch):
    """Two steps of `train_drawer` as they were when each of its settings was written out."""
    monkeypatch.setitem(GPT_SIZES, "steps", 2)
    _, _, rows = train_drawer(1)
    torch.manual_seed(1)
    pixels = PixelRows(SpriteDataset(4000, 1, plain=True))
    model = GPT(GPTConfig(
        block_size=256, vocab_size=pixels.tokenizer.vocab_size, n_layer=2, n_head=4, n_embd=64, norm="rmsnorm",
        qk_norm=True, mlp="relu2", tie_weights=False, zero_init=True,
    ))  # fmt: skip
    config = TrainConfig(
        max_steps=2, optimizer="muon", max_lr=0.02, head_lr_scale=0.3, schedule="trapezoid", warmup_steps=20,
        eval_every=0, device="cpu", precision="fp32",
    )  # fmt: skip
    losses = [r.train_loss for r in Trainer(model, LoaderBatches(DataLoader(pixels, 16, shuffle=True), 1), config)]
    assert [row["train_loss"] for row in rows] == losses


# The strip -----------------------------------------------------------------------------------------------


def true_rows(kind: str, n: int = DRAWN) -> torch.Tensor:
    rows = PixelRows(SpriteDataset(10 * n, seed=5, plain=True))
    return rows.ids[rows.tokenizer.labels(rows.ids) == KINDS.index(kind)][:n]


def test_text_and_back():
    ids = torch.randint(30, (DRAWN, 257), generator=torch.Generator().manual_seed(0))
    assert from_text(to_text(ids.T)).equal(ids)
    assert from_text(to_text(ids.T)[: 2 * DRAWN * 9 + 4]).equal(ids[:, :9]), "a pixel that not all have is left out"


@pytest.mark.parametrize("known", [257, 100, 1])
def test_the_picture_has_the_colors_of_the_ids_and_nothing_where_nothing_is_drawn_yet(known):
    ids = true_rows("potion")[:, :known]
    picture = np.asarray(Image.open(io.BytesIO(png_of(ids, PixelTokenizer()))))
    assert picture.shape == (DRAWN * 17 - 1, 16, 4)
    palette = np.array(PixelTokenizer().palette)
    for place, row in enumerate(ids):
        one = picture[17 * place : 17 * place + 16].reshape(256, 4)
        assert (one[: known - 1, :3] == palette[row[1:]]).all()
        assert (one[: known - 1, 3] == 255).all()
        assert not one[known - 1 :, 3].any()


def test_the_strip_counts_pixels_off_and_names_each_column():
    rows = PixelRows(SpriteDataset(100, plain=True))
    copies = rows.ids[rows.tokenizer.labels(rows.ids) == 0][:DRAWN]
    other = copies.clone()
    other[0, 1:9] = (other[0, 1:9] + 1) % len(rows.tokenizer.palette)  # at most 8 pixels off: 2 on average of 4
    strip = DrawingStrip(rows)
    assert "0, after 10" not in strip.value
    assert "will stand here" in strip.value
    strip.show([Sample(0, to_text(other.T)), Sample(1000, to_text(copies.T))])
    heroes = rows.ids[rows.ids[:, 0] == rows.tokenizer.class_id("hero")]
    off = nearest(other, heroes).float().mean().item()
    assert off == pytest.approx(sum(min((heroes[:, 1:] != o[1:]).sum(1).tolist()) for o in other) / DRAWN)
    assert 0 < off <= 2
    assert labels(strip.value) == ["step 0", "step 1,000"]
    assert f"{off:.0f} px off" in strip.value
    assert 'alt="4 drawings of a hero, after step 1,000, 0 px off the nearest hero"' in strip.value
    assert len(images(strip.value)) == 2
    strip.show([Sample(0, to_text(other.T))], to_text(copies.T[:100]), None, "", True)
    assert labels(strip.value) == ["step 0", "now"]


def test_a_drawing_is_compared_with_its_own_kind_alone():
    """Another kind's sprite in its place is far off, however exact a copy of that one it is."""
    rows = PixelRows(SpriteDataset(100, plain=True))
    heart = rows.ids[rows.ids[:, 0] == rows.tokenizer.class_id("heart")][:1].clone()
    heart[:, 0] = rows.tokenizer.class_id("ghost")
    strip = DrawingStrip(rows)
    strip.show([Sample(10, to_text(heart.expand(DRAWN, -1).T))])
    (off,) = re.findall(r"(\d+) px off the nearest ghost", strip.value)
    assert int(off) > 20
    assert "nearest ghost of the training set" in strip.value
    assert "no mark for how good they are" in strip.value


def test_a_drawing_can_be_given_up_and_takes_no_random_numbers_of_the_caller():
    lab = PixelLab("ghost", live=True, **TINY)
    trainer = build_drawer(lab.recipe, lab._rows, lab._held_out)
    writer = SpriteWriter(PixelTrial(lab.recipe, trainer))
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    assert writer.write(0, stopped=lambda: len(writer.text) > 50) is None
    assert len(from_text(writer.text)[0]) < 10
    assert writer.write(3).step == 3
    assert torch.random.get_rng_state().equal(before)


def test_the_recipe_is_checked_and_its_model_fits_a_sprite():
    assert isinstance(DRAWER, Recipe)
    assert DRAWER.model(40).block_size == len(draw_sprites(10)[0].colors)
