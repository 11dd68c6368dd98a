"""Where GPT-2's weights are: in a folder, in this project's data, in the Hub's cache on this machine, or on the Hub."""

import os
from pathlib import Path

from course_lib.errors import CourseError, in_short, nearest
from course_lib.interop.hf_files import CONFIG, INDEX, WEIGHTS
from course_lib.paths import data_dir, quoted, user_path
from course_lib.sources import Source, download, folders_of

GPT2_SIZES = {"gpt2": "124M", "gpt2-medium": "355M", "gpt2-large": "774M", "gpt2-xl": "1.6B"}
"""The four that OpenAI published: their names on the Hub, and how many weights they have."""
OWNER = "openai-community"
ADDRESS = "https://huggingface.co/{repo}/resolve/main/{file}"
BESIDES = ("vocab.json", "merges.txt")
"""The tokenizer's files, which are wanted, though a GPT-2 can be had without them."""
FOLDER = "gpt2:"


def is_gpt2_name(name: str) -> bool:
    """Whether `find_hf_gpt2` takes it: one of `GPT2_SIZES`, or gpt2:PATH."""
    return name in GPT2_SIZES or name.startswith(FOLDER)


def find_hf_gpt2(name: str) -> Path:
    """The folder of GPT-2's weights: ``gpt2``, ``gpt2-medium``, ``gpt2-large``, ``gpt2-xl``, or ``gpt2:PATH``.

    A name is looked for in ``data/<name>/`` and ``$COURSE_DATA/<name>/``, then in the cache that huggingface_hub and
    transformers keep (``HF_HUB_CACHE``, ``HF_HOME``), then it is downloaded from the Hub: into that cache where
    huggingface_hub is installed, else into ``data/<name>/``. ``COURSE_OFFLINE=1`` and ``HF_HUB_OFFLINE=1`` forbid that.

    Raises:
        CourseError: for another name, a folder that is not there, or weights that cannot be had; it says what was
            tried, and the two ways to provide them.
    """
    if name.startswith(FOLDER):
        folder = user_path(name.removeprefix(FOLDER))
        if not folder.is_dir():
            raise CourseError(f"{quoted(folder)} is no folder; gpt2:PATH names one with {CONFIG} and {WEIGHTS}.")
        return folder
    if name not in GPT2_SIZES:
        known = [*GPT2_SIZES, FOLDER + "PATH"]
        raise CourseError(f"There is no GPT-2 {name!r}: {nearest(name, known)}")
    looked = [*folders_of(name), *(cache_dir() / entry for entry in _cache_entries(name))]
    for folder in [*folders_of(name), *_snapshots(name)]:
        if _is_whole(folder):
            return folder
    return _downloaded(name, looked)


def cache_dir() -> Path:
    """Where huggingface_hub keeps what it has fetched, by the variables that it reads itself."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or str(Path(home) / "huggingface")
    return user_path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def _is_whole(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and ((folder / WEIGHTS).is_file() or (folder / INDEX).is_file())


def _cache_entries(name: str) -> list[str]:
    """The cache's folders for a model: of its present name, and of the one under which it was first published."""
    return [f"models--{OWNER}--{name}", f"models--{name}"]


def _snapshots(name: str) -> list[Path]:
    """The newest version of a model that the cache knows, then the other ones."""
    found = []
    for entry in _cache_entries(name):
        home = cache_dir() / entry
        main = home / "refs" / "main"
        newest = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
        there = sorted((home / "snapshots").glob("*"), key=lambda folder: folder.name != newest)
        found += [folder for folder in there if folder.is_dir()]
    return found


def _downloaded(name: str, looked: list[Path]) -> Path:
    here = data_dir() / name
    repo = f"{OWNER}/{name}"
    missing = f"{name} ({GPT2_SIZES[name]} weights) is neither at {' nor at '.join(map(quoted, looked))}"
    remedy = (
        f"Either download {CONFIG}, {WEIGHTS}, {' and '.join(BESIDES)} from https://huggingface.co/{repo}/tree/main on "
        f"a machine with a network and put them into {quoted(here)}, or name a folder that holds them: {FOLDER}PATH."
    )
    for variable in ("COURSE_OFFLINE", "HF_HUB_OFFLINE"):
        if os.environ.get(variable) == "1":
            raise CourseError(f"{missing}, and {variable}=1 forbids a download. {remedy}")
    try:
        return _by_the_hub(repo) or _by_hand(repo, here)
    except CourseError:
        raise
    except Exception as error:  # each version of huggingface_hub has errors of its own, and its client's besides
        said = in_short(error)
        raise CourseError(f"{missing}, and downloading it from the Hub failed ({said}). {remedy}") from None  # a token


def _by_the_hub(repo: str) -> Path | None:
    """By huggingface_hub, into its cache; None where it is not installed."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        return None
    return Path(snapshot_download(repo, allow_patterns=[CONFIG, WEIGHTS, *BESIDES]))


def _by_hand(repo: str, here: Path) -> Path:
    """File by file; the settings last, as a folder that has them is taken for a whole one."""
    for file in (*BESIDES, WEIGHTS, CONFIG):
        if not (here / file).is_file():
            address = ADDRESS.format(repo=repo, file=file)
            download(Source(file, address, None, f"a file of {repo}"), here / file)
    return here
