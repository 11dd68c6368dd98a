"""The count of a step, against steps that are really taken: torch's own count of products, and all bytes that live."""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from course_lib.config import MODEL_KINDS, Config, GPTConfig, ModelKind, TrainConfig
from course_lib.lab import counting
from course_lib.lab.counting import count, counted
from course_lib.lab.forecast import memory_for, step_flops, weights_of
from course_lib.losses import cross_entropy
from course_lib.models import build_model
from course_lib.optim import OptimizerSet, build_optimizer, orthogonalize
from course_lib.recipes import Recipe, load_recipe, names

pytestmark = pytest.mark.usefixtures("one_thread")

V = 30
USUAL = load_recipe("tinytales_cpu").replace(
    n_layer=2, n_head=4, n_embd=64, batch_size=8, block_size=32, device="cpu", eval_batches=None,
)  # fmt: skip
OLD = dict(position="learned", norm="layernorm", qk_norm=False, mlp="gelu", tie_weights=True, zero_init=False)
FORMS = {
    "modern": {},
    "GPT-2's": OLD,
    "GPT-2's, with bias and dropout": OLD | dict(bias=True, dropout=0.1),
    "modern, with dropout": dict(dropout=0.1),
    "SwiGLU": dict(mlp="swiglu"),
    "one layer": dict(n_layer=1),
    "deep, and hardly any text": dict(n_layer=7, batch_size=1, block_size=4),
    "a long text": dict(block_size=160, batch_size=2),
    "wide": dict(n_embd=160, n_head=2, n_layer=3, batch_size=2),
    "many batches": dict(batch_size=20),
    "several micro-batches": dict(grad_accum=3, n_layer=4),
    "few rows for n-grams": dict(ngrams=(2, 3), ngram_rows=60),
    "many rows for n-grams": dict(ngrams=(2, 3, 4), ngram_rows=30_000),
    "many rows, and several micro-batches": dict(ngrams=(2, 3), ngram_rows=20_000, grad_accum=3),
    "several micro-batches, and hardly any text": dict(grad_accum=2, n_layer=4, batch_size=1, block_size=4),
}


class Living(TorchDispatchMode):
    """The bytes of all tensors that live, at each moment, and the most of them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: dict[int, Any] = {}

    def add(self, tensor: Tensor) -> None:
        if tensor.is_sparse:  # its memory is that of two others
            self.add(tensor._indices())
            self.add(tensor._values())
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self.now += size
        self.most = max(self.most, self.now)

        def gone(_: object) -> None:
            self.now -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, gone)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for part in tree_leaves(out):
            if isinstance(part, Tensor):
                self.add(part)
        return out


def real_peak(recipe: Recipe) -> int:
    """The most bytes that live at once in the second step of a real training: the first makes the optimizer's state."""
    torch.manual_seed(0)
    model = build_model(recipe.model(V))
    optimizer = build_optimizer(model, recipe.train)
    idx = torch.zeros((recipe.train.batch_size, recipe.model(V).block_size), dtype=torch.long)
    living = Living()
    for p in model.parameters():
        living.add(p)
    with living:
        for _ in range(2):
            living.most = living.now
            optimizer.zero_grad()
            for _ in range(recipe.train.grad_accum):
                cross_entropy(model(idx), idx).backward()
            optimizer.step()
    return living.most


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("form", FORMS)
def test_memory_is_the_most_that_a_real_step_holds(form: str, optimizer: str) -> None:
    """Weights, gradients, what the optimizer keeps and needs, activations, and what passes through a layer."""
    recipe = USUAL.replace(optimizer=optimizer, **FORMS[form])
    assert memory_for(recipe, V) == pytest.approx(real_peak(recipe), rel=0.005)


