"""A DataLoader's epochs: every item once, however the work is split, in an order that is a function of the step."""

import copy
import os
import pickle
import random
import signal
import time
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from course_lib.data import LoaderBatches
from course_lib.errors import CourseError

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")  # of Python 3.12 on


class Numbered(Dataset):
    """Item i says that it is i, and by which random numbers, and in which process, it was made."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        drawn = [float(torch.rand(())), float(np.random.rand()), random.random(), float(os.getpid())]
        return torch.tensor(drawn, dtype=torch.float64), i


def over(n: int, batch_size: int, shuffle: bool = True, seed: int = 0, grad_accum: int = 1, **more) -> LoaderBatches:
    return LoaderBatches(DataLoader(Numbered(n), batch_size, shuffle, **more), seed, grad_accum)


def epoch(batches: LoaderBatches, number: int) -> list[list[int]]:
    """The items of each micro-batch of an epoch."""
    first = number * batches.steps_per_epoch
    steps = range(first, first + batches.steps_per_epoch)
    return [batches.batch(step, micro)[1].tolist() for step in steps for micro in range(batches.micro_steps)]


def flat(parts: list[list[int]]) -> list[int]:
    return [item for part in parts for item in part]


# ---- epochs ------------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    n=st.integers(1, 60), batch_size=st.integers(1, 9), accum=st.integers(1, 4), shuffle=st.booleans(),
    drop_last=st.booleans(), seed=st.integers(0, 2**63 - 1),
)  # fmt: skip
def test_an_epoch_draws_every_item_once_however_the_work_is_split(n, batch_size, accum, shuffle, drop_last, seed):
    loader = DataLoader(Numbered(n), batch_size, shuffle, drop_last=drop_last)
    per_step = batch_size * accum
    if n < per_step if drop_last else n % accum:
        with pytest.raises(CourseError):
            LoaderBatches(loader, seed, accum)
        return
    for world_size in (w for w in range(1, accum + 1) if accum % w == 0):
        processes = [LoaderBatches(loader, seed, accum, rank, world_size) for rank in range(world_size)]
        found = [flat(part) for part in zip(*(epoch(each, 1) for each in processes), strict=True)]
        items = flat(found)
        assert len(set(items)) == len(items) == (n - n % per_step if drop_last else n)
        sizes = Counter(len(part) for each in processes for part in epoch(each, 2))
        assert sum(size * count for size, count in sizes.items()) == len(items)
        assert set(sizes) <= {batch_size, n % per_step // accum}


def test_without_shuffling_they_come_as_they_are_and_with_it_each_epoch_has_its_order():
    assert flat(epoch(over(11, 4, shuffle=False), 3)) == list(range(11))
    batches = over(50, 8)
    orders = [flat(epoch(batches, e)) for e in range(3)]
    assert len({tuple(order) for order in [*orders, list(range(50))]}) == 4
    assert flat(epoch(over(50, 8, seed=1), 0)) not in orders
    assert [len(part) for part in epoch(batches, 0)] == [8] * 6 + [2], "the last batch is small"
    assert (batches.steps_per_epoch, batches.epoch_of(6), batches.epoch_of(7)) == (7, 0, 1)


def test_orders_are_uniform():
    """Each item at each place, about equally often."""
    batches = over(5, 5)
    counts = np.zeros((5, 5))
    for number in range(4000):
        counts[np.arange(5), batches.order(number)] += 1
    assert abs(counts - 800).max() < 5 * (4000 * 0.2 * 0.8) ** 0.5


def test_golden_order():
    """The same with every version of numpy and on every machine."""
    assert over(10, 5, seed=7).order(2).tolist() == [6, 7, 8, 4, 0, 1, 5, 3, 9, 2]


def test_two_processes_share_the_batch_of_one():
    alone = over(26, 3, grad_accum=2)
    shared = [LoaderBatches(alone.loader, 0, 2, rank, 2) for rank in range(2)]
    for step in range(12):
        for rank in range(2):
            x, y = shared[rank].batch(step)
            wanted_x, wanted_y = alone.batch(step, rank)
            assert y.equal(wanted_y)
            assert x.equal(wanted_x), "and what is drawn at random for it"
    assert [len(each.batch(4)[1]) for each in shared] == [1, 1]


# ---- any step, in any order, from any process --------------------------------------------------------


def test_any_step_can_be_drawn_alone_again_and_in_any_order():
    batches = over(23, 4)
    rows = [batches.batch(step) for step in range(15)]
    for step in (9, 3, 3, 4, 14, 0):
        for again in (batches, over(23, 4), pickle.loads(pickle.dumps(batches)), copy.deepcopy(batches)):
            x, y = again.batch(step)
            assert x.equal(rows[step][0])
            assert y.equal(rows[step][1])


def test_no_generator_is_moved_and_none_matters():
    def states():
        return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()

    before, batches = states(), over(9, 4)
    first = [batches.batch(step)[0] for step in range(5)]
    list(batches.windows())
    assert states() == before
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    assert all(a.equal(b) for a, b in zip(first, [over(9, 4).batch(step)[0] for step in range(5)]))
    drawn = torch.cat(first)[:, :3]
    assert len(set(drawn.flatten().tolist())) == drawn.numel(), "no two items get the same numbers"


def test_workers_load_what_one_process_loads():
    """Random numbers included: each micro-batch brings its seed along, whichever worker gets it."""
    alone, shared = over(26, 4), over(26, 4, num_workers=2, generator=torch.Generator().manual_seed(5))
    pids = set()
    for step in [*range(9), 4, 5]:
        (x, y), (wanted_x, wanted_y) = shared.batch(step), alone.batch(step)
        assert y.equal(wanted_y)
        assert x[:, :3].equal(wanted_x[:, :3])
        pids |= set(x[:, 3].tolist())
    assert os.getpid() not in pids
    assert len(pids) == 4, "two workers, and two more after the jump"
    items = [y.tolist() for _, y in shared.windows()]
    assert flat(items) == list(range(26))
    assert sorted(flat(epoch(shared, 3))) == list(range(26))


def note_the_worker(number: int) -> None:
    torch.set_num_threads(1)
    os.environ["NOTED"] = str(number)


class Telling(Numbered):
    def __getitem__(self, i: int) -> tuple[int, int]:
        return int(os.environ["NOTED"]), i


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux's list of a process's children")
def test_a_worker_begins_as_the_loader_says_and_outlives_ctrl_c():
    """A terminal sends Ctrl-C to all processes of a program, and it is for the one that trains."""
    others = set(children())  # of tests before it, on their way out
    loader = DataLoader(Telling(400), 2, num_workers=2, worker_init_fn=note_the_worker)
    batches = LoaderBatches(loader)
    assert [batches.batch(step)[0].tolist() for step in range(2)] == [[0, 0], [1, 1]]
    workers = [int(pid) for pid in children() if pid not in others]
    assert len(workers) == 2
    for pid in workers:
        os.kill(pid, signal.SIGINT)
    assert [batches.batch(step)[0][0].item() for step in range(2, 60)] == [0, 1] * 29
    del batches
    deadline = time.monotonic() + 10
    while (left := {str(pid) for pid in workers} & set(children())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, "they end with the batches that they loaded for"


def children() -> list[str]:
    """The processes that this one has started and that are still there."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return file.read().split()


