"""The C++ that Python calls: its functions of one number, how it is compiled, and where it is kept."""

import ctypes
import math
import os
import shlex
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from course_lib.kernels import compiling, find_compiler
from course_lib.kernels.compiling import FLAGS, HEADER, LIBRARY, SHARED, decoder_library, processor_flag, source

COMPILER = find_compiler()
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler was found (c++, g++, clang++ or CXX)")

APPLIED = """
#include "blocks.hpp"
extern "C" void apply(const float* x, size_t n, float* y) { for (size_t i = 0; i < n; ++i) y[i] = FUNCTION(x[i]); }
"""


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


FUNCTIONS = {  # in doubles, and how far off a float may be: relative, or absolute near zero
    "exponential": (math.exp, 3e-7, 0.0),
    "gelu": (lambda x: x * math.erfc(-x / math.sqrt(2)) / 2, 1e-6, 3e-7),
    "gelu_tanh": (lambda x: x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)), 1e-6, 1e-7),
    "silu": (lambda x: x * sigmoid(x), 1e-6, 0.0),
    "relu_squared": (lambda x: max(x, 0.0) ** 2, 2e-7, 1e-44),  # below 1e-38 floats lie coarser
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_one_number(name: str, tmp_path: Path) -> None:
    function, relative, absolute = FUNCTIONS[name]
    (tmp_path / HEADER).write_text(source(HEADER))
    (tmp_path / "applied.cpp").write_text(APPLIED)
    made = tmp_path / "applied.so"
    words = [processor_flag(), *SHARED, f"-DFUNCTION={name}", str(tmp_path / "applied.cpp"), "-o", str(made)]
    compiling.compile_native([*COMPILER, *FLAGS, *words])
    near_zero = np.geomspace(1e-30, 1, 500)
    x = np.concatenate([np.linspace(-80, 80, 200_001), np.linspace(-3, 3, 100_001), near_zero, -near_zero, [0.0]])
    x = x.astype(np.float32)
    y = np.empty_like(x)
    pointer = ctypes.POINTER(ctypes.c_float)
    ctypes.CDLL(str(made)).apply(x.ctypes.data_as(pointer), ctypes.c_size_t(len(x)), y.ctypes.data_as(pointer))
    expected = np.array([function(float(value)) for value in x])
    off = np.abs(y - expected) - relative * np.abs(expected) - absolute
    assert off.max() <= 0, (x[off.argmax()], y[off.argmax()], expected[off.argmax()])

    x = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38], np.float32)
    y = np.empty_like(x)
    ctypes.CDLL(str(made)).apply(x.ctypes.data_as(pointer), ctypes.c_size_t(len(x)), y.ctypes.data_as(pointer))
    assert np.isnan(y[0])  # nothing hides a NaN
    if name == "exponential":  # held within what a float can hold: the caller has taken the highest away before
        assert np.isfinite(y[1:]).all()
        assert y[2] == 0
    else:
        assert not np.isfinite(y[1])


