"""Thousands of damaged runs under AddressSanitizer and UBSan: the C++ program ends with 0 or 2, never with a report.

And it does not read what the library refuses: without a check that guards no memory, no sanitizer would speak.
"""

import json
import os
import random
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mutations import mutated
from small_runs import FORMS, Small, build, keep, keep_byte_pairs

from course_lib import checkpoint
from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.interop.cpp import LETTERS, SOURCE, source
from course_lib.kernels import find_compiler
from course_lib.tokenizers import ByteTokenizer, load_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
CASES, ALONE, SECONDS = 6000, 300, 10
# Unoptimized, so that no faulty access is optimized away; it also compiles in a third of the time.
SANITIZERS = "-std=c++17 -O0 -g1 -pthread -fsanitize=address,undefined -fno-sanitize-recover=all".split()
LIMITS = {
    "ASAN_OPTIONS": "max_allocation_size_mb=400:hard_rss_limit_mb=1000:detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


@pytest.fixture(scope="module")
def sanitized(made_once: Callable) -> dict[str, Path]:
    """The program, and the driver around it, both with sanitizers."""
    compiler = find_compiler()
    if compiler is None:
        pytest.skip("no C++ compiler was found (c++, g++, clang++ or CXX)")

    def make(folder: Path) -> None:
        (folder / SOURCE).write_text(source(), encoding="utf-8")
        shutil.copy(Path(__file__).with_name("fuzz_driver.cpp"), folder)
        for name in (SOURCE, "fuzz_driver.cpp"):
            command = [*compiler, *SANITIZERS, str(folder / name), "-o", str(folder / Path(name).stem)]
            done = subprocess.run(command, capture_output=True, text=True)
            if "sanitize" in done.stderr or "asan" in done.stderr:
                pytest.skip(f"this compiler has no sanitizers: {done.stderr[:200]}")
            assert done.returncode == 0, done.stderr

    folder = made_once("sanitized", make)
    return {"program": folder / "generate", "driver": folder / "fuzz_driver"}


def small_runs(folder: Path) -> list[Small]:
    sizes = dict(n_embd=8, n_head=2, n_layer=1, block_size=4)
    return [
        keep(folder / "gpt2", build(**(FORMS["gpt2"] | sizes))),
        keep(folder / "modern", build(**(FORMS["modern"] | sizes))),
        keep(folder / "swiglu", build(**(FORMS["swiglu"] | sizes | dict(vocab_size=256))), ByteTokenizer()),
        keep_byte_pairs(folder / "byte pairs"),
        keep(folder / "n-grams", build(**sizes, ngrams=(2, 5), ngram_rows=29)),
    ]


def cases(folder: Path, count: int, seed: int) -> Iterator[tuple[Small, str, bytes]]:
    """Runs with one file damaged, on the disk for as long as the case lasts."""
    draw = random.Random(seed)
    runs = small_runs(folder)
    names = ["config.json", "tokenizer.json", "last", *["saves/7/model.safetensors"] * 3]
    for _ in range(count):
        run = draw.choice(runs)
        more = [LETTERS] * 4 + ["tokenizer.json"] * 6 if (run.path / LETTERS).exists() else []
        name = draw.choice(names + more)
        path = run.path / name
        whole = path.read_bytes()
        damaged = mutated(draw, path.name, whole)
        path.write_bytes(damaged)
        yield run, name, damaged
        path.write_bytes(whole)


def each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):  # another reader takes the other one
        raise ValueError("a name is there twice")
    return dict(pairs)


