"""Everything that computes goes where the model is: tried on an Apple GPU that is played, and knows no float64."""

import json
from pathlib import Path

import pytest
import torch
from apple import NO_FLOAT64, Memory, apple_gpu
from torch import nn

from course_lib import checkpoint
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.device import device_of
from course_lib.exercises.judge.tensors import alike, difference
from course_lib.lab.sample import SampleWriter
from course_lib.models import GPT
from course_lib.models.attention import rotary_tables
from course_lib.sampling import generate
from course_lib.tokenizers import CharTokenizer
from course_lib.training import Trainer, mean_loss
from course_lib.widgets.heads import look
from course_lib.widgets.sampler import Sampler

pytestmark = pytest.mark.usefixtures("one_thread")

V, T = 11, 8
TOKENIZER = CharTokenizer("abcdefghijk")
TOKENS = torch.randint(0, V, (600,), generator=torch.Generator().manual_seed(1))
HELD_OUT = torch.randint(0, V, (94,), generator=torch.Generator().manual_seed(2))
SHAPE = dict(block_size=T, vocab_size=V, n_layer=2, n_head=2, n_embd=16)
MODERN = dict(position="rope", norm="rmsnorm", qk_norm=True, mlp="relu2", tie_weights=False)
FORMS = {
    "adamw": (SHAPE, dict()),
    "dropout, accumulated": (SHAPE | dict(dropout=0.2, bias=True), dict(grad_accum=2, batch_size=2)),
    "modern, muon": (SHAPE | MODERN, dict(optimizer="muon", max_lr=0.02)),
    "swiglu, without clipping": (SHAPE | MODERN | dict(mlp="swiglu"), dict(grad_clip=0.0)),
    "fp16 with a scaler": (SHAPE, dict(precision="fp16")),
}


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch):
    with apple_gpu(monkeypatch) as memory:
        yield memory


def make_model(**changes) -> GPT:
    torch.manual_seed(7)
    return GPT(GPTConfig(**SHAPE | changes))


def batches(config: TrainConfig) -> dict[str, Batcher]:
    device = config.device
    train = Batcher(TOKENS, config.batch_size, T, config.seed, device=device, grad_accum=config.grad_accum)
    return {"batches": train, "val_batches": Batcher(HELD_OUT, 3, T, device=device)}


def make(form: str, device: str, run: Path | None = None, **changes) -> Trainer:
    shape, settings = FORMS[form]
    usual = dict(max_steps=6, batch_size=4, eval_every=2, save_every=3, device=device)
    config = TrainConfig(**usual | settings | changes)
    return Trainer(make_model(**shape), config=config, **batches(config), tokenizer=TOKENIZER, run_dir=run)


def losses(records) -> list[tuple[float | None, float | None, float | None]]:
    return [(record.train_loss, record.val_loss, record.grad_norm) for record in records]


# The simulation itself --------------------------------------------------------------------------------------


def test_what_an_apple_gpu_refuses_is_refused(apple: Memory) -> None:
    x, here = torch.ones(2, 3).to("mps"), torch.ones(2, 3)
    assert (x.device, here.device) == (torch.device("mps:0"), torch.device("cpu"))
    assert (x * 2.0).device == x[0].device == torch.zeros(3, device="mps").device == x.device
    refused = [
        lambda: x.double(), lambda: x.to(torch.float64), lambda: here.double().to("mps"),
        lambda: x.sum(dtype=torch.float64), lambda: x.cumsum(0, dtype=torch.float64),
        lambda: torch.zeros(3, dtype=torch.float64, device="mps"),
    ]  # fmt: skip
    for attempt in refused:
        with pytest.raises(TypeError, match=NO_FLOAT64[:20]):
            attempt()
    with pytest.raises(RuntimeError, match="same device"):
        x + here
    with pytest.raises(TypeError, match="numpy"):
        x.numpy()
    assert here.double().to("mps", torch.float32).dtype == torch.float32  # the type changes before the way
    assert x.cpu().device == torch.device("cpu")
    assert x.cpu().double().sum() == x.sum().item() == 6
    layer = nn.Linear(3, 2).to("mps")
    layer(x).sum().backward()
    assert {layer.weight.device, layer.weight.grad.device} == {x.device}


# Training ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_run_on_an_apple_gpu_is_the_run_on_the_cpu(form: str, apple: Memory, project: Path) -> None:
    """Steps, evaluations, a save; and from there on again. The played GPU computes as the CPU does.

    Nothing plays its autocast, so that under fp16 only the scaler is at work: by powers of two, which change no bit.
    """
    wanted = losses(make(form, "cpu", precision="fp32"))
    trainer = make(form, "mps", project / "run")
    computed = apple.computed
    found = losses(next(trainer) for _ in range(3))
    assert apple.computed > computed + 100
    trainer.stop()
    assert list(trainer) == []  # saved
    again = Trainer.resume(project / "run", **batches(trainer.config))
    assert found + losses(again) == wanted
    assert {device_of(trainer.model).type, device_of(again.model).type} == {"mps"}
    kept = checkpoint.load(project / "run").model.state_dict()
    assert all(value.equal(again.model.state_dict()[name].cpu()) for name, value in kept.items())
    assert json.loads((project / "run" / "config.json").read_text())["train"]["device"] == "mps"


def test_a_model_is_scored_where_it_is(apple: Memory) -> None:
    """Without a word on where, and with data from elsewhere."""
    model, windows = make_model(), list(Batcher(HELD_OUT, 3, T).windows())
    wanted = mean_loss(model, windows)
    assert mean_loss(model.to("mps"), windows) == wanted
    assert device_of(model).type == "mps"
    nothing = nn.Module()
    assert device_of(nothing) == torch.device("cpu")
    nothing.register_buffer("table", torch.ones(3).to("mps"))
    assert device_of(nothing).type == "mps"


# What looks at a model --------------------------------------------------------------------------------------

SETTINGS = [dict(temperature=0), dict(temperature=2.0), dict(top_k=3), dict(top_p=0.7), dict(use_cache=False)]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_model_writes_there_what_it_writes_here(settings: dict, apple: Memory) -> None:
    model, prompt = make_model(**MODERN), torch.zeros((2, 1), dtype=torch.long)
    wanted = generate(model, prompt, 20, seed=1, **settings)
    assert generate(model.to("mps"), prompt, 20, seed=1, **settings).equal(wanted)


def test_the_lab_looks_at_a_model_there(apple: Memory) -> None:
    model, idx = make_model(**MODERN), torch.arange(T)[None]
    wanted, drawn = look(model, idx), Sampler({"a": model}, TOKENIZER, "abc").draw(12)
    model.to("mps")
    assert all(map(torch.equal, look(model, idx), wanted))
    assert Sampler({"a": model}, TOKENIZER, "abc").draw(12) == drawn
    assert len(SampleWriter(model, TOKENIZER, "a").write(0, 5).text) == 6


def test_tables_and_comparisons_know_devices_without_float64(apple: Memory) -> None:
    wanted = rotary_tables(T, 8)
    with torch.device("mps"):
        found = rotary_tables(T, 8)
    assert all(table.device.type == "mps" for table in found)
    assert all(table.cpu().equal(other) for table, other in zip(found, wanted))
    a, b = torch.ones(3).to("mps"), torch.tensor([1.0, 1.0, 2.0])
    assert alike(a, torch.ones(3))
    assert difference(a, b).startswith("at [2] expected 2")
