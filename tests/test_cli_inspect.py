"""``course inspect``: what it prints of saved runs, which text it reads, what it draws, and what it refuses."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.cli.inspect import MOST_BYTES, SENTENCE
from course_lib.config import AGIFormerConfig, RunConfig, TrainConfig
from course_lib.data.datasets import load_bytes
from course_lib.models import AGIFormer
from course_lib.tokenizers import ByteTokenizer

TINY = (
    "--n-layer 1 --n-head 2 --n-embd 16 --block-size 16 --batch-size 2 --max-steps 1 --eval-batches 1 --device cpu"
).split()
HOSTILE = "a & <script>alert('1')</script> \"b\"\x1b[2J\x00 e\u0301\u0301 \u202e日本語 🦊 \ufffe "

pytestmark = pytest.mark.usefixtures("one_thread")


def saved(folder: str, change=None, **settings) -> AGIFormer:
    """A run of a small AGIFORMER of fresh weights, changed and saved; nothing is known of its text."""
    torch.manual_seed(0)
    model = AGIFormer(AGIFormerConfig(**dict(n_embd=16, n_head=2, n_layer=1, n_hidden=8) | settings))
    if change is not None:
        with torch.no_grad():
            change(model.reasoning)
    config = RunConfig("", None, model.config, TrainConfig(max_steps=1))
    checkpoint.create_run(folder, config, ByteTokenizer())
    checkpoint.save(folder, 1, model)
    return model


def printed(capsys, *args: str) -> str:
    assert course(["inspect", *args]) == 0
    return capsys.readouterr().out


def refused(capsys, *args: str) -> str:
    assert course(["inspect", *args]) == 2
    return capsys.readouterr().err


def zeroed(thinking) -> None:
    for p in thinking.think_mlp[2].parameters():
        p.zero_()


def scaled(thinking) -> None:
    thinking.think_mlp[2].weight.mul_(1e3)


def broken(thinking) -> None:
    thinking.gate.weight[0, 0] = torch.nan


# The verdict ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "word"), [(zeroed, "dormant"), (None, "active"), (scaled, "unstable"), (broken, "unstable")]
)
@pytest.mark.parametrize("thinking", ["fixed", "adaptive"])
def test_a_saved_run_is_named_as_it_was_made(project, capsys, change, word, thinking):
    saved("runs/made", change, thinking=thinking)
    files = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    out = printed(capsys, "made")
    assert f"\nverdict: {word}. " in out
    assert "dormant under 0.01, unstable over 10): " in out
    assert ("at most 3 thinking steps" in out) == (thinking == "adaptive")
    assert {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()} == files


def test_the_table_is_what_the_steps_do(project, capsys):
    model = saved("runs/made").eval()
    out = printed(capsys, "made", "--text", "The fox ran up to her.", "--steps", "2")
    rows = [line.split() for line in out.splitlines() if re.match(r" +(\d+|all) ", line)]
    assert [row[0] for row in rows if "patch" not in row] == ["1", "2", "all"]
    idx = torch.tensor([list(b"The fox ran up to he")])
    with torch.no_grad():
        z = first = model.intuition(idx)
        for row in rows[:2]:
            gate = torch.sigmoid(model.reasoning.gate(model.reasoning.norm(z)))
            moved = gate * model.reasoning.think_mlp(model.reasoning.norm(z))
            shares = moved.norm(dim=-1) / z.norm(dim=-1)
            assert row[1] == "100.0%"
            values = moved.norm(dim=-1).mean().item(), shares.mean().item(), gate.mean().item()
            assert [float(word) for word in row[2:5]] == pytest.approx(values, rel=2e-3)
            assert row[5:] == ["0.0%", "0.0%"]
            z = z + moved
        total = (z - first).norm(dim=-1)
    assert float(rows[2][2]) == pytest.approx(total.mean().item(), rel=2e-3)
    assert "2 thinking steps (trained with 3)" in out
    for name, p in model.reasoning.named_parameters():
        if p.ndim == 2 and name != "norm.weight":
            line = re.search(rf"^{re.escape(name)} +(\d+) x (\d+) +(\S+) +(\S+)$", out, flags=re.MULTILINE)
            assert (int(line[1]), int(line[2])) == p.shape
            assert float(line[3]) == pytest.approx(p.std().item(), rel=2e-2)
            assert float(line[4]) == pytest.approx(torch.linalg.svdvals(p)[0].item(), rel=2e-3)


def test_a_model_that_does_not_think_is_told_so(project, capsys):
    saved("runs/made", thinking_steps=0)
    out = printed(capsys, "made")
    assert "0 thinking steps\n" in out
    assert "verdict: off. It takes no thinking steps" in out
    assert "moved farthest" not in out
    assert "verdict: active" in printed(capsys, "made", "--steps", "3")


# The text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("test_fraction", [0, 0.2])
def test_the_beginning_of_the_validation_text_is_read(project, capsys, test_fraction):
    """Where it lies prepared; else what samples begin with, else a sentence."""
    text = "".join(f"{i} bottles of beer on the wall.\n" for i in range(2000))
    Path("some.txt").write_text(text)
    train = ["train", "agiformer_cpu", "--dataset", "text:some.txt", "--out-dir", "runs/a", "--n-hidden", "8", *TINY]
    assert course([*train, f"--test-fraction={test_fraction}"]) == 0
    capsys.readouterr()
    Path("some.txt").unlink()  # it is not needed
    out = printed(capsys, "a")
    assert f"text: the run's validation text, the first {MOST_BYTES:,} bytes of it; {MOST_BYTES // 4:,} patches" in out
    validation = text[int(len(text) * (0.9 - test_fraction)) :][:MOST_BYTES].replace("\n", "↵")
    shown = re.findall(r"^ +\S+  patch (\d+) +(.*)$", out, flags=re.MULTILINE)
    assert len(shown) == 5
    for number, words in shown:
        before, patch, after = re.fullmatch(r"(.*)\[(.*)\](.*)", words).groups()
        assert patch == validation[4 * int(number) :][:4]
        assert before + patch + after in validation
        assert len(before) == min(24, 4 * int(number))
    shutil.rmtree("data/prepared")
    out = printed(capsys, "a")
    assert f"an English sentence (the run's validation text is not here: give --text); {len(SENTENCE) // 4}" in out
    config = json.loads(Path("runs/a/config.json").read_text())
    config["data"]["start"] = "Once upon a time"
    Path("runs/a/config.json").write_text(json.dumps(config))
    assert "text: how the run's samples begin (its validation text is not here); 4 patches" in printed(capsys, "a")


def test_bytes_of_no_text_are_read_as_they_are(project, capsys):
    Path("noise").write_bytes(bytes(range(256)) * 40)
    train = ["train", "agiformer_cpu", "--dataset", "bytes:noise", "--out-dir", "runs/a", "--n-hidden", "8", *TINY]
    assert course(train) == 0
    capsys.readouterr()
    out = printed(capsys, "a", "--svg", "a.svg")
    assert "the run's validation text; 256 patches" in out
    titles = [node.text for node in ET.parse("a.svg").iter("{http://www.w3.org/2000/svg}title")][1:]
    content = b"".join(bytes.fromhex(re.search(r"bytes ([0-9A-F ]+):", title)[1]) for title in titles)
    assert content == load_bytes("bytes:noise")[-1024:]


def test_a_text_is_read_from_the_command_line_and_from_a_file(project, capsys):
    saved("runs/made")
    Path("some.txt").write_text("The fox ran up to her.\r\n" * 400)
    assert "text: --text; 5 patches" in printed(capsys, "made", "--text", "The fox ran up to her.")
    out = printed(capsys, "made", "--text", "FILE:some.txt")
    assert f"text: --text, the first {MOST_BYTES:,} bytes of it; 1,024 patches" in out
    assert len(re.findall("  patch ", printed(capsys, "made", "--text", "Two of them"))) == 2
    for words in re.findall(r"  patch \d+ +(.*)", printed(capsys, "made", "--text", "日本語" * 30)):
        before, after = re.fullmatch(r"(.*)\[.*\](.*)", words).groups()
        for end in (before[:1], after[-1:]):
            assert end in "日本語", "what surrounds a patch begins and ends with a whole character"


@pytest.mark.parametrize("patch_size", [1, 3, 4, 7])
def test_nothing_of_a_text_gets_out_of_what_is_printed_and_drawn(project, capsys, patch_size):
    saved("runs/made", patch_size=patch_size)
    Path("some.txt").write_text(HOSTILE, newline="")
    out = printed(capsys, "made", "--text", "FILE:some.txt", "--svg", "drawn.svg")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)
    assert out.endswith("drawn: drawn.svg\n")
    svg = Path("drawn.svg").read_text()
    tags = {node.tag.partition("}")[2] for node in ET.fromstring(svg).iter()}
    assert tags == {"svg", "title", "defs", "marker", "path", "rect", "g", "text"}
    assert "<script" not in svg


# What is refused --------------------------------------------------------------------------------------------


def test_a_model_of_another_kind_is_refused_in_one_sentence(project, capsys):
    assert course(["train", "tinytales_cpu", "--out-dir", "runs/gpt", *TINY]) == 0
    capsys.readouterr()
    error = refused(capsys, "gpt")
    assert re.fullmatch(r"course: [^.]* of the kind agiformer; [^.]*gpt holds one of the kind gpt, [^.]*\.\n", error)
    config = json.loads(Path("runs/gpt/config.json").read_text())
    config["model"] = {"kind": "own:Bag", "size": 3}
    Path("runs/gpt/config.json").write_text(json.dumps(config))
    assert "holds one of the kind own:Bag" in refused(capsys, "gpt")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--text", "abc"], "a whole patch, of 4 bytes; there are 1 x 3 bytes. Give a longer text."),
        (["--text", ""], "there are 1 x 0 bytes"),
        (["--text", "FILE:"], "FILE: should name a file with a text"),
        (["--text", "FILE:none.txt"], "Cannot read none.txt"),
        (["--text", "caf\udce9 au lait"], "The text is not valid UTF-8 at character 3: .* give --text FILE:path"),
        (["--steps", "-1"], "steps should be at least 0"),
        (["--which", "7"], "has no save 7"),
        (["--svg", "no/such/folder.svg"], "Cannot write no/such/folder.svg: No such file"),
        (["--device", "tpu"], "device should be auto"),
        (["--txt", "abc"], "did you mean --text"),
    ],
)
def test_what_cannot_be_done_is_told(project, capsys, args, words):
    saved("runs/made")
    assert re.search(words, refused(capsys, "made", *args))
