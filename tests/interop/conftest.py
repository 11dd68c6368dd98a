"""What the tests of exports share: a compiled program, and what it must keep to."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from course_lib.interop import compile_cpp
from course_lib.interop.cpp import PROGRAM, SOURCE, source
from course_lib.kernels import find_compiler


@pytest.fixture(scope="session")
def program(made_once: Callable) -> Path:
    """The compiled program."""
    if find_compiler() is None:
        pytest.skip("no C++ compiler was found (c++, g++, clang++ or CXX)")

    def make(folder: Path) -> None:
        (folder / SOURCE).write_text(source(), encoding="utf-8")
        compile_cpp(folder)

    return made_once("program", make) / PROGRAM


Ran = subprocess.CompletedProcess


@pytest.fixture
def run(program: Path) -> Callable[..., Ran]:
    """Start the program, and hold it to its two ways of ending: 0, or 2 with one line that says why."""

    def start(folder: Path, *words: object, **how: object) -> Ran:
        command = [str(program), str(folder), *map(str, words)]
        done = subprocess.run(command, capture_output=True, timeout=60, **({"text": True, "encoding": "utf-8"} | how))
        assert done.returncode in (0, 2), done
        if done.returncode == 2 and how.get("text", True):
            assert done.stderr.startswith("generate: ")
            assert done.stderr.count("\n") == 1, done.stderr
        return done

    return start


@pytest.fixture
def ids(run: Callable[..., Ran]) -> Callable[..., list[int]]:
    """The ids that the program generates."""

    def start(folder: Path, prompt: str, *words: object) -> list[int]:
        done = run(folder, "--prompt", prompt, "--ids", *words)
        assert done.returncode == 0, done.stderr
        return [int(word) for word in done.stdout.split()]

    return start
