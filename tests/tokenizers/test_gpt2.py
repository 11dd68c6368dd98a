"""GPT-2's own vocabulary: published ids, tiktoken's, and files that do not belong together."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
import tiktoken
from test_bpe import SCRIPTS

from course_lib.data import load_prepared, prepare
from course_lib.errors import CourseError
from course_lib.tokenizers import BPETokenizer, load_tokenizer
from course_lib.tokenizers.bpe.gpt2 import FILES, byte_signs, parse, read_files
from course_lib.tokenizers.bpe.splitting import GPT2_PATTERN


@pytest.fixture(scope="module")
def folder() -> Path:
    mirror = os.environ.get("COURSE_DATA")
    if mirror is None or not all((Path(mirror) / "gpt2-bpe" / name).is_file() for name in FILES):
        pytest.skip("COURSE_DATA names no folder with gpt2-bpe/vocab.bpe and gpt2-bpe/encoder.json")
    return Path(mirror) / "gpt2-bpe"


@pytest.fixture(scope="module")
def gpt2(folder) -> BPETokenizer:
    return BPETokenizer.gpt2()


@pytest.fixture(scope="module")
def theirs(folder, tmp_path_factory) -> tiktoken.Encoding:
    """tiktoken's own gpt2, which looks for its files under the sha1 of their addresses."""
    cache = tmp_path_factory.mktemp("tiktoken")
    shutil.copy(folder / "vocab.bpe", cache / "6d1cbeee0f20b3d9449abfede4726ed8212e3aee")
    shutil.copy(folder / "encoder.json", cache / "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
        return tiktoken.get_encoding("gpt2")


def test_published_ids(gpt2):
    """From the documentation of tiktoken and of GPT-2 in transformers."""
    assert gpt2.encode("Hello world") == [15496, 995]
    assert gpt2.encode(" Hello world") == [18435, 995]
    assert gpt2.encode("<|endoftext|>", "all") == [50256]
    assert gpt2.vocab_size == 50257


def test_ids_are_tiktokens_on_many_scripts(gpt2, theirs):
    chance = random.Random(0)
    letters = "".join(SCRIPTS)
    for _ in range(300):
        parts = [chance.choice(SCRIPTS), "".join(chance.choices(letters, k=chance.randint(0, 80)))]
        text = "".join(parts)
        wanted = theirs.encode_ordinary(text)
        assert gpt2.encode(text) == wanted
        assert list(gpt2.encode_in_python(text)) == wanted
        assert list(gpt2.encode_iterable(text)) == wanted  # one character at a time
        assert gpt2.decode(wanted) == text
    assert gpt2.to_tiktoken().encode_ordinary(letters) == theirs.encode_ordinary(letters)


def test_every_token_is_the_same(gpt2, theirs):
    assert gpt2.vocab == {i: theirs.decode_single_token_bytes(i) for i in range(50257)}


def test_it_is_kept_in_a_file_like_any_other(gpt2, tmp_path):
    gpt2.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json")
    assert again == gpt2
    assert again.encode("Grüße") == gpt2.encode("Grüße")


def test_without_its_files_one_message_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    with pytest.raises(CourseError, match=r"gpt2-bpe is not at .*COURSE_OFFLINE=1.*COURSE_DATA to a folder"):
        BPETokenizer.gpt2()


def test_the_signs_for_bytes_are_distinct_and_printable():
    signs = byte_signs()
    assert sorted(signs.values()) == list(range(256))
    assert all(sign.isprintable() and not sign.isspace() for sign in signs)
    assert signs["Ġ"] == ord(" ")  # as everyone knows who has looked into such a file
    assert signs["Ċ"] == ord("\n")


def small() -> tuple[str, dict[str, int]]:
    """A vocabulary of two merges and one special token, in the form of GPT-2's files."""
    ids = {sign: i for i, sign in enumerate(byte_signs())}
    return "#version: 0.2\nt h\nth e\n", ids | {"th": 256, "the": 257, "<|x|>": 258}


def test_a_small_vocabulary_in_gpt2s_form_is_read(tmp_path):
    merges, ids = small()
    (tmp_path / "vocab.bpe").write_text(merges, encoding="utf-8")
    (tmp_path / "encoder.json").write_text(json.dumps(ids), encoding="utf-8")
    tokenizer = BPETokenizer(*read_files(tmp_path / "vocab.bpe", tmp_path / "encoder.json"))
    assert tokenizer.merges == [(b"t", b"h"), (b"th", b"e")]
    assert tokenizer.special_tokens == {"<|x|>": 258}
    assert tokenizer.pattern == GPT2_PATTERN
    assert tokenizer.encode("the") == [257]
    with pytest.raises(CourseError, match=r"Cannot read .*nowhere"):
        read_files(tmp_path / "nowhere", tmp_path / "encoder.json")
    with pytest.raises(CourseError, match="not a list of merges and a vocabulary"):
        read_files(tmp_path / "vocab.bpe", tmp_path / "vocab.bpe")


@pytest.mark.parametrize(
    ("merges", "change", "words"),
    [
        ("t h\nth x\n", {}, "encoder.json has no 'thx'"),
        ("th e\nt h\n", {}, "line 'th e' makes 'the', id 256 by its place; encoder.json gives it 257"),
        ("t h\nthe\n", {}, "two tokens with a space between; one is 'the'"),
        ("t h\nth e\n", {"!": 300}, "ids 0 to 255"),
        ("t h\n", {}, "has 'the', id 257, which two of its tokens make, and no merge joins them.* 1 merges cut off"),
        ("", {}, "has 'th', id 256.* cut off"),
        ("t h\nth e\n", {"<|y|>": 260}, "with the ids 0 to 259"),
        ("t h\nth e\n", {"<|x|>": 257}, "with the ids 0 to 258"),
        ("t h\nth e\n", {"!": "0"}, "tokens and their ids, as whole numbers"),
        ("t h\nth e\n", {"!": 0.0}, "tokens and their ids, as whole numbers"),
    ],
)
def test_merges_that_do_not_belong_to_the_vocabulary_are_refused(merges, change, words):
    ids = small()[1] | change
    with pytest.raises(CourseError, match=words):
        parse(merges, ids)


@pytest.mark.parametrize("ids", [[], None, 5, "a"])
def test_a_vocabulary_that_is_no_object_is_refused(ids):
    with pytest.raises(CourseError, match="tokens and their ids"):
        parse(small()[0], ids)


def test_the_corpus_shakespeare_is_tiny_shakespeare_by_this_vocabulary(folder, project):
    """The counts are those of nanoGPT's data/shakespeare/readme.md."""
    if not (folder.parent / "tinyshakespeare" / "input.txt").is_file():
        pytest.skip("COURSE_DATA names no folder with tinyshakespeare/input.txt")
    prepared = load_prepared(prepare("shakespeare"))
    assert prepared.manifest["counts"] == {"train": 301_966, "val": 36_059}
    assert prepared.tokenizer == BPETokenizer.gpt2()
    assert prepare("shakespeare_char", "gpt2").name.partition("-")[2] == prepared.folder.name.partition("-")[2]
