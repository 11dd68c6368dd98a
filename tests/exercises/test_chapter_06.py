"""Chapter 06's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import copy
import io
import json
import math
import os
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch.nn.functional import cross_entropy

from course_lib.exercises import check
from course_lib.paths import replace_file

from .planted import assert_told

pytestmark = pytest.mark.usefixtures("one_thread")


# 06-1 -----------------------------------------------------------------------------------------------------

SAVED = {
    "the weights": True,
    "m and v": True,
    "the learning rate": False,
    "the number of completed steps": True,
    "the next batch": False,
    "the gradients": False,
    "dropout's chance": False,
    "the alphabet": True,
    "the best loss so far": True,
}

WRONG_1 = {
    "no weights": (SAVED | {"the weights": False}, "Nothing else knows what was learned"),
    "no memory": (SAVED | {"m and v": False}, "to compute them again is to train again"),
    "the rate": (SAVED | {"the learning rate": True}, "'the learning rate' need not be saved"),
    "no step": (SAVED | {"the number of completed steps": False}, "must be saved. Nothing else tells where"),
    "the batch": (SAVED | {"the next batch": True}, "follows from the seed"),
    "gradients": (SAVED | {"the gradients": True}, "begins by forgetting them"),
    "chance": (SAVED | {"dropout's chance": True}, "seeded anew at each step"),
    "no alphabet": (SAVED | {"the alphabet": False}, "which number is which character"),
    "no best": (SAVED | {"the best loss so far": False}, "the first loss after a crash"),
    "everything": (dict.fromkeys(SAVED, True), "'the learning rate' need not be saved"),
    "one missing": (SAVED | {"the alphabet": ...}, "'the alphabet' is still missing"),
    "one name gone": ({"the weights": True}, "there is no answer for 'm and v'"),
    "a word": (SAVED | {"the weights": "yes"}, "should be True or False; it is the text 'yes'"),
    "a list": ([True, True], "Expected is the dict of the cell"),
}


# 06-2 -----------------------------------------------------------------------------------------------------

WRONG_2 = {
    "big-endian": (lambda data: int.from_bytes(data[:8], "big"), "little-endian"),
    "the first byte": (lambda data: data[0], "the first byte alone"),
    "two bytes": (lambda data: int.from_bytes(data[:2], "little"), "two bytes alone"),
    "four bytes": (lambda data: int.from_bytes(data[:4], "little"), "four bytes alone"),
    "all bytes": (lambda data: int.from_bytes(data, "little"), "only the first 8 belong to it"),
    "with the 8": (lambda data: int.from_bytes(data[:8], "little") + 8, "counts the first 8 bytes as well"),
    "without the 8": (lambda data: int.from_bytes(data[:8], "little") - 8, "not part of the header"),
    "of the data": (len, "the length of all the data"),
    "the sum": (lambda data: sum(data[:8]), "digits of one number"),
    "a tuple": (lambda data: (1192,), "should be a number; it is a tuple"),
    "bytes": (lambda data: data[:8], "should be a number"),
    "something": (lambda data: 7, "Byte i, counted from 0"),
    "called": (1192, "It got the number 1,192"),
}


def test_a_length_byte_by_byte_is_right():
    assert check("06-2", lambda data: sum(data[i] * 256**i for i in range(8))).passed


# 06-3 -----------------------------------------------------------------------------------------------------


def best_03(better=lambda loss, best: loss < best, skip=lambda loss: loss is None or math.isnan(loss), first=None):
    """A best_saves with one thing or another gone wrong."""

    def best_saves(losses, best):
        best = first if first is not None else best
        places = []
        for place, loss in enumerate(losses):
            if skip(loss):
                continue
            if best is None or better(loss, best):
                best = loss
                places.append(place)
        return places

    return best_saves


def falsy(losses, best):
    places = []
    for place, loss in enumerate(losses):
        if loss is not None and not math.isnan(loss) and (not best or loss < best):
            best = loss
            places.append(place)
    return places


def the_lowest(losses, best):
    known = [loss for loss in losses if loss is not None and not math.isnan(loss)]
    return [losses.index(min(known))]


def emptied(losses, best):
    places = best_03()(losses, best)
    losses.clear()
    return places


WRONG_3 = {
    "the best forgotten": (best_03(first=math.inf), "had a best of 1.9 before it was stopped"),
    "also as good": (best_03(lambda loss, best: loss <= best), "is not better"),
    "the highest": (best_03(lambda loss, best: loss > best), "its first loss is the best so far"),
    "None not left out": (best_03(skip=lambda loss: math.isnan(loss)), "raised TypeError"),
    "NaN taken at first": (best_03(skip=lambda loss: loss is None), "nothing is ever better"),
    "NaN always taken": (
        best_03(lambda loss, best: not loss >= best, skip=lambda loss: loss is None),
        "it is never the best",
    ),
    "zero is none": (falsy, "ask `is None` instead"),
    "only the lowest": (the_lowest, "Every new best is written when it comes"),
    "each better than the last": (
        lambda losses, best: [0, *[i for i in range(1, len(losses)) if losses[i] < losses[i - 1]]],
        "had a best of 1.9",
    ),
    "counted from 1": (lambda losses, best: [place + 1 for place in best_03()(losses, best)], "counted from 0"),
    "the losses": (lambda losses, best: [int(losses[0])], "should be [0, 1, 3]; it is [2]"),
    "changes the list": (emptied, "changed the list"),
    "nothing returned": (lambda losses, best: print(end=""), "Does the function end with return?"),
    "called": ([0, 1, 3], "It got a list of 3"),
}


# 06-4 -----------------------------------------------------------------------------------------------------


def epoch_04(key=lambda seed, epoch, step: [seed, epoch], cut=True, finish=lambda row: row.tolist(), size=0, mix=True):
    """An epoch_batch with one thing or another gone wrong."""

    def epoch_batch(seed, step, batch_size, n_examples):
        epoch, within = divmod(step, n_examples // batch_size)
        rng = np.random.default_rng(key(seed, epoch, step))
        order = rng.permutation(n_examples) if mix else np.arange(n_examples)
        return finish(order[within * batch_size if cut else 0 :][: batch_size + size])

    return epoch_batch


def any_chance(seed, step, batch_size, n_examples):
    return random.sample(range(n_examples), batch_size)


def with_repeats(seed, step, batch_size, n_examples):
    return np.random.default_rng([seed, step]).integers(n_examples, size=batch_size).tolist()


WRONG_4 = {
    "chance": (any_chance, "depends on what was drawn before"),
    "drawn with repeats": (with_repeats, "one and the same order"),
    "another order at each step": (epoch_04(lambda s, e, t: [s, t]), "one and the same order"),
    "always the first batch": (epoch_04(cut=False), "comes 6 times"),
    "not mixed": (epoch_04(mix=False), "in the order of the data"),
    "one order for all": (epoch_04(lambda s, e, t: s), "Every epoch has the same order"),
    "no seed": (epoch_04(lambda s, e, t: e), "from the seed as well"),
    "added": (epoch_04(lambda s, e, t: s + e), "hand both over, [seed, epoch]"),
    "one too few": (epoch_04(size=-1), "should return 4 examples; it returned 3"),
    "counted from 1": (epoch_04(finish=lambda row: (row + 1).tolist()), "from 0 to 23; one is 24"),
    "fractions": (epoch_04(finish=lambda row: (row / 2).tolist()), "list of whole numbers"),
    "nothing returned": (epoch_04(finish=lambda row: None), "Does the function end with return?"),
    "called": ([1, 2], "It got a list of 2"),
}


def test_an_order_by_torch_or_by_python_is_right_too():
    def by_torch(seed, step, batch_size, n_examples):
        epoch, within = divmod(step, n_examples // batch_size)
        generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
        return torch.randperm(n_examples, generator=generator).split(batch_size)[within]

    def by_python(seed, step, batch_size, n_examples):
        start = step * batch_size % n_examples
        order = list(range(n_examples))
        random.Random(f"{seed} {step * batch_size // n_examples}").shuffle(order)
        return tuple(order[start : start + batch_size])

    assert check("06-4", by_torch).passed
    assert check("06-4", by_python).passed


# 06-5 -----------------------------------------------------------------------------------------------------


def read_05(*left_out, place=8, dtype="<f4", shaped=True, error=ValueError):
    """A read_tensor without some of its checks, or with something else gone wrong."""

    def read_tensor(data, name):
        def ask(question, holds):
            if question not in left_out and not holds():
                raise error(question)

        ask("eight", lambda: len(data) >= 8)
        length = int.from_bytes(data[:8], "little")
        ask("header", lambda: length <= len(data) - 8)
        header, body = json.loads(data[8 : 8 + length]), data[place + length :]
        ask("name", lambda: name in header)
        ask("metadata", lambda: name != "__metadata__")
        entry = header[name]
        begin, end = entry["data_offsets"]
        ask("dtype", lambda: entry["dtype"] == "F32")
        ask("begin", lambda: begin >= 0)
        ask("end", lambda: end <= len(body))
        ask("size", lambda: end - begin == 4 * math.prod(entry["shape"]))
        array = np.frombuffer(body[begin:end], dtype=dtype)
        if not shaped:
            return array
        return array.reshape(entry["shape"]) if array.size == math.prod(entry["shape"]) else array

    return read_tensor


def believing(below=False):
    """Reads whatever the header says, without a check of the tensor's place; reshape alone complains."""

    def read_tensor(data, name):
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > len(data) - 8:
            raise ValueError("header")
        header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
        if name not in header or name == "__metadata__" or header[name]["dtype"] != "F32":
            raise ValueError(name)
        begin, end = header[name]["data_offsets"]
        if below and begin < 0:
            raise ValueError("below 0")
        return np.frombuffer(body[begin:end], dtype="<f4").reshape(header[name]["shape"])

    return read_tensor


