"""The Batcher against slow loops: which windows a step draws, who gets which, and scoring a whole split."""

import collections
import copy
import gc
import json
import math
import os
import pickle
import random
import signal
import threading
import weakref
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.data import Batcher, prepare
from course_lib.errors import CourseError
from course_lib.tokenizers import ByteTokenizer

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def squares(n):
    """A row whose every window is different, so that a window says where it came from."""
    return np.arange(n, dtype=np.int64) ** 2


@pytest.fixture
def path(project):
    (project / "a.bin").write_bytes(random.Random(0).randbytes(5000))
    return prepare("bytes:a.bin", val_fraction=0.2) / "train.bin"


# What a batch is ------------------------------------------------------------------------------------------


def test_targets_are_the_inputs_shifted_by_one():
    tokens = squares(100)
    batcher = Batcher(tokens, batch_size=5, block_size=7, seed=3)
    for step in range(20):
        x, y = batcher.batch(step)
        assert x.shape == y.shape == (5, 7)
        assert x.dtype == y.dtype == torch.int64
        for row, offset in enumerate(batcher.offsets(step).tolist()):
            assert x[row].tolist() == tokens[offset : offset + 7].tolist()
            assert y[row].tolist() == tokens[offset + 1 : offset + 8].tolist()


def test_every_offset_from_0_to_the_last_legal_one_is_drawn_and_no_other():
    n, block_size = 12, 4
    batcher = Batcher(squares(n), batch_size=8, block_size=block_size)
    seen = {offset for step in range(40) for offset in batcher.offsets(step).tolist()}
    assert seen == set(range(n - block_size))  # 0 to N - T - 1


def test_the_last_legal_window_ends_with_the_last_token():
    tokens = squares(12)
    batcher = Batcher(tokens, batch_size=8, block_size=4)
    step, row = next((s, r) for s in range(40) for r, o in enumerate(batcher.offsets(s)) if o == 7)
    x, y = batcher.batch(step)
    assert x[row].tolist() == [49, 64, 81, 100]
    assert y[row].tolist() == [64, 81, 100, 121]
    assert y[row, -1] == tokens[-1]


def test_a_text_of_block_size_plus_one_has_one_window():
    x, y = Batcher([5, 6, 7, 8], batch_size=2, block_size=3).batch(0)
    assert x.tolist() == [[5, 6, 7]] * 2
    assert y.tolist() == [[6, 7, 8]] * 2


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_text_of_block_size_is_too_short(n):
    with pytest.raises(CourseError) as caught:
        Batcher(list(range(n)), batch_size=2, block_size=3)
    message = str(caught.value)
    assert f"has {n} tokens; with block_size 3 it needs at least 4" in message
    assert f"a block_size of at most {max(n - 1, 0)}." in message


@pytest.mark.parametrize("tokens", [[[1, 2], [3, 4]], [0.5, 1.5, 2.5], np.zeros((3, 3), dtype=int), ["a", "b"], 5])
def test_tokens_are_one_row_of_whole_numbers(tokens):
    with pytest.raises(CourseError, match="one row of whole numbers"):
        Batcher(tokens, batch_size=1, block_size=1)


@pytest.mark.parametrize(
    "form",
    [list, tuple, np.asarray, torch.tensor, lambda row: np.asarray(row, dtype=np.uint16)],
    ids=["list", "tuple", "array", "tensor", "uint16"],
)
def test_tokens_come_in_any_form(form):
    row = list(range(50, 90))
    plain, other = Batcher(row, 3, 4), Batcher(form(row), 3, 4)
    for one, two in zip(plain.batch(1), other.batch(1), strict=True):
        assert torch.equal(one, two)


# A pure function of seed and step -------------------------------------------------------------------------


def philox(key, counter):
    """Philox4x64-10 as the paper has it (Salmon et al. 2011, section 3.3), in whole numbers of Python."""
    word = 2**64 - 1
    c, k = [counter, 0, 0, 0], list(key)
    for turn in range(10):
        if turn:
            k = [(k[0] + 0x9E3779B97F4A7C15) & word, (k[1] + 0xBB67AE8584CAA73B) & word]
        a, b = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(b >> 64) ^ c[1] ^ k[0], b & word, (a >> 64) ^ c[3] ^ k[1], a & word]
    return c


