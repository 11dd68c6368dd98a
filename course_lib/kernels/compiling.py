"""The C++ compiler of this machine: which one, by which flags, and where a library that it has made is kept."""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.paths import user_path
from course_lib.programs import run_program

COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-pthread")
NATIVE = "-march=native"
"""Uses all that this machine's processor can do. What was compiled so runs on such processors only."""
PLAYED = {"default": "-march=x86-64", "avx2": "-march=x86-64-v3"}
"""Instead of `NATIVE` where a machine plays a lesser one, by torch's variable for that: see `course_lib.numerics`."""
SHARED = ("-shared", "-fPIC")
HEADER, LIBRARY = "blocks.hpp", "decoder.cpp"


def find_compiler() -> list[str] | None:
    """The words that call a C++ compiler: those of the variable CXX, else c++, g++ or clang++; None without any."""
    chosen = shlex.split(os.environ.get("CXX", ""))
    if chosen:
        return chosen if shutil.which(chosen[0]) else None
    found = next((name for name in COMPILERS if shutil.which(name)), None)
    return [found] if found else None


def processor_flag() -> str:
    """`NATIVE`, or what this machine plays."""
    return PLAYED.get(os.environ.get("ATEN_CPU_CAPABILITY", ""), NATIVE)


def source(name: str) -> str:
    """A file of C++ as the library brings it."""
    return (files("course_lib.kernels") / name).read_text(encoding="utf-8")


def compile_native(command: list[str]) -> None:
    """Run a compiler, by a command with `processor_flag` in it; where it does not know that flag, without.

    Raises:
        CourseError: where it refuses the source as well.
    """
    try:
        run_program(command)
    except CourseError:
        run_program([word for word in command if word != processor_flag()])


@functools.cache
def decoder_library() -> ctypes.CDLL | None:
    """`LIBRARY`, to be called from Python, or None where it cannot be made here: no compiler, nowhere to keep it.

    It is compiled once on each machine, in some three seconds, and kept in a folder of the user's own. Its name tells
    everything that it depends on, so that a home folder can be shared between machines.
    """
    compiler = find_compiler()
    if compiler is None or os.name == "nt":
        return None
    try:
        return ctypes.CDLL(str(_kept(compiler)))
    except (OSError, CourseError):  # nowhere to keep it, or a compiler that cannot do this
        return None


def _kept(compiler: list[str]) -> Path:
    names = (HEADER, LIBRARY)
    known = [*map(source, names), *compiler, *FLAGS, processor_flag(), _processor()]
    home = user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "trainers-guide"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = home / f"decoder-{hashlib.sha256(chr(0).join(known).encode()).hexdigest()[:16]}.so"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=home) as scratch:  # there, so that it can be moved in one go
            for name in names:
                (Path(scratch) / name).write_text(source(name), encoding="utf-8")
            origin, made = Path(scratch) / LIBRARY, Path(scratch) / kept.name
            compile_native([*compiler, *FLAGS, processor_flag(), *SHARED, str(origin), "-o", str(made)])
            os.replace(made, kept)
    return kept


def _processor() -> str:
    """What tells processors apart that a compiler makes different code for."""
    told = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        for word in ("model name", "flags", "Features"):
            told += [line for line in lines if line.startswith(word)][:1]
    return "\n".join(told)
