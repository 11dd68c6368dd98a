"""The C++ compiler of this machine: which one, by which flags, and where a library that it has made is kept."""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import stat
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

from filelock import FileLock

from course_lib.errors import CourseError
from course_lib.paths import replace_file, sync, user_path
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
    try:
        chosen = shlex.split(os.environ.get("CXX", ""))
    except ValueError:  # a quotation that does not end
        return None
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

    It is compiled once on each machine, in some three seconds, and kept in a folder that nobody else may write to. Its
    name tells what it depends on, so that a home folder can be shared between machines.
    """
    compiler = find_compiler()
    home = _home()
    if compiler is None or home is None or os.name == "nt":
        return None
    try:
        return ctypes.CDLL(str(_kept(compiler, home)))
    except (OSError, CourseError):  # nowhere to keep it, or a compiler that cannot do this
        return None


def _home() -> Path | None:
    """The folder for what is compiled; None where there is no home to have it in."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    cache = chosen if chosen.is_absolute() else user_path("~/.cache")
    return cache / "trainers-guide" if cache.is_absolute() and cache.parent != cache.parent.parent else None


def _kept(compiler: list[str], home: Path) -> Path:
    names = (HEADER, LIBRARY)
    known = [*map(source, names), *compiler, *_as_it_is(compiler[0]), *FLAGS, processor_flag(), _processor()]
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = home / f"decoder-{_digest(chr(0).join(known).encode())}.so"
    proof = kept.with_suffix(".sha256")  # a library that is cut off would end the process
    if not _is_own(home):
        raise CourseError(f"{home} can be written to by others: nothing is loaded from there.")
    if not _is_whole(kept, proof):
        with FileLock(home / "making.lock"):  # several processes may want it at once
            if not _is_whole(kept, proof):
                _make(compiler, home, kept, proof)
    return kept


def _is_whole(kept: Path, proof: Path) -> bool:
    if not (kept.is_file() and proof.is_file() and _is_own(kept) and _is_own(proof)):
        return False
    return proof.read_text(encoding="utf-8") == _digest(kept.read_bytes())


def _make(compiler: list[str], home: Path, kept: Path, proof: Path) -> None:
    for left in home.glob("making-*"):  # by a process that was killed
        if time.time() - left.stat().st_mtime > 3600:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=home) as scratch:  # there, so that it can be moved in one go
        for name in (HEADER, LIBRARY):
            (Path(scratch) / name).write_text(source(name), encoding="utf-8")
        origin, made = Path(scratch) / LIBRARY, Path(scratch) / kept.name
        compile_native([*compiler, *FLAGS, processor_flag(), *SHARED, str(origin), "-o", str(made)])
        made.chmod(0o700)
        sync(made)
        digest = _digest(made.read_bytes())
        os.replace(made, kept)
        replace_file(proof, digest)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _is_own(path: Path) -> bool:
    """Whether it is this user's, and nobody else may write to it."""
    found = path.stat()
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _as_it_is(program: str) -> list[str]:
    """Where a program is, and of when: another version is another program."""
    path = Path(shutil.which(program) or program).resolve()
    return [str(path), str(path.stat().st_mtime_ns)]


def _processor() -> str:
    """What tells processors apart that a compiler makes different code for."""
    told = [sys.platform, platform.machine(), platform.processor(), *platform.libc_ver()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        for word in ("model name", "flags", "Features"):
            told += [line for line in lines if line.startswith(word)][:1]
    return "\n".join(told)