def the_first(data, name):
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + length])[name]
    count = math.prod(entry["shape"])
    return np.resize(np.frombuffer(data[8 + length :][: 4 * count], dtype="<f4"), entry["shape"])


WRONG_5 = {
    "no checks": (read_05("eight", "header", "name", "dtype", "begin", "end", "size"), "whose last part is missing"),
    "offsets from the header": (read_05(place=0), "counted from the end of the header"),
    "the first for all": (the_first, "Those are the numbers of the first tensor"),
    "big-endian": (read_05(dtype=">f4"), "wrong order"),
    "not reshaped": (read_05(shaped=False), "reshape(entry['shape']) is missing"),
    "whole numbers": (read_05(dtype="<i4"), "should hold numbers of the kind float32; it holds int32"),
    "no dtype asked": (read_05("dtype"), "For a dtype of F16 it raised no error"),
    "no size asked": (read_05("size"), "fewer bytes than the shape"),
    "no end asked": (read_05("end"), "whose last part is missing"),
    "no begin asked": (read_05("begin"), "offsets that begin below 0"),
    "believes the header": (believing(), "offsets that begin below 0"),
    "believes all but a begin below 0": (believing(below=True), "reshape takes -1 for whatever fits"),
    "reads the words about the file": (read_05("metadata"), 'the name "__metadata__" it raised KeyError'),
    "no name asked": (read_05("name"), "a name that is not in the header it raised KeyError"),
    "another error": (read_05(error=KeyError), "it raised KeyError; a ValueError is asked for"),
    "a list": (lambda data, name: read_05()(data, name).tolist(), "should be an array of numpy; it is a list"),
    "nothing returned": (lambda data, name: print(end=""), "Does the function end with return?"),
    "called": (np.ones(3), "It got an array of shape (3,)"),
}


