"""`LoaderBatches`: a torch DataLoader, epoch after epoch, as a trainer draws from it."""

import copy
import itertools
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler

from course_lib.device import seed_for
from course_lib.errors import CourseError, need_whole

Plan = tuple[int, Sequence[int]]
"""A micro-batch that is still to be loaded: the seed of all that is drawn for it, and which items it has."""


class LoaderBatches:
    """Draws the batches of a training run from a DataLoader: every item once an epoch, then the next epoch.

    Which items step s gets, and what is drawn at random for them (noise, say), is a function of (seed, s), whatever the
    number of workers. So a run goes on in the middle of an epoch as if it had never stopped, and nothing has to be
    saved for it. Where the DataLoader shuffles, each epoch has an order of its own.

    One optimizer step uses ``batch_size * grad_accum`` items, of which each of ``world_size`` processes takes
    ``grad_accum / world_size`` micro-batches, as `Batcher` does. The last step of an epoch has what is left, or is
    left out where the DataLoader says ``drop_last``.

    Args:
        loader: over a dataset with a length, whose batches are pairs (x, y). What it says of batch_size, shuffle,
            drop_last, num_workers, pin_memory, collate_fn and worker_init_fn holds; its generator does not.
        seed: where the draws start.
        grad_accum: micro-batches per optimizer step, over all processes together.
        rank, world_size: which process this is, of how many.

    Raises:
        CourseError: for a DataLoader that draws by a sampler of its own or without batches, a dataset without a length
            or too small for one step, a number out of range; where the items of an epoch's last step cannot be shared
            equally by its micro-batches. While drawing, for batches that are no pairs of tensors.
    """

    def __init__(
        self, loader: DataLoader[Any], seed: int = 0, grad_accum: int = 1, rank: int = 0, world_size: int = 1
    ) -> None:
        self.loader, self.shuffled = loader, _is_shuffled(loader)
        self.batch_size: int = loader.batch_size  # type: ignore[assignment]
        self.seed = need_whole("seed", seed, 0, bits=63)
        self.grad_accum = need_whole("grad_accum", grad_accum, 1)
        self.world_size, self.rank = need_whole("world_size", world_size, 1), need_whole("rank", rank, 0)
        self.n_items = len(loader.dataset)  # type: ignore[arg-type]
        self._check()
        self._running: tuple[int, Iterator[Any]] | None = None
        """The micro-batch that comes next, counted from the run's first one, and what loads it."""

    def _check(self) -> None:
        if self.rank >= self.world_size:
            raise CourseError(f"rank should be from 0 to {self.world_size - 1}; it is {self.rank}.")
        if self.grad_accum % self.world_size:
            fitting = -(-self.grad_accum // self.world_size) * self.world_size
            raise CourseError(
                f"grad_accum = {self.grad_accum} micro-batches cannot be shared equally by {self.world_size} "
                f"processes. Set grad_accum to a multiple of {self.world_size}, such as {fitting}."
            )
        if not self.steps_per_epoch:
            raise CourseError(
                f"The dataset has {self.n_items} items, and with drop_last a step needs {self._items_per_step}. Make "
                "batch_size or grad_accum smaller, or leave drop_last out."
            )
        if (over := self.n_items % self.grad_accum) and not self.loader.drop_last:
            raise CourseError(
                f"The last step of an epoch has {self.n_items % self._items_per_step} items, which {self.grad_accum} "
                "micro-batches cannot share equally. Give the DataLoader drop_last=True, or leave "
                f"{over} out: Subset(dataset, range({self.n_items - over})), from torch.utils.data."
            )

    # ---- epochs and steps ----------------------------------------------------------------------------

    @property
    def micro_steps(self) -> int:
        """Micro-batches that this process takes per optimizer step."""
        return self.grad_accum // self.world_size

    @property
    def _items_per_step(self) -> int:
        return self.batch_size * self.grad_accum

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in which every item is drawn once (but for those that drop_last leaves out)."""
        whole, rest = divmod(self.n_items, self._items_per_step)
        return whole + bool(rest and not self.loader.drop_last)

    def epoch_of(self, step: int) -> int:
        """Which epoch a step belongs to, counted from 0."""
        return step // self.steps_per_epoch

    def order(self, epoch: int) -> np.ndarray:
        """In which order an epoch takes the items: (N,), each number from 0 to N - 1 once.

        Where it shuffles, the items are sorted by random 64-bit words, whose source is counter-based as in `Batcher`.
        """
        if not self.shuffled:
            return np.arange(self.n_items)
        return np.random.Philox(key=[self.seed, epoch]).random_raw(self.n_items).argsort(kind="stable")

    def _plans(self, first: int) -> Iterator[Plan]:
        """This process's micro-batches without end, from the one numbered ``first`` on."""
        known, order = -1, np.empty(0, dtype=np.int64)
        for number in itertools.count(first):
            step, micro = divmod(number, self.micro_steps)
            epoch, place = divmod(step, self.steps_per_epoch)
            if epoch != known:
                known, order = epoch, self.order(epoch)
            items = order[place * self._items_per_step :][: self._items_per_step]
            part, size = self.rank * self.micro_steps + micro, len(items) // self.grad_accum
            yield seed_for(self.seed, step, part), items[part * size : (part + 1) * size].tolist()

    # ---- drawing -------------------------------------------------------------------------------------

    def batch(self, step: int, micro: int = 0) -> tuple[Tensor, Tensor]:
        """Micro-batch ``micro`` (of `micro_steps`) of optimizer step ``step``: x and y, as the DataLoader gives them.

        One step after another is quick; a jump makes the workers begin anew.
        """
        if not 0 <= micro < self.micro_steps:
            raise CourseError(f"micro should be from 0 to {self.micro_steps - 1}; it is {micro}.")
        number = need_whole("step", step, 0, bits=63) * self.micro_steps + micro
        # An interruption on the way leaves None: what was being loaded is loaded again.
        running, self._running = self._running, None
        if running is None or running[0] != number:
            # Of a copy: a circle would keep the workers alive after this object.
            running = number, self._load(copy.copy(self)._plans(number))
        loaded = next(running[1])
        self._running = number + 1, running[1]
        return loaded

    def windows(self, max_batches: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Every item once, in the dataset's order, for scoring; ``max_batches`` takes that many, spread evenly.

        Several processes take turns: each yields its share. What is drawn at random is the same at every call.
        """
        groups = [range(self.n_items)[i : i + self.batch_size] for i in range(0, self.n_items, self.batch_size)]
        if max_batches is not None:
            need_whole("max_batches", max_batches, 1, otherwise=", or None for all")
            chosen = np.linspace(0, len(groups), min(max_batches, len(groups)), endpoint=False).astype(int)
            groups = [groups[i] for i in chosen]
        plans = [(seed_for(self.seed, number), list(group)) for number, group in enumerate(groups)]
        yield from self._load(plans[self.rank :: self.world_size])

    def _load(self, plans: Any) -> Iterator[tuple[Tensor, Tensor]]:
        """What is planned, loaded with the DataLoader's workers, where it has some."""
        workers: dict[str, Any] = {}
        if self.loader.num_workers:
            workers = {name: getattr(self.loader, name) for name in ("num_workers", "timeout", "prefetch_factor")}
            workers["multiprocessing_context"] = self.loader.multiprocessing_context
            workers["worker_init_fn"] = _Worker(self.loader.worker_init_fn)
        # Workers begin with seeds of their own, which nobody sees: each micro-batch brings its seed along.
        without_a_trace = torch.Generator()
        return map(_checked, DataLoader(
            _Loaded(self.loader.dataset, self.loader.collate_fn), batch_size=None, sampler=plans, collate_fn=_as_it_is,
            pin_memory=self.loader.pin_memory, generator=without_a_trace, **workers,
        ))  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copies: another one loads by itself."""
        return vars(self) | {"_running": None}


class _Loaded:
    """A dataset of whole micro-batches: an index is a plan."""

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Any]) -> None:
        self.dataset, self.collate = dataset, collate

    def __getitem__(self, plan: Plan) -> Any:
        """The items of a plan, collated. Generators of torch, numpy and Python draw by its seed, and are put back."""
        seed, items = plan
        before = torch.get_rng_state(), np.random.get_state(), random.getstate()
        try:
            torch.default_generator.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            return self.collate([self.dataset[item] for item in items])
        finally:
            torch.set_rng_state(before[0])
            np.random.set_state(before[1])
            random.setstate(before[2])


class _Worker:
    """What a worker does first: what the DataLoader says, and to leave Ctrl-C to the process that it works for."""

    def __init__(self, own: Callable[[int], None] | None) -> None:
        self.own = own

    def __call__(self, number: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.own is not None:
            self.own(number)


def _as_it_is(loaded: Any) -> Any:
    return loaded


def _checked(loaded: Any) -> tuple[Tensor, Tensor]:
    """``loaded`` as a pair; CourseError where it is none."""
    if isinstance(loaded, tuple | list) and len(loaded) == 2 and all(isinstance(part, Tensor) for part in loaded):
        return loaded[0], loaded[1]
    parts = [type(part).__name__ for part in loaded] if isinstance(loaded, tuple | list) else type(loaded).__name__
    raise CourseError(
        f"Each batch of the DataLoader should be a pair of tensors, inputs and targets; it is {parts}. Let the dataset "
        "return a pair, or make one of its items in the DataLoader's collate_fn."
    )


def _is_shuffled(loader: DataLoader[Any]) -> bool:
    """Whether a DataLoader shuffles; CourseError where it is one that an epoch cannot be made of."""
    if not isinstance(loader, DataLoader):
        raise CourseError(f"LoaderBatches needs a torch.utils.data.DataLoader; it got {type(loader).__name__}.")
    if isinstance(loader.dataset, IterableDataset) or not hasattr(loader.dataset, "__len__"):
        raise CourseError(
            f"{type(loader.dataset).__name__} has no length, so nobody knows where an epoch ends. Give the DataLoader "
            "a dataset with __len__ and __getitem__."
        )
    sampler = loader.sampler
    shuffles = type(sampler) is RandomSampler and not sampler.replacement and len(sampler) == len(loader.dataset)
    if loader.batch_size is None or not (shuffles or type(sampler) is SequentialSampler):
        raise CourseError(
            "LoaderBatches decides by itself which items a step gets: so a run can go on in the middle of an epoch, "
            "and processes can share it. Give the DataLoader a batch_size and shuffle=True or False, and no sampler; "
            "for a part of a dataset take torch.utils.data.Subset."
        )
    return shuffles
