"""The records of sprites, made with tiny settings: what they keep, and that it is what they say."""

import json

import pytest
import torch
from torch import nn

from course_lib import measurements
from course_lib.cli import main as course
from course_lib.corpora.sprites import KINDS
from course_lib.data import PixelRows, SpriteDataset
from course_lib.measurements import denoising, drawings, sprites
from course_lib.models import ConvClassifier, LinearClassifier
from course_lib.training import ask

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = {"sprites": 70, "held_out": 30, "epochs": 2}
"""Two steps an epoch."""


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLASSES", "RATES", "ORDER"):
        monkeypatch.setattr(sprites, name, TINY)
    monkeypatch.setattr(drawings, "CLASSES", TINY)
    monkeypatch.setattr(sprites, "LRS", {"adam": (1e-3, 1e-2), "sgd": (0.1, 1e30)})
    sizes = {"sprites": 20, "held_out": 10, "steps": 2, "batch_size": 4, "n_layer": 1, "n_head": 2, "n_embd": 16}
    monkeypatch.setattr(drawings, "GPT_SIZES", sizes)
    sizes = {"sprites": 20, "held_out": 20, "steps": 2, "batch_size": 4, "noise": 0.3}
    monkeypatch.setattr(denoising, "SIZES", sizes)
    monkeypatch.setattr(drawings, "DRAWN", 2)
    monkeypatch.setattr(drawings, "KEPT", 1)
    monkeypatch.setattr(drawings, "TEMPERATURES", (0.8, 1.0))


def test_classifiers_are_compared_seed_by_seed():
    seconds, details = measurements.measure_classes(2)
    assert len(seconds) == 2
    assert details["seeds"] == [1, 2]
    for prefix in ("", "linear_"):
        for accuracy, each, rows in zip(*(details[prefix + name] for name in ("accuracy", "accuracies", "rows"))):
            assert len(each) == TINY["epochs"]
            assert each[-1] == accuracy
            assert [row["step"] for row in rows if row["val_loss"] is not None] == [1, 3]
        for confusion, accuracy in zip(details[prefix + "confusion"], details[prefix + "accuracy"], strict=True):
            table = torch.tensor(confusion)
            assert table.sum(dim=1).tolist() == [3] * 10
            assert table.trace().item() / 30 == pytest.approx(accuracy, abs=1e-4)
    torch.manual_seed(2)
    alone = sprites.train_classifier(LinearClassifier(), *sprites.parts(TINY, 2), 2, 2)
    assert alone.kept()["val_loss"] == details["linear_val_loss"][1]


def test_every_rate_of_every_optimizer_is_tried():
    seconds, details = measurements.measure_rates(2)
    assert len(seconds) == len(details["val_loss"]) == len(details["accuracy"]) == 2
    for losses in details["val_loss"]:
        assert {name: len(values) for name, values in losses.items()} == {"adam": 2, "sgd": 2}
        assert losses["sgd"][1] is None, "a run that explodes ends, and has no loss"
        assert None not in (*losses["adam"], losses["sgd"][0])
    assert [len(rows) > 0 for rows in details["curves"]["sgd"]] == [True, False]
    assert details["val_loss"][0] != details["val_loss"][1]


def test_the_rates_are_those_of_the_optimizers_and_stay():
    """The first step of SGD moves by the rate times the gradient, of Adam by about the rate."""
    train, held_out = sprites.parts(TINY)
    model = LinearClassifier()
    own = torch.optim.SGD(model.parameters(), 0.05, momentum=sprites.MOMENTUM)
    outcome = sprites.train_classifier(model, train, held_out, 2, 1, True, 0.05, "constant", own)
    assert {group["lr"] for group in own.param_groups} == {0.05}
    assert {row["lr"] for row in outcome.rows} == {0.05}


def test_both_orders_are_of_the_same_sprites(monkeypatch):
    seen: list[tuple[bool, list[int]]] = []
    usual = sprites.LoaderBatches

    def noted(loader, *args):
        batches = usual(loader, *args)
        if len(loader.dataset) == TINY["sprites"]:
            seen.append((batches.shuffled, batches.order(0).tolist()))
        return batches

    monkeypatch.setattr(sprites, "LoaderBatches", noted)
    details = measurements.measure_order(1)[1]
    assert [shuffled for shuffled, _ in seen] == [True, False]
    assert seen[1][1] == sorted(seen[0][1]) != seen[0][1]
    assert details["val_loss"] != details["sorted_val_loss"]
    assert len(details["sorted_accuracies"][0]) == TINY["epochs"]


def test_drawings_are_judged_at_each_temperature():
    seconds, details = measurements.measure_drawings(2)
    assert len(seconds) == len(details["val_loss"]) == 2
    for drawn, completed in zip(details["drawn"], details["completed"], strict=True):
        assert list(drawn) == ["0.8", "1"]
        for found in (*drawn.values(), completed):
            assert torch.tensor(found["taken_for"]).sum(dim=1).tolist() == [2] * 10
            assert 0 <= found["asked_share"] <= 1
            assert found["new_share"] == 1
            assert found["pixels_off"] > 20
    for name in ("samples", "completed_samples"):
        assert list(details[name]) == list(KINDS)
        assert [len(bytes.fromhex(text)) for rows in details[name].values() for text in rows] == [256] * 10
    whole = PixelRows(SpriteDataset(20, 1, "held_out", plain=True)).ids[::2, 1:129].tolist()
    assert [list(bytes.fromhex(rows[0])[:128]) for rows in details["completed_samples"].values()] == whole