def test_the_packages_own_reader_passes_where_its_errors_are_made_value_errors():
    def read_tensor(data, name):
        try:
            found = safetensors.numpy.load(data)
        except Exception as error:
            raise ValueError(str(error)) from error
        if name not in found or found[name].dtype != np.float32:
            raise ValueError(name)
        return found[name]

    assert check("06-5", read_tensor).passed


# 06-6 -----------------------------------------------------------------------------------------------------


def go_06(memory=True, count=1, copied=("model", "optimizer"), on_load=True, start=None, weights=True, forgets=True):
    """The function of the exercise, with the faults that are wanted."""

    def go_on(model, optimizer, batches, saved, steps):
        first = 0
        if saved is not None:
            if weights:
                model.load_state_dict(saved["model"])
            if memory:
                optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]) if on_load else saved["optimizer"])
            first = saved["step"] if start is None else start
        for step in range(first, first + steps):
            x, y = batches.batch(step)
            if forgets:
                optimizer.zero_grad()
            cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
            optimizer.step()
        state = {"model": model.state_dict(), "step": step + count}
        if memory:
            state["optimizer"] = optimizer.state_dict()
        return {name: copy.deepcopy(part) if name in copied else part for name, part in state.items()}

    return go_on


WRONG_6 = {
    "the memory is left": (go_06(memory=False), ("2 of 3", "an optimizer that knows nothing")),
    "the count is left": (go_06(count=0), ("2 of 3", "One batch comes twice")),
    "the copies are left": (go_06(copied=()), ("2 of 3", "Is state_dict() a copy?")),
    "memory and count": (go_06(memory=False, count=0), ("1 of 3 faults is", "knows nothing")),
    "memory and copies": (go_06(memory=False, copied=()), ("1 of 3", "knows nothing")),
    "count and copies": (go_06(count=0, copied=()), ("1 of 3", "Is state_dict() a copy?")),
    "only the model is copied": (go_06(copied=("model",)), ("2 of 3", "the optimizer's is not")),
    "only the optimizer is copied": (go_06(copied=("optimizer",)), ("2 of 3", "Is state_dict() a copy?")),
    "not copied when it is read": (go_06(on_load=False), ("The three faults are gone", "give it copies")),
    "counted too far": (go_06(count=2), ("2 of 3", "next step has the number 4")),
    "from the start again": (go_06(start=0), ("2 of 3", "next step has the number 4")),
    "the weights not put back": (go_06(weights=False), ("2 of 3",)),
    "the gradients add up": (go_06(forgets=False), ("ends with other weights",)),
    "no steps": (lambda *args: {}, ("should take 4 steps", "0 batches")),
    "nothing returned": (
        lambda m, o, b, s, n: go_06()(m, o, b, s, n) and None,
        ("Does the function end with return?",),
    ),
    "called": ({"model": 1}, ("It got a dict of 1",)),
}


