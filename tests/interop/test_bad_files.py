"""Damaged, foreign and hostile files: the C++ program says which words, and ends with status 2."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from damage import Change, model_with, put_together, refused, taken_apart, weights_of
from small_runs import FORMS, Small, build, keep

from course_lib.tokenizers import CharTokenizer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def kept(tmp_path: Path) -> Small:
    return keep(tmp_path / "run", build(**FORMS["modern"]))


# Weights ---------------------------------------------------------------------------------------------------

FIRST = "blocks.0.attn.proj.weight"


def header_with(**changes: Any) -> Change:
    """Change the entry of one weight."""

    def change(content: bytes) -> bytes:
        header, numbers = taken_apart(content)
        header[FIRST] = {k: v for k, v in (header[FIRST] | changes).items() if v is not None}
        return put_together(header, numbers)

    return change


def number_at_start(value: float) -> Change:
    def change(content: bytes) -> bytes:
        header, numbers = taken_apart(content)
        begin = header[FIRST]["data_offsets"][0]
        return put_together(header, numbers[:begin] + struct.pack("<f", value) + numbers[begin + 4 :])

    return change


def renamed(old: str, new: str | None) -> Change:
    def change(content: bytes) -> bytes:
        header, numbers = taken_apart(content)
        entry = header.pop(old)
        if new is not None:
            header[new] = entry
        return put_together(header, numbers)

    return change


def raw(header: bytes, length: int | None = None) -> Change:
    return lambda content: put_together(header, taken_apart(content)[1], length)


def length_of(value: int) -> Change:
    return lambda content: struct.pack("<Q", value) + content[8:]


def overlapping(content: bytes) -> bytes:
    header, numbers = taken_apart(content)
    header[FIRST]["data_offsets"] = header["blocks.1.attn.proj.weight"]["data_offsets"]
    return put_together(header, numbers)


def twice(content: bytes) -> bytes:
    header, numbers = taken_apart(content)
    text = json.dumps(header)
    return put_together((text[:-1] + f', "{FIRST}": {json.dumps(header[FIRST])}}}').encode(), numbers)


HUGE = 2**63
WEIGHTS: dict[str, tuple[Change, str]] = {
    "empty": (lambda c: b"", "it has no header"),
    "seven bytes": (lambda c: c[:7], "it has no header"),
    "the length alone": (lambda c: c[:8], "its header should be"),
    "cut off in the header": (lambda c: c[:60], "its header should be"),
    "cut off in the numbers": (lambda c: c[:-1], "is too large"),
    "a byte too many": (lambda c: c + b"\0", "its tensors should end at byte"),
    "a header of no length": (length_of(0), "should have a value"),
    "a header longer than the file": (length_of(10**6), "its header should be 1000000 bytes long"),
    "a header of 2^64 - 1 bytes": (length_of(2**64 - 1), "its header should be 18446744073709551615 bytes"),
    "a header of 2^64 - 8 bytes": (length_of(2**64 - 8), "its header should be"),
    "a header that is a list": (raw(b"[]"), "its header is no JSON object"),
    "a header that is cut off": (raw(b'{"a": '), "JSON should have a value"),
    "a header that is no UTF-8": (raw(b'{"\xff": 1}'), "is not valid UTF-8 at byte 2"),
    "a header nested deeply": (raw(b"[" * 100_000), "less nesting"),
    "a header with endless values": (raw(b"[" + b"0," * 1_100_000 + b"0]"), "fewer values"),
    "a name twice": (twice, f"it has the name '{FIRST}' twice"),
    "half a surrogate pair in a name": (raw(b'{"\\ud800": 1}'), "both halves of a surrogate pair"),
    "an entry that is a number": (raw(b'{"a": 1}'), "should have dtype, shape and two data_offsets"),
    "an entry without a shape": (header_with(shape=None), "should have dtype, shape and two"),
    "an entry with more": (header_with(more=1), "should have dtype, shape and two"),
    "three offsets": (header_with(data_offsets=[0, 4, 8]), "should have dtype, shape and two"),
    "offsets that are texts": (header_with(data_offsets=["0", "4"]), "should be a whole number from 0"),
    "a negative offset": (header_with(data_offsets=[-4, 4]), "an offset of"),
    "offsets in the wrong order": (header_with(data_offsets=[8, 4]), "should be a whole number from 8"),
    "an offset past the end": (header_with(data_offsets=[0, HUGE]), "an offset of"),
    "an offset past 64 bits": (header_with(data_offsets=[0, 2**70]), "an offset of"),
    "an offset with a point": (header_with(data_offsets=[0.0, 4]), "an offset of"),
    "an offset with an exponent": (header_with(data_offsets=[0, 1e3]), "an offset of"),
    "a type that is unknown": (header_with(dtype="F64"), "should be F32, F16 or BF16"),
    "a type of another size": (header_with(dtype="BF16"), "bytes, which is not what (32, 32) takes"),
    "a shape of another size": (header_with(shape=[32, 31]), "bytes, which is not what (32, 31) takes"),
    "a shape whose product overflows": (header_with(shape=[2**20, 2**20, 2**24]), "a length of"),
    "a shape whose product is too large": (header_with(shape=[60_000, 60_000]), "is larger than the file"),
    "a shape with zero": (header_with(shape=[0, 32]), "bytes, which is not what (0, 32) takes"),
    "a negative shape": (header_with(shape=[-32, -32]), "a length of"),
    "a shape that is true": (header_with(shape=[True, 32]), "a length of"),
    "a turned shape": (header_with(shape=[1024]), "should have the shape (32, 32); it has (1024,)"),
    "a shape of more axes": (header_with(shape=[32, 32, 1]), "should have the shape (32, 32); it has (32, 32, 1)"),
    "weights that overlap": (overlapping, "overlaps another tensor, or there is a gap"),
    "a weight that is missing": (renamed(FIRST, "x"), f"lacks the weight '{FIRST}'"),
    "numbers that belong to none": (renamed("norm.weight", None), "gap"),
    "a name with a new line": (renamed(FIRST, "a\nb" * 50), "lacks the weight"),
    "an infinite number": (number_at_start(math.inf), "has a number that is not finite"),
    "no number": (number_at_start(math.nan), "has a number that is not finite"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), WEIGHTS.values(), ids=WEIGHTS)
def test_damaged_weights(kept: Small, run, change: Change, words: str) -> None:
    path = weights_of(kept)
    path.write_bytes(change(path.read_bytes()))
    message = refused(run(kept.path, "--prompt", "a", "--max-new-tokens", 3))
    assert words in message or (words == "is too large" and "an offset of" in message)
    assert str(path) in message


def test_an_unknown_weight(kept: Small, run) -> None:
    header, numbers = taken_apart(weights_of(kept).read_bytes())
    header["head.bias"] = {"dtype": "F32", "shape": [1], "data_offsets": [len(numbers), len(numbers) + 4]}
    weights_of(kept).write_bytes(put_together(header, numbers + bytes(4)))
    assert "has the unknown weight 'head.bias'. It and config.json" in refused(run(kept.path))


def test_what_is_legal_is_read(kept: Small, ids) -> None:
    """Metadata, spaces after the header, names in another order, escapes in a name."""
    found = ids(kept.path, "a", "--max-new-tokens", 20, "--temperature", 0)
    header, numbers = taken_apart(weights_of(kept).read_bytes())
    shuffled = {"__metadata__": {"format": "pt"}} | dict(sorted(header.items(), reverse=True))
    text = json.dumps(shuffled).replace("norm.weight", "\\u006eorm.w\\u0065ight") + " " * 13
    weights_of(kept).write_bytes(put_together(text.encode(), numbers))
    assert ids(kept.path, "a", "--max-new-tokens", 20, "--temperature", 0) == found


def test_weights_so_large_that_the_scores_overflow(kept: Small, run) -> None:
    with torch.no_grad():
        kept.model.head.weight.mul_(1e38)
    huge = keep(kept.path.parent / "huge", kept.model)
    done = run(huge.path, "--prompt", "a", "--max-new-tokens", 3, text=False, encoding=None)
    assert done.returncode == 2
    assert b"scores are not finite: its weights are too large" in done.stderr


# Settings --------------------------------------------------------------------------------------------------


SETTINGS: dict[str, tuple[Change, str]] = {
    "empty": (lambda c: b"", "should have a value at byte 0"),
    "a brace": (lambda c: b"{", "should have a name"),
    "a list": (lambda c: b"[]", "should hold a JSON object"),
    "no model": (lambda c: b"{}", "should hold a 'model' of the kind 'gpt'"),
    "a model that is a text": (lambda c: b'{"model": "gpt"}', "should hold a 'model' of the kind 'gpt'"),
    "no UTF-8": (lambda c: b"\xff\xfe{}", "is not valid UTF-8 at byte 0"),
    "two values": (lambda c: c + b"{}", "should have the end"),
    "a comma too many": (lambda c: b'{"a": 1,}', "should have a name"),
    "a number with a zero before it": (lambda c: b'{"a": 01}', "should have a comma or }"),
    "a plus before a number": (lambda c: b'{"a": +1}', "should have a value"),
    "a point without digits": (lambda c: b'{"a": 1.}', "should have a digit"),
    "an exponent without digits": (lambda c: b'{"a": 1e}', "should have a digit"),
    "no number": (lambda c: b'{"a": NaN}', "should have a value"),
    "a new line in a text": (lambda c: b'{"a": "\n"}', "should have a closing quote"),
    "an unknown escape": (lambda c: b'{"a": "\\x41"}', "should have a known escape"),
    "an escape that is cut off": (lambda c: b'{"a": "\\', "should have a known escape"),
    "three hex digits": (lambda c: b'{"a": "\\u12"}', "should have four hex digits"),
    "a sign among hex digits": (lambda c: b'{"a": "\\u-123"}', "should have four hex digits"),
    "a model of another kind": (model_with(kind="pixel"), "should hold a 'model' of the kind 'gpt'"),
    "no layers": (model_with(n_layer=0), "'n_layer' should be a whole number from 1"),
    "a layer too many": (model_with(n_layer=3), "lacks the weight 'blocks.2.norm1.weight'"),
    "a billion layers": (model_with(n_layer=10**9), "lacks the weight 'blocks.2.norm1.weight'"),
    "a layer too few": (model_with(n_layer=1), "has the unknown weight 'blocks.1."),
    "more layers than fit": (model_with(n_layer=10**30), "'n_layer' should be a whole number"),
    "half a layer": (model_with(n_layer=1.5), "'n_layer' should be a whole number"),
    "layers as a text": (model_with(n_layer="2"), "'n_layer' should be a whole number"),
    "layers that are true": (model_with(n_layer=True), "'n_layer' should be a whole number"),
    "no n_embd": (model_with(n_embd=None), "the model has no n_embd"),
    "another n_embd": (model_with(n_embd=64), "should have the shape (23, 64); it has (23, 32)"),
    "the largest n_embd": (model_with(n_embd=10**9, n_head=1), "should have the shape (23, 1000000000)"),
    "heads that do not divide": (model_with(n_head=3), "n_embd should be a multiple of n_head"),
    "RoPE without pairs": (model_with(n_head=32), "RoPE turns pairs, so n_embd / n_head should be even"),
    "another vocabulary": (model_with(vocab_size=24), "The model has a vocabulary of 24"),
    "an unknown norm": (model_with(norm="batchnorm"), "'norm' has the unknown value 'batchnorm'"),
    "a norm that is a number": (model_with(norm=1), "'norm' has the unknown value"),
    "an unknown position": (model_with(position="alibi"), "'position' has the unknown value 'alibi'"),
    "an unknown MLP": (model_with(mlp=["gelu"]), "'mlp' has the unknown value"),
    "a switch that is a number": (model_with(bias=1), "'bias' should be true or false"),
    "biases that are not there": (model_with(bias=True), "lacks the weight 'blocks.0.attn.qkv.bias'"),
    "a head that should be tied": (model_with(tie_weights=True), "has the unknown weight 'head.weight'"),
    "another MLP": (model_with(mlp="swiglu"), "'blocks.0.mlp.up.weight' should have the shape (176, 32)"),
    "learned positions": (model_with(position="learned"), "lacks the weight 'position_embedding.weight'"),
    "n-grams that are not there": (model_with(ngrams=[2]), "lacks the weight 'ngram_embedding.tables.0.weight'"),
    "a setting that is unknown": (model_with(n_kv_head=1), "'n_kv_head' is a setting that this program does not"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), SETTINGS.values(), ids=SETTINGS)
def test_damaged_settings(kept: Small, run, change: Change, words: str) -> None:
    path = kept.path / "config.json"
    path.write_bytes(change(path.read_bytes()))
    assert words in refused(run(kept.path, "--prompt", "a", "--max-new-tokens", 3))


def test_no_memory_is_taken_for_a_context_that_is_only_promised(kept: Small, ids) -> None:
    """Nothing in a model with RoPE is as large as its block_size."""
    path = kept.path / "config.json"
    path.write_bytes(model_with(block_size=10**9)(path.read_bytes()))
    assert len(ids(kept.path, "a", "--max-new-tokens", 40)) == 40


# Tokenizers ------------------------------------------------------------------------------------------------


def tokenizer_with(**changes: Any) -> Change:
    return lambda content: json.dumps(json.loads(content) | changes).encode()


def by_pairs(**changes: Any) -> Change:
    """A whole tokenizer of another kind, with a fault."""
    whole = {"kind": "bpe", "pattern": r"\s|\S", "special_tokens": [], "merges": ["97 98"]}
    return tokenizer_with(**(whole | changes))


TOKENIZERS: dict[str, tuple[Change, str]] = {
    "empty": (lambda c: b"", "tokenizer.json is damaged"),
    "another format": (tokenizer_with(format="x"), "is no tokenizer file"),
    "a newer version": (tokenizer_with(version=2), "should have version 1"),
    "word pieces": (tokenizer_with(kind="wordpiece"), "is of the kind 'wordpiece'; this program knows char, byte and"),
    "byte pairs without merges": (tokenizer_with(kind="bpe"), "should hold merges, a pattern and special tokens"),
    "merges of what is not there": (by_pairs(merges=["97 98", "97 257"]), "merge 1 should be two ids below 257"),
    "merges in numbers": (by_pairs(merges=[97]), "merge 0 should be two ids"),
    "merges of one": (by_pairs(merges=["97"]), "merge 0 should be two ids"),
    "merges with more behind": (by_pairs(merges=["97 98 "]), "merge 0 should be two ids"),
    "a merge twice": (by_pairs(merges=["97 98", "97 98"]), "merge 1 is there twice"),
    "a token of megabytes": (by_pairs(merges=["97 97", *(f"{i} {i}" for i in range(256, 280))]), "of over 10000 bytes"),
    "a byte twice": (by_pairs(bytes_by_id="00" * 256), "'bytes_by_id' should hold each byte once"),
    "half the bytes": (by_pairs(bytes_by_id="00"), "'bytes_by_id' should be 256 bytes in hex digits"),
    "special tokens in numbers": (by_pairs(special_tokens=[1]), "special tokens should be texts"),
    "special tokens that are missing": (by_pairs(), "tokenizer.json one of 257. One of the two"),
    "a kind that is a number": (tokenizer_with(kind=1), "is of the kind '1'"),
    "another vocabulary": (tokenizer_with(characters="abc"), "tokenizer.json one of 3. One of the two"),
    "no characters": (tokenizer_with(characters=""), "tokenizer.json one of 0"),
    "bytes for characters": (tokenizer_with(kind="byte"), "tokenizer.json one of 256"),
    "characters in a list": (tokenizer_with(characters=["a"]), "should hold its 'characters' as one text"),
    "characters in disorder": (tokenizer_with(characters="ba"), "should be distinct and in Unicode order"),
    "a character twice": (tokenizer_with(characters="aa"), "should be distinct and in Unicode order"),
    "half a character": (tokenizer_with(characters="a\ud800"), "both halves of a surrogate pair"),
    "an unknown stand-in": (tokenizer_with(unknown="?"), "'unknown' should be one of the characters"),
    "two stand-ins": (tokenizer_with(unknown="ab"), "'unknown' should be one of the characters"),
    "a stand-in that is a number": (tokenizer_with(unknown=7), "'unknown' should be one of the characters"),
    "a stand-in that is a list": (tokenizer_with(unknown=[]), "'unknown' should be one of the characters"),
}


@pytest.mark.parametrize(("change", "words"), TOKENIZERS.values(), ids=TOKENIZERS)
def test_damaged_tokenizers(kept: Small, run, change: Change, words: str) -> None:
    path = kept.path / "tokenizer.json"
    path.write_bytes(change(path.read_bytes()))
    assert words in refused(run(kept.path, "--prompt", "a", "--max-new-tokens", 3))


# Folders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "last", "saves/7/model.safetensors"])
@pytest.mark.parametrize("instead", ["nothing", "a folder"])
def test_a_file_that_is_missing(kept: Small, run, name: str, instead: str) -> None:
    (kept.path / name).unlink()
    if instead == "a folder":
        (kept.path / name).mkdir()
    expected = "should hold a config.json" if name == "config.json" else f"{kept.path / name} is missing, or is no file"
    assert expected in refused(run(kept.path))


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"../../elsewhere", b".", b"..", b"/etc", b"7/../7", b"\xff", b"7\0", b"x" * 10_000]
)
def test_a_pointer_that_names_no_save(kept: Small, run, content: bytes) -> None:
    (kept.path / "last").write_bytes(content)
    assert "last should name a save, such as 200" in refused(run(kept.path))


def test_a_pointer_to_a_save_that_is_gone(kept: Small, run) -> None:
    (kept.path / "last").write_text("8\n")
    assert "saves/8/model.safetensors is missing" in refused(run(kept.path))


def test_a_folder_that_is_no_run(tmp_path: Path, run) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        assert f"{folder} is no run directory: it should hold a config.json" in refused(run(folder))


def test_a_prompt_for_another_vocabulary(tmp_path: Path, run) -> None:
    kept = keep(tmp_path / "run", build(vocab_size=3), CharTokenizer("xyz"))
    assert "The character a (U+0061) at position 0" in refused(run(kept.path, "--prompt", "a"))


def test_a_full_disk(kept: Small, program: Path) -> None:
    import subprocess

    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program, kept.path, "--prompt", "a"], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (2, b"generate: Cannot write what was generated: is the disk full?\n")
