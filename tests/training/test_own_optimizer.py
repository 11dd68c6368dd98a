"""One's own optimizer in a trainer: stepped as by hand, its rates by the schedule, kept and resumed bit for bit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kept_run import kept
from safetensors import safe_open
from torch import Tensor, nn

from course_lib import checkpoint
from course_lib.config import DataConfig, GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.errors import CourseError
from course_lib.exercises import find
from course_lib.losses import cross_entropy
from course_lib.models import GPT
from course_lib.optim import OptimizerSet, scheduled_lr
from course_lib.recipes.build import resume_trainer
from course_lib.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

V, T = 11, 8
SHAPE = GPTConfig(T, V, n_layer=1, n_head=2, n_embd=8, dropout=0.1)
TRAIN = torch.randint(0, V, (600,), generator=torch.Generator().manual_seed(1))
VAL = torch.randint(0, V, (94,), generator=torch.Generator().manual_seed(2))
SETTINGS = dict(max_steps=12, warmup_steps=3, eval_every=4, save_every=5, device="cpu", precision="fp32")


def by_solution() -> Callable:
    """lion(w, g, state, lr, decay) -> the new w: what a learner has written in exercise 04-7."""
    written: dict[str, Any] = {}
    exec(find("04-7").solution, written)
    return written["lion"]


class Lion(torch.optim.Optimizer):
    def __init__(self, params: Any, lr: float = 1e-3, decay: float = 0.1) -> None:
        super().__init__(params, dict(lr=lr, decay=decay))
        self.lion = by_solution()

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.copy_(self.lion(p, p.grad, self.state[p], group["lr"], group["decay"]))


class Odd(torch.optim.Optimizer):
    """Keeps things where other optimizers do: another type, a list, a count, a text, a group's counter."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, dict(lr=lr, betas=(0.5, 0.9), counter=0, function=abs))

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            group["counter"] += 1
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state |= {"half": torch.zeros_like(p, dtype=torch.bfloat16), "count": 0, "none": None, "word": "a"}
                    state |= {"deep": {"two": [torch.zeros(p.shape), torch.zeros(3, dtype=torch.int64)]}}
                state["count"] += 1
                state["half"].mul_(group["betas"][0]).add_(p.grad)
                state["deep"]["two"][0].add_(p.grad.abs())
                state["deep"]["two"][1].add_(group["counter"])
                state["word"] = "ab"[state["count"] % 2]
                size = 1 + state["deep"]["two"][1].sum().item() + (state["word"] == "a") + group["counter"]
                p.sub_(state["half"].float() / (1 + state["deep"]["two"][0]), alpha=group["lr"] / size)