def test_the_function_as_it_is_given_counts_as_not_attempted():
    verdict = check("06-6", go_06(memory=False, count=0, copied=()))
    assert verdict.passed is None
    assert "All three faults" in repr(verdict)


def test_what_is_saved_may_be_bytes():
    def go_on(model, optimizer, batches, saved, steps):
        inner = go_06()(model, optimizer, batches, saved and torch.load(io.BytesIO(saved["file"])), steps)
        file = io.BytesIO()
        torch.save(inner, file)
        return {"file": file.getvalue()}

    assert check("06-6", go_on).passed


# 06-7 -----------------------------------------------------------------------------------------------------


def atomic_07(flush=True, sync=True, move=os.replace, mode="wb", where=None, on_error="clean", before=None, late=False):
    """An atomic_write with one thing or another gone wrong."""

    def atomic_write(path, data):
        scratch = (where or path.parent) / f".{path.name}.new"
        try:
            with open(scratch, mode) as file:
                file.write(data)
                if flush:
                    file.flush()
                if sync and not late:
                    os.fsync(file.fileno())
            if before:
                before(path)
            getattr(os, move.__name__)(scratch, path)
            if late:
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
        except OSError:
            if on_error != "leave":
                scratch.unlink(missing_ok=True)
            if on_error != "hush":
                raise
        return len(data)

    return atomic_write


def in_place(path, data):
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return len(data)


