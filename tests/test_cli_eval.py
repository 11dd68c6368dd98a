"""``course eval`` against a plain loop over the ids, and against what a run's own log says."""

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.config import MODEL_KINDS, Config, DataConfig, GPTConfig, ModelKind, TrainConfig
from course_lib.corpora import tinytales
from course_lib.data import Batcher, datasets
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.recipes import evaluating, load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.recipes.evaluating import Evaluation, evaluate
from course_lib.tokenizers import CharTokenizer
from course_lib.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "a=b, c=d; the cat sat on the mät.\n" * 60
N = len(TEXT)
SMALL = "--n-layer 1 --n-head 2 --n-embd 16 --batch-size 2 --max-steps 6 --eval-every 3 --device cpu".split()
SHAPES = {
    "gpt": ["tinytales_cpu", "--block-size=16"],
    "agiformer": ["agiformer_cpu", "--block-size=16", "--n-hidden=16"],
}
LINE = (
    r"(\S+) nats per token, (\S+) bits per byte, perplexity (\S+) per token: step (\d+) of (\S+) on ([\d,]+) tokens "
    r"\(([\d,]+) bytes\), all of the (train|val|test) split of (\S+)\n"
)


def train(kind: str, *args: str) -> Path:
    Path("some.txt").write_text(TEXT, encoding="utf-8")
    words = ["train", *SHAPES[kind], "--dataset", "text:some.txt", "--out-dir", "runs/run", *SMALL, *args]
    assert course(words) == 0
    return Path("runs/run").resolve()


def scored(capsys: pytest.CaptureFixture, *args: str) -> tuple[str, ...]:
    """What one ``course eval`` prints, in its parts."""
    capsys.readouterr()
    assert course(["eval", *args]) == 0
    printed = capsys.readouterr().out
    found = re.fullmatch(LINE, printed)
    assert found, printed
    return found.groups()


