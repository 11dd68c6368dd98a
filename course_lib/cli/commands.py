"""The smaller commands: prepare, bench, doctor."""

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from course_lib import __version__
from course_lib.cli.parse import parse
from course_lib.errors import CourseError
from course_lib.paths import project_root, runs_dir, user_path

DATASET_HELP = (
    "A corpus by name, text:PATH or bytes:PATH; PATH is a file, a folder, a pattern in quotes, or -. "
    "bins:FOLDER has nanoGPT's train.bin and val.bin."
)


@dataclass
class PrepareSettings:
    dataset: Annotated[Positional[str], arg(help=DATASET_HELP, metavar="DATASET")]
    tokenizer: Annotated[str, arg(help="char, byte, bpe, gpt2, or auto (what the corpus is meant for).")] = "auto"
    bpe_vocab_size: Annotated[int, arg(help="V of a tokenizer that is learned by bpe.")] = 1024
    val_fraction: Annotated[
        float | None, arg(help="The share for validation, before the test part; by default 0.1, of openwebtext 0.0005.")
    ] = None
    test_fraction: Annotated[float, arg(help="The share for testing, at the very end; 0 for no such part.")] = 0.0
    processes: Annotated[int | None, arg(help="How many share the work on byte pairs; by default all cores.")] = None


def prepare(args: list[str]) -> None:
    """Find (or download) a text and turn it into token files: prepare DATASET."""
    from course_lib.config import DataConfig
    from course_lib.data import load_prepared, prepared_for
    from course_lib.data.datasets import find_corpus

    s = parse(PrepareSettings, args, "course prepare", "Turn a text into train.bin, val.bin and test.bin.")
    settings = {n: value for n, value in vars(s).items() if n in DataConfig.names() and value is not None}
    if find_corpus(s.dataset).is_sharded:
        prepared = load_prepared(_sharded(s, DataConfig(**settings)))
    else:
        prepared = prepared_for(DataConfig(**settings), processes=s.processes)
    counts = prepared.manifest["counts"]
    words = {"train": "training", "val": "validation", "test": "test"}
    *others, last = (f"{counts[split]:,} {words[split]}" for split in prepared.splits)
    print(f"{prepared.folder}\n{prepared.tokenizer}; {', '.join(others)} and {last} tokens")


def _sharded(s: PrepareSettings, data: Any) -> Path:
    from course_lib.data.openwebtext import VAL_FRACTION, prepare_openwebtext

    if data.tokenizer not in ("auto", "gpt2") or data.test_fraction:
        raise CourseError(
            f"{s.dataset} is prepared by GPT-2's tokenizer, for training and validation: leave --tokenizer and "
            "--test-fraction out."
        )
    return prepare_openwebtext(VAL_FRACTION if s.val_fraction is None else data.val_fraction, s.processes)


MEASURED = "step, generate, cpp, recipe, micro, bpe, agiformer, lab"
PEERS = "nanoGPT; for bpe, minbpe; for micro, microgpt.py; for agiformer, the original"


@dataclass
class BenchSettings:
    name: Annotated[Positional[str], arg(help=f"What to measure: {MEASURED}, or gpu (a list).", metavar="NAME")]
    peer: Annotated[str | None, arg(help=f"Beside what: {PEERS}.")] = None
    runs: Annotated[int, arg(help="How often each is measured; the medians are reported.")] = 3
    recipe: Annotated[str | None, arg(help="The recipe whose model and batch are measured.")] = None
    out: Annotated[str | None, arg(help="Where to write the JSON; by default it is only printed.")] = None


def bench(args: list[str]) -> None:
    """Measure speed on this machine, on request beside a peer: bench NAME [--peer PATH]."""
    if args[:1] == ["gpu"]:
        from course_lib.bench.__main__ import run  # its words are others, and it needs no package but torch's

        return run(args, "course bench")
    from course_lib import bench as benches

    s = parse(BenchSettings, args, "course bench", "Measure speed; the result is JSON, as kept under data/reference/.")
    words = [f"course bench {s.name}", "--peer PATH" if s.peer else "", f"--recipe {s.recipe}" if s.recipe else ""]
    command = " ".join([*filter(None, words), f"--runs {s.runs}"])
    peer = None if s.peer is None else user_path(s.peer)
    report = benches.run(s.name, command, s.runs, peer, s.recipe, more={"lab": _measure_lab})
    text = benches.to_json(report)
    if s.out:
        user_path(s.out).write_text(text, encoding="utf-8")
    print(text, end="")


def _measure_lab(runs: int, recipe: str | None) -> Any:
    from course_lib.lab.cost import measure_lab  # it needs the packages that show sliders

    return measure_lab(runs, recipe)


@dataclass
class DoctorSettings:
    pass


def doctor(args: list[str]) -> None:
    """Say what was found here, as a report to paste when asking for help."""
    parse(DoctorSettings, args, "course doctor", "Say what was found here, as a report to paste.")
    from course_lib.device import processor
    from course_lib.sources import SOURCES, on_disk

    print(f"course_lib {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(f"python: {sys.executable}")
    packages = "torch numpy matplotlib safetensors tiktoken tqdm tyro jupyterlab ipywidgets anywidget".split()
    print("packages: " + ", ".join(f"{name} {_version(name)}" for name in packages))
    print(f"processor: {processor()}, {os.cpu_count()} cores{_memory()}")
    for line in _devices():
        print(line)
    print(f"C++ compiler: {_compiler()}")
    root = project_root()
    writable = "writable" if os.access(root, os.W_OK) else "NOT writable: runs and data cannot be kept here"
    print(f"project root: {root} ({shutil.disk_usage(root).free / 2**30:.1f} GiB free, {writable})")
    mirror = os.environ.get("COURSE_DATA")
    print(f"COURSE_DATA: {mirror or 'not set'}; COURSE_OFFLINE: {os.environ.get('COURSE_OFFLINE', 'not set')}")
    for name, source in SOURCES.items():
        print(f"source {name}: {on_disk(name, source) or 'not here yet; it is downloaded when first used'}")
    runs = sorted(p.parent.name for p in runs_dir().glob("*/config.json"))
    print(f"runs: {', '.join(runs[-5:]) or 'none yet'}" + (f" (and {len(runs) - 5} more)" if len(runs) > 5 else ""))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _memory() -> str:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB of memory"
    return ""


def _devices() -> list[str]:
    import torch

    from course_lib.device import choose, find

    found = find("auto")
    lines = [f"device: {line}" for line in choose(found).reasons]
    if found.memory_gib:
        lines.append(f"device: {found.memory_gib:.1f} GiB of memory, CUDA {torch.version.cuda}")
    return [*lines, f"threads: {torch.get_num_threads()}"]


def _compiler() -> str:
    from course_lib.kernels import find_compiler

    found = find_compiler()
    where = shutil.which(found[0]) if found else None
    return where or "none found; with one, models of 2 million weights and more are decoded faster, by compiled code"