def split(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    weights = list(model.parameters())
    return [p for p in weights if p.ndim == 2], [p for p in weights if p.ndim != 2]


def two_kinds(model: nn.Module) -> OptimizerSet:
    matrices, vectors = split(model)
    return OptimizerSet([torch.optim.Muon(matrices, lr=0.02), torch.optim.SGD(vectors, lr=0.1, momentum=0.9)])


def two_groups(model: nn.Module) -> torch.optim.Optimizer:
    matrices, vectors = split(model)
    return torch.optim.AdamW([{"params": vectors, "lr": 1e-3}, {"params": matrices}], lr=1e-2, amsgrad=True)


def of_torch(name: str, **settings: Any) -> Callable:
    return lambda model: getattr(torch.optim, name)(model.parameters(), **settings)


OWN = {
    "Lion": lambda model: Lion(model.parameters()),
    "Odd": lambda model: Odd(model.parameters()),
    "Muon and SGD": two_kinds,
    "two groups": two_groups,
    "SGD": of_torch("SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "plain SGD": of_torch("SGD", lr=0.1),
    "RMSprop": of_torch("RMSprop", lr=1e-3, momentum=0.9, centered=True),
    "Adadelta": of_torch("Adadelta", lr=0.5),
    "Adafactor": of_torch("Adafactor", lr=1e-2),
    "Adagrad": of_torch("Adagrad", lr=1e-2),
    "Adamax": of_torch("Adamax", lr=1e-3),
    "ASGD": of_torch("ASGD", lr=1e-2),
    "NAdam": of_torch("NAdam", lr=1e-3),
    "RAdam": of_torch("RAdam", lr=1e-3),
    "Rprop": of_torch("Rprop", lr=1e-3),
}


def gpt() -> GPT:
    torch.manual_seed(7)
    return GPT(SHAPE)


def make(own: Any, run_dir: Path | None = None, model: nn.Module | None = None, **more: Any) -> Trainer:
    settings = more.pop("settings", {})
    batches, val = Batcher(TRAIN, 4, T, 1337), Batcher(VAL, 3, T)
    config = TrainConfig(**SETTINGS | settings)
    return Trainer(model or gpt(), batches, config, None, val, run_dir=run_dir, optimizer=own, **more)


def resume(run: Path, own: Any, **more: Any) -> Trainer:
    return Trainer.resume(run, Batcher(TRAIN, 4, T, 1337), Batcher(VAL, 3, T), optimizer=own, **more)


# Steps and rates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["Lion", "SGD", "two groups"])
def test_it_steps_as_a_loop_written_by_hand(form: str) -> None:
    model = GPT(SHAPE.replace(dropout=0.0))
    twin = GPT(SHAPE.replace(dropout=0.0))
    twin.load_state_dict(model.state_dict())
    trainer = make(OWN[form], model=model, settings={"grad_clip": 0.0})
    optimizer = OWN[form](twin)
    before = [group["lr"] for group in optimizer.param_groups]
    for record in trainer:
        share = scheduled_lr(trainer.config, record.step) / trainer.config.max_lr
        for group, lr in zip(optimizer.param_groups, before):
            group["lr"] = lr * share
        x, y = trainer.batches.batch(record.step)
        optimizer.zero_grad()
        cross_entropy(twin(x), y).backward()
        optimizer.step()
        assert record.lr == pytest.approx(max(before) * share)
    for ours, theirs in zip(model.parameters(), twin.parameters()):
        torch.testing.assert_close(ours, theirs)


def test_an_optimizer_that_is_there_is_taken_as_it_is() -> None:
    model = gpt()
    own = torch.optim.SGD(model.parameters(), lr=0.1)
    assert make(own, model=model).optimizer is own


@pytest.mark.parametrize("max_lr", [None, 0.003])
def test_groups_keep_their_ratio_and_a_scale_goes_before_it(max_lr: float | None) -> None:
    """The highest rate is max_lr, where nobody chose one; a second trainer finds the same ratio."""
    model = gpt()
    parts = [list(model.parameters())[i::4] for i in range(4)]
    rates = [{"lr": 0.02}, {"lr": 0.2}, {"lr": 7.0, "lr_scale": 3.0}, {"lr": 0.0}]
    own = torch.optim.SGD([{"params": part, **rate} for part, rate in zip(parts, rates)])
    settings = {} if max_lr is None else {"max_lr": max_lr}
    for _ in range(2):
        trainer = make(own, model=model, settings=settings)
        assert trainer.config.max_lr == (max_lr or 0.2)
        for record in trainer:
            wanted = scheduled_lr(trainer.config, record.step)
            assert record.lr == wanted
            assert [group["lr"] for group in own.param_groups] == pytest.approx([0.1 * wanted, wanted, 3 * wanted, 0.0])
    trainer.change(max_lr=0.5)
    assert trainer.config.max_lr == 0.5


def test_a_rate_that_is_a_tensor_is_a_rate() -> None:
    model = gpt()
    trainer = make(torch.optim.Adam(model.parameters(), lr=torch.tensor(0.25)), model=model)
    assert trainer.config.max_lr == 0.25
    next(trainer)


# Kept and resumed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", OWN)
def test_a_resumed_run_is_the_run_that_was_never_stopped(form: str, project: Path) -> None:
    whole, cut = project / "whole", project / "cut"
    list(make(OWN[form], whole))
    trainer = make(OWN[form], cut)
    for _ in range(7):  # and it is gone, with two steps after its last save
        next(trainer)
    del trainer
    again = resume(cut, OWN[form])
    assert again.step == 5
    list(again)
    found, wanted = kept(cut), kept(whole)
    for part in wanted:
        assert found[part] == wanted[part], part


def test_a_run_without_what_its_optimizer_remembers_would_be_noticed(project: Path) -> None:
    list(make(OWN["Lion"], project / "whole"))
    list(make(OWN["Lion"], project / "cut", settings={"max_steps": 5}))
    again = resume(project / "cut", OWN["Lion"], max_steps=12)
    again.optimizer.state.clear()
    list(again)
    assert kept(project / "cut")["model.safetensors"] != kept(project / "whole")["model.safetensors"]


def test_its_groups_get_the_settings_that_they_had(project: Path) -> None:
    list(make(of_torch("SGD", lr=0.1, momentum=0.9), project / "run", settings={"max_steps": 2}))
    again = resume(project / "run", of_torch("SGD", lr=0.5, momentum=0.1), max_lr=0.3, max_steps=4)
    (group,) = again.optimizer.param_groups
    assert (group["momentum"], again.config.max_lr) == (0.9, 0.3)
    assert next(again).lr == scheduled_lr(again.config, 2) == group["lr"]


def test_what_no_file_can_hold_is_as_it_is_given(project: Path) -> None:
    list(make(OWN["Odd"], project / "run"))
    (group,) = resume(project / "run", OWN["Odd"]).optimizer.param_groups
    assert group["function"] is abs
    assert (group["counter"], group["betas"]) == (12, (0.5, 0.9))


def test_the_file_is_plain_and_tells_what_it_holds(project: Path) -> None:
    list(make(OWN["two groups"], project / "run"))
    with safe_open(checkpoint.find_save(project / "run") / "optimizer.safetensors", "pt") as file:
        told = json.loads(file.metadata()["optimizer"])
        assert file.get_tensor("norm.weight/exp_avg").shape == (8,)
    assert told["name"] == "AdamW"
    groups = told["members"][0]["groups"]
    assert [group["settings"]["amsgrad"] for group in groups] == [True, True]
    assert "norm.weight" in groups[0]["params"]


# What is refused -------------------------------------------------------------------------------------------


class NoRate(torch.optim.Optimizer):
    def __init__(self, params: Any) -> None:
        super().__init__(params, {})

    def step(self) -> None: ...


REFUSED = {
    "needs a closure": (of_torch("LBFGS"), "LBFGS.step needs a closure"),
    "a class": (torch.optim.SGD, "should be an optimizer, such as"),
    "a name": ("muon", r"TrainConfig\(optimizer='muon'\)"),
    "a function that makes none": (lambda model: None, "It is None"),
    "another model's": (torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1), "SGD moves weights that are not this"),
    "no rate": (lambda model: NoRate(model.parameters()), "groups of NoRate have no 'lr'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_stepped_is_refused_before_there_is_a_folder(case: str, project: Path) -> None:
    own, words = REFUSED[case]
    with pytest.raises(CourseError, match=words):
        make(own, project / "run")
    assert not (project / "run").exists()


def test_what_a_file_cannot_hold_is_named_and_what_was_saved_stays(project: Path) -> None:
    trainer = make(of_torch("SGD", lr=0.1), project / "run")
    for _ in range(5):
        next(trainer)
    trainer.optimizer.state[next(trainer.model.parameters())] = {"hook": print}
    with pytest.raises(CourseError, match=r"keeps a builtin_function_or_method \(token_embedding.weight/hook\)"):
        list(trainer)
    assert resume(project / "run", of_torch("SGD", lr=0.1)).step == 5


@pytest.fixture
def lions_run(project: Path) -> Path:
    list(make(OWN["Lion"], project / "run", data=DataConfig(dataset="numbers")))
    return project / "run"


def test_a_run_is_not_gone_on_with_without_it(lions_run: Path) -> None:
    for go_on in (
        lambda: resume(lions_run, None),
        lambda: resume(lions_run, "adamw"),
        lambda: resume_trainer(lions_run),
    ):  # the last one before it looks for a text: nobody waits for a large one in vain
        with pytest.raises(CourseError, match=r"an optimizer of its own, Lion.*optimizer=lambda model: Lion\("):
            go_on()


DIFFERENT = {
    "another class": (of_torch("SGD", lr=0.1), "is of an optimizer of the class Lion; this one is SGD"),
    "other groups": (lambda m: Lion([{"params": [p]} for p in m.parameters()]), "Make the groups as they were"),
    "fewer weights": (lambda m: Lion(list(m.parameters())[1:]), "Make the groups as they were"),
    "a set of two": (two_kinds, "this one is Muon[+]SGD"),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_another_optimizer_than_the_runs_is_refused(case: str, lions_run: Path) -> None:
    own, words = DIFFERENT[case]
    with pytest.raises(CourseError, match=words):
        resume(lions_run, own)


def test_a_run_of_the_librarys_optimizer_refuses_one_that_does_not_fit(project: Path) -> None:
    list(make(None, project / "run"))
    assert checkpoint.load(project / "run").state["own_optimizer"] is None
    with pytest.raises(CourseError, match=r"of the library.*this one is Lion\. Leave it out"):
        resume(project / "run", OWN["Lion"])
    with pytest.raises(CourseError, match="another optimizer"):
        resume(project / "run", "muon")
    list(resume(project / "run", "adamw", max_steps=13))
    with safe_open(checkpoint.find_save(project / "run") / "optimizer.safetensors", "pt") as file:
        assert not file.metadata(), "as it always was"