def refused(capsys: pytest.CaptureFixture, *args: str) -> str:
    capsys.readouterr()
    assert course(["eval", *args]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def by_hand(model: nn.Module, ids: list[int], block_size: int) -> float:
    """Nats per token: one window after another, one row at a time, each target once, torch's own cross-entropy."""
    total = 0.0
    for start in range(0, len(ids) - 1, block_size):
        window = torch.tensor(ids[start : start + block_size + 1])
        with torch.no_grad():
            logits = model(window[None, :-1])[0].double()
        total += F.cross_entropy(logits, window[1:], reduction="sum").item()
    return total / (len(ids) - 1)


def everything(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


# What it measures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "tokenizer"),
    [("gpt", "char"), ("gpt", "byte"), ("gpt", "bpe"), *((kind, "byte") for kind in MODEL_KINDS if kind != "gpt")],
)
def test_every_split_is_what_a_plain_loop_over_the_text_finds(
    project: Path, capsys: pytest.CaptureFixture, kind: str, tokenizer: str
) -> None:
    """The text is cut and encoded here by the tokenizer alone; neither split ends with a whole window."""
    run = train(kind, "--tokenizer", tokenizer, "--bpe-vocab-size=270", "--val-fraction=0.1", "--test-fraction=0.05")
    before = everything(run)
    loaded = checkpoint.load(run, "auto")
    cuts = [0, N * 85 // 100, N * 95 // 100, N]
    for split, start, end in zip(("train", "val", "test"), cuts, cuts[1:]):
        part = TEXT[start:end]
        ids = loaded.tokenizer.encode(part)
        assert (len(ids) - 1) % 16, "a ragged tail is wanted"
        loss, bits, perplexity, step, name, tokens, n_bytes, said, dataset = scored(capsys, "run", "--split", split)
        expected = by_hand(loaded.model, ids, 16)
        assert float(loss) == pytest.approx(expected, abs=6e-5)  # four digits are printed
        assert evaluate(run, split).loss == pytest.approx(expected, abs=1e-5)
        assert float(bits) == pytest.approx(expected * len(ids) / len(part.encode()) / math.log(2), abs=6e-5)
        assert float(perplexity) == pytest.approx(math.exp(expected), rel=1e-3)
        assert (step, name, said) == (str(loaded.state["step"]), "run", split)
        assert (tokens, n_bytes) == (f"{len(ids) - 1:,}", f"{len(part.encode()):,}")
        assert dataset == f"text:{project}/some.txt"
    assert everything(run) == before


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_val_is_what_the_runs_own_log_says(project: Path, capsys: pytest.CaptureFixture, kind: str) -> None:
    run = train(kind, "--tokenizer", "byte", "--dropout", "0.2")
    rows = [row for row in checkpoint.read_metrics(run) if row["val_loss"] is not None]
    assert [row["step"] for row in rows] == [2, 5]
    assert evaluate(run, which="last").loss == rows[-1]["val_loss"]
    best = min(rows, key=lambda row: row["val_loss"])
    assert evaluate(run).loss == evaluate(run, "val", "best").loss == best["val_loss"]
    assert scored(capsys, "run", "--which=last")[:4:3] == (f"{rows[-1]['val_loss']:.4f}", "6")
    assert scored(capsys, str(run), "--which", str(best["step"] + 1))[3:5] == (str(best["step"] + 1), str(run))


def test_the_batch_size_changes_nothing(project: Path) -> None:
    run = train("gpt", "--test-fraction=0.05")
    losses = [evaluate(run, "test", batch_size=size).loss for size in (None, 1, 2, 3, 1000)]
    assert losses == pytest.approx([losses[0]] * 5, abs=1e-6)


def test_a_test_part_changes_what_is_trained_on_and_the_resume_keeps_it(project: Path) -> None:
    run = train("gpt", "--test-fraction", "0.2")
    assert checkpoint.read_config(run)[0].data.test_fraction == 0.2
    before = evaluate(run, "test", "last")
    assert before.tokens == N - N * 80 // 100 - 1
    assert course(["train", "--resume", "run", "--max-steps", "8"]) == 0
    after = evaluate(run, "test", "last")
    assert (after.step, after.tokens) == (8, before.tokens)
    assert after.loss != before.loss
    assert checkpoint.read_config(run)[0].data.test_fraction == 0.2


def test_a_run_that_another_process_trains_is_scored(project: Path) -> None:
    run = train("gpt")
    expected = evaluate(run).loss
    with checkpoint.locked(run):
        assert evaluate(run).loss == expected


def test_it_draws_from_generators_of_its_own(project: Path) -> None:
    run = train("gpt")
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    evaluate(run)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    ("given", "run_has", "expected"), [(None, "fp32", "fp32"), ("bf16", "fp32", "bf16"), (None, "bf16", "bf16")]
)
def test_the_arithmetic_is_the_runs_own_unless_another_is_asked_for(
    project: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, run_has: str, expected: str
) -> None:
    run = train("gpt", "--precision", run_has)
    used, mean_loss = [], evaluating.mean_loss

    def watching(*args: object, compute: object) -> float:
        used.append(compute.precision)
        return mean_loss(*args, compute=compute)

    monkeypatch.setattr(evaluating, "mean_loss", watching)
    evaluate(run, precision=given)
    assert used == [expected]


def test_a_perplexity_beyond_all_floats() -> None:
    assert Evaluation(1e6, 1, 1, 1, "val", "a", 1).perplexity == math.inf
    assert Evaluation(math.log(7), 1, 1, 1, "val", "a", 1).perplexity == pytest.approx(7)
    assert math.isnan(Evaluation(math.nan, 1, 1, 1, "val", "a", 1).perplexity)


@dataclass(frozen=True)
class PairConfig(Config):
    vocab_size: int
    block_size: int = 8


class Pairs(nn.Module):
    """The next token by the last one alone."""

    def __init__(self, config: PairConfig) -> None:
        super().__init__()
        self.config, self.context = config, config.block_size
        self.table = nn.Embedding(config.vocab_size, config.vocab_size)

    def forward(self, idx: Tensor) -> Tensor:
        return self.table(idx)


def test_a_kind_of_ones_own_is_scored_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("some.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.setitem(MODEL_KINDS, "pairs", ModelKind(PairConfig, Pairs))
    tokenizer = CharTokenizer.train(TEXT)
    ids = tokenizer.encode(TEXT)
    model = Pairs(PairConfig(tokenizer.vocab_size))
    config = TrainConfig(max_steps=2, batch_size=2, device="cpu", eval_every=0)
    list(
        Trainer(
            model, Batcher(ids, 2, 8), config, tokenizer=tokenizer, run_dir="runs/own", data=DataConfig("text:some.txt")
        )
    )
    loaded = checkpoint.load("runs/own")
    assert evaluate("own").loss == pytest.approx(by_hand(loaded.model, ids[int(N * 0.9) :], 8), abs=1e-5)


# What a grammar adds ---------------------------------------------------------------------------------------


def test_tinytales_adds_its_floor_and_the_share_of_sentences_that_its_samples_get_right(
    project: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The floor is the table's for this block_size; the sentences are counted in what ``course sample`` prints."""
    text = tinytales.tinytales_text(4000)
    corpus = dataclasses.replace(datasets.CORPORA["tinytales"], read=lambda: text.encode())
    monkeypatch.setitem(datasets.CORPORA, "tinytales", corpus)
    monkeypatch.setattr(evaluating, "SAMPLE_TOKENS", 90)
    words = [*SHAPES["gpt"], "--out-dir", "runs/run", *SMALL, "--max-steps", "60", "--eval-every", "0"]
    assert course(["train", *words, "--max-lr", "0.03", "--batch-size", "16"]) == 0
    capsys.readouterr()
    assert course(["eval", "run", "--samples", "3"]) == 0
    first, floor, samples = capsys.readouterr().out.splitlines()
    loss = float(re.fullmatch(LINE, first + "\n")[1])
    said, above = re.match(r"floor: (\S+) nats per token; .* \(this is \+(\S+)\)", floor).groups()
    assert float(said) == pytest.approx(tinytales.floor(16).nats, abs=6e-5)
    assert float(above) == pytest.approx(loss - tinytales.floor(16).nats, abs=2e-4)
    good = whole = 0
    for i in range(3):
        assert course(["sample", "run", "--seed", str(1337 + i), "--max-new-tokens", "90"]) == 0
        # the command ends with a line break of its own, which is none of the model's
        grade = tinytales.grade(capsys.readouterr().out.removesuffix("\n"))
        good, whole = good + sum(part.is_grammatical for part in grade.sentences), whole + len(grade.sentences)
    assert samples.startswith(f"samples: {good} of {whole} whole sentences are grammatical")
    assert course(["eval", "run", "--samples", "0"]) == 0
    assert capsys.readouterr().out.splitlines() == [first, floor]
    assert "samples should be at least 0" in refused(capsys, "run", "--samples", "-1")


def test_perfect_samples_are_perfect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that writes the grammar's own text: every whole sentence counts, the one that is cut off does not."""
    text = tinytales.tinytales_text(3000)
    tokenizer = CharTokenizer.train(text)
    ids = tokenizer.encode(text[:300].lstrip("\n"))
    monkeypatch.setattr(evaluating, "stream", lambda *args, **more: iter(torch.tensor(ids)[:, None, None]))
    run = SimpleNamespace(tokenizer=tokenizer, model=None)
    found = evaluating._judged(run, DataConfig("tinytales", start="\n\n"), 2)
    lines = [line for line in text[:300].lstrip("\n").split("\n")[:-1] if line]
    assert found == (2 * len(lines), 2 * len(lines))
    assert evaluating._judged(run, DataConfig("numbers"), 2) is None


@pytest.mark.parametrize(
    ("name", "tokenizer", "block_size", "is_known"),
    [
        ("tinytales", "auto", 64, True), ("tinytales", "byte", 512, True), ("tinytales", "char", 513, False),
        ("tinytales", "bpe", 64, False), ("numbers", "char", 64, False), ("text:a.txt", "auto", 64, False),
    ],
)  # fmt: skip
def test_where_the_floor_is_known(name: str, tokenizer: str, block_size: int, is_known: bool) -> None:
    expected = tinytales.floor(block_size).nats if is_known else None
    assert datasets.floor_of(name, tokenizer, block_size) == expected


# What it refuses -------------------------------------------------------------------------------------------


@pytest.fixture
def text_run(project: Path) -> Path:
    return train("gpt")


def test_a_run_without_a_test_part_is_told_how_to_get_one(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    message = refused(capsys, "run", "--split", "test")
    assert "has no test part" in message
    assert (
        "--split val, or train a new run with a part that is kept for testing: course train RECIPE --test-fraction"
        in message
    )
    assert "--test-fraction" in refused_train(capsys, "--resume", "run", "--test-fraction", "0.1")  # it is too late


def refused_train(capsys: pytest.CaptureFixture, *args: str) -> str:
    capsys.readouterr()
    assert course(["train", *args]) == 2
    return capsys.readouterr().err


def test_a_text_may_have_a_new_place(text_run: Path, project: Path, capsys: pytest.CaptureFixture) -> None:
    expected = evaluate(text_run).loss
    before = everything(text_run)
    (project / "some.txt").rename(project / "moved.txt")
    message = refused(capsys, "run")
    assert f"Where the text of {text_run} has a new place: course eval {text_run} --dataset text:PATH" in message
    *_, split, dataset = scored(capsys, "run", "--dataset", "text:moved.txt")
    assert (split, dataset) == ("val", f"text:{project}/moved.txt")
    assert evaluate(text_run, dataset="text:moved.txt").loss == expected
    assert everything(text_run) == before  # nor does it note the new place


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("text:other.txt", "other.txt is not the text that"),
        ("text:none.txt", "none.txt: No such file"),
        ("bytes:some.txt", "--dataset bytes:some.txt would read it in another way"),
        ("tinytales", "tinytales is not the text that"),
    ],
)
def test_another_text_is_refused(text_run: Path, capsys: pytest.CaptureFixture, dataset: str, message: str) -> None:
    Path("other.txt").write_text(TEXT[1:] + "a", encoding="utf-8")
    before = everything(text_run)
    assert message in refused(capsys, "run", "--dataset", dataset)
    assert everything(text_run) == before


def test_a_text_that_has_changed_is_refused(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    Path("some.txt").write_text(TEXT[:-1], encoding="utf-8")
    assert "some.txt is not the text that" in refused(capsys, "run")


def test_batches_made_in_python_are_refused_in_a_sentence(project: Path, capsys: pytest.CaptureFixture) -> None:
    tokenizer = CharTokenizer.train(TEXT)
    model = GPT(GPTConfig(16, tokenizer.vocab_size, 1, 2, 8))
    batches = Batcher(torch.tensor(tokenizer.encode(TEXT)), 2, 16)
    config = TrainConfig(max_steps=2, batch_size=2, device="cpu", eval_every=0)
    list(Trainer(model, batches, config, tokenizer=tokenizer, run_dir="runs/mine"))
    before = everything(Path("runs/mine"))
    message = refused(capsys, "mine")
    assert "does not say what it is trained on: its batches were made in Python, and only there" in message
    call = re.search(r"Score it there: (mean_loss\(.*\))\n", message)
    from course_lib.training import mean_loss

    loss = eval(call[1], {"mean_loss": mean_loss, "checkpoint": checkpoint, "batches": batches})  # it does work
    assert loss == pytest.approx(by_hand(checkpoint.load("runs/mine").model, tokenizer.encode(TEXT), 16), abs=1e-5)
    assert everything(Path("runs/mine")) == before


def test_a_model_that_only_its_program_knows_is_refused_in_a_sentence(
    project: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Pairs(SimpleNamespace(vocab_size=11, block_size=8))
    config = TrainConfig(max_steps=2, batch_size=2, device="cpu", eval_every=0)
    batches = Batcher(np.arange(100) % 11, 2, 8)
    list(Trainer(model, batches, config, run_dir="runs/mine", data=DataConfig("numbers")))
    assert re.search("holds a model of its own.* Score it in Python: .*model=your_model", refused(capsys, "mine"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "--which", "77"], "has no save 77"),
        (["nothing"], "nothing is no run directory"),
        (["run", "--split", "tset"], "--split should be 'val' or 'test' or 'train'; it is 'tset'"),
        (["run", "--batch-size", "0"], "batch_size should be at least 1"),
        (["run", "--device", "tpu"], "device should be auto, cpu"),
        (["run", "--splt", "val"], "did you mean --split"),
        ([], "course eval needs RUN"),
    ],
)
def test_what_is_wrong_is_said(text_run: Path, capsys: pytest.CaptureFixture, args: list[str], message: str) -> None:
    assert message in refused(capsys, *args)


def test_one_split_at_a_time(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    refused(capsys, "run", "--split", "val", "test")
    with pytest.raises(CourseError, match="split should be val, test, train; it is 'all'"):
        evaluate(text_run, "all")


def test_memory_that_runs_out_says_what_to_do(text_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **more: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(evaluating, "mean_loss", full)
    for size, remedy in ((8, "--batch-size 4"), (1, "--device cpu")):
        with pytest.raises(CourseError, match=f"out of memory. Try {remedy}. "):
            evaluate(text_run, batch_size=size)

    def broken(*args: object, **more: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(evaluating, "mean_loss", broken)
    with pytest.raises(RuntimeError, match="something else"):
        evaluate(text_run)


# Parts that are too short ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fractions", "split"),
    [
        (["--test-fraction=0.001"], "test"),
        (["--test-fraction=0.895"], "train"),
        (["--val-fraction=0.001", "--test-fraction=0.5"], "val"),
    ],
)
def test_a_part_too_short_for_the_block_size_is_named_before_the_training(
    project: Path, capsys: pytest.CaptureFixture, fractions: list[str], split: str
) -> None:
    Path("some.txt").write_text(TEXT, encoding="utf-8")
    args = [*SHAPES["gpt"], "--dataset=text:some.txt", "--out-dir=runs/run", *SMALL]
    message = refused_train(capsys, *args, *fractions)
    assert f"The {split} split of text:some.txt is too short" in message
    assert not Path("runs").exists()
    flag, value = re.search(r"Use (--\w+-fraction) (0\.\d+)", message).groups()
    others = [fraction for fraction in fractions if not fraction.startswith(flag)]
    assert course(["train", *args, *others, flag, value]) == 0  # what it says does help


def test_a_run_with_a_part_for_testing_is_a_recipes_too(project: Path) -> None:
    Path("some.txt").write_text(TEXT, encoding="utf-8")
    small = dict(n_layer=1, n_head=1, n_embd=8, block_size=16, max_steps=1, dataset="text:some.txt", test_fraction=0.3)
    trainer = build_trainer(load_recipe("tinytales_cpu").replace(**small))
    assert (len(trainer.batches.tokens), len(trainer.val_batches.tokens)) == (N * 60 // 100, N * 10 // 100)


def test_a_run_from_before_there_were_test_parts(text_run: Path, capsys: pytest.CaptureFixture) -> None:
    content = json.loads((text_run / "config.json").read_text())
    assert content["data"].pop("test_fraction") == 0
    (text_run / "config.json").write_text(json.dumps(content))
    assert scored(capsys, "run")[7] == "val"
    assert course(["train", "--resume", "run", "--max-steps", "7"]) == 0