def real_products(work: Callable[[], object]) -> int:
    """torch's own count of the multiplications and additions in matrix products."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # it counts no other attention
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize("form", FORMS)
def test_the_count_of_operations_is_torchs_own_to_the_last(form: str) -> None:
    recipe = USUAL.replace(**FORMS[form], optimizer="adamw")
    torch.manual_seed(0)
    model = build_model(recipe.model(V))
    shape = (recipe.train.batch_size, recipe.model(V).block_size)
    idx = torch.zeros(shape, dtype=torch.long)
    both = real_products(lambda: cross_entropy(model(idx), idx).backward())
    found = counted(recipe.model(V), recipe.train)
    assert found.both == both
    assert found.forward == real_products(lambda: model(idx))
    assert 3 * found.forward == both
    assert both == model.flops_per_token() * idx.numel()
    assert step_flops(recipe, V) == both * recipe.train.grad_accum
    assert weights_of(recipe, V) == model.num_parameters()


@pytest.mark.parametrize("changes", [{}, OLD, dict(mlp="swiglu", n_layer=3), dict(n_embd=96)])
def test_muons_count_is_torchs_own(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    recipe = USUAL.replace(**changes)
    truth = 0
    for name, p in build_model(recipe.model(V)).named_parameters():
        if p.ndim == 2 and "blocks" in name:
            for matrix in p.detach().chunk(3) if "qkv" in name else (p.detach(),):
                truth += real_products(lambda matrix=matrix: orthogonalize(matrix))
    assert counted(recipe.model(V), recipe.train).update == truth
    assert step_flops(recipe, V) - step_flops(recipe.replace(optimizer="adamw"), V) == truth


@pytest.mark.parametrize("form", FORMS)
def test_what_is_kept_for_the_backward_pass_is_what_autograd_saves(form: str) -> None:
    """Each storage counted once, the weights not at all; the loss itself is a number of 4 bytes."""
    recipe = USUAL.replace(**FORMS[form])
    torch.manual_seed(0)
    model = build_model(recipe.model(V))
    idx = torch.zeros((recipe.train.batch_size, recipe.model(V).block_size), dtype=torch.long)
    saved: dict[int, torch.UntypedStorage] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = cross_entropy(model(idx), idx)
    there = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers(), idx)}
    truth = sum(storage.nbytes() for key, storage in saved.items() if key not in there)
    assert counted(recipe.model(V), recipe.train).kept - truth in range(0, 1 + idx.nbytes + 3 * loss.nbytes)


# Every other count follows from these ----------------------------------------------------------------------


@pytest.mark.parametrize("recipe", names())
@pytest.mark.parametrize("layers", [1, 2, 3, 6])
def test_one_layer_grown_is_the_count_of_all_of_them(recipe: str, layers: int) -> None:
    chosen = load_recipe(recipe).replace(device="cpu", n_layer=layers, n_embd=48, n_head=2)
    shape, train = chosen.model(256 if chosen.data.tokenizer == "byte" else V), chosen.train.replace(compile=False)
    with torch.device("meta"):
        whole = count(build_model(shape), shape.block_size, train)
    grown = counted(shape, train)
    for name in ("weights", "forward", "both", "update", "kept"):
        assert getattr(grown, name) == getattr(whole, name), name
    assert grown.memory == pytest.approx(whole.memory, rel=0.01)


def test_settings_that_change_no_shape_are_not_counted_anew() -> None:
    recipe = USUAL.replace(dropout=0.1, n_embd=72)
    first = counted(recipe.model(V), recipe.train)
    misses = counting._one_layer.cache_info().misses
    for changes in (dict(dropout=0.3), dict(max_lr=0.5, min_lr=0.0), dict(max_steps=7), dict(seed=3), dict(n_layer=5)):
        moved = recipe.replace(**changes)
        found = counted(moved.model(V), moved.train)
        assert (found == first) is ("n_layer" not in changes)
    assert counting._one_layer.cache_info().misses == misses


def test_a_card_keeps_no_table_of_attention_whatever_is_dropped() -> None:
    recipe = USUAL.replace(dropout=0.1, block_size=256)
    on_cpu, on_card = (counted(recipe.model(V), recipe.train, card) for card in (False, True))
    assert on_card.both == on_cpu.both
    table = 4 * recipe.train.batch_size * 4 * 256 * 256  # (B, H, T, T)
    assert on_cpu.kept - on_card.kept > 2 * 2 * table


# Any model -------------------------------------------------------------------------------------------------


class Mixed(nn.Module):
    """Nothing that a GPT has: a recurrent layer, a convolution, a table that is looked up, attention with a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(V, 24)
        self.recurrent = nn.GRUCell(24, 24)
        self.across = nn.Conv1d(24, 24, 3, padding=2)
        self.looking = nn.MultiheadAttention(24, 3, batch_first=True)
        self.head = nn.Linear(24, V)

    def forward(self, idx: Tensor) -> Tensor:
        x = self.table(idx)
        state, states = x.new_zeros(x[:, 0].shape), []
        for t in range(x.shape[1]):
            state = self.recurrent(x[:, t], state)
            states.append(state)
        x = x + torch.stack(states, dim=1)
        x = x + self.across(x.mT)[..., : x.shape[1]].mT
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        return self.head(x + self.looking(x, x, x, attn_mask=mask, need_weights=False)[0])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_any_model_is_counted(optimizer: str) -> None:
    """Without flops_per_token, without settings; the bytes are those that live in a real step."""
    train = TrainConfig(batch_size=5, optimizer=optimizer, max_lr=0.01)
    torch.manual_seed(0)
    with torch.device("meta"):
        found = count(Mixed(), 9, train)
    model, idx = Mixed(), torch.zeros((5, 9), dtype=torch.long)
    optim = build_optimizer(model, train)
    truth = real_products(lambda: cross_entropy(model(idx), idx).backward())
    assert found.both == pytest.approx(truth, rel=1e-3)
    living = Living()
    for p in model.parameters():
        p.grad = None
        living.add(p)
    with living:
        for _ in range(2):
            living.most = living.now
            optim.zero_grad()
            cross_entropy(model(idx), idx).backward()
            optim.step()
    assert found.memory == pytest.approx(living.most, rel=0.08)


