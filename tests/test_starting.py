"""Weights to begin with: one's own run's, nanoGPT's, GPT-2's. For training, for sampling, for scoring."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher, load_prepared, prepare
from course_lib.errors import CourseError
from course_lib.interop import save_hf_gpt2
from course_lib.interop.hf_tokenizer import OWN_FILE
from course_lib.models import GPT
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.recipes.evaluating import evaluate
from course_lib.recipes.starting import find_start
from course_lib.tokenizers import CharTokenizer
from course_lib.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
TEXT = "a=b, c=d; the cat sat on the mat.\n" * 60
OTHER = "the mat, a=c; b sat on the cat.\n" * 60
TINY = "--n-layer 1 --n-head 2 --n-embd 32 --block-size 16 --batch-size 2 --eval-every 2 --device cpu".split()
SHAPE = {"block_size": 16, "vocab_size": len(set(TEXT)), "n_layer": 2, "n_head": 2, "n_embd": 32}


def refused(capsys: pytest.CaptureFixture, *args: str) -> str:
    capsys.readouterr()
    assert course(list(args)) == 2
    return capsys.readouterr().err


def everything(folder: Path) -> dict[Path, tuple[int, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.fixture
def texts(project: Path) -> Path:
    (project / "some.txt").write_text(TEXT)
    (project / "other.txt").write_text(OTHER)
    return project


@pytest.fixture
def run(texts: Path, capsys: pytest.CaptureFixture) -> Path:
    words = ["train", "tinytales_cpu", "--dataset", "text:some.txt", *TINY, "--max-steps", "4", "--dropout", "0.1"]
    assert course([*words, "--out-dir", "runs/old"]) == 0
    capsys.readouterr()
    return texts / "runs" / "old"


@pytest.fixture
def nanogpts(texts: Path) -> Path:
    """The folder of nanoGPT after a training: data/mine and out/ckpt.pt; the model's weights are random."""
    home = texts / "nanogpt"
    (home / "data" / "mine").mkdir(parents=True)
    tokenizer = CharTokenizer.train(TEXT)
    ids = tokenizer.encode_array(TEXT)
    for part, piece in {"train": ids[:1500], "val": ids[1500:]}.items():
        piece.astype(np.uint16).tofile(home / "data" / "mine" / f"{part}.bin")
    meta = {"vocab_size": tokenizer.vocab_size, "itos": dict(enumerate(tokenizer.characters))}
    (home / "data" / "mine" / "meta.pkl").write_bytes(pickle.dumps(meta))
    (home / "out").mkdir()
    save_nanogpt(model_of(0), home / "out" / "ckpt.pt", "mine")
    return home


def model_of(seed: int, **changes: object) -> GPT:
    torch.manual_seed(seed)
    return GPT(GPTConfig(**(SHAPE | {"bias": True} | changes)))


NANOGPTS = [
    ("token_embedding", "transformer.wte"), ("position_embedding", "transformer.wpe"), ("head", "lm_head"),
    (r"blocks\.", "transformer.h."), ("norm1", "ln_1"), ("norm2", "ln_2"), (r"attn\.qkv", "attn.c_attn"),
    (r"attn\.proj", "attn.c_proj"), (r"mlp\.up", "mlp.c_fc"), (r"mlp\.down", "mlp.c_proj"),
    ("^norm", "transformer.ln_f"),
]  # fmt: skip


def save_nanogpt(model: GPT, path: Path, dataset: str) -> None:
    """A ckpt.pt as train.py writes it."""
    weights = {}
    for name, tensor in model.state_dict().items():
        for ours, theirs in NANOGPTS:
            name = re.sub(ours, theirs, name)
        weights["_orig_mod." + name] = tensor
    config = model.config
    names = ("n_layer", "n_head", "n_embd", "block_size", "bias", "vocab_size", "dropout")
    args = {name: getattr(config, name) for name in names}
    parts = {"model": weights, "model_args": args, "iter_num": 20, "best_val_loss": torch.tensor(3.1)}
    torch.save(parts | {"optimizer": {}, "config": {"dataset": dataset}}, path)


@pytest.fixture
def gpt2(texts: Path) -> Path:
    """A folder of transformers' with a tokenizer of the course."""
    save_hf_gpt2(model_of(1, mlp="gelu_tanh"), texts / "hf")
    CharTokenizer.train(TEXT).save(texts / "hf" / OWN_FILE)
    return texts / "hf"


