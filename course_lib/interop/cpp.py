"""A model as a C++ program: one source file without dependencies, beside the files of a run that it reads."""

import json
import os
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from course_lib import checkpoint
from course_lib.config import kind_of
from course_lib.errors import CourseError
from course_lib.kernels.compiling import COMPILERS, FLAGS, HEADER, compile_native, find_compiler, processor_flag
from course_lib.kernels.compiling import source as kernel_source
from course_lib.paths import quoted, replace_file, sync, user_path
from course_lib.tokenizers import BPETokenizer

SOURCE = "generate.cpp"
LETTERS = "letters.json"
"""What a letter is, a digit and white space: by these the program splits a text as the tokenizer does."""
SERVED = ("gpt",)
"""The kinds of model, by their names in `MODEL_KINDS`, that the program computes."""
PROGRAM = "generate.exe" if os.name == "nt" else "generate"


def source() -> str:
    """The program's text, whole: what it includes of the library's stands in it."""
    text = (files("course_lib.interop") / SOURCE).read_text(encoding="utf-8")
    return text.replace(f'#include "{HEADER}"\n', kernel_source(HEADER))


def export_cpp(run: str | Path, folder: str | Path | None = None, which: str | int = "auto") -> Path:
    """Write the C++ program and one save of a run into a folder of their own, and return it.

    The folder can be carried to another machine: it needs a C++17 compiler there, and nothing else.

    Args:
        run: a run directory, or the name of one under ``runs/``.
        folder: by default ``<run>-cpp`` in the working folder.
        which: the save: best, last, a number of steps, or auto: the best, else the last.

    Raises:
        CourseError: where the run is damaged, lacks the save or a tokenizer, or holds a model of a kind that is not
            `SERVED`; where the folder holds something else (an earlier export is brought up to date), or cannot be
            written.
    """
    run_dir = checkpoint.find_run(run)
    loaded = checkpoint.load(run_dir, which)  # whole, or this says what is wrong
    kind = kind_of(loaded.config.model)
    if kind not in SERVED:
        raise CourseError(
            f"The C++ program serves models of the kind {' and '.join(SERVED)}; {quoted(run_dir)} holds one of the "
            f"kind {kind}."
        )
    if loaded.tokenizer is None:
        raise CourseError(f"{quoted(run_dir)} has no tokenizer.json; without it the program cannot turn text into ids.")
    folder = user_path(folder) if folder is not None else Path(f"{run_dir.resolve().name}-cpp")
    _check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / SOURCE, source())  # first: a folder with it is an export, whole or not
        for origin in (run_dir / "config.json", run_dir / "tokenizer.json", loaded.path / "model.safetensors"):
            _replace_by_copy(origin, folder / origin.name)
        if isinstance(loaded.tokenizer, BPETokenizer):
            replace_file(folder / LETTERS, json.dumps(letters()) + "\n")
    except OSError as error:
        raise CourseError(
            f"Cannot write {quoted(error.filename or folder)}: {error.strerror or error}. Check the folder's "
            "permissions and free space, or name another with --out."
        ) from error
    return folder


def letters() -> dict[str, list[int]]:
    """The Unicode numbers of all letters, digits and white space: first and last of each run, in turn."""
    import regex

    every = "".join(map(chr, range(sys.maxunicode + 1)))
    kinds = {"letters": r"\p{L}+", "digits": r"\p{N}+", "spaces": r"\s+"}
    return {
        name: [place for run in regex.finditer(kind, every) for place in (run.start(), run.end() - 1)]
        for name, kind in kinds.items()
    }


def _check_folder(folder: Path) -> None:
    """CourseError for a folder that is neither new, nor empty, nor an earlier export with an unchanged program."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise CourseError(f"{quoted(folder)} is a file; the export needs a folder. Name another with --out.")
    mine = folder / SOURCE
    if not any(folder.iterdir()):
        return
    if not mine.is_file() or (folder / "saves").exists():
        raise CourseError(f"{quoted(folder)} holds other files already. Empty it, or name another folder with --out.")
    if mine.read_bytes() != source().encode():
        raise CourseError(
            f"{mine} is not the program as this course_lib brings it: it was changed, or is of another version. Move "
            "it away, or name another folder with --out."
        )


def _replace_by_copy(origin: Path, target: Path) -> None:
    scratch = target.with_name(f".{target.name}.new")
    try:
        shutil.copyfile(origin, scratch)
        sync(scratch)
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)


def compile_command(folder: Path) -> list[str]:
    """The command that compiles an exported folder's program."""
    compiler = find_compiler() or [COMPILERS[0]]
    return [*compiler, *FLAGS, processor_flag(), str(folder / SOURCE), "-o", str(folder / PROGRAM)]


def compile_cpp(folder: str | Path) -> Path:
    """Compile the program in an exported folder for this machine, and return it; some five seconds.

    Raises:
        CourseError: where there is no compiler (how to get one), no source, or the compiler refuses it.
    """
    folder = Path(folder)
    if not (folder / SOURCE).is_file():
        raise CourseError(f"{quoted(folder)} should hold {SOURCE}: course export RUN --to cpp writes it.")
    if find_compiler() is None:
        where = f"CXX names {os.environ['CXX']!r}, which is not there" if os.environ.get("CXX") else "none was found"
        raise CourseError(
            f"To compile {SOURCE} takes a C++ compiler, and {where}. On Debian and Ubuntu: apt install g++; on a Mac: "
            "xcode-select --install; on Windows: run the course in WSL. Or set CXX to the one you have."
        )
    compile_native(compile_command(folder))
    return folder / PROGRAM