@dataclass(frozen=True)
class MixedConfig(Config):
    block_size: int = 9
    dropout: float = 0.0


def test_a_kind_that_is_no_gpt_is_counted_whole_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Config] = []
    monkeypatch.setitem(MODEL_KINDS, "mixed", ModelKind(MixedConfig, lambda config: made.append(config) or Mixed()))
    train = TrainConfig(batch_size=5)
    with torch.device("meta"):
        assert counted(MixedConfig(), train) == count(Mixed(), 9, train)
    assert counted(MixedConfig(), train.replace(max_lr=0.5)) == counted(MixedConfig(), train)
    assert made == [MixedConfig()]


# Nobody else notices ---------------------------------------------------------------------------------------


@contextmanager
def training_beside() -> Iterator[list[int]]:
    """Another thread that trains a small model all the time; what it notices of hooks of others."""
    seen: list[int] = []
    over = threading.Event()

    def train() -> None:
        model = build_model(GPTConfig(8, V, 1, 1, 8))
        idx = torch.zeros((2, 8), dtype=torch.long)
        while not over.is_set():
            cross_entropy(model(idx), idx).backward()
            modules = nn.modules.module
            seen.append(len(modules._global_forward_pre_hooks) + len(modules._global_forward_hooks))

    thread = threading.Thread(target=train)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_a_count_touches_no_model_of_another_thread() -> None:
    """A slider is moved while a model trains in the background."""
    with training_beside() as seen:
        while len(seen) < 3:
            pass
        alone = counted(USUAL.replace(n_embd=56).model(V), USUAL.train)
        counting._one_layer.cache_clear()
        for width in (56, 80, 88):
            again = counted(USUAL.replace(n_embd=width).model(V), USUAL.train)
            assert (again == alone) is (width == 56)
    assert sum(seen) == 0


def test_a_count_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    counted(USUAL.replace(n_embd=104, dropout=0.1).model(V), USUAL.train)
    assert torch.get_rng_state().equal(before)


def test_a_step_of_a_set_of_optimizers_is_the_sum_of_theirs() -> None:
    model = build_model(USUAL.model(V))
    assert isinstance(build_optimizer(model, USUAL.train), OptimizerSet)
    muon, adamw = (counted(USUAL.model(V), USUAL.replace(optimizer=o).train) for o in ("muon", "adamw"))
    assert adamw.update == 0 < muon.update
