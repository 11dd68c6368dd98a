"""Decoding by a captured step: the same tokens as kernel by kernel.

Where no card is, a tape stands for CUDA's graph (`Tape`): it keeps the operations of one step with their memory, and
does them again without a line of Python, so whatever is not on the device stays as it was when it was captured. On a
card tests/gpu/test_card_graphs.py has the real thing.
"""

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, UntypedStorage, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib import graphs
from course_lib.config import GPTConfig
from course_lib.device import choose, find
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.sampling import generate, stream
from course_lib.training.borrowed import Borrowed

BLOCK, V = 24, 13
FORMS = {
    "gpt2": dict(bias=True),
    "modern": dict(position="rope", norm="rmsnorm", qk_norm=True, mlp="relu2", tie_weights=False),
    "swiglu": dict(position="rope", norm="rmsnorm", mlp="swiglu", dropout=0.3),
    "n-grams": dict(ngrams=(2, 3), ngram_rows=50),
}
SETTINGS = [dict(temperature=0), dict(temperature=0.9, seed=3), dict(temperature=0.8, top_k=5, top_p=0.9, seed=4)]

pytestmark = pytest.mark.usefixtures("one_thread")


def build(form: str = "modern", block_size: int = BLOCK) -> GPT:
    """Weights so large that the choices vary and are not near a tie."""
    model = GPT(GPTConfig(block_size=block_size, vocab_size=V, n_layer=2, n_head=2, n_embd=16, **FORMS[form]))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 2:
                p.copy_(torch.randn(p.shape, generator=generator) * 1.5 / p.shape[1] ** 0.5)
    return model.eval()


class Tape(TorchDispatchMode):
    """What was done within it, to be done again on the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.done.append((func, args, kwargs or {}, result))
        return result

    def play(self) -> None:
        for func, args, kwargs, recorded in self.done:
            for now, then in zip(tree_leaves(func(*args, **kwargs)), tree_leaves(recorded), strict=True):
                is_same_memory = now.untyped_storage().data_ptr() == then.untyped_storage().data_ptr()
                if not is_same_memory:
                    then.copy_(now)


class Captures:
    """Takes the place of `graphs.capture`; knows how many there were, and how often each was played."""

    def __init__(self, failing: bool = False) -> None:
        self.played: list[int] = []
        self.failing = failing

    def __call__(self, step: Callable[[], Tensor], rewind: Callable[[], None], device: torch.device) -> Any:
        for _ in range(graphs.WARM):
            rewind()
            step()
        rewind()
        if self.failing:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand more lines")
        number, tape = len(self.played), Tape()
        self.played.append(0)
        with tape:
            result = step()
        result.fill_(torch.nan)  # a capture computes nothing
        rewind()

        def replay() -> None:
            self.played[number] += 1
            tape.play()

        return replay, result


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> Captures:
    """A machine on which each model is captured as soon as 5 steps lie ahead."""
    found = Captures()
    monkeypatch.setattr(graphs, "capture", found)
    monkeypatch.setattr(graphs, "is_capturable", lambda model, device: hasattr(model, "is_capturable"))
    monkeypatch.setattr(graphs, "WORTH_IT", 5)
    graphs._say_once.cache_clear()
    return found


def assert_same_scores(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Within 1e-5, of the largest score where that is above 1: so near do two orders of summation come."""
    torch.testing.assert_close(found, expected, atol=1e-5 * max(1.0, expected.abs().max().item()), rtol=0)


# The static cache -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_the_static_cache_gives_what_the_growing_one_gives(form: str, rows: int) -> None:
    """From each length of prompt to the last place; and what an earlier text left behind is not looked at."""
    model = build(form)
    ids = torch.randint(0, V, (rows, BLOCK), generator=torch.Generator().manual_seed(2))
    for prompt in (1, 2, 7, BLOCK - 1):
        growing, other = model.new_cache(rows), model.new_cache(rows)
        other.keys.normal_(), other.values.normal_()
        for cache in (growing, other):
            model(ids[:, :prompt], cache)
        static = other.static()
        for place in range(prompt, BLOCK):
            expected = model(ids[:, place : place + 1], growing)
            found = model(ids[:, place : place + 1], static)
            assert_same_scores(found, expected)
            assert static.length == static.position.item() == growing.length == place + 1
        with pytest.raises(CourseError, match="at most block_size"):
            model(ids[:, :1], static)
        static.move_to(prompt)
        found = model(ids[:, prompt : prompt + 1], static)
        assert_same_scores(found, model(ids[:, : prompt + 1])[:, -1:])