def test_the_library_compiles_without_a_warning(tmp_path: Path) -> None:
    for name in (HEADER, LIBRARY):
        (tmp_path / name).write_text(source(name))
    warnings = "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion".split()
    command = [*COMPILER, "-std=c++17", "-fsyntax-only", *warnings, str(tmp_path / LIBRARY)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# Where it is kept -----------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, and a library that is not loaded yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(compiling, "decoder_library", decoder_library.__wrapped__)
    return tmp_path / "cache" / "trainers-guide"


def kept(home: Path) -> list[str]:
    """The libraries; nothing else is left but the lock and a proof for each."""
    names = sorted(os.listdir(home))
    libraries = [name for name in names if name.endswith(".so")]
    assert set(names) <= {*libraries, *(name[:-3] + ".sha256" for name in libraries), "making.lock"}
    return libraries


def test_it_is_compiled_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiling.decoder_library() is not None
    (name,) = kept(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    monkeypatch.setattr(compiling, "compile_native", None)  # it would not be called
    assert compiling.decoder_library() is not None
    assert kept(home) == [name]


@pytest.mark.parametrize("what", [HEADER, LIBRARY, "flags", "processor", "played"])
def test_another_source_or_machine_has_another(what: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "compile_native", lambda command: Path(command[-1]).write_text("made"))
    assert compiling.decoder_library() is None  # no library at all
    if what in (HEADER, LIBRARY):
        monkeypatch.setattr(compiling, "source", lambda name: source(name) + "\n" * (name == what))
    elif what == "flags":
        monkeypatch.setattr(compiling, "FLAGS", (*FLAGS, "-g"))
    elif what == "played":
        playing = os.environ.get("ATEN_CPU_CAPABILITY")
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2" if playing == "default" else "default")
    else:
        monkeypatch.setattr(compiling, "_processor", lambda: "another")
    assert compiling.decoder_library() is None
    assert len(kept(home)) == 2


def test_several_at_once_make_it_whole(home: Path) -> None:
    call = "from course_lib.kernels.compiling import decoder_library; print(decoder_library() is not None)"
    with ThreadPoolExecutor(3) as pool:
        runs = pool.map(lambda _: subprocess.check_output([sys.executable, "-c", call], text=True), range(3))
    assert list(runs) == ["True\n"] * 3
    assert len(kept(home)) == 1


@pytest.mark.skipif(os.name == "nt", reason="the compiler is a shell script")
def test_where_it_cannot_be_made_torch_decodes(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = tmp_path / "c++"
    refusing.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("CXX", shlex.quote(str(refusing)))
    assert compiling.decoder_library() is None
    assert kept(home) == []
    for other in ("no-such-compiler", "g++ 'without an end"):
        monkeypatch.setenv("CXX", other)
        assert find_compiler() is None
        assert compiling.decoder_library() is None
    monkeypatch.delenv("CXX")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # nowhere to keep it
    assert compiling.decoder_library() is None


HARMS = ["cut", "emptied", "another", "no proof", "a proof of something else", "open to others"]


@pytest.mark.parametrize("harm", HARMS)
def test_a_library_that_is_damaged_is_made_anew(harm: str, home: Path) -> None:
    """A cut one would end the process when it is loaded."""
    assert compiling.decoder_library() is not None
    (name,) = kept(home)
    library, proof = home / name, (home / name).with_suffix(".sha256")
    whole = library.read_bytes()
    library.unlink()  # what is loaded stays as it is
    {
        "cut": lambda: library.write_bytes(whole[: len(whole) // 2]),
        "emptied": lambda: library.write_bytes(b""),
        "another": lambda: library.write_bytes(b"#!/bin/sh"),
        "no proof": lambda: library.write_bytes(whole) and proof.unlink(),
        "a proof of something else": lambda: library.write_bytes(whole) and proof.write_text("0" * 32),
        "open to others": lambda: library.write_bytes(whole) and library.chmod(0o777),
    }[harm]()
    assert compiling.decoder_library() is not None
    assert kept(home) == [name]
    assert len(library.read_bytes()) == len(whole)
    assert stat.S_IMODE(library.stat().st_mode) == 0o700
    assert proof.is_file()


def test_nothing_is_loaded_from_where_others_may_write(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(parents=True)
    home.chmod(0o777)
    monkeypatch.setattr(compiling, "compile_native", None)  # it would not be called
    assert compiling.decoder_library() is None
    assert os.listdir(home) == []


def test_what_a_killed_process_left_goes_after_an_hour(home: Path) -> None:
    for name, age in (("making-old", 4000), ("making-new", 100)):
        (home / name).mkdir(parents=True)
        os.utime(home / name, (time.time() - age,) * 2)
    home.chmod(0o700)
    assert compiling.decoder_library() is not None
    assert sorted(name for name in os.listdir(home) if name.startswith("making-")) == ["making-new"]


@pytest.mark.parametrize(("home_is", "cache_is"), [("", None), ("", "here"), ("nowhere/at/all", None)])
def test_without_a_home_nothing_is_kept(home_is: str, cache_is: str | None, project: Path, monkeypatch) -> None:
    monkeypatch.setattr(compiling, "decoder_library", decoder_library.__wrapped__)
    monkeypatch.setenv("HOME", home_is)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if cache_is:
        monkeypatch.setenv("XDG_CACHE_HOME", cache_is)  # a relative one does not count
    assert compiling.decoder_library() is None
    assert os.listdir(project) == ["_toc.yml"]