def test_denoisers_are_scored_by_both_losses():
    seconds, details = measurements.measure_denoising(2)
    assert len(seconds) == len(details["rows"]) == 2
    for scores, noisy in zip(details["scores"], details["noisy"], strict=True):
        assert list(scores) == ["mse", "l1"]
        for found in (*scores.values(), noisy):
            assert found["mse"] < found["l1"] < 1
            assert 0 <= found["near_share"] <= 1
    # The noise has a known size: that of 0.3 in each color, less what is cut off at black and white.
    assert 0.04 < details["noisy"][0]["mse"] < 0.09
    _, rows = denoising.train_denoiser(denoising.mse_loss, 2)
    assert round(rows[-1]["train_loss"], 4) == details["rows"][1]["mse"][-1]["train_loss"]
    clean = SpriteDataset(20, 1, "held_out").images[::2]
    kept = {name: [bytes.fromhex(text) for text in texts] for name, texts in details["pictures"].items()}
    assert list(kept) == ["clean", "noisy", "mse", "l1"]
    assert {len(pixels) for texts in kept.values() for pixels in texts} == {768}
    known = [sprite.pixels for sprite in SpriteDataset(20, 1, "held_out").sprites[::2]]
    assert kept["clean"] == known
    assert denoising.near_share(clean, clean) == 1
    off = clean.clone()
    off[:, 1, 0] += 0.11  # one row of sixteen, in green alone
    assert denoising.near_share(off, clean) == pytest.approx(15 / 16)


@pytest.mark.parametrize("what", ["classes", "rates", "order", "denoising", "drawings"])
def test_a_record_is_the_same_whatever_was_drawn_before(what):
    """A seed decides all of it, the judge's first weights among it."""
    found = []
    for before in (1, 2):
        torch.manual_seed(before)
        found.append(getattr(measurements, f"measure_{what}")(1)[1])
    assert found[0] == found[1]


class Knowing(nn.Module):
    """Names the kind of a sprite that it has been told of."""

    def __init__(self, dataset: SpriteDataset) -> None:
        super().__init__()
        self.known = {image.numpy().tobytes(): label for image, label in (dataset[i] for i in range(len(dataset)))}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        labels = [self.known.get(image.contiguous().numpy().tobytes(), 0) for image in images]
        return nn.functional.one_hot(torch.tensor(labels), 10).float()


def test_a_copy_is_no_new_drawing_and_one_pixel_makes_it_one():
    dataset = SpriteDataset(20, plain=True)
    rows = PixelRows(dataset)
    drawn = rows.ids[[0, 5, 11]].clone()
    drawn[1, 9] = (drawn[1, 9] + 1) % 60
    drawn[2, 7] = drawn[2, 8] = rows.tokenizer.class_id("coin")
    found = drawings.judge(drawn, rows, Knowing(dataset))
    assert found["new_share"] == round(2 / 3, 4)
    assert found["pixels_off"] == 1.0
    assert found["missing_share"] == round(1 / 3, 4)
    assert drawings.nearest(drawn, rows.ids).tolist() == [0, 1, 2]
    assert drawings.judge(rows.ids, rows, Knowing(dataset))["asked_share"] == 1


def test_a_completed_sprite_keeps_the_half_that_was_shown():
    trainer, rows, _ = drawings.train_drawer(1)
    whole = rows.ids[:6]
    completed = drawings.complete(trainer.model, whole, seed=0, temperature=0.8)
    assert completed.shape == whole.shape
    assert completed[:, :129].equal(whole[:, :129])
    assert not completed.equal(whole)
    drawn = drawings.draw(trainer.model, rows.tokenizer, 3, 0, 1.0)
    assert rows.tokenizer.labels(drawn).tolist() == [label for label in range(10) for _ in range(3)]


@pytest.mark.parametrize("what", ["classes", "rates", "order", "denoising", "drawings"])
def test_the_command_writes_a_record_that_can_be_read(what, project):
    name = f"sprite_{what}"
    assert course(["record", name, "--seeds", "1", "--out", "a.json"]) == 0
    content = json.loads((project / "a.json").read_text())
    assert content["command"] == f"course record {name} --seeds 1"
    assert content["details"]["seeds"] == [1]


def test_a_network_that_is_asked_is_the_one_that_was_trained():
    train, held_out = sprites.parts(TINY)
    torch.manual_seed(0)
    model = ConvClassifier()
    outcome = sprites.train_classifier(model, train, held_out, 2, 1)
    again = ask(model, [(held_out.images, held_out.labels)])
    torch.testing.assert_close(again.probabilities, outcome.answers.probabilities)