# One's own run --------------------------------------------------------------------------------------------


def test_a_run_begins_with_the_best_weights_of_another_and_all_else_is_new(run, capsys):
    before = everything(run)
    words = ["train", "tinytales_cpu", "--dataset", "text:other.txt", *TINY, "--max-steps", "3", "--dropout", "0.1"]
    assert course([*words, "--init-from", "old", "--out-dir", "runs/new"]) == 0
    assert everything(run) == before
    old = checkpoint.load(run, "best")
    about, tokenizer = checkpoint.read_config(Path("runs/new"))
    assert tokenizer == old.tokenizer, "not that of the other text, which has fewer characters"
    assert about.train.init_from == "old"
    assert about.model == old.config.model
    # The same by hand: a new trainer around the old weights.
    prepared = load_prepared(prepare("text:other.txt", old.tokenizer))
    config = TrainConfig.from_dict(about.train.to_dict())
    batches = Batcher(prepared.path("train"), 2, 16, seed=config.seed)
    by_hand = [record.train_loss for record in Trainer(old.model, batches, config)]
    rows = checkpoint.read_metrics(Path("runs/new"))
    assert [row["train_loss"] for row in rows] == pytest.approx(by_hand, abs=1e-6)
    assert [row["step"] for row in rows] == [0, 1, 2]


def test_before_the_first_step_it_scores_what_the_run_scores(run):
    recipe = load_recipe("tinytales_cpu").replace(dataset="text:some.txt", init_from=str(run), device="cpu")
    assert build_trainer(recipe).evaluate() == pytest.approx(evaluate(run).loss, abs=1e-6)


def test_the_shape_is_that_of_the_weights_whatever_the_recipe_says(run, capsys):
    """The recipe's 2 layers and RoPE are defaults; what somebody asks for by name is refused where it is another."""
    words = ["train", "nanogpt_shakespeare_char_cpu", "--dataset", "text:some.txt", "--max-steps", "1"]
    words += ["--eval-batches", "1", "--init-from", "old"]
    assert course([*words, "--out-dir", "runs/new", "--n-layer", "1", "--block-size", "8", "--dropout", "0.3"]) == 0
    old, new = checkpoint.load(run).config.model, checkpoint.load("runs/new").config.model
    assert new == old.replace(block_size=8, dropout=0.3)
    for args, message in {
        "--n-layer 3": "have n_layer 1, and 3 is asked for",
        "--position learned": "have position 'rope', and 'learned' is asked for",
        "--block-size 64": "block_size should be from 1 to the model's 16; it is 64",
        "--tokenizer byte": "the tokenizer byte would make others",
    }.items():
        assert message in refused(capsys, *words, *args.split(), "--out-dir", "runs/none")
    assert not Path("runs/none").exists()


def test_what_cannot_be_begun_with_is_refused(run, texts, capsys):
    (texts / "strange.txt").write_text("ξ" + TEXT)
    (texts / "notes.txt").write_text("no weights")
    words = ["train", "tinytales_cpu", "--dataset", "text:some.txt", *TINY, "--out-dir", "runs/none"]
    for args, message in {
        "--init-from nowhere": "nowhere is no run directory",
        "--init-from nowhere.pt": "There is no file nowhere.pt",
        "--init-from notes.txt": "should be a ckpt.pt of nanoGPT",
        "--init-from gpt2:nowhere": "nowhere is no folder",
        "--init-from distilgpt2": "Weights from elsewhere are gpt2, gpt2-medium, gpt2-large, gpt2-xl, and gpt2:PATH",
        "--init-from openai-community/gpt2": "Weights from elsewhere are gpt2, gpt2-medium",
        "--init-from EleutherAI/pythia-70m": "Weights from elsewhere are gpt2, gpt2-medium",
        "--init-from gpt3": "Weights from elsewhere are gpt2, gpt2-medium",
        "--init-from old --dataset text:strange.txt": "The character 'ξ'",
        "--init-from gpt2": "COURSE_OFFLINE=1 forbids a download",
    }.items():
        assert message in refused(capsys, *words, *args.split())
    assert "the recipe is for one of agiformer" in refused(
        capsys, "train", "agiformer_cpu", "--dataset", "bytes:some.txt", "--init-from", "old"
    )
    assert "--init-from cannot change" in refused(capsys, "train", "--resume", "old", "--init-from", "x")
    assert not Path("runs/none").exists()