class Breaking(Numbered):
    """Cannot be read once: a disk that is away for a moment, or a Ctrl-C."""

    error: BaseException | None = None

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        if i == 9 and self.error is not None:
            error, self.error = self.error, None
            raise error
        return super().__getitem__(i)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("gone")])
def test_after_an_interruption_the_same_batch_is_loaded_again(error):
    dataset = Breaking(16)
    batches, wanted = LoaderBatches(DataLoader(dataset, 4)), LoaderBatches(DataLoader(Numbered(16), 4))
    batches.batch(1)
    dataset.error = error
    with pytest.raises(type(error)):
        batches.batch(2)
    for step in (2, 3):
        assert all(a.equal(b) for a, b in zip(batches.batch(step), wanted.batch(step)))


# ---- scoring -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_windows_are_every_item_once_in_order_shared_by_the_processes(world_size):
    loader = DataLoader(Numbered(23), 4, shuffle=True, drop_last=True)
    processes = [LoaderBatches(loader, grad_accum=world_size, rank=r, world_size=world_size) for r in range(world_size)]
    for _ in range(2):
        parts = [[y.tolist() for _, y in each.windows()] for each in processes]
        in_turn = [parts[i % world_size][i // world_size] for i in range(6)]
        assert flat(in_turn) == list(range(23))
        assert [len(part) for part in in_turn] == [4] * 5 + [3]


def test_windows_draw_the_same_noise_at_every_evaluation():
    batches = over(10, 4)
    first, again = (torch.cat([x for x, _ in batches.windows()]) for _ in range(2))
    assert first.equal(again)


@pytest.mark.parametrize(("most", "wanted"), [(1, [0]), (3, [0, 8, 16]), (6, [0, 4, 8, 12, 16, 20]), (99, None)])
def test_some_windows_are_spread_evenly(most, wanted):
    firsts = [int(y[0]) for _, y in over(23, 4).windows(most)]
    assert firsts == (wanted or [0, 4, 8, 12, 16, 20])
    with pytest.raises(CourseError, match="max_batches should be"):
        list(over(23, 4).windows(0))


# ---- what is refused ---------------------------------------------------------------------------------


class Endless(IterableDataset):
    def __iter__(self):
        return iter(range(5))


def loaders() -> dict[str, DataLoader]:
    data = Numbered(12)
    return {
        "a sampler": DataLoader(data, 4, sampler=SubsetRandomSampler(range(6))),
        "weights": DataLoader(data, 4, sampler=WeightedRandomSampler([1.0] * 12, 12)),
        "with replacement": DataLoader(data, 4, sampler=RandomSampler(data, replacement=True)),
        "some of them": DataLoader(data, 4, sampler=RandomSampler(data, num_samples=6)),
        "batches of its own": DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data), 4, False)),
        "no batches": DataLoader(data, batch_size=None),
    }