def refused_by_python(run: Small, name: str, damaged: bytes) -> str:
    """Why the library does not read a damaged file; empty where it does."""
    try:
        root = json.loads(damaged, object_pairs_hook=each_name_once) if name.endswith(".json") else {}
        if name == "tokenizer.json":
            size = load_tokenizer(run.path / name).vocab_size
            return "" if size == run.model.config.vocab_size else f"a vocabulary of {size}"
        if name == "config.json":  # of which the program reads the model alone, and of that not how it is trained
            unread = ("kind", "dropout", "zero_init")
            GPTConfig.from_dict({key: v for key, v in root["model"].items() if key not in unread})
        if name.endswith(".safetensors"):
            checkpoint.load(run.path)
    except (CourseError, ValueError) as error:
        return str(error)
    return ""


def test_thousands_of_damaged_runs(tmp_path: Path, sanitized: dict[str, Path]) -> None:
    with (
        (tmp_path / "stderr").open("w+b") as errors,
        subprocess.Popen(
            [sanitized["driver"]], env=os.environ | LIMITS, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        ) as driver,
    ):  # fmt: skip
        counts: Counter[tuple[str, str]] = Counter()
        for number, (run, name, damaged) in enumerate(cases(tmp_path / "runs", CASES, seed=1)):
            watchdog = threading.Timer(SECONDS, driver.kill)
            watchdog.start()
            driver.stdin.write(f"{run.path}\t{run.prompt}\n")
            driver.stdin.flush()
            status = driver.stdout.readline().strip()
            watchdog.cancel()
            if status not in ("0", "2"):
                driver.wait()
                report = Path(errors.name).read_bytes()[-4000:].decode(errors="replace")
                pytest.fail(f"case {number}, {name} = {damaged[:300]!r}: it ended with {driver.returncode}\n{report}")
            counts[Path(name).name, status] += 1
            if status == "0":
                assert not (refused := refused_by_python(run, name, damaged)), (number, name, damaged[:300], refused)
        driver.stdin.close()
        assert driver.wait(60) == 0, Path(errors.name).read_bytes()[-4000:]  # no leak either
    assert counts.total() == CASES
    for name in ("config.json", "tokenizer.json", LETTERS, "last", "model.safetensors"):
        assert counts[name, "2"] > 100, counts  # the damage is found
    for name, least in {"model.safetensors": 100, "tokenizer.json": 50, LETTERS: 10}.items():
        assert counts[name, "0"] > least, counts  # and some of it is none


def test_the_program_itself_on_hundreds(tmp_path: Path, sanitized: dict[str, Path]) -> None:
    statuses: Counter[int] = Counter()
    for number, (run, name, damaged) in enumerate(cases(tmp_path / "runs", ALONE, seed=2)):
        command = [sanitized["program"], run.path, "--prompt", run.prompt, "--max-new-tokens", "6"]
        done = subprocess.run(command, env=os.environ | LIMITS, capture_output=True, timeout=SECONDS)
        assert done.returncode in (0, 2), (number, name, damaged[:300], done.stderr[-4000:])
        assert b"runtime error" not in done.stderr
        if done.returncode == 2:
            assert done.stderr.startswith(b"generate: ")
            assert done.stderr.count(b"\n") == 1
        statuses[done.returncode] += 1
    assert min(statuses[0], statuses[2]) > 20


def test_the_sanitizers_would_say_so(tmp_path: Path, sanitized: dict[str, Path]) -> None:
    """A planted fault: without its check, an id from a larger vocabulary reads past the embedding."""
    text = source().replace("if (size != config.vocab_size)", "if (size == 0)")
    assert text != source()
    (tmp_path / SOURCE).write_text(text, encoding="utf-8")
    command = [*find_compiler(), *SANITIZERS, str(tmp_path / SOURCE), "-o", str(tmp_path / "generate")]
    subprocess.run(command, check=True)
    run = keep(tmp_path / "run", build(vocab_size=3, n_embd=8), ByteTokenizer())
    done = subprocess.run(
        [tmp_path / "generate", run.path, "--prompt", "~"], env=os.environ | LIMITS, capture_output=True, timeout=60
    )
    assert done.returncode not in (0, 2)
    assert b"AddressSanitizer: heap-buffer-overflow" in done.stderr