def test_bytes_that_a_run_by_characters_cannot_read(run, capsys):
    error = refused(capsys, "train", "tinytales_cpu", "--dataset", "bytes:some.txt", "--init-from", "old")
    assert "only the byte tokenizer reads them" in error


# nanoGPT's checkpoint -------------------------------------------------------------------------------------


def by_windows(model: GPT, ids: list[int]) -> float:
    """The mean loss over windows side by side, one token after another."""
    total, T = 0.0, model.config.block_size
    for i in range(0, len(ids) - 1, T):
        row = torch.tensor(ids[i : i + T + 1])
        with torch.no_grad():
            logits = model.eval()(row[None, :-1])[0].double().log_softmax(-1)
        total -= logits.gather(1, row[1:, None]).sum().item()
    return total / (len(ids) - 1)


def test_a_checkpoint_of_nanogpt_is_scored_on_its_own_ids(nanogpts, capsys):
    ids = np.fromfile(nanogpts / "data" / "mine" / "val.bin", dtype=np.uint16).tolist()
    expected = by_windows(model_of(0), ids)
    for name in ("nanogpt/out", "nanogpt/out/ckpt.pt", str(nanogpts / "out")):
        found = evaluate(name)
        assert found.loss == pytest.approx(expected, abs=1e-5)
        assert (found.step, found.tokens, found.dataset) == (20, len(ids) - 1, f"bins:{nanogpts}/data/mine")
    assert evaluate("nanogpt/out", dataset="text:some.txt").tokens == len(TEXT) - int(len(TEXT) * 0.9) - 1
    assert course(["eval", "nanogpt/out"]) == 0
    assert f"{expected:.4f} nats per token" in capsys.readouterr().out
    assert "Score nanogpt/out with --split val" in refused(capsys, "eval", "nanogpt/out", "--split", "test")