def by_copy(path, data):
    scratch = path.with_name("scratch")
    scratch.write_bytes(data)
    shutil.copyfile(scratch, path)
    scratch.unlink()
    return len(data)


def left_behind(path, data):
    atomic_07()(path, data)
    path.with_name("backup").write_bytes(data)
    return len(data)


def half(path, data):
    return atomic_07()(path, data[:100])


def elsewhere(path, data):
    with tempfile.TemporaryDirectory() as folder:
        return atomic_07(where=Path(folder))(path, data)


WRONG_7 = {
    "in place": (in_place, "the file held 0 of 108,000 bytes"),
    "write_bytes": (lambda path, data: path.write_bytes(data), "path itself is touched by os.replace alone"),
    "copied over": (by_copy, "A kill at that instant leaves just that"),
    "removed first": (atomic_07(before=lambda path: path.unlink(missing_ok=True)), "there was no file at path"),
    "not synced": (atomic_07(sync=False), "was not synced before it took its name"),
    "synced too late": (atomic_07(late=True), "was not synced before it took its name"),
    "not flushed": (
        lambda path, data: atomic_07(flush=False)(path, data) if len(data) < 9 else small_writes(path, data),
        "file.flush() comes first",
    ),
    "another folder": (elsewhere, "lies in another folder"),
    "left behind on an error": (atomic_07(on_error="leave"), "os.fsync failed (a full disk), and a scratch file"),
    "hushed up": (atomic_07(on_error="hush"), "was not told"),
    "something left": (left_behind, "Beside the file something is left: backup"),
    "only a part": (half, "the file held 100 of 108,000 bytes"),
    "never written": (lambda path, data: len(data), "it does not"),
    "exclusive": (atomic_07(mode="xb"), "FileExistsError"),
    "appended": (atomic_07(mode="ab"), "its end is in the new file"),
    "nothing returned": (lambda path, data: atomic_07()(path, data) and None, "Does the function end with return?"),
    "another number": (lambda path, data: atomic_07()(path, data) and 3, "how many bytes were written, 108,000"),
    "called": (3, "It got the number 3"),
}


def small_writes(path, data):
    """Ends with something in Python's buffer, as a program that writes piece by piece does."""
    scratch = path.with_name(".new")
    with open(scratch, "wb") as file:
        for i in range(0, len(data), 1000):
            file.write(data[i : i + 1000])
        os.fsync(file.fileno())
    os.replace(scratch, path)
    return len(data)


def test_the_librarys_way_and_others_are_right():
    def by_library(path, data):
        replace_file(path, data.decode())
        return len(data)

    def by_tempfile(path, data):
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file)
                os.rename(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
        return len(data)

    def by_descriptor(path, data):
        scratch = f"{path}.new"
        try:
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                written = os.write(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            Path(scratch).replace(path)
        except OSError:
            os.remove(scratch)
            raise
        return written

    fsync = os.fsync

    def by_names_of_its_own(path, data):
        scratch = path.with_suffix(".new")
        with scratch.open("wb", buffering=0) as file:
            file.write(data)
            fsync(file.fileno())
        os.replace(scratch, path)
        return len(data)

    for right in (by_library, by_tempfile, by_descriptor):
        assert check("06-7", right).passed, check("06-7", right)
    assert "left behind" in repr(check("06-7", by_names_of_its_own))


# All of them ----------------------------------------------------------------------------------------------

PLANTED = {
    "06-1": WRONG_1,
    "06-2": WRONG_2,
    "06-3": WRONG_3,
    "06-4": WRONG_4,
    "06-5": WRONG_5,
    "06-6": WRONG_6,
    "06-7": WRONG_7,
}
"""Exercise to mistakes; a mistake's name to an attempt and the words, one or several, that must be said of it."""


@pytest.mark.parametrize(("exercise", "name"), [(exercise, name) for exercise in PLANTED for name in PLANTED[exercise]])
def test_a_planted_mistake_is_told_what_is_wrong(exercise, name):
    said = assert_told(exercise, *PLANTED[exercise][name])
    assert tempfile.gettempdir() not in said