def slow_offsets(seed, step, count, places):
    words = [word for counter in range(1, count // 4 + 2) for word in philox((seed, step), counter)]
    return [word % places for word in words[:count]]


def test_the_slow_philox_gives_the_published_words():
    """Random123's kat_vectors: philox4x64 10, counter and key zero."""
    published = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox((0, 0), 0) == published


@steady
@given(st.integers(0, 2**63 - 1), st.integers(0, 10**9), st.integers(1, 30), st.integers(2, 10**6))
def test_offsets_are_philoxs_words(seed, step, count, places):
    tokens = np.broadcast_to(np.uint16(0), (places + 1,))
    batcher = Batcher(tokens, batch_size=count, block_size=1, seed=seed, resident=False)
    assert batcher.offsets(step).tolist() == slow_offsets(seed, step, count, places)


def test_golden_offsets():
    """They never change: a run that is resumed next year draws the same windows."""
    batcher = Batcher(range(1000), batch_size=2, block_size=16, seed=1337, grad_accum=3)
    assert batcher.offsets(0).tolist() == [953, 803, 526, 325, 782, 107]
    assert batcher.offsets(1).tolist() == [578, 189, 494, 504, 448, 266]
    assert batcher.offsets(1000).tolist() == [967, 58, 798, 518, 160, 485]


def test_any_step_can_be_replayed_and_nothing_else_matters():
    tokens = squares(300)
    batcher = Batcher(tokens, 4, 8, seed=5)
    first = [batcher.batch(step) for step in range(10)]
    torch.manual_seed(0)
    np.random.seed(0)
    another = Batcher(tokens, 4, 8, seed=5)
    for step in random.Random(1).sample(range(10), 10):
        assert all(torch.equal(a, b) for a, b in zip(first[step], another.batch(step), strict=True))


def test_a_batch_draws_from_no_generator():
    before = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())
    Batcher(squares(300), 4, 8).batch(7)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())


def test_seeds_and_steps_differ():
    draws = {
        tuple(Batcher(squares(1000), 8, 4, seed=seed).offsets(step).tolist())
        for seed in range(20)
        for step in range(20)
    }
    assert len(draws) == 400


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_have_a_range(seed):
    with pytest.raises(CourseError, match="seed should be at least 0 and below"):
        Batcher(squares(9), 1, 1, seed=seed)


def test_offsets_are_uniform():
    """Chi-square over 50 places: 49 degrees of freedom, so 99.9% of honest draws stay under 85.4."""
    places, block_size = 50, 3
    batcher = Batcher(squares(places + block_size), batch_size=100, block_size=block_size, seed=11)
    counts = collections.Counter(offset for step in range(200) for offset in batcher.offsets(step).tolist())
    expected = 200 * 100 / places
    chi_square = sum((counts[place] - expected) ** 2 / expected for place in range(places))
    assert chi_square < 85.4
    # Neither do neighbors in a batch, or the same place in two steps, go together.
    draws = np.stack([batcher.offsets(step) for step in range(200)]).astype(float)
    for one, two in ((draws[:, :-1], draws[:, 1:]), (draws[:-1], draws[1:])):
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.03


# From disk ------------------------------------------------------------------------------------------------


def test_a_mapped_file_gives_what_memory_gives_in_any_order(path):
    """Read ahead or not: jumps, repeats and skipped micro-steps do not matter."""
    settings = dict(batch_size=3, block_size=16, seed=2, grad_accum=4)
    resident, mapped = (Batcher(path, **settings, resident=r) for r in (True, False))
    assert isinstance(mapped.tokens, np.memmap)
    orders = random.Random(0)
    places = [(step, micro) for step in range(5) for micro in range(4)]  # in order: every guess is right
    places += [(orders.randrange(5), orders.randrange(4)) for _ in range(60)] + [(3, 1)] * 3 + [(10**9, 3)]
    for step, micro in places:
        for one, two in zip(resident.batch(step, micro), mapped.batch(step, micro), strict=True):
            assert two.dtype == torch.int64
            assert torch.equal(one, two)


def test_a_batch_that_was_handed_out_is_not_overwritten(path):
    mapped = Batcher(path, 3, 16, resident=False)
    batches = [mapped.batch(step) for step in range(5)]
    copies = [(x.clone(), y.clone()) for x, y in batches]
    for step in range(5, 10):
        mapped.batch(step)
    for (x, y), (x_copy, y_copy) in zip(batches, copies, strict=True):
        assert torch.equal(x, x_copy)
        assert torch.equal(y, y_copy)


