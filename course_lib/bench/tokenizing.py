"""Byte-pair encoding: how long training and encoding take, beside what others have published."""

import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from course_lib.bench.reporting import heading, summary, take_turns, timed
from course_lib.data import load_text
from course_lib.data.reading import read_text
from course_lib.errors import CourseError
from course_lib.paths import project_root, user_path
from course_lib.tokenizers import BPETokenizer
from course_lib.tokenizers.bpe import GPT2_PATTERN
from course_lib.tokenizers.bpe.counting import count_words
from course_lib.tokenizers.bpe.learning import learn_merges

SIZES = {"shakespeare": 1024, "wikipedia": 8192}
"""The vocabulary that is learned from each text."""
Action = Callable[[], object]


def bench_bpe(command: str, runs: int, peer: Path | None, recipe: str | None) -> dict[str, Any]:
    """Learning 1,024 tokens from Tiny Shakespeare and 8,192 from 2.3 MB of Wikipedia, and encoding them.

    One thread each. Hugging Face's trainer (fed by lines), rustbpe and tiktoken are measured beside where they are
    installed; the large text is ``wikitext-2`` of COURSE_DATA, left out where it is not there. Where ``peer`` names a
    copy of minbpe, it learns from an eighth of Tiny Shakespeare: from all of it takes it minutes.
    """
    os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    found = heading("bpe", command)
    names = ("tokenizers", "rustbpe", "tiktoken", "regex")
    found["versions"] |= {name: version(name) for name in names if _is_installed(name)}
    parts: dict[str, Any] = {}
    for name, text in _texts().items():
        parts |= _measured(name, text, SIZES[name], runs)
        parts[f"growth on {name}"] = _growth(text, SIZES[name], runs)
        if peer is not None and name == "shakespeare":
            parts["train on an eighth of shakespeare"] = _beside_minbpe(peer, text[: len(text) // 8], 512, runs)
    return found | {"parts": parts}


def _measured(name: str, text: str, size: int, runs: int) -> dict[str, Any]:
    learning: dict[str, Action] = {"course": lambda: BPETokenizer.train(text, size)} | _peers(text, size)
    turns = take_turns({row: timed(action) for row, action in learning.items()}, runs)
    return {
        f"train on {name}": summary("seconds", turns, characters=len(text), vocab_size=size),
        f"encode {name}": summary("seconds", _encoding(BPETokenizer.train(text, size), text, runs)),
    }


def _growth(text: str, size: int, runs: int) -> dict[str, Any]:
    """How splitting and merging grow: with more of a text, which has other words in it, and with the same text again.

    Each text is a row for splitting (finding and counting the chunks) and one for merging.
    """
    texts = {"a quarter": text[: len(text) // 4], "half": text[: len(text) // 2], "whole": text}
    texts |= {"twice": text * 2, "four times": text * 4}
    rows: dict[str, Action] = {}
    details = {}
    for name, part in texts.items():
        words = {word.encode(): count for word, count in count_words(part, GPT2_PATTERN).items()}
        details[name] = {"characters": len(part), "distinct words": len(words)}
        rows[f"splitting, {name}"] = partial(count_words, part, GPT2_PATTERN)
        rows[f"merging, {name}"] = partial(learn_merges, words, size - 256)
    return summary("seconds", take_turns({row: timed(action) for row, action in rows.items()}, runs), **details)


def _beside_minbpe(peer: Path, text: str, size: int, runs: int) -> dict[str, Any]:
    rows: dict[str, Action] = {"course": lambda: BPETokenizer.train(text, size), "minbpe": _minbpe(peer, text, size)}
    turns = take_turns({row: timed(action) for row, action in rows.items()}, runs)
    return summary("seconds", turns, characters=len(text), vocab_size=size)


def _texts() -> dict[str, str]:
    texts = {"shakespeare": load_text("shakespeare_char")}
    if mirror := os.environ.get("COURSE_DATA"):
        folder = project_root() / user_path(mirror) / "wikitext-2"
        if folder.is_dir():
            texts["wikipedia"] = read_text(str(folder))
    return texts


def _peers(text: str, vocab_size: int) -> dict[str, Action]:
    """What else learns merges, as far as it is installed: each the name of a row and what is timed."""
    rows: dict[str, Action] = {}
    if _is_installed("tokenizers"):
        rows["Hugging Face tokenizers"] = lambda: _hugging_face(text, vocab_size)
    if _is_installed("rustbpe"):
        rustbpe = importlib.import_module("rustbpe")
        lines = text.splitlines(keepends=True)
        rows["rustbpe"] = lambda: rustbpe.Tokenizer().train_from_iterator(
            iter(lines), vocab_size, pattern=GPT2_PATTERN
        )
    return rows


def _hugging_face(text: str, vocab_size: int) -> None:
    hf: Any = importlib.import_module("tokenizers")
    tokenizer = hf.Tokenizer(hf.models.BPE())
    tokenizer.pre_tokenizer = hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    alphabet = hf.pre_tokenizers.ByteLevel.alphabet()
    trainer = hf.trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)


def _minbpe(peer: Path, text: str, vocab_size: int) -> Action:
    """minbpe's RegexTokenizer, with GPT-2's pattern, from a copy of its repository."""
    if not (peer / "minbpe" / "regex.py").is_file():
        raise CourseError(f"{peer} should be a copy of minbpe, with minbpe/regex.py in it.")
    sys.path.insert(0, str(peer))
    try:
        tokenizer = importlib.import_module("minbpe.regex").RegexTokenizer(GPT2_PATTERN)
    finally:
        sys.path.remove(str(peer))
    return lambda: tokenizer.train(text, vocab_size)


def _encoding(tokenizer: BPETokenizer, text: str, runs: int) -> dict[str, list[float]]:
    encoding = tokenizer.to_tiktoken()
    rows: dict[str, Action] = {
        "course": lambda: tokenizer.encode_array(text),
        "tiktoken": lambda: encoding.encode_to_numpy(text, disallowed_special=()),
        "course, merges in Python": lambda: list(tokenizer.encode_in_python(text)),
    }
    return take_turns({row: timed(action) for row, action in rows.items()}, runs)


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
