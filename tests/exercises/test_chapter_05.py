"""Chapter 05's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from course_lib.exercises import check
from course_lib.losses import cross_entropy
from course_lib.optim import build_adamw
from course_lib.training import mean_loss

from .planted import assert_told

pytestmark = pytest.mark.usefixtures("one_thread")


# 05-1 -----------------------------------------------------------------------------------------------------

SIZES = (40, 256, 50_257)


def by(function) -> dict:
    return {size: function(size) for size in SIZES}


WRONG_1 = {
    "bits": (by(math.log2), "bits"),
    "log10": (by(math.log10), "log10"),
    "the probability": (by(lambda V: 1 / V), "minus its logarithm"),
    "the wrong sign": (by(lambda V: -math.log(V)), "never below 0"),
    "the vocabulary": (by(lambda V: V), "the vocabulary itself"),
    "too coarse": (by(lambda V: round(math.log(V), 1)), "two places"),
    "a guess": (by(lambda V: 2.5), "the probability 0.0821; a model that knows nothing gives it 1/40"),
    "the last one wrong": ({40: 3.69, 256: 5.55, 50257: 15.62}, "For a vocabulary of 50,257"),
    "one missing": ({40: 3.69, 256: ..., 50257: 10.82}, "256 is still missing"),
    "one size missing": ({40: 3.69, 256: 5.55}, "there is no answer for 50257"),
    "a text": ({40: "3.69", 256: 5.55, 50257: 10.82}, "should be a number; it is the text"),
    "a tensor": (by(lambda V: torch.tensor(V).log()), ".item() takes the number out"),
    "infinite": (by(lambda V: -math.inf), "finite"),
    "absurd": (by(lambda V: -1e9), "nothing sensible"),
    "no dict": (3.689, "a dict with three numbers"),
}


@pytest.mark.parametrize(
    "attempt", [by(math.log), by(lambda V: round(math.log(V), 2)), [3.68, 5.54, 10.82], by(lambda V: -math.log(1 / V))]
)
def test_a_right_first_loss_may_be_rounded_and_come_in_order(attempt):
    assert check("05-1", attempt).passed


# 05-2 -----------------------------------------------------------------------------------------------------


WRONG_2 = {
    "no accumulation": (lambda s, b, t, g, n: s * b * t / n, "grad_accum is left out"),
    "no block_size": (lambda s, b, t, g, n: s * b * g / n, "block_size is left out"),
    "no batch_size": (lambda s, b, t, g, n: s * t * g / n, "batch_size is left out"),
    "no steps": (lambda s, b, t, g, n: b * t * g / n, "steps is left out"),
    "not divided": (lambda s, b, t, g, n: s * b * t * g, "divide by its length"),
    "upside down": (lambda s, b, t, g, n: n / (s * b * t * g), "stands on its head"),
    "whole division": (lambda s, b, t, g, n: s * b * t * g // n, "throws the fraction away"),
    "percent": (lambda s, b, t, g, n: 100 * s * b * t * g / n, "percent"),
    "rounded up": (lambda s, b, t, g, n: math.ceil(s * b * t * g / n), "should return 0.3; it returned 1"),
    "rounded": (lambda s, b, t, g, n: round(s * b * t * g / n, 0 if n > 1000 else 4), "Do not round"),
    "one step too many": (lambda s, b, t, g, n: (s + 1) * b * t * g / n, "should return 0.3; it returned 0.33"),
    "nothing returned": (lambda s, b, t, g, n: print(end=""), "Does the function end with return?"),
    "a tensor": (lambda s, b, t, g, n: torch.tensor(s * b * t * g / n), ".item()"),
    "called": (0.3, "without parentheses after it. It got the number 0.3"),
    "arguments forgotten": (lambda s, b, t: s * b * t, "yours takes (s, b, t)"),
}


def test_counting_targets_instead_of_characters_is_right_too():
    assert check("05-2", lambda s, b, t, g, n: s * b * t * g / (n - 1)).passed


# 05-3 -----------------------------------------------------------------------------------------------------


def step_03(order: str, loss=lambda model, x, y: cross_entropy(model(x), y), clip=clip_grad_norm_, returned="item"):
    """A clipped_step whose lines come in the given order, one letter each: zero, forward, backward, clip, step."""

    def clipped_step(model, optimizer, x, y, max_norm):
        value = None
        for line in order:
            if line == "z":
                optimizer.zero_grad()
            elif line == "f":
                value = loss(model, x, y)
            elif line == "b":
                value.backward()
            elif line == "c":
                clip(model.parameters(), max_norm)
            elif line == "s":
                optimizer.step()
        if returned == "late":
            value = cross_entropy(model(x), y)
        return {"tensor": value, "nothing": None}.get(returned, value.item())

    return clipped_step


def always_shortened(parameters, max_norm):
    for p in parameters:
        p.grad *= max_norm / p.grad.norm()


def halved(parameters, max_norm):
    for p in parameters:
        p.grad *= 0.5 * max_norm / p.grad.norm() if p.grad.norm() > max_norm else 1


def summed(model, x, y):
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum")


WRONG_3 = {
    "never clipped": (step_03("zfbs"), "max_norm is 0.1. Clip between backward() and step()"),
    "clipped before backward": (step_03("zfcbs"), "before backward() there is nothing to clip"),
    "clipped after the step": (step_03("zfbsc"), "clipped after the step"),
    "clipped by value": (step_03("zfbcs", clip=clip_grad_value_), "points another way"),
    "always shortened": (step_03("zfbcs", clip=always_shortened), "With max_norm=10"),
    "shortened too far": (step_03("zfbcs", clip=halved), "should be shortened to exactly that"),
    "not forgotten": (step_03("fbcs"), "begin with optimizer.zero_grad()"),
    "not forgotten, clipped early": (step_03("fcbs"), "begin with optimizer.zero_grad()"),
    "forgotten after the step": (step_03("fbcsz"), "begin with optimizer.zero_grad()"),
    "forgotten too early": (step_03("fbzcs"), "zero_grad() stands between"),
    "step before backward": (step_03("zfsbc"), "step() came before backward()"),
    "no backward": (step_03("zfcs"), "backward() was never called"),
    "no step": (step_03("zfbc"), "step() was never called"),
    "two steps": (step_03("zfbcss"), "called 2 times"),
    "inputs as targets": (step_03("zfbcs", lambda m, x, y: cross_entropy(m(x), x)), "The targets are y"),
    "shifted twice": (
        step_03("zfbcs", lambda m, x, y: cross_entropy(m(x[:, :-1]), y[:, 1:])),
        "do not shift it once more",
    ),
    "the sum": (step_03("zfbcs", summed), "the loss is their mean"),
    "uphill": (step_03("zfbcs", lambda m, x, y: -cross_entropy(m(x), y)), "wrong sign"),
    "half of it": (step_03("zfbcs", lambda m, x, y: 0.5 * cross_entropy(m(x), y)), "at [0, 0] expected"),
    "nothing returned": (step_03("zfbcs", returned="nothing"), "Does the function end with return?"),
    "a tensor returned": (step_03("zfbcs", returned="tensor"), ".item() takes the number out"),
    "the loss after the step": (step_03("zfbcs", returned="late"), "before it"),
    "no max_norm": (lambda model, optimizer, x, y: 0.0, "yours takes (model, optimizer, x, y)"),
    "a class": (torch.nn.Linear, "It got the class Linear"),
    "called": (2.07, "its name, without parentheses after it. It got the number 2.07"),
    "does something else": (lambda *args: 1.0, "The model was never called"),
}


def test_other_ways_of_writing_the_step_are_right():
    def by_hand(model, optimizer, x, y, max_norm):
        for p in model.parameters():
            p.grad = None
        loss = F.cross_entropy(model(x).transpose(1, 2), y)
        before = loss.item()
        loss.backward()
        norm = sum(p.grad.pow(2).sum() for p in model.parameters()).sqrt()
        for p in model.parameters():
            p.grad *= min(1.0, max_norm / norm)
        optimizer.step()
        return before

    assert check("05-3", by_hand).passed
    assert check("05-3", step_03("fzbcs")).passed, "zero_grad may come after forward"


# 05-4 -----------------------------------------------------------------------------------------------------


def validation_04(mode="eval", grad=False, weight=lambda y: y.numel(), over=None, after="as it was", early=False):
    """A validation_loss with one thing or another gone wrong."""

    def validation_loss(model, batches):
        was_training = model.training
        if mode == "eval":
            model.eval()
        total, count = 0.0, 0
        with torch.set_grad_enabled(grad):
            for x, y in batches:
                total += cross_entropy(model(x), y).item() * weight(y)
                count += weight(y)
                if early:
                    break
        model.train({"as it was": was_training, "training": True, "eval": False}[after])
        return total / (over(count) if over else count)

    return validation_loss


def trains_as_well(model, batches):
    was_training = model.training
    model.eval()
    for x, y in batches:
        with torch.no_grad():
            loss = cross_entropy(model(x), y)
        with torch.enable_grad():
            (model.table.weight.sum() * 0).backward()
    model.train(was_training)
    return loss.item()


def counts_first(model, batches):
    n = sum(y.numel() for _, y in batches)
    with torch.no_grad():
        was_training = model.training
        model.eval()
        total = sum(cross_entropy(model(x), y).item() * y.numel() for x, y in batches)
        model.train(was_training)
        return total / max(n, 1)


def needs_a_length(model, batches):
    assert len(batches)
    return validation_04()(model, batches)


def a_tensor(model, batches):
    return torch.tensor(validation_04()(model, batches))


WRONG_4 = {
    "training mode": (validation_04(mode="train"), "training mode while it was scored"),
    "gradients": (validation_04(grad=True), "torch.no_grad()"),
    "every batch alike": (validation_04(weight=lambda y: 1), "counts as much as one of 12"),
    "weighted by rows": (validation_04(weight=len), "Count targets"),
    "the sum of losses": (validation_04(weight=lambda y: 1, over=lambda n: 1), "sum of the batches' losses"),
    "not divided": (validation_04(over=lambda n: 1), "the sum over all targets"),
    "divided by batches": (validation_04(over=lambda n: 3), "not by the number of batches"),
    "one batch only": (validation_04(early=True), "3 batches, and the model was called 1 times. Is there a return"),
    "left in evaluation": (validation_04(after="eval"), "Remember model.training at the start"),
    "always put into training": (validation_04(after="training"), "Do not always end with model.train()"),
    "a tensor": (a_tensor, ".item()"),
    "trains as well": (trains_as_well, "Scoring must not train"),
    "needs a length": (needs_a_length, "from a generator, and then validation_loss"),
    "goes through twice": (counts_first, "go through the batches once"),
    "no model call": (lambda model, batches: 1.6, "The guesses are model(x)"),
    "called": ("1.6", "It got the text '1.6'"),
}


def test_the_librarys_own_way_of_scoring_is_right():
    assert check("05-4", mean_loss).passed
    assert check("05-4", torch.inference_mode()(validation_04(grad=False))).passed


# 05-5 -----------------------------------------------------------------------------------------------------


def accumulated_05(divide=4.0, zero="before", step="after", backward="each", returned=lambda losses: sum(losses) / 4):
    """An accumulated_step with one thing or another gone wrong."""

    def accumulated_step(model, optimizer, micro_batches):
        if zero == "before":
            optimizer.zero_grad()
        losses, total = [], 0.0
        for x, y in micro_batches:
            if zero == "inside":
                optimizer.zero_grad()
            loss = cross_entropy(model(x), y)
            losses.append(loss.item())
            if backward == "each":
                (loss / divide).backward()
            total = total + loss / divide
            if step == "inside":
                optimizer.step()
        if backward == "once":
            total.backward()
        if step == "after":
            optimizer.step()
        return returned(losses)

    return accumulated_step


def all_at_once(model, optimizer, micro_batches):
    optimizer.zero_grad()
    loss = cross_entropy(model(torch.cat([x for x, _ in micro_batches])), torch.cat([y for _, y in micro_batches]))
    loss.backward()
    optimizer.step()
    return loss.item()


def returns_inside(model, optimizer, micro_batches):
    optimizer.zero_grad()
    for x, y in micro_batches:
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()


WRONG_5 = {
    "not divided": (accumulated_05(divide=1.0), "4 times as long: divide each loss"),
    "divided twice": (accumulated_05(divide=16.0), "twice; once is enough"),
    "zero_grad inside": (accumulated_05(zero="inside"), "the last micro-batch alone"),
    "zero_grad inside, not divided": (accumulated_05(zero="inside", divide=1.0), "the last micro-batch alone"),
    "zero_grad forgotten": (accumulated_05(zero="never"), "once, before the loop"),
    "neither": (accumulated_05(zero="never", divide=1.0), "once, before the loop"),
    "divided by something else": (accumulated_05(divide=3.0), "at [0, 0] expected"),
    "step inside": (accumulated_05(step="inside"), "step() was called 4 times"),
    "no step": (accumulated_05(step="never"), "step() was never called"),
    "one backward": (accumulated_05(backward="once"), "inside the loop"),
    "one large batch": (all_at_once, "takes the memory"),
    "return inside the loop": (returns_inside, "Of 4 micro-batches the model was given 1"),
    "the sum returned": (accumulated_05(returned=sum), "That is the sum"),
    "the last loss returned": (accumulated_05(returned=lambda losses: losses[-1]), "the last micro-batch alone"),
    "divided returned": (accumulated_05(returned=lambda losses: sum(losses) / 16), "divided twice"),
    "nothing returned": (accumulated_05(returned=lambda losses: None), "Does the function end with return?"),
    "called": (torch.tensor(2.0), "It got a tensor with the one number 2"),
}


def test_dividing_the_gradients_at_the_end_is_right_too():
    def accumulated_step(model, optimizer, micro_batches):
        model.zero_grad()
        losses = []
        for x, y in micro_batches:
            loss = cross_entropy(model(x), y)
            loss.backward()
            losses.append(loss.item())
        for p in model.parameters():
            p.grad /= len(micro_batches)
        optimizer.step()
        return sum(losses) / len(losses)

    assert check("05-5", accumulated_step).passed


# 05-6 -----------------------------------------------------------------------------------------------------


def loop_06(optimizer="once", truth="y", zero="right", rounds=lambda steps: steps, returned=lambda losses: losses):
    """The loop of the exercise, with the faults that are wanted."""

    def train_loop(model, batches, steps):
        losses = []
        mover = build_adamw(model, lr=0.01)
        for step in range(rounds(steps)):
            if optimizer == "anew":
                mover = build_adamw(model, lr=0.01)
            x, y = batches.batch(step)
            if zero == "right":
                mover.zero_grad()
            loss = cross_entropy(model(x), {"x": x, "y": y, "shifted": y.roll(1, 1)}[truth])
            loss.backward()
            if zero == "between":
                mover.zero_grad()
            mover.step()
            losses.append(loss.item())
        return returned(losses)

    return train_loop


WRONG_6 = {
    "the optimizer is left": (loop_06(optimizer="anew"), ("2 of 3", "Each step has a new optimizer")),
    "the targets are left": (loop_06(truth="x"), ("2 of 3", "compares the guesses with the tokens that went in")),
    "zero_grad is left": (loop_06(zero="between"), ("2 of 3", "optimizer.step() finds none")),
    "zero_grad and targets": (loop_06(zero="between", truth="x"), ("1 of 3 faults is", "finds none")),
    "zero_grad and optimizer": (loop_06(zero="between", optimizer="anew"), ("1 of 3", "finds none")),
    "targets and optimizer": (loop_06(truth="x", optimizer="anew"), ("1 of 3", "went in")),
    "zero_grad thrown out": (loop_06(zero="never"), ("faults are gone", "at step 1", "zero_grad() in each")),
    "other targets": (loop_06(truth="shifted"), ("The three faults are gone", "not that of batch 0")),
    "one round": (loop_06(rounds=lambda steps: 1), ("1 times", "once a step")),
    "losses forgotten": (loop_06(returned=lambda losses: None), ("list of losses; it is None",)),
    "the last loss only": (loop_06(returned=lambda losses: losses[-1]), ("list of losses; it is the number",)),
    "a loss too few": (loop_06(returned=lambda losses: losses[1:]), ("4 losses; it returned 3",)),
    "tensors": (loop_06(returned=lambda losses: [torch.tensor(v) for v in losses]), ("loss of step 0", ".item()")),
    "other losses": (loop_06(returned=lambda losses: [v + 1 for v in losses]), ("The loss of step 0 should be",)),
    "called": ([1.0, 2.0], ("It got a list of 2",)),
}


def test_the_loop_as_it_is_given_counts_as_not_attempted():
    verdict = check("05-6", loop_06(optimizer="anew", truth="x", zero="between"))
    assert verdict.passed is None
    assert "All three faults" in repr(verdict)


def test_another_optimizer_may_mend_the_loop():
    def train_loop(model, batches, steps):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for step in range(steps):
            x, y = batches.batch(step)
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    assert check("05-6", train_loop).passed


# 05-7 -----------------------------------------------------------------------------------------------------


def position_07(dim=-1, mode="eval", grad=False, finish=lambda parts: torch.cat(parts).mean(dim=0), after="as it was"):
    """A loss_by_position with one thing or another gone wrong; ``finish`` gets the losses (B, T) of each batch."""

    def loss_by_position(model, batches):
        was_training = model.training
        if mode == "eval":
            model.eval()
        with torch.set_grad_enabled(grad):
            parts = [-model(x).log_softmax(dim=dim).gather(-1, y[..., None]).squeeze(-1) for x, y in batches]
        model.train({"as it was": was_training, "training": True, "eval": False}[after])
        return finish(parts)

    return loss_by_position


def needs_a_list(model, batches):
    return position_07()(model, batches[:])


WRONG_7 = {
    "needs a list": (needs_a_list, "from a generator, and then loss_by_position"),
    "softmax over places": (position_07(dim=1), "taken over the places"),
    "softmax over windows": (position_07(dim=0), "taken over the windows"),
    "one number": (position_07(finish=lambda parts: torch.cat(parts).mean()), "the places were averaged too"),
    "one per window": (position_07(finish=lambda parts: torch.cat(parts).mean(dim=1)), "one loss for each window"),
    "not averaged": (position_07(finish=torch.cat), "should have the shape (4,), (T,): one loss for each place"),
    "a mean of means": (
        position_07(finish=lambda parts: sum(p.mean(dim=0) for p in parts) / 2),
        "Weight each batch by its windows",
    ),
    "a sum of means": (position_07(finish=lambda parts: sum(p.mean(dim=0) for p in parts)), "sum of the batches'"),
    "a sum": (position_07(finish=lambda parts: torch.cat(parts).sum(dim=0)), "sum over the windows"),
    "the wrong sign": (position_07(finish=lambda parts: -torch.cat(parts).mean(dim=0)), "The sign is wrong"),
    "probabilities": (position_07(finish=lambda parts: (-torch.cat(parts)).exp().mean(dim=0)), "probabilities"),
    "the last batch": (position_07(finish=lambda parts: parts[-1].mean(dim=0)), "the last batch alone"),
    "training mode": (position_07(mode="train"), "training mode while it was scored"),
    "gradients": (position_07(grad=True), "torch.no_grad()"),
    "left in evaluation": (position_07(after="eval"), "Remember model.training"),
    "put into training": (position_07(after="training"), "Do not always end"),
    "a list": (position_07(finish=lambda parts: torch.cat(parts).mean(dim=0).tolist()), "it is a list of 4"),
    "bits": (position_07(finish=lambda parts: torch.cat(parts).mean(dim=0) / math.log(2)), "at [0] expected"),
    "called": (torch.zeros(4), "It got a tensor of shape (4,)"),
}


# All of them ----------------------------------------------------------------------------------------------

PLANTED = {
    "05-1": WRONG_1,
    "05-2": WRONG_2,
    "05-3": WRONG_3,
    "05-4": WRONG_4,
    "05-5": WRONG_5,
    "05-6": WRONG_6,
    "05-7": WRONG_7,
}
"""Exercise to mistakes; a mistake's name to an attempt and the words, one or several, that must be said of it."""


@pytest.mark.parametrize(("exercise", "name"), [(exercise, name) for exercise in PLANTED for name in PLANTED[exercise]])
def test_a_planted_mistake_is_told_what_is_wrong(exercise, name):
    assert_told(exercise, *PLANTED[exercise][name])
