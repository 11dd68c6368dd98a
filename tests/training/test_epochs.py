"""A trainer over a DataLoader's epochs of pictures: the plain loop's numbers, exact resume, and what is told of it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kept_run import kept
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from course_lib.config import TrainConfig
from course_lib.data import LoaderBatches, NoisyPictures, SpriteDataset
from course_lib.errors import CourseError
from course_lib.models import ConvClassifier, Denoiser, LinearClassifier
from course_lib.training import Trainer, ask, class_loss, l1_loss, mse_loss, toward

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),  # of Python 3.12 on
]

TRAIN, HELD_OUT = SpriteDataset(46), SpriteDataset(22, part="held_out")
CONFIG = TrainConfig(max_steps=14, eval_every=4, save_every=3, device="cpu", precision="fp32", max_lr=3e-3)
"""With 46 sprites in batches of 8 an epoch has 6 steps, the last one of 6 sprites."""


def conv() -> nn.Module:
    torch.manual_seed(7)
    return ConvClassifier(width=4)


def make(run: Path | None, workers: int = 0, config: TrainConfig = CONFIG, **more: Any) -> Trainer:
    batches = LoaderBatches(DataLoader(TRAIN, 8, shuffle=True, num_workers=workers), seed=3)
    val = LoaderBatches(DataLoader(HELD_OUT, 5))
    return Trainer(conv(), batches, config, class_loss, val, run_dir=run, **more)


# ---- the loop ----------------------------------------------------------------------------------------


def test_the_trainer_computes_what_the_plain_loop_computes():
    """Written out with torch's own parts, over the same DataLoader, the small last batch included."""
    loader = DataLoader(TRAIN, 8)
    torch.manual_seed(7)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 10))
    twin = nn.Sequential(nn.Flatten(), nn.Linear(768, 10))
    twin.load_state_dict(model.state_dict())
    config = TrainConfig(max_steps=12, schedule="constant", grad_clip=0, device="cpu", precision="fp32")
    trainer = Trainer(
        model, LoaderBatches(loader), config, class_loss, optimizer=torch.optim.SGD(model.parameters(), 0.1)
    )
    records = list(trainer)
    optimizer, losses, seen = torch.optim.SGD(twin.parameters(), 0.1), [], 0
    for _ in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(twin(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            seen += len(x)
    assert [record.train_loss for record in records] == pytest.approx(losses, abs=1e-6)
    assert records[-1].tokens == seen == 92, "sprites are counted where a text has tokens"
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_validation_loss_is_the_mean_over_all_sprites():
    """Of batches of 5, 5, 5, 5 and 2: their means' mean would be another number."""
    trainer = make(None)
    record = next(r for r in trainer if r.val_loss is not None)
    model = trainer.model.eval()
    with torch.no_grad():
        each = F.cross_entropy(model(HELD_OUT.images), HELD_OUT.labels, reduction="none")
    assert record.step == 3
    assert record.val_loss == pytest.approx(each.mean().item(), abs=1e-6)
    assert abs(torch.stack([part.mean() for part in each.split(5)]).mean() - each.mean()) > 1e-5


def test_settings_that_the_batches_have_are_taken_from_them():
    assert make(None).config.batch_size == 8
    assert make(None).config.seed == 3
    with pytest.raises(CourseError, match="batch_size is 8 in the batches and 9"):
        make(None, config=CONFIG.replace(batch_size=9))
    batches = LoaderBatches(DataLoader(TRAIN, 8), grad_accum=2, world_size=2)
    with pytest.raises(CourseError, match="There are 1 processes, and the batches are made for 2"):
        Trainer(conv(), batches, CONFIG, class_loss)


def test_accumulated_micro_batches_make_the_step_of_one_large_batch():
    """Without what depends on the micro-batch: BatchNorm and dropout. The last step's are smaller, and all alike."""
    found = []
    for size, accum in ((8, 1), (4, 2), (2, 4)):
        torch.manual_seed(7)
        model = LinearClassifier()
        data = TensorDataset(TRAIN.images[:44], TRAIN.labels[:44])
        batches = LoaderBatches(DataLoader(data, size, shuffle=True), grad_accum=accum)
        losses = [record.train_loss for record in Trainer(model, batches, CONFIG, class_loss)]
        found.append((losses, model.linear.weight))
    for losses, weight in found[1:]:
        assert losses == pytest.approx(found[0][0], abs=1e-5)
        torch.testing.assert_close(weight, found[0][1], atol=1e-5, rtol=0)


# ---- going on in the middle of an epoch --------------------------------------------------------------


class Jumping(SpriteDataset):
    """Each sprite is moved sideways at random, by a generator of numpy's."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = super().__getitem__(index)
        return image.roll(int(np.random.randint(-2, 3)), dims=2), label


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_is_the_run_that_was_never_stopped(workers: int, project: Path) -> None:
    """In the second epoch's middle, with noise and jumps drawn in the dataset, BatchNorm's running means included."""

    def batches(count: int) -> tuple[LoaderBatches, LoaderBatches]:
        noisy = [NoisyPictures(Jumping(n, part=part), 0.2) for n, part in ((46, "train"), (10, "held_out"))]
        return (
            LoaderBatches(DataLoader(noisy[0], 8, shuffle=True, num_workers=count), seed=3),
            LoaderBatches(DataLoader(noisy[1], 8)),
        )

    def model() -> nn.Module:
        torch.manual_seed(7)
        return Denoiser(width=4, code=2)

    def made(run: str, count: int) -> Trainer:
        train, val = batches(count)
        return Trainer(model(), train, CONFIG, mse_loss, val, run_dir=project / run)

    list(made("whole", 0))
    cut = made("cut", workers)
    for _ in range(11):
        next(cut)
    del cut
    torch.manual_seed(99)
    np.random.seed(99)
    train, val = batches(workers)
    again = Trainer.resume(project / "cut", train, val, loss=mse_loss, model=model())
    assert again.step == 9
    assert train.epoch_of(9) == 1
    assert 9 % train.steps_per_epoch != 0
    list(again)
    found, wanted = kept(project / "cut"), kept(project / "whole")
    for part in wanted:
        assert found[part] == wanted[part], part
    assert any("running_mean" in name for name in again.model.state_dict())


# ---- losses ------------------------------------------------------------------------------------------


class Constant(nn.Module):
    """Gives the same whatever comes."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = nn.Parameter(output)

    def forward(self, x: Tensor) -> Tensor:
        return self.output[: len(x)]


def test_the_losses_are_their_formulas():
    torch.manual_seed(0)
    out, y = torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16)
    model, x = Constant(out), torch.zeros(4, 3, 16, 16)
    assert mse_loss(model, x, y).item() == pytest.approx(((out - y) ** 2).mean().item())
    assert l1_loss(model, x, y).item() == pytest.approx((out - y).abs().mean().item())
    assert toward(y[0])(model, x, torch.zeros(4)).item() == pytest.approx(((out - y[0]) ** 2).mean().item())
    scores, labels = torch.randn(4, 10), torch.tensor([3, 1, 0, 9])
    by_hand = [-scores[i].softmax(0)[label].log() for i, label in enumerate(labels)]
    assert class_loss(Constant(scores), x, labels).item() == pytest.approx(torch.stack(by_hand).mean().item())
    assert class_loss(Constant(torch.zeros(4, 10)), x, labels).item() == pytest.approx(math.log(10))


@pytest.mark.parametrize("loss", [mse_loss, l1_loss, toward(torch.zeros(3, 8, 8))])
def test_pictures_of_two_shapes_are_refused_and_not_stretched(loss):
    model, x = Constant(torch.zeros(4, 3, 16, 16)), torch.zeros(4, 3, 16, 16)
    with pytest.raises(CourseError, match=r"should have one shape; they have \(4, 3, 16, 16\) and \(4, 3, 8, 8\)"):
        loss(model, x, torch.zeros(4, 3, 8, 8))


@pytest.mark.parametrize("labels", [torch.zeros(3, dtype=torch.long), torch.zeros(4, 1, dtype=torch.long)])
def test_labels_that_do_not_fit_the_scores_are_refused(labels):
    with pytest.raises(CourseError, match=r"scores \(B, K\) for labels \(B,\); the scores are \(4, 10\)"):
        class_loss(Constant(torch.zeros(4, 10)), torch.zeros(4, 3, 16, 16), labels)
    with pytest.raises(CourseError, match="whole numbers"):
        class_loss(Constant(torch.zeros(4, 10)), torch.zeros(4, 3, 16, 16), torch.zeros(4))


def test_toward_one_target_every_output_becomes_it():
    """What the seed's loop first names: it is learned, and the input no longer matters."""
    target = HELD_OUT.images[0]
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(768, 32), nn.ReLU(), nn.Linear(32, 768), nn.Sigmoid(), nn.Unflatten(1, (3, 16, 16))
    model = nn.Sequential(*layers)
    config = TrainConfig(max_steps=120, max_lr=0.02, device="cpu", precision="fp32", weight_decay=0.0)
    records = list(Trainer(model, LoaderBatches(DataLoader(TRAIN, 16, shuffle=True)), config, toward(target)))
    assert records[-1].train_loss < records[0].train_loss / 100
    with torch.no_grad():
        outputs = model.eval()(HELD_OUT.images)
    assert (outputs - target).abs().mean() < 0.02
    assert outputs.std(dim=0).mean() < 0.1 * HELD_OUT.images.std(dim=0).mean()


# ---- asking a classifier -----------------------------------------------------------------------------


def test_what_a_classifier_says_is_counted():
    scores = torch.tensor([[3.0, 0, 0], [0, 2, 0], [0, 0, 1], [0, 5, 0], [1, 0, 0]])
    labels = torch.tensor([0, 1, 1, 0, 0])

    class Known(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return scores[x.flatten(1)[:, 0].long()]

    x = torch.arange(5.0)[:, None, None, None].expand(5, 3, 16, 16)
    model = Known()
    answers = ask(model, [(x[:3], labels[:3]), (x[3:], labels[3:])])
    assert answers.said.tolist() == [0, 1, 2, 1, 0]
    assert answers.accuracy == pytest.approx(3 / 5)
    assert answers.confusion.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert answers.worst(2).tolist() == [3, 2]
    torch.testing.assert_close(answers.probabilities.sum(1), torch.ones(5))
    assert model.training, "its mode is as it was"
    with pytest.raises(CourseError, match="no pictures to ask about"):
        ask(model, [])


def test_a_classifier_is_asked_in_evaluation_mode_and_about_every_sprite():
    model = conv()
    loader = DataLoader(HELD_OUT, 5)
    first, again = ask(model, loader), ask(model, LoaderBatches(loader).windows())
    assert first.probabilities.equal(again.probabilities), "no dropout, and no means of a batch"
    assert first.labels.equal(HELD_OUT.labels)


# ---- models ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [LinearClassifier, ConvClassifier, Denoiser])
def test_shapes_and_what_is_refused(build):
    model = build().eval()
    x = torch.rand(3, 3, 16, 16)
    assert model(x).shape == ((3, 3, 16, 16) if build is Denoiser else (3, 10))
    for wrong in (torch.rand(3, 16, 16), torch.rand(3, 1, 16, 16), torch.rand(3, 3, 32, 32)):
        with pytest.raises(CourseError, match=r"Pictures should be \(B, 3, 16, 16\)"):
            model(wrong)


def test_a_denoisers_pictures_are_colors():
    out = Denoiser().eval()(20 * torch.randn(2, 3, 16, 16))
    assert out.min() >= 0
    assert out.max() <= 1


def test_a_mode_changes_what_dropout_and_batchnorm_do():
    """In training an answer depends on the batch that it is in, and on the draw; in evaluation on neither."""
    model, x = conv(), TRAIN.images[:8]
    with torch.no_grad():
        assert not model(x).equal(model(x)), "dropout"
        model.dropout.p = 0.0
        assert model(x).equal(model(x))
        assert not torch.allclose(model(x)[:4], model(x[:4]), atol=1e-3), "BatchNorm"
        model.eval()
        torch.testing.assert_close(model(x)[:4], model(x[:4]))


def test_a_convolution_sees_the_same_thing_elsewhere_and_a_template_does_not():
    """Moved by four pixels, which is one cell of the pooled maps, it is seen one cell farther."""
    model = conv().eval()
    x = torch.zeros(1, 3, 16, 16)
    x[..., 6:9, 5:8] = torch.rand(3, 3, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        here, there = model.see(x), model.see(x.roll(4, dims=3))
    torch.testing.assert_close(there[..., 1:3, 2], here[..., 1:3, 1])
