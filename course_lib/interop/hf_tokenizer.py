"""Byte-pair tokenizers as transformers keeps GPT-2's, out of a BPETokenizer of the course and back."""

import json
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.interop.hf_files import read_json
from course_lib.paths import quoted
from course_lib.tokenizers import BPETokenizer, Tokenizer
from course_lib.tokenizers.bpe.gpt2 import END_OF_TEXT, byte_signs, parse, read_files
from course_lib.tokenizers.bpe.splitting import GPT2_PATTERN

OWN_FILE = "course_tokenizer.json"
"""The course's own file in such a folder: under the name ``tokenizer.json`` transformers would take it for one of its
own."""
MERGES, VOCAB, ABOUT = "merges.txt", "vocab.json", "tokenizer_config.json"
WHOLE, ADDED = "tokenizer.json", "added_tokens.json"
"""All in one file, as newer versions of transformers write it; and what older ones write beside the other two."""


def is_for_hf(tokenizer: Tokenizer | None) -> bool:
    """Whether transformers can split a text as this tokenizer does: by GPT-2's pattern, and by merges of bytes."""
    return isinstance(tokenizer, BPETokenizer) and tokenizer.pattern == GPT2_PATTERN


def tokenizer_files(tokenizer: Tokenizer | None, block_size: int, for_hf: bool = True) -> dict[str, str]:
    """The files that a model's folder has for its tokenizer: name to content.

    For any `OWN_FILE`; with ``for_hf``, of one that transformers can compute (see `is_for_hf`), those that its
    GPT2Tokenizer reads.
    """
    if tokenizer is None:
        return {}
    files = {OWN_FILE: json.dumps(tokenizer.to_dict(), indent=1) + "\n"}
    if for_hf and isinstance(tokenizer, BPETokenizer) and is_for_hf(tokenizer):
        files |= _gpt2_files(tokenizer, block_size)
    return files


def _gpt2_files(tokenizer: BPETokenizer, block_size: int) -> dict[str, str]:
    signs = {byte: sign for sign, byte in byte_signs().items()}

    def spelled(content: bytes) -> str:
        return "".join(signs[byte] for byte in content)

    special = {i: text for text, i in tokenizer.special_tokens.items()}
    vocab = {special.get(i) or spelled(content): i for i, content in tokenizer.vocab.items()}
    merges = [f"{spelled(first)} {spelled(second)}" for first, second in tokenizer.merges]
    end = END_OF_TEXT if END_OF_TEXT in tokenizer.special_tokens else None
    about = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "errors": "replace"}
    about |= {"bos_token": end, "eos_token": end, "unk_token": end, "model_max_length": block_size}
    about["additional_special_tokens"] = [text for text in tokenizer.special_tokens if text != end]
    return {
        VOCAB: json.dumps(vocab, ensure_ascii=False) + "\n",
        MERGES: "\n".join(["#version: 0.2", *merges]) + "\n",
        ABOUT: json.dumps(about, indent=2) + "\n",
    }


def load_hf_tokenizer(folder: Path) -> BPETokenizer | None:
    """The GPT-2 tokenizer in a model's folder; None where it brings none.

    ``tokenizer.json`` goes before ``vocab.json`` and ``merges.txt``, as in transformers: it has the added tokens, too.

    Raises:
        CourseError: where its files are damaged, or are of a tokenizer that splits or merges in another way.
    """
    path = folder / WHOLE
    if not path.is_file():
        if not ((folder / VOCAB).is_file() and (folder / MERGES).is_file()):
            return None
        added = read_json(folder / ADDED) if (folder / ADDED).is_file() else None
        return BPETokenizer(*read_files(folder / MERGES, folder / VOCAB, added))
    found = read_json(path)
    model, splitting = found.get("model") or {}, found.get("pre_tokenizer") or {}
    kinds = (model.get("type", "BPE"), splitting.get("type"), splitting.get("add_prefix_space", False))
    if kinds != ("BPE", "ByteLevel", False) or found.get("normalizer") or not splitting.get("use_regex", True):
        raise CourseError(
            f"{quoted(path)} should be a byte-pair tokenizer that splits a text as GPT-2's does; it is another one. "
            "Give the tokenizer yourself."
        )
    return BPETokenizer(*parse(*_merges_and_ids(path, found, model)))


def _merges_and_ids(path: Path, found: dict[str, Any], model: dict[str, Any]) -> tuple[str, dict[str, int]]:
    """What GPT-2's two files hold, out of transformers' one; a merge is a text there, or a pair."""
    try:
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
        ids = model["vocab"] | {token["content"]: token["id"] for token in found.get("added_tokens", [])}
    except (KeyError, TypeError) as error:
        raise CourseError(
            f"{quoted(path)} is not a tokenizer of transformers ({error!r}). Fetch the folder anew."
        ) from error
    return "\n".join(merges), ids