def test_windows_from_disk_are_those_from_memory(path):
    resident, mapped = (Batcher(path, 7, 16, resident=r) for r in (True, False))
    for one, two in zip(resident.windows(), mapped.windows(), strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])


def test_small_texts_are_held_in_memory_and_large_ones_are_not(path, monkeypatch):
    assert Batcher(path, 1, 4)._resident is not None
    monkeypatch.setattr("course_lib.data.batcher.RESIDENT_BYTES", 31_999)
    assert Batcher(path, 1, 4)._resident is None


def test_a_file_that_does_not_fit_its_manifest_is_refused(path):
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(CourseError, match="does not fit its manifest"):
        Batcher(str(path), 1, 4)


@pytest.fixture
def sparse(tmp_path):
    """A file of 10 GB that takes no room on the disk, as far as Batcher can tell a prepared one."""
    n = 5 * 10**9
    folder = tmp_path / "huge"
    folder.mkdir()
    tokenizer = ByteTokenizer()
    tokenizer.save(folder / "tokenizer.json")
    manifest = dict(format="course_lib tokens", version=1, corpus="huge", sha256="", tokenizer=tokenizer.fingerprint())
    manifest |= dict(vocab_size=256, dtype="uint16", val_fraction=0.1)
    manifest |= dict(counts={"train": n, "val": 0}, bytes={"train": n, "val": 0})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    path = folder / "train.bin"
    try:
        with path.open("wb") as file:
            file.truncate(2 * n)
            for place in (0, n // 2, n - 5):
                file.seek(2 * place)
                file.write(np.arange(1, 6, dtype="<u2").tobytes())
    except OSError as error:
        pytest.skip(f"this file system has no room for a sparse file of 10 GB: {error}")
    if path.stat().st_blocks * 512 > 2**20:
        pytest.skip("this file system knows no sparse files")
    yield path
    path.unlink()


def memory_in_use():
    """Bytes of this process's own memory and of mapped files, as Linux counts them."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return [int(lines[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile")]


@pytest.mark.slow
def test_ten_gigabytes_are_drawn_from_without_being_read(sparse):
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is counted as Linux does it")
    own_before, mapped_before = memory_in_use()
    batcher = Batcher(sparse, batch_size=8, block_size=256)
    offsets = set()
    for step in range(60):
        x, y = batcher.batch(step)
        assert x.shape == y.shape == (8, 256)
        offsets.update(batcher.offsets(step).tolist())
    own, mapped = memory_in_use()
    assert own - own_before < 32 * 2**20
    assert mapped - mapped_before < 160 * 2**20  # 480 windows, and around each what the system reads ahead
    assert max(offsets) > 4.9e9  # beyond 32 bits, and near the end
    for place in (0, 2_500_000_000, 4_999_999_995):
        assert batcher.tokens[place : place + 5].tolist() == [1, 2, 3, 4, 5]


# Read in advance ------------------------------------------------------------------------------------------


class Touchy:
    """A row that a thread which reads ahead cannot read."""

    def __init__(self, row):
        self.row, self.size = row, row.size

    def __len__(self):
        return len(self.row)

    def __getitem__(self, places):
        if threading.current_thread().name.startswith("read-ahead"):
            raise OSError("the disk is gone")
        return self.row[places]


def reading_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_what_goes_wrong_in_the_thread_is_told_to_whoever_asks_and_not_twice():
    plain, mapped = Batcher(squares(300), 4, 8), Batcher(squares(300), 4, 8, resident=False)
    mapped.tokens = Touchy(mapped.tokens)
    assert same(mapped.batch(0), plain.batch(0))
    for step in (1, 2, 3):
        with pytest.raises(OSError, match="the disk is gone"):
            mapped.batch(step)
        assert same(mapped.batch(step), plain.batch(step))  # asked again, it is read again
    windows = mapped.windows()
    assert same(next(windows), next(plain.windows()))
    with pytest.raises(OSError, match="the disk is gone"):
        next(windows)


def test_an_interruption_while_the_thread_reads_loses_nothing(path, monkeypatch):
    plain, mapped = Batcher(path, 3, 16), Batcher(path, 3, 16, resident=False)
    mapped.batch(0)
    usual = Future.result
    for step in (1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(Future, "result", lambda self, timeout=None: signal.raise_signal(signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                mapped.batch(step)
        assert Future.result is usual
        assert same(mapped.batch(step), plain.batch(step))


def test_no_thread_and_no_memory_stay_behind(path):
    before = set(reading_threads())
    batchers = [Batcher(path, 3, 16, resident=False) for _ in range(5)]
    for batcher in batchers:
        batcher.batch(0)
        for _ in zip(range(2), batcher.windows()):
            pass  # and the rest is not asked for
        list(batcher.windows())
    began = set(reading_threads()) - before
    assert began
    last = [weakref.ref(batcher) for batcher in batchers]
    del batcher, batchers
    for thread in began:
        thread.join(timeout=10)
    gc.collect()
    assert not set(reading_threads()) - before
    assert [ref() for ref in last] == [None] * 5


def test_a_text_in_memory_needs_no_thread():
    before = set(reading_threads())
    batcher = Batcher(squares(300), 4, 8)
    batcher.batch(0), list(batcher.windows())
    assert set(reading_threads()) == before


@pytest.mark.parametrize(
    "copied",
    [lambda b: pickle.loads(pickle.dumps(b)), copy.deepcopy, copy.copy],
    ids=["pickle", "deepcopy", "copy"],
)
@pytest.mark.parametrize("resident", [True, False])
def test_a_copy_draws_what_the_first_one_draws(path, resident, copied):
    first = Batcher(path, 3, 16, seed=2, grad_accum=2, resident=resident)
    first.check_ids(256)
    first.batch(0)
    other = copied(first)
    for step in (0, 1, 2):
        assert same(other.batch(step, 1), first.batch(step, 1))
    assert isinstance(other.tokens, np.memmap)
    assert all(same(*pair) for pair in zip(other.windows(), first.windows(), strict=True))
    other = copied(first)
    other.seed = 3  # what the first one has read ahead is not the copy's
    assert same(other.batch(3), Batcher(path, 3, 16, seed=3, grad_accum=2).batch(3))


def test_of_a_file_a_copy_holds_the_path(path, monkeypatch, tmp_path):
    batcher = Batcher(path, 3, 16, resident=False)
    word = pickle.dumps(batcher)
    assert len(word) < 2000 < batcher.tokens.nbytes
    monkeypatch.chdir(tmp_path)
    assert same(pickle.loads(word).batch(7), batcher.batch(7))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_reads_by_itself(path):
    """Its thread did not come along: waiting for what it was to read would take for ever."""
    plain, mapped = Batcher(path, 3, 16), Batcher(path, 3, 16, resident=False)
    mapped.batch(0)
    expected = [plain.batch(step)[0].tolist() for step in (1, 2)]
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        os._exit(0 if [mapped.batch(step)[0].tolist() for step in (1, 2)] == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [mapped.batch(step)[0].tolist() for step in (1, 2)] == expected


# What published code expects ------------------------------------------------------------------------------


@pytest.mark.parametrize("resident", [True, False])
def test_whatever_is_handed_out_can_be_flattened_by_view(path, resident):
    """``targets.view(-1)``: a slice of the drawn windows would refuse it."""
    batcher = Batcher(path, 3, 16, grad_accum=2, resident=resident)
    batches = [batcher.batch(step, micro) for step in range(4) for micro in range(2)]
    batches += [*batcher.windows(), *batcher.windows(max_batches=2)]
    assert {x.shape for x, _ in batches} >= {(3, 16), (1, (len(batcher.tokens) - 1) % 16)}  # the tail among them
    for x, y in batches:
        assert x.is_contiguous()
        assert y.is_contiguous()
        assert x.view(-1).tolist() == x.flatten().tolist()
        assert y.view(-1)[:-1].tolist() == y.flatten()[:-1].tolist()
        assert x[:, 1:].equal(y[:, :-1])


@pytest.mark.parametrize("bad", [-1, 0.5, 2.0, True, 2**63])
def test_steps_and_numbers_of_batches_are_whole_numbers(bad):
    batcher = Batcher(squares(50), 2, 4)
    with pytest.raises(CourseError, match="step should be "):
        batcher.batch(bad)
    if bad != 2**63:
        with pytest.raises(CourseError, match=r"max_batches should be .*, or None for all"):
            list(batcher.windows(bad))
    assert batcher.batch(np.int64(3))[0].equal(batcher.batch(3)[0])


# Ids that a model knows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [list, np.asarray, torch.tensor, lambda row: np.asarray(row, dtype=np.int16)],
    ids=["list", "array", "tensor", "int16"],
)
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("bad", [-1, -300, 11, 12, 9999])
@pytest.mark.parametrize("place", [0, 77, 199])
def test_one_id_that_the_model_does_not_know_is_found_wherever_it_stands(form, resident, bad, place):
    row = [i % 11 for i in range(200)]
    Batcher(form(row), 2, 8, resident=resident).check_ids(11)
    row[place] = bad
    with pytest.raises(CourseError, match=f"ids from 0 to 10; among the tokens is {bad}"):
        Batcher(form(row), 2, 8, resident=resident).check_ids(11)


def test_a_files_manifest_is_believed_and_each_batch_is_looked_at(path):
    """The file is one of bytes; a model of 256 tokens may read it, one of 250 may not."""
    for resident in (True, False):
        Batcher(path, 3, 16, resident=resident).check_ids(256)
        with pytest.raises(CourseError, match="ids from 0 to 249; among the tokens is 255"):
            Batcher(path, 3, 16, resident=resident).check_ids(250)
    damaged = np.memmap(path, dtype="<u2", mode="r+")
    damaged[:] = 300
    damaged.flush()
    mapped = Batcher(path, 3, 16, resident=False)
    mapped.check_ids(256)
    for read in (lambda: mapped.batch(0), lambda: next(mapped.windows())):
        with pytest.raises(CourseError, match="ids from 0 to 255; among the tokens is 300"):
            read()


def test_a_mapped_array_is_not_read_as_a_whole(tmp_path):
    """Ten gigabytes would take a while. What is drawn is looked at; any array over a file counts as such."""
    (tmp_path / "ids").write_bytes(np.array([1] * 500 + [99] * 500, dtype="<u2").tobytes())
    mapped = np.memmap(tmp_path / "ids", dtype="<u2", mode="r")
    for tokens in (mapped, mapped[:], np.asarray(mapped)):
        batcher = Batcher(tokens, 1, 16, resident=False)
        batcher.check_ids(50)
        outcomes = collections.Counter()
        for step in range(40):
            fine = batcher.offsets(step)[0] + 16 < 500
            if fine:
                batcher.batch(step)
            else:
                with pytest.raises(CourseError, match="among the tokens is 99"):
                    batcher.batch(step)
            outcomes[fine] += 1
        assert min(outcomes[True], outcomes[False]) > 5


@pytest.mark.parametrize("name", ["batch_size", "block_size", "grad_accum", "world_size", "seed", "rank"])
@pytest.mark.parametrize("bad", [2.0, 0.5, True, math.nan])
def test_whole_numbers_are_whole_numbers(name, bad):
    settings = dict(batch_size=2, block_size=4, grad_accum=4, world_size=4) | {name: bad}
    with pytest.raises(CourseError, match=f"{name} should be "):
        Batcher(squares(50), **settings)


# Several processes, several micro-steps -------------------------------------------------------------------


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize("resident", [True, False])
def test_the_global_batch_is_the_same_for_every_split_of_the_work(world_size, resident):
    tokens = squares(500)
    whole = Batcher(tokens, batch_size=24, block_size=5, seed=9)  # one process, one micro-step
    ranks = [
        Batcher(tokens, 2, 5, seed=9, grad_accum=12, rank=rank, world_size=world_size, resident=resident)
        for rank in range(world_size)
    ]
    assert {r.micro_steps for r in ranks} == {12 // world_size}
    assert {r.tokens_per_step for r in ranks} == {whole.tokens_per_step} == {120}
    for step in (0, 1, 77):
        parts = [r.batch(step, micro) for r in ranks for micro in range(r.micro_steps)]
        x, y = (torch.cat(part) for part in zip(*parts, strict=True))
        assert torch.equal(x, whole.batch(step)[0])
        assert torch.equal(y, whole.batch(step)[1])


@pytest.mark.parametrize(("grad_accum", "world_size", "fitting"), [(1, 2, 2), (5, 2, 6), (6, 4, 8), (3, 8, 8)])
def test_work_that_cannot_be_shared_equally(grad_accum, world_size, fitting):
    with pytest.raises(CourseError, match=f"multiple of {world_size}, such as {fitting}"):
        Batcher(squares(50), 2, 4, grad_accum=grad_accum, world_size=world_size)
    assert Batcher(squares(50), 2, 4, grad_accum=fitting, world_size=world_size).micro_steps == fitting // world_size


@pytest.mark.parametrize("name", ["batch_size", "block_size", "grad_accum", "world_size"])
def test_sizes_are_at_least_one(name):
    with pytest.raises(CourseError, match=f"{name} should be at least 1; it is 0"):
        Batcher(squares(50), **(dict(batch_size=2, block_size=4) | {name: 0}))


@pytest.mark.parametrize("rank", [-1, 2])
def test_a_rank_that_is_not_in_the_world(rank):
    with pytest.raises(CourseError, match=f"rank should be from 0 to 1; it is {rank}"):
        Batcher(squares(50), 2, 4, grad_accum=2, world_size=2, rank=rank)


@pytest.mark.parametrize("micro", [-1, 2])
def test_a_micro_step_that_is_not_this_process(micro):
    with pytest.raises(CourseError, match=f"micro should be from 0 to 1; it is {micro}"):
        Batcher(squares(50), 2, 4, grad_accum=4, world_size=2).batch(0, micro)


# Scoring a whole split ------------------------------------------------------------------------------------


def slow_windows(tokens, block_size):
    """One window after another; the last takes what is left."""
    windows, place = [], 0
    while place < len(tokens) - 1:
        end = min(place + block_size, len(tokens) - 1)
        windows.append((tokens[place:end], tokens[place + 1 : end + 1]))
        place = end
    return windows


def listed(batches):
    return [(a, b) for x, y in batches for a, b in zip(x.tolist(), y.tolist(), strict=True)]


@steady
@given(st.integers(1, 9), st.integers(2, 60), st.integers(1, 5), st.integers(1, 4))
def test_every_target_is_scored_once(block_size, n, batch_size, world_size):
    n = max(n, block_size + 1)
    tokens = squares(n).tolist()
    ranks = [
        Batcher(tokens, batch_size, block_size, grad_accum=world_size, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    shares = [listed(batcher.windows()) for batcher in ranks]
    assert sorted(w for share in shares for w in share) == sorted(slow_windows(tokens, block_size))
    targets = [t for share in shares for _, y in share for t in y]
    assert sorted(targets) == tokens[1:]
    if world_size == 1:
        assert shares[0] == slow_windows(tokens, block_size)  # and in order
    counts = [len(list(batcher.windows())) for batcher in ranks]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("resident", [True, False])
def test_windows_come_in_batches_and_the_tail_alone(resident):
    shapes = [tuple(x.shape) for x, _ in Batcher(squares(32), 3, 4, resident=resident).windows()]
    assert shapes == [(3, 4), (3, 4), (1, 4), (1, 3)]  # 31 targets: seven windows of 4, a tail of 3
    shapes = [tuple(x.shape) for x, _ in Batcher(squares(33), 3, 4, resident=resident).windows()]
    assert shapes == [(3, 4), (3, 4), (2, 4)]


def test_some_batches_are_spread_evenly_over_the_text():
    batcher = Batcher(squares(1003), batch_size=5, block_size=10)  # 100 full windows
    found = [math.isqrt(x[0]) // 10 for x, _ in listed(batcher.windows(max_batches=2))]
    assert found == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert [x.shape for x, _ in batcher.windows(max_batches=3)] == [(5, 10)] * 3


@steady
@given(st.integers(1, 200), st.integers(1, 6), st.integers(1, 20), st.integers(1, 4))
def test_some_batches_are_distinct_full_windows_shared_by_the_ranks(n_full, batch_size, max_batches, world_size):
    T = 3
    tokens = squares(n_full * T + 2)  # and a tail of one
    ranks = [
        Batcher(tokens, batch_size, T, grad_accum=world_size, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    shares = [listed(batcher.windows(max_batches)) for batcher in ranks]
    starts = sorted(math.isqrt(x[0]) for share in shares for x, _ in share)
    assert len(set(starts)) == len(starts)
    assert all(start % T == 0 for start in starts)
    wanted = max_batches * batch_size
    if wanted < n_full:
        assert len(starts) == wanted
        gaps = np.diff([*starts, n_full * T])
        assert gaps.min() >= n_full // wanted * T
        assert gaps.max() <= -(-n_full // wanted) * T
    else:
        assert starts == [*range(0, n_full * T + 1, T)]  # the whole split, tail and all


def test_windows_do_not_depend_on_the_seed():
    one, two = (Batcher(squares(100), 3, 7, seed=seed) for seed in (0, 1))
    assert listed(one.windows()) == listed(two.windows())