# Captured steps -------------------------------------------------------------------------------------------


class Outside(TorchDispatchMode):
    """The memory that was there before what is done within it, without holding on to it: a graph does not either."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[UntypedStorage] = []
        self.read: list[StorageWeakRef] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inside = {storage.data_ptr() for storage in self.made}
        given = [leaf.untyped_storage() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        self.read += [StorageWeakRef(storage) for storage in given if storage.data_ptr() not in inside]
        known = {storage.data_ptr() for storage in given}
        result = func(*args, **(kwargs or {}))
        made = [leaf.untyped_storage() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.made += [storage for storage in made if storage.data_ptr() not in known]
        return result


@pytest.mark.parametrize("with_cache", [True, False])
@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_what_a_graph_reads_lives_as_long_as_it(form: str, with_cache: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads by address. Freed, the memory would hold whatever comes next: so it was with the number of the place."""
    outside = Outside()

    def capture(step: Callable[[], Tensor], rewind: Callable[[], None], device: torch.device) -> Any:
        with outside:
            return (lambda: None), step()

    monkeypatch.setattr(graphs, "capture", capture)
    model = build(form)
    cache = model.new_cache(1) if with_cache else None
    graphed = graphs._Graphed(model, lambda idx, cache: model(idx, cache)[:, -1], torch.tensor([[1]]), cache)
    assert len(outside.read) > 10
    assert not any(storage.expired() for storage in outside.read)
    assert graphed.is_still_of(model)


