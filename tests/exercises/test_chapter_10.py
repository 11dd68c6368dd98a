"""Chapter 10's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import random

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from course_lib.corpora.sprites import KINDS
from course_lib.data import PixelRows, SpriteDataset
from course_lib.data.pixels import nearest
from course_lib.exercises import check
from course_lib.models import LinearClassifier
from course_lib.training import ask as ask_model

from .planted import assert_told, endless, nothing, raises, slow, solved, then

pytestmark = pytest.mark.usefixtures("one_thread")

# 10-1 -----------------------------------------------------------------------------------------------------

WRONG_1 = {
    "the mean of means": (lambda ls, ns: sum(ls) / len(ls), "a batch of 8 counts as much as one of 64"),
    "the last left out": (lambda ls, ns: sum(ls[:-1]) / max(len(ls) - 1, 1), "The last batch is left out"),
    "weighted, the last left out": (
        lambda ls, ns: solved("10-1")(ls[:-1], ns[:-1]) if len(ls) > 1 else 0.0, "The last batch is left out"),
    "a sum": (lambda ls, ns: sum(a * b for a, b in zip(ls, ns)), "divide it by how many"),
    "over batches": (lambda ls, ns: sum(a * b for a, b in zip(ls, ns)) / len(ls), "by the number of batches"),
    "all as large": (lambda ls, ns: sum(a * b for a, b in zip(ls, ns)) / (len(ls) * ns[0]), "add up the sizes"),
    "not weighted": (lambda ls, ns: sum(ls) / sum(ns), "loss times size"),
    "not divided": (lambda ls, ns: sum(ls), "nothing is divided"),
    "divided by sizes": (lambda ls, ns: sum(a / b for a, b in zip(ls, ns)), "Multiply each batch mean by its size"),
    "upside down": (lambda ls, ns: sum(a / b for a, b in zip(ls, ns)) / sum(1 / b for b in ns), "upside down"),
    "a tensor": (then(solved("10-1"), torch.tensor), ".item() takes the number out"),
    "changes the list": (lambda ls, ns: ls.clear() or 2.4, "changed a list that it was given"),
    "raises": (raises, "raised IndexError"),
    "no end": (endless(solved("10-1")), "had not come to an end"),
    "slow": (slow(solved("10-1")), "200,000 lines"),
    "nothing returned": (nothing(solved("10-1")), "Does the function end with return?"),
    "called": (2.4, "It got the number 2.4"),
}  # fmt: skip


def test_it_is_the_mean_over_all_pictures():
    losses = torch.rand(136).tolist()
    batches = [losses[i : i + 64] for i in range(0, 136, 64)]
    found = solved("10-1")([sum(batch) / len(batch) for batch in batches], [len(batch) for batch in batches])
    assert found == pytest.approx(sum(losses) / 136)
    assert check("10-1", lambda ls, ns: np.average(ls, weights=ns)).passed


# 10-2 -----------------------------------------------------------------------------------------------------


def assigned(labels, answers, n):
    table = torch.zeros(n, n, dtype=torch.long)
    table[labels, answers] += 1
    return table


def of_those_seen(labels, answers, n):
    seen = sorted({*labels.tolist(), *answers.tolist()})
    table = solved("10-2")(labels, answers, n)
    return table[seen][:, seen]


WRONG_2 = {
    "turned": (lambda y, a, n: solved("10-2")(a, y, n), "the row is the true class"),
    "each pair once": (assigned, "A pair that comes twice counts twice"),
    "turned, each pair once": (lambda y, a, n: assigned(a, y, n), "and a pair that comes twice"),
    "only the right ones": (lambda y, a, n: solved("10-2")(y[y == a], a[y == a], n), "Only the right answers"),
    "only the wrong ones": (lambda y, a, n: solved("10-2")(y[y != a], a[y != a], n), "The right answers are missing"),
    "both sides": (lambda y, a, n: solved("10-2")(y, a, n) + solved("10-2")(a, y, n), "on both sides"),
    "twice": (then(solved("10-2"), lambda t: 2 * t), "counted twice"),
    "of those seen": (of_those_seen, "A class that never came has its row"),
    "shares": (then(solved("10-2"), lambda t: t / t.sum()), "should hold whole numbers"),
    "flat": (then(solved("10-2"), torch.flatten), "a row and a column for each class"),
    "a list": (then(solved("10-2"), lambda t: t.tolist()), "should be a tensor; it is a list"),
    "something else": (then(solved("10-2"), lambda t: t + 1), "9 of 9 entries differ"),
    "changes the labels": (lambda y, a, n: y.zero_(), "changed a tensor"),
    "raises": (raises, "raised IndexError"),
    "no end": (endless(solved("10-2")), "had not come to an end"),
    "nothing returned": (nothing(solved("10-2")), "Does the function end with return?"),
}


def test_it_is_the_table_of_the_library():
    pictures = SpriteDataset(50)
    torch.manual_seed(0)
    model = LinearClassifier()
    answers = ask_model(model, [(pictures.images, pictures.labels)])
    mine = solved("10-2")(pictures.labels, model(pictures.images).argmax(dim=1), len(KINDS))
    assert mine.equal(answers.confusion.long())


# 10-3 -----------------------------------------------------------------------------------------------------


def variant(**methods):
    """The solution with other methods."""
    return type("TwoKinds", (solved("10-3"),), methods)


class Everything(Dataset):
    def __init__(self, images, labels, first, second):
        self.images, self.targets = images, (labels == second).long()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], int(self.targets[index])


def old_label(self, index):
    return self.images[index], int(self.old[index])


class OldLabels(Everything):
    def __init__(self, images, labels, first, second):
        chosen = (labels == first) | (labels == second)
        self.images, self.targets = images[chosen], labels[chosen]


class Turned(OldLabels):
    def __init__(self, images, labels, first, second):
        super().__init__(images, labels, first, second)
        self.targets = (self.targets == first).long()


class BySize(OldLabels):
    def __init__(self, images, labels, first, second):
        super().__init__(images, labels, first, second)
        self.targets = (self.targets == max(first, second)).long()


class NotChosen(OldLabels):
    def __init__(self, images, labels, first, second):
        super().__init__(images, labels, first, second)
        self.targets, self.images = (self.targets == second).long(), images

    def __len__(self):
        return len(self.targets)


class OneKind(Everything):
    def __init__(self, images, labels, first, second):
        super().__init__(images[labels == first], labels[labels == first], first, second)


class NoEnd(OldLabels):
    def __init__(self, images, labels, first, second):
        super().__init__(images, labels, first, second)
        self.targets = (self.targets == second).long()

    def __getitem__(self, index):
        index = index % len(self.images)
        return self.images[index], int(self.targets[index])


def right_item(self, index):
    return solved("10-3").__getitem__(self, index)


WRONG_3 = {
    "everything": (Everything, "also those of other kinds"),
    "one kind": (OneKind, "pictures, 7 are of the two kinds; the dataset's length is"),
    "old labels": (OldLabels, "the old label stands there"),
    "the wrong way round": (Turned, "the first kind is 0, the second 1"),
    "by size": (BySize, "the first kind is 0, the second 1"),
    "the pictures not chosen": (NotChosen, "count only those of the two kinds"),
    "no end": (NoEnd, "It should raise IndexError"),
    "only pictures": (variant(__getitem__=lambda self, i: self.images[i]), "should be a pair"),
    "the wrong order": (variant(__getitem__=lambda self, i: (int(self.targets[i]), self.images[i])),
                        "should begin with a picture"),
    "a share": (variant(__getitem__=lambda self, i: (self.images[i], float(self.targets[i]))), "a whole number"),
    "no return": (variant(__getitem__=lambda self, i: None), "Does __getitem__ end with return?"),
    "raises": (variant(__getitem__=lambda self, i: 1 // 0), "raised ZeroDivisionError"),
    "no length": (type("TwoKinds", (), {"__init__": lambda self, *a: None, "__getitem__": lambda self, i: i}),
                  "with __len__ and __getitem__"),
    "no init": (type("TwoKinds", (Dataset,), {}), "does it have an __init__?"),
    "called": (solved("10-3")(torch.rand(2, 3, 4, 4), torch.tensor([0, 1]), 0, 1), "without parentheses"),
}  # fmt: skip


def test_the_class_full_of_dots_is_not_attempted_yet():
    empty = {name: lambda self, *args: None for name in ("__init__", "__len__", "__getitem__")}
    assert check("10-3", type("TwoKinds", (Dataset,), empty)).passed is None


def test_labels_may_be_tensors_and_the_dataset_plain():
    right = solved("10-3")
    assert check("10-3", variant(__getitem__=lambda self, i: (self.images[i], self.targets[i]))).passed
    assert check("10-3", type("Mine", (), {n: vars(right)[n] for n in ("__init__", "__len__", "__getitem__")})).passed


# 10-4 -----------------------------------------------------------------------------------------------------


def loop(zero=True, train="each", evaluate=True, loss=F.cross_entropy, answer=lambda losses: losses, grad=False):
    """The solution with one thing or another gone wrong."""

    def train_epochs(model, optimizer, batches, val_x, val_y, epochs):
        losses = []
        if train == "once":
            model.train()
        for _ in range(epochs):
            if train == "each":
                model.train()
            for x, y in batches:
                if zero:
                    optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()
            if evaluate:
                model.eval()
            with torch.set_grad_enabled(grad):
                losses.append(loss(model(val_x), val_y).item())
        return answer(losses)

    return train_epochs


WRONG_4 = {
    "no zero_grad": (loop(zero=False), ("2 of 3 faults are mended", "Gradients add up")),
    "train above the loop": (loop(train="once"), ("2 of 3 faults are mended", "nobody switched it back")),
    "no train": (loop(train="never"), ("2 of 3 faults are mended", "nobody switched it back")),
    "no eval": (loop(evaluate=False), ("2 of 3 faults are mended", "Validation runs in training mode")),
    "neither zero_grad nor train": (loop(zero=False, train="once"), ("1 of 3 faults is mended", "Gradients add up")),
    "train and eval only where one stands": (loop(train="never", evaluate=False), "Validation runs in training mode"),
    "another loss": (loop(loss=lambda a, b: F.cross_entropy(a, b, label_smoothing=0.2)), "no loop that I know"),
    "the last loss": (loop(answer=lambda losses: losses[-1]), "should return its list of validation losses"),
    "one too few": (loop(answer=lambda losses: losses[1:]), "should return 3 losses; it returned 2"),
    "rounded": (loop(answer=lambda losses: [round(v, 1) for v in losses]), "The validation loss of epoch"),
    "tensors": (loop(answer=lambda losses: [torch.tensor(v) for v in losses]), ".item() takes the number out"),
    "no step": (lambda model, *rest: [1.0] * 3, "moved no weight"),
    "raises": (raises, "raised IndexError"),
    "no end": (endless(solved("10-4")), "had not come to an end"),
    "nothing returned": (nothing(solved("10-4")), "it is None"),
}


def test_the_loop_as_the_chapter_has_it_is_not_attempted_yet():
    for untouched in (loop(zero=False, train="once", evaluate=False), loop(zero=False, train="never", evaluate=False)):
        assert repr(check("10-4", untouched)) == "Not attempted yet. All three faults are still in the loop."


def test_zero_grad_may_stand_anywhere_in_the_round_and_inference_mode_is_as_good():
    def train_epochs(model, optimizer, batches, val_x, val_y, epochs):
        losses = []
        for _ in range(epochs):
            for x, y in batches:
                model.train()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                model.zero_grad()
            with torch.inference_mode():
                losses.append(F.cross_entropy(model.eval()(val_x), val_y).item())
        return losses

    assert check("10-4", train_epochs).passed


# 10-5 -----------------------------------------------------------------------------------------------------


def coin(seed, flip=lambda image: image.flip(2), chance=0.5):
    """A mirror whose coin is seeded by ``seed(index, epoch, seed)``."""

    def maybe_mirrored(image, index, epoch, s):
        return flip(image) if random.Random(repr(seed(index, epoch, s))).random() < chance else image

    return maybe_mirrored


def all_three(*three):
    return three


def by_torch(image, index, epoch, seed):
    torch.manual_seed(seed * 10_000 + epoch * 100 + index)
    return image.flip(2) if torch.rand(1) < 0.5 else image


def remembers():
    seen = []

    def maybe_mirrored(image, index, epoch, seed):
        seen.append(index)
        return image.flip(2) if random.Random(len(seen)).random() < 0.5 else image

    return maybe_mirrored


WRONG_5 = {
    "upside down": (coin(all_three, lambda image: image.flip(1)), "It stands on its head"),
    "colors": (coin(all_three, lambda image: image.flip(0)), "Red and blue are exchanged"),
    "turned": (coin(all_three, lambda image: image.flip(1, 2)), "more than a mirror does"),
    "another picture": (coin(all_three, lambda image: image * 0), "another picture"),
    "global torch": (by_torch, "random numbers of torch"),
    "global random": (lambda image, *t: image.flip(2) if random.random() < 0.5 else image, "numbers of random"),
    "global numpy": (lambda image, *t: image.flip(2) if np.random.rand() < 0.5 else image, "numbers of np.random"),
    "the order of the calls": (remembers(), "once and once not"),
    "never": (lambda image, *three: image.clone(), "It never mirrors"),
    "always": (lambda image, *three: image.flip(2), "It always mirrors"),
    "seldom": (coin(all_three, chance=0.2), "about half of them should"),
    "no epoch": (coin(lambda i, e, s: (i, s)), "The epoch should decide too"),
    "no index": (coin(lambda i, e, s: (e, s)), "The index should decide too"),
    "no seed": (coin(lambda i, e, s: (i, e)), "The seed should decide too"),
    "index and epoch added": (coin(lambda i, e, s: (i + e, s)), "the sum of index and epoch is no seed"),
    "seed and index added": (coin(lambda i, e, s: (i + s, e)), "3 + 1 is 2 + 2"),
    "seed and epoch added": (coin(lambda i, e, s: (i, e + s)), "3 + 1 is 2 + 2"),
    "every other one": (lambda image, i, e, s: image.flip(2) if i % 2 else image, "The epoch should decide too"),
    "changes it": (lambda image, *three: image.zero_(), "changed a tensor"),
    "a shape": (coin(all_three, lambda image: image[0]), "should have the shape"),
    "raises": (raises, "raised IndexError"),
    "no end": (endless(solved("10-5")), "had not come to an end"),
    "nothing returned": (nothing(solved("10-5")), "Does the function end with return?"),
}


def test_other_generators_of_ones_own_are_right_too():
    def by_generator(image, index, epoch, seed):
        own = torch.Generator().manual_seed(seed * 1_000_003 + epoch * 10_007 + index)
        return image.flip(-1) if torch.rand(20, generator=own)[-1] < 0.5 else image

    def by_numpy(image, index, epoch, seed):
        return image.flip(-1) if np.random.default_rng([seed, epoch, index]).random() < 0.5 else image

    assert check("10-5", by_generator).passed
    assert check("10-5", by_numpy).passed


# 10-6 -----------------------------------------------------------------------------------------------------


def any_off(drawn, known):
    new = [tuple(r[1:]) for r in drawn.tolist() if any(r[1:] != k[1:] for k in known.tolist())]
    return len(new), solved("10-6")(drawn, known)[1]


def with_class(drawn, known):
    new = [tuple(row) for row in drawn.tolist() if row not in known.tolist()]
    return len(new), len(set(new))


def as_sets(drawn, known):
    sets = {frozenset(row[1:]) for row in known.tolist()}
    return sum(frozenset(r[1:]) not in sets for r in drawn.tolist()), solved("10-6")(drawn, known)[1]


WRONG_6 = {
    "the class compared": (with_class, "The class's id is compared"),
    "turned": (then(solved("10-6"), lambda two: two[::-1]), "The two are the wrong way round"),
    "the copies": (lambda d, k: (len(d) - solved("10-6")(d, k)[0], solved("10-6")(d, k)[1]), "counts the copies"),
    "twice": (then(solved("10-6"), lambda two: (two[0], two[0])), "drawn twice twice"),
    "different ones twice": (then(solved("10-6"), lambda two: (two[1], two[1])), "however often it was drawn"),
    "of all": (lambda d, k: (solved("10-6")(d, k)[0], len({tuple(r[1:]) for r in d.tolist()})), "about the new ones"),
    "unlike one of them": (any_off, "which nearly every picture does"),
    "sets of colors": (as_sets, "no set of colors"),
    "shares": (lambda d, k: tuple(n / len(d) for n in solved("10-6")(d, k)), "counts and no shares"),
    "one number": (then(solved("10-6"), lambda two: two[0]), "should be a pair"),
    "changes it": (lambda d, k: (len(d.zero_()), 0), "changed a tensor"),
    "raises": (raises, "raised IndexError"),
    "no end": (endless(solved("10-6")), "had not come to an end"),
    "slow": (slow(solved("10-6")), "200,000 lines"),
    "nothing returned": (nothing(solved("10-6")), "Does the function end with return?"),
    "called": ((3, 2), "It got a tuple of 2"),
}


def test_it_counts_as_the_library_does():
    rows = PixelRows(SpriteDataset(60, plain=True)).ids
    drawn = torch.cat((rows[:10], rows[:10]))
    drawn[5:, 7] = 3
    new = int((nearest(drawn, rows) > 0).sum())
    assert solved("10-6")(drawn, rows) == (new, len({tuple(r[1:]) for r in drawn[nearest(drawn, rows) > 0].tolist()}))
    assert 0 < new < 20


# All of them ----------------------------------------------------------------------------------------------

PLANTED = {
    "10-1": WRONG_1, "10-2": WRONG_2, "10-3": WRONG_3, "10-4": WRONG_4, "10-5": WRONG_5, "10-6": WRONG_6,
}  # fmt: skip
CASES = [(exercise, name) for exercise, wrong in PLANTED.items() for name in wrong]


@pytest.mark.parametrize(("exercise", "name"), CASES, ids=lambda word: word)
def test_a_wrong_answer_is_told_what_is_wrong(exercise, name):
    assert_told(exercise, *PLANTED[exercise][name])
