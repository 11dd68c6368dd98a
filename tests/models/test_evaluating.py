"""Evaluation mode for a while: afterwards every module has the mode that it had, whoever asked for it."""

import contextlib
import itertools
import sys

import pytest
import torch
from torch import nn

from course_lib.data import Batcher
from course_lib.models import GPT, GPTConfig, evaluating, mode
from course_lib.sampling import generate
from course_lib.training import mean_loss
from course_lib.widgets.heads import look
from course_lib.widgets.sampler import Sampler

V, T = 5, 8
IDX = torch.zeros((1, 4), dtype=torch.long)


def small_model() -> GPT:
    return GPT(GPTConfig(T, V, n_layer=2, n_head=2, n_embd=8, dropout=0.5))


def with_modes(model: nn.Module, number: int) -> dict[str, bool]:
    """Put the model's modules into modes by the digits of a number; each of them by name."""
    for module, training in zip(model.modules(), itertools.cycle(map(int, f"{number:05b}"))):
        module.training = bool(training)
    return {name: module.training for name, module in model.named_modules()}


def asked_by_the_sampler(model: nn.Module) -> None:
    sampler = object.__new__(Sampler)
    sampler._loaded = {"": model}
    sampler._logits([0, 1], "")


USERS = {
    "generate": lambda model: generate(model, IDX, 2, use_cache=True),
    "mean_loss": lambda model: mean_loss(model, Batcher([0, 1, 2, 3] * 10, 2, T).windows(2)),
    "the heads widget": lambda model: look(model, IDX),
    "the sampler widget": asked_by_the_sampler,
}


@pytest.mark.parametrize("number", [0b00000, 0b11111, 0b10110, 0b01101, 0b00001])
@pytest.mark.parametrize("user", USERS)
def test_each_module_has_the_mode_that_it_had(user, number):
    model = small_model()
    modes = with_modes(model, number)
    seen = []
    model.dropout.register_forward_pre_hook(lambda module, args: seen.append(module.training))
    USERS[user](model)
    assert seen
    assert not any(seen)
    assert {name: module.training for name, module in model.named_modules()} == modes


@pytest.mark.parametrize("number", [0b11111, 0b10110, 0b01101])
def test_it_is_put_back_where_an_error_ends_it(number):
    model = small_model()
    modes = with_modes(model, number)
    with contextlib.suppress(ZeroDivisionError), evaluating(model):
        assert not any(module.training for module in model.modules())
        _ = 1 / 0
    assert {name: module.training for name, module in model.named_modules()} == modes


def test_whoever_is_interrupted_on_the_way_back_leaves_a_model_that_is_seen_not_to_be_training():
    """At any line: the trainer looks at the model itself, and puts all of it into training mode where that is not."""

    def interrupted_at(number: int) -> bool:
        seen = 0

        def trace(frame, event, arg):
            nonlocal seen
            if frame.f_code.co_filename != mode.__file__:
                return trace
            seen += event == "line"
            if seen == number:
                seen += 1
                raise KeyboardInterrupt
            return trace

        model = nn.Sequential(nn.Linear(1, 1), nn.Dropout(), nn.Sequential(nn.Dropout(), nn.Dropout()))
        sys.settrace(trace)
        try:
            with mode.evaluating(model):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        assert not model.training or all(module.training for module in model.modules()), number
        return seen > number

    tried = 1
    while interrupted_at(tried):
        tried += 1
    assert tried > 8