@pytest.mark.parametrize("kind", loaders())
def test_a_loader_that_decides_by_itself_is_refused(kind):
    with pytest.raises(CourseError, match="and no sampler"):
        LoaderBatches(loaders()[kind])


def test_what_has_no_epochs_is_refused():
    with pytest.raises(CourseError, match="Endless has no length"):
        LoaderBatches(DataLoader(Endless(), 4))
    with pytest.raises(CourseError, match=r"needs a torch.utils.data.DataLoader; it got Numbered"):
        LoaderBatches(Numbered(3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(grad_accum=0), "grad_accum should be at least 1"),
        (dict(grad_accum=3, world_size=2), "Set grad_accum to a multiple of 2, such as 4"),
        (dict(grad_accum=2, world_size=2, rank=2), "rank should be from 0 to 1"),
        (dict(rank=-1), "rank should be at least 0"),
        (dict(seed=2**63), "seed should be"),
        (dict(grad_accum=4), r"last step of an epoch has 13 items, which 4 .*Subset\(dataset, range\(12\)\)"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(CourseError, match=message):
        LoaderBatches(DataLoader(Numbered(13), 4), **settings)


def test_an_epoch_without_a_whole_step_is_refused():
    with pytest.raises(CourseError, match="has 3 items, and with drop_last a step needs 4"):
        over(3, 4, drop_last=True)
    with pytest.raises(CourseError, match="micro should be from 0 to 0"):
        over(3, 4).batch(0, 1)
    for step in (-1, 1.5):
        with pytest.raises(CourseError, match="step should be"):
            over(3, 4).batch(step)


@pytest.mark.parametrize(("tensors", "words"), [(1, r"it is \['Tensor'\]"), (3, "'Tensor', 'Tensor', 'Tensor'")])
def test_batches_that_are_no_pairs_are_refused(tensors, words):
    batches = LoaderBatches(DataLoader(TensorDataset(*[torch.zeros(8)] * tensors), 4))
    with pytest.raises(CourseError, match=words):
        batches.batch(0)
    alone = LoaderBatches(DataLoader(Numbered(8), 4, collate_fn=lambda items: torch.zeros(4)))
    with pytest.raises(CourseError, match="should be a pair of tensors, inputs and targets; it is Tensor"):
        alone.batch(0)