@pytest.mark.parametrize("how", SETTINGS, ids=str)
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_captured_steps_write_what_steps_one_by_one_write(
    form: str, rows: int, how: dict, captures: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within block_size and as far again past it; a model in training mode is one in evaluation mode for that time."""
    model = build(form).train()
    prompt = torch.randint(0, V, (rows, 4), generator=torch.Generator().manual_seed(2))
    total = 2 * BLOCK + 5
    for use_cache in (True, False):
        captures.played.clear()
        written = generate(model, prompt, total, use_cache=use_cache, **how)
        # A first step of each shape runs as it is: the prompt, a single token, a full window.
        within = BLOCK - 4
        past = total - 1 - within
        assert captures.played == ([within - 1, past - 1] if use_cache else [past])
        with monkeypatch.context() as plainly:
            plainly.setattr(graphs, "is_capturable", lambda model, device: False)
            assert torch.equal(written, generate(model, prompt, total, use_cache=use_cache, **how))
        assert len(captures.played) == 1 + use_cache
    assert model.training
    assert len(set(written[0].tolist())) > 5  # it does not say one thing for ever


@pytest.mark.parametrize("new", range(1, 9))
def test_for_a_few_tokens_nothing_is_captured(new: int, captures: Captures) -> None:
    """The prompt, one step as it is, and then at least `WORTH_IT` more."""
    model = build()
    generate(model, [[1, 2, 3]], new, temperature=0)
    assert captures.played == ([new - 2] if new >= 7 else [])
    captures.played.clear()
    generate(model, [[1] * (BLOCK - 3)], 5, temperature=0)  # three within block_size, two past it
    assert captures.played == []


def test_where_it_cannot_be_captured_it_goes_on_and_says_so_once(
    captures: Captures, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures.failing = True
    model = build()
    with pytest.warns(UserWarning, match=r"captured as a CUDA graph \(CUDA error: operation not permitted .*capturing"):
        written = generate(model, [[1, 2, 3]], 60, temperature=0)
    recwarn.clear()
    assert torch.equal(written, generate(model, [[1, 2, 3]], 60, temperature=0))
    assert not recwarn.list
    monkeypatch.setattr(graphs, "is_capturable", lambda model, device: False)
    assert torch.equal(written, generate(model, [[1, 2, 3]], 60, temperature=0))


@pytest.mark.parametrize("moved", [False, True])
def test_weights_that_change_between_two_tokens_are_seen(moved: bool, captures: Captures) -> None:
    """In their place, as a training step changes them, or by moving the model elsewhere."""

    def written(used: GPT, stop: int) -> list[int]:
        tokens = []
        for n, token in enumerate(stream(used, [[1, 2, 3]], 20, temperature=0)):
            tokens.append(int(token))
            if n == stop:
                for p in used.parameters():
                    if moved:
                        p.data = -p.data.clone()
                    else:
                        p.data.neg_()
        return tokens

    model = build("gpt2")
    plain = copy.deepcopy(model)
    plain.is_capturable = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "is_capturable", lambda model, device: model.is_capturable)
        expected = written(plain, 10)
        assert captures.played == []
        assert written(model, 10) == expected
    assert captures.played == [9 if moved else 18]


@pytest.mark.parametrize("device", ["cpu", "mps", "meta"])
def test_only_cards_have_graphs(device: str) -> None:
    assert graphs.is_capturable(build(), torch.device("cuda"))
    assert not graphs.is_capturable(build(), torch.device(device))


def test_a_model_that_is_watched_or_unknown_runs_as_it_is() -> None:
    """A graph would not call a hook, and of a model that does not say so nobody knows whether its steps are alike."""
    model, card = build(), torch.device("cuda")
    for register in ("register_forward_hook", "register_forward_pre_hook"):
        hook = getattr(model.blocks[1].mlp, register)(lambda *given: None)
        assert not graphs.is_capturable(model, card)
        hook.remove()
        assert graphs.is_capturable(model, card)
    assert not graphs.is_capturable(nn.Linear(3, 3), card)
    torch.set_autocast_enabled("cuda", True)
    try:
        assert not graphs.is_capturable(model, card)
    finally:
        torch.set_autocast_enabled("cuda", False)


READING: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool((x > 0).any()),
    "if": lambda x: x if x.sum() > 0 else -x,
    "float": lambda x: float(x[0, 0]),
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("way", READING)
def test_reading_a_value_is_refused_before_anything_is_captured(way: str, inference: bool) -> None:
    """And a model's own steps, of each form, are not."""
    with torch.inference_mode(inference), graphs.Watchful(), pytest.raises(RuntimeError, match="reads a value"):
        READING[way](torch.ones(2, 2))
    for form in FORMS:
        model = build(form)
        with torch.inference_mode(inference), torch.no_grad():
            cache = model.new_cache(1)
            model(torch.tensor([[1, 2]]), cache)
            static, token = cache.static(), torch.tensor([[3]])
            with graphs.Watchful():
                model(token, static)
                model(torch.ones(1, BLOCK, dtype=torch.long))


# Beside a trainer -----------------------------------------------------------------------------------------


def in_a_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_while_another_thread_trains_nothing_is_captured(captures: Captures) -> None:
    model, begun, enough = build(), threading.Event(), threading.Event()
    borrowed = Borrowed(choose(find("cpu")))
    thread = in_a_thread(lambda: borrowed.during(lambda: begun.set() or enough.wait(20)))
    begun.wait(20)
    written = generate(model, [[1, 2, 3]], 15, temperature=0)
    assert captures.played == []
    enough.set()
    thread.join()
    assert torch.equal(written, generate(model, [[1, 2, 3]], 15, temperature=0))
    assert captures.played == [13]
    inside = borrowed.during(lambda: generate(model, [[1, 2, 3]], 15, temperature=0))  # in the trainer's own thread
    assert torch.equal(written, inside)
    assert captures.played == [13, 13]


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.filterwarnings("ignore:The decoding step could not be captured")
def test_a_step_of_another_thread_waits_for_a_capture(
    failing: bool, captures: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, threads, borrowed = [], [], Borrowed(choose(find("cpu")))
    captures.failing = failing

    def slowly(*given: Any) -> Any:
        threads.append(in_a_thread(lambda: borrowed.during(lambda: order.append("step"))))
        threads[0].join(timeout=0.1)
        order.append("captured")
        return captures(*given)

    monkeypatch.setattr(graphs, "capture", slowly)
    generate(build(), [[1, 2, 3]], 15, temperature=0)
    threads[0].join(timeout=20)
    assert order == ["captured", "step"]
    assert not graphs._AT_WORK
    assert not graphs._CAPTURING.is_set()


def test_only_the_main_thread_captures() -> None:
    found = []
    in_a_thread(lambda: found.append(graphs.is_capturable(build(), torch.device("cuda")))).join()
    assert found == [False]
