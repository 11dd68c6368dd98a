"""GPT-2's tokenizer, from the files that OpenAI published with it (openai/gpt-2, src/encoder.py).

Both files write bytes as printable characters. ``vocab.bpe`` lists the merges in their order; ``encoder.json`` gives
each token its id, which follows from that order, and so serves to check it.
"""

import json
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.paths import quoted
from course_lib.sources import Source, find_source
from course_lib.tokenizers.bpe.splitting import GPT2_PATTERN

ADDRESS = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
FILES = {
    "vocab.bpe": Source(
        "vocab.bpe",
        ADDRESS + "vocab.bpe",
        "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
        "the 50,000 merges of GPT-2, 0.5 MB",
    ),
    "encoder.json": Source(
        "encoder.json",
        ADDRESS + "encoder.json",
        "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        "the ids of GPT-2's tokens, 1 MB",
    ),
}
END_OF_TEXT = "<|endoftext|>"

Parts = tuple[list[tuple[int, int]], str, list[str], bytes]
"""What `BPETokenizer` is made of: merges, pattern, special tokens, and the byte of each of the first 256 ids."""


def read_gpt2() -> Parts:
    """GPT-2's tokenizer in parts, from source ``gpt2-bpe``; CourseError where it is not at hand."""
    merges, ids = (find_source("gpt2-bpe", source).read_text(encoding="utf-8") for source in FILES.values())
    return parse(merges, json.loads(ids))


def read_files(vocab_bpe: str | Path, encoder_json: str | Path, added: dict[str, int] | None = None) -> Parts:
    """A tokenizer in GPT-2's two files; CourseError where they cannot be read or do not belong together.

    Args:
        added: special tokens that the vocabulary's file does not list, and their ids.
    """
    try:
        merges = Path(vocab_bpe).read_text(encoding="utf-8")
        ids = json.loads(Path(encoder_json).read_text(encoding="utf-8"))
    except OSError as error:
        raise CourseError(f"Cannot read {quoted(error.filename)}: {error.strerror}.") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise CourseError(
            f"{vocab_bpe} and {encoder_json} are not a list of merges and a vocabulary: {error}."
        ) from error
    return parse(merges, ids | (added or {}) if isinstance(ids, dict) else ids)


def byte_signs() -> dict[str, int]:
    """The character that stands for each byte in these files.

    Printable ones stand for themselves; the others are moved to the characters from 256 on, in their order.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def parse(vocab_bpe: str, ids: dict[str, int]) -> Parts:
    """The parts of a tokenizer from the content of its two files.

    Raises:
        CourseError: where the merges do not belong to the vocabulary.
    """
    if not (isinstance(ids, dict) and all(type(i) is int for i in ids.values())):
        raise CourseError("encoder.json should hold an object of tokens and their ids, as whole numbers.")
    lines = [line for line in vocab_bpe.split("\n") if line and not line.startswith("#version")]
    signs = byte_signs()
    try:
        bytes_by_id = bytes(signs[sign] for sign in sorted(signs, key=lambda sign: ids[sign]))
        if [ids[sign] for sign in sorted(signs, key=lambda sign: ids[sign])] != list(range(256)):
            raise CourseError("The single bytes of encoder.json should have the ids 0 to 255.")
        merges = []
        for new, line in enumerate(lines, 256):
            first, second = line.split(" ")
            merges.append((ids[first], ids[second]))
            if ids[first + second] != new:
                raise CourseError(
                    f"The merges do not belong to the vocabulary: line {line!r} makes {first + second!r}, id {new} by "
                    f"its place; encoder.json gives it {ids[first + second]}."
                )
    except KeyError as error:
        raise CourseError(
            f"The merges do not belong to the vocabulary: encoder.json has no {error.args[0]!r}."
        ) from error
    except ValueError as error:
        raise CourseError(f"A line of merges should hold two tokens with a space between; one is {line!r}.") from error
    special = [text for text, i in sorted(ids.items(), key=lambda item: item[1]) if i >= 256 + len(merges)]
    if [ids[text] for text in special] != [*range(256 + len(merges), len(ids))]:
        raise CourseError(
            f"encoder.json has {len(ids)} tokens; 256 bytes, {len(merges)} merges and special tokens do not make them "
            f"with the ids 0 to {len(ids) - 1}."
        )
    unmade = (t for t in special if any(t[:i] in ids and t[i:] in ids for i in range(1, len(t))))
    if (token := next(unmade, None)) is not None:
        raise CourseError(
            f"The merges do not belong to the vocabulary: encoder.json has {token!r}, id {ids[token]}, which two of "
            f"its tokens make, and no merge joins them. Is the list of {len(merges)} merges cut off?"
        )
    return merges, GPT2_PATTERN, special, bytes_by_id