def test_a_checkpoint_of_nanogpt_is_sampled(nanogpts, capsys):
    save_nanogpt(model_of(0), nanogpts / "alone.pt", "another")
    expected = None
    for args in (
        ["nanogpt/out"], ["nanogpt/out/ckpt.pt"], ["--init-from", "nanogpt/out/ckpt.pt"], ["--out_dir=nanogpt/out"],
        ["--init_from=resume", "--out_dir=nanogpt/out"],
        ["nanogpt/alone.pt", "--dataset", "bins:nanogpt/data/mine"],
    ):  # fmt: skip
        assert course(["sample", *args, "--max_new_tokens=20", "--start=a=b", "--device=cpu"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("a=b")
        assert len(out) == 3 + 20 + 1
        assert expected in (None, out)
        expected = out
    assert "--dataset bins:FOLDER" in refused(capsys, "sample", "nanogpt/alone.pt")
    assert "Say what to score it on" in refused(capsys, "eval", "nanogpt/alone.pt")
    assert "needs one of two" in refused(capsys, "sample")
    assert "needs one of two" in refused(capsys, "sample", "a", "--init-from", "b")


def test_a_checkpoint_of_nanogpt_is_trained_on(nanogpts, capsys):
    words = "train nanogpt_shakespeare_char_cpu --eval_iters=2 --max_iters=2 --init_from=nanogpt/out".split()
    assert course([*words, "--dataset=bins:nanogpt/data/mine", "--out_dir=runs/new", "--learning_rate=0.001"]) == 0
    new = checkpoint.load("runs/new")
    assert new.config.model == model_of(0).config
    pairs = zip(new.model.parameters(), model_of(0).parameters(), strict=True)
    assert 0 < max((a - b).abs().max().item() for a, b in pairs) < 0.01
    assert course(["train", "--resume", "runs/new", "--max-steps", "4"]) == 0
    assert checkpoint.load("runs/new").state["step"] == 4
    about = json.loads(Path("runs/new/config.json").read_text())
    assert about["data"]["dataset"] == f"bins:{nanogpts}/data/mine"
    assert course(["eval", "runs/new"]) == 0
    assert course(["train", "bins:nanogpt/data/mine", *TINY, "--max-steps", "1", "--out-dir", "runs/scratch"]) == 0
    np.zeros(500, dtype=np.uint16).tofile(nanogpts / "data" / "mine" / "val.bin")
    assert "is not the text that" in refused(capsys, "train", "--resume", "runs/new", "--max-steps", "6")


def test_where_no_vocabulary_is_found_that_of_the_text_serves_if_it_fits(nanogpts, capsys):
    save_nanogpt(model_of(0), nanogpts / "alone.pt", "another")
    recipe = load_recipe("nanogpt_shakespeare_char_cpu").replace(init_from="nanogpt/alone.pt", eval_batches=1)
    assert build_trainer(recipe.replace(dataset="text:some.txt")).model.config.n_layer == 2
    with pytest.raises(CourseError, match="a vocabulary of 17, its tokenizer one of 256"):
        build_trainer(recipe.replace(dataset="text:some.txt", tokenizer="byte"))


@pytest.mark.parametrize("rows", [64, 128])
def test_a_vocabulary_of_another_size_is_not_cut_down(nanogpts, rows):
    """nanoGPT pads 50,257 rows to 50,304, and no others: these are of another text."""
    save_nanogpt(model_of(0, vocab_size=rows), nanogpts / "out" / "ckpt.pt", "mine")
    with pytest.raises(CourseError, match=f"a vocabulary of {rows}, its tokenizer one of 17"):
        find_start("nanogpt/out")


@pytest.mark.parametrize("name", ["x" * 5000, "a/b\0", "../../../etc", "/etc"])
def test_a_dataset_that_names_no_folder_means_that_the_vocabulary_is_not_known(nanogpts, name):
    save_nanogpt(model_of(0), nanogpts / "out" / "ckpt.pt", name)
    assert find_start("nanogpt/out").tokenizer is None


@pytest.mark.parametrize("n", [0, 5, 12])
def test_ids_that_are_too_few_are_not_to_be_split_anew(nanogpts, capsys, n):
    """bins: is split already, so no --val-fraction helps."""
    np.zeros(n, dtype=np.uint16).tofile(nanogpts / "data" / "mine" / "val.bin")
    said = refused(capsys, "train", "bins:nanogpt/data/mine", *TINY, "--max-steps", "1")
    assert f"The val split of bins:nanogpt/data/mine is too short: it has {n} tokens" in said
    assert "Use a folder with a longer val.bin" in said
    assert "fraction" not in said


# GPT-2 ----------------------------------------------------------------------------------------------------


def test_a_folder_of_transformers_is_sampled_scored_and_trained_on(gpt2, capsys):
    model = model_of(1, mlp="gelu_tanh")
    ids = CharTokenizer.train(TEXT).encode(TEXT)
    assert evaluate("gpt2:hf", dataset="text:some.txt").loss == pytest.approx(
        by_windows(model, ids[int(len(ids) * 0.9) :]), abs=1e-5
    )
    assert course(["sample", "--init-from", "gpt2:hf", "--max-new-tokens", "9", "--start", "the"]) == 0
    assert len(capsys.readouterr().out) == 3 + 9 + 1
    words = ["train", "finetune_shakespeare", "--init_from=gpt2:hf", "--dataset=text:other.txt", "--compile=False"]
    words += ["--gradient_accumulation_steps=2", "--eval_iters=2", "--device=cpu"]
    assert course([*words, "--out_dir=runs/tuned"]) == 0
    tuned = checkpoint.load("runs/tuned")
    assert (tuned.state["step"], tuned.config.model.mlp, tuned.config.model.block_size) == (20, "gelu_tanh", 16)
    (gpt2 / OWN_FILE).unlink()
    said = refused(capsys, "sample", "--init-from", "gpt2:hf")
    assert "Such a folder needs tokenizer.json, or vocab.json and merges.txt" in said
    assert "meta.pkl" not in said
    CharTokenizer("ab").save(gpt2 / OWN_FILE)
    assert "a vocabulary of 17, its tokenizer one of 2" in refused(
        capsys, "sample", "--init-from", "gpt2:hf", "--max-new-tokens", "9"
    )


def test_a_folder_of_transformers_that_is_taken_for_a_run_is_told_its_name(gpt2, capsys):
    assert "gpt2:" in refused(capsys, "sample", "hf")
